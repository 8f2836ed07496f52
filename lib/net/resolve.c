/*
 * resolve.c - names to addresses and services by c-ares, whose sockets become events of
 * the context's loop. No other file knows c-ares.
 *
 *   lookup:  ASKED ──answer──> ANSWERED ──turn──> done, freed
 *                └─resolve_cancel─> still with c-ares, done is NULL; freed by the answer
 *
 * c-ares can cancel only everything at once, so a cancelled lookup stays until
 * c-ares lets go of it. It answers from /etc/hosts inside ares_getaddrinfo;
 * the turn between answer and done keeps that from the caller.
 *
 * ares_library_init is not called: it does something on Windows only, and
 * counts its calls in a plain static that threads would race for.
 */
#include <config.h>

#include <ares.h>
#include <arpa/nameser.h>
#include <netinet/in.h>
#include <string.h>
#include <strings.h>

#include <event2/event.h>
#include <event2/event_struct.h>

#include "lib/base/ctx.h"
#include "lib/net/resolve.h"

#define CHANNEL_AGE 60000u /* ms: then an idle channel is made anew */
#define SLOW_RETRY  5000   /* ms: c-ares before 1.20 */
#define FAST_RETRY  2000   /* ms */

struct resolver {
	struct cc_ctx *ctx;
	ares_channel channel;
	char *servers; /* NULL: those of /etc/resolv.conf */
	struct list lookups;
	struct list watches;
	unsigned asked;  /* lookups that c-ares holds */
	bool low_memory; /* no memory to watch a socket: answers would be missed */
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
	struct resolved found;
	struct address *addrs;    /* found.addrs */
	struct service *services; /* found.services */
	struct turn_item deliver;
};

static void lookup_release(struct cc_ctx *ctx, struct lookup *l)
{
	mem_free(ctx, l->addrs);
	mem_free(ctx, l->services);
	mem_free(ctx, l);
}

static void lookup_free(struct lookup *l)
{
	list_del(&l->link);
	turn_cancel(&l->deliver);
	lookup_release(l->resolver->ctx, l);
}

/* ---- the sockets and the clock of c-ares ------------------------------ */

/* After every call into c-ares: arm its clock, give up what could not be watched. */
static void settle(struct resolver *r)
{
	struct timeval most = {1, 0}, room;

	if (r->asked > 0 && !r->low_memory) {
		/* It is the one or the other, and only then is room written to. */
		struct timeval wait = *ares_timeout(r->channel, &most, &room);
		/* Rounded, so that all its waits share ten timer queues. */
		uint64_t ms = (uint64_t)wait.tv_sec * 1000 + (uint64_t)wait.tv_usec / 1000;
		timer_start(r->ctx, &r->timer, ms / 100 * 100 + 100);
	}
	if (r->low_memory)
		ares_cancel(r->channel);
	r->low_memory = false;
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
		r->low_memory = true;
}

/* ---- the channel ------------------------------------------------------ */

/*
 * c-ares asks again after 5 s, and only from 1.20 on after 2 s. Whoever waits for a connection does
 * so for about as long, so 2 s it is, unless the system says something (retrans: in resolv.conf).
 */
static bool asks_slowly(ares_channel channel)
{
	struct ares_options is = {0};
	int known;
	bool slow =
		ares_save_options(channel, &is, &known) == ARES_SUCCESS && is.timeout == SLOW_RETRY;

	ares_destroy_options(&is);
	return slow;
}

/*
 * From 1.31 on c-ares keeps answers. How long an address is good is for whoever asks to decide: one
 * who asks again wants to hear the server.
 */
static int channel_init(struct resolver *r, ares_channel *ret)
{
	struct ares_options opts = {
		.sock_state_cb = on_socket_state, .sock_state_cb_data = r, .timeout = FAST_RETRY};
	int given = ARES_OPT_SOCK_STATE_CB;
	int status;

#ifdef ARES_OPT_QUERY_CACHE
	given |= ARES_OPT_QUERY_CACHE; /* opts.qcache_max_ttl: none */
#endif
	status = ares_init_options(ret, &opts, given);
	if (status != ARES_SUCCESS || !asks_slowly(*ret))
		return status;
	ares_destroy(*ret);
	return ares_init_options(ret, &opts, given | ARES_OPT_TIMEOUTMS);
}

static int channel_open(struct resolver *r, ares_channel *ret)
{
	int status = channel_init(r, ret);

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
	ares_destroy(r->channel); /* lookup_answered frees what was asked */
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
	l->found.addrs = l->addrs;
	l->found.services = l->services;
	l->done(l->arg, &l->found);
	lookup_release(ctx, l);
}

/* c-ares has done its part. false: nobody waits for it any more. */
static bool lookup_answered(struct lookup *l)
{
	l->resolver->asked--;
	l->answered = true;
	if (!l->resolver->closing && l->done)
		return true;
	lookup_free(l);
	return false;
}

/* status: of c-ares; err: what became of taking its answer. */
static void lookup_conclude(struct lookup *l, int status, int err)
{
	l->found.err = err;
	l->found.detail = status == ARES_SUCCESS ? "no usable address" : ares_strerror(status);
	if (status == ARES_ENOMEM || status == ARES_ECANCELLED) /* settle() cancels if low_memory */
		l->found.err = CC_ENOMEM;
	else if (status != ARES_SUCCESS)
		l->found.err = CC_ERESOLVE;
	if (l->found.err == CC_ENOMEM)
		l->found.detail = cc_strerror(CC_ENOMEM);
	if (l->found.err < 0)
		l->found.n = 0;
	l->found.none |= status == ARES_ENOTFOUND || status == ARES_ENODATA;
	turn_add(l->resolver->ctx, TURN_NOTIFY, &l->deliver);
}

static void keep_smallest(uint32_t *ttl, int other)
{
	uint32_t value = other > 0 ? (uint32_t)other : 0;

	if (value < *ttl)
		*ttl = value;
}

/* ---- addresses ---------------------------------------------------------- */

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

	l->found.ttl = UINT32_MAX;
	for (node = found->nodes; node && l->found.n < n; node = node->ai_next) {
		if (!usable(node))
			continue;
		address_set(&l->addrs[l->found.n++], node, l->port);
		keep_smallest(&l->found.ttl, node->ai_ttl);
	}
	/* What a name stands for is known no longer than that it stands for it. */
	for (const struct ares_addrinfo_cname *c = found->cnames; c; c = c->next)
		keep_smallest(&l->found.ttl, c->ttl);
	return 0;
}

static void on_addresses(void *arg, int status, int timeouts, struct ares_addrinfo *found)
{
	struct lookup *l = arg;

	(void)timeouts;
	if (lookup_answered(l))
		lookup_conclude(l, status, status == ARES_SUCCESS ? take_addresses(l, found) : 0);
	if (found)
		ares_freeaddrinfo(found);
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

static void loopback_add(struct lookup *l, const void *sa, socklen_t len)
{
	struct address *a = &l->addrs[l->found.n++];

	a->len = len;
	memcpy(&a->sa, sa, len);
}

static void answer_localhost(struct lookup *l, sa_family_t family)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(l->port)};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(l->port)};
	struct cc_ctx *ctx = l->resolver->ctx;

	v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	v6.sin6_addr = in6addr_loopback;
	l->answered = true;
	l->addrs = mem_zalloc(ctx, 2 * sizeof(*l->addrs));
	if (l->addrs && family != AF_INET6)
		loopback_add(l, &v4, sizeof(v4));
	if (l->addrs && family != AF_INET)
		loopback_add(l, &v6, sizeof(v6));
	if (!l->addrs)
		l->found.err = CC_ENOMEM;
	l->found.detail = cc_strerror(l->found.err);
	turn_add(ctx, TURN_NOTIFY, &l->deliver);
}

/* ---- services (RFC 2782) -------------------------------------------------- */

/* The target of one record; "." means: there is no such service here. */
static void service_add(struct lookup *l, const char *host, struct service srv)
{
	size_t n = strlen(host);

	if (l->found.n == SERVICES_MAX || n == 0 || strcmp(host, ".") == 0 || srv.port == 0 ||
		n >= sizeof(srv.host))
		return;
	memcpy(srv.host, host, n + 1);
	l->services[l->found.n++] = srv;
}

/* status: of c-ares, with which the records of the answer were read. */
static void services_conclude(struct lookup *l, int status)
{
	int err = status == ARES_SUCCESS && l->found.n == 0 ? CC_ERESOLVE : 0;

	l->found.none = err == CC_ERESOLVE;
	lookup_conclude(l, status, err);
	if (err == CC_ERESOLVE)
		l->found.detail = "the service is not offered there";
}

static bool services_begin(struct lookup *l)
{
	l->found.ttl = UINT32_MAX;
	l->services = mem_alloc(l->resolver->ctx, SERVICES_MAX * sizeof(*l->services));
	return l->services;
}

/*
 * How c-ares is asked for the records of a service and how it tells them, its one difference
 * between versions: from 1.28 on it reads an answer itself, and later it calls the old way
 * obsolete.
 */
#if HAVE_DECL_ARES_QUERY_DNSREC
static int read_services(struct lookup *l, const ares_dns_record_t *answer)
{
	size_t n = ares_dns_record_rr_cnt(answer, ARES_SECTION_ANSWER);
	int status = ARES_ENODATA;

	if (!services_begin(l))
		return ARES_ENOMEM;
	for (size_t i = 0; i < n; i++) {
		const ares_dns_rr_t *rr =
			ares_dns_record_rr_get_const(answer, ARES_SECTION_ANSWER, i);

		/* RFC 2181 8: with the highest bit it is 0. */
		keep_smallest(&l->found.ttl, (int)ares_dns_rr_get_ttl(rr));
		if (ares_dns_rr_get_type(rr) != ARES_REC_TYPE_SRV)
			continue;
		status = ARES_SUCCESS;
		service_add(l, ares_dns_rr_get_str(rr, ARES_RR_SRV_TARGET),
			(struct service){
				.port = ares_dns_rr_get_u16(rr, ARES_RR_SRV_PORT),
				.priority = ares_dns_rr_get_u16(rr, ARES_RR_SRV_PRIORITY),
				.weight = ares_dns_rr_get_u16(rr, ARES_RR_SRV_WEIGHT),
			});
	}
	return status;
}

static void on_services(
	void *arg, ares_status_t status, size_t timeouts, const ares_dns_record_t *answer)
{
	struct lookup *l = arg;

	(void)timeouts;
	if (lookup_answered(l))
		services_conclude(
			l, status == ARES_SUCCESS ? read_services(l, answer) : (int)status);
}

static void ask_services(ares_channel channel, const char *name, struct lookup *l)
{
	ares_query_dnsrec(channel, name, ARES_CLASS_IN, ARES_REC_TYPE_SRV, on_services, l, NULL);
}
#else
/* Behind the name at at, and fixed bytes more; NULL: they are not all there. */
static const unsigned char *skip_name(
	const unsigned char *at, const unsigned char *msg, int len, long fixed)
{
	char *name;
	long n;

	if (ares_expand_name(at, msg, len, &name, &n) != ARES_SUCCESS)
		return NULL;
	ares_free_string(name);
	return msg + len - at < n + fixed ? NULL : at + n + fixed;
}

/*
 * The smallest time to live of an answer, which ares_parse_srv_reply has found to be whole but does
 * not tell (RFC 1035 4.1: a head, the question, then the records).
 */
static uint32_t smallest_ttl(const unsigned char *msg, int len)
{
	const unsigned char *at = skip_name(msg + NS_HFIXEDSZ, msg, len, NS_QFIXEDSZ);
	uint32_t ttl = UINT32_MAX;

	for (int left = msg[6] << 8 | msg[7]; at && left > 0; left--) {
		at = skip_name(at, msg, len, NS_RRFIXEDSZ);
		if (!at)
			return 0;
		/* What stands behind the name: type, class, time to live, length. */
		int own = (int)((uint32_t)at[-6] << 24 | (uint32_t)at[-5] << 16 |
				(uint32_t)at[-4] << 8 | at[-3]);
		int data = at[-2] << 8 | at[-1];

		keep_smallest(&ttl, own); /* RFC 2181 8: with the highest bit it is 0 */
		at = msg + len - at < data ? NULL : at + data;
	}
	return at ? ttl : 0;
}

static int read_services(struct lookup *l, const unsigned char *msg, int len)
{
	struct ares_srv_reply *list = NULL;
	int status = ares_parse_srv_reply(msg, len, &list);

	if (status != ARES_SUCCESS)
		return status;
	if (!services_begin(l))
		status = ARES_ENOMEM;
	else
		l->found.ttl = smallest_ttl(msg, len);
	for (struct ares_srv_reply *at = list; at && l->services; at = at->next)
		service_add(l, at->host,
			(struct service){
				.port = at->port, .priority = at->priority, .weight = at->weight});
	ares_free_data(list);
	return status;
}

static void on_services(void *arg, int status, int timeouts, unsigned char *msg, int len)
{
	struct lookup *l = arg;

	(void)timeouts;
	if (lookup_answered(l))
		services_conclude(l, status == ARES_SUCCESS ? read_services(l, msg, len) : status);
}

static void ask_services(ares_channel channel, const char *name, struct lookup *l)
{
	ares_query(channel, name, ns_c_in, ns_t_srv, on_services, l);
}
#endif

/* ---- begin and end -------------------------------------------------------- */

static int lookup_new(struct cc_ctx *ctx, resolve_fn done, void *arg, struct lookup **ret)
{
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
	turn_item_init(&l->deliver, deliver);
	list_add_tail(&r->lookups, &l->link);
	*ret = l;
	return 0;
}

int resolve_start(struct cc_ctx *ctx, const char *host, uint16_t port, sa_family_t family,
	resolve_fn done, void *arg, struct lookup **ret)
{
	const struct ares_addrinfo_hints hints = {.ai_family = family, .ai_socktype = SOCK_STREAM};
	struct lookup *l;
	int err = lookup_new(ctx, done, arg, &l);

	if (err < 0)
		return err;
	*ret = l;
	l->port = port;
	if (is_localhost(host)) {
		answer_localhost(l, family);
		return 0;
	}
	l->resolver->asked++;
	ares_getaddrinfo(l->resolver->channel, host, NULL, &hints, on_addresses, l);
	settle(ctx->resolver);
	return 0;
}

int resolve_services(
	struct cc_ctx *ctx, const char *name, resolve_fn done, void *arg, struct lookup **ret)
{
	struct lookup *l;
	int err = lookup_new(ctx, done, arg, &l);

	if (err < 0)
		return err;
	*ret = l;
	l->resolver->asked++;
	ask_services(l->resolver->channel, name, l);
	settle(ctx->resolver);
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
