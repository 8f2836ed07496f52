/* report.c - counters as JSON, and as lines of the log. */
#include <stdlib.h>

#include <jansson.h>

#include "daemon/base/log.h"
#include "daemon/base/stats.h"
#include "daemon/control/report.h"
#include "daemon/worker/worker.h"

#define POOLS_A_DRAIN 32 /* their lines fit in a ring of the log */

/* ---- JSON ---------------------------------------------------------------- */

static const char *retry_word(unsigned i)
{
	return retry_reason_name((enum retry_reason)i);
}

static const char *reject_word(unsigned i)
{
	return reject_reason_name((enum reject_reason)i);
}

static const char *close_word(unsigned i)
{
	return close_cause_name((enum close_cause)i);
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
#define X(name, text) add_number(j, #name, v->counters.name);
	POOL_COUNTERS(X)
#undef X
	add_reasons(
		j, "retried_by_reason", v->counters.retried_by, 1, RETRY_REASON_COUNT, retry_word);
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

char *report_pool_json(const struct stats_view *v, enum report_part part)
{
	json_t *j = json_object();

	add_number(j, "worker", v->worker);
	json_object_set_new(j, "upstream", json_string(v->upstream));
	switch (part) {
	case REPORT_COUNTS:
		add_counts(j, v);
		break;
	case REPORT_REJECTED:
		add_reasons(j, "rejected_by_reason", v->counters.rejected_by, 0,
			REJECT_REASON_COUNT, reject_word);
		break;
	case REPORT_CLOSED:
		add_reasons(j, "closed_by_reason", v->counters.closed_by, 1, CLOSE_CAUSE_COUNT,
			close_word);
		break;
	case REPORT_DURATIONS:
	case REPORT_PARTS:
		add_durations(j, &v->counters);
		break;
	}
	return text_of(j);
}

char *report_worker_json(unsigned worker, const struct worker_stats *s)
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

/* ---- the log ------------------------------------------------------------- */

/* Takes json. Every line of a report is wanted, so their rate has no limit. */
static void log_json(struct log *l, char *json)
{
	if (json)
		log_always(l, LOG_LEVEL_NOTICE, "counters", "json=%s", json);
	free(json);
}

void report_log(struct log_set *logs, const struct worker_report *r)
{
	struct log *l = log_of(logs, 0);

	for (unsigned i = 0; i < r->count; i++) {
		for (int part = 0; part < REPORT_PARTS; part++)
			log_json(l, report_pool_json(&r->pools[i], (enum report_part)part));
		if ((i + 1) % POOLS_A_DRAIN == 0)
			log_set_drain(logs);
	}
	log_json(l, report_worker_json(r->worker, &r->stats));
}
