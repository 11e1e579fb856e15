"""The certificate that our own listeners show, as it lies in the data directory: encrypted key, then the chain."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from tradewarden.errors import InvalidInputError
from tradewarden.pki.inventory import serial_text

if TYPE_CHECKING:
    from collections.abc import Collection

_BEGIN = b"-----BEGIN CERTIFICATE-----"


class Shown(NamedTuple):
    """A certificate chain (PEM, leaf first) and its key (PEM); `starts` and `ends` in seconds since the epoch."""

    chain: bytes
    key: bytes
    leaf: x509.Certificate
    above: tuple[x509.Certificate, ...]
    starts: float
    ends: float

    @property
    def serial(self) -> str:
        """Its serial number as in the inventory."""
        return serial_text(self.leaf.serial_number)

    @property
    def renewed_at(self) -> float:
        """When two thirds of its life are over."""
        return self.starts + (self.ends - self.starts) * 2 / 3

    def bears(self, names: Collection[str]) -> bool:
        """Tell whether all of these DNS names and IP addresses stand in it."""
        found = self.leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        addresses = map(str, found.get_values_for_type(x509.IPAddress))
        return {*names} <= {*found.get_values_for_type(x509.DNSName), *addresses}

    def comes_from(self, ca_chain: str, roots: int) -> bool:
        """Tell whether it was issued by the first CA of a chain, whose last `roots` are roots, and shows the rest."""
        known = x509.load_pem_x509_certificates(ca_chain.encode())
        try:
            self.leaf.verify_directly_issued_by(known[0])
        except (InvalidSignature, ValueError, TypeError):
            return False
        return self.above == tuple(known[: len(known) - roots])


def shown(chain: bytes, key: bytes) -> Shown:
    """Return a chain and its key, both PEM."""
    leaf, *above = x509.load_pem_x509_certificates(chain)
    starts, ends = leaf.not_valid_before_utc.timestamp(), leaf.not_valid_after_utc.timestamp()
    return Shown(chain, key, leaf, tuple(above), starts, ends)


def to_file(made: Shown, password: bytes) -> bytes:
    """Return what is written."""
    key = load_pem_private_key(made.key, None)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(password)) + made.chain


def from_file(content: bytes, password: bytes) -> Shown:
    """Return what was written; raises `InvalidInputError` saying why it is of no use."""
    encrypted, begin, chain = content.partition(_BEGIN)
    try:
        key = load_pem_private_key(encrypted, password)
        plain = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        found = shown(begin + chain, plain)
        if key.public_key() == found.leaf.public_key():
            return found
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise InvalidInputError("it is damaged, or encrypted under another root key") from error
    raise InvalidInputError("its key is another certificate's")
