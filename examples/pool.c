/*
 * pool.c - a pool of one's own: ten thousand requests over four connections. What
 * a server that retires a connection (GOAWAY, Connection: close) surely did not
 * act on goes to another one, so that no request is lost and none is done twice.
 *
 *	pool http[s]://host[:port]/path [1 | 2]
 *
 * The last word is the version of HTTP. SSL_CERT_FILE can name a CA of one's own.
 */
#include <stdio.h>
#include <string.h>

#include <event2/event.h>

#include <clientconn.h>
#include <clientconn/buf.h>
#include <clientconn/head.h>

#define REQUESTS 10000
#define WANTED   4  /* connections that take requests or soon will */
#define MEMBERS  32 /* with those that only finish what they have */
#define SECONDS  120

struct job { /* one request, until its answer is there */
	struct pool *pool;
	struct job *next; /* in pool->todo */
	unsigned number, status, answers;
};

struct pool {
	char scheme[8], authority[256], path[1024];
	struct event_base *base;
	struct cc_transport *transport;
	struct cc_head *head;             /* of the request being sent */
	struct cc_conn *members[MEMBERS]; /* NULL: a free place */
	struct job jobs[REQUESTS], *todo;
	unsigned open; /* jobs that have not ended */
	unsigned dialled, again;
};

/* ---- requests ---------------------------------------------------------- */

static void job_wait(struct job *job)
{
	job->next = job->pool->todo;
	job->pool->todo = job;
}

static void job_end(struct job *job, int err)
{
	if (err == 0 && job->status == 200)
		job->answers++;
	else
		fprintf(stderr, "%u: status %u, %s\n", job->number, job->status, cc_strerror(err));
	if (--job->pool->open == 0)
		event_base_loopbreak(job->pool->base);
}

static void on_head(struct cc_req *req, const struct cc_head *head, void *arg)
{
	(void)req;
	((struct job *)arg)->status = cc_head_status(head);
}

static void on_body(struct cc_req *req, struct cc_buf *body, void *arg)
{
	size_t n = body->len;

	(void)arg;
	cc_buf_drain(body, n);
	cc_req_consumed(req, n);
}

/* The state hook comes after it and gives the free slot to the next. */
static void on_done(struct cc_req *req, const struct cc_result *res, void *arg)
{
	struct job *job = arg;

	(void)req;
	if (res->err < 0 && res->unprocessed) { /* RFC 9113 8.7: may be retried */
		job->pool->again++;
		job_wait(job);
	} else {
		job_end(job, res->err);
	}
}

/* A slot of conn is reserved; the round trip takes it, or gives it back when it fails. */
static void job_send(struct job *job, struct cc_conn *conn)
{
	static const struct cc_req_ops ops = {
		.size = sizeof(ops),
		.on_head = on_head,
		.on_body = on_body,
		.on_done = on_done,
	};
	struct pool *p = job->pool;
	char path[sizeof(p->path) + 16];
	struct cc_req *req;
	int err;

	snprintf(path, sizeof(path), "%s?%u", p->path, job->number);
	cc_head_reset(p->head);
	err = cc_head_set_request(p->head, CC_STR("GET"),
		(struct cc_str){p->scheme, strlen(p->scheme)},
		(struct cc_str){p->authority, strlen(p->authority)},
		(struct cc_str){path, strlen(path)});
	if (err < 0)
		cc_conn_release(conn);
	else
		err = cc_conn_round_trip(
			conn, p->head, CC_RT_END_STREAM | CC_RT_RESERVED, &ops, job, &req);
	if (err < 0)
		job_end(job, err);
}

/* ---- connections ------------------------------------------------------- */

static void pool_serve(struct pool *p);

static struct cc_conn **place_of(struct pool *p, const struct cc_conn *conn)
{
	for (unsigned i = 0; i < MEMBERS; i++)
		if (p->members[i] == conn)
			return &p->members[i];
	return NULL;
}

/* The hook: ready, slots came free, draining after GOAWAY, closed. */
static void on_state(struct cc_conn *conn, void *arg)
{
	struct pool *p = arg;

	if (cc_conn_state(conn) == CC_CLOSED) {
		if (cc_conn_proto(conn) == CC_PROTO_NONE) { /* nor would the next one */
			fprintf(stderr, "%s: %s\n", p->authority, cc_conn_detail(conn));
			event_base_loopbreak(p->base);
			return;
		}
		*place_of(p, conn) = NULL;
		cc_conn_free(conn);
	}
	pool_serve(p);
}

/* Fills the slots there are; when requests are left over, another connection is worth it. */
static void pool_serve(struct pool *p)
{
	struct cc_conn **place = place_of(p, NULL);
	unsigned useful = 0;

	for (unsigned i = 0; i < MEMBERS; i++) {
		struct cc_conn *conn = p->members[i];

		/* CC_EFULL while it connects or is busy, CC_ECLOSED when it drains. */
		while (conn && p->todo && cc_conn_reserve(conn) == 0) {
			struct job *job = p->todo;

			p->todo = job->next;
			job_send(job, conn);
		}
		useful += conn && cc_conn_state(conn) <= CC_READY;
	}
	if (p->todo && useful < WANTED && place) {
		p->dialled++;
		if (cc_transport_new_client_conn(
			    p->transport, p->scheme, p->authority, on_state, p, place) < 0)
			event_base_loopbreak(p->base);
	}
}

/* ---- start and end ----------------------------------------------------- */

static void pool_run(struct pool *p)
{
	struct timeval patience = {.tv_sec = SECONDS};

	for (unsigned i = REQUESTS; i-- > 0;) {
		p->jobs[i].pool = p;
		p->jobs[i].number = i;
		job_wait(&p->jobs[i]);
	}
	p->open = REQUESTS;
	pool_serve(p);
	event_base_loopexit(p->base, &patience);
	event_base_dispatch(p->base);
}

static int report(const struct pool *p)
{
	unsigned lost = 0, doubled = 0;

	for (unsigned i = 0; i < REQUESTS; i++) {
		lost += p->jobs[i].answers == 0;
		doubled += p->jobs[i].answers > 1;
	}
	printf("%u requests, %u lost, %u doubled, %u retried, %u connections\n", REQUESTS, lost,
		doubled, p->again, p->dialled);
	return lost || doubled ? 1 : 0;
}

int main(int argc, char **argv)
{
	static struct pool p = {.path = "/"};
	struct cc_transport_opts opts = {.size = sizeof(opts)};
	struct cc_ctx_opts ctx_opts = {.size = sizeof(ctx_opts)};
	struct cc_ctx *ctx = NULL;
	int status = 1;

	if (argc < 2 ||
		sscanf(argv[1], "%7[a-z]://%255[^/]%1023[^?]", p.scheme, p.authority, p.path) < 2) {
		fprintf(stderr, "usage: pool http[s]://host[:port]/path [1 | 2]\n");
		return 2;
	}
	if (argc > 2)
		opts.offer = argv[2][0] == '1' ? CC_OFFER_H1 : CC_OFFER_H2;

	p.base = ctx_opts.base = event_base_new();
	if (cc_ctx_new(&ctx_opts, &ctx) == 0 && cc_transport_new(ctx, &opts, &p.transport) == 0 &&
		(p.head = cc_head_new(ctx))) {
		pool_run(&p);
		status = report(&p);
	}
	cc_head_free(p.head);
	cc_transport_free(p.transport);
	cc_ctx_free(ctx); /* and the connections that are left */
	event_base_free(p.base);
	return status;
}
