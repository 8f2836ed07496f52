/* retry.h - may a request that failed be retried, and when? Pure (doc/errors.md has the table). */
#ifndef RETRY_H
#define RETRY_H

#include <stdbool.h>
#include <stdint.h>

#include <clientconn.h>
#include <clientconn/head.h>

#include "daemon/base/conf.h"
#include "daemon/base/stats.h"

/* How an attempt ended, as far as it matters here. */
enum retry_end {
	RETRY_END_OTHER,  /* a reset, a timeout, bad HTTP: the upstream may have acted */
	RETRY_END_SILENT, /* the connection ended without a byte of the response: the same */
	RETRY_END_UNSENT, /* nothing of it left */
	RETRY_END_REFUSED,
	RETRY_END_GOAWAY /* above the last stream id */
};

struct retry_facts {
	enum retry_end end;
	enum cc_why why;      /* what the upstream said */
	bool response_begun;  /* the client saw a byte of it */
	bool reused;          /* the connection had carried requests before */
	bool answered;        /* a response to any request had come on it when this one failed */
	bool multiplexed;     /* it carries several at once */
	bool before_settings; /* sent before the peer told its limits */
	bool maybe_processed; /* an earlier attempt may have been processed */
	bool idempotent;      /* RFC 9110 9.2.2 */
	bool safe;            /* GET or HEAD */
	bool replayable;      /* all of the request body is still here */
	bool client_gone;
	unsigned attempts; /* made so far */
};

enum retry_end retry_end_of(const struct cc_result *res);

/* policy is the upstream's `retry`, max its `retry_attempts` (attempts after the first). */
enum retry_reason retry_verdict(const struct retry_facts *f, enum conf_retry policy, unsigned max);
/* Is it paid from the budget? Not when an upstream in good health causes it. */
bool retry_costs(const struct retry_facts *f);
/* ms before the next attempt; random: any number. */
uint64_t retry_pause(const struct retry_facts *f, uint64_t random);

bool retry_method_idempotent(struct cc_str method);
bool retry_method_safe(struct cc_str method);

#endif
