/*
 * test_notify.c - what systemd hears from us and what we take from it. Skipped without libsystemd.
 */
#include <config.h>

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <event2/event.h>

#include "daemon/control/notify.h"

static char dir[64], path[80], sock_path[80];
static int systemd; /* the manager's end of NOTIFY_SOCKET */
static struct event_base *base;

static int unix_socket(int type, const char *at)
{
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
	struct sockaddr_un un = {.sun_family = AF_UNIX};

	snprintf(un.sun_path, sizeof(un.sun_path), "%s", at);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
	return fd;
}

static void begin(void)
{
	struct timeval limit = {10, 0};

	snprintf(dir, sizeof(dir), "/tmp/test_notify.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/notify", dir);
	snprintf(sock_path, sizeof(sock_path), "%s/main", dir);
	systemd = unix_socket(SOCK_DGRAM, path);
	setsockopt(systemd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	setenv("NOTIFY_SOCKET", path, 1);
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
	unsetenv("LISTEN_FDS");
	base = event_base_new();
}

static void end(void)
{
	event_base_free(base);
	close(systemd);
	unlink(path);
	unlink(sock_path);
	rmdir(dir);
}

static const char *heard(void)
{
	static char text[1024];
	ssize_t n = recv(systemd, text, sizeof(text) - 1, 0);

	ck_assert_int_gt(n, 0);
	text[n] = '\0';
	return text;
}

static struct notify *made(void)
{
	char *error = NULL;
	struct notify *n = notify_new(base, &error);

	ck_assert_msg(n != NULL, "%s", error);
	ck_assert_ptr_null(error);
	return n;
}

START_TEST(ready_comes_with_a_status)
{
	struct notify *n = made();

	notify_ready(n, "Serving.");
	ck_assert_str_eq(heard(), "READY=1\nSTATUS=Serving.");
	notify_free(n);
}
END_TEST

START_TEST(a_reload_is_stamped_with_the_monotonic_clock)
{
	struct notify *n = made();
	struct timespec before, after;
	unsigned long long usec;

	clock_gettime(CLOCK_MONOTONIC, &before);
	notify_reloading(n);
	clock_gettime(CLOCK_MONOTONIC, &after);
	ck_assert_int_eq(sscanf(heard(), "RELOADING=1\nMONOTONIC_USEC=%llu", &usec), 1);
	ck_assert_uint_ge(usec / 1000000, (unsigned long long)before.tv_sec);
	ck_assert_uint_le(usec / 1000000, (unsigned long long)after.tv_sec);
	notify_free(n);
}
END_TEST

START_TEST(a_stop_asks_for_more_time_than_the_drain_takes)
{
	struct notify *n = made();
	unsigned long long usec;

	notify_stopping(n, 60000);
	ck_assert_int_eq(sscanf(heard(), "STOPPING=1\nEXTEND_TIMEOUT_USEC=%llu", &usec), 1);
	ck_assert_uint_gt(usec, 60000000);
	notify_free(n);
}
END_TEST

START_TEST(the_watchdog_is_fed_from_the_loop_only)
{
	char text[64];
	struct notify *n;

	setenv("WATCHDOG_USEC", "20000", 1);
	n = made();
	ck_assert_int_lt(recv(systemd, text, sizeof(text), MSG_DONTWAIT), 0);
	for (int i = 0; i < 2; i++) {
		event_base_loop(base, EVLOOP_ONCE);
		ck_assert_str_eq(heard(), "WATCHDOG=1");
	}
	notify_free(n);
	ck_assert_int_eq(event_base_get_num_events(base, EVENT_BASE_COUNT_ADDED), 0);
}
END_TEST

struct worker_stub {
	bool answers;
	unsigned asked;
};

static bool alive(void *arg)
{
	struct worker_stub *w = arg;

	w->asked++;
	return w->answers;
}

START_TEST(the_watchdog_is_not_fed_while_a_worker_does_not_answer)
{
	struct worker_stub w = {true, 0};
	char text[64];
	struct notify *n;

	setenv("WATCHDOG_USEC", "20000", 1);
	n = made();
	notify_watch(n, alive, &w);
	event_base_loop(base, EVLOOP_ONCE);
	ck_assert_str_eq(heard(), "WATCHDOG=1");
	w.answers = false;
	while (w.asked < 4)
		event_base_loop(base, EVLOOP_ONCE);
	ck_assert_int_lt(recv(systemd, text, sizeof(text), MSG_DONTWAIT), 0);
	w.answers = true;
	event_base_loop(base, EVLOOP_ONCE);
	ck_assert_str_eq(heard(), "WATCHDOG=1");
	notify_free(n);
}
END_TEST

START_TEST(without_systemd_nothing_is_passed_and_nothing_is_sent)
{
	struct notify *n;
	unsigned count = 7;

	unsetenv("NOTIFY_SOCKET");
	n = made();
	notify_sockets(n, &count);
	ck_assert_uint_eq(count, 0);
	notify_ready(n, "x");
	notify_free(n);
	ck_assert_int_eq(event_base_get_num_events(base, EVENT_BASE_COUNT_ADDED), 0);
	ck_assert_int_lt(recv(systemd, (char[64]){0}, 64, MSG_DONTWAIT), 0);
}
END_TEST

/* The rest of a child whose descriptor 3 is fd. Returns 0 if the socket was taken as "main". */
static int take(int fd, char *error_text, size_t size)
{
	char pid[32], *error = NULL;
	const struct listener_fd *s;
	struct notify *n;
	unsigned count;

	snprintf(pid, sizeof(pid), "%ld", (long)getpid());
	setenv("LISTEN_PID", pid, 1);
	setenv("LISTEN_FDS", "1", 1);
	setenv("LISTEN_FDNAMES", "main", 1);
	if (fd != 3 && dup2(fd, 3) < 0)
		return 10;
	n = notify_new(base, &error);
	if (!n) {
		snprintf(error_text, size, "%s", error);
		free(error);
		return 11;
	}
	s = notify_sockets(n, &count);
	if (count != 1 || s[0].fd != 3 || strcmp(s[0].name, "main") || getenv("LISTEN_FDS"))
		return 12;
	if (!(fcntl(3, F_GETFD) & FD_CLOEXEC))
		return 13;
	notify_free(n);
	return 0;
}

/* In a process of its own, since descriptor 3 is whatever it is here. */
static int take_in_child(int fd, char *error_text, size_t size)
{
	int p[2], status;
	ssize_t n;
	pid_t pid;

	ck_assert_int_eq(pipe(p), 0);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		char text[512] = "";
		int out = fcntl(p[1], F_DUPFD, 100); /* out of the way of 3 */
		int rc = take(fcntl(fd, F_DUPFD, 100), text, sizeof(text));

		if (write(out, text, strlen(text)) < 0)
			rc = 14;
		_exit(rc);
	}
	close(p[1]);
	n = read(p[0], error_text, size - 1);
	error_text[n > 0 ? n : 0] = '\0';
	close(p[0]);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	return WEXITSTATUS(status);
}

START_TEST(a_listening_stream_socket_is_taken_with_its_name)
{
	int fd = unix_socket(SOCK_STREAM, sock_path);
	char error[512];

	ck_assert_int_eq(listen(fd, 1), 0);
	ck_assert_int_eq(take_in_child(fd, error, sizeof(error)), 0);
	close(fd);
}
END_TEST

START_TEST(other_kinds_of_sockets_are_refused_in_words)
{
	int bound = unix_socket(SOCK_STREAM, sock_path); /* does not listen */
	int inet = socket(AF_INET, SOCK_STREAM, 0), datagram = socket(AF_UNIX, SOCK_DGRAM, 0);
	int kinds[] = {bound, inet, datagram};
	char error[512];

	ck_assert_int_eq(listen(inet, 1), 0);
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(take_in_child(kinds[i], error, sizeof(error)), 11);
		ck_assert_ptr_nonnull(strstr(error, "\"main\""));
		ck_assert_ptr_nonnull(strstr(error, "not a listening stream socket"));
		close(kinds[i]);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("notify");
	TCase *tc = tcase_create("notify");
	SRunner *sr;
	int failed;

#ifndef HAVE_SYSTEMD
	return 77; /* skipped */
#endif
	tcase_add_checked_fixture(tc, begin, end);
	tcase_set_timeout(tc, 240);
	tcase_add_test(tc, ready_comes_with_a_status);
	tcase_add_test(tc, a_reload_is_stamped_with_the_monotonic_clock);
	tcase_add_test(tc, a_stop_asks_for_more_time_than_the_drain_takes);
	tcase_add_test(tc, the_watchdog_is_fed_from_the_loop_only);
	tcase_add_test(tc, the_watchdog_is_not_fed_while_a_worker_does_not_answer);
	tcase_add_test(tc, without_systemd_nothing_is_passed_and_nothing_is_sent);
	tcase_add_test(tc, a_listening_stream_socket_is_taken_with_its_name);
	tcase_add_test(tc, other_kinds_of_sockets_are_refused_in_words);
	suite_add_tcase(s, tc);

	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
