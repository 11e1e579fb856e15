"""What is asked of the register of services and what it answers; times are RFC 3339 in UTC."""

from __future__ import annotations

import msgspec

from tradewarden.access.principal import ServiceFilter, ServiceName
from tradewarden.identity.limits import Addresses, JoinAddresses, JoinNames, Minutes, Names, Permissions


class RegisterService(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Register a service with the most that it may ever be granted, and that its certificates may ever name.

    A DNS name that begins with a dot stands for every host below. Without any name its certificates bear what an
    operator asks for.
    """

    service_name: ServiceName
    permissions: Permissions
    dns_names: Names = ()
    ip_addresses: Addresses = ()


class SetNames(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Replace what a service's certificates may name at most; those already issued stay as they are."""

    service_name: ServiceName
    dns_names: Names = ()
    ip_addresses: Addresses = ()


class ServiceRegistered(msgspec.Struct, frozen=True):
    """A registered service and its client secret, which is shown this once."""

    service_name: str
    permissions: tuple[str, ...]
    client_secret: str
    created_at: str

    def __repr__(self) -> str:
        return f"ServiceRegistered(service_name={self.service_name!r})"


class ServiceListed(msgspec.Struct, frozen=True):
    """A registered service, without its secret."""

    service_name: str
    permissions: tuple[str, ...]
    created_at: str
    created_by: str
    secret_rotated_at: str
    dns_names: tuple[str, ...] = ()
    ip_addresses: tuple[str, ...] = ()


class ServicePage(msgspec.Struct, frozen=True):
    """Some services by name. `next` is where the following page starts (None: this was the last)."""

    services: tuple[ServiceListed, ...]
    next: str | None = None


class MakeJoinToken(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Make a one-time token with which a service gets its first certificate, under these names and no others."""

    service_name: ServiceName
    ttl_minutes: Minutes | None = None
    dns_names: JoinNames = ()
    ip_addresses: JoinAddresses = ()


class JoinTokenMade(msgspec.Struct, frozen=True):
    """A join token, shown this once: a secret, a dot, and the first half of the root CA's fingerprint."""

    join_token: str
    service_name: str
    expires_at: str

    def __repr__(self) -> str:
        return f"JoinTokenMade(service_name={self.service_name!r})"


class ListJoinTokens(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """List join tokens that are still good, of one service or of all."""

    service_name: ServiceFilter = ""


class WithdrawJoinTokens(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """End the unused join tokens of a service, or the one with this id."""

    service_name: ServiceName
    id: str = ""


class JoinTokenListed(msgspec.Struct, frozen=True):
    """A join token that is still good, without what would let anyone in. `id` names it and is no secret."""

    id: str
    service_name: str
    dns_names: tuple[str, ...]
    ip_addresses: tuple[str, ...]
    created_at: str
    created_by: str
    expires_at: str


class JoinTokensListed(msgspec.Struct, frozen=True):
    """Join tokens, the one that ends first first; 1,000 at most."""

    join_tokens: tuple[JoinTokenListed, ...]


class JoinTokensWithdrawn(msgspec.Struct, frozen=True):
    """How many join tokens are good for nothing now."""

    service_name: str
    withdrawn: int


class Enroll(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Exchange a join token for a certificate over the key of a CSR (PEM).

    Who names a `service_name` gets no certificate for another one, and a token that is another's stays good.
    """

    join_token: str
    csr: str
    service_name: str = ""

    def __repr__(self) -> str:
        return "Enroll(…)"
