/* headers.c - what changes in a head on its way through. */
#include <string.h>

#include <clientconn.h>

#include "daemon/exchange/headers.h"
#include "lib/base/hop.h"

/*
 * What a client says of trailers holds for the upstream, as these pass through (RFC 9110 10.1.4).
 */
static int strip(struct cc_head *head)
{
	bool trailers = head_takes_trailers(head);

	cc_head_strip_hop_by_hop(head);
	return trailers ? cc_head_add(head, CC_STR("te"), CC_STR("trailers")) : 0;
}

int headers_request(struct cc_head *head, const struct conf_upstream *up)
{
	struct cc_str path = cc_head_path(head);
	struct cc_str scheme = up->https ? CC_STR("https") : CC_STR("http");
	struct cc_str authority = {up->authority, strlen(up->authority)};
	size_t base = strlen(up->base_path);
	char joined[32768]; /* a target and a base path, both at their limits */

	if (strip(head) < 0)
		return CC_ENOMEM;
	if (base > 0) {
		bool asterisk = path.n == 1 && path.p[0] == '*';

		if (base + path.n > sizeof(joined))
			return CC_ETOOBIG;
		memcpy(joined, up->base_path, base);
		if (!asterisk)
			memcpy(joined + base, path.p, path.n);
		path = (struct cc_str){joined, base + (asterisk ? 0 : path.n)};
	}
	return cc_head_set_request(head, cc_head_method(head), scheme, authority, path);
}

const struct cc_head *headers_response(const struct cc_head *head)
{
	struct cc_head *own = (struct cc_head *)head; /* lent: see headers.h */

	cc_head_strip_hop_by_hop(own);
	return own;
}
