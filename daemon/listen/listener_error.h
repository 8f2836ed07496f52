/* listener_error.h - why a listener cannot be had, as a sentence. */
#ifndef LISTENER_ERROR_H
#define LISTENER_ERROR_H

#include <stdbool.h>

/* *error becomes a malloc'ed sentence, NULL without memory. Returns false, for its caller. */
bool listener_error(char **error, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
