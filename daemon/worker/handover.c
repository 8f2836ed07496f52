/* handover.c - clients on their way to the home of their upstream. */
#include <stdlib.h>

#include <clientconn/buf.h>

#include "daemon/base/mailbox.h"
#include "daemon/listen/acceptor.h"
#include "daemon/worker/handover.h"

/* A client on its way. */
struct handed {
	struct message m;
	struct handover *to;
	int fd;
	int listener; /* its descriptor, which names the acceptor in every worker */
	size_t n;
	char bytes[]; /* what it has sent already */
};

/* In the thread of the worker it goes to. */
static void arrive(struct message *m, void *arg)
{
	struct handed *h = (struct handed *)m;

	(void)arg;
	acceptors_take(h->to->acceptors, h->listener, h->fd, h->bytes, h->n);
	free(h);
}

bool handover_send(struct handover *to, int listener, int fd, const struct cc_buf *bytes)
{
	struct handed *h = malloc(sizeof(*h) + bytes->len);

	if (!h)
		return false;
	h->m.deliver = arrive;
	h->to = to;
	h->fd = fd;
	h->listener = listener;
	h->n = cc_buf_peek(bytes, h->bytes, bytes->len);
	mailbox_send(to->mailbox, &h->m);
	return true;
}
