/*
 * upload.c - standard input goes to a server as it is read, and the answer to standard output: no
 * more of either is held than there is room for, however large they are.
 *
 *	upload http[s]://host[:port]/path [1 | 2] <FILE
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

struct upload {
	struct event_base *base;
	struct cc_ctx *ctx;
	struct cc_conn *conn;
	struct cc_head *head;
	bool begun, ended; /* the request; its body */
	unsigned status;
};

static void give_up(struct upload *u, struct cc_req *req, const char *why)
{
	fprintf(stderr, "%s\n", why);
	cc_req_cancel(req); /* no callback of it comes any more */
	cc_conn_close(u->conn);
}

/* As much as there is room for; on_room asks for more. */
static void send_some(struct upload *u, struct cc_req *req)
{
	char block[16384];
	struct cc_buf body;
	size_t room, n;
	int err;

	cc_buf_init(&body, u->ctx);
	while (!u->ended && (room = cc_req_room(req)) > 0) {
		n = room < sizeof(block) ? room : sizeof(block);
		n = fread(block, 1, n, stdin);
		u->ended = n == 0;
		err = ferror(stdin) ? CC_EIO : cc_buf_add(&body, block, n);
		if (err == 0)
			err = cc_req_send(req, &body, u->ended); /* empties it */
		if (err < 0) {
			cc_buf_clear(&body);
			give_up(u, req, cc_strerror(err));
			return;
		}
	}
}

static void on_room(struct cc_req *req, void *arg)
{
	send_some(arg, req);
}

static void on_head(struct cc_req *req, const struct cc_head *head, void *arg)
{
	struct upload *u = arg;

	(void)req;
	u->status = cc_head_status(head);
}

/* Says that bytes are gone when they are: the server sends no faster than they are written. */
static void on_body(struct cc_req *req, struct cc_buf *body, void *arg)
{
	char block[16384];
	size_t n;

	while ((n = cc_buf_peek(body, block, sizeof(block))) > 0) {
		if (fwrite(block, 1, n, stdout) < n) {
			give_up(arg, req, "standard output is closed");
			return;
		}
		cc_buf_drain(body, n);
		cc_req_consumed(req, n);
	}
}

static void on_done(struct cc_req *req, const struct cc_result *res, void *arg)
{
	struct upload *u = arg;

	(void)req;
	fprintf(stderr, "status %u, %" PRIu64 " bytes sent, %" PRIu64 " received: %s\n", u->status,
		res->sent, res->received, cc_strerror(res->err));
	if (res->err < 0)
		u->status = 0;
	cc_conn_close(u->conn);
}

static void begin(struct upload *u)
{
	static const struct cc_req_ops ops = {
		.size = sizeof(ops),
		.on_head = on_head,
		.on_body = on_body,
		.on_done = on_done,
		.on_room = on_room,
	};
	struct cc_req *req;
	int err = cc_conn_round_trip(u->conn, u->head, 0, &ops, u, &req);

	u->begun = true;
	if (err == 0) {
		send_some(u, req);
		return;
	}
	fprintf(stderr, "%s\n", cc_strerror(err));
	cc_conn_close(u->conn);
}

static void on_state(struct cc_conn *conn, void *arg)
{
	struct upload *u = arg;

	if (cc_conn_state(conn) == CC_READY && !u->begun) {
		begin(u);
	} else if (cc_conn_state(conn) == CC_CLOSED) {
		if (!u->begun)
			fprintf(stderr, "no connection: %s\n", cc_conn_detail(conn));
		event_base_loopbreak(u->base);
	}
}

int main(int argc, char **argv)
{
	struct upload u = {.base = event_base_new()};
	struct cc_ctx_opts ctx_opts = {
		.size = sizeof(ctx_opts), .base = u.base, .max_buffered = 4 << 20};
	struct cc_transport_opts opts = {.size = sizeof(opts)};
	struct cc_transport *transport = NULL;
	char scheme[8], authority[256], path[1024] = "/";
	int err;

	if (argc < 2 || sscanf(argv[1], "%7[a-z]://%255[^/]%1023s", scheme, authority, path) < 2) {
		fprintf(stderr, "usage: upload http[s]://host[:port]/path [1 | 2] <FILE\n");
		return 2;
	}
	if (argc > 2)
		opts.offer = argv[2][0] == '1' ? CC_OFFER_H1 : CC_OFFER_H2;

	err = cc_ctx_new(&ctx_opts, &u.ctx);
	if (err == 0)
		err = cc_transport_new(u.ctx, &opts, &transport);
	if (err == 0)
		err = (u.head = cc_head_new(u.ctx)) ? 0 : CC_ENOMEM;
	if (err == 0)
		err = cc_head_set_request(u.head, CC_STR("PUT"),
			(struct cc_str){scheme, strlen(scheme)},
			(struct cc_str){authority, strlen(authority)},
			(struct cc_str){path, strlen(path)});
	if (err == 0)
		err = cc_transport_new_client_conn(
			transport, scheme, authority, on_state, &u, &u.conn);
	if (err == 0)
		event_base_dispatch(u.base);
	else
		fprintf(stderr, "%s: %s\n", argv[1], cc_strerror(err));

	cc_conn_free(u.conn);
	cc_head_free(u.head);
	cc_transport_free(transport);
	cc_ctx_free(u.ctx);
	event_base_free(u.base);
	return u.status >= 200 && u.status < 300 ? 0 : 1;
}
