/* order.c - families alternate; what failed a moment ago comes last. */
#include <stdbool.h>

#include "lib/net/address.h"
#include "lib/net/order.h"

/* f->count if it is not there. */
static unsigned find(const struct failed *f, const struct address *a)
{
	unsigned i = 0;

	while (i < f->count && !address_same(&f->entries[i].addr, a))
		i++;
	return i;
}

static unsigned oldest(const struct failed *f)
{
	unsigned found = 0;

	for (unsigned i = 1; i < f->count; i++) {
		if (f->entries[i].since < f->entries[found].since)
			found = i;
	}
	return found;
}

void failed_add(struct failed *f, const struct address *a, uint64_t now)
{
	unsigned i = find(f, a);

	if (i == FAILED_MAX)
		i = oldest(f);
	else if (i == f->count)
		f->count++;
	f->entries[i].addr = *a;
	f->entries[i].since = now;
}

void failed_remove(struct failed *f, const struct address *a)
{
	unsigned i = find(f, a);

	if (i < f->count)
		f->entries[i] = f->entries[--f->count];
}

uint64_t failed_at(const struct failed *f, const struct address *a)
{
	unsigned i = find(f, a);

	return i < f->count ? f->entries[i].since : 0;
}

static bool has_failed(const struct failed *f, const struct address *a, uint64_t now)
{
	uint64_t at = f ? failed_at(f, a) : 0;

	return at > 0 && now - at < FAILED_FOR;
}

/* Indices that wait in the order in which they came. */
struct row {
	unsigned n, next;
	uint8_t at[RESOLVE_MAX];
};

static unsigned alternate(struct row *first, struct row *second, uint8_t *order)
{
	unsigned n = 0;

	while (first->next < first->n || second->next < second->n) {
		if (first->next < first->n)
			order[n++] = first->at[first->next++];
		if (second->next < second->n)
			order[n++] = second->at[second->next++];
	}
	return n;
}

unsigned order_addresses(const struct address *addrs, unsigned n, sa_family_t family,
	const struct failed *f, uint64_t now, uint8_t order[RESOLVE_MAX])
{
	struct row rows[2][2] = {0}; /* [it failed][it is not of the first one's family] */
	unsigned count;

	for (unsigned i = 0; i < n; i++) {
		sa_family_t own = addrs[i].sa.ss_family;
		struct row *row;

		if (family != AF_UNSPEC && own != family)
			continue;
		row = &rows[has_failed(f, &addrs[i], now)][own != addrs[0].sa.ss_family];
		row->at[row->n++] = (uint8_t)i;
	}
	count = alternate(&rows[0][0], &rows[0][1], order);
	return count + alternate(&rows[1][0], &rows[1][1], order + count);
}

/* ---- services (RFC 2782) -------------------------------------------------- */

static void swap(struct service *a, struct service *b)
{
	struct service other = *a;

	*a = *b;
	*b = other;
}

/* Those without weight before those of the same priority that have one. */
static bool service_before(const struct service *a, const struct service *b)
{
	if (a->priority != b->priority)
		return a->priority < b->priority;
	return a->weight == 0 && b->weight > 0;
}

static unsigned same_priority(const struct service *services, unsigned n)
{
	unsigned count = 1;

	while (count < n && services[count].priority == services[0].priority)
		count++;
	return count;
}

/* Draws who comes first of n with the same priority; the others keep their order. */
static void draw_first(
	struct service *services, unsigned n, uint32_t (*chance)(void *arg, uint32_t n), void *arg)
{
	uint32_t sum = 0, drawn, running = services[0].weight;
	unsigned i = 0;

	for (unsigned k = 0; k < n; k++)
		sum += services[k].weight;
	drawn = chance(arg, sum);
	while (running < drawn)
		running += services[++i].weight;
	for (; i > 0; i--)
		swap(&services[i], &services[i - 1]);
}

void order_services(
	struct service *services, unsigned n, uint32_t (*chance)(void *arg, uint32_t n), void *arg)
{
	for (unsigned i = 1; i < n; i++) {
		for (unsigned k = i; k > 0 && service_before(&services[k], &services[k - 1]); k--)
			swap(&services[k], &services[k - 1]);
	}
	for (unsigned i = 0; i < n; i++)
		draw_first(&services[i], same_priority(&services[i], n - i), chance, arg);
}
