/*
 * conf.c - from libconfig's tree, or the command line, to a checked struct
 * conf.
 *
 *	read_file / read_options	tree or options -> members, by the table of conf_keys.c
 *	finish_upstream			url -> host, address, authority, protocols, SSL_CTX
 *	check_*				what one key cannot know
 *
 * All of them go on after an error, so that one run lists everything. Texts live in one
 * arena that the last conf_unref frees; the tree is gone when conf_load returns.
 */
#include <errno.h>
#include <libconfig.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/base/conf.h"
#include "daemon/base/conf_keys.h"
#include "daemon/base/conf_value.h"

#define OWN_DESCRIPTORS	32	/* epoll, eventfds, listeners, logs, resolver, files of a reload */
#define MIN_CLIENTS	16	/* with less than this the daemon is of no use */
#define MAX_CLIENTS	1000000
#define INCLUDE_DEPTH	10	/* libconfig's own limit */
#define TLS_FILE_MAX	((size_t)16 << 20)

#define FIRST_UPSTREAM	"upstreams = ( { url = \"https://api.example.com\"; } );"

struct block {
	struct block *next;
	max_align_t data[];
};

/* What conf_load gives out, with what only conf_unref needs. */
struct loaded {
	struct conf conf;	/* first: a struct conf * is one of these */
	atomic_uint refs;
	struct block *blocks;
};

/* Where something was written; at most one is set. */
struct place {
	config_setting_t *set;
	const char *option;
};

enum severity { WARNING, ERROR };

struct loader {
	struct loaded *loaded;
	struct conf *conf;
	const char *path, *dir;		/* of the file; NULL with options */
	config_setting_t *root, *defaults;	/* NULL: not there */
	struct conf_upstream model;	/* what each upstream begins with */
	bool model_checked;
	struct place *listener_at, *upstream_at;
	X509_STORE *system_store;	/* read once for all upstreams; NULL: not yet */
	FILE *out[2];			/* by severity */
	char *text[2];
	size_t text_len[2];
	unsigned count[2];
	bool no_memory;
};

/* ---- memory ----------------------------------------------------------- */

static void *arena_alloc(struct loader *l, size_t n)
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

/* Never NULL: without memory "", and the load fails in the end. */
static const char *arena_text(struct loader *l, const char *s, size_t n)
{
	char *copy = arena_alloc(l, n + 1);

	if (!copy)
		return "";
	memcpy(copy, s, n);
	return copy;
}

static const char *arena_printf(struct loader *l, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static const char *arena_printf(struct loader *l, const char *fmt, ...)
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
	copy = arena_text(l, text, (size_t)n);
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
static void put_file(struct loader *l, FILE *out, const char *file)
{
	if (!file || strcmp(file, l->path) == 0)
		fputs(l->path, out);
	else if (*file == '/' || !l->dir)
		fputs(file, out);
	else
		fprintf(out, "%s/%s", l->dir, file);
}

/* "file:line: path.key: " or "option: key: ". key may be NULL, or a path below the place. */
static void put_place(struct loader *l, FILE *out, struct place at, const char *key)
{
	config_setting_t *member = at.set && key ? config_setting_lookup(at.set, key) : NULL;
	config_setting_t *s = member ? member : at.set;

	if (at.option) {
		fprintf(out, "%s: ", at.option);
	} else if (s) {
		put_file(l, out, config_setting_source_file(s));
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

static void complain(struct loader *l, enum severity how, struct place at, const char *key,
	const char *fmt, ...) __attribute__((format(printf, 5, 6)));

static void complain(struct loader *l, enum severity how, struct place at, const char *key,
	const char *fmt, ...)
{
	FILE *out = l->out[how];
	va_list ap;

	put_place(l, out, at, key);
	va_start(ap, fmt);
	vfprintf(out, fmt, ap);
	va_end(ap);
	fputc('\n', out);
	l->count[how]++;
}

/* ---- one value ---------------------------------------------------------- */

static struct place at_set(config_setting_t *s)
{
	return (struct place){.set = s};
}

static bool is_integer(const config_setting_t *s)
{
	return config_setting_type(s) == CONFIG_TYPE_INT ||
	       config_setting_type(s) == CONFIG_TYPE_INT64;
}

static bool is_text(const config_setting_t *s)
{
	const char *p;

	if (config_setting_type(s) != CONFIG_TYPE_STRING)
		return false;
	for (p = config_setting_get_string(s); *p; p++) {
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			return false;
	}
	return true;
}

static bool is_text_list(const config_setting_t *s)
{
	if (!config_setting_is_array(s) && !config_setting_is_list(s))
		return false;
	for (int i = 0; i < config_setting_length(s); i++) {
		if (!is_text(config_setting_get_elem(s, (unsigned)i)))
			return false;
	}
	return true;
}

static const char *join_words(struct loader *l, const config_setting_t *s)
{
	const char *words = "";

	for (int i = 0; i < config_setting_length(s); i++)
		words = arena_printf(l, "%s%s%s", words, i > 0 ? " " : "",
			config_setting_get_string_elem(s, i));
	return words;
}

static void complain_type(struct loader *l, const struct conf_key *k, config_setting_t *s)
{
	struct place at = at_set(s);

	switch (k->kind) {
	case CONF_IS_COUNT:
	case CONF_IS_COUNT64:
		complain(l, ERROR, at, NULL, "must be a whole number without quotes");
		break;
	case CONF_IS_BOOL:
		complain(l, ERROR, at, NULL, "must be true or false, without quotes");
		break;
	case CONF_IS_DURATION:
	case CONF_IS_DURATION_OFF:
		if (is_integer(s))
			complain(l, ERROR, at, NULL, "%lld has no unit: write \"%llds\" (units: ms s m h d)",
				config_setting_get_int64(s), config_setting_get_int64(s));
		else
			complain(l, ERROR, at, NULL, "must be a duration in quotes: write \"30s\"");
		break;
	case CONF_IS_SIZE:
		complain(l, ERROR, at, NULL, "must be a size in quotes with its unit: write \"64KiB\" "
			"(units: B KiB MiB GiB)");
		break;
	case CONF_IS_MODE:
		complain(l, ERROR, at, NULL, "must be an octal mode in quotes: write \"0660\"");
		break;
	case CONF_IS_NAMES:
	case CONF_IS_PROTOCOLS:
		complain(l, ERROR, at, NULL, "must be a list of texts: write [ \"%s\" ]",
			k->kind == CONF_IS_NAMES ? "api.example.com" : "h2\", \"h1");
		break;
	default:
		complain(l, ERROR, at, NULL, "must be a text in quotes, of printable characters");
		break;
	}
}

/* The setting as a text for conf_key_set; NULL: it has the wrong type. */
static const char *value_text(struct loader *l, const struct conf_key *k, const config_setting_t *s)
{
	switch (k->kind) {
	case CONF_IS_COUNT:
	case CONF_IS_COUNT64:
		return is_integer(s) ? arena_printf(l, "%lld", config_setting_get_int64(s)) : NULL;
	case CONF_IS_BOOL:
		if (config_setting_type(s) != CONFIG_TYPE_BOOL)
			return NULL;
		return config_setting_get_bool(s) ? "true" : "false";
	case CONF_IS_NAMES:
	case CONF_IS_PROTOCOLS:
		return is_text_list(s) ? join_words(l, s) : NULL;
	default:
		return is_text(s) ? arena_printf(l, "%s", config_setting_get_string(s)) : NULL;
	}
}

static const char *lower_text(struct loader *l, const char *s)
{
	char *copy = arena_alloc(l, strlen(s) + 1);

	if (!copy)
		return "";
	for (size_t i = 0; s[i]; i++)
		copy[i] = s[i] >= 'A' && s[i] <= 'Z' ? (char)(s[i] - 'A' + 'a') : s[i];
	return copy;
}

static void read_names(struct loader *l, config_setting_t *s, struct conf_upstream *u)
{
	unsigned n = (unsigned)config_setting_length(s);
	const char **names = arena_alloc(l, n * sizeof(*names));

	if (!names)
		return;
	for (unsigned i = 0; i < n; i++) {
		names[i] = lower_text(l, config_setting_get_string_elem(s, (int)i));
		if (!conf_is_host(names[i]))
			complain(l, ERROR, at_set(config_setting_get_elem(s, i)), NULL,
				"\"%s\" is not a host name", names[i]);
	}
	u->hosts = names;
	u->host_count = n;
}

static void read_key(struct loader *l, const struct conf_key *k, config_setting_t *s, void *base)
{
	const char *text = value_text(l, k, s);
	char why[CONF_WHY_MAX];

	if (!text)
		complain_type(l, k, s);
	else if (k->kind == CONF_IS_NAMES)
		read_names(l, s, base);
	else if (!conf_key_set(k, base, text, why))
		complain(l, ERROR, at_set(s), NULL, "%s", why);
}

/* ---- the tree ------------------------------------------------------------ */

static void complain_unknown(struct loader *l, unsigned groups, config_setting_t *s)
{
	const char *name = config_setting_name(s);
	const struct conf_key *near = conf_key_nearest(groups, name);
	const char *home = conf_key_home(name);

	if (home)
		complain(l, ERROR, at_set(s), NULL, "unknown name here (it belongs to %s)", home);
	else if (near)
		complain(l, ERROR, at_set(s), NULL, "unknown name (did you mean %s?)", near->name);
	else
		complain(l, ERROR, at_set(s), NULL, "unknown name");
}

static bool is_group(struct loader *l, config_setting_t *s)
{
	if (config_setting_is_group(s))
		return true;
	complain(l, ERROR, at_set(s), NULL, "must be a group: write { name = value; }");
	return false;
}

static bool is_list(struct loader *l, config_setting_t *s)
{
	if (config_setting_is_list(s))
		return true;
	complain(l, ERROR, at_set(s), NULL, "must be a list of groups: write ( { name = value; } )");
	return false;
}

static void read_group(struct loader *l, config_setting_t *group, unsigned groups, void *base)
{
	for (int i = 0; i < config_setting_length(group); i++) {
		config_setting_t *s = config_setting_get_elem(group, (unsigned)i);
		const struct conf_key *k = conf_key_find(groups, config_setting_name(s));

		if (!k)
			complain_unknown(l, groups, s);
		else if (k->kind != CONF_IS_GROUP)
			read_key(l, k, s, base);
		else if (is_group(l, s))
			read_group(l, s, k->keys, base);
	}
}

/* The members of *what, unless it is not there or wrong. */
static config_setting_t *root_group(struct loader *l, const char *name)
{
	config_setting_t *s = config_setting_get_member(l->root, name);

	return s && is_group(l, s) ? s : NULL;
}

static config_setting_t *root_list(struct loader *l, const char *name)
{
	config_setting_t *s = config_setting_get_member(l->root, name);

	return s && is_list(l, s) ? s : NULL;
}

static bool room_for_listeners(struct loader *l, unsigned n)
{
	l->conf->listeners = arena_alloc(l, n * sizeof(*l->conf->listeners));
	l->listener_at = arena_alloc(l, n * sizeof(*l->listener_at));
	return l->conf->listeners && l->listener_at;
}

static bool room_for_upstreams(struct loader *l, unsigned n)
{
	l->conf->upstreams = arena_alloc(l, n * sizeof(*l->conf->upstreams));
	l->upstream_at = arena_alloc(l, n * sizeof(*l->upstream_at));
	return l->conf->upstreams && l->upstream_at;
}

static struct conf_listener *add_listener(struct loader *l, struct place at)
{
	struct conf_listener *ls = &l->conf->listeners[l->conf->listener_count];

	l->listener_at[l->conf->listener_count++] = at;
	conf_key_defaults(CONF_LISTENER, ls);
	return ls;
}

static struct conf_upstream *add_upstream(struct loader *l, struct place at)
{
	struct conf_upstream *u = &l->conf->upstreams[l->conf->upstream_count];

	*u = l->model;
	u->index = l->conf->upstream_count;
	l->upstream_at[l->conf->upstream_count++] = at;
	return u;
}

static void read_listeners(struct loader *l)
{
	config_setting_t *list = root_list(l, "listeners");
	int n = list ? config_setting_length(list) : 0;

	if (!room_for_listeners(l, n > 0 ? (unsigned)n : 1))
		return;
	for (int i = 0; i < n; i++) {
		config_setting_t *s = config_setting_get_elem(list, (unsigned)i);

		if (is_group(l, s))
			read_group(l, s, CONF_LISTENER, add_listener(l, at_set(s)));
	}
	if (n == 0)
		add_listener(l, at_set(l->root));
}

static void read_upstreams(struct loader *l)
{
	config_setting_t *list = root_list(l, "upstreams");
	int n = list ? config_setting_length(list) : 0;

	if (!room_for_upstreams(l, (unsigned)n))
		return;
	for (int i = 0; i < n; i++) {
		config_setting_t *s = config_setting_get_elem(list, (unsigned)i);

		if (is_group(l, s))
			read_group(l, s, CONF_UPSTREAM | CONF_POOL, add_upstream(l, at_set(s)));
	}
	if (n == 0 && (list || !config_setting_get_member(l->root, "upstreams")))
		complain(l, ERROR, at_set(l->root), NULL,
			"upstreams: at least one is needed: write %s", FIRST_UPSTREAM);
}

static void read_tree(struct loader *l)
{
	config_setting_t *s;

	for (int i = 0; i < config_setting_length(l->root); i++) {
		s = config_setting_get_elem(l->root, (unsigned)i);
		if (!conf_key_find(CONF_ROOT, config_setting_name(s)))
			complain_unknown(l, CONF_ROOT, s);
	}
	s = root_group(l, "daemon");
	if (s)
		read_group(l, s, CONF_DAEMON, l->conf);
	s = root_group(l, "log");
	if (s)
		read_group(l, s, CONF_LOG, l->conf);
	l->defaults = root_group(l, "defaults");
	if (l->defaults)
		read_group(l, l->defaults, CONF_POOL, &l->model);
	read_listeners(l);
	read_upstreams(l);
}

/* ---- the file -------------------------------------------------------------- */

/* The file of an @include line, as libconfig would open it; "" if it is another line. */
static const char *include_path(struct loader *l, const char *line)
{
	const char *name, *end;

	line += strspn(line, " \t");
	if (strncmp(line, "@include", 8) != 0)
		return "";
	name = line + 8 + strspn(line + 8, " \t");
	if (*name != '"')
		return "";
	end = strchr(++name, '"');
	if (!end)
		return "";
	return arena_printf(l, "%s%s%.*s", l->dir ? l->dir : "", l->dir ? "/" : "", (int)(end - name),
		name);
}

/*
 * libconfig's scanner ends the process when reading fails, as it does for a folder. A daemon
 * that reloads must outlive that, so the files are looked at first. false: told.
 */
static bool look_at_file(struct loader *l, const char *path, unsigned depth)
{
	char *line = NULL;
	size_t size = 0;
	bool ok = true;
	struct stat st;
	FILE *f;

	if (stat(path, &st) < 0)
		return true;	/* libconfig says where it is included */
	if (S_ISDIR(st.st_mode)) {
		fprintf(l->out[ERROR], "%s: is a directory, not a file\n", path);
		l->count[ERROR]++;
		return false;
	}
	if (!S_ISREG(st.st_mode) || depth > INCLUDE_DEPTH)
		return true;	/* a pipe can be read only once */
	f = fopen(path, "re");
	while (f && ok && getline(&line, &size, f) > 0) {
		const char *other = include_path(l, line);

		if (*other)
			ok = look_at_file(l, other, depth + 1);
	}
	free(line);
	if (f)
		fclose(f);
	return ok;
}

static void complain_syntax(struct loader *l, const config_t *tree)
{
	const char *text = config_error_text(tree), *hint = "";

	if (strcmp(text, "syntax error") == 0)
		hint = " (is there a comma before a closing bracket, or a quote or bracket missing "
		       "above?)";
	else if (strstr(text, "include"))
		hint = " (its path is taken from the folder of the first file)";
	put_file(l, l->out[ERROR], config_error_file(tree));
	fprintf(l->out[ERROR], ":%d: %s%s\n", config_error_line(tree), text, hint);
	l->count[ERROR]++;
}

static void complain_file(struct loader *l)
{
	fprintf(l->out[ERROR], "%s: cannot be read: %s\n", l->path, strerror(errno));
	l->count[ERROR]++;
}

static void read_file(struct loader *l, config_t *tree)
{
	const char *slash = strrchr(l->path, '/');

	if (slash) {
		l->dir = arena_text(l, l->path, (size_t)(slash - l->path));
		config_set_include_dir(tree, slash == l->path ? "/" : l->dir);
	}
	if (access(l->path, R_OK) < 0) {
		complain_file(l);
		return;
	}
	if (!look_at_file(l, l->path, 0))
		return;
	if (config_read_file(tree, l->path)) {
		l->root = config_root_setting(tree);
		read_tree(l);
	} else if (config_error_type(tree) == CONFIG_ERR_PARSE) {
		complain_syntax(l, tree);
	} else {
		complain_file(l);
	}
}

/* ---- the command line -------------------------------------------------------- */

/* "NAME=URL": a name has neither colon nor slash, so the first '=' before those ends it. */
static void read_upstream_option(struct loader *l, const char *text)
{
	struct place at = {.option = arena_printf(l, "--upstream %s", text)};
	struct conf_upstream *u = add_upstream(l, at);
	size_t n = strcspn(text, "=:/");

	u->url = text;
	if (text[n] == '=') {
		u->name = arena_text(l, text, n);
		u->url = text + n + 1;
	}
	u->url = arena_text(l, u->url, strlen(u->url));
	if (text[n] == '=' && n == 0)
		complain(l, ERROR, at, NULL, "no name before the '='");
}

static void read_listen_option(struct loader *l, const char *path)
{
	struct place at = {.option = arena_printf(l, "--listen %s", path)};
	unsigned n = l->conf->listener_count;
	struct conf_listener *ls = add_listener(l, at);

	ls->path = arena_text(l, path, strlen(path));
	if (n > 0)
		ls->name = arena_printf(l, "listen%u", n + 1);
}

static void read_options(struct loader *l, const struct conf_cli *cli)
{
	if (!room_for_upstreams(l, cli->upstream_count) ||
	    !room_for_listeners(l, cli->listen_count > 0 ? cli->listen_count : 1))
		return;
	for (unsigned i = 0; i < cli->upstream_count; i++)
		read_upstream_option(l, cli->upstreams[i]);
	for (unsigned i = 0; i < cli->listen_count; i++)
		read_listen_option(l, cli->listen[i]);
	if (cli->listen_count == 0)
		add_listener(l, (struct place){0});
	if (cli->upstream_count == 0)
		complain(l, ERROR, (struct place){.option = "--upstream"}, NULL,
			"at least one is needed: --upstream https://api.example.com");
}

/* ---- TLS ----------------------------------------------------------------------- */

/* Where a key of an upstream was written: there, in defaults, or (not at all) the upstream. */
static struct place key_place(struct loader *l, const struct conf_upstream *u, const char **key)
{
	struct place at = l->upstream_at[u->index];
	config_setting_t *s;

	if (!at.set)
		return at;
	s = config_setting_lookup(at.set, *key);
	if (!s && l->defaults)
		s = config_setting_lookup(l->defaults, *key);
	if (!s)
		return at;
	*key = NULL;
	return at_set(s);
}

#define complain_key(l, how, u, key, ...)                                                          \
	do {                                                                                       \
		const char *key_ = (key);                                                          \
		struct place at_ = key_place((l), (u), &key_);                                     \
		complain((l), (how), at_, key_, __VA_ARGS__);                                      \
	} while (0)

static const char *tls_reason(void)
{
	unsigned long e = ERR_peek_last_error();
	const char *reason = ERR_reason_error_string(e);

	return reason ? reason : "no reason given";
}

/* Adds what the file holds to the digest; false: told. "" is a file of its own kind. */
static bool digest_file(struct loader *l, struct conf_upstream *u, EVP_MD_CTX *md, const char *key,
	const char *path)
{
	char chunk[4096];
	size_t n, sum = 0;
	FILE *f;

	EVP_DigestUpdate(md, *path ? "+" : "-", 1);
	if (!*path)
		return true;
	f = fopen(path, "re");
	if (!f) {
		complain_key(l, ERROR, u, key, "%s: %s", path, strerror(errno));
		return false;
	}
	while ((n = fread(chunk, 1, sizeof(chunk), f)) > 0 && sum <= TLS_FILE_MAX) {
		EVP_DigestUpdate(md, chunk, n);
		sum += n;
	}
	if (ferror(f))
		complain_key(l, ERROR, u, key, "%s: %s", path, strerror(errno));
	else if (sum > TLS_FILE_MAX)
		complain_key(l, ERROR, u, key, "%s: larger than 16 MiB", path);
	n = ferror(f) || sum > TLS_FILE_MAX;
	fclose(f);
	EVP_DigestUpdate(md, &sum, sizeof(sum));	/* so that bytes cannot move between files */
	return n == 0;
}

static bool digest_tls(struct loader *l, struct conf_upstream *u)
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	bool ca, cert, key;

	if (!md || !EVP_DigestInit_ex(md, EVP_sha256(), NULL)) {
		EVP_MD_CTX_free(md);
		l->no_memory = true;
		return false;
	}
	ca = digest_file(l, u, md, "tls.ca_file", u->tls.ca_file);
	cert = digest_file(l, u, md, "tls.cert", u->tls.cert);
	key = digest_file(l, u, md, "tls.key", u->tls.key);
	EVP_DigestFinal_ex(md, u->tls_digest, NULL);
	EVP_MD_CTX_free(md);
	return ca && cert && key;
}

/* Reading the system's store takes longer than all the rest: one for all upstreams. */
static bool trust_system(struct loader *l, SSL_CTX *ctx)
{
	if (!l->system_store) {
		if (!SSL_CTX_set_default_verify_paths(ctx))
			return false;
		l->system_store = SSL_CTX_get_cert_store(ctx);
		return X509_STORE_up_ref(l->system_store) == 1;
	}
	SSL_CTX_set1_cert_store(ctx, l->system_store);
	return true;
}

/* An encrypted key would otherwise ask the terminal. */
static int no_password(char *buf, int size, int writing, void *arg)
{
	(void)buf;
	(void)size;
	(void)writing;
	(void)arg;
	return 0;
}

static bool set_trust(struct loader *l, struct conf_upstream *u, SSL_CTX *ctx)
{
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	if (!*u->tls.ca_file ? trust_system(l, ctx) : SSL_CTX_load_verify_file(ctx, u->tls.ca_file))
		return true;
	complain_key(l, ERROR, u, "tls.ca_file", "%s: no certificates in PEM form: %s",
		*u->tls.ca_file ? u->tls.ca_file : "the store of the system", tls_reason());
	return false;
}

static bool set_identity(struct loader *l, struct conf_upstream *u, SSL_CTX *ctx)
{
	if (!*u->tls.cert)
		return true;
	SSL_CTX_set_default_passwd_cb(ctx, no_password);
	if (!SSL_CTX_use_certificate_chain_file(ctx, u->tls.cert)) {
		complain_key(l, ERROR, u, "tls.cert", "%s: not a certificate in PEM form: %s",
			u->tls.cert, tls_reason());
		return false;
	}
	if (SSL_CTX_use_PrivateKey_file(ctx, u->tls.key, SSL_FILETYPE_PEM) &&
	    SSL_CTX_check_private_key(ctx))
		return true;
	if (ERR_GET_LIB(ERR_peek_last_error()) == ERR_LIB_X509)
		complain_key(l, ERROR, u, "tls.key", "%s does not belong to %s: %s", u->tls.key,
			u->tls.cert, tls_reason());
	else
		complain_key(l, ERROR, u, "tls.key", "%s: not an unencrypted private key in PEM form: %s",
			u->tls.key, tls_reason());
	return false;
}

static void set_options(const struct conf_upstream *u, SSL_CTX *ctx)
{
	bool only_13 = strcmp(u->tls.min_version, "1.3") == 0;

	SSL_CTX_set_min_proto_version(ctx, only_13 ? TLS1_3_VERSION : TLS1_2_VERSION);
	SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION);
	/* A flush may be cut, and its bytes may have moved to another slab when it goes on. */
	SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
				      SSL_MODE_RELEASE_BUFFERS);
	/* One read(2) for several records instead of two for each. */
	SSL_CTX_set_read_ahead(ctx, 1);
	SSL_CTX_set_default_read_buffer_len(ctx, 65536);
}

static void make_ssl(struct loader *l, struct conf_upstream *u)
{
	SSL_CTX *ctx;

	if (!digest_tls(l, u))
		return;
	ERR_clear_error();
	ctx = SSL_CTX_new(TLS_client_method());
	if (!ctx) {
		l->no_memory = true;
		return;
	}
	set_options(u, ctx);
	if (set_trust(l, u, ctx) && set_identity(l, u, ctx))
		u->ssl = ctx;
	else
		SSL_CTX_free(ctx);
	ERR_clear_error();
}

/* ---- upstreams ------------------------------------------------------------------- */

/* "/run/search.sock" is "search" unless it is called otherwise. */
static const char *socket_name(struct loader *l, const char *path)
{
	const char *base = strrchr(path, '/') + 1;
	size_t n = strlen(base);

	if (n > 5 && strcmp(base + n - 5, ".sock") == 0)
		n -= 5;
	return arena_text(l, base, n);
}

static void name_upstream(struct loader *l, struct conf_upstream *u, const struct conf_url *url)
{
	bool given = *u->name != '\0';

	if (!given)
		u->name = url->local ? socket_name(l, url->path) : u->host;
	if (!conf_is_name(u->name) && (given || !url->v6))
		complain_key(l, ERROR, u, "name", "\"%s\" is not a name: take letters, digits, '-', '_', "
			"'.'", u->name);
}

static void place_upstream(struct loader *l, struct conf_upstream *u, const struct conf_url *url)
{
	const char *open = url->v6 ? "[" : "", *close = url->v6 ? "]" : "";

	u->https = url->https;
	u->host = arena_text(l, url->host, strlen(url->host));
	u->port = url->port;
	name_upstream(l, u, url);
	if (url->local) {
		u->address = arena_printf(l, "unix:%s", url->path);
		u->authority = u->name;
		u->base_path = "";
		return;
	}
	u->address = arena_printf(l, "%s%s%s:%u", open, u->host, close, u->port);
	u->authority = u->address;
	if (u->port == (u->https ? 443 : 80))	/* RFC 9110 4.2: the default port is left out */
		u->authority = arena_printf(l, "%s%s%s", open, u->host, close);
	u->base_path = arena_text(l, url->path, url->path_len);
}

/* Was it written for this upstream, not inherited? */
static bool is_own(struct loader *l, const struct conf_upstream *u, const char *key)
{
	config_setting_t *s = l->upstream_at[u->index].set;

	return s && config_setting_lookup(s, key);
}

/*
 * https chooses by ALPN; in clear text nobody chooses. What was inherited is cut to what the
 * scheme can; what was written for this upstream must fit.
 */
static void check_protocols(struct loader *l, struct conf_upstream *u)
{
	unsigned alpn = u->protocols & (CONF_PROTO_H1 | CONF_PROTO_H2);
	bool own = is_own(l, u, "protocols");

	if (u->https) {
		if (own && (u->protocols & CONF_PROTO_H2C))
			complain_key(l, ERROR, u, "protocols",
				"h2c is clear text, the url is https: write [ \"h2\", \"h1\" ]");
		u->protocols = alpn ? alpn : CONF_PROTO_H2 | CONF_PROTO_H1;
		u->h1_first = u->h1_first && u->protocols == (CONF_PROTO_H1 | CONF_PROTO_H2);
		return;
	}
	if (own && (u->protocols & CONF_PROTO_H2))
		complain_key(l, ERROR, u, "protocols",
			"h2 is chosen by TLS, the url is clear text: write [ \"h2c\" ] or [ \"h1\" ]");
	else if (own && u->protocols == (CONF_PROTO_H1 | CONF_PROTO_H2C))
		complain_key(l, ERROR, u, "protocols",
			"nothing chooses between h1 and h2c in clear text: write one of them");
	u->protocols = u->protocols & CONF_PROTO_H2C ? CONF_PROTO_H2C : CONF_PROTO_H1;
	u->h1_first = false;
}

static void check_tls(struct loader *l, struct conf_upstream *u)
{
	bool cert = *u->tls.cert, key = *u->tls.key;

	if (!u->https) {
		if (is_own(l, u, "tls"))
			complain_key(l, WARNING, u, "tls", "has no effect, the url is not https");
		return;
	}
	if (cert != key) {
		complain_key(l, ERROR, u, cert ? "tls.cert" : "tls.key", "needs tls.%s too",
			cert ? "key" : "cert");
		return;
	}
	if (*u->tls.server_name && !conf_is_host(u->tls.server_name))
		complain_key(l, ERROR, u, "tls.server_name", "\"%s\" is not a host name",
			u->tls.server_name);
	make_ssl(l, u);
}

static void finish_upstream(struct loader *l, struct conf_upstream *u)
{
	struct conf_url url;
	const char *wrong;

	u->host = u->address = u->authority = u->base_path = "";
	if (!*u->url) {
		complain_key(l, ERROR, u, "url", "is missing: write url = \"https://api.example.com\";");
		return;
	}
	wrong = conf_url_parse(u->url, &url);
	if (wrong) {
		complain_key(l, ERROR, u, "url", "\"%s\": %s", u->url, wrong);
		return;
	}
	place_upstream(l, u, &url);
	check_protocols(l, u);
	check_tls(l, u);
}

/* Sizes that must fit into each other; what all inherit is told about once. */
static void check_pool(struct loader *l, const struct conf_upstream *u)
{
	const struct conf_upstream *m = &l->model;

	if (u->buffer == m->buffer && u->retry_buffer == m->retry_buffer &&
	    u->h2_stream_window == m->h2_stream_window &&
	    u->h2_connection_window == m->h2_connection_window) {
		if (l->model_checked)
			return;
		l->model_checked = true;
	}
	if (u->retry_buffer > u->buffer)
		complain_key(l, ERROR, u, "retry_buffer", "is larger than buffer: raise buffer or lower "
			"retry_buffer");
	if (u->buffer > l->conf->memory_limit)
		complain_key(l, ERROR, u, "buffer", "is larger than daemon.memory_limit");
	if (u->h2_stream_window > u->h2_connection_window)
		complain_key(l, WARNING, u, "h2_stream_window", "is larger than h2_connection_window, "
			"which limits it");
}

/* ---- what must differ ------------------------------------------------------------- */

/* Does u answer to this Host? Its name counts. */
static bool answers_to(const struct conf_upstream *u, const char *host)
{
	if (strcasecmp(u->name, host) == 0)
		return true;
	for (unsigned i = 0; i < u->host_count; i++) {
		if (strcmp(u->hosts[i], host) == 0)
			return true;
	}
	return false;
}

static void check_host(struct loader *l, const struct conf_upstream *u, unsigned n)
{
	const char *host = u->hosts[n];

	for (unsigned i = 0; i < n; i++) {
		if (strcmp(u->hosts[i], host) == 0)
			complain_key(l, ERROR, u, "hosts", "\"%s\" is there twice", host);
	}
	for (unsigned i = 0; i < l->conf->upstream_count; i++) {
		const struct conf_upstream *other = &l->conf->upstreams[i];

		/* Of two upstreams with the same host the later one hears of it. */
		if (i == u->index || (i > u->index && strcasecmp(other->name, host) != 0))
			continue;
		if (answers_to(other, host))
			complain_key(l, ERROR, u, "hosts", "\"%s\" already means upstream %s", host,
				other->name);
	}
}

static void check_upstream_names(struct loader *l)
{
	struct conf *c = l->conf;

	for (unsigned i = 0; i < c->upstream_count; i++) {
		const struct conf_upstream *u = &c->upstreams[i];

		for (unsigned j = 0; j < i && *u->name; j++) {
			if (strcasecmp(c->upstreams[j].name, u->name) == 0)
				complain_key(l, ERROR, u, "name", "\"%s\" is already the name of "
					"upstreams[%u]: give one of them another name", u->name, j);
		}
		for (unsigned n = 0; n < u->host_count; n++)
			check_host(l, u, n);
	}
}

/* ---- listeners ---------------------------------------------------------------------- */

static const char *upstream_list(struct loader *l)
{
	const char *names = "";

	for (unsigned i = 0; i < l->conf->upstream_count && i < 20; i++)
		names = arena_printf(l, "%s%s%s", names, i > 0 ? ", " : "",
			l->conf->upstreams[i].name);
	return l->conf->upstream_count > 20 ? arena_printf(l, "%s, ...", names) : names;
}

static const struct conf_upstream *named_upstream(struct loader *l, struct place at,
	const char *key, const char *name)
{
	const struct conf_upstream *u;

	if (!*name)
		return NULL;
	u = conf_find_upstream(l->conf, name, strlen(name));
	if (!u)
		complain(l, ERROR, at, key, "there is no upstream \"%s\" (there are: %s)", name,
			upstream_list(l));
	return u;
}

static void check_listener_path(struct loader *l, struct place at, const char *path)
{
	if (strlen(path) > CONF_PATH_MAX)
		complain(l, ERROR, at, "path", "is %zu bytes long, a socket's path has at most %d",
			strlen(path), CONF_PATH_MAX);
	else if (!*path || (at.set && *path != '/'))
		complain(l, ERROR, at, "path", "must be absolute: write \"/run/connpoold/name.sock\"");
}

static void check_listener(struct loader *l, unsigned n)
{
	struct conf_listener *ls = &l->conf->listeners[n];
	struct place at = l->listener_at[n];

	if (!conf_is_name(ls->name))
		complain(l, ERROR, at, "name", "\"%s\" is not a name: take letters, digits, '-', '_', '.'",
			ls->name);
	check_listener_path(l, at, ls->path);
	for (unsigned i = 0; i < n; i++) {
		if (strcmp(l->conf->listeners[i].name, ls->name) == 0)
			complain(l, ERROR, at, "name", "\"%s\" is already the name of listeners[%u]",
				ls->name, i);
		if (strcmp(l->conf->listeners[i].path, ls->path) == 0)
			complain(l, ERROR, at, "path", "\"%s\" is already the path of listeners[%u]",
				ls->path, i);
	}
	ls->fixed = named_upstream(l, at, "upstream", ls->upstream);
	ls->fallback = named_upstream(l, at, "default_upstream", ls->default_upstream);
	if (!*ls->default_upstream && l->conf->upstream_count == 1)
		ls->fallback = &l->conf->upstreams[0];
	if (*ls->upstream && *ls->default_upstream)
		complain(l, WARNING, at, "default_upstream", "has no effect beside upstream");
}

/* ---- descriptors ---------------------------------------------------------------------- */

static void check_descriptors(struct loader *l)
{
	struct place at = {.set = l->root};
	struct conf *c = l->conf;
	struct rlimit limit;
	long long pools = 0, left;

	for (unsigned i = 0; i < c->upstream_count; i++)
		pools += c->upstreams[i].max_connections;
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur > 2 * (rlim_t)MAX_CLIENTS)
		limit.rlim_cur = 2 * (rlim_t)MAX_CLIENTS;	/* RLIM_INFINITY too */
	left = (long long)limit.rlim_cur - pools - OWN_DESCRIPTORS;

	if (c->max_clients > 0) {
		if (left < (long long)c->max_clients)
			complain(l, WARNING, at, "daemon.max_clients", "%u clients may not fit: RLIMIT_NOFILE "
				"%llu - %lld for the pools - %d for the daemon = %lld", c->max_clients,
				(unsigned long long)limit.rlim_cur, pools, OWN_DESCRIPTORS, left);
		return;
	}
	if (left < MIN_CLIENTS) {
		complain(l, ERROR, at, "daemon.max_clients", "too few descriptors: RLIMIT_NOFILE %llu - "
			"%lld for the pools (sum of max_connections) - %d for the daemon = %lld for "
			"clients, at least %d are needed: raise LimitNOFILE= or lower max_connections",
			(unsigned long long)limit.rlim_cur, pools, OWN_DESCRIPTORS, left, MIN_CLIENTS);
		left = MIN_CLIENTS;
	}
	c->max_clients = (unsigned)(left < MAX_CLIENTS ? left : MAX_CLIENTS);
}

/* ---- loading ----------------------------------------------------------------------------- */

static void check_all(struct loader *l)
{
	struct conf *c = l->conf;

	for (unsigned i = 0; i < c->upstream_count; i++) {
		finish_upstream(l, &c->upstreams[i]);
		check_pool(l, &c->upstreams[i]);
	}
	check_upstream_names(l);
	for (unsigned i = 0; i < c->listener_count; i++)
		check_listener(l, i);
	check_descriptors(l);
}

static bool loader_init(struct loader *l, const char *path)
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

static struct conf *loader_end(struct loader *l, char **errors, char **warnings)
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

struct conf *conf_load(const char *path, const struct conf_cli *cli, char **errors, char **warnings)
{
	struct loader l;
	config_t tree;

	if (!loader_init(&l, path))
		return loader_end(&l, errors, warnings);
	config_init(&tree);
	if (path)
		read_file(&l, &tree);
	else
		read_options(&l, cli);
	if ((l.root || !path) && !l.no_memory)
		check_all(&l);
	config_destroy(&tree);
	return loader_end(&l, errors, warnings);
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

/* ---- questions ------------------------------------------------------------------------------ */

bool conf_upstream_same_connections(const struct conf_upstream *a, const struct conf_upstream *b)
{
	return a->https == b->https && strcmp(a->address, b->address) == 0 &&
	       strcmp(a->authority, b->authority) == 0 && a->protocols == b->protocols &&
	       a->h1_first == b->h1_first && a->h2_stream_window == b->h2_stream_window &&
	       a->h2_connection_window == b->h2_connection_window &&
	       strcmp(a->tls.server_name, b->tls.server_name) == 0 &&
	       strcmp(a->tls.min_version, b->tls.min_version) == 0 &&
	       memcmp(a->tls_digest, b->tls_digest, sizeof(a->tls_digest)) == 0;
}

const struct conf_upstream *conf_find_upstream(const struct conf *c, const char *name, size_t n)
{
	for (unsigned i = 0; i < c->upstream_count; i++) {
		const struct conf_upstream *u = &c->upstreams[i];

		if (strlen(u->name) == n && strncasecmp(u->name, name, n) == 0)
			return u;
	}
	return NULL;
}
