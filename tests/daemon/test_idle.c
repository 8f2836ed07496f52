/*
 * test_idle.c - servers that give up connections that rest, and servers that are away for a while.
 */
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/daemon/caller.h"
#include "tests/daemon/harness.h"
#include "tests/daemon/origin_int.h"

static struct caller caller = {.fd = -1};

static void ask(struct reply *r)
{
	caller_ask(&caller, daemon_socket(), "GET", "/", NULL, r);
}

/* ---- a server with an idle timeout ---- */

#define IDLE   1500 /* ms, then the server has given the connection up */
#define MARGIN 900  /* ms: so late may be what the daemon does in time */

static struct {
	const char *field;  /* one more of the answer */
	atomic_uint idle;   /* ms; 0: waits for the daemon to close */
	bool unheard;       /* its close is heard of only when the next request is lost to it */
	atomic_uint closes; /* by the server */
	atomic_uint lost;   /* requests */
	atomic_uint rested; /* ms, until the daemon closed the last one */
	atomic_bool closed_by_daemon;
	bool unused_too; /* gives up connections that never carried a request */
} server;

/* Bytes or an end come within ms. */
static bool comes(struct origin_conn *oc, int ms)
{
	struct pollfd p[2] = {
		{.fd = oc->origin->stop, .events = POLLIN}, {.fd = oc->fd, .events = POLLIN}};

	return poll(p, 2, ms) > 0;
}

static void give_up(struct origin_conn *oc)
{
	char c;

	atomic_fetch_add(&server.closes, 1);
	if (server.unheard && comes(oc, -1) && recv(oc->fd, &c, 1, MSG_PEEK) == 1)
		atomic_fetch_add(&server.lost, 1);
}

/* Rests until the next request or the daemon's end. false: the server had no more patience. */
static bool idle_rest(struct origin_conn *oc)
{
	uint64_t since = harness_now();
	char c;

	if (!comes(oc, atomic_load(&server.idle) ? (int)atomic_load(&server.idle) : -1)) {
		give_up(oc);
		return false;
	}
	if (recv(oc->fd, &c, 1, MSG_PEEK) == 0) {
		atomic_store(&server.rested, (unsigned)(harness_now() - since));
		atomic_store(&server.closed_by_daemon, true);
	}
	return true;
}

static void idle_serve(struct origin_conn *oc)
{
	if (server.unused_too && !idle_rest(oc))
		return;
	while (oc_read_head(oc)) {
		oc_say(oc, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n");
		oc_say(oc, server.field ? server.field : "");
		oc_say(oc, "\r\nok\n");
		if (!idle_rest(oc))
			return;
	}
}

static struct origin *idle_start(const char *more)
{
	struct origin *o = some_origin(&(struct origin_opts){.serve = idle_serve});

	daemon_for(o, more);
	return o;
}

static void rest(unsigned ms)
{
	uint64_t until = harness_now() + ms;

	while (harness_now() < until)
		harness_nap();
}

static void assert_answered(void)
{
	struct reply r;

	ask(&r);
	ck_assert_msg(r.status == 200 && r.whole, "%u %.*s", r.status, (int)r.n, r.body);
}

/* The answer's connection then rests until one of both gives it up. Which: the server? */
static bool answered_and_given_up_by_the_server(void)
{
	unsigned closes = atomic_load(&server.closes);

	atomic_store(&server.closed_by_daemon, false);
	assert_answered();
	WAIT_FOR(atomic_load(&server.closes) > closes || atomic_load(&server.closed_by_daemon));
	return !atomic_load(&server.closed_by_daemon);
}

/* Each request comes when the server has given up the connection and the daemon cannot know. */
START_TEST(after_three_closes_no_request_meets_a_dead_connection)
{
	unsigned closes;

	atomic_store(&server.idle, IDLE);
	server.unheard = true;
	idle_start(text("idle_timeout_margin = \"%dms\";", MARGIN));
	for (closes = 0; closes < 3 && answered_and_given_up_by_the_server(); closes++)
		;
	ck_assert_uint_ge(closes, 1); /* else nothing was tried */
	for (int i = 0; i < 3; i++) {
		assert_answered();
		closes = atomic_load(&server.lost);
		ck_assert(!answered_and_given_up_by_the_server());
		ck_assert_uint_eq(atomic_load(&server.lost), closes);
	}
	ck_assert_uint_ge(atomic_load(&server.lost), 1);
	ck_assert_uint_le(atomic_load(&server.closes), 3);
}
END_TEST

/* Nobody asks: the closes alone teach it. */
START_TEST(closes_seen_while_nothing_is_asked_count_as_well)
{
	atomic_store(&server.idle, IDLE);
	idle_start(text("idle_timeout_margin = \"%dms\";", MARGIN));
	unsigned closes = 0;

	/* Two that agree are needed, of three at most. */
	while (answered_and_given_up_by_the_server()) {
		ck_assert_uint_le(++closes, 3);
		WAIT_FOR(daemon_logged("event=\"closed\"") == closes);
	}
	ck_assert_uint_lt(atomic_load(&server.rested), IDLE);
	ck_assert_uint_ge(atomic_load(&server.rested), (IDLE - MARGIN) / 2);
	ck_assert_uint_ge(closes, 2);
}
END_TEST

START_TEST(what_the_server_says_in_keep_alive_is_kept)
{
	server.field = "Keep-Alive: max=100, timeout=2\r\n";
	idle_start("idle_timeout_margin = \"1s\";");
	assert_answered();
	WAIT_FOR(atomic_load(&server.closed_by_daemon));
	ck_assert_uint_ge(atomic_load(&server.rested), 700);
	ck_assert_uint_lt(atomic_load(&server.rested), 2000);
}
END_TEST

START_TEST(a_longer_time_in_keep_alive_changes_nothing)
{
	server.field = "Keep-Alive: timeout=1000\r\n";
	idle_start("idle_timeout = \"300ms\";");
	assert_answered();
	WAIT_FOR(atomic_load(&server.closed_by_daemon));
	ck_assert_uint_lt(atomic_load(&server.rested), 2000);
}
END_TEST

START_TEST(nothing_is_learned_when_it_is_switched_off)
{
	server.field = "Keep-Alive: timeout=1\r\n";
	idle_start("idle_timeout_learn = false;");
	assert_answered();
	rest(1300);
	ck_assert(!atomic_load(&server.closed_by_daemon));
}
END_TEST

/* Each request comes when what was open at the one before would be closed by the server. */
START_TEST(a_floor_is_renewed_before_the_server_closes_it)
{
	struct origin *o;
	unsigned closes;
	const char *c;

	atomic_store(&server.idle, IDLE);
	server.unused_too = true;
	o = idle_start(
		text("min_connections = 2; idle_timeout_margin = \"%dms\"; backoff_min = \"50ms\";",
			MARGIN));
	WAIT_FOR(atomic_load(&server.closed_by_daemon)); /* learned, and nobody asked */
	closes = atomic_load(&server.closes);
	ck_assert_uint_le(closes, 6);
	for (int i = 0; i < 3; i++) {
		rest(IDLE);
		assert_answered();
	}
	ck_assert_uint_eq(atomic_load(&server.closes), closes);
	WAIT_FOR(origin_counts(o).open == 2);
	c = daemon_counters("origin");
	ck_assert_uint_eq(counted(c, NULL, "retried"), 0);
	ck_assert_uint_eq(counted(c, NULL, "attempts"), 3);
}
END_TEST

/* ---- a server that is away ---- */

enum door {
	SHUT,    /* connects are refused */
	SLAMMED, /* connections are closed at once */
	OPEN
};

static struct {
	struct sockaddr_in address;
	int fd;
	pthread_t thread;
	atomic_int door; /* wanted */
	atomic_uint accepted;
	atomic_bool shut; /* connects are refused by now */
	atomic_bool stop;
} away = {.fd = -1};

static void away_bind(void)
{
	int one = 1;

	if (away.fd >= 0)
		close(away.fd);
	away.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	MUST(away.fd >= 0);
	setsockopt(away.fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	MUST(bind(away.fd, (struct sockaddr *)&away.address, sizeof(away.address)) == 0);
}

/* One answer a connection. */
static void away_serve(int fd)
{
	static const char answer[] =
		"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 3\r\n\r\nok\n";
	struct pollfd p = {.fd = fd, .events = POLLIN};
	char request[2048];

	if (poll(&p, 1, 1000) > 0 && recv(fd, request, sizeof(request), 0) > 0)
		send(fd, answer, sizeof(answer) - 1, MSG_NOSIGNAL);
}

static void *away_main(void *arg)
{
	bool listening = false;

	while (!atomic_load(&away.stop)) {
		enum door door = (enum door)atomic_load(&away.door);
		struct pollfd p = {.fd = away.fd, .events = POLLIN};
		int fd;

		if (!listening && door != SHUT)
			MUST(listen(away.fd, 64) == 0);
		if (listening && door == SHUT)
			away_bind();
		listening = door != SHUT;
		atomic_store(&away.shut, !listening);
		if (!listening || poll(&p, 1, 10) <= 0) {
			harness_nap();
			continue;
		}
		fd = accept4(away.fd, NULL, NULL, SOCK_CLOEXEC);
		if (fd < 0)
			continue;
		atomic_fetch_add(&away.accepted, 1);
		if (door == OPEN)
			away_serve(fd);
		close(fd);
	}
	close(away.fd);
	return arg;
}

static void away_start(enum door door, const char *more)
{
	socklen_t len = sizeof(away.address);

	away.address.sin_family = AF_INET;
	away.address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	away_bind();
	ck_assert_int_eq(getsockname(away.fd, (struct sockaddr *)&away.address, &len), 0);
	atomic_store(&away.door, door);
	ck_assert_int_eq(pthread_create(&away.thread, NULL, away_main, NULL), 0);
	daemon_start(
		config("", upstream_at("origin", false, "h1", ntohs(away.address.sin_port), more)));
}

static void away_end(void)
{
	daemon_stop();
	atomic_store(&away.stop, true);
	pthread_join(away.thread, NULL);
}

/* ---- those who ask it ---- */

#define ASKERS 6

static struct {
	pthread_t thread;
	uint64_t until; /* ms: asks again and again; 0: once */
	const char *socket;
	unsigned good, bad, odd;
	uint64_t longest; /* ms */
	struct reply last;
} askers[ASKERS];

static void ask_one(size_t i)
{
	struct caller c = {.fd = -1};
	uint64_t begun = harness_now(), took;
	struct reply *r = &askers[i].last;

	caller_ask(&c, askers[i].socket, "GET", "/", NULL, r);
	took = harness_now() - begun;
	if (took > askers[i].longest)
		askers[i].longest = took;
	askers[i].good += r->status == 200 && r->whole;
	askers[i].bad += (r->status == 502 || r->status == 504) && r->whole;
	askers[i].odd += !r->whole || (r->status != 200 && r->status != 502 && r->status != 504);
	caller_close(&c);
}

static void *asker_main(void *arg)
{
	size_t i = (size_t)(uintptr_t)arg;

	do
		ask_one(i);
	while (harness_now() < askers[i].until);
	return NULL;
}

static void ask_for(unsigned ms)
{
	for (uintptr_t i = 0; i < ASKERS; i++) {
		askers[i].until = ms ? harness_now() + ms : 0;
		askers[i].socket = daemon_socket();
		ck_assert_int_eq(pthread_create(&askers[i].thread, NULL, asker_main, (void *)i), 0);
	}
}

static void join_askers(void)
{
	for (int i = 0; i < ASKERS; i++)
		pthread_join(askers[i].thread, NULL);
}

/* There are more attempts than it refuses. */
START_TEST(requests_outlast_a_server_that_is_away_for_a_moment)
{
	struct reply r;

	away_start(OPEN, "backoff_min = \"100ms\"; retry_attempts = 10; queue_timeout = \"60s\";");
	ask(&r);
	ck_assert_uint_eq(r.status, 200);
	atomic_store(&away.door, SHUT);
	WAIT_FOR(atomic_load(&away.shut));
	ask_for(0);
	WAIT_FOR(daemon_logged("event=\"connect failed\"") >= 3);
	atomic_store(&away.door, OPEN);
	join_askers();
	for (int i = 0; i < ASKERS; i++)
		ck_assert_msg(askers[i].good == 1, "%u %.*s", askers[i].last.status,
			(int)askers[i].last.n, askers[i].last.body);
	away_end();
}
END_TEST

START_TEST(a_server_that_stays_away_is_told_in_time_and_with_the_reason)
{
	away_start(SHUT, "backoff_min = \"100ms\"; backoff_max = \"10s\"; queue_timeout = \"2s\";");
	ask_for(2500);
	join_askers();
	for (int i = 0; i < ASKERS; i++) {
		struct reply *r = &askers[i].last;

		ck_assert_uint_eq(askers[i].odd + askers[i].good, 0);
		ck_assert_uint_gt(askers[i].bad, 0);
		ck_assert_uint_lt(askers[i].longest, 2000 + 6000); /* less than the longest pause */
		r->body[r->n < REPLY_MAX ? r->n : REPLY_MAX - 1] = '\0';
		ck_assert_msg(strstr(r->body, "\"connection_refused\""), "%s", r->body);
		ck_assert(r->safe); /* nothing ever reached it */
	}
	away_end();
}
END_TEST

/* Somebody always waits; without pauses there are thousands. */
START_TEST(a_server_that_slams_the_door_gets_one_connection_a_pause)
{
	unsigned accepted;

	away_start(
		SLAMMED, "backoff_min = \"200ms\"; backoff_max = \"1s\"; queue_timeout = \"5s\";");
	ask_for(2500);
	rest(2400);
	accepted = atomic_load(&away.accepted);
	WAIT_FOR(atomic_load(&away.accepted) >= 4);
	ck_assert_uint_le(accepted, 40); /* one in 160 ms or more, and those it began with */
	join_askers();
	for (int i = 0; i < ASKERS; i++)
		ck_assert_uint_eq(askers[i].odd, 0);
	away_end();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("idle");
	TCase *learned = harness_case(s, "learned"), *gone = harness_case(s, "away");

	tcase_add_test(learned, after_three_closes_no_request_meets_a_dead_connection);
	tcase_add_test(learned, closes_seen_while_nothing_is_asked_count_as_well);
	tcase_add_test(learned, what_the_server_says_in_keep_alive_is_kept);
	tcase_add_test(learned, a_longer_time_in_keep_alive_changes_nothing);
	tcase_add_test(learned, a_floor_is_renewed_before_the_server_closes_it);
	tcase_add_test(learned, nothing_is_learned_when_it_is_switched_off);
	tcase_add_test(gone, requests_outlast_a_server_that_is_away_for_a_moment);
	tcase_add_test(gone, a_server_that_stays_away_is_told_in_time_and_with_the_reason);
	tcase_add_test(gone, a_server_that_slams_the_door_gets_one_connection_a_pause);
	return harness_main(s);
}
