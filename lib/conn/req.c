/*
 * req.c - one request on a connection: its memory, its ends, and what its
 * owner and its driver say about it. Slots and waiting are conn.c's.
 *
 * A request that the peer ends is told in the read that ended it; one that
 * is ended locally is told in the notify stage, so never from inside a
 * call of its owner.
 */
#include <string.h>

#include <clientconn/head.h>

#include "lib/base/ctx.h"
#include "lib/base/head_int.h"
#include "lib/base/opts.h"
#include "lib/conn/conn.h"
#include "lib/conn/proto.h"

/* Was the callback there when the owner was built, and is it set? */
#define OPS_HAVE(ops, member)                                                                      \
	((ops)->size >= OPTS_UP_TO(struct cc_req_ops, member) && (ops)->member)

/* ---- memory ------------------------------------------------------------ */

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

void req_reap(struct cc_req *req)
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

	if (req->ops && OPS_HAVE(req->ops, on_room) && req->life == REQ_RUNNING)
		req->ops->on_room(req, req->arg);
}

bool req_ops_ok(const struct cc_req_ops *ops)
{
	return opts_check(ops, OPTS_UP_TO(struct cc_req_ops, on_done), sizeof(*ops)) == 0 &&
	       ops->on_head && ops->on_body && ops->on_done;
}

struct cc_req *req_new(struct cc_conn *conn, const struct cc_req_ops *ops, void *arg)
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

/* ---- ends -------------------------------------------------------------- */

/* us of a request until then; the clock may stand still within a turn. */
static uint64_t after(const struct cc_req *req, bool reached, uint64_t then)
{
	if (!reached)
		return 0;
	return then > req->t_begin ? then - req->t_begin : 1;
}

static void fill_result(struct cc_req *req, int err, bool unprocessed, const struct conn_said *said)
{
	req->result = (struct cc_result){
		.err = err,
		.phase = err == 0 ? CC_PHASE_COMPLETE : req->phase,
		.unprocessed = unprocessed,
		.why = said ? said->why : CC_WHY_NONE,
		.proto_error = said ? said->code : 0,
		.sent = req->sent,
		.received = req->received,
		.t_sent = after(req, req->out_done, req->t_sent),
		.t_head = after(req, req->head_seen, req->t_head),
		.t_done = after(req, true, ctx_now_us(req->out.ctx)),
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

void req_end_later(struct cc_req *req, int err, bool unprocessed)
{
	list_del(&req->link);
	if (!req->ops) {
		req_reap(req);
		return;
	}
	req->life = REQ_ENDING;
	list_add_tail(&req->conn->ending, &req->link);
	fill_result(req, err, unprocessed,
		req->conn->goaway.why != CC_WHY_NONE ? &req->conn->goaway : NULL);
	req->end.run = end_run;
	turn_add(req->out.ctx, TURN_NOTIFY, &req->end);
}

/* ---- the owner --------------------------------------------------------- */

/* RFC 9110 8.6: what follows Content-Length is as long as it says, to the byte. */
static bool is_as_announced(const struct cc_req *req, size_t n, bool eos)
{
	uint64_t left = (uint64_t)req->announced;

	return req->announced < 0 || (eos ? n == left : n <= left);
}

static int fail(struct cc_req *req, int err)
{
	struct cc_conn *conn = req->conn;

	if (req->life == REQ_RUNNING) {
		conn->proto->fail(conn, req, err);
	} else {
		conn_unwait(conn, req);
		req_end_later(req, err, true);
	}
	conn_check(conn);
	return err;
}

int cc_req_send(struct cc_req *req, struct cc_buf *body, bool eos)
{
	size_t n = body->len;

	if (req->out_eos)
		return CC_EINVAL;
	if (req->life > REQ_RUNNING) { /* over: on_done is on its way */
		cc_buf_clear(body);
		return 0;
	}
	if (!is_as_announced(req, n, eos))
		return fail(req, CC_EINVAL);
	int err = cc_buf_move(&req->out, body, n);
	if (err < 0)
		return err;
	if (req->announced > 0)
		req->announced -= (int64_t)n;
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
	if (!is_as_announced(req, 0, true))
		return fail(req, CC_EINVAL);
	req->out_trailers = cc_head_copy(req->out.ctx, trailers);
	if (!req->out_trailers)
		return CC_ENOMEM;
	req->out_eos = true;
	if (req->life == REQ_RUNNING)
		req->conn->proto->send(req->conn, req);
	return 0;
}

size_t cc_req_room(struct cc_req *req)
{
	size_t window = req->conn->set.window;

	if (req->out.len < window && req->life <= REQ_RUNNING)
		return window - req->out.len;
	req->room_wanted = true;
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
		conn_unwait(conn, req);
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
	conn_check(conn);
}

/* ---- the driver -------------------------------------------------------- */

int conn_req_info(struct cc_req *req, const struct cc_head *head, size_t size)
{
	req->interim += size;
	if (req->interim > req->conn->set.max_head)
		return CC_ETOOBIG;
	if (req->ops && OPS_HAVE(req->ops, on_info))
		req->ops->on_info(req, head, req->arg);
	return 0;
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
	/* It is QUEUED until its first byte was written: the drivers' on_written. */
	if (req->phase == CC_PHASE_SENDING)
		req->phase = CC_PHASE_WAITING;
}

void conn_req_end(struct cc_req *req, int err, bool unprocessed, const struct conn_said *said,
	const struct cc_head *trailers)
{
	if (req->life != REQ_RUNNING)
		return;
	req->life = REQ_DONE;
	list_del(&req->link);
	fill_result(req, err, unprocessed, said);
	req->result.trailers = trailers;
	if (!req->on_wire)
		conn_slot_unused(
			req->conn); /* the session dropped it before it was put on the wire */
	else
		conn_slot_ended(req->conn);
	tell_done(req);
}

void conn_req_fail(struct cc_req *req, int err)
{
	if (req->on_wire)
		conn_slot_ended(req->conn);
	else
		conn_slot_unused(req->conn);
	req_end_later(req, err, !req->on_wire);
}

void conn_req_unsent(struct cc_req *req)
{
	list_del(&req->link);
	conn_slot_unused(req->conn);
	req_reap(req);
}

void conn_req_given_up(struct cc_req *req)
{
	list_del(&req->link);
	req->conn->unconfirmed++;
	req_reap(req);
}
