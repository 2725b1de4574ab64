#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
# vm: timeout=1500
"""The first boot after the packages were installed: everything runs by itself, as
it is shipped. Leaves dirty pages behind for power-off: see afterwards.py."""
import glob
import json
import mmap
import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
import time

from served import run, run_tests, show, until
from served_by_systemd import (PAGE, PATHS, STORES, journal, mark, on_disk, pattern, pid, reload,
                               said, serves, target_file, targets, unit, until_up)

DISK = "/dev/nvme0n1"
MIB = 1 << 20
SCRIPTS = "/usr/share/extpager/bpftrace"
UNITS = "/etc/systemd/system"
# Its work is to be done at power-off, and late: when nothing but the order of units keeps
# pagerd, which goes as soon as remote-fs-pre.target and whoever came after pagerd are gone.
CLIENT = f"""\
[Unit]
Description=Client of a target
RequiresMountsFor={PATHS}

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=true
ExecStop=sh -c 'while systemctl is-system-running | grep -q stopping && \\
	systemctl -q is-active remote-fs-pre.target; do sleep 0.1; done'
ExecStop=dd if={STORES}.last of={PATHS}/last bs=64k conv=notrunc,fsync

[Install]
WantedBy=multi-user.target
"""
# As that of LVM, which takes block devices away at its end.
BLK_AVAILABILITY = """\
[Unit]
Description=Availability of block devices
DefaultDependencies=no
Conflicts=shutdown.target
Before=shutdown.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=true
ExecStop=true

[Install]
WantedBy=sysinit.target
"""


def write_pages(path, data):
    """Dirty pages, by a mapping; not flushed."""
    fd = os.open(path, os.O_RDWR)
    with mmap.mmap(fd, len(data)) as memory:
        memory[:] = data
    os.close(fd)


def read_anew(path, length):
    """Past the page cache: the pager must be asked."""
    fd = os.open(path, os.O_RDONLY)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    data = os.pread(fd, length, 0)
    os.close(fd)
    return data


def test_runs_from_the_start():
    """Nobody has loaded, mounted, made or started anything."""
    assert pwd.getpwnam("extpager").pw_dir == "/var/lib/extpager"
    assert f"{os.uname().release}, x86_64: installed" in run("dkms", "status")
    assert os.path.exists("/sys/module/extpager") and os.path.ismount(PATHS)
    assert unit("pagerd", "ActiveState", "Type", "User", "NRestarts") == \
        ["active", "notify", "extpager", "0"], run("systemctl", "status", "--no-pager", "pagerd")
    assert unit("run-extpager-targets.mount", "ActiveState") == "active"
    failed = run("systemctl", "list-units", "--failed", "--no-legend", "--plain")
    assert not failed.strip(), failed
    for words in ("not an I/O flusher", "not protected", "cannot"):
        assert words not in journal("-b", "-u", "pagerd"), journal("-b", "-u", "pagerd")


def test_is_shut_in():
    """What the unit says of rights, networks and the file system is so for the process."""
    with open(f"/proc/{pid()}/status") as status:
        lines = dict(line.rstrip("\n").split(":\t", 1) for line in status)
    assert lines["Uid"].split()[0] == str(pwd.getpwnam("extpager").pw_uid), lines
    assert int(lines["CapEff"], 16) == int(lines["CapBnd"], 16) == 1 << 21 | 1 << 24, lines
    assert lines["NoNewPrivs"] == "1" and lines["Seccomp"] == "2", lines
    for kind in ("net", "mnt", "ipc"):
        assert os.readlink(f"/proc/{pid()}/ns/{kind}") != os.readlink(f"/proc/self/ns/{kind}"), kind
    try_it = 'for at in /usr /etc /var /srv /root; do touch $at/x && exit 1; done; test -w ' \
             '/var/lib/extpager'
    run("nsenter", "-t", pid(), "-m", "sh", "-c", try_it)


def test_target_by_file():
    """A file and a reload make a target, on a real block device, that dd and mmap use."""
    with open(DISK, "r+b") as disk:
        disk.seek(MIB)
        disk.write(pattern("disk", 1024))
    target_file("db", f"store = block:{DISK}?offset=1M&length=64M&force=1\nmode = 640\n")
    reload()
    serves("db")
    done = subprocess.run(["dd", f"if={PATHS}/db", "bs=1M", "count=4", "status=none"],
                          capture_output=True, check=True)
    assert done.stdout == pattern("disk", 1024)
    write_pages(f"{PATHS}/db", pattern("mapped", 256))
    run("dd", "if=/dev/zero", f"of={PATHS}/db", "bs=4k", "seek=256", "count=1",
        "conv=notrunc,fsync", "status=none")
    assert on_disk(DISK, MIB, 257 * PAGE) == pattern("mapped", 256) + bytes(PAGE)
    assert read_anew(f"{PATHS}/db", MIB) == pattern("mapped", 256)
    target_file("state", "store = file:/var/lib/extpager/state?create=1\nsize = 1M\n")
    reload()
    serves("state")
    write_pages(f"{PATHS}/state", pattern("file", 256))
    assert read_anew(f"{PATHS}/state", MIB) == pattern("file", 256)


def waiting_reader(page):
    """Stops pagerd, and has dd read a page of a target that is not delegated."""
    with open(f"{PATHS}/state", "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    os.kill(pid(), signal.SIGSTOP)
    reader = subprocess.Popen(["dd", f"if={PATHS}/state", "of=/dev/null", "bs=4k", "count=1",
                               f"skip={page}"], stderr=subprocess.PIPE)
    until("the page is asked for", lambda: longest_wait() >= 0, 20)
    return reader


def longest_wait():
    """In milliseconds; -1 if nobody waits."""
    pending = json.loads(run("pagerctl", "-j", "pending", "state"))["pending"]
    return max((request["age_ms"] for request in pending), default=-1)


def test_dies_and_is_back():
    """Killed with pages dirty and a reader waiting, pagerd is back at once with the same
    port, and neither of them notices."""
    port = show("db")["port"]
    write_pages(f"{PATHS}/db", pattern("killed", 1024))
    reader = waiting_reader(200)
    cursor, old = mark(), pid()
    os.kill(old, signal.SIGKILL)
    until("systemd has seen it", lambda: pid() != old)
    until_up()
    # ExecMainExitTimestamp= is lost when the next process starts.
    died, begin, up = (int(microseconds) / 1000000 for microseconds in unit(
        "pagerd", "ActiveExitTimestampMonotonic", "ExecMainStartTimestampMonotonic",
        "ActiveEnterTimestampMonotonic"))
    print(f"# started again after {begin - died:.3f} s, active after {up - died:.3f} s")
    assert 0 < begin - died < 1, (died, begin)
    # What it then takes to be ready nobody promises, and it is emulated.
    assert begin < up < died + 10, (died, begin, up)
    assert reader.wait(timeout=60) == 0, reader.stderr.read()
    assert "took over the port of an earlier pagerd" in said(cursor), said(cursor)
    assert show("db")["port"] == port
    run("sync", f"{PATHS}/db")
    assert on_disk(DISK, MIB, 4 * MIB) == pattern("killed", 1024)


def test_hangs_and_is_back():
    """The watchdog finds a pagerd that hangs."""
    cursor, old = mark(), pid()
    os.kill(old, signal.SIGSTOP)
    until("another one runs", lambda: pid() not in (0, old), 90)
    until_up()
    assert "Watchdog timeout" in said(cursor), said(cursor)
    assert read_anew(f"{PATHS}/db", 4 * MIB) == pattern("killed", 1024)


def test_burst():
    """200 targets that come at once are all served."""
    names = [f"b{i}" for i in range(200)]
    for name in names:
        target_file(name, "store = mem:\nsize = 64K\n")
    reload()
    until("all are served", lambda: sum(map(bool, targets().values())) == 202, 120)
    for name in names:
        os.unlink(f"/etc/extpager/targets.d/{name}.conf")
        run("pagerctl", "target", "del", name)
    assert set(targets()) == {"db", "state"}, targets()


def test_stop_with_a_store_that_hangs():
    """`systemctl stop` ends in its time and says what is left; the next one takes it."""
    run("modprobe", "brd", "rd_nr=1", "rd_size=1024")
    run("dmsetup", "create", "hangs", "--table", "0 2048 linear /dev/ram0 0")
    run("udevadm", "settle")
    target_file("hangs", "store = block:/dev/mapper/hangs?force=1\nreturn-timeout = 5m\n")
    reload()
    serves("hangs")
    write_pages(f"{PATHS}/hangs", bytes(MIB))
    run("sync", f"{PATHS}/hangs")
    run("dmsetup", "suspend", "--noflush", "--nolockfs", "hangs")
    write_pages(f"{PATHS}/hangs", pattern("hangs", 64))
    write_pages(f"{PATHS}/db", pattern("stopped", 256))
    cursor, begin = mark(), time.monotonic()
    run("systemctl", "stop", "pagerd")
    took = time.monotonic() - begin
    # shutdown-timeout, 2 s for what is in flight, and what systemd takes here.
    assert 10 <= took < 25, (took, said(cursor))
    assert "target 'hangs': 256 KiB are not written back: the kernel keeps them" in said(cursor), \
        said(cursor)
    assert show("db")["dirty"] == 0 and show("hangs")["dirty"] == 64 * PAGE
    assert on_disk(DISK, MIB, MIB) == pattern("stopped", 256)
    run("dmsetup", "resume", "hangs")
    run("systemctl", "start", "pagerd")
    serves("hangs")
    run("pagerctl", "target", "del", "hangs")
    assert on_disk("/dev/mapper/hangs", 0, 64 * PAGE) == pattern("hangs", 64)
    os.unlink("/etc/extpager/targets.d/hangs.conf")
    until("the store is let go", lambda: subprocess.run(
        ["dmsetup", "remove", "hangs"], capture_output=True).returncode == 0)


def test_no_module():
    """Without the module the service says what is missing, and does not try for ever."""
    for name in targets():
        run("pagerctl", "target", "del", name)
    run("systemctl", "stop", "run-extpager-targets.mount", "pagerd")
    until("the module goes", lambda: subprocess.run(
        ["modprobe", "-r", "extpager"], capture_output=True).returncode == 0)
    never = "/etc/modprobe.d/never.conf"
    with open(never, "w") as file:
        file.write("install extpager /bin/false\n")
    cursor = mark()
    done = subprocess.run(["systemctl", "start", "pagerd"], capture_output=True, text=True)
    assert done.returncode, done
    assert unit("pagerd", "ActiveState", "NRestarts", "ExecMainStatus") == ["failed", "0", "3"]
    assert "no /dev/extpager: modprobe extpager" in said(cursor), said(cursor)
    os.unlink(never)
    # Now it is loaded by who asks for its netlink family, and by its unit.
    for words in (("pagerctl", "target", "list"), ("systemctl", "start", "modprobe@extpager")):
        run("systemctl", "stop", "modprobe@extpager")
        until("the module goes", lambda: subprocess.run(
            ["modprobe", "-r", "extpager"], capture_output=True).returncode == 0)
        assert not os.path.exists("/sys/module/extpager"), words
        run(*words)
        assert os.path.exists("/sys/module/extpager"), words
    run("systemctl", "start", "pagerd", "run-extpager-targets.mount")
    serves("db")
    assert os.path.ismount(PATHS)


class Script:
    """One for bpftrace, which runs; in `with`."""

    def __init__(self, name, *words):
        self.path = f"/tmp/{name}.said"
        with open(self.path, "w") as file:
            self.process = subprocess.Popen(["bpftrace", "-q", "-B", "none", f"{SCRIPTS}/{name}",
                                             *words], stdout=file, stderr=file)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()

    def said(self):
        with open(self.path) as file:
            return file.read()

    def attached(self, message):
        """What BEGIN prints is seen when the other probes are there as well."""
        until(f"'{message}' is said",
              lambda: message in self.said() or self.process.poll() is not None, 120)
        assert self.process.poll() is None, self.said()

    def end(self):
        self.process.send_signal(signal.SIGINT)
        assert self.process.wait(timeout=60) == 0, self.said()
        return self.said()


def slow_read(page):
    """dd reads a page that its pager has not supplied for a second and a half."""
    reader = waiting_reader(page)
    until("the request is old", lambda: longest_wait() > 1500, 20)
    os.kill(pid(), signal.SIGCONT)
    assert reader.wait(timeout=60) == 0, reader.stderr.read()


def test_scripts_for_bpftrace():
    """Each script is one for this bpftrace and this kernel, and tells of a slow read."""
    names = {os.path.basename(path) for path in glob.glob(f"{SCRIPTS}/*")}
    assert names == {f"extpager-{what}.bt"
                     for what in ("latency", "slow", "spill", "waiters")}, names
    with Script("extpager-latency.bt") as latency, Script("extpager-slow.bt", "1000") as slow, \
            Script("extpager-spill.bt") as spill, Script("extpager-waiters.bt") as waiters:
        latency.attached("Tracing requests")
        slow.attached("OBJECT")
        spill.attached("Tracing the spill")
        waiters.attached("Tracing accesses")
        slow_read(123)
        said_of = latency.end(), slow.end(), waiters.end(), spill.end()
    for text in said_of:
        assert "WARNING" not in text and "ERROR:" not in text, text
    # Microseconds, by powers of two.
    assert re.search(r"^@us\[DATA_REQUEST, 0\]: *\n\[1M, 2M\) +\d", said_of[0], re.M), said_of[0]
    # No other request was that slow, but what was read ahead may be one of its own.
    _, *lines = said_of[1].strip().splitlines()
    found = [re.match(r"\S+ +(\d+) DATA_REQUEST +(\d+) +(\d+) +0 0x", line) for line in lines]
    assert lines and all(found), said_of[1]
    numbers = [tuple(map(int, match.groups())) for match in found]
    assert any(ms > 1500 and at <= 123 < at + nr for ms, at, nr in numbers), said_of[1]
    assert re.search(r"^@waits\[dd, 1, 0\]: \d+$", said_of[2], re.M), said_of[2]


def test_client_until_power_off():
    """A client that needs the mount has something to write when it is stopped, to a target
    whose store is on a file system of its own: afterwards.py looks for it."""
    os.mkdir(STORES)
    run("truncate", "-s", "16M", f"{STORES}.img")
    run("mkfs.ext4", "-q", f"{STORES}.img")
    os.makedirs(f"{UNITS}/pagerd.service.d")
    for path, text in (("pagerd.service.d/stores.conf", f"[Service]\nReadWritePaths={STORES}\n"),
                       ("client.service", CLIENT), ("blk-availability.service", BLK_AVAILABILITY)):
        with open(f"{UNITS}/{path}", "w") as file:
            file.write(text)
    with open("/etc/fstab", "a") as file:
        file.write(f"{STORES}.img {STORES} ext4 loop 0 0\n")
    with open(f"{STORES}.last", "wb") as file:
        file.write(pattern("last words", 256))
    run("systemctl", "daemon-reload")
    run("systemctl", "start", "srv-stores.mount")
    shutil.chown(STORES, "extpager", "extpager")
    target_file("last", f"store = file:{STORES}/last?create=1\nsize = 1M\n")
    run("systemctl", "restart", "pagerd")
    serves("last")
    run("systemctl", "enable", "--now", "client", "blk-availability")
    assert unit("client", "ActiveState") == unit("blk-availability", "ActiveState") == "active"


def test_before_power_off():
    """A program built with the library's package serves a target, and is killed over dirty
    pages; others are dirty in a target of pagerd's. Power-off follows."""
    source = glob.glob("/usr/share/doc/libextpager-dev/examples/memory-pager.c*")[0]
    flags = run("pkg-config", "--cflags", "--libs", "extpager").split()
    run("sh", "-c", f'{"gunzip -c" if source.endswith("z") else "cat"} {source} >/tmp/pager.c')
    run("gcc", "-o", "/tmp/pager", "/tmp/pager.c", *flags)
    run("pagerctl", "target", "add", "left", "--size", "1M")
    pager = subprocess.Popen(["/tmp/pager", "left"])
    serves("left")
    write_pages(f"{PATHS}/left", pattern("left", 64))
    pager.kill()
    pager.wait()
    until("nobody serves it", lambda: show("left")["state"] == "orphaned")
    assert show("left")["dirty"] == 64 * PAGE
    write_pages(f"{PATHS}/db", pattern("power-off", 256))
    assert show("db")["dirty"]


sys.exit(1 if run_tests(globals()) else 0)
