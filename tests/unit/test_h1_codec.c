/*
 * test_h1_codec.c - HTTP/1.1 messages in and out of the codec, and above all
 * the ones it must refuse. Every input is parsed whole, byte by byte, and cut
 * in two at every place; the results have to be the same.
 */
#include <check.h>
#include <event2/event.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <clientconn/buf.h>
#include <clientconn/head.h>

#include "lib/base/ctx.h"
#include "lib/codec/h1_codec.h"
#include "tests/unit/run.h"

#define WHOLE 0u /* cut after: never */
#define BYTES 1u /* every byte */

struct text {
	char s[65536];
	size_t n;
};

static const struct h1_limits wide = {.head = 16384, .fields = 100, .target = 8192};

static struct cc_ctx *ctx;
static struct text whole, cut;

static void make_ctx(void)
{
	struct cc_ctx_opts opts = {.size = sizeof(opts), .base = event_base_new()};

	ctx = calloc(1, sizeof(*ctx));
	ck_assert_int_eq(ctx_init(ctx, &opts), 0);
}

static void free_ctx(void)
{
	struct event_base *base = ctx->base;

	ctx_clear(ctx);
	event_base_free(base);
	free(ctx);
}

/* ---- parsing to text --------------------------------------------------- */

static void say(struct text *t, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	t->n += (size_t)vsnprintf(t->s + t->n, sizeof(t->s) - t->n, fmt, ap);
	va_end(ap);
	ck_assert_uint_lt(t->n, sizeof(t->s));
}

static void say_str(struct text *t, const char *before, struct cc_str s)
{
	say(t, "%s%.*s", before, (int)s.n, s.p);
}

static void say_fields(struct text *t, const char *before, const struct cc_head *h)
{
	for (size_t i = 0; i < cc_head_count(h); i++) {
		say_str(t, before, cc_head_name(h, i));
		say_str(t, "=", cc_head_value(h, i));
		say(t, "\n");
	}
}

static void say_head(struct text *t, const struct h1_parser *p, const struct cc_head *h)
{
	if (cc_head_status(h)) {
		say(t, "%u", cc_head_status(h));
	} else {
		say_str(t, "", cc_head_method(h));
		say_str(t, " scheme=", cc_head_scheme(h));
		say_str(t, " authority=", cc_head_authority(h));
		say_str(t, " path=", cc_head_path(h));
	}
	say(t, " 1.%u%s%s%s%s%s\n", h1_parser_minor(p),
		h1_parser_keep_alive(p) ? " keep" : " close", h1_parser_has_body(p) ? " body" : "",
		h1_parser_chunked(p) ? " chunked" : "", h1_parser_until_eof(p) ? " eof" : "",
		h1_parser_expects_continue(p) ? " expect" : "");
	say_fields(t, "", h);
}

struct run {
	enum h1_kind kind;
	const struct h1_limits *limits;
	bool no_body;
	struct text *out;
	struct h1_parser *p;
	struct cc_head *head;
	struct text body;
};

static void begin(struct run *r)
{
	h1_parser_begin(r->p, r->head);
	if (r->no_body)
		h1_parser_no_body(r->p);
	r->body.n = 0;
}

static void say_body(struct run *r)
{
	if (r->body.n > 0)
		say(r->out, "body=%.*s\n", (int)r->body.n, r->body.s);
	r->body.n = 0;
}

/* False when no more can come. */
static bool take(struct run *r, enum h1_event event, const char *data, size_t len)
{
	switch (event) {
	case H1_HEAD:
		say_head(r->out, r->p, r->head);
		return true;
	case H1_BODY:
		ck_assert_uint_gt(len, 0);
		memcpy(r->body.s + r->body.n, data, len);
		r->body.n += len;
		return true;
	case H1_END:
		say_body(r);
		if (h1_parser_trailers(r->p))
			say_fields(r->out, "trailer ", h1_parser_trailers(r->p));
		say(r->out, "end\n");
		begin(r);
		return true;
	case H1_ERROR:
		say_body(r);
		say(r->out, "error %u\n", h1_parser_error(r->p)->status);
		ck_assert_ptr_nonnull(h1_parser_error(r->p)->reason);
		return false;
	case H1_MORE:
		break;
	}
	return true;
}

/* One span; a copy of exact size lets the sanitizer see reads behind it. */
static bool feed_span(struct run *r, const char *bytes, size_t n)
{
	char *span = malloc(n);
	size_t pos = 0;
	bool go_on = true;

	memcpy(span, bytes, n);
	for (;;) {
		const char *data;
		size_t used, len;
		enum h1_event event = h1_parser_feed(r->p, span + pos, n - pos, &used, &data, &len);

		pos += used;
		go_on = take(r, event, data, len);
		if (!go_on || event == H1_MORE)
			break;
	}
	if (go_on)
		ck_assert_uint_eq(pos, n);
	free(span);
	return go_on;
}

static void feed_all(struct run *r, const char *bytes, size_t n, size_t first, size_t rest)
{
	size_t pos = 0, size = first;

	while (pos < n) {
		if (size == 0 || size > n - pos)
			size = n - pos;
		if (!feed_span(r, bytes + pos, size))
			return;
		pos += size;
		size = rest;
	}

	enum h1_event event = h1_parser_eof(r->p);

	take(r, event, NULL, 0);
}

static void parse_cut(struct run *r, const char *bytes, size_t n, size_t first, size_t rest)
{
	r->p = h1_parser_new(ctx, r->kind, r->limits);
	r->head = cc_head_new(ctx);
	r->out->n = 0;
	r->out->s[0] = '\0';
	begin(r);
	feed_all(r, bytes, n, first, rest);
	h1_parser_free(r->p);
	cc_head_free(r->head);
}

static const char *parse(enum h1_kind kind, bool no_body, const struct h1_limits *limits,
	const char *bytes, size_t n)
{
	struct run *r = calloc(1, sizeof(*r));

	*r = (struct run){.kind = kind, .limits = limits, .no_body = no_body, .out = &whole};
	parse_cut(r, bytes, n, WHOLE, WHOLE);
	r->out = &cut;
	parse_cut(r, bytes, n, BYTES, BYTES);
	ck_assert_str_eq(whole.s, cut.s);
	for (size_t i = 1; i < n && n < 2000; i++) {
		parse_cut(r, bytes, n, i, WHOLE);
		if (strcmp(whole.s, cut.s) != 0) /* Check notes down each assertion that holds */
			ck_assert_str_eq(whole.s, cut.s);
	}
	free(r);
	return whole.s;
}

#define REQUEST(lit)       parse(H1_REQUEST, false, &wide, lit, sizeof(lit) - 1)
#define RESPONSE(lit)      parse(H1_RESPONSE, false, &wide, lit, sizeof(lit) - 1)
#define HEAD_RESPONSE(lit) parse(H1_RESPONSE, true, &wide, lit, sizeof(lit) - 1)

struct sample {
	unsigned status;
	const char *bytes;
	size_t n;
};

/* Its versions 14 and 19 disagree about these braces. */
/* clang-format off */
#define S(status, lit) {status, lit, sizeof(lit) - 1}
/* clang-format on */

enum when { AT_ONCE, LATE }; /* LATE: a head and body bytes may come before the error */

static void assert_refused(enum h1_kind kind, enum when when, const struct sample *s)
{
	const char *text = parse(kind, false, &wide, s->bytes, s->n);
	size_t len = strlen(text);
	char expected[32];
	size_t n = (size_t)snprintf(expected, sizeof(expected), "error %u\n", s->status);

	ck_assert_msg(
		len >= n && strcmp(text + len - n, expected) == 0 && (when == LATE || len == n),
		"expected %s for:\n%s\ngot:\n%s", expected, s->bytes, text);
}

static void assert_all_refused(
	enum h1_kind kind, enum when when, const struct sample *s, size_t count)
{
	for (size_t i = 0; i < count; i++)
		assert_refused(kind, when, &s[i]);
}

#define REFUSED(kind, when, ...)                                                                   \
	do {                                                                                       \
		static const struct sample samples[] = {__VA_ARGS__};                              \
		assert_all_refused(kind, when, samples, sizeof(samples) / sizeof(samples[0]));     \
	} while (0)

#define ALL_REFUSED(kind, ...) REFUSED(kind, AT_ONCE, __VA_ARGS__)

/* With a good Host, so that only the line itself can be the reason. */
#define LINE(status, lit) S(status, "GET / HTTP/1.1\r\nHost: a\r\n" lit "\r\n\r\n")
#define RLINE(lit)        S(400, "HTTP/1.1 200 OK\r\n" lit "\r\n\r\n")

/* ---- good requests ------------------------------------------------------ */

START_TEST(a_plain_get_gives_its_parts)
{
	ck_assert_str_eq(REQUEST("GET /a/b?c=d HTTP/1.1\r\nHost: example.org:8080\r\n"
				 "User-Agent: curl/7.88.1\r\nAccept: */*\r\n\r\n"),
		"GET scheme= authority=example.org:8080 path=/a/b?c=d 1.1 keep\n"
		"user-agent=curl/7.88.1\naccept=*/*\nend\n");
}
END_TEST

START_TEST(requests_may_follow_each_other_in_one_span)
{
	ck_assert_str_eq(REQUEST("POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
				 "GET /2 HTTP/1.1\r\nHost: b\r\n\r\n"),
		"POST scheme= authority=a path=/1 1.1 keep body\ncontent-length=3\nbody=abc\n"
		"end\n"
		"GET scheme= authority=b path=/2 1.1 keep\nend\n");
}
END_TEST

START_TEST(white_space_around_values_is_dropped)
{
	ck_assert_str_eq(REQUEST("GET / HTTP/1.1\r\nHost: \t a \t\r\nA:b\r\nC: \t d e \t \r\nF:\r\n"
				 "G:   \r\n\r\n"),
		"GET scheme= authority=a path=/ 1.1 keep\na=b\nc=d e\nf=\ng=\nend\n");
}
END_TEST

START_TEST(names_come_in_lower_case_and_values_as_they_are)
{
	ck_assert_str_eq(REQUEST("GET / HTTP/1.1\r\nHOST: A\r\nX-ÿ: \r\n\r\n"), "error 400\n");
	ck_assert_str_eq(
		REQUEST("GET / HTTP/1.1\r\nHOST: A\r\nX-Y_Z!#$%&'*+.^`|~9: Grüße \"X\"\r\n\r\n"),
		"GET scheme= authority=A path=/ 1.1 keep\nx-y_z!#$%&'*+.^`|~9=Grüße \"X\"\n"
		"end\n");
}
END_TEST

START_TEST(some_empty_lines_before_a_request_are_skipped)
{
	ck_assert_str_eq(REQUEST("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n\r\nGET /2 HTTP/1.1\r\n"
				 "Host: a\r\n\r\n"),
		"GET scheme= authority=a path=/ 1.1 keep\nend\n"
		"GET scheme= authority=a path=/2 1.1 keep\nend\n");
	ck_assert_str_eq(REQUEST("\r\n"), "");
	ALL_REFUSED(H1_REQUEST, S(400, "\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
		S(400, "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
		S(400, "\rGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
		S(400, " GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
}
END_TEST

START_TEST(all_forms_of_the_target_are_known)
{
	ck_assert_str_eq(REQUEST("GET HTTP://ex.org:81/p?q HTTP/1.1\r\nHost: other\r\n\r\n"),
		"GET scheme=http authority=ex.org:81 path=/p?q 1.1 keep\nend\n");
	ck_assert_str_eq(REQUEST("GET http://ex.org HTTP/1.1\r\nHost: ex.org\r\n\r\n"),
		"GET scheme=http authority=ex.org path=/ 1.1 keep\nend\n");
	ck_assert_str_eq(REQUEST("GET https://[::1]:8443?q=/x HTTP/1.1\r\nHost: \r\n\r\n"),
		"GET scheme=https authority=[::1]:8443 path=/?q=/x 1.1 keep\nend\n");
	ck_assert_str_eq(REQUEST("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"),
		"OPTIONS scheme= authority=a path=* 1.1 keep\nend\n");
	ck_assert_str_eq(REQUEST("OPTIONS http://a HTTP/1.1\r\nHost: a\r\n\r\n"),
		"OPTIONS scheme=http authority=a path=* 1.1 keep\nend\n");
	ck_assert_str_eq(REQUEST("GET //x/../y;z?a=b@c HTTP/1.1\r\nHost: a\r\n\r\n"),
		"GET scheme= authority=a path=//x/../y;z?a=b@c 1.1 keep\nend\n");
}
END_TEST

START_TEST(connect_does_not_open_a_tunnel_in_the_parser)
{
	ck_assert_str_eq(REQUEST("CONNECT ex.org:443 HTTP/1.1\r\nHost: ex.org:443\r\n\r\n"
				 "GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
		"CONNECT scheme= authority=ex.org:443 path= 1.1 keep\nend\n"
		"GET scheme= authority=a path=/ 1.1 keep\nend\n");
	/* Its content is framed as any other, so it cannot become a request. */
	ck_assert_str_eq(REQUEST("CONNECT a:1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n"
				 "abc"),
		"CONNECT scheme= authority=a:1 path= 1.1 keep body\ncontent-length=3\nbody=abc\n"
		"end\n");
}
END_TEST

START_TEST(upgrade_is_ignored)
{
	ck_assert_str_eq(
		REQUEST("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\n"
			"Upgrade: h2c\r\nHTTP2-Settings: AAM\r\n\r\nGET /2 HTTP/1.1\r\n"
			"Host: a\r\n\r\n"),
		"GET scheme= authority=a path=/ 1.1 keep\nconnection=Upgrade, HTTP2-Settings\n"
		"upgrade=h2c\nhttp2-settings=AAM\nend\n"
		"GET scheme= authority=a path=/2 1.1 keep\nend\n");
	ck_assert_str_eq(
		REQUEST("POST / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: h2c\r\n"
			"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"),
		"POST scheme= authority=a path=/ 1.1 keep body chunked\nconnection=upgrade\n"
		"upgrade=h2c\ntransfer-encoding=chunked\nbody=x\nend\n");
}
END_TEST

START_TEST(host_may_be_missing_in_1_0_and_empty_in_1_1)
{
	ck_assert_str_eq(REQUEST("GET / HTTP/1.0\r\n\r\n"),
		"GET scheme= authority= path=/ 1.0 close\nend\n");
	ck_assert_str_eq(REQUEST("GET / HTTP/1.0\r\nHost: a\r\n\r\n"),
		"GET scheme= authority=a path=/ 1.0 close\nend\n");
	ck_assert_str_eq(REQUEST("GET / HTTP/1.1\r\nHost:\r\n\r\n"),
		"GET scheme= authority= path=/ 1.1 keep\nend\n");
}
END_TEST

START_TEST(connection_says_whether_another_request_may_come)
{
	ck_assert_str_eq(REQUEST("GET / HTTP/1.1\r\nHost: a\r\nConnection: CLOSE\r\n\r\n"),
		"GET scheme= authority=a path=/ 1.1 close\nconnection=CLOSE\nend\n");
	ck_assert_str_eq(REQUEST("GET / HTTP/1.1\r\nHost: a\r\nConnection: te ,\tClose\r\n\r\n"),
		"GET scheme= authority=a path=/ 1.1 close\nconnection=te ,\tClose\nend\n");
	ck_assert_str_eq(
		REQUEST("GET / HTTP/1.1\r\nHost: a\r\nConnection: te\r\nConnection: close\r\n"
			"\r\n"),
		"GET scheme= authority=a path=/ 1.1 close\nconnection=te\nconnection=close\n"
		"end\n");
	ck_assert_str_eq(
		REQUEST("GET / HTTP/1.1\r\nHost: a\r\nConnection: closed, not-close\r\n\r\n"),
		"GET scheme= authority=a path=/ 1.1 keep\nconnection=closed, not-close\nend\n");
	ck_assert_str_eq(REQUEST("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"),
		"GET scheme= authority= path=/ 1.0 keep\nconnection=Keep-Alive\nend\n");
	ck_assert_str_eq(REQUEST("GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n"),
		"GET scheme= authority= path=/ 1.0 close\nconnection=keep-alive, close\nend\n");
}
END_TEST

START_TEST(expect_counts_in_1_1_only)
{
	ck_assert_str_eq(REQUEST("PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\n"
				 "Content-Length: 1\r\n\r\nx"),
		"PUT scheme= authority=a path=/ 1.1 keep body expect\nexpect=100-Continue\n"
		"content-length=1\nbody=x\nend\n");
	ck_assert_str_eq(
		REQUEST("PUT / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx"),
		"PUT scheme= authority= path=/ 1.0 close body\nexpect=100-continue\n"
		"content-length=1\nbody=x\nend\n");
}
END_TEST

START_TEST(chunks_become_one_body)
{
	ck_assert_str_eq(REQUEST("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n"
				 "\r\n"
				 "5\r\nhello\r\n00A;x=y;z=\"q\"\r\n, world 12\r\n0\r\n\r\n"
				 "GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
		"POST scheme= authority=a path=/ 1.1 keep body chunked\n"
		"transfer-encoding=Chunked\n"
		"body=hello, world 12\nend\nGET scheme= authority=a path=/ 1.1 keep\nend\n");
	ck_assert_str_eq(
		REQUEST("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"
			"\r\n"),
		"POST scheme= authority=a path=/ 1.1 keep body chunked\n"
		"transfer-encoding=chunked\nend\n");
}
END_TEST

START_TEST(trailers_are_kept_apart)
{
	ck_assert_str_eq(REQUEST("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
				 "Trailer: Sum\r\n\r\n"
				 "2\r\nok\r\n0;last\r\nSum: 12 \r\nB:\r\n\r\nGET / HTTP/1.1\r\n"
				 "Host: a\r\n\r\n"),
		"POST scheme= authority=a path=/ 1.1 keep body chunked\n"
		"transfer-encoding=chunked\ntrailer=Sum\n"
		"body=ok\ntrailer sum=12\ntrailer b=\nend\n"
		"GET scheme= authority=a path=/ 1.1 keep\nend\n");
}
END_TEST

/* ---- what must be refused ------------------------------------------------ */

START_TEST(a_bare_cr_does_not_end_a_line)
{
	ALL_REFUSED(H1_REQUEST, S(400, "GET / HTTP/1.1\rHost: a\r\n\r\n"),
		S(400, "GET / HTTP/1.1\r\nHost: a\r\r\n\r\n"),
		S(400, "GET / HTTP/1.1\r\nHost: a\r\n\r\r\n"),
		S(400, "GET / HTTP/1.1\r\nHost: a\r\n\rX"), LINE(400, "Name:\rContent-Length: 5"),
		LINE(400, "Name: x\rContent-Length: 5"), LINE(400, "Na\rme: x"),
		LINE(400, "Name\r: x"), LINE(400, "\rName: x"), LINE(400, "Connection: x\rclose"),
		LINE(400, "Content-Length: 5\r"), LINE(400, "Transfer-Encoding: \rchunked"));
	ALL_REFUSED(H1_RESPONSE, S(400, "HTTP/1.1 200 OK\rA: b\r\n\r\n"),
		S(400, "HTTP/1.1 200\rA: b\r\n\r\n"), RLINE("Name:\rContent-Length: 5"),
		RLINE("Name: x\rContent-Length: 5"), RLINE("Na\rme: x"),
		RLINE("Connection: x\rclose"));
}
END_TEST

START_TEST(a_bare_lf_does_not_end_a_line)
{
	ALL_REFUSED(H1_REQUEST, S(400, "GET / HTTP/1.1\nHost: a\r\n\r\n"),
		S(400, "GET /\nHost: a\r\n\r\n"), S(400, "GET / HTTP/1.1\r\nHost: a\n\r\n"),
		S(400, "GET / HTTP/1.1\r\nHost: a\r\n\n"),
		S(400, "GET / HTTP/1.1\r\nHost: a\n"
		       "\n"),
		LINE(400, "A: b\nContent-Length: 5"), LINE(400, "A:\nContent-Length: 5"),
		LINE(400, "A\n: b"));
	ALL_REFUSED(H1_RESPONSE, S(400, "HTTP/1.1 200 OK\nA: b\r\n\r\n"),
		S(400, "HTTP/1.1 200 OK\r\nA: b\n\r\n"), S(400, "HTTP/1.1 200 OK\r\nA: b\r\n\n"),
		RLINE("A: b\nContent-Length: 5"));
}
END_TEST

START_TEST(white_space_in_or_around_a_name_is_refused)
{
	ALL_REFUSED(H1_REQUEST, S(400, "GET / HTTP/1.1\r\nHost : a\r\n\r\n"),
		S(400, "GET / HTTP/1.1\r\n Host: a\r\n\r\n"), LINE(400, "A : b"),
		LINE(400, "A\t: b"), LINE(400, "A B: c"), LINE(400, "Content-Length : 5"),
		LINE(400, "Transfer-Encoding : chunked"),
		LINE(400, "Transfer-Encoding\t: chunked"));
	ALL_REFUSED(H1_RESPONSE, RLINE("A : b"), RLINE("A\t: b"), RLINE("Content-Length : 5"),
		RLINE("Transfer-Encoding : chunked"));
}
END_TEST

START_TEST(folded_field_lines_are_refused)
{
	ALL_REFUSED(H1_REQUEST, LINE(400, "A: b\r\n c"), LINE(400, "A: b\r\n\tc"),
		LINE(400, "A:\r\n b"), LINE(400, "Transfer-Encoding:\r\n chunked"),
		LINE(400, "Content-Length: 1\r\n 2"), LINE(400, "A: b\r\n \r\nC: d"));
	ALL_REFUSED(H1_RESPONSE, RLINE("A: b\r\n c"), RLINE("A: b\r\n\tc"),
		RLINE("Content-Length: 1\r\n 2"), S(400, "HTTP/1.1 200 OK\r\n A: b\r\n\r\n"));
}
END_TEST

START_TEST(a_name_is_a_token_and_not_empty)
{
	ALL_REFUSED(H1_REQUEST, LINE(400, ": b"), LINE(400, ":"), LINE(400, "A"), LINE(400, "A b"),
		LINE(400, "A\0B: c"), LINE(400, "\0: c"), LINE(400, "A\x01: c"),
		LINE(400, "A\x7f: c"), LINE(400, "A\x80: c"), LINE(400, "A(: c"),
		LINE(400, "\"A\": c"), LINE(400, "A/: c"), LINE(400, "A@: c"), LINE(400, "A[: c"),
		LINE(400, "A{: c"), LINE(400, "A;: c"), LINE(400, "A=: c"), LINE(400, "A,: c"));
	ALL_REFUSED(H1_RESPONSE, RLINE(": b"), RLINE("A"), RLINE("A\0B: c"), RLINE("A\x80: c"));
}
END_TEST

static const char *const interpreted[] = {
	"X-Other",
	"Connection",
	"Content-Length",
	"Transfer-Encoding",
	"Upgrade",
	"Host",
	"Expect",
	"Keep-Alive",
	"Proxy-Connection",
	"TE",
	"Trailer",
	"Via",
};

/* llhttp has loops of its own for the values it interprets: all have to be as strict. */
START_TEST(control_bytes_in_values_are_refused)
{
	const char *const values[] = {"%c", "a%c", "%cb", "a%cb", "close%c", "chunked%c", "1%c",
		"upgrade, %cclose", "close %c", "keep-alive,%c"};

	for (size_t name = 0; name < sizeof(interpreted) / sizeof(interpreted[0]); name++)
		for (size_t v = 0; v < sizeof(values) / sizeof(values[0]); v++)
			for (int c = 0; c < 128; c++) {
				char line[200], value[64];
				const struct h1_limits *l = &wide;

				if (c == '\t' || (c >= ' ' && c < 127))
					continue;
				int vn = snprintf(value, sizeof(value), values[v], c);
				int n = snprintf(line, sizeof(line),
					"HTTP/1.1 200 OK\r\n%s: ", interpreted[name]);

				memcpy(line + n, value, (size_t)vn);
				memcpy(line + n + vn, "\r\n\r\n", 4);
				ck_assert_str_eq(
					parse(H1_RESPONSE, false, l, line, (size_t)(n + vn + 4)),
					"error 400\n");
			}
}
END_TEST

START_TEST(host_must_come_once_and_be_valid)
{
	ALL_REFUSED(H1_REQUEST, S(400, "GET / HTTP/1.1\r\n\r\n"),
		S(400, "GET / HTTP/1.1\r\nA: b\r\n\r\n"),
		S(400, "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"),
		S(400, "GET / HTTP/1.1\r\nHost: a\r\nhOST: b\r\n\r\n"),
		S(400, "GET / HTTP/1.1\r\nHost:\r\nHost:\r\n\r\n"),
		S(400, "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n"),
		S(400, "GET http://a/ HTTP/1.1\r\n\r\n"),
		S(400, "GET http://a/ HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"),
		S(400, "GET http://a/ HTTP/1.1\r\nHost: a/b\r\n\r\n"),
		S(400, "GET / HTTP/1.1\r\nHost: a b\r\n\r\n"),
		S(400, "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"),
		S(400, "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n"),
		S(400, "GET / HTTP/1.1\r\nHost: a?b\r\n\r\n"),
		S(400, "GET / HTTP/1.1\r\nHost: a#b\r\n\r\n"),
		S(400, "GET / HTTP/1.1\r\nHost: a:b\r\n\r\n"),
		S(400, "GET / HTTP/1.1\r\nHost: a:1:2\r\n\r\n"),
		S(400, "GET / HTTP/1.1\r\nHost: a:-1\r\n\r\n"),
		S(400, "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n"),
		S(400, "GET / HTTP/1.1\r\nHost: [::1]x\r\n\r\n"),
		S(400, "GET / HTTP/1.1\r\nHost: []\r\n\r\n"),
		S(400, "GET / HTTP/1.1\r\nHost: ::1\r\n\r\n"),
		S(400, "GET / HTTP/1.1\r\nHost: a%2\r\n\r\n"),
		S(400, "GET / HTTP/1.1\r\nHost: a%zz\r\n\r\n"),
		S(400, "GET / HTTP/1.1\r\nHost: \\a\r\n\r\n"),
		S(400, "GET / HTTP/1.1\r\nHost: a<b\r\n\r\n"),
		S(400, "GET / HTTP/1.1\r\nHost: \xc3\xa4\r\n\r\n"));
}
END_TEST

START_TEST(other_versions_are_refused)
{
	ALL_REFUSED(H1_REQUEST, S(505, "GET / HTTP/2.0\r\nHost: a\r\n\r\n"),
		S(505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
		S(505, "GET / HTTP/1.2\r\nHost: a\r\n\r\n"),
		S(505, "GET / HTTP/0.9\r\nHost: a\r\n\r\n"),
		S(505, "GET / HTTP/3\r\nHost: a\r\n\r\n"),
		S(400, "GET / HTTP/1.10\r\nHost: a\r\n\r\n"),
		S(400, "GET / HTTP/11.1\r\nHost: a\r\n\r\n"),
		S(400, "GET / HTTP/1,1\r\nHost: a\r\n\r\n"),
		S(400, "GET / HTTP/a.b\r\nHost: a\r\n\r\n"),
		S(400, "GET / http/1.1\r\nHost: a\r\n\r\n"),
		S(400, "GET / HTTP/1.1 \r\nHost: a\r\n\r\n"),
		S(400, "GET / HTTP /1.1\r\nHost: a\r\n\r\n"),
		S(400, "GET / HTTP/ 1.1\r\nHost: a\r\n\r\n"),
		S(400, "OPTIONS * RTSP/1.0\r\nHost: a\r\n\r\n"),
		S(400, "SOURCE / ICE/1.0\r\nHost: a\r\n\r\n"), S(400, "GET /\r\n\r\n"),
		S(400, "GET /HTTP/1.1\r\nHost: a\r\n\r\n"));
	ALL_REFUSED(H1_RESPONSE, S(505, "HTTP/2.0 200 OK\r\n\r\n"),
		S(505, "HTTP/1.2 200 OK\r\n\r\n"), S(505, "HTTP/0.9 200 OK\r\n\r\n"),
		S(400, "ICY 200 OK\r\n\r\n"), S(400, "http/1.1 200 OK\r\n\r\n"),
		S(400, "RTSP/1.0 200 OK\r\n\r\n"), S(400, "HTTP/1.11 200 OK\r\n\r\n"),
		S(400, "\r\nHTTP/1.1 200 OK\r\n\r\n"));
}
END_TEST

START_TEST(unknown_methods_are_not_implemented)
{
	ALL_REFUSED(H1_REQUEST, S(501, "BREW / HTTP/1.1\r\nHost: a\r\n\r\n"),
		S(501, "get / HTTP/1.1\r\nHost: a\r\n\r\n"),
		S(501, "GETS / HTTP/1.1\r\nHost: a\r\n\r\n"),
		S(501, "GE / HTTP/1.1\r\nHost: a\r\n\r\n"),
		S(501, "DESCRIBE / HTTP/1.1\r\nHost: a\r\n\r\n"),
		S(501, "!x-y / HTTP/1.1\r\nHost: a\r\n\r\n"),
		S(400, "GE\0T / HTTP/1.1\r\nHost: a\r\n\r\n"),
		S(400, "G(T / HTTP/1.1\r\nHost: a\r\n\r\n"), S(400, "{}\r\n\r\n"),
		S(400, "GET\r\n\r\n"));
}
END_TEST

START_TEST(the_request_line_has_single_spaces_and_a_clean_target)
{
	ALL_REFUSED(H1_REQUEST, S(400, "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n"),
		S(400, "GET  / HTTP/1.1\r\nHost: a\r\n\r\n"),
		S(400, "GET /  HTTP/1.1\r\nHost: a\r\n\r\n"),
		S(400, "GET  HTTP/1.1\r\nHost: a\r\n\r\n"),
		S(400, "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n"),
		S(400, "GET /\tHTTP/1.1\r\nHost: a\r\n\r\n"),
		S(400, "GET /a\tb HTTP/1.1\r\nHost: a\r\n\r\n"),
		S(400, "GET /\f HTTP/1.1\r\nHost: a\r\n\r\n"),
		S(400, "GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n"),
		S(400, "GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n"),
		S(400, "GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n"),
		S(400, "GET /\xc3\xa4 HTTP/1.1\r\nHost: a\r\n\r\n"),
		S(400, "GET /\r HTTP/1.1\r\nHost: a\r\n\r\n"),
		S(400, "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n"),
		S(400, "GET a HTTP/1.1\r\nHost: a\r\n\r\n"),
		S(400, "GET ?a HTTP/1.1\r\nHost: a\r\n\r\n"),
		S(400, "GET * HTTP/1.1\r\nHost: a\r\n\r\n"),
		S(400, "OPTIONS *a HTTP/1.1\r\nHost: a\r\n\r\n"),
		S(400, "GET http:/a HTTP/1.1\r\nHost: a\r\n\r\n"),
		S(400, "GET http:// HTTP/1.1\r\nHost: a\r\n\r\n"),
		S(400, "GET http:///a HTTP/1.1\r\nHost: a\r\n\r\n"),
		S(400, "GET http://:80/ HTTP/1.1\r\nHost: a\r\n\r\n"),
		S(400, "GET http://a:b/ HTTP/1.1\r\nHost: a\r\n\r\n"),
		S(400, "GET http://user@a/ HTTP/1.1\r\nHost: a\r\n\r\n"),
		S(400, "GET http://user:pw@a/ HTTP/1.1\r\nHost: a\r\n\r\n"),
		S(400, "GET ://a/ HTTP/1.1\r\nHost: a\r\n\r\n"),
		S(400, "CONNECT /a HTTP/1.1\r\nHost: a\r\n\r\n"),
		S(400, "CONNECT http://a/ HTTP/1.1\r\nHost: a\r\n\r\n"));
}
END_TEST

START_TEST(content_length_is_one_plain_number)
{
	ALL_REFUSED(H1_REQUEST, LINE(400, "Content-Length: 5\r\nContent-Length: 6"),
		LINE(400, "Content-Length: 5\r\nContent-Length: 5"),
		LINE(400, "Content-Length: 0\r\ncontent-length: 0"),
		LINE(400, "Content-Length: 5, 5"), LINE(400, "Content-Length: 5,5"),
		LINE(400, "Content-Length: 5,"), LINE(400, "Content-Length: ,5"),
		LINE(400, "Content-Length: +5"), LINE(400, "Content-Length: -5"),
		LINE(400, "Content-Length: -0"), LINE(400, "Content-Length: 5 5"),
		LINE(400, "Content-Length: 0x5"), LINE(400, "Content-Length: a"),
		LINE(400, "Content-Length: 5a"), LINE(400, "Content-Length: 5.0"),
		LINE(400, "Content-Length: 1e3"), LINE(400, "Content-Length: \"5\""),
		LINE(400, "Content-Length:"), LINE(400, "Content-Length:  "),
		LINE(400, "Content-Length: 5;"), LINE(400, "Content-Length: 5\x0b"),
		LINE(400, "Content-Length: 9223372036854775808"),
		LINE(400, "Content-Length: 18446744073709551616"),
		LINE(400, "Content-Length: 18446744073709551621"),
		LINE(400, "Content-Length: 99999999999999999999999999"));
	ALL_REFUSED(H1_RESPONSE, RLINE("Content-Length: 5\r\nContent-Length: 6"),
		RLINE("Content-Length: 5\r\nContent-Length: 5"), RLINE("Content-Length: 5, 5"),
		RLINE("Content-Length: +5"), RLINE("Content-Length: -5"),
		RLINE("Content-Length: 5 5"), RLINE("Content-Length: 0x5"),
		RLINE("Content-Length:"), RLINE("Content-Length: 9223372036854775808"),
		RLINE("Content-Length: 18446744073709551621"));
}
END_TEST

START_TEST(a_length_next_to_a_coding_is_refused)
{
	ALL_REFUSED(H1_REQUEST, LINE(400, "Content-Length: 5\r\nTransfer-Encoding: chunked"),
		LINE(400, "Transfer-Encoding: chunked\r\nContent-Length: 5"),
		LINE(400, "Content-Length: 0\r\nTransfer-Encoding: chunked"),
		LINE(400, "Transfer-Encoding: gzip\r\nContent-Length: 5"));
	ALL_REFUSED(H1_RESPONSE, RLINE("Content-Length: 5\r\nTransfer-Encoding: chunked"),
		RLINE("Transfer-Encoding: chunked\r\nContent-Length: 5"),
		RLINE("Transfer-Encoding: gzip\r\nContent-Length: 5"));
}
END_TEST

START_TEST(the_only_transfer_coding_is_chunked)
{
	ALL_REFUSED(H1_REQUEST,
		S(400, "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
		LINE(501, "Transfer-Encoding: gzip"), LINE(501, "Transfer-Encoding: gzip, chunked"),
		LINE(400, "Transfer-Encoding: chunked, gzip"),
		LINE(501, "Transfer-Encoding: identity"), LINE(501, "Transfer-Encoding: xchunked"),
		LINE(501, "Transfer-Encoding: chunkedx"),
		LINE(400, "Transfer-Encoding: chunked, chunked"),
		LINE(501, "Transfer-Encoding: chunked;a=b"),
		LINE(501, "Transfer-Encoding: \"chunked\""),
		LINE(400, "Transfer-Encoding: chunked,"), LINE(501, "Transfer-Encoding: ,chunked"),
		LINE(501, "Transfer-Encoding:"), LINE(501, "Transfer-Encoding: chu nked"),
		LINE(501, "Transfer-Encoding: c\xc5\xbfhunked"),
		LINE(400, "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"),
		LINE(400, "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked"),
		LINE(400, "Transfer-Encoding: \x0b"
			  "chunked"));
	ALL_REFUSED(H1_RESPONSE,
		S(400, "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
		RLINE("Transfer-Encoding: gzip"), RLINE("Transfer-Encoding: gzip, chunked"),
		RLINE("Transfer-Encoding: chunked, gzip"), RLINE("Transfer-Encoding: identity"),
		RLINE("Transfer-Encoding: chunked, chunked"), RLINE("Transfer-Encoding:"),
		RLINE("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"));
}
END_TEST

/* llhttp 8 does not know a tab behind the name: then there is no head either. */
START_TEST(a_coding_is_taken_by_both_readers_or_refused_with_the_head)
{
	const char *text =
		RESPONSE("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\t\r\n\r\n0\r\n\r\n");

	ck_assert(strcmp(text, "error 400\n") == 0 ||
		  strcmp(text, "200 1.1 keep body chunked\ntransfer-encoding=chunked\nend\n") == 0);
}
END_TEST

#define CHUNKS(lit)  S(400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" lit)
#define RCHUNKS(lit) S(400, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" lit)

#define BAD_CHUNKS(M)                                                                              \
	M("5\r\nhelloX0\r\n\r\n"), M("5\r\nhello\n0\r\n\r\n"),                                     \
		M("5\r\nhello\r0\r\n"                                                              \
		  "\r\n"),                                                                         \
		M("5\r\nhello0\r\n\r\n"),                                                          \
		M("5\r\nhello\r\r\n0\r\n"                                                          \
		  "\r\n"),                                                                         \
		M("3\r\nhello\r\n0\r\n\r\n"),                                                      \
		M("5x\r\nhello\r\n0\r\n"                                                           \
		  "\r\n"),                                                                         \
		M("x\r\nhello\r\n0\r\n\r\n"),                                                      \
		M("0x5\r\nhello\r\n0\r\n"                                                          \
		  "\r\n"),                                                                         \
		M("-5\r\nhello\r\n0\r\n\r\n"),                                                     \
		M("+5\r\nhello\r\n0\r\n"                                                           \
		  "\r\n"),                                                                         \
		M(" 5\r\nhello\r\n0\r\n\r\n"),                                                     \
		M("5 \r\nhello\r\n0\r\n"                                                           \
		  "\r\n"),                                                                         \
		M("5\t\r\nhello\r\n0\r\n\r\n"),                                                    \
		M("5 5\r\nhello\r\n0\r\n"                                                          \
		  "\r\n"),                                                                         \
		M("\r\nhello\r\n0\r\n\r\n"),                                                       \
		M(";a\r\nhello\r\n0\r\n"                                                           \
		  "\r\n"),                                                                         \
		M("5,\r\nhello\r\n0\r\n\r\n"),                                                     \
		M("5\0\r\nhello\r\n0\r\n"                                                          \
		  "\r\n"),                                                                         \
		M("5\nhello\r\n0\r\n\r\n"),                                                        \
		M("5\rhello\r\n0\r\n"                                                              \
		  "\r\n"),                                                                         \
		M("5\r\r\nhello\r\n0\r\n\r\n"),                                                    \
		M("8000000000000000\r\n"                                                           \
		  "x"),                                                                            \
		M("FFFFFFFFFFFFFFFF\r\nx"),                                                        \
		M("10000000000000005\r\nhello\r\n0\r\n"                                            \
		  "\r\n"),                                                                         \
		M("fffffffffffffffffffffffffffff\r\nx"),                                           \
		M("5;a\nhello\r\n0\r\n"                                                            \
		  "\r\n"),                                                                         \
		M("5;a\rb\r\nhello\r\n0\r\n\r\n"),                                                 \
		M("5;a=\rb\r\nhello\r\n0\r\n"                                                      \
		  "\r\n"),                                                                         \
		M("5;a=\"\n\"\r\nhello\r\n0\r\n\r\n"),                                             \
		M("5;a=\"\r\n\"\r\nhello\r\n0\r\n"                                                 \
		  "\r\n"),                                                                         \
		M("5;\0\r\nhello\r\n0\r\n\r\n"),                                                   \
		M("5;a=\x01\r\nhello\r\n0\r\n"                                                     \
		  "\r\n"),                                                                         \
		M("5;a\r \nhello\r\n0\r\n\r\n"), M("0\r\n\n"), M("0\n\r\n"),                       \
		M("0\r\nA: b\n"                                                                    \
		  "\r\n"),                                                                         \
		M("0\r\nA : b\r\n\r\n"), M("0\r\n A: b\r\n\r\n"),                                  \
		M("0\r\nA: b\r\n c\r\n"                                                            \
		  "\r\n"),                                                                         \
		M("0\r\nA:\rb\r\n\r\n"), M("0\r\nA: \0\r\n\r\n"),                                  \
		M("0\r\n: b\r\n"                                                                   \
		  "\r\n"),                                                                         \
		M("0\r\nA\r\n\r\n"),                                                               \
		M("0\r\nContent-Length: 5\r\n"                                                     \
		  "\r\n"),                                                                         \
		M("0\r\nTransfer-Encoding: chunked\r\n\r\n"),                                      \
		M("0\r\nHost: b\r\n"                                                               \
		  "\r\n"),                                                                         \
		M("0\r\nGET / HTTP/1.1\r\n\r\n"), M("0\r\n\rX")

START_TEST(a_chunk_size_fits_in_63_bits)
{
	ck_assert_str_eq(RESPONSE("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
				  "8000000000000000\r\nx"),
		"200 1.1 keep body chunked\ntransfer-encoding=chunked\nerror 400\n");
	ck_assert_str_eq(RESPONSE("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
				  "7fffffffffffffff\r\nx"),
		"200 1.1 keep body chunked\ntransfer-encoding=chunked\nbody=x\nerror 400\n");
	ck_assert_str_eq(
		RESPONSE("HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775807\r\n\r\nx"),
		"200 1.1 keep body\ncontent-length=9223372036854775807\nbody=x\nerror 400\n");
}
END_TEST

START_TEST(a_chunk_without_size_is_not_the_last_one)
{
	REFUSED(H1_REQUEST, LATE, CHUNKS("\r\n\r\n"), CHUNKS(";a\r\n\r\n"));
	REFUSED(H1_RESPONSE, LATE, RCHUNKS("\r\n\r\n"), RCHUNKS(";a\r\n\r\n"));
}
END_TEST

/* Whichever reader finds it, and however far the other one had read. */
START_TEST(the_first_error_in_the_bytes_is_the_one_reported)
{
	ALL_REFUSED(H1_REQUEST, S(501, "BREW /\x01 HTTP/1.1\r\nHost: a\r\n\r\n"),
		S(400, "GE\x01 / HTTP/2.0\r\nHost: a\r\n\r\n"),
		LINE(501, "Transfer-Encoding: gzip"));
}
END_TEST

START_TEST(broken_chunks_and_trailers_are_refused)
{
	REFUSED(H1_REQUEST, LATE, BAD_CHUNKS(CHUNKS));
	REFUSED(H1_RESPONSE, LATE, BAD_CHUNKS(RCHUNKS));
}
END_TEST

START_TEST(a_tls_client_is_told_to_speak_plain_http)
{
	static const char hello[] = "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
	struct h1_parser *p = h1_parser_new(ctx, H1_REQUEST, &wide);
	struct cc_head *h = cc_head_new(ctx);
	const char *data;
	size_t used, len;

	h1_parser_begin(p, h);
	ck_assert_int_eq(h1_parser_feed(p, hello, sizeof(hello) - 1, &used, &data, &len), H1_ERROR);
	ck_assert_uint_eq(h1_parser_error(p)->status, 400);
	ck_assert_str_eq(h1_parser_error(p)->reason,
		"this socket speaks plain HTTP: write http://, not https://");
	ck_assert_int_eq(h1_parser_feed(p, hello, 1, &used, &data, &len), H1_ERROR);
	ck_assert_uint_eq(used, 0);
	h1_parser_free(p);
	cc_head_free(h);
}
END_TEST

/* ---- limits ---------------------------------------------------------------- */

#define LIMITED(limits, lit) parse(H1_REQUEST, false, limits, lit, sizeof(lit) - 1)

START_TEST(the_head_may_have_exactly_the_bytes_allowed)
{
	const struct h1_limits exact = {.head = 27, .fields = 9}, less = {.head = 26, .fields = 9};

	ck_assert_str_eq(LIMITED(&exact, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
		"GET scheme= authority=a path=/ 1.1 keep\nend\n");
	ck_assert_str_eq(LIMITED(&less, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"), "error 431\n");
	ck_assert_str_eq(LIMITED(&less, "GET / HTTP/1.1\r\n"
					"A: 0123456789012345678901234567"),
		"error 431\n");
	/* Each message counts anew. */
	ck_assert_str_eq(
		LIMITED(&exact,
			"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: b\r\n\r\n"),
		"GET scheme= authority=a path=/ 1.1 keep\nend\n"
		"GET scheme= authority=b path=/ 1.1 keep\nend\n");
}
END_TEST

START_TEST(fields_are_counted)
{
	const struct h1_limits two = {.head = 1000, .fields = 2};

	ck_assert_str_eq(LIMITED(&two, "GET / HTTP/1.1\r\nHost: a\r\nB: c\r\n\r\n"),
		"GET scheme= authority=a path=/ 1.1 keep\nb=c\nend\n");
	ck_assert_str_eq(LIMITED(&two, "GET / HTTP/1.1\r\nHost: a\r\nB: c\r\nD: e\r\n"
				       "\r\n"),
		"error 431\n");
}
END_TEST

START_TEST(a_long_target_has_an_answer_of_its_own)
{
	const struct h1_limits four = {.head = 1000, .fields = 9, .target = 4};
	const struct h1_limits head = {.head = 20, .fields = 9};

	ck_assert_str_eq(LIMITED(&four, "GET /abc HTTP/1.1\r\nHost: a\r\n\r\n"),
		"GET scheme= authority=a path=/abc 1.1 keep\nend\n");
	ck_assert_str_eq(LIMITED(&four, "GET /abcd HTTP/1.1\r\nHost: a\r\n\r\n"), "error 414\n");
	ck_assert_str_eq(
		LIMITED(&head, "GET /abcdefghijklmnopqrstuvwxyz HTTP/1.1\r\nHost: a\r\n\r\n"),
		"error 414\n");
}
END_TEST

START_TEST(trailers_have_the_same_limits)
{
	const struct h1_limits l = {.head = 60, .fields = 2};

#define POST "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"
	ck_assert_str_eq(LIMITED(&l, POST "A: b\r\nC: d\r\n\r\n"),
		"POST scheme= authority=a path=/ 1.1 keep body chunked\n"
		"transfer-encoding=chunked\n"
		"trailer a=b\ntrailer c=d\nend\n");
	ck_assert_str_eq(LIMITED(&l, POST "A: b\r\nC: d\r\nE: f\r\n\r\n"),
		"POST scheme= authority=a path=/ 1.1 keep body chunked\n"
		"transfer-encoding=chunked\nerror 431\n");
	ck_assert_str_eq(
		LIMITED(&l,
			POST "A: 012345678901234567890123456789012345678901234567890123456789\r\n"
			     "\r\n"),
		"POST scheme= authority=a path=/ 1.1 keep body chunked\n"
		"transfer-encoding=chunked\nerror 431\n");
#undef POST
}
END_TEST

START_TEST(a_chunk_line_cannot_be_endless)
{
	static char bytes[2000];
	int n = snprintf(bytes, sizeof(bytes),
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;a=%0500d\r\nx\r\n0\r\n"
		"\r\n",
		1);

	ck_assert_str_eq(parse(H1_RESPONSE, false, &wide, bytes, (size_t)n),
		"200 1.1 keep body chunked\ntransfer-encoding=chunked\nerror 400\n");
	n = snprintf(bytes, sizeof(bytes),
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%0500d\r\nx\r\n0\r\n"
		"\r\n",
		1);
	ck_assert_str_eq(parse(H1_RESPONSE, false, &wide, bytes, (size_t)n),
		"200 1.1 keep body chunked\ntransfer-encoding=chunked\nerror 400\n");
}
END_TEST

START_TEST(large_heads_grow_and_stay_whole)
{
	static char bytes[40000], expected[40000];
	const struct h1_limits l = {.head = sizeof(bytes), .fields = 500};
	int n = sprintf(bytes, "GET / HTTP/1.1\r\nHost: a\r\n");
	int m = sprintf(expected, "GET scheme= authority=a path=/ 1.1 keep\n");

	for (int i = 0; i < 300; i++) {
		n += sprintf(bytes + n, "Name-%d: value %0*d\r\n", i, i % 90, i);
		m += sprintf(expected + m, "name-%d=value %0*d\n", i, i % 90, i);
	}
	n += sprintf(bytes + n, "\r\n");
	sprintf(expected + m, "end\n");
	ck_assert_str_eq(parse(H1_REQUEST, false, &l, bytes, (size_t)n), expected);
}
END_TEST

/* ---- responses --------------------------------------------------------------- */

START_TEST(a_response_with_length_leaves_the_connection_open)
{
	ck_assert_str_eq(RESPONSE("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nServer: x\r\n\r\n"
				  "helloHTTP/1.1 404 \r\nContent-Length: 0\r\n\r\n"),
		"200 1.1 keep body\ncontent-length=5\nserver=x\nbody=hello\nend\n404 1.1 keep\n"
		"content-length=0\nend\n");
}
END_TEST

START_TEST(the_reason_may_be_anything_printable_or_missing)
{
	ck_assert_str_eq(RESPONSE("HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n"),
		"200 1.1 keep\ncontent-length=0\nend\n");
	ck_assert_str_eq(
		RESPONSE("HTTP/1.1 299 \tGr\xc3\xbc\xc3\x9f e: /\r\nContent-Length: 0\r\n\r\n"),
		"299 1.1 keep\ncontent-length=0\nend\n");
	ALL_REFUSED(H1_RESPONSE, S(400, "HTTP/1.1 200 O\0K\r\n\r\n"),
		S(400, "HTTP/1.1 200 \x1b[\r\n\r\n"), S(400, "HTTP/1.1 20 OK\r\n\r\n"),
		S(400, "HTTP/1.1 2000 OK\r\n\r\n"), S(400, "HTTP/1.1 2x0 OK\r\n\r\n"),
		S(400, "HTTP/1.1 020 OK\r\n\r\n"), S(400, "HTTP/1.1  200 OK\r\n\r\n"),
		S(400, "HTTP/1.1\t200 OK\r\n\r\n"), S(400, "HTTP/1.1 -20 OK\r\n\r\n"),
		S(400, "HTTP/1.1\r\n\r\n"));
}
END_TEST

START_TEST(a_response_without_length_ends_with_the_connection)
{
	ck_assert_str_eq(RESPONSE("HTTP/1.1 200 OK\r\n\r\nall of it\r\n"),
		"200 1.1 close body eof\nbody=all of it\r\n\nend\n");
	ck_assert_str_eq(RESPONSE("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\nx"),
		"200 1.0 close body eof\nconnection=keep-alive\nbody=x\nend\n");
	ck_assert_str_eq(RESPONSE("HTTP/1.1 200 OK\r\n\r\n"), "200 1.1 close body eof\nend\n");
}
END_TEST

START_TEST(a_cut_message_is_an_error)
{
	REFUSED(H1_RESPONSE, LATE, S(400, "H"), S(400, "HTTP/1.1 200 OK\r\n"),
		S(400, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell"),
		S(400, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello"),
		S(400, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"),
		S(400, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
		       "0\r\n"),
		S(400, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n"
		       "\r"));
}
END_TEST

START_TEST(some_answers_never_have_a_body)
{
	ck_assert_str_eq(
		HEAD_RESPONSE("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nHTTP/1.1 200 OK\r\n"
			      "Transfer-Encoding: chunked\r\n\r\n"),
		"200 1.1 keep\ncontent-length=50\nend\n200 1.1 keep\ntransfer-encoding=chunked\n"
		"end\n");
	ck_assert_str_eq(HEAD_RESPONSE("HTTP/1.1 200 OK\r\n\r\n"), "200 1.1 keep\nend\n");
	ck_assert_str_eq(
		RESPONSE("HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\nHTTP/1.1 304 Not\r\n"
			 "Content-Length: 5\r\n\r\n"
			 "HTTP/1.1 304 Not\r\nTransfer-Encoding: chunked\r\n\r\nHTTP/1.1 204 \r\n"
			 "\r\n"),
		"204 1.1 keep\ncontent-length=5\nend\n304 1.1 keep\ncontent-length=5\nend\n"
		"304 1.1 keep\ntransfer-encoding=chunked\nend\n204 1.1 keep\nend\n");
}
END_TEST

START_TEST(interim_answers_are_messages_of_their_own)
{
	ck_assert_str_eq(
		RESPONSE("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 \r\nLink: </a>\r\n"
			 "Content-Length: 9\r\n\r\n"
			 "HTTP/1.1 199 x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx"),
		"100 1.1 keep\nend\n103 1.1 keep\nlink=</a>\ncontent-length=9\nend\n"
		"199 1.1 keep\nend\n200 1.1 keep body\ncontent-length=1\nbody=x\nend\n");
}
END_TEST

START_TEST(switching_protocols_is_reported_and_ends_the_connection)
{
	ck_assert_str_eq(
		RESPONSE("HTTP/1.1 101 Switching\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n"),
		"101 1.1 close\nupgrade=h2c\nconnection=upgrade\nend\n");
}
END_TEST

START_TEST(upgrade_in_an_answer_changes_nothing)
{
	ck_assert_str_eq(RESPONSE("HTTP/1.1 200 OK\r\nUpgrade: h2,h2c\r\n"
				  "Connection: Upgrade, Keep-Alive\r\nContent-Length: 2\r\n\r\nok"),
		"200 1.1 keep body\nupgrade=h2,h2c\nconnection=Upgrade, Keep-Alive\n"
		"content-length=2\nbody=ok\nend\n");
}
END_TEST

START_TEST(connection_close_in_an_answer_is_seen)
{
	ck_assert_str_eq(
		RESPONSE("HTTP/1.1 200 OK\r\nConnection: foo, CLOSE\r\nContent-Length: 0\r\n"
			 "\r\n"),
		"200 1.1 close\nconnection=foo, CLOSE\ncontent-length=0\nend\n");
	ck_assert_str_eq(
		RESPONSE("HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 0\r\n"
			 "\r\n"),
		"200 1.0 keep\nconnection=Keep-Alive\ncontent-length=0\nend\n");
	ck_assert_str_eq(RESPONSE("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n"),
		"200 1.0 close\ncontent-length=0\nend\n");
}
END_TEST

START_TEST(chunked_answers_may_have_trailers)
{
	ck_assert_str_eq(
		RESPONSE("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\n"
			 "de\r\n0\r\nSum: 1\r\n\r\n"
			 "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n"
			 "\r\n"),
		"200 1.1 keep body chunked\ntransfer-encoding=chunked\nbody=abcde\n"
		"trailer sum=1\nend\n"
		"200 1.1 keep body chunked\ntransfer-encoding=chunked\nbody=x\nend\n");
}
END_TEST

START_TEST(a_parser_tells_whether_a_message_has_begun)
{
	struct h1_parser *p = h1_parser_new(ctx, H1_REQUEST, &wide);
	struct cc_head *h = cc_head_new(ctx);
	const char *data;
	size_t used, len;

	ck_assert(!h1_parser_started(p));
	ck_assert_int_eq(h1_parser_feed(p, "G", 1, &used, &data, &len), H1_MORE);
	ck_assert_uint_eq(used, 0); /* not before h1_parser_begin */
	h1_parser_begin(p, h);
	ck_assert_int_eq(h1_parser_feed(p, "\r\n", 2, &used, &data, &len), H1_MORE);
	ck_assert(!h1_parser_started(p));
	ck_assert_int_eq(h1_parser_feed(p, "G", 1, &used, &data, &len), H1_MORE);
	ck_assert(h1_parser_started(p));
	ck_assert_int_eq(h1_parser_eof(p), H1_ERROR);
	h1_parser_free(p);
	cc_head_free(h);
}
END_TEST

START_TEST(body_spans_point_into_what_was_fed)
{
	static const char bytes[] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello!";
	struct h1_parser *p = h1_parser_new(ctx, H1_RESPONSE, &wide);
	struct cc_head *h = cc_head_new(ctx);
	const char *data;
	size_t used, len, pos;

	h1_parser_begin(p, h);
	ck_assert_int_eq(h1_parser_feed(p, bytes, sizeof(bytes) - 1, &used, &data, &len), H1_HEAD);
	pos = used;
	ck_assert_int_eq(
		h1_parser_feed(p, bytes + pos, sizeof(bytes) - 1 - pos, &used, &data, &len),
		H1_BODY);
	ck_assert_ptr_eq(data, bytes + pos);
	ck_assert_uint_eq(len, 5);
	ck_assert_uint_eq(used, 5);
	/* Nothing behind the message is taken. */
	ck_assert_int_eq(h1_parser_feed(p, bytes + pos + 5, 1, &used, &data, &len), H1_END);
	ck_assert_uint_eq(used, 0);
	ck_assert_int_eq(h1_parser_feed(p, bytes + pos + 5, 1, &used, &data, &len), H1_MORE);
	ck_assert_uint_eq(used, 0);
	h1_parser_free(p);
	cc_head_free(h);
}
END_TEST

static size_t largest;

static void *measuring_alloc(size_t size, void *arg)
{
	(void)arg;
	if (size > largest)
		largest = size;
	return malloc(size);
}

/* An idle client holds one: no buffer may come into it. */
START_TEST(the_parser_is_small)
{
	ctx->mem.alloc = measuring_alloc;
	largest = 0;

	struct h1_parser *p = h1_parser_new(ctx, H1_REQUEST, &wide);

	ck_assert_uint_gt(largest, 0);
	ck_assert_uint_lt(largest, 300);
	h1_parser_free(p);
}
END_TEST

/* ---- writing ------------------------------------------------------------------ */

static void assert_bytes(struct cc_buf *b, const char *expected)
{
	static char got[70000];
	size_t n = cc_buf_peek(b, got, sizeof(got) - 1);

	got[n] = '\0';
	ck_assert_str_eq(got, expected);
	cc_buf_clear(b);
}

static struct cc_head *request_head(const char *method, const char *authority, const char *path)
{
	struct cc_head *h = cc_head_new(ctx);

	ck_assert_int_eq(cc_head_set_request(h, (struct cc_str){method, strlen(method)},
				 CC_STR("https"), (struct cc_str){authority, strlen(authority)},
				 (struct cc_str){path, strlen(path)}),
		0);
	return h;
}

static void add(struct cc_head *h, const char *name, const char *value)
{
	ck_assert_int_eq(cc_head_add(h, (struct cc_str){name, strlen(name)},
				 (struct cc_str){value, strlen(value)}),
		0);
}

START_TEST(requests_are_written_without_what_belongs_to_one_hop)
{
	struct cc_head *h = request_head("POST", "ex.org", "/a?b");
	struct cc_buf out;

	cc_buf_init(&out, ctx);
	add(h, "Accept", "*/*");
	add(h, "Connection", "X-Hop, close");
	add(h, "X-Hop", "1");
	add(h, "Host", "other");
	add(h, "Content-Length", "99");
	add(h, "Transfer-Encoding", "chunked");
	add(h, "Keep-Alive", "1");
	add(h, "Upgrade", "h2c");
	add(h, "TE", "gzip");
	add(h, "Proxy-Connection", "close");
	add(h, "Trailer", "Sum");
	ck_assert_int_eq(
		h1_write_request(&out, h,
			&(struct h1_write){.framing = H1_FRAME_LENGTH, .length = 1234567890123}),
		0);
	assert_bytes(&out, "POST /a?b HTTP/1.1\r\nHost: ex.org\r\naccept: */*\r\ntrailer: Sum\r\n"
			   "Content-Length: 1234567890123\r\n\r\n");
	ck_assert_int_eq(h1_write_request(&out, h,
				 &(struct h1_write){.framing = H1_FRAME_CHUNKED, .close = true}),
		0);
	assert_bytes(&out, "POST /a?b HTTP/1.1\r\nHost: ex.org\r\naccept: */*\r\ntrailer: Sum\r\n"
			   "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n");
	cc_head_free(h);
}
END_TEST

START_TEST(requests_without_path_get_the_target_they_need)
{
	struct cc_head *get = request_head("GET", "", ""),
		       *conn = request_head("CONNECT", "a:1", "");
	struct cc_buf out;

	cc_buf_init(&out, ctx);
	ck_assert_int_eq(
		h1_write_request(&out, get, &(struct h1_write){.framing = H1_FRAME_NONE}), 0);
	assert_bytes(&out, "GET / HTTP/1.1\r\nHost: \r\n\r\n");
	ck_assert_int_eq(
		h1_write_request(&out, conn, &(struct h1_write){.framing = H1_FRAME_NONE}), 0);
	assert_bytes(&out, "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n");
	cc_head_free(get);
	cc_head_free(conn);
}
END_TEST

START_TEST(responses_are_written_in_every_framing)
{
	struct cc_head *h = cc_head_new(ctx);
	struct cc_buf out;

	cc_buf_init(&out, ctx);
	ck_assert_int_eq(cc_head_set_status(h, 200), 0);
	add(h, "Content-Length", "7");
	add(h, "A", "b");
	h1_write_response(&out, h, &(struct h1_write){.framing = H1_FRAME_NONE});
	assert_bytes(&out, "HTTP/1.1 200 OK\r\na: b\r\n\r\n");
	h1_write_response(
		&out, h, &(struct h1_write){.framing = H1_FRAME_AS_IS, .keep_alive = true});
	assert_bytes(&out,
		"HTTP/1.1 200 OK\r\ncontent-length: 7\r\na: b\r\nConnection: keep-alive\r\n\r\n");
	h1_write_response(&out, h, &(struct h1_write){.framing = H1_FRAME_EOF, .keep_alive = true});
	assert_bytes(&out, "HTTP/1.1 200 OK\r\na: b\r\nConnection: close\r\n\r\n");
	h1_write_response(&out, h, &(struct h1_write){.framing = H1_FRAME_LENGTH, .length = 0});
	assert_bytes(&out, "HTTP/1.1 200 OK\r\na: b\r\nContent-Length: 0\r\n\r\n");
	ck_assert_int_eq(cc_head_set_status(h, 599), 0);
	h1_write_response(&out, h,
		&(struct h1_write){
			.framing = H1_FRAME_LENGTH, .length = UINT64_MAX, .close = true});
	assert_bytes(&out, "HTTP/1.1 599 \r\na: b\r\nContent-Length: 18446744073709551615\r\n"
			   "Connection: close\r\n\r\n");
	cc_head_free(h);
}
END_TEST

START_TEST(heads_larger_than_a_slab_are_written_too)
{
	static char value[20001], expected[50000];
	struct cc_head *h = cc_head_new(ctx);
	struct cc_buf out;

	memset(value, 'v', sizeof(value) - 1);
	cc_buf_init(&out, ctx);
	ck_assert_int_eq(cc_head_set_status(h, 404), 0);
	add(h, "A", value);
	add(h, "B", value);
	ck_assert_int_eq(
		h1_write_response(&out, h, &(struct h1_write){.framing = H1_FRAME_LENGTH}), 0);
	snprintf(expected, sizeof(expected),
		"HTTP/1.1 404 Not Found\r\na: %s\r\nb: %s\r\nContent-Length: 0\r\n\r\n", value,
		value);
	assert_bytes(&out, expected);
	cc_head_free(h);
}
END_TEST

/* The only slab that there may be is full to its last byte. */
static void take_all_memory(struct cc_buf *rest)
{
	ctx->slabs.max = ctx->slabs.used;
	cc_buf_init(rest, ctx);
	while (cc_buf_add(rest, "r", 1) == 0)
		continue;
}

START_TEST(writing_without_memory_leaves_what_was_there)
{
	static char big[4000];
	const struct h1_write plain = {.framing = H1_FRAME_NONE};
	struct cc_head *get = cc_head_new(ctx), *ok = cc_head_new(ctx),
		       *trailers = cc_head_new(ctx);
	struct cc_buf out, rest, small, large;

	ck_assert_int_eq(cc_head_set_request(
				 get, CC_STR("GET"), CC_STR("http"), CC_STR("a.test"), CC_STR("/")),
		0);
	ck_assert_int_eq(cc_head_set_status(ok, 200), 0);
	add(trailers, "X-Sum", "1");
	cc_buf_init(&out, ctx);
	cc_buf_init(&small, ctx);
	cc_buf_init(&large, ctx);
	ck_assert_int_eq(cc_buf_add(&small, big, 10), 0);
	ck_assert_int_eq(cc_buf_add(&large, big, sizeof(big)), 0);
	ck_assert_int_eq(cc_buf_add(&out, "here", 4), 0);
	take_all_memory(&rest);

	ck_assert_int_eq(h1_write_request(&out, get, &plain), CC_ENOMEM);
	ck_assert_int_eq(h1_write_response(&out, ok, &plain), CC_ENOMEM);
	ck_assert_int_eq(h1_write_chunk(&out, &small), CC_ENOMEM);
	ck_assert_int_eq(h1_write_chunk(&out, &large), CC_ENOMEM);
	ck_assert_int_eq(h1_write_last_chunk(&out, NULL), CC_ENOMEM);
	ck_assert_int_eq(h1_write_last_chunk(&out, trailers), CC_ENOMEM);
	ck_assert_uint_eq(small.len, 10);
	ck_assert_uint_eq(large.len, sizeof(big));
	assert_bytes(&out, "here");

	cc_buf_clear(&rest);
	cc_buf_clear(&small);
	cc_buf_clear(&large);
	cc_head_free(get);
	cc_head_free(ok);
	cc_head_free(trailers);
}
END_TEST

START_TEST(chunks_are_written_small_and_large)
{
	static char big[60001], expected[70000];
	struct cc_buf out, body;

	memset(big, 'x', sizeof(big) - 1);
	cc_buf_init(&out, ctx);
	cc_buf_init(&body, ctx);
	ck_assert_int_eq(h1_write_chunk(&out, &body), 0);
	ck_assert_uint_eq(out.len, 0); /* an empty chunk would be the last one */
	cc_buf_add(&body, "0123456789", 10);
	ck_assert_int_eq(h1_write_chunk(&out, &body), 0);
	ck_assert_uint_eq(body.len, 0);
	assert_bytes(&out, "a\r\n0123456789\r\n");
	cc_buf_add(&body, big, sizeof(big) - 1);
	ck_assert_int_eq(h1_write_chunk(&out, &body), 0);
	ck_assert_uint_eq(body.len, 0);
	snprintf(expected, sizeof(expected), "ea60\r\n%s\r\n", big);
	assert_bytes(&out, expected);
}
END_TEST

START_TEST(trailers_that_may_not_be_are_left_out)
{
	struct cc_head *h = cc_head_new(ctx);
	struct cc_buf out;

	cc_buf_init(&out, ctx);
	ck_assert_int_eq(h1_write_last_chunk(&out, NULL), 0);
	assert_bytes(&out, "0\r\n\r\n");
	add(h, "Sum", "1");
	add(h, "Content-Length", "1");
	add(h, "Transfer-Encoding", "chunked");
	add(h, "Host", "a");
	add(h, "Authorization", "x");
	add(h, "Set-Cookie", "x");
	add(h, "Content-Type", "x");
	add(h, "Trailer", "x");
	add(h, "Connection", "Other");
	add(h, "Other", "x");
	add(h, "Grpc-Status", "0");
	ck_assert_int_eq(h1_write_last_chunk(&out, h), 0);
	assert_bytes(&out, "0\r\nsum: 1\r\ngrpc-status: 0\r\n\r\n");
	cc_head_free(h);
}
END_TEST

START_TEST(reasons_are_the_registered_ones)
{
	ck_assert_str_eq(h1_reason(100), "Continue");
	ck_assert_str_eq(h1_reason(103), "Early Hints");
	ck_assert_str_eq(h1_reason(204), "No Content");
	ck_assert_str_eq(h1_reason(308), "Permanent Redirect");
	ck_assert_str_eq(h1_reason(421), "Misdirected Request");
	ck_assert_str_eq(h1_reason(431), "Request Header Fields Too Large");
	ck_assert_str_eq(h1_reason(451), "Unavailable For Legal Reasons");
	ck_assert_str_eq(h1_reason(504), "Gateway Timeout");
	ck_assert_str_eq(h1_reason(511), "Network Authentication Required");
	for (unsigned status = 0; status < 1200; status++)
		ck_assert_ptr_nonnull(h1_reason(status));
	ck_assert_str_eq(h1_reason(99), "");
	ck_assert_str_eq(h1_reason(299), "");
	ck_assert_str_eq(h1_reason(600), "");
}
END_TEST

/* What was written parses to the same head again. */
START_TEST(a_written_request_is_read_back)
{
	struct cc_head *h = request_head("PUT", "[::1]:81", "/x");
	struct cc_buf out;
	static char bytes[1000];

	cc_buf_init(&out, ctx);
	add(h, "A", "b, c");
	h1_write_request(&out, h, &(struct h1_write){.framing = H1_FRAME_LENGTH, .length = 0});

	size_t n = cc_buf_peek(&out, bytes, sizeof(bytes));

	ck_assert_str_eq(parse(H1_REQUEST, false, &wide, bytes, n),
		"PUT scheme= authority=[::1]:81 path=/x 1.1 keep\na=b, c\ncontent-length=0\n"
		"end\n");
	cc_buf_clear(&out);
	cc_head_free(h);
}
END_TEST

/* ---- memory -------------------------------------------------------------------- */

static long allocations_left;

static void *failing_alloc(size_t size, void *arg)
{
	(void)arg;
	return allocations_left-- > 0 ? malloc(size) : NULL;
}

static void *failing_resize(void *ptr, size_t size, void *arg)
{
	(void)arg;
	return allocations_left-- > 0 ? realloc(ptr, size) : NULL;
}

static void free_it(void *ptr, void *arg)
{
	(void)arg;
	free(ptr);
}

static enum h1_event parse_once(const char *bytes, size_t n, unsigned *status)
{
	struct h1_parser *p = h1_parser_new(ctx, H1_REQUEST, &wide);
	struct cc_head *h = cc_head_new(ctx);
	enum h1_event event = H1_ERROR;
	const char *data;
	size_t used, len;

	*status = 503;
	if (p && h) {
		h1_parser_begin(p, h);
		do {
			event = h1_parser_feed(p, bytes, n, &used, &data, &len);
			bytes += used;
			n -= used;
		} while (event != H1_ERROR && event != H1_END);
		*status = h1_parser_error(p)->status;
	}
	h1_parser_free(p);
	cc_head_free(h);
	return event;
}

START_TEST(every_failed_allocation_is_an_error_and_no_leak)
{
	static char bytes[20000];
	int n = sprintf(
		bytes, "POST http://h?q HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n");
	enum h1_event event = H1_ERROR;
	unsigned status = 503;

	for (int i = 0; i < 60; i++)
		n += sprintf(bytes + n, "N%d: %0100d\r\n", i, i);
	n += sprintf(bytes + n, "\r\n1\r\nx\r\n0\r\nT: v\r\n\r\n");
	ctx->mem = (struct cc_mem){failing_alloc, failing_resize, free_it, NULL};
	for (long i = 0; event != H1_END; i++) {
		ck_assert_int_lt(i, 50);
		mem_cache_clear(&ctx->heads, ctx);
		allocations_left = i;
		event = parse_once(bytes, (size_t)n, &status);
		ck_assert_uint_eq(status, event == H1_END ? 0 : 503);
	}
}
END_TEST

/* ---- the suite ------------------------------------------------------------------ */

static void add_good(TCase *t)
{
	tcase_add_test(t, a_plain_get_gives_its_parts);
	tcase_add_test(t, requests_may_follow_each_other_in_one_span);
	tcase_add_test(t, white_space_around_values_is_dropped);
	tcase_add_test(t, names_come_in_lower_case_and_values_as_they_are);
	tcase_add_test(t, some_empty_lines_before_a_request_are_skipped);
	tcase_add_test(t, all_forms_of_the_target_are_known);
	tcase_add_test(t, connect_does_not_open_a_tunnel_in_the_parser);
	tcase_add_test(t, upgrade_is_ignored);
	tcase_add_test(t, host_may_be_missing_in_1_0_and_empty_in_1_1);
	tcase_add_test(t, connection_says_whether_another_request_may_come);
	tcase_add_test(t, expect_counts_in_1_1_only);
	tcase_add_test(t, chunks_become_one_body);
	tcase_add_test(t, trailers_are_kept_apart);
}

static void add_refused(TCase *t)
{
	tcase_add_test(t, a_bare_cr_does_not_end_a_line);
	tcase_add_test(t, a_bare_lf_does_not_end_a_line);
	tcase_add_test(t, white_space_in_or_around_a_name_is_refused);
	tcase_add_test(t, folded_field_lines_are_refused);
	tcase_add_test(t, a_name_is_a_token_and_not_empty);
	tcase_add_test(t, control_bytes_in_values_are_refused);
	tcase_add_test(t, host_must_come_once_and_be_valid);
	tcase_add_test(t, other_versions_are_refused);
	tcase_add_test(t, unknown_methods_are_not_implemented);
	tcase_add_test(t, the_request_line_has_single_spaces_and_a_clean_target);
	tcase_add_test(t, content_length_is_one_plain_number);
	tcase_add_test(t, a_length_next_to_a_coding_is_refused);
	tcase_add_test(t, the_only_transfer_coding_is_chunked);
	tcase_add_test(t, a_coding_is_taken_by_both_readers_or_refused_with_the_head);
	tcase_add_test(t, a_chunk_size_fits_in_63_bits);
	tcase_add_test(t, a_chunk_without_size_is_not_the_last_one);
	tcase_add_test(t, the_first_error_in_the_bytes_is_the_one_reported);
	tcase_add_test(t, broken_chunks_and_trailers_are_refused);
	tcase_add_test(t, a_tls_client_is_told_to_speak_plain_http);
}

static void add_limits(TCase *t)
{
	tcase_add_test(t, the_head_may_have_exactly_the_bytes_allowed);
	tcase_add_test(t, fields_are_counted);
	tcase_add_test(t, a_long_target_has_an_answer_of_its_own);
	tcase_add_test(t, trailers_have_the_same_limits);
	tcase_add_test(t, a_chunk_line_cannot_be_endless);
	tcase_add_test(t, large_heads_grow_and_stay_whole);
	tcase_add_test(t, the_parser_is_small);
	tcase_add_test(t, every_failed_allocation_is_an_error_and_no_leak);
}

static void add_responses(TCase *t)
{
	tcase_add_test(t, a_response_with_length_leaves_the_connection_open);
	tcase_add_test(t, the_reason_may_be_anything_printable_or_missing);
	tcase_add_test(t, a_response_without_length_ends_with_the_connection);
	tcase_add_test(t, a_cut_message_is_an_error);
	tcase_add_test(t, some_answers_never_have_a_body);
	tcase_add_test(t, interim_answers_are_messages_of_their_own);
	tcase_add_test(t, switching_protocols_is_reported_and_ends_the_connection);
	tcase_add_test(t, upgrade_in_an_answer_changes_nothing);
	tcase_add_test(t, connection_close_in_an_answer_is_seen);
	tcase_add_test(t, chunked_answers_may_have_trailers);
	tcase_add_test(t, a_parser_tells_whether_a_message_has_begun);
	tcase_add_test(t, body_spans_point_into_what_was_fed);
}

static void add_writing(TCase *t)
{
	tcase_add_test(t, requests_are_written_without_what_belongs_to_one_hop);
	tcase_add_test(t, requests_without_path_get_the_target_they_need);
	tcase_add_test(t, responses_are_written_in_every_framing);
	tcase_add_test(t, heads_larger_than_a_slab_are_written_too);
	tcase_add_test(t, writing_without_memory_leaves_what_was_there);
	tcase_add_test(t, chunks_are_written_small_and_large);
	tcase_add_test(t, trailers_that_may_not_be_are_left_out);
	tcase_add_test(t, reasons_are_the_registered_ones);
	tcase_add_test(t, a_written_request_is_read_back);
}

static void add_case(Suite *s, const char *name, void (*add_tests)(TCase *))
{
	TCase *t = tcase_create(name);

	tcase_add_checked_fixture(t, make_ctx, free_ctx);
	tcase_set_timeout(t, 240);
	add_tests(t);
	suite_add_tcase(s, t);
}

int main(void)
{
	Suite *s = suite_create("h1_codec");

	add_case(s, "good", add_good);
	add_case(s, "refused", add_refused);
	add_case(s, "limits", add_limits);
	add_case(s, "responses", add_responses);
	add_case(s, "writing", add_writing);

	return run_suite_together(s);
}
