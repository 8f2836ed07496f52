/*
 * fuzz_h1_client.c - an HTTP/1.1 client connection and a server that answers
 * with well-formed and with raw bytes as the input says (client.h). What the
 * client sends is read by the parser of requests: it is one after the other,
 * whole or cut, never something else.
 */
#include <stdio.h>
#include <string.h>

#include <clientconn.h>
#include <clientconn/head.h>

#include "lib/codec/h1_codec.h"
#include "tests/fuzz/client.h"
#include "tests/fuzz/fuzz_ctx.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

/* ---- the server says ----------------------------------------------------- */

#define OK      "HTTP/1.1 200 OK\r\n"
#define ZEROS_8 "Content-Length: 8\r\n"

static const char *const heads[] = {
	OK ZEROS_8 "\r\n",
	OK "Content-Length: 0\r\n\r\n",
	OK "Transfer-Encoding: chunked\r\n\r\n",
	OK "\r\n", /* until EOF */
	OK "Connection: close\r\n" ZEROS_8 "\r\n",
	"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n" ZEROS_8 "\r\n",
	"HTTP/1.0 200 OK\r\n\r\n",
	"HTTP/1.1 100 Continue\r\n\r\n",
	"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n",
	"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
	"HTTP/1.1 204 No Content\r\n\r\n",
	"HTTP/1.1 304 Not Modified\r\n" ZEROS_8 "\r\n",
	"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
	OK "Content-Length: 100000\r\n\r\n",
	OK ZEROS_8 "Transfer-Encoding: chunked\r\n\r\n",
	"HTTP/1.1 417 Expectation Failed\r\n" ZEROS_8 "\r\n",
};

static void say_str(const char *s)
{
	say(s, strlen(s));
}

static void say_chunk(const char *bytes, size_t n)
{
	char line[16];

	snprintf(line, sizeof(line), "%zx\r\n", n);
	say_str(line);
	say(bytes, n);
	say_str("\r\n");
}

static void server_step(struct script *s, uint8_t what)
{
	static const char zeros[256];
	uint8_t a = take(s);
	struct script part;

	switch (what % 5) {
	case 0: /* anything */
		part = take_some(s, a);
		say(part.p, part.n);
		break;
	case 1:
		say_str(heads[a % (sizeof(heads) / sizeof(heads[0]))]);
		break;
	case 2:
		say(zeros, a);
		break;
	case 3:
		say_chunk(zeros, 1 + a % 128u);
		break;
	case 4:
		say_str(a & 1 ? "0\r\nX-Sum: 1\r\n\r\n" : "0\r\n\r\n");
		break;
	}
}

/* ---- the server hears ---------------------------------------------------- */

static struct h1_parser *parser;
static struct cc_head *head;

static void hear_nothing(void)
{
	static const struct h1_limits limits = {.head = 4096, .fields = 100};

	parser = h1_parser_new(fuzz_ctx(), H1_REQUEST, &limits);
	head = cc_head_new(fuzz_ctx());
	h1_parser_begin(parser, head);
}

static void hear(const void *p, size_t n)
{
	enum h1_event event;
	const char *data, *bytes = p;
	size_t used, len;

	do {
		event = h1_parser_feed(parser, bytes, n, &used, &data, &len);
		FUZZ_ASSERT(event != H1_ERROR);
		if (event == H1_BODY) /* all bodies are of zeros: no other request got into it */
			FUZZ_ASSERT(data[0] == 0 && memcmp(data, data + 1, len - 1) == 0);
		bytes += used;
		n -= used;
		if (event == H1_END)
			h1_parser_begin(parser, head);
	} while (event != H1_MORE);
}

static void hear_no_more(void)
{
	h1_parser_free(parser);
	cc_head_free(head);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	static const struct fuzz_client h1 = {
		CC_OFFER_H1, server_step, hear_nothing, hear, hear_no_more};

	return fuzz_client(&h1, bytes, n);
}
