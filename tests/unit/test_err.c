/* test_err.c - errors and reasons have words of their own. */
#include <clientconn.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/run.h"

static const char *error_text(int i)
{
	return cc_strerror(-i);
}

static const char *reason_text(int i)
{
	return cc_reason_name((enum cc_reason)i);
}

static void check_all_differ(const char *(*text)(int i), int first, int last)
{
	for (int i = first; i <= last; i++)
		for (int k = first; k < i; k++)
			ck_assert_msg(strcmp(text(i), text(k)) != 0, "%d and %d are both \"%s\"", i,
				k, text(i));
}

START_TEST(every_error_has_a_text_of_its_own)
{
	check_all_differ(error_text, -CC_OK, -CC_EMFILE);
}
END_TEST

START_TEST(every_reason_has_a_name_of_its_own)
{
	check_all_differ(reason_text, CC_REASON_NONE, CC_REASON_MEMORY);
}
END_TEST

START_TEST(protocols_have_the_names_that_logs_use)
{
	ck_assert_str_eq(cc_proto_name(CC_PROTO_NONE), "none");
	ck_assert_str_eq(cc_proto_name(CC_PROTO_H1), "h1");
	ck_assert_str_eq(cc_proto_name(CC_PROTO_H2), "h2");
	ck_assert_str_eq(cc_proto_name(CC_PROTO_H3), "h3");
	ck_assert_str_eq(cc_proto_name((enum cc_proto_id)99), "unknown");
}
END_TEST

START_TEST(numbers_that_are_no_error_have_a_text)
{
	ck_assert_str_eq(cc_strerror(1), cc_strerror(CC_EMFILE - 1));
	ck_assert_str_ne(cc_strerror(1), cc_strerror(CC_OK));
	ck_assert_str_ne(cc_strerror(1), cc_strerror(CC_EMFILE));
	ck_assert_str_ne(reason_text(CC_REASON_MEMORY + 1), reason_text(CC_REASON_MEMORY));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("err");
	TCase *c = tcase_create("err");

	tcase_add_test(c, every_error_has_a_text_of_its_own);
	tcase_add_test(c, every_reason_has_a_name_of_its_own);
	tcase_add_test(c, protocols_have_the_names_that_logs_use);
	tcase_add_test(c, numbers_that_are_no_error_have_a_text);
	suite_add_tcase(s, c);
	return run_suite_together(s);
}
