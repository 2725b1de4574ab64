# SPDX-License-Identifier: GPL-2.0-only
"""For tests in Python: loop devices, and a file system on the disk that can be
frozen: whatever writes to it, a loop device on a file of it too, then waits."""
import contextlib
import fcntl
import os

from served import DISK, run

MOUNTED = "/tmp/mounted"
FIFREEZE, FITHAW = 0xC0045877, 0xC0045878


@contextlib.contextmanager
def loop_device(file):
    device = run("losetup", "--find", "--show", file).strip()
    try:
        yield device
    finally:
        run("losetup", "--detach", device)


@contextlib.contextmanager
def file_system():
    """An ext4 on the NVMe disk, mounted."""
    run("mkfs.ext4", "-q", "-F", DISK, "64M")
    os.makedirs(MOUNTED, exist_ok=True)
    run("mount", "-t", "ext4", DISK, MOUNTED)
    try:
        yield MOUNTED
    except BaseException:
        run("umount", "-l", MOUNTED)    # who has it open may not end soon
        raise
    run("umount", MOUNTED)


@contextlib.contextmanager
def frozen(path):
    fd = os.open(path, os.O_RDONLY)
    fcntl.ioctl(fd, FIFREEZE, 0)
    try:
        yield
    finally:
        fcntl.ioctl(fd, FITHAW, 0)
        os.close(fd)
