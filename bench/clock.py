# SPDX-License-Identifier: GPL-2.0-only
"""The boot by the clock: two CPUs and an NVMe disk, in rounds of all systems. An emulator's
time says little by itself: a system is told as its pages per second, beside those of mmap in
the same round. And what memory the module and pagerd take."""
import json
import statistics
import tempfile
from collections import defaultdict
from pathlib import Path

import counts
from plan import BY_CLOCK
from vm import guest, tree

ROUNDS = 7
CPUS = 2
TICK = 10000000         # nanoseconds, of /proc/stat
GIB = 1 << 30
TIMEOUT = 1800          # seconds


class Clock:
    """What one boot told, and what was counted in it, if it was watched."""

    def __init__(self, kernel, lines, counted=()):
        self.kernel = kernel.release
        told = [json.loads(line) for line in lines if line.startswith("{")]
        self.memory = next((line["memory"] for line in told if "memory" in line), None)
        self.results = [line for line in told if "case" in line]
        times = defaultdict(list)
        for result in self.results:
            times[result["system"]].append(result["nanoseconds_per_page"])
        self.times = dict(times)
        self.counted = counted

    def complaints(self):
        for result in self.results:
            where = f"{result['case']}/{result['system']}, by the clock"
            if not result["sum"]:
                yield f"{where}: wrong bytes"
            if result["requests"] != result["pages"]:
                yield f"{where}: {result['requests']} requests for {result['pages']} pages"
        if not self.results or len(set(map(len, self.times.values()))) != 1:
            yield "not every system has every round"
        if not self.memory:
            yield "nothing was told of memory"

    def ratios(self):
        """By system: (lowest, median, highest) of its pages per second to mmap's."""
        for system, times in self.times.items():
            each = sorted(plain / own for plain, own in zip(self.times.get("mmap", ()), times))
            if each:
                yield system, (each[0], statistics.median(each), each[-1])

    def idle(self, system):
        """What part of the CPUs was idle."""
        rounds = [result for result in self.results if result["system"] == system]
        return sum(TICK * r["idle"] for r in rounds) / CPUS / \
            sum(r["nanoseconds_per_page"] * r["pages"] for r in rounds)

    def profiles(self):
        """Lines of Markdown."""
        pairs = list(zip(self.results, self.counted))
        for system in self.times if pairs else ():
            rounds = [(r, c) for r, c in pairs if r["system"] == system]
            title = f"{rounds[0][0]['case']}, {system}, Linux {self.kernel}, by the clock"
            yield from counts.profile(title, counts.together(c for _, c in rounds),
                                      sum(r["pages"] for r, _ in rounds))

    def goals(self):
        """(system, goal, met); and of extpager's that which is behind a peer."""
        median = {system: ratio for system, (_, ratio, _) in self.ratios()}
        peers = {s: r for s, r in median.items() if s != "mmap" and not s.startswith("extpager-")}
        for system, limit in BY_CLOCK.items():
            if system in median:
                yield system, f"at least {limit:.2f} of mmap", median[system] >= limit
                best = max(peers, key=peers.get, default=None)
                if best:
                    yield system, f"more than {best}", median[system] > peers[best]

    def table(self):
        """Lines of Markdown."""
        if self.times:
            rounds = len(next(iter(self.times.values())))
            yield (f"Linux {self.kernel}, by the clock: two CPUs, an NVMe disk, four threads that "
                   f"touch pages at random, {rounds} rounds"
                   f"{', slowed by a count of all instructions' if self.counted else ''}")
            yield ""
            yield "| system | pages per second to mmap, median | lowest | highest | CPUs idle, % |"
            yield "|---|--:|--:|--:|--:|"
            for system, (low, median, high) in self.ratios():
                yield (f"| {system} | {median:.2f} | {low:.2f} | {high:.2f} "
                       f"| {100 * self.idle(system):.0f} |")
            yield ""
        goals = list(self.goals())
        if goals:
            yield "| system | goal, of pages per second | |"
            yield "|---|---|---|"
            for system, goal, met in goals:
                yield f"| {system} | {goal} | {'met' if met else 'missed'} |"
            yield ""
        if self.memory:
            yield from self._memory()

    def _memory(self):
        m = self.memory
        scale = GIB / m["resident"] if m["resident"] else 0
        yield "| memory | bytes |"
        yield "|---|--:|"
        for what, value in (
                ("the module's code and data", m["module"]),
                ("pagerd without targets", m["pagerd"]),
                ("an idle port, two queues, and the library's part", m["port"]),
                ("a target that is served, in the kernel and pagerd", m["target"]),
                ("of these in pagerd", m["target_pagerd"]),
                ("for a GiB in the cache, beside the GiB", (m["cache"] - m["resident"]) * scale),
                ("of these in pagerd", m["cache_pagerd"] * scale),
                ("the same for the disk's own cache, without a pager",
                 (m["cache_plain"] - m["cached"]) * GIB / m["cached"])):
            yield f"| {what} | {value:,.0f} |"
        yield ""
        yield (f"Two clients that read the same {m['resident'] >> 20} MiB took "
               f"{m['cache'] / m['resident'] if m['resident'] else 0:.3f} of them: "
               "cached data is there once.")
        yield ""


def boot(kernel, module, program, short, watched):
    """Returns (what it told, complaints)."""
    lines = []
    script = tree.Program("bench", tree.TOP / "bench/guest.py", {"timeout": str(TIMEOUT)})
    words = f"-w {2 if short else ROUNDS}{' -s' if short else ''}"
    with tempfile.TemporaryDirectory(prefix="clock-", dir=tree.VM) as work:
        def machine(*args):
            return guest.machine(*args) + (counts.watch(Path(work)) if watched else [])
        outcome = guest.run(
            guest.Boot("bench", kernel, [script], module, tree.build_id(module),
                       {"BENCH_ARGS": f"'{words}'"}, files={"tests/bench": program},
                       echo=lines.append, machine=machine), lambda *_: None)
        run = outcome.runs.get("bench")
        failed = run is None or run.complaint
        clock = Clock(kernel, lines,
                      counts.counted(Path(work), program) if watched and not failed else ())
    complaints = [text for _, text in outcome.problems] + list(clock.complaints())
    complaints += [line for line in lines if line.startswith("bench:")]
    if failed:
        complaints.append(run.complaint if run else "the benchmark did not begin")
        complaints += lines[-20:] + outcome.excerpt()
    return clock, [f"{kernel.name}, by the clock: {c}" for c in complaints]
