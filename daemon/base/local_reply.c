/* local_reply.c - local replies, which the daemon gives itself. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "daemon/base/conf.h"
#include "daemon/base/local_reply.h"

static const char *title_of(unsigned status)
{
	switch (status) {
	case 400:
		return "Bad request";
	case 404:
		return "No such upstream";
	case 408:
		return "Request not complete in time";
	case 413:
		return "Content too large";
	case 414:
		return "Request target too long";
	case 417:
		return "Expectation failed";
	case 431:
		return "Request header fields too large";
	case 501:
		return "Not implemented";
	case 502:
		return "Upstream failed";
	case 503:
		return "No connection free";
	case 504:
		return "Upstream timed out";
	case 505:
		return "HTTP version not supported";
	default:
		return "Proxy error";
	}
}

static json_t *names_of(const struct conf *conf)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < conf->upstream_count; i++)
		json_array_append_new(list, json_string(conf->upstreams[i].name));
	return list;
}

static char *body_of(const struct local_reply *a)
{
	json_t *j = json_object();
	char *text;

	json_object_set_new(j, "title", json_string(title_of(a->status)));
	json_object_set_new(j, "status", json_integer(a->status));
	json_object_set_new(j, "detail", json_string(a->detail));
	json_object_set_new(j, "error", json_string(a->error));
	if (a->upstream)
		json_object_set_new(j, "upstream", json_string(a->upstream));
	if (a->limit)
		json_object_set_new(j, "limit", json_string(a->limit));
	if (a->names)
		json_object_set_new(j, "upstreams", names_of(a->names));
	text = json_dumps(j, JSON_ENSURE_ASCII);
	json_decref(j);
	return text;
}

/* RFC 8941 3.3.3: a string of printable ASCII, with \ before " and \. */
static void add_quoted(char *out, size_t size, const char *s)
{
	size_t n = strlen(out);

	for (; *s && n + 4 < size; s++) {
		if (*s == '"' || *s == '\\')
			out[n++] = '\\';
		out[n++] = *s >= ' ' && *s <= '~' ? *s : '?';
	}
	out[n] = '\0';
}

static void proxy_status(const struct local_reply *a, char *out, size_t size)
{
	snprintf(out, size, "connpoold; error=%s", a->error);
	if (a->upstream) {
		strncat(out, "; next-hop=\"", size - strlen(out) - 1);
		add_quoted(out, size - 1, a->upstream);
		strncat(out, "\"", size - strlen(out) - 1);
	}
	strncat(out, "; details=\"", size - strlen(out) - 1);
	add_quoted(out, size - 1, a->detail);
	strncat(out, "\"", size - strlen(out) - 1);
}

static int add(struct cc_head *head, struct cc_str name, const char *value)
{
	return cc_head_add(head, name, (struct cc_str){value, strlen(value)});
}

static int fill_head(const struct local_reply *a, struct cc_head *head, size_t length)
{
	char text[512];
	int err = cc_head_set_status(head, a->status);

	err = err < 0 ? err : add(head, CC_STR("content-type"), "application/problem+json");
	snprintf(text, sizeof(text), "%zu", length);
	err = err < 0 ? err : add(head, CC_STR("content-length"), text);
	proxy_status(a, text, sizeof(text));
	err = err < 0 ? err : add(head, CC_STR("proxy-status"), text);
	if (a->upstream || a->status >= 502)
		err = err < 0 ? err
		              : add(head, CC_STR("connpool-retry-safe"),
					a->retry_safe ? "yes" : "no");
	if (a->retry_after > 0) {
		snprintf(text, sizeof(text), "%u", a->retry_after);
		err = err < 0 ? err : add(head, CC_STR("retry-after"), text);
	}
	return err;
}

int local_reply_build(const struct local_reply *a, struct cc_head *head, struct cc_buf *body)
{
	char *text = body_of(a);
	int err;

	if (!text)
		return CC_ENOMEM;
	cc_head_reset(head);
	err = cc_buf_add(body, text, strlen(text));
	err = err < 0 ? err : cc_buf_add(body, "\n", 1);
	err = err < 0 ? err : fill_head(a, head, strlen(text) + 1);
	free(text);
	return err;
}

static void fill(
	struct local_reply *a, unsigned status, const char *error, enum reject_reason reason)
{
	a->status = status;
	a->error = error;
	a->reason = reason;
}

void local_reply_from_error(struct local_reply *a, int err, enum cc_phase phase)
{
	bool responding = phase >= CC_PHASE_RECEIVING;

	switch (err) {
	case CC_ERESOLVE:
		fill(a, 502, "dns_error", REJECT_RESOLVE);
		break;
	case CC_ECONNECT:
		fill(a, 502, "connection_refused", REJECT_CONNECT);
		break;
	case CC_EMFILE:
		fill(a, 503, "proxy_internal_limit", REJECT_DESCRIPTORS);
		a->limit = "LimitNOFILE";
		break;
	case CC_ECERT:
		fill(a, 502, "tls_certificate_error", REJECT_TLS);
		break;
	case CC_ETLS:
		fill(a, 502, "tls_protocol_error", REJECT_TLS);
		break;
	case CC_ETIMEOUT:
		if (phase == CC_PHASE_QUEUED)
			fill(a, 504, "connection_timeout", REJECT_CONNECT_TIMEOUT);
		else
			fill(a, 504, "http_response_timeout", REJECT_PING_TIMEOUT);
		break;
	case CC_EPROTO:
	case CC_ETOOBIG:
		fill(a, 502, "http_protocol_error", REJECT_PROTOCOL);
		break;
	case CC_EEOF:
	case CC_EIO:
	case CC_EGOAWAY:
	case CC_ECLOSED:
	case CC_ERESET:
	case CC_EREFUSED:
		fill(a, 502, responding ? "http_response_incomplete" : "connection_terminated",
			err == CC_ERESET ? REJECT_RESET : REJECT_CLOSED);
		break;
	case CC_ENOMEM:
		fill(a, 502, "proxy_internal_error", REJECT_MEMORY);
		break;
	default:
		fill(a, 502, "proxy_internal_error", REJECT_INTERNAL);
	}
}
