"""Rotators of real things: random values, PostgreSQL logins, Tradewarden's own service tokens, keys of exchanges."""
