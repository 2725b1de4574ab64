// SPDX-License-Identifier: GPL-2.0-only
/* Stamps of cells, and the model that says which may be seen. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "stamp.h"

#define load(p)		__atomic_load_n(p, __ATOMIC_SEQ_CST)
#define store(p, v)	__atomic_store_n(p, v, __ATOMIC_SEQ_CST)
#define add(p, n)	__atomic_fetch_add(p, n, __ATOMIC_RELAXED)

/*
 * From bit 0: sequence 19, its complement 19, place 7, cell 14, object 2, writer 3. The
 * kernel may copy byte by byte: of a word that is half one sequence and half another,
 * complement and sequence do not agree.
 */
#define SEQUENCE_BITS	19
#define SEQUENCE_MASK	((1ULL << SEQUENCE_BITS) - 1)
#define FIXED_SHIFT	(2 * SEQUENCE_BITS)

static const char *const what_names[STAMP_WHATS] = {
	[WRITE_BEGUN] = "write begun", [WRITE_DONE] = "write done",
	[WRITE_FAILED] = "write failed",
	[STORE_BEGUN] = "store begun", [STORE_DONE] = "store done",
	[STORE_FAILED] = "store failed",
	[PUNCH_BEGUN] = "punch begun", [PUNCH_DONE] = "punch done",
	[PUNCH_FAILED] = "punch failed",
	[FSYNC_DONE] = "fsync done", [FSYNC_FAILED] = "fsync failed",
	[MSYNC_DONE] = "msync done", [MSYNC_FAILED] = "msync failed",
	[PAGER_KILLED] = "pager killed", [PAGER_STARTED] = "pager started",
	[PAGER_STOPPED] = "pager stopped", [PAGER_CONTINUED] = "pager continued",
	[PAGER_SLOW] = "pager slow", [PAGER_REPLACED] = "pager replaced",
	[POLICY_CHANGED] = "policy changed",
	[CLIENT_KILLED] = "client killed", [SQUEEZED] = "cgroup squeezed",
	[HOGGED] = "memory squeezed",
	[CACHES_DROPPED] = "caches dropped", [COMPACTED] = "memory compacted",
	[SYNCED] = "sync(2)",
};

/* ---- stamps ---- */

/*
 * Runs of eight pages go round; in the last page of each the cells do, so that
 * several write to it at once.
 */
unsigned int cell_writer(unsigned int cell)
{
	unsigned int page = cell / PAGE_CELLS;

	return (page % 8 == 7 ? cell : page / 8) % WRITERS;
}

static uint64_t stamp(enum stamp_object object, unsigned int cell, unsigned int place,
		      uint32_t sequence)
{
	uint64_t fixed = place | (uint64_t)cell << 7 | (uint64_t)object << 21 |
			 (uint64_t)cell_writer(cell) << 23;

	return fixed << FIXED_SHIFT | (~sequence & SEQUENCE_MASK) << SEQUENCE_BITS |
	       (sequence & SEQUENCE_MASK);
}

void cell_fill(volatile uint64_t *words, enum stamp_object object, unsigned int cell,
	       uint32_t sequence)
{
	unsigned int i;

	for (i = 0; i < CELL_WORDS; i++)
		words[i] = stamp(object, cell, i, sequence);
}

enum word_kind { WORD_WHOLE, WORD_ZERO, WORD_TORN, WORD_FOREIGN };

/* Torn: each byte is of some sequence of this word, or zero. */
static enum word_kind classify(uint64_t word, unsigned int cell, unsigned int place,
			       uint32_t *sequence)
{
	uint64_t want;
	unsigned int i;

	if (!word)
		return WORD_ZERO;
	*sequence = word & SEQUENCE_MASK;
	want = stamp(STAMP_SHARED, cell, place, *sequence);
	if (word == want)
		return WORD_WHOLE;
	if (word >> FIXED_SHIFT == want >> FIXED_SHIFT)
		return WORD_TORN;
	for (i = FIXED_SHIFT / 8 + 1; i < 8; i++) {
		uint8_t byte = word >> i * 8;

		if (byte && byte != (uint8_t)(want >> i * 8))
			return WORD_FOREIGN;
	}
	return WORD_TORN;
}

/* ---- the model ---- */

struct model *model_new(void)
{
	struct model *m = shared_memory(sizeof(*m));

	if (m) {
		memset(m, 0, sizeof(*m));
		m->made_ms = now_ms();
	}
	return m;
}

void model_free(struct model *m)
{
	munmap(m, sizeof(*m));
}

void model_fill(uint8_t *bytes)
{
	unsigned int cell;

	for (cell = 0; cell < CELLS; cell++)
		cell_fill((uint64_t *)(bytes + cell * CELL), STAMP_SHARED, cell, 0);
}

bool model_failed(const struct model *m)
{
	return load(&m->failed);
}

static void note(struct model *m, struct happening *ring, unsigned int size, uint32_t *at,
		 struct happening h)
{
	h.ms = now_ms() - m->made_ms;
	ring[add(at, 1) % size] = h;
}

void model_event(struct model *m, enum stamp_what what, unsigned int who)
{
	note(m, m->events, 4 * HISTORY, &m->events_at,
	     (struct happening){ .what = what, .who = who });
}

static void note_cell(struct model *m, unsigned int cell, uint32_t sequence,
		      enum stamp_what what, unsigned int who)
{
	unsigned int page = cell / PAGE_CELLS;

	note(m, m->history[page], HISTORY, &m->history_at[page],
	     (struct happening){ .sequence = sequence, .cell = cell, .what = what, .who = who });
}

uint32_t cell_begin(struct model *m, unsigned int cell, enum stamp_what what, unsigned int who)
{
	uint32_t sequence = load(&m->begun[cell]) + 1;

	note_cell(m, cell, sequence, what, who);
	/* In this order: who is killed in between must not leave a hole that nobody began. */
	store(&m->begun[cell], sequence);
	if (what == PUNCH_BEGUN)
		store(&m->hole[cell], sequence);
	return sequence;
}

void cell_end(struct model *m, unsigned int cell, uint32_t sequence, enum stamp_what what,
	      unsigned int who)
{
	if (what == WRITE_DONE || what == STORE_DONE || what == PUNCH_DONE)
		store(&m->done[cell], sequence);
	note_cell(m, cell, sequence, what, who);
}

static void copy_sequences(uint32_t *to, const uint32_t *from, unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < nr; i++)
		to[i] = load(&from[i]);
}

void model_done(const struct model *m, uint32_t *least, unsigned int cell, unsigned int nr)
{
	copy_sequences(least, m->done + cell, nr);
}

void model_synced(const struct model *m, uint32_t *least, unsigned int cell, unsigned int nr)
{
	copy_sequences(least, m->synced + cell, nr);
}

void model_is_synced(struct model *m, const uint32_t *done, unsigned int cell, unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < nr; i++) {
		uint32_t *at = &m->synced[cell + i], old = load(at);

		while (old < done[i] && !__atomic_compare_exchange_n(at, &old, done[i], false,
								     __ATOMIC_SEQ_CST,
								     __ATOMIC_SEQ_CST))
			;
	}
}

/* ---- the first difference ---- */

static void tell_ring(const char *title, const struct happening *ring, unsigned int size,
		      uint32_t at)
{
	uint32_t i = at > size ? at - size : 0;

	printf("# %s:\n", title);
	for (; i < at; i++) {
		const struct happening *h = &ring[i % size];

		printf("#   %7u ms  %u  %-16s", h->ms, h->who, what_names[h->what]);
		if (h->what <= PUNCH_FAILED)
			printf(" cell %u, sequence %u", h->cell, h->sequence);
		printf("\n");
	}
}

static void tell_word(uint64_t word)
{
	uint64_t fixed = word >> FIXED_SHIFT;

	printf("%016" PRIx64 ": sequence %u (its complement: %u), ", word,
	       (unsigned int)(word & SEQUENCE_MASK),
	       (unsigned int)(~(word >> SEQUENCE_BITS) & SEQUENCE_MASK));
	printf("object %u, cell %u, place %u, writer %u\n",
	       (unsigned int)(fixed >> 21 & 3), (unsigned int)(fixed >> 7 & (CELLS - 1)),
	       (unsigned int)(fixed & (CELL_WORDS - 1)), (unsigned int)(fixed >> 23));
}

/* The page as it is now: the words with which something else begins. */
static void tell_page(const volatile uint64_t *words, unsigned int cell, const char *when)
{
	unsigned int first = cell / PAGE_CELLS * PAGE_CELLS, i;
	uint64_t other, last = 0;

	words -= (cell - first) * CELL_WORDS;
	printf("# the page %s:\n", when);
	for (i = 0; i < PAGE_CELLS * CELL_WORDS; i++) {
		uint64_t word = load(&words[i]);

		other = word ^ stamp(STAMP_SHARED, first + i / CELL_WORDS, i % CELL_WORDS, 0);
		if (i % CELL_WORDS && other == last)
			continue;
		last = other;
		printf("#   ");
		tell_word(word);
	}
}

static void tell(struct model *m, const uint64_t *words, const volatile uint64_t *there,
		 unsigned int wrong, unsigned int cell, unsigned int place, uint32_t least,
		 uint32_t most, uint32_t hole, const char *where, unsigned int who)
{
	unsigned int page = cell / PAGE_CELLS;

	printf("# FIRST DIFFERENCE after %u ms, found by %u: %s, page %u, cell %u, word %u\n",
	       (unsigned int)(now_ms() - m->made_ms), who, where, page, cell, place);
	printf("# found    ");
	tell_word(words[place]);
	printf("# expected ");
	tell_word(stamp(STAMP_SHARED, cell, place, least));
	printf("#          to sequence %u, last hole %u, done %u, synced %u\n", most, hole,
	       load(&m->done[cell]), load(&m->synced[cell]));
	printf("# first of the cell ");
	tell_word(words[0]);
	printf("# last of the cell  ");
	tell_word(words[CELL_WORDS - 1]);
	printf("# wrong words of the cell: %u\n", wrong);
	tell_page(there, cell, "now");
	nanosleep(&(struct timespec){ .tv_sec = 2 }, NULL);
	tell_page(there, cell, "2 s later");
	tell_ring("history of the page", m->history[page], HISTORY, load(&m->history_at[page]));
	tell_ring("what else happened", m->events, 4 * HISTORY, load(&m->events_at));
	fflush(stdout);
}

static bool cell_right(struct model *m, const volatile uint64_t *words, unsigned int cell,
		       uint32_t least, const char *where, unsigned int who)
{
	uint64_t seen[CELL_WORDS];
	uint32_t most, hole;
	unsigned int i, torn = 0, wrong = 0, first = 0;

	for (i = 0; i < CELL_WORDS; i++)
		seen[i] = load(&words[i]);
	most = load(&m->begun[cell]);
	hole = load(&m->hole[cell]);
	for (i = 0; i < CELL_WORDS; i++) {
		uint32_t sequence = 0;
		bool right = false;

		switch (classify(seen[i], cell, i, &sequence)) {
		case WORD_WHOLE:
			right = sequence >= least && sequence <= most;
			break;
		case WORD_ZERO:
			right = hole && hole >= least;
			break;
		case WORD_TORN:
			right = least < most;
			torn++;
			break;
		case WORD_FOREIGN:
			break;
		}
		if (!right && !wrong++)
			first = i;
	}
	add(&m->words, CELL_WORDS);
	if (torn)
		add(&m->torn, torn);
	if (!wrong)
		return true;
	add(&m->words_wrong, wrong);
	if (!__atomic_exchange_n(&m->failed, 1, __ATOMIC_SEQ_CST))
		tell(m, seen, words, wrong, cell, first, least, most, hole, where, who);
	return false;
}

bool cells_right(struct model *m, const volatile void *words, unsigned int cell, unsigned int nr,
		 const uint32_t *least, const char *where, unsigned int who)
{
	unsigned int i;

	for (i = 0; i < nr; i++)
		if (!cell_right(m, (const volatile uint64_t *)words + i * CELL_WORDS, cell + i,
				least[i], where, who))
			return false;
	return true;
}
