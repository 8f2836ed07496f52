/*
 * fixture.h - one client connection of the public API against one scripted
 * peer, in one loop, under a clock that only the test moves.
 */
#ifndef TESTS_CONN_FIXTURE_H
#define TESTS_CONN_FIXTURE_H

#include <check.h>

#include <clientconn.h>
#include <clientconn/buf.h>
#include <clientconn/head.h>

#include "tests/peer.h"

#define OK_EMPTY "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
#define OK_HELLO "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"

struct memory {                        /* what the context took */
	long live;                     /* blocks */
	unsigned long allocs, fail_at; /* fail_at 0: none fails */
	bool fail_on;                  /* and none succeeds behind it */
};

struct client {
	struct event_base *base;
	struct memory *memory;
	struct cc_ctx *ctx;
	struct cc_transport *transport;
	struct cc_conn *conn;
	struct peer *peer;
	unsigned hooks;          /* calls of the state hook */
	unsigned hooks_seen;     /* of them before the last check_hooks */
	unsigned changes;        /* what they said since the last check_changes */
	unsigned hooks_closed;   /* of them in state CC_CLOSED */
	uint64_t completed_seen; /* requests_completed at the last one */
	bool in_call;            /* a function of the API is running: no callback may come */
	uint64_t clock;          /* us */
};

/* What to do in a callback, to see that it may be done there. */
enum act {
	ACT_NONE,
	ACT_CANCEL,  /* cc_req_cancel on this request */
	ACT_CLOSE,   /* cc_conn_close */
	ACT_FREE,    /* cc_conn_free */
	ACT_RESERVE, /* cc_conn_reserve, its result into probe->reserved */
	ACT_AGAIN,   /* another round trip, into probe->next */
};

struct probe { /* one request and what it brought */
	struct client *client;
	struct cc_req *req; /* NULL when it is over */
	unsigned infos, heads, bodies, rooms, done;
	unsigned info_status, status;
	char fields[4096], trailers[1024]; /* "name: value\n" each */
	char *body;
	size_t body_len, body_cap;
	struct cc_result result; /* trailers in it are gone */
	uint32_t available;      /* in on_done */
	bool keep;               /* do not say consumed */
	bool leave;              /* do not even take the body out */
	size_t taken;            /* kept, not said to be consumed */
	enum act on_info, on_head, on_body, on_done;
	struct probe *next;
	int reserved;
};

/* Only the loop, the context and the transport; the result of the first thing that failed. */
int client_init(struct client *c, struct peer *peer, unsigned offer,
	const struct cc_transport_opts *opts, unsigned long fail_at);
int client_dial(struct client *c, const char *scheme); /* to the peer */
int client_dial_to(struct client *c, const char *scheme, const char *address);
/*
 * A connection to a peer that is fresh from the dial; opts->size need not be set. NULL: defaults.
 */
void client_open(struct client *c, struct peer *peer, const char *scheme, unsigned offer,
	const struct cc_transport_opts *opts);
/* Frees everything and fails the test if memory is left. */
void client_close(struct client *c);

/*
 * Fixtures: peer on a Unix socket, HTTP/1.1 or HTTP/2, connected. In clear, or over TLS in the
 * second half of run_suite_twice. h2_begin's max_streams; unsettled: the server's SETTINGS have
 * not come yet.
 */
void open_h1(struct client *c, const struct cc_transport_opts *opts);
void open_h2(struct client *c, int64_t max_streams, const struct cc_transport_opts *opts);
void open_h2_unsettled(struct client *c, const struct cc_transport_opts *opts);
/* Its first request has that stream id: to see how ids run out. */
void open_h2_at(struct client *c, int64_t max_streams, int32_t first_stream,
	const struct cc_transport_opts *opts);
/* open_h1 and a GET of "/" that the server has seen. */
void open_h1_running(struct client *c, struct probe *p, const struct cc_transport_opts *opts);
/* 10 streams, and n requests that the server has seen, on streams 1, 3, 5 ... */
void open_h2_running(struct client *c, struct probe *p, unsigned n);
/* To an address at which nobody listens. */
void open_nowhere(struct client *c);
/* Over TLS in any case, and not yet connected. alpn: the server's. */
void open_tls(
	struct client *c, const char *alpn, unsigned offer, const struct cc_transport_opts *opts);
/* The same for HTTP/1.1, and a GET of "/" that the server has seen. */
void open_tls_running(struct client *c, struct probe *p);

/* What get() and post() give; arg is the probe. */
extern const struct cc_req_ops probe_ops;

struct cc_head *head_for(
	struct client *c, const char *method, const char *path, const char *fields);
/* The result of cc_conn_round_trip. */
int round_trip(struct client *c, struct probe *p, const char *method, const char *path,
	const char *fields, unsigned flags);
/* GET that must be taken. */
void get(struct client *c, struct probe *p, const char *path);
/* POST that must be taken, its body to come. */
void post(struct client *c, struct probe *p, const char *path, const char *fields);
int send_body(struct probe *p, const char *text, bool eos);
/* Trailers of one field, which must be taken. */
void send_trailer(struct probe *p, const char *name, const char *value);
/* What to do in the callback of that number, 0 to 3: on_info, on_head, on_body, on_done. */
void act_in(struct probe *p, unsigned callback, enum act what);
/* What came up to there, and nothing after it but the end that closing brings. */
void check_acted(const struct probe *p, unsigned callback, enum act what);
void probe_free(struct probe *p);

/* HTTP/1: the next request head must begin with this line. */
void expect_request(struct client *c, const char *line);
/* HTTP/1: the request that runs is answered, without a body. */
void finish_request(struct client *c, struct probe *p);
/* HTTP/2: the first n requests of the connection are on their way and known to the server. */
void begin(struct client *c, struct probe *p, int n);
/* HTTP/2: the client has read all that was sent. Drops what it had sent up to here. */
void h2_processed(struct client *c);
/* HTTP/2: the server's new limit, in force. Drops as much. */
void set_limit(struct client *c, uint32_t max_streams);
/* HTTP/2: the request on that stream is answered, without a body. */
void finish_stream(struct client *c, struct probe *p, uint32_t stream);
/* Reads what has come from the client and drops it. */
void drop_sent(struct client *c);
/* Nothing has come from the client that was not read, and nothing comes. */
void check_nothing_sent(struct client *c);

void wait_done(struct probe *p);
void wait_state(struct client *c, enum cc_state state);
/* A whole answer with that body, which is freed. */
void check_answered(struct probe *p, const char *text);
/* With an error, so many requests behind it and one call of the hook; the peer hears of it. */
void check_closed(struct client *c, uint64_t completed);
/* Moves the clock and runs the timers that are due. */
void advance(struct client *c, uint64_t ms);

/* L, C, F and A at once. */
#define check_counts(c, l, done, f, a)                                                             \
	do {                                                                                       \
		ck_assert_uint_eq(cc_conn_request_limit((c)->conn), l);                            \
		ck_assert_uint_eq(cc_conn_requests_completed((c)->conn), done);                    \
		ck_assert_uint_eq(cc_conn_in_flight((c)->conn), f);                                \
		ck_assert_uint_eq(cc_conn_available((c)->conn), a);                                \
	} while (0)
/* So many calls of the hook since the connection was open, or since the last check. */
#define check_hooks(c, n)                                                                          \
	do {                                                                                       \
		turns((c)->base, 3);                                                               \
		ck_assert_uint_eq((c)->hooks - (c)->hooks_seen, n);                                \
		(c)->hooks_seen = (c)->hooks;                                                      \
	} while (0)
/* What the hook said that changed, all calls since then together. */
#define check_changes(c, mask)                                                                     \
	do {                                                                                       \
		turns((c)->base, 3);                                                               \
		ck_assert_uint_eq((c)->changes, mask);                                             \
		(c)->changes = 0;                                                                  \
	} while (0)
#define check_body(p, text)                                                                        \
	do {                                                                                       \
		ck_assert_uint_eq((p)->body_len, strlen(text));                                    \
		ck_assert_str_eq((p)->body ? (p)->body : "", text);                                \
	} while (0)

/* Runs the tests of one file; its main returns the result. */
int run_suite(const char *name, const TTest *const *tests, size_t n);
/* The same, first in clear and then over TLS: what a connection does must not depend on it. */
int run_suite_twice(const char *name, const TTest *const *tests, size_t n);

#endif
