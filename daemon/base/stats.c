/* stats.c - counters as JSON; histograms of durations. */
#include <stdlib.h>

#include <jansson.h>

#include "daemon/base/stats.h"

char *stats_json(const struct stats_view *v)
{
	json_t *j = json_object();
	char *text;

	json_object_set_new(j, "worker", json_integer(v->worker));
	json_object_set_new(j, "upstream", json_string(v->upstream));
	json_object_set_new(j, "waiting", json_integer(v->waiting));
	json_object_set_new(j, "connecting", json_integer(v->connecting));
	json_object_set_new(j, "available", json_integer(v->available));
	json_object_set_new(j, "full", json_integer(v->full));
	json_object_set_new(j, "draining", json_integer(v->draining));
#define X(name, text) json_object_set_new(j, #name, json_integer((json_int_t)v->counters->name));
	POOL_COUNTERS(X)
#undef X
	text = json_dumps(j, JSON_COMPACT | JSON_PRESERVE_ORDER);
	json_decref(j);
	return text;
}

/* ---- durations --------------------------------------------------------- */

/* Octaves double from HISTOGRAM_FIRST on, each cut into steps of one width. */
static unsigned bucket_of(uint64_t us)
{
	unsigned octave;
	uint64_t start;

	if (us < HISTOGRAM_FIRST)
		return 0;
	octave = 63u - (unsigned)__builtin_clzll(us / HISTOGRAM_FIRST);
	if (octave >= HISTOGRAM_OCTAVES)
		return HISTOGRAM_BUCKETS - 1;
	start = (uint64_t)HISTOGRAM_FIRST << octave;
	return 1 + octave * HISTOGRAM_STEPS + (unsigned)((us - start) * HISTOGRAM_STEPS / start);
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
