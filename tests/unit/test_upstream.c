/*
 * test_upstream.c - the addresses of an upstream, against a name server in the same loop and with a
 * clock that the test sets.
 */
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/conf.h"
#include "daemon/pool/upstream.h"
#include "lib/net/address.h"
#include "lib/net/order.h"
#include "lib/net/race.h"
#include "lib/net/resolve.h"
#include "tests/dns.h"
#include "tests/peer.h"
#include "tests/unit/ctx_fixture.h"
#include "tests/unit/run.h"

#define WAIT_MAX 60 /* s: then the test has failed */

static struct ctx_fixture f;
static struct dns *dns;
static struct conf_upstream up;
static struct upstream *u;

static struct {            /* what the pool was told */
	unsigned resolved; /* calls */
	int err;
	char detail[256];
	unsigned gone;
	struct endpoint *last_gone;
	bool in_call; /* nothing may be told from within a call */
} told;

/* ---- fixture ----------------------------------------------------------- */

static void on_resolved(void *arg, int err, const char *detail)
{
	(void)arg;
	ck_assert(!told.in_call);
	told.resolved++;
	told.err = err;
	snprintf(told.detail, sizeof(told.detail), "%s", detail);
}

static void on_gone(void *arg, struct endpoint *ep)
{
	(void)arg;
	ck_assert(!told.in_call);
	ck_assert(ep->gone);
	ck_assert_uint_gt(ep->connections, 0);
	told.gone++;
	told.last_gone = ep;
}

static const struct upstream_ops ops = {on_resolved, on_gone};

static void setup(void)
{
	setenv("RES_OPTIONS", "retrans:100 retry:1 timeout:1 attempts:1", 1);
	fixture_begin(&f, 0);
	dns = dns_new(f.base);
	ck_assert_int_eq(resolver_set_servers(f.ctx, dns->address), 0);
	memset(&told, 0, sizeof(told));
	u = NULL;
	up = (struct conf_upstream){.name = "api",
		.host = "api.example.test",
		.srv = "",
		.port = 443,
		.address = "api.example.test:443",
		.authority = "api.example.test",
		.proxy = "",
		.eject_after = 3,
		.eject_time = 30000,
		.max_ejected = 50,
		.dns_ttl_min = 5000,
		.dns_ttl_max = 300000,
		.dns_keep_stale = true,
		.spread = true};
}

static void teardown(void)
{
	upstream_free(u);
	fixture_end(&f);
	dns_free(dns);
}

static void open_upstream(void)
{
	ck_assert_int_eq(upstream_new(f.ctx, &up, &ops, NULL, &u), 0);
}

static void on_expired(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	*(bool *)arg = true;
}

static void wait_until(const unsigned *counter, unsigned n)
{
	struct timeval most = {WAIT_MAX, 0};
	bool expired = false;
	struct event *guard = evtimer_new(f.base, on_expired, &expired);

	event_add(guard, &most);
	while (*counter < n && !expired)
		event_base_loop(f.base, EVLOOP_ONCE);
	event_free(guard);
	ck_assert_msg(!expired, "waited too long");
}

static void advance(uint64_t ms)
{
	f.us += ms * 1000;
	f.ctx->now = 0;
	timers_run(f.ctx);
	turns(f.base, 3);
}

static const char *target_of(struct endpoint **first)
{
	const char *text;

	told.in_call = true;
	text = upstream_target(u, first);
	told.in_call = false;
	return text;
}

/* What would be dialled now; nothing is. */
static const char *target(void)
{
	struct endpoint *first;
	const char *text = target_of(&first);

	if (!text)
		return "";
	ck_assert_int_eq(strncmp(text, first->text, strlen(first->text)), 0);
	upstream_gave_up(first);
	return text;
}

/* Asks for the first time and waits for what comes of it. */
static void resolve(void)
{
	unsigned before = told.resolved;

	ck_assert_str_eq(target(), "");
	wait_until(&told.resolved, before + 1);
}

static void open_resolved(void)
{
	open_upstream();
	resolve();
}

/* The name is asked for; waits until the answer is in. */
static void wait_answer(unsigned asked)
{
	wait_until(&dns->asked, asked);
	/* Whoever waits for it hears of it. */
	for (int i = 0; i < 20; i++)
		fixture_turn(&f);
}

/* A dial that reaches whom it began with. */
static struct endpoint *connect_one(void)
{
	struct endpoint *first;

	ck_assert_ptr_nonnull(target_of(&first));
	return upstream_connected(first, first->text);
}

static struct endpoint *begin_dial(void)
{
	struct endpoint *first;

	ck_assert_ptr_nonnull(target_of(&first));
	return first;
}

static void addresses(unsigned n)
{
	static char text[DNS_MAX][24];

	memset(dns->a, 0, sizeof(dns->a));
	for (unsigned i = 0; i < n; i++) {
		snprintf(text[i], sizeof(text[i]), "192.0.2.%u", i + 1);
		dns->a[i] = text[i];
		dns->a_ttl[i] = 32;
	}
}

/* As the library does it when it could not connect to it. */
static void library_fails(const char *text)
{
	struct address a;
	char host[64];
	const char *port = strrchr(text, ':');

	snprintf(host, sizeof(host), "%.*s", (int)(port - text), text);
	ck_assert(address_numeric(&a, host, (uint16_t)atoi(port + 1)));
	if (!f.ctx->failed)
		f.ctx->failed = mem_zalloc(f.ctx, sizeof(*f.ctx->failed));
	failed_add(f.ctx->failed, &a, ctx_now(f.ctx));
}

static unsigned entries(const char *text)
{
	unsigned n = *text != '\0';

	for (; *text; text++)
		n += *text == ',';
	return n;
}

/* ---- one address --------------------------------------------------------- */

START_TEST(what_is_no_name_is_one_address_and_never_resolved)
{
	static const struct {
		const char *host, *address, *proxy;
		uint16_t port;
	} rows[] = {{"192.0.2.7", "192.0.2.7:443", "", 443}, {"::1", "[::1]:8443", "", 8443},
		{"", "unix:/run/a.sock", "", 0},
		{"api.example.test", "api.example.test:443", "http://p:3128", 443}};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct endpoint *ep;

		up.host = rows[i].host;
		up.address = rows[i].address;
		up.proxy = rows[i].proxy;
		up.port = rows[i].port;
		open_upstream();
		ck_assert_uint_eq(upstream_addresses(u), 1);
		ck_assert_str_eq(target(), rows[i].address);
		ep = upstream_connected(begin_dial(), "198.51.100.1:3128"); /* of a proxy */
		ck_assert_uint_eq(ep->connections, 1);
		endpoint_closed(ep);
		for (int k = 0; k < 10; k++)
			upstream_failed(begin_dial(), "");
		advance(400000);
		ck_assert_str_eq(target(), rows[i].address); /* the only one is never ejected */
		upstream_free(u);
		u = NULL;
	}
	ck_assert_uint_eq(dns->asked, 0);
}
END_TEST

/* ---- when it is asked ------------------------------------------------------ */

START_TEST(name_is_resolved_when_it_is_first_wanted)
{
	addresses(2);
	open_upstream();
	advance(600000);
	ck_assert_uint_eq(dns->asked, 0);
	resolve();
	ck_assert_int_eq(told.err, 0);
	ck_assert_str_eq(target(), "192.0.2.1:443,192.0.2.2:443");
	ck_assert_uint_eq(upstream_addresses(u), 2);
	ck_assert_uint_eq(dns->asked_a, 1); /* one lookup, however often it was wanted */
}
END_TEST

START_TEST(one_lookup_runs_however_many_want_it)
{
	addresses(1);
	open_upstream();
	for (int i = 0; i < 5; i++)
		ck_assert_str_eq(target(), "");
	wait_until(&told.resolved, 1);
	turns(f.base, 5);
	ck_assert_uint_eq(dns->asked_a, 1);
	ck_assert_uint_eq(told.resolved, 1);
}
END_TEST

START_TEST(name_in_use_is_asked_again_when_its_time_is_over)
{
	static const struct {
		uint32_t ttl;  /* s */
		uint64_t used; /* ms */
	} rows[] = {{32, 32000}, {1, 5000}, {0, 5000}, {86400, 300000}, {63, 56000}};

	addresses(1);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		unsigned asked;

		dns->a_ttl[0] = rows[i].ttl;
		open_upstream();
		resolve();
		connect_one();
		asked = dns->asked_a;
		advance(rows[i].used - 1);
		turns(f.base, 5);
		ck_assert_uint_eq(dns->asked_a, asked);
		advance(1);
		wait_until(&dns->asked_a, asked + 1);
		ck_assert_str_eq(target(), "192.0.2.1:443"); /* nobody waits for it */
		upstream_free(u);
		u = NULL;
	}
}
END_TEST

START_TEST(name_is_never_asked_more_than_once_a_second)
{
	addresses(1);
	dns->a_ttl[0] = 0;
	up.dns_ttl_min = 0;
	open_resolved();
	connect_one();
	advance(999);
	turns(f.base, 5);
	ck_assert_uint_eq(dns->asked_a, 1);
	advance(1);
	wait_until(&dns->asked_a, 2);
}
END_TEST

START_TEST(name_that_nobody_uses_is_asked_again_when_it_is_wanted)
{
	struct endpoint *ep;

	addresses(1);
	open_resolved();
	ep = connect_one();
	endpoint_closed(ep);
	advance(32000); /* it was wanted in this time */
	wait_answer(4);
	ck_assert_uint_eq(dns->asked_a, 2);
	advance(32000);
	advance(3600000);
	ck_assert_uint_eq(dns->asked_a, 2);
	dns->a[0] = "192.0.2.9";
	resolve(); /* what was known an hour ago is not given away */
	ck_assert_str_eq(target(), "192.0.2.9:443");
}
END_TEST

START_TEST(old_answer_is_used_when_a_new_one_is_late)
{
	addresses(1);
	open_resolved();
	advance(3600000);
	dns->silent = true;
	ck_assert_str_eq(target(), "");
	advance(999);
	ck_assert_uint_eq(told.resolved, 1);
	ck_assert_str_eq(target(), "");
	advance(1);
	ck_assert_uint_eq(told.resolved, 2);
	ck_assert_int_eq(told.err, 0);
	ck_assert_str_eq(target(), "192.0.2.1:443");
}
END_TEST

/* ---- what an answer changes ------------------------------------------------- */

START_TEST(changed_address_is_there_within_its_time_and_the_old_one_is_gone)
{
	struct endpoint *old, *fresh;

	addresses(1);
	open_resolved();
	old = connect_one();
	ck_assert_str_eq(old->text, "192.0.2.1:443");

	dns->a[0] = "192.0.2.9";
	advance(33000); /* time to live and a second */
	wait_until(&told.resolved, 2);
	ck_assert_uint_eq(told.gone, 1);
	ck_assert_ptr_eq(told.last_gone, old);
	ck_assert_str_eq(target(), "192.0.2.9:443");
	fresh = connect_one();
	ck_assert_ptr_ne(fresh, old);
	ck_assert_uint_eq(old->connections, 1); /* it lives until its connection has ended */
	endpoint_closed(old);
	ck_assert_uint_eq(upstream_addresses(u), 1);
}
END_TEST

START_TEST(same_answer_in_another_order_changes_nothing)
{
	struct endpoint *ep;

	addresses(3);
	open_resolved();
	ep = connect_one();
	dns->a[0] = "192.0.2.3", dns->a[2] = "192.0.2.1";
	advance(32000);
	wait_answer(4);
	ck_assert_uint_eq(told.resolved, 1);
	ck_assert_uint_eq(told.gone, 0);
	ck_assert(!ep->gone);
	ck_assert_uint_eq(ep->connections, 1);
	ck_assert_uint_eq(upstream_addresses(u), 3);
}
END_TEST

START_TEST(address_that_comes_back_is_the_one_that_was_gone)
{
	struct endpoint *ep;

	addresses(1);
	open_resolved();
	ep = connect_one();
	dns->a[0] = "192.0.2.9";
	advance(32000);
	wait_until(&told.resolved, 2);
	ck_assert(ep->gone);
	dns->a[0] = "192.0.2.1";
	advance(32000);
	wait_until(&told.resolved, 3);
	ck_assert(!ep->gone);
	ck_assert_ptr_eq(connect_one(), ep);
	ck_assert_uint_eq(ep->connections, 2);
	ck_assert_uint_eq(told.gone, 1); /* the other one had no connection */
}
END_TEST

START_TEST(dial_under_way_may_arrive_at_an_address_that_is_gone)
{
	struct endpoint *first, *ep;

	addresses(1);
	open_resolved();
	first = begin_dial();
	dns->a[0] = "192.0.2.9";
	advance(32000);
	wait_until(&told.resolved, 2);
	ck_assert_uint_eq(told.gone, 0);
	ep = upstream_connected(first, "192.0.2.1:443");
	ck_assert(ep->gone);
	endpoint_closed(ep);

	first = begin_dial(); /* and one that fails may be the last that knew it */
	dns->a[0] = "192.0.2.1";
	advance(32000);
	wait_until(&told.resolved, 3);
	upstream_failed(first, "");
}
END_TEST

START_TEST(many_addresses_are_all_known)
{
	addresses(DNS_MAX);
	open_resolved();
	ck_assert_uint_eq(upstream_addresses(u), DNS_MAX);
	ck_assert_uint_eq(entries(target()), DNS_MAX);
}
END_TEST

START_TEST(address_that_is_told_twice_counts_once)
{
	addresses(3);
	dns->a[2] = dns->a[0];
	open_resolved();
	ck_assert_uint_eq(upstream_addresses(u), 2);
	ck_assert_uint_eq(entries(target()), 2);
}
END_TEST

START_TEST(one_family_is_used_if_asked)
{
	addresses(1);
	dns->aaaa[0] = "2001:db8::1";
	up.address_family = CONF_FAMILY_IPV4;
	open_resolved();
	ck_assert_str_eq(target(), "192.0.2.1:443");
	ck_assert_uint_eq(dns->asked_aaaa, 0);
	upstream_free(u);

	up.address_family = CONF_FAMILY_IPV6;
	open_resolved();
	ck_assert_str_eq(target(), "[2001:db8::1]:443");
	ck_assert_uint_eq(dns->asked_a, 1);
	upstream_free(u);

	up.address_family = CONF_FAMILY_ANY;
	open_resolved();
	ck_assert_uint_eq(entries(target()), 2);
}
END_TEST

/* ---- no answer ---------------------------------------------------------------- */

START_TEST(last_good_answer_is_used_while_the_server_fails)
{
	struct endpoint *ep;

	addresses(1);
	open_resolved();
	ep = connect_one();
	dns->rcode = RCODE_SERVFAIL;
	advance(32000);
	for (unsigned i = 0; i < 5; i++) {
		unsigned asked = dns->asked_a;

		wait_answer(dns->asked);
		ck_assert_str_eq(target(), "192.0.2.1:443");
		ck_assert(!ep->gone);
		advance(4999);
		ck_assert_uint_eq(dns->asked_a, asked);
		advance(1); /* dns_ttl_min */
		wait_until(&dns->asked_a, asked + 1);
	}
	ck_assert_uint_eq(told.resolved, 1);
	wait_answer(dns->asked);
	dns->rcode = RCODE_OK;
	dns->a[0] = "192.0.2.9";
	advance(5000);
	wait_until(&told.resolved, 2);
	ck_assert_str_eq(target(), "192.0.2.9:443");
}
END_TEST

START_TEST(nothing_is_kept_if_that_is_not_wanted)
{
	struct endpoint *ep;

	addresses(1);
	up.dns_keep_stale = false;
	open_resolved();
	ep = connect_one();
	dns->rcode = RCODE_SERVFAIL;
	advance(32000);
	wait_until(&told.resolved, 2);
	ck_assert_int_eq(told.err, CC_ERESOLVE);
	ck_assert(ep->gone);
	ck_assert_uint_eq(told.gone, 1);
	ck_assert_str_eq(target(), "");
}
END_TEST

START_TEST(that_there_is_nothing_has_to_be_said_twice)
{
	struct endpoint *ep;

	addresses(1);
	open_resolved();
	ep = connect_one();
	dns->rcode = RCODE_NXDOMAIN;
	advance(32000);
	wait_answer(3);
	turns(f.base, 20);
	ck_assert_str_eq(target(), "192.0.2.1:443");
	dns->rcode = RCODE_SERVFAIL; /* says nothing */
	advance(5000);
	wait_answer(5);
	turns(f.base, 20);
	dns->rcode = RCODE_NXDOMAIN;
	advance(5000);
	wait_answer(7);
	turns(f.base, 20);
	ck_assert(!ep->gone);
	advance(5000);
	wait_until(&told.resolved, 2);
	ck_assert_int_eq(told.err, CC_ERESOLVE);
	ck_assert_str_eq(told.detail, "resolve api.example.test: Domain name not found");
	ck_assert(ep->gone);
	ck_assert_str_eq(target(), "");

	dns->rcode = RCODE_OK;
	advance(5000);
	wait_until(&told.resolved, 4); /* who waits since heard of it in between */
	ck_assert_int_eq(told.err, 0);
	ck_assert_str_eq(target(), "192.0.2.1:443");
}
END_TEST

START_TEST(who_waits_for_a_name_that_is_not_there_is_told_at_once)
{
	dns->rcode = RCODE_NXDOMAIN;
	open_resolved();
	ck_assert_int_eq(told.err, CC_ERESOLVE);
	ck_assert_str_eq(told.detail, "resolve api.example.test: Domain name not found");
	unsigned asked = dns->asked;

	for (unsigned i = 2; i < 10; i++) { /* the server is spared, those who wait are not */
		ck_assert_str_eq(target(), "");
		turns(f.base, 3);
		ck_assert_uint_eq(told.resolved, i);
		ck_assert_int_eq(told.err, CC_ERESOLVE);
	}
	ck_assert_uint_eq(dns->asked, asked);
	addresses(1);
	dns->rcode = RCODE_OK;
	advance(5000);
	wait_until(&told.resolved, 10);
	ck_assert_int_eq(told.err, 0);
}
END_TEST

/* ---- spread --------------------------------------------------------------------- */

START_TEST(connections_are_spread_evenly)
{
	struct endpoint *eps[400];

	addresses(4);
	open_resolved();
	for (int i = 0; i < 400; i++)
		eps[i] = connect_one();
	for (int i = 0; i < 400; i++)
		ck_assert_uint_eq(eps[i]->connections, 100);
	for (int i = 0; i < 400; i++) { /* the same for those that do not stay */
		endpoint_closed(eps[i]);
		eps[i] = NULL;
	}
}
END_TEST

START_TEST(short_connections_take_turns)
{
	unsigned count[4] = {0};

	addresses(4);
	open_resolved();
	for (int i = 0; i < 400; i++) {
		struct endpoint *ep = connect_one();

		count[ep->text[strlen("192.0.2.")] - '1']++;
		endpoint_closed(ep);
	}
	for (int i = 0; i < 4; i++)
		ck_assert_uint_eq(count[i], 100);
}
END_TEST

START_TEST(dials_under_way_count)
{
	struct endpoint *busy, *first[3];

	addresses(2);
	open_resolved();
	busy = begin_dial();
	upstream_connected(busy, busy->text);
	upstream_connected(begin_dial(), busy->text); /* both have one address */
	ck_assert_uint_eq(busy->connections, 2);
	for (int i = 0; i < 3; i++)
		first[i] = begin_dial();
	ck_assert_ptr_ne(first[0], busy);
	ck_assert_ptr_eq(first[1], first[0]);
	ck_assert_ptr_eq(first[2], busy); /* now it is even */
	for (int i = 0; i < 3; i++)
		upstream_gave_up(first[i]);
}
END_TEST

START_TEST(address_that_was_added_gets_the_next_connections)
{
	addresses(2);
	open_resolved();
	for (int i = 0; i < 6; i++)
		connect_one();
	addresses(3);
	advance(32000);
	wait_until(&told.resolved, 2);
	for (int i = 0; i < 3; i++)
		ck_assert_str_eq(connect_one()->text, "192.0.2.3:443");
}
END_TEST

START_TEST(first_address_is_always_first_without_spread)
{
	addresses(3);
	up.spread = false;
	open_resolved();
	for (int i = 0; i < 5; i++) {
		ck_assert_str_eq(target(), "192.0.2.1:443,192.0.2.2:443,192.0.2.3:443");
		connect_one();
	}
}
END_TEST

/* ---- health --------------------------------------------------------------------- */

START_TEST(address_that_fails_in_a_row_is_ejected_for_a_while)
{
	struct endpoint *ep;

	addresses(4);
	open_resolved();
	ep = connect_one();
	endpoint_failed(ep);
	endpoint_failed(ep);
	endpoint_succeeded(ep);
	endpoint_failed(ep);
	endpoint_failed(ep);
	ck_assert_uint_eq(upstream_ejected(u), 0);
	endpoint_failed(ep);
	ck_assert_uint_eq(upstream_ejected(u), 1);
	ck_assert_uint_eq(entries(target()), 3);
	ck_assert_ptr_null(strstr(target(), ep->text));
	advance(29999);
	ck_assert_uint_eq(entries(target()), 3);
	advance(1);
	ck_assert_uint_eq(entries(target()), 4);
}
END_TEST

START_TEST(no_more_than_max_ejected_at_once)
{
	struct endpoint *eps[4];

	addresses(4);
	open_resolved();
	for (int i = 0; i < 4; i++)
		eps[i] = connect_one();
	for (int i = 0; i < 40; i++)
		endpoint_failed(eps[i % 4]);
	ck_assert_uint_eq(upstream_ejected(u), 2);
	ck_assert_uint_eq(entries(target()), 2);

	up.max_ejected = 25; /* other settings */
	upstream_configure(u, &up);
	ck_assert_uint_eq(upstream_ejected(u), 1);
}
END_TEST

START_TEST(fewer_addresses_let_fewer_be_ejected)
{
	struct endpoint *eps[4];

	addresses(4);
	up.eject_time = 3600000;
	open_resolved();
	for (int i = 0; i < 4; i++)
		eps[i] = connect_one();
	for (int i = 0; i < 6; i++)
		endpoint_failed(eps[i % 2]);
	ck_assert_uint_eq(upstream_ejected(u), 2);
	addresses(2); /* just those */
	advance(32000);
	wait_until(&told.resolved, 2);
	ck_assert_uint_eq(upstream_ejected(u), 1);
	addresses(1);
	dns->a[0] = eps[0]->text[8] == '1' ? "192.0.2.1" : "192.0.2.2";
	advance(32000);
	wait_until(&told.resolved, 3);
	ck_assert_uint_eq(upstream_ejected(u), 0); /* the last one is always in */
}
END_TEST

START_TEST(failures_that_the_library_saw_are_counted_once_each)
{
	struct endpoint *first;

	addresses(4);
	open_resolved();
	for (int i = 0; i < 3; i++) {
		first = begin_dial();
		library_fails("192.0.2.2:443"); /* was in the race; another one connected */
		upstream_connected(first, first->text);
		upstream_connected(begin_dial(), "192.0.2.4:443"); /* nothing new */
		ck_assert_uint_eq(upstream_ejected(u), i == 2 ? 1 : 0);
		advance(10);
	}
	ck_assert_ptr_null(strstr(target(), "192.0.2.2:"));
}
END_TEST

START_TEST(all_that_failed_in_a_race_are_counted)
{
	struct endpoint *first;

	addresses(4);
	up.eject_after = 1;
	open_resolved();
	first = begin_dial();
	ck_assert_str_eq(first->text, "192.0.2.1:443");
	library_fails("192.0.2.2:443");
	upstream_connected(first, "192.0.2.3:443"); /* the first one was too slow */
	ck_assert_str_eq(target(), "192.0.2.4:443,192.0.2.3:443");
}
END_TEST

START_TEST(address_that_cannot_be_connected_to_pauses_while_the_others_are_dialled)
{
	struct endpoint *good;

	addresses(2);
	up.backoff_min = 1000;
	up.backoff_max = 30000;
	up.spread = false;
	open_resolved();
	good = upstream_connected(begin_dial(), "192.0.2.2:443"); /* the first one was too slow */
	ck_assert_str_eq(target(), "192.0.2.2:443");
	ck_assert_uint_eq(upstream_ready_at(u), 0); /* for somebody is there */
	advance(1200);                              /* a second, 20 % more at most */
	ck_assert_uint_eq(entries(target()), 2);
	endpoint_closed(good);
}
END_TEST

START_TEST(while_all_addresses_pause_the_first_to_return_says_when)
{
	uint64_t now = ctx_now(f.ctx);

	addresses(2);
	up.backoff_min = up.backoff_max = 1000;
	open_resolved();
	upstream_failed(begin_dial(), "192.0.2.1:443");
	ck_assert_uint_eq(upstream_ready_at(u), 0);
	ck_assert_str_eq(target(), "192.0.2.2:443");
	advance(500);
	upstream_failed(begin_dial(), "192.0.2.2:443");
	ck_assert_uint_ge(upstream_ready_at(u), now + 800);
	ck_assert_uint_le(upstream_ready_at(u), now + 1200);
	advance(700);
	ck_assert_uint_eq(upstream_ready_at(u), 0);
	ck_assert_str_eq(target(), "192.0.2.1:443"); /* the other pauses for 100 ms or more */
}
END_TEST

START_TEST(address_that_closes_unused_connections_pauses_and_is_ejected_in_the_end)
{
	struct endpoint *ep;

	addresses(2);
	up.backoff_min = up.backoff_max = 1000;
	up.spread = false;
	open_resolved();
	for (int i = 0; i < 3; i++) {
		ep = upstream_connected(begin_dial(), "192.0.2.1:443");
		ck_assert(endpoint_useless(ep) == (i == 2)); /* eject_after */
		endpoint_closed(ep);
		ck_assert_str_eq(target(), "192.0.2.2:443");
		advance(1200);
	}
	ck_assert_uint_eq(upstream_ejected(u), 1);
}
END_TEST

START_TEST(address_that_failed_a_moment_ago_comes_last)
{
	addresses(3);
	open_resolved();
	library_fails("192.0.2.1:443");
	ck_assert_str_eq(target(), "192.0.2.2:443,192.0.2.3:443,192.0.2.1:443");
	ck_assert_str_eq(target(), "192.0.2.3:443,192.0.2.2:443,192.0.2.1:443");
	advance(FAILED_FOR);
	wait_answer(dns->asked);
	ck_assert_int_eq(strncmp(target(), "192.0.2.1:", 10), 0); /* its turn */
}
END_TEST

START_TEST(address_that_is_always_overtaken_is_ejected)
{
	unsigned overtaken = 0;

	addresses(2);
	open_resolved();
	for (int i = 0; i < 20 && upstream_ejected(u) == 0; i++) {
		struct endpoint *first = begin_dial();

		overtaken += strcmp(first->text, "192.0.2.1:443") == 0;
		endpoint_closed(upstream_connected(first, "192.0.2.2:443"));
	}
	ck_assert_uint_eq(overtaken, 3); /* eject_after */
	ck_assert_str_eq(target(), "192.0.2.2:443");
}
END_TEST

START_TEST(failed_dial_counts_for_who_answered_or_for_who_was_dialled)
{
	addresses(2);
	up.eject_after = 1;
	open_resolved();
	upstream_gave_up(begin_dial());
	ck_assert_uint_eq(upstream_ejected(u), 0);
	upstream_failed(begin_dial(), "192.0.2.2:443");
	ck_assert_str_eq(target(), "192.0.2.1:443");
	advance(30000);
	ck_assert_uint_eq(entries(target()), 2);
	struct endpoint *first = begin_dial();
	char text[128];

	snprintf(text, sizeof(text), "%s", first->text);
	upstream_failed(first, "");
	ck_assert_ptr_null(strstr(target(), text));
}
END_TEST

/* ---- with the library --------------------------------------------------------------- */

static void on_state(struct cc_conn *conn, void *arg)
{
	*(unsigned *)arg += cc_conn_state(conn) != CC_CONNECTING;
}

/* Dials what the upstream says, and tells it what became of that. */
static struct endpoint *dial(struct cc_transport *t)
{
	struct endpoint *first, *ep = NULL;
	struct cc_conn *conn;
	unsigned over = 0;

	ck_assert_int_eq(
		cc_transport_new_client_conn(t, "http", target_of(&first), on_state, &over, &conn),
		0);
	wait_until(&over, 1);
	if (cc_conn_state(conn) == CC_READY)
		ep = upstream_connected(first, cc_conn_address(conn));
	else
		upstream_failed(first, cc_conn_address(conn));
	cc_conn_free(conn);
	return ep;
}

START_TEST(library_and_upstream_agree_on_addresses_and_failures)
{
	struct cc_transport_opts o = {.size = sizeof(o)};
	struct cc_transport *t;
	struct peer *peer = peer_tcp(f.base);
	struct endpoint *ep;

	dns->a[0] = "127.0.0.9", dns->a[1] = "127.0.0.1", dns->a[2] = "127.0.0.8";
	up.port = (uint16_t)atoi(strrchr(peer->address, ':') + 1);
	up.spread = false;
	up.eject_after = 1;
	ck_assert_int_eq(cc_transport_new(f.ctx, &o, &t), 0);
	open_resolved();
	ep = dial(t);
	ck_assert_ptr_nonnull(ep);
	ck_assert_str_eq(ep->text, peer->address);
	endpoint_closed(ep);
	ck_assert_uint_eq(upstream_ejected(u), 1);
	ck_assert_ptr_null(strstr(target(), "127.0.0.9:")); /* it refused */

	peer_free(peer); /* now all refuse */
	advance(10);
	ck_assert_ptr_null(dial(t));
	ck_assert_uint_eq(upstream_ejected(u), 1); /* of three half may be ejected */
	ck_assert_uint_eq(entries(target()), 2);
	cc_transport_free(t);
}
END_TEST

/* ---- services -------------------------------------------------------------------- */

static void services(void)
{
	up.srv = "_https._tcp.api.example.test";
	dns->hosts[0] = (struct dns_host){"a.example.test", "192.0.2.1", false};
	dns->hosts[1] = (struct dns_host){"b.example.test", "192.0.2.2", false};
	dns->hosts[2] = (struct dns_host){"c.example.test", "192.0.2.3", false};
	dns->srv[0] = (struct dns_srv){"a.example.test", 8443, 1, 30, 32};
	dns->srv[1] = (struct dns_srv){"b.example.test", 443, 1, 10, 32};
	dns->srv[2] = (struct dns_srv){"c.example.test", 9443, 2, 0, 32};
}

START_TEST(services_are_dialled_by_priority_and_weight)
{
	struct endpoint *ep;
	unsigned a = 0, b = 0;

	services();
	open_resolved();
	ck_assert_msg(told.err == 0, "%s", told.detail);
	ck_assert_uint_eq(upstream_addresses(u), 3);
	for (int i = 0; i < 40; i++) {
		ep = connect_one();
		a += strcmp(ep->text, "192.0.2.1:8443") == 0;
		b += strcmp(ep->text, "192.0.2.2:443") == 0;
	}
	ck_assert_uint_eq(a, 30);
	ck_assert_uint_eq(b, 10);

	library_fails("192.0.2.1:8443");
	ck_assert_str_eq(target(), "192.0.2.2:443,192.0.2.1:8443");
	library_fails("192.0.2.2:443");
	ck_assert_str_eq(target(), "192.0.2.3:9443");
}
END_TEST

START_TEST(services_are_asked_for_again_when_their_time_is_over)
{
	struct endpoint *ep;

	services();
	open_resolved();
	ep = connect_one();
	ck_assert_str_eq(ep->text, "192.0.2.1:8443");
	memset(dns->srv, 0, sizeof(dns->srv));
	dns->srv[0] = (struct dns_srv){"c.example.test", 443, 1, 30, 32};
	advance(32000);
	wait_until(&told.resolved, 2);
	ck_assert(ep->gone);
	ck_assert_str_eq(target(), "192.0.2.3:443");
	ck_assert_uint_eq(dns->asked_srv, 2);
}
END_TEST

START_TEST(host_of_a_service_that_is_not_there_is_left_out)
{
	services();
	dns->hosts[0].a = NULL;
	open_resolved();
	ck_assert_int_eq(told.err, 0);
	ck_assert_str_eq(target(), "192.0.2.2:443");
	ck_assert_uint_eq(upstream_addresses(u), 2);
}
END_TEST

START_TEST(address_of_a_host_that_nobody_knows_about_is_kept)
{
	struct endpoint *ep;

	services();
	open_resolved();
	ep = connect_one();
	ck_assert_str_eq(ep->text, "192.0.2.1:8443");
	dns->hosts[0].broken = true;
	dns->hosts[1].a = "192.0.2.20";
	advance(32000);
	wait_until(&told.resolved, 2);
	ck_assert(!ep->gone);
	ck_assert_uint_eq(
		upstream_addresses(u), 4); /* and 192.0.2.2 as well: the answer has a hole */
	dns->hosts[0].broken = false;
	advance(5000); /* soon */
	wait_until(&told.resolved, 3);
	ck_assert(!ep->gone);
	ck_assert_uint_eq(upstream_addresses(u), 3);
}
END_TEST

START_TEST(service_that_is_not_offered_is_an_error)
{
	up.srv = "_https._tcp.api.example.test";
	dns->srv[0] = (struct dns_srv){".", 443, 0, 0, 32};
	open_resolved();
	ck_assert_int_eq(told.err, CC_ERESOLVE);
	ck_assert_str_eq(told.detail,
		"resolve _https._tcp.api.example.test: the service is not offered there");
}
END_TEST

START_TEST(services_without_spread_come_by_priority)
{
	services();
	up.spread = false;
	dns->srv[0].weight = 0; /* drawn by chance in nearly no case */
	open_resolved();
	ck_assert_uint_eq(entries(target()), 2);
	ck_assert_ptr_null(strstr(target(), "192.0.2.3"));
}
END_TEST

/* ---- memory ------------------------------------------------------------------------ */

static unsigned long allocs, fail_at;

static void *count_alloc(size_t n, void *arg)
{
	(void)arg;
	return ++allocs == fail_at ? NULL : malloc(n);
}

static void *count_resize(void *p, size_t n, void *arg)
{
	(void)arg;
	return ++allocs == fail_at ? NULL : realloc(p, n);
}

static void count_release(void *p, void *arg)
{
	(void)arg;
	free(p);
}

/* From nothing to a connection, with the nth allocation failing. */
static int one_connection(void)
{
	struct endpoint *first;

	if (upstream_new(f.ctx, &up, &ops, NULL, &u) < 0)
		return CC_ENOMEM;
	if (!target_of(&first)) {
		unsigned before = told.resolved;

		wait_until(&told.resolved, before + 1);
		if (told.err < 0)
			return told.err;
		/* A part of the addresses may be missing, for want of memory, but not all. */
		ck_assert_ptr_nonnull(target_of(&first));
	}
	endpoint_closed(upstream_connected(first, first->text));
	return 0;
}

/* It is asked again after dns_ttl_min. */
static void connect_later(void)
{
	unsigned before = told.resolved;

	ck_assert_str_eq(target(), "");
	wait_until(&told.resolved, before + 1);
	advance(5000);
	wait_until(&told.resolved, before + 2);
	ck_assert_int_eq(told.err, 0);
	endpoint_closed(connect_one());
}

static void starve_each_allocation(void)
{
	const struct cc_mem counting = {count_alloc, count_resize, count_release, NULL};
	unsigned long whole;

	f.ctx->mem = counting;
	allocs = fail_at = 0;
	ck_assert_int_eq(one_connection(), 0);
	whole = allocs;
	ck_assert_uint_gt(whole, 4);
	for (unsigned long n = 1; n <= whole; n++) {
		int err;

		upstream_free(u);
		u = NULL;
		allocs = 0;
		fail_at = n;
		err = one_connection();
		fail_at = 0;
		ck_assert_msg(err == 0 || err == CC_ENOMEM, "allocation %lu: %d", n, err);
		if (err == 0 || !u)
			continue;
		connect_later();
	}
}

START_TEST(lack_of_memory_is_told_and_goes_by)
{
	services();
	starve_each_allocation();
}
END_TEST

START_TEST(lack_of_memory_for_the_only_address_is_told_and_goes_by)
{
	addresses(1);
	starve_each_allocation();
}
END_TEST

/* ---- end -------------------------------------------------------------------------- */

START_TEST(upstream_may_end_while_it_asks_and_while_it_would_tell)
{
	addresses(1);
	open_upstream();
	ck_assert_str_eq(target(), "");
	upstream_free(u);
	dns->rcode = RCODE_NXDOMAIN;
	open_resolved();
	ck_assert_str_eq(target(), ""); /* it would tell in this turn */
	upstream_free(u);
	u = NULL;
	turns(f.base, 5);
	ck_assert_uint_eq(told.resolved, 1);
	upstream_free(NULL);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		what_is_no_name_is_one_address_and_never_resolved,
		name_is_resolved_when_it_is_first_wanted,
		one_lookup_runs_however_many_want_it,
		name_in_use_is_asked_again_when_its_time_is_over,
		name_is_never_asked_more_than_once_a_second,
		name_that_nobody_uses_is_asked_again_when_it_is_wanted,
		old_answer_is_used_when_a_new_one_is_late,
		changed_address_is_there_within_its_time_and_the_old_one_is_gone,
		same_answer_in_another_order_changes_nothing,
		address_that_comes_back_is_the_one_that_was_gone,
		dial_under_way_may_arrive_at_an_address_that_is_gone,
		many_addresses_are_all_known,
		address_that_is_told_twice_counts_once,
		one_family_is_used_if_asked,
		last_good_answer_is_used_while_the_server_fails,
		nothing_is_kept_if_that_is_not_wanted,
		that_there_is_nothing_has_to_be_said_twice,
		who_waits_for_a_name_that_is_not_there_is_told_at_once,
		connections_are_spread_evenly,
		short_connections_take_turns,
		dials_under_way_count,
		address_that_was_added_gets_the_next_connections,
		first_address_is_always_first_without_spread,
		address_that_fails_in_a_row_is_ejected_for_a_while,
		no_more_than_max_ejected_at_once,
		fewer_addresses_let_fewer_be_ejected,
		failures_that_the_library_saw_are_counted_once_each,
		all_that_failed_in_a_race_are_counted,
		address_that_cannot_be_connected_to_pauses_while_the_others_are_dialled,
		while_all_addresses_pause_the_first_to_return_says_when,
		address_that_closes_unused_connections_pauses_and_is_ejected_in_the_end,
		address_that_failed_a_moment_ago_comes_last,
		address_that_is_always_overtaken_is_ejected,
		failed_dial_counts_for_who_answered_or_for_who_was_dialled,
		library_and_upstream_agree_on_addresses_and_failures,
		services_are_dialled_by_priority_and_weight,
		services_are_asked_for_again_when_their_time_is_over,
		host_of_a_service_that_is_not_there_is_left_out,
		address_of_a_host_that_nobody_knows_about_is_kept,
		service_that_is_not_offered_is_an_error,
		services_without_spread_come_by_priority,
		lack_of_memory_is_told_and_goes_by,
		lack_of_memory_for_the_only_address_is_told_and_goes_by,
		upstream_may_end_while_it_asks_and_while_it_would_tell,
	};
	Suite *s = suite_create("upstream");
	TCase *t = tcase_create("upstream");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 240);
	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
		tcase_add_test(t, tests[i]);
	suite_add_tcase(s, t);
	return run_suite(s);
}
