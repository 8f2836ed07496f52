/*
 * fuzz_head.c - a head built by the public calls from whatever comes: it takes
 * nothing that could break a message, and what it took can be written and read.
 *
 * The input is lines: the letter says which call, the rest is its argument.
 */
#include "tests/fuzz/fuzz_h1.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static struct cc_str cut_at(struct cc_str *rest, char c)
{
	const char *end = rest->n > 0 ? memchr(rest->p, c, rest->n) : NULL;
	struct cc_str first = {rest->p, end ? (size_t)(end - rest->p) : rest->n};
	size_t used = first.n + (end != NULL);

	rest->p += used;
	rest->n -= used;
	return first;
}

static void set_request(struct cc_head *h, struct cc_str line)
{
	struct cc_str method = cut_at(&line, ' '), scheme = cut_at(&line, ' ');
	struct cc_str authority = cut_at(&line, ' ');

	(void)cc_head_set_request(h, method, scheme, authority, line);
}

static void add_own(struct cc_head *h, size_t i)
{
	struct cc_str name = cc_head_name(h, i), value = cc_head_value(h, 0);

	if (name.n + value.n < 200)
		(void)cc_head_add(h, name, value);
}

static void call(struct cc_head *h, struct cc_str line)
{
	struct cc_str all = line;
	size_t count = cc_head_count(h), arg = line.n > 1 ? (unsigned char)line.p[1] : 0;

	if (line.n == 0)
		return;
	line.p++;
	line.n--;
	switch (all.p[0]) {
	case 'R':
		set_request(h, line);
		break;
	case 'S':
		(void)cc_head_set_status(h, (unsigned)arg * 5);
		break;
	case 'D':
		if (count > 0)
			cc_head_remove(h, arg % count);
		break;
	case 'H':
		cc_head_strip_hop_by_hop(h);
		break;
	case 'Z':
		cc_head_reset(h);
		break;
	case 'C': /* with strings of its own */
		if (count > 0 && count < 50)
			add_own(h, arg % count);
		break;
	default: {
		struct cc_str name = cut_at(&all, ':');

		(void)cc_head_add(h, name, all);
	}
	}
}

static void check_lookups(const struct cc_head *h)
{
	for (size_t i = 0; i < cc_head_count(h); i++) {
		int found = cc_head_find_name(h, cc_head_name(h, i), i);

		FUZZ_ASSERT(found == (int)i);
	}
	FUZZ_ASSERT(cc_head_content_length(h) >= -1);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct cc_str rest = {(const char *)bytes, n};
	struct cc_head *h = cc_head_new(fuzz_ctx());

	if (n > FUZZ_MAX) {
		cc_head_free(h);
		return 0;
	}
	while (rest.n > 0)
		call(h, cut_at(&rest, '\n'));
	fuzz_check_clean(h);
	check_lookups(h);

	struct cc_str method = cc_head_method(h), path = cc_head_path(h);

	if (cc_head_status(h) != 0)
		fuzz_check_round_trip(h, H1_RESPONSE);
	else if (method.n == 3 && memcmp(method.p, "GET", 3) == 0 && path.n > 0 && path.p[0] == '/')
		fuzz_check_round_trip(h, H1_REQUEST);
	cc_head_free(h);
	return 0;
}
