#!/bin/sh
# Fails when an #include points upward: a folder is a layer, and may include only itself and the
# folders listed before it. Headers of one folder may include each other (a struct that holds
# another), but never in a circle; NAME_int.h is for its own folder alone, lib/base/head_int.h for lib.
# Also fails when the fronts and who answers their requests know each other, when the daemon includes
# the inside of the library's connections, or when a library of others is included outside of the files
# that wrap it.
set -eu
cd "$(dirname "$0")/.."

lib_layers="lib/base lib/codec lib/net lib/conn"
daemon_layers="daemon/base daemon/pool daemon/exchange daemon/front daemon/listen daemon/worker daemon/control"
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

circle=$(find lib daemon -name '*.h' | while read -r file; do
	sed -n "s|^#include \"\(.*\)\"\$|$file \1|p" "$file"
done | tsort 2>&1 >/dev/null) || true
[ -z "$circle" ] || fail "headers include each other in a circle: $circle"

for header in $(find lib daemon -name '*_int.h'); do
	folder=$(dirname "$header")
	[ "$header" != lib/base/head_int.h ] || folder=lib
	found=$(grep -rl --include='*.[ch]' "#include \"$header\"" lib daemon | grep -v "^$folder/" || true)
	[ -z "$found" ] || fail "$header is for $folder alone and is included by $found"
done

# A front and those who answer its requests meet in daemon/base/service.h.
found=$(grep -rlE '#include "daemon/(exchange|pool)/' daemon/front || true)
[ -z "$found" ] || fail "daemon/front may not know who answers, but see $found"
found=$(grep -rl '#include "daemon/front/' daemon/exchange daemon/pool || true)
[ -z "$found" ] || fail "who answers may not know the fronts, but see $found"

# The daemon knows the library's connections by their public header alone; lookup.c resolves names,
# upstream.c asks which addresses failed.
for header in lib/conn lib/net/dial.h lib/net/order.h lib/net/race.h lib/net/resolve.h; do
	found=$(grep -rl "#include \"$header" daemon | grep -vE '^daemon/pool/(upstream\.c|lookup\.[ch])$' || true)
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
only nghttp2 lib/codec/h2_glue.h lib/codec/h2_glue.c
only openssl lib/net/dial.c lib/net/link_tls.c lib/net/proxy_talk.c lib/net/session.c lib/conn/transport.c \
	daemon/base/conf_loader.c daemon/base/conf_tls.c
only libconfig daemon/base/conf.c daemon/base/conf_loader.c daemon/base/conf_loader.h daemon/base/conf_value.c
only jansson daemon/control/report.c daemon/base/local_reply.c
only ares lib/net/resolve.c
only systemd daemon/control/notify.c daemon/base/log.c

exit $status
