"""What this process holds for each issuing CA: its lists, who answers for it, and the key that signs answers.

Always true here: a desk stays through rotations of other CAs, and is made anew only when its own CA is revoked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from tradewarden.pki.certificate.pointers import pointers
from tradewarden.pki.revocation.crl import RevocationList
from tradewarden.pki.revocation.ocsp import Responder
from tradewarden.pki.revocation.ocsp_encoding import issuer_hashes
from tradewarden.pki.revocation.ocsp_signer import OcspSigner
from tradewarden.pki.store import Role, Standing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tradewarden.clock import Clock, Randomness
    from tradewarden.crypto.keyset import Sealer
    from tradewarden.pki.cas.authorities import Authorities, Ca
    from tradewarden.pki.certificate.issuer import Issuer
    from tradewarden.pki.revocation.ocsp_encoding import CertId
    from tradewarden.pki.store import PkiStore


class Cas(Protocol):
    """The CAs in this process (`tradewarden.pki.cas.succession.Succession`)."""

    known: Authorities

    def issuer_of(self, fingerprint: str) -> Issuer | None:
        """Return a CA ready to sign; None when its key is not here. May read files."""
        ...


class Desk(NamedTuple):
    """What this process holds for one issuing CA: `ended` is when it was revoked, or 0."""

    lists: RevocationList
    responder: Responder
    signer: OcspSigner
    ended: float


class Desks:
    """A desk for every issuing CA whose key is here. `hours` is the life of a list, `base` where certificates point."""

    def __init__(
        self,
        store: PkiStore,
        sealer: Sealer,
        cas: Cas,
        clock: Clock,
        randomness: Randomness,
        hours: int,
        base: str,
    ) -> None:
        self._store = store
        self._sealer = sealer
        self._cas = cas
        self._clock = clock
        self._randomness = randomness
        self._hours = hours
        self._base = base
        self._followed: Authorities | None = None
        self._desks: dict[str, Desk] = {}
        self._by_hash: dict[tuple[bytes, bytes, bytes], str] = {}

    def follow(self) -> Authorities:
        """Take over the CAs as they are known now, and return them; of no cost while they stay the same."""
        known = self._cas.known
        if known is not self._followed:
            issuing = known.of(Role.ISSUING)
            signers = [ca for ca in issuing if ca.linked is not None and ca.row.active_from]
            self._desks = {ca.fingerprint: self._desk(ca, ca.linked) for ca in signers if ca.linked is not None}
            last = sorted(issuing, key=lambda ca: ca.row.active_from)  # of one name and key, the one that issues counts
            self._by_hash = {key: ca.fingerprint for ca in last for key in issuer_hashes(ca.certificate)}
            self._followed = known
        return known

    def of(self, fingerprint: str) -> Desk | None:
        """Return the desk of a CA; None for one that does not issue, or whose key is not here."""
        return self._desks.get(fingerprint)

    def issuer_of(self, certificates: Sequence[CertId]) -> str | None:
        """Return the fingerprint of the issuing CA of ours that all of these name; None for several, or for others."""
        found = {self._by_hash.get((each.algorithm, each.name_hash, each.key_hash)) for each in certificates}
        return found.pop() if len(found) == 1 else None

    def _desk(self, ca: Ca, issuer: Issuer) -> Desk:
        ended = ca.row.ended_at if ca.row.state is Standing.REVOKED else 0.0
        held = self._desks.get(ca.fingerprint)
        if held is not None and held.ended == ended:
            held.lists.issuer = held.signer.issuer = issuer
            return held
        store, sealer, clock = self._store, self._sealer, self._clock
        lists = held.lists if held else RevocationList(
            store, sealer, issuer, clock, self._hours, pointers(self._base, ca.fingerprint),
            self._cas.known.forerunner(ca),
        )  # fmt: skip
        signer = held.signer if held else OcspSigner(store, sealer, issuer, clock, self._randomness)
        return Desk(lists, Responder(store, sealer, signer, clock, ended), signer, ended)
