/*
 * stats.h - counters of one worker, and of one pool. Plain numbers of one
 * thread; printed as JSON by stats_print.
 */
#ifndef STATS_H
#define STATS_H

#include <stddef.h>
#include <stdint.h>

#define POOL_COUNTERS(X) \
	X(requests, "requests that were routed here") \
	X(answered, "answers passed on to the end") \
	X(cut, "answers that ended early") \
	X(rejected, "answered by the daemon itself") \
	X(abandoned, "given up by the client") \
	X(retried, "attempts after the first") \
	X(opened, "connections opened") \
	X(closed, "connections closed") \
	X(connect_failed, "connections that never came up") \
	X(queue_full, "rejected: max_queue") \
	X(queue_timeout, "rejected: queue_timeout")

struct pool_stats {
#define X(name, text) uint64_t name;
	POOL_COUNTERS(X)
#undef X
};

struct worker_stats {
	uint64_t clients_accepted, clients_refused, bad_requests, unrouted;
};

/* Appends "name":n,... ; returns the bytes written, below size. */
size_t stats_print(const struct pool_stats *s, char *out, size_t size);

#endif
