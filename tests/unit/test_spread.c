/* test_spread.c - which addresses to dial, and in which order. */
#include <stdio.h>

#include "daemon/pool/spread.h"
#include "tests/unit/run.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* "210": the order as digits. */
static const char *order_of(const struct spread_item *items, unsigned n, bool even, unsigned last)
{
	static char text[SPREAD_MAX + 1];
	uint8_t order[SPREAD_MAX];
	unsigned count = spread_order(items, n, even, last, order);

	for (unsigned i = 0; i < count; i++)
		text[i] = (char)('0' + order[i]);
	text[count] = '\0';
	return text;
}

START_TEST(fewest_connections_come_first)
{
	const struct spread_item items[] = {{.load = 3}, {.load = 1}, {.load = 2}};

	ck_assert_str_eq(order_of(items, 3, true, 3), "120");
	ck_assert_str_eq(order_of(items, 3, false, 3), "012");
}
END_TEST

START_TEST(equal_ones_take_turns)
{
	const struct spread_item items[4] = {{0}};

	ck_assert_str_eq(order_of(items, 4, true, 4), "0123");
	ck_assert_str_eq(order_of(items, 4, true, 0), "1230");
	ck_assert_str_eq(order_of(items, 4, true, 3), "0123");
	ck_assert_str_eq(order_of(items, 4, false, 1), "0123");
}
END_TEST

START_TEST(what_failed_is_behind_and_what_is_out_is_missing)
{
	const struct spread_item items[] = {
		{.failed = true}, {.load = 9}, {.skipped = true}, {.load = 8}};

	ck_assert_str_eq(order_of(items, 4, true, 4), "310");
	ck_assert_str_eq(order_of(items, 4, false, 4), "130");
}
END_TEST

START_TEST(all_are_taken_when_all_are_out)
{
	const struct spread_item items[] = {{.skipped = true, .load = 1}, {.skipped = true}};

	ck_assert_str_eq(order_of(items, 2, true, 2), "10");
}
END_TEST

START_TEST(lowest_priority_with_a_good_one_is_taken_alone)
{
	struct spread_item items[] = {
		{.priority = 2}, {.priority = 1, .load = 50}, {.priority = 3}};

	ck_assert_str_eq(order_of(items, 3, true, 3), "1");
	ck_assert_str_eq(order_of(items, 3, false, 3), "1");
	items[1].failed = true;
	ck_assert_str_eq(order_of(items, 3, true, 3), "0");
	items[0].skipped = true;
	ck_assert_str_eq(order_of(items, 3, true, 3), "2");
	items[2].failed = true; /* none is good: all that are not out, in their order */
	ck_assert_str_eq(order_of(items, 3, true, 3), "12");
}
END_TEST

/* n dials that stay; how many the first one gets. */
static unsigned dial_all(struct spread_item *items, unsigned n, unsigned dials)
{
	unsigned last = n;

	for (unsigned i = 0; i < dials; i++) {
		uint8_t order[SPREAD_MAX];

		spread_order(items, n, true, last, order);
		last = order[0];
		items[last].load++;
	}
	return items[0].load;
}

START_TEST(weights_are_the_shares)
{
	static const struct {
		unsigned a, b, first;
	} rows[] = {{3, 1, 300}, {1, 1, 200}, {0, 0, 200}, {0, 1, 1}, {65535, 65535, 200}};

	for (unsigned i = 0; i < COUNT(rows); i++) {
		struct spread_item items[] = {{.weight = rows[i].a}, {.weight = rows[i].b}};

		ck_assert_msg(dial_all(items, 2, 400) == rows[i].first, "%u: %u", i, items[0].load);
	}
}
END_TEST

START_TEST(as_many_as_there_may_be_are_put_in_order)
{
	struct spread_item items[SPREAD_MAX] = {{0}};

	ck_assert_uint_eq(dial_all(items, SPREAD_MAX, 10 * SPREAD_MAX), 10);
	for (unsigned i = 0; i < SPREAD_MAX; i++)
		ck_assert_uint_eq(items[i].load, 10);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("spread");
	TCase *t = tcase_create("spread");

	tcase_add_test(t, fewest_connections_come_first);
	tcase_add_test(t, equal_ones_take_turns);
	tcase_add_test(t, what_failed_is_behind_and_what_is_out_is_missing);
	tcase_add_test(t, all_are_taken_when_all_are_out);
	tcase_add_test(t, lowest_priority_with_a_good_one_is_taken_alone);
	tcase_add_test(t, weights_are_the_shares);
	tcase_add_test(t, as_many_as_there_may_be_are_put_in_order);
	suite_add_tcase(s, t);
	return run_suite_together(s);
}
