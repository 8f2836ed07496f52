/*
 * h1_codec.h - HTTP/1.1 bytes to heads and bodies and back (RFC 9112).
 *
 * A parser is fed spans and answers with one event at a time; it never calls
 * out. What is doubtful is an error: there is no lenient mode. The same parser
 * serves requests (the daemon's front end) and responses (the client driver).
 *
 * llhttp does the grammar. On top of it the codec refuses what llhttp lets
 * through and forwarding would make dangerous: folded fields, any but exactly
 * one Host in HTTP/1.1, versions other than 1.0 and 1.1, Content-Length next
 * to Transfer-Encoding, a final coding other than chunked in a request, white
 * space before the colon, bare CR and bare LF line ends.
 */
#ifndef CC_H1_CODEC_H
#define CC_H1_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cc_buf;
struct cc_ctx;
struct cc_head;
struct h1_parser;

enum h1_event {
	H1_MORE, /* all bytes were taken, nothing new */
	H1_HEAD, /* a whole head is in h1_parser_head() */
	H1_BODY, /* body bytes: *data, *len, inside the span that was fed */
	H1_END,  /* the message is complete; trailers, if any, in h1_parser_trailers() */
	H1_ERROR /* h1_parser_error() tells; the parser is done for */
};

enum h1_kind { H1_REQUEST, H1_RESPONSE };

struct h1_limits {
	size_t head;     /* bytes of start line and fields, and of a trailer section */
	unsigned fields; /* number of fields, and of trailer fields */
	size_t target;   /* bytes of the request target; 0: only head limits it */
};

struct h1_error {
	unsigned status;    /* what a server answers: 400, 414, 431, 501, 505 */
	const char *reason; /* static, for people: "no Host field (RFC 9112 3.2)" */
};

/* NULL: no memory. limits are copied. */
struct h1_parser *h1_parser_new(
	struct cc_ctx *ctx, enum h1_kind kind, const struct h1_limits *limits);
void h1_parser_free(struct h1_parser *p);

/*
 * Begins the next message. head is where its head will be built (reset first);
 * it stays the caller's and must live until H1_END or h1_parser_free.
 */
void h1_parser_begin(struct h1_parser *p, struct cc_head *head);

/*
 * For a response: the request was HEAD or CONNECT. Call before feeding the
 * head. Answers to HEAD, 1xx, 204 and 304 have no body whatever their fields
 * say (RFC 9112 6.3); after a 1xx H1_END follows H1_HEAD and the caller begins
 * the next message. After a 101 keep_alive is false: what comes is not HTTP.
 */
void h1_parser_no_body(struct h1_parser *p);

/*
 * Takes up to n bytes, sets *used; at most one event comes back. Feed the rest again until H1_MORE,
 * also when nothing is left: H1_END needs no byte of its own. After H1_END nothing is taken before
 * the next h1_parser_begin.
 */
enum h1_event h1_parser_feed(struct h1_parser *p, const char *bytes, size_t n, size_t *used,
	const char **data, size_t *len);

/* The peer sent EOF: H1_END if that ends the message (a response without length), H1_ERROR if it
 * cuts one, H1_MORE between messages. */
enum h1_event h1_parser_eof(struct h1_parser *p);

/* Of the message whose head is complete. */
bool h1_parser_keep_alive(const struct h1_parser *p); /* the sender allows another message */
bool h1_parser_until_eof(const struct h1_parser *p);  /* response body that only EOF ends */
bool h1_parser_chunked(const struct h1_parser *p);
bool h1_parser_has_body(const struct h1_parser *p);         /* false: H1_END follows at once */
bool h1_parser_expects_continue(const struct h1_parser *p); /* Expect: 100-continue, HTTP/1.1 */
unsigned h1_parser_minor(const struct h1_parser *p);        /* 0 or 1 */
bool h1_parser_started(const struct h1_parser *p); /* at least one byte of the message came */
/* Trailer fields of the message that just ended; NULL if there were none. Owned by the parser until
 * the next h1_parser_begin. */
struct cc_head *h1_parser_trailers(const struct h1_parser *p);
const struct h1_error *h1_parser_error(const struct h1_parser *p);

/* ---- writing: appends to out; 0 or CC_ENOMEM, out is then unchanged ---- */

enum h1_framing {
	H1_FRAME_NONE,   /* no body, and no field about it (GET; 204) */
	H1_FRAME_LENGTH, /* Content-Length: length */
	H1_FRAME_CHUNKED,
	H1_FRAME_EOF,  /* response only: Connection: close, body until EOF */
	H1_FRAME_AS_IS /* keep the head's own Content-Length: answers to HEAD, 304 */
};

struct h1_write {
	enum h1_framing framing;
	uint64_t length; /* of H1_FRAME_LENGTH */
	bool close;      /* add Connection: close */
	bool keep_alive; /* add Connection: keep-alive (answers to HTTP/1.0 clients) */
};

/*
 * Start line, Host first (from the authority), the fields of head that are not hop-by-hop and not
 * Content-Length, Transfer-Encoding or Host, then framing and Connection, then the empty line.
 */
int h1_write_request(struct cc_buf *out, const struct cc_head *head, const struct h1_write *w);
int h1_write_response(struct cc_buf *out, const struct cc_head *head, const struct h1_write *w);
/* Standard reason phrase, "" if unknown. */
const char *h1_reason(unsigned status);

/* Moves all of body into out as one chunk; nothing for an empty body. */
int h1_write_chunk(struct cc_buf *out, struct cc_buf *body);
/* The last chunk and the trailer fields (NULL: none). What may not be a trailer (RFC 9110 6.5.1) is
 * left out. */
int h1_write_last_chunk(struct cc_buf *out, const struct cc_head *trailers);

#endif
