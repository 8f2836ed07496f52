#!/bin/sh
# Fails when the library exports anything but cc_*, or when an object has a variable that
# changes (.data, .bss): everything belongs to a context, a worker or the control thread.
set -eu
top=${top_builddir:-.}
status=0

# Sanitizers and gcov put variables of their own into every object.
plain() {
	! nm "$1" | grep -qE '__asan|__ubsan|__tsan|__gcov'
}

library=$top/lib/.libs/libclientconn.so
if [ -e "$library" ]; then
	others=$(nm -D --defined-only "$library" | awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' |
		grep -v '^cc_' || true)
	if [ -n "$others" ]; then
		echo "libclientconn exports more than cc_*:" $others >&2
		status=1
	fi
fi

for object in $(find "$top/lib" "$top/daemon" -name '*.o' ! -path '*/.libs/*llhttp*' \
	! -name '*llhttp*'); do
	plain "$object" || continue
	# Constant tables of pointers stand in .data.rel.ro until they are linked.
	variables=$(objdump -t "$object" |
		awk '/ O / && (/[ \t]\.(data|bss|tdata|tbss)/ || /\*COM\*/) && !/\.data\.rel\.ro/ { print $NF }')
	if [ -n "$variables" ]; then
		echo "$object has variables that change:" $variables >&2
		status=1
	fi
done
exit $status
