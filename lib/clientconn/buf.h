/* clientconn/buf.h - bytes that move between sockets without being copied. */
#ifndef CLIENTCONN_BUF_H
#define CLIENTCONN_BUF_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

struct iovec;
struct cc_ctx;
struct cc_seg;

/*
 * A chain of slices of reference-counted 16 KiB slabs. Embed it, init it,
 * clear it. Belongs to one context, hence to one thread.
 */
struct cc_buf {
	struct cc_ctx *ctx;
	struct cc_seg *first, *last; /* private */
	size_t len;                  /* bytes, read only */
};

void cc_buf_init(struct cc_buf *b, struct cc_ctx *ctx);
void cc_buf_clear(struct cc_buf *b);

/* Copies n bytes to the end. All or CC_ENOMEM. */
int cc_buf_add(struct cc_buf *b, const void *data, size_t n);

/* Adds memory that stays valid until done(arg) is called. done may be NULL. */
int cc_buf_add_ref(
	struct cc_buf *b, const void *data, size_t n, void (*done)(void *arg), void *arg);

/* Moves the first n bytes of from to the end of to. All or CC_ENOMEM. */
int cc_buf_move(struct cc_buf *to, struct cc_buf *from, size_t n);

/* Appends all of from by reference; from stays as it is. All or CC_ENOMEM. */
int cc_buf_share(struct cc_buf *to, const struct cc_buf *from);

void cc_buf_drain(struct cc_buf *b, size_t n);                      /* drops the first n */
size_t cc_buf_peek(const struct cc_buf *b, void *out, size_t n);    /* copies, keeps */
int cc_buf_iov(const struct cc_buf *b, struct iovec *iov, int max); /* how many set */

#ifdef __cplusplus
}
#endif

#endif
