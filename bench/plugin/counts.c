// SPDX-License-Identifier: GPL-2.0-only
/*
 * A plugin of QEMU that counts, for each instruction of the guest, how often it
 * ran and how many bytes it stored between two marks of the benchmark. It takes
 * no time of a guest whose time is its count of instructions. Of several CPUs,
 * what two do in the same moment may be counted once: QEMU adds without a lock.
 *
 * -plugin counts.so,out=FILE: for each MARK_WRITE, lines "address count stored kind",
 * the numbers in hexadecimal, and an empty line. Kind is m for REP MOVS, s for REP
 * STOS, - for others.
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../marks.h"
#include "qemu-plugin.h"

QEMU_PLUGIN_EXPORT int qemu_plugin_version = QEMU_PLUGIN_VERSION;

struct place {
	uint64_t address;
	uint64_t count, stored;			/* of all time */
	uint64_t begin_count, begin_stored;	/* of these, before the last mark */
	uint64_t marked_count, marked_stored;	/* between marks */
	char kind;
};

#define SLOTS_SHIFT	21
#define SLOTS		(1UL << SLOTS_SHIFT)
#define PLACES		(SLOTS / 2)

static struct place places[PLACES];	/* never moved nor removed: QEMU adds to them */
static uint32_t nr_places;
static uint32_t slots[SLOTS];		/* by hash: the place's number plus one, or 0 */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;	/* of nr_places and slots */
static FILE *out;

/* Locked. */
static struct place *find(uint64_t address)
{
	size_t i = address * 0x9e3779b97f4a7c15 >> (64 - SLOTS_SHIFT);

	for (; slots[i]; i = (i + 1) % SLOTS)
		if (places[slots[i] - 1].address == address)
			return &places[slots[i] - 1];
	if (nr_places == PLACES) {
		fprintf(stderr, "counts: more than %lu instructions\n", PLACES);
		exit(1);
	}
	places[nr_places].address = address;
	slots[i] = ++nr_places;
	return &places[nr_places - 1];
}

static struct place *place_of(uint64_t address)
{
	struct place *p;

	pthread_mutex_lock(&lock);
	p = find(address);
	pthread_mutex_unlock(&lock);
	return p;
}

static void begin(unsigned int vcpu, void *arg)
{
	for (struct place *p = places; p < places + nr_places; p++) {
		p->begin_count = p->count;
		p->begin_stored = p->stored;
	}
}

static void end(unsigned int vcpu, void *arg)
{
	for (struct place *p = places; p < places + nr_places; p++) {
		p->marked_count += p->count - p->begin_count;
		p->marked_stored += p->stored - p->begin_stored;
	}
}

static void write_down(unsigned int vcpu, void *arg)
{
	for (struct place *p = places; p < places + nr_places; p++) {
		if (p->marked_count)
			fprintf(out, "%lx %lx %lx %c\n", p->address, p->marked_count,
				p->marked_stored, p->kind);
		p->marked_count = 0;
		p->marked_stored = 0;
	}
	fputc('\n', out);
	fflush(out);
}

static void store(unsigned int vcpu, qemu_plugin_meminfo_t info, uint64_t vaddr, void *place)
{
	/* Asked for stores, QEMU 7.2 tells of loads too. */
	if (qemu_plugin_mem_is_store(info))
		((struct place *)place)->stored += 1UL << qemu_plugin_mem_size_shift(info);
}

static qemu_plugin_insn_cb_t at_mark(const struct qemu_plugin_insn *insn)
{
	static const uint8_t opcode[] = { 0x0f, 0x1f, 0x80 };
	const uint8_t *bytes = qemu_plugin_insn_data(insn);
	uint32_t mark;

	if (qemu_plugin_insn_size(insn) != sizeof(opcode) + sizeof(mark) ||
	    memcmp(bytes, opcode, sizeof(opcode)))
		return NULL;
	memcpy(&mark, bytes + sizeof(opcode), sizeof(mark));
	return mark == MARK_BEGIN ? begin : mark == MARK_END ? end :
	       mark == MARK_WRITE ? write_down : NULL;
}

static char kind_of(const struct qemu_plugin_insn *insn)
{
	const uint8_t *bytes = qemu_plugin_insn_data(insn);
	size_t size = qemu_plugin_insn_size(insn);

	if (size < 2 || size > 3 || bytes[0] != 0xf3 || (size == 3 && bytes[1] >> 4 != 4))
		return '-';
	switch (bytes[size - 1] & ~1) {
	case 0xa4:
		return 'm';
	case 0xaa:
		return 's';
	default:
		return '-';
	}
}

static void translate(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
	for (size_t i = 0; i < qemu_plugin_tb_n_insns(tb); i++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
		struct place *p = place_of(qemu_plugin_insn_vaddr(insn));
		qemu_plugin_insn_cb_t mark = at_mark(insn);

		p->kind = kind_of(insn);
		qemu_plugin_register_vcpu_insn_exec_inline(insn, QEMU_PLUGIN_INLINE_ADD_U64,
							   &p->count, 1);
		qemu_plugin_register_vcpu_mem_cb(insn, store, QEMU_PLUGIN_CB_NO_REGS,
						 QEMU_PLUGIN_MEM_W, p);
		if (mark)
			qemu_plugin_register_vcpu_insn_exec_cb(insn, mark, QEMU_PLUGIN_CB_NO_REGS,
							       NULL);
	}
}

QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const struct qemu_info_t *info,
					   int argc, char **argv)
{
	if (argc != 1 || strncmp(argv[0], "out=", 4)) {
		fprintf(stderr, "counts: out=FILE is missing\n");
		return -1;
	}
	out = fopen(argv[0] + 4, "w");
	if (!out) {
		perror(argv[0] + 4);
		return -1;
	}
	qemu_plugin_register_vcpu_tb_trans_cb(id, translate);
	return 0;
}
