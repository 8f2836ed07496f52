/*
 * front_h1.c - local clients that speak HTTP/1.1 (RFC 9112).
 *
 *   IDLE ──first byte──> HEAD ──head──> BUSY ──answer and request complete──> IDLE
 *                          │              └──anything that cannot go on──> LINGER ──> gone
 *
 * One request at a time: what a client pipelines waits in link->in until the
 * answer before it is written, so answers come in order by themselves. While a
 * request is BUSY the socket is still watched: a client that hangs up stops
 * its upstream request.
 *
 * With several workers an upstream has one as its home, so that its limits stay
 * exact. A client whose request is for an upstream of another home goes there
 * whole: the bytes of the head are kept (raw) until it is known.
 *
 * A client that is refused for want of room has its request read like any other, because an answer
 * that comes before it may be lost; it has a second for it.
 *
 * LINGER: the answer is out and the write side shut, but the client may still
 * be sending. Closing now could reset the connection under the answer, so what
 * comes is read and dropped for a moment.
 */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <clientconn.h>
#include <clientconn/head.h>

#include "daemon/base/caller.h"
#include "daemon/base/conf.h"
#include "daemon/base/local_reply.h"
#include "daemon/base/log.h"
#include "daemon/base/service.h"
#include "daemon/front/front.h"
#include "lib/base/ctx.h"
#include "lib/base/str.h"
#include "lib/codec/h1_codec.h"
#include "lib/net/link.h"

/* Percent of the buffers in use up to which clients are read. Heads are small, and 503 needs one. */
#define HEADS_UNTIL    97u
#define BODIES_UNTIL   90u
#define PIPELINE_MAX   65536u /* bytes of further requests held while one is busy */
#define STALL_MS       60000  /* the rest of an answer that closes does not move for so long */
#define LINGER_MS      1000
#define REFUSED_MS     1000       /* for the request of a client that is refused */
#define LOOK_MS        1000       /* is the client that is not read from still there? */
#define DRAIN_GRACE_MS 1000       /* for the first request of a client that has just connected */
#define LINGER_MAX     (1u << 20) /* bytes dropped before the patience ends */
#define TARGET_MAX     16384u

enum front_state { FRONT_IDLE, FRONT_HEAD, FRONT_BUSY, FRONT_LINGER, FRONT_CLOSED };

struct front_conn {
	struct list node; /* in listener->conns */
	struct front_listener *fl;
	struct cc_ctx *ctx;
	struct link *link;
	struct caller caller;
	enum front_state state;
	struct cc_buf raw;        /* the head's bytes so far, unless there is one worker */
	struct h1_parser *parser; /* while not idle */
	struct cc_head *head;     /* being built; then the service's */
	void *call;               /* of the service, while BUSY and the answer is not complete */
	size_t owed;              /* answer body bytes in link->out not yet told to the service */
	size_t dropped;           /* while lingering */
	enum h1_framing framing;  /* of the answer */
	bool request_done;        /* all of it was parsed */
	bool answer_begun, answer_done;
	bool head_method; /* the request was HEAD */
	bool http10;
	bool keep;        /* the client allows another request */
	bool half_closed; /* the client sends no more, but waits for its answer */
	bool asked;       /* it has sent a request */
	bool sent_all;    /* and nothing of it is left unread: closing resets nothing */
	enum front_limit refused;
	struct timer timer;    /* header, idle or linger time, by state */
	struct turn_item turn; /* goes on with pipelined bytes; frees */
};

static void front_parse(struct front_conn *fc);

/* ---- ends -------------------------------------------------------------- */

static void free_run(struct turn_item *item)
{
	struct front_conn *fc = container_of(item, struct front_conn, turn);
	struct front_listener *fl = fc->fl;
	bool refused = fc->refused != FRONT_NO_LIMIT;

	link_free(fc->link);
	h1_parser_free(fc->parser);
	cc_head_free(fc->head);
	cc_buf_clear(&fc->raw);
	list_del(&fc->node);
	fl->count--;
	if (refused)
		fl->refused--;
	caller_clear(&fc->caller);
	mem_free(fc->ctx, fc);
	fl->owner->left(fl, refused);
}

static void call_gone(struct front_conn *fc)
{
	if (fc->call)
		fc->fl->service->gone(fc->call);
	fc->call = NULL;
}

static void front_close(struct front_conn *fc)
{
	if (fc->state == FRONT_CLOSED)
		return;
	fc->state = FRONT_CLOSED;
	timer_stop(&fc->timer);
	call_gone(fc);
	link_close(fc->link);
	turn_cancel(&fc->turn);
	fc->turn.run = free_run;
	turn_add(fc->ctx, TURN_REAP, &fc->turn);
}

static bool may_close(const struct front_conn *fc)
{
	return fc->link->out.len == 0 && (fc->link->eof || fc->sent_all);
}

static void linger(struct front_conn *fc)
{
	fc->state = FRONT_LINGER;
	cc_buf_drain(&fc->link->in, fc->link->in.len);
	link_shutdown(fc->link);
	link_pause(fc->link, false);
	if (may_close(fc)) {
		front_close(fc);
		return;
	}
	timer_start(fc->ctx, &fc->timer, fc->link->out.len > 0 ? STALL_MS : LINGER_MS);
}

static void rest(struct front_conn *fc)
{
	uint64_t timeout = fc->refused ? REFUSED_MS : fc->fl->conf->idle_timeout;

	fc->link->read_until = HEADS_UNTIL;
	h1_parser_free(fc->parser); /* an idle client holds as little as possible */
	fc->parser = NULL;
	fc->state = FRONT_IDLE;
	timer_stop(&fc->timer);
	if (timeout > 0)
		timer_start(fc->ctx, &fc->timer, timeout);
}

static void go_on_run(struct turn_item *item)
{
	struct front_conn *fc = container_of(item, struct front_conn, turn);

	if (fc->state == FRONT_IDLE)
		front_parse(fc);
}

/* The next request may be parsed; from the turn, so that answers do not nest. */
static void read_on(struct front_conn *fc)
{
	link_pause(fc->link, false);
	if (fc->link->in.len > 0)
		turn_add(fc->ctx, TURN_NOTIFY, &fc->turn);
}

/* Is the request at hand the last one, for reasons of our own or of the client's FIN? */
static bool ends_after(const struct front_conn *fc)
{
	return fc->fl->draining || (fc->half_closed && fc->link->in.len == 0);
}

/* Request and answer are complete, or the answer is and the request cannot be. */
static void exchange_over(struct front_conn *fc)
{
	fc->owed = 0;
	link_flush(fc->link);
	if (!fc->request_done || !fc->keep || ends_after(fc)) {
		linger(fc);
		return;
	}
	rest(fc);
	read_on(fc);
}

/* ---- answers ----------------------------------------------------------- */

static void broken_write(struct front_conn *fc)
{
	front_close(fc); /* no memory for the answer: what is out must not look whole */
}

static void ex_info(void *stream, const struct cc_head *head)
{
	struct front_conn *fc = stream;
	struct h1_write w = {.framing = H1_FRAME_NONE};

	if (fc->http10) /* RFC 9110 15.2: a 1.0 client does not know 1xx */
		return;
	if (h1_write_response(&fc->link->out, head, &w) < 0)
		broken_write(fc);
	else
		link_flush(fc->link);
}

/* RFC 9112 6.3 */
static enum h1_framing framing_of(
	const struct front_conn *fc, const struct cc_head *head, int64_t length)
{
	unsigned status = cc_head_status(head);

	if (fc->head_method || status == 304)
		return H1_FRAME_AS_IS;
	if (status == 204)
		return H1_FRAME_NONE;
	if (length >= 0)
		return H1_FRAME_LENGTH;
	return fc->http10 ? H1_FRAME_EOF : H1_FRAME_CHUNKED;
}

static void ex_head(void *stream, const struct cc_head *head)
{
	struct front_conn *fc = stream;
	int64_t length = cc_head_content_length(head);
	struct h1_write w = {.framing = framing_of(fc, head, length)};

	if (w.framing == H1_FRAME_LENGTH)
		w.length = (uint64_t)length;
	if (w.framing == H1_FRAME_EOF || ends_after(fc) ||
		(!fc->request_done && cc_head_status(head) >= 400))
		fc->keep = false;
	fc->answer_begun = true;
	w.close = !fc->keep;
	w.keep_alive = fc->keep && fc->http10;
	fc->framing = w.framing;
	if (h1_write_response(&fc->link->out, head, &w) < 0)
		broken_write(fc);
	else
		link_flush(fc->link);
}

static void ex_body(void *stream, struct cc_buf *body)
{
	struct front_conn *fc = stream;
	size_t n = body->len;
	int err;

	if (fc->framing == H1_FRAME_NONE || fc->framing == H1_FRAME_AS_IS) {
		cc_buf_clear(body); /* our own answer to HEAD */
		return;
	}
	if (fc->framing == H1_FRAME_CHUNKED)
		err = h1_write_chunk(&fc->link->out, body);
	else
		err = cc_buf_move(&fc->link->out, body, n);
	if (err < 0) {
		broken_write(fc);
		return;
	}
	fc->owed += n;
	link_flush(fc->link);
}

static void ex_end(void *stream, const struct cc_head *trailers)
{
	struct front_conn *fc = stream;

	fc->call = NULL;
	fc->answer_done = true;
	if (fc->framing == H1_FRAME_CHUNKED && h1_write_last_chunk(&fc->link->out, trailers) < 0) {
		broken_write(fc);
		return;
	}
	exchange_over(fc);
}

static void ex_cut(void *stream)
{
	struct front_conn *fc = stream;

	fc->call = NULL;
	front_close(fc);
}

static void ex_room(void *stream)
{
	struct front_conn *fc = stream;

	link_pause(fc->link, false);
	front_parse(fc); /* without bytes, too: the end of the body may be what is left */
}

static const struct stream_ops stream_ops = {
	.info = ex_info,
	.head = ex_head,
	.body = ex_body,
	.end = ex_end,
	.cut = ex_cut,
	.room = ex_room,
};

/* The daemon's own answer to a request that no service has got. false: no memory. */
static bool reply(struct front_conn *fc, const struct answer *a)
{
	struct cc_head *head = cc_head_new(fc->ctx);
	struct cc_buf body;
	bool built;

	fc->fl->stats->rejected_by[a->reason]++;
	if (a->status >= 500)
		log_line(fc->fl->log, LOG_LEVEL_NOTICE, "request failed",
			"upstream=- status=%u error=%s detail=\"%s\"", a->status, a->error,
			a->detail);
	cc_buf_init(&body, fc->ctx);
	built = head && answer_build(a, head, &body) == 0;
	if (built) {
		ex_head(fc, head);
		if (fc->state != FRONT_CLOSED)
			ex_body(fc, &body);
		if (fc->state != FRONT_CLOSED)
			ex_end(fc, NULL);
	}
	cc_buf_clear(&body);
	cc_head_free(head);
	return built;
}

/* It is sent, and the end. */
static void refuse_with(struct front_conn *fc, const struct answer *a)
{
	fc->keep = false;
	fc->request_done = true; /* nothing more of it is parsed */
	fc->state = FRONT_BUSY;
	timer_stop(&fc->timer);
	if (!reply(fc, a))
		front_close(fc);
}

/* A request that is none: answered and closed (RFC 9112 2.2, 9.3). */
static void refuse(struct front_conn *fc, unsigned status, const char *detail)
{
	struct answer a = {.status = status, .error = "http_request_error", .detail = detail};

	fc->fl->stats->bad_requests++;
	log_line(fc->fl->log, LOG_LEVEL_INFO, "request refused",
		"listener=%s status=%u detail=\"%s\"", fc->fl->conf->name, status, detail);
	refuse_with(fc, &a);
}

const char *front_limit_name(enum front_limit limit)
{
	return limit == FRONT_MAX_CLIENTS ? "max_clients" : "LimitNOFILE";
}

static void refuse_for_room(struct front_conn *fc)
{
	struct answer a = {
		.status = 503,
		.error = "proxy_internal_limit",
		.reason =
			fc->refused == FRONT_MAX_CLIENTS ? REJECT_MAX_CLIENTS : REJECT_DESCRIPTORS,
		.detail = fc->refused == FRONT_MAX_CLIENTS
	                          ? "all places for local connections are taken: max_clients"
	                          : "no file descriptor is left: LimitNOFILE",
		.limit = front_limit_name(fc->refused),
		.retry_after = 1,
		.retry_safe = true,
	};

	fc->sent_all = !h1_parser_has_body(fc->parser) && fc->link->in.len == 0;
	refuse_with(fc, &a);
}

/* ---- requests ---------------------------------------------------------- */

static bool begin_request(struct front_conn *fc)
{
	const struct conf_listener *lc = fc->fl->conf;
	struct h1_limits limits = {
		.head = lc->max_header_size,
		.fields = lc->max_headers,
		.target = TARGET_MAX < lc->max_header_size ? TARGET_MAX : 0,
	};

	fc->parser = h1_parser_new(fc->ctx, H1_REQUEST, &limits);
	fc->head = cc_head_new(fc->ctx);
	if (!fc->parser || !fc->head)
		return false;
	h1_parser_begin(fc->parser, fc->head);
	fc->state = FRONT_HEAD;
	fc->asked = true;
	fc->request_done = fc->answer_begun = fc->answer_done = fc->head_method = fc->http10 =
		false;
	if (fc->refused) /* the time that it has runs on */
		return true;
	timer_stop(&fc->timer);
	return true;
}

/* Most heads come in one piece: only the others need a timer. */
static void await_head(struct front_conn *fc)
{
	uint64_t timeout = fc->fl->conf->header_timeout;

	if (fc->state == FRONT_HEAD && timeout > 0 && !timer_running(&fc->timer))
		timer_start(fc->ctx, &fc->timer, timeout);
}

/* The client is another worker's from now on. */
static void hand_over(struct front_conn *fc, unsigned worker)
{
	struct front_listener *fl = fc->fl;

	if (cc_buf_move(&fc->raw, &fc->link->in, fc->link->in.len) == 0) {
		int fd = link_detach(fc->link); /* before it is another thread's to close */

		if (!fl->owner->hand_over(fl, worker, fd, &fc->raw))
			close(fd);
	}
	front_close(fc);
}

static void begin_call(struct front_conn *fc, const struct conf_upstream *up)
{
	struct service_request r = {
		.head = fc->head,
		.up = up,
		.caller = &fc->caller,
		.end_stream = !h1_parser_has_body(fc->parser),
		.expects = h1_parser_expects_continue(fc->parser),
	};

	fc->head = NULL;
	fc->call = fc->fl->service->begin(fc->fl->server, &r, &stream_ops, fc);
	if (!fc->call)
		front_close(fc);
}

static void head_came(struct front_conn *fc)
{
	struct cc_str method = cc_head_method(fc->head);
	struct front_home home = {.here = true};

	if (!fc->refused)
		home = fc->fl->owner->home_of(fc->fl, fc->head);
	if (!home.here && !fc->fl->draining) {
		hand_over(fc, home.worker);
		return;
	}
	cc_buf_clear(&fc->raw);
	timer_stop(&fc->timer);
	fc->state = FRONT_BUSY;
	fc->link->read_until = BODIES_UNTIL;
	fc->http10 = h1_parser_minor(fc->parser) == 0;
	/* CONNECT is refused, and what follows it was meant for a tunnel. */
	fc->keep = h1_parser_keep_alive(fc->parser) && !str_is(method, "CONNECT");
	fc->head_method = str_is(method, "HEAD");
	if (fc->refused)
		refuse_for_room(fc);
	else
		begin_call(fc, home.up);
}

static void body_came(struct front_conn *fc, const char *data, size_t len)
{
	struct cc_buf part;

	if (!fc->call)
		return;
	cc_buf_init(&part, fc->ctx);
	if (buf_add_slice(&part, &fc->link->in, data, len) < 0) {
		front_close(fc);
		return;
	}
	fc->fl->service->body(fc->call, &part, false);
	cc_buf_clear(&part);
}

static void request_came(struct front_conn *fc)
{
	struct cc_head *trailers = h1_parser_trailers(fc->parser);
	struct cc_buf none;

	fc->request_done = true;
	if (!fc->call) {
		if (fc->answer_done)
			exchange_over(fc);
		return;
	}
	if (!h1_parser_has_body(fc->parser))
		return;
	if (trailers) {
		fc->fl->service->trailers(fc->call, trailers);
		return;
	}
	cc_buf_init(&none, fc->ctx);
	fc->fl->service->body(fc->call, &none, true);
}

/* Bad bytes: an answer if none began, else the connection breaks off. */
static void bad_request(struct front_conn *fc)
{
	const struct h1_error *e = h1_parser_error(fc->parser);

	if (!fc->answer_begun) {
		call_gone(fc);
		refuse(fc, e->status, e->reason);
		return;
	}
	log_line(fc->fl->log, LOG_LEVEL_INFO, "request broken off", "listener=%s detail=\"%s\"",
		fc->fl->conf->name, e->reason);
	front_close(fc);
}

/* Reads no more for now. A client that leaves meanwhile is looked for, as no read tells. */
static void hold(struct front_conn *fc)
{
	link_pause(fc->link, true);
	timer_start(fc->ctx, &fc->timer, LOOK_MS);
}

/* May more of the request be parsed now? */
static bool wants_bytes(struct front_conn *fc)
{
	if (fc->state == FRONT_HEAD)
		return true;
	if (fc->state != FRONT_BUSY)
		return false;
	if (fc->request_done) {
		if (fc->link->in.len >= PIPELINE_MAX)
			hold(fc);
		return false;
	}
	if (fc->call && fc->fl->service->room(fc->call) == 0) {
		hold(fc);
		return false;
	}
	return true;
}

static void event_came(struct front_conn *fc, enum h1_event ev, const char *data, size_t len)
{
	switch (ev) {
	case H1_MORE:
		break;
	case H1_HEAD:
		head_came(fc);
		break;
	case H1_BODY:
		body_came(fc, data, len);
		break;
	case H1_END:
		request_came(fc);
		break;
	case H1_ERROR:
		bad_request(fc);
		break;
	}
}

/* Parsed bytes go; those of a head are kept while it may be another worker's. */
static bool take_bytes(struct front_conn *fc, size_t n)
{
	if (fc->fl->single_worker || fc->state != FRONT_HEAD) {
		cc_buf_drain(&fc->link->in, n);
	} else if (cc_buf_move(&fc->raw, &fc->link->in, n) < 0) {
		front_close(fc);
		return false;
	}
	return true;
}

static void front_parse(struct front_conn *fc)
{
	struct cc_buf *in = &fc->link->in;

	if (fc->state == FRONT_IDLE &&
		fc->link->out.len > (fc->fl->single_worker ? PIPELINE_MAX : 0)) {
		link_pause(fc->link, true); /* it asks and does not read: on_written goes on */
		return;
	}
	if (fc->state == FRONT_IDLE && in->len > 0 && !begin_request(fc)) {
		front_close(fc);
		return;
	}
	while (wants_bytes(fc)) {
		size_t n = 0, used = 0, len = 0;
		const char *data = NULL;
		const char *p = buf_first(in, &n);
		enum h1_event ev;

		/* Without input the parser may still hold an event: the end of a request without body. */
		ev = h1_parser_feed(fc->parser, p ? p : "", n, &used, &data, &len);
		if (ev != H1_BODY) { /* a body event points into the bytes */
			if (!take_bytes(fc, used))
				return;
			used = 0;
		}
		if (ev == H1_MORE && in->len == 0) {
			if (fc->link->eof)
				front_close(fc);
			else
				await_head(fc);
			return;
		}
		event_came(fc, ev, data, len);
		cc_buf_drain(in, used);
	}
}

/* ---- the link ---------------------------------------------------------- */

static void on_data(struct link *l)
{
	struct front_conn *fc = l->owner;

	if (fc->state == FRONT_LINGER) {
		fc->dropped += l->in.len;
		cc_buf_clear(&l->in);
		if (fc->dropped > LINGER_MAX)
			front_close(fc);
		return;
	}
	front_parse(fc);
}

static void on_eof(struct link *l, bool clean)
{
	struct front_conn *fc = l->owner;

	(void)clean;
	/* shutdown(SHUT_WR) behind a request: its answer is awaited, and those of what it pipelined. */
	if (((fc->state == FRONT_BUSY && fc->request_done) ||
		    (fc->state == FRONT_IDLE && l->in.len > 0)) &&
		!link_peer_gone(l)) {
		fc->half_closed = true;
		return;
	}
	if (fc->state == FRONT_LINGER && l->out.len > 0 && !link_peer_gone(l))
		return; /* the rest of the answer still goes out, the timer bounds it */
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
	size_t left = l->out.len;

	(void)n;
	if (fc->call && fc->owed > left) { /* out holds framing, too: never credits too much */
		size_t gone = fc->owed - left;

		fc->owed = left;
		fc->fl->service->sent(fc->call, gone);
	}
	if (fc->state == FRONT_LINGER && may_close(fc))
		front_close(fc);
	else if (fc->state == FRONT_LINGER)
		timer_start(fc->ctx, &fc->timer, left > 0 ? STALL_MS : LINGER_MS);
	else if (fc->state == FRONT_IDLE && l->paused &&
		 left <= (fc->fl->single_worker ? PIPELINE_MAX : 0))
		read_on(fc);
}

static const struct link_ops ops = {
	.on_data = on_data,
	.on_eof = on_eof,
	.on_error = on_error,
	.on_written = on_written,
};

static void timer_fired(struct timer *t)
{
	struct front_conn *fc = container_of(t, struct front_conn, timer);

	if (fc->state == FRONT_HEAD) {
		refuse(fc, 408, "the request head did not arrive within header_timeout");
	} else if (fc->state == FRONT_BUSY && !link_peer_gone(fc->link)) {
		if (fc->link->paused)
			timer_start(fc->ctx, &fc->timer, LOOK_MS);
	} else {
		front_close(fc);
	}
}

/* ---- life -------------------------------------------------------------- */

static struct front_conn *front_new(struct front_listener *fl, int fd, enum front_limit refused)
{
	struct cc_ctx *ctx = fl->ctx;
	struct front_conn *fc = mem_zalloc(ctx, sizeof(*fc));

	if (!fc || link_new(ctx, fd, NULL, &ops, fc, &fc->link) < 0) {
		mem_free(ctx, fc);
		close(fd);
		return NULL;
	}
	fc->fl = fl;
	fc->ctx = ctx;
	caller_init(&fc->caller, fd);
	cc_buf_init(&fc->raw, ctx);
	timer_init(&fc->timer, timer_fired);
	turn_item_init(&fc->turn, go_on_run);
	list_add_tail(&fl->conns, &fc->node);
	fl->count++;
	fc->refused = refused;
	if (refused)
		fl->refused++;
	rest(fc);
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
	read_on(fc);
	return true;
}

void front_drain(struct front_listener *fl)
{
	fl->draining = true;
	list_each (l, tmp, &fl->conns) {
		struct front_conn *fc = container_of(l, struct front_conn, node);

		/* Bytes that wait unread in the socket are a request that must not be lost. */
		if (fc->state != FRONT_IDLE || fc->link->in.len > 0 || link_readable(fc->link))
			continue;
		if (fc->asked)
			linger(fc);
		else /* it connected a moment ago, in order to ask */
			timer_start(fc->ctx, &fc->timer, DRAIN_GRACE_MS);
	}
}

void front_close_all(struct front_listener *fl)
{
	list_each (l, tmp, &fl->conns)
		front_close(container_of(l, struct front_conn, node));
}
