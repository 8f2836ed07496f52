/* spare_fds.c - descriptors kept for clients that are refused. */
#include <fcntl.h>
#include <unistd.h>

#include "daemon/listen/spare_fds.h"

static void fill(struct spare_fds *s)
{
	while (s->held + s->lent < LIMITS_SPARE_FDS) {
		int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

		if (fd < 0)
			return;
		s->fds[s->held++] = fd;
	}
}

void spare_fds_init(struct spare_fds *s)
{
	s->held = s->lent = 0;
	fill(s);
}

void spare_fds_clear(struct spare_fds *s)
{
	while (s->held > 0)
		close(s->fds[--s->held]);
}

bool spare_fds_take(struct spare_fds *s)
{
	fill(s);
	if (s->held == 0)
		return false;
	close(s->fds[--s->held]);
	s->lent++;
	return true;
}

void spare_fds_give_back(struct spare_fds *s)
{
	s->lent--;
	fill(s);
}
