/*
 * head.c - struct cc_head: start line and fields of one message in one block
 * of memory, looked up by token, and which fields belong to one hop only.
 */
#include "lib/base/ctx.h"
#include "lib/base/head_int.h"
#include "lib/base/hop.h"
#include "lib/base/token.h"

#define HEADS_KEPT  256u       /* free blocks a context keeps */
#define KEEP_TEXT   (8u << 10) /* a reset keeps memory up to these sizes */
#define KEEP_FIELDS 192u
#define TEXT_MAX    (UINT32_MAX / 4) /* offsets are 32 bits */

/* ---- classes of bytes ------------------------------------------------ */

#define DIGIT(c)      ((c) >= '0' && (c) <= '9')
#define ALPHA(c)      (((c) >= 'a' && (c) <= 'z') || ((c) >= 'A' && (c) <= 'Z'))
#define HEX(c)        (DIGIT(c) || ((c) >= 'a' && (c) <= 'f') || ((c) >= 'A' && (c) <= 'F'))
#define UNRESERVED(c) (ALPHA(c) || DIGIT(c) || (c) == '-' || (c) == '.' || (c) == '_' || (c) == '~')
#define SHARED(c)                                                                                  \
	((c) == '!' || (c) == '$' || (c) == '&' || (c) == '\'' || (c) == '*' || (c) == '+')
#define TCHAR(c)                                                                                   \
	(UNRESERVED(c) || SHARED(c) || (c) == '#' || (c) == '%' || (c) == '^' || (c) == '`' ||     \
		(c) == '|')
#define SUB_DELIM(c)                                                                               \
	(SHARED(c) || (c) == '(' || (c) == ')' || (c) == ',' || (c) == ';' || (c) == '=')
#define CLASS(c)                                                                                   \
	((TCHAR(c) ? CH_TOKEN : 0) |                                                               \
		(((c) >= 0x20 && (c) != 0x7f) || (c) == '\t' ? CH_VALUE : 0) |                     \
		((c) > 0x20 && (c) < 0x7f && (c) != '#' ? CH_TARGET : 0) |                         \
		(UNRESERVED(c) || SUB_DELIM(c) ? CH_HOST : 0) |                                    \
		(ALPHA(c) || DIGIT(c) || (c) == '+' || (c) == '-' || (c) == '.' ? CH_SCHEME : 0) | \
		(HEX(c) ? CH_HEX : 0))
#define ROW4(c)  CLASS(c), CLASS((c) + 1), CLASS((c) + 2), CLASS((c) + 3)
#define ROW16(c) ROW4(c), ROW4((c) + 4), ROW4((c) + 8), ROW4((c) + 12)
#define ROW64(c) ROW16(c), ROW16((c) + 16), ROW16((c) + 32), ROW16((c) + 48)

const unsigned char head_class[256] = {ROW64(0), ROW64(64), ROW64(128), ROW64(192)};

bool head_all(const char *p, size_t n, unsigned class)
{
	for (size_t i = 0; i < n; i++)
		if (!head_is(p[i], class))
			return false;
	return true;
}

/* RFC 3986 3.2.2: "[" address "]". What is inside only has to look like one. */
static size_t ip_literal_len(const char *p, size_t n)
{
	size_t i = 1;

	while (i < n && (head_is(p[i], CH_HEX) || p[i] == ':' || p[i] == '.'))
		i++;
	return i > 2 && i < n && p[i] == ']' ? i + 1 : 0;
}

static size_t reg_name_len(const char *p, size_t n)
{
	size_t i = 0;

	while (i < n) {
		if (head_is(p[i], CH_HOST))
			i++;
		else if (p[i] == '%' && n - i > 2 && head_all(p + i + 1, 2, CH_HEX))
			i += 3;
		else
			break;
	}
	return i;
}

bool head_authority_ok(const char *p, size_t n)
{
	if (n == 0)
		return true;

	size_t i = p[0] == '[' ? ip_literal_len(p, n) : reg_name_len(p, n);

	if (i == 0)
		return false;
	if (i == n)
		return true;
	if (p[i++] != ':')
		return false;
	while (i < n && DIGIT(p[i]))
		i++;
	return i == n;
}

/* ---- memory ---------------------------------------------------------- */

static void use_inline_text(struct cc_head *h)
{
	h->text = h->inline_text;
	h->text_cap = HEAD_TEXT;
}

static void use_inline_fields(struct cc_head *h)
{
	h->fields = h->inline_fields;
	h->fields_cap = HEAD_FIELDS;
}

static void drop_text(struct cc_head *h)
{
	if (h->text != h->inline_text)
		mem_free(h->ctx, h->text);
	use_inline_text(h);
}

static void drop_fields(struct cc_head *h)
{
	if (h->fields != h->inline_fields)
		mem_free(h->ctx, h->fields);
	use_inline_fields(h);
}

struct cc_head *cc_head_new(struct cc_ctx *ctx)
{
	struct cc_head *h;

	if (ctx->heads.size == 0)
		mem_cache_init(&ctx->heads, sizeof(*h), HEADS_KEPT);
	h = mem_cache_get(&ctx->heads, ctx);
	if (!h)
		return NULL;
	h->ctx = ctx;
	use_inline_text(h);
	use_inline_fields(h);
	cc_head_reset(h);
	return h;
}

void cc_head_free(struct cc_head *h)
{
	if (!h)
		return;
	drop_text(h);
	drop_fields(h);
	mem_cache_put(&h->ctx->heads, h->ctx, h);
}

void cc_head_reset(struct cc_head *h)
{
	/* One large head must not make its owner large for good. */
	if (h->text_cap > KEEP_TEXT)
		drop_text(h);
	if (h->fields_cap > KEEP_FIELDS)
		drop_fields(h);
	h->text_len = 0;
	h->count = 0;
	h->status = 0;
	h->method = h->scheme = h->authority = h->path = (struct head_part){0, 0};
}

int head_grow(struct cc_head *h, size_t n, void **old)
{
	size_t cap = (size_t)h->text_cap * 2;

	if (n > TEXT_MAX - h->text_len)
		return CC_ENOMEM;
	if (cap < h->text_len + n)
		cap = h->text_len + n;

	char *text = mem_alloc(h->ctx, cap);

	if (!text)
		return CC_ENOMEM;
	memcpy(text, h->text, h->text_len);
	if (old && h->text != h->inline_text)
		*old = h->text;
	else
		drop_text(h);
	h->text = text;
	h->text_cap = (uint32_t)cap;
	return 0;
}

static int grow_fields(struct cc_head *h)
{
	uint32_t cap = h->fields_cap * 2;
	struct head_field *fields = mem_alloc(h->ctx, cap * sizeof(*fields));

	if (!fields)
		return CC_ENOMEM;
	memcpy(fields, h->fields, h->count * sizeof(*fields));
	drop_fields(h);
	h->fields = fields;
	h->fields_cap = cap;
	return 0;
}

/* ---- building -------------------------------------------------------- */

int head_push_field(struct cc_head *h, uint32_t off, uint32_t name_len, enum cc_token token)
{
	if (h->count == h->fields_cap && grow_fields(h) < 0)
		return CC_ENOMEM;
	h->fields[h->count++] = (struct head_field){
		.off = off,
		.name_len = name_len,
		.value_len = h->text_len - off - name_len,
		.token = (uint8_t)token,
	};
	return 0;
}

/*
 * Room for n bytes that come from the caller, who may have got them from this
 * head: the arena they lie in must outlive the copying.
 */
static int make_room(struct cc_head *h, size_t n, void **old)
{
	*old = NULL;
	return n > h->text_cap - h->text_len ? head_grow(h, n, old) : 0;
}

static struct head_part put_part(struct cc_head *h, struct cc_str s)
{
	struct head_part part = {h->text_len, (uint32_t)s.n};

	if (s.n > 0)
		memcpy(h->text + h->text_len, s.p, s.n);
	h->text_len += part.len;
	return part;
}

static bool is_too_long(size_t a, size_t b)
{
	return a > TEXT_MAX / 4 || b > TEXT_MAX / 4;
}

static bool scheme_ok(struct cc_str s)
{
	return s.n == 0 || (ALPHA(s.p[0]) && head_all(s.p, s.n, CH_SCHEME));
}

int cc_head_set_request(struct cc_head *h, struct cc_str method, struct cc_str scheme,
	struct cc_str authority, struct cc_str path)
{
	void *old;

	if (method.n == 0 || !head_all(method.p, method.n, CH_TOKEN) || !scheme_ok(scheme) ||
		!head_authority_ok(authority.p, authority.n) ||
		!head_all(path.p, path.n, CH_TARGET) || is_too_long(method.n, scheme.n) ||
		is_too_long(authority.n, path.n))
		return CC_EINVAL;
	if (make_room(h, method.n + scheme.n + authority.n + path.n, &old) < 0)
		return CC_ENOMEM;

	h->method = put_part(h, method);
	h->scheme = put_part(h, scheme);
	h->authority = put_part(h, authority);
	h->path = put_part(h, path);
	h->status = 0;
	mem_free(h->ctx, old);
	return 0;
}

int cc_head_set_status(struct cc_head *h, unsigned status)
{
	if (status < 100 || status > 999)
		return CC_EINVAL;
	h->status = status;
	h->method = h->scheme = h->authority = h->path = (struct head_part){0, 0};
	return 0;
}

static int add_field(struct cc_head *h, struct cc_str name, struct cc_str value)
{
	uint32_t off = h->text_len;
	void *old;

	if (make_room(h, name.n + value.n, &old) < 0)
		return CC_ENOMEM;
	for (size_t i = 0; i < name.n; i++)
		h->text[off + i] = head_lower(name.p[i]);
	h->text_len += (uint32_t)name.n;
	put_part(h, value);
	mem_free(h->ctx, old);

	int err = head_push_field(h, off, (uint32_t)name.n, token_find(h->text + off, name.n));

	if (err < 0)
		h->text_len = off;
	return err;
}

static bool is_ows(char c)
{
	return c == ' ' || c == '\t';
}

static struct cc_str trim(struct cc_str s)
{
	while (s.n > 0 && is_ows(s.p[0])) {
		s.p++;
		s.n--;
	}
	while (s.n > 0 && is_ows(s.p[s.n - 1]))
		s.n--;
	return s;
}

int cc_head_add(struct cc_head *h, struct cc_str name, struct cc_str value)
{
	value = trim(value);
	/* RFC 9110 5.1 and 5.5 */
	if (name.n == 0 || !head_all(name.p, name.n, CH_TOKEN) ||
		!head_all(value.p, value.n, CH_VALUE) || is_too_long(name.n, value.n))
		return CC_EINVAL;
	return add_field(h, name, value);
}

/* ---- reading --------------------------------------------------------- */

unsigned cc_head_status(const struct cc_head *h)
{
	return h->status;
}

struct cc_str cc_head_method(const struct cc_head *h)
{
	return head_text(h, h->method);
}

struct cc_str cc_head_scheme(const struct cc_head *h)
{
	return head_text(h, h->scheme);
}

struct cc_str cc_head_authority(const struct cc_head *h)
{
	return head_text(h, h->authority);
}

struct cc_str cc_head_path(const struct cc_head *h)
{
	return head_text(h, h->path);
}

size_t cc_head_count(const struct cc_head *h)
{
	return h->count;
}

struct cc_str cc_head_name(const struct cc_head *h, size_t i)
{
	const struct head_field *f = &h->fields[i];

	return (struct cc_str){h->text + f->off, f->name_len};
}

struct cc_str cc_head_value(const struct cc_head *h, size_t i)
{
	const struct head_field *f = &h->fields[i];

	return (struct cc_str){h->text + f->off + f->name_len, f->value_len};
}

int cc_head_find(const struct cc_head *h, enum cc_token t, size_t from)
{
	for (size_t i = from; i < h->count; i++)
		if (h->fields[i].token == t)
			return (int)i;
	return -1;
}

static bool same_name(const char *lower, struct cc_str name)
{
	for (size_t i = 0; i < name.n; i++)
		if (lower[i] != head_lower(name.p[i]))
			return false;
	return true;
}

int cc_head_find_name(const struct cc_head *h, struct cc_str name, size_t from)
{
	for (size_t i = from; i < h->count; i++) {
		const struct head_field *f = &h->fields[i];

		if (f->name_len == name.n && same_name(h->text + f->off, name))
			return (int)i;
	}
	return -1;
}

int64_t cc_head_content_length(const struct cc_head *h)
{
	int i = cc_head_find(h, CC_T_CONTENT_LENGTH, 0);
	int64_t n = 0;

	if (i < 0 || cc_head_find(h, CC_T_CONTENT_LENGTH, (size_t)i + 1) >= 0)
		return -1;

	struct cc_str v = cc_head_value(h, (size_t)i);

	if (v.n == 0)
		return -1;
	for (size_t k = 0; k < v.n; k++) {
		int digit = v.p[k] - '0';

		if (digit < 0 || digit > 9 || __builtin_mul_overflow(n, 10, &n) ||
			__builtin_add_overflow(n, digit, &n))
			return -1;
	}
	return n;
}

/* ---- one hop --------------------------------------------------------- */

/* Does the comma-separated list contain name? */
static bool list_has(struct cc_str list, struct cc_str name)
{
	while (list.n > 0) {
		const char *comma = memchr(list.p, ',', list.n);
		size_t n = comma ? (size_t)(comma - list.p) : list.n;
		struct cc_str item = trim((struct cc_str){list.p, n});

		if (item.n == name.n && same_name(name.p, item))
			return true;
		n += comma != NULL;
		list.p += n;
		list.n -= n;
	}
	return false;
}

bool head_takes_trailers(const struct cc_head *h)
{
	int i = -1;

	while ((i = cc_head_find(h, CC_T_TE, (size_t)(i + 1))) >= 0)
		if (list_has(cc_head_value(h, (size_t)i), CC_STR("trailers")))
			return true;
	return false;
}

static bool is_named_by_connection(const struct cc_head *h, struct cc_str name)
{
	int i = -1;

	while ((i = cc_head_find(h, CC_T_CONNECTION, (size_t)(i + 1))) >= 0)
		if (list_has(cc_head_value(h, (size_t)i), name))
			return true;
	return false;
}

bool cc_head_hop_by_hop(const struct cc_head *h, size_t i)
{
	unsigned token = h->fields[i].token;

	if (head_token_is_hop(token))
		return true;
	/* Naming these does not unframe or unaddress a message (RFC 9110 7.6.1). */
	if (token == CC_T_CONTENT_LENGTH || token == CC_T_HOST)
		return false;
	return is_named_by_connection(h, cc_head_name(h, i));
}

void cc_head_strip_hop_by_hop(struct cc_head *h)
{
	bool named = cc_head_find(h, CC_T_CONNECTION, 0) >= 0;
	uint32_t kept = 0;

	/* Connection itself goes last: it is asked until then. */
	for (uint32_t i = 0; named && i < h->count; i++)
		if (h->fields[i].token == CC_T_CONNECTION || !cc_head_hop_by_hop(h, i))
			h->fields[kept++] = h->fields[i];
	if (named)
		h->count = kept;

	kept = 0;
	for (uint32_t i = 0; i < h->count; i++)
		if (!head_token_is_hop(h->fields[i].token))
			h->fields[kept++] = h->fields[i];
	h->count = kept;
}

void cc_head_remove(struct cc_head *h, size_t i)
{
	h->count--;
	memmove(&h->fields[i], &h->fields[i + 1], (h->count - i) * sizeof(h->fields[0]));
}

struct cc_head *cc_head_copy(struct cc_ctx *ctx, const struct cc_head *from)
{
	struct cc_head *h = cc_head_new(ctx);

	if (!h)
		return NULL;
	if (head_append(h, from->text, from->text_len) < 0)
		goto fail;
	for (uint32_t i = 0; i < from->count; i++) {
		const struct head_field *f = &from->fields[i];

		if (head_push_field(h, f->off, f->name_len, f->token) < 0)
			goto fail;
		h->fields[i] = *f;
	}
	h->status = from->status;
	h->method = from->method;
	h->scheme = from->scheme;
	h->authority = from->authority;
	h->path = from->path;
	return h;

fail:
	cc_head_free(h);
	return NULL;
}
