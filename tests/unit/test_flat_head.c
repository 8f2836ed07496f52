/* test_flat_head.c - a head that goes from one context to another stays the same. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <clientconn/head.h>

#include "daemon/base/flat_head.h"
#include "tests/unit/ctx_fixture.h"
#include "tests/unit/run.h"

static struct ctx_fixture from, to;
static struct cc_head *head;

static void setup(void)
{
	fixture_begin(&from, 0);
	fixture_begin(&to, 0);
	head = cc_head_new(from.ctx);
}

static void teardown(void)
{
	fixture_end(&from);
	fixture_end(&to);
}

static struct cc_str str(const char *s)
{
	return (struct cc_str){s, strlen(s)};
}

static void add(const char *name, const char *value)
{
	ck_assert_int_eq(cc_head_add(head, str(name), str(value)), 0);
}

static void assert_str(struct cc_str got, const char *want)
{
	ck_assert_msg(got.n == strlen(want) && memcmp(got.p, want, got.n) == 0, "%.*s, not %s",
		(int)got.n, got.p, want);
}

static void assert_field(const struct cc_head *h, size_t i, const char *name, const char *value)
{
	assert_str(cc_head_name(h, i), name);
	assert_str(cc_head_value(h, i), value);
}

/* head is gone when the other one is made. */
static struct cc_head *moved(void)
{
	struct flat_head *flat = flat_head_of(head);
	struct cc_head *h;

	ck_assert_ptr_nonnull(flat);
	cc_head_free(head);
	h = flat_head_build(to.ctx, flat);
	free(flat);
	ck_assert_ptr_nonnull(h);
	return h;
}

START_TEST(request_stays_as_it_was)
{
	struct cc_head *h;

	ck_assert_int_eq(
		cc_head_set_request(head, str("POST"), str("http"), str("api:80"), str("/a?b=c")),
		0);
	add("Content-Length", "3");
	add("x-empty", "");
	add("connection", "x-hop, te");
	add("x-empty", "not now");
	h = moved();
	ck_assert_uint_eq(cc_head_status(h), 0);
	assert_str(cc_head_method(h), "POST");
	assert_str(cc_head_scheme(h), "http");
	assert_str(cc_head_authority(h), "api:80");
	assert_str(cc_head_path(h), "/a?b=c");
	ck_assert_uint_eq(cc_head_count(h), 4);
	assert_field(h, 0, "content-length", "3");
	assert_field(h, 1, "x-empty", "");
	assert_field(h, 2, "connection", "x-hop, te");
	assert_field(h, 3, "x-empty", "not now");
	ck_assert_int_eq(cc_head_find(h, CC_T_CONNECTION, 0), 2);
	ck_assert_int_eq(cc_head_content_length(h), 3);
	cc_head_free(h);
}
END_TEST

START_TEST(request_without_authority_stays_as_it_was)
{
	struct cc_head *h;

	ck_assert_int_eq(cc_head_set_request(head, str("OPTIONS"), str(""), str(""), str("*")), 0);
	h = moved();
	assert_str(cc_head_method(h), "OPTIONS");
	assert_str(cc_head_authority(h), "");
	assert_str(cc_head_path(h), "*");
	ck_assert_uint_eq(cc_head_count(h), 0);
	cc_head_free(h);
}
END_TEST

START_TEST(answer_stays_as_it_was)
{
	struct cc_head *h;

	cc_head_set_status(head, 304);
	add("etag", "\"1\"");
	h = moved();
	ck_assert_uint_eq(cc_head_status(h), 304);
	assert_str(cc_head_method(h), "");
	ck_assert_uint_eq(cc_head_count(h), 1);
	assert_field(h, 0, "etag", "\"1\"");
	cc_head_free(h);
}
END_TEST

START_TEST(trailers_stay_as_they_were)
{
	struct cc_head *h;

	add("x-sum", "7");
	h = moved();
	ck_assert_uint_eq(cc_head_status(h), 0);
	assert_str(cc_head_method(h), "");
	ck_assert_uint_eq(cc_head_count(h), 1);
	assert_field(h, 0, "x-sum", "7");
	cc_head_free(h);
}
END_TEST

START_TEST(large_head_stays_as_it_was)
{
	static char value[20001];
	struct cc_head *h;
	char name[16];

	memset(value, 'v', sizeof(value) - 1);
	cc_head_set_status(head, 200);
	for (int i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "x-%d", i);
		add(name, i == 50 ? value : name);
	}
	h = moved();
	ck_assert_uint_eq(cc_head_count(h), 100);
	assert_field(h, 0, "x-0", "x-0");
	assert_field(h, 50, "x-50", value);
	assert_field(h, 99, "x-99", "x-99");
	cc_head_free(h);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("flat head");
	TCase *c = tcase_create("flat head");

	suite_add_tcase(s, c);
	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, request_stays_as_it_was);
	tcase_add_test(c, request_without_authority_stays_as_it_was);
	tcase_add_test(c, answer_stays_as_it_was);
	tcase_add_test(c, trailers_stay_as_they_were);
	tcase_add_test(c, large_head_stays_as_it_was);
	return run_suite(s);
}
