/*
 * timer.h - many timers of few durations.
 *
 * Timers of one duration stand in one list in the order they were started, so
 * starting and stopping cost a list operation and no heap; the context needs
 * a single libevent timeout for all of them. They follow ctx_now(), which a
 * test can set.
 */
#ifndef CC_TIMER_H
#define CC_TIMER_H

#include <stdint.h>

#include "lib/base/list.h"

struct cc_ctx;

struct timer {
	struct list link;
	uint64_t deadline; /* ms, by ctx_now() */
	void (*fire)(struct timer *t);
};

struct timer_queue {
	struct list link; /* in set->queues */
	uint64_t duration;
	struct list timers; /* earliest deadline first */
};

#define TIMER_RECENT 16 /* a power of two */

struct timer_set {
	struct list queues;                       /* struct timer_queue, one a duration */
	struct timer_queue *recent[TIMER_RECENT]; /* found last, by a hash of the duration */
	struct timer_queue shared; /* of durations for whose queue there was no memory */
	unsigned count;            /* queues */
	uint64_t armed_for;        /* ms: when the event fires, UINT64_MAX: not armed */
	struct event *event;
};

int timer_set_init(struct timer_set *set, struct cc_ctx *ctx);
void timer_set_clear(struct timer_set *set, struct cc_ctx *ctx);

void timer_init(struct timer *t, void (*fire)(struct timer *t));
/*
 * Fires once, after ms milliseconds or a little later (at most 1/16 later when
 * more than 64 different durations are in use). Starting again moves it.
 */
void timer_start(struct cc_ctx *ctx, struct timer *t, uint64_t ms);
/*
 * What is left of ms after elapsed of them (all of it if none is left), in
 * eighths of ms rounded up, so that rests share few durations.
 */
void timer_start_rest(struct cc_ctx *ctx, struct timer *t, uint64_t ms, uint64_t elapsed);
void timer_stop(struct timer *t);
bool timer_running(const struct timer *t);
/* Fires what is due by ctx_now(). The loop does it; a test that moved the clock calls it. */
void timers_run(struct cc_ctx *ctx);

#endif
