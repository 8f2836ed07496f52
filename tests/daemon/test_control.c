/*
 * test_control.c - start, check, reload and stop of the real process: what stays up, what is said,
 * and the exit status.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/daemon/harness.h"

static const char *program(void)
{
	const char *p = getenv("CONNPOOLD");

	return p ? p : "./daemon/connpoold";
}

static unsigned status_for(const char *host)
{
	struct client *c = client_open();
	struct answer a;

	client_say(c, "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", host);
	a = client_hear(c);
	return a.status;
}

/* SIGHUP, and its end one way or the other. */
static void reload(const char *config_text)
{
	unsigned done =
		daemon_logged("event=\"reloaded\"") + daemon_logged("event=\"reload failed\"");

	daemon_rewrite(config_text);
	kill(daemon_pid(), SIGHUP);
	WAIT_FOR(daemon_logged("event=\"reloaded\"") + daemon_logged("event=\"reload failed\"") >
		 done);
}

/* ---- reload ---- */

START_TEST(reload_keeps_the_connections_of_unchanged_upstreams)
{
	struct origin *alpha = origin_of(_i), *beta = h1_origin();
	const char *first = upstream("alpha", alpha, "");

	daemon_start(config("", first));
	ck_assert_uint_eq(status_for("alpha"), 200);
	reload(config("", text("%s, %s", first, upstream("beta", beta, ""))));
	ck_assert_uint_eq(status_for("beta"), 200);
	ck_assert_uint_eq(status_for("alpha"), 200);
	ck_assert_uint_eq(origin_counts(alpha).accepted, 1);
}
END_TEST

START_TEST(reload_keeps_connections_when_only_limits_change)
{
	struct origin *o = origin_of(_i);
	struct client *c;
	struct answer a;

	daemon_for(o, "response_timeout = \"30s\";");
	c = client_open();
	ck_assert_uint_eq(get(c, "/").status, 200);
	reload(config("", upstream(NULL, o, "response_timeout = \"20s\"; max_queue = 7;")));
	/* On the client's old connection as well. */
	ck_assert_uint_eq(get(c, "/").status, 200);
	reload(config("", upstream(NULL, o, "response_timeout = \"300ms\"; max_queue = 7;")));
	ck_assert_uint_eq(origin_counts(o).accepted, 1);
	a = get(c, "/stall");
	assert_own_answer(&a, 504);
	client_close(c);
}
END_TEST

/*
 * Whatever conf_keys.def calls NEXT_CONNECTION is like that: what is open stays as it was opened.
 */
START_TEST(reload_of_max_requests_is_for_connections_opened_from_then_on)
{
	struct origin *o = origin_of(_i);
	struct client *c;

	daemon_for(o, "");
	c = client_open();
	ck_assert_uint_eq(get(c, "/").status, 200);
	reload(config("", upstream(NULL, o, "max_requests = 2;")));
	for (int i = 0; i < 5; i++)
		ck_assert_uint_eq(get(c, "/").status, 200);
	ck_assert_uint_eq(origin_counts(o).accepted, 1);
	ck_assert_uint_eq(get(c, "/close-after").status, 200);
	WAIT_FOR(origin_counts(o).open == 0);
	for (int i = 0; i < 4; i++)
		ck_assert_uint_eq(get(c, "/").status, 200);
	WAIT_FOR(counted(daemon_counters("origin"), "closed_by_reason", "requests") == 2);
	client_close(c);
}
END_TEST

/* And NEW_POOL like that. */
START_TEST(reload_of_a_window_opens_new_connections)
{
	struct origin *o = origin_of(_i);
	struct client *c;

	daemon_for(o, "");
	c = client_open();
	ck_assert_uint_eq(get(c, "/").status, 200);
	reload(config("", upstream(NULL, o, "h2_stream_window = \"128KiB\";")));
	WAIT_FOR(origin_counts(o).open == 0);
	ck_assert_uint_eq(get(c, "/").status, 200);
	ck_assert_uint_eq(origin_counts(o).accepted, 2);
	ck_assert_uint_eq(daemon_logged_lines("event=\"closed\"", "reason=reload"), 1);
	client_close(c);
}
END_TEST

static const char *const shorter[][3] = {
	{"idle_timeout = \"1h\";", "idle_timeout = \"100ms\";", "idle"},
	{"idle_timeout = \"0s\";", "idle_timeout = \"100ms\";", "idle"},
	{"max_lifetime = \"0s\";", "max_lifetime = \"100ms\";", "lifetime"},
};

START_TEST(reload_that_shortens_lives_ends_idle_connections)
{
	struct origin *o = h2_origin();
	struct client *c;

	daemon_for(o, shorter[_i][0]);
	c = client_open();
	ck_assert_uint_eq(get(c, "/").status, 200);
	ck_assert_uint_eq(origin_counts(o).open, 1);
	reload(config("", upstream(NULL, o, shorter[_i][1])));
	WAIT_FOR(origin_counts(o).open == 0);
	ck_assert_uint_eq(
		counted(daemon_counters("origin"), "closed_by_reason", shorter[_i][2]), 1);
	ck_assert_uint_eq(get(c, "/").status, 200);
	client_close(c);
}
END_TEST

START_TEST(reload_that_lowers_max_connections_closes_the_surplus)
{
	struct origin *o = h1_origin();
	struct client *busy[4];

	daemon_for(o, "min_connections = 8; max_connections = 8; max_idle = 8;");
	WAIT_FOR(origin_counts(o).open == 8);
	for (int i = 0; i < 4; i++)
		busy[i] = client_ask("/slow/500");
	WAIT_FOR(origin_counts(o).requests == 4);
	reload(config("", upstream(NULL, o, "max_connections = 2;")));
	WAIT_FOR(origin_counts(o).open <= 4);
	for (int i = 0; i < 4; i++)
		ck_assert_uint_eq(client_hear(busy[i]).status, 200);
	WAIT_FOR(origin_counts(o).open <= 2);
	ck_assert_uint_eq(origin_counts(o).accepted, 8);
	ck_assert_uint_eq(counted(daemon_counters("origin"), "closed_by_reason", "shrink"), 6);
}
END_TEST

START_TEST(reload_moves_an_upstream_without_hurting_what_runs)
{
	struct origin *before = some_origin(&(struct origin_opts){.name = "before"});
	struct origin *after = some_origin(&(struct origin_opts){.name = "after"});
	struct client *c, *idle;
	struct answer a;

	daemon_start(config("", upstream("origin", before, "")));
	idle = client_open();
	ck_assert_uint_eq(get(idle, "/").status, 200);
	c = client_ask("/drip/10/60");
	WAIT_FOR(origin_counts(before).requests == 2);
	reload(config("", upstream("origin", after, "")));
	a = get(idle, "/");
	ck_assert_str_eq(answer_field(&a, "x-origin"), "after");
	a = client_answer(c);
	ck_assert_str_eq(answer_field(&a, "x-origin"), "before");
	ck_assert(a.whole && a.len == 10240);
	client_close(c);
	client_close(idle);
	WAIT_FOR(origin_counts(before).open == 0);
	WAIT_FOR(daemon_logged_lines("event=\"closed\"", "reason=reload") == 1);
}
END_TEST

START_TEST(reload_removes_an_upstream_without_hurting_what_runs)
{
	struct origin *alpha = origin_of(_i), *beta = h1_origin(), *gamma = h1_origin();
	struct client *c;
	struct answer a;

	daemon_start(config("", text("%s, %s, %s", upstream("alpha", alpha, ""),
					upstream("beta", beta, ""), upstream("gamma", gamma, ""))));
	c = client_open();
	client_say(c, "GET /drip/10/60 HTTP/1.1\r\nHost: alpha\r\n\r\n");
	WAIT_FOR(origin_counts(alpha).requests == 1);
	reload(config(
		"", text("%s, %s", upstream("beta", beta, ""), upstream("gamma", gamma, ""))));
	ck_assert_uint_eq(status_for("alpha"), 404);
	ck_assert_uint_eq(status_for("beta"), 200);
	a = client_answer(c);
	ck_assert(a.whole && a.len == 10240);
	client_close(c);
	WAIT_FOR(origin_counts(alpha).open == 0);
}
END_TEST

START_TEST(an_invalid_file_changes_nothing_and_is_reported)
{
	struct origin *o = origin_of(_i);

	daemon_for(o, "");
	ck_assert_uint_eq(get_once("/").status, 200);
	reload("upstreams = (\n  { name = \"x\"; url = \"https://x.example\";\n"
	       "    max_conections = 3;\n    idle_timeout = 30; }\n);\n");
	ck_assert_uint_eq(daemon_logged("event=\"reload failed\""), 1);
	ck_assert_msg(daemon_logged("connpoold.conf:3:") == 1, "the line of the unknown name");
	ck_assert_msg(daemon_logged("connpoold.conf:4:") == 1, "the line of the missing unit");
	ck_assert_uint_eq(get_once("/").status, 200);
	reload("upstreams = (");
	ck_assert_uint_eq(get_once("/").status, 200);
	unlink(daemon_config());
	kill(daemon_pid(), SIGHUP);
	WAIT_FOR(daemon_logged("event=\"reload failed\"") == 3);
	ck_assert_uint_eq(get_once("/").status, 200);
	ck_assert_uint_eq(origin_counts(o).accepted, 1);
}
END_TEST

START_TEST(reloads_under_load_cost_no_request)
{
	struct origin *o = origin_of(_i);
	struct client *c[8];

	daemon_for(o, "");
	for (size_t i = 0; i < 8; i++)
		c[i] = client_open();
	for (int round = 0; round < 30; round++) {
		for (size_t i = 0; i < 8; i++)
			client_say(c[i], "GET /slow/5 HTTP/1.1\r\nHost: origin\r\n\r\n");
		daemon_rewrite(config("", upstream(NULL, o, text("max_queue = %d;", 100 + round))));
		kill(daemon_pid(), SIGHUP);
		for (size_t i = 0; i < 8; i++)
			ck_assert_uint_eq(client_answer(c[i]).status, 200);
	}
	WAIT_FOR(daemon_logged("event=\"reloaded\"") > 0);
	ck_assert_uint_eq(daemon_logged("event=\"reload failed\""), 0);
	ck_assert_uint_le(origin_counts(o).accepted, 8);
	for (size_t i = 0; i < 8; i++)
		client_close(c[i]);
}
END_TEST

START_TEST(reload_opens_and_closes_listeners)
{
	struct origin *o = h1_origin();
	const char *second = text("%s/second.sock", harness_dir());
	const char *both =
		text("listeners = ( { name = \"main\"; path = \"%s\"; mode = \"0600\"; },\n"
		     "{ name = \"b\"; path = \"%s\"; mode = \"0640\"; } );\n"
		     "upstreams = ( %s );\n",
			daemon_socket(), second, upstream(NULL, o, ""));
	struct client *c;
	struct stat st;

	daemon_for(o, "");
	reload(both);
	ck_assert_int_eq(stat(second, &st), 0);
	ck_assert_uint_eq(st.st_mode & 0777, 0640);
	c = client_open_at(second);
	ck_assert_uint_eq(get(c, "/").status, 200);
	reload(config("", upstream(NULL, o, "")));
	ck_assert_int_ne(stat(second, &st), 0);
	ck_assert_uint_eq(get_once("/").status, 200);
	client_close(c);
}
END_TEST

static const char *second_socket(void)
{
	return text("%s/second.sock", harness_dir());
}

/* The usual listener and a second one, with more settings. */
static char *two_listeners(const char *more, const char *upstreams)
{
	return text("listeners = ( { name = \"main\"; path = \"%s\"; },\n"
		    "{ name = \"second\"; path = \"%s\"; %s } );\nupstreams = ( %s );\n",
		daemon_socket(), second_socket(), more, upstreams);
}

/* A request of the second listener's client that is half there when the reload comes. */
static struct answer ask_across_a_reload(const char *before, const char *after)
{
	struct client *c;
	struct answer a;

	daemon_start(before);
	c = client_open_at(second_socket());
	client_say(c, "GET / HTTP/1.1\r\nHos");
	daemon_accepts(1);
	reload(after);
	client_say(c, "t: anything\r\n\r\n");
	a = client_hear(c);
	return a;
}

/* Its upstream stays, under another index. */
START_TEST(clients_of_a_removed_listener_reach_their_upstream)
{
	const char *alpha =
		upstream("alpha", some_origin(&(struct origin_opts){.name = "alpha"}), "");
	const char *beta = upstream("beta", some_origin(&(struct origin_opts){.name = "beta"}), "");
	struct answer a = ask_across_a_reload(
		two_listeners("upstream = \"beta\";", text("%s, %s", alpha, beta)),
		config("", text("%s, %s", beta, alpha)));

	ck_assert_msg(a.status == 200, "%s%s", a.head, a.body);
	ck_assert_str_eq(answer_field(&a, "x-origin"), "beta");
}
END_TEST

START_TEST(clients_of_a_removed_listener_hear_that_their_upstream_is_gone)
{
	struct origin *alpha = h1_origin();
	struct answer a = ask_across_a_reload(
		two_listeners("upstream = \"beta\";", text("%s, %s", upstream("alpha", alpha, ""),
							      upstream("beta", h1_origin(), ""))),
		config("", upstream("alpha", alpha, "")));

	assert_own_answer(&a, 503);
	ck_assert_uint_eq(origin_counts(alpha).requests, 0);
}
END_TEST

/* The place of one upstream is another's now. */
START_TEST(clients_of_a_removed_listener_never_reach_another_upstream)
{
	struct origin *alpha = h1_origin(), *gamma = h1_origin();
	struct answer a = ask_across_a_reload(
		two_listeners("upstream = \"beta\";", text("%s, %s", upstream("alpha", alpha, ""),
							      upstream("beta", h1_origin(), ""))),
		config("", text("%s, %s", upstream("alpha", alpha, ""),
				   upstream("gamma", gamma, ""))));

	assert_own_answer(&a, 503);
	ck_assert_uint_eq(origin_counts(alpha).requests + origin_counts(gamma).requests, 0);
}
END_TEST

START_TEST(a_place_that_gets_free_at_one_listener_is_everybodys)
{
	struct client *first[4], *waits;

	daemon_start(text("daemon : { max_clients = 4; };\n%s",
		two_listeners("", upstream(NULL, h1_origin(), ""))));
	for (size_t i = 0; i < 4; i++) {
		first[i] = client_open();
		ck_assert_uint_eq(get(first[i], "/").status, 200);
	}
	waits = client_open_at(second_socket());
	client_say(waits, "GET / HTTP/1.1\r\nHost: origin\r\n\r\n");
	ck_assert(client_quiet(waits, 200));
	for (size_t i = 0; i < 4; i++)
		client_close(first[i]);
	ck_assert_uint_eq(client_answer(waits).status, 200);
	ck_assert_uint_eq(get_once("/").status, 200);
	client_close(waits);
}
END_TEST

/* ---- stop ---- */

/* No time ends anything: what ends was ended by what the test does. */
static char *patient(const struct origin *o)
{
	return text("daemon : { drain_timeout = \"1h\"; };\n%s",
		config("", upstream(NULL, o, "response_timeout = \"off\";")));
}

static bool refused(void)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", daemon_socket());
	bool no = connect(fd, (struct sockaddr *)&a, sizeof(a)) != 0;

	close(fd);
	return no;
}

START_TEST(sigterm_finishes_what_runs_and_then_ends)
{
	struct origin *o = origin_of(_i);
	struct client *c;
	struct answer a;
	int status;

	daemon_for(o, "");
	c = client_ask("/hold/20480");
	WAIT_FOR(origin_counts(o).requests == 1);
	daemon_end();
	WAIT_FOR(refused());
	ck_assert(!daemon_ended(&status));
	origin_release(o);
	a = client_answer(c);
	ck_assert(a.whole && a.len == 20480);
	WAIT_FOR(daemon_ended(&status));
	ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	client_close(c);
}
END_TEST

START_TEST(sigterm_lets_an_upload_finish)
{
	struct origin *o = origin_of(_i);
	struct client *c;

	daemon_for(o, "");
	c = client_open();
	client_say(c, "POST /sha HTTP/1.1\r\nHost: origin\r\nContent-Length: 10\r\n\r\nhello");
	WAIT_FOR(origin_counts(o).requests == 1);
	daemon_end();
	WAIT_FOR(refused());
	client_say(c, "hello");
	ck_assert_uint_eq(client_answer(c).len, 65);
	client_close(c);
}
END_TEST

START_TEST(idle_clients_do_not_delay_the_end)
{
	struct client *c[4];
	int status;

	daemon_start(patient(origin_of(_i)));
	for (size_t i = 0; i < 4; i++) {
		c[i] = client_open();
		if (i % 2)
			ck_assert_uint_eq(get(c[i], "/").status, 200);
	}
	daemon_end();
	WAIT_FOR(daemon_ended(&status));
	for (size_t i = 0; i < 4; i++) {
		ck_assert(client_closed(c[i]));
		client_close(c[i]);
	}
}
END_TEST

/* Requests that are in the sockets when the signal comes were accepted: they are served. */
START_TEST(sigterm_does_not_lose_requests_that_were_sent)
{
	struct client *c[5];

	daemon_for(origin_of(_i), "");
	for (size_t i = 0; i < 5; i++) {
		c[i] = client_open();
		ck_assert_uint_eq(get(c[i], "/").status, 200);
	}
	daemon_freeze();
	for (size_t i = 0; i < 5; i++)
		client_say(c[i], "GET /bytes/100 HTTP/1.1\r\nHost: origin\r\n\r\n");
	daemon_end();
	kill(daemon_pid(), SIGCONT);
	for (size_t i = 0; i < 5; i++) {
		ck_assert_uint_eq(client_answer(c[i]).len, 100);
		client_close(c[i]);
	}
}
END_TEST

/* More than one turn takes: who connected before the signal was accepted by the kernel. */
START_TEST(sigterm_serves_all_who_wait_in_the_kernel)
{
	struct client *c[200];

	daemon_for(origin_of(_i), "");
	ck_assert_uint_eq(get_once("/").status, 200);
	daemon_freeze();
	for (size_t i = 0; i < 200; i++) {
		c[i] = client_ask("/bytes/100");
	}
	daemon_end();
	kill(daemon_pid(), SIGCONT);
	for (size_t i = 0; i < 200; i++) {
		ck_assert_uint_eq(client_answer(c[i]).len, 100);
		client_close(c[i]);
	}
}
END_TEST

START_TEST(drain_timeout_bounds_the_end)
{
	struct origin *o = origin_of(_i);
	struct client *c;
	uint64_t begun;
	int status;

	daemon_start(text("daemon : { drain_timeout = \"500ms\"; };\n%s",
		config("", upstream(NULL, o, "response_timeout = \"off\";"))));
	c = client_ask("/stall");
	WAIT_FOR(origin_counts(o).requests == 1);
	begun = harness_now();
	daemon_end();
	WAIT_FOR(daemon_ended(&status)); /* nothing else would end it */
	ck_assert_uint_ge(harness_now() - begun, 450);
	client_close(c);
}
END_TEST

START_TEST(a_second_sigterm_ends_at_once)
{
	struct origin *o = origin_of(_i);
	struct client *c;
	int status;

	daemon_start(patient(o));
	c = client_ask("/stall");
	WAIT_FOR(origin_counts(o).requests == 1);
	kill(daemon_pid(), SIGTERM);
	WAIT_FOR(refused());
	ck_assert(!daemon_ended(&status));
	kill(daemon_pid(), SIGTERM);
	WAIT_FOR(daemon_ended(&status));
	ck_assert(WIFEXITED(status));
	daemon_forget();
	client_close(c);
}
END_TEST

START_TEST(signals_up_to_the_very_end_do_not_make_it_a_failure)
{
	uint64_t begun = harness_now();
	int status;

	daemon_for(h1_origin(), "");
	kill(daemon_pid(), SIGTERM);
	while (!daemon_ended(&status) && harness_now() - begun < PATIENCE)
		kill(daemon_pid(), SIGHUP);
	ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	daemon_forget();
}
END_TEST

START_TEST(the_socket_goes_with_the_daemon)
{
	struct stat st;

	daemon_for(h1_origin(), "");
	ck_assert_int_eq(stat(daemon_socket(), &st), 0);
	ck_assert(S_ISSOCK(st.st_mode));
	ck_assert_uint_eq(st.st_mode & 0777, 0600);
	daemon_stop();
	ck_assert_int_ne(stat(daemon_socket(), &st), 0);
}
END_TEST

/* ---- start ---- */

START_TEST(a_stale_socket_is_replaced)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", daemon_socket());
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	close(fd);
	daemon_for(h1_origin(), "");
	ck_assert_uint_eq(get_once("/").status, 200);
}
END_TEST

START_TEST(a_live_socket_is_not_taken_away)
{
	char *out;

	daemon_for(h1_origin(), "");
	ck_assert_int_eq(sh(&out, "%s -c %s 2>&1", program(), daemon_config()), 1);
	ck_assert_msg(strstr(out, daemon_socket()), "%s", out);
	ck_assert_uint_eq(get_once("/").status, 200);
}
END_TEST

START_TEST(a_file_in_place_of_the_socket_is_not_removed)
{
	char *out;

	file_write(daemon_socket(), "precious");
	daemon_rewrite(config("", upstream(NULL, h1_origin(), "")));
	ck_assert_int_eq(sh(&out, "%s -c %s 2>&1", program(), daemon_config()), 1);
	ck_assert_str_eq(file_text(daemon_socket()), "precious");
}
END_TEST

START_TEST(check_of_a_good_file_exits_0)
{
	char *out;

	daemon_rewrite(config("", upstream(NULL, h1_origin(), "")));
	ck_assert_msg(sh(&out, "%s -t -c %s 2>&1", program(), daemon_config()) == 0, "%s", out);
}
END_TEST

START_TEST(check_of_a_bad_file_tells_every_error_and_exits_1)
{
	char *out;

	daemon_rewrite("daemon : { workerz = 1; };\n"
		       "upstreams = (\n"
		       "  { name = \"x\"; url = \"ftp://x.example\"; },\n"
		       "  { name = \"y\"; url = \"https://y.example\"; idle_timeout = 30;\n"
		       "    max_connections = -1; }\n"
		       ");\n");
	ck_assert_int_eq(sh(&out, "%s -t -c %s 2>&1", program(), daemon_config()), 1);
	for (int line = 1; line <= 5; line++) {
		if (line != 2)
			ck_assert_msg(strstr(out, text("connpoold.conf:%d:", line)), "line %d: %s",
				line, out);
	}
	ck_assert_msg(strstr(out, "workers"), "no suggestion: %s", out);
}
END_TEST

START_TEST(check_of_a_missing_file_names_it)
{
	char *out;

	ck_assert_int_eq(sh(&out, "%s -t -c %s/none.conf 2>&1", program(), harness_dir()), 1);
	ck_assert_msg(strstr(out, "none.conf") && strstr(out, "No such file"), "%s", out);
}
END_TEST

START_TEST(options_take_the_place_of_a_file)
{
	struct origin *o = h1_origin();
	const char *url = text("api=http://127.0.0.1:%u", origin_port(o));
	const char *socket = text("%s/cli.sock", harness_dir());
	const char *argv[] = {program(), "--upstream", url, "--listen", socket, NULL};
	struct client *c;
	struct stat st;

	run(argv);
	WAIT_FOR(strstr(file_text(text("%s/programs.log", harness_dir())), "event=\"ready\""));
	ck_assert_int_eq(stat(socket, &st), 0);
	c = client_open_at(socket);
	ck_assert_uint_eq(get(c, "/").status, 200);
	client_close(c);
}
END_TEST

START_TEST(version_and_help_are_printed)
{
	char *out;

	ck_assert_int_eq(sh(&out, "%s -V", program()), 0);
	ck_assert_ptr_nonnull(strstr(out, "connpoold"));
	ck_assert_int_eq(sh(&out, "%s -h", program()), 0);
	ck_assert_ptr_nonnull(strstr(out, "--upstream"));
	ck_assert_int_ne(sh(&out, "%s --no-such-option 2>&1", program()), 0);
}
END_TEST

/* As long as it takes. */
#define WAITS "max_connections = 1; queue_timeout = \"off\";"

START_TEST(waiting_requests_follow_an_upstream_that_moved)
{
	struct origin *before = h1_origin(), *after = h2_origin();
	struct client *runs, *waits;
	struct answer a;

	daemon_start(config("", upstream("origin", before, WAITS)));
	runs = client_ask("/hold/3");
	WAIT_FOR(origin_counts(before).requests == 1);
	waits = client_open();
	client_say(waits, "POST /sha HTTP/1.1\r\nHost: origin\r\nContent-Length: 3\r\n\r\nabc");
	daemon_queues("origin", 1);
	reload(config("", upstream("origin", after, "")));
	a = client_answer(waits);
	ck_assert_msg(a.status == 200, "%s%s", a.head, a.body);
	ck_assert_uint_eq(origin_counts(after).requests, 1);
	origin_release(before);
	ck_assert_uint_eq(client_answer(runs).status, 200);
	ck_assert_uint_eq(origin_counts(before).requests, 1);
	WAIT_FOR(origin_counts(before).open == 0);
	client_close(waits);
	client_close(runs);
}
END_TEST

START_TEST(requests_that_wait_are_not_lost_to_a_smaller_queue)
{
	struct origin *before = h1_origin(), *after = h2_origin();
	struct client *runs, *waits[3];

	daemon_start(config("", upstream("origin", before, WAITS)));
	runs = client_ask("/hold/3");
	WAIT_FOR(origin_counts(before).requests == 1);
	for (unsigned i = 0; i < 3; i++) {
		waits[i] = client_ask("/");
		daemon_queues("origin", i + 1);
	}
	reload(config("", upstream("origin", after, "max_queue = 1; queue_timeout = \"0s\";")));
	for (int i = 0; i < 3; i++)
		ck_assert_uint_eq(client_answer(waits[i]).status, 200);
	ck_assert_uint_eq(origin_counts(after).requests, 3);
	origin_release(before);
	ck_assert_uint_eq(client_answer(runs).status, 200);
	for (int i = 0; i < 3; i++)
		client_close(waits[i]);
	client_close(runs);
}
END_TEST

static char *at_path(const struct origin *o, const char *path)
{
	return text("{ name = \"origin\"; url = \"http://127.0.0.1:%u%s\"; "
		    "protocols = [ \"h1\" ]; " WAITS " }",
		origin_port(o), path);
}

START_TEST(waiting_requests_are_addressed_to_the_upstream_that_they_reach)
{
	struct origin *before = h1_origin(), *after = h1_origin();
	struct client *runs, *waits;

	daemon_start(config("", at_path(before, "")));
	runs = client_ask("/hold/3");
	WAIT_FOR(origin_counts(before).requests == 1);
	waits = client_ask("/waits?a=b");
	daemon_queues("origin", 1);
	reload(config("", at_path(after, "/new")));
	ck_assert_uint_eq(client_answer(waits).status, 200);
	ck_assert(origin_saw(after,
		text("GET /new/waits?a=b HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n", origin_port(after))));
	ck_assert(!origin_saw(after, text("127.0.0.1:%u\r\n", origin_port(before))));
	origin_release(before);
	ck_assert_uint_eq(client_answer(runs).status, 200);
	client_close(waits);
	client_close(runs);
}
END_TEST

/* Also if another base path was configured for the same server in the meantime. */
START_TEST(waiting_requests_lose_the_base_path_that_they_were_given)
{
	struct origin *before = h1_origin(), *after = h1_origin();
	struct client *runs, *waits;

	daemon_start(config("", at_path(before, "/hold")));
	runs = client_open();
	client_say(runs, "GET /3 HTTP/1.1\r\nHost: origin\r\n\r\n");
	WAIT_FOR(origin_counts(before).requests == 1);
	waits = client_open();
	client_say(waits, "GET /waits HTTP/1.1\r\nHost: origin\r\n\r\n");
	daemon_queues("origin", 1);
	if (_i)
		reload(config("", at_path(before, "/longer/than/the/whole/path")));
	reload(config("", at_path(after, "/new")));
	ck_assert_uint_eq(client_answer(waits).status, 200);
	ck_assert(origin_saw(after, "GET /new/waits HTTP/1.1\r\n"));
	origin_release(before);
	ck_assert_uint_eq(client_answer(runs).status, 200);
	client_close(waits);
	client_close(runs);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("control");
	TCase *reloads = harness_case(s, "reload"), *stops = harness_case(s, "stop");
	TCase *starts = harness_case(s, "start");

	tcase_add_loop_test(reloads, reload_keeps_the_connections_of_unchanged_upstreams, 0, 2);
	tcase_add_loop_test(reloads, reload_keeps_connections_when_only_limits_change, 0, 2);
	tcase_add_loop_test(
		reloads, reload_of_max_requests_is_for_connections_opened_from_then_on, 0, 2);
	tcase_add_loop_test(reloads, reload_of_a_window_opens_new_connections, 0, 2);
	tcase_add_loop_test(reloads, reload_that_shortens_lives_ends_idle_connections, 0, 3);
	tcase_add_test(reloads, reload_that_lowers_max_connections_closes_the_surplus);
	tcase_add_test(reloads, reload_moves_an_upstream_without_hurting_what_runs);
	tcase_add_test(reloads, waiting_requests_follow_an_upstream_that_moved);
	tcase_add_test(reloads, requests_that_wait_are_not_lost_to_a_smaller_queue);
	tcase_add_loop_test(reloads, reload_removes_an_upstream_without_hurting_what_runs, 0, 2);
	tcase_add_loop_test(reloads, an_invalid_file_changes_nothing_and_is_reported, 0, 2);
	tcase_add_loop_test(reloads, reloads_under_load_cost_no_request, 0, 2);
	tcase_add_test(reloads, waiting_requests_are_addressed_to_the_upstream_that_they_reach);
	tcase_add_loop_test(
		reloads, waiting_requests_lose_the_base_path_that_they_were_given, 0, 2);
	tcase_add_test(reloads, reload_opens_and_closes_listeners);
	tcase_add_test(reloads, clients_of_a_removed_listener_reach_their_upstream);
	tcase_add_test(reloads, clients_of_a_removed_listener_hear_that_their_upstream_is_gone);
	tcase_add_test(reloads, clients_of_a_removed_listener_never_reach_another_upstream);
	tcase_add_test(reloads, a_place_that_gets_free_at_one_listener_is_everybodys);

	tcase_add_loop_test(stops, sigterm_finishes_what_runs_and_then_ends, 0, 2);
	tcase_add_loop_test(stops, sigterm_lets_an_upload_finish, 0, 2);
	tcase_add_loop_test(stops, idle_clients_do_not_delay_the_end, 0, 2);
	tcase_add_loop_test(stops, sigterm_does_not_lose_requests_that_were_sent, 0, 2);
	tcase_add_loop_test(stops, sigterm_serves_all_who_wait_in_the_kernel, 0, 2);
	tcase_add_loop_test(stops, drain_timeout_bounds_the_end, 0, 2);
	tcase_add_loop_test(stops, a_second_sigterm_ends_at_once, 0, 2);
	tcase_add_loop_test(stops, signals_up_to_the_very_end_do_not_make_it_a_failure, 0, 5);
	tcase_add_test(stops, the_socket_goes_with_the_daemon);

	tcase_add_test(starts, a_stale_socket_is_replaced);
	tcase_add_test(starts, a_live_socket_is_not_taken_away);
	tcase_add_test(starts, a_file_in_place_of_the_socket_is_not_removed);
	tcase_add_test(starts, check_of_a_good_file_exits_0);
	tcase_add_test(starts, check_of_a_bad_file_tells_every_error_and_exits_1);
	tcase_add_test(starts, check_of_a_missing_file_names_it);
	tcase_add_test(starts, options_take_the_place_of_a_file);
	tcase_add_test(starts, version_and_help_are_printed);
	return harness_main(s);
}
