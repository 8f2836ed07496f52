/*
 * conf_value.c - durations, sizes, URLs and names as people write them, and
 * how far one name is from another (for "did you mean").
 */
#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

#include "daemon/base/conf_value.h"

struct unit {
	const char *name;
	uint64_t factor;
};

static const struct unit durations[] = {
	{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}, {NULL, 0}};
static const struct unit sizes[] = {
	{"B", 1}, {"KiB", 1024}, {"MiB", 1048576}, {"GiB", 1073741824}, {NULL, 0}};

/* The C library's isalpha and friends follow the locale; names on the wire do not. */
static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_word(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
	       c == '_';
}

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* Digits at the start of text; NULL if there are none or too many of them. */
static const char *take_digits(const char *text, uint64_t *n)
{
	uint64_t sum = 0;

	if (!is_digit(*text))
		return NULL;
	for (; is_digit(*text); text++) {
		if (sum > (UINT64_MAX - 9) / 10)
			return NULL;
		sum = sum * 10 + (uint64_t)(*text - '0');
	}
	*n = sum;
	return text;
}

static bool with_unit(const char *text, const struct unit *units, uint64_t *ret)
{
	uint64_t n;
	const char *rest = take_digits(text, &n);

	if (!rest)
		return false;
	if (*rest == '\0' && n == 0) {
		*ret = 0;
		return true;
	}
	for (; units->name; units++) {
		if (strcmp(rest, units->name) != 0)
			continue;
		if (n > UINT64_MAX / units->factor)
			return false;
		*ret = n * units->factor;
		return true;
	}
	return false;
}

bool conf_duration(const char *text, uint64_t *ms)
{
	if (strcmp(text, "off") == 0) {
		*ms = 0;
		return true;
	}
	return with_unit(text, durations, ms);
}

bool conf_size(const char *text, uint64_t *bytes)
{
	return with_unit(text, sizes, bytes);
}

bool conf_count(const char *text, uint64_t *n)
{
	const char *rest = take_digits(text, n);

	return rest && *rest == '\0';
}

/* RFC 3986 3.2.2 allows more in a registered name; DNS and certificates do not. */
static bool is_reg_name(const char *s, size_t n)
{
	if (n == 0 || n > CONF_HOST_MAX || s[0] == '.' || s[n - 1] == '.')
		return false;
	for (size_t i = 0; i < n; i++) {
		if (!is_word(s[i]) && (s[i] != '.' || s[i + 1] == '.'))
			return false;
	}
	return true;
}

static bool is_v6(const char *s, size_t n)
{
	char text[INET6_ADDRSTRLEN];
	struct in6_addr addr;

	if (n == 0 || n >= sizeof(text))
		return false;
	memcpy(text, s, n);
	text[n] = '\0';
	return inet_pton(AF_INET6, text, &addr) == 1;
}

static bool take_port(const char *s, size_t n, uint16_t *port)
{
	uint64_t value;
	const char *rest = take_digits(s, &value);

	if (!rest || rest != s + n || value == 0 || value > UINT16_MAX)
		return false;
	*port = (uint16_t)value;
	return true;
}

/* host [ ":" port ], n letters of s. */
static const char *take_authority(const char *s, size_t n, struct conf_url *u)
{
	const char *end = s + n, *host = s, *colon;
	size_t len;

	if (memchr(s, '@', n))
		return "user and password do not belong into the url";
	u->v6 = *s == '[';
	if (u->v6) {
		const char *close = memchr(s, ']', n);

		if (!close || !is_v6(s + 1, (size_t)(close - s - 1)))
			return "not an IPv6 address in brackets";
		host = s + 1;
		len = (size_t)(close - host);
		colon = close + 1;
	} else {
		colon = memchr(s, ':', n);
		if (!colon)
			colon = end;
		len = (size_t)(colon - s);
		if (!is_reg_name(host, len))
			return len == 0 ? "no host in it" : "not a host name";
	}
	if (colon < end &&
		(*colon != ':' || !take_port(colon + 1, (size_t)(end - colon - 1), &u->port)))
		return "the port must be a number from 1 to 65535";
	for (size_t i = 0; i < len; i++)
		u->host[i] = lower(host[i]);
	u->host[len] = '\0';
	return NULL;
}

static bool is_printable(const char *s)
{
	for (; *s; s++) {
		if (*s <= ' ' || *s >= 0x7f)
			return false;
	}
	return true;
}

static const char *take_socket(const char *path, struct conf_url *u)
{
	u->local = true;
	u->path = path;
	u->path_len = strlen(path);
	if (*path != '/')
		return "unix: needs an absolute path: write \"unix:/path/to.sock\"";
	if (u->path_len > CONF_PATH_MAX)
		return "the path of the socket is longer than 107 bytes";
	return NULL;
}

/* RFC 2782: "_service._proto." at the start of a name, bytes. */
static size_t service_labels(const char *host)
{
	const char *proto = strchr(host, '.'), *rest;

	if (host[0] != '_' || !proto || proto[1] != '_')
		return 0;
	rest = strchr(proto + 1, '.');
	return rest ? (size_t)(rest + 1 - host) : 0;
}

static bool is_number(const char *host)
{
	struct in_addr addr;

	return inet_pton(AF_INET, host, &addr) == 1;
}

/* host [ ":" port ] of a srv+ url: who has the service is said by the name server. */
static const char *take_service(struct conf_url *u)
{
	if (u->v6 || is_number(u->host))
		return "srv+ needs a name";
	if (u->port != 0)
		return "a port does not belong into a srv+ url, the name server tells it";
	u->labels = service_labels(u->host);
	if (u->host[0] == '_' && u->labels == 0)
		return "needs a domain: write \"srv+https://_service._tcp.example.com\"";
	return NULL;
}

const char *conf_url_parse(const char *url, struct conf_url *ret)
{
	const char *host, *wrong;

	memset(ret, 0, sizeof(*ret));
	if (!is_printable(url))
		return "spaces and control characters are not allowed in it";
	if (strncasecmp(url, "unix:", 5) == 0)
		return take_socket(url + 5, ret);
	ret->srv = strncasecmp(url, "srv+", 4) == 0;
	if (ret->srv)
		url += 4;
	if (strncasecmp(url, "https://", 8) == 0)
		ret->https = true;
	else if (strncasecmp(url, "http://", 7) != 0)
		return "must begin with https://, http:// or unix:/";
	if (strpbrk(url, "?#"))
		return "a query or fragment cannot be part of it";

	host = url + (ret->https ? 8 : 7);
	wrong = take_authority(host, strcspn(host, "/"), ret);
	if (!wrong && ret->srv)
		wrong = take_service(ret);
	if (wrong)
		return wrong;
	if (ret->port == 0)
		ret->port = ret->https ? 443 : 80;

	ret->path = host + strcspn(host, "/");
	ret->path_len = strlen(ret->path);
	while (ret->path_len > 0 && ret->path[ret->path_len - 1] == '/')
		ret->path_len--;
	return NULL;
}

const char *conf_proxy_check(const char *text)
{
	static const char *const schemes[] = {"http://", "socks5://", "socks5h://"};
	struct conf_url u = {0};
	const char *host = NULL, *at;
	size_t n;

	if (!is_printable(text))
		return "spaces and control characters are not allowed in it";
	for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
		if (strncasecmp(text, schemes[i], strlen(schemes[i])) == 0)
			host = text + strlen(schemes[i]);
	}
	if (!host)
		return "must begin with http://, socks5:// or socks5h://";
	at = strrchr(host, '@');
	if (at)
		host = at + 1;
	n = strcspn(host, "/?#");
	if (host[n] != '\0' && strcmp(host + n, "/") != 0)
		return "nothing may follow the port";
	return take_authority(host, n, &u);
}

bool conf_is_host(const char *text)
{
	size_t n = strlen(text);

	return is_reg_name(text, n) || is_v6(text, n);
}

bool conf_is_name(const char *text)
{
	size_t n = strlen(text);

	if (n == 0 || n > CONF_HOST_MAX)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (!is_word(text[i]) && text[i] != '.')
			return false;
	}
	return true;
}

static unsigned min3(unsigned a, unsigned b, unsigned c)
{
	unsigned m = a < b ? a : b;

	return m < c ? m : c;
}

bool conf_is_field_name(const char *text)
{
	static const char token[] = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
				    "ABCDEFGHIJKLMNOPQRSTUVWXYZ";

	return *text && text[strspn(text, token)] == '\0';
}

/* Optimal string alignment: three rows of the usual matrix. */
unsigned conf_distance(const char *a, const char *b)
{
	unsigned rows[3][64];
	size_t na = strlen(a), nb = strlen(b);

	if (na > 63 || nb > 63)
		return 64;
	for (size_t j = 0; j <= nb; j++)
		rows[0][j] = (unsigned)j;
	for (size_t i = 1; i <= na; i++) {
		unsigned *now = rows[i % 3], *last = rows[(i + 2) % 3], *before = rows[(i + 1) % 3];

		now[0] = (unsigned)i;
		for (size_t j = 1; j <= nb; j++) {
			unsigned same = a[i - 1] == b[j - 1] ? 0 : 1;

			now[j] = min3(last[j] + 1, now[j - 1] + 1, last[j - 1] + same);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
				now[j] > before[j - 2] + 1)
				now[j] = before[j - 2] + 1;
		}
	}
	return rows[na % 3][nb];
}
