/*
 * lookup.h - asks once for all addresses of an upstream: those of its host, or those of every host
 * of its service (SRV). What becomes of them, and when to ask again, is upstream.c's.
 *
 *   upstream ── lookup_begin ──> resolve.h, one question after the other
 *   upstream <── done: found, incomplete, ttl, err ── when all have answered
 */
#ifndef LOOKUP_H
#define LOOKUP_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/pool/spread.h"
#include "lib/net/resolve.h"

struct cc_ctx;
struct conf_upstream;

struct found { /* one address */
	struct address addr;
	unsigned priority, weight;
};

/* A part of its owner, who begins it again and again. */
struct lookup_all {
	struct cc_ctx *ctx;
	const struct conf_upstream *up; /* may be replaced by one of the same names */
	void (*done)(struct lookup_all *l);

	struct found found[SPREAD_MAX];
	unsigned count;
	bool incomplete;  /* of some host nobody knows */
	uint32_t ttl;     /* s, the smallest of all */
	int err;          /* of the last failure; stays when others succeed */
	char detail[640]; /* "resolve api.example.com: Domain name not found" */

	struct lookup *asked; /* NULL: nothing */
	struct service services[SERVICES_MAX];
	unsigned service_count, service_next;
};

/* Not while one runs. done may be called from within, as when there is no memory to ask. */
void lookup_begin(struct lookup_all *l);
bool lookup_runs(const struct lookup_all *l);
void lookup_cancel(struct lookup_all *l); /* done is not called any more */
/* Something is missing. none: it was said that there is nothing of this name, and is known so. */
void lookup_failed(struct lookup_all *l, int err, bool none, const char *name, const char *why);

#endif
