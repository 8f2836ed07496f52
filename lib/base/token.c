/* token.c - which of the well-known field names a name is: one switch, one comparison. */
#include <string.h>

#include "lib/base/token.h"

#define IS(lit) (memcmp(name, lit, sizeof(lit) - 1) == 0)

enum cc_token token_find(const char *name, size_t n)
{
	switch (n) {
	case 2:
		return IS("te") ? CC_T_TE : CC_T_OTHER;
	case 3:
		return IS("via") ? CC_T_VIA : CC_T_OTHER;
	case 4:
		return IS("host") ? CC_T_HOST : CC_T_OTHER;
	case 6:
		return IS("expect") ? CC_T_EXPECT : CC_T_OTHER;
	case 7:
		if (IS("upgrade"))
			return CC_T_UPGRADE;
		return IS("trailer") ? CC_T_TRAILER : CC_T_OTHER;
	case 10:
		if (IS("connection"))
			return CC_T_CONNECTION;
		return IS("keep-alive") ? CC_T_KEEP_ALIVE : CC_T_OTHER;
	case 14:
		return IS("content-length") ? CC_T_CONTENT_LENGTH : CC_T_OTHER;
	case 16:
		return IS("proxy-connection") ? CC_T_PROXY_CONNECTION : CC_T_OTHER;
	case 17:
		return IS("transfer-encoding") ? CC_T_TRANSFER_ENCODING : CC_T_OTHER;
	default:
		return CC_T_OTHER;
	}
}
