/* acceptor.c - accepts clients, pauses, refuses; one worker's listening sockets over reloads. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/event.h>

#include "daemon/base/conf.h"
#include "daemon/base/log.h"
#include "daemon/exchange/exchange.h"
#include "daemon/front/front.h"
#include "daemon/listen/acceptor.h"
#include "daemon/listen/listener.h"
#include "lib/base/ctx.h"

#define ACCEPTS_A_TURN 32
#define ACCEPT_PAUSE   100  /* ms until accepting is tried again */
#define FULL_PATIENCE  1000 /* ms that all places are taken until who comes is refused */

/* One listener. Lives until its last client left. */
struct acceptor {
	struct list link; /* in set->all */
	struct acceptors *set;
	struct conf *conf;              /* counted: front.conf lies in it */
	struct listener_set *listeners; /* counted: fd lies in it */
	const struct listener *listener;
	struct front_listener front;
	struct event *accept; /* NULL: closed for new clients */
	struct timer again;   /* accepting is paused until then */
	uint64_t full_since;  /* ms: somebody has waited for a place since then, 0: nobody does */
};

/* ---- room ---------------------------------------------------------------- */

/* daemon.max_clients is for all workers together; a listener's is shared out evenly. */
static bool has_room(const struct acceptor *a)
{
	const struct acceptors *s = a->set;
	unsigned own = (a->front.conf->max_clients + s->workers - 1) / s->workers;

	return s->ops->clients(s->arg) < s->env->conf->max_clients &&
	       (own == 0 || a->front.count - a->front.refused < own);
}

static bool is_full_for_long(const struct acceptor *a)
{
	return a->full_since > 0 && ctx_now(a->set->env->ctx) - a->full_since >= FULL_PATIENCE;
}

static bool somebody_waits(const struct acceptor *a)
{
	struct pollfd queue = {.fd = a->listener->fd, .events = POLLIN};

	return poll(&queue, 1, 0) == 1;
}

/* Goes on accepting if who comes can be served or refused; or to hear of it, if nobody is there. */
static void wake(struct acceptor *a)
{
	if (!a->accept || !a->set->committed || event_pending(a->accept, EV_READ, NULL))
		return;
	if (!has_room(a)) {
		if (!somebody_waits(a))
			a->full_since = 0;
		else if (!is_full_for_long(a))
			return;
	}
	timer_stop(&a->again);
	event_add(a->accept, NULL);
}

static void accept_again(struct timer *t)
{
	struct acceptor *a = container_of(t, struct acceptor, again);

	wake(a);
	if (a->accept && !event_pending(a->accept, EV_READ, NULL))
		timer_start(a->set->env->ctx, &a->again, ACCEPT_PAUSE);
}

/* The queue of the kernel holds the clients meanwhile. */
static void pause_accept(struct acceptor *a, const char *why)
{
	event_del(a->accept);
	timer_start(a->set->env->ctx, &a->again, ACCEPT_PAUSE);
	log_line(a->set->env->log, LOG_LEVEL_WARNING, "accepting paused",
		"listener=%s reason=\"%s\" clients=%u", a->front.conf->name, why, a->set->clients);
}

/* ---- accepting ------------------------------------------------------------- */

/* The next of those who wait in the kernel; -1 and errno. */
static int accept_fd(const struct acceptor *a)
{
	int fd;

	do
		fd = accept4(a->listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	while (fd < 0 && (errno == EINTR || errno == ECONNABORTED));
	return fd;
}

/* A client that there is no room for hears why. As all below: true: more may wait in the kernel. */
static bool refuse_one(struct acceptor *a, enum front_limit limit)
{
	struct spare_fds *spare = &a->set->spare_fds;
	int client;

	if (!spare_fds_take(spare)) { /* as many as can be are being refused */
		pause_accept(a, front_limit_name(limit));
		return false;
	}
	client = accept_fd(a);
	if (client >= 0 && front_refuse(&a->front, client, limit))
		return true;
	if (client < 0 && errno == EAGAIN)
		a->full_since = 0;
	else
		pause_accept(a, client < 0 ? strerror(errno) : "out of memory");
	spare_fds_give_back(spare);
	return false;
}

static bool accept_one(struct acceptor *a)
{
	int client = accept_fd(a);

	if (client < 0 && (errno == EMFILE || errno == ENFILE))
		return refuse_one(a, FRONT_DESCRIPTORS);
	if (client < 0) {
		if (errno == EAGAIN)
			a->full_since = 0;
		else
			pause_accept(a, strerror(errno));
		return false;
	}
	if (!front_accept(&a->front, client)) {
		pause_accept(a, "out of memory");
		return false;
	}
	a->full_since = 0;
	a->set->clients++;
	return true;
}

/* Who comes when all places are taken waits a moment for one, in the kernel's queue. */
static bool no_room(struct acceptor *a)
{
	if (!somebody_waits(a)) {
		a->full_since = 0;
		return false;
	}
	if (a->full_since == 0)
		a->full_since = ctx_now(a->set->env->ctx);
	if (is_full_for_long(a))
		return refuse_one(a, FRONT_MAX_CLIENTS);
	pause_accept(a, front_limit_name(FRONT_MAX_CLIENTS));
	return false;
}

static bool accept_some(struct acceptor *a, bool beyond_limits)
{
	for (int i = 0; i < ACCEPTS_A_TURN; i++)
		if (!(beyond_limits || has_room(a) ? accept_one(a) : no_room(a)))
			return false;
	return true;
}

/* Who waits in the kernel of a socket that closes belongs to us already: none is lost. */
static void accept_all(struct acceptor *a)
{
	if (!a->accept || a->listener->inherited)
		return;
	while (accept_some(a, true))
		continue;
}

static void on_acceptable(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	accept_some(arg, false);
}

/* ---- the life of one --------------------------------------------------------- */

static void acceptor_free(struct acceptor *a)
{
	list_del(&a->link);
	timer_stop(&a->again);
	if (a->accept)
		event_free(a->accept);
	listener_set_unref(a->listeners);
	conf_unref(a->conf);
	free(a);
}

static void acceptor_free_if_over(struct acceptor *a)
{
	if (!a->accept && a->front.count == 0 && a->set->committed)
		acceptor_free(a);
}

/* It may have been a place of the daemon, of the listener, or one to refuse from: all look. */
static void client_left(struct front_listener *fl, bool refused)
{
	struct acceptor *a = container_of(fl, struct acceptor, front);
	struct acceptors *s = a->set;

	if (refused)
		spare_fds_give_back(&s->spare_fds);
	else
		s->clients--;
	acceptor_free_if_over(a);
	list_each (e, tmp, &s->all)
		wake(container_of(e, struct acceptor, link));
	s->ops->left(s->arg);
}

static struct front_home home_of(struct front_listener *fl, const struct cc_head *head)
{
	const struct acceptors *s = container_of(fl, struct acceptor, front)->set;

	return s->ops->home_of(fl->conf, head, s->arg);
}

static bool hand_over(
	struct front_listener *fl, unsigned worker, int fd, const struct cc_buf *bytes)
{
	const struct acceptor *a = container_of(fl, struct acceptor, front);

	return a->set->ops->hand_over(a->listener->fd, worker, fd, bytes, a->set->arg);
}

static const struct front_owner front_owner = {
	.home_of = home_of,
	.hand_over = hand_over,
	.left = client_left,
};

static struct acceptor *acceptor_new(struct acceptors *s, struct listener_set *set, unsigned i)
{
	struct acceptor *a = calloc(1, sizeof(*a));

	if (!a)
		return NULL;
	a->set = s;
	a->conf = conf_ref(s->env->conf);
	a->listeners = listener_set_ref(set);
	a->listener = listener_set_get(set, i);
	a->front.owner = &front_owner;
	a->front.ctx = s->env->ctx;
	a->front.log = s->env->log;
	a->front.stats = &s->env->stats;
	a->front.service = &exchange_service;
	a->front.server = s->env;
	a->front.conf = &a->conf->listeners[i];
	a->front.single_worker = s->workers == 1;
	list_init(&a->front.conns);
	list_init(&a->link);
	timer_init(&a->again, accept_again);
	a->accept = event_new(s->base, a->listener->fd, EV_READ | EV_PERSIST, on_acceptable, a);
	if (!a->accept) {
		acceptor_free(a);
		return NULL;
	}
	list_add_tail(&s->all, &a->link);
	return a;
}

/* The same socket with other settings; its clients stay. */
static void acceptor_update(struct acceptor *a, struct listener_set *set, unsigned i)
{
	struct conf *old_conf = a->conf;
	struct listener_set *old_set = a->listeners;

	a->conf = conf_ref(a->set->env->conf);
	a->front.conf = &a->conf->listeners[i];
	a->listeners = listener_set_ref(set);
	a->listener = listener_set_get(set, i);
	conf_unref(old_conf);
	listener_set_unref(old_set);
	wake(a);
}

static void acceptor_close(struct acceptor *a)
{
	accept_all(a);
	if (a->accept)
		event_free(a->accept);
	a->accept = NULL;
	timer_stop(&a->again);
	front_drain(&a->front);
}

/* ---- all of a worker --------------------------------------------------------- */

static struct acceptor *open_on(struct acceptors *s, const struct listener *l)
{
	list_each (e, tmp, &s->all) {
		struct acceptor *a = container_of(e, struct acceptor, link);

		if (a->accept && a->listener->fd == l->fd)
			return a;
	}
	return NULL;
}

bool acceptors_configure(struct acceptors *s, struct listener_set *set)
{
	struct list keep;
	bool ok = true;

	s->committed = false;
	list_init(&keep);
	for (unsigned i = 0; i < s->env->conf->listener_count; i++) {
		struct acceptor *a = open_on(s, listener_set_get(set, i));

		if (a)
			acceptor_update(a, set, i);
		else
			a = acceptor_new(s, set, i);
		if (a) {
			list_del(&a->link);
			list_add_tail(&keep, &a->link);
		} else {
			ok = false;
		}
	}
	list_each (e, tmp, &s->all) { /* not in the configuration any more */
		struct acceptor *a = container_of(e, struct acceptor, link);

		if (a->accept)
			acceptor_close(a);
	}
	list_splice_tail(&s->all, &keep);
	return ok;
}

void acceptors_drain(struct acceptors *s)
{
	s->committed = false;
	list_each (e, tmp, &s->all)
		acceptor_close(container_of(e, struct acceptor, link));
}

void acceptors_commit(struct acceptors *s)
{
	s->committed = true;
	list_each (e, tmp, &s->all) {
		struct acceptor *a = container_of(e, struct acceptor, link);

		accept_again(&a->again);
		acceptor_free_if_over(a);
	}
}

bool acceptors_are_empty(const struct acceptors *s)
{
	return s->committed && s->clients == 0 && s->spare_fds.lent == 0;
}

void acceptors_take(struct acceptors *s, int listener, int fd, const void *bytes, size_t n)
{
	list_each (e, tmp, &s->all) {
		struct acceptor *a = container_of(e, struct acceptor, link);

		if (a->listener->fd != listener)
			continue;
		if (front_accept_with(&a->front, fd, bytes, n))
			s->clients++;
		return;
	}
	/* There was no memory for the acceptor, or this is the end and not everybody's. */
	close(fd);
}

void acceptors_init(struct acceptors *s)
{
	list_init(&s->all);
	spare_fds_init(&s->spare_fds);
}

void acceptors_close_clients(struct acceptors *s)
{
	list_each (e, tmp, &s->all)
		front_close_all(&container_of(e, struct acceptor, link)->front);
}

void acceptors_clear(struct acceptors *s)
{
	list_each (e, tmp, &s->all)
		acceptor_free(container_of(e, struct acceptor, link));
	spare_fds_clear(&s->spare_fds);
}
