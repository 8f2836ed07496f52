/* pool_transport.c - how the connections of an upstream are opened, from its settings. */
#include "daemon/base/conf.h"
#include "daemon/pool/pool_transport.h"

#define WINDOW_MIN   16384u /* HTTP/2 frames are as large */
#define WINDOW_FAIR  65536u /* what HTTP/2 begins with: less would be slow */
#define UNREAD_SHARE 80u    /* percent of the buffers; from 90 on new requests are refused */

static uint64_t or_never(uint64_t ms)
{
	return ms > 0 ? ms : CC_NEVER;
}

static size_t at_least(size_t n, size_t least)
{
	return n > least ? n : least;
}

/*
 * What a response may hold that its client does not read. All of one connection at once, and, above
 * WINDOW_FAIR, all of the upstream leave room in the worker's buffers for those who read.
 */
static size_t window_of(const struct conf *conf, const struct conf_upstream *up)
{
	size_t window = up->h2_stream_window < up->buffer ? up->h2_stream_window : up->buffer;
	bool multiplexed = up->protocols & (CONF_PROTO_H2 | CONF_PROTO_H2C);
	size_t streams = multiplexed ? up->max_streams : 1;
	size_t share = conf->memory_limit / conf->workers / 100 * UNREAD_SHARE;
	size_t of_conn = at_least(share / streams, WINDOW_MIN);
	size_t of_all = at_least(share / streams / up->max_connections, WINDOW_FAIR);

	if (of_all > of_conn)
		of_all = of_conn;
	return window < of_all ? window : of_all;
}

int pool_transport_new(struct cc_ctx *ctx, const struct conf *conf, const struct conf_upstream *up,
	unsigned ping_seldom, struct cc_transport **ret)
{
	struct cc_transport_opts o = {
		.size = sizeof(o),
		.tls = up->ssl,
		.tls_name = up->tls.server_name[0] ? up->tls.server_name : up->host,
		.race_delay = up->happy_eyeballs_delay,
		.no_resumption = !up->tls.resumption,
		.connect_timeout = up->connect_timeout,
		.tls_timeout = up->tls_timeout,
		.idle_timeout = CC_NEVER, /* it and max_lifetime: janitor.c */
		.proxy = up->proxy,
		.max_requests = up->max_requests,
		.ping_after = or_never(up->check_after << ping_seldom),
		.stale_after = or_never(up->check_after << ping_seldom),
		.ping_timeout = up->ping_timeout,
		.tcp_keepalive = up->tcp_keepalive,
		.tcp_user_timeout = up->tcp_user_timeout,
		.max_concurrent = up->max_streams,
		.window = window_of(conf, up),
		.conn_window = up->h2_connection_window,
	};

	if (up->protocols & CONF_PROTO_H1)
		o.offer |= CC_OFFER_H1;
	if (up->protocols & (CONF_PROTO_H2 | CONF_PROTO_H2C))
		o.offer |= CC_OFFER_H2;
	return cc_transport_new(ctx, &o, ret);
}
