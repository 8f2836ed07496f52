/*
 * pick.c - which connection to use, how many to open. No clock, no socket, no memory.
 *
 * The set is a treap: a search tree whose shape is that of a tree filled in random order,
 * because each node has a random rank and no child outranks its parent. So its depth is
 * O(log n), whatever comes and goes; it needs no memory beside its entries; and with sizes in the
 * nodes it also gives the n-th entry, which the drawing of two needs.
 */
#include "daemon/pool/pick.h"

/* ---- the tree ---------------------------------------------------------- */

/* The finalizer of splitmix64: stamps differ, so ranks do. */
static uint64_t rank(const struct pick_entry *e)
{
	uint64_t x = e->stamp * 0x9e3779b97f4a7c15u;

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}

static bool is_less(enum pick_mode mode, const struct pick_entry *a, const struct pick_entry *b)
{
	if (mode == PICK_MOST_AVAILABLE && a->available != b->available)
		return a->available < b->available;
	return a->stamp < b->stamp;
}

static uint32_t size_of(const struct pick_entry *e)
{
	return e ? e->size : 0;
}

static void resize(struct pick_entry *e)
{
	e->size = size_of(e->less) + 1 + size_of(e->more);
}

/* All of low is less than all of high. */
static struct pick_entry *join(struct pick_entry *low, struct pick_entry *high)
{
	struct pick_entry *top;

	if (!low || !high)
		return low ? low : high;
	if (rank(low) > rank(high)) {
		top = low;
		top->more = join(low->more, high);
	} else {
		top = high;
		top->less = join(low, high->less);
	}
	resize(top);
	return top;
}

/* What is less than at, and the rest. */
static void split(enum pick_mode mode, struct pick_entry *top, const struct pick_entry *at,
	struct pick_entry **low, struct pick_entry **high)
{
	if (!top) {
		*low = *high = NULL;
		return;
	}
	if (is_less(mode, top, at)) {
		*low = top;
		split(mode, top->more, at, &top->more, high);
	} else {
		*high = top;
		split(mode, top->less, at, low, &top->less);
	}
	resize(top);
}

static void insert(struct pick_set *set, struct pick_entry *e)
{
	struct pick_entry *low, *high;

	e->less = e->more = NULL;
	e->size = 1;
	split(set->mode, set->root, e, &low, &high);
	set->root = join(join(low, e), high);
}

static void take_out(struct pick_set *set, struct pick_entry *e)
{
	struct pick_entry **at = &set->root;

	while (*at != e) {
		(*at)->size--;
		at = is_less(set->mode, *at, e) ? &(*at)->more : &(*at)->less;
	}
	*at = join(e->less, e->more);
}

static struct pick_entry *nth(struct pick_entry *e, uint32_t n)
{
	while (n != size_of(e->less)) {
		if (n < size_of(e->less)) {
			e = e->less;
		} else {
			n -= size_of(e->less) + 1;
			e = e->more;
		}
	}
	return e;
}

/* ---- which one --------------------------------------------------------- */

void pick_set_init(struct pick_set *set, enum pick_mode mode)
{
	*set = (struct pick_set){.mode = mode};
}

void pick_update(struct pick_set *set, struct pick_entry *e, uint32_t available)
{
	if (e->available == available)
		return;
	if (e->available > 0)
		take_out(set, e);
	e->available = available;
	e->stamp = ++set->stamp;
	if (available > 0)
		insert(set, e);
}

void pick_remove(struct pick_set *set, struct pick_entry *e)
{
	pick_update(set, e, 0);
}

/* A number below n: the high bits of a product are as even as those of the factor. */
static uint32_t scale(uint32_t random, uint32_t n)
{
	return (uint32_t)((uint64_t)random * n >> 32);
}

static struct pick_entry *better_of_two(const struct pick_set *set, uint64_t random)
{
	uint32_t n = size_of(set->root);
	uint32_t i = scale((uint32_t)random, n);
	uint32_t j = n > 1 ? scale((uint32_t)(random >> 32), n - 1) : i;
	struct pick_entry *a = nth(set->root, i);
	struct pick_entry *b = nth(set->root, j + (n > 1 && j >= i)); /* another one */

	return b->available > a->available ? b : a;
}

struct pick_entry *pick_best(const struct pick_set *set, uint64_t random)
{
	if (!set->root)
		return NULL;
	switch (set->mode) {
	case PICK_FIFO:
		return nth(set->root, 0);
	case PICK_RANDOM2:
		return better_of_two(set, random);
	case PICK_MOST_AVAILABLE:
	case PICK_LIFO:
		break;
	}
	return nth(set->root, set->root->size - 1);
}

unsigned pick_count(const struct pick_set *set)
{
	return size_of(set->root);
}

/* ---- how many ---------------------------------------------------------- */

static unsigned smaller(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

static unsigned room_below(unsigned limit, unsigned used)
{
	return used < limit ? limit - used : 0;
}

/* Connections that the waiting requests need beyond those on their way. */
static uint64_t demanded(const struct pick_demand *d)
{
	uint64_t each = d->expected_each > 0 ? d->expected_each : 1;
	uint64_t missing;

	if (d->waiting <= d->expected)
		return 0;
	missing = d->waiting - d->expected;
	return missing / each + (missing % each > 0);
}

/* max_connections less the reserve, unless somebody waited long enough for that. */
static unsigned limit_now(const struct pick_demand *d)
{
	if (d->waiting > 0 && d->oldest_wait >= d->reserve_after)
		return d->max_connections;
	return room_below(d->max_connections, d->reserve_connections);
}

/* Below the limit for connections and that for handshakes. */
static unsigned room_for_dials(const struct pick_demand *d, unsigned max_connections)
{
	unsigned handshakes = d->failing ? smaller(d->max_connecting, 1) : d->max_connecting;

	return smaller(
		room_below(max_connections, d->connections), room_below(handshakes, d->connecting));
}

static unsigned floor_missing(const struct pick_demand *d)
{
	return room_below(d->min_connections, room_below(d->connections, d->draining));
}

unsigned pick_dials(const struct pick_demand *d)
{
	unsigned room = room_for_dials(d, limit_now(d));
	uint64_t wanted = demanded(d);

	if (d->now < d->not_before)
		return 0;
	if (wanted < floor_missing(d))
		wanted = floor_missing(d);
	return wanted < room ? (unsigned)wanted : room;
}

uint64_t pick_dials_again(const struct pick_demand *d)
{
	uint64_t wanted = demanded(d);
	bool reserve_helps =
		wanted > room_for_dials(d, limit_now(d)) &&
		room_for_dials(d, limit_now(d)) < room_for_dials(d, d->max_connections);

	if (wanted == 0 && floor_missing(d) == 0)
		return UINT64_MAX;
	if (d->now < d->not_before)
		return d->not_before - d->now;
	return reserve_helps ? d->reserve_after - d->oldest_wait : UINT64_MAX;
}

unsigned pick_surplus(
	unsigned idle, unsigned max_idle, unsigned connections, unsigned min_connections)
{
	return smaller(room_below(idle, max_idle), room_below(connections, min_connections));
}
