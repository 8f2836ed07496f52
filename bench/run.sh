#!/bin/bash
# Compares connpoold with other proxies that can do the same job: plain HTTP/1.1
# from a Unix socket in, TLS out, each on one core. README.md here says how to read it.
set -u
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/.." && pwd)

usage() {
	cat <<EOF
Usage: bench/run.sh [--quick] [--only PEER]... [--rounds N] [--seconds N] [--no-idle]
  peers: direct haproxy nginx nghttpx connpoold
  --quick      one round of two seconds
  --only PEER  only this peer (may be given again); HAProxy stays, for the ratio
  --rounds N   each peer runs once in each round, medians are shown [3]
  --seconds N  length of a measurement [5]
  --no-idle    leave out the memory of 10,000 idle clients
Environment: CONNPOOLD, the daemon to measure [build/daemon/connpoold]
EOF
}

all_peers="direct haproxy nginx nghttpx connpoold"
peers="" rounds=3 seconds=5 warm=1 idle=10000
while [ $# -gt 0 ]; do
	case $1 in
	--quick) rounds=1 seconds=2 ;;
	--only) peers="$peers ${2:?--only needs a peer}"; shift ;;
	--rounds) rounds=${2:?--rounds needs a number}; shift ;;
	--seconds) seconds=${2:?--seconds needs a number}; shift ;;
	--no-idle) idle=0 ;;
	-h | --help) usage; exit 0 ;;
	*) usage >&2; exit 2 ;;
	esac
	shift
done
case $peers in
"") peers=$all_peers ;;
*haproxy*) ;;
*) peers="haproxy$peers" ;;
esac

PATH=$PATH:/usr/sbin:/sbin
connpoold=${CONNPOOLD:-$top/build/daemon/connpoold}
work=$(mktemp -d /tmp/connpoold-bench.XXXXXX)
sock=$work/proxy.sock
proxy_pid="" upstream_pid=""

say() { echo "$*" >&2; }
die() { say "bench: $*"; exit 1; }

# Ends a process that this script started, and what that one started.
stop() {
	local pid=$1 members i
	[ -n "$pid" ] || return 0
	members="$pid $(cat /proc/"$pid"/task/*/children 2>/dev/null)"
	kill -TERM "$pid" 2>/dev/null
	for ((i = 0; i < 30; i++)); do
		kill -0 "$pid" 2>/dev/null || break
		sleep 0.1
	done
	# shellcheck disable=SC2086 # a list of numbers
	kill -KILL $members 2>/dev/null
	wait "$pid" 2>/dev/null
}

cleanup() {
	trap - EXIT INT TERM
	stop "$proxy_pid"
	stop "$upstream_pid"
	rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

for tool in nginx h2load openssl python3 ss taskset; do
	command -v "$tool" >/dev/null || die "$tool is missing: run scripts/packages bench"
done
ulimit -n "$(ulimit -Hn)"
files=$(ulimit -n)
[ "$files" = unlimited ] && files=1048576

# ---- cores: the last one for the proxy, the first one for h2load, the rest for the upstream
read -ra cores < <(python3 -c 'import os; print(*sorted(os.sched_getaffinity(0)))')
count=${#cores[@]}
proxy_core=${cores[count - 1]}
load_core=${cores[0]}
if [ "$count" -ge 3 ]; then
	upstream_cores=("${cores[@]:1:count-2}")
else
	upstream_cores=("$load_core")
	say "warning: $count core(s): h2load and the upstream share one; read ratios, not rates"
fi
join() { local IFS=,; echo "$*"; }
on() { local set=$1; shift; exec taskset -c "$set" "$@"; }

# ---- upstream: nginx, because it speaks both protocols and a worker of it outruns every proxy here
free_port() {
	python3 -c '
import socket
s = socket.socket()
s.bind(("127.0.0.1", 0))
print(s.getsockname()[1])'
}

nginx_paths() {
	local kind
	for kind in client_body proxy fastcgi uwsgi scgi; do
		echo "${kind}_temp_path $work/tmp-$1-$kind;"
	done
}

start_upstream() {
	mkdir "$work/www"
	head -c 1024 /dev/zero | tr '\0' x >"$work/www/1k"
	head -c 1048576 /dev/zero | tr '\0' x >"$work/www/1m"
	chmod 755 "$work" "$work/www"	# nginx's workers may run as another user
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 \
		-keyout "$work/key.pem" -out "$work/cert.pem" -subj /CN=localhost \
		-addext subjectAltName=DNS:localhost 2>/dev/null || die "openssl made no certificate"
	cat "$work/cert.pem" "$work/key.pem" >"$work/both.pem"
	port=$(free_port)
	cat >"$work/upstream.conf" <<EOF
daemon off;
pid $work/upstream.pid;
error_log $work/upstream.log;
worker_processes ${#upstream_cores[@]};
worker_rlimit_nofile $files;
events { worker_connections $((files / 2)); }
http {
	access_log off;
	sendfile on;
	open_file_cache max=10;
	keepalive_requests 1000000000;
	keepalive_timeout 1h;
	http2_max_concurrent_streams 128;
	$(nginx_paths upstream)
	server {
		listen 127.0.0.1:$port ssl http2 reuseport backlog=4096;
		ssl_certificate $work/cert.pem;
		ssl_certificate_key $work/key.pem;
		ssl_session_cache shared:s:1m;
		root $work/www;
	}
}
EOF
	(on "$(join "${upstream_cores[@]}")" \
		nginx -e "$work/upstream.log" -p "$work" -c "$work/upstream.conf") \
		>"$work/upstream.out" 2>&1 &
	upstream_pid=$!
	for ((i = 0; i < 50; i++)); do
		(exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && return
		sleep 0.1
	done
	cat "$work"/upstream.{out,log} >&2
	die "the upstream did not start"
}

# ---- the peers: config_PEER writes $work/PEER.conf, command_PEER starts it in the foreground
config_haproxy() {
	cat <<EOF
global
	nbthread 1
	no strict-limits
	ulimit-n $files
	maxconn 10200
	tune.h2.max-concurrent-streams 128
	tune.h2.initial-window-size 262144
	tune.bufsize 65536
	ssl-server-verify required
defaults
	mode http
	timeout connect 5s
	timeout client 300s
	timeout server 60s
	timeout http-keep-alive 300s
	http-reuse always
	maxconn 10200
frontend main
	bind unix@$sock mode 600 backlog 4096
	default_backend api
backend api
	default-server ssl verify required ca-file $work/cert.pem sni str(localhost) verifyhost localhost
	server api 127.0.0.1:$port alpn h2
EOF
}
command_haproxy() { on "$proxy_core" haproxy -db -f "$work/haproxy.conf"; }

# nginx cannot speak HTTP/2 to upstreams before 1.29: HTTP/1.1 over TLS, kept alive.
config_nginx() {
	cat <<EOF
daemon off;
pid $work/nginx.pid;
error_log $work/nginx.log;
worker_processes 1;
worker_rlimit_nofile $files;
events { worker_connections $((files - 100)); }
http {
	access_log off;
	keepalive_requests 1000000000;
	keepalive_timeout 300s;
	$(nginx_paths proxy)
	upstream api {
		server 127.0.0.1:$port;
		keepalive 1100;
		keepalive_requests 1000000000;
	}
	server {
		listen unix:$sock backlog=4096;
		location / {
			proxy_pass https://api;
			proxy_http_version 1.1;
			proxy_set_header Connection "";
			proxy_set_header Host localhost;
			proxy_ssl_name localhost;
			proxy_ssl_server_name on;
			proxy_ssl_verify on;
			proxy_ssl_trusted_certificate $work/cert.pem;
			proxy_max_temp_file_size 0;
		}
	}
}
EOF
}
command_nginx() { on "$proxy_core" nginx -e "$work/nginx.log" -p "$work" -c "$work/nginx.conf"; }

config_nghttpx() {
	cat <<EOF
frontend=unix:$sock;no-tls
backend=127.0.0.1,$port;;proto=h2;tls;sni=localhost
cacert=$work/cert.pem
workers=1
single-process=yes
rlimit-nofile=$files
backlog=4096
frontend-keep-alive-timeout=300s
backend-http2-max-concurrent-streams=128
backend-http2-window-size=262143
errorlog-file=$work/nghttpx.log
EOF
}
command_nghttpx() { on "$proxy_core" nghttpx --conf="$work/nghttpx.conf"; }

config_connpoold() {
	cat <<EOF
listeners = ( { name = "main"; path = "$sock"; mode = "0600"; backlog = 4096; } );
log : { access = "off"; };
upstreams = ( {
    name = "api";
    url = "https://127.0.0.1:$port";
    max_connections = 16;
    max_streams = 128;
    tls : { ca_file = "$work/cert.pem"; server_name = "localhost"; };
} );
EOF
}
command_connpoold() { on "$proxy_core" "$connpoold" -c "$work/connpoold.conf"; }

version_of() {
	case $1 in
	direct) h2load --version | head -1 ;;
	haproxy) haproxy -v | head -1 ;;
	nginx) nginx -v 2>&1 ;;
	nghttpx) nghttpx --version | head -1 ;;
	connpoold) "$connpoold" --version 2>&1 | head -1 ;;
	esac
}

installed() {
	case $1 in
	direct) true ;;
	connpoold) [ -x "$connpoold" ] ;;
	*) command -v "$1" >/dev/null ;;
	esac
}

start_proxy() {
	rm -f "$sock"
	"config_$1" >"$work/$1.conf"
	("command_$1") >"$work/$1.out" 2>&1 &
	proxy_pid=$!
	for ((i = 0; i < 50; i++)); do
		[ "$(curl -s -o /dev/null -w '%{http_code}' --max-time 2 --unix-socket "$sock" \
			http://localhost/1k)" = 200 ] && return 0
		kill -0 "$proxy_pid" 2>/dev/null || break
		sleep 0.1
	done
	say "bench: $1 does not answer:"
	tail -n 15 "$work/$1.out" "$work/$1.log" 2>/dev/null >&2
	stop_proxy
	return 1
}

stop_proxy() {
	stop "$proxy_pid"
	proxy_pid=""
}

# ---- measuring: one line "workload peer numbers..." into results
# The direct row has one TLS HTTP/2 connection a client, as clients without a pool have.
measure_once() {
	local peer=$1 file=$2 clients=$3 result
	local load=(h2load -c "$clients" -m 1) options
	if [ "$peer" = direct ]; then
		load+=("https://localhost:$port/$file" --connect-to="127.0.0.1:$port")
	else
		start_proxy "$peer" || return 1
		load+=(--h1 "--base-uri=unix:$sock" "http://localhost/$file")
	fi
	options=(--pid "${proxy_pid:-0}" --core "$proxy_core" --port "$port"
		--warm "$warm" --seconds "$seconds"
		--size "$(stat -c %s "$work/www/$file")" --log "$work/times")
	taskset -c "$load_core" python3 "$here/measure.py" "${options[@]}" -- "${load[@]}" \
		>"$work/numbers" 2>"$work/measure.err"
	result=$?
	stop_proxy
	return "$result"
}

# A measurement in which others used more than 5 % of the proxy's core is made again, twice at
# most, and not for ever on a machine that is busy with other things.
repeats=8
measure() {
	local peer=$1 workload=$2 try
	for try in 1 2 3; do
		if ! measure_once "$peer" "$3" "$4"; then
			say "bench: $peer, $workload: no measurement"
			tail -n 15 "$work/measure.err" >&2
			return
		fi
		if [ "$peer" = direct ] || [ "$(awk '{ print $NF }' "$work/numbers")" -le 5 ]; then
			break
		fi
		say "$peer: disturbed by others"
		[ "$try" -lt 3 ] && [ $((repeats -= 1)) -ge 0 ] || break
	done
	printf '%s\t%s\t%s\n' "$workload" "$peer" "$(cat "$work/numbers")" >>"$work/results"
}

workloads() {
	cat <<EOF
1 KiB answers, 64 clients|1k|64
1 KiB answers, 1,000 clients|1k|1000
1 MiB answers, 16 clients|1m|16
EOF
}

run_rounds() {
	local round name file clients peer
	for ((round = 1; round <= rounds; round++)); do
		while IFS='|' read -r name file clients <&3; do
			say "round $round of $rounds: $name"
			for peer in $peers; do
				measure "$peer" "$name" "$file" "$clients"
			done
		done 3< <(workloads)
	done
}

run_idle() {
	local peer numbers
	for peer in $peers; do
		[ "$peer" = direct ] && continue
		say "idle clients: $peer"
		start_proxy "$peer" || continue
		numbers=$(taskset -c "$load_core" timeout 120 python3 "$here/idle.py" --pid "$proxy_pid" \
			--clients "$idle" "$sock" 2>"$work/idle.err") || tail -n 3 "$work/idle.err" >&2
		stop_proxy
		[ -n "$numbers" ] && printf '%s\t%s\n' "$peer" "$numbers" >>"$work/idle"
	done
}

report() {
	echo "## Measured on $(nproc) cores, $(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -1)," \
		"Linux $(uname -r)"
	echo
	echo "Proxy on core $proxy_core, h2load on core $load_core, upstream (nginx) on core(s)" \
		"$(join "${upstream_cores[@]}"). Median of $rounds round(s) of $seconds s."
	echo
	for peer in $peers; do
		echo "- $peer: $(version_of "$peer")"
	done
	[ -z "$skipped" ] || echo "- not installed, left out:$skipped"
	python3 "$here/table.py" "$work/results"
	[ -s "$work/idle" ] || return 0
	printf '\n### Idle keep-alive clients, one request each\n\n'
	printf '| peer | clients | RSS before, MiB | RSS with them, MiB | bytes per client |\n'
	printf '| --- | ---: | ---: | ---: | ---: |\n'
	awk -F'\t' '{ printf "| %s | %d | %.1f | %.1f | %d |\n", $1, $2, $3/1024, $4/1024, $5 }' \
		"$work/idle"
}

skipped="" present=""
for peer in $peers; do
	case " $all_peers " in
	*" $peer "*) ;;
	*) die "$peer is none of: $all_peers" ;;
	esac
	if installed "$peer"; then present="$present $peer"; else skipped="$skipped $peer"; fi
done
peers=${present# }
start_upstream
: >"$work/results"
run_rounds
[ "$idle" -gt 0 ] && run_idle
report
