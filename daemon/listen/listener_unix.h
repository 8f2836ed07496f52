/*
 * listener_unix.h - what is only of listening Unix sockets: the file, who may connect, and what may
 * be there already. The control thread, but for unix_unlink.
 */
#ifndef LISTENER_UNIX_H
#define LISTENER_UNIX_H

#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>
#include <sys/un.h>

struct conf_listener;

struct unix_perms { /* who may connect */
	mode_t mode;
	uid_t uid;
	gid_t gid;
};

/* The file of a socket. */
struct unix_file {
	char path[sizeof(((struct sockaddr_un *)0)->sun_path) + 1];
	atomic_bool linked; /* it is there and ours */
	dev_t dev;
	ino_t ino;
	struct unix_perms perms;
};

/* Names and numbers of owner and group. The control thread is the only one that asks for them. */
bool unix_perms_of(const struct conf_listener *c, struct unix_perms *ret, char **error);
bool unix_perms_set(const struct conf_listener *c, const struct unix_perms *p, char **error);
bool unix_same_perms(const struct unix_perms *a, const struct unix_perms *b);

/*
 * A non-blocking socket that listens at c->path; -1 and *error. What a daemon that died has left
 * there goes, all else stays. perms are set before the first client can connect.
 */
int unix_listen(struct unix_file *f, const struct conf_listener *c, const struct unix_perms *perms,
	char **error);
/* The path an inherited socket is bound to, for logs. */
void unix_name_of_fd(struct unix_file *f, int fd);

/* Is the file at path the one that was bound here? */
bool unix_is_there(const struct unix_file *f);
/* If it is. Any thread, once: the number of a removed file may be given to the next daemon's. */
void unix_unlink(struct unix_file *f);

#endif
