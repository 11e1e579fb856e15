"""The revocation lists that peers are checked against: of each issuing CA that can be met, never an older one.

The service gives all of them together: of the CA that issues now, of those before it whose certificates still live, and
of the next one, so that a peer is known the moment after a rotation. A list that the service has no more is let go.
"""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from tradewarden.errors import IntegrityError, StorageUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from tradewarden.workload.directory import IdentityDirectory
    from tradewarden.workload.door import Fetched
    from tradewarden.workload.pair import Pair

_LOG: Final = logging.getLogger("tradewarden.workload")
_BLOCK: Final = re.compile(rb"-----BEGIN X509 CRL-----.*?-----END X509 CRL-----\n?", re.DOTALL)
_Lists = dict[tuple[x509.Name, bytes], x509.CertificateRevocationList]
"""By whose they are: the issuer's name and key identifier."""


class Revocation:
    """The lists that are held, on disk and in memory."""

    def __init__(self, directory: IdentityDirectory) -> None:
        self._directory = directory
        self._lists: _Lists = {}
        self._tag = ""
        self.pem = b""

    def load(self) -> None:
        """Read what an earlier process fetched; what cannot be read is left out, and so nobody is let in by it."""
        try:
            self._hold(_read(self._directory.crls()))
        except ValueError:
            self._hold({})

    def refresh(self, pair: Pair, fetch: Callable[[Pair, str], Fetched | None]) -> bool:
        """Fetch the lists, unless they are still those of the held tag; return whether anything is new."""
        answer = fetch(pair, self._tag if self._lists else "")
        if answer is None:
            return self._replace({}, "")
        if not answer.fresh:
            return False
        try:
            fetched = _read(answer.content)
        except ValueError as error:
            raise IntegrityError("The service's revocation lists cannot be read") from error
        if not fetched:
            raise IntegrityError("What the service answers holds no revocation list")
        newest = {whose: _newer(each, self._lists.get(whose)) for whose, each in fetched.items()}
        return self._replace(newest, answer.tag)

    def _replace(self, lists: _Lists, tag: str) -> bool:
        self._tag = tag
        if lists == self._lists:
            return False
        self._hold(lists)
        try:
            self._directory.put_crls(self.pem)
        except StorageUnavailableError as error:
            _LOG.warning("revocation lists are used and could not be kept: %s", error.detail)
        return True

    def _hold(self, lists: _Lists) -> None:
        self._lists = lists
        self.pem = b"".join(each.public_bytes(Encoding.PEM) for each in lists.values())


def _read(pem: bytes) -> _Lists:
    """Return lists by their issuer, the newest of each; raises `ValueError`."""
    found: _Lists = {}
    for block in _BLOCK.findall(pem):
        crl = x509.load_pem_x509_crl(block)
        whose = (crl.issuer, _key_identifier(crl))
        found[whose] = _newer(crl, found.get(whose))
    return found


def _key_identifier(crl: x509.CertificateRevocationList) -> bytes:
    try:
        return crl.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier or b""
    except x509.ExtensionNotFound:
        return b""


def _newer(
    fetched: x509.CertificateRevocationList, held: x509.CertificateRevocationList | None
) -> x509.CertificateRevocationList:
    return fetched if held is None or _age(fetched) > _age(held) else held


def _age(found: x509.CertificateRevocationList) -> tuple[datetime, int]:
    """Return the time of a list, and its number for two of one second (RFC 5280 section 5.2.3)."""
    try:
        number = found.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    except (ValueError, x509.ExtensionNotFound):
        number = 0
    return found.last_update_utc, number
