/* test_report.c - how counters are printed. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/stats.h"
#include "daemon/control/report.h"
#include "tests/unit/run.h"

static struct pool_stats large;

/* Numbers of a busy year. */
static void fill(uint64_t *n, size_t count)
{
	for (size_t i = 0; i < count; i++)
		n[i] = UINT64_C(12345678901) + i;
}

static const struct pool_stats *busy(void)
{
	memset(&large, 0, sizeof(large));
#define X(name, text) fill(&large.name, 1);
	POOL_COUNTERS(X)
#undef X
	fill(large.retried_by, RETRY_REASON_COUNT);
	fill(large.rejected_by, REJECT_REASON_COUNT);
	fill(large.closed_by, CLOSE_CAUSE_COUNT);
	for (int i = 0; i < 100; i++)
		histogram_add(&large.first_byte, 1000u * (unsigned)(i + 1));
	return &large;
}

static char *printed(enum report_part part)
{
	struct stats_view v = {
		.worker = 63,
		.upstream = "a-name-of-an-upstream-that-is-as-long-as-names-are-allowed-to-be",
		.now = {.waiting = 1000000, .running = 7, .addresses = 64, .ejected = 32},
		.counters = *busy(),
	};
	char *json = report_pool_json(&v, part);

	ck_assert_ptr_nonnull(json);
	return json;
}

/* A line of the log has 1 KiB, and something stands before the JSON. */
START_TEST(each_part_of_the_counters_fits_in_a_line_of_the_log)
{
	for (int part = 0; part < REPORT_PARTS; part++) {
		char *json = printed((enum report_part)part);

		ck_assert_msg(strlen(json) < 850, "%zu: %s", strlen(json), json);
		ck_assert_ptr_null(strchr(json, '\n'));
		free(json);
	}
}
END_TEST

static void assert_printed(enum report_part part, const char *text)
{
	char *json = printed(part);

	ck_assert_msg(strstr(json, text) != NULL, "%s: %s", text, json);
	free(json);
}

START_TEST(reasons_and_quantiles_are_printed_by_name)
{
	assert_printed(REPORT_COUNTS, "\"running\":7");
	assert_printed(REPORT_COUNTS, "\"goaway\":12345678904");
	assert_printed(REPORT_REJECTED, "\"queue_full\":12345678906");
	assert_printed(REPORT_CLOSED, "\"goaway\":");
	assert_printed(REPORT_DURATIONS, "\"first_byte\":{\"count\":100,");
	assert_printed(REPORT_DURATIONS, "\"max_us\":100000}");
}
END_TEST

START_TEST(a_worker_tells_what_came_to_no_upstream)
{
	struct worker_stats w = {.unrouted = 3, .rejected_by = {[REJECT_UNROUTED] = 3}};
	char *json = report_worker_json(2, &w);

	ck_assert_ptr_nonnull(json);
	ck_assert_msg(strlen(json) < 850, "%s", json);
	ck_assert_msg(
		strstr(json, "\"worker\":2,") && strstr(json, "{\"bad_request\":0,"), "%s", json);
	free(json);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("report");
	TCase *c = tcase_create("json");

	tcase_add_test(c, each_part_of_the_counters_fits_in_a_line_of_the_log);
	tcase_add_test(c, reasons_and_quantiles_are_printed_by_name);
	tcase_add_test(c, a_worker_tells_what_came_to_no_upstream);
	suite_add_tcase(s, c);
	return run_suite(s);
}
