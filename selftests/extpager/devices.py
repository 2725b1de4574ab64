#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
# vm: timeout=300 deep=debug
"""Which block devices pagerd takes, how it has them open, and whose content it
does not write over."""
import contextlib
import os
import re
import subprocess
import sys

sys.path.append("/tests/helpers")
from frozen import file_system, frozen, loop_device, MOUNTED
from pagers import ctl, delete, open_target, Pagerd
from served import DISK, disk_opens, main, MIB, run, show, until

FOREIGN = "/dev/shm/foreign"
O_DIRECT = 0o40000
OPENAT = "257"


def foreign_disk():
    """A loop device with an ext4 on it that is nobody's here to touch."""
    with open(FOREIGN, "wb") as file:
        file.truncate(4 * MIB)
    run("mkfs.ext4", "-q", "-F", FOREIGN)
    with open(FOREIGN, "rb") as file:
        return file.read()


def wipe(size=MIB):
    with open(DISK, "r+b") as disk:
        disk.write(bytes(size))


def open_files(pagerd, path):
    """The flags of pagerd's open files of @path."""
    found = []
    for fd in os.listdir(f"/proc/{pagerd.pid}/fd"):
        with contextlib.suppress(FileNotFoundError):    # closed meanwhile
            if os.readlink(f"/proc/{pagerd.pid}/fd/{fd}") == path:
                info = pagerd.proc(f"fdinfo/{fd}")
                found.append(int(re.search(r"flags:\s+(\d+)", info).group(1), 8))
    return found


def test_a_mounted_device_is_refused():
    with file_system():
        ctl("target", "add", "m", "--store", f"block:{DISK}?force=1", "--size", "1M")
        pagerd = Pagerd()
        pagerd.says("the device is in use: mounted")
        assert not show("m")["port"]
    pagerd.serves("m")
    # And the other way round.
    refused = subprocess.run(["mount", "-t", "ext4", DISK, MOUNTED], capture_output=True)
    assert refused.returncode
    delete("m")
    pagerd.stop()
    wipe()


def test_nvme_is_for_namespaces_only():
    foreign_disk()
    with loop_device(FOREIGN) as device:
        ctl("target", "add", "l", "--store", f"nvme:{device}?force=1", "--size", "1M")
        pagerd = Pagerd()
        pagerd.says("not an NVMe namespace: write block: for other devices and partitions")
        assert not show("l")["port"]
        ctl("target", "set", "l", "--store", f"block:{device}?force=1")
        pagerd.serves("l")
        delete("l")
        pagerd.stop()


def test_past_the_page_cache():
    wipe()
    pagerd = Pagerd()
    ctl("target", "add", "d", "--store", f"nvme:{DISK}", "--size", "1M")
    pagerd.serves("d")
    flags = open_files(pagerd, DISK)
    # One open for I/O; the other one keeps the device and reads nothing more.
    assert sorted((f & os.O_ACCMODE, bool(f & O_DIRECT)) for f in flags) == \
        [(os.O_RDONLY, False), (os.O_RDWR, True)], list(map(oct, flags))
    delete("d")
    until("the device is let go", lambda: not open_files(pagerd, DISK))
    ctl("target", "add", "r", "--store", f"nvme:{DISK}", "--size", "1M", "--read-only")
    pagerd.serves("r")
    assert all(f & os.O_ACCMODE == os.O_RDONLY for f in open_files(pagerd, DISK))
    delete("r")
    pagerd.stop()


def test_what_clients_put_there_is_the_targets_own():
    """A restart looks for no signature on the store that was served."""
    image = foreign_disk()
    wipe(4 * MIB)
    pagerd = Pagerd()
    ctl("target", "add", "o", "--store", f"block:{DISK}", "--size", "4M")
    pagerd.serves("o")
    fd = open_target("o")
    os.pwrite(fd, image, 0)
    os.fsync(fd)
    pagerd.kill()
    pagerd = Pagerd()
    pagerd.serves("o")
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    assert os.pread(fd, len(image), 0) == image
    os.close(fd)
    delete("o")
    # A target of the same name is not the same.
    ctl("target", "add", "o", "--store", f"block:{DISK}", "--size", "4M")
    pagerd.says("signature: ext4")
    delete("o")
    pagerd.stop()
    wipe()


def test_a_used_target_is_not_led_to_anothers_disk():
    """Its new store is looked at like any other, dirty pages or not."""
    image = foreign_disk()
    wipe()
    with loop_device(FOREIGN) as device:
        pagerd = Pagerd()
        ctl("target", "add", "u", "--store", f"block:{DISK}", "--size", "1M")
        pagerd.serves("u")
        fd = open_target("u")
        os.pwrite(fd, b"u" * 65536, 0)
        os.fsync(fd)
        assert show("u")["store_used"]
        assert "serves the target from its store now" in \
            ctl("target", "set", "u", "--store", f"block:{device}", status=1)
        pagerd.kill()
        until("orphaned", lambda: show("u")["state"] == "orphaned")
        os.pwrite(fd, b"v" * 65536, 0)
        ctl("target", "set", "u", "--store", f"block:{device}")
        assert not show("u")["store_used"]
        pagerd = Pagerd()
        pagerd.says("signature: ext4")
        assert not show("u")["port"]
        # Its own disk has nothing that is known.
        ctl("target", "set", "u", "--store", f"block:{DISK}")
        pagerd.serves("u")
        os.fsync(fd)
        os.close(fd)
        delete("u")
        pagerd.stop()
    with open(FOREIGN, "rb") as file:
        assert file.read() == image
    with open(DISK, "rb") as disk:
        assert disk.read(65536) == b"v" * 65536
    wipe()


def test_a_store_named_while_the_old_one_is_opened():
    """pagerd hangs in the opening of a file, is told of another store, and comes to
    itself: what it attaches then is not the store that the kernel knows."""
    image = foreign_disk()
    with file_system() as directory, loop_device(FOREIGN) as device:
        ctl("target", "add", "c", "--store", f"file:{directory}/new?create=1", "--size", "1M")
        fd = open_target("c", os.O_RDWR | os.O_NONBLOCK)
        with frozen(directory):
            pagerd = Pagerd()
            # In its openat(2), and not for a moment elsewhere, before it knows its store.
            until("it waits for the file system",
                  lambda: pagerd.proc("syscall").split()[0] == OPENAT)
            ctl("target", "set", "c", "--store", f"block:{device}")
        pagerd.says("its store is now")
        pagerd.says("signature: ext4")
        assert not show("c")["port"] and not show("c")["store_used"]
        ctl("target", "set", "c", "--store", f"file:{directory}/new?create=1")
        pagerd.serves("c")
        os.pwrite(fd, b"c" * 4096, 0)
        os.close(fd)
        delete("c")
        pagerd.stop()
        with open(f"{directory}/new", "rb") as file:
            assert file.read(4096) == b"c" * 4096
    with open(FOREIGN, "rb") as file:
        assert file.read() == image
    wipe()


if __name__ == "__main__":
    run("modprobe", "-a", "nvme", "loop", "ext4")
    until("the disk opens", disk_opens)
    main(globals())
