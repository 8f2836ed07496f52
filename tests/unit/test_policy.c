/* test_policy.c - is a request forwarded at all, and what is said if not. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/exchange/policy.h"
#include "tests/unit/ctx_fixture.h"
#include "tests/unit/run.h"

static struct ctx_fixture f;
static struct policy_facts facts;
static struct policy_refusal no;
static struct cc_head *h;

static struct cc_str str(const char *s)
{
	return (struct cc_str){s, strlen(s)};
}

static void request(const char *method, const char *authority)
{
	cc_head_reset(h);
	ck_assert_int_eq(
		cc_head_set_request(h, str(method), str("http"), str(authority), str("/")), 0);
}

/* All is well until a test says otherwise. */
static void setup(void)
{
	fixture_begin(&f, 0);
	h = cc_head_new(f.ctx);
	request("GET", "api");
	facts = (struct policy_facts){.head = h, .routed = true, .served = true};
	memset(&no, 0xff, sizeof(no)); /* nothing of it is expected to be set before */
}

static void teardown(void)
{
	cc_head_free(h);
	fixture_end(&f);
}

static unsigned refused(enum reject_reason reason)
{
	ck_assert(!policy_allows(&facts, &no));
	ck_assert_int_eq(no.reason, reason);
	ck_assert_ptr_nonnull(no.error);
	ck_assert_ptr_nonnull(no.detail);
	return no.status;
}

START_TEST(tunnels_traces_and_unknown_expectations_are_refused)
{
	request("CONNECT", "api:443");
	ck_assert_uint_eq(refused(REJECT_DENIED), 501);
	request("TRACE", "api");
	ck_assert_uint_eq(refused(REJECT_DENIED), 501);
	request("POST", "api");
	ck_assert_int_eq(cc_head_add(h, str("Expect"), str("200-maybe")), 0);
	ck_assert_uint_eq(refused(REJECT_DENIED), 417);
	ck_assert_ptr_null(no.limit);
	ck_assert_uint_eq(no.retry_after, 0);
	request("POST", "api");
	ck_assert_int_eq(cc_head_add(h, str("Expect"), str("100-Continue")), 0);
	ck_assert(policy_allows(&facts, &no));
}
END_TEST

START_TEST(from_nine_tenths_of_the_memory_on_nothing_new_begins)
{
	facts.pressure = 89;
	ck_assert(policy_allows(&facts, &no));
	facts.pressure = 90;
	ck_assert_uint_eq(refused(REJECT_MEMORY), 503);
	ck_assert_str_eq(no.limit, "memory_limit");
	ck_assert_uint_eq(no.retry_after, 1);
	ck_assert(!no.lists_upstreams);
}
END_TEST

START_TEST(what_is_for_no_upstream_hears_the_name_it_gave)
{
	facts.routed = facts.served = false;
	request("GET", "nobody");
	ck_assert_uint_eq(refused(REJECT_UNROUTED), 404);
	ck_assert_ptr_nonnull(strstr(no.detail, "\"nobody\""));
	ck_assert(no.lists_upstreams);
	request("GET", "");
	ck_assert_uint_eq(refused(REJECT_UNROUTED), 404);
	ck_assert_ptr_nonnull(strstr(no.detail, "\"\""));
}
END_TEST

START_TEST(a_name_that_is_too_long_is_shown_in_part)
{
	char name[1000];

	memset(name, 'n', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	facts.routed = false;
	request("GET", name);
	ck_assert_uint_eq(refused(REJECT_UNROUTED), 404);
	ck_assert_uint_eq(strspn(strchr(no.detail, '"') + 1, "n"), 128);
	ck_assert_ptr_nonnull(strstr(no.detail, "listed"));
}
END_TEST

START_TEST(an_upstream_that_was_removed_is_said_to_be)
{
	facts.served = false;
	ck_assert_uint_eq(refused(REJECT_REMOVED), 503);
	ck_assert_str_eq(no.error, "destination_unavailable");
	ck_assert(!no.lists_upstreams);
}
END_TEST

/* Who may not ask at all is not told to come again, nor what there is. */
START_TEST(the_first_reason_is_the_one_that_is_told)
{
	facts.routed = facts.served = false;
	facts.pressure = 100;
	request("CONNECT", "nobody:1");
	ck_assert_uint_eq(refused(REJECT_DENIED), 501);
	request("GET", "nobody");
	ck_assert_uint_eq(refused(REJECT_MEMORY), 503);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("policy");
	TCase *t = tcase_create("policy");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, tunnels_traces_and_unknown_expectations_are_refused);
	tcase_add_test(t, from_nine_tenths_of_the_memory_on_nothing_new_begins);
	tcase_add_test(t, what_is_for_no_upstream_hears_the_name_it_gave);
	tcase_add_test(t, a_name_that_is_too_long_is_shown_in_part);
	tcase_add_test(t, an_upstream_that_was_removed_is_said_to_be);
	tcase_add_test(t, the_first_reason_is_the_one_that_is_told);
	suite_add_tcase(s, t);
	return run_suite_together(s);
}
