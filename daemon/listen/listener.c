/*
 * listener.c - opens listening Unix sockets, shares them between configurations, closes them last.
 *
 *   listener_set (counted)  ─lists─>  sock (counted: one a descriptor, shared by sets)
 *
 * A set has the names of its configuration; a sock has what the kernel knows. Opening is all or
 * nothing: sockets are made first, modes of shared ones are changed when nothing else can fail.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <libgen.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "daemon/base/conf.h"
#include "daemon/listen/listener.h"

struct perms { /* who may connect */
	mode_t mode;
	uid_t uid;
	gid_t gid;
};

struct sock {
	atomic_uint refs;
	int fd;
	bool inherited;     /* the descriptor is not ours to close, the file not ours to unlink */
	atomic_bool linked; /* the file is there and ours */
	dev_t dev;
	ino_t ino;
	struct perms perms; /* the control thread's */
	char path[];
};

struct entry {
	struct listener pub;
	struct sock *sock;
	char *name;
};

struct listener_set {
	atomic_uint refs;
	unsigned count;
	struct entry entries[];
};

/* What one listener_set_open needs at hand. */
struct opening {
	const struct conf *conf;
	const struct listener_fd *inherited;
	unsigned inherited_count;
	struct listener_set *old;
	char **error;
};

/* Returns false, so that a caller can return what it returns. */
__attribute__((format(printf, 2, 3))) static bool refuse(char **error, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(error, fmt, ap) < 0)
		*error = NULL;
	va_end(ap);
	return false;
}

/* ---- one socket --------------------------------------------------------------------------- */

static struct sock *sock_new(int fd, const char *path)
{
	struct sock *k = calloc(1, sizeof(*k) + strlen(path) + 1);

	if (!k)
		return NULL;
	k->refs = 1;
	k->fd = fd;
	memcpy(k->path, path, strlen(path) + 1);
	return k;
}

/* Is the file at path the one that was bound here? */
static bool sock_is_there(const struct sock *k)
{
	struct stat st;

	return lstat(k->path, &st) == 0 && st.st_dev == k->dev && st.st_ino == k->ino;
}

/* Once: the number of a removed file may be given to the next daemon's. */
static void sock_unlink(struct sock *k)
{
	if (atomic_exchange(&k->linked, false) && sock_is_there(k))
		unlink(k->path);
}

static void sock_unref(struct sock *k)
{
	if (!k || atomic_fetch_sub(&k->refs, 1) != 1)
		return;

	sock_unlink(k);
	if (!k->inherited && k->fd >= 0)
		close(k->fd);
	free(k);
}

static bool no_such(const struct conf_listener *c, const char *what, const char *name, char **error)
{
	return refuse(error,
		"listener %s: there is no %s \"%s\" on this system; create it, or set %s "
		"to one that exists (\"\" means the one connpoold runs as)",
		c->name, what, name, !strcmp(what, "group") ? "group" : "owner");
}

/* Names and numbers of owner and group. The control thread is the only one that asks for them. */
static bool perms_of(const struct conf_listener *c, struct perms *ret, char **error)
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

static bool chown_failed(const struct conf_listener *c, const struct perms *p, char **error)
{
	bool away = p->uid != geteuid();
	const char *hint = "";

	if (errno == EPERM || errno == EACCES)
		hint = away ? "; only root can give files away"
		            : "; the user connpoold runs as must be a member of that group";
	return refuse(error, "listener %s: cannot give %s to %s \"%s\": %s%s", c->name, c->path,
		away ? "user" : "group", away ? c->owner : c->group, strerror(errno), hint);
}

/* The group first: a mode given earlier would be that of the wrong group for a moment. */
static bool perms_set(const struct conf_listener *c, const struct perms *p, char **error)
{
	if (fchownat(AT_FDCWD, c->path, p->uid, p->gid, AT_SYMLINK_NOFOLLOW) < 0)
		return chown_failed(c, p, error);
	if (chmod(c->path, p->mode) < 0)
		return refuse(error, "listener %s: cannot set the mode of %s to %04o: %s", c->name,
			c->path, (unsigned)p->mode, strerror(errno));
	return true;
}

/* ---- binding ------------------------------------------------------------------------------ */

static bool address_of(const struct conf_listener *c, struct sockaddr_un *un, char **error)
{
	size_t n = strlen(c->path);

	if (n == 0)
		return refuse(error, "listener %s: path is empty", c->name);
	if (n >= sizeof(un->sun_path))
		return refuse(error,
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
		return true; /* nothing there; other reasons come back from bind, with a better name */
	if (!S_ISSOCK(st.st_mode))
		return refuse(error,
			"listener %s: %s exists and is not a socket; remove it or choose "
			"another path",
			c->name, c->path);
	switch (is_live(un)) {
	case 0:
		break;
	case 1:
		return refuse(error,
			"listener %s: another process accepts connections on %s; is connpoold "
			"running already?",
			c->name, c->path);
	default:
		return refuse(error, "listener %s: cannot tell whether %s is in use: %s", c->name,
			c->path, strerror(errno));
	}
	if (unlink(c->path) < 0 && errno != ENOENT)
		return refuse(error, "listener %s: cannot replace the stale socket %s: %s", c->name,
			c->path, strerror(errno));
	return true;
}

static bool bind_failed(const struct conf_listener *c, char **error)
{
	int err = errno;
	char *copy = strdup(c->path);
	const char *dir = copy ? dirname(copy) : "its folder";

	if (err == ENOENT)
		refuse(error,
			"listener %s: cannot make %s: the folder %s does not exist; create it, or "
			"choose another path",
			c->name, c->path, dir);
	else if (err == EACCES)
		refuse(error,
			"listener %s: cannot make %s: no permission to write to the folder %s",
			c->name, c->path, dir);
	else
		refuse(error, "listener %s: cannot make %s: %s", c->name, c->path, strerror(err));
	free(copy);
	return false;
}

/*
 * bind, owner, mode, listen, in this order: until listen() nobody can connect, whatever the mode.
 * The file appears with mode 0600, because Linux gives it the mode of the unbound socket; no umask,
 * which would be that of all threads.
 */
static bool sock_listen(struct sock *k, const struct conf_listener *c, char **error)
{
	struct sockaddr_un un;
	struct stat st;

	if (!address_of(c, &un, error) || !clear_path(c, &un, error))
		return false;
	if (fchmod(k->fd, 0600) < 0 || bind(k->fd, (struct sockaddr *)&un, sizeof(un)) < 0)
		return bind_failed(c, error);
	if (lstat(c->path, &st) < 0)
		return refuse(error, "listener %s: %s: %s", c->name, c->path, strerror(errno));
	k->dev = st.st_dev;
	k->ino = st.st_ino;
	k->linked = true;

	if (!perms_set(c, &k->perms, error))
		return false;
	if (listen(k->fd, (int)c->backlog) < 0)
		return refuse(error, "listener %s: cannot listen on %s: %s", c->name, c->path,
			strerror(errno));
	return true;
}

static struct sock *sock_bind(const struct conf_listener *c, const struct perms *a, char **error)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct sock *k;

	if (fd < 0) {
		refuse(error, "listener %s: cannot make a socket: %s", c->name, strerror(errno));
		return NULL;
	}
	k = sock_new(fd, c->path);
	if (!k) {
		close(fd);
		return NULL;
	}
	k->perms = *a;
	if (sock_listen(k, c, error))
		return k;
	sock_unref(k);
	return NULL;
}

/* ---- inheriting and sharing ---------------------------------------------------------------- */

/* The path an inherited socket is bound to, for logs. */
static void path_of_fd(int fd, char *out, size_t size)
{
	struct sockaddr_un un;
	socklen_t len = sizeof(un);

	memset(&un, 0, sizeof(un));
	if (getsockname(fd, (struct sockaddr *)&un, &len) < 0 || un.sun_family != AF_UNIX)
		len = 0;
	snprintf(out, size, "%.*s", (int)sizeof(un.sun_path), len ? un.sun_path : "");
}

static const struct listener_fd *find_inherited(const struct opening *o, const char *name)
{
	if (o->inherited_count == 1 && o->conf->listener_count == 1)
		return &o->inherited[0];
	for (unsigned i = 0; i < o->inherited_count; i++)
		if (!strcmp(o->inherited[i].name, name))
			return &o->inherited[i];
	return NULL;
}

static struct sock *sock_inherit(const struct listener_fd *in, char **error)
{
	char path[sizeof(((struct sockaddr_un *)0)->sun_path) + 1];
	int flags = fcntl(in->fd, F_GETFL);
	struct sock *k;

	if (flags < 0 || fcntl(in->fd, F_SETFL, flags | O_NONBLOCK) < 0) {
		refuse(error, "the inherited socket \"%s\" cannot be used: %s", in->name,
			strerror(errno));
		return NULL;
	}
	path_of_fd(in->fd, path, sizeof(path));
	k = sock_new(in->fd, path);
	if (k)
		k->inherited = true;
	return k;
}

/*
 * fd -1: one that is bound here, by its path. One whose file somebody removed is not found, so
 * that a reload makes it again.
 */
static struct sock *find_old(const struct listener_set *old, int fd, const char *path)
{
	for (unsigned i = 0; old && i < old->count; i++) {
		struct sock *k = old->entries[i].sock;

		if (k->inherited ? k->fd == fd
				 : fd < 0 && !strcmp(k->path, path) && sock_is_there(k))
			return k;
	}
	return NULL;
}

static struct sock *sock_share(struct sock *k)
{
	atomic_fetch_add(&k->refs, 1);
	return k;
}

static struct sock *sock_open(
	const struct opening *o, const struct conf_listener *c, const struct perms *a)
{
	const struct listener_fd *in = find_inherited(o, c->name);
	struct sock *shared = find_old(o->old, in ? in->fd : -1, c->path);

	if (shared)
		return sock_share(shared);
	return in ? sock_inherit(in, o->error) : sock_bind(c, a, o->error);
}

static bool same_perms(const struct perms *a, const struct perms *b)
{
	return a->mode == b->mode && a->uid == b->uid && a->gid == b->gid;
}

static void put_back(const struct opening *o, struct listener_set *s, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		char *ignored = NULL;

		if (!s->entries[i].sock->inherited)
			perms_set(&o->conf->listeners[i], &s->entries[i].sock->perms, &ignored);
		free(ignored);
	}
}

/* Another owner, group, mode or backlog for the sockets that old has too; put back if one fails. */
static bool apply_perms(const struct opening *o, struct listener_set *s, const struct perms *want)
{
	for (unsigned i = 0; i < s->count; i++) {
		const struct conf_listener *c = &o->conf->listeners[i];
		struct sock *k = s->entries[i].sock;

		if (k->inherited || same_perms(&k->perms, &want[i]))
			continue;
		if (!perms_set(c, &want[i], o->error)) {
			put_back(o, s, i + 1);
			return false;
		}
	}
	for (unsigned i = 0; i < s->count; i++) {
		struct sock *k = s->entries[i].sock;

		if (k->inherited)
			continue;
		k->perms = want[i];
		listen(k->fd, (int)o->conf->listeners[i].backlog);
	}
	return true;
}

/* A socket that systemd holds open and nobody accepts on would let its clients hang. */
static bool all_inherited_are_used(const struct opening *o, const struct listener_set *s)
{
	for (unsigned i = 0; i < o->inherited_count; i++) {
		unsigned users = 0;

		for (unsigned j = 0; j < s->count; j++)
			users += s->entries[j].sock->inherited &&
			         s->entries[j].sock->fd == o->inherited[i].fd;
		if (users == 0)
			return refuse(o->error,
				"systemd passed a socket named \"%s\", but no listener takes it; give "
				"a listener that name, or change FileDescriptorName= of the socket unit",
				o->inherited[i].name);
	}
	return true;
}

static bool entry_open(const struct opening *o, struct entry *e, const struct conf_listener *c,
	const struct perms *a)
{
	e->name = strdup(c->name);
	e->sock = e->name ? sock_open(o, c, a) : NULL;
	if (!e->sock)
		return false;
	e->pub.fd = e->sock->fd;
	e->pub.inherited = e->sock->inherited;
	e->pub.name = e->name;
	e->pub.path = e->sock->path;
	return true;
}

static bool open_all(const struct opening *o, struct listener_set *s, struct perms *perms)
{
	for (unsigned i = 0; i < s->count; i++)
		if (!find_inherited(o, o->conf->listeners[i].name) &&
			!perms_of(&o->conf->listeners[i], &perms[i], o->error))
			return false;
	for (unsigned i = 0; i < s->count; i++)
		if (!entry_open(o, &s->entries[i], &o->conf->listeners[i], &perms[i]))
			return false;
	return all_inherited_are_used(o, s) && apply_perms(o, s, perms);
}

struct listener_set *listener_set_open(const struct conf *conf, const struct listener_fd *inherited,
	unsigned inherited_count, struct listener_set *old, char **error)
{
	struct opening o = {conf, inherited, inherited_count, old, error};
	struct listener_set *s =
		calloc(1, sizeof(*s) + conf->listener_count * sizeof(s->entries[0]));
	struct perms *perms = calloc(conf->listener_count + 1, sizeof(*perms));
	bool ok = false;

	*error = NULL;
	if (s)
		s->refs = 1;
	if (s && perms) {
		s->count = conf->listener_count;
		ok = open_all(&o, s, perms);
	}
	free(perms);
	if (ok)
		return s;

	listener_set_unref(s);
	if (!*error)
		*error = strdup("out of memory while opening the listeners");
	return NULL;
}

struct listener_set *listener_set_ref(struct listener_set *s)
{
	atomic_fetch_add(&s->refs, 1);
	return s;
}

void listener_set_unref(struct listener_set *s)
{
	if (!s || atomic_fetch_sub(&s->refs, 1) != 1)
		return;

	for (unsigned i = 0; i < s->count; i++) {
		sock_unref(s->entries[i].sock);
		free(s->entries[i].name);
	}
	free(s);
}

void listener_set_retire(struct listener_set *s, const struct listener_set *keep)
{
	for (unsigned i = 0; s && i < s->count; i++) {
		struct sock *k = s->entries[i].sock;
		bool kept = false;

		for (unsigned j = 0; keep && j < keep->count; j++)
			kept = kept || keep->entries[j].sock == k;
		if (!kept)
			sock_unlink(k);
	}
}

const struct listener *listener_set_get(const struct listener_set *s, unsigned i)
{
	return i < s->count ? &s->entries[i].pub : NULL;
}
