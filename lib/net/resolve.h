/*
 * resolve.h - host names to addresses with their time to live, by c-ares.
 *
 * One resolver a context, made at first use. Numeric addresses do not come here.
 */
#ifndef CC_RESOLVE_H
#define CC_RESOLVE_H

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

/*
 * err 0: n >= 1 addresses, in the order to try them (RFC 6724 as c-ares sorts
 * them), ttl in seconds (the smallest; 0 from /etc/hosts). Else CC_ERESOLVE,
 * detail says why ("DNS server returned answer with no data"). Valid during the call.
 * Never called from within resolve_start.
 */
typedef void (*resolve_fn)(void *arg, int err, const struct address *addrs, unsigned n,
	uint32_t ttl, const char *detail);

/* Makes ctx->resolver if there is none. 0, CC_ENOMEM, CC_ERESOLVE (c-ares does not start). */
int resolve_start(struct cc_ctx *ctx, const char *host, uint16_t port, resolve_fn done, void *arg,
	struct lookup **ret);
void resolve_cancel(struct lookup *l); /* no callback follows; NULL is fine */
/*
 * Asks these servers ("192.0.2.1,[2001:db8::1]:5353") instead of those of /etc/resolv.conf. Copied.
 * CC_EINVAL, CC_ENOMEM, CC_ERESOLVE.
 */
int resolver_set_servers(struct cc_ctx *ctx, const char *servers);
void resolver_free(struct resolver *r); /* cancels all; NULL is fine */

#endif
