/* test_limits.c - the sum of the descriptors, and in which words it is told. */
#include <check.h>

#include "daemon/base/limits.h"
#include "daemon/listen/spare_fds.h"
#include "tests/programs.h"
#include "tests/unit/run.h"

static char text[LIMITS_TEXT_MAX];

static struct limits_needs three_pools(void)
{
	struct limits_needs n = {.listeners = 1, .workers = 1, .clients = 1000};

	for (int i = 0; i < 3; i++)
		limits_add_pool(&n, 8, 4);
	return n;
}

START_TEST(what_fits_is_told_with_its_sum)
{
	struct limits_needs n = three_pools();

	ck_assert(limits_fit(&n, 1069, text));
	ck_assert_str_eq(text, "descriptors: 3 x 8 upstream + 12 connecting + 1000 clients + 33 of "
			       "our own = 1069, limit is 1069");
}
END_TEST

START_TEST(what_does_not_fit_is_told_with_what_to_do)
{
	struct limits_needs n = three_pools();

	ck_assert(!limits_fit(&n, 1068, text));
	ck_assert_str_eq(text, "descriptors: 3 x 8 upstream + 12 connecting + 1000 clients + 33 of "
			       "our own = 1069, limit is 1068: raise LimitNOFILE= or lower "
			       "max_clients");
	n.clients = 10;
	ck_assert(!limits_fit(&n, 50, text));
	ck_assert_str_eq(text, "descriptors: 3 x 8 upstream + 12 connecting + 10 clients + 33 of "
			       "our own = 79, limit is 50: raise LimitNOFILE= or lower "
			       "max_connections");
}
END_TEST

START_TEST(pools_of_different_size_are_told_as_their_sum)
{
	struct limits_needs n = three_pools();

	limits_add_pool(&n, 100, 4);
	limits_add_pool(&n, 8, 4);
	ck_assert(limits_fit(&n, 2000, text));
	ck_assert_str_eq(text,
		"descriptors: 132 upstream + 20 connecting + 1000 clients + 33 of our "
		"own = 1185, limit is 2000");
}
END_TEST

START_TEST(one_pool_is_told_as_a_number)
{
	struct limits_needs n = {.listeners = 1, .workers = 1};

	limits_add_pool(&n, 8, 20); /* no more than it may have can connect */
	ck_assert(limits_fit(&n, 100, text));
	ck_assert_str_eq(text,
		"descriptors: 8 upstream + 8 connecting + 0 clients + 33 of our own = "
		"49, limit is 100");
}
END_TEST

START_TEST(workers_and_listeners_need_descriptors_of_their_own)
{
	struct limits_needs n = {.listeners = 1, .workers = 1};
	uint64_t one = limits_own(&n);

	n.workers = 4;
	ck_assert_uint_gt(limits_own(&n), one + 3);
	n.listeners = 10;
	ck_assert_uint_ge(limits_own(&n), one + 3 + 10);
}
END_TEST

START_TEST(clients_get_what_the_others_leave)
{
	struct limits_needs n = three_pools();

	ck_assert_uint_eq(limits_clients_left(&n, 1024), 1024 - 24 - 12 - 33);
	n.clients = limits_clients_left(&n, 1024);
	ck_assert(limits_fit(&n, 1024, text));
	n.clients++;
	ck_assert(!limits_fit(&n, 1024, text));
	ck_assert_uint_eq(limits_clients_left(&n, 69), 0);
	ck_assert_uint_eq(limits_clients_left(&n, 20), 0);
}
END_TEST

START_TEST(the_largest_configuration_does_not_overflow)
{
	struct limits_needs n = {.listeners = 1000, .workers = 64, .clients = 1000000};

	for (int i = 0; i < 100000; i++)
		limits_add_pool(&n, 4000000000u, 4000000000u);
	ck_assert(!limits_fit(&n, UINT32_MAX, text));
	ck_assert(limits_fit(&n, UINT64_MAX, text));
}
END_TEST

/* What was not there when it began, or when the last one came back, is asked for again. */
START_TEST(a_spare_without_descriptors_fills_when_there_are_some)
{
	struct spare_fds r;
	rlim_t before = descriptors_take();

	spare_fds_init(&r);
	ck_assert(!spare_fds_take(&r));
	descriptors_return(before);
	for (unsigned i = 0; i < LIMITS_SPARE_FDS; i++)
		ck_assert(spare_fds_take(&r));
	ck_assert(!spare_fds_take(&r));
	spare_fds_give_back(&r);
	ck_assert(spare_fds_take(&r));
	spare_fds_clear(&r);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("limits");
	TCase *c = tcase_create("descriptors");

	tcase_add_test(c, what_fits_is_told_with_its_sum);
	tcase_add_test(c, what_does_not_fit_is_told_with_what_to_do);
	tcase_add_test(c, pools_of_different_size_are_told_as_their_sum);
	tcase_add_test(c, one_pool_is_told_as_a_number);
	tcase_add_test(c, workers_and_listeners_need_descriptors_of_their_own);
	tcase_add_test(c, clients_get_what_the_others_leave);
	tcase_add_test(c, the_largest_configuration_does_not_overflow);
	tcase_add_test(c, a_spare_without_descriptors_fills_when_there_are_some);
	suite_add_tcase(s, c);
	return run_suite(s);
}
