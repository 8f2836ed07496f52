/*
 * test_oom.c - each allocation fails in turn, those of the context (nghttp2's
 * among them) and those of OpenSSL: what was asked works nevertheless, or ends
 * with an error; nothing hangs, and nothing stays behind.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "tests/fault/scenario.h"

/* ---- OpenSSL's memory ---------------------------------------------------- */

static struct {
	bool on; /* the code under test is at work, unless the peer is */
	bool fail_on;
	unsigned long allocs, fail_at;
	long live;
} tls_memory;

static bool tls_fails(void)
{
	if (!tls_memory.on || peer_at_work)
		return false;
	tls_memory.allocs++;
	if (tls_memory.fail_at == 0 || tls_memory.allocs < tls_memory.fail_at)
		return false;
	if (tls_memory.allocs > tls_memory.fail_at && !tls_memory.fail_on)
		return false;
	errno = ENOMEM;
	return true;
}

static void *tls_alloc(size_t n, const char *file, int line)
{
	void *p;

	(void)file, (void)line;
	p = n == 0 || tls_fails() ? NULL : malloc(n);
	tls_memory.live += p != NULL;
	return p;
}

static void tls_release(void *p, const char *file, int line)
{
	(void)file, (void)line;
	tls_memory.live -= p != NULL;
	free(p);
}

static void *tls_resize(void *p, size_t n, const char *file, int line)
{
	void *q;

	if (!p)
		return tls_alloc(n, file, line);
	if (n == 0) {
		tls_release(p, file, line);
		return NULL;
	}
	q = tls_fails() ? NULL : realloc(p, n);
	return q;
}

/* ---- runs ----------------------------------------------------------------- */

static void run_oom(struct run *r, const struct scenario *s, const struct way *way)
{
	tls_memory.on = true;
	run_begin(r, s, way);
	run_until_over(r);
	tls_memory.on = false;
	run_end(r);
}

static bool is_memory_error(const struct run *r, int err)
{
	switch (err) {
	case 0:
	case CC_ENOMEM:
		return true;
	case CC_ETLS:  /* in the middle of a handshake OpenSSL does not always name it, */
	case CC_ECERT: /* nor when it cannot read a certificate */
		return tls_memory.fail_at > 0 && r->origin.requests == 0;
	case CC_EREFUSED: /* the scenario's own, or nghttp2 had no memory to encode it */
	case CC_EGOAWAY:
	case CC_ERESET:
		return r->s->h2;
	case CC_ECLOSED: /* another one was given up */
	case CC_ECANCELED:
		return r->s->asks_n > 1 && r->conn_err != 0;
	case CC_EPROTO: /* the peer answers a stream that never began */
		return r->s->h2 && run_never_sent(r) > 0;
	default:
		return false;
	}
}

static bool is_memory_end(const struct run *r)
{
	return is_memory_error(r, r->conn_err) || r->conn_err == CC_ECLOSED;
}

static void check_oom(const struct run *r, const struct run *whole)
{
	run_check_ends(r, whole);
	ck_assert_msg(is_memory_end(r), "%s, OpenSSL's allocation %lu: %d, %s", run_text(r),
		tls_memory.fail_at, r->conn_err, r->detail);
	for (unsigned i = 0; i < r->s->asks_n; i++) {
		int err = r->refused[i] ? r->refused[i] : r->probes[i].result.err;

		ck_assert_msg(is_memory_error(r, err),
			"%s, OpenSSL's allocation %lu: request %u: error %d, %s", run_text(r),
			tls_memory.fail_at, i, err, r->detail);
	}
}

/* The first, the second, ... of the context's allocations fails, until there are not so many. */
static void fail_context(const struct scenario *s, struct way way)
{
	struct run whole, r;
	bool reached = true;

	run_oom(&whole, s, &way);
	for (way.oom_at = 1; reached; way.oom_at++) {
		ck_assert_uint_lt(way.oom_at, 3000);
		run_begin(&r, s, &way);
		run_until_over(&r);
		reached = r.c.memory->allocs >= way.oom_at;
		run_end(&r);
		check_oom(&r, &whole);
		if (!reached)
			for (unsigned i = 0; i < s->asks_n; i++)
				ck_assert(run_is_same(&r, &whole, i));
		run_forget(&r);
	}
	run_forget(&whole);
	ck_assert_uint_gt(way.oom_at, 10);
}

static void fail_context_in(enum scenario_id id, struct way way)
{
	struct scenario *s = scenario_new(id);

	fail_context(s, way);
	way.oom_on = true;
	fail_context(s, way);
	scenario_free(s);
}

START_TEST(each_allocation_of_a_context_may_fail)
{
	for (enum scenario_id id = 0; id < SCENARIO_COUNT; id++)
		fail_context_in(id, (struct way){0});
}
END_TEST

START_TEST(each_allocation_of_a_context_may_fail_over_tls)
{
	struct way tls = way_tls();

	fail_context_in(SCENARIO_H1_TWO, tls);
	fail_context_in(SCENARIO_H2_POST, tls);
	way_free(&tls);
}
END_TEST

START_TEST(resolving_a_name_may_lack_memory)
{
	fail_context_in(SCENARIO_H1_GET, (struct way){.tcp = true, .by_name = true});
}
END_TEST

START_TEST(a_request_that_reserved_may_lack_memory)
{
	fail_context_in(SCENARIO_H1_TWO, (struct way){.reserve = true});
	fail_context_in(SCENARIO_H2_TWO, (struct way){.reserve = true});
}
END_TEST

START_TEST(giving_up_may_lack_memory)
{
	fail_context_in(SCENARIO_H1_TWO, (struct way){.give_up = true});
	fail_context_in(SCENARIO_H1_LARGE, (struct way){.give_up = true});
	fail_context_in(SCENARIO_H2_TWO, (struct way){.give_up = true});
	fail_context_in(SCENARIO_H2_LARGE, (struct way){.give_up = true});
}
END_TEST

/* ---- OpenSSL --------------------------------------------------------------- */

static void fail_tls_at(const struct scenario *s, const struct way *way, const struct run *whole,
	unsigned long n, bool on)
{
	struct run r;

	tls_memory.allocs = 0;
	tls_memory.fail_at = n;
	tls_memory.fail_on = on;
	run_oom(&r, s, way);
	check_oom(&r, whole);
	run_forget(&r);
	ERR_clear_error();
}

#define KEPT_BY_OPENSSL 16 /* blocks of caches that are made once in a process; 3.0: seven */

/* Every so many allocations one, or all behind it, fails. What is lost, LeakSanitizer tells. */
static void fail_tls(enum scenario_id id, const struct way *way, bool on, unsigned long step)
{
	struct scenario *s = scenario_new(id);
	struct run whole;
	unsigned long n = 1;
	long live;

	for (int i = 0; i < 3; i++) {
		run_oom(&whole, s, way);
		if (i < 2)
			run_forget(&whole);
	}
	live = tls_memory.live;
	do {
		fail_tls_at(s, way, &whole, n, on);
		n += step;
	} while (tls_memory.allocs >= n - step);
	ck_assert_uint_gt(n, 500);
	ck_assert_int_lt(tls_memory.live - live, KEPT_BY_OPENSSL);
	run_forget(&whole);
	scenario_free(s);
}

static struct way way_counted(void)
{
	struct way tls = way_tls();

	/* The server's cache of sessions would grow with each run. */
	SSL_CTX_set_session_cache_mode(tls.server, SSL_SESS_CACHE_OFF);
	return tls;
}

START_TEST(each_allocation_of_openssl_may_fail)
{
	struct way tls = way_counted();

	fail_tls(SCENARIO_H1_GET, &tls, false, 1);
	way_free(&tls);
}
END_TEST

START_TEST(each_allocation_of_openssl_may_fail_under_http_2)
{
	struct way tls = way_counted();

	fail_tls(SCENARIO_H2_POST, &tls, false, 3);
	way_free(&tls);
}
END_TEST

START_TEST(openssl_may_have_no_memory_from_then_on)
{
	struct way tls = way_counted();

	fail_tls(SCENARIO_H1_GET, &tls, true, 5);
	way_free(&tls);
}
END_TEST

/* The server's certificate is unknown to the client, and no lack of memory makes it known. */
START_TEST(lack_of_memory_makes_no_certificate_good)
{
	struct way tls = way_counted();
	struct scenario *s = scenario_new(SCENARIO_H1_GET);
	struct run r;
	unsigned long n = 1;

	SSL_CTX_free(tls.trust);
	tls.trust = peer_tls_client(NULL);
	do {
		tls_memory.allocs = 0;
		tls_memory.fail_at = n;
		run_oom(&r, s, &tls);
		ck_assert_int_eq(r.probes[0].heads, 0);
		ck_assert(!r.origin.seen[0]);
		ck_assert(r.refused[0] < 0 || r.probes[0].result.unprocessed);
		run_forget(&r);
		ERR_clear_error();
		n += 5;
	} while (tls_memory.allocs >= n - 5);
	ck_assert_uint_gt(n, 300);
	scenario_free(s);
	way_free(&tls);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		each_allocation_of_a_context_may_fail,
		each_allocation_of_a_context_may_fail_over_tls,
		resolving_a_name_may_lack_memory,
		a_request_that_reserved_may_lack_memory,
		giving_up_may_lack_memory,
		each_allocation_of_openssl_may_fail,
		each_allocation_of_openssl_may_fail_under_http_2,
		openssl_may_have_no_memory_from_then_on,
		lack_of_memory_makes_no_certificate_good,
	};

	if (CRYPTO_set_mem_functions(tls_alloc, tls_resize, tls_release) != 1)
		return 1;
	return run_suite("oom", tests, sizeof(tests) / sizeof(tests[0]));
}
