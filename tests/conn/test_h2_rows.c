/*
 * test_h2_rows.c - the HTTP/2 rows of doc/connection.md, each with its exact
 * numbers (L, C, F, A) and its exact number of hook calls. GOAWAY is in
 * test_goaway_rows.c, limits in test_capacity.c, cancelling in test_cancel.c.
 */
#include <string.h>

#include "tests/conn/fixture.h"

/* One request has been answered. */
static void use_once(struct client *c, struct probe *p)
{
	begin(c, p, 1);
	finish_stream(c, p, 1);
	check_counts(c, 11, 1, 0, 10);
	check_hooks(c, 1);
}

/* ---- the first SETTINGS --------------------------------------------------- */

START_TEST(dialled_connection_has_one_slot_until_settings_come)
{
	struct client c;

	open_h2_unsettled(&c, NULL);
	ck_assert_uint_eq(c.hooks, 1); /* READY */
	ck_assert(!cc_conn_limits_known(c.conn));
	check_counts(&c, 1, 0, 0, 1);
	h2_setting(c.peer, H2_MAX_STREAMS, 10);
	until(c.base, cc_conn_limits_known(c.conn));
	check_counts(&c, 10, 0, 0, 10);
	check_hooks(&c, 1);
	client_close(&c);
}
END_TEST

START_TEST(early_request_counts_under_the_first_settings)
{
	struct client c;
	struct probe p = {0};

	open_h2_unsettled(&c, NULL);
	get(&c, &p, "/");
	check_counts(&c, 1, 0, 1, 0);
	ck_assert_int_eq(cc_conn_reserve(c.conn), CC_EFULL); /* no guess of what may come */
	ck_assert_uint_eq(h2_request(c.peer), 1);
	check_hooks(&c, 0);
	h2_setting(c.peer, H2_MAX_STREAMS, 10);
	until(c.base, cc_conn_limits_known(c.conn));
	check_counts(&c, 10, 0, 1, 9);
	check_hooks(&c, 1);
	client_close(&c);
}
END_TEST

START_TEST(early_request_that_is_refused_may_be_sent_again)
{
	struct client c;
	struct probe p = {0};

	open_h2_unsettled(&c, NULL);
	get(&c, &p, "/");
	ck_assert_uint_eq(h2_request(c.peer), 1);
	h2_setting(c.peer, H2_MAX_STREAMS, 0);
	h2_reset(c.peer, 1, H2_REFUSED_STREAM);
	wait_done(&p);
	ck_assert_int_eq(p.result.err, CC_EREFUSED);
	ck_assert(p.result.unprocessed);
	check_counts(&c, 1, 1, 0, 0);
	ck_assert_int_eq(cc_conn_state(c.conn), CC_READY);
	client_close(&c);
}
END_TEST

START_TEST(settings_that_do_not_come_close)
{
	struct client c;
	struct probe p = {0};

	open_h2_unsettled(&c, &(struct cc_transport_opts){.tls_timeout = 3000});
	get(&c, &p, "/");
	ck_assert_uint_eq(h2_request(c.peer), 1);
	advance(&c, 2999);
	ck_assert_int_eq(cc_conn_state(c.conn), CC_READY);
	advance(&c, 1);
	wait_done(&p);
	ck_assert_int_eq(p.result.err, CC_ETIMEOUT);
	ck_assert(!p.result.unprocessed);
	check_closed(&c, 1);
	ck_assert_int_eq(cc_conn_err(c.conn), CC_ETIMEOUT);
	client_close(&c);
}
END_TEST

/* ---- a request ------------------------------------------------------------- */

START_TEST(slot_is_taken_from_the_reservation_to_the_end_of_the_stream)
{
	struct client c;
	struct probe p = {.keep = true};

	open_h2(&c, 10, NULL);
	ck_assert_int_eq(cc_conn_reserve(c.conn), 0);
	check_counts(&c, 10, 0, 1, 9);
	ck_assert_int_eq(
		round_trip(&c, &p, "GET", "/", NULL, CC_RT_END_STREAM | CC_RT_RESERVED), 0);
	check_counts(&c, 10, 0, 1, 9);
	ck_assert_uint_eq(h2_request(c.peer), 1);
	h2_respond(c.peer, 1, 103, NULL, false);
	until(c.base, p.infos == 1);
	check_counts(&c, 10, 0, 1, 9);
	h2_respond(c.peer, 1, 200, NULL, false);
	until(c.base, p.heads == 1);
	check_counts(&c, 10, 0, 1, 9);
	h2_data(c.peer, 1, "hel", false);
	until(c.base, p.body_len == 3);
	check_counts(&c, 10, 0, 1, 9);
	check_hooks(&c, 0);

	h2_data(c.peer, 1, "lo", true); /* nobody has passed a byte of it on */
	check_answered(&p, "hello");
	check_counts(&c, 11, 1, 0, 10);
	check_hooks(&c, 1);
	client_close(&c);
}
END_TEST

START_TEST(every_end_gives_the_slot_back_and_calls_the_hook)
{
	static const enum h2_error codes[] = {
		H2_NO_ERROR, H2_INTERNAL_ERROR, H2_REFUSED_STREAM, H2_CANCEL, H2_ENHANCE_YOUR_CALM};
	static const enum cc_why whys[] = {
		CC_WHY_OTHER, CC_WHY_OTHER, CC_WHY_REFUSED, CC_WHY_OTHER, CC_WHY_CALM};
	enum { RESETS = sizeof(codes) / sizeof(codes[0]), ALL = RESETS + 3 };

	for (int i = 0; i < ALL; i++) {
		struct client c;
		struct probe p = {0};
		bool reset = i < RESETS;

		open_h2(&c, 1, NULL); /* the only slot: who waits for it needs the call */
		begin(&c, &p, 1);
		check_counts(&c, 1, 0, 1, 0);
		check_hooks(&c, 0);
		if (reset)
			h2_reset(c.peer, 1, codes[i]);
		else if (i == RESETS)
			h2_respond(c.peer, 1, 204, NULL, true);
		else if (i == RESETS + 1)
			h2_answer(c.peer, 1, 200, "");
		else
			h2_answer(c.peer, 1, 200, "body");
		wait_done(&p);
		check_counts(&c, 2, 1, 0, 1);
		check_hooks(&c, 1);
		ck_assert_int_eq(cc_conn_state(c.conn), CC_READY);

		bool refused = reset && codes[i] == H2_REFUSED_STREAM;

		ck_assert_int_eq(p.result.err, refused ? CC_EREFUSED : reset ? CC_ERESET : 0);
		ck_assert_int_eq(p.result.unprocessed, refused);
		ck_assert_int_eq(p.result.why, reset ? whys[i] : CC_WHY_NONE);
		if (reset) {
			ck_assert_uint_eq(p.result.proto_error, codes[i]);
			ck_assert_int_eq(p.result.phase, CC_PHASE_WAITING);
		}
		probe_free(&p);
		client_close(&c);
	}
}
END_TEST

START_TEST(reset_in_a_body_is_a_partial_answer)
{
	for (int together = 0; together < 2; together++) {
		struct client c;
		struct probe p = {0};

		open_h2_running(&c, &p, 1);
		h2_respond(c.peer, 1, 200, NULL, false);
		h2_data(c.peer, 1, "hello", false);
		if (!together) {
			until(c.base, p.body_len == 5);
			check_hooks(&c, 0);
		}
		h2_reset(c.peer, 1, H2_INTERNAL_ERROR);
		wait_done(&p);
		ck_assert_int_eq(p.result.err, CC_ERESET);
		ck_assert_int_eq(p.result.phase, CC_PHASE_RECEIVING);
		ck_assert(!p.result.unprocessed);
		check_body(&p, "hello");
		check_counts(&c, 11, 1, 0, 10);
		check_hooks(&c, 1);
		probe_free(&p);
		client_close(&c);
	}
}
END_TEST

START_TEST(reset_for_a_protocol_error_drains)
{
	struct client c;
	struct probe p[2] = {{0}}, q = {0};

	open_h2_running(&c, p, 2);
	h2_reset(c.peer, 1, H2_PROTOCOL_ERROR);
	wait_done(&p[0]);
	ck_assert_int_lt(p[0].result.err, 0);
	ck_assert(!p[0].result.unprocessed);
	ck_assert_uint_eq(p[0].result.proto_error, H2_PROTOCOL_ERROR);
	ck_assert_int_eq(cc_conn_state(c.conn), CC_DRAINING);
	check_counts(&c, 2, 1, 1, 0);
	check_hooks(&c, 1);
	ck_assert_int_eq(round_trip(&c, &q, "GET", "/q", NULL, CC_RT_END_STREAM), CC_ECLOSED);
	h2_answer(c.peer, 3, 200, "ok");
	wait_done(&p[1]);
	ck_assert_int_eq(p[1].result.err, 0);
	check_closed(&c, 2);
	probe_free(&p[1]);
	client_close(&c);
}
END_TEST

START_TEST(reset_of_the_only_request_for_a_protocol_error_closes)
{
	struct client c;
	struct probe p = {0};

	open_h2_running(&c, &p, 1);
	h2_reset(c.peer, 1, H2_PROTOCOL_ERROR);
	wait_done(&p);
	check_closed(&c, 1);
	client_close(&c);
}
END_TEST

START_TEST(wrong_content_length_is_an_error_of_its_stream)
{
	struct client c;
	struct probe p[2] = {{0}};

	open_h2_running(&c, p, 2);
	h2_respond(c.peer, 1, 200, "content-length: 10\n", false);
	h2_data(c.peer, 1, "hello", true);
	wait_done(&p[0]);
	ck_assert_int_eq(p[0].result.err, CC_EPROTO);
	ck_assert_int_eq(p[0].result.phase, CC_PHASE_RECEIVING);
	ck_assert(!p[0].result.unprocessed);
	check_counts(&c, 11, 1, 1, 9); /* the peer is at fault: the connection goes on */
	check_hooks(&c, 1);
	ck_assert_int_eq(cc_conn_state(c.conn), CC_READY);
	h2_answer(c.peer, 3, 200, "ok");
	wait_done(&p[1]);
	ck_assert_int_eq(p[1].result.err, 0);
	check_hooks(&c, 1);
	probe_free(&p[0]);
	probe_free(&p[1]);
	client_close(&c);
}
END_TEST

START_TEST(early_answer_is_delivered_and_frees_its_slot)
{
	for (int by_server = 0; by_server < 2; by_server++) {
		struct client c;
		struct probe p = {0};

		open_h2(&c, 10, NULL);
		post(&c, &p, "/up", NULL);
		ck_assert_int_eq(send_body(&p, "hello", false), 0);
		ck_assert_uint_eq(h2_request(c.peer), 1);
		h2_wait(c.peer, H2_DATA);
		check_hooks(&c, 0);
		h2_answer(c.peer, 1, 413, "large");
		if (by_server)
			h2_reset(c.peer, 1, H2_NO_ERROR); /* RFC 9113 8.1 */
		wait_done(&p);
		ck_assert_int_eq(p.result.err, 0);
		ck_assert_uint_eq(p.status, 413);
		check_body(&p, "large");
		check_counts(&c, 11, 1, 0, 10);
		check_hooks(&c, 1);
		if (!by_server) {
			h2_wait(c.peer, H2_RST_STREAM);
			ck_assert_uint_eq(c.peer->frame.stream, 1);
			ck_assert_uint_eq(h2_u32(c.peer, 0), H2_CANCEL);
		}
		ck_assert_int_eq(cc_conn_state(c.conn), CC_READY);
		probe_free(&p);
		client_close(&c);
	}
}
END_TEST

START_TEST(one_request_and_no_more)
{
	struct client c;
	struct probe p = {0};

	open_h2(&c, 10, &(struct cc_transport_opts){.max_requests = 1});
	check_counts(&c, 1, 0, 0, 1);
	begin(&c, &p, 1);
	check_counts(&c, 1, 0, 1, 0);
	ck_assert_int_ne(cc_conn_reserve(c.conn), 0);
	finish_stream(&c, &p, 1);
	ck_assert_uint_eq(p.available, 0);
	check_closed(&c, 1);
	client_close(&c);
}
END_TEST

/* ---- the server goes away --------------------------------------------------- */

START_TEST(end_while_idle_leaves_nothing_available)
{
	for (unsigned used = 0; used < 2; used++) {
		struct client c;
		struct probe p = {0};

		open_h2(&c, 10, NULL);
		if (used)
			use_once(&c, &p);
		peer_finish(c.peer);
		check_closed(&c, used);
		ck_assert_int_eq(cc_conn_err(c.conn), CC_EEOF);
		ck_assert_int_eq(cc_conn_reserve(c.conn), CC_ECLOSED);
		client_close(&c);
	}
}
END_TEST

START_TEST(end_under_requests_is_one_call_of_the_hook)
{
	struct client c;
	struct probe p[3] = {{0}};

	p[1].keep = true; /* whole, and nobody has passed a byte of it on */
	open_h2_running(&c, p, 3);
	h2_respond(c.peer, 1, 200, NULL, false);
	h2_data(c.peer, 1, "part", false);
	until(c.base, p[0].body_len == 4);
	check_hooks(&c, 0);
	h2_answer(c.peer, 3, 200, "whole");
	wait_done(&p[1]);
	check_counts(&c, 11, 1, 2, 8);
	check_hooks(&c, 1);
	peer_finish(c.peer);
	wait_done(&p[0]);
	wait_done(&p[2]);
	ck_assert_int_eq(p[0].result.err, CC_EEOF);
	ck_assert_int_eq(p[0].result.phase, CC_PHASE_RECEIVING);
	check_body(&p[0], "part");
	ck_assert_int_eq(p[1].result.err, 0);
	check_body(&p[1], "whole");
	ck_assert_int_eq(p[2].result.err, CC_EEOF);
	ck_assert_int_eq(p[2].result.phase, CC_PHASE_WAITING);
	ck_assert(!p[0].result.unprocessed && !p[2].result.unprocessed);
	check_closed(&c, 3);
	probe_free(&p[0]);
	probe_free(&p[1]);
	client_close(&c);
}
END_TEST

START_TEST(end_under_half_a_request_says_nothing_about_it)
{
	struct client c;
	struct probe p = {0};

	open_h2(&c, 10, NULL);
	post(&c, &p, "/up", NULL);
	ck_assert_int_eq(send_body(&p, "hello", false), 0);
	ck_assert_uint_eq(h2_request(c.peer), 1);
	h2_wait(c.peer, H2_DATA);
	check_hooks(&c, 0);
	peer_finish(c.peer);
	wait_done(&p);
	ck_assert_int_eq(p.result.err, CC_EEOF);
	ck_assert_int_eq(p.result.phase, CC_PHASE_SENDING);
	ck_assert(!p.result.unprocessed);
	check_closed(&c, 1);
	client_close(&c);
}
END_TEST

START_TEST(push_is_an_error_of_the_connection)
{
	struct client c;
	struct probe p = {0};

	open_h2_running(&c, &p, 1);
	h2_send(c.peer, H2_PUSH_PROMISE, H2_END_HEADERS, 1, "\0\0\0\2\x82", 5);
	wait_done(&p);
	ck_assert_int_eq(p.result.err, CC_EPROTO);
	ck_assert(!p.result.unprocessed);
	check_closed(&c, 1);
	ck_assert_int_eq(cc_conn_err(c.conn), CC_EPROTO);
	client_close(&c);
}
END_TEST

/* RFC 9113 5.4.1: whoever ends a connection for an error says which. */
START_TEST(what_breaks_http_2_is_answered_by_a_goaway_that_names_it)
{
	static const char large[16385], no_frames[] = {0, 5, 0, 0, 0, 0};
	static const struct {
		enum h2_type type;
		uint32_t stream;
		const char *payload;
		size_t n;
		enum h2_error code;
	} broken[] = {
		{H2_PUSH_PROMISE, 1, "\0\0\0\2\x82", 5, H2_PROTOCOL_ERROR},
		{H2_SETTINGS, 0, no_frames, sizeof(no_frames), H2_PROTOCOL_ERROR},
		{H2_DATA, 1, large, sizeof(large), H2_FRAME_SIZE_ERROR},
		{H2_WINDOW_UPDATE, 0, "\0\0\0\0", 4, H2_PROTOCOL_ERROR},
		{H2_WINDOW_UPDATE, 0, "\x7f\xff\xff\xff", 4, H2_FLOW_CONTROL_ERROR},
		{H2_HEADERS, 1, "\xff\xff\xff\xff\xff", 5, H2_COMPRESSION_ERROR},
	};

	for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
		struct client c;
		struct probe p = {0};

		open_h2_running(&c, &p, 1);
		h2_send(c.peer, broken[i].type, H2_END_HEADERS, broken[i].stream, broken[i].payload,
			broken[i].n);
		h2_wait(c.peer, H2_GOAWAY);
		ck_assert_msg(
			h2_u32(c.peer, 4) == broken[i].code, "%zu: code %u", i, h2_u32(c.peer, 4));
		wait_done(&p);
		ck_assert_int_eq(p.result.err, CC_EPROTO);
		check_closed(&c, 1);
		client_close(&c);
	}
}
END_TEST

/* RFC 9113 8.4: the server may not know yet that we want none. */
START_TEST(push_before_our_settings_are_acknowledged_is_refused)
{
	static const unsigned char push[] = {0, 0, 0, 2, 0x82, 0x86, 0x84, 0x41, 1, 'a'};
	struct client c;
	struct probe p = {0};

	open_h2_unsettled(&c, NULL);
	get(&c, &p, "/");
	h2_send(c.peer, H2_SETTINGS, 0, 0, "", 0);
	ck_assert_uint_eq(h2_request(c.peer), 1);
	h2_send(c.peer, H2_PUSH_PROMISE, H2_END_HEADERS, 1, push, sizeof(push));
	h2_wait(c.peer, H2_RST_STREAM);
	ck_assert_uint_eq(c.peer->frame.stream, 2);
	h2_answer(c.peer, 1, 200, "ok");
	check_answered(&p, "ok");
	client_close(&c);
}
END_TEST

START_TEST(error_of_the_server_is_named_while_we_drain)
{
	for (int goaway = 0; goaway < 2; goaway++) {
		struct client c;
		struct probe p = {0};

		open_h2_running(&c, &p, 1);
		if (goaway)
			h2_goaway(c.peer, 1, H2_NO_ERROR);
		else
			cc_conn_drain(c.conn);
		until(c.base, cc_conn_state(c.conn) == CC_DRAINING);
		check_hooks(&c, 1);
		h2_data(c.peer, 99, "x", false); /* on a stream that nobody opened */
		wait_done(&p);
		ck_assert_int_eq(p.result.err, CC_EPROTO); /* not "canceled": the owner did not */
		ck_assert(!p.result.unprocessed);
		check_closed(&c, 1);
		ck_assert_int_eq(cc_conn_err(c.conn), CC_EPROTO);
		client_close(&c);
	}
}
END_TEST

START_TEST(we_say_that_we_want_no_push)
{
	struct client c;

	open_h2_unsettled(&c, NULL);
	h2_wait(c.peer, H2_SETTINGS);
	ck_assert_uint_ge(c.peer->frame.n, 6);
	ck_assert_mem_eq(c.peer->frame.payload, "\0\2\0\0\0\0", 6); /* ENABLE_PUSH = 0 */
	client_close(&c);
}
END_TEST

/* ---- we go away ---------------------------------------------------------------- */

START_TEST(closing_says_goaway_and_is_told_once)
{
	for (unsigned n = 0; n < 3; n++) {
		struct client c;
		struct probe p[2] = {{0}};

		open_h2_running(&c, p, n);
		if (n > 0)
			ck_assert_int_eq(cc_conn_reserve(c.conn), 0); /* it vanishes */
		c.in_call = true; /* a hook or an on_done in here fails */
		cc_conn_close(c.conn);
		c.in_call = false;
		check_counts(&c, n, n, 0, 0);
		h2_wait(c.peer, H2_GOAWAY);
		ck_assert_uint_eq(h2_u32(c.peer, 0), 0); /* we accept no pushed streams */
		ck_assert_uint_eq(h2_u32(c.peer, 4), H2_NO_ERROR);
		check_closed(&c, n);
		ck_assert_int_eq(c.peer->error, 0); /* over TLS: with close_notify */
		for (unsigned i = 0; i < n; i++) {
			ck_assert_uint_eq(p[i].done, 1);
			ck_assert_int_eq(p[i].result.err, CC_ECANCELED);
			ck_assert(!p[i].result.unprocessed);
		}
		client_close(&c);
	}
}
END_TEST

START_TEST(idle_connection_closes_in_time)
{
	for (unsigned used = 0; used < 2; used++) {
		struct client c;
		struct probe p = {0};

		open_h2(&c, 10, &(struct cc_transport_opts){.idle_timeout = 5000});
		if (used)
			use_once(&c, &p);
		advance(&c, 4999);
		check_hooks(&c, 0);
		advance(&c, 1);
		h2_wait(c.peer, H2_GOAWAY);
		check_closed(&c, used);
		client_close(&c);
	}
}
END_TEST

/* ---- signs of life -------------------------------------------------------------- */

static const struct cc_transport_opts pings = {.ping_after = 8000, .ping_timeout = 4000};

START_TEST(silence_under_a_request_is_answered_by_one_ping)
{
	struct client c;
	struct probe p = {0};

	open_h2(&c, 10, &pings);
	begin(&c, &p, 1);
	drop_sent(&c);
	advance(&c, 7999);
	ck_assert_uint_eq(c.peer->in_len, 0);
	advance(&c, 1);
	h2_wait(c.peer, H2_PING);
	ck_assert_int_eq(c.peer->frame.flags & H2_ACK, 0);
	advance(&c, 3999);
	ck_assert_uint_eq(c.peer->in_len, 0); /* never two under way */
	check_counts(&c, 10, 0, 1, 9);
	check_hooks(&c, 0);
	advance(&c, 1);
	wait_done(&p);
	ck_assert_int_eq(p.result.err, CC_ETIMEOUT);
	ck_assert(!p.result.unprocessed);
	check_closed(&c, 1);
	ck_assert_int_eq(cc_conn_err(c.conn), CC_ETIMEOUT);
	client_close(&c);
}
END_TEST

START_TEST(any_byte_answers_a_ping)
{
	struct client c;
	struct probe p = {0};

	open_h2(&c, 10, &pings);
	begin(&c, &p, 1);
	advance(&c, 8000);
	h2_wait(c.peer, H2_PING);
	h2_respond(c.peer, 1, 103, NULL, false);
	until(c.base, p.infos == 1);
	advance(&c, 7999);
	ck_assert_int_eq(cc_conn_state(c.conn), CC_READY);
	check_counts(&c, 10, 0, 1, 9);
	check_hooks(&c, 0);
	client_close(&c);
}
END_TEST

START_TEST(silence_is_counted_from_the_request_on)
{
	struct client c;
	struct probe p = {0}, q = {0};
	struct cc_transport_opts opts = pings;

	opts.idle_timeout = opts.stale_after = CC_NEVER;
	open_h2(&c, 10, &opts);
	use_once(&c, &p);
	advance(&c, 5000);
	get(&c, &q, "/");
	ck_assert_uint_eq(h2_request(c.peer), 3);
	drop_sent(&c);
	advance(&c, 7999);
	ck_assert_uint_eq(c.peer->in_len, 0);
	advance(&c, 1);
	h2_wait(c.peer, H2_PING);
	client_close(&c);
}
END_TEST

START_TEST(idle_connection_is_never_pinged)
{
	struct client c;
	struct probe p = {0};
	struct cc_transport_opts opts = pings;

	opts.idle_timeout = CC_NEVER;
	open_h2(&c, 10, &opts);
	use_once(&c, &p);
	h2_processed(&c);
	drop_sent(&c);
	for (int i = 0; i < 10; i++)
		advance(&c, 100000);
	ck_assert_uint_eq(c.peer->in_len, 0);
	ck_assert_int_eq(cc_conn_state(c.conn), CC_READY);
	check_hooks(&c, 0);
	client_close(&c);
}
END_TEST

/* The connection has answered once and then rested for so long. */
static void open_rested(struct client *c, struct probe *p, uint64_t ms)
{
	struct cc_transport_opts opts = pings;

	opts.stale_after = 8000;
	opts.idle_timeout = CC_NEVER;
	open_h2(c, 10, &opts);
	use_once(c, p);
	h2_processed(c);
	drop_sent(c);
	advance(c, ms);
	ck_assert_uint_eq(c->peer->in_len, 0);
}

/* Counts the PINGs that come with the next request; the last one stays in peer->frame. */
static unsigned pings_beside_a_request(struct client *c)
{
	struct h2_frame ping = {0};
	bool request = false;
	unsigned n = 0;

	turns(c->base, 3);
	while (c->peer->in_len > 0) {
		h2_wait_any(c->peer);
		request |= c->peer->frame.type == H2_HEADERS;
		if (c->peer->frame.type == H2_PING) {
			ping = c->peer->frame;
			n++;
		}
	}
	ck_assert(request);
	c->peer->frame = ping;
	return n;
}

START_TEST(request_after_a_long_rest_goes_with_a_ping_beside_it)
{
	struct client c;
	struct probe p = {0}, q[2] = {{0}};

	open_rested(&c, &p, 8000);
	get(&c, &q[0], "/");
	get(&c, &q[1], "/");
	ck_assert_uint_eq(pings_beside_a_request(&c), 1);
	check_counts(&c, 11, 1, 2, 8);
	advance(&c, 4000); /* ping_timeout: not ping_after + ping_timeout */
	wait_done(&q[0]);
	ck_assert_int_eq(q[0].result.err, CC_ETIMEOUT);
	ck_assert(!q[0].result.unprocessed);
	check_closed(&c, 3);
	client_close(&c);
}
END_TEST

START_TEST(answered_ping_beside_a_request_is_the_only_one)
{
	struct client c;
	struct probe p = {0}, q = {0}, r = {0};

	open_rested(&c, &p, 100000);
	get(&c, &q, "/");
	ck_assert_uint_eq(pings_beside_a_request(&c), 1);
	h2_send(c.peer, H2_PING, H2_ACK, 0, c.peer->frame.payload, 8);
	finish_stream(&c, &q, 3);
	advance(&c, 7999);
	get(&c, &r, "/");
	ck_assert_uint_eq(pings_beside_a_request(&c), 0);
	ck_assert_int_eq(cc_conn_state(c.conn), CC_READY);
	client_close(&c);
}
END_TEST

START_TEST(request_after_a_short_rest_goes_alone)
{
	struct client c;
	struct probe p = {0}, q = {0};

	open_rested(&c, &p, 7999);
	get(&c, &q, "/");
	ck_assert_uint_eq(pings_beside_a_request(&c), 0);
	client_close(&c);
}
END_TEST

START_TEST(request_made_before_the_end_was_read_is_unsent)
{
	struct client c;
	struct probe p = {0}, q = {0};

	open_h2(&c, 10, NULL);
	use_once(&c, &p);
	h2_processed(&c);
	drop_sent(&c);
	advance(&c, 1);
	peer_finish(c.peer); /* lies in the socket */
	get(&c, &q, "/");
	wait_done(&q);
	ck_assert_int_ne(q.result.err, 0);
	ck_assert(q.result.unprocessed);
	ck_assert_int_eq(q.result.phase, CC_PHASE_QUEUED);
	until(c.base, c.hooks_closed == 1);
	peer_wait_eof(c.peer);
	while (c.peer->in_len > 0) { /* a goodbye, but no request */
		h2_wait_any(c.peer);
		ck_assert_uint_ne(c.peer->frame.type, H2_HEADERS);
	}
	client_close(&c);
}
END_TEST

START_TEST(interim_answers_without_end_reset_their_stream)
{
	struct client c;
	struct probe p[2] = {{0}};
	char field[110] = "link: ";

	memset(field + 6, 'x', 100);
	strcat(field, "\n");
	open_h2(&c, 10, &(struct cc_transport_opts){.max_head = 4096});
	begin(&c, p, 2);
	for (int i = 0; i < 100 && p[0].done == 0; i++) {
		h2_respond(c.peer, 1, 103, field, false);
		turns(c.base, 2);
	}
	wait_done(&p[0]);
	ck_assert_int_eq(p[0].result.err, CC_ETOOBIG);
	ck_assert_uint_gt(p[0].infos, 20); /* any number up to the limit */
	ck_assert(!p[0].result.unprocessed);
	check_counts(&c, 11, 1, 1, 9);
	check_hooks(&c, 1);
	h2_answer(c.peer, 3, 200, "ok");
	wait_done(&p[1]);
	ck_assert_int_eq(p[1].result.err, 0);
	probe_free(&p[1]);
	client_close(&c);
}
END_TEST

START_TEST(pings_can_be_switched_off)
{
	struct client c;
	struct probe p = {0};

	open_h2(&c, 10, &(struct cc_transport_opts){.ping_after = CC_NEVER});
	begin(&c, &p, 1);
	drop_sent(&c);
	for (int i = 0; i < 10; i++)
		advance(&c, 100000);
	ck_assert_uint_eq(c.peer->in_len, 0);
	ck_assert_uint_eq(p.done, 0);
	client_close(&c);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		dialled_connection_has_one_slot_until_settings_come,
		early_request_counts_under_the_first_settings,
		early_request_that_is_refused_may_be_sent_again,
		settings_that_do_not_come_close,
		slot_is_taken_from_the_reservation_to_the_end_of_the_stream,
		every_end_gives_the_slot_back_and_calls_the_hook,
		reset_in_a_body_is_a_partial_answer,
		reset_for_a_protocol_error_drains,
		reset_of_the_only_request_for_a_protocol_error_closes,
		wrong_content_length_is_an_error_of_its_stream,
		early_answer_is_delivered_and_frees_its_slot,
		one_request_and_no_more,
		end_while_idle_leaves_nothing_available,
		end_under_requests_is_one_call_of_the_hook,
		end_under_half_a_request_says_nothing_about_it,
		push_is_an_error_of_the_connection,
		what_breaks_http_2_is_answered_by_a_goaway_that_names_it,
		push_before_our_settings_are_acknowledged_is_refused,
		error_of_the_server_is_named_while_we_drain,
		we_say_that_we_want_no_push,
		closing_says_goaway_and_is_told_once,
		idle_connection_closes_in_time,
		silence_under_a_request_is_answered_by_one_ping,
		any_byte_answers_a_ping,
		silence_is_counted_from_the_request_on,
		idle_connection_is_never_pinged,
		request_after_a_long_rest_goes_with_a_ping_beside_it,
		answered_ping_beside_a_request_is_the_only_one,
		request_after_a_short_rest_goes_alone,
		request_made_before_the_end_was_read_is_unsent,
		interim_answers_without_end_reset_their_stream,
		pings_can_be_switched_off,
	};

	return run_suite_twice("h2 rows", tests, sizeof(tests) / sizeof(tests[0]));
}
