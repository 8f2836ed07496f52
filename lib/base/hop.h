/* hop.h - what the fields of one hop say to the next one, for whoever takes them off. */
#ifndef CC_HOP_H
#define CC_HOP_H

#include <stdbool.h>

struct cc_head;

/*
 * Does TE have the member "trailers": whoever reads the answer takes its trailer fields (RFC 9110
 * 10.1.4)? That one goes on; codings are between two neighbours, and no driver knows any.
 */
bool head_takes_trailers(const struct cc_head *h);

#endif
