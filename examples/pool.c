/*
 * pool.c - a pool of one's own: ten thousand requests over four connections. What
 * a server that retires a connection (GOAWAY, Connection: close) surely did not
 * act on goes to another one, so that no request is lost and none is done twice.
 *
 *	pool [-1 | -2] [-c CA.pem] http[s]://host[:port]/path
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>
#include <openssl/ssl.h>

#include <clientconn.h>
#include <clientconn/buf.h>
#include <clientconn/head.h>

#define REQUESTS 10000
#define USEFUL   4  /* connections that take requests or soon will */
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
	unsigned dialled, again, failed;
	bool broken; /* a server that cannot be reached: no more dials */
};

/* ---- requests ---------------------------------------------------------- */

static void job_wait(struct job *job)
{
	job->next = job->pool->todo;
	job->pool->todo = job;
}

static void job_end(struct job *job, int err)
{
	struct pool *p = job->pool;

	if (err == 0 && job->status == 200) {
		job->answers++;
	} else {
		p->failed++;
		fprintf(stderr, "%u: status %u, %s\n", job->number, job->status, cc_strerror(err));
	}
	if (--p->open == 0)
		event_base_loopbreak(p->base);
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
	if (res->err < 0 && res->unprocessed) { /* RFC 9113 8.7: may be sent again */
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
		.on_head = on_head, .on_body = on_body, .on_done = on_done};
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

static void on_state(struct cc_conn *conn, void *arg);

static void pool_dial(struct pool *p)
{
	unsigned i = 0;

	while (i < MEMBERS && p->members[i])
		i++;
	if (i == MEMBERS)
		return;
	p->dialled++;
	if (cc_transport_new_client_conn(
		    p->transport, p->scheme, p->authority, on_state, p, &p->members[i]) < 0)
		p->broken = true;
}

/* Fills the slots there are; when requests are left over, another connection is worth it. */
static void pool_serve(struct pool *p)
{
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
	if (p->todo && useful < USEFUL && !p->broken)
		pool_dial(p);
	if (p->todo && useful == 0 && p->broken)
		event_base_loopbreak(p->base);
}

/* The hook: ready, slots came free, draining after GOAWAY, closed. */
static void on_state(struct cc_conn *conn, void *arg)
{
	struct pool *p = arg;

	if (cc_conn_state(conn) == CC_CLOSED) {
		if (cc_conn_proto(conn) == CC_PROTO_NONE) {
			fprintf(stderr, "%s: %s\n", p->authority, cc_conn_detail(conn));
			p->broken = true;
		}
		for (unsigned i = 0; i < MEMBERS; i++)
			if (p->members[i] == conn)
				p->members[i] = NULL;
		cc_conn_free(conn);
	}
	pool_serve(p);
}

/* ---- start and end ----------------------------------------------------- */

static void pool_run(struct pool *p, struct cc_ctx *ctx)
{
	struct timeval patience = {.tv_sec = SECONDS};

	for (unsigned i = REQUESTS; i-- > 0;) {
		p->jobs[i].pool = p;
		p->jobs[i].number = i;
		job_wait(&p->jobs[i]);
	}
	p->open = REQUESTS;
	p->head = cc_head_new(ctx);
	if (p->head) {
		pool_dial(p);
		event_base_loopexit(p->base, &patience);
		event_base_dispatch(p->base);
	}
	cc_head_free(p->head);
}

static int report(const struct pool *p)
{
	unsigned lost = 0, doubled = 0;

	for (unsigned i = 0; i < REQUESTS; i++) {
		lost += p->jobs[i].answers == 0;
		doubled += p->jobs[i].answers > 1;
	}
	printf("%u requests, %u lost, %u doubled, %u sent again, %u connections\n", REQUESTS, lost,
		doubled, p->again, p->dialled);
	return lost || doubled || p->failed ? 1 : 0;
}

static SSL_CTX *trust(const char *ca_file)
{
	SSL_CTX *tls = SSL_CTX_new(TLS_client_method());

	if (tls && SSL_CTX_load_verify_file(tls, ca_file) == 1) {
		SSL_CTX_set_min_proto_version(tls, TLS1_2_VERSION);
		SSL_CTX_set_verify(tls, SSL_VERIFY_PEER, NULL);
		return tls;
	}
	SSL_CTX_free(tls);
	return NULL;
}

int main(int argc, char **argv)
{
	struct pool p = {.path = "/"};
	struct cc_transport_opts opts = {.size = sizeof(opts)};
	struct cc_ctx_opts ctx_opts = {.size = sizeof(ctx_opts)};
	struct cc_ctx *ctx = NULL;
	int opt, status = 1;

	while ((opt = getopt(argc, argv, "12c:")) != -1) {
		if (opt == '1' || opt == '2')
			opts.offer = opt == '1' ? CC_OFFER_H1 : CC_OFFER_H2;
		else if (opt != 'c' || opts.tls || !(opts.tls = trust(optarg)))
			return 2;
	}
	if (optind + 1 != argc || sscanf(argv[optind], "%7[a-z]://%255[^/?#]%1023[^?#]", p.scheme,
					  p.authority, p.path) < 2) {
		fprintf(stderr, "usage: pool [-1 | -2] [-c CA.pem] http[s]://host[:port]/path\n");
		return 2;
	}
	p.base = ctx_opts.base = event_base_new();
	if (p.base && cc_ctx_new(&ctx_opts, &ctx) == 0 &&
		cc_transport_new(ctx, &opts, &p.transport) == 0) {
		pool_run(&p, ctx);
		status = report(&p);
	}
	cc_transport_free(p.transport);
	cc_ctx_free(ctx); /* and the connections that are left */
	if (p.base)
		event_base_free(p.base);
	SSL_CTX_free(opts.tls);
	return status;
}
