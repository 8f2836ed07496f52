/*
 * resolve.c - names to addresses by c-ares, whose sockets become events of
 * the context's loop. No other file knows c-ares.
 *
 *   lookup:  ASKED ──on_answer──> ANSWERED ──turn──> done, freed
 *                └─resolve_cancel─> still with c-ares, done is NULL; freed by on_answer
 *
 * c-ares can cancel only everything at once, so a cancelled lookup stays until
 * c-ares lets go of it. It answers from /etc/hosts inside ares_getaddrinfo;
 * the turn between answer and done keeps that from the caller.
 *
 * ares_library_init is not called: it does something on Windows only, and
 * counts its calls in a plain static that threads would race for.
 */
#include <ares.h>
#include <netinet/in.h>
#include <string.h>
#include <strings.h>

#include <event2/event.h>
#include <event2/event_struct.h>

#include "lib/base/ctx.h"
#include "lib/net/resolve.h"

#define CHANNEL_AGE 60000u /* ms: then an idle channel is made anew */

struct resolver {
	struct cc_ctx *ctx;
	ares_channel channel;
	char *servers; /* NULL: those of /etc/resolv.conf */
	struct list lookups;
	struct list watches;
	unsigned asked; /* lookups that c-ares holds */
	bool starved;   /* no memory to watch a socket: answers would be missed */
	bool closing;
	uint64_t opened;    /* ms, when the channel was */
	struct timer timer; /* retries and timeouts of c-ares */
};

struct watch {            /* one socket of c-ares */
	struct list link; /* in resolver->watches */
	struct resolver *resolver;
	struct event event;
	int fd;
};

struct lookup {
	struct list link; /* in resolver->lookups */
	struct resolver *resolver;
	resolve_fn done; /* NULL: cancelled */
	void *arg;
	uint16_t port;
	bool answered; /* c-ares let go of it */
	int err;
	const char *detail; /* static */
	uint32_t ttl;
	unsigned n;
	struct address *addrs;
	struct turn_item deliver;
};

static void lookup_free(struct lookup *l)
{
	struct cc_ctx *ctx = l->resolver->ctx;

	list_del(&l->link);
	turn_cancel(&l->deliver);
	mem_free(ctx, l->addrs);
	mem_free(ctx, l);
}

/* ---- the sockets and the clock of c-ares ------------------------------ */

/* After every call into c-ares: arm its clock, give up what could not be watched. */
static void settle(struct resolver *r)
{
	struct timeval most = {1, 0}, wait;

	if (r->asked > 0 && !r->starved) {
		ares_timeout(r->channel, &most, &wait);
		/* Rounded, so that all its waits share ten timer queues. */
		uint64_t ms = (uint64_t)wait.tv_sec * 1000 + (uint64_t)wait.tv_usec / 1000;
		timer_start(r->ctx, &r->timer, ms / 100 * 100 + 100);
	}
	if (r->starved)
		ares_cancel(r->channel);
	r->starved = false;
	if (r->asked == 0)
		timer_stop(&r->timer);
}

static void on_timer(struct timer *t)
{
	struct resolver *r = container_of(t, struct resolver, timer);

	ares_process_fd(r->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	settle(r);
}

static void on_socket(evutil_socket_t fd, short what, void *arg)
{
	struct watch *w = arg;
	struct resolver *r = w->resolver;

	/* c-ares may close the socket: w is gone afterwards. */
	ares_process_fd(r->channel, what & EV_READ ? fd : ARES_SOCKET_BAD,
		what & EV_WRITE ? fd : ARES_SOCKET_BAD);
	settle(r);
}

static struct watch *watch_find(struct resolver *r, int fd)
{
	list_each (l, tmp, &r->watches) {
		struct watch *w = container_of(l, struct watch, link);

		if (w->fd == fd)
			return w;
	}
	return NULL;
}

static int watch_add(struct resolver *r, int fd, short what)
{
	struct watch *w = mem_zalloc(r->ctx, sizeof(*w));

	if (!w)
		return CC_ENOMEM;
	w->resolver = r;
	w->fd = fd;
	event_assign(&w->event, r->ctx->base, fd, what, on_socket, w);
	list_add_tail(&r->watches, &w->link);
	return event_add(&w->event, NULL) < 0 ? CC_ENOMEM : 0;
}

static void watch_free(struct watch *w)
{
	event_del(&w->event);
	list_del(&w->link);
	mem_free(w->resolver->ctx, w);
}

/* c-ares tells what it waits for on a socket of its own; nothing: it is about to close it. */
static void on_socket_state(void *arg, ares_socket_t fd, int readable, int writable)
{
	struct resolver *r = arg;
	struct watch *old = watch_find(r, fd);
	int what = EV_PERSIST | (readable ? EV_READ : 0) | (writable ? EV_WRITE : 0);

	if (old)
		watch_free(old);
	if ((readable || writable) && watch_add(r, fd, (short)what) < 0)
		r->starved = true;
}

/* ---- the channel ------------------------------------------------------ */

static int channel_open(struct resolver *r, ares_channel *ret)
{
	struct ares_options opts = {.sock_state_cb = on_socket_state, .sock_state_cb_data = r};
	int status = ares_init_options(ret, &opts, ARES_OPT_SOCK_STATE_CB);

	if (status == ARES_SUCCESS && r->servers) {
		status = ares_set_servers_ports_csv(*ret, r->servers);
		if (status != ARES_SUCCESS)
			ares_destroy(*ret);
	}
	if (status == ARES_SUCCESS)
		return 0;
	return status == ARES_ENOMEM ? CC_ENOMEM : status == ARES_EBADSTR ? CC_EINVAL : CC_ERESOLVE;
}

/*
 * c-ares reads /etc/resolv.conf once. A daemon outlives that file (DHCP, VPN),
 * so an idle channel that is no longer young makes room for a new one.
 */
static int channel_renew(struct resolver *r)
{
	ares_channel fresh;
	int err = channel_open(r, &fresh);

	if (err < 0)
		return err;
	if (r->channel)
		ares_destroy(r->channel);
	r->channel = fresh;
	r->opened = ctx_now(r->ctx);
	return 0;
}

static int resolver_get(struct cc_ctx *ctx, struct resolver **ret)
{
	struct resolver *r = ctx->resolver;
	int err;

	if (!r) {
		r = mem_zalloc(ctx, sizeof(*r));
		if (!r)
			return CC_ENOMEM;
		r->ctx = ctx;
		list_init(&r->lookups);
		list_init(&r->watches);
		timer_init(&r->timer, on_timer);
		err = channel_renew(r);
		if (err < 0) {
			mem_free(ctx, r);
			return err;
		}
		ctx->resolver = r;
	} else if (r->asked == 0 && ctx_now(ctx) - r->opened >= CHANNEL_AGE) {
		channel_renew(r); /* if that fails, the old one still works */
	}
	*ret = r;
	return 0;
}

int resolver_set_servers(struct cc_ctx *ctx, const char *servers)
{
	char *copy = mem_strdup(ctx, servers), *old;
	struct resolver *r;
	int err = copy ? resolver_get(ctx, &r) : CC_ENOMEM;

	if (err < 0) {
		mem_free(ctx, copy);
		return err;
	}

	old = r->servers;
	r->servers = copy;
	err = channel_renew(r); /* lookups of the old channel end with ARES_EDESTRUCTION */
	if (err < 0) {
		r->servers = old;
		old = copy;
	}
	mem_free(ctx, old);
	return err;
}

void resolver_free(struct resolver *r)
{
	if (!r)
		return;
	r->closing = true;
	timer_stop(&r->timer);
	ares_destroy(r->channel); /* on_answer frees what was asked */
	list_each (l, tmp, &r->lookups)
		lookup_free(container_of(l, struct lookup, link));
	list_each (l, tmp, &r->watches)
		watch_free(container_of(l, struct watch, link));
	r->ctx->resolver = NULL;
	mem_free(r->ctx, r->servers);
	mem_free(r->ctx, r);
}

/* ---- lookups ---------------------------------------------------------- */

static void deliver(struct turn_item *item)
{
	struct lookup *l = container_of(item, struct lookup, deliver);
	struct cc_ctx *ctx = l->resolver->ctx;

	list_del(&l->link); /* done may free the resolver */
	l->done(l->arg, l->err, l->addrs, l->n, l->ttl, l->detail);
	mem_free(ctx, l->addrs);
	mem_free(ctx, l);
}

static bool usable(const struct ares_addrinfo_node *node)
{
	return node->ai_family == AF_INET || node->ai_family == AF_INET6;
}

static void address_set(struct address *a, const struct ares_addrinfo_node *node, uint16_t port)
{
	memset(a, 0, sizeof(*a));
	memcpy(&a->sa, node->ai_addr, node->ai_addrlen);
	a->len = node->ai_addrlen;
	if (node->ai_family == AF_INET)
		((struct sockaddr_in *)&a->sa)->sin_port = htons(port);
	else
		((struct sockaddr_in6 *)&a->sa)->sin6_port = htons(port);
}

static int take_addresses(struct lookup *l, const struct ares_addrinfo *found)
{
	const struct ares_addrinfo_node *node;
	unsigned n = 0;

	for (node = found->nodes; node && n < RESOLVE_MAX; node = node->ai_next)
		n += usable(node);
	if (n == 0)
		return CC_ERESOLVE;
	l->addrs = mem_alloc(l->resolver->ctx, n * sizeof(*l->addrs));
	if (!l->addrs)
		return CC_ENOMEM;

	l->ttl = UINT32_MAX;
	for (node = found->nodes; node && l->n < n; node = node->ai_next) {
		if (!usable(node))
			continue;
		address_set(&l->addrs[l->n++], node, l->port);
		uint32_t ttl = node->ai_ttl > 0 ? (uint32_t)node->ai_ttl : 0;
		if (ttl < l->ttl)
			l->ttl = ttl;
	}
	return 0;
}

static void on_answer(void *arg, int status, int timeouts, struct ares_addrinfo *found)
{
	struct lookup *l = arg;
	struct resolver *r = l->resolver;

	(void)timeouts;
	r->asked--;
	l->answered = true;
	if (r->closing || !l->done) {
		if (found)
			ares_freeaddrinfo(found);
		lookup_free(l);
		return;
	}

	if (status == ARES_SUCCESS)
		l->err = take_addresses(l, found);
	else if (status == ARES_ENOMEM ||
		 status == ARES_ECANCELLED) /* settle() cancels if starved */
		l->err = CC_ENOMEM;
	else
		l->err = CC_ERESOLVE;
	if (l->err == CC_ENOMEM)
		l->detail = cc_strerror(CC_ENOMEM);
	else
		l->detail = status == ARES_SUCCESS ? "no usable address" : ares_strerror(status);
	if (found)
		ares_freeaddrinfo(found);
	turn_add(r->ctx, TURN_NOTIFY, &l->deliver);
}

/* RFC 6761 6.3: these are the loopback addresses, and no server is asked for them. */
static bool is_localhost(const char *host)
{
	static const char name[] = "localhost";
	size_t n = strlen(host), len = sizeof(name) - 1;

	if (n > 0 && host[n - 1] == '.')
		n--;
	if (n < len || strncasecmp(host + n - len, name, len) != 0)
		return false;
	return n == len || host[n - len - 1] == '.';
}

static void answer_localhost(struct lookup *l)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(l->port)};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(l->port)};
	struct cc_ctx *ctx = l->resolver->ctx;

	v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	v6.sin6_addr = in6addr_loopback;
	l->answered = true;
	l->addrs = mem_zalloc(ctx, 2 * sizeof(*l->addrs));
	if (l->addrs) {
		l->n = 2;
		l->addrs[0].len = sizeof(v4);
		memcpy(&l->addrs[0].sa, &v4, sizeof(v4));
		l->addrs[1].len = sizeof(v6);
		memcpy(&l->addrs[1].sa, &v6, sizeof(v6));
	} else {
		l->err = CC_ENOMEM;
	}
	l->detail = cc_strerror(l->err);
	turn_add(ctx, TURN_NOTIFY, &l->deliver);
}

int resolve_start(struct cc_ctx *ctx, const char *host, uint16_t port, resolve_fn done, void *arg,
	struct lookup **ret)
{
	const struct ares_addrinfo_hints hints = {
		.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
	struct resolver *r;
	struct lookup *l;
	int err = resolver_get(ctx, &r);

	if (err < 0)
		return err;
	l = mem_zalloc(ctx, sizeof(*l));
	if (!l)
		return CC_ENOMEM;

	l->resolver = r;
	l->done = done;
	l->arg = arg;
	l->port = port;
	turn_item_init(&l->deliver, deliver);
	list_add_tail(&r->lookups, &l->link);
	*ret = l;
	if (is_localhost(host)) {
		answer_localhost(l);
		return 0;
	}
	r->asked++;
	ares_getaddrinfo(r->channel, host, NULL, &hints, on_answer, l);
	settle(r);
	return 0;
}

void resolve_cancel(struct lookup *l)
{
	if (!l)
		return;
	if (l->answered)
		lookup_free(l);
	else
		l->done = NULL; /* c-ares still has it */
}
