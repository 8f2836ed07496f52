/*
 * clientconn.h - HTTP client connections you hold in your hand.
 *
 * One cc_conn is one connection to one server, HTTP/1.1 or HTTP/2. It is in
 * no pool and it never redials: the caller decides which connection carries
 * what. The names follow Go's net/http.ClientConn.
 *
 * Threads.  Everything reached from one cc_ctx belongs to the thread that
 * runs its event_base. Two contexts share nothing, so N threads take N
 * contexts. There is no global state. No SIGPIPE is raised.
 *
 * Callbacks.  None runs before the function that caused it has returned.
 * From inside any callback every function here may be called, cc_conn_free
 * and cc_req_cancel on the object at hand included; only cc_ctx_free not.
 *
 * Errors.  Functions return 0 or a negative enum cc_err. What went wrong
 * with a request comes once, with its on_done.
 *
 * Units.  Times are uint64_t milliseconds, sizes are size_t bytes, unless
 * the name says otherwise. A 0 in an options struct means the default.
 *
 * Growth.  Structs whose first member is `size` get new members at their end,
 * and enums new values: set size to sizeof(the struct) and the rest to 0, and
 * expect values that you do not know. A struct of an older header is taken,
 * what it lacks is the default; one of a newer header too, unless it sets
 * something that this library does not know: CC_EINVAL.
 */
#ifndef CLIENTCONN_H
#define CLIENTCONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct event_base;
struct ssl_ctx_st;

struct cc_ctx;       /* one thread's loop, memory, resolver */
struct cc_transport; /* how to reach servers: TLS, proxy, protocols, limits */
struct cc_conn;      /* exactly one connection */
struct cc_req;       /* one request on it */
struct cc_buf;       /* chain of shared slabs, <clientconn/buf.h> */
struct cc_head;      /* one message head, <clientconn/head.h> */

/* ---- version --------------------------------------------------------- */

/* Of this header. CLIENTCONN_VERSION grows with it, to be compared in #if. */
#define CLIENTCONN_VERSION_MAJOR 0
#define CLIENTCONN_VERSION_MINOR 1
#define CLIENTCONN_VERSION_PATCH 0
#define CLIENTCONN_VERSION                                                                         \
	(CLIENTCONN_VERSION_MAJOR * 1000000 + CLIENTCONN_VERSION_MINOR * 1000 +                    \
		CLIENTCONN_VERSION_PATCH)

const char *cc_version(void); /* "0.1.0": of the library that runs */

/* ---- errors ---------------------------------------------------------- */

/* New values may come, here and in every enum: have a default for what you do not know. */

enum cc_err {
	CC_OK = 0,
	CC_ENOMEM = -1,
	CC_EINVAL = -2,  /* the call itself is wrong */
	CC_EFULL = -3,   /* no capacity now; a later state hook will tell */
	CC_ECLOSED = -4, /* connection draining or closed */
	CC_ERESOLVE = -5,
	CC_ECONNECT = -6,
	CC_ETLS = -7,
	CC_EIO = -8,       /* the socket failed under a request */
	CC_EEOF = -9,      /* the peer closed under a request */
	CC_EPROTO = -10,   /* the peer broke HTTP */
	CC_EREFUSED = -11, /* the peer did not process it: safe to resend */
	CC_ERESET = -12,   /* the peer reset this request only */
	CC_ETIMEOUT = -13,
	CC_ETOOBIG = -14,   /* head larger than max_head */
	CC_ECANCELED = -15, /* by cc_req_cancel, cc_conn_close or cc_conn_free */
	CC_EGOAWAY = -16,   /* the server asked us to leave (cc_conn_err) */
	CC_ECERT = -17,     /* the server's certificate is not to be trusted */
	CC_EMFILE = -18     /* no descriptor was left for the socket: says nothing of the server */
};

const char *cc_strerror(int err); /* static string, never NULL */

/* ---- context: one per thread ----------------------------------------- */

struct cc_mem { /* as nghttp2_mem: arg comes last */
	void *(*alloc)(size_t size, void *arg);
	void *(*resize)(void *ptr, size_t size, void *arg);
	void (*release)(void *ptr, void *arg);
	void *arg;
};

struct cc_ctx_opts {
	size_t size;              /* sizeof(struct cc_ctx_opts) */
	struct event_base *base;  /* required; outlives the context */
	const struct cc_mem *mem; /* NULL: malloc; copied */
	size_t max_buffered;      /* slab bytes in the context, 256 MiB */
};

int cc_ctx_new(const struct cc_ctx_opts *opts, struct cc_ctx **ret);
/*
 * Frees the context and every connection left in it, without callbacks.
 * Transports, heads and buffers are freed before, by their owners.
 */
void cc_ctx_free(struct cc_ctx *ctx);

/* ---- transport -------------------------------------------------------- */

enum cc_proto_id { CC_PROTO_NONE, CC_PROTO_H1, CC_PROTO_H2, CC_PROTO_H3 };

#define CC_OFFER_H1 (1u << CC_PROTO_H1)
#define CC_OFFER_H2 (1u << CC_PROTO_H2)
#define CC_OFFER_H3 (1u << CC_PROTO_H3) /* reserved: CC_EINVAL today */

#define CC_NEVER UINT64_MAX /* for idle_timeout, ping_after and stale_after */

struct cc_transport_opts {
	size_t size;               /* sizeof(struct cc_transport_opts) */
	unsigned offer;            /* CC_OFFER_*: into ALPN; in clear, H2 only if alone */
	struct ssl_ctx_st *tls;    /* NULL: system trust, TLS 1.2+; a reference is taken */
	const char *tls_name;      /* SNI and verified name; NULL: the host */
	bool no_resumption;        /* every TLS handshake is a full one */
	uint64_t connect_timeout;  /* resolve + TCP connect, 10 s; proxy: see below */
	uint64_t race_delay;       /* to the next address of a host (RFC 8305), 250 ms */
	uint64_t tcp_keepalive;    /* idle time before the first probe, 0: off */
	uint64_t tcp_user_timeout; /* unacknowledged data for so long: broken, 0: the system's */
	uint64_t tls_timeout;      /* TLS handshake; h2: also the peer's SETTINGS, 10 s */
	uint64_t idle_timeout;     /* no request in flight: closes, 60 s */
	uint64_t max_age;          /* drains itself after it, 0: never */
	uint64_t ping_after;       /* HTTP/2: a request runs and nothing was read: PING, 10 s */
	uint64_t stale_after;    /* HTTP/2: nothing was read: PING beside the next request, 10 s */
	uint64_t ping_timeout;   /* nothing read for so long after a PING: closed, 5 s */
	uint64_t max_requests;   /* drains itself after it, 0: no limit */
	uint32_t max_concurrent; /* own cap below the peer's, 100 */
	size_t max_head;         /* response head, 64 KiB */
	size_t window;           /* unconsumed response bytes a request, 256 KiB */
	size_t conn_window;      /* HTTP/2: bytes in flight on the connection, 16 MiB */

	/*
	 * All three are copied; NULL and "" mean none. Text that makes no sense: CC_EINVAL.
	 *
	 * proxy: "http://[user:password@]host[:port]" asks by CONNECT (RFC 9110 9.3.6),
	 * "socks5://..." and "socks5h://..." by SOCKS5 (RFC 1928, RFC 1929). Port 1080 if none is
	 * named. It is always a tunnel, for the schemes http and https alike, and the server's name
	 * is resolved by the proxy, with "socks5" as well. User and password may be
	 * percent-encoded (RFC 3986); they go to the proxy alone, by Basic (RFC 7617: no ':' in
	 * the user) or RFC 1929 (1 to 255 bytes each). From connected to tunnel
	 * the proxy has connect_timeout once more. CC_ECONNECT if it refuses; cc_conn_detail()
	 * says why, never with the password. "unix:/path" has no proxy: CC_EINVAL there.
	 */
	const char *proxy;
	/*
	 * bind_address: "192.0.2.1" or "2001:db8::1", where connections come from; addresses of the
	 * other family are then not tried. bind_interface: "eth0", where they leave
	 * (SO_BINDTODEVICE). What cannot be bound does not connect: CC_ECONNECT. With a proxy
	 * both are about the way to it. Unix sockets: neither applies.
	 */
	const char *bind_address;
	const char *bind_interface;
};

/* Copies the options. 0, CC_EINVAL, CC_ENOMEM. */
int cc_transport_new(
	struct cc_ctx *ctx, const struct cc_transport_opts *opts, struct cc_transport **ret);
/*
 * Connections made from it live on. TLS sessions of its SSL_CTX are forgotten, also those of
 * another transport that shares it: it pays one full handshake.
 */
void cc_transport_free(struct cc_transport *t);

typedef void (*cc_state_hook)(struct cc_conn *conn, void *arg); /* cc_conn_set_state_hook */

/*
 * Opens a new connection, always: nothing is reused, nothing is pooled.
 * scheme is "http" or "https"; address is "host:port", "host", "[v6]:port" or
 * "unix:/path". The addresses of a host race, race_delay apart (RFC 8305); one that
 * failed to connect in this context is tried last for the next 60 s.
 *
 * Callers that resolve names pass up to 64 addresses of one server,
 * "192.0.2.1:443,[2001:db8::1]:443", which race in that order. With https they set
 * tls_name as well. A name among them, or a proxy to reach them by, is CC_EINVAL.
 *
 * Failures that are not a wrong call or lack of memory come through the state
 * hook. The caller owns *ret until cc_conn_free.
 */
int cc_transport_new_client_conn(struct cc_transport *t, const char *scheme, const char *address,
	cc_state_hook hook, void *arg, struct cc_conn **ret);

/* ---- connection ------------------------------------------------------ */

enum cc_state {        /* moves only downward in this list */
	CC_CONNECTING, /* resolving, connecting, in the TLS handshake */
	CC_READY,      /* takes requests while cc_conn_available() > 0 */
	CC_DRAINING,   /* finishes what it has, takes nothing new */
	CC_CLOSED      /* cc_conn_err() says why */
};

/*
 * Called when capacity grew or shrank, requests ended or the state moved; also
 * for what happened before it was set. Calls are coalesced: read the state and
 * cc_conn_changes(), do not count the calls. The call for CC_CLOSED is the last
 * one. NULL: no call comes any more.
 */
void cc_conn_set_state_hook(struct cc_conn *conn, cc_state_hook hook, void *arg);

/* What made the hook run: bits, valid while it runs. */
#define CC_CHANGED_READY        (1u << 0) /* connected */
#define CC_CHANGED_LIMITS_KNOWN (1u << 1) /* the peer told its limits */
#define CC_CHANGED_LIMIT_UP     (1u << 2) /* more requests may run at once */
#define CC_CHANGED_LIMIT_DOWN   (1u << 3) /* fewer; those that run go on */
#define CC_CHANGED_COMPLETED    (1u << 4) /* requests ended, in whatever way */
#define CC_CHANGED_RELEASED     (1u << 5) /* slots came back unused */
#define CC_CHANGED_DRAINING     (1u << 6)
#define CC_CHANGED_CLOSED       (1u << 7)
unsigned cc_conn_changes(const struct cc_conn *conn);

/* Takes no more requests, closes when the last one ends. Idempotent. */
void cc_conn_drain(struct cc_conn *conn);

/*
 * Ends the connection now. Requests in flight get on_done with CC_ECANCELED,
 * the state becomes CC_CLOSED, cc_conn_err() CC_ECLOSED, and the hook is
 * told. The object stays until cc_conn_free. Idempotent.
 */
void cc_conn_close(struct cc_conn *conn);

/*
 * Closes if need be and gives the object back; no callback follows, not even
 * on_done of the requests in flight. NULL is fine.
 */
void cc_conn_free(struct cc_conn *conn);

enum cc_state cc_conn_state(const struct cc_conn *conn);
enum cc_proto_id cc_conn_proto(const struct cc_conn *conn); /* NONE while connecting */
const char *cc_proto_name(enum cc_proto_id id);             /* "h1", "h2", "h3", "none" */
/* Does it carry several requests at once? Not while connecting. */
bool cc_conn_multiplexed(const struct cc_conn *conn);
int cc_conn_err(const struct cc_conn *conn);            /* 0: usable; else enum cc_err */
const char *cc_conn_detail(const struct cc_conn *conn); /* for logs, "" if none */
/*
 * "192.0.2.1:443", "[2001:db8::1]:443", "unix:/path": who answered, the proxy if there is one;
 * "" while nobody has. It stays, also when the TLS handshake failed and after the end.
 */
const char *cc_conn_address(const struct cc_conn *conn);
/* Why it takes no more requests: the first cause, which stays. */
enum cc_reason {
	CC_REASON_NONE,             /* it still takes them */
	CC_REASON_OWNER,            /* cc_conn_drain, cc_conn_close, cc_conn_free */
	CC_REASON_DIAL,             /* it never was connected: cc_conn_err */
	CC_REASON_IDLE,             /* idle_timeout */
	CC_REASON_AGE,              /* max_age */
	CC_REASON_REQUESTS,         /* max_requests */
	CC_REASON_STREAM_IDS,       /* HTTP/2 has no more (RFC 9113 5.1.1) */
	CC_REASON_GOAWAY,           /* cc_conn_goaway_code says why (RFC 9113 6.8) */
	CC_REASON_CONNECTION_CLOSE, /* HTTP/1: the server closes after this one (RFC 9112 9.6) */
	CC_REASON_NOT_REUSABLE, /* HTTP/1: a request given up, an early or an unasked response */
	CC_REASON_PEER_IDLE,    /* the peer closed while nothing ran */
	CC_REASON_EOF,          /* the peer closed under requests */
	CC_REASON_RESET,        /* the socket broke */
	CC_REASON_TLS,          /* TLS failed after the handshake: an alert, a broken record */
	CC_REASON_PROTOCOL,     /* the peer broke HTTP */
	CC_REASON_PING_TIMEOUT,
	CC_REASON_SETTINGS_TIMEOUT,
	CC_REASON_MEMORY
};
enum cc_reason cc_conn_reason(const struct cc_conn *conn);
const char *cc_reason_name(enum cc_reason reason); /* "goaway", for logs; never NULL */
uint64_t cc_conn_goaway_code(
	const struct cc_conn *conn); /* of the last GOAWAY; 0: none, or NO_ERROR */

bool cc_conn_limits_known(const struct cc_conn *conn); /* HTTP/2: SETTINGS came */
uint64_t cc_conn_id(const struct cc_conn *conn);       /* unique in the context */

/*
 * Capacity. At every moment request_limit == requests_completed + in_flight +
 * available. request_limit grows as requests complete; it shrinks only when
 * the peer lowers SETTINGS_MAX_CONCURRENT_STREAMS or the connection ends.
 */
uint64_t cc_conn_request_limit(const struct cc_conn *conn);
uint64_t cc_conn_requests_completed(const struct cc_conn *conn);
uint32_t cc_conn_in_flight(const struct cc_conn *conn); /* reserved ones count */
uint32_t cc_conn_available(const struct cc_conn *conn);
uint32_t cc_conn_waiting(const struct cc_conn *conn); /* round trips that wait their turn */

/* All of them at one moment. They inform; what may be sent only cc_conn_reserve decides. */
struct cc_counts {
	uint64_t request_limit, requests_completed;
	uint32_t in_flight, available, waiting;
};
void cc_conn_counts(const struct cc_conn *conn, struct cc_counts *ret);

/* Holds one slot for a later round trip. CC_EFULL, CC_ECLOSED. */
int cc_conn_reserve(struct cc_conn *conn);
/* Gives back a slot that no round trip took. */
void cc_conn_release(struct cc_conn *conn);

/* ---- request --------------------------------------------------------- */

enum cc_phase {          /* how far a request got */
	CC_PHASE_QUEUED, /* no byte left this process */
	CC_PHASE_SENDING,
	CC_PHASE_WAITING, /* all sent, no response head yet */
	CC_PHASE_RECEIVING,
	CC_PHASE_COMPLETE
};

/* What the peer said of the end, in a reset of the request or in a goodbye to all of them. */
enum cc_why {
	CC_WHY_NONE,    /* nothing */
	CC_WHY_REFUSED, /* it did not begin with the request (REFUSED_STREAM) */
	CC_WHY_GOAWAY,  /* it leaves in good order (GOAWAY, NO_ERROR) */
	CC_WHY_CALM,    /* that is too much for it (ENHANCE_YOUR_CALM): come back later */
	CC_WHY_OTHER    /* something else */
};

struct cc_result {                       /* valid during on_done; grows at its end */
	int err;                         /* 0 or enum cc_err */
	enum cc_phase phase;             /* where it was when it ended */
	bool unprocessed;                /* the peer surely did not act on it */
	enum cc_why why;                 /* decide by this */
	uint64_t proto_error;            /* its number, for logs: of RST_STREAM or GOAWAY, else 0 */
	const struct cc_head *trailers;  /* NULL if none */
	uint64_t sent, received;         /* body bytes */
	uint64_t t_sent, t_head, t_done; /* us since the round trip began, 0: not reached */
};

/*
 * Must live as long as the request, best of all as a constant: until on_done has returned, or
 * cc_req_cancel or cc_conn_free was called. on_head, on_body and on_done are required.
 */
struct cc_req_ops {
	size_t size; /* sizeof(struct cc_req_ops) */
	/* The final head, at most once; head is valid during the call. */
	void (*on_head)(struct cc_req *req, const struct cc_head *head, void *arg);
	/*
	 * Take bytes out of body with cc_buf_move; what stays comes again with the next ones, and
	 * is dropped when on_done has returned.
	 */
	void (*on_body)(struct cc_req *req, struct cc_buf *body, void *arg);
	/* Exactly once and last; req is gone when it returns. */
	void (*on_done)(struct cc_req *req, const struct cc_result *res, void *arg);
	/* 1xx other than 101. May be NULL. */
	void (*on_info)(struct cc_req *req, const struct cc_head *head, void *arg);
	/* cc_req_room() went from 0 to more; body still leaves behind its end. May be NULL. */
	void (*on_room)(struct cc_req *req, void *arg);
};

#define CC_RT_END_STREAM (1u << 0) /* the head is all there is */
#define CC_RT_RESERVED   (1u << 1) /* use a slot from cc_conn_reserve */
#define CC_RT_NOWAIT     (1u << 2) /* CC_EFULL instead of waiting for a slot */

/*
 * Sends a request. The head is encoded or copied before the call returns
 * and stays the caller's. On a full connection the request waits its turn (an
 * HTTP/1 connection carries one at a time) unless RESERVED or NOWAIT is given.
 *
 * Fields for one hop only are left out, except that of TE the member "trailers"
 * goes, and nothing else (RFC 9113 8.2.2; RFC 9110 10.1.4).
 *
 * *ret is valid until on_done or cc_req_cancel. CC_EFULL, CC_ECLOSED,
 * CC_EINVAL (no method, or CONNECT; a Content-Length that is there twice, is not
 * one number, or is above 0 with END_STREAM; a callback that is required is NULL;
 * the size of ops), CC_ENOMEM: no request was made, no callback comes, a reserved
 * slot is given back.
 */
int cc_conn_round_trip(struct cc_conn *conn, const struct cc_head *head, unsigned flags,
	const struct cc_req_ops *ops, void *arg, struct cc_req **ret);

/*
 * Moves all of body into the request. eos: nothing follows. CC_EINVAL (the end was sent before, or
 * the body is not as long as Content-Length says), CC_ENOMEM: body stays the caller's.
 *
 * A wrong length also ends the request (RFC 9110 8.6): on_done comes later with CC_EINVAL. Over
 * HTTP/2 its stream is reset, over HTTP/1 the connection closes; never a byte too many goes out.
 */
int cc_req_send(struct cc_req *req, struct cc_buf *body, bool eos);

/*
 * Ends the request body with trailer fields instead of eos. HTTP/1 has no place for
 * them behind a Content-Length (RFC 9112 7.1.2): there they are left out.
 */
int cc_req_send_trailers(struct cc_req *req, const struct cc_head *trailers);

/* Body bytes worth giving now; 0 means wait for on_room. */
size_t cc_req_room(struct cc_req *req);

/* n bytes taken in on_body left the process: lets the peer send more. */
void cc_req_consumed(struct cc_req *req, size_t n);

/*
 * Gives the request up: no callback follows. HTTP/2 resets the stream; an
 * HTTP/1 connection cannot be used again and closes.
 */
void cc_req_cancel(struct cc_req *req);

#ifdef __cplusplus
}
#endif

#endif
