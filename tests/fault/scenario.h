/*
 * scenario.h - exchanges written down beforehand, to be run again and again
 * while something else breaks each time.
 *
 *	struct scenario *s = scenario_new(SCENARIO_H1_POST);
 *	struct run r;
 *	run_begin(&r, s, &way);        the client dials, its requests are submitted
 *	run_until_over(&r);            the peer answers, until every request has ended
 *	... r.probes[i] is what became of them, r.origin what the peer saw of them ...
 *	run_end(&r);                   closed, told exactly once, nothing left
 */
#ifndef TESTS_FAULT_SCENARIO_H
#define TESTS_FAULT_SCENARIO_H

#include "tests/conn/fixture.h"
#include "tests/fault/io_faults.h"

#define ASKS_MAX  3
#define STEPS_MAX 64
#define NEVER     SIZE_MAX

enum scenario_id {
	SCENARIO_H1_GET,
	SCENARIO_H1_TWO,         /* the second one waits its turn; chunks and trailers */
	SCENARIO_H1_POST,        /* chunks and trailers, 1xx before the answer */
	SCENARIO_H1_EMPTY,       /* 204, then Connection: close */
	SCENARIO_H1_UNTIL_CLOSE, /* a body that ends with the connection */
	SCENARIO_H1_LARGE,       /* more than 300 KB in both directions */
	SCENARIO_H2_GET,
	SCENARIO_H2_POST, /* trailers in both directions, 1xx */
	SCENARIO_H2_TWO,  /* their answers interleave */
	SCENARIO_H2_GOAWAY,
	SCENARIO_H2_RESET, /* refused, reset, and one that is answered */
	SCENARIO_H2_LARGE,
	SCENARIO_COUNT
};

struct ask { /* a request; what comes of it is in the probe of the run */
	const char *method, *fields;
	const char *body;     /* NULL: the head is all there is */
	const char *trailers; /* NULL: none */
	const char *ends;     /* HTTP/1: with these bytes it ends on the wire */
	bool refused;         /* the peer says that it did not act on it */
	/* After so many bytes of the peer its head, and all of its answer, are there. */
	size_t head_at, end_at;
};

enum wait_for { FOR_REQUESTS, FOR_CREDIT };

struct step { /* of the peer: waits for so many, then says its part of the tape */
	enum wait_for wait;
	size_t n, from;
};

struct scenario {
	const char *name;
	bool h2;
	bool until_close; /* behind the last step it closes */
	size_t window;    /* of the client's transport, 0: the default */
	struct ask asks[ASKS_MAX];
	unsigned asks_n, steps_n;
	struct step steps[STEPS_MAX];
	struct peer pen; /* its tape is what the peer says */
	char *large;
};

struct scenario *scenario_new(enum scenario_id id);
void scenario_free(struct scenario *s);

enum cut { CUT_NONE, CUT_FIN, CUT_CLOSE_NOTIFY, CUT_RST };

struct way {           /* of one run */
	bool tls, tcp; /* else in clear, on a Unix socket */
	struct ssl_ctx_st *server, *trust;
	bool io;              /* io_faults are in force */
	unsigned long oom_at; /* which allocation of the context fails, 0: none, */
	bool oom_on;          /* and all behind it */
	bool by_name;         /* tcp: the address is a name */
	bool reserve;         /* the first request has reserved its slot */
	bool give_up;         /* the first request is cancelled when its body begins */
	enum cut cut;         /* how the peer leaves, */
	size_t cut_at;        /* behind how many bytes of the tape */
};

struct origin {              /* what the peer saw */
	size_t at;           /* bytes of peer->in that were looked at */
	size_t begin;        /* HTTP/1: of the request that is coming in */
	size_t requests;     /* complete ones */
	bool seen[ASKS_MAX]; /* at least one byte of it */
	size_t credit;       /* WINDOW_UPDATE of streams */
	bool torn;           /* HTTP/2: the last bytes may be those of a HEADERS frame, or not */
	unsigned step;
	size_t said; /* bytes of the tape */
	bool over;   /* it has left, or nobody listens any more */
};

struct run {
	const struct scenario *s;
	struct way way;
	struct client c;
	struct origin origin;
	struct probe probes[ASKS_MAX];
	int refused[ASKS_MAX]; /* the call that failed, or one before it; then no callback comes */
	int conn_err;          /* before we closed it ourselves */
	char detail[160];
	bool dialled; /* there is a connection */
};

/* Two-sided TLS for the ways that want it; freed by the caller. */
struct way way_tls(void);
void way_free(struct way *w);

void run_begin(struct run *r, const struct scenario *s, const struct way *way);
/* One turn of the loop, and what the peer says to it. */
void run_turn(struct run *r);
bool run_is_over(const struct run *r);
void run_until_over(struct run *r);
/* Closes; the hook must have heard of it exactly once, and no memory may be left. */
void run_end(struct run *r);
void run_forget(struct run *r); /* bodies */

/* Did request i end as in that other run? */
bool run_is_same(const struct run *r, const struct run *as, unsigned i);
/*
 * Every request is whole, as in that other run, or an error that does not lie: one of which the
 * peer saw a byte is not called unprocessed, unless the peer says that it was not.
 */
void run_check_ends(const struct run *r, const struct run *whole);

/* Requests that the peer waits for in vain; on HTTP/2 it answers them nevertheless. */
size_t run_never_sent(const struct run *r);

/* Where a run is, in words, for messages. */
const char *run_text(const struct run *r);

#endif
