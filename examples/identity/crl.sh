#!/bin/sh
# Fetches the revocation lists of every CA into one PEM file, for servers that read them from a file; then runs COMMAND.
#
#   crl.sh MTLS_URL IDENTITY OUT [COMMAND …]
#
# IDENTITY is the directory of a service that is registered for ca:read. A CA without a list has issued nothing yet, or
# its list is past its time; certificates of such a CA are refused. When the service is not reached OUT stays as it is.
set -eu
url=$1 identity=$2 out=$3
shift 3

ask() {
    curl -sS --fail --max-time 15 --cacert "$identity/current/ca.pem" \
        --cert "$identity/current/cert.pem" --key "$identity/current/key.pem" "$@"
}

new=$(mktemp -d "$out.XXXXXX")
trap 'rm -rf "$new"' EXIT
ask -o "$new/list" "$url/ca"
for name in $(grep -o '"fingerprint_sha256":"[0-9a-f]\{20\}' "$new/list" | cut -d '"' -f 4); do
    ask -o "$new/der" "$url/ca/crl/$name.crl" 2> "$new/why" && code=0 || code=$?
    case $code in
        0) openssl crl -inform DER -in "$new/der" >> "$new/pem" ;;
        22) ;; # there is no such list
        *) cat "$new/why" >&2 && exit 1 ;;
    esac
done
chmod 644 "$new/pem"
mv "$new/pem" "$out"
[ $# = 0 ] || "$@"
