# SPDX-License-Identifier: GPL-2.0-only
"""One boot of one kernel: builds the initramfs, runs qemu, listens, judges."""
import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from . import image, ktap, splats, tree

# Seconds without a word of init, before a program starts and between programs.
QUIET = 90
# A machine holds one of these while it runs: a third beside two would only slow them, and
# tests are about time. One whose tests mostly wait may run beside them.
PROCESSORS = threading.Semaphore(2)
IDLE = threading.Semaphore(1)


@dataclass
class Boot:
    name: str
    kernel: tree.Kernel
    programs: list
    module: Path
    build_id: str                                   # what the loaded module must have
    environment: dict = field(default_factory=dict)
    quiet: int = QUIET                              # the canaries are less patient
    options: dict = field(default_factory=dict)
    files: dict = field(default_factory=dict)       # of the guest, besides: name: path here
    idle: bool = False                              # its tests mostly wait
    disk: Path = None                               # the NVMe disk, if it is to be kept
    echo: object = None                             # called with each line of a program
    machine: object = None                          # another than command() makes

    def option(self, name, default=""):
        return self.options.get(name, default)


@dataclass
class Run:
    """What became of one program."""
    program: tree.Program
    parser: ktap.Parser = field(default_factory=ktap.Parser)
    output: list = field(default_factory=list)
    complaint: str = "did not end"                  # None when there is nothing wrong
    since: float = field(default_factory=time.monotonic)    # its last test ended, or it began


class Outcome:
    """What became of the boot. No problems: every word of init came, in order,
    and the console is clean. The results of the programs are another matter."""

    def __init__(self, boot):
        self.boot = boot
        self.runs = {}
        self.problems = []                          # (reason, text)
        self.races = []                             # lines, both stacks of each
        self.other_races = 0
        self.console = ""
        self.logs = None
        self.seconds = 0                            # from power on to the end
        self.power_off = None                       # of these since "done"

    def problem(self, reason, text):
        self.problems.append((reason, text))

    def excerpt(self, before=3, after=40):
        """Data races, the console around the first splat, or its end when there is none."""
        if self.races:
            return self.races
        lines = self.console.splitlines()
        texts = {text for _, text in self.problems}
        for number, line in enumerate(lines):
            if line.strip() in texts:
                return lines[max(0, number - before):number + after]
        return lines[-25:]


class Listener:
    """Follows the results channel and turns it into an Outcome."""

    def __init__(self, boot, nonce, outcome, report):
        self.boot, self.outcome, self.report = boot, outcome, report
        self.prefix = f"extpager:{nonce} "
        self.words = []
        self.current = None
        self.limit = boot.quiet * boot.kernel.slowness
        self.heard = time.monotonic()

    def silent(self):
        return time.monotonic() - self.heard > self.limit

    def line(self, line):
        if line.startswith(self.prefix):
            self.heard = time.monotonic()
            self.limit = self.boot.quiet * self.boot.kernel.slowness
            word, *rest = line[len(self.prefix):].split()
            self.words.append(word)
            getattr(self, f"on_{word}", lambda *_: None)(*rest)
        elif self.current:
            self.current.output.append(line)
            if self.boot.echo:
                self.boot.echo(line)
            result = self.current.parser.feed(line)
            if result:
                self.report(self.boot, self.current, result)

    def on_module(self, build_id=""):
        if build_id.endswith(self.boot.build_id):
            return
        self.outcome.problem("build-id", f"the loaded module is not {self.boot.build_id}")

    def on_start(self, name, limit):
        program = next(p for p in self.boot.programs if p.name == name)
        self.limit += int(limit)
        self.started = time.monotonic()
        self.current = self.outcome.runs[name] = Run(program)

    def on_end(self, name, status, seconds=None):
        run, self.current = self.current, None
        limit = run.program.timeout * self.boot.kernel.slowness
        # By the clock that the limit is of, if init tells: of the start we may have heard late.
        lasted = int(seconds) if seconds else time.monotonic() - self.started
        killed = int(status) == 137 and lasted > 0.9 * limit
        run.complaint = run.parser.complaint(int(status), limit if killed else None)
        self.report(self.boot, run, None)

    def on_leaks(self, count, *when):
        if count != "0":
            self.outcome.problem("leak", f"{count} leaks {' '.join(when)}")

    def on_broken(self, *why):
        self.outcome.problem("broken", " ".join(why))


def initramfs(boot, nonce, path):
    """The kernel's base archive, followed by what is of this boot."""
    cpio = image.Cpio()
    cpio.text("init", (tree.SELFTESTS / "vm/init").read_text(), 0o755)
    cpio.file(f"tests/{boot.module.stem}.ko", boot.module)
    slowness = boot.kernel.slowness
    # Init reads and removes it; the command line could be read by the tests.
    cpio.text("tests/nonce", f"{nonce}\n")
    cpio.text("tests/list", "".join(f"{p.name} {p.timeout * slowness} {p.args}\n"
                                    for p in boot.programs))
    cpio.text("tests/env", "".join(f"{k}={v}\n" for k, v in boot.environment.items()))
    cpio.text("tests/setup", f"module={boot.module.stem} swap={boot.option('swap')} "
                             f"params='{boot.option('params')}'\n")
    cpio.file("tests/pagerctl.schema.json", tree.TOP / "doc/pagerctl.schema.json")
    for program in boot.programs:
        cpio.file(f"tests/programs/{program.name}", program.path)
        if "module" in program.options:     # which the program loads itself
            name = program.options["module"]
            cpio.file(f"tests/helpers/{name}.ko",
                      tree.build_test_module(boot.kernel, "extpager", name))
    # The tree's own binaries, at names that PATH and LD_LIBRARY_PATH know.
    for name, directory in (("bin", tree.BUILD / "bin"), ("lib", tree.BUILD / "lib"),
                            ("helpers", tree.BUILD / "selftests/helpers"),
                            ("helpers", tree.SELFTESTS / "extpager/helpers"),
                            ("examples", tree.BUILD / "examples"),
                            ("examples", tree.TOP / "examples")):
        cpio.directory(f"tests/{name}")
        for file in sorted(directory.glob("*")) if directory.is_dir() else ():
            # Of the examples the sources as well: how short they are is tested.
            if file.is_file() and (file.suffix not in (".a", ".c", ".h", ".o", ".d") or
                                   file.parent == tree.TOP / "examples"):
                cpio.file(f"tests/{name}/{file.name}", file)
    for name, file in boot.files.items():
        cpio.file(name, file)
    cpio.write(path)
    with open(path, "ab") as archive:
        archive.write(image.base_archive(boot.kernel, tree.VM).read_bytes())


def binaries(boot):
    """Everything of ours that the guest executes, for the closure of libraries."""
    found = [p.path for p in boot.programs]
    for directory in (tree.BUILD / "bin", tree.BUILD / "lib", tree.BUILD / "examples",
                      tree.BUILD / "selftests/helpers"):
        found += directory.glob("*") if directory.is_dir() else ()
    return [f for f in found if f.is_file() and f.open("rb").read(4) == b"\x7fELF"]


def disk(path, size):
    subprocess.run(["truncate", "-s", size, path], check=True)
    return path


def command(boot, work, initrd, drives, cmdline):
    """The machine. Always TCG: /dev/kvm may exist and not work. A q35, since the
    debug kernel needs half a minute for the loops in the ACPI tables of the older pc.
    Programs are not moved about in memory: the emulator keeps code by its address, and
    takes minutes to forget a page of libc that a thousand processes have run. Each
    drive is (device, path, flags)."""
    words = ["qemu-system-x86_64", "-machine", "q35",
             "-accel", "tcg,thread=multi", "-cpu", "max,la57=off",
             "-smp", boot.option("smp", "2"), "-m", boot.option("mem", "1G"),
             "-nodefaults", "-display", "none", "-no-reboot",
             "-serial", f"file:{work}/console", "-serial", f"file:{work}/results",
             "-kernel", str(boot.kernel.dir / "vmlinuz"), "-initrd", str(initrd),
             "-append", " ".join((
                 "console=ttyS0 panic=-1 oops=panic softlockup_panic=1",
                 # A data race would end it, too, and hide the others.
                 f"panic_on_warn={int(boot.kernel.name != 'kcsan')}",
                 "workqueue.watchdog_thresh=60 rcupdate.rcu_cpu_stall_timeout=60",
                 "watchdog_thresh=30 nokaslr norandmaps loglevel=5 log_buf_len=1M", cmdline))]
    for number, (device, path, flags) in enumerate(drives):
        words += ["-drive", f"if=none,id=drive{number},format=raw,file={path},{flags}",
                  "-device", f"{device},drive=drive{number}"]
    return words


def machine(boot, nonce, work):
    """One with nothing but busybox and the tests."""
    initramfs(boot, nonce, work / "initramfs")
    drives = [("virtio-blk-pci", image.tools_disk(binaries(boot), tree.VM), "readonly=on")]
    if boot.option("swap"):
        drives.append(("virtio-blk-pci", disk(work / "swap", boot.option("swap")), "cache=unsafe"))
    for i in range(int(boot.option("disks", "1"))):
        path = boot.disk or disk(work / f"nvme{i}", boot.option("disk", "512M"))
        drives.append((f"nvme,serial=extpager{i}", path, "cache=unsafe"))
    return command(boot, work, work / "initramfs", drives, boot.option("cmdline"))


def run(boot, report):
    """Boots, calling report(boot, run, result) for each test as it ends and
    report(boot, run, None) for each program. Returns an Outcome."""
    tree.VM.mkdir(parents=True, exist_ok=True)
    for last in (False, False, True):
        work = Path(tempfile.mkdtemp(prefix=f"{boot.kernel.name}-", dir=tree.VM))
        try:
            with IDLE if boot.idle else PROCESSORS:
                outcome = _run(boot, report, work)
        finally:
            shutil.rmtree(work)
        if last or not died_by_itself(outcome):
            return outcome


def died_by_itself(outcome):
    """Emulated kernels die or stand still now and then at boot, before a module of ours was
    there: that says nothing, so boot again."""
    return not outcome.runs and "extpager-init: up" not in outcome.console and \
        any(reason in ("panic", "hang") for reason, _ in outcome.problems)


def emulator_tripped(outcome):
    """A kernel patches its code with a breakpoint in between (static keys, tracepoints); an
    emulated CPU may still run into it when it is gone. Nothing else makes such an oops."""
    return any(re.search(r"\bint3: 0000", text) for _, text in outcome.problems)


def where_processors_are(monitor):
    """Of a machine that is silent: each processor's place in the kernel, three times in three
    seconds."""
    found = []
    try:
        monitor.settimeout(10)
        answers = monitor.makefile("rw")
        for command in ({"execute": "qmp_capabilities"},) + 3 * (
                {"execute": "human-monitor-command",
                 "arguments": {"command-line": "info registers -a"}},):
            answers.write(json.dumps(command) + "\n")
            answers.flush()
            while "return" not in (answer := json.loads(answers.readline())):
                pass
            found += re.findall(r"CPU#\d+|RIP=\S+|RSP=\S+|RFL=\S+", str(answer["return"]))
            time.sleep(1)
    except (OSError, ValueError) as error:
        found.append(str(error))
    return " ".join(found)


def _run(boot, report, work):
    nonce = secrets.token_hex(16)
    outcome = Outcome(boot)
    listener = Listener(boot, nonce, outcome, report)
    words = (boot.machine or machine)(boot, nonce, work)
    monitor, theirs = socket.socketpair()
    words += ["-chardev", f"socket,id=monitor,fd={theirs.fileno()}",
              "-mon", "chardev=monitor,mode=control"]
    (work / "results").touch()
    begin = time.monotonic()
    with open(work / "qemu", "w") as log, open(work / "results", errors="replace") as channel:
        qemu = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                pass_fds=[theirs.fileno()])
        theirs.close()
        pending = ""
        try:
            ended = False
            while not ended:
                ended = qemu.poll() is not None
                *lines, pending = (pending + channel.read()).split("\n")
                for line in lines:
                    listener.line(line.rstrip("\r"))
                if not ended and listener.silent():
                    outcome.problem("hang", f"silent for {listener.limit} s after "
                                            f"\"{(listener.words or ['power on'])[-1]}\"")
                    where = where_processors_are(monitor)
                    with open(work / "console", "a") as console:
                        console.write(f"{where}\n")
                    break
                time.sleep(0.05)
            if ended and listener.words[-1:] == ["done"]:
                outcome.power_off = time.monotonic() - listener.heard
        finally:
            qemu.kill()
            qemu.wait()
            monitor.close()
            outcome.seconds = time.monotonic() - begin

    # A reset of the machine leaves firmware's escape sequences in the log.
    text = (work / "console").read_text(errors="replace") if (work / "console").exists() else ""
    outcome.console = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\x1bc|\r", "", text)
    for reason, line in splats.find(outcome.console):
        outcome.problem(reason, line)
    races, outcome.other_races = splats.races(outcome.console)
    for what, lines in races:
        outcome.problem("kcsan", what)
        outcome.races += lines
    if "module" not in listener.words:
        outcome.problem("no-module", "the module was not loaded")
    if listener.words[-1:] != ["done"]:
        outcome.problem("unfinished", "init did not say done")
    if qemu.returncode not in (0, -9):
        outcome.problem("qemu", (work / "qemu").read_text().strip())

    outcome.logs = tree.VM / "logs" / boot.kernel.name
    outcome.logs.mkdir(parents=True, exist_ok=True)
    for name in ("console", "results"):
        if (work / name).exists():
            os.replace(work / name, outcome.logs / f"{boot.name}.{name}")
    return outcome
