/*
 * listener.c - opens listening sockets, shares them between configurations, closes them last.
 *
 *   listener_set (counted)  ─lists─>  sock (counted: one a descriptor, shared by sets)
 *
 * A set has the names of its configuration; a sock has what the kernel knows. Opening is all or
 * nothing: sockets are made first, modes of shared ones are changed when nothing else can fail.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/base/conf.h"
#include "daemon/listen/listener.h"
#include "daemon/listen/listener_error.h"
#include "daemon/listen/listener_unix.h"

struct sock {
	atomic_uint refs;
	int fd;         /* -1: not there yet */
	bool inherited; /* the descriptor is not ours to close, the file not ours to unlink */
	struct unix_file file;
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

/* ---- one socket --------------------------------------------------------------------------- */

static struct sock *sock_new(void)
{
	struct sock *k = calloc(1, sizeof(*k));

	if (!k)
		return NULL;
	k->refs = 1;
	k->fd = -1;
	return k;
}

static void sock_unref(struct sock *k)
{
	if (!k || atomic_fetch_sub(&k->refs, 1) != 1)
		return;

	unix_unlink(&k->file);
	if (!k->inherited && k->fd >= 0)
		close(k->fd);
	free(k);
}

/* ---- inheriting and sharing ---------------------------------------------------------------- */

static const struct listener_fd *find_inherited(const struct opening *o, const char *name)
{
	if (o->inherited_count == 1 && o->conf->listener_count == 1)
		return &o->inherited[0];
	for (unsigned i = 0; i < o->inherited_count; i++)
		if (!strcmp(o->inherited[i].name, name))
			return &o->inherited[i];
	return NULL;
}

static struct sock *sock_bind(
	const struct conf_listener *c, const struct unix_perms *a, char **error)
{
	struct sock *k = sock_new();

	if (!k)
		return NULL;
	k->fd = unix_listen(&k->file, c, a, error);
	if (k->fd >= 0)
		return k;
	sock_unref(k);
	return NULL;
}

static struct sock *sock_inherit(const struct listener_fd *in, char **error)
{
	int flags = fcntl(in->fd, F_GETFL);
	struct sock *k;

	if (flags < 0 || fcntl(in->fd, F_SETFL, flags | O_NONBLOCK) < 0) {
		listener_error(error, "the inherited socket \"%s\" cannot be used: %s", in->name,
			strerror(errno));
		return NULL;
	}
	k = sock_new();
	if (!k)
		return NULL;
	k->fd = in->fd;
	k->inherited = true;
	unix_name_of_fd(&k->file, in->fd);
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
				 : fd < 0 && !strcmp(k->file.path, path) && unix_is_there(&k->file))
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
	const struct opening *o, const struct conf_listener *c, const struct unix_perms *a)
{
	const struct listener_fd *in = find_inherited(o, c->name);
	struct sock *shared = find_old(o->old, in ? in->fd : -1, c->path);

	if (shared)
		return sock_share(shared);
	return in ? sock_inherit(in, o->error) : sock_bind(c, a, o->error);
}

static void put_back(const struct opening *o, struct listener_set *s, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		char *ignored = NULL;

		if (!s->entries[i].sock->inherited)
			unix_perms_set(
				&o->conf->listeners[i], &s->entries[i].sock->file.perms, &ignored);
		free(ignored);
	}
}

/* Another owner, group, mode or backlog for the sockets that old has too; put back if one fails. */
static bool apply_perms(
	const struct opening *o, struct listener_set *s, const struct unix_perms *want)
{
	for (unsigned i = 0; i < s->count; i++) {
		const struct conf_listener *c = &o->conf->listeners[i];
		struct sock *k = s->entries[i].sock;

		if (k->inherited || unix_same_perms(&k->file.perms, &want[i]))
			continue;
		if (!unix_perms_set(c, &want[i], o->error)) {
			put_back(o, s, i + 1);
			return false;
		}
	}
	for (unsigned i = 0; i < s->count; i++) {
		struct sock *k = s->entries[i].sock;

		if (k->inherited)
			continue;
		k->file.perms = want[i];
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
			return listener_error(o->error,
				"systemd passed a socket named \"%s\", but no listener takes it; "
				"give a listener that name, or change FileDescriptorName= of the "
				"socket unit",
				o->inherited[i].name);
	}
	return true;
}

static bool entry_open(const struct opening *o, struct entry *e, const struct conf_listener *c,
	const struct unix_perms *a)
{
	e->name = strdup(c->name);
	e->sock = e->name ? sock_open(o, c, a) : NULL;
	if (!e->sock)
		return false;
	e->pub.fd = e->sock->fd;
	e->pub.inherited = e->sock->inherited;
	e->pub.name = e->name;
	e->pub.path = e->sock->file.path;
	return true;
}

static bool open_all(const struct opening *o, struct listener_set *s, struct unix_perms *perms)
{
	for (unsigned i = 0; i < s->count; i++)
		if (!find_inherited(o, o->conf->listeners[i].name) &&
			!unix_perms_of(&o->conf->listeners[i], &perms[i], o->error))
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
	struct unix_perms *perms = calloc(conf->listener_count + 1, sizeof(*perms));
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
			unix_unlink(&k->file);
	}
}

const struct listener *listener_set_get(const struct listener_set *s, unsigned i)
{
	return i < s->count ? &s->entries[i].pub : NULL;
}
