/*
 * auto_peer.h - a server that answers by itself, well or badly, as its own
 * random numbers tell it, and that remembers what it received.
 *
 * It sits on the socket of a struct peer and moves only in auto_peer_step(), so
 * that one seed gives one course of events. Each request names a token in
 * its path; the token comes back in the answer, and the bytes of both bodies
 * follow from it.
 */
#ifndef TESTS_AUTO_PEER_H
#define TESTS_AUTO_PEER_H

#include "tests/peer.h"

struct nghttp2_session;

/* ---- random numbers, the same on every machine --------------------------- */

struct dice {
	uint64_t state;
};
uint64_t roll(struct dice *d);
unsigned below(struct dice *d, unsigned n); /* 0 to n - 1 */
bool chance(struct dice *d, unsigned percent);

/* Byte i of the body that belongs to token; requests and answers differ. */
enum side { SIDE_REQUEST, SIDE_ANSWER };
void token_bytes(uint32_t token, enum side side, size_t from, unsigned char *to, size_t n);
bool token_matches(
	uint32_t token, enum side side, size_t from, const unsigned char *bytes, size_t n);

/* ---- what it does with a request ------------------------------------------ */

enum framing { FRAMED_LENGTH, FRAMED_CHUNKED, FRAMED_CLOSE, FRAMED_NONE };

enum fault {
	FAULT_NONE,
	FAULT_CUT,     /* h1: the connection ends within the answer */
	FAULT_GARBAGE, /* h1: not HTTP */
	FAULT_SURPLUS, /* h1: bytes behind the answer, which is whole */
	FAULT_RESET,   /* h2: RST_STREAM after cut body bytes, or before the head */
	FAULT_SHORT    /* h2: less than Content-Length said */
};

struct plan {
	unsigned status, infos;
	enum framing framing;
	size_t length; /* of the body */
	bool early;    /* does not wait for the end of the request */
	bool hold;     /* waits until it is let go */
	bool close;    /* Connection: close */
	bool old;      /* HTTP/1.0 */
	bool trailers;
	enum fault fault;
	bool before_head; /* FAULT_RESET */
	size_t cut;
	uint32_t code; /* of FAULT_RESET */
};

struct heard { /* a request that came */
	uint32_t token;
	int32_t stream;
	unsigned times; /* must stay 1 */
	bool head_request, bodyless;
	bool ended;   /* the request came to its end */
	bool refused; /* by RST_STREAM(REFUSED_STREAM) or a GOAWAY below it */
	bool begun;   /* the answer */
	bool done;    /* all of the answer is on its way */
	bool reset;   /* RST_STREAM is on its way */
	bool closed;  /* HTTP/2 */
	bool trailers;
	size_t body, sent;
	struct plan plan;
};

#define HEARD_MAX 128

struct auto_peer {
	struct peer *peer;
	struct dice dice;
	unsigned fault_percent;
	bool h2;
	bool stalled;        /* does nothing with what it reads */
	bool muted;          /* does not even read */
	bool good;           /* no more faults and holds */
	bool gone;           /* closed its end */
	bool asked_to_leave; /* said Connection: close or the like */
	bool spoilt;         /* broke the protocol */
	struct heard heard[HEARD_MAX];
	unsigned count;
	unsigned started; /* requests of which a byte came */

	char *out;
	size_t out_len, out_at, out_size, pause_at;

	/* HTTP/1 */
	int parse;
	size_t left; /* of the body or chunk */
	struct heard *current, *answering;
	bool finish, cut; /* when out is empty */
	bool unasked;     /* sent bytes that nobody asked for */

	/* HTTP/2 */
	struct nghttp2_session *session;
	size_t scanned, preface;
	int32_t last_stream, last_goaway;
	uint32_t max_streams; /* as last sent; UINT32_MAX: never named */
	bool settings_unacked, greeted;
	bool broken; /* said GOAWAY with an error, and goes on all the same */
};

/* Ready for the next connection; what was before is forgotten. */
void auto_peer_begin(struct auto_peer *a, struct peer *peer, bool h2, uint64_t seed);
void auto_peer_end(struct auto_peer *a);
/* Reads, thinks, writes a piece. Did anything move? */
bool auto_peer_step(struct auto_peer *a);
void auto_peer_mute(struct auto_peer *a, bool muted);
void auto_peer_let_go(struct auto_peer *a);
/* From now on it answers everything as it should. */
void auto_peer_behave(struct auto_peer *a);
void auto_peer_hang_up(struct auto_peer *a, bool half);
struct heard *auto_peer_find(struct auto_peer *a, uint32_t token);
/* Something that no client asks for; false: there is no room for it now. */
bool auto_peer_disturb(struct auto_peer *a);
/* HTTP/2. */
void auto_peer_settings(struct auto_peer *a, uint32_t max_streams);
void auto_peer_goaway(struct auto_peer *a);
void auto_peer_reset(struct auto_peer *a);

/* ---- between its files ------------------------------------------------------ */

void auto_out(struct auto_peer *a, const void *data, size_t n);
struct heard *auto_hear(struct auto_peer *a, uint32_t token);
void auto_plan(struct auto_peer *a, struct heard *h);
void auto_body(struct heard *h, const char *bytes, size_t n);
void h1_think(struct auto_peer *a);
void h1_wrote(struct auto_peer *a);
bool h1_disturb(struct auto_peer *a);
void h2_start(struct auto_peer *a);
void h2_think(struct auto_peer *a);
void h2_behave(struct auto_peer *a);
bool h2_disturb(struct auto_peer *a);
void h2_stop(struct auto_peer *a);

#endif
