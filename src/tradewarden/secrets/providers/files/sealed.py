"""What stands in an encrypted file: `magic | key id | length | name | versions`, the last two AES-256-GCM envelopes.

Always true here: the name is sealed to the file's name, the versions to both; so neither a file that was moved, nor
one that was put together from two, opens. (An old file of the same name does: its place cannot tell its age.)

Two messages a write under one key, with random 96-bit nonces: NIST SP 800-38D's 2^32 are out of a directory's reach.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

import msgspec

from tradewarden.crypto.aead import NONCE_BYTES, OVERHEAD_BYTES
from tradewarden.crypto.place import place
from tradewarden.errors import DecryptionError
from tradewarden.secrets.path import MAX_PATH
from tradewarden.secrets.providers.files.key import ID_BYTES

if TYPE_CHECKING:
    from tradewarden.clock import Randomness
    from tradewarden.secrets.providers.files.key import FilesKey

MAGIC: Final = b"TWF1"
_HEADER: Final = struct.Struct(f">4s{ID_BYTES}sH")
HEAD_BYTES: Final = _HEADER.size + OVERHEAD_BYTES + MAX_PATH
"""As many bytes as hold the name, whatever it is."""
INCARNATION_BYTES: Final = 4


class Kept(msgspec.Struct, frozen=True, array_like=True):
    """One version of a secret; `content` is its text or its JSON."""

    number: int
    written_at: float
    content: bytes

    def __repr__(self) -> str:
        return f"Kept(number={self.number})"


class Record(msgspec.Struct, frozen=True, array_like=True):
    """A secret's versions, newest first. `incarnation` tells it from an earlier secret of its name."""

    incarnation: str
    versions: tuple[Kept, ...]

    def version(self, kept: Kept) -> str:
        """Return what a version is called."""
        return f"{kept.number}-{self.incarnation}"


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Record).decode


def seal(key: FilesKey, name: str, record: Record, randomness: Randomness) -> bytes:
    """Return the content of the file that is called `key.file_name(name)`."""
    file = key.file_name(name)
    sealed_name = key.cipher.encrypt(name.encode(), place("files/name", file), randomness(NONCE_BYTES))
    versions = key.cipher.encrypt(_encode(record), place("files/versions", file, name), randomness(NONCE_BYTES))
    return _HEADER.pack(MAGIC, key.id, len(sealed_name)) + sealed_name + versions


def key_id(raw: bytes) -> bytes | None:
    """Return which root a file was written under; None when it is no file of ours."""
    return raw[len(MAGIC) : len(MAGIC) + ID_BYTES] if len(raw) >= _HEADER.size and raw.startswith(MAGIC) else None


def open_name(key: FilesKey, file: str, raw: bytes) -> str:
    """Return the name in a file, or in its first `HEAD_BYTES`; raises `DecryptionError`."""
    return _name(key, file, raw)[0]


def open_sealed(key: FilesKey, file: str, raw: bytes) -> Record:
    """Return the versions in the file called `file`; raises `DecryptionError`."""
    name, start = _name(key, file, raw)
    opened = key.cipher.decrypt(raw[start:], place("files/versions", file, name))
    try:
        return _decode(opened)
    except msgspec.MsgspecError:
        raise DecryptionError(reason="authentic, and of a later format") from None


def _name(key: FilesKey, file: str, raw: bytes) -> tuple[str, int]:
    if key_id(raw) != key.id:
        raise DecryptionError(reason="not a file of this key")
    start = _HEADER.size
    end = start + int(_HEADER.unpack_from(raw)[2])
    return key.cipher.decrypt(raw[start:end], place("files/name", file)).decode(), end
