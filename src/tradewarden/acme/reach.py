"""How validation reaches the hosts that it looks at, and which addresses it never connects to.

An internal authority must reach internal addresses. What it never reaches: our own listeners (from there a request
would come from the service itself), and outside development loopback, link-local addresses and the places where clouds
hand out credentials, nor any of these by an IPv6 address that stands for it. An address is checked after the name was
resolved and that very address is connected to, so a name that changes its answer in between gains nothing.
"""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING, Final

import httpcore
import msgspec

from tradewarden.acme.embedded import embedded
from tradewarden.acme.problem import AcmeError, Kind

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tradewarden.acme.resolver import Resolver

    SocketOption = tuple[int, int, int] | tuple[int, int, bytes | bytearray] | tuple[int, int, None, int]

_METADATA: Final = tuple(
    map(
        ip_network,
        (
            "100.100.100.200",  # Alibaba Cloud
            "168.63.129.16",  # Azure
            "169.254.169.254",  # AWS, Azure, Google Cloud and others; this and the next two are link-local as well
            "169.254.170.2",  # AWS, to containers (ECS)
            "169.254.170.23",  # AWS, to pods (EKS Pod Identity)
            "192.0.0.192",  # Oracle Cloud
            "fd00:42::42",  # Scaleway
            "fd00:100::100:200",  # Alibaba Cloud
            "fd00:a9fe:a9fe::1",  # Akamai (Linode)
            "fd00:c1::a9fe:a9fe",  # Oracle Cloud
            "fd00:ec2::/32",  # AWS: instances ask at ::254, pods at ::23
            "fd20:ce::/64",  # Google Cloud, at ::254
        ),
    )
)
_CONNECT_SECONDS: Final = 5.0


class Rules(msgspec.Struct, frozen=True):
    """What may be reached: `listeners` are our own ports, `near` allows this machine and its links (development)."""

    listeners: tuple[int, ...]
    near: bool


class Reach(httpcore.AsyncNetworkBackend):
    """Opens connections for validation, by name or address."""

    def __init__(self, resolver: Resolver, rules: Rules) -> None:
        self._resolver = resolver
        self._rules = rules
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  (httpcore's interface)
        local_address: str | None = None,
        socket_options: Iterable[SocketOption] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the first address that answers, of those that may be reached; raises `AcmeError`."""
        del timeout, local_address
        failure = f"{host} has no address"
        for address in await self._addresses(host):
            if not self._may(address, port):
                failure = f"{host} is at an address that is not looked at"
                continue
            try:
                return await self._inner.connect_tcp(str(address), port, _CONNECT_SECONDS, None, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = f"{host} port {port} does not answer ({type(error).__name__})"
        raise AcmeError(Kind.CONNECTION, failure)

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ASYNC109  (httpcore's interface)
        socket_options: Iterable[SocketOption] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Refuse: nothing that is validated lives in our file system."""
        del path, timeout, socket_options
        raise AcmeError(Kind.CONNECTION, "Only TCP is spoken")

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await self._inner.sleep(seconds)

    async def _addresses(self, host: str) -> list[IPv4Address | IPv6Address]:
        try:
            return [ip_address(host)]
        except ValueError:
            return await self._resolver.addresses(host)

    def _may(self, address: IPv4Address | IPv6Address, port: int) -> bool:
        """Tell whether an address and every one that it stands for may be reached."""
        inside = embedded(address) if isinstance(address, IPv6Address) else ()
        return all(self._may_itself(each, port) for each in (address, *inside))

    def _may_itself(self, address: IPv4Address | IPv6Address, port: int) -> bool:
        if address.is_unspecified or address.is_multicast or any(address in network for network in _METADATA):
            return False
        if not self._rules.near and (address.is_loopback or address.is_link_local):
            return False
        return port not in self._rules.listeners or not _is_ours(address)


def _is_ours(address: IPv4Address | IPv6Address) -> bool:
    """Tell whether an address is one of this machine's: only then a socket can be bound to it."""
    family = socket.AF_INET if isinstance(address, IPv4Address) else socket.AF_INET6
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        try:
            probe.bind((str(address), 0))
        except OSError:
            return False
    return True
