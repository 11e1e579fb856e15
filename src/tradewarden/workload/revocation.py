"""The revocation lists that peers are checked against: one of each issuing CA that was met, never an older one.

Fetched are the list of the active issuing CA, that of the next one (so that a peer is known the moment after a
rotation), those of the CAs in our own chain, and those that were fetched before (so that peers under a CA that is being
replaced can still be checked) until the service has them no more.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from tradewarden.errors import IntegrityError, StorageUnavailableError
from tradewarden.workload.pair import fingerprint

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from tradewarden.workload.directory import IdentityDirectory
    from tradewarden.workload.door import Fetched
    from tradewarden.workload.pair import Pair

_LOG: Final = logging.getLogger("tradewarden.workload")
_ACTIVE: Final = "active.crl"
_NEXT: Final = "next.crl"
_NAME_DIGITS: Final = 20
"""So much of an issuing CA's fingerprint (hex) names its list: `GET /ca/crl/<digits>.crl`."""


class Revocation:
    """The lists that are held, on disk and in memory."""

    def __init__(self, directory: IdentityDirectory) -> None:
        self._directory = directory
        self._lists: dict[str, bytes] = {}
        self._tags: dict[str, str] = {}

    @property
    def pem(self) -> bytes:
        """All of them, PEM; the active CA's is often our own's."""
        return b"".join(dict.fromkeys(self._lists.values()))

    def load(self) -> None:
        """Read what an earlier process fetched; what cannot be read is left out, and so nobody is let in by it."""
        self._lists = {name: pem for name, pem in self._directory.crls().items() if _readable(pem)}

    def refresh(self, pair: Pair, fetch: Callable[[Pair, str, str], Fetched | None]) -> bool:
        """Fetch every list by its name (empty for the active CA's) and held tag; return whether anything is new."""
        issuers = {f"{fingerprint(each)[:_NAME_DIGITS]}.crl" for each in pair.chain[1:]}
        changed = False
        for name in sorted({_ACTIVE, _NEXT, *issuers, *self._lists}):
            tag = self._tags.get(name, "") if name in self._lists else ""
            changed |= self._take(name, fetch(pair, "" if name == _ACTIVE else name, tag))
        return changed

    def _take(self, name: str, answer: Fetched | None) -> bool:
        if answer is None:
            self._directory.forget_crl(name)
            return self._lists.pop(name, None) is not None
        if not answer.fresh:
            return False
        try:
            fetched = x509.load_der_x509_crl(answer.content)
        except ValueError as error:
            raise IntegrityError("The service's revocation list cannot be read") from error
        held = self._lists.get(name)
        if held is not None and not _newer(fetched, x509.load_pem_x509_crl(held)):
            return False
        self._tags[name] = answer.tag
        self._lists[name] = fetched.public_bytes(Encoding.PEM)
        try:
            self._directory.put_crl(name, self._lists[name])
        except StorageUnavailableError as error:
            _LOG.warning("a revocation list is used and could not be kept: %s", error.detail)
        return True


def _readable(pem: bytes) -> bool:
    try:
        x509.load_pem_x509_crl(pem)
    except ValueError:
        return False
    return True


def _newer(fetched: x509.CertificateRevocationList, held: x509.CertificateRevocationList) -> bool:
    """Tell whether a list replaces another; of the active CA it may be another CA's than before."""
    return fetched.issuer != held.issuer or _age(fetched) > _age(held)


def _age(found: x509.CertificateRevocationList) -> tuple[datetime, int]:
    """Return the time of a list, and its number for two of one second (RFC 5280 section 5.2.3)."""
    try:
        number = found.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    except (ValueError, x509.ExtensionNotFound):
        number = 0
    return found.last_update_utc, number
