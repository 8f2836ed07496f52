/*
 * backoff.h - how long to leave an upstream, or one of its addresses, alone after failures. Pure.
 *
 * Backoff is for the upstream as a whole: nothing is dialled until it is over. Ejection is for
 * one address among several: the others are dialled meanwhile.
 */
#ifndef BACKOFF_H
#define BACKOFF_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Pause in ms after so many failed connects in a row (at least 1): min, then 1.6 times the one before
 * up to max, each 20 % longer or shorter at random, so that many daemons do not come back
 * at once. random: any number.
 */
uint64_t backoff_delay(uint64_t min, uint64_t max, unsigned failures, uint64_t random);

/* ---- addresses --------------------------------------------------------- */

struct eject_rules {
	unsigned after;       /* failures in a row; 0: never */
	uint64_t time;        /* ms */
	unsigned max_percent; /* of the addresses that may be out at once; never all of them */
};

/* One address of an upstream; zeroed: a good one. */
struct address_health {
	unsigned failures;  /* in a row */
	uint64_t out_until; /* ms */
};

bool address_is_out(const struct address_health *a, uint64_t now);
/*
 * all[which] of the n addresses failed. true: it is out from now on. One that comes back and fails
 * again is out at once, since nothing succeeded in between.
 */
bool address_failed(struct address_health *all, unsigned n, unsigned which,
	const struct eject_rules *rules, uint64_t now);
void address_succeeded(struct address_health *a); /* in again, whatever was before */
/*
 * The first address from start on, round the end, that is not out. If all are (those that were in
 * are no longer among the n): the one that comes back first. n is at least 1.
 */
unsigned address_next(const struct address_health *all, unsigned n, unsigned start, uint64_t now);

#endif
