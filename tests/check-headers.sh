#!/bin/sh
# Each public header compiles alone as C99 and as C++11, without a warning, and twice in one file;
# and clientconn.3 names every function, constant and option. The version is that of configure.ac,
# and the program in the page is examples/upload.c. No header of the library is wider than 100
# columns.
# Exits 77 where there is no C++ compiler, after the rest.
#   check-headers.sh [DIR]  the folder of clientconn.h, else that of the sources
set -eu
src=$(cd "$(dirname "$0")/.." && pwd)
include=${1:-$src/lib}
CC=${CC:-gcc}
CXX=${CXX:-g++}

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' HUP INT TERM

# EXTENSION COMPILER...: macros are only checked where they are used.
compile() {
	extension=$1
	shift
	for header in clientconn.h clientconn/buf.h clientconn/head.h; do
		printf '#include <%s>\n#include <%s>\n' $header $header >"$dir/alone.$extension"
		if [ $header = clientconn/head.h ]; then
			cat >>"$dir/alone.$extension" <<-'EOF'
			size_t length(void);
			size_t length(void)
			{
				struct cc_str s = CC_STR("text");
				return s.n + CC_STR("more").n;
			}
			EOF
		else
			echo 'extern int not_empty;' >>"$dir/alone.$extension"
		fi
		"$@" -Wall -Wextra -Wpedantic -Werror -I"$include" -c -o "$dir/alone.o" \
			"$dir/alone.$extension" || {
			echo "<$header> does not compile alone: $*" >&2
			exit 1
		}
	done
}

# Members are the last word before a semicolon in the structs of options.
names() {
	cat "$src"/lib/clientconn.h "$src"/lib/clientconn/*.h | grep -oE '\<(cc_[a-z0-9_]+\(|(CC|CLIENTCONN)_[A-Z0-9_]+\>)' |
		tr -d '(' | grep -v -e '_$' -e '_H$'
	sed -n '/^struct cc_[a-z]*_opts {/,/^};/p' "$src/lib/clientconn.h" |
		sed -nE 's/^\t[a-z][^*;]*[ *]([a-z_0-9]+);.*/\1/p'
}

missing=$(names | sort -u | while read -r name; do
	grep -q "\<$name\>" "$src/doc/clientconn.3" || echo "$name"
done)
if [ -n "$missing" ]; then
	echo "doc/clientconn.3 does not name:" $missing >&2
	exit 1
fi

# clang-format leaves comments as wide as they are.
wide=$(cd "$src/lib" && for header in *.h */*.h; do
	expand "$header" | awk -v name="$header" 'length($0) > 100 { print name ":" NR }'
done)
if [ -n "$wide" ]; then
	echo "wider than 100 columns:" $wide >&2
	exit 1
fi

# The program that the page shows is the example, as roff writes it.
shown() {
	sed -e '1,/^ \*\/$/d' -e 's/\\/\\e/g' -e "s/'/\\\\(aq/g" -e 's/-/\\-/g' -e 's/^\./\\\&./' \
		"$src/examples/upload.c"
}
if [ "$(shown)" != "$(sed '1,/^\.\\" examples\/upload.c$/d;/^\.\\" end$/,$d' "$src/doc/clientconn.3")" ]; then
	echo "doc/clientconn.3 shows another program than examples/upload.c; it should be:" >&2
	shown >&2
	exit 1
fi

part() {
	sed -n "s/^#define CLIENTCONN_VERSION_$1 //p" "$src/lib/clientconn.h"
}
version=$(sed -n 's/^AC_INIT(\[connpoold\], \[\(.*\)\]).*/\1/p' "$src/configure.ac")
if [ "$(part MAJOR).$(part MINOR).$(part PATCH)" != "$version" ]; then
	echo "clientconn.h is not of version $version, as configure.ac has it" >&2
	exit 1
fi

compile c $CC -std=c99
if ! command -v ${CXX%% *} >/dev/null; then
	echo "no C++ compiler"
	exit 77
fi
compile cc $CXX -std=c++11
