/* err.c - errors in words. */
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
	}
	return "unknown error";
}
