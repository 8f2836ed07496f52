/*
 * test_reload.c - a new configuration comes into force completely or not at all.
 *
 * conf, listeners, workers and systemd are stand-ins of this file that count references and calls.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/base/conf.h"
#include "daemon/base/log.h"
#include "daemon/control/notify.h"
#include "daemon/control/reload.h"
#include "daemon/listen/listener.h"
#include "daemon/worker/worker.h"

#define WORKERS 2

struct worker {
	unsigned configured; /* how often */
	struct conf *conf;
};

/* What the reload wants to hear from each worker. */
static configured_fn *on_configured;

struct listener_set {
	int refs;
};

static struct {
	struct conf conf[4]; /* what conf_load gives, one after the other */
	int conf_refs[4];
	unsigned loads;
	const char *load_error; /* conf_load fails with it */
	struct listener_set listeners[4];
	unsigned opens;
	const char *open_error;
	unsigned retired;
	struct worker worker[WORKERS];
	char said[8][256]; /* to systemd */
	unsigned said_count;
} w;

static struct log_set *logs;
static int log_file;
static struct reload *r;

/* ---- stand-ins ------------------------------------------------------------------------------ */

struct conf *conf_load(const char *path, const struct conf_cli *cli, char **errors, char **warnings)
{
	unsigned i = w.loads + 1; /* 0 is in force at the start */

	ck_assert_str_eq(path, "/the/file");
	ck_assert_ptr_null(cli);
	*errors = NULL;
	*warnings = NULL;
	if (w.load_error) {
		*errors = strdup(w.load_error);
		return NULL;
	}
	w.loads++;
	w.conf_refs[i]++;
	return &w.conf[i];
}

void conf_unref(struct conf *c)
{
	if (c)
		w.conf_refs[c - w.conf]--;
}

struct listener_set *listener_set_open(const struct conf *conf, const struct listener_fd *inherited,
	unsigned inherited_count, struct listener_set *old, char **error)
{
	unsigned i = w.opens + 1;

	(void)conf, (void)inherited, (void)inherited_count;
	ck_assert_ptr_eq(old, reload_listeners(r));
	if (w.open_error) {
		*error = strdup(w.open_error);
		return NULL;
	}
	w.opens++;
	w.listeners[i].refs++;
	return &w.listeners[i];
}

void listener_set_unref(struct listener_set *s)
{
	if (s)
		s->refs--;
}

void listener_set_retire(struct listener_set *s, const struct listener_set *keep)
{
	ck_assert_ptr_ne(s, keep);
	w.retired++;
}

void worker_configure(struct worker *worker, struct conf *conf, struct listener_set *listeners,
	configured_fn *configured, void *arg)
{
	ck_assert_ptr_eq(listeners, reload_listeners(r));
	ck_assert_ptr_eq(arg, r);
	on_configured = configured;
	worker->configured++;
	worker->conf = conf;
}

static void say(const char *what, const char *text)
{
	ck_assert_uint_lt(w.said_count, 8);
	snprintf(w.said[w.said_count++], sizeof(w.said[0]), "%s%s", what, text);
}

void notify_ready(struct notify *n, const char *status)
{
	(void)n;
	say("READY ", status);
}

void notify_reloading(struct notify *n)
{
	(void)n;
	say("RELOADING", "");
}

const struct listener_fd *notify_sockets(const struct notify *n, unsigned *count)
{
	(void)n;
	*count = 0;
	return NULL;
}

/* ---- fixture --------------------------------------------------------------- */

static struct worker *const workers[WORKERS] = {&w.worker[0], &w.worker[1]};

static void begin(void)
{
	char path[] = "/tmp/test_reload.XXXXXX";
	struct reload_opts opts = {.path = "/the/file", .workers = workers};

	memset(&w, 0, sizeof(w));
	for (int i = 0; i < 4; i++)
		w.conf[i] = (struct conf){.workers = WORKERS,
			.upstream_count = (unsigned)i + 1,
			.listener_count = 1,
			.log_level = LOG_LEVEL_INFO};
	w.conf_refs[0] = 1;
	w.listeners[0].refs = 1;
	log_file = mkstemp(path);
	ck_assert_int_ge(log_file, 0);
	unlink(path);
	logs = log_set_new(log_file, true, 1);
	opts.logs = logs;
	opts.log = log_of(logs, 0);
	r = reload_new(&opts, &w.conf[0], &w.listeners[0]);
	ck_assert_ptr_nonnull(r);
}

static void end(void)
{
	reload_free(r);
	for (int i = 0; i < 4; i++) {
		ck_assert_int_eq(w.conf_refs[i], 0);
		ck_assert_int_eq(w.listeners[i].refs, 0);
	}
	log_set_free(logs);
	close(log_file);
}

/* One worker has it. */
static void configured(bool complete)
{
	on_configured(complete, r);
}

static const char *logged(void)
{
	static char text[65536];
	ssize_t n;

	log_set_drain(logs);
	n = pread(log_file, text, sizeof(text) - 1, 0);
	ck_assert_int_ge(n, 0);
	text[n] = '\0';
	return text;
}

static void unchanged(void)
{
	ck_assert_ptr_eq(reload_conf(r), &w.conf[0]);
	ck_assert_ptr_eq(reload_listeners(r), &w.listeners[0]);
	ck_assert_uint_eq(w.worker[0].configured + w.worker[1].configured, 0);
	ck_assert_uint_eq(w.retired, 0);
	ck_assert_uint_eq(w.said_count, 2);
	ck_assert_str_eq(w.said[0], "RELOADING");
	ck_assert_ptr_eq(strstr(w.said[1], "READY Reload failed"), w.said[1]);
}

/* ---- tests ----------------------------------------------------------------- */

START_TEST(ready_is_said_when_the_last_worker_has_it)
{
	reload_begin(r);
	ck_assert_ptr_eq(reload_conf(r), &w.conf[1]);
	for (int i = 0; i < WORKERS; i++) {
		ck_assert_uint_eq(w.worker[i].configured, 1);
		ck_assert_ptr_eq(w.worker[i].conf, &w.conf[1]);
	}
	ck_assert_uint_eq(w.retired, 1);

	configured(true);
	ck_assert_uint_eq(w.said_count, 1);
	ck_assert_int_eq(w.conf_refs[0], 1);
	configured(true);
	ck_assert_uint_eq(w.said_count, 2);
	ck_assert_str_eq(w.said[0], "RELOADING");
	ck_assert_str_eq(w.said[1], "READY Serving 2 upstreams on 1 socket.");
	ck_assert_int_eq(w.conf_refs[0], 0);
	ck_assert_int_eq(w.listeners[0].refs, 0);
	ck_assert_ptr_nonnull(strstr(logged(), "event=\"reloaded\" listeners=1 upstreams=2"));
}
END_TEST

START_TEST(a_file_with_errors_changes_nothing_and_all_of_them_are_logged)
{
	static char errors[2048];
	unsigned count = 0;

	for (int i = 0; i < 15; i++)
		sprintf(errors + strlen(errors), "f:%d: x: \"y\" is wrong\n", i);
	w.load_error = errors;
	reload_begin(r);
	unchanged();
	ck_assert_ptr_nonnull(strstr(w.said[1], "f:0: x: 'y' is wrong"));
	ck_assert_ptr_null(strchr(w.said[1], '\n'));
	for (const char *p = logged();
		(p = strstr(p, "<3>event=\"configuration error\" text=\"f:")); p++)
		count++;
	ck_assert_uint_eq(count, 15);
	ck_assert_ptr_nonnull(strstr(logged(), "event=\"reload failed\""));
}
END_TEST

START_TEST(another_number_of_workers_needs_a_restart)
{
	w.conf[1].workers = WORKERS + 1;
	reload_begin(r);
	unchanged();
	ck_assert_ptr_nonnull(strstr(logged(), "daemon.workers: cannot change from 2 to 3"));
	ck_assert_int_eq(w.conf_refs[1], 0);
}
END_TEST

START_TEST(a_socket_that_cannot_be_opened_changes_nothing)
{
	w.open_error = "listener b: cannot";
	reload_begin(r);
	unchanged();
	ck_assert_ptr_nonnull(strstr(logged(), "text=\"listener b: cannot\""));
	ck_assert_int_eq(w.conf_refs[1], 0);
}
END_TEST

START_TEST(after_a_failure_the_next_reload_works)
{
	w.load_error = "f:1: wrong";
	reload_begin(r);
	w.load_error = NULL;
	reload_begin(r);
	configured(true);
	configured(true);
	ck_assert_ptr_eq(reload_conf(r), &w.conf[1]);
	ck_assert_str_eq(w.said[3], "READY Serving 2 upstreams on 1 socket.");
}
END_TEST

START_TEST(reload_that_a_worker_has_no_memory_for_is_not_called_done)
{
	reload_begin(r);
	configured(false);
	configured(true);
	ck_assert_ptr_eq(strstr(w.said[1], "READY Reload incomplete"), w.said[1]);
	ck_assert_ptr_nonnull(strstr(logged(), "<3>event=\"reload failed\""));
	ck_assert_ptr_null(strstr(logged(), "event=\"reloaded\""));
	reload_begin(r);
	configured(true);
	configured(true);
	ck_assert_str_eq(w.said[3], "READY Serving 3 upstreams on 1 socket.");
}
END_TEST

START_TEST(a_signal_during_a_reload_starts_one_more_after_it)
{
	reload_begin(r);
	reload_begin(r);
	reload_begin(r);
	ck_assert_uint_eq(w.loads, 1);
	configured(true);
	configured(true);
	ck_assert_uint_eq(w.loads, 2);
	ck_assert_ptr_eq(reload_conf(r), &w.conf[2]);
	configured(true);
	configured(true);
	ck_assert_uint_eq(w.loads, 2);
	ck_assert_str_eq(w.said[w.said_count - 1], "READY Serving 3 upstreams on 1 socket.");
	ck_assert_int_eq(w.conf_refs[1], 0);
}
END_TEST

START_TEST(a_daemon_that_stops_does_not_say_ready_and_does_not_reload)
{
	reload_begin(r);
	reload_begin(r);
	reload_end(r);
	configured(true);
	configured(true);
	reload_begin(r);
	ck_assert_uint_eq(w.loads, 1);
	ck_assert_uint_eq(w.said_count, 1);
	ck_assert_int_eq(w.conf_refs[0], 0);
}
END_TEST

START_TEST(the_level_of_the_log_changes_at_once)
{
	w.conf[1].log_level = LOG_LEVEL_ERROR;
	reload_begin(r);
	ck_assert(!log_enabled(log_of(logs, 0), LOG_LEVEL_WARNING));
	configured(true);
	configured(true);
}
END_TEST

START_TEST(lines_are_taken_one_by_one_without_empty_ones)
{
	char text[] = "\none\n\ntwo", empty[] = "";
	char *p = text, *e = empty, *none = NULL;

	ck_assert_str_eq(next_line(&p), "one");
	ck_assert_str_eq(next_line(&p), "two");
	ck_assert_ptr_null(next_line(&p));
	ck_assert_ptr_null(next_line(&p));
	ck_assert_ptr_null(next_line(&e));
	ck_assert_ptr_null(next_line(&none));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("reload");
	TCase *tc = tcase_create("reload");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(tc, begin, end);
	tcase_add_test(tc, ready_is_said_when_the_last_worker_has_it);
	tcase_add_test(tc, a_file_with_errors_changes_nothing_and_all_of_them_are_logged);
	tcase_add_test(tc, another_number_of_workers_needs_a_restart);
	tcase_add_test(tc, a_socket_that_cannot_be_opened_changes_nothing);
	tcase_add_test(tc, after_a_failure_the_next_reload_works);
	tcase_add_test(tc, reload_that_a_worker_has_no_memory_for_is_not_called_done);
	tcase_add_test(tc, a_signal_during_a_reload_starts_one_more_after_it);
	tcase_add_test(tc, a_daemon_that_stops_does_not_say_ready_and_does_not_reload);
	tcase_add_test(tc, the_level_of_the_log_changes_at_once);
	tcase_add_test(tc, lines_are_taken_one_by_one_without_empty_ones);
	suite_add_tcase(s, tc);

	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
