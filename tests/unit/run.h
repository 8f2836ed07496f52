/* run.h - runs a suite as a program: 0 if nothing failed. */
#ifndef RUN_H
#define RUN_H

#include <check.h>
#include <stdlib.h>
#include <unistd.h>

#define TOGETHER_MAX 600 /* s: then the program hangs and is ended */

static inline int run_runner(SRunner *r)
{
	int failed;

	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}

/* Each test in a process of its own. */
static inline int run_suite(Suite *s)
{
	return run_runner(srunner_create(s));
}

/*
 * All tests in this process, for those that leave nothing of it changed: LeakSanitizer looks once,
 * at the end, where it costs more than the test does after each. CK_FORK=yes shows which test
 * leaks.
 */
static inline int run_suite_together(Suite *s)
{
	SRunner *r = srunner_create(s);

	if (!getenv("CK_FORK")) {
		srunner_set_fork_status(r, CK_NOFORK);
		alarm(TOGETHER_MAX);
	}
	return run_runner(r);
}

#endif
