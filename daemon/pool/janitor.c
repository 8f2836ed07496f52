/*
 * janitor.c - idle connections, old ones, and what the server's timeout is.
 *
 *   in flight ──> idle (idle_timer) ──learn_limit──> drained
 *                                   └─ learn_watch ─> kept without requests, then closed
 *   life over ──> pool->old ──successor is up, or nothing needs it──> drained
 *
 * One connection retires for its age at a time, and only when another is there
 * to take its place; at max_connections no other can be, so it simply goes when it is idle.
 */
#include "daemon/base/log.h"
#include "daemon/pool/janitor.h"
#include "daemon/pool/pool_int.h"
#include "lib/base/ctx.h"

static struct learn_rules rules_of(const struct pool *pool)
{
	return (struct learn_rules){
		.idle_timeout = pool->up->idle_timeout,
		.margin = pool->up->idle_timeout_margin,
		.learn = pool->up->idle_timeout_learn,
	};
}

/* ---- idle -------------------------------------------------------------- */

static void begin_idle_time(struct pool_conn *pc)
{
	struct pool *pool = pc->pool;
	struct learn_rules rules = rules_of(pool);
	uint64_t limit = learn_limit(&pool->learn, &rules, pc->hint);
	uint64_t idle = ctx_now(pool->ctx) - pc->idle_since;

	if (limit == LEARN_NEVER)
		timer_stop(&pc->idle_timer);
	else
		timer_start(pool->ctx, &pc->idle_timer, limit > idle ? limit - idle : 0);
}

static void stop_watching(struct pool_conn *pc)
{
	if (pc->pool->watched == pc)
		pc->pool->watched = NULL;
	pc->watched = false;
}

/* false: it is simply closed now. */
static bool begin_watch(struct pool_conn *pc, const struct learn_rules *rules, uint64_t idle)
{
	struct pool *pool = pc->pool;
	uint64_t until = learn_watch(&pool->learn, rules, ctx_now(pool->ctx));

	if (until <= idle || pool->watched)
		return false;
	pool->watched = pc;
	pc->watched = true;
	pick_remove(&pool->pick, &pc->pick);
	timer_start(pool->ctx, &pc->idle_timer, until - idle);
	return true;
}

/* Idle for as long as it may be. */
static void idle_time_over(struct timer *t)
{
	struct pool_conn *pc = container_of(t, struct pool_conn, idle_timer);
	struct pool *pool = pc->pool;
	struct learn_rules rules = rules_of(pool);
	uint64_t idle = ctx_now(pool->ctx) - pc->idle_since;
	uint64_t limit = learn_limit(&pool->learn, &rules, pc->hint);

	if (pc->watched) {
		learn_outlived(&pool->learn, idle, ctx_now(pool->ctx));
		pool_retire(pc, CLOSE_IDLE);
		return;
	}
	if (idle < limit) { /* it was learned anew since */
		begin_idle_time(pc);
		return;
	}
	if (begin_watch(pc, &rules, idle))
		return;
	/* The floor stays, unless the server would close it: then it is made anew. */
	if (pool_standing(pool) <= pool_floor(pool) && limit >= pool->up->idle_timeout) {
		timer_start(pool->ctx, &pc->idle_timer, limit);
		return;
	}
	pool_retire(pc, CLOSE_IDLE);
}

/* While requests wait, what is idle is theirs, or will be when the server raises its limit. */
void janitor_trim(struct pool *pool)
{
	unsigned surplus = pool_waiting(pool) > 0
	                           ? 0
	                           : pick_surplus(pool->idle_count, pool->up->max_idle,
					     pool_standing(pool), pool_floor(pool));

	list_each (l, tmp, &pool->idle) {
		if (surplus == 0)
			return;
		surplus--;
		pool_retire(container_of(l, struct pool_conn, idle), CLOSE_MAX_IDLE);
	}
}

static void became_idle(struct pool_conn *pc)
{
	struct pool *pool = pc->pool;

	pc->idle_since = ctx_now(pool->ctx);
	pc->completed = cc_conn_requests_completed(pc->cc);
	list_add_tail(&pool->idle, &pc->idle);
	pool->idle_count++;
	begin_idle_time(pc);
}

static void no_longer_idle(struct pool_conn *pc)
{
	if (list_empty(&pc->idle))
		return;
	pc->idle_before = ctx_now(pc->pool->ctx) - pc->idle_since;
	list_del(&pc->idle);
	pc->pool->idle_count--;
	timer_stop(&pc->idle_timer);
}

uint64_t janitor_idle_since(const struct pool *pool)
{
	if (list_empty(&pool->idle))
		return UINT64_MAX;
	return container_of(pool->idle.next, struct pool_conn, idle)->idle_since;
}

bool janitor_give_up(struct pool *pool)
{
	if (list_empty(&pool->idle))
		return false;
	pool_retire(container_of(pool->idle.next, struct pool_conn, idle), CLOSE_DESCRIPTORS);
	return true;
}

/* ---- age --------------------------------------------------------------- */

static bool is_idle(const struct pool_conn *pc)
{
	return !list_empty(&pc->idle);
}

static void retire(struct pool_conn *pc)
{
	list_del(&pc->old);
	pool_retire(pc, CLOSE_AGE);
}

void janitor_retire_idle(struct pool *pool)
{
	unsigned up = pool_up(pool);

	list_each (l, tmp, &pool->old) {
		struct pool_conn *pc = container_of(l, struct pool_conn, old);

		if (is_idle(pc) && up > pool_floor(pool)) {
			up--;
			retire(pc);
		}
	}
}

static void life_over(struct timer *t)
{
	struct pool_conn *pc = container_of(t, struct pool_conn, life);
	struct pool *pool = pc->pool;

	list_add_tail(&pool->old, &pc->old);
	turn_add(pool->ctx, TURN_NOTIFY, &pool->serve); /* retires it, or dials its successor */
}

bool janitor_wants_successor(const struct pool *pool)
{
	return !list_empty(&pool->old);
}

/* Drawn once for each; it begins with the dial. */
static void begin_life(struct pool_conn *pc)
{
	struct pool *pool = pc->pool;
	uint64_t life = lifetime_draw(
		pool->up->max_lifetime, pool->up->max_lifetime_jitter, pool_random(pool));
	uint64_t age = ctx_now(pool->ctx) - pc->opened_at;

	if (life > 0)
		timer_start(pool->ctx, &pc->life, life > age ? life - age : 0);
	else
		timer_stop(&pc->life);
}

/* ---- what the pool tells ----------------------------------------------- */

void janitor_opened(struct pool_conn *pc)
{
	struct pool *pool = pc->pool;

	timer_init(&pc->idle_timer, idle_time_over);
	timer_init(&pc->life, life_over);
	begin_life(pc);
	if (!list_empty(&pool->old)) /* one at a time */
		retire(container_of(pool->old.next, struct pool_conn, old));
}

void janitor_reconfigure(struct pool *pool, const struct conf_upstream *from)
{
	bool other_life = pool->up->max_lifetime != from->max_lifetime ||
	                  pool->up->max_lifetime_jitter != from->max_lifetime_jitter;

	list_each (l, tmp, &pool->idle) {
		struct pool_conn *pc = container_of(l, struct pool_conn, idle);

		if (!pc->watched)
			begin_idle_time(pc);
	}
	for (int i = POOL_AVAILABLE; other_life && i <= POOL_FULL; i++)
		list_each (l, tmp, &pool->conns[i]) {
			struct pool_conn *pc = container_of(l, struct pool_conn, link);

			if (list_empty(&pc->old))
				begin_life(pc);
		}
}

void janitor_look(struct pool_conn *pc)
{
	bool idle = cc_conn_state(pc->cc) == CC_READY && cc_conn_in_flight(pc->cc) == 0;

	if (!idle)
		no_longer_idle(pc);
	else if (!is_idle(pc))
		became_idle(pc);
}

void janitor_forget(struct pool_conn *pc)
{
	no_longer_idle(pc);
	stop_watching(pc);
	list_del(&pc->old);
	timer_stop(&pc->idle_timer);
	timer_stop(&pc->life);
}

/* A request that met a connection closed already counts like a close: nothing else came of it. */
static bool met_closed(const struct pool_conn *pc)
{
	enum cc_reason reason = cc_conn_reason(pc->cc);

	return (reason == CC_REASON_EOF || reason == CC_REASON_RESET) &&
	       cc_conn_requests_completed(pc->cc) <= pc->completed + 1;
}

void janitor_closed(struct pool_conn *pc)
{
	struct pool *pool = pc->pool;
	uint64_t now = ctx_now(pool->ctx);

	if (!pc->ready || pc->idle_since == 0)
		return;
	if (cc_conn_reason(pc->cc) == CC_REASON_PEER_IDLE)
		learn_closed(&pool->learn, now - pc->idle_since, now);
	else if (met_closed(pc))
		learn_closed(&pool->learn, pc->idle_before, now);
}
