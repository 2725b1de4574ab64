#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
# vm: timeout=300 deep=debug
"""Programs that know nothing of pagers work on a target's path as on a file,
and what they wrote is on the raw device when pagerd has ended."""
import errno
import fcntl
import filecmp
import mmap
import os
import subprocess
import sys

sys.path.append("/tests/helpers")
from served import DISK, disk_opens, MIB, Target, drop_caches, main, run, shows, until

SHM = "/dev/shm"
MOUNTED = "/tmp/mounted"
DEBUG = os.environ.get("EXTPAGER_DEBUG_KERNEL") == "1"
DEEP = os.environ.get("EXTPAGER_DEEP") == "1"
SEED = int(os.environ.get("EXTPAGER_SEED", "1"))
SIZE = (3 if DEBUG else 64 if DEEP else 6) * MIB


def random_file(name, size):
    with open(f"{SHM}/{name}", "wb") as file:
        for _ in range(size // MIB):
            file.write(os.urandom(MIB))
        file.write(os.urandom(size % MIB))
    return file.name


def digest(path):
    return run("sha256sum", path).split()[0]


@shows(131)
def test_cp_dd_cmp_and_sha256sum():
    source, back = random_file("source", SIZE), f"{SHM}/back"
    with Target(SIZE) as target:
        # Over an existing file: cp truncates, which a target takes for nothing.
        run("cp", source, target.path)
        run("cmp", source, target.path)
        drop_caches()
        assert digest(target.path) == digest(source)
        for options in ((), ("--sparse=always",), ("--reflink=auto",)):
            drop_caches()
            run("cp", *options, target.path, back)
            run("cmp", source, back)
        # Blocks that fit no page.
        run("dd", f"if={target.path}", f"of={back}", "bs=70001", "status=none")
        run("cmp", source, back)
        for options in (("bs=5001", "seek=3", "count=500"),
                        ("bs=64k", "seek=7", "count=9", "oflag=dsync")):
            fresh = random_file("fresh", 3 * MIB)
            for output in (source, target.path):
                run("dd", f"if={fresh}", f"of={output}", "conv=notrunc,fsync", "status=none",
                    *options)
            os.unlink(fresh)
        run("cmp", source, target.path)
    target.must_hold(source)
    os.unlink(source)
    os.unlink(back)


@shows(131)
def test_a_difference_is_seen():
    """So that the tests above can fail: one byte on the device, and cmp says so."""
    source = random_file("source", MIB)
    with Target(MIB) as target:
        run("cp", source, target.path)
    with open(DISK, "r+b", buffering=0) as disk:
        byte = os.pread(disk.fileno(), 1, 77777)
        os.pwrite(disk.fileno(), bytes([byte[0] ^ 1]), 77777)
        os.fsync(disk.fileno())
    try:
        target.must_hold(source)
    except AssertionError as error:
        assert "differ" in str(error) and "77778" in str(error), error
    else:
        raise AssertionError("not seen")
    os.unlink(source)


def fio(path, *jobs, size):
    """fio with a global section and a list of jobs, each a name and its options."""
    run("fio", f"--filename={path}", f"--size={size}", "--bs=4k", "--rw=randwrite",
        "--verify=crc32c", "--verify_fatal=1", "--verify_state_save=0", "--allow_file_create=0",
        f"--randseed={SEED}", *(word for job in jobs for word in job), cwd="/tmp")


# One after the other: each writes, and verifies what comes from the store.
FIO_JOBS = [("--name=" + "-".join(options), "--stonewall", "--fsync=256", "--do_verify=0",
             *("--" + option for option in options))
            for options in (("ioengine=mmap",), ("ioengine=psync",), ("ioengine=splice",),
                            ("ioengine=io_uring", "iodepth=16"),
                            ("ioengine=io_uring", "iodepth=16", "fixedbufs", "registerfiles"))]


@shows(131, 150)
def test_fio_with_mmap_psync_splice_and_io_uring():
    with Target(SIZE) as target:
        jobs = []
        for job in FIO_JOBS:
            check = [word.replace("--name=", "--name=verify-") for word in job]
            jobs += [job, [*check, "--verify_only",
                           "--exec_prerun=echo 3 >/proc/sys/vm/drop_caches"]]
        fio(target.path, *jobs, size=SIZE // 2)
    # The last one's blocks, by the device alone.
    run("blockdev", "--flushbufs", DISK)
    fio(DISK, ["--name=device", "--ioengine=psync", "--verify_only"], size=SIZE // 2)


@shows(131)
def test_four_fio_jobs_at_once():
    """Each verifies as it goes; fio's mmap takes no --offset."""
    with Target(SIZE) as target:
        part = SIZE // 4
        fio(target.path, *((f"--name={engine}", f"--ioengine={engine}",
                            f"--offset={part * number}", "--rw=randrw", "--verify_backlog=64",
                            "--bsrange=4k-32k", "--fsync=64")
                           for number, engine in enumerate(("mmap", "psync", "io_uring",
                                                            "pvsync2"))), size=part)
        run("cp", target.path, f"{SHM}/expected")
    target.must_hold(f"{SHM}/expected")
    os.unlink(f"{SHM}/expected")


@shows(131)
def test_a_load_of_mmaps_by_four_processes():
    """As stress-ng --mmap: pages are protected, unmapped, mapped again, advised on and
    synced in random order, and compared all the time."""
    rounds = 1 if DEBUG else 2
    part = SIZE // 4
    expected = random_file("expected", SIZE)
    with Target(SIZE) as target:
        loads = [subprocess.Popen(["mmap-load", target.path, expected, str(part * number),
                                   str(part), str(SEED + number), str(rounds)],
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
                 for number in range(4)]
        for load in loads:
            said = load.communicate(timeout=600 if DEEP else 200)[0]
            assert load.returncode == 0, (load.returncode, said)
        drop_caches()
        run("cmp", expected, target.path)
    target.must_hold(expected)
    os.unlink(expected)


@shows(151)
def test_pythons_mmap():
    expected = bytearray(os.urandom(SIZE))
    with Target(SIZE) as target:
        with open(target.path, "r+b") as file, mmap.mmap(file.fileno(), 0) as memory:
            assert len(memory) == SIZE
            memory[:] = bytes(expected)
            memory[5000:5010] = expected[5000:5010] = b"needle####"
            assert memory.find(b"needle####") == expected.find(b"needle####")
            memory.move(100000, 5000, 70000)
            expected[100000:170000] = expected[5000:75000]
            memory.flush()
            for what in (mmap.MADV_DONTNEED, mmap.MADV_SEQUENTIAL, mmap.MADV_WILLNEED):
                memory.madvise(what)
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY) as private:
                private[:4096] = bytes(4096)
                assert memory[:4096] == expected[:4096]
            memory.seek(-17, os.SEEK_END)
            memory.write(b"the last 17 bytes")
            expected[-17:] = b"the last 17 bytes"
            drop_caches()
            assert memory[:] == expected
        with open(target.path, "rb") as file:
            assert file.read() == expected
    with open(f"{SHM}/expected", "wb") as file:
        file.write(expected)
    target.must_hold(file.name)
    os.unlink(file.name)


@shows(151)
def test_execve():
    with Target(4 * MIB, "busybox") as target:
        run("dd", "if=/bin/busybox", f"of={target.path}", "conv=notrunc", "status=none")
        try:
            run(target.path, "echo", "hello")
            raise AssertionError("executed without permission")
        except PermissionError:
            pass
        os.chmod(target.path, 0o755)
        os.sync()
        drop_caches()
        assert run(target.path, "echo", "hello") == "hello\n"


# ---- a file system on a loop device on a target ----

def losetup(path, *options):
    return run("losetup", "-f", "--show", *options, path).strip()


def end_of_loop(loop):
    run("losetup", "-d", loop)
    until(f"{loop} is free", lambda: not os.path.exists(f"/sys/block/{loop[5:]}/loop"))


def same_tree(a, b):
    compared = filecmp.dircmp(a, b, ignore=["lost+found"])
    todo = [compared]
    files = 0
    while todo:
        compared = todo.pop()
        assert not compared.left_only and not compared.right_only, compared.report()
        assert not compared.funny_files, compared.report()
        same, different, errors = filecmp.cmpfiles(compared.left, compared.right,
                                                   compared.common_files, shallow=False)
        assert not different and not errors, (different, errors)
        files += len(same)
        todo += compared.subdirs.values()
    return files


def some_tree():
    """A directory of the machine with enough in it."""
    return f"/usr/lib/python3.{sys.version_info.minor}" + ("" if DEEP else "/asyncio")


@shows(150)
def test_ext4_on_a_loop_device():
    size = (96 if DEEP else 24) * MIB
    os.makedirs(MOUNTED, exist_ok=True)
    with Target(size) as target:
        loop = losetup(target.path)
        assert int(run("blockdev", "--getsize64", loop)) == size
        said = run("mkfs.ext4", "-q", "-F", loop)
        assert "not supported" not in said, said
        run("mount", "-t", "ext4", "-o", "discard", loop, MOUNTED)
        run("cp", "-a", some_tree(), f"{MOUNTED}/tree")
        for number in range(3):
            random_file("big", 3 * MIB + number)
            run("cp", f"{SHM}/big", f"{MOUNTED}/big{number}")
        drop_caches()
        files = same_tree(some_tree(), f"{MOUNTED}/tree")
        assert files > 10, files
        # Full up to the last block, and emptied again: with it the blocks are punched.
        try:
            with open(f"{MOUNTED}/fill", "wb", buffering=0) as fill:
                while True:
                    fill.write(b"f" * MIB)
        except OSError as error:
            assert error.errno == errno.ENOSPC, error
        os.sync()
        drop_caches()
        with open(f"{MOUNTED}/fill", "rb", buffering=0) as fill:
            filled = 0
            while data := fill.read(MIB):
                assert not data.strip(b"f"), f"wrong bytes after {filled}"
                filled += len(data)
        assert filled == os.path.getsize(f"{MOUNTED}/fill") > MIB
        os.unlink(f"{MOUNTED}/fill")
        run("umount", MOUNTED)
        run("fsck.ext4", "-f", "-n", loop)
        end_of_loop(loop)
        drop_caches()
        # Once more, over a cold cache and another loop device.
        loop = losetup("--read-only", target.path)
        run("mount", "-t", "ext4", "-o", "ro", loop, MOUNTED)
        assert same_tree(some_tree(), f"{MOUNTED}/tree") == files
        run("cmp", f"{SHM}/big", f"{MOUNTED}/big2")
        run("umount", MOUNTED)
        end_of_loop(loop)
    # The device alone, with neither target nor pagerd.
    run("blockdev", "--flushbufs", DISK)
    run("fsck.ext4", "-f", "-n", DISK)
    run("mount", "-t", "ext4", "-o", "ro", DISK, MOUNTED)
    assert same_tree(some_tree(), f"{MOUNTED}/tree") == files
    run("cmp", f"{SHM}/big", f"{MOUNTED}/big2")
    run("umount", MOUNTED)
    os.unlink(f"{SHM}/big")


@shows(150)
def test_blkdiscard_of_a_loop_device():
    expected = random_file("expected", SIZE)
    with Target(SIZE) as target:
        run("cp", expected, target.path)
        loop = losetup(target.path)
        run("busybox", "blkdiscard", "-o", MIB, "-l", MIB, loop)
        run("dd", "if=/dev/zero", f"of={expected}", "bs=1M", "seek=1", "count=1", "conv=notrunc",
            "status=none")
        run("cmp", expected, loop)
        run("cmp", expected, target.path)
        end_of_loop(loop)
    target.must_hold(expected)
    os.unlink(expected)


# ---- holes and copies inside the kernel ----

@shows(150)
def test_fallocate_punches_and_zeroes():
    expected = random_file("expected", SIZE)
    ranges = (("-p", 4096, 8192), ("-p", 100000, 300000), ("-z", 12345, 678), ("-p", 1, 4095),
              ("-z", MIB, 2 * MIB), ("-p", SIZE - 5000, 5000), ("-z", SIZE - 4096, 4096))
    with Target(SIZE) as target:
        run("cp", expected, target.path)
        for how, offset, length in ranges:
            # With dirty pages in it, and with clean ones.
            if how == "-p":
                os.sync()
            run("fallocate", how, "-n", "-o", offset, "-l", length, target.path)
            with open(expected, "r+b") as file:
                os.pwrite(file.fileno(), bytes(length), offset)
        run("cmp", expected, target.path)
        drop_caches()
        run("cmp", expected, target.path)
        refused = subprocess.run(["fallocate", "-l", str(2 * SIZE), target.path])
        assert refused.returncode
        assert os.path.getsize(target.path) == SIZE
    target.must_hold(expected)
    os.unlink(expected)


def in_kernel(copy, source, target, size):
    """Copy by a call that may do less than it was told."""
    done = 0
    while done < size:
        n = copy(source, target, size - done, done)
        assert n > 0, (n, done)
        done += n


@shows(150)
def test_copy_file_range_and_sendfile():
    expected = random_file("expected", SIZE)
    half = SIZE // 2
    with Target(SIZE) as target:
        with open(expected, "r+b") as file, open(target.path, "r+b") as path, \
                open(f"{SHM}/back", "w+b") as back:
            a, b, c = file.fileno(), path.fileno(), back.fileno()

            def sendfile(source, output, count, done):
                os.lseek(output, done, os.SEEK_SET)
                return os.sendfile(output, source, done, count)
            in_kernel(sendfile, a, b, SIZE)
            run("cmp", expected, target.path)
            drop_caches()
            in_kernel(sendfile, b, c, SIZE)
            run("cmp", expected, f"{SHM}/back")

            # Within one target; between file systems that is refused, as ever.
            def half_up(source, output, count, done):
                return os.copy_file_range(source, output, count, done, half + done)
            in_kernel(half_up, b, b, half)
            data = os.pread(a, half, 0)
            assert os.pwrite(a, data, half) == half
            run("cmp", expected, target.path)
            try:
                os.copy_file_range(b, c, 4096)
                raise AssertionError("copied to another file system")
            except OSError as error:
                assert error.errno == errno.EXDEV, error
            path.flush()
            os.fsync(b)
    target.must_hold(expected)
    os.unlink(expected)
    os.unlink(f"{SHM}/back")


@shows(150)
def test_splice_to_and_from_a_pipe():
    expected = random_file("expected", SIZE)
    with Target(SIZE) as target:
        reader, writer = os.pipe()
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, MIB)

        def through(source, output):
            done = 0
            while done < SIZE:
                # Pieces that keep to no page.
                n = left = os.splice(source, writer, 300001, offset_src=done)
                assert n > 0, done
                while left:
                    left -= os.splice(reader, output, left, offset_dst=done + n - left)
                done += n
        with open(expected, "r+b") as file, open(target.path, "r+b") as path:
            through(file.fileno(), path.fileno())
        run("cmp", expected, target.path)
        drop_caches()
        with open(f"{SHM}/back", "w+b") as file, open(target.path, "r+b") as path:
            through(path.fileno(), file.fileno())
        run("cmp", expected, f"{SHM}/back")
        os.close(reader)
        os.close(writer)
    target.must_hold(expected)
    os.unlink(expected)
    os.unlink(f"{SHM}/back")


run("modprobe", "-a", "nvme", "loop")
until("the disk opens", disk_opens)
main(globals())
