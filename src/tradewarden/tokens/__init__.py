"""Tokens: issued, registered, verified, refreshed, revoked."""
