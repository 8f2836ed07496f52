/*
 * test_http1.c - the HTTP/1.1 front end as a client sees it: order, framing, interim answers,
 * versions, and the fields that end at each hop (RFC 9110, RFC 9112).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "tests/daemon/harness.h"

static void assert_pattern(const struct answer *a, size_t n)
{
	char *expect = malloc(n + 1);

	ck_assert_ptr_nonnull(expect);
	pattern_fill(expect, n, 0);
	bool same = a->len == n && memcmp(a->body, expect, n) == 0;

	free(expect);
	ck_assert_msg(same, "%zu bytes of %zu, or others", a->len, n);
	ck_assert(a->whole);
}

START_TEST(a_connection_carries_many_requests)
{
	struct client *c;

	daemon_for(origin_of(_i), "");
	c = client_open();
	for (size_t n = 0; n < 30; n++) {
		struct answer a = get(c, text("/bytes/%zu", n * 1000));

		ck_assert_uint_eq(a.status, 200);
		assert_pattern(&a, n * 1000);
	}
	client_close(c);
}
END_TEST

/* The slow one is first: with an HTTP/2 upstream the later answers could be there before. */
START_TEST(pipelined_requests_are_answered_in_order)
{
	static const char *const paths[] = {"/slow/300", "/bytes/3", "/slow/20", "/chunked/70000",
		"/status/204", "/bytes/1", "/slow/1", "/bytes/0"};
	static const size_t lengths[] = {3, 3, 3, 70000, 0, 1, 3, 0};
	struct client *c;

	daemon_for(origin_of(_i), "");
	c = client_open();
	for (size_t i = 0; i < 8; i++)
		client_say(c, "GET %s HTTP/1.1\r\nHost: origin\r\n\r\n", paths[i]);
	for (size_t i = 0; i < 8; i++) {
		struct answer a = client_answer(c);

		ck_assert_uint_eq(a.status, i == 4 ? 204 : 200);
		ck_assert_msg(a.len == lengths[i], "%s: %zu bytes", paths[i], a.len);
	}
	client_close(c);
}
END_TEST

START_TEST(a_thousand_pipelined_requests_are_answered)
{
	struct client *c;

	daemon_for(origin_of(_i), "");
	c = client_open();
	for (int i = 0; i < 1000; i++)
		client_say(c,
			"POST /echo HTTP/1.1\r\nHost: origin\r\nContent-Length: 4\r\n\r\n%04d", i);
	for (int i = 0; i < 1000; i++) {
		struct answer a = client_answer(c);

		ck_assert_uint_eq(a.status, 200);
		ck_assert_str_eq(a.body, text("%04d", i));
	}
	client_close(c);
}
END_TEST

START_TEST(chunked_requests_arrive_without_their_framing)
{
	struct client *c;
	struct answer a;

	daemon_for(origin_of(_i), "");
	c = client_open();
	client_say(c,
		"POST /echo HTTP/1.1\r\nHost: origin\r\nTransfer-Encoding: chunked\r\n\r\n"
		"5;ext=\"a;b\"\r\nhello\r\n0001\r\n \r\nA\r\n0123456789\r\n0\r\nX-Sum: 1\r\n\r\n");
	a = client_answer(c);
	ck_assert_str_eq(a.body, "hello 0123456789");
	client_say(c, "POST /echo HTTP/1.1\r\nHost: origin\r\nTransfer-Encoding: CHUNKED\r\n\r\n"
		      "0\r\n\r\n");
	a = client_answer(c);
	ck_assert_uint_eq(a.status, 200);
	ck_assert_uint_eq(a.len, 0);
	ck_assert_uint_eq(get(c, "/bytes/7").len, 7);
	client_close(c);
}
END_TEST

START_TEST(chunked_requests_may_come_byte_by_byte)
{
	static const char request[] =
		"POST /echo HTTP/1.1\r\nHost: origin\r\n"
		"Transfer-Encoding: chunked\r\n\r\n"
		"5\r\nhello\r\n1\r\n \r\na\r\n0123456789\r\n0\r\nT: v\r\n\r\n";
	struct client *c;
	struct answer a;

	daemon_for(origin_of(_i), "");
	c = client_open();
	for (size_t i = 0; i < sizeof(request) - 1; i++)
		client_write(c, request + i, 1);
	a = client_answer(c);
	ck_assert_str_eq(a.body, "hello 0123456789");
	ck_assert_uint_eq(get(c, "/bytes/7").len, 7);
	client_close(c);
}
END_TEST

START_TEST(answers_without_a_length_come_chunked_with_their_trailers)
{
	struct client *c;
	struct answer a;

	daemon_for(origin_of(_i), "");
	c = client_open();
	a = get(c, "/chunked/100000");
	ck_assert(a.chunked);
	assert_pattern(&a, 100000);
	a = get(c, "/trailers");
	ck_assert_str_eq(a.body, "ok\n");
	ck_assert_msg(strcasestr(a.trailers, "x-checksum: abc"), "trailers: %s", a.trailers);
	ck_assert_uint_eq(get(c, "/bytes/9").len, 9);
	client_close(c);
}
END_TEST

START_TEST(answers_with_a_length_keep_it)
{
	struct answer a;

	daemon_for(origin_of(_i), "");
	a = get_once("/bytes/12345");
	ck_assert(a.sized && !a.chunked);
	assert_pattern(&a, 12345);
}
END_TEST

/* So many bytes can be read. */
static bool has_come(const struct client *c, int n)
{
	int there = 0;

	return ioctl(c->fd, FIONREAD, &there) == 0 && there >= n;
}

/* A server-sent event must not wait for the next one. */
START_TEST(pieces_of_an_answer_are_passed_on_as_they_come)
{
	struct client *c;

	daemon_for(origin_of(_i), "");
	c = client_ask("/stall-body/2000"); /* the second piece never comes */
	WAIT_FOR(has_come(c, 900));
	client_close(c);
}
END_TEST

START_TEST(bodiless_answers_leave_the_connection_in_step)
{
	static const unsigned status[] = {204, 304, 200};
	struct client *c;

	daemon_for(origin_of(_i), "");
	c = client_open();
	for (int round = 0; round < 3; round++) {
		for (size_t i = 0; i < 3; i++) {
			struct answer a;

			client_say(c, "HEAD /bytes/%zu HTTP/1.1\r\nHost: origin\r\n\r\n", i);
			a = client_next(c, true);
			ck_assert_uint_eq(a.status, 200);
			ck_assert_str_eq(answer_field(&a, "content-length"), text("%zu", i));
			a = get(c, text("/status/%u", status[i]));
			ck_assert_uint_eq(a.status, status[i]);
			ck_assert_ptr_null(answer_field(&a, "transfer-encoding"));
			if (status[i] == 204)
				ck_assert_ptr_null(answer_field(&a, "content-length"));
		}
	}
	client_say(c, "HEAD /chunked/100 HTTP/1.1\r\nHost: origin\r\n\r\n");
	ck_assert_uint_eq(client_next(c, true).status, 200);
	ck_assert_uint_eq(get(c, "/bytes/5").len, 5);
	client_close(c);
}
END_TEST

START_TEST(statuses_are_passed_on)
{
	static const unsigned status[] = {201, 206, 301, 400, 401, 404, 429, 500, 503, 599};
	struct client *c;

	daemon_for(origin_of(_i), "");
	c = client_open();
	for (size_t i = 0; i < sizeof(status) / sizeof(status[0]); i++) {
		struct answer a = get(c, text("/status/%u", status[i]));

		ck_assert_uint_eq(a.status, status[i]);
		ck_assert_str_eq(a.body, "ok\n");
		ck_assert_ptr_null(answer_field(&a, "proxy-status"));
	}
	client_close(c);
}
END_TEST

/* ---- interim answers ---- */

static struct client *expecting(const char *path)
{
	struct client *c = client_open();

	client_say(c,
		"POST %s HTTP/1.1\r\nHost: origin\r\nContent-Length: 5\r\n"
		"Expect: 100-continue\r\n\r\n",
		path);
	return c;
}

START_TEST(expect_is_answered_by_the_upstream)
{
	struct client *c;

	daemon_for(origin_of(_i), "");
	c = expecting("/continue");
	ck_assert_uint_eq(client_next(c, false).status, 100);
	client_say(c, "hello");
	ck_assert_uint_eq(client_answer(c).len, 65);
	ck_assert_uint_eq(get(c, "/bytes/5").len, 5);
	client_close(c);
}
END_TEST

START_TEST(expect_is_answered_by_the_daemon_when_the_upstream_is_silent)
{
	uint64_t begun;
	struct client *c;

	daemon_for(origin_of(_i), "");
	ck_assert_uint_eq(get_once("/").status, 200);
	begun = harness_now();
	c = expecting("/sha");
	ck_assert_uint_eq(client_next(c, false).status, 100);
	ck_assert_uint_ge(harness_now() - begun, 150);
	client_say(c, "hello");
	ck_assert_uint_eq(client_answer(c).len, 65);
	ck_assert_uint_eq(get(c, "/bytes/5").len, 5);
	client_close(c);
}
END_TEST

START_TEST(expect_may_be_answered_by_a_refusal)
{
	struct client *c;
	struct answer a;

	daemon_for(origin_of(_i), "");
	ck_assert_uint_eq(get_once("/").status, 200);
	c = expecting("/early-drain/50");
	a = client_next(c, false);
	ck_assert_uint_eq(a.status, 413);
	ck_assert(a.whole);
	client_close(c);
	ck_assert_uint_eq(get_once("/bytes/5").len, 5);
}
END_TEST

START_TEST(clients_that_expect_but_do_not_wait_are_served)
{
	struct client *c;

	daemon_for(origin_of(_i), "");
	c = expecting("/sha");
	client_say(c, "hello");
	ck_assert_uint_eq(client_answer(c).len, 65);
	ck_assert_uint_eq(get(c, "/bytes/5").len, 5);
	client_close(c);
}
END_TEST

START_TEST(interim_answers_are_passed_on)
{
	struct client *c;
	struct answer a;

	daemon_for(origin_of(_i), "");
	c = client_ask("/hints");
	a = client_next(c, false);
	ck_assert_uint_eq(a.status, 103);
	ck_assert_str_eq(answer_field(&a, "link"), "</s.css>; rel=preload");
	a = client_next(c, false);
	ck_assert_uint_eq(a.status, 200);
	ck_assert_str_eq(a.body, "ok\n");
	client_close(c);
}
END_TEST

/* RFC 9110 15.2: HTTP/1.0 knows no 1xx. */
START_TEST(http_1_0_clients_get_no_interim_answer)
{
	struct client *c;

	daemon_for(origin_of(_i), "");
	c = client_open();
	client_say(c, "GET /hints HTTP/1.0\r\nHost: origin\r\n\r\n");
	ck_assert_uint_eq(client_next(c, false).status, 200);
	client_close(c);
}
END_TEST

/* ---- the end of a connection ---- */

START_TEST(connection_close_is_honoured)
{
	struct client *c;
	struct answer a;

	daemon_for(origin_of(_i), "");
	c = client_open();
	client_say(c, "GET /chunked/10 HTTP/1.1\r\nHost: origin\r\nConnection: foo, Close\r\n\r\n"
		      "GET /never HTTP/1.1\r\nHost: origin\r\n\r\n");
	a = client_answer(c);
	ck_assert_uint_eq(a.status, 200);
	assert_pattern(&a, 10);
	ck_assert_str_eq(answer_field(&a, "connection"), "close");
	ck_assert(client_closed(c));
	client_close(c);
}
END_TEST

START_TEST(close_of_the_upstream_is_not_passed_on)
{
	struct client *c;

	daemon_for(origin_of(_i), "");
	c = client_open();
	for (int i = 0; i < 5; i++) {
		struct answer a = get(c, "/close-after");

		ck_assert_uint_eq(a.status, 200);
		ck_assert_ptr_null(answer_field(&a, "connection"));
	}
	client_close(c);
}
END_TEST

START_TEST(http_1_0_clients_get_no_chunks_and_a_close)
{
	static const char *const paths[] = {"/chunked/50000", "/bytes/50000"};

	daemon_for(origin_of(_i), "");
	for (size_t i = 0; i < 2; i++) {
		struct client *c = client_open();
		struct answer a;

		client_say(c, "GET %s HTTP/1.0\r\nHost: origin\r\n\r\n", paths[i]);
		a = client_answer(c);
		ck_assert_uint_eq(a.status, 200);
		ck_assert(!a.chunked);
		assert_pattern(&a, 50000);
		ck_assert(client_closed(c));
		client_close(c);
	}
}
END_TEST

START_TEST(http_1_0_without_host_reaches_the_only_upstream)
{
	struct client *c;

	daemon_for(origin_of(_i), "");
	c = client_open();
	client_say(c, "GET /bytes/10 HTTP/1.0\r\n\r\n");
	ck_assert_uint_eq(client_answer(c).len, 10);
	client_close(c);
}
END_TEST

START_TEST(idle_clients_are_closed)
{
	struct client *c;

	daemon_start(config("idle_timeout = \"300ms\";", upstream(NULL, h1_origin(), "")));
	c = client_open();
	ck_assert_uint_eq(get(c, "/").status, 200);
	ck_assert(client_closed(c));
	client_close(c);
}
END_TEST

/* The time belongs to idle clients: a slow answer is none. */
START_TEST(waiting_clients_are_not_idle)
{
	struct client *c;

	daemon_start(config("idle_timeout = \"200ms\"; header_timeout = \"200ms\";",
		upstream(NULL, h1_origin(), "")));
	c = client_open();
	ck_assert_uint_eq(get(c, "/slow/800").status, 200);
	client_close(c);
	c = client_open(); /* the other one may have been idle since, if this process stood */
	client_say(c, "POST /sha HTTP/1.1\r\nHost: origin\r\nContent-Length: 10\r\n\r\nhello");
	ck_assert(client_quiet(c, 600));
	client_say(c, "hello");
	ck_assert_uint_eq(client_answer(c).status, 200);
	client_close(c);
}
END_TEST

/* ---- heads ---- */

/* The head as the origin saw it, fields in small letters whatever the version. */
static char *seen_head(const char *request)
{
	struct client *c = client_open();
	struct answer a;
	char *head;

	client_say(c, "%s", request);
	a = client_answer(c);
	ck_assert_uint_eq(a.status, 200);
	client_close(c);
	head = text("%s", a.body);
	for (char *p = head; *p; p++)
		if (*p >= 'A' && *p <= 'Z')
			*p += 'a' - 'A';
	return head;
}

static void assert_has(const char *head, const char *what)
{
	ck_assert_msg(strstr(head, what), "no %s in\n%s", what, head);
}

static void assert_has_not(const char *head, const char *what)
{
	ck_assert_msg(!strstr(head, what), "%s in\n%s", what, head);
}

START_TEST(fields_of_the_hop_do_not_reach_the_origin)
{
	const char *head;

	daemon_for(origin_of(_i), "");
	head = seen_head(
		"GET /head HTTP/1.1\r\nHost: origin\r\nConnection: x-secret, keep-alive\r\n"
		"Connection: x-other\r\nX-Secret: 1\r\nX-Other: 1\r\nKeep-Alive: timeout=5\r\n"
		"Proxy-Connection: keep-alive\r\nUpgrade: websocket\r\nTE: gzip\r\n"
		"X-Kept: yes\r\n\r\n");
	assert_has(head, "x-kept: yes\r\n");
	assert_has_not(head, "x-secret");
	assert_has_not(head, "x-other");
	assert_has_not(head, "keep-alive");
	assert_has_not(head, "proxy-connection");
	assert_has_not(head, "upgrade");
	assert_has_not(head, "gzip");
}
END_TEST

START_TEST(fields_of_the_hop_do_not_reach_the_client)
{
	struct answer a;

	daemon_for(h1_origin(), "");
	a = get_once("/hop");
	ck_assert_str_eq(answer_field(&a, "x-kept"), "1");
	ck_assert_ptr_null(answer_field(&a, "x-secret"));
	ck_assert_ptr_null(answer_field(&a, "keep-alive"));
	ck_assert_ptr_null(answer_field(&a, "proxy-connection"));
}
END_TEST

START_TEST(fields_keep_their_order_and_their_values)
{
	const char *head;

	daemon_for(origin_of(_i), "");
	head = seen_head(
		"GET /head?a=b%20c&d=%2F//x/../y HTTP/1.1\r\nHost: origin\r\nA: 1\r\nB:2  \r\n"
		"A: 3\r\nC:\r\nAccept: text/*;q=0.3, \"x\"\r\nCookie: a=1\r\nCookie: b=2\r\n\r\n");
	assert_has(head, "/head?a=b%20c&d=%2f//x/../y");
	assert_has(head, "a: 1\r\nb: 2\r\na: 3\r\n");
	assert_has(head, "accept: text/*;q=0.3, \"x\"\r\n");
	ck_assert_ptr_nonnull(strstr(head, "c:"));
	ck_assert_msg(strstr(head, "a=1") && strstr(head, "b=2"), "%s", head);
	assert_has_not(head, "via");
	assert_has_not(head, "x-forwarded");
}
END_TEST

/* gRPC servers ask for it (RFC 9110 10.1.4, RFC 9113 8.2.2). */
START_TEST(of_te_the_word_trailers_reaches_the_origin)
{
	const char *head;

	daemon_for(origin_of(_i), "");
	head = seen_head("GET /head HTTP/1.1\r\nHost: origin\r\nTE: trailers, deflate\r\n"
			 "Connection: TE\r\n\r\n");
	assert_has(head, "\nte: trailers\r\n");
	assert_has_not(head, "deflate");
	if (_i)
		assert_has_not(head, "connection");
	else
		assert_has(head, "\r\nconnection: te\r\n");
}
END_TEST

START_TEST(the_origin_is_named_by_its_own_authority)
{
	struct origin *o = origin_of(_i);
	const char *head;

	daemon_for(o, "");
	head = seen_head("GET /head HTTP/1.1\r\nHost: origin\r\n\r\n");
	assert_has(head, text("%s: 127.0.0.1:%u\r\n", _i ? ":authority" : "host", origin_port(o)));
	if (_i)
		assert_has(head, ":scheme: https\r\n");
}
END_TEST

START_TEST(absolute_targets_name_the_upstream)
{
	const char *head;

	daemon_for(origin_of(_i), "");
	head = seen_head("GET http://ORIGIN:80/head?x HTTP/1.1\r\nHost: elsewhere\r\n\r\n");
	assert_has(head, _i ? ":path: /head?x\r\n" : "get /head?x http/1.1\r\n");
	assert_has_not(head, "elsewhere");
}
END_TEST

START_TEST(options_of_the_server_as_a_whole_are_answered)
{
	struct client *c;
	struct answer a;

	daemon_for(origin_of(_i), "");
	c = client_open();
	client_say(c, "OPTIONS * HTTP/1.1\r\nHost: origin\r\n\r\n");
	a = client_answer(c);
	ck_assert_msg(a.status >= 200 && a.status < 500 && a.whole, "%s", a.head);
	client_close(c);
	ck_assert_uint_eq(get_once("/bytes/5").len, 5);
}
END_TEST

START_TEST(empty_lines_before_a_request_are_skipped)
{
	struct client *c;

	daemon_for(h1_origin(), "");
	c = client_open();
	client_say(c, "\r\nGET /bytes/5 HTTP/1.1\r\nHost: origin\r\n\r\n\r\n");
	ck_assert_uint_eq(client_answer(c).len, 5);
	ck_assert_uint_eq(get(c, "/bytes/6").len, 6);
	client_close(c);
}
END_TEST

static void set_two_cookies(struct origin_conn *oc)
{
	while (oc_read_head(oc))
		if (!oc_say(oc, "HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nX-Between: 1\r\n"
				"Set-Cookie: b=2\r\n"
				"Content-Length: 0\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n\r\n"))
			return;
}

START_TEST(repeated_fields_of_an_answer_stay_apart)
{
	struct answer a;
	char *first;

	daemon_for(some_origin(&(struct origin_opts){.serve = set_two_cookies}), "");
	a = get_once("/");
	first = strcasestr(a.head, "set-cookie: a=1\r\n");
	ck_assert_ptr_nonnull(first);
	ck_assert_ptr_nonnull(strcasestr(first, "set-cookie: b=2\r\n"));
	ck_assert_str_eq(answer_field(&a, "date"), "Thu, 01 Jan 1970 00:00:00 GMT");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("http1");
	TCase *framing = harness_case(s, "framing"), *interim = harness_case(s, "interim");
	TCase *end = harness_case(s, "end"), *heads = harness_case(s, "heads");

	tcase_add_loop_test(framing, a_connection_carries_many_requests, 0, 2);
	tcase_add_loop_test(framing, pipelined_requests_are_answered_in_order, 0, 2);
	tcase_add_loop_test(framing, a_thousand_pipelined_requests_are_answered, 0, 2);
	tcase_add_loop_test(framing, chunked_requests_arrive_without_their_framing, 0, 2);
	tcase_add_loop_test(framing, chunked_requests_may_come_byte_by_byte, 0, 2);
	tcase_add_loop_test(
		framing, answers_without_a_length_come_chunked_with_their_trailers, 0, 2);
	tcase_add_loop_test(framing, answers_with_a_length_keep_it, 0, 2);
	tcase_add_loop_test(framing, pieces_of_an_answer_are_passed_on_as_they_come, 0, 2);
	tcase_add_loop_test(framing, bodiless_answers_leave_the_connection_in_step, 0, 2);
	tcase_add_loop_test(framing, statuses_are_passed_on, 0, 2);

	tcase_add_loop_test(interim, expect_is_answered_by_the_upstream, 0, 2);
	tcase_add_loop_test(
		interim, expect_is_answered_by_the_daemon_when_the_upstream_is_silent, 0, 2);
	tcase_add_loop_test(interim, expect_may_be_answered_by_a_refusal, 0, 2);
	tcase_add_loop_test(interim, clients_that_expect_but_do_not_wait_are_served, 0, 2);
	tcase_add_loop_test(interim, interim_answers_are_passed_on, 0, 2);
	tcase_add_loop_test(interim, http_1_0_clients_get_no_interim_answer, 0, 2);

	tcase_add_loop_test(end, connection_close_is_honoured, 0, 2);
	tcase_add_loop_test(end, close_of_the_upstream_is_not_passed_on, 0, 2);
	tcase_add_loop_test(end, http_1_0_clients_get_no_chunks_and_a_close, 0, 2);
	tcase_add_loop_test(end, http_1_0_without_host_reaches_the_only_upstream, 0, 2);
	tcase_add_test(end, idle_clients_are_closed);
	tcase_add_test(end, waiting_clients_are_not_idle);

	tcase_add_loop_test(heads, fields_of_the_hop_do_not_reach_the_origin, 0, 2);
	tcase_add_test(heads, fields_of_the_hop_do_not_reach_the_client);
	tcase_add_loop_test(heads, fields_keep_their_order_and_their_values, 0, 2);
	tcase_add_loop_test(heads, the_origin_is_named_by_its_own_authority, 0, 2);
	tcase_add_loop_test(heads, of_te_the_word_trailers_reaches_the_origin, 0, 2);
	tcase_add_loop_test(heads, absolute_targets_name_the_upstream, 0, 2);
	tcase_add_loop_test(heads, options_of_the_server_as_a_whole_are_answered, 0, 2);
	tcase_add_test(heads, empty_lines_before_a_request_are_skipped);
	tcase_add_test(heads, repeated_fields_of_an_answer_stay_apart);
	return harness_main(s);
}
