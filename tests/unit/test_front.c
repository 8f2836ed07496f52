/*
 * test_front.c - a client over a socket pair, a listener, and a service that the test plays: no
 * pool, no server, and a clock that the test sets.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <clientconn/buf.h>
#include <clientconn/head.h>

#include "daemon/base/conf.h"
#include "daemon/base/log.h"
#include "daemon/base/service.h"
#include "daemon/base/stats.h"
#include "daemon/front/front_conn.h"
#include "tests/unit/ctx_fixture.h"
#include "tests/unit/run.h"

#define TURNS 20

static struct ctx_fixture f;
static struct log_set *logs;
static struct worker_stats stats;
static struct front_listener fl;
static int client; /* the test's end of the pair; -1: closed */

static const struct conf_listener settings = {
	.name = "local",
	.header_timeout = 10000,
	.idle_timeout = 60000,
	.max_header_size = 65536,
	.max_headers = 100,
};

/* The one request that runs, and what the front said of it. */
static struct {
	unsigned begun, gone;
	const struct stream_ops *ops;
	void *stream; /* NULL: none runs */
	char path[64];
	bool end_stream, expects;
	const struct conf_upstream *up;
	uint32_t uid;
	char body[256];
	bool body_end;
	char trailer[64];
	size_t room, sent;
} call;

/* ---- the service ------------------------------------------------------------ */

static void *fake_begin(
	void *server, const struct service_request *r, const struct stream_ops *ops, void *stream)
{
	struct cc_str path = cc_head_path(r->head);

	ck_assert_ptr_eq(server, &fl);
	ck_assert_ptr_null(call.stream);
	call.begun++;
	call.ops = ops;
	call.stream = stream;
	snprintf(call.path, sizeof(call.path), "%.*s", (int)path.n, path.p);
	call.end_stream = r->end_stream;
	call.expects = r->expects;
	call.up = r->up;
	call.uid = r->caller->uid;
	call.body[0] = call.trailer[0] = '\0';
	call.body_end = false;
	call.sent = 0;
	cc_head_free(r->head);
	return &call;
}

static void fake_body(void *arg, struct cc_buf *body, bool eos)
{
	size_t n = strlen(call.body), len = body->len;

	ck_assert_ptr_eq(arg, &call);
	ck_assert_uint_lt(n + len, sizeof(call.body));
	cc_buf_peek(body, call.body + n, len);
	call.body[n + len] = '\0';
	call.body_end = eos;
	cc_buf_clear(body);
}

static void fake_trailers(void *arg, const struct cc_head *trailers)
{
	struct cc_str name = cc_head_name(trailers, 0);

	(void)arg;
	snprintf(call.trailer, sizeof(call.trailer), "%.*s", (int)name.n, name.p);
	call.body_end = true;
}

static size_t fake_room(void *arg)
{
	(void)arg;
	return call.room;
}

static void fake_sent(void *arg, size_t n)
{
	(void)arg;
	call.sent += n;
}

static void fake_gone(void *arg)
{
	(void)arg;
	call.gone++;
	call.stream = NULL;
}

static const struct service fake = {
	.name = "fake",
	.begin = fake_begin,
	.body = fake_body,
	.trailers = fake_trailers,
	.room = fake_room,
	.sent = fake_sent,
	.gone = fake_gone,
};

/* ---- the owner --------------------------------------------------------------- */

static const struct conf_upstream upstream = {.name = "api"};
static struct front_home home;
static unsigned asked, left, left_refused;
static struct {
	unsigned worker;
	int fd;
	char bytes[256];
} handed;

static struct front_home fake_home(struct front_listener *l, const struct cc_head *head)
{
	ck_assert_ptr_eq(l, &fl);
	ck_assert_ptr_nonnull(head);
	asked++;
	return home;
}

static bool fake_hand_over(
	struct front_listener *l, unsigned worker, int fd, const struct cc_buf *bytes)
{
	size_t n = cc_buf_peek(bytes, handed.bytes, sizeof(handed.bytes) - 1);

	(void)l;
	handed.worker = worker;
	handed.fd = fd;
	handed.bytes[n] = '\0';
	return true;
}

static void fake_left(struct front_listener *l, bool refused)
{
	(void)l;
	left++;
	left_refused += refused;
}

static const struct front_owner owner = {
	.home_of = fake_home,
	.hand_over = fake_hand_over,
	.left = fake_left,
};

/* ---- the fixture --------------------------------------------------------------- */

static void turns(void)
{
	for (int i = 0; i < TURNS; i++)
		fixture_turn(&f);
}

static void later(uint64_t ms)
{
	f.us += ms * 1000;
	f.ctx->now = 0;
	timers_run(f.ctx);
	turns();
}

/* The daemon's end of a new pair; the other one is the client. */
static int new_pair(void)
{
	int pair[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	client = pair[1];
	return pair[0];
}

static void connect_client(void)
{
	ck_assert(front_accept(&fl, new_pair()));
}

static void setup(void)
{
	fixture_begin(&f, 0);
	logs = log_set_new(STDERR_FILENO, false, 1);
	log_set_level(logs, LOG_LEVEL_ERROR);
	memset(&call, 0, sizeof(call));
	memset(&stats, 0, sizeof(stats));
	memset(&handed, 0, sizeof(handed));
	asked = left = left_refused = 0;
	call.room = 65536;
	home = (struct front_home){.up = &upstream, .here = true};
	fl = (struct front_listener){
		.owner = &owner,
		.ctx = f.ctx,
		.log = log_of(logs, 0),
		.stats = &stats,
		.service = &fake,
		.server = &fl,
		.conf = &settings,
		.single_worker = true,
	};
	list_init(&fl.conns);
}

static void teardown(void)
{
	front_close_all(&fl);
	turn_run_reap(f.ctx);
	ck_assert_uint_eq(fl.count, 0);
	ck_assert_uint_eq(fl.refused, 0);
	if (client >= 0)
		close(client);
	client = -1;
	log_set_free(logs);
	fixture_end(&f);
}

static void say(const char *text)
{
	ck_assert_int_eq(write(client, text, strlen(text)), (ssize_t)strlen(text));
	turns();
}

/* What came since the last time; *eof: and the end. */
static const char *hear_end(bool *eof)
{
	static char text[8192];
	size_t n = 0;
	ssize_t got;

	turns();
	while ((got = read(client, text + n, sizeof(text) - 1 - n)) > 0)
		n += (size_t)got;
	text[n] = '\0';
	*eof = got == 0;
	return text;
}

static const char *hear(void)
{
	bool eof;
	const char *text = hear_end(&eof);

	ck_assert_msg(!eof, "the end came behind \"%s\"", text);
	return text;
}

static const char *hear_last(void)
{
	bool eof;
	const char *text = hear_end(&eof);

	ck_assert_msg(eof, "no end behind \"%s\"", text);
	return text;
}

/* The client is closed and its memory given back, without its having been heard. */
static void assert_left(unsigned n)
{
	turns();
	ck_assert_uint_eq(left, n);
}

static void assert_starts(const char *text, const char *with)
{
	ck_assert_msg(
		strncmp(text, with, strlen(with)) == 0, "\"%s\" is not \"%s...\"", text, with);
}

static void assert_has(const char *text, const char *part)
{
	ck_assert_msg(strstr(text, part) != NULL, "no \"%s\" in \"%s\"", part, text);
}

/* ---- the service answers --------------------------------------------------------- */

static void give_head(unsigned status, const char *length)
{
	struct cc_head *head = cc_head_new(f.ctx);

	cc_head_set_status(head, status);
	if (length)
		cc_head_add(
			head, CC_STR("content-length"), (struct cc_str){length, strlen(length)});
	call.ops->head(call.stream, head);
	cc_head_free(head);
}

static void give_body(const char *text)
{
	struct cc_buf body;

	cc_buf_init(&body, f.ctx);
	cc_buf_add(&body, text, strlen(text));
	call.ops->body(call.stream, &body);
	ck_assert_uint_eq(body.len, 0);
}

static void give_end(void)
{
	void *stream = call.stream;

	call.stream = NULL;
	call.ops->end(stream, NULL);
}

static void give(const char *text)
{
	char length[24];

	snprintf(length, sizeof(length), "%zu", strlen(text));
	give_head(200, length);
	give_body(text);
	give_end();
}

/* ---- requests -------------------------------------------------------------------- */

#define GET(path)        "GET " path " HTTP/1.1\r\nHost: api\r\n\r\n"
#define OK(length, text) "HTTP/1.1 200 OK\r\nContent-Length: " length "\r\n\r\n" text

START_TEST(a_connection_carries_one_request_after_the_other)
{
	connect_client();
	for (int i = 0; i < 3; i++) {
		say(GET("/a"));
		ck_assert_uint_eq(call.begun, (unsigned)i + 1);
		ck_assert_str_eq(call.path, "/a");
		ck_assert(call.end_stream && !call.expects);
		give("one");
		ck_assert_str_eq(hear(), OK("3", "one"));
	}
	ck_assert_uint_eq(left, 0);
	ck_assert_uint_eq(call.gone, 0);
}
END_TEST

START_TEST(the_service_hears_who_asks_and_where_it_is_for)
{
	connect_client();
	say(GET("/"));
	ck_assert_uint_eq(call.uid, getuid());
	ck_assert_ptr_eq(call.up, &upstream);
	ck_assert_uint_eq(asked, 1);
	give("x");
	home.up = NULL;
	say(GET("/"));
	ck_assert_ptr_null(call.up);
	ck_assert_uint_eq(asked, 2);
}
END_TEST

START_TEST(pipelined_requests_are_begun_one_by_one_and_answered_in_order)
{
	connect_client();
	say(GET("/1") GET("/2") GET("/3"));
	ck_assert_str_eq(call.path, "/1");
	ck_assert_uint_eq(call.begun, 1);
	give("a");
	turns();
	ck_assert_str_eq(call.path, "/2");
	ck_assert_uint_eq(call.begun, 2);
	give("b");
	turns();
	ck_assert_str_eq(call.path, "/3");
	give("c");
	ck_assert_str_eq(hear(), OK("1", "a") OK("1", "b") OK("1", "c"));
}
END_TEST

START_TEST(a_body_reaches_the_service_and_waits_when_there_is_no_room)
{
	connect_client();
	say("POST /p HTTP/1.1\r\nHost: api\r\nContent-Length: 10\r\n\r\nfirst");
	ck_assert(!call.end_stream);
	ck_assert_str_eq(call.body, "first");
	ck_assert(!call.body_end);
	call.room = 0;
	say("-five");
	ck_assert_str_eq(call.body, "first");
	call.room = 100;
	call.ops->room(call.stream);
	turns();
	ck_assert_str_eq(call.body, "first-five");
	ck_assert(call.body_end);
}
END_TEST

START_TEST(trailers_end_a_body)
{
	connect_client();
	say("POST / HTTP/1.1\r\nHost: api\r\nTransfer-Encoding: chunked\r\n\r\n"
	    "3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n");
	ck_assert_str_eq(call.body, "abc");
	ck_assert_str_eq(call.trailer, "x-sum");
}
END_TEST

START_TEST(what_has_left_for_the_client_is_told_to_the_service)
{
	connect_client();
	say(GET("/"));
	give_head(200, "8");
	give_body("12345");
	turns();
	ck_assert_uint_eq(call.sent, 5);
	give_body("678");
	turns();
	ck_assert_uint_eq(call.sent, 8);
}
END_TEST

START_TEST(an_answer_without_length_is_chunked)
{
	connect_client();
	say(GET("/"));
	give_head(200, NULL);
	give_body("abc");
	give_end();
	ck_assert_str_eq(hear(), "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
				 "3\r\nabc\r\n0\r\n\r\n");
}
END_TEST

START_TEST(expect_continue_is_passed_on_and_its_100_comes_back)
{
	struct cc_head *head;

	connect_client();
	say("POST / HTTP/1.1\r\nHost: api\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
	ck_assert(call.expects);
	head = cc_head_new(f.ctx);
	cc_head_set_status(head, 100);
	call.ops->info(call.stream, head);
	cc_head_free(head);
	ck_assert_str_eq(hear(), "HTTP/1.1 100 Continue\r\n\r\n");
	say("ok");
	ck_assert_str_eq(call.body, "ok");
	give("done");
	ck_assert_str_eq(hear(), OK("4", "done"));
}
END_TEST

/* ---- ends ------------------------------------------------------------------------ */

START_TEST(an_early_answer_ends_the_connection_and_what_still_comes_is_dropped)
{
	connect_client();
	say("POST / HTTP/1.1\r\nHost: api\r\nContent-Length: 1000\r\n\r\nsome");
	give_head(413, "0");
	give_end();
	ck_assert_str_eq(hear_last(), "HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n"
				      "Connection: close\r\n\r\n");
	say("of the rest");
	ck_assert_str_eq(call.body, "some");
	ck_assert_uint_eq(left, 0);
	close(client);
	client = -1;
	assert_left(1);
}
END_TEST

START_TEST(who_keeps_sending_behind_an_early_answer_is_closed_after_a_moment)
{
	connect_client();
	say("POST / HTTP/1.1\r\nHost: api\r\nContent-Length: 1000\r\n\r\nsome");
	give_head(413, "0");
	give_end();
	hear_last();
	later(900);
	assert_left(0);
	later(200);
	assert_left(1);
}
END_TEST

START_TEST(a_client_that_sends_no_more_still_gets_its_answers)
{
	connect_client();
	say(GET("/1") GET("/2"));
	ck_assert_int_eq(shutdown(client, SHUT_WR), 0);
	turns();
	ck_assert_uint_eq(call.gone, 0);
	give("a");
	turns();
	ck_assert_str_eq(call.path, "/2");
	give("b");
	ck_assert_str_eq(hear_last(), OK("1", "a") "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n"
						   "Connection: close\r\n\r\nb");
	assert_left(1);
}
END_TEST

START_TEST(half_a_request_and_the_end_is_no_request)
{
	connect_client();
	say("POST / HTTP/1.1\r\nHost: api\r\nContent-Length: 10\r\n\r\nhalf");
	ck_assert_int_eq(shutdown(client, SHUT_WR), 0);
	assert_left(1);
	ck_assert_uint_eq(call.gone, 1);
	ck_assert_str_eq(hear_last(), "");
}
END_TEST

START_TEST(a_client_that_leaves_stops_its_request)
{
	connect_client();
	say(GET("/"));
	close(client);
	client = -1;
	assert_left(1);
	ck_assert_uint_eq(call.gone, 1);
}
END_TEST

START_TEST(a_cut_answer_is_seen_as_cut)
{
	bool chunked = _i == 1;
	const char *text;

	connect_client();
	say(GET("/"));
	give_head(200, chunked ? NULL : "10");
	give_body("half");
	turns();
	call.ops->cut(call.stream);
	call.stream = NULL;
	text = hear_last();
	assert_has(text, "half");
	ck_assert_ptr_null(strstr(text, "\r\n0\r\n\r\n"));
	ck_assert_uint_eq(call.gone, 0);
	assert_left(1);
}
END_TEST

START_TEST(the_services_last_word_is_not_followed_by_gone)
{
	connect_client();
	say("GET / HTTP/1.1\r\nHost: api\r\nConnection: close\r\n\r\n");
	give("x");
	hear_last();
	close(client);
	client = -1;
	assert_left(1);
	ck_assert_uint_eq(call.gone, 0);
}
END_TEST

/* ---- times ------------------------------------------------------------------------ */

START_TEST(a_head_that_does_not_arrive_in_time_gets_408)
{
	connect_client();
	say("GET / HTTP/1.1\r\nHo");
	later(9000);
	say("st: a"); /* one more byte is no more time */
	ck_assert_str_eq(hear(), "");
	later(1100);
	assert_starts(hear_last(), "HTTP/1.1 408 ");
	ck_assert_uint_eq(call.begun, 0);
	ck_assert_uint_eq(stats.bad_requests, 1);
}
END_TEST

START_TEST(an_idle_client_is_closed_a_busy_one_is_not)
{
	connect_client();
	say(GET("/"));
	later(70000);
	assert_left(0);
	give("x");
	ck_assert_str_eq(hear(), OK("1", "x"));
	later(59000);
	assert_left(0);
	later(1500);
	assert_left(1);
}
END_TEST

/* ---- drain ------------------------------------------------------------------------ */

START_TEST(a_drain_closes_idle_clients_at_once)
{
	connect_client();
	say(GET("/"));
	give("x");
	hear();
	front_drain(&fl);
	ck_assert_str_eq(hear_last(), "");
}
END_TEST

START_TEST(a_drain_lets_a_request_end_and_says_that_it_was_the_last)
{
	connect_client();
	say(GET("/"));
	front_drain(&fl);
	turns();
	ck_assert_uint_eq(call.gone, 0);
	give("x");
	ck_assert_str_eq(hear_last(), "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n"
				      "Connection: close\r\n\r\nx");
}
END_TEST

START_TEST(who_has_just_connected_may_ask_once_while_it_drains)
{
	connect_client();
	front_drain(&fl);
	later(900);
	say(GET("/"));
	later(5000);
	ck_assert_uint_eq(call.begun, 1);
	give("x");
	assert_has(hear_last(), "Connection: close\r\n");
}
END_TEST

START_TEST(who_has_just_connected_and_does_not_ask_is_closed_by_a_drain)
{
	connect_client();
	front_drain(&fl);
	later(900);
	assert_left(0);
	later(200);
	assert_left(1);
}
END_TEST

/* ---- limits ------------------------------------------------------------------------ */

START_TEST(a_client_without_a_place_gets_503_for_its_request)
{
	bool places = _i == 0;

	ck_assert(front_refuse(&fl, new_pair(), places ? FRONT_MAX_CLIENTS : FRONT_DESCRIPTORS));
	ck_assert_uint_eq(fl.refused, 1);
	say(GET("/"));

	const char *text = hear_last();

	assert_starts(text, "HTTP/1.1 503 ");
	assert_has(text, "Connection: close\r\n");
	assert_has(text, places ? "max_clients" : "LimitNOFILE");
	ck_assert_uint_eq(call.begun, 0);
	ck_assert_uint_eq(asked, 0);
	ck_assert_uint_eq(stats.rejected_by[places ? REJECT_MAX_CLIENTS : REJECT_DESCRIPTORS], 1);
	assert_left(1); /* all of its request was read: nothing is waited for */
	ck_assert_uint_eq(left_refused, 1);
}
END_TEST

START_TEST(a_client_without_a_place_that_does_not_ask_is_closed)
{
	ck_assert(front_refuse(&fl, new_pair(), FRONT_MAX_CLIENTS));
	later(900);
	assert_left(0);
	later(200);
	assert_left(1);
	ck_assert_str_eq(hear_last(), "");
}
END_TEST

/* Its second runs from when it came; header_timeout would be ten. */
START_TEST(a_client_without_a_place_has_a_second_for_all_of_its_head)
{
	ck_assert(front_refuse(&fl, new_pair(), FRONT_MAX_CLIENTS));
	later(900);
	say("GET / HTTP/1.1\r\nHo");
	ck_assert_str_eq(hear(), "");
	later(200);
	assert_starts(hear_last(), "HTTP/1.1 408 ");
}
END_TEST

START_TEST(bytes_that_are_no_request_are_answered_and_reach_no_service)
{
	static const char *const bad[] = {
		"GET / HTTP/1.1\r\n\r\n", "\x16\x03\x01\x02", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"};

	connect_client();
	say(bad[_i]);
	assert_starts(hear_last(), _i == 2 ? "HTTP/1.1 5" : "HTTP/1.1 400 ");
	ck_assert_uint_eq(call.begun, 0);
	ck_assert_uint_eq(stats.bad_requests, 1);
}
END_TEST

START_TEST(a_body_that_breaks_stops_its_request_and_is_answered)
{
	connect_client();
	say("POST / HTTP/1.1\r\nHost: api\r\nTransfer-Encoding: chunked\r\n\r\nnope\r\n");
	ck_assert_uint_eq(call.begun, 1);
	ck_assert_uint_eq(call.gone, 1);
	assert_starts(hear_last(), "HTTP/1.1 400 ");
}
END_TEST

/* ---- homes ------------------------------------------------------------------------ */

START_TEST(a_client_of_another_worker_goes_there_with_all_it_has_sent)
{
	fl.single_worker = false;
	home = (struct front_home){.up = &upstream, .worker = 3};
	connect_client();
	say("GET /1 HTTP/1.1\r\nHo");
	say("st: api\r\n\r\n" GET("/2"));
	ck_assert_uint_eq(handed.worker, 3);
	ck_assert_str_eq(handed.bytes, GET("/1") GET("/2"));
	ck_assert_uint_eq(call.begun, 0);
	assert_left(1);
	ck_assert(front_accept_with(&fl, handed.fd, handed.bytes, strlen(handed.bytes)));
	home.here = true;
	turns();
	ck_assert_str_eq(call.path, "/1");
	give("a");
	turns();
	ck_assert_str_eq(call.path, "/2");
}
END_TEST

START_TEST(a_client_of_another_worker_stays_while_this_one_drains)
{
	fl.single_worker = false;
	home = (struct front_home){.up = &upstream, .worker = 3};
	connect_client();
	front_drain(&fl);
	say(GET("/"));
	ck_assert_uint_eq(call.begun, 1);
	ck_assert_ptr_eq(call.up, &upstream);
}
END_TEST

/* The listener's own service, which answers what has its home here, is not asked. */
START_TEST(a_client_that_stays_is_answered_by_the_service_of_its_home)
{
	fl.single_worker = false;
	fl.service = NULL;
	home = (struct front_home){.up = &upstream, .worker = 3, .service = &fake, .server = &fl};
	connect_client();
	front_drain(&fl);
	say("POST / HTTP/1.1\r\nHost: api\r\nContent-Length: 3\r\n\r\n");
	say("abc");
	ck_assert_uint_eq(call.begun, 1);
	ck_assert_str_eq(call.body, "abc");
	ck_assert(call.body_end);
	front_close_all(&fl);
	ck_assert_uint_eq(call.gone, 1);
	turns();
}
END_TEST

/* ---- the first bytes ----------------------------------------------------------------- */

START_TEST(the_protocol_is_told_by_the_first_bytes)
{
	static const struct front_proto h2, h1;
	static const struct front_first rows[] = {
		{"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &h2},
		{"", &h1},
	};
	const char *preface = rows[0].bytes;

	for (size_t n = 1; n < 24; n++)
		ck_assert_ptr_null(front_detect(rows, 2, preface, n));
	ck_assert_ptr_eq(front_detect(rows, 2, preface, 24), &h2);
	ck_assert_ptr_eq(
		front_detect(rows, 2, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n and more", 33), &h2);
	ck_assert_ptr_eq(front_detect(rows, 2, "PO", 2), &h1);
	ck_assert_ptr_eq(front_detect(rows, 2, "PRI * HTTP/2.1", 14), &h1);
	ck_assert_ptr_eq(front_detect(rows, 2, "G", 1), &h1);
	ck_assert_ptr_eq(front_detect(rows + 1, 1, "P", 1), &h1);
}
END_TEST

static void add_requests(Suite *s)
{
	TCase *t = tcase_create("requests");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, a_connection_carries_one_request_after_the_other);
	tcase_add_test(t, the_service_hears_who_asks_and_where_it_is_for);
	tcase_add_test(t, pipelined_requests_are_begun_one_by_one_and_answered_in_order);
	tcase_add_test(t, a_body_reaches_the_service_and_waits_when_there_is_no_room);
	tcase_add_test(t, trailers_end_a_body);
	tcase_add_test(t, what_has_left_for_the_client_is_told_to_the_service);
	tcase_add_test(t, an_answer_without_length_is_chunked);
	tcase_add_test(t, expect_continue_is_passed_on_and_its_100_comes_back);
	tcase_add_test(t, a_client_of_another_worker_goes_there_with_all_it_has_sent);
	tcase_add_test(t, a_client_of_another_worker_stays_while_this_one_drains);
	tcase_add_test(t, a_client_that_stays_is_answered_by_the_service_of_its_home);
	tcase_add_test(t, the_protocol_is_told_by_the_first_bytes);
	suite_add_tcase(s, t);
}

static void add_ends(Suite *s)
{
	TCase *t = tcase_create("ends");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, an_early_answer_ends_the_connection_and_what_still_comes_is_dropped);
	tcase_add_test(t, who_keeps_sending_behind_an_early_answer_is_closed_after_a_moment);
	tcase_add_test(t, a_client_that_sends_no_more_still_gets_its_answers);
	tcase_add_test(t, half_a_request_and_the_end_is_no_request);
	tcase_add_test(t, a_client_that_leaves_stops_its_request);
	tcase_add_loop_test(t, a_cut_answer_is_seen_as_cut, 0, 2);
	tcase_add_test(t, the_services_last_word_is_not_followed_by_gone);
	tcase_add_test(t, a_head_that_does_not_arrive_in_time_gets_408);
	tcase_add_test(t, an_idle_client_is_closed_a_busy_one_is_not);
	tcase_add_test(t, a_drain_closes_idle_clients_at_once);
	tcase_add_test(t, a_drain_lets_a_request_end_and_says_that_it_was_the_last);
	tcase_add_test(t, who_has_just_connected_may_ask_once_while_it_drains);
	tcase_add_test(t, who_has_just_connected_and_does_not_ask_is_closed_by_a_drain);
	tcase_add_loop_test(t, a_client_without_a_place_gets_503_for_its_request, 0, 2);
	tcase_add_test(t, a_client_without_a_place_that_does_not_ask_is_closed);
	tcase_add_test(t, a_client_without_a_place_has_a_second_for_all_of_its_head);
	tcase_add_loop_test(t, bytes_that_are_no_request_are_answered_and_reach_no_service, 0, 3);
	tcase_add_test(t, a_body_that_breaks_stops_its_request_and_is_answered);
	suite_add_tcase(s, t);
}

int main(void)
{
	Suite *s = suite_create("front");

	add_requests(s);
	add_ends(s);
	return run_suite(s);
}
