/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tracepoints: the life of a request, half of its deadline, accesses that wait at the
 * gate, pages that go to the spill and come from it.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM extpager

#if !defined(EXTPAGER_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define EXTPAGER_TRACE_H

#include <linux/tracepoint.h>

#include "extpager.h"

TRACE_DEFINE_ENUM(EXTPAGER_REQUEST_FREE);
TRACE_DEFINE_ENUM(EXTPAGER_REQUEST_NEW);
TRACE_DEFINE_ENUM(EXTPAGER_REQUEST_PENDING);
TRACE_DEFINE_ENUM(EXTPAGER_REQUEST_PARKED);
TRACE_DEFINE_ENUM(EXTPAGER_REQUEST_ENDED);
TRACE_DEFINE_ENUM(EXTPAGER_SPILL_TAKES);
TRACE_DEFINE_ENUM(EXTPAGER_SPILL_GIVES);
TRACE_DEFINE_ENUM(EXTPAGER_SPILL_REFUSES);

#define extpager_show_op(op) __print_symbolic(op,			\
	{ EXTPAGER_EV_INIT,		"INIT" },			\
	{ EXTPAGER_EV_DATA_REQUEST,	"DATA_REQUEST" },		\
	{ EXTPAGER_EV_DATA_RETURN,	"DATA_RETURN" },		\
	{ EXTPAGER_EV_SYNC,		"SYNC" },			\
	{ EXTPAGER_EV_TERMINATE,	"TERMINATE" },			\
	{ EXTPAGER_EV_ATTRIBUTES,	"ATTRIBUTES" })

#define extpager_show_state(state) __print_symbolic(state,		\
	{ EXTPAGER_REQUEST_FREE,	"FREE" },			\
	{ EXTPAGER_REQUEST_NEW,		"NEW" },			\
	{ EXTPAGER_REQUEST_PENDING,	"PENDING" },			\
	{ EXTPAGER_REQUEST_PARKED,	"PARKED" },			\
	{ EXTPAGER_REQUEST_ENDED,	"ENDED" })

#define extpager_show_spill(what) __print_symbolic(what,		\
	{ EXTPAGER_SPILL_TAKES,		"spilled" },			\
	{ EXTPAGER_SPILL_GIVES,		"unspilled" },			\
	{ EXTPAGER_SPILL_REFUSES,	"failed" })

TRACE_EVENT(extpager_request,
	TP_PROTO(const struct extpager_request *req, u32 state),
	TP_ARGS(req, state),
	TP_STRUCT__entry(
		__field(u64, object)
		__field(u64, tag)
		__field(u64, index)
		__field(u32, nr)
		__field(u32, op)
		__field(u32, flags)
		__field(u32, from)
		__field(u32, to)
		__field(int, error)
	),
	TP_fast_assign(
		__entry->object = req->object_id;
		__entry->tag = req->tag;
		__entry->index = req->index;
		__entry->nr = req->nr;
		__entry->op = req->op;
		__entry->flags = req->flags;
		__entry->from = req->state;
		__entry->to = state;
		__entry->error = req->error;
	),
	TP_printk("object=%#llx tag=%#llx op=%s flags=%#x index=%llu nr=%u %s->%s error=%d",
		  __entry->object, __entry->tag, extpager_show_op(__entry->op),
		  __entry->flags, __entry->index, __entry->nr,
		  extpager_show_state(__entry->from), extpager_show_state(__entry->to),
		  __entry->error)
);

TRACE_EVENT(extpager_slow,
	TP_PROTO(const struct extpager_request *req, u64 age_ms),
	TP_ARGS(req, age_ms),
	TP_STRUCT__entry(
		__field(u64, object)
		__field(u64, index)
		__field(u64, age_ms)
		__field(u32, op)
	),
	TP_fast_assign(
		__entry->object = req->object_id;
		__entry->index = req->index;
		__entry->age_ms = age_ms;
		__entry->op = req->op;
	),
	TP_printk("object=%#llx op=%s index=%llu age_ms=%llu",
		  __entry->object, extpager_show_op(__entry->op), __entry->index,
		  __entry->age_ms)
);

TRACE_EVENT(extpager_gate,
	TP_PROTO(const struct extpager_object *obj, pgoff_t index, u32 access, int result),
	TP_ARGS(obj, index, access, result),
	TP_STRUCT__entry(
		__field(u64, object)
		__field(u64, index)
		__field(u32, access)
		__field(int, result)
	),
	TP_fast_assign(
		__entry->object = obj->id;
		__entry->index = index;
		__entry->access = access;
		__entry->result = result;
	),
	TP_printk("object=%#llx index=%llu access=%#x result=%d",
		  __entry->object, __entry->index, __entry->access, __entry->result)
);

/* @nr: pages; 0 if the spill was full, and none was tried. */
TRACE_EVENT(extpager_spill,
	TP_PROTO(const struct extpager_object *obj, pgoff_t index, u32 nr, u32 what, int error),
	TP_ARGS(obj, index, nr, what, error),
	TP_STRUCT__entry(
		__field(u64, object)
		__field(u64, index)
		__field(u32, nr)
		__field(u32, what)
		__field(int, error)
	),
	TP_fast_assign(
		__entry->object = obj->id;
		__entry->index = index;
		__entry->nr = nr;
		__entry->what = what;
		__entry->error = error;
	),
	TP_printk("object=%#llx index=%llu nr=%u %s error=%d",
		  __entry->object, __entry->index, __entry->nr,
		  extpager_show_spill(__entry->what), __entry->error)
);

#endif /* EXTPAGER_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
