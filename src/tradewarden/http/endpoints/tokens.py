"""`/tokens` and the register's JWKS: issue, validate, refresh, revoke, list."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from tradewarden.access.paging import PageSize
from tradewarden.clock import rfc3339
from tradewarden.errors import InvalidInputError
from tradewarden.http.route import Content, Nothing
from tradewarden.tokens.commands import (
    IssueToken,
    RefreshToken,
    RevokeToken,
    TokenIssued,
    TokenPage,
    TokensRevoked,
    TokenValid,
)

if TYPE_CHECKING:
    from tradewarden.access.grant import Grant
    from tradewarden.app import Warden
    from tradewarden.audit.entry import Entry


class ListTokens(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """List issued tokens, of one service or of all; never the tokens themselves."""

    service_name: str = ""
    after: str = ""
    limit: PageSize = 100


async def generate(warden: Warden, grant: Grant, command: IssueToken, entry: Entry) -> TokenIssued:
    """Issue a token."""
    return await warden.tokens.issue(grant, command, entry)


async def validate(warden: Warden, grant: Grant, command: Nothing, entry: Entry) -> TokenValid:
    """Say what the caller's own token is good for."""
    del warden, command
    credential = grant.credential
    if credential is None or not credential.expires_at:
        raise InvalidInputError("Only a bearer token can be validated here")
    entry.resource = credential.name
    return TokenValid(
        valid=True,
        service_name=credential.name,
        permissions=credential.permissions,
        expires_at=rfc3339(credential.expires_at),
    )


async def refresh(warden: Warden, grant: Grant, command: RefreshToken, entry: Entry) -> TokenIssued:
    """Exchange a refresh token for a new pair; a replay ends the whole family."""
    return await warden.tokens.refresh(command, entry, credential=grant.credential)


async def revoke(warden: Warden, grant: Grant, command: RevokeToken, entry: Entry) -> TokensRevoked:
    """End one token, or all tokens of a service."""
    return await warden.tokens.revoke(grant, command, entry)


async def listing(warden: Warden, grant: Grant, command: ListTokens, entry: Entry) -> TokenPage:
    """Show the register of issued tokens."""
    entry.resource = command.service_name
    return await warden.tokens.list(grant, command.service_name or None, command.after, command.limit)


async def jwks(warden: Warden, grant: Grant, command: Nothing, entry: Entry) -> Content:
    """Give the public keys that verify our tokens (RFC 7517); empty with HS256."""
    del grant, command, entry
    await warden.revisions()
    return Content(msgspec.json.encode(await warden.tokens.jwks()), "application/jwk-set+json")
