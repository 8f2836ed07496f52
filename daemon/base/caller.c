/* caller.c - who is at the other end of a local socket. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/base/caller.h"

#define GROUPS_FIRST 64u      /* most users have fewer: one call is enough */
#define GROUPS_MAX   65536u   /* NGROUPS_MAX of Linux */
#define STAT_MAX     1024     /* of /proc/PID/stat: 52 numbers and a name of 64 bytes */
#define STAT_BEGAN   (22 - 3) /* fields between the state, the third, and starttime, proc(5) */

#ifndef SO_PEERGROUPS
#define SO_PEERGROUPS 59
#endif

void caller_init(struct caller *c, int fd)
{
	struct ucred who;
	socklen_t len = sizeof(who);

	*c = (struct caller){.fd = fd, .uid = CALLER_NOBODY, .gid = CALLER_NOBODY};
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) < 0)
		return;
	c->uid = who.uid;
	c->gid = who.gid;
	c->pid = who.pid;
}

void caller_clear(struct caller *c)
{
	free(c->groups);
	c->groups = NULL;
	c->group_count = 0;
}

/* false: no memory, or more than fit; *len is then what they need. */
static bool read_groups(struct caller *c, socklen_t *len)
{
	uint32_t *groups = malloc(*len);
	int err;

	if (!groups)
		return false;
	err = getsockopt(c->fd, SOL_SOCKET, SO_PEERGROUPS, groups, len) < 0 ? errno : 0;
	if (err != 0) {
		free(groups);
		if (err != ERANGE)
			*len = 0;
		return false;
	}
	c->groups = groups;
	c->group_count = (unsigned)(*len / sizeof(*groups));
	return true;
}

bool caller_in_group(struct caller *c, uint32_t gid)
{
	socklen_t len = GROUPS_FIRST * sizeof(*c->groups);

	if (c->uid == CALLER_NOBODY)
		return false;
	if (gid == c->gid)
		return true;
	if (!c->groups_read) {
		c->groups_read = true;
		if (!read_groups(c, &len) && len > GROUPS_FIRST * sizeof(*c->groups) &&
			len <= GROUPS_MAX * sizeof(*c->groups))
			read_groups(c, &len);
	}
	for (unsigned i = 0; i < c->group_count; i++)
		if (c->groups[i] == gid)
			return true;
	return false;
}

/* The name of the program may hold anything, but stands before the last ')'. */
static uint64_t began_of(const char *stat)
{
	const char *p = strrchr(stat, ')');

	p = p ? strchr(p, ' ') : NULL;
	for (int i = 0; p && i < STAT_BEGAN; i++)
		p = strchr(p + 1, ' ');
	return p ? strtoull(p + 1, NULL, 10) : 0;
}

uint64_t caller_began(const struct caller *c)
{
	char path[64], text[STAT_MAX];
	ssize_t n;
	int fd;

	if (c->pid <= 0)
		return 0;
	snprintf(path, sizeof(path), "/proc/%d/stat", (int)c->pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n <= 0)
		return 0;
	text[n] = '\0';
	return began_of(text);
}
