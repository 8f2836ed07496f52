/*
 * fuzz_buf.c - random calls on a few cc_buf, inside calls of the library
 * included, against flat arrays: the bytes are the same after every call, a
 * call without memory changed nothing, and at the end nothing is held.
 *
 * The input is calls of four bytes: which one, on which chains, how much (two bytes).
 */
#include <string.h>
#include <sys/uio.h>

#include <clientconn/buf.h>

#include "tests/fuzz/fuzz_ctx.h"

#define CHAINS    3u
#define MODEL_MAX (96u << 10)
#define CALLS_MAX 256u
#define HELD_MAX  (512u << 10) /* slabs of the context: the limit is reached, too */
#define SLICES    4096

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

struct chain {
	struct cc_buf buf;
	char model[MODEL_MAX];
	size_t n;
};

struct fuzz {
	struct cc_ctx ctx;
	struct chain chains[CHAINS];
	unsigned fail_in; /* allocations until one fails, 0: none does */
	bool failed;      /* one did, in this call */
	size_t foreign;   /* blocks of cc_buf_add_ref that are in use */
	uint32_t next;    /* what is written is never twice the same */
};

struct foreign {
	struct fuzz *f;
	char data[];
};

/* ---- memory ------------------------------------------------------------ */

static bool runs_out(struct fuzz *f)
{
	if (f->fail_in == 0 || --f->fail_in > 0)
		return false;
	f->failed = true;
	return true;
}

static void *fuzz_alloc(size_t n, void *arg)
{
	return runs_out(arg) ? NULL : malloc(n);
}

static void *fuzz_resize(void *p, size_t n, void *arg)
{
	return runs_out(arg) ? NULL : realloc(p, n);
}

static void fuzz_release(void *p, void *arg)
{
	(void)arg;
	free(p);
}

static struct fuzz *fuzz_new(void)
{
	struct fuzz *f = calloc(1, sizeof(*f));
	struct cc_mem mem = {fuzz_alloc, fuzz_resize, fuzz_release, f};
	struct cc_ctx_opts opts = {.size = sizeof(opts),
		.base = event_base_new(),
		.mem = &mem,
		.max_buffered = HELD_MAX};

	FUZZ_ASSERT(f && ctx_init(&f->ctx, &opts) == 0);
	for (size_t i = 0; i < CHAINS; i++)
		cc_buf_init(&f->chains[i].buf, &f->ctx);
	return f;
}

/* ---- the model --------------------------------------------------------- */

static void fill(struct fuzz *f, char *to, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		f->next = f->next * 1664525u + 1013904223u;
		to[i] = (char)(f->next >> 24);
	}
}

static bool fits(const struct chain *c, size_t n)
{
	return n <= MODEL_MAX - c->n;
}

static void model_add(struct chain *c, const char *p, size_t n)
{
	if (n > 0)
		memcpy(c->model + c->n, p, n);
	c->n += n;
}

static void model_drain(struct chain *c, size_t n)
{
	n = n < c->n ? n : c->n;
	memmove(c->model, c->model + n, c->n - n);
	c->n -= n;
}

static void check(const struct chain *c)
{
	static struct iovec iov[SLICES];
	int slices = cc_buf_iov(&c->buf, iov, SLICES);
	size_t pos = 0;

	FUZZ_ASSERT(c->buf.len == c->n && slices < SLICES);
	for (int i = 0; i < slices; i++) {
		FUZZ_ASSERT(iov[i].iov_len <= c->n - pos);
		FUZZ_ASSERT(memcmp(iov[i].iov_base, c->model + pos, iov[i].iov_len) == 0);
		pos += iov[i].iov_len;
	}
	FUZZ_ASSERT(pos == c->n);
}

/* Only memory can be missing: an allocation failed, or the slabs are at their limit. */
static bool went_well(const struct fuzz *f, int err, size_t n)
{
	FUZZ_ASSERT(err == 0 || err == CC_ENOMEM);
	FUZZ_ASSERT(err == 0 || f->failed || f->ctx.slabs.used + n + 2 * SLAB_SIZE > HELD_MAX);
	return err == 0;
}

/* ---- calls ------------------------------------------------------------- */

static void call_add(struct fuzz *f, struct chain *c, size_t n)
{
	char *p = malloc(n + 1);

	FUZZ_ASSERT(p);
	fill(f, p, n);
	if (fits(c, n) && went_well(f, cc_buf_add(&c->buf, p, n), n))
		model_add(c, p, n);
	free(p);
}

static void foreign_done(void *arg)
{
	struct foreign *x = arg;

	x->f->foreign--;
	free(x);
}

static void call_add_ref(struct fuzz *f, struct chain *c, size_t n)
{
	struct foreign *x;

	if (!fits(c, n))
		return;
	x = malloc(sizeof(*x) + n);
	FUZZ_ASSERT(x);
	x->f = f;
	fill(f, x->data, n);
	if (went_well(f, cc_buf_add_ref(&c->buf, x->data, n, foreign_done, x), 0)) {
		f->foreign++;
		model_add(c, x->data, n);
	} else {
		free(x);
	}
}

static void call_move(struct fuzz *f, struct chain *to, struct chain *from, size_t n)
{
	size_t part = n < from->n ? n : from->n;

	if (to == from || !fits(to, part) || !went_well(f, cc_buf_move(&to->buf, &from->buf, n), n))
		return;
	model_add(to, from->model, part);
	model_drain(from, part);
}

static void call_share(struct fuzz *f, struct chain *to, const struct chain *from)
{
	if (to != from && fits(to, from->n) &&
		went_well(f, cc_buf_share(&to->buf, &from->buf), from->n))
		model_add(to, from->model, from->n);
}

/* As link.c reads. */
static void call_read(struct fuzz *f, struct chain *c, size_t n)
{
	size_t room;
	char *p = buf_read_room(&f->ctx, &room);

	if (!went_well(f, p ? 0 : CC_ENOMEM, 0))
		return;
	FUZZ_ASSERT(room >= 2048 && room <= SLAB_SIZE);
	n = n < room ? n : room;
	if (n == 0 || !fits(c, n))
		return;
	fill(f, p, n);
	if (went_well(f, buf_read_commit(&c->buf, n), 0))
		model_add(c, p, n);
}

/* As the writers of heads do: a part of what was reserved is used. */
static void call_reserve(struct fuzz *f, struct chain *c, size_t n)
{
	char *p;

	n %= SLAB_SIZE + 1;
	p = buf_reserve(&c->buf, n);
	if (!went_well(f, p ? 0 : CC_ENOMEM, 0))
		return;
	fill(f, p, n);
	n -= n / 3;
	if (fits(c, n) && went_well(f, buf_commit(&c->buf, n), 0))
		model_add(c, p, n);
}

/* As the drivers pass on what they parsed: a part of the first slice. */
static void call_slice(struct fuzz *f, struct chain *to, const struct chain *from, size_t at)
{
	size_t n = 0;
	const char *p = buf_first(&from->buf, &n);

	if (to == from || !p || n == 0)
		return;
	at %= n;
	n -= at;
	if (fits(to, n) && went_well(f, buf_add_slice(&to->buf, &from->buf, p + at, n), n))
		model_add(to, from->model + at, n);
}

static void call_look(const struct chain *c, size_t n)
{
	static char out[SLAB_SIZE];
	struct iovec iov[2];
	size_t got = cc_buf_peek(&c->buf, out, n % (SLAB_SIZE + 1));

	FUZZ_ASSERT(got == (n % (SLAB_SIZE + 1) < c->n ? n % (SLAB_SIZE + 1) : c->n));
	FUZZ_ASSERT(memcmp(out, c->model, got) == 0);
	FUZZ_ASSERT(cc_buf_iov(&c->buf, iov, (int)(n % 3)) <= (int)(n % 3));
	if (got > 0)
		FUZZ_ASSERT(memcmp(buf_gather(&c->buf, out, got), c->model, got) == 0);
}

static void call(struct fuzz *f, const uint8_t *b)
{
	struct chain *c = &f->chains[b[1] % CHAINS], *other = &f->chains[(b[1] >> 4) % CHAINS];
	size_t n = (size_t)b[2] << 8 | b[3];

	switch (b[0] % 11) {
	case 0:
		call_add(f, c, n);
		break;
	case 1:
		call_add_ref(f, c, n);
		break;
	case 2:
		call_move(f, c, other, n);
		break;
	case 3:
		call_share(f, c, other);
		break;
	case 4:
		cc_buf_drain(&c->buf, n);
		model_drain(c, n);
		break;
	case 5:
		call_look(c, n);
		break;
	case 6:
		call_read(f, c, n);
		break;
	case 7:
		call_reserve(f, c, n);
		break;
	case 8:
		call_slice(f, c, other, n);
		break;
	case 9:
		cc_buf_clear(&c->buf);
		c->n = 0;
		break;
	case 10:
		f->fail_in = 1 + n % 4;
		break;
	}
}

/* Only the slabs that the context itself fills may be left. */
static void fuzz_clear(struct fuzz *f)
{
	const struct slabs *s = &f->ctx.slabs;
	size_t filling = ((s->read != NULL) + (s->write != NULL)) * (size_t)SLAB_SIZE;

	for (size_t i = 0; i < CHAINS; i++) {
		cc_buf_clear(&f->chains[i].buf);
		f->chains[i].n = 0;
		check(&f->chains[i]);
	}
	FUZZ_ASSERT(f->foreign == 0 && s->used == filling);
	f->fail_in = 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	static struct fuzz *f;

	if (!f)
		f = fuzz_new();
	f->next = 1;
	for (size_t i = 0; i + 4 <= n && i < 4 * CALLS_MAX; i += 4) {
		f->failed = false;
		call(f, bytes + i);
		for (size_t k = 0; k < CHAINS; k++)
			check(&f->chains[k]);
	}
	fuzz_clear(f);
	return 0;
}
