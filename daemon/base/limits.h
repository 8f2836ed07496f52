/* limits.h - do the descriptors of the process suffice for what the configuration allows? Pure. */
#ifndef LIMITS_H
#define LIMITS_H

#include <stdbool.h>
#include <stdint.h>

#define LIMITS_TEXT_MAX  256
#define LIMITS_SPARE_FDS 8u /* kept by each worker, to refuse clients with */

/* Zeroed, then limits_add_pool for each upstream, then the rest. */
struct limits_needs {
	unsigned pools;
	unsigned each;        /* max_connections of all pools; 0: they differ */
	uint64_t connections; /* of all pools */
	uint64_t connecting;  /* a connect that is slow is raced by one to another address */
	unsigned listeners, workers;
	uint64_t clients;
};

void limits_add_pool(struct limits_needs *n, unsigned max_connections, unsigned max_connecting);
/* Event loops, wake-ups, resolver, listeners, log, the files of a reload, the spare ones. */
uint64_t limits_own(const struct limits_needs *n);
/* What limit leaves to clients, whatever n->clients is; 0: nothing. */
uint64_t limits_clients_left(const struct limits_needs *n, uint64_t limit);
/*
 * Is it enough? text gets the sum in words, and what to do if it is not: "descriptors: 3 x 8
 * upstream + 12 connecting + 1000 clients + 27 of our own = 1063, limit is 1024: raise LimitNOFILE=
 * or lower max_clients".
 */
bool limits_fit(const struct limits_needs *n, uint64_t limit, char text[LIMITS_TEXT_MAX]);

#endif
