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
    ("bug", r"kernel BUG at|\bBUG: |Oops|general protection fault|"
            r"unable to handle"),
    ("panic", r"Kernel panic"),
)
PATTERNS = tuple((reason, re.compile(pattern)) for reason, pattern in SPLATS)


def find(console):
    """[(reason, line)]: the first line of each reason, in the order they came."""
    found = {}
    for line in console.splitlines():
        for reason, pattern in PATTERNS:
            if reason not in found and pattern.search(line):
                found[reason] = line.strip()
                break
    return list(found.items())
