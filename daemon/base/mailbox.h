/*
 * mailbox.h - messages to a worker from another thread.
 *
 * Messages are embedded in structs of the sender, which belong to the receiver
 * from mailbox_send on. Delivered in order, in the receiver's loop.
 */
#ifndef MAILBOX_H
#define MAILBOX_H

struct event_base;
struct mailbox;

struct message {
	struct message *next;
	void (*deliver)(struct message *m, void *arg); /* in the receiver's thread; owns m */
};

struct mailbox *mailbox_new(
	struct event_base *base, void *arg);               /* NULL: no memory or descriptors */
void mailbox_free(struct mailbox *m);                      /* delivers what is left first */
void mailbox_send(struct mailbox *m, struct message *msg); /* any thread */

#endif
