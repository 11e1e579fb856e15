"""What an order was allowed by is asked for again when its certificate is made: account, registration, and names."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from tests.support.acme import AcmeRoom, Pair, acme_room, admin, grant_for, grant_of, request
from tradewarden.access.grant import Grant
from tradewarden.acme.order import Status
from tradewarden.acme.ports import Ordered
from tradewarden.acme.problem import PREFIX, AcmeProofError, Kind
from tradewarden.acme.rows import Opened
from tradewarden.acme.store import AccountRow
from tradewarden.acme.validation import LEASE
from tradewarden.crypto.base64url import unbase64url
from tradewarden.errors import IntegrityError, NameRefusedError, PermissionDeniedError, UnavailableError
from tradewarden.identity.commands import RegisterService, SetNames
from tradewarden.pki.store import CertificateRow

SHOP = "shop.internal"
Change = Callable[[AcmeRoom, AccountRow], Awaitable[object]]


@pytest.fixture
async def room(tmp_path: Path) -> AcmeRoom:
    """An ACME room with a service that is registered for a name."""
    made = await acme_room(tmp_path)
    command = RegisterService("web", (), (SHOP,))
    await made.services.register(admin("services:manage"), command, made.entry())
    return made


async def finalized(room: AcmeRoom, account: AccountRow, order: Opened, name: str = SHOP) -> Opened:
    """Finalize an order."""
    return await room.acme.finalizer.finalize(grant_for(account), order.row.id, request(name), room.entry())


async def kept(room: AcmeRoom, account: AccountRow, monkeypatch: pytest.MonkeyPatch, name: str = SHOP) -> Opened:
    """Return an order that was finalized while the CA's key was away."""
    order = await room.ready(account, name)

    async def away(*_: object, **__: object) -> None:
        raise UnavailableError("the token is away")

    with monkeypatch.context() as patch:
        patch.setattr(room.authority.registration, "issue", away)
        held = await finalized(room, account, order, name)
    assert held.status is Status.PROCESSING
    return held


async def worked_off(room: AcmeRoom, order: Opened) -> Opened:
    """Return an order after the background was at it."""
    room.clock.time += LEASE
    await room.acme.validator.work_off()
    row = await room.store.order(order.row.id)
    assert row is not None
    return room.acme.orders._rows.opened(row)


async def made_of(room: AcmeRoom, order: Opened) -> CertificateRow | None:
    """Return the certificate of an order."""
    return await room.authority.held(order.row.serial)


def failed(order: Opened, kind: Kind) -> bool:
    """Tell whether an order came to nothing, and why."""
    error = order.order.error
    return order.status is Status.INVALID and error is not None and error.type == PREFIX + kind


async def unname(room: AcmeRoom, account: AccountRow) -> None:
    """Take a service its names."""
    await room.services.set_names(admin("services:manage"), SetNames(account.service_name), room.entry())


async def end(room: AcmeRoom, account: AccountRow) -> None:
    """End an account."""
    await room.acme.accounts.end(admin("acme:manage"), account.id, room.entry())


async def delete(room: AcmeRoom, account: AccountRow) -> None:
    """Take a service off the register."""
    await room.services.delete(admin("services:manage"), account.service_name, room.entry())


async def register_anew(room: AcmeRoom, account: AccountRow) -> None:
    """Give the name of a service to another one."""
    await delete(room, account)
    command = RegisterService(account.service_name, ("admin",), (SHOP,))
    await room.services.register(admin("services:manage"), command, room.entry())


# --- names -----------------------------------------------------------------------------------------


async def test_a_name_that_was_taken_away_is_not_issued(room: AcmeRoom) -> None:
    """A key without names answers for none: what the service is not registered for any more is refused at the end."""
    account = await room.account(Pair())
    order = await room.ready(account, SHOP)
    await unname(room, account)
    done = await finalized(room, account, order)
    assert failed(done, Kind.REJECTED_IDENTIFIER)
    assert await made_of(room, done) is None


async def test_a_name_that_the_key_lists_is_issued(tmp_path: Path) -> None:
    """Whoever made the key answers for its names, as for the order so for the certificate."""
    room = await acme_room(tmp_path)
    account = await room.account(Pair(), "web", ".shop.internal")
    done = await finalized(room, account, await room.ready(account, f"a.{SHOP}"), f"a.{SHOP}")
    assert done.status is Status.VALID


async def test_a_name_beyond_the_keys_list_is_not_issued(room: AcmeRoom, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the key lists counts as of now: a row that lists less gives less, and nobody's certificate more."""
    account = await room.account(Pair(), "web", SHOP)
    order, key = await room.ready(account, SHOP), await room.store.key(account.key_id)
    assert key is not None
    narrowed = room.acme.bindings._sealer.seal(replace(key, dns_names='["else.internal"]'))
    monkeypatch.setattr(room.store, "key", moved(narrowed))
    done = await finalized(room, account, order)
    assert failed(done, Kind.REJECTED_IDENTIFIER)
    assert await made_of(room, done) is None


async def test_a_refused_certificate_stands_in_the_log_as_denied(
    room: AcmeRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The order's end says why in the audit log, too."""
    account = await room.account(Pair())
    order = await kept(room, account, monkeypatch)
    await unname(room, account)
    entry = room.entry("issue")
    done = await room.acme.finalizer.issue(order, entry)
    assert failed(done, Kind.REJECTED_IDENTIFIER)
    told = msgspec.json.decode(entry.draft())
    assert (told["result"], told["action"], SHOP in told["reason"]) == ("denied", "issue", True)


# --- account and registration ----------------------------------------------------------------------


@pytest.mark.parametrize("change", [end, delete, register_anew])
async def test_an_order_ends_with_its_account(room: AcmeRoom, change: Change, monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits for the CA's key is not issued to an account that was ended, alone or with its registration."""
    account = await room.account(Pair())
    order = await kept(room, account, monkeypatch)
    await change(room, account)
    done = await worked_off(room, order)
    assert failed(done, Kind.UNAUTHORIZED)
    assert await made_of(room, done) is None
    assert await room.store.due(room.clock.now() + 10 * LEASE, 10) == []


async def test_a_certificate_is_for_the_registration_that_ordered_it(
    room: AcmeRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that is registered anew between the look at the account and the signature gets nothing."""
    account = await room.account(Pair())
    order, issue = await kept(room, account, monkeypatch), room.authority.registration.issue

    async def late(*given: object, **named: object) -> None:
        await register_anew(room, account)
        await issue(*given, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(room.authority.registration, "issue", late)
    done = await worked_off(room, order)
    assert failed(done, Kind.UNAUTHORIZED)
    assert await made_of(room, done) is None


@pytest.mark.parametrize("change", [unname, end, delete, register_anew])
async def test_what_was_issued_before_makes_its_order_valid(
    room: AcmeRoom, change: Change, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A death between certificate and order changes nothing, whatever is taken away meanwhile."""
    account = await room.account(Pair())
    order = await room.ready(account, SHOP)

    async def die(*_: object) -> None:
        raise UnavailableError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(room.acme.finalizer, "_settle", die)
        held = await finalized(room, account, order)
    assert await made_of(room, held) is not None
    await change(room, account)
    assert (await worked_off(room, held)).status is Status.VALID


async def test_what_is_settled_stays(room: AcmeRoom, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that comes late, with what it read before, neither revives an order nor writes it again."""
    account = await room.account(Pair())
    order = await kept(room, account, monkeypatch)

    async def refuse(*_: object, **__: object) -> None:
        raise NameRefusedError("not now")

    async def issue(*_: object, **__: object) -> None:
        return

    monkeypatch.setattr(room.authority.registration, "issue", refuse)
    settled = await room.acme.finalizer.issue(order, room.entry("issue"))
    assert failed(settled, Kind.REJECTED_IDENTIFIER)
    monkeypatch.setattr(room.authority.registration, "issue", issue)
    late = room.entry("issue")
    assert await room.acme.finalizer.issue(order, late) == settled
    assert not late.committed
    assert await room.store.order(order.row.id) == settled.row


async def test_an_account_that_stands_under_another_id_is_none(room: AcmeRoom, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who writes to the database cannot let one account act as another: a row counts under its own id alone."""
    first, second = await room.account(Pair()), await room.account(Pair())
    monkeypatch.setattr(room.store, "account", moved(first))
    with pytest.raises(AcmeProofError) as error:
        await room.acme.accounts.signer(grant_for(second))
    assert error.value.kind is Kind.ACCOUNT_DOES_NOT_EXIST
    assert (await room.acme.accounts.signer(grant_for(first))).id == first.id


async def test_a_key_that_stands_under_another_id_answers_for_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The names that an account may have are those of its own key."""
    room = await acme_room(tmp_path)
    plain, named = await room.account(Pair()), await room.account(Pair(), "web", SHOP)
    monkeypatch.setattr(room.store, "key", moved(await room.store.key(named.key_id)))
    with pytest.raises(IntegrityError):
        await room.order(plain, SHOP)
    assert (await room.order(named, SHOP)).status is Status.PENDING


def moved(row: object) -> Callable[[str], Awaitable[object]]:
    """Return what finds one row under every id."""

    async def find(_: str) -> object:
        return row

    return find


# --- the authority's side --------------------------------------------------------------------------


@pytest.mark.parametrize("grant", [admin("credentials:read"), grant_of("other", "credentials:issue", "x")])
async def test_the_authority_issues_to_whom_the_grant_is_for(room: AcmeRoom, grant: Grant) -> None:
    """Whoever orders holds the right to issue to this very service."""
    registration, mine = room.authority.registration, grant_of("web", "credentials:issue", "x")
    found = await room.services.registered("web")
    assert found is not None
    csr = unbase64url(request("web")) or b""
    ordered = Ordered("web", registration.new_serial(), "server", csr, ("web",), ())

    async def issue(grant: Grant) -> None:
        await registration.issue(grant, ordered, room.entry(), vouched=False, incarnation=found.incarnation)

    with pytest.raises(PermissionDeniedError):
        await issue(grant)
    assert await registration.held(ordered.serial) is None
    await issue(mine)
    assert await registration.held(ordered.serial) is not None
