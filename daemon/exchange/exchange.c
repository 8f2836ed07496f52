/*
 * exchange.c - one forwarded request: route, wait, send, respond, retry.
 *
 *   WAITING ──grant──> SENDING ──on_head──> RESPONDING ──> DONE
 *      ^                  │ attempt failed, retry_verdict says yes
 *      └───── PAUSED <────┘ (the first retry does not pause)
 *
 * Until the response's head came, the request body is kept (up to retry_buffer)
 * so that an attempt the upstream surely did not process can be retried.
 * From then on a failure cuts the response: the client sees that it is not whole.
 * How long all of it may take is in exchange_time.c, how it ends in exchange_end.c.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "daemon/base/caller.h"
#include "daemon/base/log.h"
#include "daemon/exchange/client_timeout.h"
#include "daemon/exchange/exchange_int.h"
#include "daemon/exchange/exchange_time.h"
#include "daemon/exchange/headers.h"
#include "daemon/exchange/policy.h"
#include "daemon/exchange/retry.h"
#include "daemon/pool/learn.h"
#include "lib/base/ctx.h"

#define INFOS_MAX      100 /* interim responses of one request: each may be as large as a head */
#define CONTINUE_AFTER 200 /* ms: some servers never answer Expect over HTTP/2 */

void exchange_env_init(struct exchange_env *env)
{
	mem_cache_init(&env->exchanges, sizeof(struct exchange), 1024);
}

/* ---- timers ------------------------------------------------------------ */

static void ask_pool(struct exchange *ex, bool is_retry);

static void timer_fired(struct timer *t)
{
	struct exchange *ex = container_of(t, struct exchange, timer);

	if (ex->state == EX_PAUSED)
		ask_pool(ex, true);
	else
		exchange_time_check(ex);
}

static void continue_fired(struct timer *t)
{
	struct exchange *ex = container_of(t, struct exchange, continue_timer);
	struct cc_head *head;

	if (!ex->expects || !ex->ops || ex->state != EX_SENDING)
		return;
	ex->expects = false;
	head = cc_head_new(ex->env->ctx);
	if (!head)
		return;
	cc_head_set_status(head, 100);
	ex->ops->info(ex->stream, head);
	cc_head_free(head);
}

/* ---- the attempt ------------------------------------------------------- */

static void on_info(struct cc_req *req, const struct cc_head *head, void *arg)
{
	struct exchange *ex = arg;

	(void)req;
	if (cc_head_status(head) == 100) {
		if (!ex->expects) /* not asked for, or sent by ourselves */
			return;
		ex->expects = false;
		timer_stop(&ex->continue_timer);
	}
	if (++ex->infos > INFOS_MAX) {
		struct local_reply a = exchange_about(ex, REJECT_PROTOCOL, 502,
			"http_protocol_error", "the server sent more than 100 interim responses");

		exchange_reply(ex, &a);
		return;
	}
	ex->ops->info(ex->stream, headers_response(head));
}

/* How long the server keeps the connection, before the field goes with the others of its hop. */
static void take_hint(struct exchange *ex, const struct cc_head *head)
{
	int at = ex->multiplexed ? -1 : cc_head_find(head, CC_T_KEEP_ALIVE, 0);

	if (at >= 0)
		pool_hint(ex->pc, learn_hint(cc_head_value(head, (size_t)at)));
}

static void on_head(struct cc_req *req, const struct cc_head *head, void *arg)
{
	struct exchange *ex = arg;

	(void)req;
	histogram_add(&pool_stats(ex->pool)->first_byte, ctx_now_us(ex->env->ctx) - ex->sent);
	ex->state = EX_RESPONDING;
	ex->expects = false;
	ex->status = cc_head_status(head);
	timer_stop(&ex->continue_timer);
	pool_response_began(ex->pc, ex->status);
	take_hint(ex, head);
	cc_buf_clear(&ex->kept); /* nothing is retried from here on */
	ex->replayable = false;
	exchange_time_respond(ex);
	ex->ops->head(ex->stream, headers_response(head));
}

static void on_body(struct cc_req *req, struct cc_buf *body, void *arg)
{
	struct exchange *ex = arg;

	(void)req;
	ex->received += body->len;
	exchange_time_active(ex);
	ex->ops->body(ex->stream, body);
}

static void on_room(struct cc_req *req, void *arg)
{
	struct exchange *ex = arg;

	(void)req;
	exchange_time_active(ex);
	if (ex->room_wanted) {
		ex->room_wanted = false;
		ex->ops->room(ex->stream);
	}
}

static struct retry_facts facts_of(const struct exchange *ex, const struct cc_result *res)
{
	struct cc_str method = cc_head_method(ex->head);

	return (struct retry_facts){
		.end = retry_end_of(res),
		.why = res->why,
		.response_begun = ex->state == EX_RESPONDING,
		.reused = ex->reused,
		.answered = ex->pc && pool_answered(ex->pc),
		.multiplexed = ex->multiplexed,
		.before_settings = ex->before_settings,
		.maybe_processed = ex->maybe_processed,
		.idempotent = retry_method_idempotent(method),
		.safe = retry_method_safe(method),
		.replayable = ex->replayable,
		.client_gone = !ex->ops,
		.attempts = ex->attempts,
	};
}

/* Is the pause worth it? A client hears sooner that its time would not do. */
static bool time_for(const struct exchange *ex, uint64_t pause)
{
	uint64_t patience = pool_conf(ex->pool)->queue_timeout;
	uint64_t gone = (ctx_now_us(ex->env->ctx) - ex->began) / 1000;

	if (patience > 0 && pause >= patience)
		return false;
	return ex->total_ms == 0 || gone + pause < ex->total_ms;
}

static bool affordable(const struct exchange *ex, const struct retry_facts *f)
{
	return !retry_costs(f) || pool_take_retry(ex->pool);
}

static void count_retry(struct exchange *ex, enum retry_reason why, int err, uint64_t pause)
{
	pool_stats(ex->pool)->retried++;
	pool_stats(ex->pool)->retried_by[why]++;
	log_always(ex->env->log, LOG_LEVEL_INFO, "retry",
		"upstream=%s conn=%" PRIu64 " reason=%s error=\"%s\" attempt=%u pause_ms=%" PRIu64,
		pool_conf(ex->pool)->name, ex->conn_id, retry_reason_name(why), cc_strerror(err),
		ex->attempts + 1, pause);
}

static void start_retry(struct exchange *ex, uint64_t pause)
{
	cc_buf_clear(&ex->pending);
	if (cc_buf_share(&ex->pending, &ex->kept) < 0) {
		struct local_reply a = exchange_no_memory(ex);

		exchange_reply(ex, &a);
		return;
	}
	ex->state = EX_PAUSED;
	if (pause == 0)
		ask_pool(ex, true);
	else
		timer_start(ex->env->ctx, &ex->timer, pause);
}

/* false: there is no retry; *broke: the budget alone forbids it. */
static bool retry(struct exchange *ex, const struct cc_result *res, bool *broke)
{
	struct retry_facts f = facts_of(ex, res);
	const struct conf_upstream *up = pool_conf(ex->pool);
	enum retry_reason why = retry_verdict(&f, up->retry, up->retry_attempts);
	uint64_t pause;

	*broke = false;
	if (why == RETRY_NO)
		return false;
	pause = retry_pause(&f, pool_random(ex->pool));
	if (!time_for(ex, pause))
		return false;
	*broke = !affordable(ex, &f);
	if (*broke)
		return false;
	ex->maybe_processed = ex->maybe_processed || !res->unprocessed;
	count_retry(ex, why, res->err, pause);
	/* What closed one connection may have closed the others that were idle. */
	ex->waiter.fresh = why != RETRY_REFUSED && why != RETRY_GOAWAY;
	start_retry(ex, pause);
	return true;
}

static void attempt_failed(struct exchange *ex, const struct cc_result *res)
{
	struct local_reply a = exchange_about(ex, REJECT_INTERNAL, 502, NULL, "");
	char detail[240];
	bool broke;

	if (retry(ex, res, &broke))
		return;
	if (ex->state == EX_RESPONDING) {
		exchange_cut(ex);
		return;
	}
	ex->maybe_processed = ex->maybe_processed || !res->unprocessed;
	local_reply_from_error(&a, res->err, res->phase);
	if (res->unprocessed)
		a.reason = REJECT_UNPROCESSED;
	snprintf(detail, sizeof(detail), "%s%s%s", cc_strerror(res->err),
		ex->maybe_processed ? "; the request may have been processed"
				    : "; the request was surely not processed",
		broke ? "; no retry: retry_budget is used up" : "");
	a.detail = detail;
	exchange_reply(ex, &a);
}

/*
 * The server did not want it. Not so before its limit was known, or above the last stream of a
 * GOAWAY: there we came too early or too late.
 */
static bool was_reset(const struct exchange *ex, const struct cc_result *res)
{
	bool refused = res->err == CC_EREFUSED && res->why == CC_WHY_REFUSED;

	return ex->state == EX_SENDING &&
	       (res->err == CC_ERESET || (refused && !ex->before_settings));
}

static void on_done(struct cc_req *req, const struct cc_result *res, void *arg)
{
	struct exchange *ex = arg;
	const struct stream_ops *ops = ex->ops;
	void *stream = ex->stream;

	(void)req;
	ex->req = NULL;
	timer_stop(&ex->timer);
	timer_stop(&ex->continue_timer);
	if (was_reset(ex, res))
		pool_no_response(ex->pc);
	if (res->err < 0) {
		attempt_failed(ex, res);
		return;
	}
	exchange_finish(ex, END_OK);
	ops->end(stream, res->trailers);
}

static const struct cc_req_ops req_ops = {
	.size = sizeof(struct cc_req_ops),
	.on_info = on_info,
	.on_head = on_head,
	.on_body = on_body,
	.on_room = on_room,
	.on_done = on_done,
};

static bool pass_body(struct exchange *ex)
{
	bool eos = ex->body_end;

	if (ex->trailers && eos) {
		if (cc_req_send(ex->req, &ex->pending, false) < 0)
			return false;
		return cc_req_send_trailers(ex->req, ex->trailers) == 0;
	}
	return cc_req_send(ex->req, &ex->pending, eos) == 0;
}

static void count_attempt(struct exchange *ex)
{
	struct pool_stats *stats = pool_stats(ex->pool);

	ex->sent = ctx_now_us(ex->env->ctx);
	histogram_add(&stats->wait, ex->sent - ex->asked);
	stats->attempts++;
	if (++ex->attempts == 1)
		pool_credit_request(ex->pool);
}

/* pc has a slot reserved for us. */
static void send_on(struct exchange *ex, struct pool_conn *pc)
{
	bool bodiless = ex->body_end && ex->pending.len == 0 && !ex->trailers;
	unsigned flags = CC_RT_RESERVED | (bodiless ? CC_RT_END_STREAM : 0);
	struct cc_result res = {.phase = CC_PHASE_QUEUED, .unprocessed = true};

	ex->state = EX_SENDING;
	count_attempt(ex);
	pool_stats(ex->pool)->reused += cc_conn_requests_completed(pool_conn_cc(pc)) > 0;
	ex->conn_id = cc_conn_id(pool_conn_cc(pc));
	ex->pc = pc;
	ex->reused = !pool_is_fresh(pc);
	ex->multiplexed = cc_conn_multiplexed(pool_conn_cc(pc));
	ex->before_settings = !cc_conn_limits_known(pool_conn_cc(pc));
	res.err = cc_conn_round_trip(pool_conn_cc(pc), ex->head, flags, &req_ops, ex, &ex->req);
	if (res.err < 0) {
		ex->req = NULL;
		attempt_failed(ex, &res);
		return;
	}
	exchange_time_watch(ex);
	if (ex->expects)
		timer_start(ex->env->ctx, &ex->continue_timer, CONTINUE_AFTER);
	if (!bodiless && (ex->pending.len > 0 || ex->body_end) && !pass_body(ex)) {
		struct local_reply a = exchange_no_memory(ex);

		exchange_reply(ex, &a);
		return;
	}
	if (ex->room_wanted && cc_req_room(ex->req) > 0) {
		ex->room_wanted = false;
		ex->ops->room(ex->stream);
	}
}

/* ---- waiting ----------------------------------------------------------- */

/* The head becomes one for this upstream. 0 or enum cc_err. */
static int address(struct exchange *ex, const struct conf_upstream *up)
{
	int err = headers_request(ex->head, up);

	ex->base = err == 0 ? strlen(up->base_path) : 0;
	return err;
}

/* It was written for the server of another configuration, whose base path goes. */
static int readdress(struct exchange *ex, const struct conf_upstream *up)
{
	struct cc_str path = cc_head_path(ex->head);

	path.p += ex->base;
	path.n -= ex->base;
	if (path.n == 0)
		path = CC_STR("*");
	if (cc_head_set_request(ex->head, cc_head_method(ex->head), cc_head_scheme(ex->head),
		    cc_head_authority(ex->head), path) < 0)
		return CC_ENOMEM;
	return address(ex, up);
}

static int bind_pool(struct exchange *ex, struct pool *pool)
{
	int err = 0;

	if (ex->pool == pool)
		return 0;
	pool_use(pool);
	if (ex->pool) {
		err = readdress(ex, pool_conf(pool));
		pool_stats(ex->pool)->moved++;
		pool_unuse(ex->pool);
	}
	ex->pool = pool;
	pool_stats(pool)->requests++;
	return err;
}

static void granted(struct waiter *w, struct pool_conn *pc)
{
	struct exchange *ex = container_of(w, struct exchange, waiter);

	if (bind_pool(ex, w->pool) < 0) { /* a reload may have moved the queue */
		struct local_reply a = exchange_no_memory(ex);

		cc_conn_release(pool_conn_cc(pc));
		exchange_reply(ex, &a);
		return;
	}
	send_on(ex, pc);
}

static void not_granted(struct waiter *w, enum waiter_failure why, int err, const char *detail)
{
	struct exchange *ex = container_of(w, struct exchange, waiter);
	struct pool_view now;
	struct local_reply a;
	char text[400];

	bind_pool(ex, w->pool); /* for the name in the local reply: nothing is sent */
	pool_view(ex->pool, &now);
	a = exchange_about(ex, REJECT_QUEUE_TIMEOUT, 503, "connection_limit_reached", detail);
	switch (why) {
	case WAITER_TIMEOUT:
		if (now.up == 0) {
			snprintf(text, sizeof(text),
				"no connection came up within queue_timeout (%" PRIu64
				" ms); %u are being opened",
				now.queue_timeout, now.connecting);
			a.status = 504;
			a.error = "connection_timeout";
			a.detail = text;
			a.limit = "queue_timeout";
			break;
		}
		snprintf(text, sizeof(text),
			"no connection became free within queue_timeout (%" PRIu64
			" ms); %u of max_connections = %u are in use%s%s",
			now.queue_timeout, now.connections, now.max_connections,
			detail[0] ? ", and no other can be opened: " : "", detail);
		a.detail = text;
		a.limit = "queue_timeout";
		a.retry_after = 1;
		break;
	case WAITER_CONNECT_FAILED:
		local_reply_from_error(&a, err, CC_PHASE_QUEUED);
		break;
	case WAITER_POOL_GONE:
		a.reason = REJECT_REMOVED;
		a.error = "destination_unavailable";
		a.detail = "the upstream was removed from the configuration";
		break;
	}
	exchange_reply(ex, &a);
}

/*
 * The pool that has the upstream's name now; NULL: the configuration dropped it. up may be of an
 * older configuration: a listener that a reload removed keeps its own, and so does a draining pool.
 */
static struct pool *pool_of(const struct exchange_env *env, const struct conf_upstream *up)
{
	const struct conf *conf = env->conf;

	if (up->index < conf->upstream_count && up == &conf->upstreams[up->index])
		return env->pools[up->index];
	up = conf_find_upstream(conf, up->name, strlen(up->name));
	return up ? env->pools[up->index] : NULL;
}

/*
 * 0; CC_ECLOSED: the configuration dropped the upstream; or the head cannot be made the new one's.
 */
static int follow_reload(struct exchange *ex)
{
	struct pool *pool;

	if (!pool_is_draining(ex->pool))
		return 0;
	pool = pool_of(ex->env, pool_conf(ex->pool));
	return pool ? bind_pool(ex, pool) : CC_ECLOSED;
}

static void ask_pool(struct exchange *ex, bool is_retry)
{
	struct pool_conn *pc = NULL;
	struct pool_view now;
	struct local_reply a;
	char text[160];

	ex->state = EX_WAITING;
	ex->asked = ctx_now_us(ex->env->ctx);
	switch (follow_reload(ex)) {
	case 0:
		break;
	case CC_ECLOSED:
		ex->waiter.pool = ex->pool;
		not_granted(&ex->waiter, WAITER_POOL_GONE, CC_ECLOSED, "");
		return;
	default:
		a = exchange_no_memory(ex);
		exchange_reply(ex, &a);
		return;
	}
	switch (pool_ask(ex->pool, &ex->waiter, is_retry, &pc)) {
	case POOL_GRANTED:
		send_on(ex, pc);
		break;
	case POOL_WAITS:
		break;
	case POOL_QUEUE_FULL:
		pool_view(ex->pool, &now);
		a = exchange_about(ex, REJECT_QUEUE_FULL, 503, "connection_limit_reached", text);
		snprintf(text, sizeof(text), "%u requests wait already: max_queue = %u",
			now.waiting, now.max_queue);
		a.limit = "max_queue";
		a.retry_after = 1;
		exchange_reply(ex, &a);
		break;
	}
}

/* ---- from the front ---------------------------------------------------- */

static struct exchange *exchange_new(
	struct exchange_env *env, const struct stream_ops *ops, void *stream)
{
	struct exchange *ex = mem_cache_get(&env->exchanges, env->ctx);

	if (!ex)
		return NULL;
	memset(ex, 0, sizeof(*ex));
	ex->env = env;
	ex->ops = ops;
	ex->stream = stream;
	ex->began = ctx_now_us(env->ctx);
	cc_buf_init(&ex->pending, env->ctx);
	cc_buf_init(&ex->kept, env->ctx);
	cc_buf_init(&ex->reply_body, env->ctx);
	waiter_init(&ex->waiter, granted, not_granted);
	timer_init(&ex->timer, timer_fired);
	exchange_time_init(ex);
	timer_init(&ex->continue_timer, continue_fired);
	turn_item_init(&ex->turn, exchange_free_run);
	env->running++;
	return ex;
}

/* The head becomes the upstream's. false: it cannot, and is answered. */
static bool prepare(struct exchange *ex)
{
	const struct conf_upstream *up = pool_conf(ex->pool);
	struct local_reply a = exchange_about(ex, REJECT_BAD_REQUEST, 400, "http_request_error",
		"the request head cannot be forwarded");
	char text[300];
	uint64_t ms;
	const char *wrong = client_timeout_take(ex->head, up->client_timeout_header, &ms);

	if (!wrong && address(ex, up) == 0) {
		exchange_time_limit(ex, ms);
		return true;
	}
	if (wrong) {
		snprintf(text, sizeof(text), "%s %s", up->client_timeout_header, wrong);
		a.detail = text;
		a.limit = up->client_timeout_header;
	}
	exchange_reply(ex, &a);
	return false;
}

static void refuse(struct exchange *ex, const struct policy_refusal *no)
{
	struct local_reply a = exchange_about(ex, no->reason, no->status, no->error, no->detail);

	a.limit = no->limit;
	a.retry_after = no->retry_after;
	if (no->lists_upstreams)
		a.names = ex->env->conf;
	ex->env->stats.unrouted += no->reason == REJECT_UNROUTED;
	exchange_reply(ex, &a);
}

/* Goes on with the request, or answers it. */
static void start(struct exchange *ex, const struct service_request *r)
{
	struct pool *pool = r->up ? pool_of(ex->env, r->up) : NULL;
	struct policy_refusal no;
	struct policy_facts facts = {
		.head = ex->head,
		.pressure = slabs_pressure(&ex->env->ctx->slabs),
		.routed = r->up || r->removed,
		.served = pool != NULL,
	};

	if (!policy_allows(&facts, &no)) {
		refuse(ex, &no);
		return;
	}
	bind_pool(ex, pool);
	if (prepare(ex))
		ask_pool(ex, false);
}

static void *exchange_begin(
	void *server, const struct service_request *r, const struct stream_ops *ops, void *stream)
{
	struct exchange *ex = exchange_new(server, ops, stream);

	if (!ex) {
		cc_head_free(r->head);
		return NULL;
	}
	ex->head = r->head;
	ex->body_end = r->end_stream;
	ex->expects = r->expects;
	ex->replayable = true;
	ex->waiter.uid = r->caller->uid;
	start(ex, r);
	return ex;
}

/* What a retry would need is kept as long as it is not too much. */
static void keep(struct exchange *ex, const struct cc_buf *body)
{
	if (!ex->replayable)
		return;
	if (ex->kept.len + body->len > pool_conf(ex->pool)->retry_buffer ||
		cc_buf_share(&ex->kept, body) < 0) {
		ex->replayable = false;
		cc_buf_clear(&ex->kept);
	}
}

static void body_ended(struct exchange *ex)
{
	ex->body_end = true;
	if (ex->state == EX_SENDING)
		exchange_time_watch(ex); /* from here on the response is what is waited for */
}

static void exchange_body(void *call, struct cc_buf *body, bool eos)
{
	struct exchange *ex = call;

	if (ex->state == EX_DONE || ex->state == EX_LOCAL_REPLY || !ex->pool) {
		cc_buf_clear(body);
		return;
	}
	keep(ex, body);
	exchange_time_active(ex);
	if (eos)
		body_ended(ex);
	if (ex->req && ex->pending.len == 0) {
		if (cc_req_send(ex->req, body, eos) < 0)
			exchange_cut(ex);
		return;
	}
	if (cc_buf_move(&ex->pending, body, body->len) < 0) {
		exchange_cut(ex);
		return;
	}
	if (ex->req && !pass_body(ex))
		exchange_cut(ex);
}

static void exchange_trailers(void *call, const struct cc_head *trailers)
{
	struct exchange *ex = call;

	if (ex->state == EX_DONE || ex->state == EX_LOCAL_REPLY)
		return;
	ex->trailers = cc_head_copy(ex->env->ctx, trailers);
	if (!ex->trailers) {
		exchange_cut(ex);
		return;
	}
	body_ended(ex);
	if (ex->req && !pass_body(ex))
		exchange_cut(ex);
}

static size_t exchange_room(void *call)
{
	struct exchange *ex = call;
	size_t room;

	if (ex->state == EX_DONE || ex->state == EX_LOCAL_REPLY || !ex->pool)
		return SIZE_MAX; /* it is thrown away */
	if (ex->req) {
		room = cc_req_room(ex->req);
	} else {
		size_t most = pool_conf(ex->pool)->buffer;

		room = ex->pending.len < most ? most - ex->pending.len : 0;
	}
	ex->room_wanted = room == 0;
	return room;
}

static void exchange_sent(void *call, size_t n)
{
	struct exchange *ex = call;

	exchange_time_active(ex);
	if (ex->req)
		cc_req_consumed(ex->req, n);
}

static void exchange_gone(void *call)
{
	struct exchange *ex = call;

	if (ex->state == EX_DONE)
		return;
	ex->ops = NULL;
	exchange_finish(ex, END_ABANDONED);
}

const struct service exchange_service = {
	.name = "exchange",
	.begin = exchange_begin,
	.body = exchange_body,
	.trailers = exchange_trailers,
	.room = exchange_room,
	.sent = exchange_sent,
	.gone = exchange_gone,
};
