/*
 * resolve.h - names to addresses, or to the hosts of a service, with their time to live, by
 * c-ares.
 *
 * One resolver a context, made at first use. Numeric addresses do not come here.
 */
#ifndef CC_RESOLVE_H
#define CC_RESOLVE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

struct cc_ctx;
struct resolver;
struct lookup;

#define RESOLVE_MAX 64u /* addresses of one answer; what is above is left out */

struct address {
	struct sockaddr_storage sa;
	socklen_t len;
};

#define SERVICES_MAX 16u /* as RESOLVE_MAX, of services */

struct service { /* RFC 2782 */
	char host[256];
	uint16_t port, priority, weight;
};

/* What became of a lookup: addresses, or services. Valid during the call that brings it. */
struct resolved {
	int err;   /* 0: n >= 1; else CC_ERESOLVE or CC_ENOMEM */
	bool none; /* with CC_ERESOLVE: it was answered that there is nothing of this name; */
		   /* otherwise nobody knows */
	unsigned n;
	const struct address *addrs; /* in the order to try them (RFC 6724 as c-ares sorts them) */
	const struct service *services; /* as they came: order.h */
	uint32_t ttl;                   /* s, the smallest of all; 0 from /etc/hosts */
	const char *detail;             /* never NULL: "DNS server returned answer with no data" */
};

typedef void (*resolve_fn)(void *arg, const struct resolved *found);

/*
 * The addresses of a host: of one family, or of both (AF_UNSPEC). done is never called from within
 * it. Makes ctx->resolver if there is none. 0, CC_ENOMEM, CC_ERESOLVE (c-ares does not start).
 */
int resolve_start(struct cc_ctx *ctx, const char *host, uint16_t port, sa_family_t family,
	resolve_fn done, void *arg, struct lookup **ret);
/* The services of a name, "_https._tcp.example.com": its SRV records. Otherwise the same. */
int resolve_services(
	struct cc_ctx *ctx, const char *name, resolve_fn done, void *arg, struct lookup **ret);
void resolve_cancel(struct lookup *l); /* no callback follows; NULL is fine */
/*
 * Asks these servers ("192.0.2.1,[2001:db8::1]:5353") instead of those of /etc/resolv.conf. Copied.
 * CC_EINVAL, CC_ENOMEM, CC_ERESOLVE.
 */
int resolver_set_servers(struct cc_ctx *ctx, const char *servers);
void resolver_free(struct resolver *r); /* cancels all; NULL is fine */

#endif
