# SPDX-License-Identifier: GPL-2.0-only
"""What the plugin counted, by function of the kernel, its modules and the bench."""
import bisect
import subprocess
from collections import defaultdict
from dataclasses import dataclass

from parts import CLEAR, COPY, OTHERS, PARTS, part_of
from vm import tree

PLUGIN = tree.BUILD / "bench/counts.so"
SYMBOLS = 64 << 20  # bytes, with room to spare
OTHER_PROGRAMS = "programs that are not the bench [user]"


def watch(work):
    """QEMU's words for a machine that is counted, and has a disk for its symbols."""
    with open(work / "symbols", "w") as symbols:
        symbols.truncate(SYMBOLS)
    return ["-drive", f"file={work}/symbols,format=raw,if=none,id=symbols",
            "-device", "virtio-blk-pci,drive=symbols,serial=symbols",
            "-plugin", f"{PLUGIN},out={work}/counts"]


def counted(work, program):
    """What was counted in it, if it came to tell its symbols, in the order of its results."""
    with open(work / "symbols", "rb") as symbols:
        if symbols.read(1) == b"\0":
            return []
    return list(load(work / "counts", Symbols(work / "symbols", program)))


@dataclass
class Function:
    instructions: int = 0
    calls: int = 0


class Symbols:
    def __init__(self, kallsyms, program):
        """From a copy of the guest's /proc/kallsyms, zeros behind it, and a program."""
        found = {}
        for line in kallsyms.read_bytes().rstrip(b"\0").decode().splitlines():
            address, kind, name, *module = line.split()
            if kind in "tT":
                found.setdefault(int(address, 16), " ".join([name, *module]))
        names = subprocess.run(["nm", program], capture_output=True, text=True, check=True)
        for line in names.stdout.splitlines():
            address, kind, name = line.rsplit(maxsplit=2)
            if kind in "tTwWi":
                found.setdefault(int(address, 16), f"{name} [user]")
            elif name == "_end":
                found[int(address, 16)] = OTHER_PROGRAMS
        self.addresses = sorted(found)
        self.names = [found[address] for address in self.addresses]

    def find(self, address):
        """(name, address of its beginning)."""
        i = bisect.bisect_right(self.addresses, address) - 1
        return (self.names[i], self.addresses[i]) if i >= 0 else ("?", 0)


@dataclass
class Counts:
    functions: dict         # name: Function
    copied: int             # bytes
    cleared: int

    @property
    def instructions(self):
        return sum(f.instructions for f in self.functions.values())


def load(path, symbols):
    """Counts for each case and system, in the order of their results."""
    for block in path.read_text().split("\n\n"):
        if not block.strip():
            continue
        counts = Counts(defaultdict(Function), 0, 0)
        for line in block.splitlines():
            *numbers, kind = line.split()
            address, count, stored = (int(n, 16) for n in numbers)
            name, start = symbols.find(address)
            function = counts.functions[name]
            function.instructions += count
            if address == start:
                function.calls += count
            bare = name.split()[0]
            if kind == "m" or COPY.fullmatch(bare):
                counts.copied += stored
            elif kind == "s" or CLEAR.fullmatch(bare):
                counts.cleared += stored
        yield counts


def together(several):
    """The sum of them."""
    total = Counts(defaultdict(Function), 0, 0)
    for counts in several:
        for name, function in counts.functions.items():
            total.functions[name].instructions += function.instructions
            total.functions[name].calls += function.calls
        total.copied += counts.copied
        total.cleared += counts.cleared
    return total


def parts(counts, pages):
    """Lines of a Markdown table: what a page's instructions are for."""
    sums = defaultdict(int)
    for name, function in counts.functions.items():
        sums[part_of(name)] += function.instructions
    yield "| instructions per page | % | for |"
    yield "|--:|--:|---|"
    for part in (*(part for part, _ in PARTS), OTHERS):
        yield (f"| {sums[part] / pages:,.0f} | {100 * sums[part] / counts.instructions:.1f} "
               f"| {part} |")


def functions(counts, pages, limit=50):
    """Lines of a Markdown table: in which functions a page's instructions are."""
    rows = sorted(counts.functions.items(), key=lambda row: -row[1].instructions)
    rest = rows[limit:]
    total = counts.instructions / pages
    yield "| instructions per page | % | sum % | calls per page | function |"
    yield "|--:|--:|--:|--:|---|"
    seen = 0
    for name, function in rows[:limit]:
        each = function.instructions / pages
        seen += each
        yield (f"| {each:,.1f} | {100 * each / total:.1f} | {100 * seen / total:.1f} "
               f"| {function.calls / pages:.2f} | {name} |")
    if rest:
        each = total - seen
        yield f"| {each:,.1f} | {100 * each / total:.1f} | 100.0 | | {len(rest)} others |"


def profile(title, counts, pages):
    """Lines of Markdown."""
    for lines in (title, ""), parts(counts, pages), ("",), functions(counts, pages), ("",):
        yield from lines
