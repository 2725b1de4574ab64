#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
# vm: timeout=300 deep=debug
"""pagerd and pagerctl as their users meet them: stores, restarts, refusals, the end."""
import json
import mmap
import os
import re
import select
import struct
import subprocess
import sys
import time

sys.path.append("/tests/helpers")
from pagers import ctl, delete, drop, open_target, pattern, Pagerd
from served import clean_up, DISK, disk_opens, MIB, run, show, until


def fill(fd, pages, salt):
    with mmap.mmap(fd, pages * 4096) as memory:
        for page in range(pages):
            memory[page * 4096:(page + 1) * 4096] = pattern(page, salt)


def check(fd, pages, salt):
    with mmap.mmap(fd, pages * 4096, prot=mmap.PROT_READ) as memory:
        for page in range(pages):
            assert memory[page * 4096:(page + 1) * 4096] == pattern(page, salt), page


def test_mem():
    """A mem: target is written, dropped from the cache and read."""
    pagerd = Pagerd()
    ctl("target", "add", "m", "--store", "mem:", "--size", "8M")
    pagerd.serves("m")
    fd = open_target("m")
    fill(fd, 2048, "a")
    os.fsync(fd)
    drop(fd)
    check(fd, 2048, "a")
    assert show("m")["policy"] == "fail"
    os.close(fd)
    delete("m")
    pagerd.stop()


def flushes():
    """How often the disk was told to make safe what is in its cache."""
    with open(f"/sys/block/{os.path.basename(DISK)}/queue/write_cache") as file:
        assert file.read() == "write back\n"
    with open(f"/sys/block/{os.path.basename(DISK)}/stat") as file:
        return int(file.read().split()[15])


def test_block():
    """What is written to a block: target is on the device, and safe there after fsync."""
    pagerd = Pagerd()
    ctl("target", "add", "b", "--store", f"block:{DISK}?offset=1M&length=16M&force=1")
    pagerd.serves("b")
    fd = open_target("b")
    fill(fd, 4096, "b")
    before = flushes()
    os.fsync(fd)
    assert flushes() > before
    with open(DISK, "rb") as disk:
        for page in (0, 1, 77, 4095):
            disk.seek(MIB + page * 4096)
            assert disk.read(4096) == pattern(page, "b")
    drop(fd)
    check(fd, 4096, "b")
    os.close(fd)
    delete("b")
    pagerd.stop()


def test_odd_size():
    """A size that ends inside a block leaves the neighbour's bytes alone."""
    with open(DISK, "r+b") as disk:
        disk.write(b"N" * 12288)
    pagerd = Pagerd()
    ctl("target", "add", "o", "--store", f"nvme:{DISK}?force=1", "--size", "5001")
    pagerd.serves("o")
    fd = open_target("o")
    os.pwrite(fd, b"x" * 5001, 0)
    os.fsync(fd)
    os.close(fd)
    delete("o")
    pagerd.stop()
    with open(DISK, "rb") as disk:
        assert disk.read(12288) == b"x" * 5001 + b"N" * (12288 - 5001)


def test_kill_and_restart():
    """Clients notice a pause, and lose nothing, when pagerd is killed."""
    pagerd = Pagerd()
    ctl("target", "add", "k", "--store", "file:/dev/shm/k?create=1", "--size", "8M")
    pagerd.serves("k")
    fd = open_target("k")
    memory = mmap.mmap(fd, 8 * MIB)
    for page in range(1024):
        memory[page * 4096:(page + 1) * 4096] = pattern(page, "k")
    os.fsync(fd)
    for page in range(1024, 2048):
        memory[page * 4096:(page + 1) * 4096] = pattern(page, "k")
    pagerd.kill()
    until("orphaned", lambda: show("k")["state"] == "orphaned")
    memory[:4096] = pattern(0, "new")
    client = subprocess.Popen([sys.executable, __file__, "read", "k", str(1024 * 4096)],
                              stdout=subprocess.PIPE)
    time.sleep(0.5)
    pagerd = Pagerd()
    pagerd.serves("k")
    assert client.communicate(timeout=20)[0] == pattern(1024, "k")
    os.fsync(fd)
    drop(fd)
    assert memory[:4096] == pattern(0, "new")
    for page in range(1, 2048):
        assert memory[page * 4096:(page + 1) * 4096] == pattern(page, "k"), page
    memory.close()
    os.close(fd)
    delete("k")
    pagerd.stop()
    # Not through the cache that was tested.
    with open("/dev/shm/k", "rb") as store:
        assert store.read(4096) == pattern(0, "new")
        for page in range(1, 2048):
            assert store.read(4096) == pattern(page, "k"), page
    os.unlink("/dev/shm/k")


def test_shutdown_flushes():
    """SIGTERM writes back what is dirty."""
    pagerd = Pagerd()
    ctl("target", "add", "s", "--store", "file:/dev/shm/s?create=1", "--size", "4M")
    pagerd.serves("s")
    fd = open_target("s")
    fill(fd, 1024, "s")
    said = pagerd.stop()
    assert "not written back" not in said, said
    assert show("s")["dirty"] == 0
    with open("/dev/shm/s", "rb") as store:
        for page in range(1024):
            assert store.read(4096) == pattern(page, "s")
    os.close(fd)
    delete("s")
    os.unlink("/dev/shm/s")


def test_missing_store():
    """A store that is missing keeps no other from being served, and is tried again."""
    ctl("target", "add", "gone", "--store", "file:/dev/shm/gone", "--size", "1M")
    ctl("target", "add", "here", "--store", "mem:", "--size", "1M")
    pagerd = Pagerd()
    pagerd.serves("here")
    pagerd.says("target 'gone': not served: store 'file:/dev/shm/gone': No such file")
    with open("/dev/shm/gone", "wb") as store:
        store.truncate(4096)
    pagerd.says("the store holds 4 KiB, the target has 1 MiB")
    os.truncate("/dev/shm/gone", MIB)
    pagerd.serves("gone")
    delete("gone")
    delete("here")
    pagerd.stop()
    os.unlink("/dev/shm/gone")


def test_zero_and_read_only():
    """zero: reads zeros and cannot be opened for writing."""
    pagerd = Pagerd()
    ctl("target", "add", "z", "--store", "zero:", "--size", "1G")
    pagerd.serves("z")
    fd = open_target("z", os.O_RDONLY)
    assert os.pread(fd, 70000, 500 * MIB) == bytes(70000)
    os.close(fd)
    try:
        open_target("z")
        raise AssertionError("opened for writing")
    except OSError:
        pass
    delete("z")
    pagerd.stop()


def test_second_pagerd():
    """A second pagerd says that one lives, and goes."""
    pagerd = Pagerd()
    run = subprocess.run(["pagerd"], capture_output=True, text=True, timeout=20)
    assert run.returncode == 3 and f"pid {pagerd.process.pid}" in run.stderr, run
    pagerd.stop()


def test_handover():
    """With --only, two share the targets; the survivor takes no orphan that is not its own."""
    ctl("target", "add", "a", "--store", "file:/dev/shm/a?create=1", "--size", "1M")
    first = Pagerd("--only", "a")
    # It is up before it attaches, and who attaches first has it.
    first.serves("a")
    second = Pagerd("--only", "a,x")
    port = show("a")["port"]
    second.says("left alone")
    first.kill()
    until("the second has it", lambda: show("a")["port"] not in (0, port))
    second.stop()
    delete("a")
    os.unlink("/dev/shm/a")


def on_disk(offset, data):
    with open(DISK, "r+b") as disk:
        disk.seek(offset)
        disk.write(data)
        os.fsync(disk.fileno())


def file_system():
    """The beginning of an ext4."""
    path = "/dev/shm/ext4"
    with open(path, "wb") as file:
        file.truncate(4 * MIB)
    run("mkfs.ext4", "-q", "-F", path)
    with open(path, "rb") as file:
        begin = file.read(MIB)
    os.unlink(path)
    return begin


def partition_table():
    """A DOS one, with one partition."""
    entry = bytes((0, 0, 2, 0, 0x83, 0, 3, 0)) + struct.pack("<II", 2048, 2048)
    return bytes(446) + entry + bytes(3 * 16) + b"\x55\xaa"


def refuses(pagerd, name, signature):
    begin = f"target '{name}': not served: store "
    until(f"'{name}' is refused for {signature}, not only: {pagerd.said()}", lambda: any(
        begin in line and f"(signature: {signature})" in line for line in pagerd.said().splitlines()))
    assert not show(name)["port"]


def test_signature():
    """A device that carries something is refused, unless forced, wherever the range is."""
    on_disk(0, file_system())
    on_disk(8 * MIB, bytes(2 * MIB))
    ctl("target", "add", "f", "--store", f"block:{DISK}", "--size", "1M")
    ctl("target", "add", "behind", "--store", f"block:{DISK}?offset=8M", "--size", "1M")
    pagerd = Pagerd()
    for name in ("f", "behind"):
        refuses(pagerd, name, "ext4")
    ctl("target", "set", "f", "--store", f"block:{DISK}?force=1")
    pagerd.serves("f")
    ctl("target", "add", "g", "--store", f"block:{DISK}?offset=512K&force=1", "--size", "1M")
    pagerd.says("overlaps the store of target 'f'")
    for name in ("behind", "g", "f"):
        delete(name)

    on_disk(0, partition_table() + bytes(MIB))
    ctl("target", "add", "parted", "--store", f"block:{DISK}?offset=8M", "--size", "1M")
    refuses(pagerd, "parted", "dos")
    delete("parted")

    # In the range, and nowhere else.
    on_disk(0, bytes(MIB))
    on_disk(8 * MIB, file_system())
    ctl("target", "add", "inside", "--store", f"block:{DISK}?offset=8M", "--size", "1M")
    refuses(pagerd, "inside", "ext4")
    ctl("target", "add", "beside", "--store", f"block:{DISK}?offset=2M&length=1M")
    pagerd.serves("beside")
    delete("inside")
    delete("beside")
    pagerd.stop()
    on_disk(8 * MIB, bytes(MIB))


def test_device_goes():
    """A target whose device fails has errors of its own; the log tells them, the kernel's or
    pagerd's."""
    for options in ((), ("--no-kernel-reads",)):
        pagerd = Pagerd(*options)
        ctl("target", "add", "t", "--store", "file:/dev/shm/t?create=1", "--size", "1M")
        pagerd.serves("t")
        fd = open_target("t")
        os.truncate("/dev/shm/t", 8192)
        assert len(os.pread(fd, 8192, 0)) == 8192
        try:
            os.pread(fd, 4096, 512 * 1024)
            raise AssertionError("read what is not there")
        except OSError:
            pass
        if options:
            pagerd.says("read of its store at")
        else:
            said = subprocess.run(["dmesg"], stdout=subprocess.PIPE, text=True).stdout
            assert "extpager: target t: its store cannot be read at " in said, said
        os.close(fd)
        delete("t", "--discard")
        pagerd.stop()
        os.unlink("/dev/shm/t")


def counted(name):
    return json.loads(run("pagerctl", "-j", "stats", name))["stats"][0]["counters"]


def test_delegated():
    """A device is delegated, by default, and its clients then need no pagerd; one that is told
    to be in the loop is, with all that was written before."""
    masked = "/etc/extpager/pagerd.conf"
    os.makedirs(os.path.dirname(masked), exist_ok=True)
    open(masked, "w").close()
    try:
        delegate_and_take_back()
    finally:
        # By other tests pagerd is to be asked.
        os.unlink(masked)


def delegate_and_take_back():
    pagerd = Pagerd()
    # The last block is the target's only in part: that one goes through pagerd.
    ctl("target", "add", "d", "--store", f"nvme:{DISK}?offset=1M&length=8M&force=1",
        "--size", str(8 * MIB - 100))
    pagerd.serves("d")
    fd = open_target("d")

    def must_be_on_disk(page, salt):
        run("blockdev", "--flushbufs", DISK)
        with open(DISK, "rb") as disk:
            disk.seek(MIB + page * 4096)
            assert disk.read(4096) == pattern(page, salt)

    fill(fd, 1024, "d")
    os.pwrite(fd, b"end", 8 * MIB - 103)
    before = flushes()
    os.fsync(fd)
    assert flushes() > before
    drop(fd)
    check(fd, 1024, "d")
    assert os.pread(fd, 3, 8 * MIB - 103) == b"end"
    stats = counted("d")
    assert stats["pages-written"] >= 1024 and stats["pages-read"] > 1024, stats
    # Once it was written to, and once dropped.
    assert stats["pages-requested"] == 2 and stats["data-returns"] == 1, stats
    must_be_on_disk(1, "d")

    pagerd.kill()
    until("its loss is seen", lambda: show("d")["state"] == "orphaned")
    os.pwrite(fd, pattern(2000, "e"), 2000 * 4096)
    os.pread(fd, 4096, 1500 * 4096)
    os.fsync(fd)
    must_be_on_disk(2000, "e")

    pagerd = Pagerd("--no-delegate")

    def is_asked():
        """What was delegated is so until its next pager is ready; this page never was."""
        drop(fd)
        assert os.pread(fd, 3, 8 * MIB - 103) == b"end"
        return counted("d")["pages-requested"] > 2

    until("the next one is asked", is_asked)
    drop(fd)
    check(fd, 1024, "d")
    assert os.pread(fd, 4096, 2000 * 4096) == pattern(2000, "e")
    asked = counted("d")
    assert asked["pages-requested"] > 1024, asked
    os.close(fd)
    delete("d")
    pagerd.stop()


def test_lost_memory():
    """What a mem: store had is lost with pagerd, and said to be."""
    pagerd = Pagerd()
    ctl("target", "add", "l", "--store", "mem:", "--size", "1M")
    pagerd.serves("l")
    fd = open_target("l")
    fill(fd, 256, "l")
    os.fsync(fd)
    drop(fd)
    pagerd.kill()
    pagerd = Pagerd()
    pagerd.serves("l")
    pagerd.says("content was lost")
    try:
        os.pread(fd, 4096, 0)
        raise AssertionError("read what was lost")
    except OSError:
        pass
    os.close(fd)
    delete("l", "--discard")
    pagerd.stop()


def test_delete():
    """A deletion waits for dirty pages; without pager it must be told to discard."""
    pagerd = Pagerd()
    ctl("target", "add", "d", "--store", "file:/dev/shm/d?create=1", "--size", "1M")
    pagerd.serves("d")
    fd = open_target("d")
    os.pwrite(fd, b"d" * 4096, 0)
    pagerd.kill()
    until("orphaned", lambda: show("d")["state"] == "orphaned")
    os.close(fd)
    said = ctl("target", "del", "d", status=1)
    assert "--discard" in said, said
    pagerd = Pagerd()
    pagerd.serves("d")
    delete("d")
    with open("/dev/shm/d", "rb") as store:
        assert store.read(4096) == b"d" * 4096
    assert "no such target" in ctl("target", "show", "d", status=1)
    pagerd.stop()
    os.unlink("/dev/shm/d")


def test_pagerctl():
    """Lists, statistics and events, as text and as JSON."""
    watch = subprocess.Popen(["pagerctl", "-j", "monitor"], stdout=subprocess.PIPE, text=True)
    ctl("target", "add", "noise", "--size", "1M")
    # Its first line says that it is subscribed.
    while not select.select([watch.stdout], [], [], 0.2)[0]:
        ctl("target", "set", "noise", "--mode", "600")
    pagerd = Pagerd("--queues", "2")
    ctl("target", "add", "p", "--store", "mem:", "--size", "1.5M", "--mode", "640",
        "--quota", "256K", "--grace", "5m")
    pagerd.serves("p")
    fd = open_target("p")
    os.pwrite(fd, b"p" * 100000, 0)
    os.fsync(fd)
    os.close(fd)
    target = show("p")
    assert target["bytes"] == 3 * MIB // 2 and target["mode"] == 0o640, target
    assert target["quota"] == 256 << 10 and target["grace_ms"] == 300000, target
    assert "1.5 MiB" in ctl("target", "list") and "5 min" in ctl("target", "show", "p")
    assert sorted(t["name"] for t in json.loads(ctl("-j", "target", "list"))["targets"]) == \
        ["noise", "p"]
    pagers = json.loads(ctl("-j", "pager", "list"))["pagers"]
    assert len(pagers) == 1 and pagers[0]["pid"] == pagerd.process.pid, pagers
    assert len(pagers[0]["queues"]) == 2 and "alive" in ctl("pager", "list")
    stats = json.loads(ctl("-j", "stats", "p"))["stats"][0]
    assert stats["target"] == "p" and any(stats["counters"].values()), stats
    ctl("target", "set", "p", "--quota", "512K")
    assert "there is one already" in ctl("target", "add", "p", "--store", "mem:", "--size", "1M",
                                         status=1)
    assert "no such target" in ctl("target", "del", "q", status=1)
    delete("p")
    delete("noise")
    events = []
    # In any order: a worker tells of each.
    while not {("deleted", "p"), ("deleted", "noise")} <= set(events):
        event = json.loads(watch.stdout.readline())
        events.append((event["event"], event["target"]["name"]))
    watch.terminate()
    watch.communicate()
    kinds = [kind for kind, name in events if name == "p"]
    assert kinds[0] == "added" and "attached" in kinds and kinds[-1] == "deleted", kinds
    pagerd.stop()


def test_many():
    """Writers and readers on all queues, more than memory for buffers."""
    pagerd = Pagerd("--queues", "2")
    names = [f"n{i}" for i in range(4)]
    for name in names:
        ctl("target", "add", name, "--store", f"file:/dev/shm/{name}?create=1", "--size", "8M")
    for name in names:
        pagerd.serves(name)
    children = [subprocess.Popen([sys.executable, __file__, "work", name, str(seed)])
                for name in names for seed in range(2)]
    assert [child.wait(timeout=120) for child in children] == [0] * len(children)
    for name in names:
        delete(name)
    pagerd.stop()
    for name in names:
        must_hold(f"/dev/shm/{name}", name)
        os.unlink(f"/dev/shm/{name}")


def test_idle():
    """With nothing to do it does nothing, also after work on all queues."""
    pagerd = Pagerd("--queues", "2")
    ctl("target", "add", "i", "--store", f"block:{DISK}?force=1", "--size", "8M")
    pagerd.serves("i")
    work("i", 0)
    # What is dirty would be something to do.
    os.sync()
    time.sleep(1)
    before = sleeps(pagerd)
    time.sleep(3)
    assert sleeps(pagerd) == before, (before, sleeps(pagerd))
    assert len(before) == 3 and all(state == "S" for state, *_ in before.values()), before
    delete("i")
    pagerd.stop()


def sleeps(pagerd):
    """{thread: (state, how often it gave the processor up, how often it lost it)}. Time is no
    measure: one that runs while the machine stands still has run for as long. io_uring's
    workers are the kernel's, and look about them every five seconds."""
    return {name: tuple(re.findall(r"^(?:State|\w+_ctxt_switches):\t(\w+)",
                                   pagerd.proc(f"task/{tid}/status"), re.M))
            for tid, name in pagerd.threads().items() if not name.startswith("iou-wrk")}


def test_kills():
    """pagerd is killed again and again under load; nobody notices."""
    ctl("target", "add", "r", "--store", f"block:{DISK}?force=1", "--size", "8M")
    pagerd = Pagerd("--queues", "2")
    pagerd.serves("r")
    children = [subprocess.Popen([sys.executable, __file__, "work", "r", str(seed)])
                for seed in range(2)]
    kills = 0
    while any(child.poll() is None for child in children):
        time.sleep(0.3)
        if kills < 6:
            pagerd.kill()
            pagerd = Pagerd("--queues", "2")
            pagerd.serves("r")
            kills += 1
    assert [child.returncode for child in children] == [0, 0]
    assert kills, "the workers were too fast"
    delete("r")
    pagerd.stop()
    run("blockdev", "--flushbufs", DISK)
    must_hold(DISK, "r")


def work(name, seed):
    """Each of two workers of a target has every other 64 KiB."""
    import random
    random.seed(seed)
    fd = open_target(name)
    chunks = range(seed, 128, 2)
    model = {}
    for _ in range(300):
        chunk = random.choice(chunks)
        if chunk in model and random.random() < 0.5:
            assert os.pread(fd, 65536, chunk * 65536) == model[chunk] * 65536, chunk
        else:
            model[chunk] = bytes([random.randrange(256)])
            os.pwrite(fd, model[chunk] * 65536, chunk * 65536)
        if random.random() < 0.1:
            os.fsync(fd)
            drop(fd)
    for chunk, byte in model.items():
        assert os.pread(fd, 65536, chunk * 65536) == byte * 65536, chunk
    with open(f"/tmp/{name}.{seed}", "w") as left:
        json.dump({chunk: byte[0] for chunk, byte in model.items()}, left)


def must_hold(path, name):
    """The store itself, past the cache under test, has what both workers left."""
    with open(path, "rb") as store:
        for seed in range(2):
            with open(f"/tmp/{name}.{seed}") as left:
                model = json.load(left)
            assert len(model) > 50, "the workers wrote next to nothing"
            for chunk, byte in model.items():
                store.seek(int(chunk) * 65536)
                assert store.read(65536) == bytes([byte]) * 65536, (path, chunk)


def main():
    if sys.argv[1:2] == ["read"]:
        fd = open_target(sys.argv[2])
        sys.stdout.buffer.write(os.pread(fd, 4096, int(sys.argv[3])))
        return 0
    if sys.argv[1:2] == ["work"]:
        work(sys.argv[2], int(sys.argv[3]))
        return 0
    subprocess.run(["modprobe", "nvme"], check=True)
    until("the disk opens", disk_opens)
    tests = [(name[5:], function) for name, function in globals().items()
             if name.startswith("test_")]
    failed = 0
    print(f"KTAP version 1\n1..{len(tests)}", flush=True)
    for number, (name, function) in enumerate(tests, 1):
        try:
            function()
            print(f"ok {number} {name}", flush=True)
        except Exception as error:      # whatever it is, it is this test's
            failed += 1
            print(f"# {type(error).__name__}: {error}".replace("\n", "\n# "))
            print(f"not ok {number} {name}", flush=True)
            clean_up()
    return 1 if failed else 0


sys.exit(main())
