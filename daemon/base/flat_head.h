/* flat_head.h - a head as one piece of memory that belongs to no thread, for messages. Pure. */
#ifndef FLAT_HEAD_H
#define FLAT_HEAD_H

struct cc_ctx;
struct cc_head;
struct flat_head;

/* Of a request, an answer or trailers; to be given to free(). NULL: no memory. */
struct flat_head *flat_head_of(const struct cc_head *head);
/* The same head, of this context. NULL: no memory. */
struct cc_head *flat_head_build(struct cc_ctx *ctx, const struct flat_head *flat);

#endif
