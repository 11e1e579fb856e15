"""Where a call may come from, and whose word about it counts. Pure.

Forwarded headers count only when the raw peer is a listed proxy; the client is then the right-most address that is not
a listed proxy itself (RFC 7239 section 7.1: everything further left can be forged).
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from tradewarden.errors import PermissionDeniedError
from tradewarden.ip import parse

if TYPE_CHECKING:
    from collections.abc import Sequence

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def listed(address: str, networks: Sequence[Network]) -> bool:
    """Tell whether the address is in one of the networks."""
    parsed = parse(address)
    return parsed is not None and any(parsed in network for network in networks)


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
