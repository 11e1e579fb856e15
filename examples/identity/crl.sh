#!/bin/sh
# Fetches the revocation lists of every CA into one PEM file, for servers that read them from a file; then runs COMMAND.
#
#   crl.sh MTLS_URL IDENTITY OUT [COMMAND …]
#
# IDENTITY is the directory of this server's own certificate. The list of the CA that issues after the next rotation is
# among them. When the service is not reached, or cannot sign a list that it must sign, OUT stays as it is.
set -eu
url=$1 identity=$2 out=$3
shift 3

new=$(mktemp "$out.XXXXXX")
trap 'rm -f "$new"' EXIT
curl -sS --fail --max-time 15 --cacert "$identity/current/ca.pem" --cert "$identity/current/cert.pem" \
    --key "$identity/current/key.pem" -o "$new" "$url/ca/crls"
chmod 644 "$new"
mv "$new" "$out"
[ $# = 0 ] || "$@"
