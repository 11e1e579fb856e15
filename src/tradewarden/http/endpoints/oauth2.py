"""`/oauth2`: introspection (RFC 7662) and revocation (RFC 7009), as their clients expect them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from tradewarden.errors import UnsupportedTokenTypeError
from tradewarden.http.route import Content
from tradewarden.identity.credential import ADMIN_TOKEN_PREFIX
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
    return await warden.tokens.introspect(grant, command.token, entry)


async def revoke(warden: Warden, grant: Grant, command: TokenQuestion, entry: Entry) -> Content:
    """End a token. An unknown one, or one that has ended, is answered alike (RFC 7009 section 2.2).

    One of another service is refused, and stays good: section 2.1 wants its caller told, who would take it for ended
    otherwise. That such a token exists is no news to who holds it.
    """
    if command.token.startswith(ADMIN_TOKEN_PREFIX):
        raise UnsupportedTokenTypeError("The admin token is not ended here; 'tradewarden admin token' replaces it")
    await warden.tokens.revoke(grant, RevokeToken(token=command.token), entry)
    return Content(b"", "")
