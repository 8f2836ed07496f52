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

bool address_is_ejected(const struct address_health *a, uint64_t now)
{
	return now < a->ejected_until;
}

bool address_pauses(const struct address_health *a, uint64_t now)
{
	return now < a->pause_until;
}

bool address_is_well(const struct address_health *a, uint64_t now)
{
	return !address_is_ejected(a, now) && !address_pauses(a, now);
}

uint64_t addresses_ready_at(const struct address_health *all, unsigned n, uint64_t now)
{
	uint64_t first = UINT64_MAX;

	for (unsigned i = 0; i < n; i++) {
		if (all[i].pause_until < first)
			first = all[i].pause_until;
	}
	return n > 0 && first > now ? first : 0;
}

static unsigned count_ejected(const struct address_health *all, unsigned n, uint64_t now)
{
	unsigned ejected = 0;

	for (unsigned i = 0; i < n; i++)
		ejected += address_is_ejected(&all[i], now);
	return ejected;
}

/* Somebody else is to be dialled. */
static bool is_another(const struct address_health *all, unsigned n, unsigned which, uint64_t now)
{
	for (unsigned i = 0; i < n; i++) {
		if (i != which && address_is_well(&all[i], now))
			return true;
	}
	return false;
}

static bool may_be_ejected(const struct address_health *all, unsigned n, unsigned which,
	const struct address_rules *rules, uint64_t now)
{
	uint64_t ejected = count_ejected(all, n, now) + 1u;

	return ejected * 100 <= (uint64_t)n * rules->max_ejected && is_another(all, n, which, now);
}

bool address_failed(struct address_health *all, unsigned n, unsigned which,
	const struct address_rules *rules, uint64_t now)
{
	struct address_health *a = &all[which];

	if (a->failures < UINT32_MAX)
		a->failures++;
	if (address_is_ejected(a, now) || rules->eject_after == 0 ||
		a->failures < rules->eject_after || !may_be_ejected(all, n, which, rules, now))
		return false;
	a->ejected_until = now + rules->eject_time;
	return true;
}

bool address_unconnected(struct address_health *all, unsigned n, unsigned which,
	const struct address_rules *rules, uint64_t now, uint64_t random)
{
	struct address_health *a = &all[which];

	if (now < a->pause_until) /* they were dialled together: one failure */
		return false;
	if (a->unconnected < UINT32_MAX)
		a->unconnected++;
	a->pause_until =
		now + backoff_delay(rules->backoff_min, rules->backoff_max, a->unconnected, random);
	return address_failed(all, n, which, rules, now);
}

void address_connected(struct address_health *a)
{
	a->unconnected = 0;
	a->pause_until = 0;
}

void address_succeeded(struct address_health *a)
{
	a->failures = 0;
}
