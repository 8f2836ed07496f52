/*
 * dial.h - from "host:port" to a connected link: resolve, race the addresses,
 * ask the proxy, handshake, each under its deadline.
 */
#ifndef CC_DIAL_H
#define CC_DIAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cc_ctx;
struct dial;
struct link;
struct ssl_ctx_st;

struct dial_target {
	/*
	 * "host:port", "host", "[v6]:port", "[v6]", "unix:/path", or several numeric addresses with
	 * commas between, which race in that order; with TLS they need a tls_name. Copied.
	 */
	const char *address;
	uint16_t default_port;     /* when address names none */
	struct ssl_ctx_st *tls;    /* NULL: clear text; ALPN is set on it or in alpn */
	const char *tls_name;      /* SNI (unless numeric) and verified name; NULL: the host */
	const unsigned char *alpn; /* wire format, NULL: none offered */
	unsigned alpn_len;
	const char *proxy;          /* as proxy_parse takes it; NULL or "": none */
	const char *bind_address;   /* a number: where from; NULL or "": any */
	const char *bind_interface; /* NULL or "": any */
	/* ms, resolve and connect together, and again for what the proxy does; 0: 10 s */
	uint64_t connect_timeout;
	uint64_t tls_timeout;      /* ms; 0: 10 s */
	uint64_t race_delay;       /* ms between attempts (RFC 8305); 0: 250 */
	uint64_t tcp_keepalive;    /* ms idle before the first probe; 0: off */
	uint64_t tcp_user_timeout; /* ms; 0: the kernel's */
	bool resume;               /* TLS sessions are kept in the context and resumed */
};

/*
 * Comes once, never from within dial_start; the dial is freed after the call.
 * err 0: link is connected (and has finished its handshake) and belongs to the receiver, who sets
 * its ops with link_set_owner or frees it: it is not on the stack.
 * Else err is CC_ERESOLVE, CC_ECONNECT, CC_ETLS, CC_ECERT, CC_ETIMEOUT, CC_EMFILE or CC_ENOMEM, and
 * detail a sentence for a log ("connect to 127.0.0.1:81: Connection refused"; "certificate verify
 * failed: self-signed certificate"), valid during the call, never NULL.
 */
typedef void (*dial_fn)(void *arg, int err, struct link *link, const char *detail);

/*
 * CC_EINVAL: address (a name among several, too many of them), proxy, bind_address or
 * bind_interface make no sense, or a proxy is to reach a Unix socket or several addresses.
 * CC_ENOMEM. The texts are copied.
 */
int dial_start(struct cc_ctx *ctx, const struct dial_target *target, dial_fn done, void *arg,
	struct dial **ret);
void dial_cancel(struct dial *d); /* no callback follows; NULL is fine */
/* "192.0.2.1:443": who is connected, the proxy if there is one; "": nobody. Also during done. */
void dial_address(const struct dial *d, char *buf, size_t size);

/* "eth0": could an interface be named so? */
bool dial_is_interface(const char *name);

/* Pure (address.c): splits an address. host_len 0 and *path set for "unix:". 0 or CC_EINVAL. */
struct dial_host {
	const char *host; /* points into the address, without brackets */
	unsigned host_len;
	uint16_t port;    /* 0: none given */
	const char *path; /* "unix:/path": the path, else NULL */
};
int dial_parse(const char *address, struct dial_host *ret);

/* The ALPN protocol of a link's handshake: "h2", "http/1.1", "" if none. */
const char *dial_alpn(const struct link *link, char buf[32]);

#endif
