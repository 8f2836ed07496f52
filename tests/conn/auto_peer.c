/* auto_peer.c - what the two automatic servers share: numbers, books, the socket. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "tests/conn/auto_peer.h"

/* ---- numbers ---------------------------------------------------------------- */

uint64_t roll(struct dice *d) /* splitmix64 */
{
	uint64_t z = d->state += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

unsigned below(struct dice *d, unsigned n)
{
	return (unsigned)(roll(d) % n);
}

bool chance(struct dice *d, unsigned percent)
{
	return below(d, 100) < percent;
}

static unsigned char token_byte(uint32_t token, enum side side, size_t i)
{
	uint32_t x = (token + (uint32_t)i / 64 * 2654435761u) ^ (side == SIDE_ANSWER ? 0x5a5a : 0);

	return (unsigned char)(x >> (i % 4 * 8)) ^ (unsigned char)(i * 7);
}

void token_bytes(uint32_t token, enum side side, size_t from, unsigned char *to, size_t n)
{
	for (size_t i = 0; i < n; i++)
		to[i] = token_byte(token, side, from + i);
}

bool token_matches(
	uint32_t token, enum side side, size_t from, const unsigned char *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (bytes[i] != token_byte(token, side, from + i))
			return false;
	}
	return true;
}

/* ---- books -------------------------------------------------------------------- */

struct heard *auto_peer_find(struct auto_peer *a, uint32_t token)
{
	for (unsigned i = 0; i < a->count; i++) {
		if (a->heard[i].token == token)
			return &a->heard[i];
	}
	return NULL;
}

struct heard *auto_hear(struct auto_peer *a, uint32_t token)
{
	struct heard *h = token != 0 ? auto_peer_find(a, token) : NULL;

	if (!h) {
		ck_assert_uint_lt(a->count, HEARD_MAX);
		h = &a->heard[a->count++];
		*h = (struct heard){.token = token};
	}
	h->times++;
	return h;
}

void auto_body(struct heard *h, const char *bytes, size_t n)
{
	ck_assert_msg(
		token_matches(h->token, SIDE_REQUEST, h->body, (const unsigned char *)bytes, n),
		"request %08x: other bytes than were sent behind %zu", h->token, h->body);
	h->body += n;
}

static size_t some_length(struct dice *d)
{
	if (chance(d, 25))
		return 0;
	return chance(d, 95) ? below(d, 300) : below(d, 60000);
}

static void plan_fault(struct auto_peer *a, struct plan *p)
{
	static const uint32_t codes[] = {H2_REFUSED_STREAM, H2_REFUSED_STREAM, H2_CANCEL,
		H2_INTERNAL_ERROR, H2_NO_ERROR, H2_ENHANCE_YOUR_CALM, H2_PROTOCOL_ERROR, 77};
	struct dice *d = &a->dice;

	if (a->h2) {
		p->fault = chance(d, 80) ? FAULT_RESET : FAULT_SHORT;
		p->before_head = chance(d, 60);
		p->code = codes[below(d, sizeof(codes) / sizeof(codes[0]))];
		p->cut = below(d, (unsigned)p->length + 1);
		if (p->fault == FAULT_RESET && !p->before_head && p->code == H2_REFUSED_STREAM)
			p->code = H2_CANCEL;
		return;
	}
	p->fault = FAULT_CUT + below(d, 3);
	p->cut = below(d, 400);
}

static void plan_h1(struct auto_peer *a, struct plan *p)
{
	struct dice *d = &a->dice;

	if (p->framing == FRAMED_NONE)
		p->length = 0;
	if (!chance(d, a->fault_percent))
		return;
	p->close = chance(d, 60);
	p->old = chance(d, 20);
	if (chance(d, 20))
		p->framing = FRAMED_CLOSE;
	if (p->old && p->framing == FRAMED_CHUNKED)
		p->framing = FRAMED_LENGTH;
	if (p->framing == FRAMED_CLOSE)
		p->trailers = false;
}

void auto_plan(struct auto_peer *a, struct heard *h)
{
	struct dice *d = &a->dice;
	struct plan *p = &h->plan;

	*p = (struct plan){.status = 200 + below(d, 3), .length = some_length(d)};
	p->framing = below(d, 3);
	if (p->framing == FRAMED_CLOSE)
		p->framing = FRAMED_NONE;
	if (p->framing == FRAMED_NONE)
		p->status = chance(d, 50) ? 204 : 304;
	p->infos = chance(d, 15) ? 1 + below(d, 3) : 0;
	p->trailers = chance(d, 15);
	if (a->h2 && p->framing == FRAMED_NONE)
		p->length = 0;
	if (!a->h2)
		plan_h1(a, p);
	if (p->framing != FRAMED_CHUNKED && !a->h2)
		p->trailers = false;
	h->bodyless = h->head_request || p->framing == FRAMED_NONE;
	if (h->bodyless)
		p->trailers = false;
	if (a->good)
		return;
	p->early = a->fault_percent > 0 && chance(d, 20);
	p->hold = chance(d, 25);
	if (chance(d, a->fault_percent))
		plan_fault(a, p);
	/* Whatever comes before the end is the body then. */
	if (!a->h2 && p->framing == FRAMED_CLOSE && p->fault != FAULT_GARBAGE)
		p->fault = FAULT_NONE;
	if (p->fault == FAULT_SHORT && (h->bodyless || p->length == 0))
		p->fault = FAULT_NONE;
}

/* ---- the socket ----------------------------------------------------------------- */

void auto_out(struct auto_peer *a, const void *data, size_t n)
{
	if (a->out_at == a->out_len)
		a->out_at = a->out_len = 0;
	if (a->out_len + n > a->out_size) {
		a->out_size = (a->out_len + n) * 2;
		a->out = realloc(a->out, a->out_size);
		ck_assert_ptr_nonnull(a->out);
	}
	memcpy(a->out + a->out_len, data, n);
	a->out_len += n;
}

static size_t piece(struct auto_peer *a)
{
	size_t n = a->out_len - a->out_at;

	if (a->pause_at > a->out_at && a->pause_at < a->out_len)
		n = a->pause_at - a->out_at;
	else if (a->pause_at != 0 && a->pause_at == a->out_at)
		return 0;
	if (chance(&a->dice, 50) && n > 1)
		n = 1 + below(&a->dice, (unsigned)n);
	/* What stands behind an answer must come with its end, or it is the next answer. */
	if (a->answering && a->answering->plan.fault == FAULT_SURPLUS &&
		a->out_at + n + 64 > a->out_len)
		n = a->out_len - a->out_at;
	return n;
}

static bool put(struct auto_peer *a)
{
	size_t n = a->out_at < a->out_len && !a->gone ? piece(a) : 0;
	ssize_t sent;

	if (n == 0)
		return false;
	sent = send(a->peer->fd, a->out + a->out_at, n, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (sent < 0 && errno == EAGAIN)
		return false;
	if (sent < 0) { /* the client is gone */
		a->out_at = a->out_len;
		a->gone = true;
		return true;
	}
	a->out_at += (size_t)sent;
	return true;
}

/* What the client wrote before the end is still heard. */
static void read_rest(struct peer *p)
{
	char buf[16384];
	ssize_t n;

	while ((n = recv(p->fd, buf, sizeof(buf), MSG_DONTWAIT)) > 0) {
		if (p->in_len + (size_t)n + 1 > p->in_size) {
			p->in_size = (p->in_len + (size_t)n + 1) * 2;
			p->in = realloc(p->in, p->in_size);
			ck_assert_ptr_nonnull(p->in);
		}
		memcpy(p->in + p->in_len, buf, (size_t)n);
		p->in_len += (size_t)n;
		p->in[p->in_len] = '\0';
	}
}

void auto_peer_hang_up(struct auto_peer *a, bool half)
{
	if (a->peer->fd < 0 || a->gone)
		return;
	a->gone = true;
	if (half) {
		peer_finish(a->peer);
		return;
	}
	read_rest(a->peer);
	peer_cut(a->peer);
	a->muted = false;
}

bool auto_peer_step(struct auto_peer *a)
{
	size_t before = a->peer->in_len;
	unsigned count = a->count;
	bool moved;

	if (a->peer->fd < 0 && !a->gone)
		return false;
	if (a->h2)
		h2_think(a);
	else
		h1_think(a);
	moved = !a->stalled && put(a);
	if (!a->h2)
		h1_wrote(a);
	return moved || a->peer->in_len != before || a->count != count;
}

void auto_peer_mute(struct auto_peer *a, bool muted)
{
	if (a->muted == muted || a->peer->fd < 0 || a->peer->eof)
		return;
	a->muted = muted;
	peer_stall(a->peer, muted);
}

void auto_peer_let_go(struct auto_peer *a)
{
	a->pause_at = 0;
	for (unsigned i = 0; i < a->count; i++)
		a->heard[i].plan.hold = false;
}

void auto_peer_behave(struct auto_peer *a)
{
	a->good = true;
	a->stalled = false;
	auto_peer_mute(a, false);
	auto_peer_let_go(a);
	if (a->h2)
		h2_behave(a);
}

bool auto_peer_disturb(struct auto_peer *a)
{
	if (a->gone || a->peer->fd < 0)
		return false;
	return a->h2 ? h2_disturb(a) : h1_disturb(a);
}

void auto_peer_begin(struct auto_peer *a, struct peer *peer, bool h2, uint64_t seed)
{
	char *out = a->out;
	size_t size = a->out_size;

	peer_next(peer);
	*a = (struct auto_peer){.peer = peer, .h2 = h2, .out = out, .out_size = size};
	a->dice.state = seed;
	a->max_streams = UINT32_MAX;
	a->last_goaway = INT32_MAX;
	if (h2)
		h2_start(a);
}

void auto_peer_end(struct auto_peer *a)
{
	if (a->h2)
		h2_stop(a);
	free(a->out);
	a->out = NULL;
	a->out_size = 0;
}
