/*
 * test_proxy.c - the way to the server: through real proxies (tinyproxy,
 * microsocks) to a real nginx, through a scripted proxy that misbehaves, and the options of the
 * socket.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/ssl.h>

#include "lib/base/ctx.h"
#include "lib/net/io.h"
#include "tests/conn/fixture.h"
#include "tests/programs.h"

/* ---- real servers, started once ------------------------------------------ */

enum { NGINX, TINYPROXY, TINYPROXY_AUTH, MICROSOCKS, MICROSOCKS_AUTH, PROGRAMS };

static struct {
	char dir[64];
	SSL_CTX *tls;
	pid_t pids[PROGRAMS];
	unsigned http, http2, https, https2; /* ports of nginx; http2: in clear */
	unsigned proxies[PROGRAMS];
} real;

/* Where the proxies' own connections come from: nginx tells us whether it saw them. */
#define TINYPROXY_FROM  "127.0.0.2"
#define MICROSOCKS_FROM "127.0.0.3"

static const char nginx_conf[] =
	"daemon off; master_process off; pid nginx.pid; error_log nginx.err;\n"
	"events { worker_connections 256; }\n"
	"http {\n"
	"  access_log off;\n"
	"  client_body_temp_path tmp; proxy_temp_path tmp; fastcgi_temp_path tmp;\n"
	"  uwsgi_temp_path tmp; scgi_temp_path tmp;\n"
	"  server {\n"
	"    listen 127.0.0.1:%u; listen 127.0.0.1:%u http2;\n"
	"    listen 127.0.0.1:%u ssl; listen 127.0.0.1:%u ssl http2;\n"
	"    ssl_certificate server.pem; ssl_certificate_key server.key;\n"
	"    location / { return 200 \"$remote_addr $scheme $server_protocol\"; }\n"
	"  }\n"
	"}\n";

static const char tinyproxy_conf[] = "Port %u\nListen 127.0.0.1\nBind " TINYPROXY_FROM
				     "\nAllow 127.0.0.1\nTimeout 60\nMaxClients 20\n"
				     "LogLevel Error\nLogFile \"%s/tinyproxy.log\"\n%s";

static void write_conf(char *path, size_t size, const char *name, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

static void write_conf(char *path, size_t size, const char *name, const char *fmt, ...)
{
	va_list args;
	FILE *f;

	snprintf(path, size, "%s/%s", real.dir, name);
	f = fopen(path, "we");
	ck_assert_ptr_nonnull(f);
	va_start(args, fmt);
	vfprintf(f, fmt, args);
	va_end(args);
	ck_assert_int_eq(fclose(f), 0);
}

static bool start(int which, const char *const argv[], unsigned port)
{
	char path[128];
	bool gone = false;
	int log;

	snprintf(path, sizeof(path), "%s/programs.log", real.dir);
	log = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	real.pids[which] = program_start(argv, log, log);
	close(log);
	ck_assert_int_gt(real.pids[which], 0);
	if (program_came_up(real.pids[which], port, 10000, &gone))
		return true;
	if (!gone)
		program_end(real.pids[which]);
	real.pids[which] = 0;
	return false;
}

static bool start_nginx(void)
{
	char conf[128], err[128];
	const char *argv[] = {"nginx", "-p", real.dir, "-c", conf, "-e", err, NULL};

	real.http = free_port();
	real.http2 = free_port();
	real.https = free_port();
	real.https2 = free_port();
	snprintf(err, sizeof(err), "%s/nginx.err", real.dir);
	write_conf(conf, sizeof(conf), "nginx.conf", nginx_conf, real.http, real.http2, real.https,
		real.https2);
	return start(NGINX, argv, real.https2);
}

static bool start_tinyproxy(int which)
{
	char conf[128];
	const char *argv[] = {"tinyproxy", "-d", "-c", conf, NULL};

	real.proxies[which] = free_port();
	write_conf(conf, sizeof(conf), which == TINYPROXY ? "open.conf" : "auth.conf",
		tinyproxy_conf, real.proxies[which], real.dir,
		which == TINYPROXY ? "" : "BasicAuth joe secret\n");
	return start(which, argv, real.proxies[which]);
}

static bool start_microsocks(int which)
{
	char port[16];
	const char *argv[] = {"microsocks", "-i", "127.0.0.1", "-p", port, "-b", MICROSOCKS_FROM,
		which == MICROSOCKS_AUTH ? "-u" : NULL, "joe", "-P", "secret", NULL};

	real.proxies[which] = free_port();
	snprintf(port, sizeof(port), "%u", real.proxies[which]);
	return start(which, argv, real.proxies[which]);
}

static bool start_program(int which)
{
	switch (which) {
	case NGINX:
		return start_nginx();
	case TINYPROXY:
	case TINYPROXY_AUTH:
		return start_tinyproxy(which);
	default:
		return start_microsocks(which);
	}
}

/* Somebody else may take a port that was free a moment ago. */
static void start_all(void)
{
	const char *top = getenv("srcdir");
	char command[256], path[128];

	snprintf(real.dir, sizeof(real.dir), "/tmp/proxy-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(real.dir));
	snprintf(command, sizeof(command), "%s/tests/tools/certs.sh %s", top ? top : ".", real.dir);
	ck_assert_int_eq(system(command), 0);
	snprintf(path, sizeof(path), "%s/tmp", real.dir);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	snprintf(path, sizeof(path), "%s/ca.pem", real.dir);
	real.tls = SSL_CTX_new(TLS_client_method());
	SSL_CTX_set_verify(real.tls, SSL_VERIFY_PEER, NULL);
	ck_assert_int_eq(SSL_CTX_load_verify_locations(real.tls, path, NULL), 1);
	for (int which = 0; which < PROGRAMS; which++) {
		bool up = false;

		for (int i = 0; i < 5 && !up; i++)
			up = start_program(which);
		ck_assert_msg(up, "program %d does not start", which);
	}
}

static void end_all(void)
{
	for (int which = 0; which < PROGRAMS; which++) {
		if (real.pids[which] > 0)
			program_end(real.pids[which]);
	}
	SSL_CTX_free(real.tls);
	if (real.dir[0])
		remove_tree(real.dir);
}

/* ---- arrangement ----------------------------------------------------------- */

/* "socks5://joe:secret@127.0.0.1:1080" to the program; login may be "". */
static const char *proxy_at(int which, const char *login)
{
	static char text[128];

	snprintf(text, sizeof(text), "%s://%s127.0.0.1:%u",
		which >= MICROSOCKS ? "socks5h" : "http", login, real.proxies[which]);
	return text;
}

static const char *at_port(const char *host, unsigned port)
{
	static char text[128];

	snprintf(text, sizeof(text), "%s:%u", host, port);
	return text;
}

/* The peer is there in any case; it is the proxy if proxy is NULL. */
static void open_through(struct client *c, const char *proxy, const char *scheme, unsigned offer,
	const char *address, struct cc_transport_opts *opts)
{
	struct cc_transport_opts o = opts ? *opts : (struct cc_transport_opts){0};
	struct peer *peer = peer_tcp(event_base_new());
	char own[192];

	snprintf(own, sizeof(own), "http://joe:secret@%s", peer->address);
	o.proxy = proxy ? proxy : own;
	ck_assert_int_eq(client_init(c, peer, offer, &o, 0), 0);
	ck_assert_int_eq(client_dial_to(c, scheme, address), 0);
}

static void open_scripted(
	struct client *c, const char *proxy_scheme, const char *scheme, unsigned offer)
{
	struct peer *peer = peer_tcp(event_base_new());
	char own[192];
	struct cc_transport_opts o = {.proxy = own};

	snprintf(own, sizeof(own), "%s://joe:secret@%s", proxy_scheme, peer->address);
	ck_assert_int_eq(client_init(c, peer, offer, &o, 0), 0);
	ck_assert_int_eq(client_dial_to(c, scheme, "api.example"), 0);
}

/* The dial failed so; nothing of it tells the password. */
static void wait_failed(struct client *c, int err, const char *detail)
{
	wait_state(c, CC_CLOSED);
	ck_assert_int_eq(cc_conn_err(c->conn), err);
	ck_assert_msg(
		strstr(cc_conn_detail(c->conn), detail) != NULL, "%s", cc_conn_detail(c->conn));
	ck_assert_ptr_null(strstr(cc_conn_detail(c->conn), "secret"));
}

static void get_body(struct client *c, const char *want)
{
	struct probe p = {0};

	get(c, &p, "/");
	wait_done(&p);
	ck_assert_msg(p.result.err == 0, "%d %s", p.result.err, cc_conn_detail(c->conn));
	ck_assert_uint_eq(p.status, 200);
	ck_assert_str_eq(p.body, want);
	probe_free(&p);
}

/* ---- real proxies ------------------------------------------------------------ */

static const struct {
	int proxy;
	const char *login, *from;
} proxies[] = {
	{TINYPROXY, "", TINYPROXY_FROM},
	{TINYPROXY_AUTH, "joe:secret@", TINYPROXY_FROM},
	{TINYPROXY_AUTH, "%6Aoe:se%63ret@", TINYPROXY_FROM},
	{MICROSOCKS, "", MICROSOCKS_FROM},
	{MICROSOCKS, "joe:secret@", MICROSOCKS_FROM}, /* it does not ask */
	{MICROSOCKS_AUTH, "joe:secret@", MICROSOCKS_FROM},
};

START_TEST(every_proxy_carries_every_protocol)
{
	const struct {
		const char *scheme;
		unsigned offer, port;
		const char *protocol;
	} rows[] = {
		{"http", CC_OFFER_H1, real.http, "HTTP/1.1"},
		{"http", CC_OFFER_H2, real.http2, "HTTP/2.0"},
		{"https", CC_OFFER_H1, real.https, "HTTP/1.1"},
		{"https", CC_OFFER_H1 | CC_OFFER_H2, real.https2, "HTTP/2.0"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct cc_transport_opts o = {.tls = real.tls};
		struct client c;
		char want[64];

		snprintf(want, sizeof(want), "%s %s %s", proxies[_i].from, rows[i].scheme,
			rows[i].protocol);
		open_through(&c, proxy_at(proxies[_i].proxy, proxies[_i].login), rows[i].scheme,
			rows[i].offer, at_port("127.0.0.1", rows[i].port), &o);
		get_body(&c, want);
		get_body(&c, want); /* and the tunnel stays */
		ck_assert_uint_eq(c.peer->accepted, 0);
		client_close(&c);
	}
}
END_TEST

/* "127.1" is no number to us, so it goes as a name: the proxy makes a number of it. */
START_TEST(name_is_resolved_by_the_proxy)
{
	static const int which[] = {TINYPROXY, MICROSOCKS};
	struct cc_transport_opts o = {.tls = real.tls, .tls_name = "localhost"};
	struct client c;
	char want[64];

	snprintf(want, sizeof(want), "%s https HTTP/2.0",
		_i == 0 ? TINYPROXY_FROM : MICROSOCKS_FROM);
	open_through(&c, proxy_at(which[_i], ""), "https", CC_OFFER_H2,
		at_port("127.1", real.https2), &o);
	get_body(&c, want);
	ck_assert_ptr_null(c.ctx->resolver);
	client_close(&c);
}
END_TEST

static const struct {
	int proxy;
	const char *login, *detail;
} refused[] = {
	{TINYPROXY_AUTH, "", "407 Proxy Authentication Required"},
	{TINYPROXY_AUTH, "joe:wrong@", "401 Unauthorized"}, /* so it says */
	{MICROSOCKS_AUTH, "", "it wants credentials (no acceptable method)"},
	{MICROSOCKS_AUTH, "joe:wrong@", "user and password refused"},
};

START_TEST(proxy_that_wants_other_credentials_is_quoted)
{
	struct client c;
	struct probe p = {0};

	open_through(&c, proxy_at(refused[_i].proxy, refused[_i].login), "http", CC_OFFER_H1,
		at_port("127.0.0.1", real.http), NULL);
	get(&c, &p, "/");
	wait_done(&p);
	ck_assert_int_eq(p.result.err, CC_ECONNECT);
	ck_assert(p.result.unprocessed);
	wait_failed(&c, CC_ECONNECT, refused[_i].detail);
	client_close(&c);
}
END_TEST

START_TEST(server_that_refuses_the_proxy_is_named)
{
	const char *target;
	struct client c;
	char want[256];
	unsigned nobody = free_port();

	target = at_port("127.0.0.1", nobody);
	open_through(&c, proxy_at(TINYPROXY, ""), "http", CC_OFFER_H1, target, NULL);
	snprintf(want, sizeof(want), "proxy 127.0.0.1:%u: CONNECT %s: 50", real.proxies[TINYPROXY],
		target);
	wait_failed(&c, CC_ECONNECT, want);
	client_close(&c);

	open_through(&c, proxy_at(MICROSOCKS, ""), "http", CC_OFFER_H1, target, NULL);
	snprintf(want, sizeof(want), "proxy 127.0.0.1:%u: SOCKS5 %s: connection refused (reply 5)",
		real.proxies[MICROSOCKS], target);
	wait_failed(&c, CC_ECONNECT, want);
	client_close(&c);
}
END_TEST

START_TEST(proxy_that_is_not_there_is_named)
{
	struct client c;
	char proxy[64], want[96];
	unsigned nobody = free_port();

	snprintf(proxy, sizeof(proxy), "socks5://127.0.0.1:%u", nobody);
	snprintf(want, sizeof(want), "connect to proxy 127.0.0.1:%u: Connection refused", nobody);
	open_through(&c, proxy, "http", CC_OFFER_H1, "api.example", NULL);
	wait_failed(&c, CC_ECONNECT, want);
	client_close(&c);
}
END_TEST

START_TEST(certificate_is_the_servers_not_the_proxys)
{
	struct cc_transport_opts o = {.tls = real.tls, .tls_name = "other.example"};
	struct client c;

	open_through(&c, proxy_at(TINYPROXY, ""), "https", CC_OFFER_H1,
		at_port("127.0.0.1", real.https), &o);
	wait_failed(&c, CC_ECERT, "through proxy 127.0.0.1:");
	ck_assert_ptr_nonnull(strstr(cc_conn_detail(c.conn), "certificate verify failed"));
	client_close(&c);
}
END_TEST

/* One byte a call. */
static ssize_t recv_one(int fd, void *buf, size_t n)
{
	return io_system.recv(fd, buf, n > 1 ? 1 : n);
}

/* And every other time none at all. */
static ssize_t send_haltingly(int fd, const struct msghdr *msg)
{
	static bool blocked;
	struct iovec iov = {msg->msg_iov->iov_base, 1};
	struct msghdr one = {.msg_iov = &iov, .msg_iovlen = 1};

	blocked = !blocked;
	errno = EAGAIN;
	return blocked ? -1 : io_system.sendmsg(fd, &one);
}

START_TEST(tunnel_may_be_read_and_written_byte_by_byte)
{
	struct cc_transport_opts o = {.tls = real.tls};
	struct io io = io_system;
	struct client c;
	char want[64];

	io.recv = recv_one;
	if (proxies[_i].proxy < MICROSOCKS) /* that one wants each of its messages in one piece */
		io.sendmsg = send_haltingly;
	snprintf(want, sizeof(want), "%s https HTTP/2.0", proxies[_i].from);
	open_through(&c, proxy_at(proxies[_i].proxy, proxies[_i].login), "https", CC_OFFER_H2,
		at_port("127.0.0.1", real.https2), &o);
	c.ctx->io = &io;
	get_body(&c, want);
	client_close(&c);
}
END_TEST

/* ---- a proxy by script --------------------------------------------------------- */

#define ASKED                                                                                      \
	"CONNECT api.example:80 HTTP/1.1\r\nHost: api.example:80\r\n"                              \
	"Proxy-Authorization: Basic am9lOnNlY3JldA==\r\n\r\n"
#define OPEN "HTTP/1.1 200 Connection established\r\n\r\n"

static void say_bytes(struct peer *p, const char *text)
{
	for (; *text; text++) {
		peer_send(p, text, 1);
		turns(p->base, 3);
	}
}

START_TEST(proxy_may_answer_byte_by_byte)
{
	struct client c;
	struct probe p = {0};

	open_scripted(&c, "http", "http", CC_OFFER_H1);
	peer_accept(c.peer);
	peer_expect(c.peer, ASKED);
	say_bytes(c.peer, "HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n" OPEN);
	wait_state(&c, CC_READY);
	get(&c, &p, "/a");
	peer_expect(c.peer, "GET /a HTTP/1.1\r\n");
	peer_say(c.peer, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
	wait_done(&p);
	ck_assert_str_eq(p.body, "hi");
	ck_assert_ptr_null(strstr(c.peer->in, "Proxy-Authorization"));
	probe_free(&p);
	client_close(&c);
}
END_TEST

START_TEST(socks5_proxy_may_answer_byte_by_byte)
{
	static const char reply[] = "\5\0\0\3\4host\0\1", *at = reply;
	struct client c;

	open_scripted(&c, "socks5", "http", CC_OFFER_H1);
	peer_accept(c.peer);
	until(c.base, c.peer->in_len == 4);
	peer_send(c.peer, "\5", 1);
	turns(c.base, 3);
	peer_send(c.peer, "\2", 1);
	until(c.base, c.peer->in_len == 4 + 1 + 4 + 7);
	peer_send(c.peer, "\1\0", 2);
	until(c.base, c.peer->in_len == 4 + 12 + 4 + 1 + 11 + 2);
	for (at = reply; at < reply + sizeof(reply) - 1; at++) {
		ck_assert_int_eq(cc_conn_state(c.conn), CC_CONNECTING);
		peer_send(c.peer, at, 1);
		turns(c.base, 3);
	}
	wait_state(&c, CC_READY);
	client_close(&c);
}
END_TEST

START_TEST(request_made_while_connecting_waits_for_the_tunnel)
{
	struct client c;
	struct probe p = {0};

	open_scripted(&c, "http", "http", CC_OFFER_H1);
	get(&c, &p, "/a");
	peer_accept(c.peer);
	peer_expect(c.peer, ASKED);
	turns(c.base, 5);
	ck_assert_uint_eq(c.peer->in_len, 0);
	peer_say(c.peer, OPEN);
	peer_expect(c.peer, "GET /a HTTP/1.1\r\n");
	peer_say(c.peer, "HTTP/1.1 204 No Content\r\n\r\n");
	wait_done(&p);
	ck_assert_int_eq(p.result.err, 0);
	client_close(&c);
}
END_TEST

START_TEST(frames_behind_the_answer_are_the_servers)
{
	static const char settings[] =
		OPEN "\0\0\6\4\0\0\0\0\0\0\3\0\0\0\7"; /* MAX_CONCURRENT_STREAMS 7 */
	struct client c;

	open_scripted(&c, "http", "http", CC_OFFER_H2);
	peer_accept(c.peer);
	peer_expect(c.peer, ASKED);
	peer_send(c.peer, settings, sizeof(settings) - 1);
	until(c.base, cc_conn_limits_known(c.conn));
	ck_assert_uint_eq(cc_conn_request_limit(c.conn), 7);
	client_close(&c);
}
END_TEST

START_TEST(answer_behind_the_answer_was_not_asked_for)
{
	struct client c;

	open_scripted(&c, "http", "http", CC_OFFER_H1);
	peer_accept(c.peer);
	peer_say(c.peer, OPEN "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	wait_failed(&c, CC_EPROTO, "unasked bytes");
	client_close(&c);
}
END_TEST

START_TEST(bytes_behind_the_answer_reach_the_handshake)
{
	struct client c;

	open_scripted(&c, "http", "https", CC_OFFER_H1);
	peer_accept(c.peer);
	peer_say(c.peer, OPEN "this is no TLS record");
	wait_failed(&c, CC_ETLS, "api.example:443 through proxy 127.0.0.1:");
	client_close(&c);
}
END_TEST

START_TEST(end_behind_the_answer_is_the_servers)
{
	struct client c;

	open_scripted(&c, "http", "http", CC_OFFER_H1);
	peer_accept(c.peer);
	peer_expect(c.peer, ASKED);
	peer_say(c.peer, OPEN);
	peer_cut(c.peer);
	wait_failed(&c, CC_EEOF, "the server closed the idle connection");
	client_close(&c);
}
END_TEST

/* Has it opened, then says this; until then it must not be believed. */
static const struct {
	const char *scheme, *answer;
	int err;
	const char *detail;
} misbehaviour[] = {
	{"http", "HTTP/1.1 407 No\r\nProxy-Authenticate: Basic\r\nContent-Length: 4\r\n\r\nbody",
		CC_ECONNECT, "CONNECT api.example:80: 407 Proxy Authentication Required"},
	{"http", "HTTP/1.1 502 No\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", CC_ECONNECT,
		"CONNECT api.example:80: 502 Bad Gateway"},
	{"http", "SSH-2.0-OpenSSH_9.2\r\n", CC_ECONNECT,
		"CONNECT api.example:80: malformed response: "},
	{"socks5", "SSH-2.0-OpenSSH_9.2\r\n", CC_ECONNECT,
		"SOCKS5 api.example:80: not a SOCKS5 reply"},
	{"socks5", "HTTP/1.1 400 Bad Request\r\n\r\n", CC_ECONNECT, "not a SOCKS5 reply"},
};

START_TEST(misbehaving_proxy_is_quoted)
{
	struct client c;
	struct probe p = {0};

	open_scripted(&c, misbehaviour[_i].scheme, "http", CC_OFFER_H1);
	get(&c, &p, "/");
	peer_accept(c.peer);
	peer_say(c.peer, misbehaviour[_i].answer);
	wait_done(&p);
	ck_assert_int_eq(p.result.err, misbehaviour[_i].err);
	ck_assert(p.result.unprocessed);
	wait_failed(&c, misbehaviour[_i].err, misbehaviour[_i].detail);
	peer_wait_eof(c.peer);
	client_close(&c);
}
END_TEST

static const char *const schemes[] = {"http", "socks5"};

START_TEST(proxy_that_hangs_up_is_named)
{
	struct client c;

	open_scripted(&c, schemes[_i], "http", CC_OFFER_H1);
	peer_accept(c.peer);
	if (_i == 0)
		peer_say(c.peer, "HTTP/1.1 200 Conn");
	peer_cut(c.peer);
	wait_failed(&c, CC_ECONNECT, "api.example:80: ");
	client_close(&c);

	open_scripted(&c, schemes[_i], "http", CC_OFFER_H1);
	peer_accept(c.peer);
	until(c.base, c.peer->in_len > 0);
	peer_finish(c.peer);
	wait_failed(&c, CC_ECONNECT, "api.example:80: the proxy closed the connection");
	client_close(&c);

	open_scripted(&c, schemes[_i], "http", CC_OFFER_H1);
	peer_accept(c.peer);
	peer_reset(c.peer);
	wait_failed(&c, CC_ECONNECT, "api.example:80: read: Connection reset by peer");
	client_close(&c);
}
END_TEST

START_TEST(proxy_that_stalls_has_the_connect_timeout)
{
	struct client c;
	char want[256];

	open_scripted(&c, schemes[_i], "https", CC_OFFER_H1);
	peer_accept(c.peer);
	until(c.base, c.peer->in_len > 0);
	if (_i == 0)
		peer_say(c.peer, "HTTP/1.1 200 OK\r\nX: ");
	turns(c.base, 3);
	advance(&c, 9990);
	if (_i == 0)
		peer_say(c.peer, "and so on"); /* buys no time */
	turns(c.base, 3);
	ck_assert_int_eq(cc_conn_state(c.conn), CC_CONNECTING);
	advance(&c, 11);
	snprintf(want, sizeof(want),
		"proxy %s: %s api.example:443: not done in 10000 ms (connect timeout)",
		c.peer->address, _i == 0 ? "CONNECT" : "SOCKS5");
	wait_failed(&c, CC_ETIMEOUT, want);
	client_close(&c);
}
END_TEST

START_TEST(handshake_behind_a_proxy_has_its_own_time)
{
	struct client c;

	open_scripted(&c, "http", "https", CC_OFFER_H1);
	peer_accept(c.peer);
	until(c.base, c.peer->in_len > 0);
	advance(&c, 9000);
	peer_say(c.peer, OPEN);
	until(c.base, memchr(c.peer->in, 0x16, c.peer->in_len) != NULL); /* ClientHello */
	advance(&c, 9000);
	ck_assert_int_eq(cc_conn_state(c.conn), CC_CONNECTING);
	advance(&c, 1001);
	wait_failed(&c, CC_ETIMEOUT, "TLS handshake not finished");
	client_close(&c);
}
END_TEST

START_TEST(endless_head_ends)
{
	static const char *const endless[] = {"X: y\r\n", "yyyyyyyyyy"};
	struct client c;
	size_t said = 0;

	open_scripted(&c, "http", "http", CC_OFFER_H1);
	peer_accept(c.peer);
	peer_say(c.peer, "HTTP/1.1 200 OK\r\nX: y\r\nX: ");
	for (; cc_conn_state(c.conn) != CC_CLOSED && said < 200000;
		said += strlen(endless[_i]) * 100) {
		for (int i = 0; i < 100; i++)
			send(c.peer->fd, endless[_i], strlen(endless[_i]), MSG_NOSIGNAL);
		turns(c.base, 3);
	}
	ck_assert_uint_lt(said, 100000);
	wait_failed(&c, CC_ECONNECT, "CONNECT api.example:80: malformed response: ");
	client_close(&c);
}
END_TEST

static ssize_t send_blocks(int fd, const struct msghdr *msg)
{
	(void)fd, (void)msg;
	errno = EAGAIN;
	return -1;
}

START_TEST(answer_before_the_question_is_not_believed)
{
	struct io io = io_system;
	struct client c;

	open_scripted(&c, "http", "http", CC_OFFER_H1);
	io.sendmsg = send_blocks;
	c.ctx->io = &io;
	peer_accept(c.peer);
	peer_say(c.peer, OPEN);
	wait_failed(&c, CC_ECONNECT, "answered before it was asked");
	client_close(&c);
}
END_TEST

START_TEST(connection_may_be_freed_while_the_proxy_thinks)
{
	struct client c;

	open_scripted(&c, schemes[_i], "https", CC_OFFER_H1);
	peer_accept(c.peer);
	until(c.base, c.peer->in_len > 0);
	cc_conn_free(c.conn);
	c.conn = NULL;
	peer_wait_eof(c.peer);
	client_close(&c);
}
END_TEST

/* The answer has come, the tunnel is not handed over yet: closing then leaves nothing open. */
START_TEST(connection_may_be_freed_when_the_proxy_answers)
{
	struct client c;

	for (int n = 0; n < 8; n++) {
		open_scripted(&c, "http", n % 2 ? "https" : "http", CC_OFFER_H1);
		peer_accept(c.peer);
		until(c.base, c.peer->in_len > 0);
		peer_say(c.peer, OPEN);
		turns(c.base, n / 2);
		cc_conn_free(c.conn);
		c.conn = NULL;
		peer_wait_eof(c.peer);
		client_close(&c);
	}
}
END_TEST

/* ---- wrong calls ----------------------------------------------------------------- */

START_TEST(options_without_sense_are_refused)
{
	const struct cc_transport_opts rows[] = {
		{.proxy = "127.0.0.1:3128"},
		{.proxy = "https://127.0.0.1:3128"},
		{.proxy = "http://joe:%zz@127.0.0.1:3128"},
		{.proxy = "socks5://joe@127.0.0.1"},
		{.bind_address = "localhost"},
		{.bind_address = "127.0.0.1:80"},
		{.bind_interface = "a/b"},
		{.bind_interface = "0123456789abcdef"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct client c;
		struct peer *peer = peer_tcp(event_base_new());

		ck_assert_msg(
			client_init(&c, peer, CC_OFFER_H1, &rows[i], 0) == CC_EINVAL, "row %zu", i);
		ck_assert_ptr_null(c.transport);
		client_close(&c);
	}
}
END_TEST

START_TEST(proxy_to_a_unix_socket_is_a_wrong_call)
{
	struct cc_transport_opts o = {.proxy = "http://127.0.0.1:1"};
	struct client c;

	ck_assert_int_eq(client_init(&c, peer_unix(event_base_new()), CC_OFFER_H1, &o, 0), 0);
	ck_assert_int_eq(client_dial(&c, "http"), CC_EINVAL);
	ck_assert_ptr_null(c.conn);
	client_close(&c);
}
END_TEST

START_TEST(empty_options_are_none)
{
	struct cc_transport_opts o = {.proxy = "", .bind_address = "", .bind_interface = ""};
	struct client c;

	client_open(&c, peer_tcp(event_base_new()), "http", CC_OFFER_H1, &o);
	wait_state(&c, CC_READY);
	client_close(&c);
}
END_TEST

/* ---- options of the socket --------------------------------------------------------- */

/* Our own end of the connection that the peer accepted. */
static int own_end(const struct peer *p)
{
	struct sockaddr_in theirs, own;
	socklen_t len = sizeof(theirs);

	ck_assert_int_eq(getpeername(p->fd, (struct sockaddr *)&theirs, &len), 0);
	for (int fd = 3; fd < 1024; fd++) {
		len = sizeof(own);
		if (getsockname(fd, (struct sockaddr *)&own, &len) == 0 &&
			own.sin_family == AF_INET && own.sin_port == theirs.sin_port &&
			own.sin_addr.s_addr == theirs.sin_addr.s_addr)
			return fd;
	}
	ck_abort_msg("no descriptor is the other end");
}

static int option(int fd, int level, int name)
{
	int value = -1;
	socklen_t len = sizeof(value);

	ck_assert_int_eq(getsockopt(fd, level, name, &value, &len), 0);
	return value;
}

START_TEST(options_reach_the_socket)
{
	struct cc_transport_opts o = {.tcp_keepalive = 45000,
		.tcp_user_timeout = 7654,
		.bind_address = "127.0.0.66",
		.bind_interface = "lo"};
	struct client c;
	struct sockaddr_in from;
	socklen_t len = sizeof(from);
	char own[192], device[32] = "";
	int fd;

	if (_i == 0) {
		client_open(&c, peer_tcp(event_base_new()), "http", CC_OFFER_H1, &o);
	} else { /* what is set is the way to the proxy */
		struct peer *peer = peer_tcp(event_base_new());

		snprintf(own, sizeof(own), "http://%s", peer->address);
		o.proxy = own;
		ck_assert_int_eq(client_init(&c, peer, CC_OFFER_H1, &o, 0), 0);
		ck_assert_int_eq(client_dial_to(&c, "http", "[2001:db8::1]:80"), 0);
		peer_accept(peer);
		peer_expect(peer, "CONNECT [2001:db8::1]:80 HTTP/1.1\r\n");
		peer_say(peer, OPEN);
	}
	wait_state(&c, CC_READY);
	peer_accept(c.peer);
	ck_assert_int_eq(getpeername(c.peer->fd, (struct sockaddr *)&from, &len), 0);
	ck_assert_str_eq(inet_ntoa(from.sin_addr), "127.0.0.66");
	fd = own_end(c.peer);
	ck_assert_int_eq(option(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
	ck_assert_int_eq(option(fd, IPPROTO_TCP, TCP_KEEPIDLE), 45);
	ck_assert_int_eq(option(fd, IPPROTO_TCP, TCP_KEEPINTVL), 15);
	ck_assert_int_eq(option(fd, IPPROTO_TCP, TCP_KEEPCNT), 3);
	ck_assert_int_eq(option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT), 7654);
	ck_assert_int_eq(option(fd, IPPROTO_TCP, TCP_NODELAY), 1);
	ck_assert_int_eq(option(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT), 1);
	len = sizeof(device);
	ck_assert_int_eq(getsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, device, &len), 0);
	ck_assert_str_eq(device, "lo");
	client_close(&c);
}
END_TEST

START_TEST(without_options_the_socket_is_as_it_was)
{
	struct client c;
	int fd;

	client_open(&c, peer_tcp(event_base_new()), "http", CC_OFFER_H1, NULL);
	wait_state(&c, CC_READY);
	peer_accept(c.peer);
	fd = own_end(c.peer);
	ck_assert_int_eq(option(fd, SOL_SOCKET, SO_KEEPALIVE), 0);
	ck_assert_int_eq(option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT), 0);
	client_close(&c);
}
END_TEST

START_TEST(interface_that_is_not_there_is_named)
{
	struct cc_transport_opts o = {.bind_interface = "nosuch0"};
	struct client c;

	client_open(&c, peer_tcp(event_base_new()), "http", CC_OFFER_H1, &o);
	wait_failed(&c, CC_ECONNECT, "bind to interface nosuch0 for 127.0.0.1:");
	client_close(&c);
}
END_TEST

/* ---- memory -------------------------------------------------------------------------- */

/* What the scripted proxy says when it has heard so many bytes; then the server's SETTINGS. */
static const struct script {
	const char *proxy;
	struct {
		size_t heard;
		const char *say;
		size_t n;
	} steps[4];
} scripts[] = {
	{"http", {{sizeof(ASKED) - 1, OPEN "\0\0\0\4\0\0\0\0\0", sizeof(OPEN) - 1 + 9}}},
	{"socks5", {{4, "\5\2", 2}, {16, "\1\0", 2},
			   {34, "\5\0\0\1\0\0\0\0\0\0\0\0\0\4\0\0\0\0\0", 19}}},
};

static bool sent_all(const struct script *s, int step)
{
	return step == 4 || s->steps[step].n == 0;
}

/* A connection through a proxy, while one allocation fails. Was it reached? */
static bool reach_with(const struct script *s, unsigned long fail_at)
{
	struct peer *peer = peer_tcp(event_base_new());
	struct client c;
	char own[192];
	struct cc_transport_opts o = {.proxy = own, .bind_address = "127.0.0.1"};
	bool ok, reached;
	int step = 0;

	snprintf(own, sizeof(own), "%s://joe:secret@%s", s->proxy, peer->address);
	ok = client_init(&c, peer, CC_OFFER_H2, &o, fail_at) == 0 &&
	     client_dial_to(&c, "http", "api.example") == 0;
	for (int i = 0; ok && i < 1000; i++) {
		turns(c.base, 1);
		if (cc_conn_state(c.conn) == CC_CLOSED || cc_conn_limits_known(c.conn))
			break;
		if (!sent_all(s, step) && peer->in_len >= s->steps[step].heard) {
			peer_send(peer, s->steps[step].say, s->steps[step].n);
			step++;
		}
	}
	if (ok) {
		bool closed = cc_conn_state(c.conn) == CC_CLOSED;

		ck_assert_msg(closed || cc_conn_limits_known(c.conn), "allocation %lu: it hangs",
			fail_at);
		/* nghttp2 that cannot apply SETTINGS ends its session as if they were wrong. */
		ck_assert_msg(!closed || cc_conn_err(c.conn) == CC_ENOMEM ||
				      (cc_conn_err(c.conn) == CC_EPROTO && sent_all(s, step)),
			"allocation %lu: %d %s", fail_at, cc_conn_err(c.conn),
			cc_conn_detail(c.conn));
	}
	reached = c.memory->allocs >= fail_at;
	if (!reached)
		ck_assert(ok && cc_conn_state(c.conn) == CC_READY);
	c.memory->fail_at = 0;
	client_close(&c);
	return reached;
}

START_TEST(no_allocation_may_fail_unnoticed)
{
	unsigned long n = 1;

	while (reach_with(&scripts[_i], n))
		ck_assert_uint_lt(++n, 200);
	ck_assert_uint_gt(n, 20); /* some did fail */
}
END_TEST

#define COUNT(array) (int)(sizeof(array) / sizeof((array)[0]))

static TCase *real_tests(void)
{
	TCase *t = tcase_create("real");

	tcase_add_unchecked_fixture(
		t, start_all, NULL); /* main ends them, also after half a start */
	tcase_set_timeout(t, 240);
	tcase_add_loop_test(t, every_proxy_carries_every_protocol, 0, COUNT(proxies));
	tcase_add_loop_test(t, name_is_resolved_by_the_proxy, 0, 2);
	tcase_add_loop_test(t, proxy_that_wants_other_credentials_is_quoted, 0, COUNT(refused));
	tcase_add_test(t, server_that_refuses_the_proxy_is_named);
	tcase_add_test(t, proxy_that_is_not_there_is_named);
	tcase_add_test(t, certificate_is_the_servers_not_the_proxys);
	tcase_add_loop_test(t, tunnel_may_be_read_and_written_byte_by_byte, 0, COUNT(proxies));
	return t;
}

static TCase *scripted_tests(void)
{
	TCase *t = tcase_create("scripted");

	tcase_set_timeout(t, 240);
	tcase_add_test(t, proxy_may_answer_byte_by_byte);
	tcase_add_test(t, socks5_proxy_may_answer_byte_by_byte);
	tcase_add_test(t, request_made_while_connecting_waits_for_the_tunnel);
	tcase_add_test(t, frames_behind_the_answer_are_the_servers);
	tcase_add_test(t, answer_behind_the_answer_was_not_asked_for);
	tcase_add_test(t, bytes_behind_the_answer_reach_the_handshake);
	tcase_add_test(t, end_behind_the_answer_is_the_servers);
	tcase_add_loop_test(t, misbehaving_proxy_is_quoted, 0, COUNT(misbehaviour));
	tcase_add_loop_test(t, proxy_that_hangs_up_is_named, 0, COUNT(schemes));
	tcase_add_loop_test(t, proxy_that_stalls_has_the_connect_timeout, 0, COUNT(schemes));
	tcase_add_test(t, handshake_behind_a_proxy_has_its_own_time);
	tcase_add_loop_test(t, endless_head_ends, 0, 2);
	tcase_add_test(t, answer_before_the_question_is_not_believed);
	tcase_add_loop_test(t, connection_may_be_freed_while_the_proxy_thinks, 0, COUNT(schemes));
	tcase_add_test(t, connection_may_be_freed_when_the_proxy_answers);
	tcase_add_loop_test(t, no_allocation_may_fail_unnoticed, 0, COUNT(scripts));
	return t;
}

static TCase *option_tests(void)
{
	TCase *t = tcase_create("options");

	tcase_set_timeout(t, 240);
	tcase_add_test(t, options_without_sense_are_refused);
	tcase_add_test(t, proxy_to_a_unix_socket_is_a_wrong_call);
	tcase_add_test(t, empty_options_are_none);
	tcase_add_loop_test(t, options_reach_the_socket, 0, 2);
	tcase_add_test(t, without_options_the_socket_is_as_it_was);
	tcase_add_test(t, interface_that_is_not_there_is_named);
	return t;
}

int main(void)
{
	Suite *s = suite_create("proxy");
	SRunner *runner;
	int failed;

	suite_add_tcase(s, option_tests());
	suite_add_tcase(s, scripted_tests());
	suite_add_tcase(s, real_tests());
	runner = srunner_create(s);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	end_all();
	return failed > 0;
}
