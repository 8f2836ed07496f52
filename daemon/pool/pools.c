/* pools.c - makes, keeps and drains the pools of one worker when the configuration changes. */
#include <stdlib.h>
#include <string.h>

#include "daemon/base/conf.h"
#include "daemon/base/log.h"
#include "daemon/base/stats.h"
#include "daemon/pool/janitor.h"
#include "daemon/pool/pools.h"

/* FNV-1a. */
unsigned pools_home(const struct conf_upstream *up, unsigned workers)
{
	uint32_t hash = 2166136261u;

	for (const char *c = up->name; *c; c++)
		hash = (hash ^ (unsigned char)*c) * 16777619u;
	return hash % workers;
}

static bool is_home(const struct pools *p, const struct conf_upstream *up)
{
	return pools_home(up, p->workers) == p->worker;
}

static unsigned count_of(const struct pools *p)
{
	return p->conf ? p->conf->upstream_count : 0;
}

/* The connection that is idle for longest in all pools goes. false: none is idle. */
static bool relieve(void *arg)
{
	struct pools *p = arg;
	struct pool *longest = NULL;

	for (unsigned i = 0; i < count_of(p); i++) {
		struct pool *pool = p->now[i];

		if (!longest || janitor_idle_since(pool) < janitor_idle_since(longest))
			longest = pool;
	}
	if (!longest || !janitor_give_up(longest))
		return false;
	log_line(p->log, LOG_LEVEL_NOTICE, "idle connection given up",
		"upstream=%s reason=\"no descriptor is left\"", pool_conf(longest)->name);
	return true;
}

/* ---- another configuration --------------------------------------------- */

static struct pool *pool_of(struct pool **pools, unsigned n, const char *name)
{
	for (unsigned i = 0; i < n; i++)
		if (pools[i] && strcmp(pool_conf(pools[i])->name, name) == 0)
			return pools[i];
	return NULL;
}

/* NULL: none, or one whose connections are not good any more. */
static struct pool *good_pool(const struct pools *p, const struct conf_upstream *up)
{
	struct pool *pool = pool_of(p->now, count_of(p), up->name);

	return pool && conf_upstream_same_connections(pool_conf(pool), up) ? pool : NULL;
}

/* Those that are not there yet. false: no memory, and there is none of them. */
static bool make_pools(struct pools *p, struct conf *conf, struct pool **next)
{
	for (unsigned i = 0; i < conf->upstream_count; i++) {
		const struct conf_upstream *up = &conf->upstreams[i];

		if (good_pool(p, up) || pool_new(p->ctx, p->log, conf, up, &p->owner,
						is_home(p, up), &next[i]) == 0)
			continue;
		while (i-- > 0)
			pool_free(next[i]);
		return false;
	}
	return true;
}

/* The others. false: one keeps its settings. */
static bool keep_pools(const struct pools *p, struct conf *conf, struct pool **next)
{
	bool ok = true;

	for (unsigned i = 0; i < conf->upstream_count; i++) {
		if (next[i])
			continue;
		next[i] = good_pool(p, &conf->upstreams[i]);
		ok = pool_reconfigure(next[i], conf, &conf->upstreams[i]) == 0 && ok;
	}
	return ok;
}

/* Their names are others' now, who get their waiters too; or nobody's. */
static void drain_pools(struct pools *p, struct pool **next, unsigned count)
{
	for (unsigned i = 0; i < count_of(p); i++) {
		struct pool *old = p->now[i];
		struct pool *now = pool_of(next, count, pool_conf(old)->name);

		if (now == old)
			continue;
		pool_enlist(old, &p->old);
		pool_drain(old, now);
	}
}

enum pools_change pools_configure(struct pools *p, struct conf *conf)
{
	struct pool **next = calloc(conf->upstream_count, sizeof(struct pool *));
	struct conf *old = p->conf;
	bool all;

	if (!next || !make_pools(p, conf, next)) {
		free(next);
		return POOLS_KEPT;
	}
	all = keep_pools(p, conf, next);
	drain_pools(p, next, conf->upstream_count);
	free(p->now);
	p->now = next;
	p->conf = conf_ref(conf);
	conf_unref(old);
	return all ? POOLS_CHANGED : POOLS_PARTLY;
}

/* ---- numbers ----------------------------------------------------------- */

unsigned pools_at_home(const struct pools *p)
{
	unsigned n = 0;

	for (unsigned i = 0; i < count_of(p); i++)
		n += pool_is_home(p->now[i]);
	return n;
}

/* Those that live elsewhere are empty here. */
void pools_view(const struct pools *p, struct stats_view *to)
{
	for (unsigned i = 0; i < count_of(p); i++) {
		if (!pool_is_home(p->now[i]))
			continue;
		to->worker = p->worker;
		to->upstream = p->conf->upstreams[i].name;
		to->counters = *pool_stats(p->now[i]);
		pool_view(p->now[i], &to->now);
		to++;
	}
}

/* ---- beginning and end ------------------------------------------------- */

void pools_init(struct pools *p)
{
	list_init(&p->old);
	p->owner = (struct pool_owner){relieve, p};
}

void pools_clear(struct pools *p)
{
	for (unsigned i = 0; i < count_of(p); i++)
		pool_free(p->now[i]);
	pool_free_all(&p->old);
	free(p->now);
	conf_unref(p->conf);
	p->now = NULL;
	p->conf = NULL;
}
