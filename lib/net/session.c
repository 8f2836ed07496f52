/*
 * session.c - TLS sessions that servers gave us, kept for the next handshake.
 *
 *   dial ─> session_new ─> session_offer ─> handshake ─> session_take ─> session_end
 *                              ^                             |
 *                              '────────── sessions ─────────'
 *
 * The caller's SSL_CTX is shared between threads and is the caller's: no callback and no cache
 * mode is set on it. So the link looks, after the handshake (TLS 1.2) and after its first reads
 * (TLS 1.3), whether a session has come; of several in one read it sees the last.
 *
 * One session is kept for each identity, always the newest, and it is offered as often as somebody
 * dials before a newer one comes. RFC 8446 C.4 would use each ticket once, so that nobody
 * on the way can tell that two connections come from one client; connections of a pool have their
 * address in common anyway, and several that are dialled at once would all but one pay the whole
 * handshake. cc_transport_opts.no_resumption is for whom this matters.
 *
 * OpenSSL marks a session as unusable when its connection breaks, also when the peer
 * only went without close_notify. RFC 5246 7.2.1 and RFC 8446 do not ask for that, so connections
 * have copies; a TLS error drops the session here (RFC 8446 6.2).
 */
#include <config.h>

#include <string.h>
#include <time.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "lib/base/ctx.h"
#include "lib/net/session.h"

#define LOOKS 8 /* reads; servers that give sessions do so with their first bytes */

struct identity {
	SSL_CTX *tls;
	size_t n;
	char *text; /* name, NUL, address */
};

struct kept { /* in sessions->kept */
	struct list link;
	struct identity id; /* holds a reference: nobody else gets this address */
	SSL_SESSION *session;
	char text[];
};

struct session {            /* belongs to a dial, then to its link */
	struct list link;   /* in sessions->open */
	struct identity id; /* without a reference: the SSL has one; tls NULL: forgotten */
	struct cc_ctx *ctx;
	SSL_SESSION *offered; /* NULL: none */
	unsigned looks;
	char text[];
};

struct sessions {
	struct list kept; /* the last used first */
	struct list open;
	unsigned count; /* of kept */
};

/* ---- what is kept ------------------------------------------------------ */

static struct sessions *sessions_of(struct cc_ctx *ctx)
{
	if (!ctx->sessions) {
		ctx->sessions = mem_zalloc(ctx, sizeof(*ctx->sessions));
		if (!ctx->sessions)
			return NULL;
		list_init(&ctx->sessions->kept);
		list_init(&ctx->sessions->open);
	}
	return ctx->sessions;
}

static bool same_identity(const struct identity *a, const struct identity *b)
{
	return a->tls == b->tls && a->n == b->n && memcmp(a->text, b->text, a->n) == 0;
}

static bool same_session(const SSL_SESSION *a, const SSL_SESSION *b)
{
	unsigned na, nb;
	const unsigned char *ida = SSL_SESSION_get_id(a, &na), *idb = SSL_SESSION_get_id(b, &nb);

	return na > 0 && na == nb && memcmp(ida, idb, na) == 0;
}

static struct kept *find(const struct session *s)
{
	list_each (l, tmp, &s->ctx->sessions->kept) {
		struct kept *k = container_of(l, struct kept, link);

		if (same_identity(&k->id, &s->id))
			return k;
	}
	return NULL;
}

static void drop(struct cc_ctx *ctx, struct kept *k)
{
	list_del(&k->link);
	ctx->sessions->count--;
	SSL_SESSION_free(k->session);
	SSL_CTX_free(k->id.tls);
	mem_free(ctx, k);
}

static struct kept *add(const struct session *s)
{
	struct sessions *all = s->ctx->sessions;
	struct kept *k = mem_zalloc(s->ctx, sizeof(*k) + s->id.n);

	if (!k)
		return NULL;
	if (all->count == SESSIONS_KEPT)
		drop(s->ctx, container_of(all->kept.prev, struct kept, link));
	k->id = (struct identity){s->id.tls, s->id.n, k->text};
	memcpy(k->text, s->text, s->id.n);
	SSL_CTX_up_ref(k->id.tls);
	list_add_head(&all->kept, &k->link);
	all->count++;
	return k;
}

static void keep(const struct session *s, const SSL_SESSION *fresh)
{
	SSL_SESSION *copy = s->id.tls ? SSL_SESSION_dup(fresh) : NULL;
	struct kept *k;

	if (!copy) {
		ERR_clear_error();
		return;
	}
	k = find(s);
	if (!k)
		k = add(s);
	if (!k) {
		SSL_SESSION_free(copy);
		return;
	}
	SSL_SESSION_free(k->session);
	k->session = copy;
}

/* OpenSSL 3.4 has the time of a session in a type of its own and calls the old one obsolete. */
static time_t time_of(SSL_SESSION *session)
{
#if HAVE_DECL_SSL_SESSION_GET_TIME_EX
	return SSL_SESSION_get_time_ex(session);
#else
	return SSL_SESSION_get_time(session);
#endif
}

/*
 * No certificate is verified when a session is resumed: what has expired since must go through a
 * full handshake. The timeout is the SSL_CTX's (SSL_CTX_set_timeout, 2 h) or the server's.
 */
static bool is_fresh(SSL_SESSION *session)
{
	unsigned long hint = SSL_SESSION_get_ticket_lifetime_hint(session);
	long limit = SSL_SESSION_get_timeout(session);
	time_t age = time(NULL) - time_of(session);
	X509 *peer = SSL_SESSION_get0_peer(session);

	if (hint > 0 && hint < (unsigned long)limit)
		limit = (long)hint;
	if (age < 0 || age >= limit)
		return false;
	return !peer || X509_cmp_current_time(X509_get0_notAfter(peer)) > 0;
}

/* ---- one connection ---------------------------------------------------- */

struct session *session_new(
	struct cc_ctx *ctx, struct ssl_ctx_st *tls, const char *name, const char *address)
{
	size_t name_size = strlen(name) + 1, n = name_size + strlen(address);
	struct sessions *all = sessions_of(ctx);
	struct session *s = all ? mem_zalloc(ctx, sizeof(*s) + n) : NULL;

	if (!s)
		return NULL;
	s->ctx = ctx;
	s->id = (struct identity){tls, n, s->text};
	memcpy(s->text, name, name_size);
	memcpy(s->text + name_size, address, n - name_size);
	list_add_tail(&all->open, &s->link);
	return s;
}

/* An SSL_CTX that verifies now may not have done so when this session began. */
static bool is_trusted(const SSL *ssl)
{
	return SSL_get_verify_mode(ssl) == SSL_VERIFY_NONE ||
	       SSL_get_verify_result(ssl) == X509_V_OK;
}

void session_offer(struct session *s, struct ssl_st *ssl)
{
	struct kept *k = find(s);

	if (!k)
		return;
	if (!is_fresh(k->session)) {
		drop(s->ctx, k);
		return;
	}
	list_del(&k->link);
	list_add_head(&s->ctx->sessions->kept, &k->link);

	s->offered = SSL_SESSION_dup(k->session);
	if (s->offered && SSL_set_session(ssl, s->offered) == 1 && is_trusted(ssl))
		return;
	ERR_clear_error();
	SSL_set_session(ssl, NULL);
	SSL_SESSION_free(s->offered);
	s->offered = NULL;
}

/* Nobody offers it again. */
static void give_up_offer(struct session *s)
{
	sessions_drop(s->ctx, s->offered);
	SSL_SESSION_free(s->offered);
	s->offered = NULL;
}

bool session_take(struct session *s, struct ssl_st *ssl)
{
	const SSL_SESSION *now = SSL_get0_session(ssl);

	if (s->offered && !SSL_session_reused(ssl)) /* the server did not want it */
		give_up_offer(s);
	if (now && now != s->offered && SSL_SESSION_is_resumable(now)) {
		keep(s, now);
		return true;
	}
	return SSL_version(ssl) != TLS1_3_VERSION || ++s->looks > LOOKS;
}

void session_end(struct session *s, bool good)
{
	if (!s)
		return;
	if (!good)
		give_up_offer(s);
	SSL_SESSION_free(s->offered);
	list_del(&s->link);
	mem_free(s->ctx, s);
}

/* ---- all of them ------------------------------------------------------- */

void sessions_drop(struct cc_ctx *ctx, const struct ssl_session_st *session)
{
	if (!ctx->sessions || !session)
		return;
	list_each (l, tmp, &ctx->sessions->kept) {
		struct kept *k = container_of(l, struct kept, link);

		if (same_session(k->session, session))
			drop(ctx, k);
	}
}

void sessions_forget(struct cc_ctx *ctx, const struct ssl_ctx_st *tls)
{
	if (!ctx->sessions || !tls)
		return;
	list_each (l, tmp, &ctx->sessions->kept) {
		struct kept *k = container_of(l, struct kept, link);

		if (k->id.tls == tls)
			drop(ctx, k);
	}
	list_each (o, otmp, &ctx->sessions->open) {
		struct session *s = container_of(o, struct session, link);

		if (s->id.tls == tls)
			s->id.tls = NULL;
	}
}

unsigned sessions_count(const struct cc_ctx *ctx)
{
	return ctx->sessions ? ctx->sessions->count : 0;
}

void sessions_clear(struct cc_ctx *ctx)
{
	if (!ctx->sessions)
		return;
	while (!list_empty(&ctx->sessions->kept))
		drop(ctx, container_of(ctx->sessions->kept.next, struct kept, link));
	mem_free(ctx, ctx->sessions);
	ctx->sessions = NULL;
}
