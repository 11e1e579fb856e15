"""Names and addresses of hosts, as certificates carry them. Checked here; refused, never repaired. Pure.

DNS names are in the preferred syntax that RFC 5280 section 4.2.1.6 asks for (letters, digits, hyphens; RFC 1034
section 3.5, RFC 1123 section 2.1), without wildcards. A label that begins with `xn--` stands for a word in another
script (RFC 5890 section 2.3.2.1) and has to be one: nobody could tell what a made-up one is shown as. Every other label
with hyphens in its third and fourth place is reserved (section 2.3.1): nobody could tell what it will stand for.
"""

from __future__ import annotations

import re
import unicodedata
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Annotated

import msgspec

from tradewarden.errors import InvalidInputError

_MAX_DNS = 253
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_DNS = re.compile(rf"{_LABEL}(?:\.{_LABEL})*", re.ASCII)
_PREFIX = "xn--"
_HYPHENS = "--"
_RESERVED = slice(2, 4)
"""Where a label that stands for something else has its hyphens (RFC 5890 section 2.3.1)."""
_WORDS = frozenset({"Ll", "Lo", "Lm", "Mn", "Mc", "Nd"})
"""Letters without capitals, marks, digits: general categories that labels are made of (RFC 5892 section 2.1)."""
_BETWEEN = frozenset("-\u00b7\u0375\u05f3\u05f4\u30fb\u200c\u200d\u06fd\u06fe\u0f0b\u3007")
"""What stands in labels besides these (RFC 5892 section 2.6, appendix A)."""
_NUMBER = re.compile(r"(?:[0-9]+|0x[0-9a-f]*)", re.ASCII)

_NO_NAME = rf"(?!(?:.*\.)?(?:{_NUMBER.pattern}$|(?!xn)[^.]{{2}}--))"
"""What `dns_name` refuses of the texts that are spelt like names: what reads as an address, and reserved labels."""
_IN_WORDS = {"maxLength": _MAX_DNS, "pattern": rf"^{_NO_NAME}{_DNS.pattern}$"}
_BELOW_TOO = {"pattern": rf"^\.?(?=.{{1,{_MAX_DNS}}}$){_NO_NAME}{_DNS.pattern}$"}
DnsName = Annotated[str, msgspec.Meta(extra_json_schema=_IN_WORDS)]
"""What `dns_name` takes, for the document of the interface; not every label in another script is one."""
DnsPattern = Annotated[str, msgspec.Meta(extra_json_schema=_BELOW_TOO)]
"""What `dns_pattern` takes, likewise."""
_NO_HOST = r"^[0:.]+$|^(?:22[4-9]|23[0-9])\.|^[fF]{2}[0-9a-fA-F]{2}:|^[0:]*:[fF]{4}:(?:[^:]+:[^:]+|[^:]*\.[^:]*)$"
"""Unspecified, multicast (IPv4, IPv6), and IPv4 mapped into IPv6."""
_OF_A_HOST = {"anyOf": [{"format": "ipv4"}, {"format": "ipv6"}], "not": {"pattern": _NO_HOST}}
IpAddress = Annotated[str, msgspec.Meta(extra_json_schema=_OF_A_HOST)]
"""What `ip` takes, for the document of the interface."""


def own_label(service: str) -> tuple[str, ...]:
    """Return the DNS name that a service's own name is; none when it is no such label (`trading_bot`)."""
    spelt = _DNS.fullmatch(service) and not _NUMBER.fullmatch(service)
    return (service,) if spelt and not _reserved(service) else ()


def dns_name(text: str) -> str:
    """Return `text` when it is a DNS name in lower case without wildcard; raises `InvalidInputError`."""
    if "*" in text:
        raise InvalidInputError(f"DNS name {text[:80]!r} is a wildcard, and none is issued here; name every host")
    if len(text) > _MAX_DNS or not _DNS.fullmatch(text):
        raise InvalidInputError(
            f"DNS name {text[:80]!r} is not understood; write labels of a-z, 0-9 and '-' joined by dots, other scripts"
            " as 'xn--…'"
        )
    if _NUMBER.fullmatch(text.rpartition(".")[2]):
        raise InvalidInputError(f"DNS name {text[:80]!r} reads as an IP address; ask for it in ip_addresses")
    if label := _reserved(text):
        raise InvalidInputError(f"DNS name {text[:80]!r} is not understood: {label!r} {_wrong(label)}")
    return text


def _reserved(name: str) -> str:
    """Return the first label of a DNS name that is reserved and no A-label; empty when there is none."""
    if _HYPHENS not in name:
        return ""
    return next((each for each in name.split(".") if each[_RESERVED] == _HYPHENS and not _is_a_label(each)), "")


def _wrong(label: str) -> str:
    """Return what is wrong with a reserved label that is no A-label."""
    if label.startswith(_PREFIX):
        return "begins with 'xn--' and is no internationalized label (RFC 5890)"
    return "has '--' in its third and fourth place, as only 'xn--…' may (RFC 5890 section 2.3.1)"


def _is_a_label(label: str) -> bool:
    """Tell whether a label stands for a word that a registry could take (RFC 5891 section 4.2), written the one way.

    The rules for a single script alone are not held here: those of RFC 5892 appendix A (what may stand beside a
    joiner) and of RFC 5893 (right to left).
    """
    if not label.startswith(_PREFIX):
        return False
    encoded = label.removeprefix(_PREFIX)
    try:
        word = encoded.encode("ascii").decode("punycode")
        again = word.encode("punycode").decode("ascii")
    except ValueError:
        return False
    hyphens = word.startswith("-") or word.endswith("-") or word[_RESERVED] == _HYPHENS
    return (
        again == encoded
        and not hyphens
        and unicodedata.normalize("NFKC", word) == word
        and unicodedata.category(word[0])[0] != "M"
        and all(each in _BETWEEN or unicodedata.category(each) in _WORDS for each in word)
    )


def dns_pattern(text: str) -> str:
    """Return `text` when it is a DNS name, or a dot and the DNS name that hosts are below; `InvalidInputError`."""
    return f".{dns_name(text[1:])}" if text.startswith(".") else dns_name(text)


def below(name: str, patterns: tuple[str, ...]) -> bool:
    """Tell whether a DNS name is one of the patterns, or a host below one that begins with a dot."""
    return name in patterns or any(name.endswith(each) for each in patterns if each.startswith("."))


def domains(name: str) -> tuple[str, ...]:
    """Return every pattern that a DNS name is a host below: `.b.c` and `.c` for `a.b.c`."""
    labels = name.split(".")
    return tuple("." + ".".join(labels[first:]) for first in range(1, len(labels)))


def ip(text: str) -> IPv4Address | IPv6Address:
    """Return the address of one host, an IPv4 one never mapped into IPv6; raises `InvalidInputError`."""
    try:
        address = ip_address(text)
    except ValueError:
        address = None
    scoped = isinstance(address, IPv6Address) and address.scope_id is not None
    if address is None or scoped or address.is_unspecified or address.is_multicast:
        raise InvalidInputError(f"IP address {text[:80]!r} is not the address of one host")
    if isinstance(address, IPv6Address) and (mapped := address.ipv4_mapped) is not None:
        raise InvalidInputError(f"IP address {text[:80]!r} is an IPv4 one; write {str(mapped)!r}")
    return address
