/* pick.c - how many connections to open. No clock, no socket, no memory. */
#include "daemon/pool/pick.h"

static unsigned smaller(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

static unsigned room_below(unsigned limit, unsigned used)
{
	return used < limit ? limit - used : 0;
}

unsigned pick_dials(const struct pick_demand *d)
{
	unsigned room = smaller(room_below(d->max_connections, d->connections),
		room_below(d->max_connecting, d->connecting));
	uint64_t missing;
	uint64_t each = d->expected_each > 0 ? d->expected_each : 1;

	if (room == 0 || d->waiting <= d->expected)
		return 0;
	missing = d->waiting - d->expected;
	missing = missing / each + (missing % each > 0);
	return missing < room ? (unsigned)missing : room;
}
