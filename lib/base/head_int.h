/*
 * head_int.h - inside struct cc_head, for the codecs that build heads in place.
 *
 * A head is one block from ctx->heads: the struct, a field array and a text
 * arena. All text lies in the arena, a field's value directly behind its name;
 * what refers to it are offsets, since the arena moves when it grows. The
 * functions here check nothing: what callers add has been parsed.
 */
#ifndef CC_HEAD_INT_H
#define CC_HEAD_INT_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <clientconn.h>
#include <clientconn/head.h>

#define HEAD_FIELDS 24u /* in the block; more go to memory of their own */
#define HEAD_TEXT   1536u

struct head_part {
	uint32_t off, len;
};

struct head_field {
	uint32_t off; /* of the name */
	uint32_t name_len, value_len;
	uint8_t token; /* enum cc_token */
};

struct cc_head {
	struct cc_ctx *ctx;
	char *text; /* inline_text, or memory of its own */
	struct head_field *fields;
	uint32_t text_len, text_cap;
	uint32_t count, fields_cap;
	unsigned status; /* 0: a request */
	struct head_part method, scheme, authority, path;
	struct head_field inline_fields[HEAD_FIELDS];
	char inline_text[HEAD_TEXT];
};

/* Classes of bytes, as bits of head_class[]. */
#define CH_TOKEN  1u /* tchar, RFC 9110 5.6.2 */
#define CH_VALUE  2u /* in a field value, RFC 9110 5.5: no control but HTAB */
#define CH_TARGET 4u /* in a request target: visible ASCII, no fragment */
#define CH_HOST   8u /* in a reg-name, RFC 3986 3.2.2 */
#define CH_SCHEME 16u
#define CH_HEX    32u

extern const unsigned char head_class[256];

static inline bool head_is(char c, unsigned class)
{
	return head_class[(unsigned char)c] & class;
}

bool head_all(const char *p, size_t n, unsigned class);
/* uri-host [ ":" port ] without userinfo; "" is valid (RFC 9110 7.2). */
bool head_authority_ok(const char *p, size_t n);

/*
 * Makes room for n more bytes of text. The old arena goes to *old, to be freed
 * by the caller once it copied what may point into it; with NULL at once.
 */
int head_grow(struct cc_head *h, size_t n, void **old);

static inline int head_append(struct cc_head *h, const char *p, size_t n)
{
	if (n > h->text_cap - h->text_len && head_grow(h, n, NULL) < 0)
		return CC_ENOMEM;
	memcpy(h->text + h->text_len, p, n);
	h->text_len += (uint32_t)n;
	return 0;
}

static inline char head_lower(char c)
{
	return (unsigned char)(c - 'A') < 26 ? (char)(c | 0x20) : c;
}

static inline int head_append_lower(struct cc_head *h, const char *p, size_t n)
{
	if (n > h->text_cap - h->text_len && head_grow(h, n, NULL) < 0)
		return CC_ENOMEM;

	char *to = h->text + h->text_len;

	for (size_t i = 0; i < n; i++)
		to[i] = head_lower(p[i]);
	h->text_len += (uint32_t)n;
	return 0;
}

/* The text from off is a new field: name_len bytes of name, the rest is its value. */
int head_push_field(struct cc_head *h, uint32_t off, uint32_t name_len, enum cc_token token);

static inline struct cc_str head_text(const struct cc_head *h, struct head_part part)
{
	return (struct cc_str){h->text + part.off, part.len};
}

/* Tokens that never leave this connection; Connection may name more. */
static inline bool head_token_is_hop(unsigned token)
{
	return (1u << token) &
	       (1u << CC_T_CONNECTION | 1u << CC_T_KEEP_ALIVE | 1u << CC_T_PROXY_CONNECTION |
		       1u << CC_T_TE | 1u << CC_T_TRANSFER_ENCODING | 1u << CC_T_UPGRADE);
}

#endif
