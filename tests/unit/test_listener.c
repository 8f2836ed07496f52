/*
 * test_listener.c - sockets appear with the right owner and mode, go when nobody needs them, and
 * nobody else's file is touched. In a temporary folder.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "daemon/base/conf.h"
#include "daemon/listen/listener.h"

/* The mode of path_a when the code under test makes these calls, which go through here. */
static struct {
	unsigned at_chown, at_listen;
} seen;

static char dir[64];
static char path_a[80], path_b[80];
static struct conf_listener cl[2];
static struct conf conf;
static char *error;

static unsigned mode_of(const char *path)
{
	struct stat st;

	ck_assert_int_eq(lstat(path, &st), 0);
	return st.st_mode & 07777;
}

static bool exists(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0;
}

int fchownat(int at, const char *path, uid_t uid, gid_t gid, int flags)
{
	seen.at_chown = mode_of(path);
	return (int)syscall(SYS_fchownat, at, path, uid, gid, flags);
}

int listen(int fd, int backlog)
{
	if (exists(path_a))
		seen.at_listen = mode_of(path_a);
	return (int)syscall(SYS_listen, fd, backlog);
}

/* Which of the next allocations fails, the first is 1; 0: none. By the linker (--wrap). */
static unsigned fails;

void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);

void *__wrap_calloc(size_t n, size_t size)
{
	return fails > 0 && --fails == 0 ? NULL : __real_calloc(n, size);
}

static void begin(void)
{
	snprintf(dir, sizeof(dir), "/tmp/test_listener.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path_a, sizeof(path_a), "%s/a.sock", dir);
	snprintf(path_b, sizeof(path_b), "%s/b.sock", dir);
	for (int i = 0; i < 2; i++) {
		cl[i] = (struct conf_listener){
			.mode = 0660, .owner = "", .group = "", .backlog = 16};
		cl[i].name = i ? "b" : "a";
		cl[i].path = i ? path_b : path_a;
	}
	conf = (struct conf){.listeners = cl, .listener_count = 1};
	error = NULL;
}

static void end(void)
{
	unlink(path_a);
	unlink(path_b);
	ck_assert_int_eq(rmdir(dir), 0);
	free(error);
}

static struct listener_set *open_set(struct listener_set *old)
{
	free(error);
	return listener_set_open(&conf, NULL, 0, old, &error);
}

/* The same, and it must succeed. */
static struct listener_set *opened(struct listener_set *old)
{
	struct listener_set *s = open_set(old);

	ck_assert_msg(s != NULL, "%s", error ? error : "no error text");
	ck_assert_ptr_null(error);
	return s;
}

/* It must fail, with words in the sentence. */
static void refused(struct listener_set *old, const char *words)
{
	struct listener_set *s = open_set(old);

	ck_assert_ptr_null(s);
	ck_assert_ptr_nonnull(error);
	ck_assert_msg(strstr(error, words) != NULL, "\"%s\" is not in: %s", words, error);
}

static int connect_to(const char *path)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	struct sockaddr_un un = {.sun_family = AF_UNIX};

	snprintf(un.sun_path, sizeof(un.sun_path), "%s", path);
	if (connect(fd, (struct sockaddr *)&un, sizeof(un)) == 0)
		return fd;
	close(fd);
	return -1;
}

static bool can_connect(const char *path)
{
	int fd = connect_to(path);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

/* A socket that somebody else bound; listens if backlog is above 0. */
static int foreign(const char *path, int backlog)
{
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	struct sockaddr_un un = {.sun_family = AF_UNIX};

	snprintf(un.sun_path, sizeof(un.sun_path), "%s", path);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
	if (backlog > 0)
		ck_assert_int_eq(listen(fd, backlog), 0);
	return fd;
}

/* ---- binding ------------------------------------------------------------------------------ */

START_TEST(a_bound_socket_accepts_and_is_gone_after_the_last_reference)
{
	struct listener_set *s = opened(NULL);
	const struct listener *l = listener_set_get(s, 0);
	int client = connect_to(path_a);
	int fd;

	ck_assert_str_eq(l->name, "a");
	ck_assert_str_eq(l->path, path_a);
	ck_assert(!l->inherited);
	ck_assert_int_ge(client, 0);
	fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_lt(accept(l->fd, NULL, NULL), 0); /* it does not block */
	ck_assert_int_eq(errno, EAGAIN);
	ck_assert(fcntl(l->fd, F_GETFD) & FD_CLOEXEC);
	ck_assert_ptr_null(listener_set_get(s, 1));

	listener_set_ref(s);
	listener_set_unref(s);
	ck_assert(can_connect(path_a));
	listener_set_unref(s);
	ck_assert(!exists(path_a));
	close(fd);
	close(client);
}
END_TEST

START_TEST(the_mode_is_exact_whatever_the_umask)
{
	static const struct {
		mode_t mask, mode;
	} rows[] = {{0077, 0660}, {0, 0600}, {0777, 0666}, {022, 0}};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		mode_t before = umask(rows[i].mask);
		struct listener_set *s;

		cl[0].mode = rows[i].mode;
		s = opened(NULL);
		umask(before);
		ck_assert_uint_eq(mode_of(path_a), rows[i].mode);
		listener_set_unref(s);
	}
}
END_TEST

START_TEST(nobody_can_connect_before_mode_and_group_are_right)
{
	mode_t before = umask(0);
	struct listener_set *s;

	cl[0].mode = 0640;
	s = opened(NULL);
	umask(before);
	ck_assert_uint_eq(seen.at_chown, 0600);
	ck_assert_uint_eq(seen.at_listen, 0640);
	listener_set_unref(s);
}
END_TEST

START_TEST(the_group_is_set_by_name)
{
	struct group *gr = getgrnam("daemon");
	struct listener_set *s;
	struct stat st;

	if (geteuid() != 0 || !gr)
		return; /* only root may give a file to any group */
	cl[0].group = "daemon";
	s = opened(NULL);
	ck_assert_int_eq(stat(path_a, &st), 0);
	ck_assert_uint_eq(st.st_gid, gr->gr_gid);
	ck_assert_uint_eq(st.st_uid, geteuid());
	listener_set_unref(s);
}
END_TEST

START_TEST(a_group_or_user_that_does_not_exist_is_named)
{
	cl[0].group = "no-such-group-here";
	refused(NULL, "there is no group \"no-such-group-here\"");
	ck_assert(!exists(path_a));
	cl[0].group = "";
	cl[0].owner = "no-such-user-here";
	refused(NULL, "there is no user \"no-such-user-here\"");
	ck_assert(!exists(path_a));
}
END_TEST

START_TEST(a_missing_folder_is_named)
{
	char deep[160];

	snprintf(deep, sizeof(deep), "%s/sub/a.sock", dir);
	cl[0].path = deep;
	refused(NULL, "/sub does not exist");
}
END_TEST

START_TEST(a_path_that_does_not_fit_is_refused_with_the_limit)
{
	char longer[200];
	struct listener_set *s;

	memset(longer, 'x', sizeof(longer));
	memcpy(longer, dir, strlen(dir));
	longer[strlen(dir)] = '/';
	longer[108] = '\0';
	cl[0].path = longer;
	refused(NULL, "can have 107");

	longer[107] = '\0';
	s = opened(NULL);
	ck_assert(can_connect(longer));
	listener_set_unref(s);
}
END_TEST

START_TEST(a_stale_socket_is_replaced)
{
	struct listener_set *s;

	close(foreign(path_a, 1));
	ck_assert(exists(path_a));
	s = opened(NULL);
	ck_assert(can_connect(path_a));
	listener_set_unref(s);
}
END_TEST

START_TEST(a_live_socket_is_left_alone)
{
	int fd = foreign(path_a, 1);

	refused(NULL, "another process accepts connections");
	ck_assert(can_connect(path_a));
	close(fd);
}
END_TEST

START_TEST(a_live_socket_with_a_full_backlog_is_left_alone)
{
	int fd = foreign(path_a, 1);
	int client[8];

	for (int i = 0; i < 8; i++)
		client[i] = connect_to(path_a);
	ck_assert_int_lt(client[7], 0);
	refused(NULL, "another process accepts connections");
	ck_assert(exists(path_a));
	for (int i = 0; i < 8; i++)
		if (client[i] >= 0)
			close(client[i]);
	close(fd);
}
END_TEST

START_TEST(a_datagram_socket_is_left_alone)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
	struct sockaddr_un un = {.sun_family = AF_UNIX};

	snprintf(un.sun_path, sizeof(un.sun_path), "%s", path_a);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
	refused(NULL, "another process");
	ck_assert(exists(path_a));
	close(fd);
}
END_TEST

START_TEST(a_plain_file_is_left_alone)
{
	int fd = open(path_a, O_CREAT | O_WRONLY, 0600);

	ck_assert_int_eq(write(fd, "x", 1), 1);
	close(fd);
	refused(NULL, "is not a socket");
	ck_assert(exists(path_a));
}
END_TEST

START_TEST(a_symbolic_link_is_left_alone)
{
	ck_assert_int_eq(symlink("/nowhere", path_a), 0);
	refused(NULL, "is not a socket");
	ck_assert(exists(path_a));
}
END_TEST

START_TEST(a_file_that_took_our_place_is_not_removed)
{
	struct listener_set *s = opened(NULL);
	int fd;

	ck_assert_int_eq(unlink(path_a), 0);
	fd = foreign(path_a, 1);
	listener_set_unref(s);
	ck_assert(can_connect(path_a));
	close(fd);
}
END_TEST

START_TEST(all_or_nothing)
{
	int fd = foreign(path_b, 1);

	conf.listener_count = 2;
	refused(NULL, "listener b");
	ck_assert(!exists(path_a));
	close(fd);
}
END_TEST

/* ---- another configuration ------------------------------------------------------------------ */

START_TEST(an_unchanged_path_keeps_its_socket)
{
	struct listener_set *old = opened(NULL), *s;
	int fd = listener_set_get(old, 0)->fd;
	int client = connect_to(path_a); /* waits in the backlog */

	cl[0].name = "renamed";
	s = opened(old);
	ck_assert_int_eq(listener_set_get(s, 0)->fd, fd);
	ck_assert_str_eq(listener_set_get(s, 0)->name, "renamed");
	ck_assert_str_eq(listener_set_get(old, 0)->name, "a");
	listener_set_retire(old, s);
	listener_set_unref(old);
	ck_assert(can_connect(path_a));
	fd = accept(listener_set_get(s, 0)->fd, NULL, NULL);
	ck_assert_int_ge(fd, 0);
	close(fd);
	close(client);
	listener_set_unref(s);
	ck_assert(!exists(path_a));
}
END_TEST

START_TEST(a_path_that_is_gone_closes_and_a_new_one_opens)
{
	struct listener_set *old = opened(NULL), *s;

	cl[0] = cl[1];
	s = opened(old);
	ck_assert(can_connect(path_a));
	ck_assert(can_connect(path_b));
	listener_set_retire(old, s);
	ck_assert(!exists(path_a));
	listener_set_unref(old);
	ck_assert(can_connect(path_b));
	listener_set_unref(s);
	ck_assert(!exists(path_b));
}
END_TEST

START_TEST(a_new_mode_is_applied_to_a_kept_socket)
{
	struct listener_set *old = opened(NULL), *s;

	cl[0].mode = 0600;
	s = opened(old);
	ck_assert_uint_eq(mode_of(path_a), 0600);
	listener_set_unref(old);
	listener_set_unref(s);
}
END_TEST

START_TEST(a_failure_leaves_the_old_set_as_it_was)
{
	struct listener_set *old = opened(NULL);
	int fd = foreign(path_b, 1);

	cl[0].mode = 0600;
	conf.listener_count = 2;
	refused(old, "listener b");
	ck_assert_uint_eq(mode_of(path_a), 0660);
	ck_assert(can_connect(path_a));
	listener_set_unref(old);
	ck_assert(!exists(path_a));
	close(fd);
}
END_TEST

/* LeakSanitizer looks for what is left of them. */
START_TEST(without_memory_nothing_is_opened_and_nothing_is_left)
{
	struct listener_set *old = opened(NULL), *s = NULL;
	unsigned n = 0;

	conf.listener_count = 2;
	for (; !s; n++) {
		fails = n + 1;
		s = open_set(old);
		if (!s) {
			ck_assert_msg(strstr(error, "out of memory"), "%s", error);
			ck_assert(!exists(path_b));
		}
	}
	ck_assert_uint_eq(n, 4); /* the set, the modes, the new socket, and then all went well */
	listener_set_unref(s);
	ck_assert(can_connect(path_a));
	listener_set_unref(old);
}
END_TEST

START_TEST(a_socket_whose_file_was_removed_is_made_again)
{
	struct listener_set *old = opened(NULL), *s;

	ck_assert_int_eq(unlink(path_a), 0);
	s = opened(old);
	listener_set_retire(old, s);
	listener_set_unref(old);
	ck_assert(can_connect(path_a));
	listener_set_unref(s);
}
END_TEST

START_TEST(a_retired_socket_still_gives_what_the_kernel_queued)
{
	struct listener_set *s = opened(NULL);
	int client = connect_to(path_a);
	int fd;

	listener_set_retire(s, NULL);
	ck_assert(!can_connect(path_a));
	fd = accept(listener_set_get(s, 0)->fd, NULL, NULL);
	ck_assert_int_ge(fd, 0);
	close(fd);
	close(client);

	/* The next daemon's file is safe, even if it got the same inode number. */
	fd = foreign(path_a, 1);
	listener_set_unref(s);
	ck_assert(can_connect(path_a));
	close(fd);
}
END_TEST

/* ---- inherited ------------------------------------------------------------------------------ */

static struct listener_set *inherit(
	const struct listener_fd *in, unsigned count, struct listener_set *old)
{
	free(error);
	return listener_set_open(&conf, in, count, old, &error);
}

START_TEST(an_inherited_socket_takes_the_place_of_the_path)
{
	struct listener_fd in = {foreign(path_b, 1), "b"};
	struct listener_set *s;
	const struct listener *l;

	conf.listener_count = 2;
	cl[1].path = "/nonexistent/never/bound.sock";
	cl[1].group = "no-such-group-here"; /* not asked for: systemd has set it */
	s = inherit(&in, 1, NULL);
	ck_assert_msg(s != NULL, "%s", error);
	l = listener_set_get(s, 1);
	ck_assert_int_eq(l->fd, in.fd);
	ck_assert(l->inherited);
	ck_assert_str_eq(l->name, "b");
	ck_assert_str_eq(l->path, path_b);
	ck_assert(fcntl(l->fd, F_GETFL) & O_NONBLOCK);
	ck_assert(!listener_set_get(s, 0)->inherited);

	listener_set_retire(s, NULL);
	listener_set_unref(s);
	ck_assert(can_connect(path_b)); /* neither closed nor unlinked */
	ck_assert(!exists(path_a));
	close(in.fd);
}
END_TEST

START_TEST(one_inherited_socket_and_one_listener_need_no_equal_names)
{
	struct listener_fd in = {foreign(path_b, 1), "connpoold.socket"};
	struct listener_set *s = inherit(&in, 1, NULL);

	ck_assert_msg(s != NULL, "%s", error);
	ck_assert_int_eq(listener_set_get(s, 0)->fd, in.fd);
	ck_assert(!exists(path_a));
	listener_set_unref(s);
	close(in.fd);
}
END_TEST

START_TEST(an_inherited_socket_that_no_listener_takes_is_an_error)
{
	struct listener_fd in = {foreign(path_b, 1), "c"};
	struct listener_set *s;

	conf.listener_count = 2;
	cl[1].path = "/tmp/never-bound-by-test-listener.sock";
	s = inherit(&in, 1, NULL);
	ck_assert_ptr_null(s);
	ck_assert_ptr_nonnull(strstr(error, "a socket named \"c\""));
	ck_assert(!exists(path_a));
	ck_assert(!exists(cl[1].path));
	close(in.fd);
}
END_TEST

START_TEST(an_inherited_socket_is_kept_by_the_next_configuration)
{
	struct listener_fd in = {foreign(path_b, 1), "b"};
	struct listener_set *old, *s;

	conf.listener_count = 2;
	old = inherit(&in, 1, NULL);
	ck_assert_msg(old != NULL, "%s", error);
	cl[0] = cl[1];
	conf.listener_count = 1;
	s = inherit(&in, 1, old);
	ck_assert_msg(s != NULL, "%s", error);
	listener_set_retire(old, s);
	listener_set_unref(old);
	ck_assert(can_connect(path_b));
	ck_assert(!exists(path_a));
	listener_set_unref(s);
	close(in.fd);
}
END_TEST

static void add_tests(TCase *tc, const TTest *const *tests, size_t n)
{
	tcase_add_checked_fixture(tc, begin, end);
	for (size_t i = 0; i < n; i++)
		tcase_add_test(tc, tests[i]);
}

#define ADD(tc, list) add_tests(tc, list, sizeof(list) / sizeof((list)[0]))

int main(void)
{
	const TTest *const binding[] = {
		a_bound_socket_accepts_and_is_gone_after_the_last_reference,
		the_mode_is_exact_whatever_the_umask,
		nobody_can_connect_before_mode_and_group_are_right,
		the_group_is_set_by_name,
		a_group_or_user_that_does_not_exist_is_named,
		a_missing_folder_is_named,
		a_path_that_does_not_fit_is_refused_with_the_limit,
		a_stale_socket_is_replaced,
		a_live_socket_is_left_alone,
		a_live_socket_with_a_full_backlog_is_left_alone,
		a_datagram_socket_is_left_alone,
		a_plain_file_is_left_alone,
		a_symbolic_link_is_left_alone,
		a_file_that_took_our_place_is_not_removed,
		all_or_nothing,
	};
	const TTest *const reload[] = {
		an_unchanged_path_keeps_its_socket,
		a_path_that_is_gone_closes_and_a_new_one_opens,
		a_new_mode_is_applied_to_a_kept_socket,
		a_failure_leaves_the_old_set_as_it_was,
		without_memory_nothing_is_opened_and_nothing_is_left,
		a_socket_whose_file_was_removed_is_made_again,
		a_retired_socket_still_gives_what_the_kernel_queued,
	};
	const TTest *const inherited[] = {
		an_inherited_socket_takes_the_place_of_the_path,
		one_inherited_socket_and_one_listener_need_no_equal_names,
		an_inherited_socket_that_no_listener_takes_is_an_error,
		an_inherited_socket_is_kept_by_the_next_configuration,
	};
	Suite *s = suite_create("listener");
	TCase *tc[] = {tcase_create("binding"), tcase_create("reload"), tcase_create("inherited")};
	SRunner *sr;
	int failed;

	ADD(tc[0], binding);
	ADD(tc[1], reload);
	ADD(tc[2], inherited);
	for (int i = 0; i < 3; i++)
		suite_add_tcase(s, tc[i]);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
