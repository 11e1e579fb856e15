"""A join token is for one registration of its service, also when the service is registered anew while it is used."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.support.pki import csr
from tradewarden import Warden, load_settings
from tradewarden.access.grant import authorize
from tradewarden.access.permission import ALL
from tradewarden.access.principal import Kind, Principal
from tradewarden.audit.entry import EventType
from tradewarden.errors import AuthenticationError, PermissionDeniedError
from tradewarden.identity.commands import MakeJoinToken
from tradewarden.identity.enrolment import Joining
from tradewarden.pki.credentials import Credentials, IssueCredentials

ROOT = Principal(Kind.USER, "admin")
Happening = Callable[[Warden], Awaitable[object]]


@pytest.fixture
async def warden(tmp_path: Path) -> AsyncIterator[Warden]:
    """An installation."""
    opened = await Warden.start(load_settings({"TRADEWARDEN_DATA_DIR": str(tmp_path / "data")}))
    yield opened
    await opened.close()


async def register(warden: Warden) -> None:
    """Register the service."""
    await warden.local.services.register("bot", ["read"])


async def delete(warden: Warden) -> None:
    """Take it off the register."""
    async with warden.entry(EventType.CONFIGURATION_CHANGE, "delete") as entry:
        await warden.services.delete(authorize(ROOT, ALL, "services:manage", "bot"), "bot", entry)


async def register_anew(warden: Warden) -> None:
    """Give its name to another one."""
    await delete(warden)
    await register(warden)


async def incarnation(warden: Warden) -> str:
    """Return the registration that stands."""
    found = await warden.services.registered("bot")
    return "" if found is None else found.incarnation


async def invite(warden: Warden) -> str:
    """Return a join token."""
    async with warden.entry(EventType.CERTIFICATE, "join_token") as entry:
        grant = authorize(ROOT, ALL, "credentials:issue", "bot")
        return (await warden.enrolment.invite(grant, MakeJoinToken("bot"), entry)).join_token


async def enroll(warden: Warden, token: str, found_good: Happening, spent: Happening) -> Credentials:
    """Come in with a join token; something happens once it was found good, and something else when it is spent."""
    async with warden.entry(EventType.CERTIFICATE, "enroll") as entry:

        async def certify(joining: Joining) -> Credentials:
            await found_good(warden)

            async def spend() -> None:
                await joining.spend()
                await spent(warden)

            command = IssueCredentials("bot", csr())
            return await warden.authority.issue(joining.grant, command, entry, replace(joining, spend=spend))

        return await warden.enrolment.enroll(token, entry, certify)


async def nothing(_: Warden) -> None:
    """Leave everything as it is."""


@pytest.mark.parametrize(("before", "meanwhile"), [(register, register_anew), (register, delete), (nothing, register)])
async def test_it_is_of_no_use_for_another_registration(
    warden: Warden, before: Happening, meanwhile: Happening
) -> None:
    """What was found good a moment ago is refused, unspent, and nothing is issued."""
    await before(warden)
    token = await invite(warden)
    with pytest.raises(PermissionDeniedError) as refused:
        await enroll(warden, token, meanwhile, nothing)
    assert refused.value.reason == "bot is not registered as it was when this was allowed"
    assert not (await warden.authority.list(authorize(ROOT, ALL, "credentials:read"), service="bot")).items
    with pytest.raises(AuthenticationError) as again:
        await enroll(warden, token, nothing, nothing)
    assert again.value.reason == "bot is not registered as it was when its join token was made"


@pytest.mark.parametrize("before", [register, nothing])
async def test_the_certificate_is_for_the_registration_that_the_token_was_made_for(
    warden: Warden, before: Happening
) -> None:
    """Also when the name is registered anew in the instant between the token's use and the signature."""
    await before(warden)
    old = await incarnation(warden)
    then = register_anew if before is register else register
    made = await enroll(warden, await invite(warden), nothing, then)
    row = await warden.authority.held(made.serial_number)
    assert row is not None
    assert (row.incarnation == old, row.incarnation == await incarnation(warden)) == (True, False)
