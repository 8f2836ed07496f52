/* ctx_fixture.h - a context with a clock that the test sets, for unit tests. */
#ifndef CTX_FIXTURE_H
#define CTX_FIXTURE_H

#include <event2/event.h>

#include <clientconn.h>

#include "lib/base/ctx.h"

struct ctx_fixture {
	struct event_base *base;
	struct cc_ctx *ctx;
	uint64_t us;
};

static inline uint64_t fixture_clock(void *arg)
{
	return ((struct ctx_fixture *)arg)->us;
}

/* max_buffered 0: the default. */
static inline void fixture_begin(struct ctx_fixture *f, size_t max_buffered)
{
	struct cc_ctx_opts o = {.size = sizeof(o), .max_buffered = max_buffered};

	f->us = 1000000;
	f->base = event_base_new();
	o.base = f->base;
	if (cc_ctx_new(&o, &f->ctx) < 0)
		abort();
	f->ctx->clock = fixture_clock;
	f->ctx->clock_arg = f;
}

static inline void fixture_end(struct ctx_fixture *f)
{
	cc_ctx_free(f->ctx);
	event_base_free(f->base);
}

static inline void fixture_turn(struct ctx_fixture *f)
{
	event_base_loop(f->base, EVLOOP_NONBLOCK);
}

#endif
