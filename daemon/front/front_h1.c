/*
 * front_h1.c - local clients that speak HTTP/1.1 (RFC 9112).
 *
 *   request:   HEAD ──head──> BODY ──last byte──> DONE
 *   response:  NONE ──head──> BODY ──end──> DONE
 *
 * One request at a time: what a client pipelines waits in link->in until the
 * response before it is written, so responses come in order by themselves. While a
 * request runs the socket is still watched: a client that hangs up stops
 * its upstream request.
 *
 * The bytes of a head are kept (raw) until it is known whether the client stays in this worker.
 */
#include <clientconn.h>
#include <clientconn/head.h>

#include "daemon/base/conf.h"
#include "daemon/base/log.h"
#include "daemon/base/service.h"
#include "daemon/front/front_conn.h"
#include "lib/base/ctx.h"
#include "lib/base/str.h"
#include "lib/codec/h1_codec.h"
#include "lib/net/link.h"

#define PIPELINE_MAX 65536u /* bytes of further requests held while one is answered */
#define TARGET_MAX   16384u

enum h1_request { REQUEST_HEAD, REQUEST_BODY, REQUEST_DONE };
enum h1_response { RESPONSE_NONE, RESPONSE_BODY, RESPONSE_DONE };

struct front_h1 {
	struct front_conn *fc;
	struct h1_parser *parser;      /* NULL: no request was begun */
	struct cc_buf raw;             /* the head's bytes so far, unless there is one worker */
	struct cc_head *head;          /* being built; then the service's */
	const struct service *service; /* who answers the request */
	void *call;                    /* of the service, until its response is complete */
	size_t owed;             /* response body bytes in link->out not yet told to the service */
	enum h1_request request; /* how far it was parsed */
	enum h1_response response;
	enum h1_framing framing; /* of the response */
	bool head_method;        /* the request was HEAD */
	bool http10;
	bool keep; /* the client allows another request */
};

static void parse(struct front_h1 *h);

static void call_gone(struct front_h1 *h)
{
	if (h->call)
		h->service->gone(h->call);
	h->call = NULL;
}

/* Request and response are complete, or the response is and the request cannot be. May end fc. */
static void request_over(struct front_h1 *h)
{
	h->owed = 0;
	link_flush(h->fc->link);
	if (h->request != REQUEST_DONE || !h->keep || front_is_last(h->fc)) {
		front_linger(h->fc);
		return;
	}
	h1_parser_free(h->parser); /* an idle client holds as little as possible */
	h->parser = NULL;
	front_idle(h->fc);
}

/* ---- responses ----------------------------------------------------------- */

static void broken_write(struct front_h1 *h)
{
	front_close(h->fc); /* no memory for the response: what is out must not look whole */
}

static void stream_info(void *stream, const struct cc_head *head)
{
	struct front_h1 *h = stream;
	struct h1_write w = {.framing = H1_FRAME_NONE};

	if (h->http10) /* RFC 9110 15.2: a 1.0 client does not know 1xx */
		return;
	if (h1_write_response(&h->fc->link->out, head, &w) < 0)
		broken_write(h);
	else
		link_flush(h->fc->link);
}

/* RFC 9112 6.3 */
static enum h1_framing framing_of(
	const struct front_h1 *h, const struct cc_head *head, int64_t length)
{
	unsigned status = cc_head_status(head);

	if (h->head_method || status == 304)
		return H1_FRAME_AS_IS;
	if (status == 204)
		return H1_FRAME_NONE;
	if (length >= 0)
		return H1_FRAME_LENGTH;
	return h->http10 ? H1_FRAME_EOF : H1_FRAME_CHUNKED;
}

static void stream_head(void *stream, const struct cc_head *head)
{
	struct front_h1 *h = stream;
	int64_t length = cc_head_content_length(head);
	struct h1_write w = {.framing = framing_of(h, head, length)};

	if (w.framing == H1_FRAME_LENGTH)
		w.length = (uint64_t)length;
	if (w.framing == H1_FRAME_EOF || front_is_last(h->fc) ||
		(h->request != REQUEST_DONE && cc_head_status(head) >= 400))
		h->keep = false;
	h->response = RESPONSE_BODY;
	w.close = !h->keep;
	w.keep_alive = h->keep && h->http10;
	h->framing = w.framing;
	if (h1_write_response(&h->fc->link->out, head, &w) < 0)
		broken_write(h);
	else
		link_flush(h->fc->link);
}

static void stream_body(void *stream, struct cc_buf *body)
{
	struct front_h1 *h = stream;
	size_t n = body->len;
	int err;

	if (h->framing == H1_FRAME_NONE || h->framing == H1_FRAME_AS_IS) {
		cc_buf_clear(body); /* a local reply to HEAD */
		return;
	}
	if (h->framing == H1_FRAME_CHUNKED)
		err = h1_write_chunk(&h->fc->link->out, body);
	else
		err = cc_buf_move(&h->fc->link->out, body, n);
	if (err < 0) {
		broken_write(h);
		return;
	}
	h->owed += n;
	link_flush(h->fc->link);
}

static void stream_end(void *stream, const struct cc_head *trailers)
{
	struct front_h1 *h = stream;

	h->call = NULL;
	h->response = RESPONSE_DONE;
	if (h->framing == H1_FRAME_CHUNKED &&
		h1_write_last_chunk(&h->fc->link->out, trailers) < 0) {
		broken_write(h);
		return;
	}
	request_over(h);
}

static void stream_cut(void *stream)
{
	struct front_h1 *h = stream;

	h->call = NULL;
	front_close(h->fc);
}

static void stream_room(void *stream)
{
	struct front_h1 *h = stream;

	link_pause(h->fc->link, false);
	parse(h); /* without bytes, too: the end of the body may be what is left */
}

static const struct stream_ops stream_ops = {
	.info = stream_info,
	.head = stream_head,
	.body = stream_body,
	.end = stream_end,
	.cut = stream_cut,
	.room = stream_room,
};

/* Answered, and the end: nothing more of the request is parsed. */
static void refuse(struct front_h1 *h, unsigned status, const char *detail)
{
	h->keep = false;
	h->request = REQUEST_DONE;
	if (!front_bad_request(h->fc, &stream_ops, h, status, detail))
		front_close(h->fc);
}

static void refuse_for_room(struct front_h1 *h)
{
	h->keep = false;
	h->request = REQUEST_DONE;
	h->fc->all_read = !h1_parser_has_body(h->parser) && h->fc->link->in.len == 0;
	if (!front_no_room(h->fc, &stream_ops, h))
		front_close(h->fc);
}

/* ---- requests ---------------------------------------------------------- */

static bool begin_request(struct front_h1 *h)
{
	const struct conf_listener *lc = h->fc->fl->conf;
	struct h1_limits limits = {
		.head = lc->max_header_size,
		.fields = lc->max_headers,
		.target = TARGET_MAX < lc->max_header_size ? TARGET_MAX : 0,
	};

	h->parser = h1_parser_new(h->fc->ctx, H1_REQUEST, &limits);
	h->head = cc_head_new(h->fc->ctx);
	if (!h->parser || !h->head)
		return false;
	h1_parser_begin(h->parser, h->head);
	h->request = REQUEST_HEAD;
	h->response = RESPONSE_NONE;
	h->head_method = h->http10 = false;
	return true;
}

static void begin_call(struct front_h1 *h, const struct front_home *home)
{
	struct service_request r = {
		.head = h->head,
		.up = home->up,
		.caller = &h->fc->caller,
		.end_stream = !h1_parser_has_body(h->parser),
		.expects = h1_parser_expects_continue(h->parser),
	};

	h->head = NULL;
	h->service = home->service;
	h->call = h->service->begin(home->server, &r, &stream_ops, h);
	if (!h->call)
		front_close(h->fc);
}

/* May end fc. */
static void head_came(struct front_h1 *h)
{
	struct cc_str method = cc_head_method(h->head);
	struct front_home home = front_home_of(h->fc, h->head);

	if (!home.here) {
		front_hand_over(h->fc, home.worker, &h->raw);
		return;
	}
	cc_buf_clear(&h->raw);
	front_head_came(h->fc);
	h->request = REQUEST_BODY;
	h->http10 = h1_parser_minor(h->parser) == 0;
	/* CONNECT is refused, and what follows it was meant for a tunnel. */
	h->keep = h1_parser_keep_alive(h->parser) && !str_is(method, "CONNECT");
	h->head_method = str_is(method, "HEAD");
	if (h->fc->refused)
		refuse_for_room(h);
	else
		begin_call(h, &home);
}

static void body_came(struct front_h1 *h, const char *data, size_t len)
{
	struct cc_buf part;

	if (!h->call)
		return;
	cc_buf_init(&part, h->fc->ctx);
	if (buf_add_slice(&part, &h->fc->link->in, data, len) < 0) {
		front_close(h->fc);
		return;
	}
	h->service->body(h->call, &part, false);
	cc_buf_clear(&part);
}

static void request_came(struct front_h1 *h)
{
	struct cc_head *trailers = h1_parser_trailers(h->parser);
	struct cc_buf none;

	h->request = REQUEST_DONE;
	if (!h->call) {
		if (h->response == RESPONSE_DONE)
			request_over(h);
		return;
	}
	if (!h1_parser_has_body(h->parser))
		return;
	if (trailers) {
		h->service->trailers(h->call, trailers);
		return;
	}
	cc_buf_init(&none, h->fc->ctx);
	h->service->body(h->call, &none, true);
}

/* Bad bytes: a response if none began, else the connection breaks off. */
static void bad_request(struct front_h1 *h)
{
	const struct h1_error *e = h1_parser_error(h->parser);

	if (h->response == RESPONSE_NONE) {
		call_gone(h);
		refuse(h, e->status, e->reason);
		return;
	}
	log_line(h->fc->fl->log, LOG_LEVEL_INFO, "request broken off", "listener=%s detail=\"%s\"",
		h->fc->fl->conf->name, e->reason);
	front_close(h->fc);
}

/* May more of the request be parsed now? Else reading pauses, if too much is there. */
static bool wants_bytes(struct front_h1 *h)
{
	struct front_conn *fc = h->fc;

	if (fc->life != FRONT_ACTIVE)
		return false;
	switch (h->request) {
	case REQUEST_HEAD:
		return true;
	case REQUEST_BODY:
		if (!h->call || h->service->room(h->call) > 0)
			return true;
		front_hold(fc);
		return false;
	case REQUEST_DONE:
		if (fc->link->in.len >= PIPELINE_MAX)
			front_hold(fc);
		return false;
	}
	return false;
}

static void event_came(struct front_h1 *h, enum h1_event ev, const char *data, size_t len)
{
	switch (ev) {
	case H1_MORE:
		break;
	case H1_HEAD:
		head_came(h);
		break;
	case H1_BODY:
		body_came(h, data, len);
		break;
	case H1_END:
		request_came(h);
		break;
	case H1_ERROR:
		bad_request(h);
		break;
	}
}

/* Parsed bytes go; those of a head are kept while it may be another worker's. */
static bool take_bytes(struct front_h1 *h, size_t n)
{
	if (h->fc->fl->single_worker || h->request != REQUEST_HEAD) {
		cc_buf_drain(&h->fc->link->in, n);
	} else if (cc_buf_move(&h->raw, &h->fc->link->in, n) < 0) {
		front_close(h->fc);
		return false;
	}
	return true;
}

/* May end fc. */
static void parse(struct front_h1 *h)
{
	struct link *link = h->fc->link;

	while (wants_bytes(h)) {
		size_t n = 0, used = 0, len = 0;
		const char *data = NULL;
		const char *p = buf_first(&link->in, &n);
		enum h1_event ev;

		/*
		 * Without input the parser may still hold an event: the end of a request without
		 * body.
		 */
		ev = h1_parser_feed(h->parser, p ? p : "", n, &used, &data, &len);
		if (ev != H1_BODY) { /* a body event points into the bytes */
			if (!take_bytes(h, used))
				return;
			used = 0;
		}
		if (ev == H1_MORE && link->in.len == 0) {
			if (link->eof)
				front_close(h->fc);
			else if (h->request == REQUEST_HEAD)
				front_await_head(h->fc);
			return;
		}
		event_came(h, ev, data, len);
		cc_buf_drain(&link->in, used);
	}
}

/* ---- the table ----------------------------------------------------------- */

static bool h1_open(struct front_conn *fc)
{
	struct front_h1 *h = mem_zalloc(fc->ctx, sizeof(*h));

	if (!h)
		return false;
	h->fc = fc;
	cc_buf_init(&h->raw, fc->ctx);
	fc->session = h;
	return true;
}

static void h1_data(struct front_conn *fc)
{
	struct front_h1 *h = fc->session;

	if (!h->parser && !begin_request(h))
		front_close(fc);
	else
		parse(h);
}

static bool h1_eof(struct front_conn *fc)
{
	struct front_h1 *h = fc->session;

	return h->request == REQUEST_DONE;
}

static void h1_written(struct front_conn *fc)
{
	struct front_h1 *h = fc->session;
	size_t left = fc->link->out.len;

	if (h->call && h->owed > left) { /* out holds framing, too: never credits too much */
		size_t gone = h->owed - left;

		h->owed = left;
		h->service->sent(h->call, gone);
	}
}

static void h1_late(struct front_conn *fc)
{
	struct front_h1 *h = fc->session;

	if (h->request == REQUEST_HEAD)
		refuse(h, 408, "the request head did not arrive within header_timeout");
}

static void h1_gone(struct front_conn *fc)
{
	call_gone(fc->session);
}

static void h1_free(struct front_conn *fc)
{
	struct front_h1 *h = fc->session;

	h1_parser_free(h->parser);
	cc_head_free(h->head);
	cc_buf_clear(&h->raw);
	mem_free(fc->ctx, h);
}

const struct front_proto front_h1 = {
	.name = "h1",
	.open = h1_open,
	.data = h1_data,
	.eof = h1_eof,
	.written = h1_written,
	.late = h1_late,
	.gone = h1_gone,
	.free = h1_free,
};
