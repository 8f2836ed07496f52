/*
 * test_hook.c - the state hook: which event it tells, how often, when it may
 * come, and what may be done inside it.
 */
#include "tests/conn/fixture.h"

/* ---- what it says --------------------------------------------------------- */

START_TEST(connecting_is_told)
{
	struct client c;

	client_open(&c, peer_unix(event_base_new()), "http", CC_OFFER_H1, NULL);
	turns(c.base, 1);
	wait_state(&c, CC_READY);
	check_hooks(&c, 1);
	check_changes(
		&c, CC_CHANGED_READY | CC_CHANGED_LIMITS_KNOWN); /* HTTP/1: one slot, always */
	client_close(&c);

	client_open(&c, peer_unix(event_base_new()), "http", CC_OFFER_H2, NULL);
	wait_state(&c, CC_READY);
	check_changes(&c, CC_CHANGED_READY);
	check_hooks(&c, 1);
	h2_begin(c.peer, 10);
	until(c.base, cc_conn_limits_known(c.conn));
	check_changes(&c, CC_CHANGED_LIMITS_KNOWN | CC_CHANGED_LIMIT_UP);
	check_hooks(&c, 1);
	client_close(&c);
}
END_TEST

START_TEST(failed_dial_is_told_once)
{
	struct client c;

	open_nowhere(&c);
	until(c.base, c.hooks_closed == 1);
	check_changes(&c, CC_CHANGED_CLOSED);
	check_hooks(&c, 1);
	client_close(&c);
}
END_TEST

START_TEST(each_event_has_its_mark)
{
	struct client c;
	struct probe p[3] = {{0}};

	open_h2_running(&c, p, 3);
	check_changes(&c, 0);
	finish_stream(&c, &p[0], 1);
	check_changes(&c, CC_CHANGED_COMPLETED);
	ck_assert_int_eq(cc_conn_reserve(c.conn), 0);
	check_changes(&c, 0);
	cc_conn_release(c.conn);
	check_changes(&c, CC_CHANGED_RELEASED);
	set_limit(&c, 20);
	check_changes(&c, CC_CHANGED_LIMIT_UP);
	set_limit(&c, 1);
	check_changes(&c, CC_CHANGED_LIMIT_DOWN);
	set_limit(&c, 1);
	check_changes(&c, 0);
	check_hooks(&c, 4);
	h2_goaway(c.peer, 5, H2_NO_ERROR);
	h2_processed(&c);
	check_changes(&c, CC_CHANGED_DRAINING);
	finish_stream(&c, &p[1], 3);
	check_changes(&c, CC_CHANGED_COMPLETED);
	finish_stream(&c, &p[2], 5);
	check_changes(&c, CC_CHANGED_COMPLETED | CC_CHANGED_CLOSED);
	check_hooks(&c, 3);
	client_close(&c);
}
END_TEST

START_TEST(what_comes_in_one_read_is_one_call)
{
	struct client c;
	struct probe p[3] = {{0}};
	/* Three answers of one HEADERS frame each (:status 204), GOAWAY(5). */
	static const char frames[] = "\0\0\1\1\5\0\0\0\1\x89"
				     "\0\0\1\1\5\0\0\0\3\x89"
				     "\0\0\1\1\5\0\0\0\5\x89"
				     "\0\0\10\7\0\0\0\0\0\0\0\0\5\0\0\0\0";

	open_h2_running(&c, p, 3);
	peer_send(c.peer, frames, sizeof(frames) - 1);
	until(c.base, c.hooks_closed == 1);
	check_hooks(&c, 1);
	check_changes(&c, CC_CHANGED_COMPLETED | CC_CHANGED_DRAINING | CC_CHANGED_CLOSED);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(p[i].done == 1 && p[i].status == 204, 1);
	ck_assert_uint_eq(c.completed_seen, 3);
	client_close(&c);
}
END_TEST

START_TEST(goaway_on_an_idle_connection_is_one_call)
{
	struct client c;

	open_h2(&c, 10, NULL);
	h2_goaway(c.peer, 0, H2_NO_ERROR);
	until(c.base, c.hooks_closed == 1);
	check_hooks(&c, 1);
	check_changes(&c, CC_CHANGED_DRAINING | CC_CHANGED_CLOSED);
	client_close(&c);
}
END_TEST

/* ---- none is lost ----------------------------------------------------------- */

START_TEST(completed_calls_add_up)
{
	struct client c;
	struct probe p[12] = {{0}};

	open_h2(&c, 12, NULL);
	begin(&c, p, 12);
	h2_answer(c.peer, 1, 204, "");
	h2_respond(c.peer, 3, 204, NULL, true);
	h2_reset(c.peer, 5, H2_INTERNAL_ERROR);
	h2_reset(c.peer, 7, H2_REFUSED_STREAM);
	h2_processed(&c);
	h2_respond(c.peer, 9, 200, NULL, false);
	until(c.base, p[4].heads == 1);
	cc_req_cancel(p[4].req);
	turns(c.base, 2);
	cc_req_cancel(p[5].req);            /* waits for the acknowledgement of its reset */
	h2_goaway(c.peer, 19, H2_NO_ERROR); /* refuses two */
	until(c.base, p[10].done && p[11].done);
	turns(c.base, 2);
	ck_assert_uint_eq(c.completed_seen, cc_conn_requests_completed(c.conn));
	ck_assert_uint_ge(c.completed_seen, 7);
	peer_finish(c.peer); /* ends the rest */
	until(c.base, c.hooks_closed == 1);
	/* The fixture has seen that the mark came exactly where the number grew. */
	ck_assert_uint_eq(c.completed_seen, 12);
	check_counts(&c, 12, 12, 0, 0);
	client_close(&c);
}
END_TEST

/* ---- when it comes ------------------------------------------------------------ */

START_TEST(no_call_comes_inside_another)
{
	struct client c;
	struct probe p = {0}, q = {0};

	open_h2(&c, 10, NULL);
	c.in_call = true; /* a hook from here on fails */
	ck_assert_int_eq(cc_conn_reserve(c.conn), 0);
	cc_conn_release(c.conn);
	get(&c, &p, "/never");
	c.in_call = true;
	cc_req_cancel(p.req);
	get(&c, &q, "/");
	c.in_call = true;
	cc_conn_set_state_hook(c.conn, NULL, NULL);
	cc_conn_drain(c.conn);
	cc_conn_close(c.conn);
	c.in_call = false;
	client_close(&c);
}
END_TEST

START_TEST(no_call_comes_inside_a_callback_of_a_request)
{
	for (int h2 = 0; h2 < 2; h2++) {
		for (unsigned where = 1; where < 4; where++) {
			struct client c;
			struct probe p = {0};

			act_in(&p, where, ACT_CLOSE); /* the fixture fails a hook in there */
			if (h2) {
				open_h2_running(&c, &p, 1);
				h2_answer(c.peer, 1, 200, "hello");
			} else {
				open_h1_running(&c, &p, NULL);
				peer_say(c.peer, OK_HELLO);
			}
			until(c.base, c.hooks_closed == 1);
			check_hooks(&c, 1);
			check_changes(&c, CC_CHANGED_COMPLETED | CC_CHANGED_CLOSED);
			probe_free(&p);
			client_close(&c);
		}
	}
}
END_TEST

/* Counts, and sees that requests were told before. */
struct watcher {
	unsigned calls, closed, done_before;
	unsigned changes;
	const struct probe *p, *q;
};

static void watch(struct cc_conn *conn, void *arg)
{
	struct watcher *w = arg;

	w->calls++;
	w->changes |= cc_conn_changes(conn);
	ck_assert_uint_eq(w->closed, 0);
	if (cc_conn_state(conn) != CC_CLOSED)
		return;
	w->closed++;
	w->done_before = w->p ? w->p->done + w->q->done : 0;
}

START_TEST(closed_comes_once_and_behind_the_ends_of_the_requests)
{
	for (int how = 0; how < 3; how++) {
		struct client c;
		struct probe p = {0}, q = {0};
		struct watcher w = {.p = &p, .q = &q};

		open_h2(&c, 1, NULL);
		begin(&c, &p, 1);
		get(&c, &q, "/waits");
		cc_conn_set_state_hook(c.conn, watch, &w);
		turns(c.base, 2);
		switch (how) {
		case 0:
			cc_conn_close(c.conn);
			break;
		case 1:
			peer_finish(c.peer);
			break;
		case 2:
			h2_data(c.peer, 99, "x", false); /* an error of the connection */
			break;
		}
		until(c.base, w.closed == 1);
		ck_assert_uint_eq(w.done_before, 2);
		cc_conn_close(c.conn);
		cc_conn_release(c.conn);
		advance(&c, 1000000);
		ck_assert_uint_eq(w.closed, 1);
		client_close(&c);
	}
}
END_TEST

/* ---- set, replaced, taken away ------------------------------------------------- */

START_TEST(no_hook_no_call)
{
	struct client c;
	struct probe p = {0};

	open_h1_running(&c, &p, NULL);
	ck_assert_int_eq(cc_conn_reserve(c.conn), CC_EFULL);
	cc_conn_set_state_hook(c.conn, NULL, NULL);
	finish_request(&c, &p);
	cc_conn_close(c.conn);
	check_hooks(&c, 0);
	check_counts(&c, 1, 1, 0, 0);
	client_close(&c);
}
END_TEST

START_TEST(hook_taken_away_with_a_call_on_its_way_gets_none)
{
	struct client c;

	open_h2(&c, 10, NULL);
	ck_assert_int_eq(cc_conn_reserve(c.conn), 0);
	cc_conn_release(c.conn); /* would be told at the end of the turn */
	cc_conn_set_state_hook(c.conn, NULL, NULL);
	check_hooks(&c, 0);
	client_close(&c);
}
END_TEST

START_TEST(hook_set_later_hears_of_all_in_one_call)
{
	struct client c;
	struct probe p = {0};
	struct watcher w = {0};

	client_open(&c, peer_unix(event_base_new()), "http", CC_OFFER_H1, NULL);
	cc_conn_set_state_hook(c.conn, NULL, NULL);
	get(&c, &p, "/");
	expect_request(&c, "GET / ");
	finish_request(&c, &p);
	turns(c.base, 3);
	ck_assert_uint_eq(c.hooks, 0);
	cc_conn_set_state_hook(c.conn, watch, &w);
	ck_assert_uint_eq(w.calls, 0); /* not in here */
	turns(c.base, 5);
	ck_assert_uint_eq(w.calls, 1);
	ck_assert_uint_eq(
		w.changes, CC_CHANGED_READY | CC_CHANGED_LIMITS_KNOWN | CC_CHANGED_COMPLETED);
	client_close(&c);
}
END_TEST

START_TEST(hook_set_after_the_end_hears_of_it_once)
{
	struct client c;
	struct watcher w = {0}, late = {0};

	open_h1(&c, NULL);
	cc_conn_set_state_hook(c.conn, NULL, NULL);
	cc_conn_close(c.conn);
	turns(c.base, 3);
	cc_conn_set_state_hook(c.conn, watch, &w);
	turns(c.base, 3);
	ck_assert_uint_eq(w.calls, 1);
	ck_assert_uint_eq(w.closed, 1);
	cc_conn_set_state_hook(c.conn, watch, &late); /* the end has been told */
	turns(c.base, 3);
	ck_assert_uint_eq(w.calls, 1);
	ck_assert_uint_eq(late.calls, 0);
	client_close(&c);
}
END_TEST

START_TEST(hook_of_a_connection_that_has_not_changed_is_not_called)
{
	struct client c;
	struct watcher w = {0};

	client_open(&c, peer_unix(event_base_new()), "http", CC_OFFER_H1, NULL);
	cc_conn_set_state_hook(c.conn, watch, &w); /* still connecting */
	event_base_loop(c.base, EVLOOP_NONBLOCK);
	ck_assert_uint_le(w.calls, cc_conn_state(c.conn) > CC_CONNECTING);
	wait_state(&c, CC_READY);
	turns(c.base, 3);
	ck_assert_uint_eq(w.calls, 1);
	ck_assert_uint_eq(w.changes, CC_CHANGED_READY | CC_CHANGED_LIMITS_KNOWN);
	client_close(&c);
}
END_TEST

/* ---- what may be done inside it -------------------------------------------------- */

enum in_hook {
	HOOK_RESERVE_AND_RELEASE,
	HOOK_ROUND_TRIP,
	HOOK_CANCEL,
	HOOK_DRAIN,
	HOOK_CLOSE,
	HOOK_FREE,
	HOOK_REMOVE,
	HOOK_REPLACE,
	HOOK_ALL
};

struct actor {
	struct client *c;
	struct probe *running, *next;
	struct watcher other;
	enum in_hook what;
	unsigned calls, closed;
};

static void act_in_hook(struct cc_conn *conn, void *arg)
{
	struct actor *a = arg;

	ck_assert_msg(!a->c->in_call, "the hook ran inside a call");
	a->closed += cc_conn_state(conn) == CC_CLOSED;
	if (a->calls++ > 0)
		return;
	a->c->in_call = true; /* and again it must not run inside these */
	switch (a->what) {
	case HOOK_RESERVE_AND_RELEASE:
		ck_assert_int_eq(cc_conn_reserve(conn), 0);
		cc_conn_release(conn);
		break;
	case HOOK_ROUND_TRIP:
		get(a->c, a->next, "/next");
		break;
	case HOOK_CANCEL:
		cc_req_cancel(a->running->req);
		break;
	case HOOK_DRAIN:
		cc_conn_drain(conn);
		break;
	case HOOK_CLOSE:
		cc_conn_close(conn);
		break;
	case HOOK_FREE:
		cc_conn_free(conn);
		a->c->conn = NULL;
		break;
	case HOOK_REMOVE:
		cc_conn_set_state_hook(conn, NULL, NULL);
		break;
	case HOOK_REPLACE:
		cc_conn_set_state_hook(conn, watch, &a->other);
		break;
	case HOOK_ALL:
		break;
	}
	a->c->in_call = false;
}

START_TEST(every_call_is_allowed_inside)
{
	for (int what = 0; what < HOOK_ALL; what++) {
		struct client c;
		struct probe p[3] = {{0}};
		struct actor a = {.c = &c, .running = &p[1], .next = &p[2], .what = what};

		open_h2_running(&c, p, 2);
		cc_conn_set_state_hook(c.conn, act_in_hook, &a); /* the first call comes now */
		until(c.base, a.calls > 0);
		turns(c.base, 5);
		switch (a.what) {
		case HOOK_RESERVE_AND_RELEASE: /* a change in the hook calls it again */
			ck_assert_uint_eq(a.calls, 2);
			check_counts(&c, 10, 0, 2, 8);
			break;
		case HOOK_ROUND_TRIP:
			ck_assert_uint_eq(a.calls, 1);
			check_counts(&c, 10, 0, 3, 7);
			ck_assert_uint_eq(h2_request(c.peer), 5);
			break;
		case HOOK_CANCEL:
			ck_assert_uint_eq(p[1].done, 0);
			check_counts(&c, 10, 0, 2, 8); /* until the PING is acknowledged */
			break;
		case HOOK_DRAIN:
			ck_assert_uint_eq(a.calls, 2);
			ck_assert_int_eq(cc_conn_state(c.conn), CC_DRAINING);
			check_counts(&c, 2, 0, 2, 0);
			break;
		case HOOK_CLOSE:
			ck_assert_uint_eq(a.calls, 2);
			ck_assert_uint_eq(a.closed, 1);
			ck_assert_uint_eq(p[0].done + p[1].done, 2);
			check_counts(&c, 2, 2, 0, 0);
			break;
		case HOOK_FREE:
			ck_assert_uint_eq(a.calls, 1);
			ck_assert_uint_eq(p[0].done + p[1].done, 0);
			break;
		case HOOK_REMOVE:
			cc_conn_close(c.conn);
			turns(c.base, 3);
			ck_assert_uint_eq(a.calls, 1);
			break;
		case HOOK_REPLACE:
			ck_assert_uint_eq(a.calls, 1);
			ck_assert_uint_eq(a.other.calls, 1); /* it hears of all that was */
			break;
		case HOOK_ALL:
			break;
		}
		client_close(&c);
	}
}
END_TEST

START_TEST(freeing_in_the_call_for_closed_is_allowed)
{
	for (int h2 = 0; h2 < 2; h2++) {
		struct client c;
		struct probe p = {0};
		struct actor a = {.c = &c, .what = HOOK_FREE};

		if (h2)
			open_h2(&c, 10, NULL);
		else
			open_h1(&c, NULL);
		get(&c, &p, "/");
		turns(c.base, 3);
		cc_conn_set_state_hook(c.conn, NULL, NULL);
		peer_finish(c.peer);
		wait_done(&p);
		cc_conn_set_state_hook(c.conn, act_in_hook, &a);
		until(c.base, a.calls == 1);
		turns(c.base, 3);
		ck_assert_uint_eq(a.closed, 1);
		ck_assert_ptr_null(c.conn);
		client_close(&c);
	}
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		connecting_is_told,
		failed_dial_is_told_once,
		each_event_has_its_mark,
		what_comes_in_one_read_is_one_call,
		goaway_on_an_idle_connection_is_one_call,
		completed_calls_add_up,
		no_call_comes_inside_another,
		no_call_comes_inside_a_callback_of_a_request,
		closed_comes_once_and_behind_the_ends_of_the_requests,
		no_hook_no_call,
		hook_taken_away_with_a_call_on_its_way_gets_none,
		hook_set_later_hears_of_all_in_one_call,
		hook_set_after_the_end_hears_of_it_once,
		hook_of_a_connection_that_has_not_changed_is_not_called,
		every_call_is_allowed_inside,
		freeing_in_the_call_for_closed_is_allowed,
	};

	return run_suite_twice("hook", tests, sizeof(tests) / sizeof(tests[0]));
}
