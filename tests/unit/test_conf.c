/*
 * test_conf.c - the configuration: every key and its default, what is refused
 * and in which words, URLs, certificates, and the files shipped as examples.
 */
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/base/conf.h"
#include "daemon/base/conf_keys.h"
#include "daemon/base/conf_value.h"
#include "daemon/base/log.h"
#include "tests/unit/run.h"

#define URL "url = \"https://api.example.com\";"
#define ONE "upstreams = ( { name = \"one\"; " URL " } );\n"

static char dir[] = "/tmp/test_conf.XXXXXX";
static char file[64];
static char *errors, *warnings;
static struct conf *conf;

/* ---- helpers ----------------------------------------------------------- */

static const char *in_dir(const char *name)
{
	static char paths[4][96];
	static unsigned next;
	char *path = paths[next++ % 4];

	snprintf(path, sizeof(paths[0]), "%s/%s", dir, name);
	return path;
}

static void write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	ck_assert_ptr_nonnull(f);
	ck_assert_int_ge(fputs(text, f), 0);
	ck_assert_int_eq(fclose(f), 0);
}

static void forget(void)
{
	conf_unref(conf);
	conf = NULL;
	free(errors);
	free(warnings);
	errors = warnings = NULL;
}

static void load_path(const char *path)
{
	forget();
	conf = conf_load(path, NULL, &errors, &warnings);
	/* A configuration or errors, never both, never neither. */
	ck_assert((conf == NULL) == (errors != NULL));
}

static void load(const char *text)
{
	write_file(file, text);
	load_path(file);
}

static void loads(const char *text)
{
	load(text);
	ck_assert_msg(conf != NULL, "refused: %s", errors);
}

static unsigned lines(const char *text)
{
	unsigned n = 0;

	for (; text && *text; text++)
		n += *text == '\n';
	return n;
}

/* Is the line (after "file", or whole) among the complaints? */
static bool says(const char *text, const char *line)
{
	char want[1024];

	snprintf(want, sizeof(want), "%s%s\n", *line == ':' ? file : "", line);
	return text && strstr(text, want);
}

/* Refused with this one error and no other. line ":1: ..." has the file's name put before it. */
static void refused(const char *text, const char *line)
{
	load(text);
	ck_assert_ptr_null(conf);
	ck_assert_msg(says(errors, line), "wanted: %s\ngot: %s", line, errors);
	ck_assert_msg(lines(errors) == 1, "more than one: %s", errors);
}

static void options(unsigned n, const char *const *urls, unsigned m, const char *const *paths)
{
	struct conf_cli cli = {urls, n, paths, m};

	forget();
	conf = conf_load(NULL, &cli, &errors, &warnings);
}

static const struct conf_upstream *up(unsigned i)
{
	ck_assert_uint_lt(i, conf->upstream_count);
	return &conf->upstreams[i];
}

/* The upstream that this url makes. */
static const struct conf_upstream *of_url(const char *url)
{
	char text[512];

	snprintf(text, sizeof(text), "upstreams = ( { url = \"%s\"; } );", url);
	loads(text);
	return up(0);
}

static void bad_url(const char *url, const char *why)
{
	struct conf_url u;
	const char *got = conf_url_parse(url, &u);

	ck_assert_msg(got != NULL, "%s was taken", url);
	ck_assert_msg(strstr(got, why) != NULL, "%s: %s", url, got);
}

static void setup(void)
{
	strcpy(dir, "/tmp/test_conf.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(file, sizeof(file), "%s/c.conf", dir);
}

static void remove_dir(const char *path)
{
	DIR *d = opendir(path);
	struct dirent *e;
	char name[512];

	while (d && (e = readdir(d))) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		snprintf(name, sizeof(name), "%s/%s", path, e->d_name);
		if (unlink(name) < 0)
			remove_dir(name);
	}
	if (d)
		closedir(d);
	rmdir(path);
}

static void teardown(void)
{
	forget();
	remove_dir(dir);
}

/* ---- values ------------------------------------------------------------ */

START_TEST(durations_and_sizes_need_a_unit)
{
	static const struct {
		const char *text;
		bool (*parse)(const char *, uint64_t *);
		long long value; /* -1: refused */
	} rows[] = {{"250ms", conf_duration, 250}, {"30s", conf_duration, 30000},
		{"5m", conf_duration, 300000}, {"1h", conf_duration, 3600000},
		{"1d", conf_duration, 86400000}, {"0", conf_duration, 0}, {"off", conf_duration, 0},
		{"0s", conf_duration, 0}, {"30", conf_duration, -1}, {"", conf_duration, -1},
		{"s", conf_duration, -1}, {"-1s", conf_duration, -1}, {"+1s", conf_duration, -1},
		{" 1s", conf_duration, -1}, {"1 s", conf_duration, -1}, {"1.5s", conf_duration, -1},
		{"1sec", conf_duration, -1}, {"1h30m", conf_duration, -1},
		{"99999999999999999999s", conf_duration, -1},
		{"18446744073709551615d", conf_duration, -1}, {"512B", conf_size, 512},
		{"64KiB", conf_size, 65536}, {"10MiB", conf_size, 10485760},
		{"1GiB", conf_size, 1073741824}, {"0", conf_size, 0}, {"off", conf_size, -1},
		{"64", conf_size, -1}, {"64KB", conf_size, -1}, {"64kib", conf_size, -1},
		{"99999999999999GiB", conf_size, -1}, {"12", conf_count, 12},
		{"012", conf_count, 12}, {"12x", conf_count, -1}, {"-1", conf_count, -1},
		{"18446744073709551616", conf_count, -1}};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint64_t value = 77;
		bool ok = rows[i].parse(rows[i].text, &value);

		ck_assert_msg(ok == (rows[i].value >= 0), "%s", rows[i].text);
		if (ok)
			ck_assert_msg(value == (uint64_t)rows[i].value, "%s", rows[i].text);
	}
}
END_TEST

START_TEST(distance_counts_changed_added_dropped_and_swapped_letters)
{
	ck_assert_uint_eq(conf_distance("", ""), 0);
	ck_assert_uint_eq(conf_distance("abc", "abc"), 0);
	ck_assert_uint_eq(conf_distance("abc", ""), 3);
	ck_assert_uint_eq(conf_distance("max_conections", "max_connections"), 1);
	ck_assert_uint_eq(conf_distance("mode", "made"), 1);
	ck_assert_uint_eq(conf_distance("lgo", "log"), 1);
	ck_assert_uint_eq(conf_distance("kitten", "sitting"), 3);
	ck_assert_uint_eq(
		conf_distance(
			"0123456789012345678901234567890123456789012345678901234567890123", "a"),
		64);
}
END_TEST

/* The table itself: an initial value that its own key refuses would go unseen. */
START_TEST(every_key_takes_its_initial_value)
{
	union {
		struct conf conf;
		struct conf_listener listener;
		struct conf_upstream upstream;
	} base;
	char why[CONF_WHY_MAX] = "";
	unsigned count = 0;

#define CONF_GROUP(where, name, of, kind, text)                                                    \
	ck_assert_ptr_nonnull(conf_key_find(CONF_##where, #name));                                 \
	ck_assert(conf_key_find(CONF_##where, #name)->keys == CONF_##of);
#define CONF_KEY(where, name, member, kind, reload, initial, low, high, text)                      \
	if (CONF_IS_##kind != CONF_IS_NAMES)                                                       \
		ck_assert_msg(                                                                     \
			conf_key_set(conf_key_find(CONF_##where, #name), &base, initial, why),     \
			#name ": %s", why);                                                        \
	count++;
#include "daemon/base/conf_keys.def"
#undef CONF_GROUP
#undef CONF_KEY
	ck_assert_uint_ge(count, 50);
}
END_TEST

/* ---- defaults ---------------------------------------------------------- */

START_TEST(one_line_is_a_complete_configuration)
{
	loads("upstreams = ( { name = \"github\"; url = \"https://api.github.com\"; } );");
	ck_assert_ptr_null(warnings);

	ck_assert_uint_eq(conf->workers, 1);
	ck_assert_uint_ge(conf->max_clients, 16);
	ck_assert_uint_eq(conf->memory_limit, 256 << 20);
	ck_assert_uint_eq(conf->drain_timeout, 25000);
	ck_assert_int_eq(conf->log_level, LOG_LEVEL_INFO);
	ck_assert_int_eq(conf->access, CONF_ACCESS_ERRORS);
	ck_assert(!conf->query_strings);

	ck_assert_uint_eq(conf->listener_count, 1);
	ck_assert_str_eq(conf->listeners[0].name, "main");
	ck_assert_str_eq(conf->listeners[0].path, "/run/connpoold/connpoold.sock");
	ck_assert_uint_eq(conf->listeners[0].mode, 0660);
	ck_assert_str_eq(conf->listeners[0].group, "");
	ck_assert_uint_eq(conf->listeners[0].backlog, 1024);
	ck_assert_uint_eq(conf->listeners[0].header_timeout, 10000);
	ck_assert_uint_eq(conf->listeners[0].idle_timeout, 300000);
	ck_assert_uint_eq(conf->listeners[0].max_header_size, 65536);
	ck_assert_uint_eq(conf->listeners[0].max_headers, 200);
	ck_assert_ptr_null(conf->listeners[0].fixed);
	ck_assert_ptr_eq(conf->listeners[0].fallback, up(0));

	ck_assert_str_eq(up(0)->name, "github");
	ck_assert_str_eq(up(0)->host, "api.github.com");
	ck_assert_uint_eq(up(0)->port, 443);
	ck_assert_uint_eq(up(0)->max_connections, 8);
	ck_assert_uint_eq(up(0)->max_streams, 100);
	ck_assert_uint_eq(up(0)->queue_timeout, 5000);
	ck_assert_uint_eq(up(0)->max_lifetime, 3600000);
	ck_assert_uint_eq(up(0)->response_timeout, 60000);
	ck_assert_int_eq(up(0)->retry, CONF_RETRY_SAFE);
	ck_assert_uint_eq(up(0)->retry_buffer, 65536);
	ck_assert_uint_eq(up(0)->buffer, 262144);
	ck_assert_uint_eq(up(0)->protocols, CONF_PROTO_H2 | CONF_PROTO_H1);
	ck_assert(!up(0)->h1_first);
	ck_assert_uint_eq(up(0)->h2_connection_window, 16 << 20);
	ck_assert_str_eq(up(0)->tls.min_version, "1.2");
	ck_assert_ptr_nonnull(up(0)->ssl);
}
END_TEST

START_TEST(an_upstream_inherits_defaults_and_may_differ)
{
	loads("upstreams = ( { " URL " },"
	      " { name = \"b\"; " URL " max_queue = 7; tls : { min_version = \"1.2\"; }; } );\n"
	      "defaults : { max_queue = 5; max_requests = 9; queue_timeout = \"off\";"
	      " tls : { min_version = \"1.3\"; server_name = \"x.example\"; }; };");
	ck_assert_uint_eq(up(0)->max_queue, 5);
	ck_assert_uint_eq(up(0)->max_requests, 9);
	ck_assert_uint_eq(up(0)->queue_timeout, 0);
	ck_assert_str_eq(up(0)->tls.min_version, "1.3");
	ck_assert_uint_eq(up(1)->max_queue, 7);
	ck_assert_uint_eq(up(1)->max_requests, 9);
	ck_assert_str_eq(up(1)->tls.min_version, "1.2");
	ck_assert_str_eq(up(1)->tls.server_name, "x.example");
	ck_assert_uint_eq(up(1)->index, 1);
}
END_TEST

START_TEST(settings_of_process_log_and_listeners_are_taken)
{
	loads("daemon : { workers = 3; max_clients = 20; memory_limit = \"4MiB\"; };\n"
	      "log : { level = \"debug\"; access = \"all\"; query_strings = true; };\n"
	      "listeners = ( { name = \"a\"; path = \"/a\"; mode = \"0600\"; owner = \"o\";"
	      " group = \"g\"; upstream = \"ONE\"; header_timeout = \"0\"; },"
	      " { name = \"b\"; path = \"/b\"; max_clients = 4; } );\n" ONE);
	ck_assert_uint_eq(conf->workers, 3);
	ck_assert_uint_eq(conf->max_clients, 20);
	ck_assert_uint_eq(conf->memory_limit, 4 << 20);
	ck_assert_int_eq(conf->log_level, LOG_LEVEL_DEBUG);
	ck_assert_int_eq(conf->access, CONF_ACCESS_ALL);
	ck_assert(conf->query_strings);
	ck_assert_uint_eq(conf->listener_count, 2);
	ck_assert_uint_eq(conf->listeners[0].mode, 0600);
	ck_assert_str_eq(conf->listeners[0].owner, "o");
	ck_assert_str_eq(conf->listeners[0].group, "g");
	ck_assert_ptr_eq(conf->listeners[0].fixed, up(0));
	ck_assert_uint_eq(conf->listeners[0].header_timeout, 0);
	ck_assert_uint_eq(conf->listeners[1].max_clients, 4);
}
END_TEST

/* ---- refusals ---------------------------------------------------------- */

START_TEST(unknown_names_are_refused_with_the_nearest_known_one)
{
	refused(ONE "daemon : { worker = 2; };",
		":2: daemon.worker: unknown name (did you mean workers?)");
	refused("upstreams = ( { " URL " },\n\n{ name = \"b\"; " URL "\n max_conections = 3; } );",
		":4: upstreams[1].max_conections: unknown name (did you mean max_connections?)");
	refused("defaults : { tls : { cafile = \"\"; }; };\n" ONE,
		":1: defaults.tls.cafile: unknown name (did you mean ca_file?)");
	refused(ONE "lisstener = ( );", ":2: lisstener: unknown name (did you mean listeners?)");
	refused(ONE "frobnicate = 1;", ":2: frobnicate: unknown name");
	refused(ONE "listeners = ( { max_streams = 1; } );",
		":2: listeners[0].max_streams: unknown name here (it belongs to defaults or "
		"upstreams)");
}
END_TEST

START_TEST(a_number_without_unit_is_refused)
{
	refused(ONE "daemon : { drain_timeout = 30; };",
		":2: daemon.drain_timeout: 30 has no unit: write \"30s\" (units: ms s m h d)");
	refused(ONE "daemon : { drain_timeout = \"30\"; };",
		":2: daemon.drain_timeout: \"30\" is not a duration: write \"30s\" (units: ms s m "
		"h d)");
	refused(ONE "daemon : { memory_limit = 268435456; };",
		":2: daemon.memory_limit: must be a size in quotes: write \"64KiB\" (units: B KiB "
		"MiB GiB)");
	refused(ONE "daemon : { memory_limit = \"256MB\"; };",
		":2: daemon.memory_limit: \"256MB\" is not a size: write \"64KiB\" (units: B KiB "
		"MiB GiB)");
}
END_TEST

START_TEST(values_of_the_wrong_type_are_refused)
{
	refused(ONE "daemon : { workers = \"2\"; };",
		":2: daemon.workers: must be a whole number without quotes");
	refused(ONE "daemon : { workers = 2.5; };",
		":2: daemon.workers: must be a whole number without quotes");
	refused(ONE "log : { query_strings = 1; };",
		":2: log.query_strings: must be true or false, without quotes");
	refused(ONE "log : { level = 7; };",
		":2: log.level: must be a text of printable characters in quotes");
	refused(ONE "log = 5;", ":2: log: must be a group: write { name = value; }");
	refused("upstreams : { " URL " };",
		":1: upstreams: must be a list of groups: write ( { name = value; } )");
	refused("upstreams = ( { " URL " }, 5 );",
		":1: upstreams[1]: must be a group: write { name = value; }");
	refused("upstreams = ( { " URL " hosts = \"a\"; } );",
		":1: upstreams[0].hosts: must be a list of texts: write [ \"api.example.com\" ]");
	refused("upstreams = ( { " URL " protocols = [ 1, 2 ]; } );",
		":1: upstreams[0].protocols: must be a list of texts: write [ \"h2\", \"h1\" ]");
	refused("upstreams = ( { " URL " tls = \"x\"; } );",
		":1: upstreams[0].tls: must be a group: write { name = value; }");
	refused(ONE "listeners = ( { path = \"/a\\nb\"; } );",
		":2: listeners[0].path: must be a text of printable characters in quotes");
}
END_TEST

START_TEST(values_out_of_range_are_refused_with_the_range)
{
	refused(ONE "daemon : { workers = 0; };", ":2: daemon.workers: 0 is out of range: 1 to 64");
	refused(ONE "daemon : { workers = -1; };",
		":2: daemon.workers: -1 is out of range: 1 to 64");
	refused(ONE "daemon : { max_clients = 5000000000L; };",
		":2: daemon.max_clients: 5000000000 is out of range: 0 to 1000000");
	refused(ONE "daemon : { drain_timeout = \"off\"; };",
		":2: daemon.drain_timeout: \"off\" is out of range: 1ms to 1d");
	refused(ONE "defaults : { tcp_keepalive = \"10ms\"; };",
		":2: defaults.tcp_keepalive: \"10ms\" is out of range: 1s to 9h, or \"off\"");
	refused(ONE "log : { access = \"some\"; };",
		":2: log.access: \"some\" is none of: off errors all");
	refused(ONE "defaults : { protocols = [ \"h3\" ]; };",
		":2: defaults.protocols: \"h3\" is none of: h1 h2 h2c");
	refused(ONE "defaults : { protocols = [ \"h1\", \"h1\" ]; };",
		":2: defaults.protocols: \"h1\" is there twice");
	refused(ONE "defaults : { protocols = [ ]; };",
		":2: defaults.protocols: is empty: write [ \"h2\", \"h1\" ]");
}
END_TEST

START_TEST(all_errors_are_listed_at_once)
{
	load("daemon : { workers = 99; };\n"
	     "log : { levl = \"x\"; };\n"
	     "upstreams = (\n"
	     "{ url = \"ftp://a\"; },\n"
	     "{ name = \"b\"; } );\n"
	     "listeners = ( { upstream = \"c\"; } );\n");
	ck_assert_ptr_null(conf);
	ck_assert(says(errors, ":1: daemon.workers: 99 is out of range: 1 to 64"));
	ck_assert(says(errors, ":2: log.levl: unknown name (did you mean level?)"));
	ck_assert(says(errors, ":4: upstreams[0].url: \"ftp://a\": must begin with https://, "
			       "http:// or unix:/"));
	ck_assert(says(errors, ":5: upstreams[1].url: is missing: write url = "
			       "\"https://api.example.com\";"));
	ck_assert(says(errors, ":6: listeners[0].upstream: there is no upstream \"c\" (there are: "
			       ", b)"));
	ck_assert_uint_eq(lines(errors), 5);
}
END_TEST

START_TEST(at_least_one_upstream_is_needed)
{
	const char *want = ": upstreams: at least one is needed: write upstreams = ( { url = "
			   "\"https://api.example.com\"; } );";

	refused("", want);
	refused("daemon : { workers = 1; };", want);
	refused("upstreams = ( );", want);
}
END_TEST

START_TEST(a_syntax_error_comes_with_its_line_and_a_hint)
{
	/* A comma before a closing bracket is one for libconfig up to 1.7 alone. */
	refused("daemon : { workers = 1; };\nupstreams = ( { " URL " };",
		":2: syntax error (is there a comma before a closing bracket, or a quote or "
		"bracket missing above?)");
	refused("log : { level = \"info\"; level = \"info\"; };", ":1: duplicate setting name");
}
END_TEST

START_TEST(a_file_that_cannot_be_read_is_named_with_the_reason)
{
	char want[256];

	load_path(in_dir("absent.conf"));
	snprintf(want, sizeof(want), "%s/absent.conf: cannot be read: %s", dir, strerror(ENOENT));
	ck_assert(says(errors, want));

	/* libconfig itself would end the process here. */
	load_path(dir);
	snprintf(want, sizeof(want), "%s: is a directory, not a file", dir);
	ck_assert(says(errors, want));
}
END_TEST

/* ---- includes ---------------------------------------------------------- */

START_TEST(errors_of_an_included_file_name_that_file)
{
	char want[256];

	ck_assert_int_eq(mkdir(in_dir("more"), 0700), 0);
	write_file(in_dir("more/inc.conf"), "# one\n{ " URL " max_queue = \"1\"; }\n");
	load("upstreams = (\n@include \"more/inc.conf\"\n);\nfoo = 1;\n");
	snprintf(want, sizeof(want),
		"%s/more/inc.conf:2: upstreams[0].max_queue: must be a whole number without quotes",
		dir);
	ck_assert_msg(says(errors, want), "%s", errors);
	ck_assert_msg(says(errors, ":4: foo: unknown name"), "%s", errors);
}
END_TEST

START_TEST(an_included_file_that_is_not_one_is_refused)
{
	char want[256];

	refused("@include \"absent.conf\"\n" ONE,
		":1: cannot open include file (its path is taken from the folder of the first "
		"file)");

	ck_assert_int_eq(mkdir(in_dir("folder"), 0700), 0);
	write_file(in_dir("a.conf"), "\t@include \"folder\"\n");
	load("  @include \"a.conf\"\n" ONE);
	ck_assert_ptr_null(conf);
	snprintf(want, sizeof(want), "%s/folder: is a directory, not a file", dir);
	ck_assert_msg(says(errors, want), "%s", errors);

	write_file(in_dir("b.conf"), "@include \"b.conf\"\n");
	load("@include \"b.conf\"\n" ONE);
	ck_assert_ptr_null(conf);
	ck_assert_ptr_nonnull(strstr(errors, "include file nesting too deep"));
}
END_TEST

/* ---- urls -------------------------------------------------------------- */

START_TEST(a_url_gives_host_port_address_authority_and_base)
{
	static const struct {
		const char *url, *name, *host, *address, *authority, *base;
		unsigned port;
	} rows[] = {{"https://API.Example.com", "api.example.com", "api.example.com",
			    "api.example.com:443", "api.example.com", "", 443},
		{"HTTPS://a.b:443/", "a.b", "a.b", "a.b:443", "a.b", "", 443},
		{"https://a.b:8443/v1/", "a.b", "a.b", "a.b:8443", "a.b:8443", "/v1", 8443},
		{"https://a.b:80", "a.b", "a.b", "a.b:80", "a.b:80", "", 80},
		{"http://a.b/x/Y", "a.b", "a.b", "a.b:80", "a.b", "/x/Y", 80},
		{"http://[::1]:8080/b", "::1", "::1", "[::1]:8080", "[::1]:8080", "/b", 8080},
		{"https://[2001:DB8::1]", "2001:db8::1", "2001:db8::1", "[2001:db8::1]:443",
			"[2001:db8::1]", "", 443},
		{"http://127.0.0.1:65535", "127.0.0.1", "127.0.0.1", "127.0.0.1:65535",
			"127.0.0.1:65535", "", 65535},
		{"unix:/run/a/search.sock", "search", "", "unix:/run/a/search.sock", "search", "",
			0}};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct conf_upstream *u = of_url(rows[i].url);

		ck_assert_str_eq(u->url, rows[i].url);
		ck_assert_str_eq(u->name, rows[i].name);
		ck_assert_str_eq(u->host, rows[i].host);
		ck_assert_str_eq(u->address, rows[i].address);
		ck_assert_str_eq(u->authority, rows[i].authority);
		ck_assert_str_eq(u->base_path, rows[i].base);
		ck_assert_uint_eq(u->port, rows[i].port);
		ck_assert(u->https == (rows[i].url[4] == 's' || rows[i].url[4] == 'S'));
		ck_assert((u->ssl != NULL) == u->https);
	}
}
END_TEST

START_TEST(a_service_is_asked_for_by_srv_and_its_domain_is_the_authority)
{
	static const struct {
		const char *url, *srv, *host, *base;
		unsigned port;
	} rows[] = {{"srv+https://Example.com/v1", "_https._tcp.example.com", "example.com", "/v1",
			    443},
		{"SRV+http://example.com", "_http._tcp.example.com", "example.com", "", 80},
		{"srv+https://_web._tcp.a.b", "_web._tcp.a.b", "a.b", "", 443},
		{"https://_web._tcp.a.b", "", "_web._tcp.a.b", "", 443},
		{"https://a.b", "", "a.b", "", 443}, {"unix:/s", "", "", "", 0}};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct conf_upstream *u = of_url(rows[i].url);

		ck_assert_str_eq(u->srv, rows[i].srv);
		ck_assert_str_eq(u->host, rows[i].host);
		ck_assert_str_eq(u->base_path, rows[i].base);
		ck_assert_uint_eq(u->port, rows[i].port);
		if (*u->host) {
			ck_assert_str_eq(u->authority, rows[i].host);
			ck_assert_str_eq(u->name, rows[i].host);
		}
	}
	bad_url("srv+unix:/s", "must begin with");
	bad_url("srv+ftp://a", "must begin with");
	bad_url("srv+https://a.b:443", "a port does not belong");
	bad_url("srv+https://192.0.2.1", "needs a name");
	bad_url("srv+https://[::1]", "needs a name");
	bad_url("srv+https://_web._tcp", "needs a domain");
	bad_url("srv+https://_web.a.b", "needs a domain");
	refused("upstreams = ( { url = \"srv+https://a.b\";\nproxy = \"http://p:1\"; } );",
		":2: upstreams[0].proxy: cannot be used with srv+, a proxy resolves names and no "
		"services");
}
END_TEST

START_TEST(the_authority_of_a_socket_is_the_upstreams_name)
{
	loads("upstreams = ( { name = \"Search\"; url = \"unix:/s\"; } );");
	ck_assert_str_eq(up(0)->authority, "Search");
	ck_assert_str_eq(up(0)->address, "unix:/s");
}
END_TEST

START_TEST(doubtful_urls_are_refused)
{
	char longest[400];

	bad_url("", "must begin with");
	bad_url("api.example.com", "must begin with");
	bad_url("ftp://a", "must begin with");
	bad_url("https:/a", "must begin with");
	bad_url("https://", "no host");
	bad_url("https:///x", "no host");
	bad_url("https://:443", "no host");
	bad_url("https://u:p@a", "user and password");
	bad_url("https://a@b/", "user and password");
	bad_url("https://a?b", "query or fragment");
	bad_url("https://a/#b", "query or fragment");
	bad_url("https://a b", "spaces");
	bad_url("https://a/\x01", "spaces");
	bad_url("https://\xc3\xa4.de", "spaces");
	bad_url("https://a..b", "not a host name");
	bad_url("https://.a", "not a host name");
	bad_url("https://a.", "not a host name");
	bad_url("https://a%41", "not a host name");
	bad_url("https://a:", "port");
	bad_url("https://a:0", "port");
	bad_url("https://a:65536", "port");
	bad_url("https://a:80x", "port");
	bad_url("https://[::1", "brackets");
	bad_url("https://[1.2.3.4]", "brackets");
	bad_url("https://[]", "brackets");
	bad_url("https://[::1]x", "port");
	bad_url("unix:", "absolute");
	bad_url("unix:run/x", "absolute");

	memset(longest, 'a', sizeof(longest));
	memcpy(longest, "https://", 8);
	longest[8 + CONF_HOST_MAX + 1] = '\0';
	bad_url(longest, "not a host name");
	memcpy(longest, "unix:///", 8);
	longest[5 + CONF_PATH_MAX + 1] = '\0';
	bad_url(longest, "107");
	longest[5 + CONF_PATH_MAX] = '\0';
	ck_assert_ptr_null(conf_url_parse(longest, &(struct conf_url){0}));
}
END_TEST

/* ---- protocols --------------------------------------------------------- */

START_TEST(clear_text_speaks_h1_unless_h2c_is_named)
{
	loads("upstreams = ( { url = \"http://a\"; },"
	      "{ url = \"http://b\"; protocols = [ \"h2c\" ]; },"
	      "{ url = \"unix:/c\"; protocols = [ \"h2c\" ]; },"
	      "{ url = \"unix:/d\"; protocols = [ \"h1\" ]; } );");
	ck_assert_uint_eq(up(0)->protocols, CONF_PROTO_H1);
	ck_assert_uint_eq(up(1)->protocols, CONF_PROTO_H2C);
	ck_assert_uint_eq(up(2)->protocols, CONF_PROTO_H2C);
	ck_assert_uint_eq(up(3)->protocols, CONF_PROTO_H1);
}
END_TEST

START_TEST(the_order_of_protocols_is_kept)
{
	loads("upstreams = ( { url = \"https://a\"; protocols = [ \"h1\", \"h2\" ]; },"
	      "{ url = \"https://b\"; protocols = [ \"h2\" ]; },"
	      "{ url = \"https://c\"; protocols = ( \"h2\", \"h1\" ); } );");
	ck_assert_uint_eq(up(0)->protocols, CONF_PROTO_H1 | CONF_PROTO_H2);
	ck_assert(up(0)->h1_first);
	ck_assert_uint_eq(up(1)->protocols, CONF_PROTO_H2);
	ck_assert_uint_eq(up(2)->protocols, CONF_PROTO_H1 | CONF_PROTO_H2);
	ck_assert(!up(2)->h1_first);
}
END_TEST

START_TEST(inherited_protocols_are_cut_to_what_the_scheme_can)
{
	loads("defaults : { protocols = [ \"h2c\" ]; };\n"
	      "upstreams = ( { url = \"https://a\"; }, { url = \"http://b\"; } );");
	ck_assert_uint_eq(up(0)->protocols, CONF_PROTO_H1 | CONF_PROTO_H2);
	ck_assert_uint_eq(up(1)->protocols, CONF_PROTO_H2C);
}
END_TEST

START_TEST(protocols_that_the_scheme_cannot_are_refused)
{
	refused("upstreams = ( { url = \"https://a\"; protocols = [ \"h2c\" ]; } );",
		":1: upstreams[0].protocols: h2c is clear text, the url is https: write [ \"h2\", "
		"\"h1\" ]");
	refused("upstreams = ( { url = \"http://a\"; protocols = [ \"h2\" ]; } );",
		":1: upstreams[0].protocols: h2 is chosen by TLS, the url is clear text: write [ "
		"\"h2c\" ] or [ \"h1\" ]");
	refused("upstreams = ( { url = \"http://a\"; protocols = [ \"h2c\", \"h1\" ]; } );",
		":1: upstreams[0].protocols: nothing chooses between h1 and h2c in clear text: "
		"write one of them");
}
END_TEST

/* ---- what must fit together -------------------------------------------- */

START_TEST(names_and_hosts_of_upstreams_must_differ)
{
	refused("upstreams = ( { name = \"a\"; " URL " },\n{ name = \"A\"; " URL " } );",
		":2: upstreams[1].name: \"A\" is already the name of upstreams[0]: give one of "
		"them another name");
	refused("upstreams = ( { " URL " },\n{ url = \"https://api.example.com/v2\"; } );",
		":2: upstreams[1].name: \"api.example.com\" is already the name of upstreams[0]: "
		"give one of them another name");
	refused("upstreams = ( { name = \"a\"; " URL " hosts = [ \"h\" ]; },\n"
		"{ name = \"b\"; " URL " hosts = [ \"H\" ]; } );",
		":2: upstreams[1].hosts: \"h\" already means upstream a");
	refused("upstreams = ( { name = \"a\"; " URL " hosts = [ \"b\" ]; },\n"
		"{ name = \"b\"; " URL " } );",
		":1: upstreams[0].hosts: \"b\" already means upstream b");
	refused("upstreams = ( { name = \"a\"; " URL " hosts = [ \"h\", \"h\" ]; } );",
		":1: upstreams[0].hosts: \"h\" is there twice");
	refused("upstreams = ( { name = \"a b\"; " URL " } );",
		":1: upstreams[0].name: \"a b\" is not a name: take letters, digits, '-', '_', "
		"'.'");
	refused("upstreams = ( { " URL " tls : { server_name = \"a b\"; }; } );",
		":1: upstreams[0].tls.server_name: \"a b\" is not a host name");
	refused("upstreams = ( { " URL " hosts = [ \"http://x\" ]; } );",
		":1: upstreams[0].hosts[0]: \"http://x\" is not a host name: write it without "
		"port and brackets");
	refused("upstreams = ( { " URL " hosts = [ \"x:80\" ]; } );",
		":1: upstreams[0].hosts[0]: \"x:80\" is not a host name: write it without port "
		"and brackets");
	refused("upstreams = ( { name = \"a\"; " URL " },\n"
		"{ name = \"b\"; url = \"https://b\"; hosts = [ \"api.example.com\" ]; } );",
		":2: upstreams[1].hosts: \"api.example.com\" already means upstream a");
}
END_TEST

START_TEST(hosts_are_kept_in_lower_case)
{
	loads("upstreams = ( { " URL
	      " hosts = [ \"A.Example\", \"127.0.0.1\", \"FE80::1\" ]; } );");
	ck_assert_uint_eq(up(0)->host_count, 3);
	ck_assert_str_eq(up(0)->hosts[0], "a.example");
	ck_assert_str_eq(up(0)->hosts[1], "127.0.0.1");
	ck_assert_str_eq(up(0)->hosts[2], "fe80::1");
}
END_TEST

START_TEST(listeners_must_differ_in_name_and_path)
{
	refused(ONE "listeners = ( { },\n{ path = \"/b\"; } );",
		":3: listeners[1].name: \"main\" is already the name of listeners[0]");
	refused(ONE "listeners = ( { path = \"/b\"; },\n{ name = \"b\"; path = \"/b\"; } );",
		":3: listeners[1].path: \"/b\" is already the path of listeners[0]");
	refused(ONE "listeners = ( { name = \"\"; } );",
		":2: listeners[0].name: \"\" is not a name: take letters, digits, '-', '_', '.'");
}
END_TEST

START_TEST(a_socket_path_must_be_absolute_and_fit)
{
	char text[512], path[CONF_PATH_MAX + 2], want[256];

	refused(ONE "listeners = ( { path = \"x\"; } );",
		":2: listeners[0].path: must be absolute: write \"/run/connpoold/name.sock\"");

	memset(path, '/', sizeof(path));
	path[CONF_PATH_MAX + 1] = '\0';
	snprintf(text, sizeof(text), ONE "listeners = ( { path = \"%s\"; } );", path);
	snprintf(want, sizeof(want),
		":2: listeners[0].path: is %d bytes long, a socket's path has "
		"at most 107",
		CONF_PATH_MAX + 1);
	refused(text, want);
	path[CONF_PATH_MAX] = '\0';
	snprintf(text, sizeof(text), ONE "listeners = ( { path = \"%s\"; } );", path);
	loads(text);
}
END_TEST

START_TEST(modes_are_octal_texts)
{
	refused(ONE "listeners = ( { mode = 0660; } );",
		":2: listeners[0].mode: must be an octal mode in quotes: write \"0660\"");
	refused(ONE "listeners = ( { mode = \"0680\"; } );",
		":2: listeners[0].mode: \"0680\" is not an octal mode: write \"0660\"");
	refused(ONE "listeners = ( { mode = \"1777\"; } );",
		":2: listeners[0].mode: \"1777\" is not an octal mode: write \"0660\"");
	refused(ONE "listeners = ( { mode = \"\"; } );",
		":2: listeners[0].mode: \"\" is not an octal mode: write \"0660\"");
}
END_TEST

START_TEST(a_listener_names_its_upstreams)
{
	refused("upstreams = ( { name = \"a\"; " URL " }, { name = \"b\"; " URL " } );\n"
		"listeners = ( { upstream = \"c\"; } );",
		":2: listeners[0].upstream: there is no upstream \"c\" (there are: a, b)");
	loads("upstreams = ( { name = \"a\"; " URL " }, { name = \"b\"; " URL " } );\n"
	      "listeners = ( { default_upstream = \"B\"; },"
	      " { name = \"x\"; path = \"/x\"; } );");
	ck_assert_ptr_eq(conf->listeners[0].fallback, up(1));
	ck_assert_ptr_null(conf->listeners[0].fixed);
	ck_assert_ptr_null(conf->listeners[1].fallback);
}
END_TEST

START_TEST(sizes_must_fit_into_each_other)
{
	refused("upstreams = ( { " URL "\nretry_buffer = \"1MiB\"; } );",
		":2: upstreams[0].retry_buffer: is larger than buffer: raise buffer or lower "
		"retry_buffer");
	/* Inherited by all, told once, where it is written. */
	refused("upstreams = ( { " URL " }, { name = \"b\"; " URL " } );\n"
		"defaults : { retry_buffer = \"1MiB\"; };",
		":2: defaults.retry_buffer: is larger than buffer: raise buffer or lower "
		"retry_buffer");
	/* Another one's own settings do not make it news. */
	refused("upstreams = ( { " URL " buffer = \"2MiB\"; },"
		" { name = \"b\"; " URL " }, { name = \"c\"; " URL " } );\n"
		"defaults : { retry_buffer = \"1MiB\"; };",
		":2: defaults.retry_buffer: is larger than buffer: raise buffer or lower "
		"retry_buffer");
	refused(ONE "defaults : { buffer = \"4MiB\"; };\ndaemon : { memory_limit = \"2MiB\"; };",
		":2: defaults.buffer: is larger than daemon.memory_limit");
	loads(ONE "defaults : { buffer = \"2MiB\"; };\ndaemon : { memory_limit = \"2MiB\"; };");
}
END_TEST

START_TEST(numbers_must_fit_into_each_other)
{
	refused("upstreams = ( { " URL "\nmax_connections = 4;\nmin_connections = 5; } );",
		":3: upstreams[0].min_connections: is more than max_connections: lower it or raise "
		"max_connections");
	/* Told at the setting that made it wrong. */
	refused("upstreams = ( { " URL " }, { name = \"b\"; " URL "\nmax_connections = 4; } );\n"
		"defaults : { min_connections = 5; };",
		":2: upstreams[1].max_connections: is less than min_connections: raise it or lower "
		"min_connections");
	refused(ONE "defaults : { reserve_connections = 9; };",
		":2: defaults.reserve_connections: is more than max_connections: lower it or raise "
		"max_connections");
	loads(ONE "defaults : { min_connections = 8; };");
	ck_assert_ptr_null(warnings);
}
END_TEST

START_TEST(a_minimum_that_the_reserve_takes_away_is_warned_about)
{
	loads(ONE "defaults : { min_connections = 7; reserve_connections = 2; };");
	ck_assert(says(warnings, ":2: defaults.min_connections: is more than max_connections less "
				 "reserve_connections: only 6 are kept open"));
	ck_assert_uint_eq(lines(warnings), 1);
	loads("upstreams = ( { " URL " }, { name = \"b\"; " URL " max_connections = 3; } );\n"
	      "defaults : { min_connections = 2; reserve_connections = 2; };");
	ck_assert(says(warnings, ":2: defaults.min_connections: is more than max_connections less "
				 "reserve_connections: only 1 are kept open"));
	loads(ONE "defaults : { min_connections = 6; reserve_connections = 2; };");
	ck_assert_ptr_null(warnings);
}
END_TEST

START_TEST(the_pool_is_sized_and_ordered_as_written)
{
	loads(ONE);
	ck_assert_uint_eq(up(0)->min_connections, 0);
	ck_assert_uint_eq(up(0)->reserve_connections, 0);
	ck_assert_uint_eq(up(0)->reserve_after, 1000);
	ck_assert_uint_eq(up(0)->max_idle, 8);
	ck_assert_int_eq(up(0)->pick, CONF_PICK_MOST_AVAILABLE);
	ck_assert_int_eq(up(0)->queue_fair, CONF_FAIR_USER);
	loads(ONE "defaults : { pick = \"lifo\"; queue_fair = \"fifo\"; };");
	ck_assert_int_eq(up(0)->pick, CONF_PICK_LIFO);
	ck_assert_int_eq(up(0)->queue_fair, CONF_FAIR_FIFO);
	loads(ONE "defaults : { pick = \"fifo\"; };");
	ck_assert_int_eq(up(0)->pick, CONF_PICK_FIFO);
	loads(ONE "defaults : { pick = \"random2\"; };");
	ck_assert_int_eq(up(0)->pick, CONF_PICK_RANDOM2);
	refused(ONE "defaults : { pick = \"random\"; };",
		":2: defaults.pick: \"random\" is none of: most_available lifo fifo random2");
}
END_TEST

START_TEST(the_life_of_a_connection_is_as_written)
{
	loads(ONE);
	ck_assert(up(0)->idle_timeout_learn);
	ck_assert_uint_eq(up(0)->idle_timeout_margin, 1000);
	ck_assert_uint_eq(up(0)->max_lifetime_jitter, 20);
	loads(ONE "defaults : { idle_timeout_learn = false; idle_timeout_margin = \"0\";"
		  " max_lifetime_jitter = 0; };");
	ck_assert(!up(0)->idle_timeout_learn);
	ck_assert_uint_eq(up(0)->idle_timeout_margin, 0);
	ck_assert_uint_eq(up(0)->max_lifetime_jitter, 0);
	refused(ONE "defaults : { max_lifetime_jitter = 101; };",
		":2: defaults.max_lifetime_jitter: 101 is out of range: 0 to 100");
}
END_TEST

START_TEST(a_client_may_be_let_shorten_its_time)
{
	loads(ONE);
	ck_assert_uint_eq(up(0)->total_timeout, 0);
	ck_assert_str_eq(up(0)->client_timeout_header, "Connpool-Timeout");
	loads(ONE "defaults : { total_timeout = \"2m\"; client_timeout_header = \"\"; };");
	ck_assert_uint_eq(up(0)->total_timeout, 120000);
	ck_assert_str_eq(up(0)->client_timeout_header, "");
	refused("upstreams = ( { " URL " }, { name = \"b\"; " URL " } );\n"
		"defaults : { client_timeout_header = \"My Timeout:\"; };",
		":2: defaults.client_timeout_header: \"My Timeout:\" is not the name of a field: "
		"write \"Connpool-Timeout\"");
}
END_TEST

START_TEST(failures_are_handled_as_written)
{
	loads(ONE);
	ck_assert_uint_eq(up(0)->retry_budget, 20);
	ck_assert_uint_eq(up(0)->retry_budget_min, 3);
	ck_assert_uint_eq(up(0)->backoff_min, 1000);
	ck_assert_uint_eq(up(0)->backoff_max, 30000);
	ck_assert_uint_eq(up(0)->eject_after, 5);
	ck_assert_uint_eq(up(0)->eject_time, 30000);
	ck_assert_uint_eq(up(0)->max_ejected, 50);
	loads(ONE "defaults : { backoff_min = \"30s\"; eject_after = 0; };");
	ck_assert_uint_eq(up(0)->backoff_min, 30000);
	ck_assert_uint_eq(up(0)->eject_after, 0);
	refused(ONE "defaults : {\nbackoff_min = \"31s\"; };",
		":3: defaults.backoff_min: is more than backoff_max: lower it or raise "
		"backoff_max");
	refused("upstreams = ( { " URL "\nbackoff_max = \"500ms\"; } );",
		":2: upstreams[0].backoff_max: is less than backoff_min: raise it or lower "
		"backoff_min");
}
END_TEST

START_TEST(names_and_addresses_are_treated_as_written)
{
	loads(ONE);
	ck_assert_uint_eq(up(0)->dns_ttl_min, 5000);
	ck_assert_uint_eq(up(0)->dns_ttl_max, 300000);
	ck_assert(up(0)->dns_keep_stale);
	ck_assert_int_eq(up(0)->address_family, CONF_FAMILY_ANY);
	ck_assert_uint_eq(up(0)->happy_eyeballs_delay, 250);
	ck_assert(up(0)->spread);
	ck_assert_str_eq(up(0)->proxy, "");
	loads(ONE
		"defaults : { address_family = \"ipv6\"; dns_ttl_min = \"0\"; spread = false; };");
	ck_assert_int_eq(up(0)->address_family, CONF_FAMILY_IPV6);
	ck_assert_uint_eq(up(0)->dns_ttl_min, 0);
	ck_assert(!up(0)->spread);
	refused(ONE "defaults : { dns_ttl_min = \"10m\"; };",
		":2: defaults.dns_ttl_min: is more than dns_ttl_max: lower it or raise "
		"dns_ttl_max");
}
END_TEST

START_TEST(a_proxy_is_a_scheme_and_a_host)
{
	static const char *const good[] = {"http://proxy.local:3128", "socks5://10.0.0.1:1080",
		"HTTP://[::1]:3128/", "socks5h://proxy.local",
		"http://me:p%40s@s@proxy.local:3128"};
	static const struct {
		const char *text, *why;
	} bad[] = {{"proxy.local:3128", "must begin with http://, socks5:// or socks5h://"},
		{"https://proxy.local:3128", "must begin with"}, {"http:/p:1", "must begin with"},
		{"http://", "no host in it"}, {"http://:3128", "no host in it"},
		{"http://me:secret@", "no host in it"},
		{"http://proxy.local:0", "the port must be"},
		{"http://proxy.local:3128/x", "nothing may follow"},
		{"http://proxy.local:3128?x", "nothing may follow"},
		{"http://proxy local:3128", "spaces"}};

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		ck_assert_msg(conf_proxy_check(good[i]) == NULL, "%s", good[i]);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		const char *why = conf_proxy_check(bad[i].text);

		ck_assert_msg(why && strstr(why, bad[i].why), "%s: %s", bad[i].text, why);
	}
	/* Told once, and without the password. */
	refused("upstreams = ( { " URL " }, { name = \"b\"; " URL " } );\n"
		"defaults : { proxy = \"http://me:secret@p:x\"; };",
		":2: defaults.proxy: the port must be a number from 1 to 65535");
}
END_TEST

START_TEST(a_unix_socket_has_no_proxy)
{
	loads("upstreams = ( { url = \"unix:/s\"; }, { " URL " } );\n"
	      "defaults : { proxy = \"http://p:1\"; };");
	ck_assert_ptr_null(warnings);
	ck_assert_str_eq(up(0)->proxy, "");
	ck_assert_str_eq(up(1)->proxy, "http://p:1");
	loads("upstreams = ( { url = \"unix:/s\";\nproxy = \"http://p:1\"; } );");
	ck_assert(
		says(warnings, ":2: upstreams[0].proxy: has no effect, the url is a Unix socket"));
	ck_assert_str_eq(up(0)->proxy, "");
}
END_TEST

START_TEST(settings_without_effect_are_warned_about)
{
	loads("upstreams = ( { url = \"http://a\";\n tls : { min_version = \"1.3\"; }; } );");
	ck_assert(says(warnings, ":2: upstreams[0].tls: has no effect, the url is not https"));
	loads(ONE "listeners = ( { upstream = \"one\"; default_upstream = \"one\"; } );");
	ck_assert(says(warnings, ":2: listeners[0].default_upstream: has no effect beside "
				 "upstream"));
	loads(ONE "defaults : { h2_stream_window = \"32MiB\"; };");
	ck_assert(says(warnings, ":2: defaults.h2_stream_window: is larger than "
				 "h2_connection_window, which limits it"));
}
END_TEST

/* ---- descriptors ------------------------------------------------------- */

static struct rlimit old_limit;

static void limit_descriptors(unsigned n)
{
	struct rlimit limit;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &old_limit), 0);
	limit = old_limit;
	limit.rlim_cur = n;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static void restore_descriptors(void)
{
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &old_limit), 0);
}

/* Of 200: 33 are the daemon's own, 8 are lent to connections that are being raced. */
START_TEST(max_clients_is_what_the_descriptors_leave)
{
	limit_descriptors(200);
	load("upstreams = ( { " URL " max_connections = 100; },"
	     "{ name = \"b\"; " URL " max_connections = 43; } );");
	restore_descriptors();
	ck_assert_ptr_nonnull(conf);
	ck_assert_uint_eq(conf->max_clients, 16);
	ck_assert_ptr_null(warnings);
}
END_TEST

START_TEST(too_few_descriptors_are_an_error_with_the_sum)
{
	limit_descriptors(200);
	refused("upstreams = ( { " URL " max_connections = 148; } );",
		": daemon.max_clients: descriptors: 148 upstream + 4 connecting + 16 clients + 33 "
		"of our own = 201, limit is 200: raise LimitNOFILE= or lower max_connections");
	refused("upstreams = ( { " URL " max_connections = 147; } ); daemon : { workers = 2; };",
		": daemon.max_clients: descriptors: 147 upstream + 4 connecting + 16 clients + 49 "
		"of our own = 216, limit is 200: raise LimitNOFILE= or lower max_connections");
	refused("upstreams = ( { " URL " } );\ndaemon : { max_clients = 156; };",
		":2: daemon.max_clients: descriptors: 8 upstream + 4 connecting + 156 clients + 33 "
		"of our own = 201, limit is 200: raise LimitNOFILE= or lower max_clients");
	loads("upstreams = ( { " URL " } );\ndaemon : { max_clients = 155; };");
	restore_descriptors();
	ck_assert_uint_eq(conf->max_clients, 155);
}
END_TEST

START_TEST(memory_must_suffice_for_each_worker)
{
	refused("upstreams = ( { " URL " } );\ndaemon : { workers = 4; memory_limit = \"3MiB\"; };",
		"daemon.memory_limit: 3072 KiB are less than 1 MiB for each of 4 workers: raise "
		"it");
}
END_TEST

/* ---- the command line -------------------------------------------------- */

START_TEST(options_are_a_configuration_without_a_file)
{
	const char *urls[] = {"https://a.example", "b=unix:/b=c.sock", "http://c.example/x=y"};
	const char *paths[] = {"./x.sock", "/tmp/y.sock"};

	options(3, urls, 2, paths);
	ck_assert_msg(conf != NULL, "%s", errors);
	ck_assert_str_eq(up(0)->name, "a.example");
	ck_assert_ptr_nonnull(up(0)->ssl);
	ck_assert_str_eq(up(1)->name, "b");
	ck_assert_str_eq(up(1)->address, "unix:/b=c.sock");
	ck_assert_str_eq(up(2)->base_path, "/x=y");
	ck_assert_uint_eq(conf->listener_count, 2);
	ck_assert_str_eq(conf->listeners[0].name, "main");
	ck_assert_str_eq(conf->listeners[0].path, "./x.sock");
	ck_assert_str_eq(conf->listeners[1].path, "/tmp/y.sock");
	ck_assert_uint_eq(up(2)->max_connections, 8);

	options(1, urls, 0, NULL);
	ck_assert_ptr_nonnull(conf);
	ck_assert_str_eq(conf->listeners[0].path, "/run/connpoold/connpoold.sock");
	ck_assert_ptr_eq(conf->listeners[0].fallback, up(0));
}
END_TEST

START_TEST(errors_of_options_begin_with_the_option)
{
	const char *urls[] = {"x=ftp://a", "=http://b"};
	const char *paths[] = {""};

	options(2, urls, 1, paths);
	ck_assert_ptr_null(conf);
	ck_assert(says(errors, "--upstream x=ftp://a: url: \"ftp://a\": must begin with https://, "
			       "http:// or unix:/"));
	ck_assert(says(errors, "--upstream =http://b: no name before the '='"));
	ck_assert(says(errors, "--listen : path: must be absolute: write "
			       "\"/run/connpoold/name.sock\""));
	ck_assert_uint_eq(lines(errors), 3);

	options(0, NULL, 0, NULL);
	ck_assert(says(errors, "--upstream: at least one is needed: --upstream "
			       "https://api.example.com"));
}
END_TEST

/* ---- TLS --------------------------------------------------------------- */

/* A key and a certificate signed by itself; password NULL: the key in clear. */
static void write_identity(const char *cert, const char *key, const char *password)
{
	EVP_PKEY *pkey = EVP_EC_gen("P-256");
	X509 *x = X509_new();
	FILE *f;

	ck_assert(pkey && x);
	X509_set_version(x, X509_VERSION_3);
	X509_gmtime_adj(X509_getm_notBefore(x), 0);
	X509_gmtime_adj(X509_getm_notAfter(x), 3600);
	X509_set_pubkey(x, pkey);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
		(const unsigned char *)"test", -1, -1, 0);
	X509_set_issuer_name(x, X509_get_subject_name(x));
	ck_assert_int_gt(X509_sign(x, pkey, EVP_sha256()), 0);

	f = fopen(cert, "w");
	ck_assert(f && PEM_write_X509(f, x));
	fclose(f);
	f = fopen(key, "w");
	ck_assert(f && PEM_write_PrivateKey(f, pkey, password ? EVP_aes_256_cbc() : NULL, NULL, 0,
			       NULL, (void *)password));
	fclose(f);
	X509_free(x);
	EVP_PKEY_free(pkey);
}

/* Loads an upstream with these files in its tls group; NULL leaves the key out. */
static void load_tls(const char *ca, const char *cert, const char *key)
{
	char text[1024];

	snprintf(text, sizeof(text),
		"upstreams = ( { " URL " tls : { %s%s%s\n%s%s%s\n%s%s%s }; } );",
		ca ? "ca_file = \"" : "", ca ? ca : "", ca ? "\";" : "", cert ? "cert = \"" : "",
		cert ? cert : "", cert ? "\";" : "", key ? "key = \"" : "", key ? key : "",
		key ? "\";" : "");
	load(text);
}

static void refused_tls(const char *want)
{
	ck_assert_ptr_null(conf);
	ck_assert_msg(errors && strstr(errors, want), "wanted: %s\ngot: %s", want, errors);
	ck_assert_msg(lines(errors) == 1, "more than one: %s", errors);
}

START_TEST(certificates_are_read_when_the_file_is)
{
	char cert[96], key[96];
	SSL_CTX *ctx;

	strcpy(cert, in_dir("cert.pem"));
	strcpy(key, in_dir("key.pem"));
	write_identity(cert, key, NULL);
	load_tls(cert, cert, key);
	ck_assert_msg(conf != NULL, "%s", errors);
	ctx = up(0)->ssl;
	ck_assert_ptr_nonnull(SSL_CTX_get0_certificate(ctx));
	ck_assert_ptr_nonnull(SSL_CTX_get0_privatekey(ctx));
	ck_assert_int_eq(SSL_CTX_get_verify_mode(ctx), SSL_VERIFY_PEER);
	ck_assert_int_eq((int)SSL_CTX_get_min_proto_version(ctx), TLS1_2_VERSION);
	ck_assert(SSL_CTX_get_mode(ctx) & SSL_MODE_ENABLE_PARTIAL_WRITE);
	ck_assert(SSL_CTX_get_mode(ctx) & SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	ck_assert(SSL_CTX_get_mode(ctx) & SSL_MODE_RELEASE_BUFFERS);
	ck_assert(SSL_CTX_get_options(ctx) & SSL_OP_NO_COMPRESSION);
	/* An encrypted key must not ask the terminal. */
	ck_assert(SSL_CTX_get_default_passwd_cb(ctx) != NULL);

	loads("upstreams = ( { " URL " tls : { min_version = \"1.3\"; }; } );");
	ck_assert_int_eq((int)SSL_CTX_get_min_proto_version(up(0)->ssl), TLS1_3_VERSION);
}
END_TEST

START_TEST(certificate_files_that_do_not_do_are_refused)
{
	char cert[96], key[96], other_cert[96], other_key[96], text[96];

	strcpy(cert, in_dir("cert.pem"));
	strcpy(key, in_dir("key.pem"));
	write_identity(cert, key, NULL);
	strcpy(other_cert, in_dir("other.pem"));
	strcpy(other_key, in_dir("other.key"));
	write_identity(other_cert, other_key, "secret");
	strcpy(text, in_dir("text.pem"));
	write_file(text, "no certificate\n");

	load_tls("/nonexistent/ca.pem", NULL, NULL);
	refused_tls(":1: upstreams[0].tls.ca_file: /nonexistent/ca.pem: No such file");
	load_tls(dir, NULL, NULL);
	refused_tls(":1: upstreams[0].tls.ca_file: /tmp/test_conf");
	load_tls(text, NULL, NULL);
	refused_tls("text.pem: no certificates in PEM form");
	load_tls(NULL, cert, NULL);
	refused_tls(":2: upstreams[0].tls.cert: needs tls.key too");
	load_tls(NULL, NULL, key);
	refused_tls(":3: upstreams[0].tls.key: needs tls.cert too");
	load_tls(NULL, text, key);
	refused_tls(":2: upstreams[0].tls.cert: ");
	load_tls(NULL, cert, text);
	refused_tls("text.pem: not an unencrypted private key in PEM form");
	load_tls(NULL, other_cert, other_key);
	refused_tls("other.key: not an unencrypted private key in PEM form");
	write_identity(other_cert, other_key, NULL);
	load_tls(NULL, cert, other_key);
	refused_tls("does not belong to");
}
END_TEST

START_TEST(upstreams_without_ca_file_share_the_store_of_the_system)
{
	loads("upstreams = ( { " URL " }, { name = \"b\"; " URL " } );");
	ck_assert_ptr_ne(up(0)->ssl, up(1)->ssl);
	ck_assert_ptr_eq(SSL_CTX_get_cert_store(up(0)->ssl), SSL_CTX_get_cert_store(up(1)->ssl));
}
END_TEST

/* ---- reload ------------------------------------------------------------ */

/* Would the connections of the one text be good for the other? */
static bool same(const char *a, const char *b)
{
	struct conf *first;
	bool yes;

	loads(a);
	first = conf;
	conf = NULL;
	loads(b);
	yes = conf_upstream_same_connections(&first->upstreams[0], up(0));
	ck_assert(yes == conf_upstream_same_connections(up(0), &first->upstreams[0]));
	conf_unref(first);
	return yes;
}

#define WITH(more) "upstreams = ( { name = \"a\"; url = \"https://a\"; " more " } );"

START_TEST(limits_and_timeouts_do_not_change_the_connections)
{
	ck_assert(same(WITH(""), WITH("")));
	ck_assert(same(WITH(""), WITH("max_connections = 3; idle_timeout = \"9s\"; retry = "
				      "\"never\"; hosts = [ \"x\" ]; max_lifetime = \"2h\";")));
	ck_assert(same(WITH(""), WITH("protocols = [ \"h2\", \"h1\" ];")));
}
END_TEST

START_TEST(url_protocols_windows_and_tls_change_the_connections)
{
	ck_assert(!same(WITH(""), "upstreams = ( { name = \"a\"; url = \"https://b\"; } );"));
	ck_assert(!same(WITH(""), "upstreams = ( { name = \"a\"; url = \"http://a:443\"; } );"));
	ck_assert(!same(WITH(""), "upstreams = ( { name = \"a\"; url = \"srv+https://a\"; } );"));
	ck_assert(!same(WITH(""), WITH("protocols = [ \"h2\" ];")));
	ck_assert(!same(WITH(""), WITH("protocols = [ \"h1\", \"h2\" ];")));
	ck_assert(!same(WITH(""), WITH("h2_stream_window = \"128KiB\";")));
	ck_assert(!same(WITH(""), WITH("h2_connection_window = \"8MiB\";")));
	ck_assert(!same(WITH(""), WITH("tls : { server_name = \"b\"; };")));
	ck_assert(!same(WITH(""), WITH("tls : { min_version = \"1.3\"; };")));
	ck_assert(!same(WITH(""), WITH("proxy = \"http://p:1\";")));
	ck_assert(!same(WITH(""), WITH("address_family = \"ipv4\";")));
}
END_TEST

/* A value of the key that is not its initial one, in out. */
static const char *other_value(const struct conf_key *k, char out[128])
{
	const char *space = strrchr(k->low, ' ');

	switch (k->kind) {
	case CONF_IS_BOOL:
		return strcmp(k->initial, "true") == 0 ? "false" : "true";
	case CONF_IS_TEXT:
		return "another";
	case CONF_IS_CHOICE:
	case CONF_IS_WORD:
	case CONF_IS_LEVEL:
	case CONF_IS_PROTOCOLS:
		snprintf(out, 128, "%.*s", (int)strcspn(k->low, " "), k->low);
		return strcmp(out, k->initial) == 0 ? space + 1 : out;
	default:
		return strcmp(k->initial, k->low) == 0 ? k->high : k->low;
	}
}

#define ROW(where, name) conf_key_find(CONF_##where, #name)

/* Of an upstream: connections are kept through whatever is not NEW_POOL, and only then. */
START_TEST(what_the_table_says_of_a_key_decides_about_the_connections)
{
	char why[CONF_WHY_MAX] = "", text[128];
	unsigned count = 0;

	loads("upstreams = ( { name = \"a\"; url = \"https://a\"; } );");
#define CONF_GROUP(where, name, of, kind, text)
#define CONF_KEY(where, name, member, kind, reload_, initial, low, high, text_)                    \
	if ((CONF_##where & (CONF_POOL | CONF_TLS | CONF_UPSTREAM)) &&                             \
		CONF_IS_##kind != CONF_IS_NAMES) {                                                 \
		const struct conf_key *k = ROW(where, name);                                       \
		struct conf_upstream changed = *up(0);                                             \
                                                                                                   \
		ck_assert_msg(                                                                     \
			conf_key_set(k, &changed, other_value(k, text), why), #name ": %s", why);  \
		ck_assert_msg(conf_upstream_same_connections(up(0), &changed) ==                   \
				      (k->reload != CONF_NEW_POOL),                                \
			#name);                                                                    \
		ck_assert_ptr_eq(conf_key_differs(CONF_##where, k->reload, up(0), &changed), k);   \
		count++;                                                                           \
	}
#include "daemon/base/conf_keys.def"
#undef CONF_GROUP
#undef CONF_KEY
	ck_assert_uint_ge(count, 50);
}
END_TEST

/* A reload refuses only those of daemon, and tells counts. */
START_TEST(only_counts_of_the_daemon_need_a_restart)
{
#define CONF_GROUP(where, name, of, kind, text)
#define CONF_KEY(where, name, member, kind, reload_, initial, low, high, text)                     \
	ck_assert_msg(CONF_##reload_ != CONF_RESTART ||                                            \
			      (CONF_##where == CONF_DAEMON && CONF_IS_##kind == CONF_IS_COUNT),    \
		#name);
#include "daemon/base/conf_keys.def"
#undef CONF_GROUP
#undef CONF_KEY
	ck_assert_int_eq(ROW(DAEMON, workers)->reload, CONF_RESTART);
}
END_TEST

static void append(const char *path, const char *text)
{
	FILE *f = fopen(path, "a");

	ck_assert(f && fputs(text, f) >= 0);
	fclose(f);
}

static off_t size_of(const char *path)
{
	struct stat st;

	ck_assert_int_eq(stat(path, &st), 0);
	return st.st_size;
}

START_TEST(certificates_are_compared_by_content)
{
	char cert[96], key[96], ca[96], copy[96];
	struct conf *first;

	strcpy(cert, in_dir("cert.pem"));
	strcpy(key, in_dir("key.pem"));
	strcpy(ca, in_dir("ca.pem"));
	strcpy(copy, in_dir("copy.pem"));
	write_identity(cert, key, NULL);
	ck_assert_int_eq(link(cert, ca), 0);
	ck_assert_int_eq(link(cert, copy), 0);

	load_tls(ca, cert, key);
	ck_assert_ptr_nonnull(conf);
	first = conf;
	conf = NULL;
	load_tls(copy, cert, key); /* another name, the same bytes */
	ck_assert_ptr_nonnull(conf);
	ck_assert(conf_upstream_same_connections(&first->upstreams[0], up(0)));

	ck_assert_int_eq(unlink(cert), 0);
	write_identity(cert, key, NULL); /* the same name, other bytes */
	load_tls(ca, cert, key);
	ck_assert_ptr_nonnull(conf);
	ck_assert(!conf_upstream_same_connections(&first->upstreams[0], up(0)));
	conf_unref(first);

	first = conf;
	conf = NULL;
	append(key, "# a\n");
	load_tls(ca, cert, key);
	ck_assert_ptr_nonnull(conf);
	ck_assert(!conf_upstream_same_connections(&first->upstreams[0], up(0)));
	conf_unref(first);

	first = conf;
	conf = NULL;
	ck_assert_int_eq(truncate(key, size_of(key) - 4), 0);
	append(key, "# b\n"); /* as long as before */
	load_tls(ca, cert, key);
	ck_assert_ptr_nonnull(conf);
	ck_assert(!conf_upstream_same_connections(&first->upstreams[0], up(0)));
	conf_unref(first);
}
END_TEST

START_TEST(upstreams_are_found_by_name_in_any_case)
{
	loads("upstreams = ( { name = \"Git\"; " URL " }, { name = \"github\"; " URL " } );");
	ck_assert_ptr_eq(conf_find_upstream(conf, "git", 3), up(0));
	ck_assert_ptr_eq(conf_find_upstream(conf, "GITHUB.com", 6), up(1));
	ck_assert_ptr_null(conf_find_upstream(conf, "githu", 5));
	ck_assert_ptr_null(conf_find_upstream(conf, "", 0));
}
END_TEST

START_TEST(a_configuration_lives_until_its_last_reference)
{
	struct conf *other;

	loads(ONE);
	other = conf_ref(conf);
	ck_assert_ptr_eq(other, conf);
	forget();
	ck_assert_str_eq(other->upstreams[0].name, "one");
	conf_unref(other);
	conf_unref(NULL);
}
END_TEST

/* ---- shipped files ----------------------------------------------------- */

static const char *shipped(const char *name)
{
	static char path[512];
	const char *top = getenv("srcdir");

	snprintf(path, sizeof(path), "%s/conf/%s", top ? top : ".", name);
	return path;
}

/* "\t#name = value;" becomes "\tname = value;". */
static void uncomment(const char *from, const char *to)
{
	FILE *in = fopen(from, "r"), *out = fopen(to, "w");
	char line[512];

	ck_assert_msg(in && out, "%s", from);
	while (fgets(line, sizeof(line), in)) {
		size_t n = strspn(line, "\t");

		if (line[n] == '#' && line[n + 1] != ' ')
			memmove(line + n, line + n + 1, strlen(line + n));
		fputs(line, out);
	}
	fclose(in);
	fclose(out);
}

/* By kind, since texts are compared by what they say. */
static bool same_value(enum conf_kind kind, const void *a, const void *b, size_t n)
{
	const char *s, *t;

	if (kind == CONF_IS_NAMES)
		return true;
	if (kind != CONF_IS_TEXT && kind != CONF_IS_WORD)
		return memcmp(a, b, n) == 0;
	memcpy(&s, a, sizeof(s));
	memcpy(&t, b, sizeof(t));
	return strcmp(s, t) == 0;
}

START_TEST(the_reference_shows_the_values_that_hold_without_it)
{
	struct conf *full;

	uncomment(shipped("connpoold.conf"), file);
	load_path(file);
	ck_assert_msg(conf != NULL, "%s", errors);
	ck_assert_ptr_null(warnings);
	ck_assert_str_eq(conf->listeners[0].group, "connpool");
	full = conf;
	conf = NULL;
	loads("listeners = ( { group = \"connpool\"; } );"
	      "upstreams = ( { name = \"github\"; url = \"https://api.github.com\"; } );");

#define OF_DAEMON(c)   (c)
#define OF_LOG(c)      (c)
#define OF_LISTENER(c) (&(c)->listeners[0])
#define OF_POOL(c)     (&(c)->upstreams[0])
#define OF_UPSTREAM(c) (&(c)->upstreams[0])
#define OF_TLS(c)      (&(c)->upstreams[0])
#define CONF_GROUP(where, name, of, kind, text)
#define CONF_KEY(where, name, member, kind, reload, initial, low, high, text)                      \
	ck_assert_msg(same_value(CONF_IS_##kind, &OF_##where(conf)->member,                        \
			      &OF_##where(full)->member, sizeof(OF_##where(conf)->member)),        \
		"%s differs", #name);
#include "daemon/base/conf_keys.def"
	conf_unref(full);
}
END_TEST

START_TEST(shipped_files_load_without_a_warning)
{
	DIR *d = opendir(shipped("examples"));
	struct dirent *e;
	char name[300];
	unsigned count = 0;

	ck_assert_ptr_nonnull(d);
	while ((e = readdir(d))) {
		if (e->d_name[0] == '.')
			continue;
		snprintf(name, sizeof(name), "examples/%s", e->d_name);
		load_path(shipped(name));
		ck_assert_msg(conf && !warnings, "%s: %s%s", name, errors ? errors : "",
			warnings ? warnings : "");
		count++;
	}
	closedir(d);
	ck_assert_uint_ge(count, 3);
	load_path(shipped("connpoold.conf"));
	ck_assert_msg(conf && !warnings, "%s", errors);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("conf");
	TCase *t = tcase_create("conf");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, durations_and_sizes_need_a_unit);
	tcase_add_test(t, distance_counts_changed_added_dropped_and_swapped_letters);
	tcase_add_test(t, every_key_takes_its_initial_value);
	tcase_add_test(t, one_line_is_a_complete_configuration);
	tcase_add_test(t, an_upstream_inherits_defaults_and_may_differ);
	tcase_add_test(t, settings_of_process_log_and_listeners_are_taken);
	tcase_add_test(t, unknown_names_are_refused_with_the_nearest_known_one);
	tcase_add_test(t, a_number_without_unit_is_refused);
	tcase_add_test(t, values_of_the_wrong_type_are_refused);
	tcase_add_test(t, values_out_of_range_are_refused_with_the_range);
	tcase_add_test(t, all_errors_are_listed_at_once);
	tcase_add_test(t, at_least_one_upstream_is_needed);
	tcase_add_test(t, a_syntax_error_comes_with_its_line_and_a_hint);
	tcase_add_test(t, a_file_that_cannot_be_read_is_named_with_the_reason);
	tcase_add_test(t, errors_of_an_included_file_name_that_file);
	tcase_add_test(t, an_included_file_that_is_not_one_is_refused);
	tcase_add_test(t, a_url_gives_host_port_address_authority_and_base);
	tcase_add_test(t, a_service_is_asked_for_by_srv_and_its_domain_is_the_authority);
	tcase_add_test(t, the_authority_of_a_socket_is_the_upstreams_name);
	tcase_add_test(t, doubtful_urls_are_refused);
	tcase_add_test(t, clear_text_speaks_h1_unless_h2c_is_named);
	tcase_add_test(t, the_order_of_protocols_is_kept);
	tcase_add_test(t, inherited_protocols_are_cut_to_what_the_scheme_can);
	tcase_add_test(t, protocols_that_the_scheme_cannot_are_refused);
	tcase_add_test(t, names_and_hosts_of_upstreams_must_differ);
	tcase_add_test(t, hosts_are_kept_in_lower_case);
	tcase_add_test(t, listeners_must_differ_in_name_and_path);
	tcase_add_test(t, a_socket_path_must_be_absolute_and_fit);
	tcase_add_test(t, modes_are_octal_texts);
	tcase_add_test(t, a_listener_names_its_upstreams);
	tcase_add_test(t, sizes_must_fit_into_each_other);
	tcase_add_test(t, numbers_must_fit_into_each_other);
	tcase_add_test(t, a_minimum_that_the_reserve_takes_away_is_warned_about);
	tcase_add_test(t, the_pool_is_sized_and_ordered_as_written);
	tcase_add_test(t, the_life_of_a_connection_is_as_written);
	tcase_add_test(t, a_client_may_be_let_shorten_its_time);
	tcase_add_test(t, failures_are_handled_as_written);
	tcase_add_test(t, names_and_addresses_are_treated_as_written);
	tcase_add_test(t, a_proxy_is_a_scheme_and_a_host);
	tcase_add_test(t, a_unix_socket_has_no_proxy);
	tcase_add_test(t, settings_without_effect_are_warned_about);
	tcase_add_test(t, max_clients_is_what_the_descriptors_leave);
	tcase_add_test(t, too_few_descriptors_are_an_error_with_the_sum);
	tcase_add_test(t, memory_must_suffice_for_each_worker);
	tcase_add_test(t, options_are_a_configuration_without_a_file);
	tcase_add_test(t, errors_of_options_begin_with_the_option);
	tcase_add_test(t, certificates_are_read_when_the_file_is);
	tcase_add_test(t, certificate_files_that_do_not_do_are_refused);
	tcase_add_test(t, upstreams_without_ca_file_share_the_store_of_the_system);
	tcase_add_test(t, limits_and_timeouts_do_not_change_the_connections);
	tcase_add_test(t, url_protocols_windows_and_tls_change_the_connections);
	tcase_add_test(t, what_the_table_says_of_a_key_decides_about_the_connections);
	tcase_add_test(t, only_counts_of_the_daemon_need_a_restart);
	tcase_add_test(t, certificates_are_compared_by_content);
	tcase_add_test(t, upstreams_are_found_by_name_in_any_case);
	tcase_add_test(t, a_configuration_lives_until_its_last_reference);
	tcase_add_test(t, the_reference_shows_the_values_that_hold_without_it);
	tcase_add_test(t, shipped_files_load_without_a_warning);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	/*
	 * The system's store is nobody's concern here, and reading it takes most of the time: a
	 * hundred certificates, again for each configuration with an upstream over TLS.
	 */
	setenv("SSL_CERT_FILE", "/dev/null", 1);
	setenv("SSL_CERT_DIR", "/dev/null", 1);
	return run_suite_together(suite());
}
