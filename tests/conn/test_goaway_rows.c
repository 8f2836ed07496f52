/*
 * test_goaway_rows.c - the rows of doc/connection.md about GOAWAY (RFC 9113
 * 6.8), each with its exact numbers (L, C, F, A) and its exact number of hook calls.
 */
#include <stdio.h>
#include <string.h>

#include "tests/conn/fixture.h"

#define ALL_STREAMS 0x7fffffffu

/* Four requests that the server has seen, on streams 1, 3, 5 and 7. */
static void open_with_four(struct client *c, struct probe *p)
{
	open_h2(c, 10, NULL);
	begin(c, p, 4);
	check_counts(c, 10, 0, 4, 6);
	check_hooks(c, 0);
}

static void goaway(struct client *c, uint32_t last, enum h2_error code)
{
	h2_goaway(c->peer, last, code);
	until(c->base, c->hooks > c->hooks_seen);
}

static void check_refused(struct probe *p, enum h2_error code)
{
	ck_assert_uint_eq(p->done, 1);
	ck_assert_int_eq(p->result.err, CC_EREFUSED);
	ck_assert(p->result.unprocessed);
	ck_assert_uint_eq(p->result.proto_error, code);
	ck_assert_uint_eq(p->heads, 0);
}

static void check_closed(struct client *c, uint64_t completed)
{
	until(c->base, c->hooks_closed == 1);
	check_counts(c, completed, completed, 0, 0);
	ck_assert_int_eq(cc_conn_err(c->conn), CC_EGOAWAY);
	check_hooks(c, 1);
	peer_wait_eof(c->peer);
}

/* The request on that stream is answered; before more others ended than done - 1. */
static void answer(
	struct client *c, struct probe *p, uint32_t stream, uint64_t limit, uint64_t done)
{
	h2_answer(c->peer, stream, 200, "ok");
	wait_done(p);
	ck_assert_int_eq(p->result.err, 0);
	check_body(p, "ok");
	probe_free(p);
	if (done < limit) {
		check_counts(c, limit, done, limit - done, 0);
		ck_assert_int_eq(cc_conn_state(c->conn), CC_DRAINING);
		check_hooks(c, 1);
	} else {
		check_closed(c, limit);
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
			h2_answer(c.peer, 1, 204, "");
			wait_done(&p);
			check_hooks(&c, 1);
		}
		h2_goaway(c.peer, cases[i].last, H2_NO_ERROR);
		check_closed(&c, used);
		client_close(&c);
	}
}
END_TEST

START_TEST(goaway_that_covers_all_is_told_at_once)
{
	struct client c;
	struct probe p[4] = {{0}};

	open_with_four(&c, p);
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

	open_with_four(&c, p);
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

	open_with_four(&c, p);
	h2_goaway(c.peer, 0, H2_ENHANCE_YOUR_CALM);
	check_closed(&c, 4);
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

	open_with_four(&c, p);
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

	open_with_four(&c, p);
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

	open_with_four(&c, p);
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

	open_with_four(&c, p);
	goaway(&c, 7, H2_NO_ERROR);
	check_hooks(&c, 1);
	peer_finish(c.peer);
	check_closed(&c, 4);
	for (int i = 0; i < 4; i++) {
		ck_assert_uint_eq(p[i].done, 1);
		ck_assert_int_ne(p[i].result.err, 0);
		ck_assert(!p[i].result.unprocessed); /* covered: it may have run */
	}
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
	};

	return run_suite_twice("goaway rows", tests, sizeof(tests) / sizeof(tests[0]));
}
