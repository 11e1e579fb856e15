"""Where verifiers find what they need about a certificate: its revocation list, its issuer, the OCSP responder.

RFC 5280 sections 4.2.1.13 and 4.2.2.1; file names as in RFC 2585 section 3. Names come from the CA's fingerprint, so
they stay what they are through every rotation.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID as Access

from tradewarden.errors import NotFoundError
from tradewarden.pki.certificate.encoding import extensions_der
from tradewarden.pki.certificate.profiles import extension
from tradewarden.pki.revocation.crl_entries import WHOLE, shard_of

if TYPE_CHECKING:
    from tradewarden.pki.certificate.profiles import Extension

NAME_DIGITS: Final = 20
"""So much of a fingerprint (hex) stands in a name: 80 bits, for telling our own few CAs apart."""
_CRL_NAME: Final = re.compile(rf"([0-9a-f]{{{NAME_DIGITS}}})(?:-([0-9a-f]{{2}}))?\.crl", re.ASCII)
_ISSUER_NAME: Final = re.compile(rf"([0-9a-f]{{{NAME_DIGITS}}})\.cer", re.ASCII)


def crl_name(issuer: str, shard: int = WHOLE) -> str:
    """Return the file name of a CA's complete list, or of one shard; `issuer` is its fingerprint."""
    mark = "" if shard == WHOLE else f"-{shard:02x}"
    return f"{issuer[:NAME_DIGITS]}{mark}.crl"


def issuer_name(issuer: str) -> str:
    """Return the file name of a CA's certificate; `issuer` is its fingerprint."""
    return f"{issuer[:NAME_DIGITS]}.cer"


def read_crl_name(name: str) -> tuple[str, int]:
    """Return the beginning of the CA's fingerprint and the shard; raises `NotFoundError`."""
    match = _CRL_NAME.fullmatch(name)
    if match is None:
        raise NotFoundError("There is no such revocation list")
    return match[1], WHOLE if match[2] is None else int(match[2], 16)


def read_issuer_name(name: str) -> str:
    """Return the beginning of the CA's fingerprint; raises `NotFoundError`."""
    match = _ISSUER_NAME.fullmatch(name)
    if match is None:
        raise NotFoundError("There is no such issuing CA")
    return match[1]


class Places:
    """Where one certificate points, as extensions and as their DER; made once for all that point there."""

    __slots__ = ("der", "extensions")

    def __init__(self, *extensions: Extension) -> None:
        self.extensions = extensions
        self.der = extensions_der(extensions)


NOWHERE: Final = Places()
"""Of a certificate without pointers."""


class Pointers:
    """The pointers in the certificates of one CA. `base` is the public URL of this service, without a slash at its end.

    An issuing CA's certificates point to their shard, a root's (`sharded` false) to its complete list, and to no OCSP
    responder: the root's key is not there to make one.
    """

    def __init__(self, base: str, issuer: str, *, sharded: bool = True) -> None:
        self._base = base
        self._issuer = issuer
        self._sharded = sharded
        self._access = self._information()
        self._of: dict[int, Places] = {}

    def crl_url(self, shard: int = WHOLE) -> str:
        """Return where a list is found."""
        return f"{self._base}/ca/crl/{crl_name(self._issuer, shard)}"

    def of(self, serial: int) -> Places:
        """Return where the certificate with this serial number points; the same object for the same places."""
        shard = shard_of(serial) if self._sharded else WHOLE
        found = self._of.get(shard)
        if found is None:
            found = self._of[shard] = self._places(shard)
        return found

    def _places(self, shard: int) -> Places:
        full_name = [x509.UniformResourceIdentifier(self.crl_url(shard))]
        point = x509.DistributionPoint(full_name, None, None, None)
        return Places(extension(x509.CRLDistributionPoints([point])), self._access)

    def _information(self) -> Extension:
        places = [(Access.CA_ISSUERS, f"{self._base}/ca/issuers/{issuer_name(self._issuer)}")]
        if self._sharded:
            places.insert(0, (Access.OCSP, f"{self._base}/ca/ocsp"))
        found = [x509.AccessDescription(kind, x509.UniformResourceIdentifier(url)) for kind, url in places]
        return extension(x509.AuthorityInformationAccess(found))


def pointers(base: str, issuer: str, *, sharded: bool = True) -> Pointers | None:
    """Return the pointers of a CA's certificates; None without a public URL."""
    return Pointers(base, issuer, sharded=sharded) if base else None
