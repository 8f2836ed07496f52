#!/bin/sh
# Runs the examples against a real nginx that retires every connection after 100 requests: over
# TLS and in clear, HTTP/1.1 and HTTP/2. What they print is checked, and nginx's log for requests
# that were lost or done twice. Needs nginx and openssl; exits 77 without them.
set -eu
top=${top_builddir:-.}
src=$(cd "$(dirname "$0")/.." && pwd)
PATH=$PATH:/usr/sbin:/usr/local/sbin
export PATH
requests=10000

for program in nginx openssl; do
	command -v $program >/dev/null || { echo "no $program"; exit 77; }
done

dir=$(mktemp -d)
nginx=
end() {
	[ -z "$nginx" ] || kill "$nginx" 2>/dev/null || true
	[ -z "$nginx" ] || wait "$nginx" || true
	rm -rf "$dir"
}
trap end EXIT
trap 'exit 1' HUP INT TERM

fail() {
	echo "$*" >&2
	[ ! -s "$dir/out" ] || sed 's/^/  /' "$dir/out" >&2
	[ ! -s "$dir/nginx.err" ] || tail -n 5 "$dir/nginx.err" >&2
	exit 1
}

sh "$src/tests/tools/certs.sh" "$dir"
mkdir "$dir/tmp"

# Paths are relative to the folder (-p). No user is changed to: one process, whoever runs it.
configure_nginx() {
	cat >"$dir/nginx.conf" <<-EOF
	daemon off; master_process off; pid nginx.pid; error_log nginx.err;
	events { worker_connections 512; }
	http {
	  log_format line '\$connection \$server_protocol \$status \$request_uri';
	  access_log nginx.log line;
	  client_body_temp_path tmp; proxy_temp_path tmp; fastcgi_temp_path tmp;
	  uwsgi_temp_path tmp; scgi_temp_path tmp;
	  keepalive_requests 100;
	  ssl_certificate server.pem; ssl_certificate_key server.key;
	  server {
	    listen 127.0.0.1:$1 ssl http2; listen 127.0.0.1:$2; listen 127.0.0.1:$3 http2;
	    location / { return 200 "an answer\n"; }
	    location /missing { return 404; }
	    location /up/ {
	      dav_methods PUT; create_full_put_path on; client_max_body_size 0; root .;
	    }
	  }
	}
	EOF
}

# Waits until it serves, ten seconds at most; false: somebody else had taken a port.
came_up() {
	i=0
	while [ $i -lt 200 ]; do
		kill -0 "$nginx" 2>/dev/null || return 1
		if [ -s "$dir/nginx.pid" ]; then
			return 0
		fi
		i=$((i + 1))
		sleep 0.05
	done
	return 1
}

start_nginx() {
	for try in 1 2 3 4 5 6 7 8 9 10; do
		tls=$(awk -v seed="$$$try" 'BEGIN { srand(seed); print 20000 + int(rand() * 12000) }')
		clear=$((tls + 1))
		h2c=$((tls + 2))
		configure_nginx $tls $clear $h2c
		nginx -p "$dir" -c "$dir/nginx.conf" -e "$dir/nginx.err" 2>/dev/null &
		nginx=$!
		if came_up; then
			return
		fi
		wait "$nginx" || true
		nginx=
	done
	fail "nginx does not start"
}

example() {
	rm -f "$dir/out"
	expected=$1
	shift
	status=0
	timeout 200 "$top/examples/$@" >"$dir/out" 2>&1 || status=$?
	[ $status -eq "$expected" ] || fail "$* ended with $status, not with $expected:"
}

says() {
	grep -qE "$1" "$dir/out" || fail "$2 did not say '$1':"
}

# NAME VERSION FIRST-LIMIT ARGUMENTS
get_says() {
	name=$1 version=$2 limit=$3
	shift 3
	example 0 get "$@"
	says "^HTTP/$version\$" "get $name"
	for i in 1 2 3; do
		says "^$i: status 200, 10 bytes, request_limit $((limit + i)), requests_completed $i\$" \
			"get $name"
	done
	[ "$(wc -l <"$dir/out")" -eq 4 ] || fail "get $name said more:"
}

# NAME ARGUMENTS
pool_loses_nothing() {
	name=$1
	shift
	: >"$dir/nginx.log"
	example 0 pool "$@"
	says "^$requests requests, 0 lost, 0 doubled, [0-9]+ retried, [0-9]+ connections\$" \
		"pool $name"
	connections=$(sed 's/.* \([0-9]*\) connections$/\1/' "$dir/out")
	[ "$connections" -ge $((requests / 100)) ] ||
		fail "pool $name: nginx retired too few connections:"

	# nginx writes a line of its log after the answer has left.
	i=0
	while [ "$(grep -c ' 200 ' "$dir/nginx.log")" -lt "$requests" ] && [ $i -lt 100 ]; do
		i=$((i + 1))
		sleep 0.05
	done
	done=$(grep -c ' 200 ' "$dir/nginx.log")
	different=$(awk '$3 == 200 { print $4 }' "$dir/nginx.log" | sort -u | wc -l)
	[ "$done" -eq "$requests" ] && [ "$different" -eq "$requests" ] ||
		fail "pool $name: nginx answered $done requests, $different of them different:"
}

# NAME ARGUMENTS: of 20 MB no more than 4 MiB is ever held, see max_buffered in upload.c.
upload_arrives() {
	name=$1
	shift
	rm -rf "$dir/up"
	example 0 upload "$@" <"$dir/large"
	says "^status 201, 20000000 bytes sent, 0 received: no error\$" "upload $name"
	cmp "$dir/large" "$dir/up/file" || fail "upload $name: something else has arrived:"
}

start_nginx
SSL_CERT_FILE=$dir/ca.pem
export SSL_CERT_FILE
# HTTP/1.1 has one slot, nginx allows 128 streams, max_concurrent 100 of them.
get_says "h2 over TLS" 2 100 "https://localhost:$tls/"
get_says "h1 over TLS" 1.1 1 "https://localhost:$tls/" 1
get_says "h1 in clear" 1.1 1 "http://127.0.0.1:$clear/"
get_says "h2 in clear" 2 100 "http://127.0.0.1:$h2c/" 2

example 1 get "http://127.0.0.1:$clear/missing"
says '^3: status 404,' "get of what is missing"
SSL_CERT_FILE=$dir/other-ca.pem
example 1 get "https://localhost:$tls/"
SSL_CERT_FILE=$dir/ca.pem
says 'certificate' "get with the wrong CA"

pool_loses_nothing "h2 over TLS" "https://localhost:$tls/"
pool_loses_nothing "h1 over TLS" "https://localhost:$tls/" 1
pool_loses_nothing "h1 in clear" "http://127.0.0.1:$clear/"
pool_loses_nothing "h2 in clear" "http://127.0.0.1:$h2c/" 2

head -c 20000000 /dev/urandom >"$dir/large"
upload_arrives "h2 over TLS" "https://localhost:$tls/up/file"
upload_arrives "h1 over TLS" "https://localhost:$tls/up/file" 1
upload_arrives "h1 in clear" "http://127.0.0.1:$clear/up/file"
upload_arrives "h2 in clear" "http://127.0.0.1:$h2c/up/file" 2
example 1 upload "http://127.0.0.1:$clear/missing" </dev/null
says '^status 404, 0 bytes sent' "upload to what is missing"

example 1 pool "http://127.0.0.1:$clear/missing"
says '^10000 requests, 10000 lost, 0 doubled' "pool of what is missing"
example 1 pool "http://127.0.0.1:1/"
says '^10000 requests, 10000 lost, 0 doubled' "pool of a server that is not there"
