/* listener_error.c - one sentence. */
#include <stdarg.h>
#include <stdio.h>

#include "daemon/listen/listener_error.h"

bool listener_error(char **error, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(error, fmt, ap) < 0)
		*error = NULL;
	va_end(ap);
	return false;
}
