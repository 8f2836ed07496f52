/*
 * test_pool.c - how many connections the origin sees, who waits for them, and what becomes of them:
 * limits, queue, idle time, GOAWAY and Connection: close.
 */
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/daemon/harness.h"

/*
 * So many requests at a time, each on a client connection of its own; how many were answered 200.
 */
static unsigned burst(unsigned n, const char *path)
{
	struct client **c = calloc(n, sizeof(*c));
	unsigned good = 0;

	ck_assert_ptr_nonnull(c);
	for (unsigned i = 0; i < n; i++)
		c[i] = client_ask(path);
	for (unsigned i = 0; i < n; i++)
		good += client_hear(c[i]).status == 200;
	free(c);
	return good;
}

/* ---- how many ---- */

START_TEST(requests_one_after_the_other_use_one_connection)
{
	struct origin *o = origin_of(_i);

	daemon_for(o, "");
	for (int i = 0; i < 200; i++)
		ck_assert_uint_eq(get_once("/bytes/100").status, 200);
	ck_assert_uint_eq(origin_counts(o).accepted, 1);
	ck_assert_uint_eq(origin_counts(o).requests, 200);
	ck_assert_uint_eq(counted(daemon_counters("origin"), NULL, "reused"), 199);
}
END_TEST

START_TEST(a_burst_on_a_cold_http_2_upstream_uses_few_connections)
{
	struct origin *o =
		some_origin(&(struct origin_opts){.tls = true, .h2 = true, .max_streams = 128});

	daemon_for(o, "queue_timeout = \"30s\";");
	ck_assert_uint_eq(burst(1000, "/slow/50"), 1000);
	ck_assert_uint_le(origin_counts(o).accepted, 10);
	ck_assert_uint_eq(origin_counts(o).requests, 1000);
}
END_TEST

START_TEST(a_burst_on_a_warm_http_2_upstream_opens_no_more_than_it_needs)
{
	struct origin *o =
		some_origin(&(struct origin_opts){.tls = true, .h2 = true, .max_streams = 100});

	daemon_for(o, "");
	ck_assert_uint_eq(get_once("/").status, 200);
	ck_assert_uint_eq(burst(90, "/slow/200"), 90);
	ck_assert_uint_eq(origin_counts(o).accepted, 1);
}
END_TEST

START_TEST(http_1_upstreams_get_no_more_than_max_connections)
{
	struct origin *o = h1_origin();

	daemon_for(o, "max_connections = 3; queue_timeout = \"30s\";");
	ck_assert_uint_eq(burst(60, "/slow/20"), 60);
	ck_assert_uint_le(origin_counts(o).peak, 3);
	ck_assert_uint_eq(origin_counts(o).peak, 3);
}
END_TEST

START_TEST(http_2_upstreams_get_no_more_than_max_connections)
{
	struct origin *o =
		some_origin(&(struct origin_opts){.tls = true, .h2 = true, .max_streams = 2});

	daemon_for(o, "max_connections = 3; queue_timeout = \"30s\";");
	ck_assert_uint_eq(burst(60, "/slow/20"), 60);
	ck_assert_uint_le(origin_counts(o).peak, 3);
}
END_TEST

START_TEST(max_streams_is_kept_below_the_limit_of_the_peer)
{
	struct origin *o = h2_origin();

	daemon_for(o, "max_connections = 1; max_streams = 2;");
	uint64_t begun = harness_now();

	ck_assert_uint_eq(burst(8, "/slow/100"), 8);
	ck_assert_uint_ge(harness_now() - begun, 390);
	ck_assert_uint_eq(origin_counts(o).accepted, 1);
}
END_TEST

/* ---- who waits ---- */

/* One request runs until the origin is released, the queue has room for two: the clients in it. */
static struct client *running, *waiting[2];

static void fill_queue(struct origin *o)
{
	running = client_ask("/hold/4");
	WAIT_FOR(origin_counts(o).requests == 1);
	for (unsigned i = 0; i < 2; i++) {
		waiting[i] = client_ask(text("/bytes/%u", i + 1));
		daemon_queues("origin", i + 1);
	}
}

START_TEST(a_full_queue_is_503_and_says_so)
{
	struct origin *o = h1_origin();
	struct client *c;
	struct answer a;

	daemon_for(o, "max_connections = 1; max_queue = 2; queue_timeout = \"off\";");
	fill_queue(o);
	c = client_ask("/too-many");
	a = client_answer(c);
	assert_own_answer(&a, 503);
	ck_assert_msg(strstr(a.body, "origin") && strstr(a.body, "max_queue"), "%s", a.body);
	ck_assert_ptr_nonnull(answer_field(&a, "retry-after"));
	origin_release(o);
	/* Those who waited before are served, and the refused client may ask again. */
	ck_assert_uint_eq(client_hear(running).status, 200);
	ck_assert_uint_eq(client_hear(waiting[0]).len, 1);
	ck_assert_uint_eq(client_hear(waiting[1]).len, 2);
	ck_assert_uint_eq(get(c, "/bytes/5").len, 5);
	client_close(c);
	ck_assert(!origin_saw(o, "too-many"));
}
END_TEST

START_TEST(clients_that_hang_up_leave_the_queue)
{
	struct origin *o = h1_origin();
	struct client *c;
	struct answer a;

	daemon_for(o, "max_connections = 1; max_queue = 2; queue_timeout = \"off\";");
	fill_queue(o);
	client_close(waiting[0]);
	daemon_queues("origin", 1);
	c = client_ask("/bytes/3");
	daemon_queues("origin", 2);
	origin_release(o);
	a = client_hear(running);
	ck_assert_uint_eq(a.status, 200);
	ck_assert_uint_eq(client_hear(waiting[1]).len, 2);
	ck_assert_uint_eq(client_hear(c).len, 3);
	ck_assert(!origin_saw(o, "/bytes/1 "));
}
END_TEST

START_TEST(waiting_requests_keep_their_order)
{
	struct origin *o = h1_origin();
	struct client *c[8];

	daemon_for(o, "max_connections = 1; queue_timeout = \"off\";");
	running = client_ask("/hold/4");
	WAIT_FOR(origin_counts(o).requests == 1);
	for (unsigned i = 0; i < 8; i++) {
		c[i] = client_ask("/");
		daemon_queues("origin", i + 1);
	}
	origin_release(o);
	ck_assert_uint_eq(client_hear(running).status, 200);
	for (unsigned i = 0; i < 8; i++) {
		struct answer a = client_answer(c[i]);

		/* The origin numbers what comes. */
		ck_assert_str_eq(answer_field(&a, "x-number"), text("%u", i + 2));
		client_close(c[i]);
	}
}
END_TEST

START_TEST(a_slow_upstream_does_not_hold_up_another)
{
	struct origin *slow = h1_origin(), *quick = h1_origin();
	struct client *c[20];

	daemon_start(config("", text("%s, %s", upstream("slow", slow, "max_connections = 1;"),
					upstream("quick", quick, ""))));
	for (size_t i = 0; i < 20; i++) {
		c[i] = client_open();
		client_say(c[i], "GET /stall HTTP/1.1\r\nHost: slow\r\n\r\n");
	}
	WAIT_FOR(origin_counts(slow).requests == 1);
	for (int i = 0; i < 20; i++) {
		struct client *q = client_open();

		client_say(q, "GET / HTTP/1.1\r\nHost: quick\r\n\r\n");
		ck_assert_uint_eq(client_hear(q).status, 200);
	}
	for (size_t i = 0; i < 20; i++)
		client_close(c[i]);
}
END_TEST

/* ---- upstreams that are down ---- */

/* Connects that failed so far, by the daemon's own counters. */
static unsigned failed_connects(void)
{
	unsigned before = daemon_logged("event=\"counters\""), n = 0;
	const char *p;

	kill(daemon_pid(), SIGUSR1);
	WAIT_FOR(daemon_logged("event=\"counters\"") > before);
	for (p = daemon_log(); (p = strstr(p, "\"connect_failed\":")); p++)
		sscanf(p, "\"connect_failed\":%u", &n);
	return n;
}

/* It was there and is known as HTTP/1, so each request wants a connection of its own. */
START_TEST(who_waits_for_an_upstream_that_is_down_hears_so_soon)
{
	struct origin *o = h1_origin();
	struct client *c[6];

	daemon_for(o, "queue_timeout = \"off\"; backoff_min = \"20ms\";");
	ck_assert_uint_eq(get_once("/close-after").status, 200);
	WAIT_FOR(origin_counts(o).open == 0);
	origin_refuse(o);
	for (size_t i = 0; i < 6; i++)
		c[i] = client_ask("/");
	for (size_t i = 0; i < 6; i++) {
		struct answer a = client_hear(c[i]);

		assert_own_answer(&a, 502);
	}
	/* How soon is said by the number of attempts that they waited for. */
	ck_assert_uint_ge(failed_connects(), 1);
	ck_assert_uint_le(failed_connects(), 12);
}
END_TEST

/* ---- the end of connections ---- */

START_TEST(idle_upstream_connections_are_closed_and_made_again)
{
	struct origin *o = origin_of(_i);

	daemon_for(o, "idle_timeout = \"300ms\";");
	ck_assert_uint_eq(get_once("/").status, 200);
	ck_assert_uint_eq(origin_counts(o).accepted, 1);
	WAIT_FOR(origin_counts(o).open == 0);
	ck_assert_uint_eq(get_once("/").status, 200);
	ck_assert_uint_eq(origin_counts(o).accepted, 2);
}
END_TEST

START_TEST(busy_upstream_connections_are_not_idle)
{
	struct origin *o = origin_of(_i);

	daemon_for(o, "idle_timeout = \"200ms\";");
	ck_assert_uint_eq(get_once("/slow/900").status, 200);
	ck_assert_uint_eq(get_once("/drip/4/300").len, 4096);
	ck_assert_uint_le(origin_counts(o).accepted, 2);
}
END_TEST

/* GOAWAY on HTTP/2, Connection: close on HTTP/1. */
START_TEST(connections_that_the_origin_ends_are_replaced)
{
	struct origin *o = origin_of(_i);

	daemon_for(o, "");
	for (int i = 0; i < 20; i++) {
		ck_assert_uint_eq(get_once("/close-after").status, 200);
		ck_assert_uint_eq(get_once("/bytes/10").len, 10);
	}
	ck_assert_uint_ge(origin_counts(o).accepted, 20);
	WAIT_FOR(origin_counts(o).open <= 1);
}
END_TEST

static bool all_resumed_but_one(struct origin *o)
{
	struct origin_counts n = origin_counts(o);

	return n.resumed == n.accepted - 1;
}

/* _i & 1: HTTP/2; _i & 2: it is switched off. */
START_TEST(connections_resume_the_tls_session_of_the_one_before)
{
	struct origin *o = some_origin(&(struct origin_opts){.tls = true, .h2 = _i & 1});

	daemon_start(
		config("", text("{ name = \"origin\"; url = \"https://127.0.0.1:%u\"; "
				"tls : { ca_file = \"%s/../ca.pem\"; server_name = \"localhost\"; "
				"resumption = %s; }; }",
				   origin_port(o), harness_dir(), _i & 2 ? "false" : "true")));
	for (int i = 0; i < 5; i++)
		ck_assert_uint_eq(get_once("/close-after").status, 200);
	/* A successor may have been dialled already; it resumes as well. */
	ck_assert_uint_ge(origin_counts(o).accepted, 5);
	if (_i & 2)
		ck_assert_uint_eq(origin_counts(o).resumed, 0);
	else
		WAIT_FOR(all_resumed_but_one(o));
}
END_TEST

START_TEST(goaway_hurts_no_running_request)
{
	struct origin *o = h2_origin();
	struct client *c[40];

	daemon_for(o, "");
	ck_assert_uint_eq(get_once("/").status, 200);
	for (size_t i = 0; i < 40; i++)
		c[i] = client_ask(i == 15 ? "/close-after" : i % 2 ? "/slow/200" : "/drip/3/50");
	for (size_t i = 0; i < 40; i++) {
		struct answer a = client_hear(c[i]);

		ck_assert_msg(a.status == 200 && a.whole, "%zu: %s%s", i, a.head, a.body);
	}
	ck_assert_uint_eq(get_once("/").status, 200);
	ck_assert_uint_ge(origin_counts(o).accepted, 2);
}
END_TEST

START_TEST(abandoned_requests_leave_an_http_2_connection_usable)
{
	struct origin *o = h2_origin();

	daemon_for(o, "max_connections = 1; max_streams = 4;");
	ck_assert_uint_eq(get_once("/").status, 200);
	for (unsigned i = 0; i < 50; i++) {
		struct client *c = client_ask("/stall");

		WAIT_FOR(origin_counts(o).requests == i + 2);
		client_close(c);
	}
	ck_assert_uint_eq(get_once("/bytes/10").len, 10);
	ck_assert_uint_eq(origin_counts(o).accepted, 1);
}
END_TEST

START_TEST(nothing_to_do_costs_no_cpu)
{
	struct client *c;
	unsigned before;

	daemon_for(origin_of(_i), "");
	c = client_open();
	ck_assert_uint_eq(get(c, "/bytes/100000").status, 200);
	before = daemon_threads_cpu_ms();
	ck_assert(client_quiet(c, 1000));
	ck_assert_uint_lt(daemon_threads_cpu_ms() - before, 200);
	client_close(c);
}
END_TEST

/* ---- PINGs ---- */

/*
 * When the PINGs of the first two connections came, and when what they follow began: the test, and
 * the end of the first. Taken before anything that the daemon could see, so never too late.
 */
static atomic_uint_fast64_t pinged[2], begun_before[2];
static atomic_uint connection, asked;

/* Waits for a PING under the request; the first connection calls that abuse (ENHANCE_YOUR_CALM). */
static void count_pings(struct origin_conn *oc)
{
	static const char goaway[] = "\0\0\0\0\0\0\0\013too_many_pings";
	unsigned which = atomic_fetch_add(&connection, 1);
	uint8_t head[9], payload[64];
	uint32_t stream;

	if (!oc_h2_greet(oc) || (stream = oc_h2_request(oc)) == 0)
		return;
	do {
		if (!oc_read_exactly(oc, head, 9) || head[1] != 0 || head[2] > sizeof(payload) ||
			!oc_read_exactly(oc, payload, head[2]))
			return;
	} while (head[3] != 6);
	if (which < 2)
		atomic_store(&pinged[which], harness_now());
	if (which == 0)
		atomic_store(&begun_before[1], harness_now());
	if (which == 0)
		oc_say_frame(oc, 7, 0, 0, goaway, sizeof(goaway) - 1);
	else
		oc_say_frame(oc, 1, 5, stream, "\x88", 1); /* 200, and that is all */
	oc_wait_hangup(oc);
}

START_TEST(who_calls_pings_abuse_gets_half_as_many)
{
	atomic_store(&connection, 0);
	daemon_for(some_origin(&(struct origin_opts){.h2 = true, .serve = count_pings}),
		"check_after = \"200ms\"; ping_timeout = \"1m\";");
	atomic_store(&begun_before[0], harness_now());
	ck_assert_uint_eq(get_once("/").status, 200);
	ck_assert_uint_ge(pinged[0] - begun_before[0], 150);
	ck_assert_uint_ge(pinged[1] - begun_before[1], 350);
	ck_assert_uint_eq(daemon_logged("event=\"fewer PINGs\""), 1);
}
END_TEST

/*
 * Refuses the second of two requests in the words of a server to which PINGs are abuse; answers
 * others.
 */
static void complain_beside_a_refusal(struct origin_conn *oc)
{
	static const char goaway[] = "\0\0\0\1\0\0\0\0too_many_pings"; /* NO_ERROR: no pause */
	bool first = atomic_fetch_add(&connection, 1) == 0;
	uint32_t stream, other = 1;

	if (!oc_h2_greet(oc) || (stream = oc_h2_request(oc)) == 0)
		return;
	atomic_fetch_add(&asked, 1);
	if (first)
		other = oc_h2_request(oc);
	if (first && other)
		oc_say_frame(oc, 7, 0, 0, goaway, sizeof(goaway) - 1);
	if (other)
		oc_say_frame(oc, 1, 5, stream, "\x88", 1);
	oc_wait_hangup(oc);
}

/* The refused one asks the pool again before the pool has heard of the GOAWAY. */
START_TEST(a_complaint_about_pings_is_heard_when_a_refused_request_asks_first)
{
	struct client *first, *second;

	atomic_store(&connection, 0);
	atomic_store(&asked, 0);
	daemon_for(
		some_origin(&(struct origin_opts){.h2 = true, .serve = complain_beside_a_refusal}),
		"");
	first = client_ask("/");
	WAIT_FOR(atomic_load(&asked) == 1);
	second = client_ask("/");
	ck_assert_uint_eq(client_hear(first).status, 200);
	ck_assert_uint_eq(client_hear(second).status, 200);
	ck_assert_uint_eq(counted(daemon_counters("origin"), "retried_by_reason", "goaway"), 1);
	ck_assert_uint_eq(daemon_logged("event=\"fewer PINGs\""), 1);
}
END_TEST

/* ---- a server that is gone without a word ---- */

/* The first connection answers one request, then nobody is there: not even its kernel says so. */
static void fall_silent(struct origin_conn *oc)
{
	unsigned which = atomic_fetch_add(&connection, 1);
	uint32_t stream;

	if (!oc_h2_greet(oc))
		return;
	while ((stream = oc_h2_request(oc)) != 0) {
		oc_say_frame(oc, 1, 5, stream, "\x88", 1); /* 200, and that is all */
		if (which == 0) {
			oc_wait_hangup(oc);
			return;
		}
	}
}

/* _i: the first one sends a body all the time, which must not look like life. */
START_TEST(a_connection_that_fell_silent_is_left_when_its_ping_is_not_answered)
{
	uint64_t begun; /* before it is heard for the last time */
	struct client *c;
	struct answer a;

	atomic_store(&connection, 0);
	daemon_for(some_origin(&(struct origin_opts){.h2 = true, .serve = fall_silent}),
		"check_after = \"300ms\"; ping_timeout = \"300ms\"; response_timeout = \"off\";");
	begun = harness_now();
	ck_assert_uint_eq(get_once("/").status, 200);
	c = client_open();
	client_say(c, "%s / HTTP/1.1\r\nHost: origin\r\n%s\r\n", _i ? "PUT" : "GET",
		_i ? "Transfer-Encoding: chunked\r\n" : "");
	while (client_quiet(c, 20) && harness_now() - begun < PATIENCE)
		if (_i)
			client_say(c, "1\r\nx\r\n");
	a = client_hear(c);
	ck_assert_uint_eq(a.status, 504);
	ck_assert_uint_ge(harness_now() - begun, 600);
	ck_assert_uint_eq(get_once("/").status, 200);
	ck_assert_uint_eq(atomic_load(&connection), 2);
	ck_assert_uint_eq(
		counted(daemon_counters("origin"), "closed_by_reason", "ping_timeout"), 1);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("pool");
	TCase *limits = harness_case(s, "limits"), *queue = harness_case(s, "queue");
	TCase *ends = harness_case(s, "ends");

	tcase_add_loop_test(limits, requests_one_after_the_other_use_one_connection, 0, 2);
	tcase_add_test(limits, a_burst_on_a_cold_http_2_upstream_uses_few_connections);
	tcase_add_test(limits, a_burst_on_a_warm_http_2_upstream_opens_no_more_than_it_needs);
	tcase_add_test(limits, http_1_upstreams_get_no_more_than_max_connections);
	tcase_add_test(limits, http_2_upstreams_get_no_more_than_max_connections);
	tcase_add_test(limits, max_streams_is_kept_below_the_limit_of_the_peer);
	tcase_add_test(queue, a_full_queue_is_503_and_says_so);
	tcase_add_test(queue, clients_that_hang_up_leave_the_queue);
	tcase_add_test(queue, waiting_requests_keep_their_order);
	tcase_add_test(queue, a_slow_upstream_does_not_hold_up_another);
	tcase_add_test(queue, who_waits_for_an_upstream_that_is_down_hears_so_soon);
	tcase_add_loop_test(ends, idle_upstream_connections_are_closed_and_made_again, 0, 2);
	tcase_add_loop_test(ends, busy_upstream_connections_are_not_idle, 0, 2);
	tcase_add_loop_test(ends, connections_that_the_origin_ends_are_replaced, 0, 2);
	tcase_add_loop_test(ends, connections_resume_the_tls_session_of_the_one_before, 0, 4);
	tcase_add_test(ends, goaway_hurts_no_running_request);
	tcase_add_test(ends, abandoned_requests_leave_an_http_2_connection_usable);
	tcase_add_loop_test(ends, nothing_to_do_costs_no_cpu, 0, 2);
	tcase_add_test(ends, who_calls_pings_abuse_gets_half_as_many);
	tcase_add_test(ends, a_complaint_about_pings_is_heard_when_a_refused_request_asks_first);
	tcase_add_loop_test(
		ends, a_connection_that_fell_silent_is_left_when_its_ping_is_not_answered, 0, 2);
	return harness_main(s);
}
