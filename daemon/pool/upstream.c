/*
 * upstream.c - the addresses of an upstream: when its name is looked up, what an answer changes,
 * how well each does and how many connections it has.
 *
 *   EXPIRED ──target──> lookup ──answer──> known until its time is over ──in use──> lookup
 *      └──────────────────── its time is over, not in use ────────────────┘
 *
 * How a name is looked up is in lookup.c, how health is counted in backoff.c, which address comes
 * next in spread.c.
 */
#include <stdio.h>
#include <string.h>

#include <event2/util.h>

#include "daemon/base/conf.h"
#include "daemon/pool/backoff.h"
#include "daemon/pool/lookup.h"
#include "daemon/pool/spread.h"
#include "daemon/pool/upstream.h"
#include "lib/base/ctx.h"
#include "lib/base/list.h"
#include "lib/base/timer.h"
#include "lib/base/turn.h"
#include "lib/net/address.h"
#include "lib/net/order.h"
#include "lib/net/race.h"

#define TTL_LEAST      1000u /* ms: not asked more often */
#define PATIENCE       1000u /* ms that an old answer is not used, while a new one is waited for */
#define EMPTY_BELIEVED 2u    /* times in a row that there is nothing, until it is believed */

struct entry { /* what an endpoint is besides */
	struct endpoint ep;
	struct list link; /* in upstream->gone when it is gone */
	struct address addr;
	unsigned index; /* in upstream->entries while it is not gone */
	unsigned priority, weight;
	uint64_t failed_at; /* ms, the last failure that was counted */
	bool unreported;    /* gone, and the pool does not know it */
};

struct upstream {
	struct cc_ctx *ctx;
	const struct conf_upstream *up;
	const struct upstream_ops *ops;
	void *arg;

	struct entry *entries[SPREAD_MAX];
	struct address_health health[SPREAD_MAX]; /* of the entry of the same index */
	unsigned count;
	unsigned last; /* index of the one that was dialled last; count: none */
	struct list gone;

	bool fixed;             /* nothing is resolved */
	bool expired;           /* what is known is too old, or nothing was ever known */
	bool asked;             /* a target was wanted since the last answer */
	bool waiting;           /* it got none: resolved must come */
	unsigned empty_answers; /* times in a row that there was nothing */
	struct timer timer;     /* a lookup runs: patience; else the time of the answer */
	struct turn_item tell;

	struct lookup_all lookup;
	char target[SPREAD_MAX * 56]; /* an address has at most 54 letters */
};

static struct entry *entry_of(const struct endpoint *ep)
{
	return container_of(ep, struct entry, ep);
}

static struct address_rules rules_of(const struct upstream *u)
{
	return (struct address_rules){
		.backoff_min = u->up->backoff_min,
		.backoff_max = u->up->backoff_max,
		.eject_after = u->up->eject_after,
		.eject_time = u->up->eject_time,
		.max_ejected = u->up->max_ejected,
	};
}

/* ---- entries ------------------------------------------------------------ */

static struct entry *entry_new(struct upstream *u)
{
	struct entry *p = mem_zalloc(u->ctx, sizeof(*p));

	if (p) {
		p->ep.upstream = u;
		list_init(&p->link);
	}
	return p;
}

static void entry_free(struct entry *p)
{
	list_del(&p->link);
	mem_free(p->ep.upstream->ctx, p);
}

/* An entry that is gone stays for those who point to it. */
static void entry_release(struct entry *p)
{
	if (p->ep.gone && p->ep.connections == 0 && p->ep.dialling == 0)
		entry_free(p);
}

static struct entry *find_address(const struct upstream *u, const struct address *a)
{
	for (unsigned i = 0; i < u->count; i++) {
		if (address_same(&u->entries[i]->addr, a))
			return u->entries[i];
	}
	list_each (l, tmp, &u->gone) {
		struct entry *p = container_of(l, struct entry, link);

		if (address_same(&p->addr, a))
			return p;
	}
	return NULL;
}

static struct entry *find_text(const struct upstream *u, const char *text)
{
	for (unsigned i = 0; i < u->count; i++) {
		if (strcmp(u->entries[i]->ep.text, text) == 0)
			return u->entries[i];
	}
	list_each (l, tmp, &u->gone) {
		struct entry *p = container_of(l, struct entry, link);

		if (strcmp(p->ep.text, text) == 0)
			return p;
	}
	return NULL;
}

/* ---- health ------------------------------------------------------------ */

static uint64_t chance(void)
{
	uint64_t random;

	evutil_secure_rng_get_bytes(&random, sizeof(random));
	return random;
}

static bool entry_unconnected(struct entry *p)
{
	struct upstream *u = p->ep.upstream;
	struct address_rules rules = rules_of(u);

	return !p->ep.gone && address_unconnected(u->health, u->count, p->index, &rules,
				      ctx_now(u->ctx), chance());
}

/* Those that the library could not connect to since it was looked last. */
static void count_failures(struct upstream *u)
{
	for (unsigned i = 0; !u->fixed && i < u->count; i++) {
		struct entry *p = u->entries[i];
		uint64_t at = race_failed_at(u->ctx, &p->addr);

		if (at > 0 && at != p->failed_at) {
			p->failed_at = at;
			entry_unconnected(p);
		}
	}
}

/* p was dialled and did not connect, whether the library calls that a failure or not. */
static void count_failures_and(struct upstream *u, struct entry *p)
{
	uint64_t before = p->failed_at;

	count_failures(u);
	if (p->failed_at == before)
		entry_unconnected(p);
}

static bool failed_a_moment_ago(const struct upstream *u, const struct entry *p)
{
	uint64_t at = u->fixed ? 0 : race_failed_at(u->ctx, &p->addr);

	return at > 0 && ctx_now(u->ctx) - at < FAILED_FOR;
}

unsigned upstream_addresses(const struct upstream *u)
{
	return u->count;
}

unsigned upstream_ejected(const struct upstream *u)
{
	unsigned n = 0;

	for (unsigned i = 0; i < u->count; i++)
		n += address_is_ejected(&u->health[i], ctx_now(u->ctx));
	return n;
}

/* Fewer addresses, fewer may be ejected: who would come back first does. */
static void limit_ejected(struct upstream *u)
{
	unsigned ejected = upstream_ejected(u);

	for (; ejected > 0 &&
		(ejected == u->count || ejected * 100 > u->count * u->up->max_ejected);
		ejected--) {
		struct address_health *first = NULL;

		for (unsigned i = 0; i < u->count; i++) {
			struct address_health *a = &u->health[i];

			if (address_is_ejected(a, ctx_now(u->ctx)) &&
				(!first || a->ejected_until < first->ejected_until))
				first = a;
		}
		first->ejected_until = 0;
	}
}

/* ---- what an answer changes ---------------------------------------------- */

struct merged {
	struct entry *entries[SPREAD_MAX];
	struct address_health health[SPREAD_MAX];
	unsigned count;
	bool changed;
};

static bool is_merged(const struct merged *m, const struct entry *p)
{
	for (unsigned i = 0; i < m->count; i++) {
		if (m->entries[i] == p)
			return true;
	}
	return false;
}

static void merge_entry(const struct upstream *u, struct merged *m, struct entry *p, bool known)
{
	if (m->count == SPREAD_MAX || is_merged(m, p))
		return;
	if (known)
		m->health[m->count] = u->health[p->index];
	m->entries[m->count++] = p;
	m->changed |= !known;
}

static struct entry *entry_add(struct upstream *u, const struct address *addr)
{
	struct entry *p = entry_new(u);

	if (!p)
		return NULL;
	p->addr = *addr;
	p->failed_at = race_failed_at(u->ctx, addr); /* that was before our time */
	address_text(addr, p->ep.text, sizeof(p->ep.text));
	return p;
}

static void merge_fresh(struct upstream *u, struct merged *m, const struct found *f)
{
	struct entry *p = find_address(u, &f->addr);
	bool known = p && !p->ep.gone;

	for (unsigned i = 0; !p && i < m->count; i++) { /* twice in the answer, and new */
		if (address_same(&m->entries[i]->addr, &f->addr))
			return;
	}
	if (!p)
		p = entry_add(u, &f->addr);
	if (!p) {
		lookup_failed(&u->lookup, CC_ENOMEM, false, u->up->host, cc_strerror(CC_ENOMEM));
		return; /* like one that was not told */
	}
	if (p->ep.gone) { /* it is back */
		list_del(&p->link);
		list_init(&p->link);
		p->ep.gone = p->unreported = false;
	}
	p->priority = f->priority;
	p->weight = f->weight;
	merge_entry(u, m, p, known);
}

static void dismiss(struct upstream *u, struct entry *p)
{
	p->ep.gone = true;
	p->unreported = p->ep.connections > 0;
	list_add_tail(&u->gone, &p->link);
	entry_release(p);
}

/* The pool may do anything to what it is told of, so the list is looked at anew each time. */
static void tell_gone(struct upstream *u)
{
	struct entry *unreported;

	do {
		unreported = NULL;
		list_each (l, tmp, &u->gone) {
			struct entry *p = container_of(l, struct entry, link);

			if (p->unreported)
				unreported = p;
		}
		if (unreported) {
			unreported->unreported = false;
			u->ops->gone(u->arg, &unreported->ep);
		}
	} while (unreported);
}

/* What was found becomes entries. What is not in it is gone, unless a part is missing. */
static bool merge(struct upstream *u)
{
	struct entry *last = u->last < u->count ? u->entries[u->last] : NULL;
	struct entry *old[SPREAD_MAX];
	unsigned old_count = u->count;
	struct merged m = {0};

	memcpy(old, u->entries, sizeof(old));
	for (unsigned i = 0; i < u->lookup.count; i++)
		merge_fresh(u, &m, &u->lookup.found[i]);
	for (unsigned i = 0; u->lookup.incomplete && i < old_count; i++)
		merge_entry(u, &m, old[i], true);

	memcpy(u->entries, m.entries, sizeof(m.entries));
	memcpy(u->health, m.health, sizeof(m.health));
	u->count = u->last = m.count;
	for (unsigned i = 0; i < m.count; i++) {
		m.entries[i]->index = i;
		if (m.entries[i] == last)
			u->last = i;
	}
	for (unsigned i = 0; i < old_count; i++) {
		if (is_merged(&m, old[i]))
			continue;
		m.changed = true;
		dismiss(u, old[i]);
	}
	limit_ejected(u);
	return m.changed;
}

/* ---- the end of a lookup --------------------------------------------------- */

static void tell(struct turn_item *item)
{
	struct upstream *u = container_of(item, struct upstream, tell);

	u->waiting = false;
	tell_gone(u);
	if (u->count > 0)
		u->ops->resolved(u->arg, 0, "");
	else
		u->ops->resolved(u->arg, u->lookup.err, u->lookup.detail);
}

static void tell_soon(struct upstream *u)
{
	turn_add(u->ctx, TURN_NOTIFY, &u->tell);
}

/* Down to three binary digits: the timers of many upstreams then share few durations. */
static uint64_t rounded(uint64_t s)
{
	uint64_t unit = 1;

	while (s / unit >= 8)
		unit *= 2;
	return s / unit * unit;
}

static uint64_t clamped(const struct conf_upstream *up, uint64_t ms)
{
	if (ms < up->dns_ttl_min)
		ms = up->dns_ttl_min;
	if (ms > up->dns_ttl_max)
		ms = up->dns_ttl_max;
	return ms < TTL_LEAST ? TTL_LEAST : ms;
}

static void valid_for(struct upstream *u, uint64_t ms)
{
	u->asked = u->expired = false;
	timer_start(u->ctx, &u->timer, ms);
}

static void take_answer(struct upstream *u)
{
	bool changed = merge(u);

	u->empty_answers = 0;
	valid_for(u, clamped(u->up, u->lookup.incomplete ? 0 : rounded(u->lookup.ttl) * 1000));
	if (changed || u->waiting)
		tell_soon(u);
}

/* What was known stays if it may, and as long as it was not said twice that there is nothing. */
static void take_failure(struct upstream *u)
{
	bool keep, changed = false;

	u->empty_answers = u->lookup.incomplete ? 0 : u->empty_answers + 1;
	keep = u->up->dns_keep_stale && u->empty_answers < EMPTY_BELIEVED;
	valid_for(u, clamped(u->up, 0));
	if (!keep) {
		u->lookup.incomplete = false;
		changed = merge(u);
	}
	if (changed || u->waiting)
		tell_soon(u);
}

static void lookup_done(struct lookup_all *l)
{
	struct upstream *u = container_of(l, struct upstream, lookup);

	timer_stop(&u->timer);
	if (u->lookup.count > 0)
		take_answer(u);
	else
		take_failure(u);
}

/* ---- lookups ------------------------------------------------------------- */

static bool in_use(const struct upstream *u)
{
	for (unsigned i = 0; i < u->count; i++) {
		if (u->entries[i]->ep.connections > 0 || u->entries[i]->ep.dialling > 0)
			return true;
	}
	return u->asked || !list_empty(&u->gone);
}

static void on_timer(struct timer *t)
{
	struct upstream *u = container_of(t, struct upstream, timer);

	if (lookup_runs(&u->lookup)) { /* patience is over: better an old answer than none */
		u->expired = false;
		if (u->waiting)
			tell_soon(u);
	} else if (in_use(u)) {
		lookup_begin(&u->lookup);
	} else {
		u->expired = true;
	}
}

/* ---- targets --------------------------------------------------------------- */

static void want_answer(struct upstream *u)
{
	if (lookup_runs(&u->lookup))
		return;
	lookup_begin(&u->lookup);
	if (lookup_runs(&u->lookup) && u->count > 0 && u->up->dns_keep_stale)
		timer_start(u->ctx, &u->timer, PATIENCE);
}

static void write_target(struct upstream *u, const uint8_t *order, unsigned n)
{
	size_t len = 0;

	for (unsigned i = 0; i < n; i++)
		len += (size_t)snprintf(u->target + len, sizeof(u->target) - len, "%s%s",
			i > 0 ? "," : "", u->entries[order[i]]->ep.text);
}

/* If none is well, one that is ejected is better than one that pauses. */
static bool is_skipped(const struct upstream *u, unsigned i)
{
	uint64_t now = ctx_now(u->ctx);

	for (unsigned k = 0; k < u->count; k++) {
		if (address_is_well(&u->health[k], now))
			return !address_is_well(&u->health[i], now);
	}
	return address_pauses(&u->health[i], now);
}

static struct endpoint *choose(struct upstream *u)
{
	struct spread_item items[SPREAD_MAX];
	uint8_t order[SPREAD_MAX];
	unsigned n;

	for (unsigned i = 0; i < u->count; i++) {
		const struct entry *p = u->entries[i];

		items[i] = (struct spread_item){p->ep.connections + p->ep.dialling, p->priority,
			p->weight, is_skipped(u, i), failed_a_moment_ago(u, p)};
	}
	n = spread_order(items, u->count, u->up->spread, u->last, order);
	u->last = order[0];
	if (!u->fixed)
		write_target(u, order, n);
	return &u->entries[order[0]]->ep;
}

void upstream_wanted(struct upstream *u)
{
	u->asked = true;
	if (u->expired)
		want_answer(u);
}

const char *upstream_target(struct upstream *u, struct endpoint **first)
{
	upstream_wanted(u);
	if (u->expired || u->count == 0) {
		u->waiting = true;
		if (!lookup_runs(&u->lookup)) /* it failed, and is asked again later */
			tell_soon(u);
		return NULL;
	}
	*first = choose(u);
	(*first)->dialling++;
	return u->fixed ? u->up->address : u->target;
}

/* ---- what became of it ------------------------------------------------------ */

struct endpoint *upstream_connected(struct endpoint *first, const char *address)
{
	struct upstream *u = first->upstream;
	struct entry *p = find_text(u, address), *dialled = entry_of(first);

	if (!p)
		p = dialled; /* a proxy answers in its place */
	if (p == dialled)
		count_failures(u);
	else
		count_failures_and(u, dialled); /* if it did not fail, it was too slow */
	p->ep.connections++;
	if (!p->ep.gone)
		address_connected(&u->health[p->index]);
	first->dialling--;
	entry_release(dialled);
	return &p->ep;
}

void upstream_failed(struct endpoint *first, const char *address)
{
	struct upstream *u = first->upstream;
	struct entry *p = find_text(u, address), *dialled = entry_of(first);

	count_failures_and(u, p ? p : dialled);
	first->dialling--;
	entry_release(dialled);
}

void upstream_gave_up(struct endpoint *first)
{
	first->dialling--;
	entry_release(entry_of(first));
}

const char *upstream_awaited(const struct upstream *u)
{
	if (!lookup_runs(&u->lookup) || u->count > 0)
		return NULL;
	return *u->up->srv ? u->up->srv : u->up->host;
}

uint64_t upstream_ready_at(const struct upstream *u)
{
	return addresses_ready_at(u->health, u->count, ctx_now(u->ctx));
}

bool endpoint_useless(struct endpoint *ep)
{
	return entry_unconnected(entry_of(ep));
}

bool endpoint_failed(struct endpoint *ep)
{
	struct upstream *u = ep->upstream;
	struct address_rules rules = rules_of(u);

	return !ep->gone &&
	       address_failed(u->health, u->count, entry_of(ep)->index, &rules, ctx_now(u->ctx));
}

void endpoint_succeeded(struct endpoint *ep)
{
	if (!ep->gone)
		address_succeeded(&ep->upstream->health[entry_of(ep)->index]);
}

bool endpoint_is_bad(const struct endpoint *ep)
{
	const struct upstream *u = ep->upstream;

	return ep->gone ||
	       (is_skipped(u, entry_of(ep)->index) &&
		       address_is_ejected(&u->health[entry_of(ep)->index], ctx_now(u->ctx)));
}

void endpoint_closed(struct endpoint *ep)
{
	ep->connections--;
	entry_release(entry_of(ep));
}

/* ---- begin and end ----------------------------------------------------------- */

static bool is_fixed(const struct conf_upstream *up)
{
	struct address unused;

	if (*up->srv)
		return false;
	return *up->proxy || !*up->host || address_numeric(&unused, up->host, up->port);
}

/* The one entry that is never compared with an answer. */
static int entry_fixed(struct upstream *u)
{
	struct entry *p = entry_new(u);

	if (!p)
		return CC_ENOMEM;
	snprintf(p->ep.text, sizeof(p->ep.text), "%s", u->up->address);
	u->entries[0] = p;
	u->count = 1;
	return 0;
}

int upstream_new(struct cc_ctx *ctx, const struct conf_upstream *up, const struct upstream_ops *ops,
	void *arg, struct upstream **ret)
{
	struct upstream *u = mem_zalloc(ctx, sizeof(*u));
	int err = 0;

	if (!u)
		return CC_ENOMEM;
	u->ctx = ctx;
	u->up = up;
	u->lookup.ctx = ctx;
	u->lookup.up = up;
	u->lookup.done = lookup_done;
	u->ops = ops;
	u->arg = arg;
	list_init(&u->gone);
	timer_init(&u->timer, on_timer);
	turn_item_init(&u->tell, tell);
	u->fixed = is_fixed(up);
	u->expired = !u->fixed;
	if (u->fixed)
		err = entry_fixed(u);
	if (err < 0) {
		upstream_free(u);
		return err;
	}
	u->last = u->count;
	*ret = u;
	return 0;
}

void upstream_configure(struct upstream *u, const struct conf_upstream *up)
{
	u->up = u->lookup.up = up;
	limit_ejected(u);
}

void upstream_free(struct upstream *u)
{
	if (!u)
		return;
	lookup_cancel(&u->lookup);
	timer_stop(&u->timer);
	turn_cancel(&u->tell);
	for (unsigned i = 0; i < u->count; i++)
		entry_free(u->entries[i]);
	list_each (l, tmp, &u->gone)
		entry_free(container_of(l, struct entry, link));
	mem_free(u->ctx, u);
}
