/* pick.h - which connection carries the next request, and how many to open. Pure. */
#ifndef PICK_H
#define PICK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pick_demand {
	unsigned waiting;       /* requests without a connection */
	unsigned connections;   /* open or connecting */
	unsigned connecting;    /* of these: no request can be sent yet */
	uint64_t expected;      /* requests that the connecting ones will carry once they are up */
	uint64_t expected_each; /* the same for one more; UINT64_MAX: not known, surely many */
	unsigned max_connections, max_connecting;
};

/*
 * How many connections to open now: as many as the waiting requests need
 * beyond what is on its way, under both limits. While it is not known how many
 * requests a connection carries (the protocol is not negotiated yet), one.
 */
unsigned pick_dials(const struct pick_demand *d);

#endif
