/* test_corners.c - where two things meet that seldom do: each once went wrong. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/ssl.h>

#include "lib/base/ctx.h"
#include "lib/conn/conn.h"
#include "tests/conn/fixture.h"

static void expire(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	*(bool *)arg = true;
}

/* How often does the loop wake up in so many milliseconds? */
static unsigned wakeups(struct event_base *base, unsigned ms)
{
	struct timeval tv = {0, (suseconds_t)ms * 1000};
	bool over = false;
	unsigned n = 0;

	event_base_once(base, -1, EV_TIMEOUT, expire, &over, &tv);
	for (; !over; n++)
		event_base_loop(base, EVLOOP_ONCE);
	return n;
}

/* ---- TLS ---------------------------------------------------------------- */

START_TEST(renegotiation_that_the_server_begins_is_declined)
{
	struct client c;
	struct probe p = {0};
	struct peer *peer = peer_unix(event_base_new());
	struct ssl_ctx_st *server = peer_tls_server("DNS:api.example.test", 30);
	struct ssl_ctx_st *client = peer_tls_client(server);
	struct cc_transport_opts o = {.tls = client, .tls_name = "api.example.test"};

	SSL_CTX_set_max_proto_version(server, TLS1_2_VERSION);
	peer_use_tls(peer, server, "http/1.1");
	client_open(&c, peer, "https", CC_OFFER_H1, &o);
	wait_state(&c, CC_READY);
	peer_accept(peer);
	post(&c, &p, "/", NULL);
	expect_request(&c, "POST / ");
	ck_assert_int_eq(SSL_renegotiate(peer->ssl), 1);
	ck_assert_int_eq(SSL_do_handshake(peer->ssl), 1); /* HelloRequest */
	peer_stall(peer, true);                           /* its ServerHello would never come */
	turns(c.base, 3);
	ck_assert_int_eq(send_body(&p, "hello", true), 0);
	ck_assert_uint_lt(wakeups(c.base, 100), 50);
	SSL_CTX_free(server);
	SSL_CTX_free(client);
	client_close(&c);
}
END_TEST

/* ---- HTTP/1.1 ------------------------------------------------------------ */

/* ---- HTTP/2 ---------------------------------------------------------------- */

/* ---- both ------------------------------------------------------------------- */

int main(void)
{
	const TTest *const tests[] = {
		renegotiation_that_the_server_begins_is_declined,
	};

	return run_suite("corners", tests, sizeof(tests) / sizeof(tests[0]));
}
