/*
 * worker.c - one thread: loop, context, pools, clients.
 *
 *   worker ─owns─> cc_ctx, acceptors, pools, mailbox
 *   worker <── commands ── control thread      what it is told: commands.c
 *   worker <── handover ── other workers       clients whose upstream lives here: handover.c
 *   worker <── relay ── other workers          requests of those that cannot move: relay.c
 *
 * Everything below belongs to the worker's thread from worker_start on, but for the mailbox and the
 * number of clients, which the other workers use.
 */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "daemon/base/conf.h"
#include "daemon/base/log.h"
#include "daemon/base/mailbox.h"
#include "daemon/exchange/exchange.h"
#include "daemon/exchange/route.h"
#include "daemon/listen/acceptor.h"
#include "daemon/listen/listener.h"
#include "daemon/pool/pools.h"
#include "daemon/worker/handover.h"
#include "daemon/worker/relay.h"
#include "daemon/worker/worker.h"
#include "lib/base/ctx.h"

struct worker {
	unsigned index;
	unsigned count; /* of workers; never changes */
	pthread_t thread;
	struct event_base *base;
	struct mailbox *mailbox;
	struct commands *commands;
	struct exchange_env env; /* conf and pools are those of pools */
	struct listener_set *listeners;
	struct acceptors acceptors;
	struct pools pools;
	struct handover handover;
	struct relay relay;
	struct relay_way *ways;        /* to each of the workers */
	struct worker *const *workers; /* NULL until they are introduced */
	bool draining;
	struct timer drain_timer;
};

/* It stays until all are: their clients may still ask for upstreams that have their home here. */
static void say_if_empty(struct worker *w)
{
	if (w->draining && acceptors_are_empty(&w->acceptors))
		commands_empty(w->commands);
}

/* ---- what acceptors ask ------------------------------------------------- */

static unsigned all_clients(void *arg)
{
	const struct worker *w = arg;
	unsigned all = 0;

	for (unsigned i = 0; i < w->count; i++)
		all += atomic_load_explicit(
			&w->workers[i]->acceptors.clients, memory_order_relaxed);
	return all;
}

static struct front_home home_of(
	const struct conf_listener *l, const struct cc_head *head, void *arg)
{
	const struct worker *w = arg;
	const struct conf_upstream *up = route_find(w->env.conf, l, cc_head_authority(head));
	unsigned home = up && w->count > 1 ? pools_home(up, w->count) : w->index;

	if (home == w->index)
		return (struct front_home){.up = up, .here = true, .worker = home};
	return (struct front_home){
		.up = up, .worker = home, .service = &relay_service, .server = &w->ways[home]};
}

static bool hand_over(int listener, unsigned worker, int fd, const struct cc_buf *bytes, void *arg)
{
	const struct worker *w = arg;

	return handover_send(&w->workers[worker]->handover, listener, fd, bytes);
}

static const struct conf_upstream *find_upstream(const char *name, void *arg)
{
	const struct worker *w = arg;

	return conf_find_upstream(w->env.conf, name, strlen(name));
}

static void on_left(void *arg)
{
	say_if_empty(arg);
}

static const struct acceptor_ops acceptor_ops = {all_clients, home_of, hand_over, on_left};

/* ---- what the control thread tells --------------------------------------- */

/* Takes both references over. false: not all of it is in force, or nothing. */
static bool configure(struct worker *w, struct conf *conf, struct listener_set *listeners)
{
	enum pools_change change = pools_configure(&w->pools, conf);

	conf_unref(conf); /* the pools have their own */
	if (change == POOLS_KEPT) {
		listener_set_unref(listeners);
		return false;
	}
	w->env.conf = w->pools.conf;
	w->env.pools = w->pools.now;
	listener_set_unref(w->listeners);
	w->listeners = listeners;
	w->env.ctx->slabs.max = w->env.conf->memory_limit / w->env.conf->workers;
	return (!w->workers || acceptors_configure(&w->acceptors, listeners)) &&
	       change == POOLS_CHANGED;
}

static bool on_configure(struct conf *conf, struct listener_set *listeners, void *arg)
{
	struct worker *w = arg;

	if (configure(w, conf, listeners))
		return true;
	log_line(w->env.log, LOG_LEVEL_ERROR, "reload incomplete",
		"worker=%u reason=\"out of memory or descriptors\"", w->index);
	return false;
}

static struct commands *commands_of(const void *workers, unsigned i)
{
	struct worker *const *all = workers;

	return all[i]->commands;
}

static void on_workers(const void *workers, void *arg)
{
	struct worker *w = arg;

	w->workers = workers;
	for (unsigned i = 0; i < w->count; i++)
		w->ways[i] = (struct relay_way){&w->relay, &w->workers[i]->relay};
	if (!acceptors_configure(&w->acceptors, w->listeners))
		log_line(w->env.log, LOG_LEVEL_ERROR, "cannot accept",
			"worker=%u reason=\"out of memory or descriptors\"", w->index);
}

static void drain_over(struct timer *t)
{
	struct worker *w = container_of(t, struct worker, drain_timer);

	if (!acceptors_are_empty(&w->acceptors)) /* else it is others that were waited for */
		log_line(w->env.log, LOG_LEVEL_WARNING, "drain timed out",
			"worker=%u clients=%u requests=%u", w->index, w->acceptors.clients,
			w->env.running);
	event_base_loopexit(w->base, NULL);
}

static void on_drain(uint64_t timeout, void *arg)
{
	struct worker *w = arg;

	acceptors_drain(&w->acceptors);
	w->draining = true;
	if (timeout > 0)
		timer_start(w->env.ctx, &w->drain_timer, timeout);
}

static void on_commit(void *arg)
{
	struct worker *w = arg;

	acceptors_commit(&w->acceptors);
	say_if_empty(w);
}

static void on_stop(void *arg)
{
	struct worker *w = arg;

	event_base_loopexit(w->base, NULL);
}

/* Copies only: printing would be paid by requests. */
static struct worker_report *on_report(void *arg)
{
	const struct worker *w = arg;
	unsigned count = pools_at_home(&w->pools);
	struct worker_report *r = malloc(sizeof(*r) + count * sizeof(r->pools[0]));

	if (!r)
		return NULL;
	r->worker = w->index;
	r->stats = w->env.stats;
	r->conf = conf_ref(w->pools.conf);
	r->count = count;
	pools_view(&w->pools, r->pools);
	return r;
}

void worker_report_free(struct worker_report *r)
{
	if (r)
		conf_unref(r->conf);
	free(r);
}

static const struct command_ops command_ops = {
	commands_of, on_workers, on_configure, on_drain, on_commit, on_stop, on_report};

void worker_introduce(struct worker *w, struct worker *const *workers)
{
	commands_workers(w->commands, workers);
}

void worker_configure(struct worker *w, struct conf *conf, struct listener_set *listeners,
	configured_fn *configured, void *arg)
{
	commands_configure(w->commands, conf, listeners, configured, arg);
}

void worker_drain(struct worker *w, uint64_t timeout)
{
	commands_drain(w->commands, timeout);
}

void worker_stop(struct worker *w)
{
	commands_stop(w->commands);
}

void worker_report(struct worker *w)
{
	commands_report(w->commands);
}

bool worker_ask(struct worker *w)
{
	return commands_ask(w->commands);
}

/* ---- the thread -------------------------------------------------------- */

static void worker_free(struct worker *w)
{
	if (w->env.ctx) {
		turn_run_reap(w->env.ctx);
		acceptors_clear(&w->acceptors);
		pools_clear(&w->pools);
		turn_run_reap(w->env.ctx);
		mem_cache_clear(&w->env.exchanges, w->env.ctx);
	}
	mailbox_free(w->mailbox);
	commands_free(w->commands);
	cc_ctx_free(w->env.ctx);
	listener_set_unref(w->listeners);
	free(w->ways);
	if (w->base)
		event_base_free(w->base);
	free(w);
}

static void *run(void *arg)
{
	struct worker *w = arg;

	event_base_loop(w->base, EVLOOP_NO_EXIT_ON_EMPTY);
	/* Other workers are told before any of them is freed: when all have ended. */
	acceptors_close_clients(&w->acceptors);
	relay_end(&w->relay);
	commands_end(w->commands);
	return NULL;
}

/* The loop and what stands on it. */
static bool open_loop(struct worker *w, size_t max_buffered)
{
	struct event_config *cfg = event_config_new();
	struct cc_ctx_opts o = {.size = sizeof(o), .max_buffered = max_buffered};

	if (cfg) {
		event_config_set_flag(cfg, EVENT_BASE_FLAG_NOLOCK);
		w->base = event_base_new_with_config(cfg);
		event_config_free(cfg);
	}
	o.base = w->base;
	return w->base && cc_ctx_new(&o, &w->env.ctx) == 0;
}

static bool worker_init(struct worker *w, const struct conf *conf, const struct worker_owner *owner)
{
	if (!open_loop(w, conf->memory_limit))
		return false;
	w->count = conf->workers;
	exchange_env_init(&w->env);
	timer_init(&w->drain_timer, drain_over);
	w->pools = (struct pools){
		.ctx = w->env.ctx, .log = w->env.log, .worker = w->index, .workers = w->count};
	pools_init(&w->pools);
	w->acceptors = (struct acceptors){.base = w->base,
		.env = &w->env,
		.ops = &acceptor_ops,
		.arg = w,
		.workers = w->count};
	acceptors_init(&w->acceptors);
	w->mailbox = mailbox_new(w->base, w);
	w->handover = (struct handover){w->mailbox, &w->acceptors};
	w->relay = (struct relay){.mailbox = w->mailbox,
		.ctx = w->env.ctx,
		.service = &exchange_service,
		.server = &w->env,
		.find = find_upstream,
		.arg = w};
	list_init(&w->relay.calls);
	w->ways = calloc(w->count, sizeof(w->ways[0]));
	w->commands = commands_new(w->index, w->count, w->mailbox, owner, &command_ops, w);
	return w->mailbox && w->commands && w->ways;
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
	w->env.log = log;
	if (!worker_init(w, conf, owner) ||
		!configure(w, conf_ref(conf), listener_set_ref(listeners)) ||
		start_thread(w) != 0) {
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
