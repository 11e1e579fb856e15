"""Loads the CAs: rows, the files and keys that belong to them, and nothing that does not.

Always true here: a file of an active CA is what its row says or loading stops, naming it. Only keys that sign now are
held: the active issuing CA's and those of retired ones, for their revocation lists. A root's key is read when it is
needed and not held.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from cryptography.hazmat.primitives.serialization import Encoding

from tradewarden.errors import ConfigurationError, ConflictError, TradewardenError
from tradewarden.log import Log
from tradewarden.pki.cas.authorities import Authorities
from tradewarden.pki.cas.brought import brought_key, brought_key_is_here
from tradewarden.pki.cas.files import ROOT_CERT, Layout
from tradewarden.pki.cas.making import certificate_name, fingerprint
from tradewarden.pki.certificate.issuer import Issuer
from tradewarden.pki.certificate.pointers import pointers
from tradewarden.pki.store import AuthorityRow, Role, Standing

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from cryptography import x509

    from tradewarden.crypto.keyset import Sealer
    from tradewarden.pki.cas.authorities import Ca
    from tradewarden.pki.cas.files import CaFiles
    from tradewarden.pki.cas.keys import CaKeys
    from tradewarden.pki.certificate.algorithm import PrivateKey
    from tradewarden.pki.policy import Policy
    from tradewarden.pki.store import AuthorityStore
    from tradewarden.settings.pkcs11 import TokenUri

_log = Log("tradewarden.pki")


class Custody:
    """The CAs of one installation, where they are kept. The caller holds `files.locked()`."""

    def __init__(self, store: AuthorityStore, sealer: Sealer, files: CaFiles, keys: CaKeys, policy: Policy) -> None:
        self.store = store
        self.sealer = sealer
        self.files = files
        self.keys = keys
        self.policy = policy

    @property
    def brought(self) -> Path | None:
        """Where the CA that was brought along lies, when a setting names one that is not our own file."""
        return self.policy.brought(self.files.directory / ROOT_CERT)

    async def rows(self) -> list[AuthorityRow]:
        """Return the rows as they stand, checked; raises `IntegrityError` for a forged one."""
        return [self.sealer.check(row) for row in await self.store.authorities()]

    async def load(self, *, strict: bool, held: Mapping[str, PrivateKey] | None = None) -> Authorities:
        """Return the CAs as they stand; keys in `held`, by fingerprint, are not read again.

        A start is `strict`: whatever is missing, damaged or foreign raises `ConfigurationError` naming it. A running
        process goes on without the key that it cannot load, and says so in the log.
        """
        return await asyncio.to_thread(self._load, await self.rows(), held or {}, strict)

    def _load(self, rows: Sequence[AuthorityRow], held: Mapping[str, PrivateKey], strict: bool) -> Authorities:  # noqa: FBT001
        known = Authorities(rows, {}, self.policy)
        self._settle(known, strict=strict)
        if strict:
            self._hold_files(known)
        keys = {ca.fingerprint: self._key(ca, held, strict=strict) for ca in known.of(Role.ISSUING)}
        return Authorities(rows, {name: key for name, key in keys.items() if key is not None}, self.policy)

    def _settle(self, known: Authorities, *, strict: bool) -> None:
        try:
            self.files.settle(layout(known))
        except TradewardenError as error:
            if strict:
                raise
            _log.error("the CAs' files cannot be moved to their places yet", reason=error.detail)

    def _hold_files(self, known: Authorities) -> None:
        """Hold the files of the active CAs, and the roots' keys that are here, against the rows."""
        for ca in (known.root, known.issuing):
            name = certificate_name(ca.row)
            if self.files.certificate(name).public_bytes(Encoding.DER) != ca.row.certificate:
                raise ConfigurationError(
                    f"{self.files.path(name)} is not the certificate that this installation made"
                    f" (SHA-256 {ca.fingerprint}); restore it from a backup"
                )
        for ca in (*known.trusted, *([known.next_issuing] if known.next_issuing else [])):
            if ca.row.key and self.keys.has(ca.row.key):
                self.keys.load(ca.row.key, ca.certificate)

    def _key(self, ca: Ca, held: Mapping[str, PrivateKey], *, strict: bool) -> PrivateKey | None:
        active = ca.row.state is Standing.ACTIVE
        if ca.fingerprint in held:
            return held[ca.fingerprint]
        if not active and (not ca.row.active_from or not self.keys.has(ca.row.key)):
            return None
        try:
            return self.keys.load(ca.row.key, ca.certificate)
        except TradewardenError as error:
            if active and strict:
                raise
            _log.error("a CA's key cannot be loaded", ca=ca.certificate.subject.rfc4514_string(), reason=error.detail)
            return None

    # -- the roots' keys -------------------------------------------------------------------------

    def is_here(self, ca: Ca) -> bool:
        """Tell whether a CA's private key could be used now."""
        if ca.row.key:
            return self.keys.has(ca.row.key)
        return self.brought is not None and brought_key_is_here(self.policy.ca_key_path, self.policy.access)

    def signer(self, ca: Ca) -> Issuer:
        """Return a root ready to sign; raises `ConflictError` naming what to bring back when its key is away."""
        if not self.is_here(ca):
            raise ConflictError(
                f"The private key of the root CA is needed and not here: bring {self.missing(ca)} back,"
                " repeat this, and take it away again",
                reason="the root CA's key is away",
            )
        if ca.row.key:
            return self.above(ca.certificate, self.keys.load(ca.row.key, ca.certificate))
        return self.above(ca.certificate, self._brought_key(ca))

    def above(self, root: x509.Certificate, key: PrivateKey) -> Issuer:
        """Return a root ready to sign CAs, which point to its revocation list."""
        return Issuer(root, key, pointers=pointers(self.policy.public_url, fingerprint(root), sharded=False))

    def _brought_key(self, ca: Ca) -> PrivateKey:
        place = cast("Path | TokenUri", self.policy.ca_key_path)
        return brought_key(place, ca.certificate, self.policy.access)

    def missing(self, ca: Ca) -> str:
        """Say what to bring back for a CA whose key is away."""
        return self.keys.where(ca.row.key) if ca.row.key else "the key that CA_KEY_PATH names (and set both CA_ paths)"


def layout(known: Authorities) -> Layout:
    """Return what the rows say of the files."""
    kept = [ca for ca in known.all if ca.row.role is not Role.CROSS]
    active = [ca.row for ca in kept if ca.row.state is Standing.ACTIVE]
    return Layout(
        {certificate_name(ca.row): ca.certificate for ca in kept},
        {ca.row.key: ca.certificate.public_key() for ca in kept if ca.row.key},
        frozenset(_names(active)),
    )


def _names(rows: Iterable[AuthorityRow]) -> Iterable[str]:
    for row in rows:
        yield certificate_name(row)
        if row.key:
            yield row.key
