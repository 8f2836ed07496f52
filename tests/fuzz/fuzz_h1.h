/*
 * fuzz_h1.h - what both parser fuzzers check: bytes cut in any way must give
 * what they give in one piece, and what was accepted must come back the same
 * when it is written and read again.
 */
#ifndef CC_FUZZ_H1_H
#define CC_FUZZ_H1_H

#include <string.h>

#include <clientconn/buf.h>
#include <clientconn/head.h>

#include "lib/codec/h1_codec.h"
#include "tests/fuzz/fuzz_ctx.h"

#define FUZZ_MAX 4096u /* longer inputs find nothing new */

struct fuzz_log { /* all that a parser said, as bytes */
	char bytes[16 * FUZZ_MAX];
	size_t n;
};

static inline void fuzz_note(struct fuzz_log *log, const void *p, size_t n)
{
	FUZZ_ASSERT(n <= sizeof(log->bytes) - log->n);
	if (n > 0)
		memcpy(log->bytes + log->n, p, n);
	log->n += n;
}

static inline void fuzz_note_str(struct fuzz_log *log, struct cc_str s)
{
	fuzz_note(log, &s.n, sizeof(s.n));
	fuzz_note(log, s.p, s.n);
}

static inline void fuzz_note_head(struct fuzz_log *log, const struct cc_head *h)
{
	unsigned status = cc_head_status(h);

	fuzz_note(log, &status, sizeof(status));
	fuzz_note_str(log, cc_head_method(h));
	fuzz_note_str(log, cc_head_authority(h));
	fuzz_note_str(log, cc_head_path(h));
	for (size_t i = 0; i < cc_head_count(h); i++) {
		fuzz_note_str(log, cc_head_name(h, i));
		fuzz_note_str(log, cc_head_value(h, i));
	}
}

/* An accepted head holds nothing that could end a line or a field early. */
static inline void fuzz_check_clean(const struct cc_head *h)
{
	for (size_t i = 0; i < cc_head_count(h); i++) {
		struct cc_str name = cc_head_name(h, i), value = cc_head_value(h, i);

		FUZZ_ASSERT(name.n > 0);
		FUZZ_ASSERT(!memchr(name.p, ':', name.n) && !memchr(name.p, ' ', name.n));
		FUZZ_ASSERT(!memchr(name.p, '\r', name.n) && !memchr(name.p, '\n', name.n));
		FUZZ_ASSERT(!memchr(value.p, '\r', value.n) && !memchr(value.p, '\n', value.n));
		FUZZ_ASSERT(!memchr(value.p, '\0', value.n));
	}
}

static inline void fuzz_write(struct cc_buf *out, const struct cc_head *h, enum h1_kind kind)
{
	struct h1_write w = {.framing = H1_FRAME_LENGTH};

	FUZZ_ASSERT((kind == H1_REQUEST ? h1_write_request : h1_write_response)(out, h, &w) == 0);
}

/* Written, read and written again: the same bytes. */
static inline void fuzz_check_round_trip(const struct cc_head *h, enum h1_kind kind)
{
	static const struct h1_limits limits = {.head = 1u << 20, .fields = 1000};
	static char bytes[8 * FUZZ_MAX], again[8 * FUZZ_MAX];
	struct cc_ctx *ctx = fuzz_ctx();
	struct h1_parser *p = h1_parser_new(ctx, kind, &limits);
	struct cc_head *copy = cc_head_new(ctx);
	struct cc_buf out;
	const char *data;
	size_t n, used, len;

	cc_buf_init(&out, ctx);
	fuzz_write(&out, h, kind);
	FUZZ_ASSERT(out.len <= sizeof(bytes));
	n = cc_buf_peek(&out, bytes, sizeof(bytes));
	cc_buf_clear(&out);
	h1_parser_begin(p, copy);
	FUZZ_ASSERT(h1_parser_feed(p, bytes, n, &used, &data, &len) == H1_HEAD);
	FUZZ_ASSERT(used == n);
	fuzz_write(&out, copy, kind);
	FUZZ_ASSERT(cc_buf_peek(&out, again, sizeof(again)) == n && memcmp(bytes, again, n) == 0);
	cc_buf_clear(&out);
	cc_head_free(copy);
	h1_parser_free(p);
}

struct fuzz_run {
	enum h1_kind kind;
	bool no_body, checks;
	struct h1_parser *p;
	struct cc_head *head;
	struct fuzz_log *log;
};

static inline void fuzz_begin(struct fuzz_run *r)
{
	h1_parser_begin(r->p, r->head);
	if (r->no_body)
		h1_parser_no_body(r->p);
}

static inline void fuzz_head_done(struct fuzz_run *r)
{
	bool facts[] = {h1_parser_keep_alive(r->p), h1_parser_until_eof(r->p),
		h1_parser_chunked(r->p), h1_parser_has_body(r->p),
		h1_parser_expects_continue(r->p)};

	fuzz_note(r->log, facts, sizeof(facts));
	fuzz_note_head(r->log, r->head);
	if (r->checks) {
		struct cc_str method = cc_head_method(r->head);

		fuzz_check_clean(r->head);
		/* An empty path has another form only with CONNECT, which hides the authority. */
		if (method.n != 7 || memcmp(method.p, "CONNECT", 7) != 0)
			fuzz_check_round_trip(r->head, r->kind);
	}
}

static inline bool fuzz_take(struct fuzz_run *r, enum h1_event event, const char *data, size_t len)
{
	char mark = (char)('0' + event);

	switch (event) {
	case H1_HEAD:
		fuzz_head_done(r);
		break;
	case H1_BODY:
		fuzz_note(r->log, data, len);
		return true; /* the pieces may differ, the bytes may not */
	case H1_END:
		if (h1_parser_trailers(r->p)) {
			fuzz_check_clean(h1_parser_trailers(r->p));
			fuzz_note_head(r->log, h1_parser_trailers(r->p));
		}
		fuzz_begin(r);
		break;
	case H1_ERROR:
		fuzz_note(r->log, &h1_parser_error(r->p)->status, sizeof(unsigned));
		FUZZ_ASSERT(h1_parser_error(r->p)->status >= 400 && h1_parser_error(r->p)->reason);
		break;
	case H1_MORE:
		return true;
	}
	fuzz_note(r->log, &mark, 1);
	return event != H1_ERROR;
}

static inline bool fuzz_span(struct fuzz_run *r, const uint8_t *bytes, size_t n)
{
	char *span = malloc(n); /* of exact size, for the sanitizer */
	const char *data;
	size_t pos = 0, used, len;
	enum h1_event event;
	bool go_on;

	FUZZ_ASSERT(span);
	memcpy(span, bytes, n);
	do {
		event = h1_parser_feed(r->p, span + pos, n - pos, &used, &data, &len);
		FUZZ_ASSERT(used <= n - pos);
		FUZZ_ASSERT(
			event != H1_BODY || (len > 0 && data >= span && data + len <= span + n));
		pos += used;
		go_on = fuzz_take(r, event, data, len);
	} while (go_on && event != H1_MORE);
	FUZZ_ASSERT(!go_on || pos == n);
	free(span);
	return go_on;
}

/* seed 0: in one piece, 1: byte by byte, else pieces of changing sizes. */
static inline void fuzz_parse(struct fuzz_run *r, const uint8_t *bytes, size_t n, uint32_t seed)
{
	static const struct h1_limits limits = {.head = 1024, .fields = 20, .target = 200};
	size_t pos = 0;
	bool go_on = true;

	r->p = h1_parser_new(fuzz_ctx(), r->kind, &limits);
	r->head = cc_head_new(fuzz_ctx());
	r->log->n = 0;
	fuzz_begin(r);
	while (go_on && pos < n) {
		size_t k = seed == 0 ? n : seed == 1 ? 1 : 1 + (seed >> 16) % 40;

		seed = seed < 2 ? seed : (seed * 1103515245u + 12345u) | 2;
		if (k > n - pos)
			k = n - pos;
		go_on = fuzz_span(r, bytes + pos, k);
		pos += k;
	}
	if (go_on)
		fuzz_take(r, h1_parser_eof(r->p), NULL, 0);
	h1_parser_free(r->p);
	cc_head_free(r->head);
}

/* The first byte of the input is how it is cut, its top bit that of a HEAD request. */
static inline int fuzz_h1(enum h1_kind kind, const uint8_t *bytes, size_t n)
{
	static struct fuzz_log whole, cut;

	if (n < 2 || n > FUZZ_MAX)
		return 0;

	struct fuzz_run r = {.kind = kind, .no_body = kind == H1_RESPONSE && (bytes[0] & 0x80)};
	uint32_t seeds[] = {1, 2u + bytes[0] * 2654435761u};

	r.log = &whole;
	r.checks = true;
	fuzz_parse(&r, bytes + 1, n - 1, 0);
	r.log = &cut;
	r.checks = false;
	for (size_t i = 0; i < 2; i++) {
		fuzz_parse(&r, bytes + 1, n - 1, seeds[i]);
		FUZZ_ASSERT(whole.n == cut.n && memcmp(whole.bytes, cut.bytes, whole.n) == 0);
	}
	return 0;
}

#endif
