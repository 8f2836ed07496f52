/*
 * budget.h - how many requests of an upstream may be retried, so that an upstream in trouble is not
 * sent a multiple of its load. Pure.
 *
 * In any ten seconds: a share of the requests of that time, and some for each second, so that an
 * upstream with few requests can retry one too.
 */
#ifndef BUDGET_H
#define BUDGET_H

#include <stdbool.h>
#include <stdint.h>

#define BUDGET_SECONDS 10

struct budget_rules {
	unsigned percent;  /* of the requests */
	unsigned a_second; /* always; those of ten seconds may come at once */
};

/* Of one upstream; zeroed: nothing was sent yet. */
struct budget {
	uint64_t second; /* the newest one counted */
	struct {
		uint32_t requests, retries;
	} slot[BUDGET_SECONDS];
};

void budget_request(struct budget *b, uint64_t now); /* a first attempt; now in ms */
/* May there be a retry? true: it is counted. */
bool budget_take(struct budget *b, const struct budget_rules *r, uint64_t now);

#endif
