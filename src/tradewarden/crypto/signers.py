"""Ed25519 signatures (RFC 8032): deterministic, from a 32-byte seed; for audit checkpoints."""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from tradewarden.errors import IntegrityError, InvalidInputError

SEED_BYTES = 32
PUBLIC_KEY_BYTES = 32
_MAX_PEM_BYTES = 4096


class Signer:
    """Signs with one Ed25519 key; the same seed gives the same key and the same signatures."""

    __slots__ = ("_key", "public_key")

    def __init__(self, seed: bytes) -> None:
        if len(seed) != SEED_BYTES:
            raise InvalidInputError(f"An Ed25519 seed has {SEED_BYTES} bytes")
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self.public_key = self._key.public_key().public_bytes_raw()

    def __repr__(self) -> str:
        return f"Signer(public_key={self.public_key.hex()})"

    def sign(self, data: bytes) -> bytes:
        """Return the 64-byte signature of `data`."""
        return self._key.sign(data)

    @property
    def public_pem(self) -> bytes:
        """The public key as SubjectPublicKeyInfo in PEM (RFC 8410)."""
        return self._key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


class Verifier:
    """Verifies signatures of one Ed25519 public key, given as its 32 raw bytes."""

    __slots__ = ("_key", "public_key")

    def __init__(self, public_key: bytes) -> None:
        if len(public_key) != PUBLIC_KEY_BYTES:
            raise InvalidInputError(f"An Ed25519 public key has {PUBLIC_KEY_BYTES} bytes")
        self._key = Ed25519PublicKey.from_public_bytes(public_key)
        self.public_key = public_key

    @classmethod
    def from_pem(cls, pem: bytes) -> Verifier:
        """Return the verifier of a public key in PEM; raises `InvalidInputError` for any other content."""
        try:
            key = load_pem_public_key(pem) if len(pem) <= _MAX_PEM_BYTES else None
        except ValueError:
            key = None
        if not isinstance(key, Ed25519PublicKey):
            raise InvalidInputError("This is not an Ed25519 public key in PEM")
        return cls(key.public_bytes_raw())

    def __repr__(self) -> str:
        return f"Verifier(public_key={self.public_key.hex()})"

    def verify(self, signature: bytes, data: bytes) -> None:
        """Return when `signature` is this key's over `data`; raises `IntegrityError` otherwise."""
        try:
            self._key.verify(signature, data)
        except InvalidSignature as error:
            raise IntegrityError("The signature does not verify", reason="Ed25519 signature does not match") from error
