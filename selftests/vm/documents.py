# SPDX-License-Identifier: GPL-2.0-only
"""Checks of what users read and build against: manual pages, headers, the
library's binary interface. Each is a test "static:NAME", as those of static.py."""
import fnmatch
import os
import re
import subprocess
import tempfile
from pathlib import Path

from . import manifest, tree

PAGES = tree.BUILD / "doc"
ABI = Path("lib/abi/libextpager.abi")
# Callers give these with their size, or only the library makes them.
GROWING = ("extpager_params", "extpager_ops", "extpager_target", "extpager_stats",
           "extpager_queue_info", "extpager_port_info", "extpager_latency",
           "extpager_pending")
# Options that our pages name, but of others.
FOREIGN = re.compile(r"\b(mokutil|systemctl|journalctl|modprobe|jq|cc)\b[^\n]*")


def pages():
    tree.make("doc")
    return sorted(PAGES.glob("*.[3-8]")) + sorted((PAGES / "man3").glob("*.3"))


def run(*words, **options):
    """Output and errors of a program, as lines."""
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          **options)
    return done.returncode, done.stdout.splitlines()


def exported():
    text = (tree.TOP / "lib/libextpager.map").read_text()
    return set(re.findall(r"^\t\t(\w+);", text, re.M))


# Who may do what, who pays, and what survives which crash.
CHAPTERS = ("TRUST", "ACCOUNTING", "SHUTDOWN AND CRASH")


def manual():
    """No page makes mandoc or groff complain; every function has one, and
    libextpager(3) leads to all of them; pages that are referred to exist."""
    found = pages()
    complaints = run(tree.source() / "scripts/kernel-doc", "-none", "-Wall",
                     *sorted((tree.TOP / "lib/include").glob("*.h")))[1]
    names = {(page.stem, page.suffix[1:]) for page in found}
    for page in found:
        complaints += run("mandoc", "-T", "lint", "-W", "warning", page)[1]
        done = subprocess.run(["man", "--warnings", "-E", "UTF-8", "-l", page],
                              env={**os.environ, "MANWIDTH": "80"}, stdout=subprocess.DEVNULL,
                              stderr=subprocess.PIPE, text=True)
        complaints += [f"{page.name}: {line}" for line in done.stderr.splitlines()]
        for name, section in re.findall(r"\bXr (\S+) (\d)", page.read_text(), re.M):
            if re.match(r"(lib)?extpager|pager", name) and (name, section) not in names:
                complaints.append(f"{page.name}: there is no {name}({section})")
    overview = (PAGES / "libextpager.3").read_text()
    for page in sorted((PAGES / "man3").glob("*.3")):
        if not re.search(rf"\bXr(?: \S+ 3 ,)* {page.stem} 3", overview):
            complaints.append(f"libextpager(3) does not lead to {page.stem}(3)")
    concepts = (PAGES / "extpager.7").read_text()
    for chapter in CHAPTERS:
        text = concepts.partition(f"\n.Sh {chapter}\n")[2].partition("\n.Sh ")[0]
        if len(text.split()) < 150:
            complaints.append(f"extpager(7) has no chapter {chapter}")
    return complaints + [f"there is no {name}(3)" for name in sorted(exported())
                         if (name, "3") not in names]


def options_of(text):
    return set(re.findall(r"(?<![\w-])--([a-z][a-z-]*[a-z])", text))


def help_of(program, *words):
    return "\n".join(run(tree.BUILD / "bin" / program, *words, "--help")[1])


def commands():
    """The commands that `pagerctl --help` lists, as lists of words."""
    lines = re.findall(r"^  ([a-z][^\n]*?)(?:  |$)", help_of("pagerctl"), re.M)
    return [re.match(r"[a-z ]+[a-z](?= |$)", line).group().split() for line in lines
            if ":" not in line.split()[0]]


def options():
    """A page has every option of its program, and no page has one that is nobody's."""
    tree.make("daemon")
    texts = {page.name: "\n".join(run("mandoc", "-T", "ascii", "-O", "width=1000", page)[1])
             for page in pages()}
    texts = {name: FOREIGN.sub("", re.sub(".\b", "", text)) for name, text in texts.items()}
    target_options = options_of(help_of("pagerctl", "target", "add")) - {"json"}
    known = {"pagerd.8": options_of(help_of("pagerd")),
             "pagerctl.8": options_of(help_of("pagerctl")).union(
                 *(options_of(help_of("pagerctl", *words)) for words in commands()))}
    every = set().union(*known.values())
    complaints = []
    for name, text in texts.items():
        missing, unknown = known.get(name, set()) - options_of(text), options_of(text) - every
        complaints += [f"{name}: does not name --{option}" for option in sorted(missing)]
        complaints += [f"{name}: there is no option --{option}" for option in sorted(unknown)]
    complaints += [f"pagerctl.8: does not name {' '.join(words)}" for words in commands()
                   if " ".join(words) not in texts["pagerctl.8"]]
    keys = re.search(r"section \[pagerd\]:\n(.*?)\.", help_of("pagerd")).group(1).split(", ")
    # Keys of a target's file are the options without their dashes.
    complaints += [f"pagerd.conf.5: does not name {key}" for key in sorted(target_options) + keys
                   if not re.search(rf"(?<![\w-]){key}(?![\w-])", texts["pagerd.conf.5"])]
    return complaints


def headers():
    """Each header that is installed compiles alone, in old C and in C++."""
    complaints = []
    found = [*(tree.TOP / "uapi/linux").glob("*.h"), *(tree.TOP / "lib/include").glob("*.h")]
    for header in sorted(found):
        for compiler, language in (("gcc", "c99"), ("gcc", "c17"), ("g++", "c++11"),
                                   ("g++", "c++20")):
            lines = run(compiler, f"-std={language}", "-fsyntax-only", "-Wall", "-Wextra",
                        "-pedantic", f"-I{tree.TOP}/uapi",
                        f"-I{tree.TOP}/lib/include",
                        "-x", "c++" if compiler == "g++" else "c", header)[1]
            complaints += [f"{language}: {line}" for line in lines]
    return complaints


def baseline(directory, top=tree.TOP):
    """The library's interface as it was in the last release, or else as it is kept."""
    tag = subprocess.run(["git", "describe", "--tags", "--abbrev=0"], cwd=top,
                         capture_output=True, text=True).stdout.strip()
    if tag:
        shown = subprocess.run(["git", "show", f"{tag}:{ABI}"], cwd=top, capture_output=True)
        if not shown.returncode:
            (directory / "baseline.abi").write_bytes(shown.stdout)
            return directory / "baseline.abi"
    return top / ABI


def has_only_grown(block):
    """Is a changed type one that may grow, and has it at its end and nowhere else?"""
    head, *lines = block.strip().splitlines()
    name = re.match(r"'struct (\w+)' changed:", head)
    size = re.match(r"\s+type size changed from (\d+) to", lines[0]) if lines else None
    if not name or name.group(1) not in GROWING or not size or \
            not re.match(r"\s+\d+ data member insertions?:", lines[1]):
        return False
    offsets = [re.search(r"at offset (\d+) \(in bits\)", line) for line in lines[2:]]
    return all(offset and int(offset.group(1)) >= int(size.group(1)) for offset in offsets)


def abi_of(library, top=tree.TOP):
    """What was built against the last release runs with this library: symbols may
    be added, and structs that carry their size may grow at their ends."""
    with tempfile.TemporaryDirectory() as directory:
        status, lines = run("abidiff", "--leaf-changes-only", "--no-added-syms",
                            baseline(Path(directory), top), library)
    if not status:
        return []
    # Bit 2 says that there are changes, and any other that no more need be asked.
    changed = re.split(r"^(?=')", "\n".join(lines), flags=re.M)[1:]
    counts = re.findall(r"(\d+)[^,:]* (?:Removed|Changed)", "\n".join(lines))
    if status == 4 and changed and not any(map(int, counts)) and \
            all(map(has_only_grown, changed)):
        return []
    return lines or [f"abidiff ended with {status}"]


def abi():
    tree.make("lib")
    return abi_of(tree.BUILD / "lib/libextpager.so.0")


def rows(text, heading):
    """First and last column of the first table after a heading."""
    table = text.split(f"\n{heading}\n", 1)[1].split("\n|---", 1)[1].split("\n\n")[0]
    cells = [line.strip("|").split("|") for line in table.splitlines()[1:]]
    return [(row[0].strip(), row[-1]) for row in cells]


def failures():
    """Each failure that the protocol speaks of is shown by tests that there are."""
    text = (tree.TOP / "uapi/PROTOCOL.md").read_text()
    told = [failure for failure, _ in rows(text, "## Who sees what when something fails")]
    shown = dict(rows(text, "### Which test shows it"))
    known = {test for test, _ in manifest.load()}
    complaints = [f"no test shows: {failure}" for failure in told if failure not in shown]
    complaints += [f"no such failure: {failure}" for failure in shown if failure not in told]
    return complaints + [f"{failure}: no test {test}" for failure, cell in shown.items()
                         for test in re.findall(r"`([^`]*)`", cell) or ["at all"]
                         if not fnmatch.filter(known, test)]


CHECKS = {"manual": manual, "options": options, "headers": headers, "abi": abi,
          "failures": failures}
