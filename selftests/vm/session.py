# SPDX-License-Identifier: GPL-2.0-only
"""One call of the runner: what ran, what came of it, and the report."""
import json
import os
import random
import re
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from . import behaviours, guest, ktap, manifest, plots, tree

UNIT_TIMEOUT = 300              # seconds
# Names before the colon that stand for no test program.
KINDS = ("canary", "mutant", "static", "unit", "demo", "boot")
# What a program has counted, as in: # count mmap: failed=7 refused=4
COUNT = re.compile(r"# count ([^:]+):((?: \w+=\d+)+)$")
# How often a kernel that died is booted again for the programs not yet run.
REBOOTS = 8


def _unreported(path, parser):
    """The test that a program of cmocka ended in, which tells results alone: they
    come in the order of the source."""
    source = tree.SELFTESTS / f"unit/{path.stem}.c"
    if path.suffix or not source.exists() or len(parser.results) == parser.planned:
        return None
    order = re.findall(r"\bcmocka_unit_test\w*\(\s*(\w+)", source.read_text())
    return order[len(parser.results)] if len(order) == parser.planned else None


def said_in(lines, test):
    """What a program has said since it began a test: all, if it did not say when."""
    for number in range(len(lines) - 1, -1, -1):
        if re.match(rf"#\s+RUN\s+{re.escape(test)} ", lines[number]):
            return lines[number:]
    return lines


def counts_in(lines):
    """What a program has counted: {"mmap": {"failed": 7, "refused": 4}}."""
    found = filter(None, map(COUNT.match, lines))
    return {match[1]: {name: int(number) for name, number in
                       (word.split("=") for word in match[2].split())} for match in found}


class Session:
    def __init__(self, seed=None, deep=False, only=(), quiet=False, sampled=False):
        self.seed = seed if seed is not None else random.SystemRandom().randrange(1 << 31)
        self.deep, self.only, self.quiet = deep, tuple(only), quiet
        self.sampled = sampled          # a program runs on one of tree.SAMPLED at most
        self.seen = {}                  # (test, place): pass, fail or skip
        self.why = {}                   # (test, place): [reason], of failures
        self.seconds = {}               # (test, place): how long it took, in a machine
        self.shown = []                 # rows of behaviours.json
        self.shown_at = set()           # (number, place) of those that passed
        self.partly_at = set()          # likewise, of what was shown only in part
        self.build_ids = {}
        self.unasked = set()            # tests of the manifest that were not picked
        self.canaries_at = set()        # kernels whose canaries were run
        self.began = time.monotonic()
        self._lock = threading.Lock()

    # --- saying and recording

    def say(self, text):
        if not self.quiet:
            with self._lock:
                print(text, flush=True)

    def record(self, test, place, verdict, why=""):
        with self._lock:
            if self.seen.get((test, place)) != "fail":
                self.seen[test, place] = verdict
            if verdict == "fail":
                self.why.setdefault((test, place), []).append(why)
        mark = {"pass": "ok", "skip": "skip", "fail": "FAIL"}[verdict]
        self.say(f"{place:<6} {mark:<5} {test}{'  # ' + why if why else ''}")

    def _result(self, test, place, release, result):
        self.record(test, place, result.verdict, result.reason)
        if result.verdict == "skip":
            return
        verdict = result.verdict
        with self._lock:
            for numbers, good, at in ((result.behaviours, "pass", self.shown_at),
                                      (result.partial, "partial", self.partly_at)):
                self.shown += [{"behaviour": n, "test": test, "kernel": release,
                                "result": good if verdict == "pass" else "fail"}
                               for n in numbers]
                if verdict == "pass":
                    at.update((n, place) for n in numbers)

    def _complain(self, program, place, running, complaint):
        """The program came to a bad end; so did the test that it was in."""
        self.record(f"{program}:(program)", place, "fail", complaint)
        if running and self.wants(f"{program}:{running}"):
            self.record(f"{program}:{running}", place, "fail", "the program ended in it")

    def _quote(self, lines):
        self.say("\n".join(f"       | {line}" for line in lines[-40:]))

    def wants(self, test):
        return not self.only or manifest.matches(test, self.only)

    # --- virtual machines

    def _report(self, boot, run, result):
        place = boot.kernel.name
        if result:
            test = f"{run.program.name}:{result.name}"
            now = time.monotonic()
            self.seconds[test, place] = round(now - run.since, 1)
            run.since = now
            if self.wants(test):
                self._result(test, place, boot.kernel.release, result)
                if result.verdict == "fail":
                    self._quote(said_in(run.output, result.name))
            return
        plots.draw(run.program.name, place, run.output)
        if counts := counts_in(run.output):
            self._write_json(run.program.name, {"kernel": boot.kernel.release, "seed": self.seed,
                                                "deep": self.deep, "operations": counts})
        if run.complaint:
            self._complain(run.program.name, place, run.parser.running, run.complaint)
            self._quote(run.output)

    def boot(self, boot):
        """Boots until every program had its turn: one that kills the kernel
        must not hide the others. Returns the last outcome."""
        test, place = f"boot:{boot.name}", boot.kernel.name
        for attempt in range(REBOOTS):
            part = replace(boot, name=boot.name if not attempt else f"{boot.name}-{attempt}")
            outcome = guest.run(part, self._report)
            if guest.emulator_tripped(outcome) and attempt < REBOOTS - 1:
                self.say(f"{place:<6} again {test}  # the emulator tripped over patched code")
                boot = replace(boot, programs=[p for p in boot.programs if p.name not in
                                               outcome.runs or outcome.runs[p.name].complaint
                                               == "did not end"])
                continue
            for run in outcome.runs.values():
                if run.complaint == "did not end":
                    self._report(boot, run, None)
            if outcome.problems:
                for reason, text in outcome.problems:
                    self.record(test, place, "fail", f"{reason}: {text}")
                self.say("\n".join(f"       > {line}" for line in outcome.excerpt()))
            if outcome.other_races:
                self.say(f"{place:<6} {outcome.other_races} data races of others let pass")
            self.seconds[test, place] = round(self.seconds.get((test, place), 0) +
                                              outcome.seconds, 1)
            left = [p for p in boot.programs if p.name not in outcome.runs]
            if not left or not outcome.runs:
                break
            boot = replace(boot, programs=left)
        if (test, place) not in self.seen:
            self.record(test, place, "pass")
        self.say(f"-- {place} {boot.name}: {self.seconds[test, place]:.0f} s")
        return outcome

    def _deep_on(self, kernel):
        """What kcsan sees it sees at random: it gains nothing by rounds for the sake of size."""
        return self.deep and kernel.name != "kcsan"

    def _leaves(self, program, place):
        """Is it left to check-deep, or to a check with another seed? Not if it is asked for."""
        if self.deep or self.only:
            return False
        if place in program.deep:
            return True
        if not self.sampled or place not in tree.SAMPLED or not program.runs_on("6.12") or \
                program.name in tree.STEADY.get(place, ()):
            return False
        return place != random.Random(f"{self.seed} {program.name}").choice(tree.SAMPLED)

    def _environment(self, kernel):
        return {"EXTPAGER_SEED": self.seed, "EXTPAGER_DEEP": int(self._deep_on(kernel)),
                "EXTPAGER_DEBUG_KERNEL": int(kernel.debug), "EXTPAGER_KERNEL": kernel.release}

    def _selected(self, kernel):
        """The programs to run; one that is wanted for a single test gets its name."""
        for program in tree.programs().values():
            if not program.runs_on(kernel.name) or self._leaves(program, kernel.name):
                continue
            if kernel.name == "kcsan" and not self.only and program.name not in tree.MEETING:
                continue
            if self._deep_on(kernel):
                program = replace(program, options={**program.options,
                                                    "timeout": program.timeout * 10})
            globs = [g for g in self.only if manifest.matches(program.name, [g.partition(":")[0]])]
            if self.only and not globs:
                continue
            tests = [g.partition(":")[2] for g in globs]
            if program.path.suffix == "" and tests and all(tests) and \
                    not any(c in t for t in tests for c in "*?["):
                program = replace(program, args=" ".join(f"-r {t}" for t in tests))
            yield program

    def boots(self, kernel):
        """The boots that the selected programs need: one for all, or two, one for those that
        wait, some of their own."""
        module = tree.build_module(kernel)
        build_id = self.build_ids[kernel.name] = tree.build_id(module)
        common = guest.Boot("default", kernel, [], module, build_id, self._environment(kernel))
        waiting = replace(common, name="waiting", programs=[], options={}, idle=True)
        alone = []
        for program in self._selected(kernel):
            if program.options.get("idle"):
                waiting.programs.append(program)
                waiting.options.update(program.boot_options)
            elif program.boot_options:
                alone.append(replace(common, name=program.name, programs=[program],
                                     options=program.boot_options))
            else:
                common.programs.append(program)
        shared = [common]
        if kernel.debug:        # slow: it would run alone when all else is done
            shared = [replace(common, programs=common.programs[0::2]),
                      replace(common, name="rest", programs=common.programs[1::2])]
        return [boot for boot in [waiting, *shared] if boot.programs] + alone

    def run_kernels(self, names, machines=2):
        """Runs the test programs on the kernels, two machines at a time and a third that is idle."""
        tree.make("lib", "daemon", "examples")
        some = [p.name for p in tree.programs().values()
                if p.path.is_relative_to(tree.BUILD) and self.only and
                any(manifest.matches(f"{p.name}:", [f"{o.split(':')[0]}:"]) for o in self.only)]
        tree.make("selftests", *([f"PROGRAMS={' '.join(some)}"] if self.only else []))
        kernels = sorted((tree.kernel(name) for name in names), key=lambda k: -k.slowness)
        boots = [boot for kernel in kernels for boot in self.boots(kernel)]
        if not boots:
            self.say("no program matches")
        with ThreadPoolExecutor(machines) as pool, ThreadPoolExecutor(1) as beside:
            for future in [(beside if boot.idle and machines > 1 else pool).submit(self.boot, boot)
                           for boot in boots]:
                future.result()

    # --- programs of this machine

    def run_units(self):
        """The unit tests; programs in C with either sanitizer, scripts once."""
        tree.make("daemon", "unit")
        for program in tree.programs("unit", "asan/unit").values():
            if program.path.suffix:
                self._run_unit(f"unit:{program.name}", program)
            else:
                for sanitizer in ("asan", "tsan"):
                    self._run_unit(f"unit:{sanitizer}/{program.name}", program,
                                   tree.BUILD / sanitizer / "unit" / program.name)

    def _run_unit(self, name, program, path=None):
        path, limit = path or program.path, int(program.options.get("timeout", UNIT_TIMEOUT))
        if self.only and not manifest.matches(name, [":".join(glob.split(":")[:2])
                                                     for glob in self.only]):
            return
        # A race ends the program, so that the test it is in does not pass.
        environment = {**os.environ, "CMOCKA_MESSAGE_OUTPUT": "TAP",
                       "TSAN_OPTIONS": "halt_on_error=1",
                       "EXTPAGER_SEED": str(self.seed), "EXTPAGER_DEEP": str(int(self.deep))}
        killed = False
        try:
            # TSan wants an unshuffled address space.
            done = subprocess.run(["setarch", "-R", path], timeout=limit, env=environment,
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT)
            output, status = done.stdout, done.returncode
        except subprocess.TimeoutExpired as late:
            output, status, killed = late.stdout or b"", 137, True
        parser = ktap.Parser()
        lines = output.decode(errors="replace").splitlines()
        for line in lines:
            result = parser.feed(line)
            if result and self.wants(f"{name}:{result.name}"):
                self._result(f"{name}:{result.name}", "host", "host", result)
        # Python says -N for death by signal N, a shell 128 + N.
        complaint = parser.complaint(status if status >= 0 else 128 - status,
                                     limit if killed else None)
        if complaint:
            self._complain(name, "host", parser.running or _unreported(path, parser), complaint)
        if complaint or any(r.verdict == "fail" for r in parser.results):
            self.say("\n".join(f"       | {line}" for line in lines[-40:]))

    # --- the end

    def expected(self, places, kinds):
        """What the manifest wants of a run on these places: test programs when
        there are kernels, and the kinds (canary, mutant...) that were run."""
        wanted = {}
        programs = tree.programs().values()
        left = {(p.name, place) for p in programs for place in places
                if self._leaves(p, place)}
        left |= {("waiting", place) for place in places if not any(
            p.options.get("idle") and p.runs_on(place) and (p.name, place) not in left
            for p in programs)}
        for (test, place), verdict in manifest.load().items():
            kind, _, name = test.partition(":")
            if (name if kind == "boot" else kind, place) in left:
                continue
            if kind not in KINDS or kind == "boot":
                runs = place in places
            else:
                runs = kind in kinds and (kind != "canary" or place in self.canaries_at)
            if runs and self.wants(test) and test not in self.unasked:
                wanted[test, place] = verdict
        if self.only:           # a part of the tests, while they are being written
            wanted.update({key: verdict for key, verdict in self.seen.items()
                           if key not in wanted and verdict != "fail"})
        return wanted

    def finish(self, places, kinds):
        """Prints failures and the one line of totals, writes the report.
        Returns the exit status."""
        counts, failures = manifest.judge(self.seen, self.expected(places, kinds))
        if not self.only:
            unseen = behaviours.missing(self.shown_at, self.partly_at,
                                        [*places, *(["host"] if "unit" in kinds else [])],
                                        behaviours.load(self.deep), self.sampled)
            failures += unseen
            counts["failed"] += len(unseen)
        self.write_report()
        minutes = (time.monotonic() - self.began) / 60
        self.say(f"-- {len(self.seen)} results in {minutes:.0f} min, "
                 f"{len(self.seen) / minutes:.0f} a minute")
        if failures:
            print("\nfailures:")
        for test, place, why in failures:
            reasons = "; ".join(r for r in self.why.get((test, place), ()) if r)
            print(f"  {place:<6} {test}: {why}{': ' + reasons if reasons else ''}")
        print(manifest.totals(counts))
        return 1 if failures or not counts["passed"] else 0

    @staticmethod
    def _write_json(name, what):
        directory = tree.BUILD / "report"
        directory.mkdir(parents=True, exist_ok=True)
        (directory / f"{name}.json").write_text(json.dumps(what, indent=1) + "\n")

    def write_report(self):
        def git(*words):
            return subprocess.run(["git", "-C", tree.TOP, *words], capture_output=True,
                                  text=True).stdout.strip()
        report = {"commit": git("rev-parse", "-q", "--verify", "HEAD"),
                  "dirty": bool(git("status", "--porcelain")),
                  "module_build_id": self.build_ids, "seed": self.seed,
                  "results": sorted(self.shown, key=lambda r: (r["behaviour"], r["test"],
                                                               r["kernel"]))}
        self._write_json("behaviours", report)
        results = [{"test": t, "place": p, "verdict": v, "why": self.why.get((t, p), []),
                    "seconds": self.seconds.get((t, p))}
                   for (t, p), v in sorted(self.seen.items())]
        self._write_json("results", results)

    def update_manifest(self, places, kinds):
        """Replaces the manifest's lines of what was run by what was seen."""
        old = manifest.load()
        for key in self.expected(places, kinds):
            old.pop(key, None)
        for (test, place), verdict in sorted(self.seen.items()):
            if test.endswith(":(program)") or test.startswith("build:"):
                continue                # no tests, but signs of trouble
            old[test, place] = "skip" if verdict == "skip" else "pass"
            if verdict == "fail":
                print(f"manifest: {place} {test} failed, but is written down", file=sys.stderr)
        manifest.save(old)
