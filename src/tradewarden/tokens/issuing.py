"""Issues access tokens and, when asked, the refresh tokens that renew them."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import msgspec

from tradewarden.access.principal import Kind, Principal, service_name
from tradewarden.audit.entry import Result
from tradewarden.clock import rfc3339
from tradewarden.errors import PermissionDeniedError, TokenError
from tradewarden.tokens import minting
from tradewarden.tokens.bond import Bond
from tradewarden.tokens.commands import TokenIssued
from tradewarden.tokens.minting import Term, service_subject, token_digest
from tradewarden.tokens.parts import names_text
from tradewarden.tokens.policy import DAY_SECONDS, TokenKind
from tradewarden.tokens.refreshing import is_replay, require_bond, rotated
from tradewarden.tokens.rights import end_of_proof, grantable, issuer_of, term
from tradewarden.tokens.standing import (
    check_family,
    generation_of,
    incarnation_of,
    standing_names,
)
from tradewarden.tokens.store import (
    FamilyRow,
    RefreshRow,
    Row,
    TokenChange,
    TokenRow,
    TokenState,
    Wanted,
    row_digests,
)

if TYPE_CHECKING:
    from tradewarden.access.grant import Credential, Grant
    from tradewarden.audit.entry import Entry
    from tradewarden.tokens.commands import IssueToken, RefreshToken
    from tradewarden.tokens.parts import Parts
    from tradewarden.tokens.register import Registration
    from tradewarden.tokens.signing import SigningKey

A = TypeVar("A")
_REPLAY = "refresh token reuse; its family and all access tokens of it are ended"


class _Draft(msgspec.Struct, frozen=True):
    """A token that is signed and not yet registered."""

    token: str
    name: str
    names: tuple[str, ...]
    term: Term
    row: TokenRow

    def answer(self, refresh_token: str | None) -> TokenIssued:
        return TokenIssued(
            token=self.token,
            service_name=self.name,
            permissions=self.names,
            issued_at=rfc3339(self.term.issued_at),
            expires_at=rfc3339(self.term.expires_at),
            expires_in=self.term.expires_at - self.term.issued_at,
            refresh_token=refresh_token,
        )


class Issuing:
    """Makes tokens and registers them in one transaction with their audit entry."""

    __slots__ = ("_parts",)

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def issue(self, grant: Grant, command: IssueToken, entry: Entry) -> TokenIssued:
        """Issue a token to a service (decision 1)."""
        name = service_name(command.service_name)
        entry.resource = name
        grant.require("tokens:issue", name)
        parts = self._parts
        registration = await parts.register.registered(name)
        names = grantable(command, grant, registration, parts.policy)
        period = term(command, grant, parts.policy, parts.now())
        signer = (await parts.ring()).signer(TokenKind.ACCESS)
        bond = Bond.shown(grant.credential)
        draft = self._draft(signer, name, names, period, issuer_of(grant), bond)
        draft = _bound(draft, incarnation_of(registration))
        refresh_token = minting.refresh_token(parts.randomness) if command.refresh else None

        def decide(state: TokenState) -> TokenChange[TokenIssued]:
            row = msgspec.structs.replace(draft.row, generation=generation_of(parts.checked(state)))
            rows: tuple[Row, ...] = (row,)
            if refresh_token is not None:
                ends = end_of_proof(command, grant)
                rows = self._founded(row, token_digest(refresh_token), ends)
            return self._change(draft.answer(refresh_token), rows, entry)

        answer = await parts.store.change(Wanted(subject=draft.row.subject), decide)
        entry.commit()
        return answer

    async def refresh(
        self, command: RefreshToken, entry: Entry, principal: Principal | None, credential: Credential | None
    ) -> TokenIssued:
        """Exchange a refresh token; `principal` is who the caller was proven to be, if anybody."""
        parts = self._parts
        digest = token_digest(command.refresh_token)
        state = parts.checked(await parts.store.read(Wanted(refresh=digest)))
        if state.refresh is None or state.family is None:
            raise TokenError("refresh token is unknown")
        name = minting.name_of(state.family.subject)
        entry.resource = name
        if principal is not None and principal != Principal(Kind.SERVICE, name):
            raise PermissionDeniedError("refresh token belongs to another principal")
        bond = require_bond(state.family, name, credential)
        registration = await parts.register.registered(name)
        draft = await self._renewal(state.family, registration, bond)
        successor = minting.refresh_token(parts.randomness)

        def decide(state: TokenState) -> TokenChange[TokenIssued | None]:
            return self._exchanged(parts.checked(state), registration, draft, successor, entry)

        answer = await parts.store.change(Wanted(refresh=digest), decide)
        entry.commit()
        if answer is None:
            raise TokenError(_REPLAY)
        return answer

    async def _renewal(self, family: FamilyRow, registration: Registration | None, bond: Bond) -> _Draft:
        parts = self._parts
        names = standing_names(family.permissions, registration, parts.policy)
        signer = (await parts.ring()).signer(TokenKind.ACCESS)
        now = parts.now()
        lifetime = min(family.lifetime, parts.policy.lifetime_seconds)
        term = Term(now, min(now + lifetime, family.expires_at))
        draft = self._draft(signer, minting.name_of(family.subject), names, term, family.issued_by, bond)
        row = msgspec.structs.replace(draft.row, generation=family.generation, family=family.family)
        return _bound(msgspec.structs.replace(draft, row=row), family.incarnation)

    def _exchanged(
        self,
        state: TokenState,
        registration: Registration | None,
        draft: _Draft,
        successor: str,
        entry: Entry,
    ) -> TokenChange[TokenIssued | None]:
        now = self._parts.now()  # as of the commit: a change may have waited, and the grace begins when it counts
        family = check_family(state, registration, now)
        used = state.refresh
        if used is None:
            raise TokenError("refresh token is unknown")
        if is_replay(used, family, self._parts.policy, now):
            entry.result, entry.reason = Result.DENIED, _REPLAY
            ended = msgspec.structs.replace(family, ended_at=now)
            return self._change(None, (ended,), entry, bump=("tokens",))
        rows = rotated(used, family, token_digest(successor), now, draft.row.confirmation)
        answer: TokenIssued | None = draft.answer(successor)
        return self._change(answer, (draft.row, *rows), entry)

    def _draft(
        self, signer: SigningKey, name: str, names: tuple[str, ...], term: Term, issued_by: str, bond: Bond
    ) -> _Draft:
        parts = self._parts
        jti = minting.identifier(parts.clock.now(), parts.randomness)
        token = minting.access_token(signer, parts.policy, jti, name, names, term, bond.thumbprint)
        row = TokenRow(
            digest=token_digest(token),
            jti=jti,
            kind=TokenKind.ACCESS.value,
            subject=service_subject(name),
            permissions=names_text(names),
            issued_at=term.issued_at,
            expires_at=term.expires_at,
            kid=signer.kid,
            incarnation="",
            generation=0,
            family="",
            issued_by=issued_by,
            confirmation=str(bond),
            revoked_at=0,
        )
        return _Draft(token, name, names, term, row)

    def _founded(self, token: TokenRow, current: bytes, ends: int) -> tuple[Row, ...]:
        """Return the rows of a new family: its first access token, itself, its first refresh token."""
        latest = token.issued_at + self._parts.policy.refresh_absolute_days * DAY_SECONDS
        family = FamilyRow(
            family=token.jti,
            subject=token.subject,
            permissions=token.permissions,
            incarnation=token.incarnation,
            generation=token.generation,
            lifetime=token.expires_at - token.issued_at,
            created_at=token.issued_at,
            expires_at=min(latest, ends or latest),
            current=current,
            issued_by=token.issued_by,
            ended_at=0,
            confirmation=token.confirmation,
        )
        first = RefreshRow(current, family.family, token.issued_at, 0, b"")
        return msgspec.structs.replace(token, family=family.family), family, first

    def _change(self, answer: A, rows: tuple[Row, ...], entry: Entry, bump: tuple[str, ...] = ()) -> TokenChange[A]:
        sealed = self._parts.seal(rows)
        return TokenChange(answer, entry.draft(*row_digests(sealed)), sealed, bump)


def _bound(draft: _Draft, incarnation: str) -> _Draft:
    row = msgspec.structs.replace(draft.row, incarnation=incarnation)
    return msgspec.structs.replace(draft, row=row)
