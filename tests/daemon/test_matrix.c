/*
 * test_matrix.c - an upstream that fails in every way at every moment of a request and its answer.
 *
 * One request at a time. The origin reads and writes by hand, HTTP/1.1 or bare HTTP/2 frames, and
 * the first connection that comes to the armed stage meets the armed fault; whatever the
 * daemon tries after that works. Each request must end in time, with an answer that is whole and
 * right, an answer of the daemon's own, or visibly cut; a POST is carried out at most once, and
 * an answer that says it was not carried out tells the truth. The table is printed.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/daemon/caller.h"
#include "tests/daemon/harness.h"
#include "tests/daemon/origin_int.h"

#define ANSWER  8000 /* bytes of its body */
#define REQUEST 3000
#define HANG    60000 /* ms */

enum fault { NONE, CLOSE, RESET, RESET_STREAM, STALL, REFUSE, TRUNCATE, FAULTS };
enum stage {
	AT_CONNECTION, /* before anything was read */
	IN_HEAD,
	AFTER_HEAD,
	IN_BODY, /* of a POST */
	AFTER_REQUEST,
	IN_ANSWER_HEAD,
	AFTER_ANSWER_HEAD,
	IN_ANSWER_BODY,
	AFTER_ANSWER,
	STAGES
};

static const char *const fault_names[] = {
	"-", "close", "reset", "rst_stream", "stall", "refuse", "truncate"};
static const char *const stage_names[] = {"connected", "in head", "head", "in body", "request",
	"in a.head", "a.head", "in a.body", "answer"};

static struct {
	atomic_int stage, fault; /* fault: NONE once it was taken */
	atomic_uint carried_out;
	atomic_bool reused;     /* AT_CONNECTION is met by one that rested */
	atomic_int stalled;     /* connections */
	atomic_bool half_taken; /* IN_BODY: the client may send the rest */
} plan;

static enum fault met(enum stage stage)
{
	if (atomic_load(&plan.stage) != (int)stage)
		return NONE;
	return (enum fault)atomic_exchange(&plan.fault, NONE);
}

/* What ends the connection, the same in both versions. Always false. */
static bool end_by(struct origin_conn *oc, enum fault fault)
{
	if (fault == RESET)
		oc_reset(oc);
	if (fault == STALL) {
		atomic_fetch_add(&plan.stalled, 1);
		oc_wait_hangup(oc);
		atomic_fetch_sub(&plan.stalled, 1);
	}
	return false;
}

/* At least n bytes are in. */
static bool need(struct origin_conn *oc, size_t n)
{
	while (oc->in.n < n)
		if (!oc_fill(oc))
			return false;
	return true;
}

/* ---- HTTP/1.1 ---- */

static bool h1_read(struct origin_conn *oc)
{
	const char *length;
	char *end;
	size_t body = 0;
	enum fault f = NONE;

	if (!oc_await(oc))
		return false;
	if (atomic_load(&plan.reused) && (f = met(AT_CONNECTION)))
		return end_by(oc, f);
	if (!need(oc, 1) || (f = met(IN_HEAD)))
		return end_by(oc, f);
	while (!(end = memmem(oc->in.p, oc->in.n, "\r\n\r\n", 4)))
		if (!oc_fill(oc))
			return false;
	*end = '\0';
	length = strcasestr(oc->in.p, "content-length: ");
	if (length)
		body = strtoul(length + 16, NULL, 10);
	bytes_drain(&oc->in, (size_t)(end - oc->in.p) + 4);
	if ((f = met(AFTER_HEAD)))
		return end_by(oc, f);
	if (body > 0 && !need(oc, 1))
		return false;
	atomic_store(&plan.half_taken, true);
	if (body > 0 && (f = met(IN_BODY)))
		return end_by(oc, f);
	if (!need(oc, body))
		return false;
	bytes_drain(&oc->in, body);
	return true;
}

static bool h1_answer(struct origin_conn *oc)
{
	static const char sized[] = "HTTP/1.1 200 OK\r\nContent-Length: 8000\r\n\r\n";
	static const char chunked[] =
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1f40\r\n";
	bool truncates = atomic_load(&plan.fault) == TRUNCATE;
	const char *head = truncates ? chunked : sized;
	char body[ANSWER];
	enum fault f;

	pattern_fill(body, ANSWER, 0);
	oc_write(oc, head, 20);
	if ((f = met(IN_ANSWER_HEAD)))
		return end_by(oc, f);
	oc_say(oc, head + 20);
	if ((f = met(AFTER_ANSWER_HEAD)))
		return end_by(oc, f);
	oc_write(oc, body, ANSWER / 2);
	if ((f = met(IN_ANSWER_BODY)))
		return end_by(oc, f);
	oc_write(oc, body + ANSWER / 2, ANSWER / 2);
	if ((f = met(AFTER_ANSWER)))
		return end_by(oc, f);
	return !truncates || oc_say(oc, "\r\n0\r\n\r\n");
}

static void h1_serve(struct origin_conn *oc)
{
	enum fault f = atomic_load(&plan.reused) ? NONE : met(AT_CONNECTION);

	if (f) {
		end_by(oc, f);
		return;
	}
	while (h1_read(oc)) {
		atomic_fetch_add(&plan.carried_out, 1);
		if ((f = met(AFTER_REQUEST))) {
			end_by(oc, f);
			return;
		}
		if (!h1_answer(oc))
			return;
	}
}

/* ---- HTTP/2 ---- */

enum frame_type { DATA, HEADERS, RST_STREAM = 3, SETTINGS, PING = 6, GOAWAY };

struct frame {
	size_t length;
	unsigned type, flags, stream;
};

static bool send_frame(struct origin_conn *oc, const struct frame *f, const void *payload)
{
	unsigned char head[9] = {(unsigned char)(f->length >> 16), (unsigned char)(f->length >> 8),
		(unsigned char)f->length, (unsigned char)f->type, (unsigned char)f->flags, 0, 0,
		(unsigned char)(f->stream >> 8), (unsigned char)f->stream};

	return oc_write(oc, head, 9) && oc_write(oc, payload, f->length);
}

static bool peek_frame(struct origin_conn *oc, struct frame *f)
{
	const unsigned char *p;

	if (!need(oc, 9))
		return false;
	p = (const unsigned char *)oc->in.p;
	*f = (struct frame){(size_t)p[0] << 16 | (size_t)p[1] << 8 | p[2], p[3], p[4],
		(unsigned)p[7] << 8 | p[8]};
	return true;
}

static bool reset_stream(struct origin_conn *oc, unsigned stream, unsigned char code)
{
	const unsigned char payload[4] = {0, 0, 0, code};

	return send_frame(oc, &(struct frame){4, RST_STREAM, 0, stream}, payload);
}

/* true: the connection goes on. */
static bool h2_end_by(struct origin_conn *oc, enum fault fault, unsigned stream)
{
	if (fault == RESET_STREAM)
		return reset_stream(oc, stream, 2);
	if (fault == REFUSE)
		return reset_stream(oc, stream, 7);
	if (fault == TRUNCATE) /* END_STREAM too early */
		return send_frame(oc, &(struct frame){0, DATA, 1, stream}, "");
	return end_by(oc, fault);
}

static bool h2_answer(struct origin_conn *oc, unsigned stream)
{
	/* :status 200; content-length without indexing (RFC 7541 6.2.2) */
	static const unsigned char block[] = {0x88, 0x0f, 0x0d, 4, '8', '0', '0', '0'};
	const struct frame head = {sizeof(block), HEADERS, 4, stream};
	const unsigned char raw[9] = {0, 0, sizeof(block), HEADERS, 4, 0, 0,
		(unsigned char)(stream >> 8), (unsigned char)stream};
	char body[ANSWER];
	enum fault f;

	pattern_fill(body, ANSWER, 0);
	if ((f = met(IN_ANSWER_HEAD))) {
		if (f == RESET_STREAM || f == REFUSE || f == TRUNCATE)
			return h2_end_by(oc, f == TRUNCATE ? CLOSE : f, stream);
		oc_write(oc, raw, 9);
		oc_write(oc, block, 3);
		return end_by(oc, f);
	}
	send_frame(oc, &head, block);
	if ((f = met(AFTER_ANSWER_HEAD)))
		return h2_end_by(oc, f, stream);
	send_frame(oc, &(struct frame){ANSWER / 2, DATA, 0, stream}, body);
	if ((f = met(IN_ANSWER_BODY)))
		return h2_end_by(oc, f, stream);
	send_frame(oc, &(struct frame){ANSWER / 2, DATA, 1, stream}, body + ANSWER / 2);
	if ((f = met(AFTER_ANSWER)))
		return h2_end_by(oc, f, stream);
	return true;
}

/* The request is whole. */
static bool h2_carry_out(struct origin_conn *oc, unsigned stream)
{
	enum fault f = met(AFTER_REQUEST);

	if (f != REFUSE)
		atomic_fetch_add(&plan.carried_out, 1);
	return f ? h2_end_by(oc, f, stream) : h2_answer(oc, stream);
}

/* The frame is still in oc->in, all of it. */
static bool h2_take(struct origin_conn *oc, const struct frame *f)
{
	static const char zeros[8];
	bool end = f->flags & 1;
	enum fault fault = NONE;

	if (f->type == SETTINGS && !end)
		return send_frame(oc, &(struct frame){0, SETTINGS, 1, 0}, "");
	if (f->type == PING && !end)
		return send_frame(oc, &(struct frame){8, PING, 1, 0}, zeros);
	if (f->type == HEADERS)
		fault = met(AFTER_HEAD);
	if (f->type == DATA) {
		atomic_store(&plan.half_taken, true);
		fault = met(IN_BODY);
	}
	if (fault)
		return h2_end_by(oc, fault, f->stream);
	return f->type > HEADERS || !end || h2_carry_out(oc, f->stream);
}

static bool h2_next(struct origin_conn *oc)
{
	struct frame f;
	enum fault fault;
	bool go_on;

	if (!oc->in.n && oc->ssl && !SSL_pending(oc->ssl) && !oc_await(oc))
		return false;
	if (atomic_load(&plan.reused) && (fault = met(AT_CONNECTION)))
		return end_by(oc, fault);
	if (!peek_frame(oc, &f))
		return false;
	if (f.type == HEADERS && (fault = met(IN_HEAD)))
		return end_by(oc, fault);
	if (!need(oc, 9 + f.length))
		return false;
	go_on = h2_take(oc, &f);
	bytes_drain(&oc->in, 9 + f.length);
	return go_on;
}

static void h2_serve(struct origin_conn *oc)
{
	enum fault f = atomic_load(&plan.reused) ? NONE : met(AT_CONNECTION);

	if (f) {
		end_by(oc, f);
		return;
	}
	if (!send_frame(oc, &(struct frame){0, SETTINGS, 0, 0}, "") || !need(oc, 24))
		return;
	bytes_drain(&oc->in, 24);
	while (h2_next(oc))
		;
}

/* ---- the cases ---- */

enum how { H1_FRESH, H1_REUSED, H2_FRESH, H2_REUSED };

static struct {
	unsigned count, lost, doubled, false_whole, hung, untrue, needless;
	struct caller caller;
} seen = {.caller.fd = -1};

static bool is_h2(int how)
{
	return how >= H2_FRESH;
}

static bool applies(int how, bool post, enum fault fault, enum stage stage)
{
	if (stage == IN_BODY && !post)
		return false;
	if (fault == REFUSE) /* what was refused has no answer */
		return is_h2(how) && stage >= AFTER_HEAD && stage <= AFTER_REQUEST;
	if (fault == RESET_STREAM)
		return is_h2(how) && stage >= AFTER_HEAD && stage != IN_ANSWER_HEAD;
	if (fault == STALL && stage == AFTER_ANSWER) /* is AT_CONNECTION of the next request */
		return false;
	if (fault == TRUNCATE)
		return stage > AFTER_REQUEST && !(is_h2(how) && stage == AFTER_ANSWER);
	return true;
}

static void say_request(bool post, const char *host)
{
	char half[REQUEST / 2 + 1];
	uint64_t until = harness_now() + 1000;

	memset(half, 'x', REQUEST / 2);
	half[REQUEST / 2] = '\0';
	if (!post) {
		caller_say(&seen.caller, text("GET / HTTP/1.1\r\nHost: %s\r\n\r\n", host));
		return;
	}
	caller_say(&seen.caller,
		text("POST / HTTP/1.1\r\nHost: %s\r\nContent-Length: 3000\r\n\r\n", host));
	caller_say(&seen.caller, half);
	/* A fault before the body keeps the origin from ever taking it. */
	while (!atomic_load(&plan.half_taken) && atomic_load(&plan.fault) && harness_now() < until)
		harness_nap();
	caller_say(&seen.caller, half);
}

static void request(bool post, const char *host, struct reply *r)
{
	if (seen.caller.fd < 0)
		ck_assert(caller_open(&seen.caller, daemon_socket()));
	atomic_store(&plan.half_taken, false);
	atomic_store(&plan.carried_out, 0);
	say_request(post, host);
	caller_hear(&seen.caller, r, HANG);
}

static bool is_right(const struct reply *r)
{
	char expected[ANSWER];

	pattern_fill(expected, ANSWER, 0);
	return r->n == ANSWER && memcmp(r->body, expected, ANSWER) == 0;
}

/* What must never be. */
static void judge(bool post, const struct reply *r, unsigned times)
{
	seen.count++;
	seen.hung += r->hung;
	seen.lost += r->status == 200 && r->whole && times == 0;
	seen.doubled += post ? times > 1 : times > 2;
	seen.false_whole += r->status == 200 && r->whole && !is_right(r);
	seen.untrue += r->status >= 500 && (!r->told || (r->safe && times > 0));
}

static const char *outcome(const struct reply *r, unsigned times)
{
	if (r->hung)
		return "HUNG";
	if (!r->whole)
		return text("cut/%u", times);
	return text("%u%s/%u", r->status, r->safe ? "s" : "", times);
}

/* An error although repeating is allowed and would have helped. */
static bool is_needless(bool post, enum fault fault, enum stage stage, const struct reply *r)
{
	bool repeatable = fault == REFUSE ||
	                  (!post && atomic_load(&plan.reused) &&
				  (fault == CLOSE || fault == RESET) && stage <= AFTER_REQUEST);

	return repeatable && r->status != 200;
}

/* Returns what to print. */
static const char *one(int how, bool post, enum fault fault, enum stage stage)
{
	const char *host = fault == STALL ? "brief" : "origin";
	struct reply r;
	unsigned times;

	if (how == H1_REUSED || how == H2_REUSED) {
		request(false, host, &r);
		if (fault == STALL) /* its limits are short */
			for (int i = 0; i < 50 && r.status == 504; i++)
				request(false, host, &r);
		ck_assert_msg(r.status == 200 && r.whole && is_right(&r), "%s after a %s: %u %.*s",
			stage_names[stage], fault_names[fault], r.status, (int)r.n, r.body);
	}
	atomic_store(&plan.stage, stage);
	atomic_store(&plan.fault, fault);
	request(post, host, &r);
	/* What comes after the answer is met when the origin gets to it. */
	for (uint64_t until = harness_now() + PATIENCE;
		atomic_load(&plan.fault) != NONE && harness_now() < until; harness_nap())
		continue;
	ck_assert_msg(atomic_load(&plan.fault) == NONE, "%s, %s %s: met by nobody",
		post ? "POST" : "GET", fault_names[fault], stage_names[stage]);
	times = atomic_load(&plan.carried_out);
	judge(post, &r, times);
	seen.needless += is_needless(post, fault, stage, &r);
	WAIT_FOR(atomic_load(&plan.stalled) == 0); /* the next case is another one's */
	return outcome(&r, times);
}

static void row(int how, bool post, enum fault fault)
{
	static const char *const names[] = {"h1 fresh", "h1 reused", "h2 fresh", "h2 reused"};
	const char *line =
		text("%-9s %-4s %-10s", names[how], post ? "POST" : "GET", fault_names[fault]);

	for (enum stage s = AT_CONNECTION; s < STAGES; s++)
		line = text("%s %-10s", line,
			applies(how, post, fault, s) ? one(how, post, fault, s) : "-");
	puts(line);
	fflush(stdout);
}

/*
 * A connection for each request, or kept ones. What stalls is asked of an upstream that soon gives
 * up, everything else of one that takes its time: then no other limit comes between.
 */
static void start(int how)
{
	struct origin *o = some_origin(&(struct origin_opts){
		.tls = is_h2(how), .h2 = is_h2(how), .serve = is_h2(how) ? h2_serve : h1_serve});
	bool fresh = how == H1_FRESH || how == H2_FRESH;

	atomic_store(&plan.reused, !fresh);
	const char *both = text("max_connections = 100; backoff_min = \"10ms\"; "
				"backoff_max = \"20ms\"; max_idle = %d;",
		fresh ? 0 : 8);
	const char *brief = text("response_timeout = \"200ms\"; body_idle_timeout = \"200ms\"; "
				 "check_after = \"100ms\"; ping_timeout = \"200ms\"; %s",
		both);

	daemon_start(config(
		"", text("%s, %s", upstream("origin", o, both), upstream("brief", o, brief))));
}

START_TEST(nothing_is_lost_doubled_falsely_whole_or_hung)
{
	const char *line = text("%-25s", "status[s: safe]/carried out");

	start(_i);
	for (enum stage s = AT_CONNECTION; s < STAGES; s++)
		line = text("%s %-10s", line, stage_names[s]);
	puts(line);
	for (int post = 0; post < 2; post++)
		for (enum fault f = CLOSE; f < FAULTS; f++)
			if (is_h2(_i) || (f != RESET_STREAM && f != REFUSE))
				row(_i, post, f);
	printf("%u cases: lost %u, doubled %u, cut but complete %u, hung %u, untrue %u, "
	       "needless errors %u\n",
		seen.count, seen.lost, seen.doubled, seen.false_whole, seen.hung, seen.untrue,
		seen.needless);
	fflush(stdout);
	ck_assert_uint_eq(seen.lost, 0);
	ck_assert_uint_eq(seen.doubled, 0);
	ck_assert_uint_eq(seen.false_whole, 0);
	ck_assert_uint_eq(seen.hung, 0);
	ck_assert_uint_eq(seen.untrue, 0);
	ck_assert_uint_eq(seen.needless, 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("matrix");
	TCase *tc = harness_case(s, "faults by stage");

	tcase_add_loop_test(tc, nothing_is_lost_doubled_falsely_whole_or_hung, 0, 4);
	return harness_main(s);
}
