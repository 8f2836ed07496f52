/*
 * control.c - starts the workers, hears signals, reloads, stops.
 *
 *   control ─owns─> log rings, notify, reload (conf, listeners), workers, watch
 */
#include <config.h>

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <event2/event.h>

#include "daemon/base/conf.h"
#include "daemon/base/log.h"
#include "daemon/base/mailbox.h"
#include "daemon/control/control.h"
#include "daemon/control/notify.h"
#include "daemon/control/reload.h"
#include "daemon/control/report.h"
#include "daemon/control/watch.h"
#include "daemon/listen/listener.h"
#include "daemon/worker/worker.h"

#define SIGNALS 5

struct control {
	struct event_base *base;
	struct event *signals[SIGNALS];
	struct event *log_ready;
	struct log_set *logs;
	struct log *log;
	struct notify *notify;
	struct reload *reload;
	struct watch *watch;
	struct worker_owner owner;
	struct worker **workers;
	unsigned worker_count;
	unsigned started; /* how many of workers exist */
	unsigned running; /* how many have not stopped */
	enum { CONTROL_RUNNING, CONTROL_DRAINING, CONTROL_ENDING } state;
	int status;
};

/* ---- stopping ------------------------------------------------------------------------------- */

static void stop_now(struct control *c)
{
	if (c->state == CONTROL_ENDING)
		return;
	c->state = CONTROL_ENDING;
	reload_end(c->reload);
	for (unsigned i = 0; i < c->started; i++)
		worker_stop(c->workers[i]);
	if (c->running == 0)
		event_base_loopbreak(c->base);
}

/* The files go first: new clients find no socket, those in the kernel's queue are still served. */
static void drain(struct control *c)
{
	uint64_t timeout = reload_conf(c->reload)->drain_timeout;

	c->state = CONTROL_DRAINING;
	notify_stopping(c->notify, timeout);
	log_line(c->log, LOG_LEVEL_INFO, "stopping", "drain_timeout=%llums",
		(unsigned long long)timeout);
	reload_end(c->reload);
	listener_set_retire(reload_listeners(c->reload), NULL);
	for (unsigned i = 0; i < c->started; i++)
		worker_drain(c->workers[i], timeout);
}

static void on_stopped(unsigned worker, void *arg)
{
	struct control *c = arg;

	if (c->watch)
		watch_stopped(c->watch, worker);
	c->running--;
	if (c->state == CONTROL_RUNNING) {
		log_line(c->log, LOG_LEVEL_ERROR, "worker ended", "action=\"the daemon stops\"");
		c->status = 1;
		stop_now(c);
	}
	if (c->running == 0)
		event_base_loopbreak(c->base);
}

static void on_reported(unsigned worker, struct worker_report *r, void *arg)
{
	struct control *c = arg;

	if (r)
		report_log(c->logs, r);
	else
		log_line(c->log, LOG_LEVEL_ERROR, "counters missing",
			"worker=%u reason=\"out of memory\"", worker);
	worker_report_free(r);
}

/* ---- events of the control thread ---------------------------------------------------------- */

static void on_stop_signal(evutil_socket_t sig, short what, void *arg)
{
	struct control *c = arg;

	(void)what;
	if (c->state == CONTROL_RUNNING) {
		drain(c);
	} else if (c->state == CONTROL_DRAINING) {
		log_line(c->log, LOG_LEVEL_WARNING, "stopping at once", "signal=%d", (int)sig);
		c->status = 1;
		stop_now(c);
	}
}

static void on_reload_signal(evutil_socket_t sig, short what, void *arg)
{
	struct control *c = arg;

	(void)sig, (void)what;
	reload_begin(c->reload);
}

static void on_report_signal(evutil_socket_t sig, short what, void *arg)
{
	struct control *c = arg;

	(void)sig, (void)what;
	for (unsigned i = 0; c->state == CONTROL_RUNNING && i < c->started; i++)
		worker_report(c->workers[i]);
}

static void on_log(evutil_socket_t fd, short what, void *arg)
{
	struct control *c = arg;

	(void)fd, (void)what;
	log_set_drain(c->logs);
}

static void on_nothing(evutil_socket_t sig, short what, void *arg)
{
	(void)sig, (void)what, (void)arg;
}

static bool watch_signals(struct control *c)
{
	static const struct {
		int sig;
		event_callback_fn run;
	} table[SIGNALS] = {
		{SIGTERM, on_stop_signal}, {SIGINT, on_stop_signal}, {SIGHUP, on_reload_signal},
		{SIGUSR1, on_report_signal},
		{SIGUSR2, on_nothing}, /* kept for later; by default it would kill */
	};

	for (unsigned i = 0; i < SIGNALS; i++) {
		c->signals[i] = evsignal_new(c->base, table[i].sig, table[i].run, c);
		if (!c->signals[i] || event_add(c->signals[i], NULL) < 0)
			return false;
	}
	return true;
}

/* ---- starting ------------------------------------------------------------------------------- */

static bool control_init(struct control *c, const struct conf *conf, bool journal)
{
	c->base = event_base_new();
	c->logs = log_set_new(STDERR_FILENO, journal, 1 + conf->workers);
	c->workers = calloc(conf->workers, sizeof(struct worker *));
	c->worker_count = conf->workers;
	if (!c->base || !c->logs || !c->workers || !watch_signals(c))
		return false;

	c->log = log_of(c->logs, 0);
	log_set_level(c->logs, (enum log_level)conf->log_level);
	c->log_ready = event_new(c->base, log_set_fd(c->logs), EV_READ | EV_PERSIST, on_log, c);
	c->owner = (struct worker_owner){mailbox_new(c->base, NULL), on_stopped, on_reported, c};
	return c->log_ready && event_add(c->log_ready, NULL) == 0 && c->owner.mailbox;
}

/* Opens the sockets and takes conf into reload, which frees it. NULL: *error. */
static struct reload *open_sockets(
	struct control *c, const struct control_opts *o, struct conf *conf, char **error)
{
	struct reload_opts opts = {.path = o->file,
		.cli = o->cli,
		.logs = c->logs,
		.log = c->log,
		.workers = c->workers};
	const struct listener_fd *sockets;
	struct listener_set *listeners;
	struct reload *r;
	unsigned count;

	opts.notify = c->notify = notify_new(c->base, error);
	if (!c->notify)
		return NULL;
	sockets = notify_sockets(c->notify, &count);
	listeners = listener_set_open(conf, sockets, count, NULL, error);
	if (!listeners)
		return NULL;
	r = reload_new(&opts, conf, listeners);
	if (!r)
		listener_set_unref(listeners);
	return r;
}

/* Takes over conf. false: what there is will be freed by control_clear. */
static bool control_open(struct control *c, const struct control_opts *o, struct conf *conf)
{
	char *error = NULL;

	if (control_init(c, conf, o->journal))
		c->reload = open_sockets(c, o, conf, &error);
	if (c->reload)
		return true;
	o->complain(error ? error : "out of memory or of descriptors at the start");
	free(error);
	conf_unref(conf);
	return false;
}

/* Workers take no signals: they are started with all of them blocked. */
static bool start_workers(struct control *c, const struct control_opts *o)
{
	char *error = NULL, text[256];
	sigset_t all, before;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	for (; c->started < c->worker_count; c->started++) {
		unsigned i = c->started;

		c->workers[i] = worker_start(i, reload_conf(c->reload), reload_listeners(c->reload),
			log_of(c->logs, 1 + i), &c->owner, &error);
		if (!c->workers[i])
			break;
		c->running++;
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	for (unsigned i = 0; c->started == c->worker_count && i < c->started; i++)
		worker_introduce(c->workers[i], c->workers);
	if (c->started == c->worker_count)
		return true;

	snprintf(text, sizeof(text), "cannot start worker %u: %s", c->started,
		error ? error : "out of memory");
	o->complain(text);
	free(error);
	return false;
}

/*
 * One that comes now has nothing left to end, but without its event it would end us as a failure.
 */
static void refuse_signals(void)
{
	sigset_t all;

	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, NULL);
}

static void control_clear(struct control *c)
{
	for (unsigned i = 0; i < c->started; i++)
		worker_join(c->workers[i]);
	free(c->workers);
	mailbox_free(c->owner.mailbox);
	reload_free(c->reload);
	notify_free(c->notify);
	watch_free(c->watch);
	if (c->log && c->started)
		log_line(c->log, LOG_LEVEL_INFO, "stopped", "status=%d", c->status);
	if (c->logs)
		log_set_drain(c->logs);
	if (c->log_ready)
		event_free(c->log_ready);
	log_set_free(c->logs);
	refuse_signals();
	for (unsigned i = 0; i < SIGNALS; i++)
		if (c->signals[i])
			event_free(c->signals[i]);
	if (c->base)
		event_base_free(c->base);
}

static bool all_answer(void *arg)
{
	return watch_look(arg);
}

/* Without memory the watchdog says only that the control loop turns. */
static void watch_workers(struct control *c)
{
	c->watch = watch_new(c->log, c->workers, c->started);
	if (c->watch)
		notify_watch(c->notify, all_answer, c->watch);
}

static void say_ready(struct control *c)
{
	const struct conf *conf = reload_conf(c->reload);

	log_line(c->log, LOG_LEVEL_INFO, "ready",
		"listeners=%u upstreams=%u workers=%u pid=%ld version=%s", conf->listener_count,
		conf->upstream_count, conf->workers, (long)getpid(), PACKAGE_VERSION);
	reload_say_ready(c->reload);
}

int control_run(const struct control_opts *o, struct conf *conf, char *warnings)
{
	struct control c = {.status = 0};

	if (!control_open(&c, o, conf)) {
		control_clear(&c);
		return 1;
	}
	log_lines(c.log, LOG_LEVEL_WARNING, "configuration warning", warnings);
	if (start_workers(&c, o)) {
		watch_workers(&c);
		say_ready(&c);
	} else {
		c.status = 1;
		stop_now(&c);
	}
	if (c.running > 0)
		event_base_dispatch(c.base);
	control_clear(&c);
	return c.status;
}
