/* wire.c - what the connections of this process have read. */
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>

#include <clientconn/buf.h>

#include "lib/base/slab.h"
#include "tests/conn/wire.h"

#define FRAMES 16
#define SLICES 64
#define SHOWN  24 /* bytes of each payload */

struct frame {
	unsigned length, type, flags, stream;
	unsigned char bytes[SHOWN];
};

static struct {
	const struct cc_buf *of; /* the connection that the frames are of: the last one that read */
	bool h2;
	unsigned char head[9];
	size_t head_len, left; /* bytes of the frame's payload that are still to come */
	struct frame frames[FRAMES];
	unsigned count; /* of frames ever; the last FRAMES are there */
	char tail[256];
	size_t tail_len;
	char text[FRAMES * 160 + sizeof("bytes: ") + 4 * 256];
} wire;

void wire_begin(bool h2)
{
	memset(&wire, 0, sizeof(wire));
	wire.h2 = h2;
}

/* RFC 9113 4.1 */
static void begin_frame(void)
{
	const unsigned char *h = wire.head;
	struct frame *f = &wire.frames[wire.count++ % FRAMES];

	*f = (struct frame){
		.length = (unsigned)h[0] << 16 | (unsigned)h[1] << 8 | h[2],
		.type = h[3],
		.flags = h[4],
		.stream =
			((unsigned)h[5] << 24 | (unsigned)h[6] << 16 | (unsigned)h[7] << 8 | h[8]) &
			0x7fffffffu,
	};
	wire.left = f->length;
	wire.head_len = 0;
}

static size_t take_payload(const char *p, size_t n)
{
	struct frame *f = &wire.frames[(wire.count - 1) % FRAMES];
	size_t at = f->length - wire.left, part = n < wire.left ? n : wire.left;

	for (size_t i = 0; i < part && at + i < SHOWN; i++)
		f->bytes[at + i] = (unsigned char)p[i];
	wire.left -= part;
	return part;
}

static void take_frames(const char *p, size_t n)
{
	while (n > 0) {
		size_t part = 1;

		if (wire.left > 0) {
			part = take_payload(p, n);
		} else {
			wire.head[wire.head_len++] = (unsigned char)*p;
			if (wire.head_len == sizeof(wire.head))
				begin_frame();
		}
		p += part;
		n -= part;
	}
}

static void take_tail(const char *p, size_t n)
{
	size_t most = sizeof(wire.tail), keep;

	if (n > most) {
		p += n - most;
		n = most;
	}
	keep = wire.tail_len < most - n ? wire.tail_len : most - n;
	memmove(wire.tail, wire.tail + wire.tail_len - keep, keep);
	memcpy(wire.tail + keep, p, n);
	wire.tail_len = keep + n;
}

static void take(const char *p, size_t n)
{
	if (wire.h2)
		take_frames(p, n);
	take_tail(p, n);
}

int __real_buf_read_commit(struct cc_buf *b, size_t n);
int __wrap_buf_read_commit(struct cc_buf *b, size_t n);

int __wrap_buf_read_commit(struct cc_buf *b, size_t n)
{
	int err = __real_buf_read_commit(b, n);
	size_t before = b->len - n; /* meaningless if it failed */
	struct iovec iov[SLICES];
	int slices = err == 0 ? cc_buf_iov(b, iov, SLICES) : 0;

	if (b != wire.of) { /* another connection begins with a frame of its own */
		wire_begin(wire.h2);
		wire.of = b;
	}
	for (int i = 0; i < slices; i++) {
		size_t skip = before < iov[i].iov_len ? before : iov[i].iov_len;

		before -= skip;
		take((const char *)iov[i].iov_base + skip, iov[i].iov_len - skip);
	}
	return err;
}

static size_t write_frame(char *at, size_t room, const struct frame *f)
{
	static const char *const types[] = {"DATA", "HEADERS", "PRIORITY", "RST_STREAM", "SETTINGS",
		"PUSH_PROMISE", "PING", "GOAWAY", "WINDOW_UPDATE", "CONTINUATION"};
	size_t shown = f->length < SHOWN ? f->length : SHOWN;
	size_t n = (size_t)snprintf(at, room, "%s stream=%u flags=%#x length=%u",
		f->type < 10 ? types[f->type] : "unknown", f->stream, f->flags, f->length);

	for (size_t i = 0; i < shown; i++)
		n += (size_t)snprintf(at + n, room - n, "%s%02x", i ? "" : ": ", f->bytes[i]);
	n += (size_t)snprintf(at + n, room - n, "\n");
	return n;
}

const char *wire_seen(void)
{
	size_t n = 0, room = sizeof(wire.text);

	wire.text[0] = '\0';
	for (unsigned i = wire.count > FRAMES ? wire.count - FRAMES : 0; i < wire.count; i++)
		n += write_frame(wire.text + n, room - n, &wire.frames[i % FRAMES]);
	if (wire.h2)
		return wire.text;
	n += (size_t)snprintf(wire.text + n, room - n, "bytes: ");
	for (size_t i = 0; i < wire.tail_len; i++) {
		unsigned char c = (unsigned char)wire.tail[i];

		n += (size_t)snprintf(
			wire.text + n, room - n, c < ' ' || c > '~' ? "\\x%02x" : "%c", c);
	}
	return wire.text;
}
