/*
 * test_servers.c - the library against nginx, nghttpd and Apache httpd, in HTTP/1.1 and HTTP/2,
 * in clear and over TLS. What comes back is compared byte for byte; what the server did is read
 * in its log.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/conn/live.h"
#include "tests/programs.h"

#define UPLOAD (3u << 20)
#define MANY   300

static struct server server;
static struct live live;

static void begin(const struct setup *setup, const char *more, const struct cc_transport_opts *opts)
{
	server_start(&server, setup, more);
	live_open(&live, &server, opts);
}

static void end(void)
{
	live_close(&live);
	server_stop(&server);
}

static void counts_are(uint64_t completed, uint32_t in_flight)
{
	struct cc_counts n;

	live_check(&live);
	cc_conn_counts(live.conn, &n);
	ck_assert_uint_eq(n.requests_completed, completed);
	ck_assert_uint_eq(n.in_flight, in_flight);
}

static struct call get_of(const char *path)
{
	struct call c = {0};

	snprintf(c.path, sizeof(c.path), "%s", path);
	return c;
}

/* n requests that the server's log tells apart. */
static struct call *numbered(const char *path, unsigned n)
{
	struct call *calls = calloc(n, sizeof(*calls));

	ck_assert_ptr_nonnull(calls);
	for (unsigned i = 0; i < n; i++)
		snprintf(calls[i].path, sizeof(calls[i].path), "%s?n=%u", path, i);
	return calls;
}

/* A small request on the connection as it is now. */
static void still_works(void)
{
	struct call c = get_of("/small");

	call_run(&live, &c);
	call_expect(&c, 200, SMALL);
}

/* The server has ended. It has done what was answered, once, and nothing that is unprocessed. */
static void log_agrees(const struct call *calls, unsigned n)
{
	unsigned *counts = calloc(n, sizeof(*counts));

	ck_assert_ptr_nonnull(counts);
	server_count(&server, counts, n);
	for (unsigned i = 0; i < n; i++) {
		const struct call *c = &calls[i];

		if (c->done && c->result.err == 0)
			ck_assert_msg(counts[i] == 1, "%s: done %u times", c->path, counts[i]);
		else if (c->done && c->result.unprocessed)
			ck_assert_msg(counts[i] == 0, "%s: unprocessed, and done", c->path);
		else
			ck_assert_msg(counts[i] <= 1, "%s: done %u times", c->path, counts[i]);
	}
	free(counts);
}

/* ---- each server in each protocol -------------------------------------- */

START_TEST(answers_of_all_kinds_come_whole_on_one_connection)
{
	struct call small = get_of("/small"), large = get_of("/large"), none = get_of("/missing");
	struct call head = get_of("/large"), same = get_of("/small"), nothing = get_of("/nothing");
	bool has_204 = setups[_i].program != NGHTTPD;

	begin(&setups[_i], "", NULL);
	call_run(&live, &small);
	call_expect(&small, 200, SMALL);
	ck_assert_int_eq(small.length, SMALL);
	call_run(&live, &large);
	call_expect(&large, 200, LARGE);
	none.any_body = true;
	call_run(&live, &none);
	call_expect(&none, 404, none.got);
	head.method = "HEAD";
	call_run(&live, &head);
	call_expect(&head, 200, 0);
	ck_assert_int_eq(head.length, LARGE);
	snprintf(same.fields, sizeof(same.fields), "if-modified-since: %s\n", small.modified);
	call_run(&live, &same);
	call_expect(&same, 304, 0);
	if (has_204) {
		call_run(&live, &nothing);
		call_expect(&nothing, 204, 0);
	}
	still_works();
	live_settle(&live);
	counts_are(has_204 ? 7 : 6, 0);
	ck_assert_uint_eq(live.dials, 1);
	end();
}
END_TEST

static void file_is_pattern(const char *name, uint64_t size)
{
	char path[300], *text = malloc(size + 1), *want = malloc(size + 1);
	FILE *f;

	snprintf(path, sizeof(path), "%s/www%s", server.dir, name);
	f = fopen(path, "re");
	ck_assert_msg(f && text && want, "no %s", path);
	ck_assert_uint_eq(fread(text, 1, size + 1, f), size);
	pattern_fill(want, size, 0);
	ck_assert_mem_eq(text, want, size);
	fclose(f);
	free(text);
	free(want);
}

/* nginx keeps it, the others send it back while it comes. */
static void send_there_and_back(uint64_t size, bool sized)
{
	struct call c = {.upload = size, .sized = sized}, back = {0};

	if (server.setup->program == NGINX) {
		c.method = "PUT";
		snprintf(c.path, sizeof(c.path), "/dav/%d-%u", sized, (unsigned)size);
		call_run(&live, &c);
		call_expect(&c, 201, 0);
		file_is_pattern(c.path, size);
		back = get_of(c.path);
		call_run(&live, &back);
		call_expect(&back, 200, size);
	} else {
		c.method = "POST";
		snprintf(c.path, sizeof(c.path), "/echo");
		call_run(&live, &c);
		call_expect(&c, 200, size);
	}
	ck_assert_uint_eq(c.result.sent, size);
}

START_TEST(bodies_of_known_and_unknown_length_go_and_come_back)
{
	static const unsigned sizes[] = {1, 16384, 65537, UPLOAD};

	begin(&setups[_i], "", NULL);
	for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		send_there_and_back(sizes[i], true);
		send_there_and_back(sizes[i], false);
	}
	still_works();
	ck_assert_uint_eq(live.dials, 1);
	end();
}
END_TEST

/* A credit that was lost anywhere would be missed here. */
START_TEST(small_windows_carry_large_bodies)
{
	struct cc_transport_opts opts = {.window = 16384, .conn_window = 65535};
	struct call large;

	begin(&setups[_i], "", &opts);
	for (unsigned i = 0; i < 3; i++) {
		large = get_of("/large");
		call_run(&live, &large);
		call_expect(&large, 200, LARGE);
	}
	send_there_and_back(UPLOAD, false);
	ck_assert_uint_eq(live.dials, 1);
	end();
}
END_TEST

/* Several bodies at once, in both directions, in one connection. */
START_TEST(streams_do_not_mix_their_bodies)
{
	struct call calls[12] = {0};

	begin(&setups[_i], "", NULL);
	live_settle(&live);
	for (unsigned i = 0; i < 12; i++) {
		bool up = i % 3 > 0;

		calls[i] = (struct call){.upload = up ? UPLOAD / 2 + i : 0, .sized = i % 3 == 1};
		calls[i].method = !up ? "GET" : server.setup->program == NGINX ? "PUT" : "POST";
		snprintf(calls[i].path, sizeof(calls[i].path),
			!up                              ? "/large"
			: server.setup->program == NGINX ? "/dav/%u"
							 : "/echo",
			i);
		call_go(&live, &calls[i]);
	}
	for (unsigned i = 0; i < 12; i++) {
		call_wait(&calls[i]);
		if (!calls[i].upload) {
			call_expect(&calls[i], 200, LARGE);
		} else if (server.setup->program == NGINX) {
			call_expect(&calls[i], 201, 0);
			file_is_pattern(calls[i].path, calls[i].upload);
		} else {
			call_expect(&calls[i], 200, calls[i].upload);
		}
	}
	live_settle(&live);
	counts_are(12, 0);
	end();
}
END_TEST

START_TEST(more_requests_than_slots_wait_and_all_are_answered_once)
{
	struct call *calls = numbered("/small", MANY);
	uint32_t slots;

	begin(&setups[_i], setups[_i].program == NGHTTPD ? "-m5" : "", NULL);
	live_settle(&live);
	slots = cc_conn_available(live.conn);
	ck_assert_uint_lt(slots, MANY);
	if (setups[_i].program == NGHTTPD)
		ck_assert_uint_eq(slots, 5);
	for (unsigned i = 0; i < MANY; i++)
		call_go(&live, &calls[i]);
	ck_assert_uint_eq(cc_conn_in_flight(live.conn), slots);
	ck_assert_uint_eq(cc_conn_waiting(live.conn), MANY - slots);
	for (unsigned i = 0; i < MANY; i++) {
		call_wait(&calls[i]);
		call_expect(&calls[i], 200, SMALL);
	}
	live_settle(&live);
	counts_are(MANY, 0);
	ck_assert_uint_eq(cc_conn_available(live.conn), slots);
	end();
	log_agrees(calls, MANY);
	free(calls);
}
END_TEST

/* No slot is lost and none gained by requests that are given up. */
START_TEST(cancelled_requests_leave_http2_as_it_was)
{
	struct call down[3], up = {.upload = UPLOAD};
	uint32_t slots;

	begin(&setups[_i], "", NULL);
	live_settle(&live);
	slots = cc_conn_available(live.conn);
	for (unsigned round = 0; round < 5; round++) {
		for (unsigned i = 0; i < 3; i++) {
			down[i] = get_of(i < 2 ? "/huge" : "/large");
			down[i].any_body = i < 2;
			down[i].cancel_after = i == 0 ? 1 : i == 1 ? 100000 : 0;
			call_go(&live, &down[i]);
		}
		call_reset(&up);
		up.method = server.setup->program == NGINX ? "PUT" : "POST";
		snprintf(up.path, sizeof(up.path), "%s",
			server.setup->program == NGINX ? "/dav/half" : "/echo");
		call_go(&live, &up);
		await(&live, up.given > 300000);
		call_cancel(&up);
		await(&live, down[0].cancelled && down[1].cancelled);
		call_wait(&down[2]);
		call_expect(&down[2], 200, LARGE);
		still_works();
		ck_assert_uint_eq(up.done + down[0].done + down[1].done, 0);
	}
	live_settle(&live);
	counts_are(25, 0);
	ck_assert_uint_eq(cc_conn_available(live.conn), slots);
	ck_assert_uint_eq(live.dials, 1);
	end();
}
END_TEST

START_TEST(a_long_answer_given_up_closes_http1)
{
	struct call c = get_of("/huge");

	begin(&setups[_i], "", NULL);
	c.any_body = true;
	c.cancel_after = 100000;
	call_go(&live, &c);
	await(&live, live.hooks_closed);
	ck_assert_uint_eq(c.done, 0);
	counts_are(1, 0);
	ck_assert_int_eq(cc_conn_reason(live.conn), CC_REASON_NOT_REUSABLE);
	live_dial(&live);
	still_works();
	end();
}
END_TEST

START_TEST(an_answer_given_up_near_its_end_leaves_http1_usable)
{
	struct call c = get_of("/large");

	begin(&setups[_i], "", NULL);
	c.cancel_after = LARGE - 20000;
	call_go(&live, &c);
	await(&live, c.cancelled);
	await(&live, cc_conn_available(live.conn) == 1 || live.hooks_closed);
	ck_assert_uint_eq(live.hooks_closed, 0);
	still_works();
	counts_are(2, 0);
	end();
}
END_TEST

START_TEST(waiting_round_trips_that_are_cancelled_never_reach_the_server)
{
	struct cc_transport_opts opts = {.max_concurrent = 2};
	unsigned slots = setups[_i].h2 ? 2 : 1;
	struct call *calls = numbered("/large", 10);

	begin(&setups[_i], "", &opts);
	live_settle(&live);
	for (unsigned i = 0; i < 10; i++) {
		calls[i].held = i < slots;
		call_go(&live, &calls[i]);
	}
	await(&live, calls[0].heads && calls[slots - 1].heads);
	ck_assert_uint_eq(cc_conn_waiting(live.conn), 10 - slots);
	for (unsigned i = slots; i < 10; i += 2)
		call_cancel(&calls[i]);
	for (unsigned i = 0; i < slots; i++)
		call_release(&calls[i]);
	for (unsigned i = 0; i < 10; i++)
		if (!calls[i].cancelled) {
			call_wait(&calls[i]);
			call_expect(&calls[i], 200, LARGE);
		}
	end();
	for (unsigned i = 0; i < 10; i++) {
		char text[80];

		snprintf(text, sizeof(text), "%s%s", calls[i].path,
			server.setup->program == NGHTTPD ? "\n" : " ");
		ck_assert_uint_eq(server_logged(&server, text), !calls[i].cancelled);
	}
	free(calls);
}
END_TEST

/* ---- the server ends --------------------------------------------------- */

/* Two (or the one that fits) run and take no more, the others wait. Returns how many run. */
static unsigned begin_held(const struct setup *setup, const char *path, struct call *calls)
{
	struct cc_transport_opts opts = {.max_concurrent = 2};
	unsigned slots = setup->h2 ? 2 : 1;

	begin(setup, "", &opts);
	live_settle(&live);
	for (unsigned i = 0; i < 8; i++) {
		snprintf(calls[i].path, sizeof(calls[i].path), "%s?n=%u", path, i);
		calls[i].held = i < slots;
		calls[i].any_body = strcmp(path, "/huge") == 0;
		call_go(&live, &calls[i]);
	}
	await(&live, calls[0].got && calls[slots - 1].got);
	ck_assert_uint_eq(cc_conn_waiting(live.conn), 8 - slots);
	return slots;
}

START_TEST(a_killed_server_leaves_partial_and_unprocessed_requests)
{
	struct call calls[8] = {0};
	unsigned slots = begin_held(&setups[_i], "/huge", calls);

	server_kill(&server);
	for (unsigned i = 0; i < slots; i++)
		call_release(&calls[i]);
	await(&live, live.hooks_closed);
	for (unsigned i = 0; i < 8; i++) {
		const struct cc_result *r = &calls[i].result;

		ck_assert_uint_eq(calls[i].done, 1);
		ck_assert_int_lt(r->err, 0);
		ck_assert(r->unprocessed == (i >= slots));
		ck_assert_int_eq(r->phase, i < slots ? CC_PHASE_RECEIVING : CC_PHASE_QUEUED);
	}
	counts_are(slots, 0);
	live_close(&live);
	log_agrees(calls, 8);
}
END_TEST

START_TEST(a_server_that_quits_finishes_what_it_has_begun)
{
	struct call calls[8] = {0};
	unsigned slots = begin_held(&setups[_i], "/large", calls);

	server_quit(&server);
	/* It hears of it while the answers are under way. */
	for (int i = 0; i < 30; i++) {
		event_base_loop(live.base, EVLOOP_NONBLOCK);
		program_nap();
	}
	for (unsigned i = 0; i < slots; i++) {
		call_release(&calls[i]);
		call_wait(&calls[i]);
		call_expect(&calls[i], 200, LARGE);
	}
	await(&live, live.hooks_closed);
	for (unsigned i = 0; i < 8; i++)
		ck_assert_uint_eq(calls[i].done, 1);
	end();
	log_agrees(calls, 8);
}
END_TEST

/* ---- many requests over connections that end --------------------------- */

static unsigned answered(const struct call *calls, unsigned n)
{
	unsigned good = 0;

	for (unsigned i = 0; i < n; i++)
		good += calls[i].done && calls[i].result.err == 0;
	return good;
}

/* Begins what has not been answered; what the server may have done is marked, and begun again. */
static void begin_rest(struct call *calls, unsigned n, bool *unsure)
{
	for (unsigned i = 0; i < n; i++) {
		if (calls[i].done && calls[i].result.err == 0)
			continue;
		unsure[i] |= calls[i].done && !calls[i].result.unprocessed;
		call_reset(&calls[i]);
		if (call_begin(&live, &calls[i]) < 0)
			return;
	}
}

static bool idle(void)
{
	return live.hooks_closed ||
	       (cc_conn_state(live.conn) == CC_READY && cc_conn_in_flight(live.conn) == 0 &&
		       cc_conn_waiting(live.conn) == 0);
}

/* All of them, over as many connections as it takes, while the server is told to reload. */
static unsigned run_all(struct call *calls, unsigned n, unsigned reloads)
{
	bool *unsure = calloc(n, sizeof(*unsure));
	unsigned *counts = calloc(n, sizeof(*counts)), told = 0, dials, doubtful = 0;

	while (answered(calls, n) < n) {
		ck_assert_uint_lt(live.dials, n);
		if (cc_conn_state(live.conn) != CC_READY)
			live_dial(&live);
		begin_rest(calls, n, unsure);
		while (!idle()) {
			unsigned mark = told < reloads ? (told + 1) * n / (reloads + 1) : n + 1;

			await(&live, idle() || answered(calls, n) >= mark);
			if (answered(calls, n) >= mark) {
				server_reload(&server);
				told++;
			}
		}
	}
	ck_assert_uint_eq(told, reloads);
	dials = live.dials;
	end();
	server_count(&server, counts, n);
	for (unsigned i = 0; i < n; i++) {
		ck_assert_int_eq(calls[i].status, 200);
		ck_assert_msg(counts[i] == 1 || (unsure[i] && counts[i] > 1), "%s: done %u times",
			calls[i].path, counts[i]);
		doubtful += unsure[i];
	}
	free(unsure);
	free(counts);
	free(calls);
	/*
	 * In doubt are requests that crossed the server's end. Apache breaks HTTP/2 connections off
	 * with requests under way that it counts as begun.
	 */
	if (server.setup->program != APACHE || !server.setup->h2)
		ck_assert_uint_le(doubtful, reloads);
	return dials;
}

START_TEST(connections_retired_after_100_requests_lose_and_double_nothing)
{
	bool apache = setups[_i].program == APACHE;

	begin(&setups[_i], apache ? "MaxKeepAliveRequests 100" : "keepalive_requests 100;", NULL);
	ck_assert_uint_ge(run_all(numbered("/small", 1000), 1000, 0), 10);
}
END_TEST

/*
 * Apache 2.4 with HTTP/2 may send, while a graceful restart takes it down, GOAWAY(INTERNAL_ERROR)
 * "The callback function failed" and behind it a DATA frame that begins with bytes of its memory.
 * The library believes nothing behind such a GOAWAY (doc/connection.md), so what ends well here has
 * to be the file, to the byte, whichever server it is.
 */
START_TEST(a_server_that_reloads_loses_and_doubles_nothing)
{
	/* Apache takes a second for each. */
	unsigned reloads = setups[_i].program == APACHE ? 2 : 4;

	begin(&setups[_i], "", NULL);
	ck_assert_uint_ge(run_all(numbered("/small", 2000), 2000, reloads), 2);
}
END_TEST

START_TEST(an_idle_connection_that_the_server_closes_offers_nothing)
{
	begin(&setups[_i],
		setups[_i].program == APACHE ? "KeepAliveTimeout 200ms"
					     : "keepalive_timeout 200ms;",
		NULL);
	still_works();
	await(&live, live.hooks_closed);
	counts_are(1, 0);
	ck_assert_uint_eq(cc_conn_available(live.conn), 0);
	ck_assert_int_eq(cc_conn_reserve(live.conn), CC_ECLOSED);
	ck_assert(cc_conn_reason(live.conn) == CC_REASON_PEER_IDLE ||
		  cc_conn_reason(live.conn) == CC_REASON_GOAWAY);
	end();
}
END_TEST

/* ---- what only some do ------------------------------------------------- */

START_TEST(trailers_come_and_go)
{
	struct call c = {.upload = UPLOAD, .trailer = "f00f"}, small = get_of("/small");

	begin(&setups[_i], "--trailer=x-sum: 42", NULL);
	c.method = "POST";
	snprintf(c.path, sizeof(c.path), "/echo");
	call_run(&live, &c);
	call_expect(&c, 200, UPLOAD);
	ck_assert_str_eq(c.trailers, "x-sum: 42\n");
	call_run(&live, &small);
	call_expect(&small, 200, SMALL);
	ck_assert_str_eq(small.trailers, "x-sum: 42\n");
	end();
	ck_assert_uint_eq(server_logged(&server, "x-checksum: f00f"), 1);
}
END_TEST

START_TEST(an_early_answer_ends_the_upload_and_not_the_connection)
{
	struct call c = {.upload = UPLOAD};

	begin(&setups[_i], "--early-response", NULL);
	for (unsigned i = 0; i < 3; i++) {
		call_reset(&c);
		c.method = "PATCH"; /* which nghttpd does not echo */
		snprintf(c.path, sizeof(c.path), "/small");
		call_run(&live, &c);
		call_expect(&c, 200, SMALL);
		ck_assert_uint_lt(c.result.sent, UPLOAD);
	}
	still_works();
	ck_assert_uint_eq(live.dials, 1);
	end();
}
END_TEST

START_TEST(a_refused_upload_brings_its_answer)
{
	struct call c = {.method = "POST", .upload = UPLOAD, .any_body = true, .path = "/refuse"};

	begin(&setups[_i], "", NULL);
	call_run(&live, &c);
	call_expect(&c, 403, c.got);
	ck_assert_uint_gt(c.got, 0);
	await(&live, live.hooks_closed || cc_conn_available(live.conn) > 0);
	if (live.hooks_closed)
		live_dial(&live);
	else /* all of it was sent before the answer had come */
		ck_assert(server.setup->h2 || c.result.sent == UPLOAD);
	still_works();
	end();
}
END_TEST

START_TEST(a_body_waits_for_100_continue)
{
	struct call c = {.upload = UPLOAD, .expects = true};

	begin(&setups[_i], "", NULL);
	c.method = server.setup->program == NGINX ? "PUT" : "POST";
	c.sized = server.setup->program == NGINX;
	snprintf(c.path, sizeof(c.path), "%s",
		server.setup->program == NGINX ? "/dav/later" : "/echo");
	call_run(&live, &c);
	ck_assert_uint_eq(c.infos, 1);
	ck_assert_uint_eq(c.info_status, 100);
	if (server.setup->program == NGINX) {
		call_expect(&c, 201, 0);
		file_is_pattern(c.path, UPLOAD);
	} else {
		call_expect(&c, 200, UPLOAD);
		ck_assert_int_eq(c.length, -1);
	}
	still_works();
	end();
}
END_TEST

/* A connection that both requests have ended on; 6: none. */
static unsigned one_done(const struct call *calls, const struct live *lives)
{
	unsigned i = 0;

	while (i < 6 && !(lives[i].conn && calls[i].done && calls[6 + i].done))
		i++;
	return i;
}

/* A worker keeps a connection until it is idle, and then may close it for the next one. */
START_TEST(more_connections_than_the_server_has_workers_are_all_served)
{
	struct live lives[6];
	struct call *calls = numbered("/large", 12);

	begin(&setups[_i], "ServerLimit 1\nThreadsPerChild 2\nMaxRequestWorkers 2", NULL);
	live_leave(&live);
	for (unsigned i = 0; i < 6; i++) {
		live_join(&lives[i], &live);
		call_go(&lives[i], &calls[i]);
		call_go(&lives[i], &calls[6 + i]); /* waits; may meet the end of its connection */
	}
	for (unsigned left = 6; left > 0; left--) {
		unsigned i = 0;

		await(&live, (i = one_done(calls, lives)) < 6);
		call_expect(&calls[i], 200, LARGE);
		live_leave(&lives[i]);
	}
	end();
	log_agrees(calls, 12);
	free(calls);
}
END_TEST

/* ---- the list ---------------------------------------------------------- */

#define BIT(setup) (1u << (setup))
#define ALL        (BIT(SETUPS) - 1)
#define NGINXES    (BIT(NGINX_H1) | BIT(NGINX_H1_TLS) | BIT(NGINX_H2_TLS))
#define NGHTTPDS   (BIT(NGHTTPD_H2) | BIT(NGHTTPD_H2_TLS))
#define APACHES    (BIT(APACHE_H1) | BIT(APACHE_H1_TLS) | BIT(APACHE_H2) | BIT(APACHE_H2_TLS))
#define H1S        (BIT(NGINX_H1) | BIT(NGINX_H1_TLS) | BIT(APACHE_H1) | BIT(APACHE_H1_TLS))
#define H2S        (ALL & ~H1S)

static const struct {
	const TTest *const *test;
	unsigned where;
} list[] = {
	{&answers_of_all_kinds_come_whole_on_one_connection, ALL},
	{&bodies_of_known_and_unknown_length_go_and_come_back, ALL},
	{&small_windows_carry_large_bodies, ALL},
	{&streams_do_not_mix_their_bodies, ALL},
	{&more_requests_than_slots_wait_and_all_are_answered_once, ALL},
	{&cancelled_requests_leave_http2_as_it_was, H2S},
	{&a_long_answer_given_up_closes_http1, H1S},
	{&an_answer_given_up_near_its_end_leaves_http1_usable, H1S},
	{&waiting_round_trips_that_are_cancelled_never_reach_the_server, ALL},
	{&a_killed_server_leaves_partial_and_unprocessed_requests, ALL},
	{&a_server_that_quits_finishes_what_it_has_begun, NGINXES | APACHES},
	{&connections_retired_after_100_requests_lose_and_double_nothing,
		NGINXES | (APACHES & H1S)},
	{&a_server_that_reloads_loses_and_doubles_nothing, NGINXES | APACHES},
	{&an_idle_connection_that_the_server_closes_offers_nothing, NGINXES | APACHES},
	{&trailers_come_and_go, NGHTTPDS},
	{&an_early_answer_ends_the_upload_and_not_the_connection, NGHTTPDS},
	{&a_refused_upload_brings_its_answer, NGINXES},
	{&a_body_waits_for_100_continue, APACHES | (NGINXES & H1S)},
	{&more_connections_than_the_server_has_workers_are_all_served, APACHES},
};

int main(void)
{
	Suite *s = suite_create("servers");
	SRunner *runner = srunner_create(s);
	TCase *cases[SETUPS];
	int failed = 1;

	for (int i = 0; i < SETUPS; i++) {
		cases[i] = tcase_create(setups[i].name);
		tcase_set_timeout(cases[i], 60);
		suite_add_tcase(s, cases[i]);
	}
	for (size_t t = 0; t < sizeof(list) / sizeof(list[0]); t++)
		for (int i = 0; i < SETUPS; i++)
			if (list[t].where & BIT(i))
				tcase_add_loop_test(cases[i], *list[t].test, i, i + 1);

	signal(SIGPIPE, SIG_IGN);
	if (servers_prepare()) {
		srunner_run_all(runner, CK_ENV);
		failed = srunner_ntests_failed(runner);
	}
	servers_remove();
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
