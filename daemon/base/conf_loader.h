/*
 * conf_loader.h - a configuration while it is being loaded; for the conf*.c
 * files only.
 *
 *	conf_loader.c	memory, complaints: below the others
 *	conf.c		file or options -> members, by the table of conf_keys.c
 *	conf_check.c	url -> host, address, authority; what one key cannot know
 *	conf_tls.c	tls -> SSL_CTX
 *
 * All of them go on after an error, so that one run lists everything.
 */
#ifndef CONF_LOADER_H
#define CONF_LOADER_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "daemon/base/conf.h"

struct config_setting_t;
struct loaded;
struct x509_store_st;

/* Where something was written; at most one is set. */
struct position {
	struct config_setting_t *set;
	const char *option;
};

enum severity { WARNING, ERROR };

struct loader {
	struct loaded *loaded;
	struct conf *conf;
	const char *path, *dir;                   /* of the file; NULL with options */
	struct config_setting_t *root, *defaults; /* NULL: not there */
	struct conf_upstream model;               /* what each upstream begins with */
	struct position *listener_at, *upstream_at;
	struct x509_store_st *system_store; /* read once for all upstreams; NULL: not yet */
	FILE *out[2];                       /* by severity */
	char *text[2];
	size_t text_len[2];
	unsigned count[2];
	bool no_memory;
};

/* false: no memory; loader_end then says so. */
bool loader_init(struct loader *l, const char *path);
/* The configuration if there was no error; takes all that loader_init gave. As conf_load. */
struct conf *loader_end(struct loader *l, char **errors, char **warnings);

/* Zeroed, lives as long as the conf; NULL: no memory, and the load fails in the end. */
void *loader_alloc(struct loader *l, size_t n);
/* Live as long as the conf. Never NULL: without memory "", and the load fails in the end. */
const char *loader_text(struct loader *l, const char *s, size_t n);
const char *loader_printf(struct loader *l, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* The file as libconfig names it, for a line that begins with it. */
void loader_put_file(struct loader *l, FILE *out, const char *file);
/* One line: where, what. key may be NULL, or a path below the position. */
void loader_complain(struct loader *l, enum severity how, struct position at, const char *key,
	const char *fmt, ...) __attribute__((format(printf, 5, 6)));
/* Where is the key of u: its own, in defaults, or (not written at all) the upstream. */
void loader_complain_key(struct loader *l, enum severity how, const struct conf_upstream *u,
	const char *key, const char *fmt, ...) __attribute__((format(printf, 5, 6)));
/* Was the key written for this upstream, not inherited? */
bool loader_is_own(const struct loader *l, const struct conf_upstream *u, const char *key);

void conf_check(struct loader *l);
void conf_tls_make(struct loader *l, struct conf_upstream *u); /* u->ssl, or an error */

#endif
