/*
 * proxy_talk.h - what is said to a proxy until it has become a pipe to the server:
 * CONNECT (RFC 9110 9.3.6) or SOCKS5 (RFC 1928). Bytes in, bytes out; it knows
 * no sockets and no time.
 */
#ifndef CC_PROXY_TALK_H
#define CC_PROXY_TALK_H

#include <stdint.h>

struct cc_buf;
struct cc_ctx;
struct proxy;
struct proxy_talk;

enum proxy_talk_event {
	PROXY_TALK_MORE,  /* the proxy has not said enough yet */
	PROXY_TALK_OPEN,  /* what stays in the input comes from the server */
	PROXY_TALK_FAILED /* proxy_talk_error and proxy_talk_detail tell */
};

/*
 * A way to host (a name or a number, without brackets) and port. Takes proxy
 * over, also when it fails. CC_EINVAL: a proxy cannot be asked for that. CC_ENOMEM.
 */
int proxy_talk_new(struct cc_ctx *ctx, struct proxy *proxy, const char *host, uint16_t port,
	struct proxy_talk **ret);
void proxy_talk_free(struct proxy_talk *t); /* NULL is fine */

/* The first words go to the end of out. 0 or CC_ENOMEM. */
int proxy_talk_begin(struct proxy_talk *t, struct cc_buf *out);
/*
 * Takes out of in what is the proxy's; answers to it go to the end of out. Call it when in has
 * grown, and not after anything but PROXY_TALK_MORE.
 */
enum proxy_talk_event proxy_talk_feed(struct proxy_talk *t, struct cc_buf *in, struct cc_buf *out);

const char *proxy_talk_proxy(const struct proxy_talk *t);  /* its address, as dial_parse takes it */
int proxy_talk_error(const struct proxy_talk *t);          /* CC_ECONNECT or CC_ENOMEM */
const char *proxy_talk_detail(const struct proxy_talk *t); /* "407 Proxy Authentication Required" */
const char *proxy_talk_server(
	const struct proxy_talk *t); /* "api.example:443", "[2001:db8::1]:443" */
const char *proxy_talk_word(const struct proxy_talk *t); /* "CONNECT" or "SOCKS5" */

#endif
