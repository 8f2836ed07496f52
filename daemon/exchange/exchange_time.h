/*
 * exchange_time.h - the limits of time of one exchange. It is told of what moves, and ends the
 * exchange (a local reply that names the limit, or a cut) when nothing did for too long.
 */
#ifndef EXCHANGE_TIME_H
#define EXCHANGE_TIME_H

#include <stdint.h>

#include "daemon/exchange/exchange_int.h"

void exchange_time_init(struct exchange *ex);
/* The whole of it, from now on. client_ms: what the client asked for, 0: nothing. */
void exchange_time_limit(struct exchange *ex, uint64_t client_ms);
/* A body moved: the time begins anew. */
void exchange_time_active(struct exchange *ex);
/* The phase changed: ex->timer is for the new one. */
void exchange_time_watch(struct exchange *ex);
/* The response begins. A timer due before it can be late goes on, and then finds the rest. */
void exchange_time_respond(struct exchange *ex);
/* ex->timer fired, and the exchange is not paused. May end it. */
void exchange_time_check(struct exchange *ex);

#endif
