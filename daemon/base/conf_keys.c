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
	{CONF_##where, CONF_##of, CONF_IS_##kind, #name, 0, "", "", ""},
#define CONF_KEY(where, name, member, kind, initial, low, high, text)                              \
	{CONF_##where, CONF_##where, CONF_IS_##kind, #name, offsetof(BASE_##where, member),        \
		initial, low, high},
#include "daemon/base/conf_keys.def"
#undef CONF_GROUP
#undef CONF_KEY
};

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

/* Which type a member has is the table's knowledge, not the compiler's: bytes are copied. */
static bool store(const struct conf_key *k, void *base, const void *value, size_t n)
{
	memcpy((char *)base + k->offset, value, n);
	return true;
}

static bool store_wide(const struct conf_key *k, void *base, uint64_t value)
{
	unsigned small = (unsigned)value;
	size_t size = (size_t)value;

	if (k->kind == CONF_IS_COUNT)
		return store(k, base, &small, sizeof(small));
	if (k->kind == CONF_IS_SIZE)
		return store(k, base, &size, sizeof(size));
	return store(k, base, &value, sizeof(value));
}

_Static_assert(sizeof(enum conf_access) == sizeof(unsigned) &&
		       sizeof(enum conf_retry) == sizeof(unsigned) &&
		       sizeof(enum conf_pick) == sizeof(unsigned) &&
		       sizeof(enum conf_fair) == sizeof(unsigned) &&
		       sizeof(enum conf_family) == sizeof(unsigned) &&
		       sizeof(int) == sizeof(unsigned),
	"choices are stored as unsigned");

bool conf_key_set(const struct conf_key *k, void *base, const char *text, char *why)
{
	bool yes = strcmp(text, "true") == 0;
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
		return store(k, base, &yes, sizeof(yes));
	case CONF_IS_MODE:
		return set_mode(text, &small, why) && store(k, base, &small, sizeof(small));
	case CONF_IS_CHOICE:
	case CONF_IS_LEVEL:
		if (!set_word(k, text, &small, why))
			return false;
		small += k->kind == CONF_IS_LEVEL ? LOG_LEVEL_ERROR : 0;
		return store(k, base, &small, sizeof(small));
	case CONF_IS_WORD:
		return set_word(k, text, &small, why) && store(k, base, &text, sizeof(text));
	case CONF_IS_TEXT:
		return store(k, base, &text, sizeof(text));
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
