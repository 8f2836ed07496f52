/* conn_state.c - states and slot arithmetic of one connection: no clock, no socket, no memory. */
#include <assert.h>

#include "lib/conn/conn_state.h"

void conn_state_init(struct conn_state *s, uint32_t cap, uint64_t max_requests)
{
	*s = (struct conn_state){
		.state = CC_CONNECTING,
		.cap = cap,
		.max_requests = max_requests ? max_requests : UINT64_MAX,
	};
}

bool conn_state_move(struct conn_state *s, enum cc_state to, int err)
{
	if (to <= s->state)
		return false;
	s->state = to;
	if (to == CC_CLOSED) {
		s->err = err;
		s->completed += s->active;
		s->active = s->reserved = 0;
	}
	return true;
}

uint32_t conn_state_at_once(const struct conn_state *s)
{
	return s->peer_limit < s->cap ? s->peer_limit : s->cap;
}

bool conn_state_has_room(const struct conn_state *s)
{
	return s->active < conn_state_at_once(s);
}

/* What may be in flight at once now, were nothing in flight. */
static uint64_t limit(const struct conn_state *s)
{
	uint64_t most = conn_state_at_once(s);
	uint64_t left = s->max_requests - s->completed;

	return most < left ? most : left;
}

int64_t conn_state_set_limit(struct conn_state *s, uint32_t peer_limit)
{
	int64_t before = conn_state_at_once(s);

	s->peer_limit = peer_limit;
	return (int64_t)conn_state_at_once(s) - before;
}

uint32_t conn_state_in_flight(const struct conn_state *s)
{
	return s->active + s->reserved;
}

uint32_t conn_state_available(const struct conn_state *s)
{
	uint64_t most = limit(s);
	uint32_t used = conn_state_in_flight(s);

	/* used > most once the peer has lowered its limit under us */
	return s->state == CC_READY && used < most ? (uint32_t)(most - used) : 0;
}

uint64_t conn_state_request_limit(const struct conn_state *s)
{
	return s->completed + conn_state_in_flight(s) + conn_state_available(s);
}

int conn_state_reserve(struct conn_state *s)
{
	if (s->state > CC_READY)
		return CC_ECLOSED;
	if (conn_state_available(s) == 0)
		return CC_EFULL;
	s->reserved++;
	return 0;
}

void conn_state_release(struct conn_state *s)
{
	if (s->reserved > 0)
		s->reserved--;
}

void conn_state_begin(struct conn_state *s)
{
	assert(s->reserved > 0);
	s->reserved--;
	s->active++;
}

void conn_state_end(struct conn_state *s)
{
	if (s->state == CC_CLOSED) /* counted when it closed */
		return;
	assert(s->active > 0);
	s->active--;
	s->completed++;
}

void conn_state_unsent(struct conn_state *s)
{
	assert(s->active > 0);
	s->active--;
}

bool conn_state_spent(const struct conn_state *s)
{
	return s->completed + s->active >= s->max_requests;
}
