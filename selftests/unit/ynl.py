#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""Holds uapi/extpager.yaml, the header linux/extpager_netlink.h and what the
kernel is asked by the test program `spec` together. KTAP.

  selftests/unit/ynl.py            check
  selftests/unit/ynl.py --write    rewrite policy.h and replies.h of selftests/extpager/support
"""
import re
import subprocess
import sys
from pathlib import Path

import yaml

TOP = Path(__file__).resolve().parents[2]
SPEC = TOP / "uapi/extpager.yaml"
HEADER = TOP / "uapi/linux/extpager_netlink.h"
SUPPORT = TOP / "selftests/extpager/support"

# Enumerators that are no names of the protocol.
BOUNDS = re.compile(r"_MAX$")
TYPES = {"string": "NUL_STRING", "u32": "U32", "u64": "U64", "flag": "FLAG"}
UNLIMITED = {"u32": 2 ** 32 - 1, "u64": 2 ** 64 - 1}


def kernel_source():
    """The sources with the schemas and tools of netlink specs."""
    subprocess.run([TOP / "scripts/kernels", "source"], check=True, capture_output=True)
    path = subprocess.run([TOP / "scripts/kernels", "path", "source"], check=True,
                          capture_output=True, text=True)
    return Path(path.stdout.strip())


def c_name(*parts):
    return "".join(parts).replace("-", "_").upper()


def header():
    """{enumerator: (value, first word of its comment)}."""
    found = {}
    text = HEADER.read_text()
    for body in re.findall(r"\benum\b[^{;]*\{(.*?)\};", text, re.S):
        value = -1
        for line in body.splitlines():
            match = re.match(r"\s*(\w+)(?:\s*=\s*([^,/]+?))?\s*,?\s*(?:/\*\s*(\w+).*)?$", line)
            if not match:
                continue
            name, given, comment = match.groups()
            if BOUNDS.search(name):
                continue
            value = int(given) if given else value + 1
            found[name] = (value, comment)
    return found


def number(entries):
    """(entry, value) of a list in which values not given count up."""
    value = -1
    for entry in entries:
        value = entry.get("value", value + 1)
        yield entry, value


def spec_names(spec):
    """{enumerator: (value, type or None)}."""
    found = {}
    for enum in spec["definitions"]:
        for entry, value in number(enum["entries"]):
            found[c_name(enum["name-prefix"], entry["name"])] = (value, None)
    for attributes in spec["attribute-sets"]:
        for entry, value in number(attributes["attributes"]):
            found[c_name(attributes["name-prefix"], entry["name"])] = (value, entry["type"])
    operations = spec["operations"]
    for entry, value in number(operations["list"]):
        found[c_name(operations["name-prefix"], entry["name"])] = (value, None)
    return found


def generated(about, lines):
    """A header of the test program `spec`."""
    return "\n".join(["/* SPDX-License-Identifier: GPL-2.0-only */", "/*",
                      *(f" * {line}" for line in about),
                      " * Written by selftests/unit/ynl.py from uapi/extpager.yaml. Do not edit.",
                      " */", *lines]) + "\n"


def policy_header(spec):
    """What each command takes, by the spec, as C."""
    sets = {s["name"]: s for s in spec["attribute-sets"]}
    lines = []
    for op in spec["operations"]["list"]:
        attributes = sets.get(op.get("attribute-set"))
        for name in op.get("do", {}).get("request", {}).get("attributes", ()):
            entry = next(a for a in attributes["attributes"] if a["name"] == name)
            checks = entry.get("checks", {})
            least = checks.get("min", 0)
            most = checks.get("max", checks.get("max-len", UNLIMITED.get(entry["type"], 0)))
            lines.append(f"TAKES({c_name(spec['operations']['name-prefix'], op['name'])}, "
                         f"{c_name(attributes['name-prefix'], name)}, {TYPES[entry['type']]}, "
                         f"{least}ULL, {most}ULL)")
    return generated(["What each command takes: command, attribute, type, least and greatest",
                      "value, or greatest length."], lines)


def replies_header(spec):
    """What each reply and event tells, and what is in nests, by the spec, as C."""
    sets = {s["name"]: s for s in spec["attribute-sets"]}
    tells, nests = [], []
    for op in spec["operations"]["list"]:
        attributes = sets.get(op.get("attribute-set"))
        for kind, message in (("DO", op.get("do", {}).get("reply")),
                              ("DUMP", op.get("dump", {}).get("reply")),
                              ("EVENT", op.get("event"))):
            tells += [f"TELLS({c_name(spec['operations']['name-prefix'], op['name'])}, {kind}, "
                      f"{c_name(attributes['name-prefix'], name)})"
                      for name in (message or {}).get("attributes", ())]
    for outer in spec["attribute-sets"]:
        for nest in outer["attributes"]:
            inner = sets.get(nest.get("nested-attributes"), {"attributes": ()})
            nests += [f"NESTS({c_name(outer['name-prefix'], nest['name'])}, "
                      f"{c_name(inner['name-prefix'], entry['name'])})"
                      for entry in inner["attributes"] if entry["type"] not in ("pad", "unused")]
    return generated(["What replies tell: command, to a do, a dump or as an event, attribute; and",
                      "what is in a nested attribute."], tells + nests)


HEADERS = {"policy.h": policy_header, "replies.h": replies_header}


def is_valid(spec, source):
    """The spec obeys its schema, and the kernel's tools can load it."""
    sys.path.append(str(source / "tools/net/ynl"))
    from lib import SpecFamily
    family = SpecFamily(str(SPEC), str(source / f"Documentation/netlink/{spec['protocol']}.yaml"))
    loaded = {name: op.value for name, op in family.msgs.items()}
    given = {op["name"]: value for op, value in number(spec["operations"]["list"])}
    return [f"ynl takes {name} for {loaded.get(name)}, not {value}"
            for name, value in given.items() if name in loaded and loaded[name] != value]


def is_documented(spec, _source):
    places = [(d["name"], d) for d in spec["definitions"]]
    places += [(f"{d['name']}.{e['name']}", e) for d in spec["definitions"] for e in d["entries"]]
    places += [(s["name"], s) for s in spec["attribute-sets"]]
    places += [(f"{s['name']}.{a['name']}", a) for s in spec["attribute-sets"]
               for a in s["attributes"] if a["type"] != "unused"]
    places += [(o["name"], o) for o in spec["operations"]["list"]]
    return [f"{name} has no doc" for name, entry in places if not entry.get("doc", "").strip()]


def names_agree(spec, _source):
    ours, theirs = spec_names(spec), header()
    complaints = [f"{name} is in the header only" for name in theirs.keys() - ours.keys()]
    complaints += [f"{name} is in the spec only" for name in ours.keys() - theirs.keys()]
    for name in ours.keys() & theirs.keys():
        if ours[name][0] != theirs[name][0]:
            complaints.append(f"{name} is {theirs[name][0]} in the header, "
                              f"{ours[name][0]} in the spec")
    return complaints


def types_agree(spec, _source):
    """Where the header's comment tells a type, it is the spec's."""
    known = {"string", "u32", "u64", "flag", "nest"}
    theirs = header()
    complaints = [f"{name} is a {comment} in the header, a {kind} in the spec"
                  for name, (_, kind) in spec_names(spec).items()
                  for comment in [theirs.get(name, (0, None))[1]]
                  if kind and comment in known and comment != kind]
    # The counters share one comment.
    complaints += [f"{name} is a {kind}, not a counter"
                   for name, (_, kind) in spec_names(spec).items()
                   if name.startswith("EXTPAGER_A_STATS_") and theirs[name][1] not in known
                   and kind not in ("u64", "pad", "unused")]
    return complaints


def constants_agree(spec, _source):
    text = HEADER.read_text() + (TOP / "uapi/linux/extpager.h").read_text()
    defined = dict(re.findall(r"#define[ \t]+(\w+)[ \t]+(\S+)", text))
    sets = {s["name"]: {a["name"]: a for a in s["attributes"]} for s in spec["attribute-sets"]}
    wanted = {
        c_name(spec["c-family-name"]): f'"{spec["name"]}"',
        c_name(spec["c-version-name"]): str(spec["version"]),
        "EXTPAGER_MCGRP_EVENTS": f'"{spec["mcast-groups"]["list"][0]["name"]}"',
        "EXTPAGER_NAME_MAX": str(sets["target"]["name"]["checks"]["max-len"]),
        "EXTPAGER_STORE_MAX": str(sets["target"]["store"]["checks"]["max-len"]),
    }
    return [f"{name} is {defined.get(name)} in the header, {value} in the spec"
            for name, value in wanted.items() if defined.get(name) != value]


def headers_are_current(spec, _source):
    return [f"{name} is not what the spec says: run {sys.argv[0]} --write"
            for name, make in HEADERS.items()
            if not (SUPPORT / name).exists() or (SUPPORT / name).read_text() != make(spec)]


def main():
    spec = yaml.safe_load(SPEC.read_text())
    if sys.argv[1:] == ["--write"]:
        for name, make in HEADERS.items():
            (SUPPORT / name).write_text(make(spec))
        return 0
    checks = (is_valid, is_documented, names_agree, types_agree, constants_agree,
              headers_are_current)
    print(f"TAP version 13\n1..{len(checks)}")
    source = kernel_source()
    failed = 0
    for index, check in enumerate(checks, 1):
        try:
            complaints = check(spec, source)
        except Exception as error:  # pylint: disable=broad-exception-caught
            complaints = [f"{type(error).__name__}: {error}"]
        for complaint in complaints:
            print("\n".join(f"# {line}" for line in complaint.splitlines()))
        print(f"{'not ' if complaints else ''}ok {index} {check.__name__}")
        failed += bool(complaints)
    return 1 if failed else 0


sys.exit(main())
