/*
 * proxy_talk.c - the dialogue with a proxy.
 *
 *   CONNECT:  ANSWER ──2xx──> open                 1xx: the next answer comes
 *   SOCKS5:   METHOD ──> [AUTH ──>] REPLY ──> open
 *
 * A proxy is believed nothing: its answer is bounded in size (in time by who
 * calls), and no text of it reaches a log. The password is in what is sent and
 * nowhere else.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <openssl/evp.h>

#include <clientconn.h>
#include <clientconn/buf.h>
#include <clientconn/head.h>

#include "lib/base/ctx.h"
#include "lib/codec/h1_codec.h"
#include "lib/net/address.h"
#include "lib/net/proxy.h"
#include "lib/net/resolve.h"
#include "lib/net/proxy_talk.h"

#define ANSWER_MAX     65536u /* bytes of the answer to CONNECT, those of 1xx included */
#define FIELDS_MAX     256u
#define SOCKS_NAME_MAX 255u /* RFC 1928 4: the length of a name is one byte */

enum proxy_talk_phase { PROXY_TALK_ANSWER, PROXY_TALK_METHOD, PROXY_TALK_AUTH, PROXY_TALK_REPLY };

/* RFC 1928 and RFC 1929 */
enum { SOCKS_VERSION = 5, AUTH_VERSION = 1 };
enum { METHOD_NONE = 0, METHOD_PASSWORD = 2, METHOD_NO_ACCEPTABLE = 255 };
enum { COMMAND_CONNECT = 1 };
enum { ADDRESS_IPV4 = 1, ADDRESS_NAME = 3, ADDRESS_IPV6 = 4 };

struct proxy_talk {
	struct cc_ctx *ctx;
	struct proxy *proxy;
	enum proxy_talk_phase phase;
	uint16_t port;
	struct address addr;      /* of the server, if its host is a number; else len 0 */
	struct h1_parser *parser; /* CONNECT only */
	struct cc_head *head;
	size_t answered; /* bytes that the parser took */
	int err;
	char detail[128];
	char *server; /* behind host, in the same block */
	char host[];
};

/* ---- life -------------------------------------------------------------- */

static int parser_make(struct proxy_talk *t)
{
	const struct h1_limits limits = {.head = ANSWER_MAX, .fields = FIELDS_MAX};

	t->head = cc_head_new(t->ctx);
	t->parser = h1_parser_new(t->ctx, H1_RESPONSE, &limits);
	return t->head && t->parser ? 0 : CC_ENOMEM;
}

static int set_server(struct proxy_talk *t, const char *host, uint16_t port)
{
	size_t n = strlen(host);
	bool v6 = strchr(host, ':') != NULL;

	if (strchr(host, '%')) /* RFC 4007 11.2: a zone means something on this machine only */
		return CC_EINVAL;
	t->port = port;
	memcpy(t->host, host, n + 1);
	t->server = t->host + n + 1;
	snprintf(t->server, n + sizeof("[]:65535"), "%s%s%s:%u", v6 ? "[" : "", host, v6 ? "]" : "",
		port);
	address_numeric(&t->addr, host, port); /* a name leaves its length at 0 */
	return t->proxy->kind == PROXY_CONNECT || n <= SOCKS_NAME_MAX ? 0 : CC_EINVAL;
}

int proxy_talk_new(struct cc_ctx *ctx, struct proxy *proxy, const char *host, uint16_t port,
	struct proxy_talk **ret)
{
	size_t n = strlen(host);
	struct proxy_talk *t = mem_zalloc(ctx, sizeof(*t) + 2 * n + sizeof("[]:65535") + 1);
	int err;

	if (!t) {
		proxy_free(ctx, proxy);
		return CC_ENOMEM;
	}
	t->ctx = ctx;
	t->proxy = proxy;
	t->phase = proxy->kind == PROXY_CONNECT ? PROXY_TALK_ANSWER : PROXY_TALK_METHOD;
	err = set_server(t, host, port);
	if (err == 0 && proxy->kind == PROXY_CONNECT)
		err = parser_make(t);
	if (err < 0) {
		proxy_talk_free(t);
		return err;
	}
	*ret = t;
	return 0;
}

void proxy_talk_free(struct proxy_talk *t)
{
	if (!t)
		return;
	h1_parser_free(t->parser);
	cc_head_free(t->head);
	proxy_free(t->ctx, t->proxy);
	mem_free(t->ctx, t);
}

const char *proxy_talk_proxy(const struct proxy_talk *t)
{
	return t->proxy->address;
}

int proxy_talk_error(const struct proxy_talk *t)
{
	return t->err;
}

const char *proxy_talk_detail(const struct proxy_talk *t)
{
	return t->detail;
}

const char *proxy_talk_server(const struct proxy_talk *t)
{
	return t->server;
}

const char *proxy_talk_word(const struct proxy_talk *t)
{
	return t->proxy->kind == PROXY_CONNECT ? "CONNECT" : "SOCKS5";
}

static enum proxy_talk_event fail(struct proxy_talk *t, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static enum proxy_talk_event fail(struct proxy_talk *t, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(t->detail, sizeof(t->detail), fmt, args);
	va_end(args);
	t->err = CC_ECONNECT;
	return PROXY_TALK_FAILED;
}

static enum proxy_talk_event no_memory(struct proxy_talk *t)
{
	fail(t, "out of memory");
	t->err = CC_ENOMEM;
	return PROXY_TALK_FAILED;
}

/* ---- CONNECT ----------------------------------------------------------- */

static int add_text(struct cc_buf *out, const char *s)
{
	return cc_buf_add(out, s, strlen(s));
}

/* RFC 7617. */
static int add_credentials(struct proxy_talk *t, struct cc_buf *out)
{
	const struct proxy *p = t->proxy;
	size_t user = strlen(p->user), password = strlen(p->password);
	size_t plain = user + 1 + password, coded = (plain + 2) / 3 * 4;
	char *space = mem_alloc(t->ctx, plain + 1 + coded + 1);
	int err;

	if (!space)
		return CC_ENOMEM;
	snprintf(space, plain + 1, "%s:%s", p->user, p->password);
	EVP_EncodeBlock(
		(unsigned char *)space + plain + 1, (const unsigned char *)space, (int)plain);
	err = add_text(out, "Proxy-Authorization: Basic ");
	if (err == 0)
		err = add_text(out, space + plain + 1);
	if (err == 0)
		err = add_text(out, "\r\n");
	mem_free(t->ctx, space);
	return err;
}

/* RFC 9112 3.2.3: the target is the authority, as is Host (RFC 9110 7.2). */
static int add_connect(struct proxy_talk *t, struct cc_buf *out)
{
	const char *const parts[] = {
		"CONNECT ", t->server, " HTTP/1.1\r\nHost: ", t->server, "\r\n"};
	int err = 0;

	for (size_t i = 0; err == 0 && i < sizeof(parts) / sizeof(parts[0]); i++)
		err = add_text(out, parts[i]);
	if (err == 0 && t->proxy->credentials)
		err = add_credentials(t, out);
	return err < 0 ? err : add_text(out, "\r\n");
}

static void next_answer(struct proxy_talk *t)
{
	h1_parser_begin(t->parser, t->head);
	h1_parser_no_body(t->parser);
}

static enum proxy_talk_event on_answer(struct proxy_talk *t)
{
	unsigned status = cc_head_status(t->head);

	if (status >= 200 && status < 300)
		return PROXY_TALK_OPEN;
	if (status < 200 && status != 101)
		return PROXY_TALK_MORE;
	return fail(t, "%u%s%s", status, *h1_reason(status) ? " " : "", h1_reason(status));
}

static enum proxy_talk_event feed_answer(struct proxy_talk *t, struct cc_buf *in)
{
	enum proxy_talk_event result = PROXY_TALK_MORE;

	while (result == PROXY_TALK_MORE) {
		size_t n = 0, used = 0, len = 0;
		const char *data = NULL, *p = buf_first(in, &n);
		enum h1_event ev =
			h1_parser_feed(t->parser, p ? p : "", p ? n : 0, &used, &data, &len);

		cc_buf_drain(in, used);
		t->answered += used;
		if (t->answered > ANSWER_MAX)
			return fail(t, "response larger than %u bytes", ANSWER_MAX);
		if (ev == H1_ERROR)
			return fail(
				t, "malformed response: %s", h1_parser_error(t->parser)->reason);
		if (ev == H1_MORE && in->len == 0)
			return PROXY_TALK_MORE;
		if (ev == H1_HEAD)
			result = on_answer(t);
		if (ev == H1_END)
			next_answer(t); /* behind a 1xx */
	}
	return result;
}

/* ---- SOCKS5 ------------------------------------------------------------- */

/* Whoever has a password is also ready to be let in without. */
static int add_greeting(const struct proxy_talk *t, struct cc_buf *out)
{
	static const char bytes[] = {SOCKS_VERSION, 2, METHOD_NONE, METHOD_PASSWORD};
	static const char alone[] = {SOCKS_VERSION, 1, METHOD_NONE};

	return t->proxy->credentials ? cc_buf_add(out, bytes, sizeof(bytes))
	                             : cc_buf_add(out, alone, sizeof(alone));
}

static size_t put_string(unsigned char *at, const char *s)
{
	size_t n = strlen(s);

	at[0] = (unsigned char)n;
	memcpy(at + 1, s, n);
	return n + 1;
}

static int add_password(const struct proxy_talk *t, struct cc_buf *out)
{
	unsigned char bytes[1 + 2 * 256] = {AUTH_VERSION};
	size_t n = 1;

	n += put_string(bytes + n, t->proxy->user);
	n += put_string(bytes + n, t->proxy->password);
	return cc_buf_add(out, bytes, n);
}

static int add_request(const struct proxy_talk *t, struct cc_buf *out)
{
	unsigned char bytes[4 + 256 + 2] = {SOCKS_VERSION, COMMAND_CONNECT};
	size_t n = 4;

	if (t->addr.len == 0) {
		bytes[3] = ADDRESS_NAME;
		n += put_string(bytes + n, t->host);
	} else {
		bytes[3] = t->addr.sa.ss_family == AF_INET ? ADDRESS_IPV4 : ADDRESS_IPV6;
		n += address_bytes(&t->addr, bytes + n);
	}
	bytes[n++] = (unsigned char)(t->port >> 8);
	bytes[n++] = (unsigned char)(t->port & 0xff);
	return cc_buf_add(out, bytes, n);
}

static enum proxy_talk_event say(struct proxy_talk *t, enum proxy_talk_phase next,
	int (*add)(const struct proxy_talk *t, struct cc_buf *out), struct cc_buf *out)
{
	if (add(t, out) < 0)
		return no_memory(t);
	t->phase = next;
	return PROXY_TALK_MORE;
}

static enum proxy_talk_event on_method(
	struct proxy_talk *t, const unsigned char *b, struct cc_buf *out)
{
	if (b[0] != SOCKS_VERSION)
		return fail(t, "not a SOCKS5 reply");
	if (b[1] == METHOD_NONE)
		return say(t, PROXY_TALK_REPLY, add_request, out);
	if (b[1] == METHOD_PASSWORD && t->proxy->credentials)
		return say(t, PROXY_TALK_AUTH, add_password, out);
	if (b[1] != METHOD_NO_ACCEPTABLE)
		return fail(t, "it chose method %u, which was not offered", b[1]);
	return fail(t, t->proxy->credentials ? "it takes no password (no acceptable method)"
					     : "it wants credentials (no acceptable method)");
}

static enum proxy_talk_event on_auth(
	struct proxy_talk *t, const unsigned char *b, struct cc_buf *out)
{
	if (b[0] != AUTH_VERSION)
		return fail(t, "not a reply to user and password (RFC 1929)");
	if (b[1] != 0)
		return fail(t, "user and password refused");
	return say(t, PROXY_TALK_REPLY, add_request, out);
}

static enum proxy_talk_event refused(struct proxy_talk *t, unsigned reply)
{
	static const char *const words[] = {[1] = "general failure",
		[2] = "not allowed by its rules",
		[3] = "network unreachable",
		[4] = "host unreachable",
		[5] = "connection refused",
		[6] = "TTL expired",
		[7] = "command not supported",
		[8] = "address type not supported"};
	const char *word = reply < sizeof(words) / sizeof(words[0]) ? words[reply] : "unknown";

	return fail(t, "%s (reply %u)", word, reply);
}

/* Bytes of the whole reply; 0: an address of no known type. b holds its first five. */
static size_t reply_size(const unsigned char *b)
{
	switch (b[3]) {
	case ADDRESS_IPV4:
		return 4 + 4 + 2;
	case ADDRESS_NAME:
		return 4 + 1 + (size_t)b[4] + 2;
	case ADDRESS_IPV6:
		return 4 + 16 + 2;
	default:
		return 0;
	}
}

/* The address in the reply says where the proxy is bound to: nothing that matters here. */
static enum proxy_talk_event feed_reply(struct proxy_talk *t, struct cc_buf *in)
{
	unsigned char b[5];
	size_t got = cc_buf_peek(in, b, sizeof(b)), whole;

	if (got >= 1 && b[0] != SOCKS_VERSION)
		return fail(t, "not a SOCKS5 reply");
	if (got >= 2 && b[1] != 0) /* some proxies send nothing behind it */
		return refused(t, b[1]);
	if (got < sizeof(b))
		return PROXY_TALK_MORE;
	whole = reply_size(b);
	if (whole == 0)
		return fail(t, "a reply with an address of type %u", b[3]);
	if (in->len < whole)
		return PROXY_TALK_MORE;
	cc_buf_drain(in, whole);
	return PROXY_TALK_OPEN;
}

static enum proxy_talk_event feed_socks5(
	struct proxy_talk *t, struct cc_buf *in, struct cc_buf *out)
{
	unsigned char b[2];

	while (t->phase != PROXY_TALK_REPLY) {
		enum proxy_talk_event result;

		if (cc_buf_peek(in, b, sizeof(b)) < sizeof(b))
			return PROXY_TALK_MORE;
		cc_buf_drain(in, sizeof(b));
		result = t->phase == PROXY_TALK_METHOD ? on_method(t, b, out) : on_auth(t, b, out);
		if (result != PROXY_TALK_MORE)
			return result;
	}
	return feed_reply(t, in);
}

/* ---- both --------------------------------------------------------------- */

int proxy_talk_begin(struct proxy_talk *t, struct cc_buf *out)
{
	if (t->proxy->kind == PROXY_SOCKS5)
		return add_greeting(t, out);
	next_answer(t);
	return add_connect(t, out);
}

enum proxy_talk_event proxy_talk_feed(struct proxy_talk *t, struct cc_buf *in, struct cc_buf *out)
{
	return t->proxy->kind == PROXY_CONNECT ? feed_answer(t, in) : feed_socks5(t, in, out);
}
