# SPDX-License-Identifier: GPL-2.0-only
"""What is measured: cases, systems, and the goals."""
from dataclasses import dataclass

CASES = {
    "rand4k": "pages in random order, not in memory",
    "seq": "pages in order, not in memory",
    "cached": "pages in random order, brought in by another process",
    "write-msync": "pages in memory written to in random order, msync after 64",
    "succession": "pages waited for, asked of the successor of a pager that was killed",
}

SYSTEMS = {
    "mmap": "the store's device mapped as it is, no pager at all",
    "userfaultfd": "a thread blocks in read(2) and brings single pages",
    "userfaultfd-batched": "many faults a read, and 2 MiB an ioctl if in order",
    "userfaultfd-sigbus": "no thread, but a handler of SIGBUS",
    "fuse": "a file of libfuse3, served by another process",
    "extpager-copy": "a pager in another process supplies copies",
    "extpager-file": "it says where the bytes lie, and the kernel reads them",
    "extpager-watched": "the same, while its statistics are read twelve times a second",
}

# A second of the guest's, in instructions: -icount shift=0 makes each a nanosecond.
SECOND = 1000000000
# How often a user who watches reads the statistics in it, and what part of it that may take.
WATCHES = 1
MOST_TO_WATCH = 0.01

# Peers that stand for the best of several systems.
PEERS = {
    "userfaultfd": ("userfaultfd", "userfaultfd-batched", "userfaultfd-sigbus"),
    "two-thread userfaultfd": ("userfaultfd", "userfaultfd-batched"),
}


def systems_of(peer):
    return PEERS.get(peer, (peer,))


@dataclass(frozen=True)
class Goal:
    """The system may take so many times the instructions of the peer; without one, so many."""
    case: str
    system: str
    peer: str
    limits: dict                # by kernel's name
    to_come: bool = False       # later work is to meet it

    @property
    def unit(self):
        return f"of {self.peer}" if self.peer else "instructions"

    def number(self, amount, digits=2):
        return f"{amount:.{digits}f}" if self.peer else f"{amount:,.0f}"


GOALS = (
    Goal("rand4k", "extpager-copy", "two-thread userfaultfd", {"6.12": 1.15, "6.1": 1.30}),
    Goal("rand4k", "extpager-copy", "two-thread userfaultfd", {"6.12": 0.95}, to_come=True),
    Goal("rand4k", "extpager-file", "two-thread userfaultfd", {"6.12": 0.85}, to_come=True),
    Goal("seq", "extpager-copy", "mmap", {"6.12": 0.55}, to_come=True),
    Goal("seq", "extpager-copy", "userfaultfd", {"6.12": 0.20}, to_come=True),
    Goal("cached", "extpager-copy", "mmap", {"6.12": 1.05, "6.1": 1.05}),
    Goal("cached", "extpager-copy", "mmap", {"6.12": 1.02}, to_come=True),
    Goal("write-msync", "extpager-copy", "fuse", {"6.12": 0.50}, to_come=True),
    Goal("succession", "extpager-copy", None, {"6.12": 5000, "6.1": 5000}),
)
