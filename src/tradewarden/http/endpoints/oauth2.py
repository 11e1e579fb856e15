"""`/oauth2`: introspection (RFC 7662) and revocation (RFC 7009), as their clients expect them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from tradewarden.errors import NotFoundError, PermissionDeniedError
from tradewarden.http.route import Content
from tradewarden.tokens.commands import RevokeToken

if TYPE_CHECKING:
    from tradewarden.access.grant import Grant
    from tradewarden.app import Warden
    from tradewarden.audit.entry import Entry
    from tradewarden.tokens.introspection import Introspection


class TokenQuestion(msgspec.Struct, frozen=True):
    """A token, and what kind the caller takes it for (a hint that is not needed here)."""

    token: str
    token_type_hint: str = ""


async def introspect(warden: Warden, grant: Grant, command: TokenQuestion, entry: Entry) -> Introspection:
    """Say whether a token is active, and what it is good for; what the caller may not see looks inactive."""
    del entry
    return await warden.tokens.introspect(grant, command.token)


async def revoke(warden: Warden, grant: Grant, command: TokenQuestion, entry: Entry) -> Content:
    """End a token. An unknown one, or one of somebody else, is answered alike (RFC 7009 section 2.2)."""
    try:
        await warden.tokens.revoke(grant, RevokeToken(token=command.token), entry)
    except (NotFoundError, PermissionDeniedError) as error:
        entry.fail(error)
    return Content(b"", "application/json")
