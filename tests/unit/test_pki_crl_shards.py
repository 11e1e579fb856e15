"""CRLs at scale: shards beside the complete list, entries taken over by a cold process, the roots' lists."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from msgspec.structs import replace

from tests.support.pki import DAY, START
from tests.support.revocation import Ca, ca
from tradewarden.errors import (
    ConfigurationError,
    IntegrityError,
    NotFoundError,
    TradewardenError,
    UnavailableError,
)
from tradewarden.pki.certificate.algorithm import strong
from tradewarden.pki.certificate.pointers import crl_name, issuer_name
from tradewarden.pki.credentials import Reason
from tradewarden.pki.revocation import crl_signing
from tradewarden.pki.revocation.crl_encoding import entries_of, entry_der, tbs_der
from tradewarden.pki.revocation.crl_entries import SHARDS, WHOLE, Entries, Entry
from tradewarden.storage.memory import MemoryDatabase
from tradewarden.storage.memory_pki import MemoryPkiStore

if TYPE_CHECKING:
    from tradewarden.pki.revocation.crl import Crl
    from tradewarden.pki.revocation.revocation import Revocation
    from tradewarden.pki.store import CertificateRow


class Counting(MemoryPkiStore):
    """A store that notes which revocations were read."""

    def __init__(self) -> None:
        super().__init__(MemoryDatabase())
        self.read: list[int] = []

    async def revocations(self, issuer: str, after: int, limit: int) -> list[CertificateRow]:
        """Return revocations, and note their numbers."""
        rows = await super().revocations(issuer, after, limit)
        self.read += [row.revocation for row in rows]
        return rows


def listed(crl: Crl) -> set[int]:
    """Return the serial numbers on a list."""
    return {each.serial_number for each in x509.load_der_x509_crl(crl.der)}


async def shard(process: Revocation, made: Ca, number: int) -> Crl:
    """Return the list of one shard, by the name that certificates point to."""
    return await process.crl(crl_name(made.issuer.fingerprint, number % SHARDS))


# -- shards ----------------------------------------------------------------------------------------


async def test_a_shard_lists_its_certificates_alone() -> None:
    """A revoked certificate is on the complete list and on the one that it points to, and on no other."""
    made = await ca()
    process = made.process()
    serials = {await made.revoked(number=0x7000 + each) for each in (1, 2, 33)}
    assert listed(await process.crl()) == serials
    assert listed(await shard(process, made, 1)) == {0x7001, 0x7021}
    assert listed(await shard(process, made, 2)) == {0x7002}
    assert listed(await shard(process, made, 3)) == set()


async def test_a_shard_says_which_certificates_it_is_for() -> None:
    """A shard names its place as certificates do, in a critical extension; the complete list is for all (5.2.5)."""
    made = await ca()
    process = made.process()
    certificate = await made.issued()
    points = certificate.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    crl = x509.load_der_x509_crl((await shard(process, made, certificate.serial_number)).der)
    scope = crl.extensions.get_extension_for_class(x509.IssuingDistributionPoint)
    assert scope.critical
    assert scope.value.full_name == points[0].full_name
    assert crl.is_signature_valid(strong(made.issuer.certificate.public_key()))
    whole = x509.load_der_x509_crl((await process.crl()).der)
    with pytest.raises(x509.ExtensionNotFound):
        whole.extensions.get_extension_for_class(x509.IssuingDistributionPoint)


async def test_a_shard_is_made_anew_for_its_own_revocations_only() -> None:
    """A revocation in one shard leaves the others' lists as they are, byte for byte."""
    made = await ca()
    process = made.process()
    before = [await shard(process, made, each) for each in (1, 2)]
    await made.revoked(number=0x7001)
    after = [await shard(process, made, each) for each in (1, 2)]
    assert [each.number for each in after] == [2, 1]
    assert after[1].der == before[1].der


async def test_two_processes_show_one_list_of_a_shard() -> None:
    """Under one number there is one list, whoever made it."""
    made = await ca()
    processes = [made.process(), made.process()]
    for _ in range(3):
        serial = await made.revoked()
        lists = await asyncio.gather(*[shard(each, made, serial) for each in processes * 4])
        assert len({each.der for each in lists}) == 1
        assert serial in listed(lists[0])


async def test_without_a_public_url_there_are_no_shards() -> None:
    """No certificate points to a shard then, so there is none."""
    made = await ca(base="")
    process = made.process()
    assert (await process.crl(crl_name(made.issuer.fingerprint))).number == 1
    with pytest.raises(NotFoundError):
        await shard(process, made, 1)


@pytest.mark.parametrize(
    "name", ["x.crl", "0" * 20 + ".crl", "0" * 20 + "-20.crl", "../ca.crl", "", "{}-20.crl", "{}.cer"]
)
async def test_names_of_no_list_are_refused(name: str) -> None:
    """What names no list of ours is not found."""
    made = await ca()
    name = name.format(made.issuer.fingerprint[:20]) or ".crl"
    with pytest.raises(NotFoundError):
        await made.process().crl(name)


# -- entries ---------------------------------------------------------------------------------------


async def test_a_cold_process_serves_what_stands_without_reading_revocations() -> None:
    """After a start the list that stands is served at once, from its row alone."""
    store = Counting()
    made = await ca(store)
    await made.revoked()
    before = await made.process().crl()
    store.read.clear()
    assert await made.process().crl() == before
    assert store.read == []


async def test_a_cold_process_takes_the_entries_over_from_the_list() -> None:
    """To make the next list a new process reads the revocations that the standing one does not know, and no others."""
    store = Counting()
    made = await ca(store)
    serials = {await made.revoked(Reason.SUPERSEDED) for _ in range(20)}
    await made.process().crl()
    serials.add(await made.revoked())
    store.read.clear()
    cold = made.process()
    assert listed(await cold.crl()) == serials
    assert set(store.read) == {21}
    own = {each for each in serials if each % SHARDS == max(serials) % SHARDS}
    assert listed(await shard(cold, made, max(serials))) == own


async def test_a_shard_of_a_cold_process_holds_what_expired_lately() -> None:
    """A shard made later than the complete list still lists what expired since it was made the last time."""
    made = await ca()
    process = made.process()
    await made.revoked(hours=2, number=0x7001)
    await shard(process, made, 1)
    made.clock.time += 3 * 3600
    for _ in range(3):
        await made.revoked(hours=96, number=0x7002 + int(made.clock.time))
        await process.crl()
        made.clock.time += 3600
    made.clock.time += DAY / 4
    assert 0x7001 in listed(await shard(made.process(), made, 1))
    made.clock.time += DAY / 2
    assert 0x7001 not in listed(await shard(made.process(), made, 1))


async def test_a_forged_list_is_refused() -> None:
    """A list that was changed in the database is neither served nor taken over."""
    store = MemoryPkiStore(MemoryDatabase())
    made = await ca(store)
    await made.revoked()
    await made.process().crl()
    key = (made.issuer.fingerprint, WHOLE)
    store._crls[key] = replace(store._crls[key], crl=store._crls[key].crl[:-1] + b"\0")
    with pytest.raises(IntegrityError):
        await made.process().crl()
    await made.revoked()
    with pytest.raises(IntegrityError):
        await made.process().crl()


def test_entries_come_back_from_their_index() -> None:
    """Index and DER together are everything that was held, and other shards than ours are not taken over."""
    entries = Entries()
    for number in range(1, 200):
        serial = number * 7919
        entries.add(Entry(serial, number, 1000 + number, entry_der(serial, 500, Reason.KEY_COMPROMISE)))
    entries.forget(1050)
    index, ders = entries.index(), b"".join(entries.since(WHOLE, 0))
    again = Entries.restored(index, ders, entries.known)
    assert again is not None
    assert (len(again), again.floor, again.known) == (150, 1050, 199)
    assert again.index() == index
    for each in range(SHARDS):
        assert again.since(each, 1100) == entries.since(each, 1100)
        assert again.last(each) == entries.last(each)
    assert Entries.restored(b"\x07\x00" + index[2:], ders, 1) is None


def test_an_entry_is_what_x690_says() -> None:
    """Serial number, time and reason stand as RFC 5280 section 5.1 has them, written out by hand."""
    assert entry_der(0x80, 1_767_225_600, Reason.KEY_COMPROMISE).hex() == (
        "3021" "02020080" "170d3236303130313030303030305a" "300c300a0603551d1504030a0101"
    )  # fmt: skip
    assert entry_der(1, 1_767_225_600, Reason.UNSPECIFIED).hex() == "3012020101170d3236303130313030303030305a"


async def test_entries_are_read_out_of_a_list() -> None:
    """The entries of a list come out as they went in, and none of one without any."""
    made = await ca()
    process = made.process()
    assert entries_of((await process.crl()).der) == b""
    serial = await made.revoked(Reason.SUPERSEDED)
    assert entries_of((await process.crl()).der) == entry_der(serial, int(START), Reason.SUPERSEDED)


async def test_a_shard_made_late_reads_no_revocation_again() -> None:
    """What a shard needs is in memory, however often the complete list was made since that shard's last."""
    store = Counting()
    made = await ca(store)
    process = made.process()
    await made.revoked(hours=2, number=0x7001)
    await shard(process, made, 1)
    for _ in range(8):
        made.clock.time += 3600
        await made.revoked(hours=96)
        await process.crl()
    store.read.clear()
    await made.revoked(hours=96, number=0x7021)
    assert {0x7001, 0x7021} <= listed(await shard(process, made, 1))
    assert set(store.read) == {10}


async def test_entries_of_a_forged_list_are_not_taken_over() -> None:
    """A shard is not made from a complete list that was changed in the database."""
    store = MemoryPkiStore(MemoryDatabase())
    made = await ca(store)
    await made.revoked()
    await made.process().crl()
    key = (made.issuer.fingerprint, WHOLE)
    store._crls[key] = replace(store._crls[key], index=store._crls[key].index + b"\0")
    await made.revoked()
    with pytest.raises(IntegrityError):
        await shard(made.process(), made, 1)


async def test_a_list_that_is_not_what_was_ordered_is_thrown_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a signature that does not verify nor other times are let out, and no number is spent."""
    made = await ca()
    process = made.process()
    with monkeypatch.context() as patch:
        patch.setattr(type(made.issuer), "sign", lambda issuer, data: issuer._signing.sign(issuer._key, data + b"\0"))
        with pytest.raises(IntegrityError, match="thrown away"):
            await process.crl()
    with monkeypatch.context() as patch:
        patch.setattr(crl_signing, "tbs_der", lambda one, two, now, *rest: tbs_der(one, two, now - 1, *rest))
        with pytest.raises(IntegrityError, match="thrown away"):
            await process.crl()
    assert (await process.crl()).number == 1


# -- when the key is away --------------------------------------------------------------------------


def away(made: Ca, monkeypatch: pytest.MonkeyPatch, error: type[TradewardenError] = UnavailableError) -> None:
    """Take the issuing CA's key away."""

    def sign(issuer: object, data: bytes) -> bytes:
        raise error("The token is away")

    monkeypatch.setattr(type(made.issuer), "sign", sign)


@pytest.mark.parametrize("error", [UnavailableError, ConfigurationError])
async def test_without_the_key_a_true_list_is_served_until_it_lapses(
    monkeypatch: pytest.MonkeyPatch, error: type[TradewardenError]
) -> None:
    """A list past half its life is still given when no newer one can be signed, and none once it is past its time."""
    made = await ca()
    process = made.process()
    before = await process.crl()
    away(made, monkeypatch, error)
    made.clock.time = before.next_update - 1.0
    assert await process.crl() == before
    made.clock.time = float(before.next_update)
    with pytest.raises(UnavailableError):
        await process.crl()


async def test_without_the_key_no_list_hides_a_revocation(monkeypatch: pytest.MonkeyPatch) -> None:
    """A list that does not know a revocation is not given, however young it is."""
    made = await ca()
    process = made.process()
    await process.crl()
    certificate = await made.issued()
    away(made, monkeypatch)
    await made.revoke(certificate)
    with pytest.raises(UnavailableError):
        await process.crl()


async def test_the_clerk_makes_lists_anew_before_they_lapse() -> None:
    """`renew` makes those lists anew that stand in the second half of their life, shards that exist too."""
    store = MemoryPkiStore(MemoryDatabase())
    made = await ca(store)
    process = made.process()
    first, part = await process.crl(), await shard(process, made, 5)
    await process.renew()
    assert (await process.crl(), await shard(process, made, 5)) == (first, part)
    made.clock.time += DAY / 2
    clerk = made.process()
    await clerk.renew()
    assert [row.number for row in store._crls.values() if row.issuer == made.issuer.fingerprint] == [2, 2]
    assert clerk.held() == await process.crl()


# -- several CAs -----------------------------------------------------------------------------------


async def test_a_retired_ca_keeps_its_lists() -> None:
    """After a rotation the old CA's list goes on under its own name, and what this process holds of it stays."""
    store = Counting()
    made = await ca(store)
    process = made.process()
    serial = await made.revoked()
    number = (await process.crl()).number
    before = made.rotate()
    assert listed(await process.crl()) == set()
    store.read.clear()
    assert (await process.crl(crl_name(before.fingerprint))).number == number
    assert listed(await process.crl(crl_name(before.fingerprint))) == {serial}
    assert store.read == []


async def test_certificates_of_cas_are_given_by_name() -> None:
    """Issuing CAs and roots are found by the names that certificates point to."""
    made = await ca()
    process = made.process()
    for each in (made.issuer, made.root):
        assert process.certificate(issuer_name(each.fingerprint)) == (each.der, int(START))
    for name in ("x.cer", "0" * 20 + ".cer", crl_name(made.issuer.fingerprint)):
        with pytest.raises(NotFoundError):
            process.certificate(name)


async def test_a_roots_list_names_revoked_cas_and_lives_as_long_as_the_root() -> None:
    """The list is made while the root's key is here, is given without it, and is valid up to the root's end."""
    made = await ca()
    process = made.process()
    await process.renew_roots()
    made.root_is_here = False
    name = crl_name(made.root.fingerprint)
    first = await process.crl(name)
    assert (listed(first), first.number, first.next_update) == (set(), 1, made.root.ends)
    made.root_is_here = True
    lost = made.rotate(compromised=True)
    await process.after_rotation()
    made.root_is_here = False
    crl = x509.load_der_x509_crl((await made.process().crl(name)).der)
    entry = crl.get_revoked_certificate_by_serial_number(lost.certificate.serial_number)
    assert entry is not None
    assert entry.extensions.get_extension_for_class(x509.CRLReason).value.reason is x509.ReasonFlags.ca_compromise
    assert crl.is_signature_valid(strong(made.root.certificate.public_key()))


async def test_a_roots_list_ends_with_the_root() -> None:
    """No list is given past its time."""
    made = await ca()
    process = made.process()
    await process.renew_roots()
    made.clock.time = float(made.root.ends)
    with pytest.raises(UnavailableError):
        await process.crl(crl_name(made.root.fingerprint))


async def test_a_roots_list_that_hides_a_revoked_ca_is_not_given() -> None:
    """When the root's key is not there to name a revoked CA, the error says what to bring back."""
    made = await ca()
    process = made.process()
    await process.renew_roots()
    made.root_is_here = False
    made.rotate(compromised=True)
    await process.after_rotation()
    with pytest.raises(UnavailableError, match=r"CN=root.*bring the root CA's key back"):
        await process.crl(crl_name(made.root.fingerprint))
    made.root_is_here = True
    assert len(listed(await process.crl(crl_name(made.root.fingerprint)))) == 1


async def test_a_revoked_ca_has_no_lists() -> None:
    """Neither its complete list nor a shard nor the bundle speaks for it: by its key its thief would speak too."""
    made = await ca()
    process = made.process()
    number = (await made.issued()).serial_number
    assert len(await process.each()) == 2
    lost = made.rotate(compromised=True)
    await process.after_rotation()
    for each in (process, made.process()):
        assert set(await each.each()) == {made.issuer.fingerprint, made.root.fingerprint}
        for name in (crl_name(lost.fingerprint), crl_name(lost.fingerprint, number % SHARDS)):
            with pytest.raises(NotFoundError, match="revoked"):
                await each.crl(name)


async def test_without_the_roots_key_the_bundle_still_leaves_out_a_revoked_ca() -> None:
    """The root's list cannot name it then; without its own list it is refused, and the others' lists go on."""
    made = await ca()
    process = made.process()
    await process.renew_roots()
    made.root_is_here = False
    lost = made.rotate(compromised=True)
    await process.after_rotation()
    lists = [x509.load_der_x509_crl(each.der) for each in (await process.each()).values()]
    assert [each.issuer for each in lists] == [made.issuer.certificate.subject, made.root.certificate.subject]
    assert lost.certificate.subject not in [each.issuer for each in lists]
    assert (await process.bundle()).pem.count(b"BEGIN") == 2
