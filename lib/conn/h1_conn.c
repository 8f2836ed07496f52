/*
 * h1_conn.c - the HTTP/1.1 client driver (RFC 9112): one request at a time.
 *
 *   submit: head ─> link->out          on_written: the first byte is out
 *   on_data: h1_parser ─> info, head, body slices, end ─> conn_req_*()
 *
 * The connection is used again only if nothing speaks against it: both
 * messages complete, both sides willing, no byte behind the answer (9.2, 9.3, 9.5).
 *
 * Servers close idle connections whenever they like, so before a request goes
 * out on one that was idle the kernel is asked once more: what was not written can
 * go elsewhere whatever its method.
 */
#include <string.h>

#include <clientconn/head.h>

#include "lib/base/ctx.h"
#include "lib/base/str.h"
#include "lib/codec/h1_codec.h"
#include "lib/conn/conn.h"
#include "lib/conn/proto.h"
#include "lib/net/link.h"

#define OUT_MAX       65536u /* body bytes in the link; the rest waits in the request */
#define LEFTOVER_MAX  65536u /* of an answer that nobody wants: more costs a new connection */
#define LEFTOVER_TIME 50u    /* ms */

struct h1_conn {
	struct cc_conn *conn;
	struct link *link;
	struct h1_parser *parser;
	struct cc_head *head; /* of the answer; only while a request runs */
	struct cc_req *req;   /* the one that runs, NULL: idle */
	bool chunked;         /* its body goes out in chunks */
	size_t head_bytes;    /* read of the answer's head, interim ones apart */
	bool was_idle;        /* the request begins on a connection that was idle */
	bool reused;          /* ... and that has carried others before */
	size_t leftover;      /* bytes read of an answer that nobody wants */
	struct timer give_up; /* runs while such an answer comes in */
};

static struct h1_conn *driver(struct cc_conn *conn)
{
	return conn->driver;
}

static bool is_closed(const struct h1_conn *h)
{
	return h->conn->st.state == CC_CLOSED;
}

/* ---- the request out --------------------------------------------------- */

static bool method_has_content(struct cc_str m)
{
	/* RFC 9110 8.6: with these a server expects a length even when it is 0. */
	return str_is(m, "POST") || str_is(m, "PUT") || str_is(m, "PATCH");
}

static struct h1_write framing_of(const struct cc_req *req, const struct cc_head *head)
{
	struct h1_write w = {.framing = H1_FRAME_NONE};
	int64_t length = cc_head_content_length(head);

	if (length >= 0) {
		w.framing = H1_FRAME_LENGTH;
		w.length = (uint64_t)length;
	} else if (!req->bodiless) {
		w.framing = H1_FRAME_CHUNKED;
	} else if (method_has_content(cc_head_method(head))) {
		w.framing = H1_FRAME_LENGTH;
	}
	return w;
}

static int h1_submit(struct cc_conn *conn, struct cc_req *req, const struct cc_head *head)
{
	struct h1_conn *h = driver(conn);
	struct h1_write w = framing_of(req, head);
	int err;

	h->head = cc_head_new(conn->ctx);
	if (!h->head)
		return CC_ENOMEM;
	err = h1_write_request(&h->link->out, head, &w);
	if (err < 0) {
		cc_head_free(h->head);
		h->head = NULL;
		return err;
	}
	h->req = req;
	req->on_wire = true;
	h->chunked = w.framing == H1_FRAME_CHUNKED;
	h->head_bytes = 0;
	h->reused = conn->st.completed > 0;
	h->was_idle = conn->last_read != ctx_now(conn->ctx);
	h1_parser_begin(h->parser, h->head);
	if (req->no_body)
		h1_parser_no_body(h->parser);
	if (req->bodiless)
		conn_req_sent(req);
	link_flush(h->link);
	return 0;
}

/* Moves body bytes to the link as far as it has room. 0 or CC_ENOMEM. */
static int fill(struct h1_conn *h)
{
	struct cc_req *req = h->req;
	struct cc_buf *out = &h->link->out;
	size_t n, room;
	struct cc_buf part;
	int err;

	if (!req || req->out_done)
		return 0;
	room = out->len < OUT_MAX ? OUT_MAX - out->len : 0;
	n = req->out.len < room ? req->out.len : room;
	if (n > 0) {
		cc_buf_init(&part, h->conn->ctx);
		err = cc_buf_move(&part, &req->out, n);
		if (err == 0)
			err = h->chunked ? h1_write_chunk(out, &part) : cc_buf_move(out, &part, n);
		cc_buf_clear(&part);
		if (err < 0)
			return err;
		conn_req_took(req, n);
	}
	if (!req->out_eos || req->out.len > 0)
		return 0;
	if (h->chunked) {
		err = h1_write_last_chunk(out, req->out_trailers);
		if (err < 0)
			return err;
	}
	conn_req_sent(req);
	return 0;
}

static void h1_send(struct cc_conn *conn, struct cc_req *req)
{
	(void)req;
	link_flush(driver(conn)->link);
}

/* RFC 9112 6.3: another length than announced would shift all that follows. */
static void h1_fail(struct cc_conn *conn, struct cc_req *req, int err)
{
	(void)req;
	conn_close(conn, CC_REASON_NOT_REUSABLE, err,
		"a request body of another length than announced");
}

static void on_flush(struct link *l)
{
	struct h1_conn *h = l->owner;

	if (h->req && h->req->phase == CC_PHASE_QUEUED && (h->was_idle || link_unread(l))) {
		h->was_idle = false;
		link_read_now(l);
		if (is_closed(h))
			return;
	}
	if (fill(h) < 0)
		conn_close(h->conn, CC_REASON_MEMORY, CC_ENOMEM, "sending the request body");
}

static void on_written(struct link *l, size_t n)
{
	struct h1_conn *h = l->owner;
	struct cc_req *req = h->req;

	(void)n;
	if (!req)
		return;
	if (req->phase == CC_PHASE_QUEUED)
		req->phase = req->out_done ? CC_PHASE_WAITING : CC_PHASE_SENDING;
	if (!req->out_done && (req->out.len > 0 || req->out_eos))
		link_flush(l);
}

/* ---- the answer in ----------------------------------------------------- */

/* All of the request is with the kernel: what comes next is about the next one. */
static bool was_written(const struct h1_conn *h)
{
	return h->req->out_done && h->link->out.len == 0 && h->link->writing != LINK_OUT_FAILED;
}

/* The message is over; h->req is told and forgotten. */
static void finish(struct h1_conn *h)
{
	struct cc_req *req = h->req;
	struct cc_conn *conn = h->conn;
	bool written = was_written(h);
	bool again =
		h1_parser_keep_alive(h->parser) && written && h->link->in.len == 0 && !h->link->eof;
	struct cc_head *head = h->head;

	h->req = NULL;
	h->head = NULL;
	timer_stop(&h->give_up);
	link_pause(h->link, false); /* the window was this request's */
	if (!again)
		conn_draining(conn, CC_REASON_NOT_REUSABLE, CC_ECLOSED,
			h->link->in.len ? "bytes behind the response"
			: written       ? "closed after the response"
					: "response before the request was complete");
	conn_req_end(req, 0, false, NULL, h1_parser_trailers(h->parser));
	cc_head_free(head);
}

/* RFC 9110 15.5.9: the server's idle timeout crossed our request, which it may not have seen. */
static bool crossed(const struct h1_conn *h)
{
	return cc_head_status(h->head) == 408 && h->reused && h->req->out_done &&
	       h->req->interim == 0 && !h1_parser_keep_alive(h->parser);
}

/* 0: go on feeding, 1: stop. */
static int on_interim(struct h1_conn *h)
{
	struct cc_req *req = h->req;
	size_t size = h->head_bytes;

	if (cc_head_status(h->head) == 101) {
		conn_close(h->conn, CC_REASON_PROTOCOL, CC_EPROTO,
			"101 although no upgrade was asked for");
		return 1;
	}
	h->head_bytes = 0;
	if (conn_req_info(req, h->head, size) < 0) {
		conn_close(h->conn, CC_REASON_PROTOCOL, CC_ETOOBIG, "too many interim responses");
		return 1;
	}
	return is_closed(h) || h->req != req;
}

static int on_head(struct h1_conn *h)
{
	struct cc_req *req = h->req;

	if (cc_head_status(h->head) < 200)
		return on_interim(h);
	if (crossed(h)) {
		conn_close(h->conn, CC_REASON_PEER_IDLE, CC_EEOF,
			"the server's idle timeout crossed the request (408)");
		return 1;
	}
	if (!h1_parser_keep_alive(h->parser)) /* the owner can look for another one already */
		conn_draining(h->conn, CC_REASON_CONNECTION_CLOSE, CC_ECLOSED,
			"the server closes after this response");
	conn_req_head(req, h->head);
	return is_closed(h) || h->req != req;
}

static void pause_if_full(struct h1_conn *h)
{
	if (h->req && h->req->ops && h->req->uncredited + h->req->in.len >= h->conn->set.window)
		link_pause(h->link, true);
}

static int on_body(struct h1_conn *h, const char *data, size_t len)
{
	struct cc_req *req = h->req;

	if (!req->ops) { /* given up: read only to use the connection again */
		h->leftover += len;
		if (h->leftover <= LEFTOVER_MAX)
			return 0;
		conn_close(h->conn, CC_REASON_NOT_REUSABLE, CC_ECLOSED, "request canceled");
		return 1;
	}
	if (buf_add_slice(&req->in, &h->link->in, data, len) < 0) {
		conn_close(h->conn, CC_REASON_MEMORY, CC_ENOMEM, NULL);
		return 1;
	}
	req->received += len;
	conn_req_body(req);
	if (is_closed(h) || h->req != req)
		return 1;
	pause_if_full(h);
	return 0;
}

static int on_end(struct h1_conn *h)
{
	if (cc_head_status(h->head) < 200) { /* interim: the real answer follows */
		h1_parser_begin(h->parser, h->head);
		if (h->req->no_body)
			h1_parser_no_body(h->parser);
		return 0;
	}
	finish(h);
	return 1;
}

static void parse_failed(struct h1_conn *h, const struct h1_error *e)
{
	if (e->status == 503) /* it is not the server's fault */
		conn_close(h->conn, CC_REASON_MEMORY, CC_ENOMEM, NULL);
	else
		conn_close(h->conn, CC_REASON_PROTOCOL, e->status == 431 ? CC_ETOOBIG : CC_EPROTO,
			e->reason);
}

static int on_event(struct h1_conn *h, enum h1_event ev, const char *data, size_t len)
{
	switch (ev) {
	case H1_MORE:
		return 0;
	case H1_HEAD:
		return on_head(h);
	case H1_BODY:
		return on_body(h, data, len);
	case H1_END:
		return on_end(h);
	case H1_ERROR:
		break;
	}
	parse_failed(h, h1_parser_error(h->parser));
	return 1;
}

static void on_data(struct link *l)
{
	struct h1_conn *h = l->owner;
	bool stop = false;

	conn_was_read(h->conn);
	while (!stop && !is_closed(h)) {
		size_t n = 0, used = 0, len = 0;
		const char *data = NULL;
		const char *p = buf_first(&l->in, &n);
		enum h1_event ev;

		if (!h->req ||
			h->req->phase ==
				CC_PHASE_QUEUED) { /* none of it was written: not its answer */
			if (l->in.len > 0)
				conn_close(h->conn, CC_REASON_NOT_REUSABLE, CC_EPROTO,
					"unasked bytes from the server");
			return;
		}
		/* Without input, too, an event may come: the end of a message without body. */
		ev = h1_parser_feed(h->parser, p ? p : "", p ? n : 0, &used, &data, &len);
		if (!h->req->head_seen)
			h->head_bytes += used;
		if (ev == H1_BODY) {
			stop = on_event(h, ev, data, len);
			cc_buf_drain(&l->in, used);
			continue;
		}
		cc_buf_drain(&l->in, used);
		if (ev == H1_MORE && l->in.len == 0)
			return;
		stop = on_event(h, ev, data, len);
	}
}

static void on_eof(struct link *l, bool clean)
{
	struct h1_conn *h = l->owner;
	struct cc_req *req = h->req;

	if (!req || req->phase == CC_PHASE_QUEUED)
		conn_close(h->conn, CC_REASON_PEER_IDLE, CC_EEOF,
			"the server closed the idle connection");
	else if (h1_parser_eof(h->parser) != H1_END)
		conn_close(h->conn, CC_REASON_EOF, CC_EEOF,
			req->head_seen ? "the server closed in the middle of the response"
				       : "the server closed without a response");
	else if (!clean)
		conn_close(h->conn, CC_REASON_EOF, CC_EEOF,
			"TLS truncation: no close_notify (RFC 9112 9.8)");
	else
		finish(h); /* its end was the connection's */
}

static void on_error(struct link *l, int err)
{
	struct h1_conn *h = l->owner;

	conn_broke(h->conn, err, link_detail(l));
}

static const struct link_ops ops = {
	.on_data = on_data,
	.on_eof = on_eof,
	.on_error = on_error,
	.on_written = on_written,
	.on_flush = on_flush,
};

/* ---- the table --------------------------------------------------------- */

static void give_up(struct timer *t)
{
	struct h1_conn *h = container_of(t, struct h1_conn, give_up);

	conn_close(h->conn, CC_REASON_NOT_REUSABLE, CC_ECLOSED, "request canceled");
}

static int h1_open(struct cc_conn *conn, const struct dialled *carrier)
{
	struct link *link = carrier->link;
	struct h1_limits limits = {.head = conn->set.max_head, .fields = 1000};
	struct h1_conn *h = mem_zalloc(conn->ctx, sizeof(*h));

	if (!h) {
		link_free(link);
		return CC_ENOMEM;
	}
	conn->driver = h;
	h->conn = conn;
	h->link = link;
	timer_init(&h->give_up, give_up);
	link_set_owner(link, &ops, h);
	/* The answer may be there, behind what the owner has not taken yet. */
	link->read_before_fail = true;
	h->parser = h1_parser_new(conn->ctx, H1_RESPONSE, &limits);
	return h->parser ? 0 : CC_ENOMEM;
}

static void h1_consumed(struct cc_conn *conn, struct cc_req *req, size_t n)
{
	struct h1_conn *h = driver(conn);

	(void)n;
	if (h->link->paused && req->uncredited + req->in.len <= conn->set.window / 2)
		link_pause(h->link, false);
}

/* Nothing of it was offered to the kernel: the connection is as it was. */
static bool take_back(struct h1_conn *h, struct cc_req *req)
{
	if (req->phase != CC_PHASE_QUEUED || link_blocked(h->link))
		return false;
	cc_buf_clear(&h->link->out);
	cc_head_free(h->head);
	h->head = NULL;
	h->req = NULL;
	conn_req_unsent(req);
	return true;
}

/* What is announced of the answer and has not come. -1: unknown. */
static int64_t announced(const struct h1_conn *h, const struct cc_req *req)
{
	unsigned status = cc_head_status(h->head);
	int64_t length = cc_head_content_length(h->head);

	if (req->no_body || status == 204 || status == 304) /* a length of what does not come */
		return 0;
	return length < 0 ? length : length - (int64_t)req->received;
}

/* The rest of the answer is short, as far as one can tell: cheaper than a new connection. */
static bool read_leftover(struct h1_conn *h, struct cc_req *req)
{
	if (!req->head_seen || !req->out_done || h->conn->st.state != CC_READY ||
		announced(h, req) > (int64_t)LEFTOVER_MAX)
		return false;
	timer_start(h->conn->ctx, &h->give_up, LEFTOVER_TIME);
	h->leftover = 0;
	cc_buf_clear(&req->in);
	link_pause(h->link, false);
	return true;
}

/* HTTP/1 has no other way to stop an answer than to close (RFC 9112 9.5). */
static void h1_cancel(struct cc_conn *conn, struct cc_req *req)
{
	struct h1_conn *h = driver(conn);

	if (!take_back(h, req) && !read_leftover(h, req))
		conn_close(conn, CC_REASON_NOT_REUSABLE, CC_ECLOSED, "request canceled");
}

static void h1_close(struct cc_conn *conn)
{
	struct h1_conn *h = driver(conn);

	if (!h || !h->link)
		return;
	timer_stop(&h->give_up);
	/* The rest of a request helps nobody, and one that counts as unsent must stay unsent. */
	if (h->link->out.len > 0 ||
		(h->req && (!h->req->out_done || h->req->phase == CC_PHASE_QUEUED)))
		link_abort(h->link);
	else
		link_close(h->link);
}

static void h1_free(struct cc_conn *conn)
{
	struct h1_conn *h = driver(conn);

	if (!h)
		return;
	link_free(h->link);
	h1_parser_free(h->parser);
	cc_head_free(h->head);
	mem_free(conn->ctx, h);
	conn->driver = NULL;
}

const struct cc_proto h1_proto = {
	.id = CC_PROTO_H1,
	.open = h1_open,
	.submit = h1_submit,
	.send = h1_send,
	.fail = h1_fail,
	.consumed = h1_consumed,
	.cancel = h1_cancel,
	.close = h1_close,
	.free = h1_free,
};
