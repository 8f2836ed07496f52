/*
 * proxy.h - a proxy in words: "http://user:password@host:port". Pure.
 */
#ifndef CC_PROXY_H
#define CC_PROXY_H

#include <stdbool.h>

struct cc_ctx;

enum proxy_kind {
	PROXY_CONNECT, /* "http": RFC 9110 9.3.6 */
	PROXY_SOCKS5   /* "socks5" and "socks5h": RFC 1928, RFC 1929 */
};

#define PROXY_PORT 1080 /* when the text names none */

struct proxy {
	enum proxy_kind kind;
	bool credentials;
	char *address;         /* as dial_parse takes it */
	char *user, *password; /* without percent encoding; "" if there are none */
	char text[];           /* what the pointers point into */
};

/* CC_EINVAL: no such proxy, or user and password that its protocol cannot carry. CC_ENOMEM. */
int proxy_parse(struct cc_ctx *ctx, const char *text, struct proxy **ret);
void proxy_free(struct cc_ctx *ctx, struct proxy *p); /* NULL is fine */

#endif
