#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""What `selftests/static abi` says of a library that has changed since the last tag:
small ones, and a repository of their own. KTAP."""
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path

sys.dont_write_bytecode = True
TOP = Path(__file__).resolve().parents[2]
sys.path.append(str(TOP / "selftests"))
from vm import documents                        # noqa: E402

# One that may grow, and one whose size is known to callers alone.
SOURCE = """\
struct extpager_params { unsigned long size; long first; /* middle */ long last; /* end */ };
struct extpager_fixed { long first; /* fixed */ };
int extpager_open(const struct extpager_params *params);
int extpager_open(const struct extpager_params *params) { return params->last; }
int extpager_look(const struct extpager_fixed *fixed);
int extpager_look(const struct extpager_fixed *fixed) { return fixed->first; }
int extpager_close(void);
int extpager_close(void) { return 0; }
"""


def run(*words, **options):
    return subprocess.run(words, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, **options).stdout


class Release:
    """A repository with the interface of a library, which goes on changing."""

    def __init__(self, directory):
        self.top = Path(directory, "repository")
        self.abi = self.top / documents.ABI
        self.abi.parent.mkdir(parents=True)
        run("git", "init", "-q", self.top)

    def library(self, *changes):
        text = SOURCE
        for old, new in changes:
            assert old in text, old
            text = text.replace(old, new)
        path = self.top.parent / "libextpager.so"
        run("gcc-12", "-shared", "-fPIC", "-g", "-o", path, "-x", "c", "-", input=text)
        return path

    def keep(self, library, tag=None):
        """Its interface is written down, and released if there is a tag."""
        run("abidw", "--no-show-locs", "--out-file", self.abi, library)   # as `make abi`
        run("git", "add", "-A", cwd=self.top)
        run("git", "-c", "user.name=x", "-c", "user.email=x", "commit", "-qm", "x", "--allow-empty",
            cwd=self.top)
        if tag:
            run("git", "tag", tag, cwd=self.top)

    def complaints(self, library):
        return "\n".join(documents.abi_of(library, self.top))


GONE = ("int extpager_close(void) { return 0; }", ""), ("int extpager_close(void);", "")
MIDDLE = ("/* middle */", "long middle;"),
END = ("/* end */", "long end;"),
FIXED = ("/* fixed */", "long end;"),
ADDED = ("int extpager_close(void);", "int extpager_more(void);\nint extpager_more(void) "
         "{ return 1; }\nint extpager_close(void);"),
NARROWER = ("long last;", "int last;"),
BOTH = (*MIDDLE, *END)


def what_may_change_and_what_may_not(release):
    """Since the last tag: what is kept since then already has the change, and says nothing."""
    release.keep(release.library(), "v1")
    for change, good in (((), True), (END, True), (ADDED, True), ((*END, *ADDED), True),
                         (GONE, False), (MIDDLE, False), (BOTH, False), (FIXED, False),
                         (NARROWER, False), ((*END, *GONE), False), ((*END, *FIXED), False)):
        library = release.library(*change)
        release.keep(library)
        said = release.complaints(library)
        assert bool(said) != good, f"{change}: {said or 'no complaint'}"


def a_complaint_names_what_changed(release):
    release.keep(release.library(), "v1")
    for change, words in ((GONE, "extpager_close"), (MIDDLE, "middle"), (FIXED, "extpager_fixed")):
        said = release.complaints(release.library(*change))
        assert words in said, (change, said)


def only_the_last_tag_counts(release):
    release.keep(release.library(), "v1")
    release.keep(release.library(*GONE), "v2")
    assert release.complaints(release.library(*GONE)) == ""
    release.keep(release.library(), "v3")
    assert "extpager_close" in release.complaints(release.library(*GONE))


def what_is_kept_counts_until_there_is_a_tag(release):
    release.keep(release.library())
    assert "extpager_close" in release.complaints(release.library(*GONE))
    release.keep(release.library(*GONE))
    assert release.complaints(release.library(*GONE)) == ""


def main():
    tests = (what_may_change_and_what_may_not, a_complaint_names_what_changed,
             only_the_last_tag_counts, what_is_kept_counts_until_there_is_a_tag)
    print(f"KTAP version 1\n1..{len(tests)}")
    failed = 0
    for number, test in enumerate(tests, 1):
        good = True
        try:
            with tempfile.TemporaryDirectory() as directory:
                test(Release(directory))
        except Exception:       # whatever it is, it is this test's
            good = False
            print("\n".join(f"# {line}" for line in traceback.format_exc().splitlines()))
        print(f"{'' if good else 'not '}ok {number} {test.__name__}", flush=True)
        failed += not good
    return 1 if failed else 0


sys.exit(main())
