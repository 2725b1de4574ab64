# SPDX-License-Identifier: GPL-2.0-only
"""selftests/behaviours: what a full run must have shown, whatever tests there are.

The manifest knows which tests must run, this file what they are for: a test that
is deleted together with its line, or loses its number, is missed here.
"""
import re

from . import tree

PATH = tree.SELFTESTS / "behaviours"


def load():
    """The numbers, in order; a line has numbers and ranges like 10-23."""
    numbers = []
    for line in PATH.read_text().splitlines():
        for word in line.partition("#")[0].split():
            match = re.fullmatch(r"(\d+)(?:-(\d+))?", word)
            if not match:
                raise tree.BuildError(f"{PATH.name}: what is \"{word}\"?")
            first, last = match.groups()
            numbers += range(int(first), int(last or first) + 1)
    return sorted(set(numbers))


def missing(shown, places, required):
    """The failures, as manifest.judge() tells them, of a run on these kernels that
    has shown {(number, place)}."""
    return [(f"behaviour:{number}", place, "did not run") for number in required
            for place in places if (number, place) not in shown]
