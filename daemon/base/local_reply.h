/*
 * local_reply.h - local replies, which the daemon gives itself: a JSON body (RFC 9457)
 * and a Proxy-Status field (RFC 9209) that name the cause, the upstream and
 * the limit.
 */
#ifndef LOCAL_REPLY_H
#define LOCAL_REPLY_H

#include <clientconn.h>
#include <clientconn/buf.h>
#include <clientconn/head.h>

#include "daemon/base/stats.h"

struct conf;

struct local_reply {
	unsigned status;
	const char *error;        /* Proxy-Status error type (RFC 9209 2.3): "connection_refused" */
	const char *detail;       /* a sentence for people */
	const char *upstream;     /* name, NULL: none chosen */
	const char *limit;        /* "max_queue" and the like, NULL: none */
	const struct conf *names; /* lists all upstreams' names, for 404; NULL */
	unsigned retry_after;     /* seconds, 0: none */
	bool retry_safe;          /* surely not processed: the client may retry it */
	enum reject_reason reason; /* what it counts as */
};

/* Fills head (reset first) and body. 0 or CC_ENOMEM. */
int local_reply_build(const struct local_reply *a, struct cc_head *head, struct cc_buf *body);

/*
 * What a failed round trip or connection means for the client: status, error and reason are set,
 * and limit if it is one.
 */
void local_reply_from_error(struct local_reply *a, int err, enum cc_phase phase);

#endif
