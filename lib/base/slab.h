/*
 * slab.h - inside struct cc_buf: slabs, segments, and what only the library
 * may do with them (doc/buffers.md).
 *
 * A slab is 16 KiB of memory with a reference count; a segment is a slice of
 * one. Reading and copying fill a slab of the context, not of a connection:
 * an idle connection holds no buffer, and one that is in use shares its slab
 * with its neighbours. Slices below SLAB_COPY_MAX are copied when they move,
 * so that one byte does not pin 16 KiB.
 */
#ifndef CC_SLAB_H
#define CC_SLAB_H

#include <stdint.h>

#include <clientconn/buf.h>

#include "lib/base/mem.h"

#define SLAB_SIZE     16384u /* one TLS record */
#define SLAB_COPY_MAX 512u   /* smaller slices are copied, not referenced */
/*
 * The same for what moves from one chain to another, which is mostly its last
 * stop: head and body of a small answer are then one slice for one plain
 * send, and the slab that was read into is free again while the caches know it.
 */
#define SLAB_MOVE_COPY_MAX 2048u

struct slab;

struct slabs {
	struct slab *read, *write; /* being filled: by the sockets, by copies */
	struct mem_cache blocks, segs;
	size_t used, max; /* bytes in slabs handed out */
};

int slabs_init(struct slabs *s, size_t max);
void slabs_clear(struct slabs *s, struct cc_ctx *ctx);
/* Share of the limit in use, percent. */
unsigned slabs_pressure(const struct slabs *s);

/*
 * Room to read into: at least 2 KiB, at most 16 KiB, valid until the next call
 * of any buf function. NULL: no memory or over the limit. buf_read_commit appends the first n
 * bytes of it to b.
 */
char *buf_read_room(struct cc_ctx *ctx, size_t *room);
int buf_read_commit(struct cc_buf *b, size_t n);

/* n <= SLAB_SIZE contiguous bytes at the end, to be filled and committed. NULL: no memory. */
char *buf_reserve(struct cc_buf *b, size_t n);
int buf_commit(struct cc_buf *b, size_t n);

/* The first contiguous bytes, NULL if there are none. */
const char *buf_first(const struct cc_buf *b, size_t *n);

/*
 * Appends n bytes at p, which must lie in the first segment of from, by
 * reference (or by copy, if few). from is left as it is.
 */
int buf_add_slice(struct cc_buf *b, const struct cc_buf *from, const char *p, size_t n);

/* First n bytes (n <= SLAB_SIZE) contiguous: in place if they are, else gathered in tmp. */
const char *buf_gather(const struct cc_buf *b, char *tmp, size_t n);

#endif
