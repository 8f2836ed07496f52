/*
 * h2_conn.c - the HTTP/2 client driver (RFC 9113), on nghttp2.
 *
 *   submit ─> nghttp2_submit_request2 ─> (turn) on_flush: h2_pump ─> link->out
 *   on_data ─> nghttp2_session_mem_recv2 ─> callbacks of h2_recv.c ─> conn_req_*()
 *
 * Three rules keep the engine honest. It never gets a request above the peer's
 * stream limit, because it would queue it where nobody can move it: slots are
 * counted by conn_state. Sending and receiving are never called from its
 * callbacks: those submit, and the flush stage sends. And it does not tell of
 * requests it drops when it is deleted: the list of requests is conn.c's.
 *
 * Flow control: the connection's window is given back as soon as bytes arrive,
 * the stream's only when they have left for the client (cc_req_consumed). So a
 * reader that stops holds one stream's window and nobody else's.
 *
 * A request that is given up before its answer began keeps its slot until the
 * peer acknowledged a PING sent beside the RST_STREAM. Else a server that is
 * gone would be fed with requests, each cancelled when its time is over.
 */
#include <stdio.h>
#include <string.h>

#include <clientconn/head.h>

#include "lib/base/ctx.h"
#include "lib/codec/h2_glue.h"
#include "lib/conn/h2_int.h"
#include "lib/conn/proto.h"
#include "lib/net/link.h"

#define OUT_MAX     65536u /* bytes in the link; the rest waits in the requests */
#define LAST_STREAM 0x7fffffffu

static struct h2_conn *driver(struct cc_conn *conn)
{
	return conn->driver;
}

/* ---- shared with h2_recv.c ----------------------------------------------- */

void h2_note(struct h2_conn *h, int rv)
{
	if (rv != NGHTTP2_ERR_NOMEM)
		return;
	h->low_memory = true;
	h2_flush(h);
}

void h2_spare_ids(struct h2_conn *h, uint32_t next)
{
	uint32_t left = next > LAST_STREAM ? 0 : (LAST_STREAM - next) / 2 + 1;

	if (left < conn_state_at_once(&h->conn->st))
		conn_draining(h->conn, CC_REASON_STREAM_IDS, CC_ECLOSED, "stream ids used up");
}

enum cc_why h2_why_of(uint64_t code, bool of_goaway)
{
	switch (code) {
	case NGHTTP2_NO_ERROR:
		return of_goaway ? CC_WHY_GOAWAY : CC_WHY_OTHER;
	case NGHTTP2_REFUSED_STREAM:
		return CC_WHY_REFUSED;
	case NGHTTP2_ENHANCE_YOUR_CALM:
		return CC_WHY_CALM;
	default:
		return CC_WHY_OTHER;
	}
}

void h2_req_forget(struct h2_conn *h, struct cc_req *req)
{
	if (req->stream > 0)
		nghttp2_session_set_stream_user_data(h->session, (int32_t)req->stream, NULL);
}

void h2_req_end(struct h2_conn *h, struct cc_req *req, int err, bool unprocessed, uint64_t code,
	const struct cc_head *trailers)
{
	bool above = h->goaway && req->stream > h->goaway_last;
	bool told = err == CC_ERESET || (err == CC_EREFUSED && (above || code));
	struct conn_said said = {code, told ? h2_why_of(code, above) : CC_WHY_NONE};

	h2_req_forget(h, req);
	conn_req_end(req, err, unprocessed, &said, trailers);
}

void h2_req_reset(struct h2_conn *h, struct cc_req *req, uint32_t code)
{
	if (req->stream > 0)
		h2_note(h, nghttp2_submit_rst_stream(
				   h->session, NGHTTP2_FLAG_NONE, (int32_t)req->stream, code));
	h2_flush(h);
}

/* ---- requests out ------------------------------------------------------ */

static nghttp2_ssize read_body(nghttp2_session *session, int32_t stream, uint8_t *buf,
	size_t length, uint32_t *flags, nghttp2_data_source *source, void *user)
{
	struct h2_conn *h = user;
	struct cc_req *req = source->ptr;
	struct h2_nv f;
	size_t n;

	(void)buf;
	if (h2_req_of(session, stream) != req) /* it ended and is gone; RST_STREAM is on its way */
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	n = req->out.len < length ? req->out.len : length;
	if (n == 0 && !req->out_eos)
		return NGHTTP2_ERR_DEFERRED;

	*flags |= NGHTTP2_DATA_FLAG_NO_COPY;
	if (req->out_eos && n == req->out.len) {
		*flags |= NGHTTP2_DATA_FLAG_EOF;
		if (req->out_trailers) {
			if (h2_nv_trailers(&f, h->conn->ctx, req->out_trailers) < 0)
				return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
			*flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
			h2_note(h, nghttp2_submit_trailer(session, stream, f.nv, f.n));
			h2_nv_clear(&f);
		}
	}
	return (nghttp2_ssize)n;
}

static int send_data(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *framehd,
	size_t length, nghttp2_data_source *source, void *user)
{
	struct h2_conn *h = user;
	struct cc_req *req = source->ptr;

	(void)session, (void)frame;
	h->has_requests = true;
	if (h2_send_data(&h->link->out, framehd, &req->out, length) < 0)
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	if (length > 0)
		conn_req_took(req, length);
	return 0;
}

/* on_frame_send would be too late: it may run with the frame still in nghttp2's hands. */
static int before_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
	struct h2_conn *h = user;
	struct cc_req *req;

	if (frame->hd.type == NGHTTP2_GOAWAY) {
		h->fault = frame->goaway.error_code;
		h->said_why = h->fault != NGHTTP2_NO_ERROR && !h->has_requests;
	}
	if (frame->hd.type != NGHTTP2_HEADERS)
		return 0;
	h->has_requests = true;
	req = h2_req_of(session, frame->hd.stream_id);
	if (req && !req->on_wire) {
		req->on_wire = true;
		req->wire_at = h->written + h->link->out.len;
	}
	return 0;
}

static int on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
	struct cc_req *req;

	(void)user;
	if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA)
		return 0;
	req = h2_req_of(session, frame->hd.stream_id);
	if (!req)
		return 0;
	if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
		conn_req_sent(req);
	return 0;
}

/* A header block that could not be encoded: nghttp2 leaves with a GOAWAY, but memory is why. */
static int on_frame_not_send(
	nghttp2_session *session, const nghttp2_frame *frame, int code, void *user)
{
	struct h2_conn *h = user;

	(void)session, (void)frame;
	h->low_memory |= code == NGHTTP2_ERR_HEADER_COMP;
	return 0;
}

static int h2_submit(struct cc_conn *conn, struct cc_req *req, const struct cc_head *head)
{
	struct h2_conn *h = driver(conn);
	nghttp2_data_provider2 body = {.source = {.ptr = req}, .read_callback = read_body};
	struct h2_nv f;
	int err = h2_nv_request(&f, conn->ctx, head);
	int32_t stream;

	if (err < 0)
		return err;
	stream = nghttp2_submit_request2(
		h->session, NULL, f.nv, f.n, req->bodiless ? NULL : &body, req);
	h2_nv_clear(&f);
	if (stream < 0)
		return stream == NGHTTP2_ERR_NOMEM ? CC_ENOMEM : CC_EINVAL;
	req->stream = stream;
	if (conn->st.active == 1) /* those that follow in this turn leave with it */
		h->was_idle = conn->last_read != ctx_now(conn->ctx);
	h2_flush(h);
	h2_spare_ids(h, (uint32_t)stream + 2);
	return 0;
}

static void h2_send(struct cc_conn *conn, struct cc_req *req)
{
	struct h2_conn *h = driver(conn);

	h2_note(h, nghttp2_session_resume_data(h->session, (int32_t)req->stream));
	h2_flush(h);
}

/*
 * RFC 9113 5.4.1: the last thing said is GOAWAY. Not behind half a frame, which the
 * peer would complete with it; and what was queued counts as unsent, so it stays unsent.
 */
static void leave(struct h2_conn *h)
{
	bool whole = h->link->out.len == 0;

	h->leaving = false;
	if (!h->said_why)
		cc_buf_clear(&h->link->out);
	if (whole && h->session && h->link->state == LINK_OPEN) {
		nghttp2_session_terminate_session(h->session, NGHTTP2_NO_ERROR);
		h2_pump(h->session, &h->link->out, OUT_MAX);
	}
	link_close(h->link);
}

/* The session has returned: it may be called again. */
static void back(struct h2_conn *h)
{
	h->busy = false;
	if (h->leaving)
		leave(h);
}

static int pump(struct h2_conn *h)
{
	int err;

	h->busy = true;
	err = h2_pump(h->session, &h->link->out, OUT_MAX);
	back(h);
	return err;
}

static void on_flush(struct link *l)
{
	struct h2_conn *h = l->owner;
	int err;

	if (h->was_idle) {
		h->was_idle = false;
		link_read_now(l);
		if (h2_is_closed(h))
			return;
	}
	h->has_requests = l->out.len > 0;
	err = pump(h);
	if (h2_is_closed(h))
		return;
	if (h->low_memory)
		err = CC_ENOMEM;
	if (err == 0 &&
		(nghttp2_session_want_read(h->session) || nghttp2_session_want_write(h->session)))
		return;
	if (err == 0 && h->fault == NGHTTP2_NO_ERROR && h->conn->drain_err)
		conn_close(h->conn, h->conn->reason, h->conn->drain_err, "HTTP/2 session ended");
	else if (err == CC_ENOMEM)
		conn_close(h->conn, CC_REASON_MEMORY, CC_ENOMEM, NULL);
	else
		conn_close(h->conn, CC_REASON_PROTOCOL, CC_EPROTO, "HTTP/2 session ended");
}

static void on_written(struct link *l, size_t n)
{
	struct h2_conn *h = l->owner;

	h->written += n;
	/* Newest at the end; those before the first that is not QUEUED were written earlier. */
	for (struct list *p = h->conn->reqs.prev; p != &h->conn->reqs; p = p->prev) {
		struct cc_req *req = container_of(p, struct cc_req, link);

		if (req->phase != CC_PHASE_QUEUED)
			break;
		if (req->on_wire && req->wire_at < h->written)
			req->phase = req->out_done ? CC_PHASE_WAITING : CC_PHASE_SENDING;
	}
	if (nghttp2_session_want_write(h->session))
		h2_flush(h);
}

static void on_data(struct link *l)
{
	struct h2_conn *h = l->owner;

	conn_was_read(h->conn);
	while (!h2_is_closed(h)) {
		size_t n;
		const char *p = buf_first(&l->in, &n);
		nghttp2_ssize used;

		if (!p)
			break;
		h->busy = true;
		used = nghttp2_session_mem_recv2(h->session, (const uint8_t *)p, n);
		back(h);
		if (h2_is_closed(h))
			return;
		if (used < 0) {
			bool memory = used == NGHTTP2_ERR_NOMEM;

			conn_close(h->conn, memory ? CC_REASON_MEMORY : CC_REASON_PROTOCOL,
				memory ? CC_ENOMEM : CC_EPROTO, nghttp2_strerror((int)used));
			return;
		}
		cc_buf_drain(&l->in, n);
	}
	if (!h2_is_closed(h) && nghttp2_session_want_write(h->session))
		h2_flush(h);
}

static void on_eof(struct link *l, bool clean)
{
	struct h2_conn *h = l->owner;
	bool idle = h->conn->st.active == 0;

	(void)clean; /* frames have lengths: a cut one never passes for a whole one */
	if (h->goaway)
		conn_close(h->conn, CC_REASON_GOAWAY, CC_EGOAWAY, NULL);
	else
		conn_close(h->conn, idle ? CC_REASON_PEER_IDLE : CC_REASON_EOF, CC_EEOF,
			"the server closed the connection");
}

static void on_error(struct link *l, int err)
{
	struct h2_conn *h = l->owner;

	conn_broke(h->conn, h->goaway ? CC_EGOAWAY : err, link_detail(l));
}

static const struct link_ops ops = {
	.on_data = on_data,
	.on_eof = on_eof,
	.on_error = on_error,
	.on_written = on_written,
	.on_flush = on_flush,
};

/* ---- the table --------------------------------------------------------- */

static void settings_late(struct timer *t)
{
	struct h2_conn *h = container_of(t, struct h2_conn, settings);

	conn_close(h->conn, CC_REASON_SETTINGS_TIMEOUT, CC_ETIMEOUT,
		"the server sent no HTTP/2 SETTINGS in time");
}

/* It goes on sending other things, else it would have been closed: what runs may end. */
static void confirm_late(struct timer *t)
{
	struct h2_conn *h = container_of(t, struct h2_conn, confirm);

	conn_draining(h->conn, CC_REASON_PING_TIMEOUT, CC_ETIMEOUT,
		"no acknowledgement of the PING behind a cancelled request");
}

static int make_session(struct h2_conn *h)
{
	nghttp2_session_callbacks *cb = NULL;
	nghttp2_option *opt = NULL;
	int rc = NGHTTP2_ERR_NOMEM;

	if (nghttp2_session_callbacks_new(&cb) == 0 && nghttp2_option_new(&opt) == 0) {
		h2_recv_callbacks(cb);
		nghttp2_session_callbacks_set_before_frame_send_callback(cb, before_frame_send);
		nghttp2_session_callbacks_set_on_frame_send_callback(cb, on_frame_send);
		nghttp2_session_callbacks_set_on_frame_not_send_callback(cb, on_frame_not_send);
		nghttp2_session_callbacks_set_send_data_callback(cb, send_data);
		nghttp2_option_set_no_auto_window_update(opt, 1);
		nghttp2_option_set_no_closed_streams(opt, 1);
		nghttp2_option_set_max_send_header_block_length(opt, 1u << 20);
		rc = nghttp2_session_client_new3(
			&h->session, cb, h, opt, h2_mem(h->conn->ctx, &h->mem));
	}
	nghttp2_session_callbacks_del(cb);
	nghttp2_option_del(opt);
	return rc == 0 ? 0 : CC_ENOMEM;
}

static int say_hello(struct h2_conn *h)
{
	const struct conn_settings *set = &h->conn->set;
	nghttp2_settings_entry iv[] = {
		{NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
		{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, (uint32_t)set->window},
		{NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, (uint32_t)set->max_head},
	};

	if (set->first_stream > 0)
		nghttp2_session_set_next_stream_id(h->session, set->first_stream);
	if (nghttp2_submit_settings(h->session, NGHTTP2_FLAG_NONE, iv, 3) < 0 ||
		nghttp2_session_set_local_window_size(
			h->session, NGHTTP2_FLAG_NONE, 0, (int32_t)set->conn_window) < 0)
		return CC_ENOMEM;
	return 0;
}

static int h2_open(struct cc_conn *conn, const struct dialled *carrier)
{
	struct link *link = carrier->link;
	struct h2_conn *h = mem_zalloc(conn->ctx, sizeof(*h));

	if (!h) {
		link_free(link);
		return CC_ENOMEM;
	}
	conn->driver = h;
	h->conn = conn;
	h->link = link;
	timer_init(&h->settings, settings_late);
	timer_init(&h->confirm, confirm_late);
	link_set_owner(link, &ops, h);
	if (make_session(h) < 0 || say_hello(h) < 0)
		return CC_ENOMEM;
	timer_start(conn->ctx, &h->settings, conn->set.tls_timeout);
	h2_flush(h);
	return 0;
}

static void h2_consumed(struct cc_conn *conn, struct cc_req *req, size_t n)
{
	struct h2_conn *h = driver(conn);

	h2_note(h, nghttp2_session_consume_stream(h->session, (int32_t)req->stream, n));
	if (nghttp2_session_want_write(h->session))
		h2_flush(h);
}

/* As patient as with silence: the answer may stand behind megabytes of a body. */
static void await_confirmation(struct h2_conn *h)
{
	const struct conn_settings *set = &h->conn->set;

	if (!timer_running(&h->confirm))
		timer_start(h->conn->ctx, &h->confirm, set->ping_after + set->ping_timeout);
}

/* May a cancelled request wait for its confirmation? Never where PINGs could be called abuse. */
static bool confirms(const struct h2_conn *h, const struct cc_req *req)
{
	return !req->head_seen && h->conn->st.state == CC_READY && h->conn->set.ping_after > 0 &&
	       !h->quiet;
}

static void h2_cancel(struct cc_conn *conn, struct cc_req *req)
{
	struct h2_conn *h = driver(conn);
	bool unsent = !req->on_wire; /* nghttp2 drops its HEADERS from the queue */

	h2_req_reset(h, req, NGHTTP2_CANCEL);
	if (unsent) {
		h2_req_forget(h, req);
		conn_req_unsent(req);
	} else if (confirms(h, req)) {
		h2_req_forget(h, req);
		conn_req_given_up(req);
		conn_ping(conn);
		await_confirmation(h);
	} else {
		h2_req_end(h, req, CC_ECANCELED, false, 0, NULL);
	}
}

static void h2_fail(struct cc_conn *conn, struct cc_req *req, int err)
{
	struct h2_conn *h = driver(conn);

	h2_req_reset(h, req, NGHTTP2_CANCEL);
	h2_req_forget(h, req);
	conn_req_fail(req, err);
}

static void h2_ping(struct cc_conn *conn)
{
	struct h2_conn *h = driver(conn);

	if (!h->ping_out && nghttp2_submit_ping(h->session, NGHTTP2_FLAG_NONE, NULL) == 0)
		h->ping_out = true;
	h2_flush(h);
}

static void h2_close(struct cc_conn *conn)
{
	struct h2_conn *h = driver(conn);

	if (!h || !h->link)
		return;
	timer_stop(&h->settings);
	timer_stop(&h->confirm);
	if (h->busy)
		h->leaving = true;
	else
		leave(h);
}

static void h2_free(struct cc_conn *conn)
{
	struct h2_conn *h = driver(conn);

	if (!h)
		return;
	timer_stop(&h->settings);
	timer_stop(&h->confirm);
	nghttp2_session_del(h->session);
	link_free(h->link);
	cc_head_free(h->head);
	mem_free(conn->ctx, h);
	conn->driver = NULL;
}

const struct cc_proto h2_proto = {
	.id = CC_PROTO_H2,
	.multiplexed = true,
	.open = h2_open,
	.submit = h2_submit,
	.send = h2_send,
	.fail = h2_fail,
	.consumed = h2_consumed,
	.cancel = h2_cancel,
	.ping = h2_ping,
	.close = h2_close,
	.free = h2_free,
};
