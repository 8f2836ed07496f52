/* address.c - what stands in an address, and addresses in words. Pure. */
#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include <clientconn.h>

#include "lib/net/address.h"
#include "lib/net/dial.h"
#include "lib/net/resolve.h"

#define NAME_MAX_LEN 253u /* RFC 1035 2.3.4, without the root's dot */

static int parse_port(const char *s, uint16_t *ret)
{
	unsigned port = 0;

	if (*s == '\0')
		return CC_EINVAL;
	for (; *s != '\0'; s++) {
		if (*s < '0' || *s > '9')
			return CC_EINVAL;
		port = port * 10 + (unsigned)(*s - '0');
		if (port > 65535)
			return CC_EINVAL;
	}
	*ret = (uint16_t)port;
	return port == 0 ? CC_EINVAL : 0;
}

static bool is_name_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '-' || c == '.' || c == '_';
}

/* "[v6]" or "[v6%zone]", the whole of it checked when it is made an address. */
static int parse_brackets(const char *address, struct dial_host *h)
{
	const char *end = strchr(address, ']');

	if (!end || end == address + 1 || end - address > 64)
		return CC_EINVAL;
	h->host = address + 1;
	h->host_len = (unsigned)(end - h->host);
	for (const char *p = h->host; p < end; p++) {
		if (!is_name_char(*p) && *p != ':' && *p != '%')
			return CC_EINVAL;
	}
	if (!memchr(h->host, ':', h->host_len))
		return CC_EINVAL;
	if (end[1] == '\0')
		return 0;
	return end[1] == ':' ? parse_port(end + 2, &h->port) : CC_EINVAL;
}

static int parse_name(const char *address, struct dial_host *h)
{
	size_t n = 0;

	while (is_name_char(address[n]))
		n++;
	h->host = address;
	h->host_len = (unsigned)n;
	if (n > 0 && address[n - 1] == '.')
		n--;
	if (n == 0 || n > NAME_MAX_LEN || address[0] == '.')
		return CC_EINVAL;
	if (address[h->host_len] == '\0')
		return 0;
	return address[h->host_len] == ':' ? parse_port(address + h->host_len + 1, &h->port)
	                                   : CC_EINVAL;
}

int dial_parse(const char *address, struct dial_host *ret)
{
	struct dial_host h = {0};
	int err = 0;

	if (!address)
		return CC_EINVAL;
	if (strncmp(address, "unix:", 5) == 0) {
		h.path = address + 5;
		if (*h.path != '/' || strlen(h.path) >= sizeof(((struct sockaddr_un *)0)->sun_path))
			err = CC_EINVAL;
	} else if (*address == '[') {
		err = parse_brackets(address, &h);
	} else {
		err = parse_name(address, &h);
	}
	if (err == 0)
		*ret = h;
	return err;
}

void address_unix(struct address *a, const char *path)
{
	struct sockaddr_un *un = (struct sockaddr_un *)&a->sa;

	memset(a, 0, sizeof(*a));
	un->sun_family = AF_UNIX;
	snprintf(un->sun_path, sizeof(un->sun_path), "%s", path);
	a->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path) + 1);
}

bool address_numeric(struct address *a, const char *host, uint16_t port)
{
	struct sockaddr_in *in = (struct sockaddr_in *)&a->sa;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&a->sa;
	char v6[INET6_ADDRSTRLEN];
	size_t n = strcspn(host, "%");

	memset(a, 0, sizeof(*a));
	if (inet_pton(AF_INET, host, &in->sin_addr) == 1) {
		in->sin_family = AF_INET;
		in->sin_port = htons(port);
		a->len = sizeof(*in);
		return true;
	}
	if (n >= sizeof(v6))
		return false;
	memcpy(v6, host, n);
	v6[n] = '\0';
	if (inet_pton(AF_INET6, v6, &in6->sin6_addr) != 1)
		return false;
	if (host[n] == '%') /* RFC 4007: the zone of a link-local address */
		in6->sin6_scope_id = if_nametoindex(host + n + 1);
	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons(port);
	a->len = sizeof(*in6);
	return true;
}

uint16_t address_port(const struct address *a)
{
	switch (a->sa.ss_family) {
	case AF_INET:
		return ntohs(((const struct sockaddr_in *)&a->sa)->sin_port);
	case AF_INET6:
		return ntohs(((const struct sockaddr_in6 *)&a->sa)->sin6_port);
	default:
		return 0;
	}
}

bool address_same(const struct address *a, const struct address *b)
{
	const struct sockaddr_in *in = (const struct sockaddr_in *)&a->sa;
	const struct sockaddr_in *jn = (const struct sockaddr_in *)&b->sa;
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&a->sa;
	const struct sockaddr_in6 *jn6 = (const struct sockaddr_in6 *)&b->sa;

	if (a->sa.ss_family != b->sa.ss_family)
		return false;
	if (a->sa.ss_family == AF_INET)
		return in->sin_port == jn->sin_port && in->sin_addr.s_addr == jn->sin_addr.s_addr;
	return a->sa.ss_family == AF_INET6 && in6->sin6_port == jn6->sin6_port &&
	       in6->sin6_scope_id == jn6->sin6_scope_id &&
	       IN6_ARE_ADDR_EQUAL(&in6->sin6_addr, &jn6->sin6_addr);
}

size_t address_bytes(const struct address *a, unsigned char out[16])
{
	const struct sockaddr_in *in = (const struct sockaddr_in *)&a->sa;
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&a->sa;

	if (a->sa.ss_family == AF_INET) {
		memcpy(out, &in->sin_addr, sizeof(in->sin_addr));
		return sizeof(in->sin_addr);
	}
	memcpy(out, &in6->sin6_addr, sizeof(in6->sin6_addr));
	return sizeof(in6->sin6_addr);
}

void address_text(const struct address *a, char *buf, size_t size)
{
	const struct sockaddr_in *in = (const struct sockaddr_in *)&a->sa;
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&a->sa;
	bool v4 = a->sa.ss_family == AF_INET;
	unsigned port = address_port(a);
	char text[INET6_ADDRSTRLEN] = "";

	if (a->sa.ss_family == AF_UNIX) {
		snprintf(buf, size, "unix:%s", ((const struct sockaddr_un *)&a->sa)->sun_path);
		return;
	}
	inet_ntop(a->sa.ss_family, v4 ? (const void *)&in->sin_addr : &in6->sin6_addr, text,
		sizeof(text));
	if (port == 0)
		snprintf(buf, size, "%s", text);
	else
		snprintf(buf, size, v4 ? "%s:%u" : "[%s]:%u", text, port);
}
