"""The inventory: listing, showing, revoking, counting."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from tests.support.pki import DAY, START, SetClock, entry, grant, opened
from tradewarden.errors import (
    IntegrityError,
    InvalidInputError,
    NotFoundError,
    PermissionDeniedError,
)
from tradewarden.pki.credentials import IssueCredentials, Reason, RevokeCertificate, State
from tradewarden.storage.memory import MemoryDatabase
from tradewarden.storage.memory_pki import MemoryPkiStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tradewarden.pki.authority import Authority
    from tradewarden.pki.credentials import Credentials, InventoryItem


READ, REVOKE = "credentials:read", "credentials:revoke"


@pytest.fixture
def clock() -> SetClock:
    """Give a clock to set."""
    return SetClock()


@pytest.fixture
def database() -> MemoryDatabase:
    """Give the database below the store."""
    return MemoryDatabase()


@pytest.fixture
def store(database: MemoryDatabase) -> MemoryPkiStore:
    """Give the store below the authority."""
    return MemoryPkiStore(database)


@pytest.fixture
async def authority(tmp_path: Path, store: MemoryPkiStore, clock: SetClock) -> AsyncIterator[Authority]:
    """Give an authority."""
    made = await opened(tmp_path, store, clock=clock)
    yield made
    await made.close()


async def issue(authority: Authority, service: str = "bot", hours: int = 24) -> Credentials:
    """Issue to a service, as an admin."""
    command = IssueCredentials(service, ttl_hours=hours)
    return await authority.issue(grant("credentials:issue", service), command, entry())


async def revoke(authority: Authority, made: Credentials, reason: Reason = Reason.UNSPECIFIED) -> InventoryItem:
    """Revoke, as an admin."""
    command = RevokeCertificate(made.serial_number, reason)
    return await authority.revoke(grant(REVOKE), command, entry("credentials:revoke"))


async def serials(authority: Authority, **filters: Any) -> list[str]:  # noqa: ANN401  (the filters of `list`)
    """List serial numbers, as an admin."""
    page = await authority.list(grant(READ), **filters)
    return [each.serial_number for each in page.items]


async def test_certificates_are_listed_in_the_order_of_their_ends(authority: Authority) -> None:
    """What ends first is listed first, without certificates and keys."""
    late, soon = await issue(authority, hours=48), await issue(authority, hours=2)
    page = await authority.list(grant(READ))
    assert [each.serial_number for each in page.items] == [soon.serial_number, late.serial_number]
    assert page.next == ""
    first = page.items[0]
    assert (first.service_name, first.state, first.issued_by) == ("bot", State.ACTIVE, "user:admin")
    assert (first.issued_at, first.expires_at) == (START, START + 7200)
    assert (first.revoked_at, first.reason, first.certificate) == (None, None, "")


async def test_a_listing_is_filtered_by_service_state_and_end(authority: Authority, clock: SetClock) -> None:
    """Each filter shows exactly what it says."""
    bot, other = await issue(authority, hours=2), await issue(authority, "other", hours=48)
    gone = await issue(authority, "other", hours=72)
    await revoke(authority, gone)
    clock.time += 3 * 3600
    assert await serials(authority, service="bot") == [bot.serial_number]
    assert await serials(authority, state=State.EXPIRED) == [bot.serial_number]
    assert await serials(authority, state=State.ACTIVE) == [other.serial_number]
    assert await serials(authority, state=State.REVOKED) == [gone.serial_number]
    assert await serials(authority, state=State.ACTIVE, expiring_before=START + DAY) == []
    assert await serials(authority, state=State.ACTIVE, expiring_before=START + 3 * DAY) == [other.serial_number]


async def test_a_listing_goes_on_where_its_page_ended(authority: Authority) -> None:
    """Pages put together are the whole listing, each certificate once."""
    made = {(await issue(authority)).serial_number for _ in range(7)}
    seen, after = [], ""
    for _ in range(4):
        page = await authority.list(grant(READ), limit=2, after=after)
        seen += [each.serial_number for each in page.items]
        after = page.next
    assert after == ""
    assert len(seen) == 7
    assert set(seen) == made


@pytest.mark.parametrize("bad", [{"limit": 0}, {"limit": 1001}, {"after": "x"}, {"after": "1.zz"}])
async def test_limits_and_cursors_that_are_no_good_are_refused(authority: Authority, bad: dict[str, Any]) -> None:
    """A limit out of bounds and an invented cursor are InvalidInputErrors."""
    with pytest.raises(InvalidInputError):
        await authority.list(grant(READ), **bad)


async def test_a_scoped_reader_sees_its_own_service_only(authority: Authority) -> None:
    """A listing is filtered item by item, and another service's certificate cannot be shown."""
    bot, other = await issue(authority), await issue(authority, "other")
    narrow = grant(READ, names=("credentials:read:bot",))
    page = await authority.list(narrow)
    assert [each.serial_number for each in page.items] == [bot.serial_number]
    assert (await authority.get(narrow, bot.serial_number)).service_name == "bot"
    with pytest.raises(PermissionDeniedError):
        await authority.get(narrow, other.serial_number)


async def test_a_certificate_is_shown_by_any_writing_of_its_serial_number(authority: Authority) -> None:
    """OpenSSL's writing with colons and capitals finds the certificate too."""
    made = await issue(authority)
    digits = made.serial_number.upper()
    colons = ":".join(digits[at : at + 2] for at in range(0, 40, 2))
    for text in (made.serial_number, digits, colons):
        assert (await authority.get(grant(READ), text)).certificate == made.certificate


@pytest.mark.parametrize("serial", ["", "xyz", "1" * 41, ":" * 50, "1" * 4000, "\u0661"])
async def test_serial_numbers_that_are_none_are_refused(authority: Authority, serial: str) -> None:
    """Text that is no serial number is an InvalidInputError, quickly."""
    with pytest.raises(InvalidInputError, match="serial_number"):
        await authority.get(grant(READ), serial)


async def test_an_unknown_serial_number_is_not_found(authority: Authority) -> None:
    """A serial number we never issued is not found, and counts as revoked."""
    with pytest.raises(NotFoundError):
        await authority.get(grant(READ), "ab")
    with pytest.raises(NotFoundError):
        await authority.revoke(grant(REVOKE), RevokeCertificate("ab"), entry())
    assert await authority.is_revoked("ab")


async def test_a_revocation_holds_at_once_and_is_final(
    authority: Authority, database: MemoryDatabase, clock: SetClock
) -> None:
    """Revoking moves the revision, is told with time and reason, and a second time changes nothing."""
    made = await issue(authority)
    before = (await database.revisions()).certificates
    assert not await authority.is_revoked(made.serial_number)
    clock.time += 60
    told = await revoke(authority, made, Reason.KEY_COMPROMISE)
    clock.time += 60
    again = await revoke(authority, made, Reason.SUPERSEDED)
    assert await authority.is_revoked(made.serial_number)
    assert told == again
    assert (told.state, told.reason, told.revoked_at) == (
        State.REVOKED,
        Reason.KEY_COMPROMISE,
        START + 60,
    )
    assert (await database.revisions()).certificates == before + 1


async def test_each_revocation_leaves_its_entry(authority: Authority, database: MemoryDatabase) -> None:
    """The call that revoked carries the row's digest; the one that found it done is recorded too."""
    made = await issue(authority)
    await revoke(authority, made)
    await revoke(authority, made)
    first, second = (json.loads(each) for each in database.inbox[-2:])
    assert first["resource"] == second["resource"] == f"bot/{made.serial_number}"
    assert len(first["rows"]) == 1
    assert "rows" not in second


async def test_the_right_to_revoke_is_scoped_by_name(authority: Authority) -> None:
    """Who may revoke for one service cannot revoke another's certificate."""
    other = await issue(authority, "other")
    narrow = grant(REVOKE, names=("credentials:revoke:bot",))
    with pytest.raises(PermissionDeniedError):
        await authority.revoke(narrow, RevokeCertificate(other.serial_number), entry())
    with pytest.raises(PermissionDeniedError):
        await authority.revoke(grant(READ), RevokeCertificate(other.serial_number), entry())
    assert not await authority.is_revoked(other.serial_number)


async def test_a_row_that_was_changed_outside_is_refused(authority: Authority, store: MemoryPkiStore) -> None:
    """Taking a revocation back in the database is found at the next look."""
    made = await issue(authority)
    await revoke(authority, made)
    row = store._certificates[made.serial_number]
    store._certificates[made.serial_number] = replace(row, revocation=0, revoked_at=0.0, reason="")
    for look in (
        authority.is_revoked(made.serial_number),
        authority.get(grant(READ), made.serial_number),
        authority.list(grant(READ)),
    ):
        with pytest.raises(IntegrityError, match="table certificates"):
            await look


async def test_counts_follow_issues_revocations_and_time(authority: Authority, clock: SetClock) -> None:
    """The count of valid certificates and the first end are right after each step."""
    assert (await authority.counts()).active == 0
    first, _ = await issue(authority, hours=2), await issue(authority, hours=48)
    counted = await authority.counts()
    assert (counted.active, counted.soonest_expiry) == (2, START + 7200)
    await revoke(authority, first)
    counted = await authority.counts()
    assert (counted.active, counted.soonest_expiry) == (1, START + 2 * DAY)
    clock.time += 3 * DAY
    assert (await authority.counts()).active == 0
