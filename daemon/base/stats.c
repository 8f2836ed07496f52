/* stats.c - counters as JSON. */
#include <inttypes.h>
#include <stdio.h>

#include "daemon/base/stats.h"

size_t stats_print(const struct pool_stats *s, char *out, size_t size)
{
	int n = snprintf(out, size,
#define X(name, text) ",\"" #name "\":%" PRIu64
		POOL_COUNTERS(X)
#undef X
		"%s",
#define X(name, text) s->name,
		POOL_COUNTERS(X)
#undef X
		"");

	return n < 0 ? 0 : (size_t)n < size ? (size_t)n : size - 1;
}
