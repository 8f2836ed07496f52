/* test_h2.c - an HTTP/2 connection of the public API against a scripted server (RFC 9113). */
#include <arpa/inet.h>
#include <string.h>

#include "tests/conn/fixture.h"

/* ---- the first SETTINGS ------------------------------------------------ */

START_TEST(first_request_rides_with_the_preface)
{
	struct client c;
	struct probe p = {0}, q = {0};
	uint32_t stream;

	client_open(&c, peer_unix(event_base_new()), "http", CC_OFFER_H2, NULL);
	ck_assert(!cc_conn_multiplexed(c.conn));
	wait_state(&c, CC_READY);
	ck_assert_int_eq(cc_conn_proto(c.conn), CC_PROTO_H2);
	ck_assert(cc_conn_multiplexed(c.conn));
	ck_assert(!cc_conn_limits_known(c.conn));
	check_counts(&c, 1, 0, 0, 1);
	get(&c, &p, "/a");
	get(&c, &q, "/b");
	check_counts(&c, 1, 0, 1, 0);
	ck_assert_uint_eq(cc_conn_waiting(c.conn), 1);
	peer_accept(c.peer);
	h2_preface(c.peer);
	stream = h2_request(c.peer); /* although the server has not said a word */
	ck_assert_uint_eq(stream, 1);
	ck_assert_str_eq(c.peer->path, "/a");

	h2_setting(c.peer, H2_MAX_STREAMS, 10);
	ck_assert_uint_eq(h2_request(c.peer), 3);
	ck_assert_str_eq(c.peer->path, "/b");
	ck_assert(cc_conn_limits_known(c.conn));
	check_counts(&c, 10, 0, 2, 8);
	h2_answer(c.peer, 1, 200, "a");
	h2_answer(c.peer, 3, 200, "b");
	check_answered(&p, "a");
	check_answered(&q, "b");
	check_counts(&c, 12, 2, 0, 10);
	client_close(&c);
}
END_TEST

START_TEST(server_of_another_protocol_is_an_error)
{
	struct client c;
	struct probe p = {0};

	client_open(&c, peer_unix(event_base_new()), "http", CC_OFFER_H2, NULL);
	get(&c, &p, "/");
	peer_accept(c.peer);
	peer_say(c.peer, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
	wait_done(&p);
	turns(c.base, 2);
	ck_assert_int_eq(p.result.err, CC_EPROTO);
	ck_assert_int_eq(cc_conn_err(c.conn), CC_EPROTO);
	client_close(&c);
}
END_TEST

/* ---- requests ----------------------------------------------------------- */

START_TEST(answer_brings_head_body_trailers_and_end)
{
	struct client c;
	struct probe p = {0};
	uint32_t s;

	open_h2(&c, 10, NULL);
	ck_assert_int_eq(
		round_trip(&c, &p, "GET", "/a", "accept: text/plain\n", CC_RT_END_STREAM), 0);
	check_counts(&c, 10, 0, 1, 9);
	s = h2_request(c.peer);
	ck_assert_int_ne(c.peer->frame.flags & H2_END_STREAM, 0);
	ck_assert_str_eq(c.peer->method, "GET");
	ck_assert_str_eq(c.peer->authority, "api.example.test");
	ck_assert_ptr_nonnull(strstr(c.peer->fields, ":scheme: http\n"));
	ck_assert_ptr_nonnull(strstr(c.peer->fields, "accept: text/plain\n"));
	h2_respond(c.peer, s, 103, "link: </x>\n", false);
	h2_respond(c.peer, s, 200, "x-kind: greeting\n", false);
	h2_data(c.peer, s, "hel", false);
	h2_data(c.peer, s, "lo", false);
	unsigned hooks = c.hooks;
	h2_respond(c.peer, s, 0, "x-sum: 5\n", true);
	wait_done(&p);
	turns(c.base, 2);
	ck_assert_int_eq(p.result.err, 0);
	ck_assert_uint_eq(p.infos, 1);
	ck_assert_uint_eq(p.info_status, 103);
	ck_assert_uint_eq(p.status, 200);
	ck_assert_str_eq(p.fields, "x-kind: greeting\n");
	check_body(&p, "hello");
	ck_assert_str_eq(p.trailers, "x-sum: 5\n");
	check_counts(&c, 11, 1, 0, 10);
	ck_assert_uint_eq(c.hooks, hooks + 1);
	probe_free(&p);
	client_close(&c);
}
END_TEST

START_TEST(frames_may_come_in_single_bytes)
{
	struct client c;
	struct probe p = {0};
	/*
	 * HEADERS with :status 200 (static table), DATA "hello" with END_STREAM, both on stream 1
	 */
	static const char frames[] = "\0\0\1\1\4\0\0\0\1\x88"
				     "\0\0\5\0\1\0\0\0\1hello";

	open_h2(&c, 10, NULL);
	get(&c, &p, "/");
	ck_assert_uint_eq(h2_request(c.peer), 1);
	for (size_t i = 0; i < sizeof(frames) - 1; i++) {
		ck_assert_uint_eq(p.done, 0);
		peer_send(c.peer, frames + i, 1);
		turns(c.base, 2);
	}
	check_answered(&p, "hello");
	client_close(&c);
}
END_TEST

START_TEST(answers_interleave)
{
	struct client c;
	struct probe p = {0}, q = {0};
	uint32_t a, b;

	open_h2(&c, 10, NULL);
	get(&c, &p, "/a");
	get(&c, &q, "/b");
	a = h2_request(c.peer);
	b = h2_request(c.peer);
	h2_respond(c.peer, b, 200, NULL, false);
	h2_respond(c.peer, a, 200, NULL, false);
	h2_data(c.peer, a, "a1", false);
	h2_data(c.peer, b, "b1", false);
	h2_data(c.peer, a, "a2", true);
	h2_data(c.peer, b, "b2", true);
	check_answered(&p, "a1a2");
	check_answered(&q, "b1b2");
	client_close(&c);
}
END_TEST

START_TEST(request_body_is_followed_by_its_trailers)
{
	struct client c;
	struct probe p = {0};
	uint32_t s;

	open_h2(&c, 10, NULL);
	post(&c, &p, "/up", NULL);
	s = h2_request(c.peer);
	ck_assert_int_eq(c.peer->frame.flags & H2_END_STREAM, 0);
	ck_assert_int_eq(send_body(&p, "hello", false), 0);
	h2_wait(c.peer, H2_DATA);
	ck_assert_uint_eq(c.peer->frame.stream, s);
	ck_assert_str_eq((char *)c.peer->frame.payload, "hello");
	ck_assert_int_eq(c.peer->frame.flags & H2_END_STREAM, 0);
	send_trailer(&p, "x-sum", "5");
	h2_wait(c.peer, H2_HEADERS);
	ck_assert_uint_eq(c.peer->frame.stream, s);
	ck_assert_int_ne(c.peer->frame.flags & H2_END_STREAM, 0);
	ck_assert_str_eq(c.peer->fields, "x-sum: 5\n");
	h2_answer(c.peer, s, 200, "ok");
	wait_done(&p);
	ck_assert_int_eq(p.result.err, 0);
	ck_assert_uint_eq(p.result.sent, 5);
	probe_free(&p);
	client_close(&c);
}
END_TEST

static int send_end(struct probe *p, const char *text, bool trailers)
{
	struct cc_head *head;
	int err;

	if (!trailers)
		return send_body(p, text, true);
	head = cc_head_new(p->client->ctx);
	ck_assert_int_eq(cc_head_add(head, CC_STR("x-sum"), CC_STR("5")), 0);
	err = cc_req_send_trailers(p->req, head);
	cc_head_free(head);
	return err;
}

static void check_other_length(const char *first, const char *second, bool trailers)
{
	struct client c;
	struct probe p[2] = {{0}};

	open_h2(&c, 10, NULL);
	post(&c, &p[0], "/up", "content-length: 5\n");
	get(&c, &p[1], "/");
	ck_assert_int_eq(send_body(&p[0], first, false), 0);
	h2_wait(c.peer, H2_DATA);
	ck_assert_str_eq((char *)c.peer->frame.payload, first);
	ck_assert_int_eq(send_end(&p[0], second, trailers), CC_EINVAL);
	h2_wait(c.peer, H2_RST_STREAM); /* no other frame of this stream is skipped: see below */
	ck_assert_uint_eq(c.peer->frame.stream, 1);
	ck_assert_uint_eq(h2_u32(c.peer, 0), H2_CANCEL);
	ck_assert_ptr_null(memmem(c.peer->in, c.peer->in_len, "xyz", 3));
	wait_done(&p[0]);
	ck_assert_int_eq(p[0].result.err, CC_EINVAL);
	ck_assert(!p[0].result.unprocessed);
	ck_assert_uint_eq(p[0].result.sent, strlen(first));
	check_counts(&c, 11, 1, 1, 9);
	h2_answer(c.peer, 3, 200, "ok");
	check_answered(&p[1], "ok");
	ck_assert_int_eq(cc_conn_state(c.conn), CC_READY);
	client_close(&c);
}

/* RFC 9113 8.1.1: a server calls it a protocol error, which would end the neighbours, too. */
START_TEST(body_of_another_length_than_announced_resets_its_stream_alone)
{
	check_other_length("abc", "xyz", false);
	check_other_length("abc", "x", false);
	check_other_length("abc", "", true);
	check_other_length("abcde", "xyz", false);
}
END_TEST

START_TEST(body_of_the_length_announced_may_come_in_pieces_and_have_trailers)
{
	struct client c;
	struct probe p = {0};

	open_h2(&c, 10, NULL);
	post(&c, &p, "/up", "content-length: 5\n");
	ck_assert_int_eq(send_body(&p, "abc", false), 0);
	ck_assert_int_eq(send_body(&p, "de", false), 0);
	send_trailer(&p, "x-sum", "5");
	ck_assert_uint_eq(h2_request(c.peer), 1);
	h2_wait(c.peer, H2_HEADERS);
	ck_assert_str_eq(c.peer->fields, "x-sum: 5\n");
	h2_answer(c.peer, 1, 200, "ok");
	check_answered(&p, "ok");
	client_close(&c);
}
END_TEST

START_TEST(request_body_ends_its_stream)
{
	struct client c;
	struct probe p = {0};
	uint32_t s;

	open_h2(&c, 10, NULL);
	post(&c, &p, "/up", NULL);
	ck_assert_int_eq(send_body(&p, "hello", true), 0);
	s = h2_request(c.peer);
	do
		h2_wait(c.peer, H2_DATA);
	while (c.peer->frame.n == 0 && !(c.peer->frame.flags & H2_END_STREAM));
	ck_assert_str_eq((char *)c.peer->frame.payload, "hello");
	if (!(c.peer->frame.flags & H2_END_STREAM))
		h2_wait(c.peer, H2_DATA);
	ck_assert_int_ne(c.peer->frame.flags & H2_END_STREAM, 0);
	finish_stream(&c, &p, s);
	client_close(&c);
}
END_TEST

START_TEST(request_that_waited_has_its_body_and_trailers)
{
	struct client c;
	struct probe first = {0}, body = {0}, trailing = {0};

	open_h2(&c, 1, NULL);
	get(&c, &first, "/");
	post(&c, &body, "/body", NULL);
	ck_assert_int_eq(send_body(&body, "hello", true), 0); /* whole before it could begin */
	post(&c, &trailing, "/trailers", NULL);
	send_trailer(&trailing, "x-sum", "5");
	ck_assert_uint_eq(cc_conn_waiting(c.conn), 2);

	h2_answer(c.peer, h2_request(c.peer), 204, "");
	ck_assert_uint_eq(h2_request(c.peer), 3);
	ck_assert_int_eq(c.peer->frame.flags & H2_END_STREAM, 0);
	h2_wait(c.peer, H2_DATA);
	ck_assert_str_eq((char *)c.peer->frame.payload, "hello");
	ck_assert_int_ne(c.peer->frame.flags & H2_END_STREAM, 0);
	h2_answer(c.peer, 3, 204, "");
	ck_assert_uint_eq(h2_request(c.peer), 5);
	ck_assert_int_eq(c.peer->frame.flags & H2_END_STREAM, 0);
	h2_wait(c.peer, H2_HEADERS);
	ck_assert_str_eq(c.peer->fields, "x-sum: 5\n");
	ck_assert_int_ne(c.peer->frame.flags & H2_END_STREAM, 0);
	finish_stream(&c, &trailing, 5);
	ck_assert_int_eq(first.result.err | body.result.err | trailing.result.err, 0);
	client_close(&c);
}
END_TEST

START_TEST(slot_is_told_even_without_a_body)
{
	struct client c;
	struct probe p[50] = {{0}};

	open_h2(&c, 1, NULL);
	for (int i = 0; i < 50; i++)
		get(&c, &p[i], "/");
	for (int i = 0; i < 50; i++) {
		uint32_t s = h2_request(c.peer);

		ck_assert_uint_eq(cc_conn_in_flight(c.conn), 1);
		if (i % 3 == 0)
			h2_respond(c.peer, s, 204, NULL, true);
		else if (i % 3 == 1)
			h2_reset(c.peer, s, H2_INTERNAL_ERROR);
		else
			h2_answer(c.peer, s, 200, "x");
	}
	for (int i = 0; i < 50; i++) {
		wait_done(&p[i]);
		probe_free(&p[i]);
	}
	turns(c.base, 2);
	ck_assert_uint_eq(c.completed_seen, 50); /* what the hook saw adds up */
	check_counts(&c, 51, 50, 0, 1);
	client_close(&c);
}
END_TEST

/* ---- capacity ------------------------------------------------------------ */

START_TEST(our_own_limit_stays_below_the_servers)
{
	struct client c;
	struct probe p[3] = {{0}};

	open_h2(&c, 100, &(struct cc_transport_opts){.max_concurrent = 2});
	for (int i = 0; i < 3; i++)
		get(&c, &p[i], "/");
	check_counts(&c, 2, 0, 2, 0);
	ck_assert_uint_eq(cc_conn_waiting(c.conn), 1);
	client_close(&c);
}
END_TEST

START_TEST(number_of_requests_is_limited)
{
	struct client c;
	struct probe p[3] = {{0}};

	open_h2(&c, 10, &(struct cc_transport_opts){.max_requests = 2});
	check_counts(&c, 2, 0, 0, 2);
	begin(&c, p, 2);
	check_counts(&c, 2, 0, 2, 0);
	finish_stream(&c, &p[0], 1);
	check_counts(&c, 2, 1, 1, 0);
	finish_stream(&c, &p[1], 3);
	turns(c.base, 2);
	ck_assert_int_eq(cc_conn_state(c.conn), CC_CLOSED);
	check_counts(&c, 2, 2, 0, 0);
	client_close(&c);
}
END_TEST

/* ---- ends of a request ---------------------------------------------------- */

START_TEST(refused_stream_behind_an_answer_is_not_called_unprocessed)
{
	struct client c;
	struct probe p = {0};

	open_h2_running(&c, &p, 1);
	h2_respond(c.peer, 1, 200, NULL, false);
	h2_reset(c.peer, 1, H2_REFUSED_STREAM);
	wait_done(&p);
	ck_assert_int_ne(p.result.err, 0);
	ck_assert(!p.result.unprocessed);
	client_close(&c);
}
END_TEST

START_TEST(head_that_is_too_large_ends_its_request)
{
	struct client c;
	struct probe p[2] = {{0}};
	char fields[2048] = "", one[120];

	open_h2(&c, 10, &(struct cc_transport_opts){.max_head = 1024});
	begin(&c, p, 2);
	memset(one, 'x', sizeof(one));
	memcpy(one, "a: ", 3);
	memcpy(one + sizeof(one) - 2, "\n", 2);
	for (int i = 0; i < 12; i++)
		strcat(fields, one);
	h2_respond(c.peer, 1, 200, fields, true);
	wait_done(&p[0]);
	ck_assert_int_eq(p[0].result.err, CC_ETOOBIG);
	h2_answer(c.peer, 3, 200, "ok");
	wait_done(&p[1]);
	ck_assert_int_eq(p[1].result.err, 0);
	probe_free(&p[1]);
	client_close(&c);
}
END_TEST

START_TEST(interim_answers_without_end_end_their_request)
{
	struct client c;
	struct probe p[2] = {{0}};

	open_h2(&c, 10, &(struct cc_transport_opts){.max_head = 1024});
	begin(&c, p, 2);
	for (int i = 0; i < 30; i++)
		h2_respond(
			c.peer, 1, 103, NULL, false); /* not one field: they count all the same */
	wait_done(&p[0]);
	ck_assert_int_eq(p[0].result.err, CC_ETOOBIG);
	h2_answer(c.peer, 3, 200, "ok");
	wait_done(&p[1]);
	ck_assert_int_eq(p[1].result.err, 0);
	probe_free(&p[1]);
	client_close(&c);
}
END_TEST

START_TEST(cancelled_request_resets_its_stream_only)
{
	struct client c;
	struct probe p[2] = {{0}};

	open_h2_running(&c, p, 2);
	cc_req_cancel(p[0].req);
	h2_wait(c.peer, H2_RST_STREAM);
	ck_assert_uint_eq(c.peer->frame.stream, 1);
	ck_assert_uint_eq(h2_u32(c.peer, 0), H2_CANCEL);
	h2_answer(c.peer, 1, 200, "nobody wants this"); /* was on its way */
	h2_answer(c.peer, 3, 200, "ok");
	check_answered(&p[1], "ok");
	ck_assert_uint_eq(p[0].done + p[0].heads, 0);
	ck_assert_int_eq(cc_conn_state(c.conn), CC_READY);
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
			open_h2_running(&c, &p, 1);
			get(&c, &q, "/q");
			h2_request(c.peer);
			h2_respond(c.peer, 1, 103, NULL, false);
			h2_respond(c.peer, 1, 200, NULL, false);
			h2_data(c.peer, 1, "hello", false);
			h2_respond(c.peer, 1, 0, "a: b\n", true);
			if (acts[i] == ACT_CANCEL)
				h2_answer(c.peer, 3, 200, "ok");
			else
				peer_wait_eof(c.peer);
			turns(c.base, 3);
			check_acted(&p, where, acts[i]);
			ck_assert_uint_eq(q.done, acts[i] != ACT_FREE);
			ck_assert_uint_eq(q.heads, acts[i] == ACT_CANCEL);
			probe_free(&p);
			probe_free(&q);
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
	open_h2(&c, 1, NULL);
	begin(&c, &p, 1);
	h2_answer(c.peer, 1, 200, "a");
	ck_assert_uint_eq(h2_request(c.peer), 3);
	h2_answer(c.peer, 3, 200, "b");
	check_answered(&q, "b");
	probe_free(&p);
	client_close(&c);
}
END_TEST

/* ---- ends of the connection ------------------------------------------------ */

START_TEST(end_of_the_connection_ends_each_request_by_how_far_it_got)
{
	struct client c;
	struct probe p[4] = {{0}};

	open_h2(&c, 3, NULL);
	for (int i = 0; i < 4; i++)
		get(&c, &p[i], "/");
	for (int i = 0; i < 3; i++)
		h2_request(c.peer);
	h2_answer(c.peer, 1, 200, "whole");
	h2_respond(c.peer, 3, 200, NULL, false);
	h2_data(c.peer, 3, "part", false);
	peer_finish(c.peer);
	for (int i = 0; i < 4; i++)
		wait_done(&p[i]);
	ck_assert_int_eq(p[0].result.err, 0);
	check_body(&p[0], "whole");
	ck_assert_int_eq(p[1].result.err, CC_EEOF);
	ck_assert_int_eq(p[1].result.phase, CC_PHASE_RECEIVING);
	check_body(&p[1], "part");
	ck_assert_int_eq(p[2].result.err, CC_EEOF);
	ck_assert_int_eq(p[2].result.phase, CC_PHASE_WAITING);
	ck_assert(!p[2].result.unprocessed);
	ck_assert_int_eq(p[3].result.err, CC_EEOF);
	turns(c.base, 2);
	ck_assert_uint_eq(c.hooks_closed, 1);
	ck_assert_uint_eq(cc_conn_requests_completed(c.conn), cc_conn_request_limit(c.conn));
	for (int i = 0; i < 4; i++)
		probe_free(&p[i]);
	client_close(&c);
}
END_TEST

START_TEST(waiting_round_trip_is_unprocessed_when_the_connection_ends)
{
	struct client c;
	struct probe p = {0}, q = {0};

	open_h2(&c, 1, NULL);
	begin(&c, &p, 1);
	get(&c, &q, "/waits");
	peer_finish(c.peer);
	wait_done(&q);
	ck_assert(q.result.unprocessed);
	ck_assert_int_eq(q.result.phase, CC_PHASE_QUEUED);
	check_counts(&c, 1, 1, 0, 0);
	client_close(&c);
}
END_TEST

START_TEST(errors_of_the_connection_end_it)
{
	for (int i = 0; i < 4; i++) {
		struct client c;
		struct probe p = {0};

		open_h2_running(&c, &p, 1);
		switch (i) {
		case 0: /* PUSH_PROMISE although we said ENABLE_PUSH=0 */
			h2_send(c.peer, H2_PUSH_PROMISE, H2_END_HEADERS, 1, "\0\0\0\2\x82", 5);
			break;
		case 1: /* DATA on a stream that nobody opened */
			h2_data(c.peer, 99, "x", false);
			break;
		case 2: /* a compression error */
			h2_send(c.peer, H2_HEADERS, H2_END_HEADERS, 1, "\xff\xff\xff\xff\xff", 5);
			break;
		case 3: /* a PING of the wrong size */
			h2_send(c.peer, H2_PING, 0, 0, "1234", 4);
			break;
		}
		wait_done(&p);
		ck_assert_int_ne(p.result.err, 0);
		ck_assert(!p.result.unprocessed);
		until(c.base, c.hooks_closed == 1);
		ck_assert_msg(
			cc_conn_err(c.conn) == CC_EPROTO, "case %d: %d", i, cc_conn_err(c.conn));
		client_close(&c);
	}
}
END_TEST

/* ---- signs of life ---------------------------------------------------------- */

START_TEST(answered_ping_keeps_the_connection)
{
	struct client c;
	struct probe p = {0};

	open_h2(&c, 10, &(struct cc_transport_opts){.ping_after = 8000, .ping_timeout = 4000});
	begin(&c, &p, 1);
	for (int i = 0; i < 3; i++) {
		advance(&c, 9000);
		h2_wait(c.peer, H2_PING);
		h2_send(c.peer, H2_PING, H2_ACK, 0, c.peer->frame.payload, 8);
		turns(c.base, 3);
		advance(&c, 4000);
		ck_assert_int_eq(cc_conn_state(c.conn), CC_READY);
	}
	h2_answer(c.peer, 1, 200, "late");
	check_answered(&p, "late");
	client_close(&c);
}
END_TEST

START_TEST(idle_connection_is_not_pinged_and_closes_in_time)
{
	struct client c;

	open_h2(&c, 10,
		&(struct cc_transport_opts){
			.ping_after = 1000, .ping_timeout = 1000, .idle_timeout = 20000});
	drop_sent(&c); /* the ACK of our SETTINGS */
	advance(&c, 19999);
	ck_assert_uint_eq(c.peer->in_len, 0);
	ck_assert_int_eq(cc_conn_state(c.conn), CC_READY);
	advance(&c, 1);
	ck_assert_int_eq(cc_conn_state(c.conn), CC_CLOSED);
	ck_assert_int_eq(cc_conn_err(c.conn), CC_ECLOSED);
	h2_wait(c.peer, H2_GOAWAY);
	client_close(&c);
}
END_TEST

START_TEST(ping_of_the_server_is_answered)
{
	struct client c;

	open_h2(&c, 10, NULL);
	h2_send(c.peer, H2_PING, 0, 0, "12345678", 8);
	h2_wait(c.peer, H2_PING);
	ck_assert_int_ne(c.peer->frame.flags & H2_ACK, 0);
	ck_assert_str_eq((char *)c.peer->frame.payload, "12345678");
	client_close(&c);
}
END_TEST

/* ---- flow control ------------------------------------------------------------- */

/* n bytes of DATA. */
static void send_data(struct client *c, uint32_t stream, size_t n, bool end)
{
	static const char block[16384];

	while (n > 0) {
		size_t part = n < sizeof(block) ? n : sizeof(block);

		n -= part;
		h2_send(c->peer, H2_DATA, end && n == 0 ? H2_END_STREAM : 0u, stream, block, part);
	}
}

START_TEST(reader_that_stops_stops_its_own_stream_only)
{
	struct client c;
	struct probe slow = {.keep = true}, other = {0};

	open_h2(&c, 10, &(struct cc_transport_opts){.window = 65536, .conn_window = 131072});
	begin(&c, &slow, 1);
	h2_respond(c.peer, 1, 200, NULL, false);
	send_data(&c, 1, 65536, false);
	until(c.base, slow.body_len == 65536);
	turns(c.base, 3);
	/* The connection's window is given back, the stream's is not. */
	get(&c, &other, "/");
	h2_wait(c.peer, H2_WINDOW_UPDATE);
	ck_assert_uint_eq(c.peer->frame.stream, 0);
	h2_request(c.peer);
	h2_answer(c.peer, 3, 200, "ok");
	wait_done(&other);
	ck_assert_uint_eq(c.peer->in_len, 0);

	cc_req_consumed(slow.req, slow.taken);
	do
		h2_wait(c.peer, H2_WINDOW_UPDATE);
	while (c.peer->frame.stream != 1);
	ck_assert_uint_gt(h2_u32(c.peer, 0), 32768);
	h2_data(c.peer, 1, "rest", true);
	wait_done(&slow);
	ck_assert_int_eq(slow.result.err, 0);
	probe_free(&slow);
	probe_free(&other);
	client_close(&c);
}
END_TEST

START_TEST(more_than_the_window_is_an_error)
{
	struct client c;
	struct probe p = {.keep = true};

	open_h2(&c, 10, &(struct cc_transport_opts){.window = 65536});
	begin(&c, &p, 1);
	h2_respond(c.peer, 1, 200, NULL, false);
	send_data(&c, 1, 65537, false);
	wait_done(&p);
	ck_assert_int_ne(p.result.err, 0);
	probe_free(&p);
	client_close(&c);
}
END_TEST

START_TEST(long_answer_flows_through_a_small_window)
{
	struct client c;
	struct probe p = {0};
	size_t window = 16384, left = 1000000;

	open_h2(&c, 10, &(struct cc_transport_opts){.window = 16384});
	begin(&c, &p, 1);
	h2_respond(c.peer, 1, 200, NULL, false);
	while (left > 0) {
		size_t n = left < window ? left : window;

		send_data(&c, 1, n, n == left);
		left -= n;
		window -= n;
		while (left > 0 && window == 0) {
			h2_wait(c.peer, H2_WINDOW_UPDATE);
			if (c.peer->frame.stream == 1)
				window += h2_u32(c.peer, 0);
		}
	}
	wait_done(&p);
	ck_assert_int_eq(p.result.err, 0);
	ck_assert_uint_eq(p.body_len, 1000000);
	probe_free(&p);
	client_close(&c);
}
END_TEST

START_TEST(request_body_respects_the_servers_window)
{
	struct client c;
	struct probe p = {0};
	char block[100001];
	size_t got = 0;
	uint32_t more = htonl(100000);

	open_h2(&c, 10, &(struct cc_transport_opts){.window = 65536});
	memset(block, 'x', sizeof(block) - 1);
	block[sizeof(block) - 1] = '\0';
	post(&c, &p, "/up", NULL);
	h2_request(c.peer);
	ck_assert_uint_eq(cc_req_room(p.req), 65536);
	ck_assert_int_eq(send_body(&p, block, false), 0);
	while (got < 65535) { /* the initial window of RFC 9113 6.9.2 */
		h2_wait(c.peer, H2_DATA);
		got += c.peer->frame.n;
	}
	ck_assert_uint_eq(got, 65535);
	ck_assert_uint_gt(cc_req_room(p.req), 0); /* 34465 left of 65536 */
	ck_assert_int_eq(send_body(&p, block, true), 0);
	ck_assert_uint_eq(cc_req_room(p.req), 0);
	check_nothing_sent(&c);

	h2_send(c.peer, H2_WINDOW_UPDATE, 0, 0, &more, 4);
	h2_send(c.peer, H2_WINDOW_UPDATE, 0, 1, &more, 4);
	while (got < 165535) {
		h2_wait(c.peer, H2_DATA);
		got += c.peer->frame.n;
	}
	until(c.base, p.rooms == 1);
	ck_assert_uint_gt(cc_req_room(p.req), 0);
	h2_send(c.peer, H2_WINDOW_UPDATE, 0, 0, &more, 4);
	h2_send(c.peer, H2_WINDOW_UPDATE, 0, 1, &more, 4);
	do {
		h2_wait(c.peer, H2_DATA);
		got += c.peer->frame.n;
	} while (!(c.peer->frame.flags & H2_END_STREAM));
	ck_assert_uint_eq(got, 200000);
	finish_stream(&c, &p, 1);
	ck_assert_uint_eq(p.result.sent, 200000);
	client_close(&c);
}
END_TEST

/* ---- TLS ------------------------------------------------------------------------ */

START_TEST(alpn_chooses_http_2)
{
	struct client c;
	struct probe p = {0};

	open_tls(&c, "h2", CC_OFFER_H1 | CC_OFFER_H2, NULL);
	get(&c, &p, "/");
	h2_begin(c.peer, 10);
	ck_assert_uint_eq(h2_request(c.peer), 1);
	h2_answer(c.peer, 1, 200, "hello");
	wait_done(&p);
	ck_assert_int_eq(cc_conn_proto(c.conn), CC_PROTO_H2);
	check_body(&p, "hello");
	peer_finish(c.peer);
	until(c.base, c.hooks_closed == 1);
	ck_assert_int_eq(cc_conn_err(c.conn), CC_EEOF);
	probe_free(&p);
	client_close(&c);
}
END_TEST

START_TEST(server_that_does_not_agree_to_http_2_is_an_error)
{
	struct client c;
	struct probe p = {0};

	open_tls(&c, "", CC_OFFER_H2, NULL);
	get(&c, &p, "/");
	wait_done(&p);
	ck_assert(p.result.unprocessed);
	turns(c.base, 2);
	ck_assert_int_eq(cc_conn_err(c.conn), CC_EPROTO);
	ck_assert_ptr_nonnull(strstr(cc_conn_detail(c.conn), "ALPN"));
	client_close(&c);
}
END_TEST

START_TEST(cut_tls_stream_ends_what_is_not_whole)
{
	struct client c;
	struct probe p[2] = {{0}};

	open_tls(&c, "h2", CC_OFFER_H2, NULL);
	wait_state(&c, CC_READY);
	h2_begin(c.peer, 10);
	until(c.base, cc_conn_limits_known(c.conn));
	begin(&c, p, 2);
	h2_answer(c.peer, 1, 200, "whole");
	h2_respond(c.peer, 3, 200, NULL, false);
	h2_data(c.peer, 3, "part", false);
	peer_cut(c.peer);
	wait_done(&p[0]);
	wait_done(&p[1]);
	ck_assert_int_eq(p[0].result.err, 0);
	ck_assert_int_eq(p[1].result.err, CC_EEOF);
	probe_free(&p[0]);
	probe_free(&p[1]);
	client_close(&c);
}
END_TEST

/* ---- slots and ends of them ------------------------------------------------------ */

/* Two reservations, one stream in use, and a limit that fell to 1. */
static void open_shrunk(struct client *c, struct probe *running)
{
	open_h2(c, 3, NULL);
	get(c, running, "/running");
	ck_assert_int_eq(cc_conn_reserve(c->conn), 0);
	h2_request(c->peer);
	h2_setting(c->peer, H2_MAX_STREAMS, 1);
	until(c->base, cc_conn_available(c->conn) == 0);
}

START_TEST(slot_of_a_waiting_round_trip_is_not_anybody_elses)
{
	struct client c;
	struct probe running = {0}, held = {0}, other = {0};

	open_shrunk(&c, &running);
	ck_assert_int_eq(
		round_trip(&c, &held, "GET", "/held", NULL, CC_RT_END_STREAM | CC_RT_RESERVED), 0);
	ck_assert_uint_eq(cc_conn_waiting(c.conn), 1);
	cc_conn_release(c.conn); /* of nothing */
	ck_assert_uint_eq(cc_conn_in_flight(c.conn), 2);
	ck_assert_int_eq(
		round_trip(&c, &other, "GET", "/other", NULL, CC_RT_END_STREAM | CC_RT_RESERVED),
		CC_EINVAL);
	h2_answer(c.peer, 1, 200, "");
	ck_assert_uint_eq(h2_request(c.peer), 3);
	ck_assert_str_eq(c.peer->path, "/held");
	h2_answer(c.peer, 3, 200, "");
	wait_done(&held);
	ck_assert_int_eq(held.result.err, 0);
	client_close(&c);
}
END_TEST

START_TEST(waiting_round_trip_does_not_block_the_one_whose_slot_it_waits_for)
{
	struct client c;
	struct probe running = {0}, waits = {0}, held = {0};

	open_shrunk(&c, &running);
	get(&c, &waits, "/waits");
	ck_assert_int_eq(
		round_trip(&c, &held, "GET", "/held", NULL, CC_RT_END_STREAM | CC_RT_RESERVED), 0);
	h2_answer(c.peer, 1, 200, "");
	h2_request(c.peer);
	ck_assert_str_eq(c.peer->path, "/held");
	h2_answer(c.peer, 3, 200, "");
	h2_request(c.peer);
	ck_assert_str_eq(c.peer->path, "/waits");
	h2_answer(c.peer, 5, 200, "");
	wait_done(&waits);
	client_close(&c);
}
END_TEST

START_TEST(request_begun_while_the_session_fails_was_never_completed)
{
	struct client c;
	struct probe a = {0}, b = {0};

	open_h2(&c, 10, NULL);
	a.on_done = ACT_AGAIN;
	a.next = &b;
	get(&c, &a, "/a");
	h2_request(c.peer);
	h2_respond(c.peer, 1, 200, "content-length: 9\n", true); /* a stream error */
	h2_send(c.peer, H2_DATA, 0, 0, "", 0);                   /* and one of the connection */
	until(c.base, b.done > 0);
	ck_assert_int_eq(b.result.phase, CC_PHASE_QUEUED);
	ck_assert(b.result.unprocessed);
	until(c.base, cc_conn_state(c.conn) == CC_CLOSED);
	check_counts(&c, 1, 1, 0, 0);
	client_close(&c);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		first_request_rides_with_the_preface,
		server_of_another_protocol_is_an_error,
		answer_brings_head_body_trailers_and_end,
		frames_may_come_in_single_bytes,
		answers_interleave,
		request_body_is_followed_by_its_trailers,
		body_of_another_length_than_announced_resets_its_stream_alone,
		body_of_the_length_announced_may_come_in_pieces_and_have_trailers,
		request_body_ends_its_stream,
		request_that_waited_has_its_body_and_trailers,
		slot_is_told_even_without_a_body,
		our_own_limit_stays_below_the_servers,
		number_of_requests_is_limited,
		refused_stream_behind_an_answer_is_not_called_unprocessed,
		head_that_is_too_large_ends_its_request,
		interim_answers_without_end_end_their_request,
		cancelled_request_resets_its_stream_only,
		every_act_is_allowed_in_every_callback,
		next_request_may_be_made_in_on_done,
		end_of_the_connection_ends_each_request_by_how_far_it_got,
		waiting_round_trip_is_unprocessed_when_the_connection_ends,
		errors_of_the_connection_end_it,
		answered_ping_keeps_the_connection,
		idle_connection_is_not_pinged_and_closes_in_time,
		ping_of_the_server_is_answered,
		reader_that_stops_stops_its_own_stream_only,
		more_than_the_window_is_an_error,
		long_answer_flows_through_a_small_window,
		request_body_respects_the_servers_window,
		alpn_chooses_http_2,
		server_that_does_not_agree_to_http_2_is_an_error,
		cut_tls_stream_ends_what_is_not_whole,
		slot_of_a_waiting_round_trip_is_not_anybody_elses,
		waiting_round_trip_does_not_block_the_one_whose_slot_it_waits_for,
		request_begun_while_the_session_fails_was_never_completed,
	};

	return run_suite_twice("h2", tests, sizeof(tests) / sizeof(tests[0]));
}
