/*
 * fuzz_h2_client.c - an HTTP/2 client connection and a server that sends
 * frames and raw bytes as the input says (client.h). What the client sends is
 * looked at frame by frame.
 */
#include <string.h>

#include <clientconn.h>

#include "tests/fuzz/client.h"
#include "tests/fuzz/fuzz_ctx.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

enum { DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE };

enum { END_STREAM = 1, ACK = 1, END_HEADERS = 4 };

/* ---- the server says ----------------------------------------------------- */

static void say_frame(uint8_t type, uint8_t flags, uint8_t stream, const void *p, size_t n)
{
	uint8_t head[9] = {0, (uint8_t)(n >> 8), (uint8_t)n, type, flags, 0, 0, 0, stream};

	say(head, sizeof(head));
	if (n > 0)
		say(p, n);
}

/* Odd streams are ours, an even one is the connection's or wrong. */
static uint8_t stream_of(uint8_t b)
{
	return b & 0x80 ? b & 0x7f : (uint8_t)(2 * (b % FUZZ_REQUESTS) + 1);
}

static void server_step(struct script *s, uint8_t what)
{
	static const char zeros[256];
	static const char *const heads[] = {"\x88", "\x89", "\x8b", "\x8d",
		"\x08\x03"
		"103",
		"\x88\x0f\x0d\x01"
		"8",
		"\x08\x03"
		"101",
		"\x88\x0f\x0d\x02"
		"16"};
	uint8_t a = take(s), b = take(s);
	struct script part;

	switch (what % 7) {
	case 0: { /* any frame */
		uint8_t stream = take(s);

		part = take_some(s, take(s));
		say_frame(a, b, stream & 0x40 ? stream_of(stream) : stream & 0x3f, part.p, part.n);
		break;
	}
	case 1: /* anything */
		part = take_some(s, a);
		say(part.p, part.n);
		break;
	case 2: /* the head of an answer, or trailers */
		say_frame(HEADERS, END_HEADERS | (b >> 7), stream_of(a), heads[b % 8],
			strlen(heads[b % 8]));
		break;
	case 3:
		say_frame(DATA, b >> 7, stream_of(a), zeros, b & 0x7f);
		break;
	case 4: { /* SETTINGS: streams, window */
		uint8_t settings[12] = {0, 3, 0, 0, 0, a, 0, 4, 0, 0, b, 0};

		say_frame(SETTINGS, 0, 0, settings, sizeof(settings));
		break;
	}
	case 5: { /* GOAWAY */
		uint8_t goaway[8] = {0, 0, 0, stream_of(a), 0, 0, 0, b};

		say_frame(GOAWAY, 0, 0, goaway, sizeof(goaway));
		break;
	}
	case 6: /* a flood */
		for (unsigned i = 0; i < 8u * a; i++)
			say_frame(b & 1 ? SETTINGS : PING, 0, 0, zeros, b & 1 ? 0 : 8);
		break;
	}
}

/* ---- the server hears ---------------------------------------------------- */

static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

enum stream_state { IDLE, OPEN, HALF_CLOSED, RESET };

static struct {
	size_t preface; /* bytes of it that came */
	uint8_t head[9];
	size_t n, left; /* bytes of the head that came, of the payload that are to come */
	bool settings;  /* the first frame was one */
	unsigned last;  /* stream */
	uint8_t streams[2 * FUZZ_REQUESTS + 2]; /* stream_state */
} heard;

/* RFC 9113 5.1, 5.1.1: the client's streams are odd and rise. */
static void hear_headers(unsigned id, uint8_t flags)
{
	uint8_t *stream = &heard.streams[id];

	FUZZ_ASSERT(flags & END_HEADERS);
	if (*stream == IDLE) {
		FUZZ_ASSERT(id % 2 == 1 && id > heard.last);
		heard.last = id;
		*stream = OPEN;
	} else {
		FUZZ_ASSERT(*stream == OPEN && (flags & END_STREAM)); /* trailers */
	}
	if (flags & END_STREAM)
		*stream = HALF_CLOSED;
}

static void hear_frame(unsigned type, uint8_t flags, unsigned id, size_t n)
{
	FUZZ_ASSERT(id < sizeof(heard.streams));
	FUZZ_ASSERT(heard.settings || (type == SETTINGS && !(flags & ACK)));
	heard.settings = true;
	switch (type) {
	case DATA:
		FUZZ_ASSERT(heard.streams[id] == OPEN);
		if (flags & END_STREAM)
			heard.streams[id] = HALF_CLOSED;
		break;
	case HEADERS:
		hear_headers(id, flags);
		break;
	case RST_STREAM:
		FUZZ_ASSERT(
			n == 4 && (heard.streams[id] == OPEN || heard.streams[id] == HALF_CLOSED));
		heard.streams[id] = RESET;
		break;
	case SETTINGS:
		FUZZ_ASSERT(id == 0 && n % 6 == 0 && (n == 0 || !(flags & ACK)));
		break;
	case PING:
		FUZZ_ASSERT(id == 0 && n == 8);
		break;
	case GOAWAY:
		FUZZ_ASSERT(id == 0 && n >= 8);
		break;
	case WINDOW_UPDATE:
		FUZZ_ASSERT(n == 4 && (id == 0 || heard.streams[id] != IDLE));
		break;
	default:
		FUZZ_ASSERT(!"a frame that a client does not send");
	}
}

static void hear_byte(uint8_t byte)
{
	uint8_t *h = heard.head;
	unsigned id;

	if (heard.preface < sizeof(preface) - 1) {
		FUZZ_ASSERT((char)byte == preface[heard.preface++]);
		return;
	}
	h[heard.n++] = byte;
	if (heard.n < sizeof(heard.head))
		return;
	heard.n = 0;
	heard.left = (size_t)h[0] << 16 | (size_t)h[1] << 8 | h[2];
	FUZZ_ASSERT(heard.left <= 16384);
	id = (unsigned)h[5] << 24 | (unsigned)h[6] << 16 | (unsigned)h[7] << 8 | h[8];
	/* A push that was promised before our SETTINGS were acknowledged is refused. */
	if (id == 0 || id % 2 == 1)
		hear_frame(h[3], h[4], id, heard.left);
	else
		FUZZ_ASSERT(heard.settings && h[3] == RST_STREAM && heard.left == 4);
}

static void hear(const void *p, size_t n)
{
	const uint8_t *bytes = p;

	while (n > 0) {
		size_t skip = heard.left < n ? heard.left : n;

		heard.left -= skip;
		bytes += skip;
		n -= skip;
		if (n > 0) {
			hear_byte(*bytes++);
			n--;
		}
	}
}

static void hear_nothing(void)
{
	memset(&heard, 0, sizeof(heard));
}

static void hear_no_more(void)
{
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	static const struct fuzz_client h2 = {
		CC_OFFER_H2, server_step, hear_nothing, hear, hear_no_more};

	return fuzz_client(&h2, bytes, n);
}
