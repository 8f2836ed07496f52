/*
 * test_retry.c - what is retried and why, how often, when, and at whose expense: the origin
 * counts what reaches it, and the daemon's log and counters must say the same.
 */
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/daemon/harness.h"
#include "tests/daemon/load.h"

/* Requests that origins of this file got, and connections before the one that behaves. */
static atomic_uint executed, bad_ones;

static void reset(unsigned bad)
{
	atomic_store(&executed, 0);
	atomic_store(&bad_ones, bad);
}

/* Is it this connection's turn to misbehave? */
static bool is_bad(void)
{
	unsigned left = atomic_load(&bad_ones);

	while (left > 0)
		if (atomic_compare_exchange_weak(&bad_ones, &left, left - 1))
			return true;
	return false;
}

static struct client *say(const char *method, const char *path)
{
	struct client *c = client_open();

	client_say(c, "%s %s HTTP/1.1\r\nHost: origin\r\nContent-Length: 5\r\n\r\nhello", method,
		path);
	return c;
}

static struct answer request(const char *method, const char *path)
{
	return client_hear(say(method, path));
}

static void assert_failed(const struct answer *a, unsigned status, const char *retry_safe)
{
	assert_own_answer(a, status);
	ck_assert_ptr_nonnull(answer_field(a, "connpool-retry-safe"));
	ck_assert_str_eq(answer_field(a, "connpool-retry-safe"), retry_safe);
}

/* So many repeats for that reason and no others: counted, and in the log a line each. */
static void assert_retried(const char *reason, unsigned n)
{
	const char *c = daemon_counters("origin");

	ck_assert_msg(counted(c, "retried_by_reason", reason) == n, "not %u: %s", n, c);
	ck_assert_uint_eq(counted(c, NULL, "retried"), n);
	ck_assert_uint_eq(daemon_logged("event=\"retry\""), n);
	ck_assert_uint_eq(daemon_logged_lines("event=\"retry\"", text("reason=%s ", reason)), n);
}

/* ---- reasons ---- */

START_TEST(a_refused_post_is_executed_once)
{
	struct origin *o = h2_origin();
	struct answer a;

	daemon_for(o, "");
	a = request("POST", "/refuse-once");
	ck_assert_msg(a.status == 200, "%s%s", a.head, a.body);
	ck_assert_uint_eq(origin_counts(o).requests, 2);
	assert_retried("refused", 1);
	ck_assert_uint_eq(counted(daemon_counters("origin"), NULL, "attempts"), 2);
}
END_TEST

/* Bad connections send this GOAWAY, with code, instead of an answer. */
static atomic_uint goaway_code;

static void go_away(struct origin_conn *oc)
{
	static const uint8_t ok[] = {0x88}; /* :status 200 */
	bool bad = is_bad();
	uint32_t stream;

	if (!oc_h2_greet(oc))
		return;
	while ((stream = oc_h2_request(oc)) != 0) {
		if (bad) {
			oc_say_goaway(oc, 0, (uint8_t)atomic_load(&goaway_code));
			oc_wait_hangup(oc);
			return;
		}
		atomic_fetch_add(&executed, 1);
		oc_say_frame(oc, 1, 5, stream, ok, sizeof(ok));
	}
}

static void start_goaway(unsigned bad, unsigned code, const char *more)
{
	reset(bad);
	atomic_store(&goaway_code, code);
	daemon_for(some_origin(&(struct origin_opts){.h2 = true, .serve = go_away}), more);
}

START_TEST(a_post_above_the_last_stream_of_goaway_is_executed_once)
{
	struct answer a;

	start_goaway(1, 0, "");
	a = request("POST", "/order");
	ck_assert_msg(a.status == 200, "%s%s", a.head, a.body);
	ck_assert_uint_eq(atomic_load(&executed), 1);
	assert_retried("goaway", 1);
}
END_TEST

/* Answers once a connection; bad ones close at the second request. */
static void close_second(struct origin_conn *oc)
{
	bool bad = is_bad();

	while (oc_read_head(oc)) {
		if (!oc_say(oc, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok") || !bad)
			continue;
		if (oc_read_head(oc))
			atomic_fetch_add(&executed, 1);
		return;
	}
}

static struct origin *start_closing(const char *more)
{
	struct origin *o = some_origin(&(struct origin_opts){.serve = close_second});

	reset(1);
	daemon_for(o, more);
	ck_assert_uint_eq(get_once("/").status, 200);
	return o;
}

START_TEST(a_get_that_met_the_end_of_a_used_connection_is_repeated)
{
	start_closing("");
	ck_assert_uint_eq(get_once("/").status, 200);
	ck_assert_uint_eq(atomic_load(&executed), 1);
	assert_retried("reused_closed", 1);
}
END_TEST

START_TEST(a_post_that_met_it_is_not_and_says_so)
{
	struct answer a;

	start_closing("retry = \"idempotent\";");
	a = request("POST", "/");
	assert_failed(&a, 502, "no");
	ck_assert_uint_eq(atomic_load(&executed), 1);
	assert_retried("reused_closed", 0);
	ck_assert_uint_eq(counted(daemon_counters("origin"), "rejected_by_reason", "closed"), 1);
}
END_TEST

/* The repeat cannot be made, but the first attempt may have been processed all the same. */
START_TEST(a_repeat_that_was_surely_not_processed_makes_the_request_not_safe)
{
	struct origin *o = start_closing("");
	struct answer a;

	origin_refuse(o);
	a = get_once("/");
	assert_failed(&a, 502, "no");
	assert_retried("reused_closed", 1);
	ck_assert_uint_eq(counted(daemon_counters("origin"), "rejected_by_reason", "connect"), 1);
}
END_TEST

START_TEST(servers_that_are_down_were_surely_not_reached)
{
	struct origin *o = h1_origin();
	struct answer a;

	daemon_for(o, "");
	origin_refuse(o);
	a = request("POST", "/");
	assert_failed(&a, 502, "yes");
	ck_assert_uint_eq(counted(daemon_counters("origin"), NULL, "attempts"), 0);
}
END_TEST

START_TEST(a_put_that_died_on_a_new_connection_is_repeated_once_if_allowed)
{
	struct origin *o = h1_origin();
	struct answer a;

	daemon_for(o, "retry = \"idempotent\";");
	a = request("PUT", "/hangup");
	assert_failed(&a, 502, "no");
	ck_assert_uint_eq(origin_counts(o).requests, 2);
	assert_retried("idempotent", 1);
}
END_TEST

START_TEST(retry_never_means_never)
{
	struct origin *o = h2_origin();
	struct answer a;

	daemon_for(o, "retry = \"never\";");
	a = request("POST", "/refuse");
	assert_failed(&a, 502, "yes");
	ck_assert_uint_eq(origin_counts(o).requests, 1);
	assert_retried("refused", 0);
	ck_assert_uint_eq(
		counted(daemon_counters("origin"), "rejected_by_reason", "unprocessed"), 1);
}
END_TEST

/* What is retried must still be held. */
START_TEST(bodies_that_fit_into_retry_buffer_are_sent_again)
{
	static const unsigned sizes[] = {63 * 1024, 64 * 1024, 65 * 1024};
	struct origin *o = h2_origin();
	struct client *c;
	struct answer a;

	daemon_for(o, "retry_buffer = \"64KiB\";");
	c = client_open();
	client_say(c, "POST /refuse-once HTTP/1.1\r\nHost: origin\r\nContent-Length: %u\r\n\r\n",
		sizes[_i]);
	client_write(c, text("%0*d", (int)sizes[_i], 0), sizes[_i]);
	a = client_hear(c);
	if (sizes[_i] > 64 * 1024)
		assert_failed(&a, 502, "yes");
	else
		ck_assert_msg(a.status == 200, "%s%s", a.head, a.body);
	assert_retried("refused", sizes[_i] > 64 * 1024 ? 0 : 1);
}
END_TEST

/* ---- when ---- */

START_TEST(the_second_repeat_waits_a_little)
{
	struct origin *o = h2_origin();
	uint64_t begun;
	struct answer a;

	daemon_for(o, "retry_attempts = 3;");
	ck_assert_uint_eq(get_once("/").status, 200);
	begun = harness_now();
	a = request("POST", "/refuse");
	assert_failed(&a, 502, "yes");
	ck_assert_uint_eq(origin_counts(o).requests, 1 + 4);
	ck_assert_uint_ge(harness_now() - begun, 75 + 150 - 20);
	assert_retried("refused", 3);
	ck_assert_uint_eq(daemon_logged("pause_ms=0"), 1);
}
END_TEST

START_TEST(who_asks_for_calm_is_asked_again_after_a_while)
{
	uint64_t begun;

	start_goaway(1, 11, ""); /* ENHANCE_YOUR_CALM, and nothing was processed */
	begun = harness_now();
	ck_assert_uint_eq(request("POST", "/").status, 200);
	ck_assert_uint_ge(harness_now() - begun, 750 - 20);
	ck_assert_uint_eq(atomic_load(&executed), 1);
	assert_retried("goaway", 1);
}
END_TEST

START_TEST(a_pause_that_is_longer_than_queue_timeout_is_not_made)
{
	struct answer a;

	start_goaway(1, 11, "queue_timeout = \"700ms\";");
	a = request("POST", "/");
	assert_failed(&a, 502, "yes");
	ck_assert_msg(!strstr(a.body, "queue_timeout"), "%s", a.body); /* it did not wait for it */
	assert_retried("goaway", 0);
}
END_TEST

START_TEST(a_client_that_leaves_in_the_pause_is_forgotten)
{
	struct client *c;

	start_goaway(1, 11, "");
	c = say("POST", "/");
	WAIT_FOR(daemon_logged("event=\"retry\"") == 1);
	client_close(c);
	WAIT_FOR(counted(daemon_counters("origin"), NULL, "abandoned") == 1);
	ck_assert_uint_eq(counted(daemon_counters("origin"), NULL, "running"), 0);
	/* Past the pause: nothing was sent. */
	ck_assert_uint_eq(client_hear(say("POST", "/")).status, 200);
	WAIT_FOR(atomic_load(&executed) == 1);
}
END_TEST

START_TEST(the_time_of_the_client_ends_the_pause)
{
	struct client *c;
	struct answer a;

	start_goaway(1, 0, "");
	reset(9);
	atomic_store(&goaway_code, 11);
	c = client_open();
	client_say(c, "GET / HTTP/1.1\r\nHost: origin\r\nConnpool-Timeout: 2s\r\n\r\n");
	a = client_hear(c);
	/* The second pause would last longer than what is left: the answer comes before. */
	assert_failed(&a, 502, "yes");
	assert_retried("goaway", 1);
}
END_TEST

/* ---- at whose expense ---- */

/* n requests at a time; how many of them were refused with yes. */
static unsigned refused(unsigned n)
{
	struct client *c[64];
	unsigned yes = 0;

	ck_assert_uint_le(n, 64);
	for (unsigned i = 0; i < n; i++)
		c[i] = say("POST", "/refuse");
	for (unsigned i = 0; i < n; i++) {
		struct answer a = client_hear(c[i]);

		assert_failed(&a, 502, "yes");
		yes++;
	}
	return yes;
}

/* Some hundred a second, all refused, and each could be repeated twice. */
START_TEST(a_total_outage_gets_no_more_than_the_budget)
{
	struct origin *o = h2_origin();
	uint64_t begun = harness_now();
	unsigned n = 1, seconds;
	const char *c;

	daemon_for(o, "");
	ck_assert_uint_eq(get_once("/").status, 200); /* its settings are known from here on */
	while (n < 900)
		n += refused(60);
	c = daemon_counters("origin");
	/* The floor of ten seconds may be used at once, and comes again with time. */
	seconds = (unsigned)((harness_now() - begun) / 1000) + 1;
	ck_assert_uint_le(origin_counts(o).requests, n + n / 5 + 3 * (10 + seconds));
	ck_assert_uint_ge(origin_counts(o).requests, n + n / 10);
	ck_assert_uint_eq(counted(c, NULL, "requests"), n);
	ck_assert_uint_eq(counted(c, NULL, "attempts"), origin_counts(o).requests);
	ck_assert_uint_eq(counted(c, NULL, "attempts"), n + counted(c, NULL, "retried"));
	ck_assert_uint_eq(counted(c, "rejected_by_reason", "unprocessed"), n - 1);
	ck_assert_uint_gt(counted(c, NULL, "retry_denied"), 0);
	ck_assert_uint_eq(daemon_logged("event=\"retry\""), (unsigned)counted(c, NULL, "retried"));
}
END_TEST

/* Ways in which no request is ever answered. */
static const struct {
	struct origin_opts opts;
	const char *path;
} outages[] = {
	{{.h2 = false}, "/hangup"},
	{{.h2 = false}, "/reset"},
	{{.tls = true, .h2 = true}, "/hangup"},
	{{.tls = true, .h2 = true}, "/refuse"},
};
static const char *outage_path;

static void ask_in_outage(unsigned nonce, char out[LOAD_REQUEST_MAX])
{
	(void)nonce;
	snprintf(out, LOAD_REQUEST_MAX, "GET %s HTTP/1.1\r\nHost: origin\r\n\r\n", outage_path);
}

/*
 * A fifth more, the floor of ten seconds and of those that it took, and what each connection may be
 * sent before the server told how much it takes. Pauses between connections would hide the budget.
 */
START_TEST(an_outage_at_a_steady_rate_gets_little_more_than_what_is_asked)
{
	struct origin *o = some_origin(&outages[_i].opts);
	struct load l = {.clients = 100,
		.rate = harness_full() ? 1000 : 300,
		.most = harness_full() ? 9000 : 450,
		.request = ask_in_outage};
	unsigned seconds;
	const char *c;

	outage_path = outages[_i].path;
	daemon_for(o, "retry = \"idempotent\"; backoff_min = \"1ms\"; backoff_max = \"1ms\";");
	load_run(&l);
	ck_assert_uint_eq(l.good, 0);
	seconds = 10 + (unsigned)(l.took / 1000);
	c = daemon_counters("origin");
	ck_assert_uint_eq(counted(c, NULL, "running"), 0);
	ck_assert_uint_le(origin_counts(o).requests, l.asked + l.asked / 5 + 3 * seconds + 8);
	ck_assert_uint_gt(counted(c, NULL, "retried"), 20);
	ck_assert_uint_gt(counted(c, NULL, "retry_denied"), 0);
	ck_assert_uint_eq(daemon_logged("event=\"retry\""), (unsigned)counted(c, NULL, "retried"));
}
END_TEST

START_TEST(without_a_budget_nothing_that_it_pays_is_repeated)
{
	struct origin *o = h2_origin();
	struct answer a;

	daemon_for(o, "retry_budget = 0; retry_budget_min = 0;");
	ck_assert_uint_eq(get_once("/").status, 200); /* its settings are known from here on */
	a = request("POST", "/refuse");
	assert_failed(&a, 502, "yes");
	ck_assert_msg(strstr(a.body, "retry_budget") != NULL, "%s", a.body);
	ck_assert_uint_eq(origin_counts(o).requests, 2);
	ck_assert_uint_eq(counted(daemon_counters("origin"), NULL, "retry_denied"), 1);
}
END_TEST

START_TEST(connections_that_end_in_order_cost_no_budget)
{
	start_closing("retry_budget = 0; retry_budget_min = 0;");
	ck_assert_uint_eq(get_once("/").status, 200);
	assert_retried("reused_closed", 1);
	ck_assert_uint_eq(counted(daemon_counters("origin"), NULL, "retry_denied"), 0);
}
END_TEST

/* ---- sums ---- */

/* As often as they were counted, each with its reason. */
static void assert_repeats_logged(const char *counters)
{
	static const char *const reasons[] = {
		"unsent", "refused", "goaway", "reused_closed", "idempotent"};

	for (size_t i = 0; i < sizeof(reasons) / sizeof(*reasons); i++)
		ck_assert_uint_eq(
			daemon_logged_lines("event=\"retry\"", text("reason=%s ", reasons[i])),
			(unsigned)counted(counters, "retried_by_reason", reasons[i]));
	ck_assert_uint_eq(
		daemon_logged("event=\"retry\""), (unsigned)counted(counters, NULL, "retried"));
}

/* Every end that a request can have, mixed; daemon_counters looks at the sums. */
START_TEST(whatever_happens_the_counters_agree)
{
	static const char *const paths[] = {"/bytes/10", "/stall", "/cut/1000", "/hangup",
		"/garbage", "/reset", "/slow/50", "/refuse", "/vanish", "/close-after",
		"/stall-body/1000", "/status/500"};
	enum { PATHS = sizeof(paths) / sizeof(*paths), ROUNDS = 4 };
	struct origin *o = origin_of(_i);
	struct client *c[PATHS * ROUNDS], *gone;
	const char *counters;

	daemon_for(o, "response_timeout = \"400ms\"; body_idle_timeout = \"400ms\";"
		      "max_connections = 4; max_queue = 30; queue_timeout = \"2s\";");
	for (int i = 0; i < PATHS * ROUNDS; i++)
		c[i] = say(i % 2 ? "GET" : "PUT", paths[i % PATHS]);
	gone = say("GET", "/stall");
	client_close(gone);
	daemon_counters("origin"); /* in the middle */
	for (int i = 0; i < PATHS * ROUNDS; i++)
		client_hear(c[i]);
	WAIT_FOR(counted(daemon_counters("origin"), NULL, "running") == 0);
	counters = daemon_counters("origin");
	ck_assert_uint_ge(counted(counters, NULL, "requests"), PATHS * ROUNDS);
	ck_assert_uint_ge(counted(counters, NULL, "answered"), 1);
	ck_assert_uint_ge(counted(counters, NULL, "rejected"), 4);
	assert_repeats_logged(counters);
}
END_TEST

START_TEST(requests_that_a_reload_moves_are_counted_where_they_end)
{
	struct origin *before = h1_origin(), *after = h1_origin();
	struct client *busy, *waiting;
	const char *c;

	daemon_for(before, "max_connections = 1; queue_timeout = \"off\";");
	busy = say("GET", "/hold/3");
	WAIT_FOR(origin_counts(before).requests == 1);
	waiting = say("GET", "/bytes/5");
	daemon_queues("origin", 1);
	daemon_rewrite(config("", upstream(NULL, after, "")));
	kill(daemon_pid(), SIGHUP);
	ck_assert_uint_eq(client_hear(waiting).len, 5);
	origin_release(before);
	ck_assert_uint_eq(client_hear(busy).status, 200);
	ck_assert_uint_eq(origin_counts(after).requests, 1);
	c = daemon_counters("origin");
	ck_assert_uint_eq(counted(c, NULL, "requests"), 1);
	ck_assert_uint_eq(counted(c, NULL, "answered"), 1);
}
END_TEST

START_TEST(requests_for_no_upstream_are_counted_by_the_worker)
{
	struct client *c;
	struct answer a;

	daemon_start(config("", text("%s, %s", upstream("origin", h1_origin(), ""),
					upstream("other", h1_origin(), ""))));
	c = client_open();
	client_say(c, "GET / HTTP/1.1\r\nHost: nobody\r\n\r\n");
	a = client_hear(c);
	assert_own_answer(&a, 404);
	kill(daemon_pid(), SIGUSR1);
	WAIT_FOR(daemon_logged("\"clients_accepted\":1,") > 0);
	ck_assert_uint_eq(daemon_logged("\"unrouted\":1,\"removed\":0"), 1);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("retry");
	TCase *reasons = harness_case(s, "reasons");
	TCase *when = harness_case(s, "when");
	TCase *budget = harness_case(s, "budget");
	TCase *sums = harness_case(s, "sums");

	tcase_add_test(reasons, a_refused_post_is_executed_once);
	tcase_add_test(reasons, a_post_above_the_last_stream_of_goaway_is_executed_once);
	tcase_add_test(reasons, a_get_that_met_the_end_of_a_used_connection_is_repeated);
	tcase_add_test(reasons, a_post_that_met_it_is_not_and_says_so);
	tcase_add_test(reasons, a_repeat_that_was_surely_not_processed_makes_the_request_not_safe);
	tcase_add_test(reasons, servers_that_are_down_were_surely_not_reached);
	tcase_add_test(reasons, a_put_that_died_on_a_new_connection_is_repeated_once_if_allowed);
	tcase_add_test(reasons, retry_never_means_never);

	tcase_add_loop_test(reasons, bodies_that_fit_into_retry_buffer_are_sent_again, 0, 3);

	tcase_add_test(when, the_second_repeat_waits_a_little);
	tcase_add_test(when, who_asks_for_calm_is_asked_again_after_a_while);
	tcase_add_test(when, a_pause_that_is_longer_than_queue_timeout_is_not_made);
	tcase_add_test(when, a_client_that_leaves_in_the_pause_is_forgotten);
	tcase_add_test(when, the_time_of_the_client_ends_the_pause);

	tcase_add_test(budget, a_total_outage_gets_no_more_than_the_budget);
	tcase_add_loop_test(budget, an_outage_at_a_steady_rate_gets_little_more_than_what_is_asked,
		0, (int)(sizeof(outages) / sizeof(*outages)));
	tcase_add_test(budget, without_a_budget_nothing_that_it_pays_is_repeated);
	tcase_add_test(budget, connections_that_end_in_order_cost_no_budget);

	tcase_add_loop_test(sums, whatever_happens_the_counters_agree, 0, 2);
	tcase_add_test(sums, requests_for_no_upstream_are_counted_by_the_worker);
	tcase_add_test(sums, requests_that_a_reload_moves_are_counted_where_they_end);
	return harness_main(s);
}
