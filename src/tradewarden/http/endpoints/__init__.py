"""Handlers: one room's service each, translated to and from the wire. They never check permissions or touch headers."""
