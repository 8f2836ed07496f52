/* h1_lines.c - reads the lines of HTTP/1.1, byte for byte, and refuses what is not exactly one. */
#include <string.h>

#include "lib/base/head_int.h"
#include "lib/codec/h1_lines.h"

#define CHUNK_LINE_MAX 256u /* size and extensions of one chunk */

/*
 * Each read_* takes bytes from s up to e, says what comes next in l->line and
 * answers where it stopped: behind what it took, or at a byte it refused.
 *
 * A head that came in one piece costs one call a line: where the next bytes are there and are the
 * usual ones, they are taken along. (A fifth of what this file cost per request.)
 */
static const char *read_method(struct h1_lines *l, const char *s, const char *e)
{
	const char *begin = s;

	while (s < e && head_is(*s, CH_TOKEN))
		s++;
	if (s == e)
		return s;
	if (*s != ' ' || (s == begin && l->section == 0)) {
		h1_refuse(&l->error, 400, "the method is not a token (RFC 9110 9.1)");
		return s;
	}
	l->line = LINE_TARGET;
	return s + 1;
}

static const char *read_target(struct h1_lines *l, const char *s, const char *e)
{
	size_t max = l->limits.target ? l->limits.target - l->target_len : SIZE_MAX;
	const char *begin = s;

	while (s < e && head_is(*s, CH_TARGET) && (size_t)(s - begin) < max)
		s++;
	l->target_len += (size_t)(s - begin);
	if (s == e)
		return s;
	if (*s == ' ' && l->target_len > 0) {
		l->line = LINE_VERSION;
		return s + 1;
	}
	if (head_is(*s, CH_TARGET))
		h1_refuse(&l->error, 414, "the request target is too long");
	else
		h1_refuse(&l->error, 400, "invalid character in the request target (RFC 9112 3.2)");
	return s;
}

/* "HTTP/1.0" or "HTTP/1.1"; any other number is a version we do not speak. */
static const char *read_version(struct h1_lines *l, const char *s, const char *e)
{
	static const char version[] = "HTTP/1.";
	size_t len = sizeof(version) - 1;

	if (l->at == 0 && (size_t)(e - s) > len &&
		memcmp(s, version, len) == 0) { /* in one piece */
		s += len;
		l->at = (uint8_t)len;
	}
	for (; s < e && l->at < sizeof(version); s++, l->at++) {
		bool last = l->at == sizeof(version) - 1;
		bool digit = last || l->at == sizeof("HTTP/") - 1;

		if (last ? *s == '0' || *s == '1' : *s == version[l->at]) {
			l->minor = (uint8_t)(*s == '1'); /* the last one counts */
			continue;
		}
		if (digit && *s >= '0' && *s <= '9')
			h1_refuse(&l->error, 505, "the HTTP version is neither 1.0 nor 1.1");
		else
			h1_refuse(&l->error, 400, "no HTTP version in its place (RFC 9112 2.3)");
		return s;
	}
	if (l->at < sizeof(version))
		return s;
	l->at = 0;
	l->line = l->kind == H1_REQUEST ? LINE_CR : LINE_STATUS;
	if (l->line == LINE_CR && e - s >= 2 && s[0] == '\r' && s[1] == '\n') {
		l->line = LINE_BEGIN;
		return s + 2;
	}
	return s;
}

/* SP 3DIGIT, then SP or the end of the line: many servers leave out the SP before no reason. */
static const char *read_status(struct h1_lines *l, const char *s, const char *e)
{
	for (; s < e && l->at < 4; s++, l->at++) {
		if (l->at == 0 ? *s == ' ' : *s >= (l->at == 1 ? '1' : '0') && *s <= '9')
			continue;
		h1_refuse(&l->error, 400, "the status code is not three digits (RFC 9112 4)");
		return s;
	}
	if (s == e)
		return s;
	if (*s == '\r') {
		l->line = LINE_CR;
		return s;
	}
	if (*s != ' ') {
		h1_refuse(&l->error, 400, "the status code is not three digits (RFC 9112 4)");
		return s;
	}
	l->line = LINE_REASON;
	return s + 1;
}

static const char *read_reason(struct h1_lines *l, const char *s, const char *e)
{
	while (s < e && head_is(*s, CH_VALUE))
		s++;
	if (s == e)
		return s;
	if (*s == '\r')
		l->line = LINE_CR;
	else
		h1_refuse(&l->error, 400, "invalid character in the reason phrase");
	return s;
}

static const char *read_cr(struct h1_lines *l, const char *s)
{
	if (*s != '\r') {
		h1_refuse(&l->error, 400, "the start line does not end where it should");
		return s;
	}
	l->line = LINE_LF;
	return s + 1;
}

static const char *read_lf(struct h1_lines *l, const char *s, enum line next)
{
	if (*s != '\n') {
		h1_refuse(&l->error, 400, "CR without LF (RFC 9112 2.2)");
		return s;
	}
	l->line = (uint8_t)next;
	return s + 1;
}

static const char *read_field(struct h1_lines *l, const char *s, const char *e)
{
	const char *cr = memchr(s, '\r', (size_t)(e - s));
	const char *end = cr ? cr : e;
	const char *lf = memchr(s, '\n', (size_t)(end - s));

	if (lf) {
		h1_refuse(&l->error, 400, "LF without CR (RFC 9112 2.2)");
		return lf;
	}
	if (!cr)
		return e;
	if (e - cr >= 2 && cr[1] == '\n') {
		l->line = LINE_BEGIN;
		return cr + 2;
	}
	l->line = LINE_LF;
	return cr + 1;
}

static const char *read_begin(struct h1_lines *l, const char *s, const char *e)
{
	if (*s == '\r') {
		l->line = LINE_LAST_LF;
		return s + 1;
	}
	if (*s == ' ' || *s == '\t')
		h1_refuse(&l->error, 400, "a field line begins with white space (RFC 9112 5.2)");
	else if (*s == ':')
		h1_refuse(&l->error, 400, "a field without a name (RFC 9112 5)");
	else if (l->fields >= l->limits.fields)
		h1_refuse(&l->error, 431, "too many fields");
	else
		l->line = LINE_FIELD;
	l->fields++;
	return l->line == LINE_FIELD ? read_field(l, s, e) : s;
}

static unsigned hex_value(char c)
{
	return (unsigned)(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
}

static const char *read_size(struct h1_lines *l, const char *s, const char *e)
{
	for (; s < e && head_is(*s, CH_HEX); s++, l->at = 1) {
		if (l->size > INT64_MAX >> 4) {
			h1_refuse(&l->error, 400, "the chunk size is too large");
			return s;
		}
		l->size = l->size << 4 | hex_value(*s);
	}
	if (s == e)
		return s;
	if (l->at == 0 || (*s != '\r' && *s != ';')) {
		h1_refuse(&l->error, 400, "the chunk size is not hexadecimal (RFC 9112 7.1)");
		return s;
	}
	l->line = *s == '\r' ? LINE_LAST_LF : LINE_EXTENSION;
	return s + 1;
}

static const char *read_extension(struct h1_lines *l, const char *s, const char *e)
{
	while (s < e && head_is(*s, CH_VALUE))
		s++;
	if (s == e)
		return s;
	if (*s != '\r') {
		h1_refuse(&l->error, 400, "invalid byte in a chunk extension (RFC 9112 7.1.1)");
		return s;
	}
	l->line = LINE_LAST_LF;
	return s + 1;
}

static const char *read_some(struct h1_lines *l, const char *s, const char *e)
{
	switch ((enum line)l->line) {
	case LINE_METHOD:
		return read_method(l, s, e);
	case LINE_TARGET:
		return read_target(l, s, e);
	case LINE_VERSION:
		return read_version(l, s, e);
	case LINE_STATUS:
		return read_status(l, s, e);
	case LINE_REASON:
		return read_reason(l, s, e);
	case LINE_CR:
		return read_cr(l, s);
	case LINE_LF:
		return read_lf(l, s, LINE_BEGIN);
	case LINE_BEGIN:
		return read_begin(l, s, e);
	case LINE_FIELD:
		return read_field(l, s, e);
	case LINE_LAST_LF:
		return read_lf(l, s, LINE_END);
	case LINE_SIZE:
		return read_size(l, s, e);
	case LINE_EXTENSION:
		return read_extension(l, s, e);
	case LINE_END:
		break;
	}
	return s;
}

static void refuse_length(struct h1_lines *l)
{
	if (l->is_size)
		h1_refuse(&l->error, 400, "the chunk line is too long");
	else if (l->line == LINE_TARGET)
		h1_refuse(&l->error, 414, "the request target is too long");
	else
		h1_refuse(&l->error, 431, "the fields are too large");
}

size_t h1_lines_read(struct h1_lines *l, const char *bytes, size_t n)
{
	size_t max = l->is_size ? CHUNK_LINE_MAX : l->limits.head;
	size_t left = l->section < max ? max - l->section : 0;
	const char *s = bytes, *e = bytes + (n < left ? n : left);

	while (s < e && l->line != LINE_END && l->error.status == 0)
		s = read_some(l, s, e);
	if (n > left && l->line != LINE_END && l->error.status == 0)
		refuse_length(l);
	l->section += (size_t)(s - bytes);
	return (size_t)(s - bytes);
}

void h1_lines_init(struct h1_lines *l, enum h1_kind kind, const struct h1_limits *limits)
{
	*l = (struct h1_lines){.limits = *limits, .kind = (uint8_t)kind};
	h1_lines_begin(l, kind == H1_REQUEST ? LINE_METHOD : LINE_VERSION);
}

void h1_lines_begin(struct h1_lines *l, enum line first)
{
	l->line = (uint8_t)first;
	l->is_size = first == LINE_SIZE;
	l->section = 0;
	l->fields = 0;
	l->size = 0;
	l->at = 0;
}
