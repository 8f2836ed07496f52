/*
 * test_goaway.c - upstreams that retire their connections under load: no client sees an error,
 * and no request is carried out twice.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/daemon/harness.h"
#include "tests/daemon/load.h"

static void assert_each_once(struct origin *o, unsigned n)
{
	unsigned lost = 0, doubled = 0;

	for (unsigned i = 0; i < n; i++) {
		lost += origin_times(o, i) == 0;
		doubled += origin_times(o, i) > 1;
	}
	ck_assert_msg(lost == 0 && doubled == 0, "of %u: lost %u, doubled %u", n, lost, doubled);
}

/* The pool never had more, by its own account: the origin may hear of a close much later. */
static void assert_never_more(unsigned long limit)
{
	const char *p = daemon_log();

	while ((p = strstr(p, " connections="))) {
		p += strlen(" connections=");
		ck_assert_uint_le(strtoul(p, NULL, 10), limit);
	}
}

static unsigned sized(unsigned full, unsigned small)
{
	return harness_full() ? full : small;
}

/* ---- our own origin ---- */

/*
 * If the machine stood, all ask at once and many meet a GOAWAY: what is tried here is not the
 * budget.
 */
#define BUDGET "retry_budget = 100; retry_budget_min = 1000;"

/* _i: 0 one GOAWAY, at once; 1 two of them; 2 HTTP/1, which closes. */
START_TEST(connections_retired_under_load_cost_no_request)
{
	static const char *const how[] = {"abrupt", "two-step", "http/1"};
	struct load l = {.clients = 200, .rate = sized(5000, 1500), .ms = sized(60000, 3000)};
	unsigned most = (unsigned)(l.rate * l.ms / 1000);
	struct origin_opts opts = {.tls = _i < 2,
		.h2 = _i < 2,
		.retire_after = sized(1000, 100),
		.gently = _i == 1,
		.nonces = most};
	struct origin *o = some_origin(&opts);

	daemon_for(o, BUDGET);
	load_run(&l);
	load_assert_good(how[_i], &l);
	assert_each_once(o, l.asked);
	/*
	 * Between two GOAWAYs as many more may come as there is time for: else nothing was tried.
	 */
	ck_assert_uint_ge(origin_counts(o).accepted, _i == 1 ? 3 : l.asked / opts.retire_after);
	assert_never_more(8);
}
END_TEST

/* ---- ALPN ---- */

/* A server behind a balancer, half of it configured otherwise: h2, http/1.1, h2, ... */
START_TEST(a_server_that_changes_between_http_2_and_1_costs_no_request)
{
	struct load l = {.clients = 60, .rate = sized(1500, 800), .ms = sized(30000, 2500)};
	unsigned most = (unsigned)(l.rate * l.ms / 1000);
	struct origin *o = some_origin(&(struct origin_opts){
		.tls = true, .h2 = true, .flips = true, .retire_after = 20, .nonces = most});

	daemon_start(config("", text("{ name = \"origin\"; url = \"https://127.0.0.1:%u\"; "
				     "protocols = [ \"h2\", \"h1\" ]; " BUDGET " %s }",
					origin_port(o), trust())));
	load_run(&l);
	load_assert_good("changing protocols", &l);
	assert_each_once(o, l.asked);
	/* Both were used: the one has its requests in clear, the other in frames. */
	ck_assert_uint_ge(origin_counts(o).accepted, l.asked / 20);
	ck_assert(origin_saw(o, "PRI * HTTP/2.0"));
	ck_assert(origin_saw(o, " HTTP/1.1\r\n"));
	ck_assert_uint_gt(daemon_logged_lines("event=\"connected\"", " protocol=h1 "), 0);
	ck_assert_uint_gt(daemon_logged_lines("event=\"connected\"", " protocol=h2 "), 0);
	assert_never_more(8);
}
END_TEST

/* ---- limits of streams ---- */

static void once_together(unsigned nonce, char out[LOAD_REQUEST_MAX])
{
	snprintf(
		out, LOAD_REQUEST_MAX, "GET /once-held/%u HTTP/1.1\r\nHost: origin\r\n\r\n", nonce);
}

/* Answered when all are there. */
static void release_95(void *arg, uint64_t ms)
{
	(void)ms;
	if (origin_counts(arg).requests == 95)
		origin_release(arg);
}

START_TEST(ninety_five_requests_at_ten_a_connection_open_ten)
{
	struct load l = {.clients = 95, .most = 95, .request = once_together, .look = release_95};
	struct origin_opts opts = {.tls = true, .h2 = true, .max_streams = 10, .nonces = 95};
	struct origin *o = some_origin(&opts);

	l.arg = o;
	daemon_for(o, "max_connections = 95; queue_timeout = \"off\";");
	load_run(&l);
	load_assert_good("95 at once", &l);
	assert_each_once(o, l.asked);
	ck_assert_uint_eq(origin_counts(o).accepted, 10);
}
END_TEST

/* One more connection would be no use, and hundreds a second have been seen. */
START_TEST(a_server_that_allows_no_streams_is_not_dialled_again_and_again)
{
	struct origin_opts opts = {.tls = true, .h2 = true};
	struct origin *o = some_origin(&opts);
	struct client *c[20];

	origin_set_max_streams(o, 0);
	daemon_for(o, "max_connections = 12;");
	for (int i = 0; i < 20; i++)
		c[i] = client_ask("/bytes/10");
	ck_assert(client_quiet(c[19], 700));
	/* The second may have been on its way when the first one's limit was told. */
	ck_assert_uint_le(origin_counts(o).accepted, 2);
	origin_set_max_streams(o, 100);
	for (int i = 0; i < 20; i++) {
		ck_assert_uint_eq(client_answer(c[i]).status, 200);
		client_close(c[i]);
	}
	ck_assert_uint_le(origin_counts(o).accepted, 2);
}
END_TEST

/* Who reckons with more than one stream until then has the rest refused. */
START_TEST(a_limit_of_one_that_comes_late_is_never_passed)
{
	struct load l = {.clients = 40, .most = 40};
	struct origin *o = some_origin(&(struct origin_opts){
		.tls = true, .h2 = true, .max_streams = 1, .settle_late = 50, .nonces = 40});

	daemon_for(o, "max_connections = 4;");
	load_run(&l);
	load_assert_good("a late limit", &l);
	assert_each_once(o, l.asked);
	ck_assert_uint_eq(counted(daemon_counters("origin"), NULL, "attempts"), l.asked);
	ck_assert_uint_le(origin_counts(o).peak, 4);
}
END_TEST

/* The limit by the time that went by. */
static void change_limit(void *arg, uint64_t ms)
{
	static const unsigned limits[] = {10, 3, 0, 0, 10, 1, 100};
	static unsigned now = 10;
	unsigned i = (unsigned)(ms / 500), want = limits[i < 6 ? i : 6];

	if (want != now)
		origin_set_max_streams(arg, want);
	now = want;
}

static void once_soon(unsigned nonce, char out[LOAD_REQUEST_MAX])
{
	static const char *const forms[] = {"GET /once/%u/30 HTTP/1.1\r\nHost: origin\r\n\r\n",
		"POST /once/%u/30 HTTP/1.1\r\nHost: origin\r\nContent-Length: 4\r\n\r\nbody"};

	snprintf(out, LOAD_REQUEST_MAX, forms[nonce % 2], nonce);
}

START_TEST(limits_that_fall_to_zero_and_rise_again_cost_no_request)
{
	struct load l = {.clients = 95, .ms = 4000, .request = once_soon, .look = change_limit};
	struct origin_opts opts = {.tls = true, .h2 = true, .max_streams = 10, .nonces = 100000};
	struct origin *o = some_origin(&opts);

	l.arg = o;
	daemon_for(o, "max_connections = 12; queue_timeout = \"30s\";");
	load_run(&l);
	load_assert_good("changing limits", &l); /* nobody waited for so long */
	assert_each_once(o, l.asked);
	ck_assert_uint_le(origin_counts(o).peak, 12);
}
END_TEST

/* ---- nginx ---- */

/* In turn: h2 and h1, in pairs of GET and POST. */
static void at_nginx(unsigned nonce, char out[LOAD_REQUEST_MAX])
{
	static const char *const forms[] = {"GET /method/%u HTTP/1.1\r\nHost: h2\r\n\r\n",
		"POST /method/%u HTTP/1.1\r\nHost: h2\r\nContent-Length: 4\r\n\r\nbody",
		"GET /method/%u HTTP/1.1\r\nHost: h1\r\n\r\n",
		"POST /method/%u HTTP/1.1\r\nHost: h1\r\nContent-Length: 4\r\n\r\nbody"};

	snprintf(out, LOAD_REQUEST_MAX, forms[nonce % 4], nonce);
}

/* Lines of the access log by nonce: each request once, no matter what clients were told. */
static void assert_logged_once(const struct nginx *n, unsigned count)
{
	unsigned char *times = calloc(count, 1);
	unsigned lost = 0, doubled = 0, nonce;
	FILE *f = fopen(n->log, "re");
	char line[256];

	ck_assert(times && f);
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "%*u %*s /method/%u", &nonce) == 1 && nonce < count)
			times[nonce]++;
	fclose(f);
	for (unsigned i = 0; i < count; i++) {
		lost += times[i] == 0;
		doubled += times[i] > 1;
	}
	free(times);
	ck_assert_msg(
		lost == 0 && doubled == 0, "of %u: lost %u, doubled %u", count, lost, doubled);
}

START_TEST(nginx_that_retires_each_connection_costs_no_request)
{
	struct load l = {.clients = 60,
		.rate = sized(2000, 1000),
		.ms = sized(600000, 4000),
		.request = at_nginx};
	struct nginx n;

	nginx_start_retiring(&n, 200);
	daemon_start(config("", text("%s, %s", upstream_at("h2", true, "h2", n.h2, ""),
					upstream_at("h1", false, "h1", n.h1, ""))));
	load_run(&l);
	load_assert_good("nginx", &l);
	stop(n.pid);
	assert_logged_once(&n, l.asked);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("goaway");
	TCase *retired = harness_case(s, "retired"), *streams = harness_case(s, "streams");

	if (harness_full())
		tcase_set_timeout(retired, 700);
	tcase_add_loop_test(retired, connections_retired_under_load_cost_no_request, 0, 3);
	tcase_add_test(retired, nginx_that_retires_each_connection_costs_no_request);
	tcase_add_test(retired, a_server_that_changes_between_http_2_and_1_costs_no_request);
	tcase_add_test(streams, a_limit_of_one_that_comes_late_is_never_passed);
	tcase_add_test(streams, ninety_five_requests_at_ten_a_connection_open_ten);
	tcase_add_test(streams, a_server_that_allows_no_streams_is_not_dialled_again_and_again);
	tcase_add_test(streams, limits_that_fall_to_zero_and_rise_again_cost_no_request);
	return harness_main(s);
}
