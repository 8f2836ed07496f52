/*
 * mailbox.c - a locked list of messages and an eventfd that wakes the receiver's loop.
 */
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <event2/event.h>

#include "daemon/base/mailbox.h"

struct mailbox {
	pthread_mutex_t lock; /* first and last */
	struct message *first;
	struct message **last; /* where the next one is linked */
	void *arg;
	struct event *ev;
	int fd;
};

/* The whole list leaves at once, so that what is sent during delivery waits for the next turn. */
static struct message *take_all(struct mailbox *m)
{
	struct message *all;

	pthread_mutex_lock(&m->lock);
	all = m->first;
	m->first = NULL;
	m->last = &m->first;
	pthread_mutex_unlock(&m->lock);
	return all;
}

static void deliver(struct message *all, void *arg)
{
	while (all) {
		struct message *next = all->next;

		all->deliver(all, arg);
		all = next;
	}
}

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
	struct mailbox *m = arg;
	uint64_t count;
	ssize_t n;

	(void)what;
	/* The counter first: a message that comes after take_all wakes us again. */
	n = read(fd, &count, sizeof(count));
	(void)n;
	deliver(take_all(m), m->arg);
}

struct mailbox *mailbox_new(struct event_base *base, void *arg)
{
	struct mailbox *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	if (pthread_mutex_init(&m->lock, NULL) != 0) {
		free(m);
		return NULL;
	}

	m->arg = arg;
	m->last = &m->first;
	m->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (m->fd < 0)
		goto fail;
	m->ev = event_new(base, m->fd, EV_READ | EV_PERSIST, on_wake, m);
	if (!m->ev || event_add(m->ev, NULL) < 0)
		goto fail;
	return m;

fail:
	mailbox_free(m);
	return NULL;
}

void mailbox_free(struct mailbox *m)
{
	struct message *all;

	if (!m)
		return;

	while ((all = take_all(m)))
		deliver(all, m->arg);
	if (m->ev)
		event_free(m->ev);
	if (m->fd >= 0)
		close(m->fd);
	pthread_mutex_destroy(&m->lock);
	free(m);
}

/*
 * The wake-up is written under the lock: a message may make the receiver free the mailbox, and the
 * lock keeps it from doing so before the sender has let go of it.
 */
void mailbox_send(struct mailbox *m, struct message *msg)
{
	uint64_t one = 1;

	msg->next = NULL;
	pthread_mutex_lock(&m->lock);
	if (!m->first) {
		ssize_t n = write(m->fd, &one, sizeof(one));

		(void)n; /* EAGAIN: the receiver is awake already */
	}
	*m->last = msg;
	m->last = &msg->next;
	pthread_mutex_unlock(&m->lock);
}
