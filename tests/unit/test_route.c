/* test_route.c - which upstream an authority means. */
#include <check.h>
#include <string.h>

#include "daemon/exchange/route.h"
#include "tests/unit/run.h"

static const char *const hosts[] = {"stripe.internal", "pay"};
static struct conf_upstream upstreams[] = {
	{.index = 0, .name = "github", .host = "api.github.com"},
	{.index = 1, .name = "stripe", .host = "api.stripe.com", .hosts = hosts, .host_count = 2},
	{.index = 2, .name = "six", .host = "::1"},
	{.index = 3, .name = "api.stripe.com", .host = "mirror.example"},
};
static struct conf conf = {.upstreams = upstreams, .upstream_count = 4};

static const char *found(const struct conf_listener *l, const char *authority)
{
	struct cc_str a = {authority, strlen(authority)};
	const struct conf_upstream *u = route_find(&conf, l, a);

	return u ? u->name : "(none)";
}

static const struct conf_listener plain;

START_TEST(by_name_by_the_urls_host_and_by_further_hosts)
{
	ck_assert_str_eq(found(&plain, "github"), "github");
	ck_assert_str_eq(found(&plain, "api.github.com"), "github");
	ck_assert_str_eq(found(&plain, "pay"), "stripe");
	ck_assert_str_eq(found(&plain, "stripe.internal"), "stripe");
}
END_TEST

START_TEST(case_and_port_do_not_matter)
{
	ck_assert_str_eq(found(&plain, "GitHub:8080"), "github");
	ck_assert_str_eq(found(&plain, "API.GITHUB.COM:443"), "github");
	ck_assert_str_eq(found(&plain, "[::1]:443"), "six");
	ck_assert_str_eq(found(&plain, "[::1]"), "six");
}
END_TEST

START_TEST(a_name_goes_before_a_host)
{
	ck_assert_str_eq(found(&plain, "api.stripe.com"), "api.stripe.com");
}
END_TEST

START_TEST(an_unknown_or_empty_host_is_nobody_without_a_default)
{
	ck_assert_str_eq(found(&plain, "example.org"), "(none)");
	ck_assert_str_eq(found(&plain, ""), "(none)");
	ck_assert_str_eq(found(&plain, "git"), "(none)");
	ck_assert_str_eq(found(&plain, "githubx"), "(none)");
}
END_TEST

START_TEST(an_unknown_host_goes_to_the_default)
{
	struct conf_listener l = {.fallback = &upstreams[0]};

	ck_assert_str_eq(found(&l, "localhost"), "github");
	ck_assert_str_eq(found(&l, ""), "github");
	ck_assert_str_eq(found(&l, "pay"), "stripe");
}
END_TEST

START_TEST(a_fixed_upstream_ignores_the_host)
{
	struct conf_listener l = {.fixed = &upstreams[1], .fallback = &upstreams[0]};

	ck_assert_str_eq(found(&l, "github"), "stripe");
	ck_assert_str_eq(found(&l, ""), "stripe");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("route");
	TCase *c = tcase_create("find");

	tcase_add_test(c, by_name_by_the_urls_host_and_by_further_hosts);
	tcase_add_test(c, case_and_port_do_not_matter);
	tcase_add_test(c, a_name_goes_before_a_host);
	tcase_add_test(c, an_unknown_or_empty_host_is_nobody_without_a_default);
	tcase_add_test(c, an_unknown_host_goes_to_the_default);
	tcase_add_test(c, a_fixed_upstream_ignores_the_host);
	suite_add_tcase(s, c);
	return run_suite_together(s);
}
