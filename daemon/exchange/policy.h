/*
 * policy.h - is a request forwarded at all? Pure: who asks gives the facts, and gets one answer. A
 * rule that comes is one more fact and one more check, in the order in which clients shall hear of
 * them.
 */
#ifndef POLICY_H
#define POLICY_H

#include <stdbool.h>

#include <clientconn/head.h>

#include "daemon/base/stats.h"

struct policy_facts {
	const struct cc_head *head; /* as the client sent it */
	unsigned pressure;          /* percent of the worker's buffer memory in use */
	bool routed;                /* an upstream was found for it */
	bool served;                /* and the configuration of now has it */
};

/* Not to be copied: detail may point into text. */
struct policy_refusal {
	unsigned status;
	enum reject_reason reason;
	const char *error;    /* Proxy-Status error type */
	const char *detail;   /* a sentence for people */
	const char *limit;    /* NULL: none */
	unsigned retry_after; /* seconds, 0: none */
	bool lists_upstreams; /* the reply shall name those that there are */
	char text[300];
};

/* true: it is forwarded, and *no is as it was; false: *no says why not. */
bool policy_allows(const struct policy_facts *f, struct policy_refusal *no);

#endif
