/*
 * fuzz_conf.c - any bytes as a configuration file, and as the URL of an
 * option: a configuration or errors come out, nothing else.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "daemon/base/conf.h"
#include "daemon/base/conf_value.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
const char *__lsan_default_suppressions(void);

/*
 * libconfig 1.5 loses the text it was reading when a syntax error comes. By the library's name, as
 * functions have none where no symbolizer is installed; what we might lose ourselves of what
 * libconfig made is test_conf.c's to find.
 */
const char *__lsan_default_suppressions(void)
{
	return "leak:libconfig.so\n";
}

static void load(const char *path, const struct conf_cli *cli)
{
	char *errors = NULL, *warnings = NULL;
	struct conf *conf = conf_load(path, cli, &errors, &warnings);

	if ((conf == NULL) == (errors == NULL))
		abort();
	if (conf && (!conf->max_clients || !conf->upstream_count || !conf->listener_count))
		abort();
	for (unsigned i = 0; conf && i < conf->upstream_count; i++) {
		const struct conf_upstream *u = &conf->upstreams[i];

		if (!*u->name || !*u->address || !u->protocols || (u->ssl != NULL) != u->https)
			abort();
		if (!conf_upstream_same_connections(u, u) ||
			conf_find_upstream(conf, u->name, strlen(u->name)) != u)
			abort();
	}
	conf_unref(conf);
	free(errors);
	free(warnings);
}

static void as_file(const uint8_t *data, size_t size)
{
	char path[64];
	int fd = memfd_create("fuzz", 0);

	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
	snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)getpid(), fd);
	load(path, NULL);
	close(fd);
}

static void as_option(const char *text)
{
	struct conf_cli cli = {.upstreams = &text, .upstream_count = 1};
	uint64_t value;

	(void)conf_duration(text, &value);
	(void)conf_size(text, &value);
	load(NULL, &cli);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);

	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	/* What an include names is the machine's, not the fuzzer's. */
	if (!memmem(data, size, "@include", 8))
		as_file(data, size);
	if (size < 600)
		as_option(text);
	free(text);
	return 0;
}
