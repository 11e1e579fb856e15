"""Typed credentials of a trading platform: databases, exchanges, data providers, keys, API tokens."""
