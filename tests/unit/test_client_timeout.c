/* test_client_timeout.c - the time that a client gives its request. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/exchange/client_timeout.h"
#include "tests/unit/ctx_fixture.h"
#include "tests/unit/run.h"

static struct ctx_fixture f;
static struct cc_head *h;
static uint64_t ms;

static struct cc_str str(const char *s)
{
	return (struct cc_str){s, strlen(s)};
}

static void setup(void)
{
	fixture_begin(&f, 0);
	h = cc_head_new(f.ctx);
	ck_assert_int_eq(cc_head_add(h, CC_STR("accept"), CC_STR("*/*")), 0);
}

static void teardown(void)
{
	cc_head_free(h);
	fixture_end(&f);
}

START_TEST(times_are_seconds_or_have_a_unit)
{
	static const struct {
		const char *text;
		uint64_t ms;
	} times[] = {
		{"1", 1000},
		{"2.5", 2500},
		{"2.5s", 2500},
		{"10s", 10000},
		{"500ms", 500},
		{"0.5ms", 1},
		{"0.0001", 1},
		{"1.0005", 1001},
		{"1.5m", 90000},
		{"1h", 3600000},
		{"007", 7000},
		{"999999999999h", UINT64_C(999999999999) * 3600000},
		{"0.1234567890123456789", 124},
	};

	for (size_t i = 0; i < sizeof(times) / sizeof(*times); i++) {
		ck_assert_msg(client_timeout_parse(str(times[i].text), &ms), "%s", times[i].text);
		ck_assert_uint_eq(ms, times[i].ms);
	}
}
END_TEST

START_TEST(what_is_no_time_is_refused)
{
	static const char *const texts[] = {"", "0", "0s", "0.0", "0.000", "-1", "+1", ".5", "5.",
		"5.s", "s", "ms", "5 s", "5S", "5sec", "5d", "1e3", "5s5", "5,5", "1.2.3", "soon",
		"1000000000000", "99999999999999999999999999999"};

	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
		ck_assert_msg(!client_timeout_parse(str(texts[i]), &ms), "\"%s\"", texts[i]);
}
END_TEST

START_TEST(the_field_is_taken_out)
{
	ck_assert_int_eq(cc_head_add(h, CC_STR("connpool-timeout"), CC_STR("2s")), 0);
	ck_assert_ptr_null(client_timeout_take(h, "Connpool-Timeout", &ms));
	ck_assert_uint_eq(ms, 2000);
	ck_assert_uint_eq(cc_head_count(h), 1);
}
END_TEST

START_TEST(without_the_field_there_is_no_time)
{
	ms = 7;
	ck_assert_ptr_null(client_timeout_take(h, "Connpool-Timeout", &ms));
	ck_assert_uint_eq(ms, 0);
}
END_TEST

START_TEST(without_a_name_no_field_is_looked_at)
{
	ck_assert_int_eq(cc_head_add(h, CC_STR("connpool-timeout"), CC_STR("soon")), 0);
	ck_assert_ptr_null(client_timeout_take(h, "", &ms));
	ck_assert_uint_eq(cc_head_count(h), 2);
}
END_TEST

START_TEST(a_field_that_makes_no_sense_or_is_there_twice_is_told)
{
	ck_assert_int_eq(cc_head_add(h, CC_STR("x-time"), CC_STR("soon")), 0);
	ck_assert_ptr_nonnull(client_timeout_take(h, "X-Time", &ms));
	ck_assert_int_eq(cc_head_add(h, CC_STR("x-time"), CC_STR("1s")), 0);
	ck_assert_int_eq(cc_head_add(h, CC_STR("x-time"), CC_STR("1s")), 0);
	ck_assert_ptr_nonnull(client_timeout_take(h, "X-Time", &ms));
	ck_assert_uint_eq(cc_head_count(h), 1);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("client_timeout");
	TCase *c = tcase_create("field");

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, times_are_seconds_or_have_a_unit);
	tcase_add_test(c, what_is_no_time_is_refused);
	tcase_add_test(c, the_field_is_taken_out);
	tcase_add_test(c, without_the_field_there_is_no_time);
	tcase_add_test(c, without_a_name_no_field_is_looked_at);
	tcase_add_test(c, a_field_that_makes_no_sense_or_is_there_twice_is_told);
	suite_add_tcase(s, c);
	return run_suite_together(s);
}
