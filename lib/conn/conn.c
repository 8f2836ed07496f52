/*
 * conn.c - one connection: its state, its slots, the round trips that wait for
 * one, its timers; and what drivers report. Requests are req.c's.
 *
 * Everything the owner hears about the connection goes through conn->notify
 * and so comes at the end of a turn, never from inside one of its own calls.
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

/* The hook will be told, and round trips that wait get another chance. */
static void changed(struct cc_conn *conn, unsigned what)
{
	conn->changes |= what;
	conn->changes_ever |= what;
	turn_add(conn->ctx, TURN_NOTIFY, &conn->notify);
}

static void set_detail(struct cc_conn *conn, const char *detail)
{
	if (detail && conn->detail[0] == '\0')
		snprintf(conn->detail, sizeof(conn->detail), "%s", detail);
}

static void set_reason(struct cc_conn *conn, enum cc_reason reason)
{
	if (conn->reason == CC_REASON_NONE)
		conn->reason = reason;
}

#ifdef CC_CHECK
static uint32_t length_of(const struct list *list)
{
	uint32_t n = 0;

	for (const struct list *l = list->next; l != list; l = l->next)
		n++;
	return n;
}

void conn_check(struct cc_conn *conn)
{
	struct cc_counts n;

	cc_conn_counts(conn, &n);
	assert(n.request_limit == n.requests_completed + n.in_flight + n.available);
	assert(n.waiting == length_of(&conn->waiting));
	assert(conn->st.state == CC_READY || n.available == 0);
	assert(conn->st.state < CC_DRAINING || (conn->st.reserved == 0 && n.waiting == 0));
	assert(conn->st.active == length_of(&conn->reqs) + conn->unconfirmed);
	assert(conn->st.state != CC_CLOSED || n.in_flight == 0);
	assert((conn->st.state == CC_CLOSED) == (conn->st.err != 0));
	assert((conn->st.state >= CC_DRAINING) == (conn->reason != CC_REASON_NONE));
}
#endif

/* ---- timers ------------------------------------------------------------ */

static void idle_fired(struct timer *t)
{
	struct cc_conn *conn = container_of(t, struct cc_conn, idle);

	/* Somebody is about to use it: a slot is reserved, or a round trip waits behind one. */
	if (conn_state_in_flight(&conn->st) > 0 || conn->waiting_count > 0)
		timer_start(conn->ctx, &conn->idle, conn->set.idle_timeout);
	else
		conn_close(conn, CC_REASON_IDLE, CC_ECLOSED, "idle timeout");
}

static void age_fired(struct timer *t)
{
	struct cc_conn *conn = container_of(t, struct cc_conn, age);

	conn_draining(conn, CC_REASON_AGE, CC_ECLOSED, "maximum age reached");
}

/* How long nothing was read although something runs. */
static uint64_t silence(struct cc_conn *conn)
{
	uint64_t since = conn->last_read > conn->busy_since ? conn->last_read : conn->busy_since;

	return ctx_now(conn->ctx) - since;
}

static void watch(struct cc_conn *conn)
{
	timer_start_rest(conn->ctx, &conn->ping, conn->set.ping_after, silence(conn));
}

void conn_ping(struct cc_conn *conn)
{
	if (conn->ping_sent)
		return;
	conn->ping_sent = true;
	conn->proto->ping(conn);
	timer_start(conn->ctx, &conn->ping, conn->set.ping_timeout);
}

/* Only reads count as life: a peer that is gone swallows writes for minutes. */
static void ping_fired(struct timer *t)
{
	struct cc_conn *conn = container_of(t, struct cc_conn, ping);

	if (conn->ping_sent)
		conn_close(conn, CC_REASON_PING_TIMEOUT, CC_ETIMEOUT, "no acknowledgement of PING");
	else if (conn->st.active > 0 && silence(conn) < conn->set.ping_after)
		watch(conn);
	else if (conn->st.active > 0)
		conn_ping(conn);
}

void conn_was_read(struct cc_conn *conn)
{
	conn->last_read = ctx_now(conn->ctx);
	if (!conn->ping_sent)
		return;
	conn->ping_sent = false;
	timer_stop(&conn->ping);
	if (conn->st.active > 0 && conn->set.ping_after > 0)
		watch(conn);
}

/* A request goes out: is the peer still there? Asked beside it, not before (it costs no time). */
static void watch_peer(struct cc_conn *conn)
{
	uint64_t now = ctx_now(conn->ctx);

	timer_stop(&conn->idle);
	if (conn->st.active == 1)
		conn->busy_since = now;
	if (!conn->proto->ping)
		return;
	if (conn->set.stale_after > 0 && now - conn->last_read >= conn->set.stale_after)
		conn_ping(conn);
	else if (conn->set.ping_after > 0 && !timer_running(&conn->ping))
		watch(conn);
}

/* Nothing in flight: the idle time begins, or the end if it drains. */
static void check_idle(struct cc_conn *conn)
{
	if (conn->st.state == CC_READY && conn_state_spent(&conn->st))
		conn_draining(
			conn, CC_REASON_REQUESTS, CC_ECLOSED, "maximum number of requests reached");
	if (conn->st.active > 0)
		return;
	if (!conn->ping_sent)
		timer_stop(&conn->ping);
	if (conn->st.state == CC_DRAINING)
		conn_close(conn, conn->reason, conn->drain_err, NULL);
	else if (conn->st.state == CC_READY && conn->set.idle_timeout > 0)
		timer_start(conn->ctx, &conn->idle, conn->set.idle_timeout);
}

/* ---- slots ------------------------------------------------------------- */

void conn_slot_ended(struct cc_conn *conn)
{
	conn_state_end(&conn->st);
	changed(conn, CC_CHANGED_COMPLETED);
	check_idle(conn);
}

void conn_slot_unused(struct cc_conn *conn)
{
	conn_state_unsent(&conn->st);
	changed(conn, CC_CHANGED_RELEASED);
	check_idle(conn);
}

void conn_confirmed(struct cc_conn *conn)
{
	while (conn->unconfirmed > 0 && conn->st.state != CC_CLOSED) {
		conn->unconfirmed--;
		conn_slot_ended(conn);
	}
}

int cc_conn_reserve(struct cc_conn *conn)
{
	int err = conn_state_reserve(&conn->st);

	/* What is free between two turns is of those who wait: nobody overtakes them. */
	if (err == 0 && conn->waiting_count > conn->waiting_reserved) {
		conn_state_release(&conn->st);
		err = CC_EFULL;
	}
	conn_check(conn);
	return err;
}

/* Reserved, and no round trip waits with it: the caller may use it or give it back. */
static bool has_free_reservation(const struct cc_conn *conn)
{
	return conn->st.reserved > conn->waiting_reserved;
}

void cc_conn_release(struct cc_conn *conn)
{
	if (!has_free_reservation(conn))
		return;
	conn_state_release(&conn->st);
	changed(conn, CC_CHANGED_RELEASED);
	conn_check(conn);
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
		conn_slot_unused(conn);
		return err;
	}
	watch_peer(conn);
	return 0;
}

static void leave_queue(struct cc_conn *conn, struct cc_req *req)
{
	list_del(&req->link);
	conn->waiting_count--;
	conn->waiting_reserved -= req->reserved;
}

void conn_unwait(struct cc_conn *conn, struct cc_req *req)
{
	leave_queue(conn, req);
	if (req->reserved)
		cc_conn_release(conn);
}

static struct cc_req *first_reserved(struct cc_conn *conn)
{
	list_each (l, tmp, &conn->waiting) {
		struct cc_req *req = container_of(l, struct cc_req, link);

		if (req->reserved)
			return req;
	}
	return NULL;
}

/*
 * Who starts now; if it reserved nothing, its slot is reserved. The first of
 * the queue, unless it waits for the very slot that one behind it holds.
 */
static struct cc_req *next_waiting(struct cc_conn *conn)
{
	struct cc_req *first = container_of(conn->waiting.next, struct cc_req, link);

	if (!first->reserved && conn_state_reserve(&conn->st) == 0)
		return first;
	if (conn->waiting_reserved == 0 || !conn_state_has_room(&conn->st))
		return NULL;
	return first_reserved(conn);
}

/* Every gain of a slot comes here: an ended request, a raised limit, a released reservation. */
static void wake_waiting(struct cc_conn *conn)
{
	while (!list_empty(&conn->waiting) && conn->st.state == CC_READY) {
		struct cc_req *req = next_waiting(conn);
		int err;

		if (!req)
			return;
		leave_queue(conn, req);
		err = req_start(req, req->held);
		cc_head_free(req->held);
		req->held = NULL;
		if (err < 0)
			req_end_later(req, err, true);
	}
}

static void notify_run(struct turn_item *item)
{
	struct cc_conn *conn = container_of(item, struct cc_conn, notify);

	wake_waiting(conn);
	conn_check(conn);
	if (!conn->hook || conn->told_closed || conn->changes == 0)
		return;
	conn->told_closed = conn->st.state == CC_CLOSED;
	conn->changes_told = conn->changes;
	conn->changes = 0;
	conn->hook(conn, conn->hook_arg);
}

static int req_wait(struct cc_req *req, const struct cc_head *head, bool reserved)
{
	struct cc_conn *conn = req->conn;

	req->held = cc_head_copy(conn->ctx, head);
	if (!req->held)
		return CC_ENOMEM;
	req->life = REQ_WAITING;
	req->reserved = reserved;
	list_add_tail(&conn->waiting, &req->link);
	conn->waiting_count++;
	conn->waiting_reserved += reserved;
	return 0;
}

/* Does a round trip with these flags go at once (1), wait (0), or fail (enum cc_err)? */
static int admit(struct cc_conn *conn, unsigned flags)
{
	if (conn->st.state >= CC_DRAINING)
		return CC_ECLOSED;
	if (flags & CC_RT_RESERVED) {
		if (!has_free_reservation(conn))
			return CC_EINVAL;
		return conn->waiting_reserved == 0 && conn_state_has_room(&conn->st);
	}
	if (list_empty(&conn->waiting) && conn_state_reserve(&conn->st) == 0)
		return 1;
	return flags & CC_RT_NOWAIT ? CC_EFULL : 0;
}

/*
 * A length without the bytes would make the server take the next request for them, and two lengths
 * or none that is a number may be understood in two ways (RFC 9110 8.6). CONNECT makes a tunnel
 * (9.3.6), whose bytes are no message.
 */
static bool is_sendable(const struct cc_head *head, int64_t length, unsigned flags)
{
	struct cc_str method = cc_head_method(head);

	if (length < 0 && cc_head_find(head, CC_T_CONTENT_LENGTH, 0) >= 0)
		return false;
	return method.n > 0 && !str_is(method, "CONNECT") &&
	       (!(flags & CC_RT_END_STREAM) || length <= 0);
}

/* What admit() decided is done. On failure the slot, if one was held, is given back. */
static int req_begin(struct cc_conn *conn, struct cc_req *req, const struct cc_head *head,
	bool at_once, bool reserved)
{
	int err = CC_ENOMEM;

	if (req && at_once)
		return req_start(req, head); /* which gives it back itself */
	if (req)
		err = req_wait(req, head, reserved);
	if (err < 0 && (at_once || reserved))
		cc_conn_release(conn);
	return err;
}

int cc_conn_round_trip(struct cc_conn *conn, const struct cc_head *head, unsigned flags,
	const struct cc_req_ops *ops, void *arg, struct cc_req **ret)
{
	bool reserved = flags & CC_RT_RESERVED;
	int64_t length = cc_head_content_length(head);
	bool valid = req_ops_ok(ops) && is_sendable(head, length, flags);
	int go = valid ? admit(conn, flags) : CC_EINVAL;
	struct cc_req *req;
	int err;

	if (go < 0) {
		if (reserved)
			cc_conn_release(conn);
		return go;
	}
	req = req_new(conn, ops, arg);
	if (req) {
		req->bodiless = req->out_eos = flags & CC_RT_END_STREAM;
		req->no_body = str_is(cc_head_method(head), "HEAD");
		req->announced = length;
	}
	err = req_begin(conn, req, head, go > 0, reserved);
	conn_check(conn);
	if (err == 0)
		*ret = req;
	else if (req)
		req_reap(req);
	return err;
}

/* ---- reports from drivers ---------------------------------------------- */

void conn_set_limit(struct cc_conn *conn, uint32_t peer_limit)
{
	int64_t gain = conn_state_set_limit(&conn->st, peer_limit);

	if (!conn->limits_known)
		changed(conn, CC_CHANGED_LIMITS_KNOWN);
	conn->limits_known = true;
	if (gain != 0)
		changed(conn, gain > 0 ? CC_CHANGED_LIMIT_UP : CC_CHANGED_LIMIT_DOWN);
}

/* What still waits was never sent: it may go elsewhere. */
static void fail_waiting(struct cc_conn *conn, int err)
{
	struct list *l;

	while ((l = list_pop(&conn->waiting)))
		req_end_later(container_of(l, struct cc_req, link), err, true);
	conn->waiting_count = conn->waiting_reserved = 0;
}

void conn_draining(struct cc_conn *conn, enum cc_reason reason, int err, const char *detail)
{
	if (!conn_state_move(&conn->st, CC_DRAINING, 0))
		return;
	set_reason(conn, reason);
	conn->drain_err = err;
	set_detail(conn, detail);
	conn->st.reserved = 0;
	fail_waiting(conn, CC_ECLOSED);
	changed(conn, CC_CHANGED_DRAINING);
	conn_confirmed(conn); /* nobody waits for those slots any more */
	if (conn->st.active == 0)
		conn_close(conn, reason, err, NULL);
}

/* What was not written does not count as completed: it never was on the wire. */
static void forget_unsent(struct cc_conn *conn, const struct list *reqs)
{
	for (const struct list *l = reqs->next; l != reqs; l = l->next)
		if (container_of(l, const struct cc_req, link)->phase == CC_PHASE_QUEUED)
			conn_state_unsent(&conn->st);
}

void conn_close(struct cc_conn *conn, enum cc_reason reason, int err, const char *detail)
{
	int req_err = err == CC_ECLOSED ? CC_ECANCELED : err;
	uint64_t completed = conn->st.completed;
	struct list ended;
	struct list *l;

	if (conn->st.state == CC_CLOSED)
		return;
	list_init(&ended);
	list_splice_tail(&ended, &conn->reqs);
	forget_unsent(conn, &ended);
	conn_state_move(&conn->st, CC_CLOSED, err);
	if (conn->st.completed != completed) /* what was on the wire ends with it */
		changed(conn, CC_CHANGED_COMPLETED);
	conn->unconfirmed = 0;
	set_reason(conn, reason);
	set_detail(conn, detail && *detail ? detail : cc_strerror(err));
	timer_stop(&conn->idle);
	timer_stop(&conn->age);
	timer_stop(&conn->ping);
	dial_cancel(conn->dial);
	conn->dial = NULL;
	if (conn->proto)
		conn->proto->close(conn);
	turn_cancel(&conn->notify); /* CLOSED is told last: behind the ends of the requests */
	while ((l = list_pop(&ended))) {
		struct cc_req *req = container_of(l, struct cc_req, link);

		req_end_later(req, req_err, req->phase == CC_PHASE_QUEUED);
	}
	fail_waiting(conn, err);
	changed(conn, CC_CHANGED_CLOSED);
}

void conn_broke(struct cc_conn *conn, int err, const char *detail)
{
	enum cc_reason reason = CC_REASON_RESET;

	if (err == CC_ENOMEM)
		reason = CC_REASON_MEMORY;
	else if (err == CC_ETLS)
		reason = CC_REASON_TLS;
	conn_close(conn, reason, err, detail);
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

void conn_opened(struct cc_conn *conn, const struct cc_proto *proto, const struct dialled *carrier)
{
	int err;

	conn->dial = NULL;
	conn->proto = proto;
	conn->last_read = ctx_now(conn->ctx);
	conn_state_move(&conn->st, CC_READY, 0);
	conn->st.peer_limit = 1;
	conn->limits_known = !proto->multiplexed;
	err = proto->open(conn, carrier);
	if (err < 0) {
		conn_close(conn, CC_REASON_MEMORY, err, NULL);
		return;
	}
	changed(conn, CC_CHANGED_READY);
	if (conn->limits_known)
		changed(conn, CC_CHANGED_LIMITS_KNOWN);
	if (conn->set.max_age > 0)
		timer_start(conn->ctx, &conn->age, conn->set.max_age);
	check_idle(conn);
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
	while ((l = list_pop(&conn->ending))) /* the turn that would tell them may not come */
		req_reap(container_of(l, struct cc_req, link));
	conn_close(conn, CC_REASON_OWNER, CC_ECLOSED, NULL);
	turn_cancel(&conn->notify);
	list_del(&conn->link);
	conn->reap.run = conn_reap;
	turn_add(conn->ctx, TURN_REAP, &conn->reap);
}

void cc_conn_close(struct cc_conn *conn)
{
	conn_close(conn, CC_REASON_OWNER, CC_ECLOSED, "closed by its owner");
	conn_check(conn);
}

void cc_conn_drain(struct cc_conn *conn)
{
	if (conn->st.state == CC_CONNECTING)
		conn_close(
			conn, CC_REASON_OWNER, CC_ECLOSED, "closed by its owner while connecting");
	else
		conn_draining(conn, CC_REASON_OWNER, CC_ECLOSED, "drained by its owner");
	conn_check(conn);
}

/* A new hook hears of everything since the connection began. */
void cc_conn_set_state_hook(struct cc_conn *conn, cc_state_hook hook, void *arg)
{
	conn->hook = hook;
	conn->hook_arg = arg;
	if (hook && conn->changes_ever != 0)
		changed(conn, conn->changes_ever);
}
