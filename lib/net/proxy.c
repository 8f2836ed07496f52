/* proxy.c - what stands in a proxy's address. */
#include <string.h>
#include <strings.h>

#include <clientconn.h>

#include "lib/base/mem.h"
#include "lib/net/dial.h"
#include "lib/net/proxy.h"

#define SOCKS5_FIELD_MAX 255u /* RFC 1929 2: the length is one byte */

static const struct {
	const char *prefix;
	enum proxy_kind kind;
} schemes[] = {
	{"http://", PROXY_CONNECT},
	{"socks5://", PROXY_SOCKS5},
	{"socks5h://", PROXY_SOCKS5},
};

/* Behind the scheme, or NULL. */
static const char *parse_scheme(const char *text, enum proxy_kind *kind)
{
	for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
		size_t n = strlen(schemes[i].prefix);

		if (strncasecmp(text, schemes[i].prefix, n) != 0)
			continue;
		*kind = schemes[i].kind;
		return text + n;
	}
	return NULL;
}

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* RFC 3986 2.1. Takes the n bytes at s apart in their place. false: malformed, or a NUL. */
static bool percent_decode(char *s, size_t n)
{
	char *to = s;

	for (size_t i = 0; i < n; i++) {
		if (s[i] != '%') {
			*to++ = s[i];
			continue;
		}
		int high = i + 2 < n ? hex(s[i + 1]) : -1, low = i + 2 < n ? hex(s[i + 2]) : -1;

		if (high < 0 || low < 0 || high + low == 0)
			return false;
		*to++ = (char)(high * 16 + low);
		i += 2;
	}
	*to = '\0';
	return true;
}

/* RFC 7617 2: no control characters; the first colon ends the user, so it has none. */
static bool basic_can_carry(const struct proxy *p)
{
	const char *parts[] = {p->user, p->password};

	for (size_t i = 0; i < 2; i++) {
		for (const unsigned char *c = (const unsigned char *)parts[i]; *c != '\0'; c++) {
			if (*c < 0x20 || *c == 0x7f)
				return false;
		}
	}
	return !strchr(p->user, ':');
}

/* RFC 1929 2: one to 255 bytes each. */
static bool socks5_can_carry(const struct proxy *p)
{
	size_t user = strlen(p->user), password = strlen(p->password);

	return user > 0 && user <= SOCKS5_FIELD_MAX && password > 0 && password <= SOCKS5_FIELD_MAX;
}

/* "user:password@", written over by what it means. */
static int parse_credentials(struct proxy *p, char *userinfo, size_t n)
{
	char *colon = memchr(userinfo, ':', n);
	size_t user = colon ? (size_t)(colon - userinfo) : n;

	p->credentials = true;
	p->user = userinfo;
	if (colon)
		p->password = colon + 1;
	if ((colon && !percent_decode(p->password, n - user - 1)) ||
		!percent_decode(userinfo, user))
		return CC_EINVAL;
	return (p->kind == PROXY_CONNECT ? basic_can_carry(p) : socks5_can_carry(p)) ? 0
	                                                                             : CC_EINVAL;
}

static int parse_authority(struct proxy *p, char *authority)
{
	size_t n = strcspn(authority, "/?# \t\r\n");
	struct dial_host host;
	char *at;
	int err = 0;

	if (authority[n] == '/' && authority[n + 1] == '\0')
		authority[n] = '\0';
	if (authority[n] != '\0')
		return CC_EINVAL;
	at = strrchr(authority, '@');
	p->address = at ? at + 1 : authority;
	if (at)
		err = parse_credentials(p, authority, (size_t)(at - authority));
	return err < 0 ? err : dial_parse(p->address, &host);
}

int proxy_parse(struct cc_ctx *ctx, const char *text, struct proxy **ret)
{
	enum proxy_kind kind;
	const char *authority = parse_scheme(text, &kind);
	struct proxy *p;
	size_t n;
	int err;

	if (!authority)
		return CC_EINVAL;
	n = strlen(authority) + 1;
	p = mem_zalloc(ctx, sizeof(*p) + n);
	if (!p)
		return CC_ENOMEM;
	p->kind = kind;
	memcpy(p->text, authority, n);
	p->user = p->password = p->text + n - 1; /* "" */
	err = parse_authority(p, p->text);
	if (err < 0) {
		proxy_free(ctx, p);
		return err;
	}
	*ret = p;
	return 0;
}

void proxy_free(struct cc_ctx *ctx, struct proxy *p)
{
	mem_free(ctx, p);
}
