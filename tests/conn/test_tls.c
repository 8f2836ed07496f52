/*
 * test_tls.c - the TLS settings of a transport reach its connections, and TLS sessions are resumed,
 * against a real nginx on Unix sockets; what nginx does not do, the scripted peer does.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "lib/base/ctx.h"
#include "lib/net/session.h"
#include "tests/conn/fixture.h"

#define API "api.example.test"
#define WWW "www.example.test"

/* Before and beside the tests Check's assertions do not work. */
#define must(cond)                                                                                 \
	do {                                                                                       \
		if (!(cond)) {                                                                     \
			fprintf(stderr, "test_tls: not true: %s\n", #cond);                        \
			exit(1);                                                                   \
		}                                                                                  \
	} while (0)

/* ---- certificates ------------------------------------------------------ */

struct issued {
	X509 *x;
	EVP_PKEY *key;
};

static char top[64]; /* of this program */
static struct issued ca, alice, bob;

static void add_extension(X509 *x, int nid, const char *value)
{
	X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

	must(e);
	X509_add_ext(x, e, -1);
	X509_EXTENSION_free(e);
}

/* By itself if issuer is NULL: a CA. alt: "DNS:name", NULL for none. */
static struct issued issue(const struct issued *issuer, const char *cn, const char *alt, int days)
{
	struct issued i = {X509_new(), EVP_EC_gen("P-256")};
	X509_NAME *subject = X509_get_subject_name(i.x);
	static long serial;

	X509_set_version(i.x, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(i.x), ++serial);
	X509_gmtime_adj(X509_getm_notBefore(i.x), -30L * 86400);
	X509_gmtime_adj(X509_getm_notAfter(i.x), days * 86400L);
	X509_NAME_add_entry_by_txt(
		subject, "CN", MBSTRING_ASC, (const unsigned char *)cn, -1, -1, 0);
	X509_set_issuer_name(i.x, issuer ? X509_get_subject_name(issuer->x) : subject);
	X509_set_pubkey(i.x, i.key);
	add_extension(i.x, NID_basic_constraints, issuer ? "CA:FALSE" : "critical,CA:TRUE");
	if (alt)
		add_extension(i.x, NID_subject_alt_name, alt);
	must(X509_sign(i.x, issuer ? issuer->key : i.key, EVP_sha256()) > 0);
	return i;
}

static void issued_free(struct issued *i)
{
	X509_free(i->x);
	EVP_PKEY_free(i->key);
}

static FILE *create(const char *name)
{
	char path[128];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", top, name);
	f = fopen(path, "we");
	must(f);
	return f;
}

static void store(const char *name, const struct issued *i)
{
	FILE *f = create(name);

	must(PEM_write_X509(f, i->x) == 1);
	must(PEM_write_PrivateKey(f, i->key, NULL, NULL, 0, NULL, NULL) == 1);
	must(fclose(f) == 0);
}

static void issue_file(const char *name, const char *alt, int days)
{
	struct issued i = issue(&ca, "server", alt, days);

	store(name, &i);
	issued_free(&i);
}

/* A client that trusts the CA and shows that certificate; NULL: none. */
static SSL_CTX *client_tls(const struct issued *own)
{
	SSL_CTX *tls = SSL_CTX_new(TLS_client_method());

	SSL_CTX_set_verify(tls, SSL_VERIFY_PEER, NULL);
	X509_STORE_add_cert(SSL_CTX_get_cert_store(tls), ca.x);
	if (own) {
		must(SSL_CTX_use_certificate(tls, own->x) == 1);
		must(SSL_CTX_use_PrivateKey(tls, own->key) == 1);
	}
	return tls;
}

/* ---- nginx ------------------------------------------------------------- */

/* The sockets are named after what they do; each answers with what it knows of the client. */
static void write_conf(const char *prefix)
{
	static const struct {
		const char *socket, *cert, *name, *more;
	} servers[] = {
		{"tls12", "api.pem", API, "ssl_protocols TLSv1.2;"},
		{"tls12", "www.pem", WWW, "ssl_protocols TLSv1.2;"},
		{"tls13", "api.pem", API, "ssl_protocols TLSv1.3;"},
		{"tls13", "www.pem", WWW, "ssl_protocols TLSv1.3;"},
		{"ids12", "api.pem", API,
			"ssl_protocols TLSv1.2; ssl_session_tickets off; "
			"ssl_session_cache builtin;"},
		{"own12", "api.pem", API,
			"ssl_protocols TLSv1.2; ssl_verify_client on; "
			"ssl_client_certificate ca.pem;"},
		{"own13", "api.pem", API,
			"ssl_protocols TLSv1.3; ssl_verify_client on; "
			"ssl_client_certificate ca.pem;"},
		{"expired", "expired.pem", API, ""},
	};
	char name[64];
	FILE *f;

	snprintf(name, sizeof(name), "%s.conf", prefix);
	f = create(name);
	fprintf(f,
		"daemon off; master_process off; pid %s.pid; error_log %s.err;\n"
		"events { worker_connections 128; }\n"
		"http { access_log off; ssl_session_tickets on;\n"
		"client_body_temp_path t; proxy_temp_path t; fastcgi_temp_path t;\n"
		"uwsgi_temp_path t; scgi_temp_path t;\n",
		prefix, prefix);
	for (size_t i = 0; i < sizeof(servers) / sizeof(servers[0]); i++)
		fprintf(f,
			"server { listen unix:%s/%s-%s ssl http2; server_name %s; %s\n"
			"ssl_certificate %s; ssl_certificate_key %s;\n"
			"return 200 '$ssl_session_reused $ssl_server_name $ssl_client_s_dn'; }\n",
			top, prefix, servers[i].socket, servers[i].name, servers[i].more,
			servers[i].cert, servers[i].cert);
	fprintf(f, "}\n");
	must(fclose(f) == 0);
}

static void become_nginx(const char *prefix)
{
	char conf[64], err[64];
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	prctl(PR_SET_PDEATHSIG, SIGKILL); /* also if the test fails */
	snprintf(conf, sizeof(conf), "%s.conf", prefix);
	snprintf(err, sizeof(err), "%s.err", prefix);
	dup2(null, STDOUT_FILENO);
	dup2(null, STDERR_FILENO);
	/* It lives where an ordinary user's PATH does not look. */
	setenv("PATH", "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin", 1);
	execlp("nginx", "nginx", "-p", top, "-c", conf, "-e", err, (char *)NULL);
	_exit(127);
}

static bool is_listening(const char *prefix)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), rc;

	snprintf(un.sun_path, sizeof(un.sun_path), "%s/%s-expired", top, prefix); /* the last one */
	rc = connect(fd, (struct sockaddr *)&un, sizeof(un));
	close(fd);
	return rc == 0;
}

static void nap(void)
{
	nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
}

static pid_t nginx_start(const char *prefix)
{
	pid_t pid;

	write_conf(prefix);
	pid = fork();
	must(pid >= 0);
	if (pid == 0)
		become_nginx(prefix);
	for (int i = 0; i < 2000 && !is_listening(prefix); i++)
		nap();
	must(is_listening(prefix));
	return pid;
}

static void nginx_stop(pid_t pid)
{
	kill(pid, SIGTERM);
	for (int i = 0; i < 2000; i++) {
		if (waitpid(pid, NULL, WNOHANG) == pid)
			return;
		nap();
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

/* ---- a client of nginx ------------------------------------------------- */

static char answer[256]; /* the last body */

static void go_to(struct client *c, const char *prefix, const char *socket)
{
	snprintf(c->peer->address, sizeof(c->peer->address), "unix:%s/%s-%s", top, prefix, socket);
}

/* The peer only lends its place: the address is nginx's. */
static void client_for(struct client *c, SSL_CTX *tls, const char *name, const char *socket,
	unsigned offer, bool no_resumption)
{
	struct cc_transport_opts o = {.tls = tls, .tls_name = name, .no_resumption = no_resumption};

	ck_assert_int_eq(client_init(c, peer_tcp(event_base_new()), offer, &o, 0), 0);
	go_to(c, "main", socket);
}

/* The client's transport becomes another one, in the same context; returns the one before. */
static struct cc_transport *change_transport(
	struct client *c, SSL_CTX *tls, const char *name, unsigned offer)
{
	struct cc_transport_opts o = {
		.size = sizeof(o), .offer = offer, .tls = tls, .tls_name = name};
	struct cc_transport *before = c->transport;

	ck_assert_int_eq(cc_transport_new(c->ctx, &o, &c->transport), 0);
	return before;
}

static void dial(struct client *c)
{
	ck_assert_int_eq(client_dial(c, "https"), 0);
}

static void hang_up(struct client *c)
{
	cc_conn_free(c->conn);
	c->conn = NULL;
	c->hooks_closed = 0;
	c->completed_seen = 0;
	turns(c->base, 2);
}

/* One request on the connection; the answer's status. */
static unsigned ask(struct client *c)
{
	struct probe p = {0};

	get(c, &p, "/");
	wait_done(&p);
	ck_assert_msg(p.result.err == 0, "%d: %s", p.result.err, cc_conn_detail(c->conn));
	snprintf(answer, sizeof(answer), "%s", p.body ? p.body : "");
	probe_free(&p);
	return p.status;
}

/* A connection of its own for one request: was its session resumed? */
static bool resumed(struct client *c)
{
	dial(c);
	wait_state(c, CC_READY);
	ck_assert_uint_eq(ask(c), 200);
	hang_up(c);
	ck_assert(answer[0] == 'r' || answer[0] == '.');
	return answer[0] == 'r';
}

static void fails(struct client *c, int err, const char *words)
{
	dial(c);
	until(c->base, cc_conn_state(c->conn) == CC_CLOSED);
	ck_assert_msg(cc_conn_err(c->conn) == err, "%d: %s", cc_conn_err(c->conn),
		cc_conn_detail(c->conn));
	ck_assert_msg(strstr(cc_conn_detail(c->conn), words), "%s", cc_conn_detail(c->conn));
	hang_up(c);
}

/* ---- resumption -------------------------------------------------------- */

static const char *const sockets[] = {"tls12", "tls13", "ids12"};

#define each_socket(i) for (int i = 0; i < (int)(sizeof(sockets) / sizeof(sockets[0])); i++)

static void check_second_is_resumed(const char *socket, unsigned offer)
{
	SSL_CTX *tls = client_tls(NULL);
	struct client c;

	client_for(&c, tls, API, socket, offer, false);
	ck_assert_msg(!resumed(&c), "%s", socket);
	ck_assert_msg(resumed(&c), "%s", socket);
	ck_assert_msg(resumed(&c), "%s", socket);
	client_close(&c);
	SSL_CTX_free(tls);
}

START_TEST(second_connection_resumes_the_session_of_the_first)
{
	each_socket(i)
	{
		check_second_is_resumed(sockets[i], CC_OFFER_H1);
		check_second_is_resumed(sockets[i], CC_OFFER_H2);
	}
}
END_TEST

static void check_protocol(struct client *c, enum cc_proto_id proto)
{
	dial(c);
	wait_state(c, CC_READY);
	ck_assert_int_eq(cc_conn_proto(c->conn), proto);
	ask(c);
	ck_assert_int_eq(answer[0], 'r');
	hang_up(c);
}

START_TEST(protocol_is_negotiated_on_a_resumed_session_too)
{
	each_socket(i)
	{
		SSL_CTX *tls = client_tls(NULL);
		struct cc_transport *h2, *h1;
		struct client c;

		client_for(&c, tls, API, sockets[i], CC_OFFER_H2, false);
		ck_assert(!resumed(&c));
		h2 = change_transport(&c, tls, API, CC_OFFER_H1);
		check_protocol(&c, CC_PROTO_H1);
		h1 = change_transport(&c, tls, API, CC_OFFER_H1 | CC_OFFER_H2);
		check_protocol(&c, CC_PROTO_H2);
		cc_transport_free(h2);
		cc_transport_free(h1);
		client_close(&c);
		SSL_CTX_free(tls);
	}
}
END_TEST

/* A second transport beside the first shares nothing with it; both resume their own. */
static void check_apart(const char *socket, const struct issued *own, const struct issued *other,
	const char *name, bool same_context)
{
	SSL_CTX *tls = client_tls(own), *tls2 = same_context ? tls : client_tls(other);
	struct cc_transport *first, *second;
	struct client c;

	client_for(&c, tls, API, socket, CC_OFFER_H1, false);
	ck_assert(!resumed(&c));
	first = change_transport(&c, tls2, name, CC_OFFER_H1);
	ck_assert_msg(!resumed(&c), "%s, %s", socket, name);
	ck_assert_msg(resumed(&c), "%s, %s", socket, name);
	ck_assert_ptr_nonnull(strstr(answer, name));
	if (other)
		ck_assert_ptr_nonnull(strstr(answer, "CN=bob"));

	second = c.transport;
	c.transport = first;
	ck_assert(resumed(&c));
	ck_assert_ptr_nonnull(strstr(answer, API));
	if (own)
		ck_assert_ptr_nonnull(strstr(answer, "CN=alice"));
	cc_transport_free(second);
	client_close(&c);
	SSL_CTX_free(tls);
	if (!same_context)
		SSL_CTX_free(tls2);
}

START_TEST(another_name_is_not_resumed)
{
	check_apart("tls12", NULL, NULL, WWW, true);
	check_apart("tls13", NULL, NULL, WWW, true);
}
END_TEST

START_TEST(another_context_is_not_resumed)
{
	each_socket(i) check_apart(sockets[i], NULL, NULL, API, false);
}
END_TEST

START_TEST(another_client_certificate_is_not_resumed)
{
	check_apart("own12", &alice, &bob, API, false);
	check_apart("own13", &alice, &bob, API, false);
}
END_TEST

START_TEST(context_that_trusts_nobody_is_not_helped_by_a_session)
{
	each_socket(i)
	{
		SSL_CTX *tls = client_tls(NULL), *wary = peer_tls_client(NULL);
		struct cc_transport *first;
		struct client c;

		client_for(&c, tls, API, sockets[i], CC_OFFER_H1, false);
		ck_assert(!resumed(&c));
		first = change_transport(&c, wary, API, CC_OFFER_H1);
		fails(&c, CC_ECERT, "certificate verify failed");
		cc_transport_free(first);
		client_close(&c);
		SSL_CTX_free(tls);
		SSL_CTX_free(wary);
	}
}
END_TEST

START_TEST(no_resumption_means_a_full_handshake_always)
{
	each_socket(i)
	{
		SSL_CTX *tls = client_tls(NULL);
		struct client c;

		client_for(&c, tls, API, sockets[i], CC_OFFER_H1, true);
		for (int k = 0; k < 3; k++)
			ck_assert(!resumed(&c));
		ck_assert_uint_eq(sessions_count(c.ctx), 0);
		client_close(&c);
		SSL_CTX_free(tls);
	}
}
END_TEST

START_TEST(sessions_are_forgotten_with_their_transport)
{
	SSL_CTX *tls = client_tls(NULL);
	struct client c;

	client_for(&c, tls, API, "tls13", CC_OFFER_H1, false);
	ck_assert(!resumed(&c));
	ck_assert_uint_eq(sessions_count(c.ctx), 1);
	cc_transport_free(change_transport(&c, tls, API, CC_OFFER_H1));
	ck_assert_uint_eq(sessions_count(c.ctx), 0);
	ck_assert(!resumed(&c));
	ck_assert(resumed(&c));
	client_close(&c);
	SSL_CTX_free(tls);
}
END_TEST

START_TEST(server_with_new_ticket_keys_gets_a_full_handshake)
{
	pid_t nginx = nginx_start("again");

	each_socket(i)
	{
		SSL_CTX *tls = client_tls(NULL);
		struct client c;

		client_for(&c, tls, API, sockets[i], CC_OFFER_H1, false);
		go_to(&c, "again", sockets[i]);
		ck_assert(!resumed(&c));
		ck_assert(resumed(&c));
		nginx_stop(nginx);
		nginx = nginx_start("again");
		ck_assert(!resumed(&c));
		ck_assert(resumed(&c));
		client_close(&c);
		SSL_CTX_free(tls);
	}
	nginx_stop(nginx);
}
END_TEST

#define MANY 4

static void check_several(const char *socket)
{
	SSL_CTX *tls = client_tls(NULL);
	struct cc_conn *conns[MANY];
	struct client c;

	client_for(&c, tls, API, socket, CC_OFFER_H1, false);
	ck_assert(!resumed(&c));
	for (int i = 0; i < MANY; i++)
		ck_assert_int_eq(cc_transport_new_client_conn(c.transport, "https", c.peer->address,
					 NULL, NULL, &conns[i]),
			0);
	for (int i = 0; i < MANY; i++) {
		c.conn = conns[i];
		wait_state(&c, CC_READY);
		ask(&c);
		ck_assert_int_eq(answer[0], 'r');
	}
	for (int i = 0; i < MANY; i++)
		cc_conn_free(conns[i]);
	c.conn = NULL;
	client_close(&c);
	SSL_CTX_free(tls);
}

START_TEST(several_connections_at_once_resume_one_session)
{
	each_socket(i) check_several(sockets[i]);
}
END_TEST

/* Some middle box, or a server with a fault: whoever comes with a ticket is turned away. */
static int refuse_tickets(SSL *ssl, int *alert, void *arg)
{
	const unsigned char *bytes;
	size_t n;
	bool ticket =
		SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_psk, &bytes, &n) == 1 ||
		(SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_session_ticket, &bytes, &n) == 1 &&
			n > 0);

	(void)arg;
	*alert = SSL_AD_HANDSHAKE_FAILURE;
	return ticket ? SSL_CLIENT_HELLO_ERROR : SSL_CLIENT_HELLO_SUCCESS;
}

/* One request to the scripted peer on a connection that stays; was its session resumed? */
static bool serve(struct client *c)
{
	struct probe p = {0};

	dial(c);
	wait_state(c, CC_READY);
	peer_accept(c->peer);
	get(c, &p, "/");
	peer_expect(c->peer, "GET / HTTP/1.1\r\n");
	peer_say(c->peer, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	wait_done(&p);
	ck_assert_uint_eq(p.status, 200);
	probe_free(&p);
	return SSL_session_reused(c->peer->ssl);
}

static void next_peer(struct client *c)
{
	hang_up(c);
	peer_next(c->peer);
}

static void open_peer(struct client *c, SSL_CTX *server, int version, const struct issued *own)
{
	SSL_CTX *tls = client_tls(own);
	struct cc_transport_opts o = {.tls = tls, .tls_name = API};

	X509_STORE_add_cert(SSL_CTX_get_cert_store(tls), SSL_CTX_get0_certificate(server));
	SSL_CTX_set_min_proto_version(server, version);
	SSL_CTX_set_max_proto_version(server, version);
	ck_assert_int_eq(
		client_init(c, peer_unix(event_base_new()), CC_OFFER_H1 | CC_OFFER_H2, &o, 0), 0);
	SSL_CTX_free(tls);
}

static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

START_TEST(session_that_broke_a_handshake_is_not_offered_again)
{
	for (int i = 0; i < 2; i++) {
		SSL_CTX *server = peer_tls_server("DNS:" API, 30);
		struct client c;

		SSL_CTX_set_client_hello_cb(server, refuse_tickets, NULL);
		open_peer(&c, server, versions[i], NULL);
		peer_use_tls(c.peer, server, "http/1.1");
		serve(&c);
		next_peer(&c);
		fails(&c, CC_ETLS, "handshake failure");
		peer_next(c.peer);
		serve(&c);
		client_close(&c);
		SSL_CTX_free(server);
	}
}
END_TEST

/* The first connection of a test, with a session that is kept. */
static SSL_CTX *open_resumable(struct client *c, int version)
{
	SSL_CTX *server = peer_tls_server("DNS:" API, 30);

	open_peer(c, server, version, NULL);
	peer_use_tls(c->peer, server, "http/1.1");
	ck_assert(!serve(c));
	ck_assert_uint_eq(sessions_count(c->ctx), 1);
	return server;
}

START_TEST(handshake_that_hangs_drops_the_session_it_offered)
{
	for (int i = 0; i < 2; i++) {
		struct client c;
		SSL_CTX *server = open_resumable(&c, versions[i]);

		next_peer(&c);
		c.peer->mute = true;
		dial(&c);
		until(c.base, c.peer->fd >= 0);
		turns(c.base, 3);
		ck_assert_uint_eq(sessions_count(c.ctx), 1);
		advance(&c, 10001);
		ck_assert_int_eq(cc_conn_err(c.conn), CC_ETIMEOUT);
		ck_assert_uint_eq(sessions_count(c.ctx), 0);
		client_close(&c);
		SSL_CTX_free(server);
	}
}
END_TEST

/* RFC 8446 6.2, RFC 5246 7.2.2 */
START_TEST(connection_that_tls_breaks_takes_its_session_along)
{
	for (int i = 0; i < 2; i++) {
		static const char junk[] = "\x17\x03\x03\x00\x20 this is not what was encrypted";
		struct client c;
		SSL_CTX *server = open_resumable(&c, versions[i]);

		ck_assert_int_gt(send(c.peer->fd, junk, sizeof(junk), MSG_NOSIGNAL), 0);
		until(c.base, cc_conn_state(c.conn) == CC_CLOSED);
		ck_assert_int_eq(cc_conn_err(c.conn), CC_ETLS);
		ck_assert_uint_eq(sessions_count(c.ctx), 0);
		next_peer(&c);
		ck_assert(!serve(&c));
		client_close(&c);
		SSL_CTX_free(server);
	}
}
END_TEST

START_TEST(connection_that_is_cut_leaves_its_session)
{
	for (int i = 0; i < 2; i++) {
		struct client c;
		SSL_CTX *server = open_resumable(&c, versions[i]);

		for (int k = 0; k < 2; k++) {
			peer_cut(c.peer);
			until(c.base, cc_conn_state(c.conn) == CC_CLOSED);
			next_peer(&c);
			ck_assert(serve(&c));
		}
		client_close(&c);
		SSL_CTX_free(server);
	}
}
END_TEST

/* ---- certificates ------------------------------------------------------ */

static void check_refused(
	SSL_CTX *tls, const char *socket, const char *name, int err, const char *words)
{
	struct client c;

	client_for(&c, tls, name, socket, CC_OFFER_H1, false);
	fails(&c, err, words);
	ck_assert_uint_eq(sessions_count(c.ctx), 0);
	fails(&c, err, words); /* and nothing of it is left */
	client_close(&c);
	SSL_CTX_free(tls);
}

START_TEST(certificate_of_an_unknown_ca_is_refused)
{
	each_socket(i) check_refused(peer_tls_client(NULL), sockets[i], API, CC_ECERT,
		"unable to get local issuer certificate");
}
END_TEST

START_TEST(certificate_for_another_name_is_refused)
{
	each_socket(i) check_refused(
		client_tls(NULL), sockets[i], "other.example.test", CC_ECERT, "hostname mismatch");
}
END_TEST

START_TEST(expired_certificate_is_refused)
{
	check_refused(client_tls(NULL), "expired", API, CC_ECERT, "certificate has expired");
}
END_TEST

START_TEST(tls_name_is_what_the_server_hears_and_what_is_verified)
{
	for (int i = 0; i < 2; i++) { /* one socket, two servers with a certificate each */
		SSL_CTX *tls = client_tls(NULL);
		struct client c;

		client_for(&c, tls, API, sockets[i], CC_OFFER_H1, false);
		resumed(&c);
		ck_assert_str_eq(answer, ". " API " ");
		cc_transport_free(change_transport(&c, tls, WWW, CC_OFFER_H1));
		resumed(&c);
		ck_assert_str_eq(answer, ". " WWW " ");
		client_close(&c);
		SSL_CTX_free(tls);
	}
}
END_TEST

START_TEST(version_below_the_minimum_is_refused)
{
	SSL_CTX *tls = client_tls(NULL);

	SSL_CTX_set_min_proto_version(tls, TLS1_3_VERSION);
	check_refused(tls, "tls12", API, CC_ETLS, "alert protocol version");
}
END_TEST

START_TEST(version_above_the_maximum_is_refused)
{
	SSL_CTX *tls = client_tls(NULL);

	SSL_CTX_set_max_proto_version(tls, TLS1_2_VERSION);
	check_refused(tls, "tls13", API, CC_ETLS, "alert protocol version");
}
END_TEST

/* ---- certificate of the client ----------------------------------------- */

START_TEST(client_certificate_is_shown_to_who_demands_it)
{
	for (int i = 0; i < 2; i++) {
		SSL_CTX *tls = client_tls(&alice);
		struct client c;

		client_for(&c, tls, API, i ? "own13" : "own12", CC_OFFER_H1, false);
		ck_assert(!resumed(&c));
		ck_assert_str_eq(answer, ". " API " CN=alice");
		ck_assert(resumed(&c));
		ck_assert_str_eq(answer, "r " API " CN=alice");
		client_close(&c);
		SSL_CTX_free(tls);
	}
}
END_TEST

START_TEST(server_may_answer_a_client_without_certificate)
{
	for (int i = 0; i < 2; i++) {
		SSL_CTX *tls = client_tls(NULL);
		struct client c;

		client_for(&c, tls, API, i ? "own13" : "own12", CC_OFFER_H1, false);
		dial(&c);
		wait_state(&c, CC_READY);
		ck_assert_uint_eq(ask(&c), 400);
		ck_assert_ptr_nonnull(strstr(answer, "No required SSL certificate was sent"));
		hang_up(&c);
		client_close(&c);
		SSL_CTX_free(tls);
	}
}
END_TEST

static SSL_CTX *demanding_server(void)
{
	SSL_CTX *server = peer_tls_server("DNS:" API, 30);

	SSL_CTX_set_verify(server, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	X509_STORE_add_cert(SSL_CTX_get_cert_store(server), ca.x);
	return server;
}

START_TEST(tls12_server_refuses_a_client_in_the_handshake)
{
	SSL_CTX *server = demanding_server();
	struct client c;

	open_peer(&c, server, TLS1_2_VERSION, NULL);
	peer_use_tls(c.peer, server, "http/1.1");
	fails(&c, CC_ETLS, "alert handshake failure");
	client_close(&c);
	SSL_CTX_free(server);
}
END_TEST

static bool has_answered_hello(const struct peer *p)
{
	return p->ssl && SSL_in_init(p->ssl) && SSL_get_state(p->ssl) != TLS_ST_BEFORE;
}

/* In TLS 1.3 our handshake is over before the server has seen our certificate (RFC 8446 2). */
static void open_before_verdict(struct client *c, SSL_CTX *server, const char *alpn)
{
	open_peer(c, server, TLS1_3_VERSION, NULL);
	peer_use_tls(c->peer, server, alpn);
	dial(c);
	until(c->base, has_answered_hello(c->peer));
	peer_stall(c->peer, true);
	wait_state(c, CC_READY);
}

static void check_refused_under_request(const char *alpn, enum cc_proto_id proto)
{
	SSL_CTX *server = demanding_server();
	struct probe p = {0};
	struct client c;

	open_before_verdict(&c, server, alpn);
	ck_assert_int_eq(cc_conn_proto(c.conn), proto);
	get(&c, &p, "/");
	turns(c.base, 3);
	ck_assert_uint_eq(p.done, 0);
	peer_stall(c.peer, false);
	wait_done(&p);
	ck_assert_int_eq(p.result.err, CC_ETLS);
	ck_assert_int_eq(p.result.phase, CC_PHASE_WAITING); /* it had left */
	ck_assert(!p.result.unprocessed);
	ck_assert_int_eq(cc_conn_err(c.conn), CC_ETLS);
	ck_assert_msg(strstr(cc_conn_detail(c.conn), "alert certificate required"), "%s",
		cc_conn_detail(c.conn));
	ck_assert_uint_eq(sessions_count(c.ctx), 0);
	probe_free(&p);
	client_close(&c);
	SSL_CTX_free(server);
}

START_TEST(tls13_server_refuses_a_client_under_its_first_request)
{
	check_refused_under_request("http/1.1", CC_PROTO_H1);
	check_refused_under_request("h2", CC_PROTO_H2);
}
END_TEST

START_TEST(tls13_server_refuses_a_client_before_its_first_request)
{
	SSL_CTX *server = demanding_server();
	struct client c;

	open_before_verdict(&c, server, "http/1.1");
	peer_stall(c.peer, false);
	until(c.base, cc_conn_state(c.conn) == CC_CLOSED);
	ck_assert_int_eq(cc_conn_err(c.conn), CC_ETLS);
	ck_assert_ptr_nonnull(strstr(cc_conn_detail(c.conn), "alert certificate required"));
	client_close(&c);
	SSL_CTX_free(server);
}
END_TEST

/* ---- the program ------------------------------------------------------- */

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

static void make_certificates(void)
{
	ca = issue(NULL, "CA of the test", NULL, 30);
	alice = issue(&ca, "alice", NULL, 30);
	bob = issue(&ca, "bob", NULL, 30);
	store("ca.pem", &ca);
	issue_file("api.pem", "DNS:" API, 30);
	issue_file("www.pem", "DNS:" WWW, 30);
	issue_file("expired.pem", "DNS:" API, -1);
}

int main(void)
{
	const TTest *const tests[] = {
		second_connection_resumes_the_session_of_the_first,
		protocol_is_negotiated_on_a_resumed_session_too,
		another_name_is_not_resumed,
		another_context_is_not_resumed,
		another_client_certificate_is_not_resumed,
		context_that_trusts_nobody_is_not_helped_by_a_session,
		no_resumption_means_a_full_handshake_always,
		sessions_are_forgotten_with_their_transport,
		server_with_new_ticket_keys_gets_a_full_handshake,
		several_connections_at_once_resume_one_session,
		session_that_broke_a_handshake_is_not_offered_again,
		handshake_that_hangs_drops_the_session_it_offered,
		connection_that_tls_breaks_takes_its_session_along,
		connection_that_is_cut_leaves_its_session,
		certificate_of_an_unknown_ca_is_refused,
		certificate_for_another_name_is_refused,
		expired_certificate_is_refused,
		tls_name_is_what_the_server_hears_and_what_is_verified,
		version_below_the_minimum_is_refused,
		version_above_the_maximum_is_refused,
		client_certificate_is_shown_to_who_demands_it,
		server_may_answer_a_client_without_certificate,
		tls12_server_refuses_a_client_in_the_handshake,
		tls13_server_refuses_a_client_under_its_first_request,
		tls13_server_refuses_a_client_before_its_first_request,
	};
	pid_t nginx;
	int failed;

	strcpy(top, "/tmp/tls-XXXXXX");
	must(mkdtemp(top));
	make_certificates();
	nginx = nginx_start("main");
	failed = run_suite("tls", tests, sizeof(tests) / sizeof(tests[0]));
	nginx_stop(nginx);
	nftw(top, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	issued_free(&ca);
	issued_free(&alice);
	issued_free(&bob);
	return failed;
}
