/* mem.c - the caller's allocator, and free lists of fixed sizes. */
#include <string.h>

#include "lib/base/ctx.h"

void *mem_alloc(struct cc_ctx *ctx, size_t n)
{
	return ctx->mem.alloc(n, ctx->mem.arg);
}

void *mem_zalloc(struct cc_ctx *ctx, size_t n)
{
	void *p = mem_alloc(ctx, n);

	if (p)
		memset(p, 0, n);
	return p;
}

void *mem_resize(struct cc_ctx *ctx, void *p, size_t n)
{
	return ctx->mem.resize(p, n, ctx->mem.arg);
}

void mem_free(struct cc_ctx *ctx, void *p)
{
	if (p)
		ctx->mem.release(p, ctx->mem.arg);
}

char *mem_strdup(struct cc_ctx *ctx, const char *s)
{
	size_t n = strlen(s) + 1;
	char *copy = mem_alloc(ctx, n);

	if (copy)
		memcpy(copy, s, n);
	return copy;
}

void mem_cache_init(struct mem_cache *c, size_t size, unsigned max)
{
	c->size = size < sizeof(void *) ? sizeof(void *) : size;
	c->free_count = 0;
	c->max = max;
	c->free = NULL;
}

void *mem_cache_get(struct mem_cache *c, struct cc_ctx *ctx)
{
	void *p = c->free;

	if (!p)
		return mem_alloc(ctx, c->size);

	memcpy(&c->free, p, sizeof(void *)); /* the block's first word links the free ones */
	c->free_count--;
	return p;
}

void mem_cache_put(struct mem_cache *c, struct cc_ctx *ctx, void *p)
{
	if (c->free_count >= c->max) {
		mem_free(ctx, p);
		return;
	}
	memcpy(p, &c->free, sizeof(void *));
	c->free = p;
	c->free_count++;
}

void mem_cache_clear(struct mem_cache *c, struct cc_ctx *ctx)
{
	while (c->free) {
		void *p = c->free;

		memcpy(&c->free, p, sizeof(void *));
		mem_free(ctx, p);
	}
	c->free_count = 0;
}
