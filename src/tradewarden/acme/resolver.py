"""Looks names up for validation: at the configured DNS server, or as this machine does."""

from __future__ import annotations

import asyncio
import socket
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING, Final, cast

from tradewarden.acme.problem import AcmeError, Kind

if TYPE_CHECKING:
    import dns.asyncresolver
    from dns.rdtypes.ANY.TXT import TXT

_SECONDS: Final = 5.0
_MAX_ALIASES: Final = 8
_MAX_ANSWERS: Final = 64


class Resolver:
    """A resolver; `server` is `(address, port)`, None for the machine's own way (`/etc/hosts`, `/etc/resolv.conf`)."""

    def __init__(self, server: tuple[str, int] | None) -> None:
        self._server = server
        self._made: dns.asyncresolver.Resolver | None = None

    async def addresses(self, name: str) -> list[IPv4Address | IPv6Address]:
        """Return the addresses of a name, IPv4 first; raises `AcmeError` (`dns`)."""
        if self._server is None:
            return await _machine_addresses(name)
        found: list[IPv4Address | IPv6Address] = []
        for kind in ("A", "AAAA"):
            found += [ip_address(text) for text in await self._texts(name, kind)]
        return found

    async def texts(self, name: str) -> list[bytes]:
        """Return the TXT values of a name, aliases followed (RFC 8555 section 8.4); raises `AcmeError` (`dns`)."""
        from dns.rdatatype import RdataType

        answer = await self._ask(name, RdataType.TXT)
        return [b"".join(cast("TXT", each).strings) for each in answer][:_MAX_ANSWERS]

    async def _texts(self, name: str, kind: str) -> list[str]:
        from dns.rdatatype import from_text

        return [each.to_text() for each in await self._ask(name, from_text(kind))][:_MAX_ANSWERS]

    async def _ask(self, name: str, kind: dns.rdatatype.RdataType) -> list[dns.rdata.Rdata]:
        """Return the records of a name; a server that only points on is asked again where it points."""
        import dns.exception
        import dns.resolver

        target = dns.name.from_text(name)
        for _ in range(_MAX_ALIASES):
            try:
                answer = await self._resolver().resolve(target, kind, raise_on_no_answer=False, lifetime=_SECONDS)
            except dns.resolver.NXDOMAIN:
                return []
            except dns.exception.DNSException as error:
                raise AcmeError(Kind.DNS, f"DNS does not answer for {name} ({type(error).__name__})") from error
            if answer.rrset is not None:
                return list(answer.rrset)
            if answer.canonical_name == target:
                return []
            target = answer.canonical_name
        raise AcmeError(Kind.DNS, f"{name} is an alias of an alias too often")

    def _resolver(self) -> dns.asyncresolver.Resolver:
        if self._made is None:
            from dns.asyncresolver import Resolver as Made

            self._made = Made(configure=self._server is None)
            if self._server is not None:
                self._made.nameservers, self._made.port = [self._server[0]], self._server[1]
            self._made.cache = None
        return self._made


async def _machine_addresses(name: str) -> list[IPv4Address | IPv6Address]:
    try:
        async with asyncio.timeout(_SECONDS):
            found = await asyncio.get_running_loop().getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except (OSError, TimeoutError, UnicodeError) as error:
        raise AcmeError(Kind.DNS, f"{name} cannot be resolved") from error
    addresses = dict.fromkeys(str(info[4][0]) for info in found)
    return sorted(map(ip_address, addresses), key=lambda each: each.version)
