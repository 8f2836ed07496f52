/*
 * model.h - what a client connection promises, kept as a few numbers beside it.
 *
 * The model knows what was asked of the connection and what the automatic
 * peer heard and said, and nothing of how the library works. The driver
 * (random.c) tells it each public call; each callback reports to it.
 */
#ifndef TESTS_MODEL_H
#define TESTS_MODEL_H

#include "tests/conn/auto_peer.h"
#include "tests/conn/fixture.h"

#define WANTS_MAX 96

struct model;

struct want { /* one accepted round trip */
	struct model *m;
	struct cc_req *req; /* NULL: over */
	uint32_t token;
	unsigned flags;
	bool reserved;
	bool cancelled, done;
	bool eos;
	bool eos_late; /* within a callback: the answer may end before that leaves */
	bool head_request;
	size_t sent;     /* body bytes handed over */
	size_t promised; /* Content-Length; SIZE_MAX: none */
	bool trailers;
	unsigned infos, heads, status;
	bool idle_408; /* the head is of nobody's request */
	size_t got, owed, left;
	struct cc_result result;
};

enum excuse { EXCUSE_NONE, EXCUSE_DRAIN, EXCUSE_DEAD }; /* why a request may fail */

struct model {
	struct client *client;
	struct cc_conn *conn; /* NULL: freed */
	struct auto_peer *peer;
	uint64_t seed;
	unsigned op;
	bool loud; /* tells what it does: one seed is looked at */
	bool h2, in_call;
	struct want wants[WANTS_MAX];
	unsigned count;
	uint32_t reserved;
	uint32_t cap; /* of requests at once, our own */
	uint64_t max_requests;
	enum excuse excuse; /* by what the driver did */
	bool ended;         /* close or free was called */

	enum cc_state state; /* as last seen */
	enum cc_reason reason;
	uint64_t completed;
	uint32_t available; /* when the hook was last told or the caller last called */

	bool hooked;
	bool closed_told; /* to any hook: nothing comes after it */
	uint64_t told_completed;
	enum cc_state told_state;
	bool nested;                     /* the driver calls from a callback */
	void (*within)(struct model *m); /* the driver's chance to call in from a callback */
};

extern const struct cc_req_ops model_ops;
void model_hook(struct cc_conn *conn, void *arg);

/* After every public call and in every hook. */
void model_check(struct model *m);
/* When nothing moves any more. */
void model_check_still(struct model *m);
/* When the peer has read all that will come. */
void model_check_end(struct model *m);

unsigned model_live(const struct model *m);
enum excuse model_excuse(const struct model *m);

/* A line for who looks at one seed. */
void model_tell(const struct model *m, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define claim(m, cond, ...)                                                                        \
	do {                                                                                       \
		if (!(cond))                                                                       \
			model_fail(m, __LINE__, #cond, __VA_ARGS__);                               \
	} while (0)
_Noreturn void model_fail(const struct model *m, int line, const char *cond, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

#endif
