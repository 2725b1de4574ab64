#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
# vm: timeout=300 kernels=6.1,6.12
"""Files that make targets permanent, and pagerd's own options in one."""
import os
import shutil
import subprocess
import sys

sys.path.append("/tests/helpers")
from configured import (ROOT, STORES, Pagerd, delete, fresh, settings, target_file, targets,
                        write)
from served import main, run, show


def test_files_make_targets():
    """What files say is added at start and served; by precedence, and less what is masked."""
    fresh()
    target_file("low", "store = mem:\nsize = 1M\n", "usr/lib")
    target_file("both", "store = mem:\nsize = 1M\n", "usr/lib")
    target_file("both", "store = mem:\nsize = 2M\n", "run")
    target_file("all", "store = mem:\nsize = 1M\n", "usr/lib")
    target_file("all", "store = mem:\nsize = 2M\n", "run")
    target_file("all", f"store = file:{STORES}/all?create=1\nsize = 3M\nmode = 640\nuid = nobody\n"
                       "quota = 512K\ngrace = 1m\n")
    target_file("masked", "store = mem:\nsize = 1M\n", "usr/lib")
    write("etc/extpager/targets.d/masked.conf", "")
    target_file("null", "store = mem:\nsize = 1M\n", "run")
    os.symlink("/dev/null", f"{ROOT}/etc/extpager/targets.d/null.conf")
    with Pagerd() as pagerd:
        for name in ("low", "both", "all"):
            pagerd.serves(name)
        assert sorted(targets()) == ["all", "both", "low"], targets()
        assert show("low")["bytes"] == 1 << 20 and show("both")["bytes"] == 2 << 20
        all_ = show("all")
        assert all_["bytes"] == 3 << 20 and all_["mode"] == 0o640 and all_["uid"] == 65534, all_
        assert all_["quota"] == 512 << 10 and all_["grace_ms"] == 60000, all_
        delete("low", "both", "all")
    os.unlink(f"{STORES}/all")


def test_mistakes_keep_no_other():
    """A mistake is told with file and line, and keeps no other target from being served."""
    fresh()
    target_file("good", "store = mem:\nsize = 1M\n")
    target_file("unknown", "store = mem:\nsiez = 1M\n")
    target_file("value", "# a comment\nstore = mem:\nsize = 1MB\n")
    target_file("twice", "store = mem:\nsize = 1M\nsize = 2M\n")
    target_file("nothing", "mode = 644\n")
    target_file("kernel", "store = mem:\nsize = 1M\nquota = 4K\n")
    target_file("bad name", "store = mem:\nsize = 1M\n")
    write("etc/extpager/targets.d/section.conf", "[pagerd]\nstore = mem:\n")
    write("etc/extpager/pagerd.conf", "[pagerd]\nqueues = 1\nqueue = 2\nshutdown-timeout = 5\n")
    at = f"{ROOT}/etc/extpager"
    with Pagerd() as pagerd:
        pagerd.serves("good")
        said = pagerd.said()
        for line in (
                f"{at}/targets.d/unknown.conf:3: there is no setting 'siez'",
                f"{at}/targets.d/value.conf:4: size: '1MB' is no size",
                f"{at}/targets.d/twice.conf:4: 'size' is said twice, first in line 3",
                f"{at}/targets.d/nothing.conf: needs a store, or a size",
                f"target 'kernel': not added: the kernel refuses what {at}/targets.d/kernel.conf",
                f"{at}/targets.d/bad name.conf: 'bad name' cannot be a target's name",
                f"{at}/targets.d/section.conf:2: 'store' is in section [pagerd]; it belongs",
                f"{at}/pagerd.conf:3: there is no option 'queue'",
                f"{at}/pagerd.conf:4: shutdown-timeout: '5' is no time",
                ", 1 queues"):
            assert line in said, (line, said)
        assert targets() == ["good"], targets()
        target_file("value", "store = mem:\nsize = 1M\n")
        pagerd.reload()
        pagerd.serves("value")
        delete("good", "value")


def test_command_line_wins():
    """pagerd.conf is read, the command line is stronger, and a reload says what it cannot change."""
    fresh()
    write("etc/extpager/pagerd.conf", "[pagerd]\nqueues = 3\nshutdown-timeout = 7s\nmlock = no\n")
    with Pagerd("--queues", "2") as pagerd:
        assert ", 2 queues" in pagerd.said(), pagerd.said()
        with open(f"/proc/{pagerd.process.pid}/status") as status:
            assert "VmLck:\t       0 kB" in status.read()
        write("etc/extpager/pagerd.conf", "[pagerd]\nqueues = 4\nshutdown-timeout = 4s\nmlock = no\n")
        pagerd.reload()
        assert "restart pagerd" not in pagerd.said(), pagerd.said()
        write("etc/extpager/pagerd.conf", "[pagerd]\nshutdown-timeout = 4s\nmlock = yes\n")
        pagerd.reload()
        assert "mlock, delegate, kernel-reads and only are taken at start: restart pagerd" in pagerd.said(), pagerd.said()
    assert "writing back for 4000 ms" in pagerd.said(), pagerd.said()


def test_reload():
    """A reload adds what is missing, tells what differs and how to mend it, removes nothing."""
    fresh()
    target_file("a", "store = mem:\nsize = 1M\nquota = 512K\n")
    target_file("b", f"store = file:{STORES}/b?create=1\nsize = 1M\nmode = 600\n")
    run("pagerctl", "target", "add", "byhand", "--store", "mem:", "--size", "1M")
    with Pagerd() as pagerd:
        for name in ("a", "b", "byhand"):
            pagerd.serves(name)
        pagerd.reload()
        assert " says " not in pagerd.said(), pagerd.said()
        before = {name: show(name)["object"] for name in ("a", "b", "byhand")}
        run("pagerctl", "target", "set", "a", "--quota", "1M")
        target_file("b", f"store = file:{STORES}/b?create=1&offset=4K\nsize = 2M\nmode = 640\n")
        os.unlink(f"{ROOT}/etc/extpager/targets.d/a.conf")
        target_file("a", "store = mem:\nsize = 1M\nquota = 512K\n", "usr/lib")
        target_file("new", "store = mem:\nsize = 1M\n")
        pagerd.reload()
        pagerd.serves("new")
        said = pagerd.said()
        at = f"{ROOT}/etc/extpager/targets.d"
        for line in (
                f"target 'a': {ROOT}/usr/lib/extpager/targets.d/a.conf:4 says quota = 512K, "
                "the kernel has 1M: mend the file, or `pagerctl target set a --quota 512K`",
                f"target 'b': {at}/b.conf:2 says store = file:{STORES}/b?create=1&offset=4K, the "
                f"kernel has file:{STORES}/b?create=1: mend the file, or `pagerctl target del b` "
                "and reload",
                f"target 'b': {at}/b.conf:3 says size = 2M, the kernel has 1M: mend the file, or "
                "`pagerctl target del b` and reload",
                f"target 'b': {at}/b.conf:4 says mode = 0640, the kernel has 0600: mend the file, "
                "or `pagerctl target set b --mode 0640`"):
            assert line in said, (line, said)
        assert {name: show(name)["object"] for name in before} == before
        # As it was told to.
        run("pagerctl", "target", "set", "a", "--quota", "512K")
        run("pagerctl", "target", "set", "b", "--mode", "0640")
        delete("b")
        pagerd.reload()
        pagerd.serves("b")
        assert show("b")["bytes"] == 2 << 20
        pagerd.reload()
        assert pagerd.said().count(" says ") == 4, pagerd.said()
        # Without its file it stays.
        os.unlink(f"{at}/b.conf")
        pagerd.reload()
        assert sorted(targets()) == ["a", "b", "byhand", "new"], targets()
        delete("a", "b", "byhand", "new")
    os.unlink(f"{STORES}/b")


def test_store_comes_later():
    """A target whose size only its store knows is added when the store is there."""
    fresh()
    target_file("late", f"store = file:{STORES}/late\n")
    with Pagerd() as pagerd:
        pagerd.says("target 'late': not added: ")
        assert targets() == []
        with open(f"{STORES}/late", "wb") as store:
            store.truncate(1 << 20)
        pagerd.serves("late")
        assert show("late")["bytes"] == 1 << 20
        delete("late")
    os.unlink(f"{STORES}/late")


def test_permanent_by_show_conf():
    """`target show --conf` prints the file that makes a target just as it was."""
    fresh()
    long = f"{STORES}/" + "d" * 200 + "/" + "e" * 200
    os.makedirs(os.path.dirname(long))
    made = {
        "plain": ("--store", "mem:", "--size", "5001"),
        "all": ("--store", f"file:{STORES}/x?create=1&offset=4K", "--size", "3M", "--uid", "nobody",
                "--gid", "65534", "--mode", "0604", "--pager-uid", "nobody", "--policy", "fail",
                "--quota", "300K", "--handshake-timeout", "1501ms", "--page-in-timeout", "90s",
                "--return-timeout", "2m", "--sync-timeout", "1h", "--grace", "7s",
                "--handshake-action", "wait", "--page-in-action", "wait",
                "--return-action", "error", "--spill-limit", "0"),
        "spill": ("--store", f"file:{STORES}/spill?create=1", "--size", "1M", "--policy", "spill",
                  "--spill-limit", "1G"),
        "strange": ("--store", f"file:{STORES}/a;b #c = [d]?create=1", "--size", "1M"),
        "long": ("--store", f"file:{long}?create=1", "--size", "1M"),
        "ro": ("--store", "zero:", "--size", "1G", "--read-only"),
        "bare": ("--size", "1M"),
    }
    for name, options in made.items():
        run("pagerctl", "target", "add", name, *options)
    with Pagerd() as pagerd:
        for name in made:
            if name != "bare":
                pagerd.serves(name)
        # pagerd may have changed a policy, so it is asked now.
        before = {name: settings(name) for name in made}
        for name in made:
            write(f"etc/extpager/targets.d/{name}.conf",
                  run("pagerctl", "target", "show", name, "--conf"))
        pagerd.reload()
        assert " says " not in pagerd.said(), pagerd.said()
        delete(*made)
        assert targets() == []
        pagerd.reload()
        for name in made:
            assert settings(name) == before[name], (settings(name), before[name])
        delete(*made)
    run("pagerctl", "target", "add", "blank", "--store", f"file:{STORES}/x ", "--size", "1M")
    refused = subprocess.run(["pagerctl", "target", "show", "blank", "--conf"],
                             capture_output=True, text=True)
    assert refused.returncode == 1 and "%20" in refused.stderr, refused
    delete("blank")
    shutil.rmtree(f"{STORES}/" + "d" * 200)
    for name in ("x", "spill", "a;b #c = [d]"):
        os.unlink(f"{STORES}/{name}")


def test_without_the_right_to_add():
    """A pagerd without CAP_SYS_ADMIN says so, by the target and the file."""
    fresh()
    target_file("wanted", "store = mem:\nsize = 1M\n")
    run("pagerctl", "target", "add", "other", "--size", "1M", "--pager-uid", "nobody")
    with Pagerd(before=("setpriv", "--reuid=nobody", "--clear-groups")) as pagerd:
        pagerd.says("target 'wanted': not added: pagerd may not add targets: it needs CAP_SYS_ADMIN")
        assert targets() == ["other"], targets()
    delete("other")


def test_pager_uid_is_taken_back():
    """A target's pager-uid can be none again, and a file can say so."""
    fresh()
    as_nobody = ("setpriv", "--reuid=nobody", "--clear-groups")
    run("pagerctl", "target", "add", "t", "--size", "1M", "--pager-uid", "nobody")
    target_file("t", "size = 1M\npager-uid = none\n")
    with Pagerd() as pagerd:
        pagerd.says("says pager-uid = none, the kernel has 65534: mend the file, or "
                    "`pagerctl target set t --pager-uid none`")
        run("pagerctl", "target", "set", "t", "--pager-uid", "none")
        assert "pager_uid" not in show("t") and "pager-uid" not in run("pagerctl", "target", "show", "t")
        pagerd.reload()
        assert pagerd.said().count(" says ") == 1, pagerd.said()
    pagerd = Pagerd(before=as_nobody)
    assert pagerd.process.wait(timeout=20) == 3
    assert "may not be a pager" in pagerd.said(), pagerd.said()
    delete("t")


main(globals())
