"""The CRL: what it lists, its numbers, when it is made anew, and what several processes agree on."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Never

import pytest
from cryptography import x509
from msgspec.structs import replace

from tests.support.keys import keyring
from tests.support.pki import DAY, POLICY, START, SetClock, entry, grant, opened
from tradewarden.errors import IntegrityError, StorageUnavailableError
from tradewarden.pki.cas.listing import RotateCa
from tradewarden.pki.cas.rotating import What
from tradewarden.pki.certificate.algorithm import Algorithm, strong
from tradewarden.pki.certificate.issuer import utc
from tradewarden.pki.certificate.pointers import crl_name
from tradewarden.pki.credentials import IssueCredentials, Reason, RevokeCertificate
from tradewarden.storage.memory import MemoryDatabase
from tradewarden.storage.memory_pki import MemoryPkiStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tradewarden.pki.authority import Authority
    from tradewarden.pki.store import CrlRow


@pytest.fixture
def clock() -> SetClock:
    """Give a clock to set."""
    return SetClock()


@pytest.fixture
def store() -> MemoryPkiStore:
    """Give the store below the authority."""
    return MemoryPkiStore(MemoryDatabase())


@pytest.fixture
async def authority(tmp_path: Path, store: MemoryPkiStore, clock: SetClock) -> AsyncIterator[Authority]:
    """Give an authority."""
    made = await opened(tmp_path, store, clock=clock)
    yield made
    await made.close()


async def revoked(authority: Authority, reason: Reason = Reason.UNSPECIFIED, hours: int = 48) -> int:
    """Issue a certificate, revoke it, and return its serial number."""
    command = IssueCredentials("bot", ttl_hours=hours)
    made = await authority.issue(grant("credentials:issue", "bot"), command, entry())
    await authority.revoke(grant("credentials:revoke"), RevokeCertificate(made.serial_number, reason), entry())
    return int(made.serial_number, 16)


async def listed(authority: Authority) -> tuple[set[int], int, x509.CertificateRevocationList]:
    """Return the serial numbers on the CRL, its number, and itself."""
    crl = x509.load_der_x509_crl(await authority.crl())
    return {each.serial_number for each in crl}, number(crl), crl


def number(crl: x509.CertificateRevocationList) -> int:
    """Return a CRL's number."""
    return crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number


async def test_an_empty_crl_is_a_crl(authority: Authority) -> None:
    """Without revocations the CRL is signed, numbered, and has its issuer and its times."""
    serials, first, crl = await listed(authority)
    issuing = x509.load_pem_x509_certificates(authority.ca_chain().encode())[0]
    assert (serials, first) == (set(), 1)
    assert crl.is_signature_valid(strong(issuing.public_key()))
    assert crl.issuer == issuing.subject
    assert crl.last_update_utc.timestamp() == START - 60
    assert crl.next_update_utc == utc(START + DAY)
    key = crl.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    own = issuing.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    assert key.key_identifier == own.digest


async def test_a_revocation_is_in_the_next_crl(authority: Authority) -> None:
    """Each revocation makes a new list under the next number; without one the same bytes are served."""
    first = await revoked(authority)
    assert (await listed(authority))[:2] == ({first}, 1)
    assert await authority.crl() is await authority.crl()
    second = await revoked(authority)
    assert (await listed(authority))[:2] == ({first, second}, 2)


async def test_reasons_stand_as_the_standard_has_them(authority: Authority) -> None:
    """A reason is an extension of the entry; `unspecified` is left out (RFC 5280 section 5.3.1)."""
    wanted = {await revoked(authority, reason): reason for reason in Reason}
    _, _, crl = await listed(authority)
    for each in crl:
        found = [extension.value.reason.value for extension in each.extensions]
        reason = wanted[each.serial_number]
        assert found == ([] if reason is Reason.UNSPECIFIED else [reason.value])
        assert each.revocation_date_utc.timestamp() == START


async def test_a_crl_is_made_anew_at_half_its_life(authority: Authority, clock: SetClock) -> None:
    """Up to half its life a list is served as it is, from then on a newer one."""
    await authority.crl()
    clock.time += DAY / 2 - 1
    assert (await listed(authority))[1] == 1
    clock.time += 1
    _, second, crl = await listed(authority)
    assert second == 2
    assert crl.next_update_utc == utc(clock.time + DAY)


async def test_expired_certificates_leave_the_list_after_one_that_was_made_past_their_end(
    authority: Authority, clock: SetClock
) -> None:
    """A revoked certificate is on a list made after it expired, and leaves a later one (RFC 5280 section 3.3)."""
    expired = await revoked(authority, hours=2)
    kept = await revoked(authority, hours=96)
    assert (await listed(authority))[0] == {expired, kept}
    clock.time += DAY
    assert (await listed(authority))[0] == {expired, kept}
    clock.time += DAY
    assert (await listed(authority))[0] == {kept}


async def test_each_list_is_later_than_the_one_before_and_not_in_the_future(
    authority: Authority, clock: SetClock
) -> None:
    """OpenSSL keeps the older of two lists of one second, so a second one tells a later time."""
    seen = []
    for _ in range(3):
        await revoked(authority)
        seen.append((await listed(authority))[2].last_update_utc.timestamp())
    assert seen == [START - 60, START - 59, START - 58]


async def test_a_clock_that_was_set_back_does_not_serve_a_list_from_the_future(
    authority: Authority, clock: SetClock
) -> None:
    """After the clock went back a list of the new time is made, once."""
    await authority.crl()
    clock.time -= 3600
    _, second, crl = await listed(authority)
    assert second == 2
    assert crl.last_update_utc.timestamp() == clock.time - 60
    assert (await listed(authority))[1] == 2


async def test_a_clock_that_ran_ahead_for_a_while_loses_no_revocation(authority: Authority, clock: SetClock) -> None:
    """A revocation left out while the clock was beyond its certificate's end is back with the right time."""
    serial = await revoked(authority, hours=2)
    await listed(authority)
    clock.time += 2 * DAY
    await listed(authority)
    clock.time += 2 * DAY
    assert (await listed(authority))[0] == set()
    clock.time -= 4 * DAY
    assert (await listed(authority))[0] == {serial}


async def test_numbers_go_on_after_a_restart(tmp_path: Path, store: MemoryPkiStore, clock: SetClock) -> None:
    """The list that stands is served again after a restart, and the next one has the next number."""
    keys = await keyring()
    first = await opened(tmp_path, store, clock=clock, keys=keys)
    serial = await revoked(first)
    before = await first.crl()
    await first.close()
    second = await opened(tmp_path, store, clock=clock, keys=keys, first_start=False)
    assert await second.crl() == before
    more = await revoked(second)
    await second.close()
    assert (await listed(second))[:2] == ({serial, more}, 2)


async def test_two_processes_show_one_list(tmp_path: Path, store: MemoryPkiStore, clock: SetClock) -> None:
    """Under one number there is one list, whoever made it, and each sees the other's revocations."""
    keys = await keyring()
    one = await opened(tmp_path, store, clock=clock, keys=keys)
    two = await opened(tmp_path, store, clock=clock, keys=keys, first_start=False)
    serials = set()
    for revoker in (one, two, one):
        serials.add(await revoked(revoker))
        lists = await asyncio.gather(*[each.crl() for each in (one, two) * 4])
        assert len(set(lists)) == 1
        assert (await listed(two))[0] == serials
    assert (await listed(one))[1] == 3
    await one.close()
    await two.close()


async def test_a_list_that_cannot_be_kept_is_not_served(
    authority: Authority, store: MemoryPkiStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When number and bytes cannot be written, the call fails and the next one makes the list."""

    async def full(row: CrlRow) -> Never:
        raise StorageUnavailableError("The database cannot be written now")

    with monkeypatch.context() as patch:
        patch.setattr(store, "publish", full)
        with pytest.raises(StorageUnavailableError):
            await authority.crl()
    assert (await listed(authority))[1] == 1


async def test_a_forged_revocation_row_fails_the_list(authority: Authority, store: MemoryPkiStore) -> None:
    """A revoked row that was changed outside is refused, not left out."""
    serial = f"{await revoked(authority):040x}"
    store._certificates[serial] = replace(store._certificates[serial], reason="superseded")
    with pytest.raises(IntegrityError):
        await authority.crl()


@pytest.mark.parametrize("algorithm", list(Algorithm))
async def test_every_algorithm_signs_crls(tmp_path: Path, algorithm: Algorithm) -> None:
    """A CRL of each CA algorithm verifies under the issuing CA's key."""
    authority = await opened(tmp_path, policy=replace(POLICY, algorithm=algorithm))
    crl = x509.load_der_x509_crl(await authority.crl())
    issuing = x509.load_pem_x509_certificates(authority.ca_chain().encode())[0]
    await authority.close()
    assert crl.is_signature_valid(strong(issuing.public_key()))


async def test_the_roots_list_needs_no_key_once_the_root_is_offline(tmp_path: Path, authority: Authority) -> None:
    """The first start and every rotation sign the root's list, so that the key can leave right after."""

    async def named() -> int:
        crl = x509.load_der_x509_crl((await authority.revocation.crl(crl_name(authority.root_fingerprint))).der)
        return len(crl)

    (key,) = (tmp_path / "ca").glob("ca_key*.pem")
    away = key.rename(tmp_path / "away.pem")
    assert await named() == 0
    away.rename(key)
    await authority.cas.rotate(grant("ca:rotate"), RotateCa(What.ISSUING, compromised=True), entry("ca:rotate"))
    key.rename(away)
    assert await named() == 1
