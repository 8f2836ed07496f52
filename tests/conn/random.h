/*
 * random.h - random public calls on one connection, against an automatic
 * peer, watched by the model.
 *
 * TEST_SEED=n runs that seed alone, TEST_SEEDS=n that many from TEST_SEED_FROM (0) on.
 */
#ifndef TESTS_RANDOM_H
#define TESTS_RANDOM_H

#include <stdbool.h>

#include <check.h>

void random_run(bool h2, unsigned long seeds);
/* Runs that test and, if it fails, names the seed. */
int random_main(const char *name, const TTest *test);

#endif
