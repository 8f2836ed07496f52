/*
 * worker.c - one thread: loop, context, pools, clients.
 *
 *   control thread ── mailbox: team, configure, drain, settle, stop, dump ──> worker
 *   worker ── owner's mailbox: done, stopped ──> control thread
 *
 *   worker ── mailbox: a client whose upstream lives there ──> worker
 *
 * Everything below belongs to the worker's thread from worker_start on, but
 * for the mailboxes and the number of clients, which the others read, and what
 * is marked as the control thread's.
 *
 * A client that is passed on must find its port, whatever order has reached whom. So each order
 * that makes or closes ports has two steps. First each worker obeys it and says done; meanwhile a
 * new port accepts nobody, as the others may not have it yet; a closed port stays, and a worker
 * that drains runs on, as the others may still pass clients there. When nobody has an order left
 * to obey, all are told to settle: ports begin to accept, or are freed, and who has drained ends.
 * Mailboxes keep the order of what they got, so whatever a worker passed on before it was done is
 * delivered before settle. Only a stop at once and the end of drain_timeout wait for nobody.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/event.h>

#include "daemon/base/conf.h"
#include "daemon/base/log.h"
#include "daemon/base/mailbox.h"
#include "daemon/base/stats.h"
#include "daemon/exchange/exchange.h"
#include "daemon/exchange/route.h"
#include "daemon/front/front.h"
#include "daemon/front/listener.h"
#include "daemon/front/reserve.h"
#include "daemon/pool/janitor.h"
#include "daemon/pool/pool.h"
#include "daemon/pool/upstream.h"
#include "daemon/worker.h"
#include "lib/base/ctx.h"

#define ACCEPTS_A_TURN 32
#define ACCEPT_PAUSE   100  /* ms until accepting is tried again */
#define FULL_PATIENCE  1000 /* ms that all places are taken until who comes is refused */

/* One listener as this worker sees it. Lives until its last client left. */
struct port {
	struct list link; /* in worker->ports */
	struct worker *worker;
	struct conf *conf;              /* counted: front.conf lies in it */
	struct listener_set *listeners; /* counted: fd lies in it */
	const struct listener *listener;
	struct front_listener front;
	struct event *accept; /* NULL: closed for new clients */
	struct timer again;   /* accepting rests until then */
	uint64_t full_since;  /* ms: somebody has waited for a place since then, 0: nobody does */
};

enum order_kind {
	ORDER_TEAM,
	ORDER_CONFIGURE,
	ORDER_DRAIN,
	ORDER_SETTLE,
	ORDER_STOP,
	ORDER_DUMP,
	ORDERS
};

/*
 * What the control thread sends; some come back as the answer. Each kind has its place in the
 * worker, as one of a kind is on its way at most: none can be lost for want of memory.
 */
struct order {
	struct message m;
	struct worker *worker;
	struct conf *conf;
	struct listener_set *listeners;
	bool obeyed; /* the answer to ORDER_CONFIGURE */
	uint64_t timeout;
	struct worker *const *team;
};

struct worker {
	unsigned index;
	pthread_t thread;
	struct worker_owner owner;
	struct event_base *base;
	struct mailbox *mailbox;
	struct exchange_env env;
	struct listener_set *listeners;
	struct list ports;
	struct worker *const *team; /* NULL until worker_team */
	unsigned team_count;        /* never changes */
	bool settled;               /* every worker has obeyed the orders that this one has */
	unsigned told;              /* the control thread's: orders that everybody gets */
	unsigned done;              /* the control thread's: those of them that it has obeyed */
	atomic_uint clients;
	struct reserve reserve;
	struct list old_pools; /* drained, not empty yet */
	struct pool_owner pool_owner;
	bool draining;
	struct timer drain_timer;
	struct order orders[ORDERS];
	struct order ended;   /* the last answer */
	atomic_bool dump_due; /* ORDER_DUMP is on its way */
};

/* A client on its way to the home of its upstream. */
struct parcel {
	struct message m;
	int fd;
	int listener; /* its descriptor, which names the port in every worker */
	size_t n;
	char bytes[]; /* what it has sent already */
};

/* Of the team. By the name alone (FNV-1a): a reload that adds or reorders upstreams moves no pool. */
static unsigned home_of(const struct worker *w, const struct conf_upstream *up)
{
	uint32_t hash = 2166136261u;

	for (const char *c = up->name; *c; c++)
		hash = (hash ^ (unsigned char)*c) * 16777619u;
	return hash % w->team_count;
}

/* ---- accepting --------------------------------------------------------- */

/* daemon.max_clients is for all workers together; a listener's is shared out evenly. */
static bool has_room(const struct port *p)
{
	const struct worker *w = p->worker;
	unsigned own = (p->front.conf->max_clients + w->team_count - 1) / w->team_count;
	unsigned all = 0;

	for (unsigned i = 0; i < w->team_count; i++)
		all += atomic_load_explicit(&w->team[i]->clients, memory_order_relaxed);
	return all < w->env.conf->max_clients &&
	       (own == 0 || p->front.count - p->front.refused < own);
}

static bool is_full_for_long(const struct port *p)
{
	return p->full_since > 0 && ctx_now(p->worker->env.ctx) - p->full_since >= FULL_PATIENCE;
}

static bool somebody_waits(const struct port *p)
{
	struct pollfd queue = {.fd = p->listener->fd, .events = POLLIN};

	return poll(&queue, 1, 0) == 1;
}

/* Goes on accepting if who comes can be served or refused; or to hear of it, if nobody is there. */
static void port_wake(struct port *p)
{
	if (!p->accept || !p->worker->settled || event_pending(p->accept, EV_READ, NULL))
		return;
	if (!has_room(p)) {
		if (!somebody_waits(p))
			p->full_since = 0;
		else if (!is_full_for_long(p))
			return;
	}
	timer_stop(&p->again);
	event_add(p->accept, NULL);
}

static void port_free(struct port *p)
{
	list_del(&p->link);
	timer_stop(&p->again);
	if (p->accept)
		event_free(p->accept);
	listener_set_unref(p->listeners);
	conf_unref(p->conf);
	free(p);
}

static void port_close(struct port *p)
{
	if (!p->accept)
		return;
	event_free(p->accept);
	p->accept = NULL;
	timer_stop(&p->again);
}

static void port_free_if_over(struct port *p)
{
	if (!p->accept && p->front.count == 0 && p->worker->settled)
		port_free(p);
}

static void stop_if_empty(struct worker *w)
{
	if (w->draining && w->settled && w->clients == 0 && w->reserve.lent == 0)
		event_base_loopexit(w->base, NULL);
}

/* It may have been a place of the daemon, of the listener, or one to refuse from: all look again. */
static void client_left(struct front_listener *fl, bool refused)
{
	struct port *p = container_of(fl, struct port, front);
	struct worker *w = p->worker;

	if (refused)
		reserve_give_back(&w->reserve);
	else
		w->clients--;
	port_free_if_over(p);
	list_each (e, tmp, &w->ports)
		port_wake(container_of(e, struct port, link));
	stop_if_empty(w);
}

static void accept_again(struct timer *t)
{
	struct port *p = container_of(t, struct port, again);

	port_wake(p);
	if (p->accept && !event_pending(p->accept, EV_READ, NULL))
		timer_start(p->worker->env.ctx, &p->again, ACCEPT_PAUSE);
}

/* The queue of the kernel holds the clients meanwhile. */
static void rest_accepting(struct port *p, const char *why)
{
	event_del(p->accept);
	timer_start(p->worker->env.ctx, &p->again, ACCEPT_PAUSE);
	log_line(p->worker->env.log, LOG_LEVEL_WARNING, "accepting rests",
		"listener=%s reason=\"%s\" clients=%u", p->front.conf->name, why,
		p->worker->clients);
}

/* The next of those who wait in the kernel; -1 and errno. */
static int accept_fd(const struct port *p)
{
	int fd;

	do
		fd = accept4(p->listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	while (fd < 0 && (errno == EINTR || errno == ECONNABORTED));
	return fd;
}

/* A client that there is no room for hears why. As all below: true: more may wait in the kernel. */
static bool refuse_one(struct port *p, enum front_limit limit)
{
	struct worker *w = p->worker;
	int client;

	if (!reserve_take(&w->reserve)) { /* as many as can be are being refused */
		rest_accepting(p, front_limit_name(limit));
		return false;
	}
	client = accept_fd(p);
	if (client >= 0 && front_refuse(&p->front, client, limit))
		return true;
	if (client < 0 && errno == EAGAIN)
		p->full_since = 0;
	else
		rest_accepting(p, client < 0 ? strerror(errno) : "out of memory");
	reserve_give_back(&w->reserve);
	return false;
}

static bool accept_one(struct port *p)
{
	int client = accept_fd(p);

	if (client < 0 && (errno == EMFILE || errno == ENFILE))
		return refuse_one(p, FRONT_DESCRIPTORS);
	if (client < 0) {
		if (errno == EAGAIN)
			p->full_since = 0;
		else
			rest_accepting(p, strerror(errno));
		return false;
	}
	if (!front_accept(&p->front, client)) {
		rest_accepting(p, "out of memory");
		return false;
	}
	p->full_since = 0;
	p->worker->clients++;
	return true;
}

/* Who comes when all places are taken waits a moment for one, in the kernel's queue. */
static bool no_room(struct port *p)
{
	if (!somebody_waits(p)) {
		p->full_since = 0;
		return false;
	}
	if (p->full_since == 0)
		p->full_since = ctx_now(p->worker->env.ctx);
	if (is_full_for_long(p))
		return refuse_one(p, FRONT_MAX_CLIENTS);
	rest_accepting(p, front_limit_name(FRONT_MAX_CLIENTS));
	return false;
}

static bool accept_some(struct port *p, bool beyond_limits)
{
	for (int i = 0; i < ACCEPTS_A_TURN; i++)
		if (!(beyond_limits || has_room(p) ? accept_one(p) : no_room(p)))
			return false;
	return true;
}

/* Who waits in the kernel of a socket that closes belongs to us already: none is lost. */
static void accept_all(struct port *p)
{
	if (!p->accept || p->listener->inherited)
		return;
	while (accept_some(p, true))
		continue;
}

static void on_acceptable(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	accept_some(arg, false);
}

/* ---- clients of another home -------------------------------------------- */

static struct port *port_of_fd(struct worker *w, int fd)
{
	list_each (e, tmp, &w->ports) {
		struct port *p = container_of(e, struct port, link);

		if (p->listener->fd == fd)
			return p;
	}
	return NULL;
}

static void deliver_parcel(struct message *m, void *arg)
{
	struct parcel *parcel = (struct parcel *)m;
	struct worker *w = arg;
	struct port *p = port_of_fd(w, parcel->listener);

	if (!p) /* there was no memory for the port, or this is the end and not everybody's */
		close(parcel->fd);
	else if (front_accept_with(&p->front, parcel->fd, parcel->bytes, parcel->n))
		w->clients++;
	free(parcel);
}

static struct front_home home_of_request(struct front_listener *fl, const struct cc_head *head)
{
	const struct worker *w = container_of(fl, struct port, front)->worker;
	const struct conf_upstream *up = route_find(w->env.conf, fl->conf, cc_head_authority(head));
	unsigned home = up && w->team_count > 1 ? home_of(w, up) : w->index;

	return (struct front_home){.up = up, .here = home == w->index, .worker = home};
}

static bool pass_client(
	struct front_listener *fl, unsigned worker, int fd, const struct cc_buf *bytes)
{
	struct port *p = container_of(fl, struct port, front);
	struct parcel *parcel = malloc(sizeof(*parcel) + bytes->len);

	if (!parcel)
		return false;
	parcel->m.deliver = deliver_parcel;
	parcel->fd = fd;
	parcel->listener = p->listener->fd;
	parcel->n = cc_buf_peek(bytes, parcel->bytes, bytes->len);
	mailbox_send(p->worker->team[worker]->mailbox, &parcel->m);
	return true;
}

static const struct front_owner front_owner = {
	.home_of = home_of_request,
	.hand_over = pass_client,
	.left = client_left,
};

/* ---- configuration ----------------------------------------------------- */

static struct port *port_new(struct worker *w, unsigned i)
{
	struct port *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->worker = w;
	p->conf = conf_ref(w->env.conf);
	p->listeners = listener_set_ref(w->listeners);
	p->listener = listener_set_get(w->listeners, i);
	p->front.owner = &front_owner;
	p->front.ctx = w->env.ctx;
	p->front.log = w->env.log;
	p->front.stats = &w->env.stats;
	p->front.service = &exchange_service;
	p->front.server = &w->env;
	p->front.conf = &p->conf->listeners[i];
	p->front.single_worker = w->team_count == 1;
	list_init(&p->front.conns);
	list_init(&p->link);
	timer_init(&p->again, accept_again);
	p->accept = event_new(w->base, p->listener->fd, EV_READ | EV_PERSIST, on_acceptable, p);
	if (!p->accept) {
		port_free(p);
		return NULL;
	}
	list_add_tail(&w->ports, &p->link);
	return p;
}

static struct port *port_on(struct worker *w, const struct listener *l)
{
	list_each (e, tmp, &w->ports) {
		struct port *p = container_of(e, struct port, link);

		if (p->accept && p->listener->fd == l->fd)
			return p;
	}
	return NULL;
}

/* The same socket with other settings; its clients stay. */
static void port_update(struct port *p, unsigned i)
{
	struct worker *w = p->worker;
	struct conf *old_conf = p->conf;
	struct listener_set *old_set = p->listeners;

	p->conf = conf_ref(w->env.conf);
	p->front.conf = &p->conf->listeners[i];
	p->listeners = listener_set_ref(w->listeners);
	p->listener = listener_set_get(w->listeners, i);
	conf_unref(old_conf);
	listener_set_unref(old_set);
	port_wake(p);
}

static bool configure_ports(struct worker *w)
{
	struct list keep;
	bool ok = true;

	list_init(&keep);
	for (unsigned i = 0; i < w->env.conf->listener_count; i++) {
		struct port *p = port_on(w, listener_set_get(w->listeners, i));

		if (p)
			port_update(p, i);
		else
			p = port_new(w, i);
		if (p) {
			list_del(&p->link);
			list_add_tail(&keep, &p->link);
		} else {
			ok = false;
		}
	}
	list_each (e, tmp, &w->ports) { /* not in the configuration any more */
		struct port *p = container_of(e, struct port, link);

		if (p->accept) {
			accept_all(p);
			port_close(p);
			front_drain(&p->front);
		}
	}
	list_splice_tail(&w->ports, &keep);
	return ok;
}

/* The connection that is idle for longest in all pools of the worker goes. false: none is idle. */
static bool relieve(void *arg)
{
	struct worker *w = arg;
	struct pool *longest = NULL;

	for (unsigned i = 0; w->env.pools && i < w->env.conf->upstream_count; i++) {
		struct pool *pool = w->env.pools[i];

		if (!longest || janitor_idle_since(pool) < janitor_idle_since(longest))
			longest = pool;
	}
	if (!longest || !janitor_give_up(longest))
		return false;
	log_line(w->env.log, LOG_LEVEL_NOTICE, "idle connection given up",
		"upstream=%s reason=\"no descriptor is left\"", longest->up->name);
	return true;
}

static struct pool *old_pool(struct pool **pools, unsigned n, const char *name)
{
	for (unsigned i = 0; i < n; i++)
		if (pools[i] && strcmp(pools[i]->up->name, name) == 0)
			return pools[i];
	return NULL;
}

/* NULL: none, or one whose connections are not good any more. */
static struct pool *good_pool(const struct worker *w, const struct conf_upstream *up)
{
	unsigned count = w->env.conf ? w->env.conf->upstream_count : 0;
	struct pool *pool = old_pool(w->env.pools, count, up->name);

	return pool && conf_upstream_same_connections(pool->up, up) ? pool : NULL;
}

/* Those that are not there yet. false: no memory, and there is none of them. */
static bool make_pools(struct worker *w, struct conf *conf, struct pool **pools)
{
	for (unsigned i = 0; i < conf->upstream_count; i++) {
		const struct conf_upstream *up = &conf->upstreams[i];

		if (good_pool(w, up) || pool_new(w->env.ctx, w->env.log, conf, up, &w->pool_owner,
						home_of(w, up) == w->index, &pools[i]) == 0)
			continue;
		while (i-- > 0)
			pool_free(pools[i]);
		return false;
	}
	return true;
}

/* The others. false: one keeps its settings for want of memory, and serves all the same. */
static bool keep_pools(struct worker *w, struct conf *conf, struct pool **pools)
{
	bool ok = true;

	for (unsigned i = 0; i < conf->upstream_count; i++) {
		if (pools[i])
			continue;
		pools[i] = good_pool(w, &conf->upstreams[i]);
		ok = pool_reconfigure(pools[i], conf, &conf->upstreams[i]) == 0 && ok;
	}
	return ok;
}

/* Their names are others' now, who get their waiters too; or nobody's. */
static void drain_pools(struct worker *w, struct pool **pools, unsigned count)
{
	for (unsigned i = 0; w->env.conf && i < w->env.conf->upstream_count; i++) {
		struct pool *old = w->env.pools[i], *now = old_pool(pools, count, old->up->name);

		if (now == old)
			continue;
		list_add_tail(&w->old_pools, &old->link);
		pool_drain(old, now);
	}
}

/*
 * An upstream whose connections are still good keeps its pool; else a new one takes the name. false:
 * not all of it could be done; *pools is NULL if nothing was.
 */
static bool configure_pools(struct worker *w, struct conf *conf, struct pool ***ret)
{
	struct pool **pools = calloc(conf->upstream_count, sizeof(struct pool *));
	bool ok;

	*ret = NULL;
	if (!pools || !make_pools(w, conf, pools)) {
		free(pools);
		return false;
	}
	ok = keep_pools(w, conf, pools);
	drain_pools(w, pools, conf->upstream_count);
	*ret = pools;
	return ok;
}

/* false: not all of it is in force, or nothing. */
static bool configure(struct worker *w, struct conf *conf, struct listener_set *listeners)
{
	struct conf *old_conf = w->env.conf;
	struct pool **pools;
	bool ok = configure_pools(w, conf, &pools);

	if (!pools) {
		conf_unref(conf);
		listener_set_unref(listeners);
		return false;
	}
	free(w->env.pools);
	w->env.pools = pools;
	w->env.conf = conf;
	conf_unref(old_conf);
	listener_set_unref(w->listeners);
	w->listeners = listeners;
	w->env.ctx->slabs.max = conf->memory_limit / conf->workers;
	return (!w->team || configure_ports(w)) && ok;
}

/* ---- orders and their answers ------------------------------------------- */

static void do_settle(struct message *m, void *arg)
{
	struct worker *w = arg;

	(void)m;
	w->settled = true;
	list_each (e, tmp, &w->ports) {
		struct port *p = container_of(e, struct port, link);

		accept_again(&p->again);
		port_free_if_over(p);
	}
	stop_if_empty(w);
}

/* From here to answer(): the control thread's. */
static void send_order(
	struct worker *w, enum order_kind kind, void (*deliver)(struct message *, void *))
{
	struct order *o = &w->orders[kind];

	o->m.deliver = deliver;
	o->worker = w;
	mailbox_send(w->mailbox, &o->m);
}

/* Orders come to all workers alike, so those who have obeyed as many have obeyed the same ones. */
static bool all_are_done(struct worker *const *team, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (team[i]->told != team[0]->told || team[i]->done != team[0]->told)
			return false;
	return true;
}

static void deliver_done(struct message *m, void *arg)
{
	struct order *o = (struct order *)m;
	struct worker *w = o->worker, *const *team = w->orders[ORDER_TEAM].team;

	(void)arg;
	w->done++;
	if (all_are_done(team, w->team_count))
		for (unsigned i = 0; i < w->team_count; i++)
			send_order(team[i], ORDER_SETTLE, do_settle);
	if (o == &w->orders[ORDER_CONFIGURE])
		w->owner.configured(w, o->obeyed, w->owner.arg);
}

static void deliver_stopped(struct message *m, void *arg)
{
	struct worker *w = ((struct order *)m)->worker;

	(void)arg;
	w->owner.stopped(w, w->owner.arg);
}

static void answer(struct order *o, void (*deliver)(struct message *m, void *arg))
{
	o->m.deliver = deliver;
	mailbox_send(o->worker->owner.mailbox, &o->m);
}

static void do_configure(struct message *m, void *arg)
{
	struct order *o = (struct order *)m;
	struct worker *w = arg;

	w->settled = false;
	o->obeyed = configure(w, o->conf, o->listeners);
	if (!o->obeyed)
		log_line(w->env.log, LOG_LEVEL_ERROR, "reload incomplete",
			"worker=%u reason=\"out of memory or descriptors\"", w->index);
	answer(o, deliver_done);
}

static void drain_over(struct timer *t)
{
	struct worker *w = container_of(t, struct worker, drain_timer);

	log_line(w->env.log, LOG_LEVEL_WARNING, "drain timed out",
		"worker=%u clients=%u requests=%u", w->index, w->clients, w->env.running);
	event_base_loopexit(w->base, NULL);
}

static void do_drain(struct message *m, void *arg)
{
	struct order *o = (struct order *)m;
	struct worker *w = arg;

	w->settled = false;
	list_each (e, tmp, &w->ports) {
		struct port *p = container_of(e, struct port, link);

		accept_all(p);
		port_close(p);
		front_drain(&p->front);
	}
	w->draining = true;
	if (o->timeout > 0)
		timer_start(w->env.ctx, &w->drain_timer, o->timeout);
	answer(o, deliver_done);
}

static void do_team(struct message *m, void *arg)
{
	struct order *o = (struct order *)m;
	struct worker *w = arg;

	w->team = o->team;
	if (!configure_ports(w))
		log_line(w->env.log, LOG_LEVEL_ERROR, "cannot accept",
			"worker=%u reason=\"out of memory or descriptors\"", w->index);
	answer(o, deliver_done);
}

static void do_stop(struct message *m, void *arg)
{
	struct worker *w = arg;

	(void)m;
	event_base_loopexit(w->base, NULL);
}

/* Takes json. Every line of a dump is wanted, so their rate has no limit. */
static void dump_line(struct worker *w, char *json)
{
	if (json)
		log_always(w->env.log, LOG_LEVEL_NOTICE, "counters", "json=%s", json);
	free(json);
}

static void dump(struct worker *w, const struct pool *p)
{
	struct stats_view v = {
		.worker = w->index,
		.upstream = p->up->name,
		.waiting = pool_waiting(p),
		.running = p->users,
		.connecting = p->count[POOL_CONNECTING],
		.available = p->count[POOL_AVAILABLE],
		.full = p->count[POOL_FULL],
		.draining = p->count[POOL_DRAINING],
		.addresses = upstream_addresses(p->upstream),
		.left_out = upstream_ejected(p->upstream),
		.counters = &p->stats,
	};

	for (int part = 0; part < STATS_PARTS; part++)
		dump_line(w, stats_json(&v, (enum stats_part)part));
}

/* Pools that live elsewhere are empty here. */
static void do_dump(struct message *m, void *arg)
{
	struct worker *w = arg;

	(void)m;
	w->dump_due = false;
	for (unsigned i = 0; i < w->env.conf->upstream_count; i++)
		if (w->env.pools[i]->home)
			dump(w, w->env.pools[i]);
	dump_line(w, stats_worker_json(w->index, &w->env.stats));
}

void worker_team(struct worker *w, struct worker *const *team)
{
	w->orders[ORDER_TEAM].team = team;
	w->told++;
	send_order(w, ORDER_TEAM, do_team);
}

void worker_configure(struct worker *w, struct conf *conf, struct listener_set *listeners)
{
	w->orders[ORDER_CONFIGURE].conf = conf_ref(conf);
	w->orders[ORDER_CONFIGURE].listeners = listener_set_ref(listeners);
	w->told++;
	send_order(w, ORDER_CONFIGURE, do_configure);
}

void worker_drain(struct worker *w, uint64_t timeout)
{
	w->orders[ORDER_DRAIN].timeout = timeout;
	w->told++;
	send_order(w, ORDER_DRAIN, do_drain);
}

void worker_stop(struct worker *w)
{
	send_order(w, ORDER_STOP, do_stop);
}

/* One that is on its way is as good as another. */
void worker_dump(struct worker *w)
{
	if (!atomic_exchange(&w->dump_due, true))
		send_order(w, ORDER_DUMP, do_dump);
}

/* ---- the thread -------------------------------------------------------- */

static void worker_free(struct worker *w)
{
	if (w->env.ctx) {
		list_each (e, tmp, &w->ports)
			front_close_all(&container_of(e, struct port, link)->front);
		turn_run_reap(w->env.ctx);
		list_each (e, tmp, &w->ports)
			port_free(container_of(e, struct port, link));
		for (unsigned i = 0; w->env.pools && i < w->env.conf->upstream_count; i++)
			pool_free(w->env.pools[i]);
		list_each (e, tmp, &w->old_pools)
			pool_free(container_of(e, struct pool, link));
		turn_run_reap(w->env.ctx);
		mem_cache_clear(&w->env.exchanges, w->env.ctx);
	}
	free(w->env.pools);
	reserve_clear(&w->reserve);
	mailbox_free(w->mailbox);
	cc_ctx_free(w->env.ctx);
	conf_unref(w->env.conf);
	listener_set_unref(w->listeners);
	if (w->base)
		event_base_free(w->base);
	free(w);
}

static void *run(void *arg)
{
	struct worker *w = arg;

	event_base_loop(w->base, EVLOOP_NO_EXIT_ON_EMPTY);
	answer(&w->ended, deliver_stopped);
	return NULL;
}

static int worker_init(struct worker *w, struct conf *conf, struct listener_set *listeners)
{
	struct event_config *cfg = event_config_new();
	struct cc_ctx_opts o = {.size = sizeof(o), .max_buffered = conf->memory_limit};

	if (cfg) {
		event_config_set_flag(cfg, EVENT_BASE_FLAG_NOLOCK);
		w->base = event_base_new_with_config(cfg);
		event_config_free(cfg);
	}
	o.base = w->base;
	if (!w->base || cc_ctx_new(&o, &w->env.ctx) < 0)
		return -1;
	w->team_count = conf->workers;
	exchange_env_init(&w->env);
	timer_init(&w->drain_timer, drain_over);
	reserve_init(&w->reserve);
	w->pool_owner = (struct pool_owner){relieve, w};
	w->mailbox = mailbox_new(w->base, w);
	if (!w->mailbox)
		return -1;
	return configure(w, conf_ref(conf), listener_set_ref(listeners)) ? 0 : -1;
}

static int start_thread(struct worker *w)
{
	sigset_t all, before;
	int err;

	sigfillset(&all); /* signals are the control thread's */
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = pthread_create(&w->thread, NULL, run, w);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return err;
}

struct worker *worker_start(unsigned index, struct conf *conf, struct listener_set *listeners,
	struct log *log, const struct worker_owner *owner, char **error)
{
	struct worker *w = calloc(1, sizeof(*w));

	if (!w) {
		*error = strdup("worker: out of memory");
		return NULL;
	}
	w->index = index;
	w->owner = *owner;
	w->ended.worker = w;
	w->env.log = log;
	list_init(&w->ports);
	list_init(&w->old_pools);
	if (worker_init(w, conf, listeners) < 0 || start_thread(w) != 0) {
		*error = strdup("worker: out of memory, threads or descriptors");
		worker_free(w);
		return NULL;
	}
	return w;
}

void worker_join(struct worker *w)
{
	pthread_join(w->thread, NULL);
	worker_free(w);
}
