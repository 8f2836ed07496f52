/*
 * test_names.c - upstreams that are names: answers that change, several addresses, services (RFC
 * 2782), a name server that says nothing.
 *
 * The program has a network and an /etc/resolv.conf of its own, so that port 53 and all of
 * 127.0.0.0/8 are free. It is skipped where it may not have them.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <event2/event.h>

#include "tests/daemon/harness.h"
#include "tests/daemon/load.h"
#include "tests/dns.h"

#define SKIP   77   /* status, for automake */
#define TTL    1000 /* ms, of every answer */
#define NONCES 4000

/* ---- the name server, in a thread ---- */

static struct {
	pthread_t thread;
	pthread_mutex_t lock; /* over all below */
	struct event_base *base;
	struct dns *dns;
	bool over;
} ns = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void *serve_names(void *arg)
{
	struct pollfd p[2] = {
		{.fd = ns.dns->udp, .events = POLLIN}, {.fd = ns.dns->tcp, .events = POLLIN}};
	bool over = false;

	while (!over) {
		poll(p, 2, 20);
		pthread_mutex_lock(&ns.lock);
		event_base_loop(ns.base, EVLOOP_NONBLOCK);
		over = ns.over;
		pthread_mutex_unlock(&ns.lock);
	}
	return arg;
}

static void begin_names(void)
{
	ns.base = event_base_new();
	ck_assert_ptr_nonnull(ns.base);
	ns.dns = dns_new_at(ns.base, 53);
	ck_assert_int_eq(pthread_create(&ns.thread, NULL, serve_names, NULL), 0);
}

static void end_names(void)
{
	pthread_mutex_lock(&ns.lock);
	ns.over = true;
	pthread_mutex_unlock(&ns.lock);
	pthread_join(ns.thread, NULL);
	dns_free(ns.dns);
	event_base_free(ns.base);
}

/* Every name has these addresses from now on. */
static void names_are(const char *const addresses[])
{
	unsigned i = 0;

	pthread_mutex_lock(&ns.lock);
	memset(ns.dns->a, 0, sizeof(ns.dns->a));
	for (; addresses[i]; i++) {
		ns.dns->a[i] = addresses[i];
		ns.dns->a_ttl[i] = TTL / 1000;
	}
	ns.dns->rcode = RCODE_OK;
	ns.dns->silent = false;
	pthread_mutex_unlock(&ns.lock);
}

#define NAMES_ARE(...) names_are((const char *const[]){__VA_ARGS__, NULL})

static void names_fail(unsigned rcode, bool silent)
{
	pthread_mutex_lock(&ns.lock);
	ns.dns->rcode = rcode;
	ns.dns->silent = silent;
	pthread_mutex_unlock(&ns.lock);
}

static void services_are(const struct dns_srv *srv, const struct dns_host *hosts, unsigned n)
{
	pthread_mutex_lock(&ns.lock);
	memcpy(ns.dns->srv, srv, n * sizeof(*srv));
	memcpy(ns.dns->hosts, hosts, n * sizeof(*hosts));
	pthread_mutex_unlock(&ns.lock);
}

static unsigned names_asked(void)
{
	pthread_mutex_lock(&ns.lock);
	unsigned n = ns.dns->asked;
	pthread_mutex_unlock(&ns.lock);
	return n;
}

/* ---- servers and the daemon ---- */

static struct origin *origin_at(const char *address, unsigned port, bool h2)
{
	return some_origin(&(struct origin_opts){
		.h2 = h2, .name = address, .address = address, .port = port, .nonces = NONCES});
}

static void daemon_that_pauses(const char *pause, const char *url, bool h2, const char *more)
{
	daemon_start(config(
		"", text("{ name = \"origin\"; url = \"%s\"; protocols = [ \"%s\" ]; "
			 "dns_ttl_min = \"1s\"; backoff_min = \"%s\"; backoff_max = \"%s\"; %s }",
			    url, h2 ? "h2c" : "h1", pause, pause, more)));
}

static void daemon_at(const char *url, bool h2, const char *more)
{
	daemon_that_pauses("50ms", url, h2, more);
}

static void daemon_for_name(unsigned port, bool h2, const char *more)
{
	daemon_at(text("http://api.test:%u", port), h2, more);
}

/* Each needs a connection of its own. */
static void ask_and_close(unsigned nonce, char out[LOAD_REQUEST_MAX])
{
	(void)nonce;
	snprintf(out, LOAD_REQUEST_MAX, "GET /close-after HTTP/1.1\r\nHost: origin\r\n\r\n");
}

/*
 * Takes no connection and refuses none: its queue is full, and the kernel drops every further SYN.
 * As long as the test lives.
 */
static void swallow_at(const char *address, unsigned port)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct pollfd last = {.events = POLLOUT};

	ck_assert_int_eq(inet_pton(AF_INET, address, &sa.sin_addr), 1);
	ck_assert_int_eq(bind(listener, (struct sockaddr *)&sa, sizeof(sa)), 0);
	ck_assert_int_eq(listen(listener, 0), 0);
	for (int i = 0; i < 4; i++) {
		last.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		ck_assert_int_ge(last.fd, 0);
		connect(last.fd, (struct sockaddr *)&sa, sizeof(sa));
	}
	ck_assert_msg(poll(&last, 1, 100) == 0, "it was to be swallowed");
}

/* ---- answers that change ---- */

#define FLIP_AT 300 /* ms */

struct flip {
	struct origin *old, *new;
	bool flipped, late;
	unsigned old_requests; /* once none may come any more */
};

static void look(void *arg, uint64_t ms)
{
	struct flip *f = arg;

	if (!f->flipped && ms >= FLIP_AT) {
		f->flipped = true;
		NAMES_ARE("127.0.0.3");
	}
	if (!f->late && ms >= FLIP_AT + TTL + 1000) {
		f->late = true;
		f->old_requests = origin_counts(f->old).requests;
	}
}

static void flip_names(bool h2, const char *more)
{
	struct origin *old = origin_at("127.0.0.2", 0, h2);
	struct flip f = {.old = old, .new = origin_at("127.0.0.3", origin_port(old), h2)};
	struct load l = {
		.clients = 8, .rate = 200, .ms = FLIP_AT + TTL + 1200, .look = look, .arg = &f};

	NAMES_ARE("127.0.0.2");
	daemon_for_name(origin_port(old), h2, more);
	load_run(&l);
	load_assert_good("flip", &l);
	ck_assert_uint_gt(f.old_requests, 0);
	ck_assert_uint_eq(origin_counts(f.old).requests, f.old_requests);
	ck_assert_uint_gt(origin_counts(f.new).requests, 100);
	ck_assert_uint_eq(origin_counts(f.old).requests + origin_counts(f.new).requests, l.asked);
	WAIT_FOR(origin_counts(f.old).open == 0);
}

/* At max_connections the old connection has to go before the new one can come. */
static const char *const limits[] = {"", "max_connections = 1;"};

START_TEST(h1_requests_follow_the_name_to_its_new_address)
{
	flip_names(false, limits[_i]);
}
END_TEST

START_TEST(h2_requests_follow_the_name_to_its_new_address)
{
	flip_names(true, limits[_i]);
}
END_TEST

/* ---- several addresses ---- */

#define DIALS 600

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

START_TEST(connects_stay_fast_while_one_of_three_addresses_swallows_them)
{
	struct origin *o = origin_at("127.0.0.2", 0, false);
	struct client *c;
	uint64_t took[DIALS];

	origin_at("127.0.0.4", origin_port(o), false);
	swallow_at("127.0.0.3", origin_port(o));
	NAMES_ARE("127.0.0.2", "127.0.0.3", "127.0.0.4");
	daemon_for_name(origin_port(o), false, "");
	c = client_open();
	for (unsigned i = 0; i < DIALS; i++) {
		uint64_t begun = harness_now();

		ck_assert_uint_eq(get(c, "/close-after").status, 200);
		took[i] = harness_now() - begun;
	}
	client_close(c);
	qsort(took, DIALS, sizeof(*took), by_value);
	ck_assert_uint_lt(took[DIALS * 99 / 100], 300);
	/* It is ejected soon, so most never wait for the race to go on. */
	ck_assert_uint_lt(took[DIALS * 97 / 100], 200);
}
END_TEST

START_TEST(connections_are_spread_evenly_over_four_addresses)
{
	static const char *const at[] = {"127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5", NULL};
	struct origin *o[4];
	struct client *c[40];

	for (unsigned i = 0; i < 4; i++)
		o[i] = origin_at(at[i], i > 0 ? origin_port(o[0]) : 0, false);
	names_are(at);
	daemon_for_name(origin_port(o[0]), false, "max_connections = 40;");
	for (unsigned i = 0; i < 40; i++) {
		c[i] = client_ask("/slow/1000");
	}
	for (unsigned i = 0; i < 40; i++) {
		ck_assert_uint_eq(client_answer(c[i]).status, 200);
		client_close(c[i]);
	}
	for (unsigned i = 0; i < 4; i++)
		ck_assert_uint_eq(origin_counts(o[i]).accepted, 10);
}
END_TEST

/* ---- addresses that are not well ---- */

static void serve_bad_gateway(struct origin_conn *oc)
{
	while (oc_read_head(oc))
		oc_say(oc, "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n");
}

static void serve_close(struct origin_conn *oc)
{
	(void)oc;
}

static struct origin *bad_at(const char *address, void (*serve)(struct origin_conn *))
{
	return some_origin(&(struct origin_opts){.address = address, .serve = serve});
}

START_TEST(an_address_whose_answers_are_502_is_left_by_its_connections)
{
	struct origin *bad = bad_at("127.0.0.2", serve_bad_gateway);
	struct origin *good = origin_at("127.0.0.3", origin_port(bad), false);
	struct client *c;
	const char *counters;
	unsigned failed = 0;

	NAMES_ARE("127.0.0.2", "127.0.0.3");
	daemon_for_name(origin_port(bad), false, "spread = false; eject_after = 3;");
	c = client_open();
	for (unsigned i = 0; i < 100; i++) {
		unsigned status = get(c, "/").status;

		failed += status == 502;
		ck_assert_uint_eq(status, failed == i + 1 ? 502 : 200);
	}
	ck_assert_uint_ge(failed, 3);
	ck_assert_uint_le(failed, 10); /* some while the other one is connected to */
	ck_assert_uint_eq(origin_counts(bad).accepted, 1);
	ck_assert_uint_eq(origin_counts(good).accepted, 1);
	WAIT_FOR(origin_counts(bad).open == 0);
	counters = daemon_counters("origin");
	ck_assert_uint_eq(counted(counters, NULL, "addresses"), 2);
	ck_assert_uint_eq(counted(counters, NULL, "ejected"), 1);
	ck_assert_uint_eq(counted(counters, "closed_by_reason", "address"), 1);
	client_close(c);
}
END_TEST

/* One request at a time for ms; how many were not answered with 200. */
static unsigned ask_for(uint64_t ms, const char *path)
{
	struct client *c = client_open();
	unsigned failed = 0;

	for (uint64_t until = harness_now() + ms; harness_now() < until; harness_nap())
		failed += get(c, path).status != 200;
	client_close(c);
	return failed;
}

static void serve_hang_up(struct origin_conn *oc)
{
	oc_read_head(oc);
}

static void serve_garbage(struct origin_conn *oc)
{
	if (oc_read_head(oc))
		oc_say(oc, "good morning\r\n\r\n");
}

static void serve_silence(struct origin_conn *oc)
{
	if (oc_read_head(oc))
		oc_wait_hangup(oc);
}

static void (*const unwell[])(struct origin_conn *) = {serve_hang_up, serve_garbage, serve_silence};

START_TEST(an_address_that_never_answers_is_left_alone)
{
	struct origin *bad = bad_at("127.0.0.2", unwell[_i]);
	struct origin *good = origin_at("127.0.0.3", origin_port(bad), false);

	NAMES_ARE("127.0.0.2", "127.0.0.3");
	daemon_for_name(origin_port(bad), false,
		"eject_after = 3; response_timeout = \"100ms\"; retry = \"never\";");
	/*
	 * Each needs another connection, and the bad one has none, so each would be dialled there.
	 */
	ck_assert_uint_le(ask_for(1500, "/close-after"), 6);
	ck_assert_uint_le(origin_counts(bad).accepted, 8);
	ck_assert_uint_gt(origin_counts(good).requests, 50);
}
END_TEST

static void serve_refusals(struct origin_conn *oc)
{
	static const uint8_t refused_stream[] = {0, 0, 0, 7};
	uint32_t stream;

	oc_h2_greet(oc);
	while ((stream = oc_h2_request(oc)) > 0)
		oc_say_frame(oc, 3, 0, stream, refused_stream, sizeof(refused_stream));
}

static void ask_for_it(unsigned nonce, char out[LOAD_REQUEST_MAX])
{
	(void)nonce;
	snprintf(out, LOAD_REQUEST_MAX, "GET / HTTP/1.1\r\nHost: origin\r\n\r\n");
}

/* Its connection always has room, and always carries something. */
START_TEST(an_address_that_refuses_every_stream_is_left_by_its_only_connection)
{
	struct origin *bad = bad_at("127.0.0.2", serve_refusals);
	struct origin *good = origin_at("127.0.0.3", origin_port(bad), true);
	struct load l = {.clients = 8, .ms = 1500, .request = ask_for_it};

	NAMES_ARE("127.0.0.2", "127.0.0.3");
	daemon_for_name(
		origin_port(bad), true, "max_connections = 1; spread = false; eject_after = 3;");
	load_run(&l);
	ck_assert_uint_le(l.bad, 30);
	ck_assert_uint_gt(origin_counts(good).requests, 100);
	ck_assert_uint_eq(origin_counts(bad).accepted, 1);
}
END_TEST

START_TEST(the_only_address_that_can_be_reached_is_never_ejected)
{
	struct origin *o = origin_at("127.0.0.2", 0, false);
	struct client *c = NULL;

	NAMES_ARE("127.0.0.2", "127.0.0.3"); /* where nobody is */
	daemon_that_pauses("30s", text("http://api.test:%u", origin_port(o)), false,
		"eject_after = 3; spread = false;");
	ck_assert_uint_eq(get_once("/close-after").status, 200);
	c = client_open();
	for (int i = 0; i < 10; i++)
		ck_assert_uint_eq(get(c, "/status/503").status, 503);
	ck_assert_uint_eq(get(c, "/close-after").status, 200);
	ck_assert_uint_eq(get(c, "/").status, 200);
	client_close(c);
}
END_TEST

START_TEST(a_name_that_moves_to_where_nobody_is_costs_nothing)
{
	struct origin *o = origin_at("127.0.0.2", 0, _i);

	NAMES_ARE("127.0.0.2");
	daemon_for_name(origin_port(o), _i, "min_connections = 2; max_connections = 2;");
	WAIT_FOR(origin_counts(o).open == 2);
	NAMES_ARE("127.0.0.3");
	ck_assert_uint_eq(ask_for(TTL + 1500, "/"), 0);
	ck_assert_uint_eq(origin_counts(o).open, 1); /* one has made way, for nobody */
}
END_TEST

START_TEST(a_new_address_ends_the_pause_of_the_one_before)
{
	struct origin *o = origin_at("127.0.0.3", 0, false);
	uint64_t begun;

	NAMES_ARE("127.0.0.2"); /* where nobody is */
	daemon_that_pauses("30s", text("http://api.test:%u", origin_port(o)), false, "");
	ck_assert_uint_eq(get_once("/").status, 502);
	NAMES_ARE("127.0.0.3");
	begun = harness_now();
	WAIT_FOR(get_once("/").status == 200);
	ck_assert_uint_lt(harness_now() - begun, TTL + 2000);
}
END_TEST

START_TEST(the_only_connection_does_not_make_way_while_a_stream_runs_on_it)
{
	struct origin *old = origin_at("127.0.0.2", 0, true);
	struct origin *new = origin_at("127.0.0.3", origin_port(old), true);
	struct client *stream;

	NAMES_ARE("127.0.0.2");
	daemon_for_name(origin_port(old), true, "max_connections = 1; queue_timeout = \"1s\";");
	stream = client_open();
	client_say(stream, "GET /drip/3/1500 HTTP/1.1\r\nHost: origin\r\n\r\n");
	WAIT_FOR(origin_counts(old).requests == 1);
	NAMES_ARE("127.0.0.3");
	ck_assert_uint_eq(ask_for(TTL + 1000, "/"), 0);
	ck_assert_uint_eq(origin_counts(new).requests, 0);
	ck_assert(client_answer(stream).whole);
	WAIT_FOR(get_once("/").status == 200 && origin_counts(new).requests > 0);
	client_close(stream);
}
END_TEST

START_TEST(an_address_without_tls_makes_nobody_wait)
{
	struct origin *bad = bad_at("127.0.0.2", serve_close);
	struct origin *good = some_origin(&(struct origin_opts){
		.tls = true, .address = "127.0.0.3", .port = origin_port(bad)});
	uint64_t begun;

	NAMES_ARE("127.0.0.2", "127.0.0.3");
	daemon_that_pauses("30s", text("https://api.test:%u", origin_port(bad)), false, trust());
	begun = harness_now();
	for (unsigned i = 0; i < 10; i++)
		ck_assert_uint_eq(get_once("/close-after").status, 200);
	ck_assert_uint_lt(harness_now() - begun, 5000); /* not even one pause */
	ck_assert_uint_eq(origin_counts(bad).accepted, 1);
	ck_assert_uint_eq(origin_counts(good).requests, 10);
}
END_TEST

/* ---- services ---- */

START_TEST(services_are_used_by_priority_each_at_its_port)
{
	struct origin *first = origin_at("127.0.0.2", 0, false);
	struct origin *second = origin_at("127.0.0.3", 0, false);
	const struct dns_host hosts[] = {
		{"one.test", "127.0.0.2", false}, {"two.test", "127.0.0.3", false}};
	const struct dns_srv srv[] = {{"two.test", (uint16_t)origin_port(second), 20, 1, 1},
		{"one.test", (uint16_t)origin_port(first), 10, 1, 1}};

	services_are(srv, hosts, 2);
	daemon_at("srv+http://api.test", false, "");
	for (unsigned i = 0; i < 10; i++)
		ck_assert_uint_eq(get_once("/close-after").status, 200);
	ck_assert_uint_eq(origin_counts(first).requests, 10);
	ck_assert_uint_eq(origin_counts(second).accepted, 0);
	origin_refuse(first);
	origin_kill(first);
	for (unsigned i = 0; i < 10; i++)
		ck_assert_uint_eq(get_once("/close-after").status, 200);
	ck_assert_uint_eq(origin_counts(second).requests, 10);
}
END_TEST

/* ---- name servers that do not help ---- */

START_TEST(the_last_good_answer_is_kept_while_the_name_server_is_silent)
{
	struct origin *old = origin_at("127.0.0.2", 0, false);
	struct origin *new = origin_at("127.0.0.3", origin_port(old), false);
	struct load l = {.clients = 8, .rate = 100, .ms = 2800, .request = ask_and_close};

	NAMES_ARE("127.0.0.2");
	daemon_for_name(origin_port(old), false, "");
	ck_assert_uint_eq(get_once("/").status, 200);
	names_fail(RCODE_OK, true);
	unsigned asked = names_asked();

	load_run(&l);
	load_assert_good("silent name server", &l);
	ck_assert_uint_lt(l.slowest, 1000);
	ck_assert_uint_gt(names_asked(), asked + 2);
	NAMES_ARE("127.0.0.3");
	WAIT_FOR(get_once("/close-after").status == 200 && origin_counts(new).requests > 0);
}
END_TEST

START_TEST(a_question_that_is_lost_is_asked_again_soon)
{
	struct origin *o = origin_at("127.0.0.2", 0, false);
	struct client *c;
	uint64_t begun = harness_now();

	names_fail(RCODE_OK, true);
	daemon_for_name(origin_port(o), false, "");
	c = client_ask("/");
	WAIT_FOR(names_asked() >= 2); /* IPv4 and IPv6 */
	NAMES_ARE("127.0.0.2");
	ck_assert_uint_eq(client_answer(c).status, 200);
	ck_assert_uint_lt(harness_now() - begun, 3000);
	client_close(c);
}
END_TEST

START_TEST(who_waits_for_a_silent_name_server_is_told_so)
{
	struct origin *o = origin_at("127.0.0.2", 0, false);
	struct answer a;

	names_fail(RCODE_OK, true);
	daemon_for_name(origin_port(o), false, "queue_timeout = \"200ms\";");
	a = get_once("/");
	assert_own_answer(&a, 502);
	ck_assert_msg(strstr(answer_field(&a, "proxy-status"), "dns_error") != NULL, "%s", a.head);
	ck_assert_msg(strstr(a.body, "resolve api.test: no name server") != NULL, "%s", a.body);
}
END_TEST

static const struct {
	unsigned rcode;
	bool silent;
	const char *words;
} failures[] = {
	{RCODE_NXDOMAIN, false, "resolve api.test: Domain name not found"},
	{RCODE_SERVFAIL, false, "resolve api.test: "},
	{RCODE_OK, false, "resolve api.test: "},
	{RCODE_OK, true, "resolve api.test: Timeout while contacting DNS servers"},
};

START_TEST(a_name_without_address_is_told_until_it_has_one)
{
	struct origin *o = origin_at("127.0.0.2", 0, false);
	struct answer a;

	names_fail(failures[_i].rcode, failures[_i].silent);
	daemon_for_name(origin_port(o), false, "");
	a = get_once("/");
	assert_own_answer(&a, 502);
	ck_assert_msg(strstr(answer_field(&a, "proxy-status"), "dns_error") != NULL, "%s", a.head);
	ck_assert_msg(strstr(a.body, failures[_i].words) != NULL, "%s", a.body);
	NAMES_ARE("127.0.0.2");
	WAIT_FOR(get_once("/").status == 200);
}
END_TEST

/* ---- a network and a resolv.conf of its own ---- */

/*
 * c-ares asks again after half a second, and once. (It does not know the "timeout:" and "attempts:"
 * of resolv.conf(5).) The mount is seen by this program and its children, and ends with them.
 */
static bool resolv_conf_of_its_own(void)
{
	/* c-ares reads the first two, in ms; from 1.31 on all four, in s, and the last count. */
	static const char words[] = "nameserver 127.0.0.1\n"
				    "options retrans:500 retry:2 timeout:1 attempts:2\n";
	char path[] = "/tmp/resolv.conf-XXXXXX";
	int fd = mkstemp(path);
	bool good = fd >= 0 && write(fd, words, sizeof(words) - 1) == (ssize_t)sizeof(words) - 1 &&
	            fchmod(fd, 0644) == 0 && unshare(CLONE_NEWNS) == 0 &&
	            mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
	            mount(path, "/etc/resolv.conf", NULL, MS_BIND, NULL) == 0;
	int why = errno;

	if (fd >= 0) {
		close(fd);
		unlink(path);
	}
	errno = why;
	return good;
}

static void add_tests(Suite *s)
{
	TCase *c = harness_case(s, "names");

	tcase_add_checked_fixture(c, begin_names, end_names);
	tcase_add_loop_test(c, h1_requests_follow_the_name_to_its_new_address, 0, 2);
	tcase_add_loop_test(c, h2_requests_follow_the_name_to_its_new_address, 0, 2);
	tcase_add_test(c, connects_stay_fast_while_one_of_three_addresses_swallows_them);
	tcase_add_test(c, connections_are_spread_evenly_over_four_addresses);
	tcase_add_test(c, an_address_whose_answers_are_502_is_left_by_its_connections);
	tcase_add_loop_test(c, an_address_that_never_answers_is_left_alone, 0, 3);
	tcase_add_test(c, an_address_that_refuses_every_stream_is_left_by_its_only_connection);
	tcase_add_test(c, the_only_address_that_can_be_reached_is_never_ejected);
	tcase_add_loop_test(c, a_name_that_moves_to_where_nobody_is_costs_nothing, 0, 2);
	tcase_add_test(c, a_new_address_ends_the_pause_of_the_one_before);
	tcase_add_test(c, the_only_connection_does_not_make_way_while_a_stream_runs_on_it);
	tcase_add_test(c, an_address_without_tls_makes_nobody_wait);
	tcase_add_test(c, services_are_used_by_priority_each_at_its_port);
	tcase_add_test(c, the_last_good_answer_is_kept_while_the_name_server_is_silent);
	tcase_add_test(c, a_question_that_is_lost_is_asked_again_soon);
	tcase_add_test(c, who_waits_for_a_silent_name_server_is_told_so);
	tcase_add_loop_test(c, a_name_without_address_is_told_until_it_has_one, 0,
		(int)(sizeof(failures) / sizeof(*failures)));
}

int main(void)
{
	Suite *s;

	if (!harness_own_network() || !resolv_conf_of_its_own()) {
		fprintf(stderr, "skipped: no network or resolv.conf of its own: %s\n",
			strerror(errno));
		return SKIP;
	}
	/* They would say something else than the file. */
	unsetenv("LOCALDOMAIN");
	unsetenv("RES_OPTIONS");
	s = suite_create("names");
	add_tests(s);
	return harness_main(s);
}
