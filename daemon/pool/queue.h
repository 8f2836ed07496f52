/*
 * queue.h - requests that wait for a connection, and in which order they get one.
 *
 *	first    retries: they had their turn, and go before everything
 *	lanes    one a user, served in turn; within a lane first come, first served
 *
 * So of U users with waiting requests, each gets every U-th slot, however many the others have.
 * Without fairness all stand in one lane. Nothing is allocated: the lane of a user lives in one of
 * its waiting items and moves to another when that one leaves. Every operation is O(1), apart from
 * the chains of the hash, which grow long with tens of thousands of users.
 */
#ifndef QUEUE_H
#define QUEUE_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/list.h"

#define QUEUE_BUCKETS 128

/* The waiting items of one user. */
struct queue_lane {
	struct list items;
	struct list turn;   /* in queue.turns */
	struct list bucket; /* in queue.buckets */
};

/* Embedded in what waits. */
struct queue_item {
	struct list link;       /* in a lane or in queue.first */
	struct list age;        /* in queue.by_age */
	struct queue_lane lane; /* its user's, if it carries it: then lane.turn is in a list */
	uint32_t uid;
	bool queued, at_head;
};

struct queue {
	struct list first;
	struct list turns; /* lanes; the next one to be served is the first */
	struct list by_age;
	struct list buckets[QUEUE_BUCKETS]; /* lanes by uid */
	unsigned count, max;
	bool fair;
};

void queue_init(struct queue *q, bool fair, unsigned max);
/* Other rules, for those that wait already too; more than max stay. */
void queue_configure(struct queue *q, bool fair, unsigned max);

void queue_item_init(struct queue_item *item);
/* false: full; who is at_head comes in nevertheless, it was in before. */
bool queue_push(struct queue *q, struct queue_item *item, uint32_t uid, bool at_head);
struct queue_item *queue_first(const struct queue *q); /* whose turn it is; NULL: nobody waits */
struct queue_item *queue_take(struct queue *q);        /* that one, out; its user's turn is over */
/* Gives up waiting, which costs its user no turn. Fine if it is in no queue. */
void queue_remove(struct queue *q, struct queue_item *item);
/* All of from to to, in the order in which they would have been served, whatever max says. */
void queue_move(struct queue *to, struct queue *from);

unsigned queue_count(const struct queue *q);
struct queue_item *queue_oldest(const struct queue *q); /* waits the longest; NULL: nobody waits */

#endif
