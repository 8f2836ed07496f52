/* test_budget.c - how much of the load may be repeats. */
#include <check.h>
#include <string.h>

#include "daemon/pool/budget.h"
#include "tests/unit/run.h"

static const struct budget_rules rules = {.percent = 20, .a_second = 3};
static struct budget b;

static void setup(void)
{
	memset(&b, 0, sizeof(b));
}

static void requests(unsigned n, uint64_t now)
{
	while (n-- > 0)
		budget_request(&b, now);
}

/* Takes as many as there are, up to 100000. */
static unsigned granted(uint64_t now)
{
	unsigned n = 0;

	while (n < 100000 && budget_take(&b, &rules, now))
		n++;
	return n;
}

START_TEST(few_requests_can_be_repeated_without_a_share)
{
	ck_assert_uint_eq(granted(5000), 30);
	ck_assert_uint_eq(granted(14999), 0);
	ck_assert_uint_eq(granted(15000), 30);
}
END_TEST

START_TEST(of_many_requests_the_share_may_be_repeated)
{
	requests(1000, 5000);
	ck_assert_uint_eq(granted(5000), 200 + 30);
	requests(100, 6000);
	ck_assert_uint_eq(granted(7000), 20);
}
END_TEST

START_TEST(what_is_older_than_ten_seconds_does_not_count)
{
	requests(1000, 5000);
	requests(500, 9000);
	ck_assert_uint_eq(granted(15000), 100 + 30);
	ck_assert_uint_eq(granted(19000), 0); /* and those taken at 15 s still count */
	ck_assert_uint_eq(granted(25000), 30);
}
END_TEST

START_TEST(time_that_stands_still_or_jumps_does_no_harm)
{
	requests(100, 1000000);
	requests(100, 999000); /* counted as now */
	ck_assert_uint_eq(granted(1000000), 40 + 30);
	ck_assert_uint_eq(granted(UINT64_MAX), 30);
}
END_TEST

START_TEST(nothing_is_repeated_when_the_rules_say_so)
{
	static const struct budget_rules none = {0, 0};

	requests(1000, 0);
	ck_assert(!budget_take(&b, &none, 0));
}
END_TEST

/* 1000 requests a second, and every attempt fails. */
START_TEST(in_an_outage_the_load_grows_by_the_share_only)
{
	unsigned attempts = 0;

	for (uint64_t now = 0; now < 60000; now++) {
		budget_request(&b, now);
		attempts++;
		for (int again = 0; again < 2 && budget_take(&b, &rules, now); again++)
			attempts++;
	}
	ck_assert_uint_le(attempts, 60000 * 12 / 10 + 3 * (60 + 10));
	ck_assert_uint_ge(attempts, 60000 * 12 / 10);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("budget");
	TCase *c = tcase_create("budget");

	tcase_add_checked_fixture(c, setup, NULL);
	tcase_add_test(c, few_requests_can_be_repeated_without_a_share);
	tcase_add_test(c, of_many_requests_the_share_may_be_repeated);
	tcase_add_test(c, what_is_older_than_ten_seconds_does_not_count);
	tcase_add_test(c, time_that_stands_still_or_jumps_does_no_harm);
	tcase_add_test(c, nothing_is_repeated_when_the_rules_say_so);
	tcase_add_test(c, in_an_outage_the_load_grows_by_the_share_only);
	suite_add_tcase(s, c);
	return run_suite_together(s);
}
