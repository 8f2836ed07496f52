/*
 * io.h - the system calls of sockets as a table.
 *
 * Everything in net/ goes through the table of its context's thread, so that a
 * test can cut reads and writes to one byte, say EAGAIN before each, and run
 * out of descriptors. All sends use MSG_NOSIGNAL.
 */
#ifndef CC_IO_H
#define CC_IO_H

#include <sys/socket.h>
#include <sys/types.h>

struct io {
	int (*socket)(int domain, int type, int protocol); /* non-blocking, close-on-exec */
	int (*connect)(int fd, const struct sockaddr *addr, socklen_t len);
	ssize_t (*recv)(int fd, void *buf, size_t n);
	ssize_t (*sendmsg)(int fd, const struct msghdr *msg);
	int (*shutdown)(int fd, int how);
	int (*close)(int fd);
};

extern const struct io io_system;

#endif
