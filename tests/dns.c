/* dns.c - a small DNS server for tests (RFC 1035). */
#include <arpa/inet.h>
#include <check.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>

#include "tests/dns.h"

enum { TYPE_A = 1, TYPE_AAAA = 28 };

static size_t put_record(unsigned char *p, int type, uint32_t ttl, const char *text)
{
	size_t len = type == TYPE_A ? 4 : 16;
	unsigned char head[] = {0xc0, 0x0c, 0, (unsigned char)type, 0, 1,
		(unsigned char)(ttl >> 24), (unsigned char)(ttl >> 16), (unsigned char)(ttl >> 8),
		(unsigned char)ttl, 0, (unsigned char)len};

	memcpy(p, head, sizeof(head));
	ck_assert_int_eq(inet_pton(type == TYPE_A ? AF_INET : AF_INET6, text, p + sizeof(head)), 1);
	return sizeof(head) + len;
}

static size_t put_records(const struct dns *d, unsigned char *p, int type, unsigned *count)
{
	const char *const *text = type == TYPE_A ? d->a : d->aaaa;
	size_t n = 0;

	if (type != TYPE_A && type != TYPE_AAAA)
		return 0;
	for (; *count < 4 && text[*count]; (*count)++)
		n += put_record(p + n, type, type == TYPE_A ? d->a_ttl[*count] : 600, text[*count]);
	return n;
}

/* Makes the answer to the question of n bytes in place; returns its length. */
static size_t make_answer(const struct dns *d, unsigned char *msg, size_t n, bool truncate)
{
	size_t end = 12;
	unsigned count = 0;

	while (end < n && msg[end] != 0)
		end += msg[end] + 1u;
	int type = msg[end + 2];

	end += 5;
	msg[2] = (unsigned char)(0x81 | (truncate ? 2 : 0));
	msg[3] = (unsigned char)(0x80 | d->rcode);
	memset(msg + 6, 0, 6);
	if (!truncate)
		end += put_records(d, msg + end, type, &count);
	msg[7] = (unsigned char)count;
	return end;
}

static void on_udp(evutil_socket_t fd, short what, void *arg)
{
	struct dns *d = arg;
	unsigned char msg[1024];
	struct sockaddr_storage from;
	socklen_t len = sizeof(from);
	ssize_t n = recvfrom(fd, msg, 512, 0, (struct sockaddr *)&from, &len);

	(void)what;
	if (n < 17)
		return;
	d->asked++;
	if (d->silent)
		return;
	size_t out = make_answer(d, msg, (size_t)n, d->truncate);
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
		size_t n = (size_t)(msg[at] << 8 | msg[at + 1]);

		ck_assert_uint_le(at + 2 + n, (size_t)got);
		memcpy(one + 2, msg + at + 2, n);
		at += n + 2;
		d->asked_by_tcp++;
		n = make_answer(d, one + 2, n, false);
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

/* One port number that is free for both protocols. */
static uint16_t bind_both(struct dns *d)
{
	struct sockaddr_in sa = {.sin_family = AF_INET};
	socklen_t len = sizeof(sa);

	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	for (int tries = 0; tries < 20; tries++) {
		d->tcp = socket(AF_INET, SOCK_STREAM, 0);
		d->udp = socket(AF_INET, SOCK_DGRAM, 0);
		sa.sin_port = 0;
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
	struct dns *d = calloc(1, sizeof(*d));

	ck_assert_ptr_nonnull(d);
	d->base = base;
	d->conn = -1;
	snprintf(d->address, sizeof(d->address), "127.0.0.1:%u", bind_both(d));
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
