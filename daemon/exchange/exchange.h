/*
 * exchange.h - one forwarded request, from its head to the end of its answer.
 *
 *   front  ── exchange_start, exchange_body, exchange_gone ──> exchange
 *   front <── exchange_ops: info, head, body, end, cut, room ── exchange
 *   exchange ── pool_ask, cc_conn_round_trip, cc_req_send ──> pool, library
 *
 * A front stream owns its exchange; the exchange ends by itself with end() or
 * cut(), or by exchange_gone, and is freed at the end of that turn. Between start
 * and end it may hold a place in the pool's queue, or a running cc_req, never both.
 */
#ifndef EXCHANGE_H
#define EXCHANGE_H

#include <stdbool.h>
#include <stdint.h>

#include <clientconn/buf.h>
#include <clientconn/head.h>

#include "daemon/base/conf.h"
#include "daemon/base/stats.h"
#include "lib/base/mem.h"

struct cc_ctx;
struct exchange;
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

/* Called in the order info* head body* (end | cut), or cut alone. Nothing follows end or cut. */
struct exchange_ops {
	void (*info)(void *stream, const struct cc_head *head); /* 1xx */
	void (*head)(void *stream, const struct cc_head *head);
	/* Takes all of body. Tell exchange_sent when bytes have left. */
	void (*body)(void *stream, struct cc_buf *body);
	void (*end)(void *stream, const struct cc_head *trailers);
	/* The answer cannot be completed: what was sent must not look whole. */
	void (*cut)(void *stream);
	/* exchange_room() is above 0 again. */
	void (*room)(void *stream);
};

void exchange_env_init(struct exchange_env *env);

/* NULL: no memory. stream is handed to ops. */
struct exchange *exchange_new(
	struct exchange_env *env, const struct exchange_ops *ops, void *stream);

/* The user whose request it is, before it begins: who waits takes turns by it. */
void exchange_set_caller(struct exchange *ex, uint32_t uid);
/*
 * Begins. head is taken over (freed here in every case); end_stream: no body
 * follows; expects: the client waits for 100 (Continue). ops may be called
 * from the turn on, never from here.
 */
void exchange_start(struct exchange *ex, const struct conf_listener *l, struct cc_head *head,
	bool end_stream, bool expects);
/* Refuses a request that never became one; body of the answer as JSON. */
struct answer;
void exchange_refuse(struct exchange *ex, const struct answer *a);

/* Moves body bytes in; eos: that was all. */
void exchange_body(struct exchange *ex, struct cc_buf *body, bool eos);
/* The body ends with trailer fields. */
void exchange_trailers(struct exchange *ex, const struct cc_head *trailers);
/* Body bytes worth giving now; 0: wait for ops->room. */
size_t exchange_room(struct exchange *ex);
/* n body bytes of the answer have left for the client. */
void exchange_sent(struct exchange *ex, size_t n);
/* The client is gone, or broke its own request: no callback follows. */
void exchange_gone(struct exchange *ex);

#endif
