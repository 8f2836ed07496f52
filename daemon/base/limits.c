/* limits.c - the sum of the descriptors. Knows nothing but its arguments. */
#include <inttypes.h>
#include <stdio.h>

#include "daemon/base/limits.h"

/* Standard streams, loop, signals, log, wake-ups: 9; files and sockets of a reload. */
#define OWN_PROCESS 16u
/*
 * Loop, its pipe, wake-up: 4; sockets of the resolver. Workers answer each other's requests by
 * messages, and only one has a pool of an upstream, so max_connections counts once whatever their
 * number.
 */
#define OWN_WORKER 8u

void limits_add_pool(struct limits_needs *n, unsigned max_connections, unsigned max_connecting)
{
	if (n->pools == 0)
		n->each = max_connections;
	else if (n->each != max_connections)
		n->each = 0;
	n->pools++;
	n->connections += max_connections;
	n->connecting += max_connecting < max_connections ? max_connecting : max_connections;
}

uint64_t limits_own(const struct limits_needs *n)
{
	uint64_t each = OWN_WORKER + LIMITS_SPARE_FDS;

	return OWN_PROCESS + each * n->workers + n->listeners;
}

static uint64_t without_clients(const struct limits_needs *n)
{
	return n->connections + n->connecting + limits_own(n);
}

uint64_t limits_clients_left(const struct limits_needs *n, uint64_t limit)
{
	uint64_t others = without_clients(n);

	return limit > others ? limit - others : 0;
}

/* "3 x 8 upstream", "8 upstream", "152 upstream" */
static void put_upstream(const struct limits_needs *n, char *text, size_t size)
{
	if (n->pools > 1 && n->each > 0)
		snprintf(text, size, "%u x %u upstream", n->pools, n->each);
	else
		snprintf(text, size, "%" PRIu64 " upstream", n->connections);
}

bool limits_fit(const struct limits_needs *n, uint64_t limit, char text[LIMITS_TEXT_MAX])
{
	uint64_t sum = without_clients(n) + n->clients;
	const char *advice = "";
	char upstream[64];

	if (sum > limit)
		advice = n->clients >= n->connections
		                 ? ": raise LimitNOFILE= or lower max_clients"
		                 : ": raise LimitNOFILE= or lower max_connections";
	put_upstream(n, upstream, sizeof(upstream));
	snprintf(text, LIMITS_TEXT_MAX,
		"descriptors: %s + %" PRIu64 " connecting + %" PRIu64 " clients + %" PRIu64
		" of our own = %" PRIu64 ", limit is %" PRIu64 "%s",
		upstream, n->connecting, n->clients, limits_own(n), sum, limit, advice);
	return sum <= limit;
}
