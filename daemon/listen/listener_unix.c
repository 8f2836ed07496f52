/* listener_unix.c - Unix sockets: owner and mode, stale files, binding, unlinking. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <libgen.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/base/conf.h"
#include "daemon/listen/listener_error.h"
#include "daemon/listen/listener_unix.h"

/* ---- who may connect ---------------------------------------------------------------------- */

static bool no_such(const struct conf_listener *c, const char *what, const char *name, char **error)
{
	return listener_error(error,
		"listener %s: there is no %s \"%s\" on this system; create it, or set %s "
		"to one that exists (\"\" means the one connpoold runs as)",
		c->name, what, name, !strcmp(what, "group") ? "group" : "owner");
}

bool unix_perms_of(const struct conf_listener *c, struct unix_perms *ret, char **error)
{
	struct passwd *pw;
	struct group *gr;

	ret->mode = (mode_t)(c->mode & 0777);
	ret->uid = geteuid();
	ret->gid = getegid();
	if (c->owner && *c->owner) {
		pw = getpwnam(c->owner);
		if (!pw)
			return no_such(c, "user", c->owner, error);
		ret->uid = pw->pw_uid;
	}
	if (c->group && *c->group) {
		gr = getgrnam(c->group);
		if (!gr)
			return no_such(c, "group", c->group, error);
		ret->gid = gr->gr_gid;
	}
	return true;
}

static bool chown_failed(const struct conf_listener *c, const struct unix_perms *p, char **error)
{
	bool away = p->uid != geteuid();
	const char *hint = "";

	if (errno == EPERM || errno == EACCES)
		hint = away ? "; only root can give files away"
		            : "; the user connpoold runs as must be a member of that group";
	return listener_error(error, "listener %s: cannot give %s to %s \"%s\": %s%s", c->name,
		c->path, away ? "user" : "group", away ? c->owner : c->group, strerror(errno),
		hint);
}

/* The group first: a mode given earlier would be that of the wrong group for a moment. */
bool unix_perms_set(const struct conf_listener *c, const struct unix_perms *p, char **error)
{
	if (fchownat(AT_FDCWD, c->path, p->uid, p->gid, AT_SYMLINK_NOFOLLOW) < 0)
		return chown_failed(c, p, error);
	if (chmod(c->path, p->mode) < 0)
		return listener_error(error, "listener %s: cannot set the mode of %s to %04o: %s",
			c->name, c->path, (unsigned)p->mode, strerror(errno));
	return true;
}

bool unix_same_perms(const struct unix_perms *a, const struct unix_perms *b)
{
	return a->mode == b->mode && a->uid == b->uid && a->gid == b->gid;
}

/* ---- the file ------------------------------------------------------------------------------ */

bool unix_is_there(const struct unix_file *f)
{
	struct stat st;

	return lstat(f->path, &st) == 0 && st.st_dev == f->dev && st.st_ino == f->ino;
}

void unix_unlink(struct unix_file *f)
{
	if (atomic_exchange(&f->linked, false) && unix_is_there(f))
		unlink(f->path);
}

void unix_name_of_fd(struct unix_file *f, int fd)
{
	struct sockaddr_un un;
	socklen_t len = sizeof(un);

	memset(&un, 0, sizeof(un));
	if (getsockname(fd, (struct sockaddr *)&un, &len) < 0 || un.sun_family != AF_UNIX)
		len = 0;
	snprintf(
		f->path, sizeof(f->path), "%.*s", (int)sizeof(un.sun_path), len ? un.sun_path : "");
}

/* ---- binding ------------------------------------------------------------------------------ */

static bool address_of(const struct conf_listener *c, struct sockaddr_un *un, char **error)
{
	size_t n = strlen(c->path);

	if (n == 0)
		return listener_error(error, "listener %s: path is empty", c->name);
	if (n >= sizeof(un->sun_path))
		return listener_error(error,
			"listener %s: the path %s is %zu bytes long; a Unix socket's path can "
			"have %zu",
			c->name, c->path, n, sizeof(un->sun_path) - 1);
	memset(un, 0, sizeof(*un));
	un->sun_family = AF_UNIX;
	memcpy(un->sun_path, c->path, n);
	return true;
}

/* Does somebody accept there? 0: no; 1: yes; -1: that cannot be found out (errno). */
static int is_live(const struct sockaddr_un *un)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int err;

	if (fd < 0)
		return -1;
	err = connect(fd, (const struct sockaddr *)un, sizeof(*un)) == 0 ? 0 : errno;
	close(fd);
	errno = err;
	if (err == 0 || err == EAGAIN ||
		err == EPROTOTYPE) /* a full backlog; another socket type */
		return 1;
	return err == ECONNREFUSED || err == ENOENT ? 0 : -1;
}

/* Makes room at path: what a daemon that died has left there goes, all else stays. */
static bool clear_path(const struct conf_listener *c, const struct sockaddr_un *un, char **error)
{
	struct stat st;

	if (lstat(c->path, &st) < 0)
		return true; /* nothing there; other reasons get a better name by bind */
	if (!S_ISSOCK(st.st_mode))
		return listener_error(error,
			"listener %s: %s exists and is not a socket; remove it or choose "
			"another path",
			c->name, c->path);
	switch (is_live(un)) {
	case 0:
		break;
	case 1:
		return listener_error(error,
			"listener %s: another process accepts connections on %s; is connpoold "
			"running already?",
			c->name, c->path);
	default:
		return listener_error(error, "listener %s: cannot tell whether %s is in use: %s",
			c->name, c->path, strerror(errno));
	}
	if (unlink(c->path) < 0 && errno != ENOENT)
		return listener_error(error, "listener %s: cannot replace the stale socket %s: %s",
			c->name, c->path, strerror(errno));
	return true;
}

static bool bind_failed(const struct conf_listener *c, char **error)
{
	int err = errno;
	char *copy = strdup(c->path);
	const char *dir = copy ? dirname(copy) : "its folder";

	if (err == ENOENT)
		listener_error(error,
			"listener %s: cannot make %s: the folder %s does not exist; create it, or "
			"choose another path",
			c->name, c->path, dir);
	else if (err == EACCES)
		listener_error(error,
			"listener %s: cannot make %s: no permission to write to the folder %s",
			c->name, c->path, dir);
	else
		listener_error(
			error, "listener %s: cannot make %s: %s", c->name, c->path, strerror(err));
	free(copy);
	return false;
}

/*
 * bind, owner, mode, listen, in this order: until listen() nobody can connect, whatever the mode.
 * The file appears with mode 0600, because Linux gives it the mode of the unbound socket; no umask,
 * which would be that of all threads.
 */
static bool bind_and_listen(
	int fd, struct unix_file *f, const struct conf_listener *c, char **error)
{
	struct sockaddr_un un;
	struct stat st;

	if (!address_of(c, &un, error) || !clear_path(c, &un, error))
		return false;
	if (fchmod(fd, 0600) < 0 || bind(fd, (struct sockaddr *)&un, sizeof(un)) < 0)
		return bind_failed(c, error);
	if (lstat(c->path, &st) < 0)
		return listener_error(
			error, "listener %s: %s: %s", c->name, c->path, strerror(errno));
	memcpy(f->path, c->path, strlen(c->path) + 1);
	f->dev = st.st_dev;
	f->ino = st.st_ino;
	f->linked = true;

	if (!unix_perms_set(c, &f->perms, error))
		return false;
	if (listen(fd, (int)c->backlog) < 0)
		return listener_error(error, "listener %s: cannot listen on %s: %s", c->name,
			c->path, strerror(errno));
	return true;
}

int unix_listen(struct unix_file *f, const struct conf_listener *c, const struct unix_perms *perms,
	char **error)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0) {
		listener_error(
			error, "listener %s: cannot make a socket: %s", c->name, strerror(errno));
		return -1;
	}
	f->perms = *perms;
	if (bind_and_listen(fd, f, c, error))
		return fd;
	unix_unlink(f);
	close(fd);
	return -1;
}
