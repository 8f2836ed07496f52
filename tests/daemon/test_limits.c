/*
 * test_limits.c - at every limit (descriptors, clients, buffers) who comes newly hears why there
 * is no room, what runs goes on, and nothing spins.
 */
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>

#include "daemon/base/limits.h"
#include "tests/daemon/harness.h"
#include "tests/daemon/load.h"

/* The daemon starts with so few descriptors; the test keeps its own. */
static void start_limited(unsigned descriptors, const char *config_text)
{
	const char *program = getenv("CONNPOOLD");
	char *script = text("%s/limited", harness_dir());
	char *real = realpath(program ? program : "./daemon/connpoold", NULL);

	ck_assert_ptr_nonnull(real);
	file_write(script, text("#!/bin/sh\nulimit -n %u\nexec %s \"$@\"\n", descriptors, real));
	free(real);
	ck_assert_int_eq(sh(NULL, "chmod 755 %s", script), 0);
	setenv("CONNPOOLD", script, 1); /* of this test: each has a process of its own */
	daemon_start(config_text);
}

static void ask(struct client *c, const char *path)
{
	client_say(c, "GET %s HTTP/1.1\r\nHost: origin\r\n\r\n", path);
}

static void close_all(struct client **c, size_t n)
{
	for (size_t i = 0; i < n; i++)
		client_close(c[i]);
}

static void assert_refused(const struct answer *a, const char *limit)
{
	assert_own_answer(a, 503);
	ck_assert_msg(strstr(a->body, limit), "%s", a->body);
	ck_assert_str_eq(answer_field(a, "Connpool-Retry-Safe"), "yes");
	ck_assert_str_eq(answer_field(a, "Connection"), "close");
}

/* ---- the sum ---- */

static int test_config(char **said, unsigned descriptors, const char *config_text)
{
	const char *program = getenv("CONNPOOLD");

	daemon_rewrite(config_text);
	return sh(said, "ulimit -n %u; %s -t -c %s 2>&1", descriptors,
		program ? program : "./daemon/connpoold", daemon_config());
}

START_TEST(configuration_that_does_not_fit_is_refused_with_the_sum)
{
	char *conf = config("", upstream_at("a", false, "h1", 9, "max_connections = 100;"));
	char *said;

	ck_assert_int_eq(test_config(&said, 152, conf), 1);
	ck_assert_msg(strstr(said, "descriptors: 100 upstream + 4 connecting + 16 clients + 33 of "
				   "our own = 153, limit is 152: raise LimitNOFILE= or lower "
				   "max_connections"),
		"%s", said);
	ck_assert_msg(test_config(&said, 153, conf) == 0, "%s", said);
}
END_TEST

START_TEST(reload_that_does_not_fit_keeps_the_configuration)
{
	struct origin *o = h1_origin();

	start_limited(100, config("", upstream(NULL, o, "")));
	daemon_rewrite(config("", upstream(NULL, o, "max_connections = 100;")));
	kill(daemon_pid(), SIGHUP);
	WAIT_FOR(daemon_logged("event=\"reload failed\"") == 1);
	ck_assert_int_eq(daemon_logged("100 upstream + 4 connecting + 16 clients"), 1);
	ck_assert_uint_eq(get_once("/").status, 200);
}
END_TEST

/*
 * Numbers in use; false: they cannot be seen (another user's, or a process that is not dumpable).
 */
static bool descriptors(bool used[1024], unsigned *count)
{
	DIR *d = opendir(text("/proc/%d/fd", (int)daemon_pid()));
	struct dirent *e;

	memset(used, 0, 1024 * sizeof(*used));
	*count = 0;
	while (d && (e = readdir(d))) {
		if (e->d_name[0] == '.')
			continue;
		used[atoi(e->d_name) % 1024] = true;
		++*count;
	}
	if (d)
		closedir(d);
	return *count > 0;
}

/* From here on the daemon gets no other descriptor. */
static bool allow_no_more(void)
{
	struct rlimit limit = {0, 1024};
	bool used[1024];
	unsigned count;

	if (!descriptors(used, &count))
		return false;
	while (used[limit.rlim_cur])
		limit.rlim_cur++;
	ck_assert_int_eq(prlimit(daemon_pid(), RLIMIT_NOFILE, &limit, NULL), 0);
	return true;
}

START_TEST(daemon_itself_holds_no_more_than_is_counted)
{
	struct limits_needs n = {.listeners = 1, .workers = _i ? 4 : 1};
	bool used[1024];
	unsigned count;

	daemon_start(text("daemon : { workers = %u; };\n%s", n.workers,
		config("", upstream(NULL, h1_origin(), ""))));
	if (!descriptors(used, &count))
		return;
	ck_assert_uint_le(count, limits_own(&n));
	ck_assert_uint_ge(2 * count, limits_own(&n)); /* nor is far more counted */
}
END_TEST

/* ---- clients ---- */

#define CROWD 400

/* 400 clients at a daemon with 256 descriptors: some wait for their answers, some are refused. */
START_TEST(crowd_beyond_the_descriptors_is_told_and_nothing_spins)
{
	struct client *c[CROWD];
	unsigned served = 0, refused = 0, before, cpu;
	struct answer a;

	start_limited(256, config("", upstream(NULL, h2_origin(), "")));
	before = daemon_threads_cpu_ms();
	for (size_t i = 0; i < CROWD; i++) {
		c[i] = client_open();
		ask(c[i], "/bytes/10");
		if (i < 100) { /* they stay */
			a = client_answer(c[i]);
			ck_assert_uint_eq(a.status, 200);
		}
	}
	for (size_t i = 100; i < CROWD; i++) {
		a = client_answer(c[i]);
		if (a.status == 200) {
			served++;
			continue;
		}
		assert_refused(&a, "\"max_clients\"");
		ck_assert(client_closed(c[i]));
		refused++;
	}
	ck_assert_uint_eq(served + 100, 256 - 8 - 4 - 33);
	ck_assert_uint_eq(served + refused, 300);
	for (size_t i = 0; i < 100; i++)
		ck_assert_uint_eq(get(c[i], "/bytes/20").status, 200);

	cpu = daemon_threads_cpu_ms() - before;
	ck_assert_msg(cpu < (daemon_sanitized() ? 4000 : 1000), "%u ms", cpu);
	ck_assert_int_ge(daemon_logged("event=\"client refused\""), 1);
	close_all(c, CROWD);
	ck_assert_uint_eq(get_once("/").status, 200);
}
END_TEST

/* Time that the daemon uses in a second. */
static unsigned cpu_of_a_second(void)
{
	unsigned before = daemon_threads_cpu_ms();
	uint64_t until = harness_now() + 1000;

	while (harness_now() < until)
		harness_nap();
	return daemon_threads_cpu_ms() - before;
}

START_TEST(who_waits_for_a_place_costs_nothing)
{
	struct client *c[4], *waits[20];

	daemon_start(text(
		"daemon : { max_clients = 4; };\n%s", config("", upstream(NULL, h1_origin(), ""))));
	for (size_t i = 0; i < 4; i++) {
		c[i] = client_open();
		ck_assert_uint_eq(get(c[i], "/").status, 200);
	}
	for (size_t i = 0; i < 20; i++) /* they say nothing: eight at a time are looked at */
		waits[i] = client_open();
	ck_assert_uint_lt(cpu_of_a_second(), 200);
	ck_assert_uint_lt(cpu_of_a_second(), 200);
	client_close(c[0]);
	close_all(waits, 20);
	ck_assert_uint_eq(get(c[1], "/").status, 200);
	WAIT_FOR(get_once("/").status == 200);
	close_all(c + 1, 3);
}
END_TEST

#define PATIENCE_OF_FULL 1000 /* ms, the daemon's */

/*
 * There is no place, and the client waits for one: it gets the one that is left a little later. It
 * is never refused before the daemon's patience is over; after it, this machine stood meanwhile,
 * and that attempt says nothing.
 */
static struct client *takes_the_place_of(struct client *who)
{
	for (int i = 0; i < 20; i++) {
		uint64_t begun = harness_now();
		struct client *c = client_open();

		ask(c, "/");
		ck_assert(client_quiet(c, PATIENCE_OF_FULL * 2 / 5) ||
			  harness_now() - begun >= PATIENCE_OF_FULL);
		client_close(who);
		if (client_answer(c).status == 200)
			return c;
		ck_assert_uint_ge(harness_now() - begun, PATIENCE_OF_FULL);
		client_close(c);
		who = client_open();
		ck_assert_uint_eq(get(who, "/").status, 200);
	}
	ck_abort_msg("no place in 20 attempts");
}

/* However long all places have been taken, and whether that was so by a client that had waited. */
START_TEST(who_comes_when_all_is_full_waits_a_moment_for_a_place)
{
	struct client *c;
	uint64_t until;

	daemon_start(config("max_clients = 1;", upstream(NULL, h1_origin(), "")));
	c = client_open();
	ck_assert_uint_eq(get(c, "/").status, 200);
	c = takes_the_place_of(c);
	c = takes_the_place_of(c);
	for (until = harness_now() + PATIENCE_OF_FULL * 6 / 5; harness_now() < until; harness_nap())
		continue;
	client_close(takes_the_place_of(c));
}
END_TEST

START_TEST(who_comes_after_one_that_was_refused_waits_a_moment_for_a_place)
{
	struct client *c, *refused;
	struct answer a;

	daemon_start(config("max_clients = 1;", upstream(NULL, h1_origin(), "")));
	c = client_open();
	ck_assert_uint_eq(get(c, "/").status, 200);
	refused = client_open();
	ask(refused, "/");
	a = client_answer(refused);
	assert_refused(&a, "\"max_clients\"");
	client_close(refused);
	client_close(takes_the_place_of(c));
}
END_TEST

START_TEST(refused_client_hears_it_whatever_it_asks)
{
	struct client *c[2], *refused;
	struct answer a;

	daemon_start(text(
		"daemon : { max_clients = 2; };\n%s", config("", upstream(NULL, h1_origin(), ""))));
	for (size_t i = 0; i < 2; i++) {
		c[i] = client_open();
		ck_assert_uint_eq(get(c[i], "/").status, 200);
	}
	refused = client_open();
	client_say(refused, "POST / HTTP/1.1\r\nHost: origin\r\nContent-Length: 100000\r\n\r\n");
	client_write(refused, text("%0100000d", 0), 100000);
	a = client_answer(refused);
	assert_refused(&a, "\"max_clients\"");
	ck_assert(client_closed(refused));
	client_close(refused);
	refused = client_open();
	client_say(refused, "GET / HTTP/1.1\r\n\r\n");
	ck_assert_uint_eq(client_answer(refused).status, 400);
	client_close(refused);
	refused = client_open(); /* it says nothing */
	ck_assert(client_closed(refused));
	client_close(refused);
	ck_assert_uint_eq(get(c[0], "/").status, 200);
	close_all(c, 2);
}
END_TEST

/* ---- no descriptor is left ---- */

START_TEST(client_without_a_descriptor_is_told_and_who_is_there_goes_on)
{
	struct client *c;
	struct answer a;

	daemon_for(h1_origin(), "");
	c = client_open();
	ck_assert_uint_eq(get(c, "/").status, 200);
	ask(c, "/drip/20/50");
	if (!allow_no_more())
		return;
	for (int i = 0; i < 40; i++) {
		a = get_once("/");
		assert_refused(&a, "LimitNOFILE");
	}
	ck_assert_uint_lt(cpu_of_a_second(), 200);
	a = client_answer(c);
	ck_assert(a.whole && a.len == 20480);
	ck_assert_uint_eq(get(c, "/").status, 200);
	client_close(c);
}
END_TEST

/* They stay: a number below the highest one in use would be free else. */
static void two_connections(struct client *two[2], struct origin *idle, struct origin *origin)
{
	daemon_start(config("", text("%s, %s", upstream("idle", idle, ""),
					upstream("origin", origin, "backoff_min = \"20ms\";"))));
	for (size_t i = 0; i < 2; i++) {
		two[i] = client_open();
		client_say(two[i], "GET /drip/30/50 HTTP/1.1\r\nHost: idle\r\n\r\n");
	}
	WAIT_FOR(origin_counts(idle).requests == 2);
}

START_TEST(idle_connection_makes_room_for_one_that_is_needed)
{
	struct origin *idle = h1_origin(), *origin = h1_origin();
	struct client *two[2];

	two_connections(two, idle, origin);
	for (size_t i = 0; i < 2; i++)
		ck_assert_uint_eq(client_answer(two[i]).status, 200);
	ck_assert_uint_eq(origin_counts(idle).open, 2);
	if (!allow_no_more())
		return;
	ck_assert_uint_eq(get(two[0], "/").status, 200);
	ck_assert_uint_eq(origin_counts(origin).open, 1);
	WAIT_FOR(origin_counts(idle).open == 1);
	ck_assert_int_eq(daemon_logged("event=\"idle connection given up\""), 1);
	ck_assert_int_eq(daemon_logged_lines("event=\"closed\"", "reason=descriptors"), 1);
	close_all(two, 2);
}
END_TEST

START_TEST(dial_without_a_descriptor_is_a_limit_of_ours)
{
	struct origin *idle = h1_origin(), *origin = h1_origin();
	struct client *c, *two[2];
	struct answer a;

	two_connections(two, idle, origin);
	c = client_open();
	client_say(c, "GET / HTTP/1.1\r\nHost: nobody\r\n\r\n");
	ck_assert_uint_eq(client_answer(c).status, 404);
	if (!allow_no_more())
		return;
	a = get(c, "/");
	assert_own_answer(&a, 503);
	ck_assert_msg(strstr(a.body, "proxy_internal_limit") && strstr(a.body, "LimitNOFILE"), "%s",
		a.body);
	ck_assert_str_eq(answer_field(&a, "Connpool-Retry-Safe"), "yes");
	for (size_t i = 0; i < 2; i++) {
		a = client_answer(two[i]);
		ck_assert(a.whole && a.len == 30720);
	}
	ck_assert_uint_eq(get(c, "/").status, 200); /* they are idle now */
	client_close(c);
	close_all(two, 2);
}
END_TEST

/* ---- no port is left ---- */

#define PORTS 4

/* The whole host has so few ports for connections that it makes. false: they may not be changed. */
static bool few_ports(void)
{
	FILE *f = fopen("/proc/sys/net/ipv4/ip_local_port_range", "we");
	bool good = f && fprintf(f, "40000 %d\n", 40000 + PORTS - 1) > 0;

	return f && fclose(f) == 0 && good;
}

/* The connections that there are stay in use. */
START_TEST(without_a_free_port_the_cause_is_told_and_who_is_there_goes_on)
{
	struct client *c[PORTS], *more[20];
	struct origin *o;
	struct answer a;

	if (!harness_own_network())
		return;
	o = h1_origin();
	if (!few_ports())
		return;
	daemon_for(o, "max_connections = 20; queue_timeout = \"700ms\"; backoff_min = \"100ms\"; "
		      "backoff_max = \"200ms\";");
	for (size_t i = 0; i < PORTS; i++)
		c[i] = client_ask("/drip/80/50");
	WAIT_FOR(origin_counts(o).requests == PORTS);
	for (size_t i = 0; i < 20; i++)
		more[i] = client_ask("/");
	ck_assert_uint_lt(cpu_of_a_second(), 200);
	for (size_t i = 0; i < 20; i++) {
		a = client_hear(more[i]);
		ck_assert_uint_ge(a.status, 502);
		assert_own_answer(&a, a.status);
		ck_assert_msg(strstr(a.body, "Cannot assign requested address"), "%s", a.body);
		ck_assert_str_eq(answer_field(&a, "Connpool-Retry-Safe"), "yes");
	}
	/* One in 80 ms or more once the first have failed. */
	ck_assert_uint_le(counted(daemon_counters("origin"), NULL, "connect_failed"), 40);
	for (size_t i = 0; i < PORTS; i++) {
		a = client_hear(c[i]);
		ck_assert(a.whole && a.len == 81920);
	}
	ck_assert_uint_eq(origin_counts(o).accepted, PORTS);
	origin_kill(o); /* and their ports are free */
	WAIT_FOR(get_once("/").status == 200);
	ck_assert_uint_gt(origin_counts(o).accepted, PORTS);
}
END_TEST

/* ---- buffers ---- */

static uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static int by_size(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

#define NEIGHBOURS 50
#define ROUNDS     100

/* us: what 99 of 100 requests of the neighbours, all at once, took at most. */
static uint64_t p99(struct client *c[NEIGHBOURS], unsigned rounds)
{
	uint64_t *took = calloc((size_t)NEIGHBOURS * rounds, sizeof(*took)), begun, result;
	size_t n = 0;

	for (unsigned r = 0; r < rounds; r++) {
		begun = now_us();
		for (size_t i = 0; i < NEIGHBOURS; i++)
			ask(c[i], "/bytes/1000");
		for (size_t i = 0; i < NEIGHBOURS; i++) {
			struct answer a = client_answer(c[i]);

			ck_assert(a.status == 200 && a.len == 1000);
			took[n++] = now_us() - begun;
		}
	}
	qsort(took, n, sizeof(*took), by_size);
	result = took[n * 99 / 100];
	free(took);
	return result;
}

START_TEST(neighbours_of_one_that_does_not_read_are_as_fast_as_before)
{
	struct origin *o = h2_origin();
	struct client *c[NEIGHBOURS], *stalled;
	unsigned rounds = harness_full() ? 40 * ROUNDS : ROUNDS;
	uint64_t without, with;

	/* One stream's window is all of the connection's: kept for one it would stop the others. */
	daemon_for(o, "max_connections = 1; h2_connection_window = \"256KiB\";");
	for (size_t i = 0; i < NEIGHBOURS; i++)
		c[i] = client_open();
	p99(c, 5);
	without = p99(c, rounds);
	stalled = client_open();
	ask(stalled, "/bytes/100000000");
	WAIT_FOR(origin_counts(o).requests == (5 + rounds) * NEIGHBOURS + 1);
	with = p99(c, rounds);
	printf("p99 of %u requests: %llu us, beside one that does not read %llu us\n",
		rounds * NEIGHBOURS, (unsigned long long)without, (unsigned long long)with);
	/*
	 * Both were measured on the machine as it was then: only if it stays so is it the daemon.
	 */
	for (int i = 0; i < 10 && with >= 2 * without + 20000; i++) {
		client_close(stalled);
		without = p99(c, rounds);
		stalled = client_open();
		ask(stalled, "/bytes/100000000");
		with = p99(c, rounds);
	}
	ck_assert_msg(with < 2 * without + 20000, "%llu us, %llu us without",
		(unsigned long long)with, (unsigned long long)without);
	ck_assert_uint_eq(origin_counts(o).accepted, 1);
	client_close(stalled);
	close_all(c, NEIGHBOURS);
}
END_TEST

#define IGNORANT 400 /* four connections full */

START_TEST(full_connections_of_clients_that_do_not_read_leave_room_for_others)
{
	struct origin *o = h2_origin();
	struct client *c[IGNORANT];
	uint64_t until;

	daemon_start(text("daemon : { memory_limit = \"64MiB\"; };\n%s",
		config("", text("%s, %s", upstream("origin", o, "max_connections = 4;"),
				   upstream("other", h1_origin(), "")))));
	for (size_t i = 0; i < IGNORANT; i++) {
		c[i] = client_open();
		ask(c[i], "/bytes/2000000");
	}
	WAIT_FOR(origin_counts(o).requests == IGNORANT);
	for (until = harness_now() + 1000; harness_now() < until; harness_nap()) {
		struct client *d = client_open();

		client_say(d, "GET /bytes/300000 HTTP/1.1\r\nHost: other\r\n\r\n");
		ck_assert_uint_eq(client_answer(d).len, 300000);
		client_close(d);
	}
	ck_assert_uint_eq(origin_counts(o).peak, 4);
	ck_assert_uint_eq(client_answer(c[IGNORANT - 1]).len, 2000000); /* now it does */
	close_all(c, IGNORANT);
}
END_TEST

#define PROBES 50

static bool is_refused(const struct client *c)
{
	char status[12];

	return recv(c->fd, status, 12, MSG_PEEK | MSG_DONTWAIT) == 12 &&
	       memcmp(status, "HTTP/1.1 503", 12) == 0;
}

/*
 * Requests one after the other, without waiting for answers: one that came just before the limit
 * has to. Slowly as long as the limit is not reached.
 */
static void probe(struct client *c[PROBES])
{
	bool refused = false;

	for (size_t i = 0; i < PROBES; i++) {
		uint64_t until = harness_now() + 40;

		c[i] = client_open();
		client_say(c[i], "GET / HTTP/1.1\r\nHost: other\r\n\r\n");
		do {
			harness_nap();
			refused = refused || is_refused(c[i]);
		} while (!refused && harness_now() < until);
	}
}

/* Where memory_limit is too small for that the limit is told, and body_idle_timeout ends it. */
START_TEST(buffers_that_are_used_up_are_free_again_after_body_idle_timeout)
{
	struct origin *o = h2_origin();
	struct client *c[IGNORANT / 2], *probes[PROBES];
	unsigned refused = 0;

	daemon_start(text("daemon : { memory_limit = \"8MiB\"; };\n%s",
		config("", text("%s, %s",
				   upstream("origin", o,
					   "max_connections = 2; body_idle_timeout = \"3s\";"),
				   upstream("other", h1_origin(), "")))));
	for (size_t i = 0; i < IGNORANT / 2; i++) {
		c[i] = client_open();
		ask(c[i], "/bytes/2000000");
	}
	WAIT_FOR(origin_counts(o).requests == IGNORANT / 2);
	probe(probes);
	ck_assert_uint_lt(cpu_of_a_second(), 500);
	for (size_t i = 0; i < PROBES; i++) {
		struct answer a = client_answer(probes[i]);

		if (a.status == 200)
			continue;
		assert_own_answer(&a, 503);
		ck_assert_msg(strstr(a.body, "memory_limit"), "%s", a.body);
		refused++;
	}
	ck_assert_uint_gt(refused, 0);
	WAIT_FOR(get_once("/").status == 200);
	close_all(c, IGNORANT / 2);
	close_all(probes, PROBES);
}
END_TEST

/* ---- streams without end ---- */

static void get_some(unsigned nonce, char out[LOAD_REQUEST_MAX])
{
	(void)nonce;
	snprintf(out, LOAD_REQUEST_MAX, "GET /bytes/100 HTTP/1.1\r\nHost: origin\r\n\r\n");
}

/* It has begun and goes on. What came is dropped. */
static void assert_streams(struct client *c)
{
	char piece[65536];
	ssize_t got;

	WAIT_FOR(recv(c->fd, piece, 13, MSG_PEEK | MSG_DONTWAIT) == 13);
	ck_assert_int_eq(memcmp(piece, "HTTP/1.1 200 ", 13), 0);
	while ((got = recv(c->fd, piece, sizeof(piece), MSG_DONTWAIT)) > 0)
		;
	ck_assert_msg(got < 0, "it was cut");
}

/* Events as those of a chat: a little now and then, for ever. */
START_TEST(endless_streams_leave_short_requests_quick_and_no_descriptor_behind)
{
	struct origin *o = origin_of(_i);
	unsigned streams = harness_full() ? 200 : 60, base, now;
	struct load l = {.clients = 20,
		.rate = harness_full() ? 1000 : 200,
		.ms = harness_full() ? 20000 : 1500,
		.request = get_some};
	struct client *c[200];
	bool used[1024];

	daemon_for(o, text("max_connections = %u; max_connecting = 20; max_idle = 20; "
			   "idle_timeout = \"300ms\";",
			      _i ? 4 : streams + 5));
	descriptors(used, &base);
	for (unsigned i = 0; i < streams; i++)
		c[i] = client_ask("/drip/1000000/200");
	WAIT_FOR(origin_counts(o).requests == streams);
	load_run(&l);
	/* They run all the while: who had to wait for the end of one would never be answered. */
	load_assert_good("beside streams", &l);
	for (unsigned i = 0; i < streams; i++)
		assert_streams(c[i]);
	close_all(c, streams);
	WAIT_FOR(origin_counts(o).open == 0);
	WAIT_FOR(!descriptors(used, &now) || now == base);
	ck_assert_uint_eq(counted(daemon_counters("origin"), NULL, "abandoned"), streams);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("limits");
	TCase *streams = harness_case(s, "streams");
	TCase *sum = harness_case(s, "sum"), *clients = harness_case(s, "clients");
	TCase *descriptor = harness_case(s, "descriptors"), *buffers = harness_case(s, "buffers");

	tcase_add_test(sum, configuration_that_does_not_fit_is_refused_with_the_sum);
	tcase_add_test(sum, reload_that_does_not_fit_keeps_the_configuration);
	tcase_add_loop_test(sum, daemon_itself_holds_no_more_than_is_counted, 0, 2);
	tcase_add_test(clients, crowd_beyond_the_descriptors_is_told_and_nothing_spins);
	tcase_add_test(clients, who_waits_for_a_place_costs_nothing);
	tcase_add_test(clients, who_comes_when_all_is_full_waits_a_moment_for_a_place);
	tcase_add_test(clients, who_comes_after_one_that_was_refused_waits_a_moment_for_a_place);
	tcase_add_test(clients, refused_client_hears_it_whatever_it_asks);
	tcase_add_test(descriptor, client_without_a_descriptor_is_told_and_who_is_there_goes_on);
	tcase_add_test(descriptor, idle_connection_makes_room_for_one_that_is_needed);
	tcase_add_test(descriptor, dial_without_a_descriptor_is_a_limit_of_ours);
	tcase_add_test(descriptor, without_a_free_port_the_cause_is_told_and_who_is_there_goes_on);
	tcase_add_test(buffers, neighbours_of_one_that_does_not_read_are_as_fast_as_before);
	tcase_add_test(buffers, full_connections_of_clients_that_do_not_read_leave_room_for_others);
	tcase_add_test(buffers, buffers_that_are_used_up_are_free_again_after_body_idle_timeout);
	tcase_add_loop_test(
		streams, endless_streams_leave_short_requests_quick_and_no_descriptor_behind, 0, 2);
	return harness_main(s);
}
