/* test_timer.c - timers follow the context's clock, in order. */
#include <check.h>
#include <stdlib.h>

#include "tests/unit/ctx_fixture.h"
#include "tests/unit/run.h"

static struct ctx_fixture f;

struct probe {
	struct timer t;
	int fired;
	int order;
	struct probe *stops;
};
static int order;

static void fire(struct timer *t)
{
	struct probe *p = container_of(t, struct probe, t);

	p->fired++;
	p->order = ++order;
	if (p->stops)
		timer_stop(&p->stops->t);
}

static struct probe probe(void)
{
	struct probe p = {0};

	timer_init(&p.t, fire);
	return p;
}

static void advance(uint64_t ms)
{
	f.us += ms * 1000;
	f.ctx->now = 0;
	timers_run(f.ctx);
}

static void setup(void)
{
	fixture_begin(&f, 0);
	order = 0;
}

static void teardown(void)
{
	fixture_end(&f);
}

START_TEST(fires_once_when_its_time_has_come_and_not_before)
{
	struct probe p = probe();

	list_init(&p.t.link);
	timer_start(f.ctx, &p.t, 100);
	ck_assert(timer_running(&p.t));
	advance(99);
	ck_assert_int_eq(p.fired, 0);
	advance(1);
	ck_assert_int_eq(p.fired, 1);
	ck_assert(!timer_running(&p.t));
	advance(1000);
	ck_assert_int_eq(p.fired, 1);
}
END_TEST

START_TEST(starting_again_moves_it)
{
	struct probe p = probe();

	list_init(&p.t.link);
	timer_start(f.ctx, &p.t, 100);
	advance(60);
	timer_start(f.ctx, &p.t, 100);
	advance(60);
	ck_assert_int_eq(p.fired, 0);
	advance(40);
	ck_assert_int_eq(p.fired, 1);
}
END_TEST

START_TEST(a_stopped_one_does_not_fire)
{
	struct probe p = probe();

	list_init(&p.t.link);
	timer_start(f.ctx, &p.t, 10);
	timer_stop(&p.t);
	timer_stop(&p.t);
	advance(100);
	ck_assert_int_eq(p.fired, 0);
}
END_TEST

START_TEST(one_may_stop_another_that_is_due_at_the_same_time)
{
	struct probe a = probe(), b = probe();

	list_init(&a.t.link);
	list_init(&b.t.link);
	a.stops = &b;
	timer_start(f.ctx, &a.t, 10);
	timer_start(f.ctx, &b.t, 10);
	advance(10);
	ck_assert_int_eq(a.fired, 1);
	ck_assert_int_eq(b.fired, 0);
}
END_TEST

START_TEST(different_durations_fire_each_at_its_time)
{
	struct probe a = probe(), b = probe(), c = probe();

	list_init(&a.t.link);
	list_init(&b.t.link);
	list_init(&c.t.link);
	timer_start(f.ctx, &a.t, 300);
	timer_start(f.ctx, &b.t, 100);
	timer_start(f.ctx, &c.t, 200);
	advance(100);
	ck_assert(b.fired && !a.fired && !c.fired);
	advance(100);
	ck_assert(c.fired && !a.fired);
	advance(100);
	ck_assert(a.fired);
}
END_TEST

START_TEST(a_thousand_durations_share_queues_and_are_late_by_at_most_a_16th)
{
	struct probe *p = calloc(1000, sizeof(*p));

	for (unsigned i = 0; i < 1000; i++) {
		timer_init(&p[i].t, fire);
		timer_start(f.ctx, &p[i].t, 1000 + i * 7);
	}
	ck_assert_uint_lt(f.ctx->timers.count, 200);
	for (unsigned i = 0; i < 1000; i++) {
		uint64_t ms = 1000 + i * 7;
		uint64_t due = p[i].t.deadline - 1000;

		ck_assert_uint_ge(due, ms);
		ck_assert_uint_le(due, ms + ms / 16 + 1);
	}
	advance(10000);
	for (unsigned i = 0; i < 1000; i++)
		ck_assert_int_eq(p[i].fired, 1);
	free(p);
}
END_TEST

static void *no_memory(size_t n, void *arg)
{
	(void)n, (void)arg;
	return NULL;
}

START_TEST(without_memory_each_fires_at_its_time_as_well)
{
	static const uint64_t ms[] = {300, 100, 200, 100, 0};
	struct probe p[5];

	f.ctx->mem.alloc = no_memory;
	for (int i = 0; i < 5; i++) {
		p[i] = probe();
		list_init(&p[i].t.link);
		timer_start(f.ctx, &p[i].t, ms[i]);
	}
	timer_stop(&p[3].t);
	for (uint64_t now = 0; now <= 300; now += 50) {
		for (int i = 0; i < 5; i++) /* one a run */
			advance(0);
		for (int i = 0; i < 5; i++)
			ck_assert_int_eq(p[i].fired, i != 3 && ms[i] <= now);
		advance(50);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("timer");
	TCase *c = tcase_create("timer");

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, fires_once_when_its_time_has_come_and_not_before);
	tcase_add_test(c, starting_again_moves_it);
	tcase_add_test(c, a_stopped_one_does_not_fire);
	tcase_add_test(c, one_may_stop_another_that_is_due_at_the_same_time);
	tcase_add_test(c, different_durations_fire_each_at_its_time);
	tcase_add_test(c, a_thousand_durations_share_queues_and_are_late_by_at_most_a_16th);
	tcase_add_test(c, without_memory_each_fires_at_its_time_as_well);
	suite_add_tcase(s, c);
	return run_suite_together(s);
}
