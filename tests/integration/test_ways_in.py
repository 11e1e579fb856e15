"""The end of every way in that a service has: in which order, and what was under way meanwhile."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from tests.support.acme import Pair, show_key
from tests.support.secrets import HandClock
from tests.support.warden import opened
from tradewarden import Warden
from tradewarden.access.grant import ANY, Credential, authorize
from tradewarden.access.permission import ALL, PermissionSet
from tradewarden.access.principal import Kind, Principal
from tradewarden.acme.commands import MakeKey, NewAccount
from tradewarden.acme.problem import AcmeProofError
from tradewarden.acme.rights import rights, service_principal
from tradewarden.audit.entry import EventType
from tradewarden.errors import AuthenticationError, NotFoundError, TokenError
from tradewarden.identity.commands import ListJoinTokens, MakeJoinToken
from tradewarden.pki.credentials import State
from tradewarden.ways_in import LISTINGS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from tradewarden.access.grant import Grant
    from tradewarden.compromised import Contained
    from tradewarden.identity.commands import ServiceRegistered

BOT = "trading-bot"
ADMIN = Principal(Kind.USER, "admin")
Steps = dict[str, "tuple[object, str]"]


def admin(action: str, resource: str = BOT) -> Grant:
    """Return an administrator's grant."""
    return authorize(ADMIN, ALL, action, resource)


async def contained(warden: Warden) -> Contained:
    """Act as on the day the service is compromised."""
    (found,) = await warden.local.rotations.compromised(BOT)
    return found


async def active(warden: Warden) -> list[str]:
    """Return the serial numbers of the service's certificates that are good."""
    page = await warden.authority.list(admin("credentials:read"), service=BOT, state=State.ACTIVE)
    return [each.serial_number for each in page.items]


async def is_good(warden: Warden, token: str) -> bool:
    """Tell whether a token is accepted."""
    try:
        await warden.local.tokens.validate(token)
    except TokenError:
        return False
    return True


async def account_of(warden: Warden, key_id: str) -> Pair:
    """Open an ACME account with an external account key."""
    pair = Pair()
    shown = Credential("acme_binding", key_id)
    grant = authorize(service_principal(BOT), rights(BOT), "acme:account", BOT, shown)
    await warden.acme.accounts.open(
        grant, pair.public, NewAccount(), warden.entry(EventType.CERTIFICATE, "manage", BOT)
    )
    return pair


def also(monkeypatch: pytest.MonkeyPatch, place: object, name: str, meanwhile: Callable[[], Awaitable[None]]) -> None:
    """Let something happen right before a method of a room does its work."""
    method = getattr(place, name)

    async def both(*arguments: object, **more: object) -> object:
        await meanwhile()
        return await method(*arguments, **more)

    monkeypatch.setattr(place, name, both)


class Everything:
    """A service with every way in that there is."""

    def __init__(self, warden: Warden) -> None:
        self._warden = warden

    async def make(self) -> None:
        """Make all of it."""
        warden, self.serials = self._warden, []
        self.made: ServiceRegistered = await warden.local.services.register(BOT, ["read", "credentials:issue"])
        self.token = await warden.local.tokens.issue(BOT, refresh=True)
        self.serials = [(await warden.local.credentials.issue(BOT)).serial_number for _ in range(2)]
        entry = warden.entry(EventType.CERTIFICATE, "manage", BOT)
        await warden.enrolment.invite(admin("credentials:issue"), MakeJoinToken(BOT), entry)
        make = admin("acme:manage")
        used, self.unused = [await warden.acme.bindings.make(make, MakeKey(BOT), entry) for _ in range(2)]
        await account_of(warden, used.kid)

    async def proves(self) -> bool:
        """Tell whether its client secret is accepted."""
        try:
            await self._warden.services.authenticate(BOT, self.made.client_secret)
        except AuthenticationError:
            return False
        return True

    async def joins(self) -> bool:
        """Tell whether a join token of it is open."""
        listed = await self._warden.enrolment.list(admin("credentials:read"), ListJoinTokens(BOT))
        return bool(listed.join_tokens)

    async def binds(self) -> bool:
        """Tell whether its unused external account key opens an account."""
        try:
            await show_key(self._warden.acme, self.unused.kid, self.unused.hmac_key)
        except AcmeProofError:
            return False
        return True

    async def orders(self) -> bool:
        """Tell whether an ACME account of it is valid."""
        page = await self._warden.acme.accounts.list(admin("acme:read", ANY))
        return any(each.status == "valid" for each in page.accounts)

    async def left(self) -> list[str]:
        """Return what of it is good."""
        found = {
            "client secret": await self.proves(),
            "join token": await self.joins(),
            "external account key": await self.binds(),
            "ACME account": await self.orders(),
            "token": await is_good(self._warden, self.token.token),
            "certificate": bool(await active(self._warden)),
        }
        return [name for name, good in found.items() if good]


@pytest.fixture
async def warden(tmp_path: Path) -> AsyncIterator[Warden]:
    """An installation without background work."""
    async with opened(tmp_path) as made:
        yield made


@pytest.fixture
async def service(warden: Warden) -> Everything:
    """A service with every way in."""
    made = Everything(warden)
    await made.make()
    assert len(await made.left()) == 6
    return made


async def test_every_way_in_ends(warden: Warden, service: Everything) -> None:
    """All of it is told with its number, in the order in which it ended; an external account key needs no word."""
    found = await contained(warden)
    assert found.ended == (
        *("its client secret", "1 join token", "1 ACME account", "all of its tokens", "2 certificates"),
    )
    assert found.by_hand == ()
    assert await service.left() == []


async def test_what_gives_credentials_ends_before_what_it_gave(
    warden: Warden, service: Everything, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When tokens begin to end, neither the client secret nor a join token, a key or an account gives another one."""
    seen: list[list[str]] = []

    async def look() -> None:
        seen.append(await service.left())

    also(monkeypatch, warden.tokens, "revoke", look)
    await contained(warden)
    assert seen[0] == ["certificate"]


async def test_one_change_of_the_registration_voids_what_goes_back_to_it(
    warden: Warden, service: Everything, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Were nothing else done, no token, no external account key and no ACME account would be good any more."""
    entry = warden.entry(EventType.CONFIGURATION_CHANGE, "manage", BOT)
    await warden.services.end_access(admin("services:manage"), BOT, entry)
    assert await service.left() == ["join token", "ACME account", "certificate"]  # as listed; neither is accepted
    with pytest.raises(TokenError):
        await warden.local.tokens.validate(service.token.token)


async def test_a_certificate_that_is_made_meanwhile_ends_too(
    warden: Warden, service: Everything, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Certificates are listed again until there is none, and all are counted."""
    made: list[str] = []

    async def renew() -> None:
        if len(made) < 3:
            made.append((await warden.local.credentials.issue(BOT)).serial_number)

    also(monkeypatch, warden.authority, "revoke", renew)
    found = await contained(warden)
    assert await active(warden) == []
    assert "5 certificates" in found.ended
    assert len(made) == 3


async def test_who_goes_on_making_certificates_is_told_of(
    warden: Warden, service: Everything, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Should there be new ones again and again, a person has to see to it; everything else has ended."""

    async def renew() -> None:
        await warden.local.credentials.issue(BOT)

    also(monkeypatch, warden.authority, "revoke", renew)
    monkeypatch.setattr("tradewarden.ways_in.LISTINGS", 3)
    found = await contained(warden)
    (left,) = found.by_hand
    assert left.what == "its certificates"
    assert "new ones again and again" in left.why
    assert found.ended == ("its client secret", "1 join token", "1 ACME account", "all of its tokens")
    assert await service.left() == ["certificate"]
    assert LISTINGS > 3


async def test_a_token_that_is_made_meanwhile_ends_too(
    warden: Warden, service: Everything, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tokens end once more behind the certificates, and are told once."""
    made: list[str] = []

    async def issue() -> None:
        made.append((await warden.local.tokens.issue(BOT)).token)

    also(monkeypatch, warden.authority, "revoke", issue)
    found = await contained(warden)
    assert len(made) == 2
    assert [await is_good(warden, each) for each in made] == [False, False]
    assert found.ended.count("all of its tokens") == 1


async def test_what_was_under_way_as_the_proof_ended_ends_too(
    warden: Warden, service: Everything, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token and a certificate that were committed after all had ended are found before anything is rotated."""
    made: list[str] = []

    async def commit() -> None:
        if not made:
            made.append((await warden.local.tokens.issue(BOT)).token)
            await warden.local.credentials.issue(BOT)

    also(monkeypatch, warden.clerk, "settle", commit)
    found = await contained(warden)
    assert not await is_good(warden, made[0])
    assert await service.left() == []
    assert found.ended[-2:] == ("2 certificates", "1 certificate")


@pytest.mark.parametrize("registered", [True, False])
async def test_a_certificate_in_its_grace_ends_too(tmp_path: Path, *, registered: bool) -> None:
    """A certificate that has ended and could still be renewed by its key is revoked with the others."""
    clock = HandClock(time.time())
    async with opened(tmp_path, clock, TRADEWARDEN_RENEWAL_GRACE_HOURS="48") as warden:
        if registered:
            await warden.local.services.register(BOT, ["read"])
        for hours in (1, 30):
            await warden.local.credentials.issue(BOT, ttl_hours=hours)
            clock.time += 35 * 3600
        await warden.local.credentials.issue(BOT)
        found = await contained(warden)
        page = await warden.authority.list(admin("credentials:read"), service=BOT)
        assert [each.state for each in page.items] == [State.EXPIRED, State.REVOKED, State.REVOKED]
        assert "2 certificates" in found.ended


@pytest.mark.parametrize("step", ["services", "enrolment", "accounts", "tokens", "certificates", "rotations"])
async def test_a_run_that_was_cut_off_is_made_again(
    warden: Warden, service: Everything, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Wherever the first run dies, the second one ends what is left and rotates."""
    await warden.local.secrets.put("app/key", {"password": "old"})
    await warden.local.rotations.set_policy("app/key", "random", {"make": "password"})
    async with warden.entry(EventType.SECRET_ACCESS, "read", "app/key") as entry:
        entry.user = f"service:{BOT}"
    steps: Steps = {
        "services": (warden.services, "end_access"),
        "enrolment": (warden.enrolment, "withdraw"),
        "accounts": (warden.acme.accounts, "end"),
        "tokens": (warden.tokens, "revoke"),
        "certificates": (warden.authority, "revoke"),
        "rotations": (warden.rotations, "run"),
    }

    async def dies() -> None:
        raise asyncio.CancelledError

    with monkeypatch.context() as patch:
        also(patch, *steps[step], dies)
        with pytest.raises(asyncio.CancelledError):
            await contained(warden)
    found = await contained(warden)
    assert await service.left() == []
    assert [each.path for each in found.rotated] == ["app/key"]
    assert found.by_hand == ()


async def test_deleting_a_service_ends_the_tokens_of_before_its_registration(tmp_path: Path) -> None:
    """A token that the name had in development before it was registered is not good again afterwards."""
    async with opened(tmp_path, ALPHAPULSE_ENV="development") as warden:
        before = (await warden.local.tokens.issue(BOT, ["read"])).token
        assert await is_good(warden, before)
        await warden.local.services.register(BOT, ["read"])
        own = (await warden.local.tokens.issue(BOT)).token
        await warden.local.services.remove(BOT)
        assert [await is_good(warden, each) for each in (before, own)] == [False, False]


async def test_who_may_not_delete_a_service_ends_nothing_of_it(warden: Warden, service: Everything) -> None:
    """The tokens of a service stay good when its deletion is refused, or when there is nothing to delete."""
    with pytest.raises(NotFoundError):
        await warden.local.services.remove("nobody")
    await refuse_deletion(warden)
    assert await is_good(warden, service.token.token)


async def refuse_deletion(warden: Warden) -> None:
    """Try to delete as somebody who holds less than the service."""
    from tradewarden.errors import PermissionDeniedError
    from tradewarden.unregister import unregister

    less = authorize(ADMIN, PermissionSet((f"services:manage:{BOT}", "tokens:revoke")), "services:manage", BOT)
    with pytest.raises(PermissionDeniedError):
        async with warden.entry(EventType.CONFIGURATION_CHANGE, "manage", BOT) as entry:
            await unregister(warden, less, BOT, entry)


async def test_a_deletion_that_fails_has_ended_more_and_not_less(
    warden: Warden, service: Everything, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tokens end first: when the register then cannot be written, the same call again does the rest."""

    async def dies() -> None:
        raise asyncio.CancelledError

    with monkeypatch.context() as patch:
        also(patch, warden.services, "delete", dies)
        with pytest.raises(asyncio.CancelledError):
            await warden.local.services.remove(BOT)
    assert not await is_good(warden, service.token.token)
    await warden.local.services.remove(BOT)
    assert await warden.services.registered(BOT) is None
