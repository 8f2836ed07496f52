/* test_h1.c - an HTTP/1.1 connection of the public API against a scripted server (RFC 9112). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/ssl.h>

#include "tests/conn/fixture.h"

/* ---- one request ------------------------------------------------------- */

START_TEST(answer_brings_head_body_and_end)
{
	struct client c;
	struct probe p = {0};
	char head[1024];

	open_h1(&c, NULL);
	check_counts(&c, 1, 0, 0, 1);
	ck_assert_int_eq(cc_conn_proto(c.conn), CC_PROTO_H1);
	ck_assert(!cc_conn_multiplexed(c.conn));
	ck_assert_int_eq(
		round_trip(&c, &p, "GET", "/a?b=c", "accept: text/plain\n", CC_RT_END_STREAM), 0);
	check_counts(&c, 1, 0, 1, 0);
	peer_head(c.peer, head, sizeof(head));
	ck_assert_ptr_eq(strstr(head, "GET /a?b=c HTTP/1.1\r\n"), head);
	ck_assert_ptr_nonnull(strcasestr(head, "\r\nHost: api.example.test\r\n"));
	ck_assert_ptr_nonnull(strcasestr(head, "\r\nAccept: text/plain\r\n"));

	unsigned hooks = c.hooks;
	peer_say(c.peer, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Kind: greeting\r\n\r\nhello");
	wait_done(&p);
	turns(c.base, 2);
	ck_assert_int_eq(p.result.err, 0);
	ck_assert_int_eq(p.result.phase, CC_PHASE_COMPLETE);
	ck_assert_uint_eq(p.status, 200);
	ck_assert_ptr_nonnull(strstr(p.fields, "x-kind: greeting\n"));
	check_body(&p, "hello");
	ck_assert_uint_eq(p.result.received, 5);
	check_counts(&c, 2, 1, 0, 1);
	ck_assert_uint_gt(c.hooks, hooks);
	probe_free(&p);
	client_close(&c);
}
END_TEST

START_TEST(answers_to_head_and_304_have_no_body_whatever_their_fields_say)
{
	struct client c;
	struct probe head = {0}, cached = {0};

	open_h1(&c, NULL);
	ck_assert_int_eq(round_trip(&c, &head, "HEAD", "/", NULL, CC_RT_END_STREAM), 0);
	expect_request(&c, "HEAD / HTTP/1.1\r\n");
	peer_say(c.peer, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
	wait_done(&head);
	get(&c, &cached, "/");
	expect_request(&c, "GET / HTTP/1.1\r\n");
	peer_say(c.peer, "HTTP/1.1 304 Not Modified\r\nContent-Length: 1000\r\n\r\n");
	wait_done(&cached);

	ck_assert_int_eq(head.result.err, 0);
	ck_assert_ptr_nonnull(strstr(head.fields, "content-length: 1000\n"));
	ck_assert_int_eq(cached.result.err, 0);
	ck_assert_uint_eq(head.bodies + cached.bodies, 0);
	check_counts(&c, 3, 2, 0, 1);
	client_close(&c);
}
END_TEST

START_TEST(chunked_answer_comes_without_its_framing_and_with_its_trailers)
{
	struct client c;
	struct probe p = {0};

	open_h1_running(&c, &p, NULL);
	peer_say(c.peer, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n"
			 "5\r\nhello\r\n7;a=b\r\n, world\r\n0\r\nX-Sum: 12\r\n\r\n");
	check_answered(&p, "hello, world");
	ck_assert_str_eq(p.trailers, "x-sum: 12\n");
	check_counts(&c, 2, 1, 0, 1);
	client_close(&c);
}
END_TEST

START_TEST(answer_may_come_in_single_bytes)
{
	static const char answer[] = "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
				     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
				     "5\r\nhello\r\n0\r\nA: b\r\n\r\n";
	struct client c;
	struct probe p = {0};

	open_h1_running(&c, &p, NULL);
	for (size_t i = 0; i < sizeof(answer) - 1; i++) {
		ck_assert_uint_eq(p.done, 0);
		peer_send(c.peer, answer + i, 1);
		turns(c.base, 2);
	}
	wait_done(&p);
	ck_assert_uint_eq(p.infos, 1);
	check_body(&p, "hello");
	ck_assert_str_eq(p.trailers, "a: b\n");
	probe_free(&p);
	client_close(&c);
}
END_TEST

START_TEST(body_of_unknown_length_is_sent_in_chunks_with_trailers)
{
	struct client c;
	struct probe p = {0};
	char head[1024];

	open_h1(&c, NULL);
	post(&c, &p, "/up", NULL);
	peer_head(c.peer, head, sizeof(head));
	ck_assert_ptr_nonnull(strcasestr(head, "\r\nTransfer-Encoding: chunked\r\n"));
	ck_assert_int_eq(send_body(&p, "hello", false), 0);
	peer_expect(c.peer, "5\r\nhello\r\n");
	ck_assert_int_eq(send_body(&p, ", world", false), 0);
	peer_expect(c.peer, "7\r\n, world\r\n");
	send_trailer(&p, "x-sum", "12");
	peer_expect(c.peer, "0\r\nx-sum: 12\r\n\r\n");
	ck_assert_int_eq(send_body(&p, "late", true), CC_EINVAL); /* the end was given */
	finish_request(&c, &p);
	ck_assert_uint_eq(p.result.sent, 12);
	check_counts(&c, 2, 1, 0, 1);
	client_close(&c);
}
END_TEST

START_TEST(body_of_known_length_is_sent_as_it_is)
{
	struct client c;
	struct probe p = {0};
	char head[1024];

	open_h1(&c, NULL);
	post(&c, &p, "/up", "content-length: 5\n");
	ck_assert_int_eq(send_body(&p, "hello", true), 0);
	peer_head(c.peer, head, sizeof(head));
	ck_assert_ptr_nonnull(strcasestr(head, "\r\nContent-Length: 5\r\n"));
	ck_assert_ptr_null(strcasestr(head, "Transfer-Encoding"));
	peer_expect(c.peer, "hello");
	finish_request(&c, &p);
	ck_assert_uint_eq(p.result.sent, 5);
	client_close(&c);
}
END_TEST

START_TEST(post_without_a_body_says_so)
{
	struct client c;
	struct probe p = {0};
	char head[1024];

	open_h1(&c, NULL);
	ck_assert_int_eq(round_trip(&c, &p, "POST", "/", NULL, CC_RT_END_STREAM), 0);
	peer_head(c.peer, head, sizeof(head));
	ck_assert_ptr_nonnull(strcasestr(head, "\r\nContent-Length: 0\r\n")); /* RFC 9110 8.6 */
	finish_request(&c, &p);
	client_close(&c);
}
END_TEST

/* ---- turns, slots, reservations ---------------------------------------- */

START_TEST(second_round_trip_waits_its_turn)
{
	struct client c;
	struct probe a = {0}, b = {0}, d = {0};

	open_h1(&c, NULL);
	get(&c, &a, "/a");
	get(&c, &b, "/b");
	get(&c, &d, "/d");
	ck_assert_uint_eq(cc_conn_waiting(c.conn), 2);
	check_counts(&c, 1, 0, 1, 0); /* waiting ones count nowhere else */
	expect_request(&c, "GET /a ");
	check_nothing_sent(&c); /* no pipelining */
	peer_say(c.peer, OK_HELLO);
	expect_request(&c, "GET /b ");
	ck_assert_uint_eq(a.done, 1);
	peer_say(c.peer, OK_EMPTY);
	expect_request(&c, "GET /d ");
	finish_request(&c, &d);
	ck_assert_int_eq(a.result.err | b.result.err | d.result.err, 0);
	check_counts(&c, 4, 3, 0, 1);
	probe_free(&a);
	client_close(&c);
}
END_TEST

START_TEST(waiting_round_trip_can_be_cancelled)
{
	struct client c;
	struct probe a = {0}, b = {0}, d = {0};

	open_h1(&c, NULL);
	get(&c, &a, "/a");
	get(&c, &b, "/b");
	get(&c, &d, "/d");
	cc_req_cancel(b.req);
	ck_assert_uint_eq(cc_conn_waiting(c.conn), 1);
	expect_request(&c, "GET /a ");
	peer_say(c.peer, OK_EMPTY);
	expect_request(&c, "GET /d ");
	finish_request(&c, &d);
	ck_assert_uint_eq(b.done, 0);
	check_counts(&c, 3, 2, 0, 1);
	client_close(&c);
}
END_TEST

START_TEST(released_reservation_wakes_who_waits)
{
	struct client c;
	struct probe a = {0};

	open_h1(&c, NULL);
	ck_assert_int_eq(cc_conn_reserve(c.conn), 0);
	get(&c, &a, "/a");
	turns(c.base, 2);
	ck_assert_uint_eq(cc_conn_waiting(c.conn), 1);
	unsigned hooks = c.hooks;
	cc_conn_release(c.conn);
	expect_request(&c, "GET /a ");
	ck_assert_uint_gt(c.hooks, hooks);
	finish_request(&c, &a);
	cc_conn_release(c.conn); /* of nothing: no effect */
	check_counts(&c, 2, 1, 0, 1);
	client_close(&c);
}
END_TEST

START_TEST(length_without_a_body_is_refused)
{
	struct client c;
	struct probe p = {0};

	open_h1(&c, NULL);
	ck_assert_int_eq(round_trip(&c, &p, "POST", "/", "content-length: 5\n", CC_RT_END_STREAM),
		CC_EINVAL);
	check_counts(&c, 1, 0, 0, 1);
	ck_assert_int_eq(
		round_trip(&c, &p, "POST", "/", "content-length: 0\n", CC_RT_END_STREAM), 0);
	client_close(&c);
}
END_TEST

START_TEST(length_that_can_be_understood_in_two_ways_is_refused)
{
	static const char *const fields[] = {"content-length: 5\ncontent-length: 5\n",
		"content-length: 5, 5\n", "content-length: -1\n", "content-length: 0x5\n",
		"content-length: 9223372036854775808\n"};
	struct client c;
	struct probe p = {0};

	open_h1(&c, NULL);
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		ck_assert_msg(round_trip(&c, &p, "POST", "/", fields[i], 0) == CC_EINVAL, "%s",
			fields[i]);
	check_counts(&c, 1, 0, 0, 1);
	client_close(&c);
}
END_TEST

static void check_other_length(const char *first, const char *second, bool eos)
{
	struct client c;
	struct probe p = {0};

	open_h1(&c, NULL);
	post(&c, &p, "/up", "content-length: 5\n");
	ck_assert_int_eq(send_body(&p, first, false), 0);
	expect_request(&c, "POST /up ");
	ck_assert_int_eq(send_body(&p, second, eos), CC_EINVAL);
	wait_done(&p);
	ck_assert_int_eq(p.result.err, CC_EINVAL);
	ck_assert(!p.result.unprocessed);
	ck_assert_uint_eq(p.result.sent, strlen(first));
	check_closed(&c, 1);
	ck_assert_ptr_null(strstr(c.peer->in, "xyz"));
	client_close(&c);
}

/* The bytes that follow would be taken for the next request, or be missing from this one. */
START_TEST(body_of_another_length_than_announced_ends_the_connection)
{
	check_other_length("abc", "xyz", true);
	check_other_length("abc", "xyz", false);
	check_other_length("abc", "x", true);
	check_other_length("abcde", "xyz", false);
}
END_TEST

START_TEST(waiting_body_of_another_length_than_announced_ends_its_request_alone)
{
	struct client c;
	struct probe a = {0}, b = {0};

	open_h1_running(&c, &a, NULL);
	post(&c, &b, "/up", "content-length: 5\n");
	ck_assert_int_eq(send_body(&b, "abc", true), CC_EINVAL);
	wait_done(&b);
	ck_assert_int_eq(b.result.err, CC_EINVAL);
	ck_assert(b.result.unprocessed);
	finish_request(&c, &a);
	check_nothing_sent(&c);
	client_close(&c);
}
END_TEST

START_TEST(round_trip_while_connecting_goes_when_connected)
{
	struct client c;
	struct probe p = {0};

	client_open(&c, peer_unix(event_base_new()), "http", CC_OFFER_H1, NULL);
	check_counts(&c, 0, 0, 0, 0);
	ck_assert_int_eq(cc_conn_proto(c.conn), CC_PROTO_NONE);
	get(&c, &p, "/");
	ck_assert_uint_eq(cc_conn_waiting(c.conn), 1);
	expect_request(&c, "GET / ");
	finish_request(&c, &p);
	client_close(&c);
}
END_TEST

START_TEST(request_that_waited_has_its_body)
{
	struct client c;
	struct probe p = {0};
	char head[1024];

	client_open(&c, peer_unix(event_base_new()), "http", CC_OFFER_H1, NULL);
	post(&c, &p, "/up", NULL);
	ck_assert_int_eq(send_body(&p, "hello", true), 0); /* whole before it could begin */
	peer_head(c.peer, head, sizeof(head));
	if (strcasestr(head, "\r\nTransfer-Encoding: chunked\r\n")) {
		peer_expect(c.peer, "5\r\nhello\r\n0\r\n\r\n");
	} else {
		ck_assert_ptr_nonnull(strcasestr(head, "\r\nContent-Length: 5\r\n"));
		peer_expect(c.peer, "hello");
	}
	finish_request(&c, &p);
	ck_assert_uint_eq(p.result.sent, 5);
	check_counts(&c, 2, 1, 0, 1);
	client_close(&c);
}
END_TEST

START_TEST(failed_dial_ends_waiting_round_trips_as_unprocessed)
{
	struct client c;
	struct probe p = {0};

	open_nowhere(&c);
	get(&c, &p, "/");
	wait_done(&p);
	ck_assert_int_eq(p.result.err, CC_ECONNECT);
	ck_assert_int_eq(p.result.phase, CC_PHASE_QUEUED);
	ck_assert(p.result.unprocessed);
	turns(c.base, 2);
	ck_assert_int_eq(cc_conn_state(c.conn), CC_CLOSED);
	ck_assert_int_eq(cc_conn_err(c.conn), CC_ECONNECT);
	ck_assert_ptr_nonnull(strstr(cc_conn_detail(c.conn), "No such file or directory"));
	ck_assert_uint_eq(c.hooks_closed, 1);
	client_close(&c);
}
END_TEST

/* ---- ends of the connection -------------------------------------------- */

START_TEST(malformed_answers_close)
{
	static const char *const answers[] = {
		"nonsense\r\n\r\n",
		"HTTP/1.1 200 OK\r\nBad Name: x\r\n\r\n",
		"HTTP/1.1 200 OK\r\nA: b\r\n folded\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nZ\r\n",
		"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
	};

	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		struct client c;
		struct probe p = {0};

		open_h1_running(&c, &p, NULL);
		peer_say(c.peer, answers[i]);
		wait_done(&p);
		ck_assert_msg(p.result.err == CC_EPROTO, "%zu: %d", i, p.result.err);
		ck_assert(!p.result.unprocessed);
		turns(c.base, 2);
		ck_assert_int_eq(cc_conn_err(c.conn), CC_EPROTO);
		ck_assert_uint_gt(strlen(cc_conn_detail(c.conn)), 0);
		client_close(&c);
	}
}
END_TEST

START_TEST(head_that_is_too_large_is_refused)
{
	struct client c;
	struct probe p = {0};
	char line[1024];

	open_h1_running(&c, &p, &(struct cc_transport_opts){.max_head = 4096});
	peer_say(c.peer, "HTTP/1.1 200 OK\r\n");
	memset(line, 'x', sizeof(line));
	memcpy(line, "A: ", 3);
	memcpy(line + sizeof(line) - 3, "\r\n", 3);
	for (int i = 0; i < 6; i++)
		peer_say(c.peer, line);
	wait_done(&p);
	ck_assert_int_eq(p.result.err, CC_ETOOBIG);
	ck_assert_int_eq(cc_conn_state(c.conn), CC_CLOSED);
	client_close(&c);
}
END_TEST

START_TEST(early_answer_is_read_although_writing_fails)
{
	struct client c;
	struct probe p = {0};
	char block[32769];

	open_h1(&c, NULL);
	memset(block, 'x', sizeof(block) - 1);
	block[sizeof(block) - 1] = '\0';
	post(&c, &p, "/up", "content-length: 10000000\n");
	expect_request(&c, "POST /up ");
	peer_stall(c.peer, true);
	for (int i = 0; i < 40; i++)
		ck_assert_int_eq(send_body(&p, block, false), 0);
	turns(c.base, 3);
	peer_say(c.peer, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 5\r\n\r\nlarge");
	peer_cut(c.peer); /* with bytes unread: the client's next write fails */
	wait_done(&p);
	ck_assert_uint_eq(p.status, 413);
	ck_assert_int_eq(p.result.err, 0);
	check_body(&p, "large");
	probe_free(&p);
	client_close(&c);
}
END_TEST

/* ---- ends by our own doing --------------------------------------------- */

START_TEST(closing_ends_requests_later_and_once)
{
	struct client c;
	struct probe p = {0}, q = {0};

	open_h1(&c, NULL);
	get(&c, &p, "/");
	get(&c, &q, "/waits");
	expect_request(&c, "GET / ");
	c.in_call = true;
	cc_conn_close(c.conn);
	cc_conn_close(c.conn);
	c.in_call = false;
	ck_assert_int_eq(cc_conn_state(c.conn), CC_CLOSED);
	ck_assert_int_eq(cc_conn_err(c.conn), CC_ECLOSED);
	check_counts(&c, 1, 1, 0, 0);
	wait_done(&p);
	wait_done(&q);
	ck_assert_int_eq(p.result.err, CC_ECANCELED);
	ck_assert(q.result.unprocessed);
	turns(c.base, 2);
	ck_assert_uint_eq(c.hooks_closed, 1);
	client_close(&c);
}
END_TEST

START_TEST(body_for_a_request_that_is_over_is_dropped)
{
	struct client c;
	struct probe p = {0};
	struct cc_buf body;

	open_h1(&c, NULL);
	post(&c, &p, "/up", "content-length: 4\n");
	expect_request(&c, "POST /up ");
	cc_conn_close(c.conn);
	cc_buf_init(&body, c.ctx);
	ck_assert_int_eq(cc_buf_add(&body, "body", 4), 0);
	ck_assert_int_eq(cc_req_send(p.req, &body, true), 0);
	ck_assert_uint_eq(body.len, 0);
	wait_done(&p);
	client_close(&c);
}
END_TEST

START_TEST(request_that_ended_may_still_be_cancelled_before_it_is_told)
{
	struct client c;
	struct probe p = {0};

	open_h1_running(&c, &p, NULL);
	cc_conn_close(c.conn);
	cc_req_cancel(p.req);
	turns(c.base, 3);
	ck_assert_uint_eq(p.done, 0);
	client_close(&c);
}
END_TEST

START_TEST(freeing_calls_nobody)
{
	struct client c;
	struct probe p = {0}, q = {0};

	open_h1(&c, NULL);
	get(&c, &p, "/");
	get(&c, &q, "/waits");
	unsigned hooks = c.hooks;
	cc_conn_free(c.conn);
	c.conn = NULL;
	turns(c.base, 3);
	ck_assert_uint_eq(p.done + q.done, 0);
	ck_assert_uint_eq(c.hooks, hooks);
	cc_conn_free(NULL);
	client_close(&c);
}
END_TEST

START_TEST(draining_finishes_what_runs)
{
	struct client c;
	struct probe p = {0}, q = {0};

	open_h1(&c, NULL);
	get(&c, &p, "/");
	get(&c, &q, "/waits");
	expect_request(&c, "GET / ");
	cc_conn_drain(c.conn);
	cc_conn_drain(c.conn);
	ck_assert_int_eq(cc_conn_state(c.conn), CC_DRAINING);
	check_counts(&c, 1, 0, 1, 0);
	wait_done(&q);
	ck_assert(q.result.unprocessed);
	peer_say(c.peer, OK_HELLO);
	wait_done(&p);
	ck_assert_int_eq(p.result.err, 0);
	turns(c.base, 2);
	ck_assert_int_eq(cc_conn_state(c.conn), CC_CLOSED);
	probe_free(&p);
	client_close(&c);
}
END_TEST

START_TEST(every_act_is_allowed_in_every_callback)
{
	static const enum act acts[] = {ACT_CANCEL, ACT_CLOSE, ACT_FREE};

	for (unsigned where = 0; where < 4; where++) {
		for (size_t i = 0; i < sizeof(acts) / sizeof(acts[0]); i++) {
			struct client c;
			struct probe p = {0}, q = {0};

			if (where == 3 && acts[i] == ACT_CANCEL)
				continue; /* it is over in on_done */
			act_in(&p, where, acts[i]);
			open_h1(&c, NULL);
			get(&c, &p, "/");
			get(&c, &q, "/waits");
			expect_request(&c, "GET / ");
			peer_say(c.peer, "HTTP/1.1 103 Early Hints\r\n\r\n" OK_HELLO);
			if (acts[i] == ACT_CANCEL && where > 0) {
				/* the rest of the answer was short: the connection goes on */
				expect_request(&c, "GET /waits ");
				finish_request(&c, &q);
			} else {
				peer_wait_eof(c.peer);
			}
			turns(c.base, 3);
			check_acted(&p, where, acts[i]);
			ck_assert_uint_eq(q.done, acts[i] != ACT_FREE);
			probe_free(&p);
			client_close(&c);
		}
	}
}
END_TEST

START_TEST(next_request_may_be_made_in_on_done)
{
	struct client c;
	struct probe p = {0}, q = {0};

	p.on_done = ACT_AGAIN;
	p.next = &q;
	open_h1_running(&c, &p, NULL);
	peer_say(c.peer, OK_EMPTY);
	expect_request(&c, "GET /next ");
	peer_say(c.peer, OK_HELLO);
	wait_done(&q);
	ck_assert_int_eq(q.result.err, 0);
	check_counts(&c, 3, 2, 0, 1);
	probe_free(&q);
	client_close(&c);
}
END_TEST

/* ---- limits of time and number ----------------------------------------- */

START_TEST(idle_connection_closes_after_the_idle_timeout)
{
	struct client c;
	struct probe p = {0};

	open_h1(&c, &(struct cc_transport_opts){.idle_timeout = 5000});
	advance(&c, 4000);
	get(&c, &p, "/");
	expect_request(&c, "GET / ");
	advance(&c, 100000); /* under a request nobody is idle */
	ck_assert_int_eq(cc_conn_state(c.conn), CC_READY);
	finish_request(&c, &p);
	advance(&c, 4999);
	ck_assert_int_eq(cc_conn_state(c.conn), CC_READY);
	advance(&c, 1);
	ck_assert_int_eq(cc_conn_state(c.conn), CC_CLOSED);
	ck_assert_int_eq(cc_conn_err(c.conn), CC_ECLOSED);
	ck_assert_str_eq(cc_conn_detail(c.conn), "idle timeout");
	client_close(&c);
}
END_TEST

START_TEST(number_of_requests_is_limited)
{
	struct client c;
	struct probe p[3] = {{0}};

	open_h1(&c, &(struct cc_transport_opts){.max_requests = 2});
	for (int i = 0; i < 3; i++)
		get(&c, &p[i], "/");
	for (int i = 0; i < 2; i++) {
		expect_request(&c, "GET / ");
		finish_request(&c, &p[i]);
	}
	wait_done(&p[2]);
	ck_assert(p[2].result.unprocessed);
	ck_assert_int_eq(cc_conn_state(c.conn), CC_CLOSED);
	check_counts(&c, 2, 2, 0, 0);
	client_close(&c);
}
END_TEST

/* ---- flow --------------------------------------------------------------- */

static void say_body(struct client *c, size_t n)
{
	char head[100];
	char *body = malloc(n);

	memset(body, 'x', n);
	snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", n);
	peer_say(c->peer, head);
	peer_send(c->peer, body, n);
	free(body);
}

/* What the owner has taken and not passed on. */
static void pass_on(struct probe *p)
{
	size_t n = p->taken;

	p->taken = 0;
	cc_req_consumed(p->req, n);
}

START_TEST(reader_that_stops_stops_the_server)
{
	struct client c;
	struct probe p = {.keep = true};
	char head[] = "HTTP/1.1 200 OK\r\nContent-Length: 4000000\r\n\r\n";
	char block[10000];
	size_t sent = 0;

	open_h1_running(&c, &p, &(struct cc_transport_opts){.window = 65536});
	peer_say(c.peer, head);
	memset(block, 'x', sizeof(block));
	while (sent < 4000000) { /* passes on only when nothing comes any more */
		size_t before = p.body_len;

		peer_send(c.peer, block, sizeof(block));
		sent += sizeof(block);
		turns(c.base, 2);
		ck_assert_uint_le(p.taken, 65536 + 16384);
		if (p.body_len == before && p.taken > 0)
			pass_on(&p);
	}
	while (p.done == 0) {
		turns(c.base, 1);
		if (p.req && p.taken > 0)
			pass_on(&p);
	}
	ck_assert_int_eq(p.result.err, 0);
	ck_assert_uint_eq(p.body_len, 4000000);
	probe_free(&p);
	client_close(&c);
}
END_TEST

START_TEST(answer_that_filled_the_window_does_not_stop_the_next)
{
	struct client c;
	struct probe p = {.keep = true}, q = {0};

	open_h1_running(&c, &p, &(struct cc_transport_opts){.window = 16384});
	say_body(&c, 16384);
	wait_done(&p);
	ck_assert_uint_eq(p.body_len, 16384);
	get(&c, &q, "/q");
	expect_request(&c, "GET /q ");
	peer_say(c.peer, OK_HELLO);
	check_answered(&q, "hello");
	probe_free(&p);
	client_close(&c);
}
END_TEST

START_TEST(what_is_passed_on_in_on_body_counts_at_once)
{
	struct client c;
	struct probe p = {0};

	open_h1_running(&c, &p, &(struct cc_transport_opts){.window = 4096});
	say_body(&c, 100000);
	wait_done(&p);
	ck_assert_uint_eq(p.body_len, 100000);
	probe_free(&p);
	client_close(&c);
}
END_TEST

START_TEST(body_left_in_the_buffer_comes_again)
{
	struct client c;
	struct probe p = {.leave = true};

	open_h1_running(&c, &p, NULL);
	peer_say(c.peer, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
	until(c.base, p.bodies == 1);
	ck_assert_uint_eq(p.body_len, 0);
	p.leave = false;
	peer_say(c.peer, "world");
	check_answered(&p, "helloworld");
	client_close(&c);
}
END_TEST

START_TEST(server_that_stops_reading_stops_the_sender)
{
	struct client c;
	struct probe p = {0};
	char block[65537];
	size_t given = 0;

	open_h1(&c, &(struct cc_transport_opts){.window = 65536});
	memset(block, 'x', sizeof(block) - 1);
	block[sizeof(block) - 1] = '\0';
	post(&c, &p, "/up", NULL);
	expect_request(&c, "POST /up ");
	peer_stall(c.peer, true);
	for (int i = 0; i < 1000 && cc_req_room(p.req) > 0; i++) {
		ck_assert_int_eq(send_body(&p, block, false), 0);
		given += sizeof(block) - 1;
		turns(c.base, 2);
	}
	ck_assert_uint_eq(cc_req_room(p.req), 0); /* it did fill */
	ck_assert_uint_eq(p.rooms, 0);
	peer_stall(c.peer, false);
	until(c.base, p.rooms > 0);
	ck_assert_uint_gt(cc_req_room(p.req), 0);
	ck_assert_int_eq(send_body(&p, "", true), 0);
	until(c.base, c.peer->in_len > given &&
			      strcmp(c.peer->in + c.peer->in_len - 5, "0\r\n\r\n") == 0);
	finish_request(&c, &p);
	ck_assert_uint_eq(p.result.sent, given);
	client_close(&c);
}
END_TEST

/* ---- TLS ---------------------------------------------------------------- */

START_TEST(tls_server_without_alpn_gets_http_1)
{
	struct client c;
	struct probe p = {0};

	open_tls(&c, "", CC_OFFER_H1 | CC_OFFER_H2, NULL);
	get(&c, &p, "/");
	expect_request(&c, "GET / ");
	peer_say(c.peer, OK_HELLO);
	wait_done(&p);
	ck_assert_int_eq(cc_conn_proto(c.conn), CC_PROTO_H1);
	check_body(&p, "hello");
	check_counts(&c, 2, 1, 0, 1);
	probe_free(&p);
	client_close(&c);
}
END_TEST

START_TEST(close_notify_ends_a_body_without_length)
{
	struct client c;
	struct probe p = {0};

	open_tls_running(&c, &p);
	peer_say(c.peer, "HTTP/1.1 200 OK\r\n\r\nhello");
	peer_finish(c.peer);
	check_answered(&p, "hello");
	client_close(&c);
}
END_TEST

START_TEST(cut_tls_stream_behind_a_whole_answer_does_not_matter)
{
	struct client c;
	struct probe p = {0};

	open_tls_running(&c, &p);
	peer_say(c.peer, OK_HELLO);
	peer_cut(c.peer);
	wait_done(&p);
	ck_assert_int_eq(p.result.err, 0);
	until(c.base, c.hooks_closed == 1);
	ck_assert_int_eq(cc_conn_err(c.conn), CC_EEOF);
	probe_free(&p);
	client_close(&c);
}
END_TEST

START_TEST(large_answer_over_tls_arrives_whole)
{
	struct client c;
	struct probe p = {0};

	open_tls_running(&c, &p);
	say_body(&c, 1000000);
	wait_done(&p);
	ck_assert_int_eq(p.result.err, 0);
	ck_assert_uint_eq(p.body_len, 1000000);
	probe_free(&p);
	client_close(&c);
}
END_TEST

START_TEST(failed_handshake_is_told_with_its_reason)
{
	struct client c;
	struct probe p = {0};
	struct peer *peer = peer_unix(event_base_new());
	struct ssl_ctx_st *server = peer_tls_server("DNS:www.example.test", 30);
	struct ssl_ctx_st *client = peer_tls_client(server);
	struct cc_transport_opts opts = {.tls = client, .tls_name = "api.example.test"};

	peer_use_tls(peer, server, "");
	client_open(&c, peer, "https", CC_OFFER_H1, &opts);
	SSL_CTX_free(server);
	SSL_CTX_free(client);
	get(&c, &p, "/");
	wait_done(&p);
	ck_assert_int_eq(p.result.err, CC_ECERT);
	ck_assert(p.result.unprocessed);
	ck_assert_ptr_nonnull(strstr(cc_conn_detail(c.conn), "hostname mismatch"));
	client_close(&c);
}
END_TEST

/* ---- ends without a byte ----------------------------------------------- */

START_TEST(body_that_never_left_is_unsent)
{
	struct client c;
	struct probe a = {0}, b = {0};
	char head[512];

	open_h1(&c, NULL);
	get(&c, &a, "/a");
	post(&c, &b, "/b", "content-length: 4\n");
	ck_assert_int_eq(send_body(&b, "body", true), 0);
	peer_head(c.peer, head, sizeof(head));
	peer_say(c.peer, "HTTP/1.1 204 No Content\r\n\r\n");
	peer_cut(c.peer); /* the second request meets a closed socket */
	wait_done(&b);
	ck_assert_int_eq(a.result.err, 0);
	ck_assert_int_ne(b.result.err, 0);
	ck_assert_int_eq(b.result.phase, CC_PHASE_QUEUED);
	ck_assert(b.result.unprocessed);
	check_counts(&c, 1, 1, 0, 0);
	client_close(&c);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		answer_brings_head_body_and_end,
		answers_to_head_and_304_have_no_body_whatever_their_fields_say,
		chunked_answer_comes_without_its_framing_and_with_its_trailers,
		answer_may_come_in_single_bytes,
		body_of_unknown_length_is_sent_in_chunks_with_trailers,
		body_of_known_length_is_sent_as_it_is,
		post_without_a_body_says_so,
		second_round_trip_waits_its_turn,
		waiting_round_trip_can_be_cancelled,
		released_reservation_wakes_who_waits,
		length_without_a_body_is_refused,
		length_that_can_be_understood_in_two_ways_is_refused,
		body_of_another_length_than_announced_ends_the_connection,
		waiting_body_of_another_length_than_announced_ends_its_request_alone,
		round_trip_while_connecting_goes_when_connected,
		request_that_waited_has_its_body,
		failed_dial_ends_waiting_round_trips_as_unprocessed,
		malformed_answers_close,
		head_that_is_too_large_is_refused,
		early_answer_is_read_although_writing_fails,
		closing_ends_requests_later_and_once,
		body_for_a_request_that_is_over_is_dropped,
		request_that_ended_may_still_be_cancelled_before_it_is_told,
		freeing_calls_nobody,
		draining_finishes_what_runs,
		every_act_is_allowed_in_every_callback,
		next_request_may_be_made_in_on_done,
		idle_connection_closes_after_the_idle_timeout,
		number_of_requests_is_limited,
		reader_that_stops_stops_the_server,
		answer_that_filled_the_window_does_not_stop_the_next,
		what_is_passed_on_in_on_body_counts_at_once,
		body_left_in_the_buffer_comes_again,
		server_that_stops_reading_stops_the_sender,
		tls_server_without_alpn_gets_http_1,
		close_notify_ends_a_body_without_length,
		cut_tls_stream_behind_a_whole_answer_does_not_matter,
		large_answer_over_tls_arrives_whole,
		failed_handshake_is_told_with_its_reason,
		body_that_never_left_is_unsent,
	};

	return run_suite_twice("h1", tests, sizeof(tests) / sizeof(tests[0]));
}
