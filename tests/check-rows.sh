#!/bin/sh
# Fails when a row or a numbered check of doc/connection.md names no test, or one that is not in
# tests/, or one that its program does not run.
set -eu
cd "$(dirname "$0")/.."

doc=${1:-doc/connection.md}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' HUP INT TERM

# Every test that a program runs, "test_x.c: name": defined by START_TEST, and listed a second time
# (a suite's array, tcase_add_test, tcase_add_loop_test).
find tests -name 'test_*.c' | sort | while read -r file; do
	awk -v file="${file##*/}" '
		match($0, /^START_TEST\([a-z0-9_]+\)/) {
			defined[substr($0, 12, RLENGTH - 12)] = 1
			next
		}
		/^[ \t]/ {
			line = $0
			gsub(/[^A-Za-z0-9_]+/, " ", line)
			n = split(line, word, " ")
			for (i = 1; i <= n; i++)
				listed[word[i]] = 1
		}
		END {
			for (name in defined)
				if (name in listed)
					print file ": " name
		}
	' "$file"
done >"$tmp/run"

# Rows are the lines of tables whose last column is "tests", and the numbered lines.
awk -v run="$tmp/run" '
	function fail(text) {
		print FILENAME ":" NR ": " text >"/dev/stderr"
		failed = 1
	}
	BEGIN {
		while ((getline line <run) > 0)
			runs[line] = 1
	}
	/^\|/ && /\| tests \|$/ { table = 1; next }
	!/^\|/ { table = 0 }
	!(table || /^[0-9]+\. /) || /^\| --- / { next }
	{
		rows++
		found = 0
		rest = $0
		while (match(rest, /`test_[a-z0-9_]+\.c: [a-z0-9_]+`/)) {
			name = substr(rest, RSTART + 1, RLENGTH - 2)
			rest = substr(rest, RSTART + RLENGTH)
			found++
			used[name] = 1
			if (!(name in runs))
				fail("no program runs " name)
		}
		if (!found)
			fail("no test: " substr($0, 1, 70))
	}
	END {
		for (name in used)
			tests++
		if (!rows) {
			print FILENAME ": no rows" >"/dev/stderr"
			failed = 1
		}
		print rows " rows, " tests " tests"
		exit failed
	}
' "$doc"
