"""Reading and revoking in the inventory, as pure functions over rows."""

from __future__ import annotations

import re
from hashlib import sha256
from typing import TYPE_CHECKING

from msgspec.structs import replace

from tradewarden.errors import InvalidInputError, NotFoundError
from tradewarden.pki.certificate.pem import certificate_pem
from tradewarden.pki.credentials import InventoryItem, Reason, State
from tradewarden.pki.limits import CURSOR, MAX_SERIAL_TEXT
from tradewarden.pki.store import CertificateQuery, CertificateRow, Revocation

if TYPE_CHECKING:
    from tradewarden.access.grant import Grant
    from tradewarden.audit.entry import Entry
    from tradewarden.crypto.keyset import Sealer

MAX_PAGE = 1000
_SERIAL = re.compile(r"[0-9a-f]{1,40}", re.ASCII)


def serial_text(number: int) -> str:
    """Write a serial number as it stands everywhere: 40 hex digits in lower case."""
    return f"{number:040x}"


def serial_of(text: str) -> str:
    """Read a serial number as people copy it (any case, colons, as OpenSSL prints it); `InvalidInputError`."""
    digits = text.replace(":", "").lower() if len(text) <= MAX_SERIAL_TEXT else ""
    if not _SERIAL.fullmatch(digits):
        raise InvalidInputError("serial_number must be 1 to 40 hex digits, with or without colons")
    return digits.zfill(40)


def item(row: CertificateRow, now: float, *, pem: bool = False) -> InventoryItem:
    """Return what the inventory shows of a row."""
    return InventoryItem(
        serial_number=row.serial,
        service_name=row.service_name,
        profile=row.profile,
        state=state(row, now),
        spiffe_id=row.spiffe_id,
        fingerprint_sha256=row.fingerprint,
        issued_at=row.issued_at,
        expires_at=float(row.not_after),
        issued_by=row.issued_by,
        issuer_sha256=row.issuer,
        revoked_at=row.revoked_at if row.revocation else None,
        reason=Reason(row.reason) if row.revocation else None,
        certificate=certificate_pem(row.certificate) if pem else "",
    )


def state(row: CertificateRow, now: float) -> State:
    """Return what a certificate is worth now: revoked stays revoked, expired or not."""
    if row.revocation:
        return State.REVOKED
    return State.ACTIVE if row.not_after > now else State.EXPIRED


def query(wanted: State | None, expiring_before: float | None, after: str, limit: int, now: float) -> CertificateQuery:
    """Return the query of a listing over all services; `InvalidInputError` for a cursor or limit not understood."""
    if not 1 <= limit <= MAX_PAGE:
        raise InvalidInputError(f"limit must be from 1 to {MAX_PAGE}")
    ends = [1 << 62 if expiring_before is None else int(expiring_before)]
    if wanted is State.EXPIRED:
        ends.append(int(now) + 1)
    page_after = _after(after)
    return CertificateQuery(
        ends_from=max(page_after[0], int(now) + 1 if wanted is State.ACTIVE else 0),
        ends_before=min(ends),
        revoked=None if wanted is None else wanted is State.REVOKED,
        after=page_after,
        limit=limit,
    )


def order(row: CertificateRow) -> tuple[int, str]:
    """Return what a listing is in the order of."""
    return (row.not_after, row.serial)


def cursor(row: CertificateRow) -> str:
    """Return the cursor that continues a listing after this row."""
    return f"{row.not_after}.{row.serial}"


def cursor_at(seconds: float) -> str:
    """Return the cursor of a listing of what ends at this time (seconds since the epoch) or later."""
    return f"{max(0, int(seconds))}.{serial_text(0)}"


def _after(text: str) -> tuple[int, str]:
    if not text:
        return (-1, "")
    match = CURSOR.fullmatch(text)
    if match is None:
        raise InvalidInputError("after must be the 'next' of the page before")
    return int(match[1]), match[2]


def revocation(
    found: CertificateRow | None, last: int, reason: Reason, now: float, grant: Grant, sealer: Sealer, entry: Entry
) -> Revocation:
    """Decide a revocation. One that is revoked stays as it is; the audit entry is written all the same."""
    if found is None:
        raise NotFoundError("Certificate not found")
    row = sealer.check(found)
    grant.require("credentials:revoke", row.service_name)
    entry.resource = f"{row.service_name}/{row.serial}"
    if row.revocation:
        return Revocation(row, changed=False, entry=entry.draft())
    row = sealer.seal(replace(row, revocation=last + 1, revoked_at=now, reason=reason.value))
    return Revocation(row, changed=True, entry=entry.draft(sha256(row.seal).hexdigest()))
