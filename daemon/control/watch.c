/* watch.c - asks workers for signs of life. */
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#include "daemon/base/log.h"
#include "daemon/control/watch.h"
#include "daemon/worker/worker.h"

struct watched {
	struct worker *worker; /* NULL: it has stopped */
	uint64_t asked_at;     /* ms */
	bool stuck;            /* logged */
};

struct watch {
	struct log *log;
	unsigned count;
	struct watched workers[];
};

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

struct watch *watch_new(struct log *log, struct worker *const *workers, unsigned count)
{
	struct watch *w = calloc(1, sizeof(*w) + count * sizeof(w->workers[0]));

	if (!w)
		return NULL;
	w->log = log;
	w->count = count;
	for (unsigned i = 0; i < count; i++)
		w->workers[i].worker = workers[i];
	return w;
}

void watch_free(struct watch *w)
{
	free(w);
}

static bool look_at(struct watch *w, unsigned i, uint64_t now)
{
	struct watched *each = &w->workers[i];
	unsigned long long since = now - each->asked_at;

	if (!worker_ask(each->worker)) {
		if (!each->stuck)
			log_line(w->log, LOG_LEVEL_ERROR, "worker stuck", "worker=%u for_ms=%llu",
				i, since);
		each->stuck = true;
		return false;
	}
	if (each->stuck)
		log_line(w->log, LOG_LEVEL_NOTICE, "worker back", "worker=%u after_ms=%llu", i,
			since);
	each->stuck = false;
	each->asked_at = now;
	return true;
}

bool watch_look(struct watch *w)
{
	uint64_t now = now_ms();
	bool all = true;

	for (unsigned i = 0; i < w->count; i++)
		if (w->workers[i].worker && !look_at(w, i, now))
			all = false;
	return all;
}

void watch_stopped(struct watch *w, unsigned worker)
{
	w->workers[worker].worker = NULL;
}
