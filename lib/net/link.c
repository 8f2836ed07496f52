/*
 * link.c - one byte stream over one descriptor: when it is read and written, and how it ends.
 *
 *   readable ─> link_read ─> wire read into the context's slab ─> in ─> on_data
 *   link_flush ─> (turn) on_flush fills out ─> wire write ─> on_written
 *
 * How the bytes get through the descriptor, in clear or in TLS, is the wire's (link_wire.h).
 *
 * Reading before burying: when a write fails, what the peer had sent before is
 * read and delivered first (an early answer, a GOAWAY), then on_error comes.
 *
 * System calls are counted in microseconds of every request. A recv that
 * returned less than it was given room for emptied the kernel's buffer: no
 * second one asks before epoll reports the descriptor again.
 */
#include <poll.h>
#include <stdio.h>

#include <event2/event.h>

#include "lib/base/ctx.h"
#include "lib/net/io.h"
#include "lib/net/link.h"
#include "lib/net/link_tls.h"

/* Bytes a turn, as others want to be read, too: 0.2 ms of decrypting and passing on. */
#define READ_BUDGET   262144u
#define LOW_MEMORY_MS 50

/* ---- ends -------------------------------------------------------------- */

static void stop_events(struct link *l)
{
	event_del(&l->rd);
	event_del(&l->wr);
	timer_stop(&l->again);
}

/* Broken in both directions. */
static void broken(struct link *l, int err)
{
	l->state = LINK_BROKEN;
	stop_events(l);
	turn_cancel(&l->flush);
	l->ops->on_error(l, err);
}

static void got_eof(struct link *l, bool clean)
{
	l->eof = true;
	event_del(&l->rd);
	if (l->writing == LINK_OUT_FAILED && l->write_err != CC_EIO) {
		broken(l, l->write_err);
		return;
	}
	l->ops->on_eof(l, clean); /* the end of a message may be the end of the stream */
	if (l->writing == LINK_OUT_FAILED && l->state == LINK_OPEN)
		broken(l, l->write_err);
}

/* ---- reading ----------------------------------------------------------- */

/* Others hold the memory: the kernel holds these bytes until some of it came back. */
static void starve(struct link *l)
{
	l->low_memory = true;
	event_del(&l->rd);
	timer_start(l->ctx, &l->again, LOW_MEMORY_MS);
}

/* The wire gave no bytes. */
static void read_nothing(struct link *l, enum wire_result why)
{
	switch (why) {
	case WIRE_EOF:
		got_eof(l, true);
		return;
	case WIRE_CUT:
		l->writing = LINK_OUT_ENDED;
		cc_buf_clear(&l->out);
		got_eof(l, false);
		return;
	case WIRE_BROKEN:
		broken(l, l->wire.err);
		return;
	case WIRE_WANT_WRITE:
		event_add(&l->wr, NULL);
		break;
	default:
		break;
	}
	if (l->writing == LINK_OUT_FAILED)
		broken(l, l->write_err);
}

/* Reads until the budget or the bytes are used up. The owner may close l in any callback. */
static void read_loop(struct link *l)
{
	size_t total = 0;

	while (l->state == LINK_OPEN && !l->paused && !l->eof && total < READ_BUDGET) {
		size_t room, n = 0;
		char *p;
		enum wire_result got;

		if (slabs_pressure(&l->ctx->slabs) >= l->read_until) {
			starve(l);
			return;
		}
		p = buf_read_room(l->ctx, &room);
		if (!p) {
			snprintf(l->wire.detail, sizeof(l->wire.detail),
				"read: buffer memory used up");
			broken(l, CC_ENOMEM);
			return;
		}
		got = l->wire.ops->read(&l->wire, p, room, &n);
		if (got != WIRE_OK) {
			read_nothing(l, got);
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
	/* epoll does not know what was read ahead */
	if (l->wire.ops->reads_ahead || l->writing == LINK_OUT_FAILED || l->wire.raw.len > 0)
		timer_start(l->ctx, &l->again, 0);
}

static void link_read(struct link *l)
{
	read_loop(l);
	if (l->wire.ops->read_end(&l->wire) < 0 && l->state == LINK_OPEN)
		broken(l, CC_ENOMEM);
	if (l->state == LINK_OPEN)
		l->wire.ops->release(&l->wire);
}

static void handshake(struct link *l);

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct link *l = arg;

	(void)fd, (void)what;
	l->wire.drained = false;
	if (l->state == LINK_HANDSHAKE)
		handshake(l);
	else
		link_read(l);
}

static void on_again(struct timer *t)
{
	struct link *l = container_of(t, struct link, again);

	if (l->low_memory) {
		l->low_memory = false;
		l->wire.drained = false;
		event_add(&l->rd, NULL);
	}
	if (l->writing == LINK_OUT_FAILED)
		l->wire.drained = false;
	link_read(l);
}

/* ---- writing ----------------------------------------------------------- */

/* The peer may have answered before it went: read that first, then report. */
static void write_failed(struct link *l)
{
	l->write_err = l->wire.err;
	cc_buf_clear(&l->out);
	event_del(&l->wr);
	if (l->eof || (l->paused && !l->read_before_fail)) {
		broken(l, l->write_err);
		return;
	}
	l->writing = LINK_OUT_FAILED;
	if (!l->paused)
		timer_start(l->ctx, &l->again, 0);
}

static void send_fin(struct link *l)
{
	l->writing = LINK_OUT_ENDED;
	l->wire.ops->shut(&l->wire);
	l->wire.io->shutdown(l->wire.fd, SHUT_WR);
}

/* Writes what the kernel takes. false: broken or blocked. */
static bool write_some(struct link *l, size_t *total)
{
	while (l->out.len > 0) {
		size_t put = 0;

		if (l->wire.ops->write(&l->wire, &l->out, &put) == WIRE_BROKEN)
			return false;
		cc_buf_drain(&l->out, put);
		*total += put;
		if (put == 0)
			break;
	}
	return true;
}

static void link_write(struct link *l)
{
	size_t total = 0;

	if (l->writing >= LINK_OUT_ENDED) {
		cc_buf_clear(&l->out);
		return;
	}
	if (!write_some(l, &total)) {
		/* What went out before was not "surely unsent": the owner has to know. */
		if (total > 0 && l->ops->on_written)
			l->ops->on_written(l, total);
		if (l->state != LINK_OPEN)
			return;
		write_failed(l);
		return;
	}
	if (l->out.len > 0)
		event_add(&l->wr, NULL);
	else if (l->writing == LINK_OUT_ENDING)
		send_fin(l);
	l->wire.ops->release(&l->wire);
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

static void opened(struct link *l)
{
	l->state = LINK_OPEN;
	l->ops->on_open(l);
	if (l->state == LINK_OPEN && l->out.len > 0)
		link_flush(l);
}

static void handshake(struct link *l)
{
	switch (l->wire.ops->shake(&l->wire)) {
	case WIRE_OK:
		opened(l);
		break;
	case WIRE_WANT_WRITE:
		event_add(&l->wr, NULL);
		break;
	case WIRE_BROKEN:
		broken(l, l->wire.err);
		break;
	default:
		break;
	}
	if (l->wire.ops->read_end(&l->wire) < 0 && l->state < LINK_BROKEN)
		broken(l, CC_ENOMEM);
	if (l->state == LINK_OPEN && !l->paused && l->wire.ops->pending(&l->wire))
		timer_start(l->ctx, &l->again, 0); /* the server spoke at once */
}

/* ---- life -------------------------------------------------------------- */

static void wire_init(struct wire *w, struct cc_ctx *ctx, int fd, struct ssl_st *ssl)
{
	w->ops = ssl ? &wire_tls : &wire_clear;
	w->ctx = ctx;
	w->io = ctx->io ? ctx->io : &io_system;
	w->fd = fd;
	w->ssl = ssl;
	cc_buf_init(&w->raw, ctx);
}

static int start(struct link *l)
{
	if (event_add(&l->rd, NULL) < 0)
		return CC_ENOMEM;
	if (!l->wire.ops->shake)
		return 0;
	if (event_add(&l->wr, NULL) < 0) /* the client speaks first */
		return CC_ENOMEM;
	return wire_tls_start(&l->wire);
}

int link_new(struct cc_ctx *ctx, int fd, struct ssl_st *ssl, const struct link_ops *ops,
	void *owner, struct link **ret)
{
	struct link *l = mem_zalloc(ctx, sizeof(*l));

	if (!l)
		return CC_ENOMEM;
	l->ctx = ctx;
	l->ops = ops;
	l->owner = owner;
	l->read_until = 90;
	wire_init(&l->wire, ctx, fd, ssl);
	cc_buf_init(&l->in, ctx);
	cc_buf_init(&l->out, ctx);
	turn_item_init(&l->flush, flush_run);
	timer_init(&l->again, on_again);
	event_assign(&l->rd, ctx->base, fd, EV_READ | EV_PERSIST, on_readable, l);
	event_assign(&l->wr, ctx->base, fd, EV_WRITE, on_writable, l);
	l->state = ssl ? LINK_HANDSHAKE : LINK_OPEN;
	if (start(l) < 0) {
		stop_events(l);
		mem_free(ctx, l);
		return CC_ENOMEM;
	}
	*ret = l;
	return 0;
}

void link_ctx_clear(struct cc_ctx *ctx)
{
	wire_tls_ctx_clear(ctx);
}

const char *link_detail(const struct link *l)
{
	return l->wire.detail;
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
	if (cc_buf_move(&l->wire.raw, from, from->len) < 0)
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
	if (l->writing == LINK_OUT_OPEN)
		l->writing = LINK_OUT_ENDING;
	link_flush(l);
}

void link_pause(struct link *l, bool paused)
{
	if (l->paused == paused)
		return;
	l->paused = paused;
	l->low_memory = false;
	if (l->state != LINK_OPEN || l->eof)
		return;
	if (paused) {
		event_del(&l->rd);
		timer_stop(&l->again);
		return;
	}
	event_add(&l->rd, NULL);
	if (l->wire.ops->pending(&l->wire) || l->writing == LINK_OUT_FAILED)
		timer_start(l->ctx, &l->again, 0);
}

static short poll_now(const struct link *l)
{
	struct pollfd p = {.fd = l->wire.fd, .events = POLLIN};

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
	return !l->wire.drained || l->wire.ops->pending(&l->wire);
}

void link_read_now(struct link *l)
{
	if (l->state != LINK_OPEN || l->paused || l->eof || l->low_memory)
		return;
	l->wire.drained = false;
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
		l->wire.ops->shut(&l->wire);
	if (l->state == LINK_OPEN && l->writing < LINK_OUT_ENDED) {
		if (write_some(l, &total) && l->out.len == 0)
			send_fin(l);
	}
	l->state = LINK_CLOSED;
	l->wire.io->close(l->wire.fd);
	l->wire.fd = -1;
	cc_buf_clear(&l->out);
}

int link_detach(struct link *l)
{
	int fd = l->wire.fd;

	stop_events(l);
	turn_cancel(&l->flush);
	l->state = LINK_CLOSED;
	l->wire.fd = -1;
	return fd;
}

void link_abort(struct link *l)
{
	struct linger now = {.l_onoff = 1};

	if (l->state == LINK_CLOSED)
		return;
	setsockopt(l->wire.fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	l->writing = LINK_OUT_ENDED; /* no farewell */
	link_close(l);
}

void link_free(struct link *l)
{
	if (!l)
		return;
	link_close(l);
	cc_buf_clear(&l->out); /* a driver may have been writing when it was closed */
	cc_buf_clear(&l->in);
	cc_buf_clear(&l->wire.raw);
	l->wire.ops->free(&l->wire);
	mem_free(l->ctx, l);
}
