/*
 * relay.h - requests of clients that cannot move, answered in the worker that is their upstream's
 * home.
 *
 *   front ── relay_service ──> call ══ mailbox of the home ════════> service of the home
 *   front <──── stream_ops ─── call <════ mailbox of the client's ══ service of the home
 *
 * The client stays: its listener closes, or its other requests run. The request goes as it came, so
 * the home decides all of it (route by name, queue, limits, retries, timeouts, counters, access
 * line) and says to the client what it would say to one of its own. Nothing is dialled or counted
 * twice, and no descriptor is needed.
 *
 * Memory of one worker never meets the other: heads and bodies are copied into messages. What is on
 * its way is bounded: the request's body by a window here, the response's by that of the home's
 * service, which hears what the client has got.
 */
#ifndef RELAY_H
#define RELAY_H

#include <stdbool.h>

#include "lib/base/list.h"

struct cc_ctx;
struct conf_upstream;
struct mailbox;
struct service;

/* One worker, as a home and as where clients are. */
struct relay {
	struct mailbox *mailbox;
	struct cc_ctx *ctx;
	const struct service *service; /* who answers here, and its first argument */
	void *server;
	/* Of the configuration that is in force here; NULL: it has none of this name. */
	const struct conf_upstream *(*find)(const char *name, void *arg);
	void *arg;
	struct list calls; /* that others relayed and that run here */
	bool over;
};

/* The server of relay_service. Both outlive their calls. */
struct relay_way {
	struct relay *from, *to;
};

extern const struct service relay_service;

/* The worker's loop has ended: what others relayed to it is cut, what comes now is dropped. */
void relay_end(struct relay *r);

#endif
