/*
 * get.c - one connection, three requests, one after the other; after each what
 * the connection says about itself. HTTP/1.1 has one slot, which comes back;
 * HTTP/2 has as many as the server's SETTINGS allow.
 *
 *	get http[s]://host[:port]/path [1 | 2]
 *
 * The last word is the version of HTTP. SSL_CERT_FILE can name a CA of one's own.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <event2/event.h>

#include <clientconn.h>
#include <clientconn/buf.h>
#include <clientconn/head.h>

#define REQUESTS 3

struct get {
	struct event_base *base;
	struct cc_conn *conn;
	struct cc_head *head; /* the same for all requests */
	int begun, good;
	unsigned status; /* of the answer that is coming in */
};

static void ask(struct get *g);

static void on_head(struct cc_req *req, const struct cc_head *head, void *arg)
{
	struct get *g = arg;

	(void)req;
	g->status = cc_head_status(head);
}

/* Nobody wants the bytes; saying that they are gone lets the server send more. */
static void on_body(struct cc_req *req, struct cc_buf *body, void *arg)
{
	size_t n = body->len;

	(void)arg;
	cc_buf_drain(body, n);
	cc_req_consumed(req, n);
}

/* Comes once for each request, whatever happened. */
static void on_done(struct cc_req *req, const struct cc_result *res, void *arg)
{
	struct get *g = arg;

	(void)req;
	if (res->err < 0)
		printf("%d: %s", g->begun, cc_strerror(res->err));
	else
		printf("%d: status %u, %" PRIu64 " bytes", g->begun, g->status, res->received);
	printf(", request_limit %" PRIu64 ", requests_completed %" PRIu64 "\n",
		cc_conn_request_limit(g->conn), cc_conn_requests_completed(g->conn));
	g->good += res->err == 0 && g->status == 200;

	if (g->begun < REQUESTS)
		ask(g);
	else
		cc_conn_close(g->conn);
}

static void ask(struct get *g)
{
	static const struct cc_req_ops ops = {
		.size = sizeof(ops),
		.on_head = on_head,
		.on_body = on_body,
		.on_done = on_done,
	};
	struct cc_req *req;
	int err;

	g->begun++;
	err = cc_conn_round_trip(g->conn, g->head, CC_RT_END_STREAM, &ops, g, &req);
	if (err < 0) {
		fprintf(stderr, "request %d: %s\n", g->begun, cc_strerror(err));
		cc_conn_close(g->conn);
	}
}

/* Whatever happens to the connection is told here; CC_CLOSED is the last of it. */
static void on_state(struct cc_conn *conn, void *arg)
{
	struct get *g = arg;

	if (cc_conn_state(conn) == CC_READY && g->begun == 0) {
		printf("HTTP/%s\n", cc_conn_proto(conn) == CC_PROTO_H2 ? "2" : "1.1");
		ask(g);
	} else if (cc_conn_state(conn) == CC_CLOSED) {
		if (g->good < REQUESTS)
			fprintf(stderr, "the connection ended: %s\n", cc_conn_detail(conn));
		event_base_loopbreak(g->base);
	}
}

int main(int argc, char **argv)
{
	struct get g = {.base = event_base_new()};
	struct cc_ctx_opts ctx_opts = {.size = sizeof(ctx_opts), .base = g.base};
	struct cc_transport_opts opts = {.size = sizeof(opts)};
	struct cc_transport *transport = NULL;
	struct cc_ctx *ctx = NULL;
	char scheme[8], authority[256], path[1024] = "/";
	int err;

	if (argc < 2 || sscanf(argv[1], "%7[a-z]://%255[^/]%1023s", scheme, authority, path) < 2) {
		fprintf(stderr, "usage: get http[s]://host[:port]/path [1 | 2]\n");
		return 2;
	}
	if (argc > 2)
		opts.offer = argv[2][0] == '1' ? CC_OFFER_H1 : CC_OFFER_H2;

	err = cc_ctx_new(&ctx_opts, &ctx);
	if (err == 0)
		err = cc_transport_new(ctx, &opts, &transport);
	if (err == 0)
		err = (g.head = cc_head_new(ctx)) ? 0 : CC_ENOMEM;
	if (err == 0)
		err = cc_head_set_request(g.head, CC_STR("GET"),
			(struct cc_str){scheme, strlen(scheme)},
			(struct cc_str){authority, strlen(authority)},
			(struct cc_str){path, strlen(path)});
	if (err == 0)
		err = cc_transport_new_client_conn(
			transport, scheme, authority, on_state, &g, &g.conn);
	if (err == 0)
		event_base_dispatch(g.base);
	else
		fprintf(stderr, "%s: %s\n", argv[1], cc_strerror(err));

	cc_conn_free(g.conn);
	cc_head_free(g.head);
	cc_transport_free(transport);
	cc_ctx_free(ctx);
	event_base_free(g.base);
	return g.good == REQUESTS ? 0 : 1;
}
