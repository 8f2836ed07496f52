/* io_faults.c - the system calls of sockets, cut short, delayed or failing. */
#include <errno.h>
#include <sys/uio.h>

#include "tests/fault/io_faults.h"

struct io_faults io_faults;

/* Numerical Recipes' generator: the same cuts for the same seed on every machine. */
static uint32_t dice(uint32_t sides)
{
	io_faults.seed = io_faults.seed * 1664525u + 1013904223u;
	return (io_faults.seed >> 8) % sides;
}

static bool fails(enum io_call call)
{
	struct io_faults *f = &io_faults;
	unsigned long n = ++f->calls[call];

	if (f->fail_at == 0 || call != f->fail_call || n < f->fail_at)
		return false;
	if (n > f->fail_at && !f->fail_on)
		return false;
	f->failed++;
	errno = f->fail_errno;
	return true;
}

/* EINTR, then EAGAIN, then the call itself. */
static bool delayed(unsigned *before)
{
	struct io_faults *f = &io_faults;

	if (f->seed != 0) {
		errno = dice(2) ? EAGAIN : EINTR;
		return dice(3) == 0;
	}
	if (f->intr && (*before & 1) == 0) {
		*before |= 1;
		errno = EINTR;
		return true;
	}
	if (f->again && (*before & 2) == 0) {
		*before |= 2;
		errno = EAGAIN;
		return true;
	}
	*before = 0;
	return false;
}

static size_t cut(size_t n, size_t most)
{
	if (io_faults.seed != 0)
		most = dice(4) ? 1 + dice(40) : 1 + dice(20000);
	return most > 0 && most < n ? most : n;
}

static int faulty_socket(int domain, int type, int protocol)
{
	int fd = fails(IO_SOCKET) ? -1 : io_system.socket(domain, type, protocol);

	io_faults.open += fd >= 0;
	return fd;
}

static int faulty_connect(int fd, const struct sockaddr *addr, socklen_t len)
{
	int rc = fails(IO_CONNECT) ? -1 : io_system.connect(fd, addr, len);

	if (rc == 0 && io_faults.intr) {
		errno = EINTR;
		return -1;
	}
	return rc;
}

static ssize_t faulty_recv(int fd, void *buf, size_t n)
{
	static unsigned before;

	if (fails(IO_RECV) || delayed(&before))
		return -1;
	return io_system.recv(fd, buf, cut(n, io_faults.recv_max));
}

static ssize_t faulty_sendmsg(int fd, const struct msghdr *msg)
{
	static unsigned before;
	struct iovec first = msg->msg_iov[0];
	struct msghdr part = *msg;

	if (fails(IO_SENDMSG) || delayed(&before))
		return -1;
	if (io_faults.send_max > 0 || io_faults.seed != 0) {
		first.iov_len = cut(first.iov_len, io_faults.send_max);
		part.msg_iov = &first;
		part.msg_iovlen = 1;
	}
	return io_system.sendmsg(fd, &part);
}

static int faulty_shutdown(int fd, int how)
{
	return fails(IO_SHUTDOWN) ? -1 : io_system.shutdown(fd, how);
}

static int faulty_close(int fd)
{
	io_faults.calls[IO_CLOSE]++;
	io_faults.open--;
	return io_system.close(fd);
}

const struct io io_faulty = {
	.socket = faulty_socket,
	.connect = faulty_connect,
	.recv = faulty_recv,
	.sendmsg = faulty_sendmsg,
	.shutdown = faulty_shutdown,
	.close = faulty_close,
};
