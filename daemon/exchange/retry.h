/* retry.h - may a request that failed be sent again? Pure (doc/errors.md has the table). */
#ifndef RETRY_H
#define RETRY_H

#include <stdbool.h>
#include <stdint.h>

#include <clientconn/head.h>

#include "daemon/base/conf.h"

struct retry_facts {
	bool answered;    /* the client saw a byte of the answer */
	bool unprocessed; /* the upstream surely did not act on it */
	bool reused;      /* the connection had answered requests before */
	bool silent;      /* it ended without a byte of the answer */
	bool idempotent;  /* RFC 9110 9.2.2 */
	bool safe;        /* GET or HEAD */
	bool replayable;  /* all of the request body is still here */
	bool client_gone;
	bool calm;         /* the upstream asked for less: nothing at once */
	unsigned attempts; /* made so far */
};

/* policy is the upstream's `retry`, max its `retry_attempts` (attempts after the first). */
bool retry_verdict(const struct retry_facts *f, enum conf_retry policy, unsigned max);

bool retry_method_idempotent(struct cc_str method);
bool retry_method_safe(struct cc_str method);

#endif
