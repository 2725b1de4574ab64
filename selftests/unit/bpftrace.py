#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""The bpftrace scripts name tracepoints, fields, operations and states that there are.
bpftrace itself needs the module loaded to say so: see debian/installed.py. KTAP."""
import re
import sys
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
SCRIPTS = sorted((TOP / "daemon/bpftrace").glob("*.bt"))


def tracepoints():
    """{name: fields}, as kmod/trace.h has them."""
    text = (TOP / "kmod/trace.h").read_text()
    return {name: set(re.findall(r"__field\([^,]+,\s*(\w+)\)", body))
            for name, body in re.findall(r"TRACE_EVENT\((\w+),(.*?)^\);", text, re.M | re.S)}


def states():
    """{number: name} of a request's states; PENDING is what the scripts go by."""
    text = (TOP / "kmod/extpager.h").read_text()
    body = re.search(r"enum extpager_request_state \{(.*?)\};", text, re.S).group(1)
    return dict(enumerate(re.findall(r"EXTPAGER_REQUEST_(\w+),", body)))


def operations():
    text = (TOP / "uapi/linux/extpager.h").read_text()
    return {int(number): name
            for name, number in re.findall(r"\tEXTPAGER_EV_(\w+) = (\d+),", text)}


def complaints(text):
    """What a script names that is not there."""
    text = re.sub(r"/\*.*?\*/|//[^\n]*", "", text, flags=re.S)
    found, known = [], tracepoints()
    probes = re.findall(r"^(tracepoint:[\w:]+|interval:[\w:]+|BEGIN|END)\b(.*?)^\}", text,
                        re.M | re.S)
    if len(probes) != len(re.findall(r"^\}", text, re.M)):
        found.append("a probe of another sort")
    for probe, body in probes:
        fields = set(re.findall(r"args(?:->|\.)(\w+)", body))
        kind, _, name = probe.partition("tracepoint:extpager:")
        if kind:
            found += [f"{probe} has no arguments"] if fields or "tracepoint" in kind else []
        elif name not in known:
            found.append(f"there is no tracepoint {name}")
        else:
            found += [f"{name} has no {field}" for field in sorted(fields - known[name])]
    for number in re.findall(r"args->(?:to|from) == (\d+)", text):
        if states().get(int(number)) != "PENDING":
            found.append(f"state {number} is not PENDING")
    for number, name in re.findall(r"@op\[(\d+)\] = \"(\w+)\"", text):
        if operations().get(int(number)) != name:
            found.append(f"operation {number} is not {name}")
    if "@op[args" in text and set(re.findall(r"@op\[(\d+)\]", text)) != \
            {str(n) for n in operations()}:
        found.append("not all operations have names")
    return found


def each_script():
    return [f"{path.name}: {what}" for path in SCRIPTS for what in complaints(path.read_text())] + \
        ([] if len(SCRIPTS) >= 3 else ["scripts are missing"])


def every_tracepoint_is_used():
    text = "".join(path.read_text() for path in SCRIPTS)
    return [f"no script uses {name}" for name in tracepoints() if f":extpager:{name}" not in text]


def mistakes_are_seen():
    """So that the checks can fail."""
    good = (TOP / "daemon/bpftrace/extpager-slow.bt").read_text()
    return [f"{new!r} is not noticed" for old, new in (
        ("extpager:extpager_request", "extpager:extpager_requests"), ("args->nr", "args->pages"),
        ("args->to == 2", "args->to == 3"), ('= "SYNC"', '= "TERMINATE"'),
        ('@op[6] = "ATTRIBUTES";', ""), ("tracepoint:extpager:", "tracepoint:sched:"))
        if old not in good or not complaints(good.replace(old, new, 1))]


def main():
    checks = (each_script, every_tracepoint_is_used, mistakes_are_seen)
    print(f"TAP version 13\n1..{len(checks)}")
    failed = 0
    for number, check in enumerate(checks, 1):
        found = check()
        for line in found:
            print(f"# {line}")
        print(f"{'not ' if found else ''}ok {number} {check.__name__}")
        failed += bool(found)
    return 1 if failed else 0


sys.exit(main())
