#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
# vm: timeout=300 deep=debug
"""What a bare target is like, and those who follow the kernel's events when they
are too slow for them."""
import json
import os
import select
import signal
import subprocess
import sys

sys.path.append("/tests/helpers")
from pagers import ctl, delete, Pagerd
from served import main, show, until


def drops(pid):
    """Events that the kernel could not give to the netlink sockets of a process."""
    inodes = set()
    for fd in os.listdir(f"/proc/{pid}/fd"):
        link = os.readlink(f"/proc/{pid}/fd/{fd}")
        if link.startswith("socket:["):
            inodes.add(link[len("socket:["):-1])
    with open("/proc/net/netlink") as table:
        rows = [line.split() for line in table][1:]
    return sum(int(row[8]) for row in rows if row[9] in inodes)


def overrun(pid):
    """Make events until the process, which is stopped, has lost some."""
    for number in range(5000):
        ctl("target", "set", "noise", "--mode", "600")
        if number % 20 == 0 and drops(pid):
            return
    raise AssertionError("no event was lost")


def test_a_bare_target_has_the_documented_settings():
    ctl("target", "add", "bare", "--size", "1M")
    bare = show("bare")
    wanted = {"handshake_timeout_ms": 10_000, "page_in_timeout_ms": 30_000,
              "return_timeout_ms": 30_000, "sync_timeout_ms": 60_000, "grace_ms": 300_000,
              "handshake_action": "error", "page_in_action": "error", "return_action": "spill",
              "spill_limit": (1 << 63) - 1, "spilled": 0, "spill_full": False,
              "policy": "hold", "mode": 0o600, "uid": 0, "gid": 0, "read_only": False,
              "state": "new", "generation": 0, "port": 0, "dirty": 0, "resident": 0}
    assert {key: bare[key] for key in wanted} == wanted, bare
    text = ctl("target", "show", "bare")
    for line in ("handshake-timeout  10 s", "page-in-timeout    30 s", "return-timeout     30 s",
                 "sync-timeout       1 min", "grace              5 min",
                 "handshake-action   error", "page-in-action     error",
                 "return-action      spill", "spill-limit        unlimited",
                 "spilled            0 B\n"):
        assert line in text, text
    ctl("target", "set", "bare", "--spill-limit", "3M")
    assert show("bare")["spill_limit"] == 3 << 20
    assert "spill-limit        3 MiB" in ctl("target", "show", "bare")
    ctl("target", "set", "bare", "--spill-limit", "unlimited")
    assert show("bare")["spill_limit"] == (1 << 63) - 1
    delete("bare")


def test_pagerd_that_missed_events_looks_again():
    ctl("target", "add", "noise", "--size", "1M")
    pagerd = Pagerd()
    pagerd.process.send_signal(signal.SIGSTOP)
    overrun(pagerd.pid)
    lost = drops(pagerd.pid)
    ctl("target", "add", "late", "--store", "mem:", "--size", "1M")
    assert drops(pagerd.pid) > lost, "it would have heard of it"
    pagerd.process.send_signal(signal.SIGCONT)
    pagerd.serves("late")
    delete("late")
    delete("noise")
    pagerd.stop()


def watch(*options):
    return subprocess.Popen(["pagerctl", *options, "monitor"], stdout=subprocess.PIPE, text=True)


def test_monitor_says_that_it_missed_events():
    ctl("target", "add", "noise", "--size", "1M")
    watchers = [watch(), watch("-j")]
    for watcher in watchers:
        # Its first line says that it is subscribed.
        while not select.select([watcher.stdout], [], [], 0.2)[0]:
            ctl("target", "set", "noise", "--mode", "600")
        watcher.send_signal(signal.SIGSTOP)
    for watcher in watchers:
        overrun(watcher.pid)
    for watcher in watchers:
        watcher.send_signal(signal.SIGCONT)
    text, machine = watchers
    line = text.stdout.readline()
    while "events were lost" not in line:
        assert "noise" in line, line
        line = text.stdout.readline()
    assert "pagerctl target list" in line, line
    while json.loads(machine.stdout.readline())["event"] != "lost":
        pass
    # It goes on.
    ctl("target", "add", "later", "--size", "1M")
    while "later" not in text.stdout.readline():
        pass
    for watcher in watchers:
        watcher.terminate()
        watcher.communicate()
    delete("later")
    delete("noise")


if __name__ == "__main__":
    main(globals())
