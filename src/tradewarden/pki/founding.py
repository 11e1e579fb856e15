"""The authority at start: made once on the first start, afterwards loaded and held against its database rows.

Always true here: files and rows stand together or the start stops, naming what is missing, damaged or foreign; nothing
is ever made anew over what is there. Only the root's key may be away.
"""

from __future__ import annotations

import asyncio
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from tradewarden.errors import ConfigurationError
from tradewarden.pki.algorithm import generate
from tradewarden.pki.brought import brought_certificate, brought_key, may_have_issuing
from tradewarden.pki.files import ISSUING_CERT, ISSUING_KEY, ROOT_CERT, ROOT_KEY
from tradewarden.pki.issuer import Issuer, Order, self_signed
from tradewarden.pki.profiles import ISSUING, ROOT
from tradewarden.pki.store import AuthorityRow

if TYPE_CHECKING:
    from tradewarden.audit.entry import Entry
    from tradewarden.clock import Randomness
    from tradewarden.crypto.keyset import Sealer
    from tradewarden.pki.algorithm import PrivateKey
    from tradewarden.pki.files import CaFiles
    from tradewarden.pki.policy import Policy
    from tradewarden.pki.store import AuthorityStore

ROOT_NAME, ISSUING_NAME = "root", "issuing"
_DAY = 86_400
_SERIAL_BYTES = 20


class Pair(NamedTuple):
    """The root's certificate, and the issuing CA's with its private key; both the same when the root issues."""

    root: x509.Certificate
    issuing: x509.Certificate
    issuing_key: PrivateKey


class Foundation:
    """Makes or loads the authority's two CAs."""

    def __init__(self, files: CaFiles, policy: Policy, now: float, randomness: Randomness) -> None:
        self._files = files
        self._policy = policy
        self._now = now
        self._randomness = randomness
        own = policy.ca_cert_path in (None, files.path(ROOT_CERT))
        self._brought = None if own else policy.ca_cert_path
        self._brought_key = None if own else policy.ca_key_path

    async def lay(self, store: AuthorityStore, sealer: Sealer, *, first_start: bool, entry: Entry | None) -> Pair:
        """Return the authority's CAs; raises `ConfigurationError` naming whatever does not belong together."""
        async with self._files.locked():
            return await self._lay(store, sealer, first_start=first_start, entry=entry)

    async def _lay(self, store: AuthorityStore, sealer: Sealer, *, first_start: bool, entry: Entry | None) -> Pair:
        rows = {row.name: sealer.check(row) for row in await store.authorities()}
        if rows:
            return await asyncio.to_thread(self._load, rows)
        self._refuse_strangers(first_start=first_start)
        pair, keys = await asyncio.to_thread(self._make)
        found = [sealer.seal(self._row(ROOT_NAME, pair.root)), sealer.seal(self._row(ISSUING_NAME, pair.issuing))]
        certificates = {ROOT_CERT: pair.root, ISSUING_CERT: pair.issuing}
        await asyncio.to_thread(self._files.stage, certificates, keys)
        digests = [sha256(row.seal).hexdigest() for row in found]
        await store.found(found, entry.draft(*digests) if entry else b"")
        if entry:
            entry.commit()
        await asyncio.to_thread(self._files.settle)
        return pair

    def _refuse_strangers(self, *, first_start: bool) -> None:
        strangers = self._files.strangers()
        if strangers:
            raise ConfigurationError(
                f"{', '.join(map(str, strangers))}: found without the database they belong to; restore the database,"
                " or move them away (a CA of your own is named with CA_CERT_PATH and CA_KEY_PATH)"
            )
        if not first_start:
            raise ConfigurationError(
                f"{self._files.directory}: the certificate authority is missing, in the database too;"
                " restore both from a backup, or start on an empty data directory"
            )

    def _row(self, name: str, certificate: x509.Certificate) -> AuthorityRow:
        der = certificate.public_bytes(Encoding.DER)
        return AuthorityRow(name, sha256(der).hexdigest(), der, self._now)

    # -- first start ---------------------------------------------------------------------------

    def _make(self) -> tuple[Pair, dict[str, PrivateKey]]:
        """Return the CAs of a first start and the private keys to keep, by file name."""
        if self._brought is None:
            root_key = generate(self._policy.algorithm)
            root = self_signed(self._order(root_key, "Root", ROOT.days), root_key)
            pair = self._below(root, root_key)
            return pair, {ROOT_KEY: root_key, ISSUING_KEY: pair.issuing_key}
        root = brought_certificate(self._brought, self._now)
        if self._brought_key is None:
            raise ConfigurationError("CA_KEY_PATH: unset, while CA_CERT_PATH is set; the first start needs the key")
        root_key = brought_key(self._brought_key, root)
        pair = self._below(root, root_key) if may_have_issuing(root) else Pair(root, root, root_key)
        return pair, {ISSUING_KEY: pair.issuing_key}

    def _below(self, root: x509.Certificate, root_key: PrivateKey) -> Pair:
        """Make an issuing CA under `root`, not outliving it."""
        key = generate(self._policy.algorithm)
        issuer = Issuer(root, root_key)
        start, end = issuer.term(self._now, ISSUING.days * _DAY)
        order = self._order(key, "Issuing", ISSUING.days)
        order = order._replace(profile=ISSUING, not_before=start, not_after=end)
        return Pair(root, issuer.issue(order).certificate, key)

    def _order(self, key: PrivateKey, title: str, days: int) -> Order:
        # The random end tells two installations' CAs apart: verifiers look issuers up by name.
        name = f"Tradewarden {title} CA {self._randomness(4).hex()}"
        subject = x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Tradewarden"),
                x509.NameAttribute(NameOID.COMMON_NAME, name),
            ]
        )
        start = int(self._now)
        return Order(ROOT, subject, key.public_key(), serial_number(self._randomness), start, start + days * _DAY)

    # -- every other start ---------------------------------------------------------------------

    def _load(self, rows: dict[str, AuthorityRow]) -> Pair:
        files = self._files
        files.settle()
        root = self._ours(ROOT_CERT, rows[ROOT_NAME])
        issuing = self._ours(ISSUING_CERT, rows[ISSUING_NAME])
        if issuing != root:
            _under(issuing, root, f"{files.path(ISSUING_CERT)}")
        if files.has(ROOT_KEY):
            files.key(ROOT_KEY, root)
        if self._brought is not None:
            self._still_brought(self._brought, root)
        return Pair(root, issuing, files.key(ISSUING_KEY, issuing))

    def _ours(self, name: str, row: AuthorityRow) -> x509.Certificate:
        certificate = self._files.certificate(name)
        if certificate.public_bytes(Encoding.DER) != row.certificate:
            raise ConfigurationError(
                f"{self._files.path(name)} is not the certificate that this installation made"
                f" (SHA-256 {row.fingerprint}); restore it from a backup"
            )
        return certificate

    def _still_brought(self, path: object, root: x509.Certificate) -> None:
        certificate = brought_certificate(self._policy.ca_cert_path, self._now)  # type: ignore[arg-type]
        if certificate != root:
            raise ConfigurationError(
                f"CA_CERT_PATH ({path}) is another CA than the one this data directory was set up with"
            )
        if self._brought_key is not None and self._brought_key.exists():
            brought_key(self._brought_key, root)


def serial_number(randomness: Randomness) -> int:
    """Return a positive serial number of 159 random bits (RFC 5280 section 4.1.2.2: at most 20 octets)."""
    return int.from_bytes(randomness(_SERIAL_BYTES), "big") >> 1 or 1


def _under(issuing: x509.Certificate, root: x509.Certificate, name: str) -> None:
    try:
        issuing.verify_directly_issued_by(root)
    except (InvalidSignature, ValueError, TypeError) as error:
        raise ConfigurationError(f"{name} was not issued by the root CA beside it") from error
