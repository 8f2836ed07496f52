/*
 * learn.h - how long a connection may be idle, learned from the server; and how long it may live.
 * Pure.
 *
 * A server closes connections that are idle for its own timeout. A request sent in the moment in
 * which it does so is lost, so the pool should stop using the connection first. It is told the
 * timeout by `Keep-Alive: timeout=`, or sees it when the server closes.
 *
 *	0 ......... learn_limit ... margin ... the server closes
 *	  may carry requests |  ours to close
 *
 * A longer timeout would never be seen that way. So from time to time (learn_watch) one connection,
 * which carries no requests any more, is kept open to see what becomes of it. No request is put
 * at risk for that.
 */
#ifndef LEARN_H
#define LEARN_H

#include <stdbool.h>
#include <stdint.h>

#include <clientconn/head.h>

#define LEARN_NO_HINT UINT64_MAX
#define LEARN_NEVER   UINT64_MAX

struct learn_rules {
	uint64_t idle_timeout; /* ms; 0: none */
	uint64_t margin;       /* ms */
	bool learn;
};

/* What is known of one upstream; zeroed: nothing. */
struct learn {
	uint64_t timeout; /* ms, of the server; 0: not seen */
	uint64_t seen[2]; /* ms idle of the last connections that it closed and that do not agree */
	uint64_t closed_at; /* ms */
	uint64_t watch_at;  /* ms, when to look for a longer one */
	uint64_t pause;     /* ms, from one vain look to the next */
};

/*
 * The server closed a connection that was idle for so long, or a request sent after so long met a
 * connection closed already. Two that agree are needed (of three, if one had another reason): a
 * server that restarts closes connections of any age.
 */
void learn_closed(struct learn *l, uint64_t idle, uint64_t now);
/*
 * The time of idleness after which a connection carries no more requests and is closed, never
 * above idle_timeout; LEARN_NEVER: there is none. hint: what the server said on this connection, in
 * ms.
 */
uint64_t learn_limit(const struct learn *l, const struct learn_rules *r, uint64_t hint);
/*
 * At learn_limit: 0 to close the connection; or it may be kept, unused, until it was idle for so
 * long, to be told by learn_closed or learn_outlived. One connection at a time.
 */
uint64_t learn_watch(const struct learn *l, const struct learn_rules *r, uint64_t now);
void learn_outlived(struct learn *l, uint64_t idle, uint64_t now);

/* The timeout in a field value of Keep-Alive, in ms; LEARN_NO_HINT: there is none. */
uint64_t learn_hint(struct cc_str value);

/*
 * How long one connection may live: drawn once for each from the last jitter percent of max, so
 * that those opened together do not end together. 0: for ever, as max. random: any number.
 */
uint64_t lifetime_draw(uint64_t max, unsigned jitter, uint64_t random);

#endif
