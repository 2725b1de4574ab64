# SPDX-License-Identifier: GPL-2.0-only
"""Results of the cases: whether they count, how they compare, and to which goals."""
from plan import ALONE, GOALS, MOST_TO_WATCH, SECOND, WATCHES, systems_of

PAGE_KIB = 4
# By what the plugin's count may differ from the guest's clock.
TOLERANCE = 0.01


def judge(result):
    """What is wrong with a result: wrong bytes, or it did not measure what it should."""
    pages, kib = result["pages"], result["pages"] * PAGE_KIB
    asked, read, written = (result[key] for key in ("requests", "store_read_kib",
                                                    "store_written_kib"))
    if not result["sum"]:
        yield "wrong bytes"
    if result["idle"]:
        yield "void, the CPU was idle"
    if (result["system"] == "extpager-watched") != bool(result["watches"]):
        yield f"void, statistics were read {result['watches']} times"
    if result["watches"] and not result["watching"]:
        yield "void, to read statistics cost nothing"
    clock, counted = result["instructions_per_page"] * pages, result["instructions"]
    if abs(clock - counted) > TOLERANCE * clock:
        yield f"void, the clock says {clock:,.0f} instructions, QEMU counted {counted:,}"
    if result["case"] == "write-msync":
        if written < kib:
            yield f"void, {written} KiB of {kib} were written to the store"
        if read:
            yield f"void, {read} KiB were not in memory before"
    elif result["case"] in ("cached", "cached-seq"):
        if asked or read:
            yield f"void, {read} KiB were not in memory before"
    elif result["case"] in ("rand4k", "rand4k-16threads", "outstanding"):
        if asked != pages or read != kib:
            yield f"void, {asked} requests and {read} KiB read for {pages} pages"
    elif result["case"] == "succession":
        if asked != pages:
            yield f"void, {asked} of {pages} requests were sent again"
    # Readahead hides one or the other of what plain mmap does.
    elif not asked and not read:
        yield "void, the pages were in memory before"


def part_to_watch(alone, watched):
    """What part of all instructions a user takes who watches, of two results, in one of
    which the statistics were read."""
    more = watched["instructions_per_page"] - alone["instructions_per_page"]
    return more * watched["pages"] / watched["watches"] * WATCHES / SECOND


def name_of(result):
    """The case, as tables and plots name it."""
    others = f", {result['others']:,} waiting" if result["case"] == "outstanding" else ""
    return result["case"] + others


class Comparison:
    """The results of one kernel, side by side."""

    def __init__(self, kernel, results):
        self.kernel = kernel            # its name
        self.results = results
        good = [r for r in results if not r["void"]]
        self.cost = {(r["case"], r["system"]): r["instructions_per_page"]
                     for r in good if r["case"] != "outstanding"}
        # By system: a touch's instructions by how many others wait.
        self.outstanding = {}
        for r in good:
            if r["case"] == "outstanding":
                self.outstanding.setdefault(r["system"], {})[r["others"]] = r["p50"]

    def peer_cost(self, case, peer):
        """The peer's instructions, or None if it was not measured."""
        return min((self.cost[case, system] for system in systems_of(peer)
                    if (case, system) in self.cost), default=None)

    def goals(self, case=None):
        """(goal, limit, instructions allowed, instructions taken) of what was measured."""
        for goal in GOALS:
            if goal.peer == ALONE:
                touch = self.outstanding.get(goal.system, {})
                mine, theirs = touch.get(max(touch, default=0)), touch.get(0)
            else:
                mine = self.cost.get((goal.case, goal.system))
                theirs = self.peer_cost(goal.case, goal.peer) if goal.peer else 1
            limit = goal.limits.get(self.kernel)
            if case in (None, goal.case) and mine and theirs and limit:
                yield goal, limit, limit * theirs, mine

    def _ratio(self, result, peer):
        cost = self.peer_cost(result["case"], peer)
        if not cost or result["void"] or result["system"] in systems_of(peer):
            return ""
        return f"{result['instructions_per_page'] / cost:.3f}"

    def table(self):
        """Lines of Markdown."""
        peers = ("mmap", "userfaultfd", "fuse")
        yield f"Linux {self.results[0]['kernel']}" if self.results else f"Linux {self.kernel}"
        yield ""
        yield ("| case | system | instructions per page | p50 | p99 | requests per page "
               "| store reads and writes per page | bytes copied per page | zeroed | "
               + " | ".join(f"to {peer}" for peer in peers) + " |")
        yield "|---|---|" + "--:|" * (7 + len(peers))
        for r in self.results:
            yield (f"| {name_of(r)} | {r['system']}{' (void)' if r['void'] else ''} "
                   f"| {r['instructions_per_page']:,.0f} "
                   f"| {r['p50']:,} | {r['p99']:,} | {r['requests'] / r['pages']:.3f} "
                   f"| {r['store_requests'] / r['pages']:.3f} "
                   f"| {r['bytes_copied']:,} | {r['bytes_zeroed']:,} | "
                   + " | ".join(self._ratio(r, peer) for peer in peers) + " |")
        yield ""
        by_name = {(r["case"], r["system"]): r for r in self.results if not r["void"]}
        alone, watched = (by_name.get(("rand4k", f"extpager-{how}")) for how in ("copy", "watched"))
        if alone and watched:
            yield (f"To read all statistics once a second takes "
                   f"{100 * part_to_watch(alone, watched):.3f} % of the instructions "
                   f"(at most {100 * MOST_TO_WATCH:.0f} %).")
            yield ""
        goals = list(self.goals())
        if not goals:
            return
        yield "| case | system | taken | goal | |"
        yield "|---|---|---|--:|---|"
        for goal, limit, allowed, mine in goals:
            verdict = "met" if mine <= allowed else "missed"
            yield (f"| {goal.case} | {goal.system} "
                   f"| {goal.number(mine / allowed * limit, 3)} {goal.unit} "
                   f"| {goal.number(limit)} | {verdict} |")
        yield ""
