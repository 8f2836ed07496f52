/*
 * conf_keys.h - the table of keys that conf_keys.def describes, and how a
 * text becomes the value of one.
 */
#ifndef CONF_KEYS_H
#define CONF_KEYS_H

#include <stdbool.h>
#include <stddef.h>

/* Bits, so that an upstream can take its own keys and those of a pool. */
enum conf_group {
	CONF_ROOT = 1 << 0,
	CONF_DAEMON = 1 << 1,   /* members of struct conf */
	CONF_LISTENER = 1 << 2, /* of struct conf_listener */
	CONF_LOG = 1 << 3,      /* of struct conf */
	CONF_POOL = 1 << 4,     /* of struct conf_upstream, as the next two */
	CONF_UPSTREAM = 1 << 5,
	CONF_TLS = 1 << 6
};

enum conf_kind {
	CONF_IS_GROUP,
	CONF_IS_LIST, /* hold the keys of another group */
	CONF_IS_COUNT,
	CONF_IS_COUNT64,
	CONF_IS_BOOL,
	CONF_IS_DURATION,
	CONF_IS_DURATION_OFF,
	CONF_IS_SIZE,
	CONF_IS_TEXT,
	CONF_IS_CHOICE,
	CONF_IS_LEVEL,
	CONF_IS_WORD,
	CONF_IS_MODE,
	CONF_IS_NAMES,
	CONF_IS_PROTOCOLS
};

/* What a reload does with a changed value: conf_keys.def. */
enum conf_reload {
	CONF_LIVE,
	CONF_NEXT_CONNECTION,
	CONF_NEW_POOL,
	CONF_NEW_POOL_DERIVED,
	CONF_RESTART
};

struct conf_key {
	enum conf_group in;
	enum conf_group keys; /* of CONF_IS_GROUP and CONF_IS_LIST */
	enum conf_kind kind;
	enum conf_reload reload;
	const char *name;
	size_t offset, size; /* of the member */
	const char *initial, *low, *high;
};

#define CONF_WHY_MAX 256

const struct conf_key *conf_key_find(unsigned groups, const char *name); /* NULL: none */
/* What the writer may have meant; NULL: nothing is near. */
const struct conf_key *conf_key_nearest(unsigned groups, const char *name);
/* The group that has a key of this name, in words; NULL: none. */
const char *conf_key_home(const char *name);

/* Gives every key of the groups its initial value in *base. */
void conf_key_defaults(unsigned groups, void *base);
/*
 * Sets the key in *base from text (lists: words with spaces between), which must live as
 * long as base. false: unchanged, and why (CONF_WHY_MAX bytes) says what is wrong. Not for NAMES.
 */
bool conf_key_set(const struct conf_key *k, void *base, const char *text, char *why);

/* The first key of the groups and of this kind of reload whose values differ; NULL: none. */
const struct conf_key *conf_key_differs(
	unsigned groups, enum conf_reload reload, const void *a, const void *b);
unsigned conf_key_count(const struct conf_key *k, const void *base); /* the value of a COUNT */

#endif
