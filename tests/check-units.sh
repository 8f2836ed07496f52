#!/bin/sh
# Fails when systemd finds anything to say about the units that this build installs.
set -eu
top=${top_builddir:-.}
src=${srcdir:-.}

command -v systemd-analyze >/dev/null || exit 77
[ -e "$top/systemd/connpoold.service" ] || exit 77

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' HUP INT TERM

# The program that would be installed is the one that was built.
daemon=$(cd "$top" && pwd)/daemon/connpoold
sed "s|^ExecStart=[^ ]*|ExecStart=$daemon|" "$top/systemd/connpoold.service" \
	>"$tmp/connpoold.service"
cp "$src/systemd/connpoold.socket" "$tmp"

said=$(systemd-analyze verify --man=no "$tmp/connpoold.service" "$tmp/connpoold.socket" 2>&1) ||
	said="$said (exit status $?)"
if [ -n "$said" ]; then
	echo "$said" >&2
	exit 1
fi
