/* test_corners.c - where two things meet that seldom do: each once went wrong. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/ssl.h>

#include "lib/base/ctx.h"
#include "lib/conn/conn.h"
#include "tests/conn/fixture.h"

static void expire(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	*(bool *)arg = true;
}

/* How often does the loop wake up in so many milliseconds? */
static unsigned wakeups(struct event_base *base, unsigned ms)
{
	struct timeval tv = {0, (suseconds_t)ms * 1000};
	bool over = false;
	unsigned n = 0;

	event_base_once(base, -1, EV_TIMEOUT, expire, &over, &tv);
	while (!over) {
		event_base_loop(base, EVLOOP_ONCE);
		n++;
	}
	return n;
}

/*
 * A request body that is larger than what the kernel holds, under way to a server that stopped
 * reading.
 */
static void upload(struct client *c, struct probe *p, size_t n, bool eos)
{
	char *block = malloc(n + 1);

	ck_assert_ptr_nonnull(block);
	memset(block, 'x', n);
	block[n] = '\0';
	expect_request(c, "POST /up ");
	peer_stall(c->peer, true);
	ck_assert_int_eq(send_body(p, block, eos), 0);
	free(block);
	turns(c->base, 5);
}

/* ---- TLS ---------------------------------------------------------------- */

START_TEST(renegotiation_that_the_server_begins_is_declined)
{
	struct client c;
	struct probe p = {0};
	struct peer *peer = peer_unix(event_base_new());
	struct ssl_ctx_st *server = peer_tls_server("DNS:api.example.test", 30);
	struct ssl_ctx_st *client = peer_tls_client(server);
	struct cc_transport_opts o = {.tls = client, .tls_name = "api.example.test"};

	SSL_CTX_set_max_proto_version(server, TLS1_2_VERSION);
	peer_use_tls(peer, server, "http/1.1");
	client_open(&c, peer, "https", CC_OFFER_H1, &o);
	wait_state(&c, CC_READY);
	peer_accept(peer);
	post(&c, &p, "/", NULL);
	expect_request(&c, "POST / ");
	ck_assert_int_eq(SSL_renegotiate(peer->ssl), 1);
	ck_assert_int_eq(SSL_do_handshake(peer->ssl), 1); /* HelloRequest */
	peer_stall(peer, true);                           /* its ServerHello would never come */
	turns(c.base, 3);
	ck_assert_int_eq(send_body(&p, "hello", true), 0);
	ck_assert_uint_lt(wakeups(c.base, 100), 50);
	SSL_CTX_free(server);
	SSL_CTX_free(client);
	client_close(&c);
}
END_TEST

/* ---- HTTP/1.1 ------------------------------------------------------------ */

START_TEST(answer_is_whole_although_writing_fails_and_its_reader_is_slow)
{
	struct client c;
	struct probe p = {.keep = true};
	struct cc_transport_opts o = {.window = 4096};
	char part[10001];

	memset(part, 'a', sizeof(part) - 1);
	part[sizeof(part) - 1] = '\0';
	open_h1(&c, &o);
	post(&c, &p, "/up", "content-length: 10000000\n");
	upload(&c, &p, 1000000, false);
	peer_say(c.peer, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 20000\r\n\r\n");
	peer_say(c.peer, part);
	until(c.base, p.taken >= 4096); /* reading rests */
	turns(c.base, 3);
	peer_say(c.peer, part);
	peer_cut(c.peer); /* with bytes unread: the client's next write fails */
	turns(c.base, 5);
	for (int i = 0; i < 20 && p.req; i++) {
		cc_req_consumed(p.req, p.taken);
		p.taken = 0;
		turns(c.base, 5);
	}
	wait_done(&p);
	ck_assert_int_eq(p.result.err, 0);
	ck_assert_uint_eq(p.result.received, 20000);
	probe_free(&p);
	client_close(&c);
}
END_TEST

START_TEST(answer_that_ends_with_the_connection_is_whole_although_writing_fails)
{
	struct client c;
	struct probe p = {0};

	open_h1(&c, NULL);
	post(&c, &p, "/up", "content-length: 10000000\n");
	upload(&c, &p, 1000000, false);
	peer_say(c.peer, "HTTP/1.1 413 Content Too Large\r\nConnection: close\r\n\r\nlarge");
	ck_assert_int_eq(shutdown(c.peer->fd, SHUT_RDWR), 0);
	check_answered(&p, "large");
	client_close(&c);
}
END_TEST

/* ---- a reset in a body that only ends with the connection ------------------ */

enum meets { WRITE_MEETS_IT, READ_MEETS_IT, BOTH_IN_ONE_TURN, WAYS_TO_MEET };

static void reset_and_send(struct cc_req *req, struct cc_buf *body, void *arg)
{
	struct probe *p = arg;
	struct cc_buf more;

	probe_ops.on_body(req, body, arg);
	peer_reset(p->client->peer);
	cc_buf_init(&more, p->client->ctx);
	ck_assert_int_eq(cc_buf_add(&more, "x", 1), 0);
	ck_assert_int_eq(cc_req_send(req, &more, false), 0);
	cc_buf_clear(&more);
}

static void post_with(struct client *c, struct probe *p, const struct cc_req_ops *ops)
{
	struct cc_head *h = head_for(c, "POST", "/up", "content-length: 1000\n");

	p->client = c;
	ck_assert_int_eq(cc_conn_round_trip(c->conn, h, 0, ops, p, &p->req), 0);
	cc_head_free(h);
}

static void open_tcp(struct client *c, bool tls)
{
	struct peer *peer = peer_tcp(event_base_new());
	struct ssl_ctx_st *server = tls ? peer_tls_server("DNS:api.example.test", 30) : NULL;
	struct ssl_ctx_st *client = tls ? peer_tls_client(server) : NULL;
	struct cc_transport_opts o = {.tls = client, .tls_name = "api.example.test"};

	if (tls)
		peer_use_tls(peer, server, "http/1.1");
	client_open(c, peer, tls ? "https" : "http", CC_OFFER_H1, tls ? &o : NULL);
	SSL_CTX_free(server);
	SSL_CTX_free(client);
	wait_state(c, CC_READY);
	peer_accept(peer);
}

static void check_reset(enum meets meets, bool tls)
{
	struct cc_req_ops ops = probe_ops;
	struct client c;
	struct probe p = {0};

	if (meets == WRITE_MEETS_IT)
		ops.on_body = reset_and_send;
	open_tcp(&c, tls);
	post_with(&c, &p, &ops);
	expect_request(&c, "POST /up ");
	peer_say(c.peer, "HTTP/1.1 200 OK\r\n\r\npart");
	until(c.base, p.bodies == 1);
	if (meets != WRITE_MEETS_IT)
		peer_reset(c.peer);
	if (meets == BOTH_IN_ONE_TURN)
		ck_assert_int_eq(send_body(&p, "x", false), 0);
	wait_done(&p);
	ck_assert_msg(p.result.err == CC_EIO, "met by %d, tls %d: %d", meets, tls, p.result.err);
	check_body(&p, "part");
	ck_assert(!p.result.unprocessed);
	ck_assert_int_eq(cc_conn_err(c.conn), CC_EIO);
	probe_free(&p);
	client_close(&c);
}

/*
 * The kernel tells an error once: behind a write that failed with ECONNRESET a read brings an end
 * like any other.
 */
START_TEST(reset_is_never_taken_for_the_end_of_a_body_without_length)
{
	for (enum meets meets = 0; meets < WAYS_TO_MEET; meets++) {
		check_reset(meets, false);
		check_reset(meets, true);
	}
}
END_TEST

/* ---- windows --------------------------------------------------------------- */

START_TEST(window_of_one_byte_is_enough)
{
	struct client c;
	struct probe p = {.keep = true};
	struct cc_transport_opts o = {.window = 1};

	open_h1_running(&c, &p, &o);
	peer_say(c.peer, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
	until(c.base, p.taken == 5);
	peer_say(c.peer, "world");
	turns(c.base, 5);
	cc_req_consumed(p.req, p.taken);
	check_answered(&p, "helloworld");
	client_close(&c);
}
END_TEST

static void give_up_at_head(const char *method, const char *answer)
{
	struct client c;
	struct probe p = {.on_head = ACT_CANCEL};

	open_h1(&c, NULL);
	ck_assert_int_eq(round_trip(&c, &p, method, "/", NULL, CC_RT_END_STREAM), 0);
	expect_request(&c, method);
	peer_say(c.peer, answer);
	until(c.base, cc_conn_available(c.conn) == 1);
	check_counts(&c, 2, 1, 0, 1);
	client_close(&c);
}

START_TEST(answer_without_a_body_is_short_whatever_length_it_names)
{
	give_up_at_head("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n");
	give_up_at_head("GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 1000000\r\n\r\n");
}
END_TEST

/*
 * Answered early. true: the end of the request was in the link then, neither with us nor in the
 * kernel.
 */
static bool answer_early(size_t n)
{
	struct client c;
	struct probe p = {0};
	char length[64];
	int in_kernel = 0;
	bool taken;

	snprintf(length, sizeof(length), "content-length: %zu\n", n);
	open_h1(&c, NULL);
	post(&c, &p, "/up", length);
	upload(&c, &p, n, true);
	taken = p.req->out_done;
	ck_assert_int_eq(ioctl(c.peer->fd, FIONREAD, &in_kernel), 0);
	finish_request(&c, &p);
	check_counts(&c, in_kernel == (int)n ? 2 : 1, 1, 0, in_kernel == (int)n);
	client_close(&c);
	return taken && in_kernel < (int)n;
}

START_TEST(connection_is_not_free_while_its_request_is_on_its_way)
{
	unsigned in_link = 0;

	for (size_t n = 150000; n < 350000; n += 25000)
		in_link += answer_early(n);
	ck_assert_uint_gt(in_link, 0);
}
END_TEST

START_TEST(nothing_is_written_behind_an_early_answer)
{
	struct client c;
	struct probe p = {0};
	char part[4096];
	int before = 0, after = 0;

	open_h1(&c, NULL);
	post(&c, &p, "/up", NULL);
	upload(&c, &p, 1000000, false);
	for (int i = 0; i < 40; i++) /* now the kernel has room again */
		ck_assert_int_gt(read(c.peer->fd, part, sizeof(part)), 0);
	ck_assert_int_eq(ioctl(c.peer->fd, FIONREAD, &before), 0);
	finish_request(&c, &p);
	ck_assert_int_eq(ioctl(c.peer->fd, FIONREAD, &after), 0);
	ck_assert_int_eq(after, before);
	client_close(&c);
}
END_TEST

/* ---- HTTP/2 ---------------------------------------------------------------- */

static void open_used_h2(struct client *c, int64_t max_streams)
{
	struct probe p = {0};

	open_h2(c, max_streams, NULL);
	get(c, &p, "/");
	h2_answer(c->peer, h2_request(c->peer), 200, "used");
	wait_done(&p);
	probe_free(&p);
	h2_processed(c);
	turns(c->base, 3);
	advance(c, 1);
}

START_TEST(requests_made_together_before_the_end_was_read_are_unsent)
{
	struct client c;
	struct probe p[3] = {{0}};

	open_used_h2(&c, 10);
	peer_finish(c.peer); /* lies in the socket */
	for (int i = 0; i < 3; i++)
		get(&c, &p[i], "/");
	for (int i = 0; i < 3; i++) {
		wait_done(&p[i]);
		ck_assert(p[i].result.unprocessed);
		ck_assert_int_eq(p[i].result.phase, CC_PHASE_QUEUED);
	}
	client_close(&c);
}
END_TEST

START_TEST(request_under_a_limit_that_fell_before_it_left_is_given_back)
{
	struct client c;
	struct probe p = {0};

	open_used_h2(&c, 10);
	h2_setting(c.peer, H2_MAX_STREAMS, 0); /* lies in the socket */
	get(&c, &p, "/");
	wait_done(&p);
	ck_assert_int_eq(p.result.err, CC_EREFUSED);
	ck_assert(p.result.unprocessed);
	ck_assert_int_eq(p.result.phase, CC_PHASE_QUEUED);
	check_counts(&c, 1, 1, 0, 0);
	h2_setting(c.peer, H2_MAX_STREAMS, 10);
	until(c.base, cc_conn_available(c.conn) == 10);
	get(&c, &p, "/again");
	p.done = 0;
	h2_answer(c.peer, h2_request(c.peer), 200, "again");
	wait_done(&p);
	ck_assert_int_eq(p.result.err, 0);
	probe_free(&p);
	client_close(&c);
}
END_TEST

/* It answers others and never says that it knows of the reset: the slots would be gone for ever. */
START_TEST(server_that_never_confirms_but_goes_on_is_left)
{
	struct client c;
	struct probe p[3] = {{0}};

	open_h2(&c, 3, NULL);
	begin(&c, p, 3);
	h2_respond(c.peer, 1, 200, NULL, false);
	until(c.base, p[0].heads == 1);
	cc_req_cancel(p[1].req);
	cc_req_cancel(p[2].req);
	for (int i = 0; i < 30 && cc_conn_state(c.conn) == CC_READY; i++) {
		h2_data(c.peer, 1, "x", false);
		turns(c.base, 3);
		advance(&c, 1000);
	}
	ck_assert_int_eq(cc_conn_state(c.conn), CC_DRAINING);
	ck_assert_int_eq(cc_conn_reason(c.conn), CC_REASON_PING_TIMEOUT);
	check_counts(&c, 3, 2, 1, 0);
	h2_data(c.peer, 1, "end", true); /* what runs ends well */
	wait_done(&p[0]);
	ck_assert_int_eq(p[0].result.err, 0);
	wait_state(&c, CC_CLOSED);
	ck_assert_int_eq(cc_conn_err(c.conn), CC_ETIMEOUT);
	probe_free(&p[0]);
	client_close(&c);
}
END_TEST

/* Each allocation of sending trailers fails in turn. false: none was left to fail. */
static bool trailers_without(unsigned long n)
{
	struct client c;
	struct probe p = {0};
	struct cc_head *t;
	char name[32];
	bool failed;

	open_h2(&c, 10, NULL);
	post(&c, &p, "/", NULL);
	h2_request(c.peer);
	ck_assert_int_eq(send_body(&p, "x", false), 0);
	turns(c.base, 5);
	t = cc_head_new(c.ctx);
	for (int i = 0; i < 40; i++) {
		snprintf(name, sizeof(name), "x-trailer-%d", i);
		ck_assert_int_eq(cc_head_add(t, (struct cc_str){name, strlen(name)},
					 CC_STR("a value that is in no table")),
			0);
	}
	c.memory->allocs = 0;
	c.memory->fail_at = n;
	if (cc_req_send_trailers(p.req, t) == 0) {
		turns(c.base, 5);
		failed = c.memory->allocs >= n;
		if (failed && !p.done) { /* not needed after all */
			h2_request(c.peer);
			ck_assert(c.peer->frame.flags & H2_END_STREAM);
		}
	} else {
		failed = true;
	}
	c.memory->fail_at = 0;
	cc_head_free(t);
	client_close(&c);
	return failed;
}

START_TEST(trailers_are_sent_or_the_request_ends)
{
	for (unsigned long n = 1; trailers_without(n); n++)
		ck_assert_uint_lt(n, 1000);
}
END_TEST

/* ---- both ------------------------------------------------------------------- */

START_TEST(connect_is_refused)
{
	struct client c;
	struct probe p = {0};

	open_h1(&c, NULL);
	ck_assert_int_eq(round_trip(&c, &p, "CONNECT", "", NULL, 0), CC_EINVAL);
	check_counts(&c, 1, 0, 0, 1);
	client_close(&c);
}
END_TEST

START_TEST(context_may_go_before_the_ends_were_told)
{
	struct client c;
	struct probe p[3] = {{0}};

	open_h2(&c, 2, NULL);
	for (int i = 0; i < 3; i++) /* one waits */
		get(&c, &p[i], "/");
	cc_conn_close(c.conn);
	cc_transport_free(c.transport);
	cc_ctx_free(c.ctx);
	ck_assert_int_eq(c.memory->live, 0);
	free(c.memory);
	peer_free(c.peer);
	event_base_free(c.base);
}
END_TEST

START_TEST(very_long_times_do_not_begin_again_at_nothing)
{
	struct client c;
	struct probe p = {0};
	struct cc_transport_opts o = {
		.max_age = UINT64_MAX,
		.idle_timeout = UINT64_MAX - 1,
		.ping_after = UINT64_MAX - 1,
		.ping_timeout = UINT64_MAX,
	};

	open_h2(&c, 10, &o);
	advance(&c, 1000);
	begin(&c, &p, 1);
	advance(&c, 1000);
	ck_assert_int_eq(cc_conn_state(c.conn), CC_READY);
	ck_assert_uint_eq(p.done, 0);
	client_close(&c);
}
END_TEST

/* ---- TE ------------------------------------------------------------------- */

static const struct {
	const char *fields;
	bool leaves;
} te[] = {
	{"te: trailers\n", true},
	{"te: deflate;q=0.5 , Trailers\nconnection: te\n", true},
	{"te: gzip\nte: trailers\nte: trailers\n", true},
	{"te: gzip\nconnection: te\n", false},
	{"te: trailers;q=1, xtrailers\n", false},
	{"te: \n", false},
	{"trailers: te\n", false},
};

#define TES (sizeof(te) / sizeof(te[0]))

static unsigned count_of(const char *text, const char *what)
{
	unsigned n = 0;

	for (const char *at = text; (at = strcasestr(at, what)); at++)
		n++;
	return n;
}

START_TEST(of_te_the_word_trailers_alone_goes_over_http_2)
{
	for (size_t i = 0; i < TES; i++) {
		struct client c;
		struct probe p = {0};

		open_h2(&c, 10, NULL);
		ck_assert_int_eq(round_trip(&c, &p, "GET", "/", te[i].fields, CC_RT_END_STREAM), 0);
		h2_request(c.peer);
		ck_assert_uint_eq(count_of(c.peer->fields, "te: trailers\n"), te[i].leaves);
		ck_assert_uint_eq(count_of(c.peer->fields, "te:"), te[i].leaves);
		ck_assert_uint_eq(count_of(c.peer->fields, "connection"), 0);
		finish_stream(&c, &p, 1);
		probe_free(&p);
		client_close(&c);
	}
}
END_TEST

START_TEST(of_te_the_word_trailers_alone_goes_over_http_1_and_connection_names_it)
{
	for (size_t i = 0; i < TES; i++) {
		struct client c;
		struct probe p = {0};
		char head[1024];

		open_h1(&c, NULL);
		ck_assert_int_eq(round_trip(&c, &p, "GET", "/", te[i].fields, CC_RT_END_STREAM), 0);
		peer_head(c.peer, head, sizeof(head));
		ck_assert_uint_eq(count_of(head, "\r\nTE: trailers\r\n"), te[i].leaves);
		ck_assert_uint_eq(count_of(head, "\r\nTE:"), te[i].leaves);
		ck_assert_uint_eq(count_of(head, "\r\nConnection: TE\r\n"), te[i].leaves);
		ck_assert_uint_eq(count_of(head, "\r\nConnection:"), te[i].leaves);
		finish_request(&c, &p);
		probe_free(&p);
		client_close(&c);
	}
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		renegotiation_that_the_server_begins_is_declined,
		answer_is_whole_although_writing_fails_and_its_reader_is_slow,
		answer_that_ends_with_the_connection_is_whole_although_writing_fails,
		reset_is_never_taken_for_the_end_of_a_body_without_length,
		window_of_one_byte_is_enough,
		answer_without_a_body_is_short_whatever_length_it_names,
		connection_is_not_free_while_its_request_is_on_its_way,
		nothing_is_written_behind_an_early_answer,
		requests_made_together_before_the_end_was_read_are_unsent,
		request_under_a_limit_that_fell_before_it_left_is_given_back,
		server_that_never_confirms_but_goes_on_is_left,
		trailers_are_sent_or_the_request_ends,
		connect_is_refused,
		context_may_go_before_the_ends_were_told,
		very_long_times_do_not_begin_again_at_nothing,
		of_te_the_word_trailers_alone_goes_over_http_2,
		of_te_the_word_trailers_alone_goes_over_http_1_and_connection_names_it,
	};

	return run_suite("corners", tests, sizeof(tests) / sizeof(tests[0]));
}
