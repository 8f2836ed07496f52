/*
 * test_dial.c - addresses in words, and the way to a connected link: the race
 * of the addresses, the handshake, and all that can go wrong on the way.
 */
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>
#include <openssl/ssl.h>

#include "lib/base/ctx.h"
#include "lib/net/dial.h"
#include "lib/net/address.h"
#include "lib/net/io.h"
#include "lib/net/link.h"
#include "lib/net/order.h"
#include "lib/net/race.h"
#include "lib/net/resolve.h"
#include "lib/net/session.h"
#include "tests/dns.h"
#include "tests/peer.h"

struct probe { /* what a dial brought */
	struct dial *dial;
	struct link *link;
	unsigned calls;
	int err;
	char detail[512], address[128];
	bool cancel_in_done;
	struct cc_buf got;
};

static struct event_base *base;
static struct cc_ctx *ctx;
static struct peer *peer;
static struct dns *dns;
static uint64_t ahead; /* us since the test's clock began */

static unsigned long allocs, fail_at, live;

/* What the hooked system calls do and saw. */
static struct {
	int open; /* sockets */
	int socket_error;
	const char *swallowed;  /* connecting to this address never ends */
	const char *refused;    /* "*": every address */
	const char *redirected; /* connecting to this address reaches the peer */
	unsigned busy;          /* times connect says EAGAIN first */
	unsigned connects;
	char order[16]; /* '4' or '6' for every connect */
} sys;

/* ---- hooked system calls ---------------------------------------------- */

static int hooked_socket(int domain, int type, int protocol)
{
	if (sys.socket_error) {
		errno = sys.socket_error;
		return -1;
	}
	sys.open++;
	return io_system.socket(domain, type, protocol);
}

static bool address_is(const struct sockaddr *sa, const char *text)
{
	char buf[INET6_ADDRSTRLEN] = "";

	if (!text)
		return false;
	if (sa->sa_family == AF_INET)
		inet_ntop(AF_INET, &((const struct sockaddr_in *)sa)->sin_addr, buf, sizeof(buf));
	else if (sa->sa_family == AF_INET6)
		inet_ntop(
			AF_INET6, &((const struct sockaddr_in6 *)sa)->sin6_addr, buf, sizeof(buf));
	return strcmp(text, "*") == 0 || strcmp(text, buf) == 0;
}

/* fd becomes one that is never writable: a full pipe. */
static void make_deaf(int fd)
{
	int ends[2];
	char junk[4096] = {0};

	ck_assert_int_eq(pipe2(ends, O_NONBLOCK | O_CLOEXEC), 0);
	while (write(ends[1], junk, sizeof(junk)) > 0)
		;
	/* The reading end must stay open, or the writing one is an error. */
	ck_assert_int_ge(fcntl(ends[0], F_DUPFD_CLOEXEC, 900), 0);
	close(ends[0]);
	ck_assert_int_eq(dup2(ends[1], fd), fd);
	close(ends[1]);
}

static int hooked_connect(int fd, const struct sockaddr *sa, socklen_t len)
{
	if (sys.connects < sizeof(sys.order) - 1)
		sys.order[sys.connects] = sa->sa_family == AF_INET6 ? '6' : '4';
	sys.connects++;
	if (sys.busy > 0) {
		sys.busy--;
		errno = EAGAIN;
		return -1;
	}
	if (address_is(sa, sys.refused)) {
		errno = ECONNREFUSED;
		return -1;
	}
	if (address_is(sa, sys.swallowed)) {
		make_deaf(fd);
		errno = EINPROGRESS;
		return -1;
	}
	if (address_is(sa, sys.redirected)) {
		struct sockaddr_in in = *(const struct sockaddr_in *)sa;

		in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		return io_system.connect(fd, (struct sockaddr *)&in, len);
	}
	return io_system.connect(fd, sa, len);
}

static int hooked_close(int fd)
{
	sys.open--;
	return io_system.close(fd);
}

static struct io hooked; /* filled by setup */

static void *count_alloc(size_t n, void *arg)
{
	void *p = ++allocs == fail_at ? NULL : malloc(n);

	(void)arg;
	live += p != NULL;
	return p;
}

static void *count_resize(void *p, size_t n, void *arg)
{
	void *q = ++allocs == fail_at ? NULL : realloc(p, n);

	(void)arg;
	live += !p && q;
	return q;
}

static void count_release(void *p, void *arg)
{
	(void)arg;
	live -= p != NULL;
	free(p);
}

static const struct cc_mem counting = {count_alloc, count_resize, count_release, NULL};

/* Stands still unless the test moves it. */
static uint64_t test_clock(void *arg)
{
	return 1000000000 + *(uint64_t *)arg;
}

static void advance(uint64_t ms)
{
	ahead += ms * 1000;
	ctx->now = 0;
	timers_run(ctx);
	turns(base, 2);
}

/* ---- fixture ----------------------------------------------------------- */

static void ctx_open(void)
{
	struct cc_ctx_opts opts = {.size = sizeof(opts), .base = base, .mem = &counting};

	ctx = calloc(1, sizeof(*ctx));
	ck_assert_int_eq(ctx_init(ctx, &opts), 0);
	ctx->io = &hooked;
	ctx->clock = test_clock;
	ctx->clock_arg = &ahead;
}

static void ctx_shut(void)
{
	turns(base, 3);
	resolver_free(ctx->resolver);
	turns(base, 1);
	link_ctx_clear(ctx);
	sessions_clear(ctx);
	race_ctx_clear(ctx);
	ctx_clear(ctx);
	free(ctx);
}

static void setup(void)
{
	base = event_base_new();
	memset(&sys, 0, sizeof(sys));
	hooked = io_system;
	hooked.socket = hooked_socket;
	hooked.connect = hooked_connect;
	hooked.close = hooked_close;
	ahead = allocs = fail_at = live = 0;
	peer = NULL;
	dns = NULL;
	ctx_open();
}

/* Nothing may be left: no memory, no descriptor. */
static void teardown(void)
{
	ctx_shut();
	peer_free(peer);
	dns_free(dns);
	event_base_free(base);
	ck_assert_uint_eq(live, 0);
	ck_assert_int_eq(sys.open, 0);
	for (int fd = 900; fd < 1000; fd++)
		close(fd);
}

static void probe_data(struct link *l)
{
	struct probe *p = l->owner;

	cc_buf_move(&p->got, &l->in, l->in.len);
}

static void probe_eof(struct link *l, bool clean)
{
	(void)l, (void)clean;
}

static void probe_error(struct link *l, int err)
{
	(void)l, (void)err;
}

static const struct link_ops probe_ops = {
	.on_data = probe_data, .on_eof = probe_eof, .on_error = probe_error};

static void on_dialled(void *arg, int err, struct link *link, const char *detail)
{
	struct probe *p = arg;

	p->calls++;
	p->err = err;
	p->link = link;
	ck_assert_ptr_nonnull(detail);
	snprintf(p->detail, sizeof(p->detail), "%s", detail);
	dial_address(p->dial, p->address, sizeof(p->address));
	ck_assert((err == 0) == (link != NULL));
	if (link) {
		cc_buf_init(&p->got, ctx);
		link_set_owner(link, &probe_ops, p);
	}
	if (p->cancel_in_done)
		dial_cancel(p->dial);
	p->dial = NULL;
}

static int dial_to(struct probe *p, const struct dial_target *t)
{
	int err = dial_start(ctx, t, on_dialled, p, &p->dial);

	ck_assert_uint_eq(p->calls, 0); /* never from within dial_start */
	return err;
}

static void dial_wait(struct probe *p, const struct dial_target *t)
{
	ck_assert_int_eq(dial_to(p, t), 0);
	until(base, p->calls > 0);
	ck_assert_uint_eq(p->calls, 1);
}

static void probe_clear(struct probe *p)
{
	if (!p->link)
		return;
	cc_buf_clear(&p->got);
	link_free(p->link);
	p->link = NULL;
}

static uint16_t peer_port(void)
{
	return (uint16_t)atoi(strrchr(peer->address, ':') + 1);
}

/* A port of 127.0.0.1 where nobody listens. */
static void free_port(char *address, size_t size)
{
	struct peer *p = peer_tcp(base);

	snprintf(address, size, "%s", p->address);
	peer_free(p);
}

static void use_dns(void)
{
	dns = dns_new(base);
	ck_assert_int_eq(resolver_set_servers(ctx, dns->address), 0);
}

/* Bytes go both ways. */
static void check_works(struct probe *p)
{
	char got[5] = "";

	ck_assert_msg(p->err == 0, "%s", p->detail);
	peer_accept(peer);
	ck_assert_int_eq(cc_buf_add(&p->link->out, "ping", 4), 0);
	link_flush(p->link);
	peer_expect(peer, "ping");
	peer_say(peer, "pong");
	until(base, p->got.len == 4);
	cc_buf_peek(&p->got, got, 4);
	ck_assert_str_eq(got, "pong");
}

/* ---- addresses --------------------------------------------------------- */

START_TEST(addresses_are_taken_apart)
{
	static const struct {
		const char *address, *host, *path;
		uint16_t port;
	} rows[] = {
		{"example.com", "example.com", NULL, 0},
		{"example.com:443", "example.com", NULL, 443},
		{"example.com.:1", "example.com.", NULL, 1},
		{"my_service-2.local:65535", "my_service-2.local", NULL, 65535},
		{"127.0.0.1:8080", "127.0.0.1", NULL, 8080},
		{"[::1]", "::1", NULL, 0},
		{"[2001:db8::1]:443", "2001:db8::1", NULL, 443},
		{"[fe80::1%eth0]:80", "fe80::1%eth0", NULL, 80},
		{"unix:/run/a b.sock", NULL, "/run/a b.sock", 0},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct dial_host h;

		ck_assert_msg(dial_parse(rows[i].address, &h) == 0, "%s", rows[i].address);
		ck_assert_uint_eq(h.port, rows[i].port);
		if (rows[i].path) {
			ck_assert_str_eq(h.path, rows[i].path);
			ck_assert_uint_eq(h.host_len, 0);
			continue;
		}
		ck_assert_ptr_null(h.path);
		ck_assert_uint_eq(h.host_len, strlen(rows[i].host));
		ck_assert_int_eq(memcmp(h.host, rows[i].host, h.host_len), 0);
	}
}
END_TEST

START_TEST(addresses_without_sense_are_refused)
{
	static const char *const rows[] = {"", ":80", "host:", "host:0", "host:65536", "host:80a",
		"host:-1", "host: 80", "host:99999999999", "::1", "::1:80", "[::1", "[]", "[]:80",
		"[::1]80", "[::1]:", "[host]:80", "a b", "http://host", "host/path", "user@host",
		".host", ".", "host:80:90", "unix:", "unix:relative", "hos\tt", "h\xc3\xb6st",
		"[::1\"]:80"};
	char longest[300];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct dial_host h = {.port = 7};

		ck_assert_msg(dial_parse(rows[i], &h) == CC_EINVAL, "%s", rows[i]);
		ck_assert_uint_eq(h.port, 7); /* untouched */
	}
	memset(longest, 'a', sizeof(longest));
	longest[254] = '\0';
	ck_assert_int_eq(dial_parse(longest, &(struct dial_host){0}), CC_EINVAL);
	longest[253] = '\0';
	ck_assert_int_eq(dial_parse(longest, &(struct dial_host){0}), 0);
	memcpy(longest, "unix:/", 6);
	longest[5 + 108] = '\0';
	ck_assert_int_eq(dial_parse(longest, &(struct dial_host){0}), CC_EINVAL);
	longest[5 + 107] = '\0';
	ck_assert_int_eq(dial_parse(longest, &(struct dial_host){0}), 0);
	ck_assert_int_eq(dial_parse(NULL, &(struct dial_host){0}), CC_EINVAL);
}
END_TEST

START_TEST(calls_without_sense_are_refused)
{
	SSL_CTX *tls = peer_tls_client(NULL);
	const struct dial_target rows[] = {
		{.address = "host"}, /* no port anywhere */
		{.address = "a b", .default_port = 80},
		{.address = "[::1x]", .default_port = 80},
		{.address = "unix:/tmp/x", .tls = tls}, /* no name to verify */
		{.address = "host:1", .tls = tls, .tls_name = ""},
		{.address = "host:1", .proxy = "proxy:3128"},
		{.address = "host:1", .proxy = "socks5://[::1x]"},
		{.address = "unix:/tmp/x", .proxy = "http://proxy"},
		{.address = "[fe80::1%lo]:1", .proxy = "http://proxy"},
		{.address = "host:1", .bind_address = "localhost"},
		{.address = "host:1", .bind_address = "127.0.0.1:80"},
		{.address = "host:1", .bind_address = "[::1]"},
		{.address = "host:1", .bind_interface = "a/b"},
		{.address = "host:1", .bind_interface = "sixteen-bytes-xx"},
		{.address = "host:1",
			.tls = tls,
			.alpn = (const unsigned char *)"\5h2",
			.alpn_len = 3},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct probe p = {0};

		ck_assert_msg(dial_to(&p, &rows[i]) == CC_EINVAL, "row %zu", i);
		ck_assert_ptr_null(p.dial);
	}
	SSL_CTX_free(tls);
}
END_TEST

/* ---- order --------------------------------------------------------------- */

/* "4a" is 192.0.2.10, "6b" is 2001:db8::b. */
static struct address letter(const char *s)
{
	char text[32];
	struct address a;

	snprintf(text, sizeof(text), *s == '6' ? "2001:db8::%x" : "192.0.2.%d",
		(unsigned)(s[1] - 'a' + 10));
	ck_assert(address_numeric(&a, text, 80));
	return a;
}

/* The order of "4a6b4c" in the same notation. */
static void check_order(const char *given, sa_family_t family, const struct failed *f, uint64_t now,
	const char *want)
{
	struct address addrs[8];
	unsigned n = (unsigned)strlen(given) / 2;
	uint8_t order[RESOLVE_MAX];
	char got[17] = "";

	for (unsigned i = 0; i < n; i++)
		addrs[i] = letter(given + 2 * i);
	n = order_addresses(addrs, n, family, f, now, order);
	for (unsigned i = 0; i < n; i++)
		memcpy(got + 2 * i, given + 2 * order[i], 2);
	ck_assert_str_eq(got, want);
}

static void failed_letters(struct failed *f, const char *letters, uint64_t now)
{
	for (; *letters; letters += 2) {
		struct address a = letter(letters);

		failed_add(f, &a, now);
	}
}

START_TEST(order_alternates_and_the_first_family_begins)
{
	check_order("4a", AF_UNSPEC, NULL, 0, "4a");
	check_order("4a4b6c6d", AF_UNSPEC, NULL, 0, "4a6c4b6d");
	check_order("6c6d6e4a", AF_UNSPEC, NULL, 0, "6c4a6d6e");
	check_order("4a6b6c6d", AF_UNSPEC, NULL, 0, "4a6b6c6d");
}
END_TEST

START_TEST(order_takes_one_family_if_asked)
{
	check_order("4a4b6c6d", AF_INET6, NULL, 0, "6c6d");
	check_order("6c4a6d4b", AF_INET, NULL, 0, "4a4b");
	check_order("6c6d", AF_INET, NULL, 0, "");
}
END_TEST

START_TEST(order_puts_what_failed_last_for_a_minute)
{
	struct failed f = {0};

	failed_letters(&f, "4a", 1000);
	check_order("4a4b6c6d", AF_UNSPEC, &f, 1000, "4b6c6d4a");
	check_order("4a4b6c6d", AF_UNSPEC, &f, 60999, "4b6c6d4a");
	check_order("4a4b6c6d", AF_UNSPEC, &f, 61000, "4a6c4b6d");
	check_order("4b4a6c6d", AF_INET, &f, 1000, "4b4a");
	failed_letters(&f, "4a", 50000); /* again */
	ck_assert_uint_eq(f.count, 1);
	check_order("4a4b6c6d", AF_UNSPEC, &f, 61000, "4b6c6d4a");
}
END_TEST

START_TEST(order_leaves_nothing_out)
{
	struct failed f = {0};

	failed_letters(&f, "6c6d", 1);
	check_order("6c4a6d4b", AF_UNSPEC, &f, 2, "4a4b6c6d");
	failed_letters(&f, "4a4b", 2);
	check_order("4a4b6c6d", AF_UNSPEC, &f, 2, "4a6c4b6d"); /* all failed: as if none had */
}
END_TEST

START_TEST(order_forgets_what_connected)
{
	struct failed f = {0};
	struct address a = letter("4a"), b = letter("4b"), other_port = a;

	failed_letters(&f, "4a4b6c", 1);
	failed_remove(&f, &a);
	failed_remove(&f, &a);
	check_order("4b4a", AF_UNSPEC, &f, 2, "4a4b");
	ck_assert_uint_eq(f.count, 2);
	((struct sockaddr_in *)&other_port.sa)->sin_port = htons(81);
	ck_assert(!address_same(&a, &other_port));
	ck_assert(!address_same(&a, &b));
}
END_TEST

START_TEST(memory_of_failures_is_bounded_and_loses_the_oldest)
{
	struct failed f = {0};
	struct address a;
	char text[32];

	for (unsigned i = 0; i < FAILED_MAX + 3; i++) {
		snprintf(text, sizeof(text), "192.0.2.%u", i);
		ck_assert(address_numeric(&a, text, 80));
		failed_add(&f, &a, 1000 - (i == 40 ? 900 : 0) + i);
	}
	ck_assert_uint_eq(f.count, FAILED_MAX);
	for (unsigned i = 0; i < FAILED_MAX + 3; i++) {
		struct address two[2];
		uint8_t order[RESOLVE_MAX];
		bool lost = i == 40 || i == 0 || i == 1;

		snprintf(text, sizeof(text), "192.0.2.%u", i);
		ck_assert(address_numeric(&two[0], text, 80));
		two[1] = letter("6a");
		order_addresses(two, 2, AF_UNSPEC, &f, 2000, order);
		ck_assert_msg(order[0] == (lost ? 0 : 1), "%u", i);
	}
}
END_TEST

/* Says the numbers of a list one after the other, but never more than it may. */
static uint32_t next_number(void *arg, uint32_t n)
{
	const uint32_t **numbers = arg;
	uint32_t value = *(*numbers)++;

	return value < n ? value : n;
}

/* "cab": the services in their order, by the first letter of the host. */
static const char *order_of(struct service *services, unsigned n, const uint32_t *numbers)
{
	static char text[SERVICES_MAX + 1];

	order_services(services, n, next_number, &numbers);
	for (unsigned i = 0; i < n; i++)
		text[i] = services[i].host[0];
	text[n] = '\0';
	return text;
}

START_TEST(services_come_by_priority_and_are_drawn_by_weight)
{
	static const struct service all[] = {{.host = "c", .priority = 9},
		{.host = "a", .priority = 1, .weight = 10},
		{.host = "b", .priority = 1, .weight = 30},
		{.host = "z", .priority = 1, .weight = 0}};
	static const struct {
		uint32_t numbers[4];
		const char *order;
	} rows[] = {{{0, 0, 0, 0}, "zabc"}, {{1, 0, 0, 0}, "azbc"}, {{10, 0, 0, 0}, "azbc"},
		{{11, 0, 0, 0}, "bzac"}, {{40, 10, 0, 0}, "bazc"}, {{0, 11, 0, 0}, "zbac"}};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct service services[4];

		memcpy(services, all, sizeof(all));
		ck_assert_str_eq(order_of(services, 4, rows[i].numbers), rows[i].order);
	}
}
END_TEST

/* ---- clear text -------------------------------------------------------- */

START_TEST(number_connects_without_a_lookup)
{
	struct probe p = {0};

	peer = peer_tcp(base);
	dial_wait(&p, &(struct dial_target){.address = peer->address});
	check_works(&p);
	ck_assert_ptr_null(ctx->resolver);
	char alpn[32];
	ck_assert_str_eq(dial_alpn(p.link, alpn), "");
	probe_clear(&p);
}
END_TEST

START_TEST(unix_socket_connects)
{
	struct probe p = {0};

	peer = peer_unix(base);
	dial_wait(&p, &(struct dial_target){.address = peer->address});
	check_works(&p);
	probe_clear(&p);
}
END_TEST

START_TEST(localhost_needs_no_server)
{
	struct probe p = {0};

	peer = peer_tcp(base);
	dial_wait(&p, &(struct dial_target){.address = "localhost", .default_port = peer_port()});
	check_works(&p);
	probe_clear(&p);
}
END_TEST

START_TEST(tcp_options_are_set)
{
	struct probe p = {0};
	int v = 0;
	socklen_t len = sizeof(v);

	peer = peer_tcp(base);
	dial_wait(&p, &(struct dial_target){.address = peer->address,
			      .tcp_keepalive = 30000,
			      .tcp_user_timeout = 12345});
	ck_assert_int_eq(getsockopt(p.link->wire.fd, IPPROTO_TCP, TCP_NODELAY, &v, &len), 0);
	ck_assert_int_eq(v, 1);
	ck_assert_int_eq(getsockopt(p.link->wire.fd, SOL_SOCKET, SO_KEEPALIVE, &v, &len), 0);
	ck_assert_int_eq(v, 1);
	ck_assert_int_eq(getsockopt(p.link->wire.fd, IPPROTO_TCP, TCP_KEEPIDLE, &v, &len), 0);
	ck_assert_int_eq(v, 30);
	ck_assert_int_eq(getsockopt(p.link->wire.fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &v, &len), 0);
	ck_assert_int_eq(v, 12345);
	ck_assert_int_ne(fcntl(p.link->wire.fd, F_GETFL) & O_NONBLOCK, 0);
	ck_assert_int_ne(fcntl(p.link->wire.fd, F_GETFD) & FD_CLOEXEC, 0);
	probe_clear(&p);
}
END_TEST

START_TEST(refused_connection_names_the_address)
{
	struct probe p = {.cancel_in_done = true};
	char address[128], want[192];

	free_port(address, sizeof(address));
	dial_wait(&p, &(struct dial_target){.address = address});
	ck_assert_int_eq(p.err, CC_ECONNECT);
	snprintf(want, sizeof(want), "connect to %s: Connection refused", address);
	ck_assert_str_eq(p.detail, want);
}
END_TEST

START_TEST(missing_unix_socket_names_the_path)
{
	struct probe p = {0};

	dial_wait(&p, &(struct dial_target){.address = "unix:/nonexistent/s"});
	ck_assert_int_eq(p.err, CC_ECONNECT);
	ck_assert_str_eq(p.detail, "connect to unix:/nonexistent/s: No such file or directory");
}
END_TEST

START_TEST(full_accept_queue_of_a_unix_socket_is_tried_again)
{
	struct probe p = {0};

	peer = peer_unix(base);
	sys.busy = 2;
	ck_assert_int_eq(dial_to(&p, &(struct dial_target){.address = peer->address}), 0);
	turns(base, 2);
	ck_assert_uint_eq(sys.connects, 1);
	advance(20);
	ck_assert_uint_eq(p.calls, 0);
	advance(20);
	until(base, p.calls > 0);
	ck_assert_uint_eq(sys.connects, 3);
	check_works(&p);
	probe_clear(&p);
}
END_TEST

START_TEST(accept_queue_that_stays_full_ends_in_a_timeout)
{
	struct probe p = {0};

	peer = peer_unix(base);
	sys.busy = 1000000;
	ck_assert_int_eq(dial_to(&p, &(struct dial_target){.address = peer->address,
					     .connect_timeout = 500}),
		0);
	turns(base, 2);
	advance(501);
	ck_assert_int_eq(p.err, CC_ETIMEOUT);
	ck_assert_ptr_nonnull(strstr(p.detail, "accept queue full for 500 ms (connect timeout)"));
}
END_TEST

START_TEST(lack_of_descriptors_is_named)
{
	struct probe p = {0};

	sys.socket_error = EMFILE;
	dial_wait(&p, &(struct dial_target){.address = "127.0.0.1:80"});
	ck_assert_int_eq(p.err, CC_EMFILE);
	ck_assert_str_eq(p.detail, "socket for 127.0.0.1:80: Too many open files");
}
END_TEST

/* ---- names and races --------------------------------------------------- */

START_TEST(second_address_is_tried_at_once_when_the_first_refuses)
{
	struct probe p = {0};

	peer = peer_tcp(base);
	use_dns();
	dns->a[0] = "127.0.0.9", dns->a[1] = "127.0.0.1";
	dial_wait(&p,
		&(struct dial_target){.address = "api.example.test.", .default_port = peer_port()});
	check_works(&p);
	ck_assert_uint_eq(sys.connects, 2);
	probe_clear(&p);
}
END_TEST

START_TEST(slow_address_is_overtaken_after_the_race_delay)
{
	struct probe p = {0};

	peer = peer_tcp(base);
	use_dns();
	dns->a[0] = "127.0.0.9", dns->a[1] = "127.0.0.1";
	sys.swallowed = "127.0.0.9";
	ck_assert_int_eq(dial_to(&p, &(struct dial_target){.address = "api.example.test.",
					     .default_port = peer_port(),
					     .race_delay = 100000,
					     .connect_timeout = 1000000}),
		0);
	until(base, sys.connects == 1);
	advance(99000);
	ck_assert_uint_eq(sys.connects, 1);
	advance(1000);
	until(base, p.calls > 0);

	check_works(&p);
	ck_assert_int_eq(sys.open, 1); /* the slow one was closed */
	probe_clear(&p);
}
END_TEST

START_TEST(families_alternate)
{
	struct probe p = {0};

	use_dns();
	dns->a[0] = "127.0.0.9", dns->a[1] = "127.0.0.8";
	dns->aaaa[0] = "2001:db8::1", dns->aaaa[1] = "2001:db8::2", dns->aaaa[2] = "2001:db8::3";
	sys.refused = "*";
	dial_wait(&p, &(struct dial_target){.address = "api.example.test.:81"});

	ck_assert_int_eq(p.err, CC_ECONNECT);
	ck_assert_uint_eq(sys.connects, 5);
	if (sys.order[0] == '6') /* c-ares decides who is first */
		ck_assert_str_eq(sys.order, "64646");
	else
		ck_assert_str_eq(sys.order, "46466");
	ck_assert_ptr_nonnull(strstr(p.detail, "connect to api.example.test. ("));
	ck_assert_ptr_nonnull(strstr(p.detail, "Connection refused (last of 5 addresses)"));
}
END_TEST

/* ---- several numbers --------------------------------------------------- */

static const char *several(const char *format) /* with the port of the peer */
{
	static char text[128];
	unsigned port = peer_port();

	snprintf(text, sizeof(text), format, port, port);
	return text;
}

START_TEST(several_numbers_race_in_the_order_given)
{
	struct probe p = {0};

	peer = peer_tcp(base);
	sys.refused = "127.0.0.9";
	dial_wait(&p, &(struct dial_target){.address = several("127.0.0.9:%u,127.0.0.1:%u")});
	check_works(&p);
	ck_assert_uint_eq(sys.connects, 2);
	ck_assert_str_eq(p.address, peer->address);
	ck_assert_ptr_null(ctx->resolver);
	probe_clear(&p);

	sys.connects = 0;
	peer_next(peer);
	p = (struct probe){0};
	dial_wait(&p, &(struct dial_target){.address = several("127.0.0.1:%u,127.0.0.9:%u")});
	check_works(&p);
	ck_assert_uint_eq(sys.connects, 1);
	probe_clear(&p);
}
END_TEST

START_TEST(several_numbers_alternate_between_the_families)
{
	struct probe p = {0};

	sys.refused = "*";
	dial_wait(&p, &(struct dial_target){.address = "[2001:db8::1]:1,[2001:db8::2],127.0.0.8:2",
			      .default_port = 80});
	ck_assert_int_eq(p.err, CC_ECONNECT);
	ck_assert_str_eq(sys.order, "646");
	ck_assert_str_eq(
		p.detail, "connect to [2001:db8::2]:80: Connection refused (last of 3 addresses)");
	ck_assert_str_eq(p.address, "");
}
END_TEST

START_TEST(several_numbers_overtake_each_other_after_the_race_delay)
{
	struct probe p = {0};

	peer = peer_tcp(base);
	sys.swallowed = "127.0.0.9";
	ck_assert_int_eq(
		dial_to(&p, &(struct dial_target){.address = several("127.0.0.9:%u,127.0.0.1:%u"),
				    .race_delay = 70}),
		0);
	turns(base, 2);
	advance(69);
	ck_assert_uint_eq(sys.connects, 1);
	advance(1);
	until(base, p.calls > 0);
	check_works(&p);
	ck_assert_str_eq(p.address, peer->address);
	probe_clear(&p);
}
END_TEST

START_TEST(failures_are_known_by_address_and_time)
{
	struct probe p = {0};
	struct address bad, good;

	peer = peer_tcp(base);
	sys.refused = "127.0.0.9";
	address_numeric(&bad, "127.0.0.9", peer_port());
	address_numeric(&good, "127.0.0.1", peer_port());
	ck_assert_uint_eq(race_failed_at(ctx, &bad), 0);
	dial_wait(&p, &(struct dial_target){.address = several("127.0.0.9:%u,127.0.0.1:%u")});
	ck_assert_uint_eq(race_failed_at(ctx, &bad), ctx_now(ctx));
	ck_assert_uint_eq(race_failed_at(ctx, &good), 0);
	probe_clear(&p);
}
END_TEST

START_TEST(several_that_are_not_all_numbers_are_refused)
{
	static const char *const rows[] = {"127.0.0.1:80,", ",127.0.0.1:80",
		"127.0.0.1:80,,[::1]:80", "127.0.0.1:80,localhost:80", "localhost:80,127.0.0.1:80",
		"127.0.0.1:80,unix:/a", "127.0.0.1:80, [::1]:80", "127.0.0.1:80,::1",
		"127.0.0.1,127.0.0.2"};
	char many[65 * 12 + 1] = "";
	struct probe p = {0};
	struct dial_target t = {.address = many, .default_port = 80};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		ck_assert_msg(dial_to(&p, &(struct dial_target){.address = rows[i]}) == CC_EINVAL,
			"%s", rows[i]);
	for (unsigned i = 0; i < 65; i++)
		snprintf(many + strlen(many), sizeof(many) - strlen(many), "%s127.0.0.%u",
			i > 0 ? "," : "", i + 1);
	ck_assert_int_eq(dial_to(&p, &t), CC_EINVAL);
	*strrchr(many, ',') = '\0';
	ck_assert_int_eq(dial_to(&p, &t), 0); /* 64 are fine */
	dial_cancel(p.dial);
	t.proxy = "http://127.0.0.1:3128";
	ck_assert_int_eq(dial_to(&p, &t), CC_EINVAL);
}
END_TEST

START_TEST(comma_in_the_path_of_a_socket_separates_nothing)
{
	struct probe p = {0};

	dial_wait(&p, &(struct dial_target){.address = "unix:/nowhere,127.0.0.1:80"});
	ck_assert_int_eq(p.err, CC_ECONNECT);
	ck_assert_ptr_nonnull(strstr(p.detail, "unix:/nowhere,127.0.0.1:80: "));
}
END_TEST

/* By name to 127.0.0.9, 127.0.0.1, of which only the second listens. */
static void dial_two(struct probe *p)
{
	dial_wait(p,
		&(struct dial_target){.address = "api.example.test.", .default_port = peer_port()});
	ck_assert_msg(p->err == 0, "%s", p->detail);
	probe_clear(p);
	peer_accept(peer);
	peer_next(peer);
}

START_TEST(address_that_failed_is_tried_last_for_a_minute)
{
	struct probe first = {0}, second = {0}, third = {0};

	peer = peer_tcp(base);
	use_dns();
	dns->a[0] = "127.0.0.9", dns->a[1] = "127.0.0.1";
	dial_two(&first);
	ck_assert_uint_eq(sys.connects, 2);
	dial_two(&second);
	ck_assert_uint_eq(sys.connects, 3); /* the good one at once */
	advance(60000);
	dial_two(&third);
	ck_assert_uint_eq(sys.connects, 5);
}
END_TEST

START_TEST(address_that_connected_is_not_last_any_more)
{
	struct probe first = {0}, second = {0}, third = {0};
	char failing[64];

	peer = peer_tcp(base);
	use_dns();
	dns->a[0] = "127.0.0.9", dns->a[1] = "127.0.0.1";
	dial_two(&first);
	ck_assert_uint_eq(ctx->failed->count, 1);

	/* Now it is the other way round. */
	sys.refused = "127.0.0.1";
	sys.redirected = "127.0.0.9";
	dial_two(&second);
	ck_assert_uint_eq(sys.connects, 4); /* 127.0.0.1 first, in vain */
	ck_assert_uint_eq(ctx->failed->count, 1);
	address_text(&ctx->failed->entries[0].addr, failing, sizeof(failing));
	ck_assert_int_eq(strncmp(failing, "127.0.0.1:", 10), 0);
	dial_two(&third);
	ck_assert_uint_eq(sys.connects, 5);
}
END_TEST

START_TEST(address_that_did_not_answer_in_time_failed_as_well)
{
	struct probe p = {0};

	use_dns();
	dns->a[0] = "127.0.0.9", dns->a[1] = "127.0.0.8";
	sys.swallowed = "*";
	ck_assert_int_eq(dial_to(&p, &(struct dial_target){.address = "api.example.test.:80",
					     .race_delay = 900,
					     .connect_timeout = 1000}),
		0);
	until(base, sys.connects == 1);
	advance(900);
	ck_assert_uint_eq(sys.connects, 2);
	advance(101);
	ck_assert_int_eq(p.err, CC_ETIMEOUT);
	ck_assert_uint_eq(ctx->failed->count, 1); /* the second had no time to answer */
}
END_TEST

START_TEST(only_address_that_did_not_answer_failed_however_little_time_it_had)
{
	struct probe p = {0};

	sys.swallowed = "*";
	ck_assert_int_eq(dial_to(&p, &(struct dial_target){.address = "127.0.0.9:80",
					     .connect_timeout = 100}),
		0);
	turns(base, 2);
	advance(101);
	ck_assert_int_eq(p.err, CC_ETIMEOUT);
	ck_assert_uint_eq(ctx->failed->count, 1);
}
END_TEST

/* The proxy is resolved and raced as a server is. */
START_TEST(tunnel_has_the_connect_timeout_for_itself)
{
	struct probe p = {0};
	char proxy[64];

	peer = peer_tcp(base);
	snprintf(proxy, sizeof(proxy), "http://proxy.example.test.:%u", peer_port());
	use_dns();
	dns->a[0] = "127.0.0.9", dns->a[1] = "127.0.0.1";
	sys.swallowed = "127.0.0.9";
	ck_assert_int_eq(dial_to(&p, &(struct dial_target){.address = "api.example:80",
					     .proxy = proxy,
					     .race_delay = 900,
					     .connect_timeout = 1000}),
		0);
	until(base, sys.connects == 1);
	advance(900);
	peer_accept(peer);
	peer_expect(peer, "CONNECT api.example:80 HTTP/1.1\r\n");
	advance(999);
	ck_assert_uint_eq(p.calls, 0);
	advance(2);
	ck_assert_int_eq(p.err, CC_ETIMEOUT);
	ck_assert_ptr_nonnull(strstr(p.detail, "proxy proxy.example.test. (127.0.0.1:"));
	ck_assert_ptr_nonnull(strstr(p.detail, "CONNECT api.example:80: not done in 1000 ms"));
}
END_TEST

START_TEST(unknown_proxy_is_named)
{
	struct probe p = {0};

	use_dns();
	dns->rcode = RCODE_NXDOMAIN;
	dial_wait(&p, &(struct dial_target){.address = "api.example:80",
			      .proxy = "socks5://proxy.example.test."});
	ck_assert_int_eq(p.err, CC_ERESOLVE);
	ck_assert_str_eq(p.detail, "resolve proxy proxy.example.test.: Domain name not found");
}
END_TEST

START_TEST(address_that_was_overtaken_did_not_fail)
{
	struct probe p = {0};

	peer = peer_tcp(base);
	use_dns();
	dns->a[0] = "127.0.0.9", dns->a[1] = "127.0.0.1";
	sys.swallowed = "127.0.0.9";
	ck_assert_int_eq(dial_to(&p, &(struct dial_target){.address = "api.example.test.",
					     .default_port = peer_port()}),
		0);
	until(base, sys.connects == 1);
	advance(250);
	until(base, p.calls > 0);
	ck_assert_int_eq(p.err, 0);
	ck_assert_ptr_null(ctx->failed);
	probe_clear(&p);
}
END_TEST

/* ---- where from ----------------------------------------------------------- */

static const char *name_of(int fd, int (*which)(int, struct sockaddr *, socklen_t *))
{
	static char text[64];
	struct sockaddr_in in;
	socklen_t len = sizeof(in);

	ck_assert_int_eq(which(fd, (struct sockaddr *)&in, &len), 0);
	return inet_ntop(AF_INET, &in.sin_addr, text, sizeof(text));
}

START_TEST(bind_address_is_where_the_connection_comes_from)
{
	struct probe p = {0};

	peer = peer_tcp(base);
	dial_wait(
		&p, &(struct dial_target){.address = peer->address, .bind_address = "127.0.0.77"});
	check_works(&p);
	ck_assert_str_eq(name_of(peer->fd, getpeername), "127.0.0.77");
	ck_assert_str_eq(name_of(p.link->wire.fd, getsockname), "127.0.0.77");
	probe_clear(&p);
}
END_TEST

START_TEST(bind_interface_is_where_the_connection_leaves)
{
	struct probe p = {0};
	char device[32] = "";
	socklen_t len = sizeof(device);

	peer = peer_tcp(base);
	dial_wait(&p, &(struct dial_target){.address = peer->address, .bind_interface = "lo"});
	check_works(&p);
	ck_assert_int_eq(getsockopt(p.link->wire.fd, SOL_SOCKET, SO_BINDTODEVICE, device, &len), 0);
	ck_assert_str_eq(device, "lo");
	probe_clear(&p);
}
END_TEST

START_TEST(addresses_of_another_family_than_the_bound_one_are_not_tried)
{
	struct probe p = {0}, none = {0}, number = {0};

	peer = peer_tcp(base);
	use_dns();
	dns->a[0] = "127.0.0.1";
	dns->aaaa[0] = "2001:db8::1";
	dial_wait(&p, &(struct dial_target){.address = "api.example.test.",
			      .default_port = peer_port(),
			      .bind_address = "127.0.0.1"});
	check_works(&p);
	ck_assert_str_eq(sys.order, "4");
	probe_clear(&p);

	dns->a[0] = NULL;
	dial_wait(&none, &(struct dial_target){
				 .address = "other.example.test.:80", .bind_address = "127.0.0.1"});
	ck_assert_int_eq(none.err, CC_ECONNECT);
	ck_assert_str_eq(none.detail,
		"connect to other.example.test.: no address of the family of 127.0.0.1");
	dial_wait(&number, &(struct dial_target){.address = "127.0.0.1:80", .bind_address = "::1"});
	ck_assert_str_eq(number.detail, "connect to 127.0.0.1:80: no address of the family of ::1");
	ck_assert_uint_eq(sys.connects, 1);
}
END_TEST

START_TEST(what_cannot_be_bound_does_not_connect)
{
	struct probe address = {0}, interface = {0};

	dial_wait(&address,
		&(struct dial_target){.address = "127.0.0.1:80", .bind_address = "192.0.2.1"});
	ck_assert_int_eq(address.err, CC_ECONNECT);
	ck_assert_str_eq(address.detail,
		"bind to 192.0.2.1 for 127.0.0.1:80: Cannot assign requested address");
	dial_wait(&interface,
		&(struct dial_target){.address = "127.0.0.1:80", .bind_interface = "nosuch0"});
	ck_assert_int_eq(interface.err, CC_ECONNECT);
	ck_assert_str_eq(
		interface.detail, "bind to interface nosuch0 for 127.0.0.1:80: No such device");
	ck_assert_uint_eq(sys.connects, 0);
	ck_assert_ptr_null(ctx->failed); /* it is not the server's fault */
}
END_TEST

START_TEST(unix_socket_is_bound_to_nothing)
{
	struct probe p = {0};

	peer = peer_unix(base);
	dial_wait(&p, &(struct dial_target){.address = peer->address,
			      .bind_address = "192.0.2.1",
			      .bind_interface = "nosuch0"});
	check_works(&p);
	probe_clear(&p);
}
END_TEST

START_TEST(unknown_name_fails_at_once)
{
	struct probe p = {0};

	use_dns();
	dns->rcode = RCODE_NXDOMAIN;
	dial_wait(&p, &(struct dial_target){.address = "nowhere.example.test.:80"});
	ck_assert_int_eq(p.err, CC_ERESOLVE);
	ck_assert_str_eq(p.detail, "resolve nowhere.example.test.: Domain name not found");
}
END_TEST

START_TEST(connect_timeout_includes_resolving)
{
	struct probe p = {0};

	use_dns();
	dns->silent = true;
	ck_assert_int_eq(dial_to(&p, &(struct dial_target){.address = "api.example.test.:80",
					     .connect_timeout = 700}),
		0);
	turns(base, 2);
	advance(701);
	ck_assert_int_eq(p.err, CC_ETIMEOUT);
	ck_assert_str_eq(
		p.detail, "resolve api.example.test.: no answer in 700 ms (connect timeout)");
}
END_TEST

START_TEST(time_spent_resolving_is_missing_when_connecting)
{
	struct probe p = {0};

	use_dns();
	dns->a[0] = "127.0.0.9";
	sys.swallowed = "127.0.0.9";
	ck_assert_int_eq(dial_to(&p, &(struct dial_target){.address = "api.example.test.:80",
					     .connect_timeout = 700}),
		0);
	until(base, ctx->resolver != NULL && dns->asked > 0);
	advance(400);
	until(base, sys.connects == 1);
	advance(301);
	ck_assert_uint_eq(p.calls, 1);
	ck_assert_int_eq(p.err, CC_ETIMEOUT);
	ck_assert_ptr_nonnull(strstr(p.detail, "connect to api.example.test. (127.0.0.9:80)"));
}
END_TEST

START_TEST(losers_are_closed_before_the_handshake)
{
	SSL_CTX *client = peer_tls_client(NULL);
	struct probe p = {0};

	peer = peer_tcp(base);
	peer->mute = true;
	use_dns();
	dns->a[0] = "127.0.0.9", dns->a[1] = "127.0.0.1";
	sys.swallowed = "127.0.0.9";
	ck_assert_int_eq(dial_to(&p, &(struct dial_target){.address = "api.example.test.",
					     .default_port = peer_port(),
					     .tls = client}),
		0);
	until(base, sys.connects == 1);
	advance(250);
	until(base, peer->fd >= 0);
	turns(base, 2);
	ck_assert_int_eq(sys.open, 1);
	dial_cancel(p.dial);
	SSL_CTX_free(client);
}
END_TEST

START_TEST(answer_for_a_cancelled_dial_is_ignored)
{
	struct probe p = {0};

	use_dns();
	dns->a[0] = "127.0.0.9";
	ck_assert_int_eq(dial_to(&p, &(struct dial_target){.address = "api.example.test.:80"}), 0);
	until(base, dns->asked > 0);
	dial_cancel(p.dial);
	until(base, dns->asked == 2); /* both families; the answers lie in the socket */
	turns(base, 5);
	ck_assert_uint_eq(p.calls, 0);
	ck_assert_uint_eq(sys.connects, 0);
}
END_TEST

START_TEST(connect_timeout_ends_a_connection_attempt)
{
	struct probe p = {0};

	sys.swallowed = "127.0.0.9";
	ck_assert_int_eq(dial_to(&p, &(struct dial_target){.address = "127.0.0.9:80",
					     .connect_timeout = 700}),
		0);
	turns(base, 2);
	ck_assert_uint_eq(sys.connects, 1);
	advance(699);
	ck_assert_uint_eq(p.calls, 0);
	advance(2);
	ck_assert_int_eq(p.err, CC_ETIMEOUT);
	ck_assert_str_eq(p.detail,
		"connect to 127.0.0.9:80: 1 of 1 addresses tried in 700 ms (connect timeout)");
	ck_assert_int_eq(sys.open, 0);
}
END_TEST

/* ---- TLS --------------------------------------------------------------- */

/* A peer with a certificate, a client that trusts it (or not), and what became of a dial. */
static void tls_dial(struct probe *p, const char *cert, int days, const char *name, bool trust)
{
	SSL_CTX *server = peer_tls_server(cert, days);
	SSL_CTX *client = peer_tls_client(trust ? server : NULL);
	struct dial_target t = {.tls = client,
		.tls_name = name,
		.alpn = (const unsigned char *)"\2h2\10http/1.1",
		.alpn_len = 12};

	peer = peer_tcp(base);
	peer_use_tls(peer, server, "h2");
	t.address = peer->address;
	dial_wait(p, &t);
	SSL_CTX_free(server);
	SSL_CTX_free(client);
}

START_TEST(tls_verifies_the_name_and_tells_it_to_the_server)
{
	struct probe p = {0};
	char alpn[32];

	tls_dial(&p, "DNS:api.example.test", 30, "api.example.test.", true);
	check_works(&p);
	ck_assert_str_eq(dial_alpn(p.link, alpn), "h2");
	ck_assert_str_eq(
		SSL_get_servername(peer->ssl, TLSEXT_NAMETYPE_host_name), "api.example.test");
	probe_clear(&p);
}
END_TEST

START_TEST(number_is_verified_and_not_sent_as_a_name)
{
	struct probe p = {0};

	tls_dial(&p, "IP:127.0.0.1", 30, NULL, true);
	check_works(&p);
	ck_assert_ptr_null(SSL_get_servername(peer->ssl, TLSEXT_NAMETYPE_host_name));
	probe_clear(&p);
}
END_TEST

static void check_refused(const struct probe *p, int err, const char *reason)
{
	ck_assert_int_eq(p->err, err);
	ck_assert_msg(strstr(p->detail, reason), "\"%s\" is not in \"%s\"", reason, p->detail);
	ck_assert_ptr_nonnull(strstr(p->detail, peer->address));
	ck_assert_str_eq(p->address, peer->address); /* it did connect */
}

/* One connection to the peer at these addresses: was a session resumed? */
static bool several_resume(SSL_CTX *client, const char *format)
{
	struct probe p = {0};

	dial_wait(&p, &(struct dial_target){.address = several(format),
			      .tls = client,
			      .tls_name = "api.example.test",
			      .resume = true});
	check_works(&p);
	bool resumed = SSL_session_reused(p.link->wire.ssl);

	probe_clear(&p);
	peer_next(peer);
	return resumed;
}

START_TEST(sessions_of_several_numbers_are_those_of_the_name_and_the_port)
{
	SSL_CTX *server = peer_tls_server("DNS:api.example.test", 30);
	SSL_CTX *client = peer_tls_client(server);

	peer = peer_tcp(base);
	peer_use_tls(peer, server, "");
	sys.redirected = "127.0.0.9";
	ck_assert(!several_resume(client, "127.0.0.1:%u,127.0.0.9:%u"));
	ck_assert(several_resume(client, "127.0.0.9:%u,127.0.0.1:%u"));
	ck_assert(several_resume(client, "127.0.0.9:%u"));
	ck_assert(!several_resume(client, "127.0.0.9:%u,127.0.0.1:1"));
	SSL_CTX_free(server);
	SSL_CTX_free(client);
}
END_TEST

START_TEST(several_numbers_need_a_name_for_tls)
{
	SSL_CTX *client = peer_tls_client(NULL);
	struct dial_target t = {.address = "127.0.0.1:443,127.0.0.2:443", .tls = client};
	struct probe p = {0};

	ck_assert_int_eq(dial_to(&p, &t), CC_EINVAL);
	SSL_CTX_set_verify(client, SSL_VERIFY_NONE, NULL);
	ck_assert_int_eq(dial_to(&p, &t), CC_EINVAL);
	SSL_CTX_free(client);
}
END_TEST

START_TEST(certificate_for_another_host_is_refused)
{
	struct probe p = {0};

	tls_dial(&p, "DNS:www.example.test", 30, "api.example.test", true);
	check_refused(
		&p, CC_ECERT, "certificate verify failed for api.example.test: hostname mismatch");
}
END_TEST

START_TEST(certificate_for_another_number_is_refused)
{
	struct probe p = {0};

	tls_dial(&p, "IP:127.0.0.2", 30, NULL, true);
	check_refused(&p, CC_ECERT, "certificate verify failed for 127.0.0.1: IP address mismatch");
}
END_TEST

START_TEST(self_signed_certificate_is_refused)
{
	struct probe p = {0};

	tls_dial(&p, "DNS:api.example.test", 30, "api.example.test", false);
	check_refused(&p, CC_ECERT,
		"certificate verify failed for api.example.test: self-signed certificate");
}
END_TEST

START_TEST(expired_certificate_is_refused)
{
	struct probe p = {0};

	tls_dial(&p, "DNS:api.example.test", -1, "api.example.test", true);
	check_refused(&p, CC_ECERT,
		"certificate verify failed for api.example.test: certificate has expired");
}
END_TEST

START_TEST(tls_over_a_unix_socket_needs_a_name_and_works)
{
	SSL_CTX *server = peer_tls_server("DNS:api.example.test", 30);
	SSL_CTX *client = peer_tls_client(server);
	struct probe p = {0};

	peer = peer_unix(base);
	peer_use_tls(peer, server, "");
	dial_wait(&p,
		&(struct dial_target){
			.address = peer->address, .tls = client, .tls_name = "api.example.test"});
	check_works(&p);
	probe_clear(&p);
	SSL_CTX_free(server);
	SSL_CTX_free(client);
}
END_TEST

START_TEST(peer_that_never_speaks_tls_ends_in_a_timeout)
{
	SSL_CTX *client = peer_tls_client(NULL);
	struct probe p = {0};

	peer = peer_tcp(base);
	peer->mute = true;
	ck_assert_int_eq(dial_to(&p, &(struct dial_target){.address = peer->address,
					     .tls = client,
					     .tls_timeout = 900}),
		0);
	until(base, peer->fd >= 0);
	turns(base, 3);
	ck_assert_uint_eq(p.calls, 0);
	advance(901);
	ck_assert_int_eq(p.err, CC_ETIMEOUT);
	ck_assert_ptr_nonnull(
		strstr(p.detail, ": TLS handshake not finished in 900 ms (TLS timeout)"));
	ck_assert_int_eq(sys.open, 0);
	SSL_CTX_free(client);
}
END_TEST

START_TEST(plain_http_on_the_tls_port_is_named)
{
	SSL_CTX *client = peer_tls_client(NULL);
	struct probe p = {0};

	peer = peer_tcp(base);
	ck_assert_int_eq(
		dial_to(&p, &(struct dial_target){.address = peer->address, .tls = client}), 0);
	peer_accept(peer);
	peer_say(peer, "HTTP/1.1 400 Bad Request\r\n\r\n");
	until(base, p.calls > 0);
	check_refused(&p, CC_ETLS, "wrong version number");
	SSL_CTX_free(client);
}
END_TEST

START_TEST(peer_that_hangs_up_in_the_handshake_is_named)
{
	SSL_CTX *client = peer_tls_client(NULL);
	struct probe p = {0};

	peer = peer_tcp(base);
	ck_assert_int_eq(
		dial_to(&p, &(struct dial_target){.address = peer->address, .tls = client}), 0);
	until(base, peer->in_len > 0);
	peer_finish(peer);
	until(base, p.calls > 0);
	check_refused(&p, CC_ETLS, "TLS handshake");
	SSL_CTX_free(client);
}
END_TEST

/* ---- cancelling, memory ------------------------------------------------ */

START_TEST(cancelled_dial_calls_nobody)
{
	SSL_CTX *client = peer_tls_client(NULL);
	struct probe begun = {0}, resolving = {0}, connecting = {0}, handshake = {0};

	peer = peer_tcp(base);
	peer->mute = true;
	use_dns();
	dns->silent = true;
	sys.swallowed = "127.0.0.9";
	ck_assert_int_eq(dial_to(&begun, &(struct dial_target){.address = peer->address}), 0);
	dial_cancel(begun.dial);
	ck_assert_int_eq(
		dial_to(&resolving, &(struct dial_target){.address = "api.example.test.:80"}), 0);
	ck_assert_int_eq(dial_to(&connecting, &(struct dial_target){.address = "127.0.0.9:80"}), 0);
	ck_assert_int_eq(
		dial_to(&handshake, &(struct dial_target){.address = peer->address, .tls = client}),
		0);
	until(base, peer->fd >= 0 && dns->asked > 0);
	turns(base, 2);
	ck_assert_int_eq(sys.open, 2);

	dial_cancel(resolving.dial);
	dial_cancel(connecting.dial);
	dial_cancel(handshake.dial);
	dial_cancel(NULL);
	ck_assert_int_eq(sys.open, 0);
	advance(1000000);
	ck_assert_uint_eq(begun.calls + resolving.calls + connecting.calls + handshake.calls, 0);
	SSL_CTX_free(client);
}
END_TEST

START_TEST(dial_may_be_cancelled_by_another_of_the_same_turn)
{
	struct probe first = {0}, second = {0};

	ck_assert_int_eq(
		dial_to(&first, &(struct dial_target){.address = "unix:/nonexistent/a"}), 0);
	ck_assert_int_eq(
		dial_to(&second, &(struct dial_target){.address = "unix:/nonexistent/b"}), 0);
	/* The first one's done runs before the second one begins, in one stage of one turn. */
	first.cancel_in_done = true;
	struct dial *own = first.dial;
	first.dial = second.dial;
	turns(base, 2);
	ck_assert_ptr_ne(own, NULL);
	ck_assert_uint_eq(first.calls, 1);
	ck_assert_uint_eq(second.calls, 0);
}
END_TEST

/* One dial by name with TLS, while the nth allocation fails. */
static int one_dial(SSL_CTX *client)
{
	struct probe p = {0};
	int err;

	if (resolver_set_servers(ctx, dns->address) < 0)
		return CC_ENOMEM;
	err = dial_to(&p, &(struct dial_target){.address = "api.example.test.",
				  .default_port = peer_port(),
				  .tls = client});
	if (err < 0)
		return err;
	until(base, p.calls > 0);
	probe_clear(&p);
	return p.err;
}

START_TEST(no_allocation_may_fail_unnoticed)
{
	SSL_CTX *server = peer_tls_server("DNS:api.example.test", 30);
	SSL_CTX *client = peer_tls_client(server);
	unsigned long n;
	bool reached = true;

	peer = peer_tcp(base);
	peer_use_tls(peer, server, "");
	dns = dns_new(base);
	dns->a[0] = "127.0.0.9", dns->a[1] = "127.0.0.1";
	for (n = 1; reached; n++) {
		int err;

		ck_assert_uint_lt(n, 80);
		allocs = 0;
		fail_at = n;
		err = one_dial(client);
		reached = allocs >= n;
		fail_at = 0;
		ck_assert_msg(
			err == 0 || (reached && err == CC_ENOMEM), "allocation %lu: %d", n, err);
		ctx_shut();
		ck_assert_uint_eq(live, 0);
		ck_assert_int_eq(sys.open, 0);
		peer_next(peer);
		ctx_open();
	}
	ck_assert_uint_gt(n, 10); /* it did fail some */
	SSL_CTX_free(server);
	SSL_CTX_free(client);
}
END_TEST

static TCase *plain_tests(void)
{
	TCase *t = tcase_create("plain");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 240);
	tcase_add_test(t, addresses_are_taken_apart);
	tcase_add_test(t, addresses_without_sense_are_refused);
	tcase_add_test(t, calls_without_sense_are_refused);
	tcase_add_test(t, order_alternates_and_the_first_family_begins);
	tcase_add_test(t, order_takes_one_family_if_asked);
	tcase_add_test(t, order_puts_what_failed_last_for_a_minute);
	tcase_add_test(t, order_leaves_nothing_out);
	tcase_add_test(t, order_forgets_what_connected);
	tcase_add_test(t, memory_of_failures_is_bounded_and_loses_the_oldest);
	tcase_add_test(t, services_come_by_priority_and_are_drawn_by_weight);
	tcase_add_test(t, number_connects_without_a_lookup);
	tcase_add_test(t, unix_socket_connects);
	tcase_add_test(t, localhost_needs_no_server);
	tcase_add_test(t, tcp_options_are_set);
	tcase_add_test(t, refused_connection_names_the_address);
	tcase_add_test(t, missing_unix_socket_names_the_path);
	tcase_add_test(t, full_accept_queue_of_a_unix_socket_is_tried_again);
	tcase_add_test(t, accept_queue_that_stays_full_ends_in_a_timeout);
	tcase_add_test(t, lack_of_descriptors_is_named);
	tcase_add_test(t, second_address_is_tried_at_once_when_the_first_refuses);
	tcase_add_test(t, slow_address_is_overtaken_after_the_race_delay);
	tcase_add_test(t, families_alternate);
	tcase_add_test(t, several_numbers_race_in_the_order_given);
	tcase_add_test(t, several_numbers_alternate_between_the_families);
	tcase_add_test(t, several_numbers_overtake_each_other_after_the_race_delay);
	tcase_add_test(t, failures_are_known_by_address_and_time);
	tcase_add_test(t, several_that_are_not_all_numbers_are_refused);
	tcase_add_test(t, comma_in_the_path_of_a_socket_separates_nothing);
	tcase_add_test(t, address_that_failed_is_tried_last_for_a_minute);
	tcase_add_test(t, address_that_connected_is_not_last_any_more);
	tcase_add_test(t, address_that_did_not_answer_in_time_failed_as_well);
	tcase_add_test(t, only_address_that_did_not_answer_failed_however_little_time_it_had);
	tcase_add_test(t, tunnel_has_the_connect_timeout_for_itself);
	tcase_add_test(t, unknown_proxy_is_named);
	tcase_add_test(t, address_that_was_overtaken_did_not_fail);
	tcase_add_test(t, bind_address_is_where_the_connection_comes_from);
	tcase_add_test(t, bind_interface_is_where_the_connection_leaves);
	tcase_add_test(t, addresses_of_another_family_than_the_bound_one_are_not_tried);
	tcase_add_test(t, what_cannot_be_bound_does_not_connect);
	tcase_add_test(t, unix_socket_is_bound_to_nothing);
	tcase_add_test(t, unknown_name_fails_at_once);
	tcase_add_test(t, connect_timeout_includes_resolving);
	tcase_add_test(t, time_spent_resolving_is_missing_when_connecting);
	tcase_add_test(t, connect_timeout_ends_a_connection_attempt);
	tcase_add_test(t, losers_are_closed_before_the_handshake);
	tcase_add_test(t, answer_for_a_cancelled_dial_is_ignored);
	tcase_add_test(t, cancelled_dial_calls_nobody);
	tcase_add_test(t, dial_may_be_cancelled_by_another_of_the_same_turn);
	return t;
}

static TCase *tls_tests(void)
{
	TCase *t = tcase_create("tls");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 240);
	tcase_add_test(t, tls_verifies_the_name_and_tells_it_to_the_server);
	tcase_add_test(t, number_is_verified_and_not_sent_as_a_name);
	tcase_add_test(t, sessions_of_several_numbers_are_those_of_the_name_and_the_port);
	tcase_add_test(t, several_numbers_need_a_name_for_tls);
	tcase_add_test(t, certificate_for_another_host_is_refused);
	tcase_add_test(t, certificate_for_another_number_is_refused);
	tcase_add_test(t, self_signed_certificate_is_refused);
	tcase_add_test(t, expired_certificate_is_refused);
	tcase_add_test(t, tls_over_a_unix_socket_needs_a_name_and_works);
	tcase_add_test(t, peer_that_never_speaks_tls_ends_in_a_timeout);
	tcase_add_test(t, plain_http_on_the_tls_port_is_named);
	tcase_add_test(t, peer_that_hangs_up_in_the_handshake_is_named);
	tcase_add_test(t, no_allocation_may_fail_unnoticed);
	return t;
}

int main(void)
{
	Suite *s = suite_create("dial");
	SRunner *runner;
	int failed;

	suite_add_tcase(s, plain_tests());
	suite_add_tcase(s, tls_tests());
	runner = srunner_create(s);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed > 0;
}
