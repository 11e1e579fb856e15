"""What ACME needs from beside: the register of services, and the registration authority."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tradewarden.access.grant import Grant
    from tradewarden.audit.entry import Entry


class Registration(Protocol):
    """One registered service, as `tradewarden.identity` keeps it."""

    @property
    def incarnation(self) -> str:
        """Differs for every registration of a name, so that an account never outlives its own."""
        ...

    @property
    def permissions(self) -> tuple[str, ...]:
        """The most that it may ever be granted."""
        ...


class Register(Protocol):
    """The register of services."""

    async def registered(self, name: str) -> Registration | None:
        """Return the registration that stands now; None when the name is not registered."""
        ...


class Ordered(msgspec.Struct, frozen=True):
    """A certificate to be issued: these names, the key of a CSR (DER), a serial number chosen before."""

    service_name: str
    serial: str
    profile: str
    csr: bytes
    dns_names: tuple[str, ...]
    ip_addresses: tuple[str, ...]


class Held(Protocol):
    """One certificate of the inventory."""

    @property
    def service_name(self) -> str:
        """Whose it is."""
        ...

    @property
    def serial(self) -> str:
        """Its serial number, 40 hex digits."""
        ...

    @property
    def certificate(self) -> bytes:
        """The certificate in DER."""
        ...

    @property
    def issuer(self) -> str:
        """The SHA-256 (hex) of its CA's certificate."""
        ...

    @property
    def not_before(self) -> int:
        """When it begins, seconds since the epoch."""
        ...

    @property
    def not_after(self) -> int:
        """When it ends, seconds since the epoch."""
        ...

    @property
    def revocation(self) -> int:
        """More than 0 once it is revoked."""
        ...


class RegistrationAuthority(Protocol):
    """Who takes orders for certificates (`tradewarden.pki.registration.RegistrationAuthority`)."""

    def new_serial(self) -> str:
        """Return a serial number that nobody has."""
        ...

    def require_profile(self, name: str) -> None:
        """Raise `InvalidInputError` when services are not given certificates of this kind."""
        ...

    async def require_orderable(
        self, service: str, dns_names: Sequence[str], ip_addresses: Sequence[str], *, vouched: bool
    ) -> None:
        """Raise `PermissionDeniedError` when a service may not be certified under one of these.

        `vouched` tells that somebody who may issue for the service answers for them.
        """
        ...

    def require_request(self, ordered: Ordered) -> None:
        """Raise `InvalidInputError` when the CSR does not ask for exactly what is ordered, or its key is weak."""
        ...

    async def issue(self, grant: Grant, ordered: Ordered, entry: Entry, *, vouched: bool, incarnation: str) -> None:
        """Issue to the registration that `incarnation` tells; the names are held against the rule once more.

        Raises `ConflictError` when the serial number is issued already, `PermissionDeniedError` when the service may
        not be certified so any more, or is registered otherwise.
        """
        ...

    async def held(self, serial: str) -> Held | None:
        """Return a certificate that we issued."""
        ...

    def chain(self, held: Held) -> str:
        """Return a certificate and what is above it but the root, in PEM."""
        ...

    async def revoke(self, grant: Grant, serial: str, reason: str, entry: Entry) -> None:
        """Revoke a certificate, for a reason by its name in RFC 5280 section 5.3.1."""
        ...
