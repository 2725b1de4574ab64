#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
# vm: timeout=300
"""/sys/fs/extpager: the same truth as over netlink, one value a file, for as long as
there is the target and not a moment longer."""
import errno
import json
import os
import subprocess
import sys
import threading
import time

sys.path.append("/tests/helpers")
from served import MIB, PATHS, Target, main, run, show, shows, until

SYS = "/sys/fs/extpager"
PAGE = 4096
DEBUG = os.environ.get("EXTPAGER_DEBUG_KERNEL") == "1"
DEEP = os.environ.get("EXTPAGER_DEEP") == "1"
ROUNDS = 20 if DEBUG else 500 if DEEP else 60


def value(target, name):
    with open(f"{SYS}/{target}/{name}") as file:
        text = file.read()
    assert text.endswith("\n") and len(text.split()) == 1, (name, text)
    return text.strip()


def counters(name):
    return json.loads(run("pagerctl", "-j", "stats", name))["stats"][0]["counters"]


def files_of(directory):
    return sorted(name for name in os.listdir(directory)
                  if not os.path.isdir(f"{directory}/{name}"))


def same_as_netlink(name):
    told = show(name)
    want = {"state": told["state"], "policy": told["policy"], "size": told["bytes"],
            "read_only": int(told["read_only"]), "quota": told["quota"], "dirty": told["dirty"],
            "spilled": told["spilled"], "pending": told["pending"], "port": told["port"],
            "opens": told["opens"], "generation": told["generation"],
            "resident": told["resident"]}
    assert files_of(f"{SYS}/{name}") == sorted(want)
    for file, expected in want.items():
        assert value(name, file) == str(expected), (file, value(name, file), expected)
    counted = counters(name)
    assert files_of(f"{SYS}/{name}/stats") == sorted(c.replace("-", "_") for c in counted)
    for counter, expected in counted.items():
        shown = value(name, "stats/" + counter.replace("-", "_"))
        assert shown == str(expected), (counter, shown, expected)
    return told


@shows(partial=(135,))
def test_files_say_what_netlink_says():
    run("pagerctl", "target", "add", "new", "--size", "12345", "--read-only", "--policy", "fail",
        "--quota", "300K")
    told = same_as_netlink("new")
    assert (told["state"], told["bytes"], told["quota"]) == ("new", 12345, 300 << 10), told
    with Target(2 * MIB, "served") as target:
        assert value("served", "state") == "live" and value("served", "resident") == "0"
        with open(target.path, "r+b", buffering=0) as file:
            file.write(b"x" * 8 * PAGE)
            assert int(value("served", "dirty")) in (0, 8 * PAGE)
            os.fsync(file.fileno())
            assert value("served", "dirty") == "0" and value("served", "opens") == "1"
            assert value("served", "resident") == str(8 * PAGE)
        until("nothing is pending", lambda: value("served", "pending") == "0")
        assert same_as_netlink("served")["port"]
        assert sorted(os.listdir(SYS)) == ["new", "served"]
        target.pagerd.kill()
        target.pagerd.wait()
        until("it is orphaned", lambda: value("served", "state") == "orphaned")
        assert same_as_netlink("served")["port"] == 0
        target.pagerd = subprocess.Popen(["pagerd"], stderr=subprocess.PIPE, text=True)
        until("it is served again", lambda: value("served", "state") == "live")
    for policy in ("hold", "spill"):
        run("pagerctl", "target", "set", "new", "--policy", policy, "--quota", "1M")
        assert same_as_netlink("new")["policy"] == policy
    run("pagerctl", "target", "del", "new")
    assert os.listdir(SYS) == []


def test_everybody_reads_and_nobody_writes():
    run("pagerctl", "target", "add", "a", "--size", "1M", "--store", "mem:")
    files = [f"{SYS}/a/{name}" for name in files_of(f"{SYS}/a")] + \
        [f"{SYS}/a/stats/{name}" for name in files_of(f"{SYS}/a/stats")]
    assert all(os.stat(path).st_mode & 0o777 == 0o444 for path in files)
    run("setpriv", "--reuid=65534", "--clear-groups", "cat", *files)
    for path in files:
        try:
            with open(path, "wb", buffering=0) as file:
                file.write(b"1\n")
        except OSError as error:
            assert error.errno in (errno.EACCES, errno.EIO), error
        else:
            raise AssertionError(f"{path} can be written")
    run("pagerctl", "target", "del", "a")


def test_names_are_directories():
    """The longest, those of our own files, and what would be something else in a path."""
    names = ["n" * 63, "stats", "state", "uevent", "a..b", "_", "0", "A-._"]
    for name in names:
        run("pagerctl", "target", "add", name, "--size", "1M")
    assert sorted(os.listdir(SYS)) == sorted(names)
    assert all(value(name, "state") == "new" for name in names)
    refused = subprocess.run(["pagerctl", "target", "add", "state", "--size", "1M"],
                             capture_output=True, text=True)
    assert refused.returncode == 1 and value("state", "size") == str(MIB), refused
    for name in names:
        run("pagerctl", "target", "del", name)
    assert os.listdir(SYS) == []


def refcount():
    with open("/sys/module/extpager/refcnt") as file:
        return int(file.read())


def test_an_open_file_keeps_neither_target_nor_module():
    # Others that are gone may be counted yet: they free themselves a moment later.
    before = int(os.path.ismount(PATHS))
    until("nothing but the mount keeps the module", lambda: refcount() == before)
    run("pagerctl", "target", "add", "a", "--size", "1M")
    state = os.open(f"{SYS}/a/state", os.O_RDONLY)
    there = os.open(f"{SYS}/a", os.O_RDONLY | os.O_DIRECTORY)
    assert os.pread(state, 100, 0) == b"new\n"
    run("pagerctl", "target", "del", "a")
    assert not os.path.exists(f"{SYS}/a")
    until("it does not keep the module", lambda: refcount() == before)
    # The next one of this name is another.
    run("pagerctl", "target", "add", "a", "--size", "2M")
    for _ in range(2):
        try:
            assert not os.pread(state, 100, 0)
        except OSError as error:
            assert error.errno == errno.ENODEV, error
        else:
            raise AssertionError("a file of a target that is gone can be read")
    assert os.listdir(there) == [] and value("a", "size") == str(2 * MIB)
    run("pagerctl", "target", "del", "a")
    os.close(state)
    os.close(there)


@shows(partial=(135,))
def test_files_and_netlink_agree_while_it_is_under_load():
    """Counters only grow: what a file says lies between what netlink says before and after."""
    going = "/tmp/going"
    with Target(8 * MIB, "served") as target:
        open(going, "w").close()
        load = subprocess.Popen(["sh", "-c", f"""while test -e {going}; do
            dd if=/dev/zero of={target.path} bs=64k count=128 conv=notrunc,fsync status=none
            echo 3 > /proc/sys/vm/drop_caches
            cat {target.path} > /dev/null
            done"""])
        moved, rounds = set(), 0
        while rounds < 10 or not {"data-requests", "pages-read", "pages-returned",
                                  "syncs"} <= moved:
            before = counters("served")
            read = {name: int(value("served", "stats/" + name.replace("-", "_")))
                    for name in before}
            after = counters("served")
            wrong = {name: (before[name], read[name], after[name]) for name in before
                     if not before[name] <= read[name] <= after[name]}
            assert not wrong, wrong
            moved |= {name for name in before if before[name] < after[name]}
            rounds += 1
            assert load.poll() is None and rounds < 1000, (load.poll(), moved)
        os.unlink(going)
        assert load.wait(60) == 0


@shows(partial=(135,))
def test_readers_while_targets_come_and_go():
    end, read, unexpected = threading.Event(), [0], []

    def reader():
        while not end.is_set():
            for path, _, names in os.walk(SYS):
                for name in names:
                    try:
                        with open(f"{path}/{name}") as file:
                            assert len(file.read().split()) == 1
                        read[0] += 1
                    except OSError as error:
                        # Gone before it was opened, or before it was read.
                        if error.errno not in (errno.ENOENT, errno.ENODEV):
                            unexpected.append(error)
                    except AssertionError:
                        unexpected.append(f"{path}/{name}")

    readers = [threading.Thread(target=reader, daemon=True) for _ in range(3)]
    for thread in readers:
        thread.start()
    pagerd = subprocess.Popen(["pagerd"], stderr=subprocess.DEVNULL)
    begin = time.monotonic()
    for number in range(ROUNDS):
        run("pagerctl", "target", "add", "flicker", "--size", "1M", "--store", "mem:")
        if not number % 10:
            until("it is served", lambda: value("flicker", "state") == "live")
        run("pagerctl", "target", "del", "flicker")
        assert not os.path.exists(f"{SYS}/flicker"), number
    end.set()
    for thread in readers:
        thread.join()
    pagerd.terminate()
    assert pagerd.wait(60) == 0
    print(f"# {ROUNDS} targets, {read[0]} files read, {time.monotonic() - begin:.0f} s")
    assert not unexpected, unexpected[:3]
    assert read[0] > ROUNDS, read


main(globals())
