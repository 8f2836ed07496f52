/*
 * main.c - options and start. The thread that runs main becomes the control thread.
 *
 *   control thread   signals, log output, systemd, reload      control/
 *   N workers        everything that has to do with a request  worker/
 */
#include <config.h>

#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/base/conf.h"
#include "daemon/control/control.h"
#include "daemon/control/reload.h"

#ifndef SYSCONFDIR
#define SYSCONFDIR "/etc"
#endif

#define DEFAULT_FILE SYSCONFDIR "/connpoold/connpoold.conf"

struct options {
	const char *file; /* -c; NULL: the default, or the command line is the configuration */
	enum { RUN, CHECK, VERSION, HELP, WRONG } action;
	struct conf_cli cli;
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

static void complain_text(const char *text)
{
	complain("%s", text);
}

static void complain_lines(char *text)
{
	char *line;

	while ((line = next_line(&text)))
		complain("%s", line);
}

static const char usage[] =
	"Usage: connpoold [-t] [-c FILE]\n"
	"       connpoold [-t] --upstream [NAME=]URL ... --listen PATH ...\n"
	"\n"
	"Forwards HTTP requests from local Unix sockets to HTTPS servers, over few\n"
	"connections that are kept open and shared.\n"
	"\n"
	"  -c, --config FILE          the configuration [" DEFAULT_FILE "]\n"
	"  -t, --test                 check the configuration, print all errors, exit 0 or 1\n"
	"      --upstream [NAME=]URL  no file: forward to this server; may be repeated\n"
	"      --listen PATH          no file: listen on this socket; may be repeated\n"
	"  -V, --version              print the version\n"
	"  -h, --help                 print this text\n"
	"\n"
	"Signals: TERM and INT finish what runs and stop, a second one stops at once;\n"
	"HUP reloads the configuration; USR1 logs the counters. See connpoold(8).\n";

static int print_usage(void)
{
	return fputs(usage, stdout) < 0;
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

	/*
	 * Without 0, 1 and 2 a socket would get one of these numbers, and log lines would go to it.
	 */
	do
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);

	signal(SIGPIPE, SIG_IGN);
	raise_descriptor_limit();
#ifndef SANITIZED
	/*
	 * Private keys and credentials live in memory: neither core files nor debuggers of this
	 * user.
	 */
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
	const struct control_opts run = {.file = o->cli.upstream_count ? NULL : o->file,
		.cli = &o->cli,
		.journal = stderr_is_journal(),
		.complain = complain_text};
	char *warnings = NULL;
	struct conf *conf;
	int status = 1;

	conf = load(o, &warnings);
	if (conf && o->action == CHECK)
		status = check(run.file ? run.file : "command line", conf, warnings);
	else if (conf)
		status = control_run(&run, conf, warnings);
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
