# SPDX-License-Identifier: GPL-2.0-only
"""What a function is for, by its name. Names tell most, not all: a guess for sums, in which
single functions do not count for much."""
import re

# Functions that do nothing but copy or clear; elsewhere REP MOVS and REP STOS do.
COPY = re.compile(r"(__)?(mem(cpy|move|pcpy)\w*|copy_(mc_|page|user_)\w*|_?copy_user\w*"
                  r"|rep_movs_alternative)")
CLEAR = re.compile(r"(__)?(memset\w*|clear_page\w*|clear_user\w*|rep_stos_alternative)")

# The first that is found in the name, with its module, says it.
PARTS = [(part, re.compile(pattern)) for part, pattern in (
    ("extpager.ko", r"\[extpager\]$"),
    ("programs and libraries", r"\[user\]$"),
    ("copying and clearing", rf"^({COPY.pattern}|{CLEAR.pattern})(\s|$)"),
    ("the store and its block layer", r"\[brd\]|bio|blk|iov_iter|gup_|dio|part_|pin_user"),
    ("switching between tasks",
     r"sched|switch|psi_|update_(load|curr|rq|min_v|entity|se|cfs|deadline)|load_avg|vruntime"
     r"|queue_(entity|task|dl|delayed)|pick_|set_next|put_prev|entity|ttwu|wake|wait|_rq\b|rq_"
     r"|resched|rseq|mm_cid|cpuacct|fpu|cr4|ldt|hrtick|migrate|idle"),
    ("memory, its owners, its lists",
     r"alloc|rmqueue|freelist|kmem|slab|zone|lru|policy|memcg|mem_cgroup|objcg|cgroup|charge"
     r"|mod_node|stat_|_stat|state\b"),
    ("the page cache",
     r"xas?_|filemap|radix|workingset|next_uptodate|mapping|folio|page_cache|readahead"),
    ("faults and mappings",
     r"fault|pte|pmd|pud|p4d|mas_|mt_|vma|rmap|handle_mm|mm_|pgtable|tlb|exc_|asm_|error_"
     r"|access_error|mfill"),
    ("system calls",
     r"sys|vfs|entry_|fd(get|put)|aa_|apparmor|security|tomoyo|rw_verify|ioctl|fsnotify|file"
     r"|exit_to|user_mode"),
    ("locks and RCU", r"rcu|spin|lock|preempt"),
    ("time", r"ktime|clock|tsc|time"),
)]
OTHERS = "others"


def part_of(name):
    return next((part for part, pattern in PARTS if pattern.search(name)), OTHERS)
