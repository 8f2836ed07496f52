/*
 * h1_codec.c - HTTP/1.1 messages to heads and bodies; h1_write.c is the way back.
 *
 * Two readers look at every byte of a head and of a trailer section. The line
 * reader (h1_lines.h) knows lines, llhttp the grammar in them. llhttp is given
 * what the line reader accepted and nothing behind the end of the section; when
 * both do not agree where that is, the message is refused. So no callback has
 * to pause, and what one of them lets through the other one stops.
 *
 * Lengths are counted here, llhttp never sees a body other than a chunked one.
 * An error is found at the same byte however the input was cut: the line
 * reader's waits until llhttp has seen all bytes before it.
 */
#include <llhttp.h>
#include <string.h>

#include <clientconn/buf.h>

#include "lib/base/ctx.h"
#include "lib/base/head_int.h"
#include "lib/base/token.h"
#include "lib/codec/h1_codec.h"
#include "lib/codec/h1_lines.h"

#define EMPTY_LINES_MAX 4    /* before a request, RFC 9112 2.2 */
#define TLS_HANDSHAKE   0x16 /* first byte of a ClientHello record */

enum phase {
	PHASE_IDLE,  /* before the first h1_parser_begin and after H1_END */
	PHASE_START, /* no byte of the message yet */
	PHASE_HEAD,
	PHASE_BODY_LENGTH,
	PHASE_BODY_EOF,
	PHASE_CHUNK_LINE,
	PHASE_CHUNK_DATA,
	PHASE_CHUNK_END, /* the CRLF behind the data */
	PHASE_TRAILER,
	PHASE_END, /* all is there, H1_END has to be reported */
	PHASE_ERROR
};

struct h1_parser {
	struct cc_ctx *ctx;
	struct cc_head *head;     /* the caller's */
	struct cc_head *trailers; /* ours, NULL until a trailer field came */
	struct h1_lines lines;
	uint64_t remain;                 /* body or chunk bytes to come */
	uint32_t target_off, target_end; /* the target in head->text */
	uint32_t name_off, name_len;     /* the field being built */
	struct head_part host;
	uint8_t phase;
	uint8_t at; /* bytes of a CRLF so far */
	uint8_t empty_lines;
	bool no_body : 1, has_length : 1, chunked : 1, bad_coding : 1;
	bool close : 1, keep : 1, expects : 1, has_host : 1;
	bool complete : 1; /* llhttp found the end of the section */
	llhttp_t ll;
};

static void refuse(struct h1_parser *p, unsigned status, const char *reason)
{
	h1_refuse(&p->lines.error, status, reason);
}

/* ---- what llhttp finds ----------------------------------------------- */

static struct h1_parser *parser_of(llhttp_t *ll)
{
	return ll->data;
}

/* Stops llhttp: an error was noted, or there is no memory. */
static int stop(struct h1_parser *p)
{
	refuse(p, 503, "out of memory");
	return HPE_USER;
}

static struct cc_head *section_head(struct h1_parser *p)
{
	if (p->phase != PHASE_TRAILER)
		return p->head;
	if (!p->trailers)
		p->trailers = cc_head_new(p->ctx);
	return p->trailers;
}

static int on_url(llhttp_t *ll, const char *at, size_t n)
{
	struct h1_parser *p = parser_of(ll);

	if (p->target_end == 0)
		p->target_off = p->head->text_len;
	if (head_append(p->head, at, n) < 0)
		return stop(p);
	p->target_end = p->head->text_len;
	return 0;
}

static int on_field(llhttp_t *ll, const char *at, size_t n)
{
	struct h1_parser *p = parser_of(ll);
	struct cc_head *h = section_head(p);

	if (!h)
		return stop(p);
	if (p->name_len == 0)
		p->name_off = h->text_len;
	if (head_append_lower(h, at, n) < 0)
		return stop(p);
	p->name_len += (uint32_t)n;
	return 0;
}

static int on_value(llhttp_t *ll, const char *at, size_t n)
{
	struct h1_parser *p = parser_of(ll);

	return head_append(section_head(p), at, n) < 0 ? stop(p) : 0;
}

static bool same_word(const char *p, size_t n, const char *lower, size_t len)
{
	if (n != len)
		return false;
	for (size_t i = 0; i < n; i++)
		if (head_lower(p[i]) != lower[i])
			return false;
	return true;
}

#define IS_WORD(v, lit) same_word((v).p, (v).n, lit, sizeof(lit) - 1)

static void take_host(struct h1_parser *p, struct head_part value)
{
	const char *text = p->head->text + value.off;

	if (p->has_host)
		refuse(p, 400, "more than one Host field (RFC 9112 3.2)");
	else if (!head_authority_ok(text, value.len))
		refuse(p, 400, "invalid Host (RFC 9112 3.2)");
	p->has_host = true;
	p->host = value;
}

static void take_length(struct h1_parser *p, struct cc_str v)
{
	uint64_t n = 0;

	if (p->has_length)
		refuse(p, 400, "more than one Content-Length (RFC 9112 6.3)");
	if (v.n == 0)
		refuse(p, 400, "Content-Length is not a number (RFC 9110 8.6)");
	for (size_t i = 0; i < v.n; i++) {
		if (v.p[i] < '0' || v.p[i] > '9') {
			refuse(p, 400, "Content-Length is not a number (RFC 9110 8.6)");
			return;
		}
		n = n * 10 + (uint64_t)(v.p[i] - '0');
		if (n > INT64_MAX) {
			refuse(p, 400, "Content-Length is too large");
			return;
		}
	}
	p->has_length = true;
	p->remain = n;
}

/* RFC 9112 6.1: we know one coding, chunked, and take it once and alone. */
static void take_coding(struct h1_parser *p, struct cc_str v)
{
	if (p->chunked || p->bad_coding)
		refuse(p, 400, "more than one Transfer-Encoding (RFC 9112 6.1)");
	else if (IS_WORD(v, "chunked"))
		p->chunked = true;
	else
		p->bad_coding = true;
}

static void take_connection(struct h1_parser *p, struct cc_str v)
{
	while (v.n > 0) {
		const char *comma = memchr(v.p, ',', v.n);
		size_t n = comma ? (size_t)(comma - v.p) : v.n;
		struct cc_str word = {v.p, n};

		while (word.n > 0 && !head_is(word.p[0], CH_TOKEN)) {
			word.p++;
			word.n--;
		}
		while (word.n > 0 && !head_is(word.p[word.n - 1], CH_TOKEN))
			word.n--;
		if (IS_WORD(word, "close"))
			p->close = true;
		else if (IS_WORD(word, "keep-alive"))
			p->keep = true;
		n += comma != NULL;
		v.p += n;
		v.n -= n;
	}
}

/* Notes what frames the message. True: the field is not kept as one. */
static bool take_field(struct h1_parser *p, enum cc_token token, struct head_part part)
{
	struct cc_str v = head_text(p->head, part);

	switch (token) {
	case CC_T_HOST:
		if (p->lines.kind != H1_REQUEST)
			return false;
		take_host(p, part);
		return true;
	case CC_T_CONTENT_LENGTH:
		take_length(p, v);
		return false;
	case CC_T_TRANSFER_ENCODING:
		take_coding(p, v);
		return false;
	case CC_T_CONNECTION:
		take_connection(p, v);
		return false;
	case CC_T_EXPECT:
		p->expects = p->expects || IS_WORD(v, "100-continue");
		return false;
	default:
		return false;
	}
}

static int on_value_complete(llhttp_t *ll)
{
	struct h1_parser *p = parser_of(ll);
	struct cc_head *h = section_head(p);
	uint32_t off = p->name_off + p->name_len;

	while (h->text_len > off &&
		(h->text[h->text_len - 1] == ' ' || h->text[h->text_len - 1] == '\t'))
		h->text_len--;

	enum cc_token token = token_find(h->text + p->name_off, p->name_len);
	struct head_part value = {off, h->text_len - off};
	uint32_t name_len = p->name_len;
	bool taken = false;

	p->name_len = 0;
	if (p->phase != PHASE_TRAILER)
		taken = take_field(p, token, value);
	else if (token == CC_T_CONTENT_LENGTH || token == CC_T_TRANSFER_ENCODING ||
		 token == CC_T_HOST)
		refuse(p, 400, "a trailer field that frames or routes (RFC 9110 6.5.1)");
	if (p->lines.error.status != 0)
		return stop(p);
	if (!taken && head_push_field(h, p->name_off, name_len, token) < 0)
		return stop(p);
	return 0;
}

/* ---- the end of the head ---------------------------------------------- */

/* RFC 9112 3.2.2. An empty path becomes "/", for OPTIONS "*" (3.2.4). */
static void take_absolute_path(struct h1_parser *p, uint32_t off, uint32_t end)
{
	struct cc_head *h = p->head;
	const char *fill = llhttp_get_method(&p->ll) == HTTP_OPTIONS && off == end ? "*" : "/";
	uint32_t begin = h->text_len;

	if (off < end && h->text[off] == '/') {
		h->path = (struct head_part){off, end - off};
		return;
	}
	/* The query moves behind the "/" that was left out. */
	if (end - off + 1 > h->text_cap - begin && head_grow(h, end - off + 1, NULL) < 0) {
		stop(p);
		return;
	}
	h->text[begin] = *fill;
	memcpy(h->text + begin + 1, h->text + off, end - off);
	h->text_len += 1 + end - off;
	h->path = (struct head_part){begin, h->text_len - begin};
}

static void take_absolute(struct h1_parser *p)
{
	struct cc_head *h = p->head;
	char *text = h->text;
	uint32_t off = p->target_off, end = p->target_end, i = off;

	while (i < end && head_is(text[i], CH_SCHEME)) {
		text[i] = head_lower(text[i]);
		i++;
	}
	if (i == off || end - i < 3 || memcmp(text + i, "://", 3) != 0) {
		refuse(p, 400, "the request target is neither a path nor a URL (RFC 9112 3.2)");
		return;
	}
	h->scheme = (struct head_part){off, i - off};

	uint32_t host = i + 3;

	for (i = host; i < end && text[i] != '/' && text[i] != '?'; i++)
		if (text[i] == '@') {
			refuse(p, 400, "user information in the request target (RFC 9110 4.2.4)");
			return;
		}
	if (i == host || text[host] == ':' || !head_authority_ok(text + host, i - host)) {
		refuse(p, 400, "invalid host in the request target (RFC 9112 3.2.2)");
		return;
	}
	h->authority = (struct head_part){host, i - host};
	take_absolute_path(p, i, end);
}

static void take_target(struct h1_parser *p)
{
	struct cc_head *h = p->head;
	struct head_part target = {p->target_off, p->target_end - p->target_off};
	uint8_t method = llhttp_get_method(&p->ll);
	const char *text = h->text + target.off;

	if (method == HTTP_CONNECT) { /* RFC 9112 3.2.3 */
		if (!head_authority_ok(text, target.len))
			refuse(p, 400, "the target of CONNECT is not host:port (RFC 9112 3.2.3)");
		h->authority = target;
	} else if (text[0] == '/') {
		h->path = target;
		h->authority = p->host;
	} else if (target.len == 1 && text[0] == '*' && method == HTTP_OPTIONS) {
		h->path = target; /* RFC 9112 3.2.4 */
		h->authority = p->host;
	} else {
		take_absolute(p);
	}
}

static void finish_request(struct h1_parser *p)
{
	struct cc_head *h = p->head;
	const char *name = llhttp_method_name((llhttp_method_t)llhttp_get_method(&p->ll));
	size_t n = strlen(name);

	if (p->lines.minor == 1 && !p->has_host)
		refuse(p, 400, "no Host field (RFC 9112 3.2)");
	take_target(p);
	h->method = (struct head_part){h->text_len, (uint32_t)n};
	if (head_append(h, name, n) < 0)
		stop(p);
}

static void check_framing(struct h1_parser *p)
{
	if (!p->chunked && !p->bad_coding)
		return;
	if (p->lines.minor == 0)
		refuse(p, 400, "Transfer-Encoding in HTTP/1.0 (RFC 9112 6.1)");
	if (p->has_length)
		refuse(p, 400, "Content-Length next to Transfer-Encoding (RFC 9112 6.3)");
	if (p->bad_coding)
		refuse(p, p->lines.kind == H1_REQUEST ? 501 : 400,
			"a transfer coding other than chunked (RFC 9112 6.1)");
	else if (!(p->ll.flags & F_CHUNKED))
		refuse(p, 400, "invalid Transfer-Encoding (RFC 9112 6.1)");
}

static int on_headers_complete(llhttp_t *ll)
{
	struct h1_parser *p = parser_of(ll);

	/* RFC 9110 7.8: Upgrade may be ignored; neither it nor CONNECT ends HTTP here. */
	ll->upgrade = 0;
	check_framing(p);
	if (p->lines.kind == H1_REQUEST)
		finish_request(p);
	else
		p->head->status = (unsigned)llhttp_get_status_code(ll);
	if (p->lines.error.status != 0)
		return stop(p);
	p->complete = true;
	return p->chunked ? 0 : 1; /* 1: llhttp shall not expect a body */
}

static int on_message_complete(llhttp_t *ll)
{
	struct h1_parser *p = parser_of(ll);

	if (p->phase == PHASE_TRAILER)
		p->complete = true;
	return 0;
}

static const llhttp_settings_t settings = {
	.on_url = on_url,
	.on_header_field = on_field,
	.on_header_value = on_value,
	.on_header_value_complete = on_value_complete,
	.on_headers_complete = on_headers_complete,
	.on_message_complete = on_message_complete,
};

/* ---- a parser and its messages ---------------------------------------- */

struct h1_parser *h1_parser_new(
	struct cc_ctx *ctx, enum h1_kind kind, const struct h1_limits *limits)
{
	/* One for each request of a client: idle clients hold none. */
	struct h1_parser *p = mem_small_alloc(ctx, sizeof(*p));

	if (!p)
		return NULL;
	memset(p, 0, sizeof(*p));
	p->ctx = ctx;
	h1_lines_init(&p->lines, kind, limits);
	return p;
}

void h1_parser_free(struct h1_parser *p)
{
	if (!p)
		return;
	cc_head_free(p->trailers);
	mem_small_free(p->ctx, p);
}

void h1_parser_begin(struct h1_parser *p, struct cc_head *head)
{
	enum h1_kind kind = p->lines.kind;
	struct h1_limits limits = p->lines.limits;

	cc_head_free(p->trailers);
	cc_head_reset(head);
	*p = (struct h1_parser){.ctx = p->ctx, .head = head, .phase = PHASE_START};
	h1_lines_init(&p->lines, kind, &limits);
	llhttp_init(&p->ll, kind == H1_REQUEST ? HTTP_REQUEST : HTTP_RESPONSE, &settings);
	p->ll.data = p;
}

void h1_parser_no_body(struct h1_parser *p)
{
	p->no_body = true;
}

static void note_grammar_error(struct h1_parser *p)
{
	switch (llhttp_get_errno(&p->ll)) {
	case HPE_INVALID_METHOD:
	case HPE_INVALID_CONSTANT:
		/* A token, says the line reader, and HTTP in front of the version. */
		refuse(p, 501, "unknown method");
		break;
	case HPE_INVALID_URL:
		refuse(p, 400, "invalid request target (RFC 9112 3.2)");
		break;
	case HPE_INVALID_HEADER_TOKEN:
		refuse(p, 400, "invalid character in a field line (RFC 9112 5)");
		break;
	case HPE_UNEXPECTED_CONTENT_LENGTH:
	case HPE_INVALID_CONTENT_LENGTH:
		refuse(p, 400, "invalid Content-Length (RFC 9112 6.3)");
		break;
	case HPE_INVALID_TRANSFER_ENCODING:
		refuse(p, 400, "invalid Transfer-Encoding (RFC 9112 6.1)");
		break;
	case HPE_INVALID_CHUNK_SIZE:
		refuse(p, 400, "invalid chunk line (RFC 9112 7.1)");
		break;
	default:
		refuse(p, 400, "malformed message");
	}
}

/* Lets llhttp see n bytes. False: it, or what it called here, found an error. */
static bool grammar(struct h1_parser *p, const char *bytes, size_t n)
{
	llhttp_errno_t found = llhttp_execute(&p->ll, bytes, n);

	/* From version 9 on it stops behind the head of a 101, where end_head ends HTTP, too. */
	if (found != HPE_OK && found != HPE_PAUSED_UPGRADE)
		note_grammar_error(p);
	return p->lines.error.status == 0;
}

/* Reads up to the end of the section. False: an error. */
static bool read_section(struct h1_parser *p, const char *bytes, size_t n, size_t *used)
{
	*used = h1_lines_read(&p->lines, bytes, n);

	struct h1_error found = p->lines.error;

	/* llhttp first: what it refuses lies before what the line reader refused. */
	p->lines.error = (struct h1_error){0, NULL};
	if (*used > 0 && !grammar(p, bytes, *used))
		return false;
	p->lines.error = found;
	return found.status == 0;
}

static void begin_section(struct h1_parser *p, enum phase phase, enum line first)
{
	h1_lines_begin(&p->lines, first);
	p->phase = (uint8_t)phase;
	p->complete = false;
}

static bool is_bodyless(const struct h1_parser *p)
{
	unsigned status = p->head->status;

	if (p->lines.kind == H1_REQUEST)
		return !p->chunked && (!p->has_length || p->remain == 0);
	if (p->no_body || status < 200 || status == 204 || status == 304)
		return true; /* RFC 9112 6.3 */
	return p->has_length && p->remain == 0;
}

static enum h1_event end_head(struct h1_parser *p)
{
	if (p->head->status == 101)
		p->close = true; /* what follows would not be HTTP */
	if (is_bodyless(p)) {
		p->phase = PHASE_END;
		p->no_body = true;
	} else if (p->chunked) {
		begin_section(p, PHASE_CHUNK_LINE, LINE_SIZE);
	} else if (p->has_length) {
		p->phase = PHASE_BODY_LENGTH;
	} else {
		p->phase = PHASE_BODY_EOF;
	}
	return H1_HEAD;
}

static enum h1_event disagree(struct h1_parser *p)
{
	refuse(p, 400, "malformed message: its end is ambiguous");
	return H1_ERROR;
}

static enum h1_event step_head(struct h1_parser *p, const char *bytes, size_t n, size_t *used)
{
	if (!read_section(p, bytes, n, used))
		return H1_ERROR;
	if (p->complete != (p->lines.line == LINE_END))
		return disagree(p);
	return p->complete ? end_head(p) : H1_MORE;
}

/* llhttp gets the size alone: version 8 refuses two extensions in a row if they have values. */
static bool grammar_of_size(struct h1_parser *p)
{
	char line[18];
	size_t i = sizeof(line);
	uint64_t n = p->lines.size;

	line[--i] = '\n';
	line[--i] = '\r';
	do {
		line[--i] = "0123456789abcdef"[n & 15];
		n >>= 4;
	} while (n > 0);
	return grammar(p, line + i, sizeof(line) - i);
}

static enum h1_event step_chunk_line(struct h1_parser *p, const char *bytes, size_t n, size_t *used)
{
	*used = h1_lines_read(&p->lines, bytes, n);
	if (p->lines.error.status != 0)
		return H1_ERROR;
	if (p->lines.line != LINE_END)
		return H1_MORE;
	if (!grammar_of_size(p))
		return H1_ERROR;
	p->remain = p->lines.size;
	if (p->remain > 0)
		p->phase = PHASE_CHUNK_DATA;
	else
		begin_section(p, PHASE_TRAILER, LINE_BEGIN);
	return H1_MORE;
}

static enum h1_event step_data(struct h1_parser *p, size_t n, size_t *used)
{
	*used = n < p->remain ? n : (size_t)p->remain;
	p->remain -= *used;
	if (p->remain == 0)
		p->phase = p->phase == PHASE_CHUNK_DATA ? PHASE_CHUNK_END : PHASE_END;
	return H1_BODY;
}

static enum h1_event step_chunk_data(struct h1_parser *p, const char *bytes, size_t n, size_t *used)
{
	enum h1_event event = step_data(p, n, used);

	p->at = 0;
	return grammar(p, bytes, *used) ? event : H1_ERROR;
}

static enum h1_event step_chunk_end(struct h1_parser *p, const char *bytes, size_t n, size_t *used)
{
	static const char crlf[] = {'\r', '\n'};

	for (*used = 0; *used < n && p->at < sizeof(crlf); ++*used, p->at++)
		if (bytes[*used] != crlf[p->at]) {
			refuse(p, 400, "chunk data is not followed by CRLF (RFC 9112 7.1)");
			return H1_ERROR;
		}
	if (!grammar(p, bytes, *used))
		return H1_ERROR;
	if (p->at == sizeof(crlf))
		begin_section(p, PHASE_CHUNK_LINE, LINE_SIZE);
	return H1_MORE;
}

static enum h1_event step_trailer(struct h1_parser *p, const char *bytes, size_t n, size_t *used)
{
	if (!read_section(p, bytes, n, used))
		return H1_ERROR;
	if (p->complete != (p->lines.line == LINE_END))
		return disagree(p);
	if (p->complete)
		p->phase = PHASE_END;
	return H1_MORE;
}

/* Skips the empty lines before a request (RFC 9112 2.2), then the head begins. */
static enum h1_event step_start(struct h1_parser *p, const char *bytes, size_t *used)
{
	bool lf = p->at == 1;

	*used = 1;
	if (lf && *bytes != '\n') {
		refuse(p, 400, "CR without LF (RFC 9112 2.2)");
		return H1_ERROR;
	}
	if (lf) {
		p->at = 0;
		return H1_MORE;
	}
	if (*bytes == '\r' && p->lines.kind == H1_REQUEST && p->empty_lines < EMPTY_LINES_MAX) {
		p->at = 1;
		p->empty_lines++;
		return H1_MORE;
	}
	if (*bytes == TLS_HANDSHAKE && p->lines.kind == H1_REQUEST) {
		refuse(p, 400, "this socket speaks plain HTTP: write http://, not https://");
		return H1_ERROR;
	}
	*used = 0;
	p->phase = PHASE_HEAD;
	return H1_MORE;
}

static enum h1_event step(struct h1_parser *p, const char *bytes, size_t n, size_t *used)
{
	*used = 0;
	switch ((enum phase)p->phase) {
	case PHASE_START:
		return step_start(p, bytes, used);
	case PHASE_HEAD:
		return step_head(p, bytes, n, used);
	case PHASE_BODY_LENGTH:
		return step_data(p, n, used);
	case PHASE_BODY_EOF:
		*used = n;
		return H1_BODY;
	case PHASE_CHUNK_LINE:
		return step_chunk_line(p, bytes, n, used);
	case PHASE_CHUNK_DATA:
		return step_chunk_data(p, bytes, n, used);
	case PHASE_CHUNK_END:
		return step_chunk_end(p, bytes, n, used);
	case PHASE_TRAILER:
		return step_trailer(p, bytes, n, used);
	case PHASE_IDLE:
	case PHASE_END:
	case PHASE_ERROR:
		break;
	}
	return H1_ERROR;
}

enum h1_event h1_parser_feed(struct h1_parser *p, const char *bytes, size_t n, size_t *used,
	const char **data, size_t *len)
{
	enum h1_event event = H1_MORE;
	size_t took = 0, pos = 0;

	*data = NULL;
	*len = 0;
	if (p->phase == PHASE_ERROR)
		event = H1_ERROR;
	while (event == H1_MORE && pos < n && p->phase != PHASE_END && p->phase != PHASE_IDLE) {
		event = step(p, bytes + pos, n - pos, &took);
		pos += took;
	}
	*used = pos;
	if (event == H1_BODY) {
		*data = bytes + pos - took;
		*len = took;
	} else if (event == H1_ERROR) {
		p->phase = PHASE_ERROR;
	} else if (event == H1_MORE && p->phase == PHASE_END) {
		p->phase = PHASE_IDLE;
		event = H1_END;
	}
	return event;
}

enum h1_event h1_parser_eof(struct h1_parser *p)
{
	switch ((enum phase)p->phase) {
	case PHASE_IDLE:
	case PHASE_START:
		return H1_MORE;
	case PHASE_BODY_EOF:
	case PHASE_END:
		p->phase = PHASE_IDLE;
		return H1_END;
	case PHASE_ERROR:
		return H1_ERROR;
	default:
		refuse(p, 400, "the connection ended inside a message");
		p->phase = PHASE_ERROR;
		return H1_ERROR;
	}
}

bool h1_parser_keep_alive(const struct h1_parser *p)
{
	if (p->close || h1_parser_until_eof(p))
		return false;
	return p->lines.minor == 1 || p->keep;
}

bool h1_parser_until_eof(const struct h1_parser *p)
{
	return p->lines.kind == H1_RESPONSE && !p->no_body && !p->chunked && !p->has_length;
}

bool h1_parser_chunked(const struct h1_parser *p)
{
	return p->chunked && !p->no_body;
}

bool h1_parser_has_body(const struct h1_parser *p)
{
	return !p->no_body;
}

bool h1_parser_expects_continue(const struct h1_parser *p)
{
	return p->expects && p->lines.minor == 1; /* RFC 9110 10.1.1 */
}

unsigned h1_parser_minor(const struct h1_parser *p)
{
	return p->lines.minor;
}

bool h1_parser_started(const struct h1_parser *p)
{
	return p->phase != PHASE_IDLE && p->phase != PHASE_START;
}

struct cc_head *h1_parser_trailers(const struct h1_parser *p)
{
	return p->trailers;
}

const struct h1_error *h1_parser_error(const struct h1_parser *p)
{
	return &p->lines.error;
}
