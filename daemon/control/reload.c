/*
 * reload.c - puts a changed configuration in force, or says why not and changes nothing.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/conf.h"
#include "daemon/base/conf_keys.h"
#include "daemon/base/log.h"
#include "daemon/control/notify.h"
#include "daemon/control/reload.h"
#include "daemon/listen/listener.h"
#include "daemon/worker/worker.h"

struct reload {
	struct reload_opts opts;
	struct conf *conf;
	struct listener_set *listeners;
	struct conf *old_conf; /* until every worker has let go of it */
	struct listener_set *old_listeners;
	enum { RELOAD_IDLE, RELOAD_RUNNING, RELOAD_AGAIN, RELOAD_ENDED } state;
	unsigned waiting; /* workers that have not answered */
	bool complete;    /* those that have, have all of it */
};

struct reload *reload_new(
	const struct reload_opts *opts, struct conf *conf, struct listener_set *listeners)
{
	struct reload *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->opts = *opts;
	r->conf = conf;
	r->listeners = listeners;
	return r;
}

static void drop_old(struct reload *r)
{
	listener_set_unref(r->old_listeners);
	conf_unref(r->old_conf);
	r->old_listeners = NULL;
	r->old_conf = NULL;
}

void reload_free(struct reload *r)
{
	if (!r)
		return;

	drop_old(r);
	listener_set_unref(r->listeners);
	conf_unref(r->conf);
	free(r);
}

struct conf *reload_conf(const struct reload *r)
{
	return r->conf;
}

struct listener_set *reload_listeners(const struct reload *r)
{
	return r->listeners;
}

void reload_say_ready(struct reload *r)
{
	char status[128];

	snprintf(status, sizeof(status), "Serving %u upstream%s on %u socket%s.",
		r->conf->upstream_count, r->conf->upstream_count == 1 ? "" : "s",
		r->conf->listener_count, r->conf->listener_count == 1 ? "" : "s");
	notify_ready(r->opts.notify, status);
}

char *next_line(char **text)
{
	char *line;

	if (!*text)
		return NULL;
	do
		line = strsep(text, "\n");
	while (line && !*line);
	return line;
}

void log_lines(struct log *l, enum log_level level, const char *what, char *text)
{
	char *rest = text, *line;

	for (char *p = text; p && *p; p++)
		if (*p == '"')
			*p = '\'';
	while ((line = next_line(&rest)))
		log_always(l, level, what, "text=\"%s\"", line);
}

/*
 * The old configuration stays in force; systemd hears that the reload is over, and that it failed.
 */
static void fail(struct reload *r, char *errors)
{
	char status[256], *rest = errors, *first;

	log_lines(r->opts.log, LOG_LEVEL_ERROR, "configuration error",
		errors); /* cuts it into lines */
	log_line(r->opts.log, LOG_LEVEL_ERROR, "reload failed",
		"kept=\"the configuration in force\"");
	first = next_line(&rest);
	snprintf(status, sizeof(status), "Reload failed, the old configuration stays: %.150s",
		first ? first : "out of memory");
	notify_ready(r->opts.notify, status);
}

/* What cannot be changed in a running daemon is refused, never ignored. */
static char *cannot_change(const struct conf *now, const struct conf *next)
{
	const struct conf_key *k = conf_key_differs(CONF_DAEMON, CONF_RESTART, now, next);
	char *error = NULL;

	if (k && asprintf(&error,
			 "daemon.%s: cannot change from %u to %u in a running daemon: "
			 "restart it, or set it back",
			 k->name, conf_key_count(k, now), conf_key_count(k, next)) < 0)
		return NULL;
	return error;
}

/* Returns NULL and *error, or both parts of the next generation. */
static struct conf *load(struct reload *r, struct listener_set **listeners, char **error)
{
	const struct listener_fd *sockets;
	char *warnings = NULL;
	struct conf *conf;
	unsigned count;

	conf = conf_load(r->opts.path, r->opts.cli, error, &warnings);
	log_lines(r->opts.log, LOG_LEVEL_WARNING, "configuration warning", warnings);
	free(warnings);
	if (!conf)
		return NULL;

	*error = cannot_change(r->conf, conf);
	if (!*error) {
		sockets = notify_sockets(r->opts.notify, &count);
		*listeners = listener_set_open(conf, sockets, count, r->listeners, error);
		if (*listeners)
			return conf;
	}
	conf_unref(conf);
	return NULL;
}

static void say_over(struct reload *r)
{
	if (r->complete) {
		log_line(r->opts.log, LOG_LEVEL_NOTICE, "reloaded", "listeners=%u upstreams=%u",
			r->conf->listener_count, r->conf->upstream_count);
		reload_say_ready(r);
		return;
	}
	log_line(r->opts.log, LOG_LEVEL_ERROR, "reload failed",
		"kept=\"a part of the configuration before\" "
		"reason=\"out of memory or descriptors\"");
	notify_ready(r->opts.notify, "Reload incomplete, out of memory or descriptors: "
				     "reload again when there are some.");
}

/* One worker has it, complete or as far as its memory goes. */
static void on_configured(bool complete, void *arg)
{
	struct reload *r = arg;
	bool again = r->state == RELOAD_AGAIN;

	r->complete = r->complete && complete;
	if (r->waiting == 0 || --r->waiting > 0)
		return;

	drop_old(r);
	if (r->state == RELOAD_ENDED)
		return;
	r->state = RELOAD_IDLE;
	say_over(r);
	if (again)
		reload_begin(r);
}

static void apply(struct reload *r, struct conf *conf, struct listener_set *listeners)
{
	r->old_conf = r->conf;
	r->old_listeners = r->listeners;
	r->conf = conf;
	r->listeners = listeners;
	r->waiting = conf->workers;
	r->complete = true;
	r->state = RELOAD_RUNNING;

	log_set_level(r->opts.logs, (enum log_level)conf->log_level);
	listener_set_retire(r->old_listeners, listeners);
	for (unsigned i = 0; i < conf->workers; i++)
		worker_configure(r->opts.workers[i], conf, listeners, on_configured, r);
}

void reload_begin(struct reload *r)
{
	struct listener_set *listeners = NULL;
	struct conf *conf;
	char *error = NULL;

	if (r->state != RELOAD_IDLE) {
		if (r->state == RELOAD_RUNNING)
			r->state = RELOAD_AGAIN;
		return;
	}

	notify_reloading(r->opts.notify);
	conf = load(r, &listeners, &error);
	if (conf)
		apply(r, conf, listeners);
	else
		fail(r, error);
	free(error);
}

void reload_end(struct reload *r)
{
	r->state = RELOAD_ENDED;
}
