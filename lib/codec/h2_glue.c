/* h2_glue.c - nghttp2 for both sides: heads to fields and back. */
#include <string.h>

#include "lib/base/ctx.h"
#include "lib/base/head_int.h"
#include "lib/base/hop.h"
#include "lib/base/token.h"
#include "lib/codec/h2_glue.h"

/* nghttp2 copies names and values at submit: the pointers need not outlive it. */
static void push(struct h2_nv *f, struct cc_str name, struct cc_str value)
{
	f->nv[f->n++] = (nghttp2_nv){
		.name = (uint8_t *)(uintptr_t)name.p,
		.namelen = name.n,
		.value = (uint8_t *)(uintptr_t)value.p,
		.valuelen = value.n,
		.flags = NGHTTP2_NV_FLAG_NONE,
	};
}

static int begin(struct h2_nv *f, struct cc_ctx *ctx, size_t max)
{
	f->ctx = ctx;
	f->n = 0;
	f->nv = f->inline_nv;
	if (max > H2_NV_INLINE)
		f->nv = mem_alloc(ctx, max * sizeof(*f->nv));
	return f->nv ? 0 : CC_ENOMEM;
}

void h2_nv_clear(struct h2_nv *f)
{
	if (f->nv != f->inline_nv)
		mem_free(f->ctx, f->nv);
	f->nv = NULL;
}

static bool travels(const struct cc_head *h, size_t i)
{
	if (h->fields[i].token == CC_T_OTHER && cc_head_find(h, CC_T_CONNECTION, 0) < 0)
		return true;
	return h->fields[i].token != CC_T_HOST && !cc_head_hop_by_hop(h, i);
}

static void push_fields(struct h2_nv *f, const struct cc_head *h)
{
	for (size_t i = 0; i < h->count; i++) {
		if (!travels(h, i))
			continue;
		push(f, cc_head_name(h, i), cc_head_value(h, i));
		/* RFC 7541 7.1.3: what may be guessed bit by bit stays out of the tables. */
		if (f->nv[f->n - 1].namelen == 13 &&
			memcmp(f->nv[f->n - 1].name, "authorization", 13) == 0)
			f->nv[f->n - 1].flags = NGHTTP2_NV_FLAG_NO_INDEX;
	}
}

int h2_nv_request(struct h2_nv *f, struct cc_ctx *ctx, const struct cc_head *h)
{
	struct cc_str authority = cc_head_authority(h);

	if (begin(f, ctx, h->count + 4) < 0)
		return CC_ENOMEM;
	push(f, CC_STR(":method"), cc_head_method(h));
	push(f, CC_STR(":scheme"), cc_head_scheme(h));
	if (authority.n > 0)
		push(f, CC_STR(":authority"), authority);
	push(f, CC_STR(":path"), cc_head_path(h));
	push_fields(f, h);
	if (head_takes_trailers(h)) /* RFC 9113 8.2.2: this and nothing else; TE had a place */
		push(f, CC_STR("te"), CC_STR("trailers"));
	return 0;
}

int h2_nv_trailers(struct h2_nv *f, struct cc_ctx *ctx, const struct cc_head *h)
{
	if (begin(f, ctx, h->count) < 0)
		return CC_ENOMEM;
	push_fields(f, h);
	return 0;
}

/* A response has one pseudo-header field (RFC 9113 8.3.2); nghttp2 has checked its three digits. */
static int set_status(struct cc_head *h, struct cc_str value)
{
	h->status = 0;
	for (size_t i = 0; i < value.n; i++)
		h->status = h->status * 10 + (unsigned)(value.p[i] - '0');
	return h->status >= 100 && h->status <= 999 ? 0 : CC_EPROTO;
}

int h2_head_field(struct cc_head *h, const uint8_t *name, size_t name_len, const uint8_t *value,
	size_t value_len, size_t max)
{
	struct cc_str n = {(const char *)name, name_len};
	struct cc_str v = {(const char *)value, value_len};
	uint32_t off = h->text_len;

	if (off + name_len + value_len > max)
		return CC_ETOOBIG;
	if (name_len > 0 && name[0] == ':')
		return set_status(h, v);
	if (head_append(h, n.p, n.n) < 0 || head_append(h, v.p, v.n) < 0)
		return CC_ENOMEM;
	return head_push_field(h, off, (uint32_t)name_len, token_find(n.p, n.n));
}

/* The engine allocates some twenty small blocks a request: they come from free lists. */
static void *mem_malloc_cb(size_t size, void *arg)
{
	return mem_small_alloc(arg, size);
}

static void mem_free_cb(void *p, void *arg)
{
	mem_small_free(arg, p);
}

static void *mem_calloc_cb(size_t n, size_t size, void *arg)
{
	void *p = n && size > SIZE_MAX / n ? NULL : mem_small_alloc(arg, n * size);

	if (p)
		memset(p, 0, n * size);
	return p;
}

static void *mem_realloc_cb(void *p, size_t size, void *arg)
{
	return mem_small_resize(arg, p, size);
}

nghttp2_mem *h2_mem(struct cc_ctx *ctx, nghttp2_mem *mem)
{
	*mem = (nghttp2_mem){ctx, mem_malloc_cb, mem_free_cb, mem_calloc_cb, mem_realloc_cb};
	return mem;
}

int h2_pump(nghttp2_session *session, struct cc_buf *out, size_t max)
{
	while (out->len < max) {
		const uint8_t *data;
		nghttp2_ssize n = nghttp2_session_mem_send2(session, &data);

		if (n < 0)
			return n == NGHTTP2_ERR_NOMEM || n == NGHTTP2_ERR_CALLBACK_FAILURE
			               ? CC_ENOMEM
			               : CC_EPROTO;
		if (n == 0)
			return 0;
		if (cc_buf_add(out, data, (size_t)n) < 0)
			return CC_ENOMEM;
	}
	return 0;
}

int h2_send_data(struct cc_buf *out, const uint8_t *framehd, struct cc_buf *from, size_t n)
{
	int err = cc_buf_add(out, framehd, 9);

	return err < 0 ? err : cc_buf_move(out, from, n);
}
