"""Rotation in process, and the day a service is compromised, over an open installation."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from tests.support.secrets import HandClock
from tests.support.warden import opened
from tradewarden import Warden, load_settings
from tradewarden.access.grant import authorize
from tradewarden.access.permission import PermissionSet
from tradewarden.access.principal import Kind, Principal
from tradewarden.audit.entry import EventType, Result
from tradewarden.audit.query import Filter
from tradewarden.compromised import CompromisedService, contain
from tradewarden.errors import (
    AuthenticationError,
    ConfigurationError,
    ConflictError,
    FeatureDisabledError,
    InvalidInputError,
    NotFoundError,
    PermissionDeniedError,
    RotationFailedError,
    TokenError,
)
from tradewarden.identity.commands import ListJoinTokens, MakeJoinToken
from tradewarden.pki.credentials import State
from tradewarden.secrets.commands import PutSecret
from tradewarden.secrets.rotation.commands import Rotated, SetPolicy
from tradewarden.secrets.rotation.rotations import ROTATE
from tradewarden.secrets.rotation.rotators.random import RandomRotator

if TYPE_CHECKING:
    from pathlib import Path

    from tradewarden.secrets.rotation.rotator import Job, ReadSecret

BOT = "trading_bot"


async def read_as(warden: Warden, service: str, path: str) -> None:
    """Read a secret as a service does over HTTP: its entry names it, and goes to the journal."""
    principal = Principal(Kind.SERVICE, service)
    async with warden.entry(EventType.SECRET_ACCESS, "read", path) as entry:
        entry.user = str(principal)
        grant = authorize(principal, PermissionSet(("secrets:read:app/*",)), "secrets:read", path)
        await warden.secrets.get(grant, path)


async def write_as(warden: Warden, service: str, path: str) -> None:
    """Write a secret as a service does."""
    principal = Principal(Kind.SERVICE, service)
    async with warden.entry(EventType.SECRET_ACCESS, "write", path) as entry:
        entry.user = str(principal)
        grant = authorize(principal, PermissionSet(("secrets:write",)), "secrets:write", path)
        await warden.secrets.put(grant, PutSecret(path, b'{"password":"x"}'), entry)  # type: ignore[arg-type]


async def version(warden: Warden, path: str) -> int:
    """Return which version of a secret is current."""
    return (await warden.local.secrets.get(path)).version


async def test_rotation_in_process(tmp_path: Path) -> None:
    """The library's face writes a policy, lists, rotates and removes."""
    async with opened(tmp_path) as warden:
        local = warden.local.rotations
        await warden.local.secrets.put("app/key", {"key": "old", "use": "sig"})
        await local.set_policy(
            "app/key", "random", {"make": "base64url"}, every_seconds=3600, schedule="sun 02:00-04:00"
        )
        assert [each.policy.path for each in await local.list("app/")] == ["app/key"]
        assert await local.list(due=True) == []
        done = await local.run("app/key")
        assert (done.version, done.previous_version) == (2, 1)
        value = (await warden.local.secrets.get("app/key")).value()
        assert value["previous"] == ["old"]
        await local.remove_policy("app/key")
        assert await local.list() == []


async def test_an_open_installation_rotates_by_itself(tmp_path: Path) -> None:
    """Without a service, the process that has the installation open rotates what is due."""
    settings = load_settings({"TRADEWARDEN_DATA_DIR": str(tmp_path / "data")})
    async with Warden.open(settings) as warden:
        await warden.local.rotations.set_policy("app/made", "random", {"make": "password"}, every_seconds=3600)
        async with asyncio.timeout(10):
            while "app/made" not in await warden.local.secrets.list():  # noqa: ASYNC110 - it has no event
                await asyncio.sleep(0.01)
    async with opened(tmp_path) as warden:
        assert await version(warden, "app/made") == 1


async def test_the_end_of_the_process_lets_a_rotation_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who closes an installation does not wait for a step that hangs; the next one goes on there at once."""
    entered = asyncio.Event()

    async def hangs(self: RandomRotator, job: Job, read: ReadSecret) -> None:
        del self, job, read
        entered.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(RandomRotator, "set", hangs)
    settings = load_settings({"TRADEWARDEN_DATA_DIR": str(tmp_path / "data")})
    async with asyncio.timeout(10), Warden.open(settings) as warden:
        await warden.local.rotations.set_policy("app/made", "random", {"make": "password"}, every_seconds=3600)
        await entered.wait()
    monkeypatch.undo()
    async with opened(tmp_path) as warden:
        (found,) = await warden.local.rotations.list()
        assert (found.state, found.step, found.failures) == ("stopped", "set", 0)
        assert (await warden.local.rotations.run("app/made")).resumed


async def test_two_processes_never_work_on_the_same_rotation(tmp_path: Path) -> None:
    """Of two that begin at once over one database, one rotates and the other is refused; one version comes of it."""
    async with opened(tmp_path) as one, opened(tmp_path) as other:
        await one.local.secrets.put("app/key", {"password": "old"})
        await one.local.rotations.set_policy("app/key", "random", {"make": "password"})
        for round_ in range(5):
            tasks = [each.local.rotations.run("app/key") for each in (one, other, one, other)]
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
            done = [each for each in outcomes if isinstance(each, Rotated)]
            refused = [each for each in outcomes if not isinstance(each, Rotated)]
            assert all(isinstance(each, ConflictError) for each in refused), refused
            assert len({each.version for each in done}) == len(done) >= 1, round_
            assert await version(one, "app/key") == max(each.version for each in done)


async def test_what_is_overdue_is_told_of(tmp_path: Path) -> None:
    """Readiness warns of rotations that should have run by themselves an hour ago, and names them."""
    clock = HandClock(time.time())
    async with opened(tmp_path, clock) as warden:
        await warden.local.secrets.put("app/key", {"password": "old"})
        await warden.local.rotations.set_policy("app/key", "random", {"make": "password"}, every_seconds=60)
        assert (await warden.readiness()).warnings == ()
        clock.time += 60 + 3601
        told = (await warden.readiness()).warnings
        assert told == ("rotation overdue: app/key; see 'tradewarden secrets due'",)
        assert warden.rotations.tending.late == 1


async def test_what_a_compromised_service_has_seen_is_rotated(tmp_path: Path) -> None:
    """Its access ends, what it read or wrote is rotated where that is possible, and the rest is named."""
    async with opened(tmp_path) as warden:
        local = warden.local
        for path in ("app/read", "app/by-hand", "app/unseen"):
            await local.secrets.put(path, {"password": "old"})
        for path in ("app/read", "app/written", "app/unseen"):
            await local.rotations.set_policy(path, "random", {"make": "password"}, automatic=False)
        await local.services.register(BOT, ["read", "write"])
        token = (await local.tokens.issue(BOT)).token
        certificate = await local.credentials.issue(BOT)
        inviter = authorize(Principal(Kind.USER, "admin"), PermissionSet(("admin",)), "credentials:issue", BOT)
        entry = warden.entry(EventType.CERTIFICATE, "join_token", BOT)
        await warden.enrolment.invite(inviter, MakeJoinToken(BOT), entry)
        await write_as(warden, BOT, "app/written")
        await read_as(warden, BOT, "app/by-hand")
        await warden.clerk.run_once(last=True)
        await read_as(warden, BOT, "app/read")  # stands in the journal alone
        await read_as(warden, "another", "app/unseen")
        (found,) = await local.rotations.compromised(BOT)
        assert found.ended == ("its client secret", "1 join token", "all of its tokens", "1 certificate")
        assert found.seen == 3
        assert {each.path for each in found.rotated} == {"app/read", "app/written"}
        assert [(each.what, each.why) for each in found.by_hand] == [("app/by-hand", "it has no rotation policy")]
        assert [await version(warden, path) for path in ("app/read", "app/written", "app/unseen")] == [2, 2, 1]
        with pytest.raises(TokenError):
            await local.tokens.validate(token)
        reader = authorize(Principal(Kind.USER, "admin"), PermissionSet(("admin",)), "credentials:read", BOT)
        assert (await warden.enrolment.list(reader, ListJoinTokens(BOT))).join_tokens == ()
        grant = authorize(Principal(Kind.USER, "admin"), PermissionSet(("admin",)), "credentials:read", BOT)
        page = await warden.authority.list(grant, service=BOT)
        assert [(each.serial_number, each.state) for each in page.items] == [(certificate.serial_number, State.REVOKED)]
        await warden.clerk.run_once(last=True)
        entries = await local.audit.search(Filter(resource="app/read", action="rotate"))
        assert entries


async def test_the_client_secret_of_a_compromised_service_ends(tmp_path: Path) -> None:
    """Nobody knows the client secret that takes the place of the old one."""
    async with opened(tmp_path) as warden:
        made = await warden.local.services.register(BOT, ["read"])
        assert (await warden.services.authenticate(BOT, made.client_secret)).service_name == BOT
        (found,) = await warden.local.rotations.compromised(BOT)
        assert "its client secret" in found.ended
        with pytest.raises(AuthenticationError):
            await warden.services.authenticate(BOT, made.client_secret)


async def test_what_does_not_work_is_left_for_a_person(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rotation that fails is named with its reason, and the others still run."""
    async with opened(tmp_path) as warden:
        for path in ("app/a", "app/b"):
            await warden.local.secrets.put(path, {"password": "old"})
            await warden.local.rotations.set_policy(path, "random", {"make": "password"})
            await read_as(warden, BOT, path)
        run = warden.rotations.run

        async def fails(grant, command, entry):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
            if command.path == "app/a":
                raise RotationFailedError("the role is gone")
            return await run(grant, command, entry)

        monkeypatch.setattr(warden.rotations, "run", fails)
        (found,) = await warden.local.rotations.compromised(BOT)
        assert [(each.what, each.why) for each in found.by_hand] == [("app/a", "the role is gone")]
        assert [each.path for each in found.rotated] == ["app/b"]


async def test_a_long_day_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One call works for a few seconds; the next goes on behind it, and each secret is rotated once."""
    monkeypatch.setattr("tradewarden.compromised.BUDGET_SECONDS", -1.0)
    async with opened(tmp_path) as warden:
        for number in range(3):
            await warden.local.secrets.put(f"app/{number}", {"password": "old"})
            await warden.local.rotations.set_policy(f"app/{number}", "random", {"make": "password"})
            await read_as(warden, BOT, f"app/{number}")
        parts = await warden.local.rotations.compromised(BOT)
        assert [[each.path for each in part.rotated] for part in parts] == [["app/0"], ["app/1"], ["app/2"]]
        assert [part.next for part in parts] == ["app/0", "app/1", None]
        assert [bool(part.ended) for part in parts] == [True, False, False]


@pytest.mark.parametrize("missing", ["audit:read", "tokens:revoke", "credentials:revoke", "services:manage"])
async def test_every_right_is_needed_before_anything_is_done(tmp_path: Path, missing: str) -> None:
    """Who lacks one of the rights that it takes changes nothing."""
    rights = {
        *("secrets:rotate", "audit:read", "tokens:revoke", "credentials:read", "credentials:revoke"),
        *("services:manage", "acme:read", "acme:manage"),
    }
    async with opened(tmp_path) as warden:
        made = await warden.local.services.register(BOT, ["read"])
        grant = authorize(Principal(Kind.USER, "x"), PermissionSet(sorted(rights - {missing})), ROTATE)
        with pytest.raises(PermissionDeniedError):
            async with warden.entry(EventType.SECRET_ACCESS, "rotate") as entry:
                await contain(warden, grant, CompromisedService(BOT), entry)
        assert (await warden.services.authenticate(BOT, made.client_secret)).service_name == BOT


async def test_hosts_to_rotate_at_are_a_setting(tmp_path: Path) -> None:
    """TRADEWARDEN_ROTATION_HOSTS is a list of host:port, empty by default, and says what it does not understand."""
    base = {"TRADEWARDEN_DATA_DIR": str(tmp_path)}
    assert load_settings(base).rotation_hosts == ()
    given = load_settings({**base, "TRADEWARDEN_ROTATION_HOSTS": "DB.internal:5432, [fd00::1]:443"})
    assert given.rotation_hosts == (("db.internal", 5432), ("fd00::1", 443))
    for wrong in ("db.internal", "db.internal:0", "db.internal:70000", "https://db:1"):
        with pytest.raises(ConfigurationError, match="TRADEWARDEN_ROTATION_HOSTS"):
            load_settings({**base, "TRADEWARDEN_ROTATION_HOSTS": wrong})


async def test_with_certificates_off_the_rest_is_done(tmp_path: Path) -> None:
    """A part of the service that is turned off keeps nothing else from being ended."""
    async with opened(tmp_path, ENABLE_MTLS="false") as warden:
        await warden.local.services.register(BOT, ["read"])
        (found,) = await warden.local.rotations.compromised(BOT)
        assert found.ended == ("its client secret", "all of its tokens")
        with pytest.raises(FeatureDisabledError):
            await warden.local.credentials.issue(BOT)


async def test_a_write_that_nobody_knows_the_end_of_counts(tmp_path: Path) -> None:
    """An intent without an outcome and a failed write may have set a value; a denied one and a failed read have not."""
    async with opened(tmp_path) as warden:
        for number, (action, result) in enumerate(
            [("write.intent", "success"), ("write", "failure"), ("write", "denied"), ("read", "failure")]
        ):
            path = f"app/{number}"
            await warden.local.secrets.put(path, {"password": "old"})
            await warden.local.rotations.set_policy(path, "random", {"make": "password"})
            async with warden.entry(EventType.SECRET_ACCESS, action, path) as entry:
                entry.user, entry.result = str(Principal(Kind.SERVICE, BOT)), Result(result)
        (found,) = await warden.local.rotations.compromised(BOT)
        assert [each.path for each in found.rotated] == ["app/0", "app/1"]


async def test_fields_that_a_policy_leaves_are_for_a_person(tmp_path: Path) -> None:
    """A secret of which only a part was replaced is named with what is left."""
    async with opened(tmp_path) as warden:
        await warden.local.secrets.put("app/key", {"user": "u", "password": "old", "api_secret": "leaked"})
        await warden.local.rotations.set_policy("app/key", "random", {"make": "password"})
        await read_as(warden, BOT, "app/key")
        (found,) = await warden.local.rotations.compromised(BOT)
        (left,) = found.by_hand
        assert left.what == "app/key"
        assert "'api_secret'" in left.why
        assert "'user'" not in left.why


async def test_policies_of_a_compromised_author_are_named(tmp_path: Path) -> None:
    """What the service told us to do with secrets is for a person to look at."""
    async with opened(tmp_path) as warden:
        principal = Principal(Kind.SERVICE, BOT)
        grant = authorize(principal, PermissionSet((ROTATE,)), ROTATE, "app/new")
        async with warden.entry(EventType.SECRET_ACCESS, "rotate", "app/new") as entry:
            entry.user = str(principal)
            await warden.rotations.set_policy(grant, SetPolicy("app/new", "random", {"make": "password"}), entry)
        (found,) = await warden.local.rotations.compromised(BOT)
        assert [each.what for each in found.by_hand] == ["app/new"]
        assert "compromised" in found.by_hand[0].why


async def test_a_service_that_nobody_knows_is_not_found(tmp_path: Path) -> None:
    """A typing error is told, again and again, and changes nothing; the service itself cannot be named."""
    async with opened(tmp_path) as warden:
        for _ in range(2):
            with pytest.raises(NotFoundError, match="no-such-service"):
                await warden.local.rotations.compromised("no-such-service")
        with pytest.raises(InvalidInputError, match="this service itself"):
            await warden.local.rotations.compromised("tradewarden")
        await warden.local.services.register("gone", ["read"])
        manage = authorize(Principal(Kind.USER, "admin"), PermissionSet(("admin",)), "services:manage", "gone")
        async with warden.entry(EventType.CONFIGURATION_CHANGE, "manage", "gone") as entry:
            await warden.services.delete(manage, "gone", entry)
        assert await warden.local.rotations.compromised("gone")
