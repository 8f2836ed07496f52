/*
 * io_faults.h - the system calls of sockets, cut short, delayed or failing as
 * the test says. One table, as a context takes it; the faults are those of the
 * process.
 */
#ifndef TESTS_FAULT_IO_FAULTS_H
#define TESTS_FAULT_IO_FAULTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/net/io.h"

enum io_call { IO_SOCKET, IO_CONNECT, IO_RECV, IO_SENDMSG, IO_SHUTDOWN, IO_CLOSE, IO_CALLS };

struct io_faults {
	size_t recv_max, send_max; /* bytes a call; 0: all */
	bool again;                /* EAGAIN before each recv and sendmsg */
	bool intr;                 /* EINTR before each; connect goes on behind its EINTR */
	uint32_t seed;             /* not 0: cut and interrupted at random */

	enum io_call fail_call; /* the call that fails, */
	unsigned long fail_at;  /* which of them, 0: none, */
	bool fail_on;           /* and all that follow, */
	int fail_errno;         /* with what */

	/* What happened. */
	unsigned long calls[IO_CALLS];
	unsigned long failed;
	long open; /* descriptors */
};

extern struct io_faults io_faults;
extern const struct io io_faulty;

#endif
