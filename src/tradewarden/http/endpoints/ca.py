"""`/ca`: what anyone may have of the certificate authority."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tradewarden.http.route import Content, Nothing

if TYPE_CHECKING:
    from tradewarden.access.grant import Grant
    from tradewarden.app import Warden
    from tradewarden.audit.entry import Entry


async def certificate(warden: Warden, grant: Grant, command: Nothing, entry: Entry) -> Content:
    """Give the root certificate that clients trust (PEM)."""
    del grant, command, entry
    return Content(warden.authority.ca_certificate().encode(), "application/x-pem-file")


async def crl(warden: Warden, grant: Grant, command: Nothing, entry: Entry) -> Content:
    """Give the certificate revocation list (DER, RFC 5280)."""
    del grant, command, entry
    await warden.revisions()
    return Content(await warden.authority.crl(), "application/pkix-crl")
