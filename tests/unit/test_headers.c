/* test_headers.c - what changes in a head on its way through. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/exchange/headers.h"
#include "tests/unit/ctx_fixture.h"
#include "tests/unit/run.h"

static struct ctx_fixture f;
static struct cc_head *h;
static const struct conf_upstream api = {
	.name = "api",
	.https = true,
	.authority = "api.example:8443",
	.base_path = "",
};
static const struct conf_upstream based = {
	.name = "based",
	.authority = "inner",
	.base_path = "/v2",
};

static struct cc_str str(const char *s)
{
	return (struct cc_str){s, strlen(s)};
}

static void request(const char *method, const char *path)
{
	ck_assert_int_eq(
		cc_head_set_request(h, str(method), str("http"), str("api"), str(path)), 0);
}

static void add(const char *name, const char *value)
{
	ck_assert_int_eq(cc_head_add(h, str(name), str(value)), 0);
}

static void setup(void)
{
	fixture_begin(&f, 0);
	h = cc_head_new(f.ctx);
}

static void teardown(void)
{
	cc_head_free(h);
	fixture_end(&f);
}

static void check_str(struct cc_str got, const char *want)
{
	ck_assert_msg(got.n == strlen(want) && memcmp(got.p, want, got.n) == 0, "%.*s, not %s",
		(int)got.n, got.p, want);
}

START_TEST(scheme_and_authority_become_the_upstreams)
{
	request("GET", "/zen?x=1");
	ck_assert_int_eq(headers_request(h, &api), 0);
	check_str(cc_head_method(h), "GET");
	check_str(cc_head_scheme(h), "https");
	check_str(cc_head_authority(h), "api.example:8443");
	check_str(cc_head_path(h), "/zen?x=1");
}
END_TEST

START_TEST(the_urls_path_goes_in_front)
{
	request("GET", "/zen");
	ck_assert_int_eq(headers_request(h, &based), 0);
	check_str(cc_head_path(h), "/v2/zen");
	check_str(cc_head_scheme(h), "http");
}
END_TEST

START_TEST(options_of_the_whole_server_stays_one)
{
	request("OPTIONS", "*");
	ck_assert_int_eq(headers_request(h, &api), 0);
	check_str(cc_head_path(h), "*");
}
END_TEST

START_TEST(hop_by_hop_fields_and_those_connection_names_are_removed)
{
	request("GET", "/");
	add("Connection", "keep-alive, X-Secret");
	add("X-Secret", "1");
	add("Keep-Alive", "timeout=5");
	add("TE", "deflate");
	add("Upgrade", "websocket");
	add("Proxy-Connection", "close");
	add("Accept", "text/html");
	ck_assert_int_eq(headers_request(h, &api), 0);
	ck_assert_uint_eq(cc_head_count(h), 1);
	check_str(cc_head_name(h, 0), "accept");
}
END_TEST

START_TEST(of_te_exactly_the_word_trailers_goes_on)
{
	static const struct {
		const char *te;
		bool goes;
	} cases[] = {
		{"trailers", true},
		{"trailers, deflate", true},
		{"gzip;q=0.5,\tTrailers ", true},
		{"deflate", false},
		{"trailers;q=0.5", false},
		{"trailersx, xtrailers", false},
		{"", false},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		cc_head_reset(h);
		request("GET", "/");
		add("TE", cases[i].te);
		add("Connection", "TE");
		for (int again = 0; again < 2; again++) { /* a reload may send it elsewhere */
			ck_assert_int_eq(headers_request(h, &api), 0);
			ck_assert_uint_eq(cc_head_count(h), cases[i].goes);
		}
		if (!cases[i].goes)
			continue;
		check_str(cc_head_name(h, 0), "te");
		check_str(cc_head_value(h, 0), "trailers");
	}
}
END_TEST

/* ---- responses ---- */

static void response(void)
{
	cc_head_reset(h);
	ck_assert_int_eq(cc_head_set_status(h, 200), 0);
}

START_TEST(what_belongs_to_the_upstreams_connection_stays_there)
{
	const struct cc_head *clean;

	response();
	add("Connection", "keep-alive, X-Hop");
	add("X-Hop", "1");
	add("Content-Length", "7");
	add("Keep-Alive", "timeout=5");
	add("Transfer-Encoding", "chunked");
	add("Proxy-Connection", "close");
	add("Upgrade", "h2c");
	add("Server", "x");
	clean = headers_response(h);
	ck_assert_uint_eq(cc_head_status(clean), 200);
	ck_assert_uint_eq(cc_head_count(clean), 2);
	check_str(cc_head_name(clean, 0), "content-length");
	check_str(cc_head_name(clean, 1), "server");
}
END_TEST

START_TEST(a_response_without_such_fields_is_passed_as_it_is)
{
	response();
	add("Server", "x");
	add("Set-Cookie", "a=b");
	add("Set-Cookie", "c=d");
	ck_assert_ptr_eq(headers_response(h), h);
	ck_assert_uint_eq(cc_head_count(h), 3);
	check_str(cc_head_value(h, 2), "c=d");
}
END_TEST

/* RFC 9110 7.6.1: else a server could unframe its own message. */
START_TEST(connection_cannot_name_the_length_of_a_response)
{
	response();
	add("Connection", "content-length");
	add("Content-Length", "7");
	ck_assert_uint_eq(cc_head_count(headers_response(h)), 1);
	check_str(cc_head_value(h, 0), "7");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("headers");
	TCase *t = tcase_create("headers");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, scheme_and_authority_become_the_upstreams);
	tcase_add_test(t, the_urls_path_goes_in_front);
	tcase_add_test(t, options_of_the_whole_server_stays_one);
	tcase_add_test(t, hop_by_hop_fields_and_those_connection_names_are_removed);
	tcase_add_test(t, of_te_exactly_the_word_trailers_goes_on);
	tcase_add_test(t, what_belongs_to_the_upstreams_connection_stays_there);
	tcase_add_test(t, a_response_without_such_fields_is_passed_as_it_is);
	tcase_add_test(t, connection_cannot_name_the_length_of_a_response);
	suite_add_tcase(s, t);
	return run_suite_together(s);
}
