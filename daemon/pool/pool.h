/*
 * pool.h - the connections of one upstream in one worker, and the one queue in
 * which requests wait.
 *
 *   exchange ── pool_ask ──> a connection with a reserved slot, or a place in the queue
 *   pool     ── cc_transport_new_client_conn, cc_conn_reserve, cc_conn_free ──> library
 *   library  ── state hook (turn, notify stage) ──> pool: places, waiters, dials
 *
 * Each connection stands in the list of its place; pool_move is the only one
 * that moves it. A pool without a name drains: it takes no new requests, closes its
 * connections as they fall idle, and frees itself with the last one.
 */
#ifndef POOL_H
#define POOL_H

#include <stdbool.h>
#include <stdint.h>

#include <clientconn.h>

#include "daemon/base/conf.h"
#include "daemon/base/stats.h"
#include "lib/base/list.h"
#include "lib/base/timer.h"
#include "lib/base/turn.h"

struct log;
struct pool;

enum pool_place { POOL_CONNECTING, POOL_AVAILABLE, POOL_FULL, POOL_DRAINING, POOL_PLACES };

/*
 * One upstream connection. Made by the pool, freed by it in the turn in which
 * the library said CLOSED.
 */
struct pool_conn {
	struct list link; /* in pool->conns[place] */
	enum pool_place place;
	struct pool *pool;
	struct cc_conn *cc;
	uint64_t opened_at; /* ms */
	bool ready;         /* it came up: logged */
};

enum waiter_failure {
	WAITER_TIMEOUT,        /* queue_timeout is over */
	WAITER_CONNECT_FAILED, /* nothing is up and the last attempt failed: err, detail */
	WAITER_POOL_GONE       /* the configuration no longer has this upstream */
};

/* Embedded in who waits; in pool->waiters while waiting. */
struct waiter {
	struct list link;
	struct timer timer;
	struct pool *pool;
	/* pc has a slot reserved for the waiter. Called from the turn, never from pool_ask. */
	void (*grant)(struct waiter *w, struct pool_conn *pc);
	void (*fail)(struct waiter *w, enum waiter_failure why, int err, const char *detail);
};

enum pool_answer { POOL_GRANTED, POOL_WAITS, POOL_QUEUE_FULL };

struct pool {
	struct cc_ctx *ctx;
	struct log *log;
	struct conf *conf; /* counted: up lies in it */
	const struct conf_upstream *up;
	struct cc_transport *transport;
	struct list conns[POOL_PLACES];
	unsigned count[POOL_PLACES];
	struct list waiters;
	unsigned waiting;
	struct turn_item serve; /* waiters left for the next round */
	struct turn_item reap;
	struct pool_stats stats;
	uint64_t last_limit;         /* streams of the last h2 connection, 0: not seen */
	enum cc_proto_id last_proto; /* of the last connection, NONE: not seen */
	unsigned users;              /* exchanges that point here */
	bool draining;
	struct list link; /* in the worker's list of draining pools */
};

/* Takes a reference of conf, in which up lies. 0 or enum cc_err. */
int pool_new(struct cc_ctx *ctx, struct log *log, struct conf *conf, const struct conf_upstream *up,
	struct pool **ret);
/* The same upstream with other settings; connections live on. 0 or CC_ENOMEM: the old ones stay. */
int pool_reconfigure(struct pool *pool, struct conf *conf, const struct conf_upstream *up);
/* No new requests; frees itself when the last connection and the last user are gone. to: gets the waiters; NULL: they fail. */
void pool_drain(struct pool *pool, struct pool *to);
void pool_free(struct pool *pool); /* at once: end of the worker */

/*
 * A slot for a request: POOL_GRANTED and *ret, whose slot is reserved; or
 * POOL_WAITS: w is listed (at_head: before all others, for a request that is
 * sent again) and hears later; or POOL_QUEUE_FULL.
 */
enum pool_answer pool_ask(
	struct pool *pool, struct waiter *w, bool at_head, struct pool_conn **ret);
void pool_leave(struct waiter *w); /* out of the queue; fine if not in it */
void waiter_init(struct waiter *w, void (*grant)(struct waiter *, struct pool_conn *),
	void (*fail)(struct waiter *, enum waiter_failure, int, const char *));

void pool_use(struct pool *pool); /* an exchange points here */
void pool_unuse(struct pool *pool);

unsigned pool_connections(const struct pool *pool);

#endif
