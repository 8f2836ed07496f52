/*
 * exchange_time.c - how long an exchange may take: response_timeout, body_idle_timeout,
 * total_timeout.
 *
 * One timer stands for the phase and is not moved with each byte: what moved is noted in activity,
 * and the timer that fires waits for the rest. Another one stands for the whole.
 */
#include <inttypes.h>
#include <stdio.h>

#include "daemon/exchange/exchange_time.h"
#include "lib/base/ctx.h"

/* A time is over: the response is cut if it has begun, else the limit is named. */
static void too_late(struct exchange *ex, enum reject_reason reason, const char *limit, uint64_t ms,
	const char *what)
{
	struct local_reply a = exchange_about(ex, reason, 504, "http_response_timeout", "");
	char detail[300];

	if (ex->state == EX_RESPONDING) {
		exchange_cut(ex);
		return;
	}
	snprintf(detail, sizeof(detail), "%s %s (%" PRIu64 " ms)%s", what, limit, ms,
		ex->state == EX_WAITING  ? "; it waited for a connection"
		: ex->state == EX_PAUSED ? "; it waited for its retry"
					 : "");
	a.detail = detail;
	a.limit = limit;
	if (reason == REJECT_SLOW_CLIENT) {
		a.status = 408;
		a.error = "http_request_error";
	}
	exchange_reply(ex, &a);
}

static void body_stalled(struct exchange *ex)
{
	bool slow_client = ex->state == EX_SENDING && !ex->body_end && cc_req_room(ex->req) > 0;

	too_late(ex, slow_client ? REJECT_SLOW_CLIENT : REJECT_BODY_TIMEOUT, "body_idle_timeout",
		pool_conf(ex->pool)->body_idle_timeout, "the request body did not move for");
}

static void response_late(struct exchange *ex)
{
	pool_no_response(ex->pc);
	too_late(ex, REJECT_RESPONSE_TIMEOUT, "response_timeout",
		pool_conf(ex->pool)->response_timeout,
		"no response after the request was sent, within");
}

static void total_over(struct timer *t)
{
	struct exchange *ex = container_of(t, struct exchange, total);

	if (ex->total_of_client)
		too_late(ex, REJECT_CLIENT_TIMEOUT, pool_conf(ex->pool)->client_timeout_header,
			ex->total_ms, "no whole response within");
	else
		too_late(ex, REJECT_TOTAL_TIMEOUT, "total_timeout", ex->total_ms,
			"no whole response within");
}

void exchange_time_limit(struct exchange *ex, uint64_t client_ms)
{
	uint64_t ms = pool_conf(ex->pool)->total_timeout;

	ex->total_of_client = client_ms > 0 && (ms == 0 || client_ms < ms);
	ex->total_ms = ex->total_of_client ? client_ms : ms;
	if (ex->total_ms > 0)
		timer_start(ex->env->ctx, &ex->total, ex->total_ms);
}

void exchange_time_init(struct exchange *ex)
{
	timer_init(&ex->total, total_over);
}

void exchange_time_check(struct exchange *ex)
{
	bool awaits_head = ex->state == EX_SENDING && ex->body_end && ex->pending.len == 0;
	uint64_t timeout = awaits_head ? pool_conf(ex->pool)->response_timeout
	                               : pool_conf(ex->pool)->body_idle_timeout;
	uint64_t idle = ctx_now(ex->env->ctx) - ex->activity;

	if (timeout == 0)
		return;
	if (idle < timeout)
		timer_start_rest(ex->env->ctx, &ex->timer, timeout, idle);
	else if (awaits_head)
		response_late(ex);
	else
		body_stalled(ex);
}

void exchange_time_active(struct exchange *ex)
{
	ex->activity = ctx_now(ex->env->ctx);
}

void exchange_time_watch(struct exchange *ex)
{
	uint64_t timeout = ex->state == EX_SENDING && ex->body_end
	                           ? pool_conf(ex->pool)->response_timeout
	                           : pool_conf(ex->pool)->body_idle_timeout;

	exchange_time_active(ex);
	if (timeout > 0)
		timer_start(ex->env->ctx, &ex->timer, timeout);
	else
		timer_stop(&ex->timer);
}

void exchange_time_respond(struct exchange *ex)
{
	uint64_t timeout = pool_conf(ex->pool)->body_idle_timeout;

	exchange_time_active(ex);
	if (!timer_running(&ex->timer) || ex->timer.deadline > ex->activity + timeout)
		exchange_time_watch(ex);
}
