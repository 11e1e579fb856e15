"""IP addresses given as text, the host of a web address, and which hosts are this very machine. Pure."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import SplitResult, urlsplit

Address = IPv4Address | IPv6Address


@lru_cache(maxsize=4096)
def parse(address: str) -> Address | None:
    """Return the address, an IPv4 one mapped into IPv6 as itself; None when it is none."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return None
    mapped = parsed.ipv4_mapped if isinstance(parsed, IPv6Address) else None
    return mapped or parsed


def is_loopback(address: str) -> bool:
    """Tell whether an address is this very machine; no name is."""
    parsed = parse(address)
    return parsed is not None and parsed.is_loopback


def is_this_machine(host: str) -> bool:
    """Tell whether a host, an address or a name, can only mean this very machine."""
    return host == "localhost" or is_loopback(host)


def web_address(url: str) -> SplitResult:
    """Return the parts of an http or https address with a host that can be called; raises `ValueError`.

    A port is a number, a name has labels of 1 to 63 characters and can be written in ASCII (RFC 5890 section 2.3.2).
    """
    parts = urlsplit(url)
    host, _ = parts.hostname or "", parts.port
    if parts.scheme not in ("http", "https") or not host or not url.isprintable() or " " in url:
        raise ValueError("no http or https address")
    if "[" in parts.netloc:
        ip_address(host)
    else:
        host.encode("idna").decode("idna")
    return parts
