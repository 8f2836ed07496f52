/*
 * test_goaway.c - how a server says goodbye (RFC 9113 6.8), and which requests
 * may be sent again after it (8.7).
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "tests/conn/fixture.h"

/* An HTTP/2 connection with n requests that the server has seen, on streams 1, 3, 5 ... */
static void open_with(struct client *c, struct probe *p, int n)
{
	open_h2(c, 10, NULL);
	begin(c, p, n);
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
		goaway_and_an_answer_in_one_read_both_count,
		goaway_is_read_although_writing_fails,
		reason_of_the_server_can_be_read_and_is_harmless,
		first_settings_may_be_followed_by_goaway_at_once,
		draining_by_the_owner_finishes_what_runs,
		freeing_in_the_refusal_is_allowed,
	};

	return run_suite_twice("goaway", tests, sizeof(tests) / sizeof(tests[0]));
}
