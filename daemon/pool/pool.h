/*
 * pool.h - the connections of one upstream, and the one queue in which its
 * requests wait.
 *
 *   exchange ── pool_ask ──> a connection with a reserved slot, or a place in the queue
 *   pool     ── cc_transport_new_client_conn, cc_conn_reserve, cc_conn_free ──> library
 *   library  ── state hook (turn, notify stage) ──> pool: places, waiters, dials
 *
 * An upstream has one pool, in its home worker, so max_connections holds for the whole daemon. What
 * is decided is in pick, queue, backoff and learn; pool.c does it.
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
#include "daemon/pool/budget.h"
#include "daemon/pool/learn.h"
#include "daemon/pool/pick.h"
#include "daemon/pool/queue.h"
#include "lib/base/list.h"
#include "lib/base/timer.h"
#include "lib/base/turn.h"

struct endpoint;
struct log;
struct pool;
struct upstream;

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
	struct endpoint *first;    /* while it connects: the address that is tried first */
	struct endpoint *endpoint; /* the address it is connected to */
	struct pick_entry pick;
	struct list idle;    /* in pool->idle while nothing is in flight */
	struct list old;     /* in pool->old when its life is over */
	struct timer rest;   /* runs while idle */
	struct timer life;   /* until max_lifetime */
	uint64_t opened_at;  /* ms */
	uint64_t idle_since; /* ms */
	uint64_t rested;     /* ms, how long it was idle before the request that runs */
	uint64_t hint;       /* ms, of Keep-Alive; LEARN_NO_HINT */
	uint64_t completed;  /* requests, when it was idle last */
	bool ready;          /* it came up: logged */
	bool useful;         /* an answer came */
	bool settled;        /* its limits are known */
	bool stranded;       /* its address has vanished: it goes when another is up */
	bool watched;        /* carries no more requests: how long does the server keep it? */
};

enum waiter_failure {
	WAITER_TIMEOUT,        /* queue_timeout is over */
	WAITER_CONNECT_FAILED, /* nothing is up and connecting keeps failing: err, detail */
	WAITER_POOL_GONE       /* the configuration no longer has this upstream */
};

/* Embedded in who waits. */
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

struct pool {
	struct cc_ctx *ctx;
	struct log *log;
	struct conf *conf; /* counted: up lies in it */
	const struct conf_upstream *up;
	const struct pool_owner *owner;
	bool home; /* else it is for clients that cannot move to the home any more */
	struct cc_transport *transport;
	struct upstream *upstream; /* its addresses */
	unsigned stranded;         /* connections to addresses that have vanished */
	struct list conns[POOL_PLACES];
	unsigned count[POOL_PLACES];
	unsigned unsettled;   /* ready, but their limits are not known yet */
	struct pick_set pick; /* those that a request may be given */
	struct list idle;     /* struct pool_conn, the one that is idle for longest first */
	unsigned idle_count;
	struct list old;           /* struct pool_conn that wait for a successor */
	struct pool_conn *watched; /* NULL: none */
	struct queue waiters;      /* struct waiter */
	struct queue want_fresh;   /* struct waiter that are fresh: before the others */
	struct timer later;        /* dials that wait for their time */
	unsigned failures;         /* rounds of connects in a row that failed */
	unsigned slams;            /* connections in a row that closed before any answer */
	uint64_t not_before;  /* ms: nothing is dialled, as all addresses pause or the pool does */
	uint64_t round_until; /* ms: what fails before it is the same round */
	int failed_err;       /* of the last one */
	char failed_detail[256];
	struct learn learn;
	uint64_t chance;           /* state of the random numbers */
	bool left_busy;            /* a connection went with requests on it: one more is needed */
	struct turn_item serve;    /* waiters left for the next round, dials that are wanted */
	struct turn_item hopeless; /* who waits is told that connecting keeps failing */
	struct turn_item reap;
	struct pool_stats stats;
	unsigned ping_seldom; /* check_after is doubled so often: the server called PINGs abuse */
	struct budget budget; /* of attempts after the first */
	uint64_t last_limit;  /* streams of the last h2 connection */
	bool limit_seen;
	enum cc_proto_id last_proto; /* of the last connection, NONE: not seen */
	unsigned users;              /* exchanges that point here */
	bool draining;
	struct list link; /* in the worker's list of draining pools */
};

/*
 * Takes a reference of conf, in which up lies; owner outlives the pool. home: it is the upstream's
 * one pool, which keeps min_connections. 0 or enum cc_err.
 */
int pool_new(struct cc_ctx *ctx, struct log *log, struct conf *conf, const struct conf_upstream *up,
	const struct pool_owner *owner, bool home, struct pool **ret);
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

/* The server said in Keep-Alive how long it keeps this connection (ms). */
void pool_hint(struct pool_conn *pc, uint64_t ms);

/* An answer began on it. 502, 503 and 504 count against its address (eject_after). */
void pool_answered(struct pool_conn *pc, unsigned status);

/* An attempt was reset or had no answer in time; that counts against the address (eject_after). */
void pool_unanswered(struct pool_conn *pc);

unsigned pool_connections(const struct pool *pool);
unsigned pool_up(const struct pool *pool);       /* connected and not draining */
unsigned pool_standing(const struct pool *pool); /* and those that connect */
unsigned pool_floor(const struct pool *pool);    /* connections it holds without traffic */
unsigned pool_waiting(const struct pool *pool);
/* Nothing was sent on it yet, and it came up a moment ago: the server cannot have given it up. */
bool pool_is_fresh(const struct pool_conn *pc);
uint64_t pool_random(struct pool *pool);
/* Takes no more requests, and is nowhere among those that do, from now on. */
void pool_retire(struct pool_conn *pc);

#endif
