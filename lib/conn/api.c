/*
 * api.c - the context as a whole: what base, net and conn each hang on it; and
 * the questions that a connection answers.
 */
#include <config.h>

#include <stdlib.h>

#include "lib/base/ctx.h"
#include "lib/base/head_int.h"
#include "lib/base/opts.h"
#include "lib/conn/conn.h"
#include "lib/conn/proto.h"
#include "lib/net/link.h"
#include "lib/net/race.h"
#include "lib/net/resolve.h"
#include "lib/net/session.h"

#define HEADS_KEPT 1024
#define REQS_KEPT  1024

int cc_ctx_new(const struct cc_ctx_opts *opts, struct cc_ctx **ret)
{
	struct cc_ctx_opts o;
	struct cc_ctx *ctx;

	if (opts_take(&o, opts, OPTS_UP_TO(struct cc_ctx_opts, base), sizeof(o)) < 0 || !o.base)
		return CC_EINVAL;
	ctx = o.mem ? o.mem->alloc(sizeof(*ctx), o.mem->arg) : malloc(sizeof(*ctx));
	if (!ctx)
		return CC_ENOMEM;
	*ctx = (struct cc_ctx){0};
	if (ctx_init(ctx, &o) < 0) {
		cc_ctx_free(ctx);
		return CC_ENOMEM;
	}
	mem_cache_init(&ctx->heads, sizeof(struct cc_head), HEADS_KEPT);
	mem_cache_init(&ctx->reqs, sizeof(struct cc_req), REQS_KEPT);
	*ret = ctx;
	return 0;
}

void cc_ctx_free(struct cc_ctx *ctx)
{
	struct cc_mem mem;

	if (!ctx)
		return;
	mem = ctx->mem;
	list_each (l, tmp, &ctx->conns)
		cc_conn_free(container_of(l, struct cc_conn, link));
	resolver_free(ctx->resolver);
	turn_run_reap(ctx);
	sessions_clear(ctx);
	link_ctx_clear(ctx);
	race_ctx_clear(ctx);
	ctx_clear(ctx);
	mem.release(ctx, mem.arg);
}

const char *cc_version(void)
{
	return PACKAGE_VERSION;
}

/* ---- what a connection says of itself ---------------------------------- */

enum cc_state cc_conn_state(const struct cc_conn *conn)
{
	return conn->st.state;
}

enum cc_proto_id cc_conn_proto(const struct cc_conn *conn)
{
	return conn->proto ? conn->proto->id : CC_PROTO_NONE;
}

bool cc_conn_multiplexed(const struct cc_conn *conn)
{
	return conn->proto && conn->proto->multiplexed;
}

int cc_conn_err(const struct cc_conn *conn)
{
	return conn->st.err;
}

const char *cc_conn_address(const struct cc_conn *conn)
{
	return conn->address;
}

const char *cc_conn_detail(const struct cc_conn *conn)
{
	return conn->detail;
}

bool cc_conn_limits_known(const struct cc_conn *conn)
{
	return conn->limits_known;
}

uint64_t cc_conn_id(const struct cc_conn *conn)
{
	return conn->id;
}

uint64_t cc_conn_request_limit(const struct cc_conn *conn)
{
	return conn_state_request_limit(&conn->st);
}

uint64_t cc_conn_requests_completed(const struct cc_conn *conn)
{
	return conn->st.completed;
}

uint32_t cc_conn_in_flight(const struct cc_conn *conn)
{
	return conn_state_in_flight(&conn->st);
}

uint32_t cc_conn_available(const struct cc_conn *conn)
{
	return conn_state_available(&conn->st);
}

uint32_t cc_conn_waiting(const struct cc_conn *conn)
{
	return conn->waiting_count;
}

void cc_conn_counts(const struct cc_conn *conn, struct cc_counts *ret)
{
	*ret = (struct cc_counts){
		.request_limit = cc_conn_request_limit(conn),
		.requests_completed = cc_conn_requests_completed(conn),
		.in_flight = cc_conn_in_flight(conn),
		.available = cc_conn_available(conn),
		.waiting = cc_conn_waiting(conn),
	};
}

unsigned cc_conn_changes(const struct cc_conn *conn)
{
	return conn->changes_told;
}

enum cc_reason cc_conn_reason(const struct cc_conn *conn)
{
	return conn->reason;
}

uint64_t cc_conn_goaway_code(const struct cc_conn *conn)
{
	return conn->goaway.code;
}
