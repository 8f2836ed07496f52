/*
 * pool_conn.c - one connection of a pool: dialled, up, used, closed.
 *
 *   CONNECTING ──> AVAILABLE <──> FULL ──> DRAINING ──> freed
 *
 * The list of a connection follows from the library's numbers alone (list_of), so it cannot
 * disagree with them. Nothing here runs inside a call of the library: hooks come from the turn.
 * What is learned from how it went goes to the pool (pool_failed) and to its address (upstream.h).
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "daemon/base/log.h"
#include "daemon/pool/janitor.h"
#include "daemon/pool/pool_int.h"
#include "daemon/pool/pool_transport.h"
#include "daemon/pool/upstream.h"
#include "lib/base/ctx.h"

#define PING_SELDOM_MAX 6     /* 64 times check_after */
#define USELESS_AGE     1000u /* ms */
#define RELIEF_DELAY    5u    /* ms until a connection that was given up has closed */

/* ---- lists ------------------------------------------------------------- */

static void pool_move(struct pool_conn *pc, enum pool_list to)
{
	if (pc->list == to)
		return;
	list_del(&pc->link);
	pc->pool->count[pc->list]--;
	pc->list = to;
	pc->pool->count[to]++;
	list_add_tail(&pc->pool->conns[to], &pc->link);
}

static enum pool_list list_of(enum cc_state state, uint32_t room)
{
	switch (state) {
	case CC_CONNECTING:
		return POOL_CONNECTING;
	case CC_READY:
		return room > 0 ? POOL_AVAILABLE : POOL_FULL;
	default:
		return POOL_DRAINING;
	}
}

static void set_limits_known(struct pool_conn *pc, bool known)
{
	if (pc->ready && !pc->limits_known && known)
		pc->pool->limits_unknown--;
	pc->limits_known = known;
}

static void forget_address_lost(struct pool_conn *pc)
{
	pc->pool->address_lost -= pc->address_lost;
	pc->address_lost = false;
}

void pool_look(struct pool_conn *pc)
{
	uint32_t room = cc_conn_available(pc->cc);

	pool_move(pc, list_of(cc_conn_state(pc->cc), room));
	pick_update(&pc->pool->pick, &pc->pick, pc->watched ? 0 : room);
	if (pc->list == POOL_DRAINING) {
		forget_address_lost(pc);
		janitor_forget(pc);
	} else if (pc->ready)
		janitor_look(pc);
}

void pool_retire(struct pool_conn *pc, enum close_cause why)
{
	if (pc->retired_for == CLOSE_NONE)
		pc->retired_for = why;
	cc_conn_drain(pc->cc);
	pool_look(pc);
}

struct cc_conn *pool_conn_cc(const struct pool_conn *pc)
{
	return pc->cc;
}

void pool_hint(struct pool_conn *pc, uint64_t ms)
{
	pc->hint = ms;
}

/* ---- addresses --------------------------------------------------------- */

static void lose_address(struct pool_conn *pc)
{
	if (!pc->address_lost && pc->list != POOL_DRAINING) {
		pc->pool->address_lost++;
		pc->address_lost = true;
	}
}

/* There is one to an address that is good: who is on one that has vanished can go. */
static void retire_address_lost(struct pool *pool)
{
	for (int i = 0; i < POOL_LISTS && pool->address_lost > 0; i++)
		list_each (l, tmp, &pool->conns[i]) {
			struct pool_conn *pc = container_of(l, struct pool_conn, link);

			if (pc->address_lost)
				pool_retire(pc, CLOSE_ADDRESS);
		}
}

static bool should_go(const struct pool_conn *pc)
{
	return pc->address_lost || !list_empty(&pc->old);
}

static bool is_busier(const struct pool_conn *a, const struct pool_conn *b)
{
	return cc_conn_in_flight(a->cc) > cc_conn_in_flight(b->cc);
}

static struct pool_conn *least_busy(struct pool *pool, bool (*wanted)(const struct pool_conn *))
{
	struct pool_conn *least = NULL;

	for (int i = POOL_AVAILABLE; i <= POOL_FULL; i++)
		list_each (l, tmp, &pool->conns[i]) {
			struct pool_conn *pc = container_of(l, struct pool_conn, link);

			if ((!wanted || wanted(pc)) && (!least || is_busier(least, pc)))
				least = pc;
		}
	return least;
}

/* One whose address was ejected served nobody well; the others still do. */
static bool may_drain_busy(const struct pool_conn *pc)
{
	bool is_bad = pc->address_lost && !pc->endpoint->gone;

	return cc_conn_multiplexed(pc->cc) && (pool_up(pc->pool) > 1 || is_bad);
}

void pool_conn_make_way(struct pool *pool)
{
	struct pool_conn *pc;

	if (pool->count[POOL_DRAINING] + pool->count[POOL_CONNECTING] > 0)
		return;
	pc = least_busy(pool, should_go);
	if (pc && (cc_conn_in_flight(pc->cc) == 0 || may_drain_busy(pc)))
		pool_retire(pc, pc->address_lost ? CLOSE_ADDRESS : CLOSE_AGE);
}

void pool_conn_shrink(struct pool *pool)
{
	while (pool_up(pool) > pool->up->max_connections)
		pool_retire(least_busy(pool, NULL), CLOSE_SHRINK);
}

void pool_conn_lose_address(struct pool *pool, const struct endpoint *ep)
{
	for (int i = 0; i < POOL_LISTS; i++)
		list_each (l, tmp, &pool->conns[i])
			if (container_of(l, struct pool_conn, link)->endpoint == ep)
				lose_address(container_of(l, struct pool_conn, link));
	turn_add(pool->ctx, TURN_NOTIFY, &pool->serve); /* dials a successor */
}

static void eject(struct pool *pool, const struct endpoint *ep)
{
	log_line(pool->log, LOG_LEVEL_WARNING, "address ejected",
		"upstream=%s address=%s failures=%u for_ms=%" PRIu64 " connections=%u",
		pool->up->name, ep->text, pool->up->eject_after, pool->up->eject_time,
		ep->connections);
	pool_conn_lose_address(pool, ep);
}

static void find_endpoint(struct pool_conn *pc)
{
	pc->endpoint = upstream_connected(pc->first, cc_conn_address(pc->cc));
	pc->first = NULL;
	if (endpoint_is_bad(pc->endpoint))
		lose_address(pc);
	else
		retire_address_lost(pc->pool);
}

/* ---- up ---------------------------------------------------------------- */

static void conn_opened(struct pool_conn *pc)
{
	struct pool *pool = pc->pool;

	pc->ready = true;
	find_endpoint(pc);
	histogram_add(&pool->stats.connect, (ctx_now(pool->ctx) - pc->opened_at) * 1000);
	pool->limits_unknown++;
	pool_connected(pool);
	pool->left_busy = false;
	pool->stats.opened++;
	pool->last_proto = cc_conn_proto(pc->cc);
	log_line(pool->log, LOG_LEVEL_INFO, "connected",
		"upstream=%s conn=%" PRIu64 " address=%s protocol=%s connect_ms=%" PRIu64
		" connections=%u",
		pool->up->name, cc_conn_id(pc->cc), cc_conn_address(pc->cc),
		cc_proto_name(pool->last_proto), ctx_now(pool->ctx) - pc->opened_at,
		pool_connections(pool));
	janitor_opened(pc);
}

/* Whoever is behind the address cannot reach whom it speaks for. */
static bool is_gateway_failure(unsigned status)
{
	return status >= 502 && status <= 504;
}

bool pool_answered(const struct pool_conn *pc)
{
	return pc->answered;
}

void pool_response_began(struct pool_conn *pc, unsigned status)
{
	struct pool *pool = pc->pool;

	pc->answered = true;
	if (!is_gateway_failure(status))
		endpoint_succeeded(pc->endpoint);
	else if (endpoint_failed(pc->endpoint))
		eject(pool, pc->endpoint);
	if (pool_closes_early(pool)) { /* the waiters need not wait for the end of the pause */
		pool->not_before = 0;
		turn_add(pool->ctx, TURN_NOTIFY, &pool->serve);
	}
	pool->early_closes = 0;
}

void pool_no_response(struct pool_conn *pc)
{
	if (endpoint_failed(pc->endpoint))
		eject(pc->pool, pc->endpoint);
}

/* What one connection of this server may carry at once, to reckon with when others are opened. */
static void learn_limits(struct pool_conn *pc)
{
	struct pool *pool = pc->pool;
	uint64_t limit;

	if (!cc_conn_limits_known(pc->cc))
		return;
	set_limits_known(pc, true);
	if (!cc_conn_multiplexed(pc->cc) || cc_conn_state(pc->cc) != CC_READY)
		return;
	limit = cc_conn_request_limit(pc->cc) - cc_conn_requests_completed(pc->cc);
	/* One that is full may have been lowered below what runs: it tells of nothing but less. */
	if (cc_conn_available(pc->cc) == 0 && limit > 0 &&
		(!pool->limit_seen || limit > pool->last_limit))
		return;
	pool->last_limit = limit;
	pool->limit_seen = true;
}

/* gRPC servers count PINGs (its proposal A8 doubles the time between them, too). */
static void heed_complaint(struct pool *pool, const struct cc_conn *cc)
{
	struct cc_transport *transport;

	if (!strstr(cc_conn_detail(cc), "too_many_pings") || pool->ping_seldom == PING_SELDOM_MAX ||
		pool_transport_new(
			pool->ctx, pool->conf, pool->up, pool->ping_seldom + 1, &transport) < 0)
		return;
	cc_transport_free(pool->transport);
	pool->transport = transport;
	pool->ping_seldom++;
	log_line(pool->log, LOG_LEVEL_WARNING, "fewer PINGs",
		"upstream=%s reason=too_many_pings check_after_ms=%" PRIu64, pool->up->name,
		pool->up->check_after << pool->ping_seldom);
}

/* ---- closed ------------------------------------------------------------ */

void pool_conn_free(struct pool_conn *pc)
{
	struct pool *pool = pc->pool;

	janitor_forget(pc);
	set_limits_known(pc, true);
	pick_remove(&pool->pick, &pc->pick);
	list_del(&pc->link);
	pool->count[pc->list]--;
	if (pc->first)
		upstream_gave_up(pc->first);
	if (pc->endpoint) {
		forget_address_lost(pc);
		endpoint_closed(pc->endpoint);
	}
	cc_conn_free(pc->cc);
	mem_free(pool->ctx, pc);
}

/*
 * Never carried a request: a failed dial, or a server that accepts and closes.
 * Others are not opened for it at once: that would be a storm.
 */
static bool was_useless(const struct pool_conn *pc)
{
	if (cc_conn_state(pc->cc) != CC_CLOSED || cc_conn_requests_completed(pc->cc) > 0)
		return false;
	return !pc->ready || (cc_conn_reason(pc->cc) != CC_REASON_OWNER &&
				     ctx_now(pc->pool->ctx) - pc->opened_at < USELESS_AGE);
}

/* It closed at once, whatever was sent on it, without any response. */
static bool was_closed_early(const struct pool_conn *pc)
{
	enum cc_reason reason = cc_conn_reason(pc->cc);

	return pc->ready && !pc->answered &&
	       (reason == CC_REASON_EOF || reason == CC_REASON_RESET || reason == CC_REASON_TLS ||
		       reason == CC_REASON_PROTOCOL || reason == CC_REASON_GOAWAY) &&
	       ctx_now(pc->pool->ctx) - pc->opened_at < USELESS_AGE;
}

/*
 * No descriptor was left for it. Waiting requests need one more than what is idle: with an idle
 * connection less there is one. A floor to fill (nobody waits) takes none from others.
 */
static bool is_relieved(struct pool *pool, int err)
{
	if (err != CC_EMFILE || pool_waiting(pool) == 0 || !pool->owner->relieve(pool->owner->arg))
		return false;
	pool->not_before = ctx_now(pool->ctx) + RELIEF_DELAY;
	return true;
}

/* The library knows who ended it; if we did, the pool knows why. */
static enum close_cause cause_of(const struct pool_conn *pc)
{
	enum cc_reason reason = cc_conn_reason(pc->cc);

	if (reason == CC_REASON_OWNER && pc->retired_for != CLOSE_NONE)
		return pc->retired_for;
	return close_cause_of(reason);
}

static void came_up_and_closed(struct pool_conn *pc, bool useless, bool early, const char *detail)
{
	struct pool *pool = pc->pool;

	pool->stats.closed++;
	pool->stats.closed_by[cause_of(pc)]++;
	if ((useless || early) && endpoint_useless(pc->endpoint))
		eject(pool, pc->endpoint);
	log_line(pool->log, LOG_LEVEL_INFO, "closed",
		"upstream=%s conn=%" PRIu64 " reason=%s detail=\"%s\" requests=%" PRIu64
		" age_ms=%" PRIu64,
		pool->up->name, cc_conn_id(pc->cc), close_cause_name(cause_of(pc)), detail,
		cc_conn_requests_completed(pc->cc), ctx_now(pool->ctx) - pc->opened_at);
	janitor_closed(pc);
}

static void never_came_up(struct pool_conn *pc, bool of_address, const char *detail)
{
	struct pool *pool = pc->pool;

	if (of_address) {
		upstream_failed(pc->first, cc_conn_address(pc->cc));
		pc->first = NULL;
	}
	pool->stats.connect_failed++;
	log_line(pool->log, LOG_LEVEL_WARNING, "connect failed",
		"upstream=%s url=%s reason=\"%s\" waiting=%u", pool->up->name, pool->up->url,
		detail, pool_waiting(pool));
}

static void conn_closed(struct pool_conn *pc)
{
	struct pool *pool = pc->pool;
	int err = cc_conn_err(pc->cc);
	bool useless = was_useless(pc);
	bool early = was_closed_early(pc) || (useless && pc->ready);
	bool of_address = pc->ready || (cc_conn_reason(pc->cc) != CC_REASON_OWNER &&
					       err != CC_EMFILE && err != CC_ENOMEM);
	char detail[256];

	snprintf(detail, sizeof(detail), "%s", cc_conn_detail(pc->cc));
	if (pc->ready)
		came_up_and_closed(pc, useless, early, detail);
	else
		never_came_up(pc, of_address, detail);
	pool_conn_free(pc);
	pool->early_closes += early;
	if (is_relieved(pool, err))
		return;
	if (useless || (early && pool_closes_early(pool)))
		pool_failed(pool, err, detail, of_address);
}

/* ---- begin ------------------------------------------------------------- */

static void state_hook(struct cc_conn *cc, void *arg)
{
	struct pool_conn *pc = arg;
	struct pool *pool = pc->pool;
	/*
	 * Told once, also of one that came up, was sent away and closed in a single turn. Its list
	 * says nothing about that: whoever asks for a slot in the same turn moves it.
	 */
	bool is_goodbye = (cc_conn_changes(cc) & CC_CHANGED_DRAINING) &&
	                  cc_conn_reason(cc) == CC_REASON_GOAWAY;

	if (cc_conn_state(cc) >= CC_READY && cc_conn_proto(cc) != CC_PROTO_NONE && !pc->ready)
		conn_opened(pc);
	if (is_goodbye)
		heed_complaint(pool, cc);
	if (cc_conn_state(cc) == CC_CLOSED) {
		conn_closed(pc);
	} else {
		learn_limits(pc);
		/* It leaves with requests: others will follow them, and it cannot take those. */
		if (is_goodbye && cc_conn_in_flight(cc) > 0)
			pool->left_busy = true;
		pool_look(pc);
	}
	pool_changed(pool);
}

int pool_conn_dial(struct pool *pool)
{
	struct endpoint *first;
	const char *target = upstream_target(pool->upstream, &first);
	struct pool_conn *pc;
	int err;

	if (!target) /* it is being resolved: resolved() goes on */
		return CC_ERESOLVE;
	pc = mem_zalloc(pool->ctx, sizeof(*pc));
	if (!pc) {
		upstream_gave_up(first);
		return CC_ENOMEM;
	}
	pc->pool = pool;
	pc->first = first;
	pc->list = POOL_CONNECTING;
	pc->opened_at = ctx_now(pool->ctx);
	pc->hint = LEARN_NO_HINT;
	list_init(&pc->idle);
	list_init(&pc->old);
	timer_init(&pc->idle_timer, NULL);
	timer_init(&pc->life, NULL);
	err = cc_transport_new_client_conn(pool->transport, pool->up->https ? "https" : "http",
		target, state_hook, pc, &pc->cc);
	if (err < 0) {
		upstream_gave_up(first);
		mem_free(pool->ctx, pc);
		return err;
	}
	list_add_tail(&pool->conns[POOL_CONNECTING], &pc->link);
	pool->count[POOL_CONNECTING]++;
	return 0;
}
