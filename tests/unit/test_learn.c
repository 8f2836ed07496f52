/* test_learn.c - the idle timeout of a server, found out; and lifetimes that differ. */
#include <check.h>
#include <string.h>

#include "daemon/pool/learn.h"
#include "tests/unit/run.h"

#define HOUR 3600000u

static const struct learn_rules rules = {.idle_timeout = 60000, .margin = 1000, .learn = true};
static struct learn l;
static uint64_t now;

static void setup(void)
{
	memset(&l, 0, sizeof(l));
	now = 1000000;
}

/* The server closes one after so long, a minute after the last time. */
static void closes(uint64_t idle)
{
	now += 60000;
	learn_closed(&l, idle, now);
}

static uint64_t limit(void)
{
	return learn_limit(&l, &rules, LEARN_NO_HINT);
}

START_TEST(without_experience_the_configured_timeout_holds)
{
	struct learn_rules off = rules;

	ck_assert_uint_eq(limit(), 60000);
	off.idle_timeout = 0;
	ck_assert_uint_eq(learn_limit(&l, &off, LEARN_NO_HINT), LEARN_NEVER);
}
END_TEST

START_TEST(two_closes_at_the_same_age_are_a_timeout)
{
	closes(5020);
	ck_assert_uint_eq(limit(), 60000);
	closes(5010);
	ck_assert_uint_eq(limit(), 4010);
}
END_TEST

START_TEST(one_close_for_another_reason_does_not_hide_it)
{
	closes(15000);
	closes(3000);
	closes(15100);
	ck_assert_uint_eq(limit(), 14000);
}
END_TEST

START_TEST(a_restart_closes_connections_of_any_age_and_teaches_nothing)
{
	for (uint64_t idle = 30000; idle > 20000; idle -= 100)
		learn_closed(&l, idle, now++);
	ck_assert_uint_eq(limit(), 60000);
}
END_TEST

START_TEST(a_close_right_after_an_answer_is_not_idleness)
{
	for (int i = 0; i < 10; i++)
		closes(5);
	ck_assert_uint_eq(limit(), 60000);
}
END_TEST

START_TEST(a_shorter_timeout_is_learned_as_the_first_one_was)
{
	closes(30000);
	closes(30000);
	closes(5000);
	ck_assert_uint_eq(limit(), 29000);
	closes(5000);
	ck_assert_uint_eq(limit(), 4000);
}
END_TEST

START_TEST(a_little_shorter_is_believed_at_once)
{
	closes(30000);
	closes(30000);
	closes(28500);
	ck_assert_uint_eq(limit(), 27500);
}
END_TEST

START_TEST(never_above_the_configured_timeout)
{
	closes(75000);
	closes(75000);
	ck_assert_uint_eq(limit(), 60000);
	ck_assert_uint_eq(learn_limit(&l, &rules, 120000), 60000);
}
END_TEST

START_TEST(the_servers_own_word_counts_for_its_connection)
{
	ck_assert_uint_eq(learn_limit(&l, &rules, 3000), 2000);
	closes(10000);
	closes(10000);
	ck_assert_uint_eq(learn_limit(&l, &rules, 3000), 2000);
	ck_assert_uint_eq(
		learn_limit(&l, &rules, 30000), 9000); /* something between closes sooner */
}
END_TEST

START_TEST(the_margin_leaves_at_least_half)
{
	ck_assert_uint_eq(learn_limit(&l, &rules, 2000), 1000);
	ck_assert_uint_eq(learn_limit(&l, &rules, 1000), 500);
	ck_assert_uint_eq(learn_limit(&l, &rules, 0), 0);
}
END_TEST

START_TEST(what_may_not_learn_stays_as_configured)
{
	struct learn_rules fixed = rules;

	fixed.learn = false;
	closes(5000);
	closes(5000);
	ck_assert_uint_eq(learn_limit(&l, &fixed, 3000), 60000);
	ck_assert_uint_eq(learn_watch(&l, &fixed, now + HOUR), 0);
}
END_TEST

/* ---- a longer one ------------------------------------------------------ */

START_TEST(nothing_is_watched_that_could_not_be_better)
{
	ck_assert_uint_eq(learn_watch(&l, &rules, now + HOUR), 0); /* nothing learned */
	closes(61000);
	closes(61000);
	ck_assert_uint_eq(learn_watch(&l, &rules, now + HOUR), 0); /* 60 s can be used already */
}
END_TEST

START_TEST(one_connection_is_watched_after_a_while)
{
	closes(10000);
	closes(10000);
	ck_assert_uint_eq(learn_watch(&l, &rules, now + 60000), 0);
	ck_assert_uint_eq(learn_watch(&l, &rules, now + 600000), 15000);
	ck_assert_uint_eq(limit(), 9000); /* requests are not part of it */
}
END_TEST

START_TEST(vain_looks_become_rare)
{
	uint64_t last, pause = 0;

	closes(10000);
	closes(10000);
	for (int i = 0; i < 20; i++) {
		last = now;
		while (learn_watch(&l, &rules, now) == 0)
			now += 1000;
		ck_assert_uint_ge(now - last, pause);
		pause = now - last;
		now += 1000;
		learn_closed(&l, 10000, now);
		ck_assert_uint_eq(limit(), 9000);
	}
	ck_assert_uint_ge(pause, 23 * HOUR);
	ck_assert_uint_le(pause, 25 * HOUR);
}
END_TEST

START_TEST(a_watched_connection_that_lives_longer_raises_the_limit)
{
	closes(10000);
	closes(10000);
	now += HOUR;
	learn_outlived(&l, learn_watch(&l, &rules, now), now);
	ck_assert_uint_eq(limit(), 14000);
	ck_assert_uint_gt(learn_watch(&l, &rules, now), 15000); /* at once, while it goes up */
	learn_closed(&l, 20000, now + 20000);
	ck_assert_uint_eq(limit(), 19000); /* closed later than known: so it is the new timeout */
}
END_TEST

START_TEST(watching_ends_where_the_configured_timeout_is_safe)
{
	closes(50000);
	closes(50000);
	now += HOUR;
	ck_assert_uint_eq(learn_watch(&l, &rules, now), 62000);
	learn_outlived(&l, 62000, now);
	ck_assert_uint_eq(limit(), 60000);
	ck_assert_uint_eq(learn_watch(&l, &rules, now + 100 * HOUR), 0);
}
END_TEST

START_TEST(without_a_configured_timeout_watching_has_no_end)
{
	struct learn_rules endless = rules;

	endless.idle_timeout = 0;
	closes(HOUR);
	closes(HOUR);
	ck_assert_uint_eq(learn_limit(&l, &endless, LEARN_NO_HINT), HOUR - 1000);
	ck_assert_uint_eq(learn_watch(&l, &endless, now + HOUR), HOUR + HOUR / 2);
}
END_TEST

START_TEST(to_live_as_long_as_known_is_no_news)
{
	learn_outlived(&l, 5000, now); /* nothing learned yet */
	ck_assert_uint_eq(limit(), 60000);
	closes(10000);
	closes(10000);
	learn_outlived(&l, 8000, now);
	ck_assert_uint_eq(limit(), 9000);
}
END_TEST

/* ---- a server and a pool of one connection ----------------------------- */

#define WAY 50u /* ms, one way */

static uint64_t seed = 1;
static uint64_t timeout; /* of the server */
static unsigned closed, met_dead;

static uint64_t draw(uint64_t n)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (seed >> 33) % n;
}

/* The connection was idle for gap ms when the next request came. */
static void request_after(uint64_t gap)
{
	uint64_t stop = limit();
	uint64_t watched = gap >= stop ? learn_watch(&l, &rules, now + stop) : 0;

	if (gap < stop && gap >= timeout + WAY) { /* the news came before the request */
		learn_closed(&l, timeout + WAY, now + timeout + WAY);
		closed++;
	} else if (gap < stop && gap + WAY >= timeout) {
		learn_closed(&l, gap, now + gap);
		met_dead++;
		closed++;
	} else if (watched > timeout + WAY) {
		learn_closed(&l, timeout + WAY, now + timeout + WAY);
	} else if (watched > 0) {
		learn_outlived(&l, watched, now + watched);
	}
	now += gap + watched + 1000;
}

START_TEST(after_three_closes_no_request_meets_a_dead_connection)
{
	static const uint64_t timeouts[] = {1000, 2000, 5000, 15000, 50000, 60000};

	for (size_t i = 0; i < sizeof(timeouts) / sizeof(timeouts[0]); i++) {
		setup();
		timeout = timeouts[i];
		for (closed = 0; closed < 3 && limit() == 60000;)
			request_after(draw(100000));
		met_dead = 0;
		for (int n = 0; n < 100000; n++)
			request_after(draw(n % 2 ? 100000 : 2 * timeout));
		ck_assert_uint_eq(met_dead, 0);
		ck_assert_uint_le(closed, 3);
	}
}
END_TEST

START_TEST(a_rise_of_the_servers_timeout_is_learned_again)
{
	timeout = 5000;
	closes(5000);
	closes(5000);
	for (uint64_t end = now + 24 * HOUR; now < end;)
		request_after(draw(100000));
	ck_assert_uint_lt(limit(), 5000);
	timeout = 30000;
	met_dead = 0;
	for (uint64_t end = now + 25 * HOUR; now < end;)
		request_after(draw(100000));
	ck_assert_uint_ge(limit(), 25000);
	ck_assert_uint_lt(limit(), 30000);
	timeout = HOUR;
	for (uint64_t end = now + 25 * HOUR; now < end;)
		request_after(draw(100000));
	ck_assert_uint_eq(limit(), 60000);
	ck_assert_uint_eq(met_dead, 0);
}
END_TEST

/* ---- Keep-Alive -------------------------------------------------------- */

START_TEST(the_timeout_is_read_from_keep_alive)
{
	static const struct {
		const char *text;
		uint64_t ms;
	} rows[] = {{"timeout=5", 5000}, {"timeout=5, max=100", 5000},
		{"max=100,timeout=15", 15000}, {" Timeout = 3 ", 3000}, {"timeout=0", 0},
		{"timeout=99999999999999999999999", 1000000000}, {"", LEARN_NO_HINT},
		{"max=100", LEARN_NO_HINT}, {"timeout", LEARN_NO_HINT}, {"timeout=", LEARN_NO_HINT},
		{"timeout=-1", LEARN_NO_HINT}, {"timeout=5s", LEARN_NO_HINT},
		{"xtimeout=5", LEARN_NO_HINT}, {"timeouts=5", LEARN_NO_HINT},
		{"timeout=x, timeout=7", 7000}, {",,=,timeout=7", 7000}};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct cc_str value = {rows[i].text, strlen(rows[i].text)};

		ck_assert_msg(learn_hint(value) == rows[i].ms, "%s", rows[i].text);
	}
}
END_TEST

/* ---- lifetime ---------------------------------------------------------- */

START_TEST(a_lifetime_is_shorter_by_the_jitter_at_most)
{
	uint64_t least = UINT64_MAX, most = 0;

	for (int i = 0; i < 100000; i++) {
		uint64_t life = lifetime_draw(10000, 20, draw(UINT32_MAX));

		least = life < least ? life : least;
		most = life > most ? life : most;
	}
	ck_assert_uint_eq(least, 8000);
	ck_assert_uint_eq(most, 10000);
}
END_TEST

START_TEST(connections_opened_together_do_not_end_together)
{
	unsigned in_second[3601] = {0};

	for (int i = 0; i < 100; i++)
		in_second[lifetime_draw(HOUR, 20, draw(UINT32_MAX)) / 1000]++;
	for (int i = 0; i <= 3600; i++)
		ck_assert_uint_le(in_second[i], 5);
}
END_TEST

START_TEST(no_jitter_and_no_limit_stay_so)
{
	ck_assert_uint_eq(lifetime_draw(HOUR, 0, 12345), HOUR);
	ck_assert_uint_eq(lifetime_draw(0, 20, 12345), 0);
	for (uint64_t random = 0; random < 20; random++)
		ck_assert_uint_ge(lifetime_draw(10, 100, random), 1); /* 0 would be for ever */
}
END_TEST

int main(void)
{
	Suite *s = suite_create("learn");
	TCase *c = tcase_create("learn");

	tcase_add_checked_fixture(c, setup, NULL);
	tcase_add_test(c, without_experience_the_configured_timeout_holds);
	tcase_add_test(c, two_closes_at_the_same_age_are_a_timeout);
	tcase_add_test(c, one_close_for_another_reason_does_not_hide_it);
	tcase_add_test(c, a_restart_closes_connections_of_any_age_and_teaches_nothing);
	tcase_add_test(c, a_close_right_after_an_answer_is_not_idleness);
	tcase_add_test(c, a_shorter_timeout_is_learned_as_the_first_one_was);
	tcase_add_test(c, a_little_shorter_is_believed_at_once);
	tcase_add_test(c, never_above_the_configured_timeout);
	tcase_add_test(c, the_servers_own_word_counts_for_its_connection);
	tcase_add_test(c, the_margin_leaves_at_least_half);
	tcase_add_test(c, what_may_not_learn_stays_as_configured);
	tcase_add_test(c, nothing_is_watched_that_could_not_be_better);
	tcase_add_test(c, one_connection_is_watched_after_a_while);
	tcase_add_test(c, vain_looks_become_rare);
	tcase_add_test(c, a_watched_connection_that_lives_longer_raises_the_limit);
	tcase_add_test(c, watching_ends_where_the_configured_timeout_is_safe);
	tcase_add_test(c, without_a_configured_timeout_watching_has_no_end);
	tcase_add_test(c, to_live_as_long_as_known_is_no_news);
	tcase_add_test(c, after_three_closes_no_request_meets_a_dead_connection);
	tcase_add_test(c, a_rise_of_the_servers_timeout_is_learned_again);
	tcase_add_test(c, the_timeout_is_read_from_keep_alive);
	tcase_add_test(c, a_lifetime_is_shorter_by_the_jitter_at_most);
	tcase_add_test(c, connections_opened_together_do_not_end_together);
	tcase_add_test(c, no_jitter_and_no_limit_stay_so);
	suite_add_tcase(s, c);
	return run_suite_together(s);
}
