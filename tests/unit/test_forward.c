/* test_forward.c - what changes in a request's head on its way through. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/exchange/forward.h"
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
	ck_assert_int_eq(forward_request(h, &api), 0);
	check_str(cc_head_method(h), "GET");
	check_str(cc_head_scheme(h), "https");
	check_str(cc_head_authority(h), "api.example:8443");
	check_str(cc_head_path(h), "/zen?x=1");
}
END_TEST

START_TEST(the_urls_path_goes_in_front)
{
	request("GET", "/zen");
	ck_assert_int_eq(forward_request(h, &based), 0);
	check_str(cc_head_path(h), "/v2/zen");
	check_str(cc_head_scheme(h), "http");
}
END_TEST

START_TEST(options_of_the_whole_server_stays_one)
{
	request("OPTIONS", "*");
	ck_assert_int_eq(forward_request(h, &api), 0);
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
	ck_assert_int_eq(forward_request(h, &api), 0);
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
			ck_assert_int_eq(forward_request(h, &api), 0);
			ck_assert_uint_eq(cc_head_count(h), cases[i].goes);
		}
		if (!cases[i].goes)
			continue;
		check_str(cc_head_name(h, 0), "te");
		check_str(cc_head_value(h, 0), "trailers");
	}
}
END_TEST

START_TEST(tunnels_traces_and_unknown_expectations_are_refused)
{
	const char *why = NULL;

	request("CONNECT", "api:443");
	ck_assert_uint_eq(forward_refuse(h, &why), 501);
	ck_assert_ptr_nonnull(why);
	request("TRACE", "/");
	ck_assert_uint_eq(forward_refuse(h, &why), 501);
	request("POST", "/");
	add("Expect", "200-maybe");
	ck_assert_uint_eq(forward_refuse(h, &why), 417);
	cc_head_reset(h);
	request("POST", "/");
	add("Expect", "100-Continue");
	ck_assert_uint_eq(forward_refuse(h, &why), 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("forward");
	TCase *t = tcase_create("request");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, scheme_and_authority_become_the_upstreams);
	tcase_add_test(t, the_urls_path_goes_in_front);
	tcase_add_test(t, options_of_the_whole_server_stays_one);
	tcase_add_test(t, hop_by_hop_fields_and_those_connection_names_are_removed);
	tcase_add_test(t, of_te_exactly_the_word_trailers_goes_on);
	tcase_add_test(t, tunnels_traces_and_unknown_expectations_are_refused);
	suite_add_tcase(s, t);
	return run_suite_together(s);
}
