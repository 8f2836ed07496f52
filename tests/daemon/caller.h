/*
 * caller.h - a client for tests in which many call at once: without Check, so that threads may use
 * it, and with a bound on every wait.
 */
#ifndef DAEMON_CALLER_H
#define DAEMON_CALLER_H

#include <stdbool.h>
#include <stddef.h>

#define REPLY_MAX 16384

struct reply {
	unsigned status; /* 0: the connection ended before a head was complete */
	bool whole;      /* complete by its framing */
	bool hung;       /* neither an answer nor an end came in time */
	bool last;       /* Connection: close */
	bool safe;       /* Connpool-Retry-Safe: yes */
	bool told;       /* Connpool-Retry-Safe is there */
	size_t n;        /* of the body */
	char body[REPLY_MAX];
};

struct caller {
	int fd; /* -1: not connected */
	char in[2 * REPLY_MAX];
	size_t n;
};

/* To a Unix socket. */
bool caller_open(struct caller *c, const char *path);
void caller_close(struct caller *c);
bool caller_say(struct caller *c, const char *text);
/* The next final answer, within ms. Closes when the connection is of no more use. */
void caller_hear(struct caller *c, struct reply *r, int ms);
/* One request to the upstream "origin", body NULL for none, and its answer. Connects if need be. */
void caller_ask(struct caller *c, const char *socket, const char *method, const char *path,
	const char *body, struct reply *r);

#endif
