/* pick.h - which connection carries the next request, and how many to open. Pure. */
#ifndef PICK_H
#define PICK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- which one --------------------------------------------------------- */

enum pick_mode {
	PICK_MOST_AVAILABLE, /* the most free slots; among equals the one used last */
	PICK_LIFO,           /* the one used last: all that is not needed falls idle */
	PICK_FIFO,           /* the one not used for longest: all stay warm */
	PICK_RANDOM2         /* of two drawn the one with more free slots */
};

/*
 * One connection, embedded in its owner; zero it before the first pick_update. A node of a
 * search tree that is balanced by chance (a treap).
 */
struct pick_entry {
	struct pick_entry *less, *more; /* by the order of the mode */
	uint64_t stamp;     /* grows with each change: the last one used has the largest */
	uint32_t available; /* free slots; 0: not in the set */
	uint32_t size;      /* entries of this subtree */
};

/* The connections that have a free slot. */
struct pick_set {
	enum pick_mode mode;
	struct pick_entry *root;
	uint64_t stamp;
};

/* Another mode: init again and update every connection, least recently used first. */
void pick_set_init(struct pick_set *set, enum pick_mode mode);
/*
 * The connection has so many free slots now; 0 takes it out of the set. To be called after each
 * reservation and whenever the library tells of a change; the same number again is no use
 * of the connection and leaves everything as it is. O(log n), as all below.
 */
void pick_update(struct pick_set *set, struct pick_entry *e, uint32_t available);
void pick_remove(struct pick_set *set, struct pick_entry *e); /* fine if it is not in the set */
/* The one to use next, NULL if none has room. random: any number, used by PICK_RANDOM2 only. */
struct pick_entry *pick_best(const struct pick_set *set, uint64_t random);
unsigned pick_count(const struct pick_set *set);

/* ---- how many ---------------------------------------------------------- */

struct pick_demand {
	unsigned waiting;       /* requests without a connection */
	unsigned connections;   /* open or connecting */
	unsigned connecting;    /* of these: no request can be sent yet */
	unsigned draining;      /* of these: take no new requests */
	uint64_t expected;      /* requests that the connecting ones will carry once they are up */
	uint64_t expected_each; /* the same for one more; UINT64_MAX: not known, surely many */
	unsigned max_connections, max_connecting;
	unsigned min_connections; /* to hold without traffic; draining ones do not count */
	/* Of max_connections, those opened only while a request waits for reserve_after. */
	unsigned reserve_connections;
	uint64_t oldest_wait, reserve_after; /* ms; oldest_wait is 0 when nobody waits */
	uint64_t now, not_before;            /* ms; backoff: nothing is opened before it */
	bool failing; /* the last attempt failed: one at a time until one comes up */
};

/*
 * How many connections to open now: as many as the waiting requests need
 * beyond what is on its way, or min_connections, under all limits. While it is not known how many
 * requests a connection carries (the protocol is not negotiated yet), one.
 */
unsigned pick_dials(const struct pick_demand *d);
/*
 * In how many ms time alone changes the answer of pick_dials: the end of the backoff, or the
 * reserve. UINT64_MAX: it does not; what happens to connections and requests may.
 */
uint64_t pick_dials_again(const struct pick_demand *d);
/*
 * How many idle connections to close, so that max_idle of them remain and min_connections in all.
 */
unsigned pick_surplus(
	unsigned idle, unsigned max_idle, unsigned connections, unsigned min_connections);

#endif
