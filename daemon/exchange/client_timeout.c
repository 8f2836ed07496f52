/* client_timeout.c - reads the time that a client gives its request. */
#include <string.h>

#include "daemon/exchange/client_timeout.h"
#include "lib/base/str.h"

#define MOST_DIGITS 12 /* of seconds: 30,000 years, and no overflow */

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Reads digits; *scale: the power of ten behind the last one that counts. */
static size_t take_digits(struct cc_str s, size_t most, uint64_t *n, uint64_t *scale)
{
	size_t at = 0;

	*n = 0;
	*scale = 1;
	for (; at < s.n && is_digit(s.p[at]); at++) {
		if (at >= most)
			continue;
		*n = *n * 10 + (uint64_t)(s.p[at] - '0');
		*scale *= 10;
	}
	return at;
}

static uint64_t unit_of(struct cc_str s)
{
	if (s.n == 0 || str_is(s, "s"))
		return 1000;
	if (str_is(s, "ms"))
		return 1;
	if (str_is(s, "m"))
		return 60000;
	return str_is(s, "h") ? 3600000 : 0;
}

static struct cc_str rest_of(struct cc_str s, size_t n)
{
	return (struct cc_str){s.p + n, s.n - n};
}

bool client_timeout_parse(struct cc_str text, uint64_t *ms)
{
	uint64_t whole, part = 0, scale = 1, unit;
	size_t digits = take_digits(text, MOST_DIGITS, &whole, &scale);

	if (digits == 0 || digits > MOST_DIGITS)
		return false;
	text = rest_of(text, digits);
	scale = 1;
	if (text.n > 0 && text.p[0] == '.') {
		text = rest_of(text, 1);
		digits = take_digits(text, 6, &part, &scale);
		if (digits == 0)
			return false;
		text = rest_of(text, digits);
	}
	unit = unit_of(text);
	if (unit == 0 || (whole == 0 && part == 0))
		return false;
	*ms = whole * unit + (part * unit + scale - 1) / scale; /* never less than was asked for */
	return true;
}

const char *client_timeout_take(struct cc_head *head, const char *name, uint64_t *ms)
{
	struct cc_str field = {name, strlen(name)};
	const char *wrong = NULL;
	bool found = false;
	int i;

	*ms = 0;
	if (field.n == 0)
		return NULL;
	while ((i = cc_head_find_name(head, field, 0)) >= 0) {
		if (found)
			wrong = "is there more than once";
		else if (!client_timeout_parse(cc_head_value(head, (size_t)i), ms))
			wrong = "is no time: write 2.5 for seconds, or a unit, as 500ms, 10s, 1m";
		found = true;
		cc_head_remove(head, (size_t)i);
	}
	return wrong;
}
