/*
 * test_closes.c - a server that closes its HTTP/1 connections soon after each answer, some way off:
 * the request and the close pass each other on the way.
 *
 * The server is one thread that plays the distance: what the daemon sends counts as arrived DELAY
 * later, and what the server does, answers and closes, reaches the daemon DELAY later. So which
 * of the two came first is known, whatever the machine does meanwhile:
 *
 *	daemon  ──request──┐        sees the answer      sees the close
 *	server             └> carries out, answers ... closes (N after) ─ what arrives now is lost
 */
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "tests/daemon/caller.h"
#include "tests/daemon/harness.h"

#define DELAY   2000u /* us, one way */
#define STEPS   9u    /* of N, from 0 to twice the round trip */
#define CALLERS 8
#define CONNS   64
#define NONCES  200000u
#define NEVER   UINT64_MAX

static uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* ---- the server ---- */

struct far_conn {
	int fd; /* -1: none */
	char in[2048];
	size_t n;
	uint64_t answer_at; /* us: the answer reaches the daemon; NEVER */
	uint64_t closed_at; /* us: the server closes; NEVER */
	uint64_t reset_at; /* us: its reset of a request that came late reaches the daemon; NEVER */
};

static struct {
	int listener;
	unsigned port;
	pthread_t thread;
	atomic_bool stop;
	atomic_uint keep;     /* us from an answer to the close: N */
	atomic_uint too_late; /* requests that met a closed connection */
	struct far_conn conns[CONNS];
	_Atomic unsigned char carried_out[NONCES];
} far;

static void far_drop(struct far_conn *c, bool reset)
{
	struct linger hard = {.l_onoff = 1};

	if (reset)
		setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	close(c->fd);
	c->fd = -1;
}

/* The length of a whole request at the start of in, 0: not there yet. */
static size_t request_length(const struct far_conn *c)
{
	const char *end = memmem(c->in, c->n, "\r\n\r\n", 4);
	const char *field = memmem(c->in, c->n, "ontent-", 7);
	size_t n;

	if (!end)
		return 0;
	n = (size_t)(end - c->in) + 4;
	if (field && field < end)
		n += strtoul(field + 15, NULL, 10);
	return n <= c->n ? n : 0;
}

/* At this moment a whole request has left the daemon. */
static void far_request(struct far_conn *c, size_t n, uint64_t now)
{
	uint64_t arrives = now + DELAY;
	unsigned nonce = (unsigned)strtoul(strchr(c->in, '/') + 1, NULL, 10);

	memmove(c->in, c->in + n, c->n - n);
	c->n -= n;
	if (c->closed_at <= arrives) {
		atomic_fetch_add(&far.too_late, 1);
		c->reset_at = arrives + DELAY;
		return;
	}
	if (nonce < NONCES)
		atomic_fetch_add(&far.carried_out[nonce], 1);
	c->answer_at = arrives + DELAY;
	c->closed_at = arrives + atomic_load(&far.keep);
}

static void far_read(struct far_conn *c, uint64_t now)
{
	ssize_t got = recv(c->fd, c->in + c->n, sizeof(c->in) - 1 - c->n, 0);
	size_t n;

	if (got <= 0) {
		far_drop(c, false);
		return;
	}
	c->n += (size_t)got;
	c->in[c->n] = '\0';
	n = request_length(c);
	if (n > 0)
		far_request(c, n, now);
}

static void far_due(struct far_conn *c, uint64_t now)
{
	static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n";

	if (c->answer_at <= now) {
		send(c->fd, answer, sizeof(answer) - 1, MSG_NOSIGNAL);
		c->answer_at = NEVER;
	}
	if (c->closed_at != NEVER && c->closed_at + DELAY <= now && c->answer_at == NEVER) {
		shutdown(c->fd, SHUT_WR); /* more can arrive, and is answered by a reset */
		if (c->reset_at == NEVER)
			c->reset_at = now + 4 * DELAY;
	}
	if (c->reset_at <= now)
		far_drop(c, true);
}

static void far_accept(void)
{
	int fd = accept4(far.listener, NULL, NULL, SOCK_CLOEXEC);

	for (int i = 0; fd >= 0 && i < CONNS; i++) {
		if (far.conns[i].fd >= 0)
			continue;
		far.conns[i] = (struct far_conn){
			.fd = fd, .answer_at = NEVER, .closed_at = NEVER, .reset_at = NEVER};
		return;
	}
	if (fd >= 0)
		close(fd);
}

static void *far_main(void *arg)
{
	struct timespec tick = {.tv_nsec = 200000};

	while (!atomic_load(&far.stop)) {
		struct pollfd p[CONNS + 1] = {{.fd = far.listener, .events = POLLIN}};
		uint64_t now;

		for (int i = 0; i < CONNS; i++)
			p[i + 1] = (struct pollfd){.fd = far.conns[i].fd, .events = POLLIN};
		ppoll(p, CONNS + 1, &tick, NULL);
		now = now_us();
		for (int i = 0; i < CONNS; i++) {
			if (far.conns[i].fd >= 0 && p[i + 1].revents)
				far_read(&far.conns[i], now);
			if (far.conns[i].fd >= 0)
				far_due(&far.conns[i], now);
		}
		if (p[0].revents)
			far_accept();
	}
	return arg;
}

static void far_start(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(a);

	for (int i = 0; i < CONNS; i++)
		far.conns[i].fd = -1;
	far.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(far.listener, (struct sockaddr *)&a, sizeof(a)), 0);
	ck_assert_int_eq(listen(far.listener, CONNS), 0);
	ck_assert_int_eq(getsockname(far.listener, (struct sockaddr *)&a, &len), 0);
	far.port = ntohs(a.sin_port);
	ck_assert_int_eq(pthread_create(&far.thread, NULL, far_main, NULL), 0);
}

static void far_stop(void)
{
	atomic_store(&far.stop, true);
	pthread_join(far.thread, NULL);
	for (int i = 0; i < CONNS; i++)
		if (far.conns[i].fd >= 0)
			close(far.conns[i].fd);
	close(far.listener);
}

/* ---- the callers ---- */

static struct {
	const char *socket, *method, *body;
	atomic_uint next; /* the next nonce */
	unsigned end;     /* stop before it */
	atomic_uint good, failed, failed_unsent;
	atomic_uint wrong; /* against the rules: told in first_wrong */
	char first_wrong[200];
} calls;

static void judge(unsigned nonce, const struct reply *r)
{
	unsigned times = atomic_load(&far.carried_out[nonce]);
	bool get = strcmp(calls.method, "GET") == 0;
	bool fine;

	if (r->status == 200) {
		atomic_fetch_add(&calls.good, 1);
		fine = r->whole && times >= 1 && (get || times == 1);
	} else {
		atomic_fetch_add(r->safe ? &calls.failed_unsent : &calls.failed, 1);
		fine = !get && r->status == 502 && r->whole && r->told &&
		       times <= (r->safe ? 0 : 1);
	}
	if (!fine && atomic_fetch_add(&calls.wrong, 1) == 0)
		snprintf(calls.first_wrong, sizeof(calls.first_wrong),
			"request %u: status %u, whole %d, hung %d, retry-safe %d, carried out "
			"%u times",
			nonce, r->status, r->whole, r->hung, r->safe, times);
}

/* Pauses of up to twice the round trip, so that each moment of a connection is met. */
static void *caller_main(void *arg)
{
	struct caller c = {.fd = -1};
	struct reply r;
	unsigned seed = (unsigned)(uintptr_t)arg, nonce;
	char path[32];

	while ((nonce = atomic_fetch_add(&calls.next, 1)) < calls.end) {
		struct timespec pause = {.tv_nsec = (long)(rand_r(&seed) % (4 * DELAY)) * 1000};

		nanosleep(&pause, NULL);
		snprintf(path, sizeof(path), "/%u", nonce);
		caller_ask(&c, calls.socket, calls.method, path, calls.body, &r);
		judge(nonce, &r);
	}
	caller_close(&c);
	return NULL;
}

static void call(unsigned count)
{
	pthread_t t[CALLERS];

	calls.end = atomic_load(&calls.next) + count;
	ck_assert_uint_le(calls.end, NONCES);
	for (uintptr_t i = 0; i < CALLERS; i++)
		ck_assert_int_eq(pthread_create(&t[i], NULL, caller_main, (void *)(i + 1)), 0);
	for (int i = 0; i < CALLERS; i++)
		pthread_join(t[i], NULL);
	atomic_store(&calls.next, calls.end);
	ck_assert_msg(calls.wrong == 0, "%u of %u: %s", calls.wrong, calls.end, calls.first_wrong);
}

/* N from 0 to twice the round trip; each makes count requests in all. */
static void sweep(const char *method, const char *body, unsigned count)
{
	far_start();
	daemon_start(config("", upstream_at("origin", false, "h1", far.port,
					"max_connections = 16; max_idle = 16;")));
	calls.socket = daemon_socket();
	calls.method = method;
	calls.body = body;
	for (unsigned step = 0; step < STEPS; step++) {
		unsigned before = atomic_load(&far.too_late);

		atomic_store(&far.keep, 4 * DELAY * step / (STEPS - 1));
		call(count / STEPS);
		if (harness_full())
			printf("%s, close after %u us: %u requests, %u met a closed connection\n",
				method, atomic_load(&far.keep), count / STEPS,
				atomic_load(&far.too_late) - before);
	}
	if (harness_full())
		printf("%s: %u good, %u failed and told to be safe to repeat, %u failed\n", method,
			calls.good, calls.failed_unsent, calls.failed);
}

START_TEST(no_get_fails_whenever_the_server_closes)
{
	sweep("GET", NULL, harness_full() ? 100008 : 2700);
	ck_assert_uint_eq(calls.good, calls.end);
	/* Else nothing was tried. */
	ck_assert_uint_gt(far.too_late, calls.end / 100);
	daemon_stop();
	far_stop();
}
END_TEST

START_TEST(no_post_is_carried_out_twice_whenever_the_server_closes)
{
	sweep("POST", "a body", harness_full() ? 20007 : 1800);
	ck_assert_uint_gt(far.too_late, calls.end / 100);
	ck_assert_uint_gt(calls.good, calls.end / 2);
	daemon_stop();
	far_stop();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("closes");
	TCase *tc = harness_case(s, "closes under requests");

	tcase_add_test(tc, no_get_fails_whenever_the_server_closes);
	tcase_add_test(tc, no_post_is_carried_out_twice_whenever_the_server_closes);
	return harness_main(s);
}
