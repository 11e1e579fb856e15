"""Names and addresses of hosts, as certificates carry them. Checked here; refused, never repaired. Pure.

DNS names are in the preferred syntax that RFC 5280 section 4.2.1.6 asks for (letters, digits, hyphens; RFC 1034
section 3.5, RFC 1123 section 2.1), without wildcards.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, ip_address

from tradewarden.errors import InvalidInputError

_MAX_DNS = 253
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_DNS = re.compile(rf"{_LABEL}(?:\.{_LABEL})*", re.ASCII)
_NUMBER = re.compile(r"(?:[0-9]+|0x[0-9a-f]*)", re.ASCII)


def own_label(service: str) -> tuple[str, ...]:
    """Return the DNS name that a service's own name is; none when it is no such label (`trading_bot`)."""
    return (service,) if _DNS.fullmatch(service) and not _NUMBER.fullmatch(service) else ()


def dns_name(text: str) -> str:
    """Return `text` when it is a DNS name in lower case without wildcard; raises `InvalidInputError`."""
    if "*" in text:
        raise InvalidInputError(f"DNS name {text[:80]!r} is a wildcard; name every host")
    if len(text) > _MAX_DNS or not _DNS.fullmatch(text):
        raise InvalidInputError(
            f"DNS name {text[:80]!r} is not understood; write labels of a-z, 0-9 and '-' joined by dots"
        )
    if _NUMBER.fullmatch(text.rpartition(".")[2]):
        raise InvalidInputError(f"DNS name {text[:80]!r} reads as an IP address; ask for it in ip_addresses")
    return text


def dns_pattern(text: str) -> str:
    """Return `text` when it is a DNS name, or a dot and the DNS name that hosts are below; `InvalidInputError`."""
    return f".{dns_name(text[1:])}" if text.startswith(".") else dns_name(text)


def below(name: str, patterns: tuple[str, ...]) -> bool:
    """Tell whether a DNS name is one of the patterns, or a host below one that begins with a dot."""
    return name in patterns or any(name.endswith(each) for each in patterns if each.startswith("."))


def ip(text: str) -> IPv4Address | IPv6Address:
    """Return the address of one host; raises `InvalidInputError`."""
    try:
        address = ip_address(text)
    except ValueError:
        address = None
    scoped = isinstance(address, IPv6Address) and address.scope_id is not None
    if address is None or scoped or address.is_unspecified or address.is_multicast:
        raise InvalidInputError(f"IP address {text[:80]!r} is not the address of one host")
    return address
