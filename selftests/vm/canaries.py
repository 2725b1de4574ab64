# SPDX-License-Identifier: GPL-2.0-only
"""The runner tested: each canary must turn a run red, for the right reason.

A canary is a boot with something wrong in it, run by a session of its own
against a manifest of its own. Several canaries share a boot where they can.
"""
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from . import guest, manifest, tree
from .session import Session


@dataclass
class Case:
    """A boot, what its manifest expects, and the canaries in it, each with the
    test that must fail and a piece of the reason."""
    boot: guest.Boot
    expected: dict
    canaries: dict


def program(name, args="", timeout=30, called=None):
    path = tree.programs("canary", "canary")[name].path
    return tree.Program(called or name, path, {"timeout": timeout}, args)


def splat(base, what, reason):
    """The canary module does something that ends up on the console."""
    name = base.kernel.name
    boot = replace(base, name=f"canary-{what}", programs=[program("act", what)])
    return Case(boot, {(f"act:{what}", name): "pass"}, {what: ("boot:", reason)})


def cases_stock(base):
    name = base.kernel.name
    yield splat(base, "warn", "warn: ")
    yield splat(base, "panic", "panic: ")
    yield splat(base, "bug", "kernel BUG at")
    yield splat(base, "oops", "NULL pointer dereference")
    yield splat(base, "hang", "blocked for more than")
    yield splat(base, "pin", "broken: rmmod")

    # Everything that goes wrong in programs and leaves the kernel well.
    programs = [program("verdicts"), program("skipped"), program("killed"), program("short"),
                program("silent"), program("endless", timeout=4), program("act", "nothing")]
    expected = {(test, name): "pass" for test in (
        "verdicts:global.passes", "verdicts:global.fails", "verdicts:global.dies",
        "skipped:global.skips", "killed:looks_fine", "short:first", "endless:looks_fine",
        "act:lost")}
    yield Case(replace(base, name="canary-programs", programs=programs), expected, {
        "failing-test": ("verdicts:global.fails", "failed"),
        "dying-test": ("verdicts:global.dies", "failed"),
        "all-skipped": ("skipped:global.skips", "ended with skip"),
        "signal": ("killed:(program)", "died by signal 11"),
        "short-plan": ("short:(program)", "planned 2 tests, reported 1"),
        "no-plan": ("silent:(program)", "printed no plan"),
        "endless": ("endless:(program)", "still running"),
        "unknown-test": ("act:nothing", "not in the manifest"),
        "missing-test": ("act:lost", "did not run")})

    nothing = {("act:nothing", name): "pass"}
    one = [program("act", "nothing")]
    yield Case(replace(base, name="canary-build-id", programs=one, build_id="0" * 40), nothing,
               {"build-id": ("boot:", "build-id: ")})
    yield Case(replace(base, name="canary-forged", programs=[program("forged")]),
               {("forged:looks_fine", name): "pass"}, {"forged-done": ("boot:", "unfinished: ")})
    # The kernel stands still: nobody in the guest can tell.
    yield Case(replace(base, name="canary-freeze", programs=[program("act", "freeze", 1)],
                       quiet=10), {}, {"freeze": ("boot:", "hang: silent")})

    broken = tree.VM / "canary/canary.ko"
    broken.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(base.module, broken)
    with open(broken, "r+b") as file:
        file.truncate(broken.stat().st_size // 2)
    yield Case(replace(base, name="canary-no-module", programs=one, module=broken), nothing,
               {"no-module": ("boot:", "no-module: ")})


def cases_debug(base):
    # Neither of the first two ends the machine, so that they can share it.
    name = base.kernel.name
    programs = [program("act", what, called=what) for what in ("lockdep", "leak")]
    yield Case(replace(base, name="canary-lockdep", programs=programs),
               {(f"{what}:{what}", name): "pass" for what in ("lockdep", "leak")},
               {"lockdep": ("boot:", "lockdep: "), "leak": ("boot:", "leak: ")})
    yield splat(base, "kasan", "kasan: ")


def cases_kcsan(base):
    yield splat(base, "kcsan", "kcsan: data-race in race [canary]")


CASES = {"debug": cases_debug, "kcsan": cases_kcsan, "6.12": cases_stock}


def check(session, case):
    """Runs the case and records for each canary whether it was noticed."""
    place = case.boot.kernel.name
    inner = Session(session.seed, quiet=True)
    inner.boot(case.boot)
    expected = {**case.expected, (f"boot:{case.boot.name}", place): "pass"}
    _, failures = manifest.judge(inner.seen, expected)
    told = {test: f"{why} {' '.join(inner.why.get((test, where), ()))}"
            for test, where, why in failures}
    for canary, (test, reason) in case.canaries.items():
        if test == "boot:":
            test += case.boot.name
        if reason in told.get(test, ""):
            session.record(f"canary:{canary}", place, "pass")
        else:
            session.record(f"canary:{canary}", place, "fail",
                           f"{test} should have failed with \"{reason}\", got: {told}")


def run(session, names=("debug", "6.12")):
    session.canaries_at.update(names)
    tree.make("canary", directory=tree.SELFTESTS)
    cases = []
    for name in names:
        kernel = tree.kernel(name)
        module = tree.build_test_module(kernel, "canary", "canary")
        base = guest.Boot("canary", kernel, [], module, tree.build_id(module))
        cases += [c for c in CASES[name](base)
                  if any(session.wants(f"canary:{canary}") for canary in c.canaries)]
    with ThreadPoolExecutor(len(names)) as pool:
        for future in [pool.submit(check, session, case) for case in cases]:
            future.result()
