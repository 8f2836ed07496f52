/*
 * link_wire.c - bytes over one descriptor in clear, and what every way of it shares.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "lib/base/ctx.h"
#include "lib/net/io.h"
#include "lib/net/link_wire.h"

#define WRITE_SLICES 64
#define GATHER_MAX   4096

/* ---- for each way ------------------------------------------------------ */

bool wire_would_block(void)
{
	return errno == EAGAIN || errno == EWOULDBLOCK;
}

/*
 * The kernel tells of a reset once. When a write has met it, the read behind it returns 0, as it
 * does behind a FIN; but only behind EPIPE was there one.
 */
static bool was_reset(const struct wire *w)
{
	return w->send_errno != 0 && w->send_errno != EPIPE;
}

ssize_t wire_recv(struct wire *w, void *buf, size_t n)
{
	ssize_t got;

	do
		got = w->io->recv(w->fd, buf, n);
	while (got < 0 && errno == EINTR);

	if (got > 0)
		w->drained = (size_t)got < n;
	else if (got < 0 && wire_would_block())
		w->drained = true;
	if (got == 0 && was_reset(w)) {
		errno = w->send_errno;
		return -1;
	}
	return got;
}

ssize_t wire_send(struct wire *w, const struct msghdr *msg)
{
	ssize_t put;

	do
		put = w->io->sendmsg(w->fd, msg);
	while (put < 0 && errno == EINTR);
	if (put < 0 && !wire_would_block() && !w->send_errno)
		w->send_errno = errno;
	return put;
}

size_t wire_take_raw(struct wire *w, char *buf, size_t n)
{
	size_t part = cc_buf_peek(&w->raw, buf, n);

	cc_buf_drain(&w->raw, part);
	return part;
}

enum wire_result wire_broken(struct wire *w, int err, const char *doing)
{
	char text[64];

	/* The GNU function may return a constant instead of filling text. */
	snprintf(w->detail, sizeof(w->detail), "%s: %s", doing,
		strerror_r(errno, text, sizeof(text)));
	w->err = err;
	return WIRE_BROKEN;
}

/* ---- in clear ---------------------------------------------------------- */

static enum wire_result clear_read(struct wire *w, char *room, size_t n, size_t *len)
{
	ssize_t got;

	if (w->raw.len > 0) {
		*len = wire_take_raw(w, room, n);
		return WIRE_OK;
	}
	if (w->drained)
		return WIRE_AGAIN;
	got = wire_recv(w, room, n);
	if (got > 0) {
		*len = (size_t)got;
		return WIRE_OK;
	}
	if (got == 0)
		return WIRE_EOF;
	return wire_would_block() ? WIRE_AGAIN : wire_broken(w, CC_EIO, "read");
}

/*
 * A head and a small body in two slices are sent as one: to copy them costs less than it costs the
 * kernel to read a list of slices.
 */
static enum wire_result clear_write(struct wire *w, struct cc_buf *out, size_t *put)
{
	char tmp[GATHER_MAX];
	struct iovec iov[WRITE_SLICES];
	struct msghdr msg = {.msg_iov = iov};
	ssize_t sent;

	if (out->len <= sizeof(tmp)) {
		iov[0].iov_base = (void *)(uintptr_t)buf_gather(out, tmp, out->len);
		iov[0].iov_len = out->len;
		msg.msg_iovlen = 1;
	} else {
		msg.msg_iovlen = (size_t)cc_buf_iov(out, iov, WRITE_SLICES);
	}
	sent = wire_send(w, &msg);
	if (sent < 0)
		return wire_would_block() ? WIRE_AGAIN : wire_broken(w, CC_EIO, "write");
	*put = (size_t)sent;
	return WIRE_OK;
}

static bool clear_pending(const struct wire *w)
{
	return w->raw.len > 0;
}

static int clear_read_end(struct wire *w)
{
	(void)w;
	return 0;
}

static void clear_nothing(struct wire *w)
{
	(void)w;
}

const struct wire_ops wire_clear = {
	.read = clear_read,
	.write = clear_write,
	.shut = clear_nothing,
	.pending = clear_pending,
	.read_end = clear_read_end,
	.release = clear_nothing,
	.free = clear_nothing,
};
