/* test_resolve.c - names to addresses, against a DNS server in the same loop. */
#include <arpa/inet.h>
#include <check.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <event2/event.h>

#include "lib/base/ctx.h"
#include "lib/net/resolve.h"
#include "tests/dns.h"

#define WAIT_MAX 60 /* s: then the test has failed */

struct probe { /* what a lookup brought */
	struct lookup *lookup;
	unsigned calls;
	int err;
	unsigned n;
	uint32_t ttl;
	struct address addrs[8];
	struct service services[SERVICES_MAX];
	bool none;
	char detail[128];
	const char *then; /* look this up from within the answer */
};

static struct event_base *base;
static struct cc_ctx *ctx;
static struct dns *dns;
static unsigned long allocs, fail_at, live;
static bool expired;

/* ---- fixture ---------------------------------------------------------- */

static void *count_alloc(size_t n, void *arg)
{
	(void)arg;
	void *p = ++allocs == fail_at ? NULL : malloc(n);

	live += p != NULL;
	return p;
}

static void *count_resize(void *p, size_t n, void *arg)
{
	(void)arg;
	live += !p;
	return ++allocs == fail_at ? NULL : realloc(p, n);
}

static void count_release(void *p, void *arg)
{
	(void)arg;
	live -= p != NULL;
	free(p);
}

static const struct cc_mem counting = {count_alloc, count_resize, count_release, NULL};

static int use_dns(void)
{
	return resolver_set_servers(ctx, dns->address);
}

static void ctx_open(void)
{
	struct cc_ctx_opts opts = {.size = sizeof(opts), .base = base, .mem = &counting};

	ctx = calloc(1, sizeof(*ctx));
	ck_assert_int_eq(ctx_init(ctx, &opts), 0);
}

static void ctx_shut(void)
{
	resolver_free(ctx->resolver);
	event_base_loop(base, EVLOOP_NONBLOCK);
	ctx_clear(ctx);
	free(ctx);
}

static void setup(void)
{
	/*
	 * How long c-ares waits for a server: before 1.34 in the first words, then in the others.
	 */
	setenv("RES_OPTIONS", "retrans:100 retry:1 timeout:1 attempts:1", 1);
	base = event_base_new();
	allocs = fail_at = live = 0;
	ctx_open();
	dns = dns_new(base);
}

static void teardown(void)
{
	ctx_shut();
	dns_free(dns);
	event_base_free(base);
	ck_assert_uint_eq(live, 0);
}

static void on_expired(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what, (void)arg;
	expired = true;
}

static void wait_until(const unsigned *counter, unsigned n)
{
	struct timeval most = {WAIT_MAX, 0};
	struct event *guard = evtimer_new(base, on_expired, NULL);

	expired = false;
	event_add(guard, &most);
	while (*counter < n && !expired)
		event_base_loop(base, EVLOOP_ONCE);
	event_free(guard);
	ck_assert_msg(!expired, "waited too long");
}

static void turns(int n)
{
	while (n-- > 0)
		event_base_loop(base, EVLOOP_NONBLOCK);
}

/* ---- probes ------------------------------------------------------------ */

static int look_up(struct probe *p, const char *host);

static void on_found(void *arg, const struct resolved *found)
{
	struct probe *p = arg;

	p->calls++;
	p->lookup = NULL;
	p->err = found->err;
	p->none = found->none;
	p->n = found->n;
	p->ttl = found->ttl;
	ck_assert_ptr_nonnull(found->detail);
	snprintf(p->detail, sizeof(p->detail), "%s", found->detail);
	if (found->addrs)
		memcpy(p->addrs, found->addrs, (p->n < 8 ? p->n : 8) * sizeof(p->addrs[0]));
	if (found->services)
		memcpy(p->services, found->services, p->n * sizeof(p->services[0]));
	if (p->then) {
		const char *name = p->then;

		p->then = NULL;
		ck_assert_int_eq(look_up(p, name), 0);
	}
}

static int look_up_family(struct probe *p, const char *host, sa_family_t family)
{
	return resolve_start(ctx, host, 8443, family, on_found, p, &p->lookup);
}

static int look_up(struct probe *p, const char *host)
{
	return look_up_family(p, host, AF_UNSPEC);
}

static void find_services(struct probe *p)
{
	ck_assert_int_eq(use_dns(), 0);
	ck_assert_int_eq(
		resolve_services(ctx, "_https._tcp.example.test", on_found, p, &p->lookup), 0);
	wait_until(&p->calls, 1);
}

static bool has_ipv4(const struct probe *p, const char *text)
{
	struct in_addr want;

	inet_pton(AF_INET, text, &want);
	for (unsigned i = 0; i < p->n; i++) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)&p->addrs[i].sa;

		if (in->sin_family == AF_INET && in->sin_addr.s_addr == want.s_addr)
			return true;
	}
	return false;
}

static unsigned count_family(const struct probe *p, sa_family_t family)
{
	unsigned n = 0;

	for (unsigned i = 0; i < p->n; i++)
		n += p->addrs[i].sa.ss_family == family;
	return n;
}

/* ---- tests ------------------------------------------------------------- */

START_TEST(localhost_needs_no_server)
{
	struct probe p = {0};

	dns->silent = true;
	ck_assert_int_eq(use_dns(), 0);
	ck_assert_int_eq(look_up(&p, "localhost"), 0);
	ck_assert_uint_eq(p.calls, 0); /* never from within resolve_start */
	wait_until(&p.calls, 1);

	ck_assert_int_eq(p.err, 0);
	ck_assert(has_ipv4(&p, "127.0.0.1"));
	ck_assert_uint_eq(p.ttl, 0);
	ck_assert_uint_eq(dns->asked, 0);
}
END_TEST

START_TEST(addresses_carry_the_port_and_the_smallest_ttl)
{
	struct probe p = {0};

	dns->a[0] = "127.0.0.2", dns->a_ttl[0] = 300;
	dns->a[1] = "127.0.0.3", dns->a_ttl[1] = 30;
	ck_assert_int_eq(use_dns(), 0);
	ck_assert_int_eq(look_up(&p, "api.example.test."), 0);
	wait_until(&p.calls, 1);

	ck_assert_int_eq(p.err, 0);
	ck_assert_uint_eq(p.n, 2);
	ck_assert_uint_eq(p.ttl, 30);
	ck_assert(has_ipv4(&p, "127.0.0.2"));
	ck_assert(has_ipv4(&p, "127.0.0.3"));
	ck_assert_uint_eq(ntohs(((struct sockaddr_in *)&p.addrs[1].sa)->sin_port), 8443);
	ck_assert_uint_eq(p.addrs[0].len, sizeof(struct sockaddr_in));
}
END_TEST

START_TEST(both_families_are_asked_for)
{
	struct probe p = {0};

	dns->a[0] = "127.0.0.2", dns->a_ttl[0] = 60;
	dns->aaaa[0] = "::1";
	ck_assert_int_eq(use_dns(), 0);
	ck_assert_int_eq(look_up(&p, "api.example.test."), 0);
	wait_until(&p.calls, 1);

	ck_assert_int_eq(p.err, 0);
	ck_assert_uint_eq(count_family(&p, AF_INET), 1);
	ck_assert_uint_eq(count_family(&p, AF_INET6), 1);
	ck_assert_uint_eq(p.ttl, 60);
}
END_TEST

START_TEST(truncated_answer_is_asked_for_again_by_tcp)
{
	struct probe p = {0};

	dns->truncate = true;
	dns->a[0] = "127.0.0.2", dns->a_ttl[0] = 60;
	ck_assert_int_eq(use_dns(), 0);
	ck_assert_int_eq(look_up(&p, "api.example.test."), 0);
	wait_until(&p.calls, 1);

	ck_assert_int_eq(p.err, 0);
	ck_assert(has_ipv4(&p, "127.0.0.2"));
	ck_assert_uint_gt(dns->asked_by_tcp, 0);
}
END_TEST

START_TEST(unknown_name_fails_with_the_reason)
{
	struct probe p = {0};

	dns->rcode = RCODE_NXDOMAIN;
	ck_assert_int_eq(use_dns(), 0);
	ck_assert_int_eq(look_up(&p, "nowhere.example.test."), 0);
	wait_until(&p.calls, 1);

	ck_assert_int_eq(p.err, CC_ERESOLVE);
	ck_assert_str_eq(p.detail, "Domain name not found");
	ck_assert(p.none);
	ck_assert_uint_eq(p.n, 0);
}
END_TEST

START_TEST(name_without_addresses_fails_with_the_reason)
{
	struct probe p = {0};

	ck_assert_int_eq(use_dns(), 0);
	ck_assert_int_eq(look_up(&p, "empty.example.test."), 0);
	wait_until(&p.calls, 1);

	ck_assert_int_eq(p.err, CC_ERESOLVE);
	ck_assert_str_eq(p.detail, "DNS server returned answer with no data");
	ck_assert(p.none);
}
END_TEST

START_TEST(silent_server_ends_in_a_timeout)
{
	struct probe p = {0};

	dns->silent = true;
	ck_assert_int_eq(use_dns(), 0);
	ck_assert_int_eq(look_up(&p, "api.example.test."), 0);
	wait_until(&p.calls, 1);

	ck_assert_int_eq(p.err, CC_ERESOLVE);
	ck_assert_str_eq(p.detail, "Timeout while contacting DNS servers");
	ck_assert(!p.none); /* nobody said that it is not there */
	ck_assert_uint_gt(dns->asked, 0);
}
END_TEST

/* With c-ares' own clock: this test takes two seconds. */
START_TEST(question_that_was_lost_is_asked_again_in_two_seconds)
{
	struct probe p = {0};
	unsigned first;

	unsetenv("RES_OPTIONS");
	dns->a[0] = "127.0.0.2";
	dns->silent = true;
	ck_assert_int_eq(use_dns(), 0);
	ck_assert_int_eq(look_up_family(&p, "api.example.test.", AF_INET), 0);
	wait_until(&dns->asked, 1);
	dns->silent = false;
	first = dns->asked;
	wait_until(&p.calls, 1);

	ck_assert_msg(p.err == 0, "%s", p.detail);
	ck_assert_uint_eq(dns->asked, first + 1);
}
END_TEST

START_TEST(malformed_name_fails)
{
	struct probe p = {0};

	ck_assert_int_eq(use_dns(), 0);
	ck_assert_int_eq(look_up(&p, "a..b"), 0);
	wait_until(&p.calls, 1);
	ck_assert_int_eq(p.err, CC_ERESOLVE);
	ck_assert_uint_eq(dns->asked, 0);
}
END_TEST

START_TEST(lookup_cancelled_while_the_server_thinks_calls_nobody)
{
	struct probe p = {0}, other = {0};

	dns->a[0] = "127.0.0.2";
	ck_assert_int_eq(use_dns(), 0);
	ck_assert_int_eq(look_up(&p, "a.example.test."), 0);
	ck_assert_int_eq(look_up(&other, "b.example.test."), 0);
	resolve_cancel(p.lookup);
	wait_until(&other.calls, 1);
	wait_until(&dns->asked, 4); /* two names, two families: it was on its way */
	turns(3);
	ck_assert_uint_eq(p.calls, 0);
	ck_assert_int_eq(other.err, 0);
}
END_TEST

START_TEST(lookup_cancelled_after_its_answer_calls_nobody)
{
	struct probe p = {0};

	ck_assert_int_eq(look_up(&p, "localhost"), 0); /* answered, waits for the turn */
	resolve_cancel(p.lookup);
	turns(3);
	ck_assert_uint_eq(p.calls, 0);
	resolve_cancel(NULL);
}
END_TEST

START_TEST(answer_may_begin_the_next_lookup)
{
	struct probe p = {.then = "b.example.test."};

	dns->a[0] = "127.0.0.2";
	ck_assert_int_eq(use_dns(), 0);
	ck_assert_int_eq(look_up(&p, "localhost"), 0);
	wait_until(&p.calls, 2);
	ck_assert_int_eq(p.err, 0);
	ck_assert(has_ipv4(&p, "127.0.0.2"));
}
END_TEST

START_TEST(freeing_the_resolver_drops_lookups_in_every_state)
{
	struct probe asked = {0}, cancelled = {0}, answered = {0};

	dns->silent = true;
	ck_assert_int_eq(use_dns(), 0);
	ck_assert_int_eq(look_up(&asked, "a.example.test."), 0);
	ck_assert_int_eq(look_up(&cancelled, "b.example.test."), 0);
	resolve_cancel(cancelled.lookup);
	ck_assert_int_eq(look_up(&answered, "localhost"), 0);
	resolver_free(ctx->resolver);
	turns(3);

	ck_assert_ptr_null(ctx->resolver);
	ck_assert_uint_eq(asked.calls + cancelled.calls + answered.calls, 0);
}
END_TEST

START_TEST(changed_servers_end_what_the_old_ones_were_asked)
{
	struct probe p = {0};

	dns->silent = true;
	ck_assert_int_eq(use_dns(), 0);
	ck_assert_int_eq(look_up(&p, "a.example.test."), 0);
	ck_assert_int_eq(use_dns(), 0);
	wait_until(&p.calls, 1);
	ck_assert_int_eq(p.err, CC_ERESOLVE);
	ck_assert_int_eq(resolver_set_servers(ctx, "not an address"), CC_EINVAL);

	dns->silent = false; /* the refused list left the good one in place */
	dns->a[0] = "127.0.0.2";
	ck_assert_int_eq(look_up(&p, "a.example.test."), 0);
	wait_until(&p.calls, 2);
	ck_assert_int_eq(p.err, 0);
}
END_TEST

START_TEST(one_family_is_asked_for_alone)
{
	static const struct {
		sa_family_t family;
		unsigned v4, v6;
	} rows[] = {{AF_INET, 1, 0}, {AF_INET6, 0, 1}, {AF_UNSPEC, 1, 1}};

	dns->a[0] = "127.0.0.2", dns->aaaa[0] = "::1";
	ck_assert_int_eq(use_dns(), 0);
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct probe p = {0}, local = {0};

		dns->asked_a = dns->asked_aaaa = 0;
		ck_assert_int_eq(look_up_family(&p, "api.example.test.", rows[i].family), 0);
		ck_assert_int_eq(look_up_family(&local, "localhost", rows[i].family), 0);
		wait_until(&p.calls, 1);
		wait_until(&local.calls, 1);
		ck_assert_uint_eq(dns->asked_a, rows[i].v4);
		ck_assert_uint_eq(dns->asked_aaaa, rows[i].v6);
		ck_assert_uint_eq(count_family(&p, AF_INET), rows[i].v4);
		ck_assert_uint_eq(count_family(&p, AF_INET6), rows[i].v6);
		ck_assert_uint_eq(count_family(&local, AF_INET), rows[i].v4);
		ck_assert_uint_eq(count_family(&local, AF_INET6), rows[i].v6);
	}
}
END_TEST

START_TEST(name_that_stands_for_another_counts_with_its_own_ttl)
{
	struct probe p = {0};

	dns->cname = "balancer.example.test", dns->cname_ttl = 20;
	dns->a[0] = "127.0.0.2", dns->a_ttl[0] = 300;
	ck_assert_int_eq(use_dns(), 0);
	ck_assert_int_eq(look_up(&p, "api.example.test."), 0);
	wait_until(&p.calls, 1);

	ck_assert_int_eq(p.err, 0);
	ck_assert(has_ipv4(&p, "127.0.0.2"));
	ck_assert_uint_eq(p.ttl, 20);
}
END_TEST

START_TEST(server_that_fails_did_not_say_that_there_is_nothing)
{
	struct probe p = {0};

	dns->rcode = RCODE_SERVFAIL;
	ck_assert_int_eq(use_dns(), 0);
	ck_assert_int_eq(look_up(&p, "api.example.test."), 0);
	wait_until(&p.calls, 1);
	ck_assert_int_eq(p.err, CC_ERESOLVE);
	ck_assert(!p.none);
}
END_TEST

START_TEST(services_come_with_host_port_priority_weight_and_the_smallest_ttl)
{
	struct probe p = {0};

	dns->srv[0] = (struct dns_srv){"a.example.test", 8443, 1, 20, 300};
	dns->srv[1] = (struct dns_srv){"b.example.test", 443, 2, 0, 40};
	find_services(&p);

	ck_assert_int_eq(p.err, 0);
	ck_assert_uint_eq(p.n, 2);
	ck_assert_uint_eq(p.ttl, 40);
	ck_assert_str_eq(dns->name, "_https._tcp.example.test");
	ck_assert_str_eq(p.services[0].host, "a.example.test");
	ck_assert_uint_eq(p.services[0].port, 8443);
	ck_assert_uint_eq(p.services[0].priority, 1);
	ck_assert_uint_eq(p.services[0].weight, 20);
	ck_assert_str_eq(p.services[1].host, "b.example.test");
	ck_assert_uint_eq(p.services[1].port, 443);
	ck_assert_uint_eq(p.services[1].priority, 2);
}
END_TEST

START_TEST(service_whose_host_is_the_root_is_not_offered)
{
	struct probe p = {0};

	dns->srv[0] = (struct dns_srv){".", 443, 0, 0, 300};
	find_services(&p);
	ck_assert_int_eq(p.err, CC_ERESOLVE);
	ck_assert(p.none);
	ck_assert_uint_eq(p.n, 0);
	ck_assert_str_eq(p.detail, "the service is not offered there");
}
END_TEST

START_TEST(services_fail_as_addresses_do)
{
	struct probe empty = {0}, unknown = {0}, broken = {0}, silent = {0};

	find_services(&empty);
	ck_assert_int_eq(empty.err, CC_ERESOLVE);
	ck_assert(empty.none);

	dns->rcode = RCODE_NXDOMAIN;
	find_services(&unknown);
	ck_assert_int_eq(unknown.err, CC_ERESOLVE);
	ck_assert(unknown.none);
	ck_assert_str_eq(unknown.detail, "Domain name not found");

	dns->rcode = RCODE_SERVFAIL;
	find_services(&broken);
	ck_assert_int_eq(broken.err, CC_ERESOLVE);
	ck_assert(!broken.none);

	dns->silent = true;
	find_services(&silent);
	ck_assert_int_eq(silent.err, CC_ERESOLVE);
	ck_assert(!silent.none);
}
END_TEST

START_TEST(services_may_be_cancelled_while_the_server_thinks)
{
	struct probe p = {0}, other = {0};

	dns->srv[0] = (struct dns_srv){"a.example.test", 8443, 1, 20, 300};
	ck_assert_int_eq(use_dns(), 0);
	ck_assert_int_eq(resolve_services(ctx, "_http._tcp.test", on_found, &p, &p.lookup), 0);
	resolve_cancel(p.lookup);
	find_services(&other);
	turns(3);
	ck_assert_uint_eq(p.calls, 0);
	ck_assert_int_eq(other.err, 0);
}
END_TEST

/* The clock of the test below: far enough ahead that the channel is old. */
static uint64_t later_clock(void *arg)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000 + *(uint64_t *)arg;
}

START_TEST(old_idle_channel_is_renewed_and_keeps_its_servers)
{
	struct probe p = {0};
	uint64_t ahead = 0;

	dns->a[0] = "127.0.0.2";
	ctx->clock = later_clock;
	ctx->clock_arg = &ahead;
	ck_assert_int_eq(use_dns(), 0);
	ck_assert_int_eq(look_up(&p, "a.example.test."), 0);
	wait_until(&p.calls, 1);
	ahead = 3600u * 1000000u;
	turns(2);
	ck_assert_int_eq(look_up(&p, "b.example.test."), 0);
	wait_until(&p.calls, 2);
	ck_assert_int_eq(p.err, 0);
	ck_assert(has_ipv4(&p, "127.0.0.2"));
}
END_TEST

/* One whole lookup of each kind with the nth allocation failing. */
static int one_lookup(void)
{
	struct probe p = {0};
	int err = use_dns();

	if (err == 0)
		err = look_up(&p, "a.example.test.");
	if (err < 0)
		return err;
	wait_until(&p.calls, 1);
	if (p.err < 0)
		return p.err;
	err = resolve_services(ctx, "_http._tcp.example.test", on_found, &p, &p.lookup);
	if (err < 0)
		return err;
	wait_until(&p.calls, 2);
	return p.err;
}

START_TEST(no_allocation_may_fail_unnoticed)
{
	unsigned long n;
	int err = CC_ENOMEM;

	dns->a[0] = "127.0.0.2";
	dns->srv[0] = (struct dns_srv){"a.example.test", 8443, 1, 20, 300};
	for (n = 1; err != 0; n++) {
		ck_assert_uint_lt(n, 50);
		allocs = 0;
		fail_at = n;
		err = one_lookup();
		fail_at = 0;
		ck_assert_msg(err == 0 || err == CC_ENOMEM, "allocation %lu: %d", n, err);
		ctx_shut();
		ck_assert_uint_eq(live, 0);
		ctx_open();
	}
	ck_assert_uint_gt(n, 5); /* it did fail some */
}
END_TEST

int main(void)
{
	Suite *s = suite_create("resolve");
	TCase *t = tcase_create("resolve");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 240);
	tcase_add_test(t, localhost_needs_no_server);
	tcase_add_test(t, addresses_carry_the_port_and_the_smallest_ttl);
	tcase_add_test(t, both_families_are_asked_for);
	tcase_add_test(t, truncated_answer_is_asked_for_again_by_tcp);
	tcase_add_test(t, unknown_name_fails_with_the_reason);
	tcase_add_test(t, name_without_addresses_fails_with_the_reason);
	tcase_add_test(t, silent_server_ends_in_a_timeout);
	tcase_add_test(t, question_that_was_lost_is_asked_again_in_two_seconds);
	tcase_add_test(t, malformed_name_fails);
	tcase_add_test(t, lookup_cancelled_while_the_server_thinks_calls_nobody);
	tcase_add_test(t, lookup_cancelled_after_its_answer_calls_nobody);
	tcase_add_test(t, answer_may_begin_the_next_lookup);
	tcase_add_test(t, freeing_the_resolver_drops_lookups_in_every_state);
	tcase_add_test(t, changed_servers_end_what_the_old_ones_were_asked);
	tcase_add_test(t, old_idle_channel_is_renewed_and_keeps_its_servers);
	tcase_add_test(t, one_family_is_asked_for_alone);
	tcase_add_test(t, name_that_stands_for_another_counts_with_its_own_ttl);
	tcase_add_test(t, server_that_fails_did_not_say_that_there_is_nothing);
	tcase_add_test(t, services_come_with_host_port_priority_weight_and_the_smallest_ttl);
	tcase_add_test(t, service_whose_host_is_the_root_is_not_offered);
	tcase_add_test(t, services_fail_as_addresses_do);
	tcase_add_test(t, services_may_be_cancelled_while_the_server_thinks);
	tcase_add_test(t, no_allocation_may_fail_unnoticed);
	suite_add_tcase(s, t);

	runner = srunner_create(s);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed > 0;
}
