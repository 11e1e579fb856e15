"""Signed checkpoints: what the log was at one size, as a C2SP tlog-checkpoint in a C2SP signed note.

    <origin>
    <size>
    <base64 of the root>
    time <RFC 3339, UTC>
    <empty line>
    — <origin> <base64 of key id (4) | Ed25519 signature (64)>

The key id is SHA-256(name | 0x0A | 0x01 | public key), first four bytes. Reading raises; it never
returns a checkpoint whose signature does not hold.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode, b64encode
from hashlib import sha256
from typing import Protocol

import msgspec

from tradewarden.audit.tree import HASH_BYTES
from tradewarden.errors import IntegrityError, InvalidInputError

MAX_NOTE_BYTES = 4096
_ED25519 = b"\x01"
_KEY_ID_BYTES = 4
_SIGNATURE_BYTES = 64
_SIZE = re.compile(r"0|[1-9]\d{0,17}")
_TIME = "time "
_MIN_LINES = 3


class CheckpointSigner(Protocol):
    """What signs: `tradewarden.crypto.signers.Signer`, or a key in hardware."""

    @property
    def public_key(self) -> bytes:
        """The 32 raw bytes of the Ed25519 public key."""
        ...

    @property
    def public_pem(self) -> bytes:
        """The public key in PEM."""
        ...

    def sign(self, data: bytes) -> bytes:
        """Return the 64-byte signature of `data`."""
        ...


class CheckpointVerifier(Protocol):
    """What verifies: `tradewarden.crypto.signers.Verifier`."""

    @property
    def public_key(self) -> bytes:
        """The 32 raw bytes of the Ed25519 public key."""
        ...

    def verify(self, signature: bytes, data: bytes) -> None:
        """Return when the signature holds; raises `IntegrityError` otherwise."""
        ...


class Checkpoint(msgspec.Struct, frozen=True):
    """The log `origin` had `size` entries with this root at `time` (RFC 3339, UTC)."""

    origin: str
    size: int
    root: bytes
    time: str

    def body(self) -> bytes:
        """Return the text that is signed."""
        root = b64encode(self.root).decode()
        return f"{self.origin}\n{self.size}\n{root}\n{_TIME}{self.time}\n".encode()

    def sign(self, signer: CheckpointSigner) -> bytes:
        """Return the signed note."""
        body = self.body()
        signature = key_id(self.origin, signer.public_key) + signer.sign(body)
        return body + f"\n— {self.origin} {b64encode(signature).decode()}\n".encode()


def key_id(name: str, public_key: bytes) -> bytes:
    """Return the four bytes by which a signature names its key."""
    return sha256(name.encode() + b"\n" + _ED25519 + public_key).digest()[:_KEY_ID_BYTES]


def read_checkpoint(note: bytes, verifier: CheckpointVerifier) -> Checkpoint:
    """Return what a signed note says; raises `IntegrityError` unless this key signed it.

    Lines that other witnesses signed are passed over.
    """
    body, signatures = _split(note)
    checkpoint = _parse(body)
    wanted = key_id(checkpoint.origin, verifier.public_key)
    for line in signatures.split(b"\n"):
        signature = _signature(line, checkpoint.origin)
        if signature[:_KEY_ID_BYTES] == wanted and len(signature) == _KEY_ID_BYTES + _SIGNATURE_BYTES:
            verifier.verify(signature[_KEY_ID_BYTES:], body)
            return checkpoint
    raise IntegrityError("The checkpoint is not signed by this key")


def require_form(note: bytes) -> None:
    """Return for what has the form of a signed checkpoint, whoever signed it; `InvalidInputError` for anything else."""
    try:
        _parse(_split(note)[0])
    except IntegrityError as error:
        raise InvalidInputError(
            "This is no signed checkpoint; give the file 'checkpoint' of an audit export, or the text that "
            "GET /audit/checkpoint answers in its field 'checkpoint'"
        ) from error


def _split(note: bytes) -> tuple[bytes, bytes]:
    text, separator, signatures = note.rpartition(b"\n\n")
    if not separator or len(note) > MAX_NOTE_BYTES:
        raise IntegrityError("This is no signed checkpoint")
    return text + b"\n", signatures


def _parse(body: bytes) -> Checkpoint:
    try:
        lines = body.decode().split("\n")
        root = b64decode(lines[2], validate=True) if len(lines) > _MIN_LINES else b""
    except (UnicodeDecodeError, binascii.Error) as error:
        raise IntegrityError("This is no checkpoint") from error
    if len(root) != HASH_BYTES or not _SIZE.fullmatch(lines[1]) or not lines[0]:
        raise IntegrityError("This is no checkpoint")
    times = [line.removeprefix(_TIME) for line in lines[3:] if line.startswith(_TIME)]
    return Checkpoint(lines[0], int(lines[1]), root, times[0] if times else "")


def _signature(line: bytes, name: str) -> bytes:
    head = f"— {name} ".encode()
    if not line.startswith(head):
        return b""
    try:
        return b64decode(line[len(head) :], validate=True)
    except binascii.Error:
        return b""
