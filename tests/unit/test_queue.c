/* test_queue.c - who waits for a connection, and whose turn it is. */
#include <check.h>

#include "daemon/pool/queue.h"
#include "tests/unit/run.h"

#define MANY 2000

static struct queue q;
static struct queue_item item[MANY];

static void setup(void)
{
	queue_init(&q, true, MANY);
	for (int i = 0; i < MANY; i++)
		queue_item_init(&item[i]);
}

static void wait_for(int i, uint32_t uid)
{
	ck_assert(queue_push(&q, &item[i], uid, false));
}

static void wait_again(int i, uint32_t uid)
{
	ck_assert(queue_push(&q, &item[i], uid, true));
}

/* Takes the next one; -1: nobody waits. */
static int served(void)
{
	struct queue_item *first = queue_first(&q);
	struct queue_item *it = queue_take(&q);

	ck_assert_ptr_eq(it, first);
	return it ? (int)(it - item) : -1;
}

static void serves(int i)
{
	ck_assert_int_eq(served(), i);
}

START_TEST(nobody_waits_in_an_empty_queue)
{
	serves(-1);
	ck_assert_ptr_null(queue_oldest(&q));
	ck_assert_uint_eq(queue_count(&q), 0);
}
END_TEST

START_TEST(one_users_requests_are_served_as_they_came)
{
	for (int i = 0; i < 5; i++)
		wait_for(i, 1000);
	for (int i = 0; i < 5; i++)
		serves(i);
	serves(-1);
}
END_TEST

START_TEST(users_are_served_in_turn)
{
	for (int i = 0; i < 3; i++)
		wait_for(i, 1000);
	for (int i = 3; i < 5; i++)
		wait_for(i, 1001);
	wait_for(5, 1002);
	serves(0);
	serves(3);
	serves(5);
	serves(1);
	serves(4);
	serves(2);
	serves(-1);
}
END_TEST

START_TEST(a_thousand_requests_of_one_user_delay_anothers_by_at_most_two_slots)
{
	for (int i = 0; i < 1000; i++)
		wait_for(i, 1000);
	for (int n = 0; n < 50; n++) {
		int slots = 0;

		for (int i = 0; i < n; i++) /* whenever it comes */
			wait_for(1000 + i, 1000);
		wait_for(1900, 1001);
		while (served() != 1900)
			ck_assert_int_le(++slots, 2);
		for (int i = 0; i < n; i++)
			queue_remove(&q, &item[1000 + i]);
	}
}
END_TEST

START_TEST(coming_back_at_once_wins_nothing)
{
	wait_for(0, 1000);
	wait_for(1, 1001);
	wait_for(2, 1001);
	serves(0);
	wait_for(0, 1000);
	serves(1);
	serves(0);
	wait_for(0, 1000);
	serves(2);
	serves(0);
}
END_TEST

START_TEST(fifo_knows_no_users)
{
	queue_init(&q, false, MANY);
	wait_for(0, 1000);
	wait_for(1, 1000);
	wait_for(2, 1001);
	wait_for(3, 1000);
	queue_remove(&q, &item[0]);
	for (int i = 1; i < 4; i++)
		serves(i);
	serves(-1);
}
END_TEST

START_TEST(what_is_sent_again_goes_before_all_in_its_order)
{
	wait_for(0, 1000);
	wait_for(1, 1001);
	wait_again(2, 1002);
	wait_again(3, 1000);
	serves(2);
	serves(3);
	serves(0);
	serves(1);
}
END_TEST

START_TEST(what_is_sent_again_takes_nobodys_turn)
{
	wait_again(0, 1000);
	serves(0); /* alone */
	wait_for(1, 1000);
	wait_for(2, 1001);
	wait_again(0, 1000);
	serves(0);
	serves(1);
	serves(2);
}
END_TEST

START_TEST(a_full_queue_takes_only_what_is_sent_again)
{
	queue_init(&q, true, 2);
	wait_for(0, 1000);
	wait_for(1, 1000);
	ck_assert(!queue_push(&q, &item[2], 1001, false));
	ck_assert(!item[2].queued);
	wait_again(3, 1000);
	ck_assert_uint_eq(queue_count(&q), 3);
	serves(3);
	serves(0);
	wait_for(2, 1001);
	ck_assert(!queue_push(&q, &item[4], 1001, false));
}
END_TEST

START_TEST(a_queue_without_room_takes_nobody)
{
	queue_init(&q, true, 0);
	ck_assert(!queue_push(&q, &item[0], 1000, false));
	serves(-1);
}
END_TEST

/* The first of a user carries what they share; it must not take that along. */
START_TEST(the_others_of_a_user_stay_when_one_leaves)
{
	for (int leaves = 0; leaves < 3; leaves++) {
		setup();
		for (int i = 0; i < 3; i++)
			wait_for(i, 1000);
		wait_for(3, 1001);
		queue_remove(&q, &item[leaves]);
		queue_remove(&q, &item[leaves]); /* twice is fine */
		ck_assert_uint_eq(queue_count(&q), 3);
		wait_for(4, 1000); /* joins them: its lane was found */
		serves(leaves == 0 ? 1 : 0);
		serves(3);
		serves(leaves == 2 ? 1 : 2);
		serves(4);
		serves(-1);
	}
}
END_TEST

START_TEST(giving_up_costs_the_user_no_turn)
{
	wait_for(0, 1000);
	wait_for(1, 1000);
	wait_for(2, 1001);
	queue_remove(&q, &item[0]);
	serves(1);
	serves(2);
}
END_TEST

START_TEST(the_last_of_a_user_takes_its_turn_along)
{
	wait_for(0, 1000);
	wait_for(1, 1001);
	queue_remove(&q, &item[0]);
	serves(1);
	serves(-1);
	ck_assert(list_empty(&q.turns));
}
END_TEST

START_TEST(the_oldest_is_known_whoever_is_served)
{
	wait_for(0, 1000);
	wait_for(1, 1000);
	wait_for(2, 1001);
	ck_assert_ptr_eq(queue_oldest(&q), &item[0]);
	serves(0);
	serves(2);
	ck_assert_ptr_eq(queue_oldest(&q), &item[1]);
	wait_again(3, 1000);
	ck_assert_ptr_eq(queue_oldest(&q), &item[1]);
}
END_TEST

START_TEST(all_move_to_another_queue_in_the_order_of_service)
{
	struct queue other;

	queue_init(&other, true, 0); /* full: who waits already may stay */
	wait_for(0, 1000);
	wait_for(1, 1000);
	wait_for(2, 1001);
	wait_again(3, 1001);
	queue_move(&other, &q);
	ck_assert_uint_eq(queue_count(&q), 0);
	ck_assert_ptr_null(queue_oldest(&q));
	ck_assert_uint_eq(queue_count(&other), 4);
	ck_assert_ptr_eq(queue_oldest(&other), &item[0]);
	ck_assert_ptr_eq(queue_take(&other), &item[3]);
	ck_assert_ptr_eq(queue_take(&other), &item[0]);
	ck_assert_ptr_eq(queue_take(&other), &item[2]);
	ck_assert_ptr_eq(queue_take(&other), &item[1]);
	ck_assert_ptr_null(queue_take(&other));
}
END_TEST

START_TEST(a_change_of_the_rules_loses_nobody)
{
	queue_configure(&q, false, MANY);
	for (int i = 0; i < 3; i++)
		wait_for(i, 1000);
	wait_for(3, 1001);
	queue_configure(&q, true, 3);
	ck_assert_uint_eq(queue_count(&q), 4);
	ck_assert(!queue_push(&q, &item[9], 1002, false));
	serves(0);
	serves(3);
	queue_configure(&q, false, 3);
	wait_for(4, 1001);
	serves(1);
	serves(2);
	serves(4);
	serves(-1);
}
END_TEST

/* Against a model that looks at everything: whoever was served longest ago comes next. */
#define USERS 300

static long last_turn[USERS]; /* when the user was served, or came while none of it waited */
static int waiting_of[USERS];

static unsigned draw(unsigned n)
{
	static uint64_t seed = 1;

	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(seed >> 33) % n;
}

static void check_turn(const struct queue_item *it)
{
	bool fair = true;

	for (int u = 0; u < USERS; u++)
		fair = fair && (waiting_of[u] == 0 || last_turn[u] >= last_turn[it->uid]);
	ck_assert(fair); /* once: Check notes down each assertion that holds */
}

START_TEST(turns_are_fair_whatever_comes_and_goes)
{
	long now = 0;

	for (int n = 0; n < 20000; n++) {
		struct queue_item *it = &item[draw(MANY)];

		now++;
		if (it->queued) {
			waiting_of[it->uid]--;
			queue_remove(&q, it);
		} else if (draw(3) > 0) {
			uint32_t uid = draw(USERS);

			if (waiting_of[uid]++ == 0)
				last_turn[uid] = now;
			ck_assert(queue_push(&q, it, uid, false));
		} else if (queue_count(&q) > 0) {
			it = queue_take(&q);
			check_turn(it);
			last_turn[it->uid] = now;
			waiting_of[it->uid]--;
		}
	}
	ck_assert_uint_gt(queue_count(&q), 100);
	while (queue_take(&q))
		;
	ck_assert_uint_eq(queue_count(&q), 0);
	ck_assert(list_empty(&q.turns) && list_empty(&q.by_age));
	for (int i = 0; i < QUEUE_BUCKETS; i++)
		ck_assert(list_empty(&q.buckets[i]));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("queue");
	TCase *c = tcase_create("turns");

	tcase_add_checked_fixture(c, setup, NULL);
	tcase_add_test(c, nobody_waits_in_an_empty_queue);
	tcase_add_test(c, one_users_requests_are_served_as_they_came);
	tcase_add_test(c, users_are_served_in_turn);
	tcase_add_test(c, a_thousand_requests_of_one_user_delay_anothers_by_at_most_two_slots);
	tcase_add_test(c, coming_back_at_once_wins_nothing);
	tcase_add_test(c, fifo_knows_no_users);
	tcase_add_test(c, what_is_sent_again_goes_before_all_in_its_order);
	tcase_add_test(c, what_is_sent_again_takes_nobodys_turn);
	tcase_add_test(c, a_full_queue_takes_only_what_is_sent_again);
	tcase_add_test(c, a_queue_without_room_takes_nobody);
	tcase_add_test(c, the_others_of_a_user_stay_when_one_leaves);
	tcase_add_test(c, giving_up_costs_the_user_no_turn);
	tcase_add_test(c, the_last_of_a_user_takes_its_turn_along);
	tcase_add_test(c, the_oldest_is_known_whoever_is_served);
	tcase_add_test(c, all_move_to_another_queue_in_the_order_of_service);
	tcase_add_test(c, a_change_of_the_rules_loses_nobody);
	tcase_add_test(c, turns_are_fair_whatever_comes_and_goes);
	suite_add_tcase(s, c);
	return run_suite_together(s);
}
