/* test_backoff.c - pauses after failed connects, and addresses ejected for a while. */
#include <check.h>
#include <string.h>

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

static const struct address_rules rules = {.backoff_min = 1000,
	.backoff_max = 30000,
	.eject_after = 3,
	.eject_time = 30000,
	.max_ejected = 50};
static struct address_health address[10];

static void setup(void)
{
	memset(address, 0, sizeof(address));
}

static bool fails(unsigned n, unsigned which, unsigned times, uint64_t now)
{
	bool was_ejected = address_is_ejected(&address[which], now), told = false;

	for (unsigned i = 0; i < times; i++)
		told |= address_failed(address, n, which, &rules, now);
	ck_assert(
		told == (!was_ejected && address_is_ejected(&address[which], now))); /* told once */
	return told;
}

START_TEST(an_address_is_out_after_failures_in_a_row)
{
	ck_assert(!fails(4, 1, 2, 1000));
	ck_assert(fails(4, 1, 1, 1000));
	ck_assert(address_is_ejected(&address[1], 30999));
	ck_assert(!address_is_ejected(&address[1], 31000));
}
END_TEST

START_TEST(a_success_in_between_starts_the_count_again)
{
	fails(4, 1, 2, 1000);
	address_succeeded(&address[1]);
	ck_assert(!fails(4, 1, 2, 1000));
	ck_assert(fails(4, 1, 1, 1000));
}
END_TEST

START_TEST(one_that_is_out_stays_out_whatever_its_old_connections_bring)
{
	fails(4, 1, 3, 1000);
	address_succeeded(&address[1]);
	ck_assert(address_is_ejected(&address[1], 30999));
	ck_assert(!fails(4, 1, 2, 31000)); /* but the row is over */
	ck_assert(fails(4, 1, 1, 31000));
}
END_TEST

START_TEST(one_that_comes_back_and_fails_is_out_at_once)
{
	fails(4, 1, 3, 1000);
	ck_assert(fails(4, 1, 1, 31000));
	ck_assert(address_is_ejected(&address[1], 60999));
}
END_TEST

START_TEST(failures_of_one_that_is_out_do_not_keep_it_out_longer)
{
	fails(4, 1, 3, 1000);
	fails(4, 1, 5, 20000);
	ck_assert(!address_is_ejected(&address[1], 31000));
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
	struct address_rules all = rules;

	ck_assert(!fails(1, 0, 10, 1000));
	ck_assert(fails(2, 0, 3, 1000));
	ck_assert(!fails(2, 1, 10, 1000));
	setup();
	all.max_ejected = 100;
	for (unsigned i = 0; i < 3; i++)
		for (int n = 0; n < 10; n++)
			address_failed(address, 3, i, &all, 1000);
	ck_assert(address_is_ejected(&address[0], 1000) && address_is_ejected(&address[1], 1000));
	ck_assert(!address_is_ejected(&address[2], 1000));
}
END_TEST

START_TEST(nobody_is_out_while_the_others_pause)
{
	address_unconnected(address, 2, 1, &rules, 1000, MIDDLE);
	ck_assert(!fails(2, 0, 9, 1500));
	ck_assert(fails(2, 0, 1, 2000)); /* the pause is over */
}
END_TEST

START_TEST(rules_may_say_never)
{
	struct address_rules never = rules, none = rules;

	never.eject_after = 0;
	none.max_ejected = 0;
	for (int i = 0; i < 10; i++) {
		ck_assert(!address_failed(address, 4, 0, &never, 1000));
		ck_assert(!address_failed(address, 4, 1, &none, 1000));
	}
}
END_TEST

START_TEST(an_address_that_cannot_be_connected_to_pauses_longer_each_time)
{
	uint64_t now = 1000;

	for (unsigned i = 0; i < 9; i++) {
		uint64_t pause = backoff_delay(1000, 30000, i + 1, MIDDLE);

		address_unconnected(address, 4, 2, &rules, now, MIDDLE);
		ck_assert(address_pauses(&address[2], now + pause - 1));
		ck_assert(!address_pauses(&address[2], now + pause));
		now += pause;
	}
	address_connected(&address[2]);
	ck_assert(!address_pauses(&address[2], now));
	address_unconnected(address, 4, 2, &rules, now, MIDDLE);
	ck_assert(address_pauses(&address[2], now + 999));
	ck_assert(!address_pauses(&address[2], now + 1000));
}
END_TEST

START_TEST(connects_that_fail_together_are_one_failure)
{
	for (int i = 0; i < 10; i++)
		ck_assert(!address_unconnected(address, 4, 0, &rules, 1000 + i, MIDDLE));
	ck_assert(!address_pauses(&address[0], 2000));
	ck_assert_uint_eq(address[0].failures, 1);
}
END_TEST

START_TEST(connects_that_fail_again_and_again_put_an_address_out)
{
	ck_assert(!address_unconnected(address, 4, 0, &rules, 1000, MIDDLE));
	ck_assert(!address_unconnected(address, 4, 0, &rules, 3000, MIDDLE));
	address_connected(&address[0]); /* and closes at once: nothing came of it */
	ck_assert(address_unconnected(address, 4, 0, &rules, 6000, MIDDLE));
	ck_assert(address_is_ejected(&address[0], 35999));
}
END_TEST

START_TEST(the_first_address_that_is_ready_says_when_to_dial)
{
	ck_assert_uint_eq(addresses_ready_at(address, 0, 5), 0);
	ck_assert_uint_eq(addresses_ready_at(address, 2, 5), 0);
	address_unconnected(address, 2, 0, &rules, 1000, 0);
	ck_assert_uint_eq(addresses_ready_at(address, 2, 1000), 0); /* the other one */
	address_unconnected(address, 2, 1, &rules, 1000, MIDDLE);
	ck_assert_uint_eq(addresses_ready_at(address, 2, 1000), 1800);
	ck_assert_uint_eq(addresses_ready_at(address, 2, 1800), 0);
	address_connected(&address[0]);
	address_connected(&address[1]);
	ck_assert(fails(2, 0, 3, 1900));
	address_unconnected(address, 2, 1, &rules, 2000, MIDDLE);
	ck_assert_uint_eq(addresses_ready_at(address, 2, 2000), 0); /* better than nobody */
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
	tcase_add_test(c, one_that_is_out_stays_out_whatever_its_old_connections_bring);
	tcase_add_test(c, one_that_comes_back_and_fails_is_out_at_once);
	tcase_add_test(c, failures_of_one_that_is_out_do_not_keep_it_out_longer);
	tcase_add_test(c, no_more_than_the_share_is_out);
	tcase_add_test(c, the_last_address_is_never_out);
	tcase_add_test(c, nobody_is_out_while_the_others_pause);
	tcase_add_test(c, rules_may_say_never);
	tcase_add_test(c, an_address_that_cannot_be_connected_to_pauses_longer_each_time);
	tcase_add_test(c, connects_that_fail_together_are_one_failure);
	tcase_add_test(c, connects_that_fail_again_and_again_put_an_address_out);
	tcase_add_test(c, the_first_address_that_is_ready_says_when_to_dial);
	suite_add_tcase(s, c);
	return run_suite_together(s);
}
