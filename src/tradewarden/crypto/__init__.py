"""Stateless cryptography in standard constructions: AEAD envelopes, key derivation, seals, signers, key files.

Every primitive is `cryptography`'s own; nothing here keeps state, reads a clock or knows a room.
"""
