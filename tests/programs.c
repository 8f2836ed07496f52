/* programs.c - child processes, descriptors, free ports and folders. */
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/programs.h"

uint64_t program_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

void program_nap(void)
{
	nanosleep(&(struct timespec){.tv_nsec = 3000000}, NULL);
}

/* ---- processes --------------------------------------------------------- */

/* Runs in the child: nothing of ours is left to it but its output. */
static void become(const char *const argv[], int out, int err)
{
	const char *path = getenv("PATH");

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGPIPE, SIG_DFL);
	if (out >= 0)
		dup2(out, STDOUT_FILENO);
	if (err >= 0)
		dup2(err, STDERR_FILENO);
	/* nginx and nghttpd live where an ordinary user's PATH does not look. */
	if (!path || !strstr(path, "/usr/sbin"))
		setenv("PATH", "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin", 1);
	execvp(argv[0], (char *const *)(uintptr_t)argv);
	dprintf(STDERR_FILENO, "%s: %s\n", argv[0], strerror(errno));
	_exit(127);
}

pid_t program_start(const char *const argv[], int out, int err)
{
	pid_t pid = fork();

	if (pid == 0)
		become(argv, out, err);
	return pid;
}

bool program_ended(pid_t pid, int *status, int ms)
{
	uint64_t until = program_now() + (uint64_t)ms;

	while (waitpid(pid, status, WNOHANG) == 0) {
		if (program_now() >= until)
			return false;
		program_nap();
	}
	return true;
}

void program_end(pid_t pid)
{
	int status;

	kill(pid, SIGTERM);
	if (program_ended(pid, &status, 5000))
		return;
	kill(pid, SIGKILL);
	program_ended(pid, &status, 15000);
}

/* ---- descriptors ------------------------------------------------------- */

rlim_t descriptors_take(void)
{
	struct rlimit limit;
	rlim_t before;
	int next = open("/dev/null", O_RDONLY | O_CLOEXEC);

	ck_assert_int_ge(next, 0);
	close(next);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	before = limit.rlim_cur;
	limit.rlim_cur = (rlim_t)next;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	return before;
}

void descriptors_return(rlim_t before)
{
	struct rlimit limit;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = before;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

/* ---- ports ------------------------------------------------------------- */

unsigned free_port(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET};
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 ||
		getsockname(fd, (struct sockaddr *)&a, &len) < 0)
		a.sin_port = 0;
	close(fd);
	return ntohs(a.sin_port);
}

static bool answers(unsigned port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	bool up = connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0;

	close(fd);
	return up;
}

bool program_came_up(pid_t pid, unsigned port, int ms, bool *gone)
{
	uint64_t until = program_now() + (uint64_t)ms;
	int status;

	for (*gone = false; program_now() < until; program_nap()) {
		*gone = waitpid(pid, &status, WNOHANG) == pid;
		if (*gone)
			return false;
		if (answers(port))
			return true;
	}
	return false;
}

/* ---- files ------------------------------------------------------------- */

void pattern_fill(void *out, size_t n, uint64_t offset)
{
	unsigned char *p = out;

	for (size_t i = 0; i < n; i++)
		p[i] = (unsigned char)(((offset + i) * 2654435761u) >> 13);
}

bool pattern_write(const char *path, uint64_t size)
{
	FILE *f = fopen(path, "we");
	char piece[16384];
	bool good = f != NULL;

	for (uint64_t at = 0; good && at < size; at += sizeof(piece)) {
		size_t n = size - at < sizeof(piece) ? (size_t)(size - at) : sizeof(piece);

		pattern_fill(piece, n, at);
		good = fwrite(piece, 1, n, f) == n;
	}
	return f && fclose(f) == 0 && good;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	remove(path);
	return 0;
}

void remove_tree(const char *path)
{
	for (int i = 0; i < 100 && access(path, F_OK) == 0; i++) {
		if (i > 0)
			program_nap();
		nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	}
}
