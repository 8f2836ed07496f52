#!/bin/sh
# Fails when conf/connpoold.conf, or the key list in doc/connpoold.conf.5, is not what
# daemon/base/conf_keys.def says. With --write it makes them so.
set -eu

top=$(cd "$(dirname "$0")/.." && pwd)
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' HUP INT TERM

${CC:-cc} -std=c11 -D_GNU_SOURCE -I"$top" "$top/tests/tools/conf_docs.c" -o "$tmp/conf_docs"
"$tmp/conf_docs" conf >"$tmp/connpoold.conf"
"$tmp/conf_docs" man >"$tmp/keys"

# The manual is written by hand around the two marks.
page=$top/doc/connpoold.conf.5
for mark in begin end; do
	if [ "$(grep -c "^\.\\\\\" keys: $mark" "$page")" != 1 ]; then
		echo "$page: needs one line .\\\" keys: $mark" >&2
		exit 1
	fi
done
awk -v keys="$tmp/keys" '
	/^\.\\" keys: end/ { inside = 0 }
	!inside { print }
	/^\.\\" keys: begin/ { inside = 1; while ((getline line < keys) > 0) print line }
' "$page" >"$tmp/connpoold.conf.5"

status=0
for file in conf/connpoold.conf doc/connpoold.conf.5; do
	if [ "${1:-}" = --write ]; then
		cat "$tmp/${file##*/}" >"$top/$file"
	elif ! diff -u "$top/$file" "$tmp/${file##*/}"; then
		echo "$file is out of date: run tests/check-conf-docs.sh --write" >&2
		status=1
	fi
done
exit $status
