/* budget.c - requests and retries of the last ten seconds. No clock, no memory. */
#include <string.h>

#include "daemon/pool/budget.h"

/* Forgets the seconds that are too old now; the slot of the current one. */
static unsigned slot_of(struct budget *b, uint64_t now)
{
	uint64_t second = now / 1000;

	if (second >= b->second + BUDGET_SECONDS)
		memset(b->slot, 0, sizeof(b->slot));
	else
		for (uint64_t s = b->second + 1; s <= second; s++)
			memset(&b->slot[s % BUDGET_SECONDS], 0, sizeof(b->slot[0]));
	if (second > b->second)
		b->second = second;
	return (unsigned)(b->second % BUDGET_SECONDS);
}

void budget_request(struct budget *b, uint64_t now)
{
	b->slot[slot_of(b, now)].requests++;
}

bool budget_take(struct budget *b, const struct budget_rules *r, uint64_t now)
{
	unsigned slot = slot_of(b, now);
	uint64_t requests = 0, retries = 0;

	for (int i = 0; i < BUDGET_SECONDS; i++) {
		requests += b->slot[i].requests;
		retries += b->slot[i].retries;
	}
	if (retries >= requests * r->percent / 100 + (uint64_t)r->a_second * BUDGET_SECONDS)
		return false;
	b->slot[slot].retries++;
	return true;
}
