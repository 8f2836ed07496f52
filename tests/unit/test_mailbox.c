/*
 * test_mailbox.c - messages arrive in the receiver's loop, in order, each once.
 */
#include <check.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "daemon/base/mailbox.h"

#define SENDERS 4
#define EACH    5000

struct note { /* a message of these tests */
	struct message msg;
	struct mailbox *again; /* send `next` there on delivery */
	struct note *next;
	unsigned sender, number;
};

struct inbox { /* what the receiver saw */
	pthread_t thread;
	unsigned count;
	unsigned next[SENDERS];
	unsigned seen[16];
	struct event_base *stop_at; /* leave this loop at stop_count */
	unsigned stop_count;
};

static struct event_base *base;
static struct mailbox *box;
static struct inbox in;

static void begin(void)
{
	memset(&in, 0, sizeof(in));
	base = event_base_new();
	box = mailbox_new(base, &in);
	ck_assert_ptr_nonnull(box);
}

static void end(void)
{
	mailbox_free(box);
	event_base_free(base);
}

static void turn(void)
{
	event_base_loop(base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
}

static void on_note(struct message *m, void *arg)
{
	struct note *n = (struct note *)(void *)m;
	struct inbox *i = arg;

	i->thread = pthread_self();
	if (i->count < 16)
		i->seen[i->count] = n->number;
	i->count++;
	ck_assert_uint_eq(n->number, i->next[n->sender]);
	i->next[n->sender] = n->number + 1;
	if (n->again)
		mailbox_send(n->again, &n->next->msg);
	if (i->stop_at && i->count == i->stop_count)
		event_base_loopbreak(i->stop_at);
	free(n);
}

static struct note *note(unsigned sender, unsigned number)
{
	struct note *n = calloc(1, sizeof(*n));

	n->msg.deliver = on_note;
	n->sender = sender;
	n->number = number;
	return n;
}

START_TEST(nothing_is_delivered_inside_send)
{
	mailbox_send(box, &note(0, 0)->msg);
	ck_assert_uint_eq(in.count, 0);
	turn();
	ck_assert_uint_eq(in.count, 1);
	turn();
	ck_assert_uint_eq(in.count, 1);
}
END_TEST

START_TEST(messages_keep_their_order)
{
	for (unsigned i = 0; i < 5; i++)
		mailbox_send(box, &note(0, i)->msg);
	turn();
	ck_assert_uint_eq(in.count, 5);
	for (unsigned i = 0; i < 5; i++)
		ck_assert_uint_eq(in.seen[i], i);
}
END_TEST

START_TEST(what_is_sent_during_delivery_comes_in_the_next_turn)
{
	struct note *first = note(0, 0);

	first->again = box;
	first->next = note(0, 1);
	mailbox_send(box, &first->msg);
	turn();
	ck_assert_uint_eq(in.count, 1);
	turn();
	ck_assert_uint_eq(in.count, 2);
}
END_TEST

START_TEST(free_delivers_what_is_left_and_what_that_sends)
{
	struct note *first = note(0, 0);

	first->again = box;
	first->next = note(0, 1);
	mailbox_send(box, &first->msg);
	mailbox_free(box);
	box = NULL;
	ck_assert_uint_eq(in.count, 2);
}
END_TEST

START_TEST(free_takes_null)
{
	mailbox_free(NULL);
	ck_assert_uint_eq(in.count, 0);
}
END_TEST

static void *send_many(void *arg)
{
	unsigned sender = *(unsigned *)arg;

	for (unsigned i = 0; i < EACH; i++)
		mailbox_send(box, &note(sender, i)->msg);
	return NULL;
}

START_TEST(many_threads_send_and_the_receiver_sleeps_through_none)
{
	pthread_t thread[SENDERS];
	unsigned id[SENDERS];

	in.stop_at = base;
	in.stop_count = SENDERS * EACH;
	for (unsigned i = 0; i < SENDERS; i++) {
		id[i] = i;
		ck_assert_int_eq(pthread_create(&thread[i], NULL, send_many, &id[i]), 0);
	}
	event_base_dispatch(base); /* a lost wake-up ends in the time limit of the test */
	for (unsigned i = 0; i < SENDERS; i++)
		pthread_join(thread[i], NULL);

	ck_assert_uint_eq(in.count, SENDERS * EACH);
	for (unsigned i = 0; i < SENDERS; i++)
		ck_assert_uint_eq(in.next[i], EACH);
	ck_assert(pthread_equal(in.thread, pthread_self()));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("mailbox");
	TCase *tc = tcase_create("mailbox");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(tc, begin, end);
	tcase_set_timeout(tc, 240);
	tcase_add_test(tc, nothing_is_delivered_inside_send);
	tcase_add_test(tc, messages_keep_their_order);
	tcase_add_test(tc, what_is_sent_during_delivery_comes_in_the_next_turn);
	tcase_add_test(tc, free_delivers_what_is_left_and_what_that_sends);
	tcase_add_test(tc, free_takes_null);
	tcase_add_test(tc, many_threads_send_and_the_receiver_sleeps_through_none);
	suite_add_tcase(s, tc);

	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
