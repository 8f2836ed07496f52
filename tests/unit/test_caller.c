/* test_caller.c - who is at the other end of a local socket. */
#include <check.h>
#include <grp.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "daemon/base/caller.h"
#include "tests/unit/run.h"

static int pair[2];
static struct caller c;

static void setup(void)
{
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
}

static void teardown(void)
{
	caller_clear(&c);
	close(pair[0]);
	close(pair[1]);
}

START_TEST(the_kernel_names_user_group_and_process)
{
	caller_init(&c, pair[0]);
	ck_assert_uint_eq(c.uid, getuid());
	ck_assert_uint_eq(c.gid, getgid());
	ck_assert_int_eq(c.pid, getpid());
	ck_assert(caller_in_group(&c, getgid()));
}
END_TEST

/* More than are read at first. A socket pair keeps the groups of when it was made. */
START_TEST(all_groups_are_known_however_many)
{
	gid_t groups[200];
	int own[2];

	for (unsigned i = 0; i < 200; i++)
		groups[i] = 5000 + i;
	if (setgroups(200, groups) < 0)
		return; /* only root may have them */
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, own), 0);
	caller_init(&c, own[0]);
	ck_assert(caller_in_group(&c, 5000));
	ck_assert(caller_in_group(&c, 5199));
	ck_assert(!caller_in_group(&c, 5200));
	ck_assert_uint_eq(c.group_count, 200);
	close(own[0]);
	close(own[1]);
}
END_TEST

START_TEST(who_has_no_further_groups_is_in_none)
{
	int own[2];

	if (setgroups(0, NULL) < 0)
		return;
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, own), 0);
	caller_init(&c, own[0]);
	ck_assert(caller_in_group(&c, getgid()));
	ck_assert(!caller_in_group(&c, getgid() + 1));
	close(own[0]);
	close(own[1]);
}
END_TEST

START_TEST(what_is_no_local_socket_names_nobody)
{
	int ends[2];

	ck_assert_int_eq(pipe(ends), 0);
	caller_init(&c, ends[0]);
	ck_assert_uint_eq(c.uid, CALLER_NOBODY);
	ck_assert_int_eq(c.pid, 0);
	ck_assert(!caller_in_group(&c, getgid()));
	ck_assert(!caller_in_group(&c, CALLER_NOBODY));
	ck_assert_uint_eq(caller_began(&c), 0);
	close(ends[0]);
	close(ends[1]);
}
END_TEST

/* Its name is written like the end of the name and a state. */
START_TEST(the_begin_of_a_process_is_read_whatever_its_name_is)
{
	struct timespec now;
	uint64_t before, named, second = (uint64_t)sysconf(_SC_CLK_TCK);

	caller_init(&c, pair[0]);
	before = caller_began(&c);
	ck_assert_int_eq(clock_gettime(CLOCK_BOOTTIME, &now), 0);
	ck_assert_uint_le(before, ((uint64_t)now.tv_sec + 1) * second);
	ck_assert_uint_gt(before + 600 * second, (uint64_t)now.tv_sec * second);
	ck_assert_int_eq(prctl(PR_SET_NAME, "a) R 1 2 3 (b", 0, 0, 0), 0);
	named = caller_began(&c);
	ck_assert_uint_eq(named, before);
}
END_TEST

START_TEST(a_process_that_has_ended_began_never)
{
	pid_t child = fork();

	if (child == 0)
		_exit(0);
	ck_assert_int_eq(waitpid(child, NULL, 0), child);
	caller_init(&c, pair[0]);
	c.pid = child;
	ck_assert_uint_eq(caller_began(&c), 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("caller");
	TCase *t = tcase_create("caller");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, the_kernel_names_user_group_and_process);
	tcase_add_test(t, all_groups_are_known_however_many);
	tcase_add_test(t, who_has_no_further_groups_is_in_none);
	tcase_add_test(t, what_is_no_local_socket_names_nobody);
	tcase_add_test(t, the_begin_of_a_process_is_read_whatever_its_name_is);
	tcase_add_test(t, a_process_that_has_ended_began_never);
	suite_add_tcase(s, t);
	return run_suite(s);
}
