# SPDX-License-Identifier: GPL-2.0-only
"""What the guest is made of: an initramfs and a read-only disk of host tools.

The initramfs is small, for a fast boot: busybox, the kernel modules that the
tests use, and the tests. Everything big (python, fio, libc) is on the disk,
which becomes the guest's /usr.
"""
import fcntl
import hashlib
import lzma
import os
import re
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path

from . import tree

# Kernel modules that init or the tests load (some are built in).
DRIVERS = ("virtio_pci", "virtio_blk", "nvme", "brd", "loop", "null_blk", "ext4",
           "fuse", "ublk_drv", "zram", "dm_mod", "xfs", "overlay", "crc32c_generic")

# Programs of the host that the tests may run.
TOOLS = ("bash", "blockdev", "cat", "cmp", "cp", "dd", "env", "fallocate", "fio", "fsck.ext4",
         "head", "kill", "kmod", "losetup", "ls", "mkfs.ext4", "modprobe", "nproc", "od",
         "prlimit", "python3", "sha256sum", "sleep", "sort", "stat", "sync", "timeout",
         "truncate", "unshare", "setpriv")
# Debian's packages for python: what the tests check outputs with, and a client.
PYTHON_PACKAGES = ("attr", "attrs", "decorator.py", "jsonschema", "lmdb", "prometheus_client",
                   "pyrsistent", "_pyrsistent_version.py")
DIST_PACKAGES = Path("/usr/lib/python3/dist-packages")
PYTHON_OMITTED = {"test", "idlelib", "tkinter", "lib2to3", "ensurepip", "pydoc_data",
                  "dist-packages", "distutils"}


def built_once(function):
    """Boots run side by side, in several processes even: one builds, others wait."""
    def locked(what, cache):
        with open(cache / ".lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            return function(what, cache)
    return locked


class Cpio:
    """An archive in the format of initramfs ("newc")."""

    def __init__(self):
        self.parts = []
        self.names = set()

    def _entry(self, name, mode, data=b"", device=(0, 0)):
        if name in self.names:
            return
        self.names.add(name)
        if name != "TRAILER!!!" and os.path.dirname(name):
            self.directory(os.path.dirname(name))
        encoded = name.encode() + b"\0"
        fields = (len(self.names), mode, 0, 0, 1, 0, len(data), 0, 0,
                  *device, len(encoded), 0)
        head = b"070701" + b"".join(b"%08x" % f for f in fields) + encoded
        self.parts += [head, b"\0" * (-len(head) % 4), data, b"\0" * (-len(data) % 4)]

    def directory(self, name):
        self._entry(name, stat.S_IFDIR | 0o755)

    def text(self, name, text, mode=0o644):
        self._entry(name, stat.S_IFREG | mode, text.encode())

    def file(self, name, path):
        mode = 0o755 if os.access(path, os.X_OK) else 0o644
        self._entry(name, stat.S_IFREG | mode, Path(path).read_bytes())

    def link(self, name, target):
        self._entry(name, stat.S_IFLNK | 0o777, target.encode())

    def device(self, name, major, minor):
        self._entry(name, stat.S_IFCHR | 0o600, device=(major, minor))

    def tree(self, name, directory):
        for path in sorted(Path(directory).rglob("*")):
            if path.is_file():
                self.file(f"{name}/{path.relative_to(directory)}", path)

    def write(self, path):
        self._entry("TRAILER!!!", 0)
        Path(path).write_bytes(b"".join(self.parts))


def libraries(binaries):
    """The shared libraries that the binaries load, by ldd's word."""
    found = set()
    for binary in binaries:
        output = subprocess.run(["ldd", binary], capture_output=True, text=True,
                                env={**os.environ, "LD_LIBRARY_PATH": tree.BUILD / "lib"}).stdout
        for line in output.splitlines():
            match = re.search(r"(?:=> )?(/\S+) \(0x", line)
            if match:
                found.add(match.group(1))
            elif "not found" in line:
                raise RuntimeError(f"{binary}: {line.strip()}")
    return found


def module_tree(kernel, stage):
    """A /lib/modules of the drivers alone, uncompressed: insmod is no decompressor."""
    source = kernel.dir / "modules"
    wanted = {}
    for line in (source / "modules.dep").read_text().splitlines():
        name, deps = line.split(":")
        wanted[Path(name).name.split(".")[0].replace("-", "_")] = [name, *deps.split()]
    target = stage / "lib/modules" / kernel.release
    for name in {f for driver in DRIVERS for f in wanted.get(driver, ())}:
        data = (source / name).read_bytes()
        if name.endswith(".xz"):
            data, name = lzma.decompress(data), name[:-3]
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    for name in ("modules.order", "modules.builtin", "modules.builtin.modinfo"):
        shutil.copy(source / name, target)
    subprocess.run(["/sbin/depmod", "-b", stage, kernel.release], check=True)


@built_once
def base_archive(kernel, cache):
    """The part of the initramfs that is the same for every run of this kernel."""
    key = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:12]
    path = cache / f"base-{kernel.dir.resolve().name}-{key}.cpio"
    if path.exists():
        return path
    cpio = Cpio()
    cpio.device("dev/console", 5, 1)
    cpio.file("bin/busybox", "/bin/busybox")
    for name in ("proc", "sys", "tmp", "run", "usr", "sbin", "etc"):
        cpio.directory(name)
    cpio.link("lib64", "usr/lib64")
    cpio.link("lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu")
    cpio.link("bin/bash", "/usr/bin/bash")
    cpio.text("etc/passwd", "root:x:0:0::/tmp:/bin/sh\nnobody:x:65534:65534::/tmp:/bin/sh\n")
    cpio.text("etc/group", "root:x:0:\nnogroup:x:65534:\n")
    with tempfile.TemporaryDirectory() as stage:
        module_tree(kernel, Path(stage))
        cpio.tree("lib/modules", f"{stage}/lib/modules")
    cpio.write(f"{path}.new")
    os.rename(f"{path}.new", path)
    return path


@built_once
def tools_disk(binaries, cache):
    """A disk with TOOLS, python's library and what these binaries link to."""
    # Debian's own, not what else the caller's PATH may find.
    tools = {name: shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin") for name in TOOLS}
    missing = [name for name in TOOLS if not tools[name]]
    if missing:
        raise RuntimeError(f"the host has no {' '.join(missing)}")
    files = {f"bin/{name}": path for name, path in tools.items()}
    python = Path(subprocess.run(["/usr/bin/python3", "-c", "import os; print(os.__file__)"],
                                 capture_output=True, text=True, check=True).stdout).parent
    extensions = list((python / "lib-dynload").glob("*.so"))
    for name in PYTHON_PACKAGES:
        extensions += (DIST_PACKAGES / name).rglob("*.so")
    for library in libraries([*files.values(), *extensions, *binaries]):
        name = os.path.realpath(os.path.dirname(library)) + "/" + os.path.basename(library)
        if name.startswith("/usr/lib"):
            files[name[len("/usr/"):]] = library
    files["lib64/ld-linux-x86-64.so.2"] = "/lib64/ld-linux-x86-64.so.2"

    key = hashlib.sha256(Path(__file__).read_bytes())
    for name, path in sorted(files.items()):
        status = os.stat(path)
        key.update(f"{name} {status.st_size} {status.st_mtime_ns}\n".encode())
    disk = cache / f"tools-{key.hexdigest()[:12]}.ext4"
    if disk.exists():
        return disk
    with tempfile.TemporaryDirectory(dir=cache) as stage:
        for name, path in files.items():
            target = Path(stage, name)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(os.path.realpath(path), target)
        Path(stage, "sbin").mkdir(exist_ok=True)
        shutil.copytree(python, Path(stage, "lib", python.name), symlinks=False,
                        ignore=lambda _, names: PYTHON_OMITTED.intersection(names),
                        ignore_dangling_symlinks=True)
        packages = Path(stage, "lib/python3/dist-packages")
        packages.mkdir(parents=True)
        for name in PYTHON_PACKAGES:
            path = DIST_PACKAGES / name
            (shutil.copytree if path.is_dir() else shutil.copy)(path, packages / name)
        subprocess.run(["mkfs.ext4", "-q", "-F", "-d", stage, "-O", "^has_journal", "-m", "0",
                        f"{disk}.new", "256M"], check=True, stdout=subprocess.DEVNULL)
    os.rename(f"{disk}.new", disk)
    return disk
