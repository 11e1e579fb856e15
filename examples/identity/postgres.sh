#!/bin/sh
# Gives PostgreSQL what an identity holds now, and has it read that: postgres.sh IDENTITY PGDATA
set -eu
owner=$(stat -c %u "$2")
for name in key.pem cert.pem ca.pem; do
    install -o "$owner" -m 600 "$1/current/$name" "$2/$name"
done
kill -HUP "$(head -n 1 "$2/postmaster.pid")"
