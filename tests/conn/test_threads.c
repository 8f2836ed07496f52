/*
 * test_threads.c - two contexts in two threads share nothing but the TLS
 * settings they are given. Meant for ThreadSanitizer.
 */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include <openssl/ssl.h>

#include "tests/conn/fixture.h"

#define CONNECTIONS 8
#define REQUESTS    40 /* a connection */
#define AT_ONCE     8  /* HTTP/2 */

struct thread {
	pthread_t id;
	struct ssl_ctx_st *server, *client; /* NULL: in clear; the client's is shared */
	const char *alpn;                   /* "h2", "http/1.1" */
};

static bool is_h2(const struct thread *t)
{
	return strcmp(t->alpn, "h2") == 0;
}

static void open_connection(struct thread *t, struct client *c)
{
	struct cc_transport_opts opts = {.tls = t->client};
	struct event_base *base = event_base_new();
	struct peer *p = t->server ? peer_tcp(base) : peer_unix(base);

	if (t->server) {
		peer_use_tls(p, t->server, t->alpn);
		client_open(c, p, "https", CC_OFFER_H1 | CC_OFFER_H2, &opts);
	} else {
		client_open(c, p, "http", is_h2(t) ? CC_OFFER_H2 : CC_OFFER_H1, NULL);
	}
	wait_state(c, CC_READY);
	if (is_h2(t)) {
		h2_begin(p, AT_ONCE);
		until(c->base, cc_conn_limits_known(c->conn));
	} else {
		peer_accept(p);
	}
}

static void check_answer(struct probe *p)
{
	wait_done(p);
	ck_assert_int_eq(p->result.err, 0);
	check_body(p, "hello");
	probe_free(p);
}

static void exchange_h1(struct client *c)
{
	struct probe p = {0};
	char head[1024];

	get(c, &p, "/");
	peer_head(c->peer, head, sizeof(head));
	peer_say(c->peer, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
	check_answer(&p);
}

static void exchange_h2(struct client *c)
{
	struct probe p[AT_ONCE] = {{0}};

	for (int i = 0; i < AT_ONCE; i++)
		get(c, &p[i], "/");
	for (int i = 0; i < AT_ONCE; i++)
		h2_answer(c->peer, h2_request(c->peer), 200, "hello");
	for (int i = 0; i < AT_ONCE; i++)
		check_answer(&p[i]);
}

static void *run(void *arg)
{
	struct thread *t = arg;

	for (int i = 0; i < CONNECTIONS; i++) {
		struct client c;

		open_connection(t, &c);
		for (int sent = 0; sent < REQUESTS; sent += is_h2(t) ? AT_ONCE : 1) {
			if (is_h2(t))
				exchange_h2(&c);
			else
				exchange_h1(&c);
		}
		ck_assert_uint_eq(cc_conn_requests_completed(c.conn), REQUESTS);
		client_close(&c);
	}
	return NULL;
}

static void run_two(struct thread *a, struct thread *b)
{
	ck_assert_int_eq(pthread_create(&a->id, NULL, run, a), 0);
	ck_assert_int_eq(pthread_create(&b->id, NULL, run, b), 0);
	ck_assert_int_eq(pthread_join(a->id, NULL), 0);
	ck_assert_int_eq(pthread_join(b->id, NULL), 0);
}

START_TEST(contexts_in_two_threads_do_not_meet)
{
	struct thread h1 = {.alpn = "http/1.1"}, h2 = {.alpn = "h2"};

	run_two(&h1, &h2);
	run_two(&h2, &(struct thread){.alpn = "h2"});
}
END_TEST

/* Each thread has a server of its own, both with one certificate. */
static struct ssl_ctx_st *same_server(struct ssl_ctx_st *one)
{
	struct ssl_ctx_st *other = SSL_CTX_new(TLS_server_method());

	ck_assert_int_eq(SSL_CTX_use_certificate(other, SSL_CTX_get0_certificate(one)), 1);
	ck_assert_int_eq(SSL_CTX_use_PrivateKey(other, SSL_CTX_get0_privatekey(one)), 1);
	return other;
}

START_TEST(two_threads_may_share_their_tls_settings)
{
	struct ssl_ctx_st *one = peer_tls_server("IP:127.0.0.1", 1);
	struct ssl_ctx_st *other = same_server(one);
	struct ssl_ctx_st *client = peer_tls_client(one);
	struct thread a = {.server = one, .client = client, .alpn = "h2"};
	struct thread b = {.server = other, .client = client, .alpn = "http/1.1"};

	run_two(&a, &b);
	b.alpn = "h2";
	run_two(&a, &b);
	SSL_CTX_free(client);
	SSL_CTX_free(one);
	SSL_CTX_free(other);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		contexts_in_two_threads_do_not_meet,
		two_threads_may_share_their_tls_settings,
	};

	return run_suite("threads", tests, sizeof(tests) / sizeof(tests[0]));
}
