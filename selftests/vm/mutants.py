# SPDX-License-Identifier: GPL-2.0-only
"""Mutants: the tests tested. Each selftests/mutants/NAME.patch puts a small
mistake into the sources and names the tests that must notice:

  Tests: ring:ring.wraps, object:object.dies
  Kernel: 6.12            (or 6.1, debug, host)
  Expect: splat           (optional: the kernel's complaint counts as well)
  Rounds: all             (optional: fewer, as in a check, may miss it)
  Why the mistake matters, in a line or two.

  --- a/kmod/ring.c
  +++ b/kmod/ring.c
  ...

All the tests named must run and fail, or their program must end in them, in a
boot that is otherwise in order.
"""
import json
import random
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from . import guest, manifest, tree

DIRECTORY = tree.SELFTESTS / "mutants"
COUNT = 5


@dataclass
class Mutant:
    name: str
    patch: Path
    tests: list
    kernel: str
    splat: bool
    deep: bool = False


def load():
    found = []
    for patch in sorted(DIRECTORY.glob("*.patch")):
        text = patch.read_text().split("\n--- ")[0]
        header = dict(re.findall(r"^(Tests|Kernel|Expect|Rounds): *(.+)$", text, re.M))
        tests = re.split(r"\s*,\s*", header.get("Tests", "").strip())
        if not all(":" in test for test in tests) or "Kernel" not in header:
            raise tree.BuildError(f"{patch.name}: no Tests: or no Kernel:")
        found.append(Mutant(patch.stem, patch, tests, header["Kernel"].strip(),
                            header.get("Expect", "").strip() == "splat",
                            header.get("Rounds", "").strip() == "all"))
    return found


def pick(session, share=(1, 1), count=COUNT):
    """A sample by the session's seed; all of them when it is deep, or the K-th N-th part."""
    mutants = [m for m in load() if session.wants(f"mutant:{m.name}")]
    if session.deep or session.only or len(mutants) <= count:
        return mutants[share[0] - 1::share[1]]
    return random.Random(session.seed).sample(mutants, count)


def prepare(work):
    """A copy of the sources, with a build directory that outlives the mutants.
    By content, not by time: what was changed back must be built again."""
    work.mkdir(parents=True, exist_ok=True)
    subprocess.run(["rsync", "-rlpc", "--delete", "--exclude=/build", "--exclude=/.git",
                    f"{tree.TOP}/", f"{work}/"], check=True)


def verdict(session, mutant, work):
    """None when the mutant was caught, or what is wrong."""
    results = work / "build/report/results.json"
    results.unlink(missing_ok=True)
    place = ["--host"] if mutant.kernel == "host" else ["--kernel", mutant.kernel]
    only = [word for test in mutant.tests for word in ("--only", test)]
    rounds = ["--deep"] if mutant.deep else []
    # One at a time: for one of guest.PROCESSORS.
    done = subprocess.run([work / "selftests/run", *place, *only, *rounds,
                           "--seed", str(session.seed), "--machines", "1"],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    log = work.parent / f"{mutant.name}.log"
    log.write_text(done.stdout)
    if not results.exists():
        return f"did not build or run: see {log.relative_to(tree.TOP)}"
    return judge(mutant, json.loads(results.read_text()))


def judge(mutant, results):
    """None when the mutant was caught by these results, or what is wrong."""
    verdicts = {r["test"]: r["verdict"] for r in results}
    # One that its program ended in is there, and failed.
    unseen = [test for test in mutant.tests if test not in verdicts]
    boots = [r for r in results if r["test"].startswith("boot:") and r["verdict"] == "fail"]
    if boots:
        reasons = "; ".join(why for boot in boots for why in boot["why"])
        if not mutant.splat or re.search("no-module|build-id", reasons):
            return f"the boot broke: {reasons}"
    if unseen:
        return f"NEVER RAN {', '.join(unseen)}"
    survived = [test for test in mutant.tests if verdicts[test] != "fail"]
    return f"SURVIVED {', '.join(survived)}" if survived and not boots else None


def run_one(session, mutant, work):
    # A name that does not exist cannot pass and would look caught.
    unknown = [test for test in mutant.tests if (test, mutant.kernel) not in manifest.load()]
    if unknown:
        session.record(f"mutant:{mutant.name}", mutant.kernel, "fail",
                       f"the manifest has no {', '.join(unknown)}")
        return
    prepare(work)
    applied = subprocess.run(["patch", "-p1", "--forward", "--fuzz=2", "-s", "--no-backup-if-mismatch",
                              "-i", mutant.patch], cwd=work, capture_output=True, text=True)
    if applied.returncode:
        problem = f"does not apply: {applied.stdout.strip()}"
    else:
        with guest.PROCESSORS:
            problem = verdict(session, mutant, work)
    session.record(f"mutant:{mutant.name}", mutant.kernel, "fail" if problem else "pass",
                   problem or "")


def run(session, mutants, workers=2):
    def worker(number):
        for mutant in mutants[number::workers]:
            run_one(session, mutant, tree.BUILD / "mutants" / f"work{number}")
    with ThreadPoolExecutor(workers) as pool:
        for future in [pool.submit(worker, number) for number in range(workers)]:
            future.result()
