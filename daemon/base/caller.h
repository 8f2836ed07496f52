/*
 * caller.h - who is at the other end of a local socket, as the kernel tells it.
 *
 * What every request needs is read at once; groups and the start of the process when somebody asks.
 */
#ifndef CALLER_H
#define CALLER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define CALLER_NOBODY UINT32_MAX /* those whom the kernel does not name are one user together */

struct caller {
	int fd;            /* the socket, which stays its owner's */
	uint32_t uid, gid; /* CALLER_NOBODY: unknown */
	pid_t pid;         /* when it connected; 0: unknown */
	uint32_t *groups;  /* besides gid; NULL until asked for */
	unsigned group_count;
	bool groups_read;
};

/* Never fails: what cannot be read is unknown. */
void caller_init(struct caller *c, int fd);
void caller_clear(struct caller *c);
/* Did it have this group when it connected? While fd is open. false if that cannot be found out. */
bool caller_in_group(struct caller *c, uint32_t gid);
/*
 * When its process began, in clock ticks since boot: with pid it names one process for good. 0: it
 * has ended, or /proc does not tell.
 */
uint64_t caller_began(const struct caller *c);

#endif
