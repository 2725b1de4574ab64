#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""The demo's half inside the machine: an application on /dev/extpager, whose
pages pagerd brings from an NVMe disk, and a pagerd that is killed under it.

Lines that begin with "demo:" are for the host, the others for whoever looks.
"""
import hashlib
import json
import mmap
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time

PAGE = 4096
MIB = 1 << 20
SIZE = 256                          # MiB
OFFSET = 1                          # MiB of the disk left alone before it
# Each MiB gets this many pages in a row written, so that page-outs have runs.
RUN = 16
# What was read is told the host as digests of pieces of this size.
PIECE = 64 << 10
READERS = 4
DISK = "/dev/nvme0n1"


def disk_content(seed, mib):
    return random.Random(f"{seed} disk {mib}").randbytes(MIB)


def written_run(seed, mib):
    """What the application writes into a MiB: an offset of the target and bytes."""
    choice = random.Random(f"{seed} run {mib}")
    first = mib * MIB + choice.randrange(MIB // PAGE - RUN) * PAGE
    return first, choice.randbytes(RUN * PAGE)


def digests(content):
    return [hashlib.sha256(content[at:at + PIECE]).hexdigest()[:16]
            for at in range(0, len(content), PIECE)]


def say(text):
    print(text, flush=True)


def tell(**facts):
    say("demo:" + json.dumps(facts))


def ctl(*args):
    return subprocess.run(["pagerctl", *args], check=True, capture_output=True, text=True).stdout


def target():
    return json.loads(ctl("-j", "target", "show", "default"))["target"]


def counters():
    return json.loads(ctl("-j", "stats", "default"))["stats"][0]["counters"]


def fail(why):
    sys.exit(f"not ok 1 demo # {why}")


def wait_for(what, condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            fail(f"{what} did not come about")
        time.sleep(0.02)


def start_pagerd():
    # By default the kernel would serve a device by itself, and there were nothing to see.
    pagerd = subprocess.Popen(["pagerd", "--no-delegate"])
    wait_for("a pagerd that serves", lambda: target()["state"] == "live")
    return pagerd


def map_target():
    fd = os.open("/dev/extpager", os.O_RDWR)
    memory = mmap.mmap(fd, SIZE * MIB)
    os.close(fd)
    return memory


def read_share(order, locks, results):
    """Touch every page of a share, in @order; digests and the longest wait for a page."""
    memory = map_target()
    longest = 0
    for mib in order:
        content = bytearray()
        with locks[mib]:
            for page in range(mib * MIB, (mib + 1) * MIB, PAGE):
                before = time.monotonic()
                content += memory[page:page + PAGE]
                longest = max(longest, time.monotonic() - before)
        results.put((mib, digests(content), longest))
    results.put((None, None, longest))


class Reading:
    """READERS processes that read the whole target, each a share of it."""

    def __init__(self, seed, name, locks):
        order = list(range(SIZE))
        random.Random(f"{seed} {name}").shuffle(order)
        self.name, self.longest = name, 0
        self.results = multiprocessing.Queue()
        self.readers = [multiprocessing.Process(target=read_share,
                                                args=(order[i::READERS], locks, self.results))
                        for i in range(READERS)]
        for reader in self.readers:
            reader.start()

    def finish(self, more=lambda: ""):
        """To the end; the host is told what each MiB was. @more is for who looks."""
        done = ended = 0
        while ended < len(self.readers):
            mib, seen, wait = self.results.get(timeout=120)
            self.longest = max(self.longest, wait)
            if mib is None:
                ended += 1
                continue
            done += 1
            tell(reading=self.name, mib=mib, digests=seen)
            if done % 64 == 0:
                say(f"  {self.name} reading: {done} of {SIZE} MiB{more()}")
        for reader in self.readers:
            reader.join()


def on_disk():
    """How far the dirty pages are, in words; the host gets it in numbers."""
    now = counters()
    tell(events=now)
    return (f"; {now['pages-returned'] * PAGE / MIB:.1f} MiB returned to the disk in "
            f"{now['data-returns']} page-outs, {target()['dirty'] / MIB:.1f} MiB dirty")


def write_runs(seed, locks):
    memory = map_target()
    for mib in range(SIZE):
        first, content = written_run(seed, mib)
        with locks[mib]:
            memory[first:first + len(content)] = content
    memory.flush()


def drop_caches():
    with open("/proc/sys/vm/drop_caches", "w") as file:
        file.write("3")


def kill_pagerd(pagerd):
    """With -9, while it has requests unanswered and pages are dirty. It is stopped
    just before, so that neither number can change under the look; it goes on when the
    pages had all been returned meanwhile."""
    while True:
        wait_for("1 MiB of dirty pages", lambda: target()["dirty"] >= MIB)
        pagerd.send_signal(signal.SIGSTOP)
        wait_for("an unanswered request", lambda: target()["pending"] >= 1)
        at_kill = target()
        if at_kill["dirty"] >= MIB:
            break
        pagerd.send_signal(signal.SIGCONT)
    pagerd.kill()
    pagerd.wait()
    tell(unanswered_at_kill=at_kill["pending"], dirty_at_kill=at_kill["dirty"])
    wait_for("the kernel's notice of it", lambda: target()["state"] == "orphaned")
    return at_kill


def main():
    seed = os.environ["EXTPAGER_SEED"]
    # Nobody shall read a run of which half is written.
    locks = [multiprocessing.Lock() for _ in range(SIZE)]
    say("TAP version 13\n1..1")

    say(f"  target `default`: {SIZE} MiB of {DISK}, served by pagerd")
    ctl("target", "add", "default", "--store",
        f"block:{DISK}?offset={OFFSET}M&length={SIZE}M", "--size", f"{SIZE}M")
    pagerd = start_pagerd()

    say(f"  {READERS} processes map /dev/extpager and read it all, page by page")
    first = Reading(seed, "first", locks)
    first.finish()
    tell(longest_wait_ms=round(first.longest * 1000))

    say("  the cache is dropped; all is read again while a fifth process writes "
        f"{SIZE * RUN * PAGE // MIB} MiB")
    drop_caches()
    writer = multiprocessing.Process(target=write_runs, args=(seed, locks))
    writer.start()
    second = Reading(seed, "second", locks)
    at_kill = kill_pagerd(pagerd)
    killed = time.monotonic()
    say(f"  pagerd is killed with -9: {at_kill['pending']} requests unanswered, "
        f"{at_kill['dirty'] / MIB:.1f} MiB dirty; its clients wait")
    time.sleep(1)
    pagerd = start_pagerd()
    say(f"  a new pagerd is there, {time.monotonic() - killed:.1f} s later; they go on")
    second.finish(on_disk)
    tell(longest_fault_ms=round(second.longest * 1000))
    writer.join()
    if writer.exitcode:
        fail("the writer failed")

    say(f"  msync came back{on_disk()}")
    say("  the cache is dropped; all is read once more")
    drop_caches()
    Reading(seed, "last", locks).finish()

    say("  pagerd is asked to end")
    pagerd.terminate()
    if pagerd.wait(timeout=60):
        fail("pagerd did not end well")
    left = target()["dirty"]
    tell(events=counters(), dirty_at_end=left, finished=True)
    if left:
        fail("dirty pages were left")
    ctl("target", "del", "default")
    say("ok 1 demo")


if __name__ == "__main__":
    main()
