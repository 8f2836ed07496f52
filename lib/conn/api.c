/* api.c - the context as a whole: what base, net and conn each hang on it. */
#include <stdlib.h>

#include "lib/base/ctx.h"
#include "lib/base/head_int.h"
#include "lib/conn/conn.h"
#include "lib/net/link.h"
#include "lib/net/resolve.h"

#define HEADS_KEPT 1024
#define REQS_KEPT  1024

int cc_ctx_new(const struct cc_ctx_opts *opts, struct cc_ctx **ret)
{
	struct cc_ctx *ctx;

	if (opts->size != sizeof(*opts) || !opts->base)
		return CC_EINVAL;
	ctx = opts->mem ? opts->mem->alloc(sizeof(*ctx), opts->mem->arg) : malloc(sizeof(*ctx));
	if (!ctx)
		return CC_ENOMEM;
	*ctx = (struct cc_ctx){0};
	if (ctx_init(ctx, opts) < 0) {
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
	link_ctx_clear(ctx);
	ctx_clear(ctx);
	mem.release(ctx, mem.arg);
}
