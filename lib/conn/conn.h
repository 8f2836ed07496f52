/*
 * conn.h - struct cc_conn and struct cc_req, and what drivers report.
 *
 *   owner (a pool, an application)
 *     | cc_conn_round_trip, cc_req_send, ...        ^ hook, on_head, on_body, on_done
 *     v                                             |
 *   api.c -> conn.c  states, slots, waiting round trips, timers
 *     | struct cc_proto                             ^ conn_*() below
 *     v                                             |
 *   h1_conn.c | h2_conn.c   codec and link
 *
 * A connection lives from cc_transport_new_client_conn to cc_conn_free; its
 * memory goes back in the reap stage of that turn. A request lives from
 * cc_conn_round_trip until on_done returns (or cc_req_cancel); its memory
 * goes back once the driver and the owner have both let go of it.
 */
#ifndef CC_CONN_H
#define CC_CONN_H

#include <stdbool.h>
#include <stdint.h>

#include <clientconn.h>
#include <clientconn/buf.h>

#include "lib/base/list.h"
#include "lib/base/timer.h"
#include "lib/base/turn.h"
#include "lib/conn/conn_state.h"

struct cc_proto;
struct dial;
struct dialled;

/* What a connection takes over from its transport; copied. */
struct conn_settings {
	/* ms, 0: off */
	uint64_t idle_timeout, max_age, ping_after, ping_timeout, stale_after, tls_timeout;
	size_t max_head, window, conn_window;
	uint32_t max_concurrent;
	uint64_t max_requests;
	bool https;
	bool h2_only;         /* HTTP/2 or nothing; in clear: by prior knowledge */
	int32_t first_stream; /* HTTP/2 begins with this id; 0: 1. Tests begin near the last one. */
};

/* What the peer said of an end: the number of its protocol, and what it means. */
struct conn_said {
	uint64_t code;
	enum cc_why why;
};

struct cc_conn {
	struct list link; /* in ctx->conns */
	struct cc_ctx *ctx;
	uint64_t id;
	struct conn_settings set;
	struct conn_state st;
	const struct cc_proto *proto; /* NULL while connecting */
	void *driver;
	struct dial *dial;   /* while connecting */
	struct list reqs;    /* struct cc_req on the wire, oldest first */
	struct list waiting; /* struct cc_req that wait for a slot */
	struct list ending;  /* struct cc_req whose on_done comes in the notify stage */
	uint32_t waiting_count;
	uint32_t waiting_reserved; /* of them: hold a slot, wait for room on the wire */
	uint32_t unconfirmed;      /* requests given up: they hold slots until the peer confirms */
	cc_state_hook hook;
	void *hook_arg;
	unsigned changes;      /* CC_CHANGED_*: not told yet */
	unsigned changes_told; /* to the hook that runs */
	unsigned changes_ever;
	struct turn_item notify; /* hook, waiting round trips */
	struct turn_item reap;
	struct timer idle; /* runs while nothing is in flight */
	struct timer age;
	struct timer ping;   /* runs while something is in flight; ping_sent tells its meaning */
	uint64_t last_read;  /* ms */
	uint64_t busy_since; /* ms: something runs, and nothing ran before */
	bool ping_sent;      /* waiting for any byte */
	bool limits_known;   /* the peer told its limits */
	bool told_closed;    /* the hook heard of CLOSED: no call after it */
	bool freed;          /* by the owner: no callback any more */
	struct conn_said goaway;
	enum cc_reason reason; /* the first one */
	int drain_err;         /* becomes the error when the last request has ended */
	char detail[256];
	char address[128]; /* of the peer; "" until it is connected */
};

enum req_life {
	REQ_WAITING, /* for a slot */
	REQ_RUNNING, /* the driver has it */
	REQ_ENDING,  /* ended by us; on_done comes in the notify stage */
	REQ_DONE     /* the driver let go; freed unless the owner is being told */
};

struct cc_req {
	struct list link; /* in conn->reqs, waiting or ending */
	struct cc_conn *conn;
	const struct cc_req_ops *ops; /* NULL: cancelled, nobody listens */
	void *arg;
	enum req_life life;
	enum cc_phase phase;
	int64_t stream;       /* the driver's name for it, -1: none */
	struct cc_head *held; /* copy of the head while it waits for a slot */
	struct cc_buf out;    /* request body not yet taken by the driver */
	struct cc_buf in;     /* response body not yet taken by the owner */
	struct cc_head *out_trailers;
	int64_t announced; /* bytes of Content-Length still to be given; -1: no length */
	bool on_wire;      /* it begins in what the link writes: h2 may still have it queued */
	bool out_eos;      /* nothing follows out (and out_trailers) */
	bool out_done;     /* the driver has sent all of it */
	bool head_seen;    /* the final response head was delivered */
	bool no_body;      /* the request was HEAD */
	bool bodiless;     /* its head is all there is: CC_RT_END_STREAM */
	bool room_wanted;  /* owner saw room 0: tell when there is some */
	bool reserved;     /* waits although a slot was reserved: the limit shrank */
	size_t uncredited; /* bytes taken by the owner, not yet cc_req_consumed */
	size_t interim;    /* bytes of 1xx heads so far */
	uint64_t sent, received;
	uint64_t t_begin, t_sent, t_head; /* us */
	struct cc_result result;          /* while ENDING */
	struct turn_item end;             /* tells on_done, then gives the memory back */
	struct turn_item room;            /* tells on_room */
	uint64_t wire_at;                 /* h2: byte of the connection at which HEADERS begin */
};

struct cc_conn *conn_new(
	struct cc_ctx *ctx, const struct conn_settings *set, cc_state_hook hook, void *arg);
/* It is connected: hands what carries it to the driver. */
void conn_opened(struct cc_conn *conn, const struct cc_proto *proto, const struct dialled *carrier);

/* Built with sanitizers, asserts L == C + F + A and that the lists agree with the numbers. */
#ifdef CC_CHECK
void conn_check(struct cc_conn *conn);
#else
static inline void conn_check(struct cc_conn *conn)
{
	(void)conn;
}
#endif

/* ---- reports from drivers -------------------------------------------- */

void conn_was_read(struct cc_conn *conn); /* any byte came: a sign of life */
void conn_set_limit(struct cc_conn *conn, uint32_t peer_limit);
/* Asks for a sign of life, unless that was done already; without one the connection closes. */
void conn_ping(struct cc_conn *conn);
/* Takes nothing new; closes when the last request ends. err and detail stay for cc_conn_err. */
void conn_draining(struct cc_conn *conn, enum cc_reason reason, int err, const char *detail);
/*
 * The connection is over, and with it every request that is left: those of which no byte
 * left this process are unprocessed. detail NULL: cc_strerror.
 */
void conn_close(struct cc_conn *conn, enum cc_reason reason, int err, const char *detail);
/* The link broke. */
void conn_broke(struct cc_conn *conn, int err, const char *detail);
/* The peer has confirmed that it knows of the requests that were given up: their slots are free. */
void conn_confirmed(struct cc_conn *conn);

/* A 1xx head of so many bytes. CC_ETOOBIG: there were too many of them. */
int conn_req_info(struct cc_req *req, const struct cc_head *head, size_t size);
void conn_req_head(struct cc_req *req, const struct cc_head *head);
/* req->in grew. */
void conn_req_body(struct cc_req *req);
/* The driver sent n more body bytes; tells on_room. */
void conn_req_took(struct cc_req *req, size_t n);
/* All of the request is on its way. */
void conn_req_sent(struct cc_req *req);
/* It ended; the driver forgets it. on_done runs before this returns. said NULL: nothing. */
void conn_req_end(struct cc_req *req, int err, bool unprocessed, const struct conn_said *said,
	const struct cc_head *trailers);
/* Cancelled, and nothing of it will leave: as if it had never begun. */
void conn_req_unsent(struct cc_req *req);
/* Cancelled, but its slot is held until conn_confirmed. */
/*
 * It cannot go on, and its owner is told later; the driver has forgotten it. Unprocessed if it is
 * not on the wire.
 */
void conn_req_fail(struct cc_req *req, int err);
void conn_req_given_up(struct cc_req *req);

/* ---- between conn.c and req.c ------------------------------------------ */

bool req_ops_ok(const struct cc_req_ops *ops);
struct cc_req *req_new(struct cc_conn *conn, const struct cc_req_ops *ops, void *arg);
/* Frames up the stack may still look at it: the memory goes back in the reap stage. */
void req_reap(struct cc_req *req);
/* Ended locally: on_done comes in the notify stage. */
void req_end_later(struct cc_req *req, int err, bool unprocessed);

void conn_unwait(struct cc_conn *conn, struct cc_req *req); /* it waits no longer */
void conn_slot_ended(struct cc_conn *conn);                 /* a request that ran is complete */
void conn_slot_unused(struct cc_conn *conn);                /* it never was on the wire */

#endif
