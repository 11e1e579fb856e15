"""A row of the audit inbox for the changes of one transaction: one sealed entry as it is, several as a list.

Each entry keeps its own seal, so that damage to one is a finding about that one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[bytes]).decode


def pack(changes: Sequence[bytes]) -> bytes:
    """Return the bytes of a row of `len(changes)` sealed entries."""
    return changes[0] if len(changes) == 1 else _encode(changes)


def unpack(count: int, packed: bytes) -> list[bytes]:
    """Return the sealed entries of a row of `count`; what is no such list comes back as one, which no seal holds."""
    if count == 1:
        return [packed]
    try:
        return _decode(packed) or [packed]
    except msgspec.MsgspecError:
        return [packed]
