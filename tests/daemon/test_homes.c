/*
 * test_homes.c - clients that cannot move to the home of their upstream are served as if they had.
 *
 * There are two workers. "home" has its home in one, "away" in the other: a client that has asked
 * for "away" stands there. Its next request, for "home", is half there when a reload closes its
 * listener; from then on the client cannot move, and the rest of the request comes.
 */
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "tests/daemon/harness.h"

#define MIB     (1024ull * 1024)
#define CLIENTS 12

static struct origin *home, *away;
static const char *settings; /* of "home" */

static const char *other_socket(void)
{
	return text("%s/other.sock", harness_dir());
}

static char *configured(const char *socket)
{
	return text("daemon : { workers = 2; };\n"
		    "listeners = ( { name = \"%s\"; path = \"%s\"; } );\n"
		    "upstreams = ( %s, %s );\n",
		strrchr(socket, '/') + 1, socket, upstream("home", home, settings),
		upstream("away", away, ""));
}

static void start_with(struct origin *o, const char *more)
{
	home = o;
	away = h1_origin();
	settings = more;
	daemon_start(configured(daemon_socket()));
}

/* HTTP/1, HTTP/2. */
static void start(int i, const char *more)
{
	start_with(origin_of(i), more);
}

/* A client at the home of "away" whose request is there but for its last line and its body. */
static struct client *come_at(const char *socket, const char *request)
{
	struct client *c = client_open_at(socket);

	client_say(c, "GET / HTTP/1.1\r\nHost: away\r\n\r\n");
	ck_assert_uint_eq(client_answer(c).status, 200);
	client_say(c, "%s HTTP/1.1\r\nHost: home\r\n", request);
	return c;
}

static struct client *come(const char *request)
{
	return come_at(daemon_socket(), request);
}

/* From here on who has come by another socket cannot move. */
static void listen_at(const char *socket)
{
	unsigned before = daemon_logged("event=\"reloaded\"");

	daemon_rewrite(configured(socket));
	kill(daemon_pid(), SIGHUP);
	WAIT_FOR(daemon_logged("event=\"reloaded\"") == before + 1);
}

/* Who has come cannot move, and clients come by the other socket. */
static void close_listener(void)
{
	listen_at(other_socket());
}

static struct client *come_alone(const char *request)
{
	struct client *c = come(request);

	close_listener();
	return c;
}

/* The answer to the request whose rest this is, and the end. */
static struct answer go_on(struct client *c, const char *rest)
{
	struct answer a;

	client_say(c, "%s", rest);
	a = client_answer(c);
	ck_assert(!a.whole || client_closed(c));
	client_close(c);
	return a;
}

static uint64_t count_of(const char *group, const char *name)
{
	return counted(daemon_counters("home"), group, name);
}

/* Told and counted. What comes late would be in the log by the time of the counters. */
static void assert_failed_once(void)
{
	WAIT_FOR(daemon_logged("event=\"request failed\"") > 0);
	ck_assert_uint_eq(count_of(NULL, "rejected"), 1);
	ck_assert_uint_eq(daemon_logged("event=\"request failed\""), 1);
}

/* ---- limits ------------------------------------------------------------------ */

START_TEST(max_connections_holds_for_clients_that_cannot_move)
{
	struct client *c[2 * CLIENTS];

	start(0, "max_connections = 2;");
	for (unsigned i = 0; i < CLIENTS; i++)
		c[i] = come("GET /slow/50");
	close_listener();
	for (unsigned i = 0; i < CLIENTS; i++) {
		client_say(c[i], "\r\n");
		c[CLIENTS + i] = client_open_at(other_socket());
		client_say(c[CLIENTS + i], "GET /slow/50 HTTP/1.1\r\nHost: home\r\n\r\n");
	}
	for (unsigned i = 0; i < 2 * CLIENTS; i++) {
		ck_assert_uint_eq(client_answer(c[i]).status, 200);
		client_close(c[i]);
	}
	ck_assert_uint_le(origin_counts(home).accepted, 2);
	ck_assert_uint_eq(origin_counts(home).requests, 2 * CLIENTS);
	ck_assert_uint_eq(count_of(NULL, "requests"), 2 * CLIENTS);
	ck_assert_uint_eq(count_of(NULL, "answered"), 2 * CLIENTS);
}
END_TEST

/* The queue is the home's, and what it says comes through as it is. */
START_TEST(request_that_waits_for_too_long_is_told_so_once)
{
	struct client *holds, *c;
	struct answer a;

	start(0, "max_connections = 1; queue_timeout = \"200ms\";");
	c = come_alone("GET /");
	holds = client_open_at(other_socket());
	client_say(holds, "GET /hold/3 HTTP/1.1\r\nHost: home\r\n\r\n");
	WAIT_FOR(origin_counts(home).requests == 1);
	a = go_on(c, "\r\n");
	assert_own_answer(&a, 503);
	ck_assert_str_eq(answer_field(&a, "connpool-retry-safe"), "yes");
	ck_assert_str_eq(answer_field(&a, "retry-after"), "1");
	ck_assert_ptr_nonnull(strstr(a.body, "queue_timeout"));
	origin_release(home);
	ck_assert_uint_eq(client_answer(holds).status, 200);
	client_close(holds);
	ck_assert_uint_eq(origin_counts(home).accepted, 1);
	assert_failed_once();
}
END_TEST

START_TEST(time_that_the_client_gives_its_request_holds_at_home)
{
	struct answer a;

	start(_i, "client_timeout_header = \"x-timeout\"; response_timeout = \"0s\";");
	a = go_on(come_alone("GET /stall"), "x-timeout: 200ms\r\n\r\n");
	assert_own_answer(&a, 504);
	ck_assert_ptr_nonnull(strstr(a.body, "x-timeout"));
	ck_assert_uint_eq(count_of(NULL, "rejected"), 1);
}
END_TEST

/* ---- bodies -------------------------------------------------------------------- */

START_TEST(large_answer_is_exact)
{
	static char expected[5 * MIB];
	struct answer a;

	start(_i, "");
	a = go_on(come_alone(text("GET /bytes/%llu", 5 * MIB)), "\r\n");
	pattern_fill(expected, sizeof(expected), 0);
	ck_assert(a.whole && a.sized);
	ck_assert_uint_eq(a.len, sizeof(expected));
	ck_assert_int_eq(memcmp(a.body, expected, sizeof(expected)), 0);
}
END_TEST

START_TEST(answer_without_a_length_is_exact)
{
	static char expected[MIB];
	struct answer a;

	start(_i, "");
	a = go_on(come_alone(text("GET /chunked/%llu", MIB)), "\r\n");
	pattern_fill(expected, sizeof(expected), 0);
	ck_assert(a.whole && a.chunked);
	ck_assert_uint_eq(a.len, sizeof(expected));
	ck_assert_int_eq(memcmp(a.body, expected, sizeof(expected)), 0);
}
END_TEST

START_TEST(large_request_body_is_exact)
{
	static char body[5 * MIB];
	struct client *c;
	char hex[65];

	start(_i, "");
	c = come_alone("POST /sha");
	client_say(c, "Content-Length: %zu\r\n\r\n", sizeof(body));
	pattern_fill(body, sizeof(body), 0);
	client_write(c, body, sizeof(body));
	pattern_sha(sizeof(body), hex);
	ck_assert_ptr_nonnull(strstr(go_on(c, "").body, hex));
	ck_assert_uint_eq(origin_counts(home).requests, 1);
}
END_TEST

START_TEST(chunked_request_with_trailers_arrives_whole)
{
	struct answer a;

	start(_i, "");
	a = go_on(come_alone("POST /echo"), "Transfer-Encoding: chunked\r\n\r\n"
					    "3\r\nabc\r\n4\r\ndefg\r\n0\r\nX-Sum: 7\r\n\r\n");
	ck_assert_uint_eq(a.status, 200);
	ck_assert_str_eq(a.body, "abcdefg");
	if (_i == 0)
		ck_assert(origin_saw(home, "X-Sum: 7") || origin_saw(home, "x-sum: 7"));
}
END_TEST

START_TEST(trailers_of_the_answer_come_through)
{
	struct answer a;

	start(_i, "");
	a = go_on(come_alone("GET /trailers"), "TE: trailers\r\n\r\n");
	ck_assert(a.whole);
	ck_assert_ptr_nonnull(strstr(a.trailers, "x-checksum"));
}
END_TEST

START_TEST(answers_without_a_body_come_through)
{
	struct client *head, *no_content, *not_modified;
	struct answer a;

	start(_i, "");
	head = come("HEAD /bytes/1000");
	no_content = come("GET /status/204");
	not_modified = come("GET /status/304");
	close_listener();
	client_say(head, "\r\n");
	a = client_next(head, true);
	ck_assert_uint_eq(a.status, 200);
	ck_assert_str_eq(answer_field(&a, "content-length"), "1000");
	ck_assert(client_closed(head));
	client_close(head);
	ck_assert_uint_eq(go_on(no_content, "\r\n").status, 204);
	ck_assert_uint_eq(go_on(not_modified, "\r\n").status, 304);
}
END_TEST

START_TEST(interim_answers_come_through)
{
	struct client *hints, *expects;

	start(_i, "");
	hints = come("GET /hints");
	expects = come("POST /continue");
	close_listener();
	client_say(hints, "\r\n");
	ck_assert_uint_eq(client_next(hints, false).status, 103);
	ck_assert_uint_eq(client_next(hints, false).status, 200);
	client_close(hints);
	client_say(expects, "Expect: 100-continue\r\nContent-Length: 3\r\n\r\n");
	ck_assert_uint_eq(client_next(expects, false).status, 100);
	ck_assert_uint_eq(go_on(expects, "abc").status, 200);
}
END_TEST

/* No field is added or lost on the way, in either direction. */
START_TEST(heads_are_those_of_a_client_that_moved)
{
	const char *fields = "Connection: x-hop\r\nx-hop: 1\r\nx-end: 2\r\n\r\n";
	struct client *c, *moves;
	struct answer a, b;

	start(_i, "");
	c = come_alone("GET /head");
	a = go_on(c, fields);
	moves = client_open_at(other_socket());
	client_say(moves, "GET /head HTTP/1.1\r\nHost: home\r\n%s", fields);
	b = client_answer(moves);
	ck_assert_ptr_nonnull(strstr(a.body, "x-end"));
	ck_assert_ptr_null(strstr(a.body, "x-hop"));
	ck_assert_str_eq(a.body, b.body);
	ck_assert_ptr_null(answer_field(&a, "via"));
	client_close(moves);
}
END_TEST

/* ---- failures ------------------------------------------------------------------ */

START_TEST(answer_that_is_cut_stays_cut)
{
	struct client *sized, *chunked;
	struct answer a;

	start(_i, "");
	sized = come("GET /cut/100000");
	chunked = come("GET /cut-chunked/100000");
	close_listener();
	a = go_on(sized, "\r\n");
	ck_assert_uint_eq(a.status, 200);
	ck_assert(!a.whole);
	a = go_on(chunked, "\r\n");
	ck_assert_uint_eq(a.status, 200);
	ck_assert(!a.whole);
	ck_assert_uint_eq(count_of(NULL, "cut"), 2);
}
END_TEST

START_TEST(request_that_may_have_been_processed_is_sent_once)
{
	struct answer a;

	start(_i, "");
	a = go_on(come_alone("POST /hangup"), "Content-Length: 3\r\n\r\nabc");
	assert_own_answer(&a, 502);
	ck_assert_str_eq(answer_field(&a, "connpool-retry-safe"), "no");
	ck_assert_uint_eq(origin_counts(home).requests, 1);
	assert_failed_once();
}
END_TEST

/* As often as for a client that moved. */
START_TEST(retries_are_the_homes)
{
	struct client *c, *moves;
	unsigned first;

	start(0, "retry_attempts = 2;");
	c = come_alone("GET /hangup");
	ck_assert_uint_eq(go_on(c, "\r\n").status, 502);
	first = origin_counts(home).requests;
	moves = client_open_at(other_socket());
	client_say(moves, "GET /hangup HTTP/1.1\r\nHost: home\r\n\r\n");
	ck_assert_uint_eq(client_answer(moves).status, 502);
	client_close(moves);
	ck_assert_uint_eq(origin_counts(home).requests, 2 * first);
}
END_TEST

START_TEST(client_that_leaves_cancels_its_request_at_home)
{
	struct client *c, *next;

	start(0, "max_connections = 1;");
	c = come_alone("GET /stall");
	client_say(c, "\r\n");
	WAIT_FOR(origin_counts(home).requests == 1);
	client_close(c);
	WAIT_FOR(origin_counts(home).open == 0);
	next = client_open_at(other_socket());
	client_say(next, "GET / HTTP/1.1\r\nHost: home\r\n\r\n");
	ck_assert_uint_eq(client_answer(next).status, 200);
	client_close(next);
	ck_assert_uint_eq(count_of(NULL, "abandoned"), 1);
}
END_TEST

START_TEST(client_that_leaves_the_queue_is_not_sent_later)
{
	struct client *holds, *c;

	start(0, "max_connections = 1;");
	c = come_alone("GET /once/0");
	holds = client_open_at(other_socket());
	client_say(holds, "GET /hold/3 HTTP/1.1\r\nHost: home\r\n\r\n");
	WAIT_FOR(origin_counts(home).requests == 1);
	client_say(c, "\r\n");
	daemon_queues("home", 1);
	client_close(c);
	daemon_queues("home", 0);
	origin_release(home);
	ck_assert_uint_eq(client_answer(holds).status, 200);
	client_close(holds);
	ck_assert_uint_eq(count_of(NULL, "abandoned"), 1);
	ck_assert_uint_eq(origin_counts(home).requests, 1);
}
END_TEST

/* ---- slow ones --------------------------------------------------------------------- */

START_TEST(upload_to_a_server_that_does_not_read_stops)
{
	struct client *c;

	start_with(some_origin(&(struct origin_opts){.serve = oc_ignore_body}), "");
	c = come_alone("PUT /x");
	client_say(c, "Content-Length: 300000000\r\n\r\n");
	ck_assert_uint_lt(client_push(c), 32 * MIB);
	WAIT_FOR(origin_counts(home).open == 1);
	client_close(c);
	WAIT_FOR(origin_counts(home).open == 0);
}
END_TEST

static atomic_ullong given;

/* Gives until nobody takes. */
static void give_without_end(struct origin_conn *oc)
{
	static char piece[65536];

	if (!oc_read_head(oc) ||
		!oc_say(oc, "HTTP/1.1 200 OK\r\nContent-Length: 300000000\r\n\r\n"))
		return;
	while (oc_write(oc, piece, sizeof(piece)))
		atomic_fetch_add(&given, sizeof(piece));
}

START_TEST(answer_to_a_client_that_does_not_read_stops)
{
	struct client *c;
	uint64_t before;

	given = 0;
	start_with(some_origin(&(struct origin_opts){.serve = give_without_end}), "");
	c = come_alone("GET /");
	client_say(c, "\r\n");
	WAIT_FOR(given > 0);
	do {
		before = given;
		for (uint64_t until = harness_now() + 500; harness_now() < until;)
			harness_nap();
	} while (given != before);
	ck_assert_uint_lt(given, 32 * MIB);
	client_close(c);
	WAIT_FOR(origin_counts(home).open == 0);
}
END_TEST

/* ---- the end ------------------------------------------------------------------------ */

START_TEST(request_is_finished_on_sigterm)
{
	struct client *c;
	struct answer a;

	start(_i, "");
	c = come_alone("GET /hold/3");
	client_say(c, "\r\n");
	WAIT_FOR(origin_counts(home).requests == 1);
	daemon_end();
	WAIT_FOR(daemon_logged("event=\"stopping\"") == 1);
	origin_release(home);
	a = client_answer(c);
	ck_assert_uint_eq(a.status, 200);
	ck_assert(a.whole);
	client_close(c);
}
END_TEST

/* The home has no client any more, and stays for those of the other worker. */
START_TEST(request_that_begins_after_sigterm_is_answered)
{
	struct client *c;

	start(_i, "");
	c = come("GET /");
	daemon_end();
	WAIT_FOR(daemon_logged("event=\"stopping\"") == 1);
	for (uint64_t until = harness_now() + 200; harness_now() < until;)
		harness_nap();
	ck_assert_uint_eq(go_on(c, "\r\n").status, 200);
}
END_TEST

START_TEST(second_signal_cuts_it)
{
	struct client *c;
	int status;

	start(_i, "");
	c = come_alone("GET /stall-body/1000");
	client_say(c, "\r\n");
	ck_assert_uint_eq(client_next(c, true).status, 200);
	daemon_end();
	WAIT_FOR(daemon_logged("event=\"stopping\"") == 1);
	kill(daemon_pid(), SIGTERM);
	WAIT_FOR(daemon_ended(&status));
	ck_assert(WIFEXITED(status));
	ck_assert(!client_answer(c).whole);
	client_close(c);
	daemon_forget();
}
END_TEST

START_TEST(listeners_that_come_and_go_cost_no_request)
{
	struct client *c[CLIENTS];

	start(_i, "max_connections = 2;");
	for (unsigned round = 0; round < 10; round++) {
		const char *sockets[] = {daemon_socket(), other_socket()};

		for (unsigned i = 0; i < CLIENTS; i++)
			c[i] = come_at(sockets[round % 2], "POST /sha");
		listen_at(sockets[(round + 1) % 2]);
		for (unsigned i = 0; i < CLIENTS; i++)
			client_say(c[i], "Content-Length: 3\r\n\r\nabc");
		for (unsigned i = 0; i < CLIENTS; i++)
			ck_assert_uint_eq(go_on(c[i], "").len, 65);
	}
	ck_assert_uint_eq(origin_counts(home).requests, 10 * CLIENTS);
	ck_assert_uint_le(origin_counts(home).peak, 2);
	ck_assert_uint_eq(count_of(NULL, "answered"), 10 * CLIENTS);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("homes");
	TCase *limits = harness_case(s, "limits"), *bodies = harness_case(s, "bodies"),
	      *failures = harness_case(s, "failures"), *slow = harness_case(s, "slow"),
	      *ends = harness_case(s, "ends");

	tcase_add_test(limits, max_connections_holds_for_clients_that_cannot_move);
	tcase_add_test(limits, request_that_waits_for_too_long_is_told_so_once);
	tcase_add_loop_test(limits, time_that_the_client_gives_its_request_holds_at_home, 0, 2);
	tcase_add_loop_test(bodies, large_answer_is_exact, 0, 2);
	tcase_add_loop_test(bodies, answer_without_a_length_is_exact, 0, 2);
	tcase_add_loop_test(bodies, large_request_body_is_exact, 0, 2);
	tcase_add_loop_test(bodies, chunked_request_with_trailers_arrives_whole, 0, 2);
	tcase_add_loop_test(bodies, trailers_of_the_answer_come_through, 0, 2);
	tcase_add_loop_test(bodies, answers_without_a_body_come_through, 0, 2);
	tcase_add_loop_test(bodies, interim_answers_come_through, 0, 2);
	tcase_add_loop_test(bodies, heads_are_those_of_a_client_that_moved, 0, 2);
	tcase_add_loop_test(failures, answer_that_is_cut_stays_cut, 0, 2);
	tcase_add_loop_test(failures, request_that_may_have_been_processed_is_sent_once, 0, 2);
	tcase_add_test(failures, retries_are_the_homes);
	tcase_add_test(failures, client_that_leaves_cancels_its_request_at_home);
	tcase_add_test(failures, client_that_leaves_the_queue_is_not_sent_later);
	tcase_add_test(slow, upload_to_a_server_that_does_not_read_stops);
	tcase_add_test(slow, answer_to_a_client_that_does_not_read_stops);
	tcase_add_loop_test(ends, request_is_finished_on_sigterm, 0, 2);
	tcase_add_loop_test(ends, request_that_begins_after_sigterm_is_answered, 0, 2);
	tcase_add_loop_test(ends, second_signal_cuts_it, 0, 2);
	tcase_add_loop_test(ends, listeners_that_come_and_go_cost_no_request, 0, 2);
	return harness_main(s);
}
