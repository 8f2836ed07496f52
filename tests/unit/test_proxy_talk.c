/*
 * test_proxy_talk.c - proxies in words, and what is said to them: CONNECT and
 * SOCKS5 as bytes, whole and one by one, well-formed and not.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <clientconn/buf.h>

#include "lib/net/proxy.h"
#include "lib/net/proxy_talk.h"
#include "tests/unit/ctx_fixture.h"
#include "tests/unit/run.h"

static struct ctx_fixture f;
static struct proxy_talk *talk;
static struct cc_buf in, out;

static void setup(void)
{
	fixture_begin(&f, 0);
	talk = NULL;
	cc_buf_init(&in, f.ctx);
	cc_buf_init(&out, f.ctx);
}

static void teardown(void)
{
	proxy_talk_free(talk);
	cc_buf_clear(&in);
	cc_buf_clear(&out);
	fixture_end(&f);
}

static int make(const char *text, const char *host, uint16_t port)
{
	struct proxy *proxy;

	ck_assert_msg(proxy_parse(f.ctx, text, &proxy) == 0, "%s", text);
	return proxy_talk_new(f.ctx, proxy, host, port, &talk);
}

static void begin(const char *text, const char *host, uint16_t port)
{
	ck_assert_int_eq(make(text, host, port), 0);
	ck_assert_int_eq(proxy_talk_begin(talk, &out), 0);
}

static void end(void)
{
	proxy_talk_free(talk);
	talk = NULL;
	cc_buf_clear(&in);
	cc_buf_clear(&out);
}

/* Exactly these bytes were said since the last look. */
static void said(const char *bytes, size_t n)
{
	char got[1024];

	ck_assert_uint_eq(out.len, n);
	ck_assert_uint_eq(cc_buf_peek(&out, got, sizeof(got)), n);
	ck_assert_mem_eq(got, bytes, n);
	cc_buf_clear(&out);
}
#define SAID(literal) said(literal, sizeof(literal) - 1)

static void left(const char *text)
{
	char got[1024] = "";

	cc_buf_peek(&in, got, sizeof(got) - 1);
	ck_assert_str_eq(got, text);
}

static enum proxy_talk_event hear(const char *bytes, size_t n)
{
	ck_assert_int_eq(cc_buf_add(&in, bytes, n), 0);
	return proxy_talk_feed(talk, &in, &out);
}
#define HEAR(literal) hear(literal, sizeof(literal) - 1)

static enum proxy_talk_event hear_slowly(const char *bytes, size_t n)
{
	enum proxy_talk_event ev = PROXY_TALK_MORE;

	for (size_t i = 0; i < n && ev == PROXY_TALK_MORE; i++)
		ev = hear(bytes + i, 1);
	return ev;
}

/* ---- the proxy's address ------------------------------------------------ */

START_TEST(proxies_are_taken_apart)
{
	static const struct {
		const char *text;
		enum proxy_kind kind;
		const char *address, *user, *password; /* user NULL: no credentials */
	} rows[] = {
		{"http://proxy.example", PROXY_CONNECT, "proxy.example", NULL, ""},
		{"HTTP://127.0.0.1:3128/", PROXY_CONNECT, "127.0.0.1:3128", NULL, ""},
		{"http://[::1]:3128", PROXY_CONNECT, "[::1]:3128", NULL, ""},
		{"socks5://proxy:1", PROXY_SOCKS5, "proxy:1", NULL, ""},
		{"socks5h://proxy:1", PROXY_SOCKS5, "proxy:1", NULL, ""},
		{"http://joe:secret@proxy", PROXY_CONNECT, "proxy", "joe", "secret"},
		{"http://joe@proxy", PROXY_CONNECT, "proxy", "joe", ""},
		{"http://:token@proxy", PROXY_CONNECT, "proxy", "", "token"},
		{"http://@proxy", PROXY_CONNECT, "proxy", "", ""},
		{"http://j%6fe:a%3Ab%40c%25@proxy:8", PROXY_CONNECT, "proxy:8", "joe", "a:b@c%"},
		{"http://joe:a:b@proxy", PROXY_CONNECT, "proxy", "joe", "a:b"},
		{"socks5://j%3Ae:%01@[::1]", PROXY_SOCKS5, "[::1]", "j:e", "\1"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct proxy *p;

		ck_assert_msg(proxy_parse(f.ctx, rows[i].text, &p) == 0, "%s", rows[i].text);
		ck_assert_int_eq(p->kind, rows[i].kind);
		ck_assert_str_eq(p->address, rows[i].address);
		ck_assert_int_eq(p->credentials, rows[i].user != NULL);
		ck_assert_str_eq(p->user, rows[i].user ? rows[i].user : "");
		ck_assert_str_eq(p->password, rows[i].password);
		proxy_free(f.ctx, p);
	}
}
END_TEST

START_TEST(proxies_without_sense_are_refused)
{
	static const char *const rows[] = {"", "proxy", "proxy:3128", "https://proxy",
		"ftp://proxy", "socks4://proxy", "http:proxy", "http:/proxy", "http://", "http:///",
		"http://proxy/x", "http://proxy//", "http://proxy?x", "http://proxy#x",
		"http://proxy:", "http://proxy:0", "http://proxy:65536", "http://::1:80",
		"http://[::1", "http://a b", "http://pro xy:1", "http://proxy:80\n",
		"http://unix:/run/s", "http://unix:/", "http://joe:x@", "http://joe:%@proxy",
		"http://joe:%4@proxy", "http://joe:%4g@proxy", "http://%zz:x@proxy",
		"http://j%00e:x@proxy", "http://joe:x%00@proxy", "http://j%3Aoe:x@proxy",
		"http://joe:a%0d%0ab@proxy", "http://j%7foe:x@proxy", "socks5://joe@proxy",
		"socks5://:x@proxy", "socks5://joe:@proxy", "socks5://@proxy"};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct proxy *p = NULL;

		ck_assert_msg(proxy_parse(f.ctx, rows[i], &p) == CC_EINVAL, "%s", rows[i]);
		ck_assert_ptr_null(p);
	}
}
END_TEST

START_TEST(socks5_credentials_have_at_most_255_bytes)
{
	char text[600];
	struct proxy *p;

	snprintf(text, sizeof(text), "socks5://%0255d:%0255d@proxy", 0, 0);
	ck_assert_int_eq(proxy_parse(f.ctx, text, &p), 0);
	proxy_free(f.ctx, p);
	snprintf(text, sizeof(text), "socks5://%0256d:%0255d@proxy", 0, 0);
	ck_assert_int_eq(proxy_parse(f.ctx, text, &p), CC_EINVAL);
	snprintf(text, sizeof(text), "socks5://%0255d:%0256d@proxy", 0, 0);
	ck_assert_int_eq(proxy_parse(f.ctx, text, &p), CC_EINVAL);
}
END_TEST

START_TEST(zone_of_this_machine_means_nothing_to_a_proxy)
{
	ck_assert_int_eq(make("http://proxy", "fe80::1%lo", 443), CC_EINVAL);
	ck_assert_ptr_null(talk);
	ck_assert_int_eq(make("socks5://proxy", "fe80::1%lo", 443), CC_EINVAL);
	ck_assert_ptr_null(talk);
}
END_TEST

/* ---- CONNECT ------------------------------------------------------------- */

START_TEST(connect_names_the_server_twice_and_nothing_else)
{
	begin("http://proxy", "api.example", 443);
	SAID("CONNECT api.example:443 HTTP/1.1\r\nHost: api.example:443\r\n\r\n");
	ck_assert_str_eq(proxy_talk_server(talk), "api.example:443");
	ck_assert_str_eq(proxy_talk_proxy(talk), "proxy");
	ck_assert_str_eq(proxy_talk_word(talk), "CONNECT");
	end();
	begin("http://proxy", "2001:db8::1", 80);
	SAID("CONNECT [2001:db8::1]:80 HTTP/1.1\r\nHost: [2001:db8::1]:80\r\n\r\n");
}
END_TEST

START_TEST(credentials_go_with_connect)
{
	begin("http://Aladdin:open%20sesame@proxy", "h", 1); /* the example of RFC 7617 */
	SAID("CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\n"
	     "Proxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n\r\n");
	end();
	begin("http://a@proxy", "h", 1);
	SAID("CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\nProxy-Authorization: Basic YTo=\r\n\r\n");
}
END_TEST

#define OK "HTTP/1.1 200 Connection established\r\n\r\n"

/* Each once at a time and once byte by byte; what follows them is the server's. */
static const char *const openings[] = {
	OK,
	"HTTP/1.0 200 OK\r\n\r\n",
	"HTTP/1.1 200 \r\nProxy-agent: tinyproxy/1.11.1\r\n\r\n",
	"HTTP/1.1 204 No Content\r\n\r\n",
	"HTTP/1.1 299 So be it\r\n\r\n",
	"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", /* RFC 9110 9.3.6: ignored */
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
	"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n",
	"HTTP/1.1 100 Continue\r\n\r\n" OK,
	"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\nContent-Length: 3\r\n\r\n" OK,
};

START_TEST(answer_of_200_opens_and_what_follows_is_the_servers)
{
	const char *text = openings[_i];
	char all[512];

	begin("http://proxy", "api.example", 443);
	cc_buf_clear(&out);
	snprintf(all, sizeof(all), "%sHTTP/1.1 200 from the server", text);
	ck_assert_int_eq(hear(all, strlen(all)), PROXY_TALK_OPEN);
	left("HTTP/1.1 200 from the server");
	end();

	begin("http://proxy", "api.example", 443);
	cc_buf_clear(&out);
	ck_assert_int_eq(hear_slowly(text, strlen(text) - 1), PROXY_TALK_MORE);
	ck_assert_uint_eq(out.len, 0);
	ck_assert_int_eq(hear(text + strlen(text) - 1, 1), PROXY_TALK_OPEN);
	left("");
}
END_TEST

static const struct {
	const char *answer, *detail;
} refusals[] = {
	{"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic "
	 "realm=\"x\"\r\nContent-Length: 5\r\n\r\nlogin",
		"407 Proxy Authentication Required"},
	{"HTTP/1.1 407 \x1b[2J evil\r\n\r\n", NULL},
	{"HTTP/1.1 407 Words Of Its Own\r\n\r\n", "407 Proxy Authentication Required"},
	{"HTTP/1.1 502 Bad Gateway\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
		"502 Bad Gateway"},
	{"HTTP/1.1 302 Found\r\nLocation: http://portal.example/\r\n\r\n", "302 Found"},
	{"HTTP/1.1 499 Nonsense\r\n\r\n", "499"},
	{"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
		"101 Switching Protocols"},
	{"SSH-2.0-OpenSSH_9.2\r\n", NULL},
	/* Two lengths at once are an attack on somebody, also where both are ignored. */
	{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", NULL},
	{"HTTP/2 200\r\n\r\n", NULL},
	{"HTTP/1.1 20\r\n\r\n", NULL},
	{"HTTP/1.1 200 OK\nA: b\n\n", NULL},
	{"HTTP/1.1 200 OK\r\nA : b\r\n\r\n", NULL},
	{"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", NULL},
	{"\x05\xff", NULL},
	{"\x15\x03\x03", NULL},
};

START_TEST(any_other_answer_fails)
{
	const char *answer = refusals[_i].answer, *detail = refusals[_i].detail;

	for (int slowly = 0; slowly < 2; slowly++) {
		begin("http://joe:secret@proxy", "api.example", 443);
		ck_assert_int_eq(
			slowly ? hear_slowly(answer, strlen(answer)) : hear(answer, strlen(answer)),
			PROXY_TALK_FAILED);
		ck_assert_int_eq(proxy_talk_error(talk), CC_ECONNECT);
		if (detail)
			ck_assert_str_eq(proxy_talk_detail(talk), detail);
		else
			ck_assert_ptr_nonnull(
				strstr(proxy_talk_detail(talk), "malformed response: "));
		end();
	}
}
END_TEST

/* Says text until it fails, ever more of it; returns how many bytes that took. */
static size_t endless(const char *text)
{
	size_t total = 0;

	while (total < 10000000) {
		total += strlen(text);
		if (hear(text, strlen(text)) == PROXY_TALK_FAILED)
			return total;
	}
	ck_abort_msg("no end");
}

START_TEST(answer_is_bounded)
{
	begin("http://proxy", "h", 1);
	ck_assert_int_eq(HEAR("HTTP/1.1 200 OK\r\nA: "), PROXY_TALK_MORE);
	ck_assert_uint_lt(
		endless("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"), 66000);
	end();
	begin("http://proxy", "h", 1);
	ck_assert_int_eq(HEAR("HTTP/1.1 200 OK\r\n"), PROXY_TALK_MORE);
	ck_assert_uint_lt(endless("A: b\r\n"), 66000);
	end();
	begin("http://proxy", "h", 1);
	ck_assert_uint_lt(endless("HTTP/1.1 100 Continue\r\n\r\n"), 66000);
	ck_assert_str_eq(proxy_talk_detail(talk), "response larger than 65536 bytes");
}
END_TEST

/* ---- SOCKS5 -------------------------------------------------------------- */

#define GRANTED "\5\0\0\1\0\0\0\0\0\0"

START_TEST(socks5_sends_the_name_to_the_proxy)
{
	begin("socks5://proxy", "api.example", 443);
	SAID("\5\1\0");
	ck_assert_int_eq(HEAR("\5\0"), PROXY_TALK_MORE);
	SAID("\5\1\0\3\x0b"
	     "api.example\1\xbb");
	ck_assert_int_eq(HEAR(GRANTED "behind"), PROXY_TALK_OPEN);
	left("behind");
	ck_assert_str_eq(proxy_talk_word(talk), "SOCKS5");
	ck_assert_str_eq(proxy_talk_server(talk), "api.example:443");
}
END_TEST

START_TEST(socks5_sends_numbers_as_numbers)
{
	begin("socks5h://proxy", "192.0.2.7", 80);
	cc_buf_clear(&out);
	ck_assert_int_eq(HEAR("\5\0"), PROXY_TALK_MORE);
	SAID("\5\1\0\1\300\0\2\7\0\x50");
	end();
	begin("socks5h://proxy", "2001:db8::9", 65535);
	cc_buf_clear(&out);
	ck_assert_int_eq(HEAR("\5\0"), PROXY_TALK_MORE);
	SAID("\5\1\0\4\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x9\xff\xff");
}
END_TEST

START_TEST(socks5_password_is_given_when_it_is_wanted)
{
	begin("socks5://joe:secret@proxy", "h", 1);
	SAID("\5\2\0\2");
	ck_assert_int_eq(HEAR("\5\2"), PROXY_TALK_MORE);
	SAID("\1\3joe\6secret");
	ck_assert_int_eq(HEAR("\1\0"), PROXY_TALK_MORE);
	SAID("\5\1\0\3\1h\0\1");
	ck_assert_int_eq(HEAR(GRANTED), PROXY_TALK_OPEN);
	left("");
	end();

	begin("socks5://joe:secret@proxy", "h", 1);
	cc_buf_clear(&out);
	ck_assert_int_eq(HEAR("\5\0"), PROXY_TALK_MORE); /* it wants none */
	SAID("\5\1\0\3\1h\0\1");
}
END_TEST

START_TEST(longest_credentials_and_name_fit)
{
	char text[600], host[254], got[1024];

	snprintf(text, sizeof(text), "socks5://%0255d:%0255d@proxy", 0, 0);
	memset(host, 'a', sizeof(host));
	host[253] = '\0';
	begin(text, host, 1);
	cc_buf_clear(&out);
	ck_assert_int_eq(HEAR("\5\2"), PROXY_TALK_MORE);
	ck_assert_uint_eq(out.len, 1 + 256 + 256);
	cc_buf_clear(&out);
	ck_assert_int_eq(HEAR("\1\0"), PROXY_TALK_MORE);
	ck_assert_uint_eq(cc_buf_peek(&out, got, sizeof(got)), 4 + 1 + 253 + 2);
	ck_assert_mem_eq(got + 5, host, 253);
}
END_TEST

START_TEST(bound_address_of_every_type_is_skipped)
{
	static const struct {
		const char *bytes;
		size_t n;
	} rows[] = {
		{"\5\0\0\1\177\0\0\1\4\x38", 10},
		{"\5\0\0\4\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1\4\x38", 22},
		{"\5\0\0\3\4host\4\x38", 11}, {"\5\0\0\3\0\4\x38", 7}, /* a name of no length */
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		begin("socks5://proxy", "h", 1);
		ck_assert_int_eq(hear_slowly("\5\0", 2), PROXY_TALK_MORE);
		ck_assert_int_eq(hear_slowly(rows[i].bytes, rows[i].n - 1), PROXY_TALK_MORE);
		ck_assert_int_eq(hear(rows[i].bytes + rows[i].n - 1, 1), PROXY_TALK_OPEN);
		left("");
		end();
		begin("socks5://proxy", "h", 1);
		ck_assert_int_eq(HEAR("\5\0"), PROXY_TALK_MORE);
		ck_assert_int_eq(cc_buf_add(&in, rows[i].bytes, rows[i].n), 0);
		ck_assert_int_eq(HEAR("\5\0\0\1"), PROXY_TALK_OPEN);
		ck_assert_uint_eq(in.len, 4);
		end();
	}
}
END_TEST

START_TEST(socks5_replies_have_words)
{
	static const char *const words[] = {NULL, "general failure", "not allowed by its rules",
		"network unreachable", "host unreachable", "connection refused", "TTL expired",
		"command not supported", "address type not supported", "unknown"};

	for (unsigned i = 1; i < sizeof(words) / sizeof(words[0]); i++) {
		char reply[] = {5, (char)i}, want[64];

		begin("socks5://proxy", "h", 1);
		ck_assert_int_eq(HEAR("\5\0"), PROXY_TALK_MORE);
		ck_assert_int_eq(
			hear_slowly(reply, 2), PROXY_TALK_FAILED); /* the rest may be missing */
		snprintf(want, sizeof(want), "%s (reply %u)", words[i], i);
		ck_assert_str_eq(proxy_talk_detail(talk), want);
		ck_assert_int_eq(proxy_talk_error(talk), CC_ECONNECT);
		end();
	}
}
END_TEST

static const struct {
	const char *proxy, *bytes;
	size_t n;
	const char *detail;
} nonsense[] = {
	{"socks5://proxy", "\5\xff", 2, "it wants credentials (no acceptable method)"},
	{"socks5://a:b@proxy", "\5\xff", 2, "it takes no password (no acceptable method)"},
	{"socks5://proxy", "\5\2", 2, "it chose method 2, which was not offered"},
	{"socks5://proxy", "\5\1", 2, "it chose method 1, which was not offered"},
	{"socks5://proxy", "\4\0", 2, "not a SOCKS5 reply"},
	{"socks5://proxy", "HTTP/1.1 400 Bad Request\r\n\r\n", 28, "not a SOCKS5 reply"},
	{"socks5://a:b@proxy", "\5\2\1\1", 4, "user and password refused"},
	{"socks5://a:b@proxy", "\5\2\5\0", 4, "not a reply to user and password (RFC 1929)"},
	{"socks5://proxy", "\5\0\4\0", 4, "not a SOCKS5 reply"},
	{"socks5://proxy", "\5\0\5\0\0\2\0", 7, "a reply with an address of type 2"},
	{"socks5://proxy", "\5\0\5\xff", 4, "unknown (reply 255)"},
};

START_TEST(any_other_socks5_answer_fails)
{
	for (int slowly = 0; slowly < 2; slowly++) {
		begin(nonsense[_i].proxy, "h", 1);
		ck_assert_int_eq(slowly ? hear_slowly(nonsense[_i].bytes, nonsense[_i].n)
					: hear(nonsense[_i].bytes, nonsense[_i].n),
			PROXY_TALK_FAILED);
		ck_assert_str_eq(proxy_talk_detail(talk), nonsense[_i].detail);
		end();
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("proxy talk");
	TCase *t = tcase_create("proxy_talk");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, proxies_are_taken_apart);
	tcase_add_test(t, proxies_without_sense_are_refused);
	tcase_add_test(t, socks5_credentials_have_at_most_255_bytes);
	tcase_add_test(t, zone_of_this_machine_means_nothing_to_a_proxy);
	tcase_add_test(t, connect_names_the_server_twice_and_nothing_else);
	tcase_add_test(t, credentials_go_with_connect);
	tcase_add_loop_test(t, answer_of_200_opens_and_what_follows_is_the_servers, 0,
		sizeof(openings) / sizeof(openings[0]));
	tcase_add_loop_test(t, any_other_answer_fails, 0, sizeof(refusals) / sizeof(refusals[0]));
	tcase_add_test(t, answer_is_bounded);
	tcase_add_test(t, socks5_sends_the_name_to_the_proxy);
	tcase_add_test(t, socks5_sends_numbers_as_numbers);
	tcase_add_test(t, socks5_password_is_given_when_it_is_wanted);
	tcase_add_test(t, longest_credentials_and_name_fit);
	tcase_add_test(t, bound_address_of_every_type_is_skipped);
	tcase_add_test(t, socks5_replies_have_words);
	tcase_add_loop_test(
		t, any_other_socks5_answer_fails, 0, sizeof(nonsense) / sizeof(nonsense[0]));
	suite_add_tcase(s, t);
	return run_suite_together(s);
}
