/*
 * front.h - local clients.
 *
 *   worker  ── front_accept ──> front_conn ── exchange_*() ──> exchange
 *   front_conn <── exchange_ops ── exchange
 *
 * A front_listener is one listener as one worker sees it: its settings and its
 * clients. A front_conn belongs to its listener and frees itself: its memory
 * goes back at the end of the turn in which it closed.
 */
#ifndef FRONT_H
#define FRONT_H

#include <stdbool.h>

#include "lib/base/list.h"

struct conf;
struct conf_listener;
struct exchange_env;

struct front_listener {
	struct exchange_env *env;
	const struct conf_listener *conf;	/* replaced at a reload */
	struct list conns;			/* struct front_conn */
	unsigned count;
	bool draining;				/* connections close after their answer */
	/* A client left. May be where the listener is freed. */
	void (*left)(struct front_listener *fl);
};

/* Takes over an accepted, non-blocking fd. false: no memory, fd is closed. */
bool front_accept(struct front_listener *fl, int fd);
/* Idle clients are closed now, the others after the answer they wait for. */
void front_drain(struct front_listener *fl);
/* At once, unfinished answers are cut. */
void front_close_all(struct front_listener *fl);

#endif
