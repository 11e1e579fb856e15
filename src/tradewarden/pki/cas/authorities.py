"""Every CA of the installation as it stands by the rows: which signs, which are trusted, what goes between.

A value: a rotation makes another one. A chain that is handed out leads to every trusted root, so while two roots are
trusted it holds the certificate of the one by the other.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from cryptography import x509

from tradewarden.errors import IntegrityError, UnavailableError
from tradewarden.pki.certificate.issuer import Issuer
from tradewarden.pki.certificate.pem import certificate_pem
from tradewarden.pki.certificate.pointers import pointers
from tradewarden.pki.store import AuthorityRow, Role, Standing

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tradewarden.pki.certificate.algorithm import PrivateKey
    from tradewarden.pki.policy import Policy


class Ca(NamedTuple):
    """One CA. `linked` is what signs in its name, its pointers set in; None where the key is not loaded."""

    row: AuthorityRow
    certificate: x509.Certificate
    linked: Issuer | None = None

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of its certificate in hex."""
        return self.row.fingerprint

    @property
    def starts(self) -> int:
        """When it begins, seconds since the epoch."""
        return int(self.certificate.not_valid_before_utc.timestamp())

    @property
    def ends(self) -> int:
        """When it ends, seconds since the epoch."""
        return int(self.certificate.not_valid_after_utc.timestamp())

    @property
    def ageing(self) -> float:
        """When two thirds of its life are over: time for the next one."""
        return self.starts + (self.ends - self.starts) * 2 / 3

    def signer(self) -> Issuer:
        """Return what signs in its name; raises `UnavailableError` while the key is away."""
        if self.linked is None:
            raise UnavailableError(
                "No certificate can be issued: the issuing CA's key cannot be used now; look at the log",
                reason="the issuing CA's key is not loaded",
            )
        return self.linked


class Authorities:
    """The CAs by their rows, in the order of the store, and the keys that this process holds, by fingerprint."""

    def __init__(self, rows: Sequence[AuthorityRow], keys: Mapping[str, PrivateKey], policy: Policy) -> None:
        self.rows = tuple(rows)
        self.keys = dict(keys)
        self._policy = policy
        self.all = tuple(self._ca(row) for row in rows)
        self.root = self._one(Role.ROOT, Standing.ACTIVE)
        self.issuing = self._one(Role.ISSUING, Standing.ACTIVE)
        self.next_root = self._some(Role.ROOT, Standing.NEXT)
        self.next_issuing = self._some(Role.ISSUING, Standing.NEXT)

    def holding(self, keys: Mapping[str, PrivateKey]) -> Authorities:
        """Return the same CAs with those keys too that were held before and cannot be loaded now."""
        ours = {row.fingerprint for row in self.rows if row.active_from}
        more = {name: key for name, key in keys.items() if name in ours and name not in self.keys}
        return Authorities(self.rows, {**self.keys, **more}, self._policy) if more else self

    def _ca(self, row: AuthorityRow) -> Ca:
        certificate = x509.load_der_x509_certificate(row.certificate)
        key = self.keys.get(row.fingerprint)
        if key is None or row.role is not Role.ISSUING:
            return Ca(row, certificate)
        links = pointers(self._policy.public_url, row.fingerprint)
        return Ca(row, certificate, Issuer(certificate, key, pointers=links))

    def _some(self, role: Role, state: Standing) -> Ca | None:
        return next((ca for ca in self.of(role) if ca.row.state is state), None)

    def _one(self, role: Role, state: Standing) -> Ca:
        found = self._some(role, state)
        if found is None:
            raise IntegrityError("The certificate authority's rows are damaged", reason=f"no {state} {role} CA")
        return found

    def of(self, role: Role) -> list[Ca]:
        """Return all CAs of a role."""
        return [ca for ca in self.all if ca.row.role is role]

    @cached_property
    def version(self) -> int:
        """A number that every change of the CAs makes higher, the same in every process."""
        return sum(1 + (row.active_from > 0) + (row.ended_at > 0) for row in self.rows)

    @cached_property
    def trusted(self) -> tuple[Ca, ...]:
        """The roots to trust, the active one first; two while a root is being changed."""
        return (self.root,) if self.next_root is None else (self.root, self.next_root)

    @cached_property
    def bundle(self) -> str:
        """The roots to trust (PEM)."""
        return pem(self.trusted)

    @cached_property
    def above(self) -> str:
        """What follows a certificate of the active issuing CA in its chain (PEM), up to every trusted root."""
        if self.issuing.fingerprint == self.root.fingerprint:
            return ""
        return pem((self.issuing, *self.crosses(self.issuing.row.issuer)))

    @cached_property
    def cross_bundle(self) -> str:
        """The certificates of each trusted root by the other (PEM); empty while there is one."""
        return pem(cross for root in self.trusted for cross in self.crosses(root.fingerprint))

    def crosses(self, root: str) -> list[Ca]:
        """Return the certificates of the root with that fingerprint by other trusted roots."""
        trusted = {ca.fingerprint: ca for ca in self.trusted}
        if root not in trusted:
            return []
        key = trusted[root].certificate.public_key()
        others = [ca for ca in self.of(Role.CROSS) if ca.row.issuer in trusted and ca.row.state is Standing.ACTIVE]
        return [ca for ca in others if ca.certificate.public_key() == key]

    @cached_property
    def revoked(self) -> Mapping[str, AuthorityRow]:
        """Issuing CAs that are revoked: nothing that they issued counts any more."""
        return {row.fingerprint: row for row in self.rows if row.state is Standing.REVOKED}

    def met(self, now: float) -> list[Ca]:
        """Return the issuing CAs whose certificates a verifier may meet now, the active one first."""
        used = [ca for ca in self.of(Role.ISSUING) if ca.row.active_from and ca.ends > now]
        return sorted(used, key=lambda ca: (ca is not self.issuing, -ca.row.active_from))

    def listed(self, now: float) -> list[Ca]:
        """Return those of them whose lists count: a revoked one's key may be another's, and so may its lists."""
        return [ca for ca in self.met(now) if ca.row.state is not Standing.REVOKED]

    def forerunner(self, issuing: Ca) -> str:
        """Return the fingerprint of the certificate under which an issuing CA was announced; empty when under its own.

        It has another one when the root was changed before its turn came.
        """
        before = [ca for ca in self.of(Role.ISSUING) if ca.row.key == issuing.row.key and not ca.row.active_from]
        same = [ca for ca in before if ca.certificate.subject == issuing.certificate.subject]
        return next((ca.fingerprint for ca in same if ca.fingerprint != issuing.fingerprint), "")

    def find(self, fingerprint: str) -> Ca | None:
        """Return one CA; its issuing row where it is a root that issues itself."""
        found = [ca for ca in self.all if ca.fingerprint == fingerprint]
        return min(found, key=lambda ca: ca.row.role is not Role.ISSUING, default=None)


def pem(cas: Iterable[Ca]) -> str:
    """Return certificates one after the other (PEM)."""
    return "".join(certificate_pem(ca.row.certificate) for ca in cas)
