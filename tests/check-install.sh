#!/bin/sh
# Installs into a folder of its own and uses what is there as a stranger would: the headers, the
# pkg-config file, the shared library (its soname, its symbols) and the static one. The examples are
# compiled against them.
set -eu
top=$(cd "${top_builddir:-.}" && pwd)
src=$(cd "$(dirname "$0")/.." && pwd)
CC=${CC:-gcc}

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' HUP INT TERM

fail() {
	echo "$*" >&2
	exit 1
}

# Not part of a make that runs around this script.
unset MAKEFLAGS MFLAGS MAKELEVEL || true
make -s -C "$top" install DESTDIR="$dir/root" >"$dir/log" 2>&1 || {
	tail -n 20 "$dir/log" >&2
	fail "make install failed"
}

pc=$(find "$dir/root" -name libclientconn.pc)
[ -n "$pc" ] || fail "no libclientconn.pc is installed"
prefix=$(sed -n 's/^prefix=//p' "$pc")
home=$dir/root$prefix
sed "s|^prefix=.*|prefix=$home|" "$pc" >"$dir/libclientconn.pc"
PKG_CONFIG_PATH=$dir${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}
export PKG_CONFIG_PATH
lib=$(pkg-config --variable=libdir libclientconn)

for file in "$home/include/clientconn.h" "$home/include/clientconn/buf.h" \
	"$home/include/clientconn/head.h" "$lib/libclientconn.so" "$lib/libclientconn.a" \
	"$home/share/man/man3/clientconn.3" "$home/sbin/connpoold"; do
	[ -e "$file" ] || fail "${file#"$dir/root"} is not installed"
done

status=0
sh "$src/tests/check-headers.sh" "$home/include" || status=$?
[ "$status" -eq 0 ] || [ "$status" -eq 77 ] || fail "the installed headers do not stand alone"

# A program keeps running with what it was linked to: the name carries the version of the interface.
soname=$(objdump -p "$lib/libclientconn.so" | awk '$1 == "SONAME" { print $2 }')
[ "$soname" = libclientconn.so.0 ] || fail "the soname is '$soname'"
[ -e "$lib/$soname" ] || fail "$soname is not installed"

# Exactly what the headers declare.
cat "$home"/include/clientconn.h "$home"/include/clientconn/*.h |
	sed -nE 's/^[a-z].*[ *](cc_[a-z0-9_]+)\(.*/\1/p;s/^(cc_[a-z0-9_]+)\(.*/\1/p' | sort -u >"$dir/declared"
nm -D --defined-only "$lib/libclientconn.so" |
	awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' | sort -u >"$dir/exported"
[ "$(wc -l <"$dir/declared")" -gt 40 ] || fail "the headers declare next to nothing"
diff -u "$dir/declared" "$dir/exported" >&2 ||
	fail "the library exports (+) something else than the headers declare (-)"

# What was built with a sanitizer needs it in the program, too.
sanitize=
for name in address undefined thread; do
	case $name in address) mark=__asan_init ;; thread) mark=__tsan_init ;; *) mark=__ubsan ;; esac
	if nm -D "$lib/libclientconn.so" | grep -q "$mark"; then
		sanitize="$sanitize -fsanitize=$name"
	fi
done
if nm -D "$lib/libclientconn.so" | grep -q __gcov; then
	sanitize="$sanitize --coverage"
fi

# shellcheck disable=SC2046,SC2086 # lists of words
for example in get pool upload; do
	$CC $sanitize -Wall -Wextra -Werror -o "$dir/$example" "$src/examples/$example.c" \
		$(pkg-config --cflags --libs libclientconn) || fail "$example: shared"
	LD_LIBRARY_PATH=$lib ldd "$dir/$example" | grep -q "$lib/$soname" ||
		fail "$example does not use the installed library"
	$CC $sanitize -o "$dir/$example-static" "$src/examples/$example.c" \
		$(pkg-config --cflags libclientconn) "$lib/libclientconn.a" \
		$(pkg-config --static --libs libclientconn |
			sed 's/-lclientconn//g') || fail "$example: static"
	! ldd "$dir/$example-static" | grep -q libclientconn ||
		fail "$example-static needs the shared library"
	# Nobody listens there: it finds out by itself.
	for program in "$dir/$example" "$dir/$example-static"; do
		status=0
		LD_LIBRARY_PATH=$lib timeout 60 "$program" http://127.0.0.1:1/ </dev/null >"$dir/out" 2>&1 ||
			status=$?
		[ "$status" -eq 1 ] && grep -qi refused "$dir/out" ||
			fail "${program##*/}: status $status, $(head -n 3 "$dir/out")"
	done
done

make -s -C "$top" uninstall DESTDIR="$dir/root" >"$dir/log" 2>&1 || fail "make uninstall failed"
left=$(find "$dir/root" -type f -o -type l)
[ -z "$left" ] || fail "make uninstall leaves" $left
