/* live.c - client connections of the public API to a real server. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/ssl.h>

#include "tests/conn/live.h"
#include "tests/conn/wire.h"
#include "tests/programs.h"

static struct cc_str str(const char *s)
{
	return (struct cc_str){s, strlen(s)};
}

static void late(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	*(bool *)arg = true;
}

struct event *live_guard(struct event_base *base, bool *expired)
{
	struct event *guard = evtimer_new(base, late, expired);

	ck_assert_ptr_nonnull(guard);
	evtimer_add(guard, &(struct timeval){.tv_sec = LIVE_PATIENCE});
	return guard;
}

/* ---- the connection ---------------------------------------------------- */

void live_check(struct live *l)
{
	struct cc_counts n;
	enum cc_state state = cc_conn_state(l->conn);

	cc_conn_counts(l->conn, &n);
	ck_assert_uint_eq(n.request_limit, n.requests_completed + n.in_flight + n.available);
	ck_assert_uint_eq(n.request_limit, cc_conn_request_limit(l->conn));
	ck_assert_uint_eq(n.requests_completed, cc_conn_requests_completed(l->conn));
	ck_assert_uint_eq(n.in_flight, cc_conn_in_flight(l->conn));
	ck_assert_uint_eq(n.available, cc_conn_available(l->conn));
	ck_assert_uint_eq(n.waiting, cc_conn_waiting(l->conn));
	ck_assert_uint_ge(n.requests_completed, l->completed);
	if (state != CC_READY)
		ck_assert_uint_eq(n.available, 0);
	if (state == CC_CLOSED)
		ck_assert_uint_eq(n.in_flight + n.waiting, 0);
	ck_assert((cc_conn_err(l->conn) != 0) == (state == CC_CLOSED));
	l->completed = n.requests_completed;
}

static void on_state(struct cc_conn *conn, void *arg)
{
	struct live *l = arg;

	ck_assert_ptr_eq(conn, l->conn);
	ck_assert_uint_eq(l->hooks_closed, 0);
	ck_assert_uint_ne(cc_conn_changes(conn), 0);
	l->hooks++;
	l->hooks_closed += cc_conn_state(conn) == CC_CLOSED;
	l->changes |= cc_conn_changes(conn);
	live_check(l);
}

static SSL_CTX *trust(void)
{
	SSL_CTX *tls = SSL_CTX_new(TLS_client_method());
	char path[256];

	snprintf(path, sizeof(path), "%s/ca.pem", servers_dir());
	ck_assert_ptr_nonnull(tls);
	ck_assert_int_eq(SSL_CTX_load_verify_file(tls, path), 1);
	SSL_CTX_set_verify(tls, SSL_VERIFY_PEER, NULL);
	return tls;
}

static void live_start(struct live *l)
{
	char address[32];

	cc_conn_free(l->conn);
	l->conn = NULL;
	l->hooks = l->hooks_closed = l->changes = 0;
	l->completed = 0;
	l->dials++;
	snprintf(address, sizeof(address), "127.0.0.1:%u", l->server->port);
	ck_assert_int_eq(
		cc_transport_new_client_conn(l->transport, l->server->setup->tls ? "https" : "http",
			address, on_state, l, &l->conn),
		0);
}

void live_open(struct live *l, const struct server *s, const struct cc_transport_opts *opts)
{
	struct cc_transport_opts o = opts ? *opts : (struct cc_transport_opts){0};
	struct cc_ctx_opts ctx_opts = {.size = sizeof(ctx_opts)};

	*l = (struct live){.server = s, .base = event_base_new()};
	wire_begin(s->setup->h2);
	ctx_opts.base = l->base;
	ck_assert_int_eq(cc_ctx_new(&ctx_opts, &l->ctx), 0);
	o.size = sizeof(o);
	o.offer = s->setup->h2 ? CC_OFFER_H2 : CC_OFFER_H1;
	o.tls = s->setup->tls ? trust() : NULL;
	ck_assert_int_eq(cc_transport_new(l->ctx, &o, &l->transport), 0);
	SSL_CTX_free(o.tls);
	live_dial(l);
}

void live_join(struct live *l, const struct live *other)
{
	*l = (struct live){.server = other->server,
		.base = other->base,
		.ctx = other->ctx,
		.transport = other->transport};
	live_start(l);
}

void live_dial(struct live *l)
{
	live_start(l);
	await(l, cc_conn_state(l->conn) != CC_CONNECTING);
	ck_assert_msg(cc_conn_proto(l->conn) == (l->server->setup->h2 ? CC_PROTO_H2 : CC_PROTO_H1),
		"%s: %s", l->server->setup->name, cc_conn_detail(l->conn));
}

void live_settle(struct live *l)
{
	await(l, cc_conn_limits_known(l->conn) && cc_conn_in_flight(l->conn) == 0);
}

void live_leave(struct live *l)
{
	if (l->conn)
		live_check(l);
	cc_conn_free(l->conn);
	l->conn = NULL;
}

void live_close(struct live *l)
{
	live_leave(l);
	cc_transport_free(l->transport);
	cc_ctx_free(l->ctx);
	event_base_free(l->base);
}

/* ---- one request ------------------------------------------------------- */

/* Gives as much of the body as there is room for. */
static void feed(struct call *c)
{
	char piece[16384];
	struct cc_buf body;
	size_t room;

	while (c->req && c->given < c->upload && (room = cc_req_room(c->req)) > 0) {
		uint64_t left = c->upload - c->given;
		size_t n = room < sizeof(piece) ? room : sizeof(piece);

		n = n < left ? n : (size_t)left;
		pattern_fill(piece, n, c->given);
		cc_buf_init(&body, c->live->ctx);
		ck_assert_int_eq(cc_buf_add(&body, piece, n), 0);
		c->given += n;
		ck_assert_int_eq(
			cc_req_send(c->req, &body, c->given == c->upload && !c->trailer), 0);
		cc_buf_clear(&body);
	}
}

static void finish_with_trailer(struct call *c)
{
	struct cc_head *h = cc_head_new(c->live->ctx);

	ck_assert_ptr_nonnull(h);
	ck_assert_int_eq(cc_head_add(h, CC_STR("x-checksum"), str(c->trailer)), 0);
	ck_assert_int_eq(cc_req_send_trailers(c->req, h), 0);
	cc_head_free(h);
	c->trailer = NULL;
}

static void feed_or_finish(struct call *c)
{
	feed(c);
	if (c->req && c->trailer && c->given == c->upload)
		finish_with_trailer(c);
}

static void on_info(struct cc_req *req, const struct cc_head *head, void *arg)
{
	struct call *c = arg;

	ck_assert_ptr_eq(req, c->req);
	ck_assert_uint_eq(c->heads, 0);
	c->infos++;
	c->info_status = cc_head_status(head);
	if (c->expects && c->info_status == 100)
		feed_or_finish(c);
}

static void on_head(struct cc_req *req, const struct cc_head *head, void *arg)
{
	struct call *c = arg;
	int at = cc_head_find_name(head, CC_STR("last-modified"), 0);

	ck_assert_ptr_eq(req, c->req);
	c->heads++;
	c->status = cc_head_status(head);
	c->length = cc_head_content_length(head);
	if (at >= 0) {
		struct cc_str v = cc_head_value(head, (size_t)at);

		snprintf(c->modified, sizeof(c->modified), "%.*s", (int)v.n, v.p);
	}
}

static void compare(struct call *c, struct cc_buf *body)
{
	char got[16384], want[16384];

	while (body->len > 0) {
		size_t n = cc_buf_peek(body, got, sizeof(got));

		pattern_fill(want, n, c->got);
		ck_assert_msg(c->any_body || memcmp(got, want, n) == 0,
			"%s: other bytes came, between %" PRIu64 " and %" PRIu64
			" of an answer with status %u: %.*s\nGOAWAY code %" PRIu64
			", detail \"%s\"; read last:\n%s",
			c->path, c->got, c->got + n, c->status, (int)(n < 120 ? n : 120), got,
			cc_conn_goaway_code(c->live->conn), cc_conn_detail(c->live->conn),
			wire_seen());
		cc_buf_drain(body, n);
		c->got += n;
	}
}

static void on_body(struct cc_req *req, struct cc_buf *body, void *arg)
{
	struct call *c = arg;
	size_t n = body->len;

	ck_assert_ptr_eq(req, c->req);
	ck_assert_uint_eq(c->heads, 1);
	compare(c, body);
	if (c->held)
		c->owed += n;
	else
		cc_req_consumed(req, n);
	if (c->cancel_after && c->got >= c->cancel_after)
		call_cancel(c);
}

static void on_room(struct cc_req *req, void *arg)
{
	struct call *c = arg;

	ck_assert_ptr_eq(req, c->req);
	feed_or_finish(c);
}

static void on_done(struct cc_req *req, const struct cc_result *res, void *arg)
{
	struct call *c = arg;
	size_t at = 0;

	ck_assert_ptr_eq(req, c->req);
	ck_assert_uint_eq(c->done, 0);
	ck_assert(res->err < 0 || !res->unprocessed);
	ck_assert((res->err == 0) == (res->phase == CC_PHASE_COMPLETE));
	ck_assert_uint_eq(res->received, c->got);
	for (size_t i = 0; res->trailers && i < cc_head_count(res->trailers); i++) {
		struct cc_str n = cc_head_name(res->trailers, i);
		struct cc_str v = cc_head_value(res->trailers, i);

		at += (size_t)snprintf(c->trailers + at, sizeof(c->trailers) - at, "%.*s: %.*s\n",
			(int)n.n, n.p, (int)v.n, v.p);
		ck_assert_uint_lt(at, sizeof(c->trailers));
	}
	c->done++;
	c->req = NULL;
	c->result = *res;
	c->result.trailers = NULL;
}

static const struct cc_req_ops ops = {
	.size = sizeof(struct cc_req_ops),
	.on_info = on_info,
	.on_head = on_head,
	.on_body = on_body,
	.on_room = on_room,
	.on_done = on_done,
};

static void add(struct cc_head *h, const char *name, size_t n, const char *value, size_t len)
{
	ck_assert_int_eq(cc_head_add(h, (struct cc_str){name, n}, (struct cc_str){value, len}), 0);
}

static struct cc_head *head_of(struct live *l, const struct call *c)
{
	struct cc_head *h = cc_head_new(l->ctx);
	char length[24];

	ck_assert_ptr_nonnull(h);
	ck_assert_int_eq(cc_head_set_request(h, str(c->method ? c->method : "GET"),
				 str(l->server->setup->tls ? "https" : "http"), CC_STR("localhost"),
				 str(c->path)),
		0);
	for (const char *p = c->fields, *eol; *p; p = eol + 1) {
		const char *colon = strchr(p, ':');

		eol = strchr(p, '\n');
		ck_assert(colon && eol);
		add(h, p, (size_t)(colon - p), colon + 2, (size_t)(eol - colon) - 2);
	}
	if (c->sized) {
		int n = snprintf(length, sizeof(length), "%" PRIu64, c->upload);

		add(h, "content-length", 14, length, (size_t)n);
	}
	if (c->expects)
		add(h, "expect", 6, "100-continue", 12);
	return h;
}

int call_begin(struct live *l, struct call *c)
{
	struct cc_head *h = head_of(l, c);
	unsigned flags = c->flags | (c->upload || c->trailer ? 0 : CC_RT_END_STREAM);
	int err;

	c->live = l;
	err = cc_conn_round_trip(l->conn, h, flags, &ops, c, &c->req);
	cc_head_free(h);
	c->begun = err == 0;
	if (err == 0 && !c->expects)
		feed_or_finish(c);
	live_check(l);
	return err;
}

void call_go(struct live *l, struct call *c)
{
	int err = call_begin(l, c);

	ck_assert_msg(err == 0, "%s %s: %s", l->server->setup->name, c->path, cc_strerror(err));
}

void call_wait(struct call *c)
{
	struct live *l = c->live;

	await(l, c->done);
}

void call_run(struct live *l, struct call *c)
{
	call_go(l, c);
	call_wait(c);
}

void call_cancel(struct call *c)
{
	struct cc_req *req = c->req;

	c->req = NULL;
	c->cancelled = true;
	cc_req_cancel(req);
	live_check(c->live);
}

void call_release(struct call *c)
{
	size_t owed = (size_t)c->owed;

	c->held = false;
	c->owed = 0;
	if (c->req)
		cc_req_consumed(c->req, owed);
}

void call_reset(struct call *c)
{
	struct call again = {.method = c->method,
		.upload = c->upload,
		.sized = c->sized,
		.any_body = c->any_body,
		.flags = c->flags};

	memcpy(again.path, c->path, sizeof(again.path));
	memcpy(again.fields, c->fields, sizeof(again.fields));
	*c = again;
}

void call_expect(const struct call *c, unsigned status, uint64_t n)
{
	ck_assert_msg(c->done == 1 && c->result.err == 0 && c->status == status && c->got == n,
		"%s: %s %s: %s, status %u and %" PRIu64 " bytes, not %u and %" PRIu64
		" (%s); read last:\n%s",
		c->live->server->setup->name, c->method ? c->method : "GET", c->path,
		c->done ? cc_strerror(c->result.err) : "not done", c->status, c->got, status, n,
		c->live->conn ? cc_conn_detail(c->live->conn) : "", wire_seen());
}
