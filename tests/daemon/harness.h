/*
 * harness.h - starts the real daemon, real servers and real clients for black-box tests.
 *
 * Every test gets a temporary folder with certificates; what it started is
 * ended with it. When the test is over the daemon must end by SIGTERM with status 0 and without
 * a sanitizer's report, and its log is printed when anything failed.
 *
 * The environment: CONNPOOLD is the daemon (default ./daemon/connpoold), srcdir the top of the
 * sources, CONNPOOL_TEST_FULL=1 runs the long forms of the tests that have one.
 */
#ifndef DAEMON_HARNESS_H
#define DAEMON_HARNESS_H

#include <check.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "tests/daemon/origin.h"

#define PATIENCE 60000 /* ms: guards against what never comes; nothing is measured by it */

/* ---- the program and its tests ---- */

TCase *harness_case(Suite *s, const char *name); /* each test in a folder of its own */
int harness_main(Suite *s);

const char *harness_dir(void); /* of this test; ca.pem, server.pem, ... in it */
bool harness_full(void);
uint64_t harness_now(void); /* ms */
void harness_nap(void);     /* a few ms, between two looks at a condition */

/*
 * From here on this thread and what it starts have a network of their own with nothing but the
 * loopback. false: they may not.
 */
bool harness_own_network(void);

/* Text that lives as long as the test. */
char *text(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
char *file_text(const char *path); /* "" if there is none */
void file_write(const char *path, const char *content);

/* Looks until the condition holds, at most PATIENCE. Fails the test else. */
#define WAIT_FOR(condition)                                                                        \
	do {                                                                                       \
		uint64_t until_ = harness_now() + PATIENCE;                                        \
		while (!(condition)) {                                                             \
			ck_assert_msg(harness_now() < until_, "never: %s", #condition);            \
			harness_nap();                                                             \
		}                                                                                  \
	} while (0)

/* ---- origins ---- */

/* Stopped with the test. */
struct origin *h1_origin(void);
struct origin *h2_origin(void); /* over TLS */
struct origin *some_origin(const struct origin_opts *opts);
struct origin *origin_of(
	int i); /* of a loop test: HTTP/1, HTTP/2 over TLS; HTTP/1 over TLS, HTTP/2 */

/* ---- the daemon ---- */

char *trust(void); /* the tls group with which an upstream believes the origins of the tests */
/* The group of one upstream; more: further settings. NULL name: "origin". */
char *upstream(const char *name, const struct origin *o, const char *more);
char *upstream_at(
	const char *name, bool tls, const char *protocol, unsigned port, const char *more);
/* A whole configuration: one listener (with more settings) and these upstreams (with commas). */
char *config(const char *listener_more, const char *upstreams);

void daemon_start(const char *config_text);                /* and waits until it serves */
void daemon_for(const struct origin *o, const char *more); /* one upstream, one listener */
void daemon_end(void);                                     /* SIGTERM, once; does not wait */
void daemon_stop(void);                                    /* the same, and it must end well */
void daemon_freeze(void); /* SIGSTOP, and all its threads stand; SIGCONT is the test's */
void daemon_forget(void); /* it ended, and not with 0: only sanitizers are looked for */
void daemon_rewrite(const char *config_text); /* the file only */
pid_t daemon_pid(void);
const char *daemon_socket(void);
const char *daemon_config(void); /* path */
bool daemon_ended(int *status);  /* as of waitpid */
char *daemon_log(void);
unsigned daemon_logged(const char *what);                             /* how often */
unsigned daemon_logged_lines(const char *what, const char *and_what); /* with both in them */
unsigned long daemon_rss(void);                                       /* bytes */
/*
 * What is counted of an upstream now (SIGUSR1), as JSON text for counted(). Fails the test if sums
 * do not agree: requests and how they ended, totals and their reasons, durations and attempts.
 */
const char *daemon_counters(const char *upstream);
/* "requests", "goaway" of group "retried_by_reason", "count" of "wait"; group NULL: of no group. */
uint64_t counted(const char *counters, const char *group, const char *name);
void daemon_queues(const char *upstream, unsigned n); /* waits until so many requests do */
void daemon_accepts(unsigned n);      /* waits until its one worker has had so many clients */
bool daemon_sanitized(void);          /* built with ASan: memory numbers mean little */
unsigned daemon_threads_cpu_ms(void); /* CPU time used so far */

/* ---- other programs ---- */

/* Runs a command line by sh; its exit status, and what it wrote to stdout. At most 120 s. */
int sh(char **out, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* curl through the daemon's socket; fails the test unless it exits 0. What it wrote. */
char *curl(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
pid_t run(const char *const argv[]); /* in the background, ended with the test */
void stop(pid_t pid);                /* SIGTERM, waits */

struct nginx {
	pid_t pid;
	unsigned h2, h1s, h1; /* ports: h2 over TLS, HTTP/1 over TLS, HTTP/1 */
	const char *root;     /* documents; PUT and DELETE work below /dav/ */
	const char *log;      /* one line a request: connection number, method, path, protocol */
};

void nginx_start(struct nginx *n);
/* Each connection carries only so many requests. */
void nginx_start_retiring(struct nginx *n, unsigned requests);
/* nghttpd on a free port, documents from root; echoes what is uploaded. */
unsigned nghttpd_start(bool tls, const char *root);
void pattern_file(const char *path, uint64_t size);

/* ---- a client of bytes ---- */

struct client {
	int fd;
	char *in; /* read, not yet used */
	size_t n, cap;
	bool eof;
	const char *what; /* named when it hears nothing; NULL */
};

struct answer {
	unsigned status, minor;
	const char *head; /* the status line and fields, as text */
	const char *body; /* without chunk framing; terminated */
	size_t len;
	bool whole; /* by its framing, not cut */
	bool chunked;
	bool sized;           /* Content-Length was there */
	const char *trailers; /* as text, "" if none */
};

struct client *client_open(void); /* to daemon_socket() */
struct client *client_open_at(const char *path);
void client_write(struct client *c, const void *data, size_t n); /* failing is fine */
void client_say(struct client *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Sends until nothing is taken for a second, 200 MiB at most; how many bytes were. */
uint64_t client_push(struct client *c);
/* The next answer, 1xx included; status 0: the connection ended before a head. */
struct answer client_next(struct client *c, bool to_head);
struct answer client_answer(struct client *c);    /* the next final one */
bool client_closed(struct client *c);             /* EOF or reset comes, and nothing before it */
bool client_quiet(struct client *c, unsigned ms); /* nothing comes for so long */
void client_shut(struct client *c);               /* SHUT_WR */
void client_close(struct client *c);

/* One request with these fields ("Name: value\r\n" each, Host included or not), its answer. */
struct answer get(struct client *c, const char *path);
struct answer get_once(const char *path); /* on a connection of its own */
/* The same in two halves: "origin" is asked, and the answer is the last thing that is heard. */
struct client *client_ask(const char *path);
struct answer client_hear(struct client *c);
/* Value of a field of the head, NULL if absent. */
const char *answer_field(const struct answer *a, const char *name);
/* A problem of RFC 9457 with that status. */
void assert_json(const struct answer *a, unsigned status);
/* The daemon said so itself: RFC 9457 body, RFC 9209 field. */
void assert_own_answer(const struct answer *a, unsigned status);

#endif
