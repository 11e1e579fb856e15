"""Tokens bound to client certificates (RFC 8705): what carries the binding, and what keeps it through a refresh."""

from __future__ import annotations

from base64 import urlsafe_b64decode

import msgspec
import pytest

from tests.support.tokens import ADMIN, Room, admin, room
from tradewarden.access.grant import Credential, Grant, authorize
from tradewarden.access.permission import ALL
from tradewarden.errors import PermissionDeniedError, TokenError
from tradewarden.tokens.commands import IssueToken, RefreshToken, TokenIssued
from tradewarden.tokens.introspection import INACTIVE, Introspection
from tradewarden.tokens.minting import REFRESH_PREFIX, token_digest
from tradewarden.tokens.store import Wanted

FIRST, SECOND = "A" * 43, "B" * 43


def shown(thumbprint: str, peer: str = "bot") -> Credential:
    """Return how a caller is known on a connection with this certificate."""
    return Credential("certificate", peer, thumbprint=thumbprint, serial=serial(thumbprint), peer=peer)


def serial(thumbprint: str) -> str:
    """Return the serial number of the certificate with this thumbprint."""
    return thumbprint[0] * 40


def over(credential: Credential | None) -> Grant:
    """Return a grant to issue for `bot`."""
    return authorize(ADMIN, ALL, "tokens:issue", "bot", credential)


async def issue(made: Room, credential: Credential | None, *, refresh: bool = False) -> TokenIssued:
    """Issue a token to `bot`."""
    command = IssueToken("bot", ("read",), refresh=refresh)
    return await made.tokens.issue(over(credential), command, made.entry())


async def refresh(made: Room, pair: TokenIssued, credential: Credential | None) -> TokenIssued:
    """Exchange a refresh token over such a connection."""
    command = RefreshToken(pair.refresh_token or "")
    return await made.tokens.refresh(command, made.entry(), credential=credential)


def claims(token: str) -> dict[str, object]:
    """Return what a token says."""
    segment = token.split(".")[1]
    found: dict[str, object] = msgspec.json.decode(urlsafe_b64decode(segment + "=" * (-len(segment) % 4)))
    return found


async def introspect(made: Room, token: str) -> Introspection:
    """Introspect as an admin."""
    return await made.tokens.introspect(admin("tokens:introspect"), token, made.entry())


async def test_a_token_asked_for_over_mtls_carries_the_thumbprint() -> None:
    """In its claims (section 3.1), in its row, in what it proves, and in its introspection (section 3.2)."""
    made = await room()
    token = (await issue(made, shown(FIRST))).token
    assert claims(token)["cnf"] == {"x5t#S256": FIRST}
    state = await made.store.read(Wanted(token=token_digest(token)))
    assert state.token is not None
    assert state.token.confirmation == f"{FIRST}.{serial(FIRST)}"
    assert (await made.authenticate(token)).bond.thumbprint == FIRST
    assert (await made.authenticate(token)).bond.thumbprint == FIRST  # from the cache, too
    answer = msgspec.json.decode(msgspec.json.encode(await introspect(made, token)))
    assert answer["cnf"] == {"x5t#S256": FIRST}


@pytest.mark.parametrize("credential", [None, Credential("client_secret")])
async def test_without_a_certificate_nothing_is_bound(credential: Credential | None) -> None:
    """There is no `cnf` then, not even an empty one."""
    made = await room()
    token = (await issue(made, credential)).token
    assert "cnf" not in claims(token)
    assert (await made.authenticate(token)).bond.thumbprint == ""
    assert b"cnf" not in msgspec.json.encode(await introspect(made, token))


async def test_a_refresh_binds_to_the_certificate_it_comes_with() -> None:
    """After a renewal the family goes on, and the new access token belongs to the new certificate (section 4)."""
    made = await room()
    first = await issue(made, shown(FIRST), refresh=True)
    assert (first.refresh_token or "").startswith(REFRESH_PREFIX)
    second = await refresh(made, first, shown(SECOND))
    assert (await made.authenticate(second.token)).bond.thumbprint == SECOND
    assert (await made.authenticate(first.token)).bond.thumbprint == FIRST
    found = await introspect(made, second.refresh_token or "")
    assert found.cnf is not None
    assert found.cnf.thumbprint == SECOND


@pytest.mark.parametrize("credential", [None, Credential("refresh_token")])
async def test_a_bound_refresh_token_is_worth_nothing_without_a_certificate(credential: Credential | None) -> None:
    """It is refused, and the family lives on: a thief cannot end it either, not even with a used one."""
    made = await room()
    first = await issue(made, shown(FIRST), refresh=True)
    second = await refresh(made, first, shown(FIRST))
    made.clock.move(60)
    for stolen in (first, second):
        with pytest.raises(TokenError) as refused:
            await refresh(made, stolen, credential)
        assert refused.value.reason == "refresh token is bound to the client certificates of its service"
    await refresh(made, second, shown(FIRST))


@pytest.mark.parametrize("bound", [True, False])
async def test_another_services_certificate_refreshes_nothing(*, bound: bool) -> None:
    """Bound or not: the connection proves that somebody else is calling."""
    made = await room()
    first = await issue(made, shown(FIRST) if bound else None, refresh=True)
    with pytest.raises(PermissionDeniedError):
        await refresh(made, first, shown(SECOND, "other"))
    await refresh(made, first, shown(SECOND))


async def test_an_unbound_family_stays_unbound() -> None:
    """What was begun without mTLS goes on without; an access token asked for over mTLS is bound all the same."""
    made = await room()
    first = await issue(made, None, refresh=True)
    second = await refresh(made, first, shown(FIRST))
    assert (await made.authenticate(second.token)).bond.thumbprint == FIRST
    third = await refresh(made, second, None)
    assert (await made.authenticate(third.token)).bond.thumbprint == ""


async def test_a_revoked_certificate_ends_what_is_bound_to_it() -> None:
    """Introspection calls the token inactive, and it is not valid any more; other tokens of the service stay."""
    made = await room()
    lost, kept = [(await issue(made, shown(thumbprint))).token for thumbprint in (FIRST, SECOND)]
    for token in (lost, kept):
        assert (await introspect(made, token)).active
        assert (await made.tokens.validate(token, await made.revisions())).valid
    made.revoked.add(serial(FIRST))
    assert await introspect(made, lost) == INACTIVE
    with pytest.raises(TokenError) as refused:
        await made.tokens.validate(lost, await made.revisions())
    assert refused.value.reason == "the client certificate that the token is bound to is revoked"
    assert (await introspect(made, kept)).active
    assert (await made.tokens.validate(kept, await made.revisions())).valid


async def test_a_family_outlives_the_certificate_it_was_begun_with() -> None:
    """It belongs to its service's certificates (section 4): with the next one it goes on after a revocation."""
    made = await room()
    first = await issue(made, shown(FIRST), refresh=True)
    made.revoked.add(serial(FIRST))
    assert (await introspect(made, first.refresh_token or "")).active
    second = await refresh(made, first, shown(SECOND))
    assert (await introspect(made, second.token)).active


async def test_what_was_bound_before_serial_numbers_were_kept_is_accepted() -> None:
    """Such a row has the thumbprint alone; it stays good to its end."""
    made = await room()
    bare = Credential("certificate", "bot", thumbprint=FIRST, peer="bot")
    token = (await issue(made, bare)).token
    state = await made.store.read(Wanted(token=token_digest(token)))
    assert state.token is not None
    assert state.token.confirmation == FIRST
    found = await introspect(made, token)
    assert found.cnf is not None
    assert (found.active, found.cnf.thumbprint) == (True, FIRST)


async def test_a_replay_over_mtls_ends_the_family() -> None:
    """The binding does not take the place of the reuse detection."""
    made = await room()
    first = await issue(made, shown(FIRST), refresh=True)
    second = await refresh(made, first, shown(FIRST))
    made.clock.move(60)
    with pytest.raises(TokenError, match="validation failed"):
        await refresh(made, first, shown(FIRST))
    with pytest.raises(TokenError):
        await made.authenticate(second.token)
