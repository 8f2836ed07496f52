/* stats.c - counters as JSON. */
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
