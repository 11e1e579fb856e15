"""Ends tokens, on the very next request in every process (RFC 7009)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from tradewarden.access.principal import service_name
from tradewarden.errors import InvalidInputError, NotFoundError
from tradewarden.tokens.commands import TokensRevoked
from tradewarden.tokens.minting import name_of, service_subject, token_digest
from tradewarden.tokens.store import (
    Row,
    SubjectRow,
    TokenChange,
    TokenRow,
    TokenState,
    Wanted,
    row_digests,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tradewarden.access.grant import Grant
    from tradewarden.audit.entry import Entry
    from tradewarden.tokens.commands import RevokeToken
    from tradewarden.tokens.parts import Parts

_ACTION = "tokens:revoke"


class Ending:
    """Revokes one token, its family with it, or all tokens of a service."""

    __slots__ = ("_parts",)

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def revoke(self, grant: Grant, command: RevokeToken, entry: Entry) -> TokensRevoked:
        """End what the command names; exactly one of its fields."""
        named = (command.token, command.jti, command.service_name)
        if sum(each is not None for each in named) != 1:
            raise InvalidInputError("Give exactly one of token, jti and service_name")
        if command.service_name is not None:
            return await self._revoke_all(grant, service_name(command.service_name), entry)
        if command.jti is not None:
            answer = await self._revoke_one(grant, Wanted(jti=command.jti), entry)
            if not answer.service_name:
                raise NotFoundError("No token with this jti; list the tokens to see which there are")
            return answer
        digest = token_digest(command.token or "")
        return await self._revoke_one(grant, Wanted(token=digest, refresh=digest), entry)

    async def _revoke_one(self, grant: Grant, wanted: Wanted, entry: Entry) -> TokensRevoked:
        now = self._parts.now()

        def decide(state: TokenState) -> TokenChange[TokensRevoked]:
            found = self._parts.checked(state).token or state.family
            if found is None:
                return TokenChange(TokensRevoked(revoked=False))
            name = name_of(found.subject)
            entry.resource = name
            grant.require(_ACTION, name)
            jti = found.jti if isinstance(found, TokenRow) else ""
            rows = _ended(state, now)
            if not rows:
                return TokenChange(TokensRevoked(revoked=False, service_name=name, jti=jti))
            return self._change(TokensRevoked(revoked=True, service_name=name, jti=jti), rows, entry)

        return await self._write(wanted, decide, entry)

    async def _revoke_all(self, grant: Grant, name: str, entry: Entry) -> TokensRevoked:
        entry.resource = name
        grant.require(_ACTION, name)
        subject = service_subject(name)

        def decide(state: TokenState) -> TokenChange[TokensRevoked]:
            before = self._parts.checked(state).subject or SubjectRow(subject, 0)
            after = replace(before, generation=before.generation + 1)
            return self._change(TokensRevoked(revoked=True, service_name=name), [after], entry)

        return await self._write(Wanted(subject=subject), decide, entry)

    async def _write(
        self,
        wanted: Wanted,
        decide: Callable[[TokenState], TokenChange[TokensRevoked]],
        entry: Entry,
    ) -> TokensRevoked:
        answer = await self._parts.store.change(wanted, decide)
        if answer.revoked:
            entry.commit()
        return answer

    def _change(self, answer: TokensRevoked, rows: list[Row], entry: Entry) -> TokenChange[TokensRevoked]:
        sealed = self._parts.seal(rows)
        return TokenChange(answer, entry.draft(*row_digests(sealed)), sealed, ("tokens",))


def _ended(state: TokenState, now: int) -> list[Row]:
    """Return the rows that change: the access token, and the family, so that nothing renews what was revoked."""
    rows: list[Row] = []
    if state.token is not None and not state.token.revoked_at:
        rows.append(replace(state.token, revoked_at=now))
    if state.family is not None and not state.family.ended_at:
        rows.append(replace(state.family, ended_at=now))
    return rows
