/*
 * test_answers.c - the answers that the daemon gives itself: JSON problems (RFC 9457) with a
 * Proxy-Status field (RFC 9209) that name the cause, the upstream and the limit.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/daemon/harness.h"

static void assert_says(const struct answer *a, const char *what)
{
	ck_assert_msg(strstr(a->body, what), "no %s in %s", what, a->body);
}

static void assert_error(const struct answer *a, const char *type)
{
	const char *proxy = answer_field(a, "proxy-status");

	ck_assert_msg(proxy && strstr(proxy, text("error=%s", type)), "not %s: %s", type, a->head);
}

/* Without a server: nobody listens on port 1. */
static void daemon_for_nobody(void)
{
	daemon_start(config("", upstream_at("origin", false, "h1", 1, "")));
}

START_TEST(refused_connections_name_the_upstream_and_the_cause)
{
	struct answer a;

	daemon_for_nobody();
	a = get_once("/");
	assert_own_answer(&a, 502);
	assert_error(&a, "connection_refused");
	assert_says(&a, "origin");
	assert_says(&a, "127.0.0.1:1");
	assert_says(&a, "refused");
}
END_TEST

START_TEST(the_access_line_tells_a_local_reply_from_a_response)
{
	struct answer a;

	daemon_start(text("log : { access = \"all\"; };\n%s",
		config("", text("%s,\n%s", upstream_at("nobody", false, "h1", 1, ""),
				   upstream("origin", h1_origin(), "")))));
	a = get_once("/good");
	ck_assert_uint_eq(a.status, 200);
	WAIT_FOR(daemon_logged_lines("path=\"/good\"", " end=ok ") == 1);
	curl("-s http://nobody/bad");
	WAIT_FOR(daemon_logged_lines("path=\"/bad\"", " end=local_reply ") == 1);
}
END_TEST

START_TEST(own_answers_leave_the_connection_usable)
{
	struct client *c;

	daemon_for_nobody();
	c = client_open();
	for (int i = 0; i < 5; i++) {
		struct answer a = get(c, "/");

		assert_own_answer(&a, a.status);
		ck_assert_uint_ge(a.status, 502);
	}
	client_close(c);
}
END_TEST

START_TEST(own_answers_to_head_have_no_body)
{
	struct client *c;
	struct answer a;

	daemon_for_nobody();
	c = client_open();
	client_say(c, "HEAD / HTTP/1.1\r\nHost: origin\r\nConnection: close\r\n\r\n");
	a = client_next(c, true);
	ck_assert_uint_eq(a.status, 502);
	ck_assert(client_closed(c));
	client_close(c);
}
END_TEST

/* HEAD was the request before: what it forbade is not forbidden to this answer. */
START_TEST(a_bad_request_after_head_gets_its_body)
{
	struct client *c;
	struct answer a;

	daemon_for(h1_origin(), "");
	c = client_open();
	client_say(c, "HEAD /bytes/10 HTTP/1.1\r\nHost: origin\r\n\r\n");
	ck_assert_uint_eq(client_next(c, true).status, 200);
	client_say(c, "GET / HTTP/1.1\r\nHost: origin\r\nBad Field: x\r\n\r\n");
	a = client_answer(c);
	assert_own_answer(&a, 400);
	ck_assert(client_closed(c));
	client_close(c);
}
END_TEST

/*
 * The answer is there before the body: the rest is taken or the connection closes, never mixed up.
 */
START_TEST(own_answers_to_uploads_do_not_mix_with_the_body)
{
	struct client *c;
	struct answer a;

	daemon_for_nobody();
	c = client_open();
	client_say(c, "POST / HTTP/1.1\r\nHost: origin\r\nContent-Length: 38\r\n\r\n");
	a = client_answer(c);
	assert_own_answer(&a, 502);
	client_say(c, "GET /body HTTP/1.1\r\nHost: origin\r\n\r\n\r\n");
	client_say(c, "GET /next HTTP/1.1\r\nHost: origin\r\n\r\n");
	a = client_answer(c);
	if (a.status) {
		ck_assert_uint_ge(a.status, 502);
		ck_assert(client_quiet(c, 300) || c->eof);
	}
	client_close(c);
}
END_TEST

START_TEST(http_1_0_clients_get_own_answers_as_well)
{
	struct client *c;
	struct answer a;

	daemon_for_nobody();
	c = client_open();
	client_say(c, "GET / HTTP/1.0\r\n\r\n");
	a = client_answer(c);
	assert_own_answer(&a, 502);
	ck_assert(!a.chunked);
	ck_assert(client_closed(c));
	client_close(c);
}
END_TEST

START_TEST(untrusted_certificates_are_502_with_the_reason)
{
	struct origin *o = h2_origin();
	struct answer a;

	daemon_start(config("", text("{ name = \"origin\"; url = \"https://127.0.0.1:%u\"; "
				     "tls : { ca_file = \"%s/../other-ca.pem\"; "
				     "server_name = \"localhost\"; }; }",
					origin_port(o), harness_dir())));
	a = get_once("/");
	assert_own_answer(&a, 502);
	assert_error(&a, "tls_certificate_error");
	assert_says(&a, "certificate");
	ck_assert_uint_eq(origin_counts(o).requests, 0);
}
END_TEST

START_TEST(certificates_of_another_name_are_502_with_the_name)
{
	struct origin *o = h2_origin();
	struct answer a;

	daemon_start(config(
		"", text("{ name = \"origin\"; url = \"https://127.0.0.1:%u\"; "
			 "tls : { ca_file = \"%s/../ca.pem\"; server_name = \"else.example\"; }; }",
			    origin_port(o), harness_dir())));
	a = get_once("/");
	assert_own_answer(&a, 502);
	assert_error(&a, "tls_certificate_error");
	assert_says(&a, "else.example");
	ck_assert_uint_eq(origin_counts(o).requests, 0);
}
END_TEST

START_TEST(names_that_do_not_exist_are_502)
{
	struct answer a;

	daemon_start(config("", "{ name = \"origin\"; url = \"http://does-not-exist.invalid\"; "
				"connect_timeout = \"2s\"; queue_timeout = \"8s\"; }"));
	a = get_once("/");
	ck_assert_msg(a.status == 502 || a.status == 504, "%s", a.head);
	assert_own_answer(&a, a.status);
	assert_says(&a, "does-not-exist.invalid");
}
END_TEST

START_TEST(slow_answers_are_504)
{
	struct answer a;

	daemon_for(origin_of(_i), "response_timeout = \"300ms\";");
	a = get_once("/stall");
	assert_own_answer(&a, 504);
	assert_error(&a, "http_response_timeout");
	assert_says(&a, "response_timeout");
	assert_says(&a, "origin");
}
END_TEST

START_TEST(trace_and_connect_are_refused)
{
	struct origin *o = h1_origin();
	struct client *c;
	struct answer a;

	daemon_for(o, "");
	c = client_open();
	client_say(c, "TRACE / HTTP/1.1\r\nHost: origin\r\n\r\n");
	a = client_answer(c);
	ck_assert_msg(a.status == 405 || a.status == 501, "%s", a.head);
	assert_own_answer(&a, a.status);
	client_close(c);
	c = client_open();
	client_say(c, "CONNECT origin:80 HTTP/1.1\r\nHost: origin:80\r\n\r\n");
	a = client_answer(c);
	ck_assert_msg(a.status == 405 || a.status == 501, "%s", a.head);
	assert_own_answer(&a, a.status);
	client_close(c);
	ck_assert_uint_eq(origin_counts(o).requests, 0);
}
END_TEST

/* It was meant for the tunnel that there is not. */
START_TEST(what_follows_a_refused_connect_is_no_request)
{
	struct origin *o = h1_origin();
	struct client *c;
	struct answer a;

	daemon_for(o, "");
	c = client_open();
	client_say(c, "CONNECT origin:80 HTTP/1.1\r\nHost: origin:80\r\n\r\n"
		      "GET /tunnelled HTTP/1.1\r\nHost: origin\r\n\r\n");
	a = client_answer(c);
	ck_assert_msg(a.status == 405 || a.status == 501, "%s", a.head);
	ck_assert_str_eq(answer_field(&a, "connection"), "close");
	ck_assert(client_closed(c));
	client_close(c);
	ck_assert_uint_eq(origin_counts(o).requests, 0);
}
END_TEST

START_TEST(bad_requests_say_what_is_wrong)
{
	struct client *c;
	struct answer a;

	daemon_for(h1_origin(), "");
	c = client_open();
	client_say(c, "GET / HTTP/1.1\r\nHost: origin\r\nX: a\r\n b\r\n\r\n");
	a = client_answer(c);
	assert_own_answer(&a, 400);
	assert_says(&a, "\"detail\"");
	assert_says(&a, "RFC 9112 5.2");
	ck_assert_str_eq(answer_field(&a, "connection"), "close");
	client_close(c);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("answers");
	TCase *tc = harness_case(s, "answers");

	tcase_add_test(tc, refused_connections_name_the_upstream_and_the_cause);
	tcase_add_test(tc, the_access_line_tells_a_local_reply_from_a_response);
	tcase_add_test(tc, own_answers_leave_the_connection_usable);
	tcase_add_test(tc, own_answers_to_head_have_no_body);
	tcase_add_test(tc, a_bad_request_after_head_gets_its_body);
	tcase_add_test(tc, own_answers_to_uploads_do_not_mix_with_the_body);
	tcase_add_test(tc, http_1_0_clients_get_own_answers_as_well);
	tcase_add_test(tc, untrusted_certificates_are_502_with_the_reason);
	tcase_add_test(tc, certificates_of_another_name_are_502_with_the_name);
	tcase_add_test(tc, names_that_do_not_exist_are_502);
	tcase_add_loop_test(tc, slow_answers_are_504, 0, 2);
	tcase_add_test(tc, trace_and_connect_are_refused);
	tcase_add_test(tc, what_follows_a_refused_connect_is_no_request);
	tcase_add_test(tc, bad_requests_say_what_is_wrong);
	return harness_main(s);
}
