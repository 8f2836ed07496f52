/*
 * buf.c - chains of slices of shared, counted slabs (doc/buffers.md).
 *
 * The context fills two slabs, one by reading sockets and one by copying. As
 * soon as nobody but the context refers to such a slab it is filled from its
 * beginning again, so that under light load the same, cached memory is used
 * for every request.
 */
#include <assert.h>
#include <string.h>
#include <sys/uio.h>

#include "lib/base/ctx.h"

#define READ_ROOM_MIN 2048u

struct slab {
	unsigned refs; /* segments, and the context while it fills the slab */
	unsigned used;
	bool foreign;            /* the bytes are somebody else's, data is empty */
	void (*done)(void *arg); /* tells them; may be NULL */
	void *arg;
	char data[];
};

struct cc_seg {
	struct cc_seg *next;
	struct slab *slab;
	const char *p;
	size_t n;
};

int slabs_init(struct slabs *s, size_t max)
{
	s->read = s->write = NULL;
	s->used = 0;
	s->max = max;
	mem_cache_init(&s->blocks, sizeof(struct slab) + SLAB_SIZE, 64);
	mem_cache_init(&s->segs, sizeof(struct cc_seg), 4096);
	return 0;
}

static struct slab *slab_new(struct cc_ctx *ctx)
{
	struct slabs *s = &ctx->slabs;
	struct slab *slab;

	if (s->used + SLAB_SIZE > s->max)
		return NULL;
	slab = mem_cache_get(&s->blocks, ctx);
	if (!slab)
		return NULL;
	s->used += SLAB_SIZE;
	slab->refs = 1;
	slab->used = 0;
	slab->foreign = false;
	return slab;
}

static void slab_unref(struct cc_ctx *ctx, struct slab *slab)
{
	struct slabs *s = &ctx->slabs;

	slab->refs--;
	if (slab->refs == 1 && (slab == s->read || slab == s->write))
		slab->used = 0;
	if (slab->refs > 0)
		return;
	if (slab->foreign) {
		if (slab->done)
			slab->done(slab->arg);
		mem_free(ctx, slab);
		return;
	}
	s->used -= SLAB_SIZE;
	mem_cache_put(&s->blocks, ctx, slab);
}

void slabs_clear(struct slabs *s, struct cc_ctx *ctx)
{
	if (s->read)
		slab_unref(ctx, s->read);
	if (s->write)
		slab_unref(ctx, s->write);
	s->read = s->write = NULL;
	mem_cache_clear(&s->blocks, ctx);
	mem_cache_clear(&s->segs, ctx);
}

unsigned slabs_pressure(const struct slabs *s)
{
	return (unsigned)((s->used >> 10) * 100 / ((s->max >> 10) + 1));
}

void cc_buf_init(struct cc_buf *b, struct cc_ctx *ctx)
{
	b->ctx = ctx;
	b->first = b->last = NULL;
	b->len = 0;
}

static struct cc_seg *seg_new(struct cc_ctx *ctx, struct slab *slab, const char *p, size_t n)
{
	struct cc_seg *seg = mem_cache_get(&ctx->slabs.segs, ctx);

	if (!seg)
		return NULL;
	seg->next = NULL;
	seg->slab = slab;
	seg->p = p;
	seg->n = n;
	slab->refs++;
	return seg;
}

static void seg_free(struct cc_ctx *ctx, struct cc_seg *seg)
{
	slab_unref(ctx, seg->slab);
	mem_cache_put(&ctx->slabs.segs, ctx, seg);
}

static void append(struct cc_buf *b, struct cc_seg *seg)
{
	if (b->last)
		b->last->next = seg;
	else
		b->first = seg;
	b->last = seg;
	b->len += seg->n;
}

static struct cc_seg *take_first(struct cc_buf *b)
{
	struct cc_seg *seg = b->first;

	b->first = seg->next;
	if (!b->first)
		b->last = NULL;
	b->len -= seg->n;
	seg->next = NULL;
	return seg;
}

void cc_buf_clear(struct cc_buf *b)
{
	while (b->first)
		seg_free(b->ctx, take_first(b));
}

/* The n bytes at p of slab become the end of b: the last segment grows, or a new one is made. */
static int append_bytes(struct cc_buf *b, struct slab *slab, const char *p, size_t n)
{
	struct cc_seg *seg = b->last;

	if (seg && seg->slab == slab && seg->p + seg->n == p) {
		seg->n += n;
		b->len += n;
		return 0;
	}
	seg = seg_new(b->ctx, slab, p, n);
	if (!seg)
		return CC_ENOMEM;
	append(b, seg);
	return 0;
}

/* The slab at *place with at least n bytes of room. */
static struct slab *slab_with_room(struct cc_ctx *ctx, struct slab **place, size_t n)
{
	struct slab *slab = *place;

	if (slab && SLAB_SIZE - slab->used >= n)
		return slab;

	struct slab *fresh = slab_new(ctx);
	if (!fresh)
		return NULL;
	*place = fresh;
	if (slab)
		slab_unref(ctx, slab);
	return fresh;
}

char *buf_read_room(struct cc_ctx *ctx, size_t *room)
{
	struct slab *slab = slab_with_room(ctx, &ctx->slabs.read, READ_ROOM_MIN);

	if (!slab)
		return NULL;
	*room = SLAB_SIZE - slab->used;
	return slab->data + slab->used;
}

int buf_read_commit(struct cc_buf *b, size_t n)
{
	struct slab *slab = b->ctx->slabs.read;
	int err = append_bytes(b, slab, slab->data + slab->used, n);

	if (err == 0)
		slab->used += (unsigned)n;
	return err;
}

char *buf_reserve(struct cc_buf *b, size_t n)
{
	struct slab *slab;

	assert(n <= SLAB_SIZE);
	slab = slab_with_room(b->ctx, &b->ctx->slabs.write, n);
	return slab ? slab->data + slab->used : NULL;
}

int buf_commit(struct cc_buf *b, size_t n)
{
	struct slab *slab = b->ctx->slabs.write;
	int err;

	if (n == 0)
		return 0;
	err = append_bytes(b, slab, slab->data + slab->used, n);
	if (err == 0)
		slab->used += (unsigned)n;
	return err;
}

/* Drops bytes from the end; only what a failed addition left. */
static void truncate_to(struct cc_buf *b, size_t len)
{
	struct cc_buf kept;

	if (b->len == len)
		return;
	cc_buf_init(&kept, b->ctx);
	while (b->first && kept.len < len) {
		struct cc_seg *seg = take_first(b);

		if (kept.len + seg->n > len)
			seg->n = len - kept.len;
		append(&kept, seg);
	}
	cc_buf_clear(b);
	*b = kept;
}

int cc_buf_add(struct cc_buf *b, const void *data, size_t n)
{
	size_t before = b->len;
	const char *p = data;

	while (n > 0) {
		struct slab *slab = b->ctx->slabs.write;
		size_t room = slab ? SLAB_SIZE - slab->used : 0;
		size_t part = n < room ? n : room;
		char *to;

		if (part < n && part < SLAB_COPY_MAX)
			part = n < SLAB_SIZE ? n : SLAB_SIZE; /* no crumbs: begin a new slab */
		to = buf_reserve(b, part);
		if (to)
			memcpy(to, p, part);
		if (!to || buf_commit(b, part) < 0) {
			truncate_to(b, before);
			return CC_ENOMEM;
		}
		p += part;
		n -= part;
	}
	return 0;
}

int cc_buf_add_ref(struct cc_buf *b, const void *data, size_t n, void (*done)(void *arg), void *arg)
{
	struct slab *slab = mem_zalloc(b->ctx, sizeof(*slab));
	struct cc_seg *seg;

	if (!slab)
		return CC_ENOMEM;
	seg = seg_new(b->ctx, slab, data, n);
	if (!seg) {
		mem_free(b->ctx, slab);
		return CC_ENOMEM;
	}
	slab->foreign = true;
	slab->done = done;
	slab->arg = arg;
	append(b, seg);
	return 0;
}

int buf_add_slice(struct cc_buf *b, const struct cc_buf *from, const char *p, size_t n)
{
	assert(from->first && p >= from->first->p && p + n <= from->first->p + from->first->n);
	if (n < SLAB_COPY_MAX)
		return cc_buf_add(b, p, n);
	return append_bytes(b, from->first->slab, p, n);
}

/* Splits the first segment so that it has n bytes. */
static int split_first(struct cc_buf *b, size_t n)
{
	struct cc_seg *seg = b->first;
	struct cc_seg *rest = seg_new(b->ctx, seg->slab, seg->p + n, seg->n - n);

	if (!rest)
		return CC_ENOMEM;
	rest->next = seg->next;
	seg->next = rest;
	seg->n = n;
	if (b->last == seg)
		b->last = rest;
	return 0;
}

int cc_buf_move(struct cc_buf *to, struct cc_buf *from, size_t n)
{
	struct cc_buf part;
	int err = 0;

	if (n > from->len)
		n = from->len;
	cc_buf_init(&part, from->ctx);
	while (n > 0) {
		struct cc_seg *seg = from->first;

		if (seg->n > n && (err = split_first(from, n)) < 0)
			break;
		n -= seg->n;
		append(&part, take_first(from));
	}
	if (err < 0) { /* only the last step can fail: put the whole segments back */
		if (part.last) {
			part.last->next = from->first;
			from->first = part.first;
			from->len += part.len;
		}
		return err;
	}

	while (part.first) {
		struct cc_seg *seg = take_first(&part);

		/* A small slice is copied if there is room; else it may pin its slab. */
		if (seg->n < SLAB_MOVE_COPY_MAX && cc_buf_add(to, seg->p, seg->n) == 0)
			seg_free(to->ctx, seg);
		else
			append(to, seg);
	}
	return 0;
}

int cc_buf_share(struct cc_buf *to, const struct cc_buf *from)
{
	size_t before = to->len;

	for (const struct cc_seg *seg = from->first; seg; seg = seg->next) {
		int err = seg->n < SLAB_COPY_MAX ? cc_buf_add(to, seg->p, seg->n)
		                                 : append_bytes(to, seg->slab, seg->p, seg->n);

		if (err < 0) {
			truncate_to(to, before);
			return err;
		}
	}
	return 0;
}

void cc_buf_drain(struct cc_buf *b, size_t n)
{
	while (n > 0 && b->first) {
		struct cc_seg *seg = b->first;

		if (seg->n > n) {
			seg->p += n;
			seg->n -= n;
			b->len -= n;
			return;
		}
		n -= seg->n;
		seg_free(b->ctx, take_first(b));
	}
}

size_t cc_buf_peek(const struct cc_buf *b, void *out, size_t n)
{
	size_t got = 0;

	for (const struct cc_seg *seg = b->first; seg && got < n; seg = seg->next) {
		size_t part = seg->n < n - got ? seg->n : n - got;

		memcpy((char *)out + got, seg->p, part);
		got += part;
	}
	return got;
}

int cc_buf_iov(const struct cc_buf *b, struct iovec *iov, int max)
{
	int i = 0;

	for (const struct cc_seg *seg = b->first; seg && i < max; seg = seg->next, i++) {
		iov[i].iov_base = (void *)(uintptr_t)seg->p;
		iov[i].iov_len = seg->n;
	}
	return i;
}

const char *buf_first(const struct cc_buf *b, size_t *n)
{
	if (!b->first)
		return NULL;
	*n = b->first->n;
	return b->first->p;
}

const char *buf_gather(const struct cc_buf *b, char *tmp, size_t n)
{
	if (b->first && b->first->n >= n)
		return b->first->p;
	cc_buf_peek(b, tmp, n);
	return tmp;
}
