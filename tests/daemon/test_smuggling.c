/*
 * test_smuggling.c - requests that two servers could read differently are refused, the connection
 * closes, and nothing of what follows them reaches the origin, which records all it gets.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/daemon/harness.h"

struct bad {
	const char *name;
	const char *bytes;
	size_t n;
	unsigned status, or_status; /* 0: only the first */
};

/* Its versions 14 and 19 disagree about these braces. */
/* clang-format off */
#define BAD(name, bytes, status, other) {name, bytes, sizeof(bytes) - 1, status, other}
/* clang-format on */

#define GET  "GET / HTTP/1.1\r\nHost: origin\r\n"
#define POST "POST /sha HTTP/1.1\r\nHost: origin\r\n"

static const struct bad heads[] = {
	BAD("lone CR between fields", "GET / HTTP/1.1\r\nHost: origin\rX: 1\r\n\r\n", 400, 0),
	BAD("lone CR hides a length", POST "X:\rContent-Length: 5\r\n\r\nhello", 400, 0),
	BAD("lone LF ends lines", "GET / HTTP/1.1\nHost: origin\n\n", 400, 0),
	BAD("lone LF ends a field", "GET / HTTP/1.1\r\nHost: origin\nX: 1\r\n\r\n", 400, 0),
	BAD("CR CR LF", "GET / HTTP/1.1\r\r\nHost: origin\r\n\r\n", 400, 0),
	BAD("space before the colon", "GET / HTTP/1.1\r\nHost : origin\r\n\r\n", 400, 0),
	BAD("space before the colon of a length", POST "Content-Length : 5\r\n\r\nhello", 400, 0),
	BAD("tab before the colon", GET "X\t: 1\r\n\r\n", 400, 0),
	BAD("space before the first field", "GET / HTTP/1.1\r\n Host: origin\r\n\r\n", 400, 0),
	BAD("folded field", GET "X: a\r\n b\r\n\r\n", 400, 0),
	BAD("field folded by a tab", GET "X: a\r\n\tb\r\n\r\n", 400, 0),
	BAD("folded coding", POST "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", 400, 0),
	BAD("field without a colon", GET "X\r\n\r\n", 400, 0),
	BAD("empty name", GET ": x\r\n\r\n", 400, 0),
	BAD("space in a name", GET "X Y: 1\r\n\r\n", 400, 0),
	BAD("parenthesis in a name", GET "X(: 1\r\n\r\n", 400, 0),
	BAD("NUL in a name", GET "X\0: 1\r\n\r\n", 400, 0),
	BAD("NUL in a value", GET "X: a\0b\r\n\r\n", 400, 0),
	BAD("control in a value", GET "X: a\001b\r\n\r\n", 400, 0),
	BAD("DEL in a value", GET "X: a\177b\r\n\r\n", 400, 0),
	BAD("non-ASCII in a name", GET "X\303\244: 1\r\n\r\n", 400, 0),
	BAD("no Host", "GET / HTTP/1.1\r\n\r\n", 400, 0),
	BAD("two Hosts", GET "Host: other\r\n\r\n", 400, 0),
	BAD("two equal Hosts", GET "Host: origin\r\n\r\n", 400, 0),
	BAD("two names in Host", "GET / HTTP/1.1\r\nHost: origin other\r\n\r\n", 400, 0),
	BAD("a path in Host", "GET / HTTP/1.1\r\nHost: origin/x\r\n\r\n", 400, 0),
	BAD("a user in Host", "GET / HTTP/1.1\r\nHost: user@origin\r\n\r\n", 400, 0),
	BAD("a list in Host", "GET / HTTP/1.1\r\nHost: origin, other\r\n\r\n", 400, 0),
	BAD("absolute target without Host", "GET http://origin/ HTTP/1.1\r\n\r\n", 400, 0),
	BAD("user in an absolute target", "GET http://u@origin/ HTTP/1.1\r\nHost: origin\r\n\r\n",
		400, 0),
	BAD("length and coding",
		POST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, 0),
	BAD("coding and length",
		POST "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", 400, 0),
	BAD("two lengths", POST "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", 400, 0),
	BAD("two equal lengths", POST "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", 400,
		0),
	BAD("list of lengths", POST "Content-Length: 5, 5\r\n\r\nhello", 400, 0),
	BAD("length with plus", POST "Content-Length: +5\r\n\r\nhello", 400, 0),
	BAD("negative length", POST "Content-Length: -1\r\n\r\n", 400, 0),
	BAD("hexadecimal length", POST "Content-Length: 0x5\r\n\r\nhello", 400, 0),
	BAD("length with a space", POST "Content-Length: 1 2\r\n\r\nhello", 400, 0),
	BAD("length beyond 64 bits", POST "Content-Length: 18446744073709551621\r\n\r\nhello", 400,
		0),
	BAD("empty length", POST "Content-Length:\r\n\r\n", 400, 0),
	BAD("length in letters", POST "Content-Length: five\r\n\r\nhello", 400, 0),
	BAD("chunked twice", POST "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400, 501),
	BAD("chunked in two fields",
		POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		400, 501),
	BAD("chunked before another coding",
		POST "Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", 400, 501),
	BAD("another coding before chunked",
		POST "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501, 400),
	BAD("identity", POST "Transfer-Encoding: identity\r\n\r\nhello", 501, 400),
	BAD("unknown coding", POST "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 501, 400),
	BAD("chunked with a parameter", POST "Transfer-Encoding: chunked;a=b\r\n\r\n0\r\n\r\n", 501,
		400),
	BAD("vertical tab in a coding", POST "Transfer-Encoding: \vchunked\r\n\r\n0\r\n\r\n", 400,
		501),
	BAD("quoted coding", POST "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n", 501, 400),
	BAD("empty coding", POST "Transfer-Encoding:\r\n\r\n", 400, 501),
	BAD("coding in HTTP/1.0",
		"POST /sha HTTP/1.0\r\nHost: origin\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		400, 0),
	BAD("version 1.2", "GET / HTTP/1.2\r\nHost: origin\r\n\r\n", 505, 400),
	BAD("version 2.0", "GET / HTTP/2.0\r\nHost: origin\r\n\r\n", 505, 400),
	BAD("version 0.9", "GET / HTTP/0.9\r\nHost: origin\r\n\r\n", 505, 400),
	BAD("no version", "GET /\r\nHost: origin\r\n\r\n", 400, 0),
	BAD("version 1.10", "GET / HTTP/1.10\r\nHost: origin\r\n\r\n", 400, 505),
	BAD("version 11", "GET / HTTP/11\r\nHost: origin\r\n\r\n", 400, 505),
	BAD("lower-case version", "GET / http/1.1\r\nHost: origin\r\n\r\n", 400, 0),
	BAD("another protocol", "GET / RTSP/1.0\r\nHost: origin\r\n\r\n", 400, 505),
	BAD("junk after the version", "GET / HTTP/1.1x\r\nHost: origin\r\n\r\n", 400, 505),
	BAD("space after the version", "GET / HTTP/1.1 \r\nHost: origin\r\n\r\n", 400, 0),
	BAD("space in the target", "GET /a b HTTP/1.1\r\nHost: origin\r\n\r\n", 400, 0),
	BAD("two spaces before the target", "GET  / HTTP/1.1\r\nHost: origin\r\n\r\n", 400, 0),
	BAD("tabs in the request line", "GET\t/\tHTTP/1.1\r\nHost: origin\r\n\r\n", 400, 0),
	BAD("control in the target", "GET /\001 HTTP/1.1\r\nHost: origin\r\n\r\n", 400, 0),
	BAD("NUL in the target", "GET /\0 HTTP/1.1\r\nHost: origin\r\n\r\n", 400, 0),
	BAD("non-ASCII in the target", "GET /\303\244 HTTP/1.1\r\nHost: origin\r\n\r\n", 400, 0),
	BAD("target without a slash", "GET origin HTTP/1.1\r\nHost: origin\r\n\r\n", 400, 0),
	BAD("no target", "GET HTTP/1.1\r\nHost: origin\r\n\r\n", 400, 0),
	BAD("space before the method", " GET / HTTP/1.1\r\nHost: origin\r\n\r\n", 400, 0),
	BAD("not a method", "G(T / HTTP/1.1\r\nHost: origin\r\n\r\n", 400, 501),
	BAD("unknown method", "BREW / HTTP/1.1\r\nHost: origin\r\n\r\n", 501, 400),
	BAD("method in small letters", "get / HTTP/1.1\r\nHost: origin\r\n\r\n", 501, 400),
	BAD("TLS", "\026\003\001\002\000\001\000\001\374\003\003abcdefghijklmnopqrstuvwxyz\r\n\r\n",
		400, 0),
	BAD("an answer", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 400, 501),
};

/* The head is good: some of it may be on its way, but what follows the bad place may not. */
static const struct bad chunks[] = {
	BAD("chunk without CRLF", "5\r\nhelloX0\r\n\r\n", 400, 0),
	BAD("chunk longer than its size", "5\r\nhello!\r\n0\r\n\r\n", 400, 0),
	BAD("chunk ended by LF", "5\r\nhello\n0\r\n\r\n", 400, 0),
	BAD("size line ended by LF", "5\nhello\r\n0\r\n\r\n", 400, 0),
	BAD("size line ended by CR", "5\rhello\r\n0\r\n\r\n", 400, 0),
	BAD("size with 0x", "0x5\r\nhello\r\n0\r\n\r\n", 400, 0),
	BAD("size with plus", "+5\r\nhello\r\n0\r\n\r\n", 400, 0),
	BAD("negative size", "-5\r\nhello\r\n0\r\n\r\n", 400, 0),
	BAD("size with a space before", " 5\r\nhello\r\n0\r\n\r\n", 400, 0),
	BAD("size with junk", "5g\r\nhello\r\n0\r\n\r\n", 400, 0),
	BAD("size beyond 64 bits", "10000000000000005\r\nhello\r\n0\r\n\r\n", 400, 0),
	BAD("empty size", "\r\nhello\r\n0\r\n\r\n", 400, 0),
	BAD("NUL in an extension", "5;a\0b\r\nhello\r\n0\r\n\r\n", 400, 0),
	BAD("LF in an extension", "5;a\nb\r\nhello\r\n0\r\n\r\n", 400, 0),
	BAD("CR in an extension", "5;a\rb\r\nhello\r\n0\r\n\r\n", 400, 0),
	BAD("folded trailer", "5\r\nhello\r\n0\r\nX: a\r\n b\r\n\r\n", 400, 0),
	BAD("trailer with a space before the colon", "5\r\nhello\r\n0\r\nX : a\r\n\r\n", 400, 0),
	BAD("trailer without a colon", "5\r\nhello\r\n0\r\nX\r\n\r\n", 400, 0),
	BAD("NUL in a trailer", "5\r\nhello\r\n0\r\nX: a\0b\r\n\r\n", 400, 0),
	BAD("lone CR after the last chunk", "5\r\nhello\r\n0\r\n\rGET", 400, 0),
};

#define N(table) (sizeof(table) / sizeof((table)[0]))

static const char smuggled[] = "GET /smuggled HTTP/1.1\r\nHost: origin\r\n\r\n";

static void send_bytes(struct client *c, const char *bytes, size_t n, bool one_by_one)
{
	for (size_t i = 0; one_by_one && i < n; i++)
		client_write(c, bytes + i, 1);
	if (!one_by_one)
		client_write(c, bytes, n);
}

static void assert_refused(struct client *c, const struct bad *b)
{
	struct answer a;

	c->what = b->name;
	a = client_answer(c);
	ck_assert_msg(a.status == b->status || (b->or_status && a.status == b->or_status),
		"%s: expected %u, got %s", b->name, b->status, a.status ? a.head : "no answer");
	assert_own_answer(&a, a.status);
	ck_assert_msg(client_closed(c), "%s: something follows the refusal", b->name);
}

/* All rows are tried, so that one run tells all that is wrong. */
static void refuse_heads(bool one_by_one)
{
	struct origin *o = h1_origin();

	daemon_for(o, "");
	for (size_t i = 0; i < N(heads); i++) {
		struct client *c = client_open();

		send_bytes(c, heads[i].bytes, heads[i].n, one_by_one);
		send_bytes(c, smuggled, sizeof(smuggled) - 1, false);
		assert_refused(c, &heads[i]);
		client_close(c);
		ck_assert_msg(origin_counts(o).requests == 0 && !origin_saw(o, "HTTP"),
			"%s: reached the origin", heads[i].name);
	}
	ck_assert_uint_eq(get_once("/").status, 200);
}

START_TEST(doubtful_heads_are_refused_and_nothing_reaches_the_origin)
{
	refuse_heads(false);
}
END_TEST

START_TEST(doubtful_heads_are_refused_when_they_come_byte_by_byte)
{
	refuse_heads(true);
}
END_TEST

START_TEST(doubtful_chunks_are_refused_and_nothing_after_them_reaches_the_origin)
{
	struct origin *o = h1_origin();

	daemon_for(o, "");
	for (size_t i = 0; i < N(chunks); i++) {
		struct client *c = client_open();

		client_say(c, POST "Transfer-Encoding: chunked\r\n\r\n");
		send_bytes(c, chunks[i].bytes, chunks[i].n, _i);
		send_bytes(c, smuggled, sizeof(smuggled) - 1, false);
		assert_refused(c, &chunks[i]);
		client_close(c);
		ck_assert_msg(!origin_saw(o, "smuggled"), "%s: reached the origin", chunks[i].name);
		ck_assert_uint_eq(get_once("/").status, 200);
	}
}
END_TEST

/* What an HTTP/1 client says becomes fields of HTTP/2: none of it may become a field of its own. */
START_TEST(doubtful_heads_do_not_reach_an_http_2_origin)
{
	struct origin *o = h2_origin();

	daemon_for(o, "");
	for (size_t i = 0; i < N(heads); i++) {
		struct client *c = client_open();

		client_write(c, heads[i].bytes, heads[i].n);
		assert_refused(c, &heads[i]);
		client_close(c);
	}
	ck_assert_uint_eq(origin_counts(o).requests, 0);
}
END_TEST

START_TEST(a_body_that_looks_like_a_request_stays_a_body)
{
	struct origin *o = h1_origin();
	struct client *c;
	struct answer a;

	daemon_for(o, "");
	c = client_open();
	client_say(c, "POST /echo HTTP/1.1\r\nHost: origin\r\nContent-Length: %zu\r\n\r\n%s",
		sizeof(smuggled) - 1, smuggled);
	a = client_answer(c);
	ck_assert_str_eq(a.body, smuggled);
	ck_assert_uint_eq(get(c, "/bytes/5").len, 5);
	ck_assert_uint_eq(origin_counts(o).requests, 2);
	client_close(c);
}
END_TEST

START_TEST(tls_on_the_socket_is_told_to_speak_http)
{
	static const char hello[] = "\026\003\001\002\000\001\000\001\374\003\003 and so on";
	struct client *c;
	struct answer a;

	daemon_for(h1_origin(), "");
	c = client_open();
	client_write(c, hello, sizeof(hello) - 1);
	a = client_answer(c);
	assert_own_answer(&a, 400);
	ck_assert_msg(strstr(a.body, "http://"), "%s", a.body);
	client_close(c);
}
END_TEST

/* ---- limits ---- */

static char *fill(size_t n)
{
	return text("%0*d", (int)n, 1);
}

static void assert_limit(const char *request, unsigned status)
{
	struct client *c = client_open();
	struct answer a;

	client_say(c, "%s", request);
	a = client_answer(c);
	if (status == 200) {
		ck_assert_msg(a.status == 200, "%s", a.head);
	} else {
		assert_own_answer(&a, status);
		ck_assert(client_closed(c));
	}
	client_close(c);
}

START_TEST(heads_over_the_default_limits_are_431)
{
	char *many = text("%s", "");
	struct origin *o = h1_origin();

	daemon_for(o, "");
	for (int i = 0; i < 300; i++)
		many = text("%sX-%d: 1\r\n", many, i);
	assert_limit(text(GET "%s\r\n", many), 431);
	assert_limit(text(GET "X: %s\r\n\r\n", fill(100000)), 431);
	assert_limit(text(GET "%s: x\r\n\r\n", fill(100000)), 431);
	ck_assert_uint_eq(origin_counts(o).requests, 0);
	assert_limit(text(GET "X: %s\r\n\r\n", fill(20000)), 200);
}
END_TEST

START_TEST(limits_of_the_listener_are_kept)
{
	daemon_start(config(
		"max_header_size = \"4KiB\"; max_headers = 10;", upstream(NULL, h1_origin(), "")));
	assert_limit(text(GET "X: %s\r\n\r\n", fill(3800)), 200);
	assert_limit(text(GET "X: %s\r\n\r\n", fill(4200)), 431);
	assert_limit(GET "A: 1\r\nB: 1\r\nC: 1\r\nD: 1\r\nE: 1\r\nF: 1\r\nG: 1\r\n\r\n", 200);
	assert_limit(GET "A: 1\r\nB: 1\r\nC: 1\r\nD: 1\r\nE: 1\r\nF: 1\r\nG: 1\r\nH: 1\r\nI: 1\r\n"
			 "J: 1\r\nK: 1\r\n\r\n",
		431);
}
END_TEST

START_TEST(targets_that_are_too_long_are_414)
{
	daemon_for(h1_origin(), "");
	assert_limit(text("GET /%s HTTP/1.1\r\nHost: origin\r\n\r\n", fill(100000)), 414);
	assert_limit(text("GET /%s HTTP/1.1\r\nHost: origin\r\n\r\n", fill(4000)), 200);
}
END_TEST

START_TEST(trailers_have_limits_too)
{
	struct client *c;
	struct answer a;

	daemon_for(h1_origin(), "");
	c = client_open();
	client_say(c, POST "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: %s\r\n\r\n",
		fill(100000));
	a = client_answer(c);
	assert_own_answer(&a, 431);
	ck_assert(client_closed(c));
	client_close(c);
}
END_TEST

/* A chunk of one byte with a long extension each: work without end for little body. */
START_TEST(endless_chunk_extensions_are_refused)
{
	char *out = fill(1u << 20);
	struct client *c;
	struct answer a;

	daemon_for(h1_origin(), "");
	c = client_open();
	client_say(c, POST "Transfer-Encoding: chunked\r\n\r\n5;a=%s\r\nhello\r\n0\r\n\r\n", out);
	a = client_answer(c);
	ck_assert_msg(a.status == 400 || a.status == 431 || a.status == 413, "%s", a.head);
	client_close(c);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("smuggling");
	TCase *tc = harness_case(s, "smuggling"), *limits = harness_case(s, "limits");

	tcase_add_test(tc, doubtful_heads_are_refused_and_nothing_reaches_the_origin);
	tcase_add_test(tc, doubtful_heads_are_refused_when_they_come_byte_by_byte);
	tcase_add_loop_test(
		tc, doubtful_chunks_are_refused_and_nothing_after_them_reaches_the_origin, 0, 2);
	tcase_add_test(tc, doubtful_heads_do_not_reach_an_http_2_origin);
	tcase_add_test(tc, a_body_that_looks_like_a_request_stays_a_body);
	tcase_add_test(tc, tls_on_the_socket_is_told_to_speak_http);
	tcase_add_test(limits, heads_over_the_default_limits_are_431);
	tcase_add_test(limits, limits_of_the_listener_are_kept);
	tcase_add_test(limits, targets_that_are_too_long_are_414);
	tcase_add_test(limits, trailers_have_limits_too);
	tcase_add_test(limits, endless_chunk_extensions_are_refused);
	return harness_main(s);
}
