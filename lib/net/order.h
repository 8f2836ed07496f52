/*
 * order.h - in which order the addresses of a server are tried, and the memory
 * of those that failed a moment ago. Pure: the caller says what time it is.
 */
#ifndef CC_ORDER_H
#define CC_ORDER_H

#include <stdint.h>
#include <sys/socket.h>

#include "lib/net/resolve.h"

#define FAILED_MAX 64u    /* addresses remembered; a further one replaces the oldest */
#define FAILED_FOR 60000u /* ms */

/*
 * Filled with what failed to connect and with nothing else. An address that
 * was merely overtaken in the race is not in it: it may be a good one that is
 * a little further away, and RFC 8305 wants it tried again.
 */
struct failed {
	unsigned count;
	struct {
		struct address addr;
		uint64_t since; /* ms */
	} entries[FAILED_MAX];
};

void failed_add(struct failed *f, const struct address *a, uint64_t now);
void failed_remove(struct failed *f, const struct address *a);       /* it connected */
uint64_t failed_at(const struct failed *f, const struct address *a); /* ms; 0: it did not */

/*
 * RFC 8305 section 4: the families alternate, that of the first address
 * begins, each in its own order. Those that failed follow behind all others, in an order made the
 * same way: last, but never left out. Only addresses of that family are
 * taken, AF_UNSPEC: all. Puts their indices into order and returns how many. f may be NULL;
 * n <= RESOLVE_MAX.
 */
unsigned order_addresses(const struct address *addrs, unsigned n, sa_family_t family,
	const struct failed *f, uint64_t now, uint8_t order[RESOLVE_MAX]);

/*
 * RFC 2782: services in the order to contact them, lowest priority first, those of equal
 * priority drawn by their weights. chance(arg, n): any number up to n, n included.
 * n <= SERVICES_MAX.
 */
void order_services(
	struct service *services, unsigned n, uint32_t (*chance)(void *arg, uint32_t n), void *arg);

#endif
