/*
 * mem.h - memory of one context: the caller's allocator, and free lists of
 * fixed sizes for what comes and goes with every request.
 */
#ifndef CC_MEM_H
#define CC_MEM_H

#include <stddef.h>

struct cc_ctx;

void *mem_alloc(struct cc_ctx *ctx, size_t n);
void *mem_zalloc(struct cc_ctx *ctx, size_t n);
void *mem_resize(struct cc_ctx *ctx, void *p, size_t n);
void mem_free(struct cc_ctx *ctx, void *p);	/* NULL is fine */
char *mem_strdup(struct cc_ctx *ctx, const char *s);

/* Blocks of one size; at most max free ones are kept. Not zeroed. */
struct mem_cache {
	size_t size;
	unsigned free_count, max;
	void *free;
};

void mem_cache_init(struct mem_cache *c, size_t size, unsigned max);
void *mem_cache_get(struct mem_cache *c, struct cc_ctx *ctx);
void mem_cache_put(struct mem_cache *c, struct cc_ctx *ctx, void *p);
void mem_cache_clear(struct mem_cache *c, struct cc_ctx *ctx);

#endif
