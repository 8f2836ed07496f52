/*
 * exchange_end.c - how exchanges end: counted and logged once, cut, or with a local reply.
 */
#include <inttypes.h>
#include <string.h>

#include "daemon/base/log.h"
#include "daemon/exchange/exchange_int.h"
#include "lib/base/ctx.h"

#define PATH_SHOWN 1024 /* as long as a line of the log */

void exchange_free_run(struct turn_item *item)
{
	struct exchange *ex = container_of(item, struct exchange, turn);
	struct exchange_env *env = ex->env;

	cc_head_free(ex->head);
	cc_head_free(ex->trailers);
	cc_head_free(ex->reply);
	cc_buf_clear(&ex->pending);
	cc_buf_clear(&ex->kept);
	cc_buf_clear(&ex->reply_body);
	env->running--;
	mem_cache_put(&env->exchanges, env->ctx, ex);
}

/* A quotation mark would end the value in the line; "%22" is the same character in a path. */
static int without_quotes(struct cc_str path, char shown[PATH_SHOWN])
{
	size_t n = 0;

	for (size_t i = 0; i < path.n && n + 3 <= PATH_SHOWN; i++) {
		if (path.p[i] == '"') {
			memcpy(shown + n, "%22", 3);
			n += 3;
		} else {
			shown[n++] = path.p[i];
		}
	}
	return (int)n;
}

static bool is_logged(const struct exchange *ex, enum ending end)
{
	enum conf_access access = ex->env->conf->access;

	return ex->head && access != CONF_ACCESS_OFF &&
	       (access != CONF_ACCESS_ERRORS || ex->status >= 500 || end != END_OK);
}

static void access_line(const struct exchange *ex, enum ending end)
{
	static const char *const words[] = {"ok", "cut", "local_reply", "abandoned"};
	struct cc_str method, path;
	const char *query;
	char shown[PATH_SHOWN];
	int n;

	method = cc_head_method(ex->head);
	path = cc_head_path(ex->head);
	query = memchr(path.p, '?', path.n);
	if (query && !ex->env->conf->query_strings)
		path.n = (size_t)(query - path.p);
	n = without_quotes(path, shown);
	log_access(ex->env->log,
		"method=%.*s path=\"%.*s\" upstream=%s conn=%" PRIu64
		" status=%u end=%s bytes=%" PRIu64 " attempts=%u us=%" PRIu64,
		(int)method.n, method.p, n, shown, ex->pool ? pool_conf(ex->pool)->name : "-",
		ex->conn_id, ex->status, words[end], ex->received, ex->attempts,
		ctx_now_us(ex->env->ctx) - ex->began);
}

static void count_rejected(struct exchange *ex)
{
	if (!ex->pool) {
		ex->env->stats.rejected_by[ex->reason]++;
		return;
	}
	pool_stats(ex->pool)->rejected++;
	pool_stats(ex->pool)->rejected_by[ex->reason]++;
}

/* The one place where requests that ended are counted, so that the sums of stats.h hold. */
static void count(struct exchange *ex, enum ending end)
{
	if (end == END_LOCAL_REPLY) {
		count_rejected(ex);
		return;
	}
	if (!ex->pool)
		return;
	if (end == END_OK) {
		pool_stats(ex->pool)->answered++;
		histogram_add(&pool_stats(ex->pool)->total, ctx_now_us(ex->env->ctx) - ex->began);
	} else if (end == END_CUT) {
		pool_stats(ex->pool)->cut++;
	} else {
		pool_stats(ex->pool)->abandoned++;
	}
}

/* No attempt runs, and none waits to run. */
static void stop_work(struct exchange *ex)
{
	timer_stop(&ex->timer);
	timer_stop(&ex->total);
	timer_stop(&ex->continue_timer);
	pool_leave(&ex->waiter);
	if (ex->req)
		cc_req_cancel(ex->req);
	ex->req = NULL;
}

void exchange_finish(struct exchange *ex, enum ending end)
{
	if (ex->state == EX_DONE)
		return;
	if (is_logged(ex, end))
		access_line(ex, end);
	count(ex, end);
	ex->state = EX_DONE;
	ex->ops = NULL;
	stop_work(ex);
	if (ex->pool)
		pool_unuse(ex->pool);
	turn_cancel(&ex->turn);
	ex->turn.run = exchange_free_run;
	turn_add(ex->env->ctx, TURN_REAP, &ex->turn);
}

void exchange_cut(struct exchange *ex)
{
	const struct stream_ops *ops = ex->ops;
	void *stream = ex->stream;

	exchange_finish(ex, END_CUT);
	if (ops)
		ops->cut(stream);
}

/* ---- local replies ------------------------------------------------ */

static void local_reply_run(struct turn_item *item)
{
	struct exchange *ex = container_of(item, struct exchange, turn);
	const struct stream_ops *ops = ex->ops;
	void *stream = ex->stream;

	if (!ops)
		return;
	if (!ex->reply) { /* no memory */
		exchange_cut(ex);
		return;
	}
	ops->head(stream, ex->reply);
	if (ex->state == EX_DONE)
		return;
	ops->body(stream, &ex->reply_body);
	if (ex->state == EX_DONE)
		return;
	exchange_finish(ex, END_LOCAL_REPLY);
	ops->end(stream, NULL);
}

static void log_failed(const struct exchange *ex, const struct local_reply *a)
{
	if (a->status < 500)
		return;
	log_line(ex->env->log, LOG_LEVEL_NOTICE, "request failed",
		"upstream=%s status=%u error=%s detail=\"%s\" conn=%" PRIu64 " attempts=%u",
		a->upstream ? a->upstream : "-", a->status, a->error, a->detail, ex->conn_id,
		ex->attempts);
}

void exchange_reply(struct exchange *ex, const struct local_reply *given)
{
	struct local_reply a = *given;

	a.retry_safe = !ex->maybe_processed && !ex->req; /* a running attempt may be processed */
	stop_work(ex);
	ex->state = EX_LOCAL_REPLY;
	ex->status = a.status;
	ex->reason = a.reason;
	log_failed(ex, &a);
	ex->reply = cc_head_new(ex->env->ctx);
	if (ex->reply && local_reply_build(&a, ex->reply, &ex->reply_body) < 0) {
		cc_head_free(ex->reply);
		ex->reply = NULL;
	}
	ex->turn.run = local_reply_run;
	turn_add(ex->env->ctx, TURN_NOTIFY, &ex->turn);
}

struct local_reply exchange_about(const struct exchange *ex, enum reject_reason reason,
	unsigned status, const char *error, const char *detail)
{
	return (struct local_reply){
		.reason = reason,
		.status = status,
		.error = error,
		.detail = detail,
		.upstream = ex->pool ? pool_conf(ex->pool)->name : NULL,
	};
}

struct local_reply exchange_no_memory(const struct exchange *ex)
{
	return exchange_about(ex, REJECT_MEMORY, 503, "proxy_internal_error", "out of memory");
}
