# SPDX-License-Identifier: GPL-2.0-only
"""A real Debian with the packages of this tree: installed into a clean system, which
is then booted twice. What is tried there is in selftests/debian/."""
import re
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path

from . import guest, packages, tree

PLACE = "debian"
DEBIAN = tree.SELFTESTS / "debian"
SCRIPT = tree.TOP / "scripts/debian"
# Where the guest has the tests, and the packages of a later version.
TESTS = "usr/lib/extpager-tests"
NEXT = "srv/next"
# What a Debian that runs services and builds modules has anyway, what our packages
# depend on, so that the guest needs no network, and what the tests are written in.
BASE = ("systemd-sysv", "udev", "kmod", "linux-image-amd64", "linux-headers-amd64", "dkms",
        "gcc", "libc6-dev", "pkg-config", "libnl-genl-3-dev", "liburing2", "libblkid1", "libcjson1",
        "libinih1", "python3", "dmsetup", "procps", "bpftrace")
# Emulated, and a compiler may be at work in it: systemd alone takes a minute.
QUIET = 400
# What the kernel says of the pages that installed.py leaves dirty without a pager.
LOST = "target left: 262144 dirty bytes were not returned and are lost"
# Seconds from the order to power off to the end of the machine. Of what stops then only
# pagerd may take its time, TimeoutStopSec= of its unit; clients and file systems wait for no
# one else, and a target without a pager adds nothing. As much again is in reserve: the
# machine is emulated, has a hundred other units to stop, and others may be busy beside it.
POWER_OFF = 30 + 30


def build(directory):
    """The packages, by name."""
    tree.make("deb", directory=directory)
    built = {path.name.partition("_")[0]: path
             for path in (Path(directory) / "build/deb").glob("*.deb")}
    return [built[name] for name in packages.PACKAGES]


@contextmanager
def next_version():
    """A copy of the tree with a later version."""
    version = (tree.TOP / "VERSION").read_text().strip()
    with tempfile.TemporaryDirectory() as directory:
        top = Path(directory)
        files = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=tree.TOP,
                               check=True, capture_output=True, text=True).stdout
        subprocess.run(["rsync", "-a", "--ignore-missing-args", "--files-from=-", tree.TOP, top],
                       input=files, text=True, check=True)
        (top / "VERSION").write_text(f"{version}.1\n")
        for path, pattern in packages.VERSIONS:
            text = (top / path).read_text()
            at = re.search(pattern, text).end(1)
            (top / path).write_text(f"{text[:at]}.1{text[at:]}")
        yield top


def inside(root, *words):
    done = subprocess.run([SCRIPT, "in", root, *words], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise tree.BuildError(f"{' '.join(words)} in {root} failed:\n{done.stdout[-6000:]}")
    return done.stdout


def put(root, path, text, mode=0o644):
    path = root / path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


def install(root):
    """Makes of a minimal tree a system that boots here, with the packages in it. They are
    installed as an administrator would, but for the start of what is not running yet."""
    for file in build(tree.TOP):
        shutil.copy(file, root / "srv")
    with next_version() as top:
        (root / NEXT).mkdir()
        for file in build(top):
            shutil.copy(file, root / NEXT)
    for file in (*DEBIAN.glob("*"), tree.SELFTESTS / "extpager/helpers/served.py"):
        put(root, f"{TESTS}/{file.name}", file.read_text(), 0o755)
    put(root, "etc/systemd/system/extpager-tests.service",
        f"[Service]\nExecStart=/{TESTS}/run\n[Install]\nWantedBy=multi-user.target\n")
    put(root, "etc/fstab", "/dev/vda / ext4 defaults 0 1\n")
    put(root, "etc/hostname", "guest\n")
    put(root, "etc/systemd/journald.conf.d/tests.conf",
        "[Journal]\nStorage=persistent\nForwardToConsole=yes\nMaxLevelConsole=info\n")
    # No driver but that of the root, for a boot in a tolerable time.
    put(root, "etc/initramfs-tools/modules", "virtio_pci\nvirtio_blk\next4\ncrc32c_generic\n")
    put(root, "etc/initramfs-tools/conf.d/tests", "MODULES=list\n")
    said = inside(root, "sh", "-ec", """
        export DEBIAN_FRONTEND=noninteractive
        update-initramfs -u
        apt-get install -y --no-install-recommends /srv/*.deb
        rm /srv/*.deb
        systemctl enable extpager-tests.service
        systemctl disable apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer fstrim.timer
        dkms status""")
    if not re.search(r"^extpager/\S+, \S+, \S+: installed$", said, re.M):
        raise tree.BuildError(f"DKMS has not installed the module:\n{said[-3000:]}")


@contextmanager
def system():
    """The kernel of such a system, and its disk."""
    tree.VM.mkdir(parents=True, exist_ok=True)
    subprocess.run([SCRIPT, "base", "packages", *BASE], stdout=subprocess.DEVNULL, check=True)
    with tempfile.TemporaryDirectory(prefix="debian-", dir=tree.VM) as directory:
        work = Path(directory)
        root = work / "root"
        subprocess.run([SCRIPT, "copy", "packages", root], check=True)
        root.chmod(0o755)
        install(root)
        for name in ("vmlinuz", "initrd.img"):
            shutil.copy(root / name, work / name)
        [release] = (path.name for path in (root / "lib/modules").iterdir())
        (work / "release").write_text(f"{release}\n")
        subprocess.run(["mkfs.ext4", "-q", "-F", "-d", root, work / "disk", "4G"], check=True,
                       stdout=subprocess.DEVNULL)
        shutil.rmtree(root)
        yield tree.Kernel(PLACE, work)


def machine(boot, nonce, work):
    kernel = boot.kernel.dir
    [program] = boot.programs
    drives = [("virtio-blk-pci", kernel / "disk", "cache=unsafe"),
              ("nvme,serial=extpager0", boot.disk, "cache=unsafe")]
    return guest.command(boot, work, kernel / "initrd.img", drives,
                         f"root=/dev/vda rw extpager.nonce={nonce} extpager.program={program.name} "
                         f"extpager.limit={program.timeout}")


def judge_power_off(session, outcome):
    """What only the machine can tell of its end, after installed.py."""
    good = LOST in outcome.console
    session.record("installed:power_off_says_what_is_lost", PLACE,
                   "pass" if good else "fail", "" if good else f"no '{LOST}'")
    took = outcome.power_off
    good = took is not None and took < POWER_OFF
    session.record("installed:power_off_ends_in_its_bound", PLACE, "pass" if good else "fail",
                   "it did not end" if took is None else f"{took:.1f} s of {POWER_OFF}")


def run(session):
    """The programs in their order, each in a boot of its own; the disks are the same."""
    with system() as kernel:
        disk = guest.disk(kernel.dir / "nvme", "512M")
        for name in ("installed", "afterwards"):
            program = tree.Program(name, DEBIAN / f"{name}.py",
                                   tree.options_of(DEBIAN / f"{name}.py"))
            boot = guest.Boot(name, kernel, [program], None, "", quiet=QUIET, disk=disk,
                              options={"mem": "2G"}, machine=machine)
            outcome = session.boot(boot)
            if name == "installed":
                judge_power_off(session, outcome)
