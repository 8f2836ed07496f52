/*
 * opts.h - structs of the caller whose first member is their size. The caller may have been built
 * with an older or a newer header than this library: members are only ever added at the end, and
 * never into what was padding.
 */
#ifndef CC_OPTS_H
#define CC_OPTS_H

#include <stddef.h>

/* The bytes of a struct up to and with this member. */
#define OPTS_UP_TO(type, member) (offsetof(type, member) + sizeof(((type *)0)->member))

/*
 * 0, or CC_EINVAL: the struct has fewer than `least` bytes, or one is set that is not among
 * the `known` ones, so that what the caller asks for could not be done.
 */
int opts_check(const void *from, size_t least, size_t known);

/* The same, and then *to is what the caller gave, with 0 where its struct had ended already. */
int opts_take(void *to, const void *from, size_t least, size_t known);

#endif
