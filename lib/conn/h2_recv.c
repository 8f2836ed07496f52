/*
 * h2_recv.c - what an HTTP/2 server's frames do to the connection and its requests (RFC 9113).
 *
 * All of it runs below nghttp2_session_mem_recv2, frame by frame: an owner that is called back may
 * cancel requests and close the connection there, so after each call both are looked at anew.
 * nghttp2 has checked the frames' grammar and the states of the streams.
 */
#include <stdio.h>
#include <string.h>

#include <clientconn/head.h>

#include "lib/base/ctx.h"
#include "lib/base/head_int.h"
#include "lib/conn/h2_int.h"

#define STATUS_SIZE 42u /* of ":status" alone, as RFC 9113 6.5.2 counts */

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
	struct h2_conn *h = user;

	(void)session, (void)frame;
	h->head_err = 0;
	if (!h->head)
		h->head = cc_head_new(h->conn->ctx);
	if (h->head)
		cc_head_reset(h->head);
	else
		h->head_err = CC_ENOMEM;
	return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
	size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags, void *user)
{
	struct h2_conn *h = user;

	(void)session, (void)frame, (void)flags;
	if (h->head_err == 0)
		h->head_err = h2_head_field(
			h->head, name, name_len, value, value_len, h->conn->set.max_head);
	return 0;
}

/* RFC 9113 8.1: a whole answer may come before the whole request went. */
static void complete(struct h2_conn *h, struct cc_req *req, const struct cc_head *trailers)
{
	if (!req->out_done)
		h2_req_reset(h, req, NGHTTP2_CANCEL);
	h2_req_end(h, req, 0, false, 0, trailers);
}

static void headers_came(struct h2_conn *h, const nghttp2_frame *frame)
{
	struct cc_req *req = h2_req_of(h->session, frame->hd.stream_id);
	bool fin = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;

	if (!req)
		return;
	if (h->head_err < 0) {
		h2_req_reset(h, req, NGHTTP2_CANCEL);
		h2_req_end(h, req, h->head_err, false, 0, NULL);
		return;
	}
	if (req->head_seen) { /* nghttp2 has checked that trailers end the stream */
		complete(h, req, cc_head_count(h->head) ? h->head : NULL);
		return;
	}
	if (cc_head_status(h->head) < 200 && !fin) {
		if (conn_req_info(req, h->head, STATUS_SIZE + h->head->text_len) < 0) {
			h2_req_reset(h, req, NGHTTP2_CANCEL);
			h2_req_end(h, req, CC_ETOOBIG, false, 0, NULL);
		}
		return;
	}
	conn_req_head(req, h->head);
	if (fin && !h2_is_closed(h) && h2_req_of(h->session, frame->hd.stream_id) == req)
		complete(h, req, NULL);
}

/*
 * What follows such a GOAWAY comes from an endpoint whose own state is broken, and which has to
 * close (RFC 9113 5.4.1). A server's memory was seen in such DATA, under a frame that was whole.
 */
static bool is_broken(uint32_t code)
{
	switch (code) {
	case NGHTTP2_PROTOCOL_ERROR:
	case NGHTTP2_INTERNAL_ERROR:
	case NGHTTP2_FLOW_CONTROL_ERROR:
	case NGHTTP2_STREAM_CLOSED:
	case NGHTTP2_FRAME_SIZE_ERROR:
	case NGHTTP2_COMPRESSION_ERROR:
		return true;
	default: /* NO_ERROR, ENHANCE_YOUR_CALM ...: it ends, in order */
		return false;
	}
}

static struct cc_req *first_above(struct h2_conn *h, int32_t last_stream)
{
	list_each (l, tmp, &h->conn->reqs) {
		struct cc_req *req = container_of(l, struct cc_req, link);

		if (req->stream > last_stream && !req->head_seen)
			return req;
	}
	return NULL;
}

/*
 * Above the last stream id nothing was processed: told before the connection closes. Each of those
 * who are told may end any other.
 */
static void refuse_above(struct h2_conn *h, const nghttp2_goaway *g)
{
	struct cc_req *req;

	while ((req = first_above(h, g->last_stream_id)))
		h2_req_end(h, req, CC_EREFUSED, true, g->error_code, NULL);
}

static void goaway_came(struct h2_conn *h, const nghttp2_goaway *g)
{
	char text[120];
	int n = g->opaque_data_len < 64 ? (int)g->opaque_data_len : 64;

	h->goaway = true;
	h->goaway_last = g->last_stream_id;
	h->conn->goaway = (struct conn_said){g->error_code, h2_why_of(g->error_code, true)};
	snprintf(text, sizeof(text), "GOAWAY %s%s%.*s", nghttp2_http2_strerror(g->error_code),
		n ? ": " : "", n, n ? (const char *)g->opaque_data : "");
	for (char *c = text; *c; c++)
		if (*c < ' ' || *c > '~')
			*c = '?';
	/* RFC 9113 6.8: nothing new after it; below the last stream id the answers still come. */
	conn_draining(h->conn, CC_REASON_GOAWAY, CC_EGOAWAY, text);
	if (is_broken(g->error_code)) {
		refuse_above(h, g);
		conn_close(h->conn, CC_REASON_GOAWAY, CC_EGOAWAY, NULL);
	}
}

/*
 * The limit fell before they left: nghttp2 would hold them where nobody sees them.
 * The newest are at the end.
 */
static void give_back_unsent(struct h2_conn *h)
{
	struct conn_state *st = &h->conn->st;
	struct list *reqs = &h->conn->reqs;

	while (st->active > conn_state_at_once(st) && !list_empty(reqs)) {
		struct cc_req *req = container_of(reqs->prev, struct cc_req, link);

		if (req->on_wire)
			return;
		h2_req_reset(h, req, NGHTTP2_CANCEL); /* takes it out of the queue */
		h2_req_end(h, req, CC_EREFUSED, true, 0, NULL);
	}
}

static void settings_came(struct h2_conn *h)
{
	uint32_t limit = nghttp2_session_get_remote_settings(
		h->session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);

	timer_stop(&h->settings);
	conn_set_limit(h->conn, limit); /* untold: no limit but our own */
	h2_spare_ids(h, nghttp2_session_get_next_stream_id(h->session));
	give_back_unsent(h);
}

static void ping_came(struct h2_conn *h)
{
	h->ping_out = false;
	timer_stop(&h->confirm);
	if (h->conn->unconfirmed == 0)
		return;
	h->quiet = true;
	conn_confirmed(h->conn);
}

static int on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
	struct h2_conn *h = user;
	struct cc_req *req;

	if (h2_is_closed(h))
		return 0;
	switch (frame->hd.type) {
	case NGHTTP2_HEADERS:
		h->quiet = false;
		headers_came(h, frame);
		break;
	case NGHTTP2_DATA:
		h->quiet = false;
		req = h2_req_of(session, frame->hd.stream_id);
		if (req && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
			complete(h, req, NULL);
		break;
	case NGHTTP2_SETTINGS:
		if (!(frame->hd.flags & NGHTTP2_FLAG_ACK))
			settings_came(h);
		break;
	case NGHTTP2_GOAWAY:
		goaway_came(h, &frame->goaway);
		break;
	case NGHTTP2_PING:
		if (frame->hd.flags & NGHTTP2_FLAG_ACK)
			ping_came(h);
		break;
	case NGHTTP2_RST_STREAM: /* its on_stream_close follows */
		h->peer_reset = frame->hd.stream_id;
		break;
	default:
		break;
	}
	return 0;
}

static int on_data_chunk(nghttp2_session *session, uint8_t flags, int32_t stream,
	const uint8_t *data, size_t len, void *user)
{
	struct h2_conn *h = user;
	struct cc_req *req = h2_req_of(session, stream);

	(void)flags;
	h2_note(h, nghttp2_session_consume_connection(session, len));
	if (h2_is_closed(h) || !req)
		return 0;
	if (buf_add_slice(&req->in, &h->link->in, (const char *)data, len) < 0) {
		h2_req_reset(h, req, NGHTTP2_INTERNAL_ERROR);
		h2_req_end(h, req, CC_ENOMEM, false, 0, NULL);
		return 0;
	}
	req->received += len;
	conn_req_body(req);
	return 0;
}

static int on_invalid_frame(
	nghttp2_session *session, const nghttp2_frame *frame, int code, void *user)
{
	struct h2_conn *h = user;
	struct cc_req *req = h2_req_of(session, frame->hd.stream_id);

	(void)code;
	if (req && !h2_is_closed(h)) /* nghttp2 resets the stream by itself */
		h2_req_end(h, req, CC_EPROTO, false, NGHTTP2_PROTOCOL_ERROR, NULL);
	return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t stream, uint32_t code, void *user)
{
	struct h2_conn *h = user;
	struct cc_req *req = h2_req_of(session, stream);

	if (!req || h2_is_closed(h))
		return 0;
	/* RFC 9113 8.7. nghttp2 also reports it for streams above GOAWAY's last stream id. */
	bool refused = code == NGHTTP2_REFUSED_STREAM && !req->head_seen;
	bool by_peer = h->peer_reset == stream;

	if (refused && h->goaway && stream > h->goaway_last)
		code = (uint32_t)h->conn->goaway.code; /* after ENHANCE_YOUR_CALM nobody hurries */
	if (by_peer &&
		code == NGHTTP2_PROTOCOL_ERROR) /* our header compression may be out of step */
		conn_draining(h->conn, CC_REASON_PROTOCOL, CC_EPROTO,
			"the server reset a request with PROTOCOL_ERROR");
	if (refused)
		h2_req_end(h, req, CC_EREFUSED, true, code, NULL);
	else if (code == NGHTTP2_PROTOCOL_ERROR && !by_peer)
		h2_req_end(h, req, CC_EPROTO, false, code, NULL);
	else
		h2_req_end(h, req, CC_ERESET, false, code, NULL);
	return 0;
}

void h2_recv_callbacks(nghttp2_session_callbacks *cb)
{
	nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin_headers);
	nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
	nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame_recv);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data_chunk);
	nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(cb, on_invalid_frame);
	nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
}
