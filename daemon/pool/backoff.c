/* backoff.c - pauses after failures. No clock, no memory; chance comes as a number. */
#include "daemon/pool/backoff.h"

#define JITTER 20u /* percent, up and down */

uint64_t backoff_delay(uint64_t min, uint64_t max, unsigned failures, uint64_t random)
{
	uint64_t step = min;
	uint64_t percent = 100 - JITTER + random % (2 * JITTER + 1);

	for (unsigned i = 1; i < failures && step > 0 && step < max; i++)
		step = (step * 8 + 4) / 5; /* x 1.6, and from 1 on always more than it was */
	if (step > max)
		step = max;
	return step * percent / 100;
}

bool address_is_out(const struct address_health *a, uint64_t now)
{
	return now < a->out_until;
}

static unsigned count_out(const struct address_health *all, unsigned n, uint64_t now)
{
	unsigned out = 0;

	for (unsigned i = 0; i < n; i++)
		out += address_is_out(&all[i], now);
	return out;
}

static bool one_more_may_be_out(
	const struct address_health *all, unsigned n, const struct eject_rules *rules, uint64_t now)
{
	uint64_t out = count_out(all, n, now) + 1u;

	return out < n && out * 100 <= (uint64_t)n * rules->max_percent;
}

bool address_failed(struct address_health *all, unsigned n, unsigned which,
	const struct eject_rules *rules, uint64_t now)
{
	struct address_health *a = &all[which];

	if (a->failures < UINT32_MAX)
		a->failures++;
	if (address_is_out(a, now) || rules->after == 0 || a->failures < rules->after ||
		!one_more_may_be_out(all, n, rules, now))
		return address_is_out(a, now);
	a->out_until = now + rules->time;
	return true;
}

void address_succeeded(struct address_health *a)
{
	*a = (struct address_health){0};
}

unsigned address_next(const struct address_health *all, unsigned n, unsigned start, uint64_t now)
{
	unsigned first = start % n;

	for (unsigned k = 0; k < n; k++) {
		unsigned i = (start % n + k) % n;

		if (!address_is_out(&all[i], now))
			return i;
		if (all[i].out_until < all[first].out_until)
			first = i;
	}
	return first;
}
