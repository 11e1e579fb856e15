"""What clients send inside their signatures (RFC 8555 section 7), and what administrators ask for and get.

Fields that are not named here are left unread, as RFC 8555 section 7.3 wants.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from tradewarden.access.hosts import DnsPattern, IpAddress
from tradewarden.access.principal import ServiceName
from tradewarden.acme.jws import Signed
from tradewarden.acme.problem import Identifier

MAX_IDENTIFIERS: Final = 32
"""Most DNS names, and most IP addresses, of one key or one order."""
MAX_TTL_HOURS: Final = 30 * 24
_MANY = msgspec.Meta(extra_json_schema={"maxItems": MAX_IDENTIFIERS})
_HOURS = msgspec.Meta(extra_json_schema={"minimum": 1, "maximum": MAX_TTL_HOURS})


class NewAccount(msgspec.Struct, frozen=True, rename="camel"):
    """An account for the key that signs (section 7.3)."""

    contact: tuple[str, ...] = ()
    terms_of_service_agreed: bool = False
    only_return_existing: bool = False
    external_account_binding: Signed | None = None


class UpdateAccount(msgspec.Struct, frozen=True, rename="camel"):
    """What changes of an account (sections 7.3.2 and 7.3.6)."""

    contact: tuple[str, ...] | None = None
    status: str | None = None


class KeyChange(msgspec.Struct, frozen=True, rename="camel"):
    """The inner payload of a change of keys (section 7.3.5)."""

    account: str
    old_key: dict[str, object]


class NewOrder(msgspec.Struct, frozen=True, rename="camel"):
    """A certificate is wanted (section 7.4); `replaces` names the one it renews (RFC 9773 section 5)."""

    identifiers: tuple[Identifier, ...]
    not_before: str | None = None
    not_after: str | None = None
    replaces: str | None = None


class Finalize(msgspec.Struct, frozen=True):
    """The CSR (DER, base64url) of an order that is ready (section 7.4)."""

    csr: str


class Deactivate(msgspec.Struct, frozen=True):
    """An authorization is given up (section 7.5.2)."""

    status: str


class RevokeCert(msgspec.Struct, frozen=True):
    """A certificate (DER, base64url) is to be revoked (section 7.6); `reason` as RFC 5280 section 5.3.1 numbers it."""

    certificate: str
    reason: int = 0


class MakeKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Make a key with which one ACME account can be opened for a service.

    `dns_names` (a leading dot: every host below) and `ip_addresses` are what its certificates may name; without any,
    what the service is registered for. `profile` is the kind of its certificates.
    """

    service_name: ServiceName
    dns_names: Annotated[tuple[DnsPattern, ...], _MANY] = ()
    ip_addresses: Annotated[tuple[IpAddress, ...], _MANY] = ()
    profile: str = "server"
    ttl_hours: Annotated[int, _HOURS] = 24


class KeyMade(msgspec.Struct, frozen=True):
    """A key for external account binding, shown this once: `kid`, and the HMAC key in base64url."""

    service_name: str
    kid: str
    hmac_key: str
    directory: str
    expires_at: str

    def __repr__(self) -> str:
        return f"KeyMade(service_name={self.service_name!r}, kid={self.kid!r})"


class AccountListed(msgspec.Struct, frozen=True):
    """An account, as administrators see it."""

    id: str
    service_name: str
    status: str
    contact: tuple[str, ...]
    key_thumbprint: str
    created_at: str


class AccountPage(msgspec.Struct, frozen=True):
    """Some accounts; `next` is where the following page starts, empty at the end."""

    accounts: tuple[AccountListed, ...]
    next: str = ""


class OrderListed(msgspec.Struct, frozen=True):
    """An order, as administrators see it; `error` says why the last validation failed."""

    id: str
    account: str
    service_name: str
    status: str
    identifiers: tuple[str, ...]
    serial_number: str
    error: str
    created_at: str
    expires_at: str


class OrderPage(msgspec.Struct, frozen=True):
    """Some orders; `next` is where the following page starts, empty at the end."""

    orders: tuple[OrderListed, ...]
    next: str = ""
