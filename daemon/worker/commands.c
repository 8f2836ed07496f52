/* commands.c - messages to a worker and back; when all workers have prepared, they commit. */
#include <stdlib.h>

#include "daemon/base/conf.h"
#include "daemon/base/mailbox.h"
#include "daemon/listen/listener.h"
#include "daemon/worker/commands.h"

enum command_kind {
	COMMAND_WORKERS,
	COMMAND_CONFIGURE,
	COMMAND_DRAIN,
	COMMAND_COMMIT,
	COMMAND_STOP,
	COMMAND_REPORT,
	COMMAND_ASK,
	COMMAND_EMPTY,
	COMMAND_LEAVE,
	COMMANDS
};

/* One on its way, or its answer. */
struct command {
	struct message m;
	struct commands *c;
	void (*obey)(struct commands *c);
};

struct commands {
	struct command slots[COMMANDS];
	struct command ended; /* the last answer */
	unsigned index, count;
	struct mailbox *mailbox;
	struct worker_owner owner;
	const struct command_ops *ops;
	void *arg;

	/* The control thread's; the worker reads a command's when it has come. */
	const void *workers;
	struct conf *conf;
	struct listener_set *listeners;
	configured_fn *configured;
	void *configured_arg;
	uint64_t timeout;
	unsigned told; /* to prepare */
	unsigned done; /* of those: prepared */
	bool empty;    /* has said so */
	enum { REPORT_NONE, REPORT_ASKED, REPORT_AGAIN } reporting;
	bool asked; /* and no answer has come */

	/* The worker's. */
	bool complete; /* the answer to COMMAND_CONFIGURE */
	bool said_empty;
	bool over;
	struct worker_report *report; /* the answer to COMMAND_REPORT */
};

/* ---- the control thread: commands, and what all have answered ------------- */

/* In the worker's thread; when it is over, in that of who frees the mailbox. */
static void arrive(struct message *m, void *arg)
{
	struct command *k = (struct command *)m;
	struct commands *c = k->c;

	(void)arg;
	if (!c->over) {
		k->obey(c);
	} else if (k == &c->slots[COMMAND_CONFIGURE]) {
		conf_unref(c->conf);
		listener_set_unref(c->listeners);
	}
}

static void send(struct commands *c, enum command_kind kind, void (*obey)(struct commands *c))
{
	struct command *k = &c->slots[kind];

	k->m.deliver = arrive;
	k->c = c;
	k->obey = obey;
	mailbox_send(c->mailbox, &k->m);
}

static void obey_commit(struct commands *c)
{
	c->ops->commit(c->arg);
}

/* All are told to prepare alike, so those who have prepared as often have prepared the same. */
static bool all_are_prepared(const struct commands *c, const struct commands *first)
{
	for (unsigned i = 0; i < c->count; i++) {
		const struct commands *each = c->ops->of(c->workers, i);

		if (each->told != first->told || each->done != first->told)
			return false;
	}
	return true;
}

static void obey_stop(struct commands *c)
{
	c->ops->stop(c->arg);
}

static void count_prepared(struct commands *c)
{
	c->done++;
	if (all_are_prepared(c, c->ops->of(c->workers, 0)))
		for (unsigned i = 0; i < c->count; i++)
			send(c->ops->of(c->workers, i), COMMAND_COMMIT, obey_commit);
}

static void deliver_prepared(struct message *m, void *arg)
{
	(void)arg;
	count_prepared(((struct command *)m)->c);
}

static void deliver_configured(struct message *m, void *arg)
{
	struct commands *c = ((struct command *)m)->c;

	(void)arg;
	count_prepared(c);
	c->configured(c->complete, c->configured_arg);
}

static void deliver_stopped(struct message *m, void *arg)
{
	struct commands *c = ((struct command *)m)->c;

	(void)arg;
	c->owner.stopped(c->index, c->owner.arg);
}

static bool all_are_empty(const struct commands *c)
{
	for (unsigned i = 0; i < c->count; i++)
		if (!c->ops->of(c->workers, i)->empty)
			return false;
	return true;
}

static void deliver_empty(struct message *m, void *arg)
{
	struct commands *c = ((struct command *)m)->c;

	(void)arg;
	c->empty = true;
	if (all_are_empty(c))
		for (unsigned i = 0; i < c->count; i++)
			send(c->ops->of(c->workers, i), COMMAND_LEAVE, obey_stop);
}

static void deliver_reported(struct message *m, void *arg)
{
	struct commands *c = ((struct command *)m)->c;
	struct worker_report *r = c->report;
	bool again = c->reporting == REPORT_AGAIN;

	(void)arg;
	c->report = NULL;
	c->reporting = REPORT_NONE;
	c->owner.reported(c->index, r, c->owner.arg);
	if (again)
		commands_report(c);
}

static void deliver_sign(struct message *m, void *arg)
{
	(void)arg;
	((struct command *)m)->c->asked = false;
}

/* ---- the worker: obeys and answers ---------------------------------------- */

static void answer(
	struct commands *c, struct command *k, void (*deliver)(struct message *m, void *arg))
{
	k->m.deliver = deliver;
	mailbox_send(c->owner.mailbox, &k->m);
}

static void obey_workers(struct commands *c)
{
	c->ops->workers(c->workers, c->arg);
	answer(c, &c->slots[COMMAND_WORKERS], deliver_prepared);
}

static void obey_configure(struct commands *c)
{
	c->complete = c->ops->configure(c->conf, c->listeners, c->arg);
	answer(c, &c->slots[COMMAND_CONFIGURE], deliver_configured);
}

static void obey_drain(struct commands *c)
{
	c->ops->drain(c->timeout, c->arg);
	answer(c, &c->slots[COMMAND_DRAIN], deliver_prepared);
}

static void obey_report(struct commands *c)
{
	c->report = c->ops->report(c->arg);
	answer(c, &c->slots[COMMAND_REPORT], deliver_reported);
}

static void obey_ask(struct commands *c)
{
	answer(c, &c->slots[COMMAND_ASK], deliver_sign);
}

void commands_empty(struct commands *c)
{
	if (c->said_empty || c->over)
		return;
	c->said_empty = true;
	c->slots[COMMAND_EMPTY].c = c;
	answer(c, &c->slots[COMMAND_EMPTY], deliver_empty);
}

void commands_end(struct commands *c)
{
	c->over = true;
	c->ended.c = c;
	answer(c, &c->ended, deliver_stopped);
}

/* ---- the control thread: what it calls ------------------------------------ */

void commands_workers(struct commands *c, const void *workers)
{
	c->workers = workers;
	c->told++;
	send(c, COMMAND_WORKERS, obey_workers);
}

void commands_configure(struct commands *c, struct conf *conf, struct listener_set *listeners,
	configured_fn *configured, void *arg)
{
	c->conf = conf_ref(conf);
	c->listeners = listener_set_ref(listeners);
	c->configured = configured;
	c->configured_arg = arg;
	c->told++;
	send(c, COMMAND_CONFIGURE, obey_configure);
}

void commands_drain(struct commands *c, uint64_t timeout)
{
	c->timeout = timeout;
	c->told++;
	send(c, COMMAND_DRAIN, obey_drain);
}

void commands_stop(struct commands *c)
{
	send(c, COMMAND_STOP, obey_stop);
}

/* While one is on its way, its numbers may be old: one more for all who ask meanwhile. */
void commands_report(struct commands *c)
{
	if (c->reporting != REPORT_NONE) {
		c->reporting = REPORT_AGAIN;
		return;
	}
	c->reporting = REPORT_ASKED;
	send(c, COMMAND_REPORT, obey_report);
}

bool commands_ask(struct commands *c)
{
	if (c->asked)
		return false;
	c->asked = true;
	send(c, COMMAND_ASK, obey_ask);
	return true;
}

struct commands *commands_new(unsigned index, unsigned workers, struct mailbox *mailbox,
	const struct worker_owner *owner, const struct command_ops *ops, void *arg)
{
	struct commands *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->index = index;
	c->count = workers;
	c->mailbox = mailbox;
	c->owner = *owner;
	c->ops = ops;
	c->arg = arg;
	return c;
}

void commands_free(struct commands *c)
{
	free(c);
}
