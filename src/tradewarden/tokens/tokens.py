"""The tokens room: issue, accept, refresh, end, list. What its methods do stands in the modules beside."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tradewarden.access import listing
from tradewarden.access.grant import ANY
from tradewarden.clock import rfc3339
from tradewarden.errors import IntegrityError, InvalidInputError, PermissionDeniedError, TokenError
from tradewarden.tokens.admission import Admission
from tradewarden.tokens.bond import Bond
from tradewarden.tokens.commands import TokenListed, TokenPage
from tradewarden.tokens.ending import Ending
from tradewarden.tokens.introspection import INACTIVE, Introspection, bound_to, scope
from tradewarden.tokens.issuing import Issuing
from tradewarden.tokens.minting import REFRESH_PREFIX, name_of, service_subject, token_digest
from tradewarden.tokens.parts import Parts
from tradewarden.tokens.policy import DAY_SECONDS
from tradewarden.tokens.refreshing import check_idle
from tradewarden.tokens.standing import check_family, decode_names, standing_names
from tradewarden.tokens.store import Wanted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tradewarden.access.grant import Credential, Grant
    from tradewarden.access.principal import Principal
    from tradewarden.audit.entry import Entry
    from tradewarden.clock import Clock, Randomness
    from tradewarden.keys.port import Keys
    from tradewarden.tokens.authenticated import Authenticated
    from tradewarden.tokens.commands import (
        IssueToken,
        RefreshToken,
        RevokeToken,
        TokenIssued,
        TokensRevoked,
        TokenValid,
    )
    from tradewarden.tokens.policy import TokenPolicy
    from tradewarden.tokens.register import CurrentRevisions, Register, Revisions, Revoked
    from tradewarden.tokens.ring import JWKS
    from tradewarden.tokens.store import TokenRow, TokenStore

MAX_PAGE = 1000
KEPT_SECONDS = DAY_SECONDS
"""Rows of expired tokens are kept this long, for the listing and for whoever looks into an incident."""
_INTROSPECT = "tokens:introspect"
SIGNING = "signing"
"""The resource under which the key that signs tokens is rotated."""
_COUNT_SECONDS = 5.0


class Tokens:
    """Tokens of services. `open` it once before use."""

    def __init__(  # noqa: PLR0913, PLR0917  (what the room needs from beside; the composition root's one call)
        self,
        store: TokenStore,
        keys: Keys,
        register: Register,
        policy: TokenPolicy,
        clock: Clock,
        randomness: Randomness,
        revisions: CurrentRevisions,
        revoked: Revoked,
    ) -> None:
        self._parts = Parts(store, keys, register, policy, clock, randomness, revisions)
        self._issuing = Issuing(self._parts)
        self._ending = Ending(self._parts)
        self.authenticate = Admission(self._parts).authenticate
        self._revoked = revoked
        self._counted: tuple[float, int] | None = None

    async def open(self, shared_secret: str | None, entry: Entry) -> None:
        """Make the signing key that the settings ask for, when it does not stand yet.

        `shared_secret` is JWT_SECRET_KEY, or None. Raises `ConfigurationError` when it has under 32 bytes.
        """
        await self._parts.signing_keys.open(shared_secret, entry)

    async def issue(self, grant: Grant, command: IssueToken, entry: Entry) -> TokenIssued:
        """Issue a token: asked ∩ the caller's own ∩ the registered maximum (decision 1)."""
        return await self._issuing.issue(grant, command, entry)

    async def validate(self, token: str, revisions: Revisions) -> TokenValid:
        """Return what a token is good for that does not come over its own connection; raises as `authenticate` does."""
        return (await self._standing(token, revisions)).answer

    async def refresh(
        self,
        command: RefreshToken,
        entry: Entry,
        principal: Principal | None = None,
        credential: Credential | None = None,
    ) -> TokenIssued:
        """Exchange a refresh token; it is the proof, so there is no grant.

        `principal` is who the caller was otherwise proven to be, if anybody: another than the holder is denied, and so
        is one whose connection shows (`credential`) a certificate of another. What was given over mTLS is good over
        mTLS only. A replay ends the family (see `tradewarden.tokens.refreshing`). Raises `TokenError`.
        """
        return await self._issuing.refresh(command, entry, principal, credential)

    async def revoke(self, grant: Grant, command: RevokeToken, entry: Entry) -> TokensRevoked:
        """End a token (and the family that could renew it), or all tokens of a service at once."""
        return await self._ending.revoke(grant, command, entry)

    async def introspect(self, grant: Grant, token: str, entry: Entry) -> Introspection:
        """Say whether a token, access or refresh, is good now (RFC 7662); others' tokens look inactive.

        The entry names the service whose token it is or was, as far as the register knows it.
        """
        grant.require(_INTROSPECT, ANY)
        try:
            if token.startswith(REFRESH_PREFIX):
                return await self._introspect_refresh(grant, token, entry)
            return await self._introspect_access(grant, token, entry)
        except TokenError:
            entry.resource = entry.resource or await self._holder(token)
            return INACTIVE
        except PermissionDeniedError:
            return INACTIVE

    async def list(self, grant: Grant, service: str | None = None, after: str = "", limit: int = 100) -> TokenPage:
        """Return a page of issued tokens, oldest first, of one service or of all that the grant sees."""
        if not 1 <= limit <= MAX_PAGE:
            raise InvalidInputError(f"limit must be from 1 to {MAX_PAGE}")
        grant.require("tokens:read", service or ANY)

        async def read(name: str) -> Sequence[TokenRow]:
            return await self._parts.store.page(service_subject(name) if name else "", after, limit)

        rows, last = await listing.page(listing.names(grant, service or ANY), read, lambda row: row.jti, limit)
        for row in rows:
            self._parts.check(row)
        generations = {subject: await self._generation(subject) for subject in {row.subject for row in rows}}
        shown = tuple(_listed(row, generations[row.subject]) for row in rows)
        return TokenPage(shown, None if last is None else last.jti)

    async def _generation(self, subject: str) -> int:
        """Return how often all tokens of a subject were ended."""
        found = self._parts.checked(await self._parts.store.read(Wanted(subject=subject))).subject
        return found.generation if found else 0

    async def rotate_signing_key(self, grant: Grant, entry: Entry) -> int:
        """Sign with a new key from now on and return its version; what the old one signed stays good.

        Raises `ConflictError` while JWT_SECRET_KEY is the key.
        """
        grant.require("keys:rotate", SIGNING)
        return await self._parts.signing_keys.rotate(entry)

    async def jwks(self) -> JWKS:
        """Return the public keys (RFC 7517); empty with HS256."""
        return (await self._parts.ring()).jwks()

    async def counts(self) -> int:
        """Return how many tokens are active, at most five seconds old: for `/health` and the metrics."""
        now = self._parts.clock.monotonic()
        if self._counted is None or now - self._counted[0] >= _COUNT_SECONDS:
            self._counted = now, await self._parts.store.count_active(self._parts.now())
        return self._counted[1]

    async def sweep(self, limit: int = 1000) -> int:
        """Forget up to `limit` rows of each kind that ended more than a day ago; return how many went."""
        return await self._parts.store.sweep(self._parts.now() - KEPT_SECONDS, limit)

    async def _holder(self, token: str) -> str:
        """Return whose access token this is or was; empty for one that the register does not know."""
        state = await self._parts.store.read(Wanted(token=token_digest(token)))
        try:
            found = self._parts.checked(state).token
        except IntegrityError:  # such a row is not known to be anybody's
            return ""
        return name_of(found.subject) if found else ""

    async def _introspect_access(self, grant: Grant, token: str, entry: Entry) -> Introspection:
        parts = self._parts
        found = await self._standing(token, await parts.revisions())
        entry.resource = found.service_name
        grant.require(_INTROSPECT, found.service_name)
        return Introspection(
            active=True,
            scope=scope(found.names),
            client_id=found.service_name,
            token_type="Bearer",  # noqa: S106
            exp=found.expires_at,
            iat=found.issued_at,
            nbf=found.issued_at,
            sub=str(found.principal),
            aud=parts.policy.audience,
            iss=parts.policy.issuer,
            jti=found.jti,
            cnf=bound_to(found.bond),
        )

    async def _standing(self, token: str, revisions: Revisions) -> Authenticated:
        """Return what a token proves, apart from its connection: the certificate that it is bound to must count."""
        found = await self.authenticate(token, revisions)
        serial = found.bond.serial
        if serial and await self._revoked(serial):
            raise TokenError("the client certificate that the token is bound to is revoked")
        return found

    async def _introspect_refresh(self, grant: Grant, token: str, entry: Entry) -> Introspection:
        parts = self._parts
        now = parts.now()
        state = parts.checked(await parts.store.read(Wanted(refresh=token_digest(token))))
        entry.resource = name = name_of(state.family.subject) if state.family else ""
        family = check_family(state, await parts.register.registered(name) if name else None, now)
        used = state.refresh
        grant.require(_INTROSPECT, name)
        if used is None or used.digest != family.current:
            return INACTIVE
        check_idle(used, parts.policy, now)
        names = standing_names(family.permissions, await parts.register.registered(name), parts.policy)
        return Introspection(
            active=True,
            scope=scope(names),
            client_id=name,
            token_type="refresh_token",  # noqa: S106
            exp=family.expires_at,
            iat=used.issued_at,
            sub=family.subject,
            iss=parts.policy.issuer,
            cnf=bound_to(Bond.read(family.confirmation)),
        )


def _listed(row: TokenRow, generation: int) -> TokenListed:
    return TokenListed(
        jti=row.jti,
        service_name=name_of(row.subject),
        permissions=decode_names(row.permissions),
        issued_at=rfc3339(row.issued_at),
        expires_at=rfc3339(row.expires_at),
        issued_by=row.issued_by,
        revoked=bool(row.revoked_at) or row.generation != generation,
    )
