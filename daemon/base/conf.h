/*
 * conf.h - the configuration, immutable once loaded.
 *
 * libconfig's tree becomes a struct conf: defaults filled in, every value
 * checked, every error listed with file, line and path. A conf is shared by
 * threads and counted; nothing in it changes after conf_load returned.
 * conf_keys.def names every key once.
 */
#ifndef CONF_H
#define CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct ssl_ctx_st;

enum conf_access { CONF_ACCESS_OFF, CONF_ACCESS_ERRORS, CONF_ACCESS_ALL };
enum conf_retry { CONF_RETRY_NEVER, CONF_RETRY_SAFE, CONF_RETRY_IDEMPOTENT };
enum conf_pick { CONF_PICK_MOST_AVAILABLE, CONF_PICK_LIFO, CONF_PICK_FIFO, CONF_PICK_RANDOM2 };
enum conf_fair { CONF_FAIR_FIFO, CONF_FAIR_USER };
enum conf_family { CONF_FAMILY_ANY, CONF_FAMILY_IPV4, CONF_FAMILY_IPV6 };

#define CONF_PROTO_H1  (1u << 0)
#define CONF_PROTO_H2  (1u << 1) /* by ALPN */
#define CONF_PROTO_H2C (1u << 2) /* in clear, by prior knowledge */

struct conf_listener {
	const char *name;
	const char *path;
	unsigned mode;                        /* 0660 */
	const char *owner, *group;            /* "": the daemon's */
	const char *upstream;                 /* "": by Host */
	const char *default_upstream;         /* "": none, or the only one */
	const struct conf_upstream *fixed;    /* upstream, found; NULL */
	const struct conf_upstream *fallback; /* default_upstream or the only upstream; NULL */
	unsigned max_clients;                 /* 0: only daemon.max_clients */
	unsigned backlog;
	uint64_t header_timeout, idle_timeout; /* ms, 0: off */
	size_t max_header_size;
	unsigned max_headers;
};

struct conf_tls {
	const char *ca_file, *server_name, *cert, *key; /* "": default */
	const char *min_version;                        /* "1.2" "1.3" */
	bool resumption;
};

struct conf_upstream {
	unsigned index; /* in conf->upstreams */
	const char *name;
	const char *url;
	bool https;
	const char *host; /* of the url, lower case, no brackets; "" for unix */
	const char *srv;  /* whose SRV records name hosts and ports, "_https._tcp.host"; "": none */
	uint16_t port;
	const char *address;      /* to dial: "host:port", "[v6]:port" or "unix:/path" */
	const char *authority;    /* for Host: host, and the port unless default */
	const char *base_path;    /* of the url, before every path; "" if none */
	const char *const *hosts; /* further Host values, lower case */
	unsigned host_count;

	unsigned max_connections, min_connections, reserve_connections;
	uint64_t reserve_after;
	unsigned max_connecting, max_idle, max_streams;
	enum conf_pick pick;
	unsigned max_queue;
	uint64_t queue_timeout;
	enum conf_fair queue_fair;
	uint64_t idle_timeout, idle_timeout_margin;
	bool idle_timeout_learn;
	uint64_t max_lifetime;
	unsigned max_lifetime_jitter; /* percent */
	uint64_t max_requests;
	uint64_t check_after, ping_timeout;
	uint64_t tcp_keepalive, tcp_user_timeout;
	uint64_t connect_timeout, tls_timeout, response_timeout, body_idle_timeout;
	uint64_t total_timeout;            /* 0: none */
	const char *client_timeout_header; /* "": none */
	enum conf_retry retry;
	unsigned retry_attempts;
	unsigned retry_budget, retry_budget_min; /* percent; a second */
	size_t retry_buffer;
	uint64_t backoff_min, backoff_max;
	unsigned eject_after; /* 0: never */
	uint64_t eject_time;
	unsigned max_ejected; /* percent */
	uint64_t dns_ttl_min, dns_ttl_max;
	bool dns_keep_stale;
	enum conf_family address_family;
	uint64_t happy_eyeballs_delay;
	bool spread;
	size_t buffer;
	unsigned protocols; /* CONF_PROTO_* */
	bool h1_first;      /* ALPN order */
	size_t h2_stream_window, h2_connection_window;
	const char *proxy; /* "": none */
	struct conf_tls tls;
	struct ssl_ctx_st *ssl;       /* made at load when https; counted by OpenSSL */
	unsigned char tls_digest[32]; /* of what ca_file, cert and key held at load */
};

struct conf {
	unsigned workers;
	unsigned max_clients; /* resolved: never 0 */
	size_t memory_limit;
	uint64_t drain_timeout;
	int log_level; /* enum log_level */
	enum conf_access access;
	bool query_strings;
	struct conf_listener *listeners;
	unsigned listener_count;
	struct conf_upstream *upstreams;
	unsigned upstream_count;
};

/* What the command line gave instead of a file. */
struct conf_cli {
	const char *const *upstreams; /* "URL" or "NAME=URL" */
	unsigned upstream_count;
	const char *const *listen; /* socket paths */
	unsigned listen_count;
};

/*
 * Loads a file (path) or the command line's equivalent (cli; path NULL). All errors are collected,
 * not only the first: *errors becomes a malloc'ed text, one line each and ended by '\n',
 * "file:line: path.to.setting: what, and what to do", and NULL is returned. *warnings (may come
 * with success) likewise; NULL if there are none, free() both.
 * The result has one reference.
 */
struct conf *conf_load(
	const char *path, const struct conf_cli *cli, char **errors, char **warnings);
struct conf *conf_ref(struct conf *c);
void conf_unref(struct conf *c); /* NULL is fine; atomic */

/*
 * Would the connections of a be good for b? All keys are equal that conf_keys.def calls NEW_POOL,
 * the url means the same server and the files of tls hold the same.
 */
bool conf_upstream_same_connections(const struct conf_upstream *a, const struct conf_upstream *b);
const struct conf_upstream *conf_find_upstream(const struct conf *c, const char *name, size_t n);

#endif
