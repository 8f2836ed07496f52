/*
 * h1_write.c - heads, chunks and trailers to HTTP/1.1 bytes. Each call counts
 * first and then writes straight into room reserved at the end of the buffer.
 */
#include <string.h>

#include <clientconn/buf.h>

#include "lib/base/ctx.h"
#include "lib/base/head_int.h"
#include "lib/base/hop.h"
#include "lib/codec/h1_codec.h"

#define FRAMING_MAX 128u                /* what put_framing and put_te add, and the empty line */
#define COPY_MAX    (2 * SLAB_COPY_MAX) /* chunks up to this size are copied whole */

/* Room in the buffer, or in memory of its own when a slab is too small. */
struct room {
	struct cc_buf *out;
	char *own;
	char *at;
};

static bool room_begin(struct room *r, struct cc_buf *out, size_t n)
{
	r->out = out;
	r->own = n > SLAB_SIZE ? mem_alloc(out->ctx, n) : NULL;
	r->at = n > SLAB_SIZE ? r->own : buf_reserve(out, n);
	return r->at != NULL;
}

static int room_end(struct room *r, char *begin)
{
	size_t n = (size_t)(r->at - begin);

	if (!r->own)
		return buf_commit(r->out, n);

	int err = cc_buf_add(r->out, r->own, n);

	mem_free(r->out->ctx, r->own);
	return err;
}

static void put(struct room *r, const char *p, size_t n)
{
	memcpy(r->at, p, n);
	r->at += n;
}

#define PUT(r, lit) put(r, lit, sizeof(lit) - 1)

static void put_str(struct room *r, struct cc_str s)
{
	put(r, s.p, s.n);
}

static void put_number(struct room *r, uint64_t n, unsigned base)
{
	char digits[20];
	size_t i = sizeof(digits);

	do {
		digits[--i] = "0123456789abcdef"[n % base];
		n /= base;
	} while (n > 0);
	put(r, digits + i, sizeof(digits) - i);
}

static void put_field(struct room *r, const struct cc_head *h, size_t i)
{
	put_str(r, cc_head_name(h, i));
	PUT(r, ": ");
	put_str(r, cc_head_value(h, i));
	PUT(r, "\r\n");
}

static size_t fields_size(const struct cc_head *h)
{
	size_t n = 0;

	for (uint32_t i = 0; i < h->count; i++)
		n += (size_t)h->fields[i].name_len + h->fields[i].value_len + 4;
	return n;
}

static void put_fields(struct room *r, const struct cc_head *h, const struct h1_write *w)
{
	bool named = cc_head_find(h, CC_T_CONNECTION, 0) >= 0;

	for (uint32_t i = 0; i < h->count; i++) {
		unsigned token = h->fields[i].token;

		if (token == CC_T_HOST || head_token_is_hop(token) ||
			(token == CC_T_CONTENT_LENGTH && w->framing != H1_FRAME_AS_IS) ||
			(named && cc_head_hop_by_hop(h, i)))
			continue;
		put_field(r, h, i);
	}
}

static void put_framing(struct room *r, const struct h1_write *w)
{
	if (w->framing == H1_FRAME_LENGTH) {
		PUT(r, "Content-Length: ");
		put_number(r, w->length, 10);
		PUT(r, "\r\n");
	} else if (w->framing == H1_FRAME_CHUNKED) {
		PUT(r, "Transfer-Encoding: chunked\r\n");
	}
	if (w->close || w->framing == H1_FRAME_EOF)
		PUT(r, "Connection: close\r\n");
	else if (w->keep_alive)
		PUT(r, "Connection: keep-alive\r\n");
	PUT(r, "\r\n");
}

/* It is for the next hop, and says so (RFC 9110 10.1.4). */
static void put_te(struct room *r, const struct cc_head *h)
{
	if (head_takes_trailers(h))
		PUT(r, "TE: trailers\r\nConnection: TE\r\n");
}

static bool is_connect(struct cc_str method)
{
	return method.n == 7 && memcmp(method.p, "CONNECT", 7) == 0;
}

int h1_write_request(struct cc_buf *out, const struct cc_head *head, const struct h1_write *w)
{
	struct cc_str method = cc_head_method(head), authority = cc_head_authority(head);
	struct cc_str target = cc_head_path(head);
	struct room r;

	if (target.n == 0) /* RFC 9112 3.2.3 and 3.2.1 */
		target = is_connect(method) ? authority : CC_STR("/");

	size_t start = method.n + target.n + authority.n + sizeof("  HTTP/1.1\r\nHost: \r\n");

	if (!room_begin(&r, out, start + fields_size(head) + FRAMING_MAX))
		return CC_ENOMEM;

	char *begin = r.at;

	put_str(&r, method);
	PUT(&r, " ");
	put_str(&r, target);
	PUT(&r, " HTTP/1.1\r\nHost: ");
	put_str(&r, authority);
	PUT(&r, "\r\n");
	put_fields(&r, head, w);
	put_te(&r, head);
	put_framing(&r, w);
	return room_end(&r, begin);
}

int h1_write_response(struct cc_buf *out, const struct cc_head *head, const struct h1_write *w)
{
	unsigned status = cc_head_status(head);
	const char *reason = h1_reason(status);
	size_t n = strlen(reason);
	struct room r;

	if (!room_begin(&r, out, sizeof("HTTP/1.1 200 \r\n") + n + fields_size(head) + FRAMING_MAX))
		return CC_ENOMEM;

	char *begin = r.at;

	PUT(&r, "HTTP/1.1 ");
	put_number(&r, status, 10);
	PUT(&r, " ");
	put(&r, reason, n);
	PUT(&r, "\r\n");
	put_fields(&r, head, w);
	put_framing(&r, w);
	return room_end(&r, begin);
}

/* ---- chunks ----------------------------------------------------------- */

static int copy_chunk(struct cc_buf *out, struct cc_buf *body)
{
	struct room r;
	size_t n = body->len;

	if (!room_begin(&r, out, n + 24))
		return CC_ENOMEM;

	char *begin = r.at;

	put_number(&r, n, 16);
	PUT(&r, "\r\n");
	r.at += cc_buf_peek(body, r.at, n);
	PUT(&r, "\r\n");

	int err = room_end(&r, begin);

	if (err == 0)
		cc_buf_drain(body, n);
	return err;
}

static int put_size(struct cc_buf *out, size_t n)
{
	struct room r;

	if (!room_begin(&r, out, 24))
		return CC_ENOMEM;

	char *begin = r.at;

	put_number(&r, n, 16);
	PUT(&r, "\r\n");
	return room_end(&r, begin);
}

int h1_write_chunk(struct cc_buf *out, struct cc_buf *body)
{
	struct cc_buf chunk;
	size_t n = body->len;

	if (n == 0)
		return 0;
	if (n <= COPY_MAX)
		return copy_chunk(out, body);

	/* Put together aside: half a chunk in out could not be taken back. */
	cc_buf_init(&chunk, out->ctx);
	if (put_size(&chunk, n) < 0 || cc_buf_move(&chunk, body, n) < 0 ||
		cc_buf_add(&chunk, "\r\n", 2) < 0 || cc_buf_move(out, &chunk, chunk.len) < 0) {
		cc_buf_clear(&chunk);
		return CC_ENOMEM;
	}
	return 0;
}

/* RFC 9110 6.5.1: what frames, routes, authenticates, or says how to read the content. */
static bool may_be_trailer(struct cc_str name)
{
	static const char *const forbidden[] = {
		"age",
		"authorization",
		"cache-control",
		"content-encoding",
		"content-range",
		"content-type",
		"cookie",
		"date",
		"expires",
		"if-match",
		"if-modified-since",
		"if-none-match",
		"if-range",
		"if-unmodified-since",
		"location",
		"max-forwards",
		"pragma",
		"proxy-authenticate",
		"proxy-authorization",
		"range",
		"retry-after",
		"set-cookie",
		"vary",
		"warning",
		"www-authenticate",
	};

	for (size_t i = 0; i < sizeof(forbidden) / sizeof(forbidden[0]); i++)
		if (strlen(forbidden[i]) == name.n && memcmp(forbidden[i], name.p, name.n) == 0)
			return false;
	return true;
}

static void put_trailers(struct room *r, const struct cc_head *h)
{
	for (uint32_t i = 0; i < h->count; i++) {
		unsigned token = h->fields[i].token;

		if (token == CC_T_HOST || token == CC_T_CONTENT_LENGTH || token == CC_T_EXPECT ||
			token == CC_T_TRAILER || cc_head_hop_by_hop(h, i) ||
			!may_be_trailer(cc_head_name(h, i)))
			continue;
		put_field(r, h, i);
	}
}

int h1_write_last_chunk(struct cc_buf *out, const struct cc_head *trailers)
{
	struct room r;

	if (!room_begin(&r, out, (trailers ? fields_size(trailers) : 0) + 8))
		return CC_ENOMEM;

	char *begin = r.at;

	PUT(&r, "0\r\n");
	if (trailers)
		put_trailers(&r, trailers);
	PUT(&r, "\r\n");
	return room_end(&r, begin);
}

/* ---- reasons ---------------------------------------------------------- */

static const char *const informational[] = {
	"Continue",
	"Switching Protocols",
	"Processing",
	"Early Hints",
};

static const char *const successful[] = {
	"OK",
	"Created",
	"Accepted",
	"Non-Authoritative Information",
	"No Content",
	"Reset Content",
	"Partial Content",
	"Multi-Status",
	"Already Reported",
};

static const char *const redirection[] = {
	"Multiple Choices",
	"Moved Permanently",
	"Found",
	"See Other",
	"Not Modified",
	"Use Proxy",
	"",
	"Temporary Redirect",
	"Permanent Redirect",
};

static const char *const client_error[] = {
	"Bad Request",
	"Unauthorized",
	"Payment Required",
	"Forbidden",
	"Not Found",
	"Method Not Allowed",
	"Not Acceptable",
	"Proxy Authentication Required",
	"Request Timeout",
	"Conflict",
	"Gone",
	"Length Required",
	"Precondition Failed",
	"Content Too Large",
	"URI Too Long",
	"Unsupported Media Type",
	"Range Not Satisfiable",
	"Expectation Failed",
	"",
	"",
	"",
	"Misdirected Request",
	"Unprocessable Content",
	"Locked",
	"Failed Dependency",
	"Too Early",
	"Upgrade Required",
	"",
	"Precondition Required",
	"Too Many Requests",
	"",
	"Request Header Fields Too Large",
};

static const char *const server_error[] = {
	"Internal Server Error",
	"Not Implemented",
	"Bad Gateway",
	"Service Unavailable",
	"Gateway Timeout",
	"HTTP Version Not Supported",
	"Variant Also Negotiates",
	"Insufficient Storage",
	"Loop Detected",
	"",
	"Not Extended",
	"Network Authentication Required",
};

#define REASONS(list) list, sizeof(list) / sizeof((list)[0])

const char *h1_reason(unsigned status)
{
	static const struct {
		const char *const *reasons;
		size_t count;
	} classes[] = {
		{REASONS(informational)},
		{REASONS(successful)},
		{REASONS(redirection)},
		{REASONS(client_error)},
		{REASONS(server_error)},
	};

	if (status < 100 || status >= 600)
		return "";
	if (status % 100 >= classes[status / 100 - 1].count)
		return status == 451 ? "Unavailable For Legal Reasons" : "";
	return classes[status / 100 - 1].reasons[status % 100];
}
