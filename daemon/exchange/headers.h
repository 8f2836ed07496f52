/* headers.h - what changes in a head on its way through, in both directions. Pure. */
#ifndef HEADERS_H
#define HEADERS_H

#include <clientconn/head.h>

#include "daemon/base/conf.h"

/*
 * Makes the head of a local request that of the upstream: hop-by-hop fields
 * out (RFC 9110 7.6.1), the upstream's scheme and authority in, the url's path
 * in front. 0, CC_ENOMEM, CC_EINVAL.
 */
int headers_request(struct cc_head *head, const struct conf_upstream *up);

/*
 * Makes the head of an upstream's response, or of an interim one, that of the local response: what
 * it returns carries no field that belongs to the upstream's connection. Valid as long as head,
 * which the library lends for the call (on_head, on_info) and reads no such field of any more; it
 * is changed in place, as a copy would cost more than all that is done with most heads.
 */
const struct cc_head *headers_response(const struct cc_head *head);

#endif
