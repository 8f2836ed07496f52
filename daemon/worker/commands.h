/*
 * commands.h - what the control thread tells a worker, and how all workers agree.
 *
 *   control thread ── prepare: workers, configure, drain ──> worker ── prepared ──> control thread
 *   control thread ── commit, when all of them have prepared ──> worker
 *   worker ── empty, when it drains ──> control thread ── leave, when all of them are ──> worker
 *   control thread ── stop, report, ask ──> worker ── stopped, the report, a sign of life ──> ...
 *
 * What changes where clients may be handed over to has two steps (acceptor.h). Each worker prepares
 * and says so; when none has anything left to prepare, all are told to commit. Mailboxes keep the
 * order of what they got, so whatever a worker handed over before it had prepared is delivered
 * before the commit. A worker that drains stays until all are empty, as it is the home of others'
 * requests (relay.h). Only a stop at once and the end of drain_timeout wait for nobody.
 *
 * No command is lost for want of memory: one of a kind is on its way at most, and has its place.
 */
#ifndef COMMANDS_H
#define COMMANDS_H

#include <stdbool.h>
#include <stdint.h>

struct commands;
struct conf;
struct listener_set;
struct mailbox;
struct worker_report;

/* What workers tell the control thread, in its loop. */
struct worker_owner {
	struct mailbox *mailbox; /* of the control thread */
	/* Drained, or told to stop at once: the thread has ended its loop and can be joined. */
	void (*stopped)(unsigned worker, void *arg);
	/* What a report asked for, to be freed. NULL: the worker has no memory. */
	void (*reported)(unsigned worker, struct worker_report *r, void *arg);
	void *arg;
};

/*
 * The configuration of a configure is in force. Not all of it if !complete: then memory or
 * descriptors were missing, and the worker has logged that; it serves all the same.
 */
typedef void configured_fn(bool complete, void *arg);

/* How a worker obeys, in its thread. */
struct command_ops {
	/* The commands of one of the workers that were given to commands_workers. */
	struct commands *(*of)(const void *workers, unsigned i);
	void (*workers)(const void *workers, void *arg);
	/* Takes over both references. */
	bool (*configure)(struct conf *conf, struct listener_set *listeners, void *arg);
	void (*drain)(uint64_t timeout, void *arg);
	void (*commit)(void *arg);
	void (*stop)(void *arg);
	struct worker_report *(*report)(void *arg); /* NULL: no memory */
};

/* Of worker number index of so many; mailbox is the worker's. NULL: no memory. */
struct commands *commands_new(unsigned index, unsigned workers, struct mailbox *mailbox,
	const struct worker_owner *owner, const struct command_ops *ops, void *arg);
void commands_free(struct commands *c); /* after the mailbox; NULL is fine */

/* The worker's thread: it drains, and no client is left nor can come. stop() when all are empty. */
void commands_empty(struct commands *c);
/* The worker's thread: its loop has ended. stopped() comes; what it is told now, it does not do. */
void commands_end(struct commands *c);

/* The control thread: worker.h says what they mean. */
void commands_workers(struct commands *c, const void *workers);
void commands_configure(struct commands *c, struct conf *conf, struct listener_set *listeners,
	configured_fn *configured, void *arg);
void commands_drain(struct commands *c, uint64_t timeout);
void commands_stop(struct commands *c);
void commands_report(struct commands *c);
bool commands_ask(struct commands *c);

#endif
