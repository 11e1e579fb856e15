"""`/ca`: the CAs, their rotation, and what anyone may have of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from tradewarden.clock import rfc3339
from tradewarden.http.route import Content, Nothing
from tradewarden.pki.store import Role, Standing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tradewarden.access.grant import Grant
    from tradewarden.app import Warden
    from tradewarden.audit.entry import Entry
    from tradewarden.pki.cas.listing import CaShown, RotateCa
    from tradewarden.pki.cas.pins import SignedPins


class CaListed(msgspec.Struct, frozen=True):
    """One CA certificate; `key_here` tells whether its private key could be used now, `key` its name.

    `active_certificates` is how many of those that it issued to services are neither revoked nor at their end;
    `old_root_only` how many of these lead to no root but the one that the end of an overlap retires.
    """

    role: Role
    state: Standing
    subject: str
    fingerprint_sha256: str
    issuer_sha256: str
    not_before: str
    not_after: str
    key_here: bool
    key: str
    active_from: str | None
    ended_at: str | None
    active_certificates: int
    old_root_only: int


class CasListed(msgspec.Struct, frozen=True):
    """All CAs of the installation: roots, issuing CAs, certificates of one root by another."""

    authorities: tuple[CaListed, ...]


async def listing(warden: Warden, grant: Grant, command: Nothing, entry: Entry) -> CasListed:
    """List the CAs with their states and ends."""
    del command, entry
    return _listed(await warden.authority.cas.list(grant))


async def rotate(warden: Warden, grant: Grant, command: RotateCa, entry: Entry) -> CasListed:
    """Rotate the issuing CA or the root, or end the overlap of two roots; answers all CAs as they stand then.

    The audit log tells the two apart: a rotation is `rotate`, the end of an overlap `finish`.
    """
    if command.finish:
        entry.action = "finish"
    return _listed(await warden.authority.cas.rotate(grant, command, entry))


async def pins(warden: Warden, grant: Grant, command: Nothing, entry: Entry) -> SignedPins:
    """Give the keys that others may pin, with the rotation plan, signed by the issuing CA."""
    del grant, command, entry
    await warden.revisions()
    return await warden.authority.cas.pins()


async def certificate(warden: Warden, grant: Grant, command: Nothing, entry: Entry) -> Content:
    """Give the root certificates that clients trust (PEM): one, or two while the root is being changed."""
    del grant, command, entry
    await warden.revisions()
    return Content(warden.authority.ca_certificate().encode(), "application/x-pem-file")


async def cross_certificates(warden: Warden, grant: Grant, command: Nothing, entry: Entry) -> Content:
    """Give the certificates of each root by the other (PEM) while the root is being changed; else nothing.

    By them who trusts one of the two knows the other for ours, whoever hands it over.
    """
    del grant, command, entry
    await warden.revisions()
    return Content(warden.authority.cas.known.cross_bundle.encode(), "application/x-pem-file")


def _listed(cas: Sequence[CaShown]) -> CasListed:
    return CasListed(
        tuple(
            CaListed(
                ca.role,
                ca.state,
                ca.subject,
                ca.fingerprint_sha256,
                ca.issuer_sha256,
                rfc3339(ca.not_before),
                rfc3339(ca.not_after),
                ca.key_here,
                ca.key,
                None if ca.active_from is None else rfc3339(ca.active_from),
                None if ca.ended_at is None else rfc3339(ca.ended_at),
                ca.active_certificates,
                ca.old_root_only,
            )
            for ca in cas
        )
    )
