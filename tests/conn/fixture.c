/* fixture.c - one client connection and one scripted peer in one loop. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/ssl.h>

#include "lib/base/ctx.h"
#include "lib/conn/conn.h"
#include "tests/conn/fixture.h"

static bool over_tls; /* the case of the suite that runs: set before each of its tests */

/* ---- memory that is counted ------------------------------------------- */

static bool fails(struct memory *m)
{
	unsigned long n = ++m->allocs;

	return n == m->fail_at || (m->fail_on && m->fail_at > 0 && n > m->fail_at);
}

static void *count_alloc(size_t n, void *arg)
{
	struct memory *m = arg;
	void *p = fails(m) ? NULL : malloc(n);

	m->live += p != NULL;
	return p;
}

static void *count_resize(void *ptr, size_t n, void *arg)
{
	struct memory *m = arg;
	void *p = fails(m) ? NULL : realloc(ptr, n);

	m->live += !ptr && p;
	return p;
}

static void count_release(void *ptr, void *arg)
{
	struct memory *m = arg;

	m->live -= ptr != NULL;
	free(ptr);
}

/* ---- the client -------------------------------------------------------- */

static uint64_t test_clock(void *arg)
{
	return ((struct client *)arg)->clock;
}

/* The invariant of the API, at every moment. */
static void check_invariant(struct client *c)
{
	struct cc_counts n;

	if (!c->conn)
		return;
	cc_conn_counts(c->conn, &n);
	ck_assert_uint_eq(n.request_limit, n.requests_completed + n.in_flight + n.available);
	ck_assert_uint_eq(n.request_limit, cc_conn_request_limit(c->conn));
	ck_assert_uint_eq(n.requests_completed, cc_conn_requests_completed(c->conn));
	ck_assert_uint_eq(n.in_flight, cc_conn_in_flight(c->conn));
	ck_assert_uint_eq(n.available, cc_conn_available(c->conn));
	ck_assert_uint_eq(n.waiting, cc_conn_waiting(c->conn));
	if (cc_conn_state(c->conn) != CC_READY)
		ck_assert_uint_eq(cc_conn_available(c->conn), 0);
	if (cc_conn_state(c->conn) == CC_CLOSED)
		ck_assert_uint_eq(cc_conn_in_flight(c->conn), 0);
	ck_assert((cc_conn_state(c->conn) == CC_CLOSED) == (cc_conn_err(c->conn) != 0));
	ck_assert((cc_conn_state(c->conn) >= CC_DRAINING) ==
		  (cc_conn_reason(c->conn) != CC_REASON_NONE));
	ck_assert_ptr_nonnull(cc_conn_detail(c->conn));
}

/* What the hook says must be what is to be seen. */
static void check_changes_told(const struct client *c)
{
	unsigned changes = cc_conn_changes(c->conn);
	enum cc_state state = cc_conn_state(c->conn);

	ck_assert_uint_ne(changes, 0);
	ck_assert_int_eq((changes & CC_CHANGED_COMPLETED) != 0,
		cc_conn_requests_completed(c->conn) > c->completed_seen);
	ck_assert_int_eq((changes & CC_CHANGED_CLOSED) != 0, state == CC_CLOSED);
	if (changes & CC_CHANGED_DRAINING)
		ck_assert_int_ge(state, CC_DRAINING);
	if (changes & CC_CHANGED_LIMITS_KNOWN)
		ck_assert(cc_conn_limits_known(c->conn));
}

static void on_state(struct cc_conn *conn, void *arg)
{
	struct client *c = arg;

	ck_assert_ptr_eq(conn, c->conn);
	ck_assert_msg(!c->in_call, "the hook ran inside a call");
	ck_assert_msg(c->hooks_closed == 0, "the hook ran after CC_CLOSED");
	c->hooks++;
	c->changes |= cc_conn_changes(conn);
	c->hooks_closed += cc_conn_state(conn) == CC_CLOSED;
	ck_assert_uint_ge(cc_conn_requests_completed(conn), c->completed_seen);
	check_changes_told(c);
	c->completed_seen = cc_conn_requests_completed(conn);
	check_invariant(c);
}

int client_init(struct client *c, struct peer *peer, unsigned offer,
	const struct cc_transport_opts *opts, unsigned long fail_at)
{
	struct cc_transport_opts o = opts ? *opts : (struct cc_transport_opts){0};
	struct memory *memory = calloc(1, sizeof(*memory));
	struct cc_mem mem = {count_alloc, count_resize, count_release, memory};
	struct cc_ctx_opts ctx_opts = {.size = sizeof(ctx_opts), .base = peer->base, .mem = &mem};
	int err;

	*c = (struct client){
		.peer = peer, .base = peer->base, .memory = memory, .clock = 1000000000};
	memory->fail_at = fail_at;
	err = cc_ctx_new(&ctx_opts, &c->ctx);
	if (err < 0)
		return err;
	c->ctx->clock = test_clock;
	c->ctx->clock_arg = c;
	o.size = sizeof(o);
	o.offer = offer;
	return cc_transport_new(c->ctx, &o, &c->transport);
}

int client_dial_to(struct client *c, const char *scheme, const char *address)
{
	int err;

	c->in_call = true;
	err = cc_transport_new_client_conn(c->transport, scheme, address, on_state, c, &c->conn);
	c->in_call = false;
	return err;
}

int client_dial(struct client *c, const char *scheme)
{
	return client_dial_to(c, scheme, c->peer->address);
}

void client_open(struct client *c, struct peer *peer, const char *scheme, unsigned offer,
	const struct cc_transport_opts *opts)
{
	ck_assert_int_eq(client_init(c, peer, offer, opts, 0), 0);
	ck_assert_int_eq(client_dial(c, scheme), 0);
	ck_assert_int_eq(cc_conn_state(c->conn), CC_CONNECTING);
}

void client_close(struct client *c)
{
	struct event_base *base = c->base;

	cc_conn_free(c->conn);
	cc_transport_free(c->transport);
	turns(base, 2);
	cc_ctx_free(c->ctx);
	ck_assert_int_eq(c->memory->live, 0);
	free(c->memory);
	peer_free(c->peer);
	event_base_free(base);
}

void open_nowhere(struct client *c)
{
	struct peer *peer = peer_unix(event_base_new());

	ck_assert_int_eq(client_init(c, peer, CC_OFFER_H1, NULL, 0), 0);
	strcat(peer->address, "-missing");
	ck_assert_int_eq(client_dial(c, "http"), 0);
	peer->address[strlen(peer->address) - 8] = '\0'; /* what peer_free removes */
}

void open_tls(
	struct client *c, const char *alpn, unsigned offer, const struct cc_transport_opts *opts)
{
	struct peer *peer = peer_unix(event_base_new());
	struct ssl_ctx_st *server = peer_tls_server("DNS:api.example.test", 30);
	struct ssl_ctx_st *client = peer_tls_client(server);
	struct cc_transport_opts o = opts ? *opts : (struct cc_transport_opts){0};

	o.tls = client;
	o.tls_name = "api.example.test";
	peer_use_tls(peer, server, alpn);
	client_open(c, peer, "https", offer, &o);
	SSL_CTX_free(server);
	SSL_CTX_free(client);
}

static void open_ready(struct client *c, const char *alpn, unsigned offer, int32_t first_stream,
	const struct cc_transport_opts *opts)
{
	if (over_tls)
		open_tls(c, alpn, offer, opts);
	else
		client_open(c, peer_unix(event_base_new()), "http", offer, opts);
	c->conn->set.first_stream = first_stream;
	wait_state(c, CC_READY);
	peer_accept(c->peer);
}

static void is_open(struct client *c)
{
	turns(c->base, 2);
	c->hooks_seen = c->hooks;
	c->changes = 0;
}

void open_h1(struct client *c, const struct cc_transport_opts *opts)
{
	open_ready(c, "http/1.1", CC_OFFER_H1, 1, opts);
	is_open(c);
}

void open_h2_unsettled(struct client *c, const struct cc_transport_opts *opts)
{
	open_ready(c, "h2", CC_OFFER_H2, 1, opts);
	h2_preface(c->peer);
	is_open(c);
}

void open_h2_at(struct client *c, int64_t max_streams, int32_t first_stream,
	const struct cc_transport_opts *opts)
{
	open_ready(c, "h2", CC_OFFER_H2, first_stream, opts);
	h2_begin(c->peer, max_streams);
	until(c->base, cc_conn_limits_known(c->conn));
	is_open(c);
}

void open_h2(struct client *c, int64_t max_streams, const struct cc_transport_opts *opts)
{
	open_h2_at(c, max_streams, 1, opts);
}

void wait_state(struct client *c, enum cc_state state)
{
	until(c->base, cc_conn_state(c->conn) >= state);
	ck_assert_msg(cc_conn_state(c->conn) == state, "state %d: %s", cc_conn_state(c->conn),
		cc_conn_detail(c->conn));
}

void advance(struct client *c, uint64_t ms)
{
	c->clock += ms * 1000;
	c->ctx->now = 0;
	timers_run(c->ctx);
	turns(c->base, 3);
}

/* ---- requests ---------------------------------------------------------- */

static void note_fields(const struct cc_head *h, char *buf, size_t size)
{
	size_t at = 0;

	buf[0] = '\0';
	for (size_t i = 0; h && i < cc_head_count(h) && at < size; i++) {
		struct cc_str n = cc_head_name(h, i), v = cc_head_value(h, i);

		at += (size_t)snprintf(
			buf + at, size - at, "%.*s: %.*s\n", (int)n.n, n.p, (int)v.n, v.p);
	}
}

static void act(struct probe *p, enum act what)
{
	struct client *c = p->client;

	c->in_call = what != ACT_NONE; /* in here nobody is called back */
	switch (what) {
	case ACT_NONE:
		break;
	case ACT_CANCEL:
		cc_req_cancel(p->req);
		p->req = NULL;
		break;
	case ACT_CLOSE:
		cc_conn_close(c->conn);
		break;
	case ACT_FREE:
		cc_conn_free(c->conn);
		c->conn = NULL;
		break;
	case ACT_RESERVE:
		p->reserved = cc_conn_reserve(c->conn);
		break;
	case ACT_AGAIN:
		get(c, p->next, "/next");
		break;
	}
	c->in_call = false;
}

static void begin_call(struct probe *p, struct cc_req *req)
{
	ck_assert_ptr_eq(req, p->req);
	ck_assert_msg(!p->client->in_call, "a callback ran inside a call");
	ck_assert_uint_eq(p->done, 0);
}

static void on_info(struct cc_req *req, const struct cc_head *head, void *arg)
{
	struct probe *p = arg;

	begin_call(p, req);
	ck_assert_uint_eq(p->heads, 0);
	p->infos++;
	p->info_status = cc_head_status(head);
	act(p, p->on_info);
}

static void on_head(struct cc_req *req, const struct cc_head *head, void *arg)
{
	struct probe *p = arg;

	begin_call(p, req);
	p->heads++;
	p->status = cc_head_status(head);
	note_fields(head, p->fields, sizeof(p->fields));
	ck_assert_uint_eq(p->heads, 1);
	act(p, p->on_head);
}

static void on_body(struct cc_req *req, struct cc_buf *body, void *arg)
{
	struct probe *p = arg;
	size_t n = body->len;

	begin_call(p, req);
	ck_assert_uint_eq(p->heads, 1);
	ck_assert_uint_gt(n, 0);
	p->bodies++;
	if (!p->leave) {
		if (p->body_len + n + 1 > p->body_cap) { /* seldom: each time all of it moves */
			p->body_cap = 2 * (p->body_len + n + 1);
			p->body = realloc(p->body, p->body_cap);
			ck_assert_ptr_nonnull(p->body);
		}
		ck_assert_uint_eq(cc_buf_peek(body, p->body + p->body_len, n), n);
		cc_buf_drain(body, n);
		p->body_len += n;
		p->body[p->body_len] = '\0';
		if (p->keep)
			p->taken += n;
		else
			cc_req_consumed(req, n);
	}
	act(p, p->on_body);
}

static void on_room(struct cc_req *req, void *arg)
{
	struct probe *p = arg;

	begin_call(p, req);
	p->rooms++;
}

static void on_done(struct cc_req *req, const struct cc_result *res, void *arg)
{
	struct probe *p = arg;

	begin_call(p, req);
	p->done++;
	p->result = *res;
	note_fields(res->trailers, p->trailers, sizeof(p->trailers));
	p->result.trailers = NULL;
	ck_assert_msg((res->t_head > 0) == (p->heads > 0) && res->t_done > 0, "times: %u, %u",
		(unsigned)res->t_head, (unsigned)res->t_done);
	p->available = cc_conn_available(p->client->conn);
	p->req = NULL;
	act(p, p->on_done);
}

const struct cc_req_ops probe_ops = {
	.size = sizeof(struct cc_req_ops),
	.on_info = on_info,
	.on_head = on_head,
	.on_body = on_body,
	.on_room = on_room,
	.on_done = on_done,
};

static struct cc_str str(const char *s)
{
	return (struct cc_str){s, strlen(s)};
}

/* The caller's own head: it is not what may run out of memory here. */
struct cc_head *head_for(struct client *c, const char *method, const char *path, const char *fields)
{
	struct memory before = *c->memory;
	struct cc_head *h;

	c->memory->fail_at = 0;
	h = cc_head_new(c->ctx);
	c->memory->fail_at = before.fail_at;
	c->memory->allocs = before.allocs;
	ck_assert_ptr_nonnull(h);
	ck_assert_int_eq(cc_head_set_request(h, str(method), CC_STR("http"),
				 CC_STR("api.example.test"), str(path)),
		0);
	while (fields && *fields) {
		const char *colon = strchr(fields, ':'), *eol = strchr(fields, '\n');

		ck_assert(colon && eol);
		ck_assert_int_eq(cc_head_add(h, (struct cc_str){fields, (size_t)(colon - fields)},
					 (struct cc_str){colon + 2, (size_t)(eol - colon) - 2}),
			0);
		fields = eol + 1;
	}
	return h;
}

int round_trip(struct client *c, struct probe *p, const char *method, const char *path,
	const char *fields, unsigned flags)
{
	struct cc_head *h = head_for(c, method, path, fields);
	bool outer = c->in_call;
	int err;

	p->client = c;
	c->in_call = true;
	err = cc_conn_round_trip(c->conn, h, flags, &probe_ops, p, &p->req);
	c->in_call = outer;
	cc_head_free(h);
	check_invariant(c);
	return err;
}

void get(struct client *c, struct probe *p, const char *path)
{
	ck_assert_int_eq(round_trip(c, p, "GET", path, NULL, CC_RT_END_STREAM), 0);
}

void post(struct client *c, struct probe *p, const char *path, const char *fields)
{
	ck_assert_int_eq(round_trip(c, p, "POST", path, fields, 0), 0);
}

int send_body(struct probe *p, const char *text, bool eos)
{
	struct cc_buf body;
	int err;

	cc_buf_init(&body, p->client->ctx);
	err = cc_buf_add(&body, text, strlen(text));
	p->client->in_call = true;
	if (err == 0)
		err = cc_req_send(p->req, &body, eos);
	p->client->in_call = false;
	cc_buf_clear(&body);
	return err;
}

void send_trailer(struct probe *p, const char *name, const char *value)
{
	struct cc_head *trailers = cc_head_new(p->client->ctx);

	ck_assert_int_eq(cc_head_add(trailers, str(name), str(value)), 0);
	ck_assert_int_eq(cc_req_send_trailers(p->req, trailers), 0);
	cc_head_free(trailers);
}

void act_in(struct probe *p, unsigned callback, enum act what)
{
	enum act *const on[] = {&p->on_info, &p->on_head, &p->on_body, &p->on_done};

	*on[callback] = what;
}

void check_acted(const struct probe *p, unsigned callback, enum act what)
{
	ck_assert_uint_eq(p->infos, 1);
	ck_assert_uint_eq(p->heads, callback >= 1);
	ck_assert_uint_eq(p->bodies, callback >= 2);
	ck_assert_uint_eq(p->done, callback == 3 || what == ACT_CLOSE);
}

void probe_free(struct probe *p)
{
	free(p->body);
	p->body = NULL;
	p->body_cap = 0;
}

void expect_request(struct client *c, const char *line)
{
	char head[8192];

	peer_head(c->peer, head, sizeof(head));
	ck_assert_msg(strncmp(head, line, strlen(line)) == 0, "\"%s\" is not \"%s\"", head, line);
}

void finish_request(struct client *c, struct probe *p)
{
	peer_say(c->peer, OK_EMPTY);
	wait_done(p);
	ck_assert_int_eq(p->result.err, 0);
}

void begin(struct client *c, struct probe *p, int n)
{
	for (int i = 0; i < n; i++)
		get(c, &p[i], "/");
	for (int i = 0; i < n; i++)
		ck_assert_uint_eq(h2_request(c->peer), (uint32_t)(2 * i + 1));
}

void h2_processed(struct client *c)
{
	h2_send(c->peer, H2_PING, 0, 0, "position", 8);
	do
		h2_wait(c->peer, H2_PING);
	while (!(c->peer->frame.flags & H2_ACK));
}

void set_limit(struct client *c, uint32_t max_streams)
{
	h2_setting(c->peer, H2_MAX_STREAMS, max_streams);
	h2_processed(c);
}

void finish_stream(struct client *c, struct probe *p, uint32_t stream)
{
	h2_answer(c->peer, stream, 204, "");
	wait_done(p);
	ck_assert_int_eq(p->result.err, 0);
}

void drop_sent(struct client *c)
{
	turns(c->base, 3);
	c->peer->in_len = 0;
}

void check_nothing_sent(struct client *c)
{
	turns(c->base, 3);
	ck_assert_uint_eq(c->peer->in_len, 0);
}

void open_h1_running(struct client *c, struct probe *p, const struct cc_transport_opts *opts)
{
	open_h1(c, opts);
	get(c, p, "/");
	expect_request(c, "GET / HTTP/1.1\r\n");
	check_counts(c, 1, 0, 1, 0);
	check_hooks(c, 0);
}

void open_tls_running(struct client *c, struct probe *p)
{
	open_tls(c, "http/1.1", CC_OFFER_H1, NULL);
	get(c, p, "/");
	expect_request(c, "GET / HTTP/1.1\r\n");
}

void open_h2_running(struct client *c, struct probe *p, unsigned n)
{
	open_h2(c, 10, NULL);
	begin(c, p, (int)n);
	check_counts(c, 10, 0, n, 10 - n);
	check_hooks(c, 0);
}

void wait_done(struct probe *p)
{
	until(p->client->base, p->done > 0);
	ck_assert_uint_eq(p->done, 1);
	check_invariant(p->client);
}

void check_answered(struct probe *p, const char *text)
{
	wait_done(p);
	ck_assert_int_eq(p->result.err, 0);
	check_body(p, text);
	probe_free(p);
}

void check_closed(struct client *c, uint64_t completed)
{
	until(c->base, c->hooks_closed == 1);
	check_counts(c, completed, completed, 0, 0);
	ck_assert_int_ne(cc_conn_err(c->conn), 0);
	check_hooks(c, 1);
	peer_wait_eof(c->peer);
}

/* ---- suites ------------------------------------------------------------- */

static void in_clear(void)
{
	over_tls = false;
}

static void use_tls(void)
{
	over_tls = true;
}

static void add_case(Suite *s, const char *name, SFun setup, const TTest *const *tests, size_t n)
{
	TCase *t = tcase_create(name);

	tcase_set_timeout(t, 240);
	tcase_add_checked_fixture(t, setup, NULL);
	for (size_t i = 0; i < n; i++)
		tcase_add_test(t, tests[i]);
	suite_add_tcase(s, t);
}

static int run_cases(Suite *s)
{
	SRunner *runner;
	int failed;

	runner = srunner_create(s);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed > 0;
}

int run_suite(const char *name, const TTest *const *tests, size_t n)
{
	Suite *s = suite_create(name);

	add_case(s, name, in_clear, tests, n);
	return run_cases(s);
}

int run_suite_twice(const char *name, const TTest *const *tests, size_t n)
{
	Suite *s = suite_create(name);

	add_case(s, "clear", in_clear, tests, n);
	add_case(s, "tls", use_tls, tests, n);
	return run_cases(s);
}
