"""Certificates for programs that speak ACME (RFC 8555): nginx with certbot, Traefik, Caddy."""
