/* test_stats.c - how durations are counted and asked for. */
#include <check.h>
#include <string.h>

#include "daemon/base/stats.h"
#include "tests/unit/run.h"

static struct histogram h;

static void setup(void)
{
	memset(&h, 0, sizeof(h));
}

/* The bucket that alone counts this duration. */
static unsigned bucket(uint64_t us)
{
	unsigned found = HISTOGRAM_BUCKETS;

	setup();
	histogram_add(&h, us);
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
		if (h.count[i] > 0) {
			ck_assert_uint_eq(found, HISTOGRAM_BUCKETS);
			found = i;
		}
	}
	ck_assert_uint_lt(found, HISTOGRAM_BUCKETS);
	return found;
}

START_TEST(each_duration_is_in_the_one_range_that_holds_it)
{
	ck_assert_uint_eq(histogram_bound(0), 100);
	ck_assert_uint_eq(histogram_bound(1), 125);
	ck_assert_uint_eq(histogram_bound(5), 250);
	ck_assert_uint_ge(histogram_bound(HISTOGRAM_BUCKETS - 2), 100000000); /* 100 s */
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS - 1; i++) {
		ck_assert_uint_lt(histogram_bound(i), histogram_bound(i + 1));
		ck_assert_uint_eq(bucket(histogram_bound(i) - 1), i);
		ck_assert_uint_eq(bucket(histogram_bound(i)), i);
		ck_assert_uint_eq(bucket(histogram_bound(i) + 1), i + 1);
	}
	ck_assert_uint_eq(bucket(0), 0);
	for (uint64_t us = (100u << 20) + 1; us <= 100u << 22; us += 10u << 20)
		ck_assert_uint_eq(bucket(us), HISTOGRAM_BUCKETS - 1);
	ck_assert_uint_eq(bucket(UINT64_MAX), HISTOGRAM_BUCKETS - 1);
}
END_TEST

START_TEST(no_range_is_wider_than_a_quarter_of_its_start)
{
	for (unsigned i = 1; i < HISTOGRAM_BUCKETS - 1; i++)
		ck_assert_uint_le(
			(histogram_bound(i) - histogram_bound(i - 1)) * 4, histogram_bound(i - 1));
}
END_TEST

START_TEST(nothing_seen_has_no_quantile)
{
	ck_assert_uint_eq(histogram_quantile(&h, 500), 0);
}
END_TEST

START_TEST(one_duration_is_every_quantile)
{
	histogram_add(&h, 1234);
	ck_assert_uint_eq(histogram_quantile(&h, 0), 1234);
	ck_assert_uint_eq(histogram_quantile(&h, 500), 1234);
	ck_assert_uint_eq(histogram_quantile(&h, 1000), 1234);
}
END_TEST

START_TEST(a_quantile_is_the_truth_or_at_most_a_quarter_more)
{
	for (uint64_t us = 1000; us <= 1000000; us += 100) /* 9991 of them, all alike often */
		histogram_add(&h, us);
	for (unsigned q = 0; q <= 1000; q++) {
		uint64_t truth = 1000 + 999000u * (uint64_t)q / 1000;
		uint64_t told = histogram_quantile(&h, q);

		ck_assert_uint_ge(told, truth - 200);
		ck_assert_uint_le(told, truth + truth / 4 + 200);
	}
	ck_assert_uint_eq(histogram_quantile(&h, 1000), 1000000);
}
END_TEST

START_TEST(of_three_the_second_is_the_median)
{
	histogram_add(&h, 1000);
	histogram_add(&h, 5000);
	histogram_add(&h, 20000);
	ck_assert_uint_lt(histogram_quantile(&h, 333), 1300);
	ck_assert_uint_ge(histogram_quantile(&h, 334), 5000);
	ck_assert_uint_ge(histogram_quantile(&h, 500), 5000);
	ck_assert_uint_lt(histogram_quantile(&h, 666), 6300);
	ck_assert_uint_eq(histogram_quantile(&h, 667), 20000);
}
END_TEST

START_TEST(a_few_slow_ones_do_not_hide)
{
	for (int i = 0; i < 995; i++)
		histogram_add(&h, 2000);
	for (int i = 0; i < 5; i++)
		histogram_add(&h, 3000000);
	ck_assert_uint_le(histogram_quantile(&h, 995), 2500);
	ck_assert_uint_eq(histogram_quantile(&h, 996), 3000000);
}
END_TEST

START_TEST(longer_than_the_last_range_is_told_as_the_largest)
{
	histogram_add(&h, 500000000);
	histogram_add(&h, 300000000);
	ck_assert_uint_eq(histogram_quantile(&h, 1000), 500000000);
	ck_assert_uint_eq(h.sum, 800000000);
}
END_TEST

START_TEST(two_merged_are_as_one)
{
	struct histogram a, b, both;

	for (unsigned i = 0; i < 3; i++) {
		struct histogram *to[] = {&a, &b, &both};

		memset(to[i], 0, sizeof(a));
	}
	for (uint64_t us = 10; us < 1000000000; us = us * 3 / 2) {
		histogram_add(us % 2 ? &a : &b, us);
		histogram_add(&both, us);
	}
	ck_assert(a.values > 0 && b.values > 0 && a.largest != b.largest);
	for (int i = 0; i < 2; i++) { /* either way */
		struct histogram to = i ? a : b;

		histogram_merge(&to, i ? &b : &a);
		ck_assert_mem_eq(&to, &both, sizeof(to));
	}
}
END_TEST

/* ---- causes ------------------------------------------------------------ */

START_TEST(each_reason_of_the_library_is_a_cause_of_its_own)
{
	bool taken[CLOSE_CAUSE_COUNT] = {false};

	ck_assert_int_eq(close_cause_of(CC_REASON_NONE), CLOSE_NONE);
	for (int r = CC_REASON_OWNER; r <= CC_REASON_MEMORY; r++) {
		enum close_cause cause = close_cause_of((enum cc_reason)r);

		ck_assert_msg(cause != CLOSE_NONE && !taken[cause], "%s",
			cc_reason_name((enum cc_reason)r));
		taken[cause] = true;
	}
}
END_TEST

START_TEST(causes_are_words_of_small_letters_and_underscores)
{
	for (int i = 0; i < CLOSE_CAUSE_COUNT; i++) {
		const char *word = close_cause_name((enum close_cause)i);

		ck_assert_uint_gt(strlen(word), 0);
		ck_assert_uint_eq(strspn(word, "abcdefghijklmnopqrstuvwxyz_"), strlen(word));
		for (int j = 0; j < i; j++)
			ck_assert_str_ne(word, close_cause_name((enum close_cause)j));
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("stats");
	TCase *c = tcase_create("durations");

	tcase_add_checked_fixture(c, setup, NULL);
	tcase_add_test(c, each_duration_is_in_the_one_range_that_holds_it);
	tcase_add_test(c, no_range_is_wider_than_a_quarter_of_its_start);
	tcase_add_test(c, nothing_seen_has_no_quantile);
	tcase_add_test(c, one_duration_is_every_quantile);
	tcase_add_test(c, a_quantile_is_the_truth_or_at_most_a_quarter_more);
	tcase_add_test(c, of_three_the_second_is_the_median);
	tcase_add_test(c, a_few_slow_ones_do_not_hide);
	tcase_add_test(c, longer_than_the_last_range_is_told_as_the_largest);
	tcase_add_test(c, two_merged_are_as_one);
	tcase_add_test(c, each_reason_of_the_library_is_a_cause_of_its_own);
	tcase_add_test(c, causes_are_words_of_small_letters_and_underscores);
	suite_add_tcase(s, c);
	return run_suite_together(s);
}
