/* spread.c - the fewest connections first. No clock, no memory, no chance. */
#include "daemon/pool/spread.h"

/* What a weight of 0 is beside others: nearly nothing (RFC 2782). */
#define WEIGHT_UNIT 256u

static uint64_t share(const struct spread_item *a)
{
	return a->weight > 0 ? (uint64_t)a->weight * WEIGHT_UNIT : 1;
}

/* How far behind last, round the end. */
static unsigned distance(unsigned i, unsigned last, unsigned n)
{
	return last < n ? (i + n - last - 1) % n : i;
}

struct view {
	const struct spread_item *items;
	unsigned n, last;
	bool even;
};

static bool before(const struct view *v, unsigned i, unsigned j)
{
	const struct spread_item *a = &v->items[i], *b = &v->items[j];
	uint64_t load_a = (a->load + 1u) * share(b), load_b = (b->load + 1u) * share(a);

	if (a->priority != b->priority)
		return a->priority < b->priority;
	if (a->failed != b->failed)
		return b->failed;
	if (!v->even)
		return i < j;
	if (load_a != load_b)
		return load_a < load_b;
	return distance(i, v->last, v->n) < distance(j, v->last, v->n);
}

static bool all_out(const struct spread_item *items, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		if (!items[i].skipped)
			return false;
	}
	return true;
}

/* The lowest priority that has an address worth dialling; UINT32_MAX: none has, so all count. */
static unsigned good_priority(const struct spread_item *items, unsigned n)
{
	unsigned lowest = UINT32_MAX;

	for (unsigned i = 0; i < n; i++) {
		if (!items[i].skipped && !items[i].failed && items[i].priority < lowest)
			lowest = items[i].priority;
	}
	return lowest;
}

static void insert(const struct view *v, uint8_t *order, unsigned count, unsigned i)
{
	for (; count > 0 && before(v, i, order[count - 1]); count--)
		order[count] = order[count - 1];
	order[count] = (uint8_t)i;
}

unsigned spread_order(const struct spread_item *items, unsigned n, bool even, unsigned last,
	uint8_t order[SPREAD_MAX])
{
	struct view v = {items, n, last, even};
	bool none = all_out(items, n);
	unsigned priority = good_priority(items, n), count = 0;

	for (unsigned i = 0; i < n; i++) {
		if (!none && items[i].skipped)
			continue;
		if (priority != UINT32_MAX && items[i].priority != priority)
			continue;
		insert(&v, order, count++, i);
	}
	return count;
}
