/*
 * wire.h - what the connections of this process have read, in clear also where they speak TLS: the
 * last bytes, and for HTTP/2 the last frames. Failed tests tell it.
 *
 * Programs that use it are linked with -Wl,--wrap=buf_read_commit.
 */
#ifndef TESTS_CONN_WIRE_H
#define TESTS_CONN_WIRE_H

#include <stdbool.h>

/* Forgets what came; from now on it is read as frames, or not. */
void wire_begin(bool h2);
/* A few lines for people; valid until the next call. */
const char *wire_seen(void);

#endif
