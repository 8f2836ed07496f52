/*
 * exchange.h - one forwarded request, from its head to the end of its response.
 *
 *   front  ── exchange_service: begin, body, trailers, room, sent, gone ──> exchange
 *   front <── stream_ops: info, head, body, end, cut, room ── exchange
 *   exchange ── pool_ask, cc_conn_round_trip, cc_req_send ──> pool, library
 *
 * An exchange is the call of a front's stream (service.h): it ends by itself with end() or
 * cut(), or by gone(), and is freed at the end of that turn. Between begin
 * and end it may hold a place in the pool's queue, or a running cc_req, never both.
 */
#ifndef EXCHANGE_H
#define EXCHANGE_H

#include "daemon/base/service.h"
#include "daemon/base/stats.h"
#include "lib/base/mem.h"

struct cc_ctx;
struct conf;
struct log;
struct pool;

/* What all exchanges of a worker share; the worker owns it. */
struct exchange_env {
	struct cc_ctx *ctx;
	struct log *log;
	struct conf *conf;   /* of now; a running exchange keeps to its pool's */
	struct pool **pools; /* by index of the upstream in conf */
	struct worker_stats stats;
	struct mem_cache exchanges;
	unsigned running;
};

void exchange_env_init(struct exchange_env *env);

/* Answers requests by forwarding them; its server is the struct exchange_env. */
extern const struct service exchange_service;

#endif
