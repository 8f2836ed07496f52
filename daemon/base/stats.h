/*
 * stats.h - counters of one worker, and of one pool; how durations are distributed. Plain
 * numbers of one thread; the control thread prints copies of them.
 *
 * At every moment, of each pool:
 *
 *	requests == answered + cut + rejected + abandoned + moved + running
 *	rejected == sum of rejected_by, retried == sum of retried_by, closed == sum of closed_by
 *	wait.values == attempts, total.values == answered
 */
#ifndef STATS_H
#define STATS_H

#include <stdint.h>

#include <clientconn.h>

/* ---- durations --------------------------------------------------------- */

#define HISTOGRAM_FIRST   100u /* us: below it differences are of no interest */
#define HISTOGRAM_OCTAVES 20u  /* up to 104 s */
#define HISTOGRAM_STEPS   4u   /* an octave, equally wide */
#define HISTOGRAM_BUCKETS (HISTOGRAM_OCTAVES * HISTOGRAM_STEPS + 2)

/*
 * How often durations were in which range; zeroed: none was seen. Ranges are known to 25 % or
 * better.
 */
struct histogram {
	uint64_t count
		[HISTOGRAM_BUCKETS];   /* the first: up to HISTOGRAM_FIRST; the last: above all */
	uint64_t values, sum, largest; /* sum and largest in us */
};

void histogram_add(struct histogram *h, uint64_t us);
void histogram_merge(struct histogram *to, const struct histogram *from);
/*
 * So many of a thousand durations were not longer: the end of the range of that one, at most the
 * largest that was seen. 0: none was seen.
 */
uint64_t histogram_quantile(const struct histogram *h, unsigned per_mille);
/* What a bucket holds is at most this, in us, and above the bound before; UINT64_MAX: the last. */
uint64_t histogram_bound(unsigned bucket);

/* ---- reasons ----------------------------------------------------------- */

/* Why a request was retried: name, word. */
#define RETRY_REASONS(X)                                                                           \
	X(UNSENT, "unsent")               /* nothing of it left */                                 \
	X(REFUSED, "refused")             /* RST_STREAM(REFUSED_STREAM) */                         \
	X(GOAWAY, "goaway")               /* above its last stream id */                           \
	X(REUSED_CLOSED, "reused_closed") /* the connection ended, and had been used before */     \
	X(IDEMPOTENT, "idempotent")       /* the connection ended without any response */

enum retry_reason {
	RETRY_NO, /* it is not */
#define X(name, word) RETRY_##name,
	RETRY_REASONS(X)
#undef X
		RETRY_REASON_COUNT
};

const char *retry_reason_name(enum retry_reason reason); /* "goaway"; "no" */

/* Why the daemon made a local reply: name, word. */
#define REJECT_REASONS(X)                                                                          \
	X(BAD_REQUEST, "bad_request")                                                              \
	X(DENIED, "denied")     /* a method or an expectation that is not forwarded */             \
	X(UNROUTED, "unrouted") /* no upstream of that name */                                     \
	X(REMOVED, "removed")   /* the configuration dropped the upstream */                       \
	X(MEMORY, "memory")                                                                        \
	X(QUEUE_FULL, "queue_full")                                                                \
	X(QUEUE_TIMEOUT, "queue_timeout")                                                          \
	X(RESOLVE, "resolve")                                                                      \
	X(CONNECT, "connect")                                                                      \
	X(TLS, "tls")                                                                              \
	X(CONNECT_TIMEOUT, "connect_timeout")                                                      \
	X(CLOSED, "closed")           /* the connection ended without a response */                \
	X(RESET, "reset")             /* RST_STREAM */                                             \
	X(UNPROCESSED, "unprocessed") /* refused or unsent, and not to be retried */               \
	X(PROTOCOL, "protocol")       /* the response broke HTTP */                                \
	X(PING_TIMEOUT, "ping_timeout")                                                            \
	X(RESPONSE_TIMEOUT, "response_timeout")                                                    \
	X(BODY_TIMEOUT, "body_idle_timeout")                                                       \
	X(SLOW_CLIENT, "slow_client") /* body_idle_timeout, and the client was the slow one */     \
	X(TOTAL_TIMEOUT, "total_timeout")                                                          \
	X(CLIENT_TIMEOUT, "client_timeout") /* client_timeout_header */                            \
	X(DESCRIPTORS, "descriptors")       /* none was left */                                    \
	X(MAX_CLIENTS, "max_clients")                                                              \
	X(INTERNAL, "internal")

enum reject_reason {
#define X(name, word) REJECT_##name,
	REJECT_REASONS(X)
#undef X
		REJECT_REASON_COUNT
};

const char *reject_reason_name(enum reject_reason reason); /* "queue_full" */

/* Why a connection ended, or takes no more requests: name, word. What the library says: */
#define CLOSE_REASONS(X)                                                                           \
	X(OWNER, "owner") /* by the daemon, which says why below */                                \
	X(DIAL, "dial")                                                                            \
	X(REQUESTS, "requests")                                                                    \
	X(STREAM_IDS, "stream_ids")                                                                \
	X(GOAWAY, "goaway")                                                                        \
	X(CONNECTION_CLOSE, "connection_close")                                                    \
	X(NOT_REUSABLE, "not_reusable")                                                            \
	X(PEER_IDLE, "peer_idle")                                                                  \
	X(EOF, "eof")                                                                              \
	X(RESET, "reset")                                                                          \
	X(TLS, "tls")                                                                              \
	X(PROTOCOL, "protocol")                                                                    \
	X(PING_TIMEOUT, "ping_timeout")                                                            \
	X(SETTINGS_TIMEOUT, "settings_timeout")                                                    \
	X(MEMORY, "memory")                                                                        \
	X(IDLE, "idle")    /* idle_timeout, or sooner where the server would close */              \
	X(AGE, "lifetime") /* max_lifetime */

/* And what the pool closes: */
#define CLOSE_DECISIONS(X)                                                                         \
	X(MAX_IDLE, "max_idle")                                                                    \
	X(ADDRESS, "address")         /* its address has vanished, or fails too often */           \
	X(SHRINK, "shrink")           /* max_connections was lowered */                            \
	X(RELOAD, "reload")           /* the pool has no upstream any more */                      \
	X(DESCRIPTORS, "descriptors") /* its descriptor was needed elsewhere */                    \
	X(RECONNECT, "reconnect")     /* somebody asked for new connections */

enum close_cause {
	CLOSE_NONE, /* it still takes requests */
#define X(name, word) CLOSE_##name,
	CLOSE_REASONS(X) CLOSE_DECISIONS(X)
#undef X
		CLOSE_CAUSE_COUNT
};

const char *close_cause_name(enum close_cause cause); /* "max_idle"; "none" */
enum close_cause close_cause_of(enum cc_reason reason);

/* ---- counters ---------------------------------------------------------- */

#define POOL_COUNTERS(X)                                                                           \
	X(requests, "requests that were routed here")                                              \
	X(answered, "responses passed on to the end")                                              \
	X(cut, "responses that ended early")                                                       \
	X(rejected, "local replies")                                                               \
	X(abandoned, "given up by the client")                                                     \
	X(moved, "taken over by the pool that a reload put in this one's place")                   \
	X(attempts, "requests given to a connection, retries included")                            \
	X(reused, "attempts on a connection that had carried others")                              \
	X(retried, "attempts after the first")                                                     \
	X(retry_denied, "attempts after the first that retry_budget did not allow")                \
	X(opened, "connections opened")                                                            \
	X(closed, "connections closed")                                                            \
	X(connect_failed, "connections that never came up")                                        \
	X(queue_full, "rejected: max_queue")                                                       \
	X(queue_timeout, "rejected: queue_timeout")

#define POOL_DURATIONS(X)                                                                          \
	X(wait, "from asking for a connection to getting it, of each attempt")                     \
	X(connect, "from the beginning of a connection to its first use")                          \
	X(first_byte, "from sending an attempt to the head of its response")                       \
	X(total, "from the head of the request to the end of the response, of those answered")

struct pool_stats {
#define X(name, text) uint64_t name;
	POOL_COUNTERS(X)
#undef X
	uint64_t retried_by[RETRY_REASON_COUNT];
	uint64_t rejected_by[REJECT_REASON_COUNT];
	uint64_t closed_by[CLOSE_CAUSE_COUNT];
#define X(name, text) struct histogram name;
	POOL_DURATIONS(X)
#undef X
};

struct worker_stats {
	uint64_t clients_accepted, clients_refused, bad_requests, unrouted;
	uint64_t rejected_by[REJECT_REASON_COUNT]; /* before an upstream was chosen */
};

/* The numbers of one pool at one moment. */
struct pool_view {
	unsigned waiting, running;                      /* requests; running: those that wait too */
	unsigned connecting, available, full, draining; /* connections */
	unsigned connections, up;                       /* all of these; available and full */
	unsigned addresses, ejected; /* of the upstream's name, and those that are not dialled */
	unsigned max_connections, max_queue;
	uint64_t queue_timeout; /* ms */
};

/* One pool, copied: for another thread. */
struct stats_view {
	unsigned worker;
	const char *upstream;
	struct pool_view now;
	struct pool_stats counters;
};

#endif
