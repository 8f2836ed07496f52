/*
 * log.h - lines for people, that never block a worker.
 *
 * A thread writes into its own ring; the control thread empties the rings to
 * stderr, with "<N>" priorities under systemd (JOURNAL_STREAM is set), else with a time stamp. A
 * full ring drops the line and counts; the next line that fits says how many were lost.
 *
 * Lines are logfmt: log_line(l, LOG_LEVEL_WARNING, "connect failed", "upstream=%s err=\"%s\"",
 * ...).
 */
#ifndef DAEMON_LOG_H
#define DAEMON_LOG_H

#include <stdbool.h>
#include <stddef.h>

enum log_level {
	LOG_LEVEL_ERROR = 3,
	LOG_LEVEL_WARNING,
	LOG_LEVEL_NOTICE,
	LOG_LEVEL_INFO,
	LOG_LEVEL_DEBUG
};

struct timespec;
struct log; /* one a thread: its ring */

/* One set a process. wake_fd becomes readable when a ring has something (an eventfd). */
struct log_set;

struct log_set *log_set_new(int out_fd, bool priorities, unsigned rings);
void log_set_free(struct log_set *s); /* after log_set_drain */
int log_set_fd(const struct log_set *s);
/*
 * Control thread only: writes out what the rings hold. A reader that takes nothing for a second
 * ends the call early; the rest stays, and wake_fd stays readable.
 */
void log_set_drain(struct log_set *s);
void log_set_level(struct log_set *s, enum log_level level); /* atomic */
/* Before the first line: another clock than the wall's, for tests. */
void log_set_clock(struct log_set *s, void (*clock)(struct timespec *now));
struct log *log_of(struct log_set *s, unsigned ring); /* ring 0: the control thread's */

bool log_enabled(const struct log *l, enum log_level level);

/*
 * One line: event=\"what\" followed by the formatted fields. Lines longer than 1 KiB are cut. Never
 * blocks. Control characters in the result are escaped, so that what a peer sent cannot forge a
 * line. Of one event (what is compared as a pointer: use literals) at most 10 lines a second are
 * kept; the next one kept tells suppressed=N. Access lines are not limited: use log_access.
 */
void log_line(struct log *l, enum log_level level, const char *what, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* As log_line, but every line is kept: for a list that makes sense only as a whole. */
void log_always(struct log *l, enum log_level level, const char *what, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* event="access", whatever the level is: who calls it has decided. */
void log_access(struct log *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
