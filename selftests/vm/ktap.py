# SPDX-License-Identifier: GPL-2.0-only
"""Reads the output of one test program: KTAP, as kselftest and cmocka print it."""
import re
from dataclasses import dataclass, field

RESULT = re.compile(r"(not )?ok (\d+)(?: -)?(?: ([^#]*?))?(?:\s*# (\w+)\s*(.*))?$")
PLAN = re.compile(r"1\.\.(\d+)")
NUMBERS = re.compile(r"#\s*(behaviours|partial) (.*)")
BEGIN = re.compile(r"#\s+RUN\s+(\S.*?)(?: \.\.\.)?$")
# A line of C that did not find what it expected, as kselftest's harness tells it.
FOUND = re.compile(r"#\s+(?:\S*/)?([\w-]+\.c:\d+):\w+:\s*(\S.*)")


@dataclass
class Result:
    name: str
    verdict: str                # pass, fail or skip
    reason: str = ""
    behaviours: list = field(default_factory=list)
    partial: list = field(default_factory=list)


def _word(name):
    """The manifest is made of words, and some names are sentences."""
    return "_".join(name.split())


class Parser:
    """Fed with lines; yields a Result for each test as soon as it is known."""

    def __init__(self):
        self.planned = None
        self.results = []
        self.running = None         # the test that has begun and not ended, if it said so
        self._marks = {"behaviours": [], "partial": []}
        self._found = []
        self._comment = ""

    def _cause(self):
        """What a failed test said of its failure: its first findings, or else its last
        words, such as the exception that ended it."""
        return "; ".join(self._found[:2])[:200] or self._comment[:200]

    def feed(self, line):
        match = PLAN.match(line)
        if match:
            self.planned = (self.planned or 0) + int(match.group(1))
        match = NUMBERS.match(line)
        if match:
            self._marks[match.group(1)] += [int(n) for n in re.findall(r"\d+", match.group(2))]
        match = BEGIN.match(line)
        if match:
            self.running = _word(match.group(1))
        match = FOUND.match(line)
        if match:
            self._found.append(f"{match.group(1)}: {match.group(2)}")
        if line.startswith("#"):
            self._comment = line.lstrip("# ")
        match = RESULT.match(line)
        if not match:
            return None
        self.running = None
        failed, number, name, directive, reason = match.groups()
        verdict = "fail" if failed else "pass"
        if directive == "SKIP":
            verdict = "skip"
        elif directive == "XPASS":
            verdict = "fail"
        if failed and not reason:
            reason = self._cause()
        result = Result(_word(name or number), verdict, reason or "", **self._marks)
        self._marks = {"behaviours": [], "partial": []}
        self._found, self._comment = [], ""
        self.results.append(result)
        return result

    def complaint(self, status, limit=None):
        """Why the program as a whole is bad although no test of it failed, or None."""
        if limit:
            return f"still running after {limit} s"
        if status > 128:
            return f"died by signal {status - 128}"
        if self.planned is None:
            return f"printed no plan (exit status {status})"
        if len(self.results) != self.planned:
            return f"planned {self.planned} tests, reported {len(self.results)}"
        failed = any(r.verdict == "fail" for r in self.results)
        if status not in (0, 4) and not failed:
            return f"exit status {status} although no test failed"
        if status == 0 and failed:
            return "exit status 0 although a test failed"
        return None
