/*
 * lookup.c - a lookup is a list of services, each with the name of a host, looked up one after the
 * other. A name that is no service is a list of one.
 */
#include <stdio.h>
#include <string.h>

#include <clientconn.h>
#include <event2/util.h>

#include "daemon/base/conf.h"
#include "daemon/pool/lookup.h"
#include "lib/net/order.h"

void lookup_failed(struct lookup_all *l, int err, bool none, const char *name, const char *why)
{
	l->incomplete |= !none;
	l->err = err;
	snprintf(l->detail, sizeof(l->detail), "resolve %s: %s", name, why);
}

static void next_service(struct lookup_all *l);

static sa_family_t family_of(const struct conf_upstream *up)
{
	switch (up->address_family) {
	case CONF_FAMILY_IPV4:
		return AF_INET;
	case CONF_FAMILY_IPV6:
		return AF_INET6;
	case CONF_FAMILY_ANY:
		break;
	}
	return AF_UNSPEC;
}

static void keep_ttl(struct lookup_all *l, uint32_t ttl)
{
	if (ttl < l->ttl)
		l->ttl = ttl;
}

static void on_addresses(void *arg, const struct resolved *found)
{
	struct lookup_all *l = arg;
	const struct service *s = &l->services[l->service_next - 1];

	l->asked = NULL;
	if (found->err < 0)
		lookup_failed(l, found->err, found->none, s->host, found->detail);
	else
		keep_ttl(l, found->ttl);
	for (unsigned i = 0; i < found->n && l->count < SPREAD_MAX; i++)
		l->found[l->count++] = (struct found){found->addrs[i], s->priority, s->weight};
	next_service(l);
}

/* The addresses of the next host; behind the last one the answer is complete. */
static void next_service(struct lookup_all *l)
{
	while (l->service_next < l->service_count) {
		const struct service *s = &l->services[l->service_next++];
		int err = resolve_start(
			l->ctx, s->host, s->port, family_of(l->up), on_addresses, l, &l->asked);

		if (err == 0)
			return;
		lookup_failed(l, err, false, s->host, cc_strerror(err));
	}
	l->done(l);
}

static uint32_t by_chance(void *arg, uint32_t n)
{
	uint64_t random;

	(void)arg;
	evutil_secure_rng_get_bytes(&random, sizeof(random));
	return (uint32_t)(random % ((uint64_t)n + 1));
}

static void on_services(void *arg, const struct resolved *found)
{
	struct lookup_all *l = arg;

	l->asked = NULL;
	if (found->err < 0) {
		lookup_failed(l, found->err, found->none, l->up->srv, found->detail);
		l->done(l);
		return;
	}
	keep_ttl(l, found->ttl);
	memcpy(l->services, found->services, found->n * sizeof(l->services[0]));
	l->service_count = found->n;
	order_services(l->services, found->n, by_chance, NULL);
	next_service(l);
}

static void begin_services(struct lookup_all *l)
{
	int err = resolve_services(l->ctx, l->up->srv, on_services, l, &l->asked);

	if (err == 0)
		return;
	lookup_failed(l, err, false, l->up->srv, cc_strerror(err));
	l->done(l);
}

void lookup_begin(struct lookup_all *l)
{
	l->count = l->service_count = l->service_next = 0;
	l->incomplete = false;
	l->ttl = UINT32_MAX;
	if (*l->up->srv) {
		begin_services(l);
		return;
	}
	l->services[0] = (struct service){.port = l->up->port};
	snprintf(l->services[0].host, sizeof(l->services[0].host), "%s", l->up->host);
	l->service_count = 1;
	next_service(l);
}

bool lookup_runs(const struct lookup_all *l)
{
	return l->asked != NULL;
}

void lookup_cancel(struct lookup_all *l)
{
	resolve_cancel(l->asked);
	l->asked = NULL;
}
