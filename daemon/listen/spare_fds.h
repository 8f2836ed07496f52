/*
 * spare_fds.h - descriptors kept so that a client can be accepted and told why it is refused when
 * there are no others. One is given up for each client that is being refused.
 */
#ifndef SPARE_FDS_H
#define SPARE_FDS_H

#include <stdbool.h>

#include "daemon/base/limits.h"

struct spare_fds {
	int fds[LIMITS_SPARE_FDS];
	unsigned held;
	unsigned lent; /* taken and not given back */
};

/* Without memory or descriptors it holds fewer than it should. */
void spare_fds_init(struct spare_fds *s);
void spare_fds_clear(struct spare_fds *s);
/*
 * The next descriptor that is asked for is there. false: all are lent, or could not be had again.
 */
bool spare_fds_take(struct spare_fds *s);
/* It is closed again; those that are missing are opened. */
void spare_fds_give_back(struct spare_fds *s);

#endif
