/* caller.c - a client for threads: sends, and takes answers apart. */
#include "tests/daemon/caller.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/programs.h"

#define CALL_PATIENCE 60000 /* ms */

bool caller_open(struct caller *c, const char *path)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};

	c->n = 0;
	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd >= 0 && connect(c->fd, (struct sockaddr *)&a, sizeof(a)) == 0)
		return true;
	caller_close(c);
	return false;
}

void caller_close(struct caller *c)
{
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	c->n = 0;
}

bool caller_say(struct caller *c, const char *text)
{
	size_t n = strlen(text);

	return c->fd >= 0 && send(c->fd, text, n, MSG_NOSIGNAL) == (ssize_t)n;
}

/* The value of a field of a terminated head; NULL: it is not there. */
static const char *value_of(const char *head, const char *name)
{
	size_t n = strlen(name);

	for (const char *p = head; (p = strstr(p, "\r\n")); p += 2)
		if (strncasecmp(p + 2, name, n) == 0 && p[2 + n] == ':')
			return p + 3 + n + strspn(p + 3 + n, " ");
	return NULL;
}

/* Adds to the body what is there of a chunked one; true: its end is there, too. */
static bool take_chunks(struct reply *r, const char *p, const char *end)
{
	for (;;) {
		const char *line = p < end ? memmem(p, (size_t)(end - p), "\r\n", 2) : NULL;
		size_t n, there;

		if (!line)
			return false;
		n = strtoul(p, NULL, 16);
		p = line + 2;
		if (n == 0)
			return end - p >= 2; /* no test here sends trailers */
		there = (size_t)(end - p) < n ? (size_t)(end - p) : n;
		if (r->n + there > REPLY_MAX)
			return false;
		memcpy(r->body + r->n, p, there);
		r->n += there;
		if (there < n)
			return false;
		p += n + 2;
	}
}

static bool take_sized(struct reply *r, const char *p, const char *end, size_t length)
{
	size_t there = (size_t)(end - p) < length ? (size_t)(end - p) : length;

	r->n = there < REPLY_MAX ? there : REPLY_MAX;
	memcpy(r->body, p, r->n);
	return r->n == length;
}

/* How much of in is an interim answer; 0: none. */
static size_t interim(const struct caller *c)
{
	const char *end = memmem(c->in, c->n, "\r\n\r\n", 4);

	return end && c->n > 9 && c->in[9] == '1' ? (size_t)(end + 4 - c->in) : 0;
}

/* As far as the answer is there. The next one is never asked for before this one is over. */
static void take(struct caller *c, struct reply *r)
{
	const char *end, *length, *coding, *safe, *connection;
	size_t skip;

	while ((skip = interim(c)) > 0) {
		memmove(c->in, c->in + skip, c->n - skip);
		c->n -= skip;
	}
	end = memmem(c->in, c->n, "\r\n\r\n", 4);
	if (!end)
		return;
	char *head = strndup(c->in, (size_t)(end - c->in));

	if (!head)
		return;
	r->n = 0;
	r->status = (unsigned)strtoul(head + 9, NULL, 10);
	length = value_of(head, "content-length");
	coding = value_of(head, "transfer-encoding");
	safe = value_of(head, "connpool-retry-safe");
	connection = value_of(head, "connection");
	r->last = connection && strncasecmp(connection, "close", 5) == 0;
	r->told = safe != NULL;
	r->safe = safe && strncmp(safe, "yes", 3) == 0;
	if (coding)
		r->whole = take_chunks(r, end + 4, c->in + c->n);
	else
		r->whole =
			length && take_sized(r, end + 4, c->in + c->n, strtoul(length, NULL, 10));
	free(head);
}

void caller_hear(struct caller *c, struct reply *r, int ms)
{
	uint64_t until = program_now() + (uint64_t)ms;
	ssize_t got = -1;

	memset(r, 0, offsetof(struct reply, body));
	while (c->fd >= 0 && !r->whole) {
		struct pollfd p = {.fd = c->fd, .events = POLLIN};
		uint64_t now = program_now();

		r->hung = now >= until || poll(&p, 1, (int)(until - now)) == 0;
		got = r->hung || c->n == sizeof(c->in)
		              ? -1
		              : recv(c->fd, c->in + c->n, sizeof(c->in) - c->n, 0);
		if (got <= 0)
			break;
		c->n += (size_t)got;
		take(c, r);
	}
	c->n = 0;
	if (!r->whole || r->last)
		caller_close(c);
}

void caller_ask(struct caller *c, const char *socket, const char *method, const char *path,
	const char *body, struct reply *r)
{
	char request[4096], length[64] = "";

	if (c->fd < 0)
		caller_open(c, socket);
	if (body)
		snprintf(length, sizeof(length), "Content-Length: %zu\r\n", strlen(body));
	snprintf(request, sizeof(request), "%s %s HTTP/1.1\r\nHost: origin\r\n%s\r\n%s", method,
		path, length, body ? body : "");
	caller_say(c, request);
	caller_hear(c, r, CALL_PATIENCE);
}
