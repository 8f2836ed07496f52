/* test_session.c - which TLS sessions are kept, for whom, and when they leave. */
#include <config.h>

#include <stdlib.h>
#include <time.h>

#include <check.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "lib/net/session.h"
#include "tests/peer.h"
#include "tests/unit/ctx_fixture.h"
#include "tests/unit/run.h"

#define NAME    "api.example.test"
#define ADDRESS "api.example.test:443"

static struct ctx_fixture f;
static SSL_CTX *server, *client;

static void setup(void)
{
	fixture_begin(&f, 0);
	server = peer_tls_server("DNS:" NAME, 30);
	client = peer_tls_client(server);
}

static void teardown(void)
{
	fixture_end(&f);
	SSL_CTX_free(client);
	SSL_CTX_free(server);
}

/* ---- a connection without sockets -------------------------------------- */

struct wire {
	struct session *session;
	SSL *us, *them;
	bool works, resumed;
};

static void connect_ends(struct wire *w, SSL_CTX *tls)
{
	BIO *ours, *theirs;

	w->us = SSL_new(tls);
	w->them = SSL_new(server);
	ck_assert(w->us && w->them && BIO_new_bio_pair(&ours, 0, &theirs, 0) == 1);
	SSL_set_bio(w->us, ours, ours);
	SSL_set_bio(w->them, theirs, theirs);
	SSL_set_connect_state(w->us);
	SSL_set_accept_state(w->them);
	ck_assert_int_eq(SSL_set_tlsext_host_name(w->us, NAME), 1);
}

/* The handshake, as a link does it, and what the server says after it. */
static void shake_hands(struct wire *w)
{
	char c;

	for (int i = 0; i < 5; i++) {
		SSL_do_handshake(w->us);
		SSL_do_handshake(w->them);
	}
	w->works = SSL_is_init_finished(w->us) && SSL_is_init_finished(w->them);
	w->resumed = w->works && SSL_session_reused(w->us);
	if (w->works && !session_take(w->session, w->us)) {
		ck_assert_int_lt(SSL_read(w->us, &c, 1), 0);
		session_take(w->session, w->us);
	}
	ERR_clear_error();
}

static struct wire dial(SSL_CTX *tls, const char *name, const char *address)
{
	struct wire w = {.session = session_new(f.ctx, tls, name, address)};

	ck_assert_ptr_nonnull(w.session);
	connect_ends(&w, tls);
	session_offer(w.session, w.us);
	shake_hands(&w);
	return w;
}

/* Cut off: no end says goodbye. */
static void hang_up(struct wire *w)
{
	session_end(w->session, w->works);
	SSL_free(w->us);
	SSL_free(w->them);
}

/* One connection from its beginning to its end. Was it resumed? */
static bool resumes(SSL_CTX *tls, const char *name, const char *address)
{
	struct wire w = dial(tls, name, address);

	ck_assert(w.works);
	hang_up(&w);
	return w.resumed;
}

/* Test 0: TLS 1.2, test 1: TLS 1.3. */
static void speak(int version)
{
	int v = version ? TLS1_3_VERSION : TLS1_2_VERSION;

	SSL_CTX_set_min_proto_version(server, v);
	SSL_CTX_set_max_proto_version(server, v);
}

/* ---- identity ---------------------------------------------------------- */

START_TEST(second_connection_of_an_identity_is_resumed)
{
	speak(_i);
	ck_assert(!resumes(client, NAME, ADDRESS));
	ck_assert(resumes(client, NAME, ADDRESS));
	ck_assert(resumes(client, NAME, ADDRESS));
	ck_assert_uint_eq(sessions_count(f.ctx), 1);
}
END_TEST

START_TEST(another_name_address_or_context_shares_nothing)
{
	SSL_CTX *other = peer_tls_client(server);

	speak(_i);
	ck_assert(!resumes(client, NAME, ADDRESS));
	ck_assert(!resumes(client, "www.example.test", ADDRESS));
	ck_assert(!resumes(client, NAME, "api.example.test:8443"));
	ck_assert(!resumes(client, NAME, "unix:/api.example.test:443"));
	ck_assert(!resumes(other, NAME, ADDRESS));
	ck_assert_uint_eq(sessions_count(f.ctx), 5);
	ck_assert(resumes(client, NAME, ADDRESS));
	SSL_CTX_free(other);
}
END_TEST

START_TEST(name_and_address_are_two_things)
{
	ck_assert(!resumes(client, "a", "b:1"));
	ck_assert(!resumes(client, "ab", ":1"));
}
END_TEST

START_TEST(several_at_once_share_one_session)
{
	struct wire w[4];

	speak(_i);
	ck_assert(!resumes(client, NAME, ADDRESS));
	for (int i = 0; i < 4; i++) {
		w[i] = (struct wire){.session = session_new(f.ctx, client, NAME, ADDRESS)};
		connect_ends(&w[i], client);
		session_offer(w[i].session, w[i].us);
	}
	for (int i = 0; i < 4; i++) {
		shake_hands(&w[i]);
		ck_assert(w[i].resumed);
	}
	for (int i = 0; i < 4; i++)
		hang_up(&w[i]);
	ck_assert(resumes(client, NAME, ADDRESS));
}
END_TEST

START_TEST(newest_session_is_the_one_that_is_kept)
{
	struct wire w;
	SSL_SESSION *fresh;

	ck_assert(!resumes(client, NAME, ADDRESS));
	w = dial(client, NAME, ADDRESS);
	fresh = SSL_get1_session(w.us);
	hang_up(&w);

	w = (struct wire){.session = session_new(f.ctx, client, NAME, ADDRESS)};
	connect_ends(&w, client);
	session_offer(w.session, w.us);
	unsigned n, m;
	const unsigned char *a = SSL_SESSION_get_id(fresh, &n);
	const unsigned char *b = SSL_SESSION_get_id(SSL_get0_session(w.us), &m);
	ck_assert_uint_gt(n, 0);
	ck_assert_mem_eq(a, b, n);
	hang_up(&w);
	SSL_SESSION_free(fresh);
}
END_TEST

/* ---- what leaves ------------------------------------------------------- */

START_TEST(least_recently_used_leaves)
{
	char address[32];

	for (int i = 0; i < SESSIONS_KEPT; i++) {
		snprintf(address, sizeof(address), "host:%d", i);
		ck_assert(!resumes(client, NAME, address));
	}
	ck_assert(resumes(client, NAME, "host:0")); /* host:1 is the oldest now */
	ck_assert(!resumes(client, NAME, "one more:1"));
	ck_assert_uint_eq(sessions_count(f.ctx), SESSIONS_KEPT);
	ck_assert(resumes(client, NAME, "host:0"));
	ck_assert(resumes(client, NAME, "host:2"));
	ck_assert(!resumes(client, NAME, "host:1"));
	ck_assert_uint_eq(sessions_count(f.ctx), SESSIONS_KEPT);
}
END_TEST

/* A connection that just breaks says nothing about its session. */
START_TEST(end_without_close_notify_leaves_the_session)
{
	struct wire first, second;
	char c;

	speak(_i);
	first = dial(client, NAME, ADDRESS);
	BIO_shutdown_wr(SSL_get_wbio(first.them));
	ck_assert_int_le(SSL_read(first.us, &c, 1), 0);
	ck_assert_int_eq(SSL_SESSION_is_resumable(SSL_get0_session(first.us)), 0); /* OpenSSL's */
	hang_up(&first);
	second = dial(client, NAME, ADDRESS);
	ck_assert(second.resumed);
	BIO_shutdown_wr(SSL_get_wbio(second.them));
	ck_assert_int_le(SSL_read(second.us, &c, 1), 0);
	hang_up(&second);
	ck_assert(resumes(client, NAME, ADDRESS));
}
END_TEST

static void new_ticket_keys(void)
{
	unsigned char keys[80];
	long n = SSL_CTX_set_tlsext_ticket_keys(server, NULL, 0);

	ck_assert_int_eq(n, sizeof(keys));
	memset(keys, rand(), sizeof(keys));
	keys[0]++;
	ck_assert_int_eq(SSL_CTX_set_tlsext_ticket_keys(server, keys, n), 1);
	SSL_CTX_set_session_cache_mode(server, SSL_SESS_CACHE_OFF);
}

START_TEST(refused_session_is_replaced)
{
	speak(_i);
	ck_assert(!resumes(client, NAME, ADDRESS));
	new_ticket_keys();
	ck_assert(!resumes(client, NAME, ADDRESS)); /* full, and no error */
	ck_assert(resumes(client, NAME, ADDRESS));
}
END_TEST

START_TEST(refused_session_leaves_if_there_is_no_other)
{
	speak(_i);
	ck_assert(!resumes(client, NAME, ADDRESS));
	new_ticket_keys();
	SSL_CTX_set_num_tickets(server, 0);
	SSL_CTX_set_options(server, SSL_OP_NO_TICKET);
	ck_assert(!resumes(client, NAME, ADDRESS));
	ck_assert_uint_eq(sessions_count(f.ctx), 0);
}
END_TEST

START_TEST(unfinished_handshake_drops_what_it_offered)
{
	struct wire w = {0};

	speak(_i);
	ck_assert(!resumes(client, NAME, ADDRESS));
	w.session = session_new(f.ctx, client, NAME, ADDRESS);
	connect_ends(&w, client);
	session_offer(w.session, w.us);
	hang_up(&w);
	ck_assert_uint_eq(sessions_count(f.ctx), 0);
	ck_assert(!resumes(client, NAME, ADDRESS));
}
END_TEST

START_TEST(unfinished_handshake_leaves_what_is_newer)
{
	struct wire w = {0};

	speak(1);
	ck_assert(!resumes(client, NAME, ADDRESS));
	w.session = session_new(f.ctx, client, NAME, ADDRESS);
	connect_ends(&w, client);
	session_offer(w.session, w.us);
	ck_assert(resumes(client, NAME, ADDRESS));
	hang_up(&w);
	ck_assert(resumes(client, NAME, ADDRESS));
}
END_TEST

START_TEST(sessions_of_a_context_are_forgotten)
{
	SSL_CTX *other = peer_tls_client(server);
	struct wire w = {.session = session_new(f.ctx, client, NAME, "late:1")};

	speak(_i);
	resumes(client, NAME, ADDRESS);
	resumes(client, NAME, "second:1");
	resumes(other, NAME, ADDRESS);
	connect_ends(&w, client);
	sessions_forget(f.ctx, client);
	ck_assert_uint_eq(sessions_count(f.ctx), 1);
	ck_assert(resumes(other, NAME, ADDRESS));
	shake_hands(&w); /* its session came too late */
	ck_assert(w.works);
	hang_up(&w);
	ck_assert_uint_eq(sessions_count(f.ctx), 1);
	SSL_CTX_free(other);
}
END_TEST

/* ---- what is not offered ----------------------------------------------- */

static void set_time(SSL_SESSION *session, time_t t)
{
#if HAVE_DECL_SSL_SESSION_GET_TIME_EX
	SSL_SESSION_set_time_ex(session, t);
#else
	SSL_SESSION_set_time(session, (long)t);
#endif
}

static void age_session(long seconds)
{
	struct wire w = {.session = session_new(f.ctx, client, NAME, ADDRESS)};
	char c;

	connect_ends(&w, client);
	for (int i = 0; i < 5; i++) {
		SSL_do_handshake(w.us);
		SSL_do_handshake(w.them);
	}
	ck_assert_int_lt(SSL_read(w.us, &c, 1), 0);
	set_time(SSL_get_session(w.us), time(NULL) - seconds);
	ck_assert(session_take(w.session, w.us));
	w.works = true;
	hang_up(&w);
}

START_TEST(session_is_not_offered_after_its_lifetime)
{
	speak(_i);
	SSL_CTX_set_timeout(server, 300); /* its hint */
	age_session(200);
	ck_assert(resumes(client, NAME, ADDRESS));
	sessions_forget(f.ctx, client);
	age_session(301);
	ck_assert(!resumes(client, NAME, ADDRESS));
}
END_TEST

START_TEST(own_timeout_of_the_context_counts_too)
{
	speak(_i);
	SSL_CTX_set_timeout(client, 100);
	age_session(101);
	ck_assert(!resumes(client, NAME, ADDRESS));
}
END_TEST

START_TEST(session_of_an_expired_certificate_is_not_offered)
{
	SSL_CTX_free(server);
	server = peer_tls_server("DNS:" NAME, -1);
	SSL_CTX_set_verify(client, SSL_VERIFY_NONE, NULL);
	ck_assert(!resumes(client, NAME, ADDRESS));
	ck_assert(!resumes(client, NAME, ADDRESS));
}
END_TEST

START_TEST(session_without_verification_is_not_offered_where_it_is_wanted)
{
	SSL_CTX_free(client);
	client = peer_tls_client(NULL);
	SSL_CTX_set_verify(client, SSL_VERIFY_NONE, NULL);
	speak(_i);
	ck_assert(!resumes(client, NAME, ADDRESS));
	ck_assert(resumes(client, NAME, ADDRESS));
	SSL_CTX_set_verify(client, SSL_VERIFY_PEER, NULL);

	struct wire w = dial(client, NAME, ADDRESS);
	ck_assert(!w.works);
	ck_assert_int_ne(SSL_get_verify_result(w.us), X509_V_OK);
	hang_up(&w);
}
END_TEST

/* ---- bounds ------------------------------------------------------------ */

START_TEST(server_without_tickets_is_not_watched_for_ever)
{
	struct wire w = {.session = session_new(f.ctx, client, NAME, ADDRESS)};
	int looks = 0;

	speak(1);
	SSL_CTX_set_num_tickets(server, 0);
	connect_ends(&w, client);
	for (int i = 0; i < 5; i++) {
		SSL_do_handshake(w.us);
		SSL_do_handshake(w.them);
	}
	w.works = true;
	while (!session_take(w.session, w.us) && looks < 100)
		looks++;
	ck_assert_int_lt(looks, 20);
	ck_assert_uint_eq(sessions_count(f.ctx), 0);
	hang_up(&w);
}
END_TEST

static unsigned allocs, fail_at;

static void *count_alloc(size_t n, void *arg)
{
	(void)arg;
	return ++allocs == fail_at ? NULL : malloc(n);
}

START_TEST(short_memory_costs_a_full_handshake_only)
{
	struct session *s;

	f.ctx->mem.alloc = count_alloc;              /* beside malloc's realloc and free */
	for (fail_at = 1; fail_at <= 2; fail_at++) { /* the sessions, the connection's part */
		allocs = 0;
		ck_assert_ptr_null(session_new(f.ctx, client, NAME, ADDRESS));
		ck_assert_uint_eq(sessions_count(f.ctx), 0);
		sessions_clear(f.ctx);
	}
	allocs = 0;
	fail_at = 3; /* what is kept */
	ck_assert(!resumes(client, NAME, ADDRESS));
	ck_assert_uint_eq(allocs, 3);
	ck_assert_uint_eq(sessions_count(f.ctx), 0);
	ck_assert(!resumes(client, NAME, ADDRESS));
	ck_assert(resumes(client, NAME, ADDRESS));
	s = session_new(f.ctx, client, NAME, ADDRESS);
	session_end(s, true);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("session");
	TCase *t = tcase_create("session");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, second_connection_of_an_identity_is_resumed, 0, 2);
	tcase_add_loop_test(t, another_name_address_or_context_shares_nothing, 0, 2);
	tcase_add_test(t, name_and_address_are_two_things);
	tcase_add_loop_test(t, several_at_once_share_one_session, 0, 2);
	tcase_add_test(t, newest_session_is_the_one_that_is_kept);
	tcase_add_test(t, least_recently_used_leaves);
	tcase_add_loop_test(t, end_without_close_notify_leaves_the_session, 0, 2);
	tcase_add_loop_test(t, refused_session_is_replaced, 0, 2);
	tcase_add_loop_test(t, refused_session_leaves_if_there_is_no_other, 0, 2);
	tcase_add_loop_test(t, unfinished_handshake_drops_what_it_offered, 0, 2);
	tcase_add_test(t, unfinished_handshake_leaves_what_is_newer);
	tcase_add_loop_test(t, sessions_of_a_context_are_forgotten, 0, 2);
	tcase_add_loop_test(t, session_is_not_offered_after_its_lifetime, 0, 2);
	tcase_add_loop_test(t, own_timeout_of_the_context_counts_too, 0, 2);
	tcase_add_test(t, session_of_an_expired_certificate_is_not_offered);
	tcase_add_loop_test(
		t, session_without_verification_is_not_offered_where_it_is_wanted, 0, 2);
	tcase_add_test(t, server_without_tickets_is_not_watched_for_ever);
	tcase_add_test(t, short_memory_costs_a_full_handshake_only);
	suite_add_tcase(s, t);
	return run_suite_together(s);
}
