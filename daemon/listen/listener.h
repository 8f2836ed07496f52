/*
 * listener.h - listening Unix sockets: bound here or inherited from systemd.
 *
 * The set belongs to the control thread. A listener is counted: workers that still
 * accept from it hold a reference, and the socket is closed (and unlinked, if bound here)
 * when the last one lets go. An inherited descriptor stays open: it is systemd's.
 */
#ifndef LISTENER_H
#define LISTENER_H

#include <stdbool.h>
#include <stddef.h>

struct conf;
struct conf_listener;
struct listener_set;

struct listener {
	int fd;         /* listening, non-blocking */
	bool inherited; /* never unlinked, mode and group are systemd's */
	const char *name;
	const char *path;
};

struct listener_fd { /* from systemd */
	int fd;
	const char *name; /* FileDescriptorName= */
};

/*
 * The listeners of conf: an inherited one of the same name takes the place of path; a listener that
 * old (may be NULL) already has for the same path is shared. A stale socket file (nobody accepts
 * on it) is replaced; a live one, or any other kind of file, is an error. mode and group are set
 * before the first client can connect. With exactly one inherited socket and exactly one listener
 * the names need not match; an inherited socket that no listener takes is an error.
 * All or nothing: on failure NULL and *error, a malloc'ed sentence; old stays untouched.
 */
struct listener_set *listener_set_open(const struct conf *conf, const struct listener_fd *inherited,
	unsigned inherited_count, struct listener_set *old, char **error);
struct listener_set *listener_set_ref(struct listener_set *s); /* atomic */
void listener_set_unref(struct listener_set *s);               /* NULL is fine */
/*
 * Unlinks what was bound here and is not in keep (may be NULL), without closing it: nobody new can
 * come, and those whom the kernel has queued can still be accepted. For the beginning of a drain.
 */
void listener_set_retire(struct listener_set *s, const struct listener_set *keep);
/* Index as in conf->listeners. */
const struct listener *listener_set_get(const struct listener_set *s, unsigned i);

#endif
