/*
 * front.h - local clients.
 *
 *   worker  ── front_accept ──> front_conn ── struct service ──> who answers
 *   front_conn <── stream_ops ── who answers
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
struct cc_ctx;
struct cc_head;
struct conf_listener;
struct conf_upstream;
struct front_listener;
struct log;
struct service;
struct worker_stats;

/*
 * Where a request is answered. A client whose upstream has its home in another worker moves there.
 * One that cannot (its worker drains; an HTTP/2 client whose other streams run) stays, and service
 * and server take its request to the home (relay.h): limits hold for the whole daemon.
 */
struct front_home {
	const struct conf_upstream *up; /* NULL: it is for none, which the service tells */
	bool here;                      /* in this worker; else the client moves, if it can: */
	unsigned worker;
	/* Who answers a client that stays, and its first argument; NULL: the listener's service. */
	const struct service *service;
	void *server;
};

/* Whom the listener belongs to. */
struct front_owner {
	/* Asked once for each request; the answer goes to the service, too. */
	struct front_home (*home_of)(struct front_listener *fl, const struct cc_head *head);
	/*
	 * The client goes to that worker, whole, with the bytes of the request that was begun.
	 * Takes over fd and copies bytes; false: no memory, and fd stays the caller's.
	 */
	bool (*hand_over)(
		struct front_listener *fl, unsigned worker, int fd, const struct cc_buf *bytes);
	/* A client left, or one that was refused. May be where the listener is freed. */
	void (*left)(struct front_listener *fl, bool refused);
};

struct front_listener {
	const struct front_owner *owner;
	struct cc_ctx *ctx;
	struct log *log;
	struct worker_stats *stats;
	const struct service *service; /* who answers, and its first argument */
	void *server;
	const struct conf_listener *conf; /* replaced at a reload */
	struct list conns;                /* struct front_conn */
	unsigned count;                   /* of conns */
	unsigned refused;                 /* of these: there is no room for them */
	bool draining;                    /* connections close after their response */
	bool single_worker;               /* every request's home is here */
};

/* Takes over an accepted, non-blocking fd. false: no memory, fd is closed. */
bool front_accept(struct front_listener *fl, int fd);
/* The limit that leaves no room for a client. */
enum front_limit { FRONT_NO_LIMIT, FRONT_MAX_CLIENTS, FRONT_DESCRIPTORS };
/* "max_clients", as in the response. */
const char *front_limit_name(enum front_limit limit);
/* The same for a client that is refused: its request gets 503, and it is closed. */
bool front_refuse(struct front_listener *fl, int fd, enum front_limit limit);
/* The same for a client that another worker passed, with n bytes it has sent already. */
bool front_accept_with(struct front_listener *fl, int fd, const void *bytes, size_t n);
/* Idle clients are closed now, the others after the response they wait for. */
void front_drain(struct front_listener *fl);
/* At once, unfinished responses are cut. */
void front_close_all(struct front_listener *fl);

#endif
