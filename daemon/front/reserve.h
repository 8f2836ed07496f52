/*
 * reserve.h - descriptors kept so that a client can be accepted and told why it is refused when
 * there are no others. One is given up for each client that is being refused.
 */
#ifndef RESERVE_H
#define RESERVE_H

#include <stdbool.h>

#include "daemon/base/limits.h"

struct reserve {
	int fds[LIMITS_RESERVE];
	unsigned held;
	unsigned lent; /* taken and not given back */
};

/* Without memory or descriptors it holds fewer than it should. */
void reserve_init(struct reserve *r);
void reserve_clear(struct reserve *r);
/* The next descriptor that is asked for is there. false: all are lent, or could not be had again. */
bool reserve_take(struct reserve *r);
/* It is closed again; those that are missing are opened. */
void reserve_give_back(struct reserve *r);

#endif
