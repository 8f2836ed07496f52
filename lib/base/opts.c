/* opts.c - reads structs that begin with their size. */
#include <string.h>

#include <clientconn.h>

#include "lib/base/opts.h"

#define SIZE_MOST 4096u /* no struct of ours will be larger: the size was not set */

static size_t size_of(const void *opts)
{
	size_t size;

	memcpy(&size, opts, sizeof(size));
	return size;
}

int opts_check(const void *from, size_t least, size_t known)
{
	const unsigned char *bytes = from;
	size_t size = size_of(from);

	if (size < least || size > SIZE_MOST)
		return CC_EINVAL;
	for (size_t i = known; i < size; i++)
		if (bytes[i])
			return CC_EINVAL;
	return 0;
}

int opts_take(void *to, const void *from, size_t least, size_t known)
{
	size_t size = size_of(from);
	int err = opts_check(from, least, known);

	if (err < 0)
		return err;
	memset(to, 0, known);
	memcpy(to, from, size < known ? size : known);
	return 0;
}
