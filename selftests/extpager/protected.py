#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
# vm: timeout=300 deep=debug
"""What pagerd does to itself, so that it can serve when memory is short, and what
it tells the service manager; its threads."""
import contextlib
import json
import os
import re
import socket
import sys

sys.path.append("/tests/helpers")
from pagers import ctl, delete, Pagerd
from served import main, show, until

# Of include/linux/sched.h: what PR_SET_IO_FLUSHER sets.
PF_MEMALLOC_NOIO = 0x00080000
PF_LOCAL_THROTTLE = 0x00100000
FLUSHER = PF_MEMALLOC_NOIO | PF_LOCAL_THROTTLE


def task_flags(pagerd, tid):
    return int(pagerd.proc(f"task/{tid}/stat").rsplit(")", 1)[1].split()[6])


def unlocked(pagerd):
    """Memory of its own, as lines of smaps, that could be paged out. What it shares with
    the kernel, such as rings, cannot go anyway."""
    found = []
    for part in re.split(r"\n(?=[0-9a-f]+-[0-9a-f]+ )", pagerd.proc("smaps")):
        head = part.splitlines()[0]
        flags = re.search(r"VmFlags: (.*)", part).group(1).split()
        private = head.split()[1].endswith("p")
        if private and "[v" not in head and "lo" not in flags:
            found.append(head)
    return found


def test_memory_is_locked():
    pagerd = Pagerd("--queues", "2")
    assert not unlocked(pagerd), unlocked(pagerd)
    assert int(re.search(r"VmLck:\s+(\d+) kB", pagerd.proc("status")).group(1)) > 4096
    pagerd.stop()
    # And can be told not to: small machines.
    pagerd = Pagerd("--queues", "2", "--no-mlock")
    assert unlocked(pagerd)
    assert "VmLck:\t       0 kB" in pagerd.proc("status"), pagerd.proc("status")
    pagerd.stop()


def test_the_oom_killer_spares_it():
    pagerd = Pagerd()
    assert pagerd.proc("oom_score_adj").strip() == "-1000"
    pagerd.stop()


def test_every_thread_is_an_io_flusher():
    """Also those of io_uring, which do file: stores' work."""
    with open("/dev/shm/p", "wb") as store:
        store.truncate(1 << 20)
    pagerd = Pagerd("--queues", "2")
    ctl("target", "add", "p", "--store", "file:/dev/shm/p", "--size", "1M")
    pagerd.serves("p")
    assert len(pagerd.threads()) >= 3, pagerd.threads()
    for tid, name in pagerd.threads().items():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):    # a worker that went
            flags = task_flags(pagerd, tid)
            assert flags & FLUSHER == FLUSHER, (name, hex(flags))
    assert not int(open("/proc/self/stat").read().rsplit(")", 1)[1].split()[6]) & FLUSHER
    delete("p")
    pagerd.stop()
    os.unlink("/dev/shm/p")


def test_one_thread_a_queue():
    for args, nr in ((("--queues", "3"), 3), ((), os.cpu_count())):
        pagerd = Pagerd(*args)
        wanted = ["pagerd"] + [f"pagerd/{i}" for i in range(nr)]
        until(f"the threads are {wanted}, not {pagerd.threads()}", lambda: sorted(
            name for name in pagerd.threads().values() if not name.startswith("iou-")) == wanted)
        pager, = json.loads(ctl("-j", "pager", "list"))["pagers"]
        assert len(pager["queues"]) == nr, pager
        pagerd.stop()


class Manager:
    """The service manager's end of NOTIFY_SOCKET."""

    def __init__(self, name):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(name.replace("@", "\0"))
        self.socket.settimeout(30)
        self.heard = []

    def hear(self, text):
        """Wait for a word."""
        while True:
            word = self.socket.recv(4096).decode()
            self.heard.append(word)
            if word.startswith(text):
                return word


def manager_hears(address):
    manager = Manager(address)
    ctl("target", "add", "n", "--store", "mem:", "--size", "1M")
    ctl("target", "add", "w", "--store", "file:/dev/shm/none", "--size", "1M")
    pagerd = Pagerd(NOTIFY_SOCKET=address)
    manager.hear("READY=1")
    # What it says it serves is served when it says that it is ready.
    assert show("n")["port"]
    assert any(word.startswith("STATUS=serving 1 targets, 1 waiting") for word in manager.heard), \
        manager.heard
    assert not any("STOPPING" in word for word in manager.heard), manager.heard
    delete("w")
    manager.hear("STATUS=serving 1 targets, 0 waiting")
    pagerd.process.terminate()
    manager.hear("STOPPING=1")
    assert pagerd.process.wait(timeout=30) == 0, pagerd.said()
    assert manager.heard.count("READY=1") == 1, manager.heard
    delete("n", "--discard")
    manager.socket.close()


def test_the_service_manager_hears_of_it():
    manager_hears("/tmp/notify")
    os.unlink("/tmp/notify")


def test_also_by_an_abstract_address():
    manager_hears("@extpager-notify")


if __name__ == "__main__":
    main(globals())
