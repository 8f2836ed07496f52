/* client_timeout.h - the time that a client gives its request, in a field of its own. Pure. */
#ifndef CLIENT_TIMEOUT_H
#define CLIENT_TIMEOUT_H

#include <stdbool.h>
#include <stdint.h>

#include <clientconn/head.h>

/* "2.5" and "2.5s", "500ms", "1m", "1h": seconds if there is no unit, above 0. */
bool client_timeout_parse(struct cc_str text, uint64_t *ms);

/*
 * Takes the field called name out of head. *ms: what it says, 0 if there is none. NULL, or what
 * is wrong with it in words.
 */
const char *client_timeout_take(struct cc_head *head, const char *name, uint64_t *ms);

#endif
