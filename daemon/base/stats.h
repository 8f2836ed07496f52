/*
 * stats.h - counters of one worker, and of one pool. Plain numbers of one
 * thread; printed by stats_json.
 */
#ifndef STATS_H
#define STATS_H

#include <stdint.h>

#define POOL_COUNTERS(X)                                                                           \
	X(requests, "requests that were routed here")                                              \
	X(answered, "answers passed on to the end")                                                \
	X(cut, "answers that ended early")                                                         \
	X(rejected, "answered by the daemon itself")                                               \
	X(abandoned, "given up by the client")                                                     \
	X(retried, "attempts after the first")                                                     \
	X(opened, "connections opened")                                                            \
	X(closed, "connections closed")                                                            \
	X(connect_failed, "connections that never came up")                                        \
	X(queue_full, "rejected: max_queue")                                                       \
	X(queue_timeout, "rejected: queue_timeout")

struct pool_stats {
#define X(name, text) uint64_t name;
	POOL_COUNTERS(X)
#undef X
};

struct worker_stats {
	uint64_t clients_accepted, clients_refused, bad_requests, unrouted;
};

/* One pool at one moment. */
struct stats_view {
	unsigned worker;
	const char *upstream;
	unsigned waiting, connecting, available, full, draining;
	const struct pool_stats *counters;
};

/* One JSON object in one line, to be freed; NULL: no memory. */
char *stats_json(const struct stats_view *v);

#endif
