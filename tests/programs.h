/* programs.h - child processes, descriptors, ports and folders, for tests with real programs. */
#ifndef TESTS_PROGRAMS_H
#define TESTS_PROGRAMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

uint64_t program_now(void); /* ms */
void program_nap(void);     /* a few ms, between two looks at a condition */

/*
 * Runs a program, found in PATH or among the servers; out and err: -1 for our own. It is killed
 * with us. It stays in our process group, which Check kills when a test ends, well or not.
 */
pid_t program_start(const char *const argv[], int out, int err);
/* false: it still runs after ms. */
bool program_ended(pid_t pid, int *status, int ms);
void program_end(pid_t pid); /* SIGTERM, in the end SIGKILL; waits */

/* No descriptor beyond those that are open now; the limit before, for descriptors_return. */
rlim_t descriptors_take(void);
void descriptors_return(rlim_t before);

unsigned free_port(void); /* TCP, of 127.0.0.1 */
/* Serves on port within ms; false also when it ended, and then *gone: it has been waited for. */
bool program_came_up(pid_t pid, unsigned port, int ms, bool *gone);

/* Bytes that differ at every distance a swapped or repeated buffer could have. */
void pattern_fill(void *out, size_t n, uint64_t offset);
bool pattern_write(const char *path, uint64_t size);

/* What a failed test left running is killed by now, but may still write for a moment. */
void remove_tree(const char *path);

#endif
