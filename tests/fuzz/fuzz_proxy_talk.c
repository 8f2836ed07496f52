/*
 * fuzz_proxy_talk.c - a proxy that says whatever comes, whole and byte by byte: both ends the
 * same, and nothing that was not the proxy's is taken.
 *
 * The first byte chooses the proxy, the rest is what it says.
 */
#include <string.h>

#include <clientconn/buf.h>

#include "lib/net/proxy.h"
#include "lib/net/proxy_talk.h"
#include "tests/fuzz/fuzz_ctx.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static const char *const proxies[] = {
	"http://proxy", "http://joe:secret@proxy", "socks5://proxy", "socks5://joe:secret@proxy"};

struct end {
	enum proxy_talk_event event;
	size_t left; /* bytes not taken */
	size_t said;
	char detail[160];
};

static struct proxy_talk *make(const char *text)
{
	struct proxy *proxy;
	struct proxy_talk *t;

	FUZZ_ASSERT(proxy_parse(fuzz_ctx(), text, &proxy) == 0);
	FUZZ_ASSERT(proxy_talk_new(fuzz_ctx(), proxy, "api.example", 443, &t) == 0);
	return t;
}

static struct end hear(const char *text, const uint8_t *bytes, size_t n, size_t step)
{
	struct proxy_talk *t = make(text);
	struct end end = {.event = PROXY_TALK_MORE};
	struct cc_buf in, out;
	size_t at = 0;

	cc_buf_init(&in, fuzz_ctx());
	cc_buf_init(&out, fuzz_ctx());
	FUZZ_ASSERT(proxy_talk_begin(t, &out) == 0);
	while (at < n && end.event == PROXY_TALK_MORE) {
		size_t part = n - at < step ? n - at : step;

		FUZZ_ASSERT(cc_buf_add(&in, bytes + at, part) == 0);
		at += part;
		end.event = proxy_talk_feed(t, &in, &out);
	}
	end.left = in.len + (n - at);
	end.said = out.len;
	strncpy(end.detail, proxy_talk_detail(t), sizeof(end.detail) - 1);
	FUZZ_ASSERT((end.event == PROXY_TALK_FAILED) == (proxy_talk_error(t) != 0));
	FUZZ_ASSERT((end.event == PROXY_TALK_FAILED) == (end.detail[0] != '\0'));
	FUZZ_ASSERT(!strstr(end.detail, "secret"));
	for (const char *c = end.detail; *c; c++)
		FUZZ_ASSERT(*c >= 0x20 && *c < 0x7f);
	cc_buf_clear(&in);
	cc_buf_clear(&out);
	proxy_talk_free(t);
	return end;
}

static void check_text(const uint8_t *bytes, size_t n)
{
	char *text = malloc(n + 1);
	struct proxy *proxy;

	FUZZ_ASSERT(text);
	memcpy(text, bytes, n);
	text[n] = '\0';
	if (proxy_parse(fuzz_ctx(), text, &proxy) == 0) {
		FUZZ_ASSERT(strlen(proxy->user) + strlen(proxy->password) < n);
		FUZZ_ASSERT(proxy->credentials || !*proxy->user);
		proxy_free(fuzz_ctx(), proxy);
	}
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct end whole, slow;

	if (n < 1 || n > 200000)
		return 0;
	if (bytes[0] % 5 == 4) {
		check_text(bytes + 1, n - 1);
		return 0;
	}
	whole = hear(proxies[bytes[0] % 5], bytes + 1, n - 1, n);
	slow = hear(proxies[bytes[0] % 5], bytes + 1, n - 1, 1);
	FUZZ_ASSERT(whole.event == slow.event);
	if (whole.event == PROXY_TALK_OPEN)
		FUZZ_ASSERT(whole.left == slow.left && whole.said == slow.said);
	return 0;
}
