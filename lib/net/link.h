/*
 * link.h - one byte stream over one descriptor, in clear or in TLS.
 *
 * Reads land in the context's slab, are appended to link->in and told at once
 * (on_data). Writes collect in link->out and leave once, in the flush stage of
 * the turn. A link belongs to whoever made it; link_close stops all callbacks
 * at once, link_free also gives the memory back and may be called only when
 * no callback of the link is on the stack (the turn's reap stage).
 *
 * EOF: clean is false when a TLS peer went without close_notify; then only a
 * message whose length is known is complete (RFC 9112 9.8).
 */
#ifndef CC_LINK_H
#define CC_LINK_H

#include <stdbool.h>
#include <stdint.h>

#include <event2/event_struct.h>

#include <clientconn/buf.h>

#include "lib/base/timer.h"
#include "lib/base/turn.h"
#include "lib/net/link_wire.h"

struct link;
struct ssl_st;

struct link_ops {
	/* The TLS handshake is over (never called in clear). */
	void (*on_open)(struct link *l);
	/* l->in grew. What is not drained stays and comes again with the next bytes. */
	void (*on_data)(struct link *l);
	/* Nothing more will come; out may still be written. */
	void (*on_eof)(struct link *l, bool clean);
	/* The stream is broken in both directions (enum cc_err); everything that had arrived was
	 * delivered before. err 0 never comes. */
	void (*on_error)(struct link *l, int err);
	/* Bytes of out were accepted by the kernel; l->out.len is what is left. May be NULL. */
	void (*on_written)(struct link *l, size_t n);
	/* Runs in the flush stage before the link writes: the owner fills l->out. May be NULL. */
	void (*on_flush)(struct link *l);
};

/* Reading and writing have states of their own only while the link is LINK_OPEN. */
enum link_state { LINK_HANDSHAKE, LINK_OPEN, LINK_BROKEN, LINK_CLOSED };

enum link_out {
	LINK_OUT_OPEN,
	LINK_OUT_ENDING, /* by link_shutdown: out is written first */
	LINK_OUT_ENDED,  /* close_notify and FIN were sent, or a TLS peer is gone: out is dropped */
	LINK_OUT_FAILED  /* out is dropped; what the peer had sent is read first, then on_error */
};

struct link {
	struct cc_ctx *ctx;
	enum link_state state;
	enum link_out writing;
	int write_err; /* of LINK_OUT_FAILED */
	bool eof;      /* the peer will send no more: neither paused nor low_memory matters again */
	bool paused;   /* by link_pause; never low_memory at the same time */
	bool low_memory; /* buffer memory is short: reading pauses for a moment */
	/* Set by the owner. */
	bool read_before_fail; /* paused when a write fails: that waits until reading goes on */
	unsigned read_until;   /* percent of the buffer memory in use; 90 by itself */
	const struct link_ops *ops;
	void *owner;
	struct wire wire; /* the descriptor, in clear or in TLS */
	struct cc_buf in, out;
	struct turn_item flush;
	struct timer again; /* reads on in the next turn what the wire still holds */
	struct event rd, wr;
};

/*
 * Takes over a connected, non-blocking fd and, if given, an SSL object that
 * has its connect state set but no BIO. With ssl the link starts with the handshake.
 * On failure fd and ssl stay the caller's.
 */
int link_new(struct cc_ctx *ctx, int fd, struct ssl_st *ssl, const struct link_ops *ops,
	void *owner, struct link **ret);
/* What the last error was, for people. */
const char *link_detail(const struct link *l);
/* Another owner takes the link over, callbacks included. */
void link_set_owner(struct link *l, const struct link_ops *ops, void *owner);

/*
 * Moves all of from to where the link reads before it asks the kernel: what
 * another link of the same descriptor had read too much. It is told as if it
 * came now, from the next turn on. 0 or CC_ENOMEM.
 */
int link_put_back(struct link *l, struct cc_buf *from);

/* out has something new (or on_flush will put it there): write in this turn. */
void link_flush(struct link *l);
/* After out is written: close_notify and FIN. Reading goes on. */
void link_shutdown(struct link *l);
void link_pause(struct link *l, bool paused); /* stops reading; the kernel's window fills */
/* Has the peer closed both directions (it cannot receive an answer any more)? Asks the kernel. */
bool link_peer_gone(const struct link *l);
/* Does the kernel hold something that was not read yet? */
bool link_readable(const struct link *l);
/* May something have arrived that was not read yet? Asks nobody, so true is a guess. */
bool link_unread(const struct link *l);
/* Reads what has arrived, with all callbacks, without waiting for the loop to tell. */
void link_read_now(struct link *l);
/* Did the kernel take less than it was offered? Then part of it may have left. */
bool link_blocked(const struct link *l);

/* No callback follows; the descriptor is closed, after one last attempt to write what is in out. */
void link_close(struct link *l);
/* The same without a last attempt: what the kernel still holds is dropped, too (TCP sends RST). */
void link_abort(struct link *l);
/*
 * Gives the descriptor up instead of closing it and returns it; the link is
 * then only good for link_free. In clear only, with out empty; what was read
 * and not drained is in l->in.
 */
int link_detach(struct link *l);
void link_free(struct link *l); /* closes too; NULL is fine */
/* Gives back what link_new hung on the context. */
void link_ctx_clear(struct cc_ctx *ctx);

#endif
