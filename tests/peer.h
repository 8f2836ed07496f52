/*
 * peer.h - the other end of a connection, scripted: it listens in the loop of
 * the test, says exactly what the test tells it, and fails the test when it
 * does not get what the test expects.
 *
 *	struct peer *p = peer_unix(base);
 *	... the code under test connects to p->address ...
 *	peer_expect(p, "GET / HTTP/1.1\r\n");
 *	peer_say(p, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
 *	peer_free(p);
 *
 * All calls run the loop until they have what they wait for, PEER_WAIT_MAX
 * seconds at most. There is one connection at a time; peer_next() makes
 * room for another. Frames of HTTP/2 are made by hand, so that wrong ones
 * can be made as well.
 */
#ifndef TESTS_PEER_H
#define TESTS_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <check.h>
#include <event2/event.h>

#define PEER_WAIT_MAX 60 /* s: then the test has failed */

/* The peer is at work, not the code under test: an allocator that fails spares it. */
extern _Thread_local bool peer_at_work;

struct bio_method_st;
struct nghttp2_hd_inflater;
struct ssl_ctx_st;
struct ssl_st;

enum h2_type {
	H2_DATA,
	H2_HEADERS,
	H2_PRIORITY,
	H2_RST_STREAM,
	H2_SETTINGS,
	H2_PUSH_PROMISE,
	H2_PING,
	H2_GOAWAY,
	H2_WINDOW_UPDATE,
	H2_CONTINUATION
};
enum { H2_END_STREAM = 1, H2_ACK = 1, H2_END_HEADERS = 4 };
enum { H2_MAX_STREAMS = 3, H2_INITIAL_WINDOW = 4 }; /* settings */
enum h2_error {
	H2_NO_ERROR,
	H2_PROTOCOL_ERROR,
	H2_INTERNAL_ERROR,
	H2_FLOW_CONTROL_ERROR,
	H2_SETTINGS_TIMEOUT,
	H2_STREAM_CLOSED,
	H2_FRAME_SIZE_ERROR,
	H2_REFUSED_STREAM,
	H2_CANCEL,
	H2_COMPRESSION_ERROR,
	H2_CONNECT_ERROR,
	H2_ENHANCE_YOUR_CALM
};

struct h2_frame {
	uint8_t type, flags;
	uint32_t stream;
	size_t n;
	unsigned char payload[16384 + 1];
};

struct peer {
	struct event_base *base;
	char address[128]; /* as cc_transport_new_client_conn takes it */
	char dir[64];      /* of the Unix socket, else "" */
	int listener, fd;  /* fd -1: nobody is connected */
	unsigned accepted;
	struct event *on_listen, *on_read;
	struct ssl_ctx_st *tls;
	struct ssl_st *ssl;
	struct bio_method_st *bio;
	char alpn[32]; /* what it speaks in TLS, "" anything */
	bool mute;     /* accepts, and neither reads nor answers, not even TLS */
	bool eof;      /* the client has closed its side */
	int error;     /* errno of the broken connection */
	bool writes;   /* nobody is there: what is sent is appended to tape */
	char *tape;
	size_t tape_len, tape_size;

	char *in; /* received, not yet expected; terminated */
	size_t in_len, in_size;

	struct nghttp2_hd_inflater *inflater;
	struct h2_frame frame;                                    /* the last one waited for */
	char method[32], path[128], authority[128], fields[2048]; /* of the last HEADERS */
};

struct peer *peer_unix(struct event_base *base);
struct peer *peer_tcp(struct event_base *base);
void peer_free(struct peer *p);

/* TLS with that certificate; alpn "h2", "http/1.1", or "" for none. */
void peer_use_tls(struct peer *p, struct ssl_ctx_st *tls, const char *alpn);
/* A self-signed certificate: name "DNS:localhost", "IP:127.0.0.1"; valid until days from now. */
struct ssl_ctx_st *peer_tls_server(const char *name, int days);
/* A client that trusts the certificate of server; NULL: that trusts none. */
struct ssl_ctx_st *peer_tls_client(struct ssl_ctx_st *server);

/* Runs the loop until cond is true. */
#define until(base, cond)                                                                          \
	do {                                                                                       \
		bool until_expired = false;                                                        \
		struct event *until_guard = peer_guard_begin(base, &until_expired);                \
		while (!(cond) && !until_expired)                                                  \
			event_base_loop(base, EVLOOP_ONCE);                                        \
		event_free(until_guard);                                                           \
		ck_assert_msg(cond, "waited too long for: %s", #cond);                             \
	} while (0)
struct event *peer_guard_begin(struct event_base *base, bool *expired);
/* Runs n turns of the loop without waiting. */
void turns(struct event_base *base, int n);

/* ---- bytes ------------------------------------------------------------ */

void peer_accept(struct peer *p); /* waits for a connection, and for its handshake */
void peer_expect(struct peer *p, const char *text); /* exactly these bytes come next */
/* The next message head, up to and with its empty line, taken out of in. */
void peer_head(struct peer *p, char *buf, size_t size);
void peer_say(struct peer *p, const char *text);
void peer_send(struct peer *p, const void *data, size_t n);
/* What the client takes now, without running the loop: bytes; -1: nothing, errno tells why. */
ssize_t peer_try(struct peer *p, const void *data, size_t n);
void peer_stall(struct peer *p, bool stalled); /* stops reading; the kernel's buffers fill */
void peer_finish(struct peer *p);              /* close_notify and FIN, goes on reading */
void peer_cut(struct peer *p);                 /* closes without close_notify */
void peer_reset(struct peer *p);               /* RST: TCP only */
void peer_next(struct peer *p);     /* cut, if need be, and ready for another connection */
void peer_wait_eof(struct peer *p); /* the client closed, in whatever way */

/* ---- HTTP/2 ----------------------------------------------------------- */

void h2_send(struct peer *p, enum h2_type type, unsigned flags, uint32_t stream,
	const void *payload, size_t n);
/* Waits for the client's preface, sends a SETTINGS frame (max_streams < 0: an empty one). */
void h2_begin(struct peer *p, int64_t max_streams);
void h2_preface(struct peer *p); /* only waits */
void h2_setting(struct peer *p, unsigned id, uint32_t value);
/* The next frame of that type into p->frame; others before it are dropped. */
void h2_wait(struct peer *p, enum h2_type type);
void h2_wait_any(struct peer *p); /* the next frame, whatever it is */
/* The next HEADERS, decoded into method, path, fields ("name: value\n"). Returns the stream. */
uint32_t h2_request(struct peer *p);
/* fields: "name: value\n" each, or NULL. */
void h2_respond(struct peer *p, uint32_t stream, int status, const char *fields, bool end);
void h2_data(struct peer *p, uint32_t stream, const char *text, bool end);
void h2_answer(struct peer *p, uint32_t stream, int status, const char *text); /* all of it */
void h2_reset(struct peer *p, uint32_t stream, enum h2_error code);
void h2_goaway(struct peer *p, uint32_t last, enum h2_error code);
/* A 32 bit number of p->frame. */
uint32_t h2_u32(const struct peer *p, size_t at);

#endif
