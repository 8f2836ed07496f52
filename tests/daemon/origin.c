/*
 * origin.c - the test origin's sockets: a thread that accepts, a thread for each connection, TLS,
 * and the counters that tests look at.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/daemon/origin_int.h"

#define SEEN_MAX (4u << 20)

static int choose_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
	const unsigned char *in, unsigned in_len, void *arg)
{
	const struct origin_conn *oc = SSL_get_app_data(ssl);
	const unsigned char *mine = (const unsigned char *)(oc->h2 ? "\2h2" : "\10http/1.1");
	unsigned char *chosen;

	(void)arg;
	if (SSL_select_next_proto(&chosen, out_len, mine, mine[0] + 1u, in, in_len) !=
		OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*out = chosen;
	return SSL_TLSEXT_ERR_OK;
}

static SSL_CTX *server_context(const char *certs)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	char cert[512], key[512];

	MUST(ctx != NULL);
	snprintf(cert, sizeof(cert), "%s/server.pem", certs);
	snprintf(key, sizeof(key), "%s/server.key", certs);
	MUST(SSL_CTX_use_certificate_chain_file(ctx, cert) == 1);
	MUST(SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) == 1);
	SSL_CTX_set_alpn_select_cb(ctx, choose_alpn, NULL);
	return ctx;
}

static bool handshake(struct origin_conn *oc)
{
	if (!oc->origin->tls)
		return true;
	oc->ssl = SSL_new(oc->origin->tls);
	return oc->ssl && SSL_set_app_data(oc->ssl, oc) == 1 && SSL_set_fd(oc->ssl, oc->fd) == 1 &&
	       SSL_accept(oc->ssl) == 1;
}

static void close_conn(struct origin_conn *oc)
{
	struct origin *o = oc->origin;

	if (oc->ssl)
		SSL_shutdown(oc->ssl);
	SSL_free(oc->ssl);
	free(oc->in.p);
	pthread_mutex_lock(&o->lock);
	close(oc->fd);
	close(oc->wake);
	oc->fd = -1;
	o->counts.open--;
	pthread_mutex_unlock(&o->lock);
}

/* Those that wait here are in the middle of a handshake on the client's side, too. */
static void greet_late(struct origin_conn *oc)
{
	struct origin *o = oc->origin;

	if (!o->opts.greet_late)
		return;
	oc_wait(oc, o->opts.greet_late);
	pthread_mutex_lock(&o->lock);
	o->counts.ungreeted--;
	pthread_mutex_unlock(&o->lock);
}

static void count_resumed(struct origin_conn *oc)
{
	if (!oc->ssl || !SSL_session_reused(oc->ssl))
		return;
	pthread_mutex_lock(&oc->origin->lock);
	oc->origin->counts.resumed++;
	pthread_mutex_unlock(&oc->origin->lock);
}

static void *conn_main(void *arg)
{
	struct origin_conn *oc = arg;

	greet_late(oc);
	if (handshake(oc)) {
		count_resumed(oc);
		if (oc->origin->opts.serve)
			oc->origin->opts.serve(oc);
		else if (oc->h2)
			origin_h2_serve(oc);
		else
			origin_h1_serve(oc);
	}
	close_conn(oc);
	return NULL;
}

static void take(struct origin *o, int fd)
{
	struct origin_conn *oc = calloc(1, sizeof(*oc));
	int one = 1;

	MUST(oc != NULL);
	oc->origin = o;
	oc->fd = fd;
	oc->wake = eventfd(0, EFD_CLOEXEC);
	MUST(oc->wake >= 0);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	pthread_mutex_lock(&o->lock);
	oc->next = o->conns;
	o->conns = oc;
	oc->number = ++o->counts.accepted;
	oc->h2 = o->opts.h2 && !(o->opts.flips && oc->number % 2 == 0);
	o->counts.open++;
	if (o->counts.open > o->counts.peak)
		o->counts.peak = o->counts.open;
	o->counts.ungreeted += o->opts.greet_late > 0;
	if (o->counts.ungreeted > o->counts.ungreeted_peak)
		o->counts.ungreeted_peak = o->counts.ungreeted;
	MUST(pthread_create(&oc->thread, NULL, conn_main, oc) == 0);
	pthread_mutex_unlock(&o->lock);
}

static void *accept_main(void *arg)
{
	struct origin *o = arg;
	struct pollfd p[2] = {
		{.fd = o->stop, .events = POLLIN}, {.fd = o->listener, .events = POLLIN}};

	for (;;) {
		errno = 0;
		if (poll(p, 2, -1) < 0 && errno != EINTR)
			return NULL;
		if (p[0].revents)
			return NULL;
		int fd = p[1].revents ? accept4(o->listener, NULL, NULL, SOCK_CLOEXEC) : -1;
		if (fd >= 0)
			take(o, fd);
		else if (errno == EINVAL) /* origin_refuse */
			return NULL;
	}
}

static void listen_there(struct origin *o)
{
	const char *address = o->opts.address ? o->opts.address : "127.0.0.1";
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)o->opts.port)};
	socklen_t len = sizeof(a);

	MUST(inet_pton(AF_INET, address, &a.sin_addr) == 1);
	o->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	MUST(o->listener >= 0);
	MUST(bind(o->listener, (struct sockaddr *)&a, sizeof(a)) == 0);
	MUST(listen(o->listener, 1024) == 0);
	MUST(getsockname(o->listener, (struct sockaddr *)&a, &len) == 0);
	o->port = ntohs(a.sin_port);
}

struct origin *origin_start(const struct origin_opts *opts, const char *certs)
{
	struct origin *o = calloc(1, sizeof(*o));

	MUST(o != NULL);
	o->opts = *opts;
	if (!o->opts.name)
		o->opts.name = "origin";
	if (!o->opts.max_streams)
		o->opts.max_streams = 100;
	if (opts->tls)
		o->tls = server_context(certs);
	o->times = calloc(opts->nonces + 1, 1);
	MUST(o->times != NULL);
	pthread_mutex_init(&o->lock, NULL);
	o->stop = eventfd(0, EFD_CLOEXEC);
	MUST(o->stop >= 0);
	listen_there(o);
	MUST(pthread_create(&o->acceptor, NULL, accept_main, o) == 0);
	return o;
}

void origin_stop(struct origin *o)
{
	uint64_t one = 1;

	MUST(write(o->stop, &one, sizeof(one)) == sizeof(one));
	pthread_join(o->acceptor, NULL);
	origin_hang_up(o);
	while (o->conns) {
		struct origin_conn *oc = o->conns;

		pthread_join(oc->thread, NULL);
		o->conns = oc->next;
		free(oc);
	}
	close(o->listener);
	close(o->stop);
	SSL_CTX_free(o->tls);
	pthread_mutex_destroy(&o->lock);
	free(o->seen.p);
	free(o->times);
	free(o);
}

void origin_refuse(struct origin *o)
{
	MUST(shutdown(o->listener, SHUT_RDWR) == 0);
}

void origin_kill(struct origin *o)
{
	struct sockaddr nobody = {.sa_family = AF_UNSPEC};

	pthread_mutex_lock(&o->lock);
	for (struct origin_conn *oc = o->conns; oc; oc = oc->next)
		if (oc->fd >= 0)
			connect(oc->fd, &nobody, sizeof(nobody));
	pthread_mutex_unlock(&o->lock);
}

void origin_hang_up(struct origin *o)
{
	pthread_mutex_lock(&o->lock);
	for (struct origin_conn *oc = o->conns; oc; oc = oc->next)
		if (oc->fd >= 0)
			shutdown(oc->fd, SHUT_RDWR);
	pthread_mutex_unlock(&o->lock);
}

/* The lock is held. */
static void wake_all(struct origin *o)
{
	uint64_t one = 1;

	for (struct origin_conn *oc = o->conns; oc; oc = oc->next)
		if (oc->fd >= 0)
			MUST(write(oc->wake, &one, sizeof(one)) == sizeof(one));
}

void origin_set_max_streams(struct origin *o, unsigned n)
{
	pthread_mutex_lock(&o->lock);
	o->opts.max_streams = n;
	wake_all(o);
	pthread_mutex_unlock(&o->lock);
}

void origin_goaway(struct origin *o)
{
	pthread_mutex_lock(&o->lock);
	o->goaways++;
	wake_all(o);
	pthread_mutex_unlock(&o->lock);
}

void origin_release(struct origin *o)
{
	pthread_mutex_lock(&o->lock);
	o->released = true;
	wake_all(o);
	pthread_mutex_unlock(&o->lock);
}

bool origin_released(struct origin *o)
{
	pthread_mutex_lock(&o->lock);
	bool released = o->released;
	pthread_mutex_unlock(&o->lock);
	return released;
}

unsigned origin_times(struct origin *o, unsigned n)
{
	pthread_mutex_lock(&o->lock);
	unsigned times = o->times[n];
	pthread_mutex_unlock(&o->lock);
	return times;
}

unsigned origin_port(const struct origin *o)
{
	return o->port;
}

bool origin_is_tls(const struct origin *o)
{
	return o->opts.tls;
}

bool origin_is_h2(const struct origin *o)
{
	return o->opts.h2;
}

struct origin_counts origin_counts(struct origin *o)
{
	pthread_mutex_lock(&o->lock);
	struct origin_counts c = o->counts;
	pthread_mutex_unlock(&o->lock);
	return c;
}

void origin_count_request(struct origin *o)
{
	pthread_mutex_lock(&o->lock);
	o->counts.requests++;
	pthread_mutex_unlock(&o->lock);
}

bool origin_saw(struct origin *o, const char *text)
{
	pthread_mutex_lock(&o->lock);
	bool saw = o->seen.n && memmem(o->seen.p, o->seen.n, text, strlen(text));
	pthread_mutex_unlock(&o->lock);
	return saw;
}

ssize_t oc_read(struct origin_conn *oc, void *buf, size_t n)
{
	struct origin *o = oc->origin;
	ssize_t got;

	if (oc->ssl) {
		ERR_clear_error();
		got = SSL_read(oc->ssl, buf, (int)n);
	} else {
		got = recv(oc->fd, buf, n, 0);
	}
	if (got <= 0)
		return got;
	pthread_mutex_lock(&o->lock);
	if (o->seen.n < SEEN_MAX)
		bytes_add(&o->seen, buf, (size_t)got);
	pthread_mutex_unlock(&o->lock);
	return got;
}

bool oc_write(struct origin_conn *oc, const void *data, size_t n)
{
	const char *p = data;

	while (n > 0) {
		size_t most = n < 1u << 20 ? n : 1u << 20;
		ssize_t sent;

		if (oc->ssl) {
			ERR_clear_error();
			sent = SSL_write(oc->ssl, p, (int)most);
		} else {
			sent = send(oc->fd, p, most, MSG_NOSIGNAL);
		}
		if (sent <= 0)
			return false;
		p += sent;
		n -= (size_t)sent;
	}
	return true;
}

bool oc_say(struct origin_conn *oc, const char *text)
{
	return oc_write(oc, text, strlen(text));
}

bool oc_fill(struct origin_conn *oc)
{
	char piece[65536];
	ssize_t got = oc_read(oc, piece, sizeof(piece));

	if (got <= 0)
		return false;
	bytes_add(&oc->in, piece, (size_t)got);
	return true;
}

bool oc_read_head(struct origin_conn *oc)
{
	char *end;

	while (!oc->in.n || !(end = memmem(oc->in.p, oc->in.n, "\r\n\r\n", 4)))
		if (!oc_fill(oc))
			return false;
	bytes_drain(&oc->in, (size_t)(end - oc->in.p) + 4);
	return true;
}

bool oc_await(struct origin_conn *oc)
{
	char c;

	return recv(oc->fd, &c, 1, MSG_PEEK) == 1;
}

bool oc_wait(struct origin_conn *oc, unsigned ms)
{
	struct pollfd p = {.fd = oc->origin->stop, .events = POLLIN};

	return poll(&p, 1, (int)ms) == 0;
}

void oc_wait_hangup(struct origin_conn *oc)
{
	struct pollfd p[2] = {
		{.fd = oc->origin->stop, .events = POLLIN}, {.fd = oc->fd, .events = POLLRDHUP}};

	poll(p, 2, -1);
}

void oc_ignore_body(struct origin_conn *oc)
{
	if (oc_read_head(oc))
		oc_wait_hangup(oc);
}

void oc_reset(struct origin_conn *oc)
{
	struct sockaddr nobody = {.sa_family = AF_UNSPEC};

	oc_vanish(oc);
	MUST(connect(oc->fd, &nobody, sizeof(nobody)) == 0); /* a close would come later */
}

void oc_shut(struct origin_conn *oc)
{
	shutdown(oc->fd, SHUT_WR);
}

void oc_vanish(struct origin_conn *oc)
{
	if (oc->ssl)
		SSL_set_quiet_shutdown(oc->ssl, 1);
}
