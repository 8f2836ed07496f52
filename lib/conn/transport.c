/*
 * transport.c - how to reach servers: TLS, protocols offered, limits. Makes
 * connections: dials, then gives the link to the driver that ALPN chose.
 */
#include <stdio.h>
#include <string.h>

#include <openssl/ssl.h>

#include "lib/base/ctx.h"
#include "lib/base/opts.h"
#include "lib/conn/conn.h"
#include "lib/conn/proto.h"
#include "lib/net/address.h"
#include "lib/net/dial.h"
#include "lib/net/link.h"
#include "lib/net/proxy.h"
#include "lib/net/resolve.h"
#include "lib/net/session.h"

#define LONGEST (UINT64_MAX / 4) /* ms */

/* In the order of preference that is offered. */
static const unsigned char alpn_both[] = "\x02h2\x08http/1.1";
static const unsigned char alpn_h2[] = "\x02h2";
static const unsigned char alpn_h1[] = "\x08http/1.1";

struct cc_transport {
	struct cc_ctx *ctx;
	struct conn_settings set;
	unsigned offer;
	SSL_CTX *tls;
	char *tls_name, *proxy, *bind_address, *bind_interface; /* NULL: none */
	bool no_resumption;
	uint64_t connect_timeout, race_delay, tcp_keepalive, tcp_user_timeout;
};

static SSL_CTX *default_tls(void)
{
	SSL_CTX *tls = SSL_CTX_new(TLS_client_method());

	if (!tls)
		return NULL;
	SSL_CTX_set_min_proto_version(tls, TLS1_2_VERSION);
	SSL_CTX_set_verify(tls, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_default_verify_paths(tls);
	return tls;
}

static uint64_t or_default(uint64_t value, uint64_t dflt)
{
	return value ? value : dflt;
}

/* Sums of two of them do not overflow. */
static uint64_t time_or(uint64_t value, uint64_t dflt)
{
	value = or_default(value, dflt);
	return value < LONGEST ? value : LONGEST;
}

static struct conn_settings settings_from(const struct cc_transport_opts *o)
{
	return (struct conn_settings){
		.idle_timeout = o->idle_timeout == CC_NEVER ? 0 : time_or(o->idle_timeout, 60000),
		.max_age = o->max_age,
		.ping_after = o->ping_after == CC_NEVER ? 0 : time_or(o->ping_after, 10000),
		.stale_after = o->stale_after == CC_NEVER ? 0 : time_or(o->stale_after, 10000),
		.ping_timeout = time_or(o->ping_timeout, 5000),
		.tls_timeout = time_or(o->tls_timeout, 10000),
		.max_head = or_default(o->max_head, 65536),
		.window = or_default(o->window, 256u << 10),
		.conn_window = or_default(o->conn_window, 16u << 20),
		.max_concurrent = (uint32_t)or_default(o->max_concurrent, 100),
		.max_requests = o->max_requests,
	};
}

static bool given(const char *text)
{
	return text && *text;
}

/* Each dial reads the texts for itself; here is who should hear that one is wrong. */
static int check_reach(struct cc_ctx *ctx, const struct cc_transport_opts *o)
{
	struct address unused;
	struct proxy *proxy;
	int err;

	if (given(o->bind_address) && !address_numeric(&unused, o->bind_address, 0))
		return CC_EINVAL;
	if (given(o->bind_interface) && !dial_is_interface(o->bind_interface))
		return CC_EINVAL;
	if (!given(o->proxy))
		return 0;
	err = proxy_parse(ctx, o->proxy, &proxy);
	if (err == 0)
		proxy_free(ctx, proxy);
	return err;
}

static bool copy_text(struct cc_ctx *ctx, const char *text, char **ret)
{
	*ret = given(text) ? mem_strdup(ctx, text) : NULL;
	return *ret || !given(text);
}

static bool copy_texts(struct cc_transport *t, const struct cc_transport_opts *o)
{
	return copy_text(t->ctx, o->tls_name, &t->tls_name) &&
	       copy_text(t->ctx, o->proxy, &t->proxy) &&
	       copy_text(t->ctx, o->bind_address, &t->bind_address) &&
	       copy_text(t->ctx, o->bind_interface, &t->bind_interface);
}

int cc_transport_new(
	struct cc_ctx *ctx, const struct cc_transport_opts *opts, struct cc_transport **ret)
{
	struct cc_transport_opts o;
	struct cc_transport *t;
	int err = opts_take(&o, opts, sizeof(o.size), sizeof(o));

	if (err < 0 || o.window > INT32_MAX || o.conn_window > INT32_MAX ||
		(o.offer & ~(CC_OFFER_H1 | CC_OFFER_H2)))
		return CC_EINVAL;
	err = check_reach(ctx, &o);
	if (err < 0)
		return err;
	t = mem_zalloc(ctx, sizeof(*t));
	if (!t)
		return CC_ENOMEM;
	t->ctx = ctx;
	t->set = settings_from(&o);
	t->offer = o.offer ? o.offer : CC_OFFER_H1 | CC_OFFER_H2;
	t->no_resumption = o.no_resumption;
	t->connect_timeout = o.connect_timeout;
	t->race_delay = o.race_delay;
	t->tcp_keepalive = o.tcp_keepalive;
	t->tcp_user_timeout = o.tcp_user_timeout;
	if (o.tls) {
		SSL_CTX_up_ref(o.tls);
		t->tls = o.tls;
	}
	if (!copy_texts(t, &o)) {
		cc_transport_free(t);
		return CC_ENOMEM;
	}
	*ret = t;
	return 0;
}

void cc_transport_free(struct cc_transport *t)
{
	if (!t)
		return;
	sessions_forget(t->ctx, t->tls);
	SSL_CTX_free(t->tls);
	mem_free(t->ctx, t->tls_name);
	mem_free(t->ctx, t->proxy);
	mem_free(t->ctx, t->bind_address);
	mem_free(t->ctx, t->bind_interface);
	mem_free(t->ctx, t);
}

/* In clear HTTP/2 is spoken by prior knowledge, so only if it was offered alone. */
static const struct cc_proto *choose(const struct cc_conn *conn, const struct link *link)
{
	char alpn[32];

	if (!conn->set.https)
		return conn->set.h2_only ? &h2_proto : &h1_proto;
	if (strcmp(dial_alpn(link, alpn), "h2") == 0)
		return &h2_proto;
	return conn->set.h2_only ? NULL : &h1_proto;
}

static void on_dialled(void *arg, int err, struct link *link, const char *detail)
{
	struct cc_conn *conn = arg;
	const struct cc_proto *proto;

	dial_address(conn->dial, conn->address, sizeof(conn->address));
	conn->dial = NULL;
	if (err < 0) {
		conn_close(conn, CC_REASON_DIAL, err, detail);
		return;
	}
	proto = choose(conn, link);
	if (!proto) {
		link_free(link);
		conn_close(conn, CC_REASON_DIAL, CC_EPROTO,
			"the server did not agree to HTTP/2 (ALPN)");
		return;
	}
	conn_opened(conn, proto, &(struct dialled){.link = link});
}

static void offer_alpn(const struct cc_transport *t, struct dial_target *target)
{
	target->alpn = alpn_both;
	target->alpn_len = sizeof(alpn_both) - 1;
	if (t->offer == CC_OFFER_H2) {
		target->alpn = alpn_h2;
		target->alpn_len = sizeof(alpn_h2) - 1;
	} else if (t->offer == CC_OFFER_H1) {
		target->alpn = alpn_h1;
		target->alpn_len = sizeof(alpn_h1) - 1;
	}
}

int cc_transport_new_client_conn(struct cc_transport *t, const char *scheme, const char *address,
	cc_state_hook hook, void *arg, struct cc_conn **ret)
{
	bool https = strcmp(scheme, "https") == 0;
	struct dial_target target = {
		.address = address,
		.default_port = https ? 443 : 80,
		.tls = https ? t->tls : NULL,
		.tls_name = t->tls_name,
		.resume = !t->no_resumption,
		.proxy = t->proxy,
		.bind_address = t->bind_address,
		.bind_interface = t->bind_interface,
		.connect_timeout = t->connect_timeout,
		.race_delay = t->race_delay,
		.tls_timeout = t->set.tls_timeout,
		.tcp_keepalive = t->tcp_keepalive,
		.tcp_user_timeout = t->tcp_user_timeout,
	};
	struct conn_settings set = t->set;
	struct cc_conn *conn;
	int err;

	if (!https && strcmp(scheme, "http") != 0)
		return CC_EINVAL;
	if (https && !t->tls) { /* reads the system's store: only for who needs it */
		t->tls = target.tls = default_tls();
		if (!t->tls)
			return CC_ENOMEM;
	}
	offer_alpn(t, &target);
	set.https = https;
	set.h2_only = t->offer == CC_OFFER_H2;
	conn = conn_new(t->ctx, &set, hook, arg);
	if (!conn)
		return CC_ENOMEM;
	err = dial_start(t->ctx, &target, on_dialled, conn, &conn->dial);
	if (err < 0) {
		cc_conn_free(conn);
		return err;
	}
	*ret = conn;
	return 0;
}
