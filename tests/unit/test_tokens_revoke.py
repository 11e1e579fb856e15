"""Ending, listing, counting, forgetting and introspecting tokens."""

from __future__ import annotations

import msgspec
import pytest

from tests.support.tokens import ADMIN, Room, admin, room, service
from tradewarden.access.grant import authorize
from tradewarden.access.permission import PermissionSet
from tradewarden.errors import InvalidInputError, NotFoundError, PermissionDeniedError, TokenError
from tradewarden.tokens.commands import IssueToken, RefreshToken, RevokeToken, TokenIssued, TokenListed
from tradewarden.tokens.introspection import INACTIVE, scope
from tradewarden.tokens.rights import with_own

DAY = 86_400


async def issued(made: Room, name: str = "bot", *, refresh: bool = False) -> TokenIssued:
    """Return a fresh token."""
    command = IssueToken(name, ("read",), refresh=refresh)
    return await made.tokens.issue(admin("tokens:issue", name), command, made.entry())


async def test_a_revoked_token_fails_on_the_next_request() -> None:
    """What is cached is refused from the very next look on; other tokens stay good."""
    made = await room()
    gone, kept = await issued(made), await issued(made)
    await made.authenticate(gone.token)
    async with made.entry() as entry:
        command = RevokeToken(token=gone.token)
        answer = await made.tokens.revoke(admin("tokens:revoke"), command, entry)
    assert answer.revoked
    with pytest.raises(TokenError) as refused:
        await made.authenticate(gone.token)
    assert refused.value.reason == "token is revoked"
    await made.authenticate(kept.token)
    event = msgspec.json.decode(made.database.inbox[-1])
    assert event["resource"] == "bot"
    assert len(event["rows"]) == 1
    assert not made.journal.events


async def test_all_tokens_of_a_service_end_at_once() -> None:
    """One row ends them all, those of others stay, and a new one is good."""
    made = await room()
    tokens = [await issued(made) for _ in range(5)]
    other = await issued(made, "other")
    command = RevokeToken(service_name="bot")
    await made.tokens.revoke(admin("tokens:revoke"), command, made.entry())
    for each in tokens:
        with pytest.raises(TokenError) as refused:
            await made.authenticate(each.token)
        assert refused.value.reason == "all tokens of the subject are revoked"
    await made.authenticate(other.token)
    await made.authenticate((await issued(made)).token)


async def test_a_holder_ends_its_own_and_no_other() -> None:
    """A service may revoke its own tokens; those of another are denied it and stay good."""
    made = await room()
    mine, theirs = await issued(made, "bot"), await issued(made, "other")
    own = with_own("bot", ("read",))
    grant = service("bot", own, "tokens:revoke")
    found = await made.authenticate(theirs.token)
    for command in (
        RevokeToken(token=theirs.token),
        RevokeToken(jti=found.jti),
        RevokeToken(service_name="other"),
    ):
        with pytest.raises(PermissionDeniedError):
            await made.tokens.revoke(grant, command, made.entry())
    await made.authenticate(theirs.token)
    assert (await made.tokens.revoke(grant, RevokeToken(token=mine.token), made.entry())).revoked


async def test_ending_what_is_not_there_is_no_error() -> None:
    """An unknown token is answered like an ended one (RFC 7009) and journaled; an unknown jti is not found."""
    made = await room()
    before = len(made.database.inbox)
    for text in ("nonsense", "twr_nonsense", ""):
        async with made.entry() as entry:
            command = RevokeToken(token=text)
            answer = await made.tokens.revoke(admin("tokens:revoke"), command, entry)
        assert not answer.revoked
    assert len(made.journal.events) == 3
    assert len(made.database.inbox) == before
    with pytest.raises(NotFoundError):
        await made.tokens.revoke(admin("tokens:revoke"), RevokeToken(jti="x"), made.entry())
    gone = await issued(made)
    command = RevokeToken(token=gone.token)
    assert (await made.tokens.revoke(admin("tokens:revoke"), command, made.entry())).revoked
    assert not (await made.tokens.revoke(admin("tokens:revoke"), command, made.entry())).revoked


@pytest.mark.parametrize("command", [RevokeToken(), RevokeToken(token="a", jti="b"), RevokeToken("a", "b", "c")])
async def test_exactly_one_thing_is_named(command: RevokeToken) -> None:
    """A revocation that names nothing or two things is refused."""
    made = await room()
    with pytest.raises(InvalidInputError):
        await made.tokens.revoke(admin("tokens:revoke"), command, made.entry())


async def test_the_listing_pages_and_shows_no_token() -> None:
    """Pages follow one another, oldest first, and hold nothing that works as a token."""
    made = await room()
    tokens = []
    for number in range(5):
        made.clock.move(1)
        tokens.append(await issued(made, "bot" if number % 2 else "other"))
    seen: list[TokenListed] = []
    after: str | None = ""
    while after is not None:
        page = await made.tokens.list(admin("tokens:read"), after=after, limit=2)
        seen += page.tokens
        after = page.next
    assert [each.issued_at for each in seen] == [each.issued_at for each in tokens]
    assert [each.service_name for each in seen] == ["other", "bot", "other", "bot", "other"]
    assert seen[0].issued_by == str(ADMIN)
    assert all(token.token not in repr(seen) for token in tokens)
    page = await made.tokens.list(admin("tokens:read"), "bot")
    assert [each.service_name for each in page.tokens] == ["bot", "bot"]


async def test_the_listing_tells_what_was_ended_with_its_service() -> None:
    """A token that ended because all tokens of its service did is listed as revoked; a later one is not."""
    made = await room()
    await issued(made, "bot")
    await made.tokens.revoke(admin("tokens:revoke"), RevokeToken(service_name="bot"), made.entry())
    made.clock.move(1)
    await issued(made, "bot")
    page = await made.tokens.list(admin("tokens:read"), "bot")
    assert [each.revoked for each in page.tokens] == [True, False]


async def test_the_listing_shows_what_the_grant_sees() -> None:
    """A holder lists its own tokens; others' are left out, or denied when named."""
    made = await room()
    await issued(made, "bot")
    await issued(made, "other")
    grant = service("bot", with_own("bot", ()), "tokens:read")
    page = await made.tokens.list(grant)
    assert [each.service_name for each in page.tokens] == ["bot"]
    with pytest.raises(PermissionDeniedError):
        await made.tokens.list(grant, "other")
    for limit in (0, 1001):
        with pytest.raises(InvalidInputError):
            await made.tokens.list(grant, limit=limit)


async def test_the_count_knows_every_way_to_end() -> None:
    """Expired, revoked, those of an ended family and of a revoked service are not counted."""
    made = await room()
    for _ in range(2):
        await issued(made, "kept")
    await issued(made, "bot")
    single = await issued(made, "single")
    family = await issued(made, "family", refresh=True)
    assert await made.tokens.counts() == 5
    for command in (
        RevokeToken(service_name="bot"),
        RevokeToken(token=single.token),
        RevokeToken(token=family.refresh_token),
    ):
        await made.tokens.revoke(admin("tokens:revoke"), command, made.entry())
    assert await made.tokens.counts() == 5
    made.clock.move(5)
    assert await made.tokens.counts() == 2
    made.clock.move(DAY)
    assert await made.tokens.counts() == 0


async def test_expired_tokens_are_forgotten_after_a_day() -> None:
    """Rows stay for a day after their expiry, then go, a bounded number at a time."""
    made = await room()
    for _ in range(3):
        await issued(made)
    made.clock.move(2 * DAY)
    assert await made.tokens.sweep() == 0
    made.clock.move(1)
    assert await made.tokens.sweep(limit=2) == 2
    assert await made.tokens.sweep(limit=2) == 1
    assert await made.tokens.sweep() == 0


async def test_a_family_is_forgotten_with_its_refresh_tokens() -> None:
    """Nothing of a family stays behind a day after its absolute end."""
    made = await room()
    pair = await issued(made, refresh=True)
    for _ in range(3):
        made.clock.move(DAY)
        command = RefreshToken(pair.refresh_token or "")
        pair = await made.tokens.refresh(command, made.entry())
    made.clock.move(40 * DAY)
    assert await made.tokens.sweep() == 4 + 4 + 1


async def test_introspection_of_an_access_token() -> None:
    """A good token is described in the words of RFC 7662."""
    made = await room()
    token = await issued(made)
    found = await made.tokens.introspect(admin("tokens:introspect"), token.token, made.entry())
    answer = msgspec.json.decode(msgspec.json.encode(found))
    assert answer.pop("jti")
    assert answer == {
        "active": True,
        "scope": "read",
        "client_id": "bot",
        "token_type": "Bearer",
        "exp": 1_800_086_400,
        "iat": 1_800_000_000,
        "nbf": 1_800_000_000,
        "sub": "service:bot",
        "aud": "tradewarden",
        "iss": "tradewarden",
    }


def test_a_scope_has_the_characters_of_its_standard() -> None:
    """RFC 6749 section 3.3 leaves out space, quote and backslash; they, and what they are written with, are escaped."""
    plain = "".join(each for each in map(chr, range(0x21, 0x7F)) if each not in '"\\%')
    assert scope((plain,)) == plain
    assert scope(("a b", 'c"\\%', "d%20e", "ü\n")) == "a%20b c%22%5C%25 d%2520e %C3%BC%0A"
    assert scope(()) == ""


async def test_introspection_of_a_refresh_token() -> None:
    """The newest refresh token of a family is active, a used or an idle one is not."""
    made = await room()
    grant = admin("tokens:introspect")
    first = await issued(made, refresh=True)
    second = await made.tokens.refresh(RefreshToken(first.refresh_token or ""), made.entry())
    found = await made.tokens.introspect(grant, second.refresh_token or "", made.entry())
    assert (found.active, found.client_id, found.scope) == (True, "bot", "read")
    assert found.exp == 1_800_000_000 + 30 * DAY
    assert await made.tokens.introspect(grant, first.refresh_token or "", made.entry()) == INACTIVE
    made.clock.move(7 * DAY)
    assert await made.tokens.introspect(grant, second.refresh_token or "", made.entry()) == INACTIVE


async def test_what_is_not_active_tells_nothing() -> None:
    """Unknown, revoked, and others' tokens look alike: inactive, and not a word more."""
    made = await room()
    token = await issued(made, "other", refresh=True)
    own = service("bot", with_own("bot", ()), "tokens:introspect")
    narrow = authorize(ADMIN, PermissionSet(("tokens:introspect:bot",)), "tokens:introspect")
    for grant in (own, narrow):
        for text in (token.token, token.refresh_token or "", "x", "twr_x", "\ud800", "twr_\ud800"):
            assert await made.tokens.introspect(grant, text, made.entry()) == INACTIVE
    assert msgspec.json.encode(INACTIVE) == b'{"active":false}'
