/*
 * upstream.h - the addresses of one upstream, in the worker that has its pool.
 *
 *   pool ── upstream_target ──> what to dial now ── cc_transport_new_client_conn ──> library
 *   pool ── upstream_connected, upstream_failed, endpoint_closed, ... ──> counts, health
 *   upstream ── ops (turn, notify stage) ──> pool: there are addresses; this one has vanished
 *
 * A name is resolved when somebody first wants a target, and again when its time to live
 * (within dns_ttl_min and dns_ttl_max, never below a second) is over and it is in use: it has
 * connections, or a target was asked for meanwhile. One lookup runs at a time. A socket, a number
 * and whatever is behind a proxy is one address that never changes.
 *
 * What the name server says is taken as it is: new addresses are there, missing ones are gone.
 * When it says nothing the last good answer is used on (dns_keep_stale) and it is asked again
 * after dns_ttl_min. That there is nothing of this name it has to say twice in a row, so that a
 * zone that is being written does not end every connection.
 */
#ifndef UPSTREAM_H
#define UPSTREAM_H

#include <stdbool.h>
#include <stdint.h>

struct cc_ctx;
struct conf_upstream;
struct upstream;

/*
 * One address. It lives while it is in the last answer, and longer while it has connections: until
 * then the pool may point to it.
 */
struct endpoint {
	struct upstream *upstream;
	char text[128];       /* as cc_conn_address() tells it: "192.0.2.1:443" */
	unsigned connections; /* upstream_connected less endpoint_closed */
	unsigned dialling;    /* dials that begin with it */
	bool gone;            /* no longer in the answer; its connections should drain */
};

/* Neither is called from within a function of this file; the upstream must not be freed in them. */
struct upstream_ops {
	/*
	 * err 0: there are addresses, other ones than before or again; upstream_target gives one.
	 * Else CC_ERESOLVE or CC_ENOMEM: there is none, and detail says why, for the waiters
	 * ("resolve api.example.com: Domain name not found"). Comes after every upstream_target
	 * that gave NULL.
	 */
	void (*resolved)(void *arg, int err, const char *detail);
	/*
	 * It has vanished and has connections: they drain when others are there. Before resolved.
	 */
	void (*gone)(void *arg, struct endpoint *ep);
};

/* up outlives it, or upstream_configure brings another one. 0 or CC_ENOMEM. */
int upstream_new(struct cc_ctx *ctx, const struct conf_upstream *up, const struct upstream_ops *ops,
	void *arg, struct upstream **ret);
/* The same address with other settings. */
void upstream_configure(struct upstream *u, const struct conf_upstream *up);
/* Connections must be gone, or their endpoints are not looked at any more. NULL is fine. */
void upstream_free(struct upstream *u);

/*
 * What cc_transport_new_client_conn shall have as address now, valid until the next call; numbers
 * need the transport's tls_name. NULL: not known yet, ops->resolved comes.
 * With spread the address with the fewest connections comes first, of equal ones the next in turn,
 * and the others follow to be raced; else they come as they were resolved. Those that are ejected
 * or pause (backoff.h) are skipped, unless all do. Of SRV records those of the lowest priority that
 * has a good one are taken.
 * *first is the one in front. It counts the dial until upstream_connected, upstream_failed or
 * upstream_gave_up is called for it, which must be done once.
 */
const char *upstream_target(struct upstream *u, struct endpoint **first);
/* address: of cc_conn_address(). The one that has the connection from now on; it may be gone. */
struct endpoint *upstream_connected(struct endpoint *first, const char *address);
/*
 * The dial failed, address is that of the connection: who answered and then failed, or if nobody
 * did all that were tried, as the library knows.
 */
void upstream_failed(struct endpoint *first, const char *address);
void upstream_gave_up(struct endpoint *first); /* nobody's fault: it was closed by ourselves */

/* Somebody waits, though nothing is dialled now: the name is asked for as if it were. */
void upstream_wanted(struct upstream *u);
/* The name of which no address is known while a name server is asked; NULL: it is not so. */
const char *upstream_awaited(const struct upstream *u);
/* When one of the addresses is to be dialled again, in ms; 0: now, as far as is known. */
uint64_t upstream_ready_at(const struct upstream *u);

/*
 * What became of a connection. These two return true if its address is ejected from now on: its
 * connections should go when others are there.
 */
bool endpoint_useless(struct endpoint *ep);      /* it closed unused: like a connect that failed */
bool endpoint_failed(struct endpoint *ep);       /* a response that says that nobody is behind it */
void endpoint_succeeded(struct endpoint *ep);    /* a good response: the row of failures is over */
bool endpoint_is_bad(const struct endpoint *ep); /* gone, or ejected while others are well */
/* A connection that upstream_connected counted is no more. */
void endpoint_closed(struct endpoint *ep);

/* For the counters: addresses now, those of them ejected now. */
unsigned upstream_addresses(const struct upstream *u);
unsigned upstream_ejected(const struct upstream *u);

#endif
