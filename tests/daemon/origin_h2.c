/*
 * origin_h2.c - the HTTP/2 side of the test origin: one nghttp2 server session for a connection,
 * each stream answered as its plan says.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "lib/codec/h2_glue.h"
#include "tests/daemon/origin_int.h"

struct h2_stream {
	struct h2_stream *next;
	struct h2_conn *conn;
	int32_t id;
	char method[32], path[256];
	struct plan plan;
	struct bytes head, body, text;
	EVP_MD_CTX *sha;
	uint64_t sent;
	uint64_t due;  /* ms: when to begin or go on; 0: not waiting */
	bool held;     /* until the test releases it */
	bool answered; /* the head was submitted */
};

struct h2_conn {
	struct origin_conn *oc;
	nghttp2_session *session;
	struct h2_stream *streams;
	bool quit;                               /* close as soon as output is out */
	bool leaving;                            /* close when the last stream has ended */
	bool noticed;                            /* the first of two GOAWAYs was sent */
	uint64_t goaway_due;                     /* ms: the second; 0: none */
	int32_t newest, last_one;                /* streams: seen, taken (0: no end) */
	unsigned requests, max_streams, goaways; /* sent so far, like the origin's */
};

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static nghttp2_nv nv(const char *name, const char *value)
{
	return (nghttp2_nv){.name = (uint8_t *)(uintptr_t)name,
		.namelen = strlen(name),
		.value = (uint8_t *)(uintptr_t)value,
		.valuelen = strlen(value)};
}

static struct h2_stream *stream_of(nghttp2_session *session, int32_t id)
{
	return nghttp2_session_get_stream_user_data(session, id);
}

static void stream_free(struct h2_stream *s)
{
	EVP_MD_CTX_free(s->sha);
	free(s->head.p);
	free(s->body.p);
	free(s->text.p);
	free(s);
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	struct h2_conn *c = arg;

	if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
		return 0;
	if (c->last_one && frame->hd.stream_id > c->last_one)
		return 0; /* behind the GOAWAY that is on its way */
	c->newest = frame->hd.stream_id;
	struct h2_stream *s = calloc(1, sizeof(*s));

	if (!s)
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	s->conn = c;
	s->id = frame->hd.stream_id;
	s->sha = sha_new();
	s->next = c->streams;
	c->streams = s;
	nghttp2_session_set_stream_user_data(session, s->id, s);
	return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
	size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags, void *arg)
{
	struct h2_stream *s = stream_of(session, frame->hd.stream_id);

	(void)arg, (void)flags;
	if (!s)
		return 0;
	bytes_add(&s->head, name, name_len);
	bytes_add(&s->head, ": ", 2);
	bytes_add(&s->head, value, value_len);
	bytes_add(&s->head, "\r\n", 2);
	if (name_len == 5 && memcmp(name, ":path", 5) == 0)
		snprintf(s->path, sizeof(s->path), "%.*s", (int)value_len, (const char *)value);
	if (name_len == 7 && memcmp(name, ":method", 7) == 0)
		snprintf(s->method, sizeof(s->method), "%.*s", (int)value_len, (const char *)value);
	return 0;
}

/* The end of what is sent of a body: whole, or what goes wrong. */
static nghttp2_ssize body_end(struct h2_stream *s, uint32_t *flags)
{
	const struct plan *p = &s->plan;

	if (p->stop == STOP_RESET)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	if (p->stop == STOP_STALL || p->stop == STOP_CLOSE) {
		s->conn->quit = p->stop == STOP_CLOSE;
		return NGHTTP2_ERR_DEFERRED;
	}
	*flags |= NGHTTP2_DATA_FLAG_EOF;
	if (p->trailers) {
		nghttp2_nv t = nv("x-checksum", "abc");

		*flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
		nghttp2_submit_trailer(s->conn->session, s->id, &t, 1);
	}
	return 0;
}

static nghttp2_ssize read_body(nghttp2_session *session, int32_t id, uint8_t *buf, size_t len,
	uint32_t *flags, nghttp2_data_source *source, void *arg)
{
	struct h2_stream *s = source->ptr;
	const struct plan *p = &s->plan;
	uint64_t all = p->stop != STOP_NEVER ? p->stop_at : p->length;
	uint64_t left = all - s->sent;

	(void)session, (void)id, (void)arg;
	if (left == 0)
		return body_end(s, flags);
	if (p->pace && s->sent && s->due == 0) {
		s->due = now_ms() + p->pace;
		return NGHTTP2_ERR_DEFERRED;
	}
	s->due = 0;
	if (p->pace && len > 1024)
		len = 1024;
	if (len > left)
		len = (size_t)left;
	if (p->text == TEXT_PATTERN)
		pattern_fill(buf, len, s->sent);
	else
		memcpy(buf, s->text.p + s->sent, len);
	s->sent += len;
	if (s->sent == p->length && p->stop == STOP_NEVER && !p->trailers)
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	return (nghttp2_ssize)len;
}

static void submit_head(struct h2_stream *s)
{
	struct plan *p = &s->plan;
	nghttp2_data_provider2 body = {.source.ptr = s, .read_callback = read_body};
	bool empty = strcmp(s->method, "HEAD") == 0 || p->status == 204 || p->status == 304;
	char status[16], length[32], conn[16], number[16];
	nghttp2_nv fields[6];
	size_t n = 0;

	snprintf(status, sizeof(status), "%u", p->status);
	snprintf(length, sizeof(length), "%llu", (unsigned long long)p->length);
	fields[n++] = nv(":status", status);
	fields[n++] = nv("x-origin", s->conn->oc->origin->opts.name);
	snprintf(conn, sizeof(conn), "%u", s->conn->oc->number);
	fields[n++] = nv("x-conn", conn);
	snprintf(number, sizeof(number), "%u", p->number);
	fields[n++] = nv("x-number", number);
	fields[n++] = nv("etag", "\"1\"");
	if (p->declared && p->status != 204)
		fields[n++] = nv("content-length", length);
	nghttp2_submit_response2(s->conn->session, s->id, fields, n, empty ? NULL : &body);
}

/* From here on no stream is taken. */
static void say_goaway(struct h2_conn *c)
{
	if (c->leaving)
		return;
	nghttp2_submit_goaway(c->session, 0, c->newest, NGHTTP2_NO_ERROR, NULL, 0);
	c->last_one = c->newest ? c->newest : 1;
	c->goaway_due = 0;
	c->leaving = true;
}

static void retire(struct h2_conn *c)
{
	if (!c->oc->origin->opts.gently) {
		say_goaway(c);
	} else if (!c->noticed) {
		c->noticed = true;
		nghttp2_submit_shutdown_notice(c->session);
		c->goaway_due = now_ms() + 20;
	}
}

static void stop_before_head(struct h2_stream *s)
{
	struct h2_conn *c = s->conn;

	switch (s->plan.stop) {
	case STOP_RESET:
		nghttp2_submit_rst_stream(c->session, 0, s->id, NGHTTP2_INTERNAL_ERROR);
		break;
	case STOP_REFUSE:
		nghttp2_submit_rst_stream(c->session, 0, s->id, NGHTTP2_REFUSED_STREAM);
		break;
	case STOP_CLOSE:
		c->quit = true;
		break;
	case STOP_GARBAGE:
		oc_say(c->oc, "HTTP/1.1 400 Bad Request\r\n\r\nthese are not frames, not at all");
		break;
	case STOP_STALL:
	case STOP_NEVER:
		break;
	}
}

static void answer(struct h2_stream *s)
{
	struct h2_conn *c = s->conn;

	s->answered = true;
	s->due = 0;
	if (s->plan.stop_before_head) {
		stop_before_head(s);
		return;
	}
	if (s->plan.hints) {
		nghttp2_nv f[] = {nv(":status", "103"), nv("link", "</s.css>; rel=preload")};

		nghttp2_submit_headers(c->session, 0, s->id, NULL, f, 2, NULL);
	}
	submit_head(s);
	c->quit = c->quit || s->plan.vanish;
	if (s->plan.last && !s->plan.early)
		say_goaway(c);
}

static void request_is_complete(struct h2_stream *s)
{
	if (s->answered || s->due || s->held)
		return;
	plan_execute(&s->plan, s->conn->oc->origin);
	plan_text(&s->plan, &s->head, &s->body, s->sha, &s->text);
	s->held = s->plan.hold && !origin_released(s->conn->oc->origin);
	if (s->plan.delay)
		s->due = now_ms() + s->plan.delay;
	else if (!s->held)
		answer(s);
}

static void head_is_complete(struct h2_stream *s)
{
	nghttp2_nv go_on = nv(":status", "100");

	struct origin *o = s->conn->oc->origin;

	origin_count_request(o);
	if (++s->conn->requests == o->opts.retire_after)
		retire(s->conn);
	plan_make(&s->plan, o, s->path);
	if (s->plan.go_on)
		nghttp2_submit_headers(s->conn->session, 0, s->id, NULL, &go_on, 1, NULL);
	if (s->plan.early)
		request_is_complete(s);
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	struct h2_stream *s;

	(void)arg;
	if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA)
		return 0;
	s = stream_of(session, frame->hd.stream_id);
	if (!s)
		return 0;
	if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST)
		head_is_complete(s);
	if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
		request_is_complete(s);
	return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
	size_t n, void *arg)
{
	struct h2_stream *s = stream_of(session, id);

	(void)flags, (void)arg;
	if (s && !s->plan.early)
		plan_body(&s->plan, s->sha, &s->body, data, n);
	return 0;
}

/* RFC 9113 8.1: an answer that does not want the rest of the request ends with NO_ERROR. */
static int on_frame_sent(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	(void)arg;
	if (!(frame->hd.flags & NGHTTP2_FLAG_END_STREAM) ||
		(frame->hd.type != NGHTTP2_DATA && frame->hd.type != NGHTTP2_HEADERS))
		return 0;
	struct h2_stream *s = stream_of(session, frame->hd.stream_id);

	if (s && s->plan.early)
		nghttp2_submit_rst_stream(session, 0, s->id, NGHTTP2_NO_ERROR);
	return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *arg)
{
	struct h2_conn *c = arg;
	struct h2_stream *s = stream_of(session, id);

	(void)code;
	for (struct h2_stream **p = &c->streams; *p; p = &(*p)->next) {
		if (*p != s)
			continue;
		*p = s->next;
		stream_free(s);
		break;
	}
	return 0;
}

static nghttp2_session *session_new(struct h2_conn *c)
{
	nghttp2_session_callbacks *cb;
	nghttp2_session *session = NULL;

	if (nghttp2_session_callbacks_new(&cb) != 0)
		return NULL;
	nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin_headers);
	nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
	nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
	nghttp2_session_callbacks_set_on_frame_send_callback(cb, on_frame_sent);
	nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
	nghttp2_session_server_new(&session, cb, c);
	nghttp2_session_callbacks_del(cb);
	return session;
}

static void send_settings(struct h2_conn *c, unsigned max_streams)
{
	nghttp2_settings_entry max = {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, max_streams};

	nghttp2_submit_settings(c->session, 0, &max, 1);
	c->max_streams = max_streams;
}

/* What the test wants from now on. */
static void take_orders(struct h2_conn *c)
{
	struct origin *o = c->oc->origin;

	pthread_mutex_lock(&o->lock);
	unsigned max_streams = o->opts.max_streams, goaways = o->goaways;
	pthread_mutex_unlock(&o->lock);
	if (max_streams != c->max_streams)
		send_settings(c, max_streams);
	if (goaways != c->goaways)
		retire(c);
	c->goaways = goaways;
}

/* Begins and goes on with what is due. */
static void run_due(struct h2_conn *c)
{
	bool released = origin_released(c->oc->origin);
	uint64_t now = now_ms();

	if (c->goaway_due && c->goaway_due <= now)
		say_goaway(c);
	for (struct h2_stream *s = c->streams; s; s = s->next) {
		if (s->held && released) {
			s->held = false;
			answer(s);
		}
		if (!s->due || s->due > now)
			continue;
		if (s->answered)
			nghttp2_session_resume_data(c->session, s->id);
		else
			answer(s);
	}
}

/* ms until something is due, -1 if nothing waits. */
static int next_due(const struct h2_conn *c)
{
	uint64_t now = now_ms(), next = c->goaway_due;

	for (const struct h2_stream *s = c->streams; s; s = s->next)
		if (s->due && (!next || s->due < next))
			next = s->due;
	if (!next)
		return -1;
	return next > now ? (int)(next - now) : 0;
}

static bool flush(struct h2_conn *c)
{
	const uint8_t *data;
	nghttp2_ssize n;

	while ((n = nghttp2_session_mem_send2(c->session, &data)) > 0)
		if (!oc_write(c->oc, data, (size_t)n))
			return false;
	return n == 0 && !c->quit && !(c->leaving && !c->streams);
}

/* Reads once, waiting at most ms for it. false: the connection or the origin is at its end. */
static bool receive(struct h2_conn *c, int ms)
{
	struct pollfd p[3] = {{.fd = c->oc->origin->stop, .events = POLLIN},
		{.fd = c->oc->fd, .events = POLLIN}, {.fd = c->oc->wake, .events = POLLIN}};
	uint64_t orders;
	uint8_t piece[65536];
	ssize_t got;

	if (!c->oc->ssl || !SSL_pending(c->oc->ssl)) {
		if (poll(p, 3, ms) == 0)
			return true;
		if (p[0].revents)
			return false;
		if (p[2].revents && read(c->oc->wake, &orders, sizeof(orders)) > 0)
			take_orders(c);
		if (!p[1].revents)
			return true;
	}
	got = oc_read(c->oc, piece, sizeof(piece));
	return got > 0 && nghttp2_session_mem_recv2(c->session, piece, (size_t)got) == got;
}

/* Closing under what the client has just sent would reset the connection under our answers. */
static void part(struct h2_conn *c)
{
	struct pollfd p[2] = {
		{.fd = c->oc->origin->stop, .events = POLLIN}, {.fd = c->oc->fd, .events = POLLIN}};
	char piece[16384];

	if (c->oc->ssl)
		SSL_shutdown(c->oc->ssl);
	oc_shut(c->oc);
	while (poll(p, 2, 2000) > 0 && !p[0].revents)
		if (recv(c->oc->fd, piece, sizeof(piece), 0) <= 0)
			return;
}

void origin_h2_serve(struct origin_conn *oc)
{
	struct h2_conn c = {.oc = oc};
	bool go_on = !oc->origin->opts.settle_late || oc_wait(oc, oc->origin->opts.settle_late);

	c.session = session_new(&c);
	send_settings(&c, oc->origin->opts.max_streams);
	c.goaways = oc->origin->goaways;
	take_orders(&c);
	while (go_on) {
		run_due(&c);
		go_on = flush(&c) && receive(&c, next_due(&c));
	}
	if (c.leaving || !c.quit)
		flush(&c);
	if (c.leaving && !c.quit)
		part(&c);
	nghttp2_session_del(c.session);
	while (c.streams) {
		struct h2_stream *s = c.streams;

		c.streams = s->next;
		stream_free(s);
	}
}
