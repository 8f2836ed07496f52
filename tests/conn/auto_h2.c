/*
 * auto_h2.c - the automatic server, HTTP/2: a server session of nghttp2, and what it would never
 * say.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/codec/h2_glue.h"
#include "tests/conn/auto_peer.h"

enum { PREFACE = 24, FRAME_HEAD = 9 };

static struct heard *of_stream(struct auto_peer *a, int32_t stream)
{
	for (unsigned i = 0; i < a->count; i++) {
		if (a->heard[i].stream == stream)
			return &a->heard[i];
	}
	return NULL;
}

/* ---- what comes ---------------------------------------------------------------------- */

static int on_begin_headers(nghttp2_session *s, const nghttp2_frame *f, void *arg)
{
	struct auto_peer *a = arg;

	(void)s;
	if (f->headers.cat == NGHTTP2_HCAT_REQUEST) {
		struct heard *h = auto_hear(a, 0);

		h->stream = f->hd.stream_id;
	}
	return 0;
}

static int on_header(nghttp2_session *s, const nghttp2_frame *f, const uint8_t *name, size_t n,
	const uint8_t *value, size_t value_len, uint8_t flags, void *arg)
{
	struct auto_peer *a = arg;
	struct heard *h = of_stream(a, f->hd.stream_id);

	(void)s, (void)flags;
	if (!h)
		return 0;
	if (n == 5 && memcmp(name, ":path", 5) == 0) {
		uint32_t token = (uint32_t)strtoul((const char *)value + 1, NULL, 16);
		struct heard *before = auto_peer_find(a, token);

		h->token = token;
		if (before)
			h->times += before->times;
	} else if (n == 7 && memcmp(name, ":method", 7) == 0) {
		h->head_request = value_len == 4 && memcmp(value, "HEAD", 4) == 0;
	} else if (f->headers.cat != NGHTTP2_HCAT_REQUEST) {
		h->trailers = true;
	}
	return 0;
}

static int on_frame(nghttp2_session *s, const nghttp2_frame *f, void *arg)
{
	struct auto_peer *a = arg;
	struct heard *h = of_stream(a, f->hd.stream_id);

	(void)s;
	if (f->hd.type == NGHTTP2_SETTINGS && (f->hd.flags & NGHTTP2_FLAG_ACK))
		a->settings_unacked =
			nghttp2_session_get_local_settings(
				s, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS) != a->max_streams;
	if (!h || (f->hd.type != NGHTTP2_HEADERS && f->hd.type != NGHTTP2_DATA))
		return 0;
	if (f->hd.type == NGHTTP2_HEADERS && f->headers.cat == NGHTTP2_HCAT_REQUEST)
		auto_plan(a, h);
	if (f->hd.flags & NGHTTP2_FLAG_END_STREAM)
		h->ended = true;
	return 0;
}

static int on_data(nghttp2_session *s, uint8_t flags, int32_t stream, const uint8_t *bytes,
	size_t n, void *arg)
{
	struct heard *h = of_stream(arg, stream);

	(void)s, (void)flags;
	ck_assert_ptr_nonnull(h);
	auto_body(h, (const char *)bytes, n);
	return 0;
}

static int on_stream_close(nghttp2_session *s, int32_t stream, uint32_t code, void *arg)
{
	struct heard *h = of_stream(arg, stream);

	(void)s, (void)code;
	if (h)
		h->closed = true;
	return 0;
}

/* The client must keep the rules, but it may not know yet of a limit that fell. */
static int on_invalid(nghttp2_session *s, const nghttp2_frame *f, int code, void *arg)
{
	(void)s, (void)arg;
	ck_assert_msg(code == NGHTTP2_ERR_REFUSED_STREAM || code == NGHTTP2_ERR_STREAM_CLOSED,
		"the client broke HTTP/2: frame %u of stream %d: %s", f->hd.type, f->hd.stream_id,
		nghttp2_strerror(code));
	return 0;
}

/* ---- what goes ------------------------------------------------------------------------- */

static int on_sent(nghttp2_session *s, const nghttp2_frame *f, void *arg)
{
	struct auto_peer *a = arg;
	struct heard *h = of_stream(a, f->hd.stream_id);

	(void)s;
	if (f->hd.type == NGHTTP2_GOAWAY) {
		for (unsigned i = 0; i < a->count; i++)
			a->heard[i].refused |= a->heard[i].stream > f->goaway.last_stream_id;
	}
	if (!h)
		return 0;
	if (f->hd.type == NGHTTP2_RST_STREAM) {
		h->refused |= f->rst_stream.error_code == NGHTTP2_REFUSED_STREAM;
		h->reset = true;
	} else if ((f->hd.type == NGHTTP2_DATA || f->hd.type == NGHTTP2_HEADERS) &&
		   (f->hd.flags & NGHTTP2_FLAG_END_STREAM)) {
		h->done = h->plan.fault != FAULT_SHORT;
	}
	return 0;
}

static nghttp2_ssize give(nghttp2_session *s, int32_t stream, uint8_t *buf, size_t room,
	uint32_t *flags, nghttp2_data_source *source, void *arg)
{
	struct auto_peer *a = arg;
	struct heard *h = of_stream(a, stream);
	const struct plan *p = &h->plan;
	size_t most = p->fault == FAULT_RESET   ? p->cut
	              : p->fault == FAULT_SHORT ? p->length / 2
	                                        : p->length;
	size_t n = most - h->sent;
	nghttp2_nv sum = {(uint8_t *)"x-sum", (uint8_t *)"1", 5, 1, NGHTTP2_NV_FLAG_NONE};

	(void)source;
	if (p->hold || (n == 0 && p->fault == FAULT_RESET))
		return NGHTTP2_ERR_DEFERRED;
	if (n > room)
		n = room;
	if (n > 1 && chance(&a->dice, 40))
		n = 1 + below(&a->dice, (unsigned)n);
	token_bytes(h->token, SIDE_ANSWER, h->sent, buf, n);
	h->sent += n;
	if (h->sent < most || p->fault == FAULT_RESET)
		return (nghttp2_ssize)n;
	*flags |= NGHTTP2_DATA_FLAG_EOF;
	if (p->trailers && p->fault == FAULT_NONE) {
		*flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
		nghttp2_submit_trailer(s, stream, &sum, 1);
	}
	return (nghttp2_ssize)n;
}

static nghttp2_nv field(const char *name, char *value)
{
	return (nghttp2_nv){(uint8_t *)(uintptr_t)name, (uint8_t *)value, strlen(name),
		strlen(value), NGHTTP2_NV_FLAG_NONE};
}

static void answer(struct auto_peer *a, struct heard *h)
{
	const struct plan *p = &h->plan;
	char status[8], token[16], length[24], early[] = "103";
	nghttp2_nv info = field(":status", early), nv[3];
	nghttp2_data_provider2 body = {.read_callback = give};
	size_t n = 0;

	h->begun = true;
	if (p->fault == FAULT_RESET && p->before_head)
		return;
	for (unsigned i = 0; i < p->infos; i++)
		nghttp2_submit_headers(
			a->session, NGHTTP2_FLAG_NONE, h->stream, NULL, &info, 1, NULL);
	snprintf(status, sizeof(status), "%u", p->status);
	snprintf(token, sizeof(token), "%08x", h->token);
	snprintf(length, sizeof(length), "%zu", p->length);
	nv[n++] = field(":status", status);
	nv[n++] = field("x-token", token);
	if (!h->bodyless && (p->framing == FRAMED_LENGTH || p->fault == FAULT_SHORT))
		nv[n++] = field("content-length", length);
	ck_assert_int_eq(
		nghttp2_submit_response2(a->session, h->stream, nv, n, h->bodyless ? NULL : &body),
		0);
}

static void go_on(struct auto_peer *a, struct heard *h)
{
	const struct plan *p = &h->plan;

	if (h->closed || h->refused || h->token == 0 || p->status == 0)
		return;
	if (!h->begun && !p->hold && (h->ended || p->early))
		answer(a, h);
	else if (h->begun && !p->hold)
		nghttp2_session_resume_data(a->session, h->stream);
	if (h->begun && !h->reset && p->fault == FAULT_RESET &&
		(p->before_head || h->bodyless || h->sent >= p->cut) && chance(&a->dice, 50)) {
		nghttp2_submit_rst_stream(a->session, NGHTTP2_FLAG_NONE, h->stream, p->code);
		h->reset = true;
	}
	/* RFC 9113 8.1: a whole answer, and no wish for the rest of the request. */
	if (h->done && !h->ended && !h->reset && chance(&a->dice, 50)) {
		nghttp2_submit_rst_stream(
			a->session, NGHTTP2_FLAG_NONE, h->stream, NGHTTP2_NO_ERROR);
		h->reset = true;
	}
}

/* Requests are counted as their HEADERS come in, whatever the session makes of them. */
static void scan(struct auto_peer *a)
{
	const struct peer *p = a->peer;

	if (a->preface < PREFACE) {
		if (p->in_len < PREFACE)
			return;
		a->preface = a->scanned = PREFACE;
	}
	while (a->scanned + FRAME_HEAD <= p->in_len) {
		const unsigned char *f = (const unsigned char *)p->in + a->scanned;
		int32_t stream = (int32_t)(f[5] << 24 | f[6] << 16 | f[7] << 8 | f[8]);

		if (f[3] == H2_HEADERS && stream > a->last_stream) {
			a->last_stream = stream;
			a->started++;
		}
		a->scanned += FRAME_HEAD + ((size_t)f[0] << 16 | (size_t)f[1] << 8 | f[2]);
	}
}

/* All of it: what stands in nghttp2's queue counts for it as neither open nor closed. */
static void fill(struct auto_peer *a)
{
	const uint8_t *bytes;
	nghttp2_ssize n;

	while ((n = nghttp2_session_mem_send2(a->session, &bytes)) > 0)
		auto_out(a, bytes, (size_t)n);
	ck_assert_int_eq(n, 0);
	a->greeted = true;
}

void h2_think(struct auto_peer *a)
{
	struct peer *p = a->peer;
	size_t n;
	nghttp2_ssize used;

	scan(a);
	if (a->stalled || a->spoilt) {
		if (a->spoilt && a->out_at == a->out_len && chance(&a->dice, 10))
			auto_peer_hang_up(a, true);
		return;
	}
	n = a->scanned < p->in_len ? a->scanned : p->in_len;
	used = nghttp2_session_mem_recv2(a->session, (const uint8_t *)p->in, n);
	ck_assert_msg(used == (nghttp2_ssize)n, "the client broke HTTP/2: %s",
		nghttp2_strerror((int)used));
	p->in_len -= n;
	memmove(p->in, p->in + n, p->in_len + 1);
	a->scanned -= n;
	for (unsigned i = 0; i < a->count; i++)
		go_on(a, &a->heard[i]);
	fill(a);
	if (a->last_goaway < INT32_MAX && a->out_at == a->out_len && !a->gone && !p->eof &&
		!nghttp2_session_want_read(a->session) && !nghttp2_session_want_write(a->session))
		auto_peer_hang_up(a, true);
}

/* ---- what it does unasked ---------------------------------------------------------------- */

void auto_peer_settings(struct auto_peer *a, uint32_t max_streams)
{
	nghttp2_settings_entry e = {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, max_streams};

	if (a->spoilt || a->gone || a->max_streams == max_streams)
		return;
	a->max_streams = max_streams;
	a->settings_unacked = true;
	ck_assert_int_eq(nghttp2_submit_settings(a->session, NGHTTP2_FLAG_NONE, &e, 1), 0);
}

/* Nothing that was answered is taken back, and the number never grows. */
void auto_peer_goaway(struct auto_peer *a)
{
	static const uint32_t codes[] = {NGHTTP2_NO_ERROR, NGHTTP2_NO_ERROR,
		NGHTTP2_ENHANCE_YOUR_CALM, NGHTTP2_INTERNAL_ERROR};
	uint32_t code = codes[below(&a->dice, 4)];
	int32_t last = 0;

	if (a->spoilt || a->gone)
		return;
	for (unsigned i = 0; i < a->count; i++) {
		if ((a->heard[i].begun || chance(&a->dice, 70)) && a->heard[i].stream > last)
			last = a->heard[i].stream;
	}
	a->asked_to_leave = true;
	if (a->last_goaway == INT32_MAX &&
		chance(&a->dice, 40)) { /* RFC 9113 6.8: the first of two */
		nghttp2_submit_shutdown_notice(a->session);
		return;
	}
	if (last > a->last_goaway)
		last = a->last_goaway;
	a->last_goaway = last;
	a->broken |= code == NGHTTP2_INTERNAL_ERROR;
	nghttp2_submit_goaway(a->session, NGHTTP2_FLAG_NONE, last, code, NULL, 0);
}

void auto_peer_reset(struct auto_peer *a)
{
	struct heard *h = a->count > 0 ? &a->heard[below(&a->dice, a->count)] : NULL;

	if (!h || h->closed || h->begun || h->refused)
		return;
	h->plan.fault = FAULT_RESET;
	h->plan.before_head = true;
	h->plan.code = chance(&a->dice, 50) ? H2_REFUSED_STREAM : below(&a->dice, 14);
	h->plan.hold = false;
	h->plan.early = true;
}

static void frame(struct auto_peer *a, enum h2_type type, unsigned flags, uint32_t stream,
	const void *payload, size_t n)
{
	unsigned char head[FRAME_HEAD] = {0, 0, (unsigned char)n, (unsigned char)type,
		(unsigned char)flags, (unsigned char)(stream >> 24), (unsigned char)(stream >> 16),
		(unsigned char)(stream >> 8), (unsigned char)stream};

	auto_out(a, head, sizeof(head));
	auto_out(a, payload, n);
}

/* Half of these a client must bear, the others end the connection. */
bool h2_disturb(struct auto_peer *a)
{
	static const unsigned char zero[17], push[8] = {0, 0, 0, 2, 0x82, 0x84, 0x86, 0x41};

	if (a->spoilt || !a->greeted || a->out_at < a->out_len)
		return false;
	switch (below(&a->dice, 8)) {
	case 0:
		frame(a, 0xbe, 0xff, 0, zero, 17); /* a type that nobody knows */
		return true;
	case 1:
	case 2:
		frame(a, H2_PING, 0, 0, zero, 8);
		return true;
	case 3:
		nghttp2_submit_settings(a->session, NGHTTP2_FLAG_NONE, NULL, 0);
		return true;
	case 4:
		frame(a, H2_PUSH_PROMISE, H2_END_HEADERS, 1, push, 8);
		break;
	case 5:
		frame(a, H2_DATA, 0, 0, zero, 4);
		break;
	case 6:
		frame(a, H2_WINDOW_UPDATE, 0, 0, zero, 4);
		break;
	default:
		frame(a, H2_CONTINUATION, 0, 1, zero, 4);
		break;
	}
	a->spoilt = true;
	return true;
}

void h2_behave(struct auto_peer *a)
{
	if (a->max_streams < 5)
		auto_peer_settings(a, 5);
}

/* ---- life ---------------------------------------------------------------------------------- */

void h2_start(struct auto_peer *a)
{
	static const uint32_t limits[] = {0, 1, 1, 2, 3, 5, 10, 100, 1000};
	nghttp2_settings_entry e = {
		NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, limits[below(&a->dice, 9)]};
	nghttp2_session_callbacks *cb;

	ck_assert_int_eq(nghttp2_session_callbacks_new(&cb), 0);
	nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin_headers);
	nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
	nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
	nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
	nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(cb, on_invalid);
	nghttp2_session_callbacks_set_on_frame_send_callback(cb, on_sent);
	ck_assert_int_eq(nghttp2_session_server_new(&a->session, cb, a), 0);
	nghttp2_session_callbacks_del(cb);
	if (chance(&a->dice, 80)) {
		a->max_streams = e.value;
		a->settings_unacked = true;
	}
	nghttp2_submit_settings(
		a->session, NGHTTP2_FLAG_NONE, &e, a->max_streams == UINT32_MAX ? 0 : 1);
}

void h2_stop(struct auto_peer *a)
{
	nghttp2_session_del(a->session);
	a->session = NULL;
}
