/*
 * test_pick.c - which connection the next request gets, and how many connections the waiting
 * requests need.
 */
#include <check.h>
#include <string.h>

#include "daemon/pool/pick.h"
#include "tests/unit/run.h"

/* ---- which one --------------------------------------------------------- */

#define MANY 1000

static struct pick_set set;
static struct pick_entry conn[MANY];
static uint64_t seed;

static void choose_by(enum pick_mode mode)
{
	memset(conn, 0, sizeof(conn));
	pick_set_init(&set, mode);
	seed = 1;
}

static uint64_t draw(void)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return seed ^ (seed >> 33);
}

/* The connection that comes next, -1: none. */
static int next(void)
{
	struct pick_entry *e = pick_best(&set, draw());

	return e ? (int)(e - conn) : -1;
}

/* A request is sent on the next connection. */
static int send_one(void)
{
	int i = next();

	ck_assert_int_ge(i, 0);
	pick_update(&set, &conn[i], conn[i].available - 1);
	return i;
}

static void answer(int i)
{
	pick_update(&set, &conn[i], conn[i].available + 1);
}

START_TEST(without_a_free_slot_there_is_nothing_to_choose)
{
	choose_by(PICK_MOST_AVAILABLE);
	ck_assert_int_eq(next(), -1);
	pick_update(&set, &conn[0], 1);
	ck_assert_int_eq(send_one(), 0);
	ck_assert_int_eq(next(), -1);
	ck_assert_uint_eq(pick_count(&set), 0);
	answer(0);
	ck_assert_int_eq(next(), 0);
}
END_TEST

START_TEST(the_connection_with_the_most_free_slots_is_chosen)
{
	choose_by(PICK_MOST_AVAILABLE);
	pick_update(&set, &conn[0], 100);
	pick_update(&set, &conn[1], 1u << 31);
	pick_update(&set, &conn[2], (1u << 31) - 1);
	ck_assert_int_eq(send_one(), 1);
	ck_assert_int_eq(send_one(), 1); /* equal now, used last */
	ck_assert_int_eq(send_one(), 2);
	pick_remove(&set, &conn[1]);
	pick_remove(&set, &conn[2]);
	ck_assert_int_eq(next(), 0);
}
END_TEST

START_TEST(equal_connections_share_what_comes_at_once)
{
	choose_by(PICK_MOST_AVAILABLE);
	for (int i = 0; i < 4; i++)
		pick_update(&set, &conn[i], 100);
	for (int i = 0; i < 40; i++)
		send_one();
	for (int i = 0; i < 4; i++)
		ck_assert_uint_eq(conn[i].available, 90);
}
END_TEST

/* What the upstream does not need falls idle and can be closed. */
START_TEST(among_equals_one_request_after_the_other_takes_the_same_connection)
{
	choose_by(PICK_MOST_AVAILABLE);
	for (int i = 0; i < 8; i++)
		pick_update(&set, &conn[i], 1);
	for (int n = 0; n < 100; n++) {
		int a = send_one(), b = send_one();

		ck_assert(a >= 6 && b >= 6 && a != b);
		answer(a);
		answer(b);
	}
}
END_TEST

START_TEST(lifo_fills_one_connection_before_the_next)
{
	choose_by(PICK_LIFO);
	for (int i = 0; i < 3; i++)
		pick_update(&set, &conn[i], 10);
	for (int n = 0; n < 10; n++)
		ck_assert_int_eq(send_one(), 2);
	ck_assert_int_eq(send_one(), 1);
	answer(2);
	ck_assert_int_eq(send_one(), 2);
}
END_TEST

START_TEST(fifo_takes_the_one_not_used_for_longest)
{
	choose_by(PICK_FIFO);
	for (int i = 0; i < 3; i++)
		pick_update(&set, &conn[i], 10);
	for (int n = 0; n < 9; n++)
		ck_assert_int_eq(send_one(), n % 3);
	answer(0); /* a returned slot is a use as well */
	ck_assert_int_eq(send_one(), 1);
}
END_TEST

START_TEST(an_update_without_a_change_is_no_use)
{
	choose_by(PICK_FIFO);
	pick_update(&set, &conn[0], 1);
	pick_update(&set, &conn[1], 1);
	pick_update(&set, &conn[0], 1);
	ck_assert_int_eq(next(), 0);
}
END_TEST

START_TEST(random2_takes_the_better_of_two_different_ones)
{
	choose_by(PICK_RANDOM2);
	pick_update(&set, &conn[0], 7);
	ck_assert_int_eq(next(), 0);
	pick_update(&set, &conn[1], 8);
	for (int i = 0; i < 1000; i++) /* both are drawn each time */
		ck_assert_int_eq(next(), 1);
}
END_TEST

START_TEST(random2_reaches_all_but_the_fullest)
{
	unsigned drawn[10] = {0};

	choose_by(PICK_RANDOM2);
	for (unsigned i = 0; i < 10; i++)
		pick_update(&set, &conn[i], i + 1);
	for (int i = 0; i < 10000; i++)
		drawn[next()]++;
	ck_assert_uint_eq(drawn[0], 0);
	for (int i = 1; i < 10; i++) /* 2i in 90: the pairs in which it is the better one */
		ck_assert_uint_ge(drawn[i] * 90, (unsigned)i * 2 * 10000 * 8 / 10);
	for (int i = 1; i < 10; i++)
		ck_assert_uint_le(drawn[i] * 90, (unsigned)i * 2 * 10000 * 12 / 10);
}
END_TEST

START_TEST(removing_what_is_not_in_the_set_is_fine)
{
	choose_by(PICK_LIFO);
	pick_remove(&set, &conn[0]);
	pick_update(&set, &conn[1], 1);
	pick_remove(&set, &conn[1]);
	pick_remove(&set, &conn[1]);
	ck_assert_int_eq(next(), -1);
}
END_TEST

/* By looking at each; the order of use is the order of stamps. */
static int best_by_looking(enum pick_mode mode)
{
	int best = -1;

	for (int i = 0; i < MANY; i++) {
		const struct pick_entry *e = &conn[i];

		if (e->available == 0)
			continue;
		if (best < 0 || (mode == PICK_FIFO && e->stamp < conn[best].stamp) ||
			(mode == PICK_LIFO && e->stamp > conn[best].stamp) ||
			(mode == PICK_MOST_AVAILABLE &&
				(e->available > conn[best].available ||
					(e->available == conn[best].available &&
						e->stamp > conn[best].stamp))))
			best = i;
	}
	return best;
}

static unsigned depth(const struct pick_entry *e)
{
	unsigned a, b;

	if (!e)
		return 0;
	a = depth(e->less);
	b = depth(e->more);
	return 1 + (a > b ? a : b);
}

/* 3 log2(1000) is 30; a list would be 1000 deep. */
START_TEST(the_choice_is_right_and_quick_whatever_happened_before)
{
	enum pick_mode mode = (enum pick_mode)_i;

	choose_by(mode);
	for (unsigned i = 0; i < MANY;
		i++) /* in order: the worst for a tree that is not balanced */
		pick_update(&set, &conn[i], i + 1);
	ck_assert_uint_le(depth(set.root), 30);
	for (int n = 0; n < 20000; n++) {
		struct pick_entry *e = &conn[draw() % MANY];

		pick_update(&set, e, draw() % 3 ? (uint32_t)(draw() % 5) : UINT32_MAX);
		if (n % 100 == 0)
			ck_assert_int_eq(next(), best_by_looking(mode));
	}
	ck_assert_uint_le(depth(set.root), 30);
	for (unsigned i = 0; i < MANY; i++)
		pick_remove(&set, &conn[i]);
	ck_assert_ptr_null(set.root);
}
END_TEST

/* ---- how many ---------------------------------------------------------- */

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

START_TEST(a_multiplexed_upstream_gets_no_connection_for_each_waiter)
{
	struct pick_demand d = demand(1000, 100);

	d.max_connections = d.max_connecting = 1000;
	ck_assert_uint_eq(pick_dials(&d), 10);
	d.expected_each = 1000;
	ck_assert_uint_eq(pick_dials(&d), 1);
}
END_TEST

START_TEST(min_connections_are_opened_without_traffic)
{
	struct pick_demand d = demand(0, 1);

	d.min_connections = 3;
	ck_assert_uint_eq(pick_dials(&d), 3);
	d.connections = d.connecting = 2;
	ck_assert_uint_eq(pick_dials(&d), 1);
	d.connections = 3;
	ck_assert_uint_eq(pick_dials(&d), 0);
	d.connections = d.connecting = 0;
	d.max_connecting = 2;
	ck_assert_uint_eq(pick_dials(&d), 2);
}
END_TEST

START_TEST(a_connection_that_drains_is_replaced_below_the_minimum)
{
	struct pick_demand d = demand(0, 1);

	d.min_connections = d.connections = 3;
	d.draining = 1;
	ck_assert_uint_eq(pick_dials(&d), 1);
	d.max_connections = 3; /* it still counts as a connection */
	ck_assert_uint_eq(pick_dials(&d), 0);
}
END_TEST

START_TEST(what_is_demanded_counts_for_the_minimum)
{
	struct pick_demand d = demand(3, 1);

	d.min_connections = 2;
	ck_assert_uint_eq(pick_dials(&d), 3);
	d.min_connections = 4;
	ck_assert_uint_eq(pick_dials(&d), 4);
}
END_TEST

START_TEST(the_reserve_is_opened_only_for_who_waited_long)
{
	struct pick_demand d = demand(10, 1);

	d.reserve_connections = 2;
	d.reserve_after = 1000;
	d.connections = 5;
	ck_assert_uint_eq(pick_dials(&d), 1);
	d.connections = 6;
	d.oldest_wait = 400;
	ck_assert_uint_eq(pick_dials(&d), 0);
	ck_assert_uint_eq(pick_dials_again(&d), 600);
	d.oldest_wait = 1000;
	ck_assert_uint_eq(pick_dials(&d), 2);
	ck_assert_uint_eq(pick_dials_again(&d), UINT64_MAX);
	d.waiting = 0;
	ck_assert_uint_eq(pick_dials(&d), 0);
}
END_TEST

START_TEST(the_minimum_does_not_touch_the_reserve)
{
	struct pick_demand d = demand(0, 1);

	d.reserve_connections = 2;
	d.min_connections = 8;
	ck_assert_uint_eq(pick_dials(&d), 4); /* max_connecting */
	d.connections = 6;
	ck_assert_uint_eq(pick_dials(&d), 0);
	ck_assert_uint_eq(pick_dials_again(&d), UINT64_MAX);
}
END_TEST

START_TEST(nothing_is_opened_before_the_backoff_is_over)
{
	struct pick_demand d = demand(10, 1);

	d.min_connections = 1;
	d.now = 700;
	d.not_before = 1000;
	ck_assert_uint_eq(pick_dials(&d), 0);
	ck_assert_uint_eq(pick_dials_again(&d), 300);
	d.waiting = d.min_connections = 0; /* nobody needs to be woken */
	ck_assert_uint_eq(pick_dials_again(&d), UINT64_MAX);
	d.waiting = 10;
	d.now = 1000;
	ck_assert_uint_eq(pick_dials(&d), 4);
}
END_TEST

START_TEST(after_a_failure_one_connection_at_a_time_is_tried)
{
	struct pick_demand d = demand(10, 1);

	d.failing = true;
	ck_assert_uint_eq(pick_dials(&d), 1);
	d.connections = d.connecting = 1;
	d.expected = 1;
	ck_assert_uint_eq(pick_dials(&d), 0);
	d.failing = false;
	ck_assert_uint_eq(pick_dials(&d), 3);
}
END_TEST

START_TEST(idle_connections_above_max_idle_are_surplus_but_not_the_minimum)
{
	ck_assert_uint_eq(pick_surplus(5, 8, 6, 0), 0);
	ck_assert_uint_eq(pick_surplus(5, 2, 6, 0), 3);
	ck_assert_uint_eq(pick_surplus(5, 2, 6, 4), 2);
	ck_assert_uint_eq(pick_surplus(5, 2, 6, 7), 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("pick");
	TCase *c = tcase_create("choice");

	tcase_add_test(c, without_a_free_slot_there_is_nothing_to_choose);
	tcase_add_test(c, the_connection_with_the_most_free_slots_is_chosen);
	tcase_add_test(c, equal_connections_share_what_comes_at_once);
	tcase_add_test(c, among_equals_one_request_after_the_other_takes_the_same_connection);
	tcase_add_test(c, lifo_fills_one_connection_before_the_next);
	tcase_add_test(c, fifo_takes_the_one_not_used_for_longest);
	tcase_add_test(c, an_update_without_a_change_is_no_use);
	tcase_add_test(c, random2_takes_the_better_of_two_different_ones);
	tcase_add_test(c, random2_reaches_all_but_the_fullest);
	tcase_add_test(c, removing_what_is_not_in_the_set_is_fine);
	tcase_add_loop_test(c, the_choice_is_right_and_quick_whatever_happened_before,
		PICK_MOST_AVAILABLE, PICK_FIFO + 1);
	suite_add_tcase(s, c);

	c = tcase_create("dials");
	tcase_add_test(c, nobody_waits_nothing_is_opened);
	tcase_add_test(c, an_unknown_protocol_is_asked_by_one_connection);
	tcase_add_test(c, http1_gets_a_connection_for_each_request_up_to_max_connecting);
	tcase_add_test(c, http2_gets_as_many_as_its_streams_need);
	tcase_add_test(c, max_connections_is_never_exceeded);
	tcase_add_test(c, a_multiplexed_upstream_gets_no_connection_for_each_waiter);
	tcase_add_test(c, min_connections_are_opened_without_traffic);
	tcase_add_test(c, a_connection_that_drains_is_replaced_below_the_minimum);
	tcase_add_test(c, what_is_demanded_counts_for_the_minimum);
	tcase_add_test(c, the_reserve_is_opened_only_for_who_waited_long);
	tcase_add_test(c, the_minimum_does_not_touch_the_reserve);
	tcase_add_test(c, nothing_is_opened_before_the_backoff_is_over);
	tcase_add_test(c, after_a_failure_one_connection_at_a_time_is_tried);
	tcase_add_test(c, idle_connections_above_max_idle_are_surplus_but_not_the_minimum);
	suite_add_tcase(s, c);
	return run_suite_together(s);
}
