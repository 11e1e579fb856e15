"""Which names a service may be certified under: its own, and nobody else's. The one rule, pure in `require_own`.

1. A DNS name that is another registered service's own is refused to everyone, admins too. So is our own listener's.
2. A service that is registered with names gets those and its own label, whoever asks: `orders`, the DNS names on its
   list, hosts below an entry that begins with a dot, the addresses on its list.
3. What its own list does not cover and another service's does, a host below a domain or an address, is refused to
   everyone, admins too. Such a domain or address may be registered for several services, which then share it.
4. For any other name of a service without a list somebody has to answer: an operator who may issue for it
   (`credentials:issue`), whether at once, through a join token, or through the certificate that is being renewed. A
   service that asks for itself without one of these gets its own label and nothing more.

What a certificate is for follows from its SPIFFE ID, which is never asked for: it is made of the service's name.
"""

from __future__ import annotations

from ipaddress import IPv6Address
from typing import TYPE_CHECKING, Protocol, TypeAlias

from tradewarden.access.hosts import below, own_label
from tradewarden.access.principal import OWN_NAME
from tradewarden.errors import NameRefusedError, PermissionDeniedError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from ipaddress import IPv4Address

    from tradewarden.access.grant import Grant
    from tradewarden.pki.certificate.names import Names

_WHERE = "POST /services/names"


class Allotted(Protocol):
    """What a registration allots to its service at most; empty: nothing was said."""

    @property
    def incarnation(self) -> str:
        """What differs each time the name is registered."""
        ...

    @property
    def permissions(self) -> tuple[str, ...]:
        """The most that it may ever be granted."""
        ...

    @property
    def dns_names(self) -> tuple[str, ...]:
        """DNS names; one that begins with a dot stands for every host below."""
        ...

    @property
    def ip_addresses(self) -> tuple[str, ...]:
        """IP addresses, as `ipaddress` writes them."""
        ...


Standing: TypeAlias = "tuple[Allotted | None, Mapping[str, str], Mapping[str, str]]"
"""What is registered now: for the service, None when it is not; which service each DNS name belongs to alone; and for
the names that nobody owns, a service that is registered for a domain above the DNS name, or for the address."""


class NameRegister(Protocol):
    """The register of services, as far as names go (`tradewarden.identity.services.Services`)."""

    async def allotment(self, name: str, dns_names: Sequence[str], addresses: Sequence[str]) -> Standing:
        """Return how the register stands to these names, asked for by the service `name`."""
        ...


class NoRegister:
    """A register without services: every name has to be answered for."""

    async def allotment(self, name: str, dns_names: Sequence[str], addresses: Sequence[str]) -> Standing:
        """Return that nothing is registered, and nobody's."""
        del name, dns_names, addresses
        return None, {}, {}


class Allowance:
    """The rule, held against the register as it stands now."""

    def __init__(self, register: NameRegister, own_names: frozenset[str] = frozenset()) -> None:
        self._register = register
        self._own_names = own_names

    async def require(
        self, service: str, names: Names, *, vouched: bool, by: Grant | None = None, expected: str | None = None
    ) -> str:
        """Raise `NameRefusedError` as `require_own` does; return the registration's incarnation, empty without one.

        `by` is the grant of who asks: what is certified gives all that the service is registered for, so a grant that
        reaches less far is refused (`Grant.require_over`), be it the service's own. `expected`, of names that were
        answered for before, is the incarnation that the registration had then (empty: none stood); another is refused.
        """
        addresses = [_plain(each) for each in names.ips]
        for name in (*names.dns, *addresses):
            if name in self._own_names:
                raise NameRefusedError(f"{name!r} is this service's own and is not issued to others")
        standing = await self._register.allotment(service, names.dns, addresses)
        require_own(service, names, standing, vouched=vouched)
        allotted = standing[0]
        if by is not None and allotted is not None:
            by.require_over(service, allotted.permissions)
        incarnation = "" if allotted is None else allotted.incarnation
        if expected not in (None, incarnation):
            raise PermissionDeniedError(f"{service} is not registered as it was when this was allowed")
        return incarnation


def require_own(service: str, names: Names, standing: Standing, *, vouched: bool) -> None:
    """Raise `NameRefusedError` naming the first name that the service may not be certified under.

    `vouched` tells that somebody who may issue for the service answers for them.
    """
    allotted, owners, sharers = standing
    if service == OWN_NAME:
        raise NameRefusedError(f"service_name {OWN_NAME!r} is the service's own and is not issued to others")
    for name in names.dns:
        if name == OWN_NAME or owners.get(name, service) != service:
            whose = owners.get(name, OWN_NAME)
            raise NameRefusedError(f"DNS name {name!r} belongs to another service", reason=f"{name!r} is {whose}'s own")
    dns, addresses = (allotted.dns_names, allotted.ip_addresses) if allotted is not None else ((), ())
    own = own_label(service)
    beyond = [("DNS name", each) for each in names.dns if each not in own and not below(each, dns)]
    beyond += [("IP address", each) for each in map(_plain, names.ips) if each not in addresses]
    answered_for = vouched and not (dns or addresses)
    for what, name in beyond:
        sharer = sharers.get(name, service)
        if sharer != service:
            raise NameRefusedError(
                f"{what} {name!r} belongs to another service; register it for {service!r} too ({_WHERE})",
                reason=f"{name!r} is registered for {sharer}",
            )
        if not answered_for:
            raise NameRefusedError(
                f"{what} {name!r} is not one of service {service!r}'s own; an admin can add it ({_WHERE})"
            )


def _plain(address: IPv4Address | IPv6Address) -> str:
    """Return an address as the register has it: an IPv4 one mapped into IPv6 is the same one (RFC 4291 2.5.5.2)."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)
