/*
 * test_workers.c - several workers: limits stay those of the whole daemon, and
 * clients that ask for upstreams of different homes notice nothing.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/daemon/harness.h"

#define CLIENTS 30

static const char *const names[] = {"one", "two", "three", "four"};
static struct origin *origins[4];

static char *configured(const char *more)
{
	char *ups = "";

	for (unsigned i = 0; i < 4; i++)
		ups = text("%s%s%s", ups, i ? ", " : "", upstream(names[i], origins[i], more));
	return text("daemon : { workers = 3; };\n%s", config("", ups));
}

/* Four upstreams on three workers. */
static void start(const char *more)
{
	for (unsigned i = 0; i < 4; i++)
		origins[i] = i % 2 ? h2_origin() : h1_origin();
	daemon_start(configured(more));
}

static void ask(struct client *c, const char *name, const char *path)
{
	client_say(c, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", path, name);
}

START_TEST(one_client_reaches_all_upstreams_in_turn)
{
	struct client *c;

	start("");
	c = client_open();
	for (int i = 0; i < 40; i++) {
		ask(c, names[i % 4], "/bytes/1000");
		ck_assert_uint_eq(client_answer(c).len, 1000);
	}
	client_close(c);
	for (unsigned i = 0; i < 4; i++) {
		ck_assert_uint_eq(origin_counts(origins[i]).requests, 10);
		ck_assert_uint_eq(origin_counts(origins[i]).accepted, 1);
	}
}
END_TEST

START_TEST(pipelined_requests_for_different_homes_are_answered_in_order)
{
	struct client *c;

	start("");
	c = client_open();
	client_say(c, "POST /sha HTTP/1.1\r\nHost: two\r\nContent-Length: 3\r\n\r\nabc"
		      "GET /bytes/200000 HTTP/1.1\r\nHost: one\r\n\r\n"
		      "GET /bytes/7 HTTP/1.1\r\nHost: three\r\n\r\n"
		      "GET /bytes/8 HTTP/1.1\r\nHost: two\r\nConnection: close\r\n\r\n");
	ck_assert_uint_eq(client_answer(c).len, 65);
	ck_assert_uint_eq(client_answer(c).len, 200000);
	ck_assert_uint_eq(client_answer(c).len, 7);
	ck_assert_uint_eq(client_answer(c).len, 8);
	ck_assert(client_closed(c));
	client_close(c);
}
END_TEST

START_TEST(a_head_that_comes_byte_by_byte_moves_whole)
{
	static const char request[] =
		"POST /sha HTTP/1.1\r\nHost: three\r\nContent-Length: 3\r\n\r\nabc";
	struct client *c;

	start("");
	c = client_open();
	for (size_t i = 0; i + 1 < sizeof(request); i++) {
		client_write(c, request + i, 1);
		if (i % 10 == 0)
			harness_nap();
	}
	ck_assert_uint_eq(client_answer(c).len, 65);
	client_close(c);
}
END_TEST

START_TEST(max_connections_is_the_whole_daemons)
{
	struct client *c[CLIENTS];

	start("max_connections = 2;");
	for (unsigned i = 0; i < CLIENTS; i++) {
		c[i] = client_open();
		ask(c[i], "one", "/slow/50");
	}
	for (unsigned i = 0; i < CLIENTS; i++) {
		ck_assert_uint_eq(client_answer(c[i]).status, 200);
		client_close(c[i]);
	}
	ck_assert_uint_le(origin_counts(origins[0]).accepted, 2);
	ck_assert_uint_eq(origin_counts(origins[0]).requests, CLIENTS);
}
END_TEST

/* So many to each origin, and no worker more opens its own. */
static void assert_open(unsigned n)
{
	uint64_t until;

	for (unsigned i = 0; i < 4; i++)
		WAIT_FOR(origin_counts(origins[i]).open >= n);
	for (until = harness_now() + 200; harness_now() < until; harness_nap())
		for (unsigned i = 0; i < 4; i++)
			ck_assert_uint_eq(origin_counts(origins[i]).accepted, n);
}

START_TEST(min_connections_are_the_whole_daemons)
{
	start("min_connections = 2; max_connections = 3;");
	assert_open(2);
	daemon_rewrite(configured("min_connections = 3; max_connections = 3;"));
	kill(daemon_pid(), SIGHUP);
	assert_open(3);
}
END_TEST

START_TEST(all_running_requests_are_finished_on_sigterm)
{
	struct client *c[CLIENTS];

	start("");
	for (unsigned i = 0; i < CLIENTS; i++) {
		c[i] = client_open();
		ask(c[i], names[i % 4], "/hold/3");
	}
	for (unsigned i = 0; i < 4; i++)
		WAIT_FOR(origin_counts(origins[i]).requests >= CLIENTS / 4);
	WAIT_FOR(origin_counts(origins[0]).requests + origin_counts(origins[1]).requests +
			 origin_counts(origins[2]).requests + origin_counts(origins[3]).requests ==
		 CLIENTS);
	daemon_end();
	for (unsigned i = 0; i < 4; i++)
		origin_release(origins[i]);
	for (unsigned i = 0; i < CLIENTS; i++) {
		ck_assert_uint_eq(client_answer(c[i]).status, 200);
		client_close(c[i]);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("workers");
	TCase *c = harness_case(s, "workers");

	tcase_add_test(c, one_client_reaches_all_upstreams_in_turn);
	tcase_add_test(c, pipelined_requests_for_different_homes_are_answered_in_order);
	tcase_add_test(c, a_head_that_comes_byte_by_byte_moves_whole);
	tcase_add_test(c, max_connections_is_the_whole_daemons);
	tcase_add_test(c, min_connections_are_the_whole_daemons);
	tcase_add_test(c, all_running_requests_are_finished_on_sigterm);
	return harness_main(s);
}
