/*
 * test_log.c - lines reach the descriptor whole, in order, bounded, and cannot be forged.
 */
#include <check.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "daemon/base/log.h"

#define RINGS 5

static struct log_set *set;
static int out[2]; /* a file: read end, write end */
static struct timespec now;

static void test_clock(struct timespec *ret)
{
	*ret = now;
}

/* An unnamed file takes all that is written and can be read from its start. */
static void open_file(void)
{
	char path[] = "/tmp/test_log.XXXXXX";

	out[1] = mkstemp(path);
	ck_assert_int_ge(out[1], 0);
	out[0] = open(path, O_RDONLY);
	ck_assert_int_ge(out[0], 0);
	unlink(path);
}

static void begin(bool priorities)
{
	now = (struct timespec){1769860800, 123000000}; /* 2026-01-31T12:00:00.123Z */
	open_file();
	set = log_set_new(out[1], priorities, RINGS);
	ck_assert_ptr_nonnull(set);
	log_set_clock(set, test_clock);
}

static void with_stamps(void)
{
	begin(false);
}

static void with_priorities(void)
{
	begin(true);
}

static void end(void)
{
	log_set_free(set);
	close(out[0]);
	close(out[1]);
}

/* What was written since the last call, in a static text. */
static const char *written(void)
{
	static char text[4 * 1024 * 1024];
	size_t n = 0;
	ssize_t got;

	log_set_drain(set);
	while ((got = read(out[0], text + n, sizeof(text) - 1 - n)) > 0)
		n += (size_t)got;
	text[n] = '\0';
	return text;
}

static unsigned lines(const char *text)
{
	unsigned n = 0;

	for (; *text; text++)
		n += *text == '\n';
	return n;
}

static bool wait_woken(int ms)
{
	struct pollfd pfd = {.fd = log_set_fd(set), .events = POLLIN};

	return poll(&pfd, 1, ms) == 1;
}

static bool woken(void)
{
	return wait_woken(0);
}

START_TEST(without_systemd_a_line_has_time_and_level)
{
	log_line(log_of(set, 0), LOG_LEVEL_WARNING, "connect failed", "upstream=%s err=%d", "api",
		5);
	ck_assert_str_eq(written(),
		"2026-01-31T12:00:00.123Z WARNING event=\"connect failed\" upstream=api err=5\n");
}
END_TEST

START_TEST(under_systemd_a_line_has_a_priority)
{
	log_line(log_of(set, 0), LOG_LEVEL_ERROR, "broken", "n=%d", 1);
	log_access(log_of(set, 0), "status=%d", 200);
	ck_assert_str_eq(written(), "<3>event=\"broken\" n=1\n<6>event=\"access\" status=200\n");
}
END_TEST

START_TEST(lines_below_the_level_are_not_written)
{
	struct log *l = log_of(set, 0);

	log_set_level(set, LOG_LEVEL_WARNING);
	ck_assert(log_enabled(l, LOG_LEVEL_WARNING));
	ck_assert(!log_enabled(l, LOG_LEVEL_NOTICE));
	log_line(l, LOG_LEVEL_NOTICE, "quiet", "n=%d", 1);
	log_always(l, LOG_LEVEL_NOTICE, "quiet", "n=%d", 1);
	log_line(l, LOG_LEVEL_WARNING, "loud", "n=%d", 2);
	ck_assert_str_eq(written(), "<4>event=\"loud\" n=2\n");
}
END_TEST

START_TEST(control_characters_cannot_forge_a_line)
{
	log_line(log_of(set, 0), LOG_LEVEL_INFO, "x", "path=%s",
		"/a\n<3>event=\"b\"\r\t\x1b[31m\x7f");
	ck_assert_str_eq(
		written(), "<6>event=\"x\" path=/a\\x0a<3>event=\"b\"\\x0d\\x09\\x1b[31m\\x7f\n");
}
END_TEST

START_TEST(text_in_utf8_stays_and_other_bytes_are_escaped)
{
	log_line(log_of(set, 0), LOG_LEVEL_INFO, "x", "a=%s b=%s c=%s d=%s e=%s",
		"gr\xc3\xbc\xc3\x9f", "\xff\xfe", "\xc2\x9b", "\xc0\xaf", "\xe2\x82");
	ck_assert_str_eq(written(), "<6>event=\"x\" a=gr\xc3\xbc\xc3\x9f b=\\xff\\xfe c=\\xc2\\x9b "
				    "d=\\xc0\\xaf e=\\xe2\\x82\n");
}
END_TEST

START_TEST(long_lines_are_cut_and_say_so)
{
	char big[5000];
	const char *text;

	memset(big, 'a', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	log_line(log_of(set, 0), LOG_LEVEL_INFO, "x", "v=%s", big);
	text = written();
	ck_assert_uint_le(strlen(text), 1024);
	ck_assert_uint_gt(strlen(text), 900);
	ck_assert_str_eq(text + strlen(text) - 5, "a...\n");

	memset(big, '\n', sizeof(big) - 1);
	log_line(log_of(set, 0), LOG_LEVEL_INFO, "y", "v=%s", big);
	text = written();
	ck_assert_uint_le(strlen(text), 1024);
	ck_assert_uint_eq(lines(text), 1);
	ck_assert_str_eq(text + strlen(text) - 8, "\\x0a...\n");
}
END_TEST

START_TEST(of_one_event_ten_lines_a_second_are_kept)
{
	struct log *l = log_of(set, 0);

	for (int i = 0; i < 25; i++)
		log_line(l, LOG_LEVEL_INFO, "storm", "i=%d", i);
	log_line(l, LOG_LEVEL_INFO, "another", "n=1");
	ck_assert_uint_eq(lines(written()), 11);

	now.tv_sec++;
	log_line(l, LOG_LEVEL_INFO, "storm", "i=%d", 25);
	log_line(l, LOG_LEVEL_INFO, "storm", "i=%d", 26);
	ck_assert_str_eq(
		written(), "<6>event=\"storm\" i=25 suppressed=15\n<6>event=\"storm\" i=26\n");
}
END_TEST

START_TEST(a_clock_that_goes_back_does_not_silence_an_event)
{
	struct log *l = log_of(set, 0);

	for (int i = 0; i < 20; i++)
		log_line(l, LOG_LEVEL_INFO, "storm", "i=%d", i);
	written();
	now.tv_sec -= 3600;
	log_line(l, LOG_LEVEL_INFO, "storm", "i=%d", 20);
	ck_assert_uint_eq(lines(written()), 1);
}
END_TEST

START_TEST(access_and_listed_lines_are_not_limited)
{
	for (int i = 0; i < 30; i++) {
		log_access(log_of(set, 0), "i=%d", i);
		log_always(log_of(set, 0), LOG_LEVEL_ERROR, "configuration error", "i=%d", i);
	}
	ck_assert_uint_eq(lines(written()), 60);
}
END_TEST

START_TEST(a_full_ring_drops_lines_and_the_next_one_counts_them)
{
	struct log *l = log_of(set, 1);
	unsigned fit, total = 2000;
	char pad[500];
	char want[64];

	memset(pad, 'p', sizeof(pad) - 1);
	pad[sizeof(pad) - 1] = '\0';
	for (unsigned i = 0; i < total; i++)
		log_access(l, "%s", pad);
	fit = lines(written());
	ck_assert_uint_gt(fit, 256 * 1024 / 600);
	ck_assert_uint_lt(fit, 256 * 1024 / 500);

	log_access(l, "n=1");
	log_access(l, "n=2");
	snprintf(want, sizeof(want), "<6>event=\"access\" n=1 lost=%u\n<6>event=\"access\" n=2\n",
		total - fit);
	ck_assert_str_eq(written(), want);
}
END_TEST

START_TEST(lines_that_go_around_the_end_of_the_ring_stay_whole)
{
	struct log *l = log_of(set, 0);

	for (unsigned i = 0; i < 6000; i++) {
		char want[300];

		snprintf(want, sizeof(want), "<6>event=\"access\" i=%u %0*d\n", i,
			50 + (int)(i % 97), 7);
		log_access(l, "i=%u %0*d", i, 50 + (int)(i % 97), 7);
		ck_assert_str_eq(written(), want);
	}
}
END_TEST

START_TEST(only_the_first_line_in_an_empty_ring_wakes_the_reader)
{
	uint64_t count;

	ck_assert(!woken());
	log_access(log_of(set, 2), "n=1");
	ck_assert(woken());
	ck_assert_int_eq(read(log_set_fd(set), &count, sizeof(count)), sizeof(count));
	log_access(log_of(set, 2), "n=2");
	ck_assert(!woken());
	ck_assert_uint_eq(lines(written()), 2);
	log_access(log_of(set, 2), "n=3");
	ck_assert(woken());
}
END_TEST

/* ---- a reader at the other end that takes nothing ------------------------------------------- */

START_TEST(a_blocked_pipe_keeps_the_lines_for_later)
{
	struct log_set *s;
	char byte[4096] = {0};
	int p[2];
	size_t got = 0;
	ssize_t n;

	ck_assert_int_eq(pipe(p), 0);
	fcntl(p[1], F_SETPIPE_SZ, 4096);
	ck_assert_int_eq(write(p[1], byte, sizeof(byte)), (ssize_t)sizeof(byte)); /* full */
	s = log_set_new(p[1], true, 1);
	log_access(log_of(s, 0), "n=1");
	log_set_drain(s);                                            /* comes back */
	ck_assert_int_eq(read(log_set_fd(s), &(uint64_t){0}, 8), 8); /* and wants to come again */

	while (got < sizeof(byte) && (n = read(p[0], byte, sizeof(byte) - got)) > 0)
		got += (size_t)n;
	log_set_drain(s);
	n = read(p[0], byte, sizeof(byte) - 1);
	ck_assert_int_gt(n, 0);
	byte[n] = '\0';
	ck_assert_str_eq(byte, "<6>event=\"access\" n=1\n");
	log_set_free(s);
	close(p[0]);
	close(p[1]);
}
END_TEST

START_TEST(a_reader_that_has_gone_costs_the_lines_but_not_the_process)
{
	struct log_set *s;
	int sp[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, sp), 0);
	close(sp[0]);
	s = log_set_new(sp[1], true, 1);
	for (int i = 0; i < 1000; i++)
		log_access(log_of(s, 0), "i=%d", i);
	log_set_drain(s);
	ck_assert_int_lt(read(log_set_fd(s), &(uint64_t){0}, 8), 0); /* nothing is left to do */
	log_set_free(s);
	close(sp[1]);
}
END_TEST

/* ---- threads --------------------------------------------------------------------------------- */

#define LINES_EACH 20000u

static void *write_many(void *arg)
{
	struct log *l = arg;

	for (unsigned i = 0; i < LINES_EACH; i++)
		log_access(l, "log=%p i=%u", arg, i);
	return NULL;
}

/* Every line that arrives is whole, in order for its writer, and kept plus lost is all. */
START_TEST(writers_in_other_threads_lose_nothing_uncounted)
{
	pthread_t thread[RINGS - 1];
	unsigned next[RINGS] = {0}, kept = 0, lost_total = 0;
	static char text[32 * 1024 * 1024];
	struct stat before, after;
	size_t n = 0;
	ssize_t got;

	for (unsigned i = 1; i < RINGS; i++)
		ck_assert_int_eq(
			pthread_create(&thread[i - 1], NULL, write_many, log_of(set, i)), 0);
	while (wait_woken(300))
		log_set_drain(set);
	for (unsigned i = 1; i < RINGS; i++)
		pthread_join(thread[i - 1], NULL);
	while (wait_woken(0))
		log_set_drain(set);
	fstat(out[1], &before);
	log_set_drain(set); /* without having been woken: finds nothing */
	fstat(out[1], &after);
	ck_assert_int_eq(before.st_size, after.st_size);
	while ((got = read(out[0], text + n, sizeof(text) - 1 - n)) > 0)
		n += (size_t)got;
	text[n] = '\0';

	for (char *save = NULL, *line = strtok_r(text, "\n", &save); line;
		line = strtok_r(NULL, "\n", &save)) {
		void *log;
		unsigned i, lost = 0, ring = 1;
		int fields =
			sscanf(line, "<6>event=\"access\" log=%p i=%u lost=%u", &log, &i, &lost);

		ck_assert_int_ge(fields, 2);
		while (ring < RINGS && log_of(set, ring) != log)
			ring++;
		ck_assert_uint_lt(ring, RINGS);
		ck_assert_uint_eq(i, next[ring] + lost);
		next[ring] = i + 1;
		lost_total += lost;
		kept++;
	}
	for (unsigned i = 1; i < RINGS; i++)
		lost_total += LINES_EACH - next[i];
	ck_assert_uint_eq(kept + lost_total, (RINGS - 1) * LINES_EACH);
	ck_assert_uint_gt(kept, 1000);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("log");
	TCase *stamps = tcase_create("stamps");
	TCase *lines_case = tcase_create("lines");
	TCase *readers = tcase_create("readers");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(stamps, with_stamps, end);
	tcase_add_test(stamps, without_systemd_a_line_has_time_and_level);
	suite_add_tcase(s, stamps);

	tcase_add_checked_fixture(lines_case, with_priorities, end);
	tcase_set_timeout(lines_case, 240);
	tcase_add_test(lines_case, under_systemd_a_line_has_a_priority);
	tcase_add_test(lines_case, lines_below_the_level_are_not_written);
	tcase_add_test(lines_case, control_characters_cannot_forge_a_line);
	tcase_add_test(lines_case, text_in_utf8_stays_and_other_bytes_are_escaped);
	tcase_add_test(lines_case, long_lines_are_cut_and_say_so);
	tcase_add_test(lines_case, of_one_event_ten_lines_a_second_are_kept);
	tcase_add_test(lines_case, a_clock_that_goes_back_does_not_silence_an_event);
	tcase_add_test(lines_case, access_and_listed_lines_are_not_limited);
	tcase_add_test(lines_case, a_full_ring_drops_lines_and_the_next_one_counts_them);
	tcase_add_test(lines_case, lines_that_go_around_the_end_of_the_ring_stay_whole);
	tcase_add_test(lines_case, only_the_first_line_in_an_empty_ring_wakes_the_reader);
	tcase_add_test(lines_case, writers_in_other_threads_lose_nothing_uncounted);
	suite_add_tcase(s, lines_case);

	tcase_set_timeout(readers, 240);
	tcase_add_test(readers, a_blocked_pipe_keeps_the_lines_for_later);
	tcase_add_test(readers, a_reader_that_has_gone_costs_the_lines_but_not_the_process);
	suite_add_tcase(s, readers);

	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
