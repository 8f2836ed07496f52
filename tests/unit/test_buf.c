/* test_buf.c - chains of slices: what goes in comes out, whole, in order, and memory goes back. */
#include <check.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include "tests/unit/ctx_fixture.h"
#include "tests/unit/run.h"

static struct ctx_fixture f;
static struct cc_buf b, c;

static void setup(void)
{
	fixture_begin(&f, 0);
	cc_buf_init(&b, f.ctx);
	cc_buf_init(&c, f.ctx);
}

static void teardown(void)
{
	cc_buf_clear(&b);
	cc_buf_clear(&c);
	fixture_end(&f);
}

static void fill(char *p, size_t n, unsigned seed)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (char)(seed + i * 31 + i / 251);
}

static void add_pattern(struct cc_buf *to, size_t n, unsigned seed)
{
	char *p = malloc(n + 1);

	fill(p, n, seed);
	ck_assert_int_eq(cc_buf_add(to, p, n), 0);
	free(p);
}

static void check_pattern(const struct cc_buf *buf, size_t n, unsigned seed)
{
	char *want = malloc(n + 1), *got = malloc(n + 1);

	fill(want, n, seed);
	ck_assert_uint_eq(buf->len, n);
	ck_assert_uint_eq(cc_buf_peek(buf, got, n), n);
	ck_assert(memcmp(want, got, n) == 0);
	free(want);
	free(got);
}

START_TEST(what_was_added_is_there_whatever_its_size)
{
	static const size_t sizes[] = {1, 511, 512, 1000, 16383, 16384, 16385, 100000};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		add_pattern(&b, sizes[i], (unsigned)i);
		check_pattern(&b, sizes[i], (unsigned)i);
		cc_buf_clear(&b);
		ck_assert_uint_eq(b.len, 0);
	}
}
END_TEST

START_TEST(moving_takes_the_first_bytes_and_leaves_the_rest)
{
	char got[300];

	add_pattern(&b, 50000, 7);
	ck_assert_int_eq(cc_buf_move(&c, &b, 20001), 0);
	ck_assert_uint_eq(b.len, 29999);
	check_pattern(&c, 20001, 7);
	ck_assert_int_eq(cc_buf_move(&c, &b, SIZE_MAX), 0);
	ck_assert_uint_eq(b.len, 0);
	check_pattern(&c, 50000, 7);
	ck_assert_uint_eq(cc_buf_peek(&b, got, sizeof(got)), 0);
}
END_TEST

START_TEST(sharing_leaves_both_with_all_bytes)
{
	add_pattern(&b, 40000, 3);
	ck_assert_int_eq(cc_buf_share(&c, &b), 0);
	check_pattern(&b, 40000, 3);
	check_pattern(&c, 40000, 3);
	cc_buf_clear(&b);
	check_pattern(&c, 40000, 3);
}
END_TEST

START_TEST(draining_drops_from_the_front)
{
	char rest[10];

	ck_assert_int_eq(cc_buf_add(&b, "hello world", 11), 0);
	cc_buf_drain(&b, 6);
	ck_assert_uint_eq(cc_buf_peek(&b, rest, 10), 5);
	ck_assert(memcmp(rest, "world", 5) == 0);
	cc_buf_drain(&b, 100);
	ck_assert_uint_eq(b.len, 0);
}
END_TEST

static void count(void *arg)
{
	++*(int *)arg;
}

START_TEST(foreign_memory_is_told_when_its_last_byte_is_gone)
{
	static const char text[2000] = "x";
	int done = 0;

	ck_assert_int_eq(cc_buf_add_ref(&b, text, sizeof(text), count, &done), 0);
	ck_assert_int_eq(cc_buf_share(&c, &b), 0);
	cc_buf_clear(&b);
	ck_assert_int_eq(done, 0);
	cc_buf_drain(&c, 1999);
	ck_assert_int_eq(done, 0);
	cc_buf_drain(&c, 1);
	ck_assert_int_eq(done, 1);
	ck_assert_int_eq(cc_buf_add_ref(&b, text, 10, NULL, NULL), 0);
}
END_TEST

START_TEST(slices_come_in_order_for_the_kernel)
{
	struct iovec iov[64];
	char *all = malloc(100000);
	size_t at = 0;
	int n;

	add_pattern(&b, 100000, 9);
	n = cc_buf_iov(&b, iov, 64);
	ck_assert_int_gt(n, 5);
	for (int i = 0; i < n; i++) {
		memcpy(all + at, iov[i].iov_base, iov[i].iov_len);
		at += iov[i].iov_len;
	}
	ck_assert_uint_eq(at, 100000);
	cc_buf_clear(&b);
	ck_assert_int_eq(cc_buf_add(&b, all, at), 0);
	check_pattern(&b, 100000, 9);
	ck_assert_int_eq(cc_buf_iov(&b, iov, 2), 2);
	free(all);
}
END_TEST

START_TEST(the_limit_of_the_context_refuses_and_leaves_the_buffer_as_it_was)
{
	struct ctx_fixture small;
	struct cc_buf buf;
	char *big = calloc(1, 200000);

	fixture_begin(&small, 65536);
	cc_buf_init(&buf, small.ctx);
	ck_assert_int_eq(cc_buf_add(&buf, "head", 4), 0);
	ck_assert_int_eq(cc_buf_add(&buf, big, 200000), CC_ENOMEM);
	ck_assert_uint_eq(buf.len, 4);
	ck_assert_int_eq(cc_buf_add(&buf, big, 20000), 0);
	cc_buf_clear(&buf);
	fixture_end(&small);
	free(big);
}
END_TEST

START_TEST(random_moves_between_two_lose_and_invent_nothing)
{
	for (unsigned seed = 1; seed <= 50; seed++) {
		size_t total = 0, n;
		unsigned char next = 0, expect = 0;

		srand(seed);
		for (int i = 0; i < 60; i++) {
			char part[3000];

			n = (size_t)rand() % sizeof(part);
			for (size_t k = 0; k < n; k++)
				part[k] = (char)next++;
			ck_assert_int_eq(cc_buf_add(&b, part, n), 0);
			n = (size_t)rand() % 4000;
			ck_assert_int_eq(cc_buf_move(&c, &b, n), 0);
			total = c.len;
			n = (size_t)rand() % 3000;
			if (n > total)
				n = total;
			ck_assert_uint_eq(cc_buf_peek(&c, part, n), n);
			bool same = true;

			for (size_t k = 0; k < n; k++)
				same &= (unsigned char)part[k] == expect++;
			ck_assert_msg(same, "seed %u", seed);
			cc_buf_drain(&c, n);
		}
		cc_buf_clear(&b);
		cc_buf_clear(&c);
		ck_assert_uint_le(f.ctx->slabs.used, 2 * SLAB_SIZE);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("buf");
	TCase *t = tcase_create("buf");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, what_was_added_is_there_whatever_its_size);
	tcase_add_test(t, moving_takes_the_first_bytes_and_leaves_the_rest);
	tcase_add_test(t, sharing_leaves_both_with_all_bytes);
	tcase_add_test(t, draining_drops_from_the_front);
	tcase_add_test(t, foreign_memory_is_told_when_its_last_byte_is_gone);
	tcase_add_test(t, slices_come_in_order_for_the_kernel);
	tcase_add_test(t, the_limit_of_the_context_refuses_and_leaves_the_buffer_as_it_was);
	tcase_add_test(t, random_moves_between_two_lose_and_invent_nothing);
	suite_add_tcase(s, t);
	return run_suite_together(s);
}
