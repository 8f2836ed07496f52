/* fuzz_ctx.h - a context without connections, for fuzzers of the parts below them. */
#ifndef CC_FUZZ_CTX_H
#define CC_FUZZ_CTX_H

#include <event2/event.h>
#include <stdlib.h>

#include "lib/base/ctx.h"

/* Made once for the whole run; what leaks shows in it at the end. */
static inline struct cc_ctx *fuzz_ctx(void)
{
	static struct cc_ctx *ctx;

	if (!ctx) {
		struct cc_ctx_opts opts = {.size = sizeof(opts), .base = event_base_new()};

		ctx = calloc(1, sizeof(*ctx));
		if (!ctx || ctx_init(ctx, &opts) < 0)
			abort();
	}
	return ctx;
}

#define FUZZ_ASSERT(cond) ((cond) ? (void)0 : abort())

#endif
