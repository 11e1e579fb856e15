"""Secrets as encrypted files in one directory."""
