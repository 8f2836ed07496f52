/* str.h - comparing a struct cc_str with a text. */
#ifndef CC_STR_H
#define CC_STR_H

#include <stdbool.h>
#include <string.h>

#include <clientconn/head.h>

static inline bool str_is(struct cc_str s, const char *text)
{
	return s.n == strlen(text) && memcmp(s.p, text, s.n) == 0;
}

#endif
