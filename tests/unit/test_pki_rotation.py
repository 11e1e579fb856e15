"""Rotations of the issuing CA and the root: what changes, what goes on, and what an absent key means."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from msgspec.structs import replace

from tests.support.pki import DAY, START, entry, grant, own_ca
from tests.support.revocation import asked
from tests.support.rotation import Installation, authority, certificates, home, issue, openssl_accepts, rotate, states
from tradewarden.errors import (
    ConfigurationError,
    ConflictError,
    InvalidInputError,
    PermissionDeniedError,
    StorageUnavailableError,
)
from tradewarden.pki.cas import files
from tradewarden.pki.cas.listing import RotateCa
from tradewarden.pki.cas.patience import FIRST_SECONDS, MOST_SECONDS, Patience
from tradewarden.pki.cas.rotating import What
from tradewarden.pki.certificate.pem import certificate_pem
from tradewarden.pki.credentials import RevokeCertificate, State
from tradewarden.pki.store import Role, Standing

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tradewarden.audit.entry import Entry
    from tradewarden.pki.authority import Authority
    from tradewarden.pki.cas.authorities import Authorities
    from tradewarden.pki.store import CertificateRow

__all__ = ["authority", "home"]


def minute(seconds: float) -> str:
    """Return a time as warnings write it."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%MZ}"


# -- the issuing CA ------------------------------------------------------------------------------


async def test_the_prepared_key_becomes_the_issuing_cas(home: Installation, authority: Authority) -> None:
    """A rotation issues with the key that was prepared, retires the old CA, and prepares another key."""
    before = authority.cas.known
    assert before.next_issuing is not None
    old = await issue(authority)
    cas = await rotate(authority)
    known = authority.cas.known
    assert known.issuing.certificate.public_key() == before.next_issuing.certificate.public_key()
    assert known.issuing.ends > before.issuing.starts + 1800 * DAY
    assert states(cas, Role.ISSUING) == ["active", "next", "retired"]
    new = await issue(authority)
    chain = certificates(new.certificate_chain)
    assert [each.subject for each in chain[1:]] == [known.issuing.certificate.subject]
    for made in (old, new):
        assert openssl_accepts(home.directory, made.certificate_chain, authority.ca_certificate())
        assert not await authority.is_revoked(made.serial_number)
    assert old.ca_certificate == new.ca_certificate
    assert len(await authority.revocation.each()) == 4  # the next one's and the root's are among them


async def test_the_next_ca_has_a_list_before_it_issues(authority: Authority) -> None:
    """Who fetches lists from time to time has one of the next CA when a rotation lets it issue, under any root."""
    for what in (What.ISSUING, What.ISSUING, What.ROOT, What.ISSUING):
        following = authority.cas.known.next_issuing
        assert following is not None
        ahead = x509.load_der_x509_crl((await authority.revocation.each())[following.fingerprint].der)
        assert ahead.is_signature_valid(following.certificate.public_key())  # type: ignore[arg-type]
        await rotate(authority, what)
        issuing = authority.cas.known.issuing.certificate
        assert issuing.subject == following.certificate.subject
        assert issuing.public_key() == following.certificate.public_key()
        assert (issuing == following.certificate) is (what is What.ISSUING)
        made = await issue(authority)
        leaf = x509.load_pem_x509_certificate(made.certificate.encode())
        assert (await authority.revocation.ocsp(asked(leaf, issuing), entry)).statuses == ("good",)
        await authority.revoke(grant("credentials:revoke"), RevokeCertificate(made.serial_number), entry())
        now = x509.load_der_x509_crl(await authority.crl())
        assert now.issuer == ahead.issuer
        number = [each.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number for each in (ahead, now)]
        assert number[0] < number[1]


async def test_a_retired_cas_lists_outlast_its_keys_absence(home: Installation, authority: Authority) -> None:
    """A process keeps the key that it holds; one that starts without it serves the lists that stand, and recovers."""
    old = authority.cas.known.issuing.fingerprint
    await rotate(authority)
    await authority.revocation.renew()
    retired = authority.cas.known.find(old)
    assert retired is not None
    key, away = home.file(retired.row.key), home.directory / "away.pem"
    key.rename(away)
    await rotate(authority)
    assert authority.issuer_of(old) is not None
    other = await home.start()
    assert other.issuer_of(old) is None
    assert len(await other.revocation.each()) == 5
    await other.cas.recover()
    assert other.issuer_of(old) is None
    away.rename(key)
    home.clock.time += FIRST_SECONDS
    await other.cas.recover()
    assert other.issuer_of(old) is not None
    await other.close()


async def test_a_key_that_stays_away_is_looked_for_ever_more_seldom(home: Installation, authority: Authority) -> None:
    """A retired CA's key is looked for after ten seconds, then after twice that, and at least every five minutes."""
    old = authority.cas.known.issuing
    await rotate(authority)
    key = home.file(old.row.key)
    away = key.rename(home.directory / "away.pem")
    other = await home.start()
    looks: list[float] = []
    look = other.cas._rotation.look

    async def counted(known: Authorities) -> Authorities:
        looks.append(home.clock.time - START)
        return await look(known)

    other.cas._rotation.look = counted  # type: ignore[method-assign]
    for _ in range(200):
        await other.cas.recover()
        home.clock.time += 10
    gaps = [after - before for before, after in pairwise(looks)]
    assert gaps[:5] == [10, 20, 40, 80, 160]
    assert set(gaps[5:]) == {MOST_SECONDS}
    away.rename(key)
    home.clock.time += MOST_SECONDS
    await other.cas.recover()
    assert other.issuer_of(old.fingerprint) is not None
    count = len(looks)
    home.clock.time += DAY
    await other.cas.recover()
    assert len(looks) == count
    await other.close()


async def test_another_missing_key_is_looked_for_at_once(home: Installation) -> None:
    """What is missing for long does not make a process slow to look for what is missing since now."""
    patience = Patience(home.clock)
    for _ in range(50):
        patience.due(frozenset({"old"}))
        home.clock.time += 10
    assert not patience.due(frozenset({"old"}))
    assert patience.due(frozenset({"old", "new"}))
    assert not patience.due(frozenset())
    assert patience.due(frozenset({"old"}))


async def test_the_active_key_is_looked_for_each_time(home: Installation, authority: Authority) -> None:
    """Without the active CA's key nothing is issued, so its absence is never got used to."""
    other = await home.start()
    await rotate(authority)
    hidden = home.file("issuing_key.pem").rename(home.directory / "hidden.pem")
    await home.follow(other)
    for _ in range(20):
        await other.cas.recover()
        home.clock.time += 10
    hidden.rename(home.file("issuing_key.pem"))
    await other.cas.recover()
    assert other.cas.known.issuing.linked is not None
    await other.close()


async def test_a_retired_ca_without_its_key_is_warned_of(home: Installation, authority: Authority) -> None:
    """The warning names CA, file, the end of its list and of its last certificate, and goes when one of these does."""
    old = authority.cas.known.issuing
    await issue(authority, ttl_hours=30 * 24)
    await rotate(authority)
    await authority.revocation.renew()
    assert await authority.cas.warnings() == ()
    crl = await authority.revocation.of(old.fingerprint)
    key = home.file(old.row.key)
    away = key.rename(home.directory / "away.pem")
    other = await home.start()
    for process in (authority, other):
        (warning,) = await process.cas.warnings()
        assert old.certificate.subject.rfc4514_string() in warning
        assert f"stands until {minute(crl.next_update)}" in warning
        assert f"its last certificate until {minute(START + 30 * DAY)}" in warning
        assert f"bring {key} back" in warning
    home.clock.time = crl.next_update
    (warning,) = await other.cas.warnings()
    assert f"its revocation list ended at {minute(crl.next_update)}" in warning
    away.rename(key)
    await other.cas.recover()
    assert await other.cas.warnings() == ()
    key.rename(away)
    home.clock.time = START + 31 * DAY
    assert await other.cas.warnings() == ()
    await other.close()


async def test_a_ca_that_a_wrong_clock_prepared_never_issues(home: Installation, authority: Authority) -> None:
    """A rotation makes another in its place when it is not valid yet."""
    home.clock.time = START + 10 * DAY
    await rotate(authority)
    prepared = authority.cas.known.next_issuing
    assert prepared is not None
    home.clock.time = START + DAY
    await rotate(authority)
    known = authority.cas.known
    assert known.issuing.fingerprint != prepared.fingerprint
    assert known.issuing.starts <= home.clock.time
    assert known.next_issuing is not None
    assert known.next_issuing.fingerprint != prepared.fingerprint
    await issue(authority)


async def test_an_issuing_ca_that_is_not_valid_yet_is_warned_of(home: Installation, authority: Authority) -> None:
    """Nothing can be issued then; the warning says from when on, and what to do."""
    issuing = authority.cas.known.issuing
    home.clock.time = issuing.starts - DAY
    assert f"is not valid before {minute(issuing.starts)}, so nothing is issued; rotate it: tradewarden ca rotate" in (
        " ".join(await authority.cas.warnings())
    )


async def test_files_follow_a_rotation(home: Installation, authority: Authority) -> None:
    """The active CA's files stand at their plain paths, the others beside them; every start after it works."""
    before = home.file("issuing_key.pem").read_bytes()
    for number in range(3):
        await rotate(authority)
        known = authority.cas.known
        assert home.file("issuing_cert.pem").read_text() == certificate_pem(known.issuing.row.certificate)
        beside = {path.read_bytes() for path in home.file("").glob("issuing_key.*.pem")}
        assert len(beside) == 2 + number
        assert before in beside
        again = await home.start()
        assert again.cas.known.issuing.fingerprint == known.issuing.fingerprint
        assert openssl_accepts(home.directory, (await issue(again)).certificate_chain, again.ca_certificate())
        assert len(await again.revocation.each()) == 4 + number
        await again.close()


async def test_other_processes_follow_with_their_next_request(home: Installation, authority: Authority) -> None:
    """A process that did not rotate issues under the new CA once it has looked at the revisions."""
    other = await home.start()
    await home.follow(other)
    held = other.cas.known
    await home.follow(other)
    assert other.cas.known is held  # nothing moved, so nothing was loaded
    await rotate(authority)
    await issue(other)  # still good: the old CA is only retired
    await home.follow(other)
    assert other.cas.known.rows == authority.cas.known.rows
    assert other.cas.known.issuing.fingerprint != held.issuing.fingerprint
    made = await issue(other)
    assert openssl_accepts(home.directory, made.certificate_chain, authority.ca_certificate())
    await other.close()


async def test_a_rotation_in_the_middle_of_an_issue_mixes_nothing_up(
    home: Installation, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A certificate that was signed before a rotation and answered after it has its own issuer in its chain."""
    add = home.store.add

    async def late(row: CertificateRow, entry: bytes) -> None:
        await add(row, entry)
        await rotate(authority)

    with monkeypatch.context() as patch:
        patch.setattr(home.store, "add", late)
        made = await issue(authority)
    assert openssl_accepts(home.directory, made.certificate_chain, authority.ca_certificate())


async def test_without_the_roots_key_one_rotation_works(home: Installation, authority: Authority) -> None:
    """The prepared CA takes over with the root's key away; the next one asks for the key by its path."""
    key = home.file("ca_key.pem")
    offline = key.rename(home.directory / "offline.pem")
    cas = await rotate(authority)
    assert states(cas, Role.ISSUING) == ["active", "retired"]
    assert [ca.key_here for ca in cas if ca.role is Role.ROOT] == [False]
    assert openssl_accepts(home.directory, (await issue(authority)).certificate_chain, authority.ca_certificate())
    for what in What:
        with pytest.raises(ConflictError, match=r"ca_key\.pem"):
            await rotate(authority, what)
    await issue(authority)
    offline.rename(key)
    assert states(await rotate(authority), Role.ISSUING) == ["active", "next", "retired", "retired"]
    await (await home.start()).close()


async def test_a_prepared_key_that_is_lost_is_replaced(home: Installation, authority: Authority) -> None:
    """When the prepared key's file is gone a rotation makes a new key, as long as the root's is here."""
    known = authority.cas.known
    assert known.next_issuing is not None
    home.file(known.next_issuing.row.key).unlink()
    await rotate(authority)
    assert openssl_accepts(home.directory, (await issue(authority)).certificate_chain, authority.ca_certificate())


async def test_a_prepared_key_that_is_damaged_is_named_at_the_start(home: Installation, authority: Authority) -> None:
    """A start names the file: a pin set promised that key."""
    known = authority.cas.known
    assert known.next_issuing is not None
    home.file(known.next_issuing.row.key).write_text("garbage")
    with pytest.raises(ConfigurationError, match=known.next_issuing.row.key):
        await home.start()


async def test_two_rotations_at_once_both_happen(home: Installation, authority: Authority) -> None:
    """Two processes asked at the same time rotate one after the other, and nothing is lost."""
    other = await home.start()
    await asyncio.gather(rotate(authority), rotate(other))
    await home.follow(authority)
    await home.follow(other)
    assert authority.cas.known.rows == other.cas.known.rows
    assert states(await rotate(other), Role.ISSUING).count(Standing.ACTIVE) == 1
    await other.close()


async def test_a_plan_over_old_rows_leaves_nothing(
    home: Installation, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When somebody without our lock was faster, nothing changes and the next rotation works."""
    change = home.store.change_authorities

    async def late(seen: Sequence[object], rows: Sequence[object], entry: bytes) -> None:
        await change([], rows, entry)  # type: ignore[arg-type]  # as if they had changed since

    with monkeypatch.context() as patch:
        patch.setattr(home.store, "change_authorities", late)
        with pytest.raises(ConflictError, match="changed meanwhile"):
            await rotate(authority)
    before = authority.cas.known.rows
    assert tuple(await home.store.authorities()) == before
    await rotate(authority)
    names = {path.name for path in home.file("").iterdir()}
    assert len([name for name in names if name.startswith("issuing_key")]) == 3
    assert not (home.directory / "ca.pending").exists()


# -- a compromised CA ----------------------------------------------------------------------------


async def test_all_that_a_compromised_ca_issued_is_revoked_at_once(home: Installation, authority: Authority) -> None:
    """One row decides: old certificates are revoked in every process, new ones are good."""
    old = await issue(authority)
    other = await home.start()
    await home.follow(other)
    cas = await rotate(authority, compromised=True)
    assert states(cas, Role.ISSUING) == ["active", "next", "revoked"]
    new = await issue(authority)
    for each in (authority, await home.follow(other)):
        assert await each.is_revoked(old.serial_number)
        assert not await each.is_revoked(new.serial_number)
        assert (await each.counts()).active == 1
    shown = await authority.get(grant("credentials:read"), old.serial_number)
    assert (shown.state, shown.reason, shown.revoked_at) == (State.REVOKED, "cACompromise", START)
    page = await authority.list(grant("credentials:read"), state=State.ACTIVE)
    assert [item.serial_number for item in page.items] == [new.serial_number]
    await other.close()


async def test_retired_cas_are_revoked_with_the_compromised_one(home: Installation, authority: Authority) -> None:
    """Their keys lay beside the lost one's: nobody accepts what they signed; a second time ends what took over, too."""
    first, early = authority.cas.known.issuing, await issue(authority)
    await rotate(authority, What.ROOT)  # what is prepared has a certificate under each root
    await rotate(authority, What.ROOT, finish=True)
    await rotate(authority)
    late = await issue(authority)
    await rotate(authority)
    taking_over, before = authority.cas.known.next_issuing, (await authority.revocation.bundle()).pem
    assert taking_over is not None
    cas = await rotate(authority, compromised=True)
    assert states(cas, Role.ISSUING) == ["active", "next", "revoked", "revoked", "revoked", "revoked"]
    assert authority.cas.known.issuing.fingerprint == taking_over.fingerprint
    new = await issue(authority)
    roots, lists = authority.ca_certificate(), (await authority.revocation.bundle()).pem
    assert openssl_accepts(home.directory, new.certificate_chain, roots, crls=lists, at=START)
    assert openssl_accepts(home.directory, late.certificate_chain, roots)
    for held in (lists, lists + before):  # who has its own list still finds it on its root's
        assert not openssl_accepts(home.directory, late.certificate_chain, roots, crls=held, at=START)
    for made in (early, late):
        leaf, issuing = certificates(made.certificate_chain)[:2]
        assert await authority.is_revoked(made.serial_number)
        assert (await authority.revocation.ocsp(asked(leaf, issuing), entry)).statuses == ("revoked",)
    for root in authority.cas.known.of(Role.ROOT):
        below = {ca.certificate.serial_number for ca in authority.cas.known.of(Role.ISSUING)
                 if ca.row.issuer == root.fingerprint and ca.row.state is Standing.REVOKED}  # fmt: skip
        crl = x509.load_der_x509_crl((await authority.revocation.of(root.fingerprint)).der)
        assert below == {each.serial_number for each in crl}
        assert below
    assert first.certificate.serial_number != taking_over.certificate.serial_number

    await rotate(authority, compromised=True)
    assert await authority.is_revoked(new.serial_number)
    lists = (await authority.revocation.bundle()).pem
    assert not openssl_accepts(home.directory, new.certificate_chain, roots, crls=lists, at=START)
    made = await issue(authority)
    assert openssl_accepts(home.directory, made.certificate_chain, roots, crls=lists, at=START)
    shown = {ca.row.state for ca in authority.cas.known.of(Role.ISSUING)}
    assert shown == {Standing.ACTIVE, Standing.NEXT, Standing.REVOKED}


async def test_a_retired_ca_that_has_ended_is_left_as_it_is(home: Installation, authority: Authority) -> None:
    """Nobody accepts what it signed anyhow, and a list of revoked CAs stays short."""
    old = authority.cas.known.issuing
    await rotate(authority)
    home.clock.time = old.ends + 1
    await rotate(authority, compromised=True)
    found = authority.cas.known.find(old.fingerprint)
    assert found is not None
    assert found.row.state is Standing.RETIRED


async def test_active_certificates_are_counted_by_their_ca(authority: Authority) -> None:
    """What a rotation would end can be known before; of a revoked CA nothing is active."""
    for service in ("one", "two"):
        await issue(authority, service)
    await rotate(authority)
    await issue(authority)

    async def counted() -> list[tuple[str, int]]:
        cas = await authority.cas.list(grant("ca:read"))
        return [(ca.state.value, ca.active_certificates) for ca in cas]

    assert await counted() == [("active", 0), ("active", 1), ("next", 0), ("retired", 2)]
    await rotate(authority, compromised=True)
    assert await counted() == [("active", 0), ("active", 0), ("next", 0), ("revoked", 0), ("revoked", 0)]


async def test_what_the_end_of_an_overlap_cuts_off_is_counted(home: Installation, authority: Authority) -> None:
    """Only what was issued before the change of roots began: what came since leads to both."""
    for service in ("one", "two"):
        await issue(authority, service)

    async def counted() -> list[tuple[int, int]]:
        cas = await authority.cas.list(grant("ca:read"))
        return [(ca.active_certificates, ca.old_root_only) for ca in cas if ca.active_certificates]

    assert await counted() == [(2, 0)]
    home.clock.time += 1
    await rotate(authority, What.ROOT)
    assert await counted() == [(2, 2)]
    await issue(authority)
    assert sorted(await counted()) == [(1, 0), (2, 2)]
    await rotate(authority, What.ROOT, finish=True)
    assert sorted(await counted()) == [(1, 0), (2, 0)]


async def test_a_compromised_root_takes_everything_with_it(home: Installation, authority: Authority) -> None:
    """Root and issuing CAs below it are revoked, a new root stands alone; all of it works without the old key."""
    old = await issue(authority)
    roots = authority.ca_certificate()
    home.file("ca_key.pem").unlink()
    cas = await rotate(authority, What.ROOT, compromised=True)
    assert states(cas, Role.ROOT) == ["active", "revoked"]
    assert await authority.is_revoked(old.serial_number)
    new = await issue(authority)
    assert openssl_accepts(home.directory, new.certificate_chain, authority.ca_certificate())
    assert not openssl_accepts(home.directory, new.certificate_chain, roots)
    assert home.file("ca_cert.pem").read_text() == authority.ca_certificate()
    await (await home.start()).close()


async def test_a_root_compromised_during_its_rotation_leaves_the_new_one(
    home: Installation, authority: Authority
) -> None:
    """What was issued under the new root stays good, what only the old one stood above does not."""
    before = await issue(authority)
    await rotate(authority, What.ROOT)
    during = await issue(authority)
    cas = await rotate(authority, What.ROOT, compromised=True)
    assert states(cas, Role.ROOT) == ["active", "revoked"]
    assert await authority.is_revoked(before.serial_number)
    assert not await authority.is_revoked(during.serial_number)
    assert openssl_accepts(home.directory, during.certificate_chain, authority.ca_certificate())
    await (await home.start()).close()


# -- the root ------------------------------------------------------------------------------------


async def test_no_verifier_breaks_while_the_root_changes(home: Installation, authority: Authority) -> None:
    """Who knows only the old root, only the new one, or both accepts every chain that is handed out, until the end."""
    before = await issue(authority)
    old = authority.ca_certificate()
    cas = await rotate(authority, What.ROOT)
    assert states(cas, Role.ROOT) == ["active", "next"]
    assert states(cas, Role.CROSS) == ["active", "active"]
    both = authority.ca_certificate()
    assert both.startswith(old)
    new = both.removeprefix(old)
    assert len(certificates(new)) == 1
    assert home.file("ca_cert.pem").read_text() == old
    assert [certificate_pem(der) for der in authority.trusted_roots()] == [old, new]
    during = await issue(authority)
    assert during.ca_certificate == both
    for roots in (old, new, both):
        assert openssl_accepts(home.directory, during.certificate_chain, roots)
    for roots in (old, both):
        assert openssl_accepts(home.directory, before.certificate_chain, roots)
    await rotate(authority)  # the issuing CA may change in the middle of it
    again = await home.start()
    for roots in (old, new, both):
        assert openssl_accepts(home.directory, (await issue(again)).certificate_chain, roots)
    await again.close()
    cas = await rotate(authority, What.ROOT, finish=True)
    assert states(cas, Role.ROOT) == ["active", "retired"]
    assert authority.ca_certificate() == new == home.file("ca_cert.pem").read_text()
    after = await issue(authority)
    assert len(certificates(after.certificate_chain)) == 2
    for made in (during, after):
        assert openssl_accepts(home.directory, made.certificate_chain, new)
        assert not await authority.is_revoked(made.serial_number)
    await (await home.start()).close()


async def _announcing(directory: Path) -> Installation:
    made = await Installation.make(directory, announce_seconds=600)
    await (await made.start(first=True)).close()
    return made


async def test_a_new_root_is_known_before_it_counts(tmp_path: Path) -> None:
    """Who fetches roots and lists every ten minutes accepts each chain the moment it is issued, with what it has."""
    home = await _announcing(tmp_path / "data")
    authority = await home.start()
    fetched = authority.ca_certificate(), (await authority.revocation.bundle()).pem
    before = await issue(authority)
    cas = await rotate(authority, What.ROOT)
    assert (states(cas, Role.ROOT), states(cas, Role.ISSUING)) == (["active", "next"], ["active", "next"])
    new = authority.cas.known.next_root
    following = authority.cas.known.next_issuing
    assert new is not None
    assert following is not None
    assert following.row.issuer == new.fingerprint
    made = [before]
    for minutes in range(0, 25, 5):
        await authority.cas.tend(entry)
        made.append(await issue(authority))
        for each in made:
            chain = each.certificate_chain
            assert openssl_accepts(tmp_path, chain, fetched[0], crls=fetched[1], at=home.clock.time), minutes
        below = authority.cas.known.issuing
        assert below.row.issuer == (new if minutes >= 10 else authority.cas.known.root).fingerprint
        assert (below.fingerprint == following.fingerprint) is (minutes >= 10)
        if minutes % 10 == 0:
            fetched = authority.ca_certificate(), (await authority.revocation.bundle()).pem
        home.clock.time += 300
    await authority.revoke(grant("credentials:revoke"), RevokeCertificate(made[-1].serial_number), entry())
    lists = (await authority.revocation.bundle()).pem
    assert not openssl_accepts(tmp_path, made[-1].certificate_chain, fetched[0], crls=lists, at=home.clock.time)
    await authority.close()


async def test_a_new_root_takes_over_without_its_key(tmp_path: Path) -> None:
    """What issues below it is certified at the start, so both root keys may be taken away while it is announced."""
    home = await _announcing(tmp_path / "data")
    authority = await home.start()
    await rotate(authority, What.ROOT)
    for key in home.file("").glob("ca_key*.pem"):
        key.rename(home.directory / key.name)
    home.clock.time += 600
    await authority.cas.tend(entry)
    known = authority.cas.known
    assert known.next_root is not None
    assert known.issuing.row.issuer == known.next_root.fingerprint
    assert known.next_issuing is None
    await authority.close()
    await (await home.start()).close()


@pytest.mark.parametrize("rotated", [False, True])
async def test_an_overlap_may_end_while_the_new_root_is_announced(tmp_path: Path, rotated: bool) -> None:
    """From then on everything is issued under the new root, as it is from a rotation of the issuing CA on."""
    home = await _announcing(tmp_path / "data")
    authority = await home.start()
    await rotate(authority, What.ROOT)
    if rotated:
        await rotate(authority)
        assert authority.cas.known.issuing.row.issuer == authority.cas.known.trusted[-1].fingerprint
    cas = await rotate(authority, What.ROOT, finish=True)
    assert states(cas, Role.ROOT) == ["active", "retired"]
    assert authority.cas.known.issuing.row.issuer == authority.cas.known.root.fingerprint
    made = await issue(authority)
    assert openssl_accepts(tmp_path, made.certificate_chain, authority.ca_certificate())
    await rotate(authority)
    await authority.close()
    await (await home.start()).close()


async def test_an_announced_root_that_lost_the_old_one_counts_at_once(tmp_path: Path) -> None:
    """When the old root's key turns out to be known to others nobody waits for the end of the announcement."""
    home = await _announcing(tmp_path / "data")
    authority = await home.start()
    await rotate(authority, What.ROOT)
    old = await issue(authority)
    await rotate(authority, What.ROOT, compromised=True)
    made = await issue(authority)
    assert await authority.is_revoked(old.serial_number)
    assert not await authority.is_revoked(made.serial_number)
    assert openssl_accepts(tmp_path, made.certificate_chain, authority.ca_certificate())
    await authority.close()


async def test_what_stands_above_lets_the_new_root_believe_old_chains(home: Installation, authority: Authority) -> None:
    """With the old root's certificate by the new one a verifier of the new root accepts what was issued before."""
    before = await issue(authority)
    await rotate(authority, What.ROOT)
    new = certificate_pem(authority.trusted_roots()[1])
    crosses = authority.cas.known.crosses(authority.cas.known.root.fingerprint)
    (cross,) = [certificate_pem(ca.row.certificate) for ca in crosses]
    assert not openssl_accepts(home.directory, before.certificate_chain, new)
    assert openssl_accepts(home.directory, before.certificate_chain + cross, new)


async def test_the_backup_pin_holds_through_a_new_root(authority: Authority) -> None:
    """A rotation of the root issues with the key that was prepared under the old root."""
    prepared = authority.cas.known.next_issuing
    assert prepared is not None
    await rotate(authority, What.ROOT)
    assert authority.cas.known.issuing.certificate.public_key() == prepared.certificate.public_key()


async def test_one_rotation_of_the_root_at_a_time(authority: Authority) -> None:
    """A second new root waits for the end of the first change, and there is an end only after a beginning."""
    with pytest.raises(ConflictError, match="No rotation"):
        await rotate(authority, What.ROOT, finish=True)
    await rotate(authority, What.ROOT)
    with pytest.raises(ConflictError, match="under way"):
        await rotate(authority, What.ROOT)
    with pytest.raises(InvalidInputError, match="finish"):
        await rotate(authority, What.ISSUING, finish=True)


async def test_old_and_new_root_keys_may_be_taken_away(home: Installation, authority: Authority) -> None:
    """In the overlap and after it everything but what needs a root's key goes on without them."""
    await rotate(authority, What.ROOT)
    for key in home.file("").glob("ca_key*.pem"):
        key.rename(home.directory / key.name)
    await (await home.start()).close()
    await rotate(authority, What.ROOT, finish=True)
    await rotate(authority)
    again = await home.start()
    await issue(again)
    with pytest.raises(ConflictError, match=r"ca_key\.pem"):
        await rotate(again)
    await again.close()


async def test_in_the_overlap_nothing_new_stands_under_the_old_root(home: Installation, authority: Authority) -> None:
    """With the new root's key away and the old one's here, what is issued still leads to the new root in the end."""
    await rotate(authority, What.ROOT)
    new_root = authority.cas.known.next_root
    assert new_root is not None
    home.file(new_root.row.key).rename(home.directory / "offline.pem")
    await rotate(authority)
    with pytest.raises(ConflictError, match=new_root.row.key):
        await rotate(authority)
    await authority.cas.tend(entry)
    made = await issue(authority)
    await rotate(authority, What.ROOT, finish=True)
    for each in (made, await issue(authority)):
        assert openssl_accepts(home.directory, each.certificate_chain, authority.ca_certificate())


async def test_a_rotation_whose_files_cannot_move_is_followed(
    home: Installation, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the rows stand and the disk takes no more, every process issues under the new CA; a start tidies up."""
    other = await home.start()
    with monkeypatch.context() as patch:
        patch.setattr(files, "move_private", _full)
        await rotate(authority)
        await home.follow(other)
        assert other.cas.known.rows == authority.cas.known.rows
    for each in (authority, other, await home.start()):
        await home.follow(each)
        home.clock.time += 2
        await issue(each)
        await each.close()


def _full(source: Path, target: Path) -> None:
    raise StorageUnavailableError(f"{source} to {target}: the disk is full")


# -- who may, and by itself ----------------------------------------------------------------------


async def test_rotating_and_listing_are_permissions_of_their_own(authority: Authority) -> None:
    """Who may issue may not rotate, and who may read certificates may not list CAs."""
    issuer = grant("credentials:issue", names=("credentials:issue", "credentials:read"))
    with pytest.raises(PermissionDeniedError):
        await authority.cas.rotate(issuer, RotateCa(What.ISSUING), entry())
    with pytest.raises(PermissionDeniedError):
        await authority.cas.list(issuer)
    assert states(await authority.cas.list(grant("ca:read")), Role.ROOT) == ["active"]


async def test_an_ageing_issuing_ca_is_rotated_once(home: Installation, authority: Authority) -> None:
    """At two thirds of its life the issuing CA is rotated by whoever looks first; the others find it done."""
    other = await home.start()
    drawn: list[Entry] = []

    def draw(what: str) -> Entry:
        drawn.append(entry(what))
        return drawn[-1]

    await authority.cas.tend(draw)
    assert not any(each.committed for each in drawn)
    known = authority.cas.known
    home.clock.time = known.issuing.ageing
    await asyncio.gather(authority.cas.tend(draw), other.cas.tend(draw))
    assert [each.committed for each in drawn].count(True) == 1
    await home.follow(other)
    await home.follow(authority)
    assert other.cas.known.rows == authority.cas.known.rows
    assert authority.cas.known.issuing.fingerprint != known.issuing.fingerprint
    await other.close()


async def test_an_issuing_ca_is_not_rotated_for_nothing(home: Installation, authority: Authority) -> None:
    """Where the root ends with it a new issuing CA would live no longer: a warning says that the root is due."""
    home.clock.time = authority.cas.known.root.ends - 400 * DAY
    await rotate(authority)
    fingerprint = authority.cas.known.issuing.fingerprint
    home.clock.time += 390 * DAY
    await authority.cas.tend(entry)
    assert authority.cas.known.issuing.fingerprint == fingerprint
    assert any("rotate that first: tradewarden ca rotate root" in each for each in await authority.cas.warnings())


async def test_the_next_ca_is_prepared_once_the_roots_key_is_back(home: Installation, authority: Authority) -> None:
    """A missing next CA is made as soon as the root's key is here."""
    offline = home.file("ca_key.pem").rename(home.directory / "offline.pem")
    await rotate(authority)
    await authority.cas.tend(entry)
    assert authority.cas.known.next_issuing is None
    offline.rename(home.file("ca_key.pem"))
    await authority.cas.tend(entry)
    assert authority.cas.known.next_issuing is not None


async def test_the_overlap_of_two_roots_ends_by_itself(tmp_path: Path) -> None:
    """After the time that the policy gives the old root retires."""
    home = await Installation.make(tmp_path / "data", overlap_days=30)
    authority = await home.start(first=True)
    await rotate(authority, What.ROOT)
    home.clock.time += 30 * DAY - 1
    await authority.cas.tend(entry)
    assert len(authority.trusted_roots()) == 2
    home.clock.time += 1
    await authority.cas.tend(entry)
    assert len(authority.trusted_roots()) == 1
    await authority.close()


async def test_warnings_say_what_to_do(home: Installation, authority: Authority) -> None:
    """There is none in good times; near the end each names the CA, the day and the command or file."""
    assert await authority.cas.warnings() == ()
    home.file("ca_key.pem").rename(home.directory / "offline.pem")
    known = authority.cas.known
    home.clock.time = known.issuing.ends - 10 * DAY
    (warning,) = await authority.cas.warnings()
    assert "issuing CA ends on" in warning
    assert "ca_key.pem" in warning
    home.clock.time = known.root.ends - 10 * DAY
    assert any("root CA ends on" in each for each in await authority.cas.warnings())


async def test_a_key_that_is_away_stops_issuing_alone(home: Installation, authority: Authority) -> None:
    """A process that cannot load the new CA's key follows all the same, and issues once the key is there."""
    other = await home.start()
    await rotate(authority)
    hidden = home.file("issuing_key.pem").rename(home.directory / "hidden.pem")
    await home.follow(other)
    assert other.cas.known.rows == authority.cas.known.rows
    with pytest.raises(Exception, match="key cannot be used now"):
        await issue(other)
    hidden.rename(home.file("issuing_key.pem"))
    home.clock.time += 2
    await issue(other)
    await other.close()


async def test_a_forged_row_is_not_followed(home: Installation, authority: Authority) -> None:
    """Who can write the database cannot retire, revoke or bring in a CA: rows are sealed."""
    name = next(iter(home.store._authorities))
    home.store._authorities[name] = replace(home.store._authorities[name], state=Standing.RETIRED)
    home.database.bump("authorities")
    with pytest.raises(Exception, match="table authorities"):
        await home.follow(authority)


# -- a CA that was brought along -----------------------------------------------------------------


async def test_a_brought_along_root_signs_the_next_issuing_ca(tmp_path: Path) -> None:
    """Its key is read where CA_KEY_PATH says; while it is away, that is what is asked for."""
    home, own = await _brought(tmp_path)
    authority = await home.start(first=True)
    key = own["ca_key_path"]
    offline = key.rename(tmp_path / "offline.pem")
    await rotate(authority)
    with pytest.raises(ConflictError, match="CA_KEY_PATH"):
        await rotate(authority)
    offline.rename(key)
    await rotate(authority)
    chain = (await issue(authority)).certificate_chain
    assert openssl_accepts(home.directory, chain, authority.ca_certificate(), strict=False)
    await authority.close()


async def test_a_brought_along_root_is_followed_by_one_of_ours(tmp_path: Path) -> None:
    """It certifies our new root, both are trusted, and a start with the old settings works before and after the end."""
    home, own = await _brought(tmp_path)
    authority = await home.start(first=True)
    await rotate(authority, What.ROOT)
    chain = (await issue(authority)).certificate_chain
    for der in authority.trusted_roots():
        assert openssl_accepts(home.directory, chain, certificate_pem(der), strict=False)
    await (await home.start()).close()
    await rotate(authority, What.ROOT, finish=True)
    own["ca_key_path"].unlink()
    again = await home.start()
    await rotate(again)
    await again.close()
    await authority.close()


@pytest.mark.parametrize(
    ("path_length", "what", "says"), [(0, What.ISSUING, "issues by itself"), (1, What.ROOT, "few")]
)
async def test_what_a_brought_along_ca_does_not_allow_is_refused(
    tmp_path: Path, path_length: int, what: What, says: str
) -> None:
    """A path length that leaves no room for the chain after a rotation is said before anything is made."""
    home, _ = await _brought(tmp_path, path_length=path_length)
    authority = await home.start(first=True)
    with pytest.raises(ConflictError, match=says):
        await rotate(authority, what)
    await authority.cas.tend(entry)
    await (await home.start()).close()
    await authority.close()


async def _brought(tmp_path: Path, path_length: int | None = None) -> tuple[Installation, dict[str, Path]]:
    own = own_ca(tmp_path / "own", path_length=path_length)
    return await Installation.make(tmp_path / "data", **own), own
