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
#include <stddef.h>

#include "lib/base/list.h"

struct cc_buf;
struct conf;
struct conf_listener;
struct conf_upstream;
struct exchange_env;

struct front_listener {
	struct exchange_env *env;
	const struct conf_listener *conf; /* replaced at a reload */
	struct list conns;                /* struct front_conn */
	unsigned count;                   /* of conns */
	unsigned refused;                 /* of these: there is no room for them */
	bool draining;                    /* connections close after their answer */
	bool alone;                       /* every upstream's home is this worker */
	/*
	 * Is the upstream's home another worker? Then the client goes there, whole, with the bytes of
	 * the request that was begun: pass takes over fd and bytes. Not called when alone.
	 */
	bool (*elsewhere)(struct front_listener *fl, const struct conf_upstream *up);
	bool (*pass)(struct front_listener *fl, const struct conf_upstream *up, int fd,
		struct cc_buf *bytes);
	/* A client left, or one that was refused. May be where the listener is freed. */
	void (*left)(struct front_listener *fl, bool refused);
};

/* Takes over an accepted, non-blocking fd. false: no memory, fd is closed. */
bool front_accept(struct front_listener *fl, int fd);
/* The limit that leaves no room for a client. */
enum front_limit { FRONT_NO_LIMIT, FRONT_MAX_CLIENTS, FRONT_DESCRIPTORS };
/* "max_clients", as in the answer. */
const char *front_limit_name(enum front_limit limit);
/* The same for a client that is refused: its request gets 503, and it is closed. */
bool front_refuse(struct front_listener *fl, int fd, enum front_limit limit);
/* The same for a client that another worker passed, with n bytes it has sent already. */
bool front_accept_with(struct front_listener *fl, int fd, const void *bytes, size_t n);
/* Idle clients are closed now, the others after the answer they wait for. */
void front_drain(struct front_listener *fl);
/* At once, unfinished answers are cut. */
void front_close_all(struct front_listener *fl);

#endif
