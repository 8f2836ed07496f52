/* clientconn/head.h - one message head: start line and fields. */
#ifndef CLIENTCONN_HEAD_H
#define CLIENTCONN_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct cc_ctx;

struct cc_str { /* not terminated; valid until the head changes */
	const char *p;
	size_t n;
};

#ifdef __cplusplus
#define CC_STR(lit) (cc_str{(lit), sizeof(lit) - 1})
#else
#define CC_STR(lit) ((struct cc_str){(lit), sizeof(lit) - 1})
#endif

enum cc_token { /* names that HTTP gives a meaning */
	CC_T_OTHER,
	CC_T_CONNECTION,
	CC_T_CONTENT_LENGTH,
	CC_T_EXPECT,
	CC_T_HOST,
	CC_T_KEEP_ALIVE,
	CC_T_PROXY_CONNECTION,
	CC_T_TE,
	CC_T_TRAILER,
	CC_T_TRANSFER_ENCODING,
	CC_T_UPGRADE,
	CC_T_VIA
};

struct cc_head; /* one arena for all text, one array of fields */

struct cc_head *cc_head_new(struct cc_ctx *ctx); /* NULL: no memory */
/* With the same content, and the caller's: for one that is valid during a call. NULL: no memory. */
struct cc_head *cc_head_copy(struct cc_ctx *ctx, const struct cc_head *from);
void cc_head_free(struct cc_head *h);  /* NULL is fine */
void cc_head_reset(struct cc_head *h); /* keeps the memory */

/* Strings are copied. CC_EINVAL: not allowed in HTTP. CC_ENOMEM. */
int cc_head_set_request(struct cc_head *h, struct cc_str method, struct cc_str scheme,
	struct cc_str authority, struct cc_str path);
int cc_head_set_status(struct cc_head *h, unsigned status);
int cc_head_add(struct cc_head *h, struct cc_str name, struct cc_str value);

unsigned cc_head_status(const struct cc_head *h); /* 0: a request */
struct cc_str cc_head_method(const struct cc_head *h);
struct cc_str cc_head_scheme(const struct cc_head *h);
struct cc_str cc_head_authority(const struct cc_head *h);
struct cc_str cc_head_path(const struct cc_head *h);

/* Fields in the order received; names are lower case. */
size_t cc_head_count(const struct cc_head *h);
struct cc_str cc_head_name(const struct cc_head *h, size_t i);
struct cc_str cc_head_value(const struct cc_head *h, size_t i);

/* First field of that name at or after index from; -1 if none. */
int cc_head_find(const struct cc_head *h, enum cc_token t, size_t from);
int cc_head_find_name(const struct cc_head *h, struct cc_str name, size_t from);

/*
 * Is field i for this connection only (RFC 9110 7.6.1): Connection and the
 * fields it names, Keep-Alive, Proxy-Connection, TE, Transfer-Encoding,
 * Upgrade? Trailer and Content-Length may be forwarded.
 */
bool cc_head_hop_by_hop(const struct cc_head *h, size_t i);
void cc_head_strip_hop_by_hop(struct cc_head *h);
void cc_head_remove(struct cc_head *h, size_t i);

/* Value of Content-Length; -1 if there is none or it is not one valid number. */
int64_t cc_head_content_length(const struct cc_head *h);

#ifdef __cplusplus
}
#endif

#endif
