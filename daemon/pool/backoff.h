/*
 * backoff.h - how long to leave an upstream, or one of its addresses, alone after failures. Pure.
 *
 * An address that could not be connected to pauses: it is not dialled until backoff is over; the
 * others are. One that fails eject_after times in a row, be it that connecting fails or that its
 * responses say that nobody is behind it, is ejected: it is not dialled and its connections go.
 */
#ifndef BACKOFF_H
#define BACKOFF_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Pause in ms after so many failed connects in a row (at least 1): min, then 1.6 times the one
 * before up to max, each 20 % longer or shorter at random, so that many daemons do not come back
 * at once. random: any number.
 */
uint64_t backoff_delay(uint64_t min, uint64_t max, unsigned failures, uint64_t random);

/* ---- addresses --------------------------------------------------------- */

struct address_rules {
	uint64_t backoff_min, backoff_max; /* ms */
	unsigned eject_after;              /* failures in a row; 0: never */
	uint64_t eject_time;               /* ms */
	unsigned max_ejected; /* percent of the addresses, at once; never the last good one */
};

/* One address of an upstream; zeroed: a good one. */
struct address_health {
	unsigned failures;      /* in a row, of both kinds */
	unsigned unconnected;   /* connects that failed in a row */
	uint64_t pause_until;   /* ms */
	uint64_t ejected_until; /* ms */
};

bool address_is_ejected(const struct address_health *a, uint64_t now);
bool address_pauses(const struct address_health *a, uint64_t now);
bool address_is_well(const struct address_health *a, uint64_t now); /* neither of these */
/*
 * When the first of n addresses may be dialled, in ms; 0: one may now, or there are none. One that
 * is ejected is better than none, so only pauses count.
 */
uint64_t addresses_ready_at(const struct address_health *all, unsigned n, uint64_t now);

/*
 * all[which] of the n addresses failed. true: it is ejected from now on, and was not before. One
 * that comes back and fails again is ejected at once, unless it succeeded in between.
 */
bool address_failed(struct address_health *all, unsigned n, unsigned which,
	const struct address_rules *rules, uint64_t now);
/*
 * It could not be connected to, or as good as: that is a failure, and it pauses. While it pauses,
 * what was dialled before fails with it and does not count. random: any number.
 */
bool address_unconnected(struct address_health *all, unsigned n, unsigned which,
	const struct address_rules *rules, uint64_t now, uint64_t random);
void address_connected(struct address_health *a); /* the next pause is the first again */
void address_succeeded(struct address_health *a); /* the row of failures is over */

#endif
