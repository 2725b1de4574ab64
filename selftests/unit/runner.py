#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""What the runner makes of consoles, of programs' output, of mutants' results and
of behaviours not shown, the demo of what it was told, and what is drawn of samples:
their judgement, without a machine. KTAP."""
import json
import sys
import tempfile
import traceback
from contextlib import redirect_stdout
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from io import StringIO
from pathlib import Path
from types import SimpleNamespace

sys.dont_write_bytecode = True
TOP = Path(__file__).resolve().parents[2]
sys.path.append(str(TOP / "selftests"))
from vm import behaviours, guest, ktap, manifest, mutants, plots, session, splats, tree

# Lines as kernels print them, and what they are a sign of.
CONSOLE = (
    ("lockdep", "WARNING: possible circular locking dependency detected"),
    ("lockdep", "WARNING: possible recursive locking detected"),
    ("lockdep", "WARNING: possible irq lock inversion dependency detected"),
    ("lockdep", "WARNING: inconsistent lock state"),
    ("lockdep", "WARNING: held lock freed!"),
    ("lockdep", "WARNING: bad unlock balance detected!"),
    ("lockdep", "WARNING: lock held when returning to user space!"),
    ("lockdep", "WARNING: sh/123 still has locks held!"),
    ("lockdep", "[ BUG: Invalid wait context ]"),
    ("lockdep", "INFO: lockdep is turned off."),
    ("lockdep", "BUG: MAX_LOCKDEP_ENTRIES too low!"),
    ("lockdep", "turning off the locking correctness validator."),
    ("lockdep", "DEBUG_LOCKS_WARN_ON(lock->magic != lock)"),
    ("rcu", "WARNING: suspicious RCU usage"),
    ("rcu", "rcu: INFO: rcu_preempt detected stalls on CPUs/tasks: 1-...0: stall"),
    ("rcu", "rcu: INFO: rcu_sched self-detected stall on CPU"),
    ("rcu", "rcu: INFO: rcu_preempt detected expedited stalls on CPUs/tasks: { 0-... } stall"),
    ("kasan", "BUG: KASAN: slab-use-after-free in act+0x12/0x34 [extpager]"),
    ("ubsan", "UBSAN: array-index-out-of-bounds in kmod/ring.c:10:5"),
    ("ubsan", "UBSAN: shift-out-of-bounds in kmod/request.c:10:5"),
    ("leak", "unreferenced object 0xffff888004a0f000 (size 64):"),
    ("hang", "INFO: task pagerd:123 blocked for more than 60 seconds."),
    ("hang", "Kernel panic - not syncing: hung_task: blocked tasks"),
    ("hang", "watchdog: BUG: soft lockup - CPU#1 stuck for 52s! [pagerd:123]"),
    ("hang", "watchdog: Watchdog detected hard LOCKUP on cpu 0"),
    ("hang", "BUG: workqueue lockup - pool cpus=1 node=0 flags=0x0 nice=0 stuck for 61s!"),
    ("refcount", "refcount_t: underflow; use-after-free."),
    ("inodes", "VFS: Busy inodes after unmount of extpager (extpager)"),
    ("objects", "BUG extpager_object (Tainted: G O): Objects remaining in extpager_object"),
    ("objects", "ODEBUG: free active (active state 0) object: 0 object type: timer_list"),
    ("objects", "kmem_cache_destroy extpager_object: Slab cache still has objects when called"),
    ("corruption", "list_del corruption, ffff888004a0f000->next is LIST_POISON1"),
    ("corruption", "list_add corruption. prev->next should be next"),
    ("corruption", "BUG kmalloc-64 (Not tainted): Right Redzone overwritten"),
    ("corruption", "BUG kmalloc-64 (Not tainted): Poison overwritten"),
    ("corruption", "BUG: Bad page state in process pagerd  pfn:01234"),
    ("corruption", "BUG: Bad rss-counter state mm:ffff888004a0f000 type:MM_FILEPAGES val:1"),
    ("corruption", "BUG: non-zero pgtables_bytes on freeing mm: 4096"),
    ("atomic", "BUG: sleeping function called from invalid context at kernel/mutex.c:580"),
    ("atomic", "BUG: scheduling while atomic: pagerd/123/0x00000002"),
    ("warn", "WARNING: CPU: 1 PID: 123 at kmod/object.c:12 extpager_object_end+0x1/0x2"),
    ("warn", "------------[ cut here ]------------"),
    ("bug", "kernel BUG at kmod/object.c:12!"),
    ("bug", "BUG: kernel NULL pointer dereference, address: 0000000000000010"),
    ("bug", "BUG: unable to handle page fault for address: ffffc90000000000"),
    ("bug", "Oops: 0002 [#1] PREEMPT SMP"),
    ("bug", "general protection fault, probably for non-canonical address 0x6b6b6b6b"),
    ("panic", "Kernel panic - not syncing: canary"),
)

# What a machine in good health says as well.
HARMLESS = (
    "Linux version 6.12.0 (gcc-12) #1 SMP PREEMPT_DYNAMIC",
    "Kernel command line: console=ttyS0 panic=-1 oops=panic panic_on_warn=1 softlockup_panic=1",
    "rcu: Hierarchical RCU implementation.",
    "Lock dependency validator: Copyright (c) 2006 Red Hat, Inc., Ingo Molnar",
    "kmemleak: Kernel memory leak detector initialized (mem pool available: 15664)",
    "extpager: loading out-of-tree module taints kernel.",
    "extpager-test: hostile",
    "random: crng init done",
    "hid: raw HID events driver (C) Jiri Kosina",
)


def splats_are_known():
    """Each kind of line by itself, with a time before it as on a console."""
    for reason, line in CONSOLE:
        found = splats.find(f"[   12.345678] {line}")
        assert [why for why, _ in found] == [reason], (line, found)
    silent = {reason for reason, _ in splats.SPLATS} - {reason for reason, _ in CONSOLE}
    assert not silent, f"no line for {silent}"


def splats_are_told_apart():
    text = "\n".join(HARMLESS)
    assert splats.find(text) == [], splats.find(text)
    # The first line of each reason, in the order they came, between harmless ones.
    lines = ["UBSAN: one", "all is well", "BUG: KASAN: two", "UBSAN: three", "Kernel panic - x"]
    assert splats.find("\n".join(lines)) == [
        ("ubsan", "UBSAN: one"), ("kasan", "BUG: KASAN: two"), ("panic", "Kernel panic - x")]


def data_races_of_ours_are_told_with_both_stacks():
    def report(*stacks):
        rule = f"[    1.0] {'=' * 66}"
        lines = [f"[    1.0]  {function}+0x1/0x2" for stack in stacks for function in stack]
        return [rule, "[    1.0] BUG: KCSAN: data-race in a / b", "[    1.0] ", *lines, rule]
    ours = report(("a",), ("b", "extpager_fault"))
    ours = [line.replace("extpager_fault+0x1/0x2", "extpager_fault+0x1/0x2 [extpager]")
            for line in ours]
    others = report(("a",), ("b", "extpager_fault"))    # a function of that name elsewhere
    console = "\n".join([*HARMLESS, *others, "all is well", *ours, *others, *HARMLESS])
    assert splats.find(console) == [], splats.find(console)
    assert splats.races(console) == ([("data-race in a / b", ours[1:-1])], 2), \
        splats.races(console)


def a_sleepers_task_that_its_timer_clears_is_the_kernels():
    def report(size, function, value):
        return "\n".join((
            "=" * 66, f"[    2.0] BUG: KCSAN: data-race in {function}+0x535/0x650 [extpager]",
            "[    2.0] ", "[    2.0] race at unknown origin, with read to 0xffffc900001ffbf8 of "
            f"{size} bytes by task 87 on cpu 0:", f"[    2.0]  {function}+0x535/0x650 [extpager]",
            "[    2.0]  ioctl_enter+0xe5/0x110 [extpager]", "[    2.0] ",
            f"[    2.0] value changed: 0xffff888002d39600 -> {value}", "=" * 66))
    nothing = f"0x{0:016x}"
    assert splats.races(report(8, "queue_wait", nothing)) == ([], 1)
    for other in ((4, "queue_wait", nothing), (8, "queue_waits", nothing),
                  (8, "queue_wait", "0xffff888002d39601")):
        assert len(splats.races(report(*other))[0]) == 1, other


def only_an_oops_of_the_emulator_is_forgiven():
    outcome = guest.Outcome(None)
    outcome.problem("bug", "[  259.657746] Oops: int3: 0000 [#1] PREEMPT SMP NOPTI")
    assert guest.emulator_tripped(outcome)
    outcome.problems = [("bug", "[    1.0] Oops: general protection fault: 0000 [#1]"),
                        ("panic", "Kernel panic - not syncing: Fatal exception in interrupt")]
    assert not guest.emulator_tripped(outcome)


def a_boot_that_never_came_to_us_is_repeated():
    """Whether it panics or stands still; from when init is up, all is ours."""
    for reason, again in (("panic", True), ("hang", True), ("bug", False)):
        outcome = guest.Outcome(None)
        outcome.problem(reason, "as it may")
        assert guest.died_by_itself(outcome) == again, reason
        outcome.console = "[    4.0] extpager-init: up\n"
        assert not guest.died_by_itself(outcome), reason


def what_is_left_to_check_deep_is_run_there_or_when_it_is_asked_for():
    kernels = {name: tree.Kernel(name, Path("/nowhere")) for name in ("6.12", "debug")}
    for options, place, runs in (({}, "debug", False), ({}, "6.12", True),
                                 ({"deep": True}, "debug", True),
                                 ({"only": ["pagerd"]}, "debug", True)):
        one = session.Session(quiet=True, **options)
        selected = {program.name for program in one._selected(kernels[place])}
        expected = {test.partition(":")[0] for test, at in one.expected([place], [])}
        assert ("pagerd" in selected) == ("pagerd" in expected) == runs, (options, place)
        assert options.get("only") or {"sysfs", "death"} <= selected & expected


def a_check_runs_each_program_on_one_sampled_kernel_at_most():
    kernels = {name: tree.Kernel(name, Path("/nowhere")) for name in ("6.1", "6.12", "debug")}
    seen = {"6.1": set(), "debug": set()}
    for seed in range(20):
        one = session.Session(seed=seed, quiet=True, sampled=True)
        selected = {place: {program.name: program for program in one._selected(kernel)}
                    for place, kernel in kernels.items()}
        expected = {place: {test.partition(":")[0] for test, at in one.expected([place], [])}
                    for place in kernels}
        for place in kernels:
            assert set(selected[place]) == expected[place] - {"boot"}, (seed, place)
            boots = {test.partition(":")[2] for test, at in one.expected([place], [])
                     if test.startswith("boot:")}
            assert boots == {boot_of(program) for program in selected[place].values()} | \
                ({"rest"} if place == "debug" else set()), (seed, place)
        assert selected["6.1"].keys() & selected["debug"].keys() <= {"fuzz", "torture"}
        assert {"fuzz", "torture", "failnth"} <= selected["debug"].keys()
        for place in seen:
            seen[place] |= selected[place].keys()
    whole = {place: {test.partition(":")[0] for test, at in
                     session.Session(quiet=True).expected([place], [])} for place in seen}
    assert {place: names | {"boot"} for place, names in seen.items()} == whole


def boot_of(program):
    return "waiting" if program.options.get("idle") else \
        program.name if program.boot_options else "default"


def shares_of_the_mutants_are_all_of_them():
    deep = session.Session(deep=True, quiet=True)
    parts = [mutants.pick(deep, (k, 3)) for k in (1, 2, 3)]
    names = [mutant.name for part in parts for mutant in part]
    assert sorted(names) == sorted(mutant.name for mutant in mutants.load())
    assert all(parts) and len(names) == len(set(names))


def a_failed_test_is_quoted_from_its_beginning():
    lines = ["#  RUN           a.x ...", "# of x", "not ok 1 a.x", "#  RUN           a.xy ..."]
    assert session.said_in(lines[:3], "a.x") == lines[:3]
    assert session.said_in(lines, "a.xy") == lines[3:]
    assert session.said_in(lines, "unknown") == lines


def feed(text):
    parser = ktap.Parser()
    for line in text.splitlines():
        parser.feed(line)
    return parser


def a_program_that_dies_names_its_test():
    parser = feed("1..2\n#  RUN           ring.wraps ...\n# text\nok 1 ring.wraps\n")
    assert parser.running is None
    parser.feed("#  RUN           ring.is_full ...")
    assert parser.running == "ring.is_full"
    assert parser.complaint(137, 30) == "still running after 30 s"
    assert parser.complaint(139) == "died by signal 11"
    assert [r.name for r in parser.results] == ["ring.wraps"]


def a_programs_output_must_be_complete():
    assert feed("ok 1 a\n").complaint(0) == "printed no plan (exit status 0)"
    assert feed("1..2\nok 1 a\n").complaint(0) == "planned 2 tests, reported 1"
    assert feed("1..1\nnot ok 1 a\n").complaint(0) == "exit status 0 although a test failed"
    assert feed("1..1\nok 1 a\n").complaint(1) == "exit status 1 although no test failed"
    assert feed("1..1\nnot ok 1 a\n").complaint(1) is None
    assert feed("1..1\nok 1 a\n").complaint(0) is None
    parser = feed("1..2\n# behaviours 1, 2\n# partial 3\nok 1 a # SKIP why\nok 2 b\n")
    first, second = parser.results
    assert (first.behaviours, first.partial, first.verdict) == ([1, 2], [3], "skip")
    assert (second.behaviours, second.partial, second.verdict) == ([], [], "pass")


def a_failed_test_says_why():
    parser = feed("1..3\n#  RUN           a.x ...\n# extpager/a.c:9:x:Expected 1 (1) == n (2)\n"
                  "# extpager/a.c:9:x:\n# x: Test failed\nnot ok 1 a.x\n"
                  "# of y\n# AssertionError: 2 != 1\nnot ok 2 y\n# of z\nok 3 z\n")
    assert [r.reason for r in parser.results] == [
        "a.c:9: Expected 1 (1) == n (2)", "AssertionError: 2 != 1", ""]


def result(test, verdict, *why):
    return {"test": test, "place": "6.12", "verdict": verdict, "why": list(why)}


def mutant(*tests, splat=False):
    return mutants.Mutant("one", Path("one.patch"), list(tests), "6.12", splat)


def a_mutant_is_caught_by_tests_that_ran_and_failed():
    boot = result("boot:default", "pass")
    assert mutants.judge(mutant("a:x"), [boot, result("a:x", "fail")]) is None
    assert mutants.judge(mutant("a:x"), [boot, result("a:x", "pass")]) == "SURVIVED a:x"
    assert mutants.judge(mutant("a:x"), [boot, result("a:x", "skip")]) == "SURVIVED a:x"
    both = [boot, result("a:x", "fail"), result("a:y", "pass")]
    assert mutants.judge(mutant("a:x", "a:y"), both) == "SURVIVED a:y"
    # Another test's failure, or the program's before it came to this one, proves nothing.
    early = [boot, result("a:(program)", "fail", "died by signal 11"), result("a:w", "fail")]
    assert mutants.judge(mutant("a:x"), early) == "NEVER RAN a:x"
    assert mutants.judge(mutant("a:x"), []) == "NEVER RAN a:x"


def a_mutant_may_break_the_boot_only_if_it_says_so():
    boot = result("boot:default", "fail", "kasan: BUG: KASAN")
    ran = result("a:x", "pass")
    assert mutants.judge(mutant("a:x"), [boot, ran]).startswith("the boot broke")
    assert mutants.judge(mutant("a:x", splat=True), [boot, ran]) is None
    assert mutants.judge(mutant("a:x", splat=True), [boot]) == "NEVER RAN a:x"
    assert mutants.judge(mutant("a:x", splat=True),
                         [result("boot:default", "pass"), ran]) == "SURVIVED a:x"
    for reason in ("no-module: the module was not loaded", "build-id: another"):
        boot = result("boot:default", "fail", reason)
        assert mutants.judge(mutant("a:x", splat=True), [boot, ran]).startswith("the boot broke")


def behaviours_not_shown_are_missed():
    required = behaviours.load()
    places = ("6.1", "6.12", "debug", "host")
    assert len(required) > 150 and {place for _, place in required} == set(places), required
    full = {key for key, whole in required.items() if whole}
    part = required.keys() - full
    # Some are shown in full on some kernels only, or not in the guests.
    assert {(1, "debug"), (145, "6.12"), (135, "host")} < full, required
    assert {(123, "6.1"), (145, "debug"), (135, "6.12"), (121, "debug")} < part, required
    # What takes long is shown in full by check-deep.
    deep = behaviours.load(deep=True)
    assert required.items() - deep.items() == {((121, place), False) for place in places[:3]}
    assert deep[150, "debug"] and (150, "debug") not in required
    assert behaviours.missing(full, part, places, required) == []
    assert behaviours.missing(full - {(3, "debug")}, part, places, required) == [
        ("behaviour:3", "debug", "did not run")]
    assert behaviours.missing(full, part - {(123, "6.1")}, places, required) == [
        ("behaviour:123", "6.1", "did not run")]
    assert behaviours.missing(full - {(3, "debug")}, part | {(3, "debug")}, places, required) == [
        ("behaviour:3", "debug", "was shown only in part")]
    # Of a kernel that ran a part of the programs only what no other can show is wanted.
    assert behaviours.missing(full - {(3, "debug")}, part, places, required, sampled=True) == []
    assert behaviours.missing(full - {(3, "6.12")}, part, places, required, sampled=True) == [
        ("behaviour:3", "6.12", "did not run")]
    # A run on one kernel is asked for that kernel alone.
    assert behaviours.missing(full - {(3, "debug")}, part, ("6.1",), required) == []
    assert behaviours.missing(set(), set(), (), required) == []


def a_whole_run_misses_what_failed_or_was_shown_in_part():
    """From what a test prints to the status of the run."""
    def run(text):
        one = session.Session(quiet=True)
        for result in feed(text).results:
            one._result(f"p:{result.name}", "6.1", "6.1.0", result)
        return one

    with tempfile.TemporaryDirectory() as directory:
        path, listed = behaviours.PATH, manifest.PATH
        behaviours.PATH, manifest.PATH = Path(directory, "b"), Path(directory, "m")
        behaviours.PATH.write_text("1 2?\n")
        manifest.PATH.write_text("p:t 6.1\np:u 6.1\n")
        session.Session.write_report, write = lambda self: None, session.Session.write_report
        try:
            for marks, status in (("behaviours 1, 2", 0), ("behaviours 1\n# partial 2", 0),
                                  ("partial 1, 2", 1), ("behaviours 1", 1)):
                with redirect_stdout(StringIO()) as said:
                    got = run(f"1..2\n# {marks}\nok 1 t\nok 2 u\n").finish(["6.1"], [])
                assert got == status, (marks, said.getvalue())
        finally:
            behaviours.PATH, manifest.PATH = path, listed
            session.Session.write_report = write
    one = run("1..2\n# behaviours 1\n# partial 2\nnot ok 1 t\n# behaviours 3\nok 2 u # SKIP x\n")
    assert not one.shown_at and not one.partly_at
    assert {row["result"] for row in one.shown} == {"fail"}, one.shown


def the_manifest_is_held_against_what_ran():
    expected = {("a:x", "6.1"): "pass", ("a:y", "6.1"): "skip", ("a:z", "6.1"): "pass"}
    counts, failures = manifest.judge(dict(expected), expected)
    assert not failures and counts["passed"] == 2 and counts["skipped"] == 1
    seen = {("a:x", "6.1"): "fail", ("a:y", "6.1"): "pass", ("a:new", "6.1"): "pass"}
    _, failures = manifest.judge(seen, expected)
    assert [(test, why) for test, _, why in failures] == [
        ("a:new", "is not in the manifest"), ("a:x", "failed"),
        ("a:y", "ended with pass, not skip"), ("a:z", "did not run")]


def the_report_says_which_behaviour_was_shown_where():
    """build/report/behaviours.json, as who checks a release reads it."""
    made_up = session.Session(seed=7, quiet=True)
    made_up.build_ids["6.12"] = "0123abcd"
    for name, verdict in (("z", "pass"), ("a", "fail"), ("b", "skip")):
        made_up._result(f"p:{name}", "6.12", "6.12.0",
                        ktap.Result(name, verdict, behaviours=[12, 3], partial=[5]))
    build = session.tree.BUILD
    with tempfile.TemporaryDirectory() as directory:
        session.tree.BUILD = Path(directory)
        try:
            made_up.write_report()
        finally:
            session.tree.BUILD = build
        told = json.loads(Path(directory, "report/behaviours.json").read_text())
    assert list(told) == ["commit", "dirty", "module_build_id", "seed", "results"], told
    assert isinstance(told["commit"], str) and isinstance(told["dirty"], bool), told
    assert (told["module_build_id"], told["seed"]) == ({"6.12": "0123abcd"}, 7), told
    assert told["results"] == [
        {"behaviour": number, "test": test, "kernel": "6.12.0", "result": shown}
        for number, good in ((3, "pass"), (5, "partial"), (12, "pass"))
        for test, shown in (("p:a", "fail"), ("p:z", good))], told["results"]


def samples_become_a_histogram():
    lines = ["# histogram h: pause more", "# sample h 41.5 -3.0", "# sample h 44.0",
             "# sample h 90.0 12.0", "# sample x 1.0 2.0"]
    build = plots.tree.BUILD
    with tempfile.TemporaryDirectory() as directory:
        plots.tree.BUILD = Path(directory)
        try:
            plots.draw("p", "6.12", lines)
        finally:
            plots.tree.BUILD = build
        told = json.loads(Path(directory, "report/h.json").read_text())
        drawn = Path(directory, "report/h.svg").read_text()
    assert told == {"kernel": "6.12", "unit": "ms", "pause": [41.5, 90.0],
                    "more": [-3.0, 12.0]}, told
    assert ">pause<" in drawn and ">more<" in drawn, drawn
    assert plots.step_for([-3.0, 12.0, 41.5, 90.0]) == 5
    bins = list(plots.bins_of([[41.5, 44.0, 90.0], [-3.0]], 5, 2))
    assert bins == ["41.0 2\n91.0 1", "-2.0 1"], bins


def what_a_program_counts_is_reported():
    lines = ["# count mmap: failed=7 refused=4", "# count mmap, again: none", "ok 1 a.x",
             "# count mlock: failed=2", "# count lost: failed="]
    assert session.counts_in(lines) == {"mmap": {"failed": 7, "refused": 4},
                                        "mlock": {"failed": 2}}


def demo():
    """demo/run, which has no name of a module's."""
    loader = SourceFileLoader("demo_run", str(TOP / "demo/run"))
    module = module_from_spec(spec_from_loader("demo_run", loader))
    loader.exec_module(module)
    return module


def the_demo_judges_itself():
    run = demo()
    fine = SimpleNamespace(problems=[], runs={"demo": SimpleNamespace(
        complaint=None, parser=SimpleNamespace(results=[]))})
    expected = [(["old"], ["new"])] * run.inside.SIZE

    def judged(outcome=fine, first="old", last="new", on_disk=0, **facts):
        told = run.Facts("6.12", 1)
        for mib in range(run.inside.SIZE):
            told.take("first", mib, [first])
            told.take("second", mib, ["new" if mib % 2 else "old"])
            told.take("last", mib, [last])
        told.take(**{"finished": True, "unanswered_at_kill": 1, "dirty_at_kill": run.MIB,
                     "dirty_at_end": 0, "events": {"resent": 1}, **facts})
        told.wrong_on_disk = on_disk
        return run.problems_of(outcome, told.report(expected))

    assert judged() == [], judged()
    nothing = SimpleNamespace(problems=[], runs={})
    broken = SimpleNamespace(problems=[("warn", "WARNING: at kmod")], runs=fine.runs)
    for why, problems in (
            ("bytes were read otherwise", judged(first="new")),
            ("bytes were read otherwise", judged(last="old")),
            ("bytes on the disk are wrong", judged(on_disk=1)),
            ("the kill met nothing", judged(unanswered_at_kill=0)),
            ("the kill met nothing", judged(dirty_at_kill=run.MIB - 1)),
            ("no request was sent again", judged(events={})),
            ("were not written back", judged(dirty_at_end=4096)),
            ("the demo did not begin", judged(nothing)),
            ("WARNING: at kmod", judged(broken))):
        assert len(problems) == 1 and why in problems[0], (why, problems)


def main():
    tests = (splats_are_known, splats_are_told_apart,
             data_races_of_ours_are_told_with_both_stacks,
             a_sleepers_task_that_its_timer_clears_is_the_kernels,
             only_an_oops_of_the_emulator_is_forgiven,
             a_boot_that_never_came_to_us_is_repeated,
             what_is_left_to_check_deep_is_run_there_or_when_it_is_asked_for,
             a_check_runs_each_program_on_one_sampled_kernel_at_most,
             shares_of_the_mutants_are_all_of_them,
             a_failed_test_is_quoted_from_its_beginning, a_failed_test_says_why,
             a_program_that_dies_names_its_test,
             a_programs_output_must_be_complete, a_mutant_is_caught_by_tests_that_ran_and_failed,
             a_mutant_may_break_the_boot_only_if_it_says_so, behaviours_not_shown_are_missed,
             a_whole_run_misses_what_failed_or_was_shown_in_part,
             the_manifest_is_held_against_what_ran,
             the_report_says_which_behaviour_was_shown_where, samples_become_a_histogram,
             what_a_program_counts_is_reported, the_demo_judges_itself)
    print(f"KTAP version 1\n1..{len(tests)}")
    failed = 0
    for number, test in enumerate(tests, 1):
        good = True
        try:
            test()
        except Exception:       # whatever it is, it is this test's
            good = False
            print("\n".join(f"# {line}" for line in traceback.format_exc().splitlines()))
        print(f"{'' if good else 'not '}ok {number} {test.__name__}")
        failed += not good
    return 1 if failed else 0


sys.exit(main())
