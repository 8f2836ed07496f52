/* test_mem.c - free lists: what they keep, what they give back, what they do without memory. */
#include <check.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "lib/base/ctx.h"
#include "tests/unit/run.h"

#define LARGE 4096 /* in no list */

static struct event_base *base;
static struct cc_ctx *ctx;
static int held;   /* blocks the allocator has given out */
static int asked;  /* times it was asked */
static bool empty; /* it has nothing more */

static void *counting_alloc(size_t n, void *arg)
{
	void *p = empty ? NULL : malloc(n);

	(void)arg;
	asked++;
	held += p != NULL;
	return p;
}

static void *counting_resize(void *p, size_t n, void *arg)
{
	void *q = empty ? NULL : realloc(p, n);

	(void)arg;
	asked++;
	held += q && !p;
	return q;
}

static void counting_release(void *p, void *arg)
{
	(void)arg;
	held--;
	free(p);
}

static void setup(void)
{
	struct cc_mem mem = {counting_alloc, counting_resize, counting_release, NULL};
	struct cc_ctx_opts o = {.size = sizeof(o), .mem = &mem};

	held = asked = 0;
	empty = false;
	base = event_base_new();
	o.base = base;
	ck_assert_int_eq(cc_ctx_new(&o, &ctx), 0);
	for (int i = 0; i < MEM_SMALL_CLASSES;
		i++) /* AddressSanitizer: nothing is kept by itself */
		ctx->small.classes[i].max = 256;
}

static void teardown(void)
{
	empty = false;
	cc_ctx_free(ctx);
	ck_assert_int_eq(held, 0);
	event_base_free(base);
}

START_TEST(blocks_of_every_small_size_are_aligned_and_whole)
{
	unsigned char *block[800];

	for (size_t n = 0; n < 800; n++) {
		block[n] = mem_small_alloc(ctx, n);
		ck_assert_ptr_nonnull(block[n]);
		ck_assert_uint_eq((uintptr_t)block[n] % _Alignof(max_align_t), 0);
		memset(block[n], (int)(n % 251), n);
	}
	for (size_t n = 0; n < 800; n++) {
		size_t i = 0;

		while (i < n && block[n][i] == n % 251)
			i++;
		ck_assert_uint_eq(i, n); /* once: Check notes down each assertion that holds */
		mem_small_free(ctx, block[n]);
	}
}
END_TEST

START_TEST(a_freed_small_block_serves_the_next_one_of_like_size)
{
	void *p = mem_small_alloc(ctx, 100);

	mem_small_free(ctx, p);
	asked = 0;
	ck_assert_ptr_eq(mem_small_alloc(ctx, 90), p);
	ck_assert_int_eq(asked, 0);
	mem_small_free(ctx, p);
}
END_TEST

START_TEST(a_large_block_goes_back_to_the_allocator_at_once)
{
	int before = held;
	void *p = mem_small_alloc(ctx, LARGE);

	ck_assert_int_eq(held, before + 1);
	mem_small_free(ctx, p);
	ck_assert_int_eq(held, before);
}
END_TEST

START_TEST(free_lists_keep_a_bounded_number_of_blocks)
{
	static void *block[2000];
	int before = held;

	for (int i = 0; i < 2000; i++)
		block[i] = mem_small_alloc(ctx, 32);
	for (int i = 0; i < 2000; i++)
		mem_small_free(ctx, block[i]);
	ck_assert_int_le(held - before, 256);
	ck_assert_int_gt(held - before, 0);
}
END_TEST

START_TEST(resizing_keeps_the_content_from_size_to_size)
{
	static const size_t sizes[] = {10, 40, 200, 600, LARGE, 2 * LARGE, 700, 20};
	char *p = mem_small_resize(ctx, NULL, 10);

	ck_assert_ptr_nonnull(p);
	memcpy(p, "0123456789", 10);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		p = mem_small_resize(ctx, p, sizes[i]);
		ck_assert_ptr_nonnull(p);
		ck_assert_mem_eq(p, "0123456789", 10);
		memset(p + 10, 'x', sizes[i] - 10);
	}
	mem_small_free(ctx, p);
}
END_TEST

START_TEST(resizing_without_memory_leaves_the_block_as_it_was)
{
	char *small = mem_small_alloc(ctx, 10), *large = mem_small_alloc(ctx, LARGE);

	memcpy(small, "0123456789", 10);
	memset(large, 'l', LARGE);
	empty = true;
	ck_assert_ptr_null(mem_small_resize(ctx, small, 600));
	ck_assert_ptr_null(mem_small_resize(ctx, large, 2 * LARGE));
	ck_assert_mem_eq(small, "0123456789", 10);
	ck_assert_int_eq(large[LARGE - 1], 'l');
	mem_small_free(ctx, small);
	mem_small_free(ctx, large);
}
END_TEST

START_TEST(without_memory_there_is_no_block)
{
	empty = true;
	ck_assert_ptr_null(mem_small_alloc(ctx, 600));
	ck_assert_ptr_null(mem_small_alloc(ctx, LARGE));
}
END_TEST

START_TEST(a_size_that_leaves_no_room_for_the_list_number_is_refused)
{
	void *p = mem_small_alloc(ctx, 10);

	mem_small_free(ctx, p); /* so that the smallest list has a block */
	ck_assert_ptr_null(mem_small_alloc(ctx, SIZE_MAX));
	ck_assert_ptr_null(mem_small_alloc(ctx, SIZE_MAX - 8));
}
END_TEST

START_TEST(a_cache_keeps_at_most_its_maximum)
{
	struct mem_cache c;
	void *p[3];
	int before = held;

	mem_cache_init(&c, 48, 2);
	c.max = 2;
	for (int i = 0; i < 3; i++)
		p[i] = mem_cache_get(&c, ctx);
	for (int i = 0; i < 3; i++)
		mem_cache_put(&c, ctx, p[i]);
	ck_assert_int_eq(held, before + 2);
	ck_assert_ptr_eq(mem_cache_get(&c, ctx), p[1]);
	mem_cache_put(&c, ctx, p[1]);
	mem_cache_clear(&c, ctx);
	ck_assert_int_eq(held, before);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("mem");
	TCase *c = tcase_create("mem");

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, blocks_of_every_small_size_are_aligned_and_whole);
	tcase_add_test(c, a_freed_small_block_serves_the_next_one_of_like_size);
	tcase_add_test(c, a_large_block_goes_back_to_the_allocator_at_once);
	tcase_add_test(c, free_lists_keep_a_bounded_number_of_blocks);
	tcase_add_test(c, resizing_keeps_the_content_from_size_to_size);
	tcase_add_test(c, resizing_without_memory_leaves_the_block_as_it_was);
	tcase_add_test(c, without_memory_there_is_no_block);
	tcase_add_test(c, a_size_that_leaves_no_room_for_the_list_number_is_refused);
	tcase_add_test(c, a_cache_keeps_at_most_its_maximum);
	suite_add_tcase(s, c);
	return run_suite_together(s);
}
