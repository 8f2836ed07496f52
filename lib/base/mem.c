/* mem.c - the caller's allocator, and free lists of fixed sizes. */
#include <stdalign.h>
#include <stddef.h>
#include <stdint.h>
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

/* A block that is kept looks alive to AddressSanitizer: there every block goes back at once. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SEES_FREED_BLOCKS
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define SEES_FREED_BLOCKS
#endif

void mem_cache_init(struct mem_cache *c, size_t size, unsigned max)
{
#ifdef SEES_FREED_BLOCKS
	max = 0;
#endif
	c->size = size < sizeof(void *) ? sizeof(void *) : size;
	c->free_count = 0;
	c->max = max;
	c->free = NULL;
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

/* ---- small blocks ------------------------------------------------------ */

#define SMALL_STEP 64u
#define SMALL_KEPT 256u

/* In front of each block: which list it goes back to. */
struct small_head {
	alignas(max_align_t) size_t class; /* MEM_SMALL_CLASSES: none */
};

void mem_small_init(struct mem_small *s)
{
	for (unsigned i = 0; i < MEM_SMALL_CLASSES; i++)
		mem_cache_init(&s->classes[i], (i + 1) * SMALL_STEP, SMALL_KEPT);
}

void mem_small_clear(struct mem_small *s, struct cc_ctx *ctx)
{
	for (unsigned i = 0; i < MEM_SMALL_CLASSES; i++)
		mem_cache_clear(&s->classes[i], ctx);
}

/* Which list a block of n bytes comes from. */
static size_t class_of(size_t n)
{
	if (n > MEM_SMALL_CLASSES * SMALL_STEP - sizeof(struct small_head))
		return MEM_SMALL_CLASSES;
	return (n + sizeof(struct small_head) - 1) / SMALL_STEP;
}

void *mem_small_alloc(struct cc_ctx *ctx, size_t n)
{
	size_t class = class_of(n);
	struct small_head *h = NULL;

	if (class < MEM_SMALL_CLASSES)
		h = mem_cache_get(&ctx->small.classes[class], ctx);
	else if (n <= SIZE_MAX - sizeof(*h))
		h = mem_alloc(ctx, n + sizeof(*h));
	if (!h)
		return NULL;
	h->class = class;
	return h + 1;
}

void mem_small_free(struct cc_ctx *ctx, void *p)
{
	struct small_head *h = p;

	if (!h)
		return;
	h--;
	if (h->class < MEM_SMALL_CLASSES)
		mem_cache_put(&ctx->small.classes[h->class], ctx, h);
	else
		mem_free(ctx, h);
}

void *mem_small_resize(struct cc_ctx *ctx, void *p, size_t n)
{
	struct small_head *h = p;
	size_t room;
	void *fresh;

	if (!h)
		return mem_small_alloc(ctx, n);
	h--;
	if (h->class == MEM_SMALL_CLASSES) {
		h = n <= SIZE_MAX - sizeof(*h) ? mem_resize(ctx, h, n + sizeof(*h)) : NULL;
		return h ? h + 1 : NULL;
	}
	room = (h->class + 1) * SMALL_STEP - sizeof(*h);
	if (n <= room)
		return p;
	fresh = mem_small_alloc(ctx, n);
	if (fresh) {
		memcpy(fresh, p, room);
		mem_small_free(ctx, p);
	}
	return fresh;
}
