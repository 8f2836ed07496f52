/*
 * ctx.h - struct cc_ctx: what all objects of one thread share.
 *
 * Made and freed by conn/api.c. The layers above base hang what they need on
 * it through the opaque pointers at the end.
 */
#ifndef CC_CTX_H
#define CC_CTX_H

#include <clientconn.h>

#include "lib/base/list.h"
#include "lib/base/mem.h"
#include "lib/base/slab.h"
#include "lib/base/timer.h"
#include "lib/base/turn.h"

struct ahead;
struct bio_method_st;
struct failed;
struct io;
struct resolver;
struct sessions;

struct cc_ctx {
	struct event_base *base;
	struct cc_mem mem;
	struct turn turn;
	struct timer_set timers;
	struct slabs slabs;
	struct mem_cache heads; /* struct cc_head */
	struct mem_cache reqs;  /* struct cc_req */
	struct mem_small small; /* what nghttp2 and the parsers ask for */

	uint64_t (*clock)(void *arg); /* us, monotonic; tests set their own */
	void *clock_arg;
	uint64_t now; /* us, of this turn; 0: not read yet */

	struct list conns; /* struct cc_conn */
	uint64_t next_id;
	struct resolver *resolver; /* net/resolve.c, made at first use */
	struct failed *failed;     /* net/race.c, made when the first address fails */
	struct bio_method_st *bio; /* net/link_tls.c, made at first use */
	struct ahead *ahead;       /* net/link_tls.c, made at first use */
	struct sessions *sessions; /* net/session.c, made at first use */
	const struct io *io;       /* NULL: the system's calls */
};

/* Milliseconds and microseconds of a monotonic clock, read once a turn. */
uint64_t ctx_now(struct cc_ctx *ctx);
uint64_t ctx_now_us(struct cc_ctx *ctx);

/* Base parts only: allocator, clock, turn, timers, slabs. 0 or CC_ENOMEM. */
int ctx_init(struct cc_ctx *ctx, const struct cc_ctx_opts *opts);
void ctx_clear(struct cc_ctx *ctx);

#endif
