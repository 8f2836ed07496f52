#!/bin/sh
# Fails when an #include points upward: a folder may include only itself and the folders
# listed before it, and a header of its own folder only from its own pair or a .c file.
# Also fails when a library is visible outside of the files that wrap it.
set -eu
cd "$(dirname "$0")/.."

lib_layers="lib/base lib/codec lib/net lib/conn"
daemon_layers="daemon/base daemon/pool daemon/exchange daemon/front daemon daemon/control"
status=0

fail() {
	echo "$1" >&2
	status=1
}

# rank FOLDER: its place from the ground up.
rank() {
	n=0
	for layer in $lib_layers $daemon_layers; do
		n=$((n + 1))
		if [ "$layer" = "$1" ]; then
			echo $n
			return
		fi
	done
	echo 0
}

# main.c stands above all.
for file in $(find lib daemon -name '*.[ch]' | sort); do
	[ "$file" = daemon/main.c ] && continue
	own=$(rank "$(dirname "$file")")
	for header in $(sed -n 's/^#include "\(.*\)"$/\1/p' "$file"); do
		case $header in *.def) continue ;; esac
		there=$(rank "$(dirname "$header")")
		[ "$there" -gt 0 ] || fail "$file includes $header, which is in no layer"
		[ "$there" -le "$own" ] || fail "$file includes $header, which lies above it"
	done
done

# The daemon knows the library's connections by their public header alone; upstream.c resolves
# names and asks which addresses failed.
for header in lib/conn lib/net/dial.h lib/net/order.h lib/net/race.h lib/net/resolve.h; do
	found=$(grep -rl "#include \"$header" daemon | grep -v '^daemon/pool/upstream.c$' || true)
	[ -z "$found" ] || fail "$header is included by $found"
done

# only HEADER FILE...: no other file may include that library.
only() {
	header=$1
	shift
	for file in $(grep -rlE "#include <$header" lib daemon || true); do
		case " $* " in
		*" $file "*) ;;
		*) fail "$file includes <$header...>, which only $* may" ;;
		esac
	done
}
only llhttp lib/codec/h1_codec.c
only nghttp2 lib/codec/h2_glue.h lib/codec/h2_glue.c lib/conn/h2_conn.c
only openssl lib/net/dial.c lib/net/link_tls.c lib/net/proxy_talk.c lib/net/session.c \
	lib/conn/transport.c daemon/base/conf.c daemon/base/conf_tls.c
only libconfig daemon/base/conf.c daemon/base/conf_loader.h daemon/base/conf_value.c
only jansson daemon/base/stats.c daemon/exchange/answer.c
only ares lib/net/resolve.c
only systemd daemon/control/notify.c daemon/base/log.c

exit $status
