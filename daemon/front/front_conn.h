/*
 * front_conn.h - one local client, whatever it speaks; and what a protocol has to do for it.
 *
 *   IDLE ──first byte of a request──> ACTIVE ──all requests answered──> IDLE
 *                                       └──anything that cannot go on──> LINGER ──> CLOSED
 *
 * front_conn.c has life, caller, limits, timers and the link; a struct front_proto the bytes. It is
 * chosen by the first of them. Only front_close and front_linger end a client; what may call them
 * says so. Its memory goes back at the end of that turn, so fc can be looked at until then.
 */
#ifndef FRONT_CONN_H
#define FRONT_CONN_H

#include "daemon/base/caller.h"
#include "daemon/front/front.h"
#include "lib/base/timer.h"
#include "lib/base/turn.h"

struct local_reply;
struct front_conn;
struct link;
struct stream_ops;

/*
 * Called by front_conn.c, with fc as it is. None of them may free fc; those that may end it say it,
 * and then do nothing more with it but look at fc->life.
 */
struct front_proto {
	const char *name; /* "h1" */
	/* The first bytes have come: makes fc->session. false: no memory. May not end fc. */
	bool (*open)(struct front_conn *fc);
	/* While ACTIVE: link->in may hold something new. May end fc. */
	void (*data)(struct front_conn *fc);
	/*
	 * While ACTIVE: the client sends no more. true: it waits for responses; false: there is
	 * nothing to wait for, and the caller closes. May not end fc.
	 */
	bool (*eof)(struct front_conn *fc);
	/* The kernel took bytes of link->out: services hear what was sent. May not end fc. */
	void (*written)(struct front_conn *fc);
	/*
	 * Before the link writes: fills link->out. May not end fc nor call a service. NULL:
	 * nothing.
	 */
	void (*flush)(struct front_conn *fc);
	/*
	 * fl->draining was set, and fc has or is about to have a request: no other shall follow.
	 * May end fc. NULL: who asks fl->draining at the right moment needs no call.
	 */
	void (*drain)(struct front_conn *fc);
	/* The time of front_await_head is over. May end fc. */
	void (*late)(struct front_conn *fc);
	/*
	 * fc ends: so do its calls, by service->gone. Comes once, also from inside the others; may
	 * not touch the link, and may not end fc again.
	 */
	void (*gone)(struct front_conn *fc);
	/* Gives the session back, in the reap stage. */
	void (*free)(struct front_conn *fc);
};

extern const struct front_proto front_h1;

/* One row of what is told apart by the first bytes; "" is any. */
struct front_first {
	const char *bytes;
	const struct front_proto *proto;
};

/*
 * The first of n rows that the bytes begin with. NULL: they may still become a row that stands
 * before all that fit, so more are needed. Pure. The last row should be "".
 */
const struct front_proto *front_detect(
	const struct front_first *rows, unsigned n, const char *bytes, size_t len);

enum front_life { FRONT_IDLE, FRONT_ACTIVE, FRONT_LINGER, FRONT_CLOSED };

struct front_conn {
	struct list node; /* in fl->conns */
	struct front_listener *fl;
	struct cc_ctx *ctx;
	struct link *link;
	struct caller caller;
	enum front_life life;
	enum front_limit refused;
	const struct front_proto *proto; /* NULL: its first bytes have not come */
	void *session;                   /* of proto */
	bool all_read;         /* nothing that it sent is left unread: closing resets nothing */
	size_t dropped;        /* while lingering */
	struct timer timer;    /* header, idle or linger time, by life; or a look at who is held */
	struct turn_item turn; /* goes on with bytes that are there; frees */
};

/* ---- ends ---- */

/* At once; what was sent must not look whole, or nothing was. Calls proto->gone. Fine twice. */
void front_close(struct front_conn *fc);
/*
 * All responses are in link->out, and no request follows: reads and drops until they have left and
 * the client closes. May be the end at once.
 */
void front_linger(struct front_conn *fc);
/* The client is another worker's from now on: raw and what is in link->in go along. Ends fc. */
void front_hand_over(struct front_conn *fc, unsigned worker, struct cc_buf *raw);

/* ---- life; none of these ends fc ---- */

/* All requests are answered, and another may come; bytes that are there come again by data. */
void front_idle(struct front_conn *fc);
/* The head is there: it is not late any more, and bodies are read for as long as memory allows. */
void front_head_came(struct front_conn *fc);
/* Part of a head came: the rest is late after header_timeout from the first time on. */
void front_await_head(struct front_conn *fc);
/* Reads no more for now; a client that leaves meanwhile is looked for. front_go_on undoes it. */
void front_hold(struct front_conn *fc);
void front_go_on(struct front_conn *fc);
/* Is the request at hand the last one, for reasons of our own or of the client's FIN? */
bool front_is_last(const struct front_conn *fc);
/* Asked once a request. here is true for those who cannot move; service is who answers them. */
struct front_home front_home_of(struct front_conn *fc, const struct cc_head *head);

/* ---- local replies of the front: ops->head, body and end of the stream, at once ---- */

/* Counted and logged. false: no memory, and nothing was called. Ends fc as far as ops do. */
bool front_reply(struct front_conn *fc, const struct stream_ops *ops, void *stream,
	const struct local_reply *a);
/* Bytes that are no request. As front_reply. */
bool front_bad_request(struct front_conn *fc, const struct stream_ops *ops, void *stream,
	unsigned status, const char *detail);
/* There is no room for the client: fc->refused. As front_reply. */
bool front_no_room(struct front_conn *fc, const struct stream_ops *ops, void *stream);

#endif
