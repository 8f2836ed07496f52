/*
 * test_routing.c - which upstream a request goes to: by name, by the host of its url, by further
 * hosts, by the listener, or to nobody with a list of who there is.
 */
#include <stdio.h>
#include <string.h>

#include "tests/daemon/harness.h"

static struct origin *named(const char *name)
{
	return some_origin(&(struct origin_opts){.name = name});
}

/* alpha at 127.0.0.1, beta at localhost and some other names. */
static const char *two_upstreams(void)
{
	return text("%s,\n{ name = \"beta\"; url = \"http://localhost:%u\"; protocols = [ \"h1\" ];"
		    " hosts = [ \"beta.internal\", \"b.example\" ]; }",
		upstream("alpha", named("alpha"), ""), origin_port(named("beta")));
}

/* Who answers to this Host on that socket; NULL: nobody behind the daemon. */
static const char *answerer(const char *socket, const char *host)
{
	struct client *c = client_open_at(socket);
	struct answer a;

	client_say(c, "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", host);
	a = client_hear(c);
	return answer_field(&a, "x-origin");
}

static void assert_routed(const char *host, const char *name)
{
	const char *who = answerer(daemon_socket(), host);

	ck_assert_msg(who && strcmp(who, name) == 0, "%s went to %s", host, who ? who : "nobody");
}

START_TEST(host_may_be_the_name_of_an_upstream)
{
	daemon_start(config("", two_upstreams()));
	assert_routed("alpha", "alpha");
	assert_routed("beta", "beta");
}
END_TEST

START_TEST(host_may_be_the_host_of_the_url)
{
	daemon_start(config("", two_upstreams()));
	assert_routed("127.0.0.1", "alpha");
	assert_routed("localhost", "beta");
}
END_TEST

START_TEST(host_may_be_one_of_hosts)
{
	daemon_start(config("", two_upstreams()));
	assert_routed("beta.internal", "beta");
	assert_routed("b.example", "beta");
}
END_TEST

START_TEST(case_and_port_of_host_do_not_matter)
{
	daemon_start(config("", two_upstreams()));
	assert_routed("ALPHA", "alpha");
	assert_routed("Alpha:80", "alpha");
	assert_routed("LocalHost:1234", "beta");
	assert_routed("BETA.internal:443", "beta");
}
END_TEST

START_TEST(absolute_targets_are_routed_by_the_target)
{
	struct client *c;
	struct answer a;

	daemon_start(config("", two_upstreams()));
	c = client_open();
	client_say(c, "GET http://b.example/ HTTP/1.1\r\nHost: alpha\r\n\r\n");
	a = client_answer(c);
	ck_assert_str_eq(answer_field(&a, "x-origin"), "beta");
	client_close(c);
}
END_TEST

START_TEST(one_client_may_talk_to_several_upstreams)
{
	struct client *c;

	daemon_start(config("", two_upstreams()));
	c = client_open();
	for (int i = 0; i < 10; i++) {
		const char *name = i % 2 ? "alpha" : "beta";
		struct answer a;

		client_say(c, "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", name);
		a = client_answer(c);
		ck_assert_str_eq(answer_field(&a, "x-origin"), name);
	}
	client_close(c);
}
END_TEST

/*
 * The last is not to believe the certificate, and a session of the others would say that it was
 * seen.
 */
static const char *three_of_one_server(const struct origin *o)
{
	return text("%s, %s,\n{ name = \"doubter\"; url = \"https://127.0.0.1:%u\"; "
		    "protocols = [ \"%s\" ]; "
		    "backoff_min = \"10ms\"; backoff_max = \"10ms\"; "
		    "tls : { ca_file = \"%s/../other-ca.pem\"; server_name = \"localhost\"; }; }",
		upstream("one", o, ""), upstream("two", o, ""), origin_port(o),
		origin_is_h2(o) ? "h2" : "h1", harness_dir());
}

static struct answer ask(struct client *c, const char *host)
{
	client_say(c, "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", host);
	return client_answer(c);
}

START_TEST(upstreams_of_one_server_share_neither_connections_nor_trust)
{
	struct origin *o = some_origin(&(struct origin_opts){.tls = true, .h2 = _i});
	struct client *c;
	struct answer one, two, doubter;

	daemon_start(config("", three_of_one_server(o)));
	c = client_open();
	for (int i = 0; i < 5; i++) {
		one = ask(c, "one");
		doubter = ask(c, "doubter");
		two = ask(c, "two");
		ck_assert_uint_eq(one.status, 200);
		ck_assert_uint_eq(two.status, 200);
		ck_assert_str_ne(answer_field(&one, "x-conn"), answer_field(&two, "x-conn"));
		assert_own_answer(&doubter, 502);
		ck_assert_msg(strstr(doubter.body, "tls_certificate_error"), "%s", doubter.body);
	}
	ck_assert_uint_eq(origin_counts(o).requests, 10);
	ck_assert_uint_eq(counted(daemon_counters("one"), NULL, "opened"), 1);
	ck_assert_uint_eq(counted(daemon_counters("two"), NULL, "opened"), 1);
	ck_assert_uint_eq(counted(daemon_counters("doubter"), NULL, "opened"), 0);
	client_close(c);
}
END_TEST

START_TEST(unknown_hosts_get_404_with_the_names)
{
	struct client *c;
	struct answer a;

	daemon_start(config("", two_upstreams()));
	c = client_open();
	client_say(c, "GET / HTTP/1.1\r\nHost: gamma\r\n\r\n");
	a = client_answer(c);
	assert_own_answer(&a, 404);
	ck_assert_msg(strstr(a.body, "alpha") && strstr(a.body, "beta") && strstr(a.body, "gamma"),
		"%s", a.body);
	/* The connection is as good as before. */
	client_say(c, "GET / HTTP/1.1\r\nHost: alpha\r\n\r\n");
	ck_assert_uint_eq(client_answer(c).status, 200);
	client_close(c);
}
END_TEST

/* A name that only begins like one, or is part of one, is another name. */
START_TEST(parts_of_a_name_are_not_the_name)
{
	static const char *const hosts[] = {"alph", "alphaa", "x.alpha", "alpha.x", "internal", "",
		".beta.internal", "127.0.0.2"};

	daemon_start(config("", two_upstreams()));
	for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++)
		ck_assert_msg(!answerer(daemon_socket(), hosts[i]), "%s", hosts[i]);
}
END_TEST

START_TEST(hosts_cannot_break_the_json_of_a_404)
{
	struct client *c;
	struct answer a;

	daemon_start(config("", two_upstreams()));
	c = client_open();
	client_say(c, "GET /%%22%%5C\"\\ HTTP/1.1\r\nHost: a'b.example\r\n\r\n");
	a = client_answer(c);
	ck_assert_uint_ge(a.status, 400);
	assert_json(&a, a.status);
	client_close(c);
}
END_TEST

START_TEST(the_only_upstream_takes_every_host)
{
	daemon_start(config("", upstream("alpha", named("alpha"), "")));
	assert_routed("whatever.example", "alpha");
	assert_routed("localhost", "alpha");
}
END_TEST

START_TEST(default_upstream_takes_unknown_hosts)
{
	daemon_start(config("default_upstream = \"beta\";", two_upstreams()));
	assert_routed("whatever.example", "beta");
	assert_routed("alpha", "alpha");
}
END_TEST

START_TEST(listener_with_an_upstream_ignores_host)
{
	const char *second = text("%s/beta.sock", harness_dir());

	daemon_start(
		text("listeners = ( { name = \"main\"; path = \"%s\"; mode = \"0600\"; },\n"
		     "{ name = \"b\"; path = \"%s\"; mode = \"0600\"; upstream = \"beta\"; } );\n"
		     "upstreams = (\n%s\n);\n",
			daemon_socket(), second, two_upstreams()));
	ck_assert_str_eq(answerer(second, "alpha"), "beta");
	ck_assert_str_eq(answerer(second, "whatever"), "beta");
	ck_assert_str_eq(answerer(daemon_socket(), "alpha"), "alpha");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("routing");
	TCase *tc = harness_case(s, "routing");

	tcase_add_test(tc, host_may_be_the_name_of_an_upstream);
	tcase_add_test(tc, host_may_be_the_host_of_the_url);
	tcase_add_test(tc, host_may_be_one_of_hosts);
	tcase_add_test(tc, case_and_port_of_host_do_not_matter);
	tcase_add_test(tc, absolute_targets_are_routed_by_the_target);
	tcase_add_test(tc, one_client_may_talk_to_several_upstreams);
	tcase_add_loop_test(tc, upstreams_of_one_server_share_neither_connections_nor_trust, 0, 2);
	tcase_add_test(tc, unknown_hosts_get_404_with_the_names);
	tcase_add_test(tc, parts_of_a_name_are_not_the_name);
	tcase_add_test(tc, hosts_cannot_break_the_json_of_a_404);
	tcase_add_test(tc, the_only_upstream_takes_every_host);
	tcase_add_test(tc, default_upstream_takes_unknown_hosts);
	tcase_add_test(tc, listener_with_an_upstream_ignores_host);
	return harness_main(s);
}
