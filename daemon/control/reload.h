/*
 * reload.h - the configuration in force, and how another one takes its place.
 *
 *   file -> conf -> listeners -> workers      all or nothing; over when the last worker has it,
 *                                             complete or as far as its memory goes
 *
 * Holds the control thread's references of the configuration and of the listeners. The control
 * thread only.
 */
#ifndef RELOAD_H
#define RELOAD_H

#include <stdbool.h>

#include "daemon/base/log.h"

struct conf;
struct conf_cli;
struct listener_set;
struct notify;
struct reload;
struct worker;

struct reload_opts {      /* all borrowed; they outlive the reload */
	const char *path; /* the file; NULL: cli */
	const struct conf_cli *cli;
	struct log_set *logs;
	struct log *log; /* the control thread's */
	struct notify *notify;
	struct worker *const
		*workers; /* conf->workers of them, started by the time of reload_begin */
};

/*
 * Takes over the references of what is in force at the start. NULL: no memory, they stay the
 * caller's.
 */
struct reload *reload_new(
	const struct reload_opts *opts, struct conf *conf, struct listener_set *listeners);
void reload_free(struct reload *r); /* NULL is fine */

struct conf *reload_conf(const struct reload *r); /* in force, or being put in force */
struct listener_set *reload_listeners(const struct reload *r);
/* Says READY=1 and in a sentence what is served. */
void reload_say_ready(struct reload *r);

/* While one runs, another one waits for its end. A file with errors changes nothing. */
void reload_begin(struct reload *r);
/* The daemon stops: no reload begins any more. */
void reload_end(struct reload *r);

/* One line of text after the other, without their ends; NULL or empty: none. Writes into text. */
char *next_line(char **text);
/* Logs every line of text, which may be NULL and is changed: double quotes become single ones. */
void log_lines(struct log *l, enum log_level level, const char *what, char *text);

#endif
