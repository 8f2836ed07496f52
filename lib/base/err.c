/* err.c - errors, reasons and protocols in words. */
#include <clientconn.h>

const char *cc_strerror(int err)
{
	switch ((enum cc_err)err) {
	case CC_OK:
		return "no error";
	case CC_ENOMEM:
		return "out of memory";
	case CC_EINVAL:
		return "invalid argument";
	case CC_EFULL:
		return "no capacity now";
	case CC_ECLOSED:
		return "connection draining or closed";
	case CC_ERESOLVE:
		return "name could not be resolved";
	case CC_ECONNECT:
		return "could not connect";
	case CC_ETLS:
		return "TLS failed";
	case CC_EIO:
		return "connection broke";
	case CC_EEOF:
		return "peer closed the connection";
	case CC_EPROTO:
		return "peer violated the protocol";
	case CC_EREFUSED:
		return "peer did not process the request";
	case CC_ERESET:
		return "peer reset the request";
	case CC_ETIMEOUT:
		return "timed out";
	case CC_ETOOBIG:
		return "message head too large";
	case CC_ECANCELED:
		return "canceled";
	case CC_EGOAWAY:
		return "server is going away";
	case CC_ECERT:
		return "certificate not trusted";
	case CC_EMFILE:
		return "no file descriptor left";
	}
	return "unknown error";
}

const char *cc_reason_name(enum cc_reason reason)
{
	switch (reason) {
	case CC_REASON_NONE:
		return "none";
	case CC_REASON_OWNER:
		return "owner";
	case CC_REASON_DIAL:
		return "dial";
	case CC_REASON_IDLE:
		return "idle";
	case CC_REASON_AGE:
		return "age";
	case CC_REASON_REQUESTS:
		return "requests";
	case CC_REASON_STREAM_IDS:
		return "stream_ids";
	case CC_REASON_GOAWAY:
		return "goaway";
	case CC_REASON_CONNECTION_CLOSE:
		return "connection_close";
	case CC_REASON_NOT_REUSABLE:
		return "not_reusable";
	case CC_REASON_PEER_IDLE:
		return "peer_idle";
	case CC_REASON_EOF:
		return "eof";
	case CC_REASON_RESET:
		return "reset";
	case CC_REASON_TLS:
		return "tls";
	case CC_REASON_PROTOCOL:
		return "protocol";
	case CC_REASON_PING_TIMEOUT:
		return "ping_timeout";
	case CC_REASON_SETTINGS_TIMEOUT:
		return "settings_timeout";
	case CC_REASON_MEMORY:
		return "memory";
	}
	return "unknown";
}

const char *cc_proto_name(enum cc_proto_id id)
{
	switch (id) {
	case CC_PROTO_NONE:
		return "none";
	case CC_PROTO_H1:
		return "h1";
	case CC_PROTO_H2:
		return "h2";
	case CC_PROTO_H3:
		return "h3";
	}
	return "unknown";
}
