/* load.c - the clients of load.h: non-blocking sockets and one poll. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/daemon/harness.h"
#include "tests/daemon/load.h"

#define LOOK_MS    10
#define ANSWER_MAX 4096

struct caller {
	int fd; /* -1: none yet */
	bool busy;
	uint64_t since; /* ms */
	size_t n;
	char in[ANSWER_MAX + 1];
};

struct running {
	struct load *l;
	struct sockaddr_un to;
	struct caller *callers;
	struct pollfd *polls;
	unsigned *idle, idle_first, idle_count; /* a ring: who rests for longest asks next */
	uint64_t begun, looked;
};

void load_once(unsigned nonce, char out[LOAD_REQUEST_MAX])
{
	static const char *const forms[] = {"GET /once/%u HTTP/1.1\r\nHost: origin\r\n\r\n",
		"POST /once/%u HTTP/1.1\r\nHost: origin\r\nContent-Length: 4\r\n\r\nbody"};

	snprintf(out, LOAD_REQUEST_MAX, forms[nonce % 2], nonce);
}

static void bad(struct running *r, const char *why, const char *text)
{
	if (r->l->bad++ == 0)
		snprintf(r->l->first_bad, sizeof(r->l->first_bad), "after %llu ms: %s: %s",
			(unsigned long long)(harness_now() - r->begun), why, text);
}

/* ---- one client -------------------------------------------------------- */

static void hang_up(struct caller *c)
{
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
}

static void rests(struct running *r, struct caller *c)
{
	unsigned at = (r->idle_first + r->idle_count++) % r->l->clients;

	c->busy = false;
	c->n = 0;
	r->idle[at] = (unsigned)(c - r->callers);
}

static void ended(struct running *r, struct caller *c, const char *why)
{
	c->in[c->n] = '\0';
	if (why) {
		bad(r, why, c->in);
		hang_up(c);
	} else {
		r->l->good++;
	}
	uint64_t took = harness_now() - c->since;

	if (took > r->l->slowest)
		r->l->slowest = took;
	rests(r, c);
}

/* The length of the whole answer, 0 until its head is there. */
static size_t whole(struct caller *c)
{
	const char *end, *length;

	c->in[c->n] = '\0';
	end = strstr(c->in, "\r\n\r\n");
	if (!end)
		return 0;
	length = strcasestr(c->in, "\r\nContent-Length:");
	if (!length || length > end)
		return SIZE_MAX;
	return (size_t)(end - c->in) + 4 + strtoul(length + 17, NULL, 10);
}

static void hear(struct running *r, struct caller *c)
{
	ssize_t got = recv(c->fd, c->in + c->n, ANSWER_MAX - c->n, MSG_DONTWAIT);
	size_t all;

	if (got < 0 && errno == EAGAIN)
		return;
	if (!c->busy) { /* it closed between two requests, or said too much */
		if (got > 0)
			bad(r, "an answer to nothing", "");
		hang_up(c);
		return;
	}
	if (got <= 0) {
		ended(r, c, "cut");
		return;
	}
	c->n += (size_t)got;
	all = whole(c);
	if (all == SIZE_MAX || c->n > all || (all == 0 && c->n == ANSWER_MAX))
		ended(r, c, all ? "not framed" : "long");
	else if (all > 0 && c->n == all)
		ended(r, c, strncmp(c->in, "HTTP/1.1 200 ", 13) == 0 ? NULL : "status");
}

static void dial(struct running *r, struct caller *c)
{
	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_ge(c->fd, 0);
	ck_assert_msg(connect(c->fd, (struct sockaddr *)&r->to, sizeof(r->to)) == 0, "connect: %s",
		strerror(errno));
}

static void ask(struct running *r, struct caller *c)
{
	char text[LOAD_REQUEST_MAX];

	if (c->fd < 0)
		dial(r, c);
	(r->l->request ? r->l->request : load_once)(r->l->first + r->l->asked, text);
	r->l->asked++;
	c->busy = true;
	c->since = harness_now();
	if (send(c->fd, text, strlen(text), MSG_NOSIGNAL) != (ssize_t)strlen(text))
		ended(r, c, "cannot be sent");
}

/* ---- all of them ------------------------------------------------------- */

static bool has_asked_all(const struct running *r, uint64_t now)
{
	const struct load *l = r->l;

	return l->enough || (l->ms && now - r->begun >= l->ms) || (l->most && l->asked >= l->most);
}

static unsigned allowed(const struct running *r, uint64_t now)
{
	const struct load *l = r->l;
	uint64_t n = l->rate ? (now - r->begun) * l->rate / 1000 : UINT32_MAX;

	if (has_asked_all(r, now))
		n = 0;
	if (l->most && n > l->most)
		n = l->most;
	return n > l->asked ? (unsigned)(n - l->asked) : 0;
}

static bool is_over(const struct running *r, uint64_t now)
{
	return has_asked_all(r, now) && r->idle_count == r->l->clients;
}

static void ask_some(struct running *r)
{
	unsigned n = allowed(r, harness_now());

	for (; n > 0 && r->idle_count > 0; n--) {
		unsigned i = r->idle[r->idle_first];

		r->idle_first = (r->idle_first + 1) % r->l->clients;
		r->idle_count--;
		ask(r, &r->callers[i]);
	}
}

static void look(struct running *r, uint64_t now)
{
	if (now - r->looked < LOOK_MS)
		return;
	r->looked = now;
	if (r->l->look)
		r->l->look(r->l->arg, now - r->begun);
}

static void hear_some(struct running *r)
{
	for (unsigned i = 0; i < r->l->clients; i++) {
		r->polls[i].fd = r->callers[i].fd;
		r->polls[i].events = POLLIN;
	}
	if (poll(r->polls, r->l->clients, r->l->rate ? 1 : LOOK_MS) <= 0)
		return;
	for (unsigned i = 0; i < r->l->clients; i++)
		if (r->polls[i].fd >= 0 && r->polls[i].revents)
			hear(r, &r->callers[i]);
}

static void *make(size_t n, size_t size)
{
	void *p = calloc(n, size);

	ck_assert_ptr_nonnull(p);
	return p;
}

static void begin(struct running *r)
{
	unsigned n = r->l->clients;

	r->to.sun_family = AF_UNIX;
	snprintf(r->to.sun_path, sizeof(r->to.sun_path), "%s", daemon_socket());
	r->callers = make(n, sizeof(*r->callers));
	r->polls = make(n, sizeof(*r->polls));
	r->idle = make(n, sizeof(*r->idle));
	for (unsigned i = 0; i < n; i++) {
		r->callers[i].fd = -1;
		rests(r, &r->callers[i]);
	}
	r->begun = harness_now();
}

static void finish(struct running *r)
{
	for (unsigned i = 0; i < r->l->clients; i++) {
		if (r->callers[i].busy)
			bad(r, "no answer", "");
		hang_up(&r->callers[i]);
	}
	free(r->callers);
	free(r->polls);
	free(r->idle);
}

void load_run(struct load *l)
{
	struct running r = {.l = l};
	uint64_t now, last = harness_now();

	begin(&r);
	for (;;) {
		now = harness_now();
		if (allowed(&r, now) > 0)
			last = now;
		if (is_over(&r, now) || now - last > PATIENCE)
			break;
		ask_some(&r);
		hear_some(&r);
		look(&r, harness_now());
	}
	l->took = harness_now() - r.begun;
	finish(&r);
}

void load_assert_good(const char *what, const struct load *l)
{
	if (harness_full())
		fprintf(stderr, "%s: %u requests in %llu ms, slowest %llu ms, bad %u\n", what,
			l->asked, (unsigned long long)l->took, (unsigned long long)l->slowest,
			l->bad);
	ck_assert_msg(
		l->bad == 0, "%s: %u of %u, the first %s", what, l->bad, l->asked, l->first_bad);
	ck_assert_uint_eq(l->good, l->asked);
	ck_assert_uint_gt(l->asked, 0);
}

unsigned load_clients(unsigned n)
{
	struct rlimit files;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &files), 0);
	files.rlim_cur = files.rlim_max;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &files), 0);
	return files.rlim_max >= n + 200 ? n : (unsigned)files.rlim_max - 200;
}
