/*
 * test_cancel.c - requests that their owner gives up. On HTTP/2 the slot of a
 * request that the server may still be working on comes back when the server
 * has acknowledged the reset; on HTTP/1.1 only an answer that has begun can be
 * read to its end.
 */
#include <stdio.h>
#include <stdlib.h>

#include "tests/conn/fixture.h"

/* cc_req_cancel, in which no callback may come. */
static void cancel(struct probe *p)
{
	p->client->in_call = true;
	cc_req_cancel(p->req);
	p->client->in_call = false;
	p->req = NULL;
}

static void check_silent(struct probe *p)
{
	ck_assert_uint_eq(p->done, 0);
}

/* ---- a round trip that waits ------------------------------------------------ */

START_TEST(cancelling_what_waits_changes_nothing)
{
	struct client c;
	struct probe p = {0}, q = {0};

	open_h1(&c, NULL);
	get(&c, &p, "/");
	get(&c, &q, "/waits");
	expect_request(&c, "GET / ");
	check_hooks(&c, 0);
	cancel(&q);
	check_counts(&c, 1, 0, 1, 0);
	ck_assert_uint_eq(cc_conn_waiting(c.conn), 0);
	check_hooks(&c, 0);
	ck_assert_int_eq(cc_conn_state(c.conn), CC_READY);
	finish_request(&c, &p);
	check_counts(&c, 2, 1, 0, 1);
	check_hooks(&c, 1);
	check_nothing_sent(&c);
	check_silent(&q);
	client_close(&c);
}
END_TEST

/* ---- HTTP/1.1 ----------------------------------------------------------------- */

START_TEST(request_that_never_left_leaves_the_connection_as_it_was)
{
	struct client c;
	struct probe p = {0}, q = {0};

	open_h1(&c, NULL);
	get(&c, &p, "/never");
	get(&c, &q, "/next");
	check_counts(&c, 1, 0, 1, 0);
	cancel(&p); /* in the same turn */
	expect_request(&c, "GET /next ");
	check_counts(&c, 1, 0, 1, 0); /* not completed: it never was on the wire */
	check_hooks(&c, 1);
	finish_request(&c, &q);
	check_counts(&c, 2, 1, 0, 1);
	check_silent(&p);
	client_close(&c);
}
END_TEST

START_TEST(cancelling_before_the_answer_closes)
{
	struct client c;
	struct probe p = {0}, q = {0};

	open_h1(&c, NULL);
	get(&c, &p, "/");
	get(&c, &q, "/waits");
	expect_request(&c, "GET / ");
	check_hooks(&c, 0);
	cancel(&p); /* RFC 9112 9.5: there is no other way */
	check_closed(&c, 1);
	check_silent(&p);
	ck_assert_uint_eq(q.done, 1);
	ck_assert(q.result.unprocessed);
	client_close(&c);
}
END_TEST

static void say_bytes(struct client *c, size_t n)
{
	char *block = calloc(1, n);

	peer_send(c->peer, block, n);
	free(block);
}

/* A GET whose answer has begun: its head and five bytes of length. Given up. */
static void open_abandoned(struct client *c, struct probe *p, size_t length)
{
	char head[100];

	open_h1_running(c, p, NULL);
	snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\nhello", length);
	peer_say(c->peer, head);
	until(c->base, p->body_len == 5);
	check_hooks(c, 0);
	cancel(p);
	check_silent(p);
	probe_free(p);
}

START_TEST(abandoned_body_is_read_to_its_end)
{
	struct client c;
	struct probe p = {0}, q = {0};

	open_abandoned(&c, &p, 60000);
	check_counts(&c, 1, 0, 1, 0);
	check_hooks(&c, 0);
	get(&c, &q, "/next"); /* waits for it */
	ck_assert_uint_eq(cc_conn_waiting(c.conn), 1);
	say_bytes(&c, 59994);
	turns(c.base, 5);
	check_counts(&c, 1, 0, 1, 0);
	say_bytes(&c, 1);
	expect_request(&c, "GET /next ");
	check_counts(&c, 2, 1, 1, 0);
	check_hooks(&c, 1);
	peer_say(c.peer, OK_HELLO);
	check_answered(&q, "hello");
	check_counts(&c, 3, 2, 0, 1);
	check_silent(&p);
	advance(&c, 1000); /* the time of the abandoned one is not held against others */
	ck_assert_int_eq(cc_conn_state(c.conn), CC_READY);
	client_close(&c);
}
END_TEST

START_TEST(abandoned_body_of_unknown_length_is_read_to_its_end)
{
	struct client c;
	struct probe p = {0};

	open_h1_running(&c, &p, NULL);
	peer_say(c.peer, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
	until(c.base, p.body_len == 5);
	check_hooks(&c, 0);
	cancel(&p);
	check_counts(&c, 1, 0, 1, 0);
	peer_say(c.peer, "5\r\nworld\r\n0\r\nX-Sum: 10\r\n\r\n");
	until(c.base, cc_conn_in_flight(c.conn) == 0);
	check_counts(&c, 2, 1, 0, 1);
	check_hooks(&c, 1);
	check_silent(&p);
	probe_free(&p);
	client_close(&c);
}
END_TEST

START_TEST(abandoned_body_that_is_announced_as_long_closes_at_once)
{
	struct client c;
	struct probe p = {0};

	open_abandoned(&c, &p, 65536 + 5 + 1);
	check_closed(&c, 1);
	client_close(&c);
}
END_TEST

START_TEST(abandoned_body_that_becomes_long_closes)
{
	static const char chunk[] = "1000\r\n";
	struct client c;
	struct probe p = {0};

	open_h1_running(&c, &p, NULL);
	peer_say(c.peer, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
	until(c.base, p.body_len == 5);
	cancel(&p);
	for (int i = 0; i < 16; i++) { /* 64 KiB */
		peer_say(c.peer, chunk);
		say_bytes(&c, 4096);
		peer_say(c.peer, "\r\n");
		turns(c.base, 3);
	}
	check_counts(&c, 1, 0, 1, 0);
	check_hooks(&c, 0);
	peer_say(c.peer, "1\r\nx");
	check_closed(&c, 1);
	check_silent(&p);
	probe_free(&p);
	client_close(&c);
}
END_TEST

START_TEST(abandoned_body_that_is_slow_closes)
{
	struct client c;
	struct probe p = {0};

	open_abandoned(&c, &p, 100);
	advance(&c, 49);
	say_bytes(&c, 10); /* not a reason to wait longer */
	turns(c.base, 3);
	check_counts(&c, 1, 0, 1, 0);
	check_hooks(&c, 0);
	advance(&c, 1);
	check_closed(&c, 1);
	client_close(&c);
}
END_TEST

START_TEST(abandoned_body_that_is_cut_closes)
{
	struct client c;
	struct probe p = {0};

	open_abandoned(&c, &p, 100);
	peer_finish(c.peer);
	check_closed(&c, 1);
	check_silent(&p);
	client_close(&c);
}
END_TEST

START_TEST(abandoned_body_with_surplus_bytes_closes)
{
	struct client c;
	struct probe p = {0}, q = {0};

	open_abandoned(&c, &p, 10);
	get(&c, &q, "/waits");
	peer_say(c.peer, "world" OK_HELLO);
	wait_done(&q);
	ck_assert(q.result.unprocessed);
	ck_assert_uint_eq(q.heads, 0);
	check_closed(&c, 1);
	client_close(&c);
}
END_TEST

/* Nothing is gained by reading what can never lead to another request. */
START_TEST(abandoned_last_answer_closes_at_once)
{
	for (int i = 0; i < 2; i++) {
		struct client c;
		struct probe p = {0};

		open_h1_running(&c, &p, NULL);
		peer_say(c.peer, i ? "HTTP/1.1 200 OK\r\n\r\nhello"
				   : "HTTP/1.1 200 OK\r\nConnection: close\r\n"
				     "Content-Length: 10\r\n\r\nhello");
		until(c.base, p.body_len == 5);
		check_hooks(&c, 1); /* DRAINING */
		cancel(&p);
		check_closed(&c, 1);
		check_silent(&p);
		probe_free(&p);
		client_close(&c);
	}
}
END_TEST

/* The server waits for the rest of our request: reading on would not free the connection. */
START_TEST(abandoned_answer_to_half_a_request_closes_at_once)
{
	struct client c;
	struct probe p = {0};

	open_h1(&c, NULL);
	post(&c, &p, "/up", "content-length: 100\n");
	ck_assert_int_eq(send_body(&p, "hello", false), 0);
	expect_request(&c, "POST /up ");
	peer_say(c.peer, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
	until(c.base, p.body_len == 5);
	cancel(&p);
	until(c.base, c.hooks_closed == 1);
	check_counts(&c, 1, 1, 0, 0);
	peer_wait_eof(c.peer);
	probe_free(&p);
	client_close(&c);
}
END_TEST

/* ---- HTTP/2 -------------------------------------------------------------------- */

static const struct cc_transport_opts pings = {.ping_after = 8000, .ping_timeout = 4000};

/* RST_STREAM(CANCEL) of that stream and a PING come, in whatever order; acknowledges nothing. */
static void expect_reset_and_ping(struct client *c, uint32_t stream)
{
	struct h2_frame ping = {0};
	bool reset = false;

	while (!reset || ping.n == 0) {
		h2_wait_any(c->peer);
		if (c->peer->frame.type == H2_PING && !(c->peer->frame.flags & H2_ACK))
			ping = c->peer->frame;
		if (c->peer->frame.type != H2_RST_STREAM || c->peer->frame.stream != stream)
			continue;
		ck_assert_uint_eq(h2_u32(c->peer, 0), H2_CANCEL);
		reset = true;
	}
	c->peer->frame = ping;
}

static void acknowledge(struct client *c)
{
	h2_send(c->peer, H2_PING, H2_ACK, 0, c->peer->frame.payload, 8);
}

START_TEST(cancelled_request_keeps_its_slot_until_the_server_knows)
{
	struct client c;
	struct probe p = {0}, q = {0};

	open_h2(&c, 3, NULL);
	begin(&c, &p, 1);
	check_hooks(&c, 0);
	cancel(&p);
	check_counts(&c, 3, 0, 1, 2);
	expect_reset_and_ping(&c, 1);
	check_counts(&c, 3, 0, 1, 2);
	check_hooks(&c, 0);
	acknowledge(&c);
	until(c.base, cc_conn_in_flight(c.conn) == 0);
	check_counts(&c, 4, 1, 0, 3);
	check_hooks(&c, 1);
	check_silent(&p);
	ck_assert_int_eq(cc_conn_state(c.conn), CC_READY);
	get(&c, &q, "/");
	finish_stream(&c, &q, h2_request(c.peer));
	client_close(&c);
}
END_TEST

START_TEST(acknowledged_reset_lets_the_next_go)
{
	struct client c;
	struct probe p = {0}, q = {0};

	open_h2(&c, 1, NULL);
	begin(&c, &p, 1);
	get(&c, &q, "/waits");
	cancel(&p);
	expect_reset_and_ping(&c, 1);
	check_nothing_sent(&c); /* the server may still count stream 1 */
	ck_assert_uint_eq(cc_conn_waiting(c.conn), 1);
	ck_assert_int_eq(cc_conn_reserve(c.conn), CC_EFULL);
	acknowledge(&c);
	ck_assert_uint_eq(h2_request(c.peer), 3);
	check_counts(&c, 2, 1, 1, 0);
	client_close(&c);
}
END_TEST

START_TEST(many_cancelled_requests_cost_few_pings)
{
	struct client c;
	struct probe p[8] = {{0}};
	unsigned pings_seen = 0;

	open_h2_running(&c, p, 8);
	for (int i = 0; i < 8; i++)
		cancel(&p[i]);
	check_counts(&c, 10, 0, 8, 2);
	while (cc_conn_in_flight(c.conn) > 0) {
		h2_wait(c.peer, H2_PING);
		pings_seen++;
		acknowledge(&c);
		turns(c.base, 3);
	}
	ck_assert_uint_le(pings_seen, 2); /* never more than one under way */
	check_counts(&c, 18, 8, 0, 10);
	client_close(&c);
}
END_TEST

START_TEST(pings_for_resets_stop_until_the_server_answers_something)
{
	struct client c;
	struct probe p[4] = {{0}};

	open_h2_running(&c, p, 4);
	cancel(&p[0]);
	expect_reset_and_ping(&c, 1);
	acknowledge(&c);
	until(c.base, cc_conn_in_flight(c.conn) == 3);
	check_hooks(&c, 1);

	cancel(&p[1]); /* servers count PINGs: this one costs none */
	check_counts(&c, 12, 2, 2, 8);
	check_hooks(&c, 1);
	h2_wait(c.peer, H2_RST_STREAM);
	check_nothing_sent(&c);

	finish_stream(&c, &p[2], 5);
	check_hooks(&c, 1);
	cancel(&p[3]);
	check_counts(&c, 13, 3, 1, 9);
	expect_reset_and_ping(&c, 7);
	acknowledge(&c);
	until(c.base, cc_conn_in_flight(c.conn) == 0);
	check_counts(&c, 14, 4, 0, 10);
	check_hooks(&c, 1);
	client_close(&c);
}
END_TEST

START_TEST(one_acknowledgement_serves_all_that_were_cancelled)
{
	struct client c;
	struct probe p[2] = {{0}};

	open_h2_running(&c, p, 2);
	cancel(&p[0]);
	expect_reset_and_ping(&c, 1);
	cancel(&p[1]);
	h2_send(c.peer, H2_PING, H2_ACK, 0, c.peer->frame.payload, 8);
	until(c.base, cc_conn_in_flight(c.conn) == 0);
	check_counts(&c, 12, 2, 0, 10);
	check_hooks(&c, 1);
	h2_wait(c.peer, H2_RST_STREAM);
	ck_assert_uint_eq(c.peer->frame.stream, 3);
	check_nothing_sent(&c);
	client_close(&c);
}
END_TEST

START_TEST(ping_under_way_serves_the_cancelled_as_well)
{
	struct client c;
	struct probe p[2] = {{0}};

	open_h2(&c, 10, &pings);
	begin(&c, p, 2);
	advance(&c, 8000); /* silence */
	h2_wait(c.peer, H2_PING);
	h2_respond(c.peer, 3, 103, NULL, false); /* a sign of life, not the acknowledgement */
	until(c.base, p[1].infos == 1);
	struct h2_frame ping = c.peer->frame;

	cancel(&p[0]);
	check_counts(&c, 10, 0, 2, 8);
	h2_wait_any(c.peer);
	ck_assert_uint_eq(c.peer->frame.type, H2_RST_STREAM);
	check_nothing_sent(&c); /* never two under way */
	h2_send(c.peer, H2_PING, H2_ACK, 0, ping.payload, 8);
	until(c.base, cc_conn_in_flight(c.conn) == 1);
	check_counts(&c, 11, 1, 1, 9);
	check_hooks(&c, 1);
	client_close(&c);
}
END_TEST

START_TEST(server_that_does_not_acknowledge_resets_is_given_up)
{
	struct client c;
	struct probe p[3] = {{0}}, q = {0};

	open_h2(&c, 3, &pings);
	begin(&c, p, 3);
	check_hooks(&c, 0);
	for (int i = 0; i < 3; i++)
		cancel(&p[i]);
	check_counts(&c, 3, 0, 3, 0); /* each keeps its slot */
	get(&c, &q, "/waits");
	h2_wait(c.peer, H2_PING);
	advance(&c, 3999);
	check_counts(&c, 3, 0, 3, 0);
	check_hooks(&c, 0);
	advance(&c, 1);
	check_closed(&c, 3);
	ck_assert_int_eq(cc_conn_err(c.conn), CC_ETIMEOUT);
	ck_assert_uint_eq(q.done, 1);
	ck_assert(q.result.unprocessed);
	client_close(&c);
}
END_TEST

START_TEST(closing_with_unconfirmed_resets_leaves_nothing_in_flight)
{
	for (int i = 0; i < 4; i++) {
		struct client c;
		struct probe p[3] = {{0}};

		open_h2(&c, 3, NULL);
		begin(&c, p, 3);
		check_hooks(&c, 0);
		for (int k = 0; k < 3; k++)
			cancel(&p[k]);
		h2_wait(c.peer, H2_PING);
		check_counts(&c, 3, 0, 3, 0);
		switch (i) {
		case 0:
			cc_conn_close(c.conn);
			break;
		case 1:
			peer_finish(c.peer);
			break;
		case 2:
			h2_goaway(c.peer, 5, H2_NO_ERROR); /* nothing else runs */
			break;
		case 3:
			cc_conn_drain(c.conn);
			break;
		}
		check_closed(&c, 3);
		client_close(&c);
	}
}
END_TEST

START_TEST(answer_to_a_cancelled_request_goes_nowhere)
{
	struct client c;
	struct probe p = {0};

	open_h2(&c, 3, NULL);
	begin(&c, &p, 1);
	cancel(&p);
	h2_answer(c.peer, 1, 200, "crossed our reset");
	expect_reset_and_ping(&c, 1);
	acknowledge(&c);
	until(c.base, cc_conn_in_flight(c.conn) == 0);
	check_counts(&c, 4, 1, 0, 3); /* counted once */
	ck_assert_uint_eq(p.done + p.heads + p.bodies, 0);
	ck_assert_int_eq(cc_conn_state(c.conn), CC_READY);
	client_close(&c);
}
END_TEST

START_TEST(cancelling_after_the_head_frees_the_slot_at_once)
{
	struct client c;
	struct probe p = {0};

	open_h2_running(&c, &p, 1);
	h2_respond(c.peer, 1, 200, NULL, false);
	h2_data(c.peer, 1, "hello", false);
	until(c.base, p.body_len == 5);
	drop_sent(&c);
	check_hooks(&c, 0);
	cancel(&p);
	check_counts(&c, 11, 1, 0, 10);
	check_hooks(&c, 1);
	h2_wait(c.peer, H2_RST_STREAM);
	ck_assert_uint_eq(c.peer->frame.stream, 1);
	ck_assert_uint_eq(h2_u32(c.peer, 0), H2_CANCEL);
	check_nothing_sent(&c); /* no PING: the server answers, so it lives */
	check_silent(&p);
	probe_free(&p);
	client_close(&c);
}
END_TEST

START_TEST(cancelling_on_a_draining_connection_frees_the_slot_at_once)
{
	for (int n = 1; n < 3; n++) {
		struct client c;
		struct probe p[2] = {{0}};

		open_h2(&c, 10, NULL);
		begin(&c, p, n);
		h2_goaway(c.peer, 3, H2_NO_ERROR);
		until(c.base, cc_conn_state(c.conn) == CC_DRAINING);
		check_hooks(&c, 1);
		cancel(&p[0]);
		if (n == 2) {
			check_counts(&c, 2, 1, 1, 0); /* the slot is nobody's any more */
			check_hooks(&c, 1);
			finish_stream(&c, &p[1], 3);
		}
		check_closed(&c, (unsigned)n);
		check_silent(&p[0]);
		client_close(&c);
	}
}
END_TEST

START_TEST(request_that_never_left_is_cancelled_without_a_trace)
{
	struct client c;
	struct probe p = {0}, q = {0};

	open_h2(&c, 10, NULL);
	get(&c, &p, "/never");
	check_counts(&c, 10, 0, 1, 9);
	cancel(&p); /* in the same turn */
	turns(c.base, 3);
	check_counts(&c, 10, 0, 0, 10); /* not completed: it never was on the wire */
	get(&c, &q, "/");
	h2_request(c.peer);
	ck_assert_str_eq(c.peer->path, "/");
	ck_assert_uint_eq(c.peer->in_len, 0);
	h2_answer(c.peer, c.peer->frame.stream, 200, "ok");
	check_answered(&q, "ok");
	ck_assert_uint_eq(cc_conn_in_flight(c.conn), 0);
	check_silent(&p);
	client_close(&c);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		cancelling_what_waits_changes_nothing,
		request_that_never_left_leaves_the_connection_as_it_was,
		cancelling_before_the_answer_closes,
		abandoned_body_is_read_to_its_end,
		abandoned_body_of_unknown_length_is_read_to_its_end,
		abandoned_body_that_is_announced_as_long_closes_at_once,
		abandoned_body_that_becomes_long_closes,
		abandoned_body_that_is_slow_closes,
		abandoned_body_that_is_cut_closes,
		abandoned_body_with_surplus_bytes_closes,
		abandoned_last_answer_closes_at_once,
		abandoned_answer_to_half_a_request_closes_at_once,
		cancelled_request_keeps_its_slot_until_the_server_knows,
		acknowledged_reset_lets_the_next_go,
		many_cancelled_requests_cost_few_pings,
		pings_for_resets_stop_until_the_server_answers_something,
		one_acknowledgement_serves_all_that_were_cancelled,
		ping_under_way_serves_the_cancelled_as_well,
		server_that_does_not_acknowledge_resets_is_given_up,
		closing_with_unconfirmed_resets_leaves_nothing_in_flight,
		answer_to_a_cancelled_request_goes_nowhere,
		cancelling_after_the_head_frees_the_slot_at_once,
		cancelling_on_a_draining_connection_frees_the_slot_at_once,
		request_that_never_left_is_cancelled_without_a_trace,
	};

	return run_suite_twice("cancel", tests, sizeof(tests) / sizeof(tests[0]));
}
