# SPDX-License-Identifier: GPL-2.0-only
"""For the tests in the Debian guest: units, and what they say."""
import json
import os
import subprocess

from served import run, until

TARGETS = "/etc/extpager/targets.d"
PATHS = "/run/extpager/targets"
PAGE = 4096
# A file system of its own, with the store of target "last": see installed.py.
STORES = "/srv/stores"


def unit(name, *properties):
    """What systemd knows of a unit: a text, or a list of them."""
    values = [run("systemctl", "show", "--value", "-p", p, name).strip() for p in properties]
    return values[0] if len(values) == 1 else values


def pid():
    return int(unit("pagerd", "MainPID"))


def until_up(seconds=60):
    until("pagerd is up", lambda: unit("pagerd", "ActiveState") == "active" and pid(), seconds)


def journal(*words):
    return run("journalctl", "-o", "cat", "--no-pager", *words)


def said(cursor):
    """What pagerd and systemd have said of it since mark()."""
    return journal("-u", "pagerd", "--after-cursor", cursor)


def mark():
    text = run("journalctl", "-n", "0", "--show-cursor", "--no-pager")
    return text.partition("cursor: ")[2].strip()


def target_file(name, text):
    os.makedirs(TARGETS, exist_ok=True)
    with open(f"{TARGETS}/{name}.conf", "w") as file:
        file.write(f"[target]\n{text}")


def reload():
    run("systemctl", "reload", "pagerd")


def serves(name):
    until(f"'{name}' is served", lambda: targets().get(name))


def targets():
    """What there is, and by which port it is served: {name: number, 0 for none}."""
    listed = json.loads(run("pagerctl", "-j", "target", "list"))["targets"]
    return {target["name"]: target["port"] for target in listed}


def pattern(seed, pages):
    """Each page is another, and none is that of another seed."""
    return b"".join(f"{seed}:{page} ".encode().ljust(16, b".") * (PAGE // 16)
                    for page in range(pages))


def on_disk(device, offset, length):
    """The bytes of a device, past every cache."""
    done = subprocess.run(["dd", f"if={device}", "bs=4096", f"skip={offset}", f"count={length}",
                           "iflag=direct,skip_bytes,count_bytes", "status=none"],
                          capture_output=True, check=True)
    return done.stdout
