/*
 * test_capacity.c - how many requests a connection takes: reservations, and
 * SETTINGS_MAX_CONCURRENT_STREAMS that move (RFC 9113 5.1.2). L, C, F and A at each step.
 */
#include "tests/conn/fixture.h"

static int reserved_get(struct client *c, struct probe *p, const char *path)
{
	return round_trip(c, p, "GET", path, NULL, CC_RT_END_STREAM | CC_RT_RESERVED);
}

/* ---- reservations --------------------------------------------------------- */

START_TEST(reserving_is_silent_and_releasing_is_told)
{
	struct client c;

	open_h2(&c, 10, NULL);
	ck_assert_int_eq(cc_conn_reserve(c.conn), 0);
	ck_assert_int_eq(cc_conn_reserve(c.conn), 0);
	check_counts(&c, 10, 0, 2, 8);
	check_hooks(&c, 0);
	c.in_call = true; /* a hook in here fails */
	cc_conn_release(c.conn);
	c.in_call = false;
	check_counts(&c, 10, 0, 1, 9);
	check_hooks(&c, 1);
	cc_conn_release(c.conn);
	check_counts(&c, 10, 0, 0, 10);
	check_hooks(&c, 1);
	cc_conn_release(c.conn); /* of nothing */
	check_counts(&c, 10, 0, 0, 10);
	check_hooks(&c, 0);
	client_close(&c);
}
END_TEST

START_TEST(reserving_says_why_it_cannot)
{
	struct client c;
	struct probe p = {0};

	open_h2(&c, 2, NULL);
	begin(&c, &p, 1);
	ck_assert_int_eq(cc_conn_reserve(c.conn), 0);
	ck_assert_int_eq(cc_conn_reserve(c.conn), CC_EFULL);
	cc_conn_drain(c.conn);
	ck_assert_int_eq(cc_conn_state(c.conn), CC_DRAINING);
	ck_assert_int_eq(cc_conn_reserve(c.conn), CC_ECLOSED);
	cc_conn_close(c.conn);
	ck_assert_int_eq(cc_conn_state(c.conn), CC_CLOSED);
	ck_assert_int_eq(cc_conn_reserve(c.conn), CC_ECLOSED);
	client_close(&c);
}
END_TEST

START_TEST(free_slot_is_of_those_who_wait)
{
	struct client c;
	struct probe p[2] = {{0}};

	open_h2(&c, 1, NULL);
	get(&c, &p[0], "/runs");
	get(&c, &p[1], "/waits");
	ck_assert_uint_eq(h2_request(c.peer), 1);
	p[0].on_done = ACT_RESERVE; /* before who waits had its turn */
	finish_stream(&c, &p[0], 1);
	ck_assert_int_eq(p[0].reserved, CC_EFULL);
	ck_assert_uint_eq(h2_request(c.peer), 3);
	ck_assert_str_eq(c.peer->path, "/waits");
	finish_stream(&c, &p[1], 3);
	ck_assert_int_eq(cc_conn_reserve(c.conn), 0);
	client_close(&c);
}
END_TEST

START_TEST(reservation_keeps_an_idle_connection)
{
	struct client c;

	open_h2(&c, 10, &(struct cc_transport_opts){.idle_timeout = 1000});
	ck_assert_int_eq(cc_conn_reserve(c.conn), 0);
	advance(&c, 3000);
	ck_assert_int_eq(cc_conn_state(c.conn), CC_READY);
	cc_conn_release(c.conn);
	advance(&c, 1000);
	ck_assert_int_eq(cc_conn_state(c.conn), CC_CLOSED);
	ck_assert_int_eq(cc_conn_reason(c.conn), CC_REASON_IDLE);
	client_close(&c);
}
END_TEST

START_TEST(reserved_slot_is_for_who_says_reserved)
{
	struct client c;
	struct probe p = {0}, q = {0};

	open_h1(&c, NULL);
	ck_assert_int_eq(cc_conn_reserve(c.conn), 0);
	ck_assert_int_eq(cc_conn_reserve(c.conn), CC_EFULL);
	ck_assert_int_eq(
		round_trip(&c, &q, "GET", "/q", NULL, CC_RT_END_STREAM | CC_RT_NOWAIT), CC_EFULL);
	check_counts(&c, 1, 0, 1, 0);
	check_hooks(&c, 0); /* nothing anybody waits for */
	get(&c, &q, "/q");  /* waits */
	check_counts(&c, 1, 0, 1, 0);
	ck_assert_int_eq(reserved_get(&c, &p, "/p"), 0);
	expect_request(&c, "GET /p ");
	peer_say(c.peer, OK_EMPTY);
	expect_request(&c, "GET /q ");
	check_counts(&c, 2, 1, 1, 0);
	/* Nothing is reserved any more. */
	struct probe r = {0};

	ck_assert_int_eq(reserved_get(&c, &r, "/r"), CC_EINVAL);
	check_counts(&c, 2, 1, 1, 0);
	client_close(&c);
}
END_TEST

START_TEST(bad_request_of_another_leaves_the_reservation)
{
	for (int h2 = 0; h2 < 2; h2++) {
		struct client c;
		struct cc_head *empty;
		struct cc_req *req = NULL;
		unsigned limit = h2 ? 10 : 1;

		if (h2)
			open_h2(&c, 10, NULL);
		else
			open_h1(&c, NULL);
		empty = cc_head_new(c.ctx);
		ck_assert_int_eq(cc_conn_reserve(c.conn), 0);
		ck_assert_int_eq(
			cc_conn_round_trip(c.conn, empty, CC_RT_END_STREAM, &probe_ops, NULL, &req),
			CC_EINVAL);
		ck_assert_ptr_null(req);
		check_counts(&c, limit, 0, 1, limit - 1);
		check_hooks(&c, 0);
		/* Its holder's own bad request gives it back. */
		ck_assert_int_eq(cc_conn_round_trip(c.conn, empty,
					 CC_RT_END_STREAM | CC_RT_RESERVED, &probe_ops, NULL, &req),
			CC_EINVAL);
		ck_assert_ptr_null(req);
		check_counts(&c, limit, 0, 0, limit);
		check_hooks(&c, 1);
		cc_head_free(empty);
		client_close(&c);
	}
}
END_TEST

START_TEST(five_reservations_under_a_limit_of_two)
{
	struct client c;
	struct probe p[5] = {{0}};
	static const char *const path[] = {"/1", "/2", "/3", "/4", "/5"};

	open_h2(&c, 10, NULL);
	for (int i = 0; i < 5; i++)
		ck_assert_int_eq(cc_conn_reserve(c.conn), 0);
	check_counts(&c, 10, 0, 5, 5);
	set_limit(&c, 2);
	check_counts(&c, 5, 0, 5, 0);
	check_hooks(&c, 1);
	ck_assert_int_eq(cc_conn_reserve(c.conn), CC_EFULL);
	for (int i = 0; i < 5; i++)
		ck_assert_int_eq(reserved_get(&c, &p[i], path[i]), 0);
	check_counts(&c, 5, 0, 5, 0);
	ck_assert_uint_eq(cc_conn_waiting(c.conn), 3);
	ck_assert_uint_eq(h2_request(c.peer), 1); /* two go at once */
	ck_assert_uint_eq(h2_request(c.peer), 3);
	check_nothing_sent(&c);
	check_hooks(&c, 0);

	for (uint32_t i = 0; i < 3; i++) {
		finish_stream(&c, &p[i], 2 * i + 1);
		ck_assert_uint_eq(h2_request(c.peer), 2 * i + 5);
		ck_assert_str_eq(c.peer->path, path[i + 2]); /* the others in order */
		check_counts(&c, 5, i + 1, 4 - i, 0);
		check_hooks(&c, 1);
	}
	finish_stream(&c, &p[3], 7);
	check_counts(&c, 6, 4, 1, 1);
	finish_stream(&c, &p[4], 9);
	check_counts(&c, 7, 5, 0, 2);
	client_close(&c);
}
END_TEST

START_TEST(reserved_one_that_waits_can_be_cancelled)
{
	struct client c;
	struct probe p[3] = {{0}};

	open_h2(&c, 10, NULL);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(cc_conn_reserve(c.conn), 0);
	set_limit(&c, 1);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(reserved_get(&c, &p[i], "/"), 0);
	ck_assert_uint_eq(h2_request(c.peer), 1);
	check_counts(&c, 3, 0, 3, 0);
	check_hooks(&c, 1);
	cc_req_cancel(p[1].req);
	ck_assert_uint_eq(cc_conn_waiting(c.conn), 1);
	check_counts(&c, 2, 0, 2, 0);
	check_hooks(&c, 1);
	finish_stream(&c, &p[0], 1);
	ck_assert_uint_eq(h2_request(c.peer), 3);
	finish_stream(&c, &p[2], 3);
	check_counts(&c, 3, 2, 0, 1);
	ck_assert_uint_eq(p[1].done, 0);
	client_close(&c);
}
END_TEST

START_TEST(reservation_ends_with_the_connection)
{
	static const int errs[] = {CC_ECLOSED, CC_EEOF, CC_EGOAWAY, CC_ECLOSED};

	for (int i = 0; i < 4; i++) {
		struct client c;
		struct probe p = {0};

		open_h2(&c, 10, NULL);
		ck_assert_int_eq(cc_conn_reserve(c.conn), 0);
		switch (i) {
		case 0:
			cc_conn_close(c.conn);
			break;
		case 1:
			peer_finish(c.peer);
			break;
		case 2:
			h2_goaway(c.peer, 0, H2_NO_ERROR);
			break;
		case 3:
			cc_conn_drain(c.conn); /* nothing runs */
			break;
		}
		until(c.base, c.hooks_closed == 1);
		check_counts(&c, 0, 0, 0, 0);
		check_hooks(&c, 1);
		ck_assert_int_eq(cc_conn_err(c.conn), errs[i]);
		ck_assert_int_eq(reserved_get(&c, &p, "/"), CC_ECLOSED);
		cc_conn_release(c.conn);
		check_counts(&c, 0, 0, 0, 0);
		check_hooks(&c, 0);
		client_close(&c);
	}
}
END_TEST

/* ---- the server's limit ---------------------------------------------------- */

START_TEST(two_more_than_the_limit_wait)
{
	struct client c;
	struct probe p[5] = {{0}}, q = {0};

	open_h2(&c, 3, NULL);
	for (int i = 0; i < 5; i++)
		get(&c, &p[i], "/");
	check_counts(&c, 3, 0, 3, 0);
	ck_assert_uint_eq(cc_conn_waiting(c.conn), 2);
	ck_assert_int_eq(
		round_trip(&c, &q, "GET", "/", NULL, CC_RT_END_STREAM | CC_RT_NOWAIT), CC_EFULL);
	for (uint32_t i = 0; i < 3; i++)
		ck_assert_uint_eq(h2_request(c.peer), 2 * i + 1);
	check_nothing_sent(&c);
	check_hooks(&c, 0);
	for (uint32_t i = 0; i < 2; i++) {
		finish_stream(&c, &p[i], 2 * i + 1);
		ck_assert_uint_eq(h2_request(c.peer), 2 * i + 7);
		check_counts(&c, 4 + i, 1 + i, 3, 0);
		ck_assert_uint_eq(cc_conn_waiting(c.conn), 1 - i);
		check_hooks(&c, 1);
	}
	for (uint32_t i = 2; i < 5; i++) {
		finish_stream(&c, &p[i], 2 * i + 1);
		check_counts(&c, 4 + i, 1 + i, 4 - i, i - 1);
		check_hooks(&c, 1);
	}
	client_close(&c);
}
END_TEST

START_TEST(raised_limit_is_told)
{
	struct client c;

	open_h2(&c, 3, NULL);
	check_counts(&c, 3, 0, 0, 3);
	set_limit(&c, 10);
	check_counts(&c, 10, 0, 0, 10);
	check_hooks(&c, 1);
	client_close(&c);
}
END_TEST

START_TEST(raised_limit_lets_as_many_go_as_it_allows)
{
	struct client c;
	struct probe p[4] = {{0}};

	open_h2(&c, 1, NULL);
	for (int i = 0; i < 4; i++)
		get(&c, &p[i], "/");
	ck_assert_uint_eq(h2_request(c.peer), 1);
	ck_assert_uint_eq(cc_conn_waiting(c.conn), 3);
	check_hooks(&c, 0);
	h2_setting(c.peer, H2_MAX_STREAMS, 2);
	ck_assert_uint_eq(h2_request(c.peer), 3); /* although no request ended */
	check_counts(&c, 2, 0, 2, 0);
	ck_assert_uint_eq(cc_conn_waiting(c.conn), 2);
	check_hooks(&c, 1);
	h2_setting(c.peer, H2_MAX_STREAMS, 10);
	ck_assert_uint_eq(h2_request(c.peer), 5);
	ck_assert_uint_eq(h2_request(c.peer), 7);
	check_counts(&c, 10, 0, 4, 6);
	ck_assert_uint_eq(cc_conn_waiting(c.conn), 0);
	check_hooks(&c, 1);
	client_close(&c);
}
END_TEST

START_TEST(limit_of_ten_falls_to_three_under_six)
{
	struct client c;
	struct probe p[6] = {{0}};

	open_h2_running(&c, p, 6);
	set_limit(&c, 3);
	check_counts(&c, 6, 0, 6, 0); /* L fell by the four that were free */
	check_hooks(&c, 1);
	ck_assert_int_eq(cc_conn_state(c.conn), CC_READY);
	for (uint32_t i = 0; i < 3; i++) {
		finish_stream(&c, &p[i], 2 * i + 1);
		check_counts(&c, 6, i + 1, 5 - i, 0);
		ck_assert_int_eq(cc_conn_reserve(c.conn), CC_EFULL);
		check_hooks(&c, 1);
	}
	for (uint32_t i = 3; i < 6; i++) {
		finish_stream(&c, &p[i], 2 * i + 1);
		check_counts(&c, i + 4, i + 1, 5 - i, i - 2);
		check_hooks(&c, 1);
	}
	client_close(&c);
}
END_TEST

START_TEST(limit_of_nothing_is_not_a_goodbye)
{
	struct client c;
	struct probe p[2] = {{0}};

	open_h2_running(&c, p, 2);
	set_limit(&c, 0);
	check_counts(&c, 2, 0, 2, 0);
	ck_assert_int_eq(cc_conn_state(c.conn), CC_READY); /* RFC 9113 6.5.2 */
	ck_assert_int_eq(cc_conn_err(c.conn), 0);
	check_hooks(&c, 1);
	finish_stream(&c, &p[0], 1);
	check_counts(&c, 2, 1, 1, 0);
	finish_stream(&c, &p[1], 3);
	check_counts(&c, 2, 2, 0, 0);
	ck_assert_int_eq(cc_conn_state(c.conn), CC_READY);
	ck_assert_int_eq(cc_conn_reserve(c.conn), CC_EFULL);
	client_close(&c);
}
END_TEST

START_TEST(limit_that_comes_back_moves_who_waits)
{
	struct client c;
	struct probe p[7] = {{0}};

	open_h2(&c, 0, NULL);
	ck_assert_int_eq(cc_conn_state(c.conn), CC_READY); /* RFC 9113 6.5.2: not a goodbye */
	check_counts(&c, 0, 0, 0, 0);
	ck_assert_int_eq(cc_conn_reserve(c.conn), CC_EFULL);
	for (int i = 0; i < 7; i++)
		get(&c, &p[i], "/");
	ck_assert_uint_eq(cc_conn_waiting(c.conn), 7);
	turns(c.base, 3);
	ck_assert_uint_eq(cc_conn_in_flight(c.conn), 0);
	check_hooks(&c, 0);
	h2_setting(c.peer, H2_MAX_STREAMS, 5);
	for (uint32_t i = 0; i < 5; i++)
		ck_assert_uint_eq(h2_request(c.peer), 2 * i + 1); /* no stream had to end */
	check_counts(&c, 5, 0, 5, 0);
	ck_assert_uint_eq(cc_conn_waiting(c.conn), 2);
	check_hooks(&c, 1);
	finish_stream(&c, &p[0], 1);
	ck_assert_uint_eq(h2_request(c.peer), 11);
	check_counts(&c, 6, 1, 5, 0);
	client_close(&c);
}
END_TEST

START_TEST(first_that_waits_may_leave_while_the_limit_is_nothing)
{
	struct client c;
	struct probe p[2] = {{0}};

	open_h2(&c, 0, NULL);
	get(&c, &p[0], "/first");
	get(&c, &p[1], "/second");
	cc_req_cancel(p[0].req);
	h2_setting(c.peer, H2_MAX_STREAMS, 5);
	ck_assert_uint_eq(h2_request(c.peer), 1);
	ck_assert_str_eq(c.peer->path, "/second");
	check_counts(&c, 5, 0, 1, 4);
	client_close(&c);
}
END_TEST

START_TEST(own_cap_stands_below_a_huge_limit)
{
	struct client c;

	open_h2(&c, UINT32_MAX, NULL);
	check_counts(&c, 100, 0, 0, 100);
	client_close(&c);
	open_h2(&c, UINT32_MAX, &(struct cc_transport_opts){.max_concurrent = 7});
	check_counts(&c, 7, 0, 0, 7);
	set_limit(&c, 1000); /* nothing that we may use changed */
	check_counts(&c, 7, 0, 0, 7);
	client_close(&c);
}
END_TEST

START_TEST(server_that_names_no_limit_has_our_own)
{
	struct client c;

	open_h2(&c, -1, NULL);
	check_counts(&c, 100, 0, 0, 100);
	client_close(&c);
	open_h2(&c, -1, &(struct cc_transport_opts){.max_concurrent = 50});
	check_counts(&c, 50, 0, 0, 50);
	client_close(&c);
}
END_TEST

/* ---- stream ids ------------------------------------------------------------- */

START_TEST(connection_drains_while_its_ids_still_serve_all_slots)
{
	struct client c;
	struct probe p[4] = {{0}};
	uint32_t first = INT32_MAX - 8; /* five ids are left */

	open_h2_at(&c, 3, (int32_t)first, NULL);
	check_counts(&c, 3, 0, 0, 3);
	for (int i = 0; i < 2; i++)
		get(&c, &p[i], "/");
	check_counts(&c, 3, 0, 2, 1); /* three are left for three slots */
	check_hooks(&c, 0);
	get(&c, &p[2], "/");
	ck_assert_int_eq(cc_conn_state(c.conn), CC_DRAINING);
	check_counts(&c, 3, 0, 3, 0);
	check_hooks(&c, 1);
	ck_assert_int_eq(round_trip(&c, &p[3], "GET", "/", NULL, CC_RT_END_STREAM), CC_ECLOSED);
	for (uint32_t i = 0; i < 3; i++)
		ck_assert_uint_eq(h2_request(c.peer), first + 2 * i);
	for (uint32_t i = 0; i < 2; i++) {
		finish_stream(&c, &p[i], first + 2 * i);
		check_counts(&c, 3, 1 + i, 2 - i, 0);
		check_hooks(&c, 1);
	}
	finish_stream(&c, &p[2], first + 4);
	until(c.base, c.hooks_closed == 1); /* not a zombie */
	check_counts(&c, 3, 3, 0, 0);
	check_hooks(&c, 1);
	peer_wait_eof(c.peer);
	client_close(&c);
}
END_TEST

START_TEST(last_stream_id_is_used)
{
	struct client c;
	struct probe p = {0}, q = {0};

	open_h2_at(&c, 1, INT32_MAX - 2, NULL);
	get(&c, &p, "/");
	get(&c, &q, "/last");
	ck_assert_uint_eq(h2_request(c.peer), INT32_MAX - 2);
	ck_assert_int_eq(cc_conn_state(c.conn), CC_READY);
	finish_stream(&c, &p, INT32_MAX - 2);
	ck_assert_uint_eq(h2_request(c.peer), INT32_MAX);
	ck_assert_int_eq(cc_conn_state(c.conn), CC_DRAINING);
	finish_stream(&c, &q, INT32_MAX);
	until(c.base, c.hooks_closed == 1);
	check_counts(&c, 2, 2, 0, 0);
	client_close(&c);
}
END_TEST

START_TEST(who_waits_for_an_id_that_is_not_there_is_unsent)
{
	struct client c;
	struct probe p = {0}, q = {0};

	open_h2_at(&c, 1, INT32_MAX, NULL);
	get(&c, &p, "/");
	ck_assert_uint_eq(h2_request(c.peer), INT32_MAX);
	ck_assert_int_eq(round_trip(&c, &q, "GET", "/", NULL, CC_RT_END_STREAM), CC_ECLOSED);
	check_counts(&c, 1, 0, 1, 0);
	client_close(&c);
}
END_TEST

/* ---- driven by the hook alone ------------------------------------------------ */

/* Each time the hook finds a slot it starts the next request: nothing else does. */
struct driven {
	struct client c;
	struct probe p;
	uint32_t todo, started;
};

static void on_hook(struct cc_conn *conn, void *arg)
{
	struct driven *d = arg;

	if (d->started == d->todo || cc_conn_reserve(conn) < 0)
		return;
	d->started++;
	d->p.done = d->p.heads = 0;
	ck_assert_int_eq(reserved_get(&d->c, &d->p, "/"), 0);
}

START_TEST(hook_alone_drives_ten_thousand_requests)
{
	struct driven d = {.todo = 10000};

	open_h2(&d.c, 1, NULL);
	cc_conn_set_state_hook(d.c.conn, on_hook, &d);
	for (uint32_t i = 0; i < d.todo; i++) {
		uint32_t s = h2_request(d.c.peer);

		switch (i % 3) {
		case 0:
			h2_respond(d.c.peer, s, 204, NULL, true);
			break;
		case 1:
			h2_reset(d.c.peer, s, H2_INTERNAL_ERROR);
			break;
		case 2:
			h2_answer(d.c.peer, s, 200, "");
			break;
		}
	}
	until(d.c.base, cc_conn_requests_completed(d.c.conn) == d.todo);
	check_counts(&d.c, d.todo + 1, d.todo, 0, 1);
	client_close(&d.c);
}
END_TEST

START_TEST(hook_alone_drives_ten_thousand_requests_one_after_the_other)
{
	struct driven d = {.todo = 10000};
	char head[1024];

	open_h1(&d.c, NULL);
	cc_conn_set_state_hook(d.c.conn, on_hook, &d);
	for (uint32_t i = 0; i < d.todo; i++) {
		peer_head(d.c.peer, head, sizeof(head));
		peer_say(d.c.peer, i % 2 ? OK_EMPTY : "HTTP/1.1 204 No Content\r\n\r\n");
	}
	until(d.c.base, cc_conn_requests_completed(d.c.conn) == d.todo);
	check_counts(&d.c, d.todo + 1, d.todo, 0, 1);
	client_close(&d.c);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		reserving_is_silent_and_releasing_is_told,
		reserving_says_why_it_cannot,
		free_slot_is_of_those_who_wait,
		reservation_keeps_an_idle_connection,
		reserved_slot_is_for_who_says_reserved,
		bad_request_of_another_leaves_the_reservation,
		five_reservations_under_a_limit_of_two,
		reserved_one_that_waits_can_be_cancelled,
		reservation_ends_with_the_connection,
		two_more_than_the_limit_wait,
		raised_limit_is_told,
		raised_limit_lets_as_many_go_as_it_allows,
		limit_of_ten_falls_to_three_under_six,
		limit_of_nothing_is_not_a_goodbye,
		limit_that_comes_back_moves_who_waits,
		first_that_waits_may_leave_while_the_limit_is_nothing,
		own_cap_stands_below_a_huge_limit,
		server_that_names_no_limit_has_our_own,
		connection_drains_while_its_ids_still_serve_all_slots,
		last_stream_id_is_used,
		who_waits_for_an_id_that_is_not_there_is_unsent,
		hook_alone_drives_ten_thousand_requests,
		hook_alone_drives_ten_thousand_requests_one_after_the_other,
	};

	return run_suite_twice("capacity", tests, sizeof(tests) / sizeof(tests[0]));
}
