"""Tradewarden: secrets, certificates, tokens and a provable audit log for trading platforms."""

__version__ = "0.1.0"
