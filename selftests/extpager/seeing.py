#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
# vm: timeout=300 deep=debug
"""What an administrator is shown of targets at work: latencies, what is pending, top."""
import errno
import fcntl
import json
import os
import re
import signal
import struct
import subprocess
import sys
import termios
import time
from collections import Counter

import jsonschema
from prometheus_client.openmetrics.parser import text_string_to_metric_families

sys.path.append("/tests/helpers")
from served import MIB, Target, drop_caches, main, run, show, shows, until

PAGE = 4096
NAME = "programs"
TERMINAL = 80


def ctl(*words):
    return json.loads(run("pagerctl", "-j", *words))


def stats():
    return ctl("stats", NAME)["stats"][0]["counters"]


def histograms():
    """{(request, phase): histogram}."""
    return {(h["request"], h["phase"]): h
            for h in ctl("latency", NAME)["latencies"][0]["histograms"]}


def pending():
    return ctl("pending", NAME)["pending"]


def client(path, offset, what="os.pread(fd, 4096, {})"):
    """A process that waits for a page; its name is not python's."""
    return subprocess.Popen(["python3", "-c", "import os\n"
                             "open('/proc/self/comm', 'w').write('toucher')\n"
                             f"fd = os.open('{path}', os.O_RDWR)\n"
                             "os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)\n" +
                             what.format(offset)])


class Stopped:
    """While this pagerd gets no CPU; it has said READY before."""

    def __init__(self, target):
        os.close(os.open(target.path, os.O_RDONLY))
        self.pid = target.pagerd.pid

    def __enter__(self):
        os.kill(self.pid, signal.SIGSTOP)
        with open(f"/proc/{self.pid}/stat") as stat:
            until("pagerd stands", lambda: (stat.seek(0), stat.read())[1].split()[2] == "T")

    def __exit__(self, *_):
        os.kill(self.pid, signal.SIGCONT)


@shows(116)
def test_pending_names_range_age_and_task():
    with Target(MIB) as target:
        with Stopped(target):
            reader = client(target.path, 5 * PAGE)
            until("its request is listed", pending)
            one, = pending()
            assert one["target"] == NAME and one["request"] == "page-in", one
            assert (one["offset"], one["length"]) == (5 * PAGE, PAGE), one
            assert (one["pid"], one["task"]) == (reader.pid, "toucher"), one
            assert one["place"] == "queued" and not one["prefetch"], one
            assert one["object"] == show(NAME)["object"], one
            assert 0 < one["left_ms"] <= 30000 and not one["resent"] and not one["zero"], one
            until("it gets older", lambda: pending()[0]["age_ms"] >= one["age_ms"] + 200)
            text = run("pagerctl", "pending").splitlines()
            assert text[0].split()[:4] == ["TARGET", "REQUEST", "PLACE", "AGE"], text
            words = text[1].split()
            assert words[:3] == [NAME, "page-in", "queued"] and words[-1] == "toucher", text
            assert str(5 * PAGE) in words and str(reader.pid) in words, text
            # Whose doing it is, and which page, is not everybody's business.
            secret = {"pid", "task", "object", "offset", "length"}
            assert secret <= one.keys(), one
            stranger = json.loads(run("setpriv", "--reuid=65534", "--clear-groups",
                                      "pagerctl", "-j", "pending", NAME))["pending"]
            assert len(stranger) == 1 and not secret & stranger[0].keys(), stranger
        assert reader.wait(60) == 0
        until("nothing is pending", lambda: not pending())
        assert len(run("pagerctl", "pending").splitlines()) == 1
        failed = subprocess.run(["pagerctl", "pending", "nobody"], capture_output=True, text=True)
        assert failed.returncode == 1 and "no such target" in failed.stderr, failed


@shows(116)
def test_pending_returns_and_what_a_lost_pager_left():
    with Target(MIB) as target:
        with Stopped(target):
            writer = client(target.path, 0, "os.pwrite(fd, bytes(8192), {})\nos.fsync(fd)")
            until("it is returned", lambda: [p for p in pending() if p["request"] == "return"])
            sent, = [p for p in pending() if p["request"] == "return"]
            assert (sent["offset"], sent["length"]) == (0, 2 * PAGE), sent
            assert (sent["pid"], sent["task"]) == (writer.pid, "toucher"), sent
            target.pagerd.kill()
        target.pagerd.wait()
        until("it is parked", lambda: [p for p in pending() if p["place"] == "parked"])
        left, = pending()
        assert left["request"] == "return" and "left_ms" not in left, left
        assert left["age_ms"] >= sent["age_ms"], (sent, left)
        assert (left["pid"], left["task"]) == (writer.pid, "toucher"), left
        target.pagerd = subprocess.Popen(["pagerd"], stderr=subprocess.PIPE, text=True)
        assert writer.wait(60) == 0
        until("nothing is pending", lambda: not pending())


@shows(116)
def test_a_long_list_of_pending_is_whole():
    """More than a message of the dump holds, each once."""
    with Target(4 * MIB) as target:
        with Stopped(target):
            file = os.open(target.path, os.O_RDONLY)
            wanted = range(0, 600 * PAGE, 2 * PAGE)
            for offset in wanted:
                os.posix_fadvise(file, offset, PAGE, os.POSIX_FADV_WILLNEED)
            listed = pending()
            assert sorted(p["offset"] for p in listed) == list(wanted), len(listed)
            assert all(p["prefetch"] and p["pid"] == os.getpid() for p in listed)
            ages = [p["age_ms"] for p in listed]
            assert ages == sorted(ages, reverse=True)
            os.close(file)
        until("nothing is pending", lambda: not pending())


def fill(target):
    """Something of everything: page-ins, returns, syncs."""
    for offset in range(0, target.size, 64 * PAGE):
        reader = client(target.path, offset)
        assert reader.wait(60) == 0
        if offset >= 4 * 64 * PAGE:
            break
    with open(target.path, "r+b", buffering=0) as file:
        file.write(os.urandom(8 * PAGE))
        os.fsync(file.fileno())


@shows(partial=(115,))
def test_latency_agrees_with_the_counters():
    with Target(2 * MIB) as target:
        fill(target)
        until("nothing is pending", lambda: not pending())
        counters, h = stats(), histograms()
        for request, counter in (("handshake", "inits"), ("page-in", "data-requests"),
                                 ("return", "data-returns"), ("sync", "syncs")):
            for phase in ("queued", "pager"):
                assert h[request, phase]["count"] == counters[counter], (request, phase, h)
        assert 0 < h["page-in", "waking"]["count"] <= counters["gate-waits"], h
        for histogram in h.values():
            bounds = [b.get("below_us") for b in histogram["buckets"]]
            assert bounds == [1 << i for i in range(len(bounds) - 1)] + [None], bounds
            counts = [b["count"] for b in histogram["buckets"]]
            assert sum(counts) == histogram["count"], histogram
            # The sum lies between what the buckets allow.
            low = sum(n * (1 << i - 1) for i, n in enumerate(counts) if i)
            high = sum(n * (1 << i) for i, n in enumerate(counts))
            assert low * 1000 <= histogram["sum_ns"] <= high * 1000, histogram
        lines = run("pagerctl", "latency", NAME).splitlines()
        assert lines[0] == NAME and max(map(len, lines)) <= TERMINAL, lines
        for (request, phase), histogram in h.items():
            head = [line for line in lines if line.startswith(f"{request}, {phase}: ")]
            assert len(head) == 1 and f" {histogram['count']}, mean " in head[0], (head, lines)
        bars = [line for line in lines if "|" in line]
        assert any("#" * 42 in line for line in bars), lines
        assert all("#" in line or " 0 |" in line for line in bars), lines


TRACING = "/sys/kernel/tracing"
REQUEST = re.compile(r"extpager_request: .* op=(\w+) flags=(\w+) index=\d+ nr=(\d+) "
                     r"(\w+->\w+) error=(-?\d+)")
RESENT = 1                      # of flags


def trace(on):
    if on:                      # to open it so empties the buffer
        open(f"{TRACING}/trace", "w").close()
    with open(f"{TRACING}/events/extpager/enable", "w") as file:
        file.write("1" if on else "0")


def counted_in_trace():
    """What the counters must say, by the tracepoints; copied pages are all that were supplied."""
    told = Counter()
    with open(f"{TRACING}/trace") as file:
        lines = file.read()
    assert "LOST" not in lines
    for op, flags, pages, change, error in REQUEST.findall(lines):
        pages, error = int(pages), int(error)
        if change.endswith("->PENDING"):        # a punched range comes from PARKED
            told[op.lower().replace("_", "-") + "s"] += 1
            told["resent"] += bool(int(flags, 16) & RESENT)
            if op == "DATA_REQUEST":
                told["pages-requested"] += pages
        elif change == "PENDING->ENDED" and op.startswith("DATA_"):
            # The only error here is that of a deadline: pagerd answers none.
            if error:
                assert error == -errno.EIO, error
                told["timeouts"] += 1
            elif op == "DATA_REQUEST":
                told["pages-copied"] += pages
            else:
                told["pages-returned"] += pages
    # Whoever met the gate; the counter has those who had to wait there.
    told["at the gate"] = lines.count("extpager_gate: ")
    return told


@shows(partial=(115,))
def test_counters_agree_with_a_traced_run():
    with Target(4 * MIB) as target:
        trace(True)
        for _ in range(3):
            fill(target)
            drop_caches()
        run("fallocate", "--punch-hole", "--offset", 8 * PAGE, "--length", 5 * PAGE, target.path)
        # A pager that is lost with requests of each kind.
        with Stopped(target):
            others = [client(target.path, 300 * PAGE),
                      client(target.path, 400 * PAGE, "os.pwrite(fd, bytes(8192), {})\nos.fsync(fd)")]
            until("both are pending", lambda: len(pending()) == 2)
            target.pagerd.kill()
        target.pagerd.wait()
        target.pagerd = subprocess.Popen(["pagerd"], stderr=subprocess.PIPE, text=True)
        assert [other.wait(60) for other in others] == [0, 0]
        # And one that answers too late.
        run("pagerctl", "target", "set", NAME, "--page-in-timeout", "100ms")
        with Stopped(target):
            assert client(target.path, 500 * PAGE).wait(60) == 1
        until("nothing is pending", lambda: not pending())
        until("its late answer was refused", lambda: stats()["bad-replies"])
        trace(False)
        told, counters = counted_in_trace(), stats()
        counters["pages-copied"] += counters.pop("pages-zeroed") + counters.pop("pages-read")
        # By the kernel, for a pager that was to return them all.
        assert 0 < counters.pop("pages-written") <= counters["pages-returned"], counters
        for name in ("orphaned", "bad-replies"):        # of pagers, which are not traced
            assert counters.pop(name), name
        waits = counters.pop("gate-waits")
        # Who waits when the pager is lost waits again, in the same passage.
        assert 0 < waits <= told["at the gate"] + told["resent"], (waits, told)
        assert counters.pop("overlaps") < waits
        counters.pop("warnings")                        # half a deadline is no event there
        counters.pop("diverted")                        # nor is the queue that it came over
        wrong = {name: (value, told[name]) for name, value in counters.items()
                 if value != told[name]}
        assert not wrong, wrong
        for name in ("resent", "timeouts", "pages-copied", "pages-returned", "syncs", "inits"):
            assert told[name], (name, told)


def test_top_shows_rates():
    with Target(4 * MIB) as target:
        watch = subprocess.Popen(["pagerctl", "-j", "top", "-n", "3", "--interval", "700ms"],
                                 stdout=subprocess.PIPE, text=True)
        before = stats()
        while watch.poll() is None:
            drop_caches()
            with open(target.path, "r+b", buffering=0) as file:
                while file.read(MIB):
                    pass
                file.seek(0)
                file.write(os.urandom(16 * PAGE))
                os.fsync(file.fileno())
        tables = [json.loads(line) for line in watch.stdout.read().splitlines()]
        after = stats()
        assert len(tables) == 3 and watch.returncode == 0, tables
        ones = [row for table in tables for row in table["targets"] if row["name"] == NAME]
        assert len(ones) == 3 and all(row["state"] == "live" and row["port"] for row in ones), ones
        seconds = [table["interval_ms"] / 1000 for table in tables]
        assert all(0.7 <= s < 30 for s in seconds), seconds
        for rate, pages in (("supplied_bytes_per_s", ("pages-copied", "pages-zeroed", "pages-read")),
                            ("returned_bytes_per_s", ("pages-returned",))):
            shown = sum(row[rate] * s for row, s in zip(ones, seconds))
            done = sum(after[p] - before[p] for p in pages) * PAGE
            assert 0 < shown <= 1.01 * done + PAGE, (rate, shown, done)
        lines = run("pagerctl", "top", "--count=1", "--interval=100ms").splitlines()
        assert lines[0].split() == ["TARGET", "STATE", "FAULTS/s", "SUPPLIED/s", "RETURNED/s",
                                    "DIRTY", "SPILLED", "PENDING"], lines
        assert lines[1].split()[:2] == [NAME, "live"], lines
        assert max(map(len, lines)) <= TERMINAL, lines


def test_latency_is_drawn():
    """By gnuplot, which is not in this machine: one that gives back what it is told."""
    stub, drawn = "/tmp/stub", "/tmp/latency.svg"
    os.makedirs(stub, exist_ok=True)
    with open(f"{stub}/gnuplot", "w") as file:
        file.write("#!/bin/sh\ncat\n")
    os.chmod(f"{stub}/gnuplot", 0o755)
    with Target(MIB) as target:
        os.close(os.open(target.path, os.O_RDONLY))
        words = ["pagerctl", "latency", NAME, "--svg", drawn]
        missing = subprocess.run(words, capture_output=True, text=True)
        assert missing.returncode == 1 and "gnuplot" in missing.stderr, missing
        assert not os.path.exists(drawn)
        run(*words, env={**os.environ, "PATH": f"{stub}:{os.environ['PATH']}"})
        with open(drawn) as file:
            told = file.read()
        assert "handshake" in told and '"queued" "pager"' in told, told
    os.unlink(drawn)


def on_terminal(columns, rows, *words):
    """What pagerctl draws on a terminal of that size."""
    ours, its = os.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))
    with subprocess.Popen(["pagerctl", *words], stdout=its) as process:
        os.close(its)
        drawn = b""
        try:
            while part := os.read(ours, 65536):
                drawn += part
        except OSError as error:        # its last writer is gone
            assert error.errno == errno.EIO, error
    os.close(ours)
    assert process.returncode == 0, process.returncode
    return drawn.decode()


def cut(columns, *words):
    """What pagerctl prints where there is no terminal, cut like on one."""
    return [line[:columns] for line in run("pagerctl", *words).splitlines()]


def test_terminals_are_drawn_on_in_their_size():
    with Target(MIB) as target:
        for number in range(5):
            run("pagerctl", "target", "add", f"a-target-with-a-long-name-{number}", "--size", "1M")
        # So many lists may take longer than a page by default.
        run("pagerctl", "target", "set", NAME, "--page-in-timeout", "10m")
        with Stopped(target):
            reader = client(target.path, 37 * PAGE)
            until("its request is listed", pending)
            for columns in (40, 80, 120):
                for words in (["target", "list"], ["pager", "list"], ["pending"]):
                    before = cut(columns, *words)
                    lines = on_terminal(columns, 24, *words).splitlines()
                    after = cut(columns, *words)
                    # Ages and times that are left go on: at ten seconds a column is wider.
                    lengths = [[len(line) for line in some] for some in (before, lines, after)]
                    assert lengths[1] in (lengths[0], lengths[2]), (before, lines, after)
                    assert words == ["pending"] or before == lines == after, (before, lines)
        assert reader.wait(60) == 0
        for columns, rows in ((60, 24), (80, 24), (120, 4)):
            drawn = on_terminal(columns, rows, "top", "-n", "3", "--interval", "50ms")
            first, *tables = drawn.split("\033[H")
            assert not first and tables[0] == "\033[J" and len(tables) == 4, tables
            for table in tables[1:]:
                assert table.endswith("\033[K\r\n\033[J"), table
                lines = table.removesuffix("\033[J").split("\033[K\r\n")[:-1]
                assert lines[0].split()[:2] == ["TARGET", "STATE"], lines
                assert len(lines) == min(7, rows - 1), lines
                assert all(len(line) <= columns for line in lines), lines
        for number in range(5):
            run("pagerctl", "target", "del", f"a-target-with-a-long-name-{number}")


def families():
    """What a collector reads: {family: {labels: value}}, by a parser that takes nothing amiss."""
    found = {}
    for family in text_string_to_metric_families(run("pagerctl", "metrics")):
        assert family.documentation, family
        found[family.name] = {
            (s.name, *(f"{k}={v}" for k, v in sorted(s.labels.items()))): s.value
            for s in family.samples}
    return found


@shows(partial=(115,))
def test_metrics_are_openmetrics_and_true():
    with Target(MIB) as target:
        run("pagerctl", "target", "add", "idle", "--size", "1M")
        run("pagerctl", "target", "set", NAME, "--spill-limit", "3M")
        fill(target)
        until("nothing is pending", lambda: not pending())
        told, counters, h, now = families(), stats(), histograms(), show(NAME)
        for counter, value in counters.items():
            name = "extpager_" + counter.replace("-", "_")
            assert told[name][f"{name}_total", f"target={NAME}"] == value, (name, told[name])
            assert told[name][f"{name}_total", "target=idle"] == 0, name
        states = told["extpager_target_state"]
        assert [k[1] for k, v in states.items() if v and k[-1] == f"target={NAME}"] == \
            ["extpager_target_state=live"], states
        for gauge, value in (("size_bytes", now["bytes"]), ("dirty_bytes", now["dirty"]),
                             ("resident_bytes", now["resident"]),
                             ("quota_bytes", now["quota"]), ("attached", 1),
                             ("spilled_bytes", 0), ("spill_limit_bytes", 3 * MIB),
                             ("spill_full", 0),
                             ("pending_requests", 0), ("opens", now["opens"])):
            name = f"extpager_target_{gauge}"
            assert told[name][name, f"target={NAME}"] == value, (name, told[name])
        assert told["extpager_pager_alive"][
            "extpager_pager_alive", f"port={now['port']}"] == 1, told["extpager_pager_alive"]
        seconds = told["extpager_request_seconds"]
        for (request, phase), histogram in h.items():
            labels = (f"phase={phase}", f"request={request}", f"target={NAME}")
            at = "extpager_request_seconds"
            assert seconds[f"{at}_count", *labels] == histogram["count"], labels
            assert abs(seconds[f"{at}_sum", *labels] * 1e9 - histogram["sum_ns"]) < 1000, labels
            below = 0
            for bucket in histogram["buckets"]:
                below += bucket["count"]
                le = bucket["below_us"] / 1e6 if "below_us" in bucket else float("inf")
                got = [v for k, v in seconds.items()
                       if k[0] == f"{at}_bucket" and {*labels} < {*k} and
                       any(p.startswith("le=") and float(p[3:]) == le for p in k[1:])]
                assert got == [below], (labels, le, got, below)
        run("pagerctl", "target", "del", "idle")


def load_schema():
    with open("/tests/pagerctl.schema.json") as file:
        schema = json.load(file)
    jsonschema.Draft202012Validator.check_schema(schema)
    return schema


def test_json_obeys_its_schema():
    """Every command that prints JSON does, with something and with nothing to tell."""
    schema, seen = load_schema(), {}
    whole = jsonschema.Draft202012Validator(schema)

    def obeys(command, text):
        document = json.loads(text)
        whole.validate(document)
        own = jsonschema.Draft202012Validator({"$schema": schema["$schema"],
                                               "$defs": schema["$defs"],
                                               "$ref": f"#/$defs/{command}"})
        own.validate(document)
        seen.setdefault(command, []).append(document)
        # One more member would be noticed: the schema has all that there are.
        for broken in ({**document, "more": 1}, {**document, "version": 2},
                       {k: v for k, v in document.items() if k != "version"}):
            assert not own.is_valid(broken), f"{command}: the schema takes {broken}"

    def all_lists():
        for words in (["target", "list"], ["pager", "list"], ["stats"], ["latency"],
                      ["pending"], ["top", "-n", "1", "--interval", "50ms"]):
            obeys("-".join(words[:1 + words[-1].startswith("list")]),
                  run("pagerctl", "-j", *words))
        done = subprocess.run(["pagerctl", "-j", "doctor"], stdout=subprocess.PIPE, text=True)
        obeys("doctor", done.stdout)

    all_lists()
    watch = subprocess.Popen(["pagerctl", "-j", "monitor"], stdout=subprocess.PIPE, text=True)
    time.sleep(0.5)
    with Target(MIB) as target:
        obeys("target-add", run("pagerctl", "-j", "target", "add", "other", "--size", "1M",
                                "--pager-uid", "7", "--read-only"))
        obeys("target-set", run("pagerctl", "-j", "target", "set", "other", "--mode", "777"))
        obeys("target-show", run("pagerctl", "-j", "target", "show", NAME))
        fill(target)
        with Stopped(target):
            reader = client(target.path, 37 * PAGE)
            until("its request is listed", pending)
            all_lists()
            for words in (["target", "list"], ["pager", "list"], ["pending"]):
                obeys("-".join(words), run("setpriv", "--reuid=65534", "--clear-groups",
                                           "pagerctl", "-j", *words))
        reader.wait(60)
        assert not run("pagerctl", "-j", "target", "del", "other")
    watch.terminate()
    events = watch.communicate()[0].splitlines()
    assert len(events) >= 4, events
    for line in events:
        obeys("monitor", line)
    commands = {re.match(r"  ([a-z]+(?: (?:add|set|del|show|list|bash))?)", line).group(1)
                for line in run("pagerctl", "--help").splitlines() if re.match("  [a-z]", line)
                and ":" not in line.split()[0]}
    silent = {"target del", "completion bash", "metrics"}
    assert {c.replace(" ", "-") for c in commands - silent} == seen.keys(), (commands, seen.keys())
    assert any(d["pending"] for d in seen["pending"]) and any(d["findings"] for d in seen["doctor"])
    assert any(s["histograms"] for d in seen["latency"] for s in d["latencies"])


class Log:
    """What the kernel has logged of us since."""

    def __init__(self):
        self.file = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
        os.lseek(self.file, 0, os.SEEK_END)
        self.lines = []

    def matching(self, pattern):
        try:
            while True:
                text = os.read(self.file, 8192).decode().partition(";")[2].splitlines()[0]
                if text.startswith("extpager: "):
                    self.lines.append(text)
        except BlockingIOError:
            pass
        return [line for line in self.lines if re.search(pattern, line)]

    def has_one(self, pattern):
        until(f"it is logged: {pattern}", lambda: self.matching(pattern))
        assert len(self.matching(pattern)) == 1, self.lines


def test_the_log_tells_attach_death_reattach_and_deadline():
    assert "extpager: loaded, ABI version" in run("dmesg")
    log = Log()
    with Target(MIB) as target:
        log.has_one(rf"target {NAME}: served by \S+, pid {target.pagerd.pid}, port \d+$")
        target.pagerd.kill()
        target.pagerd.wait()
        log.has_one(f"target {NAME}: lost its pager, port .*wait for the next one")
        target.pagerd = subprocess.Popen(["pagerd"], stderr=subprocess.PIPE, text=True)
        log.has_one(rf"target {NAME}: served again by \S+, pid {target.pagerd.pid}, port \d+$")
        run("pagerctl", "target", "set", NAME, "--page-in-timeout", "200ms", "--policy", "fail")
        with Stopped(target):
            # Three deadlines are one stall.
            for page in (3, 5, 7):
                assert client(target.path, page * PAGE).wait(60)
            log.has_one(f"target {NAME}: its pager has not answered a page-in for 100 ms")
            log.has_one(f"target {NAME}: its pager missed the page-in deadline of 200 ms")
        run("pagerctl", "target", "set", NAME, "--page-in-timeout", "30s")
    log.has_one(f"target {NAME}: lost its pager, port .*get errors")
    assert len(log.lines) == 6, log.lines


def test_the_log_is_not_flooded():
    """Sixty targets at once are no sixty lines."""
    names = [f"many{i}" for i in range(60)]
    for name in names:
        run("pagerctl", "target", "add", name, "--store", "mem:", "--size", "64K")
    log = Log()
    pagerd = subprocess.Popen(["pagerd"], stderr=subprocess.DEVNULL)
    until("all are served", lambda: all(
        t["port"] for t in ctl("target", "list")["targets"] if t["name"] in names))
    pagerd.kill()
    pagerd.wait()
    until("all are orphaned", lambda: all(
        t["state"] == "orphaned" for t in ctl("target", "list")["targets"] if t["name"] in names))
    lost = log.matching("lost its pager")
    assert 1 <= len(lost) < 30, len(lost)
    for name in names:
        run("pagerctl", "target", "del", name)


main(globals())
