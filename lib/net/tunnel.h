/*
 * tunnel.h - what is said to a proxy until it has become a pipe to the server:
 * CONNECT (RFC 9110 9.3.6) or SOCKS5 (RFC 1928). Bytes in, bytes out; it knows
 * no sockets and no time.
 */
#ifndef CC_TUNNEL_H
#define CC_TUNNEL_H

#include <stdint.h>

struct cc_buf;
struct cc_ctx;
struct proxy;
struct tunnel;

enum tunnel_event {
	TUNNEL_MORE,  /* the proxy has not said enough yet */
	TUNNEL_OPEN,  /* what stays in the input comes from the server */
	TUNNEL_FAILED /* tunnel_error and tunnel_detail tell */
};

/*
 * A way to host (a name or a number, without brackets) and port. Takes proxy
 * over, also when it fails. CC_EINVAL: a proxy cannot be asked for that. CC_ENOMEM.
 */
int tunnel_new(struct cc_ctx *ctx, struct proxy *proxy, const char *host, uint16_t port,
	struct tunnel **ret);
void tunnel_free(struct tunnel *t); /* NULL is fine */

/* The first words go to the end of out. 0 or CC_ENOMEM. */
int tunnel_begin(struct tunnel *t, struct cc_buf *out);
/*
 * Takes out of in what is the proxy's; answers to it go to the end of out. Call it when in has
 * grown, and not after anything but TUNNEL_MORE.
 */
enum tunnel_event tunnel_feed(struct tunnel *t, struct cc_buf *in, struct cc_buf *out);

const char *tunnel_proxy(const struct tunnel *t);  /* its address, as dial_parse takes it */
int tunnel_error(const struct tunnel *t);          /* CC_ECONNECT or CC_ENOMEM */
const char *tunnel_detail(const struct tunnel *t); /* "407 Proxy Authentication Required" */
const char *tunnel_server(const struct tunnel *t); /* "api.example:443", "[2001:db8::1]:443" */
const char *tunnel_word(const struct tunnel *t);   /* "CONNECT" or "SOCKS5" */

#endif
