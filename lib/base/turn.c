/*
 * turn.c - deferred work of a context, once per turn of the loop.
 *
 *   wake-up: readable sockets, timers ──> turn_add(FLUSH | NOTIFY | REAP)
 *   tick:    round { FLUSH: out-chains are filled and written
 *                    NOTIFY: hooks, on_done, pools grant waiters }   at most ROUNDS times
 *            REAP: closed objects go back
 *
 * The tick is an event without descriptor. libevent appends an activated event
 * to its active queue, so it runs after the reads of this wake-up and before
 * the next wait. What is left after the last round waits for a zero timeout
 * instead: libevent empties its active queue before it polls, so activating
 * the tick again would starve the sockets.
 */
#include <event2/event.h>

#include "lib/base/ctx.h"

#define ROUNDS 3

static bool run_stage(struct turn *t, enum turn_stage stage)
{
	struct list now;
	struct list *l;
	bool any = false;

	list_init(&now);
	list_splice_tail(&now, &t->stage[stage]);
	while ((l = list_pop(&now))) {
		struct turn_item *item = container_of(l, struct turn_item, link);

		item->run(item);
		any = true;
	}
	return any;
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct cc_ctx *ctx = arg;
	struct turn *t = &ctx->turn;

	(void)fd, (void)what;
	for (int round = 0; round < ROUNDS; round++) {
		run_stage(t, TURN_FLUSH);
		if (!run_stage(t, TURN_NOTIFY))
			break;
	}
	run_stage(t, TURN_FLUSH); /* what the last notify stage wrote leaves now, too */
	run_stage(t, TURN_REAP);

	t->armed = false;
	ctx->now = 0;
	if (!list_empty(&t->stage[TURN_FLUSH]) || !list_empty(&t->stage[TURN_NOTIFY]) ||
		!list_empty(&t->stage[TURN_REAP])) {
		struct timeval zero = {0, 0};

		t->armed = true;
		event_add(t->later, &zero);
	}
}

int turn_init(struct turn *t, struct cc_ctx *ctx)
{
	for (int i = 0; i < TURN_STAGES; i++)
		list_init(&t->stage[i]);
	t->armed = false;
	t->tick = event_new(ctx->base, -1, 0, on_tick, ctx);
	t->later = evtimer_new(ctx->base, on_tick, ctx);
	return t->tick && t->later ? 0 : CC_ENOMEM;
}

void turn_clear(struct turn *t)
{
	if (t->tick)
		event_free(t->tick);
	if (t->later)
		event_free(t->later);
	t->tick = t->later = NULL;
}

void turn_item_init(struct turn_item *item, void (*run)(struct turn_item *item))
{
	list_init(&item->link);
	item->run = run;
}

void turn_add(struct cc_ctx *ctx, enum turn_stage stage, struct turn_item *item)
{
	if (!list_empty(&item->link))
		return;
	list_add_tail(&ctx->turn.stage[stage], &item->link);
	turn_kick(ctx);
}

void turn_cancel(struct turn_item *item)
{
	list_del(&item->link);
}

void turn_kick(struct cc_ctx *ctx)
{
	if (ctx->turn.armed)
		return;
	ctx->turn.armed = true;
	event_active(ctx->turn.tick, 0, 0);
}

void turn_run_reap(struct cc_ctx *ctx)
{
	while (run_stage(&ctx->turn, TURN_REAP))
		;
}
