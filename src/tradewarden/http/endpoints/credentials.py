"""`/credentials`: issue, list, revoke certificates."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from tradewarden.access.paging import PageSize
from tradewarden.clock import rfc3339
from tradewarden.identity.commands import (
    Enroll,
    JoinTokenMade,
    JoinTokensListed,
    JoinTokensWithdrawn,
    ListJoinTokens,
    MakeJoinToken,
    WithdrawJoinTokens,
)
from tradewarden.pki.credentials import IssueCredentials, Reason, RenewCredentials, RevokeCertificate, State
from tradewarden.pki.limits import Cursor, SerialNumber, SoonHours

if TYPE_CHECKING:
    from tradewarden.access.grant import Grant
    from tradewarden.app import Warden
    from tradewarden.audit.entry import Entry
    from tradewarden.identity.enrolment import Joining
    from tradewarden.pki.credentials import Credentials, InventoryItem


class ListCredentials(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """List certificates in the order in which they end; `expiring_within_hours` keeps those that end soon."""

    service_name: str = ""
    state: State | None = None
    expiring_within_hours: SoonHours | None = None
    after: Cursor = ""
    limit: PageSize = 100


class CertificateShown(msgspec.Struct, frozen=True, omit_defaults=True):
    """One certificate of the inventory; never with a private key. `certificate` (PEM) is not in listings.

    `issuer_sha256` is the fingerprint of the issuing CA's certificate, as `/ca` lists it.
    """

    serial_number: str
    service_name: str
    profile: str
    state: State
    spiffe_id: str
    fingerprint_sha256: str
    issued_at: str
    expires_at: str
    issued_by: str
    issuer_sha256: str
    revoked_at: str | None
    reason: Reason | None
    certificate: str = ""


class CertificatePage(msgspec.Struct, frozen=True):
    """One page of the inventory; `next` is what to ask `after` for the following one, empty at the end."""

    certificates: tuple[CertificateShown, ...]
    next: str


class CredentialsIssued(msgspec.Struct, frozen=True, omit_defaults=True):
    """A new certificate; `private_key` is missing when a CSR was sent: it never left the client.

    `cross_certificates` are there while the root is being changed: each of the two by the other.
    """

    service_name: str
    certificate: str
    ca_certificate: str
    certificate_chain: str
    serial_number: str
    fingerprint_sha256: str
    spiffe_id: str
    issued_at: str
    expires_at: str
    private_key: str | None = None
    cross_certificates: str = ""


class NamedCertificate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One certificate, by its serial number in hex."""

    serial_number: SerialNumber


async def issue(warden: Warden, grant: Grant, command: IssueCredentials, entry: Entry) -> CredentialsIssued:
    """Issue a certificate, for a key made here or for that of a CSR."""
    return _issued(await warden.authority.issue(grant, command, entry))


async def renew(warden: Warden, grant: Grant, command: RenewCredentials, entry: Entry) -> CredentialsIssued:
    """Replace a certificate by one of the same names, for whoever holds it or may issue it."""
    return _issued(await warden.authority.renew(grant, command, entry))


async def join_token(warden: Warden, grant: Grant, command: MakeJoinToken, entry: Entry) -> JoinTokenMade:
    """Make a one-time token for a service's first certificate; the only answer that ever shows it."""
    entry.action = "join_token"
    await warden.authority.require_names(grant, command.service_name, command.dns_names, command.ip_addresses)
    return await warden.enrolment.invite(grant, command, entry)


async def join_tokens(warden: Warden, grant: Grant, command: ListJoinTokens, entry: Entry) -> JoinTokensListed:
    """List the join tokens that are still good; never what lets anyone in."""
    entry.resource = command.service_name
    return await warden.enrolment.list(grant, command)


async def withdraw_join_tokens(
    warden: Warden, grant: Grant, command: WithdrawJoinTokens, entry: Entry
) -> JoinTokensWithdrawn:
    """End unused join tokens of a service."""
    entry.action = "withdraw"
    return await warden.enrolment.withdraw(grant, command, entry)


async def enroll(warden: Warden, grant: Grant, command: Enroll, entry: Entry) -> CredentialsIssued:
    """Exchange a join token for a certificate."""
    del grant

    async def certify(joining: Joining) -> Credentials:
        order = IssueCredentials(joining.service_name, command.csr, joining.dns_names, joining.ip_addresses)
        return await warden.authority.issue(joining.grant, order, entry, joining)

    return _issued(await warden.enrolment.enroll(command.join_token, entry, certify, command.service_name))


def _issued(made: Credentials) -> CredentialsIssued:
    return CredentialsIssued(
        made.service_name,
        made.certificate,
        made.ca_certificate,
        made.certificate_chain,
        made.serial_number,
        made.fingerprint_sha256,
        made.spiffe_id,
        rfc3339(made.issued_at),
        rfc3339(made.expires_at),
        made.private_key,
        made.cross_certificates,
    )


async def listing(warden: Warden, grant: Grant, command: ListCredentials, entry: Entry) -> CertificatePage:
    """List the inventory, without private keys."""
    entry.resource = command.service_name
    hours = command.expiring_within_hours
    page = await warden.authority.list(
        grant,
        service=command.service_name,
        state=command.state,
        expiring_before=None if hours is None else warden.clock.now() + hours * 3600,
        after=command.after,
        limit=command.limit,
    )
    return CertificatePage(tuple(_shown(item) for item in page.items), page.next)


async def show(warden: Warden, grant: Grant, command: NamedCertificate, entry: Entry) -> CertificateShown:
    """Show one certificate with its PEM."""
    entry.resource = command.serial_number
    return _shown(await warden.authority.get(grant, command.serial_number))


async def revoke(warden: Warden, grant: Grant, command: RevokeCertificate, entry: Entry) -> CertificateShown:
    """Revoke a certificate for good."""
    return _shown(await warden.authority.revoke(grant, command, entry))


def _shown(item: InventoryItem) -> CertificateShown:
    return CertificateShown(
        item.serial_number,
        item.service_name,
        item.profile,
        item.state,
        item.spiffe_id,
        item.fingerprint_sha256,
        rfc3339(item.issued_at),
        rfc3339(item.expires_at),
        item.issued_by,
        item.issuer_sha256,
        None if item.revoked_at is None else rfc3339(item.revoked_at),
        item.reason,
        item.certificate,
    )
