/*
 * test_state.c - the states of a connection, and the reason why it left the
 * one in which it takes requests.
 */
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/conn/fixture.h"

/* ---- only downward ---------------------------------------------------------- */

START_TEST(connection_goes_down_step_by_step)
{
	struct client c;
	struct probe p = {0};

	client_open(&c, peer_unix(event_base_new()), "http", CC_OFFER_H2, NULL);
	ck_assert_int_eq(cc_conn_state(c.conn), CC_CONNECTING);
	check_counts(&c, 0, 0, 0, 0);
	ck_assert_int_eq(cc_conn_reserve(c.conn), CC_EFULL);
	wait_state(&c, CC_READY);
	h2_begin(c.peer, 10);
	until(c.base, cc_conn_limits_known(c.conn));
	begin(&c, &p, 1);
	ck_assert_int_eq(cc_conn_err(c.conn), 0);
	ck_assert_int_eq(cc_conn_reason(c.conn), CC_REASON_NONE);

	cc_conn_drain(c.conn);
	ck_assert_int_eq(cc_conn_state(c.conn), CC_DRAINING);
	ck_assert_int_eq(cc_conn_err(c.conn), 0); /* what runs is well */
	ck_assert_int_eq(cc_conn_reason(c.conn), CC_REASON_OWNER);
	set_limit(&c, 100); /* does not open it again */
	ck_assert_int_eq(cc_conn_state(c.conn), CC_DRAINING);
	check_counts(&c, 1, 0, 1, 0);

	finish_stream(&c, &p, 1);
	turns(c.base, 2);
	ck_assert_int_eq(cc_conn_state(c.conn), CC_CLOSED);
	ck_assert_int_eq(cc_conn_err(c.conn), CC_ECLOSED);
	cc_conn_drain(c.conn);
	ck_assert_int_eq(cc_conn_state(c.conn), CC_CLOSED);
	check_counts(&c, 1, 1, 0, 0);
	client_close(&c);
}
END_TEST

START_TEST(first_cause_stays)
{
	struct client c;
	struct probe p = {0};

	open_h2_running(&c, &p, 1);
	h2_goaway(c.peer, 1, H2_ENHANCE_YOUR_CALM);
	until(c.base, cc_conn_state(c.conn) == CC_DRAINING);
	ck_assert_int_eq(cc_conn_reason(c.conn), CC_REASON_GOAWAY);
	cc_conn_close(c.conn);
	ck_assert_int_eq(cc_conn_reason(c.conn), CC_REASON_GOAWAY);
	ck_assert_uint_eq(cc_conn_goaway_code(c.conn), H2_ENHANCE_YOUR_CALM);
	wait_done(&p);
	turns(c.base, 2);

	int err = cc_conn_err(c.conn);

	ck_assert_int_ne(err, 0);
	cc_conn_close(c.conn);
	advance(&c, 1000000);
	ck_assert_int_eq(cc_conn_err(c.conn), err);
	ck_assert_int_eq(cc_conn_reason(c.conn), CC_REASON_GOAWAY);
	client_close(&c);
}
END_TEST

/* ---- reasons ------------------------------------------------------------------ */

static void check_end(struct client *c, enum cc_reason reason, int err)
{
	until(c->base, cc_conn_state(c->conn) == CC_CLOSED);
	turns(c->base, 3);
	ck_assert_msg(cc_conn_reason(c->conn) == reason, "%s: %s",
		cc_reason_name(cc_conn_reason(c->conn)), cc_conn_detail(c->conn));
	ck_assert_msg(cc_conn_err(c->conn) == err, "%s: %s", cc_strerror(cc_conn_err(c->conn)),
		cc_conn_detail(c->conn));
	ck_assert_uint_gt(strlen(cc_conn_detail(c->conn)), 0);
	ck_assert_uint_eq(c->hooks_closed, 1);
	client_close(c);
}

START_TEST(owner_is_the_reason)
{
	struct client c;

	open_h1(&c, NULL);
	cc_conn_close(c.conn);
	check_end(&c, CC_REASON_OWNER, CC_ECLOSED);
	open_h1(&c, NULL);
	cc_conn_drain(c.conn);
	check_end(&c, CC_REASON_OWNER, CC_ECLOSED);
	client_open(&c, peer_unix(event_base_new()), "http", CC_OFFER_H1, NULL);
	cc_conn_drain(c.conn); /* still connecting: there is nothing to finish */
	check_end(&c, CC_REASON_OWNER, CC_ECLOSED);
}
END_TEST

START_TEST(dial_is_the_reason)
{
	struct client c;

	open_nowhere(&c);
	check_end(&c, CC_REASON_DIAL, CC_ECONNECT);
}
END_TEST

START_TEST(our_limits_are_the_reason)
{
	struct client c;
	struct probe p = {0};

	open_h1(&c, &(struct cc_transport_opts){.idle_timeout = 1000});
	advance(&c, 1000);
	check_end(&c, CC_REASON_IDLE, CC_ECLOSED);
	open_h2(&c, 10, &(struct cc_transport_opts){.max_age = 1000});
	advance(&c, 1000);
	check_end(&c, CC_REASON_AGE, CC_ECLOSED);
	open_h2(&c, 10, &(struct cc_transport_opts){.max_requests = 1});
	begin(&c, &p, 1);
	h2_answer(c.peer, 1, 204, "");
	check_end(&c, CC_REASON_REQUESTS, CC_ECLOSED);
}
END_TEST

START_TEST(max_age_lets_what_runs_finish)
{
	const struct cc_transport_opts opts = {.max_age = 1000, .ping_after = CC_NEVER};

	for (int h2 = 0; h2 < 2; h2++) {
		struct client c;
		struct probe p = {0};

		if (h2) {
			open_h2(&c, 10, &opts);
			begin(&c, &p, 1);
		} else {
			open_h1_running(&c, &p, &opts);
		}
		advance(&c, 999);
		check_hooks(&c, 0);
		advance(&c, 1);
		ck_assert_int_eq(cc_conn_state(c.conn), CC_DRAINING);
		ck_assert_int_eq(cc_conn_reason(c.conn), CC_REASON_AGE);
		check_counts(&c, 1, 0, 1, 0);
		check_hooks(&c, 1);
		if (h2)
			finish_stream(&c, &p, 1);
		else
			finish_request(&c, &p);
		check_hooks(&c, 1);
		check_end(&c, CC_REASON_AGE, CC_ECLOSED);
	}
}
END_TEST

START_TEST(used_up_stream_ids_are_the_reason)
{
	struct client c;
	struct probe p = {0};

	open_h2_at(&c, 1, INT32_MAX, NULL);
	get(&c, &p, "/");
	ck_assert_uint_eq(h2_request(c.peer), INT32_MAX);
	h2_answer(c.peer, INT32_MAX, 204, "");
	check_end(&c, CC_REASON_STREAM_IDS, CC_ECLOSED);
}
END_TEST

START_TEST(goaway_is_the_reason_with_its_code_and_words)
{
	struct client c;
	static const char payload[] = "\0\0\0\0\0\0\0\x0b"
				      "calm down";

	open_h2(&c, 10, NULL);
	h2_send(c.peer, H2_GOAWAY, 0, 0, payload, sizeof(payload) - 1);
	until(c.base, cc_conn_state(c.conn) == CC_CLOSED);
	ck_assert_uint_eq(cc_conn_goaway_code(c.conn), H2_ENHANCE_YOUR_CALM);
	ck_assert_ptr_nonnull(strstr(cc_conn_detail(c.conn), "ENHANCE_YOUR_CALM"));
	ck_assert_ptr_nonnull(strstr(cc_conn_detail(c.conn), "calm down"));
	check_end(&c, CC_REASON_GOAWAY, CC_EGOAWAY);
}
END_TEST

/* One HTTP/1.1 exchange that ends the connection. */
static void exchange(struct client *c, struct probe *p, const char *answer)
{
	memset(p, 0, sizeof(*p));
	open_h1_running(c, p, NULL);
	peer_say(c->peer, answer);
}

START_TEST(last_answer_is_the_reason)
{
	struct client c;
	struct probe p;

	exchange(&c, &p, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
	check_end(&c, CC_REASON_CONNECTION_CLOSE, CC_ECLOSED);
	exchange(&c, &p, "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n");
	check_end(&c, CC_REASON_CONNECTION_CLOSE, CC_ECLOSED);
}
END_TEST

START_TEST(what_cannot_be_used_again_is_the_reason)
{
	struct client c;
	struct probe p;

	exchange(&c, &p, OK_EMPTY "x");
	check_end(&c, CC_REASON_NOT_REUSABLE, CC_ECLOSED);
	open_h1(&c, NULL);
	peer_say(c.peer, OK_EMPTY); /* nobody asked */
	check_end(&c, CC_REASON_NOT_REUSABLE, CC_EPROTO);
	exchange(&c, &p, "");
	cc_req_cancel(p.req);
	check_end(&c, CC_REASON_NOT_REUSABLE, CC_ECLOSED);
}
END_TEST

START_TEST(end_by_the_peer_is_the_reason)
{
	struct client c;
	struct probe p;

	open_h1(&c, NULL);
	peer_finish(c.peer);
	check_end(&c, CC_REASON_PEER_IDLE, CC_EEOF);
	open_h2(&c, 10, NULL);
	peer_finish(c.peer);
	check_end(&c, CC_REASON_PEER_IDLE, CC_EEOF);
	exchange(&c, &p, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
	until(c.base, p.heads == 1);
	peer_finish(c.peer);
	check_end(&c, CC_REASON_EOF, CC_EEOF);
	open_h2(&c, 10, NULL);
	memset(&p, 0, sizeof(p));
	begin(&c, &p, 1);
	peer_finish(c.peer);
	check_end(&c, CC_REASON_EOF, CC_EEOF);
}
END_TEST

START_TEST(cut_tls_stream_is_an_end_in_the_middle)
{
	struct client c;
	struct probe p = {0};

	open_tls_running(&c, &p);
	peer_say(c.peer, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
	until(c.base, p.body_len == 5);
	ck_assert_int_eq(cc_conn_state(c.conn), CC_READY);
	peer_cut(c.peer);
	wait_done(&p);
	ck_assert_int_eq(p.result.err, CC_EEOF);
	probe_free(&p);
	check_end(&c, CC_REASON_EOF, CC_EEOF);
}
END_TEST

START_TEST(truncation_is_the_error_of_a_last_answer)
{
	struct client c;
	struct probe p = {0};

	open_tls_running(&c, &p);
	peer_say(c.peer, "HTTP/1.1 200 OK\r\n\r\nhello");
	until(c.base, p.body_len == 5);
	peer_cut(c.peer); /* RFC 9112 9.8: its end would have been a close_notify */
	wait_done(&p);
	ck_assert_int_eq(p.result.err, CC_EEOF);
	probe_free(&p);
	check_end(&c, CC_REASON_CONNECTION_CLOSE, CC_EEOF); /* what it drained for */
}
END_TEST

START_TEST(broken_socket_is_the_reason)
{
	struct client c;
	struct probe p = {0};

	client_open(&c, peer_tcp(event_base_new()), "http", CC_OFFER_H1, NULL);
	get(&c, &p, "/");
	expect_request(&c, "GET / ");
	peer_reset(c.peer);
	wait_done(&p);
	ck_assert_int_eq(p.result.err, CC_EIO);
	ck_assert(!p.result.unprocessed);
	ck_assert_ptr_nonnull(strstr(cc_conn_detail(c.conn), "reset"));
	check_end(&c, CC_REASON_RESET, CC_EIO);
}
END_TEST

START_TEST(broken_tls_is_the_reason)
{
	struct client c;
	struct probe p = {0};

	open_tls_running(&c, &p);
	/* Past TLS, into the socket: no record of the session. */
	ck_assert_int_eq(send(c.peer->fd, "HTTP/1.1 200 OK\r\n\r\n", 19, MSG_NOSIGNAL), 19);
	wait_done(&p);
	ck_assert_int_eq(p.result.err, CC_ETLS);
	ck_assert_uint_eq(p.heads, 0);
	ck_assert(!p.result.unprocessed);
	check_end(&c, CC_REASON_TLS, CC_ETLS);
}
END_TEST

START_TEST(lack_of_memory_is_the_reason)
{
	struct client c;
	struct probe p = {0};
	char answer[40000] = "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n";

	open_h1_running(&c, &p, NULL);
	memset(answer + strlen(answer), 'x', sizeof(answer) - 1 - strlen(answer));
	p.leave = true; /* so that what is read needs memory of its own */
	for (int i = 0; i < 20 && p.done == 0; i++) {
		c.memory->fail_at = c.memory->allocs + 1;
		peer_say(c.peer, answer);
		turns(c.base, 3);
	}
	c.memory->fail_at = 0;
	wait_done(&p);
	ck_assert_int_eq(p.result.err, CC_ENOMEM);
	check_end(&c, CC_REASON_MEMORY, CC_ENOMEM);
}
END_TEST

START_TEST(broken_protocol_is_the_reason)
{
	struct client c;
	struct probe p;

	exchange(&c, &p, "nonsense\r\n\r\n");
	check_end(&c, CC_REASON_PROTOCOL, CC_EPROTO);
	open_h2(&c, 10, NULL);
	h2_data(c.peer, 99, "x", false);
	check_end(&c, CC_REASON_PROTOCOL, CC_EPROTO);
}
END_TEST

START_TEST(silence_is_the_reason)
{
	struct client c;
	struct probe p = {0};

	open_h2(&c, 10, &(struct cc_transport_opts){.ping_after = 1000, .ping_timeout = 1000});
	begin(&c, &p, 1);
	advance(&c, 1000);
	advance(&c, 1000);
	check_end(&c, CC_REASON_PING_TIMEOUT, CC_ETIMEOUT);
	open_h2_unsettled(&c, &(struct cc_transport_opts){.tls_timeout = 1000});
	advance(&c, 1000);
	check_end(&c, CC_REASON_SETTINGS_TIMEOUT, CC_ETIMEOUT);
}
END_TEST

START_TEST(reasons_have_names_of_their_own)
{
	for (int a = CC_REASON_NONE; a <= CC_REASON_MEMORY; a++) {
		ck_assert_uint_gt(strlen(cc_reason_name(a)), 0);
		ck_assert_uint_eq(strspn(cc_reason_name(a), "abcdefghijklmnopqrstuvwxyz_"),
			strlen(cc_reason_name(a)));
		for (int b = CC_REASON_NONE; b < a; b++)
			ck_assert_str_ne(cc_reason_name(a), cc_reason_name(b));
	}
	ck_assert_str_eq(cc_reason_name(12345), "unknown");
}
END_TEST

/* ---- where to -------------------------------------------------------------- */

START_TEST(address_is_that_of_who_answered_and_stays)
{
	struct peer *(*const peers[])(struct event_base *) = {peer_tcp, peer_unix};

	for (size_t i = 0; i < sizeof(peers) / sizeof(peers[0]); i++) {
		struct client c;

		client_open(&c, peers[i](event_base_new()), "http", CC_OFFER_H1, NULL);
		ck_assert_str_eq(cc_conn_address(c.conn), "");
		wait_state(&c, CC_READY);
		ck_assert_str_eq(cc_conn_address(c.conn), c.peer->address);
		cc_conn_close(c.conn);
		turns(c.base, 2);
		ck_assert_str_eq(cc_conn_address(c.conn), c.peer->address);
		client_close(&c);
	}
}
END_TEST

/* Listens, but its queue is full: who connects waits. fds[1] is in the queue. */
static unsigned deaf_port(int fds[2])
{
	struct sockaddr_in sa = {.sin_family = AF_INET};
	socklen_t len = sizeof(sa);

	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	for (int i = 0; i < 2; i++)
		fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(fds[0], (struct sockaddr *)&sa, sizeof(sa)), 0);
	ck_assert_int_eq(listen(fds[0], 0), 0);
	ck_assert_int_eq(getsockname(fds[0], (struct sockaddr *)&sa, &len), 0);
	ck_assert_int_eq(connect(fds[1], (struct sockaddr *)&sa, sizeof(sa)), 0);
	return ntohs(sa.sin_port);
}

START_TEST(several_addresses_race_after_the_delay_of_the_transport)
{
	struct cc_transport_opts o = {.race_delay = 70};
	struct client c;
	char both[192];
	int fds[2];

	ck_assert_int_eq(client_init(&c, peer_tcp(event_base_new()), CC_OFFER_H1, &o, 0), 0);
	snprintf(both, sizeof(both), "127.0.0.1:%u,%s", deaf_port(fds), c.peer->address);
	ck_assert_int_eq(client_dial_to(&c, "http", both), 0);
	turns(c.base, 3);
	advance(&c, 69);
	ck_assert_int_eq(cc_conn_state(c.conn), CC_CONNECTING);
	advance(&c, 1);
	wait_state(&c, CC_READY);
	ck_assert_str_eq(cc_conn_address(c.conn), c.peer->address);
	client_close(&c);
	close(fds[0]);
	close(fds[1]);
}
END_TEST

START_TEST(name_among_several_addresses_is_a_wrong_call)
{
	struct client c;

	ck_assert_int_eq(client_init(&c, peer_unix(event_base_new()), CC_OFFER_H1, NULL, 0), 0);
	ck_assert_int_eq(client_dial_to(&c, "http", "127.0.0.1:80,localhost:80"), CC_EINVAL);
	ck_assert_int_eq(client_dial_to(&c, "https", "127.0.0.1,127.0.0.2"), CC_EINVAL);
	client_close(&c);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		connection_goes_down_step_by_step,
		first_cause_stays,
		owner_is_the_reason,
		dial_is_the_reason,
		our_limits_are_the_reason,
		max_age_lets_what_runs_finish,
		used_up_stream_ids_are_the_reason,
		goaway_is_the_reason_with_its_code_and_words,
		last_answer_is_the_reason,
		what_cannot_be_used_again_is_the_reason,
		end_by_the_peer_is_the_reason,
		cut_tls_stream_is_an_end_in_the_middle,
		truncation_is_the_error_of_a_last_answer,
		broken_socket_is_the_reason,
		broken_tls_is_the_reason,
		lack_of_memory_is_the_reason,
		broken_protocol_is_the_reason,
		silence_is_the_reason,
		reasons_have_names_of_their_own,
		address_is_that_of_who_answered_and_stays,
		several_addresses_race_after_the_delay_of_the_transport,
		name_among_several_addresses_is_a_wrong_call,
	};

	return run_suite_twice("state", tests, sizeof(tests) / sizeof(tests[0]));
}
