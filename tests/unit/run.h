/* run.h - runs a suite as a program: 0 if nothing failed. */
#ifndef RUN_H
#define RUN_H

#include <check.h>

static inline int run_suite(Suite *s)
{
	SRunner *r = srunner_create(s);
	int failed;

	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}

#endif
