/* test_backoff.c - pauses after failed connects, and addresses left out for a while. */
#include <check.h>

#include "daemon/pool/backoff.h"
#include "tests/unit/run.h"

#define MIDDLE 20 /* draws neither longer nor shorter */

START_TEST(each_pause_is_longer_than_the_one_before_up_to_the_maximum)
{
	static const uint64_t ms[] = {
		1000, 1600, 2560, 4096, 6554, 10487, 16780, 26848, 30000, 30000};

	for (unsigned i = 0; i < sizeof(ms) / sizeof(ms[0]); i++)
		ck_assert_uint_eq(backoff_delay(1000, 30000, i + 1, MIDDLE), ms[i]);
	ck_assert_uint_eq(backoff_delay(1000, 30000, UINT32_MAX, MIDDLE), 30000);
}
END_TEST

START_TEST(a_pause_differs_by_a_fifth_at_most)
{
	uint64_t least = UINT64_MAX, most = 0;

	for (uint64_t random = 0; random < 1000; random++) {
		uint64_t ms = backoff_delay(1000, 30000, 1, random * 0x9e3779b97f4a7c15u);

		least = ms < least ? ms : least;
		most = ms > most ? ms : most;
	}
	ck_assert_uint_eq(least, 800);
	ck_assert_uint_eq(most, 1200);
}
END_TEST

START_TEST(the_longest_pauses_of_all_do_not_overflow)
{
	uint64_t month = 30u * 86400u * 1000ull;

	ck_assert_uint_eq(backoff_delay(month, month, 1000, MIDDLE), month);
	ck_assert_uint_eq(backoff_delay(1, month, 1000, MIDDLE), month);
	ck_assert_uint_eq(backoff_delay(0, month, 1000, MIDDLE), 0);
}
END_TEST

/* ---- addresses --------------------------------------------------------- */

static const struct eject_rules rules = {.after = 3, .time = 30000, .max_percent = 50};
static struct address_health address[10];

static void setup(void)
{
	for (int i = 0; i < 10; i++)
		address_succeeded(&address[i]);
}

static bool fails(unsigned n, unsigned which, unsigned times, uint64_t now)
{
	bool out = false;

	for (unsigned i = 0; i < times; i++)
		out = address_failed(address, n, which, &rules, now);
	ck_assert(out == address_is_out(&address[which], now));
	return out;
}

START_TEST(an_address_is_out_after_failures_in_a_row)
{
	ck_assert(!fails(4, 1, 2, 1000));
	ck_assert(fails(4, 1, 1, 1000));
	ck_assert(address_is_out(&address[1], 30999));
	ck_assert(!address_is_out(&address[1], 31000));
}
END_TEST

START_TEST(a_success_in_between_starts_the_count_again)
{
	fails(4, 1, 2, 1000);
	address_succeeded(&address[1]);
	ck_assert(!fails(4, 1, 2, 1000));
	ck_assert(fails(4, 1, 1, 1000));
	address_succeeded(&address[1]);
	ck_assert(!address_is_out(&address[1], 1000));
}
END_TEST

START_TEST(one_that_comes_back_and_fails_is_out_at_once)
{
	fails(4, 1, 3, 1000);
	ck_assert(fails(4, 1, 1, 31000));
	ck_assert(address_is_out(&address[1], 60999));
}
END_TEST

START_TEST(failures_of_one_that_is_out_do_not_keep_it_out_longer)
{
	fails(4, 1, 3, 1000);
	fails(4, 1, 5, 20000);
	ck_assert(!address_is_out(&address[1], 31000));
}
END_TEST

START_TEST(no_more_than_the_share_is_out)
{
	ck_assert(fails(5, 0, 3, 1000));
	ck_assert(fails(5, 1, 3, 1000));
	ck_assert(!fails(5, 2, 3, 1000)); /* three of five are 60 % */
	ck_assert(fails(5, 2, 1, 31000)); /* the others are back */
}
END_TEST

START_TEST(the_last_address_is_never_out)
{
	struct eject_rules all = rules;

	ck_assert(!fails(1, 0, 10, 1000));
	ck_assert(fails(2, 0, 3, 1000));
	ck_assert(!fails(2, 1, 10, 1000));
	setup();
	all.max_percent = 100;
	for (unsigned i = 0; i < 3; i++)
		for (int n = 0; n < 10; n++)
			address_failed(address, 3, i, &all, 1000);
	ck_assert(address_is_out(&address[0], 1000) && address_is_out(&address[1], 1000));
	ck_assert(!address_is_out(&address[2], 1000));
}
END_TEST

START_TEST(rules_may_say_never)
{
	struct eject_rules never = rules, none = rules;

	never.after = 0;
	none.max_percent = 0;
	for (int i = 0; i < 10; i++) {
		ck_assert(!address_failed(address, 4, 0, &never, 1000));
		ck_assert(!address_failed(address, 4, 1, &none, 1000));
	}
}
END_TEST

START_TEST(the_next_address_is_one_that_is_not_out)
{
	fails(4, 1, 3, 1000);
	fails(4, 2, 3, 1000);
	ck_assert_uint_eq(address_next(address, 4, 0, 1000), 0);
	ck_assert_uint_eq(address_next(address, 4, 1, 1000), 3);
	ck_assert_uint_eq(address_next(address, 4, 6, 1000), 3);
	ck_assert_uint_eq(address_next(address, 4, UINT32_MAX, 1000), 3);
	ck_assert_uint_eq(address_next(address, 4, 1, 31000), 1);
	fails(7, 3, 3, 50000);
	ck_assert_uint_eq(address_next(address, 7, UINT32_MAX, 50000), 4); /* 3 by division */
}
END_TEST

START_TEST(when_only_those_out_are_left_the_first_to_return_is_used)
{
	fails(4, 1, 3, 2000);
	fails(4, 0, 3, 3000);
	ck_assert_uint_eq(
		address_next(address, 2, 0, 4000), 1); /* the name has two addresses now */
	ck_assert_uint_eq(address_next(address, 2, 1, 4000), 1);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("backoff");
	TCase *c = tcase_create("pauses");

	tcase_add_test(c, each_pause_is_longer_than_the_one_before_up_to_the_maximum);
	tcase_add_test(c, a_pause_differs_by_a_fifth_at_most);
	tcase_add_test(c, the_longest_pauses_of_all_do_not_overflow);
	suite_add_tcase(s, c);

	c = tcase_create("addresses");
	tcase_add_checked_fixture(c, setup, NULL);
	tcase_add_test(c, an_address_is_out_after_failures_in_a_row);
	tcase_add_test(c, a_success_in_between_starts_the_count_again);
	tcase_add_test(c, one_that_comes_back_and_fails_is_out_at_once);
	tcase_add_test(c, failures_of_one_that_is_out_do_not_keep_it_out_longer);
	tcase_add_test(c, no_more_than_the_share_is_out);
	tcase_add_test(c, the_last_address_is_never_out);
	tcase_add_test(c, rules_may_say_never);
	tcase_add_test(c, the_next_address_is_one_that_is_not_out);
	tcase_add_test(c, when_only_those_out_are_left_the_first_to_return_is_used);
	suite_add_tcase(s, c);
	return run_suite(s);
}
