/* origin_int.h - what the parts of the test origin share. */
#ifndef DAEMON_ORIGIN_INT_H
#define DAEMON_ORIGIN_INT_H

#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/daemon/origin.h"

/* Check's assertions are for the test's own thread; what breaks here ends the process. */
#define MUST(condition)                                                                            \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "test origin: not so: %s\n", #condition);                  \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

struct bytes {
	char *p;
	size_t n, cap;
};

void bytes_add(struct bytes *b, const void *data, size_t n);
void bytes_drain(struct bytes *b, size_t n);

struct origin {
	struct origin_opts opts;
	SSL_CTX *tls;
	int listener, stop; /* stop: an eventfd, readable once the origin ends */
	unsigned port;
	pthread_t acceptor;
	pthread_mutex_t lock;      /* over all below */
	struct origin_conn *conns; /* all that ever were; freed by origin_stop */
	struct origin_counts counts;
	struct bytes seen;
	bool refused;         /* /refuse-once had its turn */
	unsigned char *times; /* by nonce: carried out so often */
	unsigned goaways;     /* asked for so far */
	bool released;        /* nothing is held any more */
};

struct origin_conn {
	struct origin_conn *next;
	struct origin *origin;
	pthread_t thread;
	int fd; /* -1 once closed; under the origin's lock */
	SSL *ssl;
	bool h2;
	unsigned number;
	int wake;        /* an eventfd: look at the origin's settings again */
	struct bytes in; /* read, not yet used (HTTP/1) */
};

void origin_count_request(struct origin *o);
bool origin_released(struct origin *o);
bool oc_fill(struct origin_conn *oc); /* reads some more into in; false: EOF or failed */

/* How the answer to one request goes, whatever the HTTP version. */
enum plan_text { TEXT_PATTERN, TEXT_OK, TEXT_SHA, TEXT_ECHO, TEXT_HEAD };
enum plan_stop { STOP_NEVER, STOP_CLOSE, STOP_RESET, STOP_REFUSE, STOP_STALL, STOP_GARBAGE };

struct plan {
	unsigned status;
	enum plan_text text;
	uint64_t length;     /* of the body */
	bool declared;       /* Content-Length is sent */
	enum plan_stop stop; /* what goes wrong */
	bool stop_before_head;
	uint64_t stop_at;             /* body bytes, when not before the head */
	unsigned number;              /* of the request, from 1 on */
	unsigned nonce;               /* counted, one more than it; 0: none */
	unsigned delay, pace, linger; /* ms: before the head, between KiBs, after the answer */
	bool hints, go_on, early, last, vanish, until_eof, trailers, hop, hold;
};

void plan_make(struct plan *p, struct origin *o, const char *path);
/* The request is complete and was taken: it is carried out. */
void plan_execute(const struct plan *p, struct origin *o);
/*
 * The head and the body are complete: the text to send, owned by the caller (empty for a pattern).
 */
void plan_text(struct plan *p, const struct bytes *head, const struct bytes *body, EVP_MD_CTX *sha,
	struct bytes *out);
/* Takes body bytes in: into the hash, and into body if it will be sent back. */
void plan_body(
	const struct plan *p, EVP_MD_CTX *sha, struct bytes *body, const void *data, size_t n);

EVP_MD_CTX *sha_new(void);
void sha_hex(EVP_MD_CTX *sha, char hex[65]);

void origin_h1_serve(struct origin_conn *oc);
void origin_h2_serve(struct origin_conn *oc);

#endif
