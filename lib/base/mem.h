/*
 * mem.h - memory of one context: the caller's allocator, and free lists of
 * fixed sizes for what comes and goes with every request.
 */
#ifndef CC_MEM_H
#define CC_MEM_H

#include <stddef.h>
#include <string.h>

struct cc_ctx;

void *mem_alloc(struct cc_ctx *ctx, size_t n);
void *mem_zalloc(struct cc_ctx *ctx, size_t n);
void *mem_resize(struct cc_ctx *ctx, void *p, size_t n);
void mem_free(struct cc_ctx *ctx, void *p); /* NULL is fine */
char *mem_strdup(struct cc_ctx *ctx, const char *s);

/* Blocks of one size; at most max free ones are kept. Not zeroed. */
struct mem_cache {
	size_t size;
	unsigned free_count, max;
	void *free;
};

void mem_cache_init(struct mem_cache *c, size_t size, unsigned max);
void mem_cache_clear(struct mem_cache *c, struct cc_ctx *ctx);

/* Here and not in mem.c because every request makes some forty of these calls. */
static inline void *mem_cache_get(struct mem_cache *c, struct cc_ctx *ctx)
{
	void *p = c->free;

	if (!p)
		return mem_alloc(ctx, c->size);

	memcpy(&c->free, p, sizeof(void *)); /* the block's first word links the free ones */
	c->free_count--;
	return p;
}

static inline void mem_cache_put(struct mem_cache *c, struct cc_ctx *ctx, void *p)
{
	if (c->free_count >= c->max) {
		mem_free(ctx, p);
		return;
	}
	memcpy(p, &c->free, sizeof(void *));
	c->free = p;
	c->free_count++;
}

/*
 * Small blocks of any size for libraries that free without naming the size
 * (nghttp2): free lists in steps of 64 bytes, at most 256 free blocks each. What
 * is larger goes to the allocator. Only mem_small_* take such blocks back.
 */
#define MEM_SMALL_CLASSES 10

struct mem_small {
	struct mem_cache classes[MEM_SMALL_CLASSES];
};

void mem_small_init(struct mem_small *s);
void mem_small_clear(struct mem_small *s, struct cc_ctx *ctx);
void *mem_small_alloc(struct cc_ctx *ctx, size_t n);
void *mem_small_resize(struct cc_ctx *ctx, void *p, size_t n);
void mem_small_free(struct cc_ctx *ctx, void *p); /* NULL is fine */

#endif
