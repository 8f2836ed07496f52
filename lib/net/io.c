/* io.c - the system's own calls: non-blocking, close-on-exec, no SIGPIPE. */
#include <errno.h>
#include <unistd.h>

#include "lib/net/io.h"

static int system_socket(int domain, int type, int protocol)
{
	return socket(domain, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);
}

static ssize_t system_recv(int fd, void *buf, size_t n)
{
	ssize_t got;

	do
		got = recv(fd, buf, n, 0);
	while (got < 0 && errno == EINTR);
	return got;
}

static ssize_t system_sendmsg(int fd, const struct msghdr *msg)
{
	ssize_t put;

	do /* of one slice the kernel need not read a list of them */
		put = msg->msg_iovlen == 1 ? send(fd, msg->msg_iov->iov_base, msg->msg_iov->iov_len,
						     MSG_NOSIGNAL)
		                           : sendmsg(fd, msg, MSG_NOSIGNAL);
	while (put < 0 && errno == EINTR);
	return put;
}

const struct io io_system = {
	.socket = system_socket,
	.connect = connect,
	.recv = system_recv,
	.sendmsg = system_sendmsg,
	.shutdown = shutdown,
	.close = close,
};
