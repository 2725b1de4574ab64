# SPDX-License-Identifier: GPL-2.0-only
"""For tests in Python: targets that the real pagerd serves from the emulated
NVMe disk, and the KTAP around the tests."""
import json
import os
import signal
import subprocess
import sys
import time

MIB = 1 << 20
DISK = "/dev/nvme0n1"
PATHS = "/run/extpager/targets"
SLOWNESS = 3 if os.environ.get("EXTPAGER_DEBUG_KERNEL") == "1" else 1


def run(*words, timeout=200, **more):
    """A program that must succeed; its output."""
    done = subprocess.run([str(w) for w in words], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace",
                          timeout=timeout, **more)
    assert done.returncode == 0, f"{' '.join(map(str, words))}: {done.stdout[:1500]}"
    return done.stdout


def until(what, condition, seconds=30):
    seconds *= SLOWNESS
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(0.05)


def disk_opens():
    """Its name is there before it can be opened."""
    try:
        with open(DISK, "rb") as disk:
            return disk.seek(0, os.SEEK_END) > 0
    except OSError:
        return False


def show(name):
    return json.loads(run("pagerctl", "-j", "target", "show", name))["target"]


def drop_caches():
    with open("/proc/sys/vm/drop_caches", "w") as file:
        file.write("3")


def mount_paths():
    os.makedirs(PATHS, exist_ok=True)
    if not os.path.ismount(PATHS):
        run("mount", "-t", "extpager", "none", PATHS)


class Target:
    """A target at the start of the disk, with its own pagerd. Used in `with`;
    after it the device is nobody's, for must_hold()."""

    def __init__(self, size, name="programs"):
        self.name, self.size = name, size
        self.path = f"{PATHS}/{name}"

    def __enter__(self):
        with open(DISK, "r+b") as disk:
            disk.write(bytes(self.size))
        self.pagerd = subprocess.Popen(["pagerd"], stderr=subprocess.PIPE, text=True)
        run("pagerctl", "target", "add", self.name, "--store",
            f"block:{DISK}?length={self.size}&force=1", "--size", self.size)
        until("pagerd serves the target", lambda: show(self.name)["port"])
        mount_paths()
        return self

    def __exit__(self, kind, *_):
        """pagerd is told to stop and writes back what is dirty; only then the target goes."""
        if kind:
            self.tell()
            return
        self.pagerd.terminate()
        said = self.pagerd.communicate(timeout=60)[1]
        assert self.pagerd.returncode == 0, said
        left = show(self.name)
        assert left["dirty"] == left["spilled"] == 0, said
        run("pagerctl", "target", "del", self.name)

    def tell(self):
        """What there is to be seen of it, for who wonders why a test failed."""
        for words in (("target", "show", self.name), ("pending", self.name),
                      ("stats", self.name)):
            said = subprocess.run(["pagerctl", *words], stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, text=True, timeout=60)
            print("# " + said.stdout.rstrip().replace("\n", "\n# "))
        os.set_blocking(self.pagerd.stderr.fileno(), False)
        print("# pagerd: " + (self.pagerd.stderr.read() or "").replace("\n", "\n# "), flush=True)

    def must_hold(self, file):
        """The raw device, past every cache, has the bytes of this file."""
        run("blockdev", "--flushbufs", DISK)
        run("bash", "-o", "pipefail", "-c",
            f"dd if={DISK} bs=1M iflag=direct,count_bytes count={self.size} status=none |"
            f" cmp - {file}")


def shows(*numbers, partial=()):
    """Which behaviours a test is about."""
    def mark(function):
        function.behaviours, function.partial = numbers, partial
        return function
    return mark


def clean_up():
    """After a failure: the next test must not suffer. Only this machine's pagerd is ours."""
    # What lies on a target needs its pager to go.
    subprocess.run(["umount", "-l", "/tmp/mounted"], stderr=subprocess.DEVNULL)
    subprocess.run(["losetup", "-D"], stderr=subprocess.DEVNULL)
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.readlink(f"/proc/{pid}/exe").endswith("/bin/pagerd"):
                os.kill(int(pid), signal.SIGKILL)
        except OSError:
            pass
    listed = subprocess.run(["pagerctl", "-j", "target", "list"], capture_output=True, text=True)
    for target in json.loads(listed.stdout or '{"targets":[]}')["targets"]:
        subprocess.run(["pagerctl", "target", "del", target["name"], "--discard"],
                       stderr=subprocess.DEVNULL, timeout=60)


def run_tests(names):
    """Runs every test_* of @names in order; how many failed."""
    tests = [(name[5:], test) for name, test in names.items() if name.startswith("test_")]
    failed = 0
    print(f"KTAP version 1\n1..{len(tests)}", flush=True)
    for number, (name, test) in enumerate(tests, 1):
        for what in ("behaviours", "partial"):
            marks = getattr(test, what, ())
            if marks:
                print(f"# {what}", *marks)
        # Should the program end in it, the runner knows in which.
        print(f"#  RUN           {name} ...", flush=True)
        begin = time.monotonic()
        try:
            test()
            print(f"# {time.monotonic() - begin:.1f} s\nok {number} {name}", flush=True)
        except Exception as error:      # whatever it is, it is this test's
            failed += 1
            print(f"# {type(error).__name__}: {error}".replace("\n", "\n# "))
            print(f"not ok {number} {name}", flush=True)
            clean_up()
    return failed


def main(names):
    """Runs every test_* of @names, after which nothing may be left."""
    failed = run_tests(names)
    if os.path.ismount(PATHS):
        run("umount", PATHS)
    # The end of the last target's mount is a worker's.
    until("nothing keeps the module", lambda: open("/sys/module/extpager/refcnt").read() == "0\n")
    sys.exit(1 if failed else 0)
