/*
 * control.h - the control thread: signals, log output, systemd, reload. It speaks with the workers
 * through mailboxes only, so nothing here can delay a request.
 */
#ifndef CONTROL_H
#define CONTROL_H

#include <stdbool.h>

struct conf;
struct conf_cli;

struct control_opts {     /* all borrowed */
	const char *file; /* of the configuration; NULL: cli */
	const struct conf_cli *cli;
	bool journal;                       /* stderr goes to the journal */
	void (*complain)(const char *text); /* to who starts the daemon, when it cannot start */
};

/* Serves until it is told to stop; takes over conf. Returns the exit status. */
int control_run(const struct control_opts *o, struct conf *conf, char *warnings);

#endif
