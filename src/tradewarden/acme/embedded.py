"""Which IPv4 addresses an IPv6 address can stand for. Pure.

A translator or a tunnel on the way turns such an address into the IPv4 one inside, so that one is what is reached.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network
from typing import Final

_LAST: Final = (12, 13, 14, 15)
_BYTES: Final = (
    (IPv6Network("::/96"), _LAST),  # IPv4-compatible, RFC 4291 section 2.5.5.1
    (IPv6Network("::ffff:0:0/96"), _LAST),  # IPv4-mapped, RFC 4291 section 2.5.5.2
    (IPv6Network("::ffff:0:0:0/96"), _LAST),  # IPv4-translated, RFC 2765 section 2.1
    (IPv6Network("64:ff9b::/96"), _LAST),  # NAT64, RFC 6052 section 2.1
    (IPv6Network("2002::/16"), (2, 3, 4, 5)),  # 6to4, RFC 3056 section 2
    (IPv6Network("2001::/32"), (4, 5, 6, 7)),  # a Teredo server, RFC 4380 section 4
)
"""In which networks which of an address's 16 bytes are those of an IPv4 address."""
_LOCAL_NAT64: Final = IPv6Network("64:ff9b:1::/48")  # RFC 8215
_LOCAL_BYTES: Final = ((6, 7, 9, 10), (7, 9, 10, 11), (9, 10, 11, 12), _LAST)
"""There every network chooses the length of its prefix (48, 56, 64, 96: RFC 6052 section 2.2), so each counts."""
_ISATAP: Final = (b"\x00\x00\x5e\xfe", b"\x02\x00\x5e\xfe")  # RFC 5214 section 6.1, under any prefix


def embedded(address: IPv6Address) -> tuple[IPv4Address, ...]:
    """Return every IPv4 address that this one can stand for; most stand for none."""
    packed = address.packed
    found = [_read(packed, places) for network, places in _BYTES if address in network]
    if address in _LOCAL_NAT64:
        found += filter(int, (_read(packed, places) for places in _LOCAL_BYTES))  # 0.0.0.0 is the padding of another
    if address.teredo is not None:
        found.append(address.teredo[1])
    if packed[8:12] in _ISATAP:
        found.append(_read(packed, _LAST))
    return tuple(found)


def _read(packed: bytes, places: tuple[int, ...]) -> IPv4Address:
    return IPv4Address(bytes(packed[place] for place in places))
