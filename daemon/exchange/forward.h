/* forward.h - what changes in a head on its way through. Pure. */
#ifndef FORWARD_H
#define FORWARD_H

#include <clientconn/head.h>

#include "daemon/base/conf.h"

/* May this method be forwarded? 0, or the status to answer and *why, a sentence. */
unsigned forward_refuse(const struct cc_head *head, const char **why);

/*
 * Makes the head of a local request that of the upstream: hop-by-hop fields
 * out (RFC 9110 7.6.1), the upstream's scheme and authority in, the url's path
 * in front. 0, CC_ENOMEM, CC_EINVAL.
 */
int forward_request(struct cc_head *head, const struct conf_upstream *up);

#endif
