/*
 * dns.h - a DNS server on 127.0.0.1 in the loop of a test. It gives the same
 * answer to every question of a type, unless a name is told apart, by UDP and TCP.
 */
#ifndef TESTS_DNS_H
#define TESTS_DNS_H

#include <stdbool.h>
#include <stdint.h>

struct event;
struct event_base;

enum { RCODE_OK = 0, RCODE_SERVFAIL = 2, RCODE_NXDOMAIN = 3 };

#define DNS_MAX 24 /* records that fit into an answer by UDP */

struct dns_srv { /* RFC 2782 */
	const char *host;
	uint16_t port, priority, weight;
	uint32_t ttl;
};

struct dns_host { /* answers of its own */
	const char *name, *a;
	bool broken; /* SERVFAIL */
};

/* Everything may be changed between two answers. */
struct dns {
	char address[32]; /* for resolver_set_servers */
	unsigned rcode;
	const char *a[DNS_MAX], *aaaa[4]; /* as many as are not NULL */
	uint32_t a_ttl[DNS_MAX];
	const char *cname; /* whose the addresses are; NULL: of the name that was asked for */
	uint32_t cname_ttl;
	struct dns_srv srv[4];    /* as many as have a host */
	struct dns_host hosts[4]; /* whose address is not in a; a NULL: there is no such name */
	bool silent;              /* hears and says nothing */
	bool truncate;            /* by UDP: asks to come again by TCP */
	unsigned asked, asked_by_tcp;
	unsigned asked_a, asked_aaaa, asked_srv; /* by UDP */
	char name[256];                          /* that was asked for last */

	struct event_base *base;
	int udp, tcp, conn;
	struct event *on_udp, *on_tcp, *on_conn;
};

struct dns *dns_new(struct event_base *base); /* on a free port */
struct dns *dns_new_at(struct event_base *base, uint16_t port);
void dns_free(struct dns *d);

#endif
