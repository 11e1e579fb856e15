"""What may be asked for: DNS names and IP addresses, and which of them an account's service may have.

Two rules hold, both. The external account key of the account lists names: `.example.internal` is every host below,
`web.internal` that one name; the service's own name needs no listing, and a key that lists nothing narrows nothing. And
the authority's own rule (`RegistrationAuthority.require_orderable`) has the last word: a service only ever gets what is
its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tradewarden.access.hosts import below, dns_name, dns_pattern, ip, own_label
from tradewarden.acme.commands import MAX_IDENTIFIERS
from tradewarden.acme.problem import PREFIX, AcmeError, Identifier, Kind, Subproblem
from tradewarden.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Sequence

_SHOWN = 253


def supported(asked: Sequence[Identifier]) -> tuple[Identifier, ...]:
    """Return the identifiers of an order, each once and as it is written; `AcmeError` names all bad ones."""
    if not 1 <= len(asked) <= MAX_IDENTIFIERS:
        raise AcmeError(Kind.MALFORMED, f"An order has 1 to {MAX_IDENTIFIERS} identifiers")
    found: dict[Identifier, None] = {}
    refused: list[Subproblem] = []
    for each in asked:
        try:
            found[_written(each)] = None
        except AcmeError as error:
            refused.append(subproblem(error, each))
    require_none(refused)
    return tuple(found)


def require_listed(identifier: Identifier, service: str, dns_names: tuple[str, ...], addresses: Sequence[str]) -> None:
    """Raise `AcmeError` when an external account key lists names, and not this one."""
    value = identifier.value
    if not dns_names and not addresses:
        return
    listed = value in addresses if identifier.type == "ip" else value in own_label(service) or below(value, dns_names)
    if not listed:
        text = f"{value!r} is not among the names of this account's external account key"
        raise AcmeError(Kind.REJECTED_IDENTIFIER, text)


def listable(dns_names: Sequence[str], addresses: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return what an external account key lists, checked; raises `InvalidInputError`."""
    if len(dns_names) > MAX_IDENTIFIERS or len(addresses) > MAX_IDENTIFIERS:
        raise InvalidInputError(f"At most {MAX_IDENTIFIERS} dns_names and {MAX_IDENTIFIERS} ip_addresses can be listed")
    return tuple(dict.fromkeys(map(dns_pattern, dns_names))), tuple(dict.fromkeys(str(ip(each)) for each in addresses))


def parts(identifiers: Sequence[Identifier]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return DNS names and addresses apart."""
    dns = tuple(each.value for each in identifiers if each.type == "dns")
    return dns, tuple(each.value for each in identifiers if each.type == "ip")


def subproblem(error: AcmeError, identifier: Identifier) -> Subproblem:
    """Return an error as what is wrong with one identifier."""
    shown = Identifier(identifier.type[:20], identifier.value[:_SHOWN])
    return Subproblem(PREFIX + error.kind, error.detail, shown)


def require_none(refused: Sequence[Subproblem]) -> None:
    """Raise one problem for several identifiers, each with a subproblem of its own (RFC 8555 section 6.7.1)."""
    if not refused:
        return
    kinds = {each.type for each in refused}
    kind = Kind(kinds.pop().removeprefix(PREFIX)) if len(kinds) == 1 else Kind.REJECTED_IDENTIFIER
    raise AcmeError(kind, refused[0].detail, subproblems=refused)


def _written(identifier: Identifier) -> Identifier:
    """Return an identifier in the one way in which it is written; raises `AcmeError`."""
    kind, value = identifier.type, identifier.value
    if kind == "dns" and "*" in value:
        text = f"{value[:80]!r} is a wildcard, and none is issued here; name every host"
        raise AcmeError(Kind.REJECTED_IDENTIFIER, text)
    if kind not in ("dns", "ip"):
        raise AcmeError(Kind.UNSUPPORTED_IDENTIFIER, f"Identifiers are of type dns or ip, not {kind[:20]!r}")
    try:
        return Identifier(kind, dns_name(value.lower()) if kind == "dns" else str(ip(value)))
    except InvalidInputError as error:
        raise AcmeError(Kind.MALFORMED, error.detail) from error
