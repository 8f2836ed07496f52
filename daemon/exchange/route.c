/* route.c - which upstream a request is for. */
#include <string.h>
#include <strings.h>

#include "daemon/exchange/route.h"

/* Without the port, and without the brackets of an IPv6 literal. */
static struct cc_str host_of(struct cc_str authority)
{
	const char *colon;

	if (authority.n > 0 && authority.p[0] == '[') {
		const char *end = memchr(authority.p, ']', authority.n);

		if (end)
			return (struct cc_str){authority.p + 1, (size_t)(end - authority.p - 1)};
	}
	colon = memchr(authority.p, ':', authority.n);
	if (colon)
		authority.n = (size_t)(colon - authority.p);
	return authority;
}

static bool equal(struct cc_str a, const char *b)
{
	return a.n > 0 && a.n == strlen(b) && strncasecmp(a.p, b, a.n) == 0;
}

static bool has_host(const struct conf_upstream *u, struct cc_str host)
{
	for (unsigned i = 0; i < u->host_count; i++)
		if (equal(host, u->hosts[i]))
			return true;
	return equal(host, u->host);
}

const struct conf_upstream *route_find(
	const struct conf *conf, const struct conf_listener *l, struct cc_str authority)
{
	struct cc_str host = host_of(authority);

	if (l->fixed)
		return l->fixed;
	for (unsigned i = 0; i < conf->upstream_count; i++)
		if (equal(host, conf->upstreams[i].name))
			return &conf->upstreams[i];
	for (unsigned i = 0; i < conf->upstream_count; i++)
		if (has_host(&conf->upstreams[i], host))
			return &conf->upstreams[i];
	return l->fallback;
}
