/*
 * test_worker.c - two workers under this test's orders, which may come to one long before the other.
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
#include "daemon/front/listener.h"
#include "daemon/worker.h"
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
	bool has_team[WORKERS];
	unsigned configured, stopped;
} t;

/* ---- stand-ins, by the linker (--wrap) ------------------------------------------------------- */

static _Thread_local bool no_memory;

void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);

void *__wrap_calloc(size_t n, size_t size)
{
	return no_memory ? NULL : __real_calloc(n, size);
}

/* ---- the control thread ------------------------------------------------------------------------ */

static void on_configured(struct worker *w, void *arg)
{
	(void)w, (void)arg;
	t.configured++;
}

static void on_stopped(struct worker *w, void *arg)
{
	(void)w, (void)arg;
	t.stopped++;
}

/* What the workers have answered so far. */
static void hear(void)
{
	event_base_loop(t.base, EVLOOP_NONBLOCK);
	log_set_drain(t.logs);
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
	t.owner = (struct worker_owner){mailbox_new(t.base, NULL), on_configured, on_stopped, NULL};
	t.conf = conf_of(config_text);
	t.listeners = listeners_of(t.conf, NULL);
	for (unsigned i = 0; i < WORKERS; i++) {
		t.workers[i] = worker_start(
			i, t.conf, t.listeners, log_of(t.logs, 1 + i), &t.owner, &error);
		ck_assert_msg(t.workers[i] != NULL, "%s", error ? error : "");
	}
}

static void team(unsigned i)
{
	worker_team(t.workers[i], t.workers, WORKERS);
}

static void end(void)
{
	for (unsigned i = 0; i < WORKERS; i++)
		worker_stop(t.workers[i]);
	WAIT_FOR((hear(), t.stopped == WORKERS));
	for (unsigned i = 0; i < WORKERS; i++)
		worker_join(t.workers[i]);
	mailbox_free(t.owner.mailbox);
	listener_set_unref(t.listeners);
	conf_unref(t.conf);
	log_set_drain(t.logs);
	log_set_free(t.logs);
	close(t.log_fd);
	event_base_free(t.base);
}

static char *upstreams(const struct origin *o, const char *more)
{
	return text("%s, %s", upstream(homes[0], o, more), upstream(homes[1], o, more));
}

/* ---- clients ----------------------------------------------------------------------------------- */

static struct client *asks(const char *path, const char *host)
{
	struct client *c = client_open_at(path);

	client_say(c, "GET /bytes/10 HTTP/1.1\r\nHost: %s\r\n\r\n", host);
	return c;
}

static bool has_heard(const struct client *c)
{
	struct pollfd p = {.fd = c->fd, .events = POLLIN};

	hear();
	return poll(&p, 1, 0) == 1;
}

static void assert_served(struct client *c)
{
	WAIT_FOR(has_heard(c));
	ck_assert_uint_eq(client_answer(c).status, 200);
	client_close(c);
}

/* ---- tests ------------------------------------------------------------------------------------- */

START_TEST(no_order_is_lost_for_want_of_memory)
{
	start(config("", upstreams(h1_origin(), "")));
	no_memory = true;
	for (unsigned i = 0; i < WORKERS; i++)
		team(i);
	no_memory = false;
	assert_served(asks(daemon_socket(), homes[0]));
	no_memory = true;
	for (unsigned i = 0; i < WORKERS; i++) {
		worker_configure(t.workers[i], t.conf, t.listeners);
		worker_dump(t.workers[i]);
	}
	no_memory = false;
	WAIT_FOR((hear(), t.configured == WORKERS));
	WAIT_FOR(logged("event=\"counters\""));
	no_memory = true;
	for (unsigned i = 0; i < WORKERS; i++)
		worker_drain(t.workers[i], 0);
	no_memory = false;
	WAIT_FOR((hear(), t.stopped == WORKERS));
	no_memory = true;
	end();
	no_memory = false;
}
END_TEST

int main(void)
{
	Suite *s = suite_create("worker");
	TCase *orders = harness_case(s, "orders");

	tcase_add_test(orders, no_order_is_lost_for_want_of_memory);
	return harness_main(s);
}
