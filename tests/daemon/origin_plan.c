/*
 * origin_plan.c - from the path of a request to the way it will be answered, and the bytes of
 * generated bodies. The same for HTTP/1 and HTTP/2.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/daemon/origin_int.h"

struct rule {
	const char *path;
	unsigned status;
	enum plan_text text;
	void (*more)(struct plan *p, struct origin *o, uint64_t a, uint64_t b);
};

static void of_length(struct plan *p, struct origin *o, uint64_t a, uint64_t b)
{
	(void)o, (void)b;
	p->length = a;
}

static void of_unknown_length(struct plan *p, struct origin *o, uint64_t a, uint64_t b)
{
	of_length(p, o, a, b);
	p->declared = false;
}

static void until_eof(struct plan *p, struct origin *o, uint64_t a, uint64_t b)
{
	of_unknown_length(p, o, a, b);
	p->until_eof = true;
}

static void with_status(struct plan *p, struct origin *o, uint64_t a, uint64_t b)
{
	(void)o, (void)b;
	p->status = (unsigned)a;
}

static void delayed(struct plan *p, struct origin *o, uint64_t a, uint64_t b)
{
	(void)o, (void)b;
	p->delay = (unsigned)a;
}

static void held(struct plan *p, struct origin *o, uint64_t a, uint64_t b)
{
	of_length(p, o, a, b);
	p->hold = true;
}

static void dripping(struct plan *p, struct origin *o, uint64_t a, uint64_t b)
{
	(void)o;
	p->length = a * 1024;
	p->pace = (unsigned)b;
}

static void hints(struct plan *p, struct origin *o, uint64_t a, uint64_t b)
{
	(void)o, (void)a, (void)b;
	p->hints = true;
}

static void go_on(struct plan *p, struct origin *o, uint64_t a, uint64_t b)
{
	(void)o, (void)a, (void)b;
	p->go_on = true;
}

static void early(struct plan *p, struct origin *o, uint64_t a, uint64_t b)
{
	(void)o, (void)b;
	p->early = true;
	p->last = true;
	p->linger = (unsigned)a;
}

static void trailers(struct plan *p, struct origin *o, uint64_t a, uint64_t b)
{
	(void)o, (void)a, (void)b;
	p->trailers = true;
	p->declared = false;
}

static void hop(struct plan *p, struct origin *o, uint64_t a, uint64_t b)
{
	(void)o, (void)a, (void)b;
	p->hop = true;
}

static void last(struct plan *p, struct origin *o, uint64_t a, uint64_t b)
{
	(void)o, (void)a, (void)b;
	p->last = true;
}

static void vanish(struct plan *p, struct origin *o, uint64_t a, uint64_t b)
{
	(void)o, (void)a, (void)b;
	p->vanish = true;
}

static void no_head(struct plan *p, enum plan_stop stop)
{
	p->stop = stop;
	p->stop_before_head = true;
}

static void hangup(struct plan *p, struct origin *o, uint64_t a, uint64_t b)
{
	(void)o, (void)a, (void)b;
	no_head(p, STOP_CLOSE);
}

static void reset(struct plan *p, struct origin *o, uint64_t a, uint64_t b)
{
	(void)o, (void)a, (void)b;
	no_head(p, STOP_RESET);
}

static void refuse_once(struct plan *p, struct origin *o, uint64_t a, uint64_t b)
{
	(void)a, (void)b;
	pthread_mutex_lock(&o->lock);
	if (!o->refused)
		no_head(p, STOP_REFUSE);
	o->refused = true;
	pthread_mutex_unlock(&o->lock);
}

static void refuse(struct plan *p, struct origin *o, uint64_t a, uint64_t b)
{
	(void)o, (void)a, (void)b;
	no_head(p, STOP_REFUSE);
}

static void garbage(struct plan *p, struct origin *o, uint64_t a, uint64_t b)
{
	(void)o, (void)a, (void)b;
	no_head(p, STOP_GARBAGE);
}

static void stall(struct plan *p, struct origin *o, uint64_t a, uint64_t b)
{
	(void)o, (void)a, (void)b;
	no_head(p, STOP_STALL);
}

static void half(struct plan *p, uint64_t n, enum plan_stop stop)
{
	p->length = n;
	p->stop = stop;
	p->stop_at = n / 2;
}

static void stall_body(struct plan *p, struct origin *o, uint64_t a, uint64_t b)
{
	(void)o, (void)b;
	half(p, a, STOP_STALL);
}

static void cut(struct plan *p, struct origin *o, uint64_t a, uint64_t b)
{
	(void)b;
	half(p, a, o->opts.h2 ? STOP_RESET : STOP_CLOSE);
}

static void cut_chunked(struct plan *p, struct origin *o, uint64_t a, uint64_t b)
{
	cut(p, o, a, b);
	p->declared = false;
}

static void once(struct plan *p, struct origin *o, uint64_t a, uint64_t b)
{
	(void)o;
	p->nonce = (unsigned)a + 1;
	p->delay = (unsigned)b;
}

static void once_held(struct plan *p, struct origin *o, uint64_t a, uint64_t b)
{
	once(p, o, a, b);
	p->hold = true;
}

static const struct rule rules[] = {
	{"/bytes/", 200, TEXT_PATTERN, of_length},
	{"/chunked/", 200, TEXT_PATTERN, of_unknown_length},
	{"/until-eof/", 200, TEXT_PATTERN, until_eof},
	{"/sha", 200, TEXT_SHA, NULL},
	{"/echo", 200, TEXT_ECHO, NULL},
	{"/head", 200, TEXT_HEAD, NULL},
	{"/status/", 200, TEXT_OK, with_status},
	{"/slow/", 200, TEXT_OK, delayed},
	{"/hold/", 200, TEXT_PATTERN, held},
	{"/drip/", 200, TEXT_PATTERN, dripping},
	{"/hints", 200, TEXT_OK, hints},
	{"/continue", 200, TEXT_SHA, go_on},
	{"/early-drain/", 413, TEXT_OK, early},
	{"/early", 413, TEXT_OK, early},
	{"/trailers", 200, TEXT_OK, trailers},
	{"/hop", 200, TEXT_OK, hop},
	{"/close-after", 200, TEXT_OK, last},
	{"/vanish", 200, TEXT_OK, vanish},
	{"/hangup", 200, TEXT_OK, hangup},
	{"/reset", 200, TEXT_OK, reset},
	{"/refuse-once", 200, TEXT_OK, refuse_once},
	{"/refuse", 200, TEXT_OK, refuse},
	{"/garbage", 200, TEXT_OK, garbage},
	{"/once/", 200, TEXT_OK, once},
	{"/once-held/", 200, TEXT_OK, once_held},
	{"/stall-body/", 200, TEXT_PATTERN, stall_body},
	{"/stall", 200, TEXT_OK, stall},
	{"/cut/", 200, TEXT_PATTERN, cut},
	{"/cut-chunked/", 200, TEXT_PATTERN, cut_chunked},
	{"", 200, TEXT_OK, NULL},
};

void plan_make(struct plan *p, struct origin *o, const char *path)
{
	const struct rule *r = rules;
	uint64_t a = 0, b = 0;

	while (strncmp(path, r->path, strlen(r->path)) != 0)
		r++;
	sscanf(path + strlen(r->path), "%" SCNu64 "/%" SCNu64, &a, &b);
	*p = (struct plan){.status = r->status, .text = r->text, .declared = true};
	p->number = origin_counts(o).requests;
	if (r->more)
		r->more(p, o, a, b);
}

void plan_execute(const struct plan *p, struct origin *o)
{
	if (!p->nonce || p->nonce > o->opts.nonces)
		return;
	pthread_mutex_lock(&o->lock);
	o->times[p->nonce - 1]++;
	pthread_mutex_unlock(&o->lock);
}

void plan_body(
	const struct plan *p, EVP_MD_CTX *sha, struct bytes *body, const void *data, size_t n)
{
	EVP_DigestUpdate(sha, data, n);
	if (p->text == TEXT_ECHO)
		bytes_add(body, data, n);
}

void plan_text(struct plan *p, const struct bytes *head, const struct bytes *body, EVP_MD_CTX *sha,
	struct bytes *out)
{
	char hex[66];

	switch (p->text) {
	case TEXT_PATTERN:
		return;
	case TEXT_OK:
		bytes_add(out, "ok\n", 3);
		break;
	case TEXT_SHA:
		sha_hex(sha, hex);
		strcat(hex, "\n");
		bytes_add(out, hex, 65);
		break;
	case TEXT_ECHO:
		bytes_add(out, body->p, body->n);
		break;
	case TEXT_HEAD:
		bytes_add(out, head->p, head->n);
		break;
	}
	p->length = out->n;
}

EVP_MD_CTX *sha_new(void)
{
	EVP_MD_CTX *sha = EVP_MD_CTX_new();

	MUST(sha != NULL);
	EVP_DigestInit_ex(sha, EVP_sha256(), NULL);
	return sha;
}

void sha_hex(EVP_MD_CTX *sha, char hex[65])
{
	unsigned char raw[32];

	EVP_DigestFinal_ex(sha, raw, NULL);
	for (int i = 0; i < 32; i++)
		snprintf(hex + 2 * i, 3, "%02x", raw[i]);
}

void pattern_sha(uint64_t n, char hex[65])
{
	EVP_MD_CTX *sha = sha_new();
	char piece[16384];

	for (uint64_t at = 0; at < n; at += sizeof(piece)) {
		size_t len = n - at < sizeof(piece) ? (size_t)(n - at) : sizeof(piece);

		pattern_fill(piece, len, at);
		EVP_DigestUpdate(sha, piece, len);
	}
	sha_hex(sha, hex);
	EVP_MD_CTX_free(sha);
}

void bytes_add(struct bytes *b, const void *data, size_t n)
{
	if (n == 0)
		return;
	if (b->n + n > b->cap) {
		b->cap = 2 * (b->n + n);
		b->p = realloc(b->p, b->cap);
		MUST(b->p != NULL);
	}
	memcpy(b->p + b->n, data, n);
	b->n += n;
}

void bytes_drain(struct bytes *b, size_t n)
{
	if (n == 0)
		return;
	memmove(b->p, b->p + n, b->n - n);
	b->n -= n;
}
