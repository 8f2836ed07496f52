/*
 * harness.c - folders, processes, the daemon and other servers for the black-box tests.
 */
#include "tests/daemon/harness.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <openssl/crypto.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define MANY 64

/* What one test holds. Check runs each test in a process of its own. */
static struct {
	char top[128]; /* of the program: the certificates */
	char dir[160]; /* of the test */
	void **kept;
	size_t kept_count, kept_size;
	struct origin *origins[MANY];
	size_t origin_count;
	pid_t children[MANY];
	size_t child_count;
	pid_t daemon;
	int daemon_status;
	bool daemon_gone, daemon_told;
} h;

/* ---- small things ---- */

const char *harness_dir(void)
{
	return h.dir;
}

bool harness_full(void)
{
	const char *full = getenv("CONNPOOL_TEST_FULL");

	return full && *full && *full != '0';
}

uint64_t harness_now(void)
{
	return program_now();
}

void harness_nap(void)
{
	program_nap();
}

bool harness_own_network(void)
{
	struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
	int fd, err;

	if (unshare(CLONE_NEWNET) < 0)
		return false;
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	err = fd < 0 ? -1 : ioctl(fd, SIOCSIFFLAGS, &lo);
	if (fd >= 0)
		close(fd);
	return err == 0;
}

static void *keep(void *p)
{
	ck_assert_ptr_nonnull(p);
	if (h.kept_count == h.kept_size) {
		h.kept_size = 2 * h.kept_size + 64;
		h.kept = realloc(h.kept, h.kept_size * sizeof(*h.kept));
		ck_assert_ptr_nonnull(h.kept);
	}
	h.kept[h.kept_count++] = p;
	return p;
}

static void forget_kept(void)
{
	while (h.kept_count)
		free(h.kept[--h.kept_count]);
	free(h.kept);
	h.kept = NULL;
	h.kept_size = 0;
}

char *text(const char *fmt, ...)
{
	char *s;
	va_list ap;

	va_start(ap, fmt);
	ck_assert_int_ge(vasprintf(&s, fmt, ap), 0);
	va_end(ap);
	return keep(s);
}

static char *read_fd(int fd, int ms)
{
	uint64_t until = harness_now() + (uint64_t)ms;
	size_t n = 0, cap = 65536;
	char *s = malloc(cap);

	ck_assert_ptr_nonnull(s);
	for (;;) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		uint64_t now = harness_now();

		if (now >= until || poll(&p, 1, (int)(until - now)) == 0)
			break;
		if (n + 32768 > cap) {
			s = realloc(s, cap *= 2);
			ck_assert_ptr_nonnull(s);
		}
		ssize_t got = read(fd, s + n, cap - n - 1);
		if (got == 0 || (got < 0 && errno != EINTR))
			break;
		n += got > 0 ? (size_t)got : 0;
	}
	s[n] = '\0';
	return keep(realloc(s, n + 1));
}

char *file_text(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return text("%s", "");
	char *s = read_fd(fd, PATIENCE);

	close(fd);
	return s;
}

void file_write(const char *path, const char *content)
{
	FILE *f = fopen(path, "we");

	ck_assert_msg(f != NULL, "%s: %s", path, strerror(errno));
	fputs(content, f);
	ck_assert_int_eq(fclose(f), 0);
}

void pattern_file(const char *path, uint64_t size)
{
	ck_assert(pattern_write(path, size));
}

/* ---- processes ---- */

static pid_t start(const char *const argv[], int out, int err)
{
	pid_t pid = program_start(argv, out, err);

	ck_assert_int_ge(pid, 0);
	return pid;
}

pid_t run(const char *const argv[])
{
	int log = open(
		text("%s/programs.log", h.dir), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	pid_t pid = start(argv, log, log);

	close(log);
	ck_assert_uint_lt(h.child_count, MANY);
	h.children[h.child_count++] = pid;
	return pid;
}

void stop(pid_t pid)
{
	for (size_t i = 0; i < h.child_count; i++) {
		if (h.children[i] != pid)
			continue;
		program_end(pid);
		h.children[i] = h.children[--h.child_count];
		return;
	}
}

static int run_shell(char **out, const char *command)
{
	const char *argv[] = {"timeout", "120", "sh", "-c", command, NULL};
	int p[2], status;

	ck_assert_int_eq(pipe2(p, O_CLOEXEC), 0);
	pid_t pid = start(argv, p[1], -1);

	close(p[1]);
	char *said = read_fd(p[0], 130000);

	close(p[0]);
	ck_assert_msg(program_ended(pid, &status, PATIENCE), "still runs: %s", command);
	if (out)
		*out = said;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int sh(char **out, const char *fmt, ...)
{
	char *command;
	va_list ap;

	va_start(ap, fmt);
	ck_assert_int_ge(vasprintf(&command, fmt, ap), 0);
	va_end(ap);
	return run_shell(out, keep(command));
}

char *curl(const char *fmt, ...)
{
	char *args, *out;
	va_list ap;

	va_start(ap, fmt);
	ck_assert_int_ge(vasprintf(&args, fmt, ap), 0);
	va_end(ap);
	keep(args);
	int status = run_shell(&out,
		text("curl -sS -q --max-time 100 --unix-socket %s %s", daemon_socket(), args));

	ck_assert_msg(status == 0, "curl %s: exit status %d, output: %.300s", args, status, out);
	return out;
}

/* ---- origins ---- */

struct origin *some_origin(const struct origin_opts *opts)
{
	struct origin *o = origin_start(opts, h.top);

	ck_assert_uint_lt(h.origin_count, MANY);
	h.origins[h.origin_count++] = o;
	return o;
}

struct origin *origin_of(int i)
{
	switch (i) {
	case 0:
		return h1_origin();
	case 1:
		return h2_origin();
	case 2:
		return some_origin(&(struct origin_opts){.tls = true});
	default:
		return some_origin(&(struct origin_opts){.h2 = true});
	}
}

struct origin *h1_origin(void)
{
	return some_origin(&(struct origin_opts){.tls = false});
}

struct origin *h2_origin(void)
{
	return some_origin(&(struct origin_opts){.tls = true, .h2 = true});
}

/* ---- the daemon ---- */

char *trust(void)
{
	return text("tls : { ca_file = \"%s/ca.pem\"; server_name = \"localhost\"; };", h.top);
}

char *upstream_at(const char *name, bool tls, const char *protocol, unsigned port, const char *more)
{
	return text(
		"{ name = \"%s\"; url = \"http%s://127.0.0.1:%u\"; protocols = [ \"%s\" ]; %s %s }",
		name, tls ? "s" : "", port, protocol, tls ? trust() : "", more);
}

char *upstream(const char *name, const struct origin *o, const char *more)
{
	const char *protocol = !origin_is_h2(o) ? "h1" : origin_is_tls(o) ? "h2" : "h2c";

	return upstream_at(
		name ? name : "origin", origin_is_tls(o), protocol, origin_port(o), more);
}

char *config(const char *listener_more, const char *upstreams)
{
	return text("listeners = ( { name = \"main\"; path = \"%s\"; mode = \"0600\"; %s } );\n"
		    "upstreams = (\n%s\n);\n",
		daemon_socket(), listener_more, upstreams);
}

const char *daemon_socket(void)
{
	return text("%s/pool.sock", h.dir);
}

const char *daemon_config(void)
{
	return text("%s/connpoold.conf", h.dir);
}

pid_t daemon_pid(void)
{
	return h.daemon;
}

char *daemon_log(void)
{
	return file_text(text("%s/daemon.log", h.dir));
}

unsigned daemon_logged(const char *what)
{
	unsigned n = 0;

	for (const char *p = daemon_log(); (p = strstr(p, what)); p += strlen(what))
		n++;
	return n;
}

unsigned daemon_logged_lines(const char *what, const char *and_what)
{
	unsigned n = 0;
	char *rest = daemon_log(), *line;

	while ((line = strsep(&rest, "\n")))
		n += strstr(line, what) && strstr(line, and_what);
	return n;
}

bool daemon_ended(int *status)
{
	if (!h.daemon_gone && waitpid(h.daemon, &h.daemon_status, WNOHANG) == h.daemon)
		h.daemon_gone = true;
	*status = h.daemon_status;
	return h.daemon_gone;
}

/* In one step, as editors do: the daemon may be reading the old one just now. */
void daemon_rewrite(const char *config_text)
{
	char path[256];

	snprintf(path, sizeof(path), "%s.new", daemon_config());
	file_write(path, config_text);
	ck_assert_int_eq(rename(path, daemon_config()), 0);
}

void daemon_start(const char *config_text)
{
	const char *program = getenv("CONNPOOLD");
	const char *argv[] = {
		program ? program : "./daemon/connpoold", "-c", daemon_config(), NULL};
	int status = 0, log;

	ck_assert_msg(h.daemon == 0 || h.daemon_gone, "one daemon a test");
	daemon_rewrite(config_text);
	log = open(text("%s/daemon.log", h.dir), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	ck_assert_int_ge(log, 0);
	h.daemon_gone = false;
	h.daemon = start(argv, log, log);
	close(log);
	WAIT_FOR(daemon_ended(&status) || strstr(daemon_log(), "event=\"ready\""));
	ck_assert_msg(!h.daemon_gone, "the daemon ended at its start");
}

void daemon_for(const struct origin *o, const char *more)
{
	daemon_start(config("", upstream(NULL, o, more)));
}

static void assert_clean_log(void)
{
	const char *log = daemon_log();

	ck_assert_msg(!strstr(log, "Sanitizer") && !strstr(log, "runtime error:"),
		"a sanitizer complained");
}

void daemon_end(void)
{
	int status;

	/* A second one would mean: at once. */
	if (!h.daemon_told && !daemon_ended(&status))
		kill(h.daemon, SIGTERM);
	h.daemon_told = true;
}

void daemon_stop(void)
{
	int status = 0;

	daemon_end();
	WAIT_FOR(daemon_ended(&status));
	assert_clean_log();
	ck_assert_msg(WIFEXITED(status), "the daemon was ended by signal %d", WTERMSIG(status));
	ck_assert_int_eq(WEXITSTATUS(status), 0);
}

void daemon_freeze(void)
{
	int status = 0;

	kill(h.daemon, SIGSTOP);
	WAIT_FOR(waitpid(h.daemon, &status, WNOHANG | WUNTRACED) == h.daemon);
	ck_assert(WIFSTOPPED(status));
}

void daemon_forget(void)
{
	assert_clean_log();
	h.daemon = 0;
}

unsigned long daemon_rss(void)
{
	const char *status = file_text(text("/proc/%d/status", (int)h.daemon));
	const char *rss = strstr(status, "VmRSS:");

	ck_assert_ptr_nonnull(rss);
	return strtoul(rss + 6, NULL, 10) * 1024;
}

bool daemon_sanitized(void)
{
	return strstr(file_text(text("/proc/%d/maps", (int)h.daemon)), "libasan") != NULL;
}

unsigned daemon_threads_cpu_ms(void)
{
	const char *stat = file_text(text("/proc/%d/stat", (int)h.daemon));
	const char *p = strrchr(stat, ')');
	unsigned long user = 0, sys = 0;

	ck_assert_ptr_nonnull(p);
	ck_assert_int_eq(
		sscanf(p, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &sys), 2);
	return (unsigned)((user + sys) * 1000 / (unsigned long)sysconf(_SC_CLK_TCK));
}

/* ---- counters ---- */

uint64_t counted(const char *counters, const char *group, const char *name)
{
	const char *from = group ? strstr(counters, text("\"%s\":{", group)) : counters;
	const char *key = text("\"%s\":", name), *p;

	ck_assert_msg(from != NULL, "no group %s in %s", group, counters);
	p = strstr(from, key);
	ck_assert_msg(p && (!group || p < strchr(from, '}')), "no %s in %s", name, counters);
	return strtoull(p + strlen(key), NULL, 10);
}

/* Of all members of a group. */
static uint64_t sum_of(const char *counters, const char *group)
{
	const char *p = strstr(counters, text("\"%s\":{", group));
	const char *end = p ? strchr(p, '}') : NULL;
	uint64_t sum = 0;

	ck_assert_msg(p && end, "no group %s in %s", group, counters);
	p = strchr(p, '{');
	while ((p = strchr(p + 1, ':')) && p < end)
		sum += strtoull(p + 1, NULL, 10);
	return sum;
}

static void assert_sums(const char *c)
{
	static const char *const ends[] = {
		"answered", "cut", "rejected", "abandoned", "moved", "running"};
	uint64_t ended = 0;

	for (size_t i = 0; i < sizeof(ends) / sizeof(*ends); i++)
		ended += counted(c, NULL, ends[i]);
	ck_assert_msg(counted(c, NULL, "requests") == ended, "requests: %s", c);
	ck_assert_msg(counted(c, NULL, "rejected") == sum_of(c, "rejected_by_reason"), "%s", c);
	ck_assert_msg(counted(c, NULL, "retried") == sum_of(c, "retried_by_reason"), "%s", c);
	ck_assert_msg(counted(c, "wait", "count") == counted(c, NULL, "attempts"), "%s", c);
	ck_assert_msg(counted(c, "total", "count") == counted(c, NULL, "answered"), "%s", c);
	ck_assert_msg(counted(c, "first_byte", "count") <= counted(c, NULL, "attempts"), "%s", c);
}

/* The lines of log about this upstream; NULL: they are not all there yet. */
static char *lines_about(const char *log, const char *upstream)
{
	const char *name = text("\"upstream\":\"%s\",", upstream);
	char *found = text("%s", "");
	const char *end;
	bool last = false;

	for (; !last && (end = strchr(log, '\n')); log = end + 1) {
		char *line = text("%.*s", (int)(end - log), log);

		if (!strstr(line, "event=\"counters\"") || !strstr(line, name))
			continue;
		found = text("%s%s\n", found, line);
		last = strstr(line, "\"first_byte\":") != NULL;
	}
	return last ? found : NULL;
}

const char *daemon_counters(const char *upstream)
{
	size_t before = strlen(daemon_log());
	const char *found;

	kill(h.daemon, SIGUSR1);
	WAIT_FOR((found = lines_about(daemon_log() + before, upstream)));
	assert_sums(found);
	return found;
}

void daemon_queues(const char *upstream, unsigned n)
{
	WAIT_FOR(counted(daemon_counters(upstream), NULL, "waiting") == n);
}

/* By the one worker so far. */
static uint64_t accepted(void)
{
	unsigned before = daemon_logged("\"clients_accepted\":");
	const char *last = NULL;

	kill(h.daemon, SIGUSR1);
	WAIT_FOR(daemon_logged("\"clients_accepted\":") > before);
	for (const char *p = daemon_log(); (p = strstr(p, "\"clients_accepted\":")); p++)
		last = p;
	return strtoull(strchr(last, ':') + 1, NULL, 10);
}

void daemon_accepts(unsigned n)
{
	WAIT_FOR(accepted() >= n);
}

/* ---- nginx, nghttpd ---- */

/* Serves on port, or ended (somebody else took the port, or it is not installed). */
static bool came_up(pid_t pid, unsigned port)
{
	bool gone, up = program_came_up(pid, port, PATIENCE, &gone);

	h.child_count -= gone;
	return up;
}

/* Paths are relative to the test's folder (-p). */
static const char nginx_conf[] =
	"daemon off; master_process off; pid nginx.pid; error_log nginx.err;\n"
	"events { worker_connections 4096; }\n"
	"http {\n"
	"  log_format conn '$connection $request_method $uri $server_protocol';\n"
	"  access_log nginx.log conn;\n"
	"  client_body_temp_path tmp; proxy_temp_path tmp; fastcgi_temp_path tmp;\n"
	"  uwsgi_temp_path tmp; scgi_temp_path tmp;\n"
	"  client_max_body_size 0; keepalive_requests %u; keepalive_timeout 60s;\n"
	"  server {\n"
	"    listen 127.0.0.1:%u ssl http2; listen 127.0.0.1:%u ssl; listen 127.0.0.1:%u;\n"
	"    ssl_certificate %s/server.pem; ssl_certificate_key %s/server.key;\n"
	"    root www;\n"
	"    location /dav/ { dav_methods PUT DELETE; create_full_put_path on; }\n"
	"    location /method { return 200 \"$request_method $content_length $host\\n\"; }\n"
	"    location /nothing { return 204; }\n"
	"  }\n"
	"}\n";

void nginx_start(struct nginx *n)
{
	nginx_start_retiring(n, 1000000);
}

void nginx_start_retiring(struct nginx *n, unsigned requests)
{
	const char *conf = text("%s/nginx.conf", h.dir);
	const char *argv[] = {
		"nginx", "-p", h.dir, "-c", conf, "-e", text("%s/nginx.err", h.dir), NULL};

	n->root = text("%s/www", h.dir);
	n->log = text("%s/nginx.log", h.dir);
	mkdir(n->root, 0755);
	mkdir(text("%s/tmp", h.dir), 0700);
	for (int i = 0; i < 5; i++) {
		n->h2 = free_port();
		n->h1s = free_port();
		n->h1 = free_port();
		file_write(conf, text(nginx_conf, requests, n->h2, n->h1s, n->h1, h.top, h.top));
		n->pid = run(argv);
		if (came_up(n->pid, n->h1))
			return;
	}
	ck_abort_msg("nginx does not start: %s %s", file_text(text("%s/nginx.err", h.dir)),
		file_text(text("%s/programs.log", h.dir)));
}

unsigned nghttpd_start(bool tls, const char *root)
{
	for (int i = 0; i < 5; i++) {
		unsigned port = free_port();
		const char *p = text("%u", port), *docs = text("-d%s", root);
		const char *with[] = {"nghttpd", "-a127.0.0.1", "--echo-upload", docs, p,
			text("%s/server.key", h.top), text("%s/server.pem", h.top), NULL};
		const char *without[] = {
			"nghttpd", "-a127.0.0.1", "--echo-upload", docs, "--no-tls", p, NULL};

		if (came_up(run(tls ? with : without), port))
			return port;
	}
	ck_abort_msg("nghttpd does not start: %s", file_text(text("%s/programs.log", h.dir)));
}

/* ---- begin and end ---- */

static void begin(void)
{
	/* Check ends the process by exit(): OpenSSL must not be torn down under running threads. */
	OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT, NULL);
	snprintf(h.dir, sizeof(h.dir), "%s/t-XXXXXX", h.top);
	ck_assert_ptr_nonnull(mkdtemp(h.dir));
	signal(SIGPIPE, SIG_IGN);
	/*
	 * Freed memory goes back soon, so that what is resident says something under ASan as well.
	 */
	setenv("ASAN_OPTIONS", "quarantine_size_mb=2:thread_local_quarantine_size_kb=64", 0);
}

static void finish(void)
{
	while (h.child_count)
		program_end(h.children[--h.child_count]);
	if (h.daemon)
		daemon_stop();
	while (h.origin_count)
		origin_stop(h.origins[--h.origin_count]);
	remove_tree(h.dir);
	forget_kept();
}

TCase *harness_case(Suite *s, const char *name)
{
	TCase *tc = tcase_create(name);

	tcase_add_checked_fixture(tc, begin, finish);
	tcase_set_timeout(tc, harness_full() ? 600 : 240);
	suite_add_tcase(s, tc);
	return tc;
}

/*
 * A test that failed left its folder: Check ends its process on the spot. What the
 * daemon of each said last is the best hint there is.
 */
static void tell_one(const char *dir)
{
	char path[512], log[4000];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s/daemon.log", h.top, dir);
	f = fopen(path, "re");
	if (!f)
		return;
	if (fseek(f, -(long)sizeof(log), SEEK_END) != 0)
		rewind(f);
	size_t n = fread(log, 1, sizeof(log), f);

	fclose(f);
	fprintf(stderr, "---- end of a failed test's %s:\n%.*s\n", path, (int)n, log);
}

static void tell_failed(void)
{
	DIR *d = opendir(h.top);
	struct dirent *e;

	while (d && (e = readdir(d)))
		if (strncmp(e->d_name, "t-", 2) == 0)
			tell_one(e->d_name);
	if (d)
		closedir(d);
}

static bool make_certificates(void)
{
	const char *src = getenv("srcdir");
	char command[512];

	snprintf(command, sizeof(command), "%s/tests/tools/certs.sh %s", src ? src : ".", h.top);
	return system(command) == 0;
}

int harness_main(Suite *s)
{
	const char *tmp = getenv("TMPDIR");
	SRunner *runner = srunner_create(s);
	int failed = 1;

	snprintf(h.top, sizeof(h.top), "%s/connpool-XXXXXX", tmp ? tmp : "/tmp");
	if (!mkdtemp(h.top) || !make_certificates()) {
		fprintf(stderr, "no certificates in %s (tests/tools/certs.sh)\n", h.top);
	} else {
		srunner_run_all(runner, CK_ENV);
		failed = srunner_ntests_failed(runner);
		tell_failed();
	}
	remove_tree(h.top);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
