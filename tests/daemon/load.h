/*
 * load.h - many clients of the daemon at once, in one thread, that count what they get.
 *
 * Each client has one connection and asks again when its answer is whole. Everything but a whole
 * 200 is bad, and the first of those is kept to be told.
 */
#ifndef DAEMON_LOAD_H
#define DAEMON_LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOAD_REQUEST_MAX 512

struct load {
	unsigned clients;
	unsigned rate;  /* requests a second of all together; 0: as fast as answers come */
	uint64_t ms;    /* asks for so long; 0: until most */
	bool enough;    /* set by look: asks no more */
	unsigned most;  /* requests; 0: until ms is over */
	unsigned first; /* nonce of the first; counted on */
	/* Writes the whole request. NULL: load_once. */
	void (*request)(unsigned nonce, char out[LOAD_REQUEST_MAX]);
	/* Every 10 ms or so, from the same thread. NULL: none. */
	void (*look)(void *arg, uint64_t ms);
	void *arg;

	/* What came of it. */
	unsigned asked, good, bad;
	uint64_t slowest; /* ms */
	uint64_t took;    /* ms, with the last answer */
	char first_bad[400];
};

/*
 * Before the daemon starts: descriptors for n clients, here and in it. n, or fewer where there are
 * not so many.
 */
unsigned load_clients(unsigned n);
/* GET (even) or POST (odd) of /once/NONCE at "origin". */
void load_once(unsigned nonce, char out[LOAD_REQUEST_MAX]);
/* Returns when every request has an answer, or had none for PATIENCE after the last was sent. */
void load_run(struct load *l);
/* Some were asked, and every answer was good. The long forms of tests say what was reached. */
void load_assert_good(const char *what, const struct load *l);

#endif
