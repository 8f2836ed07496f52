/*
 * acceptor.h - the listening sockets as one worker sees them, and how clients come in.
 *
 *   acceptors ─owns─> acceptor (one a listener) ─has─> front_listener ─owns─> front_conn
 *
 * A client that another worker hands over must find its acceptor, whoever has heard of which
 * configuration. So what makes or closes acceptors has two steps. acceptors_configure and
 * acceptors_drain prepare: from then on a new acceptor accepts nobody, as the other workers may not
 * have it yet, and a closed one stays, as they may still hand clients over to it. acceptors_commit,
 * when all workers have prepared: the new ones accept, the closed ones go when their last client
 * has left.
 *
 * The worker's thread only, but for the number of clients, which the other workers read.
 */
#ifndef ACCEPTOR_H
#define ACCEPTOR_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "daemon/front/front.h"
#include "daemon/listen/spare_fds.h"
#include "lib/base/list.h"

struct cc_buf;
struct cc_head;
struct conf_listener;
struct event_base;
struct exchange_env;
struct listener_set;

/* What acceptors ask of the worker, and tell it. */
struct acceptor_ops {
	/* Clients of all workers together. */
	unsigned (*clients)(void *arg);
	/* Where a request to this listener is answered. */
	struct front_home (*home_of)(
		const struct conf_listener *l, const struct cc_head *head, void *arg);
	/*
	 * The client fd of that listening descriptor goes to that worker, with what it has sent.
	 * Takes over fd; false: no memory, it stays.
	 */
	bool (*hand_over)(
		int listener, unsigned worker, int fd, const struct cc_buf *bytes, void *arg);
	/* A client has left, refused ones included. */
	void (*left)(void *arg);
};

/* Zeroed, but for the first five. */
struct acceptors {
	struct event_base *base;
	struct exchange_env *env;
	const struct acceptor_ops *ops;
	void *arg;
	unsigned workers; /* that share the listeners */
	struct list all;  /* struct acceptor */
	struct spare_fds spare_fds;
	atomic_uint clients; /* that are not being refused */
	bool committed;      /* every worker has prepared what this one has */
};

void acceptors_init(struct acceptors *s);
/* Closes all clients at once; acceptors_clear, after the context has reaped them, is the end. */
void acceptors_close_clients(struct acceptors *s);
void acceptors_clear(struct acceptors *s);

/* Prepares: one for each listener of env->conf; set has their sockets. false: not all of them. */
bool acceptors_configure(struct acceptors *s, struct listener_set *set);
/* Prepares: none accepts any more, clients are closed as they fall idle. */
void acceptors_drain(struct acceptors *s);
void acceptors_commit(struct acceptors *s);
/* Committed, and nobody is left. */
bool acceptors_are_empty(const struct acceptors *s);

/* A client of that listening descriptor comes from another worker, with what it has sent. */
void acceptors_take(struct acceptors *s, int listener, int fd, const void *bytes, size_t n);

#endif
