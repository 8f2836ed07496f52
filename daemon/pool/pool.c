/*
 * pool.c - the connections of one upstream, and the queue.
 *
 *   CONNECTING ──> AVAILABLE <──> FULL ──> DRAINING ──> freed
 *
 * A connection's place follows from the library's numbers alone (place_of), so
 * it cannot disagree with them. Nothing here runs inside a call of the
 * library: hooks come from the turn.
 */
#include <inttypes.h>
#include <string.h>

#include "daemon/base/log.h"
#include "daemon/pool/pick.h"
#include "daemon/pool/pool.h"
#include "lib/base/ctx.h"

#define WINDOW_MIN     16384u /* HTTP/2 frames are as large */
#define GRANTS_A_ROUND 64

static void pool_serve(struct pool *pool);
static void pool_dial_wanted(struct pool *pool);

unsigned pool_connections(const struct pool *pool)
{
	unsigned n = 0;

	for (int i = 0; i < POOL_PLACES; i++)
		n += pool->count[i];
	return n;
}

static void pool_move(struct pool_conn *pc, enum pool_place to)
{
	if (pc->place == to)
		return;
	list_del(&pc->link);
	pc->pool->count[pc->place]--;
	pc->place = to;
	pc->pool->count[to]++;
	if (to == POOL_AVAILABLE) /* the one used last is the next one used: surplus falls idle */
		list_add_head(&pc->pool->conns[to], &pc->link);
	else
		list_add_tail(&pc->pool->conns[to], &pc->link);
}

static enum pool_place place_of(const struct cc_conn *cc)
{
	switch (cc_conn_state(cc)) {
	case CC_CONNECTING:
		return POOL_CONNECTING;
	case CC_READY:
		return cc_conn_available(cc) > 0 ? POOL_AVAILABLE : POOL_FULL;
	default:
		return POOL_DRAINING;
	}
}

/* ---- the queue --------------------------------------------------------- */

void waiter_init(struct waiter *w, void (*grant)(struct waiter *, struct pool_conn *),
	void (*fail)(struct waiter *, enum waiter_failure, int, const char *))
{
	list_init(&w->link);
	timer_init(&w->timer, NULL);
	w->pool = NULL;
	w->grant = grant;
	w->fail = fail;
}

void pool_leave(struct waiter *w)
{
	timer_stop(&w->timer);
	if (list_empty(&w->link))
		return;
	list_del(&w->link);
	w->pool->waiting--;
}

static void fail_waiter(struct waiter *w, enum waiter_failure why, int err, const char *detail)
{
	pool_leave(w);
	w->fail(w, why, err, detail);
}

static void queue_timeout(struct timer *t)
{
	struct waiter *w = container_of(t, struct waiter, timer);

	w->pool->stats.queue_timeout++;
	fail_waiter(w, WAITER_TIMEOUT, CC_ETIMEOUT, "");
}

static void enqueue(struct pool *pool, struct waiter *w, bool at_head)
{
	w->pool = pool;
	if (at_head)
		list_add_head(&pool->waiters, &w->link);
	else
		list_add_tail(&pool->waiters, &w->link);
	pool->waiting++;
	w->timer.fire = queue_timeout;
	if (pool->up->queue_timeout > 0 && !timer_running(&w->timer))
		timer_start(pool->ctx, &w->timer, pool->up->queue_timeout);
}

/* ---- choosing ---------------------------------------------------------- */

/* The one with the most room; ties go to the first, so that surplus falls idle. */
static struct pool_conn *best(const struct pool *pool)
{
	struct pool_conn *found = NULL;
	uint32_t most = 0;

	list_each (l, tmp, &pool->conns[POOL_AVAILABLE]) {
		struct pool_conn *pc = container_of(l, struct pool_conn, link);
		uint32_t room = cc_conn_available(pc->cc); /* limit - completed - in flight */

		if (room > most) {
			most = room;
			found = pc;
		}
		if (found && pool->last_proto == CC_PROTO_H1)
			break; /* they carry one each, and there may be hundreds */
	}
	return found;
}

/* A connection with one slot reserved, NULL if all are full. */
static struct pool_conn *take_slot(struct pool *pool)
{
	struct pool_conn *pc = best(pool);

	if (!pc || cc_conn_reserve(pc->cc) < 0)
		return NULL;
	pool_move(pc, place_of(pc->cc));
	return pc;
}

static void serve_run(struct turn_item *item)
{
	pool_serve(container_of(item, struct pool, serve));
}

static void pool_serve(struct pool *pool)
{
	for (int i = 0; i < GRANTS_A_ROUND && !list_empty(&pool->waiters); i++) {
		struct waiter *w = container_of(pool->waiters.next, struct waiter, link);
		struct pool_conn *pc = take_slot(pool);

		if (!pc) {
			pool_dial_wanted(pool);
			return;
		}
		pool_leave(w);
		w->grant(w, pc);
	}
	if (!list_empty(&pool->waiters)) /* the others' turn first */
		turn_add(pool->ctx, TURN_NOTIFY, &pool->serve);
}

enum pool_answer pool_ask(struct pool *pool, struct waiter *w, bool at_head, struct pool_conn **ret)
{
	if (list_empty(&pool->waiters) || at_head) {
		*ret = take_slot(pool);
		if (*ret) {
			timer_stop(&w->timer);
			return POOL_GRANTED;
		}
	}
	if (pool->waiting >= pool->up->max_queue && !at_head) {
		pool->stats.queue_full++;
		return POOL_QUEUE_FULL;
	}
	enqueue(pool, w, at_head);
	pool_dial_wanted(pool);
	return POOL_WAITS;
}

/* ---- connections ------------------------------------------------------- */

/* What one more connection will carry, as far as the last one tells. */
static uint64_t expected_each(const struct pool *pool)
{
	unsigned multiplexed = CONF_PROTO_H2 | CONF_PROTO_H2C;

	if (pool->last_proto == CC_PROTO_H1 || !(pool->up->protocols & multiplexed))
		return 1;
	return pool->last_limit > 0 ? pool->last_limit : UINT64_MAX;
}

static uint64_t add_capped(uint64_t a, uint64_t b)
{
	return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

/* A connection without SETTINGS yet counts like one that connects. */
static uint64_t expected_soon(const struct pool *pool)
{
	uint64_t each = expected_each(pool);
	uint64_t sum = 0;

	for (unsigned i = 0; i < pool->count[POOL_CONNECTING]; i++)
		sum = add_capped(sum, each);
	for (int place = POOL_AVAILABLE; place <= POOL_FULL; place++) {
		list_each (l, tmp, &pool->conns[place]) {
			const struct pool_conn *pc = container_of(l, struct pool_conn, link);

			if (!cc_conn_settled(pc->cc))
				sum = add_capped(sum, each);
		}
	}
	return sum;
}

static void pool_conn_free(struct pool_conn *pc)
{
	struct pool *pool = pc->pool;

	list_del(&pc->link);
	pool->count[pc->place]--;
	cc_conn_free(pc->cc);
	mem_free(pool->ctx, pc);
}

static void log_ready(struct pool_conn *pc)
{
	struct pool *pool = pc->pool;

	pc->ready = true;
	pool->stats.opened++;
	pool->last_proto = cc_conn_proto(pc->cc);
	log_line(pool->log, LOG_LEVEL_INFO, "connected",
		"upstream=%s conn=%" PRIu64 " protocol=%s connect_ms=%" PRIu64 " connections=%u",
		pool->up->name, cc_conn_id(pc->cc),
		pool->last_proto == CC_PROTO_H2 ? "h2" : "http/1.1",
		ctx_now(pool->ctx) - pc->opened_at, pool_connections(pool));
}

/*
 * Never carried a request: a failed dial, or a server that accepts and closes.
 * Another one is not opened for it at once: that would be a storm.
 */
static bool was_useless(const struct cc_conn *cc)
{
	return cc_conn_state(cc) == CC_CLOSED && cc_conn_requests_completed(cc) == 0;
}

/* Nothing up, nothing on its way: who waits gets the reason instead of a timeout. */
static void fail_all_waiting(struct pool *pool, int err, const char *detail)
{
	struct list failed;
	struct list *l;

	if (pool->count[POOL_CONNECTING] + pool->count[POOL_AVAILABLE] + pool->count[POOL_FULL] > 0)
		return;
	list_init(&failed);
	list_splice_tail(&failed, &pool->waiters);
	while ((l = failed.next) != &failed) /* one that asks again meanwhile is not in this list */
		fail_waiter(
			container_of(l, struct waiter, link), WAITER_CONNECT_FAILED, err, detail);
}

static void conn_closed(struct pool_conn *pc)
{
	struct pool *pool = pc->pool;
	int err = cc_conn_err(pc->cc);
	bool useless = was_useless(pc->cc);
	char detail[160];

	strncpy(detail, cc_conn_detail(pc->cc), sizeof(detail) - 1);
	detail[sizeof(detail) - 1] = '\0';
	if (pc->ready) {
		pool->stats.closed++;
		log_line(pool->log, LOG_LEVEL_INFO, "closed",
			"upstream=%s conn=%" PRIu64 " reason=\"%s\" requests=%" PRIu64
			" age_ms=%" PRIu64,
			pool->up->name, cc_conn_id(pc->cc), detail,
			cc_conn_requests_completed(pc->cc), ctx_now(pool->ctx) - pc->opened_at);
	} else {
		pool->stats.connect_failed++;
		log_line(pool->log, LOG_LEVEL_WARNING, "connect failed",
			"upstream=%s url=%s reason=\"%s\" waiting=%u", pool->up->name,
			pool->up->url, detail, pool->waiting);
	}
	pool_conn_free(pc);
	if (useless)
		fail_all_waiting(pool, err, detail);
}

static void free_if_done(struct pool *pool)
{
	if (pool->draining && pool->users == 0 && pool_connections(pool) == 0)
		turn_add(pool->ctx, TURN_REAP, &pool->reap);
}

static void state_hook(struct cc_conn *cc, void *arg)
{
	struct pool_conn *pc = arg;
	struct pool *pool = pc->pool;
	bool useless = was_useless(cc);

	if (cc_conn_state(cc) >= CC_READY && cc_conn_proto(cc) != CC_PROTO_NONE && !pc->ready)
		log_ready(pc);
	if (cc_conn_state(cc) == CC_CLOSED) {
		conn_closed(pc);
	} else {
		if (cc_conn_settled(cc) && cc_conn_proto(cc) == CC_PROTO_H2 &&
			cc_conn_state(cc) == CC_READY)
			pool->last_limit =
				cc_conn_request_limit(cc) - cc_conn_requests_completed(cc);
		pool_move(pc, place_of(cc));
	}
	if (!list_empty(&pool->waiters) && !useless)
		pool_serve(pool);
	free_if_done(pool);
}

static int dial(struct pool *pool)
{
	struct pool_conn *pc = mem_zalloc(pool->ctx, sizeof(*pc));
	int err;

	if (!pc)
		return CC_ENOMEM;
	pc->pool = pool;
	pc->place = POOL_CONNECTING;
	pc->opened_at = ctx_now(pool->ctx);
	err = cc_transport_new_client_conn(pool->transport, pool->up->https ? "https" : "http",
		pool->up->address, state_hook, pc, &pc->cc);
	if (err < 0) {
		mem_free(pool->ctx, pc);
		return err;
	}
	list_add_tail(&pool->conns[POOL_CONNECTING], &pc->link);
	pool->count[POOL_CONNECTING]++;
	return 0;
}

static void pool_dial_wanted(struct pool *pool)
{
	struct pick_demand d = {
		.waiting = pool->waiting,
		.connections = pool_connections(pool),
		.connecting = pool->count[POOL_CONNECTING],
		.expected = expected_soon(pool),
		.expected_each = expected_each(pool),
		.max_connections = pool->up->max_connections,
		.max_connecting = pool->up->max_connecting,
	};

	for (unsigned n = pick_dials(&d); n > 0; n--) {
		int err = dial(pool);

		if (err < 0) { /* memory: who waits is told by its timeout or by the next end */
			log_line(pool->log, LOG_LEVEL_ERROR, "cannot open a connection",
				"upstream=%s reason=\"%s\"", pool->up->name, cc_strerror(err));
			return;
		}
	}
}

/* ---- life -------------------------------------------------------------- */

static void pool_release(struct pool *pool)
{
	list_del(&pool->link);
	turn_cancel(&pool->serve);
	turn_cancel(&pool->reap);
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

static uint64_t or_never(uint64_t ms)
{
	return ms > 0 ? ms : CC_NEVER;
}

/*
 * What a request may hold unread. At most 1/128 of the worker's buffers, so that a connection full
 * of clients that do not read (100 streams) leaves room for one that does.
 */
static size_t window_of(const struct conf *conf, const struct conf_upstream *up)
{
	size_t window = up->h2_stream_window < up->buffer ? up->h2_stream_window : up->buffer;
	size_t share = conf->memory_limit / conf->workers / 128;

	if (share < WINDOW_MIN)
		share = WINDOW_MIN;
	return window < share ? window : share;
}

static int make_transport(struct cc_ctx *ctx, const struct conf *conf,
	const struct conf_upstream *up, struct cc_transport **ret)
{
	struct cc_transport_opts o = {
		.size = sizeof(o),
		.tls = up->ssl,
		.tls_name = up->tls.server_name,
		.no_resumption = !up->tls.resumption,
		.connect_timeout = up->connect_timeout,
		.tls_timeout = up->tls_timeout,
		.idle_timeout = or_never(up->idle_timeout),
		.max_age = up->max_lifetime,
		.max_requests = up->max_requests,
		.ping_after = or_never(up->check_after),
		.stale_after = or_never(up->check_after),
		.ping_timeout = up->ping_timeout,
		.tcp_keepalive = up->tcp_keepalive,
		.tcp_user_timeout = up->tcp_user_timeout,
		.max_concurrent = up->max_streams,
		.window = window_of(conf, up),
		.conn_window = up->h2_connection_window,
	};

	if (up->protocols & CONF_PROTO_H1)
		o.offer |= CC_OFFER_H1;
	if (up->protocols & (CONF_PROTO_H2 | CONF_PROTO_H2C))
		o.offer |= CC_OFFER_H2;
	return cc_transport_new(ctx, &o, ret);
}

int pool_new(struct cc_ctx *ctx, struct log *log, struct conf *conf, const struct conf_upstream *up,
	struct pool **ret)
{
	struct pool *pool = mem_zalloc(ctx, sizeof(*pool));
	int err;

	if (!pool)
		return CC_ENOMEM;
	err = make_transport(ctx, conf, up, &pool->transport);
	if (err < 0) {
		mem_free(ctx, pool);
		return err;
	}
	pool->ctx = ctx;
	pool->log = log;
	pool->conf = conf_ref(conf);
	pool->up = up;
	for (int i = 0; i < POOL_PLACES; i++)
		list_init(&pool->conns[i]);
	list_init(&pool->waiters);
	list_init(&pool->link);
	turn_item_init(&pool->serve, serve_run);
	turn_item_init(&pool->reap, reap_run);
	*ret = pool;
	return 0;
}

int pool_reconfigure(struct pool *pool, struct conf *conf, const struct conf_upstream *up)
{
	struct cc_transport *transport;
	int err = make_transport(pool->ctx, conf, up, &transport);

	if (err < 0)
		return err;
	cc_transport_free(pool->transport);
	pool->transport = transport;
	conf_ref(conf);
	conf_unref(pool->conf);
	pool->conf = conf;
	pool->up = up;
	turn_add(pool->ctx, TURN_NOTIFY, &pool->serve); /* the limits may have grown */
	return 0;
}

void pool_drain(struct pool *pool, struct pool *to)
{
	struct list *l;

	pool->draining = true;
	while ((l = pool->waiters.next) != &pool->waiters) {
		struct waiter *w = container_of(l, struct waiter, link);

		if (to) {
			list_del(&w->link);
			pool->waiting--;
			enqueue(to, w, false);
		} else {
			fail_waiter(w, WAITER_POOL_GONE, CC_ECLOSED, "");
		}
	}
	for (int i = 0; i < POOL_PLACES; i++)
		list_each (c, tmp, &pool->conns[i])
			cc_conn_drain(container_of(c, struct pool_conn, link)->cc);
	if (to)
		turn_add(to->ctx, TURN_NOTIFY, &to->serve);
	free_if_done(pool);
}

void pool_free(struct pool *pool)
{
	if (!pool)
		return;
	for (int i = 0; i < POOL_PLACES; i++)
		list_each (c, tmp, &pool->conns[i])
			pool_conn_free(container_of(c, struct pool_conn, link));
	pool_release(pool);
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
