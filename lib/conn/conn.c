/*
 * conn.c - one connection: its state, its requests, the round trips that wait
 * for a slot, its timers; and what drivers report.
 *
 * Everything the owner hears about the connection goes through conn->notify
 * and so comes at the end of a turn, never from inside one of its own calls.
 * Requests that the peer ends are told at once, in the read that ended them;
 * requests that end by our own doing are told in the notify stage.
 */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include <clientconn/head.h>

#include "lib/base/ctx.h"
#include "lib/base/head_int.h"
#include "lib/base/str.h"
#include "lib/conn/conn.h"
#include "lib/conn/proto.h"
#include "lib/net/dial.h"
#include "lib/net/link.h"

static void dirty(struct cc_conn *conn)
{
	turn_add(conn->ctx, TURN_NOTIFY, &conn->notify);
}

static void set_detail(struct cc_conn *conn, const char *detail)
{
	if (detail && conn->detail[0] == '\0')
		snprintf(conn->detail, sizeof(conn->detail), "%s", detail);
}

/* ---- requests: memory -------------------------------------------------- */

static void req_free(struct turn_item *item)
{
	struct cc_req *req = container_of(item, struct cc_req, end);
	struct cc_ctx *ctx = req->out.ctx;

	list_del(&req->link);
	turn_cancel(&req->room);
	cc_buf_clear(&req->out);
	cc_buf_clear(&req->in);
	cc_head_free(req->held);
	cc_head_free(req->out_trailers);
	mem_cache_put(&ctx->reqs, ctx, req);
}

/* Frames up the stack may still look at it. */
static void req_reap(struct cc_req *req)
{
	req->life = REQ_DONE;
	req->ops = NULL;
	turn_cancel(&req->room);
	turn_cancel(&req->end);
	req->end.run = req_free;
	turn_add(req->out.ctx, TURN_REAP, &req->end);
}

static void room_run(struct turn_item *item)
{
	struct cc_req *req = container_of(item, struct cc_req, room);

	if (req->ops && req->ops->on_room && req->life == REQ_RUNNING)
		req->ops->on_room(req, req->arg);
}

static struct cc_req *req_new(struct cc_conn *conn, const struct cc_req_ops *ops, void *arg)
{
	struct cc_req *req = mem_cache_get(&conn->ctx->reqs, conn->ctx);

	if (!req)
		return NULL;
	memset(req, 0, sizeof(*req));
	list_init(&req->link);
	req->conn = conn;
	req->ops = ops;
	req->arg = arg;
	req->stream = -1;
	cc_buf_init(&req->out, conn->ctx);
	cc_buf_init(&req->in, conn->ctx);
	turn_item_init(&req->end, NULL);
	turn_item_init(&req->room, room_run);
	req->t_begin = ctx_now_us(conn->ctx);
	return req;
}

/* ---- requests: ends ---------------------------------------------------- */

static void fill_result(struct cc_req *req, int err, bool unprocessed, uint64_t proto_error)
{
	req->result = (struct cc_result){
		.err = err,
		.phase = err == 0 ? CC_PHASE_COMPLETE : req->phase,
		.unprocessed = unprocessed,
		.proto_error = proto_error,
		.sent = req->sent,
		.received = req->received,
		.t_sent = req->t_sent ? req->t_sent - req->t_begin : 0,
		.t_head = req->t_head ? req->t_head - req->t_begin : 0,
		.t_done = ctx_now_us(req->out.ctx) - req->t_begin,
	};
}

static void tell_done(struct cc_req *req)
{
	const struct cc_req_ops *ops = req->ops;

	req->ops = NULL;
	list_del(&req->link);
	if (ops)
		ops->on_done(req, &req->result, req->arg);
	req_reap(req);
}

static void end_run(struct turn_item *item)
{
	tell_done(container_of(item, struct cc_req, end));
}

/* Ended by our own doing: on_done comes in the notify stage. */
static void end_later(struct cc_req *req, int err, bool unprocessed)
{
	list_del(&req->link);
	if (!req->ops) {
		req_reap(req);
		return;
	}
	req->life = REQ_ENDING;
	list_add_tail(&req->conn->ending, &req->link);
	fill_result(req, err, unprocessed, req->conn->proto_error);
	req->end.run = end_run;
	turn_add(req->out.ctx, TURN_NOTIFY, &req->end);
}

/* ---- timers ------------------------------------------------------------ */

static void idle_fired(struct timer *t)
{
	struct cc_conn *conn = container_of(t, struct cc_conn, idle);

	conn_close(conn, CC_ECLOSED, "idle timeout");
}

static void age_fired(struct timer *t)
{
	struct cc_conn *conn = container_of(t, struct cc_conn, age);

	conn_draining(conn, CC_ECLOSED, "maximum age reached");
}

static void start_ping_timer(struct cc_conn *conn)
{
	timer_start_rest(
		conn->ctx, &conn->ping, conn->set.ping_after, ctx_now(conn->ctx) - conn->last_read);
}

/* Only reads count as life: a peer that is gone swallows writes for minutes. */
static void ping_fired(struct timer *t)
{
	struct cc_conn *conn = container_of(t, struct cc_conn, ping);

	if (conn->ping_sent) {
		conn_close(conn, CC_ETIMEOUT, "no answer to PING");
		return;
	}
	if (conn->st.active == 0)
		return;
	if (ctx_now(conn->ctx) - conn->last_read < conn->set.ping_after) {
		start_ping_timer(conn);
		return;
	}
	conn->ping_sent = true;
	conn->proto->ping(conn);
	timer_start(conn->ctx, &conn->ping, conn->set.ping_timeout);
}

void conn_was_read(struct cc_conn *conn)
{
	conn->last_read = ctx_now(conn->ctx);
	if (conn->ping_sent) {
		conn->ping_sent = false;
		timer_stop(&conn->ping);
		if (conn->st.active > 0)
			start_ping_timer(conn);
	}
}

/* Nothing in flight: the idle time begins, or the end if it drains. */
static void rest(struct cc_conn *conn)
{
	if (conn->st.state == CC_READY && conn_state_spent(&conn->st))
		conn_draining(conn, CC_ECLOSED, "maximum number of requests reached");
	if (conn->st.active > 0)
		return;
	if (!conn->ping_sent)
		timer_stop(&conn->ping);
	if (conn->st.state == CC_DRAINING)
		conn_close(conn, conn->drain_err, NULL);
	else if (conn->st.state == CC_READY && conn->set.idle_timeout > 0)
		timer_start(conn->ctx, &conn->idle, conn->set.idle_timeout);
}

/* ---- round trips ------------------------------------------------------- */

/* The slot is reserved. On failure it is given back and req is the caller's. */
static int req_start(struct cc_req *req, const struct cc_head *head)
{
	struct cc_conn *conn = req->conn;
	int err;

	conn_state_begin(&conn->st);
	req->life = REQ_RUNNING;
	list_add_tail(&conn->reqs, &req->link);
	err = conn->proto->submit(conn, req, head);
	if (err < 0) {
		list_del(&req->link);
		conn->st.active--; /* it never was on the wire */
		dirty(conn);
		return err;
	}
	timer_stop(&conn->idle);
	if (conn->proto->ping && conn->set.ping_after > 0 && !timer_running(&conn->ping)) {
		conn->last_read = ctx_now(conn->ctx);
		start_ping_timer(conn);
	}
	return 0;
}

/* Every gain of a slot comes here: an ended request, a raised limit, a released reservation. */
static void wake_waiting(struct cc_conn *conn)
{
	while (!list_empty(&conn->waiting) && conn->st.state == CC_READY) {
		struct cc_req *req = container_of(conn->waiting.next, struct cc_req, link);
		int err;

		if (req->reserved) {
			if (!conn_state_has_room(&conn->st))
				return;
		} else if (conn_state_reserve(&conn->st) < 0) {
			return;
		}
		list_del(&req->link);
		conn->waiting_count--;
		err = req_start(req, req->held);
		cc_head_free(req->held);
		req->held = NULL;
		if (err < 0)
			end_later(req, err, true);
	}
}

static void notify_run(struct turn_item *item)
{
	struct cc_conn *conn = container_of(item, struct cc_conn, notify);

	wake_waiting(conn);
	if (!conn->hook || conn->told_closed)
		return;
	if (conn->st.state == CC_CLOSED)
		conn->told_closed = true;
	conn->hook(conn, conn->hook_arg);
}

static int req_wait(struct cc_req *req, const struct cc_head *head, bool reserved)
{
	struct cc_conn *conn = req->conn;

	req->held = head_copy(conn->ctx, head);
	if (!req->held)
		return CC_ENOMEM;
	req->life = REQ_WAITING;
	req->reserved = reserved;
	list_add_tail(&conn->waiting, &req->link);
	conn->waiting_count++;
	return 0;
}

/* Does a round trip with these flags go at once (1), wait (0), or fail (enum cc_err)? */
static int admit(struct cc_conn *conn, unsigned flags)
{
	if (conn->st.state >= CC_DRAINING)
		return CC_ECLOSED;
	if (flags & CC_RT_RESERVED) {
		if (conn->st.reserved == 0)
			return CC_EINVAL;
		return conn_state_has_room(&conn->st);
	}
	if (list_empty(&conn->waiting) && conn_state_reserve(&conn->st) == 0)
		return 1;
	return flags & CC_RT_NOWAIT ? CC_EFULL : 0;
}

int cc_conn_round_trip(struct cc_conn *conn, const struct cc_head *head, unsigned flags,
	const struct cc_req_ops *ops, void *arg, struct cc_req **ret)
{
	struct cc_req *req;
	int go = CC_EINVAL;

	if (cc_head_method(head).n > 0)
		go = admit(conn, flags);
	if (go < 0) {
		if (flags & CC_RT_RESERVED)
			cc_conn_release(conn);
		return go;
	}

	req = req_new(conn, ops, arg);
	if (req) {
		req->bodiless = req->out_eos = flags & CC_RT_END_STREAM;
		req->no_body = str_is(cc_head_method(head), "HEAD");
	}
	int err = CC_ENOMEM;

	if (req)
		err = go ? req_start(req, head) : req_wait(req, head, flags & CC_RT_RESERVED);
	if (err == 0) {
		*ret = req;
		return 0;
	}
	/* req_start has given the slot back itself. */
	if ((!req || !go) && (go || (flags & CC_RT_RESERVED)))
		cc_conn_release(conn);
	if (req)
		req_reap(req);
	return err;
}

int cc_req_send(struct cc_req *req, struct cc_buf *body, bool eos)
{
	if (req->out_eos)
		return CC_EINVAL;
	if (req->life > REQ_RUNNING) { /* over: on_done is on its way */
		cc_buf_clear(body);
		return 0;
	}
	int err = cc_buf_move(&req->out, body, body->len);
	if (err < 0)
		return err;
	req->out_eos = eos;
	if (req->life == REQ_RUNNING)
		req->conn->proto->send(req->conn, req);
	return 0;
}

int cc_req_send_trailers(struct cc_req *req, const struct cc_head *trailers)
{
	if (req->out_eos)
		return CC_EINVAL;
	if (req->life > REQ_RUNNING)
		return 0;
	req->out_trailers = head_copy(req->out.ctx, trailers);
	if (!req->out_trailers)
		return CC_ENOMEM;
	req->out_eos = true;
	if (req->life == REQ_RUNNING)
		req->conn->proto->send(req->conn, req);
	return 0;
}

size_t cc_req_room(const struct cc_req *req)
{
	size_t window = req->conn->set.window;

	if (req->out.len < window && req->life <= REQ_RUNNING)
		return window - req->out.len;
	((struct cc_req *)(uintptr_t)req)->room_wanted = true;
	return 0;
}

void cc_req_consumed(struct cc_req *req, size_t n)
{
	if (n > req->uncredited)
		n = req->uncredited;
	req->uncredited -= n;
	if (req->life == REQ_RUNNING && n > 0)
		req->conn->proto->consumed(req->conn, req, n);
}

void cc_req_cancel(struct cc_req *req)
{
	struct cc_conn *conn = req->conn;

	req->ops = NULL;
	switch (req->life) {
	case REQ_WAITING:
		list_del(&req->link);
		conn->waiting_count--;
		if (req->reserved)
			cc_conn_release(conn);
		req_reap(req);
		break;
	case REQ_RUNNING:
		conn->proto->cancel(conn, req);
		break;
	case REQ_ENDING:
		req_reap(req);
		break;
	case REQ_DONE:
		break;
	}
}

/* ---- reports from drivers ---------------------------------------------- */

void conn_set_limit(struct cc_conn *conn, uint32_t peer_limit)
{
	conn->settled = true;
	conn_state_set_limit(&conn->st, peer_limit);
	dirty(conn);
}

/* What still waits was never sent: it may go elsewhere. */
static void fail_waiting(struct cc_conn *conn, int err)
{
	struct list *l;

	while ((l = list_pop(&conn->waiting)))
		end_later(container_of(l, struct cc_req, link), err, true);
	conn->waiting_count = 0;
}

void conn_draining(struct cc_conn *conn, int err, const char *detail)
{
	if (!conn_state_move(&conn->st, CC_DRAINING, 0))
		return;
	conn->drain_err = err;
	set_detail(conn, detail);
	conn->st.reserved = 0;
	fail_waiting(conn, CC_ECLOSED);
	dirty(conn);
	if (conn->st.active == 0)
		conn_close(conn, err, NULL);
}

void conn_close(struct cc_conn *conn, int err, const char *detail)
{
	struct list *l;

	if (!conn_state_move(&conn->st, CC_CLOSED, err))
		return;
	set_detail(conn, detail ? detail : cc_strerror(err));
	timer_stop(&conn->idle);
	timer_stop(&conn->age);
	timer_stop(&conn->ping);
	dial_cancel(conn->dial);
	conn->dial = NULL;
	if (conn->proto)
		conn->proto->close(conn);
	turn_cancel(&conn->notify); /* CLOSED is told last: behind the ends of the requests */
	while ((l = list_pop(&conn->reqs))) {
		struct cc_req *req = container_of(l, struct cc_req, link);

		end_later(
			req, err == CC_ECLOSED ? CC_ECANCELED : err, req->phase == CC_PHASE_QUEUED);
	}
	fail_waiting(conn, err);
	dirty(conn);
}

void conn_req_info(struct cc_req *req, const struct cc_head *head)
{
	if (req->ops && req->ops->on_info)
		req->ops->on_info(req, head, req->arg);
}

void conn_req_head(struct cc_req *req, const struct cc_head *head)
{
	req->head_seen = true;
	req->phase = CC_PHASE_RECEIVING;
	req->t_head = ctx_now_us(req->out.ctx);
	if (req->ops)
		req->ops->on_head(req, head, req->arg);
}

void conn_req_body(struct cc_req *req)
{
	size_t before = req->in.len;

	if (!req->ops) {
		cc_buf_clear(&req->in);
		return;
	}
	req->uncredited += before; /* on_body may credit what it takes at once */
	req->ops->on_body(req, &req->in, req->arg);
	req->uncredited -= req->in.len < req->uncredited ? req->in.len : req->uncredited;
}

void conn_req_took(struct cc_req *req, size_t n)
{
	req->sent += n;
	if ((req->room_wanted || req->out_eos) &&
		req->out.len < req->conn->set.window) { /* behind the end: a sign of life */
		req->room_wanted = false;
		turn_add(req->out.ctx, TURN_NOTIFY, &req->room);
	}
}

void conn_req_sent(struct cc_req *req)
{
	req->out_done = true;
	req->t_sent = ctx_now_us(req->out.ctx);
	if (req->phase < CC_PHASE_WAITING)
		req->phase = CC_PHASE_WAITING;
}

void conn_req_end(struct cc_req *req, int err, bool unprocessed, uint64_t proto_error,
	const struct cc_head *trailers)
{
	struct cc_conn *conn = req->conn;

	if (req->life != REQ_RUNNING)
		return;
	req->life = REQ_DONE;
	list_del(&req->link);
	conn_state_end(&conn->st);
	fill_result(req, err, unprocessed, proto_error);
	req->result.trailers = trailers;
	dirty(conn);
	rest(conn);
	tell_done(req);
}

/* ---- life -------------------------------------------------------------- */

struct cc_conn *conn_new(
	struct cc_ctx *ctx, const struct conn_settings *set, cc_state_hook hook, void *arg)
{
	struct cc_conn *conn = mem_zalloc(ctx, sizeof(*conn));

	if (!conn)
		return NULL;
	conn->ctx = ctx;
	conn->id = ++ctx->next_id;
	conn->set = *set;
	conn_state_init(&conn->st, set->max_concurrent, set->max_requests);
	list_init(&conn->reqs);
	list_init(&conn->waiting);
	list_init(&conn->ending);
	conn->hook = hook;
	conn->hook_arg = arg;
	turn_item_init(&conn->notify, notify_run);
	turn_item_init(&conn->reap, NULL);
	timer_init(&conn->idle, idle_fired);
	timer_init(&conn->age, age_fired);
	timer_init(&conn->ping, ping_fired);
	list_add_tail(&ctx->conns, &conn->link);
	return conn;
}

void conn_opened(struct cc_conn *conn, const struct cc_proto *proto, struct link *link)
{
	int err;

	conn->dial = NULL;
	conn->proto = proto;
	conn->last_read = ctx_now(conn->ctx);
	conn_state_move(&conn->st, CC_READY, 0);
	conn->st.peer_limit = 1;
	conn->settled = proto->id == CC_PROTO_H1;
	err = proto->open(conn, link);
	if (err < 0) {
		conn_close(conn, err, NULL);
		return;
	}
	if (conn->set.max_age > 0)
		timer_start(conn->ctx, &conn->age, conn->set.max_age);
	rest(conn);
	dirty(conn);
}

static void conn_reap(struct turn_item *item)
{
	struct cc_conn *conn = container_of(item, struct cc_conn, reap);
	struct cc_ctx *ctx = conn->ctx;

	if (conn->proto)
		conn->proto->free(conn);
	mem_free(ctx, conn);
}

void cc_conn_free(struct cc_conn *conn)
{
	struct list *l;

	if (!conn || conn->freed)
		return;
	conn->freed = true;
	conn->hook = NULL;
	list_each (r, tmp, &conn->reqs)
		container_of(r, struct cc_req, link)->ops = NULL;
	list_each (w, wtmp, &conn->waiting)
		container_of(w, struct cc_req, link)->ops = NULL;
	while ((l = list_pop(&conn->ending)))
		container_of(l, struct cc_req, link)->ops = NULL;
	conn_close(conn, CC_ECLOSED, NULL);
	turn_cancel(&conn->notify);
	list_del(&conn->link);
	conn->reap.run = conn_reap;
	turn_add(conn->ctx, TURN_REAP, &conn->reap);
}

void cc_conn_close(struct cc_conn *conn)
{
	conn_close(conn, CC_ECLOSED, "closed by its owner");
}

void cc_conn_drain(struct cc_conn *conn)
{
	if (conn->st.state == CC_CONNECTING)
		conn_close(conn, CC_ECLOSED, "closed by its owner while connecting");
	else
		conn_draining(conn, CC_ECLOSED, "drained by its owner");
}

void cc_conn_set_state_hook(struct cc_conn *conn, cc_state_hook hook, void *arg)
{
	conn->hook = hook;
	conn->hook_arg = arg;
	if (hook)
		dirty(conn);
}

/* ---- questions --------------------------------------------------------- */

enum cc_state cc_conn_state(const struct cc_conn *conn)
{
	return conn->st.state;
}

enum cc_proto_id cc_conn_proto(const struct cc_conn *conn)
{
	return conn->proto ? conn->proto->id : CC_PROTO_NONE;
}

int cc_conn_err(const struct cc_conn *conn)
{
	return conn->st.err;
}

const char *cc_conn_detail(const struct cc_conn *conn)
{
	return conn->detail;
}

bool cc_conn_settled(const struct cc_conn *conn)
{
	return conn->settled;
}

uint64_t cc_conn_id(const struct cc_conn *conn)
{
	return conn->id;
}

uint64_t cc_conn_request_limit(const struct cc_conn *conn)
{
	return conn_state_request_limit(&conn->st);
}

uint64_t cc_conn_requests_completed(const struct cc_conn *conn)
{
	return conn->st.completed;
}

uint32_t cc_conn_in_flight(const struct cc_conn *conn)
{
	return conn_state_in_flight(&conn->st);
}

uint32_t cc_conn_available(const struct cc_conn *conn)
{
	return conn_state_available(&conn->st);
}

uint32_t cc_conn_waiting(const struct cc_conn *conn)
{
	return conn->waiting_count;
}

int cc_conn_reserve(struct cc_conn *conn)
{
	return conn_state_reserve(&conn->st);
}

void cc_conn_release(struct cc_conn *conn)
{
	if (conn->st.reserved == 0)
		return;
	conn_state_release(&conn->st);
	dirty(conn);
}
