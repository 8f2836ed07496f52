/*
 * test_sizes.c - how many connections there are: limits under full load and after all were killed,
 * the floor, the reserve, and what is idle.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/daemon/harness.h"
#include "tests/daemon/load.h"

/* Looks at the origin for some time; the condition holds all the time. */
#define HOLDS_FOR(ms, condition)                                                                   \
	for (uint64_t until_ = harness_now() + (ms); harness_now() < until_; harness_nap())        \
	ck_assert_msg(condition, "not so: %s", #condition)

/* ---- never more than max_connections ---- */

/* What the kernel says: sockets to this port that somebody has open (others have no inode). */
struct outside {
	unsigned port, most, looks;
};

static unsigned sockets_to(unsigned port)
{
	FILE *f = fopen("/proc/net/tcp", "re");
	unsigned n = 0, remote;
	unsigned long inode, counted[64];
	char line[256];

	ck_assert_ptr_nonnull(f);
	while (n < 64 && fgets(line, sizeof(line), f)) {
		unsigned i = 0;

		if (sscanf(line, "%*d: %*x:%*x %*x:%x %*x %*s %*s %*s %*u %*u %lu", &remote,
			    &inode) != 2 ||
			remote != port || inode == 0)
			continue;
		while (i < n && counted[i] != inode) /* told twice when others of its bucket go */
			i++;
		if (i == n)
			counted[n++] = inode;
	}
	fclose(f);
	return n;
}

/* The kernel walks its table while sockets come and go: the daemon stands meanwhile. */
static void look_outside(void *arg, uint64_t ms)
{
	struct outside *seen = arg;
	unsigned n;

	(void)ms;
	daemon_freeze();
	n = sockets_to(seen->port);
	kill(daemon_pid(), SIGCONT);
	seen->looks++;
	if (n > seen->most)
		seen->most = n;
}

/* _i: HTTP/1 or 2, one worker or three. Connections come and go all the time. */
START_TEST(a_thousand_clients_get_no_ninth_connection)
{
	struct origin_opts opts = {
		.tls = _i & 1, .h2 = _i & 1, .max_streams = 5, .retire_after = 50};
	struct origin *o = some_origin(&opts);
	struct outside seen = {.port = origin_port(o)};
	struct load l = {.clients = load_clients(1000),
		.ms = harness_full() ? 15000 : 1000,
		.look = look_outside,
		.arg = &seen};

	daemon_start(text("daemon : { workers = %d; };\n%s", _i & 2 ? 3 : 1,
		config("", upstream(NULL, o,
				   "max_connections = 8; max_queue = 2000; "
				   "queue_timeout = \"30s\";"))));
	load_run(&l);
	load_assert_good("a thousand clients", &l);
	ck_assert_uint_eq(seen.most, 8);
	if (harness_full())
		fprintf(stderr, "looked %u times, most %u, connections made %u\n", seen.looks,
			seen.most, origin_counts(o).accepted);
}
END_TEST

/* ---- all closed at once ---- */

struct massacre {
	struct origin *o;
	struct load *load; /* has enough when each came back and carried some */
	unsigned requests; /* when all were up */
	bool done;
};

static void kill_all_once(void *arg, uint64_t ms)
{
	struct massacre *m = arg;
	struct origin_counts c = origin_counts(m->o);

	(void)ms;
	m->load->enough = m->done && c.accepted >= 200 && c.requests >= m->requests + 900;
	if (m->done || c.open - c.ungreeted < 100)
		return;
	if (m->requests == 0)
		m->requests = c.requests;
	if (c.requests < m->requests + 300) /* each has carried some */
		return;
	m->done = true;
	origin_kill(m->o);
}

static void get_slowly(unsigned nonce, char out[LOAD_REQUEST_MAX])
{
	snprintf(out, LOAD_REQUEST_MAX, "GET /once/%u/150 HTTP/1.1\r\nHost: origin\r\n\r\n", nonce);
}

START_TEST(a_hundred_connections_killed_at_once_come_back_four_at_a_time)
{
	struct origin_opts opts = {.tls = true, .greet_late = 50};
	struct massacre m = {.o = some_origin(&opts)};
	struct load l = {.clients = 100,
		.ms = PATIENCE,
		.request = get_slowly,
		.look = kill_all_once,
		.arg = &m};

	m.load = &l;
	daemon_for(m.o, "max_connections = 100; max_idle = 100; max_connecting = 4; "
			"retry = \"idempotent\"; retry_budget = 100;");
	load_run(&l);
	/* A response that had begun on one of the hundred is cut, and looks so. */
	ck_assert_msg(l.bad == 0 || (l.bad < 10 && strstr(l.first_bad, "cut: HTTP/1.1 200")),
		"%u of %u, the first %s", l.bad, l.asked, l.first_bad);
	ck_assert(m.done);
	ck_assert_uint_ge(origin_counts(m.o).accepted, 200);
	ck_assert_uint_le(origin_counts(m.o).ungreeted_peak, 4);
	ck_assert_uint_lt(l.slowest, PATIENCE / 2);
}
END_TEST

START_TEST(who_comes_together_is_dialled_for_together)
{
	struct origin *o = some_origin(&(struct origin_opts){.tls = true, .greet_late = 2000});
	struct client *c[4];

	daemon_for(o, "max_connecting = 4;");
	for (int i = 0; i < 4; i++)
		c[i] = client_ask("/");
	WAIT_FOR(origin_counts(o).ungreeted == 4);
	for (int i = 0; i < 4; i++)
		ck_assert_uint_eq(client_hear(c[i]).status, 200);
}
END_TEST

/* ---- the floor ---- */

static void refills(struct origin *o, void (*end)(struct origin *o))
{
	unsigned before = origin_counts(o).accepted;

	end(o);
	WAIT_FOR(origin_counts(o).accepted >= before + 3 && origin_counts(o).open == 3);
	/* One that dies young means a server in trouble, which is left alone for a while. */
	HOLDS_FOR(1100, origin_counts(o).open == 3);
	ck_assert_uint_eq(origin_counts(o).accepted, before + 3);
}

START_TEST(min_connections_are_there_without_traffic)
{
	struct origin *o = origin_of(_i);

	daemon_for(o, "min_connections = 3; idle_timeout = \"200ms\"; idle_timeout_learn = false;");
	WAIT_FOR(origin_counts(o).open == 3);
	HOLDS_FOR(1100, origin_counts(o).open == 3);
	ck_assert_uint_eq(origin_counts(o).accepted, 3);
	refills(o, origin_kill);
	refills(o, _i ? origin_goaway : origin_hang_up);
	ck_assert_uint_eq(origin_counts(o).requests, 0);
}
END_TEST

/* ---- the reserve ---- */

START_TEST(the_reserve_is_opened_for_who_waited_long_enough)
{
	struct origin *o = h1_origin();
	struct client *c[4];
	uint64_t begun;

	daemon_for(o, "max_connections = 4; reserve_connections = 2; reserve_after = \"500ms\";");
	begun = harness_now();
	for (int i = 0; i < 4; i++)
		c[i] = client_ask("/slow/1500");
	WAIT_FOR(origin_counts(o).accepted > 2);
	ck_assert_uint_ge(harness_now() - begun, 480);
	WAIT_FOR(origin_counts(o).accepted == 4);
	for (int i = 0; i < 4; i++)
		ck_assert_uint_eq(client_hear(c[i]).status, 200);
	ck_assert_uint_lt(harness_now() - begun, 2900); /* not in two rounds */
}
END_TEST

START_TEST(the_reserve_is_not_opened_for_short_waits)
{
	struct origin *o = h1_origin();
	struct load l = {.clients = 10, .most = 300};

	daemon_for(o, "max_connections = 4; reserve_connections = 2; reserve_after = \"3s\";");
	load_run(&l);
	load_assert_good("beside the reserve", &l);
	ck_assert_uint_eq(origin_counts(o).accepted, 2);
}
END_TEST

/* ---- what is idle ---- */

START_TEST(more_than_max_idle_do_not_stay)
{
	struct origin *o = h1_origin();
	struct client *c[8];

	daemon_for(o, "max_connections = 8; max_idle = 2; max_connecting = 8;");
	for (int i = 0; i < 8; i++)
		c[i] = client_ask("/slow/400");
	WAIT_FOR(origin_counts(o).open == 8);
	for (int i = 0; i < 8; i++)
		ck_assert_uint_eq(client_hear(c[i]).status, 200);
	WAIT_FOR(origin_counts(o).open == 2);
	HOLDS_FOR(300, origin_counts(o).open == 2);
	ck_assert_uint_eq(get_once("/").status, 200);
	ck_assert_uint_eq(origin_counts(o).accepted, 8);
	ck_assert_uint_eq(counted(daemon_counters("origin"), "closed_by_reason", "max_idle"), 6);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("sizes");
	TCase *limits = harness_case(s, "limits"), *floors = harness_case(s, "floors");

	tcase_add_loop_test(limits, a_thousand_clients_get_no_ninth_connection, 0, 4);
	tcase_add_test(limits, a_hundred_connections_killed_at_once_come_back_four_at_a_time);
	tcase_add_test(limits, who_comes_together_is_dialled_for_together);
	tcase_add_loop_test(floors, min_connections_are_there_without_traffic, 0, 2);
	tcase_add_test(floors, the_reserve_is_opened_for_who_waited_long_enough);
	tcase_add_test(floors, the_reserve_is_not_opened_for_short_waits);
	tcase_add_test(floors, more_than_max_idle_do_not_stay);
	return harness_main(s);
}
