/*
 * test_goaway_rows.c - how a server says goodbye (RFC 9113 6.8): the rows of doc/connection.md,
 * each with its exact numbers (L, C, F, A) and its exact number of hook calls, and what a goodbye
 * meets.
 */
#include <arpa/inet.h>
#include <string.h>

#include "tests/conn/fixture.h"

#define ALL_STREAMS 0x7fffffffu

static void goaway(struct client *c, uint32_t last, enum h2_error code)
{
	h2_goaway(c->peer, last, code);
	until(c->base, c->hooks > c->hooks_seen);
}

static enum cc_why why_of(enum h2_error code)
{
	return code == H2_NO_ERROR            ? CC_WHY_GOAWAY
	       : code == H2_REFUSED_STREAM    ? CC_WHY_REFUSED
	       : code == H2_ENHANCE_YOUR_CALM ? CC_WHY_CALM
	                                      : CC_WHY_OTHER;
}

static void check_refused(struct probe *p, enum h2_error code)
{
	ck_assert_uint_eq(p->done, 1);
	ck_assert_int_eq(p->result.err, CC_EREFUSED);
	ck_assert(p->result.unprocessed);
	ck_assert_uint_eq(p->result.proto_error, code);
	ck_assert_int_eq(p->result.why, why_of(code));
	ck_assert_uint_eq(p->heads, 0);
}

static void check_gone(struct client *c, uint64_t completed)
{
	check_closed(c, completed);
	ck_assert_int_eq(cc_conn_err(c->conn), CC_EGOAWAY);
}

/* The request on that stream is answered; before more others ended than done - 1. */
static void answer(
	struct client *c, struct probe *p, uint32_t stream, uint64_t limit, uint64_t done)
{
	h2_answer(c->peer, stream, 200, "ok");
	check_answered(p, "ok");
	if (done < limit) {
		check_counts(c, limit, done, limit - done, 0);
		ck_assert_int_eq(cc_conn_state(c->conn), CC_DRAINING);
		check_hooks(c, 1);
	} else {
		check_gone(c, limit);
	}
}

START_TEST(idle_connection_closes)
{
	static const struct {
		bool used;
		uint32_t last;
	} cases[] = {{false, 0}, {true, 1}, {true, 0}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct client c;
		struct probe p = {0};
		bool used = cases[i].used;

		open_h2(&c, 10, NULL);
		if (used) {
			begin(&c, &p, 1);
			finish_stream(&c, &p, 1);
			check_hooks(&c, 1);
		}
		h2_goaway(c.peer, cases[i].last, H2_NO_ERROR);
		check_gone(&c, used);
		client_close(&c);
	}
}
END_TEST

START_TEST(goaway_that_covers_all_is_told_at_once)
{
	struct client c;
	struct probe p[4] = {{0}};

	open_h2_running(&c, p, 4);
	goaway(&c, 7, H2_NO_ERROR);
	ck_assert_int_eq(cc_conn_state(c.conn), CC_DRAINING);
	ck_assert_int_eq(cc_conn_err(c.conn), 0);
	check_counts(&c, 4, 0, 4, 0);
	check_hooks(&c, 1);
	for (uint32_t i = 0; i < 4; i++)
		answer(&c, &p[i], 2 * i + 1, 4, i + 1);
	client_close(&c);
}
END_TEST

START_TEST(requests_above_the_last_id_end_as_unprocessed)
{
	struct client c;
	struct probe p[4] = {{0}};

	open_h2_running(&c, p, 4);
	goaway(&c, 3, H2_NO_ERROR);
	check_refused(&p[2], H2_NO_ERROR);
	check_refused(&p[3], H2_NO_ERROR);
	ck_assert_uint_eq(p[0].done + p[1].done, 0);
	ck_assert_int_eq(cc_conn_state(c.conn), CC_DRAINING);
	check_counts(&c, 4, 2, 2, 0);
	check_hooks(&c, 1);
	answer(&c, &p[0], 1, 4, 3);
	answer(&c, &p[1], 3, 4, 4);
	client_close(&c);
}
END_TEST

START_TEST(goaway_that_covers_nothing_ends_all_as_unprocessed)
{
	struct client c;
	struct probe p[4] = {{0}};

	open_h2_running(&c, p, 4);
	h2_goaway(c.peer, 0, H2_ENHANCE_YOUR_CALM);
	check_gone(&c, 4);
	ck_assert_ptr_nonnull(strstr(cc_conn_detail(c.conn), "ENHANCE_YOUR_CALM"));
	for (int i = 0; i < 4; i++)
		check_refused(&p[i], H2_ENHANCE_YOUR_CALM);
	client_close(&c);
}
END_TEST

START_TEST(two_steps_are_two_calls)
{
	struct client c;
	struct probe p[4] = {{0}};

	open_h2_running(&c, p, 4);
	goaway(&c, ALL_STREAMS, H2_NO_ERROR);
	ck_assert_int_eq(cc_conn_state(c.conn), CC_DRAINING);
	check_counts(&c, 4, 0, 4, 0);
	check_hooks(&c, 1);
	goaway(&c, 5, H2_NO_ERROR);
	check_refused(&p[3], H2_NO_ERROR);
	check_counts(&c, 4, 1, 3, 0);
	check_hooks(&c, 1);
	for (uint32_t i = 0; i < 3; i++)
		answer(&c, &p[i], 2 * i + 1, 4, i + 2);
	client_close(&c);
}
END_TEST

START_TEST(last_id_that_grows_is_an_error)
{
	struct client c;
	struct probe p[4] = {{0}};

	open_h2_running(&c, p, 4);
	goaway(&c, 3, H2_NO_ERROR);
	check_refused(&p[2], H2_NO_ERROR);
	check_hooks(&c, 1);
	h2_goaway(c.peer, 7, H2_NO_ERROR); /* two of them may run elsewhere already */
	until(c.base, c.hooks_closed == 1);
	ck_assert_int_eq(cc_conn_err(c.conn), CC_EPROTO);
	check_counts(&c, 4, 4, 0, 0);
	check_hooks(&c, 1);
	for (int i = 0; i < 2; i++) {
		ck_assert_uint_eq(p[i].done, 1);
		ck_assert_int_eq(p[i].result.err, CC_EPROTO);
		ck_assert(!p[i].result.unprocessed);
	}
	client_close(&c);
}
END_TEST

START_TEST(nothing_new_begins)
{
	struct client c;
	struct probe p[4] = {{0}}, q = {0};

	open_h2_running(&c, p, 4);
	ck_assert_int_eq(cc_conn_reserve(c.conn), 0);
	check_counts(&c, 10, 0, 5, 5);
	goaway(&c, 7, H2_NO_ERROR);
	check_counts(&c, 4, 0, 4, 0); /* the reservation is void */
	check_hooks(&c, 1);
	ck_assert_int_eq(round_trip(&c, &q, "GET", "/q", NULL, CC_RT_END_STREAM), CC_ECLOSED);
	ck_assert_int_eq(round_trip(&c, &q, "GET", "/q", NULL, CC_RT_END_STREAM | CC_RT_RESERVED),
		CC_ECLOSED);
	ck_assert_int_eq(cc_conn_reserve(c.conn), CC_ECLOSED);
	cc_conn_release(c.conn); /* of what is void: no effect */
	check_counts(&c, 4, 0, 4, 0);
	check_hooks(&c, 0);
	ck_assert_uint_eq(c.peer->in_len, 0);
	ck_assert_uint_eq(q.done, 0);
	client_close(&c);
}
END_TEST

START_TEST(what_waits_ends_as_unsent)
{
	struct client c;
	struct probe p = {0}, q[3] = {{0}};

	open_h2(&c, 1, NULL);
	begin(&c, &p, 1);
	for (int i = 0; i < 3; i++)
		get(&c, &q[i], "/waits");
	goaway(&c, 1, H2_NO_ERROR);
	check_hooks(&c, 1);
	for (int i = 0; i < 3; i++) {
		wait_done(&q[i]);
		ck_assert(q[i].result.unprocessed);
		ck_assert_int_eq(q[i].result.phase, CC_PHASE_QUEUED);
	}
	ck_assert_uint_eq(cc_conn_waiting(c.conn), 0);
	answer(&c, &p, 1, 1, 1);
	client_close(&c);
}
END_TEST

START_TEST(end_after_goaway_says_goaway)
{
	struct client c;
	struct probe p[4] = {{0}};

	open_h2_running(&c, p, 4);
	goaway(&c, 7, H2_NO_ERROR);
	check_hooks(&c, 1);
	peer_finish(c.peer);
	check_gone(&c, 4);
	for (int i = 0; i < 4; i++) {
		ck_assert_uint_eq(p[i].done, 1);
		ck_assert_int_ne(p[i].result.err, 0);
		ck_assert(!p[i].result.unprocessed); /* covered: it may have run */
	}
	client_close(&c);
}
END_TEST

/* The first has part of its answer; the third is not covered. */
static void goaway_under_three(struct client *c, struct probe *p, enum h2_error code)
{
	open_h2_running(c, p, 3);
	h2_respond(c->peer, 1, 200, NULL, false);
	h2_data(c->peer, 1, "whole", false);
	until(c->base, p[0].body_len == 5);
	h2_goaway(c->peer, 3, code);
	h2_data(c->peer, 1, " or not", true);
	h2_answer(c->peer, 3, 200, "ok");
}

START_TEST(nothing_behind_the_goaway_of_a_broken_server_is_believed)
{
	static const enum h2_error codes[] = {H2_PROTOCOL_ERROR, H2_INTERNAL_ERROR,
		H2_FLOW_CONTROL_ERROR, H2_STREAM_CLOSED, H2_FRAME_SIZE_ERROR, H2_COMPRESSION_ERROR};

	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		struct client c;
		struct probe p[3] = {{0}};

		goaway_under_three(&c, p, codes[i]);
		check_gone(&c, 3);
		ck_assert_uint_eq(cc_conn_goaway_code(c.conn), codes[i]);
		for (int k = 0; k < 2; k++) {
			ck_assert_uint_eq(p[k].done, 1);
			ck_assert_int_eq(p[k].result.err, CC_EGOAWAY);
			ck_assert(!p[k].result.unprocessed); /* covered: it may have run */
			ck_assert_int_eq(p[k].result.why, CC_WHY_OTHER);
		}
		check_body(&p[0], "whole");
		ck_assert_int_eq(p[0].result.phase, CC_PHASE_RECEIVING);
		ck_assert_uint_eq(p[1].heads, 0);
		check_refused(&p[2], codes[i]);
		probe_free(&p[0]);
		client_close(&c);
	}
}
END_TEST

/* Covered by the GOAWAY, but the server goes before it answers. */
START_TEST(what_a_goaway_said_stays_known_at_the_end_of_the_connection)
{
	static const enum h2_error codes[] = {
		H2_NO_ERROR, H2_REFUSED_STREAM, H2_CANCEL, H2_ENHANCE_YOUR_CALM};

	for (size_t i = 0; i < 2 * sizeof(codes) / sizeof(codes[0]); i++) {
		struct client c;
		struct probe p = {0};

		open_h2_running(&c, &p, 1);
		if (i % 2) /* the first cause is another one */
			cc_conn_drain(c.conn);
		goaway(&c, 1, codes[i / 2]);
		peer_cut(c.peer);
		wait_done(&p);
		ck_assert_int_eq(p.result.err, CC_EGOAWAY);
		ck_assert(!p.result.unprocessed);
		ck_assert_uint_eq(p.result.proto_error, codes[i / 2]);
		ck_assert_int_eq(p.result.why, why_of(codes[i / 2]));
		client_close(&c);
	}
}
END_TEST

static void cancel_the_next(struct cc_req *req, const struct cc_result *res, void *arg)
{
	struct probe *p = arg, *next = p + 1;

	probe_ops.on_done(req, res, arg);
	if (next->req) {
		cc_req_cancel(next->req);
		next->req = NULL;
	}
}

/* Whoever is told first may take back the others. */
START_TEST(refused_request_may_cancel_others_that_are_to_be_refused)
{
	struct cc_req_ops ops = probe_ops;
	struct client c;
	struct probe p[5] = {{0}};

	ops.on_done = cancel_the_next;
	open_h2(&c, 10, NULL);
	for (unsigned i = 0; i < 4; i++) {
		struct cc_head *head = head_for(&c, "GET", "/", NULL);

		p[i].client = &c;
		ck_assert_int_eq(
			cc_conn_round_trip(c.conn, head, CC_RT_END_STREAM, &ops, &p[i], &p[i].req),
			0);
		cc_head_free(head);
		ck_assert_uint_eq(h2_request(c.peer), 2 * i + 1);
	}
	goaway(&c, 1, H2_INTERNAL_ERROR);
	wait_done(&p[0]);
	ck_assert_int_eq(p[0].result.err, CC_EGOAWAY);
	ck_assert_int_eq(p[1].result.err, CC_EREFUSED);
	ck_assert_uint_eq(p[2].done, 0);
	ck_assert_int_eq(p[3].result.err, CC_EREFUSED);
	client_close(&c);
}
END_TEST

START_TEST(goaway_for_another_reason_lets_the_answers_come)
{
	static const enum h2_error codes[] = {
		H2_NO_ERROR, H2_SETTINGS_TIMEOUT, H2_CANCEL, H2_ENHANCE_YOUR_CALM};

	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		struct client c;
		struct probe p[3] = {{0}};

		goaway_under_three(&c, p, codes[i]);
		check_answered(&p[0], "whole or not");
		check_answered(&p[1], "ok");
		check_refused(&p[2], codes[i]);
		until(c.base, c.hooks_closed == 1);
		client_close(&c);
	}
}
END_TEST

/* ---- beside other things ---- */

START_TEST(goaway_and_an_answer_in_one_read_both_count)
{
	struct client c;
	struct probe p[2] = {{0}};

	open_h2_running(&c, p, 2);
	h2_answer(c.peer, 1, 200, "ok");
	h2_goaway(c.peer, 1, H2_NO_ERROR);
	peer_finish(c.peer);
	check_answered(&p[0], "ok");
	wait_done(&p[1]);
	check_refused(&p[1], H2_NO_ERROR); /* not "the server closed" */
	turns(c.base, 2);
	ck_assert_int_eq(cc_conn_err(c.conn), CC_EGOAWAY);
	client_close(&c);
}
END_TEST

START_TEST(goaway_is_read_although_writing_fails)
{
	struct client c;
	struct probe p = {0}, q = {0};

	open_h2_running(&c, &p, 1);
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

START_TEST(reason_of_the_server_can_be_read_and_is_harmless)
{
	struct client c;
	struct probe p = {0};
	char payload[8 + 20] = {0};
	uint32_t code = htonl(H2_INTERNAL_ERROR);

	open_h2_running(&c, &p, 1);
	memcpy(payload + 4, &code, 4);
	memcpy(payload + 8, "disk \x1b[31mon\nfire\xff ", 18);
	h2_send(c.peer, H2_GOAWAY, 0, 0, payload, 8 + 18);
	wait_done(&p);
	check_refused(&p, H2_INTERNAL_ERROR);
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
	wait_done(&p);
	check_refused(&p, H2_NO_ERROR);
	until(c.base, c.hooks_closed == 1);
	check_counts(&c, 1, 1, 0, 0);
	client_close(&c);
}
END_TEST

START_TEST(draining_by_the_owner_finishes_what_runs)
{
	struct client c;
	struct probe p[2] = {{0}};

	open_h2_running(&c, p, 2);
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

	open_h2_running(&c, p, 3);
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
		idle_connection_closes,
		goaway_that_covers_all_is_told_at_once,
		requests_above_the_last_id_end_as_unprocessed,
		goaway_that_covers_nothing_ends_all_as_unprocessed,
		two_steps_are_two_calls,
		last_id_that_grows_is_an_error,
		nothing_new_begins,
		what_waits_ends_as_unsent,
		end_after_goaway_says_goaway,
		nothing_behind_the_goaway_of_a_broken_server_is_believed,
		what_a_goaway_said_stays_known_at_the_end_of_the_connection,
		refused_request_may_cancel_others_that_are_to_be_refused,
		goaway_for_another_reason_lets_the_answers_come,
		goaway_and_an_answer_in_one_read_both_count,
		goaway_is_read_although_writing_fails,
		reason_of_the_server_can_be_read_and_is_harmless,
		first_settings_may_be_followed_by_goaway_at_once,
		draining_by_the_owner_finishes_what_runs,
		freeing_in_the_refusal_is_allowed,
	};

	return run_suite_twice("goaway rows", tests, sizeof(tests) / sizeof(tests[0]));
}
