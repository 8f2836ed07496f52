/*
 * client.c - one client connection, its server and its owner both driven by
 * the input (client.h).
 *
 * The server is a table of system calls: its bytes come out of an array.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <clientconn.h>
#include <clientconn/buf.h>
#include <clientconn/head.h>

#include "lib/net/io.h"
#include "tests/fuzz/client.h"
#include "tests/fuzz/fuzz_ctx.h"

#define INPUT_MAX 4096u
#define WIRE_MAX  (64u << 10)

enum act { ACT_NONE, ACT_CANCEL, ACT_CLOSE, ACT_FREE, ACT_DRAIN, ACT_BEGIN };

struct request {
	struct fuzz *f;
	struct cc_req *req; /* NULL: never begun, ended, cancelled */
	bool head, is_head, body_open;
	unsigned status;
	int64_t length; /* of the answer, as its head says; -1: not said */
	uint64_t taken;
};

struct fuzz {
	const struct fuzz_client *kind;
	struct cc_ctx *ctx;
	struct cc_transport *transport;
	struct cc_conn *conn; /* NULL: freed */
	struct request requests[FUZZ_REQUESTS];
	size_t begun;
	unsigned reserved;
	bool in_call; /* a function of the API runs: no callback may come */
	bool told_closed, unhooked;
	enum cc_state state; /* the last that was seen */
	uint64_t completed;
	enum cc_state told_state; /* what the hook saw last */
	uint64_t told_completed;
	enum act act;   /* in the next callback */
	unsigned leave; /* bytes of a body that on_body does not take */
	bool keep;      /* on_body does not say consumed */
	long live;      /* blocks of memory */
	unsigned fail_in;
	uint64_t clock; /* us */
};

/* The server's side. The calls of the table have no argument for it. */
static struct {
	void (*hear)(const void *p, size_t n);
	char wire[WIRE_MAX]; /* what it says */
	size_t pos, end, piece;
	bool eof, broken, stuck;
	int fds[2];
} server;

/* ---- the table of system calls ----------------------------------------- */

/* A real one, that libevent can watch: a byte that nobody takes keeps it readable. */
static int fuzz_socket(int domain, int type, int protocol)
{
	(void)domain, (void)type, (void)protocol;
	return dup(server.fds[0]);
}

static int fuzz_connect(int fd, const struct sockaddr *addr, socklen_t len)
{
	(void)fd, (void)addr, (void)len;
	return 0;
}

static ssize_t fuzz_recv(int fd, void *buf, size_t n)
{
	size_t left = server.end - server.pos;

	(void)fd;
	if (left == 0) {
		if (server.eof)
			return 0;
		errno = server.broken ? ECONNRESET : EAGAIN;
		return -1;
	}
	n = n < left ? n : left;
	n = n < server.piece ? n : server.piece;
	memcpy(buf, server.wire + server.pos, n);
	server.pos += n;
	return (ssize_t)n;
}

static ssize_t fuzz_sendmsg(int fd, const struct msghdr *msg)
{
	size_t n = 0;

	(void)fd;
	if (server.broken || server.stuck) {
		errno = server.broken ? EPIPE : EAGAIN;
		return -1;
	}
	for (size_t i = 0; i < msg->msg_iovlen && n < server.piece; i++) {
		size_t part = msg->msg_iov[i].iov_len;

		part = part < server.piece - n ? part : server.piece - n;
		if (part > 0)
			server.hear(msg->msg_iov[i].iov_base, part);
		n += part;
	}
	return (ssize_t)n;
}

static int fuzz_shutdown(int fd, int how)
{
	(void)fd, (void)how;
	return 0;
}

static const struct io fuzz_io = {
	fuzz_socket, fuzz_connect, fuzz_recv, fuzz_sendmsg, fuzz_shutdown, close};

void say(const void *p, size_t n)
{
	if (server.pos == server.end)
		server.pos = server.end = 0;
	if (n > WIRE_MAX - server.end)
		return;
	memcpy(server.wire + server.end, p, n);
	server.end += n;
}

/* ---- memory and time --------------------------------------------------- */

static bool runs_out(struct fuzz *f)
{
	return f->fail_in > 0 && --f->fail_in == 0;
}

static void *fuzz_alloc(size_t n, void *arg)
{
	struct fuzz *f = arg;
	void *p = runs_out(f) ? NULL : malloc(n);

	f->live += p != NULL;
	return p;
}

static void *fuzz_resize(void *old, size_t n, void *arg)
{
	struct fuzz *f = arg;
	void *p = runs_out(f) ? NULL : realloc(old, n);

	f->live += !old && p;
	return p;
}

static void fuzz_release(void *p, void *arg)
{
	((struct fuzz *)arg)->live -= p != NULL;
	free(p);
}

static uint64_t fuzz_clock(void *arg)
{
	return ((struct fuzz *)arg)->clock;
}

/* ---- the owner --------------------------------------------------------- */

static void check(struct fuzz *f)
{
	const struct cc_conn *c = f->conn;
	struct cc_counts now;

	if (!c)
		return;
	cc_conn_counts(c, &now);
	FUZZ_ASSERT(now.request_limit == now.requests_completed + now.in_flight + now.available);
	FUZZ_ASSERT(now.requests_completed == cc_conn_requests_completed(c));
	FUZZ_ASSERT(now.in_flight == cc_conn_in_flight(c));
	FUZZ_ASSERT(now.waiting == 0 || cc_conn_state(c) <= CC_READY);
	FUZZ_ASSERT((cc_conn_state(c) >= CC_DRAINING) == (cc_conn_reason(c) != CC_REASON_NONE));
	FUZZ_ASSERT(cc_conn_state(c) >= f->state);
	FUZZ_ASSERT(cc_conn_requests_completed(c) >= f->completed);
	FUZZ_ASSERT(cc_conn_state(c) == CC_READY || cc_conn_available(c) == 0);
	FUZZ_ASSERT(cc_conn_state(c) != CC_CLOSED || cc_conn_in_flight(c) == 0);
	FUZZ_ASSERT((cc_conn_state(c) == CC_CLOSED) == (cc_conn_err(c) != 0));
	FUZZ_ASSERT(strlen(cc_conn_detail(c)) < 1000);
	f->state = cc_conn_state(c);
	f->completed = cc_conn_requests_completed(c);
}

static void begin(struct fuzz *f, uint8_t how);

static void forget_all(struct fuzz *f)
{
	f->conn = NULL;
	for (size_t i = 0; i < f->begun; i++)
		f->requests[i].req = NULL;
}

static void cancel(struct request *r)
{
	struct cc_req *req = r->req;

	if (!req)
		return;
	r->req = NULL;
	cc_req_cancel(req);
}

/* What may be done outside of callbacks may be done in them. */
static void do_act(struct fuzz *f, enum act act, struct request *r)
{
	bool outer = f->in_call;

	if (!f->conn)
		return;
	f->in_call = true;
	switch (act) {
	case ACT_NONE:
		break;
	case ACT_CANCEL:
		if (r)
			cancel(r);
		break;
	case ACT_CLOSE:
		cc_conn_close(f->conn);
		break;
	case ACT_FREE:
		cc_conn_free(f->conn);
		forget_all(f);
		break;
	case ACT_DRAIN:
		cc_conn_drain(f->conn);
		break;
	case ACT_BEGIN:
		begin(f, 0);
		break;
	}
	f->in_call = outer;
	check(f);
}

static void in_callback(struct fuzz *f, struct request *r)
{
	enum act act = f->act;

	f->act = ACT_NONE;
	check(f);
	do_act(f, act, r);
}

static void on_state(struct cc_conn *conn, void *arg)
{
	struct fuzz *f = arg;

	FUZZ_ASSERT(!f->in_call && conn == f->conn && !f->told_closed && !f->unhooked);
	unsigned changes = cc_conn_changes(conn);

	f->told_closed = cc_conn_state(conn) == CC_CLOSED;
	FUZZ_ASSERT(changes != 0 && f->told_closed == !!(changes & CC_CHANGED_CLOSED));
	FUZZ_ASSERT(cc_conn_requests_completed(conn) == f->told_completed ||
		    (changes & CC_CHANGED_COMPLETED));
	f->told_state = cc_conn_state(conn);
	f->told_completed = cc_conn_requests_completed(conn);
	if (f->told_closed) /* the ends of the requests were told before */
		for (size_t i = 0; i < f->begun; i++)
			FUZZ_ASSERT(!f->requests[i].req);
	in_callback(f, NULL);
}

static void on_info(struct cc_req *req, const struct cc_head *head, void *arg)
{
	struct request *r = arg;

	FUZZ_ASSERT(!r->f->in_call && req == r->req && !r->head);
	FUZZ_ASSERT(cc_head_status(head) / 100 == 1 && cc_head_status(head) != 101);
	in_callback(r->f, r);
}

static void on_head(struct cc_req *req, const struct cc_head *head, void *arg)
{
	struct request *r = arg;

	FUZZ_ASSERT(!r->f->in_call && req == r->req && !r->head);
	FUZZ_ASSERT(cc_head_status(head) >= 200 && cc_head_status(head) <= 999);
	r->head = true;
	r->status = cc_head_status(head);
	r->length = cc_head_content_length(head);
	in_callback(r->f, r);
}

static void on_body(struct cc_req *req, struct cc_buf *body, void *arg)
{
	struct request *r = arg;
	struct fuzz *f = r->f;
	size_t n = body->len > f->leave ? body->len - f->leave : 0;

	FUZZ_ASSERT(!f->in_call && req == r->req && r->head && body->len > 0);
	r->taken += n;
	cc_buf_drain(body, n);
	if (!f->keep)
		cc_req_consumed(req, n);
	in_callback(f, r);
}

static void on_room(struct cc_req *req, void *arg)
{
	struct request *r = arg;

	FUZZ_ASSERT(!r->f->in_call && req == r->req);
	in_callback(r->f, r);
}

static void on_done(struct cc_req *req, const struct cc_result *res, void *arg)
{
	struct request *r = arg;

	FUZZ_ASSERT(!r->f->in_call && req == r->req);
	r->req = NULL;
	FUZZ_ASSERT((res->err == 0) == (res->phase == CC_PHASE_COMPLETE));
	FUZZ_ASSERT(res->err != 0 || r->head);
	FUZZ_ASSERT(!res->unprocessed || (!r->head && res->err < 0));
	FUZZ_ASSERT(r->taken <= res->received);
	/* RFC 9113 8.1.1: a whole answer has the length that it said. */
	if (res->err == 0 && !r->is_head && r->length >= 0 && r->status != 204 && r->status != 304)
		FUZZ_ASSERT(res->received == (uint64_t)r->length);
	in_callback(r->f, NULL);
}

static const struct cc_req_ops req_ops = {
	.size = sizeof(struct cc_req_ops),
	.on_info = on_info,
	.on_head = on_head,
	.on_body = on_body,
	.on_room = on_room,
	.on_done = on_done,
};

#define METHOD(how) (2 & (how) ? CC_STR("HEAD") : 1 & (how) ? CC_STR("POST") : CC_STR("GET"))

/* More than fit into the usual place, one of them secret. */
static bool fill_more(struct cc_head *h)
{
	bool ok = cc_head_add(h, CC_STR("authorization"), CC_STR("Basic eDp5")) == 0;

	for (int i = 0; ok && i < 70; i++)
		ok = cc_head_add(h, CC_STR("x-more"), CC_STR("1")) == 0;
	return ok;
}

static bool fill_head(struct cc_head *h, uint8_t how)
{
	return cc_head_set_request(h, METHOD(how), CC_STR("http"), CC_STR("a.test"), CC_STR("/")) ==
	               0 &&
	       cc_head_add(h, CC_STR("x-field"), CC_STR("value")) == 0 &&
	       (!(how & 16) || cc_head_add(h, CC_STR("content-length"), CC_STR("512")) == 0) &&
	       (!(how & 32) || cc_head_add(h, CC_STR("expect"), CC_STR("100-continue")) == 0) &&
	       (!(how & 64) || cc_head_add(h, CC_STR("connection"), CC_STR("close")) == 0) &&
	       (!(how & 128) || fill_more(h));
}

static void begin(struct fuzz *f, uint8_t how)
{
	struct request *r = &f->requests[f->begun];
	unsigned flags = how & 1 ? 0 : CC_RT_END_STREAM;
	struct cc_head *h;

	if (!f->conn || f->begun == FUZZ_REQUESTS || !(h = cc_head_new(f->ctx)))
		return;
	flags |= how & 4 ? CC_RT_NOWAIT : 0;
	if (how & 8 && f->reserved > 0) {
		flags |= CC_RT_RESERVED;
		f->reserved--;
	}
	*r = (struct request){
		.f = f, .is_head = how & 2, .body_open = !(flags & CC_RT_END_STREAM), .length = -1};
	if (fill_head(h, how) && cc_conn_round_trip(f->conn, h, flags, &req_ops, r, &r->req) == 0)
		f->begun++;
	cc_head_free(h);
}

static void send_body(struct request *r, size_t n, uint8_t how)
{
	static const char zeros[256];
	struct cc_head *trailers;
	struct cc_buf body;

	if (!r->req || !r->body_open)
		return;
	if (how & 2) {
		trailers = cc_head_new(r->f->ctx);
		if (trailers && cc_head_add(trailers, CC_STR("x-sum"), CC_STR("1")) == 0 &&
			cc_req_send_trailers(r->req, trailers) == 0)
			r->body_open = false;
		cc_head_free(trailers);
		return;
	}
	cc_buf_init(&body, r->f->ctx);
	while (n-- > 0 && cc_req_room(r->req) > body.len)
		if (cc_buf_add(&body, zeros, sizeof(zeros)) < 0)
			break;
	if (cc_req_send(r->req, &body, how & 1) == 0 && (how & 1))
		r->body_open = false;
	cc_buf_clear(&body);
}

/* Nothing may follow the end of a body; of a request that is over nobody looks at it. */
static void send_behind_end(struct request *r)
{
	struct cc_head *trailers;
	struct cc_buf body;
	int err;

	if (!r->req || r->body_open)
		return;
	cc_buf_init(&body, r->f->ctx);
	if (cc_buf_add(&body, "", 1) == 0) {
		err = cc_req_send(r->req, &body, false);
		FUZZ_ASSERT(err == CC_EINVAL || (err == 0 && body.len == 0));
	}
	cc_buf_clear(&body);
	trailers = cc_head_new(r->f->ctx);
	if (trailers) {
		err = cc_req_send_trailers(r->req, trailers);
		FUZZ_ASSERT(err == CC_EINVAL || err == 0);
	}
	cc_head_free(trailers);
}

/* What happens without a hook is told to the next one. */
static void toggle_hook(struct fuzz *f)
{
	f->unhooked = !f->unhooked;
	cc_conn_set_state_hook(f->conn, f->unhooked ? NULL : on_state, f);
}

/* ---- the script -------------------------------------------------------- */

uint8_t take(struct script *s)
{
	if (s->n == 0)
		return 0;
	s->n--;
	return *s->p++;
}

struct script take_some(struct script *s, size_t n)
{
	struct script part = {s->p, n < s->n ? n : s->n};

	s->p += part.n;
	s->n -= part.n;
	return part;
}

/* What was left for the end of the turn has happened: all was told, nobody waits without need. */
static void check_settled(const struct fuzz *f)
{
	const struct cc_conn *c = f->conn;

	if (!c || f->unhooked)
		return;
	FUZZ_ASSERT(f->told_state == cc_conn_state(c));
	FUZZ_ASSERT(f->told_completed == cc_conn_requests_completed(c));
	FUZZ_ASSERT(cc_conn_waiting(c) == 0 || cc_conn_available(c) == 0);
}

#define TURNS_MAX 16 /* until a turn is through that has more rounds than one may have */

static void loop(struct fuzz *f, int times)
{
	for (int i = 0; i < times || (f->ctx->turn.armed && i < times + TURNS_MAX); i++) {
		event_base_loop(f->ctx->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
		check(f);
	}
	check_settled(f);
}

static void pass_time(struct fuzz *f, uint64_t ms)
{
	f->clock += ms * 1000;
	f->ctx->now = 0;
	timers_run(f->ctx);
	loop(f, 2);
}

static void world_step(struct fuzz *f, uint8_t a)
{
	static const unsigned ms[] = {1, 100, 5000, 10000, 60000, 1000000};

	switch (a & 7) {
	case 0:
		server.eof = true;
		break;
	case 1:
		server.broken = true;
		break;
	case 2:
		server.stuck = !server.stuck;
		break;
	case 3:
		server.piece = (a >> 3) ? a >> 3 : WIRE_MAX;
		break;
	case 4:
		f->fail_in = 1 + (a >> 3);
		break;
	default:
		pass_time(f, ms[(a >> 3) % 6]);
	}
}

static void owner_step(struct fuzz *f, struct script *s, uint8_t what)
{
	uint8_t a = take(s);
	struct request *r = &f->requests[a % FUZZ_REQUESTS];

	if (!f->conn)
		return;
	f->in_call = true;
	switch ((what & 0x3f) % 10) {
	case 0:
	case 1:
		begin(f, a);
		break;
	case 2:
		cancel(r);
		break;
	case 3:
		send_body(r, take(s), a >> 4);
		break;
	case 4:
		if (r->req)
			cc_req_consumed(r->req, take(s) * 64u);
		break;
	case 5:
		if (a & 1)
			f->reserved += cc_conn_reserve(f->conn) == 0;
		else if (f->reserved > 0 && f->reserved--)
			cc_conn_release(f->conn);
		break;
	case 6:
		f->act = (enum act)(a % 6);
		f->leave = (a >> 4) * 16u;
		f->keep = a & 8;
		break;
	case 7:
		do_act(f, (enum act)(a % 6), r);
		break;
	case 8:
		send_behind_end(r);
		break;
	case 9:
		toggle_hook(f);
		break;
	}
	f->in_call = false;
	check(f);
}

static void play(struct fuzz *f, struct script *s)
{
	while (s->n > 0) {
		uint8_t what = take(s);

		switch (what >> 6) {
		case 0:
			f->kind->server_step(s, what);
			break;
		case 1:
			owner_step(f, s, what);
			break;
		case 2:
			world_step(f, take(s));
			break;
		case 3:
			loop(f, 1 + what % 4);
			break;
		}
	}
	loop(f, 4);
}

/* ---- start and end ----------------------------------------------------- */

static bool open_conn(struct fuzz *f, struct event_base *base, uint8_t how)
{
	struct cc_mem mem = {fuzz_alloc, fuzz_resize, fuzz_release, f};
	struct cc_ctx_opts opts = {.size = sizeof(opts), .base = base, .mem = &mem};
	struct cc_transport_opts to = {.size = sizeof(to),
		.offer = f->kind->offer,
		.window = 4096,
		.max_head = 1024,
		.max_concurrent = 6,
		.max_requests = how & 1 ? 2 : 0,
		.max_age = how & 2 ? 7000 : 0,
		.ping_after = how & 4 ? 1000 : 0,
		.idle_timeout = how & 8 ? CC_NEVER : 0,
		.stale_after = how & 16 ? CC_NEVER : 0};

	FUZZ_ASSERT(cc_ctx_new(&opts, &f->ctx) == 0);
	f->ctx->clock = fuzz_clock;
	f->ctx->clock_arg = f;
	f->ctx->io = &fuzz_io;
	FUZZ_ASSERT(cc_transport_new(f->ctx, &to, &f->transport) == 0);
	return cc_transport_new_client_conn(
		       f->transport, "http", "unix:/fuzz", on_state, f, &f->conn) == 0;
}

static void close_conn(struct fuzz *f)
{
	f->fail_in = 0;
	f->act = ACT_NONE;
	if (f->conn)
		cc_conn_close(f->conn);
	loop(f, 4);
	for (size_t i = 0; i < f->begun; i++)
		FUZZ_ASSERT(!f->requests[i].req);
	FUZZ_ASSERT(!f->conn || f->told_closed || f->unhooked);
	cc_conn_free(f->conn);
	f->conn = NULL;
	loop(f, 2);
	cc_transport_free(f->transport);
	cc_ctx_free(f->ctx);
	FUZZ_ASSERT(f->live == 0);
}

static struct event_base *start(void)
{
	FUZZ_ASSERT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, server.fds) == 0);
	FUZZ_ASSERT(write(server.fds[1], "", 1) == 1);
	return event_base_new();
}

int fuzz_client(const struct fuzz_client *kind, const uint8_t *bytes, size_t n)
{
	static struct event_base *base;
	struct fuzz f = {.kind = kind, .clock = 1000000000};
	struct script s = {bytes, n};

	if (n > INPUT_MAX)
		return 0;
	if (!base)
		base = start();
	server.hear = kind->hear;
	server.pos = server.end = 0;
	server.piece = WIRE_MAX;
	server.eof = server.broken = server.stuck = false;
	kind->begin();
	FUZZ_ASSERT(open_conn(&f, base, take(&s)));
	loop(&f, 2);
	play(&f, &s);
	close_conn(&f);
	kind->end();
	return 0;
}
