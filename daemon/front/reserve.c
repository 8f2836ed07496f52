/* reserve.c - descriptors kept for clients that are refused. */
#include <fcntl.h>
#include <unistd.h>

#include "daemon/front/reserve.h"

static void fill(struct reserve *r)
{
	while (r->held + r->lent < LIMITS_RESERVE) {
		int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

		if (fd < 0)
			return;
		r->fds[r->held++] = fd;
	}
}

void reserve_init(struct reserve *r)
{
	r->held = r->lent = 0;
	fill(r);
}

void reserve_clear(struct reserve *r)
{
	while (r->held > 0)
		close(r->fds[--r->held]);
}

bool reserve_take(struct reserve *r)
{
	fill(r);
	if (r->held == 0)
		return false;
	close(r->fds[--r->held]);
	r->lent++;
	return true;
}

void reserve_give_back(struct reserve *r)
{
	r->lent--;
	fill(r);
}
