/*
 * relay.c - one call that begins in the worker of its client and is answered in another one.
 *
 *   client's worker   begin ── body*, trailers, sent* ──────────> gone
 *   home's worker     info*, head, body*, room* ──────────> end
 *
 * Each worker has a side of the call and touches no other; begin fills it before it is sent. A side
 * is over when it has said so (gone, end) or heard it from the other, and ignores what comes later.
 * The memory goes with the last of both sides and of the messages that are on their way.
 *
 * How a call goes on costs memory, how it ends does not: begin, gone, end and the two counters are
 * part of it. When there is no memory the call is cut.
 */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <clientconn/buf.h>
#include <clientconn/head.h>

#include "daemon/base/caller.h"
#include "daemon/base/conf.h"
#include "daemon/base/flat_head.h"
#include "daemon/base/mailbox.h"
#include "daemon/base/service.h"
#include "daemon/worker/relay.h"

#define WINDOW 65536u /* bytes of a request's body that the home has no room for yet */

/* Bytes that were sent or taken since the message left; it is on its way while n is above 0. */
struct tally {
	struct message m;
	atomic_size_t n;
};

struct call {
	atomic_uint refs;

	/* Filled by begin. */
	struct relay *here, *home;
	struct caller caller;
	bool end_stream, expects;
	struct flat_head *head; /* of the request, until the home has it */
	char *name;             /* of the upstream */

	/* The client's side. */
	const struct stream_ops *ops; /* NULL: over */
	void *stream;
	size_t unacked; /* bytes of the request's body that the home has not made room for */
	bool wants_room;

	/* The home's side. */
	void *served;               /* the call of home->service; NULL: not begun, or over */
	struct list link;           /* in home->calls */
	size_t taken;               /* bytes that are still to be told as room */
	struct flat_head *trailers; /* end's */
	bool cut;                   /* end's: the response is not whole */

	struct message begin, gone, end;
	struct tally sent, room;
};

static void call_unref(struct call *c)
{
	if (atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) > 1)
		return;
	free(c->head);
	free(c->trailers);
	free(c->name);
	free(c);
}

/* ---- messages ------------------------------------------------------------ */

typedef void deliver_fn(struct message *m, void *arg);

/* Its receiver drops the reference that it holds. */
static void post(struct call *c, const struct relay *to, struct message *m, deliver_fn *deliver)
{
	atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
	m->deliver = deliver;
	mailbox_send(to->mailbox, m);
}

static void tally_add(
	struct call *c, const struct relay *to, struct tally *t, size_t n, deliver_fn *deliver)
{
	if (n > 0 && atomic_fetch_add(&t->n, n) == 0)
		post(c, to, &t->m, deliver);
}

/* A piece of a body, or a head. */
struct piece {
	struct message m;
	struct call *call;
	void (*unpack)(struct call *c, struct piece *p);
	struct flat_head *head;
	bool eos;
	size_t n;
	char bytes[];
};

static void piece_came(struct message *m, void *arg)
{
	struct piece *p = container_of(m, struct piece, m);
	struct call *c = p->call;

	(void)arg;
	p->unpack(c, p);
	free(p->head);
	free(p);
	call_unref(c);
}

typedef void unpack_fn(struct call *c, struct piece *p);

static bool send_head(
	struct call *c, const struct relay *to, const struct cc_head *head, unpack_fn *unpack)
{
	struct flat_head *flat = flat_head_of(head);
	struct piece *p = flat ? calloc(1, sizeof(*p)) : NULL;

	if (!p) {
		free(flat);
		return false;
	}
	p->call = c;
	p->unpack = unpack;
	p->head = flat;
	post(c, to, &p->m, piece_came);
	return true;
}

/* Takes all of body. */
static bool send_body(
	struct call *c, const struct relay *to, struct cc_buf *body, bool eos, unpack_fn *unpack)
{
	struct piece *p = malloc(sizeof(*p) + body->len);

	if (!p)
		return false;
	*p = (struct piece){.call = c, .unpack = unpack, .eos = eos, .n = body->len};
	cc_buf_peek(body, p->bytes, body->len);
	cc_buf_clear(body);
	post(c, to, &p->m, piece_came);
	return true;
}

/* ---- the home's side ------------------------------------------------------- */

static void end_came(struct message *m, void *arg);
static void room_came(struct message *m, void *arg);
static unpack_fn info_came, head_came, response_came;

/* The service has ended the call, or was told that it is over. */
static void leave_home(struct call *c)
{
	c->served = NULL;
	list_del(&c->link);
	call_unref(c);
}

static void home_cut(void *stream)
{
	struct call *c = stream;

	c->cut = true;
	post(c, c->here, &c->end, end_came);
	leave_home(c);
}

static void home_end(void *stream, const struct cc_head *trailers)
{
	struct call *c = stream;

	c->trailers = trailers ? flat_head_of(trailers) : NULL;
	c->cut = trailers && !c->trailers;
	post(c, c->here, &c->end, end_came);
	leave_home(c);
}

/* No memory. */
static void home_break(struct call *c)
{
	c->home->service->gone(c->served);
	home_cut(c);
}

static void home_info(void *stream, const struct cc_head *head)
{
	struct call *c = stream;

	if (!send_head(c, c->here, head, info_came))
		home_break(c);
}

static void home_head(void *stream, const struct cc_head *head)
{
	struct call *c = stream;

	if (!send_head(c, c->here, head, head_came))
		home_break(c);
}

static void home_body(void *stream, struct cc_buf *body)
{
	struct call *c = stream;

	if (!send_body(c, c->here, body, false, response_came))
		home_break(c);
}

static void home_room(void *stream)
{
	struct call *c = stream;

	tally_add(c, c->here, &c->room, c->taken, room_came);
	c->taken = 0;
}

static const struct stream_ops home_ops = {
	.info = home_info,
	.head = home_head,
	.body = home_body,
	.end = home_end,
	.cut = home_cut,
	.room = home_room,
};

static void begin_home(struct call *c)
{
	struct relay *home = c->home;
	struct service_request r = {
		.head = flat_head_build(home->ctx, c->head),
		.up = home->find(c->name, home->arg),
		.caller = &c->caller,
		.end_stream = c->end_stream,
		.expects = c->expects,
	};

	free(c->head);
	c->head = NULL;
	r.removed = !r.up;
	list_add_tail(&home->calls, &c->link);
	if (r.head)
		c->served = home->service->begin(home->server, &r, &home_ops, c);
	if (!c->served)
		home_cut(c);
}

static void begin_came(struct message *m, void *arg)
{
	struct call *c = container_of(m, struct call, begin);

	(void)arg;
	if (c->home->over)
		leave_home(c);
	else
		begin_home(c);
	call_unref(c);
}

static void body_came(struct call *c, struct piece *p)
{
	const struct service *service = c->home->service;
	struct cc_buf body;

	if (!c->served)
		return;
	cc_buf_init(&body, c->home->ctx);
	if (cc_buf_add(&body, p->bytes, p->n) < 0) {
		home_break(c);
		return;
	}
	service->body(c->served, &body, p->eos);
	cc_buf_clear(&body);
	c->taken += p->n;
	if (c->served && service->room(c->served) > 0)
		home_room(c);
}

static void trailers_came(struct call *c, struct piece *p)
{
	struct cc_head *trailers;

	if (!c->served)
		return;
	trailers = flat_head_build(c->home->ctx, p->head);
	if (trailers)
		c->home->service->trailers(c->served, trailers);
	else
		home_break(c);
	cc_head_free(trailers);
}

static void sent_came(struct message *m, void *arg)
{
	struct call *c = container_of(m, struct call, sent.m);
	size_t n = atomic_exchange(&c->sent.n, 0);

	(void)arg;
	if (c->served)
		c->home->service->sent(c->served, n);
	call_unref(c);
}

static void gone_came(struct message *m, void *arg)
{
	struct call *c = container_of(m, struct call, gone);

	(void)arg;
	if (c->served) {
		c->home->service->gone(c->served);
		leave_home(c);
	}
	call_unref(c);
}

void relay_end(struct relay *r)
{
	r->over = true;
	while (!list_empty(&r->calls)) /* one that ends may end another */
		home_break(container_of(r->calls.next, struct call, link));
}

/* ---- the client's side ------------------------------------------------------- */

static void leave_client(struct call *c)
{
	c->ops = NULL;
	call_unref(c);
}

static void relay_gone(void *call)
{
	struct call *c = call;

	post(c, c->home, &c->gone, gone_came);
	leave_client(c);
}

/* No memory. */
static void client_break(struct call *c)
{
	const struct stream_ops *ops = c->ops;
	void *stream = c->stream;

	relay_gone(c);
	ops->cut(stream);
}

static void head_for(
	struct call *c, struct piece *p, void (*tell)(void *stream, const struct cc_head *head))
{
	struct cc_head *head = flat_head_build(c->here->ctx, p->head);

	if (head)
		tell(c->stream, head);
	else
		client_break(c);
	cc_head_free(head);
}

static void info_came(struct call *c, struct piece *p)
{
	if (c->ops)
		head_for(c, p, c->ops->info);
}

static void head_came(struct call *c, struct piece *p)
{
	if (c->ops)
		head_for(c, p, c->ops->head);
}

static void response_came(struct call *c, struct piece *p)
{
	struct cc_buf body;

	if (!c->ops)
		return;
	cc_buf_init(&body, c->here->ctx);
	if (cc_buf_add(&body, p->bytes, p->n) < 0) {
		client_break(c);
		return;
	}
	c->ops->body(c->stream, &body);
	cc_buf_clear(&body);
}

static void end_came(struct message *m, void *arg)
{
	struct call *c = container_of(m, struct call, end);
	const struct stream_ops *ops = c->ops;
	struct cc_head *trailers;

	(void)arg;
	if (ops) {
		trailers = c->trailers ? flat_head_build(c->here->ctx, c->trailers) : NULL;
		leave_client(c);
		if (c->cut || (c->trailers && !trailers))
			ops->cut(c->stream);
		else
			ops->end(c->stream, trailers);
		cc_head_free(trailers);
	}
	call_unref(c);
}

static void room_came(struct message *m, void *arg)
{
	struct call *c = container_of(m, struct call, room.m);

	(void)arg;
	c->unacked -= atomic_exchange(&c->room.n, 0);
	if (c->ops && c->wants_room && c->unacked < WINDOW) {
		c->wants_room = false;
		c->ops->room(c->stream);
	}
	call_unref(c);
}

/* ---- from the front ----------------------------------------------------------- */

/* The kernel can be asked for the caller's groups in its own worker only: here it has none. */
static struct caller caller_for_home(const struct caller *from)
{
	return (struct caller){.fd = -1,
		.uid = from->uid,
		.gid = from->gid,
		.pid = from->pid,
		.groups_read = true};
}

static struct call *call_new(const struct relay_way *way, const struct service_request *r)
{
	struct call *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->here = way->from;
	c->home = way->to;
	c->head = flat_head_of(r->head);
	c->name = strdup(r->up->name);
	c->caller = caller_for_home(r->caller);
	c->end_stream = r->end_stream;
	c->expects = r->expects;
	list_init(&c->link);
	atomic_init(&c->refs, 1);
	if (c->head && c->name)
		return c;
	call_unref(c);
	return NULL;
}

static void *relay_begin(
	void *server, const struct service_request *r, const struct stream_ops *ops, void *stream)
{
	struct call *c = call_new(server, r);

	cc_head_free(r->head);
	if (!c)
		return NULL;
	c->ops = ops;
	c->stream = stream;
	atomic_store_explicit(&c->refs, 2, memory_order_relaxed); /* the sides */
	post(c, c->home, &c->begin, begin_came);
	return c;
}

static void relay_body(void *call, struct cc_buf *body, bool eos)
{
	struct call *c = call;

	c->unacked += body->len;
	if (!send_body(c, c->home, body, eos, body_came))
		client_break(c);
}

static void relay_trailers(void *call, const struct cc_head *trailers)
{
	struct call *c = call;

	if (!send_head(c, c->home, trailers, trailers_came))
		client_break(c);
}

static size_t relay_room(void *call)
{
	struct call *c = call;
	size_t room = c->unacked < WINDOW ? WINDOW - c->unacked : 0;

	c->wants_room = room == 0;
	return room;
}

static void relay_sent(void *call, size_t n)
{
	struct call *c = call;

	tally_add(c, c->home, &c->sent, n, sent_came);
}

const struct service relay_service = {
	.name = "relay",
	.begin = relay_begin,
	.body = relay_body,
	.trailers = relay_trailers,
	.room = relay_room,
	.sent = relay_sent,
	.gone = relay_gone,
};
