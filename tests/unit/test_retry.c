/* test_retry.c - what may be retried: rule by rule, and as doc/errors.md publishes it. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/exchange/retry.h"
#include "tests/unit/run.h"

static const struct retry_facts unsent_post = {
	.end = RETRY_END_UNSENT,
	.replayable = true,
	.attempts = 1,
};
static const struct retry_facts stale_get = {
	.end = RETRY_END_SILENT,
	.reused = true,
	.idempotent = true,
	.safe = true,
	.replayable = true,
	.attempts = 1,
};

static enum retry_reason safe(const struct retry_facts *f)
{
	return retry_verdict(f, CONF_RETRY_SAFE, 2);
}

/* ---- the rules one by one ---- */

START_TEST(what_was_surely_not_processed_is_sent_again_whatever_its_method)
{
	struct retry_facts f = unsent_post;

	ck_assert_int_eq(safe(&f), RETRY_UNSENT);
	f.end = RETRY_END_REFUSED;
	ck_assert_int_eq(safe(&f), RETRY_REFUSED);
	f.end = RETRY_END_GOAWAY;
	ck_assert_int_eq(safe(&f), RETRY_GOAWAY);
}
END_TEST

START_TEST(never_means_never)
{
	ck_assert_int_eq(retry_verdict(&unsent_post, CONF_RETRY_NEVER, 2), RETRY_NO);
	ck_assert_int_eq(retry_verdict(&stale_get, CONF_RETRY_NEVER, 2), RETRY_NO);
}
END_TEST

START_TEST(a_put_is_repeated_only_when_the_configuration_says_idempotent)
{
	struct retry_facts f = stale_get;

	f.safe = false;
	ck_assert_int_eq(safe(&f), RETRY_NO);
	ck_assert_int_eq(retry_verdict(&f, CONF_RETRY_IDEMPOTENT, 2), RETRY_REUSED_CLOSED);
	f.reused = false;
	ck_assert_int_eq(retry_verdict(&f, CONF_RETRY_IDEMPOTENT, 2), RETRY_IDEMPOTENT);
}
END_TEST

START_TEST(a_post_that_may_have_been_done_is_never_repeated)
{
	struct retry_facts f = stale_get;

	f.safe = f.idempotent = false;
	ck_assert_int_eq(safe(&f), RETRY_NO);
	ck_assert_int_eq(retry_verdict(&f, CONF_RETRY_IDEMPOTENT, 2), RETRY_NO);
}
END_TEST

START_TEST(nothing_is_sent_again_once_the_client_saw_the_answer)
{
	struct retry_facts f = unsent_post;

	f.response_begun = true;
	ck_assert_int_eq(retry_verdict(&f, CONF_RETRY_IDEMPOTENT, 2), RETRY_NO);
}
END_TEST

START_TEST(attempts_are_counted_after_the_first)
{
	struct retry_facts f = unsent_post;

	f.attempts = 2;
	ck_assert_int_eq(safe(&f), RETRY_UNSENT);
	f.attempts = 3;
	ck_assert_int_eq(safe(&f), RETRY_NO);
	f.attempts = 1;
	ck_assert_int_eq(retry_verdict(&f, CONF_RETRY_SAFE, 0), RETRY_NO);
}
END_TEST

START_TEST(a_body_that_is_gone_cannot_be_sent_again)
{
	struct retry_facts f = unsent_post;

	f.replayable = false;
	ck_assert_int_eq(safe(&f), RETRY_NO);
}
END_TEST

START_TEST(nobody_repeats_for_a_client_that_left)
{
	struct retry_facts f = unsent_post;

	f.client_gone = true;
	ck_assert_int_eq(safe(&f), RETRY_NO);
}
END_TEST

START_TEST(what_may_have_been_processed_is_repeated_once)
{
	struct retry_facts f = stale_get;

	f.maybe_processed = true;
	f.attempts = 2;
	ck_assert_int_eq(safe(&f), RETRY_NO);
	ck_assert_int_eq(retry_verdict(&f, CONF_RETRY_IDEMPOTENT, 2), RETRY_NO);
}
END_TEST

START_TEST(connections_that_retire_in_order_may_be_met_more_often)
{
	struct retry_facts f = {.end = RETRY_END_GOAWAY,
		.why = CC_WHY_GOAWAY,
		.answered = true,
		.replayable = true,
		.attempts = 22};

	ck_assert_int_eq(retry_verdict(&f, CONF_RETRY_SAFE, 2), RETRY_GOAWAY);
	f.attempts = 23;
	ck_assert_int_eq(retry_verdict(&f, CONF_RETRY_SAFE, 2), RETRY_NO);
	f.attempts = 3;
	ck_assert_int_eq(retry_verdict(&f, CONF_RETRY_SAFE, 0), RETRY_NO);
	f.why = CC_WHY_CALM;
	ck_assert_int_eq(retry_verdict(&f, CONF_RETRY_SAFE, 2), RETRY_NO);
	f.why = CC_WHY_GOAWAY;
	f.answered = false;
	ck_assert_int_eq(retry_verdict(&f, CONF_RETRY_SAFE, 2), RETRY_NO);
}
END_TEST

START_TEST(attempts_that_were_surely_not_processed_do_not_use_up_that_one)
{
	struct retry_facts f = stale_get;

	f.attempts = 2;
	ck_assert_int_eq(safe(&f), RETRY_REUSED_CLOSED);
}
END_TEST

START_TEST(methods_are_idempotent_and_safe_as_rfc_9110_says)
{
	ck_assert(retry_method_idempotent(CC_STR("GET")));
	ck_assert(retry_method_idempotent(CC_STR("PUT")));
	ck_assert(retry_method_idempotent(CC_STR("DELETE")));
	ck_assert(retry_method_idempotent(CC_STR("OPTIONS")));
	ck_assert(!retry_method_idempotent(CC_STR("POST")));
	ck_assert(!retry_method_idempotent(CC_STR("PATCH")));
	ck_assert(!retry_method_idempotent(CC_STR("get")));
	ck_assert(retry_method_safe(CC_STR("HEAD")));
	ck_assert(!retry_method_safe(CC_STR("PUT")));
}
END_TEST

/* ---- how it ended ---- */

static enum retry_end end_of(int err, enum cc_phase phase, bool unprocessed, enum cc_why why)
{
	struct cc_result res = {.err = err, .phase = phase, .unprocessed = unprocessed, .why = why};

	return retry_end_of(&res);
}

START_TEST(results_are_told_apart)
{
	ck_assert_int_eq(end_of(CC_EEOF, CC_PHASE_QUEUED, true, CC_WHY_NONE), RETRY_END_UNSENT);
	ck_assert_int_eq(end_of(CC_EGOAWAY, CC_PHASE_QUEUED, true, CC_WHY_CALM), RETRY_END_UNSENT);
	ck_assert_int_eq(
		end_of(CC_EREFUSED, CC_PHASE_WAITING, true, CC_WHY_REFUSED), RETRY_END_REFUSED);
	ck_assert_int_eq(
		end_of(CC_EREFUSED, CC_PHASE_WAITING, true, CC_WHY_GOAWAY), RETRY_END_GOAWAY);
	ck_assert_int_eq(
		end_of(CC_EREFUSED, CC_PHASE_WAITING, true, CC_WHY_NONE), RETRY_END_GOAWAY);
	ck_assert_int_eq(
		end_of(CC_EREFUSED, CC_PHASE_WAITING, true, CC_WHY_OTHER), RETRY_END_GOAWAY);
	ck_assert_int_eq(
		end_of(CC_EREFUSED, CC_PHASE_WAITING, true, CC_WHY_CALM), RETRY_END_GOAWAY);
	ck_assert_int_eq(end_of(CC_EEOF, CC_PHASE_WAITING, false, CC_WHY_NONE), RETRY_END_SILENT);
	ck_assert_int_eq(
		end_of(CC_EGOAWAY, CC_PHASE_SENDING, false, CC_WHY_GOAWAY), RETRY_END_SILENT);
	ck_assert_int_eq(end_of(CC_EIO, CC_PHASE_RECEIVING, false, CC_WHY_NONE), RETRY_END_OTHER);
	ck_assert_int_eq(end_of(CC_ERESET, CC_PHASE_WAITING, false, CC_WHY_OTHER), RETRY_END_OTHER);
	ck_assert_int_eq(
		end_of(CC_ETIMEOUT, CC_PHASE_WAITING, false, CC_WHY_NONE), RETRY_END_OTHER);
}
END_TEST

/* ---- pauses ---- */

/* ms at the smallest and the greatest of the random numbers. */
static void assert_pause(unsigned attempts, enum cc_why why, uint64_t least, uint64_t most)
{
	struct retry_facts f = {.attempts = attempts, .why = why};
	uint64_t low = UINT64_MAX, high = 0;

	for (uint64_t random = 0; random < 20000; random++) {
		uint64_t pause = retry_pause(&f, random);

		low = pause < low ? pause : low;
		high = pause > high ? pause : high;
	}
	ck_assert_uint_eq(low, least);
	ck_assert_uint_eq(high, most);
}

START_TEST(the_first_repeat_goes_at_once_the_others_wait_longer_each_time)
{
	assert_pause(1, CC_WHY_NONE, 0, 0);
	assert_pause(2, CC_WHY_NONE, 75, 125);
	assert_pause(3, CC_WHY_NONE, 150, 250);
	assert_pause(6, CC_WHY_NONE, 1200, 2000);
	assert_pause(10, CC_WHY_NONE, 1200, 2000);
}
END_TEST

START_TEST(a_server_that_asks_for_calm_gets_it)
{
	assert_pause(1, CC_WHY_CALM, 750, 1250);
	assert_pause(2, CC_WHY_CALM, 1500, 2500);
	assert_pause(10, CC_WHY_CALM, 12000, 20000);
}
END_TEST

/* ---- the published table ---- */

enum column { ENDED = 1, CONNECTION, METHOD, NEVER, SAFE, IDEMPOTENT, BUDGET, RETRY_SAFE, COLUMNS };

#define CELL 80

/* Splits "| a | b |"; how many there are. */
static int split(const char *line, char cell[COLUMNS + 1][CELL])
{
	int n = 0;

	while (*line == '|' && n < COLUMNS) {
		size_t len = strcspn(++line, "|\n");
		const char *from = line + strspn(line, " ");
		size_t text = line[len] == '|' ? len - (size_t)(from - line) : 0;

		if (line[len] != '|')
			break;
		if (from > line + len)
			text = 0;
		while (text > 0 && from[text - 1] == ' ')
			text--;
		ck_assert_uint_lt(text, CELL);
		memcpy(cell[++n], from, text);
		cell[n][text] = '\0';
		line += len;
	}
	return n;
}

static void set_end(struct retry_facts *f, const char *ended)
{
	static const struct {
		const char *word;
		enum retry_end end;
	} words[] = {
		{"unsent", RETRY_END_UNSENT},
		{"refused", RETRY_END_REFUSED},
		{"goaway", RETRY_END_GOAWAY},
		{"goaway with an error", RETRY_END_GOAWAY},
		{"silent", RETRY_END_SILENT},
		{"otherwise", RETRY_END_OTHER},
		{"response begun", RETRY_END_SILENT},
	};
	size_t i = 0;

	while (strcmp(words[i].word, ended) != 0)
		ck_assert_msg(++i < sizeof(words) / sizeof(*words), "unknown: %s", ended);
	f->end = words[i].end;
	f->response_begun = strcmp(ended, "response begun") == 0;
	f->why = f->end == RETRY_END_REFUSED ? CC_WHY_REFUSED
	         : strstr(ended, "error")    ? CC_WHY_CALM
	                                     : CC_WHY_GOAWAY;
}

/* Is a connection of these facts meant by the words? */
static bool connection_fits(const struct retry_facts *f, const char *words)
{
	if (strcmp(words, "after SETTINGS") == 0)
		return !f->before_settings;
	if (strcmp(words, "before SETTINGS") == 0)
		return f->before_settings;
	if (strcmp(words, "answered") == 0)
		return f->answered;
	if (strcmp(words, "never answered") == 0)
		return !f->answered;
	if (strcmp(words, "fresh") == 0)
		return !f->reused;
	if (strcmp(words, "any") == 0)
		return true;
	ck_assert_msg(strncmp(words, "reused", 6) == 0, "unknown: %s", words);
	if (strstr(words, "HTTP/"))
		return f->reused && f->multiplexed == (strstr(words, "HTTP/2") != NULL);
	return f->reused;
}

static bool method_fits(const char *method, const char *words)
{
	return strcmp(words, "any") == 0 || strstr(words, method) ||
	       (strstr(words, "others") && strcmp(method, "LINK") == 0);
}

static bool repeats(const char *cell)
{
	ck_assert_msg(
		strcmp(cell, "yes") == 0 || strcmp(cell, "once") == 0 || strcmp(cell, "no") == 0,
		"unknown: %s", cell);
	return strcmp(cell, "no") != 0;
}

static void assert_policy(const struct retry_facts *f, enum conf_retry policy, const char *cell)
{
	struct retry_facts again = *f;

	ck_assert_msg((retry_verdict(f, policy, 2) != RETRY_NO) == repeats(cell), "%s", cell);
	again.maybe_processed = true;
	ck_assert_msg((retry_verdict(&again, policy, 2) != RETRY_NO) == (strcmp(cell, "yes") == 0),
		"%s, a second time", cell);
}

/* One case of a row: the code decides as it is written. */
static void assert_case(const struct retry_facts *f, char cell[COLUMNS + 1][CELL])
{
	bool unprocessed = f->end >= RETRY_END_UNSENT && !f->response_begun;

	assert_policy(f, CONF_RETRY_NEVER, cell[NEVER]);
	assert_policy(f, CONF_RETRY_SAFE, cell[SAFE]);
	assert_policy(f, CONF_RETRY_IDEMPOTENT, cell[IDEMPOTENT]);
	if (repeats(cell[IDEMPOTENT]))
		ck_assert_msg(retry_costs(f) == (strcmp(cell[BUDGET], "pays") == 0), "%s: %s",
			cell[ENDED], cell[CONNECTION]);
	ck_assert_msg(unprocessed == (strcmp(cell[RETRY_SAFE], "yes") == 0), "%s", cell[ENDED]);
}

static const char *const methods[] = {
	"GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE", "POST", "PATCH", "LINK"};

#define METHODS     (sizeof(methods) / sizeof(*methods))
#define CONNECTIONS 16u

/* All connections and methods that a row is about; seen: once each, of each end. */
static void assert_row(char cell[COLUMNS + 1][CELL], unsigned seen[CONNECTIONS][METHODS])
{
	struct retry_facts f = {.replayable = true, .attempts = 1};

	set_end(&f, cell[ENDED]);
	for (unsigned c = 0; c < CONNECTIONS; c++) {
		f.reused = c & 1;
		f.multiplexed = c & 2;
		f.before_settings = c & 4;
		f.answered = c & 8;
		if (!connection_fits(&f, cell[CONNECTION]))
			continue;
		for (size_t m = 0; m < METHODS; m++) {
			struct cc_str method = {methods[m], strlen(methods[m])};

			f.idempotent = retry_method_idempotent(method);
			f.safe = retry_method_safe(method);
			if (!method_fits(methods[m], cell[METHOD]))
				continue;
			assert_case(&f, cell);
			seen[c][m]++;
		}
	}
}

static void assert_all_seen_once(const char *ended, unsigned seen[CONNECTIONS][METHODS])
{
	for (unsigned c = 0; c < CONNECTIONS; c++)
		for (size_t m = 0; m < METHODS; m++)
			ck_assert_msg(seen[c][m] == 1, "%s, connection %u, %s: in %u rows", ended,
				c, methods[m], seen[c][m]);
	memset(seen, 0, CONNECTIONS * sizeof(seen[0]));
}

static FILE *open_table(void)
{
	const char *src = getenv("srcdir");
	char path[512];
	FILE *f;

	snprintf(path, sizeof(path), "%s/doc/errors.md", src ? src : ".");
	f = fopen(path, "re");
	ck_assert_msg(f != NULL, "%s: cannot be read", path);
	return f;
}

START_TEST(the_published_table_is_what_the_code_does)
{
	static unsigned seen[CONNECTIONS][METHODS];
	char line[512], cell[COLUMNS + 1][CELL], ended[CELL] = "";
	FILE *f = open_table();
	bool inside = false;
	unsigned rows = 0;

	while (fgets(line, sizeof(line), f)) {
		int n = split(line, cell);

		if (n == COLUMNS - 1 && strcmp(cell[ENDED], "the attempt ended") == 0)
			inside = fgets(line, sizeof(line), f) != NULL; /* the rule below it */
		else if (inside && n != COLUMNS - 1)
			break;
		else if (inside) {
			if (rows > 0 && strcmp(ended, cell[ENDED]) != 0)
				assert_all_seen_once(ended, seen);
			strcpy(ended, cell[ENDED]);
			assert_row(cell, seen);
			rows++;
		}
	}
	fclose(f);
	ck_assert_uint_gt(rows, 10);
	assert_all_seen_once(ended, seen);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("retry");
	TCase *c = tcase_create("verdict");

	tcase_add_test(c, what_was_surely_not_processed_is_sent_again_whatever_its_method);
	tcase_add_test(c, never_means_never);
	tcase_add_test(c, a_put_is_repeated_only_when_the_configuration_says_idempotent);
	tcase_add_test(c, a_post_that_may_have_been_done_is_never_repeated);
	tcase_add_test(c, nothing_is_sent_again_once_the_client_saw_the_answer);
	tcase_add_test(c, attempts_are_counted_after_the_first);
	tcase_add_test(c, a_body_that_is_gone_cannot_be_sent_again);
	tcase_add_test(c, nobody_repeats_for_a_client_that_left);
	tcase_add_test(c, what_may_have_been_processed_is_repeated_once);
	tcase_add_test(c, connections_that_retire_in_order_may_be_met_more_often);
	tcase_add_test(c, attempts_that_were_surely_not_processed_do_not_use_up_that_one);
	tcase_add_test(c, methods_are_idempotent_and_safe_as_rfc_9110_says);
	tcase_add_test(c, results_are_told_apart);
	tcase_add_test(c, the_first_repeat_goes_at_once_the_others_wait_longer_each_time);
	tcase_add_test(c, a_server_that_asks_for_calm_gets_it);
	tcase_add_test(c, the_published_table_is_what_the_code_does);
	suite_add_tcase(s, c);
	return run_suite_together(s);
}
