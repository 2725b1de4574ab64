#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
# vm: timeout=400 kernels=6.1,6.12 swap=64M
"""pagerctl doctor: each thing that it knows is broken, and it must say so, and no
more when it was mended."""
import contextlib
import fcntl
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import types

sys.path.append("/tests/helpers")
from manager import Manager
from served import MIB, PATHS, SLOWNESS, main, mount_paths, run, show, until

CONF = "/etc/extpager/targets.d"
LOCK = "/run/extpager/pagerd/lock"
STORE = "/tmp/doctor.store"
NAME = "patient"
RELEASE = os.uname().release
MODULES = f"/lib/modules/{RELEASE}/modules.dep"


def findings_of(*prefix):
    """What it finds, which may change from one look to the next."""
    done = subprocess.run([*prefix, "pagerctl", "-j", "doctor"], capture_output=True, text=True)
    assert done.returncode in (0, 1) and not done.stderr, done
    findings = json.loads(done.stdout)["findings"]
    problems = sum(f["level"] == "problem" for f in findings)
    assert done.returncode == (problems > 0), findings
    return findings


def doctor(*prefix):
    """{(check, target): finding} of what stays as it is; text says as much as JSON does."""
    findings = findings_of(*prefix)
    problems = sum(f["level"] == "problem" for f in findings)
    text = subprocess.run([*prefix, "pagerctl", "doctor"], capture_output=True, text=True)
    assert text.returncode == (problems > 0), text
    lines = text.stdout.splitlines()
    if findings:
        assert lines[-1].startswith(f"{problems} problem"), lines
        assert sum(line.startswith("  mend: ") for line in lines) == len(findings), lines
    else:
        assert lines == ["nothing is wrong"], lines
    assert all(f["what"] and f["mend"] for f in findings)
    return {(f["check"], f.get("target")): f for f in findings}


def nothing_is_wrong():
    found = doctor()
    assert not found, found


def finds(level, check, target=None, *words, others=()):
    """It finds that, which its words must name, and nothing else but @others."""
    found = doctor()
    assert found.keys() == {(check, target), *others}, found
    finding = found[check, target]
    assert finding["level"] == level, finding
    said = finding["what"] + "\n" + finding["mend"]
    assert all(word in said for word in words), (words, finding)
    return finding


def start_pagerd(*words):
    """When it is ready: it has a port before it is protected, and serves what there is."""
    with Manager() as manager:
        daemon = subprocess.Popen(["pagerd", *words], stderr=subprocess.DEVNULL,
                                  env={**os.environ, "NOTIFY_SOCKET": manager.path})
        manager.wait_for(30 * SLOWNESS, READY="1")
    return daemon


def stop(daemon):
    daemon.send_signal(signal.SIGCONT)
    daemon.terminate()
    assert daemon.wait(60) == 0
    until("its port is gone", lambda: not json.loads(
        run("pagerctl", "-j", "pager", "list"))["pagers"])


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file:
        file.write(text)


@contextlib.contextmanager
def healthy():
    """A target that a file names and pagerd serves, with a path."""
    with open(STORE, "wb") as file:
        file.truncate(MIB)
    mount_paths()
    write(f"{CONF}/{NAME}.conf", f"[target]\nstore = file:{STORE}\nquota = 256K\n")
    patient = types.SimpleNamespace(pagerd=start_pagerd())
    until("it is served", lambda: subprocess.run(
        ["pagerctl", "target", "show", NAME], capture_output=True).returncode == 0
        and show(NAME)["port"])
    nothing_is_wrong()
    yield patient
    until("it is as it was", lambda: not findings_of())
    nothing_is_wrong()
    os.unlink(f"{CONF}/{NAME}.conf")
    run("pagerctl", "target", "del", NAME)
    stop(patient.pagerd)
    os.unlink(STORE)


@contextlib.contextmanager
def in_place_of(path, text):
    """A file of the kernel's that says something else."""
    write("/tmp/instead", text)
    run("mount", "--bind", "/tmp/instead", path)
    yield
    run("umount", path)


def test_no_targets():
    mount_paths()
    finds("hint", "no-targets")
    daemon = start_pagerd()
    finds("hint", "no-targets")
    stop(daemon)


def test_mount():
    with healthy():
        run("umount", PATHS)
        finds("hint", "mount", None, PATHS)
        mount_paths()


def test_device():
    with healthy():
        os.chmod("/dev/extpager", 0o600)
        finds("problem", "device-mode", None, "600")
        os.chmod("/dev/extpager", 0o666)
        os.rename("/dev/extpager", "/dev/elsewhere")
        finds("problem", "device", None, "there is no /dev/extpager")
        write("/dev/extpager", "")
        finds("problem", "device", None, "is no device")
        os.unlink("/dev/extpager")
        # One whose driver is not there.
        os.mknod("/dev/extpager", stat.S_IFCHR | 0o666, os.makedev(10, 254))
        os.chmod("/dev/extpager", 0o666)
        finds("problem", "device", None, "cannot be opened", "DeviceAllow=")
        os.unlink("/dev/extpager")
        os.rename("/dev/elsewhere", "/dev/extpager")


def test_pagerd_does_not_run():
    with healthy() as patient:
        stop(patient.pagerd)
        finds("problem", "no-pager", NAME, "pagerd does not run")
        write(f"{CONF}/x.conf", "[target]\nstore = mem:\nsize = 1M\n")
        finds("problem", "conf-missing", "x", "systemctl start pagerd",
              others={("no-pager", NAME)})
        os.unlink(f"{CONF}/x.conf")
        # It looks as if it ran: somebody has the lock.
        with open(LOCK, "r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            finds("problem", "no-pager", NAME, "though pagerd runs", "journalctl",
                  others={("pagerd-port", None), ("oom", None), ("memlock", None)})
        patient.pagerd = start_pagerd()


def test_store():
    with healthy() as patient:
        stop(patient.pagerd)
        os.rename(STORE, f"{STORE}.away")
        finds("problem", "store", NAME, STORE, "No such file")
        os.rename(f"{STORE}.away", STORE)
        patient.pagerd = start_pagerd()
        run("/tests/helpers/add-target", "odd", "floppy:a")
        finds("problem", "store", "odd", "floppy:a", "pagerctl(8)", others={("unsaved", "odd")})
        run("pagerctl", "target", "del", "odd")


def test_a_pager_of_ones_own():
    with healthy():
        run("pagerctl", "target", "add", "own", "--size", "1M")
        finds("problem", "no-pager", "own", "names no store")
        run("pagerctl", "target", "del", "own")


def test_a_pager_that_hangs_and_its_quota():
    with healthy() as patient:
        run("pagerctl", "target", "set", NAME, "--return-timeout", "300ms",
            "--return-action", "error")
        # READY comes before: what is to hang is the write-back.
        os.close(os.open(f"{PATHS}/{NAME}", os.O_RDONLY))
        patient.pagerd.send_signal(signal.SIGSTOP)
        writer = subprocess.Popen(["dd", "if=/dev/zero", f"of={PATHS}/{NAME}", "bs=4k",
                                   "count=200", "conv=notrunc", "status=none"],
                                  stderr=subprocess.DEVNULL)
        until("it has stalled", lambda: show(NAME)["state"] == "stalled")
        until("the quota is full", lambda: show(NAME)["dirty"] >= 224 << 10)
        finds("problem", "stalled", NAME, f"pagerctl pending {NAME}",
              others={("quota", NAME)})
        assert doctor()["quota", NAME]["level"] == "hint"
        patient.pagerd.send_signal(signal.SIGCONT)
        writer.wait()
        run("pagerctl", "target", "set", NAME, "--return-timeout", "30s",
            "--return-action", "spill")
        # The failed returns are told once.
        until("it is clean", lambda: subprocess.run(
            ["sync", f"{PATHS}/{NAME}"], stderr=subprocess.DEVNULL).returncode == 0)


def test_a_spill_that_nobody_empties():
    with healthy() as patient:
        run("pagerctl", "target", "set", NAME, "--policy", "spill", "--spill-limit", "16K")
        os.close(os.open(f"{PATHS}/{NAME}", os.O_RDONLY))
        patient.pagerd.send_signal(signal.SIGSTOP)
        # All in whole pages, so that nothing is to be read first.
        run("dd", "if=/dev/urandom", f"of={PATHS}/{NAME}", "bs=4k", "count=8", "conv=notrunc",
            "status=none")
        patient.pagerd.kill()
        patient.pagerd.wait()
        until("it holds what it may", lambda: show(NAME)["spilled"] == 16 << 10)
        until("it takes no more", lambda: show(NAME)["spill_full"])
        without = {("no-pager", NAME)}
        finding = finds("problem", "spilled", NAME, "16 KiB", "start its pager",
                        others={("spill-full", NAME), *without})
        full = doctor()["spill-full", NAME]
        assert full["level"] == "problem" and "limit is 16K" in full["what"], full
        # Its mend mends it.
        run("pagerctl", "target", "set", NAME, "--spill-limit", "unlimited")
        until("all of it is there", lambda: show(NAME)["spilled"] == 32 << 10)
        finds("problem", "spilled", NAME, "32 KiB", others=without)
        patient.pagerd = start_pagerd()
        until("it was given back", lambda: not show(NAME)["spilled"])


def test_files():
    with healthy() as patient:
        path = f"{CONF}/{NAME}.conf"
        shutil.move(path, "/tmp/kept")
        finding = finds("hint", "unsaved", NAME, path)
        # The mend as it stands mends it.
        run("bash", "-c", finding["mend"])
        nothing_is_wrong()
        shutil.move("/tmp/kept", path)
        run("pagerctl", "target", "set", NAME, "--quota", "1M")
        finding = finds("problem", "conf-differs", NAME, "quota = 256K", "1M", path + ":3")
        run("bash", "-c", finding["mend"].partition(", or ")[2])
        nothing_is_wrong()
        # What is fixed for its life is not set.
        write(path, f"[target]\nstore = file:{STORE}\nquota = 256K\nsize = 512K\n")
        finds("problem", "conf-differs", NAME, "size = 512K", path + ":4",
              f"pagerctl target del {NAME} and systemctl reload pagerd")
        write(path, f"[target]\nstore = file:{STORE}\nquota = 256K\n")
        nothing_is_wrong()
        with open(path, "a") as file:
            file.write("colour = blue\n")
        finds("problem", "conf", None, path + ":4", "colour")
        write(path, f"[target]\nstore = file:{STORE}\nquota = 256K\n")
        write(f"{CONF}/-x.conf", "[target]\nstore = mem:\nsize = 1M\n")
        finds("problem", "conf", None, "-x.conf", "cannot be a target's")
        os.rename(f"{CONF}/-x.conf", f"{CONF}/x.conf")
        finds("problem", "conf-missing", "x", "systemctl reload pagerd")
        patient.pagerd.send_signal(signal.SIGHUP)
        until("it was added", lambda: not findings_of())
        nothing_is_wrong()
        os.unlink(f"{CONF}/x.conf")
        run("pagerctl", "target", "del", "x")


def test_limits_of_pagerd():
    with healthy() as patient:
        write(f"/proc/{patient.pagerd.pid}/oom_score_adj", "0")
        finds("hint", "oom", None, "OOMScoreAdjust")
        stop(patient.pagerd)
        fresh = start_pagerd("--no-mlock")
        until("it is served", lambda: show(NAME)["port"])
        finds("hint", "memlock", None, "LimitMEMLOCK")
        # Who has no limit chose not to lock it.
        run("prlimit", f"--pid={fresh.pid}", "--memlock=unlimited:unlimited")
        nothing_is_wrong()
        stop(fresh)
        patient.pagerd = start_pagerd()


def test_io_uring():
    switch = "/proc/sys/kernel/io_uring_disabled"
    with healthy() as patient:
        if os.path.exists(switch):
            stop(patient.pagerd)
            write(switch, "2")
            finds("problem", "io-uring", None, "io_uring_disabled=0",
                  others={("no-pager", NAME)})
            write(switch, "0")
            patient.pagerd = start_pagerd()


def test_large_pages():
    config = f"/boot/config-{RELEASE}"
    with healthy():
        write(config, "CONFIG_READ_ONLY_THP_FOR_FS=y\n")
        with in_place_of("/sys/kernel/mm/transparent_hugepage/enabled",
                         "[always] madvise never\n"):
            finds("hint", "thp", None, "madvise")
        os.unlink(config)


def test_who_is_not_root_sees_less():
    with healthy():
        found = doctor("setpriv", "--reuid=65534", "--clear-groups")
        assert found.keys() == {("root", None)}, found


def test_netlink_is_refused():
    with healthy():
        found = doctor("/tests/helpers/without-netlink")
        assert found.keys() == {("netlink", None)}, found
        assert "RestrictAddressFamilies=" in found["netlink", None]["mend"], found


def test_the_module():
    with healthy():
        with in_place_of("/sys/module/extpager/version", "0.0\n"):
            finds("problem", "module-version", None, "0.0")
    run("umount", PATHS)
    until("nothing keeps the module", lambda: subprocess.run(["rmmod", "extpager"],
                                                             capture_output=True).returncode == 0)
    with open(MODULES) as file:
        kept = file.read()
    finds("problem", "module-installed", None, RELEASE)
    write(MODULES, kept + "extra/extpager.ko:\n")
    finds("problem", "module-loaded", None, "modprobe extpager")
    # Not every kernel has the directory.
    run("mount", "-t", "tmpfs", "none", "/sys/kernel")
    os.mkdir("/sys/kernel/security")
    write("/sys/kernel/security/lockdown", "none [integrity] confidentiality\n")
    finds("problem", "module-loaded", None, "mokutil")
    run("umount", "/sys/kernel")
    write(MODULES, kept)
    run("insmod", "/tests/extpager.ko")
    mount_paths()
    finds("hint", "no-targets")


main(globals())
