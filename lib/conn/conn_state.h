/*
 * conn_state.h - states and slot arithmetic of one connection. Pure.
 *
 *   OPEN      L = C + max(F, limit)      A = max(0, limit - F)
 *   DRAINING  L = C + F                  A = 0
 *   CLOSED    L = C                      A = 0, F = 0
 *
 * C requests completed, F in flight (reserved ones count), A available,
 * L request limit; L == C + F + A always. A is computed when asked, so it
 * cannot disagree with the counters.
 */
#ifndef CC_CONN_STATE_H
#define CC_CONN_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include <clientconn.h>

struct conn_state {
	enum cc_state state;
	int err;             /* why CLOSED */
	uint32_t peer_limit; /* streams the peer allows at once; 1 for HTTP/1 */
	uint32_t cap;        /* our own limit below it */
	uint32_t reserved;   /* granted, not used yet */
	uint32_t active;     /* on the wire */
	uint64_t completed;
	uint64_t max_requests; /* C + F never exceeds it; UINT64_MAX: no limit */
};

void conn_state_init(struct conn_state *s, uint32_t cap, uint64_t max_requests);
/* false: it was there already, or the move would lead backwards. */
bool conn_state_move(struct conn_state *s, enum cc_state to, int err);
/* How many may run at once changed by so much; our own cap counts. */
int64_t conn_state_set_limit(struct conn_state *s, uint32_t peer_limit);
/* The lower of the peer's limit and our own cap. */
uint32_t conn_state_at_once(const struct conn_state *s);

uint32_t conn_state_available(const struct conn_state *s);
uint32_t conn_state_in_flight(const struct conn_state *s);
uint64_t conn_state_request_limit(const struct conn_state *s);

int conn_state_reserve(struct conn_state *s); /* CC_EFULL, CC_ECLOSED */
void conn_state_release(struct conn_state *s);
/* Is there room on the wire for a slot that was reserved? Not when the limit shrank since. */
bool conn_state_has_room(const struct conn_state *s);
/* A reserved slot goes on the wire. */
void conn_state_begin(struct conn_state *s);
/* A request on the wire ended, in whatever way. */
void conn_state_end(struct conn_state *s);
/* It never was on the wire after all: its slot is free, and nothing was completed. */
void conn_state_unsent(struct conn_state *s);
/* max_requests is used up: nothing more can be started. */
bool conn_state_spent(const struct conn_state *s);

#endif
