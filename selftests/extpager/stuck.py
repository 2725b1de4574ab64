#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
# vm: timeout=240
"""pagerd and a store that does not answer: a loop device whose file is on a frozen
file system. What is not written is not lost."""
import os
import sys
import threading
import time

sys.path.append("/tests/helpers")
from frozen import file_system, frozen, loop_device
from pagers import ctl, delete, open_target, PAGE, Pagerd, pattern
from served import main, MIB, run, show, shows, until

PAGES = 256
# Who writes: the kernel, or pagerd.
WAYS = (), ("--no-kernel-reads",)


def make_file(path, size):
    with open(path, "wb") as file:
        file.write(bytes(size))
        os.fsync(file.fileno())


def dirty(fd, salt):
    for page in range(PAGES):
        os.pwrite(fd, pattern(page, salt), page * PAGE)


def must_hold(path, salt):
    """The file itself, when no loop device is on it any more."""
    with open("/proc/sys/vm/drop_caches", "w") as file:
        file.write("3")
    with open(path, "rb") as file:
        for page in range(PAGES):
            assert file.read(PAGE) == pattern(page, salt), page


def end_while_frozen(*way):
    with file_system() as directory:
        back = f"{directory}/back"
        make_file(back, 4 * MIB)
        with loop_device(back) as device:
            pagerd = Pagerd("--shutdown-timeout", "1s", *way)
            ctl("target", "add", "s", "--store", f"block:{device}", "--size", "4M")
            pagerd.serves("s")
            fd = open_target("s")
            dirty(fd, "old")
            os.fsync(fd)
            with frozen(directory):
                dirty(fd, "new")
                begin = time.monotonic()
                pagerd.process.terminate()
                assert pagerd.process.wait(timeout=30) == 0, pagerd.said()
                took = time.monotonic() - begin
                # The timeout, two seconds for what is in flight, and a very slow machine.
                assert 1 <= took < 20, took
                pagerd.says("target 's': 1 MiB are not written back: the kernel keeps them")
                pagerd.says("some store does not answer")
                until("it is orphaned", lambda: show("s")["state"] == "orphaned")
                until("the kernel keeps it dirty", lambda: show("s")["dirty"] == PAGES * PAGE)
            pagerd = Pagerd(*way)
            pagerd.serves("s")
            os.fsync(fd)
            os.close(fd)
            delete("s")
            pagerd.stop()
        must_hold(back, "new")


@shows(66)
def test_the_end_is_bounded_and_the_next_pagerd_writes_it():
    for way in WAYS:
        end_while_frozen(*way)


def kill_while_frozen(*way):
    with file_system() as directory:
        back = f"{directory}/back"
        make_file(back, 4 * MIB)
        with loop_device(back) as device:
            pagerd = Pagerd(*way)
            ctl("target", "add", "a", "--store", f"block:{device}", "--size", "4M")
            pagerd.serves("a")
            fd = open_target("a")
            with frozen(directory):
                dirty(fd, "a")
                sync = threading.Thread(target=os.fsync, args=(fd,), daemon=True)
                sync.start()
                until("the pages are being returned", lambda: show("a")["pending"])
                pagerd.kill()
                until("it is gone", lambda: show("a")["state"] == "orphaned")
                until("the kernel keeps it dirty", lambda: show("a")["dirty"] == PAGES * PAGE)
                assert sync.is_alive()
            pagerd = Pagerd(*way)
            pagerd.serves("a")
            sync.join(timeout=40)
            assert not sync.is_alive()
            assert show("a")["dirty"] == 0
            os.close(fd)
            delete("a")
            pagerd.stop()
        must_hold(back, "a")


@shows(66)
def test_nothing_is_acknowledged_before_it_is_written():
    """fsync waits for the device, and a pagerd killed meanwhile has promised nothing."""
    for way in WAYS:
        kill_while_frozen(*way)


if __name__ == "__main__":
    run("modprobe", "-a", "nvme", "loop", "ext4")
    main(globals())
