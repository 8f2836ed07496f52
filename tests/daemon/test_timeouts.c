/*
 * test_timeouts.c - how long a request may take: in the queue, to its answer, between two pieces of
 * a body, and in all; each without the others. Index: HTTP/1, HTTP/2.
 */
#include <stdlib.h>
#include <string.h>

#include "tests/daemon/harness.h"

static struct client *ask(const char *path, const char *fields)
{
	struct client *c = client_open();

	client_say(c, "GET %s HTTP/1.1\r\nHost: origin\r\n%s\r\n", path, fields);
	return c;
}

static struct answer get_with(const char *path, const char *fields)
{
	return client_hear(ask(path, fields));
}

/* Not before; that it was not another limit is said by its name or, of a body, by the counters. */
static void assert_took(uint64_t begun, uint64_t ms)
{
	ck_assert_uint_ge(
		harness_now() - begun + 20, ms); /* the daemon's clock is read once a turn */
}

/* The daemon's own answer, that names the limit and says whether repeating is safe. */
static void assert_limit(
	const struct answer *a, unsigned status, const char *limit, const char *retry_safe)
{
	assert_own_answer(a, status);
	ck_assert_msg(strstr(a->body, text("\"limit\": \"%s\"", limit)) != NULL, "%s", a->body);
	ck_assert_ptr_nonnull(answer_field(a, "connpool-retry-safe"));
	ck_assert_str_eq(answer_field(a, "connpool-retry-safe"), retry_safe);
}

/* A request that nobody answers ends after 300 ms. */
static void assert_stall_meets(const char *limit, const char *fields)
{
	uint64_t begun = harness_now();
	struct answer a = get_with("/stall", fields);

	assert_limit(&a, 504, limit, "no");
	assert_took(begun, 300);
}

/* An answer of 200 ends in its body after so many ms. */
static void assert_cut(const char *path, uint64_t ms)
{
	uint64_t begun = harness_now();
	struct answer a = get_once(path);

	ck_assert_uint_eq(a.status, 200);
	ck_assert(!a.whole);
	assert_took(begun, ms);
	ck_assert_uint_eq(counted(daemon_counters("origin"), NULL, "cut"), 1);
}

static void assert_rejected(const char *reason, unsigned n)
{
	ck_assert_uint_eq(counted(daemon_counters("origin"), "rejected_by_reason", reason), n);
}

/* ---- each alone ---- */

START_TEST(who_waits_too_long_in_the_queue_hears_queue_timeout)
{
	struct origin *o = origin_of(_i);
	struct client *busy;
	struct answer a;
	uint64_t begun;

	daemon_for(o, "max_connections = 1; max_streams = 1; queue_timeout = \"300ms\";");
	busy = client_ask("/hold/3");
	WAIT_FOR(origin_counts(o).requests == 1);
	begun = harness_now();
	a = get_once("/too-late");
	assert_limit(&a, 503, "queue_timeout", "yes");
	ck_assert_msg(strstr(a.body, "origin") != NULL, "%s", a.body);
	assert_took(begun, 300);
	origin_release(o);
	ck_assert_uint_eq(client_hear(busy).status, 200);
	assert_rejected("queue_timeout", 1);
	ck_assert_uint_eq(get_once("/bytes/5").len, 5);
	ck_assert(!origin_saw(o, "too-late"));
}
END_TEST

/*
 * It takes the connection and never greets: nothing has failed yet, and no name is being looked up.
 */
START_TEST(who_waits_for_the_first_connection_hears_that_none_came_up)
{
	struct origin *o = some_origin(&(struct origin_opts){.tls = true, .greet_late = 60000});
	uint64_t begun;
	struct answer a;

	daemon_for(o, "queue_timeout = \"300ms\";");
	begun = harness_now();
	a = get_once("/too-late");
	assert_limit(&a, 504, "queue_timeout", "yes");
	assert_took(begun, 300);
	ck_assert_msg(strstr(a.body, "no connection came up within queue_timeout (300 ms); 1 are "
				     "being opened") != NULL,
		"%s", a.body);
	assert_rejected("queue_timeout", 1);
}
END_TEST

START_TEST(servers_that_do_not_answer_meet_response_timeout)
{
	daemon_for(origin_of(_i), "response_timeout = \"300ms\";");
	assert_stall_meets("response_timeout", "");
	assert_rejected("response_timeout", 1);
}
END_TEST

START_TEST(bodies_may_take_longer_than_response_timeout)
{
	struct answer a;

	daemon_for(origin_of(_i), "response_timeout = \"2s\"; queue_timeout = \"2s\";");
	a = get_once("/drip/25/100");
	ck_assert_uint_eq(a.status, 200);
	ck_assert(a.whole);
	ck_assert_uint_eq(counted(daemon_counters("origin"), NULL, "answered"), 1);
}
END_TEST

START_TEST(bodies_that_stop_are_cut_at_body_idle_timeout)
{
	daemon_for(origin_of(_i), "body_idle_timeout = \"300ms\";");
	assert_cut("/stall-body/1000", 300);
}
END_TEST

START_TEST(bodies_that_move_and_answers_that_are_slow_do_not_meet_body_idle_timeout)
{
	struct answer a;

	daemon_for(origin_of(_i), "body_idle_timeout = \"2s\";");
	a = get_once("/drip/25/100");
	ck_assert(a.whole);
	ck_assert_uint_eq(get_once("/slow/2200").status, 200);
}
END_TEST

START_TEST(clients_that_stop_in_a_body_hear_408_at_body_idle_timeout)
{
	struct client *c;
	struct answer a;

	daemon_for(origin_of(_i), "body_idle_timeout = \"300ms\";");
	c = client_open();
	client_say(c, "POST /sha HTTP/1.1\r\nHost: origin\r\nContent-Length: 10\r\n\r\nhalf");
	a = client_hear(c);
	assert_limit(&a, 408, "body_idle_timeout", "no");
	assert_rejected("slow_client", 1);
}
END_TEST

/* ---- in all ---- */

START_TEST(requests_without_an_answer_hear_total_timeout)
{
	daemon_for(origin_of(_i), "total_timeout = \"300ms\";");
	assert_stall_meets("total_timeout", "");
	assert_rejected("total_timeout", 1);
}
END_TEST

START_TEST(waiting_counts_into_total_timeout)
{
	struct origin *o = origin_of(_i);
	struct client *busy, *c;
	struct answer a;

	daemon_for(o, "max_connections = 1; max_streams = 1; queue_timeout = \"off\";");
	busy = client_ask("/hold/3");
	WAIT_FOR(origin_counts(o).requests == 1);
	c = ask("/", "Connpool-Timeout: 300ms\r\n");
	a = client_hear(c);
	assert_limit(&a, 504, "Connpool-Timeout", "yes");
	origin_release(o);
	ck_assert_uint_eq(client_hear(busy).status, 200);
	ck_assert_uint_eq(origin_counts(o).requests, 1);
	assert_rejected("client_timeout", 1);
}
END_TEST

START_TEST(answers_that_have_begun_are_cut_at_total_timeout)
{
	/* Nothing else would cut it. */
	daemon_for(origin_of(_i), "total_timeout = \"1500ms\"; body_idle_timeout = \"off\";");
	assert_cut("/drip/1000/100", 1500);
	ck_assert_uint_eq(counted(daemon_counters("origin"), NULL, "answered"), 0);
}
END_TEST

START_TEST(without_total_timeout_streams_last)
{
	struct client *c[20];

	daemon_for(origin_of(_i),
		"max_connections = 30; queue_timeout = \"3s\"; response_timeout = \"3s\";"
		"body_idle_timeout = \"3s\";");
	for (int i = 0; i < 20; i++) /* four seconds: longer than any limit of another kind */
		c[i] = client_ask("/drip/40/100");
	for (int i = 0; i < 20; i++)
		ck_assert(client_hear(c[i]).whole);
	ck_assert_uint_eq(counted(daemon_counters("origin"), NULL, "answered"), 20);
}
END_TEST

/* ---- what the client says ---- */

START_TEST(clients_may_shorten_the_time)
{
	static const char *const fields[] = {"Connpool-Timeout: 0.3\r\n",
		"connpool-timeout: 300ms\r\n", "CONNPOOL-TIMEOUT: 0.3s\r\n"};

	daemon_for(origin_of(_i), "total_timeout = \"20s\";");
	for (int i = 0; i < 3; i++)
		assert_stall_meets("Connpool-Timeout", fields[i]);
	assert_rejected("client_timeout", 3);
}
END_TEST

START_TEST(clients_cannot_make_the_time_longer)
{
	daemon_for(origin_of(_i), "total_timeout = \"300ms\";");
	assert_stall_meets("total_timeout", "Connpool-Timeout: 10s\r\n");
}
END_TEST

START_TEST(the_field_is_not_forwarded)
{
	struct answer a;

	daemon_for(origin_of(_i), "");
	a = get_with("/head", "Connpool-Timeout: 10s\r\nX-Other: 1\r\n");
	ck_assert_msg(!strcasestr(a.body, "connpool-timeout"), "%s", a.body);
	ck_assert_msg(strcasestr(a.body, "x-other") != NULL, "%s", a.body);
}
END_TEST

START_TEST(a_field_that_is_no_time_is_400_and_says_so)
{
	static const char *const fields[] = {"Connpool-Timeout: soon\r\n",
		"Connpool-Timeout: 0\r\n", "Connpool-Timeout: \r\n",
		"Connpool-Timeout: 5s\r\nConnpool-Timeout: 5s\r\n"};
	struct origin *o = origin_of(_i);

	daemon_for(o, "");
	for (int i = 0; i < 4; i++) {
		struct answer a = get_with("/", fields[i]);

		assert_limit(&a, 400, "Connpool-Timeout", "yes");
	}
	ck_assert_uint_eq(origin_counts(o).requests, 0);
	assert_rejected("bad_request", 4);
}
END_TEST

START_TEST(the_field_may_have_another_name_or_none)
{
	struct origin *o = origin_of(_i);
	struct answer a;

	daemon_start(config(
		"", text("%s, %s", upstream("origin", o, "client_timeout_header = \"X-Time\";"),
			    upstream("other", o, "client_timeout_header = \"\";"))));
	a = get_with("/stall", "X-Time: 300ms\r\n");
	assert_limit(&a, 504, "X-Time", "no");
	struct client *c = client_open();

	client_say(c, "GET /head HTTP/1.1\r\nHost: other\r\nConnpool-Timeout: soon\r\n\r\n");
	a = client_hear(c);
	ck_assert_msg(strcasestr(a.body, "connpool-timeout") != NULL, "%s", a.body);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("timeouts");
	TCase *alone = harness_case(s, "alone");
	TCase *total = harness_case(s, "total");
	TCase *client = harness_case(s, "client");

	tcase_add_loop_test(alone, who_waits_too_long_in_the_queue_hears_queue_timeout, 0, 2);
	tcase_add_test(alone, who_waits_for_the_first_connection_hears_that_none_came_up);
	tcase_add_loop_test(alone, servers_that_do_not_answer_meet_response_timeout, 0, 2);
	tcase_add_loop_test(alone, bodies_may_take_longer_than_response_timeout, 0, 2);
	tcase_add_loop_test(alone, bodies_that_stop_are_cut_at_body_idle_timeout, 0, 2);
	tcase_add_loop_test(alone,
		bodies_that_move_and_answers_that_are_slow_do_not_meet_body_idle_timeout, 0, 2);
	tcase_add_loop_test(alone, clients_that_stop_in_a_body_hear_408_at_body_idle_timeout, 0, 2);

	tcase_add_loop_test(total, requests_without_an_answer_hear_total_timeout, 0, 2);
	tcase_add_loop_test(total, waiting_counts_into_total_timeout, 0, 2);
	tcase_add_loop_test(total, answers_that_have_begun_are_cut_at_total_timeout, 0, 2);
	tcase_add_loop_test(total, without_total_timeout_streams_last, 0, 2);

	tcase_add_loop_test(client, clients_may_shorten_the_time, 0, 2);
	tcase_add_loop_test(client, clients_cannot_make_the_time_longer, 0, 2);
	tcase_add_loop_test(client, the_field_is_not_forwarded, 0, 2);
	tcase_add_loop_test(client, a_field_that_is_no_time_is_400_and_says_so, 0, 2);
	tcase_add_loop_test(client, the_field_may_have_another_name_or_none, 0, 2);
	return harness_main(s);
}
