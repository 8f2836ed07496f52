/*
 * conf_docs.c - writes what conf_keys.def says, as the reference configuration
 * (conf_docs conf) or as the key list of connpoold.conf(5) (conf_docs man).
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct row {
	const char *where, *name;
	const char *keys; /* of a group: its keys; else NULL */
	const char *kind, *reload, *initial, *low, *high, *text;
};

/* A group's keys follow it; a group inside a group comes last. */
static const struct row rows[] = {
#define CONF_GROUP(where, name, keys, kind, text)                                                  \
	{#where, #name, #keys, #kind, "", "", "", "", text},
#define CONF_KEY(where, name, member, kind, reload, initial, low, high, text)                      \
	{#where, #name, NULL, #kind, #reload, initial, low, high, text},
#include "daemon/base/conf_keys.def"
};

#define ROW_COUNT (sizeof(rows) / sizeof(rows[0]))
#define WIDTH     92

/* What the installed file sets: no default could be right for everyone. */
static const struct {
	const char *where, *name, *value;
} shipped[] = {
	{"LISTENER", "group", "connpool"},
	{"UPSTREAM", "name", "github"},
	{"UPSTREAM", "url", "https://api.github.com"},
};

static bool is(const char *a, const char *b)
{
	return strcmp(a, b) == 0;
}

static bool is_bare(const struct row *r)
{
	return is(r->kind, "COUNT") || is(r->kind, "COUNT64") || is(r->kind, "BOOL");
}

static bool is_words(const struct row *r)
{
	return is(r->kind, "NAMES") || is(r->kind, "PROTOCOLS");
}

static const char *shipped_value(const struct row *r)
{
	for (size_t i = 0; i < sizeof(shipped) / sizeof(shipped[0]); i++) {
		if (is(shipped[i].where, r->where) && is(shipped[i].name, r->name))
			return shipped[i].value;
	}
	return NULL;
}

/* Each word of s in quotes, sep between. */
static void put_words(FILE *out, const char *s, const char *sep)
{
	while (*s) {
		size_t n = strcspn(s, " ");

		fprintf(out, "\"%.*s\"", (int)n, s);
		s += n;
		s += strspn(s, " ");
		if (*s)
			fputs(sep, out);
	}
}

/* As it stands in the file. */
static void put_value(FILE *out, const struct row *r, const char *value)
{
	if (is_bare(r)) {
		fputs(value, out);
	} else if (is_words(r)) {
		fputs("[ ", out);
		put_words(out, value, ", ");
		fputs(*value ? " ]" : "]", out);
	} else {
		fprintf(out, "\"%s\"", value);
	}
}

/* "1 to 64." and the like; nothing where there is nothing to say. */
static void put_range(FILE *out, const struct row *r)
{
	const char *quote = is_bare(r) ? "" : "\"";

	if (is(r->kind, "CHOICE") || is(r->kind, "LEVEL") || is(r->kind, "WORD") ||
		is(r->kind, "PROTOCOLS")) {
		fputs(is(r->kind, "PROTOCOLS") ? " Of: " : " One of: ", out);
		put_words(out, r->low, ", ");
		fputc('.', out);
	} else if (*r->high) {
		fprintf(out, " From %s%s%s to %s%s%s%s.", quote, r->low, quote, quote, r->high,
			quote, is(r->kind, "DURATION_OFF") ? ", or \"off\"" : "");
	} else if (*r->low) {
		fprintf(out, " \"\" means: %s.", r->low);
	}
}

/* What a reload does with it, unless it holds at once as most do. */
static void put_reload(FILE *out, const struct row *r)
{
	static const struct {
		const char *reload, *text;
	} texts[] = {
		{"LIVE", ""},
		{"NEXT_CONNECTION", " A reload changes it for connections opened from then on."},
		{"NEW_POOL", " When a reload changes it, new connections replace all there are."},
		{"NEW_POOL_DERIVED",
			" When a reload changes what it stands for, new connections replace all "
			"there are."},
		{"RESTART", " It cannot be changed by a reload."},
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		if (is(texts[i].reload, r->reload)) {
			fputs(texts[i].text, out);
			return;
		}
	}
	fprintf(stderr, "%s.%s: no text for %s\n", r->where, r->name, r->reload);
	exit(1);
}

/* ---- the reference configuration ------------------------------------------- */

static void indent(unsigned depth)
{
	for (unsigned i = 0; i < depth; i++)
		putchar('\t');
}

/* text as comment lines of at most WIDTH columns. */
static void put_comment(const char *text, unsigned depth)
{
	size_t room = WIDTH - 8 * depth - 2;

	while (*text) {
		size_t n = strlen(text);

		if (n > room) {
			for (n = room; n > 0 && text[n] != ' '; n--)
				;
		}
		indent(depth);
		printf("# %.*s\n", (int)n, text);
		text += n;
		text += strspn(text, " ");
	}
}

static void conf_key(const struct row *r, unsigned depth)
{
	const char *set = shipped_value(r);
	char text[1024];
	FILE *line = fmemopen(text, sizeof(text), "w");

	fputs(r->text, line);
	put_range(line, r);
	put_reload(line, r);
	fclose(line);
	put_comment(text, depth);
	indent(depth);
	printf("%s%s = ", set ? "" : "#", r->name);
	put_value(stdout, r, set ? set : r->initial);
	puts(";");
}

static const char head[] =
	"# connpoold.conf - see connpoold.conf(5).\n"
	"#\n"
	"# The shortest complete configuration is one line:\n"
	"#\n"
	"#   upstreams = ( { name = \"github\"; url = \"https://api.github.com\"; } );\n"
	"#\n"
	"# A line that begins with # and a name shows the value that holds without it.\n"
	"# Durations: \"250ms\" \"30s\" \"5m\" \"1h\" \"1d\"; \"off\" where it is named.\n"
	"# Sizes: \"512B\" \"64KiB\" \"10MiB\" \"1GiB\".\n"
	"# A number without its unit is an error, as is an unknown name.\n"
	"# A reload puts a changed value in force at once, unless its text says something else.\n"
	"# No comma after the last element inside ( ) or [ ].\n"
	"#\n"
	"# connpoold -t checks the file and lists all errors.\n";

static void conf_open(const struct row *r, unsigned depth)
{
	if (depth == 0)
		putchar('\n');
	put_comment(r->text, depth);
	indent(depth);
	printf(is(r->kind, "LIST") ? "%s = (\n\t{\n" : "%s : {\n", r->name);
}

/* Everything up to the next row of ROOT belongs to the group of row *i. */
static void conf_group(size_t *i)
{
	const struct row *group = &rows[*i];
	bool list = is(group->kind, "LIST"), nested = false, first = true;
	unsigned depth = list ? 2 : 1;

	conf_open(group, 0);
	for (++*i; *i < ROW_COUNT && !is(rows[*i].where, "ROOT"); ++*i) {
		if (!first)
			putchar('\n');
		first = rows[*i].keys != NULL;
		if (rows[*i].keys) {
			conf_open(&rows[*i], depth++);
			nested = true;
		} else {
			conf_key(&rows[*i], depth);
		}
	}
	if (nested) {
		indent(--depth);
		puts("};");
	}
	puts(list ? "\t}\n);" : "};");
}

static void write_conf(void)
{
	fputs(head, stdout);
	for (size_t i = 0; i < ROW_COUNT;)
		conf_group(&i);
}

/* ---- the manual ------------------------------------------------------------------ */

/* In roff a hyphen is not a minus. */
static void put_roff(const char *s)
{
	for (; *s; s++) {
		if (*s == '-')
			fputs("\\-", stdout);
		else if (*s == '\\')
			fputs("\\e", stdout);
		else
			putchar(*s);
	}
}

static void man_key(const struct row *r)
{
	char text[256];
	FILE *line = fmemopen(text, sizeof(text), "w");

	put_value(line, r, r->initial);
	fclose(line);
	printf(".TP\n\\fB%s\\fR = \\fI", r->name);
	put_roff(text);
	puts("\\fR");
	put_roff(r->text);

	memset(text, 0, sizeof(text));
	line = fmemopen(text, sizeof(text), "w");
	put_range(line, r);
	put_reload(line, r);
	fclose(line);
	put_roff(text);
	putchar('\n');
}

static void write_man(void)
{
	for (size_t i = 0; i < ROW_COUNT; i++) {
		if (!rows[i].keys) {
			man_key(&rows[i]);
			continue;
		}
		printf(".SS %s%s\n", rows[i].name,
			is(rows[i].where, "ROOT") ? "" : " (inside defaults or an upstream)");
		put_roff(rows[i].text);
		putchar('\n');
	}
}

int main(int argc, char **argv)
{
	if (argc == 2 && is(argv[1], "conf"))
		write_conf();
	else if (argc == 2 && is(argv[1], "man"))
		write_man();
	else
		return 2;
	return fflush(stdout) != 0;
}
