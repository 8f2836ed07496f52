/*
 * link_tls.c - a wire in TLS: OpenSSL between the link and the descriptor.
 *
 *   tls_read ─> SSL_read ─> bio_read ─> raw | shared bytes read ahead | recv
 *   tls_write ─> SSL_write, a record ─> bio_write ─> sendmsg
 *
 * Reads ahead are made here, below OpenSSL, into 128 KiB that the whole context shares, because
 * OpenSSL's own read-ahead moves all that it holds to the front of its buffer for every record:
 * measured, a third of all instructions of a request when 64 small answers arrive together.
 *
 * Sessions: looked for after reads, as servers give them when they like; a connection that fails
 * takes its own with it (RFC 8446 6.2).
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "lib/base/ctx.h"
#include "lib/net/link_tls.h"
#include "lib/net/session.h"

#define AHEAD      131072u
#define TLS_RECORD 16384u

/* ---- below OpenSSL ----------------------------------------------------- */

/* What one recv brought for OpenSSL. Empty but between a read and its read_end. */
struct ahead {
	size_t pos, len;
	char bytes[AHEAD];
};

static int take_ahead(struct ahead *a, char *buf, size_t n)
{
	if (n > a->len - a->pos)
		n = a->len - a->pos;
	memcpy(buf, a->bytes + a->pos, n);
	a->pos += n;
	return (int)n;
}

static int bio_read(BIO *bio, char *buf, int n)
{
	struct wire *w = BIO_get_data(bio);
	struct ahead *a = w->ctx->ahead;
	ssize_t got;

	BIO_clear_retry_flags(bio);
	if (w->raw.len > 0)
		return (int)wire_take_raw(w, buf, (size_t)n);
	if (a->pos < a->len)
		return take_ahead(a, buf, (size_t)n);
	if (w->drained) {
		BIO_set_retry_read(bio);
		return -1;
	}
	got = wire_recv(w, a->bytes, AHEAD);
	if (got <= 0) {
		w->fin = got == 0;
		if (got < 0 && wire_would_block())
			BIO_set_retry_read(bio);
		return (int)got;
	}
	a->pos = 0;
	a->len = (size_t)got;
	return take_ahead(a, buf, (size_t)n);
}

static int bio_write(BIO *bio, const char *buf, int n)
{
	struct wire *w = BIO_get_data(bio);
	struct iovec iov = {(void *)(uintptr_t)buf, (size_t)n};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	ssize_t put;

	BIO_clear_retry_flags(bio);
	put = wire_send(w, &msg);
	if (put < 0 && wire_would_block())
		BIO_set_retry_write(bio);
	return (int)put;
}

static long bio_ctrl(BIO *bio, int cmd, long num, void *ptr)
{
	(void)bio, (void)num, (void)ptr;
	return cmd == BIO_CTRL_FLUSH;
}

static BIO *bio_for(struct wire *w)
{
	struct cc_ctx *ctx = w->ctx;
	BIO *bio;

	if (!ctx->ahead)
		ctx->ahead = mem_zalloc(ctx, sizeof(*ctx->ahead));
	if (!ctx->ahead)
		return NULL;
	if (!ctx->bio) {
		ctx->bio = BIO_meth_new(BIO_TYPE_SOURCE_SINK | BIO_get_new_index(), "link");
		if (!ctx->bio)
			return NULL;
		BIO_meth_set_read(ctx->bio, bio_read);
		BIO_meth_set_write(ctx->bio, bio_write);
		BIO_meth_set_ctrl(ctx->bio, bio_ctrl);
	}
	bio = BIO_new(ctx->bio);
	if (!bio)
		return NULL;
	BIO_set_data(bio, w);
	BIO_set_init(bio, 1);
	return bio;
}

void wire_tls_ctx_clear(struct cc_ctx *ctx)
{
	if (ctx->bio)
		BIO_meth_free(ctx->bio);
	ctx->bio = NULL;
	mem_free(ctx, ctx->ahead);
	ctx->ahead = NULL;
}

int wire_tls_start(struct wire *w)
{
	BIO *bio = bio_for(w);

	if (!bio)
		return CC_ENOMEM;
	SSL_set_bio(w->ssl, bio, bio);
	/* It would need writes to go on with reading; RFC 9113 9.2.1 forbids it anyway. */
	SSL_set_options(w->ssl, SSL_OP_NO_RENEGOTIATION);
	SSL_set_mode(w->ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_set_read_ahead(w->ssl, 0);
	SSL_set_default_read_buffer_len(w->ssl, 0);
	SSL_clear_mode(w->ssl, SSL_MODE_RELEASE_BUFFERS); /* see tls_release */
	return 0;
}

/* ---- sessions and errors ----------------------------------------------- */

/* RFC 8446 6.2: a connection that failed takes its sessions with it. */
static void spoil_session(struct wire *w)
{
	sessions_drop(w->ctx, SSL_get0_session(w->ssl));
	session_end(w->session, false);
	w->session = NULL;
}

static void look_for_session(struct wire *w)
{
	if (!w->session || !w->shaken || !session_take(w->session, w->ssl))
		return;
	session_end(w->session, true);
	w->session = NULL;
}

/*
 * SSL_get_error looks at the thread's error queue, where somebody else may have left
 * something. Asking is cheaper than clearing what is empty.
 */
static void clear_errors(void)
{
	if (ERR_peek_error() != 0)
		ERR_clear_error();
}

/* OpenSSL tells of a lack of memory somewhere in its queue, or nowhere but in errno. */
static bool lacked_memory(void)
{
	bool lacked = errno == ENOMEM;
	unsigned long e;

	while ((e = ERR_get_error()) != 0)
		lacked |= ERR_GET_REASON(e) == ERR_R_MALLOC_FAILURE;
	return lacked;
}

/* What OpenSSL says went wrong, for people; err is CC_ENOMEM or the other one. */
static enum wire_result tls_broken(struct wire *w, int other, const char *doing)
{
	const char *reason = ERR_reason_error_string(ERR_peek_last_error());
	bool lacked = lacked_memory();

	if (lacked)
		reason = "out of memory";
	snprintf(w->detail, sizeof(w->detail), "%s: %s", doing,
		reason ? reason : "connection broke");
	w->err = lacked ? CC_ENOMEM : other;
	return WIRE_BROKEN;
}

/* The stream itself failed, not only one direction of it. */
static enum wire_result tls_failed(struct wire *w, const char *doing)
{
	tls_broken(w, CC_ETLS, doing);
	if (w->err == CC_ETLS)
		spoil_session(w);
	return WIRE_BROKEN;
}

/* ---- the calls --------------------------------------------------------- */

static enum wire_result shake_failed(struct wire *w, int ssl_err)
{
	if (ssl_err != SSL_ERROR_SYSCALL || errno == ENOMEM)
		return tls_failed(w, "TLS handshake");
	if (errno != 0)
		wire_broken(w, CC_ETLS, "TLS handshake");
	else
		snprintf(w->detail, sizeof(w->detail), "TLS handshake: peer closed the connection");
	w->err = CC_ETLS;
	spoil_session(w);
	return WIRE_BROKEN;
}

static enum wire_result tls_shake(struct wire *w)
{
	int rc;

	clear_errors();
	errno = 0;
	rc = SSL_do_handshake(w->ssl);
	if (rc == 1) {
		w->shaken = true;
		return WIRE_OK;
	}

	int ssl_err = SSL_get_error(w->ssl, rc);

	if (ssl_err == SSL_ERROR_WANT_READ)
		return WIRE_AGAIN;
	return ssl_err == SSL_ERROR_WANT_WRITE ? WIRE_WANT_WRITE : shake_failed(w, ssl_err);
}

/* Between runs of reads, when nothing is in the bytes that all share. */
static bool tls_pending(const struct wire *w)
{
	return w->raw.len > 0 || SSL_has_pending(w->ssl);
}

/* RFC 8446 6.1: only close_notify ends a TLS stream; anything else may be an attack or a crash. */
static enum wire_result tls_end(struct wire *w, int ssl_err)
{
	unsigned long e = ERR_peek_last_error();

	if (ssl_err == SSL_ERROR_ZERO_RETURN)
		return WIRE_EOF;
	if ((ssl_err == SSL_ERROR_SSL && ERR_GET_REASON(e) == SSL_R_UNEXPECTED_EOF_WHILE_READING) ||
		(ssl_err == SSL_ERROR_SYSCALL && errno == 0 && w->fin)) {
		ERR_clear_error();
		return WIRE_CUT;
	}
	if (ssl_err == SSL_ERROR_SYSCALL && errno == 0)
		errno = ENOMEM; /* neither the kernel nor the peer: it says nothing else */
	if (ssl_err == SSL_ERROR_SYSCALL && errno != ENOMEM) {
		ERR_clear_error();
		return wire_broken(w, CC_EIO, "read");
	}
	return tls_failed(w, "TLS");
}

static enum wire_result tls_read(struct wire *w, char *room, size_t n, size_t *len)
{
	const struct ahead *a = w->ctx->ahead;

	if (w->drained && a->pos == a->len && !tls_pending(w))
		return WIRE_AGAIN; /* asking OpenSSL for nothing costs as much as a record */
	clear_errors();
	errno = 0;
	if (SSL_read_ex(w->ssl, room, n, len) == 1)
		return WIRE_OK;

	int ssl_err = SSL_get_error(w->ssl, 0);

	if (ssl_err == SSL_ERROR_WANT_READ)
		return WIRE_AGAIN;
	if (ssl_err == SSL_ERROR_WANT_WRITE) /* a key update's answer does not fit */
		return WIRE_WANT_WRITE;
	return tls_end(w, ssl_err);
}

/* What OpenSSL did not take yet stays with the wire; the shared bytes are free for others. */
static int tls_read_end(struct wire *w)
{
	struct ahead *a = w->ctx->ahead;
	int err = 0;

	look_for_session(w);
	if (a->pos < a->len)
		err = cc_buf_add(&w->raw, a->bytes + a->pos, a->len - a->pos);
	a->pos = a->len = 0;
	return err;
}

/*
 * One record. A repeated SSL_write must offer at least the bytes of the first
 * one: out only grows at its end, and n only with it.
 */
static enum wire_result tls_write(struct wire *w, struct cc_buf *out, size_t *put)
{
	char tmp[TLS_RECORD];
	size_t n = out->len < TLS_RECORD ? out->len : TLS_RECORD;

	clear_errors();
	errno = 0;
	if (SSL_write_ex(w->ssl, buf_gather(out, tmp, n), n, put) == 1)
		return WIRE_OK;

	switch (SSL_get_error(w->ssl, 0)) {
	case SSL_ERROR_WANT_WRITE:
	case SSL_ERROR_WANT_READ:
		return WIRE_AGAIN;
	case SSL_ERROR_SYSCALL:
		return wire_broken(w, CC_EIO, "write");
	default:
		return tls_broken(w, CC_EIO, "TLS write");
	}
}

static void tls_shut(struct wire *w)
{
	if (!w->shaken) {
		spoil_session(w);
		return;
	}
	ERR_clear_error();
	/* Queues close_notify; a full socket loses it, FIN comes anyway. */
	SSL_shutdown(w->ssl);
	ERR_clear_error();
}

/*
 * An idle connection holds no buffers. SSL_MODE_RELEASE_BUFFERS would do the same,
 * but gives 17 KiB back and asks for them again at every record of a turn.
 */
static void tls_release(struct wire *w)
{
	SSL_free_buffers(w->ssl); /* refuses while they hold something */
}

static void tls_free(struct wire *w)
{
	session_end(w->session, true);
	SSL_free(w->ssl);
}

const struct wire_ops wire_tls = {
	.shake = tls_shake,
	.read = tls_read,
	.write = tls_write,
	.shut = tls_shut,
	.pending = tls_pending,
	.read_end = tls_read_end,
	.release = tls_release,
	.free = tls_free,
	.reads_ahead = true,
};
