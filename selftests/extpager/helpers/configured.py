# SPDX-License-Identifier: GPL-2.0-only
"""For tests of pagerd as a service: one whose configuration is below a root of the
tests' own, and its targets."""
import os
import shutil
import signal
import subprocess
import time

from served import run, show, until

ROOT = "/tmp/service"
STORES = "/dev/shm"
# What the kernel says of a target that is not a setting, or is new with each one.
STATE = {"state", "object", "generation", "port", "opens", "pending", "dirty"}


class Pagerd:
    """One running pagerd, whose configuration is below ROOT; its log in a file. Used in
    `with`: ended, and its stores removed, after it."""

    def __init__(self, *args, before=(), **more):
        self.log = open(f"/tmp/pagerd-{time.monotonic_ns()}.log", "w+")
        self.process = subprocess.Popen([*before, "pagerd", "--verbose", "--config-root", ROOT,
                                         *args], stderr=self.log, **more)
        until("pagerd is up", lambda: "serving" in self.said() or " queues" in self.said()
              or self.process.poll() is not None)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if not kind:
            self.stop()

    def said(self):
        with open(self.log.name) as log:
            return log.read()

    def says(self, text, times=1):
        until(f"pagerd says '{text}', not only: {self.said()}",
              lambda: self.said().count(text) >= times)

    def serves(self, name):
        until(f"'{name}' is there and served, after: {self.said()}",
              lambda: name in targets() and show(name)["port"])

    def reload(self):
        """SIGHUP, and until it has been dealt with."""
        before = self.said().count("pagerd: read\n")
        self.process.send_signal(signal.SIGHUP)
        self.says("pagerd: read\n", before + 1)

    def stop(self):
        self.process.terminate()
        status = self.process.wait(timeout=30)
        assert status == 0, (status, self.said())
        return self.said()


def targets():
    return [line.split()[0] for line in run("pagerctl", "target", "list").splitlines()[1:]]


def settings(name):
    return {k: v for k, v in show(name).items() if k not in STATE}


def write(path, text):
    path = f"{ROOT}/{path}"
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file:
        file.write(text)


def target_file(name, text, root="etc"):
    write(f"{root}/extpager/targets.d/{name}.conf", f"[target]\n{text}")


def fresh():
    """No configuration, no targets."""
    shutil.rmtree(ROOT, ignore_errors=True)
    os.makedirs(ROOT)
    assert targets() == [], targets()


def delete(*names):
    for name in names:
        run("pagerctl", "target", "del", name)
