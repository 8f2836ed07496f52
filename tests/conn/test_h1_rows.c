/*
 * test_h1_rows.c - the HTTP/1.1 rows of doc/connection.md, each with its exact
 * numbers (L, C, F, A) and its exact number of hook calls.
 */
#include <stdio.h>
#include <string.h>

#include "tests/conn/fixture.h"

/* One request has been answered: the connection is used, and free again. */
static void use_once(struct client *c)
{
	struct probe p = {0};

	get(c, &p, "/used");
	expect_request(c, "GET /used ");
	finish_request(c, &p);
	check_counts(c, 2, 1, 0, 1);
	check_hooks(c, 1);
}

/* The numbers of a request whose message is whole, on a connection that goes on. */
static void check_free_again(struct client *c, struct probe *p)
{
	wait_done(p);
	ck_assert_int_eq(p->result.err, 0);
	check_counts(c, 2, 1, 0, 1);
	check_hooks(c, 1);
	ck_assert_int_eq(cc_conn_state(c->conn), CC_READY);
}

/* ---- a request ---------------------------------------------------------- */

START_TEST(dialled_connection_has_one_slot)
{
	struct client c;

	open_h1(&c, NULL);
	ck_assert_uint_eq(c.hooks, 1); /* READY */
	ck_assert_int_eq(cc_conn_state(c.conn), CC_READY);
	ck_assert(cc_conn_limits_known(c.conn));
	check_counts(&c, 1, 0, 0, 1);
	check_hooks(&c, 0);
	client_close(&c);
}
END_TEST

START_TEST(slot_is_taken_from_the_reservation_to_the_end_of_the_answer)
{
	struct client c;
	struct probe p = {.keep = true};

	open_h1(&c, NULL);
	ck_assert_int_eq(cc_conn_reserve(c.conn), 0);
	ck_assert_int_eq(cc_conn_reserve(c.conn), CC_EFULL);
	check_counts(&c, 1, 0, 1, 0);
	check_hooks(&c, 0);
	ck_assert_int_eq(
		round_trip(&c, &p, "GET", "/", NULL, CC_RT_END_STREAM | CC_RT_RESERVED), 0);
	check_counts(&c, 1, 0, 1, 0);
	expect_request(&c, "GET / ");
	check_hooks(&c, 0);

	peer_say(c.peer,
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n");
	until(c.base, p.infos == 2);
	ck_assert_uint_eq(p.info_status, 103);
	ck_assert_uint_eq(p.heads, 0);
	check_counts(&c, 1, 0, 1, 0);
	check_hooks(&c, 0);

	peer_say(c.peer, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel");
	until(c.base, p.body_len == 3);
	check_counts(&c, 1, 0, 1, 0);
	check_hooks(&c, 0);

	peer_say(c.peer, "lo"); /* nobody has passed a byte of it on */
	check_free_again(&c, &p);
	ck_assert_uint_eq(p.status, 200);
	check_body(&p, "hello");
	probe_free(&p);
	client_close(&c);
}
END_TEST

START_TEST(next_that_waits_begins_where_the_answer_ends)
{
	struct client c;
	struct probe p = {0}, q = {0}, r = {0};

	open_h1_running(&c, &p, NULL);
	ck_assert_int_eq(
		round_trip(&c, &q, "GET", "/no", NULL, CC_RT_END_STREAM | CC_RT_NOWAIT), CC_EFULL);
	ck_assert_ptr_null(q.req);
	check_counts(&c, 1, 0, 1, 0);
	get(&c, &r, "/next");
	check_counts(&c, 1, 0, 1, 0);
	ck_assert_uint_eq(cc_conn_waiting(c.conn), 1);
	check_hooks(&c, 0);
	peer_say(c.peer, OK_EMPTY);
	expect_request(&c, "GET /next ");
	check_counts(&c, 2, 1, 1, 0);
	ck_assert_uint_eq(cc_conn_waiting(c.conn), 0);
	check_hooks(&c, 1);
	ck_assert_uint_eq(q.done, 0);
	finish_request(&c, &r);
	check_counts(&c, 3, 2, 0, 1);
	check_hooks(&c, 1);
	client_close(&c);
}
END_TEST

START_TEST(answer_without_a_body_calls_the_hook_once)
{
	static const struct {
		const char *method, *answer;
		unsigned status;
	} cases[] = {
		{"GET", OK_EMPTY, 200},
		{"GET", "HTTP/1.1 204 No Content\r\n\r\n", 204},
		{"GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 100\r\n\r\n", 304},
		{"HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n", 200},
		{"GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 200},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct client c;
		struct probe p = {0};

		open_h1(&c, NULL);
		ck_assert_int_eq(
			round_trip(&c, &p, cases[i].method, "/", NULL, CC_RT_END_STREAM), 0);
		expect_request(&c, cases[i].method);
		peer_say(c.peer, cases[i].answer);
		check_free_again(&c, &p);
		ck_assert_uint_eq(p.status, cases[i].status);
		ck_assert_uint_eq(p.bodies, 0);
		client_close(&c);
	}
}
END_TEST

START_TEST(slot_is_free_when_the_request_has_gone_as_well)
{
	struct client c;
	struct probe p = {0};

	open_h1(&c, NULL);
	post(&c, &p, "/up", NULL);
	expect_request(&c, "POST /up ");
	check_counts(&c, 1, 0, 1, 0);
	ck_assert_int_eq(send_body(&p, "hello", false), 0);
	peer_expect(c.peer, "5\r\nhello\r\n");
	check_counts(&c, 1, 0, 1, 0);
	ck_assert_int_eq(send_body(&p, "", true), 0);
	peer_expect(c.peer, "0\r\n\r\n");
	check_counts(&c, 1, 0, 1, 0);
	check_hooks(&c, 0);
	peer_say(c.peer, OK_EMPTY);
	check_free_again(&c, &p);
	client_close(&c);
}
END_TEST

/* ---- 1xx ---------------------------------------------------------------- */

START_TEST(interim_answers_may_be_many)
{
	struct client c;
	struct probe p = {0};

	open_h1_running(&c, &p, NULL);
	for (int i = 0; i < 500; i++)
		peer_say(c.peer, "HTTP/1.1 102 Processing\r\nA: b\r\n\r\n");
	until(c.base, p.infos == 500);
	check_counts(&c, 1, 0, 1, 0);
	check_hooks(&c, 0);
	peer_say(c.peer, OK_EMPTY);
	check_free_again(&c, &p);
	client_close(&c);
}
END_TEST

START_TEST(interim_answers_without_end_close_the_connection)
{
	struct client c;
	struct probe p = {0};
	char interim[1100] = "HTTP/1.1 103 Early Hints\r\nLink: ";

	memset(interim + strlen(interim), 'x', 1000);
	strcat(interim, "\r\n\r\n");
	open_h1_running(&c, &p, NULL);
	for (int i = 0; i < 2000 && p.done == 0; i++) {
		peer_say(c.peer, interim);
		turns(c.base, 1);
	}
	wait_done(&p);
	ck_assert_int_lt(p.result.err, 0);
	ck_assert_uint_eq(p.heads, 0);
	ck_assert(!p.result.unprocessed);
	check_closed(&c, 1);
	client_close(&c);
}
END_TEST

START_TEST(upgrade_that_nobody_asked_for_is_an_error)
{
	struct client c;
	struct probe p = {0};

	open_h1_running(&c, &p, NULL);
	peer_say(c.peer, "HTTP/1.1 101 Switching Protocols\r\n"
			 "Upgrade: x\r\nConnection: upgrade\r\n\r\nbytes of x");
	wait_done(&p);
	ck_assert_int_eq(p.result.err, CC_EPROTO);
	ck_assert_uint_eq(p.infos + p.heads + p.bodies, 0);
	check_closed(&c, 1);
	ck_assert_int_eq(cc_conn_err(c.conn), CC_EPROTO);
	client_close(&c);
}
END_TEST

/* ---- answers after which the connection ends ------------------------------ */

START_TEST(last_answer_drains_at_its_head_and_closes_at_its_end)
{
	static const char *const heads[] = {
		"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\n",
		"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n",
	};

	for (size_t i = 0; i < 2; i++) {
		struct client c;
		struct probe p = {0}, q = {0};

		open_h1_running(&c, &p, NULL);
		peer_say(c.peer, heads[i]);
		until(c.base, p.heads == 1);
		ck_assert_int_eq(cc_conn_state(c.conn), CC_DRAINING);
		ck_assert_int_eq(cc_conn_err(c.conn), 0);
		check_counts(&c, 1, 0, 1, 0);
		check_hooks(&c, 1);
		ck_assert_int_eq(
			round_trip(&c, &q, "GET", "/q", NULL, CC_RT_END_STREAM), CC_ECLOSED);
		ck_assert_int_eq(cc_conn_reserve(c.conn), CC_ECLOSED);
		peer_say(c.peer, "hello");
		check_answered(&p, "hello");
		check_closed(&c, 1);
		ck_assert_int_eq(cc_conn_err(c.conn), CC_ECLOSED);
		client_close(&c);
	}
}
END_TEST

START_TEST(last_answer_in_one_piece_calls_the_hook_once)
{
	struct client c;
	struct probe p = {0}, q = {0};

	open_h1_running(&c, &p, NULL);
	get(&c, &q, "/waits");
	peer_say(c.peer, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello");
	wait_done(&p);
	ck_assert_int_eq(p.result.err, 0);
	ck_assert_uint_eq(p.available, 0);
	wait_done(&q);
	ck_assert(q.result.unprocessed);
	ck_assert_int_eq(q.result.phase, CC_PHASE_QUEUED);
	check_closed(&c, 1);
	probe_free(&p);
	client_close(&c);
}
END_TEST

START_TEST(http_1_0_with_keep_alive_goes_on)
{
	struct client c;
	struct probe p = {0};

	open_h1_running(&c, &p, NULL);
	peer_say(c.peer, "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n");
	check_free_again(&c, &p);
	client_close(&c);
}
END_TEST

START_TEST(surplus_bytes_close_without_a_moment_of_freedom)
{
	static const char *const surplus[] = {OK_EMPTY, "\r\n", "x"};

	for (size_t i = 0; i < sizeof(surplus) / sizeof(surplus[0]); i++) {
		struct client c;
		struct probe p = {0}, q = {0};
		char answer[200];

		open_h1_running(&c, &p, NULL);
		get(&c, &q, "/waits");
		snprintf(answer, sizeof(answer), "%s%s", OK_HELLO, surplus[i]);
		peer_say(c.peer, answer);
		check_answered(&p, "hello");
		ck_assert_uint_eq(p.available, 0);
		wait_done(&q);
		ck_assert_uint_eq(q.heads, 0);
		ck_assert(q.result.unprocessed);
		check_closed(&c, 1); /* one call of the hook: it never saw the slot free */
		client_close(&c);
	}
}
END_TEST

START_TEST(answer_before_the_request_is_complete_is_the_last)
{
	struct client c;
	struct probe p = {0};

	open_h1(&c, NULL);
	post(&c, &p, "/up", "content-length: 1000\n");
	ck_assert_int_eq(send_body(&p, "hello", false), 0);
	expect_request(&c, "POST /up ");
	peer_expect(c.peer, "hello");
	check_hooks(&c, 0);
	peer_say(c.peer, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 5\r\n\r\nlarge");
	wait_done(&p);
	ck_assert_int_eq(p.result.err, 0);
	ck_assert_uint_eq(p.status, 413);
	check_body(&p, "large");
	ck_assert_uint_eq(p.available, 0);
	check_closed(&c, 1);
	ck_assert_uint_eq(c.peer->in_len, 0); /* and not a byte of the body after it */
	probe_free(&p);
	client_close(&c);
}
END_TEST

START_TEST(body_without_length_needs_a_proper_end)
{
	for (int cut = 0; cut < 2; cut++) {
		struct client c;
		struct probe p = {0};

		open_h1_running(&c, &p, NULL);
		peer_say(c.peer, "HTTP/1.1 200 OK\r\n\r\nhello");
		until(c.base, p.body_len == 5);
		ck_assert_uint_eq(p.done, 0);
		check_counts(&c, 1, 0, 1, 0);
		ck_assert_int_eq(cc_conn_state(c.conn), CC_DRAINING); /* it cannot be used again */
		check_hooks(&c, 1);
		bool truncated = cut && c.peer->ssl;

		if (cut)
			peer_cut(c.peer);
		else
			peer_finish(c.peer);
		wait_done(&p);
		ck_assert_int_eq(p.result.err, truncated ? CC_EEOF : 0); /* RFC 9112 9.8 */
		ck_assert_int_eq(
			p.result.phase, truncated ? CC_PHASE_RECEIVING : CC_PHASE_COMPLETE);
		ck_assert(!p.result.unprocessed);
		check_body(&p, "hello");
		until(c.base, c.hooks_closed == 1);
		check_counts(&c, 1, 1, 0, 0);
		check_hooks(&c, 1);
		probe_free(&p);
		client_close(&c);
	}
}
END_TEST

/* ---- bytes that answer nothing -------------------------------------------- */

START_TEST(unasked_bytes_close_an_idle_connection)
{
	static const char *const bytes[] = {
		"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n", OK_HELLO, "\r\n", "x"};

	for (size_t i = 0; i < 2 * sizeof(bytes) / sizeof(bytes[0]); i++) {
		struct client c;
		struct probe p = {0};

		open_h1(&c, NULL);
		if (i % 2)
			use_once(&c);
		peer_say(c.peer, bytes[i / 2]);
		check_closed(&c, i % 2);
		ck_assert_int_eq(cc_conn_err(c.conn), CC_EPROTO);
		ck_assert_int_eq(
			round_trip(&c, &p, "GET", "/", NULL, CC_RT_END_STREAM), CC_ECLOSED);
		client_close(&c);
	}
}
END_TEST

START_TEST(unasked_answer_is_not_given_to_a_request_made_before_it_was_read)
{
	struct client c;
	struct probe p = {0};

	open_h1(&c, NULL);
	use_once(&c);
	advance(&c, 1);
	peer_say(c.peer, OK_HELLO); /* lies in the socket */
	get(&c, &p, "/");
	wait_done(&p);
	ck_assert_int_ne(p.result.err, 0);
	ck_assert_uint_eq(p.heads, 0);
	ck_assert(p.result.unprocessed);
	ck_assert_int_eq(p.result.phase, CC_PHASE_QUEUED);
	check_closed(&c, cc_conn_requests_completed(c.conn));
	ck_assert_uint_eq(c.peer->in_len, 0);
	client_close(&c);
}
END_TEST

#define TIMEOUT_408 "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"

START_TEST(timeout_answer_on_a_reused_connection_is_an_end_without_answer)
{
	struct client c;
	struct probe p = {0};

	open_h1(&c, NULL);
	use_once(&c);
	get(&c, &p, "/");
	expect_request(&c, "GET / ");
	peer_say(c.peer, TIMEOUT_408); /* its idle timeout crossed our request */
	wait_done(&p);
	ck_assert_int_eq(p.result.err, CC_EEOF);
	ck_assert_uint_eq(p.heads, 0);
	ck_assert_int_eq(p.result.phase, CC_PHASE_WAITING);
	ck_assert(!p.result.unprocessed);
	check_closed(&c, 2);
	client_close(&c);
}
END_TEST

START_TEST(timeout_answer_on_a_fresh_connection_is_an_answer)
{
	struct client c;
	struct probe p = {0};

	open_h1_running(&c, &p, NULL);
	peer_say(c.peer, TIMEOUT_408);
	wait_done(&p);
	ck_assert_int_eq(p.result.err, 0);
	ck_assert_uint_eq(p.status, 408);
	check_closed(&c, 1);
	client_close(&c);
}
END_TEST

START_TEST(timeout_answer_that_keeps_the_connection_is_an_answer)
{
	struct client c;
	struct probe p = {0};

	open_h1(&c, NULL);
	use_once(&c);
	get(&c, &p, "/");
	expect_request(&c, "GET / ");
	peer_say(c.peer, "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n");
	wait_done(&p);
	ck_assert_int_eq(p.result.err, 0);
	ck_assert_uint_eq(p.status, 408);
	check_counts(&c, 3, 2, 0, 1);
	check_hooks(&c, 1);
	client_close(&c);
}
END_TEST

/* ---- the server goes away -------------------------------------------------- */

START_TEST(end_while_idle_closes)
{
	for (unsigned used = 0; used < 2; used++) {
		struct client c;
		struct probe p = {0};

		open_h1(&c, NULL);
		if (used)
			use_once(&c);
		peer_finish(c.peer);
		check_closed(&c, used);
		ck_assert_int_eq(cc_conn_err(c.conn), CC_EEOF);
		ck_assert_int_eq(
			round_trip(&c, &p, "GET", "/", NULL, CC_RT_END_STREAM), CC_ECLOSED);
		ck_assert_int_eq(cc_conn_reserve(c.conn), CC_ECLOSED);
		cc_conn_release(c.conn);
		check_hooks(&c, 0);
		client_close(&c);
	}
}
END_TEST

START_TEST(request_made_before_the_end_was_read_is_unsent)
{
	struct client c;
	struct probe p = {0};

	open_h1(&c, NULL);
	use_once(&c);
	advance(&c, 1);
	peer_finish(c.peer); /* lies in the socket */
	get(&c, &p, "/");
	wait_done(&p);
	ck_assert_int_ne(p.result.err, 0);
	ck_assert(p.result.unprocessed);
	ck_assert_int_eq(p.result.phase, CC_PHASE_QUEUED);
	until(c.base, c.hooks_closed == 1);
	peer_wait_eof(c.peer);
	ck_assert_uint_eq(c.peer->in_len, 0);
	client_close(&c);
}
END_TEST

START_TEST(end_without_a_byte_of_answer_says_nothing_about_the_request)
{
	for (int waits = 0; waits < 2; waits++) {
		struct client c;
		struct probe p = {0}, q = {0};

		open_h1_running(&c, &p, NULL);
		if (waits)
			get(&c, &q, "/waits");
		peer_finish(c.peer);
		wait_done(&p);
		ck_assert_int_eq(p.result.err, CC_EEOF);
		ck_assert_int_eq(p.result.phase, CC_PHASE_WAITING);
		ck_assert(!p.result.unprocessed);
		if (waits) {
			wait_done(&q);
			ck_assert_int_eq(q.result.phase, CC_PHASE_QUEUED); /* it never left */
			ck_assert(q.result.unprocessed);
		}
		check_closed(&c, 1);
		ck_assert_uint_eq(
			cc_conn_changes(c.conn), CC_CHANGED_COMPLETED | CC_CHANGED_CLOSED);
		client_close(&c);
	}
}
END_TEST

START_TEST(end_under_half_a_request_says_nothing_about_it)
{
	struct client c;
	struct probe p = {0};

	open_h1(&c, NULL);
	post(&c, &p, "/up", NULL);
	ck_assert_int_eq(send_body(&p, "hello", false), 0);
	expect_request(&c, "POST /up ");
	peer_expect(c.peer, "5\r\nhello\r\n");
	check_hooks(&c, 0);
	peer_finish(c.peer);
	wait_done(&p);
	ck_assert_int_eq(p.result.err, CC_EEOF);
	ck_assert_int_eq(p.result.phase, CC_PHASE_SENDING);
	ck_assert(!p.result.unprocessed);
	until(c.base, c.hooks_closed == 1);
	check_counts(&c, 1, 1, 0, 0);
	check_hooks(&c, 1);
	client_close(&c);
}
END_TEST

START_TEST(end_in_the_middle_is_told_without_a_reader)
{
	static const char *const parts[] = {
		"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
	};

	for (size_t i = 0; i < 4; i++) {
		struct client c;
		struct probe p = {.keep = i % 2}; /* true: passes nothing on */

		open_h1_running(&c, &p, NULL);
		peer_say(c.peer, parts[i / 2]);
		until(c.base, p.body_len == 5);
		check_hooks(&c, 0);
		peer_finish(c.peer);
		wait_done(&p);
		ck_assert_int_eq(p.result.err, CC_EEOF);
		ck_assert_int_eq(p.result.phase, CC_PHASE_RECEIVING);
		ck_assert(!p.result.unprocessed);
		check_closed(&c, 1);
		ck_assert_int_eq(cc_conn_err(c.conn), CC_EEOF);
		probe_free(&p);
		client_close(&c);
	}
}
END_TEST

/* ---- what the caller does --------------------------------------------------- */

START_TEST(invalid_request_changes_nothing)
{
	struct client c;
	struct cc_head *h;
	struct cc_req *req = NULL;

	open_h1(&c, NULL);
	h = head_for(&c, "GET", "/", NULL);
	ck_assert_int_eq(cc_head_add(h, CC_STR("bad name"), CC_STR("x")), CC_EINVAL);
	ck_assert_int_eq(cc_head_add(h, CC_STR("a"), CC_STR("b\r\nc: d")), CC_EINVAL);
	cc_head_reset(h); /* no method */
	ck_assert_int_eq(
		cc_conn_round_trip(c.conn, h, CC_RT_END_STREAM, &probe_ops, NULL, &req), CC_EINVAL);
	cc_head_free(h);
	ck_assert_ptr_null(req);
	check_counts(&c, 1, 0, 0, 1);
	check_hooks(&c, 0);
	ck_assert_uint_eq(c.peer->in_len, 0);
	client_close(&c);
}
END_TEST

START_TEST(closing_is_told_once_and_later)
{
	for (unsigned used = 0; used < 2; used++) {
		struct client c;

		open_h1(&c, NULL);
		if (used)
			use_once(&c);
		c.in_call = true; /* a hook in here fails */
		cc_conn_close(c.conn);
		c.in_call = false;
		check_counts(&c, used, used, 0, 0);
		check_closed(&c, used);
		ck_assert_int_eq(c.peer->error, 0); /* over TLS: with close_notify */
		ck_assert_int_eq(cc_conn_err(c.conn), CC_ECLOSED);
		client_close(&c);
	}
}
END_TEST

START_TEST(nothing_is_heard_after_closing)
{
	struct client c;
	struct probe p = {0};

	open_h1(&c, NULL);
	cc_conn_close(c.conn);
	check_closed(&c, 0);
	ck_assert_int_eq(round_trip(&c, &p, "GET", "/", NULL, CC_RT_END_STREAM), CC_ECLOSED);
	ck_assert_int_eq(
		round_trip(&c, &p, "GET", "/", NULL, CC_RT_END_STREAM | CC_RT_NOWAIT), CC_ECLOSED);
	ck_assert_int_eq(round_trip(&c, &p, "GET", "/", NULL, CC_RT_END_STREAM | CC_RT_RESERVED),
		CC_ECLOSED);
	ck_assert_int_eq(cc_conn_reserve(c.conn), CC_ECLOSED);
	cc_conn_release(c.conn);
	cc_conn_drain(c.conn);
	cc_conn_close(c.conn);
	advance(&c, 1000000);
	check_counts(&c, 0, 0, 0, 0);
	check_hooks(&c, 0);
	client_close(&c);
}
END_TEST

START_TEST(idle_connection_closes_in_time)
{
	for (unsigned used = 0; used < 2; used++) {
		struct client c;

		open_h1(&c, &(struct cc_transport_opts){.idle_timeout = 5000});
		if (used)
			use_once(&c);
		advance(&c, 4999);
		check_hooks(&c, 0);
		ck_assert_int_eq(cc_conn_state(c.conn), CC_READY);
		advance(&c, 1);
		check_closed(&c, used);
		client_close(&c);
	}
}
END_TEST

START_TEST(one_request_and_no_more)
{
	struct client c;
	struct probe p = {0};

	open_h1_running(&c, &p, &(struct cc_transport_opts){.max_requests = 1});
	ck_assert_int_ne(cc_conn_reserve(c.conn), 0);
	finish_request(&c, &p);
	ck_assert_uint_eq(p.available, 0);
	check_closed(&c, 1);
	client_close(&c);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		dialled_connection_has_one_slot,
		slot_is_taken_from_the_reservation_to_the_end_of_the_answer,
		next_that_waits_begins_where_the_answer_ends,
		answer_without_a_body_calls_the_hook_once,
		slot_is_free_when_the_request_has_gone_as_well,
		interim_answers_may_be_many,
		interim_answers_without_end_close_the_connection,
		upgrade_that_nobody_asked_for_is_an_error,
		last_answer_drains_at_its_head_and_closes_at_its_end,
		last_answer_in_one_piece_calls_the_hook_once,
		http_1_0_with_keep_alive_goes_on,
		surplus_bytes_close_without_a_moment_of_freedom,
		answer_before_the_request_is_complete_is_the_last,
		body_without_length_needs_a_proper_end,
		unasked_bytes_close_an_idle_connection,
		unasked_answer_is_not_given_to_a_request_made_before_it_was_read,
		timeout_answer_on_a_reused_connection_is_an_end_without_answer,
		timeout_answer_on_a_fresh_connection_is_an_answer,
		timeout_answer_that_keeps_the_connection_is_an_answer,
		end_while_idle_closes,
		request_made_before_the_end_was_read_is_unsent,
		end_without_a_byte_of_answer_says_nothing_about_the_request,
		end_under_half_a_request_says_nothing_about_it,
		end_in_the_middle_is_told_without_a_reader,
		invalid_request_changes_nothing,
		closing_is_told_once_and_later,
		nothing_is_heard_after_closing,
		idle_connection_closes_in_time,
		one_request_and_no_more,
	};

	return run_suite_twice("h1 rows", tests, sizeof(tests) / sizeof(tests[0]));
}
