/*
 * worker.h - one thread: an event_base, a cc_ctx, its pools and its clients.
 *
 * The control thread talks to a worker only through its mailbox; the worker answers through the
 * functions of struct worker_owner and configured_fn, which run in the control thread's loop.
 */
#ifndef WORKER_H
#define WORKER_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/stats.h"
#include "daemon/worker/commands.h"

struct conf;
struct listener_set;
struct log;
struct worker;

/*
 * Starts the thread; signals are blocked in it. Takes references of conf and listeners. NULL:
 * *error is a malloc'ed sentence.
 */
struct worker *worker_start(unsigned index, struct conf *conf, struct listener_set *listeners,
	struct log *log, const struct worker_owner *owner, char **error);

/* ---- all from the control thread ----------------------------------------- */

/*
 * Who the others are, the worker itself included; all accept once each of them has been told. There
 * are conf->workers of them, which no reload changes, and the array must stay as it is until all
 * have stopped. One of them is the home of each upstream: whose pool opens connections to it.
 */
void worker_introduce(struct worker *w, struct worker *const *workers);
/* Another configuration (references are taken); not before configured() of the last one. */
void worker_configure(struct worker *w, struct conf *conf, struct listener_set *listeners,
	configured_fn *configured, void *arg);
/*
 * Stops accepting, finishes what runs (at most timeout ms), then stopped() comes, though not before
 * all the others have been told, too, and have no client left: until then they may still hand
 * clients over, or ask for an upstream that has its home here.
 */
void worker_drain(struct worker *w, uint64_t timeout);
void worker_stop(struct worker *w);   /* at once */
void worker_join(struct worker *w);   /* after stopped() of all: ends the thread and frees w */
void worker_report(struct worker *w); /* reported() comes */

/* Asks for a sign of life. false: the one asked for before has not come. */
bool worker_ask(struct worker *w);

/* The numbers of a worker at one moment. */
struct worker_report {
	unsigned worker;
	struct worker_stats stats;
	struct conf *conf; /* counted: the names lie in it */
	unsigned count;
	struct stats_view pools[]; /* of those that have their home there */
};

void worker_report_free(struct worker_report *r); /* NULL is fine */

#endif
