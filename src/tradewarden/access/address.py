"""Where a call may come from, and whose word about it counts. Pure.

Forwarded headers count only when the raw peer is a listed proxy; the client is then the right-most address that is not
a listed proxy itself (RFC 7239 section 7.1: everything further left can be forged).
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import TYPE_CHECKING

from tradewarden.errors import PermissionDeniedError

if TYPE_CHECKING:
    from collections.abc import Sequence

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@lru_cache(maxsize=4096)
def parse(address: str) -> Address | None:
    """Return the address, an IPv4 one mapped into IPv6 as itself; None when it is none."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return None
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return mapped or parsed


def listed(address: str, networks: Sequence[Network]) -> bool:
    """Tell whether the address is in one of the networks."""
    parsed = parse(address)
    return parsed is not None and any(parsed in network for network in networks)


def is_loopback(address: str) -> bool:
    """Tell whether the address is this very machine."""
    parsed = parse(address)
    return parsed is not None and parsed.is_loopback


def client_address(peer: str, forwarded_for: str, proxies: Sequence[Network]) -> str:
    """Return the address a call came from: the raw peer, or what listed proxies say of it."""
    if not forwarded_for or not proxies or not listed(peer, proxies):
        return peer
    for hop in reversed([part.strip() for part in forwarded_for.split(",")]):
        if parse(hop) is None:
            return peer
        if not listed(hop, proxies):
            return hop
    return peer


def require_listed(address: str, allowed: Sequence[Network]) -> None:
    """Raise `PermissionDeniedError` when there is a list and the address is not on it."""
    if allowed and not listed(address, allowed):
        raise PermissionDeniedError("the address is not listed (TRADEWARDEN_ALLOWED_IPS or _TRUSTED_PROXIES)")
