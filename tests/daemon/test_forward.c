/*
 * test_forward.c - what goes through arrives as it was: methods, sizes and both framings against
 * nginx, nghttpd and a scripted origin, with curl as the client.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/daemon/harness.h"

#define KIB 1024ull
#define MIB (1024ull * 1024)

enum kind { NGINX_H2, NGINX_H1S, NGINX_H1, NGHTTPD_H2, NGHTTPD_H2C, KINDS };

/* Starts the server of that kind and the daemon in front of it; the server's documents. */
static const char *serve(enum kind kind)
{
	struct nginx n;

	nginx_start(&n);
	switch (kind) {
	case NGINX_H2:
		daemon_start(config("", upstream_at("origin", true, "h2", n.h2, "")));
		break;
	case NGINX_H1S:
		daemon_start(config("", upstream_at("origin", true, "h1", n.h1s, "")));
		break;
	case NGINX_H1:
		daemon_start(config("", upstream_at("origin", false, "h1", n.h1, "")));
		break;
	case NGHTTPD_H2:
		daemon_start(config(
			"", upstream_at("origin", true, "h2", nghttpd_start(true, n.root), "")));
		break;
	default:
		daemon_start(config(
			"", upstream_at("origin", false, "h2c", nghttpd_start(false, n.root), "")));
		break;
	}
	return n.root;
}

static const char *pattern_sum(uint64_t n)
{
	char hex[65];

	pattern_sha(n, hex);
	return text("%s", hex);
}

/* What curl got, as SHA-256. */
static const char *fetched_sum(const char *args)
{
	return text("%.64s",
		curl("-o %s/got %s && sha256sum < %s/got", harness_dir(), args, harness_dir()));
}

START_TEST(get_brings_the_bytes_of_the_file)
{
	static const uint64_t sizes[] = {0, 1, KIB, 16 * KIB, 64 * KIB, MIB};
	const char *root = serve((enum kind)_i);

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		/* A name for each size: servers keep what they know of a file for a while. */
		pattern_file(text("%s/file%zu", root, i), sizes[i]);
		ck_assert_str_eq(
			fetched_sum(text("http://origin/file%zu", i)), pattern_sum(sizes[i]));
	}
}
END_TEST

START_TEST(a_hundred_mebibytes_come_down_whole)
{
	const char *root = serve((enum kind)_i);

	pattern_file(text("%s/file", root), 100 * MIB);
	ck_assert_str_eq(fetched_sum("http://origin/file"), pattern_sum(100 * MIB));
}
END_TEST

START_TEST(head_tells_the_length_and_brings_no_body)
{
	const char *root = serve((enum kind)_i);
	struct client *c;
	struct answer a;

	pattern_file(text("%s/file", root), 5000);
	c = client_open();
	client_say(c, "HEAD /file HTTP/1.1\r\nHost: origin\r\n\r\n");
	a = client_next(c, true);
	ck_assert_uint_eq(a.status, 200);
	ck_assert_str_eq(answer_field(&a, "content-length"), "5000");
	a = get(c, "/file");
	ck_assert_uint_eq(a.len, 5000);
	client_close(c);
}
END_TEST

START_TEST(missing_files_keep_the_status_of_the_origin)
{
	serve((enum kind)_i);
	struct answer a = get_once("/is-not-there");

	ck_assert_uint_eq(a.status, 404);
	ck_assert(a.whole);
	ck_assert_ptr_null(answer_field(&a, "proxy-status"));
}
END_TEST

START_TEST(sixty_four_parallel_clients_get_what_they_asked_for)
{
	const char *root = serve((enum kind)_i);
	unsigned good = 0;

	pattern_file(text("%s/file", root), 10 * KIB);
	const char *said =
		curl("-Z --parallel-immediate --parallel-max 64 -o /dev/null "
		     "-w '%%{http_code} %%{size_download}\\n' 'http://origin/file?[1-640]'");

	for (const char *p = said; (p = strstr(p, "200 10240\n")); p++)
		good++;
	ck_assert_uint_eq(good, 640);
}
END_TEST

START_TEST(put_and_delete_reach_nginx)
{
	const char *root = serve((enum kind)_i);
	const char *file = text("%s/../up", root);

	pattern_file(file, 300 * KIB);
	curl("-T %s -o /dev/null http://origin/dav/up", file);
	ck_assert_str_eq(fetched_sum("http://origin/dav/up"), pattern_sum(300 * KIB));
	ck_assert_str_eq(
		curl("-X DELETE -o /dev/null -w '%%{http_code}' http://origin/dav/up"), "204");
	ck_assert_str_eq(curl("-o /dev/null -w '%%{http_code}' http://origin/dav/up"), "404");
}
END_TEST

START_TEST(methods_and_lengths_reach_nginx)
{
	serve((enum kind)_i);
	ck_assert_str_eq(curl("http://origin/method"), "GET  127.0.0.1\n");
	ck_assert_str_eq(curl("-d 12345 http://origin/method"), "POST 5 127.0.0.1\n");
	ck_assert_str_eq(curl("-d '' http://origin/method"), "POST 0 127.0.0.1\n");
	ck_assert_str_eq(curl("-X PATCH -d 1 http://origin/method"), "PATCH 1 127.0.0.1\n");
	ck_assert_str_eq(curl("-o /dev/null -w '%%{http_code} %%{size_download}' "
			      "http://origin/nothing"),
		"204 0");
}
END_TEST

START_TEST(nghttpd_echoes_what_was_uploaded)
{
	const char *root = serve((enum kind)_i);
	const char *file = text("%s/../up", root);

	pattern_file(file, MIB);
	ck_assert_str_eq(
		fetched_sum(text("--data-binary @%s http://origin/echo", file)), pattern_sum(MIB));
}
END_TEST

/* ---- uploads to an origin that says what it got ---- */

static void upload(uint64_t size, const char *how)
{
	const char *file = text("%s/up", harness_dir());
	const char *expect = text("%s\n", pattern_sum(size));

	pattern_file(file, size);
	ck_assert_str_eq(curl("%s @%s http://origin/sha", how, file), expect);
}

START_TEST(uploads_with_length_arrive_whole)
{
	static const uint64_t sizes[] = {0, 1, KIB, 64 * KIB, MIB};

	daemon_for(origin_of(_i), "");
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		upload(sizes[i], "--data-binary");
}
END_TEST

START_TEST(chunked_uploads_arrive_whole)
{
	static const uint64_t sizes[] = {0, 1, KIB, 64 * KIB, MIB};

	daemon_for(origin_of(_i), "");
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		upload(sizes[i], "-H 'Transfer-Encoding: chunked' --data-binary");
}
END_TEST

START_TEST(a_hundred_mebibytes_go_up_whole)
{
	daemon_for(origin_of(_i), "");
	upload(100 * MIB, "--data-binary");
	upload(100 * MIB, "-H 'Transfer-Encoding: chunked' --data-binary");
}
END_TEST

START_TEST(answers_without_a_length_come_down_whole)
{
	daemon_for(origin_of(_i), "");
	ck_assert_str_eq(fetched_sum("http://origin/chunked/0"), pattern_sum(0));
	ck_assert_str_eq(fetched_sum("http://origin/chunked/3000000"), pattern_sum(3000000));
	ck_assert_str_eq(fetched_sum("http://origin/chunked/10"), pattern_sum(10));
}
END_TEST

START_TEST(answers_that_end_with_the_connection_come_down_whole)
{
	daemon_for(origin_of(_i), "");
	ck_assert_str_eq(fetched_sum("http://origin/until-eof/300000"), pattern_sum(300000));
	ck_assert_str_eq(fetched_sum("http://origin/until-eof/0"), pattern_sum(0));
}
END_TEST

/* Both ways at the same time: a daemon that finishes one before the other would hang here. */
START_TEST(a_large_echo_passes_both_ways)
{
	const char *file = text("%s/up", harness_dir());

	daemon_for(origin_of(_i), "");
	pattern_file(file, 8 * MIB);
	ck_assert_str_eq(fetched_sum(text("--data-binary @%s http://origin/echo", file)),
		pattern_sum(8 * MIB));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("forward");
	TCase *servers = harness_case(s, "servers"), *origins = harness_case(s, "origins");

	tcase_add_loop_test(servers, get_brings_the_bytes_of_the_file, 0, KINDS);
	tcase_add_loop_test(servers, a_hundred_mebibytes_come_down_whole, 0, KINDS);
	tcase_add_loop_test(servers, head_tells_the_length_and_brings_no_body, 0, KINDS);
	tcase_add_loop_test(servers, missing_files_keep_the_status_of_the_origin, 0, KINDS);
	tcase_add_loop_test(servers, sixty_four_parallel_clients_get_what_they_asked_for, 0, KINDS);
	tcase_add_loop_test(servers, put_and_delete_reach_nginx, 0, NGHTTPD_H2);
	tcase_add_loop_test(servers, methods_and_lengths_reach_nginx, 0, NGHTTPD_H2);
	tcase_add_loop_test(servers, nghttpd_echoes_what_was_uploaded, NGHTTPD_H2, KINDS);
	tcase_add_loop_test(origins, uploads_with_length_arrive_whole, 0, 4);
	tcase_add_loop_test(origins, chunked_uploads_arrive_whole, 0, 4);
	tcase_add_loop_test(origins, a_hundred_mebibytes_go_up_whole, 0, 2);
	tcase_add_loop_test(origins, answers_without_a_length_come_down_whole, 0, 4);
	tcase_add_loop_test(origins, answers_that_end_with_the_connection_come_down_whole, 0, 4);
	tcase_add_loop_test(origins, a_large_echo_passes_both_ways, 0, 4);
	return harness_main(s);
}
