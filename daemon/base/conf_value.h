/*
 * conf_value.h - texts of the configuration and what they mean. Pure: no
 * file, no clock, no allocation.
 */
#ifndef CONF_VALUE_H
#define CONF_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * "250ms" "30s" "5m" "1h" "1d"; "0" and "off" are 0. A number without unit is
 * refused: peers of ours disagree on whether it means seconds or milliseconds.
 */
bool conf_duration(const char *text, uint64_t *ms);
bool conf_size(const char *text, uint64_t *bytes); /* "512B" "64KiB" "10MiB" "1GiB", "0" */
bool conf_count(const char *text, uint64_t *n);    /* digits only */

#define CONF_HOST_MAX 253 /* RFC 1035 3.1, in text */
#define CONF_PATH_MAX 107 /* sun_path less its end, unix(7) */

struct conf_url {
	bool https, local;
	bool srv;      /* "srv+https://name": hosts and ports come from the name's SRV records */
	size_t labels; /* of host, bytes: "_service._proto." if it begins so */
	char host[CONF_HOST_MAX + 1]; /* lower case, no brackets; "" when local */
	bool v6;
	uint16_t port;
	const char *path; /* in the url: the base path, or the socket's when local */
	size_t path_len;  /* without the closing slash */
};

/* NULL, or what is wrong with it in words; *ret is then undefined. */
const char *conf_url_parse(const char *url, struct conf_url *ret);

/*
 * "http://[user:password@]host[:port]" or "socks5://...": NULL, or what is wrong with it in words,
 * which do not repeat the password. What the proxy's protocol can carry is the library's business.
 */
const char *conf_proxy_check(const char *text);

/* A host without port: a name, an IPv4 address, an IPv6 address without brackets. */
bool conf_is_host(const char *text);
/* Of listeners and upstreams: goes into logs, units and Host. */
bool conf_is_name(const char *text);

/* The name of a field of a head, RFC 9110 5.1. */
bool conf_is_field_name(const char *text);

/* How many letters to change, add, drop or swap to turn a into b; names above 63 letters: 64. */
unsigned conf_distance(const char *a, const char *b);

#endif
