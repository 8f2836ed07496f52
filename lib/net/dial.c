/*
 * dial.c - from an address in words to a connected link.
 *
 *   RESOLVING ──> CONNECTING ──> PROXY ──> HANDSHAKE ──> OVER: done was called, or
 *   names only    addresses      proxy      TLS only           nobody wants to know
 *                 raced          only                          any more
 *
 * RFC 8305: order.h, race.h. The resolution delay of its section 3 (start
 * with A while AAAA is late) is not here: c-ares answers for both families at
 * once and sorts them together (RFC 6724), which two lookups would have to do
 * again by hand.
 *
 * With a proxy it is the proxy that is resolved and raced. The tunnel is spoken
 * by a link in clear, which then gives its descriptor, and what it read too
 * much, to the link that reaches the server.
 *
 * One timer bounds resolving and connecting together; started again it bounds
 * the tunnel, then the handshake.
 *
 * The work begins in the turn after dial_start, so done never comes from
 * within it. The memory goes back in the reap stage: the link may be on the
 * stack when the dial ends.
 */
#include <net/if.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "lib/base/ctx.h"
#include "lib/net/address.h"
#include "lib/net/dial.h"
#include "lib/net/io.h"
#include "lib/net/link.h"
#include "lib/net/proxy.h"
#include "lib/net/proxy_talk.h"
#include "lib/net/race.h"
#include "lib/net/resolve.h"
#include "lib/net/session.h"

#define DEFAULT_TIMEOUT    10000u /* ms */
#define DEFAULT_RACE_DELAY 250u   /* ms, RFC 8305 section 5 */

enum dial_phase { DIAL_RESOLVING, DIAL_CONNECTING, DIAL_PROXY, DIAL_HANDSHAKE, DIAL_OVER };

struct dial {
	struct cc_ctx *ctx;
	enum dial_phase phase;
	dial_fn done;
	void *arg;
	char *host;              /* to resolve, a proxy's if there is one; NULL: none */
	char *name;              /* what the certificate must be for; NULL: clear text */
	SSL *ssl;                /* NULL: clear text, or the link has it */
	struct session *session; /* goes to the link with ssl; NULL: nothing is resumed */
	uint64_t connect_timeout, tls_timeout; /* ms */
	uint16_t port;
	struct proxy_talk *talk; /* NULL: no proxy */

	struct lookup *lookup; /* while RESOLVING */
	struct race race;
	struct link *link;     /* PROXY, HANDSHAKE; afterwards only if it failed */
	struct address *known; /* NULL: the host is resolved */
	unsigned known_count;

	struct timer deadline; /* of the phase */
	struct turn_item begin, opened, reap;
	char detail[768]; /* two names of 253 bytes may be in it */
};

/* ---- ends -------------------------------------------------------------- */

static void dial_reap(struct turn_item *item)
{
	struct dial *d = container_of(item, struct dial, reap);
	struct cc_ctx *ctx = d->ctx;

	link_free(d->link);
	SSL_free(d->ssl);
	session_end(d->session, true);
	proxy_talk_free(d->talk);
	race_clear(&d->race);
	mem_free(ctx, d->known);
	mem_free(ctx, d->host);
	mem_free(ctx, d->name);
	mem_free(ctx, d);
}

static const struct io *dial_io(const struct dial *d)
{
	return d->ctx->io ? d->ctx->io : &io_system;
}

/* No callback of d comes after this. */
static void dial_stop(struct dial *d)
{
	d->phase = DIAL_OVER;
	turn_cancel(&d->begin);
	turn_cancel(&d->opened);
	timer_stop(&d->deadline);
	resolve_cancel(d->lookup);
	d->lookup = NULL;
	race_stop(&d->race);
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

static void dial_starve(struct dial *d)
{
	dial_fail(d, CC_ENOMEM, "out of memory");
}

#define SERVER_TEXT (RACE_TEXT + 288) /* of server_text */

/* Who is at the other end of the link: "server", "server through proxy name (address)". */
static void server_text(const struct dial *d, char *buf, size_t size)
{
	size_t n = 0;

	if (d->talk)
		n = (size_t)snprintf(buf, size, "%s through ", proxy_talk_server(d->talk));
	race_text(&d->race, buf + n, size - n);
}

/* One phase ends, the next has a time of its own. */
static void dial_enter(struct dial *d, enum dial_phase phase, uint64_t timeout)
{
	d->phase = phase;
	timer_start(d->ctx, &d->deadline, timeout);
}

/* ---- handshake --------------------------------------------------------- */

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
	long verify = SSL_get_verify_result(l->wire.ssl);
	char where[SERVER_TEXT];

	server_text(d, where, sizeof(where));
	if (err == CC_ENOMEM) /* which may have kept the certificate from being verified, too */
		dial_fail(d, err, "%s: %s", where, link_detail(l));
	else if (verify != X509_V_OK && SSL_get_verify_mode(l->wire.ssl) != SSL_VERIFY_NONE)
		dial_fail(d, CC_ECERT, "%s: TLS handshake: certificate verify failed for %s: %s",
			where, d->name, X509_verify_cert_error_string(verify));
	else
		dial_fail(d, CC_ETLS, "%s: %s", where, link_detail(l));
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

/*
 * fd is a pipe to the server: in clear the dial is over, with TLS the handshake
 * follows. early, if given, was read from it already.
 */
static void dial_reached(struct dial *d, int fd, struct cc_buf *early)
{
	bool tls = d->ssl != NULL;
	int err;

	if (d->session)
		session_offer(d->session, d->ssl);
	if (link_new(d->ctx, fd, d->ssl, &dial_link_ops, d, &d->link) < 0) {
		dial_io(d)->close(fd);
		dial_starve(d);
		return;
	}
	d->link->wire.session = d->session; /* the link has both */
	d->session = NULL;
	d->ssl = NULL;
	err = early ? link_put_back(d->link, early) : 0;
	if (err < 0)
		dial_fail(d, err, "%s", cc_strerror(err));
	else if (tls)
		dial_enter(d, DIAL_HANDSHAKE, d->tls_timeout);
	else
		dial_succeed(d, d->link);
}

/* ---- the tunnel of a proxy ----------------------------------------------- */

static void proxy_fail(struct dial *d, int err, const char *why)
{
	char where[RACE_TEXT];

	race_text(&d->race, where, sizeof(where));
	dial_fail(d, err, "%s: %s %s: %s", where, proxy_talk_word(d->talk),
		proxy_talk_server(d->talk), why);
}

static void on_proxy_data(struct link *l)
{
	struct dial *d = l->owner;

	switch (proxy_talk_feed(d->talk, &l->in, &l->out)) {
	case PROXY_TALK_MORE:
		link_flush(l);
		break;
	case PROXY_TALK_OPEN:
		if (l->out.len > 0)
			proxy_fail(d, CC_ECONNECT, "answered before it was asked");
		else
			on_open(l);
		break;
	case PROXY_TALK_FAILED:
		proxy_fail(d, proxy_talk_error(d->talk), proxy_talk_detail(d->talk));
		break;
	}
}

static void on_proxy_eof(struct link *l, bool clean)
{
	(void)clean;
	proxy_fail(l->owner, CC_ECONNECT, "the proxy closed the connection");
}

static void on_proxy_error(struct link *l, int err)
{
	proxy_fail(l->owner, err == CC_ENOMEM ? err : CC_ECONNECT, link_detail(l));
}

static const struct link_ops proxy_link_ops = {
	.on_data = on_proxy_data,
	.on_eof = on_proxy_eof,
	.on_error = on_proxy_error,
};

static void proxy_start(struct dial *d, int fd)
{
	if (link_new(d->ctx, fd, NULL, &proxy_link_ops, d, &d->link) < 0) {
		dial_io(d)->close(fd);
		dial_starve(d);
		return;
	}
	if (proxy_talk_begin(d->talk, &d->link->out) < 0) {
		cc_buf_clear(&d->link->out); /* half a request is not sent */
		dial_starve(d);
		return;
	}
	link_flush(d->link);
	dial_enter(d, DIAL_PROXY, d->connect_timeout);
}

static void proxy_opened(struct dial *d)
{
	struct link *l = d->link;
	int fd = link_detach(l);

	d->link = NULL;
	dial_reached(d, fd, &l->in);
	link_free(l);
}

/* What on_open left for the turn's end. */
static void dial_opened(struct turn_item *item)
{
	struct dial *d = container_of(item, struct dial, opened);

	if (d->phase == DIAL_PROXY) {
		proxy_opened(d);
		return;
	}
	link_pause(d->link, false);
	dial_succeed(d, d->link);
}

static void on_raced(struct race *r, int err, int fd)
{
	struct dial *d = container_of(r, struct dial, race);

	if (err < 0)
		dial_fail(d, err, "%s", r->detail);
	else if (d->talk)
		proxy_start(d, fd);
	else
		dial_reached(d, fd, NULL);
}

/* ---- resolving and time ------------------------------------------------ */

/* The time goes on that began with resolving. */
static void dial_race(struct dial *d, const struct address *addrs, unsigned n)
{
	d->phase = DIAL_CONNECTING;
	race_start(&d->race, addrs, n);
}

static void on_resolved(void *arg, const struct resolved *found)
{
	struct dial *d = arg;

	d->lookup = NULL;
	if (found->err == 0)
		dial_race(d, found->addrs, found->n);
	else
		dial_fail(d, found->err, "resolve %s%s: %s", d->race.word, d->host, found->detail);
}

static void dial_begin(struct turn_item *item)
{
	struct dial *d = container_of(item, struct dial, begin);
	int err;

	dial_enter(d, DIAL_RESOLVING, d->connect_timeout);
	if (!d->host) {
		dial_race(d, d->known, d->known_count);
		return;
	}
	err = resolve_start(d->ctx, d->host, d->port, AF_UNSPEC, on_resolved, d, &d->lookup);
	if (err < 0)
		dial_fail(d, err, "resolve %s%s: %s", d->race.word, d->host, cc_strerror(err));
}

static void on_deadline(struct timer *t)
{
	struct dial *d = container_of(t, struct dial, deadline);
	unsigned long ms = (unsigned long)d->connect_timeout;
	char text[SERVER_TEXT];

	switch (d->phase) {
	case DIAL_RESOLVING:
		dial_fail(d, CC_ETIMEOUT, "resolve %s%s: no answer in %lu ms (connect timeout)",
			d->race.word, d->host, ms);
		break;
	case DIAL_CONNECTING:
		race_time_out(&d->race, ms);
		dial_fail(d, CC_ETIMEOUT, "%s", d->race.detail);
		break;
	case DIAL_PROXY:
		snprintf(text, sizeof(text), "not done in %lu ms (connect timeout)", ms);
		proxy_fail(d, CC_ETIMEOUT, text);
		break;
	case DIAL_HANDSHAKE:
		server_text(d, text, sizeof(text));
		dial_fail(d, CC_ETIMEOUT, "%s: TLS handshake not finished in %lu ms (TLS timeout)",
			text, (unsigned long)d->tls_timeout);
		break;
	case DIAL_OVER:
		break;
	}
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

/*
 * Whose sessions they are: those of the address as it was given; but of the port alone when a
 * name was given for numbers, because then they are the addresses of one server in any order, as
 * they happened to be resolved.
 */
static const char *session_key(const struct dial *d, const struct dial_target *t, char port[16])
{
	unsigned lowest = UINT16_MAX;

	if (!t->tls_name || !d->known || d->known[0].sa.ss_family == AF_UNIX)
		return t->address;
	for (unsigned i = 0; i < d->known_count; i++) {
		if (address_port(&d->known[i]) < lowest)
			lowest = address_port(&d->known[i]);
	}
	snprintf(port, 16, ":%u", lowest);
	return port;
}

static int dial_set_tls(struct dial *d, const struct dial_target *t, const char *host)
{
	const char *name = t->tls_name ? t->tls_name : host;
	size_t n = name ? strlen(name) : 0;
	char port[16];
	int err = 0;

	/* Whose are several addresses that have no name? */
	if (n > TLSEXT_MAXLEN_host_name || (n == 0 && d->known_count > 1))
		return CC_EINVAL;
	/* Without a name any certificate would do. */
	if (n == 0 && SSL_CTX_get_verify_mode(t->tls) != SSL_VERIFY_NONE)
		return CC_EINVAL;
	d->name = mem_strdup(d->ctx, name ? name : "");
	d->ssl = SSL_new(t->tls);
	if (!d->name || !d->ssl)
		return CC_ENOMEM;
	if (n > 1 && d->name[n - 1] == '.') /* the root's dot is not part of the name here */
		d->name[n - 1] = '\0';

	/* From OpenSSL 3.2 on this allocates, and says nothing if it could not. */
	ERR_clear_error();
	SSL_set_connect_state(d->ssl);
	if (ERR_peek_error() != 0)
		err = CC_ENOMEM;
	else if (n > 0 && !ssl_set_name(d->ssl, d->name))
		err = CC_ENOMEM; /* the name is in order */
	else if (t->alpn && SSL_set_alpn_protos(d->ssl, t->alpn, t->alpn_len) != 0)
		err = ERR_GET_REASON(ERR_peek_last_error()) == ERR_R_MALLOC_FAILURE ? CC_ENOMEM
		                                                                    : CC_EINVAL;
	if (err < 0) {
		ERR_clear_error();
		return err;
	}
	if (t->resume)
		d->session = session_new(d->ctx, t->tls, d->name, session_key(d, t, port));
	return 0;
}

static int dial_set_known(struct dial *d, const struct address *known)
{
	d->known = mem_alloc(d->ctx, sizeof(*known));
	if (!d->known)
		return CC_ENOMEM;
	*d->known = *known;
	d->known_count = 1;
	return 0;
}

/* Of several addresses each is a number: one more for d->known, which has room. */
static int dial_add_number(struct dial *d, const char *text, size_t len, uint16_t default_port)
{
	char one[96];
	struct dial_host h;
	int err;

	if (len >= sizeof(one))
		return CC_EINVAL;
	memcpy(one, text, len);
	one[len] = '\0';
	err = dial_parse(one, &h);
	if (err < 0 || h.path)
		return CC_EINVAL;
	one[h.host + h.host_len - one] = '\0'; /* the port was read */
	if (h.port == 0)
		h.port = default_port;
	if (h.port == 0 || !address_numeric(&d->known[d->known_count], h.host, h.port))
		return CC_EINVAL;
	d->known_count++;
	return 0;
}

static unsigned count_commas(const char *text)
{
	unsigned n = 0;

	for (; *text; text++)
		n += *text == ',';
	return n;
}

static int dial_set_several(struct dial *d, const char *address, uint16_t default_port)
{
	unsigned n = count_commas(address) + 1;
	int err = 0;

	if (n > RESOLVE_MAX)
		return CC_EINVAL;
	d->known = mem_alloc(d->ctx, n * sizeof(*d->known));
	if (!d->known)
		return CC_ENOMEM;
	while (err == 0 && d->known_count < n) {
		size_t len = strcspn(address, ",");

		err = dial_add_number(d, address, len, default_port);
		address += len + 1;
	}
	return err;
}

/* Into d->known, if it is a number or a Unix socket, d->port and *host, which is the caller's. */
static int dial_set_one(struct dial *d, const char *address, uint16_t default_port, char **host)
{
	struct dial_host h = {0};
	struct address known;
	int err = dial_parse(address, &h);

	if (err < 0)
		return err;
	if (h.path) {
		address_unix(&known, h.path);
		return dial_set_known(d, &known);
	}
	d->port = h.port != 0 ? h.port : default_port;
	if (d->port == 0)
		return CC_EINVAL;

	*host = mem_alloc(d->ctx, h.host_len + 1);
	if (!*host)
		return CC_ENOMEM;
	memcpy(*host, h.host, h.host_len);
	(*host)[h.host_len] = '\0';
	if (address_numeric(&known, *host, d->port))
		return dial_set_known(d, &known);
	return address[0] == '[' ? CC_EINVAL : 0;
}

static int dial_set_address(struct dial *d, const char *address, uint16_t default_port, char **host)
{
	if (address && strncmp(address, "unix:", 5) != 0 && strchr(address, ','))
		return dial_set_several(d, address, default_port);
	return dial_set_one(d, address, default_port, host);
}

/* From here on it is the proxy that is looked for; *host and d->port are the server's till then. */
static int dial_set_proxy(struct dial *d, const char *text, char **host)
{
	struct proxy *proxy;
	char *server = *host;
	int err;

	if (!server) /* a Unix socket, which no proxy reaches, or several addresses: it takes one */
		return CC_EINVAL;
	err = proxy_parse(d->ctx, text, &proxy);
	if (err == 0)
		err = proxy_talk_new(d->ctx, proxy, server, d->port, &d->talk);
	if (err < 0)
		return err;
	d->race.word = "proxy ";
	mem_free(d->ctx, server);
	mem_free(d->ctx, d->known);
	d->known = NULL;
	d->known_count = 0;
	*host = NULL;
	return dial_set_address(d, proxy_talk_proxy(d->talk), PROXY_PORT, host);
}

bool dial_is_interface(const char *name)
{
	size_t n = strlen(name);

	return n > 0 && n < IFNAMSIZ && !strchr(name, '/');
}

static int dial_set_race(struct dial *d, const struct dial_target *t)
{
	struct race_opts *o = &d->race.opts;

	o->delay = t->race_delay ? t->race_delay : DEFAULT_RACE_DELAY;
	o->tcp_keepalive = t->tcp_keepalive;
	o->tcp_user_timeout = t->tcp_user_timeout;
	if (t->bind_interface && t->bind_interface[0]) {
		if (!dial_is_interface(t->bind_interface))
			return CC_EINVAL;
		snprintf(o->interface, sizeof(o->interface), "%s", t->bind_interface);
	}
	if (t->bind_address && t->bind_address[0] && !address_numeric(&o->bind, t->bind_address, 0))
		return CC_EINVAL;
	return 0;
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
	race_init(&d->race, ctx, on_raced);
	turn_item_init(&d->begin, dial_begin);
	turn_item_init(&d->opened, dial_opened);
	turn_item_init(&d->reap, dial_reap);
	d->connect_timeout = target->connect_timeout ? target->connect_timeout : DEFAULT_TIMEOUT;
	d->tls_timeout = target->tls_timeout ? target->tls_timeout : DEFAULT_TIMEOUT;

	err = dial_set_address(d, target->address, target->default_port, &host);
	if (err == 0 && target->tls)
		err = dial_set_tls(d, target, host);
	if (err == 0 && target->proxy && target->proxy[0])
		err = dial_set_proxy(d, target->proxy, &host);
	if (err == 0)
		err = dial_set_race(d, target);
	if (!d->known)
		d->host = host;
	else
		mem_free(ctx, host);
	d->race.host = d->host;
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

void dial_address(const struct dial *d, char *buf, size_t size)
{
	race_address(&d->race, buf, size);
}

const char *dial_alpn(const struct link *link, char buf[32])
{
	const unsigned char *name = NULL;
	unsigned n = 0;

	if (link->wire.ssl)
		SSL_get0_alpn_selected(link->wire.ssl, &name, &n);
	if (n > 31)
		n = 0;
	if (n > 0)
		memcpy(buf, name, n);
	buf[n] = '\0';
	return buf;
}
