/*
 * conf.c - from libconfig's tree, or the command line, to a struct conf.
 *
 * The tree is gone when conf_load returns. What is below it is in conf_loader.c.
 */
#include <errno.h>
#include <libconfig.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/base/conf.h"
#include "daemon/base/conf_keys.h"
#include "daemon/base/conf_loader.h"
#include "daemon/base/conf_value.h"

#define INCLUDE_DEPTH 10 /* libconfig's own limit */

#define FIRST_UPSTREAM "upstreams = ( { url = \"https://api.example.com\"; } );"

/* ---- one value --------------------------------------------------------- */

static struct position at_set(config_setting_t *s)
{
	return (struct position){.set = s};
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
		words = loader_printf(
			l, "%s%s%s", words, i > 0 ? " " : "", config_setting_get_string_elem(s, i));
	return words;
}

static const char *wanted(enum conf_kind kind)
{
	switch (kind) {
	case CONF_IS_COUNT:
	case CONF_IS_COUNT64:
		return "a whole number without quotes";
	case CONF_IS_BOOL:
		return "true or false, without quotes";
	case CONF_IS_DURATION:
	case CONF_IS_DURATION_OFF:
		return "a duration in quotes: write \"30s\"";
	case CONF_IS_SIZE:
		return "a size in quotes: write \"64KiB\" (units: B KiB MiB GiB)";
	case CONF_IS_MODE:
		return "an octal mode in quotes: write \"0660\"";
	case CONF_IS_NAMES:
		return "a list of texts: write [ \"api.example.com\" ]";
	case CONF_IS_PROTOCOLS:
		return "a list of texts: write [ \"h2\", \"h1\" ]";
	default:
		return "a text of printable characters in quotes";
	}
}

static void complain_type(struct loader *l, const struct conf_key *k, config_setting_t *s)
{
	bool duration = k->kind == CONF_IS_DURATION || k->kind == CONF_IS_DURATION_OFF;

	if (duration && is_integer(s))
		loader_complain(l, ERROR, at_set(s), NULL,
			"%lld has no unit: write \"%llds\" (units: ms s m h d)",
			config_setting_get_int64(s), config_setting_get_int64(s));
	else
		loader_complain(l, ERROR, at_set(s), NULL, "must be %s", wanted(k->kind));
}

/* The setting as a text for conf_key_set; NULL: it has the wrong type. */
static const char *value_text(struct loader *l, const struct conf_key *k, const config_setting_t *s)
{
	switch (k->kind) {
	case CONF_IS_COUNT:
	case CONF_IS_COUNT64:
		return is_integer(s) ? loader_printf(l, "%lld", config_setting_get_int64(s)) : NULL;
	case CONF_IS_BOOL:
		if (config_setting_type(s) != CONFIG_TYPE_BOOL)
			return NULL;
		return config_setting_get_bool(s) ? "true" : "false";
	case CONF_IS_NAMES:
	case CONF_IS_PROTOCOLS:
		return is_text_list(s) ? join_words(l, s) : NULL;
	default:
		return is_text(s) ? loader_printf(l, "%s", config_setting_get_string(s)) : NULL;
	}
}

static const char *lower_text(struct loader *l, const char *s)
{
	char *copy = loader_alloc(l, strlen(s) + 1);

	if (!copy)
		return "";
	for (size_t i = 0; s[i]; i++)
		copy[i] = s[i] >= 'A' && s[i] <= 'Z' ? (char)(s[i] - 'A' + 'a') : s[i];
	return copy;
}

static void read_names(struct loader *l, config_setting_t *s, struct conf_upstream *u)
{
	unsigned n = (unsigned)config_setting_length(s);
	const char **names = loader_alloc(l, n * sizeof(*names));

	if (!names)
		return;
	for (unsigned i = 0; i < n; i++) {
		names[i] = lower_text(l, config_setting_get_string_elem(s, (int)i));
		if (!conf_is_host(names[i]))
			loader_complain(l, ERROR, at_set(config_setting_get_elem(s, i)), NULL,
				"\"%s\" is not a host name: write it without port and brackets",
				names[i]);
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
		loader_complain(l, ERROR, at_set(s), NULL, "%s", why);
}

/* ---- the tree ---------------------------------------------------------- */

static void complain_unknown(struct loader *l, unsigned groups, config_setting_t *s)
{
	const char *name = config_setting_name(s);
	const struct conf_key *near = conf_key_nearest(groups, name);
	const char *home = conf_key_home(name);

	if (home)
		loader_complain(
			l, ERROR, at_set(s), NULL, "unknown name here (it belongs to %s)", home);
	else if (near)
		loader_complain(
			l, ERROR, at_set(s), NULL, "unknown name (did you mean %s?)", near->name);
	else
		loader_complain(l, ERROR, at_set(s), NULL, "unknown name");
}

static bool is_group(struct loader *l, config_setting_t *s)
{
	if (config_setting_is_group(s))
		return true;
	loader_complain(l, ERROR, at_set(s), NULL, "must be a group: write { name = value; }");
	return false;
}

static bool is_list(struct loader *l, config_setting_t *s)
{
	if (config_setting_is_list(s))
		return true;
	loader_complain(
		l, ERROR, at_set(s), NULL, "must be a list of groups: write ( { name = value; } )");
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
	l->conf->listeners = loader_alloc(l, n * sizeof(*l->conf->listeners));
	l->listener_at = loader_alloc(l, n * sizeof(*l->listener_at));
	return l->conf->listeners && l->listener_at;
}

static bool room_for_upstreams(struct loader *l, unsigned n)
{
	l->conf->upstreams = loader_alloc(l, n * sizeof(*l->conf->upstreams));
	l->upstream_at = loader_alloc(l, n * sizeof(*l->upstream_at));
	return l->conf->upstreams && l->upstream_at;
}

static struct conf_listener *add_listener(struct loader *l, struct position at)
{
	struct conf_listener *ls = &l->conf->listeners[l->conf->listener_count];

	l->listener_at[l->conf->listener_count++] = at;
	conf_key_defaults(CONF_LISTENER, ls);
	return ls;
}

static struct conf_upstream *add_upstream(struct loader *l, struct position at)
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
		loader_complain(l, ERROR, at_set(l->root), NULL,
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

/* ---- the file ---------------------------------------------------------- */

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
	return loader_printf(
		l, "%s%s%.*s", l->dir ? l->dir : "", l->dir ? "/" : "", (int)(end - name), name);
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
		return true; /* libconfig says where it is included */
	if (S_ISDIR(st.st_mode)) {
		fprintf(l->out[ERROR], "%s: is a directory, not a file\n", path);
		l->count[ERROR]++;
		return false;
	}
	if (!S_ISREG(st.st_mode) || depth > INCLUDE_DEPTH)
		return true; /* a pipe can be read only once */
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
	loader_put_file(l, l->out[ERROR], config_error_file(tree));
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
		l->dir = loader_text(l, l->path, (size_t)(slash - l->path));
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

/* ---- the command line -------------------------------------------------- */

/* "NAME=URL": a name has neither colon nor slash, so the first '=' before those ends it. */
static void read_upstream_option(struct loader *l, const char *text)
{
	struct position at = {.option = loader_printf(l, "--upstream %s", text)};
	struct conf_upstream *u = add_upstream(l, at);
	size_t n = strcspn(text, "=:/");

	u->url = text;
	if (text[n] == '=') {
		u->name = loader_text(l, text, n);
		u->url = text + n + 1;
	}
	u->url = loader_text(l, u->url, strlen(u->url));
	if (text[n] == '=' && n == 0)
		loader_complain(l, ERROR, at, NULL, "no name before the '='");
}

static void read_listen_option(struct loader *l, const char *path)
{
	struct position at = {.option = loader_printf(l, "--listen %s", path)};
	unsigned n = l->conf->listener_count;
	struct conf_listener *ls = add_listener(l, at);

	ls->path = loader_text(l, path, strlen(path));
	if (n > 0)
		ls->name = loader_printf(l, "listen%u", n + 1);
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
		add_listener(l, (struct position){0});
	if (cli->upstream_count == 0)
		loader_complain(l, ERROR, (struct position){.option = "--upstream"}, NULL,
			"at least one is needed: --upstream https://api.example.com");
}

/* ---- loading ----------------------------------------------------------- */

/* The tree lives as long as complaints may name places in it. */
static void load_file(struct loader *l)
{
	config_t tree;

	config_init(&tree);
	read_file(l, &tree);
	if (l->root && !l->no_memory)
		conf_check(l);
	config_destroy(&tree);
}

static void load_options(struct loader *l, const struct conf_cli *cli)
{
	read_options(l, cli);
	if (!l->no_memory)
		conf_check(l);
}

struct conf *conf_load(const char *path, const struct conf_cli *cli, char **errors, char **warnings)
{
	struct loader l;

	if (loader_init(&l, path)) {
		if (path)
			load_file(&l);
		else
			load_options(&l, cli);
	}
	return loader_end(&l, errors, warnings);
}

/* ---- questions --------------------------------------------------------- */

bool conf_upstream_same_connections(const struct conf_upstream *a, const struct conf_upstream *b)
{
	unsigned groups = CONF_UPSTREAM | CONF_POOL | CONF_TLS;

	/* The rest is what NEW_POOL_DERIVED stands for: the url, and what the files hold. */
	return !conf_key_differs(groups, CONF_NEW_POOL, a, b) && a->https == b->https &&
	       strcmp(a->address, b->address) == 0 && strcmp(a->srv, b->srv) == 0 &&
	       strcmp(a->authority, b->authority) == 0 &&
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
