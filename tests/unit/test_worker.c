/*
 * test_worker.c - two workers under this test's commands, which may come to one long before the
 * other.
 *
 * The test is the control thread. Real clients, a real server; memory fails when the test says so.
 */
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>

#include "daemon/base/conf.h"
#include "daemon/base/log.h"
#include "daemon/base/mailbox.h"
#include "daemon/control/report.h"
#include "daemon/control/watch.h"
#include "daemon/listen/listener.h"
#include "daemon/pool/pool.h"
#include "daemon/worker/worker.h"
#include "tests/daemon/harness.h"

#define WORKERS 2

/* Upstreams by the worker that is their home. */
static const char *const homes[WORKERS] = {"gamma", "origin"};

static struct {
	struct event_base *base;
	struct worker_owner owner;
	struct log_set *logs;
	int log_fd;
	struct conf *conf;
	struct listener_set *listeners;
	struct worker *workers[WORKERS];
	unsigned configured, stopped, reported;
	struct watch *watch;
	bool complete; /* what was configured last */
} t;

static struct conf *next_conf;
static struct listener_set *next_listeners;

/* ---- stand-ins, by the linker (--wrap) ------------------------------------------------------- */

static _Thread_local bool no_memory;

void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);

void *__wrap_calloc(size_t n, size_t size)
{
	return no_memory ? NULL : __real_calloc(n, size);
}

/* The upstream for whose pool, new or changed, there is no memory; "": for all there is. */
static char *_Atomic poor = "";

/* A worker that changes a pool stays there while the test wants it. */
static atomic_bool hold, held;

static void hold_here(void)
{
	for (uint64_t until = harness_now() + PATIENCE; hold && harness_now() < until;) {
		held = true;
		harness_nap();
	}
	held = false;
}

typedef int pool_new_fn(struct cc_ctx *ctx, struct log *log, struct conf *conf,
	const struct conf_upstream *up, const struct pool_owner *owner, bool home,
	struct pool **ret);
typedef int pool_reconfigure_fn(
	struct pool *pool, struct conf *conf, const struct conf_upstream *up);

pool_new_fn __real_pool_new, __wrap_pool_new;
pool_reconfigure_fn __real_pool_reconfigure, __wrap_pool_reconfigure;

int __wrap_pool_new(struct cc_ctx *ctx, struct log *log, struct conf *conf,
	const struct conf_upstream *up, const struct pool_owner *owner, bool home,
	struct pool **ret)
{
	if (strcmp(up->name, poor) == 0)
		return CC_ENOMEM;
	return __real_pool_new(ctx, log, conf, up, owner, home, ret);
}

int __wrap_pool_reconfigure(struct pool *pool, struct conf *conf, const struct conf_upstream *up)
{
	hold_here();
	if (strcmp(up->name, poor) == 0)
		return CC_ENOMEM;
	return __real_pool_reconfigure(pool, conf, up);
}

/* ---- the control thread ---------------------------------------------------- */

static void on_configured(bool complete, void *arg)
{
	(void)arg;
	t.complete = complete;
	t.configured++;
}

static void on_stopped(unsigned worker, void *arg)
{
	(void)arg;
	if (t.watch)
		watch_stopped(t.watch, worker);
	t.stopped++;
}

static void on_reported(unsigned worker, struct worker_report *r, void *arg)
{
	(void)worker, (void)arg;
	report_log(t.logs, r);
	worker_report_free(r);
	t.reported++;
}

/* What the workers have answered so far. */
static void hear(void)
{
	event_base_loop(t.base, EVLOOP_NONBLOCK);
	log_set_drain(t.logs);
}

static void hear_for(unsigned ms)
{
	for (uint64_t until = harness_now() + ms; harness_now() < until; harness_nap())
		hear();
}

static bool logged(const char *what)
{
	hear();
	return strstr(file_text(text("%s/log", harness_dir())), what) != NULL;
}

static struct conf *conf_of(const char *config_text)
{
	char *errors = NULL, *warnings = NULL;
	struct conf *conf;

	daemon_rewrite(text("daemon : { workers = %d; };\n%s", WORKERS, config_text));
	conf = conf_load(daemon_config(), NULL, &errors, &warnings);
	ck_assert_msg(conf != NULL, "%s", errors ? errors : "");
	free(errors);
	free(warnings);
	return conf;
}

static struct listener_set *listeners_of(struct conf *conf, struct listener_set *old)
{
	char *error;
	struct listener_set *s = listener_set_open(conf, NULL, 0, old, &error);

	ck_assert_msg(s != NULL, "%s", error ? error : "");
	return s;
}

/* Both workers run, and accept nobody yet. */
static void start(const char *config_text)
{
	char *error = NULL;

	t.log_fd = open(text("%s/log", harness_dir()), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	t.logs = log_set_new(t.log_fd, false, 1 + WORKERS);
	t.base = event_base_new();
	t.owner = (struct worker_owner){mailbox_new(t.base, NULL), on_stopped, on_reported, NULL};
	t.conf = conf_of(config_text);
	t.listeners = listeners_of(t.conf, NULL);
	for (unsigned i = 0; i < WORKERS; i++) {
		t.workers[i] = worker_start(
			i, t.conf, t.listeners, log_of(t.logs, 1 + i), &t.owner, &error);
		ck_assert_msg(t.workers[i] != NULL, "%s", error ? error : "");
	}
}

static void introduce(unsigned i)
{
	worker_introduce(t.workers[i], t.workers);
}

/* The next configuration, which the workers hear of one by one. */
static void next(const char *config_text)
{
	listener_set_unref(next_listeners);
	conf_unref(next_conf);
	next_conf = conf_of(config_text);
	next_listeners = listeners_of(next_conf, t.listeners);
	listener_set_retire(t.listeners, next_listeners);
}

static void configure(unsigned i)
{
	unsigned before = t.configured;

	worker_configure(t.workers[i], next_conf, next_listeners, on_configured, NULL);
	WAIT_FOR((hear(), t.configured == before + 1));
}

static void wait_for_end(void)
{
	WAIT_FOR((hear(), t.stopped == WORKERS));
}

static void end(void)
{
	for (unsigned i = 0; i < WORKERS; i++)
		worker_stop(t.workers[i]);
	wait_for_end();
	for (unsigned i = 0; i < WORKERS; i++)
		worker_join(t.workers[i]);
	mailbox_free(t.owner.mailbox);
	listener_set_unref(t.listeners);
	listener_set_unref(next_listeners);
	conf_unref(t.conf);
	conf_unref(next_conf);
	log_set_drain(t.logs);
	log_set_free(t.logs);
	close(t.log_fd);
	event_base_free(t.base);
}

static char *upstreams(const struct origin *o, const char *more)
{
	return text("%s, %s", upstream(homes[0], o, more), upstream(homes[1], o, more));
}

/* ---- clients --------------------------------------------------------------- */

static struct client *asks(const char *path, const char *host)
{
	struct client *c = client_open_at(path);

	client_say(c, "GET /slow/100 HTTP/1.1\r\nHost: %s\r\n\r\n", host);
	return c;
}

/* A client for each home: at least one of them has to be handed over. */
static void ask_both(struct client *c[WORKERS], const char *path)
{
	for (unsigned i = 0; i < WORKERS; i++)
		c[i] = asks(path, homes[i]);
}

static bool has_heard(const struct client *c)
{
	struct pollfd p = {.fd = c->fd, .events = POLLIN};

	hear();
	return poll(&p, 1, 0) == 1;
}

static void assert_answered(struct client *c, unsigned status)
{
	WAIT_FOR(has_heard(c));
	ck_assert_uint_eq(client_answer(c).status, status);
	client_close(c);
}

static void assert_served(struct client *c)
{
	assert_answered(c, 200);
}

static void assert_both_served(struct client *c[WORKERS])
{
	for (unsigned i = 0; i < WORKERS; i++)
		assert_served(c[i]);
}

static void assert_serves_both(const char *path)
{
	struct client *c[WORKERS];

	ask_both(c, path);
	assert_both_served(c);
}

/* Both accept. */
static void start_serving(const char *config_text)
{
	start(config_text);
	for (unsigned i = 0; i < WORKERS; i++)
		introduce(i);
	assert_serves_both(daemon_socket());
}

static const char *second_socket(void)
{
	return text("%s/second.sock", harness_dir());
}

static char *two_listeners(const char *upstreams)
{
	return text("listeners = ( { name = \"main\"; path = \"%s\"; },\n"
		    "{ name = \"second\"; path = \"%s\"; } );\nupstreams = ( %s );\n",
		daemon_socket(), second_socket(), upstreams);
}

/* ---- tests ----------------------------------------------------------------- */

START_TEST(no_command_is_lost_for_want_of_memory)
{
	start(config("", upstreams(h1_origin(), "")));
	no_memory = true;
	for (unsigned i = 0; i < WORKERS; i++)
		introduce(i);
	no_memory = false;
	assert_served(asks(daemon_socket(), homes[0]));
	no_memory = true;
	for (unsigned i = 0; i < WORKERS; i++) {
		worker_configure(t.workers[i], t.conf, t.listeners, on_configured, NULL);
		worker_report(t.workers[i]);
	}
	no_memory = false;
	WAIT_FOR((hear(), t.configured == WORKERS));
	WAIT_FOR(logged("event=\"counters\""));
	no_memory = true;
	for (unsigned i = 0; i < WORKERS; i++)
		worker_drain(t.workers[i], 0);
	no_memory = false;
	wait_for_end();
	no_memory = true;
	end();
	no_memory = false;
}
END_TEST

#define WHILE 200 /* ms: what was wrong happened at once */

START_TEST(nobody_accepts_before_all_can_take_clients_over)
{
	struct client *c[WORKERS];

	start(config("", upstreams(h1_origin(), "")));
	ask_both(c, daemon_socket());
	introduce(_i);
	hear_for(WHILE);
	for (unsigned i = 0; i < WORKERS; i++)
		ck_assert(!has_heard(c[i]));
	introduce(!_i);
	assert_both_served(c);
	end();
}
END_TEST

START_TEST(new_listener_serves_nobody_before_all_have_it)
{
	char *ups = upstreams(h1_origin(), "");
	struct client *c[WORKERS];

	start_serving(config("", ups));
	next(two_listeners(ups));
	ask_both(c, second_socket());
	configure(_i);
	hear_for(WHILE);
	for (unsigned i = 0; i < WORKERS; i++)
		ck_assert(!has_heard(c[i]));
	assert_serves_both(daemon_socket());
	configure(!_i);
	assert_both_served(c);
	end();
}
END_TEST

/* One worker alone accepts there, and hands over to one that does no more. */
START_TEST(client_that_is_handed_to_a_removed_listener_is_served)
{
	char *ups = upstreams(h1_origin(), "");

	start_serving(two_listeners(ups));
	next_conf = conf_of(config("", ups));
	next_listeners = listeners_of(next_conf, t.listeners);
	configure(_i);
	assert_serves_both(second_socket());
	configure(!_i);
	listener_set_retire(t.listeners, next_listeners);
	assert_serves_both(daemon_socket());
	end();
}
END_TEST

START_TEST(client_that_is_handed_to_a_worker_that_drains_is_served)
{
	start_serving(config("", upstreams(h1_origin(), "")));
	worker_drain(t.workers[_i], 0);
	hear_for(WHILE);
	assert_serves_both(daemon_socket());
	ck_assert_uint_eq(t.stopped, 0);
	worker_drain(t.workers[!_i], 0);
	wait_for_end();
	end();
}
END_TEST

/* The other one may have to ask it for its upstreams. */
START_TEST(worker_without_clients_stays_until_the_other_has_none)
{
	struct origin *o = h1_origin();
	struct client *c;

	start_serving(config("", upstreams(o, "")));
	c = client_open();
	client_say(c, "GET /hold/3 HTTP/1.1\r\nHost: %s\r\n\r\n", homes[_i]);
	WAIT_FOR(origin_counts(o).requests == WORKERS + 1);
	for (unsigned i = 0; i < WORKERS; i++)
		worker_drain(t.workers[i], 0);
	hear_for(WHILE);
	ck_assert_uint_eq(t.stopped, 0);
	origin_release(o);
	assert_served(c);
	wait_for_end();
	end();
}
END_TEST

START_TEST(drain_timeout_and_stop_wait_for_nobody)
{
	start_serving(config("", upstreams(h1_origin(), "")));
	worker_drain(t.workers[_i], 1);
	WAIT_FOR((hear(), t.stopped == 1));
	worker_stop(t.workers[!_i]);
	wait_for_end();
	end();
}
END_TEST

/* As when SIGTERM comes while a reload runs: one commit is for both. */
START_TEST(drain_overtakes_a_reload_that_only_one_has_heard_of)
{
	char *ups = upstreams(h1_origin(), "");

	start_serving(config("", ups));
	next(two_listeners(ups));
	configure(_i);
	worker_drain(t.workers[_i], 0);
	hear_for(WHILE);
	assert_serves_both(daemon_socket());
	configure(!_i);
	hear_for(WHILE);
	assert_serves_both(daemon_socket());
	ck_assert_uint_eq(t.stopped, 0);
	worker_drain(t.workers[!_i], 0);
	wait_for_end();
	end();
}
END_TEST

/* ---- reloads that memory is missing for ------------------------------------ */

#define SHORT "response_timeout = \"20ms\"; retry = \"never\";"

/* What they have at the start is kept by both, with the longer response_timeout. */
static void next_for_both(const char *ups)
{
	next(config("", ups));
	for (unsigned i = 0; i < WORKERS; i++) {
		configure(i);
		ck_assert(t.complete == !*poor);
	}
}

static void assert_both_answered(unsigned first, unsigned second)
{
	assert_answered(asks(daemon_socket(), homes[0]), first);
	assert_answered(asks(daemon_socket(), homes[1]), second);
}

/* One new pool can be made, the other cannot; those there are already would get other settings. */
START_TEST(reload_without_memory_for_a_new_pool_changes_none)
{
	struct origin *o = h1_origin();
	char *ups = text("%s, %s, %s", upstreams(o, SHORT), upstream("early", o, ""),
		upstream("late", o, ""));

	start_serving(config("", upstreams(o, "")));
	poor = "late";
	next_for_both(ups);
	assert_both_answered(200, 200);
	assert_answered(asks(daemon_socket(), "early"), 404);
	poor = "";
	next_for_both(ups);
	assert_both_answered(504, 504);
	assert_served(asks(daemon_socket(), "early"));
	assert_served(asks(daemon_socket(), "late"));
	end();
}
END_TEST

START_TEST(pool_that_there_is_no_memory_to_change_serves_as_before)
{
	struct origin *o = h1_origin();
	char *ups = text("%s, %s", upstream("late", o, ""), upstreams(o, SHORT));

	start_serving(config("", upstreams(o, "")));
	poor = "gamma";
	next_for_both(ups);
	assert_both_answered(200, 504);
	assert_served(asks(daemon_socket(), "late"));
	poor = "";
	next_for_both(ups);
	assert_both_answered(504, 504);
	end();
}
END_TEST

/* ---- signs of life --------------------------------------------------------- */

/* All that this worker was asked for before has been answered: mailboxes keep the order. */
static void let_answer(unsigned i)
{
	unsigned before = t.reported;

	worker_report(t.workers[i]);
	WAIT_FOR((hear(), t.reported == before + 1));
}

static void let_both_answer(void)
{
	for (unsigned i = 0; i < WORKERS; i++)
		let_answer(i);
}

static void start_watching(void)
{
	start_serving(config("", upstreams(h1_origin(), "")));
	t.watch = watch_new(log_of(t.logs, 0), t.workers, WORKERS);
	for (int looks = 0; looks < 3; looks++) {
		ck_assert(watch_look(t.watch));
		let_both_answer();
	}
}

static void end_watching(void)
{
	end();
	watch_free(t.watch);
	t.watch = NULL;
}

static unsigned times_logged(const char *what)
{
	unsigned n = 0;

	hear();
	for (const char *p = file_text(text("%s/log", harness_dir())); (p = strstr(p, what)); p++)
		n++;
	return n;
}

START_TEST(worker_that_is_held_is_noticed_once_until_it_is_back)
{
	start_watching();
	hold = true;
	worker_configure(t.workers[_i], t.conf, t.listeners, on_configured, NULL);
	WAIT_FOR(held);
	ck_assert(watch_look(t.watch)); /* it has answered before, and is asked again */
	for (int looks = 0; looks < 3; looks++) {
		let_answer(!_i);
		ck_assert(!watch_look(t.watch));
	}
	ck_assert_uint_eq(times_logged("event=\"worker stuck\""), 1);
	ck_assert(logged(text("event=\"worker stuck\" worker=%d for_ms=", _i)));
	ck_assert_uint_eq(times_logged("event=\"worker back\""), 0);
	hold = false;
	let_both_answer();
	for (int looks = 0; looks < 2; looks++) {
		ck_assert(watch_look(t.watch));
		let_both_answer();
	}
	ck_assert_uint_eq(times_logged("event=\"worker stuck\""), 1);
	ck_assert_uint_eq(times_logged("event=\"worker back\""), 1);
	ck_assert(logged(text("event=\"worker back\" worker=%d after_ms=", _i)));
	end_watching();
}
END_TEST

START_TEST(worker_that_has_ended_is_not_missed)
{
	start_watching();
	worker_stop(t.workers[_i]);
	WAIT_FOR((hear(), t.stopped == 1));
	for (int looks = 0; looks < 3; looks++) {
		ck_assert(watch_look(t.watch));
		let_answer(!_i);
	}
	end_watching();
}
END_TEST

/* The question comes when nobody obeys any more, the answer would when the worker is freed. */
START_TEST(worker_that_is_asked_while_it_ends_is_not_heard_of_again)
{
	start_watching();
	worker_stop(t.workers[_i]);
	worker_stop(t.workers[!_i]);
	wait_for_end();
	ck_assert(worker_ask(t.workers[_i]));
	worker_report(t.workers[_i]);
	worker_configure(t.workers[_i], t.conf, t.listeners, on_configured, NULL);
	end_watching();
	ck_assert_uint_eq(t.configured, 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("worker");
	TCase *commands = harness_case(s, "commands"), *memory = harness_case(s, "memory"),
	      *life = harness_case(s, "life");

	tcase_add_test(commands, no_command_is_lost_for_want_of_memory);
	tcase_add_loop_test(commands, nobody_accepts_before_all_can_take_clients_over, 0, WORKERS);
	tcase_add_loop_test(commands, new_listener_serves_nobody_before_all_have_it, 0, WORKERS);
	tcase_add_loop_test(
		commands, client_that_is_handed_to_a_removed_listener_is_served, 0, WORKERS);
	tcase_add_loop_test(
		commands, client_that_is_handed_to_a_worker_that_drains_is_served, 0, WORKERS);
	tcase_add_loop_test(
		commands, worker_without_clients_stays_until_the_other_has_none, 0, WORKERS);
	tcase_add_loop_test(commands, drain_timeout_and_stop_wait_for_nobody, 0, WORKERS);
	tcase_add_loop_test(
		commands, drain_overtakes_a_reload_that_only_one_has_heard_of, 0, WORKERS);
	tcase_add_test(memory, reload_without_memory_for_a_new_pool_changes_none);
	tcase_add_test(memory, pool_that_there_is_no_memory_to_change_serves_as_before);
	tcase_add_loop_test(life, worker_that_is_held_is_noticed_once_until_it_is_back, 0, WORKERS);
	tcase_add_loop_test(life, worker_that_has_ended_is_not_missed, 0, WORKERS);
	tcase_add_loop_test(
		life, worker_that_is_asked_while_it_ends_is_not_heard_of_again, 0, WORKERS);
	return harness_main(s);
}
