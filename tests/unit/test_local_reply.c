/* test_local_reply.c - local reply: JSON, Proxy-Status, and what each error becomes. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "daemon/base/conf.h"
#include "daemon/base/local_reply.h"
#include "tests/unit/ctx_fixture.h"
#include "tests/unit/run.h"

static struct ctx_fixture f;
static struct cc_head *h;
static struct cc_buf body;

static void setup(void)
{
	fixture_begin(&f, 0);
	h = cc_head_new(f.ctx);
	cc_buf_init(&body, f.ctx);
}

static void teardown(void)
{
	cc_buf_clear(&body);
	cc_head_free(h);
	fixture_end(&f);
}

static const char *field(const char *name)
{
	static char text[600];
	int i = cc_head_find_name(h, (struct cc_str){name, strlen(name)}, 0);

	if (i < 0)
		return "(none)";
	snprintf(text, sizeof(text), "%.*s", (int)cc_head_value(h, (size_t)i).n,
		cc_head_value(h, (size_t)i).p);
	return text;
}

static json_t *parsed(void)
{
	static char text[4096];
	json_error_t e;
	json_t *j;

	text[cc_buf_peek(&body, text, sizeof(text) - 1)] = '\0';
	j = json_loads(text, 0, &e);
	ck_assert_msg(j != NULL, "%s in %s", e.text, text);
	return j;
}

START_TEST(an_answer_names_cause_upstream_and_limit)
{
	struct local_reply a = {
		.status = 503,
		.error = "connection_limit_reached",
		.detail = "nothing \"free\"",
		.upstream = "api",
		.limit = "max_queue",
		.retry_after = 1,
		.retry_safe = true,
	};
	char length[20];
	json_t *j;

	ck_assert_int_eq(local_reply_build(&a, h, &body), 0);
	ck_assert_uint_eq(cc_head_status(h), 503);
	ck_assert_str_eq(field("content-type"), "application/problem+json");
	ck_assert_str_eq(field("proxy-status"),
		"connpoold; error=connection_limit_reached; next-hop=\"api\"; "
		"details=\"nothing \\\"free\\\"\"");
	ck_assert_str_eq(field("retry-after"), "1");
	ck_assert_str_eq(field("connpool-retry-safe"), "yes");
	snprintf(length, sizeof(length), "%zu", body.len);
	ck_assert_str_eq(field("content-length"), length);
	j = parsed();
	ck_assert_int_eq(json_integer_value(json_object_get(j, "status")), 503);
	ck_assert_str_eq(json_string_value(json_object_get(j, "upstream")), "api");
	ck_assert_str_eq(json_string_value(json_object_get(j, "limit")), "max_queue");
	ck_assert_str_eq(json_string_value(json_object_get(j, "detail")), "nothing \"free\"");
	json_decref(j);
}
END_TEST

START_TEST(an_unknown_name_gets_the_list_of_names)
{
	struct conf_upstream ups[] = {{.name = "github"}, {.name = "stripe"}};
	struct conf conf = {.upstreams = ups, .upstream_count = 2};
	struct local_reply a = {
		.status = 404,
		.error = "destination_not_found",
		.detail = "?",
		.names = &conf,
	};
	json_t *j;

	ck_assert_int_eq(local_reply_build(&a, h, &body), 0);
	j = parsed();
	ck_assert_uint_eq(json_array_size(json_object_get(j, "upstreams")), 2);
	ck_assert_str_eq(
		json_string_value(json_array_get(json_object_get(j, "upstreams"), 1)), "stripe");
	json_decref(j);
}
END_TEST

START_TEST(what_an_upstream_says_cannot_break_out_of_the_fields)
{
	struct local_reply a = {
		.status = 502,
		.error = "http_protocol_error",
		.detail = "bad\r\nSet-Cookie: x=1\"\\ \x01 \xff end",
	};
	const char *value;

	ck_assert_int_eq(local_reply_build(&a, h, &body), 0);
	value = field("proxy-status");
	for (const char *c = value; *c; c++)
		ck_assert_msg(*c >= ' ' && *c <= '~', "byte %d in %s", *c, value);
	ck_assert_ptr_nonnull(strstr(value, "end"));
	json_decref(parsed());
}
END_TEST

START_TEST(timeouts_are_504_and_the_rest_502)
{
	struct local_reply a = {0};

	local_reply_from_error(&a, CC_ETIMEOUT, CC_PHASE_WAITING);
	ck_assert_uint_eq(a.status, 504);
	ck_assert_str_eq(a.error, "http_response_timeout");
	local_reply_from_error(&a, CC_ETIMEOUT, CC_PHASE_QUEUED);
	ck_assert_str_eq(a.error, "connection_timeout");
	local_reply_from_error(&a, CC_ECONNECT, CC_PHASE_QUEUED);
	ck_assert_uint_eq(a.status, 502);
	ck_assert_str_eq(a.error, "connection_refused");
	ck_assert_ptr_null(a.limit);
	local_reply_from_error(&a, CC_ERESOLVE, CC_PHASE_QUEUED);
	ck_assert_str_eq(a.error, "dns_error");
	local_reply_from_error(&a, CC_EEOF, CC_PHASE_WAITING);
	ck_assert_str_eq(a.error, "connection_terminated");
}
END_TEST

START_TEST(lack_of_descriptors_is_a_limit_of_ours)
{
	struct local_reply a = {0};

	local_reply_from_error(&a, CC_EMFILE, CC_PHASE_QUEUED);
	ck_assert_uint_eq(a.status, 503);
	ck_assert_str_eq(a.error, "proxy_internal_limit");
	ck_assert_str_eq(a.limit, "LimitNOFILE");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("local_reply");
	TCase *t = tcase_create("local_reply");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, an_answer_names_cause_upstream_and_limit);
	tcase_add_test(t, an_unknown_name_gets_the_list_of_names);
	tcase_add_test(t, what_an_upstream_says_cannot_break_out_of_the_fields);
	tcase_add_test(t, timeouts_are_504_and_the_rest_502);
	tcase_add_test(t, lack_of_descriptors_is_a_limit_of_ours);
	suite_add_tcase(s, t);
	return run_suite_together(s);
}
