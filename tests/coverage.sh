#!/bin/sh
# Line coverage of lib/ by its own tests and the fuzzers' corpora, counted by gcov. Called by make
# coverage in the build folder; builds without optimization in its folder coverage/. Prints each
# file's share, the lines that no test runs, and the total; fails when a test does, and below
# COVERAGE_MIN per cent (92).
set -eu
src=$(cd "$(dirname "$0")/.." && pwd)
least=${COVERAGE_MIN:-92}

build() {
	sh "$src/tests/tools/second-build.sh" coverage --enable-coverage --disable-sanitize \
		--disable-fuzz CFLAGS='-g -O0' || return
	find coverage -name '*.gcda' -delete
	"${MAKE:-make}" -C coverage -j"$(nproc)" check TESTS= || return
	"${MAKE:-make}" -C coverage -j2 check-lib
}

# First the lines that nothing ran, then each file's share and that of all.
count() {
	find coverage/lib -name '*.gcda' | sort | while read -r data; do
		gcov -t "$data"
	done | awk -v src="$src/" '
	/^ *-: *0:Source:/ {
		file = $0
		sub(/^.*Source:/, "", file)
		here = index(file, src "lib/") == 1
		sub(src, "", file)
		next
	}
	!here { next }
	{
		split($0, part, ":")
		runs = part[1]; line = part[2]
		gsub(/[ *]/, "", runs); gsub(/ /, "", line)
		if (runs == "-" || line == 0)
			next
		key = file ":" line
		if (!(key in seen)) {
			seen[key] = 1
			lines[file]++
			order[++n] = key
			name[key] = file
			text[key] = substr($0, length(part[1]) + length(part[2]) + 3)
		}
		if (runs !~ /^[#=]/ && !(key in run)) {
			run[key] = 1
			ran[file]++
		}
	}
	END {
		for (i = 1; i <= n; i++)
			if (!(order[i] in run))
				printf "%s:%s\n", order[i], text[order[i]]
		for (file in lines) {
			printf "%5.1f %% %5d of %5d  %s\n", 100 * ran[file] / lines[file], ran[file],
				lines[file], file | "sort -k 6"
			all += lines[file]
			got += ran[file]
		}
		close("sort -k 6")
		if (all > 0)
			printf "%5.1f %% %5d of %5d  lib/\n", 100 * got / all, got, all
	}'
}

mkdir -p coverage
if ! build >coverage/build.log 2>&1; then
	grep -E '^(FAIL|ERROR)' coverage/build.log >&2 || tail -n 30 coverage/build.log >&2
	echo "coverage: not built, or a test failed; all of it is in $PWD/coverage/build.log" >&2
	exit 1
fi
count | tee coverage/lines
tail -n 1 coverage/lines | awk -v least="$least" '{ exit $1 < least }' || {
	echo "coverage: below $least %" >&2
	exit 1
}
