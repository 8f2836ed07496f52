/*
 * race.h - of several addresses the first that connects (RFC 8305 section 5):
 * the next attempt begins when a while has passed or an earlier one failed.
 */
#ifndef CC_RACE_H
#define CC_RACE_H

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/timer.h"
#include "lib/net/resolve.h"

struct attempt;
struct cc_ctx;

struct race_opts {                 /* how the sockets are made */
	uint64_t delay;            /* ms between attempts */
	uint64_t tcp_keepalive;    /* ms idle before the first probe; 0: off */
	uint64_t tcp_user_timeout; /* ms; 0: the kernel's */
	struct address bind;       /* where from; len 0: any */
	char interface[IFNAMSIZ];  /* "": any */
};

#define RACE_TEXT 448 /* of race_text */

/* Embed it. The strings are the embedder's and outlive it. */
struct race {
	struct cc_ctx *ctx;
	struct race_opts opts;
	const char *word; /* what the server is, before its address in a detail: "proxy " or "" */
	const char *host; /* its name; NULL: a number or a Unix socket */
	/*
	 * Once, also from within race_start. err 0: fd is connected and the receiver's.
	 * Else CC_ECONNECT, CC_EMFILE or CC_ENOMEM, and detail is a sentence.
	 */
	void (*done)(struct race *r, int err, int fd);

	struct attempt *attempts;
	unsigned count, next, running;
	unsigned won;    /* index of the attempt that connected */
	bool out_of_fds; /* an address could not be tried */
	bool over;       /* one did */
	struct timer timer;
	char detail[768]; /* a name of 253 bytes may be in it */
};

void race_init(struct race *r, struct cc_ctx *ctx, void (*done)(struct race *r, int err, int fd));
/* In the order of order_addresses, 1 <= n <= RESOLVE_MAX. Each race is started once. */
void race_start(struct race *r, const struct address *addrs, unsigned n);
/* Those that had their time count as failed; detail tells that ms were not enough. */
void race_time_out(struct race *r, uint64_t ms);
void race_stop(struct race *r);  /* done does not come any more; the addresses stay known */
void race_clear(struct race *r); /* stopped before, or never started */

/* "name (address)" or "address" of the winner, the first one if there is none; the word before. */
void race_text(const struct race *r, char *buf, size_t size);

/* The address alone of the winner, "" if there is none. */
void race_address(const struct race *r, char *buf, size_t size);
/* When connecting to this address last failed in the context, ms; 0: never, or connected since. */
uint64_t race_failed_at(const struct cc_ctx *ctx, const struct address *a);

/* Gives back what races hung on the context: the addresses that failed. */
void race_ctx_clear(struct cc_ctx *ctx);

#endif
