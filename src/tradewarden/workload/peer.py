"""Who the other end must be, beyond a chain that verifies: pinned keys (RFC 7469 form), SPIFFE IDs, not revoked.

Checked within the handshake, after TLS has verified the chain and before any application data is sent or read.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from functools import lru_cache
from hashlib import sha256
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from tradewarden.errors import ConfigurationError
from tradewarden.workload.errors import PeerNameError, PeerRevokedError, PinMismatchError
from tradewarden.workload.lists import revokes
from tradewarden.workload.pair import public_bytes

if TYPE_CHECKING:
    import ssl
    from collections.abc import Collection

_DIGEST_BYTES: Final = 32
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}", re.ASCII)
_SPIFFE: Final = re.compile(r"spiffe://[a-z0-9._-]{1,255}(?:/[A-Za-z0-9._-]+)+", re.ASCII)


class Peer(NamedTuple):
    """What is asked of a peer: one of these keys in its chain, one of these SPIFFE IDs. Empty asks nothing.

    `lists` may be old or too few: what they name is refused, and for want of one nobody is.
    """

    pins: frozenset[bytes] = frozenset()
    names: frozenset[str] = frozenset()
    lists: tuple[x509.CertificateRevocationList, ...] = ()

    def check(self, connection: ssl.SSLObject | ssl.SSLSocket) -> None:
        """Look at a connection whose handshake is done; raises a `PeerRefusedError`."""
        if self.pins:
            self._check_pins([pin_of(der) for der in _verified_chain(connection)])
        if self.names:
            self._check_name(connection)
        if self.lists:
            self._check_lists([x509.load_der_x509_certificate(der) for der in _verified_chain(connection)])

    def _check_pins(self, found: list[bytes]) -> None:
        if self.pins.isdisjoint(found):
            shown = ", ".join(b64encode(each).decode() for each in found) or "none"
            raise PinMismatchError(f"The peer's certificate chain verifies, but none of its keys is pinned: {shown}")

    def _check_name(self, connection: ssl.SSLObject | ssl.SSLSocket) -> None:
        found: Any = (connection.getpeercert() or {}).get("subjectAltName", ())
        uris = [value for kind, value in found if kind == "URI"]
        # One URI and no more, so that nobody can be two (X.509-SVID section 2).
        if len(uris) != 1 or uris[0] not in self.names:
            shown = ", ".join(uris)[:512] or "no SPIFFE ID"
            raise PeerNameError(f"The peer is {shown}, not {' or '.join(sorted(self.names))}")

    def _check_lists(self, chain: list[x509.Certificate]) -> None:
        for certificate, issuer in pairwise(chain):
            if revokes(self.lists, certificate, issuer):
                subject = certificate.subject.rfc4514_string()[:512]
                raise PeerRevokedError(f"{subject} is revoked, and the peer's certificate chain leads over it")


def peer(pins: Collection[str] | None, names: str | Collection[str] | None, trust_domain: str) -> Peer:
    """Return the checked rules; a plain service name stands for its SPIFFE ID in our trust domain.

    Raises `ConfigurationError`; an empty collection is refused, because it reads like a rule and would be none.
    """
    wanted = (names,) if isinstance(names, str) else names
    if isinstance(pins, str) or (pins is not None and not pins):
        raise ConfigurationError("Give pins as a collection, and no empty one; leave pins out when any key will do")
    if wanted is not None and not wanted:
        raise ConfigurationError("peer is an empty collection, which nobody could be; name one, or leave peer out")
    return Peer(
        frozenset(map(_pin, pins or ())),
        frozenset(_spiffe_id(each, trust_domain) for each in wanted or ()),
    )


@lru_cache(maxsize=256)
def pin_of(der: bytes) -> bytes:
    """Return the SHA-256 of a certificate's SubjectPublicKeyInfo (RFC 7469 section 2.4)."""
    return sha256(public_bytes(x509.load_der_x509_certificate(der).public_key())).digest()


def pin_text(certificate: x509.Certificate) -> str:
    """Return the pin of a certificate as it is given to `pins`."""
    return b64encode(pin_of(certificate.public_bytes(Encoding.DER))).decode()


def _pin(text: str) -> bytes:
    try:
        digest = b64decode(text, validate=True)
    except (NotBase64, ValueError):
        digest = b""
    if len(digest) != _DIGEST_BYTES:
        raise ConfigurationError(f"Pin {text[:80]!r} is not the base64 of a SHA-256; see GET /ca/pins")
    return digest


def _spiffe_id(name: str, trust_domain: str) -> str:
    if _NAME.fullmatch(name):
        return f"spiffe://{trust_domain}/{name}"
    if _SPIFFE.fullmatch(name):
        return name
    raise ConfigurationError(f"Peer {name[:80]!r} is neither a service's name nor a SPIFFE ID")


def _verified_chain(connection: ssl.SSLObject | ssl.SSLSocket) -> list[bytes]:
    """Return the chain that OpenSSL built and verified, as DER; public from Python 3.13 on."""
    public = getattr(connection, "get_verified_chain", None)
    if public is not None:
        return list(public())
    inner: Any = connection._sslobj  # type: ignore[union-attr]  # noqa: SLF001
    return [bytes(ssl_certificate.public_bytes(_DER)) for ssl_certificate in inner.get_verified_chain() or ()]


_DER: Final = 2
"""`_ssl.ENCODING_DER`, of the private interface before 3.13."""
