/* pool_transport.h - how the connections of an upstream are opened, from its settings. */
#ifndef POOL_TRANSPORT_H
#define POOL_TRANSPORT_H

#include <clientconn.h>

struct conf;
struct conf_upstream;

/*
 * A transport for up, which lies in conf; both outlive it. ping_seldom: how often the server has
 * complained about PINGs; each time doubles check_after. 0 or enum cc_err; free *ret with
 * cc_transport_free.
 */
int pool_transport_new(struct cc_ctx *ctx, const struct conf *conf, const struct conf_upstream *up,
	unsigned ping_seldom, struct cc_transport **ret);

#endif
