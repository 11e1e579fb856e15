"""Join tokens: good once, for one service and its names, until they end; used up before anything is signed."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

import msgspec
import pytest
from msgspec.structs import replace

from tests.support.enrolment import ISSUE, PIN, EnrolmentRoom, enrolment_room
from tests.support.storage import sqlite_database
from tests.support.tokens import admin, service
from tradewarden.access.permission import PermissionSet
from tradewarden.access.principal import Kind, Principal
from tradewarden.errors import (
    AuthenticationError,
    IntegrityError,
    InvalidInputError,
    NotFoundError,
    PermissionDeniedError,
    StorageUnavailableError,
    UnavailableError,
)
from tradewarden.identity.commands import Enroll, JoinTokenMade, ListJoinTokens, MakeJoinToken, WithdrawJoinTokens
from tradewarden.identity.enrolment import KEPT_SECONDS
from tradewarden.storage.memory_enrolment import MemoryJoinStore
from tradewarden.storage.sql_enrolment import SqlJoinStore

if TYPE_CHECKING:
    from pathlib import Path

    from tradewarden.identity.enrolment import Joining

FORM = re.compile(r"twj_[A-Za-z0-9_-]{43}\.[0-9a-f]{32}")
REFUSED = "The join token is not accepted; ask an operator for another one"


async def refusal(made: EnrolmentRoom, token: str) -> str:
    """Return the reason why a join token is refused; the caller learns none."""
    async with made.entry() as entry:
        with pytest.raises(AuthenticationError) as refused:
            await made.enroll(token, entry)
        entry.fail(refused.value)
    assert str(refused.value) == REFUSED
    return refused.value.reason


async def test_a_join_token_lets_its_service_in_once() -> None:
    """It carries service and names, and a second use is refused."""
    made = await enrolment_room()
    invited = await made.invite(dns_names=("bot.internal",), ip_addresses=("10.0.0.1",))
    assert FORM.fullmatch(invited.join_token)
    assert invited.join_token.endswith(f".{PIN[:32]}")
    assert (invited.service_name, invited.expires_at) == ("bot", "2027-01-15T09:00:00.000000Z")
    assert await made.enroll(invited.join_token) == "certificate of bot"
    (joined,) = made.issued
    assert (joined.service_name, joined.dns_names, joined.ip_addresses) == ("bot", ("bot.internal",), ("10.0.0.1",))
    assert not joined.incarnation
    assert await refusal(made, invited.join_token) == "join token of bot was used before"


async def test_the_grant_is_the_makers_for_this_one_service() -> None:
    """Whoever made the token answers for the names, and the grant reaches no other service."""
    made = await enrolment_room()
    deployer = service("deployer", PermissionSet((f"{ISSUE}:bot",)), ISSUE, "bot")
    await made.enroll((await made.invite(grant=deployer)).join_token)
    (joined,) = made.issued
    assert joined.grant.principal == Principal(Kind.SERVICE, "deployer")
    joined.grant.require(ISSUE, "bot")
    with pytest.raises(PermissionDeniedError):
        joined.grant.require(ISSUE, "other")


async def test_only_who_may_issue_invites() -> None:
    """A grant for one service invites no other."""
    made = await enrolment_room()
    deployer = service("deployer", PermissionSet((f"{ISSUE}:bot",)), ISSUE, "bot")
    with pytest.raises(PermissionDeniedError):
        await made.invite("other", deployer)


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ({"ttl_minutes": 0}, "ttl_minutes"),
        ({"ttl_minutes": 7 * 24 * 60 + 1}, "ttl_minutes"),
        ({"dns_names": ("*.internal",)}, "wildcard"),
        ({"dns_names": (".internal",)}, "not understood"),
        ({"ip_addresses": ("::",)}, "one host"),
        ({"dns_names": tuple(f"h{n}" for n in range(33))}, "At most 32"),
        ({"name": "Bot"}, "service_name"),
    ],
)
async def test_what_is_out_of_bounds_is_refused(asked: dict[str, object], named: str) -> None:
    """Terms, names and addresses are looked at when the token is made."""
    made = await enrolment_room()
    with pytest.raises(InvalidInputError, match=re.escape(named)):
        await made.invite(**{"name": "bot", **asked})  # type: ignore[arg-type]


async def test_a_token_ends() -> None:
    """At its last second it is refused; up to then it is good, a week at most."""
    made = await enrolment_room()
    short, long = await made.invite(ttl_minutes=1), await made.invite(ttl_minutes=7 * 24 * 60)
    made.identity.clock.move(60)
    assert await refusal(made, short.join_token) == "join token of bot is expired"
    made.identity.clock.move(7 * 86_400 - 61)
    assert await made.enroll(long.join_token)


@pytest.mark.parametrize("token", ["", "twj_", "é", "\ud800", "x" * 10_000, "twj_" + "A" * 43 + "." + PIN[:32]])
async def test_an_unknown_token_is_refused(token: str) -> None:
    """Anything that nobody was given fails alike."""
    made = await enrolment_room()
    await made.invite()
    assert await refusal(made, token) == "join token is unknown"


async def test_a_token_is_not_good_in_part() -> None:
    """The pin belongs to it: with another one it is another token."""
    made = await enrolment_room()
    token = (await made.invite()).join_token
    assert await refusal(made, f"{token[:-1]}{'c' if token[-1] != 'c' else 'd'}") == "join token is unknown"


async def test_a_registration_taken_away_takes_its_tokens_along() -> None:
    """A token made for one registration of a name is not good for the next one, nor for none."""
    made = await enrolment_room()
    await made.register()
    token = (await made.invite()).join_token
    await made.identity.services.delete(admin("services:manage", "bot"), "bot", made.entry())
    assert "registered" in await refusal(made, token)
    await made.register()
    assert "registered" in await refusal(made, token)
    assert await made.enroll((await made.invite()).join_token)


async def test_a_token_is_not_used_up_for_a_later_registration() -> None:
    """What it was made for is asked for once more when it is used: it is refused then, and nothing comes of it."""
    made = await enrolment_room()
    await made.register()
    token = (await made.invite()).join_token

    async def late(joining: Joining) -> str:
        await made.identity.services.delete(admin("services:manage", "bot"), "bot", made.entry())
        await made.register()
        return await made.certify(joining)

    with pytest.raises(AuthenticationError) as refused:
        await made.enrolment.enroll(token, made.entry(), late)
    assert refused.value.reason == "bot is not registered as it was when its join token was made"
    assert made.issued == []


async def test_a_token_made_before_the_registration_is_good_for_none() -> None:
    """Who invited nobody in particular did not know what the name would be registered for."""
    made = await enrolment_room()
    token = (await made.invite()).join_token
    await made.register()
    assert "registered" in await refusal(made, token)


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_of_two_that_race_exactly_one_wins(kind: str, tmp_path: Path) -> None:
    """Twenty uses of one token at the same time give one certificate."""
    async with sqlite_database(tmp_path) as database:
        made = await enrolment_room(SqlJoinStore(database) if kind == "sqlite" else None)
        token = (await made.invite()).join_token
        gate = asyncio.Barrier(20)

        async def certify(joining: Joining) -> str:
            await gate.wait()  # every one of them has found the token good
            return await made.certify(joining)

        async def use() -> object:
            try:
                return await made.enrolment.enroll(token, made.entry(), certify)
            except AuthenticationError as refused:
                return refused.reason

        answers = await asyncio.gather(*(use() for _ in range(20)))
    assert sorted(map(str, answers)) == ["certificate of bot"] + ["join token of bot was used before"] * 19
    assert len(made.issued) == 1


async def test_what_is_refused_before_signing_costs_nothing() -> None:
    """A CSR that is refused leaves the token good."""
    made = await enrolment_room()
    token = (await made.invite()).join_token

    async def refuse(_: Joining) -> str:
        raise InvalidInputError("The CSR is refused")

    with pytest.raises(InvalidInputError):
        await made.enrolment.enroll(token, made.entry(), refuse)
    assert await made.enroll(token)


async def test_a_token_of_another_service_than_expected_stays_good() -> None:
    """Who says which service it expects is told of another's token before that is used up, and the log has both."""
    made = await enrolment_room()
    token = (await made.invite("bot")).join_token
    with pytest.raises(InvalidInputError, match="is for the service 'bot', not for 'desk'; it was not used"):
        await made.enrolment.enroll(token, made.entry(), made.certify, "desk")
    assert made.issued == []
    assert await made.enrolment.enroll(token, made.entry(), made.certify, "bot")


@pytest.mark.parametrize("failure", [StorageUnavailableError("The disk is full"), OSError("boom")])
async def test_a_failed_issue_says_what_to_do(failure: Exception) -> None:
    """The token is used up all the same, and the answer says how to get another one."""
    made = await enrolment_room()
    token = (await made.invite()).join_token

    async def fail(joining: Joining) -> str:
        await joining.spend()
        raise failure

    with pytest.raises(UnavailableError, match="tradewarden ca join-token bot") as failed:
        await made.enrolment.enroll(token, made.entry(), fail)
    assert "used up" in str(failed.value)
    assert "boom" not in str(failed.value)
    assert await refusal(made, token) == "join token of bot was used before"


async def test_a_token_that_cannot_be_used_up_gives_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """When its use cannot be written, nothing is signed."""
    made = await enrolment_room()
    token = (await made.invite()).join_token

    async def broken(*_: object) -> None:
        raise StorageUnavailableError("The database cannot be written now")

    monkeypatch.setattr(made.store, "change", broken)
    with pytest.raises(StorageUnavailableError):
        await made.enroll(token)
    assert made.issued == []


async def test_the_token_is_recorded_nowhere() -> None:
    """Neither row, entries nor texts hold it; making and using it are each one entry with the row's digest."""
    made = await enrolment_room()
    async with made.entry() as entry:
        invited = await made.enrolment.invite(admin(ISSUE, "bot"), MakeJoinToken("bot"), entry)
    secret = invited.join_token
    async with made.entry() as entry:
        await made.enroll(secret, entry)
    assert secret not in repr(invited)
    assert secret not in repr(Enroll(secret, "csr"))
    assert isinstance(made.store, MemoryJoinStore)
    assert secret[4:40] not in repr(made.store._rows)
    lines = made.identity.database.inbox
    assert not any(secret[4:40].encode() in line for line in lines)
    first, second = map(msgspec.json.decode, lines)
    assert (first["resource"], len(first["rows"])) == ("bot", 1)
    assert (second["user"], second["action"], second["method"]) == ("service:bot", "enroll", "join_token")
    assert entry.action == "issue"  # what is recorded next is the certificate
    assert JoinTokenMade.__struct_fields__ == ("join_token", "service_name", "expires_at")


@pytest.mark.parametrize(
    "forgery", [{"service_name": "admin"}, {"expires_at": 1 << 40}, {"dns_names": '["x"]'}, {"used_at": 1}]
)
async def test_a_row_that_was_changed_is_refused(forgery: dict[str, str | int]) -> None:
    """Who can only write to the database cannot make a used token good again, or give it other names."""
    made = await enrolment_room()
    token = (await made.invite()).join_token
    assert isinstance(made.store, MemoryJoinStore)
    (row,) = made.store._rows.values()
    made.store._rows[row.digest] = replace(row, **forgery)
    with pytest.raises(IntegrityError):
        await made.enroll(token)


async def test_old_tokens_are_forgotten() -> None:
    """A week after its end a token's row goes."""
    made = await enrolment_room()
    await made.invite(ttl_minutes=1)
    made.identity.clock.move(KEPT_SECONDS)
    assert await made.enrolment.sweep() == 0
    made.identity.clock.move(61)
    assert await made.enrolment.sweep() == 1


READ = "credentials:read"


async def test_tokens_that_are_good_are_listed_without_what_lets_anyone_in() -> None:
    """Of one service or of all, but never of services that the caller may not see."""
    made = await enrolment_room()
    invited = await made.invite(dns_names=("bot.internal",))
    await made.invite("other")
    room, all_of_them = made.enrolment, ListJoinTokens()
    listed = (await room.list(admin(READ), all_of_them)).join_tokens
    assert {each.service_name for each in listed} == {"bot", "other"}
    (bot,) = (await room.list(admin(READ), ListJoinTokens("bot"))).join_tokens
    assert (bot.dns_names, bot.expires_at) == (("bot.internal",), invited.expires_at)
    assert invited.join_token.partition(".")[0] not in repr(bot)
    narrow = service("watcher", PermissionSet((f"{READ}:other",)), READ)
    assert [each.service_name for each in (await room.list(narrow, all_of_them)).join_tokens] == ["other"]
    await made.enroll(invited.join_token)
    assert [each.service_name for each in (await room.list(admin(READ), all_of_them)).join_tokens] == ["other"]


async def test_a_withdrawn_token_lets_nobody_in() -> None:
    """One by its id, or all of a service; another service's stay."""
    made = await enrolment_room()
    first, second, other = await made.invite(), await made.invite(), await made.invite("other")
    room, grant = made.enrolment, admin(ISSUE, "bot")
    listed = (await room.list(admin(READ), ListJoinTokens("bot"))).join_tokens
    async with made.entry() as entry:
        assert (await room.withdraw(grant, WithdrawJoinTokens("bot", listed[0].id), entry)).withdrawn == 1
        with pytest.raises(NotFoundError, match="Join token not found"):
            await room.withdraw(grant, WithdrawJoinTokens("bot", "0" * 16), entry)
        assert (await room.withdraw(grant, WithdrawJoinTokens("bot"), entry)).withdrawn == 1
        assert (await room.withdraw(grant, WithdrawJoinTokens("bot"), entry)).withdrawn == 0
    assert await made.enroll(other.join_token)
    for moment in (0, 3 * 86_400):
        made.identity.clock.move(moment)
        for token in (first, second):
            assert await refusal(made, token.join_token) == "join token of bot was withdrawn before"


async def test_a_used_token_is_not_called_withdrawn() -> None:
    """Neither in the second it was used in, nor after its end; and withdrawing it ends nothing."""
    made = await enrolment_room()
    token = (await made.invite(ttl_minutes=1)).join_token
    made.identity.clock.move(59.9)
    assert await made.enroll(token)
    for moment in (0, 60):
        made.identity.clock.move(moment)
        assert await refusal(made, token) == "join token of bot was used before"
        async with made.entry() as entry:
            assert (await made.enrolment.withdraw(admin(ISSUE, "bot"), WithdrawJoinTokens("bot"), entry)).withdrawn == 0


async def test_only_who_may_invite_withdraws() -> None:
    """A grant for another service ends nothing."""
    made = await enrolment_room()
    token = (await made.invite()).join_token
    other = service("deployer", PermissionSet((f"{ISSUE}:other",)), ISSUE, "other")
    async with made.entry() as entry:
        with pytest.raises(PermissionDeniedError):
            await made.enrolment.withdraw(other, WithdrawJoinTokens("bot"), entry)
    assert await made.enroll(token)
