/* flat_head.c - a head's strings one after the other: four of the request line, then the fields. */
#include <stdlib.h>
#include <string.h>

#include <clientconn/head.h>

#include "daemon/base/flat_head.h"

enum { METHOD, SCHEME, AUTHORITY, PATH, FIELDS };

struct flat_head {
	unsigned status; /* 0: a request, or trailers */
	size_t count;    /* of strings */
	size_t sizes[];  /* of each; behind them all text */
};

static struct cc_str string_of(const struct cc_head *head, size_t i)
{
	switch (i) {
	case METHOD:
		return cc_head_method(head);
	case SCHEME:
		return cc_head_scheme(head);
	case AUTHORITY:
		return cc_head_authority(head);
	case PATH:
		return cc_head_path(head);
	default:
		i -= FIELDS;
		return i % 2 ? cc_head_value(head, i / 2) : cc_head_name(head, i / 2);
	}
}

struct flat_head *flat_head_of(const struct cc_head *head)
{
	size_t count = FIELDS + 2 * cc_head_count(head), text = 0;
	struct flat_head *flat;
	char *to;

	for (size_t i = 0; i < count; i++)
		text += string_of(head, i).n;
	flat = malloc(sizeof(*flat) + count * sizeof(flat->sizes[0]) + text);
	if (!flat)
		return NULL;
	flat->status = cc_head_status(head);
	flat->count = count;
	to = (char *)(flat->sizes + count);
	for (size_t i = 0; i < count; i++) {
		struct cc_str s = string_of(head, i);

		flat->sizes[i] = s.n;
		if (s.n > 0)
			memcpy(to, s.p, s.n);
		to += s.n;
	}
	return flat;
}

/* The strings in their order. */
struct reader {
	const struct flat_head *flat;
	size_t next;
	const char *at;
};

static struct cc_str next_string(struct reader *r)
{
	struct cc_str s = {r->at, r->flat->sizes[r->next++]};

	r->at += s.n;
	return s;
}

static int fill(struct cc_head *head, struct reader *r)
{
	struct cc_str line[FIELDS];
	int err = 0;

	for (int i = 0; i < FIELDS; i++)
		line[i] = next_string(r);
	if (r->flat->status > 0)
		err = cc_head_set_status(head, r->flat->status);
	else if (line[METHOD].n > 0)
		err = cc_head_set_request(
			head, line[METHOD], line[SCHEME], line[AUTHORITY], line[PATH]);
	while (err == 0 && r->next < r->flat->count) {
		struct cc_str name = next_string(r);

		err = cc_head_add(head, name, next_string(r));
	}
	return err;
}

struct cc_head *flat_head_build(struct cc_ctx *ctx, const struct flat_head *flat)
{
	struct reader r = {.flat = flat, .at = (const char *)(flat->sizes + flat->count)};
	struct cc_head *head = cc_head_new(ctx);

	if (head && fill(head, &r) < 0) {
		cc_head_free(head);
		head = NULL;
	}
	return head;
}
