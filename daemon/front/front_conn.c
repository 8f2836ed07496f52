/*
 * front_conn.c - one local client: its life, whatever it speaks.
 *
 * A client that is refused for want of room has its request read like any other, because a response
 * that comes before it may be lost; it has a second for it.
 *
 * With several workers an upstream has one as its home, so that its limits stay
 * exact. A client whose request is for an upstream of another home goes there
 * whole. One that cannot move (its other requests run, or this worker drains)
 * stays, and its owner names the service that asks the home in its place.
 *
 * LINGER: the response is out and the write side shut, but the client may still
 * be sending. Closing now could reset the connection under the response, so what
 * comes is read and dropped for a moment.
 */
#include <string.h>
#include <unistd.h>

#include <clientconn.h>
#include <clientconn/head.h>

#include "daemon/base/conf.h"
#include "daemon/base/local_reply.h"
#include "daemon/base/log.h"
#include "daemon/base/service.h"
#include "daemon/front/front_conn.h"
#include "lib/base/ctx.h"
#include "lib/net/link.h"

/*
 * Percent of the buffers in use up to which clients are read. Heads are small, and 503 needs one.
 */
#define HEADS_UNTIL    97u
#define BODIES_UNTIL   90u
#define UNREAD_MAX     65536u /* bytes of responses that a client leaves unread and asks again */
#define STALL_MS       60000  /* the rest of a response that closes does not move for so long */
#define LINGER_MS      1000
#define REFUSED_MS     1000       /* for the request of a client that is refused */
#define LOOK_MS        1000       /* is the client that is not read from still there? */
#define DRAIN_GRACE_MS 1000       /* for the first request of a client that has just connected */
#define LINGER_MAX     (1u << 20) /* bytes dropped before the patience ends */
#define FIRST_MAX      24u        /* bytes that tell one protocol from another */

/* What clients may speak, by their first bytes. */
static const struct front_first protos[] = {
	{"", &front_h1},
};

/* ---- ends -------------------------------------------------------------- */

static void free_run(struct turn_item *item)
{
	struct front_conn *fc = container_of(item, struct front_conn, turn);
	struct front_listener *fl = fc->fl;
	bool refused = fc->refused != FRONT_NO_LIMIT;

	link_free(fc->link);
	if (fc->proto)
		fc->proto->free(fc);
	list_del(&fc->node);
	fl->count--;
	if (refused)
		fl->refused--;
	caller_clear(&fc->caller);
	mem_free(fc->ctx, fc);
	fl->owner->left(fl, refused);
}

void front_close(struct front_conn *fc)
{
	if (fc->life == FRONT_CLOSED)
		return;
	fc->life = FRONT_CLOSED;
	timer_stop(&fc->timer);
	if (fc->proto)
		fc->proto->gone(fc);
	link_close(fc->link);
	turn_cancel(&fc->turn);
	fc->turn.run = free_run;
	turn_add(fc->ctx, TURN_REAP, &fc->turn);
}

static bool may_close(const struct front_conn *fc)
{
	return fc->link->out.len == 0 && (fc->link->eof || fc->all_read);
}

void front_linger(struct front_conn *fc)
{
	fc->life = FRONT_LINGER;
	cc_buf_drain(&fc->link->in, fc->link->in.len);
	link_shutdown(fc->link);
	link_pause(fc->link, false);
	if (may_close(fc)) {
		front_close(fc);
		return;
	}
	timer_start(fc->ctx, &fc->timer, fc->link->out.len > 0 ? STALL_MS : LINGER_MS);
}

void front_hand_over(struct front_conn *fc, unsigned worker, struct cc_buf *raw)
{
	struct front_listener *fl = fc->fl;

	if (cc_buf_move(raw, &fc->link->in, fc->link->in.len) == 0) {
		int fd = link_detach(fc->link); /* before it is another thread's to close */

		if (!fl->owner->hand_over(fl, worker, fd, raw))
			close(fd);
	}
	front_close(fc);
}

/* ---- life -------------------------------------------------------------- */

static void await_request(struct front_conn *fc)
{
	uint64_t timeout = fc->refused ? REFUSED_MS : fc->fl->conf->idle_timeout;

	fc->life = FRONT_IDLE;
	fc->link->read_until = HEADS_UNTIL;
	timer_stop(&fc->timer);
	if (timeout > 0)
		timer_start(fc->ctx, &fc->timer, timeout);
}

void front_idle(struct front_conn *fc)
{
	await_request(fc);
	front_go_on(fc);
}

void front_head_came(struct front_conn *fc)
{
	timer_stop(&fc->timer);
	fc->link->read_until = BODIES_UNTIL;
}

/* Most heads come in one piece: only the others need a timer. Who is refused has one that runs. */
void front_await_head(struct front_conn *fc)
{
	uint64_t timeout = fc->fl->conf->header_timeout;

	if (timeout > 0 && !timer_running(&fc->timer))
		timer_start(fc->ctx, &fc->timer, timeout);
}

void front_hold(struct front_conn *fc)
{
	link_pause(fc->link, true);
	timer_start(fc->ctx, &fc->timer, LOOK_MS);
}

/* What is there comes from the turn, so that responses do not nest. */
void front_go_on(struct front_conn *fc)
{
	link_pause(fc->link, false);
	if (fc->link->in.len > 0)
		turn_add(fc->ctx, TURN_NOTIFY, &fc->turn);
}

bool front_is_last(const struct front_conn *fc)
{
	return fc->fl->draining || (fc->link->eof && fc->link->in.len == 0);
}

struct front_home front_home_of(struct front_conn *fc, const struct cc_head *head)
{
	struct front_home home = {.here = true};

	if (fc->refused)
		return home;
	home = fc->fl->owner->home_of(fc->fl, head);
	home.here = home.here || fc->fl->draining;
	if (!home.service) {
		home.service = fc->fl->service;
		home.server = fc->fl->server;
	}
	return home;
}

/* ---- local replies -------------------------------------------------- */

static void count_reply(const struct front_conn *fc, const struct local_reply *a)
{
	fc->fl->stats->rejected_by[a->reason]++;
	if (a->status >= 500)
		log_line(fc->fl->log, LOG_LEVEL_NOTICE, "request failed",
			"upstream=- status=%u error=%s detail=\"%s\"", a->status, a->error,
			a->detail);
}

bool front_reply(struct front_conn *fc, const struct stream_ops *ops, void *stream,
	const struct local_reply *a)
{
	struct cc_head *head = cc_head_new(fc->ctx);
	struct cc_buf body;
	bool built;

	count_reply(fc, a);
	cc_buf_init(&body, fc->ctx);
	built = head && local_reply_build(a, head, &body) == 0;
	if (built) {
		ops->head(stream, head);
		if (fc->life != FRONT_CLOSED)
			ops->body(stream, &body);
		if (fc->life != FRONT_CLOSED)
			ops->end(stream, NULL);
	}
	cc_buf_clear(&body);
	cc_head_free(head);
	return built;
}

/* RFC 9112 2.2, 9.3 */
bool front_bad_request(struct front_conn *fc, const struct stream_ops *ops, void *stream,
	unsigned status, const char *detail)
{
	struct local_reply a = {.status = status, .error = "http_request_error", .detail = detail};

	fc->fl->stats->bad_requests++;
	log_line(fc->fl->log, LOG_LEVEL_INFO, "request refused",
		"listener=%s status=%u detail=\"%s\"", fc->fl->conf->name, status, detail);
	return front_reply(fc, ops, stream, &a);
}

const char *front_limit_name(enum front_limit limit)
{
	return limit == FRONT_MAX_CLIENTS ? "max_clients" : "LimitNOFILE";
}

bool front_no_room(struct front_conn *fc, const struct stream_ops *ops, void *stream)
{
	bool places = fc->refused == FRONT_MAX_CLIENTS;
	struct local_reply a = {
		.status = 503,
		.error = "proxy_internal_limit",
		.reason = places ? REJECT_MAX_CLIENTS : REJECT_DESCRIPTORS,
		.detail = places ? "all places for local connections are taken: max_clients"
	                         : "no file descriptor is left: LimitNOFILE",
		.limit = front_limit_name(fc->refused),
		.retry_after = 1,
		.retry_safe = true,
	};

	return front_reply(fc, ops, stream, &a);
}

/* ---- the first bytes ------------------------------------------------------ */

const struct front_proto *front_detect(
	const struct front_first *rows, unsigned n, const char *bytes, size_t len)
{
	for (unsigned i = 0; i < n; i++) {
		size_t size = strlen(rows[i].bytes);

		if (memcmp(rows[i].bytes, bytes, size < len ? size : len) != 0)
			continue;
		return size <= len ? rows[i].proto : NULL;
	}
	return NULL;
}

/* false: more bytes are needed, or fc is closed for want of memory. */
static bool knows_proto(struct front_conn *fc)
{
	char first[FIRST_MAX];
	size_t n;

	if (fc->proto)
		return true;
	n = cc_buf_peek(&fc->link->in, first, sizeof(first));
	fc->proto = front_detect(protos, sizeof(protos) / sizeof(protos[0]), first, n);
	if (fc->proto && fc->proto->open(fc))
		return true;
	if (fc->proto || fc->link->eof) {
		fc->proto = NULL;
		front_close(fc);
	} else {
		front_await_head(fc);
	}
	return false;
}

/* ---- the link ---------------------------------------------------------- */

/*
 * It asks and does not read. Who may have to move to another worker does not ask before the last
 * response has left, as that cannot move along.
 */
static bool owes_reading(const struct front_conn *fc)
{
	return fc->link->out.len > (fc->fl->single_worker ? UNREAD_MAX : 0);
}

/* May end fc. */
static void data_came(struct front_conn *fc)
{
	if (fc->life == FRONT_IDLE && owes_reading(fc)) {
		link_pause(fc->link, true); /* on_written goes on */
		return;
	}
	if (fc->life == FRONT_IDLE && fc->link->in.len > 0) {
		fc->life = FRONT_ACTIVE;
		if (!fc->refused) /* else the time that it has runs on */
			timer_stop(&fc->timer);
	}
	if (fc->life == FRONT_ACTIVE && knows_proto(fc))
		fc->proto->data(fc);
}

static void go_on_run(struct turn_item *item)
{
	data_came(container_of(item, struct front_conn, turn));
}

static void on_data(struct link *l)
{
	struct front_conn *fc = l->owner;

	if (fc->life != FRONT_LINGER) {
		data_came(fc);
		return;
	}
	fc->dropped += l->in.len;
	cc_buf_clear(&l->in);
	if (fc->dropped > LINGER_MAX)
		front_close(fc);
}

/* Of a client that sends no more. shutdown(SHUT_WR) behind its requests: it waits for responses. */
static bool awaits_response(struct front_conn *fc)
{
	switch (fc->life) {
	case FRONT_IDLE:
		return fc->link->in.len > 0;
	case FRONT_ACTIVE:
		return fc->proto && fc->proto->eof(fc);
	case FRONT_LINGER: /* the rest of the response still goes out, the timer bounds it */
		return fc->link->out.len > 0;
	case FRONT_CLOSED:
		break;
	}
	return false;
}

static void on_eof(struct link *l, bool clean)
{
	struct front_conn *fc = l->owner;

	(void)clean;
	if (!awaits_response(fc) || link_peer_gone(l))
		front_close(fc);
}

static void on_error(struct link *l, int err)
{
	(void)err;
	front_close(l->owner);
}

static void on_written(struct link *l, size_t n)
{
	struct front_conn *fc = l->owner;

	(void)n;
	if (fc->proto)
		fc->proto->written(fc);
	if (fc->life == FRONT_LINGER && may_close(fc))
		front_close(fc);
	else if (fc->life == FRONT_LINGER)
		timer_start(fc->ctx, &fc->timer, l->out.len > 0 ? STALL_MS : LINGER_MS);
	else if (fc->life == FRONT_IDLE && l->paused && !owes_reading(fc))
		front_go_on(fc);
}

static void on_flush(struct link *l)
{
	struct front_conn *fc = l->owner;

	if (fc->proto && fc->proto->flush)
		fc->proto->flush(fc);
}

static const struct link_ops link_ops = {
	.on_data = on_data,
	.on_eof = on_eof,
	.on_error = on_error,
	.on_written = on_written,
	.on_flush = on_flush,
};

static void timer_fired(struct timer *t)
{
	struct front_conn *fc = container_of(t, struct front_conn, timer);

	if (fc->life != FRONT_ACTIVE || !fc->proto || link_peer_gone(fc->link))
		front_close(fc);
	else if (fc->link->paused)
		timer_start(fc->ctx, &fc->timer, LOOK_MS);
	else
		fc->proto->late(fc);
}

/* ---- from the worker ----------------------------------------------------- */

static struct front_conn *front_new(struct front_listener *fl, int fd, enum front_limit refused)
{
	struct front_conn *fc = mem_zalloc(fl->ctx, sizeof(*fc));

	if (!fc || link_new(fl->ctx, fd, NULL, &link_ops, fc, &fc->link) < 0) {
		mem_free(fl->ctx, fc);
		close(fd);
		return NULL;
	}
	fc->fl = fl;
	fc->ctx = fl->ctx;
	caller_init(&fc->caller, fd);
	timer_init(&fc->timer, timer_fired);
	turn_item_init(&fc->turn, go_on_run);
	list_add_tail(&fl->conns, &fc->node);
	fl->count++;
	fc->refused = refused;
	if (refused)
		fl->refused++;
	await_request(fc);
	return fc;
}

bool front_accept(struct front_listener *fl, int fd)
{
	if (!front_new(fl, fd, FRONT_NO_LIMIT))
		return false;
	fl->stats->clients_accepted++;
	return true;
}

bool front_refuse(struct front_listener *fl, int fd, enum front_limit limit)
{
	if (!front_new(fl, fd, limit))
		return false;
	fl->stats->clients_refused++;
	log_line(fl->log, LOG_LEVEL_WARNING, "client refused", "listener=%s limit=%s",
		fl->conf->name, front_limit_name(limit));
	return true;
}

bool front_accept_with(struct front_listener *fl, int fd, const void *bytes, size_t n)
{
	struct front_conn *fc = front_new(fl, fd, FRONT_NO_LIMIT);

	if (!fc)
		return false;
	if (cc_buf_add(&fc->link->in, bytes, n) < 0) {
		front_close(fc);
		return true;
	}
	front_go_on(fc);
	return true;
}

static void drain_one(struct front_conn *fc)
{
	/* Bytes that wait unread in the socket are a request that must not be lost. */
	bool asks = fc->life != FRONT_IDLE || fc->link->in.len > 0 || link_readable(fc->link);

	if (asks && fc->life == FRONT_ACTIVE && fc->proto && fc->proto->drain)
		fc->proto->drain(fc);
	if (asks)
		return;
	if (fc->proto)
		front_linger(fc);
	else /* it connected a moment ago, in order to ask */
		timer_start(fc->ctx, &fc->timer, DRAIN_GRACE_MS);
}

void front_drain(struct front_listener *fl)
{
	fl->draining = true;
	list_each (l, tmp, &fl->conns)
		drain_one(container_of(l, struct front_conn, node));
}

void front_close_all(struct front_listener *fl)
{
	list_each (l, tmp, &fl->conns)
		front_close(container_of(l, struct front_conn, node));
}
