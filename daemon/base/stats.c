/* stats.c - names of reasons; histograms of durations. */
#include "daemon/base/stats.h"

static const char *const retry_words[] = {"no",
#define X(name, word) word,
	RETRY_REASONS(X)
#undef X
};

static const char *const reject_words[] = {
#define X(name, word) word,
	REJECT_REASONS(X)
#undef X
};

static const char *const close_words[] = {"none",
#define X(name, word) word,
	CLOSE_REASONS(X) CLOSE_DECISIONS(X)
#undef X
};

static const enum close_cause close_causes[] = {
#define X(name, word) [CC_REASON_##name] = CLOSE_##name,
	CLOSE_REASONS(X)
#undef X
};

const char *close_cause_name(enum close_cause cause)
{
	return close_words[cause];
}

enum close_cause close_cause_of(enum cc_reason reason)
{
	return close_causes[reason];
}

const char *retry_reason_name(enum retry_reason reason)
{
	return retry_words[reason];
}

const char *reject_reason_name(enum reject_reason reason)
{
	return reject_words[reason];
}

/* ---- durations --------------------------------------------------------- */

_Static_assert(HISTOGRAM_FIRST % HISTOGRAM_STEPS == 0, "a step begins at a whole number");

/*
 * Octaves double from HISTOGRAM_FIRST on, each cut into steps of one width. The first bucket whose
 * bound is not below us: what is a bound itself is in the bucket that ends with it.
 */
static unsigned bucket_of(uint64_t us)
{
	uint64_t below = us > 0 ? us - 1 : 0;
	unsigned octave;

	if (below < HISTOGRAM_FIRST)
		return 0;
	octave = 63u - (unsigned)__builtin_clzll(below / HISTOGRAM_FIRST);
	if (octave >= HISTOGRAM_OCTAVES)
		return HISTOGRAM_BUCKETS - 1;
	return 1 + octave * HISTOGRAM_STEPS +
	       (unsigned)(((below >> octave) - HISTOGRAM_FIRST) * HISTOGRAM_STEPS /
			  HISTOGRAM_FIRST);
}

uint64_t histogram_bound(unsigned bucket)
{
	uint64_t octave = bucket > 0 ? (bucket - 1) / HISTOGRAM_STEPS : 0;
	uint64_t step = bucket > 0 ? (bucket - 1) % HISTOGRAM_STEPS + 1 : 0;

	if (bucket >= HISTOGRAM_BUCKETS - 1)
		return UINT64_MAX;
	return ((uint64_t)HISTOGRAM_FIRST << octave) * (HISTOGRAM_STEPS + step) / HISTOGRAM_STEPS;
}

void histogram_add(struct histogram *h, uint64_t us)
{
	h->count[bucket_of(us)]++;
	h->values++;
	h->sum += us;
	if (us > h->largest)
		h->largest = us;
}

void histogram_merge(struct histogram *to, const struct histogram *from)
{
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
		to->count[i] += from->count[i];
	to->values += from->values;
	to->sum += from->sum;
	if (from->largest > to->largest)
		to->largest = from->largest;
}

uint64_t histogram_quantile(const struct histogram *h, unsigned per_mille)
{
	uint64_t wanted =
		h->values / 1000 * per_mille + (h->values % 1000 * per_mille + 999) / 1000;
	uint64_t seen = 0, bound = 0;

	for (unsigned i = 0; i < HISTOGRAM_BUCKETS && (seen < wanted || seen == 0); i++) {
		seen += h->count[i];
		bound = histogram_bound(i);
	}
	return bound < h->largest ? bound : h->largest;
}
