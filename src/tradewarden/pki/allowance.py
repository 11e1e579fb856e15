"""Which names a service may be certified under: its own, and nobody else's. The one rule, pure in `require_own`.

1. A DNS name that is another registered service's own is refused to everyone, admins too. So is our own listener's.
2. A service that is registered with names gets those and its own label, whoever asks: `orders`, the DNS names on its
   list, hosts below an entry that begins with a dot, the addresses on its list.
3. For any other service somebody has to answer for the names: an operator who may issue for it (`credentials:issue`),
   whether at once, through a join token, or through the certificate that is being renewed. A service that asks for
   itself without one of these gets its own label and nothing more.

What a certificate is for follows from its SPIFFE ID, which is never asked for: it is made of the service's name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from tradewarden.access.hosts import below, own_label
from tradewarden.access.principal import OWN_NAME
from tradewarden.errors import NameRefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tradewarden.pki.certificate.names import Names


class Allotted(Protocol):
    """What a registration allots to its service at most; empty: nothing was said."""

    @property
    def incarnation(self) -> str:
        """What differs each time the name is registered."""
        ...

    @property
    def dns_names(self) -> tuple[str, ...]:
        """DNS names; one that begins with a dot stands for every host below."""
        ...

    @property
    def ip_addresses(self) -> tuple[str, ...]:
        """IP addresses, as `ipaddress` writes them."""
        ...


class NameRegister(Protocol):
    """The register of services, as far as names go (`tradewarden.identity.services.Services`)."""

    async def allotment(self, name: str, dns_names: Sequence[str]) -> tuple[Allotted | None, Mapping[str, str]]:
        """Return the registration that stands now, and which service each of the DNS names belongs to.

        None when `name` is not registered; a DNS name that belongs to nobody is left out.
        """
        ...


class NoRegister:
    """A register without services: every name has to be answered for."""

    async def allotment(self, name: str, dns_names: Sequence[str]) -> tuple[None, Mapping[str, str]]:
        """Return that nothing is registered, and nobody's."""
        del name, dns_names
        return None, {}


class Allowance:
    """The rule, held against the register as it stands now."""

    def __init__(self, register: NameRegister) -> None:
        self._register = register

    async def require(self, service: str, names: Names, *, vouched: bool) -> str:
        """Raise `NameRefusedError` as `require_own` does; return the registration's incarnation, empty without one."""
        allotted, owners = await self._register.allotment(service, names.dns)
        require_own(service, names, allotted, owners, vouched=vouched)
        return "" if allotted is None else allotted.incarnation


def require_own(
    service: str, names: Names, allotted: Allotted | None, owners: Mapping[str, str], *, vouched: bool
) -> None:
    """Raise `NameRefusedError` naming the first name that the service may not be certified under.

    `owners` are the registered services that own one of the DNS names; `vouched` tells that somebody who may issue for
    the service answers for them.
    """
    if service == OWN_NAME:
        raise NameRefusedError(f"service_name {OWN_NAME!r} is the service's own and is not issued to others")
    for name in names.dns:
        if name == OWN_NAME or owners.get(name, service) != service:
            whose = owners.get(name, OWN_NAME)
            raise NameRefusedError(f"DNS name {name!r} belongs to another service", reason=f"{name!r} is {whose}'s own")
    listed = allotted if allotted is not None and (allotted.dns_names or allotted.ip_addresses) else None
    if listed is None and vouched:
        return
    dns, addresses = (listed.dns_names, listed.ip_addresses) if listed is not None else ((), ())
    own = own_label(service)
    for name in names.dns:
        if name not in own and not below(name, dns):
            raise NameRefusedError(_beyond("DNS name", name, service))
    for address in map(str, names.ips):
        if address not in addresses:
            raise NameRefusedError(_beyond("IP address", address, service))


def _beyond(what: str, name: str, service: str) -> str:
    return f"{what} {name!r} is not one of service {service!r}'s own; an admin can add it (POST /services/names)"
