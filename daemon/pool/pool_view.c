/* pool_view.c - what others may ask of a pool, and its numbers. Nothing is decided here. */
#include "daemon/pool/pool_int.h"
#include "daemon/pool/upstream.h"
#include "lib/base/ctx.h"

unsigned pool_connections(const struct pool *pool)
{
	unsigned n = 0;

	for (int i = 0; i < POOL_LISTS; i++)
		n += pool->count[i];
	return n;
}

unsigned pool_up(const struct pool *pool)
{
	return pool->count[POOL_AVAILABLE] + pool->count[POOL_FULL];
}

unsigned pool_standing(const struct pool *pool)
{
	return pool_up(pool) + pool->count[POOL_CONNECTING];
}

unsigned pool_floor(const struct pool *pool)
{
	return pool->home && !pool->draining ? pool->up->min_connections : 0;
}

void pool_view(const struct pool *pool, struct pool_view *ret)
{
	*ret = (struct pool_view){
		.waiting = pool_waiting(pool),
		.running = pool->users,
		.connecting = pool->count[POOL_CONNECTING],
		.available = pool->count[POOL_AVAILABLE],
		.full = pool->count[POOL_FULL],
		.draining = pool->count[POOL_DRAINING],
		.addresses = upstream_addresses(pool->upstream),
		.ejected = upstream_ejected(pool->upstream),
		.connections = pool_connections(pool),
		.up = pool_up(pool),
		.max_connections = pool->up->max_connections,
		.max_queue = pool->up->max_queue,
		.queue_timeout = pool->up->queue_timeout,
	};
}

const struct conf_upstream *pool_conf(const struct pool *pool)
{
	return pool->up;
}

struct pool_stats *pool_stats(struct pool *pool)
{
	return &pool->stats;
}

bool pool_is_home(const struct pool *pool)
{
	return pool->home;
}

bool pool_is_draining(const struct pool *pool)
{
	return pool->draining;
}

void pool_credit_request(struct pool *pool)
{
	budget_request(&pool->budget, ctx_now(pool->ctx));
}

bool pool_take_retry(struct pool *pool)
{
	struct budget_rules rules = {
		.percent = pool->up->retry_budget,
		.a_second = pool->up->retry_budget_min,
	};
	bool may = budget_take(&pool->budget, &rules, ctx_now(pool->ctx));

	pool->stats.retry_denied += !may;
	return may;
}

/* splitmix64: nothing secret hangs on it. */
uint64_t pool_random(struct pool *pool)
{
	uint64_t z = pool->chance += 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}
