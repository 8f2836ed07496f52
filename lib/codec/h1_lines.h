/*
 * h1_lines.h - inside the HTTP/1.1 codec: the lines of a head, of a trailer
 * section and of a chunk size.
 *
 * Knows where lines end, that they end in CRLF and that nothing else does, the
 * parts of a start line, the size of a chunk, and all limits. What is in a
 * target or a field is llhttp's business.
 */
#ifndef CC_H1_LINES_H
#define CC_H1_LINES_H

#include "lib/codec/h1_codec.h"

enum line { /* where in a line the reader is */
	LINE_METHOD,
	LINE_TARGET,
	LINE_VERSION,
	LINE_STATUS,
	LINE_REASON,
	LINE_CR,    /* CR is the only thing that may come */
	LINE_LF,    /* the LF of a start or field line */
	LINE_BEGIN, /* of a field line or of the empty line */
	LINE_FIELD,
	LINE_LAST_LF, /* the LF that ends the section */
	LINE_SIZE,    /* chunk size */
	LINE_EXTENSION,
	LINE_END /* of the section */
};

struct h1_lines {
	struct h1_limits limits;
	struct h1_error error; /* status 0: none */
	size_t section;        /* bytes of this head, trailer section or chunk line so far */
	size_t target_len;
	uint64_t size;   /* of the chunk */
	unsigned fields; /* of this section so far */
	uint8_t kind;    /* enum h1_kind */
	uint8_t line;    /* enum line */
	uint8_t at;      /* bytes of the version, status code or chunk size so far */
	uint8_t minor;   /* version 1.minor */
	bool is_size;    /* the section is a chunk line */
};

void h1_lines_init(struct h1_lines *l, enum h1_kind kind, const struct h1_limits *limits);

/* A section begins: a head, trailer fields (LINE_BEGIN) or a chunk line (LINE_SIZE). */
void h1_lines_begin(struct h1_lines *l, enum line first);

/*
 * How many of n bytes belong to the section and are in order. Fewer than n:
 * the section ended, line is LINE_END, or the next byte is refused, error tells.
 */
size_t h1_lines_read(struct h1_lines *l, const char *bytes, size_t n);

/* Keeps the first error: what comes behind it in the input does not count. */
static inline void h1_refuse(struct h1_error *e, unsigned status, const char *reason)
{
	if (e->status == 0)
		*e = (struct h1_error){status, reason};
}

#endif
