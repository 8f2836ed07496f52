/*
 * service.h - what a front asks of whoever answers a request, and what that tells the front's
 * stream.
 *
 *   front  ── struct service: begin, body, trailers, room, sent, gone ──> call
 *   front <── struct stream_ops: info, head, body, end, cut, room ── call
 *
 * A call is one request on its way to its response. It belongs to the service; the front's stream
 * holds it until end, cut or gone. Its memory goes back at the end of the turn in which it ended.
 */
#ifndef SERVICE_H
#define SERVICE_H

#include <stdbool.h>
#include <stddef.h>

struct caller;
struct cc_buf;
struct cc_head;
struct conf_upstream;

/* One request whose head has come. */
struct service_request {
	struct cc_head *head; /* taken over by begin, in every case */
	const struct conf_upstream
		*up;                 /* that it is for, of the configuration of now; NULL: none */
	bool removed;                /* up is NULL, but there was one until a moment ago */
	const struct caller *caller; /* lives as long as the stream */
	bool end_stream;             /* no body follows */
	bool expects;                /* the client waits for 100 (Continue) */
};

/*
 * Called in the order info* head body* (end | cut), or cut alone; room at any time before the end.
 * Nothing follows end or cut, and they end the call. Each of them may end the stream and its
 * connection, but frees neither. Heads carry no field that belongs to one hop.
 */
struct stream_ops {
	void (*info)(void *stream, const struct cc_head *head); /* 1xx */
	void (*head)(void *stream, const struct cc_head *head);
	/* Takes all of body. The service hears by sent when bytes have left. */
	void (*body)(void *stream, struct cc_buf *body);
	void (*end)(void *stream, const struct cc_head *trailers); /* NULL: there are none */
	/* The response cannot be completed: what was sent must not look whole. */
	void (*cut)(void *stream);
	/* What room() says is above 0 again. */
	void (*room)(void *stream);
};

struct service {
	const char *name;
	/*
	 * server: what the listener was given with the service. NULL: no memory, and no function of
	 * ops was called. They may be called from the turn on, never from here.
	 */
	void *(*begin)(void *server, const struct service_request *r, const struct stream_ops *ops,
		void *stream);
	/* Moves body bytes in; eos: that was all. May call ops->cut. */
	void (*body)(void *call, struct cc_buf *body, bool eos);
	/* The body ends with trailer fields, which stay the front's. May call ops->cut. */
	void (*trailers)(void *call, const struct cc_head *trailers);
	/* Body bytes worth giving now; 0: wait for ops->room. Calls nobody. */
	size_t (*room)(void *call);
	/* n body bytes of the response have left for the client. Calls nobody. */
	void (*sent)(void *call, size_t n);
	/*
	 * The client is gone, or broke its own request: ends the call, no function of ops follows.
	 */
	void (*gone)(void *call);
};

#endif
