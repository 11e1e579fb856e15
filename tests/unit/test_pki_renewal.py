"""Renewal: by the service over its certificate, by whoever holds the old key, by an operator; and by nobody else."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID
from msgspec.structs import replace

from tests.support.keys import keyring
from tests.support.pki import ADMIN, DAY, POLICY, START, KeptEntries, SetClock, csr, grant
from tradewarden.access.grant import Credential, Grant, authorize
from tradewarden.access.permission import ALL, PermissionSet
from tradewarden.access.principal import ANONYMOUS, Kind, Principal
from tradewarden.audit.entry import Auditor, Entry, EventType, Origin
from tradewarden.clock import system_randomness
from tradewarden.errors import (
    AuthenticationError,
    ConflictError,
    InvalidInputError,
    NameRefusedError,
    NotFoundError,
    PermissionDeniedError,
)
from tradewarden.pki.authority import Authority
from tradewarden.pki.cas.listing import RotateCa
from tradewarden.pki.cas.rotating import What
from tradewarden.pki.certifying import Certifier, Wanted
from tradewarden.pki.credentials import IssueCredentials, RenewCredentials, RevokeCertificate
from tradewarden.storage.memory import MemoryDatabase
from tradewarden.storage.memory_pki import MemoryPkiStore
from tradewarden.workload.possession import proof

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from tradewarden.pki.allowance import Standing
    from tradewarden.pki.credentials import Credentials
    from tradewarden.pki.store import CertificateRow

HOUR = 3600
RENEW = "credentials:renew"
REFUSED = "The proof is not accepted; enrol again with a join token"


@dataclass(frozen=True)
class Allotment:
    """A registration, as far as names go."""

    dns_names: tuple[str, ...] = ()
    ip_addresses: tuple[str, ...] = ()
    incarnation: str = "first"
    permissions: tuple[str, ...] = ()


@dataclass
class Names:
    """A register of names that tests fill."""

    services: dict[str, Allotment] = field(default_factory=dict)
    owned: dict[str, str] = field(default_factory=dict)
    shared: dict[str, str] = field(default_factory=dict)

    async def allotment(self, name: str, dns_names: Sequence[str], addresses: Sequence[str]) -> Standing:
        """Return what the test put there."""
        owners = {each: self.owned[each] for each in dns_names if each in self.owned}
        sharers = {each: self.shared[each] for each in (*dns_names, *addresses) if each in self.shared}
        return self.services.get(name), owners, sharers


@dataclass
class Pki:
    """An authority and what it stands on."""

    authority: Authority
    clock: SetClock
    names: Names
    inbox: list[bytes]

    def entry(self) -> Entry:
        """Return an audit entry."""
        return Auditor(KeptEntries(), self.clock).entry(EventType.CERTIFICATE, "renew", Origin())

    async def issue(self, service: str = "bot", **asked: Any) -> Credentials:  # noqa: ANN401 (the fields of the command)
        """Issue to a service, as an admin."""
        command = IssueCredentials(service, **asked)
        return await self.authority.issue(grant("credentials:issue", service), command, self.entry())

    async def renew(self, by: Grant, **asked: Any) -> Credentials:  # noqa: ANN401 (the fields of the command)
        """Renew."""
        return await self.authority.renew(by, RenewCredentials(**asked), self.entry())


@pytest.fixture
async def pki(tmp_path: Path) -> AsyncIterator[Pki]:
    """Give an authority in memory that grants an hour after a certificate's end."""
    database, clock, names = MemoryDatabase(), SetClock(), Names()
    authority = await Authority.open(
        MemoryPkiStore(database),
        await keyring(),
        tmp_path,
        replace(POLICY, renewal_grace_hours=1),
        clock,
        system_randomness,
        first_start=True,
        register=names,
    )
    yield Pki(authority, clock, names, database.inbox)
    await authority.close()


def certificate(made: Credentials) -> x509.Certificate:
    """Return the certificate."""
    return x509.load_pem_x509_certificate(made.certificate.encode())


def itself(made: Credentials, *, shows: str | None = None, rights: tuple[str, ...] = (), peer: str = "bot") -> Grant:
    """Return the grant of `bot` on a connection that shows this certificate."""
    credential = Credential("certificate", "bot", serial=shows or made.serial_number, peer=peer, thumbprint="t")
    own = PermissionSet((f"{RENEW}:bot", *rights))
    return authorize(Principal(Kind.SERVICE, "bot"), own, RENEW, credential=credential)


def stranger() -> Grant:
    """Return the grant of nobody, as the door makes it for this call."""
    return authorize(ANONYMOUS, PermissionSet((RENEW,)), RENEW, credential=Credential("certificate_proof"))


def names_of(made: Credentials) -> list[object]:
    """Return all names in a certificate."""
    found = certificate(made).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return [(type(each).__name__, each.value) for each in found]


def proven(made: Credentials, request: str, now: float) -> dict[str, str]:
    """Return certificate and proof of a credential that was issued with its key."""
    key = load_pem_private_key((made.private_key or "").encode(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return {"csr": request, "certificate": made.certificate, "proof": proof(key, request, now)}


# -- the service itself ------------------------------------------------------------------------


async def test_a_service_renews_what_it_shows(pki: Pki) -> None:
    """Same names, same profile, same term, another key; the old certificate goes on until it ends."""
    old = await pki.issue(dns_names=("bot.internal",), ip_addresses=("10.0.0.1",), ttl_hours=24)
    pki.clock.time += 16 * HOUR
    key = ec.generate_private_key(ec.SECP256R1())
    new = await pki.renew(itself(old), csr=csr(key))
    assert new.private_key is None
    assert certificate(new).public_key() == key.public_key()
    assert names_of(new) == names_of(old)
    assert new.serial_number != old.serial_number
    assert new.expires_at - new.issued_at == 24 * HOUR
    assert certificate(new).subject == certificate(old).subject
    assert not await pki.authority.is_revoked(old.serial_number)
    purposes = certificate(new).extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(purposes) == [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
    assert b'"user":"service:bot"' in pki.inbox[-1]
    assert b'"method":"certificate"' in pki.inbox[-1]
    assert f'"resource":"bot/{new.serial_number}"'.encode() in pki.inbox[-1]


async def test_the_profile_stays(pki: Pki) -> None:
    """A client's certificate becomes a client's."""
    old = await pki.issue(profile="client")
    new = await pki.renew(itself(old), csr=csr())
    purposes = certificate(new).extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(purposes) == [ExtendedKeyUsageOID.CLIENT_AUTH]


async def test_a_service_shortens_its_term_and_never_lengthens_it(pki: Pki) -> None:
    """What the operator gave at the first time is the most."""
    old = await pki.issue(ttl_hours=24)
    short = await pki.renew(itself(old), csr=csr(), ttl_hours=2)
    assert short.expires_at - short.issued_at == 2 * HOUR
    for hours in (25, 0, -1):
        with pytest.raises(InvalidInputError, match="from 1 to 24"):
            await pki.renew(itself(old), csr=csr(), ttl_hours=hours)


async def test_the_csr_asks_for_nothing_more(pki: Pki) -> None:
    """Names beyond the old ones are refused by name; a missing CSR, too."""
    old = await pki.issue()
    with pytest.raises(InvalidInputError, match=r"evil\.internal"):
        await pki.renew(itself(old), csr=csr(sans=(x509.DNSName("evil.internal"),)))
    with pytest.raises(InvalidInputError, match="CN"):
        await pki.renew(itself(old), csr=csr(cn="other"))
    with pytest.raises(InvalidInputError, match="csr is needed"):
        await pki.renew(itself(old))


async def test_a_service_renews_nothing_but_what_it_shows(pki: Pki) -> None:
    """Not another's certificate, nor another one of its own, nor anything without a certificate, whatever it holds."""
    old, other, theirs = await pki.issue(), await pki.issue(), await pki.issue("other")
    every = (RENEW, "credentials:issue:bot")
    bare = authorize(Principal(Kind.SERVICE, "bot"), PermissionSet((RENEW,)), RENEW, credential=Credential("token"))
    for by, asked in [
        (itself(old, rights=every), {"serial_number": theirs.serial_number}),
        (itself(old, rights=every), {"serial_number": other.serial_number}),
        (itself(old, shows=theirs.serial_number, rights=every, peer="other"), {}),
        (itself(old, shows=old.serial_number, peer="other"), {}),
        (bare, {}),
        (bare, {"serial_number": old.serial_number}),
    ]:
        with pytest.raises(PermissionDeniedError):
            await pki.renew(by, csr=csr(), **asked)
    await pki.renew(itself(old), csr=csr(), serial_number=old.serial_number)


async def test_a_revoked_certificate_renews_nothing(pki: Pki) -> None:
    """Not by its service, not by proof, not by an operator."""
    old = await pki.issue()
    await pki.authority.revoke(grant("credentials:revoke"), RevokeCertificate(old.serial_number), pki.entry())
    with pytest.raises(PermissionDeniedError):
        await pki.renew(itself(old), csr=csr())
    with pytest.raises(AuthenticationError, match=REFUSED):
        await pki.renew(stranger(), **proven(old, csr(), pki.clock.time))
    with pytest.raises(ConflictError):
        await pki.renew(grant(RENEW), serial_number=old.serial_number)


async def test_who_is_revoked_while_it_proves_itself_gets_nothing(pki: Pki, monkeypatch: pytest.MonkeyPatch) -> None:
    """The revocation that falls between the check and the new certificate counts; the door looks after other proofs."""
    old = await pki.issue()
    certify = Certifier.certify

    async def slowly(certifier: Certifier, by: Grant, wanted: Wanted, entry: Entry) -> CertificateRow:
        made = await certify(certifier, by, wanted, entry)
        await pki.authority.revoke(grant("credentials:revoke"), RevokeCertificate(old.serial_number), pki.entry())
        return made

    monkeypatch.setattr(Certifier, "certify", slowly)
    with pytest.raises(AuthenticationError, match=REFUSED):
        await pki.renew(stranger(), **proven(old, csr(), pki.clock.time))


# -- by proof ----------------------------------------------------------------------------------


async def test_whoever_holds_the_old_key_renews(pki: Pki) -> None:
    """Without a connection that proves anything; the new certificate is the service's own doing."""
    old = await pki.issue(dns_names=("bot.internal",))
    new = await pki.renew(stranger(), **proven(old, csr(), pki.clock.time))
    assert names_of(new) == names_of(old)
    assert b'"user":"service:bot"' in pki.inbox[-1]
    assert b'"method":"certificate_proof"' in pki.inbox[-1]
    item = await pki.authority.get(grant("credentials:read"), new.serial_number)
    assert item.issued_by == "service:bot"


async def test_the_key_is_proof_enough_after_its_ca_was_compromised(pki: Pki) -> None:
    """All that a compromised CA issued counts as revoked; by their old keys services get certificates of the next."""
    old = await pki.issue()
    await pki.authority.cas.rotate(grant("ca:rotate"), RotateCa(What.ISSUING, compromised=True), pki.entry())
    assert await pki.authority.is_revoked(old.serial_number)
    new = await pki.renew(stranger(), **proven(old, csr(), pki.clock.time))
    assert not await pki.authority.is_revoked(new.serial_number)


async def test_the_proof_counts_for_the_grace_and_not_longer(pki: Pki) -> None:
    """An hour after the end, here; at the last second it is over."""
    old = await pki.issue(ttl_hours=1)
    pki.clock.time = old.expires_at + HOUR - 1
    await pki.renew(stranger(), **proven(old, csr(), pki.clock.time))
    pki.clock.time += 1
    with pytest.raises(AuthenticationError, match=REFUSED) as refused:
        await pki.renew(stranger(), **proven(old, csr(), pki.clock.time))
    assert "too long ago" in refused.value.reason


async def test_a_proof_needs_the_right_key_for_this_csr_now(pki: Pki) -> None:
    """Another key, another CSR, another time: each refused with one text."""
    old, other = await pki.issue(), await pki.issue("other")
    now, request = pki.clock.time, csr()
    good = proven(old, request, now)
    for bad in [
        {**good, "proof": proven(other, request, now)["proof"]},
        {**good, "certificate": other.certificate},
        {**good, "csr": csr()},
        proven(old, request, now - 301),
        proven(old, request, now + 301),
        {**good, "proof": "a.b.c"},
        {**good, "proof": ""},
    ]:
        with pytest.raises(AuthenticationError, match=REFUSED):
            await pki.renew(stranger(), **bad)


async def test_only_a_certificate_of_the_inventory_counts(pki: Pki, tmp_path: Path) -> None:
    """A foreign one, one with our serial number but other bytes, and our listener's own are refused."""
    old = await pki.issue()
    key = ec.generate_private_key(ec.SECP256R1())
    template = certificate(old)
    forged = (
        x509.CertificateBuilder()
        .subject_name(template.subject)
        .issuer_name(template.issuer)
        .public_key(key.public_key())
        .serial_number(template.serial_number)
        .not_valid_before(template.not_valid_before_utc)
        .not_valid_after(template.not_valid_after_utc)
        .sign(key, hashes.SHA256())
    )
    request = csr()
    text = forged.public_bytes(Encoding.PEM).decode()
    for shown in (text, (await _foreign(tmp_path)).certificate):
        with pytest.raises(AuthenticationError, match=REFUSED) as refused:
            await pki.renew(stranger(), csr=request, certificate=shown, proof=proof(key, request, pki.clock.time))
        assert "inventory" in refused.value.reason
    own = await pki.authority.server_certificate(grant("credentials:issue", "tradewarden"), [], [], pki.entry())
    with pytest.raises(AuthenticationError, match=REFUSED):
        await pki.renew(stranger(), **proven(own, csr(cn=None), pki.clock.time))
    with pytest.raises(NotFoundError):
        await pki.renew(grant(RENEW), serial_number=own.serial_number)


async def _foreign(directory: Path) -> Credentials:
    """Issue under another installation's CA."""
    folder = directory / "foreign"
    folder.mkdir(mode=0o700)
    store, clock = MemoryPkiStore(MemoryDatabase()), SetClock()
    foreign = await Authority.open(store, await keyring(), folder, POLICY, clock, system_randomness, first_start=True)
    made = await Pki(foreign, clock, Names(), []).issue()
    await foreign.close()
    return made


async def test_a_proof_is_no_use_to_another_service(pki: Pki) -> None:
    """A proven caller that is somebody else is denied, with a good proof."""
    old = await pki.issue()
    other = authorize(Principal(Kind.SERVICE, "other"), PermissionSet((f"{RENEW}:other",)), RENEW)
    with pytest.raises(PermissionDeniedError):
        await pki.renew(other, **proven(old, csr(), pki.clock.time))


@pytest.mark.parametrize("asked", [{}, {"csr": "x"}, {"serial_number": "00"}])
async def test_a_stranger_without_proof_gets_nothing(pki: Pki, asked: dict[str, str]) -> None:
    """The call is open to proofs, not to everybody."""
    with pytest.raises(AuthenticationError, match="client certificate"):
        await pki.renew(stranger(), **asked)


async def test_what_does_not_go_together_is_refused(pki: Pki) -> None:
    """Certificate and proof come as a pair, without a serial number, and the certificate can be read."""
    old = await pki.issue()
    good = proven(old, csr(), pki.clock.time)
    mistakes: list[dict[str, str | None]] = [
        {**good, "proof": None},
        {**good, "certificate": None},
        {**good, "serial_number": old.serial_number},
        {**good, "certificate": "nonsense"},
        {**good, "certificate": "é\ud7ff"},
        {**good, "certificate": "A" * 20_000},
    ]
    for bad in mistakes:
        with pytest.raises(InvalidInputError):
            await pki.renew(stranger(), **bad)
    with pytest.raises(AuthenticationError):
        await pki.renew(stranger(), **{**good, "csr": None})


# -- by an operator ----------------------------------------------------------------------------


async def test_an_operator_renews_by_serial_number(pki: Pki) -> None:
    """With a CSR or a key made here, for an expired one too, and for as long as the policy allows."""
    old = await pki.issue(dns_names=("bot.internal",), ttl_hours=1)
    pki.clock.time += 10 * DAY
    for by in (
        grant(RENEW),
        authorize(ADMIN, PermissionSet(("credentials:issue:bot",)), RENEW),
    ):
        new = await pki.renew(by, serial_number=old.serial_number.upper(), ttl_hours=365 * 24)
        assert (new.private_key is not None, names_of(new)) == (True, names_of(old))
        assert new.expires_at == pki.clock.time + 365 * DAY
    with pytest.raises(InvalidInputError, match="from 1 to 8760"):
        await pki.renew(grant(RENEW), serial_number=old.serial_number, ttl_hours=365 * 24 + 1)
    with pytest.raises(NotFoundError):
        await pki.renew(grant(RENEW), serial_number="ab")


async def test_an_operator_needs_the_right_to_issue_to_that_service(pki: Pki) -> None:
    """Renewal of others is issuing: `credentials:renew` alone is not enough, nor the right over another service."""
    old = await pki.issue()
    for names in ((RENEW,), ("credentials:issue:other",), (f"{RENEW}:bot",)):
        with pytest.raises(PermissionDeniedError):
            await pki.renew(authorize(ADMIN, PermissionSet(names), RENEW), serial_number=old.serial_number)
    with pytest.raises(PermissionDeniedError):
        await pki.renew(authorize(ADMIN, ALL, RENEW), csr=csr())


# -- names -------------------------------------------------------------------------------------


async def test_names_that_were_taken_away_are_not_renewed(pki: Pki) -> None:
    """What the register says now counts, for everyone; what it is silent about stays as the operator gave it."""
    pki.names.services["bot"] = Allotment()
    old = await pki.issue(dns_names=("bot.internal",))
    await pki.renew(itself(old), csr=csr())
    pki.names.services["bot"] = Allotment(("bot.internal",))
    await pki.renew(itself(old), csr=csr())
    pki.names.services["bot"] = Allotment(("other.internal",))
    ways: list[tuple[Grant, dict[str, str]]] = [(itself(old), {}), (grant(RENEW), {"serial_number": old.serial_number})]
    for by, asked in ways:
        with pytest.raises(NameRefusedError, match=r"bot\.internal"):
            await pki.renew(by, csr=csr(), **asked)
    pki.names.services["bot"] = Allotment()
    pki.names.owned["bot.internal"] = "other"
    with pytest.raises(NameRefusedError, match="belongs to another"):
        await pki.renew(itself(old), csr=csr())
    pki.names.owned.clear()
    pki.names.shared["bot.internal"] = "other"
    for by, asked in ways:
        with pytest.raises(NameRefusedError, match="belongs to another"):
            await pki.renew(by, csr=csr(), **asked)


async def test_issuing_keeps_to_the_register(pki: Pki) -> None:
    """The rule holds for a first certificate, with a CSR and without, for admins too."""
    pki.names.services["bot"] = Allotment((".trading.internal",), ("10.0.0.1",))
    await pki.issue(dns_names=("a.trading.internal",), ip_addresses=("10.0.0.1",))
    for asked in (
        {"dns_names": ("bot.internal",)},
        {"ip_addresses": ("10.0.0.2",)},
        {"dns_names": ("bot.internal",), "csr": csr()},
    ):
        with pytest.raises(NameRefusedError):
            await pki.issue(**asked)
    pki.names.owned["db.internal"] = "db"
    with pytest.raises(NameRefusedError):
        await pki.issue("unregistered", dns_names=("db.internal",))
    await pki.issue("unregistered", dns_names=("else.internal",))
    own = authorize(Principal(Kind.SERVICE, "solo"), PermissionSet(("credentials:issue:solo",)), "credentials:issue")
    with pytest.raises(NameRefusedError):
        await pki.authority.issue(own, IssueCredentials("solo", dns_names=("x.internal",)), pki.entry())
    await pki.authority.issue(own, IssueCredentials("solo"), pki.entry())
    assert pki.clock.time == START
