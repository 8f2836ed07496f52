/*
 * client.h - what fuzz_h1_client.c and fuzz_h2_client.c share: a connection
 * whose server and whose owner are both driven by the input. Bytes come in,
 * requests begin, are fed and cancelled, reads are cut, writes refused,
 * memory and time run out. What the API promises is checked at every step; at
 * the end every request was told its end once and no memory is left.
 *
 * The input: one byte of options, then steps. The two top bits of a step's
 * first byte say whose it is: the server's, the owner's, the world's (time,
 * memory, the socket), or the loop's turn.
 */
#ifndef CC_FUZZ_CLIENT_H
#define CC_FUZZ_CLIENT_H

#include <stddef.h>
#include <stdint.h>

#define FUZZ_REQUESTS 8u

/* The part of the input that is not played yet. */
struct script {
	const uint8_t *p;
	size_t n;
};

uint8_t take(struct script *s); /* 0 behind the end */
struct script take_some(struct script *s, size_t n);

/* What the server says next. */
void say(const void *p, size_t n);

struct fuzz_client {
	unsigned offer; /* CC_OFFER_* */
	void (*server_step)(struct script *s, uint8_t what);
	/* What the connection sends, in pieces; fails when it is not the protocol. */
	void (*begin)(void);
	void (*hear)(const void *p, size_t n);
	void (*end)(void);
};

int fuzz_client(const struct fuzz_client *kind, const uint8_t *bytes, size_t n);

#endif
