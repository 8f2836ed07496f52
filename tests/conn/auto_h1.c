/* auto_h1.c - the automatic server, HTTP/1.1. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/conn/auto_peer.h"

enum { IN_HEAD, IN_BODY, IN_SIZE, IN_CHUNK, IN_TRAILERS };

static void drop(struct auto_peer *a, size_t n)
{
	struct peer *p = a->peer;

	p->in_len -= n;
	memmove(p->in, p->in + n, p->in_len + 1);
}

/* ---- requests -------------------------------------------------------------------- */

static bool take_head(struct auto_peer *a)
{
	struct peer *p = a->peer;
	char *end = strstr(p->in, "\r\n\r\n"), *length;
	char method[16], version[16];
	unsigned token;

	if (!end)
		return false;
	*end = '\0';
	ck_assert_msg(sscanf(p->in, "%15s /%8x %15s", method, &token, version) == 3,
		"no request line: %.60s", p->in);
	if (a->current && a->current->done && a->current->ended)
		a->current = NULL;
	ck_assert_msg(!a->current, "a request came before the last one was answered");
	a->current = auto_hear(a, token);
	a->current->head_request = strcmp(method, "HEAD") == 0;
	length = strstr(p->in, "ontent-Length: ");
	if (!length)
		length = strstr(p->in, "ontent-length: ");
	a->left = length ? strtoul(length + 15, NULL, 10) : 0;
	a->parse = length ? IN_BODY : strstr(p->in, "chunked") ? IN_SIZE : IN_HEAD;
	drop(a, (size_t)(end - p->in) + 4);
	if (a->left == 0 && a->parse != IN_SIZE) {
		a->current->ended = true;
		a->parse = IN_HEAD;
	}
	auto_plan(a, a->current);
	return true;
}

static bool take_body(struct auto_peer *a)
{
	struct peer *p = a->peer;
	size_t n = a->left < p->in_len ? a->left : p->in_len;

	auto_body(a->current, p->in, n);
	a->left -= n;
	drop(a, n);
	if (a->left > 0)
		return false;
	if (a->parse == IN_CHUNK) {
		if (p->in_len < 2)
			return false;
		ck_assert(memcmp(p->in, "\r\n", 2) == 0);
		drop(a, 2);
		a->parse = IN_SIZE;
		return true;
	}
	a->current->ended = true;
	a->parse = IN_HEAD;
	return true;
}

static bool take_line(struct auto_peer *a)
{
	struct peer *p = a->peer;
	char *end = strstr(p->in, "\r\n"), *stop;
	size_t n = end ? (size_t)(end - p->in) : 0;

	if (!end)
		return false;
	if (a->parse == IN_SIZE) {
		a->left = strtoul(p->in, &stop, 16);
		ck_assert_msg(stop == end, "no chunk size: %.20s", p->in);
		a->parse = a->left > 0 ? IN_CHUNK : IN_TRAILERS;
	} else if (n == 0) {
		a->current->ended = true;
		a->parse = IN_HEAD;
	} else {
		a->current->trailers = true;
	}
	drop(a, n + 2);
	return true;
}

static bool take(struct auto_peer *a)
{
	switch (a->parse) {
	case IN_HEAD:
		return a->peer->in_len > 0 && take_head(a);
	case IN_BODY:
	case IN_CHUNK:
		return take_body(a);
	default:
		return take_line(a);
	}
}

/* ---- answers ----------------------------------------------------------------------- */

static __attribute__((format(printf, 2, 3))) void say(struct auto_peer *a, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	auto_out(a, text, (size_t)vsnprintf(text, sizeof(text), fmt, ap));
	va_end(ap);
}

static void say_bytes(struct auto_peer *a, const struct heard *h, size_t from, size_t n)
{
	unsigned char *bytes = malloc(n + 1);

	ck_assert_ptr_nonnull(bytes);
	token_bytes(h->token, SIDE_ANSWER, from, bytes, n);
	auto_out(a, bytes, n);
	free(bytes);
}

static void say_chunks(struct auto_peer *a, const struct heard *h)
{
	static const char *const extensions[] = {"", "", "", ";x", ";name=\"a b\""};

	for (size_t at = 0; at < h->plan.length;) {
		size_t left = h->plan.length - at, n = 1 + below(&a->dice, (unsigned)left);

		if (chance(&a->dice, 20))
			n = 1;
		say(a, "%zx%s\r\n", n, extensions[below(&a->dice, 5)]);
		say_bytes(a, h, at, n);
		say(a, "\r\n");
		at += n;
	}
	say(a, "0\r\n%s\r\n", h->plan.trailers ? "X-Sum: 1\r\n" : "");
}

static void say_head(struct auto_peer *a, const struct heard *h)
{
	const struct plan *p = &h->plan;

	for (unsigned i = 0; i < p->infos; i++)
		say(a, "HTTP/1.1 %s\r\n\r\n", i % 2 ? "100 Continue" : "103 Early Hints\r\nA: b");
	say(a, "HTTP/1.%d %u OK\r\nX-Token: %08x\r\n", !p->old, p->status, h->token);
	if (p->framing == FRAMED_LENGTH)
		say(a, "Content-Length: %zu\r\n", p->length);
	else if (p->framing == FRAMED_CHUNKED)
		say(a, "Transfer-Encoding: chunked\r\n");
	say(a, "%s\r\n", p->close ? "Connection: close\r\n" : "");
}

static void spoil(struct auto_peer *a, const struct heard *h, size_t from)
{
	size_t n = a->out_len - from;

	switch (h->plan.fault) {
	case FAULT_CUT:
		a->out_len = from + (h->plan.cut < n ? h->plan.cut : n - 1);
		a->cut = true;
		break;
	case FAULT_GARBAGE:
		a->out_len = from;
		say(a, "%s",
			h->plan.cut % 2 ? "SSH-2.0-x\r\n\r\n"
					: "HTTP/1.1 200 OK\r\nA B: c\r\n\r\n");
		break;
	case FAULT_SURPLUS:
		say(a, "%s",
			h->plan.cut % 2 ? "zzz" : "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
		break;
	default:
		return;
	}
	a->spoilt = true;
}

static bool leaves(const struct heard *h)
{
	return h->plan.close || h->plan.old || (h->plan.framing == FRAMED_CLOSE && !h->bodyless) ||
	       !h->ended;
}

static void answer(struct auto_peer *a, struct heard *h)
{
	size_t from;

	if (a->out_at == a->out_len)
		a->out_at = a->out_len = 0;
	from = a->out_len;
	h->begun = true;
	a->answering = h;
	say_head(a, h);
	if (!h->bodyless && h->plan.framing == FRAMED_CHUNKED)
		say_chunks(a, h);
	else if (!h->bodyless)
		say_bytes(a, h, 0, h->plan.length);
	spoil(a, h, from);
	if (leaves(h)) {
		a->asked_to_leave = true;
		a->finish =
			chance(&a->dice, 70) || (h->plan.framing == FRAMED_CLOSE && !h->bodyless);
	}
	a->pause_at = 0;
	if (!a->good && a->out_len > from && chance(&a->dice, 15))
		a->pause_at = from + 1 + below(&a->dice, (unsigned)(a->out_len - from));
}

/* The answer has left. */
void h1_wrote(struct auto_peer *a)
{
	struct heard *h = a->answering;

	if (!h || a->out_at < a->out_len)
		return;
	h->done = h->plan.fault == FAULT_NONE || h->plan.fault == FAULT_SURPLUS;
	if (a->cut || a->finish)
		auto_peer_hang_up(a, a->finish && !a->cut && chance(&a->dice, 60));
	if (h->ended && a->current == h)
		a->current = NULL;
	a->answering = NULL;
}

void h1_think(struct auto_peer *a)
{
	struct heard *h;

	do {
		/* Each first byte that stands at the place of a head is another request. */
		if (a->parse == IN_HEAD && a->peer->in_len > 0 && a->started == a->count)
			a->started++;
	} while (take(a));
	h = a->current;
	if (h && h->done && h->ended && !a->answering)
		a->current = NULL;
	if (!h || h->begun || a->stalled || a->gone || h->plan.hold)
		return;
	if (h->ended || h->plan.early)
		answer(a, h);
}

bool h1_disturb(struct auto_peer *a)
{
	if (a->answering || a->out_at < a->out_len || (a->current && a->current->begun))
		return false;
	a->unasked = a->spoilt = true;
	say(a, "%s",
		chance(&a->dice, 50)
			? "HTTP/1.1 408 Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
			: "what?\r\n\r\n");
	a->answering = NULL;
	return true;
}
