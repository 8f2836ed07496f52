/*
 * conf_keys.c - the table of configuration keys, made from conf_keys.def, and
 * the one place where a text becomes the value of a key.
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "daemon/base/conf.h"
#include "daemon/base/conf_keys.h"
#include "daemon/base/conf_value.h"
#include "daemon/base/log.h"

#define BASE_DAEMON   struct conf
#define BASE_LOG      struct conf
#define BASE_LISTENER struct conf_listener
#define BASE_POOL     struct conf_upstream
#define BASE_UPSTREAM struct conf_upstream
#define BASE_TLS      struct conf_upstream

static const struct conf_key keys[] = {
#define CONF_GROUP(where, name, of, kind, text)                                                    \
	{CONF_##where, CONF_##of, CONF_IS_##kind, CONF_LIVE, #name, 0, 0, "", "", ""},
#define CONF_KEY(where, name, member, kind, reload, initial, low, high, text)                      \
	{CONF_##where, CONF_##where, CONF_IS_##kind, CONF_##reload, #name,                         \
		offsetof(BASE_##where, member), sizeof(((BASE_##where *)NULL)->member), initial,   \
		low, high},
#include "daemon/base/conf_keys.def"
#undef CONF_GROUP
#undef CONF_KEY
};

/* What conf_key_set stores for each kind. A choice is an enum, and those are unsigned here. */
#define TYPE_COUNT        unsigned
#define TYPE_COUNT64      uint64_t
#define TYPE_BOOL         bool
#define TYPE_DURATION     uint64_t
#define TYPE_DURATION_OFF uint64_t
#define TYPE_SIZE         size_t
#define TYPE_TEXT         const char *
#define TYPE_CHOICE       unsigned
#define TYPE_LEVEL        int
#define TYPE_WORD         const char *
#define TYPE_MODE         unsigned
#define TYPE_NAMES        const char *const *
#define TYPE_PROTOCOLS    unsigned

#define CONF_GROUP(where, name, of, kind, text)
#define CONF_KEY(where, name, member, kind, reload, initial, low, high, text)                      \
	_Static_assert(_Generic(((BASE_##where *)NULL)->member, TYPE_##kind                        \
				: true, default                                                    \
				: false),                                                          \
		#where "." #name ": its member has another type than " #kind " stores");
#include "daemon/base/conf_keys.def"
#undef CONF_GROUP
#undef CONF_KEY

#define KEY_COUNT (sizeof(keys) / sizeof(keys[0]))

const struct conf_key *conf_key_find(unsigned groups, const char *name)
{
	for (size_t i = 0; i < KEY_COUNT; i++) {
		if ((groups & keys[i].in) && strcmp(keys[i].name, name) == 0)
			return &keys[i];
	}
	return NULL;
}

/* One wrong letter, and one more for each four, may be a slip; more is another word. */
const struct conf_key *conf_key_nearest(unsigned groups, const char *name)
{
	const struct conf_key *best = NULL;
	unsigned least = (unsigned)strlen(name) / 4 + 1;

	for (size_t i = 0; i < KEY_COUNT; i++) {
		unsigned d;

		if (!(groups & keys[i].in))
			continue;
		d = conf_distance(keys[i].name, name);
		if (d < least || (d == least && !best)) {
			best = &keys[i];
			least = d;
		}
	}
	return best;
}

const char *conf_key_home(const char *name)
{
	for (size_t i = 0; i < KEY_COUNT; i++) {
		if (strcmp(keys[i].name, name) != 0)
			continue;
		switch (keys[i].in) {
		case CONF_ROOT:
			return "the top of the file";
		case CONF_DAEMON:
			return "daemon";
		case CONF_LISTENER:
			return "listeners";
		case CONF_LOG:
			return "log";
		case CONF_POOL:
			return "defaults or upstreams";
		case CONF_UPSTREAM:
			return "upstreams";
		case CONF_TLS:
			return "tls of defaults or upstreams";
		}
	}
	return NULL;
}

void conf_key_defaults(unsigned groups, void *base)
{
	char why[CONF_WHY_MAX];

	for (size_t i = 0; i < KEY_COUNT; i++) {
		const struct conf_key *k = &keys[i];

		if ((groups & k->in) && k->kind > CONF_IS_LIST && k->kind != CONF_IS_NAMES)
			(void)conf_key_set(k, base, k->initial, why);
	}
}

/* Is [word, n) one of the words of list? Its place in *index. */
static bool find_word(const char *list, const char *word, size_t n, unsigned *index)
{
	for (*index = 0; *list; ++*index) {
		size_t len = strcspn(list, " ");

		if (len == n && memcmp(list, word, n) == 0)
			return true;
		list += len;
		list += strspn(list, " ");
	}
	return false;
}

/* What is written: off if the key takes it, else a number with a unit. */
static bool set_scaled(const struct conf_key *k, const char *text, uint64_t *ret, char *why)
{
	bool size = k->kind == CONF_IS_SIZE, off = k->kind == CONF_IS_DURATION_OFF;
	bool (*parse)(const char *, uint64_t *) = size ? conf_size : conf_duration;
	uint64_t value, low, high;

	(void)parse(k->low, &low);
	(void)parse(k->high, &high);
	if (!parse(text, &value)) {
		snprintf(why, CONF_WHY_MAX, "\"%.40s\" is not a %s: write \"%s\" (%s)", text,
			size ? "size" : "duration", size ? "64KiB" : "30s",
			size ? "units: B KiB MiB GiB" : "units: ms s m h d");
		return false;
	}
	if ((value >= low && value <= high) || (off && value == 0)) {
		*ret = value;
		return true;
	}
	snprintf(why, CONF_WHY_MAX, "\"%.40s\" is out of range: %s to %s%s", text, k->low, k->high,
		off ? ", or \"off\"" : "");
	return false;
}

static bool set_count(const struct conf_key *k, const char *text, uint64_t *ret, char *why)
{
	uint64_t value, low, high;

	(void)conf_count(k->low, &low);
	(void)conf_count(k->high, &high);
	if (!conf_count(text, &value) || value < low || value > high) {
		snprintf(why, CONF_WHY_MAX, "%.40s is out of range: %s to %s", text, k->low,
			k->high);
		return false;
	}
	*ret = value;
	return true;
}

static bool set_mode(const char *text, unsigned *ret, char *why)
{
	unsigned mode = 0;
	size_t n = strspn(text, "01234567");

	for (size_t i = 0; i < n && mode <= 0777; i++)
		mode = mode * 8 + (unsigned)(text[i] - '0');
	if (n == 0 || text[n] != '\0' || mode > 0777) {
		snprintf(why, CONF_WHY_MAX, "\"%.40s\" is not an octal mode: write \"0660\"", text);
		return false;
	}
	*ret = mode;
	return true;
}

static bool set_word(const struct conf_key *k, const char *text, unsigned *ret, char *why)
{
	if (find_word(k->low, text, strlen(text), ret))
		return true;
	snprintf(why, CONF_WHY_MAX, "\"%.40s\" is none of: %s", text, k->low);
	return false;
}

/* "h2 h1": bits, and whether h1 stands before h2. */
static bool set_protocols(
	const struct conf_key *k, struct conf_upstream *u, const char *text, char *why)
{
	static const unsigned bits[] = {CONF_PROTO_H1, CONF_PROTO_H2, CONF_PROTO_H2C};
	unsigned sum = 0, index;
	bool h1_first = false;

	for (const char *p = text; *p; p += strspn(p, " ")) {
		size_t n = strcspn(p, " ");

		if (!find_word(k->low, p, n, &index)) {
			snprintf(why, CONF_WHY_MAX, "\"%.*s\" is none of: %s", n < 40 ? (int)n : 40,
				p, k->low);
			return false;
		}
		if (sum & bits[index]) {
			snprintf(why, CONF_WHY_MAX, "\"%.*s\" is there twice", (int)n, p);
			return false;
		}
		if (sum == 0)
			h1_first = bits[index] == CONF_PROTO_H1;
		sum |= bits[index];
		p += n;
	}
	if (sum == 0) {
		snprintf(why, CONF_WHY_MAX, "is empty: write [ \"h2\", \"h1\" ]");
		return false;
	}
	u->protocols = sum;
	u->h1_first = h1_first;
	return true;
}

static void *member_of(const struct conf_key *k, void *base)
{
	return (char *)base + k->offset;
}

static const void *value_of(const struct conf_key *k, const void *base)
{
	return (const char *)base + k->offset;
}

static bool store_unsigned(const struct conf_key *k, void *base, unsigned value)
{
	*(unsigned *)member_of(k, base) = value;
	return true;
}

static bool store_text(const struct conf_key *k, void *base, const char *value)
{
	*(const char **)member_of(k, base) = value;
	return true;
}

static bool store_wide(const struct conf_key *k, void *base, uint64_t value)
{
	if (k->kind == CONF_IS_COUNT)
		return store_unsigned(k, base, (unsigned)value);
	if (k->kind == CONF_IS_SIZE)
		*(size_t *)member_of(k, base) = value < SIZE_MAX ? (size_t)value : SIZE_MAX;
	else
		*(uint64_t *)member_of(k, base) = value;
	return true;
}

bool conf_key_set(const struct conf_key *k, void *base, const char *text, char *why)
{
	uint64_t wide;
	unsigned small;

	switch (k->kind) {
	case CONF_IS_COUNT:
	case CONF_IS_COUNT64:
		return set_count(k, text, &wide, why) && store_wide(k, base, wide);
	case CONF_IS_DURATION:
	case CONF_IS_DURATION_OFF:
	case CONF_IS_SIZE:
		return set_scaled(k, text, &wide, why) && store_wide(k, base, wide);
	case CONF_IS_BOOL:
		*(bool *)member_of(k, base) = strcmp(text, "true") == 0;
		return true;
	case CONF_IS_MODE:
		return set_mode(text, &small, why) && store_unsigned(k, base, small);
	case CONF_IS_CHOICE:
		return set_word(k, text, &small, why) && store_unsigned(k, base, small);
	case CONF_IS_LEVEL:
		if (!set_word(k, text, &small, why))
			return false;
		*(int *)member_of(k, base) = LOG_LEVEL_ERROR + (int)small;
		return true;
	case CONF_IS_WORD:
		return set_word(k, text, &small, why) && store_text(k, base, text);
	case CONF_IS_TEXT:
		return store_text(k, base, text);
	case CONF_IS_PROTOCOLS:
		return set_protocols(k, base, text, why);
	case CONF_IS_GROUP:
	case CONF_IS_LIST:
	case CONF_IS_NAMES:
		break;
	}
	snprintf(why, CONF_WHY_MAX, "takes no text");
	return false;
}

/* ---- what has changed -------------------------------------------------- */

static bool same_names(const struct conf_upstream *a, const struct conf_upstream *b)
{
	bool same = a->host_count == b->host_count;

	for (unsigned i = 0; same && i < a->host_count; i++)
		same = strcmp(a->hosts[i], b->hosts[i]) == 0;
	return same;
}

static bool same_order(const struct conf_upstream *a, const struct conf_upstream *b)
{
	return a->protocols == b->protocols && a->h1_first == b->h1_first;
}

static bool same_value(const struct conf_key *k, const void *a, const void *b)
{
	switch (k->kind) {
	case CONF_IS_TEXT:
	case CONF_IS_WORD:
		return strcmp(*(const char *const *)value_of(k, a),
			       *(const char *const *)value_of(k, b)) == 0;
	case CONF_IS_NAMES:
		return same_names(a, b);
	case CONF_IS_PROTOCOLS:
		return same_order(a, b);
	default:
		return memcmp(value_of(k, a), value_of(k, b), k->size) == 0;
	}
}

const struct conf_key *conf_key_differs(
	unsigned groups, enum conf_reload reload, const void *a, const void *b)
{
	for (size_t i = 0; i < KEY_COUNT; i++) {
		const struct conf_key *k = &keys[i];

		if ((groups & k->in) && k->kind > CONF_IS_LIST && k->reload == reload &&
			!same_value(k, a, b))
			return k;
	}
	return NULL;
}

unsigned conf_key_count(const struct conf_key *k, const void *base)
{
	return *(const unsigned *)value_of(k, base);
}
