/*
 * live.h - client connections of the public API to a real server, under the real clock. At each
 * call of the state hook and after each call of a function the numbers of the connection must
 * add up.
 */
#ifndef TESTS_CONN_LIVE_H
#define TESTS_CONN_LIVE_H

#include <check.h>
#include <event2/event.h>

#include <clientconn.h>
#include <clientconn/buf.h>
#include <clientconn/head.h>

#include "tests/conn/servers.h"

#define LIVE_PATIENCE 60 /* s: then the test has failed */

struct live {
	const struct server *server;
	struct event_base *base;
	struct cc_ctx *ctx;
	struct cc_transport *transport;
	struct cc_conn *conn;
	unsigned hooks, hooks_closed, dials;
	uint64_t completed; /* requests_completed at the last look */
	unsigned changes;   /* all CC_CHANGED_* since it was dialled */
};

/* One request. What stands first is for the test to set. */
struct call {
	const char *method;         /* NULL: GET */
	char path[64], fields[128]; /* fields: "name: value\n" each */
	uint64_t upload;            /* bytes of the pattern */
	bool sized;                 /* tells their number beforehand */
	bool expects;               /* sends them when a 100 has come */
	const char *trailer;        /* value of x-checksum behind them */
	bool any_body;              /* what comes is not the pattern */
	uint64_t cancel_after;      /* body bytes; 0: no */
	bool held;                  /* takes the first bytes and asks for no more */
	unsigned flags;             /* CC_RT_RESERVED, CC_RT_NOWAIT */

	struct live *live;
	struct cc_req *req; /* NULL: not begun or over */
	bool begun, cancelled;
	unsigned infos, info_status, heads, done, status;
	uint64_t given, got, owed; /* body bytes: sent, received, not said to be consumed */
	int64_t length;            /* Content-Length, -1 */
	char modified[64], trailers[256];
	struct cc_result result; /* without trailers */
};

void live_open(struct live *l, const struct server *s, const struct cc_transport_opts *opts);
/* One more connection in the same loop; does not wait until it is ready. */
void live_join(struct live *l, const struct live *other);
void live_dial(struct live *l); /* gives up the old connection; waits until the new one is ready */
void live_settle(struct live *l); /* the limits are known, nothing is in flight */
void live_close(struct live *l);
void live_leave(struct live *l); /* the connection only */

int call_begin(struct live *l, struct call *c); /* the result of cc_conn_round_trip */
void call_go(struct live *l, struct call *c);   /* it must be taken */
void call_wait(struct call *c);                 /* until it is done */
void call_run(struct live *l, struct call *c);  /* both */
void call_cancel(struct call *c);
void call_release(struct call *c); /* a held one goes on */
void call_reset(struct call *c);   /* as if it had not begun */
/* It ended well with that status and body bytes. */
void call_expect(const struct call *c, unsigned status, uint64_t n);

void live_check(struct live *l); /* L == C + F + A, and what the state says of them */

#define await(l, cond)                                                                             \
	do {                                                                                       \
		bool await_late = false;                                                           \
		struct event *await_guard = live_guard((l)->base, &await_late);                    \
		while (!(cond) && !await_late)                                                     \
			event_base_loop((l)->base, EVLOOP_ONCE);                                   \
		event_free(await_guard);                                                           \
		ck_assert_msg(                                                                     \
			cond, "%s: waited too long for: %s", (l)->server->setup->name, #cond);     \
	} while (0)
struct event *live_guard(struct event_base *base, bool *late);

#endif
