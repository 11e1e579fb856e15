"""The place a stored value belongs to, as bytes: associated data for AEAD, input for a MAC.

MessagePack of a tuple is injective over the types used here (str, bytes, int, None, bool, nested tuples), so two
different places never give the same bytes.
"""

from __future__ import annotations

import msgspec

_encoder = msgspec.msgpack.Encoder()


def place(*parts: object) -> bytes:
    """Encode a place, `place("secrets", path, incarnation, version)`, as unambiguous bytes."""
    return _encoder.encode(parts)
