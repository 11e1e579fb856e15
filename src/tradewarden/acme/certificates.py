"""Certificates that came of orders: downloaded, revoked (RFC 8555 section 7.6), and when to renew them (RFC 9773)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from cryptography import x509

from tradewarden.acme.order import Status
from tradewarden.acme.predecessor import certificate_named
from tradewarden.acme.problem import AcmeError, Kind
from tradewarden.crypto.base64url import unbase64url
from tradewarden.errors import NotFoundError

if TYPE_CHECKING:
    from tradewarden.access.grant import Grant
    from tradewarden.acme.commands import RevokeCert
    from tradewarden.acme.ports import Held, RegistrationAuthority
    from tradewarden.acme.rows import Opened
    from tradewarden.audit.entry import Entry
    from tradewarden.clock import Clock

REVOKE: Final = "acme:revoke"
REASONS: Final = {
    0: "unspecified",
    1: "keyCompromise",
    3: "affiliationChanged",
    4: "superseded",
    5: "cessationOfOperation",
    9: "privilegeWithdrawn",
}
"""Reasons that a holder may give (RFC 5280 section 5.3.1); those of authorities, and holding, are not among them."""
_MAX_DER = 64 * 1024


class Window(msgspec.Struct, frozen=True):
    """When a certificate is best renewed, seconds since the epoch."""

    start: float
    end: float


class Certificates:
    """What is done with certificates through ACME."""

    def __init__(self, authority: RegistrationAuthority, clock: Clock) -> None:
        self._authority = authority
        self._clock = clock

    async def chain(self, opened: Opened) -> str:
        """Return the certificate of an order, and what is above it but the root, in PEM."""
        held = await self._authority.held(opened.row.serial) if opened.status is Status.VALID else None
        if held is None:
            raise AcmeError(Kind.ORDER_NOT_READY, f"The order is {opened.status}; it has no certificate")
        return self._authority.chain(held)

    async def revoke(self, grant: Grant, as_revoker: Grant, command: RevokeCert, entry: Entry) -> None:
        """Revoke a certificate of the caller's service; `as_revoker` is the same caller's grant for the authority."""
        grant.require(REVOKE, grant.resource)
        der, serial = _read(command.certificate)
        entry.resource = serial
        if command.reason not in REASONS:
            text = f"'reason' is one of {', '.join(map(str, REASONS))}"
            raise AcmeError(Kind.BAD_REVOCATION_REASON, text)
        held = await self._held(der, serial)
        if held is None or held.service_name != grant.principal.name:
            raise AcmeError(Kind.UNAUTHORIZED, "The certificate is not one of this account's service")
        entry.resource = f"{held.service_name}/{held.serial}"
        if held.revocation:
            raise AcmeError(Kind.ALREADY_REVOKED, "The certificate is revoked already")
        await self._authority.revoke(as_revoker, held.serial, REASONS[command.reason], entry)

    async def _held(self, der: bytes, serial: str) -> Held | None:
        held = await self._authority.held(serial) if len(serial) == 40 else None  # noqa: PLR2004
        return held if held is not None and held.certificate == der else None

    async def window(self, cert_id: str) -> Window:
        """Return when to renew the certificate that RFC 9773 section 4.1 so names; a revoked one: now.

        Raises `NotFoundError` for one that is not ours.
        """
        held = await certificate_named(self._authority, cert_id)
        if held is None:
            raise NotFoundError("There is no such certificate")
        if held.revocation:
            now = self._clock.now()
            return Window(now - 3600, now)
        third = (held.not_after - held.not_before) / 3
        start = held.not_before + 2 * third
        return Window(start, start + third / 4)


def _read(text: str) -> tuple[bytes, str]:
    """Return the DER of a certificate that was sent, and its serial number; raises `AcmeError`."""
    der = unbase64url(text)
    if not der or len(der) > _MAX_DER:
        raise AcmeError(Kind.MALFORMED, "'certificate' is no DER in base64url without padding")
    try:
        return der, f"{x509.load_der_x509_certificate(der).serial_number:040x}"
    except (ValueError, TypeError, OverflowError) as error:
        raise AcmeError(Kind.MALFORMED, "'certificate' is no certificate") from error
