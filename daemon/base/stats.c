/* stats.c - counters as JSON; histograms of durations. */
#include <stdlib.h>

#include <jansson.h>

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

static const char *retry_word(unsigned i)
{
	return retry_words[i];
}

static const char *reject_word(unsigned i)
{
	return reject_words[i];
}

static const char *close_word(unsigned i)
{
	return close_words[i];
}

static void add_number(json_t *to, const char *name, uint64_t n)
{
	json_object_set_new(to, name, json_integer((json_int_t)n));
}

/* The one at 0 stands for "none", unless first is 0. */
static void add_reasons(json_t *to, const char *name, const uint64_t *count, unsigned first,
	unsigned n, const char *(*word)(unsigned))
{
	json_t *j = json_object();

	for (unsigned i = first; i < n; i++)
		add_number(j, word(i), count[i]);
	json_object_set_new(to, name, j);
}

static void add_duration(json_t *to, const char *name, const struct histogram *h)
{
	json_t *j = json_object();

	add_number(j, "count", h->values);
	add_number(j, "sum_us", h->sum);
	add_number(j, "p50_us", histogram_quantile(h, 500));
	add_number(j, "p99_us", histogram_quantile(h, 990));
	add_number(j, "max_us", h->largest);
	json_object_set_new(to, name, j);
}

static void add_counts(json_t *j, const struct stats_view *v)
{
	add_number(j, "waiting", v->now.waiting);
	add_number(j, "running", v->now.running);
	add_number(j, "connecting", v->now.connecting);
	add_number(j, "available", v->now.available);
	add_number(j, "full", v->now.full);
	add_number(j, "draining", v->now.draining);
	add_number(j, "addresses", v->now.addresses);
	add_number(j, "ejected", v->now.ejected);
#define X(name, text) add_number(j, #name, v->counters->name);
	POOL_COUNTERS(X)
#undef X
	add_reasons(
		j, "retried_by_reason", v->counters->retried_by, 1, RETRY_REASON_COUNT, retry_word);
}

static void add_durations(json_t *j, const struct pool_stats *s)
{
#define X(name, text) add_duration(j, #name, &s->name);
	POOL_DURATIONS(X)
#undef X
}

/* Takes j. */
static char *text_of(json_t *j)
{
	char *text = json_dumps(j, JSON_COMPACT | JSON_PRESERVE_ORDER);

	json_decref(j);
	return text;
}

char *stats_json(const struct stats_view *v, enum stats_part part)
{
	json_t *j = json_object();

	add_number(j, "worker", v->worker);
	json_object_set_new(j, "upstream", json_string(v->upstream));
	switch (part) {
	case STATS_COUNTS:
		add_counts(j, v);
		break;
	case STATS_REJECTED:
		add_reasons(j, "rejected_by_reason", v->counters->rejected_by, 0,
			REJECT_REASON_COUNT, reject_word);
		break;
	case STATS_CLOSED:
		add_reasons(j, "closed_by_reason", v->counters->closed_by, 1, CLOSE_CAUSE_COUNT,
			close_word);
		break;
	case STATS_DURATIONS:
	case STATS_PARTS:
		add_durations(j, v->counters);
		break;
	}
	return text_of(j);
}

char *stats_worker_json(unsigned worker, const struct worker_stats *s)
{
	json_t *j = json_object();

	add_number(j, "worker", worker);
	add_number(j, "clients_accepted", s->clients_accepted);
	add_number(j, "clients_refused", s->clients_refused);
	add_number(j, "bad_requests", s->bad_requests);
	add_number(j, "unrouted", s->unrouted);
	add_reasons(j, "rejected_by_reason", s->rejected_by, 0, REJECT_REASON_COUNT, reject_word);
	return text_of(j);
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
