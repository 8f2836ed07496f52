/*
 * test_options.c - structs that begin with their size: of older and newer callers, and wrong ones.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "tests/conn/fixture.h"

#define BEHIND 24 /* bytes that a newer header would have added */

/* ---- the context ---------------------------------------------------------- */

struct newer_ctx_opts {
	struct cc_ctx_opts o;
	unsigned char more[BEHIND];
};

static int ctx_of_size(size_t size, unsigned char last)
{
	struct newer_ctx_opts newer = {.o = {.size = size, .base = event_base_new()}};
	struct cc_ctx *ctx = NULL;
	int err;

	newer.more[BEHIND - 1] = last;
	err = cc_ctx_new(&newer.o, &ctx);
	ck_assert((err == 0) == (ctx != NULL));
	cc_ctx_free(ctx);
	event_base_free(newer.o.base);
	return err;
}

START_TEST(context_of_an_older_caller_has_defaults)
{
	ck_assert_int_eq(ctx_of_size(offsetof(struct cc_ctx_opts, mem), 0), 0);
	ck_assert_int_eq(ctx_of_size(offsetof(struct cc_ctx_opts, max_buffered), 0), 0);
	ck_assert_int_eq(ctx_of_size(sizeof(struct cc_ctx_opts), 0), 0);
}
END_TEST

/* What stands behind the size is not the caller's to give: it may be anything. */
START_TEST(members_behind_the_size_are_not_read)
{
	struct cc_ctx_opts o = {
		.size = offsetof(struct cc_ctx_opts, mem),
		.base = event_base_new(),
		.mem = (const struct cc_mem *)1,
		.max_buffered = 1,
	};
	struct cc_ctx *ctx = NULL;
	struct cc_buf b;

	ck_assert_int_eq(cc_ctx_new(&o, &ctx), 0);
	cc_buf_init(&b, ctx);
	ck_assert_int_eq(cc_buf_add(&b, "more than one byte", 18), 0);
	cc_buf_clear(&b);
	cc_ctx_free(ctx);
	event_base_free(o.base);
}
END_TEST

START_TEST(context_without_a_base_is_invalid)
{
	ck_assert_int_eq(ctx_of_size(0, 0), CC_EINVAL);
	ck_assert_int_eq(ctx_of_size(sizeof(size_t), 0), CC_EINVAL);
	ck_assert_int_eq(ctx_of_size(offsetof(struct cc_ctx_opts, mem) - 1, 0), CC_EINVAL);
}
END_TEST

START_TEST(context_of_a_newer_caller_may_not_ask_for_more)
{
	ck_assert_int_eq(ctx_of_size(sizeof(struct newer_ctx_opts), 0), 0);
	ck_assert_int_eq(ctx_of_size(sizeof(struct newer_ctx_opts), 1), CC_EINVAL);
	ck_assert_int_eq(ctx_of_size(sizeof(struct newer_ctx_opts) - 1, 1), 0);
}
END_TEST

START_TEST(size_that_was_never_set_is_invalid)
{
	ck_assert_int_eq(ctx_of_size(SIZE_MAX, 0), CC_EINVAL);
	ck_assert_int_eq(ctx_of_size((size_t)((uint64_t)1 << 40), 0), CC_EINVAL);
}
END_TEST

/* ---- the transport ---------------------------------------------------------- */

struct newer_transport_opts {
	struct cc_transport_opts o;
	unsigned char more[BEHIND];
};

static int transport_of(const struct cc_transport_opts *o)
{
	struct cc_ctx_opts ctx_opts = {.size = sizeof(ctx_opts), .base = event_base_new()};
	struct cc_transport *t = NULL;
	struct cc_ctx *ctx;
	int err;

	ck_assert_int_eq(cc_ctx_new(&ctx_opts, &ctx), 0);
	err = cc_transport_new(ctx, o, &t);
	ck_assert((err == 0) == (t != NULL));
	cc_transport_free(t);
	cc_ctx_free(ctx);
	event_base_free(ctx_opts.base);
	return err;
}

START_TEST(transport_of_an_older_caller_reads_no_more_than_it_has)
{
	struct cc_transport_opts o = {.proxy = "no proxy at all", .bind_address = "nor this"};

	o.size = sizeof(o);
	ck_assert_int_eq(transport_of(&o), CC_EINVAL);
	o.size = offsetof(struct cc_transport_opts, proxy);
	ck_assert_int_eq(transport_of(&o), 0);
	o.size = sizeof(size_t);
	ck_assert_int_eq(transport_of(&o), 0);
}
END_TEST

START_TEST(transport_without_a_whole_size_is_invalid)
{
	struct cc_transport_opts o = {.size = 0};

	ck_assert_int_eq(transport_of(&o), CC_EINVAL);
	o.size = sizeof(size_t) - 1;
	ck_assert_int_eq(transport_of(&o), CC_EINVAL);
}
END_TEST

START_TEST(transport_of_a_newer_caller_may_not_ask_for_more)
{
	struct newer_transport_opts newer = {.o = {.size = sizeof(newer)}};

	ck_assert_int_eq(transport_of(&newer.o), 0);
	for (int i = 0; i < BEHIND; i++) {
		newer.more[i] = 1;
		ck_assert_int_eq(transport_of(&newer.o), CC_EINVAL);
		newer.more[i] = 0;
	}
}
END_TEST

/* An option of the part that was given counts, the default of the rest does, too. */
START_TEST(options_of_an_older_caller_are_in_force)
{
	struct cc_transport_opts o = {
		.size = offsetof(struct cc_transport_opts, ping_after),
		.offer = CC_OFFER_H1,
		.idle_timeout = 5000,
		.max_requests = 1, /* behind the size */
	};
	struct cc_transport *t = NULL;
	struct client c;
	struct probe p = {0};

	ck_assert_int_eq(client_init(&c, peer_unix(event_base_new()), CC_OFFER_H1, NULL, 0), 0);
	ck_assert_int_eq(cc_transport_new(c.ctx, &o, &t), 0);
	cc_transport_free(c.transport);
	c.transport = t;
	ck_assert_int_eq(client_dial(&c, "http"), 0);
	wait_state(&c, CC_READY);
	peer_accept(c.peer);
	get(&c, &p, "/");
	expect_request(&c, "GET / ");
	finish_request(&c, &p);
	ck_assert_int_eq(cc_conn_state(c.conn), CC_READY);
	advance(&c, 4999);
	ck_assert_int_eq(cc_conn_state(c.conn), CC_READY);
	advance(&c, 1);
	ck_assert_int_eq(cc_conn_reason(c.conn), CC_REASON_IDLE);
	probe_free(&p);
	client_close(&c);
}
END_TEST

/* ---- the callbacks ---------------------------------------------------------- */

static void open_of(struct client *c, bool h2)
{
	if (h2)
		open_h2(c, 10, NULL);
	else
		open_h1(c, NULL);
}

static int round_trip_with(struct client *c, const struct cc_req_ops *ops, struct probe *p)
{
	struct cc_head *h = head_for(c, "GET", "/", NULL);
	int err = cc_conn_round_trip(c->conn, h, CC_RT_END_STREAM, ops, p, &p->req);

	p->client = c;
	cc_head_free(h);
	return err;
}

static void check_refused(const struct cc_req_ops *ops)
{
	for (int h2 = 0; h2 < 2; h2++) {
		struct client c;
		struct probe p = {0};

		open_of(&c, h2);
		ck_assert_int_eq(round_trip_with(&c, ops, &p), CC_EINVAL);
		ck_assert_ptr_null(p.req);
		check_counts(&c, h2 ? 10 : 1, 0, 0, h2 ? 10 : 1);
		check_hooks(&c, 0);
		client_close(&c);
	}
}

START_TEST(each_required_callback_is_missed_at_the_round_trip)
{
	struct cc_req_ops ops[3] = {probe_ops, probe_ops, probe_ops};

	ops[0].on_head = NULL;
	ops[1].on_body = NULL;
	ops[2].on_done = NULL;
	for (int i = 0; i < 3; i++)
		check_refused(&ops[i]);
}
END_TEST

START_TEST(callbacks_with_a_wrong_size_are_refused)
{
	static const size_t sizes[] = {
		0, sizeof(size_t), offsetof(struct cc_req_ops, on_info) - 1, SIZE_MAX};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct cc_req_ops ops = probe_ops;

		ops.size = sizes[i];
		check_refused(&ops);
	}
}
END_TEST

START_TEST(callbacks_that_this_library_does_not_know_are_refused_if_set)
{
	struct {
		struct cc_req_ops ops;
		unsigned char more[BEHIND];
	} newer = {.ops = probe_ops};
	struct client c;
	struct probe p = {0};

	newer.ops.size = sizeof(newer);
	newer.more[7] = 1;
	check_refused(&newer.ops);
	newer.more[7] = 0;
	open_h1(&c, NULL);
	ck_assert_int_eq(round_trip_with(&c, &newer.ops, &p), 0);
	expect_request(&c, "GET / ");
	finish_request(&c, &p);
	probe_free(&p);
	client_close(&c);
}
END_TEST

/* Interim answers go unheard, and so does room: what stands there is not the caller's. */
START_TEST(callbacks_behind_the_size_are_never_called)
{
	struct cc_req_ops ops = probe_ops;
	struct client c;
	struct probe p = {0};
	struct cc_head *h;

	ops.size = offsetof(struct cc_req_ops, on_info);
	open_h1(&c, NULL);
	h = head_for(&c, "POST", "/", NULL);
	ck_assert_int_eq(cc_conn_round_trip(c.conn, h, 0, &ops, &p, &p.req), 0);
	p.client = &c;
	cc_head_free(h);
	ck_assert_int_eq(send_body(&p, "hello", true), 0); /* a body that leaves tells of room */
	expect_request(&c, "POST / ");
	peer_say(c.peer, "HTTP/1.1 103 Early Hints\r\n\r\n" OK_HELLO);
	wait_done(&p);
	ck_assert_int_eq(p.result.err, 0);
	ck_assert_uint_eq(p.status, 200);
	ck_assert_uint_eq(p.infos, 0);
	ck_assert_uint_eq(p.rooms, 0);
	check_body(&p, "hello");
	probe_free(&p);
	client_close(&c);
}
END_TEST

/* The same with all of them, so that the test above can fail. */
START_TEST(callbacks_within_the_size_are_called)
{
	struct client c;
	struct probe p = {0};

	open_h1(&c, NULL);
	post(&c, &p, "/", NULL);
	ck_assert_int_eq(send_body(&p, "hello", true), 0);
	expect_request(&c, "POST / ");
	peer_say(c.peer, "HTTP/1.1 103 Early Hints\r\n\r\n" OK_HELLO);
	wait_done(&p);
	ck_assert_uint_eq(p.infos, 1);
	ck_assert_uint_ge(p.rooms, 1);
	probe_free(&p);
	client_close(&c);
}
END_TEST

/* ---- the version ------------------------------------------------------------ */

START_TEST(header_and_library_are_of_one_version)
{
	char text[40];

	snprintf(text, sizeof(text), "%d.%d.%d", CLIENTCONN_VERSION_MAJOR, CLIENTCONN_VERSION_MINOR,
		CLIENTCONN_VERSION_PATCH);
	ck_assert_str_eq(cc_version(), text);
	ck_assert_int_eq(CLIENTCONN_VERSION / 1000000, CLIENTCONN_VERSION_MAJOR);
	ck_assert_int_eq(CLIENTCONN_VERSION / 1000 % 1000, CLIENTCONN_VERSION_MINOR);
	ck_assert_int_eq(CLIENTCONN_VERSION % 1000, CLIENTCONN_VERSION_PATCH);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		context_of_an_older_caller_has_defaults,
		members_behind_the_size_are_not_read,
		context_without_a_base_is_invalid,
		context_of_a_newer_caller_may_not_ask_for_more,
		size_that_was_never_set_is_invalid,
		transport_of_an_older_caller_reads_no_more_than_it_has,
		transport_without_a_whole_size_is_invalid,
		transport_of_a_newer_caller_may_not_ask_for_more,
		options_of_an_older_caller_are_in_force,
		each_required_callback_is_missed_at_the_round_trip,
		callbacks_with_a_wrong_size_are_refused,
		callbacks_that_this_library_does_not_know_are_refused_if_set,
		callbacks_behind_the_size_are_never_called,
		callbacks_within_the_size_are_called,
		header_and_library_are_of_one_version,
	};

	return run_suite("options", tests, sizeof(tests) / sizeof(tests[0]));
}
