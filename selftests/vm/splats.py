# SPDX-License-Identifier: GPL-2.0-only
"""What a kernel prints when something is wrong, by the reason we report."""
import re

SPLATS = (
    ("lockdep", r"possible (circular|recursive) locking|possible irq lock inversion|"
                r"possible deadlock|inconsistent lock state|held lock freed|"
                r"bad unlock balance|lock held when returning|still has locks held|"
                r"Invalid wait context|INFO: lockdep|locking dependency detected|"
                r"BUG: MAX_LOCK|turning off the locking correctness validator|"
                r"DEBUG_LOCKS_WARN_ON"),
    ("rcu", r"suspicious RCU|rcu.*detected .*stall|rcu.*self-detected stall"),
    ("kasan", r"BUG: KASAN"),
    ("ubsan", r"UBSAN:"),
    ("leak", r"unreferenced object 0x"),
    ("hang", r"blocked for more than|hung_task|soft lockup|hard LOCKUP|workqueue lockup"),
    ("refcount", r"refcount_t:"),
    ("inodes", r"Busy inodes"),
    ("objects", r"Objects remaining in|ODEBUG:|Slab cache still has objects"),
    ("corruption", r"list_(add|del) corruption|Redzone|Poison overwritten|Bad page state|"
                   r"bad page map|Bad rss-counter|non-zero pgtables_bytes"),
    ("atomic", r"sleeping function called from invalid context|scheduling while atomic"),
    ("warn", r"WARNING: (CPU|possible|.*at )|------------\[ cut here \]"),
    ("bug", r"kernel BUG at|\bBUG: (?!KCSAN)|Oops|general protection fault|"
            r"unable to handle"),
    ("panic", r"Kernel panic"),
)
PATTERNS = tuple((reason, re.compile(pattern)) for reason, pattern in SPLATS)


# KCSAN draws one above and below a report.
RULE = re.compile(r"^.*={60,}$", re.M)
RACE = re.compile(r"BUG: KCSAN: (.+)")
OURS = re.compile(r"\[(extpager|canary)\]")
# The kernel's own code in a function of ours: wait_event_interruptible_hrtimeout() reads
# plainly whether the timer has cleared the sleeper's task, and is woken after that anyway.
KERNELS_OWN = re.compile(r"unknown origin, with read to \S+ of 8 bytes .*\n.*\bqueue_wait\+"
                         r"(?s:.*)value changed: 0x\w+ -> 0x0{16}$", re.M)


def races(console):
    """([(what, lines)], others): the data races that a function of ours takes part in,
    each with both stacks; and how many others there are. Those are let pass: neither
    access is made by us or for us, and the kernel has races of its own."""
    ours, others = [], 0
    for text in RULE.split(console):
        if what := RACE.search(text):
            if OURS.search(text) and not KERNELS_OWN.search(text):
                ours.append((what[1], text.strip().splitlines()))
            else:
                others += 1
    return ours, others


def find(console):
    """[(reason, line)]: the first line of each reason, in the order they came."""
    found = {}
    for line in console.splitlines():
        for reason, pattern in PATTERNS:
            if reason not in found and pattern.search(line):
                found[reason] = line.strip()
                break
    return list(found.items())
