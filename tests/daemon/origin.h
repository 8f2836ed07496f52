/*
 * origin.h - an HTTP server inside the test program that behaves as the test wants.
 *
 * A thread accepts, on a free port of 127.0.0.1 unless told else, and each connection has a
 * thread of its own, so behaviours are written straight down with blocking
 * calls. The built-in server speaks HTTP/1.1 or HTTP/2, in clear or over TLS, and does what
 * the path of the request says:
 *
 *   /bytes/N          N bytes of pattern, Content-Length
 *   /chunked/N        the same without Content-Length
 *   /until-eof/N      the same, ended by closing (HTTP/1)
 *   /sha              SHA-256 of the request's body, in hex
 *   /echo             the request's body
 *   /head             the request's head as it came
 *   /status/S         status S; a body "status\n" unless S has none
 *   /slow/MS          answers after MS milliseconds
 *   /hold/N           N bytes, once the test has said so (origin_release)
 *   /drip/N/MS        N KiB, one every MS milliseconds
 *   /hints            103 with a Link field, then 200
 *   /continue         100 as soon as the head is there, then as /sha
 *   /early            413 without reading the body
 *   /early-drain/MS   413 at once, takes the body for MS more, then closes
 *   /trailers         a body and a trailer field x-checksum
 *   /hop              fields that must not be forwarded (HTTP/1)
 *   /close-after      answers, then Connection: close or GOAWAY
 *   /vanish           answers, then closes without having said so
 *   /hangup           closes without an answer
 *   /reset            resets instead of an answer (TCP RST, RST_STREAM)
 *   /refuse-once      the first such request gets REFUSED_STREAM (HTTP/2), others 200
 *   /refuse           REFUSED_STREAM always (HTTP/2), a reset (HTTP/1)
 *   /garbage          bytes that are not HTTP
 *   /stall            never answers
 *   /once/N           200; that N was carried out is counted (origin_times)
 *   /once-held/N      the same, answered as /hold is
 *   /stall-body/N     half of N bytes, then silence
 *   /cut/N            half of N bytes declared by Content-Length, then as /reset or close
 *   /cut-chunked/N    half of N bytes without Content-Length, then as above
 *
 * Anything else is answered 200 "ok\n". Every answer carries x-origin: NAME and the number of its
 * connection, from 1 on, in x-conn, and that of the request in
 * x-number.
 */
#ifndef DAEMON_ORIGIN_H
#define DAEMON_ORIGIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "tests/programs.h"

struct origin;
struct origin_conn;

struct origin_opts {
	bool tls, h2;
	unsigned max_streams; /* HTTP/2: 0 means 100 */
	const char *name;     /* NULL: "origin" */
	const char *address;  /* NULL: 127.0.0.1 */
	unsigned port;        /* 0: a free one */
	/* GOAWAY or Connection: close with so many requests; 0: never. */
	unsigned retire_after;
	bool gently;          /* HTTP/2: two GOAWAYs, as RFC 9113 6.8 advises */
	bool flips;           /* HTTP/2 over TLS: every other connection is HTTP/1 (ALPN) */
	unsigned settle_late; /* HTTP/2: ms before its SETTINGS and all else */
	unsigned greet_late;  /* ms that a connection waits for its handshake */
	unsigned nonces;      /* /once/0 to one less are counted */
	/* Instead of the built-in server; the connection closes when it returns. */
	void (*serve)(struct origin_conn *oc);
};

struct origin_counts {
	unsigned accepted;                  /* connections since the start */
	unsigned open, peak;                /* now, and the most at one time */
	unsigned requests;                  /* heads that came (built-in server) */
	unsigned ungreeted, ungreeted_peak; /* wait for their handshake (greet_late) */
	unsigned resumed;                   /* handshakes with an earlier session */
};

/* certs: folder with server.pem and server.key, needed for tls. Ends the process when it cannot. */
struct origin *origin_start(const struct origin_opts *opts, const char *certs);
void origin_stop(struct origin *o); /* cuts what is open */
unsigned origin_port(const struct origin *o);
/* Takes no more connections: the next ones are refused, those that are open stay. */
void origin_refuse(struct origin *o);
void origin_kill(struct origin *o);    /* resets every connection, at once */
void origin_hang_up(struct origin *o); /* closes them, as after an idle time */
/* HTTP/2: on the connections that are open, and on later ones. */
void origin_set_max_streams(struct origin *o, unsigned n);
void origin_goaway(struct origin *o);
void origin_release(struct origin *o); /* what /hold holds, now and later */
/* How often /once/N was carried out. */
unsigned origin_times(struct origin *o, unsigned n);
bool origin_is_tls(const struct origin *o);
bool origin_is_h2(const struct origin *o);
struct origin_counts origin_counts(struct origin *o);
/* Did these bytes come in, on any connection (HTTP/1, in clear after decryption)? */
bool origin_saw(struct origin *o, const char *text);

/* ---- for serve functions ---- */

ssize_t oc_read(struct origin_conn *oc, void *buf, size_t n); /* 0: EOF, -1: failed */
bool oc_write(struct origin_conn *oc, const void *data, size_t n);
bool oc_say(struct origin_conn *oc, const char *text);
bool oc_read_head(struct origin_conn *oc);         /* up to the empty line; false: EOF before it */
bool oc_await(struct origin_conn *oc);             /* bytes came; they are left where they are */
bool oc_wait(struct origin_conn *oc, unsigned ms); /* false: the origin is being stopped */
void oc_wait_hangup(struct origin_conn *oc); /* until the peer closes or the origin is stopped */
void oc_ignore_body(struct origin_conn *oc); /* as serve: one head, then oc_wait_hangup */
void oc_reset(struct origin_conn *oc);       /* a TCP RST, now */
void oc_shut(struct origin_conn *oc);        /* says its end, can still read; in clear */
void oc_vanish(struct origin_conn *oc);      /* the close will be without TLS's close_notify */

/* HTTP/2, byte by byte; false: the connection is at its end. */
bool oc_read_exactly(struct origin_conn *oc, void *buf, size_t n);
bool oc_say_frame(struct origin_conn *oc, uint8_t type, uint8_t flags, uint32_t stream,
	const void *payload, uint8_t n);
bool oc_h2_greet(struct origin_conn *oc);       /* preface and settings (RFC 9113 3.4) */
uint32_t oc_h2_request(struct origin_conn *oc); /* the stream of the next one, 0: the end */
bool oc_say_goaway(struct origin_conn *oc, uint32_t last, uint8_t code);

/* SHA-256 of the first n bytes of all generated bodies (pattern_fill). */
void pattern_sha(uint64_t n, char hex[65]);

#endif
