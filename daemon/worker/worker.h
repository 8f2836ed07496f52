/*
 * worker.h - one thread: an event_base, a cc_ctx, its pools and its clients.
 *
 * The control thread talks to a worker only through its mailbox; the worker
 * answers through the reply functions, which run in the control thread's loop
 * (their message goes to the control mailbox given at worker_start).
 */
#ifndef WORKER_H
#define WORKER_H

#include <stdbool.h>
#include <stdint.h>

struct conf;
struct listener_set;
struct log;
struct mailbox;
struct worker;

/* What workers tell the control thread, in its loop. */
struct worker_owner {
	struct mailbox *mailbox; /* of the control thread */
	/*
	 * The configuration of the last worker_configure is in force. Not all of it if !complete: then
	 * memory or descriptors were missing, and the worker has logged that; it serves all the same.
	 */
	void (*configured)(struct worker *w, bool complete, void *arg);
	/* Drained, or told to stop at once: the thread has ended its loop and can be joined. */
	void (*stopped)(struct worker *w, void *arg);
	void *arg;
};

/* Starts the thread; signals are blocked in it. Takes references of conf and listeners. NULL: *error is a malloc'ed sentence. */
struct worker *worker_start(unsigned index, struct conf *conf, struct listener_set *listeners,
	struct log *log, const struct worker_owner *owner, char **error);
/*
 * Who the others are, the worker itself included; all accept once each of them has been told. team
 * has conf->workers of them, which no reload changes, and must stay as it is until all have stopped.
 * One of them is the home of each upstream: the worker whose pool opens connections to it.
 */
void worker_team(struct worker *w, struct worker *const *team);
/*
 * Another configuration (references are taken); not before configured() of the last one. All from
 * the control thread.
 */
void worker_configure(struct worker *w, struct conf *conf, struct listener_set *listeners);
/*
 * Stops accepting, finishes what runs (at most timeout ms), then stopped() comes, though not before
 * all the others have been told, too: until then they may still pass clients on.
 */
void worker_drain(struct worker *w, uint64_t timeout);
void worker_stop(struct worker *w); /* at once */
void worker_join(struct worker *w); /* after stopped(): ends the thread and frees w */
/* Asks the worker to log its counters as JSON (SIGUSR1). */
void worker_dump(struct worker *w);

#endif
