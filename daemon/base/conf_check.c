/*
 * conf_check.c - what one key of the configuration cannot know: urls taken apart, protocols
 * that fit them, names that differ, sizes and descriptors that suffice.
 */
#include <string.h>
#include <strings.h>
#include <sys/resource.h>

#include "daemon/base/conf_loader.h"
#include "daemon/base/limits.h"
#include "daemon/base/conf_value.h"

#define MIN_WORKER_MEMORY (1u << 20)
#define MIN_CLIENTS       16 /* with less than this the daemon is of no use */
#define MAX_CLIENTS       1000000

/* ---- upstreams --------------------------------------------------------- */

/* "/run/search.sock" is "search" unless it is called otherwise. */
static const char *socket_name(struct loader *l, const char *path)
{
	const char *base = strrchr(path, '/') + 1;
	size_t n = strlen(base);

	if (n > 5 && strcmp(base + n - 5, ".sock") == 0)
		n -= 5;
	return loader_text(l, base, n);
}

static void name_upstream(struct loader *l, struct conf_upstream *u, const struct conf_url *url)
{
	bool given = *u->name != '\0';

	if (!given)
		u->name = url->local ? socket_name(l, url->path) : u->host;
	if (!conf_is_name(u->name) && (given || !url->v6))
		loader_complain_key(l, ERROR, u, "name",
			"\"%s\" is not a name: take letters, digits, '-', '_', "
			"'.'",
			u->name);
}

/*
 * The service is asked for; host is the domain that offers it, whose name goes into Host and is
 * verified (RFC 6125 6.2.1). That of a record must not: it is what the name server says.
 */
static void place_service(struct loader *l, struct conf_upstream *u, const struct conf_url *url)
{
	u->host = loader_text(l, url->host + url->labels, strlen(url->host + url->labels));
	if (url->labels > 0)
		u->srv = loader_text(l, url->host, strlen(url->host));
	else
		u->srv = loader_printf(l, "_%s._tcp.%s", u->https ? "https" : "http", u->host);
}

static void place_upstream(struct loader *l, struct conf_upstream *u, const struct conf_url *url)
{
	const char *open = url->v6 ? "[" : "", *close = url->v6 ? "]" : "";

	u->https = url->https;
	u->host = loader_text(l, url->host, strlen(url->host));
	if (url->srv)
		place_service(l, u, url);
	u->port = url->port;
	name_upstream(l, u, url);
	if (url->local) {
		u->address = loader_printf(l, "unix:%s", url->path);
		u->authority = u->name;
		u->base_path = "";
		return;
	}
	u->address = loader_printf(l, "%s%s%s:%u", open, u->host, close, u->port);
	u->authority = u->address;
	if (u->port == (u->https ? 443 : 80)) /* RFC 9110 4.2: the default port is left out */
		u->authority = loader_printf(l, "%s%s%s", open, u->host, close);
	u->base_path = loader_text(l, url->path, url->path_len);
}

/*
 * https chooses by ALPN; in clear text nobody chooses. What was inherited is cut to what the
 * scheme can; what was written for this upstream must fit.
 */
static void check_protocols(struct loader *l, struct conf_upstream *u)
{
	unsigned alpn = u->protocols & (CONF_PROTO_H1 | CONF_PROTO_H2);
	bool own = loader_is_own(l, u, "protocols");

	if (u->https) {
		if (own && (u->protocols & CONF_PROTO_H2C))
			loader_complain_key(l, ERROR, u, "protocols",
				"h2c is clear text, the url is https: write [ \"h2\", \"h1\" ]");
		u->protocols = alpn ? alpn : CONF_PROTO_H2 | CONF_PROTO_H1;
		u->h1_first = u->h1_first && u->protocols == (CONF_PROTO_H1 | CONF_PROTO_H2);
		return;
	}
	if (own && (u->protocols & CONF_PROTO_H2))
		loader_complain_key(l, ERROR, u, "protocols",
			"h2 is chosen by TLS, the url is clear text: write [ \"h2c\" ] "
			"or [ \"h1\" ]");
	else if (own && u->protocols == (CONF_PROTO_H1 | CONF_PROTO_H2C))
		loader_complain_key(l, ERROR, u, "protocols",
			"nothing chooses between h1 and h2c in clear text: write one of them");
	u->protocols = u->protocols & CONF_PROTO_H2C ? CONF_PROTO_H2C : CONF_PROTO_H1;
	u->h1_first = false;
}

static void check_tls(struct loader *l, struct conf_upstream *u)
{
	bool cert = *u->tls.cert, key = *u->tls.key;

	if (!u->https) {
		if (loader_is_own(l, u, "tls"))
			loader_complain_key(
				l, WARNING, u, "tls", "has no effect, the url is not https");
		return;
	}
	if (cert != key) {
		loader_complain_key(l, ERROR, u, cert ? "tls.cert" : "tls.key", "needs tls.%s too",
			cert ? "key" : "cert");
		return;
	}
	if (*u->tls.server_name && !conf_is_host(u->tls.server_name))
		loader_complain_key(l, ERROR, u, "tls.server_name", "\"%s\" is not a host name",
			u->tls.server_name);
	conf_tls_make(l, u);
}

static void finish_upstream(struct loader *l, struct conf_upstream *u)
{
	struct conf_url url;
	const char *wrong;

	u->host = u->srv = u->address = u->authority = u->base_path = "";
	if (!*u->url) {
		loader_complain_key(
			l, ERROR, u, "url", "is missing: write url = \"https://api.example.com\";");
		return;
	}
	wrong = conf_url_parse(u->url, &url);
	if (wrong) {
		loader_complain_key(l, ERROR, u, "url", "\"%s\": %s", u->url, wrong);
		return;
	}
	place_upstream(l, u, &url);
	check_protocols(l, u);
	check_tls(l, u);
}

static bool owns_one(
	const struct loader *l, const struct conf_upstream *u, const char *a, const char *b)
{
	return loader_is_own(l, u, a) || loader_is_own(l, u, b);
}

/* Is something wrong with a beside b to be told for u? What many inherit is told once. */
static bool is_news(
	const struct loader *l, const struct conf_upstream *u, const char *a, const char *b)
{
	if (owns_one(l, u, a, b))
		return true;
	for (unsigned i = 0; i < u->index; i++) {
		if (!owns_one(l, &l->conf->upstreams[i], a, b))
			return false;
	}
	return true;
}

/* Sizes that must fit into each other. */
static void check_sizes(struct loader *l, const struct conf_upstream *u)
{
	if (u->retry_buffer > u->buffer && is_news(l, u, "retry_buffer", "buffer"))
		loader_complain_key(l, ERROR, u, "retry_buffer",
			"is larger than buffer: raise buffer or lower "
			"retry_buffer");
	if (u->buffer > l->conf->memory_limit && is_news(l, u, "buffer", "buffer"))
		loader_complain_key(l, ERROR, u, "buffer", "is larger than daemon.memory_limit");
	if (u->h2_stream_window > u->h2_connection_window &&
		is_news(l, u, "h2_stream_window", "h2_connection_window"))
		loader_complain_key(l, WARNING, u, "h2_stream_window",
			"is larger than h2_connection_window, "
			"which limits it");
}

/* A key whose value may not exceed that of another. */
struct pair {
	const char *name;
	uint64_t value;
};

/* Told at the one that this upstream sets. */
static void check_order(
	struct loader *l, const struct conf_upstream *u, struct pair less, struct pair more)
{
	if (less.value <= more.value || !is_news(l, u, less.name, more.name))
		return;
	if (loader_is_own(l, u, more.name) && !loader_is_own(l, u, less.name))
		loader_complain_key(l, ERROR, u, more.name, "is less than %s: raise it or lower %s",
			less.name, less.name);
	else
		loader_complain_key(l, ERROR, u, less.name, "is more than %s: lower it or raise %s",
			more.name, more.name);
}

#define PAIR(u, key) ((struct pair){#key, (u)->key})

/* The minimum does not touch the reserve. */
static void check_reserve(struct loader *l, const struct conf_upstream *u)
{
	bool news = loader_is_own(l, u, "max_connections") ||
	            is_news(l, u, "min_connections", "reserve_connections");

	if (u->min_connections > u->max_connections ||
		u->reserve_connections > u->max_connections ||
		u->min_connections + u->reserve_connections <= u->max_connections || !news)
		return;
	loader_complain_key(l, WARNING, u, "min_connections",
		"is more than max_connections less reserve_connections: only %u are kept open",
		u->max_connections - u->reserve_connections);
}

static void check_numbers(struct loader *l, const struct conf_upstream *u)
{
	check_order(l, u, PAIR(u, min_connections), PAIR(u, max_connections));
	check_order(l, u, PAIR(u, reserve_connections), PAIR(u, max_connections));
	check_order(l, u, PAIR(u, backoff_min), PAIR(u, backoff_max));
	check_order(l, u, PAIR(u, dns_ttl_min), PAIR(u, dns_ttl_max));
	check_reserve(l, u);
}

static void check_field(struct loader *l, const struct conf_upstream *u)
{
	const char *key = "client_timeout_header";

	if (*u->client_timeout_header && !conf_is_field_name(u->client_timeout_header) &&
		is_news(l, u, key, key))
		loader_complain_key(l, ERROR, u, key,
			"\"%s\" is not the name of a field: write \"Connpool-Timeout\"",
			u->client_timeout_header);
}

/* A Unix socket has none: what was inherited is dropped. The value may hold a password. */
static void check_proxy(struct loader *l, struct conf_upstream *u)
{
	const char *wrong = *u->proxy ? conf_proxy_check(u->proxy) : NULL;

	if (wrong && is_news(l, u, "proxy", "proxy"))
		loader_complain_key(l, ERROR, u, "proxy", "%s", wrong);
	else if (*u->proxy && *u->srv)
		loader_complain_key(l, ERROR, u, "proxy",
			"cannot be used with srv+, a proxy resolves names and no services");
	if (strncmp(u->address, "unix:", 5) != 0)
		return;
	if (*u->proxy && !wrong && loader_is_own(l, u, "proxy"))
		loader_complain_key(
			l, WARNING, u, "proxy", "has no effect, the url is a Unix socket");
	u->proxy = "";
}

/* ---- what must differ -------------------------------------------------- */

/* Does u answer to this Host? Its name counts, and the host of its url. */
static bool answers_to(const struct conf_upstream *u, const char *host)
{
	if (strcasecmp(u->name, host) == 0 || strcmp(u->host, host) == 0)
		return true;
	for (unsigned i = 0; i < u->host_count; i++) {
		if (strcmp(u->hosts[i], host) == 0)
			return true;
	}
	return false;
}

static void check_host(struct loader *l, const struct conf_upstream *u, unsigned n)
{
	const char *host = u->hosts[n];

	for (unsigned i = 0; i < n; i++) {
		if (strcmp(u->hosts[i], host) == 0)
			loader_complain_key(l, ERROR, u, "hosts", "\"%s\" is there twice", host);
	}
	for (unsigned i = 0; i < l->conf->upstream_count; i++) {
		const struct conf_upstream *other = &l->conf->upstreams[i];

		/* Of two upstreams with the same host the later one hears of it. */
		if (i == u->index || (i > u->index && strcasecmp(other->name, host) != 0))
			continue;
		if (answers_to(other, host))
			loader_complain_key(l, ERROR, u, "hosts",
				"\"%s\" already means upstream %s", host, other->name);
	}
}

static void check_upstream_names(struct loader *l)
{
	struct conf *c = l->conf;

	for (unsigned i = 0; i < c->upstream_count; i++) {
		const struct conf_upstream *u = &c->upstreams[i];

		for (unsigned j = 0; j < i && *u->name; j++) {
			if (strcasecmp(c->upstreams[j].name, u->name) == 0)
				loader_complain_key(l, ERROR, u, "name",
					"\"%s\" is already the name of "
					"upstreams[%u]: give one of them another name",
					u->name, j);
		}
		for (unsigned n = 0; n < u->host_count; n++)
			check_host(l, u, n);
	}
}

/* ---- listeners --------------------------------------------------------- */

static const char *upstream_list(struct loader *l)
{
	const char *names = "";

	for (unsigned i = 0; i < l->conf->upstream_count && i < 20; i++)
		names = loader_printf(
			l, "%s%s%s", names, i > 0 ? ", " : "", l->conf->upstreams[i].name);
	return l->conf->upstream_count > 20 ? loader_printf(l, "%s, ...", names) : names;
}

static const struct conf_upstream *named_upstream(
	struct loader *l, struct position at, const char *key, const char *name)
{
	const struct conf_upstream *u;

	if (!*name)
		return NULL;
	u = conf_find_upstream(l->conf, name, strlen(name));
	if (!u)
		loader_complain(l, ERROR, at, key, "there is no upstream \"%s\" (there are: %s)",
			name, upstream_list(l));
	return u;
}

static void check_listener_path(struct loader *l, struct position at, const char *path)
{
	if (strlen(path) > CONF_PATH_MAX)
		loader_complain(l, ERROR, at, "path",
			"is %zu bytes long, a socket's path has at most %d", strlen(path),
			CONF_PATH_MAX);
	else if (!*path || (at.set && *path != '/'))
		loader_complain(l, ERROR, at, "path",
			"must be absolute: write \"/run/connpoold/name.sock\"");
}

static void check_listener(struct loader *l, unsigned n)
{
	struct conf_listener *ls = &l->conf->listeners[n];
	struct position at = l->listener_at[n];

	if (!conf_is_name(ls->name))
		loader_complain(l, ERROR, at, "name",
			"\"%s\" is not a name: take letters, digits, '-', '_', '.'", ls->name);
	check_listener_path(l, at, ls->path);
	for (unsigned i = 0; i < n; i++) {
		if (strcmp(l->conf->listeners[i].name, ls->name) == 0)
			loader_complain(l, ERROR, at, "name",
				"\"%s\" is already the name of listeners[%u]", ls->name, i);
		if (strcmp(l->conf->listeners[i].path, ls->path) == 0)
			loader_complain(l, ERROR, at, "path",
				"\"%s\" is already the path of listeners[%u]", ls->path, i);
	}
	ls->fixed = named_upstream(l, at, "upstream", ls->upstream);
	ls->fallback = named_upstream(l, at, "default_upstream", ls->default_upstream);
	if (!*ls->default_upstream && l->conf->upstream_count == 1)
		ls->fallback = &l->conf->upstreams[0];
	if (*ls->upstream && *ls->default_upstream)
		loader_complain(
			l, WARNING, at, "default_upstream", "has no effect beside upstream");
}

/* ---- descriptors ------------------------------------------------------- */

static uint64_t descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return UINT64_MAX;
	return limit.rlim_cur; /* RLIM_INFINITY is the largest number there is */
}

/* Each worker has its share; below this it could not even read. */
static void check_memory(struct loader *l)
{
	struct position at = {.set = l->root};
	const struct conf *c = l->conf;

	if (c->memory_limit / c->workers < MIN_WORKER_MEMORY)
		loader_complain(l, ERROR, at, "daemon.memory_limit",
			"%zu KiB are less than 1 MiB for each of %u workers: raise it",
			c->memory_limit >> 10, c->workers);
}

/* What the pools leave; at least as many as the daemon is of use with. */
static unsigned computed_clients(const struct limits_needs *n, uint64_t limit)
{
	uint64_t left = limits_clients_left(n, limit);

	if (left < MIN_CLIENTS)
		return MIN_CLIENTS;
	return left < MAX_CLIENTS ? (unsigned)left : MAX_CLIENTS;
}

static void check_descriptors(struct loader *l)
{
	struct position at = {.set = l->root};
	struct conf *c = l->conf;
	struct limits_needs n = {.listeners = c->listener_count, .workers = c->workers};
	uint64_t limit = descriptor_limit();
	char sum[LIMITS_TEXT_MAX];

	for (unsigned i = 0; i < c->upstream_count; i++)
		limits_add_pool(
			&n, c->upstreams[i].max_connections, c->upstreams[i].max_connecting);
	if (c->max_clients == 0)
		c->max_clients = computed_clients(&n, limit);
	n.clients = c->max_clients;
	if (!limits_fit(&n, limit, sum))
		loader_complain(l, ERROR, at, "daemon.max_clients", "%s", sum);
}

void conf_check(struct loader *l)
{
	struct conf *c = l->conf;

	for (unsigned i = 0; i < c->upstream_count; i++) {
		finish_upstream(l, &c->upstreams[i]);
		check_sizes(l, &c->upstreams[i]);
		check_numbers(l, &c->upstreams[i]);
		check_field(l, &c->upstreams[i]);
		check_proxy(l, &c->upstreams[i]);
	}
	check_upstream_names(l);
	for (unsigned i = 0; i < c->listener_count; i++)
		check_listener(l, i);
	check_memory(l);
	check_descriptors(l);
}
