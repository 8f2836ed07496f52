/*
 * session.h - TLS sessions that servers gave us: the next handshake with the
 * same server is shorter.
 *
 * A server is the same if three things are: the SSL_CTX (trust, own certificate, versions), the
 * verified name, and the address as it was dialled or, where the numeric addresses were given apart
 * from the name, the port alone. What is kept is bounded, the least recently used leaves; memory
 * that is short costs a full handshake and no error.
 */
#ifndef CC_SESSION_H
#define CC_SESSION_H

#include <stdbool.h>

struct cc_ctx;
struct session;
struct ssl_ctx_st;
struct ssl_session_st;
struct ssl_st;

#define SESSIONS_KEPT 64 /* a context */

/* One connection's part: what it offers, and what it waits for. NULL: it does without. */
struct session *session_new(
	struct cc_ctx *ctx, struct ssl_ctx_st *tls, const char *name, const char *address);
/* Before the handshake. */
void session_offer(struct session *s, struct ssl_st *ssl);
/*
 * After the handshake, and after reads (TLS 1.3 servers give sessions whenever they like).
 * True: nothing more is expected, session_end may come.
 */
bool session_take(struct session *s, struct ssl_st *ssl);
/* good false: the handshake did not finish, what was offered is not offered again. NULL is fine. */
void session_end(struct session *s, bool good);

/* This one is not offered again. NULL is fine. */
void sessions_drop(struct cc_ctx *ctx, const struct ssl_session_st *session);
/* None of this SSL_CTX is kept, nor will be from connections that exist now. */
void sessions_forget(struct cc_ctx *ctx, const struct ssl_ctx_st *tls);
unsigned sessions_count(const struct cc_ctx *ctx);
/* Gives back what hangs on the context. */
void sessions_clear(struct cc_ctx *ctx);

#endif
