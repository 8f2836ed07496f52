/*
 * pool.h - the connections of one upstream, and the one queue in which its
 * requests wait.
 *
 *   exchange ── pool_ask ──> a connection with a reserved slot, or a place in the queue
 *   pool     ── cc_transport_new_client_conn, cc_conn_reserve, cc_conn_free ──> library
 *   library  ── state hook (turn, notify stage) ──> pool: lists, waiters, dials
 *
 * An upstream has one pool, in its home worker, so max_connections holds for the whole daemon. What
 * is decided is in pick, queue, backoff and learn; pool.c does it.
 *
 * What a pool and a connection of it consist of is in pool_int.h. A pool without a name drains: it
 * takes no new requests, closes its connections as they fall idle, and frees itself with the last
 * one.
 */
#ifndef POOL_H
#define POOL_H

#include <stdbool.h>
#include <stdint.h>

#include <clientconn.h>

#include "daemon/base/stats.h"
#include "daemon/pool/queue.h"
#include "lib/base/timer.h"

struct conf;
struct conf_upstream;
struct list;
struct log;
struct pool;
struct pool_conn;

enum waiter_failure {
	WAITER_TIMEOUT,        /* queue_timeout is over */
	WAITER_CONNECT_FAILED, /* nothing is up and connecting keeps failing: err, detail */
	WAITER_POOL_GONE       /* the configuration no longer has this upstream */
};

/* Embedded in what waits for a connection. */
struct waiter {
	struct queue_item item;
	struct timer timer;
	struct pool *pool;
	uint32_t uid;      /* whose request it is */
	uint64_t since;    /* ms */
	unsigned failures; /* connects that failed while it waited */
	bool fresh;        /* wants a connection that just came up, if one can come */
	/* pc has a slot reserved for the waiter. Called from the turn, never from pool_ask. */
	void (*grant)(struct waiter *w, struct pool_conn *pc);
	void (*fail)(struct waiter *w, enum waiter_failure why, int err, const char *detail);
};

/*
 * What the pools of one worker have in common. relieve: no descriptor is left for a connection
 * that requests wait for; does another pool give one up?
 */
struct pool_owner {
	bool (*relieve)(void *arg);
	void *arg;
};

enum pool_answer { POOL_GRANTED, POOL_WAITS, POOL_QUEUE_FULL };

/*
 * Takes a reference of conf, in which up lies; owner outlives the pool. home: it is the upstream's
 * one pool, which keeps min_connections. 0 or enum cc_err.
 */
int pool_new(struct cc_ctx *ctx, struct log *log, struct conf *conf, const struct conf_upstream *up,
	const struct pool_owner *owner, bool home, struct pool **ret);
/* The same upstream with other settings; connections live on. 0 or CC_ENOMEM: the old ones stay. */
int pool_reconfigure(struct pool *pool, struct conf *conf, const struct conf_upstream *up);
/*
 * No new requests; frees itself when the last connection and the last user are gone. to: gets the
 * waiters; NULL: they fail.
 */
void pool_drain(struct pool *pool, struct pool *to);
void pool_free(struct pool *pool); /* at once: end of the worker */
/* It stands in the list, beside others, until it is freed. */
void pool_enlist(struct pool *pool, struct list *pools);
void pool_free_all(struct list *pools);

/*
 * A slot for a request: POOL_GRANTED and *ret, whose slot is reserved; or
 * POOL_WAITS: w is listed (at_head: before all others, for a retry) and hears
 * later; or POOL_QUEUE_FULL.
 */
enum pool_answer pool_ask(
	struct pool *pool, struct waiter *w, bool at_head, struct pool_conn **ret);
void pool_leave(struct waiter *w); /* out of the queue; fine if not in it */
void waiter_init(struct waiter *w, void (*grant)(struct waiter *, struct pool_conn *),
	void (*fail)(struct waiter *, enum waiter_failure, int, const char *));

void pool_use(struct pool *pool); /* an exchange points here */
void pool_unuse(struct pool *pool);

/* The server said in Keep-Alive how long it keeps this connection (ms). */
void pool_hint(struct pool_conn *pc, uint64_t ms);

/* A response began on it. 502, 503 and 504 count against its address (eject_after). */
void pool_response_began(struct pool_conn *pc, unsigned status);

/*
 * An attempt was reset or had no response in time; that counts against the address (eject_after).
 */
void pool_no_response(struct pool_conn *pc);

/* The budget of retries grows with each request that is sent for the first time. */
void pool_credit_request(struct pool *pool);
/* May there be one more retry (retry_budget)? Counted either way. */
bool pool_take_retry(struct pool *pool);

const struct conf_upstream *pool_conf(
	const struct pool *pool); /* its settings; a reload changes them */
bool pool_is_home(const struct pool *pool);
bool pool_is_draining(const struct pool *pool); /* another one has the name, or none */
/* Its numbers now, to be told. What is decided by them the pool decides. */
void pool_view(const struct pool *pool, struct pool_view *ret);
/* Its counters. Those of requests are the exchange's to write, the others the pool's. */
struct pool_stats *pool_stats(struct pool *pool);

struct cc_conn *pool_conn_cc(const struct pool_conn *pc);
/* Has a response come on it? */
bool pool_answered(const struct pool_conn *pc);
/* Nothing was sent on it yet, and it came up a moment ago: the server cannot have given it up. */
bool pool_is_fresh(const struct pool_conn *pc);
uint64_t pool_random(struct pool *pool);

#endif
