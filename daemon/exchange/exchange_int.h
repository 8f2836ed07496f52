/*
 * exchange_int.h - what the parts of an exchange share: exchange.c moves it, exchange_time.c
 * limits it, exchange_end.c ends it.
 */
#ifndef EXCHANGE_INT_H
#define EXCHANGE_INT_H

#include "daemon/base/conf.h"
#include "daemon/base/local_reply.h"
#include "daemon/exchange/exchange.h"
#include "daemon/pool/pool.h"
#include "lib/base/turn.h"

enum exchange_state { EX_WAITING, EX_PAUSED, EX_SENDING, EX_RESPONDING, EX_LOCAL_REPLY, EX_DONE };
enum ending { END_OK, END_CUT, END_LOCAL_REPLY, END_ABANDONED };

struct exchange {
	struct exchange_env *env;
	const struct stream_ops *ops; /* NULL: the client is gone, or heard the end */
	void *stream;
	enum exchange_state state;
	struct pool *pool; /* counted by pool_use; NULL: none chosen */
	struct waiter waiter;
	struct cc_req *req;       /* NULL: no attempt runs */
	struct cc_head *head;     /* as it is sent; kept for a retry and the access line */
	size_t base;              /* bytes of its path that are the upstream's base path */
	struct cc_head *trailers; /* of the request */
	struct cc_buf pending;    /* body that no attempt has taken */
	struct cc_buf kept;       /* body from its beginning, while replayable */
	bool replayable;
	bool body_end; /* the client sent all of it */
	bool expects;  /* waits for 100, and has not got one */
	bool room_wanted;
	bool reused, multiplexed, before_settings; /* of the attempt: see struct retry_facts */
	bool maybe_processed; /* an attempt that ended may have been processed */
	unsigned attempts;
	unsigned infos;       /* 1xx passed on */
	struct pool_conn *pc; /* that req is on */
	uint64_t conn_id;
	struct timer timer; /* response_timeout, body_idle_timeout or a pause, by state */
	uint64_t activity;  /* ms: last read or write of a body */
	struct timer total; /* total_timeout, or less if the client said so */
	uint64_t total_ms;  /* 0: none */
	bool total_of_client;
	struct timer continue_timer;
	struct turn_item turn;     /* local reply, then the memory */
	uint64_t began;            /* us */
	uint64_t asked, sent;      /* us: for a connection, on it; of the last attempt */
	uint64_t received;         /* bytes of the response's body */
	unsigned status;           /* of the response, 0: none */
	enum reject_reason reason; /* of the local reply */
	struct cc_head *reply;     /* local reply */
	struct cc_buf reply_body;
};

/* Everything stops; the memory goes back at the end of the turn. */
void exchange_finish(struct exchange *ex, enum ending end);
/* Finishes, and the client hears that what it got is not whole. */
void exchange_cut(struct exchange *ex);
/*
 * A local reply instead of the upstream's response. Comes from the turn, so that no caller of ours
 * is called back from inside its call.
 */
void exchange_reply(struct exchange *ex, const struct local_reply *given);
struct local_reply exchange_about(const struct exchange *ex, enum reject_reason reason,
	unsigned status, const char *error, const char *detail);
struct local_reply exchange_no_memory(const struct exchange *ex);
void exchange_free_run(struct turn_item *item); /* in ex->turn when nothing else is */

#endif
