/*
 * address.h - socket addresses and their text; dial_parse of dial.h lives in
 * the same file. Pure.
 */
#ifndef CC_ADDRESS_H
#define CC_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct address;

void address_unix(struct address *a, const char *path); /* path as dial_parse took it */
/* "192.0.2.1", "2001:db8::1", "fe80::1%eth0". false: not a number, so a name, and a is empty. */
bool address_numeric(struct address *a, const char *host, uint16_t port);
uint16_t address_port(const struct address *a); /* 0: none, or a Unix socket */
/* Family, number, port and zone are the same. false for Unix sockets. */
bool address_same(const struct address *a, const struct address *b);
/* The number alone in network order, 4 or 16 bytes (RFC 1928 5); how many. */
size_t address_bytes(const struct address *a, unsigned char out[16]);
/* "192.0.2.1:80", "[::1]:80", "unix:/path"; port 0 is not written: "::1" */
void address_text(const struct address *a, char *buf, size_t size);

#endif
