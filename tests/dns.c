/* dns.c - a small DNS server for tests (RFC 1035). */
#include <arpa/inet.h>
#include <check.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include <event2/event.h>

#include "tests/dns.h"

enum { TYPE_A = 1, TYPE_CNAME = 5, TYPE_AAAA = 28, TYPE_SRV = 33 };

static size_t put16(unsigned char *p, unsigned value)
{
	p[0] = (unsigned char)(value >> 8);
	p[1] = (unsigned char)value;
	return 2;
}

/* "a.example" as labels; "." is the root. */
static size_t put_name(unsigned char *p, const char *name)
{
	size_t n = 0;

	while (*name != '\0' && *name != '.') {
		size_t len = strcspn(name, ".");

		p[n] = (unsigned char)len;
		memcpy(p + n + 1, name, len);
		n += len + 1;
		name += len + (name[len] == '.');
	}
	p[n] = 0;
	return n + 1;
}

/* The name that is asked for, at byte 12. */
static size_t take_name(const unsigned char *msg, size_t n, char name[256])
{
	size_t end = 12, out = 0;

	while (end < n && msg[end] != 0) {
		size_t len = msg[end];

		memcpy(name + out, msg + end + 1, len);
		out += len;
		name[out++] = '.';
		end += len + 1;
	}
	name[out > 0 ? out - 1 : 0] = '\0';
	return end + 1;
}

/* Name, type, class, time to live, room for the length. */
static size_t put_head(unsigned char *p, const char *owner, int type, uint32_t ttl)
{
	size_t n = owner ? put_name(p, owner) : put16(p, 0xc00c); /* the name in the question */

	n += put16(p + n, (unsigned)type);
	n += put16(p + n, 1);
	n += put16(p + n, ttl >> 16);
	n += put16(p + n, ttl & 0xffff);
	return n + 2;
}

static size_t put_address(
	unsigned char *p, const char *owner, int type, uint32_t ttl, const char *text)
{
	size_t len = type == TYPE_A ? 4 : 16, n = put_head(p, owner, type, ttl);

	put16(p + n - 2, (unsigned)len);
	ck_assert_int_eq(inet_pton(type == TYPE_A ? AF_INET : AF_INET6, text, p + n), 1);
	return n + len;
}

static size_t put_cname(unsigned char *p, uint32_t ttl, const char *target)
{
	size_t n = put_head(p, NULL, TYPE_CNAME, ttl), len = put_name(p + n, target);

	put16(p + n - 2, (unsigned)len);
	return n + len;
}

static size_t put_srv(unsigned char *p, const struct dns_srv *srv)
{
	size_t n = put_head(p, NULL, TYPE_SRV, srv->ttl), from = n;

	n += put16(p + n, srv->priority);
	n += put16(p + n, srv->weight);
	n += put16(p + n, srv->port);
	n += put_name(p + n, srv->host);
	put16(p + from - 2, (unsigned)(n - from));
	return n;
}

static size_t put_addresses(const struct dns *d, unsigned char *p, int type, unsigned *count)
{
	bool v4 = type == TYPE_A;
	const char *const *text = v4 ? d->a : d->aaaa;
	unsigned most = v4 ? DNS_MAX : 4;
	size_t n = 0;

	if (d->cname) {
		n = put_cname(p, d->cname_ttl, d->cname);
		(*count)++;
	}
	for (unsigned i = 0; i < most && text[i]; i++, (*count)++)
		n += put_address(p + n, d->cname, type, v4 ? d->a_ttl[i] : 600, text[i]);
	return n;
}

static const struct dns_host *find_host(const struct dns *d)
{
	for (unsigned i = 0; i < 4 && d->hosts[i].name; i++) {
		if (strcasecmp(d->hosts[i].name, d->name) == 0)
			return &d->hosts[i];
	}
	return NULL;
}

static size_t put_records(const struct dns *d, unsigned char *p, int type, unsigned *count)
{
	const struct dns_host *host = find_host(d);
	size_t n = 0;

	if (type == TYPE_SRV) {
		for (; *count < 4 && d->srv[*count].host; (*count)++)
			n += put_srv(p + n, &d->srv[*count]);
		return n;
	}
	if (host && host->a && type == TYPE_A)
		n = put_address(p, NULL, type, 600, host->a), *count = 1;
	if (host || (type != TYPE_A && type != TYPE_AAAA))
		return n;
	return put_addresses(d, p, type, count);
}

static unsigned rcode_of(const struct dns *d)
{
	const struct dns_host *host = find_host(d);

	if (host && host->broken)
		return RCODE_SERVFAIL;
	return host && !host->a ? RCODE_NXDOMAIN : d->rcode;
}

/* Makes the answer to the question of n bytes in place; returns its length. */
static size_t make_answer(struct dns *d, unsigned char *msg, size_t n, bool truncate, int *type)
{
	size_t end = take_name(msg, n, d->name) + 4;
	unsigned count = 0;

	*type = msg[end - 3];
	msg[2] = (unsigned char)(0x81 | (truncate ? 2 : 0));
	msg[3] = (unsigned char)(0x80 | rcode_of(d));
	memset(msg + 6, 0, 6);
	if (!truncate && rcode_of(d) == RCODE_OK)
		end += put_records(d, msg + end, *type, &count);
	msg[7] = (unsigned char)count;
	return end;
}

static void on_udp(evutil_socket_t fd, short what, void *arg)
{
	struct dns *d = arg;
	unsigned char msg[1024];
	struct sockaddr_storage from;
	socklen_t len = sizeof(from);
	int type;
	ssize_t n = recvfrom(fd, msg, 512, 0, (struct sockaddr *)&from, &len);

	(void)what;
	if (n < 17)
		return;
	size_t out = make_answer(d, msg, (size_t)n, d->truncate, &type);
	d->asked++;
	d->asked_a += type == TYPE_A;
	d->asked_aaaa += type == TYPE_AAAA;
	d->asked_srv += type == TYPE_SRV;
	if (d->silent)
		return;
	ck_assert_int_eq(sendto(fd, msg, out, 0, (struct sockaddr *)&from, len), (ssize_t)out);
}

static void on_conn(evutil_socket_t fd, short what, void *arg)
{
	struct dns *d = arg;
	unsigned char msg[2048];
	ssize_t got = recv(fd, msg, 1024, 0);
	size_t at = 0;

	(void)what;
	if (got <= 0) {
		event_del(d->on_conn);
		return;
	}
	while (at + 2 < (size_t)got) { /* both questions may come at once */
		unsigned char one[1024];
		int type;
		size_t n = (size_t)(msg[at] << 8 | msg[at + 1]);

		ck_assert_uint_le(at + 2 + n, (size_t)got);
		memcpy(one + 2, msg + at + 2, n);
		at += n + 2;
		d->asked_by_tcp++;
		n = make_answer(d, one + 2, n, false, &type);
		one[0] = (unsigned char)(n >> 8);
		one[1] = (unsigned char)n;
		ck_assert_int_eq(send(fd, one, n + 2, MSG_NOSIGNAL), (ssize_t)n + 2);
	}
}

static void on_tcp(evutil_socket_t fd, short what, void *arg)
{
	struct dns *d = arg;

	(void)what;
	if (d->conn >= 0)
		return;
	d->conn = accept(fd, NULL, NULL);
	ck_assert_int_ge(d->conn, 0);
	d->on_conn = event_new(d->base, d->conn, EV_READ | EV_PERSIST, on_conn, d);
	event_add(d->on_conn, NULL);
}

/* One port number that is free for both protocols; port 0: any. */
static uint16_t bind_both(struct dns *d, uint16_t port)
{
	struct sockaddr_in sa = {.sin_family = AF_INET};
	socklen_t len = sizeof(sa);
	int on = 1;

	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	for (int tries = 0; tries < 20; tries++) {
		d->tcp = socket(AF_INET, SOCK_STREAM, 0);
		d->udp = socket(AF_INET, SOCK_DGRAM, 0);
		setsockopt(d->tcp, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
		sa.sin_port = htons(port);
		ck_assert_int_eq(bind(d->tcp, (struct sockaddr *)&sa, sizeof(sa)), 0);
		ck_assert_int_eq(getsockname(d->tcp, (struct sockaddr *)&sa, &len), 0);
		if (bind(d->udp, (struct sockaddr *)&sa, sizeof(sa)) == 0)
			return ntohs(sa.sin_port);
		close(d->tcp);
		close(d->udp);
	}
	ck_abort_msg("no free port");
	return 0;
}

struct dns *dns_new(struct event_base *base)
{
	return dns_new_at(base, 0);
}

struct dns *dns_new_at(struct event_base *base, uint16_t port)
{
	struct dns *d = calloc(1, sizeof(*d));

	ck_assert_ptr_nonnull(d);
	d->base = base;
	d->conn = -1;
	snprintf(d->address, sizeof(d->address), "127.0.0.1:%u", bind_both(d, port));
	ck_assert_int_eq(listen(d->tcp, 4), 0);
	d->on_udp = event_new(base, d->udp, EV_READ | EV_PERSIST, on_udp, d);
	d->on_tcp = event_new(base, d->tcp, EV_READ | EV_PERSIST, on_tcp, d);
	event_add(d->on_udp, NULL);
	event_add(d->on_tcp, NULL);
	return d;
}

void dns_free(struct dns *d)
{
	if (!d)
		return;
	event_free(d->on_udp);
	event_free(d->on_tcp);
	if (d->on_conn)
		event_free(d->on_conn);
	if (d->conn >= 0)
		close(d->conn);
	close(d->udp);
	close(d->tcp);
	free(d);
}
