#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""The examples do what they say, and are as short as they are meant to be."""
import contextlib
import json
import mmap
import os
import signal
import socket
import subprocess
import sys
import time

sys.path.append("/tests/helpers")
from pagers import drop
from served import MIB, drop_caches, main, mount_paths, run, PATHS, show, shows, until

EXAMPLES = "/tests/examples"
SHM = "/dev/shm"
NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
SOMEBODY = ("setpriv", "--reuid=1000", "--regid=1000", "--clear-groups")
UNPRIVILEGED = "/sys/module/extpager/parameters/unprivileged_pagers"


@contextlib.contextmanager
def example(name, *args, user=()):
    """A running example, which does not outlive a failure of the test."""
    process = subprocess.Popen([*user, f"{EXAMPLES}/{name}", *args], stderr=subprocess.PIPE,
                               text=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def end(process):
    process.send_signal(signal.SIGTERM)
    said = process.communicate(timeout=30)[1]
    assert process.returncode == 0 and not said, (process.returncode, said)


def lines(name):
    with open(f"{EXAMPLES}/{name}.c") as source:
        return len(source.readlines())


def counters():
    return {s.get("target"): s["counters"]
            for s in json.loads(run("pagerctl", "-j", "stats"))["stats"]}


@shows(12)
def test_memory_pager():
    assert lines("memory-pager") < 60, lines("memory-pager")
    size = 4 * MIB - 123
    run("pagerctl", "target", "add", "memory", "--store", "mem:", "--size", size)
    mount_paths()
    path = f"{PATHS}/memory"
    with example("memory-pager", "memory") as pager:
        until("it serves", lambda: show("memory")["port"])
        with open(f"/proc/{pager.pid}/maps") as maps:
            assert "/libextpager.so.0" in maps.read(), "not the shared library"
        with open(path, "r+b") as file:
            assert file.read() == bytes(size)
            data = os.urandom(size)
            with mmap.mmap(file.fileno(), size) as memory:
                memory[:] = data
            os.fsync(file.fileno())
            # drop_caches of older kernels passes over what is on another CPU's way to a list.
            until("nothing is cached", lambda: drop(file.fileno()) or not show("memory")["resident"])
            before = counters()["memory"]["pages-requested"]
            file.seek(0)
            assert file.read() == data
            # It came from the pager, not from the cache.
            assert counters()["memory"]["pages-requested"] - before == 1024
            run("fallocate", "-p", "-n", "-o", MIB, "-l", MIB, path)
            drop_caches()
            file.seek(0)
            assert file.read() == data[:MIB] + bytes(MIB) + data[2 * MIB:]
        end(pager)
    until("it is seen to be gone", lambda: show("memory")["state"] == "orphaned")
    run("pagerctl", "target", "del", "memory", "--discard")


SOCKET = "/tmp/snapshot"


def listens():
    """Its name is there before it does."""
    with open("/proc/net/unix") as sockets:
        words = [line.split() for line in sockets]
    accepts = "00010000"        # __SO_ACCEPTCON, of the flags
    return any(w[-1] == SOCKET and w[3] == accepts for w in words)


@contextlib.contextmanager
def snapshot(size, user=()):
    """A snapshot-pager and the image it serves."""
    image = os.urandom(size)
    with open(f"{SHM}/image", "wb") as file:
        file.write(image)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(SOCKET)
    with example("snapshot-pager", file.name, SOCKET, user=user) as pager:
        until("it listens", lambda: listens() or pager.poll() is not None)
        yield pager, image
    os.unlink(file.name)


@shows(107)
def test_snapshot_pager():
    assert lines("snapshot-pager") <= 120, lines("snapshot-pager")
    clients, size = 3, 3 * MIB + 1000
    with snapshot(size) as (pager, image):
        # All at once, none of them allowed anything but the socket.
        running = [subprocess.Popen([*NOBODY, f"{EXAMPLES}/snapshot-client", SOCKET],
                                    stdout=subprocess.PIPE, stderr=subprocess.PIPE)
                   for _ in range(clients)]
        for client in running:
            output, said = client.communicate(timeout=60)
            assert client.returncode == 0, said
            assert output == image
        # They shared what was read: every page was asked for once.
        asked = counters()[None]["pages-requested"]
        assert asked == -(-size // 4096), asked
        end(pager)
        assert not os.path.exists(SOCKET)


@contextlib.contextmanager
def unprivileged_pagers():
    with open(UNPRIVILEGED, "w") as parameter:
        parameter.write("1")
    try:
        yield
    finally:
        with open(UNPRIVILEGED, "w") as parameter:
            parameter.write("0")


@shows(partial=(112,))
def test_snapshot_of_another_user():
    """Of whom his clients, be they root, must say that they will wait for him."""
    with unprivileged_pagers(), snapshot(MIB, user=SOMEBODY) as (pager, image):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(SOCKET)
            fd = socket.recv_fds(client, 1, 1)[1][0]
        try:
            mmap.mmap(fd, len(image), mmap.MAP_PRIVATE)
            raise AssertionError("mapped what was not accepted")
        except PermissionError:
            pass
        assert os.pread(fd, 4096, 0) == image[:4096]
        os.close(fd)
        for user in ((), NOBODY):
            output = subprocess.run([*user, f"{EXAMPLES}/snapshot-client", SOCKET], check=True,
                                    stdout=subprocess.PIPE, timeout=60).stdout
            assert output == image
        end(pager)


@shows(107)
def test_snapshot_whose_pager_is_killed():
    """What was read of it stays; the rest is an error, and no wait without end."""
    with snapshot(4 * MIB) as (pager, image):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(SOCKET)
            fd = socket.recv_fds(client, 1, 1)[1][0]
        with mmap.mmap(fd, len(image), mmap.MAP_PRIVATE) as memory:
            assert memory[:4096] == image[:4096]
            memory[:5] = b"hello"
            pager.kill()
            pager.wait()
            assert memory[:4096] == b"hello" + image[5:4096]
            assert os.pread(fd, 4096, 0) == image[:4096]
            begin = time.monotonic()
            try:
                os.pread(fd, 4096, 3 * MIB)
                raise AssertionError("read what nobody supplied")
            except OSError:
                pass
            assert time.monotonic() - begin < 10
        os.close(fd)


main(globals())
