/* peer.c - the scripted other end of a connection, in the loop of the test. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "lib/codec/h2_glue.h"
#include "tests/peer.h"

_Thread_local bool peer_at_work;

/* ---- the loop --------------------------------------------------------- */

static void on_guard(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	*(bool *)arg = true;
}

struct event *peer_guard_begin(struct event_base *base, bool *expired)
{
	struct timeval most = {PEER_WAIT_MAX, 0};
	struct event *guard = evtimer_new(base, on_guard, expired);

	ck_assert_ptr_nonnull(guard);
	event_add(guard, &most);
	return guard;
}

void turns(struct event_base *base, int n)
{
	while (n-- > 0)
		event_base_loop(base, EVLOOP_NONBLOCK);
}

/* ---- reading ----------------------------------------------------------- */

static void in_room(struct peer *p, size_t n)
{
	if (p->in_len + n + 1 <= p->in_size)
		return;
	p->in_size = (p->in_len + n + 1) * 2;
	p->in = realloc(p->in, p->in_size);
	ck_assert_ptr_nonnull(p->in);
}

static void in_drop(struct peer *p, size_t n)
{
	ck_assert_uint_le(n, p->in_len);
	p->in_len -= n;
	memmove(p->in, p->in + n, p->in_len + 1);
}

/* > 0: bytes; 0: nothing now; -1: end. */
static ssize_t read_some(struct peer *p, char *buf, size_t n)
{
	ssize_t got;

	if (!p->ssl) {
		got = recv(p->fd, buf, n, 0);
		if (got < 0 && errno == EAGAIN)
			return 0;
		p->error = got < 0 ? errno : 0;
		return got > 0 ? got : -1;
	}
	ERR_clear_error();
	got = SSL_read(p->ssl, buf, (int)n);
	if (got > 0)
		return got;
	switch (SSL_get_error(p->ssl, (int)got)) {
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE:
		return 0;
	case SSL_ERROR_ZERO_RETURN:
		return -1;
	default:
		p->error = EPROTO; /* a refused handshake, an end without close_notify */
		return -1;
	}
}

static void read_all(struct peer *p)
{
	for (;;) {
		in_room(p, 16384);
		ssize_t got = read_some(p, p->in + p->in_len, 16384);

		if (got < 0) {
			p->eof = true;
			event_del(p->on_read);
		}
		if (got <= 0)
			return;
		p->in_len += (size_t)got;
		p->in[p->in_len] = '\0';
	}
}

static void on_read(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	peer_at_work = true;
	read_all(arg);
	peer_at_work = false;
}

/* ---- a BIO that raises no SIGPIPE ---------------------------------------- */

static int bio_read(BIO *bio, char *buf, int n)
{
	struct peer *p = BIO_get_data(bio);
	ssize_t got = recv(p->fd, buf, (size_t)n, 0);

	BIO_clear_retry_flags(bio);
	if (got < 0 && errno == EAGAIN)
		BIO_set_retry_read(bio);
	return (int)got;
}

static int bio_write(BIO *bio, const char *buf, int n)
{
	struct peer *p = BIO_get_data(bio);
	ssize_t put = send(p->fd, buf, (size_t)n, MSG_NOSIGNAL);

	BIO_clear_retry_flags(bio);
	if (put < 0 && errno == EAGAIN)
		BIO_set_retry_write(bio);
	return (int)put;
}

static long bio_ctrl(BIO *bio, int cmd, long num, void *ptr)
{
	(void)bio, (void)num, (void)ptr;
	return cmd == BIO_CTRL_FLUSH;
}

static void begin_tls(struct peer *p)
{
	BIO *bio;

	if (!p->bio) {
		p->bio = BIO_meth_new(BIO_TYPE_SOURCE_SINK | BIO_get_new_index(), "peer");
		BIO_meth_set_read(p->bio, bio_read);
		BIO_meth_set_write(p->bio, bio_write);
		BIO_meth_set_ctrl(p->bio, bio_ctrl);
	}
	bio = BIO_new(p->bio);
	p->ssl = SSL_new(p->tls);
	ck_assert(bio && p->ssl);
	BIO_set_data(bio, p);
	BIO_set_init(bio, 1);
	SSL_set_bio(p->ssl, bio, bio);
	SSL_set_accept_state(p->ssl);
}

static void on_listen(evutil_socket_t fd, short what, void *arg)
{
	struct peer *p = arg;

	(void)what;
	if (p->fd >= 0)
		return;
	p->fd = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (p->fd < 0)
		return;
	p->accepted++;
	event_del(p->on_listen);
	peer_at_work = true;
	if (p->tls)
		begin_tls(p);
	peer_at_work = false;
	p->on_read = event_new(p->base, p->fd, EV_READ | EV_PERSIST, on_read, p);
	if (!p->mute)
		event_add(p->on_read, NULL);
}

/* ---- life -------------------------------------------------------------- */

static struct peer *peer_new(struct event_base *base, const struct sockaddr *sa, socklen_t len)
{
	struct peer *p = calloc(1, sizeof(*p));

	ck_assert_ptr_nonnull(p);
	p->base = base;
	p->fd = -1;
	p->listener = socket(sa->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	ck_assert_int_ge(p->listener, 0);
	ck_assert_int_eq(bind(p->listener, sa, len), 0);
	ck_assert_int_eq(listen(p->listener, 16), 0);
	p->on_listen = event_new(base, p->listener, EV_READ | EV_PERSIST, on_listen, p);
	event_add(p->on_listen, NULL);
	in_room(p, 1);
	p->in[0] = '\0';
	return p;
}

struct peer *peer_unix(struct event_base *base)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	char dir[] = "/tmp/peer-XXXXXX";
	struct peer *p;

	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(un.sun_path, sizeof(un.sun_path), "%s/s", dir);
	p = peer_new(base, (struct sockaddr *)&un, sizeof(un));
	snprintf(p->dir, sizeof(p->dir), "%s", dir);
	snprintf(p->address, sizeof(p->address), "unix:%s", un.sun_path);
	return p;
}

struct peer *peer_tcp(struct event_base *base)
{
	struct sockaddr_in in = {.sin_family = AF_INET};
	socklen_t len = sizeof(in);
	struct peer *p;

	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	p = peer_new(base, (struct sockaddr *)&in, sizeof(in));
	ck_assert_int_eq(getsockname(p->listener, (struct sockaddr *)&in, &len), 0);
	snprintf(p->address, sizeof(p->address), "127.0.0.1:%u", ntohs(in.sin_port));
	return p;
}

static void hang_up(struct peer *p)
{
	if (p->on_read)
		event_free(p->on_read);
	peer_at_work = true;
	SSL_free(p->ssl);
	peer_at_work = false;
	if (p->fd >= 0)
		close(p->fd);
	if (p->inflater)
		nghttp2_hd_inflate_del(p->inflater);
	p->on_read = NULL;
	p->ssl = NULL;
	p->inflater = NULL;
	p->fd = -1;
}

void peer_free(struct peer *p)
{
	if (!p)
		return;
	hang_up(p);
	event_free(p->on_listen);
	close(p->listener);
	SSL_CTX_free(p->tls);
	BIO_meth_free(p->bio);
	if (p->dir[0] != '\0') {
		unlink(p->address + strlen("unix:"));
		rmdir(p->dir);
	}
	free(p->in);
	free(p->tape);
	free(p);
}

/* ---- TLS --------------------------------------------------------------- */

static int choose_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
	const unsigned char *in, unsigned in_len, void *arg)
{
	struct peer *p = arg;
	unsigned char wire[33];
	unsigned n = (unsigned)strlen(p->alpn);

	(void)ssl;
	wire[0] = (unsigned char)n;
	memcpy(wire + 1, p->alpn, n);
	if (n == 0 || SSL_select_next_proto((unsigned char **)(uintptr_t)out, out_len, wire, n + 1,
			      in, in_len) != OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_NOACK;
	/* It points into wire; the name in the client's list lives on. */
	for (unsigned i = 0; i < in_len; i += in[i] + 1u) {
		if (in[i] == n && memcmp(in + i + 1, p->alpn, n) == 0)
			*out = in + i + 1;
	}
	return SSL_TLSEXT_ERR_OK;
}

void peer_use_tls(struct peer *p, struct ssl_ctx_st *tls, const char *alpn)
{
	SSL_CTX_up_ref(tls);
	p->tls = tls;
	snprintf(p->alpn, sizeof(p->alpn), "%s", alpn);
	SSL_CTX_set_alpn_select_cb(tls, choose_alpn, p);
}

static X509 *certificate(EVP_PKEY *key, const char *name, int days)
{
	X509 *x = X509_new();
	X509_EXTENSION *san = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, name);
	X509_NAME *subject = X509_get_subject_name(x);

	X509_set_version(x, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
	X509_gmtime_adj(X509_getm_notBefore(x), -30L * 86400);
	X509_gmtime_adj(X509_getm_notAfter(x), days * 86400L);
	X509_NAME_add_entry_by_txt(
		subject, "CN", MBSTRING_ASC, (const unsigned char *)"peer", -1, -1, 0);
	X509_set_issuer_name(x, subject);
	X509_set_pubkey(x, key);
	X509_add_ext(x, san, -1);
	X509_EXTENSION_free(san);
	ck_assert_int_gt(X509_sign(x, key, EVP_sha256()), 0);
	return x;
}

struct ssl_ctx_st *peer_tls_server(const char *name, int days)
{
	SSL_CTX *tls = SSL_CTX_new(TLS_server_method());
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x = certificate(key, name, days);

	ck_assert_int_eq(SSL_CTX_use_certificate(tls, x), 1);
	ck_assert_int_eq(SSL_CTX_use_PrivateKey(tls, key), 1);
	X509_free(x);
	EVP_PKEY_free(key);
	return tls;
}

struct ssl_ctx_st *peer_tls_client(struct ssl_ctx_st *server)
{
	SSL_CTX *tls = SSL_CTX_new(TLS_client_method());

	SSL_CTX_set_verify(tls, SSL_VERIFY_PEER, NULL);
	if (server)
		X509_STORE_add_cert(SSL_CTX_get_cert_store(tls), SSL_CTX_get0_certificate(server));
	return tls;
}

/* ---- bytes ------------------------------------------------------------- */

void peer_accept(struct peer *p)
{
	until(p->base, p->fd >= 0);
	if (p->ssl)
		until(p->base, SSL_is_init_finished(p->ssl));
}

void peer_expect(struct peer *p, const char *text)
{
	size_t n = strlen(text);

	until(p->base, p->in_len >= n || p->eof);
	ck_assert_msg(p->in_len >= n && memcmp(p->in, text, n) == 0,
		"expected \"%s\", got \"%s\"%s", text, p->in, p->eof ? " and the end" : "");
	in_drop(p, n);
}

void peer_head(struct peer *p, char *buf, size_t size)
{
	until(p->base, strstr(p->in, "\r\n\r\n") || p->eof);

	const char *end = strstr(p->in, "\r\n\r\n");
	ck_assert_msg(end, "no message head in \"%s\"", p->in);
	size_t n = (size_t)(end - p->in) + 4;
	ck_assert_uint_lt(n, size);
	memcpy(buf, p->in, n);
	buf[n] = '\0';
	in_drop(p, n);
}

ssize_t peer_try(struct peer *p, const void *data, size_t n)
{
	int put;

	if (!p->ssl)
		return send(p->fd, data, n, MSG_NOSIGNAL);
	peer_at_work = true;
	ERR_clear_error();
	put = SSL_write(p->ssl, data, (int)n);
	if (put <= 0)
		errno = SSL_get_error(p->ssl, put) == SSL_ERROR_WANT_WRITE ? EAGAIN : EPIPE;
	peer_at_work = false;
	return put > 0 ? put : -1;
}

static void write_down(struct peer *p, const void *data, size_t n)
{
	if (p->tape_len + n > p->tape_size) {
		p->tape_size = (p->tape_len + n) * 2;
		p->tape = realloc(p->tape, p->tape_size);
		ck_assert_ptr_nonnull(p->tape);
	}
	memcpy(p->tape + p->tape_len, data, n);
	p->tape_len += n;
}

/* What the client does not want any more may be lost: it has closed. */
void peer_send(struct peer *p, const void *data, size_t n)
{
	const char *at = data;
	bool expired = false;
	struct event *guard;

	if (p->writes) {
		write_down(p, data, n);
		return;
	}
	guard = peer_guard_begin(p->base, &expired);
	while (n > 0 && !expired) {
		ssize_t put = peer_try(p, at, n);

		if (put > 0) {
			at += put;
			n -= (size_t)put;
		} else if (errno == EAGAIN) {
			event_base_loop(p->base, EVLOOP_NONBLOCK);
		} else {
			break;
		}
	}
	event_free(guard);
	ck_assert_msg(!expired, "the client does not read");
}

void peer_say(struct peer *p, const char *text)
{
	peer_send(p, text, strlen(text));
}

void peer_stall(struct peer *p, bool stalled)
{
	if (stalled)
		event_del(p->on_read);
	else
		event_add(p->on_read, NULL);
}

void peer_finish(struct peer *p)
{
	peer_at_work = true;
	if (p->ssl)
		SSL_shutdown(p->ssl);
	peer_at_work = false;
	shutdown(p->fd, SHUT_WR);
}

void peer_cut(struct peer *p)
{
	if (p->ssl)
		SSL_set_quiet_shutdown(p->ssl, 1);
	hang_up(p);
}

void peer_reset(struct peer *p)
{
	struct linger now = {1, 0};

	ck_assert_int_eq(setsockopt(p->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now)), 0);
	peer_cut(p);
}

void peer_next(struct peer *p)
{
	peer_cut(p);
	p->eof = false;
	p->error = 0;
	p->in_len = 0;
	p->in[0] = '\0';
	event_add(p->on_listen, NULL);
}

void peer_wait_eof(struct peer *p)
{
	until(p->base, p->eof);
}

/* ---- HTTP/2 ------------------------------------------------------------ */

void h2_send(struct peer *p, enum h2_type type, unsigned flags, uint32_t stream,
	const void *payload, size_t n)
{
	unsigned char head[9] = {(unsigned char)(n >> 16), (unsigned char)(n >> 8),
		(unsigned char)n, (unsigned char)type, (unsigned char)flags};

	stream = htonl(stream);
	memcpy(head + 5, &stream, 4);
	peer_send(p, head, sizeof(head));
	peer_send(p, payload, n);
}

void h2_preface(struct peer *p)
{
	peer_expect(p, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
}

void h2_begin(struct peer *p, int64_t max_streams)
{
	peer_accept(p);
	h2_preface(p);
	h2_wait(p, H2_SETTINGS);
	if (max_streams < 0)
		h2_send(p, H2_SETTINGS, 0, 0, "", 0);
	else
		h2_setting(p, H2_MAX_STREAMS, (uint32_t)max_streams);
	h2_send(p, H2_SETTINGS, H2_ACK, 0, "", 0); /* RFC 9113 3.4: not the first frame */
}

void h2_setting(struct peer *p, unsigned id, uint32_t value)
{
	unsigned char payload[6] = {(unsigned char)(id >> 8), (unsigned char)id};

	value = htonl(value);
	memcpy(payload + 2, &value, 4);
	h2_send(p, H2_SETTINGS, 0, 0, payload, sizeof(payload));
}

static size_t frame_length(const struct peer *p)
{
	const unsigned char *b = (const unsigned char *)p->in;

	return p->in_len < 9 ? SIZE_MAX : ((size_t)b[0] << 16 | (size_t)b[1] << 8 | b[2]) + 9;
}

static void next_frame(struct peer *p)
{
	struct h2_frame *f = &p->frame;

	until(p->base, p->in_len >= frame_length(p) || p->eof);
	ck_assert_msg(p->in_len >= frame_length(p), "the client closed instead of a frame");
	f->n = frame_length(p) - 9;
	ck_assert_uint_lt(f->n, sizeof(f->payload));
	f->type = (uint8_t)p->in[3];
	f->flags = (uint8_t)p->in[4];
	memcpy(&f->stream, p->in + 5, 4);
	f->stream = ntohl(f->stream) & 0x7fffffff;
	memcpy(f->payload, p->in + 9, f->n);
	f->payload[f->n] = '\0';
	in_drop(p, f->n + 9);
}

static void take_field(struct peer *p, const nghttp2_nv *nv)
{
	size_t used = strlen(p->fields);

	if (nv->namelen == 7 && memcmp(nv->name, ":method", 7) == 0)
		snprintf(p->method, sizeof(p->method), "%s", nv->value);
	else if (nv->namelen == 5 && memcmp(nv->name, ":path", 5) == 0)
		snprintf(p->path, sizeof(p->path), "%s", nv->value);
	else if (nv->namelen == 10 && memcmp(nv->name, ":authority", 10) == 0)
		snprintf(p->authority, sizeof(p->authority), "%s", nv->value);
	else
		snprintf(p->fields + used, sizeof(p->fields) - used, "%s: %s\n", nv->name,
			nv->value);
}

/* Every HEADERS must be decoded, wanted or not: they share one table (RFC 7541 2.2). */
static void decode(struct peer *p)
{
	const unsigned char *at = p->frame.payload;
	size_t left = p->frame.n;
	int flags = 0;

	ck_assert_int_ne(p->frame.flags & H2_END_HEADERS, 0);
	if (p->frame.flags & 0x20) { /* PRIORITY */
		at += 5;
		left -= 5;
	}
	if (!p->inflater)
		ck_assert_int_eq(nghttp2_hd_inflate_new(&p->inflater), 0);
	p->method[0] = p->path[0] = p->authority[0] = p->fields[0] = '\0';
	while (!(flags & NGHTTP2_HD_INFLATE_FINAL)) {
		nghttp2_nv nv;
		nghttp2_ssize used = nghttp2_hd_inflate_hd3(p->inflater, &nv, &flags, at, left, 1);

		ck_assert_int_ge(used, 0);
		at += used;
		left -= (size_t)used;
		if (flags & NGHTTP2_HD_INFLATE_EMIT)
			take_field(p, &nv);
	}
	nghttp2_hd_inflate_end_headers(p->inflater);
}

void h2_wait_any(struct peer *p)
{
	next_frame(p);
	if (p->frame.type == H2_HEADERS)
		decode(p);
}

void h2_wait(struct peer *p, enum h2_type type)
{
	do
		h2_wait_any(p);
	while (p->frame.type != type);
}

uint32_t h2_request(struct peer *p)
{
	h2_wait(p, H2_HEADERS);
	return p->frame.stream;
}

/* A literal field without indexing (RFC 7541 6.2.2), plain strings shorter than 127. */
static size_t put_field(
	unsigned char *to, const char *name, size_t name_len, const char *value, size_t value_len)
{
	ck_assert(name_len < 127 && value_len < 127);
	to[0] = 0;
	to[1] = (unsigned char)name_len;
	memcpy(to + 2, name, name_len);
	to[2 + name_len] = (unsigned char)value_len;
	memcpy(to + 3 + name_len, value, value_len);
	return 3 + name_len + value_len;
}

void h2_respond(struct peer *p, uint32_t stream, int status, const char *fields, bool end)
{
	unsigned char block[4096];
	char code[4];
	size_t n = 0;

	if (status > 0) { /* 0: trailers */
		snprintf(code, sizeof(code), "%03d", status % 1000);
		n = put_field(block, ":status", 7, code, 3);
	}
	while (fields && *fields) {
		const char *colon = strchr(fields + 1, ':');
		const char *eol = strchr(fields, '\n');

		ck_assert(colon && eol && colon < eol);
		ck_assert_uint_lt(n, sizeof(block) - 300);
		n += put_field(block + n, fields, (size_t)(colon - fields), colon + 2,
			(size_t)(eol - colon) - 2);
		fields = eol + 1;
	}
	h2_send(p, H2_HEADERS, H2_END_HEADERS | (end ? H2_END_STREAM : 0u), stream, block, n);
}

void h2_data(struct peer *p, uint32_t stream, const char *text, bool end)
{
	h2_send(p, H2_DATA, end ? H2_END_STREAM : 0, stream, text, strlen(text));
}

void h2_answer(struct peer *p, uint32_t stream, int status, const char *text)
{
	h2_respond(p, stream, status, NULL, false);
	h2_data(p, stream, text, true);
}

void h2_reset(struct peer *p, uint32_t stream, enum h2_error code)
{
	uint32_t payload = htonl(code);

	h2_send(p, H2_RST_STREAM, 0, stream, &payload, 4);
}

void h2_goaway(struct peer *p, uint32_t last, enum h2_error code)
{
	uint32_t payload[2] = {htonl(last), htonl(code)};

	h2_send(p, H2_GOAWAY, 0, 0, payload, sizeof(payload));
}

uint32_t h2_u32(const struct peer *p, size_t at)
{
	uint32_t v;

	ck_assert_uint_le(at + 4, p->frame.n);
	memcpy(&v, p->frame.payload + at, 4);
	return ntohl(v);
}
