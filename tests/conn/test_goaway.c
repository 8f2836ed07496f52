/*
 * test_goaway.c - how a server says goodbye (RFC 9113 6.8), and which requests
 * may be sent again after it (8.7).
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "tests/conn/fixture.h"

#define ALL_STREAMS 0x7fffffffu

/* An HTTP/2 connection with n requests that the server has seen, on streams 1, 3, 5 ... */
static void open_with(struct client *c, struct probe *p, int n)
{
	open_h2(c, 10, NULL);
	begin(c, p, n);
}

static void wait_hook(struct client *c)
{
	unsigned before = c->hooks;

	until(c->base, c->hooks > before);
}

static void check_refused(struct probe *p)
{
	wait_done(p);
	ck_assert_int_eq(p->result.err, CC_EREFUSED);
	ck_assert(p->result.unprocessed);
	ck_assert_uint_eq(p->heads, 0);
}

static void check_answered(struct probe *p, const char *text)
{
	wait_done(p);
	ck_assert_int_eq(p->result.err, 0);
	check_body(p, text);
	probe_free(p);
}

START_TEST(goaway_closes_an_idle_connection)
{
	for (int used = 0; used < 2; used++) {
		struct client c;
		struct probe p = {0};

		open_with(&c, &p, used);
		if (used) {
			h2_answer(c.peer, 1, 204, "");
			wait_done(&p);
			turns(c.base, 2);
		}
		h2_goaway(c.peer, 0, H2_NO_ERROR);
		wait_hook(&c);
		ck_assert_int_eq(cc_conn_state(c.conn), CC_CLOSED);
		ck_assert_int_eq(cc_conn_err(c.conn), CC_EGOAWAY);
		ck_assert_uint_eq(c.hooks_closed, 1);
		check_counts(&c, (unsigned)used, (unsigned)used, 0, 0);
		peer_wait_eof(c.peer);
		client_close(&c);
	}
}
END_TEST

START_TEST(goaway_leaves_running_requests_alone)
{
	struct client c;
	struct probe p[4] = {{0}};

	open_with(&c, p, 4);
	h2_goaway(c.peer, 7, H2_NO_ERROR);
	wait_hook(&c); /* although no request ended */
	ck_assert_int_eq(cc_conn_state(c.conn), CC_DRAINING);
	ck_assert_int_eq(cc_conn_err(c.conn), 0);
	check_counts(&c, 4, 0, 4, 0);
	for (uint32_t i = 0; i < 3; i++) {
		h2_answer(c.peer, 2 * i + 1, 200, "ok");
		check_answered(&p[i], "ok");
		check_counts(&c, 4, i + 1, 3 - i, 0);
		ck_assert_int_eq(cc_conn_state(c.conn), CC_DRAINING);
	}
	h2_answer(c.peer, 7, 200, "last");
	check_answered(&p[3], "last");
	turns(c.base, 2);
	ck_assert_int_eq(cc_conn_state(c.conn), CC_CLOSED);
	ck_assert_int_eq(cc_conn_err(c.conn), CC_EGOAWAY);
	check_counts(&c, 4, 4, 0, 0);
	ck_assert_uint_eq(c.hooks_closed, 1);
	client_close(&c);
}
END_TEST

START_TEST(request_above_goaway_id_may_be_sent_again)
{
	struct client c;
	struct probe p[4] = {{0}};

	open_with(&c, p, 4);
	h2_goaway(c.peer, 3, H2_NO_ERROR);
	check_refused(&p[2]);
	check_refused(&p[3]);
	ck_assert_int_eq(cc_conn_state(c.conn), CC_DRAINING);
	check_counts(&c, 4, 2, 2, 0);
	ck_assert_uint_eq(p[0].done + p[1].done, 0);
	h2_answer(c.peer, 1, 200, "a");
	h2_answer(c.peer, 3, 200, "b");
	check_answered(&p[0], "a");
	check_answered(&p[1], "b");
	turns(c.base, 2);
	ck_assert_int_eq(cc_conn_state(c.conn), CC_CLOSED);
	check_counts(&c, 4, 4, 0, 0);
	client_close(&c);
}
END_TEST

START_TEST(goaway_with_an_error_refuses_all_that_it_does_not_cover)
{
	struct client c;
	struct probe p[3] = {{0}};

	open_with(&c, p, 3);
	h2_goaway(c.peer, 0, H2_ENHANCE_YOUR_CALM);
	for (int i = 0; i < 3; i++) {
		check_refused(&p[i]);
		ck_assert_uint_eq(p[i].result.proto_error, H2_ENHANCE_YOUR_CALM);
	}
	turns(c.base, 2);
	ck_assert_int_eq(cc_conn_err(c.conn), CC_EGOAWAY);
	ck_assert_ptr_nonnull(strstr(cc_conn_detail(c.conn), "ENHANCE_YOUR_CALM"));
	check_counts(&c, 3, 3, 0, 0);
	client_close(&c);
}
END_TEST

START_TEST(graceful_shutdown_comes_in_two_steps)
{
	struct client c;
	struct probe p[4] = {{0}};

	open_with(&c, p, 4);
	h2_goaway(c.peer, ALL_STREAMS, H2_NO_ERROR);
	wait_hook(&c);
	ck_assert_int_eq(cc_conn_state(c.conn), CC_DRAINING);
	turns(c.base, 2);
	check_counts(&c, 4, 0, 4, 0);
	h2_goaway(c.peer, 5, H2_NO_ERROR);
	check_refused(&p[3]);
	check_counts(&c, 4, 1, 3, 0);
	for (uint32_t i = 0; i < 3; i++) {
		h2_answer(c.peer, 2 * i + 1, 200, "ok");
		check_answered(&p[i], "ok");
	}
	turns(c.base, 2);
	ck_assert_int_eq(cc_conn_state(c.conn), CC_CLOSED);
	client_close(&c);
}
END_TEST

START_TEST(goaway_that_takes_back_a_refusal_is_an_error)
{
	struct client c;
	struct probe p[3] = {{0}};

	open_with(&c, p, 3);
	h2_goaway(c.peer, 3, H2_NO_ERROR);
	check_refused(&p[2]); /* it may be running elsewhere already */
	h2_goaway(c.peer, 5, H2_NO_ERROR);
	wait_done(&p[0]);
	wait_done(&p[1]);
	ck_assert_int_ne(p[0].result.err, 0);
	ck_assert(!p[0].result.unprocessed);
	ck_assert(!p[1].result.unprocessed);
	turns(c.base, 2);
	ck_assert_int_eq(cc_conn_state(c.conn), CC_CLOSED);
	client_close(&c);
}
END_TEST

START_TEST(nothing_new_begins_after_goaway)
{
	struct client c;
	struct probe p = {0}, q = {0};

	open_with(&c, &p, 1);
	h2_goaway(c.peer, 1, H2_NO_ERROR);
	wait_hook(&c);
	ck_assert_int_eq(round_trip(&c, &q, "GET", "/q", NULL, CC_RT_END_STREAM), CC_ECLOSED);
	ck_assert_int_eq(cc_conn_reserve(c.conn), CC_ECLOSED);
	ck_assert_uint_eq(q.done, 0);
	check_counts(&c, 1, 0, 1, 0);
	turns(c.base, 3);
	ck_assert_uint_eq(c.peer->in_len, 0);
	client_close(&c);
}
END_TEST

START_TEST(goaway_voids_reservations)
{
	struct client c;
	struct probe p = {0}, q = {0};

	open_with(&c, &p, 1);
	ck_assert_int_eq(cc_conn_reserve(c.conn), 0);
	check_counts(&c, 10, 0, 2, 8);
	h2_goaway(c.peer, 1, H2_NO_ERROR);
	wait_hook(&c);
	check_counts(&c, 1, 0, 1, 0);
	ck_assert_int_eq(round_trip(&c, &q, "GET", "/q", NULL, CC_RT_END_STREAM | CC_RT_RESERVED),
		CC_ECLOSED);
	cc_conn_release(c.conn); /* of what is void: no effect */
	check_counts(&c, 1, 0, 1, 0);
	client_close(&c);
}
END_TEST

START_TEST(reservation_alone_does_not_keep_a_connection_open)
{
	struct client c;

	open_h2(&c, 10, NULL);
	ck_assert_int_eq(cc_conn_reserve(c.conn), 0);
	h2_goaway(c.peer, 0, H2_NO_ERROR);
	wait_hook(&c);
	ck_assert_int_eq(cc_conn_state(c.conn), CC_CLOSED);
	check_counts(&c, 0, 0, 0, 0);
	client_close(&c);
}
END_TEST

START_TEST(waiting_round_trips_are_given_back_as_unprocessed)
{
	struct client c;
	struct probe p = {0}, q = {0};

	open_h2(&c, 1, NULL);
	get(&c, &p, "/");
	get(&c, &q, "/waits");
	h2_request(c.peer);
	h2_goaway(c.peer, 1, H2_NO_ERROR);
	wait_done(&q);
	ck_assert(q.result.unprocessed);
	ck_assert_int_eq(q.result.phase, CC_PHASE_QUEUED);
	ck_assert_uint_eq(cc_conn_waiting(c.conn), 0);
	h2_answer(c.peer, 1, 200, "ok");
	check_answered(&p, "ok");
	client_close(&c);
}
END_TEST

START_TEST(goaway_and_an_answer_in_one_read_both_count)
{
	struct client c;
	struct probe p[2] = {{0}};

	open_with(&c, p, 2);
	h2_answer(c.peer, 1, 200, "ok");
	h2_goaway(c.peer, 1, H2_NO_ERROR);
	peer_finish(c.peer);
	check_answered(&p[0], "ok");
	check_refused(&p[1]); /* not "the server closed" */
	turns(c.base, 2);
	ck_assert_int_eq(cc_conn_err(c.conn), CC_EGOAWAY);
	client_close(&c);
}
END_TEST

START_TEST(goaway_is_read_although_writing_fails)
{
	struct client c;
	struct probe p = {0}, q = {0};

	open_with(&c, &p, 1);
	h2_answer(c.peer, 1, 200, "ok");
	h2_goaway(c.peer, 1, H2_NO_ERROR);
	peer_cut(c.peer); /* our next write fails, what it said lies in the socket */
	get(&c, &q, "/q");
	check_answered(&p, "ok");
	wait_done(&q);
	ck_assert_int_ne(q.result.err, 0);
	ck_assert(q.result.unprocessed);
	turns(c.base, 2);
	ck_assert_int_eq(cc_conn_err(c.conn), CC_EGOAWAY);
	client_close(&c);
}
END_TEST

START_TEST(end_of_the_connection_after_goaway_ends_what_still_ran)
{
	struct client c;
	struct probe p = {0};

	open_with(&c, &p, 1);
	h2_goaway(c.peer, 1, H2_NO_ERROR);
	wait_hook(&c);
	peer_finish(c.peer);
	wait_done(&p);
	ck_assert_int_ne(p.result.err, 0);
	ck_assert(!p.result.unprocessed); /* stream 1 was covered */
	turns(c.base, 2);
	ck_assert_int_eq(cc_conn_err(c.conn), CC_EGOAWAY);
	ck_assert_uint_eq(c.hooks_closed, 1);
	client_close(&c);
}
END_TEST

START_TEST(cancelling_the_last_request_ends_a_draining_connection)
{
	struct client c;
	struct probe p = {0};

	open_with(&c, &p, 1);
	h2_goaway(c.peer, 1, H2_NO_ERROR);
	wait_hook(&c);
	cc_req_cancel(p.req);
	until(c.base, c.hooks_closed == 1);
	ck_assert_uint_eq(p.done, 0);
	check_counts(&c, 1, 1, 0, 0);
	client_close(&c);
}
END_TEST

START_TEST(reason_of_the_server_can_be_read_and_is_harmless)
{
	struct client c;
	struct probe p = {0};
	char payload[8 + 20] = {0};
	uint32_t code = htonl(H2_INTERNAL_ERROR);

	open_with(&c, &p, 1);
	memcpy(payload + 4, &code, 4);
	memcpy(payload + 8, "disk \x1b[31mon\nfire\xff ", 18);
	h2_send(c.peer, H2_GOAWAY, 0, 0, payload, 8 + 18);
	check_refused(&p);
	turns(c.base, 2);
	ck_assert_ptr_nonnull(strstr(cc_conn_detail(c.conn), "INTERNAL_ERROR"));
	ck_assert_ptr_nonnull(strstr(cc_conn_detail(c.conn), "disk"));
	for (const char *t = cc_conn_detail(c.conn); *t; t++)
		ck_assert_msg(*t >= ' ' && *t <= '~', "byte %d in a log line", *t);
	client_close(&c);
}
END_TEST

START_TEST(first_settings_may_be_followed_by_goaway_at_once)
{
	struct client c;
	struct probe p = {0};

	client_open(&c, peer_unix(event_base_new()), "http", CC_OFFER_H2, NULL);
	get(&c, &p, "/"); /* rides with the preface */
	peer_accept(c.peer);
	h2_preface(c.peer);
	h2_setting(c.peer, H2_MAX_STREAMS, 10);
	h2_goaway(c.peer, 0, H2_NO_ERROR);
	check_refused(&p);
	until(c.base, c.hooks_closed == 1);
	check_counts(&c, 1, 1, 0, 0);
	client_close(&c);
}
END_TEST

START_TEST(draining_by_the_owner_finishes_what_runs)
{
	struct client c;
	struct probe p[2] = {{0}};

	open_with(&c, p, 2);
	cc_conn_drain(c.conn);
	ck_assert_int_eq(cc_conn_state(c.conn), CC_DRAINING);
	check_counts(&c, 2, 0, 2, 0);
	h2_answer(c.peer, 1, 200, "a");
	h2_answer(c.peer, 3, 200, "b");
	check_answered(&p[0], "a");
	check_answered(&p[1], "b");
	until(c.base, c.hooks_closed == 1);
	ck_assert_int_eq(cc_conn_err(c.conn), CC_ECLOSED);
	client_close(&c);
}
END_TEST

START_TEST(freeing_in_the_refusal_is_allowed)
{
	struct client c;
	struct probe p[3] = {{0}};

	open_with(&c, p, 3);
	p[1].on_done = ACT_FREE;
	h2_goaway(c.peer, 1, H2_NO_ERROR);
	until(c.base, p[1].done == 1);
	turns(c.base, 3);
	ck_assert_uint_eq(p[0].done, 0); /* no callback follows cc_conn_free */
	client_close(&c);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		goaway_closes_an_idle_connection,
		goaway_leaves_running_requests_alone,
		request_above_goaway_id_may_be_sent_again,
		goaway_with_an_error_refuses_all_that_it_does_not_cover,
		graceful_shutdown_comes_in_two_steps,
		goaway_that_takes_back_a_refusal_is_an_error,
		nothing_new_begins_after_goaway,
		goaway_voids_reservations,
		reservation_alone_does_not_keep_a_connection_open,
		waiting_round_trips_are_given_back_as_unprocessed,
		goaway_and_an_answer_in_one_read_both_count,
		goaway_is_read_although_writing_fails,
		end_of_the_connection_after_goaway_ends_what_still_ran,
		cancelling_the_last_request_ends_a_draining_connection,
		reason_of_the_server_can_be_read_and_is_harmless,
		first_settings_may_be_followed_by_goaway_at_once,
		draining_by_the_owner_finishes_what_runs,
		freeing_in_the_refusal_is_allowed,
	};

	return run_suite_twice("goaway", tests, sizeof(tests) / sizeof(tests[0]));
}
