/*
 * link_wire.h - what lies below a link: bytes over one descriptor, in clear or in TLS.
 *
 * A table of calls, with one entry for each way. They do what they are told, return what happened,
 * and call nobody: events, callbacks and the order of things are the link's (link.c).
 */
#ifndef CC_LINK_WIRE_H
#define CC_LINK_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include <clientconn/buf.h>

struct cc_ctx;
struct io;
struct session;
struct ssl_st;
struct wire;

enum wire_result {
	WIRE_OK,
	WIRE_AGAIN,      /* nothing until the descriptor is readable (write: writable) */
	WIRE_WANT_WRITE, /* nothing until it is writable, though this is no write */
	WIRE_EOF,        /* the peer has ended its direction as it should */
	WIRE_CUT,   /* TLS: it went without close_notify, and nothing can be written any more */
	WIRE_BROKEN /* wire->err and wire->detail tell why */
};

struct wire_ops {
	/* The handshake, as far as it goes now. NULL: there is none. */
	enum wire_result (*shake)(struct wire *w);
	/* WIRE_OK: *len bytes, 1 to n, are in room. */
	enum wire_result (*read)(struct wire *w, char *room, size_t n, size_t *len);
	/* WIRE_OK: the first *put bytes of out have been written; out is the caller's to drain. */
	enum wire_result (*write)(struct wire *w, struct cc_buf *out, size_t *put);
	/* Nothing is written after this: says goodbye; one that still shakes hands gives up. */
	void (*shut)(struct wire *w);
	/* Does it hold bytes that the kernel gave and read did not? */
	bool (*pending)(const struct wire *w);
	/* Due after any number of shake and read, before another wire reads. 0 or CC_ENOMEM. */
	int (*read_end)(struct wire *w);
	/* Gives back the buffers that an idle connection does not need. */
	void (*release)(struct wire *w);
	void (*free)(struct wire *w);
	bool reads_ahead; /* it may hold bytes that pending finds only after the next read */
};

struct wire {
	const struct wire_ops *ops;
	struct cc_ctx *ctx;
	const struct io *io;
	int fd;
	bool drained;            /* the kernel had no more bytes at the last read */
	int send_errno;          /* of the first write that failed, 0: none */
	int err;                 /* of WIRE_BROKEN, enum cc_err */
	struct cc_buf raw;       /* read from the kernel, not yet by the caller; or put back */
	struct ssl_st *ssl;      /* NULL: clear text; owned */
	struct session *session; /* while one is offered or expected, else NULL; owned */
	bool shaken;             /* TLS: the handshake is over */
	bool fin;                /* TLS: the kernel told OpenSSL of the end */
	char detail[128];        /* what the last error was, for people */
};

extern const struct wire_ops wire_clear;

/* For the entries of the table. */
ssize_t wire_recv(struct wire *w, void *buf, size_t n); /* sets drained */
ssize_t wire_send(struct wire *w, const struct msghdr *msg);
size_t wire_take_raw(struct wire *w, char *buf, size_t n);
bool wire_would_block(void); /* asks errno */
/* err, and errno in words. */
enum wire_result wire_broken(struct wire *w, int err, const char *doing);

#endif
