/*
 * proto.h - what one HTTP version must do for a connection.
 *
 * A driver keeps its state in conn->driver and reports upward with the
 * conn_*() functions of conn.h. It never calls the owner, and it never frees a
 * connection or a request. Nothing here says "descriptor" or "frame": a
 * version over another transport fits as well.
 */
#ifndef CC_PROTO_H
#define CC_PROTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <clientconn.h>

struct link;

/* What the transport has connected. One with datagrams gets its socket and address here. */
struct dialled {
	struct link *link; /* a byte stream, in TLS or in clear */
};

struct cc_proto {
	enum cc_proto_id id;
	bool multiplexed; /* carries several requests at once, and the peer says how many */

	/*
	 * What was dialled becomes the driver's; the struct itself goes. 0, or enum cc_err and the
	 * connection closes; the driver has freed or kept the link so that free() deals with it.
	 */
	int (*open)(struct cc_conn *conn, const struct dialled *carrier);
	/* Begin a request; a slot is held. The head is encoded or copied before it returns. */
	int (*submit)(struct cc_conn *conn, struct cc_req *req, const struct cc_head *head);
	/* The request's out buffer, its end or its trailers changed. */
	void (*send)(struct cc_conn *conn, struct cc_req *req);
	/*
	 * Its body is not what its head announced: it goes no further, and nobody may take it for
	 * whole. Ends it with err, which is told from the turn.
	 */
	void (*fail)(struct cc_conn *conn, struct cc_req *req, int err);
	/* n response bytes left the process: widen the window. */
	void (*consumed)(struct cc_conn *conn, struct cc_req *req, size_t n);
	/*
	 * Nobody wants the answer any more. The driver ends the request with conn_req_end, now or
	 * when the peer confirmed.
	 */
	void (*cancel)(struct cc_conn *conn, struct cc_req *req);
	/* Ask for a sign of life. NULL: the protocol has none. */
	void (*ping)(struct cc_conn *conn);
	/* The connection is CLOSED: stop all callbacks of the link, say goodbye if possible. */
	void (*close)(struct cc_conn *conn);
	/* Free conn->driver; nothing of it is on the stack. Works after a failed open. */
	void (*free)(struct cc_conn *conn);
};

extern const struct cc_proto h1_proto, h2_proto; /* named by transport.c only */

#endif
