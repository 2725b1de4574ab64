#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
# vm: mem=256M swap=128M timeout=300 kernels=6.12
"""pagerd pages for a client that uses half as much again as the machine has memory, for a
minute or ten."""
import mmap
import os
import random
import re
import sys
import time

sys.path.append("/tests/helpers")
from pagers import ctl, delete, open_target, pattern, Pagerd
from served import DISK, disk_opens, main, MIB, run, shows, until

NAME = "paging"
BLOCK = 64 << 10
SIZE = 384 * MIB
BLOCKS = SIZE // BLOCK
SECONDS = 600 if os.environ.get("EXTPAGER_DEEP") == "1" else 60


def block(number, version):
    return pattern(number, version) * (BLOCK // 4096)


# Of /proc/PID/stat: what PR_SET_IO_FLUSHER sets.
MEMALLOC_NOIO, LOCAL_THROTTLE = 0x80000, 0x100000


def number_of(path, key):
    with open(path) as file:
        return int(re.search(rf"^{key}:?\s+(\d+)", file.read(), re.M).group(1))


def counter(name):
    with open(f"/sys/fs/extpager/{NAME}/stats/{name}") as file:
        return int(file.read())


def flags(pagerd):
    return int(pagerd.proc("stat").rpartition(")")[2].split()[6])


def touch(client, fd, number, versions, choose):
    """Reads a block, or gives it new bytes by the mapping or by write(2)."""
    at = number * BLOCK
    if choose.random() < 0.5:
        assert client[at:at + BLOCK] == block(number, versions[number]), number
        return
    versions[number] += 1
    new = block(number, versions[number])
    if choose.random() < 0.5:
        client[at:at + BLOCK] = new
    else:
        assert os.pwrite(fd, new, at) == BLOCK


@shows(98)
def test_a_minute_of_more_than_there_is():
    memory = number_of("/proc/meminfo", "MemTotal") * 1024
    assert SIZE >= 1.5 * memory, memory
    kills = number_of("/proc/vmstat", "oom_kill")
    with open(DISK, "r+b") as disk:
        disk.write(bytes(MIB))
    pagerd = Pagerd("--only", NAME)
    assert number_of(f"/proc/{pagerd.pid}/status", "VmLck") > 4096
    assert flags(pagerd) & MEMALLOC_NOIO and flags(pagerd) & LOCAL_THROTTLE
    ctl("target", "add", NAME, "--store", f"block:{DISK}", "--size", str(SIZE))
    pagerd.serves(NAME)
    fd = open_target(NAME)
    versions = [0] * BLOCKS
    choose = random.Random(int(os.environ.get("EXTPAGER_SEED", "1")))
    for number in range(BLOCKS):
        assert os.pwrite(fd, block(number, 0), number * BLOCK) == BLOCK
    rounds, end = 0, time.monotonic() + SECONDS
    with mmap.mmap(fd, SIZE) as client:
        while time.monotonic() < end:
            touch(client, fd, choose.randrange(BLOCKS), versions, choose)
            rounds += 1
    os.fsync(fd)
    assert pagerd.process.poll() is None, pagerd.said()
    assert number_of(f"/proc/{pagerd.pid}/status", "VmSwap") == 0
    # It was paging: all of it went out once, and much of it came in again.
    requested, returned = counter("pages_requested"), counter("pages_returned")
    print(f"# {rounds} rounds, {requested} pages in, {returned} out", flush=True)
    assert returned * 4096 >= SIZE and requested * 4096 > memory // 4
    for number in range(BLOCKS):
        assert os.pread(fd, BLOCK, number * BLOCK) == block(number, versions[number]), number
    os.close(fd)
    delete(NAME)
    pagerd.stop()
    with open(DISK, "rb") as disk:
        for number in choose.sample(range(BLOCKS), 200):
            disk.seek(number * BLOCK)
            assert disk.read(BLOCK) == block(number, versions[number]), number
    assert number_of("/proc/vmstat", "oom_kill") == kills


if __name__ == "__main__":
    run("modprobe", "nvme")
    until("the disk opens", disk_opens)
    main(globals())
