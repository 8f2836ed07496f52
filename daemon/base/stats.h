/*
 * stats.h - counters of one worker, and of one pool; how durations are distributed. Plain
 * numbers of one thread; printed by stats_json.
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

/* ---- durations --------------------------------------------------------- */

#define HISTOGRAM_FIRST   100u /* us: below it differences are of no interest */
#define HISTOGRAM_OCTAVES 20u  /* up to 104 s */
#define HISTOGRAM_STEPS   4u   /* an octave, equally wide */
#define HISTOGRAM_BUCKETS (HISTOGRAM_OCTAVES * HISTOGRAM_STEPS + 2)

/* How often durations were in which range; zeroed: none was seen. Ranges are known to 25 % or better. */
struct histogram {
	uint64_t count
		[HISTOGRAM_BUCKETS];   /* the first: below HISTOGRAM_FIRST; the last: above all */
	uint64_t values, sum, largest; /* sum and largest in us */
};

void histogram_add(struct histogram *h, uint64_t us);
void histogram_merge(struct histogram *to, const struct histogram *from);
/*
 * So many of a thousand durations were not longer: the end of the range of that one, at most the
 * largest that was seen. 0: none was seen.
 */
uint64_t histogram_quantile(const struct histogram *h, unsigned per_mille);
/* What is in a bucket is less than this, in us; UINT64_MAX: the last one. */
uint64_t histogram_bound(unsigned bucket);

/* One JSON object in one line, to be freed; NULL: no memory. */
char *stats_json(const struct stats_view *v);

#endif
