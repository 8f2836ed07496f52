/* policy.c - is a request forwarded at all? */
#include <stdio.h>
#include <strings.h>

#include "daemon/exchange/policy.h"
#include "lib/base/str.h"

#define PRESSURE_MAX 90u /* percent: what is left is for requests that run */

/* false, in words that need no detail of their own. */
static bool refuse(struct policy_refusal *no, enum reject_reason reason, unsigned status,
	const char *error, const char *detail)
{
	no->status = status;
	no->reason = reason;
	no->error = error;
	no->detail = detail;
	no->limit = NULL;
	no->retry_after = 0;
	no->lists_upstreams = false;
	return false;
}

static bool denied(struct policy_refusal *no, unsigned status, const char *detail)
{
	return refuse(no, REJECT_DENIED, status, "http_request_denied", detail);
}

static bool method_allowed(const struct cc_head *head, struct policy_refusal *no)
{
	struct cc_str method = cc_head_method(head);

	if (str_is(method, "CONNECT"))
		return denied(no, 501, "CONNECT makes tunnels; send the request itself, in clear");
	if (str_is(method, "TRACE")) /* RFC 9110 9.3.8: it would show fields that others added */
		return denied(no, 501, "TRACE is not forwarded");
	return true;
}

static bool expectation_known(const struct cc_head *head, struct policy_refusal *no)
{
	int i = cc_head_find(head, CC_T_EXPECT, 0);
	struct cc_str value;

	if (i < 0)
		return true;
	value = cc_head_value(head, (size_t)i);
	if (value.n == 12 && strncasecmp(value.p, "100-continue", 12) == 0)
		return true;
	return denied(no, 417, "only Expect: 100-continue is known (RFC 9110 10.1.1)");
}

static bool memory_left(unsigned pressure, struct policy_refusal *no)
{
	if (pressure < PRESSURE_MAX)
		return true;
	refuse(no, REJECT_MEMORY, 503, "proxy_internal_limit",
		"buffer memory is used up: daemon.memory_limit");
	no->limit = "memory_limit";
	no->retry_after = 1;
	return false;
}

static bool unrouted(const struct cc_head *head, struct policy_refusal *no)
{
	struct cc_str host = cc_head_authority(head);

	snprintf(no->text, sizeof(no->text),
		"no upstream is named \"%.*s\"; write http://NAME/... with one of the names listed",
		(int)(host.n < 128 ? host.n : 128), host.n ? host.p : "");
	refuse(no, REJECT_UNROUTED, 404, "destination_not_found", no->text);
	no->lists_upstreams = true;
	return false;
}

bool policy_allows(const struct policy_facts *f, struct policy_refusal *no)
{
	if (!method_allowed(f->head, no) || !expectation_known(f->head, no) ||
		!memory_left(f->pressure, no))
		return false;
	if (!f->routed)
		return unrouted(f->head, no);
	if (!f->served)
		return refuse(no, REJECT_REMOVED, 503, "destination_unavailable",
			"the upstream was removed from the configuration");
	return true;
}
