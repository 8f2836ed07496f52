#!/bin/sh
# Makes a throw-away CA and a server certificate (localhost, 127.0.0.1) signed by it, and a second CA
# that signed nothing, for tests of TLS.
#
#   certs.sh DIR    ca.pem  server.pem (certificate and chain)  server.key  other-ca.pem
set -eu
umask 077

dir=${1:?usage: certs.sh DIR}
mkdir -p "$dir"
cd "$dir"

ca() {
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 \
		-subj "/CN=$2" -addext 'basicConstraints=critical,CA:TRUE' \
		-addext 'keyUsage=critical,keyCertSign,cRLSign' \
		-keyout "$1.key" -out "$1.pem" 2>>certs.log
}

ca ca 'throw-away test CA'
ca other-ca 'another throw-away CA'

cat >server.ext <<'END'
basicConstraints=CA:FALSE
subjectAltName=DNS:localhost,DNS:api.example,IP:127.0.0.1
extendedKeyUsage=serverAuth
END
openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes \
	-subj '/CN=localhost' -keyout server.key -out server.csr 2>>certs.log
openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -set_serial 2 -days 2 \
	-extfile server.ext -out server.pem 2>>certs.log
cat ca.pem >>server.pem
