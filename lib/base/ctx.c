/* ctx.c - the base parts of a context: allocator, clock, turn, timers, slabs, free lists. */
#include <stdlib.h>
#include <time.h>

#include "lib/base/ctx.h"

static void *default_alloc(size_t size, void *arg)
{
	(void)arg;
	return malloc(size);
}

static void *default_resize(void *ptr, size_t size, void *arg)
{
	(void)arg;
	return realloc(ptr, size);
}

static void default_release(void *ptr, void *arg)
{
	(void)arg;
	free(ptr);
}

static uint64_t default_clock(void *arg)
{
	struct timespec ts;

	(void)arg;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

uint64_t ctx_now_us(struct cc_ctx *ctx)
{
	if (ctx->now == 0) {
		ctx->now = ctx->clock(ctx->clock_arg);
		turn_kick(ctx); /* the end of the turn forgets it */
	}
	return ctx->now;
}

uint64_t ctx_now(struct cc_ctx *ctx)
{
	return ctx_now_us(ctx) / 1000;
}

int ctx_init(struct cc_ctx *ctx, const struct cc_ctx_opts *opts)
{
	ctx->base = opts->base;
	if (opts->mem)
		ctx->mem = *opts->mem;
	else
		ctx->mem = (struct cc_mem){default_alloc, default_resize, default_release, NULL};
	ctx->clock = default_clock;
	list_init(&ctx->conns);
	mem_small_init(&ctx->small);
	if (slabs_init(&ctx->slabs, opts->max_buffered ? opts->max_buffered : 256u << 20) < 0 ||
		turn_init(&ctx->turn, ctx) < 0 || timer_set_init(&ctx->timers, ctx) < 0)
		return CC_ENOMEM;
	return 0;
}

void ctx_clear(struct cc_ctx *ctx)
{
	timer_set_clear(&ctx->timers, ctx);
	turn_clear(&ctx->turn);
	mem_cache_clear(&ctx->heads, ctx);
	mem_cache_clear(&ctx->reqs, ctx);
	mem_small_clear(&ctx->small, ctx);
	slabs_clear(&ctx->slabs, ctx);
}
