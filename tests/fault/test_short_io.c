/*
 * test_short_io.c - the answers do not depend on how the kernel cuts, delays
 * and interrupts reading and writing.
 */
#include <stdio.h>
#include <string.h>

#include "tests/fault/scenario.h"

static void run_whole(struct run *r, const struct scenario *s, const struct way *way)
{
	io_faults.open = 0;
	memset(io_faults.calls, 0, sizeof(io_faults.calls));
	run_begin(r, s, way);
	run_until_over(r);
	run_end(r);
}

/* The scenario with these faults ends as without them. */
static void compare(const struct scenario *s, struct way way, const struct io_faults *faults)
{
	struct run plain, cut;

	way.io = true;
	io_faults = (struct io_faults){0};
	run_whole(&plain, s, &way);
	io_faults = *faults;
	run_whole(&cut, s, &way);
	for (unsigned i = 0; i < s->asks_n; i++) {
		if (!s->asks[i].refused)
			ck_assert_uint_gt(plain.probes[i].status, 0);
		ck_assert_msg(run_is_same(&cut, &plain, i),
			"%s%s, request %u, seed %u: error %d, %d", s->name, way.tls ? ", TLS" : "",
			i, faults->seed, cut.probes[i].result.err, plain.probes[i].result.err);
	}
	run_forget(&plain);
	run_forget(&cut);
}

#define LARGE_CUT 97u /* one byte of 300 KB is a turn of the loop, and so half a minute */

static struct io_faults for_large(struct io_faults f)
{
	f.recv_max = f.recv_max ? LARGE_CUT : 0;
	f.send_max = f.send_max ? LARGE_CUT : 0;
	return f;
}

static void compare_all(const struct io_faults *faults)
{
	const struct io_faults large = for_large(*faults);
	struct way ways[2] = {{0}, way_tls()};

	for (enum scenario_id id = 0; id < SCENARIO_COUNT; id++) {
		struct scenario *s = scenario_new(id);

		for (int w = 0; w < 2; w++)
			compare(s, ways[w], s->large ? &large : faults);
		scenario_free(s);
	}
	way_free(&ways[1]);
}

START_TEST(reads_may_bring_one_byte_each)
{
	compare_all(&(struct io_faults){.recv_max = 1});
}
END_TEST

START_TEST(writes_may_take_one_byte_each)
{
	compare_all(&(struct io_faults){.send_max = 1});
}
END_TEST

START_TEST(nothing_may_be_ready_at_first)
{
	compare_all(&(struct io_faults){.again = true});
}
END_TEST

START_TEST(signals_may_interrupt_every_call)
{
	compare_all(&(struct io_faults){.intr = true});
}
END_TEST

START_TEST(all_of_it_may_come_together)
{
	compare_all(&(struct io_faults){.recv_max = 1, .send_max = 1, .again = true, .intr = true});
}
END_TEST

START_TEST(cuts_may_be_anywhere)
{
	for (uint32_t seed = 1; seed <= 10; seed++)
		compare_all(&(struct io_faults){.seed = seed * 7919});
}
END_TEST

/* Behind a read that did not fill its room there is nothing: no second one asks. */
static void count_reads(struct way way)
{
	struct scenario *s = scenario_new(SCENARIO_H1_GET);
	struct probe p = {0};
	struct run r;

	io_faults = (struct io_faults){0};
	way.io = true;
	run_begin(&r, s, &way);
	run_until_over(&r);
	expect_request(&r.c, "GET /0 ");
	get(&r.c, &p, "/again");
	expect_request(&r.c, "GET /again ");
	io_faults.calls[IO_RECV] = 0;
	peer_say(r.c.peer, OK_HELLO);
	wait_done(&p);
	check_answered(&p, "hello");
	turns(r.c.base, 3);
	ck_assert_uint_eq(io_faults.calls[IO_RECV], 1);
	run_end(&r);
	run_forget(&r);
	scenario_free(s);
}

START_TEST(an_answer_is_read_by_one_call)
{
	struct way tls = way_tls();

	count_reads((struct way){0});
	count_reads(tls);
	way_free(&tls);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		reads_may_bring_one_byte_each,
		writes_may_take_one_byte_each,
		nothing_may_be_ready_at_first,
		signals_may_interrupt_every_call,
		all_of_it_may_come_together,
		cuts_may_be_anywhere,
		an_answer_is_read_by_one_call,
	};

	return run_suite("short io", tests, sizeof(tests) / sizeof(tests[0]));
}
