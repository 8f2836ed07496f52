/*
 * spread.h - which addresses of an upstream to dial, and in which order. Pure.
 */
#ifndef SPREAD_H
#define SPREAD_H

#include <stdbool.h>
#include <stdint.h>

#define SPREAD_MAX 64u

/* One address. The order among them is that of the name server. */
struct spread_item {
	unsigned load;     /* connections, also those on their way */
	unsigned priority; /* RFC 2782: the lowest is dialled while one of it is good */
	unsigned weight;   /* of those with the same priority, the share of this one */
	bool skipped;      /* ejected, or it pauses */
	bool failed;       /* a moment ago: behind the others */
};

/*
 * Puts indices into order, the one to dial first in front, and returns how many: 1 <= result <= n.
 * even: fewest connections for its weight first, and of equals the next after last (n: there was
 * none); else as they came. What is skipped is not in it, unless all are.
 */
unsigned spread_order(const struct spread_item *items, unsigned n, bool even, unsigned last,
	uint8_t order[SPREAD_MAX]);

#endif
