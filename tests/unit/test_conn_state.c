/* test_conn_state.c - the arithmetic of states and slots. */
#include <check.h>
#include <stdlib.h>

#include "lib/conn/conn_state.h"
#include "tests/unit/run.h"

static struct conn_state ready(uint32_t limit, uint32_t cap, uint64_t max_requests)
{
	struct conn_state s;

	conn_state_init(&s, cap, max_requests);
	conn_state_move(&s, CC_READY, 0);
	conn_state_set_limit(&s, limit);
	return s;
}

static void begin(struct conn_state *s)
{
	ck_assert_int_eq(conn_state_reserve(s), 0);
	conn_state_begin(s);
}

static void check_identity(const struct conn_state *s)
{
	ck_assert_uint_eq(conn_state_request_limit(s),
		s->completed + conn_state_in_flight(s) + conn_state_available(s));
}

START_TEST(a_connecting_one_has_no_slots)
{
	struct conn_state s;

	conn_state_init(&s, 100, 0);
	ck_assert_uint_eq(conn_state_available(&s), 0);
	ck_assert_int_eq(conn_state_reserve(&s), CC_EFULL);
}
END_TEST

START_TEST(the_limit_grows_with_each_completed_request)
{
	struct conn_state s = ready(1, 256, 0);

	ck_assert_uint_eq(conn_state_request_limit(&s), 1);
	begin(&s);
	ck_assert_uint_eq(conn_state_request_limit(&s), 1);
	ck_assert_uint_eq(conn_state_available(&s), 0);
	conn_state_end(&s);
	ck_assert_uint_eq(conn_state_request_limit(&s), 2);
	ck_assert_uint_eq(conn_state_available(&s), 1);
	check_identity(&s);
}
END_TEST

START_TEST(a_reservation_counts_as_in_flight_and_is_refused_at_the_limit)
{
	struct conn_state s = ready(2, 256, 0);

	ck_assert_int_eq(conn_state_reserve(&s), 0);
	ck_assert_int_eq(conn_state_reserve(&s), 0);
	ck_assert_int_eq(conn_state_reserve(&s), CC_EFULL);
	ck_assert_uint_eq(conn_state_in_flight(&s), 2);
	conn_state_release(&s);
	ck_assert_uint_eq(conn_state_available(&s), 1);
	check_identity(&s);
}
END_TEST

START_TEST(releasing_what_was_not_reserved_changes_nothing)
{
	struct conn_state s = ready(2, 256, 0);

	conn_state_release(&s);
	ck_assert_uint_eq(conn_state_in_flight(&s), 0);
	ck_assert_uint_eq(conn_state_available(&s), 2);
}
END_TEST

START_TEST(settings_below_what_is_in_flight)
{
	struct conn_state s = ready(3, 256, 0);

	begin(&s);
	begin(&s);
	begin(&s);
	conn_state_set_limit(&s, 1);
	ck_assert_uint_eq(conn_state_available(&s), 0);
	check_identity(&s);
	conn_state_end(&s);
	conn_state_end(&s);
	ck_assert_uint_eq(conn_state_available(&s), 0);
	conn_state_end(&s);
	ck_assert_uint_eq(conn_state_available(&s), 1);
	check_identity(&s);
}
END_TEST

START_TEST(the_own_cap_holds_below_a_huge_limit_of_the_peer)
{
	struct conn_state s = ready(UINT32_MAX, 100, 0);

	ck_assert_uint_eq(conn_state_available(&s), 100);
	ck_assert_uint_eq(conn_state_request_limit(&s), 100);
}
END_TEST

START_TEST(max_requests_bounds_all_that_will_ever_be_sent)
{
	struct conn_state s = ready(10, 256, 3);

	ck_assert_uint_eq(conn_state_available(&s), 3);
	begin(&s);
	conn_state_end(&s);
	ck_assert_uint_eq(conn_state_available(&s), 2);
	ck_assert_uint_eq(conn_state_request_limit(&s), 3);
	begin(&s);
	begin(&s);
	ck_assert(conn_state_spent(&s));
	ck_assert_int_eq(conn_state_reserve(&s), CC_EFULL);
	check_identity(&s);
}
END_TEST

START_TEST(draining_takes_nothing_new_and_keeps_what_runs)
{
	struct conn_state s = ready(10, 256, 0);

	begin(&s);
	ck_assert(conn_state_move(&s, CC_DRAINING, 0));
	ck_assert_int_eq(conn_state_reserve(&s), CC_ECLOSED);
	ck_assert_uint_eq(conn_state_in_flight(&s), 1);
	ck_assert_uint_eq(conn_state_request_limit(&s), 1);
	conn_state_end(&s);
	ck_assert_uint_eq(conn_state_request_limit(&s), 1);
	check_identity(&s);
}
END_TEST

START_TEST(closing_counts_what_ran_as_completed)
{
	struct conn_state s = ready(10, 256, 0);

	begin(&s);
	begin(&s);
	ck_assert_int_eq(conn_state_reserve(&s), 0);
	ck_assert(conn_state_move(&s, CC_CLOSED, CC_EEOF));
	ck_assert_uint_eq(conn_state_in_flight(&s), 0);
	ck_assert_uint_eq(s.completed, 2);
	ck_assert_uint_eq(conn_state_request_limit(&s), 2);
	ck_assert_int_eq(s.err, CC_EEOF);
	conn_state_end(&s);
	ck_assert_uint_eq(s.completed, 2);
}
END_TEST

START_TEST(states_never_move_backwards_and_the_first_cause_stays)
{
	struct conn_state s = ready(10, 256, 0);

	ck_assert(conn_state_move(&s, CC_CLOSED, CC_EIO));
	ck_assert(!conn_state_move(&s, CC_READY, 0));
	ck_assert(!conn_state_move(&s, CC_CLOSED, CC_EEOF));
	ck_assert_int_eq(s.err, CC_EIO);
	ck_assert_int_eq(s.state, CC_CLOSED);
}
END_TEST

START_TEST(the_identity_holds_over_random_histories)
{
	for (unsigned seed = 1; seed <= 500; seed++) {
		struct conn_state s = ready(5, 8, seed % 3 ? 0 : 40);

		srand(seed);
		for (int i = 0; i < 200; i++) {
			switch (rand() % 6) {
			case 0:
			case 1:
				conn_state_reserve(&s);
				break;
			case 2:
				if (s.reserved > 0)
					conn_state_begin(&s);
				break;
			case 3:
				if (s.active > 0)
					conn_state_end(&s);
				break;
			case 4:
				conn_state_release(&s);
				break;
			case 5:
				conn_state_set_limit(&s, (uint32_t)rand() % 12);
				break;
			}
			ck_assert_msg(conn_state_request_limit(&s) ==
					      s.completed + conn_state_in_flight(&s) +
						      conn_state_available(&s),
				"seed %u step %d", seed, i);
		}
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("conn_state");
	TCase *c = tcase_create("slots");

	tcase_add_test(c, a_connecting_one_has_no_slots);
	tcase_add_test(c, the_limit_grows_with_each_completed_request);
	tcase_add_test(c, a_reservation_counts_as_in_flight_and_is_refused_at_the_limit);
	tcase_add_test(c, releasing_what_was_not_reserved_changes_nothing);
	tcase_add_test(c, settings_below_what_is_in_flight);
	tcase_add_test(c, the_own_cap_holds_below_a_huge_limit_of_the_peer);
	tcase_add_test(c, max_requests_bounds_all_that_will_ever_be_sent);
	tcase_add_test(c, draining_takes_nothing_new_and_keeps_what_runs);
	tcase_add_test(c, closing_counts_what_ran_as_completed);
	tcase_add_test(c, states_never_move_backwards_and_the_first_cause_stays);
	tcase_add_test(c, the_identity_holds_over_random_histories);
	suite_add_tcase(s, c);
	return run_suite_together(s);
}
