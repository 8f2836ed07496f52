/*
 * test_socket_errors.c - each call to the kernel fails once, in each scenario:
 * every request ends once and as what it is.
 */
#include <errno.h>
#include <string.h>

#include "tests/fault/scenario.h"

static const int errors[] = {ECONNRESET, EPIPE, ETIMEDOUT, ENOBUFS};

/* Without a fault: what the others are compared with. */
static void run_plain(struct run *r, const struct scenario *s, struct way way)
{
	io_faults = (struct io_faults){0};
	run_begin(r, s, &way);
	run_until_over(r);
	run_end(r);
}

static void run_failing(struct run *r, const struct scenario *s, struct way way)
{
	way.io = true;
	run_begin(r, s, &way);
	run_until_over(r);
	run_end(r);
}

static bool is_socket_error(const struct run *r, int err)
{
	switch (err) {
	case 0:
	case CC_EIO:
		return true;
	case CC_ETLS:
		return r->way.tls;
	case CC_EREFUSED: /* what the scenario brings by itself */
	case CC_EGOAWAY:
	case CC_ERESET:
		return r->s->h2;
	case CC_ECLOSED: /* behind Connection: close */
	case CC_EEOF:
		return !r->s->h2;
	default:
		return false;
	}
}

/* In clear the number of bytes that left says exactly which requests did. */
static void check_errors(const struct run *r)
{
	for (unsigned i = 0; i < r->s->asks_n; i++) {
		const struct cc_result *res = &r->probes[i].result;

		ck_assert_msg(is_socket_error(r, res->err), "%s: request %u: error %d", run_text(r),
			i, res->err);
		if (res->err != 0 && res->err != CC_EREFUSED && !r->way.tls && !r->origin.torn)
			ck_assert_msg(res->unprocessed == !r->origin.seen[i],
				"%s: request %u: seen %d, unprocessed %d", run_text(r), i,
				r->origin.seen[i], res->unprocessed);
		if (res->err != 0 && res->err != CC_EREFUSED)
			ck_assert_msg(res->unprocessed == (res->phase == CC_PHASE_QUEUED),
				"%s: request %u: phase %d, unprocessed %d", run_text(r), i,
				res->phase, res->unprocessed);
	}
}

/* The first, the second, ... of these calls fails, until there are not so many. */
static unsigned long fail_each(const struct scenario *s, const struct way *way,
	const struct io_faults *faults, const struct run *whole)
{
	struct run r;
	unsigned long n = 0;

	do {
		io_faults = *faults;
		io_faults.fail_at = ++n;
		run_failing(&r, s, *way);
		run_check_ends(&r, whole);
		check_errors(&r);
		run_forget(&r);
		ck_assert_uint_lt(n, 3000);
	} while (io_faults.failed > 0);
	return n - 1;
}

static void fail_in(enum scenario_id id, const struct way *way, const struct io_faults *faults)
{
	struct scenario *s = scenario_new(id);
	struct run whole;

	run_plain(&whole, s, *way);
	ck_assert_uint_gt(fail_each(s, way, faults, &whole), 0);
	run_forget(&whole);
	scenario_free(s);
}

static void fail_everywhere(const struct way *way, enum io_call call, bool on)
{
	for (enum scenario_id id = 0; id < SCENARIO_COUNT; id++) {
		for (size_t e = 0; e < sizeof(errors) / sizeof(errors[0]); e++) {
			struct io_faults f = {
				.fail_call = call, .fail_errno = errors[e], .fail_on = on};

			fail_in(id, way, &f);
		}
	}
}

START_TEST(a_failed_read_ends_each_request_as_what_it_is)
{
	struct way clear = {0};

	fail_everywhere(&clear, IO_RECV, false);
	fail_everywhere(&clear, IO_RECV, true);
}
END_TEST

START_TEST(a_failed_write_ends_each_request_as_what_it_is)
{
	struct way clear = {0};

	fail_everywhere(&clear, IO_SENDMSG, false);
	fail_everywhere(&clear, IO_SENDMSG, true);
}
END_TEST

START_TEST(a_failed_call_below_tls_ends_each_request_as_what_it_is)
{
	struct way tls = way_tls();

	for (enum scenario_id id = 0; id < SCENARIO_COUNT; id++) {
		struct io_faults f = {.fail_errno = errors[id % 4], .fail_on = id % 2};

		f.fail_call = IO_RECV;
		fail_in(id, &tls, &f);
		f.fail_call = IO_SENDMSG;
		fail_in(id, &tls, &f);
	}
	way_free(&tls);
}
END_TEST

/* Each byte is a call of its own, and several of them are one turn. */
START_TEST(a_request_of_which_one_byte_left_is_not_called_unprocessed)
{
	struct way clear = {0};

	for (enum scenario_id id = 0; id < SCENARIO_COUNT; id++) {
		struct io_faults f = {.fail_call = IO_SENDMSG, .fail_errno = EPIPE, .send_max = 1};

		if (id != SCENARIO_H1_LARGE && id != SCENARIO_H2_LARGE)
			fail_in(id, &clear, &f);
	}
}
END_TEST

START_TEST(a_read_may_fail_behind_every_byte)
{
	struct way clear = {0};

	for (enum scenario_id id = 0; id < SCENARIO_COUNT; id++) {
		struct io_faults f = {
			.fail_call = IO_RECV, .fail_errno = ECONNRESET, .recv_max = 1};

		if (id != SCENARIO_H1_LARGE && id != SCENARIO_H2_LARGE)
			fail_in(id, &clear, &f);
	}
}
END_TEST

/* One connection, one request: the call behind the dial fails in this way. */
static void fail_dial(const struct way *way, enum io_call call, int error, const char *words)
{
	struct scenario *s = scenario_new(SCENARIO_H1_TWO);
	int expected = error == EMFILE || error == ENFILE ? CC_EMFILE : CC_ECONNECT;
	struct run r;

	io_faults = (struct io_faults){.fail_call = call, .fail_at = 1, .fail_errno = error};
	struct way faulty = *way;

	faulty.io = true;
	run_begin(&r, s, &faulty);
	run_until_over(&r);
	turns(r.c.base, 2);
	ck_assert_ptr_nonnull(strstr(cc_conn_detail(r.c.conn), words));
	run_end(&r);
	ck_assert_int_eq(r.conn_err, expected);
	for (unsigned i = 0; i < s->asks_n; i++) {
		ck_assert_int_eq(r.probes[i].result.err, expected);
		ck_assert(r.probes[i].result.unprocessed);
	}
	run_forget(&r);
	scenario_free(s);
}

START_TEST(a_failed_dial_says_what_failed_and_sends_nothing)
{
	struct way ways[2] = {{0}, {.tcp = true}};

	for (int w = 0; w < 2; w++) {
		fail_dial(&ways[w], IO_SOCKET, EMFILE, "Too many open files");
		fail_dial(&ways[w], IO_SOCKET, ENOBUFS, "No buffer space");
		fail_dial(&ways[w], IO_CONNECT, ECONNREFUSED, "Connection refused");
		fail_dial(&ways[w], IO_CONNECT, ETIMEDOUT, "timed out");
		fail_dial(&ways[w], IO_CONNECT, EPERM, "not permitted");
	}
}
END_TEST

START_TEST(a_connect_that_was_interrupted_goes_on)
{
	struct way ways[2] = {{.io = true}, {.tcp = true, .io = true}};
	struct scenario *s = scenario_new(SCENARIO_H1_GET);
	struct run r;

	for (int w = 0; w < 2; w++) {
		io_faults = (struct io_faults){.intr = true};
		run_begin(&r, s, &ways[w]);
		run_until_over(&r);
		run_end(&r);
		ck_assert_uint_eq(r.probes[0].status, 200);
		run_forget(&r);
	}
	scenario_free(s);
}
END_TEST

/* Whether the kernel took our FIN concerns nobody's answer. */
START_TEST(a_failed_shutdown_changes_nothing)
{
	struct way ways[2] = {{.io = true}, way_tls()};

	ways[1].io = true;
	for (enum scenario_id id = 0; id < SCENARIO_COUNT; id++) {
		for (int w = 0; w < 2; w++) {
			struct scenario *s = scenario_new(id);
			struct run whole, r;

			run_plain(&whole, s, ways[w]);
			io_faults = (struct io_faults){.fail_call = IO_SHUTDOWN,
				.fail_at = 1,
				.fail_on = true,
				.fail_errno = ENOTCONN};
			run_failing(&r, s, ways[w]);
			for (unsigned i = 0; i < s->asks_n; i++)
				ck_assert(run_is_same(&r, &whole, i));
			run_forget(&whole);
			run_forget(&r);
			scenario_free(s);
		}
	}
	way_free(&ways[1]);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		a_failed_read_ends_each_request_as_what_it_is,
		a_failed_write_ends_each_request_as_what_it_is,
		a_failed_call_below_tls_ends_each_request_as_what_it_is,
		a_request_of_which_one_byte_left_is_not_called_unprocessed,
		a_read_may_fail_behind_every_byte,
		a_failed_dial_says_what_failed_and_sends_nothing,
		a_connect_that_was_interrupted_goes_on,
		a_failed_shutdown_changes_nothing,
	};

	return run_suite("socket errors", tests, sizeof(tests) / sizeof(tests[0]));
}
