#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
# vm: timeout=3000
"""The second boot: what power-off has left, an upgrade while a client works, the end
of the packages."""
import glob
import json
import os
import re
import shutil
import subprocess
import sys
import threading

from served import run, run_tests, show, until
from served_by_systemd import (PATHS, STORES, journal, mark, on_disk, pattern, pid, said, serves,
                               targets, unit, until_up)

DISK = "/dev/nvme0n1"
MIB = 1 << 20
NEXT = "/srv/next"
PACKAGES = ("extpager-dkms", "libextpager-dev", "libextpager0", "pagerd")


def apt(*words):
    return run("apt-get", "-y", *words, timeout=1500,
               env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})


def loaded_version():
    with open("/sys/module/extpager/version") as file:
        return file.read().strip()


def installed_version(package="extpager-dkms"):
    return run("dpkg-query", "-W", "-f", "${Version}", package)


def last_said(name, word):
    """When systemd last said so of a unit in the boot before, in microseconds."""
    lines = [json.loads(line) for line in journal(
        "-b", "-1", "-u", name, "-o", "json", "--output-fields=MESSAGE").splitlines()]
    times = [int(line["__MONOTONIC_TIMESTAMP"]) for line in lines
             if line["MESSAGE"].startswith(f"{word} ")]
    assert times, (name, word, lines[-10:])
    return max(times)


def test_starts_in_order():
    """Each of stores, pagerd, mount and client begins when the one before it is up."""
    names = ("srv-stores.mount", "pagerd", "run-extpager-targets.mount", "client")
    for first, then in zip(names, names[1:]):
        up = int(unit(first, "ActiveEnterTimestampMonotonic"))
        begin = int(unit(then, "InactiveExitTimestampMonotonic"))
        assert 0 < up <= begin, (first, up, then, begin)
    # Behind sysinit.target pagerd comes after local-fs.target in any case: that the unit says
    # so itself, only systemd's list shows.
    after = unit("pagerd", "After").split()
    assert {"local-fs.target", "blk-availability.service"} <= set(after), after


def test_stopped_in_order():
    """pagerd outlived its client, whose last words are in the store, and the store's file
    system and device outlived pagerd."""
    order = [("client", "Stopped"), ("run-extpager-targets.mount", "Unmounting"),
             ("run-extpager-targets.mount", "Unmounted"), ("pagerd", "Stopping"),
             ("pagerd", "Stopped"), ("srv-stores.mount", "Unmounting")]
    times = [last_said(*event) for event in order]
    assert times == sorted(times), list(zip(order, times))
    devices = last_said("blk-availability", "Stopping")
    assert devices >= last_said("pagerd", "Stopped"), (devices, times)
    with open(f"{STORES}/last", "rb") as file:
        assert file.read() == pattern("last words", 256)
    # Its next end would be amid what follows.
    run("systemctl", "disable", "--now", "client")


def test_power_off_was_orderly():
    """pagerd's targets were written back at power-off, in time, and are there again."""
    begin, end = last_said("pagerd", "Stopping"), last_said("pagerd", "Stopped")
    assert begin < end < begin + 17000000, (begin, end)
    serves("db")
    assert on_disk(DISK, MIB, MIB) == pattern("power-off", 256)
    assert set(targets()) == {"db", "state", "last"}, targets()
    with open(f"{PATHS}/state", "rb") as file:
        assert file.read() == pattern("file", 256)


class Load(threading.Thread):
    """A client that writes, flushes, drops and reads again, and knows what it must see: of
    a target that is not delegated, so that pagerd is asked for each of these."""

    def __init__(self):
        super().__init__(daemon=True)
        self.rounds, self.failure, self.ended = 0, None, False

    def run(self):
        try:
            fd = os.open(f"{PATHS}/state", os.O_RDWR)
            while not self.ended:
                data = pattern(f"load {self.rounds}", 64)
                assert os.pwrite(fd, data, 0) == len(data)
                os.fsync(fd)
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
                assert os.pread(fd, len(data), 0) == data
                self.rounds += 1
            os.close(fd)
        except Exception as error:      # told by the test
            self.failure = error

    def stop(self):
        self.ended = True
        self.join(60)
        assert not self.is_alive() and not self.failure, self.failure


def test_upgrade_under_load():
    """The packages are upgraded while a client works: pagerd is a new one with the old port,
    the module stays and apt says why and what to do; the client loses nothing."""
    load, old, before, port = Load(), pid(), loaded_version(), show("state")["port"]
    cursor = mark()
    load.start()
    until("the client works", lambda: load.rounds > 2)
    text = apt("install", "--no-install-recommends", *glob.glob(f"{NEXT}/*.deb"))
    rounds = load.rounds
    until("the client works on", lambda: load.rounds > rounds or load.failure, 60)
    load.stop()
    version = installed_version()
    assert version == f"{before}.1", (version, before)
    assert all(installed_version(package) == version for package in PACKAGES)
    assert "the loaded module is in use and is not replaced" in text, text
    for command in ("pagerctl target del", "systemctl stop run-extpager-targets.mount pagerd",
                    "modprobe -r extpager", "systemctl start pagerd run-extpager-targets.mount"):
        assert command in text, (command, text)
    assert loaded_version() == before
    until_up()
    assert pid() != old and version in run("pagerd", "--version")
    assert "took over the port" in said(cursor) and show("state")["port"] == port, said(cursor)
    assert f"{version}, {os.uname().release}, x86_64: installed" in run("dkms", "status")
    assert len(run("dkms", "status").splitlines()) == 1, run("dkms", "status")


def test_module_upgrade_as_told():
    """What apt said leads to the new module, with the targets of before."""
    for name in targets():
        run("pagerctl", "target", "del", name)
    run("systemctl", "stop", "run-extpager-targets.mount", "pagerd")
    run("modprobe", "-r", "extpager")
    run("systemctl", "start", "pagerd", "run-extpager-targets.mount")
    assert loaded_version() == installed_version()
    serves("db")
    assert on_disk(DISK, MIB, MIB) == pattern("power-off", 256)


def left_over():
    """Files of ours anywhere, but in logs and what came with the tests."""
    words = ["find", "/", "-xdev"]
    for elsewhere in ("/var/log", "/var/cache", "/srv", "/tmp"):
        words += ["-path", elsewhere, "-prune", "-o"]
    found = run(*words, "(", "-name", "*extpager*", "-o", "-name", "pager[dc]*", ")", "-print")
    return [path for path in found.split() if "extpager-tests" not in path]


def test_removed_with_targets_alive():
    """Removal with a target alive leaves its pages and the module alone, and says so."""
    text = apt("remove", "pagerd", "extpager-dkms")
    assert "the module is in use and stays loaded" in text, text
    assert os.path.exists("/sys/module/extpager") and not os.path.ismount(PATHS)
    assert unit("pagerd", "LoadState") == "not-found"
    apt("install", "--no-install-recommends",
        *glob.glob(f"{NEXT}/pagerd_*.deb"), *glob.glob(f"{NEXT}/extpager-dkms_*.deb"))
    until_up()
    serves("db")


def test_purge():
    """Purged, nothing is left but the system's user, as for every package of Debian, and
    the content of targets."""
    for name in targets():
        run("pagerctl", "target", "del", name)
    # The administrator's own, which no package removes.
    shutil.rmtree("/etc/systemd/system/pagerd.service.d")
    text = apt("purge", *PACKAGES)
    assert "/var/lib/extpager" in text, text
    assert left_over() == ["/var/lib/extpager"], (left_over(), text)
    assert os.listdir("/var/lib/extpager") == ["state"]
    assert not os.path.exists("/sys/module/extpager") and not os.path.ismount(PATHS)
    assert not os.path.exists("/run/extpager"), os.listdir("/run/extpager")
    assert run("dkms", "status") == ""
    assert not re.search(r"extpager", run("sh", "-c", "cat /lib/modules/*/modules.dep"))


sys.exit(1 if run_tests(globals()) else 0)
