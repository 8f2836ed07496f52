/*
 * client.c - the client of bytes for black-box tests: says what the test says, and takes answers
 * apart strictly enough to tell a whole one from a cut one.
 */
#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/daemon/harness.h"

struct client *client_open_at(const char *path)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	struct client *c = calloc(1, sizeof(*c));

	ck_assert_ptr_nonnull(c);
	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_ge(c->fd, 0);
	ck_assert_msg(connect(c->fd, (struct sockaddr *)&a, sizeof(a)) == 0, "%s: %s", path,
		strerror(errno));
	return c;
}

struct client *client_open(void)
{
	return client_open_at(daemon_socket());
}

void client_close(struct client *c)
{
	close(c->fd);
	free(c->in);
	free(c);
}

void client_shut(struct client *c)
{
	shutdown(c->fd, SHUT_WR);
}

void client_write(struct client *c, const void *data, size_t n)
{
	const char *p = data;

	while (n > 0) {
		ssize_t sent = send(c->fd, p, n, MSG_NOSIGNAL);

		if (sent < 0)
			return;
		p += sent;
		n -= (size_t)sent;
	}
}

uint64_t client_push(struct client *c)
{
	static char piece[65536];
	struct pollfd p = {.fd = c->fd, .events = POLLOUT};
	uint64_t sent = 0;

	while (sent < 200 * 1024ull * 1024 && poll(&p, 1, 1000) == 1) {
		ssize_t n = send(c->fd, piece, sizeof(piece), MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n <= 0)
			break;
		sent += (uint64_t)n;
	}
	return sent;
}

void client_say(struct client *c, const char *fmt, ...)
{
	va_list ap;
	char *s;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&s, fmt, ap);
	va_end(ap);
	ck_assert_int_ge(n, 0);
	client_write(c, s, (size_t)n);
	free(s);
}

/* Reads some more; false: the end, a reset, or nothing within ms. */
static bool fill_within(struct client *c, int ms)
{
	struct pollfd p = {.fd = c->fd, .events = POLLIN};

	if (c->eof || poll(&p, 1, ms) == 0)
		return false;
	if (c->n + 65536 > c->cap) {
		c->cap = 2 * (c->n + 65536);
		c->in = realloc(c->in, c->cap);
		ck_assert_ptr_nonnull(c->in);
	}
	ssize_t got = recv(c->fd, c->in + c->n, c->cap - c->n, 0);

	if (got <= 0) {
		c->eof = true;
		return false;
	}
	c->n += (size_t)got;
	return true;
}

static bool fill(struct client *c)
{
	bool more = fill_within(c, PATIENCE);

	ck_assert_msg(more || c->eof, "nothing came for %d ms%s%s", PATIENCE, c->what ? ": " : "",
		c->what ? c->what : "");
	return more;
}

static char *take(struct client *c, size_t n)
{
	char *s = text("%*s", (int)n, "");

	memcpy(s, c->in, n);
	memmove(c->in, c->in + n, c->n - n);
	c->n -= n;
	return s;
}

/* Up to and with the mark; NULL: the end came before it. */
static char *take_through(struct client *c, const char *mark)
{
	size_t n = strlen(mark);
	char *at;

	while (!c->n || !(at = memmem(c->in, c->n, mark, n)))
		if (!fill(c))
			return NULL;
	return take(c, (size_t)(at - c->in) + n);
}

static bool take_sized(struct client *c, struct answer *a, size_t n)
{
	while (c->n < n && fill(c))
		;
	a->len = c->n < n ? c->n : n;
	a->body = take(c, a->len);
	return a->len == n;
}

static bool take_chunked(struct client *c, struct answer *a)
{
	char *body = NULL;
	size_t room = 0;
	bool whole = false;

	for (;;) {
		char *line = take_through(c, "\r\n"), *end;

		if (!line)
			break;
		size_t n = strtoul(line, &end, 16);

		ck_assert_msg(end != line && (*end == '\r' || *end == ';'), "chunk line %s", line);
		if (n == 0) {
			whole = true;
			break;
		}
		while (c->n < n + 2 && fill(c))
			;
		if (a->len + n > room) {
			room = 2 * (a->len + n);
			body = realloc(body, room);
			ck_assert_ptr_nonnull(body);
		}
		size_t got = c->n < n ? c->n : n;

		memcpy(body + a->len, c->in, got);
		a->len += got;
		if (c->n < n + 2) {
			c->n = 0;
			break;
		}
		ck_assert_msg(memcmp(c->in + n, "\r\n", 2) == 0, "no CRLF after a chunk");
		memmove(c->in, c->in + n + 2, c->n - n - 2);
		c->n -= n + 2;
	}
	char *copy = text("%*s", (int)a->len, "");

	if (a->len)
		memcpy(copy, body, a->len);
	free(body);
	a->body = copy;
	if (!whole)
		return false;
	/* The trailer section: lines, then an empty one. */
	a->trailers = "";
	for (;;) {
		char *line = take_through(c, "\r\n");

		if (!line || strcmp(line, "\r\n") == 0)
			return line != NULL;
		a->trailers = text("%s%s", a->trailers, line);
	}
}

static bool take_until_eof(struct client *c, struct answer *a)
{
	while (fill(c))
		;
	a->len = c->n;
	a->body = take(c, c->n);
	return true; /* nothing can tell */
}

struct answer client_next(struct client *c, bool to_head)
{
	struct answer a = {.head = "", .body = "", .trailers = ""};
	char *head = take_through(c, "\r\n\r\n");
	const char *length, *coding;

	if (!head)
		return a;
	ck_assert_msg(sscanf(head, "HTTP/1.%u %3u ", &a.minor, &a.status) == 2, "not an answer: %s",
		head);
	a.head = head;
	length = answer_field(&a, "content-length");
	coding = answer_field(&a, "transfer-encoding");
	a.sized = length != NULL;
	a.chunked = coding && strcasecmp(coding, "chunked") == 0;
	ck_assert_msg(!(a.sized && coding), "both framings: %s", head);
	if (to_head || a.status < 200 || a.status == 204 || a.status == 304)
		a.whole = true;
	else if (a.chunked)
		a.whole = take_chunked(c, &a);
	else if (a.sized)
		a.whole = take_sized(c, &a, strtoul(length, NULL, 10));
	else
		a.whole = take_until_eof(c, &a);
	return a;
}

struct answer client_answer(struct client *c)
{
	struct answer a;

	do {
		a = client_next(c, false);
	} while (a.status >= 100 && a.status < 200);
	return a;
}

bool client_closed(struct client *c)
{
	while (fill(c))
		;
	return c->n == 0;
}

bool client_quiet(struct client *c, unsigned ms)
{
	return c->n == 0 && !fill_within(c, (int)ms) && !c->eof;
}

struct answer get(struct client *c, const char *path)
{
	client_say(c, "GET %s HTTP/1.1\r\nHost: origin\r\n\r\n", path);
	return client_answer(c);
}

struct answer get_once(const char *path)
{
	struct client *c = client_open();
	struct answer a = get(c, path);

	client_close(c);
	return a;
}

struct client *client_ask(const char *path)
{
	struct client *c = client_open();

	client_say(c, "GET %s HTTP/1.1\r\nHost: origin\r\n\r\n", path);
	return c;
}

struct answer client_hear(struct client *c)
{
	struct answer a = client_answer(c);

	client_close(c);
	return a;
}

const char *answer_field(const struct answer *a, const char *name)
{
	size_t n = strlen(name);

	for (const char *p = strstr(a->head, "\r\n"); p; p = strstr(p, "\r\n")) {
		p += 2;
		if (strncasecmp(p, name, n) != 0 || p[n] != ':')
			continue;
		p += n + 1;
		p += strspn(p, " \t");
		return text("%.*s", (int)strcspn(p, "\r"), p);
	}
	return NULL;
}

void assert_json(const struct answer *a, unsigned status)
{
	json_error_t error;
	json_t *j = json_loadb(a->body, a->len, JSON_REJECT_DUPLICATES, &error);

	ck_assert_msg(json_is_object(j), "%s: %s", error.text, a->body);
	bool good = json_integer_value(json_object_get(j, "status")) == (json_int_t)status &&
	            json_is_string(json_object_get(j, "title")) &&
	            json_is_string(json_object_get(j, "detail"));

	json_decref(j);
	ck_assert_msg(good, "%s", a->body);
}

void assert_own_answer(const struct answer *a, unsigned status)
{
	const char *type = answer_field(a, "content-type");
	const char *proxy = answer_field(a, "proxy-status");

	ck_assert_msg(a->status == status, "expected %u, got %s", status, a->head);
	ck_assert_msg(a->whole, "cut: %s", a->head);
	ck_assert_msg(type && strncmp(type, "application/problem+json", 24) == 0, "%s", a->head);
	ck_assert_msg(proxy && strncmp(proxy, "connpoold; error=", 17) == 0, "%s", a->head);
	assert_json(a, status);
}
