# SPDX-License-Identifier: GPL-2.0-only
"""selftests/behaviours: what a full run must have shown, whatever tests there are.

The manifest knows which tests must run, this file what they are for: a test that
is deleted together with its line, or loses its number or shows only a part of it
any more, is missed here.
"""
import re

from . import tree

PATH = tree.SELFTESTS / "behaviours"
KERNELS = ("6.1", "6.12", "debug")


def load(deep=False):
    """{(number, place): whether it must be shown in full there}. A line has numbers and
    ranges like 10-23, wanted on each kernel. A part is enough of 115?. Where a place
    follows, as in 145?@debug, that is for this place, whatever was said of all; so is
    121+, in full and everywhere, for check-deep."""
    required = {}
    for line in PATH.read_text().splitlines():
        for word in line.partition("#")[0].split():
            if word.endswith("+") and not deep:
                continue
            match = re.fullmatch(r"(\d+)(?:-(\d+))?(\?)?(?:@(\S+)|\+)?", word)
            if not match or match.group(4) not in (None, "host", *KERNELS):
                raise tree.BuildError(f"{PATH.name}: what is \"{word}\"?")
            first, last, part, place = match.groups()
            for number in range(int(first), int(last or first) + 1):
                for at in [place] if place else KERNELS:
                    required[number, at] = not part
    return required


def missing(shown, partly, places, required, sampled=False):
    """The failures, as manifest.judge() tells them, of a run at these places that has
    shown {(number, place)}, and others in part. Where it ran a part of the programs, only
    what is shown nowhere else is asked of it."""
    if sampled:
        required = {(number, place): full for (number, place), full in required.items()
                    if place not in tree.SAMPLED or (number, "6.12") not in required}
    return [(f"behaviour:{number}", place,
             "was shown only in part" if (number, place) in partly else "did not run")
            for (number, place), full in sorted(required.items()) if place in places
            and (number, place) not in (shown if full else shown | partly)]
