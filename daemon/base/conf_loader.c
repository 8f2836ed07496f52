/*
 * conf_loader.c - what the parts of the loader stand on: memory that lives as long as the
 * configuration, and complaints with their position.
 *
 * Texts live in one arena that the last conf_unref frees.
 */
#include <libconfig.h>
#include <openssl/ssl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/conf_keys.h"
#include "daemon/base/conf_loader.h"

struct block {
	struct block *next;
	max_align_t data[];
};

/* What conf_load gives out, with what only conf_unref needs. */
struct loaded {
	struct conf conf; /* first: a struct conf * is one of these */
	atomic_uint refs;
	struct block *blocks;
};

/* ---- memory ------------------------------------------------------------ */

void *loader_alloc(struct loader *l, size_t n)
{
	struct block *b = calloc(1, sizeof(*b) + n);

	if (!b) {
		l->no_memory = true;
		return NULL;
	}
	b->next = l->loaded->blocks;
	l->loaded->blocks = b;
	return b->data;
}

const char *loader_text(struct loader *l, const char *s, size_t n)
{
	char *copy = loader_alloc(l, n + 1);

	if (!copy)
		return "";
	memcpy(copy, s, n);
	return copy;
}

const char *loader_printf(struct loader *l, const char *fmt, ...)
{
	const char *copy = "";
	char *text;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (n < 0) {
		l->no_memory = true;
		return copy;
	}
	copy = loader_text(l, text, (size_t)n);
	free(text);
	return copy;
}

/* ---- errors ------------------------------------------------------------ */

static void put_path(FILE *out, const config_setting_t *s)
{
	if (config_setting_is_root(s))
		return;
	put_path(out, config_setting_parent(s));
	if (!config_setting_name(s)) {
		fprintf(out, "[%d]", config_setting_index(s));
		return;
	}
	fprintf(out, "%s%s", config_setting_is_root(config_setting_parent(s)) ? "" : ".",
		config_setting_name(s));
}

/* libconfig names included files as the directive does, relative to the first file's folder. */
void loader_put_file(struct loader *l, FILE *out, const char *file)
{
	if (!file || strcmp(file, l->path) == 0)
		fputs(l->path, out);
	else if (*file == '/' || !l->dir)
		fputs(file, out);
	else
		fprintf(out, "%s/%s", l->dir, file);
}

/* "file:line: path.key: " or "option: key: ". key may be NULL, or a path below the position. */
static void put_position(struct loader *l, FILE *out, struct position at, const char *key)
{
	config_setting_t *member = at.set && key ? config_setting_lookup(at.set, key) : NULL;
	config_setting_t *s = member ? member : at.set;

	if (at.option) {
		fprintf(out, "%s: ", at.option);
	} else if (s) {
		loader_put_file(l, out, config_setting_source_file(s));
		if (config_setting_source_line(s) > 0)
			fprintf(out, ":%u", config_setting_source_line(s));
		fputs(": ", out);
		put_path(out, at.set);
		if (!config_setting_is_root(at.set))
			fputs(key ? "." : ": ", out);
	}
	if (key)
		fprintf(out, "%s: ", key);
}

static void vcomplain(struct loader *l, enum severity how, struct position at, const char *key,
	const char *fmt, va_list ap)
{
	put_position(l, l->out[how], at, key);
	vfprintf(l->out[how], fmt, ap);
	fputc('\n', l->out[how]);
	l->count[how]++;
}

void loader_complain(struct loader *l, enum severity how, struct position at, const char *key,
	const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vcomplain(l, how, at, key, fmt, ap);
	va_end(ap);
}

void loader_complain_key(struct loader *l, enum severity how, const struct conf_upstream *u,
	const char *key, const char *fmt, ...)
{
	struct position at = l->upstream_at[u->index];
	config_setting_t *s = at.set ? config_setting_lookup(at.set, key) : NULL;
	va_list ap;

	if (!s && at.set && l->defaults)
		s = config_setting_lookup(l->defaults, key);
	if (s)
		at.set = s;
	va_start(ap, fmt);
	vcomplain(l, how, at, s ? NULL : key, fmt, ap);
	va_end(ap);
}

bool loader_is_own(const struct loader *l, const struct conf_upstream *u, const char *key)
{
	config_setting_t *s = l->upstream_at[u->index].set;

	return s && config_setting_lookup(s, key);
}

/* ---- begin and end ----------------------------------------------------- */

bool loader_init(struct loader *l, const char *path)
{
	*l = (struct loader){.path = path};
	l->loaded = calloc(1, sizeof(*l->loaded));
	l->out[WARNING] = open_memstream(&l->text[WARNING], &l->text_len[WARNING]);
	l->out[ERROR] = open_memstream(&l->text[ERROR], &l->text_len[ERROR]);
	if (!l->loaded || !l->out[WARNING] || !l->out[ERROR])
		return false;
	l->conf = &l->loaded->conf;
	atomic_init(&l->loaded->refs, 1);
	conf_key_defaults(CONF_DAEMON | CONF_LOG, l->conf);
	conf_key_defaults(CONF_POOL | CONF_UPSTREAM | CONF_TLS, &l->model);
	return true;
}

/* Closes a stream of complaints; NULL if nothing was written. */
static char *take_text(struct loader *l, enum severity which)
{
	if (l->out[which] && fclose(l->out[which]) != 0)
		l->no_memory = true;
	if (l->count[which] > 0)
		return l->text[which];
	free(l->text[which]);
	return NULL;
}

struct conf *loader_end(struct loader *l, char **errors, char **warnings)
{
	bool ready = l->conf != NULL;

	X509_STORE_free(l->system_store);
	*warnings = take_text(l, WARNING);
	*errors = take_text(l, ERROR);
	if (!*errors && (l->no_memory || !ready))
		*errors = strdup("out of memory\n");
	else if (!*errors)
		return l->conf;
	if (ready)
		conf_unref(l->conf);
	else
		free(l->loaded);
	return NULL;
}

struct conf *conf_ref(struct conf *c)
{
	atomic_fetch_add_explicit(&((struct loaded *)c)->refs, 1, memory_order_relaxed);
	return c;
}

void conf_unref(struct conf *c)
{
	struct loaded *loaded = (struct loaded *)c;
	struct block *next;

	if (!c || atomic_fetch_sub_explicit(&loaded->refs, 1, memory_order_acq_rel) > 1)
		return;
	for (unsigned i = 0; i < c->upstream_count; i++)
		SSL_CTX_free(c->upstreams[i].ssl);
	for (struct block *b = loaded->blocks; b; b = next) {
		next = b->next;
		free(b);
	}
	free(loaded);
}
