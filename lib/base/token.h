/* token.h - well-known field names to small integers (enum cc_token of head.h). */
#ifndef CC_TOKEN_H
#define CC_TOKEN_H

#include <clientconn/head.h>

/* name must be lower case already. */
enum cc_token token_find(const char *name, size_t n);

#endif
