#!/bin/sh
# Runs the daemon for a while under mixed load, while its servers restart at random moments, each in
# one of three ways; then its memory, its counters and its end are looked at.
#
#   tests/soak.sh [BUILD]        BUILD: the build folder, default: here; best one with
#                                --enable-sanitize=address,undefined
#   SOAK_SECONDS=1800 ...        how long; default 60
#   SOAK_SEED=1 ...              the same random numbers again
set -eu

top=$(cd "$(dirname "$0")/.." && pwd)
build=$(cd "${1:-.}" && pwd)
dir=$(mktemp -d "${TMPDIR:-/tmp}/connpool-soak-XXXXXX")
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' HUP INT TERM

PATH=$PATH:/usr/sbin
"$top/tests/tools/certs.sh" "$dir"
python3 "$top/tests/tools/soak.py" "$build/daemon/connpoold" "$dir"
