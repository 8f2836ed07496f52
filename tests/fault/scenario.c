/* scenario.c - exchanges written down beforehand, and one run of them. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include <openssl/ssl.h>

#include "lib/base/ctx.h"
#include "tests/fault/scenario.h"

#define LARGE     320000u
#define H2_CHUNK  16000u
#define H2_WINDOW 65536u
#define WAIT_MAX  60 /* s: then something hangs */

/* ---- writing a scenario ------------------------------------------------ */

static void ask(struct scenario *s, const char *method, const char *fields, const char *body,
	const char *trailers, const char *ends)
{
	ck_assert_uint_lt(s->asks_n, ASKS_MAX);
	s->asks[s->asks_n++] =
		(struct ask){method, fields, body, trailers, ends, false, NEVER, NEVER};
}

static void ask_get(struct scenario *s)
{
	ask(s, "GET", NULL, NULL, NULL, "\r\n\r\n");
}

static void when(struct scenario *s, enum wait_for wait, size_t n)
{
	ck_assert_uint_lt(s->steps_n, STEPS_MAX);
	s->steps[s->steps_n++] = (struct step){wait, n, s->pen.tape_len};
}

static void head_here(struct scenario *s, unsigned i)
{
	s->asks[i].head_at = s->pen.tape_len;
}

static void end_here(struct scenario *s, unsigned i)
{
	s->asks[i].end_at = s->pen.tape_len;
}

/* Letters that differ from place to place, and an end that can be told. */
static char *letters(size_t n)
{
	char *text = malloc(n + 1);

	ck_assert_ptr_nonnull(text);
	for (size_t i = 0; i < n; i++)
		text[i] = (char)('a' + (i + i / 251) % 26);
	memcpy(text + n - 5, "<end>", 5);
	text[n] = '\0';
	return text;
}

/* ---- HTTP/1 ------------------------------------------------------------ */

static void h1_answer(struct scenario *s, unsigned i, const char *head, const char *body)
{
	peer_say(&s->pen, head);
	head_here(s, i);
	peer_say(&s->pen, body);
	end_here(s, i);
}

static void h1_get(struct scenario *s)
{
	ask_get(s);
	when(s, FOR_REQUESTS, 1);
	h1_answer(s, 0, "HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 5\r\n\r\n", "hello");
}

static void h1_two(struct scenario *s)
{
	ask_get(s);
	ask_get(s);
	when(s, FOR_REQUESTS, 1);
	h1_answer(s, 0, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
		"5\r\nhello\r\n0\r\nC: d\r\n\r\n");
	when(s, FOR_REQUESTS, 2);
	h1_answer(s, 1, "HTTP/1.1 404 No\r\nContent-Length: 2\r\n\r\n", "no");
}

static void h1_post(struct scenario *s)
{
	ask(s, "POST", NULL, "question", "t: u\n", "0\r\nt: u\r\n\r\n");
	when(s, FOR_REQUESTS, 1);
	peer_say(&s->pen, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\n");
	h1_answer(s, 0, "HTTP/1.1 201 Made\r\nContent-Length: 6\r\n\r\n", "answer");
}

static void h1_empty(struct scenario *s)
{
	ask_get(s);
	ask_get(s);
	when(s, FOR_REQUESTS, 1);
	h1_answer(s, 0, "HTTP/1.1 204 Nothing\r\n\r\n", "");
	when(s, FOR_REQUESTS, 2);
	h1_answer(s, 1, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 3\r\n\r\n", "bye");
}

static void h1_until_close(struct scenario *s)
{
	ask_get(s);
	when(s, FOR_REQUESTS, 1);
	h1_answer(s, 0, "HTTP/1.1 200 OK\r\n\r\n", "as long as it takes");
	s->until_close = true;
}

static void h1_large(struct scenario *s)
{
	static char fields[64];

	snprintf(fields, sizeof(fields), "content-length: %u\n", LARGE);
	s->large = letters(LARGE);
	ask(s, "POST", fields, s->large, NULL, "<end>");
	when(s, FOR_REQUESTS, 1);
	peer_say(&s->pen, "HTTP/1.1 200 OK\r\nContent-Length: 320000\r\n\r\n");
	head_here(s, 0);
	peer_say(&s->pen, s->large);
	end_here(s, 0);
}

/* ---- HTTP/2 ------------------------------------------------------------ */

static uint32_t stream_of(unsigned i)
{
	return 2 * i + 1;
}

static void h2_hello(struct scenario *s)
{
	s->h2 = true;
	when(s, FOR_REQUESTS, 0);
	h2_setting(&s->pen, H2_MAX_STREAMS, 10);
	h2_send(&s->pen, H2_SETTINGS, H2_ACK, 0, "", 0);
}

static void h2_head(struct scenario *s, unsigned i, int status, bool end)
{
	h2_respond(&s->pen, stream_of(i), status, "a: b\n", end);
	head_here(s, i);
	if (end)
		end_here(s, i);
}

static void h2_body(struct scenario *s, unsigned i, const char *text, bool end)
{
	h2_data(&s->pen, stream_of(i), text, end);
	if (end)
		end_here(s, i);
}

static void h2_get(struct scenario *s)
{
	h2_hello(s);
	ask_get(s);
	when(s, FOR_REQUESTS, 1);
	h2_head(s, 0, 200, false);
	h2_body(s, 0, "hello", true);
}

static void h2_post(struct scenario *s)
{
	h2_hello(s);
	ask(s, "POST", NULL, "question", "t: u\n", NULL);
	when(s, FOR_REQUESTS, 1);
	h2_respond(&s->pen, 1, 103, "link: x\n", false);
	h2_head(s, 0, 201, false);
	h2_body(s, 0, "answer", false);
	h2_respond(&s->pen, 1, 0, "c: d\n", true);
	end_here(s, 0);
}

static void h2_two(struct scenario *s)
{
	h2_hello(s);
	ask_get(s);
	ask(s, "POST", NULL, "question", NULL, NULL);
	when(s, FOR_REQUESTS, 2);
	h2_head(s, 1, 200, false);
	h2_head(s, 0, 200, false);
	h2_body(s, 1, "hel", false);
	h2_body(s, 0, "good", false);
	h2_body(s, 1, "lo", true);
	h2_body(s, 0, "bye", true);
}

static void h2_leave(struct scenario *s)
{
	h2_hello(s);
	ask_get(s);
	ask_get(s);
	when(s, FOR_REQUESTS, 2);
	h2_head(s, 0, 200, false);
	h2_goaway(&s->pen, 1, H2_NO_ERROR);
	s->asks[1].refused = true;
	end_here(s, 1);
	h2_body(s, 0, "last", true);
}

static void h2_refuse(struct scenario *s)
{
	h2_hello(s);
	ask_get(s);
	ask_get(s);
	ask_get(s);
	when(s, FOR_REQUESTS, 3);
	h2_reset(&s->pen, 1, H2_REFUSED_STREAM);
	s->asks[0].refused = true;
	end_here(s, 0);
	h2_head(s, 1, 200, false);
	h2_reset(&s->pen, 3, H2_INTERNAL_ERROR);
	end_here(s, 1);
	h2_head(s, 2, 204, true);
}

/* Never more than the client allowed: each piece waits until the window has room for it. */
static void h2_large(struct scenario *s)
{
	uint32_t more = htonl(1u << 20);

	s->window = H2_WINDOW;
	h2_hello(s);
	h2_setting(&s->pen, H2_INITIAL_WINDOW, 1u << 20);
	h2_send(&s->pen, H2_WINDOW_UPDATE, 0, 0, &more, 4);
	s->large = letters(LARGE);
	ask(s, "POST", NULL, s->large, NULL, NULL);
	when(s, FOR_REQUESTS, 1);
	h2_head(s, 0, 200, false);
	for (size_t at = 0; at < LARGE; at += H2_CHUNK) {
		if (at + H2_CHUNK > H2_WINDOW)
			when(s, FOR_CREDIT, at + H2_CHUNK - H2_WINDOW);
		h2_send(&s->pen, H2_DATA, at + H2_CHUNK < LARGE ? 0 : H2_END_STREAM, 1,
			s->large + at, H2_CHUNK);
	}
	end_here(s, 0);
}

static const struct {
	const char *name;
	void (*write)(struct scenario *s);
} scenarios[SCENARIO_COUNT] = {
	[SCENARIO_H1_GET] = {"h1 get", h1_get},
	[SCENARIO_H1_TWO] = {"h1 two", h1_two},
	[SCENARIO_H1_POST] = {"h1 post", h1_post},
	[SCENARIO_H1_EMPTY] = {"h1 empty", h1_empty},
	[SCENARIO_H1_UNTIL_CLOSE] = {"h1 until close", h1_until_close},
	[SCENARIO_H1_LARGE] = {"h1 large", h1_large},
	[SCENARIO_H2_GET] = {"h2 get", h2_get},
	[SCENARIO_H2_POST] = {"h2 post", h2_post},
	[SCENARIO_H2_TWO] = {"h2 two", h2_two},
	[SCENARIO_H2_GOAWAY] = {"h2 goaway", h2_leave},
	[SCENARIO_H2_RESET] = {"h2 reset", h2_refuse},
	[SCENARIO_H2_LARGE] = {"h2 large", h2_large},
};

struct scenario *scenario_new(enum scenario_id id)
{
	struct scenario *s = calloc(1, sizeof(*s));

	ck_assert_ptr_nonnull(s);
	s->name = scenarios[id].name;
	s->pen.writes = true;
	scenarios[id].write(s);
	return s;
}

void scenario_free(struct scenario *s)
{
	free(s->large);
	free(s->pen.tape);
	free(s);
}

struct way way_tls(void)
{
	struct ssl_ctx_st *server = peer_tls_server("DNS:api.example.test", 30);

	return (struct way){.tls = true, .server = server, .trust = peer_tls_client(server)};
}

void way_free(struct way *w)
{
	SSL_CTX_free(w->server);
	SSL_CTX_free(w->trust);
}

/* ---- the peer: what it sees --------------------------------------------- */

/* The request whose path, "/0", "/1" ..., is in these bytes; without one the next in order. */
static size_t which(const char *p, size_t n, size_t next)
{
	for (size_t i = 0; i + 1 < n && i < 100; i++) {
		if (p[i] == '/' && p[i + 1] >= '0' && p[i + 1] < '0' + ASKS_MAX)
			return (size_t)(p[i + 1] - '0');
	}
	return next < ASKS_MAX ? next : ASKS_MAX - 1;
}

static void see_h1(struct run *r)
{
	struct origin *o = &r->origin;
	const struct peer *p = r->c.peer;

	while (o->requests < r->s->asks_n && p->in_len > o->at) {
		const char *ends = r->s->asks[o->requests].ends;
		size_t n = strlen(ends);
		const char *found = memmem(p->in + o->at, p->in_len - o->at, ends, n);

		o->seen[which(p->in + o->begin, p->in_len - o->begin, o->requests)] = true;
		if (!found) { /* what was looked at cannot hold the beginning of the end */
			if (p->in_len - o->at > n)
				o->at = p->in_len - n;
			return;
		}
		o->begin = o->at = (size_t)(found - p->in) + n;
		o->requests++;
	}
}

/* The n bytes behind the head of a frame; whole: that is all of it. */
static void see_frame(struct run *r, const unsigned char *head, size_t n, bool whole)
{
	struct origin *o = &r->origin;
	unsigned type = head[3];
	size_t stream = (size_t)head[7] << 8 | head[8];
	uint32_t credit;

	if (type == H2_HEADERS)
		o->seen[which((const char *)head + 9, n, stream / 2)] = true;
	if (!whole)
		return;
	if ((type == H2_HEADERS || type == H2_DATA) && (head[4] & H2_END_STREAM))
		o->requests++;
	if (type == H2_WINDOW_UPDATE && stream > 0) {
		memcpy(&credit, head + 9, 4);
		o->credit += ntohl(credit);
	}
}

#define PREFACE 24u

static void see_h2(struct run *r)
{
	struct origin *o = &r->origin;
	const struct peer *p = r->c.peer;

	o->torn = false;
	if (o->at == 0 && p->in_len >= PREFACE)
		o->at = PREFACE;
	while (o->at >= PREFACE && p->in_len >= o->at + 9) {
		const unsigned char *b = (const unsigned char *)p->in + o->at;
		size_t n = ((size_t)b[0] << 16 | (size_t)b[1] << 8 | b[2]) + 9;
		size_t there = p->in_len - o->at < n ? p->in_len - o->at : n;

		see_frame(r, b, there - 9, there == n);
		if (there < n)
			return;
		o->at += n;
	}
	o->torn = p->in_len > o->at;
}

/* ---- the peer: what it says ---------------------------------------------- */

static size_t step_end(const struct scenario *s, unsigned i)
{
	return i + 1 < s->steps_n ? s->steps[i + 1].from : s->pen.tape_len;
}

size_t run_never_sent(const struct run *r)
{
	size_t n = 0;

	for (unsigned i = 0; i < r->s->asks_n; i++)
		n += r->refused[i] < 0 ||
		     (r->probes[i].done > 0 && r->probes[i].result.unprocessed);
	return n;
}

static bool is_due(const struct run *r, const struct step *st)
{
	if (st->wait == FOR_CREDIT)
		return r->origin.credit >= st->n;
	/* On HTTP/2 an answer that nobody asked for does not disturb the others. */
	return r->origin.requests + (r->s->h2 ? run_never_sent(r) : 0) >= st->n;
}

static void leave(struct run *r, enum cut how)
{
	struct peer *p = r->c.peer;

	r->origin.over = true;
	if (how == CUT_RST)
		peer_reset(p);
	else if (how == CUT_CLOSE_NOTIFY)
		peer_finish(p);
	else
		shutdown(p->fd, SHUT_WR);
}

static void say(struct run *r)
{
	struct origin *o = &r->origin;
	const struct scenario *s = r->s;
	size_t most = r->way.cut == CUT_NONE ? NEVER : r->way.cut_at;

	while (!o->over && o->said < most && o->step < s->steps_n &&
		is_due(r, &s->steps[o->step])) {
		size_t end = step_end(s, o->step), n = (end < most ? end : most) - o->said;
		ssize_t put = n > 0 ? peer_try(r->c.peer, s->pen.tape + o->said, n) : 0;

		if (put < 0) {
			o->over = errno != EAGAIN;
			return;
		}
		o->said += (size_t)put;
		if (o->said == end)
			o->step++;
	}
	if (o->over)
		return;
	if (o->said >= most)
		leave(r, r->way.cut);
	else if (s->until_close && o->step == s->steps_n)
		leave(r, CUT_CLOSE_NOTIFY);
}

static bool is_there(const struct peer *p)
{
	return p->fd >= 0 && (!p->ssl || SSL_is_init_finished(p->ssl));
}

/* ---- the client -------------------------------------------------------- */

static int end_of_body(struct run *r, unsigned i)
{
	struct memory before = *r->c.memory;
	struct cc_head *h;
	int err;

	r->c.memory->fail_at = 0;
	h = cc_head_new(r->c.ctx);
	ck_assert(h && cc_head_add(h, CC_STR("t"), CC_STR("u")) == 0);
	r->c.memory->fail_at = before.fail_at;
	r->c.memory->allocs = before.allocs;
	err = cc_req_send_trailers(r->probes[i].req, h);
	cc_head_free(h);
	return err;
}

/* A request that cannot be sent whole is given up, as any owner would. */
static int submit(struct run *r, unsigned i)
{
	const struct ask *a = &r->s->asks[i];
	const char path[] = {'/', (char)('0' + i), '\0'};
	struct probe *p = &r->probes[i];
	unsigned flags = a->body ? 0 : CC_RT_END_STREAM;
	int err;

	if (r->way.give_up && i == 0)
		p->on_body = ACT_CANCEL;
	if (r->way.reserve && i == 0 && cc_conn_reserve(r->c.conn) == 0)
		flags |= CC_RT_RESERVED;
	err = round_trip(&r->c, p, a->method, path, a->fields, flags);
	if (err < 0 || !a->body)
		return err;
	err = send_body(p, a->body, !a->trailers);
	if (err == 0 && a->trailers)
		err = end_of_body(r, i);
	if (err < 0) {
		cc_req_cancel(p->req);
		p->req = NULL;
	}
	return err;
}

static void listen_at(struct run *r)
{
	struct event_base *base = event_base_new();
	struct peer *p = r->way.tcp ? peer_tcp(base) : peer_unix(base);

	if (r->way.tls)
		peer_use_tls(p, r->way.server, r->s->h2 ? "h2" : "http/1.1");
	if (r->way.by_name) {
		char port[8];

		snprintf(port, sizeof(port), "%s", strrchr(p->address, ':'));
		snprintf(p->address, sizeof(p->address), "localhost%s", port);
	}
	r->c.peer = p;
}

void run_begin(struct run *r, const struct scenario *s, const struct way *way)
{
	struct cc_transport_opts opts = {
		.tls = way->trust, .tls_name = "api.example.test", .window = s->window};
	int err;

	*r = (struct run){.s = s, .way = *way};
	listen_at(r);
	err = client_init(&r->c, r->c.peer, s->h2 ? CC_OFFER_H2 : CC_OFFER_H1, &opts, way->oom_at);
	if (err == 0 && way->io)
		r->c.ctx->io = &io_faulty;
	if (err == 0)
		err = client_dial(&r->c, way->tls ? "https" : "http");
	r->dialled = err == 0;
	for (unsigned i = 0; i < s->asks_n; i++) {
		if (err == 0)
			err = submit(r, i);
		r->refused[i] = err;
	}
}

void run_turn(struct run *r)
{
	turns(r->c.base, 1);
	if (!is_there(r->c.peer))
		return;
	if (r->s->h2)
		see_h2(r);
	else
		see_h1(r);
	say(r);
}

/* One that was cancelled is over without a word. */
static bool is_over(const struct run *r, unsigned i)
{
	const struct probe *p = &r->probes[i];

	return r->refused[i] < 0 || p->done > 0 || (p->on_body == ACT_CANCEL && !p->req);
}

bool run_is_over(const struct run *r)
{
	for (unsigned i = 0; i < r->s->asks_n; i++) {
		if (!is_over(r, i))
			return false;
	}
	return true;
}

static double seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

const char *run_text(const struct run *r)
{
	static char text[256];
	const struct io_faults *f = &io_faults;
	const struct way *w = &r->way;
	int n = snprintf(text, sizeof(text), "%s%s%s", r->s->name, w->tls ? ", TLS" : "",
		w->tcp ? ", TCP" : "");

	if (w->cut != CUT_NONE)
		snprintf(text + n, sizeof(text) - (size_t)n, ", cut %d behind %zu", w->cut,
			w->cut_at);
	else if (w->io)
		snprintf(text + n, sizeof(text) - (size_t)n,
			", call %d number %lu errno %d, recv %zu, send %zu, seed %u", f->fail_call,
			f->fail_at, f->fail_errno, f->recv_max, f->send_max, f->seed);
	else
		snprintf(text + n, sizeof(text) - (size_t)n, ", allocation %lu", w->oom_at);
	return text;
}

void run_until_over(struct run *r)
{
	double most = seconds() + WAIT_MAX;

	while (!run_is_over(r)) {
		run_turn(r);
		ck_assert_msg(seconds() < most, "%s hangs", run_text(r));
	}
}

/* What the kernel holds for the peer counts as seen as well. */
static void see_the_rest(struct run *r)
{
	double most = seconds() + PEER_WAIT_MAX;

	r->origin.over = true;
	while (r->c.peer->fd >= 0 && !r->c.peer->eof && seconds() < most)
		run_turn(r);
}

void run_end(struct run *r)
{
	struct client *c = &r->c;

	if (r->dialled) {
		for (int i = 0; i < 3; i++)
			run_turn(r);
		r->conn_err = cc_conn_err(c->conn);
		snprintf(r->detail, sizeof(r->detail), "%s", cc_conn_detail(c->conn));
		cc_conn_close(c->conn);
		turns(c->base, 2);
		ck_assert_uint_eq(c->hooks_closed, 1);
		see_the_rest(r);
	}
	for (unsigned i = 0; i < r->s->asks_n; i++)
		ck_assert(is_over(r, i) && r->probes[i].done <= (r->refused[i] == 0));
	c->memory->fail_at = 0;
	client_close(c);
	if (r->way.io)
		ck_assert_int_eq(io_faults.open, 0);
}

void run_forget(struct run *r)
{
	for (unsigned i = 0; i < ASKS_MAX; i++)
		probe_free(&r->probes[i]);
}

static bool is_same_answer(const struct probe *p, const struct probe *q)
{
	return p->infos == q->infos && p->info_status == q->info_status && p->status == q->status &&
	       strcmp(p->fields, q->fields) == 0 && strcmp(p->trailers, q->trailers) == 0 &&
	       p->body_len == q->body_len &&
	       (p->body_len == 0 || memcmp(p->body, q->body, p->body_len) == 0) &&
	       p->result.err == q->result.err && p->result.phase == q->result.phase &&
	       p->result.received == q->result.received;
}

bool run_is_same(const struct run *r, const struct run *as, unsigned i)
{
	const struct probe *p = &r->probes[i], *q = &as->probes[i];
	const struct cc_result *a = &p->result, *b = &q->result;

	return r->refused[i] == as->refused[i] && is_same_answer(p, q) &&
	       a->unprocessed == b->unprocessed && a->proto_error == b->proto_error &&
	       a->sent == b->sent;
}

/* One before it was never sent, so the peer gives that one's answer to this one. */
static bool is_shifted(const struct run *r, unsigned i)
{
	for (unsigned j = 0; j < i; j++) {
		const struct cc_result *res = &r->probes[j].result;

		if (r->refused[j] < 0 || (res->err == CC_ENOMEM && res->unprocessed))
			return true;
	}
	return false;
}

static bool is_whole(const struct run *r, const struct run *whole, unsigned i)
{
	bool some = false;

	for (unsigned j = 0; j < i; j++)
		some |= is_same_answer(&r->probes[i], &whole->probes[j]);
	return run_is_same(r, whole, i) || (is_shifted(r, i) && (some || r->way.give_up));
}

void run_check_ends(const struct run *r, const struct run *whole)
{
	for (unsigned i = 0; i < r->s->asks_n; i++) {
		const struct cc_result *res = &r->probes[i].result;

		if (r->refused[i] < 0)
			continue;
		if (r->probes[i].done > 0 && res->err == 0)
			ck_assert_msg(is_whole(r, whole, i),
				"%s: request %u is not whole and not an error", run_text(r), i);
		else if (res->err != CC_EREFUSED || !(r->s->asks[i].refused || is_shifted(r, i)))
			ck_assert_msg(!res->unprocessed || !r->origin.seen[i],
				"%s: request %u was seen but is called unprocessed, error %d",
				run_text(r), i, res->err);
	}
}
