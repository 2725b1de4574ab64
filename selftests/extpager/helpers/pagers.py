# SPDX-License-Identifier: GPL-2.0-only
"""For tests in Python: pagerd as a process that is looked at, stopped and killed,
pagerctl, and targets by their ioctl."""
import contextlib
import fcntl
import os
import struct
import subprocess
import time

from served import show, until

PAGE = 4096
OPEN = 3 << 30 | 88 << 16 | 0xEB << 8 | 5


def open_target(name, flags=os.O_RDWR):
    """A new fd of a target, by the ioctl."""
    device = os.open("/dev/extpager", os.O_RDWR)
    try:
        arg = bytearray(struct.pack("=IIQ64siI", 88, flags, 0, name.encode(), -1, 0))
        fcntl.ioctl(device, OPEN, arg)
        return struct.unpack("=IIQ64siI", arg)[4]
    finally:
        os.close(device)


def ctl(*args, status=0):
    """Run pagerctl; its output (stderr if it must fail)."""
    run = subprocess.run(["pagerctl", *map(str, args)], capture_output=True, text=True, timeout=60)
    assert run.returncode == status, (args, run.returncode, run.stdout, run.stderr)
    return run.stderr if status else run.stdout


def delete(name, *args):
    ctl("target", "del", name, *args)


class Pagerd:
    """One running pagerd; its log in a file."""

    def __init__(self, *args, **environment):
        self.log = open(f"/tmp/pagerd-{time.monotonic_ns()}.log", "w+")
        self.process = subprocess.Popen(["pagerd", "--verbose", *args], stderr=self.log,
                                        env={**os.environ, **environment})
        self.pid = self.process.pid
        until("pagerd is up", lambda: " queues" in self.said() or self.process.poll() is not None)

    def said(self):
        with open(self.log.name) as log:
            return log.read()

    def serves(self, name):
        until(f"'{name}' is served, not: {self.said()}", lambda: show(name)["port"])

    def says(self, text):
        until(f"pagerd says '{text}', not only: {self.said()}", lambda: text in self.said())

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        self.process.terminate()
        status = self.process.wait(timeout=30)
        assert status == 0, (status, self.said())
        return self.said()

    def proc(self, name):
        with open(f"/proc/{self.pid}/{name}") as file:
            return file.read()

    def threads(self):
        """{tid: name}, io_uring's workers and all."""
        found = {}
        for tid in os.listdir(f"/proc/{self.pid}/task"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                found[tid] = self.proc(f"task/{tid}/comm").strip()
        return found


def pattern(page, salt):
    return (f"{page}:{salt} " * 1024)[:PAGE].encode()


def drop(fd):
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
