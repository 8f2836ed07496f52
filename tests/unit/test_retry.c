/* test_retry.c - the table of what may be sent again. */
#include <check.h>

#include "daemon/exchange/retry.h"
#include "tests/unit/run.h"

static const struct retry_facts unsent_post = {
	.unprocessed = true,
	.replayable = true,
	.attempts = 1,
};
static const struct retry_facts stale_get = {
	.silent = true,
	.reused = true,
	.idempotent = true,
	.safe = true,
	.replayable = true,
	.attempts = 1,
};

START_TEST(what_was_surely_not_processed_is_sent_again_whatever_its_method)
{
	ck_assert(retry_verdict(&unsent_post, CONF_RETRY_SAFE, 2));
	ck_assert(retry_verdict(&unsent_post, CONF_RETRY_IDEMPOTENT, 2));
}
END_TEST

START_TEST(never_means_never)
{
	ck_assert(!retry_verdict(&unsent_post, CONF_RETRY_NEVER, 2));
	ck_assert(!retry_verdict(&stale_get, CONF_RETRY_NEVER, 2));
}
END_TEST

START_TEST(attempts_are_counted_after_the_first)
{
	struct retry_facts f = unsent_post;

	f.attempts = 2;
	ck_assert(retry_verdict(&f, CONF_RETRY_SAFE, 2));
	f.attempts = 3;
	ck_assert(!retry_verdict(&f, CONF_RETRY_SAFE, 2));
	f.attempts = 1;
	ck_assert(!retry_verdict(&f, CONF_RETRY_SAFE, 0));
}
END_TEST

START_TEST(a_body_that_is_gone_cannot_be_sent_again)
{
	struct retry_facts f = unsent_post;

	f.replayable = false;
	ck_assert(!retry_verdict(&f, CONF_RETRY_SAFE, 2));
}
END_TEST

START_TEST(nothing_is_sent_again_once_the_client_saw_the_answer)
{
	struct retry_facts f = unsent_post;

	f.answered = true;
	ck_assert(!retry_verdict(&f, CONF_RETRY_IDEMPOTENT, 2));
}
END_TEST

START_TEST(nobody_repeats_for_a_client_that_left)
{
	struct retry_facts f = unsent_post;

	f.client_gone = true;
	ck_assert(!retry_verdict(&f, CONF_RETRY_SAFE, 2));
}
END_TEST

START_TEST(a_server_that_asks_for_calm_gets_it)
{
	struct retry_facts f = unsent_post;

	f.calm = true;
	ck_assert(!retry_verdict(&f, CONF_RETRY_SAFE, 2));
}
END_TEST

START_TEST(a_get_that_met_the_servers_idle_close_is_sent_again_once)
{
	struct retry_facts f = stale_get;

	ck_assert(retry_verdict(&f, CONF_RETRY_SAFE, 2));
	f.attempts = 2;
	ck_assert(!retry_verdict(&f, CONF_RETRY_SAFE, 2));
}
END_TEST

START_TEST(on_a_fresh_connection_the_same_end_is_an_answer_to_the_get)
{
	struct retry_facts f = stale_get;

	f.reused = false;
	ck_assert(!retry_verdict(&f, CONF_RETRY_SAFE, 2));
	ck_assert(retry_verdict(&f, CONF_RETRY_IDEMPOTENT, 2));
}
END_TEST

START_TEST(a_put_is_repeated_only_when_the_configuration_says_idempotent)
{
	struct retry_facts f = stale_get;

	f.safe = false;
	ck_assert(!retry_verdict(&f, CONF_RETRY_SAFE, 2));
	ck_assert(retry_verdict(&f, CONF_RETRY_IDEMPOTENT, 2));
}
END_TEST

START_TEST(a_post_that_may_have_been_done_is_never_repeated)
{
	struct retry_facts f = stale_get;

	f.safe = f.idempotent = false;
	ck_assert(!retry_verdict(&f, CONF_RETRY_SAFE, 2));
	ck_assert(!retry_verdict(&f, CONF_RETRY_IDEMPOTENT, 2));
}
END_TEST

START_TEST(methods_are_idempotent_and_safe_as_rfc_9110_says)
{
	ck_assert(retry_method_idempotent(CC_STR("GET")));
	ck_assert(retry_method_idempotent(CC_STR("PUT")));
	ck_assert(retry_method_idempotent(CC_STR("DELETE")));
	ck_assert(retry_method_idempotent(CC_STR("OPTIONS")));
	ck_assert(!retry_method_idempotent(CC_STR("POST")));
	ck_assert(!retry_method_idempotent(CC_STR("PATCH")));
	ck_assert(!retry_method_idempotent(CC_STR("get")));
	ck_assert(retry_method_safe(CC_STR("HEAD")));
	ck_assert(!retry_method_safe(CC_STR("PUT")));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("retry");
	TCase *c = tcase_create("verdict");

	tcase_add_test(c, what_was_surely_not_processed_is_sent_again_whatever_its_method);
	tcase_add_test(c, never_means_never);
	tcase_add_test(c, attempts_are_counted_after_the_first);
	tcase_add_test(c, a_body_that_is_gone_cannot_be_sent_again);
	tcase_add_test(c, nothing_is_sent_again_once_the_client_saw_the_answer);
	tcase_add_test(c, nobody_repeats_for_a_client_that_left);
	tcase_add_test(c, a_server_that_asks_for_calm_gets_it);
	tcase_add_test(c, a_get_that_met_the_servers_idle_close_is_sent_again_once);
	tcase_add_test(c, on_a_fresh_connection_the_same_end_is_an_answer_to_the_get);
	tcase_add_test(c, a_put_is_repeated_only_when_the_configuration_says_idempotent);
	tcase_add_test(c, a_post_that_may_have_been_done_is_never_repeated);
	tcase_add_test(c, methods_are_idempotent_and_safe_as_rfc_9110_says);
	suite_add_tcase(s, c);
	return run_suite(s);
}
