/* retry.c - may a request that failed be sent again? Knows nothing but its arguments. */
#include "daemon/exchange/retry.h"
#include "lib/base/str.h"

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

bool retry_verdict(const struct retry_facts *f, enum conf_retry policy, unsigned max)
{
	if (policy == CONF_RETRY_NEVER || f->answered || f->client_gone || f->calm ||
		!f->replayable || f->attempts > max)
		return false;
	if (f->unprocessed)
		return true;
	if (!f->silent || f->attempts > 1) /* RFC 9110 9.2.2: no retry of a failed retry */
		return false;
	if (policy == CONF_RETRY_IDEMPOTENT)
		return f->idempotent;
	return f->safe && f->reused; /* the server closed the idle connection under the request */
}
