# SPDX-License-Identifier: GPL-2.0-only
"""selftests/manifest: which tests must have run, on which kernels.

A line is "program:test" and then the places where it runs: 6.1, 6.12, debug, kcsan, host,
or debian (see debian.py). "6.1=skip" says that the test must skip itself there. Missing,
unknown and unexpectedly skipped tests are failures; so no test can get lost in silence.
What runs on debug runs on kcsan, too, if its program is one of tree.MEETING, whether the
line says so or not.
"""
import fnmatch
from collections import Counter

from . import tree

PATH = tree.SELFTESTS / "manifest"
HEADER = """\
# The tests that must run, and where: see selftests/vm/manifest.py.
# Rewritten by selftests/run --update-manifest; review the difference.
"""


def runs_on_kcsan(test):
    program, _, name = test.partition(":")
    return (name if program == "boot" else program) in ("default", "rest", "waiting", *tree.MEETING)


def load():
    """{(test, place): verdict}, the verdict being "pass" or "skip"."""
    expected = {}
    if not PATH.exists():
        return expected
    for line in PATH.read_text().splitlines():
        test, *places = line.partition("#")[0].split() or [""]
        for word in places:
            place, _, verdict = word.partition("=")
            expected[test, place] = verdict or "pass"
        if (test, "debug") in expected and runs_on_kcsan(test):
            expected.setdefault((test, "kcsan"), expected[test, "debug"])
    return expected


def save(expected):
    places = {}
    for (test, place), verdict in sorted(expected.items()):
        if place == "kcsan" and runs_on_kcsan(test) and expected.get((test, "debug")) == verdict:
            continue
        places.setdefault(test, []).append(place + ("=skip" if verdict == "skip" else ""))
    width = min(60, max(map(len, places), default=0))
    PATH.write_text(HEADER + "".join(f"{test:<{width}}  {' '.join(where)}\n"
                                     for test, where in places.items()))


def matches(test, only):
    """Does the test match one of the globs, each "program" or "program:test"?"""
    program = test.partition(":")[0]
    return any(fnmatch.fnmatchcase(test, glob) or fnmatch.fnmatchcase(test, glob + ":*")
               if ":" in glob else fnmatch.fnmatchcase(program, glob) for glob in only)


def judge(seen, expected):
    """Compares {(test, place): verdict} of a run with what was expected of it.
    Returns (counts, [(test, place, why)]) with the failures."""
    failures = []
    counts = Counter()
    for key in sorted(seen.keys() | expected.keys()):
        verdict, wanted = seen.get(key), expected.get(key)
        if verdict is None:
            failures.append((*key, "did not run"))
        elif verdict == "fail":
            failures.append((*key, "failed"))
        elif wanted is None:
            failures.append((*key, "is not in the manifest"))
        elif verdict != wanted:
            failures.append((*key, f"ended with {verdict}, not {wanted}"))
        else:
            counts["skipped" if verdict == "skip" else "passed"] += 1
    counts["failed"] = len(failures)
    return counts, failures


def totals(counts):
    text = f"{counts['passed']} passed, {counts['failed']} failed"
    return text + (f", {counts['skipped']} skipped" if counts["skipped"] else "")
