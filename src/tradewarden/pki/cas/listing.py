"""What is asked of the CAs and shown of them: a list for people, warnings, the command to rotate."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from tradewarden.pki.cas.ending import minute, way_on
from tradewarden.pki.cas.rotating import What
from tradewarden.pki.cas.rotation import certifies_roots
from tradewarden.pki.certificate.issuer import BACKDATED_SECONDS
from tradewarden.pki.store import Role, Standing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tradewarden.pki.cas.authorities import Authorities, Ca
    from tradewarden.pki.cas.custody import Custody

_ROLES = (Role.ROOT, Role.ISSUING, Role.CROSS)
_STATES = (Standing.ACTIVE, Standing.NEXT, Standing.RETIRED, Standing.REVOKED)
_LATE = 5 / 6
"""From this part of its life on a CA is worth a warning: what renews it by itself at two thirds did not."""


class RotateCa(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Rotate the issuing CA or the root.

    `compromised`: all that it issued counts as revoked at once. `finish` (root): end the overlap of two roots.
    """

    what: What
    compromised: bool = False
    finish: bool = False


class CaShown(msgspec.Struct, frozen=True):
    """One CA certificate; times are seconds since the epoch, `key_here` whether its private key could be used now.

    `active_certificates` is how many of those that it issued to services are neither revoked nor at their end;
    `old_root_only` how many of these lead to no root but the one that the end of an overlap retires.
    """

    role: Role
    state: Standing
    subject: str
    fingerprint_sha256: str
    issuer_sha256: str
    not_before: int
    not_after: int
    key_here: bool
    key: str
    active_from: float | None
    ended_at: float | None
    active_certificates: int
    old_root_only: int


class Uses(NamedTuple):
    """How many certificates of each CA are active, and how many of these are older than the overlap of two roots."""

    active: Mapping[str, int]
    bound: Mapping[str, int]


def shown(known: Authorities, custody: Custody, uses: Uses) -> list[CaShown]:
    """Return all CAs but those prepared and never used; roots first, the active one first. May look at a token."""
    met = [ca for ca in known.all if ca.row.state is Standing.NEXT or ca.row.active_from]
    cas = sorted(met, key=lambda ca: (_ROLES.index(ca.row.role), _STATES.index(ca.row.state), -ca.starts))
    old = known.root.fingerprint if known.next_root is not None else ""
    return [_shown(ca, custody, uses, old) for ca in cas]


def _shown(ca: Ca, custody: Custody, uses: Uses, old_root: str) -> CaShown:
    row = ca.row
    counts = row.role is Role.ISSUING and row.state is not Standing.REVOKED
    return CaShown(
        row.role,
        row.state,
        ca.certificate.subject.rfc4514_string(),
        row.fingerprint,
        row.issuer,
        ca.starts,
        ca.ends,
        row.role is not Role.CROSS and custody.is_here(ca),
        row.key.removesuffix(".pem"),
        row.active_from or None,
        row.ended_at or None,
        uses.active.get(row.fingerprint, 0) if counts else 0,
        uses.bound.get(row.fingerprint, 0) if counts and row.issuer == old_root else 0,
    )


def warnings(known: Authorities, custody: Custody, now: float) -> tuple[str, ...]:
    """Return what an operator should do about CAs that near their end or have ended, in words."""
    found = (_of_root(known, custody, now), _of_issuing(known, custody, now), _of_brought(known, custody))
    return tuple(filter(None, found))


def _of_root(known: Authorities, custody: Custody, now: float) -> str:
    root = known.root
    if root.ends <= now:
        meaning = "" if known.next_root else ": no certificate is issued, and none below it is accepted any more"
        return f"ca: the root CA ended on {minute(root.ends)}{meaning}; {way_on(known)}"
    if known.next_root is None and now >= root.ageing:
        return f"ca: the root CA ends on {_day(root)}; {_roots_way_out(root, custody)}"
    return ""


def _roots_way_out(root: Ca, custody: Custody) -> str:
    if not certifies_roots(root):
        return (
            "its path length allows it to certify no other; from that day on 'tradewarden ca rotate root' puts a new"
            " one in its place, which every client has to be given"
        )
    if not custody.is_here(root):
        return f"bring {custody.missing(root)} back, then: tradewarden ca rotate root"
    return "rotate it: tradewarden ca rotate root"


def _of_issuing(known: Authorities, custody: Custody, now: float) -> str:
    issuing = known.issuing
    if known.trusted[-1].ends <= now:
        return ""  # `_of_root` says it
    if issuing.ends <= now:
        told = f"ended on {minute(issuing.ends)}: no certificate is issued, and none of its own is accepted any more"
    elif now < issuing.starts - BACKDATED_SECONDS:
        told = f"is not valid before {minute(issuing.starts)}, so nothing is issued"
    elif now >= issuing.starts + (issuing.ends - issuing.starts) * _LATE:
        told = f"ends on {_day(issuing)}"
    else:
        return ""
    return f"ca: the issuing CA {told}; {_way_out(known, custody)}"


def _way_out(known: Authorities, custody: Custody) -> str:
    newest = known.trusted[-1]
    if known.issuing.ends >= newest.ends:
        first = "; rotate that first: tradewarden ca rotate root" if certifies_roots(newest) else ""
        return f"its root ends with it{first}"
    if custody.is_here(newest):
        return "rotate it: tradewarden ca rotate issuing"
    return f"bring {custody.missing(newest)} back, then: tradewarden ca rotate issuing"


def _of_brought(known: Authorities, custody: Custody) -> str:
    if custody.brought is None or any(not root.row.key for root in known.trusted):
        return ""
    return f"ca: CA_CERT_PATH ({custody.brought}) names a CA that is no root here any more; unset it and CA_KEY_PATH"


def _day(ca: Ca) -> str:
    return f"{datetime.fromtimestamp(ca.ends, UTC):%Y-%m-%d}"
