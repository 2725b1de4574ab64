#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
# vm: timeout=300 kernels=6.1,6.12
"""A pager whose store is a file of a file system whose pages need a pager: an ext4 on
a loop device on another target's path."""
import contextlib
import os
import sys
import threading

sys.path.append("/tests/helpers")
from frozen import loop_device, MOUNTED
from pagers import ctl, delete, open_target, pattern, Pagerd
from served import DISK, disk_opens, drop_caches, main, MIB, mount_paths, PATHS, run, shows, until

CGROUP = "/sys/fs/cgroup/extpager-stacked"
BLOCK = 64 << 10
BLOCKS = 32 * MIB // BLOCK
LOWER = 64 * MIB
STORE = f"{MOUNTED}/store"


def block(number, salt):
    return pattern(number, salt) * (BLOCK // 4096)


def oom_kills():
    with open("/proc/vmstat") as file:
        return [line for line in file if line.startswith("oom_kill")]


@contextlib.contextmanager
def cgroup(limit):
    os.makedirs(CGROUP, exist_ok=True)
    with open(f"{CGROUP}/memory.max", "w") as file:
        file.write(limit)
    yield
    until("nobody is in the cgroup", lambda: not open(f"{CGROUP}/cgroup.procs").read())
    with open(f"{CGROUP}/memory.events") as file:
        assert "oom_kill 0\n" in file.read()
    os.rmdir(CGROUP)


def in_cgroup(function, *args):
    """In a process of its own, which pays for what it uses."""
    pid = os.fork()
    if not pid:
        status = 1
        try:
            with open(f"{CGROUP}/cgroup.procs", "w") as file:
                file.write("0")
            function(*args)
            status = 0
        except Exception as error:      # told, and told on
            print(f"# {type(error).__name__}: {error}", flush=True)
        finally:
            os._exit(status)
    assert os.waitpid(pid, 0)[1] == 0, function.__name__


@contextlib.contextmanager
def bothered():
    """sync, compaction and drop_caches all the while; each has had its turns."""
    def compact():
        with open("/proc/sys/vm/compact_memory", "w") as file:
            file.write("1")

    def bother(what):
        while not stop.is_set():
            what()
            rounds[what.__name__] += 1

    stop = threading.Event()
    rounds = {what.__name__: 0 for what in (os.sync, compact, drop_caches)}
    threads = [threading.Thread(target=bother, args=(what,), daemon=True)
               for what in (os.sync, compact, drop_caches)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
    for thread in threads:
        thread.join(timeout=60)
    assert not any(thread.is_alive() for thread in threads)
    assert min(rounds.values()) > 1, rounds


def write(fd, first, nr, salt):
    for number in range(first, first + nr):
        assert os.pwrite(fd, block(number, salt), number * BLOCK) == BLOCK


def check(fd, first, nr, salt):
    for number in range(first, first + nr):
        assert os.pread(fd, BLOCK, number * BLOCK) == block(number, salt), (number, salt)


@shows(partial=(69, 98))
def test_a_store_that_needs_another_pager():
    """The client has a quarter of the data as memory, and in the end both pagers die."""
    kills = oom_kills()
    with open(DISK, "r+b") as disk:
        disk.write(bytes(MIB))
    lower = Pagerd("--only", "lower")
    ctl("target", "add", "lower", "--store", f"block:{DISK}", "--size", str(LOWER))
    lower.serves("lower")
    mount_paths()
    with cgroup("8M"), loop_device(f"{PATHS}/lower") as device:
        run("mkfs.ext4", "-q", "-F", device)
        os.makedirs(MOUNTED, exist_ok=True)
        run("mount", "-t", "ext4", device, MOUNTED)
        upper = Pagerd("--only", "upper")
        ctl("target", "add", "upper", "--store", f"file:{STORE}?create=1", "--size",
            str(BLOCKS * BLOCK))
        upper.serves("upper")
        fd = open_target("upper")
        with bothered():
            in_cgroup(write, fd, 0, BLOCKS, "a")
            in_cgroup(check, fd, 0, BLOCKS, "a")
            in_cgroup(write, fd, BLOCKS // 4, BLOCKS // 2, "b")
            os.fsync(fd)
            write(fd, 0, BLOCKS // 4, "c")
            upper.kill()
            lower.kill()
            # The upper one's store cannot be opened before the lower one is back.
            upper = Pagerd("--only", "upper")
            lower = Pagerd("--only", "lower")
            upper.serves("upper")
            in_cgroup(check, fd, 0, BLOCKS // 4, "c")
            in_cgroup(check, fd, BLOCKS // 4, BLOCKS // 2, "b")
            in_cgroup(check, fd, BLOCKS * 3 // 4, BLOCKS // 4, "a")
            os.fsync(fd)
        os.close(fd)
        delete("upper")
        upper.stop()
        run("umount", MOUNTED)
    delete("lower")
    lower.stop()
    # The disk alone tells it.
    run("fsck.ext4", "-f", "-n", DISK)
    run("mount", "-t", "ext4", "-o", "ro", DISK, MOUNTED)
    with open(STORE, "rb", buffering=0) as file:
        check(file.fileno(), 0, BLOCKS // 4, "c")
        check(file.fileno(), BLOCKS // 4, BLOCKS // 2, "b")
        check(file.fileno(), BLOCKS * 3 // 4, BLOCKS // 4, "a")
    run("umount", MOUNTED)
    assert oom_kills() == kills


if __name__ == "__main__":
    run("modprobe", "-a", "nvme", "loop", "ext4")
    until("the disk opens", disk_opens)
    main(globals())
