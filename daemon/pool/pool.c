/*
 * pool.c - the queue of one upstream, which connection a request gets, and when one is dialled.
 *
 * The connections themselves are pool_conn.c's, how long they live is janitor.c's.
 *
 * When connecting fails, its address pauses (upstream.c); nothing is dialled while all do. Requests
 * go on waiting through retry_attempts more rounds: a server that restarts costs time and no
 * errors. Once the next attempt is further away than queue_timeout, requests are told at once.
 */
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "daemon/base/log.h"
#include "daemon/pool/backoff.h"
#include "daemon/pool/janitor.h"
#include "daemon/pool/pick.h"
#include "daemon/pool/pool_int.h"
#include "daemon/pool/pool_transport.h"
#include "daemon/pool/upstream.h"
#include "lib/base/ctx.h"

#define GRANTS_A_ROUND     64
#define EARLY_CLOSES_BORNE 3     /* one request may be the reason; several hardly are */
#define FRESH_AGE          1000u /* ms: no server gives up one so soon that was never used */
#define FRESH_PATIENCE     1000u /* ms */
#define NO_MEMORY_PAUSE    1000u /* ms until it is tried again */

static void pool_serve(struct pool *pool);
static void pool_dial_wanted(struct pool *pool);

/* ---- the queue --------------------------------------------------------- */

static struct waiter *waiter_of(struct queue_item *item)
{
	return container_of(item, struct waiter, item);
}

void waiter_init(struct waiter *w, void (*grant)(struct waiter *, struct pool_conn *),
	void (*fail)(struct waiter *, enum waiter_failure, int, const char *))
{
	queue_item_init(&w->item);
	timer_init(&w->timer, NULL);
	w->pool = NULL;
	w->uid = 0;
	w->fresh = false;
	w->grant = grant;
	w->fail = fail;
}

static struct queue *queue_of(struct pool *pool, const struct waiter *w)
{
	return w->fresh ? &pool->want_fresh : &pool->waiters;
}

unsigned pool_waiting(const struct pool *pool)
{
	return queue_count(&pool->waiters) + queue_count(&pool->want_fresh);
}

/* NULL: nobody waits. */
static struct waiter *oldest_waiter(const struct pool *pool)
{
	struct queue_item *a = queue_oldest(&pool->waiters), *b = queue_oldest(&pool->want_fresh);

	if (!a || !b)
		return a || b ? waiter_of(a ? a : b) : NULL;
	return waiter_of(waiter_of(a)->since <= waiter_of(b)->since ? a : b);
}

void pool_leave(struct waiter *w)
{
	timer_stop(&w->timer);
	if (w->pool)
		queue_remove(queue_of(w->pool, w), &w->item);
}

static void fail_waiter(struct waiter *w, enum waiter_failure why, int err, const char *detail)
{
	pool_leave(w);
	w->fail(w, why, err, detail);
}

static void fail_all(struct pool *pool, enum waiter_failure why, int err, const char *detail)
{
	struct waiter *oldest;

	while ((oldest = oldest_waiter(pool)))
		fail_waiter(oldest, why, err, detail);
}

static bool nothing_is_up(const struct pool *pool)
{
	return pool_up(pool) == 0;
}

/*
 * What kept it waiting: name servers, a server that cannot be reached, or too many requests for it.
 */
static void queue_timeout(struct timer *t)
{
	struct waiter *w = container_of(t, struct waiter, timer);
	struct pool *pool = w->pool;
	const char *name = upstream_awaited(pool->upstream);

	if (nothing_is_up(pool) && name) {
		snprintf(pool->failed_detail, sizeof(pool->failed_detail),
			"resolve %s: no name server has answered within queue_timeout", name);
		fail_waiter(w, WAITER_CONNECT_FAILED, CC_ERESOLVE, pool->failed_detail);
		return;
	}
	if (nothing_is_up(pool) && pool->failures > 0) {
		fail_waiter(w, WAITER_CONNECT_FAILED, pool->failed_err, pool->failed_detail);
		return;
	}
	pool->stats.queue_timeout++;
	fail_waiter(w, WAITER_TIMEOUT, CC_ETIMEOUT, pool->failures > 0 ? pool->failed_detail : "");
}

static bool enqueue(struct pool *pool, struct waiter *w, bool at_head)
{
	if (!queue_push(queue_of(pool, w), &w->item, w->uid, at_head))
		return false;
	w->pool = pool;
	w->since = ctx_now(pool->ctx);
	w->failures = 0;
	w->timer.fire = queue_timeout;
	if (pool->up->queue_timeout > 0 && !timer_running(&w->timer))
		timer_start(pool->ctx, &w->timer, pool->up->queue_timeout);
	return true;
}

/* ---- choosing ---------------------------------------------------------- */

/* NULL: it ended in this turn, and its hook is on the way. */
static struct pool_conn *reserve_slot(struct pool_conn *pc)
{
	bool reserved = cc_conn_reserve(pc->cc) == 0;

	pool_look(pc);
	return reserved ? pc : NULL;
}

/* A connection with one slot reserved, NULL if all are full. */
static struct pool_conn *take_slot(struct pool *pool)
{
	uint64_t random = pool->pick.mode == PICK_RANDOM2 ? pool_random(pool) : 0;
	struct pick_entry *e = pick_best(&pool->pick, random);

	if (!e)
		return NULL;
	return reserve_slot(container_of(e, struct pool_conn, pick));
}

bool pool_is_fresh(const struct pool_conn *pc)
{
	return cc_conn_requests_completed(pc->cc) == 0 &&
	       ctx_now(pc->pool->ctx) - pc->idle_since < FRESH_AGE;
}

/* Whatever the limits allow is under way, or will be once the hooks of this turn have run. */
static bool another_may_come(const struct pool *pool)
{
	unsigned lasting = 0;

	if (pool->count[POOL_CONNECTING] > 0)
		return true;
	for (int i = POOL_AVAILABLE; i < POOL_LISTS; i++)
		list_each (l, tmp, &pool->conns[i])
			lasting += cc_conn_state(container_of(l, struct pool_conn, link)->cc) !=
			           CC_CLOSED;
	return pool->failures == 0 &&
	       lasting + pool->up->reserve_connections < pool->up->max_connections;
}

/* None has come for so long that one of those that were idle is tried after all. */
static bool is_patient(const struct pool *pool)
{
	struct queue_item *oldest = queue_oldest(&pool->want_fresh);

	return oldest && ctx_now(pool->ctx) - waiter_of(oldest)->since >= FRESH_PATIENCE;
}

/* For a request that met a closed connection; the others that were idle may be closed as well. */
static struct pool_conn *take_fresh_slot(struct pool *pool)
{
	list_each (l, tmp, &pool->conns[POOL_AVAILABLE]) {
		struct pool_conn *pc = container_of(l, struct pool_conn, link);
		struct pool_conn *taken =
			pool_is_fresh(pc) && !pc->watched ? reserve_slot(pc) : NULL;

		if (taken)
			return taken;
	}
	return another_may_come(pool) && !is_patient(pool) ? NULL : take_slot(pool);
}

static bool is_at_limit(const struct pool *pool)
{
	return pool_connections(pool) + pool->up->reserve_connections >= pool->up->max_connections;
}

static void serve_run(struct turn_item *item)
{
	pool_serve(container_of(item, struct pool, serve));
}

static void grant_next(struct queue *q, struct pool_conn *pc)
{
	struct waiter *w = waiter_of(queue_take(q));

	timer_stop(&w->timer);
	w->grant(w, pc);
}

static void pool_serve(struct pool *pool)
{
	struct pool_conn *pc;
	int i = 0;

	pool_conn_shrink(pool);
	janitor_retire_idle(pool);
	if ((pool->address_lost > 0 || janitor_wants_successor(pool)) && is_at_limit(pool))
		pool_conn_make_way(pool);
	for (; i < GRANTS_A_ROUND && queue_count(&pool->want_fresh) > 0; i++) {
		pc = take_fresh_slot(pool);
		if (!pc)
			break;
		grant_next(&pool->want_fresh, pc);
	}
	for (; i < GRANTS_A_ROUND && queue_count(&pool->waiters) > 0; i++) {
		pc = take_slot(pool);
		if (!pc)
			break;
		grant_next(&pool->waiters, pc);
	}
	if ((queue_count(&pool->waiters) > 0 && pick_count(&pool->pick) > 0) ||
		(queue_count(&pool->want_fresh) > 0 &&
			i == GRANTS_A_ROUND)) /* the others' turn first */
		turn_add(pool->ctx, TURN_NOTIFY, &pool->serve);
	else
		janitor_trim(pool); /* those that nobody took */
	pool_dial_wanted(pool);
}

/* The next attempt is too far away to wait for it. */
static bool must_fail_fast(const struct pool *pool)
{
	return nothing_is_up(pool) && pool->count[POOL_CONNECTING] == 0 && pool->failures > 0 &&
	       pool->up->queue_timeout > 0 &&
	       pool->not_before > ctx_now(pool->ctx) + pool->up->queue_timeout;
}

static void fail_fast_run(struct turn_item *item)
{
	struct pool *pool = container_of(item, struct pool, fail_fast);

	if (must_fail_fast(pool))
		fail_all(pool, WAITER_CONNECT_FAILED, pool->failed_err, pool->failed_detail);
}

enum pool_answer pool_ask(struct pool *pool, struct waiter *w, bool at_head, struct pool_conn **ret)
{
	if (w->fresh || at_head || queue_count(&pool->waiters) == 0) {
		*ret = w->fresh ? take_fresh_slot(pool) : take_slot(pool);
		if (*ret) {
			w->pool = pool;
			timer_stop(&w->timer);
			return POOL_GRANTED;
		}
	}
	if (!enqueue(pool, w, at_head)) {
		pool->stats.queue_full++;
		return POOL_QUEUE_FULL;
	}
	upstream_wanted(pool->upstream);
	if (must_fail_fast(pool)) /* told from the turn, never from here */
		turn_add(pool->ctx, TURN_NOTIFY, &pool->fail_fast);
	else
		pool_dial_wanted(pool);
	return POOL_WAITS;
}

/* ---- dialling ---------------------------------------------------------- */

/* What one more connection will carry, as far as the last one tells. */
static uint64_t expected_each(const struct pool *pool)
{
	unsigned multiplexed = CONF_PROTO_H2 | CONF_PROTO_H2C;

	if (pool->last_proto == CC_PROTO_H1 || !(pool->up->protocols & multiplexed))
		return 1;
	return pool->last_limit > 0 ? pool->last_limit : UINT64_MAX;
}

/* A connection without SETTINGS yet counts like one that connects. */
static uint64_t expected_soon(const struct pool *pool)
{
	uint64_t each = expected_each(pool);
	uint64_t coming = pool->count[POOL_CONNECTING] + pool->limits_unknown;

	return coming > 0 && each > UINT64_MAX / coming ? UINT64_MAX : each * coming;
}

/* A server that allows no streams for now allows none on one more connection. */
static bool takes_nothing(const struct pool *pool)
{
	return pool->limit_seen && pool->last_limit == 0 && pool->count[POOL_FULL] > 0;
}

static uint64_t pause_after(struct pool *pool, unsigned failures, uint64_t random)
{
	return ctx_now(pool->ctx) +
	       backoff_delay(pool->up->backoff_min, pool->up->backoff_max, failures, random);
}

/* The server takes connections and closes them without a response, whatever is sent. */
bool pool_closes_early(const struct pool *pool)
{
	return pool->early_closes > EARLY_CLOSES_BORNE;
}

static struct pick_demand demand_of(const struct pool *pool)
{
	uint64_t now = ctx_now(pool->ctx);
	const struct waiter *oldest = oldest_waiter(pool);

	return (struct pick_demand){
		.waiting = takes_nothing(pool) ? 0 : pool_waiting(pool),
		.connections = pool_connections(pool),
		.connecting = pool->count[POOL_CONNECTING],
		.draining = pool->count[POOL_DRAINING],
		.expected = expected_soon(pool),
		.expected_each = expected_each(pool),
		.max_connections = pool->up->max_connections,
		.max_connecting = pool->up->max_connecting,
		.min_connections = pool_floor(pool),
		.reserve_connections = pool->up->reserve_connections,
		.oldest_wait = oldest ? now - oldest->since : 0,
		.reserve_after = pool->up->reserve_after,
		.now = now,
		.not_before = pool->not_before,
		.failing = pool->failures > 0,
	};
}

/*
 * For one that retires for its age, one whose address has vanished, or one that left with requests.
 */
static bool wants_successor(const struct pool *pool)
{
	return pool->count[POOL_CONNECTING] == 0 &&
	       (janitor_wants_successor(pool) || pool->address_lost > 0 ||
		       (pool->left_busy && pick_count(&pool->pick) == 0));
}

/* At the limit there cannot be one. */
static bool successor_may_come(const struct pool *pool, const struct pick_demand *d)
{
	return wants_successor(pool) && !pool->draining && d->now >= d->not_before &&
	       !is_at_limit(pool);
}

/* So it is after nearly every request: all that is wanted is there. */
static bool wants_no_dial(const struct pool *pool)
{
	return pool_waiting(pool) == 0 && !wants_successor(pool) &&
	       pool_standing(pool) >= pool_floor(pool);
}

/* 0, or CC_ERESOLVE: ops->resolved() goes on; or why it ended before n were opened. */
static int dial_some(struct pool *pool, unsigned n)
{
	int err = 0;

	for (; n > 0 && err == 0; n--)
		err = pool_conn_dial(pool);
	if (err < 0 && err != CC_ERESOLVE)
		log_line(pool->log, LOG_LEVEL_ERROR, "cannot open a connection",
			"upstream=%s reason=\"%s\"", pool->up->name, cc_strerror(err));
	return err;
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* In how many ms time alone changes what can be done; UINT64_MAX: it does not. */
static uint64_t dials_again(const struct pool *pool, int err)
{
	struct pick_demand d = demand_of(pool);
	struct queue_item *fresh = queue_oldest(&pool->want_fresh);
	uint64_t again;

	if (err < 0 && err != CC_ERESOLVE)
		return NO_MEMORY_PAUSE;
	again = pick_dials_again(&d);
	if (wants_successor(pool) && d.now < d.not_before)
		again = smaller(again, d.not_before - d.now);
	if (fresh && pick_count(&pool->pick) > 0) /* is_patient then */
		again = smaller(again,
			FRESH_PATIENCE - smaller(FRESH_PATIENCE, d.now - waiter_of(fresh)->since));
	return again;
}

static void pool_dial_wanted(struct pool *pool)
{
	struct pick_demand d;
	uint64_t again;
	unsigned n;

	if (wants_no_dial(pool)) {
		timer_stop(&pool->later);
		return;
	}
	d = demand_of(pool);
	n = pick_dials(&d);
	if (n == 0 && successor_may_come(pool, &d))
		n = 1;
	if (n > 0 && pool_closes_early(pool)) { /* one a pause, until one brings a response */
		n = 1;
		pool->not_before = pause_after(pool, 1, pool_random(pool));
	}
	again = dials_again(pool, dial_some(pool, n));
	if (again == UINT64_MAX)
		timer_stop(&pool->later);
	else if (!timer_running(&pool->later) || pool->later.deadline > d.now + again)
		timer_start(pool->ctx, &pool->later, again);
}

static void later_fired(struct timer *t)
{
	pool_serve(container_of(t, struct pool, later));
}

static void free_if_done(struct pool *pool)
{
	if (pool->draining && pool->users == 0 && pool_connections(pool) == 0)
		turn_add(pool->ctx, TURN_REAP, &pool->reap);
}

/* ---- failures ---------------------------------------------------------- */

static void count_failure(struct queue *q)
{
	list_each (l, tmp, &q->by_age)
		waiter_of(container_of(l, struct queue_item, age))->failures++;
}

/* Nothing up, nothing on its way: who saw enough attempts fail gets the reason. */
static void fail_patient(struct pool *pool)
{
	unsigned patience = pool->up->retry == CONF_RETRY_NEVER ? 0 : pool->up->retry_attempts;
	struct waiter *oldest;

	if (pool->failed_err == CC_ECERT) /* does not get better by asking again */
		patience = 0;
	if (!nothing_is_up(pool) || pool->count[POOL_CONNECTING] > 0 ||
		ctx_now(pool->ctx) >= pool->not_before) /* another address is next */
		return;
	while ((oldest = oldest_waiter(pool)) && oldest->failures > patience)
		fail_waiter(oldest, WAITER_CONNECT_FAILED, pool->failed_err, pool->failed_detail);
}

/* Waiting requests count rounds: what fails within the shortest pause was dialled together. */
static void count_round(struct pool *pool)
{
	if (pool->failures > 0 && ctx_now(pool->ctx) < pool->round_until)
		return;
	pool->failures++;
	pool->round_until = pause_after(pool, pool->failures, 0);
	count_failure(&pool->waiters);
	count_failure(&pool->want_fresh);
}

/*
 * An address pauses alone; what is not its fault, or nobody's, stops them all, but not for long if
 * it was something that we lack ourselves: that may be there again at any time.
 */
static uint64_t next_dial(struct pool *pool, int err, bool of_address)
{
	uint64_t pause;

	if (pool_closes_early(pool))
		return pause_after(pool, 1, pool_random(pool));
	if (of_address)
		return upstream_ready_at(pool->upstream);
	pause = pause_after(pool, pool->failures, pool_random(pool));
	if (err == CC_EMFILE || err == CC_ENOMEM)
		pause = smaller(pause, ctx_now(pool->ctx) + NO_MEMORY_PAUSE);
	return pause;
}

void pool_failed(struct pool *pool, int err, const char *detail, bool of_address)
{
	count_round(pool);
	pool->not_before = next_dial(pool, err, of_address);
	pool->failed_err = err;
	snprintf(pool->failed_detail, sizeof(pool->failed_detail), "%s", detail);
	fail_patient(pool);
	if (must_fail_fast(pool))
		turn_add(pool->ctx, TURN_NOTIFY, &pool->fail_fast);
}

void pool_connected(struct pool *pool)
{
	pool->failures = 0;
	if (!pool_closes_early(pool)) /* else the pause goes on */
		pool->not_before = 0;
}

void pool_changed(struct pool *pool)
{
	pool_serve(pool);
	free_if_done(pool);
}

/* ---- addresses --------------------------------------------------------- */

static void resolved(void *arg, int err, const char *detail)
{
	struct pool *pool = arg;

	if (err < 0) {
		log_line(pool->log, LOG_LEVEL_WARNING, "no address", "upstream=%s reason=\"%s\"",
			pool->up->name, detail);
		pool->stats.connect_failed++;
		pool_failed(pool, err, detail, false);
	} else if (!pool_closes_early(pool)) { /* there may be one that does not pause */
		pool->not_before = smaller(pool->not_before, upstream_ready_at(pool->upstream));
	}
	pool_serve(pool);
}

static void address_gone(void *arg, struct endpoint *ep)
{
	struct pool *pool = arg;

	log_line(pool->log, LOG_LEVEL_INFO, "address gone", "upstream=%s address=%s connections=%u",
		pool->up->name, ep->text, ep->connections);
	pool_conn_lose_address(pool, ep);
}

static const struct upstream_ops upstream_ops = {.resolved = resolved, .gone = address_gone};

/* ---- life -------------------------------------------------------------- */

static void pool_release(struct pool *pool)
{
	list_del(&pool->link);
	timer_stop(&pool->later);
	turn_cancel(&pool->serve);
	turn_cancel(&pool->fail_fast);
	turn_cancel(&pool->reap);
	upstream_free(pool->upstream);
	cc_transport_free(pool->transport);
	conf_unref(pool->conf);
	mem_free(pool->ctx, pool);
}

static void reap_run(struct turn_item *item)
{
	struct pool *pool = container_of(item, struct pool, reap);

	if (pool->users == 0 && pool_connections(pool) == 0)
		pool_release(pool);
}

static enum pick_mode pick_mode_of(const struct conf_upstream *up)
{
	switch (up->pick) {
	case CONF_PICK_LIFO:
		return PICK_LIFO;
	case CONF_PICK_FIFO:
		return PICK_FIFO;
	case CONF_PICK_RANDOM2:
		return PICK_RANDOM2;
	case CONF_PICK_MOST_AVAILABLE:
		break;
	}
	return PICK_MOST_AVAILABLE;
}

/* After pick_set_init: the entry is in no tree. */
static void enter_pick(struct pool_conn *pc)
{
	pc->pick = (struct pick_entry){0};
	pool_look(pc);
}

int pool_new(struct cc_ctx *ctx, struct log *log, struct conf *conf, const struct conf_upstream *up,
	const struct pool_owner *owner, bool home, struct pool **ret)
{
	struct pool *pool = mem_zalloc(ctx, sizeof(*pool));
	int err;

	if (!pool)
		return CC_ENOMEM;
	err = pool_transport_new(ctx, conf, up, 0, &pool->transport);
	if (err == 0)
		err = upstream_new(ctx, up, &upstream_ops, pool, &pool->upstream);
	if (err < 0) {
		cc_transport_free(pool->transport);
		mem_free(ctx, pool);
		return err;
	}
	pool->ctx = ctx;
	pool->log = log;
	pool->conf = conf_ref(conf);
	pool->up = up;
	pool->owner = owner;
	pool->home = home;
	for (int i = 0; i < POOL_LISTS; i++)
		list_init(&pool->conns[i]);
	list_init(&pool->idle);
	list_init(&pool->old);
	list_init(&pool->link);
	timer_init(&pool->later, later_fired);
	pool->chance = ctx_now_us(ctx) ^ (uint64_t)(uintptr_t)pool;
	queue_init(&pool->waiters, up->queue_fair == CONF_FAIR_USER, up->max_queue);
	queue_init(&pool->want_fresh, false, UINT_MAX);
	pick_set_init(&pool->pick, pick_mode_of(up));
	turn_item_init(&pool->serve, serve_run);
	turn_item_init(&pool->fail_fast, fail_fast_run);
	turn_item_init(&pool->reap, reap_run);
	turn_add(ctx, TURN_NOTIFY, &pool->serve); /* pool_floor() */
	*ret = pool;
	return 0;
}

int pool_reconfigure(struct pool *pool, struct conf *conf, const struct conf_upstream *up)
{
	const struct conf_upstream *from = pool->up;
	struct conf *old = pool->conf;
	struct cc_transport *transport;
	int err = pool_transport_new(pool->ctx, conf, up, pool->ping_seldom, &transport);

	if (err < 0)
		return err;
	cc_transport_free(pool->transport);
	pool->transport = transport;
	pool->conf = conf_ref(conf);
	pool->up = up;
	upstream_configure(pool->upstream, up);
	queue_configure(&pool->waiters, up->queue_fair == CONF_FAIR_USER, up->max_queue);
	pick_set_init(&pool->pick, pick_mode_of(up));
	list_each (l, tmp, &pool->conns[POOL_AVAILABLE])
		enter_pick(container_of(l, struct pool_conn, link));
	janitor_reconfigure(pool, from);
	conf_unref(old);                                /* from lies in it */
	turn_add(pool->ctx, TURN_NOTIFY, &pool->serve); /* the limits may have grown */
	return 0;
}

/* Requests that waited get their slots from another pool; its max_queue is for newcomers. */
static void hand_over(struct queue *q, struct pool *to)
{
	list_each (l, tmp, &q->by_age) {
		struct waiter *w = waiter_of(container_of(l, struct queue_item, age));

		w->pool = to;
		w->fresh = false;
	}
	queue_move(&to->waiters, q);
}

void pool_drain(struct pool *pool, struct pool *to)
{
	pool->draining = true;
	if (to) {
		hand_over(&pool->want_fresh, to);
		hand_over(&pool->waiters, to);
		turn_add(to->ctx, TURN_NOTIFY, &to->serve);
	} else {
		fail_all(pool, WAITER_POOL_GONE, CC_ECLOSED, "");
	}
	for (int i = 0; i < POOL_LISTS; i++)
		list_each (c, tmp, &pool->conns[i])
			pool_retire(container_of(c, struct pool_conn, link), CLOSE_RELOAD);
	free_if_done(pool);
}

void pool_free(struct pool *pool)
{
	if (!pool)
		return;
	for (int i = 0; i < POOL_LISTS; i++)
		list_each (c, tmp, &pool->conns[i])
			pool_conn_free(container_of(c, struct pool_conn, link));
	pool_release(pool);
}

void pool_enlist(struct pool *pool, struct list *pools)
{
	list_add_tail(pools, &pool->link);
}

void pool_free_all(struct list *pools)
{
	list_each (e, tmp, pools)
		pool_free(container_of(e, struct pool, link));
}

void pool_use(struct pool *pool)
{
	pool->users++;
}

void pool_unuse(struct pool *pool)
{
	pool->users--;
	free_if_done(pool);
}
