/*
 * test_peer_breaks.c - the peer leaves behind every byte of its answer, in
 * every way there is: what was whole is an answer, what was not is an error.
 */
#include <string.h>

#include "tests/fault/scenario.h"

static const enum scenario_id small[] = {
	SCENARIO_H1_GET,
	SCENARIO_H1_TWO,
	SCENARIO_H1_POST,
	SCENARIO_H1_EMPTY,
	SCENARIO_H1_UNTIL_CLOSE,
	SCENARIO_H2_GET,
	SCENARIO_H2_POST,
	SCENARIO_H2_TWO,
	SCENARIO_H2_GOAWAY,
	SCENARIO_H2_RESET,
};
#define SMALL (sizeof(small) / sizeof(small[0]))

static void run_cut(struct run *r, const struct scenario *s, const struct way *way)
{
	run_begin(r, s, way);
	run_until_over(r);
	run_end(r);
}

/* The end of the connection is the end of this body, and it came properly. */
static bool ends_with_the_connection(const struct run *r, unsigned i)
{
	return r->s->until_close && r->way.cut_at >= r->s->asks[i].head_at &&
	       (r->way.cut == CUT_CLOSE_NOTIFY || (r->way.cut == CUT_FIN && !r->way.tls));
}

/* Whole: as ever. Cut where the end of the connection is the end: a shorter body, not an error. */
static void check_whole(const struct run *r, const struct run *whole, unsigned i)
{
	const struct probe *p = &r->probes[i];

	if (!r->s->until_close) {
		ck_assert_msg(run_is_same(r, whole, i), "%s: request %u: error %d", run_text(r), i,
			p->result.err);
		return;
	}
	ck_assert_msg(p->result.err == 0, "%s: error %d", run_text(r), p->result.err);
	ck_assert_int_eq(p->result.phase, CC_PHASE_COMPLETE);
	ck_assert_uint_eq(p->body_len, r->way.cut_at - r->s->asks[i].head_at);
	ck_assert(p->body_len == 0 || memcmp(p->body, whole->probes[i].body, p->body_len) == 0);
}

static bool is_right_error(const struct run *r, int err)
{
	switch (err) {
	case CC_EEOF:
		return true;
	case CC_EIO:
		return r->way.cut == CUT_RST;
	case CC_EGOAWAY:
		return r->s->h2;
	default:
		return false;
	}
}

/* The peer was gone before it answered this one: whether it went out at all is chance. */
static void check_never_answered(const struct run *r, unsigned i)
{
	const struct cc_result *res = &r->probes[i].result;

	ck_assert_msg(res->err == CC_EEOF || res->err == CC_EIO || res->err == CC_ECLOSED ||
			      res->err == CC_EGOAWAY || res->err == CC_ECANCELED,
		"%s: request %u: error %d", run_text(r), i, res->err);
	ck_assert_int_le(res->phase, CC_PHASE_WAITING);
}

static void check_cut(const struct run *r, unsigned i)
{
	const struct cc_result *res = &r->probes[i].result;
	const struct ask *a = &r->s->asks[i];

	if (!r->origin.seen[i] && !r->way.tls && res->err != 0 && res->unprocessed) {
		check_never_answered(r, i);
		return;
	}
	ck_assert_msg(
		is_right_error(r, res->err), "%s: request %u: error %d", run_text(r), i, res->err);
	if (r->way.cut_at >= a->head_at)
		ck_assert_msg(res->phase == CC_PHASE_RECEIVING && r->probes[i].heads == 1,
			"%s: request %u: phase %d", run_text(r), i, res->phase);
	else
		ck_assert_msg(res->phase <= CC_PHASE_WAITING && r->probes[i].heads == 0,
			"%s: request %u: phase %d", run_text(r), i, res->phase);
}

static void cut_everywhere(const struct scenario *s, struct way way, enum cut cut)
{
	struct run whole, r;

	way.cut = CUT_NONE;
	run_cut(&whole, s, &way);
	way.cut = cut;
	for (way.cut_at = 0; way.cut_at <= s->pen.tape_len; way.cut_at++) {
		run_cut(&r, s, &way);
		run_check_ends(&r, r.s->until_close ? &r : &whole);
		for (unsigned i = 0; i < s->asks_n; i++) {
			bool proper = !s->until_close || cut != CUT_FIN || !way.tls;

			if (ends_with_the_connection(&r, i) ||
				(!s->until_close && way.cut_at >= s->asks[i].end_at && proper))
				check_whole(&r, &whole, i);
			else
				check_cut(&r, i);
		}
		run_forget(&r);
	}
	run_forget(&whole);
}

static void cut_all(const struct way *way, enum cut cut)
{
	for (size_t i = 0; i < SMALL; i++) {
		struct scenario *s = scenario_new(small[i]);

		cut_everywhere(s, *way, cut);
		scenario_free(s);
	}
}

START_TEST(an_end_behind_every_byte)
{
	cut_all(&(struct way){0}, CUT_FIN);
}
END_TEST

START_TEST(a_reset_behind_every_byte)
{
	cut_all(&(struct way){.tcp = true}, CUT_RST);
}
END_TEST

START_TEST(an_end_of_tls_behind_every_byte)
{
	struct way tls = way_tls();

	cut_all(&tls, CUT_CLOSE_NOTIFY);
	way_free(&tls);
}
END_TEST

START_TEST(an_end_without_close_notify_behind_every_byte)
{
	struct way tls = way_tls();

	cut_all(&tls, CUT_FIN);
	way_free(&tls);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		an_end_behind_every_byte,
		a_reset_behind_every_byte,
		an_end_of_tls_behind_every_byte,
		an_end_without_close_notify_behind_every_byte,
	};

	return run_suite("peer breaks", tests, sizeof(tests) / sizeof(tests[0]));
}
