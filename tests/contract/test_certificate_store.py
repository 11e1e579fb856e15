"""What every `PkiStore` holds to, whatever it is made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from tests.support.storage import inbox, sqlite_database
from tradewarden.errors import ConflictError, NotFoundError, TradewardenError
from tradewarden.pki.store import (
    AuthorityRow,
    CertificateQuery,
    CertificateRow,
    CrlRow,
    Revocation,
    Role,
    Standing,
    Tally,
)
from tradewarden.storage.memory import MemoryDatabase
from tradewarden.storage.memory_pki import MemoryPkiStore
from tradewarden.storage.sql_pki import SqlPkiStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from tradewarden.pki.store import PkiStore
    from tradewarden.storage.database import Database, Revisions


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[PkiStore]:
    """Give each kind of store."""
    if request.param == "memory":
        yield MemoryPkiStore(MemoryDatabase())
    else:
        async with sqlite_database(tmp_path) as database:
            yield SqlPkiStore(database)


async def revisions(store: PkiStore) -> Revisions:
    """Return the counters that caches look at."""
    database: MemoryDatabase | Database = store._database  # type: ignore[attr-defined]  # both adapters have one
    return await database.revisions()


async def entries(store: PkiStore) -> list[bytes]:
    """Return the audit entries that stand."""
    database: MemoryDatabase | Database = store._database  # type: ignore[attr-defined]  # both adapters have one
    return database.inbox if isinstance(database, MemoryDatabase) else await inbox(database)


def row(number: int = 1, *, service: str = "bot", end: int = 1000, issuer: str = "ca") -> CertificateRow:
    """Return a certificate row."""
    serial = f"{number:040x}"
    return CertificateRow(
        serial, service, "service", f"spiffe://td/{service}", issuer, "f" * 64, b"\x00der", 10, end,
        10.5, "user:admin", seal=b"seal",
    )  # fmt: skip


def revoking(at: float = 50.0) -> Callable[[CertificateRow | None, int], Revocation]:
    """Return the decision to revoke."""

    def decide(found: CertificateRow | None, last: int) -> Revocation:
        if found is None:
            raise NotFoundError("Certificate not found")
        if found.revocation:
            return Revocation(found, changed=False, entry=b"again")
        revoked = replace(found, revocation=last + 1, revoked_at=at, reason="superseded", seal=b"new")
        return Revocation(revoked, changed=True, entry=b"revoked")

    return decide


async def test_a_certificate_comes_back_as_it_was_written(store: PkiStore) -> None:
    """Every column of a row survives, and its entry stands with it."""
    await store.add(row(), b"entry")
    assert await store.find(row().serial) == row()
    assert await store.find("0" * 40) is None
    assert await entries(store) == [b"entry"]


async def test_a_serial_number_is_taken_once(store: PkiStore) -> None:
    """A second certificate under a serial number is refused with its entry."""
    await store.add(row(), b"first")
    with pytest.raises(TradewardenError):
        await store.add(replace(row(), service_name="other"), b"second")
    assert await store.find(row().serial) == row()
    assert await entries(store) == [b"first"]


async def test_a_revocation_is_written_with_entry_and_revision(store: PkiStore) -> None:
    """Row, entry and revision move together, and numbers follow each other without gaps."""
    for number in (1, 2, 3):
        await store.add(row(number), b"entry")
    before = await store.revision()
    assert (await store.revoke(row(2).serial, revoking())).revocation == 1
    assert (await store.revoke(row(1).serial, revoking())).revocation == 2
    found = await store.find(row(2).serial)
    assert found is not None
    assert (found.revocation, found.revoked_at, found.reason, found.seal) == (1, 50.0, "superseded", b"new")
    assert await store.revision() == before + 2
    assert (await entries(store))[-2:] == [b"revoked", b"revoked"]


async def test_a_revocation_that_changes_nothing_is_recorded_only(store: PkiStore) -> None:
    """An entry is kept, and neither row nor revision moves."""
    await store.add(row(), b"entry")
    first = await store.revoke(row().serial, revoking())
    before = await store.revision()
    assert await store.revoke(row().serial, revoking(at=99.0)) == first
    assert await store.revision() == before
    assert (await entries(store))[-1] == b"again"


async def test_a_decision_that_raises_writes_nothing(store: PkiStore) -> None:
    """What `decide` raises comes out, without row, entry or revision."""
    before = await store.revision()
    with pytest.raises(NotFoundError):
        await store.revoke(row().serial, revoking())
    assert await store.revision() == before
    assert await entries(store) == []


async def test_pages_are_ordered_filtered_and_continued(store: PkiStore) -> None:
    """A page holds what its query says, in the order of (end, serial), after its cursor."""
    ends = {1: 300, 2: 100, 3: 200, 4: 200}
    for number, end in ends.items():
        await store.add(row(number, end=end, service="other" if number == 4 else "bot"), b"")
    await store.revoke(row(2).serial, revoking())

    async def numbers(query: CertificateQuery) -> list[int]:
        return [int(each.serial, 16) for each in await store.page(query)]

    assert await numbers(CertificateQuery()) == [2, 3, 4, 1]
    assert await numbers(CertificateQuery(limit=2)) == [2, 3]
    assert await numbers(CertificateQuery(after=(200, row(3).serial))) == [4, 1]
    assert await numbers(CertificateQuery(service_name="bot")) == [2, 3, 1]
    assert await numbers(CertificateQuery(service_name="bot", after=(100, row(2).serial), limit=1)) == [3]
    assert await numbers(CertificateQuery(revoked=True)) == [2]
    assert await numbers(CertificateQuery(revoked=False)) == [3, 4, 1]
    assert await numbers(CertificateQuery(ends_from=200, ends_before=300)) == [3, 4]
    assert await numbers(CertificateQuery(service_name="nobody")) == []


async def test_the_tally_counts_what_is_valid(store: PkiStore) -> None:
    """Revoked and expired certificates do not count; the first end is that of a valid one."""
    assert await store.tally(150.0, "") == Tally(0, 0)
    for number, end in {1: 300, 2: 100, 3: 200}.items():
        await store.add(row(number, end=end), b"")
    assert await store.tally(50.0, "") == Tally(3, 100)
    assert await store.tally(50.0, row(1).service_name) == Tally(0, 0)
    assert await store.tally(100.0, "") == Tally(2, 200)
    await store.revoke(row(3).serial, revoking())
    assert await store.tally(100.0, "") == Tally(1, 300)


async def test_active_certificates_are_counted_by_their_ca(store: PkiStore) -> None:
    """Revoked and expired ones, and those of one name, do not count."""
    assert await store.active(50.0, "") == {}
    for number, end, issuer in ((1, 300, "ca"), (2, 100, "ca"), (3, 200, "cb"), (4, 300, "ca")):
        await store.add(row(number, end=end, issuer=issuer), b"")
    assert await store.active(50.0, "") == {"ca": 3, "cb": 1}
    assert await store.active(100.0, "") == {"ca": 2, "cb": 1}
    await store.revoke(row(3).serial, revoking())
    assert await store.active(100.0, "") == {"ca": 2}
    assert await store.active(100.0, row(1).service_name) == {}
    issued = row(1).issued_at
    assert await store.active(100.0, "", issued) == {}
    assert await store.active(100.0, "", issued + 1) == {"ca": 2}


async def test_the_last_end_is_that_of_one_ca(store: PkiStore) -> None:
    """The latest end among a CA's certificates, one profile left out, revoked or not; 0 without any."""
    assert await store.last_end("ca", "ocsp") == 0
    for number, end, issuer, profile in ((1, 300, "ca", "server"), (2, 400, "ca", "ocsp"), (3, 500, "cb", "server")):
        await store.add(replace(row(number, end=end, issuer=issuer), profile=profile), b"")
    await store.revoke(row(1).serial, revoking())
    assert await store.last_end("ca", "ocsp") == 300
    assert await store.last_end("ca", "") == 400
    assert await store.last_end("cb", "server") == 0


def authority(role: Role, fingerprint: str, state: Standing = Standing.ACTIVE) -> AuthorityRow:
    """Return the row of a CA."""
    return AuthorityRow(role, fingerprint, "ff", state, b"\x00der", "ca_key.1a.pem", 1.5, seal=b"s")


async def test_authorities_change_with_entry_and_revision(store: PkiStore) -> None:
    """Rows come back in their order as they were written, with their entry; their revision moves."""
    rows = [authority(Role.ISSUING, "aa"), authority(Role.ISSUING, "cc"), authority(Role.ROOT, "bb")]
    assert await store.authorities() == []
    before = await revisions(store)
    await store.change_authorities([], rows[::-1], b"founded")
    assert await store.authorities() == rows
    retired = replace(rows[0], state=Standing.RETIRED, active_from=1.5, ended_at=2.5, seal=b"t")
    await store.change_authorities(rows, [retired, authority(Role.ROOT, "dd", Standing.NEXT)], b"")
    assert await store.authorities() == [retired, *rows[1:], authority(Role.ROOT, "dd", Standing.NEXT)]
    assert await entries(store) == [b"founded"]
    after = await revisions(store)
    assert (after.authorities, after.certificates) == (before.authorities + 2, before.certificates)


async def test_a_change_over_other_authorities_is_refused(store: PkiStore) -> None:
    """Who looked before somebody else's change writes nothing, neither row nor entry nor revision."""
    rows = [authority(Role.ROOT, "bb")]
    await store.change_authorities([], rows, b"founded")
    before = await revisions(store)
    for seen in ([], [replace(rows[0], seal=b"old")], [*rows, authority(Role.ROOT, "cc")]):
        with pytest.raises(ConflictError):
            await store.change_authorities(seen, [authority(Role.ROOT, "dd")], b"again")
    assert await store.authorities() == rows
    assert await entries(store) == [b"founded"]
    assert await revisions(store) == before


async def test_a_revoked_authority_is_news_about_certificates(store: PkiStore) -> None:
    """With a CA that is revoked the certificates' revision moves, and its certificates do not count."""
    rows = [authority(Role.ISSUING, "aa")]
    await store.change_authorities([], rows, b"")
    await store.add(row(1, issuer="aa", end=300), b"")
    await store.add(row(2, issuer="bb", end=400), b"")
    before = await revisions(store)
    await store.change_authorities(rows, [replace(rows[0], state=Standing.REVOKED)], b"")
    assert (await revisions(store)).certificates == before.certificates + 1
    assert await store.tally(50.0, "", ("aa",)) == Tally(1, 400)
    assert await store.tally(50.0, "") == Tally(2, 300)


async def test_revocations_are_read_in_their_order_by_issuer(store: PkiStore) -> None:
    """A reader gets what followed the last it knows, of one issuer, in pages."""
    for number in range(1, 6):
        await store.add(row(number, issuer="other" if number == 3 else "ca"), b"")
    for number in (5, 3, 1, 2):
        await store.revoke(row(number).serial, revoking())

    async def read(issuer: str, after: int, limit: int = 10) -> list[tuple[int, int]]:
        found = await store.revocations(issuer, after, limit)
        return [(each.revocation, int(each.serial, 16)) for each in found]

    assert await read("ca", 0) == [(1, 5), (3, 1), (4, 2)]
    assert await read("ca", 1) == [(3, 1), (4, 2)]
    assert await read("ca", 0, 2) == [(1, 5), (3, 1)]
    assert await read("other", 0) == [(2, 3)]


async def test_only_a_higher_number_replaces_a_crl(store: PkiStore) -> None:
    """Of two lists under one number the first stands."""
    first = CrlRow("ca", -1, 1, 0, 10, 20, b"index", b"one", b"s")
    assert await store.crl("ca") is None
    assert await store.publish(first)
    assert not await store.publish(replace(first, crl=b"other"))
    assert await store.crl("ca") == first
    second = replace(first, number=2, revocation=7, crl=b"two")
    assert await store.publish(second)
    assert await store.publish(replace(first, issuer="other"))
    assert await store.crl("ca") == second


async def test_each_shard_has_a_list_of_its_own(store: PkiStore) -> None:
    """Lists of one issuer stand beside each other, and one that is held already is not read again."""
    whole = CrlRow("ca", -1, 4, 9, 10, 20, b"index", b"whole", b"s")
    shard = CrlRow("ca", 7, 2, 9, 10, 20, b"", b"shard", b"s")
    for row in (whole, shard):
        assert await store.publish(row)
    assert await store.crl("ca") == whole
    assert await store.crl("ca", 7) == shard
    assert await store.crl("ca", 8) is None
    assert await store.crl("ca", 7, above=1) == shard
    assert await store.crl("ca", 7, above=2) is None
