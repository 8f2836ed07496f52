/*
 * test_failures.c - clients and upstreams that misbehave: each gets a clear answer or a cut one,
 * nothing leaks, and the next request works.
 */
#include <dirent.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "tests/daemon/harness.h"

static void assert_serves(void)
{
	struct answer a = get_once("/bytes/1000");

	ck_assert_msg(a.status == 200, "the next request: %s%s", a.head, a.body);
	ck_assert_uint_eq(a.len, 1000);
	ck_assert(a.whole);
}

static unsigned descriptors(void)
{
	DIR *d = opendir(text("/proc/%d/fd", (int)daemon_pid()));
	unsigned n = 0;

	/* Not ours to see when the daemon is not dumpable and we are not root. */
	while (d && readdir(d))
		n++;
	if (d)
		closedir(d);
	return n;
}

/* ---- clients ---- */

START_TEST(clients_may_hang_up_at_any_byte_of_a_request)
{
	static const char request[] = "POST /sha HTTP/1.1\r\nHost: origin\r\nContent-Length: 20\r\n"
				      "X: y\r\n\r\n0123456789abcdefghij";
	unsigned before;

	daemon_for(origin_of(_i), "");
	assert_serves();
	before = descriptors();
	for (size_t n = 0; n <= sizeof(request) - 1; n++) {
		struct client *c = client_open();

		client_write(c, request, n);
		client_close(c);
	}
	assert_serves();
	/* HTTP/1 connections whose request was given up cannot be used again and go as well. */
	WAIT_FOR(descriptors() <= before + 8);
}
END_TEST

START_TEST(clients_may_hang_up_inside_a_chunked_body)
{
	static const char request[] = "POST /sha HTTP/1.1\r\nHost: origin\r\n"
				      "Transfer-Encoding: chunked\r\n\r\n"
				      "5;ext=1\r\n01234\r\na\r\nabcdefghij\r\n0\r\nT: v\r\n\r\n";

	daemon_for(origin_of(_i), "");
	for (size_t n = 60; n <= sizeof(request) - 1; n++) {
		struct client *c = client_open();

		client_write(c, request, n);
		client_close(c);
	}
	assert_serves();
}
END_TEST

START_TEST(clients_may_hang_up_before_the_answer)
{
	struct origin *o = origin_of(_i);

	daemon_for(o, "max_connections = 4;");
	for (unsigned i = 0; i < 40; i++) {
		struct client *c = client_ask("/slow/60000");
		if (i % 2 == 0)
			WAIT_FOR(origin_counts(o).requests > 0);
		client_close(c);
	}
	/* All slots came back: else this one would wait for the queue's end. */
	assert_serves();
}
END_TEST

START_TEST(clients_may_hang_up_in_the_middle_of_an_answer)
{
	static const char *const paths[] = {"/bytes/20000000", "/chunked/20000000"};

	daemon_for(origin_of(_i), "max_connections = 2;");
	for (unsigned i = 0; i < 20; i++) {
		struct client *c = client_open();
		char piece[3000];

		client_say(c, "GET %s HTTP/1.1\r\nHost: origin\r\n\r\n", paths[i % 2]);
		ck_assert_int_gt(recv(c->fd, piece, sizeof(piece), 0), 0);
		client_close(c);
	}
	assert_serves();
}
END_TEST

START_TEST(slow_heads_get_408)
{
	struct client *c;
	struct answer a;

	daemon_start(config("header_timeout = \"300ms\";", upstream(NULL, h1_origin(), "")));
	c = client_open();
	client_say(c, "GET / HTTP/1.1\r\nHost: ori");
	a = client_answer(c);
	assert_own_answer(&a, 408);
	ck_assert(client_closed(c));
	client_close(c);
	assert_serves();
}
END_TEST

/* One byte now and then must not push the end away. */
START_TEST(heads_that_trickle_get_408)
{
	struct client *c;
	uint64_t begun = harness_now();
	struct answer a;

	daemon_start(config("header_timeout = \"500ms\";", upstream(NULL, h1_origin(), "")));
	c = client_open();
	client_say(c, "GET / HTTP/1.1\r\nX: ");
	while (client_quiet(c, 50) && harness_now() < begun + PATIENCE)
		client_say(c, "x");
	a = client_answer(c);
	assert_own_answer(&a, 408);
	client_close(c);
}
END_TEST

START_TEST(half_closing_clients_get_their_answer)
{
	struct client *c;
	struct answer a;

	daemon_for(origin_of(_i), "");
	c = client_ask("/slow/300");
	client_shut(c);
	a = client_answer(c);
	ck_assert_uint_eq(a.status, 200);
	ck_assert_str_eq(a.body, "ok\n");
	ck_assert(client_closed(c));
	client_close(c);
}
END_TEST

/* Its FIN may be seen before, between and after the answers. */
START_TEST(half_closing_clients_get_all_they_pipelined)
{
	daemon_for(origin_of(_i), "");
	for (int i = 0; i < 40; i++) {
		struct client *c = client_open();

		client_say(c, "POST /sha HTTP/1.1\r\nHost: origin\r\nContent-Length: 3\r\n\r\nabc"
			      "GET /bytes/100000 HTTP/1.1\r\nHost: origin\r\n\r\n");
		client_shut(c);
		ck_assert_uint_eq(client_answer(c).len, 65);
		ck_assert_uint_eq(client_answer(c).len, 100000);
		ck_assert(client_closed(c));
		client_close(c);
	}
}
END_TEST

/* EOF stays readable: a loop that looks at it again and again shows in the CPU time. */
START_TEST(half_closed_clients_cost_no_cpu)
{
	struct client *c;
	unsigned before;

	daemon_for(origin_of(_i), "");
	assert_serves();
	c = client_ask("/slow/1500");
	client_shut(c);
	before = daemon_threads_cpu_ms();
	ck_assert_uint_eq(client_answer(c).status, 200);
	ck_assert_uint_lt(daemon_threads_cpu_ms() - before, 400);
	client_close(c);
}
END_TEST

START_TEST(half_closing_inside_a_body_ends_the_connection)
{
	struct origin *o = origin_of(_i);
	struct client *c;
	struct answer a;

	daemon_for(o, "");
	c = client_open();
	client_say(c, "POST /sha HTTP/1.1\r\nHost: origin\r\nContent-Length: 30\r\n\r\nabc");
	client_shut(c);
	a = client_answer(c);
	ck_assert_msg(a.status == 0 || a.status == 400, "%s", a.head);
	ck_assert(client_closed(c));
	client_close(c);
	assert_serves();
}
END_TEST

/* ---- upstreams ---- */

struct failing {
	const char *path;
	unsigned status; /* of our own answer; 200: the origin's, cut */
};

static const struct failing failing[] = {
	{"/reset", 502},
	{"/hangup", 502},
	{"/garbage", 502},
	{"/stall", 504},
	{"/stall-body/20000", 200},
	{"/stall-body/20000000", 200},
	{"/cut/2", 200},
	{"/cut/20000", 200},
	{"/cut/20000000", 200},
	{"/cut-chunked/2", 200},
	{"/cut-chunked/20000", 200},
	{"/cut-chunked/20000000", 200},
};

#define FAILING ((int)(sizeof(failing) / sizeof(failing[0])))

static void assert_fails(struct client *c, const struct failing *f, bool may_go_on)
{
	struct answer a = client_answer(c);

	if (f->status == 200) {
		ck_assert_msg(a.status == 200, "%s: %s", f->path, a.head);
		ck_assert_msg(!a.whole, "%s: passes for whole with %zu bytes", f->path, a.len);
		ck_assert_msg(client_closed(c), "%s", f->path);
	} else {
		assert_own_answer(&a, f->status);
		if (may_go_on && answer_field(&a, "connection") == NULL)
			ck_assert_uint_eq(get(c, "/bytes/10").len, 10);
	}
}

/*
 * Two upstreams with one server: what stalls is asked of the one with short limits, so that the
 * others take as long as they take.
 */
static void start_failing(const struct origin *o)
{
	daemon_start(config("",
		text("%s, %s", upstream("origin", o, ""),
			upstream("brief", o,
				"response_timeout = \"400ms\"; body_idle_timeout = \"400ms\";"))));
}

/* Index: which failure, and whether the origin speaks HTTP/2. */
START_TEST(failing_upstreams_give_a_clear_or_a_cut_answer)
{
	const struct failing *f = &failing[_i / 2];
	const char *host = strncmp(f->path, "/stall", 6) == 0 ? "brief" : "origin";
	struct client *c;

	start_failing(origin_of(_i % 2));
	assert_serves();
	c = client_open();
	client_say(c, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", f->path, host);
	assert_fails(c, f, true);
	client_close(c);
	assert_serves();

	c = client_open();
	client_say(
		c, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Length: 5\r\n\r\nhello", f->path, host);
	assert_fails(c, f, true);
	client_close(c);
	assert_serves();
}
END_TEST

START_TEST(cut_answers_are_cut_for_http_1_0_clients_as_well)
{
	struct client *c;
	struct answer a;

	daemon_for(origin_of(_i), "");
	c = client_open();
	client_say(c, "GET /cut/20000 HTTP/1.0\r\nHost: origin\r\n\r\n");
	a = client_answer(c);
	ck_assert_uint_eq(a.status, 200);
	ck_assert(a.sized && !a.whole);
	client_close(c);
	assert_serves();
}
END_TEST

static void end_without_goodbye(struct origin_conn *oc)
{
	if (oc_read_head(oc) && oc_say(oc, "HTTP/1.1 200 OK\r\n\r\nhalf of it"))
		oc_vanish(oc);
}

/* RFC 9112 9.8: an answer that ends with the connection is whole only if TLS ended properly. */
START_TEST(tls_end_without_close_notify_cuts_an_answer_without_length)
{
	struct client *c;
	struct answer a;

	daemon_for(
		some_origin(&(struct origin_opts){.tls = true, .serve = end_without_goodbye}), "");
	c = client_open();
	a = get(c, "/");
	ck_assert_uint_eq(a.status, 200);
	ck_assert_msg(!a.whole, "passes for whole");
	client_close(c);
}
END_TEST

START_TEST(refused_connections_are_502)
{
	struct client *c;

	/* Nobody listens on port 1. */
	daemon_start(config("", upstream_at("origin", false, "h1", 1, "")));
	c = client_open();
	for (int i = 0; i < 3; i++) {
		struct answer a = get(c, "/");

		ck_assert_msg(a.status == 502 || a.status == 503, "%s", a.head);
		assert_own_answer(&a, a.status);
	}
	client_close(c);
}
END_TEST

static void say_nothing(struct origin_conn *oc)
{
	oc_wait_hangup(oc);
}

START_TEST(tls_handshake_that_stalls_ends_with_its_timeout)
{
	struct origin *o = some_origin(&(struct origin_opts){.serve = say_nothing});
	struct answer a;

	/* No other limit would end it. */
	daemon_start(config("", upstream_at("origin", true, "h2", origin_port(o),
					"tls_timeout = \"300ms\"; connect_timeout = \"1h\"; "
					"queue_timeout = \"off\";")));
	a = get_once("/");
	ck_assert_msg(a.status == 502 || a.status == 503 || a.status == 504, "%s", a.head);
	assert_own_answer(&a, a.status);
}
END_TEST

static void complain(struct origin_conn *oc)
{
	char hello[1000];

	if (oc_read(oc, hello, sizeof(hello)) > 0)
		oc_say(oc, "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
}

START_TEST(plain_http_on_the_tls_port_is_502)
{
	struct origin *o = some_origin(&(struct origin_opts){.serve = complain});
	struct answer a;

	daemon_start(config("", upstream_at("origin", true, "h1", origin_port(o), "")));
	a = get_once("/");
	assert_own_answer(&a, 502);
}
END_TEST

START_TEST(answers_before_the_end_of_the_request_are_passed_on)
{
	struct origin *o = origin_of(_i);
	struct client *c;
	struct answer a;

	daemon_for(o, "");
	c = client_open();
	client_say(c,
		"PUT /early-drain/50 HTTP/1.1\r\nHost: origin\r\nContent-Length: 1000000\r\n\r\n"
		"only the beginning");
	a = client_answer(c);
	ck_assert_uint_eq(a.status, 413);
	ck_assert(a.whole);
	client_close(c);
	assert_serves();
}
END_TEST

/*
 * An HTTP/1 origin that closes with our bytes unread resets: its answer may be lost, but never a
 * hang.
 */
START_TEST(large_uploads_that_are_refused_early_end)
{
	const char *file = text("%s/up", harness_dir());
	char *out;

	daemon_for(origin_of(_i), "");
	pattern_file(file, 20 * 1024 * 1024);
	for (int i = 0; i < 5; i++) {
		sh(&out,
			"curl -q -s --max-time 100 --unix-socket %s -o /dev/null "
			"-w '%%{http_code}' "
			"--data-binary @%s http://origin/early",
			daemon_socket(), file);
		ck_assert_msg(
			strcmp(out, "413") == 0 || (!_i && (strcmp(out, "502") == 0)), "%s", out);
	}
	assert_serves();
}
END_TEST

/* ---- answers of HTTP/1 upstreams that nobody may trust ---- */

static const char *const doubtful[] = {
	"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
	"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello",
	"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nhello",
	"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n",
	"HTTP/1.1 200 OK\r\nX : a\r\nContent-Length: 0\r\n\r\n",
	"HTTP/1.1 200 OK\r\nX: a\rContent-Length: 0\r\n\r\n",
	"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nhello",
	"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
	"HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n",
	"HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n",
	"HTTP/1.1 abc OK\r\nContent-Length: 0\r\n\r\n",
	"ICY 200 OK\r\nContent-Length: 0\r\n\r\n",
	"hello\r\n\r\n",
	"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
};

#define DOUBTFUL ((int)(sizeof(doubtful) / sizeof(doubtful[0])))

static void say_doubtful(struct origin_conn *oc)
{
	char path[16] = "";
	unsigned i;

	/* "GET /7 HTTP/1.1": the number is which. */
	if (oc_read(oc, path, sizeof(path) - 1) <= 0 || sscanf(path, "GET /%u", &i) != 1)
		return;
	oc_read_head(oc);
	oc_say(oc, doubtful[i]);
	oc_wait_hangup(oc);
}

START_TEST(doubtful_answers_of_upstreams_are_502)
{
	struct client *c;
	struct answer a;

	daemon_for(some_origin(&(struct origin_opts){.serve = say_doubtful}),
		"response_timeout = \"20s\";");
	c = client_open();
	client_say(c, "GET /%d HTTP/1.1\r\nHost: origin\r\n\r\n", _i);
	a = client_answer(c);
	assert_own_answer(&a, 502);
	client_close(c);
}
END_TEST

static void say_bad_chunks(struct origin_conn *oc)
{
	if (oc_read_head(oc))
		oc_say(oc, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
			   "5\r\nhelloX\r\n0\r\n\r\n");
	oc_wait_hangup(oc);
}

START_TEST(bad_chunks_of_upstreams_cut_the_answer)
{
	struct answer a;

	daemon_for(some_origin(&(struct origin_opts){.serve = say_bad_chunks}), "");
	a = get_once("/");
	ck_assert_msg((a.status == 200 && !a.whole) || a.status == 502, "%s", a.head);
}
END_TEST

static void say_endless_head(struct origin_conn *oc)
{
	char line[1100];

	snprintf(line, sizeof(line), "X-Filler: %01000d\r\n", 1);
	if (!oc_read_head(oc) || !oc_say(oc, "HTTP/1.1 200 OK\r\n"))
		return;
	for (int i = 0; i < 20000 && oc_say(oc, line); i++)
		;
}

START_TEST(endless_heads_of_upstreams_are_502)
{
	unsigned long before;
	struct answer a;

	daemon_for(some_origin(&(struct origin_opts){.serve = say_endless_head}), "");
	before = daemon_rss();
	a = get_once("/");
	assert_own_answer(&a, 502);
	ck_assert_uint_lt(daemon_rss(), before + (16ul << 20));
}
END_TEST

/* Bytes after an answer belong to nobody: they must never become the next answer. */
static void answer_twice(struct origin_conn *oc)
{
	while (oc_read_head(oc))
		if (!oc_say(oc, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfirst"
				"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged"))
			return;
}

START_TEST(answers_that_nobody_asked_for_reach_nobody)
{
	daemon_for(
		some_origin(&(struct origin_opts){.serve = answer_twice}), "max_connections = 1;");
	for (int i = 0; i < 20; i++) {
		struct answer a = get_once("/");

		ck_assert_msg(a.status == 200 || a.status == 502, "%s", a.head);
		if (a.status == 200)
			ck_assert_str_eq(a.body, "first");
	}
}
END_TEST

/* Interim answers are as large as heads and come before any limit of the answer. */
static void say_many_hints(struct origin_conn *oc)
{
	char path[16] = "";
	unsigned n;

	if (oc_read(oc, path, sizeof(path) - 1) <= 0 || sscanf(path, "GET /%u", &n) != 1)
		return;
	oc_read_head(oc);
	for (unsigned i = 0; i < n; i++)
		if (!oc_say(oc, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"))
			return;
	oc_say(oc, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
	oc_wait_hangup(oc);
}

START_TEST(more_than_100_interim_answers_are_502)
{
	static const unsigned hints[] = {100, 101, 5000}, status[] = {200, 502, 502};
	struct client *c;
	struct answer a;
	unsigned n = 0;

	daemon_for(some_origin(&(struct origin_opts){.serve = say_many_hints}), "");
	c = client_open();
	client_say(c, "GET /%04u HTTP/1.1\r\nHost: origin\r\n\r\n", hints[_i]);
	while ((a = client_next(c, false)).status == 103)
		n++;
	ck_assert_uint_eq(n, 100);
	ck_assert_msg(a.status == status[_i], "%s%s", a.head, a.body);
	if (a.status == 502)
		assert_own_answer(&a, 502);
	client_close(c);
}
END_TEST

/* ---- frames of HTTP/2 upstreams, byte by byte ---- */

/* :status 200, and 10 bytes announced where 5 come. */
static void say_short_after_goaway(struct origin_conn *oc)
{
	static const uint8_t head[] = {0x88, 0x0f, 0x0d, 2, '1', '0'};
	uint32_t stream = oc_h2_greet(oc) ? oc_h2_request(oc) : 0;

	if (stream && oc_say_goaway(oc, stream, 0) &&
		oc_say_frame(oc, 1, 4, stream, head, sizeof(head)) &&
		oc_say_frame(oc, 0, 1, stream, "hello", 5))
		oc_wait_hangup(oc);
}

/* At its end the daemon tells of leaks; before it, too little memory for 90 of them does. */
START_TEST(wrong_lengths_after_goaway_leak_nothing)
{
	struct origin *o =
		some_origin(&(struct origin_opts){.h2 = true, .serve = say_short_after_goaway});

	daemon_start(text("daemon : { memory_limit = \"1MiB\"; };\n%s",
		config("", text("%s, %s", upstream("origin", o, ""),
				   upstream("other", h1_origin(), "")))));
	for (int i = 0; i < 90; i++) {
		struct answer a = get_once("/");

		ck_assert_msg((a.status == 200 && !a.whole) || a.status == 502, "%d: %s%s", i,
			a.head, a.body);
	}
	struct client *c = client_open();

	client_say(c, "GET /bytes/1000 HTTP/1.1\r\nHost: other\r\n\r\n");
	ck_assert_uint_eq(client_answer(c).len, 1000);
	client_close(c);
	daemon_stop();
}
END_TEST

/* ---- what is retried, and what is not ---- */

START_TEST(keep_alive_connections_that_vanish_hurt_no_get)
{
	daemon_for(h1_origin(), "");
	for (int i = 0; i < 40; i++) {
		ck_assert_uint_eq(get_once("/vanish").status, 200);
		if (i % 5 == 0)
			ck_assert_uint_eq(get_once("/bytes/10").status, 200);
	}
}
END_TEST

/* The first request of a connection goes out with much else: it has left all the same. */
START_TEST(a_post_that_died_on_a_new_connection_is_not_sent_again)
{
	struct origin *o = origin_of(_i);

	daemon_for(o, "backoff_min = \"10ms\";");
	for (unsigned i = 1; i <= 20; i++) {
		struct client *c = client_open();
		struct answer a;

		client_say(c,
			"POST /hangup HTTP/1.1\r\nHost: origin\r\nX: %0200d\r\n"
			"Content-Length: 5\r\n\r\nhello",
			1);
		a = client_answer(c);
		assert_own_answer(&a, 502);
		ck_assert_uint_eq(origin_counts(o).requests, i);
		client_close(c);
	}
}
END_TEST

START_TEST(a_post_that_died_is_not_sent_again)
{
	struct origin *o = origin_of(_i);
	struct client *c;
	struct answer a;

	daemon_for(o, "");
	assert_serves();
	c = client_open();
	client_say(c, "POST /hangup HTTP/1.1\r\nHost: origin\r\nContent-Length: 5\r\n\r\nhello");
	a = client_answer(c);
	assert_own_answer(&a, 502);
	ck_assert_uint_eq(origin_counts(o).requests, 2);
	client_close(c);
}
END_TEST

/* The order's beginning comes, and the connection breaks before the rest. */
static atomic_uint acted;

static void act_and_break(struct origin_conn *oc)
{
	if (!oc_await(oc))
		return;
	oc_reset(oc); /* first, as the daemon may be between two writes of one turn */
	atomic_fetch_add(&acted, 1);
}

/* Index: in clear, over TLS. */
START_TEST(a_post_that_broke_in_its_body_is_not_sent_again)
{
	struct origin *o = some_origin(&(struct origin_opts){.tls = _i, .serve = act_and_break});
	char *body = text("%060000d", 1);
	unsigned rounds = harness_full() ? 4000 : 400;

	daemon_for(o, "backoff_min = \"10ms\";");
	atomic_store(&acted, 0);
	for (unsigned i = 1; i <= rounds; i++) {
		struct client *c = client_open();
		struct answer a;

		client_say(c,
			"POST /order HTTP/1.1\r\nHost: origin\r\nContent-Length: %d\r\n\r\n%s",
			i % 2 ? 60000 : 70000, body);
		a = client_answer(c);
		assert_own_answer(&a, 502);
		ck_assert_uint_le(atomic_load(&acted), i);
		client_close(c);
	}
}
END_TEST

/* What an idle connection of the origin does at its cue. */
enum surprise { ANSWER, TIMEOUT, END };
static atomic_int cue; /* a surprise, or -1 */
static atomic_uint orders, surprised;

static bool wait_cue(struct origin_conn *oc)
{
	int what;

	while ((what = atomic_exchange(&cue, -1)) < 0)
		if (!oc_wait(oc, 2))
			return false;
	if (what == ANSWER)
		oc_say(oc, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged");
	else if (what == TIMEOUT)
		oc_say(oc, "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n"
			   "Content-Length: 0\r\n\r\n");
	else
		oc_shut(oc);
	atomic_fetch_add(&surprised, 1);
	return true;
}

/* GET warms the connection up, which then waits for its cue; POST is an order. */
static void surprise(struct origin_conn *oc)
{
	char method[5] = "";

	while (oc_read_exactly(oc, method, 4) && oc_read_head(oc)) {
		bool order = strcmp(method, "POST") == 0;

		if (order)
			atomic_fetch_add(&orders, 1);
		if (!oc_say(oc, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nreal"))
			return;
		if (!order && !wait_cue(oc))
			return;
	}
}

/* The daemon stands while both come, so that it finds them in one wake-up. */
START_TEST(what_an_idle_connection_says_is_no_answer_to_the_next_request)
{
	daemon_for(some_origin(&(struct origin_opts){.serve = surprise}), "");
	atomic_store(&cue, -1);
	atomic_store(&orders, 0);
	atomic_store(&surprised, 0);
	for (unsigned i = 1; i <= 20; i++) {
		struct client *c = client_open();
		struct answer a;

		ck_assert_str_eq(get(c, "/").body, "real");
		ck_assert(client_quiet(c, 10)); /* not in the middle of a turn */
		daemon_freeze();
		client_say(c, "POST / HTTP/1.1\r\nHost: origin\r\nContent-Length: 0\r\n\r\n");
		atomic_store(&cue, _i);
		WAIT_FOR(atomic_load(&surprised) == i);
		kill(daemon_pid(), SIGCONT);
		a = client_answer(c);
		ck_assert_msg(a.status == 200, "%s%s", a.head, a.body);
		ck_assert_str_eq(a.body, "real");
		ck_assert_uint_eq(atomic_load(&orders), i);
		client_close(c);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("failures");
	TCase *clients = harness_case(s, "clients"), *upstreams = harness_case(s, "upstreams");

	tcase_add_loop_test(clients, clients_may_hang_up_at_any_byte_of_a_request, 0, 2);
	tcase_add_loop_test(clients, clients_may_hang_up_inside_a_chunked_body, 0, 2);
	tcase_add_loop_test(clients, clients_may_hang_up_before_the_answer, 0, 2);
	tcase_add_loop_test(clients, clients_may_hang_up_in_the_middle_of_an_answer, 0, 2);
	tcase_add_test(clients, slow_heads_get_408);
	tcase_add_test(clients, heads_that_trickle_get_408);
	tcase_add_loop_test(clients, half_closing_clients_get_their_answer, 0, 2);
	tcase_add_loop_test(clients, half_closing_clients_get_all_they_pipelined, 0, 2);
	tcase_add_loop_test(clients, half_closed_clients_cost_no_cpu, 0, 2);
	tcase_add_loop_test(clients, half_closing_inside_a_body_ends_the_connection, 0, 2);

	tcase_add_loop_test(
		upstreams, failing_upstreams_give_a_clear_or_a_cut_answer, 0, 2 * FAILING);
	tcase_add_loop_test(upstreams, cut_answers_are_cut_for_http_1_0_clients_as_well, 0, 2);
	tcase_add_test(upstreams, tls_end_without_close_notify_cuts_an_answer_without_length);
	tcase_add_test(upstreams, refused_connections_are_502);
	tcase_add_test(upstreams, tls_handshake_that_stalls_ends_with_its_timeout);
	tcase_add_test(upstreams, plain_http_on_the_tls_port_is_502);
	tcase_add_loop_test(upstreams, answers_before_the_end_of_the_request_are_passed_on, 0, 2);
	tcase_add_loop_test(upstreams, large_uploads_that_are_refused_early_end, 0, 2);
	tcase_add_loop_test(upstreams, doubtful_answers_of_upstreams_are_502, 0, DOUBTFUL);
	tcase_add_test(upstreams, bad_chunks_of_upstreams_cut_the_answer);
	tcase_add_test(upstreams, endless_heads_of_upstreams_are_502);
	tcase_add_test(upstreams, answers_that_nobody_asked_for_reach_nobody);
	tcase_add_test(upstreams, keep_alive_connections_that_vanish_hurt_no_get);
	tcase_add_loop_test(
		upstreams, a_post_that_died_on_a_new_connection_is_not_sent_again, 0, 2);
	tcase_add_loop_test(upstreams, a_post_that_died_is_not_sent_again, 0, 2);
	tcase_add_loop_test(upstreams, a_post_that_broke_in_its_body_is_not_sent_again, 0, 2);
	tcase_add_loop_test(upstreams,
		what_an_idle_connection_says_is_no_answer_to_the_next_request, ANSWER, END + 1);
	tcase_add_loop_test(upstreams, more_than_100_interim_answers_are_502, 0, 3);
	tcase_add_test(upstreams, wrong_lengths_after_goaway_leak_nothing);
	return harness_main(s);
}
