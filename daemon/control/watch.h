/*
 * watch.h - do the workers answer? systemd's watchdog is fed only if they do (notify_watch).
 *
 * At each look every worker is asked for a sign of life, by its mailbox. One that has not answered
 * by the next look is held in a callback, and nothing that it serves moves.
 */
#ifndef WATCH_H
#define WATCH_H

#include <stdbool.h>

struct log;
struct watch;
struct worker;

/* All borrowed. NULL: no memory. */
struct watch *watch_new(struct log *log, struct worker *const *workers, unsigned count);
void watch_free(struct watch *w); /* NULL is fine */

/* Have all of them answered since the look before? Logs who has not, once, and who does again. */
bool watch_look(struct watch *w);
/* It has ended its loop, and is not asked any more. */
void watch_stopped(struct watch *w, unsigned worker);

#endif
