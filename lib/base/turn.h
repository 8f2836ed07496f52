/*
 * turn.h - what runs once, at the end of a turn of the loop.
 *
 * Reads call back at once. Writing, telling the owner and freeing are queued
 * here, each item at most once a turn, and run in that order (doc/turn.md).
 * Items are embedded in their objects; turn_cancel before the object dies.
 */
#ifndef CC_TURN_H
#define CC_TURN_H

#include "lib/base/list.h"

struct cc_ctx;

enum turn_stage {
	TURN_FLUSH,  /* drivers fill links, links write */
	TURN_NOTIFY, /* owners hear what happened */
	TURN_REAP,   /* memory goes back; nobody up the stack can hold it */
	TURN_STAGES
};

struct turn_item {
	struct list link;
	void (*run)(struct turn_item *item);
};

struct turn {
	struct list stage[TURN_STAGES];
	struct event *tick;  /* no descriptor: runs after the reads of this wake-up */
	struct event *later; /* zero timeout: what three rounds left over */
	bool armed;          /* tick is active and has not run yet */
};

int turn_init(struct turn *t, struct cc_ctx *ctx);
void turn_clear(struct turn *t);

void turn_item_init(struct turn_item *item, void (*run)(struct turn_item *item));
/* Queues the item for this turn; nothing happens if it is queued already. */
void turn_add(struct cc_ctx *ctx, enum turn_stage stage, struct turn_item *item);
void turn_cancel(struct turn_item *item);
/* Makes a turn happen although nothing is queued. */
void turn_kick(struct cc_ctx *ctx);

/* For the end of a context: the reap stage alone, until it is empty. */
void turn_run_reap(struct cc_ctx *ctx);

#endif
