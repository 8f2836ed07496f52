/*
 * link_tls.h - the entry of link_wire.h for TLS.
 */
#ifndef CC_LINK_TLS_H
#define CC_LINK_TLS_H

#include "lib/net/link_wire.h"

struct cc_ctx;

extern const struct wire_ops wire_tls;

/*
 * w->ssl, which has its connect state set but no BIO, reads and writes through w from now on. w
 * must not move any more. 0 or CC_ENOMEM, then w->ssl is as it was.
 */
int wire_tls_start(struct wire *w);
/* Gives back what wire_tls_start hung on the context. */
void wire_tls_ctx_clear(struct cc_ctx *ctx);

#endif
