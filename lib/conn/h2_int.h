/*
 * h2_int.h - what the two halves of the HTTP/2 driver share: h2_conn.c has the session and what
 * leaves, h2_recv.c what comes in.
 */
#ifndef CC_H2_INT_H
#define CC_H2_INT_H

#include "lib/base/timer.h"
#include "lib/codec/h2_glue.h"
#include "lib/conn/conn.h"
#include "lib/net/link.h"

struct h2_conn {
	struct cc_conn *conn;
	struct link *link;
	nghttp2_session *session;
	nghttp2_mem mem;
	struct cc_head *head; /* of the header block that is coming in */
	int head_err;         /* it cannot be kept: CC_ENOMEM, CC_ETOOBIG, CC_EPROTO */
	uint64_t written;     /* bytes the kernel ever took: tells which requests were written */
	bool goaway;          /* the peer said so */
	int32_t goaway_last;  /* the last stream it may have acted on */
	int32_t peer_reset;   /* the stream whose RST_STREAM is being handled */
	uint32_t fault; /* why nghttp2 ends the session with a GOAWAY of its own; 0: it does not */
	bool busy;      /* the session is on the stack: it must not be pumped */
	bool leaving;   /* closed while it was: says goodbye when it has returned */
	bool said_why;  /* the link's out ends with such a GOAWAY and has nothing of a request */
	bool has_requests; /* something of a request may be in it */
	bool was_idle;     /* a request begins on a connection that was idle */
	bool ping_out;     /* never two PINGs at once: servers count them */
	bool low_memory;   /* it had no memory for something that must be sent */
	bool quiet; /* a PING for cancelled requests was acknowledged, no answer came since */
	struct timer settings; /* the peer's first SETTINGS must come in time */
	struct timer confirm;  /* ... and its acknowledgement of cancelled requests */
};

static inline bool h2_is_closed(const struct h2_conn *h)
{
	return h->conn->st.state == CC_CLOSED;
}

static inline struct cc_req *h2_req_of(nghttp2_session *session, int32_t stream)
{
	return nghttp2_session_get_stream_user_data(session, stream);
}

static inline void h2_flush(struct h2_conn *h)
{
	link_flush(h->link);
}

/* ---- h2_recv.c ---- */

/* Those of what is received; their user data is the struct h2_conn. */
void h2_recv_callbacks(nghttp2_session_callbacks *cb);

/* ---- h2_conn.c ---- */

/*
 * Something that nghttp2 was told to send is lost for want of memory: the end of
 * a request, a window. Nobody would miss it before the peer waits for ever.
 */
void h2_note(struct h2_conn *h, int rv);
/* RFC 9113 5.1.1: ids are not used twice. It drains while all of its slots can still be served. */
void h2_spare_ids(struct h2_conn *h, uint32_t next);
/* NO_ERROR means something in a GOAWAY only: to reset a request without one is odd. */
enum cc_why h2_why_of(uint64_t code, bool of_goaway);
/* The request is nghttp2's no longer; a stream that goes on finds nobody. */
void h2_req_forget(struct h2_conn *h, struct cc_req *req);
/* Forgets it and tells how it ended: see conn_req_end. code: what the peer said, 0: nothing. */
void h2_req_end(struct h2_conn *h, struct cc_req *req, int err, bool unprocessed, uint64_t code,
	const struct cc_head *trailers);
/* RST_STREAM, or nothing if it had no stream yet. Does not end it. */
void h2_req_reset(struct h2_conn *h, struct cc_req *req, uint32_t code);

#endif
