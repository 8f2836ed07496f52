/*
 * race.c - addresses that race for the connection.
 *
 * At most one attempt begins at a time; the first socket that connects wins
 * and the others are closed.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>

#include <event2/event.h>
#include <event2/event_struct.h>

#include "lib/base/ctx.h"
#include "lib/net/address.h"
#include "lib/net/io.h"
#include "lib/net/order.h"
#include "lib/net/race.h"

#define UNIX_RETRY 20u /* ms, while the accept queue of a Unix socket is full */

struct attempt { /* one address */
	struct race *race;
	struct address addr;
	struct event event;
	uint64_t begun; /* ms */
	int fd;         /* -1: not begun, failed or won */
};

static bool is_unix(const struct address *a)
{
	return a->sa.ss_family == AF_UNIX;
}

static const struct io *race_io(const struct race *r)
{
	return r->ctx->io ? r->ctx->io : &io_system;
}

static void attempt_close(struct attempt *a)
{
	if (a->fd < 0)
		return;
	event_del(&a->event);
	race_io(a->race)->close(a->fd);
	a->fd = -1;
	a->race->running--;
}

static void attempt_text(const struct attempt *a, char *buf, size_t size)
{
	const struct race *r = a->race;
	char text[160];

	address_text(&a->addr, text, sizeof(text));
	if (r->host)
		snprintf(buf, size, "%s%s (%s)", r->word, r->host, text);
	else
		snprintf(buf, size, "%s%s", r->word, text);
}

void race_text(const struct race *r, char *buf, size_t size)
{
	attempt_text(&r->attempts[r->won], buf, size);
}

void race_address(const struct race *r, char *buf, size_t size)
{
	if (r->over)
		address_text(&r->attempts[r->won].addr, buf, size);
	else
		snprintf(buf, size, "%s", "");
}

/* ---- ends -------------------------------------------------------------- */

void race_stop(struct race *r)
{
	timer_stop(&r->timer);
	for (unsigned i = 0; i < r->next; i++)
		attempt_close(&r->attempts[i]);
}

void race_clear(struct race *r)
{
	mem_free(r->ctx, r->attempts);
	r->attempts = NULL;
}

static void race_lost(struct race *r, int err)
{
	race_stop(r);
	if (err == CC_ENOMEM)
		snprintf(r->detail, sizeof(r->detail), "out of memory");
	r->done(r, err, -1);
}

static void race_won(struct race *r, struct attempt *winner)
{
	int fd = winner->fd;

	event_del(&winner->event);
	winner->fd = -1;
	r->running--;
	r->won = (unsigned)(winner - r->attempts);
	r->over = true;
	race_stop(r);
	if (r->ctx->failed)
		failed_remove(r->ctx->failed, &winner->addr);
	r->done(r, 0, fd);
}

/* ---- one attempt --------------------------------------------------------- */

/*
 * The peer is probed when the line was silent for the time asked, then three
 * times more in as long again: dead after twice the time.
 */
static void set_keepalive(int fd, uint64_t ms)
{
	int on = 1, idle = ms < 1000 ? 1 : (int)(ms / 1000);
	int interval = idle < 3 ? 1 : idle / 3, count = 3;

	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof(interval));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof(count));
}

/* A connection works without any of these, only not as well: errors do not matter. */
static void set_tcp_options(const struct race_opts *o, int fd)
{
	int on = 1;
	unsigned user_timeout = (unsigned)o->tcp_user_timeout;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (user_timeout > 0)
		setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &user_timeout, sizeof(user_timeout));
	if (o->tcp_keepalive > 0)
		set_keepalive(fd, o->tcp_keepalive);
}

static void race_on(struct race *r);

/* Tried last for a while. Without memory for that it is tried as ever. */
static void attempt_remember(const struct attempt *a)
{
	struct cc_ctx *ctx = a->race->ctx;

	if (is_unix(&a->addr))
		return;
	if (!ctx->failed)
		ctx->failed = mem_zalloc(ctx, sizeof(*ctx->failed));
	if (ctx->failed)
		failed_add(ctx->failed, &a->addr, ctx_now(ctx));
}

static void attempt_detail(struct attempt *a, const char *what, int error)
{
	struct race *r = a->race;
	char text[96], where[RACE_TEXT];

	attempt_text(a, where, sizeof(where));
	/* The GNU function may return a constant instead of filling text. */
	snprintf(r->detail, sizeof(r->detail), "%s%s: %s", what, where,
		strerror_r(error, text, sizeof(text)));
}

static void on_connected(evutil_socket_t fd, short what, void *arg)
{
	struct attempt *a = arg;
	int error = 0;
	socklen_t len = sizeof(error);

	(void)what;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		error = errno;
	if (error == 0) {
		race_won(a->race, a);
		return;
	}
	attempt_detail(a, "connect to ", error);
	attempt_remember(a);
	attempt_close(a);
	race_on(a->race);
}

enum began { BEGAN_FAILED, BEGAN_RUNNING, BEGAN_CONNECTED, BEGAN_BUSY };

static enum began attempt_connect(struct attempt *a)
{
	const struct sockaddr *sa = (const struct sockaddr *)&a->addr.sa;
	int error;

	if (race_io(a->race)->connect(a->fd, sa, a->addr.len) == 0)
		return BEGAN_CONNECTED;
	if (errno == EINPROGRESS || errno == EINTR) {
		if (event_add(&a->event, NULL) == 0)
			return BEGAN_RUNNING;
		attempt_detail(a, "watch the connection to ", errno);
		return BEGAN_FAILED;
	}
	error = errno;
	attempt_detail(a, "connect to ", error);
	attempt_remember(a);
	/* A Unix socket does not connect later by itself: nobody tells when there is room. */
	return error == EAGAIN && is_unix(&a->addr) ? BEGAN_BUSY : BEGAN_FAILED;
}

/* Unlike the options above these are orders: what cannot be bound does not connect. */
static bool attempt_bind(struct attempt *a)
{
	const struct race_opts *o = &a->race->opts;
	int on = 1;
	char what[96], text[64];

	if (o->interface[0] && setsockopt(a->fd, SOL_SOCKET, SO_BINDTODEVICE, o->interface,
				       (socklen_t)strlen(o->interface)) < 0) {
		snprintf(what, sizeof(what), "bind to interface %s for ", o->interface);
		attempt_detail(a, what, errno);
		return false;
	}
	if (o->bind.len == 0)
		return true;
	/* The port is chosen at connect: one port serves several servers. */
	setsockopt(a->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
	if (bind(a->fd, (const struct sockaddr *)&o->bind.sa, o->bind.len) == 0)
		return true;
	int error = errno;

	address_text(&o->bind, text, sizeof(text));
	snprintf(what, sizeof(what), "bind to %s for ", text);
	attempt_detail(a, what, error);
	return false;
}

static bool attempt_prepare(struct attempt *a)
{
	if (is_unix(&a->addr))
		return true;
	set_tcp_options(&a->race->opts, a->fd);
	return attempt_bind(a);
}

static enum began attempt_begin(struct attempt *a)
{
	struct race *r = a->race;
	enum began how = BEGAN_FAILED;

	a->fd = race_io(r)->socket(a->addr.sa.ss_family, SOCK_STREAM, 0);
	if (a->fd < 0) {
		r->out_of_fds = errno == EMFILE || errno == ENFILE;
		attempt_detail(a, "socket for ", errno);
		return BEGAN_FAILED;
	}
	r->running++;
	a->begun = ctx_now(r->ctx);
	event_assign(&a->event, r->ctx->base, a->fd, EV_WRITE, on_connected, a);
	if (attempt_prepare(a))
		how = attempt_connect(a);
	if (how == BEGAN_FAILED || how == BEGAN_BUSY)
		attempt_close(a);
	return how;
}

/* ---- the race ------------------------------------------------------------- */

/* Nothing is left to begin, nothing runs; detail is that of the last one. */
static void all_failed(struct race *r)
{
	size_t n = strlen(r->detail);

	if (r->count > 1)
		snprintf(r->detail + n, sizeof(r->detail) - n, " (last of %u addresses)", r->count);
	race_lost(r, r->out_of_fds ? CC_EMFILE : CC_ECONNECT);
}

/* Begins the next attempt that does not fail at once. */
static void race_on(struct race *r)
{
	enum began how = BEGAN_FAILED;

	while (r->next < r->count && how == BEGAN_FAILED)
		how = attempt_begin(&r->attempts[r->next++]);

	if (how == BEGAN_CONNECTED) {
		race_won(r, &r->attempts[r->next - 1]);
		return;
	}
	if (how == BEGAN_BUSY)
		r->next--;
	if (r->next < r->count) {
		uint64_t delay = how == BEGAN_BUSY ? UNIX_RETRY : r->opts.delay;

		timer_start(r->ctx, &r->timer, delay);
		return;
	}
	timer_stop(&r->timer);
	if (r->running == 0)
		all_failed(r);
}

static void on_timer(struct timer *t)
{
	race_on(container_of(t, struct race, timer));
}

void race_init(struct race *r, struct cc_ctx *ctx, void (*done)(struct race *r, int err, int fd))
{
	r->ctx = ctx;
	r->done = done;
	r->word = "";
	timer_init(&r->timer, on_timer);
}

static void none_of_that_family(struct race *r, const struct address *first)
{
	char text[160], bound[64];

	address_text(first, text, sizeof(text));
	address_text(&r->opts.bind, bound, sizeof(bound));
	snprintf(r->detail, sizeof(r->detail), "connect to %s%s: no address of the family of %s",
		r->word, r->host ? r->host : text, bound);
	race_lost(r, CC_ECONNECT);
}

void race_start(struct race *r, const struct address *addrs, unsigned n)
{
	sa_family_t family = is_unix(&addrs[0]) ? AF_UNSPEC : r->opts.bind.sa.ss_family;
	uint8_t order[RESOLVE_MAX];

	r->attempts = mem_zalloc(r->ctx, n * sizeof(*r->attempts));
	if (!r->attempts) {
		race_lost(r, CC_ENOMEM);
		return;
	}
	r->count = order_addresses(addrs, n, family, r->ctx->failed, ctx_now(r->ctx), order);
	for (unsigned i = 0; i < r->count; i++) {
		r->attempts[i].race = r;
		r->attempts[i].addr = addrs[order[i]];
		r->attempts[i].fd = -1;
	}
	if (r->count == 0)
		none_of_that_family(r, &addrs[0]);
	else
		race_on(r);
}

void race_time_out(struct race *r, uint64_t ms)
{
	bool busy = r->running == 0 && r->detail[0] != '\0'; /* a Unix socket that stayed so */
	char where[RACE_TEXT];

	for (unsigned i = 0; i < r->next; i++) {
		const struct attempt *a = &r->attempts[i];

		/* The last one may have begun a moment ago. */
		if (a->fd >= 0 && (i == 0 || ctx_now(r->ctx) - a->begun >= r->opts.delay))
			attempt_remember(a);
	}
	race_text(r, where, sizeof(where));
	if (busy)
		snprintf(r->detail, sizeof(r->detail),
			"connect to %s: accept queue full for %lu ms (connect timeout)", where,
			(unsigned long)ms);
	else
		snprintf(r->detail, sizeof(r->detail),
			"connect to %s: %u of %u addresses tried in %lu ms (connect timeout)",
			where, r->next, r->count, (unsigned long)ms);
}

uint64_t race_failed_at(const struct cc_ctx *ctx, const struct address *a)
{
	return ctx->failed ? failed_at(ctx->failed, a) : 0;
}

void race_ctx_clear(struct cc_ctx *ctx)
{
	mem_free(ctx, ctx->failed);
	ctx->failed = NULL;
}
