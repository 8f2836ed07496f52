/*
 * test_sizes.c - how many connections there are and which of them are used: limits under full load,
 * the floor, the reserve, what is idle, ages, the choice, and turns between users.
 */
#include <inttypes.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/daemon/harness.h"
#include "tests/daemon/load.h"

static struct origin *origin_of(int i)
{
	return i ? h2_origin() : h1_origin();
}

static struct client *ask(const char *path)
{
	struct client *c = client_open();

	client_say(c, "GET %s HTTP/1.1\r\nHost: origin\r\n\r\n", path);
	return c;
}

static struct answer hear(struct client *c)
{
	struct answer a = client_answer(c);

	client_close(c);
	return a;
}

static unsigned conn_of(const struct answer *a)
{
	const char *n = answer_field(a, "x-conn");

	ck_assert_uint_eq(a->status, 200);
	ck_assert_ptr_nonnull(n);
	return (unsigned)strtoul(n, NULL, 10);
}

static void assert_all_good(const char *what, const struct load *l)
{
	if (harness_full())
		fprintf(stderr, "%s: %u requests in %llu ms, slowest %llu ms, bad %u\n", what,
			l->asked, (unsigned long long)l->took, (unsigned long long)l->slowest,
			l->bad);
	ck_assert_msg(
		l->bad == 0, "%s: %u of %u, the first %s", what, l->bad, l->asked, l->first_bad);
	ck_assert_uint_gt(l->good, 0);
}

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
	unsigned long inode;
	char line[256];

	ck_assert_ptr_nonnull(f);
	while (fgets(line, sizeof(line), f))
		n += sscanf(line, "%*d: %*x:%*x %*x:%x %*x %*s %*s %*s %*u %*u %lu", &remote,
			     &inode) == 2 &&
		     remote == port && inode > 0;
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
	struct load l = {.clients = 1000,
		.ms = harness_full() ? 15000 : 1500,
		.look = look_outside,
		.arg = &seen};

	daemon_start(text("daemon : { workers = %d; };\n%s", _i & 2 ? 3 : 1,
		config("",
			upstream(NULL, o,
				"max_connections = 8; max_queue = 2000; queue_timeout = \"30s\";"))));
	load_run(&l);
	assert_all_good("a thousand clients", &l);
	ck_assert_uint_eq(seen.most, 8);
	if (harness_full())
		fprintf(stderr, "looked %u times, most %u, connections made %u\n", seen.looks,
			seen.most, origin_counts(o).accepted);
}
END_TEST

/* ---- all closed at once ---- */

struct massacre {
	struct origin *o;
	unsigned requests; /* when all were up */
	bool done;
};

static void kill_all_once(void *arg, uint64_t ms)
{
	struct massacre *m = arg;
	struct origin_counts c = origin_counts(m->o);

	(void)ms;
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
		.ms = 6000,
		.request = get_slowly,
		.look = kill_all_once,
		.arg = &m};

	daemon_for(m.o, "max_connections = 100; max_idle = 100; max_connecting = 4; "
			"retry = \"idempotent\"; retry_budget = 100;");
	load_run(&l);
	assert_all_good("after all were killed", &l);
	ck_assert(m.done);
	ck_assert_uint_ge(origin_counts(m.o).accepted, 101);
	ck_assert_uint_le(origin_counts(m.o).ungreeted_peak, 4);
	ck_assert_uint_lt(l.slowest, 5000);
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
		c[i] = ask("/slow/1500");
	WAIT_FOR(origin_counts(o).accepted > 2);
	ck_assert_uint_ge(harness_now() - begun, 480);
	WAIT_FOR(origin_counts(o).accepted == 4);
	for (int i = 0; i < 4; i++)
		ck_assert_uint_eq(hear(c[i]).status, 200);
	ck_assert_uint_lt(harness_now() - begun, 2900); /* not in two rounds */
}
END_TEST

START_TEST(the_reserve_is_not_opened_for_short_waits)
{
	struct origin *o = h1_origin();
	struct load l = {.clients = 10, .most = 300};

	daemon_for(o, "max_connections = 4; reserve_connections = 2; reserve_after = \"3s\";");
	load_run(&l);
	assert_all_good("beside the reserve", &l);
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
		c[i] = ask("/slow/400");
	WAIT_FOR(origin_counts(o).open == 8);
	for (int i = 0; i < 8; i++)
		ck_assert_uint_eq(hear(c[i]).status, 200);
	WAIT_FOR(origin_counts(o).open == 2);
	HOLDS_FOR(300, origin_counts(o).open == 2);
	ck_assert_uint_eq(get_once("/").status, 200);
	ck_assert_uint_eq(origin_counts(o).accepted, 8);
}
END_TEST

/* ---- age ---- */

/* After the first three were up: how few that can be used, and how many at once in a handshake. */
struct generations {
	struct origin *o;
	bool begun;
	unsigned fewest, connecting;
};

static void look_at_generations(void *arg, uint64_t ms)
{
	struct generations *g = arg;
	struct origin_counts c = origin_counts(g->o);
	unsigned up = c.open - c.ungreeted;

	(void)ms;
	g->begun = g->begun || up == 3;
	if (!g->begun)
		return;
	if (up < g->fewest)
		g->fewest = up;
	if (c.ungreeted > g->connecting)
		g->connecting = c.ungreeted;
}

/* All three are born together and have no jitter: the worst case. */
START_TEST(connections_that_grow_old_are_replaced_one_after_the_other)
{
	struct origin_opts opts = {.tls = true, .h2 = _i, .greet_late = 60};
	struct generations g = {.o = some_origin(&opts), .fewest = 3};
	struct load l = {
		.clients = 3, .rate = 200, .ms = 3500, .look = look_at_generations, .arg = &g};

	daemon_for(g.o, "min_connections = 3; max_lifetime = \"600ms\"; max_lifetime_jitter = 0;");
	load_run(&l);
	assert_all_good("generations", &l);
	ck_assert(g.begun);
	ck_assert_uint_ge(origin_counts(g.o).accepted, 9); /* three generations */
	ck_assert_uint_le(origin_counts(g.o).accepted, 21);
	ck_assert_uint_eq(g.fewest, 3);
	ck_assert_uint_eq(g.connecting, 1);
}
END_TEST

/* Ages in the daemon's own words. */
START_TEST(lifetimes_differ_by_the_jitter)
{
	struct origin *o = h1_origin();
	unsigned long youngest = ULONG_MAX, oldest = 0;
	const char *p;

	daemon_for(o, "min_connections = 6; max_lifetime = \"2s\"; max_lifetime_jitter = 60;");
	WAIT_FOR(daemon_logged("event=\"closed\"") >= 8);
	for (p = daemon_log(); (p = strstr(p, " age_ms=")); p++) {
		unsigned long age = strtoul(p + 8, NULL, 10);

		youngest = age < youngest ? age : youngest;
		oldest = age > oldest ? age : oldest;
	}
	ck_assert_uint_ge(youngest, 780);
	ck_assert_uint_le(oldest, 3000);
	ck_assert_uint_ge(oldest - youngest, 150);
}
END_TEST

/* ---- which one ---- */

#define WARM 4

/* So many requests one after the other on WARM connections: how many went to each. */
static void spread_of(const char *pick, unsigned requests, unsigned on[WARM + 1])
{
	struct origin *o = h1_origin();
	struct client *c = NULL;

	memset(on, 0, (WARM + 1) * sizeof(*on));
	daemon_for(o, text("min_connections = %d; max_connections = %d; pick = \"%s\";", WARM, WARM,
			      pick));
	WAIT_FOR(daemon_logged("event=\"connected\"") == WARM);
	c = client_open();
	for (unsigned i = 0; i < requests; i++) {
		struct answer a = get(c, "/");
		unsigned n = conn_of(&a);

		ck_assert_uint_le(n, WARM);
		on[n]++;
	}
	client_close(c);
}

static unsigned used(const unsigned on[WARM + 1])
{
	unsigned n = 0;

	for (int i = 1; i <= WARM; i++)
		n += on[i] > 0;
	return n;
}

START_TEST(one_request_at_a_time_stays_on_the_connection_used_last)
{
	unsigned on[WARM + 1];

	spread_of(_i ? "lifo" : "most_available", 20, on);
	ck_assert_uint_eq(used(on), 1);
}
END_TEST

START_TEST(fifo_goes_round)
{
	unsigned on[WARM + 1];

	spread_of("fifo", 20, on);
	for (int i = 1; i <= WARM; i++)
		ck_assert_uint_eq(on[i], 20 / WARM);
}
END_TEST

/* 400 times one of four: 100 each, and 40 is seven standard deviations away. */
START_TEST(random2_uses_all_of_them_alike)
{
	unsigned on[WARM + 1];

	spread_of("random2", 400, on);
	for (int i = 1; i <= WARM; i++)
		ck_assert_uint_ge(on[i], 40);
}
END_TEST

/* Ten at once on two connections that could take ten each. */
START_TEST(many_at_once_are_spread_as_pick_says)
{
	static const struct {
		const char *pick;
		unsigned low, high;
	} rows[] = {{"most_available", 5, 5}, {"fifo", 5, 5}, {"lifo", 0, 0}, {"random2", 1, 9}};
	struct origin_opts opts = {.tls = true, .h2 = true, .max_streams = 10};
	struct origin *o = some_origin(&opts);
	unsigned first = 0, fewer;
	struct client *c[10];

	daemon_for(
		o, text("min_connections = 2; max_connections = 2; pick = \"%s\";", rows[_i].pick));
	WAIT_FOR(daemon_logged("event=\"connected\"") == 2);
	ck_assert_uint_eq(get_once("/slow/100").status, 200); /* the limits are known by then */
	for (int i = 0; i < 10; i++)
		c[i] = ask("/slow/500");
	for (int i = 0; i < 10; i++) {
		struct answer a = hear(c[i]);

		first += conn_of(&a) == 1;
	}
	fewer = first < 5 ? first : 10 - first;
	ck_assert_msg(fewer >= rows[_i].low && fewer <= rows[_i].high, "%s: %u and %u",
		rows[_i].pick, first, 10 - first);
}
END_TEST

/* ---- turns between users ---- */

/* Users of no account: only their number counts. */
#define ANNE 61001
#define BERT 61002

/* The kernel notes who connects. */
static struct client *ask_as(uid_t uid, const char *path)
{
	ck_assert_int_eq(seteuid(uid), 0);
	struct client *c = client_open();

	ck_assert_int_eq(seteuid(0), 0);
	client_say(c, "GET %s HTTP/1.1\r\nHost: origin\r\n\r\n", path);
	return c;
}

/* The socket and the folders above it, for everybody. */
static void let_everybody_in(void)
{
	char *dir = text("%s", harness_dir());

	ck_assert_int_eq(chmod(dir, 0711), 0);
	ck_assert_int_eq(chmod(dirname(dir), 0711), 0);
	ck_assert_int_eq(chmod(daemon_socket(), 0666), 0);
}

/* Requests that the origin got between Bert's asking and his answer, his own included. */
static unsigned turns_until_bert(const char *fair)
{
	struct origin *o = h1_origin();
	struct client *anne[1000], *bert;
	unsigned before;

	daemon_for(o, text("max_connections = 1; max_queue = 2000; queue_timeout = \"off\"; "
			   "queue_fair = \"%s\";",
			      fair));
	let_everybody_in();
	anne[0] = ask_as(ANNE, "/slow/2500");
	WAIT_FOR(origin_counts(o).requests == 1);
	for (int i = 1; i < 1000; i++)
		anne[i] = ask_as(ANNE, "/slow/100");
	ck_assert(client_quiet(anne[999], 100));
	before = origin_counts(o).requests;
	bert = ask_as(BERT, "/sha");
	/* Either he is answered, or that many others were. */
	WAIT_FOR(!client_quiet(bert, 1) || origin_counts(o).requests > before + 12);
	unsigned turns = origin_counts(o).requests - before;

	client_close(bert);
	for (int i = 0; i < 1000; i++)
		client_close(anne[i]);
	return turns;
}

START_TEST(a_thousand_waiting_requests_delay_another_users_by_two)
{
	if (geteuid() != 0) /* no second user to be had */
		return;
	ck_assert_uint_le(turns_until_bert("user"), 3 + 1); /* one more may run when he hears */
}
END_TEST

START_TEST(without_turns_they_delay_it_by_as_many)
{
	if (geteuid() != 0)
		return;
	ck_assert_uint_gt(turns_until_bert("fifo"), 12);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("sizes");
	TCase *limits = harness_case(s, "limits"), *floors = harness_case(s, "floors");
	TCase *ages = harness_case(s, "ages"), *picks = harness_case(s, "picks");
	TCase *users = harness_case(s, "users");

	tcase_add_loop_test(limits, a_thousand_clients_get_no_ninth_connection, 0, 4);
	tcase_add_test(limits, a_hundred_connections_killed_at_once_come_back_four_at_a_time);
	tcase_add_loop_test(floors, min_connections_are_there_without_traffic, 0, 2);
	tcase_add_test(floors, the_reserve_is_opened_for_who_waited_long_enough);
	tcase_add_test(floors, the_reserve_is_not_opened_for_short_waits);
	tcase_add_test(floors, more_than_max_idle_do_not_stay);
	tcase_add_loop_test(ages, connections_that_grow_old_are_replaced_one_after_the_other, 0, 2);
	tcase_add_test(ages, lifetimes_differ_by_the_jitter);
	tcase_add_loop_test(picks, one_request_at_a_time_stays_on_the_connection_used_last, 0, 2);
	tcase_add_test(picks, fifo_goes_round);
	tcase_add_test(picks, random2_uses_all_of_them_alike);
	tcase_add_loop_test(picks, many_at_once_are_spread_as_pick_says, 0, 4);
	tcase_add_test(users, a_thousand_waiting_requests_delay_another_users_by_two);
	tcase_add_test(users, without_turns_they_delay_it_by_as_many);
	return harness_main(s);
}
