/*
 * dns.h - a DNS server on 127.0.0.1 in the loop of a test. It gives the same
 * answer to every question of a type, by UDP and TCP.
 */
#ifndef TESTS_DNS_H
#define TESTS_DNS_H

#include <stdbool.h>
#include <stdint.h>

struct event;
struct event_base;

enum { RCODE_OK = 0, RCODE_NXDOMAIN = 3 };

struct dns {
	char address[32]; /* for resolver_set_servers */
	unsigned rcode;
	const char *a[4], *aaaa[4]; /* as many as are not NULL */
	uint32_t a_ttl[4];
	bool silent;   /* hears and says nothing */
	bool truncate; /* by UDP: asks to come again by TCP */
	unsigned asked, asked_by_tcp;

	struct event_base *base;
	int udp, tcp, conn;
	struct event *on_udp, *on_tcp, *on_conn;
};

struct dns *dns_new(struct event_base *base);
void dns_free(struct dns *d);

#endif
