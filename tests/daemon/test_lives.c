/*
 * test_lives.c - which connection a request gets, and whose request gets it: ages, the choice, and
 * turns between users.
 */
#include <libgen.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/daemon/harness.h"
#include "tests/daemon/load.h"
#include "tests/daemon/origin_int.h"

static unsigned conn_of(const struct answer *a)
{
	const char *n = answer_field(a, "x-conn");

	ck_assert_uint_eq(a->status, 200);
	ck_assert_ptr_nonnull(n);
	return (unsigned)strtoul(n, NULL, 10);
}

/* ---- age ---- */

/* After the first floor was up: how few that can be used, and how many at once in a handshake. */
struct generations {
	struct origin *o;
	struct load *load; /* has enough when the fourth generation is there */
	unsigned floor;    /* connections of each */
	bool begun;
	unsigned fewest, connecting;
};

static void look_at_generations(void *arg, uint64_t ms)
{
	struct generations *g = arg;
	struct origin_counts c = origin_counts(g->o);
	unsigned up = c.open - c.ungreeted;

	(void)ms;
	g->begun = g->begun || up == g->floor;
	if (!g->begun)
		return;
	if (up < g->fewest)
		g->fewest = up;
	if (c.ungreeted > g->connecting)
		g->connecting = c.ungreeted;
	g->load->enough = c.accepted >= 4 * g->floor;
}

/* All three are born together and have no jitter: the worst case. */
START_TEST(connections_that_grow_old_are_replaced_one_after_the_other)
{
	struct origin_opts opts = {.tls = true, .h2 = _i, .greet_late = 60};
	struct load l = {.clients = 3, .rate = 200, .ms = PATIENCE, .look = look_at_generations};
	struct generations g = {.o = some_origin(&opts), .load = &l, .floor = 3, .fewest = 3};
	uint64_t begun = harness_now();

	l.arg = &g;
	daemon_for(g.o, "min_connections = 3; max_lifetime = \"600ms\"; max_lifetime_jitter = 0;");
	load_run(&l);
	load_assert_good("generations", &l);
	ck_assert(g.begun);
	ck_assert_uint_ge(harness_now() - begun, 3 * 600);
	ck_assert_uint_eq(g.fewest, 3);
	ck_assert_uint_eq(g.connecting, 1);
	ck_assert_uint_ge(counted(daemon_counters("origin"), "closed_by_reason", "lifetime"), 6);
}
END_TEST

/* No successor can be there first: each goes when it carries nothing, and is made anew. */
START_TEST(connections_grow_old_at_max_connections_as_well)
{
	struct origin *o = some_origin(&(struct origin_opts){.h2 = _i});
	struct load l = {.clients = 3, .rate = 100, .ms = PATIENCE, .look = look_at_generations};
	struct generations g = {.o = o, .load = &l, .floor = 2};
	uint64_t begun = harness_now();

	l.arg = &g;
	daemon_for(o, "min_connections = 2; max_connections = 2; max_lifetime = \"400ms\"; "
		      "max_lifetime_jitter = 0;");
	load_run(&l);
	load_assert_good("old at the limit", &l);
	ck_assert_uint_ge(harness_now() - begun, 3 * 400);
	ck_assert_int_eq(daemon_logged("connections=3"), 0);
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
	/* Not before; how long after depends on who may go first, and on the machine. */
	ck_assert_uint_ge(youngest, 780);
	ck_assert_uint_ge(oldest - youngest, 150);
}
END_TEST

#define HUNDRED 100
#define PART    300 /* ms: a fifth of the time in which they are to go */
#define PARTS   20

/* Of the first hundred, by their age at the end. */
static atomic_uint ends[PARTS], ended;

static void note_end(struct origin_conn *oc)
{
	uint64_t begun = harness_now(), part;

	oc_wait_hangup(oc);
	if (oc->number > HUNDRED)
		return;
	part = (harness_now() - begun) / PART;
	atomic_fetch_add(&ends[part < PARTS ? part : PARTS - 1], 1);
	atomic_fetch_add(&ended, 1);
}

/* A storm of connects must not come again as a storm of closes. */
START_TEST(a_hundred_that_were_opened_together_do_not_retire_together)
{
	struct origin *o = some_origin(&(struct origin_opts){.serve = note_end});

	load_clients(2 * HUNDRED);
	daemon_for(o, text("min_connections = %d; max_connections = %d; max_connecting = 50; "
			   "max_lifetime = \"3s\"; max_lifetime_jitter = 50;",
			      HUNDRED, HUNDRED + 20));
	WAIT_FOR(atomic_load(&ended) == HUNDRED);
	/* 20 are to be expected, and 45 is six standard deviations away. */
	for (int i = 0; i < PARTS; i++)
		ck_assert_msg(atomic_load(&ends[i]) < 45, "%u after %d ms", atomic_load(&ends[i]),
			i * PART);
}
END_TEST

START_TEST(connections_are_replaced_after_max_requests)
{
	struct origin *o = origin_of(_i);
	struct client *c;

	daemon_for(o, "max_requests = 5;");
	c = client_open();
	for (unsigned i = 0; i < 50; i++) {
		struct answer a = get(c, "/");

		ck_assert_uint_eq(conn_of(&a), i / 5 + 1);
	}
	ck_assert_uint_eq(counted(daemon_counters("origin"), "closed_by_reason", "requests"), 10);
	ck_assert_uint_eq(counted(daemon_counters("origin"), NULL, "retried"), 0);
	client_close(c);
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
	ck_assert_uint_eq(daemon_logged_lines("event=\"connected\"", " protocol=h1 "), WARM);
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

/* Four that a burst has left, and then one request at a time. */
START_TEST(what_the_choice_leaves_idle_is_closed)
{
	static const struct {
		const char *pick;
		unsigned stay;
	} rows[] = {{"most_available", 1}, {"lifo", 1}, {"fifo", WARM}};
	struct origin *o = h1_origin();
	struct client *c[WARM];
	uint64_t begun;

	daemon_for(o, text("pick = \"%s\"; idle_timeout = \"2s\";", rows[_i].pick));
	for (int i = 0; i < WARM; i++)
		c[i] = client_ask("/hold/1");
	WAIT_FOR(origin_counts(o).requests == WARM);
	origin_release(o);
	for (int i = 0; i < WARM; i++)
		ck_assert_uint_eq(client_answer(c[i]).status, 200);
	ck_assert_uint_eq(origin_counts(o).accepted, WARM);
	for (begun = harness_now(); harness_now() - begun < 3500; harness_nap())
		ck_assert_uint_eq(get(c[0], "/").status, 200);
	ck_assert_uint_eq(origin_counts(o).open, rows[_i].stay);
	ck_assert_uint_eq(counted(daemon_counters("origin"), "closed_by_reason", "idle"),
		WARM - rows[_i].stay);
	ck_assert_uint_eq(origin_counts(o).accepted, WARM);
	for (int i = 0; i < WARM; i++)
		client_close(c[i]);
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
		c[i] = client_ask("/hold/1");
	WAIT_FOR(origin_counts(o).requests == 11);
	origin_release(o);
	for (int i = 0; i < 10; i++) {
		struct answer a = client_hear(c[i]);

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

/* This thread alone: seteuid would interrupt those of the origin, too. */
static void become(uid_t uid)
{
	ck_assert_int_eq(syscall(SYS_setresuid, -1, uid, -1), 0);
}

/* The kernel notes who connects. */
static struct client *ask_as(uid_t uid, const char *path)
{
	become(uid);
	struct client *c = client_open();

	become(0);
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

/* Requests that the origin got after Bert asked and until his, which counts, too. */
static unsigned turns_until_bert(const char *fair)
{
	struct origin *o = h1_origin();
	struct client *anne[1000], *bert;
	unsigned before, turns = UINT_MAX;

	ck_assert_uint_eq(load_clients(1000), 1000);

	daemon_for(o, text("max_connections = 1; max_queue = 2000; queue_timeout = \"off\"; "
			   "queue_fair = \"%s\";",
			      fair));
	let_everybody_in();
	anne[0] = ask_as(ANNE, "/hold/1");
	WAIT_FOR(origin_counts(o).requests == 1);
	for (int i = 1; i < 1000; i++)
		anne[i] = ask_as(ANNE, "/slow/100");
	daemon_queues("origin", 999);
	before = origin_counts(o).requests;
	bert = ask_as(BERT, "/sha");
	daemon_queues("origin", 1000);
	origin_release(o);
	/* Either he is answered, or that many others were. */
	WAIT_FOR(!client_quiet(bert, 1) || origin_counts(o).requests > before + 12);
	if (!client_quiet(bert, 1)) {
		struct answer a = client_answer(bert);

		turns = (unsigned)strtoul(answer_field(&a, "x-number"), NULL, 10) - before;
	}
	client_close(bert);
	for (int i = 0; i < 1000; i++)
		client_close(anne[i]);
	return turns;
}

START_TEST(a_thousand_waiting_requests_delay_another_users_by_two)
{
	if (geteuid() != 0) /* no second user to be had */
		return;
	ck_assert_uint_le(turns_until_bert("user"), 3);
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
	Suite *s = suite_create("lives");
	TCase *ages = harness_case(s, "ages"), *picks = harness_case(s, "picks");
	TCase *users = harness_case(s, "users");

	tcase_add_loop_test(ages, connections_that_grow_old_are_replaced_one_after_the_other, 0, 2);
	tcase_add_loop_test(ages, connections_grow_old_at_max_connections_as_well, 0, 2);
	tcase_add_test(ages, lifetimes_differ_by_the_jitter);
	tcase_add_test(ages, a_hundred_that_were_opened_together_do_not_retire_together);
	tcase_add_loop_test(ages, connections_are_replaced_after_max_requests, 0, 2);
	tcase_add_loop_test(picks, what_the_choice_leaves_idle_is_closed, 0, 3);
	tcase_add_loop_test(picks, one_request_at_a_time_stays_on_the_connection_used_last, 0, 2);
	tcase_add_test(picks, fifo_goes_round);
	tcase_add_test(picks, random2_uses_all_of_them_alike);
	tcase_add_loop_test(picks, many_at_once_are_spread_as_pick_says, 0, 4);
	tcase_add_test(users, a_thousand_waiting_requests_delay_another_users_by_two);
	tcase_add_test(users, without_turns_they_delay_it_by_as_many);
	return harness_main(s);
}
