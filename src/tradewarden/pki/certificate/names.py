"""The names a certificate carries: SPIFFE ID, DNS names, IP addresses. Checked here; refused, never repaired.

A service whose name is no DNS label (`trading_bot`) is known by its SPIFFE ID and by the DNS names that are asked for
(`access.hosts` says what a DNS name is). Which of them it may have is another question: `pki.allowance`.
"""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING

import msgspec
from cryptography import x509

from tradewarden.access.hosts import dns_name, ip, own_label
from tradewarden.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_NAMES = 32
"""Most DNS names, and most IP addresses, of one certificate."""
_REMEMBERED = 256
"""So many services' names are checked and built once; a certificate is asked for again and again."""
_TRUST_DOMAIN = re.compile(r"[a-z0-9][a-z0-9._-]{0,254}", re.ASCII)


class Names(msgspec.Struct, frozen=True):
    """Everything that a certificate says its holder is called, in the order in which it stands there."""

    spiffe_id: str
    dns: tuple[str, ...] = ()
    ips: tuple[IPv4Address | IPv6Address, ...] = ()

    def general(self) -> tuple[x509.GeneralName, ...]:
        """Return the names as subject alternative names (RFC 5280 section 4.2.1.6)."""
        return _general(self)


@lru_cache(maxsize=_REMEMBERED)
def _general(names: Names) -> tuple[x509.GeneralName, ...]:
    return (
        x509.UniformResourceIdentifier(names.spiffe_id),
        *map(x509.DNSName, names.dns),
        *map(x509.IPAddress, names.ips),
    )


def names_of(trust_domain: str, service: str, dns_names: Sequence[str], ip_addresses: Sequence[str]) -> Names:
    """Return the checked names of a service: its SPIFFE ID, its own name and what is asked for.

    Raises `InvalidInputError` naming the first name that is refused.
    """
    if len(dns_names) > MAX_NAMES or len(ip_addresses) > MAX_NAMES:
        raise InvalidInputError(f"At most {MAX_NAMES} dns_names and {MAX_NAMES} ip_addresses can be asked for")
    return _names(trust_domain, service, tuple(dns_names), tuple(ip_addresses))


@lru_cache(maxsize=_REMEMBERED)
def _names(trust_domain: str, service: str, dns_names: tuple[str, ...], ip_addresses: tuple[str, ...]) -> Names:
    dns = dict.fromkeys((*own_label(service), *map(dns_name, dns_names)))
    return Names(
        f"spiffe://{trust_domain}/{service}",
        tuple(dns),
        tuple(dict.fromkeys(map(ip, ip_addresses))),
    )


def trust_domain(text: str) -> str:
    """Return `text` when it may name a SPIFFE trust domain (SPIFFE ID section 2.1); raises `InvalidInputError`."""
    if not _TRUST_DOMAIN.fullmatch(text):
        raise InvalidInputError(
            f"Trust domain {text[:80]!r} is not understood; write a-z, 0-9, '.', '_' and '-', at most 255"
        )
    return text
