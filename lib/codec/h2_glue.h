/*
 * h2_glue.h - nghttp2 for both sides: heads to fields and back, and the
 * differences between its versions.
 */
#ifndef CC_H2_GLUE_H
#define CC_H2_GLUE_H

#include <nghttp2/nghttp2.h>

#include <clientconn/buf.h>
#include <clientconn/head.h>

#define H2_NV_INLINE 64

/* The fields of a head as nghttp2 wants them; they point into the head. */
struct h2_nv {
	nghttp2_nv inline_nv[H2_NV_INLINE];
	nghttp2_nv *nv;
	size_t n;
	struct cc_ctx *ctx;
};

/*
 * Pseudo-header fields, then the fields that may travel in HTTP/2 (RFC 9113
 * 8.2.2: nothing hop-by-hop, no Host). h2_nv_clear afterwards. 0 or CC_ENOMEM.
 */
int h2_nv_request(struct h2_nv *f, struct cc_ctx *ctx, const struct cc_head *h);
int h2_nv_trailers(struct h2_nv *f, struct cc_ctx *ctx, const struct cc_head *h);
void h2_nv_clear(struct h2_nv *f);

/*
 * One field of a response's header block into the head that is being built;
 * max bounds its bytes. nghttp2 has checked the grammar. 0, CC_ENOMEM, CC_ETOOBIG, CC_EPROTO.
 */
int h2_head_field(struct cc_head *h, const uint8_t *name, size_t name_len, const uint8_t *value,
	size_t value_len, size_t max);

/* cc_mem as nghttp2_mem. */
nghttp2_mem *h2_mem(struct cc_ctx *ctx, nghttp2_mem *mem);

/*
 * Moves what the session wants to send to out until out holds max bytes. 0, CC_ENOMEM, CC_EPROTO.
 * Not to be called from a callback of the session.
 */
int h2_pump(nghttp2_session *session, struct cc_buf *out, size_t max);

/* What every send_data_callback of a data source does: frame head and n bytes of from go to out. */
int h2_send_data(struct cc_buf *out, const uint8_t *framehd, struct cc_buf *from, size_t n);

#endif
