/*
 * pool_int.h - a pool and its connections from within; for pool.c, which decides and queues,
 * pool_conn.c, which connects, and janitor.c only.
 *
 * Each connection stands in one list of its pool; pool_move is the only one that moves it.
 */
#ifndef POOL_INT_H
#define POOL_INT_H

#include "daemon/base/conf.h"
#include "daemon/pool/budget.h"
#include "daemon/pool/learn.h"
#include "daemon/pool/pick.h"
#include "daemon/pool/pool.h"
#include "lib/base/list.h"
#include "lib/base/turn.h"

struct endpoint;
struct upstream;

enum pool_list { POOL_CONNECTING, POOL_AVAILABLE, POOL_FULL, POOL_DRAINING, POOL_LISTS };

/*
 * One upstream connection. Made by the pool, freed by it in the turn in which
 * the library said CLOSED.
 */
struct pool_conn {
	struct list link; /* in pool->conns[list] */
	enum pool_list list;
	struct pool *pool;
	struct cc_conn *cc;
	struct endpoint *first;    /* while it connects: the address that is tried first */
	struct endpoint *endpoint; /* the address it is connected to */
	struct pick_entry pick;
	struct list idle;             /* in pool->idle while nothing is in flight */
	struct list old;              /* in pool->old when its life is over */
	struct timer idle_timer;      /* runs while idle */
	struct timer life;            /* until max_lifetime */
	uint64_t opened_at;           /* ms */
	uint64_t idle_since;          /* ms */
	uint64_t idle_before;         /* ms, how long it was idle before the request that runs */
	uint64_t hint;                /* ms, of Keep-Alive; LEARN_NO_HINT */
	uint64_t completed;           /* requests, when it was idle last */
	enum close_cause retired_for; /* what the pool drained it for; NONE: it did not */
	bool ready;                   /* it came up: logged */
	bool answered;                /* a response came */
	bool limits_known;            /* its limits are known */
	bool address_lost;            /* its address has vanished: it goes when another is up */
	bool watched; /* carries no more requests: how long does the server keep it? */
};

struct pool {
	struct cc_ctx *ctx;
	struct log *log;
	struct conf *conf; /* counted: up lies in it */
	const struct conf_upstream *up;
	const struct pool_owner *owner;
	bool home; /* else it stays empty */
	struct cc_transport *transport;
	struct upstream *upstream; /* its addresses */
	unsigned address_lost;     /* connections to addresses that have vanished */
	struct list conns[POOL_LISTS];
	unsigned count[POOL_LISTS];
	unsigned limits_unknown; /* ready, but their limits are not known yet */
	struct pick_set pick;    /* those that a request may be given */
	struct list idle;        /* struct pool_conn, the one that is idle for longest first */
	unsigned idle_count;
	struct list old;           /* struct pool_conn that wait for a successor */
	struct pool_conn *watched; /* NULL: none */
	struct queue waiters;      /* struct waiter */
	struct queue want_fresh;   /* struct waiter that are fresh: before the others */
	struct timer later;        /* dials that wait for their time */
	unsigned failures;         /* rounds of connects in a row that failed */
	unsigned early_closes;     /* connections in a row that closed before any response */
	uint64_t not_before;  /* ms: nothing is dialled, as all addresses pause or the pool does */
	uint64_t round_until; /* ms: what fails before it is the same round */
	int failed_err;       /* of the last one */
	char failed_detail[256];
	struct learn learn;
	uint64_t chance;            /* state of the random numbers */
	bool left_busy;             /* a connection went with requests on it: one more is needed */
	struct turn_item serve;     /* waiters left for the next round, dials that are wanted */
	struct turn_item fail_fast; /* the waiters are told that connecting keeps failing */
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

/* ---- pool_conn.c ------------------------------------------------------- */

/*
 * Begins to connect. 0; CC_ERESOLVE: the addresses are not known, ops->resolved comes; CC_ENOMEM.
 */
int pool_conn_dial(struct pool *pool);
/* The library's numbers have changed, or may have: the lists follow. Nothing is retired here. */
void pool_look(struct pool_conn *pc);
/* Takes no more requests, and is nowhere among those that do. The first cause stays. */
void pool_retire(struct pool_conn *pc, enum close_cause why);
/* The connections to this address go as soon as another one is up. */
void pool_conn_lose_address(struct pool *pool, const struct endpoint *ep);
/*
 * At max_connections no other one can come up first, so one goes whose address is lost or that is
 * old: one that carries nothing, or else the HTTP/2 one that carries the least, but not the only
 * one, as it would stop everybody for as long as its longest stream runs, unless its address was
 * ejected. One at a time: its successor may fail.
 */
void pool_conn_make_way(struct pool *pool);
/* max_connections was lowered: those that carry least take no more requests. */
void pool_conn_shrink(struct pool *pool);
void pool_conn_free(struct pool_conn *pc); /* whatever its state is */

/* ---- pool.c ------------------------------------------------------------ */

unsigned pool_connections(const struct pool *pool);
unsigned pool_up(const struct pool *pool);       /* connected and not draining */
unsigned pool_standing(const struct pool *pool); /* and those that connect */
unsigned pool_floor(const struct pool *pool);    /* connections it holds without traffic */
unsigned pool_waiting(const struct pool *pool);
/* One came up. */
void pool_connected(struct pool *pool);
/*
 * One could not be opened, or was closed unused; err and detail say why, for the waiters.
 * of_address: its address pauses (upstream.h) and the others need not; else all do.
 */
void pool_failed(struct pool *pool, int err, const char *detail, bool of_address);
/* The server takes connections and closes them without a response, whatever is sent. */
bool pool_closes_early(const struct pool *pool);
/* Slots may have come free, connections may be wanted; the last connection may be gone. */
void pool_changed(struct pool *pool);

#endif
