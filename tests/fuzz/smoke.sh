#!/bin/sh
# Builds the fuzzers with clang in fuzz/ of the build folder and runs each for FUZZ_SECONDS (30) on
# a copy of its corpus, as many at a time as there are processors. Called by make fuzz-smoke, in
# the build folder. FUZZERS="h1_client h2_client" chooses, FUZZ_CC names another clang.
#
# What is found stays in fuzz/found/; fuzz/run/NAME/ has the corpus as it has grown, and the log.
set -eu
src=$(cd "$(dirname "$0")/../.." && pwd)
seconds=${FUZZ_SECONDS:-30}

dict_of() {
	case $1 in
	h1_* | head | proxy_talk) echo "$src/tests/fuzz/dict/h1.dict" ;;
	*) echo "$src/tests/fuzz/dict/${1%%_*}.dict" ;;
	esac
}

# result LOG NAME: the value of one line of -print_final_stats.
result() {
	sed -n "s/^stat::$2: *//p" "$1" | tail -n 1
}

# The answer is one line, as those of make check; the log speaks when something was found.
run_one() {
	name=$1
	run=fuzz/run/$name
	log=$run/log
	dict=$(dict_of "$name")
	rm -rf "$run"
	mkdir -p "$run/corpus" fuzz/found
	cp -R "$src/tests/fuzz/corpus/$name/." "$run/corpus/"
	set -- -max_total_time="$seconds" -timeout=30 -rss_limit_mb=2048 -malloc_limit_mb=512 \
		-print_final_stats=1 -artifact_prefix="fuzz/found/$name-" "$run/corpus"
	[ ! -f "$dict" ] || set -- -dict="$dict" "$@"
	# libconfig loses some bytes of its own when a file is not well formed.
	[ "$name" != conf ] || set -- "$@" -detect_leaks=0
	if timeout -k 10 $((seconds + 120)) "fuzz/tests/fuzz/fuzz_$name" "$@" >"$log" 2>&1; then
		echo "PASS: fuzz_$name: $(result "$log" number_of_executed_units) runs," \
			"$(sed -n 's/.*DONE *cov: *\([0-9]*\).*/\1/p' "$log") edges"
		return
	fi
	tail -n 60 "$log"
	kept=$(sed -n 's/.*Test unit written to //p' "$log" | tail -n 1)
	echo "FAIL: fuzz_$name: ${kept:+its input is $PWD/$kept; }the log is $PWD/$log"
	return 1
}

build() {
	cc=${FUZZ_CC:-clang}
	command -v "$cc" >/dev/null || {
		echo "fuzz-smoke: no $cc: ./scripts/packages fuzz, or make fuzz-smoke FUZZ_CC=..."
		return 1
	}
	sh "$src/tests/tools/second-build.sh" fuzz --enable-fuzz --enable-sanitize=address,undefined \
		--disable-werror --disable-coverage CC="$cc" CFLAGS='-g -O1' || return
	"${MAKE:-make}" -C fuzz -j"$(nproc)" fuzzers
}

if [ "${1:-}" = --one ]; then
	run_one "$2"
	exit
fi

mkdir -p fuzz
if ! build >fuzz/build.log 2>&1; then
	tail -n 30 fuzz/build.log >&2
	echo "fuzz-smoke: the fuzzers were not built, all of it is in $PWD/fuzz/build.log" >&2
	exit 1
fi
# shellcheck disable=SC2086 # a list of names
[ -n "${FUZZERS:-}" ] || FUZZERS=$(printf '%s\n' ${all_fuzzers:?} | sed 's|.*/fuzz_||')
export FUZZ_SECONDS="$seconds"
# shellcheck disable=SC2086 # a list of names
printf '%s\n' $FUZZERS | xargs -P "$(nproc)" -I '{}' sh "$0" --one '{}'
