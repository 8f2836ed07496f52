/*
 * notify.h - what the daemon says to systemd, and the sockets systemd gives it.
 *
 * Without libsystemd, or when nobody listens, everything here does nothing.
 * The control thread only.
 */
#ifndef NOTIFY_H
#define NOTIFY_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/listen/listener.h"

struct event_base;
struct notify;

/*
 * Takes the passed sockets and starts the watchdog in base. NULL: *error is a malloc'ed sentence.
 */
struct notify *notify_new(struct event_base *base, char **error);
void notify_free(struct notify *n); /* NULL is fine */

/* Passed sockets; valid as long as n. */
const struct listener_fd *notify_sockets(const struct notify *n, unsigned *count);

/* From now on the watchdog is fed only when alive() says so: asked four times in WatchdogSec=. */
void notify_watch(struct notify *n, bool (*alive)(void *arg), void *arg);

/*
 * READY=1, after the start and after each reload, with the status line shown by systemctl status.
 */
void notify_ready(struct notify *n, const char *status);
void notify_reloading(struct notify *n);
/* The stop may take so long (ms), whatever TimeoutStopSec says. */
void notify_stopping(struct notify *n, uint64_t timeout);

#endif
