/*
 * main.c - options, start and stop. The thread that runs main becomes the control thread.
 *
 *   control thread   signals, log output, systemd, reload      this file and control/
 *   N workers        everything that has to do with a request  worker/
 *
 * The two speak through mailboxes only, so nothing here can delay a request.
 */
#include <config.h>

#include <fcntl.h>
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <event2/event.h>

#include "daemon/base/conf.h"
#include "daemon/base/log.h"
#include "daemon/base/mailbox.h"
#include "daemon/control/notify.h"
#include "daemon/control/reload.h"
#include "daemon/listen/listener.h"
#include "daemon/worker/worker.h"

#ifndef SYSCONFDIR
#define SYSCONFDIR "/etc"
#endif

#define DEFAULT_FILE SYSCONFDIR "/connpoold/connpoold.conf"
#define SIGNALS      5

struct options {
	const char *file; /* -c; NULL: the default, or the command line is the configuration */
	enum { RUN, CHECK, VERSION, HELP, WRONG } action;
	struct conf_cli cli;
};

struct control {
	struct event_base *base;
	struct event *signals[SIGNALS];
	struct event *log_ready;
	struct log_set *logs;
	struct log *log;
	struct notify *notify;
	struct reload *reload;
	struct worker_owner owner;
	struct worker **workers;
	unsigned worker_count;
	unsigned started; /* how many of workers exist */
	unsigned running; /* how many have not stopped */
	enum { CONTROL_RUNNING, CONTROL_DRAINING, CONTROL_ENDING } state;
	int status;
};

/* ---- words for the person at the terminal ------------------------------------------------ */

/* Is stderr the stream that systemd connected to the journal? (systemd.exec(5), JOURNAL_STREAM) */
static bool stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long dev, ino;
	struct stat st;

	return stream && sscanf(stream, "%llu:%llu", &dev, &ino) == 2 &&
	       fstat(STDERR_FILENO, &st) == 0 && st.st_dev == dev && st.st_ino == ino;
}

__attribute__((format(printf, 1, 2))) static void complain(const char *fmt, ...)
{
	char text[2048];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	fprintf(stderr, "%sconnpoold: %s\n", stderr_is_journal() ? "<3>" : "", text);
}

static void complain_lines(char *text)
{
	char *line;

	while ((line = next_line(&text)))
		complain("%s", line);
}

static int print_usage(void)
{
	return printf("Usage: connpoold [-t] [-c FILE]\n"
		      "       connpoold [-t] --upstream [NAME=]URL ... --listen PATH ...\n"
		      "\n"
		      "Forwards HTTP requests from local Unix sockets to HTTPS servers, over few\n"
		      "connections that are kept open and shared.\n"
		      "\n"
		      "  -c, --config FILE          the configuration [%s]\n"
		      "  -t, --test                 check the configuration, print all errors, exit 0 or 1\n"
		      "      --upstream [NAME=]URL  no file: forward to this server; may be repeated\n"
		      "      --listen PATH          no file: listen on this socket; may be repeated\n"
		      "  -V, --version              print the version\n"
		      "  -h, --help                 print this text\n"
		      "\n"
		      "Signals: TERM and INT finish what runs and stop, a second one stops at once;\n"
		      "HUP reloads the configuration; USR1 logs the counters. See connpoold(8).\n",
		       DEFAULT_FILE) < 0;
}

/* ---- options -------------------------------------------------------------------------------- */

static bool fit_together(const struct options *o)
{
	if (o->file && (o->cli.upstream_count || o->cli.listen_count)) {
		complain("-c cannot be mixed with --upstream and --listen: a file holds the whole "
			 "configuration");
		return false;
	}
	if (o->cli.listen_count && !o->cli.upstream_count) {
		complain("--listen needs at least one --upstream URL");
		return false;
	}
	if (o->cli.upstream_count && !o->cli.listen_count) {
		complain("--upstream needs at least one --listen PATH");
		return false;
	}
	return true;
}

/* upstreams and listen have room for every argument. What is wrong has been said at the return. */
static void parse_options(
	int argc, char **argv, struct options *o, const char **upstreams, const char **listen)
{
	static const struct option longs[] = {
		{"config", required_argument, NULL, 'c'},
		{"test", no_argument, NULL, 't'},
		{"upstream", required_argument, NULL, 'u'},
		{"listen", required_argument, NULL, 'l'},
		{"version", no_argument, NULL, 'V'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	int c;

	o->cli = (struct conf_cli){.upstreams = upstreams, .listen = listen};
	while (o->action < VERSION && (c = getopt_long(argc, argv, "c:tVh", longs, NULL)) != -1) {
		if (c == 'c')
			o->file = optarg;
		else if (c == 'u')
			upstreams[o->cli.upstream_count++] = optarg;
		else if (c == 'l')
			listen[o->cli.listen_count++] = optarg;
		else
			o->action = c == 't' ? CHECK : c == 'V' ? VERSION : c == 'h' ? HELP : WRONG;
	}
	if (o->action < VERSION && optind < argc) {
		complain(
			"unexpected argument \"%s\"; connpoold -h lists the options", argv[optind]);
		o->action = WRONG;
	}
	if (o->action < VERSION && !fit_together(o))
		o->action = WRONG;
}

static struct conf *load(const struct options *o, char **warnings)
{
	bool from_file = o->cli.upstream_count == 0;
	char *errors = NULL;
	struct conf *conf;

	conf = conf_load(from_file ? o->file : NULL, from_file ? NULL : &o->cli, &errors, warnings);
	if (!conf && errors)
		complain_lines(errors);
	else if (!conf)
		complain("out of memory while reading the configuration");
	free(errors);
	return conf;
}

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

	(void)worker;
	c->running--;
	if (c->state == CONTROL_RUNNING) {
		log_line(c->log, LOG_LEVEL_ERROR, "worker ended", "action=\"the daemon stops\"");
		c->status = 1;
		stop_now(c);
	}
	if (c->running == 0)
		event_base_loopbreak(c->base);
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

static void on_dump_signal(evutil_socket_t sig, short what, void *arg)
{
	struct control *c = arg;

	(void)sig, (void)what;
	for (unsigned i = 0; c->state == CONTROL_RUNNING && i < c->started; i++)
		worker_dump(c->workers[i]);
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
		{SIGUSR1, on_dump_signal},
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

static bool control_init(struct control *c, const struct conf *conf)
{
	c->base = event_base_new();
	c->logs = log_set_new(STDERR_FILENO, stderr_is_journal(), 1 + conf->workers);
	c->workers = calloc(conf->workers, sizeof(struct worker *));
	c->worker_count = conf->workers;
	if (!c->base || !c->logs || !c->workers || !watch_signals(c))
		return false;

	c->log = log_of(c->logs, 0);
	log_set_level(c->logs, (enum log_level)conf->log_level);
	c->log_ready = event_new(c->base, log_set_fd(c->logs), EV_READ | EV_PERSIST, on_log, c);
	c->owner = (struct worker_owner){mailbox_new(c->base, NULL), on_stopped, c};
	return c->log_ready && event_add(c->log_ready, NULL) == 0 && c->owner.mailbox;
}

/* Opens the sockets and takes conf into reload, which frees it. NULL: *error. */
static struct reload *open_sockets(
	struct control *c, const struct options *o, struct conf *conf, char **error)
{
	struct reload_opts opts = {.path = o->cli.upstream_count ? NULL : o->file,
		.cli = &o->cli,
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
static bool control_open(struct control *c, const struct options *o, struct conf *conf)
{
	char *error = NULL;

	if (control_init(c, conf))
		c->reload = open_sockets(c, o, conf, &error);
	if (c->reload)
		return true;
	complain("%s", error ? error : "out of memory or of descriptors at the start");
	free(error);
	conf_unref(conf);
	return false;
}

/* Workers take no signals: they are started with all of them blocked. */
static bool start_workers(struct control *c)
{
	sigset_t all, before;
	char *error = NULL;

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

	complain("cannot start worker %u: %s", c->started, error ? error : "out of memory");
	free(error);
	return false;
}

/* One that comes now has nothing left to end, but without its event it would end us as a failure. */
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

static void say_ready(struct control *c)
{
	const struct conf *conf = reload_conf(c->reload);

	log_line(c->log, LOG_LEVEL_INFO, "ready",
		"listeners=%u upstreams=%u workers=%u pid=%ld version=%s", conf->listener_count,
		conf->upstream_count, conf->workers, (long)getpid(), PACKAGE_VERSION);
	reload_say_ready(c->reload);
}

/* Takes over conf. Returns the exit status. */
static int run(const struct options *o, struct conf *conf, char *warnings)
{
	struct control c = {.status = 0};

	if (!control_open(&c, o, conf)) {
		control_clear(&c);
		return 1;
	}
	log_lines(c.log, LOG_LEVEL_WARNING, "configuration warning", warnings);
	if (start_workers(&c)) {
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

/* As many descriptors as we may have; before the configuration, which computes limits from it. */
static void raise_descriptor_limit(void)
{
	struct rlimit lim;

	if (getrlimit(RLIMIT_NOFILE, &lim) == 0 && lim.rlim_cur < lim.rlim_max) {
		lim.rlim_cur = lim.rlim_max;
		setrlimit(RLIMIT_NOFILE, &lim);
	}
}

static void prepare_process(void)
{
	int fd;

	/* Without 0, 1 and 2 a socket would get one of these numbers, and log lines would go to it. */
	do
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);

	signal(SIGPIPE, SIG_IGN);
	raise_descriptor_limit();
#ifndef SANITIZED
	/* Private keys and credentials live in memory: neither core files nor debuggers of this user. */
	prctl(PR_SET_DUMPABLE, 0);
#endif
}

static int check(const char *file, struct conf *conf, char *warnings)
{
	char *line;

	while ((line = next_line(&warnings)))
		complain("warning: %s", line);
	printf("connpoold: %s: the configuration is good (%u upstream%s, %u listener%s)\n", file,
		conf->upstream_count, conf->upstream_count == 1 ? "" : "s", conf->listener_count,
		conf->listener_count == 1 ? "" : "s");
	conf_unref(conf);
	return 0;
}

/* Returns the exit status. */
static int act(const struct options *o)
{
	char *warnings = NULL;
	struct conf *conf;
	int status = 1;

	conf = load(o, &warnings);
	if (conf && o->action == CHECK)
		status = check(o->cli.upstream_count ? "command line" : o->file, conf, warnings);
	else if (conf)
		status = run(o, conf, warnings);
	free(warnings);
	return status;
}

int main(int argc, char **argv)
{
	const char **words = calloc(2 * (size_t)argc, sizeof(*words));
	struct options o = {.action = RUN};
	int status = 1;

	prepare_process();
	if (words)
		parse_options(argc, argv, &o, words, words + argc);
	if (!o.file)
		o.file = DEFAULT_FILE;

	if (!words)
		complain("out of memory");
	else if (o.action == HELP)
		status = print_usage();
	else if (o.action == VERSION)
		status = printf("connpoold %s\n", PACKAGE_VERSION) < 0;
	else if (o.action != WRONG)
		status = act(&o);
	free(words);
	return status;
}
