/*
 * link.c - one byte stream over one descriptor, in clear or in TLS.
 *
 *   readable ─> link_read ─> recv | SSL_read into the context's slab ─> in ─> on_data
 *   link_flush ─> (turn) on_flush fills out ─> sendmsg | SSL_write ─> on_written
 *
 * Reading before burying: when a write fails, what the peer had sent before is
 * read and delivered first (an early answer, a GOAWAY), then on_error comes.
 *
 * System calls are counted in microseconds of every request. A recv that
 * returned less than it was given room for emptied the kernel's buffer: no
 * second one asks before epoll reports the descriptor again.
 *
 * TLS reads ahead here, below OpenSSL, into 128 KiB that the whole context
 * shares, because OpenSSL's own read-ahead moves all that it holds to the
 * front of its buffer for every record: measured, a third of all instructions
 * of a request when 64 small answers arrive together.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>

#include <event2/event.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "lib/base/ctx.h"
#include "lib/net/io.h"
#include "lib/net/link.h"
#include "lib/net/session.h"

/* Bytes a turn, as others want to be read, too: 0.2 ms of decrypting and passing on. */
#define READ_BUDGET  262144u
#define AHEAD        131072u
#define STARVED_MS   50
#define WRITE_SLICES 64
#define GATHER_MAX   4096
#define TLS_RECORD   16384u

static void link_read(struct link *l);

/* ---- the BIO below TLS ------------------------------------------------- */

/* What one recv brought for OpenSSL. Empty between two calls of link_read. */
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

static size_t take_raw(struct link *l, char *buf, size_t n)
{
	size_t part = cc_buf_peek(&l->raw, buf, n);

	cc_buf_drain(&l->raw, part);
	return part;
}

static int bio_read(BIO *bio, char *buf, int n)
{
	struct link *l = BIO_get_data(bio);
	struct ahead *a = l->ctx->ahead;
	ssize_t got;

	BIO_clear_retry_flags(bio);
	if (l->raw.len > 0)
		return (int)take_raw(l, buf, (size_t)n);
	if (a->pos < a->len)
		return take_ahead(a, buf, (size_t)n);
	if (l->drained) {
		BIO_set_retry_read(bio);
		return -1;
	}
	do
		got = l->io->recv(l->fd, a->bytes, AHEAD);
	while (got < 0 && errno == EINTR);

	if (got <= 0) {
		l->fin = got == 0;
		if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
			l->drained = true;
			BIO_set_retry_read(bio);
		}
		return (int)got;
	}
	l->drained = (size_t)got < AHEAD;
	a->pos = 0;
	a->len = (size_t)got;
	return take_ahead(a, buf, (size_t)n);
}

static bool ahead_holds(const struct link *l)
{
	return l->ctx->ahead->pos < l->ctx->ahead->len;
}

/* What OpenSSL did not take yet stays with the link; the shared bytes are free for others. */
static int keep_ahead(struct link *l)
{
	struct ahead *a = l->ctx->ahead;
	int err = 0;

	if (a->pos < a->len)
		err = cc_buf_add(&l->raw, a->bytes + a->pos, a->len - a->pos);
	a->pos = a->len = 0;
	return err;
}

/* Has it read something from the kernel that it did not tell yet? */
static bool holds_bytes(const struct link *l)
{
	return l->raw.len > 0 || (l->ssl && SSL_has_pending(l->ssl));
}

/*
 * An idle connection holds no buffers. SSL_MODE_RELEASE_BUFFERS would do the same,
 * but gives 17 KiB back and asks for them again at every record of a turn.
 */
static void release_buffers(struct link *l)
{
	if (l->ssl && l->state == LINK_OPEN)
		SSL_free_buffers(l->ssl); /* refuses while they hold something */
}

static int bio_write(BIO *bio, const char *buf, int n)
{
	struct link *l = BIO_get_data(bio);
	struct iovec iov = {(void *)(uintptr_t)buf, (size_t)n};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	ssize_t put;

	BIO_clear_retry_flags(bio);
	do
		put = l->io->sendmsg(l->fd, &msg);
	while (put < 0 && errno == EINTR);

	if (put < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		BIO_set_retry_write(bio);
	return (int)put;
}

static long bio_ctrl(BIO *bio, int cmd, long num, void *ptr)
{
	(void)bio, (void)num, (void)ptr;
	return cmd == BIO_CTRL_FLUSH;
}

static BIO *bio_for(struct link *l)
{
	struct cc_ctx *ctx = l->ctx;
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
	BIO_set_data(bio, l);
	BIO_set_init(bio, 1);
	return bio;
}

void link_ctx_clear(struct cc_ctx *ctx)
{
	if (ctx->bio)
		BIO_meth_free(ctx->bio);
	ctx->bio = NULL;
	mem_free(ctx, ctx->ahead);
	ctx->ahead = NULL;
}

/* ---- ends -------------------------------------------------------------- */

static void stop_events(struct link *l)
{
	event_del(&l->rd);
	event_del(&l->wr);
	timer_stop(&l->again);
}

/* RFC 8446 6.2: a connection that failed takes its sessions with it. */
static void spoil_session(struct link *l)
{
	if (l->ssl)
		sessions_drop(l->ctx, SSL_get0_session(l->ssl));
	session_end(l->session, false);
	l->session = NULL;
}

static void look_for_session(struct link *l)
{
	if (!l->session || !session_take(l->session, l->ssl))
		return;
	session_end(l->session, true);
	l->session = NULL;
}

/* Broken in both directions. */
static void broken(struct link *l, int err)
{
	if (err == CC_ETLS)
		spoil_session(l);
	l->state = LINK_BROKEN;
	stop_events(l);
	turn_cancel(&l->flush);
	l->ops->on_error(l, err);
}

static void broken_errno(struct link *l, int err, const char *doing)
{
	char text[64];

	/* The GNU function may return a constant instead of filling text. */
	snprintf(l->detail, sizeof(l->detail), "%s: %s", doing,
		strerror_r(errno, text, sizeof(text)));
	broken(l, err);
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
static bool tls_lacked_memory(void)
{
	bool lacked = errno == ENOMEM;
	unsigned long e;

	while ((e = ERR_get_error()) != 0)
		lacked |= ERR_GET_REASON(e) == ERR_R_MALLOC_FAILURE;
	return lacked;
}

/* What went wrong, for people; CC_ENOMEM or CC_ETLS. */
static int tls_error(struct link *l, const char *doing)
{
	const char *reason = ERR_reason_error_string(ERR_peek_last_error());
	bool lacked = tls_lacked_memory();

	if (lacked)
		reason = "out of memory";
	snprintf(l->detail, sizeof(l->detail), "%s: %s", doing,
		reason ? reason : "connection broke");
	return lacked ? CC_ENOMEM : CC_ETLS;
}

static void got_eof(struct link *l, bool clean)
{
	l->eof = true;
	event_del(&l->rd);
	if (l->write_broken && l->write_err != CC_EIO) {
		broken(l, l->write_err);
		return;
	}
	l->ops->on_eof(l, clean); /* the end of a message may be the end of the stream */
	if (l->write_broken && l->state == LINK_OPEN)
		broken(l, l->write_err);
}

/* ---- reading ----------------------------------------------------------- */

enum got { GOT_BYTES, GOT_NOTHING, GOT_END };

static enum got read_clear(struct link *l, char *room, size_t n, size_t *len)
{
	ssize_t got;

	if (l->raw.len > 0) {
		*len = take_raw(l, room, n);
		return GOT_BYTES;
	}
	if (l->drained)
		return GOT_NOTHING;
	do
		got = l->io->recv(l->fd, room, n);
	while (got < 0 && errno == EINTR);

	if (got > 0) {
		l->drained = (size_t)got < n;
		*len = (size_t)got;
		return GOT_BYTES;
	}
	if (got == 0) {
		got_eof(l, true);
		return GOT_END;
	}
	if (errno == EAGAIN || errno == EWOULDBLOCK) {
		l->drained = true;
		return GOT_NOTHING;
	}
	broken_errno(l, CC_EIO, "read");
	return GOT_END;
}

/* RFC 8446 6.1: only close_notify ends a TLS stream; anything else may be an attack or a crash. */
static enum got tls_end(struct link *l, int ssl_err)
{
	unsigned long e = ERR_peek_last_error();

	if (ssl_err == SSL_ERROR_ZERO_RETURN) {
		got_eof(l, true);
		return GOT_END;
	}
	if ((ssl_err == SSL_ERROR_SSL && ERR_GET_REASON(e) == SSL_R_UNEXPECTED_EOF_WHILE_READING) ||
		(ssl_err == SSL_ERROR_SYSCALL && errno == 0 && l->fin)) {
		ERR_clear_error();
		l->write_broken = false;
		l->shut_done = true; /* OpenSSL takes nothing more for this session */
		cc_buf_clear(&l->out);
		got_eof(l, false);
		return GOT_END;
	}
	if (ssl_err == SSL_ERROR_SYSCALL && errno == 0)
		errno = ENOMEM; /* neither the kernel nor the peer: it says nothing else */
	if (ssl_err == SSL_ERROR_SYSCALL && errno != ENOMEM) {
		ERR_clear_error();
		broken_errno(l, CC_EIO, "read");
		return GOT_END;
	}
	broken(l, tls_error(l, "TLS"));
	return GOT_END;
}

static enum got read_tls(struct link *l, char *room, size_t n, size_t *len)
{
	if (l->drained && !ahead_holds(l) && !holds_bytes(l))
		return GOT_NOTHING; /* asking OpenSSL for nothing costs as much as a record */
	clear_errors();
	errno = 0;
	if (SSL_read_ex(l->ssl, room, n, len) == 1)
		return GOT_BYTES;

	int ssl_err = SSL_get_error(l->ssl, 0);

	if (ssl_err == SSL_ERROR_WANT_READ)
		return GOT_NOTHING;
	if (ssl_err == SSL_ERROR_WANT_WRITE) { /* a key update's answer does not fit */
		event_add(&l->wr, NULL);
		return GOT_NOTHING;
	}
	return tls_end(l, ssl_err);
}

/* Others hold the memory: the kernel holds these bytes until some of it came back. */
static void starve(struct link *l)
{
	l->starved = true;
	event_del(&l->rd);
	timer_start(l->ctx, &l->again, STARVED_MS);
}

/* Reads until the budget or the bytes are used up. The owner may close l in any callback. */
static void read_loop(struct link *l)
{
	size_t total = 0;

	while (l->state == LINK_OPEN && !l->paused && !l->eof && total < READ_BUDGET) {
		size_t room, n = 0;
		char *p;
		enum got got;

		if (slabs_pressure(&l->ctx->slabs) >= l->read_until) {
			starve(l);
			return;
		}
		p = buf_read_room(l->ctx, &room);
		if (!p) {
			snprintf(l->detail, sizeof(l->detail), "read: buffer memory used up");
			broken(l, CC_ENOMEM);
			return;
		}
		got = l->ssl ? read_tls(l, p, room, &n) : read_clear(l, p, room, &n);
		if (got == GOT_END)
			return;
		if (got == GOT_NOTHING) {
			if (l->write_broken)
				broken(l, l->write_err);
			return;
		}
		if (buf_read_commit(&l->in, n) < 0) {
			broken(l, CC_ENOMEM);
			return;
		}
		total += n;
		l->ops->on_data(l);
	}
	if (l->state != LINK_OPEN || l->paused || l->eof)
		return;
	if (l->ssl || l->write_broken ||
		l->raw.len > 0) /* epoll does not know what was read ahead */
		timer_start(l->ctx, &l->again, 0);
}

static void link_read(struct link *l)
{
	read_loop(l);
	if (!l->ssl)
		return;
	look_for_session(l);
	if (keep_ahead(l) < 0 && l->state == LINK_OPEN)
		broken(l, CC_ENOMEM);
	release_buffers(l);
}

static void handshake(struct link *l);

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct link *l = arg;

	(void)fd, (void)what;
	l->drained = false;
	if (l->state == LINK_HANDSHAKE)
		handshake(l);
	else
		link_read(l);
}

static void on_again(struct timer *t)
{
	struct link *l = container_of(t, struct link, again);

	if (l->starved) {
		l->starved = false;
		l->drained = false;
		event_add(&l->rd, NULL);
	}
	if (l->write_broken)
		l->drained = false;
	link_read(l);
}

/* ---- writing ----------------------------------------------------------- */

/*
 * A head and a small body in two slices are sent as one: to copy them costs less than it costs the
 * kernel to read a list of slices.
 */
static ssize_t write_clear(struct link *l)
{
	char tmp[GATHER_MAX];
	struct iovec iov[WRITE_SLICES];
	struct msghdr msg = {.msg_iov = iov};
	ssize_t put;

	if (l->out.len <= sizeof(tmp)) {
		iov[0].iov_base = (void *)(uintptr_t)buf_gather(&l->out, tmp, l->out.len);
		iov[0].iov_len = l->out.len;
		msg.msg_iovlen = 1;
	} else {
		msg.msg_iovlen = (size_t)cc_buf_iov(&l->out, iov, WRITE_SLICES);
	}
	do
		put = l->io->sendmsg(l->fd, &msg);
	while (put < 0 && errno == EINTR);
	if (put < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return 0;
	return put;
}

/*
 * One record. A repeated SSL_write must offer at least the bytes of the first
 * one: out only grows at its end, and n only with it.
 */
static ssize_t write_tls(struct link *l)
{
	char tmp[TLS_RECORD];
	size_t n = l->out.len < TLS_RECORD ? l->out.len : TLS_RECORD;
	size_t put = 0;

	clear_errors();
	errno = 0;
	if (SSL_write_ex(l->ssl, buf_gather(&l->out, tmp, n), n, &put) == 1)
		return (ssize_t)put;

	switch (SSL_get_error(l->ssl, 0)) {
	case SSL_ERROR_WANT_WRITE:
	case SSL_ERROR_WANT_READ:
		return 0;
	case SSL_ERROR_SYSCALL:
		return -1;
	default:
		if (tls_error(l, "TLS write") == CC_ENOMEM)
			l->write_err = CC_ENOMEM;
		errno = 0;
		return -1;
	}
}

/* The peer may have answered before it went: read that first, then report. */
static void write_failed(struct link *l)
{
	char text[64];

	if (l->detail[0] == '\0' || errno != 0)
		snprintf(l->detail, sizeof(l->detail), "write: %s",
			strerror_r(errno, text, sizeof(text)));
	if (l->write_err == 0)
		l->write_err = CC_EIO;
	cc_buf_clear(&l->out);
	event_del(&l->wr);
	if (l->eof || (l->paused && !l->patient)) {
		broken(l, l->write_err);
		return;
	}
	l->write_broken = true;
	if (!l->paused)
		timer_start(l->ctx, &l->again, 0);
}

static void send_fin(struct link *l)
{
	if (l->shut_done)
		return;
	l->shut_done = true;
	if (l->ssl) {
		ERR_clear_error();
		SSL_shutdown(
			l->ssl); /* queues close_notify; a full socket loses it, FIN comes anyway */
		ERR_clear_error();
	}
	l->io->shutdown(l->fd, SHUT_WR);
}

/* Writes what the kernel takes. false: broken or blocked. */
static bool write_some(struct link *l, size_t *total)
{
	while (l->out.len > 0) {
		ssize_t put = l->ssl ? write_tls(l) : write_clear(l);

		if (put < 0)
			return false;
		cc_buf_drain(&l->out, (size_t)put);
		*total += (size_t)put;
		if (put == 0)
			break;
	}
	return true;
}

static void link_write(struct link *l)
{
	size_t total = 0;

	if (l->write_broken || l->shut_done) {
		cc_buf_clear(&l->out);
		return;
	}
	if (!write_some(l, &total)) {
		int error = errno;

		/* What left before tells the owner that it is on the wire: it was not "surely unsent". */
		if (total > 0 && l->ops->on_written)
			l->ops->on_written(l, total);
		if (l->state != LINK_OPEN)
			return;
		errno = error;
		write_failed(l);
		return;
	}
	if (l->out.len > 0)
		event_add(&l->wr, NULL);
	else if (l->shut)
		send_fin(l);
	release_buffers(l);
	if (total > 0 && l->ops->on_written)
		l->ops->on_written(l, total);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct link *l = arg;

	(void)fd, (void)what;
	if (l->state == LINK_HANDSHAKE)
		handshake(l);
	else if (l->state == LINK_OPEN)
		link_flush(l);
}

static void flush_run(struct turn_item *item)
{
	struct link *l = container_of(item, struct link, flush);

	if (l->state != LINK_OPEN)
		return;
	if (l->ops->on_flush)
		l->ops->on_flush(l);
	if (l->state != LINK_OPEN || event_pending(&l->wr, EV_WRITE, NULL))
		return;
	link_write(l);
}

/* ---- handshake --------------------------------------------------------- */

static void shake_hands(struct link *l)
{
	int rc;

	clear_errors();
	errno = 0;
	rc = SSL_do_handshake(l->ssl);
	if (rc == 1) {
		l->state = LINK_OPEN;
		look_for_session(l);
		l->ops->on_open(l);
		if (l->state == LINK_OPEN && l->out.len > 0)
			link_flush(l);
		return;
	}
	switch (SSL_get_error(l->ssl, rc)) {
	case SSL_ERROR_WANT_READ:
		return;
	case SSL_ERROR_WANT_WRITE:
		event_add(&l->wr, NULL);
		return;
	case SSL_ERROR_SYSCALL:
		if (errno != 0 && errno != ENOMEM) {
			broken_errno(l, CC_ETLS, "TLS handshake");
			return;
		}
		if (errno == 0) {
			snprintf(l->detail, sizeof(l->detail),
				"TLS handshake: peer closed the connection");
			broken(l, CC_ETLS);
			return;
		}
		break;
	default:
		break;
	}
	broken(l, tls_error(l, "TLS handshake"));
}

static void handshake(struct link *l)
{
	shake_hands(l);
	if (keep_ahead(l) < 0 && l->state < LINK_BROKEN)
		broken(l, CC_ENOMEM);
	if (l->state == LINK_OPEN && !l->paused && holds_bytes(l))
		timer_start(l->ctx, &l->again, 0); /* the server spoke at once */
}

/* ---- life -------------------------------------------------------------- */

int link_new(struct cc_ctx *ctx, int fd, struct ssl_st *ssl, const struct link_ops *ops,
	void *owner, struct link **ret)
{
	struct link *l = mem_zalloc(ctx, sizeof(*l));

	if (!l)
		return CC_ENOMEM;
	l->ctx = ctx;
	l->fd = fd;
	l->ops = ops;
	l->owner = owner;
	l->io = ctx->io ? ctx->io : &io_system;
	l->read_until = 90;
	cc_buf_init(&l->in, ctx);
	cc_buf_init(&l->out, ctx);
	cc_buf_init(&l->raw, ctx);
	turn_item_init(&l->flush, flush_run);
	timer_init(&l->again, on_again);
	event_assign(&l->rd, ctx->base, fd, EV_READ | EV_PERSIST, on_readable, l);
	event_assign(&l->wr, ctx->base, fd, EV_WRITE, on_writable, l);

	if (ssl) {
		BIO *bio;

		l->ssl = ssl;
		bio = bio_for(l);
		if (!bio)
			goto fail;
		SSL_set_bio(ssl, bio, bio);
		/* It would need writes to go on with reading; RFC 9113 9.2.1 forbids it anyway. */
		SSL_set_options(ssl, SSL_OP_NO_RENEGOTIATION);
		SSL_set_mode(
			ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
		SSL_set_read_ahead(ssl, 0);
		SSL_set_default_read_buffer_len(ssl, 0);
		SSL_clear_mode(ssl, SSL_MODE_RELEASE_BUFFERS); /* see release_buffers */
	}
	if (event_add(&l->rd, NULL) < 0)
		goto fail;
	if (ssl) {
		l->state = LINK_HANDSHAKE;
		if (event_add(&l->wr, NULL) < 0) /* the client speaks first */
			goto fail;
	} else {
		l->state = LINK_OPEN;
	}
	*ret = l;
	return 0;

fail:
	stop_events(l);
	if (ssl)
		SSL_set_bio(ssl, NULL, NULL);
	mem_free(ctx, l);
	return CC_ENOMEM;
}

void link_set_owner(struct link *l, const struct link_ops *ops, void *owner)
{
	l->ops = ops;
	l->owner = owner;
}

int link_put_back(struct link *l, struct cc_buf *from)
{
	if (from->len == 0)
		return 0;
	if (cc_buf_move(&l->raw, from, from->len) < 0)
		return CC_ENOMEM;
	if (l->state == LINK_OPEN) /* a handshake looks there before it asks the kernel */
		timer_start(l->ctx, &l->again, 0);
	return 0;
}

void link_flush(struct link *l)
{
	if (l->state == LINK_OPEN)
		turn_add(l->ctx, TURN_FLUSH, &l->flush);
}

void link_shutdown(struct link *l)
{
	l->shut = true;
	link_flush(l);
}

void link_pause(struct link *l, bool paused)
{
	if (l->paused == paused)
		return;
	l->paused = paused;
	l->starved = false;
	if (l->state != LINK_OPEN || l->eof)
		return;
	if (paused) {
		event_del(&l->rd);
		timer_stop(&l->again);
		return;
	}
	event_add(&l->rd, NULL);
	if (holds_bytes(l) || l->write_broken)
		timer_start(l->ctx, &l->again, 0);
}

static short poll_now(const struct link *l)
{
	struct pollfd p = {.fd = l->fd, .events = POLLIN};

	return poll(&p, 1, 0) == 1 ? p.revents : 0;
}

bool link_peer_gone(const struct link *l)
{
	return l->state != LINK_OPEN || (poll_now(l) & (POLLHUP | POLLERR));
}

bool link_readable(const struct link *l)
{
	return l->state == LINK_OPEN && (poll_now(l) & POLLIN);
}

bool link_unread(const struct link *l)
{
	return !l->drained || holds_bytes(l) || (l->ssl && ahead_holds(l));
}

void link_read_now(struct link *l)
{
	if (l->state != LINK_OPEN || l->paused || l->eof || l->starved)
		return;
	l->drained = false;
	link_read(l);
}

bool link_blocked(const struct link *l)
{
	return event_pending(&l->wr, EV_WRITE, NULL);
}

void link_close(struct link *l)
{
	size_t total = 0;

	if (l->state == LINK_CLOSED)
		return;
	stop_events(l);
	turn_cancel(&l->flush);
	if (l->state == LINK_HANDSHAKE)
		spoil_session(l);
	if (l->state == LINK_OPEN && !l->write_broken && !l->shut_done) {
		if (write_some(l, &total) && l->out.len == 0)
			send_fin(l);
	}
	l->state = LINK_CLOSED;
	l->io->close(l->fd);
	l->fd = -1;
	cc_buf_clear(&l->out);
}

int link_detach(struct link *l)
{
	int fd = l->fd;

	stop_events(l);
	turn_cancel(&l->flush);
	l->state = LINK_CLOSED;
	l->fd = -1;
	return fd;
}

void link_abort(struct link *l)
{
	struct linger now = {.l_onoff = 1};

	if (l->state == LINK_CLOSED)
		return;
	setsockopt(l->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	l->shut_done = true; /* no farewell */
	link_close(l);
}

void link_free(struct link *l)
{
	if (!l)
		return;
	link_close(l);
	cc_buf_clear(&l->out); /* a driver may have been writing when it was closed */
	cc_buf_clear(&l->in);
	cc_buf_clear(&l->raw);
	session_end(l->session, true);
	if (l->ssl)
		SSL_free(l->ssl);
	mem_free(l->ctx, l);
}
