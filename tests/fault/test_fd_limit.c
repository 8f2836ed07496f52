/*
 * test_fd_limit.c - out of descriptors: a dial fails with the words for it, and
 * the context goes on when there are some again. It never spins.
 */
#include <string.h>
#include <unistd.h>

#include "lib/base/ctx.h"
#include "lib/net/resolve.h"
#include "tests/dns.h"
#include "tests/fault/scenario.h"
#include "tests/programs.h"

#define BOUND 200 /* wake-ups of the loop, where some ten do */

static rlim_t before;

/* Waits as a program does, and counts how often the loop woke up. */
static int wake_ups_until_closed(struct client *c)
{
	int n = 0;

	while (cc_conn_state(c->conn) != CC_CLOSED && n <= BOUND) {
		event_base_loop(c->base, EVLOOP_ONCE);
		n++;
	}
	return n;
}

static void dial_again(struct client *c)
{
	cc_conn_free(c->conn);
	c->conn = NULL;
	turns(c->base, 2);
	c->hooks = c->hooks_seen = c->hooks_closed = 0;
	c->completed_seen = 0;
	ck_assert_int_eq(client_dial(c, "http"), 0);
}

/* A round trip over a connection that is dialled now. */
static void works(struct client *c)
{
	struct probe p = {0};

	dial_again(c);
	get(c, &p, "/");
	peer_accept(c->peer);
	expect_request(c, "GET / HTTP/1.1");
	peer_say(c->peer, OK_HELLO);
	wait_done(&p);
	ck_assert_int_eq(p.result.err, 0);
	check_body(&p, "hello");
	probe_free(&p);
}

static void check_no_descriptors(struct peer *peer)
{
	struct client c;
	struct probe p = {0};

	ck_assert_int_eq(client_init(&c, peer, CC_OFFER_H1, NULL, 0), 0);
	for (int i = 0; i < 3; i++) {
		before = descriptors_take();
		if (i == 0)
			ck_assert_int_eq(client_dial(&c, "http"), 0);
		else
			dial_again(&c);
		p = (struct probe){0};
		get(&c, &p, "/");
		ck_assert_int_lt(wake_ups_until_closed(&c), BOUND);
		wait_done(&p);
		turns(c.base, 2);
		descriptors_return(before);
		ck_assert_int_eq(p.result.err, CC_EMFILE);
		ck_assert(p.result.unprocessed);
		ck_assert_ptr_nonnull(strstr(cc_conn_detail(c.conn), "Too many open files"));
		ck_assert_uint_eq(c.hooks_closed, 1);
	}
	works(&c);
	client_close(&c);
}

START_TEST(a_dial_without_a_descriptor_says_so_and_the_next_one_works)
{
	check_no_descriptors(peer_unix(event_base_new()));
	check_no_descriptors(peer_tcp(event_base_new()));
}
END_TEST

START_TEST(a_connection_that_is_open_needs_no_more_descriptors)
{
	struct client c;
	struct probe p = {0};

	open_h1(&c, NULL);
	before = descriptors_take();
	get(&c, &p, "/");
	expect_request(&c, "GET / HTTP/1.1");
	peer_say(c.peer, OK_HELLO);
	wait_done(&p);
	descriptors_return(before);
	check_body(&p, "hello");
	probe_free(&p);
	client_close(&c);
}
END_TEST

/* c-ares opens sockets of its own, which no table of ours sees. */
START_TEST(a_name_is_not_resolved_without_a_descriptor_and_is_with_one)
{
	struct peer *peer = peer_tcp(event_base_new());
	struct dns *dns = dns_new(peer->base);
	char port[8];
	struct client c;

	dns->a[0] = "127.0.0.1";
	strcpy(port, strrchr(peer->address, ':'));
	strcpy(peer->address, "server.example.test");
	strcat(peer->address, port);
	ck_assert_int_eq(client_init(&c, peer, CC_OFFER_H1, NULL, 0), 0);
	ck_assert_int_eq(resolver_set_servers(c.ctx, dns->address), 0);
	before = descriptors_take();
	ck_assert_int_eq(client_dial(&c, "http"), 0);
	ck_assert_int_lt(wake_ups_until_closed(&c), BOUND);
	turns(c.base, 2);
	descriptors_return(before);
	ck_assert_int_eq(cc_conn_err(c.conn), CC_ERESOLVE);
	ck_assert_uint_eq(dns->asked, 0);
	works(&c);
	dns_free(dns);
	client_close(&c);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		a_dial_without_a_descriptor_says_so_and_the_next_one_works,
		a_connection_that_is_open_needs_no_more_descriptors,
		a_name_is_not_resolved_without_a_descriptor_and_is_with_one,
	};

	return run_suite("fd limit", tests, sizeof(tests) / sizeof(tests[0]));
}
