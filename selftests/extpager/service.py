#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
# vm: timeout=400 kernels=6.1,6.12
"""pagerd and what is around it: a service manager (played by the test), other name
spaces, few rights, a burst of targets, a store that does not answer at the end."""
import ctypes
import mmap
import os
import shutil
import signal
import subprocess
import sys
import time

sys.path.append("/tests/helpers")
from configured import STORES, Pagerd, delete, fresh, target_file, targets
from manager import Manager
from served import main, run, show, until

PAGE = 4096
PTRACE_DETACH, PTRACE_SEIZE, PTRACE_INTERRUPT = 17, 0x4206, 0x4207


def open_path(name):
    """A client's fd, by the mounted path."""
    path = "/run/extpager/targets"
    os.makedirs(path, exist_ok=True)
    if not os.path.ismount(path):
        run("mount", "-t", "extpager", "none", path)
    return os.open(f"{path}/{name}", os.O_RDWR)


def write_pages(fd, nr, letter):
    with mmap.mmap(fd, nr * PAGE) as memory:
        memory[:] = letter * (nr * PAGE)


# ---- the service manager


def test_ready_and_reload():
    """The manager learns when targets are served, and when a reload begins and ends."""
    fresh()
    target_file("t", "store = mem:\nsize = 1M\n")
    with Manager() as manager, manager.start() as pagerd:
        manager.wait_for(READY="1")
        assert show("t")["port"], pagerd.said()
        target_file("u", "store = mem:\nsize = 1M\n")
        before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        pagerd.process.send_signal(signal.SIGHUP)
        reloading = manager.wait_for(RELOADING="1")
        after = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        assert before <= int(reloading["MONOTONIC_USEC"]) <= after, (before, reloading, after)
        manager.wait_for(READY="1")
        assert show("u")["port"], pagerd.said()
        delete("t", "u")
        manager.wait_for(STATUS="serving 0 targets, 0 waiting for their stores")
        pagerd.process.terminate()
        stopping = manager.wait_for(STOPPING="1")
        assert int(stopping["EXTEND_TIMEOUT_USEC"]) == 19000000, stopping


def test_successor_takes_the_port():
    """The port waits with the manager while pagerd restarts; a client sees a pause."""
    fresh()
    target_file("p", f"store = file:{STORES}/p?create=1\nsize = 1M\n")
    with Manager() as manager:
        pagerd = manager.start("--queues", "2")
        manager.wait_for(READY="1")
        assert manager.port is not None, pagerd.said()
        port = show("p")["port"]
        fd = open_path("p")
        write_pages(fd, 256, b"p")
        pagerd.process.kill()
        pagerd.process.wait()
        until("orphaned", lambda: show("p")["state"] == "orphaned")
        begin = time.monotonic()
        pagerd = manager.start("--queues", "2")
        manager.wait_for(READY="1")
        assert time.monotonic() - begin < 10
        assert "took over the port" in pagerd.said(), pagerd.said()
        assert show("p")["port"] == port, (show("p"), port)
        os.fsync(fd)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        assert os.pread(fd, 256 * PAGE, 0) == b"p" * (256 * PAGE)
        pagerd.process.kill()
        pagerd.process.wait()
        # A port that does not fit is given back.
        with manager.start("--queues", "1") as pagerd:
            manager.wait_for(FDSTOREREMOVE="1")
            pagerd.serves("p")
            assert show("p")["port"] != port
            os.close(fd)
            delete("p")
    os.unlink(f"{STORES}/p")


def ptrace(request, thread):
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    if libc.ptrace(request, thread, None, None):
        raise OSError(ctypes.get_errno(), "ptrace")


def threads(process, name):
    found = []
    for thread in os.listdir(f"/proc/{process.pid}/task"):
        with open(f"/proc/{process.pid}/task/{thread}/comm") as comm:
            if comm.read().strip() == name:
                found.append(int(thread))
    return found


def test_watchdog():
    """The manager is told of life while all queue threads live, and not when one is stuck."""
    fresh()
    target_file("w", "store = mem:\nsize = 1M\n")
    with Manager() as manager, \
            manager.start("--queues", "3", WATCHDOG_USEC="2000000") as pagerd:
        for _ in range(4):
            manager.wait_for(2, WATCHDOG="1")
        [stuck] = threads(pagerd.process, "pagerd/1")
        ptrace(PTRACE_SEIZE, stuck)
        ptrace(PTRACE_INTERRUPT, stuck)
        until("the thread is stopped", lambda: "\nState:\tt" in
              open(f"/proc/{stuck}/status").read())
        manager.drain()
        # One sign may be on its way: its last round is not looked at yet.
        signs, end = 0, time.monotonic() + 5
        while (left := end - time.monotonic()) > 0:
            words = manager.message(left)
            signs += bool(words and "WATCHDOG" in words)
        assert signs <= 1, signs
        os.waitpid(stuck, 0x40000000)
        ptrace(PTRACE_DETACH, stuck)
        manager.wait_for(4, WATCHDOG="1")
        delete("w")


# ---- what is around it


CAPABILITIES = "+sys_admin,+sys_resource"
AS_THE_SERVICE = ("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups",
                  f"--inh-caps=-all,{CAPABILITIES}", f"--ambient-caps=-all,{CAPABILITIES}",
                  f"--bounding-set=-all,{CAPABILITIES}", "--no-new-privs")


def test_few_rights():
    """A user of its own with the unit's capabilities adds, serves, and writes back at the end
    what others' modes keep from it."""
    fresh()
    os.mkdir(f"{STORES}/own", 0o700)
    shutil.chown(f"{STORES}/own", "nobody", "nogroup")
    target_file("r", f"store = file:{STORES}/own/r?create=1\nsize = 1M\nuid = 0\nmode = 600\n")
    pagerd = Pagerd("--no-mlock", before=AS_THE_SERVICE)
    pagerd.serves("r")
    with open(f"/proc/{pagerd.process.pid}/status") as status:
        lines = dict(line.split(":\t", 1) for line in status.read().splitlines())
    assert lines["Uid"].split()[0] == "65534" and int(lines["CapEff"], 16) == 1 << 21 | 1 << 24
    fd = open_path("r")
    write_pages(fd, 256, b"r")
    assert show("r")["dirty"]
    said = pagerd.stop()
    assert show("r")["dirty"] == 0, said
    for words in ("not an I/O flusher", "not protected", "flush:"):
        assert words not in said, said
    with open(f"{STORES}/own/r", "rb") as store:
        assert store.read() == b"r" * (256 * PAGE)
    os.close(fd)
    delete("r")
    shutil.rmtree(f"{STORES}/own")


def test_network_of_its_own():
    """In a network of its own (PrivateNetwork=) pagerd hears of targets as anywhere."""
    fresh()
    with Pagerd(before=("unshare", "-n")) as pagerd:
        assert os.readlink(f"/proc/{pagerd.process.pid}/ns/net") != os.readlink("/proc/self/ns/net")
        # Each is heard of by itself: with nothing waiting there is no timer.
        for name in ("n1", "n2"):
            run("pagerctl", "target", "add", name, "--store", "mem:", "--size", "1M")
            pagerd.serves(name)
        delete("n1", "n2")
        pagerd.says("target 'n2': is gone")


def test_read_only_system_without_devices():
    """With everything read-only but its store (ProtectSystem=strict), and a /dev that has
    nothing but its own node."""
    fresh()
    store = "/run/allowed"
    os.makedirs(store, exist_ok=True)
    target_file("c", f"store = file:{store}/c?create=1\nsize = 1M\n")
    node = os.stat("/dev/extpager").st_rdev
    shut_in = f"""set -e
        mount --make-rprivate /
        mount --bind {store} {store}
        mount -t tmpfs none /dev
        mknod /dev/extpager c {os.major(node)} {os.minor(node)}
        chmod 666 /dev/extpager
        for at in /dev /run /tmp /usr /; do mount -o remount,bind,ro $at; done
        ! touch /run/x /tmp/x /dev/x /x 2>&-
        exec "$@" """
    with Pagerd(before=("unshare", "-m", "sh", "-c", shut_in, "sh")) as pagerd:
        pagerd.serves("c")
        assert os.listdir(f"/proc/{pagerd.process.pid}/root/dev") == ["extpager"]
        fd = open_path("c")
        write_pages(fd, 256, b"c")
        os.fsync(fd)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        assert os.pread(fd, 256 * PAGE, 0) == b"c" * (256 * PAGE)
        os.close(fd)
        delete("c")
    os.unlink(f"{store}/c")


def test_no_device_is_said():
    """Without the device pagerd says what is missing."""
    fresh()
    pagerd = Pagerd(before=("unshare", "-m", "sh", "-c", 'mount -t tmpfs none /dev; exec "$@"',
                            "sh"))
    assert pagerd.process.wait(timeout=20) == 3
    assert "no /dev/extpager: modprobe extpager, or give this container" in pagerd.said()


# ---- many at once, and the end


def each(names, command):
    """A shell command for each name, at once."""
    run("bash", "-c", f'for name in {" ".join(names)}; do {command} & done; wait')


def test_burst():
    """200 targets that come while pagerd does not listen, and 200 by files, are all served."""
    fresh()
    names = [f"b{i}" for i in range(200)]
    with Pagerd() as pagerd:
        pagerd.process.send_signal(signal.SIGSTOP)
        each(names, "pagerctl target add $name --store mem: --size 64K")
        assert len(targets()) == 200
        pagerd.process.send_signal(signal.SIGCONT)
        until("all are served", lambda: pagerd.said().count("serving mem:") == 200)
        assert all(show(name)["port"] for name in names[::10])
        each(names, "pagerctl target del $name")
        until("all are gone", lambda: pagerd.said().count("': is gone") == 200)
        for name in names:
            target_file(name, "store = mem:\nsize = 64K\n")
        pagerd.reload()
        until("all are served again", lambda: pagerd.said().count("serving mem:") == 400)
        assert all(show(name)["port"] for name in names[::10])
        each(names, "pagerctl target del $name")
    assert targets() == []


SLOW_DEVICE = "/sys/kernel/config/nullb/nullb0"


def make_slow_device():
    """Each operation on /dev/nullb0 takes six seconds."""
    run("modprobe", "null_blk", "nr_devices=0")
    # It may be mounted.
    subprocess.run(["mount", "-t", "configfs", "none", "/sys/kernel/config"], capture_output=True)
    os.mkdir(SLOW_DEVICE)
    for name, number in (("size", 1024), ("irqmode", 2), ("completion_nsec", 6 * 10**9),
                         ("power", 1)):
        with open(f"{SLOW_DEVICE}/{name}", "w") as file:
            file.write(str(number))


def slow_device_goes():
    try:
        os.rmdir(SLOW_DEVICE)
    except OSError:
        return False
    return True


def test_end_with_a_store_that_does_not_answer():
    """SIGTERM with dirty pages and a store that is stuck ends in its time and says what is left."""
    fresh()
    make_slow_device()
    until("there is a device", lambda: os.path.exists("/dev/nullb0"))
    target_file("stuck", "store = block:/dev/nullb0?force=1\nsize = 1M\nreturn-timeout = 2m\n")
    target_file("fine", f"store = file:{STORES}/fine?create=1\nsize = 1M\n")
    pagerd = Pagerd("--shutdown-timeout", "2s")
    pagerd.serves("stuck")
    pagerd.serves("fine")
    fds = [open_path("stuck"), open_path("fine")]
    for fd in fds:
        # Whole pages need not be read first.
        assert os.pwrite(fd, b"x" * (64 * PAGE), 0) == 64 * PAGE
    begin = time.monotonic()
    said = pagerd.stop()
    took = time.monotonic() - begin
    assert 2 <= took < 9, (took, said)
    assert "target 'stuck': 256 KiB are not written back: the kernel keeps them" in said, said
    assert "target 'fine': nothing is left" in said, said
    assert show("fine")["dirty"] == 0
    # A worker takes the pages back from who was to write them.
    until("the kernel keeps it", lambda: show("stuck")["dirty"] == 64 * PAGE)
    for fd in fds:
        os.close(fd)
    delete("fine")
    run("pagerctl", "target", "del", "stuck", "--discard")
    os.unlink(f"{STORES}/fine")
    until("the device is free", slow_device_goes, 60)


def test_power_off_without_a_pager():
    """With dirty pages and no pager, what power-off does ends at once, and the pages stay."""
    fresh()
    target_file("o", f"store = file:{STORES}/o?create=1\nsize = 1M\n")
    pagerd = Pagerd()
    pagerd.serves("o")
    fd = open_path("o")
    write_pages(fd, 64, b"o")
    pagerd.process.kill()
    pagerd.process.wait()
    until("orphaned", lambda: show("o")["state"] == "orphaned")
    begin = time.monotonic()
    subprocess.run(["sync"], timeout=60, check=True)
    os.close(fd)
    run("umount", "/run/extpager/targets")
    assert time.monotonic() - begin < 20, time.monotonic() - begin
    assert show("o")["dirty"] == 64 * PAGE
    with Pagerd() as pagerd:
        pagerd.serves("o")
        delete("o")
    with open(f"{STORES}/o", "rb") as store:
        assert store.read(64 * PAGE) == b"o" * (64 * PAGE)
    os.unlink(f"{STORES}/o")


main(globals())
