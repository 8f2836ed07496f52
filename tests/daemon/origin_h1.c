/*
 * origin_h1.c - the HTTP/1.1 side of the test origin: reads requests one after the other and
 * answers each as its plan says. Trusts nothing but is no model of a parser.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/daemon/origin_int.h"

struct h1_request {
	char method[32], path[256];
	struct bytes head;
	uint64_t length;
	bool chunked, close, expect;
};

/* The field's value is copied to out; false: there is none. */
static bool field(const struct bytes *head, const char *name, char *out, size_t size)
{
	size_t n = strlen(name);

	for (const char *p = head->p; (p = memchr(p, '\n', head->n - (size_t)(p - head->p)));) {
		const char *end;

		if ((size_t)(++p - head->p) >= head->n)
			break;
		if (strncasecmp(p, name, n) != 0 || p[n] != ':')
			continue;
		p += n + 1;
		p += strspn(p, " ");
		end = memchr(p, '\r', head->n - (size_t)(p - head->p));
		snprintf(out, size, "%.*s", (int)(end - p), p);
		return true;
	}
	return false;
}

static bool read_request(struct origin_conn *oc, struct h1_request *rq)
{
	char value[256];
	char *end;

	while (!oc->in.n || !(end = memmem(oc->in.p, oc->in.n, "\r\n\r\n", 4)))
		if (!oc_fill(oc))
			return false;

	*rq = (struct h1_request){.length = 0};
	bytes_add(&rq->head, oc->in.p, (size_t)(end - oc->in.p) + 4);
	bytes_drain(&oc->in, rq->head.n);
	*(char *)memchr(rq->head.p, '\r', rq->head.n) = '\0';
	sscanf(rq->head.p, "%31s %255s", rq->method, rq->path);
	rq->head.p[strlen(rq->head.p)] = '\r';
	if (field(&rq->head, "content-length", value, sizeof(value)))
		rq->length = strtoull(value, NULL, 10);
	rq->chunked = field(&rq->head, "transfer-encoding", value, sizeof(value));
	rq->close = field(&rq->head, "connection", value, sizeof(value)) &&
	            strcasecmp(value, "close") == 0;
	rq->expect = field(&rq->head, "expect", value, sizeof(value));
	origin_count_request(oc->origin);
	return true;
}

static bool take_exactly(struct origin_conn *oc, uint64_t n, const struct plan *p, EVP_MD_CTX *sha,
	struct bytes *body)
{
	while (n > 0) {
		if (!oc->in.n && !oc_fill(oc))
			return false;
		size_t got = n < oc->in.n ? (size_t)n : oc->in.n;

		plan_body(p, sha, body, oc->in.p, got);
		bytes_drain(&oc->in, got);
		n -= got;
	}
	return true;
}

/* A line without its CRLF. */
static bool take_line(struct origin_conn *oc, char *line, size_t size)
{
	char *end;

	while (!oc->in.n || !(end = memmem(oc->in.p, oc->in.n, "\r\n", 2)))
		if (!oc_fill(oc))
			return false;
	snprintf(line, size, "%.*s", (int)(end - oc->in.p), oc->in.p);
	bytes_drain(&oc->in, (size_t)(end - oc->in.p) + 2);
	return true;
}

static bool take_chunks(
	struct origin_conn *oc, const struct plan *p, EVP_MD_CTX *sha, struct bytes *body)
{
	char line[1024];

	for (;;) {
		if (!take_line(oc, line, sizeof(line)))
			return false;
		uint64_t n = strtoull(line, NULL, 16);

		if (n == 0)
			break;
		if (!take_exactly(oc, n, p, sha, body) || !take_line(oc, line, sizeof(line)))
			return false;
	}
	do {
		if (!take_line(oc, line, sizeof(line)))
			return false;
	} while (line[0]);
	return true;
}

static bool has_body(const struct h1_request *rq, const struct plan *p)
{
	return strcmp(rq->method, "HEAD") != 0 && p->status != 204 && p->status != 304;
}

static bool send_head(struct origin_conn *oc, const struct h1_request *rq, const struct plan *p)
{
	char framing[64] = "", head[1024];

	if (p->declared && p->status != 204)
		snprintf(framing, sizeof(framing), "Content-Length: %llu\r\n",
			(unsigned long long)p->length);
	else if (!p->until_eof && has_body(rq, p))
		snprintf(framing, sizeof(framing), "Transfer-Encoding: chunked\r\n%s",
			p->trailers ? "Trailer: x-checksum\r\n" : "");
	if (p->hints &&
		!oc_say(oc, "HTTP/1.1 103 Early Hints\r\nLink: </s.css>; rel=preload\r\n\r\n"))
		return false;
	snprintf(head, sizeof(head),
		"HTTP/1.1 %u Status\r\nX-Origin: %s\r\nX-Conn: %u\r\nX-Number: %u\r\n"
		"ETag: \"1\"\r\n%s%s%s\r\n",
		p->status, oc->origin->opts.name, oc->number, p->number, framing,
		p->last ? "Connection: close\r\n" : "",
		p->hop ? "Connection: x-secret, keep-alive\r\nKeep-Alive: timeout=5\r\n"
			 "X-Secret: 1\r\nProxy-Connection: keep-alive\r\nX-Kept: 1\r\n"
		       : "");
	return oc_say(oc, head);
}

static bool send_piece(struct origin_conn *oc, bool chunked, const char *data, size_t n)
{
	char size[32];

	if (!chunked)
		return oc_write(oc, data, n);
	snprintf(size, sizeof(size), "%zx\r\n", n);
	return oc_say(oc, size) && oc_write(oc, data, n) && oc_say(oc, "\r\n");
}

static bool send_body(struct origin_conn *oc, const struct plan *p, const struct bytes *text)
{
	uint64_t all = p->stop != STOP_NEVER ? p->stop_at : p->length;
	bool chunked = !p->declared && !p->until_eof;
	size_t most = p->pace ? 1024 : 65536;
	char piece[65536];

	for (uint64_t at = 0; at < all;) {
		size_t n = all - at < most ? (size_t)(all - at) : most;

		if (p->text == TEXT_PATTERN)
			pattern_fill(piece, n, at);
		else
			memcpy(piece, text->p + at, n);
		if (!send_piece(oc, chunked, piece, n) || (p->pace && !oc_wait(oc, p->pace)))
			return false;
		at += n;
	}
	if (!chunked || p->stop != STOP_NEVER)
		return true;
	return oc_say(oc, p->trailers ? "0\r\nX-Checksum: abc\r\n\r\n" : "0\r\n\r\n");
}

/* What goes wrong instead of (the rest of) the answer. */
static void go_wrong(struct origin_conn *oc, const struct plan *p)
{
	static const char garbage[] = "\x16\x03\x01HTTP?\0\r\n\r\nnot an answer\r\n\r\n";

	if (p->stop == STOP_RESET || p->stop == STOP_REFUSE)
		oc_reset(oc);
	else if (p->stop == STOP_STALL)
		oc_wait_hangup(oc);
	else if (p->stop == STOP_GARBAGE)
		oc_write(oc, garbage, sizeof(garbage) - 1);
}

/* Takes what comes for some time, so that the close is no reset. */
static void linger(struct origin_conn *oc, unsigned ms)
{
	oc_wait(oc, ms);
	shutdown(oc->fd, SHUT_WR);
	while (oc_fill(oc))
		oc->in.n = 0;
}

/* Until the test releases it. false: the daemon or the test has left. */
static bool hold(struct origin_conn *oc)
{
	struct pollfd p[3] = {{.fd = oc->origin->stop, .events = POLLIN},
		{.fd = oc->fd, .events = POLLRDHUP}, {.fd = oc->wake, .events = POLLIN}};
	uint64_t orders;

	while (!origin_released(oc->origin)) {
		if (poll(p, 3, -1) < 0 || p[0].revents || p[1].revents)
			return false;
		MUST(read(oc->wake, &orders, sizeof(orders)) == sizeof(orders));
	}
	return true;
}

/* false: the connection is at its end. */
static bool answer(struct origin_conn *oc, const struct h1_request *rq, struct plan *p,
	const struct bytes *text)
{
	if (p->delay && !oc_wait(oc, p->delay))
		return false;
	if (p->hold && !hold(oc))
		return false;
	if (p->stop_before_head) {
		go_wrong(oc, p);
		return false;
	}
	if (!send_head(oc, rq, p) || (has_body(rq, p) && !send_body(oc, p, text)))
		return false;
	if (p->stop != STOP_NEVER) {
		go_wrong(oc, p);
		return false;
	}
	if (p->linger)
		linger(oc, p->linger);
	return !p->last && !p->vanish && !p->until_eof && !rq->close;
}

static bool exchange(struct origin_conn *oc, struct h1_request *rq, bool last)
{
	struct bytes body = {.n = 0}, text = {.n = 0};
	EVP_MD_CTX *sha = sha_new();
	struct plan p;
	bool go_on = true;

	plan_make(&p, oc->origin, rq->path);
	p.last = p.last || last;
	if (p.go_on && rq->expect)
		go_on = oc_say(oc, "HTTP/1.1 100 Continue\r\n\r\n");
	if (go_on && !p.early)
		go_on = rq->chunked ? take_chunks(oc, &p, sha, &body)
		                    : take_exactly(oc, rq->length, &p, sha, &body);
	if (go_on) {
		plan_execute(&p, oc->origin);
		plan_text(&p, &rq->head, &body, sha, &text);
		go_on = answer(oc, rq, &p, &text);
	}
	EVP_MD_CTX_free(sha);
	free(body.p);
	free(text.p);
	return go_on;
}

void origin_h1_serve(struct origin_conn *oc)
{
	struct h1_request rq;
	unsigned left = oc->origin->opts.retire_after;
	bool go_on = true;

	while (go_on && read_request(oc, &rq)) {
		go_on = exchange(oc, &rq, left == 1);
		left -= left > 1;
		free(rq.head.p);
	}
}
