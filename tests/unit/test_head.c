/* test_head.c - one message head: what it takes, keeps, finds and gives away. */
#include <check.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <clientconn/head.h>

#include "lib/base/ctx.h"
#include "lib/base/head_int.h"
#include "lib/base/token.h"
#include "tests/unit/run.h"

static struct cc_ctx *ctx;
static struct cc_head *h;

static void make_head(void)
{
	struct cc_ctx_opts opts = {.size = sizeof(opts), .base = event_base_new()};

	ctx = calloc(1, sizeof(*ctx));
	ck_assert_int_eq(ctx_init(ctx, &opts), 0);
	h = cc_head_new(ctx);
}

static void free_head(void)
{
	struct event_base *base = ctx->base;

	cc_head_free(h);
	ctx_clear(ctx);
	event_base_free(base);
	free(ctx);
}

static struct cc_str str(const char *s)
{
	return (struct cc_str){s, strlen(s)};
}

static int add(const char *name, const char *value)
{
	return cc_head_add(h, str(name), str(value));
}

#define assert_str(s, lit)                                                                         \
	do {                                                                                       \
		struct cc_str s_ = (s);                                                            \
		ck_assert_msg(s_.n == strlen(lit) && memcmp(s_.p, lit, s_.n) == 0,                 \
			"\"%.*s\" is not \"%s\"", (int)s_.n, s_.p, lit);                           \
	} while (0)

static void assert_names(const char *expected)
{
	char got[1000] = "";
	size_t n = 0;

	for (size_t i = 0; i < cc_head_count(h); i++) {
		struct cc_str name = cc_head_name(h, i);

		n += (size_t)snprintf(got + n, sizeof(got) - n, "%.*s ", (int)name.n, name.p);
	}
	ck_assert_str_eq(got, expected);
}

START_TEST(a_new_head_is_empty)
{
	ck_assert_uint_eq(cc_head_count(h), 0);
	ck_assert_uint_eq(cc_head_status(h), 0);
	assert_str(cc_head_method(h), "");
	ck_assert_int_eq(cc_head_find(h, CC_T_HOST, 0), -1);
	ck_assert_int_eq(cc_head_find_name(h, CC_STR("host"), 0), -1);
	ck_assert_int_eq(cc_head_content_length(h), -1);
}
END_TEST

START_TEST(a_request_keeps_its_four_parts)
{
	ck_assert_int_eq(cc_head_set_request(h, CC_STR("PATCH"), CC_STR("https"), CC_STR("[::1]:8"),
				 CC_STR("/a?b")),
		0);
	assert_str(cc_head_method(h), "PATCH");
	assert_str(cc_head_scheme(h), "https");
	assert_str(cc_head_authority(h), "[::1]:8");
	assert_str(cc_head_path(h), "/a?b");
	ck_assert_uint_eq(cc_head_status(h), 0);
}
END_TEST

START_TEST(a_status_makes_it_a_response)
{
	cc_head_set_request(h, CC_STR("GET"), CC_STR(""), CC_STR("a"), CC_STR("/"));
	ck_assert_int_eq(cc_head_set_status(h, 204), 0);
	ck_assert_uint_eq(cc_head_status(h), 204);
	assert_str(cc_head_method(h), "");
	ck_assert_int_eq(cc_head_set_status(h, 99), CC_EINVAL);
	ck_assert_int_eq(cc_head_set_status(h, 1000), CC_EINVAL);
	ck_assert_uint_eq(cc_head_status(h), 204);
}
END_TEST

START_TEST(invalid_requests_are_refused_and_change_nothing)
{
	static const struct {
		const char *method, *scheme, *authority, *path;
	} bad[] = {
		{"", "http", "a", "/"},
		{"G T", "http", "a", "/"},
		{"GET\r\n", "http", "a", "/"},
		{"GET", "1http", "a", "/"},
		{"GET", "ht/tp", "a", "/"},
		{"GET", "http", "a b", "/"},
		{"GET", "http", "u@a", "/"},
		{"GET", "http", "a/b", "/"},
		{"GET", "http", "a:b", "/"},
		{"GET", "http", "a\r\nX: y", "/"},
		{"GET", "http", "[::1", "/"},
		{"GET", "http", "a%", "/"},
		{"GET", "http", "a", "/a b"},
		{"GET", "http", "a", "/\r\nX: y"},
		{"GET", "http", "a", "/\t"},
		{"GET", "http", "a", "/\xc3\xa4"},
		{"GET", "http", "a", "/#f"},
		{"GET", "http", "a", "/\x7f"},
	};

	cc_head_set_request(h, CC_STR("GET"), CC_STR("http"), CC_STR("old"), CC_STR("/old"));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_int_eq(cc_head_set_request(h, str(bad[i].method), str(bad[i].scheme),
					 str(bad[i].authority), str(bad[i].path)),
			CC_EINVAL);
	assert_str(cc_head_authority(h), "old");
	assert_str(cc_head_path(h), "/old");
	ck_assert_int_eq(cc_head_set_request(h, CC_STR("GET"), CC_STR("http"), CC_STR("a"),
				 (struct cc_str){"/\0", 2}),
		CC_EINVAL);
}
END_TEST

START_TEST(authorities_follow_the_grammar)
{
	static const char *const good[] = {"", "a", "a:", "a:80", "a.b-c_d~", "127.0.0.1:65535",
		"[::1]", "[::ffff:1.2.3.4]:443", "%41b", "a!$&'()*+,;=", "A.EXAMPLE"};
	static const char *const bad[] = {":x", "a:80x", "a::", "[", "[]", "[]:1", "[x]", "[::1]a",
		"::1", "a%4", "a%4x", "a|b", "a\"", "\\", "<a>", "a^", "`", "{", "a?", "a#", "a/",
		"@"};

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		ck_assert_msg(head_authority_ok(good[i], strlen(good[i])), "%s", good[i]);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_msg(!head_authority_ok(bad[i], strlen(bad[i])), "%s", bad[i]);
}
END_TEST

START_TEST(names_become_lower_case_and_values_are_trimmed)
{
	ck_assert_int_eq(add("X-Some_Name!#$%&'*+.^`|~09AZ", " \t a \t b \t"), 0);
	assert_str(cc_head_name(h, 0), "x-some_name!#$%&'*+.^`|~09az");
	assert_str(cc_head_value(h, 0), "a \t b");
	ck_assert_int_eq(add("Empty", " \t "), 0);
	assert_str(cc_head_value(h, 1), "");
	ck_assert_int_eq(add("obs", "\x80\xff"), 0);
	assert_str(cc_head_value(h, 2), "\x80\xff");
}
END_TEST

START_TEST(each_byte_of_a_name_must_be_a_token_character)
{
	static const char good[] =
		"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

	for (int c = 0; c < 256; c++) {
		char name[] = {'a', (char)c};
		bool ok = c != 0 && strchr(good, c) != NULL;

		ck_assert_int_eq(
			cc_head_add(h, (struct cc_str){name, 2}, CC_STR("v")), ok ? 0 : CC_EINVAL);
	}
	ck_assert_int_eq(add("", "v"), CC_EINVAL);
	ck_assert_uint_eq(cc_head_count(h), sizeof(good) - 1);
}
END_TEST

START_TEST(control_bytes_have_no_place_in_a_value)
{
	for (int c = 0; c < 256; c++) {
		char value[] = {'a', (char)c, 'b'};
		bool ok = c == '\t' || (c >= 0x20 && c != 0x7f);

		ck_assert_int_eq(
			cc_head_add(h, CC_STR("n"), (struct cc_str){value, 3}), ok ? 0 : CC_EINVAL);
	}
}
END_TEST

START_TEST(fields_are_found_by_token_and_by_name)
{
	add("A", "1");
	add("Connection", "x");
	add("a", "2");
	add("CONNECTION", "y");
	ck_assert_int_eq(cc_head_find(h, CC_T_CONNECTION, 0), 1);
	ck_assert_int_eq(cc_head_find(h, CC_T_CONNECTION, 2), 3);
	ck_assert_int_eq(cc_head_find(h, CC_T_CONNECTION, 4), -1);
	ck_assert_int_eq(cc_head_find(h, CC_T_CONNECTION, 99), -1);
	ck_assert_int_eq(cc_head_find_name(h, CC_STR("A"), 0), 0);
	ck_assert_int_eq(cc_head_find_name(h, CC_STR("a"), 1), 2);
	ck_assert_int_eq(cc_head_find_name(h, CC_STR("b"), 0), -1);
	ck_assert_int_eq(cc_head_find_name(h, CC_STR("conNection"), 0), 1);
}
END_TEST

START_TEST(each_token_stands_for_its_name_only)
{
	static const struct {
		const char *name;
		enum cc_token token;
	} all[] = {
		{"connection", CC_T_CONNECTION},
		{"content-length", CC_T_CONTENT_LENGTH},
		{"expect", CC_T_EXPECT},
		{"host", CC_T_HOST},
		{"keep-alive", CC_T_KEEP_ALIVE},
		{"proxy-connection", CC_T_PROXY_CONNECTION},
		{"te", CC_T_TE},
		{"trailer", CC_T_TRAILER},
		{"transfer-encoding", CC_T_TRANSFER_ENCODING},
		{"upgrade", CC_T_UPGRADE},
		{"via", CC_T_VIA},
	};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		char name[32];
		size_t n = strlen(all[i].name);

		ck_assert_int_eq(token_find(all[i].name, n), all[i].token);
		ck_assert_int_eq(token_find(all[i].name, n - 1), CC_T_OTHER);
		for (size_t k = 0; k < n; k++) {
			memcpy(name, all[i].name, n);
			name[k] ^= 1;
			ck_assert_int_eq(token_find(name, n), CC_T_OTHER);
		}
	}
	ck_assert_int_eq(token_find("", 0), CC_T_OTHER);
}
END_TEST

START_TEST(removing_a_field_keeps_the_order_of_the_others)
{
	add("a", "1");
	add("b", "2");
	add("c", "3");
	cc_head_remove(h, 1);
	assert_names("a c ");
	cc_head_remove(h, 1);
	cc_head_remove(h, 0);
	assert_names("");
}
END_TEST

START_TEST(what_belongs_to_one_hop_goes)
{
	add("a", "1");
	add("X-Hop", "2");
	add("Connection", "close , X-HOP");
	add("Keep-Alive", "3");
	add("Other", "x");
	add("Proxy-Connection", "4");
	add("TE", "trailers");
	add("Transfer-Encoding", "chunked");
	add("Upgrade", "h2c");
	add("Trailer", "Sum");
	add("Connection", "\tother,,");
	add("x-hop", "5");
	add("Content-Length", "6");
	ck_assert(!cc_head_hop_by_hop(h, 0));
	ck_assert(cc_head_hop_by_hop(h, 1));
	ck_assert(cc_head_hop_by_hop(h, 4));
	cc_head_strip_hop_by_hop(h);
	assert_names("a trailer content-length ");
}
END_TEST

START_TEST(connection_cannot_name_away_length_and_host)
{
	add("Content-Length", "6");
	add("Host", "a");
	add("Connection", "content-length, host");
	cc_head_strip_hop_by_hop(h);
	assert_names("content-length host ");
}
END_TEST

START_TEST(parts_of_names_in_connection_mean_nothing)
{
	add("x", "1");
	add("xx", "1");
	add("Connection", "xxx x-x");
	cc_head_strip_hop_by_hop(h);
	assert_names("x xx ");
}
END_TEST

START_TEST(content_length_is_a_number_or_minus_one)
{
	static const struct {
		const char *value;
		int64_t n;
	} rows[] = {
		{"0", 0},
		{"5", 5},
		{"007", 7},
		{"9223372036854775807", INT64_MAX},
		{"9223372036854775808", -1},
		{"99999999999999999999", -1},
		{"", -1},
		{"+5", -1},
		{"-5", -1},
		{"5 5", -1},
		{"5,5", -1},
		{"0x5", -1},
		{"a", -1},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		cc_head_reset(h);
		add("Content-Length", rows[i].value);
		ck_assert_int_eq(cc_head_content_length(h), rows[i].n);
	}
	cc_head_reset(h);
	add("Content-Length", "5");
	add("Content-Length", "5");
	ck_assert_int_eq(cc_head_content_length(h), -1);
}
END_TEST

START_TEST(many_and_large_fields_survive_growing)
{
	static char value[3000];

	cc_head_set_request(h, CC_STR("GET"), CC_STR("http"), CC_STR("host"), CC_STR("/path"));
	for (unsigned i = 0; i < 300; i++) {
		memset(value, 'a' + (int)(i % 26), sizeof(value));
		ck_assert_int_eq(cc_head_add(h, CC_STR("Name"), (struct cc_str){value, i * 10}), 0);
	}
	for (unsigned i = 0; i < 300; i++) {
		memset(value, 'a' + (int)(i % 26), sizeof(value));
		ck_assert_uint_eq(cc_head_value(h, i).n, i * 10);
		ck_assert(memcmp(cc_head_value(h, i).p, value, i * 10) == 0);
		assert_str(cc_head_name(h, i), "name");
	}
	assert_str(cc_head_path(h), "/path");
	cc_head_reset(h);
	ck_assert_ptr_eq(h->text, h->inline_text); /* large memory went back */
	ck_assert_ptr_eq(h->fields, h->inline_fields);
	ck_assert_int_eq(add("a", "b"), 0);
	assert_str(cc_head_value(h, 0), "b");
}
END_TEST

START_TEST(a_head_may_be_given_its_own_strings)
{
	static char long_path[1400];

	memset(long_path, 'p', sizeof(long_path));
	long_path[0] = '/';
	ck_assert_int_eq(cc_head_set_request(h, CC_STR("GET"), CC_STR("http"), CC_STR("a.example"),
				 (struct cc_str){long_path, sizeof(long_path)}),
		0);
	/* Each of these grows the arena the strings lie in. */
	for (int i = 0; i < 5; i++)
		ck_assert_int_eq(cc_head_set_request(h, cc_head_method(h), CC_STR("https"),
					 cc_head_authority(h), cc_head_path(h)),
			0);
	for (size_t i = 0; i < 5; i++)
		ck_assert_int_eq(cc_head_add(h, CC_STR("X-Path"), cc_head_path(h)), 0);
	ck_assert_int_eq(cc_head_add(h, cc_head_name(h, 0), cc_head_value(h, 4)), 0);
	assert_str(cc_head_authority(h), "a.example");
	ck_assert_uint_eq(cc_head_value(h, 5).n, sizeof(long_path));
	ck_assert(memcmp(cc_head_value(h, 5).p, long_path, sizeof(long_path)) == 0);
	assert_str(cc_head_name(h, 5), "x-path");
}
END_TEST

START_TEST(a_freed_head_is_used_again_and_clean)
{
	struct cc_head *first = cc_head_new(ctx);

	ctx->heads.max = 1; /* under AddressSanitizer nothing is kept by itself */
	cc_head_add(first, CC_STR("a"), CC_STR("b"));
	cc_head_set_status(first, 200);
	cc_head_free(first);

	struct cc_head *second = cc_head_new(ctx);

	ck_assert_ptr_eq(first, second);
	ck_assert_uint_eq(cc_head_count(second), 0);
	ck_assert_uint_eq(cc_head_status(second), 0);
	cc_head_free(second);
	cc_head_free(NULL);
}
END_TEST

START_TEST(one_head_is_one_block_of_two_kib)
{
	ck_assert_uint_le(sizeof(struct cc_head), 2048);
	ck_assert_uint_eq(sizeof(struct head_field), 16);
}
END_TEST

static long allocations_left;

static void *failing_alloc(size_t size, void *arg)
{
	(void)arg;
	return allocations_left-- > 0 ? malloc(size) : NULL;
}

START_TEST(without_memory_an_addition_fails_and_changes_nothing)
{
	static char value[4000];

	memset(value, 'v', sizeof(value));
	for (int i = 0; i < 10; i++)
		ck_assert_int_eq(add("name", "value"), 0);
	ctx->mem.alloc = failing_alloc;
	allocations_left = 0;
	ck_assert_int_eq(
		cc_head_add(h, CC_STR("n"), (struct cc_str){value, sizeof(value)}), CC_ENOMEM);
	memset(value, 'a', sizeof(value));
	ck_assert_int_eq(cc_head_set_request(h, CC_STR("GET"), CC_STR(""), CC_STR(""),
				 (struct cc_str){value, sizeof(value)}),
		CC_ENOMEM);
	ck_assert_uint_eq(cc_head_count(h), 10);
	assert_str(cc_head_method(h), "");

	/* The 25th field needs a larger array. */
	for (int i = 10; i < (int)HEAD_FIELDS; i++)
		ck_assert_int_eq(add("n", "v"), 0);
	ck_assert_int_eq(add("n", "v"), CC_ENOMEM);
	ck_assert_uint_eq(cc_head_count(h), HEAD_FIELDS);
	allocations_left = 1;
	ck_assert_int_eq(add("n", "v"), 0);
	mem_cache_clear(&ctx->heads, ctx);
	allocations_left = 0;
	ck_assert_ptr_null(cc_head_new(ctx));
}
END_TEST

/* Larger than what is in the block, in text and in fields. */
static void make_large(void)
{
	ck_assert_int_eq(cc_head_set_request(h, CC_STR("POST"), CC_STR("https"),
				 CC_STR("example.org:8443"), CC_STR("/a?b=c")),
		0);
	for (int i = 0; i < 100; i++) {
		char name[20], value[100];

		snprintf(name, sizeof(name), "x-%d", i);
		snprintf(value, sizeof(value), "%080d", i);
		ck_assert_int_eq(add(name, value), 0);
	}
	add("Content-Length", "5");
}

static void assert_same(const struct cc_head *a, const struct cc_head *b)
{
	ck_assert_uint_eq(cc_head_status(a), cc_head_status(b));
	ck_assert_uint_eq(cc_head_count(a), cc_head_count(b));
	for (size_t i = 0; i < cc_head_count(a); i++) {
		struct cc_str name = cc_head_name(a, i), value = cc_head_value(a, i);

		ck_assert_int_eq(cc_head_find_name(b, name, i), (int)i);
		ck_assert_uint_eq(cc_head_value(b, i).n, value.n);
		ck_assert_mem_eq(cc_head_value(b, i).p, value.p, value.n);
	}
}

START_TEST(a_copy_has_all_of_it_and_is_on_its_own)
{
	struct cc_head *copy;

	make_large();
	copy = cc_head_copy(ctx, h);
	ck_assert_ptr_nonnull(copy);
	assert_same(h, copy);
	cc_head_reset(h);
	add("later", "1");
	assert_str(cc_head_method(copy), "POST");
	assert_str(cc_head_scheme(copy), "https");
	assert_str(cc_head_authority(copy), "example.org:8443");
	assert_str(cc_head_path(copy), "/a?b=c");
	ck_assert_uint_eq(cc_head_count(copy), 101);
	ck_assert_int_eq(cc_head_find(copy, CC_T_CONTENT_LENGTH, 0), 100);
	ck_assert_int_eq(cc_head_add(copy, CC_STR("more"), CC_STR("2")), 0);
	ck_assert_uint_eq(cc_head_count(h), 1);
	cc_head_free(copy);

	cc_head_set_status(h, 204);
	copy = cc_head_copy(ctx, h);
	ck_assert_uint_eq(cc_head_status(copy), 204);
	assert_same(h, copy);
	cc_head_free(copy);
	cc_head_reset(h);
	copy = cc_head_copy(ctx, h);
	ck_assert_uint_eq(cc_head_count(copy), 0);
	cc_head_free(copy);
}
END_TEST

/* The block, the text and the larger arrays of fields, one after the other. */
START_TEST(without_memory_there_is_no_copy)
{
	struct cc_head *copy;
	int needed = 0;

	make_large();
	ctx->mem.alloc = failing_alloc;
	for (copy = NULL; !copy && needed < 20; needed++) {
		mem_cache_clear(&ctx->heads, ctx);
		allocations_left = needed;
		copy = cc_head_copy(ctx, h);
	}
	ck_assert_ptr_nonnull(copy);
	ck_assert_int_gt(needed, 3);
	assert_same(h, copy);
	cc_head_free(copy);
}
END_TEST

static void add_tests(TCase *t)
{
	tcase_add_test(t, a_new_head_is_empty);
	tcase_add_test(t, a_request_keeps_its_four_parts);
	tcase_add_test(t, a_status_makes_it_a_response);
	tcase_add_test(t, invalid_requests_are_refused_and_change_nothing);
	tcase_add_test(t, authorities_follow_the_grammar);
	tcase_add_test(t, names_become_lower_case_and_values_are_trimmed);
	tcase_add_test(t, each_byte_of_a_name_must_be_a_token_character);
	tcase_add_test(t, control_bytes_have_no_place_in_a_value);
	tcase_add_test(t, fields_are_found_by_token_and_by_name);
	tcase_add_test(t, each_token_stands_for_its_name_only);
	tcase_add_test(t, removing_a_field_keeps_the_order_of_the_others);
	tcase_add_test(t, what_belongs_to_one_hop_goes);
	tcase_add_test(t, connection_cannot_name_away_length_and_host);
	tcase_add_test(t, parts_of_names_in_connection_mean_nothing);
	tcase_add_test(t, content_length_is_a_number_or_minus_one);
	tcase_add_test(t, many_and_large_fields_survive_growing);
	tcase_add_test(t, a_head_may_be_given_its_own_strings);
	tcase_add_test(t, a_freed_head_is_used_again_and_clean);
	tcase_add_test(t, one_head_is_one_block_of_two_kib);
	tcase_add_test(t, without_memory_an_addition_fails_and_changes_nothing);
	tcase_add_test(t, a_copy_has_all_of_it_and_is_on_its_own);
	tcase_add_test(t, without_memory_there_is_no_copy);
}

int main(void)
{
	Suite *s = suite_create("head");
	TCase *t = tcase_create("head");

	tcase_add_checked_fixture(t, make_head, free_head);
	add_tests(t);
	suite_add_tcase(s, t);
	return run_suite_together(s);
}
