/* random.c - the driver: what a careless caller and a careless network may do, in any order. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "lib/base/ctx.h"
#include "tests/conn/model.h"
#include "tests/conn/random.h"

struct rig { /* what seeds share, because making it costs more than using it */
	struct client client;
	struct peer *peer;
	struct auto_peer auto_peer;
	struct model model;
	struct dice dice;
	bool wild; /* the connection may end before the last act */
	unsigned depth;
};

/* model.within has no argument of its own; there is one rig a process. */
static struct rig rig;

struct where {
	unsigned long seed;
	unsigned op;
	bool within;
};
/* The process of a test tells its parent, which outlives every end of it. */
static struct where *where;

#define during(stmt)                                                                               \
	do {                                                                                       \
		rig.model.in_call = true;                                                          \
		stmt;                                                                              \
		rig.model.in_call = false;                                                         \
	} while (0)

static void watch(void)
{
	model_check(&rig.model);
	if (rig.model.conn)
		rig.model.available = cc_conn_available(rig.model.conn);
}

/* ---- calls of the API ----------------------------------------------------------------- */

static struct want *any_live(void)
{
	struct model *m = &rig.model;
	unsigned live = model_live(m), n = live > 0 ? below(&rig.dice, live) : 0;

	for (unsigned i = 0; i < m->count; i++) {
		if (m->wants[i].req && n-- == 0)
			return &m->wants[i];
	}
	return NULL;
}

static struct cc_head *request_head(struct want *w)
{
	static const char *const with_body[] = {"POST", "PUT", "PATCH"};
	const char *method = with_body[below(&rig.dice, 3)];
	char path[16], fields[64] = "";

	if (w->flags & CC_RT_END_STREAM)
		method = w->head_request ? "HEAD" : "GET";
	else if (w->promised != SIZE_MAX)
		snprintf(fields, sizeof(fields), "content-length: %zu\n", w->promised);
	snprintf(path, sizeof(path), "/%08x", w->token);
	return head_for(&rig.client, method, path, fields);
}

static int expected_result(
	const struct model *m, unsigned flags, enum cc_state state, uint32_t free)
{
	if (state >= CC_DRAINING)
		return CC_ECLOSED;
	if ((flags & CC_RT_RESERVED) && m->reserved == 0)
		return CC_EINVAL;
	if (!(flags & CC_RT_RESERVED) && (flags & CC_RT_NOWAIT) && free == 0)
		return CC_EFULL;
	return CC_OK;
}

static void start(unsigned flags)
{
	struct model *m = &rig.model;
	struct want *w = &m->wants[m->count];
	enum cc_state state = cc_conn_state(m->conn);
	struct cc_head *head;
	struct cc_req *req = NULL;
	uint32_t waiting = cc_conn_waiting(m->conn);
	int err, expected;

	if (m->count == WANTS_MAX)
		return;
	*w = (struct want){.m = m, .token = (uint32_t)roll(&rig.dice) | 1};
	if (chance(&rig.dice, 60))
		flags |= CC_RT_END_STREAM;
	w->flags = flags;
	w->reserved = flags & CC_RT_RESERVED;
	w->eos = flags & CC_RT_END_STREAM;
	w->head_request = w->eos && chance(&rig.dice, 10);
	w->promised = !w->eos && chance(&rig.dice, 40) ? below(&rig.dice, 600) : SIZE_MAX;
	head = request_head(w);
	expected = expected_result(m, flags, state, cc_conn_available(m->conn));
	during(err = cc_conn_round_trip(m->conn, head, flags, &model_ops, w, &req));
	cc_head_free(head);
	if (err == CC_EFULL && (flags & CC_RT_NOWAIT) && waiting > 0)
		expected = CC_EFULL; /* the free slot is for who waits */
	model_tell(m, "  %08x %s", w->token, cc_strerror(err));
	claim(m, err == expected, "round trip %x in state %d: %s, not %s", flags, state,
		cc_strerror(err), cc_strerror(expected));
	if (w->reserved && m->reserved > 0)
		m->reserved--;
	if (err == 0) {
		w->req = req;
		m->count++;
	}
	watch();
}

static void op_plain(void)
{
	start(0);
}

static void op_nowait(void)
{
	start(CC_RT_NOWAIT);
}

static void op_on_reserved(void)
{
	if (rig.model.reserved > 0 || chance(&rig.dice, 5))
		start(CC_RT_RESERVED);
}

/* A head that is none takes nothing of anybody else. */
static void op_invalid(void)
{
	struct model *m = &rig.model;
	struct cc_head *head = cc_head_new(rig.client.ctx);
	struct cc_req *req = NULL;
	uint32_t flying = cc_conn_in_flight(m->conn), waiting = cc_conn_waiting(m->conn);
	int err;

	during(err = cc_conn_round_trip(m->conn, head, 0, &model_ops, NULL, &req));
	cc_head_free(head);
	claim(m, err == CC_EINVAL || err == CC_ECLOSED, "%s", cc_strerror(err));
	claim(m, cc_conn_in_flight(m->conn) == flying && cc_conn_waiting(m->conn) == waiting,
		"%u in flight, were %u", cc_conn_in_flight(m->conn), flying);
	watch();
}

static void op_reserve(void)
{
	struct model *m = &rig.model;
	uint32_t available = cc_conn_available(m->conn);
	enum cc_state state = cc_conn_state(m->conn);
	bool theirs = available > 0 && cc_conn_waiting(m->conn) > 0; /* those who wait go first */
	int err, expected = available > 0 ? 0 : state < CC_DRAINING ? CC_EFULL : CC_ECLOSED;

	during(err = cc_conn_reserve(m->conn));
	claim(m, err == expected || (theirs && err == CC_EFULL),
		"reserve with %u available, state %d: %s", available, state, cc_strerror(err));
	m->reserved += err == 0;
	watch();
}

static void op_release(void)
{
	struct model *m = &rig.model;

	during(cc_conn_release(m->conn));
	m->reserved -= m->reserved > 0;
	watch();
}

static void send_bytes(struct want *w, size_t n, bool eos)
{
	struct cc_buf body;
	unsigned char *bytes = malloc(n + 1);
	int err;

	ck_assert_ptr_nonnull(bytes);
	token_bytes(w->token, SIDE_REQUEST, w->sent, bytes, n);
	cc_buf_init(&body, rig.client.ctx);
	ck_assert_int_eq(cc_buf_add(&body, bytes, n), 0);
	during(err = cc_req_send(w->req, &body, eos));
	if (err == 0) {
		w->sent += n;
		w->eos = eos;
		w->eos_late = eos && rig.model.nested;
	}
	claim(&rig.model, err == 0 || cc_conn_state(rig.model.conn) == CC_CLOSED || w->heads > 0,
		"sending %zu bytes: %s", n, cc_strerror(err));
	cc_buf_clear(&body);
	free(bytes);
	watch();
}

static size_t some_bytes(const struct want *w)
{
	size_t n = chance(&rig.dice, 95) ? below(&rig.dice, 300) : below(&rig.dice, 50000);

	if (w->promised != SIZE_MAX && n > w->promised - w->sent)
		n = w->promised - w->sent;
	return n;
}

static void finish_body(struct want *w)
{
	send_bytes(w, w->promised != SIZE_MAX ? w->promised - w->sent : some_bytes(w), true);
}

static void op_send(void)
{
	struct want *w = any_live();

	if (w && !w->eos)
		send_bytes(w, some_bytes(w), false);
}

static void op_finish(void)
{
	struct want *w = any_live();

	if (w && !w->eos)
		finish_body(w);
}

static void op_trailers(void)
{
	struct want *w = any_live();
	struct cc_head *trailers;
	int err;

	if (!w || w->eos || w->promised != SIZE_MAX)
		return;
	trailers = cc_head_new(rig.client.ctx);
	ck_assert_int_eq(cc_head_add(trailers, CC_STR("x-sum"), CC_STR("1")), 0);
	during(err = cc_req_send_trailers(w->req, trailers));
	cc_head_free(trailers);
	claim(&rig.model, err == 0 || cc_conn_state(rig.model.conn) == CC_CLOSED || w->heads > 0,
		"%s", cc_strerror(err));
	w->eos = w->trailers = err == 0;
	w->eos_late = w->eos && rig.model.nested;
	watch();
}

/* HTTP/1 can only give up the connection with a request that was begun. */
static void cancel(struct want *w)
{
	struct cc_req *req = w->req;

	if (!rig.model.h2)
		rig.model.excuse = EXCUSE_DEAD;
	model_tell(&rig.model, "  %08x", w->token);
	w->cancelled = true;
	w->req = NULL;
	during(cc_req_cancel(req));
	watch();
}

static void op_cancel(void)
{
	struct want *w = any_live();

	if (w && (rig.model.h2 || rig.wild || cc_conn_waiting(rig.model.conn) > 0))
		cancel(w);
}

static void op_consume(void)
{
	struct want *w = any_live();

	if (!w)
		return;
	during(cc_req_consumed(w->req, w->owed));
	w->owed = 0;
	(void)cc_req_room(w->req);
	watch();
}

static void op_hook(void)
{
	struct model *m = &rig.model;

	if (chance(&rig.dice, 40)) {
		during(cc_conn_set_state_hook(m->conn, NULL, NULL));
		m->hooked = false;
		return;
	}
	during(cc_conn_set_state_hook(m->conn, model_hook, m));
	m->hooked = true;
	if (!m->closed_told) { /* it hears all that was before it */
		m->told_completed = 0;
		m->told_state = CC_CONNECTING;
	}
	watch();
}

static void op_drain(void)
{
	if (!rig.wild)
		return;
	if (rig.model.excuse < EXCUSE_DRAIN)
		rig.model.excuse = EXCUSE_DRAIN;
	during(cc_conn_drain(rig.model.conn));
	watch();
}

static void op_close(void)
{
	if (!rig.wild)
		return;
	rig.model.excuse = EXCUSE_DEAD;
	rig.model.ended = true;
	during(cc_conn_close(rig.model.conn));
	watch();
}

static void op_free(void)
{
	struct model *m = &rig.model;

	if (!rig.wild)
		return;
	during(cc_conn_free(m->conn));
	m->conn = NULL;
	m->excuse = EXCUSE_DEAD;
	for (unsigned i = 0; i < m->count; i++)
		m->wants[i].req = NULL;
}

/* ---- time and the peer --------------------------------------------------------------------- */

static void pump(unsigned rounds)
{
	for (unsigned i = 0; i < rounds; i++) {
		event_base_loop(rig.client.base, EVLOOP_NONBLOCK);
		auto_peer_step(&rig.auto_peer);
	}
	event_base_loop(rig.client.base, EVLOOP_NONBLOCK);
	if (rig.model.conn)
		model_check(&rig.model);
}

/* Until nobody moves, or plainly never. */
static void settle(void)
{
	unsigned quiet = 0;

	for (unsigned i = 0; quiet < 4; i++) {
		claim(&rig.model, i < 200000, "no rest");
		event_base_loop(rig.client.base, EVLOOP_NONBLOCK);
		quiet = auto_peer_step(&rig.auto_peer) ? 0 : quiet + 1;
	}
	turns(rig.client.base, 3);
	model_check_still(&rig.model);
}

static void op_pump(void)
{
	pump(1 + below(&rig.dice, 6));
}

static void op_settle(void)
{
	settle();
}

static void pass(uint64_t ms)
{
	struct model *m = &rig.model;

	/*
	 * A peer that is silent so long is given up; so is a connection on which nothing may run.
	 */
	if (ms >= 1000 && (rig.auto_peer.stalled || rig.auto_peer.muted || m->state < CC_READY ||
				  rig.auto_peer.max_streams == 0 || m->reserved > 0))
		m->excuse = EXCUSE_DEAD;
	settle();
	advance(&rig.client, ms);
	settle();
}

static void op_moment(void)
{
	pass(below(&rig.dice, 100));
}

static void op_while(void)
{
	if (rig.wild || model_live(&rig.model) > 0)
		pass(1000 + below(&rig.dice, 30000));
}

static void op_stall(void)
{
	rig.auto_peer.stalled = !rig.auto_peer.stalled;
}

static void op_mute(void)
{
	auto_peer_mute(&rig.auto_peer, !rig.auto_peer.muted);
}

static void op_let_go(void)
{
	auto_peer_let_go(&rig.auto_peer);
}

static void op_settings(void)
{
	static const uint32_t limits[] = {0, 0, 1, 1, 2, 3, 5, 10, 100, UINT32_MAX};

	if (rig.model.h2)
		auto_peer_settings(&rig.auto_peer, limits[below(&rig.dice, 10)]);
}

static void op_goaway(void)
{
	if (rig.model.h2 && rig.wild)
		auto_peer_goaway(&rig.auto_peer);
}

static void op_reset(void)
{
	if (rig.model.h2)
		auto_peer_reset(&rig.auto_peer);
}

static void op_hang_up(void)
{
	if (rig.wild)
		auto_peer_hang_up(&rig.auto_peer, chance(&rig.dice, 50));
}

static void op_disturb(void)
{
	if (rig.wild)
		auto_peer_disturb(&rig.auto_peer);
}

/* ---- sequences ------------------------------------------------------------- */

struct act_of_chance {
	void (*run)(void);
	const char *name;
	unsigned weight;
};

static const struct act_of_chance calls[] = {{op_plain, "plain", 24}, {op_nowait, "nowait", 10},
	{op_on_reserved, "on_reserved", 12}, {op_reserve, "reserve", 8}, {op_release, "release", 5},
	{op_invalid, "invalid", 1}, {op_send, "send", 14}, {op_finish, "finish", 12},
	{op_trailers, "trailers", 4}, {op_cancel, "cancel", 9}, {op_consume, "consume", 4},
	{op_hook, "hook", 3}, {op_drain, "drain", 1}, {op_close, "close", 1}, {op_free, "free", 1}};

static const struct act_of_chance surroundings[] = {{op_pump, "pump", 40},
	{op_settle, "settle", 10}, {op_moment, "moment", 3}, {op_while, "while", 3},
	{op_stall, "stall", 5}, {op_mute, "mute", 3}, {op_let_go, "let_go", 10},
	{op_settings, "settings", 6}, {op_reset, "reset", 2}, {op_goaway, "goaway", 1},
	{op_hang_up, "hang_up", 1}, {op_disturb, "disturb", 1}};

static void one_of(const struct act_of_chance *acts, size_t n)
{
	unsigned sum = 0, at;

	for (size_t i = 0; i < n; i++)
		sum += acts[i].weight;
	at = below(&rig.dice, sum);
	for (; at >= acts->weight; acts++)
		at -= acts->weight;
	model_tell(&rig.model, "%s%s", rig.depth > 0 ? "    " : "", acts->name);
	acts->run();
}

static void one_call(void)
{
	if (rig.model.conn)
		one_of(calls, sizeof(calls) / sizeof(calls[0]));
}

/* In a callback everything may be called, but the caller has an end. */
static void within(struct model *m)
{
	if (rig.depth > 0 || !chance(&rig.dice, 15))
		return;
	rig.depth++;
	m->nested = true;
	one_call();
	if (chance(&rig.dice, 30))
		one_call();
	m->nested = false;
	rig.depth--;
}

static void transport(struct cc_transport_opts *o)
{
	struct dice *d = &rig.dice;

	*o = (struct cc_transport_opts){.size = sizeof(*o)};
	o->offer = rig.model.h2 ? CC_OFFER_H2 : CC_OFFER_H1;
	if (chance(d, 20))
		o->max_concurrent = 1 + below(d, 6);
	if (rig.wild && chance(d, 15))
		o->max_requests = 1 + below(d, 10);
	if (chance(d, 20))
		o->window = 65536;
	rig.model.cap = o->max_concurrent > 0 ? o->max_concurrent : 100;
	rig.model.max_requests = o->max_requests;
}

static void open_connection(uint64_t seed, bool h2)
{
	struct model *m = &rig.model;
	struct cc_transport *t;
	struct cc_transport_opts o;

	*m = (struct model){.client = &rig.client,
		.peer = &rig.auto_peer,
		.seed = seed,
		.h2 = h2,
		.within = within,
		.hooked = true};
	m->loud = getenv("TEST_SEED") != NULL;
	rig.dice.state = seed * 2 + h2;
	rig.wild = chance(&rig.dice, 60);
	auto_peer_begin(&rig.auto_peer, rig.peer, h2, roll(&rig.dice));
	rig.auto_peer.fault_percent = rig.wild ? below(&rig.dice, 40) : 0;
	if (h2 && !rig.wild && chance(&rig.dice, 50))
		rig.auto_peer.fault_percent = 20;
	transport(&o);
	ck_assert_int_eq(cc_transport_new(rig.client.ctx, &o, &t), 0);
	during(ck_assert_int_eq(
		cc_transport_new_client_conn(t, "http", rig.peer->address, model_hook, m, &m->conn),
		0));
	cc_transport_free(t);
}

/* With a peer that behaves and a caller that ends what it began, everything ends. */
static void last_act(void)
{
	struct model *m = &rig.model;

	auto_peer_behave(&rig.auto_peer);
	for (unsigned i = 0; i < m->count; i++) {
		struct want *w = &m->wants[i];

		if (w->req && !w->eos)
			finish_body(w);
		if (w->req)
			during(cc_req_consumed(w->req, w->owed));
		w->owed = 0;
	}
	while (m->conn && m->reserved > 0)
		op_release();
	settle();
}

static void tell_live(const struct model *m)
{
	for (unsigned i = 0; i < m->count; i++) {
		const struct want *w = &m->wants[i];
		const struct heard *h = auto_peer_find(m->peer, w->token);

		if (w->req)
			model_tell(m,
				"  live %08x: eos %d, head %u, heard %d, stream %d, ended %d, "
				"begun %d, done %d, reset %d, closed %d, fault %d",
				w->token, w->eos, w->status, h != NULL, h ? h->stream : 0,
				h && h->ended, h && h->begun, h && h->done, h && h->reset,
				h && h->closed, h ? h->plan.fault : 0);
	}
}

static void all_ends(void)
{
	struct model *m = &rig.model;

	for (int i = 0; i < 6 && m->conn && (i == 0 || model_live(m) > 0); i++) {
		last_act();
		if (m->conn && model_live(m) > 0)
			advance(&rig.client, 100); /* a drain that has a time */
	}
	last_act();
	if (!m->conn)
		return;
	tell_live(m);
	claim(m, model_live(m) == 0, "%u requests never ended, %u wait", model_live(m),
		cc_conn_waiting(m->conn));
	claim(m, cc_conn_waiting(m->conn) == 0, "%u wait", cc_conn_waiting(m->conn));
	claim(m, cc_conn_in_flight(m->conn) == 0, "%u in flight", cc_conn_in_flight(m->conn));
	claim(m, m->state != CC_DRAINING, "drains for ever");
	claim(m, m->state != CC_READY || cc_conn_available(m->conn) > 0, "wedged");
}

static void take_leave(void)
{
	struct model *m = &rig.model;

	rig.depth++; /* nothing new in callbacks */
	all_ends();
	rig.wild = true;
	if (m->conn && chance(&rig.dice, 30))
		op_drain();
	else if (m->conn && chance(&rig.dice, 50))
		op_close();
	settle();
	model_check_end(m);
	if (m->conn)
		op_free();
	rig.depth--;
	settle();
	auto_peer_end(&rig.auto_peer);
}

static void one_seed(uint64_t seed, bool h2)
{
	struct model *m = &rig.model;
	unsigned ops;

	open_connection(seed, h2);
	ops = 20 + below(&rig.dice, 41);
	if (chance(&rig.dice, 80))
		settle();
	for (m->op = 1; m->op <= ops && m->conn; m->op++) {
		where->op = m->op;
		if (chance(&rig.dice, 55))
			one_call();
		else
			one_of(surroundings, sizeof(surroundings) / sizeof(surroundings[0]));
	}
	take_leave();
}

/* ---- many seeds ------------------------------------------------------------ */

static unsigned long number(const char *name, unsigned long otherwise)
{
	const char *text = getenv(name);

	return text ? strtoul(text, NULL, 10) : otherwise;
}

static void rig_open(void)
{
	rig.peer = peer_unix(event_base_new());
	ck_assert_int_eq(client_init(&rig.client, rig.peer, CC_OFFER_H1, NULL, 0), 0);
}

void random_run(bool h2, unsigned long seeds)
{
	unsigned long from = number("TEST_SEED", number("TEST_SEED_FROM", 0));
	unsigned long n = getenv("TEST_SEED") ? 1 : number("TEST_SEEDS", seeds);

	for (unsigned long i = 0; i < n; i++) {
		if (i % 100 == 0)
			rig_open();
		where->seed = from + i;
		where->within = true;
		one_seed(from + i, h2);
		where->within = false;
		if (i % 100 == 99 || i + 1 == n)
			client_close(&rig.client);
	}
}

int random_main(const char *name, const TTest *test)
{
	int failed;

	where = mmap(
		NULL, sizeof(*where), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (where == MAP_FAILED)
		return 1;
	failed = run_suite(name, &test, 1);
	if (where->within)
		printf("TEST_SEED=%lu, operation %u\n", where->seed, where->op);
	return failed;
}
