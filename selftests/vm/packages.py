# SPDX-License-Identifier: GPL-2.0-only
"""Checks of what is installed: make install, the Debian packages, the module by
DKMS. Each is a test "static:NAME", as those of static.py."""
import os
import re
import subprocess
import tempfile
from pathlib import Path

from . import tree

PACKAGES = ("extpager-dkms", "libextpager-dev", "libextpager0", "pagerd")


# Where else the version is: files, and patterns whose group it is.
VERSIONS = (("dkms.conf", r'PACKAGE_VERSION="(.*)"'), ("kmod/main.c", r'MODULE_VERSION\("(.*)"'),
            ("daemon/version.h", r'EXTPAGER_VERSION "(.*)"'),
            ("debian/changelog", r"\Aextpager \((.*)\)"))


def versions():
    """Everything that has a version has that of the file VERSION."""
    version = (tree.TOP / "VERSION").read_text().strip()
    complaints = []
    for path, pattern in VERSIONS:
        found = re.search(pattern, (tree.TOP / path).read_text())
        if not found or found.group(1) != version:
            complaints.append(f"{path}: has {found and found.group(1)}, not {version}")
    return complaints


def run(*words, **options):
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          **options)
    return [f"{words[0]}: {line}" for line in done.stdout.splitlines()] if done.returncode else []


def install():
    """What is installed below some directory serves whoever builds against it, and
    names the directories where it will be, not those where it was made."""
    with tempfile.TemporaryDirectory() as directory:
        tree.make("install", f"DESTDIR={directory}", "PREFIX=/opt/extpager")
        root = Path(directory)
        prefix = root / "opt/extpager"
        complaints = [f"{path.relative_to(root)} has the name of the build's directory"
                      for path in sorted(root.rglob("*")) if path.suffix in (".pc", ".service")
                      and (str(tree.TOP) in path.read_text() or directory in path.read_text())]
        service = (prefix / "lib/systemd/system/pagerd.service").read_text()
        if "ExecStart=/opt/extpager/sbin/pagerd\n" not in service:
            complaints.append("pagerd.service does not start the pagerd that is installed")
        for path in ("sbin/pagerd", "sbin/pagerctl", "share/man/man3/extpager_open.3",
                     "share/man/man7/extpager.7", "share/extpager/bpftrace/extpager-slow.bt",
                     "share/extpager/pagerctl.schema.json",
                     "share/bash-completion/completions/pagerctl"):
            if not (prefix / path).is_file():
                complaints.append(f"there is no {path}")
        environment = {**os.environ, "PKG_CONFIG_SYSROOT_DIR": directory,
                       "PKG_CONFIG_PATH": str(prefix / "lib/pkgconfig")}
        flags = subprocess.run(["pkg-config", "--cflags", "--libs", "extpager"], text=True,
                               env=environment, capture_output=True).stdout.split()
        program = root / "memory-pager"
        complaints += run("gcc", "-Wall", "-Werror", "-Wno-unused-parameter", "-o", program,
                          tree.TOP / "examples/memory-pager.c", *flags)
        # Before it says that there is no module, the library must have been found.
        said = subprocess.run([program, "x"], text=True, stderr=subprocess.PIPE,
                              env={"LD_LIBRARY_PATH": str(prefix / "lib")}).stderr \
            if program.exists() else ""
        if not said.startswith("memory-pager: "):
            complaints.append(f"a program that was built against it says: {said.strip()}")
    return complaints


def deb():
    """The packages build, all of them, and lintian finds neither error nor warning."""
    tree.make("deb")
    built = {path.name.partition("_")[0] for path in (tree.BUILD / "deb").glob("*.deb")}
    complaints = [f"there is no package {name}" for name in PACKAGES if name not in built]
    done = subprocess.run(["lintian", "--allow-root", "--fail-on", "error,warning",
                           *(tree.BUILD / "deb").glob("*.changes")],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return complaints + (done.stdout.splitlines() if done.returncode else [])


def dkms(kernel):
    """Added, built, installed and removed by DKMS."""
    return run(tree.SELFTESTS / "dkms", kernel.dir)


def checks(kernels):
    return {"versions-agree": versions, "install": install, "deb": deb,
            **{f"dkms-{kernel.name}": lambda kernel=kernel: dkms(kernel) for kernel in kernels}}


def deep(name):
    """Is the check for long runs alone?"""
    return name == "dkms-6.1"
