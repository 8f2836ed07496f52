/*
 * replay.c - a fuzzer without libFuzzer: runs the harness once on every file
 * of its corpus, or on the files and folders that are named as arguments.
 *
 * What it runs is printed before: after a crash the last line is the culprit.
 */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static unsigned count;

static void give_up(const char *path)
{
	fprintf(stderr, "%s: %s\n", path, strerror(errno));
	exit(2);
}

/* The harness gets a block of the exact size, for the sanitizers. */
static uint8_t *read_file(const char *path, size_t size)
{
	FILE *f = fopen(path, "rb");
	uint8_t *bytes = malloc(size);

	if (!f || (!bytes && size > 0) || fread(bytes, 1, size, f) != size)
		give_up(path);
	fclose(f);
	return bytes;
}

static void replay_file(const char *path, size_t size)
{
	uint8_t *bytes = read_file(path, size);

	printf("%s\n", path);
	(void)LLVMFuzzerTestOneInput(bytes, size);
	free(bytes);
	count++;
}

static int is_no_dot(const struct dirent *e)
{
	return e->d_name[0] != '.';
}

static void replay(const char *path)
{
	struct dirent **names;
	struct stat st;
	int n;

	if (stat(path, &st) < 0)
		give_up(path);
	if (!S_ISDIR(st.st_mode)) {
		replay_file(path, (size_t)st.st_size);
		return;
	}
	n = scandir(path, &names, is_no_dot, alphasort);
	if (n < 0)
		give_up(path);
	for (int i = 0; i < n; i++) {
		char inner[4096];

		snprintf(inner, sizeof(inner), "%s/%s", path, names[i]->d_name);
		free(names[i]);
		replay(inner);
	}
	free(names);
}

/* tests/fuzz/fuzz_head has tests/fuzz/corpus/head. */
static void replay_own(void)
{
	const char *name = strstr(program_invocation_short_name, "fuzz_");
	const char *srcdir = getenv("srcdir");
	char path[4096];

	if (!name) {
		fprintf(stderr, "usage: %s FILE...\n", program_invocation_short_name);
		exit(2);
	}
	snprintf(path, sizeof(path), "%s/tests/fuzz/corpus/%s", srcdir ? srcdir : ".", name + 5);
	replay(path);
}

int main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc == 1)
		replay_own();
	for (int i = 1; i < argc; i++)
		replay(argv[i]);
	printf("%u inputs\n", count);
	return count > 0 ? 0 : 1;
}
