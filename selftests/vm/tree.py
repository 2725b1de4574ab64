# SPDX-License-Identifier: GPL-2.0-only
"""The source tree: where things are, which programs there are, how to build them."""
import fcntl
import os
import re
import shlex
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
BUILD = TOP / "build"
SELFTESTS = TOP / "selftests"
VM = BUILD / "vm"

# Options of a "vm:" comment that need no machine of their own. deep=debug leaves the debug
# kernel to check-deep: for programs that are about pagerd and pagerctl, not about the module.
# idle=1: its tests mostly wait; such programs share a machine, with the options of all.
SHARED = ("timeout", "kernels", "module", "deep", "idle")
SWITCHES = ("mem", "smp", "swap", "disk", "disks", "params", "cmdline")
TIMEOUT = 120

KERNELS = ("6.1", "6.12", "debug", "kcsan", "newest")
# What runs on kcsan, unless something else is asked for: where threads of ours meet.
MEETING = ("deadlines", "death", "exerciser", "fuzz", "hostile", "lifecycle", "netlink", "observe",
           "pagein", "queues", "spill", "sysfs", "torture", "ways", "writeback")


# Where a check runs part of the programs; on the others it runs all of them. And those that
# are on a kernel in every check: each time they do something else.
SAMPLED = ("6.1", "debug")
STEADY = {"debug": ("fuzz", "torture")}


class BuildError(Exception):
    pass


@dataclass(frozen=True)
class Kernel:
    name: str
    dir: Path

    @property
    def release(self):
        return (self.dir / "release").read_text().strip()

    @property
    def debug(self):
        return self.name in ("debug", "kcsan")

    @property
    def slowness(self):
        """By how much time limits grow."""
        return 3 if self.debug else 1


@dataclass(frozen=True)
class Program:
    name: str
    path: Path
    options: dict = field(default_factory=dict, hash=False)
    args: str = ""

    @property
    def timeout(self):
        return int(self.options.get("timeout", TIMEOUT))

    @property
    def boot_options(self):
        return {k: v for k, v in self.options.items() if k not in SHARED}

    def runs_on(self, kernel):
        kernels = self.options.get("kernels")
        return not kernels or kernel in kernels.split(",")

    @property
    def deep(self):
        """Names of the kernels on which it is left to check-deep."""
        return self.options.get("deep", "").split(",")


def kernel(name):
    """The kernel of the cache, fetched (or built) when it is not there."""
    script = TOP / "scripts/kernels"
    path = subprocess.run([script, "path", name], capture_output=True, text=True, check=True)
    found = Kernel(name, Path(path.stdout.strip()))
    if not (found.dir / "release").exists() and subprocess.run([script, "fetch", name]).returncode:
        raise BuildError(f"no kernel {name}")
    return found


def source():
    """The directory of the few files of the kernel source that we use."""
    script = TOP / "scripts/kernels"
    path = Path(subprocess.run([script, "path", "source"], capture_output=True, text=True,
                               check=True).stdout.strip())
    if not path.exists() and subprocess.run([script, "source"]).returncode:
        raise BuildError("no kernel source")
    return path


def make(*words, directory=TOP):
    """Runs make, quietly unless it fails. One at a time: runs share build/."""
    BUILD.mkdir(exist_ok=True)
    with open(BUILD / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        command = ["make", "-s", "--no-print-directory", f"-j{os.cpu_count()}",
                   "-C", directory, *words]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              errors="replace")
    if done.returncode:
        raise BuildError(f"make {shlex.join(map(str, words))} failed:\n{done.stdout[-6000:]}")
    return done.stdout


def build_module(kernel):
    """Builds extpager.ko and returns its path, which is never missing. What it reaches can
    be seen where the kernel has KCOV."""
    make("modules", f"KDIR={kernel.dir / 'build'}", f"K={kernel.name}",
         "KFLAGS=KCOV_INSTRUMENT=y")
    path = BUILD / kernel.name / "kmod/extpager.ko"
    if not path.exists():
        raise BuildError(f"there is no {path.relative_to(TOP)}")
    return path


def build_test_module(kernel, directory, name):
    """NAME.ko of a directory below selftests/, in a farm of links like that of the real one."""
    farm = BUILD / kernel.name / name
    farm.mkdir(parents=True, exist_ok=True)
    for source in (SELFTESTS / directory / "kmod").iterdir():
        link = farm / source.name
        link.unlink(missing_ok=True)
        link.symlink_to(source)
    make(f"M={farm}", "CC=gcc-12", "modules", directory=kernel.dir / "build")
    return farm / f"{name}.ko"


def options_of(source):
    """The options of a comment such as: vm: mem=256M smp=1 swap=64M timeout=300."""
    match = re.search(r"\bvm:((?:\s+\w+=(?:\"[^\"]*\"|[^\s*]+))+)", source.read_text()[:4000])
    if not match:
        return {}
    options = dict(word.split("=", 1) for word in shlex.split(match.group(1)))
    unknown = set(options) - set(SHARED) - set(SWITCHES)
    if unknown:
        raise BuildError(f"{source}: unknown vm option {' '.join(unknown)}")
    return options


def programs(directory="extpager", output="selftests"):
    """The test programs of a directory below selftests/, by name."""
    found = {}
    for source in sorted((SELFTESTS / directory).iterdir()):
        if source.suffix not in (".c", ".sh", ".py"):
            continue
        if source.stem in found:
            raise BuildError(f"two test programs are called {source.stem}")
        built = BUILD / output / source.stem if source.suffix == ".c" else source
        found[source.stem] = Program(source.stem, built, options_of(source))
    return found


def build_id(module):
    notes = subprocess.run(["readelf", "-n", module], capture_output=True, text=True, check=True)
    return re.search(r"Build ID: ([0-9a-f]+)", notes.stdout).group(1)
