/*
 * pools.h - the pools of one worker, over reloads.
 *
 *   pools ─owns─> pool (one an upstream of the configuration), old pools that still drain
 *
 * One worker is the home of an upstream, and its pool opens connections; clients go there, or the
 * worker that they cannot leave asks it. The pools of the others are never asked for a slot. They
 * stand so that a configuration for which a pool cannot be made comes into force nowhere.
 */
#ifndef POOLS_H
#define POOLS_H

#include <stdbool.h>

#include "daemon/pool/pool.h"
#include "lib/base/list.h"

struct cc_ctx;
struct conf;
struct conf_upstream;
struct log;
struct stats_view;

/* Zeroed, but for the first four. */
struct pools {
	struct cc_ctx *ctx;
	struct log *log;
	unsigned worker, workers; /* which of how many */
	struct conf *conf;        /* in force, counted; NULL: none yet */
	struct pool **now;        /* by index of the upstream in conf */
	struct list old;          /* drained, not empty yet; they free themselves */
	struct pool_owner owner;
};

/*
 * Which of so many workers. By the name alone: a reload that adds or reorders upstreams moves no
 * pool.
 */
unsigned pools_home(const struct conf_upstream *up, unsigned workers);

enum pools_change {
	POOLS_KEPT,   /* no memory: nothing has changed */
	POOLS_PARTLY, /* a pool keeps its settings for want of memory, and serves all the same */
	POOLS_CHANGED
};

void pools_init(struct pools *p);
void pools_clear(struct pools *p);
/*
 * Puts conf in force. An upstream whose connections are still good keeps its pool; else a new one
 * takes the name.
 */
enum pools_change pools_configure(struct pools *p, struct conf *conf);

/* How many have their home here; and their numbers, of as many. Names lie in p->conf. */
unsigned pools_at_home(const struct pools *p);
void pools_view(const struct pools *p, struct stats_view *to);

#endif
