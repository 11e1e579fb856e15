"""Clients with a certificate: what a certificate has to be to count, and what one of them can do to the others."""

from __future__ import annotations

import sqlite3
import ssl
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from structlog.testing import CapturingLogger

from tests.support.handshakes import shake
from tests.support.warden import issue
from tradewarden import Warden, load_settings
from tradewarden.access.grant import authorize
from tradewarden.access.permission import ALL
from tradewarden.access.principal import Kind, Principal
from tradewarden.audit.entry import EventType
from tradewarden.audit.query import Filter
from tradewarden.errors import AuthenticationError, IntegrityError
from tradewarden.http import peers as peers_module
from tradewarden.http.live import LiveTls
from tradewarden.http.peers import PeerCertificate, Peers
from tradewarden.pki.credentials import Credentials, RevokeCertificate
from tradewarden.pki.peer import identifier

ROOT = Principal(Kind.USER, "admin")
DAMAGES = ["issued_by = 'x'", "service_name = 'admin'", "not_after = not_after + 1", "seal = x''", "revocation = 'x'"]


class Connection:
    """An open connection as far as `Peers` minds."""

    address = "192.0.2.1"

    def __init__(self, peer: PeerCertificate) -> None:
        self.peer = peer
        self.aborted = False

    def abort(self) -> None:
        """Note the end."""
        self.aborted = True


@pytest.fixture
async def warden(tmp_path: Path) -> AsyncIterator[Warden]:
    """An installation."""
    opened = await Warden.start(load_settings({"TRADEWARDEN_DATA_DIR": str(tmp_path / "data")}))
    yield opened
    await opened.close()


async def revoke(warden: Warden, peer: PeerCertificate) -> None:
    """Revoke a certificate."""
    async with warden.entry(EventType.CERTIFICATE, "revoke") as entry:
        command = RevokeCertificate(peer.serial)
        await warden.authority.revoke(authorize(ROOT, ALL, "credentials:revoke"), command, entry)


def shown(warden: Warden, made: Credentials) -> PeerCertificate:
    """Return a certificate as a connection has it."""
    return identifier(warden.settings.trust_domain)(ssl.PEM_cert_to_DER_cert(made.certificate))


async def connected(warden: Warden, peers: Peers, *services: str) -> list[Connection]:
    """Return connections of services that each got a certificate."""
    made = [Connection(shown(warden, await issue(warden, name))) for name in services]
    for each in made:
        peers.arrived(each)
    await peers.close()
    return made


def damage(warden: Warden, peer: PeerCertificate, how: str = DAMAGES[0]) -> None:
    """Change a certificate's row as whoever can write to the database does."""
    with closing(sqlite3.connect(warden.settings.database_path)) as database, database:
        changed = database.execute(f"UPDATE certificates SET {how} WHERE serial = ?", (peer.serial,))  # noqa: S608
        assert changed.rowcount == 1


def imitation(warden: Warden, peer: PeerCertificate) -> PeerCertificate:
    """Return a certificate that says the same as another one, of another key and by nobody."""
    real, key = x509.load_der_x509_certificate(peer.der), ec.generate_private_key(ec.SECP256R1())
    names = real.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    builder = (
        x509.CertificateBuilder(real.issuer, real.subject, key.public_key(), real.serial_number)
        .not_valid_before(real.not_valid_before_utc)
        .not_valid_after(real.not_valid_after_utc)
        .add_extension(names.value, names.critical)
    )
    return identifier(warden.settings.trust_domain)(builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER))


# --- whose it is ----------------------------------------------------------------------------------


async def test_another_certificate_under_a_number_of_ours_is_refused(warden: Warden) -> None:
    """A CA that is trusted beside ours can choose any serial number: the certificate itself has to be the one held."""
    peers = Peers(warden)
    (bot,) = await connected(warden, peers, "bot")
    other = Connection(imitation(warden, bot.peer))
    assert (other.peer.serial, other.peer.service_name) == (bot.peer.serial, "bot")
    with pytest.raises(AuthenticationError, match="revoked"):
        await peers.require(other.peer, await warden.revisions())
    peers.arrived(other)
    await peers.close()
    assert (other.aborted, bot.aborted) == (True, False)


# --- a row that was changed from outside ----------------------------------------------------------


@pytest.mark.parametrize("how", DAMAGES)
async def test_a_damaged_row_ends_its_own_connection_and_no_look(
    warden: Warden, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It counts for nothing and is told of; revoked connections are closed all the same, good ones stay open."""
    peers = Peers(warden)
    made = await connected(warden, peers, *(f"bot-{number}" for number in range(9)))
    (damaged, good), revoked = made[4:6], made[:4] + made[6:]
    for each in revoked:
        await revoke(warden, each.peer)
    damage(warden, damaged.peer, how)
    log = CapturingLogger()
    monkeypatch.setattr(peers_module, "_log", log)
    await peers.look(await warden.revisions())
    assert [each.aborted for each in (damaged, good, *revoked)] == [True, False] + [True] * len(revoked)
    assert [(line.method_name, line.kwargs["serial"]) for line in log.calls] == [("error", damaged.peer.serial)]
    with pytest.raises(IntegrityError):
        await peers.require(damaged.peer, await warden.revisions())


async def test_who_arrives_with_a_damaged_row_is_not_let_in(warden: Warden) -> None:
    """The connection ends as soon as it stands, and the audit log has why."""
    peers, bot = Peers(warden), Connection(shown(warden, await issue(warden, "bot")))
    damage(warden, bot.peer)
    peers.arrived(bot)
    await peers.close()
    assert bot.aborted
    await warden.clerk.run_once(last=True)
    (entry,) = await warden.local.audit.search(Filter(action="handshake"))
    assert (entry["result"], entry["resource"]) == ("denied", bot.peer.serial)
    assert "seal of a certificates row does not match" in str(entry["reason"])


async def test_a_damaged_row_keeps_no_revocation_from_openssl(warden: Warden, tmp_path: Path) -> None:
    """The round goes on to the lists that the next handshakes are checked against."""
    peers = Peers(warden)
    live = LiveTls(warden, peers)
    await live.turn()
    (damaged,) = await connected(warden, peers, "damaged")
    credentials = await issue(warden, "gone")
    await revoke(warden, shown(warden, credentials))
    damage(warden, damaged.peer)
    await live.turn()
    client = ssl.create_default_context(cadata=warden.authority.ca_certificate())
    pem = tmp_path / "gone.pem"
    pem.write_text((credentials.private_key or "") + credentials.certificate_chain)
    client.load_cert_chain(pem)
    assert live.mutual is not None
    with pytest.raises(ssl.SSLCertVerificationError, match="certificate revoked"):
        shake(live.mutual, client)


async def test_what_became_of_a_ca_keeps_no_revoked_connection_open(
    warden: Warden, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Connections are looked at first in a round, before CAs whose rows or keys may be the next trouble."""
    peers = Peers(warden)
    live = LiveTls(warden, peers)
    await live.turn()
    (bot,) = await connected(warden, peers, "bot")
    await revoke(warden, bot.peer)

    async def refuse() -> None:
        raise IntegrityError("A row of table authorities was changed")

    monkeypatch.setattr(warden.authority.cas, "recover", refuse)
    with pytest.raises(IntegrityError):
        await live.turn()
    assert bot.aborted
