"""What is asked of the CAs and shown of them: a list for people, warnings, the command to rotate."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from tradewarden.pki.cas.rotating import What
from tradewarden.pki.certificate.issuer import BACKDATED_SECONDS
from tradewarden.pki.store import Role, Standing

if TYPE_CHECKING:
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
    """One CA certificate; times are seconds since the epoch, `key_here` whether its private key could be used now."""

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


def shown(known: Authorities, custody: Custody) -> list[CaShown]:
    """Return all CAs but those prepared and never used; roots first, the active one first. May look at a token."""
    met = [ca for ca in known.all if ca.row.state is not Standing.RETIRED or ca.row.active_from]
    cas = sorted(met, key=lambda ca: (_ROLES.index(ca.row.role), _STATES.index(ca.row.state), -ca.starts))
    return [_shown(ca, custody) for ca in cas]


def _shown(ca: Ca, custody: Custody) -> CaShown:
    row = ca.row
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
    )


def warnings(known: Authorities, custody: Custody, now: float) -> tuple[str, ...]:
    """Return what an operator should do about CAs that near their end, in words."""
    found = []
    if known.next_root is None and now >= known.root.ageing:
        found.append(f"ca: the root CA ends on {_day(known.root)}; rotate it: tradewarden ca rotate root")
    if now < known.issuing.starts - BACKDATED_SECONDS:
        told = f"ca: the issuing CA is not valid before {minute(known.issuing.starts)}, so nothing is issued"
        found.append(f"{told}; {_way_out(known, custody)}")
    if now >= known.issuing.starts + (known.issuing.ends - known.issuing.starts) * _LATE:
        found.append(f"ca: the issuing CA ends on {_day(known.issuing)}; {_way_out(known, custody)}")
    return tuple(found)


def _way_out(known: Authorities, custody: Custody) -> str:
    if known.issuing.ends >= known.trusted[-1].ends:
        return "its root ends with it; rotate that first: tradewarden ca rotate root"
    if custody.is_here(known.trusted[-1]):
        return "rotate it: tradewarden ca rotate issuing"
    return f"bring {custody.missing(known.trusted[-1])} back, then: tradewarden ca rotate issuing"


def minute(seconds: float) -> str:
    """Write a time for people, to the minute and in UTC."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%MZ}"


def _day(ca: Ca) -> str:
    return f"{datetime.fromtimestamp(ca.ends, UTC):%Y-%m-%d}"
