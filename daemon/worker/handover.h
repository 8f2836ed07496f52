/*
 * handover.h - a client goes to the worker that is the home of its upstream, whole, with the
 * descriptor and what it has sent. By the mailbox of that worker, which keeps the order: what was
 * handed over before a worker has prepared (acceptor.h) arrives before the commit.
 */
#ifndef HANDOVER_H
#define HANDOVER_H

#include <stdbool.h>

struct acceptors;
struct cc_buf;
struct mailbox;

/* Where clients of one worker arrive. Never changes while workers run. */
struct handover {
	struct mailbox *mailbox;     /* the worker's */
	struct acceptors *acceptors; /* the worker's */
};

/* The client fd of that listening descriptor goes; bytes are copied. false: no memory, it stays. */
bool handover_send(struct handover *to, int listener, int fd, const struct cc_buf *bytes);

#endif
