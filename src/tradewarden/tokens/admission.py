"""Accepts tokens: the hot path of every authenticated request.

Always true here: a token is accepted because its digest stands in the register of issued tokens, and what it may do
comes from that row, never from its claims (decision 3). An acceptance is cached under the revisions that were read
before it was decided, so whatever ends a token ends it for the very next request, in every process (decision 21).
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

from tradewarden.access.principal import Kind, Principal
from tradewarden.clock import rfc3339
from tradewarden.errors import IntegrityError, TokenError
from tradewarden.tokens.authenticated import Authenticated
from tradewarden.tokens.bond import Bond
from tradewarden.tokens.bootstrap import BOOTSTRAP_TEXT
from tradewarden.tokens.cache import Accepted, AcceptedTokens
from tradewarden.tokens.commands import TokenValid
from tradewarden.tokens.minting import name_of
from tradewarden.tokens.policy import MAX_TOKEN_CHARACTERS, TokenKind
from tradewarden.tokens.rights import held_with
from tradewarden.tokens.standing import check_token, standing_names
from tradewarden.tokens.store import Wanted
from tradewarden.tokens.verification import verify

if TYPE_CHECKING:
    from tradewarden.tokens.parts import Parts
    from tradewarden.tokens.register import Registration, Revisions
    from tradewarden.tokens.store import TokenRow

CACHE_SIZE = 8192


class Admission:
    """Turns a bearer token into who holds it and what they may do."""

    __slots__ = ("_cache", "_now", "_parts")

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._now = parts.clock.now
        self._cache = AcceptedTokens(CACHE_SIZE)

    async def authenticate(self, token: str, revisions: Revisions) -> Authenticated:
        """Return what the token proves; raises `TokenError`, or `StorageUnavailableError` when it cannot be looked up.

        `revisions` were read for this request, before this call.
        """
        if len(token) > MAX_TOKEN_CHARACTERS or not token.isascii():
            raise TokenError("token is larger than 8 KiB or not ASCII")
        digest = sha256(token.encode()).digest()
        found = self._cache.get(digest) or self._cache.older(digest)
        if found is not None:
            of_tokens, of_services, authenticated = found
            if (
                of_tokens == revisions.tokens
                and of_services == revisions.services
                and self._now() < authenticated.expires_at
            ):
                return authenticated
        return await self._admit(token, digest, revisions, seen=found is not None)

    async def _admit(self, token: str, digest: bytes, revisions: Revisions, *, seen: bool) -> Authenticated:
        self._cache.forget(digest)
        parts = self._parts
        now = self._now()
        # A token that was accepted before has the signature it had then; only its standing may have changed.
        if not seen:
            ring = await parts.signing_keys.at(revisions.keys)
            verify(token, TokenKind.ACCESS, ring, parts.policy, now)
        try:
            state = parts.checked(await parts.store.read(Wanted(token=digest)))
        except IntegrityError as error:
            raise TokenError(error.reason) from error
        registration = await self._registration(state.token)
        row = check_token(state, registration, now)
        if row.kind != TokenKind.ACCESS:
            raise TokenError("token is of another kind")
        names = standing_names(row.permissions, registration, parts.policy)
        authenticated = _authenticated(row, names)
        self._cache.put(digest, Accepted(revisions.tokens, revisions.services, authenticated))
        return authenticated

    async def _registration(self, row: TokenRow | None) -> Registration | None:
        return await self._parts.register.registered(name_of(row.subject)) if row else None


def _authenticated(row: TokenRow, names: tuple[str, ...]) -> Authenticated:
    name = name_of(row.subject)
    return Authenticated(
        principal=Principal(Kind.SERVICE, name),
        permissions=held_with(name, names, row.issued_by),
        names=names,
        service_name=name,
        jti=row.jti,
        kind=row.kind,
        family=row.family,
        issued_at=row.issued_at,
        expires_at=row.expires_at,
        answer=TokenValid(
            valid=True,
            service_name=name,
            permissions=names,
            expires_at=rfc3339(row.expires_at),
        ),
        bond=Bond.read(row.confirmation),
        bootstrap=row.issued_by == BOOTSTRAP_TEXT,
    )
