/* test_pick.c - how many connections the waiting requests need. */
#include <check.h>

#include "daemon/pool/pick.h"
#include "tests/unit/run.h"

static struct pick_demand demand(unsigned waiting, uint64_t each)
{
	return (struct pick_demand){
		.waiting = waiting,
		.expected_each = each,
		.max_connections = 8,
		.max_connecting = 4,
	};
}

START_TEST(nobody_waits_nothing_is_opened)
{
	struct pick_demand d = demand(0, 1);

	ck_assert_uint_eq(pick_dials(&d), 0);
}
END_TEST

START_TEST(an_unknown_protocol_is_asked_by_one_connection)
{
	struct pick_demand d = demand(1000, UINT64_MAX);

	ck_assert_uint_eq(pick_dials(&d), 1);
	d.connections = d.connecting = 1;
	d.expected = UINT64_MAX;
	ck_assert_uint_eq(pick_dials(&d), 0);
}
END_TEST

START_TEST(http1_gets_a_connection_for_each_request_up_to_max_connecting)
{
	struct pick_demand d = demand(3, 1);

	ck_assert_uint_eq(pick_dials(&d), 3);
	d.waiting = 100;
	ck_assert_uint_eq(pick_dials(&d), 4);
	d.connections = d.connecting = 3;
	d.expected = 3;
	ck_assert_uint_eq(pick_dials(&d), 1);
}
END_TEST

START_TEST(http2_gets_as_many_as_its_streams_need)
{
	struct pick_demand d = demand(95, 10);

	d.max_connections = 20;
	d.max_connecting = 20;
	ck_assert_uint_eq(pick_dials(&d), 10);
	d.connections = d.connecting = 9;
	d.expected = 90;
	ck_assert_uint_eq(pick_dials(&d), 1);
	d.connections = d.connecting = 10;
	d.expected = 100;
	ck_assert_uint_eq(pick_dials(&d), 0);
}
END_TEST

START_TEST(max_connections_is_never_exceeded)
{
	struct pick_demand d = demand(100, 1);

	d.connections = 7;
	ck_assert_uint_eq(pick_dials(&d), 1);
	d.connections = 8;
	ck_assert_uint_eq(pick_dials(&d), 0);
	d.connections = 9; /* the limit was lowered at a reload */
	ck_assert_uint_eq(pick_dials(&d), 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("pick");
	TCase *c = tcase_create("dials");

	tcase_add_test(c, nobody_waits_nothing_is_opened);
	tcase_add_test(c, an_unknown_protocol_is_asked_by_one_connection);
	tcase_add_test(c, http1_gets_a_connection_for_each_request_up_to_max_connecting);
	tcase_add_test(c, http2_gets_as_many_as_its_streams_need);
	tcase_add_test(c, max_connections_is_never_exceeded);
	suite_add_tcase(s, c);
	return run_suite(s);
}
