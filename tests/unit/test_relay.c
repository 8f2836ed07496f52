/*
 * test_relay.c - a call between two workers: what each side hears when messages cross, are missing
 * memory, or come after the end.
 *
 * Both workers are loops in this thread, so a test says which of them hears its messages when. The
 * client's stream and the home's service are stand-ins.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include <clientconn/buf.h>
#include <clientconn/head.h>

#include "daemon/base/caller.h"
#include "daemon/base/conf.h"
#include "daemon/base/mailbox.h"
#include "daemon/base/service.h"
#include "daemon/worker/relay.h"
#include "tests/unit/ctx_fixture.h"
#include "tests/unit/run.h"

#define WINDOW 65536

static struct ctx_fixture client_side, home_side;
static struct relay at_client, at_home;
static struct relay_way way = {&at_client, &at_home};
static struct conf_upstream upstream = {.name = "api"};
static bool upstream_is_gone;

/* ---- memory, by the linker (--wrap) ------------------------------------------- */

static bool no_memory;

void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);

void *__wrap_calloc(size_t n, size_t size)
{
	return no_memory ? NULL : __real_calloc(n, size);
}

void *__wrap_malloc(size_t size)
{
	return no_memory ? NULL : __real_malloc(size);
}

/* ---- the home's service --------------------------------------------------------- */

static struct {
	const struct stream_ops *ops; /* NULL: no call, or it is over */
	void *stream;
	unsigned begun, gone, trailers;
	char path[64], body[256];
	size_t bytes, sent, room;
	bool eos, end_stream, expects, removed, refuses;
	const struct conf_upstream *up;
	struct caller caller;
} served;

static void *serve_begin(
	void *server, const struct service_request *r, const struct stream_ops *ops, void *stream)
{
	struct cc_str path = cc_head_path(r->head);

	ck_assert_ptr_eq(server, &served);
	served.begun++;
	memcpy(served.path, path.p, path.n);
	served.up = r->up;
	served.removed = r->removed;
	served.caller = *r->caller;
	served.end_stream = r->end_stream;
	served.expects = r->expects;
	cc_head_free(r->head);
	if (served.refuses)
		return NULL;
	served.ops = ops;
	served.stream = stream;
	return &served;
}

static void serve_body(void *call, struct cc_buf *body, bool eos)
{
	ck_assert_ptr_eq(call, &served);
	if (served.bytes + body->len < sizeof(served.body))
		cc_buf_peek(body, served.body + served.bytes, body->len);
	served.bytes += body->len;
	served.eos = eos;
	cc_buf_clear(body);
}

static void serve_trailers(void *call, const struct cc_head *trailers)
{
	ck_assert_ptr_eq(call, &served);
	served.trailers += cc_head_count(trailers) == 1;
}

static size_t serve_room(void *call)
{
	ck_assert_ptr_eq(call, &served);
	return served.room;
}

static void serve_sent(void *call, size_t n)
{
	ck_assert_ptr_eq(call, &served);
	served.sent += n;
}

static void serve_gone(void *call)
{
	served.gone += call == &served; /* libcheck needs memory to assert, and there may be none */
	served.ops = NULL;
}

static const struct service service = {
	.name = "stand-in",
	.begin = serve_begin,
	.body = serve_body,
	.trailers = serve_trailers,
	.room = serve_room,
	.sent = serve_sent,
	.gone = serve_gone,
};

/* ---- the client's stream ------------------------------------------------------------ */

static struct {
	void *call; /* NULL: none, or it is over */
	unsigned infos, status, ends, cuts, rooms, trailers;
	char body[256];
	size_t bytes;
	bool leaves; /* at the head */
} client;

static void hear_info(void *stream, const struct cc_head *head)
{
	(void)stream;
	client.infos += cc_head_status(head) == 103;
}

static void leave(void)
{
	relay_service.gone(client.call);
	client.call = NULL;
}

static void hear_head(void *stream, const struct cc_head *head)
{
	(void)stream;
	client.status = cc_head_status(head);
	if (client.leaves)
		leave();
}

static void hear_body(void *stream, struct cc_buf *body)
{
	(void)stream;
	if (client.bytes + body->len < sizeof(client.body))
		cc_buf_peek(body, client.body + client.bytes, body->len);
	client.bytes += body->len;
	cc_buf_clear(body);
}

static void hear_end(void *stream, const struct cc_head *trailers)
{
	(void)stream;
	client.ends++;
	client.trailers += trailers && cc_head_count(trailers) == 1;
	client.call = NULL;
}

static void hear_cut(void *stream)
{
	(void)stream;
	client.cuts++;
	client.call = NULL;
}

static void hear_room(void *stream)
{
	(void)stream;
	client.rooms++;
}

static const struct stream_ops ops = {
	.info = hear_info,
	.head = hear_head,
	.body = hear_body,
	.end = hear_end,
	.cut = hear_cut,
	.room = hear_room,
};

/* ---- both workers --------------------------------------------------------------------- */

static const struct conf_upstream *find(const char *name, void *arg)
{
	(void)arg;
	ck_assert_str_eq(name, upstream.name);
	return upstream_is_gone ? NULL : &upstream;
}

static void relay_init(struct relay *r, struct ctx_fixture *f)
{
	fixture_begin(f, 0);
	*r = (struct relay){.mailbox = mailbox_new(f->base, NULL),
		.ctx = f->ctx,
		.service = &service,
		.server = &served,
		.find = find};
	list_init(&r->calls);
}

static void setup(void)
{
	relay_init(&at_client, &client_side);
	relay_init(&at_home, &home_side);
	memset(&served, 0, sizeof(served));
	memset(&client, 0, sizeof(client));
	served.room = WINDOW;
	upstream_is_gone = no_memory = false;
}

static void home_hears(void)
{
	for (int i = 0; i < 3; i++)
		fixture_turn(&home_side);
}

static void client_hears(void)
{
	for (int i = 0; i < 3; i++)
		fixture_turn(&client_side);
}

/* As when the loops have ended: what is on its way is freed with the mailboxes. */
static void teardown(void)
{
	no_memory = false;
	if (client.call)
		leave();
	relay_end(&at_client);
	relay_end(&at_home);
	ck_assert(list_empty(&at_home.calls));
	mailbox_free(at_client.mailbox);
	mailbox_free(at_home.mailbox);
	fixture_end(&client_side);
	fixture_end(&home_side);
}

static void begin(bool end_stream)
{
	static const struct caller caller = {.fd = 7, .uid = 1000, .gid = 100, .pid = 42};
	struct service_request r = {
		.head = cc_head_new(client_side.ctx),
		.up = &upstream,
		.caller = &caller,
		.end_stream = end_stream,
		.expects = !end_stream,
	};

	ck_assert_int_eq(cc_head_set_request(r.head, CC_STR("GET"), CC_STR("http"), CC_STR("api"),
				 CC_STR("/path")),
		0);
	client.call = relay_service.begin(&way, &r, &ops, &client);
}

/* The home has it. */
static void begin_at_home(bool end_stream)
{
	begin(end_stream);
	ck_assert_ptr_nonnull(client.call);
	home_hears();
	ck_assert_ptr_nonnull(served.ops);
}

static void send_bytes(size_t n, bool eos)
{
	static char bytes[2 * WINDOW];
	struct cc_buf body;

	memset(bytes, 'b', sizeof(bytes));
	cc_buf_init(&body, client_side.ctx);
	ck_assert_int_eq(cc_buf_add(&body, bytes, n), 0);
	relay_service.body(client.call, &body, eos);
	cc_buf_clear(&body);
}

static void answer_head(unsigned status)
{
	struct cc_head *head = cc_head_new(home_side.ctx);

	cc_head_set_status(head, status);
	if (status < 200)
		served.ops->info(served.stream, head);
	else
		served.ops->head(served.stream, head);
	cc_head_free(head);
}

static void answer_body(const char *text)
{
	struct cc_buf body;

	cc_buf_init(&body, home_side.ctx);
	ck_assert_int_eq(cc_buf_add(&body, text, strlen(text)), 0);
	served.ops->body(served.stream, &body);
	cc_buf_clear(&body);
}

static struct cc_head *trailers_of(struct cc_ctx *ctx)
{
	struct cc_head *head = cc_head_new(ctx);

	ck_assert_int_eq(cc_head_add(head, CC_STR("x-sum"), CC_STR("7")), 0);
	return head;
}

static void answer_end(bool trailers)
{
	const struct stream_ops *to = served.ops;
	struct cc_head *head = trailers ? trailers_of(home_side.ctx) : NULL;

	served.ops = NULL;
	to->end(served.stream, head);
	cc_head_free(head);
}

/* ---- requests -------------------------------------------------------------------------- */

START_TEST(request_reaches_the_home_as_it_came)
{
	begin_at_home(_i);
	ck_assert_str_eq(served.path, "/path");
	ck_assert_ptr_eq(served.up, &upstream);
	ck_assert(!served.removed);
	ck_assert(served.end_stream == (_i == 1));
	ck_assert(served.expects == (_i == 0));
}
END_TEST

/* The descriptor is the other worker's: nobody may ask the kernel with it. */
START_TEST(caller_goes_along_without_its_socket)
{
	begin_at_home(true);
	ck_assert_uint_eq(served.caller.uid, 1000);
	ck_assert_uint_eq(served.caller.gid, 100);
	ck_assert_int_eq(served.caller.pid, 42);
	ck_assert_int_eq(served.caller.fd, -1);
	ck_assert(served.caller.groups_read);
}
END_TEST

START_TEST(upstream_that_the_home_has_no_more_is_removed)
{
	upstream_is_gone = true;
	begin_at_home(true);
	ck_assert_ptr_null(served.up);
	ck_assert(served.removed);
}
END_TEST

START_TEST(body_and_its_end_reach_the_home)
{
	begin_at_home(false);
	send_bytes(3, false);
	send_bytes(0, true);
	ck_assert_uint_eq(served.bytes, 0);
	home_hears();
	ck_assert_uint_eq(served.bytes, 3);
	ck_assert_str_eq(served.body, "bbb");
	ck_assert(served.eos);
}
END_TEST

START_TEST(trailers_reach_the_home)
{
	struct cc_head *trailers = trailers_of(client_side.ctx);

	begin_at_home(false);
	relay_service.trailers(client.call, trailers);
	cc_head_free(trailers);
	home_hears();
	ck_assert_uint_eq(served.trailers, 1);
}
END_TEST

START_TEST(body_waits_when_the_home_has_no_room)
{
	begin_at_home(false);
	served.room = 0;
	ck_assert_uint_eq(relay_service.room(client.call), WINDOW);
	send_bytes(WINDOW - 1, false);
	home_hears();
	client_hears();
	ck_assert_uint_eq(relay_service.room(client.call), 1);
	send_bytes(1, false);
	home_hears();
	client_hears();
	ck_assert_uint_eq(relay_service.room(client.call), 0);
	ck_assert_uint_eq(client.rooms, 0);

	served.room = 1;
	served.ops->room(served.stream);
	client_hears();
	ck_assert_uint_eq(client.rooms, 1);
	ck_assert_uint_eq(relay_service.room(client.call), WINDOW);
	client_hears();
	ck_assert_uint_eq(client.rooms, 1);
}
END_TEST

START_TEST(body_does_not_wait_while_the_home_takes_it)
{
	begin_at_home(false);
	for (int i = 0; i < 10; i++) {
		send_bytes(WINDOW, false);
		ck_assert_uint_eq(relay_service.room(client.call), 0);
		home_hears();
		client_hears();
		ck_assert_uint_eq(client.rooms, i + 1);
		ck_assert_uint_eq(relay_service.room(client.call), WINDOW);
	}
	ck_assert_uint_eq(served.bytes, 10 * WINDOW);
}
END_TEST

/* ---- answers ---------------------------------------------------------------------------- */

START_TEST(answer_comes_whole)
{
	begin_at_home(true);
	answer_head(103);
	answer_head(200);
	answer_body("ab");
	answer_body("c");
	answer_end(_i);
	ck_assert_uint_eq(client.status, 0);
	client_hears();
	ck_assert_uint_eq(client.infos, 1);
	ck_assert_uint_eq(client.status, 200);
	ck_assert_str_eq(client.body, "abc");
	ck_assert_uint_eq(client.ends, 1);
	ck_assert_uint_eq(client.trailers, _i);
	ck_assert_uint_eq(client.cuts, 0);
}
END_TEST

START_TEST(answer_that_is_cut_is_no_end)
{
	const struct stream_ops *to;

	begin_at_home(true);
	answer_head(200);
	answer_body("ab");
	to = served.ops;
	served.ops = NULL;
	to->cut(served.stream);
	client_hears();
	ck_assert_str_eq(client.body, "ab");
	ck_assert_uint_eq(client.cuts, 1);
	ck_assert_uint_eq(client.ends, 0);
}
END_TEST

START_TEST(what_was_sent_is_told_in_sum)
{
	begin_at_home(true);
	answer_head(200);
	answer_body("abcdef");
	client_hears();
	relay_service.sent(client.call, 0);
	relay_service.sent(client.call, 1);
	relay_service.sent(client.call, 2);
	home_hears();
	ck_assert_uint_eq(served.sent, 3);
	relay_service.sent(client.call, 3);
	home_hears();
	ck_assert_uint_eq(served.sent, 6);
}
END_TEST

/* ---- ends ---------------------------------------------------------------------------------- */

START_TEST(client_that_leaves_ends_the_call_at_home_once)
{
	begin_at_home(true);
	answer_head(200);
	leave();
	ck_assert_uint_eq(served.gone, 0);
	home_hears();
	ck_assert_uint_eq(served.gone, 1);
	client_hears();
	ck_assert_uint_eq(client.status + client.ends + client.cuts, 0);
}
END_TEST

START_TEST(client_that_leaves_before_the_home_has_heard_of_it)
{
	begin(false);
	send_bytes(3, false);
	leave();
	home_hears();
	ck_assert_uint_eq(served.begun, 1);
	ck_assert_uint_eq(served.gone, 1);
}
END_TEST

START_TEST(client_that_leaves_while_the_end_is_on_its_way)
{
	begin_at_home(false);
	answer_head(200);
	answer_end(false);
	send_bytes(3, true);
	leave();
	client_hears();
	home_hears();
	ck_assert_uint_eq(served.gone, 0);
	ck_assert_uint_eq(served.bytes, 0);
	ck_assert_uint_eq(client.status + client.ends + client.cuts, 0);
}
END_TEST

START_TEST(client_that_leaves_at_the_head_hears_nothing_more)
{
	begin_at_home(true);
	client.leaves = true;
	answer_head(200);
	answer_body("ab");
	answer_end(false);
	client_hears();
	home_hears();
	ck_assert_uint_eq(client.status, 200);
	ck_assert_uint_eq(client.bytes, 0);
	ck_assert_uint_eq(client.ends + client.cuts, 0);
}
END_TEST

START_TEST(body_that_comes_after_the_end_is_dropped)
{
	begin_at_home(false);
	send_bytes(3, false);
	relay_service.sent(client.call, 1);
	answer_head(200);
	answer_end(false);
	home_hears();
	client_hears();
	ck_assert_uint_eq(served.bytes + served.sent + served.gone, 0);
	ck_assert_uint_eq(client.ends, 1);
}
END_TEST

START_TEST(worker_that_ends_cuts_what_others_relayed_to_it)
{
	begin_at_home(true);
	answer_head(200);
	relay_end(&at_home);
	ck_assert_uint_eq(served.gone, 1);
	client_hears();
	ck_assert_uint_eq(client.cuts, 1);
	begin(true);
	send_bytes(3, true);
	home_hears();
	ck_assert_uint_eq(served.begun, 1);
}
END_TEST

/* ---- memory ---------------------------------------------------------------------------------- */

START_TEST(request_that_there_is_no_memory_for_does_not_begin)
{
	struct caller caller = {.fd = -1};
	struct service_request r = {
		.head = cc_head_new(client_side.ctx), .up = &upstream, .caller = &caller};

	void *call;

	no_memory = true;
	call = relay_service.begin(&way, &r, &ops, &client);
	no_memory = false;
	ck_assert_ptr_null(call);
	home_hears();
	ck_assert_uint_eq(served.begun, 0);
}
END_TEST

START_TEST(request_that_the_home_has_no_memory_for_is_cut)
{
	served.refuses = true;
	begin(true);
	home_hears();
	client_hears();
	ck_assert_uint_eq(client.cuts, 1);
	ck_assert_uint_eq(served.gone, 0);
}
END_TEST

START_TEST(body_that_there_is_no_memory_for_cuts_the_call)
{
	struct cc_head *trailers = trailers_of(client_side.ctx);
	struct cc_buf body;

	begin_at_home(false);
	cc_buf_init(&body, client_side.ctx);
	ck_assert_int_eq(cc_buf_add(&body, "abc", 3), 0);
	no_memory = true;
	if (_i)
		relay_service.trailers(client.call, trailers);
	else
		relay_service.body(client.call, &body, true);
	no_memory = false;
	cc_buf_clear(&body);
	cc_head_free(trailers);
	ck_assert_uint_eq(client.cuts, 1);
	home_hears();
	ck_assert_uint_eq(served.gone, 1);
	ck_assert_uint_eq(served.bytes + served.trailers, 0);
}
END_TEST

enum { POOR_INFO, POOR_HEAD, POOR_BODY, POOR_TRAILERS, POOR };

/* What cannot be told is not left out: the answer is cut. */
START_TEST(answer_that_there_is_no_memory_for_is_cut)
{
	const struct stream_ops *to;
	struct cc_head *head = trailers_of(home_side.ctx);
	struct cc_buf body;

	begin_at_home(true);
	to = served.ops;
	cc_buf_init(&body, home_side.ctx);
	ck_assert_int_eq(cc_buf_add(&body, "abc", 3), 0);
	no_memory = true;
	if (_i == POOR_INFO)
		to->info(served.stream, head);
	else if (_i == POOR_HEAD)
		to->head(served.stream, head);
	else if (_i == POOR_BODY)
		to->body(served.stream, &body);
	else
		to->end(served.stream, head);
	no_memory = false;
	cc_buf_clear(&body);
	cc_head_free(head);
	ck_assert_uint_eq(served.gone, _i != POOR_TRAILERS);
	client_hears();
	ck_assert_uint_eq(client.cuts, 1);
	ck_assert_uint_eq(client.infos + client.status + client.ends, 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("relay");
	TCase *c = tcase_create("relay");

	suite_add_tcase(s, c);
	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_loop_test(c, request_reaches_the_home_as_it_came, 0, 2);
	tcase_add_test(c, caller_goes_along_without_its_socket);
	tcase_add_test(c, upstream_that_the_home_has_no_more_is_removed);
	tcase_add_test(c, body_and_its_end_reach_the_home);
	tcase_add_test(c, trailers_reach_the_home);
	tcase_add_test(c, body_waits_when_the_home_has_no_room);
	tcase_add_test(c, body_does_not_wait_while_the_home_takes_it);
	tcase_add_loop_test(c, answer_comes_whole, 0, 2);
	tcase_add_test(c, answer_that_is_cut_is_no_end);
	tcase_add_test(c, what_was_sent_is_told_in_sum);
	tcase_add_test(c, client_that_leaves_ends_the_call_at_home_once);
	tcase_add_test(c, client_that_leaves_before_the_home_has_heard_of_it);
	tcase_add_test(c, client_that_leaves_while_the_end_is_on_its_way);
	tcase_add_test(c, client_that_leaves_at_the_head_hears_nothing_more);
	tcase_add_test(c, body_that_comes_after_the_end_is_dropped);
	tcase_add_test(c, worker_that_ends_cuts_what_others_relayed_to_it);
	tcase_add_test(c, request_that_there_is_no_memory_for_does_not_begin);
	tcase_add_test(c, request_that_the_home_has_no_memory_for_is_cut);
	tcase_add_loop_test(c, body_that_there_is_no_memory_for_cuts_the_call, 0, 2);
	tcase_add_loop_test(c, answer_that_there_is_no_memory_for_is_cut, 0, POOR);
	return run_suite(s);
}
