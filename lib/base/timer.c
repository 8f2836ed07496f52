/*
 * timer.c - timers in one list per duration.
 *
 * The event is armed for the earliest deadline at the time of arming; when
 * that timer was stopped meanwhile the event fires for nothing and is armed
 * again. That happens at most once per duration and period, and saves looking
 * for the earliest one at every start and stop.
 *
 * A timer that does not run leaves something that nobody ends, so starting one
 * does not fail: without memory for a list, durations share one that is sorted
 * at each start.
 */
#include <event2/event.h>

#include "lib/base/ctx.h"

#define EXACT_QUEUES 64
#define LONGEST      (UINT64_MAX / 2) /* ms: no sum with the time of day runs over */

static void arm(struct cc_ctx *ctx, uint64_t deadline)
{
	struct timer_set *set = &ctx->timers;
	uint64_t now = ctx_now(ctx);
	uint64_t wait = deadline > now ? deadline - now : 0;
	struct timeval tv = {(time_t)(wait / 1000), (suseconds_t)(wait % 1000 * 1000)};

	if (set->armed_for <= deadline)
		return;
	set->armed_for = deadline;
	event_add(set->event, &tv);
}

static void arm_for_earliest(struct cc_ctx *ctx)
{
	uint64_t earliest = UINT64_MAX;

	list_each (l, tmp, &ctx->timers.queues) {
		struct timer_queue *q = container_of(l, struct timer_queue, link);

		if (!list_empty(&q->timers)) {
			struct timer *t = container_of(q->timers.next, struct timer, link);

			if (t->deadline < earliest)
				earliest = t->deadline;
		}
	}
	if (earliest != UINT64_MAX)
		arm(ctx, earliest);
}

static void on_timeout(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	timers_run(arg);
}

int timer_set_init(struct timer_set *set, struct cc_ctx *ctx)
{
	list_init(&set->queues);
	list_init(&set->shared.timers);
	list_add_tail(&set->queues, &set->shared.link);
	set->shared.duration = UINT64_MAX; /* nobody asks for it */
	set->count = 0;
	set->armed_for = UINT64_MAX;
	set->event = evtimer_new(ctx->base, on_timeout, ctx);
	return set->event ? 0 : CC_ENOMEM;
}

void timer_set_clear(struct timer_set *set, struct cc_ctx *ctx)
{
	if (!set->event)
		return;
	event_free(set->event);
	set->event = NULL;
	list_each (l, tmp, &set->queues) {
		struct timer_queue *q = container_of(l, struct timer_queue, link);

		list_each (t, ttmp, &q->timers)
			list_del(t);
		list_del(&q->link);
		if (q != &set->shared)
			mem_free(ctx, q);
	}
}

void timer_init(struct timer *t, void (*fire)(struct timer *t))
{
	list_init(&t->link);
	t->deadline = 0;
	t->fire = fire;
}

/* Rounded up to five significant bits, so that odd durations share queues. */
static uint64_t round_up(uint64_t ms)
{
	uint64_t step = 1;

	while (ms / step >= 32)
		step *= 2;
	return (ms + step - 1) / step * step;
}

static struct timer_queue *find_queue(struct cc_ctx *ctx, uint64_t ms)
{
	struct timer_set *set = &ctx->timers;
	struct timer_queue *q;

	list_each (l, tmp, &set->queues) {
		q = container_of(l, struct timer_queue, link);
		if (q->duration == ms)
			return q;
	}
	if (set->count >= EXACT_QUEUES && round_up(ms) != ms)
		return find_queue(ctx, round_up(ms));

	q = mem_alloc(ctx, sizeof(*q));
	if (!q)
		return &set->shared;
	q->duration = ms;
	list_init(&q->timers);
	list_add_tail(&set->queues, &q->link);
	set->count++;
	return q;
}

/* A request starts a handful of timers, of the same few durations as the one before it. */
static struct timer_queue *queue_of(struct cc_ctx *ctx, uint64_t ms)
{
	struct timer_queue **recent =
		&ctx->timers.recent[(ms * 0x9e3779b97f4a7c15u) >> 32 & (TIMER_RECENT - 1)];

	if (!*recent || (*recent)->duration != ms)
		*recent = find_queue(ctx, ms);
	return *recent;
}

/* Behind those that are due before it. */
static void insert_sorted(struct list *timers, struct timer *t)
{
	struct list *before = timers->prev;

	while (before != timers && container_of(before, struct timer, link)->deadline > t->deadline)
		before = before->prev;
	list_add_tail(before->next, &t->link);
}

void timer_start(struct cc_ctx *ctx, struct timer *t, uint64_t ms)
{
	struct timer_queue *q;
	bool shared;

	if (ms > LONGEST)
		ms = LONGEST;
	q = queue_of(ctx, ms);
	shared = q == &ctx->timers.shared;

	list_del(&t->link);
	t->deadline = ctx_now(ctx) + (shared ? ms : q->duration);
	if (shared)
		insert_sorted(&q->timers, t);
	else
		list_add_tail(&q->timers, &t->link);
	if (t->deadline < ctx->timers.armed_for)
		arm(ctx, t->deadline);
}

void timer_start_rest(struct cc_ctx *ctx, struct timer *t, uint64_t ms, uint64_t elapsed)
{
	uint64_t step;

	if (ms > LONGEST)
		ms = LONGEST;
	step = ms / 8 ? ms / 8 : 1;
	timer_start(ctx, t, elapsed < ms ? (ms - elapsed + step - 1) / step * step : ms);
}

void timer_stop(struct timer *t)
{
	list_del(&t->link);
}

bool timer_running(const struct timer *t)
{
	return !list_empty(&t->link);
}

void timers_run(struct cc_ctx *ctx)
{
	uint64_t now = ctx_now(ctx);

	ctx->timers.armed_for = UINT64_MAX;
	list_each (l, tmp, &ctx->timers.queues) {
		struct timer_queue *q = container_of(l, struct timer_queue, link);

		/* A timer started while this runs is due later, or waits for the next run. */
		while (!list_empty(&q->timers)) {
			struct timer *t = container_of(q->timers.next, struct timer, link);

			if (t->deadline > now)
				break;
			list_del(&t->link);
			t->fire(t);
			if (q->duration == 0 || q == &ctx->timers.shared)
				break;
		}
	}
	arm_for_earliest(ctx);
}
