/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the benchmark tells the plugin of the machine that it runs in: a NOP with
 * one of these displacements. Elsewhere it does nothing.
 */
#ifndef MARKS_H
#define MARKS_H

#define MARK_BEGIN	0x65787462	/* count from here */
#define MARK_END	0x65787463	/* to here */
#define MARK_WRITE	0x65787464	/* write down what was counted, and forget it */

/* nopl MARK(%rax): three bytes, and the mark. */
#define MARK(mark) ({									\
	asm volatile(".byte 0x0f, 0x1f, 0x80\n\t.long %c0" : : "i"(mark) : "memory");	\
})

#endif
