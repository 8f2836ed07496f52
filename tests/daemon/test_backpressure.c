/*
 * test_backpressure.c - a slow reader or a stalled writer holds up itself only: neither the
 * daemon's memory nor its neighbours on the same connection.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/daemon/harness.h"
#include "tests/daemon/load.h"

#define MIB (1024ull * 1024)

/* Under ASan the base is large and freed memory comes back late: there only growth counts. */
static void assert_small(unsigned long before)
{
	unsigned long now = daemon_rss();
	unsigned long most = daemon_sanitized() ? before + 64 * MIB : 64 * MIB;

	ck_assert_msg(now < most, "%lu KiB resident, %lu before", now / 1024, before / 1024);
}

/*
 * Small requests for some time, and at least so many. On a machine that stands now and then a few
 * of them may be slow; neighbours that are held up would all be.
 */
static void small_requests(uint64_t ms, unsigned least, unsigned long before)
{
	uint64_t until = harness_now() + ms;
	unsigned n = 0, slow = 0;

	for (; harness_now() < until || n < least; n++) {
		uint64_t t = harness_now();
		struct answer a = get_once("/small");

		ck_assert_uint_eq(a.status, 200);
		slow += harness_now() - t >= 2000;
		assert_small(before);
		harness_nap();
	}
	ck_assert_msg(slow <= n / 5, "%u of %u were slow", slow, n);
}

static long size_of_got(void)
{
	char *size;

	sh(&size, "stat -c %%s %s/got", harness_dir());
	return atol(size);
}

START_TEST(slow_reader_costs_little_memory_and_does_not_slow_its_neighbours)
{
	struct nginx n;
	unsigned long before;
	char *connections;

	nginx_start(&n);
	pattern_file(text("%s/large", n.root), 100 * MIB);
	pattern_file(text("%s/small", n.root), 1000);
	daemon_start(config("", upstream_at("origin", true, "h2", n.h2, "max_connections = 1;")));
	ck_assert_uint_eq(get_once("/small").status, 200);
	before = daemon_rss();

	const char *argv[] = {"curl", "-sS", "-q", "--unix-socket", daemon_socket(), "--limit-rate",
		"1M", "-o", text("%s/got", harness_dir()), "http://origin/large", NULL};

	run(argv);
	small_requests(harness_full() ? 110000 : 6000, 51, before);
	sh(&connections, "cut -d' ' -f1 %s | sort -u | wc -l", n.log);
	ck_assert_int_eq(atoi(connections), 1);
	if (harness_full()) {
		ck_assert_int_eq(sh(NULL, "cmp %s/got %s/large", harness_dir(), n.root), 0);
	} else {
		/* It did run, and was not through. */
		WAIT_FOR(size_of_got() > (long)MIB);
		ck_assert_int_lt(size_of_got(), 100 * MIB);
	}
}
END_TEST

START_TEST(clients_that_do_not_read_are_held_in_little_memory)
{
	struct origin *o = origin_of(_i);
	struct client *c[32];
	unsigned long before;

	daemon_for(o, _i ? "max_connections = 1;" : "max_connections = 33;");
	ck_assert_uint_eq(get_once("/small").status, 200);
	before = daemon_rss();
	for (size_t i = 0; i < 32; i++) {
		c[i] = client_ask("/bytes/100000000");
	}
	WAIT_FOR(origin_counts(o).requests == 33);
	small_requests(1500, 5, before);
	for (size_t i = 0; i < 32; i++)
		client_close(c[i]);
}
END_TEST

START_TEST(upload_to_an_origin_that_does_not_read_stops)
{
	struct origin *o = some_origin(&(struct origin_opts){.serve = oc_ignore_body});
	struct client *c;
	unsigned long before;

	daemon_for(o, "");
	before = daemon_rss();
	c = client_open();
	client_say(c, "PUT /x HTTP/1.1\r\nHost: origin\r\nContent-Length: 300000000\r\n\r\n");
	/* Socket buffers of the kernel on both sides, and the daemon's own. */
	ck_assert_uint_lt(client_push(c), 32 * MIB);
	assert_small(before);
	/* Its going is noticed although nothing is read from it. */
	client_close(c);
	WAIT_FOR(origin_counts(o).open == 0);
}
END_TEST

START_TEST(upload_of_a_request_that_waits_stops)
{
	struct origin *o = h1_origin();
	struct client *c, *running;

	daemon_for(o, "max_connections = 1;");
	running = client_ask("/stall");
	WAIT_FOR(origin_counts(o).requests == 1);
	c = client_open();
	client_say(c, "PUT /x HTTP/1.1\r\nHost: origin\r\nContent-Length: 300000000\r\n\r\n");
	ck_assert_uint_lt(client_push(c), 32 * MIB);
	ck_assert_uint_eq(counted(daemon_counters("origin"), NULL, "requests"), 2);
	client_close(c);
	client_close(running);
}
END_TEST

START_TEST(memory_is_given_back_after_a_burst)
{
	struct client *c[64];
	unsigned long before;

	daemon_for(h2_origin(), "");
	ck_assert_uint_eq(get_once("/small").status, 200);
	before = daemon_rss();
	for (int round = 0; round < 3; round++) {
		for (size_t i = 0; i < 64; i++) {
			c[i] = client_ask("/bytes/1000000");
		}
		for (size_t i = 0; i < 64; i++) {
			ck_assert_uint_eq(client_answer(c[i]).len, 1000000);
			client_close(c[i]);
		}
		assert_small(before);
	}
}
END_TEST

#define RESTING 1000 /* clients */
#define UPWARD  200  /* connections */

/* What each of n has cost since. Under ASan that says nothing: see the callers. */
static void assert_each_costs(unsigned long before, unsigned n, unsigned long most)
{
	unsigned long now = daemon_rss(), each = now > before ? (now - before) / n : 0;

	if (harness_full())
		fprintf(stderr, "%lu bytes each of %u\n", each, n);
	ck_assert_msg(each <= most, "%lu bytes each of %u", each, n);
}

START_TEST(clients_that_rest_cost_little_memory)
{
	unsigned n = load_clients(RESTING);
	struct client *c[RESTING];
	unsigned long before;

	daemon_for(h1_origin(), "");
	if (daemon_sanitized())
		return;
	ck_assert_uint_eq(get_once("/bytes/10000").status, 200);
	before = daemon_rss();
	for (unsigned i = 0; i < n; i++) {
		c[i] = client_open();
		ck_assert_uint_eq(get(c[i], "/bytes/10000").status, 200);
	}
	assert_each_costs(before, n, 4096);
	for (unsigned i = 0; i < n; i++)
		client_close(c[i]);
}
END_TEST

/* OpenSSL 3.5 keeps the keys it offered, of which the one of ML-KEM takes 10 KB: not our memory. */
static void small_keys(void)
{
	char *path = text("%s/openssl.cnf", harness_dir());

	file_write(path, "openssl_conf = main\n[main]\nssl_conf = ssl\n[ssl]\n"
			 "system_default = groups\n[groups]\nGroups = X25519\n");
	setenv("OPENSSL_CONF", path, 1);
}

/* Each has carried a request; the clients are gone. */
START_TEST(connections_that_rest_cost_little_memory)
{
	unsigned n = load_clients(UPWARD);
	struct origin *o = some_origin(&(struct origin_opts){.tls = true});
	struct client *c[UPWARD];
	unsigned long before;

	small_keys();
	daemon_for(o, text("max_connections = %u; max_idle = %u; max_connecting = 50; "
			   "queue_timeout = \"30s\";",
			      n, n));
	if (daemon_sanitized())
		return;
	ck_assert_uint_eq(get_once("/bytes/10000").status, 200);
	before = daemon_rss();
	for (unsigned i = 0; i < n; i++)
		c[i] = client_ask("/slow/3000");
	for (unsigned i = 0; i < n; i++)
		ck_assert_uint_eq(client_hear(c[i]).status, 200);
	ck_assert_uint_gt(origin_counts(o).open, n / 2);
	assert_each_costs(before, origin_counts(o).open, 40960);
}
END_TEST

#define IDLE 3000 /* ms: body_idle_timeout */

/* None of them was closed by the daemon before its time; those that were are forgotten. */
static void look_at_stalled(struct pollfd *p, size_t n, uint64_t begun)
{
	for (size_t i = 0; i < n; i++) {
		if (!(p[i].revents & POLLHUP))
			continue;
		ck_assert_msg(harness_now() - begun >= IDLE - 100, "cut after %llu ms",
			(unsigned long long)(harness_now() - begun));
		p[i].fd = -1;
	}
}

/* The first of n clients asks for less than the others, none reads: more than the limit waits. */
static void ask_for_more_than_the_limit(struct client **c, size_t n)
{
	daemon_start(text("daemon : { memory_limit = \"8MiB\"; };\n%s",
		config("",
			upstream(NULL, h2_origin(), text("body_idle_timeout = \"%dms\";", IDLE)))));
	for (size_t i = 0; i < n; i++) {
		c[i] = client_open();
		client_say(c[i],
			"GET /bytes/%u HTTP/1.1\r\nHost: origin\r\nConnection: close\r\n\r\n",
			i ? 20000000u : 6000000u);
	}
}

/*
 * What they do not take is more than the limit: reading from the server rests, none is cut for it.
 */
START_TEST(memory_limit_cuts_nobody_before_body_idle_timeout)
{
	struct client *c[60];
	struct pollfd p[60];
	uint64_t begun = harness_now();

	ask_for_more_than_the_limit(c, 60);
	for (size_t i = 0; i < 60; i++)
		p[i] = (struct pollfd){.fd = c[i]->fd};
	while (harness_now() < begun + IDLE - 500) {
		ck_assert_int_ge(poll(p, 60, 50), 0);
		look_at_stalled(p, 60, begun);
	}
	for (size_t i = 0; i < 60; i++)
		client_close(c[i]);
}
END_TEST

/* All that one reads while others do not; bytes with the head. */
static uint64_t read_beside(struct client *reader, struct pollfd *p, size_t n, uint64_t begun)
{
	static char piece[65536];
	uint64_t got = 0;
	ssize_t k = 1;

	p[n] = (struct pollfd){.fd = reader->fd, .events = POLLIN};
	while (k > 0) {
		ck_assert_msg(poll(p, n + 1, PATIENCE) > 0, "stalls after %llu bytes",
			(unsigned long long)got);
		look_at_stalled(p, n, begun);
		if (!p[n].revents)
			continue;
		k = recv(reader->fd, piece, sizeof(piece), 0);
		got += k > 0 ? (uint64_t)k : 0;
	}
	return got;
}

START_TEST(a_reader_among_many_that_do_not_read_gets_all_at_memory_limit)
{
	struct client *c[61];
	struct pollfd p[61];
	uint64_t begun = harness_now();

	ask_for_more_than_the_limit(c, 61);
	for (size_t i = 0; i < 60; i++)
		p[i] = (struct pollfd){.fd = c[i + 1]->fd};
	ck_assert_uint_gt(read_beside(c[0], p, 60, begun), 6000000);
	for (size_t i = 0; i < 61; i++)
		client_close(c[i]);
}
END_TEST

/* Nothing is read from it while it does not read: that it goes is seen at the next write. */
START_TEST(a_client_that_asks_and_does_not_read_gives_its_place_back_when_it_goes)
{
	struct client *c;

	daemon_start(config(
		"max_clients = 1;", upstream("origin", h1_origin(),
					    "buffer = \"2MiB\"; h2_stream_window = \"2MiB\";")));
	c = client_open();
	client_say(c,
		"GET /bytes/%u HTTP/1.1\r\nHost: origin\r\n\r\n"
		"GET /later HTTP/1.1\r\nHost: origin\r\n\r\n",
		1000000u);
	WAIT_FOR(counted(daemon_counters("origin"), NULL, "answered") == 1);
	client_close(c);
	WAIT_FOR(get_once("/").status == 200);
	ck_assert_uint_eq(counted(daemon_counters("origin"), NULL, "requests"), 2);
}
END_TEST

#define UPLOAD (16 * MIB)

static void answer_and_take_the_rest(struct origin_conn *oc)
{
	static char piece[65536];
	uint64_t got = 0;
	ssize_t n = 1;

	if (!oc_read_head(oc) || !oc_say(oc, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"))
		return;
	for (; n > 0 && got<UPLOAD; got += n> 0 ? (uint64_t)n : 0)
		n = oc_read(oc, piece, sizeof(piece));
	oc_say(oc, got == UPLOAD ? "ok" : "");
	oc_wait_hangup(oc);
}

/* Nothing is retried then: retry_buffer, as large as the memory here, does not fill. */
START_TEST(what_is_uploaded_behind_the_head_of_the_answer_is_not_kept)
{
	static char piece[65536];
	struct origin *o = some_origin(&(struct origin_opts){.serve = answer_and_take_the_rest});
	struct client *c;
	struct answer a;

	daemon_start(text("daemon : { memory_limit = \"4MiB\"; };\n%s",
		config("", upstream("origin", o,
				   "buffer = \"4MiB\"; retry_buffer = \"4MiB\"; "
				   "body_idle_timeout = \"5s\";"))));
	c = client_open();
	client_say(c, "PUT /x HTTP/1.1\r\nHost: origin\r\nContent-Length: %llu\r\n\r\n", UPLOAD);
	ck_assert(!client_quiet(c, PATIENCE));
	for (uint64_t sent = 0; sent < UPLOAD; sent += sizeof(piece))
		client_write(c, piece, sizeof(piece));
	a = client_answer(c);
	ck_assert_uint_eq(a.status, 200);
	ck_assert_str_eq(a.body, "ok");
	client_close(c);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("backpressure");
	TCase *tc = harness_case(s, "backpressure");

	tcase_add_test(tc, slow_reader_costs_little_memory_and_does_not_slow_its_neighbours);
	tcase_add_loop_test(tc, clients_that_do_not_read_are_held_in_little_memory, 0, 2);
	tcase_add_test(tc, upload_to_an_origin_that_does_not_read_stops);
	tcase_add_test(tc, upload_of_a_request_that_waits_stops);
	tcase_add_test(tc, a_client_that_asks_and_does_not_read_gives_its_place_back_when_it_goes);
	tcase_add_test(tc, what_is_uploaded_behind_the_head_of_the_answer_is_not_kept);
	tcase_add_test(tc, memory_limit_cuts_nobody_before_body_idle_timeout);
	tcase_add_test(tc, a_reader_among_many_that_do_not_read_gets_all_at_memory_limit);
	tcase_add_test(tc, memory_is_given_back_after_a_burst);
	tcase_add_test(tc, clients_that_rest_cost_little_memory);
	tcase_add_test(tc, connections_that_rest_cost_little_memory);
	return harness_main(s);
}
