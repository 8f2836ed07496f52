/*
 * get.c - one connection, three requests, one after the other; after each what
 * the connection says about itself. HTTP/1.1 has one slot, which comes back;
 * HTTP/2 has as many as the server's SETTINGS allow.
 *
 *	get [-1 | -2] [-c CA.pem] http[s]://host[:port]/path
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>
#include <openssl/ssl.h>

#include <clientconn.h>
#include <clientconn/buf.h>
#include <clientconn/head.h>

#define REQUESTS 3

struct get {
	char scheme[8], authority[256], path[1024];
	struct event_base *base;
	struct cc_head *head; /* the same for all requests */
	struct cc_conn *conn;
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
		.on_head = on_head, .on_body = on_body, .on_done = on_done};
	struct cc_req *req;
	int err;

	g->begun++;
	err = cc_conn_round_trip(g->conn, g->head, CC_RT_END_STREAM, &ops, g, &req);
	if (err < 0) {
		fprintf(stderr, "request %d: %s\n", g->begun, cc_strerror(err));
		cc_conn_close(g->conn);
	}
}

/* CC_CLOSED is the last that it hears. */
static void on_state(struct cc_conn *conn, void *arg)
{
	struct get *g = arg;

	if (cc_conn_state(conn) == CC_READY && g->begun == 0) {
		printf("HTTP/%s\n", cc_conn_proto(conn) == CC_PROTO_H2 ? "2" : "1.1");
		ask(g);
	} else if (cc_conn_state(conn) == CC_CLOSED) {
		if (g->good < REQUESTS)
			fprintf(stderr, "%s: %s\n", g->authority, cc_conn_detail(conn));
		event_base_loopbreak(g->base);
	}
}

static int run(struct get *g, struct cc_transport_opts *opts)
{
	struct cc_ctx_opts ctx_opts = {.size = sizeof(ctx_opts), .base = g->base};
	struct cc_transport *transport = NULL;
	struct cc_ctx *ctx;
	int err = cc_ctx_new(&ctx_opts, &ctx);

	if (err < 0)
		return err;
	err = cc_transport_new(ctx, opts, &transport);
	if (err == 0 && !(g->head = cc_head_new(ctx)))
		err = CC_ENOMEM;
	if (err == 0)
		err = cc_head_set_request(g->head, CC_STR("GET"),
			(struct cc_str){g->scheme, strlen(g->scheme)},
			(struct cc_str){g->authority, strlen(g->authority)},
			(struct cc_str){g->path, strlen(g->path)});
	if (err == 0)
		err = cc_transport_new_client_conn(
			transport, g->scheme, g->authority, on_state, g, &g->conn);
	if (err == 0)
		event_base_dispatch(g->base);
	cc_head_free(g->head);
	cc_conn_free(g->conn);
	cc_transport_free(transport);
	cc_ctx_free(ctx);
	return err;
}

/* NULL: no such file, or no certificate in it. */
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
	struct cc_transport_opts opts = {.size = sizeof(opts)};
	struct get g = {.path = "/"};
	const char *ca_file = NULL;
	int opt, err;

	while ((opt = getopt(argc, argv, "12c:")) != -1) {
		if (opt == 'c')
			ca_file = optarg;
		else if (opt == '?')
			return 2;
		else
			opts.offer = opt == '1' ? CC_OFFER_H1 : CC_OFFER_H2;
	}
	if (optind + 1 != argc || sscanf(argv[optind], "%7[a-z]://%255[^/?#]%1023[^#]", g.scheme,
					  g.authority, g.path) < 2) {
		fprintf(stderr, "usage: get [-1 | -2] [-c CA.pem] http[s]://host[:port]/path\n");
		return 2;
	}
	if (ca_file && !(opts.tls = trust(ca_file))) {
		fprintf(stderr, "%s: no certificate can be read from it\n", ca_file);
		return 2;
	}
	g.base = event_base_new();
	err = g.base ? run(&g, &opts) : CC_ENOMEM;
	if (err < 0)
		fprintf(stderr, "%s: %s\n", argv[optind], cc_strerror(err));
	if (g.base)
		event_base_free(g.base);
	SSL_CTX_free(opts.tls);
	return g.good == REQUESTS ? 0 : 1;
}
