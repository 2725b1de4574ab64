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
READERS = 4
DISK = "/dev/nvme0n1"


def disk_content(seed, mib):
    return random.Random(f"{seed} disk {mib}").randbytes(MIB)


def written_page(seed, page):
    return random.Random(f"{seed} page {page}").randbytes(PAGE)


def written_pages(seed):
    """The pages that the application writes: a run in each MiB."""
    choice = random.Random(f"{seed} pages")
    for mib in range(SIZE):
        first = mib * (MIB // PAGE) + choice.randrange(MIB // PAGE - RUN)
        yield from range(first, first + RUN)


def say(text):
    print(text, flush=True)


def tell(**facts):
    say("demo:" + json.dumps(facts))


def ctl(*args):
    return subprocess.run(["pagerctl", *args], check=True, capture_output=True, text=True).stdout


def target():
    return json.loads(ctl("-j", "target", "show", "default"))["target"]


def wait_for(what, condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            sys.exit(f"not ok 1 demo # {what} did not come about")
        time.sleep(0.02)


def start_pagerd():
    pagerd = subprocess.Popen(["pagerd"])
    wait_for("a pagerd that serves", lambda: target()["state"] == "live")
    return pagerd


def map_target():
    fd = os.open("/dev/extpager", os.O_RDWR)
    memory = mmap.mmap(fd, SIZE * MIB)
    os.close(fd)
    return memory


def read_share(reader, order, results):
    """Touch every page of a share, in @order; digests and the longest wait for a page."""
    memory = map_target()
    longest = 0
    for mib in order:
        digest = hashlib.sha256()
        for page in range(mib * MIB, (mib + 1) * MIB, PAGE):
            before = time.monotonic()
            content = memory[page:page + PAGE]
            longest = max(longest, time.monotonic() - before)
            digest.update(content)
        results.put((reader, mib, digest.hexdigest(), longest))
    results.put((reader, None, None, longest))


def start_readers(seed, name):
    """READERS processes with a share each; a queue of what they see."""
    order = list(range(SIZE))
    random.Random(f"{seed} {name}").shuffle(order)
    results = multiprocessing.Queue()
    readers = [multiprocessing.Process(target=read_share, args=(i, order[i::READERS], results))
               for i in range(READERS)]
    for reader in readers:
        reader.start()
    return readers, results


def collect(readers, results, progress):
    digests, longest, ended = {}, 0, 0
    while ended < len(readers):
        _, mib, digest, wait = results.get(timeout=120)
        longest = max(longest, wait)
        if mib is None:
            ended += 1
        else:
            digests[mib] = digest
            progress(len(digests))
    for reader in readers:
        reader.join()
    return digests, longest


def progress_line(verb):
    def show(mib):
        if mib % 64 == 0:
            say(f"  {verb} {mib} of {SIZE} MiB")
    return show


def write_pages(seed, done):
    memory = map_target()
    for page in written_pages(seed):
        memory[page * PAGE:(page + 1) * PAGE] = written_page(seed, page)
        done.value += 1
    memory.flush()


def drop_caches():
    with open("/proc/sys/vm/drop_caches", "w") as file:
        file.write("3")


def kill_pagerd(pagerd):
    """With -9, while it has requests unanswered and pages are dirty. It is stopped
    just before, so that neither number can change under the look."""
    wait_for("1 MiB of dirty pages", lambda: target()["dirty"] >= MIB)
    pagerd.send_signal(signal.SIGSTOP)
    wait_for("an unanswered request", lambda: target()["pending"] >= 1)
    at_kill = target()
    pagerd.kill()
    pagerd.wait()
    wait_for("the kernel's notice of it", lambda: target()["state"] == "orphaned")
    return at_kill


def main():
    seed = os.environ["EXTPAGER_SEED"]
    say("TAP version 13\n1..1")

    say(f"  target `default`: {SIZE} MiB of {DISK}, served by pagerd")
    ctl("target", "add", "default", "--store",
        f"block:{DISK}?offset={OFFSET}M&length={SIZE}M", "--size", f"{SIZE}M")
    pagerd = start_pagerd()

    say(f"  {READERS} processes map /dev/extpager and read it all, page by page")
    digests, first_wait = collect(*start_readers(seed, "first"), progress_line("read"))
    tell(digests=digests)

    say("  the cache is dropped; all is read again while a fifth process writes "
        f"{SIZE * RUN * PAGE // MIB} MiB")
    drop_caches()
    written = multiprocessing.Value("i", 0)
    writer = multiprocessing.Process(target=write_pages, args=(seed, written))
    writer.start()
    readers, results = start_readers(seed, "second")
    at_kill = kill_pagerd(pagerd)
    killed = time.monotonic()
    say(f"  pagerd is killed with -9: {at_kill['pending']} requests unanswered, "
        f"{at_kill['dirty'] / MIB:.1f} MiB dirty; its clients wait")
    time.sleep(1)
    pagerd = start_pagerd()
    say(f"  a new pagerd is there, {time.monotonic() - killed:.1f} s later; they go on")
    _, pause = collect(readers, results, progress_line("read again"))
    writer.join()
    if writer.exitcode:
        sys.exit("not ok 1 demo # the writer failed")

    say("  msync came back; pagerd is asked to end")
    counters = json.loads(ctl("-j", "stats", "default"))["stats"][0]["counters"]
    pagerd.terminate()
    if pagerd.wait(timeout=60):
        sys.exit("not ok 1 demo # pagerd did not end well")
    left = target()["dirty"]
    ctl("target", "del", "default")
    tell(pages_written=written.value, unanswered_at_kill=at_kill["pending"],
         dirty_at_kill=at_kill["dirty"], dirty_at_end=left, events=counters,
         resent=counters["resent"], longest_wait_ms=round(first_wait * 1000),
         longest_fault_ms=round(pause * 1000))
    say("ok 1 demo" if not left else "not ok 1 demo # dirty pages were left")


if __name__ == "__main__":
    main()
