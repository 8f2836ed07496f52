/* model.c - the books on one connection, and what must be true of them. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "tests/conn/model.h"

void model_fail(const struct model *m, int line, const char *cond, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	ck_abort_msg("TEST_SEED=%llu, %s, operation %u, line %d: not true: %s: %s",
		(unsigned long long)m->seed, m->h2 ? "HTTP/2" : "HTTP/1", m->op, line, cond, text);
}

void model_tell(const struct model *m, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	if (!m->loud)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	printf("%3u %s", m->op, text);
	if (m->conn)
		printf(" [state %d C %llu F %u A %u R %u W %u, heard %u]", cc_conn_state(m->conn),
			(unsigned long long)cc_conn_requests_completed(m->conn),
			cc_conn_in_flight(m->conn), cc_conn_available(m->conn), m->reserved,
			cc_conn_waiting(m->conn), m->peer->started);
	putchar('\n');
	fflush(stdout);
}

/* ---- what may be ------------------------------------------------------------------- */

unsigned model_live(const struct model *m)
{
	unsigned n = 0;

	for (unsigned i = 0; i < m->count; i++)
		n += m->wants[i].req != NULL;
	return n;
}

/* RFC 9112 9.5: did the answer come before all of the request was sent? */
static bool half_sent(const struct want *w, const struct heard *h)
{
	return !w->eos || w->eos_late || (h && h->plan.early);
}

enum excuse model_excuse(const struct model *m)
{
	const struct auto_peer *a = m->peer;

	if (m->excuse == EXCUSE_DEAD || a->gone || a->spoilt || a->broken)
		return EXCUSE_DEAD;
	if (m->excuse == EXCUSE_DRAIN || a->asked_to_leave || m->max_requests > 0)
		return EXCUSE_DRAIN;
	for (unsigned i = 0; !m->h2 && i < m->count; i++) {
		const struct heard *h = auto_peer_find(m->peer, m->wants[i].token);

		if (m->wants[i].req && h && h->begun && half_sent(&m->wants[i], h))
			return EXCUSE_DEAD;
	}
	for (unsigned i = 0; i < a->count; i++) {
		const struct heard *h = &a->heard[i];

		/* Their header tables may be out of step: the connection retires. */
		if (h->plan.fault == FAULT_RESET && h->plan.code == H2_PROTOCOL_ERROR && h->reset)
			return EXCUSE_DRAIN;
	}
	return EXCUSE_NONE;
}

/* ---- numbers ------------------------------------------------------------------------ */

/*
 * done_sent: ended, and something of them left; ahead: hold a slot and may not
 * have left: the peer lowered its limit meanwhile.
 */
static void sums(const struct model *m, unsigned *done_sent, unsigned *cancelled, unsigned *ahead)
{
	bool shrunk = m->h2 && cc_conn_in_flight(m->conn) > m->peer->max_streams;

	*done_sent = *cancelled = *ahead = 0;
	for (unsigned i = 0; i < m->count; i++) {
		const struct want *w = &m->wants[i];

		*done_sent += w->done && w->result.phase > CC_PHASE_QUEUED;
		*cancelled += w->cancelled;
		*ahead += w->req && (w->reserved || shrunk) && !auto_peer_find(m->peer, w->token);
	}
}

/* Nothing is a reason while it takes requests; the first one stays. */
static void check_reason(struct model *m, enum cc_state state)
{
	enum cc_reason reason = cc_conn_reason(m->conn);

	claim(m, (reason != CC_REASON_NONE) == (state >= CC_DRAINING), "reason %s in state %d",
		cc_reason_name(reason), state);
	claim(m, m->reason == CC_REASON_NONE || m->reason == reason, "reason %s became %s",
		cc_reason_name(m->reason), cc_reason_name(reason));
	m->reason = reason;
}

static void check_counts_agree(struct model *m)
{
	struct cc_counts n;

	cc_conn_counts(m->conn, &n);
	claim(m,
		n.request_limit == cc_conn_request_limit(m->conn) &&
			n.requests_completed == cc_conn_requests_completed(m->conn) &&
			n.in_flight == cc_conn_in_flight(m->conn) &&
			n.available == cc_conn_available(m->conn) &&
			n.waiting == cc_conn_waiting(m->conn),
		"the counts differ from the getters");
}

void model_check(struct model *m)
{
	const struct cc_conn *conn = m->conn;
	uint64_t limit, completed;
	uint32_t flying, available;
	unsigned done_sent, cancelled, ahead;
	enum cc_state state;

	if (!conn)
		return;
	state = cc_conn_state(conn);
	limit = cc_conn_request_limit(conn);
	completed = cc_conn_requests_completed(conn);
	flying = cc_conn_in_flight(conn);
	available = cc_conn_available(conn);
	claim(m, limit == completed + flying + available, "L %llu C %llu F %u A %u",
		(unsigned long long)limit, (unsigned long long)completed, flying, available);
	claim(m, state >= m->state, "from state %d to %d", m->state, state);
	claim(m, completed >= m->completed, "completed fell to %llu",
		(unsigned long long)completed);
	claim(m, available == 0 || state == CC_READY, "%u available in state %d", available, state);
	claim(m, state != CC_CLOSED || flying == 0, "%u in flight when closed", flying);
	claim(m, (state == CC_CLOSED) == (cc_conn_err(conn) != 0), "state %d, error %d", state,
		cc_conn_err(conn));
	claim(m, m->max_requests == 0 || limit <= m->max_requests || state >= CC_DRAINING,
		"limit %llu of %llu", (unsigned long long)limit,
		(unsigned long long)m->max_requests);
	check_reason(m, state);
	check_counts_agree(m);
	sums(m, &done_sent, &cancelled, &ahead);
	claim(m, completed >= done_sent, "%u ended, %llu counted", done_sent,
		(unsigned long long)completed);
	claim(m, completed <= m->count, "%llu completed of %u", (unsigned long long)completed,
		m->count);
	m->state = state;
	m->completed = completed;
	if (state >= CC_DRAINING)
		m->reserved = 0;
	claim(m, flying >= m->reserved, "%u in flight, %u reserved", flying, m->reserved);
}

/* The capacity that the peer has said and the client has acknowledged. */
static void check_limit(struct model *m)
{
	uint32_t limit = m->h2 ? m->peer->max_streams : 1;
	uint32_t flying = cc_conn_in_flight(m->conn), want;

	if (m->state != CC_READY || m->peer->stalled || m->peer->settings_unacked)
		return;
	if (m->h2 && !cc_conn_limits_known(m->conn))
		return;
	if (limit > m->cap)
		limit = m->cap;
	want = limit > flying ? limit - flying : 0;
	if (m->max_requests > 0)
		claim(m, cc_conn_available(m->conn) <= want, "%u available, limit %u, %u in flight",
			cc_conn_available(m->conn), limit, flying);
	else
		claim(m, cc_conn_available(m->conn) == want, "%u available, limit %u, %u in flight",
			cc_conn_available(m->conn), limit, flying);
}

void model_check_still(struct model *m)
{
	unsigned done_sent, cancelled, ahead;
	uint64_t carried;

	model_check(m);
	if (!m->conn)
		return;
	sums(m, &done_sent, &cancelled, &ahead);
	claim(m, cc_conn_available(m->conn) == 0 || cc_conn_waiting(m->conn) == 0,
		"%u available, %u wait", cc_conn_available(m->conn), cc_conn_waiting(m->conn));
	if (m->state < CC_READY)
		return;
	check_limit(m);
	claim(m, m->completed <= done_sent + cancelled, "%u ended, %u cancelled, %llu counted",
		done_sent, cancelled, (unsigned long long)m->completed);
	carried = m->completed + cc_conn_in_flight(m->conn) - m->reserved;
	if (m->state == CC_CLOSED && m->peer->gone)
		ahead += cancelled; /* given up between a write that failed and its news */
	if (!m->peer->muted)
		claim(m, carried >= m->peer->started && carried <= m->peer->started + ahead,
			"C %llu F %u reserved %u, the peer saw %u begin",
			(unsigned long long)m->completed, cc_conn_in_flight(m->conn), m->reserved,
			m->peer->started);
	claim(m, m->state < CC_CLOSED || model_live(m) == 0, "%u live when closed", model_live(m));
	if (!m->hooked)
		return;
	claim(m, m->told_completed == m->completed, "the hook saw %llu completed, it is %llu",
		(unsigned long long)m->told_completed, (unsigned long long)m->completed);
	claim(m, m->told_state == m->state, "the hook saw state %d, it is %d", m->told_state,
		m->state);
	claim(m, cc_conn_available(m->conn) <= m->available, "nobody was told that %u became %u",
		m->available, cc_conn_available(m->conn));
}

/* Who was never heard may be retried; who was heard must not be told so. */
static void check_unprocessed(struct model *m, const struct want *w)
{
	const struct heard *h = auto_peer_find(m->peer, w->token);

	if (h)
		claim(m, h->times == 1, "request %08x came %u times", w->token, h->times);
	if (!w->done)
		return;
	if (w->result.unprocessed)
		claim(m, !h || h->refused, "request %08x was heard, not refused", w->token);
	if (w->result.phase == CC_PHASE_QUEUED)
		claim(m, !h && w->result.unprocessed, "request %08x was never sent", w->token);
}

/* Round trips that reserve nothing go out in the order they came in. */
static void check_order(struct model *m)
{
	const struct heard *last = NULL;

	for (unsigned i = 0; i < m->count; i++) {
		const struct heard *h = auto_peer_find(m->peer, m->wants[i].token);

		if (!h || m->wants[i].reserved)
			continue;
		claim(m, !last || h > last, "request %08x overtook", h->token);
		last = h;
	}
}

void model_check_end(struct model *m)
{
	for (unsigned i = 0; i < m->count; i++)
		check_unprocessed(m, &m->wants[i]);
	check_order(m);
}

/* ---- the hook -------------------------------------------------------------------------- */

/* The marks say what happened since the last call, across hooks that were taken away. */
static void check_marks(struct model *m)
{
	unsigned marks = cc_conn_changes(m->conn);

	claim(m, marks != 0, "a hook for nothing");
	claim(m, !!(marks & CC_CHANGED_COMPLETED) == (m->completed > m->told_completed),
		"marks %x, %llu completed after %llu", marks, (unsigned long long)m->completed,
		(unsigned long long)m->told_completed);
	claim(m, !!(marks & CC_CHANGED_CLOSED) == (m->state == CC_CLOSED), "marks %x, state %d",
		marks, m->state);
	claim(m,
		!(marks & CC_CHANGED_DRAINING) ||
			(m->state >= CC_DRAINING && m->told_state < CC_DRAINING),
		"marks %x, state %d after %d", marks, m->state, m->told_state);
	claim(m,
		m->state != CC_DRAINING || m->told_state == CC_DRAINING ||
			(marks & CC_CHANGED_DRAINING),
		"marks %x, state %d after %d", marks, m->state, m->told_state);
	claim(m, !(marks & CC_CHANGED_READY) || m->told_state == CC_CONNECTING, "ready twice");
	claim(m, !(marks & CC_CHANGED_LIMITS_KNOWN) || cc_conn_limits_known(m->conn),
		"limits not known");
}

void model_hook(struct cc_conn *conn, void *arg)
{
	struct model *m = arg;

	claim(m, conn == m->conn, "a hook of a connection that is gone");
	claim(m, !m->in_call, "the hook ran inside a call");
	claim(m, m->hooked, "the hook ran after it was taken away");
	claim(m, !m->closed_told, "the hook ran after it was told the end");
	model_check(m);
	model_tell(m, "  hook %x", cc_conn_changes(conn));
	check_marks(m);
	m->closed_told = m->state == CC_CLOSED;
	m->told_completed = m->completed;
	m->told_state = m->state;
	m->available = cc_conn_available(conn);
	m->within(m);
}

/* ---- callbacks of requests ---------------------------------------------------------------- */

static struct want *enter(struct cc_req *req, void *arg)
{
	struct want *w = arg;

	claim(w->m, !w->m->in_call, "a callback ran inside a call");
	claim(w->m, w->m->conn, "a callback after the connection was freed");
	claim(w->m, !w->cancelled, "a callback after the request was cancelled");
	claim(w->m, !w->done, "a callback after on_done");
	claim(w->m, w->req == req, "a callback of another request");
	return w;
}

static void on_info(struct cc_req *req, const struct cc_head *head, void *arg)
{
	struct want *w = enter(req, arg);

	claim(w->m, w->heads == 0, "an interim response behind the final one");
	claim(w->m, cc_head_status(head) / 100 == 1, "%u", cc_head_status(head));
	w->infos++;
	w->m->within(w->m);
}

static void on_head(struct cc_req *req, const struct cc_head *head, void *arg)
{
	struct want *w = enter(req, arg);
	int i = cc_head_find_name(head, CC_STR("x-token"), 0);
	char token[16];

	claim(w->m, w->heads++ == 0, "two heads");
	w->status = cc_head_status(head);
	model_tell(w->m, "  head %08x: %u", w->token, w->status);
	w->idle_408 = i < 0 && w->status == 408 && w->m->peer->unasked;
	if (!w->idle_408 && !w->m->peer->unasked) {
		struct cc_str v = i < 0 ? CC_STR("-") : cc_head_value(head, (size_t)i);

		snprintf(token, sizeof(token), "%08x", w->token);
		claim(w->m, v.n == 8 && memcmp(v.p, token, 8) == 0,
			"request %s got the answer of %.*s", token, (int)v.n, v.p);
	}
	if (w->idle_408)
		claim(w->m, w->m->completed == 0 || !w->eos,
			"an idle timeout became the answer of request %08x", w->token);
	w->m->within(w->m);
}

static void on_body(struct cc_req *req, struct cc_buf *body, void *arg)
{
	struct want *w = enter(req, arg);
	struct dice *d = &w->m->peer->dice;
	size_t n = body->len;
	unsigned char bytes[4096];

	claim(w->m, w->heads == 1, "a body without a head");
	claim(w->m, n > w->left, "on_body without new bytes");
	model_tell(w->m, "  body %08x: %zu, %zu of them known", w->token, n, w->left);
	if (chance(d, 10))
		n = below(d, (unsigned)n);
	w->left = body->len - n;
	while (n > 0) {
		size_t part = cc_buf_peek(body, bytes, n < sizeof(bytes) ? n : sizeof(bytes));

		claim(w->m, token_matches(w->token, SIDE_ANSWER, w->got, bytes, part),
			"other bytes in the body of %08x", w->token);
		cc_buf_drain(body, part);
		n -= part;
		w->got += part;
		w->owed += part;
	}
	if (chance(d, 70)) {
		w->m->in_call = true;
		cc_req_consumed(req, w->owed);
		w->m->in_call = false;
		w->owed = 0;
	}
	w->m->within(w->m);
}

static void on_room(struct cc_req *req, void *arg)
{
	struct want *w = enter(req, arg);

	w->m->within(w->m);
}

/* Whole means whole. */
static void check_whole(struct want *w, const struct cc_result *res)
{
	const struct heard *h = auto_peer_find(w->m->peer, w->token);

	claim(w->m, res->phase == CC_PHASE_COMPLETE && !res->unprocessed, "phase %d", res->phase);
	claim(w->m, w->heads == 1, "an end without a head");
	if (w->idle_408)
		return;
	claim(w->m, h && h->begun, "an answer to %08x that nobody heard", w->token);
	claim(w->m,
		h->plan.fault == FAULT_NONE || h->plan.fault == FAULT_SURPLUS ||
			(h->plan.fault == FAULT_RESET && h->done),
		"a broken answer to %08x passed as whole", w->token);
	claim(w->m, w->status == h->plan.status, "%u, not %u", w->status, h->plan.status);
	if (h->plan.framing == FRAMED_CLOSE && !h->done && w->m->peer->gone)
		return; /* nobody can know that it was cut */
	claim(w->m, w->got + w->left == (h->bodyless ? 0 : h->plan.length),
		"%zu and %zu bytes of %zu", w->got, w->left, h->plan.length);
	claim(w->m, res->received == w->got + w->left, "%llu received",
		(unsigned long long)res->received);
	claim(w->m, w->infos == h->plan.infos, "%u of %u interim responses", w->infos,
		h->plan.infos);
	claim(w->m, (res->trailers != NULL) == h->plan.trailers, "trailers");
	claim(w->m, res->t_sent <= res->t_done && res->t_head <= res->t_done, "times");
}

static void check_reset(struct want *w, const struct cc_result *res, const struct heard *h)
{
	if (!h || h->plan.fault != FAULT_RESET || !h->reset || h->plan.code == H2_NO_ERROR ||
		model_excuse(w->m) == EXCUSE_DEAD || h->refused)
		return;
	claim(w->m, res->proto_error == h->plan.code || res->phase == CC_PHASE_QUEUED,
		"RST_STREAM %u became %llu", h->plan.code, (unsigned long long)res->proto_error);
	claim(w->m, res->err == CC_ERESET || res->phase == CC_PHASE_QUEUED, "%s",
		cc_strerror(res->err));
}

static void check_failed(struct want *w, const struct cc_result *res)
{
	const struct heard *h = auto_peer_find(w->m->peer, w->token);
	enum excuse excuse = model_excuse(w->m);

	claim(w->m, res->phase < CC_PHASE_COMPLETE, "%s when complete", cc_strerror(res->err));
	claim(w->m, res->phase > CC_PHASE_QUEUED || res->unprocessed, "%s unsent, but processed",
		cc_strerror(res->err));
	claim(w->m, w->heads == 0 || !res->unprocessed, "%s after the head, but unprocessed",
		cc_strerror(res->err));
	claim(w->m, w->heads == (res->phase == CC_PHASE_RECEIVING), "phase %d with %u heads",
		res->phase, w->heads);
	check_reset(w, res, h);
	if (h && (h->plan.fault != FAULT_NONE || h->refused))
		return;
	if (!h && w->m->h2) /* refused before it was read */
		claim(w->m, res->unprocessed || excuse == EXCUSE_DEAD, "%s", cc_strerror(res->err));
	else if (excuse == EXCUSE_DRAIN)
		claim(w->m, res->phase == CC_PHASE_QUEUED,
			"%s in phase %d while the connection drains", cc_strerror(res->err),
			res->phase);
	else
		claim(w->m, excuse == EXCUSE_DEAD, "%s in phase %d: %s", cc_strerror(res->err),
			res->phase, cc_conn_detail(w->m->conn));
}

static void on_done(struct cc_req *req, const struct cc_result *res, void *arg)
{
	struct want *w = enter(req, arg);
	const struct heard *h = auto_peer_find(w->m->peer, w->token);

	claim(w->m, res->sent <= w->sent, "%llu of %zu bytes sent", (unsigned long long)res->sent,
		w->sent);
	w->result = *res;
	model_tell(w->m, "  done %08x: %s, phase %d%s", w->token, cc_strerror(res->err), res->phase,
		res->unprocessed ? ", unprocessed" : "");
	if (res->err == 0)
		check_whole(w, res);
	else
		check_failed(w, res);
	w->result.trailers = NULL;
	w->m->within(w->m);
	w->cancelled = false; /* too late */
	w->done = true;
	w->req = NULL;
	if (!w->m->h2 && half_sent(w, h))
		w->m->excuse = EXCUSE_DEAD;
	if (w->m->conn)
		model_check(w->m);
}

const struct cc_req_ops model_ops = {
	.size = sizeof(struct cc_req_ops),
	.on_info = on_info,
	.on_head = on_head,
	.on_body = on_body,
	.on_room = on_room,
	.on_done = on_done,
};
