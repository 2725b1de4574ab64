#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""The half of the benchmark by the clock that is in its machine: rounds of all systems over
an NVMe disk, then what memory the module and pagerd take. Facts are lines of JSON."""
import ctypes
import glob
import json
import mmap
import os
import statistics
import subprocess
import sys
import time

PAGE = 4096
MIB = 1 << 20
DISK = "/dev/nvme0n1"
CACHED = 192 * MIB          # of the disk, read by two clients
TARGETS = PORTS = 64
STEADY = 64 << 10           # bytes between two readings
READINGS = 20
REPEATS = 3                 # of what is measured in the midst of a living kernel


class Params(ctypes.Structure):
    _fields_ = [("size", ctypes.c_size_t), ("nr_queues", ctypes.c_uint),
                ("ring_entries", ctypes.c_uint), ("port_fd", ctypes.c_int)]


def ctl(*args):
    return subprocess.run(["pagerctl", *args], check=True, capture_output=True, text=True).stdout


def show(name):
    return json.loads(ctl("-j", "target", "show", name))["target"]


def wait_for(what, condition):
    end = time.monotonic() + 60
    while not condition():
        if time.monotonic() > end:
            sys.exit(f"no {what}")
        time.sleep(0.05)


def delete(*names):
    for name in names:
        ctl("target", "del", name)
    # A name is free when a worker is done.
    wait_for("end of targets", lambda: not json.loads(ctl("-j", "target", "list"))["targets"])


def write(path, text):
    with open(path, "w") as file:
        file.write(text)


def kept_by_cpus():
    """Bytes that are free, but in the CPUs' own lists: they may be many."""
    with open("/proc/zoneinfo") as zoneinfo:
        return sum(PAGE * int(line.split()[1]) for line in zoneinfo
                   if line.split()[0] == "count:")


def used(drop=True):
    """Bytes of the machine's memory that are not free; caches of files are dropped before.
    What was closed is freed later, so that it takes a while until this is steady."""
    last = None
    for _ in range(READINGS):
        if drop:
            write("/proc/sys/vm/drop_caches", "3")
        with open("/proc/meminfo") as meminfo:
            kib = {line.split(":")[0]: int(line.split()[1]) for line in meminfo}
        now = 1024 * (kib["MemTotal"] - kib["MemFree"]) - kept_by_cpus()
        if last is not None and abs(now - last) <= STEADY:
            break
        last = now
        time.sleep(0.5)
    return now


def own_memory(pid):
    """Bytes of a process alone, but for its page tables."""
    with open(f"/proc/{pid}/smaps_rollup") as rollup:
        return sum(1024 * int(line.split()[1]) for line in rollup
                   if line.startswith(("Private_Clean:", "Private_Dirty:")))


def start_pagerd(*args):
    pagerd = subprocess.Popen(["pagerd", *args], stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL)
    wait_for("pagerd", lambda: json.loads(ctl("-j", "pager", "list"))["pagers"])
    return pagerd


def stop(pagerd):
    pagerd.terminate()
    pagerd.wait()


def read_all(path):
    """In a process of its own, which ends."""
    if (pid := os.fork()) == 0:
        fd = os.open(path, os.O_RDONLY)
        memory = mmap.mmap(fd, CACHED, mmap.MAP_SHARED, mmap.PROT_READ)
        for offset in range(0, CACHED, PAGE):
            memory[offset]  # pylint: disable=pointless-statement
        os._exit(0)
    if os.waitpid(pid, 0)[1]:
        sys.exit(f"{path} could not be read")


def ports():
    """An idle port, in this process; with what the library keeps for it."""
    library = ctypes.CDLL("libextpager.so.0")
    handles = [ctypes.c_void_p() for _ in range(PORTS + 1)]
    ops = (ctypes.c_size_t * 8)(ctypes.sizeof(ctypes.c_size_t) * 8)
    params = Params(size=ctypes.sizeof(Params))

    def open_port(handle):
        if ret := library.extpager_open(ctypes.byref(handle), ctypes.byref(params), ops, None):
            sys.exit(f"extpager_open: {os.strerror(-ret)}")

    open_port(handles[0])
    before = used()
    for handle in handles[1:]:
        open_port(handle)
    taken = used() - before
    for handle in handles:
        library.extpager_close(handle)
    return (taken / PORTS,)


def targets():
    """A target that pagerd serves: of the whole machine, and of pagerd's memory."""
    def add(number):
        ctl("target", "add", f"t{number}", "--store", "zero:", "--size", "1G")

    def all_live(numbers):
        wait_for("target", lambda: all(show(f"t{n}")["state"] == "live" for n in numbers))

    add(0)
    pagerd = start_pagerd()
    all_live([0])
    before, own = used(), own_memory(pagerd.pid)
    for number in range(1, TARGETS + 1):
        add(number)
    all_live(range(TARGETS + 1))
    taken = used() - before
    own = own_memory(pagerd.pid) - own
    delete(*(f"t{number}" for number in range(TARGETS + 1)))
    stop(pagerd)
    return taken / TARGETS, own / TARGETS


def cache():
    """What is in the page cache when two clients have read CACHED bytes, and what that takes:
    of the whole machine; of pagerd's memory; and as the disk's own cache, without a pager."""
    keeper = os.open(DISK, os.O_RDONLY)
    read_all(DISK)
    before = used()
    read_all(DISK)
    read_all(DISK)
    plain = used(drop=False) - before
    used()
    os.close(keeper)

    ctl("target", "add", "cached", "--store", f"block:{DISK}?length=256M", "--read-only")
    pagerd = start_pagerd("--no-kernel-reads")
    wait_for("target", lambda: show("cached")["state"] == "live")
    os.makedirs("/run/extpager", exist_ok=True)
    subprocess.run(["mount", "-t", "extpager", "none", "/run/extpager"], check=True)
    path = "/run/extpager/cached"
    read_all(path)
    before, own, resident = used(), own_memory(pagerd.pid), show("cached")["resident"]
    read_all(path)
    read_all(path)
    taken, own = used(drop=False) - before, own_memory(pagerd.pid) - own
    resident = show("cached")["resident"] - resident
    subprocess.run(["umount", "/run/extpager"], check=True)
    delete("cached")
    stop(pagerd)
    return resident, taken, own, plain


def medians(measure):
    return map(statistics.median, zip(*(measure() for _ in range(REPEATS))))


def memory():
    with open("/sys/module/extpager/coresize") as size:
        module = int(size.read())
    pagerd = start_pagerd()
    idle = own_memory(pagerd.pid)
    stop(pagerd)
    [port] = medians(ports)
    target, target_pagerd = medians(targets)
    resident, taken, own, plain = medians(cache)
    return {"module": module, "pagerd": idle, "port": port, "target": target,
            "target_pagerd": target_pagerd, "cached": CACHED, "resident": resident,
            "cache": taken, "cache_pagerd": own, "cache_plain": plain}


def tell_symbols():
    """Of a machine that is watched, to its disk for them."""
    for path in glob.glob("/sys/block/vd*/serial"):
        with open(path) as serial:
            if serial.read().strip() == "symbols":
                disk = path.split("/")[3]
                with open("/proc/kallsyms", "rb") as symbols:
                    write(f"/dev/{disk}", symbols.read().decode())


def main():
    print("TAP version 13\n1..1", flush=True)
    # The tests' pagerd is told to be in the loop of all devices; this one is as it comes.
    os.makedirs("/etc/extpager", exist_ok=True)
    write("/etc/extpager/pagerd.conf", "")
    for module in ("fuse", "ublk_drv"):
        subprocess.run(["modprobe", "-q", module], check=False)
    words = os.environ["BENCH_ARGS"].split()
    status = subprocess.run(["/tests/bench", *words, DISK], check=False).returncode
    tell_symbols()
    print(json.dumps({"memory": memory()}), flush=True)
    print("not ok" if status else "ok", "1 bench", flush=True)


if __name__ == "__main__":
    main()
