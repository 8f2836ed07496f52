/* retry.c - may a request that failed be retried? Knows nothing but its arguments. */
#include "daemon/exchange/retry.h"
#include "lib/base/str.h"

#define PAUSE      100  /* ms, before the second retry; doubles with each */
#define PAUSE_CALM 1000 /* ms, before any, when the server asked for it */
#define DOUBLINGS  4    /* at most */
#define IN_ORDER   20   /* attempts more, after connections that answered and then left in order */

bool retry_method_safe(struct cc_str m)
{
	return str_is(m, "GET") || str_is(m, "HEAD");
}

/* RFC 9110 9.2.2 */
bool retry_method_idempotent(struct cc_str m)
{
	return retry_method_safe(m) || str_is(m, "PUT") || str_is(m, "DELETE") ||
	       str_is(m, "OPTIONS") || str_is(m, "TRACE");
}

enum retry_end retry_end_of(const struct cc_result *res)
{
	bool ended = res->err == CC_EEOF || res->err == CC_EIO || res->err == CC_EGOAWAY;

	if (res->unprocessed && res->err != CC_EREFUSED)
		return RETRY_END_UNSENT;
	if (res->unprocessed)
		return res->why == CC_WHY_REFUSED ? RETRY_END_REFUSED : RETRY_END_GOAWAY;
	return ended && res->phase < CC_PHASE_RECEIVING ? RETRY_END_SILENT : RETRY_END_OTHER;
}

/* What may have been processed has one retry: RFC 9110 9.2.2, none of a failed retry. */
static enum retry_reason silent_verdict(const struct retry_facts *f, enum conf_retry policy)
{
	enum retry_reason reason = f->reused ? RETRY_REUSED_CLOSED : RETRY_IDEMPOTENT;

	if (f->maybe_processed)
		return RETRY_NO;
	if (policy == CONF_RETRY_IDEMPOTENT)
		return f->idempotent ? reason : RETRY_NO;
	/* The server closed the idle connection under the request. */
	return f->safe && f->reused ? reason : RETRY_NO;
}

static bool leaves_in_order(enum cc_why why)
{
	return why == CC_WHY_GOAWAY || why == CC_WHY_NONE;
}

/* The connection had answered and was retired in order; the server did not see the request. */
static bool met_a_retirement(const struct retry_facts *f)
{
	return f->end == RETRY_END_GOAWAY && f->answered && leaves_in_order(f->why);
}

/*
 * Each connection that retires has answered requests, so others get on while this one has bad luck:
 * on a slow machine it may meet several in a row, and an error would be of our making.
 */
static unsigned attempts_allowed(const struct retry_facts *f, unsigned max)
{
	return max > 0 && met_a_retirement(f) ? max + IN_ORDER : max;
}

enum retry_reason retry_verdict(const struct retry_facts *f, enum conf_retry policy, unsigned max)
{
	if (policy == CONF_RETRY_NEVER || f->response_begun || f->client_gone || !f->replayable ||
		f->attempts > attempts_allowed(f, max))
		return RETRY_NO;
	switch (f->end) {
	case RETRY_END_UNSENT:
		return RETRY_UNSENT;
	case RETRY_END_REFUSED:
		return RETRY_REFUSED;
	case RETRY_END_GOAWAY:
		return RETRY_GOAWAY;
	case RETRY_END_SILENT:
		return silent_verdict(f, policy);
	case RETRY_END_OTHER:
		break;
	}
	return RETRY_NO;
}

/*
 * Free is what never reached the upstream, what it refused because it could not yet say how much
 * it takes, and the orderly end of a connection that had answered. The last is bounded by the
 * responses only while one request is lost with a connection, or the server announces the end.
 */
bool retry_costs(const struct retry_facts *f)
{
	switch (f->end) {
	case RETRY_END_UNSENT:
		return false;
	case RETRY_END_REFUSED:
		return !f->before_settings;
	case RETRY_END_GOAWAY:
		return !met_a_retirement(f);
	case RETRY_END_SILENT:
		return !f->reused || f->multiplexed;
	case RETRY_END_OTHER:
		break;
	}
	return true;
}

uint64_t retry_pause(const struct retry_facts *f, uint64_t random)
{
	bool calm = f->why == CC_WHY_CALM;
	unsigned doublings = f->attempts - (calm ? 1 : 2);
	uint64_t pause;

	if (!calm && f->attempts < 2) /* the first retry of a request loses no time */
		return 0;
	pause = (uint64_t)(calm ? PAUSE_CALM : PAUSE)
	        << (doublings < DOUBLINGS ? doublings : DOUBLINGS);
	return pause - pause / 4 + random % (pause / 2 + 1); /* a quarter less to a quarter more */
}
