/*
 * dial.c - from an address in words to a connected link.
 *
 *   RESOLVING ──> CONNECTING ──> HANDSHAKE ──> OVER: done was called, or nobody
 *   names only    addresses      TLS only           wants to know any more
 *                 raced
 *
 * RFC 8305: the addresses alternate between the families; the next attempt
 * begins when race_delay has passed or an earlier one failed, and the first
 * socket that connects wins. One timer bounds resolving and connecting
 * together, started again it bounds the handshake.
 *
 * The work begins in the turn after dial_start, so done never comes from
 * within it. The memory goes back in the reap stage: the link may be on the
 * stack when the dial ends.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <event2/event.h>
#include <event2/event_struct.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "lib/base/ctx.h"
#include "lib/net/address.h"
#include "lib/net/dial.h"
#include "lib/net/io.h"
#include "lib/net/link.h"
#include "lib/net/resolve.h"
#include "lib/net/session.h"

#define DEFAULT_TIMEOUT    10000u /* ms */
#define DEFAULT_RACE_DELAY 250u   /* ms, RFC 8305 section 5 */
#define UNIX_RETRY         20u    /* ms, while the accept queue of a Unix socket is full */

enum dial_phase { DIAL_RESOLVING, DIAL_CONNECTING, DIAL_HANDSHAKE, DIAL_OVER };

struct attempt { /* one address */
	struct dial *dial;
	struct address addr;
	struct event event;
	int fd; /* -1: not begun, failed or won */
};

struct dial {
	struct cc_ctx *ctx;
	enum dial_phase phase;
	dial_fn done;
	void *arg;
	char *host;              /* as it is resolved; NULL: Unix socket or number */
	char *name;              /* what the certificate must be for; NULL: clear text */
	SSL *ssl;                /* NULL: clear text, or the link has it */
	struct session *session; /* goes to the link with ssl; NULL: nothing is resumed */
	uint64_t connect_timeout, tls_timeout, race_delay; /* ms */
	uint64_t tcp_keepalive, tcp_user_timeout;          /* ms */
	uint16_t port;

	struct lookup *lookup; /* while RESOLVING */
	struct attempt *attempts;
	unsigned count, next, running;
	unsigned won;         /* index of the connected attempt */
	struct link *link;    /* HANDSHAKE; afterwards only if it failed */
	struct address first; /* the only address when nothing is resolved */

	struct timer deadline; /* of the phase */
	struct timer race;     /* the next attempt begins */
	struct turn_item begin, opened, reap;
	char detail[384];
};

/* ---- ends -------------------------------------------------------------- */

static void dial_reap(struct turn_item *item)
{
	struct dial *d = container_of(item, struct dial, reap);
	struct cc_ctx *ctx = d->ctx;

	link_free(d->link);
	session_end(d->session, true);
	SSL_free(d->ssl);
	mem_free(ctx, d->attempts);
	mem_free(ctx, d->host);
	mem_free(ctx, d->name);
	mem_free(ctx, d);
}

static const struct io *dial_io(const struct dial *d)
{
	return d->ctx->io ? d->ctx->io : &io_system;
}

static void attempt_close(struct attempt *a)
{
	if (a->fd < 0)
		return;
	event_del(&a->event);
	dial_io(a->dial)->close(a->fd);
	a->fd = -1;
	a->dial->running--;
}

/* No callback of d comes after this. */
static void dial_stop(struct dial *d)
{
	d->phase = DIAL_OVER;
	turn_cancel(&d->begin);
	turn_cancel(&d->opened);
	timer_stop(&d->deadline);
	timer_stop(&d->race);
	resolve_cancel(d->lookup);
	d->lookup = NULL;
	for (unsigned i = 0; i < d->next; i++)
		attempt_close(&d->attempts[i]);
	if (d->link)
		link_close(d->link);
	turn_add(d->ctx, TURN_REAP, &d->reap);
}

static void dial_fail(struct dial *d, int err, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static void dial_fail(struct dial *d, int err, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(d->detail, sizeof(d->detail), fmt, args);
	va_end(args);
	dial_stop(d);
	d->done(d->arg, err, NULL, d->detail);
}

static void dial_succeed(struct dial *d, struct link *link)
{
	d->link = NULL;
	dial_stop(d);
	d->done(d->arg, 0, link, "");
}

/* "name (address)" or "address" of one attempt. */
static void attempt_text(const struct attempt *a, char *buf, size_t size)
{
	char text[160];

	address_text(&a->addr, text, sizeof(text));
	if (a->dial->host)
		snprintf(buf, size, "%s (%s)", a->dial->host, text);
	else
		snprintf(buf, size, "%s", text);
}

/* ---- handshake --------------------------------------------------------- */

static void dial_opened(struct turn_item *item)
{
	struct dial *d = container_of(item, struct dial, opened);

	link_pause(d->link, false);
	dial_succeed(d, d->link);
}

/* The link is on the stack, and whom it is given to may want to free it. */
static void on_open(struct link *l)
{
	struct dial *d = l->owner;

	link_pause(l, true);
	turn_add(d->ctx, TURN_NOTIFY, &d->opened);
}

static void on_tls_error(struct link *l, int err)
{
	struct dial *d = l->owner;
	long verify = SSL_get_verify_result(l->ssl);
	char where[288];

	attempt_text(&d->attempts[d->won], where, sizeof(where));
	if (err != CC_ENOMEM)
		err = CC_ETLS;
	if (verify != X509_V_OK && SSL_get_verify_mode(l->ssl) != SSL_VERIFY_NONE)
		dial_fail(d, CC_ECERT, "%s: TLS handshake: certificate verify failed for %s: %s",
			where, d->name, X509_verify_cert_error_string(verify));
	else
		dial_fail(d, err, "%s: %s", where, l->detail);
}

static void on_tls_eof(struct link *l, bool clean)
{
	(void)clean;
	on_tls_error(l, CC_ETLS);
}

static void on_early_data(struct link *l)
{
	(void)l; /* nothing is read before the link is given away */
}

static const struct link_ops dial_link_ops = {
	.on_open = on_open,
	.on_data = on_early_data,
	.on_eof = on_tls_eof,
	.on_error = on_tls_error,
};

/* One phase ends, the next has a time of its own. */
static bool dial_enter(struct dial *d, enum dial_phase phase, uint64_t timeout)
{
	d->phase = phase;
	if (timer_start(d->ctx, &d->deadline, timeout) == 0)
		return true;
	dial_fail(d, CC_ENOMEM, "out of memory");
	return false;
}

static void dial_connected(struct dial *d, struct attempt *winner)
{
	struct link *link;
	int fd = winner->fd;

	event_del(&winner->event);
	winner->fd = -1;
	d->running--;
	d->won = (unsigned)(winner - d->attempts);
	timer_stop(&d->race);
	for (unsigned i = 0; i < d->next; i++)
		attempt_close(&d->attempts[i]);

	if (d->session)
		session_offer(d->session, d->ssl);
	if (link_new(d->ctx, fd, d->ssl, &dial_link_ops, d, &link) < 0) {
		dial_io(d)->close(fd);
		dial_fail(d, CC_ENOMEM, "out of memory");
		return;
	}
	if (!d->ssl) {
		dial_succeed(d, link);
		return;
	}
	link->session = d->session;
	d->session = NULL;
	d->ssl = NULL;
	d->link = link;
	dial_enter(d, DIAL_HANDSHAKE, d->tls_timeout);
}

/* ---- the race ---------------------------------------------------------- */

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
static void set_tcp_options(const struct dial *d, int fd)
{
	int on = 1;
	unsigned user_timeout = (unsigned)d->tcp_user_timeout;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (user_timeout > 0)
		setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &user_timeout, sizeof(user_timeout));
	if (d->tcp_keepalive > 0)
		set_keepalive(fd, d->tcp_keepalive);
}

static void race_on(struct dial *d);

static void attempt_detail(struct attempt *a, const char *what, int error)
{
	struct dial *d = a->dial;
	char text[96], where[288];

	attempt_text(a, where, sizeof(where));
	/* The GNU function may return a constant instead of filling text. */
	snprintf(d->detail, sizeof(d->detail), "%s%s: %s", what, where,
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
		dial_connected(a->dial, a);
		return;
	}
	attempt_detail(a, "connect to ", error);
	attempt_close(a);
	race_on(a->dial);
}

enum began { BEGAN_FAILED, BEGAN_RUNNING, BEGAN_CONNECTED, BEGAN_BUSY };

static enum began attempt_connect(struct attempt *a)
{
	const struct sockaddr *sa = (const struct sockaddr *)&a->addr.sa;

	if (dial_io(a->dial)->connect(a->fd, sa, a->addr.len) == 0)
		return BEGAN_CONNECTED;
	if (errno == EINPROGRESS || errno == EINTR) {
		if (event_add(&a->event, NULL) == 0)
			return BEGAN_RUNNING;
		attempt_detail(a, "watch the connection to ", errno);
		return BEGAN_FAILED;
	}
	attempt_detail(a, "connect to ", errno);
	/* A Unix socket does not connect later by itself: nobody tells when there is room. */
	return errno == EAGAIN && sa->sa_family == AF_UNIX ? BEGAN_BUSY : BEGAN_FAILED;
}

static enum began attempt_begin(struct attempt *a)
{
	struct dial *d = a->dial;
	enum began how;

	a->fd = dial_io(d)->socket(a->addr.sa.ss_family, SOCK_STREAM, 0);
	if (a->fd < 0) {
		attempt_detail(a, "socket for ", errno);
		return BEGAN_FAILED;
	}
	d->running++;
	event_assign(&a->event, d->ctx->base, a->fd, EV_WRITE, on_connected, a);
	if (a->addr.sa.ss_family != AF_UNIX)
		set_tcp_options(d, a->fd);

	how = attempt_connect(a);
	if (how == BEGAN_FAILED || how == BEGAN_BUSY)
		attempt_close(a);
	return how;
}

/* Begins the next attempt that does not fail at once. */
static void race_on(struct dial *d)
{
	enum began how = BEGAN_FAILED;

	while (d->next < d->count && how == BEGAN_FAILED)
		how = attempt_begin(&d->attempts[d->next++]);

	if (how == BEGAN_CONNECTED) {
		dial_connected(d, &d->attempts[d->next - 1]);
		return;
	}
	if (how == BEGAN_BUSY)
		d->next--;
	if (d->next < d->count) {
		uint64_t delay = how == BEGAN_BUSY ? UNIX_RETRY : d->race_delay;

		if (timer_start(d->ctx, &d->race, delay) == 0 || d->running > 0)
			return;
		dial_fail(d, CC_ENOMEM, "out of memory");
		return;
	}
	timer_stop(&d->race);
	if (d->running > 0)
		return;

	char last[sizeof(d->detail)];

	memcpy(last, d->detail, sizeof(last));
	if (d->count == 1)
		dial_fail(d, CC_ECONNECT, "%s", last);
	else
		dial_fail(d, CC_ECONNECT, "%.340s (last of %u addresses)", last, d->count);
}

static void on_race(struct timer *t)
{
	race_on(container_of(t, struct dial, race));
}

/* RFC 8305 section 4: the families alternate, each in its own order. */
static void interleave(struct dial *d, const struct address *addrs, unsigned n)
{
	sa_family_t first = addrs[0].sa.ss_family;
	unsigned same = 0, other = 0;
	bool turn_of_first = true;

	for (unsigned i = 0; i < n; i++) {
		while (same < n && addrs[same].sa.ss_family != first)
			same++;
		while (other < n && addrs[other].sa.ss_family == first)
			other++;
		if (other >= n || (turn_of_first && same < n))
			d->attempts[i].addr = addrs[same++];
		else
			d->attempts[i].addr = addrs[other++];
		turn_of_first = !turn_of_first;
	}
}

static void connect_to(struct dial *d, const struct address *addrs, unsigned n)
{
	d->attempts = mem_zalloc(d->ctx, n * sizeof(*d->attempts));
	if (!d->attempts) {
		dial_fail(d, CC_ENOMEM, "out of memory");
		return;
	}
	d->count = n;
	for (unsigned i = 0; i < n; i++) {
		d->attempts[i].dial = d;
		d->attempts[i].fd = -1;
	}
	interleave(d, addrs, n);
	d->phase = DIAL_CONNECTING; /* the time goes on that began with resolving */
	race_on(d);
}

/* ---- resolving and time ------------------------------------------------ */

static void on_resolved(void *arg, int err, const struct address *addrs, unsigned n, uint32_t ttl,
	const char *detail)
{
	struct dial *d = arg;

	(void)ttl;
	d->lookup = NULL;
	if (err == 0)
		connect_to(d, addrs, n);
	else
		dial_fail(d, err, "resolve %s: %s", d->host, detail);
}

static void dial_begin(struct turn_item *item)
{
	struct dial *d = container_of(item, struct dial, begin);
	int err;

	if (!dial_enter(d, DIAL_RESOLVING, d->connect_timeout))
		return;
	if (!d->host) {
		connect_to(d, &d->first, 1);
		return;
	}
	err = resolve_start(d->ctx, d->host, d->port, on_resolved, d, &d->lookup);
	if (err < 0)
		dial_fail(d, err, "resolve %s: %s", d->host, cc_strerror(err));
}

static void on_deadline(struct timer *t)
{
	struct dial *d = container_of(t, struct dial, deadline);
	unsigned long ms = (unsigned long)d->connect_timeout;
	char where[288];

	if (d->phase == DIAL_RESOLVING) {
		dial_fail(d, CC_ETIMEOUT, "resolve %s: no answer in %lu ms (connect timeout)",
			d->host, ms);
		return;
	}
	attempt_text(&d->attempts[d->phase == DIAL_HANDSHAKE ? d->won : 0], where, sizeof(where));
	if (d->phase == DIAL_HANDSHAKE)
		dial_fail(d, CC_ETIMEOUT, "%s: TLS handshake not finished in %lu ms (TLS timeout)",
			where, (unsigned long)d->tls_timeout);
	else if (d->running == 0 && d->detail[0] != '\0') /* a Unix socket that stayed busy */
		dial_fail(d, CC_ETIMEOUT,
			"connect to %s: accept queue full for %lu ms (connect timeout)", where, ms);
	else
		dial_fail(d, CC_ETIMEOUT,
			"connect to %s: %u of %u addresses tried in %lu ms (connect timeout)",
			where, d->next, d->count, ms);
}

/* ---- start ------------------------------------------------------------- */

/* Numbers are verified as such and never sent as server name (RFC 6066 section 3). */
static bool ssl_set_name(SSL *ssl, const char *name)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
	struct address unused;

	if (address_numeric(&unused, name, 0))
		return X509_VERIFY_PARAM_set1_ip_asc(param, name) == 1;
	X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	return X509_VERIFY_PARAM_set1_host(param, name, 0) == 1 &&
	       SSL_set_tlsext_host_name(ssl, name) == 1;
}

static int dial_set_tls(struct dial *d, const struct dial_target *t, const char *host)
{
	const char *name = t->tls_name ? t->tls_name : host;
	size_t n = name ? strlen(name) : 0;

	/* Without a name any certificate would do. */
	if (n == 0 && SSL_CTX_get_verify_mode(t->tls) != SSL_VERIFY_NONE)
		return CC_EINVAL;
	d->name = mem_strdup(d->ctx, name ? name : "");
	d->ssl = SSL_new(t->tls);
	if (!d->name || !d->ssl)
		return CC_ENOMEM;
	if (n > 1 && d->name[n - 1] == '.') /* the root's dot is not part of the name here */
		d->name[n - 1] = '\0';

	SSL_set_connect_state(d->ssl);
	if ((n > 0 && !ssl_set_name(d->ssl, d->name)) ||
		(t->alpn && SSL_set_alpn_protos(d->ssl, t->alpn, t->alpn_len) != 0)) {
		ERR_clear_error();
		return CC_EINVAL;
	}
	if (t->resume)
		d->session = session_new(d->ctx, t->tls, d->name, t->address);
	return 0;
}

static int dial_set_address(struct dial *d, const struct dial_target *t, char **host)
{
	struct dial_host h = {0};
	int err = dial_parse(t->address, &h);

	if (err < 0)
		return err;
	if (h.path) {
		address_unix(&d->first, h.path);
		return 0;
	}
	d->port = h.port != 0 ? h.port : t->default_port;
	if (d->port == 0)
		return CC_EINVAL;

	*host = mem_alloc(d->ctx, h.host_len + 1);
	if (!*host)
		return CC_ENOMEM;
	memcpy(*host, h.host, h.host_len);
	(*host)[h.host_len] = '\0';
	if (address_numeric(&d->first, *host, d->port))
		return 0;
	d->first.len = 0;
	return t->address[0] == '[' ? CC_EINVAL : 0;
}

static void dial_set_times(struct dial *d, const struct dial_target *t)
{
	d->connect_timeout = t->connect_timeout ? t->connect_timeout : DEFAULT_TIMEOUT;
	d->tls_timeout = t->tls_timeout ? t->tls_timeout : DEFAULT_TIMEOUT;
	d->race_delay = t->race_delay ? t->race_delay : DEFAULT_RACE_DELAY;
	d->tcp_keepalive = t->tcp_keepalive;
	d->tcp_user_timeout = t->tcp_user_timeout;
}

int dial_start(struct cc_ctx *ctx, const struct dial_target *target, dial_fn done, void *arg,
	struct dial **ret)
{
	struct dial *d = mem_zalloc(ctx, sizeof(*d));
	char *host = NULL;
	int err;

	if (!d)
		return CC_ENOMEM;
	d->ctx = ctx;
	d->done = done;
	d->arg = arg;
	timer_init(&d->deadline, on_deadline);
	timer_init(&d->race, on_race);
	turn_item_init(&d->begin, dial_begin);
	turn_item_init(&d->opened, dial_opened);
	turn_item_init(&d->reap, dial_reap);
	dial_set_times(d, target);

	err = dial_set_address(d, target, &host);
	if (err == 0 && target->tls)
		err = dial_set_tls(d, target, host);
	if (d->first.len == 0)
		d->host = host;
	else
		mem_free(ctx, host);
	if (err < 0) {
		dial_reap(&d->reap); /* nothing has begun: at once */
		return err;
	}

	*ret = d;
	turn_add(ctx, TURN_NOTIFY, &d->begin);
	return 0;
}

void dial_cancel(struct dial *d)
{
	if (d && d->phase != DIAL_OVER)
		dial_stop(d);
}

const char *dial_alpn(const struct link *link, char buf[32])
{
	const unsigned char *name = NULL;
	unsigned n = 0;

	if (link->ssl)
		SSL_get0_alpn_selected(link->ssl, &name, &n);
	if (n > 31)
		n = 0;
	if (n > 0)
		memcpy(buf, name, n);
	buf[n] = '\0';
	return buf;
}
