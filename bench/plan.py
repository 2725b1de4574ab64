# SPDX-License-Identifier: GPL-2.0-only
"""What is measured: cases, systems, and the goals."""
from dataclasses import dataclass

CASES = {
    "rand4k": "pages in random order, not in memory",
    "rand4k-16threads": "the same, touched by sixteen threads",
    "seq": "pages in order, not in memory",
    "cached": "pages in random order, brought in by another process",
    "cached-seq": "the same in order: the kernel maps several at a fault",
    "write-msync": "pages in memory written to in random order, msync after 64",
    "outstanding": "pages in random order, while other threads wait for pages that nobody brings",
    "succession": "pages waited for, asked of the successor of a pager that was killed",
}

SYSTEMS = {
    "mmap": "the store's device mapped as it is, no pager at all",
    "userfaultfd": "a thread blocks in read(2) and brings single pages",
    "userfaultfd-process": "that thread is another process's, as a pager's of extpager is",
    "userfaultfd-batched": "many faults a read, and 2 MiB an ioctl if in order",
    "userfaultfd-sigbus": "no thread, but a handler of SIGBUS",
    "userfaultfd-minor": "many faults a read, of shared memory read into by another mapping",
    "fuse": "a file of libfuse3, served by another process",
    "fuse-uring": "the same without libfuse, through io_uring, newest only",
    "ublk": "a block device served by another process through io_uring, not 6.1",
    "extpager-copy": "a pager in another process supplies copies",
    "extpager-file": "it says where the bytes lie, and the kernel reads them",
    "extpager-delegate": "it has said so for all of them, and is asked no more",
    "extpager-watched": "copies, while its statistics are read twelve times a second",
    "pagerd-copy": "copies, by the service: io_uring, a thread for each CPU",
    "pagerd-file": "and as it serves files, by telling where the bytes lie",
}

# A second of the guest's, in instructions: -icount shift=0 makes each a nanosecond.
SECOND = 1000000000
# How often a user who watches reads the statistics in it, and what part of it that may take.
WATCHES = 1
MOST_TO_WATCH = 0.01

# Peers that stand for the best of several systems.
PEERS = {
    "userfaultfd": ("userfaultfd", "userfaultfd-batched", "userfaultfd-sigbus",
                    "userfaultfd-minor"),
    "two-thread userfaultfd": ("userfaultfd", "userfaultfd-batched", "userfaultfd-minor"),
}
# In the case outstanding, a system is compared with itself.
ALONE = "itself with none waiting"


def systems_of(peer):
    return PEERS.get(peer, (peer,))


@dataclass(frozen=True)
class Goal:
    """The system may take so many times the instructions of the peer; without one, so many.
    Of ALONE, so many times those of one touch while most others wait."""
    case: str
    system: str
    peer: str
    limits: dict                # by kernel's name

    @property
    def unit(self):
        return f"of {self.peer}" if self.peer else "instructions"

    def number(self, amount, digits=2):
        return f"{amount:.{digits}f}" if self.peer else f"{amount:,.0f}"


GOALS = (
    Goal("rand4k", "extpager-copy", "two-thread userfaultfd", {"6.12": 1.15, "6.1": 1.30}),
    Goal("rand4k", "extpager-copy", "two-thread userfaultfd", {"6.12": 0.95}),
    Goal("rand4k", "extpager-file", "two-thread userfaultfd", {"6.12": 0.85}),
    Goal("rand4k", "extpager-delegate", "mmap", {"6.12": 1.00}),
    Goal("rand4k-16threads", "extpager-copy", "userfaultfd-batched", {"6.12": 0.70}),
    Goal("seq", "extpager-copy", "mmap", {"6.12": 0.55}),
    Goal("seq", "extpager-copy", "userfaultfd", {"6.12": 0.20}),
    Goal("seq", "extpager-delegate", "mmap", {"6.12": 0.40}),
    Goal("cached", "extpager-copy", "mmap", {"6.12": 1.05, "6.1": 1.05}),
    Goal("cached", "extpager-copy", "mmap", {"6.12": 1.02}),
    Goal("cached-seq", "extpager-copy", "mmap", {"6.12": 1.02}),
    Goal("write-msync", "extpager-copy", "fuse", {"6.12": 0.50}),
    Goal("write-msync", "extpager-delegate", "mmap", {"6.12": 1.00}),
    Goal("outstanding", "extpager-copy", ALONE, {"6.12": 1.20}),
    Goal("succession", "extpager-copy", None, {"6.12": 5000, "6.1": 5000}),
)

# By the clock: at least so many of mmap's pages per second, and more than every peer.
BY_CLOCK = {"extpager-delegate": 1.0, "extpager-file": 1.0, "extpager-copy": 0.9}
