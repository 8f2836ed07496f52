#!/bin/sh
# The daemon as connpoold.service and connpoold.socket start it: the listening socket is passed under
# the name "main", a request is served, READY=1, WATCHDOG=1 and STOPPING=1 are told, the socket stays.
set -eu
top=${top_builddir:-.}
daemon=${CONNPOOLD:-$top/daemon/connpoold}
for tool in systemd-socket-activate python3 curl; do
	command -v $tool >/dev/null || exit 77
done
"$daemon" -h >/dev/null

tmp=$(mktemp -d)
pids=
finish() {
	for pid in $pids; do
		kill "$pid" 2>/dev/null || true
	done
	rm -rf "$tmp"
}
trap finish EXIT
trap 'exit 1' HUP INT TERM

fail() {
	echo "$1" >&2
	cat "$tmp"/*.log >&2
	exit 1
}

# until COMMAND...: at most 15 seconds.
until_true() {
	tries=0
	while ! "$@"; do
		tries=$((tries + 1))
		[ $tries -lt 300 ] || fail "never: $*"
		sleep 0.05
	done
}

mkdir "$tmp/www"
echo hello >"$tmp/www/hello"
python3 -u - "$tmp" >"$tmp/origin.log" 2>&1 <<'PY' &
import functools, http.server, sys
handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=sys.argv[1] + "/www")
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
open(sys.argv[1] + "/port.new", "w").write(str(server.server_port))
import os
os.rename(sys.argv[1] + "/port.new", sys.argv[1] + "/port")
server.serve_forever()
PY
pids="$pids $!"
until_true test -s "$tmp/port"

# The manager's end of the notifications.
python3 -u - "$tmp" >"$tmp/told.log" 2>&1 <<'PY' &
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1] + "/notify")
while True:
    print(s.recv(4096).decode(), flush=True)
PY
pids="$pids $!"
until_true test -S "$tmp/notify"

cat >"$tmp/conf" <<CONF
listeners = ( { name = "main"; path = "$tmp/not-this-one"; } );
upstreams = ( { name = "origin"; url = "http://127.0.0.1:$(cat "$tmp/port")"; } );
CONF
systemd-socket-activate --listen="$tmp/socket" --fdname=main \
	--setenv=NOTIFY_SOCKET="$tmp/notify" --setenv=WATCHDOG_USEC=400000 --setenv=PATH \
	--setenv=ASAN_OPTIONS --setenv=UBSAN_OPTIONS \
	"$daemon" -c "$tmp/conf" >"$tmp/daemon.log" 2>&1 &
activated=$!
pids="$pids $activated"
until_true test -S "$tmp/socket"

said=$(curl -sS --max-time 15 --unix-socket "$tmp/socket" http://origin/hello) || fail "no answer"
[ "$said" = hello ] || fail "the answer is: $said"
until_true grep -q READY=1 "$tmp/told.log"
until_true grep -q WATCHDOG=1 "$tmp/told.log"
[ ! -e "$tmp/not-this-one" ] || fail "the daemon made a socket of its own"

kill -TERM "$activated"
code=0
wait "$activated" || code=$?
[ $code -eq 0 ] || fail "exit status $code"
until_true grep -q STOPPING=1 "$tmp/told.log"
[ -S "$tmp/socket" ] || fail "the passed socket was removed"
