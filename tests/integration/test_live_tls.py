"""What the listeners show and trust, kept current in a running process: renewal, rotation, revocation, old CRLs."""

from __future__ import annotations

import datetime as dt
import ssl
import stat
import time
from base64 import b64encode
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from msgspec.structs import replace

from tests.support.handshakes import shake
from tests.support.mtls import SERVER, TestCa
from tests.support.warden import issue
from tradewarden import Warden, load_settings
from tradewarden.access.grant import authorize
from tradewarden.access.permission import ALL
from tradewarden.access.principal import Kind, Principal
from tradewarden.audit.entry import EventType
from tradewarden.audit.query import Filter
from tradewarden.errors import AuthenticationError, UnavailableError
from tradewarden.http import live as live_module
from tradewarden.http.handshake import Handshake
from tradewarden.http.live import LiveTls
from tradewarden.http.own_certificate import OwnCertificate
from tradewarden.http.peers import PeerCertificate, Peers
from tradewarden.http.tls import LiveContext, ServerContext, Trust, server_context
from tradewarden.pki.credentials import RevokeCertificate
from tradewarden.pki.peer import identifier

if TYPE_CHECKING:
    from tradewarden.pki.credentials import Credentials

ROOT = Principal(Kind.USER, "admin")
DAY = 86_400.0


class AheadClock:
    """The machine's clock, moved on by hand."""

    ahead = 0.0

    def now(self) -> float:
        """Return the time."""
        return time.time() + self.ahead

    def monotonic(self) -> float:
        """Return seconds that never run backwards."""
        return time.monotonic() + self.ahead


@pytest.fixture
def clock() -> AheadClock:
    """The clock of the warden below."""
    return AheadClock()


@pytest.fixture
async def warden(tmp_path: Path, clock: AheadClock) -> AsyncIterator[Warden]:
    """An installation whose certificates last thirty days."""
    settings = load_settings({"TRADEWARDEN_DATA_DIR": str(tmp_path / "data"), "CERT_VALIDITY_DAYS": "30"})
    opened = await Warden.start(settings, clock=clock)
    yield opened
    await opened.close()


async def revoke(warden: Warden, serial: str) -> None:
    """Revoke a certificate."""
    async with warden.entry(EventType.CERTIFICATE, "revoke") as entry:
        await warden.authority.revoke(authorize(ROOT, ALL, "credentials:revoke"), RevokeCertificate(serial), entry)


def client(warden: Warden, folder: Path, made: Credentials | None) -> ssl.SSLContext:
    """Return what a client with these credentials connects with."""
    context = ssl.create_default_context(cadata=warden.authority.ca_certificate())
    if made is not None:
        pem = folder / f"{made.serial_number}.pem"
        pem.write_text((made.private_key or "") + made.certificate_chain)
        context.load_cert_chain(pem)
    return context


async def opened(warden: Warden) -> tuple[LiveTls, Peers]:
    """Return a worker's live TLS, ready."""
    peers = Peers(warden)
    live = LiveTls(warden, peers)
    await live.turn()
    return live, peers


def mutual(live: LiveTls) -> ssl.SSLContext:
    """Return the context of the mTLS listener."""
    assert live.mutual is not None
    return live.mutual


def serial_seen(theirs: ssl.SSLObject) -> int:
    """Return the serial number of the certificate that the server showed."""
    return x509.load_der_x509_certificate(theirs.getpeercert(binary_form=True) or b"").serial_number


# --- our own certificate --------------------------------------------------------------------------


async def test_all_workers_show_one_certificate(warden: Warden) -> None:
    """The first one issues it, the others read it, a restart too; its key lies there encrypted, for us alone."""
    first = await OwnCertificate(warden).current()
    assert (await OwnCertificate(warden).current()).serial == first.serial
    path = warden.settings.data_dir / "listener.pem"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert b"BEGIN ENCRYPTED PRIVATE KEY" in path.read_bytes()
    assert b"BEGIN PRIVATE KEY" not in path.read_bytes()
    usage = first.leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [SERVER]


async def test_it_is_renewed_at_two_thirds_of_its_life_and_all_follow(warden: Warden, clock: AheadClock) -> None:
    """Not before; then one worker renews, the others take what it stored, and the log has the renewal."""
    one, two = OwnCertificate(warden), OwnCertificate(warden)
    before = await one.current()
    assert (await two.current()).serial == before.serial
    clock.ahead = 20 * DAY - 120
    assert (await one.current()).serial == before.serial
    clock.ahead = 20 * DAY + 1
    after = await one.current()
    assert after.serial != before.serial
    assert (await two.current()).serial == after.serial
    assert (await one.current()) is after
    await warden.clerk.run_once(last=True)
    found = await warden.local.audit.search(Filter(action="renew"))
    assert [each["resource"] for each in found] == [f"tradewarden/{after.serial}"]


@pytest.mark.parametrize("content", [b"", b"rubbish", None])
async def test_a_file_of_no_use_is_replaced(warden: Warden, content: bytes | None) -> None:
    """Damaged, or readable by others: another one is issued, and it can be used again."""
    before = await OwnCertificate(warden).current()
    path = warden.settings.data_dir / "listener.pem"
    if content is None:
        path.chmod(0o644)
    else:
        path.write_bytes(content)
    after = await OwnCertificate(warden).current()
    assert after.serial != before.serial
    assert (await OwnCertificate(warden).current()).serial == after.serial
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_a_revoked_listener_certificate_is_replaced_at_once(warden: Warden, tmp_path: Path) -> None:
    """The next look issues another and shows it to new connections; what stands goes on."""
    live, _ = await opened(warden)
    bot = await issue(warden, "bot")
    server, before = shake(mutual(live), client(warden, tmp_path, bot))
    await revoke(warden, f"{serial_seen(before):040x}")
    await live.turn()
    _, after = shake(mutual(live), client(warden, tmp_path, bot))
    assert serial_seen(after) != serial_seen(before)
    server.write(b"still here")
    assert before.read(100) == b"still here"


async def test_while_it_cannot_be_renewed_the_one_before_is_shown(
    tmp_path: Path, clock: AheadClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A CA whose key is away stops no listener; once it is back the renewal follows, on the HTTP API's port too."""
    monkeypatch.setenv("LIVE_TEST_ROOT", b64encode(bytes(range(32))).decode())
    production = {"ALPHAPULSE_ENV": "production", "TRADEWARDEN_ROOT_KEY": "env:LIVE_TEST_ROOT"}
    settings = load_settings({**production, "TRADEWARDEN_DATA_DIR": str(tmp_path / "data"), "CERT_VALIDITY_DAYS": "30"})
    warden = await Warden.start(settings, create=True, clock=clock)
    live, _ = await opened(warden)
    assert live.plain is not None
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE  # its clock is the machine's
    before = serial_seen(shake(live.plain, trusting)[1])
    clock.ahead = 21 * DAY
    with monkeypatch.context() as patch:

        async def refuse(_action: str) -> tuple[str, str]:
            raise UnavailableError("The token is away")

        patch.setattr(warden, "listener_certificate", refuse)
        await live.turn()
        assert serial_seen(shake(live.plain, trusting)[1]) == before
        clock.ahead = 31 * DAY
        with pytest.raises(UnavailableError):
            await live.turn()
    clock.ahead = 21 * DAY
    await live.turn()
    assert serial_seen(shake(live.plain, trusting)[1]) != before
    await warden.close()


# --- whom it trusts -------------------------------------------------------------------------------


async def test_openssl_knows_of_a_revocation(warden: Warden, tmp_path: Path) -> None:
    """After the next look the CRL in the context refuses the handshake by itself."""
    live, _ = await opened(warden)
    bot, other = await issue(warden, "bot"), await issue(warden, "other")
    ours, _ = shake(mutual(live), client(warden, tmp_path, bot))
    peer = cast("Handshake", ours).peer
    assert peer is not None
    assert (peer.service_name, peer.serial) == ("bot", bot.serial_number)
    await revoke(warden, bot.serial_number)
    await live.turn()
    with pytest.raises(ssl.SSLCertVerificationError, match="certificate revoked"):
        shake(mutual(live), client(warden, tmp_path, bot))
    shake(mutual(live), client(warden, tmp_path, other))


async def test_a_long_crl_stays_out_and_the_inventory_decides(
    warden: Warden, clock: AheadClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Past the bound OpenSSL checks no CRL; a revoked client is refused by the inventory, and back below by both."""
    live, peers = await opened(warden)
    bot = await issue(warden, "bot")
    await revoke(warden, bot.serial_number)
    with monkeypatch.context() as patch:
        patch.setattr(live_module, "MOST_CRL_BYTES", 10)
        await live.turn()
        ours, _ = shake(mutual(live), client(warden, tmp_path, bot))
        peer = cast("Handshake", ours).peer
        assert peer is not None
        with pytest.raises(AuthenticationError, match="revoked"):
            await peers.require(peer, await warden.revisions())
    clock.ahead = 61
    await live.turn()
    with pytest.raises(ssl.SSLCertVerificationError, match="certificate revoked"):
        shake(mutual(live), client(warden, tmp_path, bot))


async def test_an_established_connection_keeps_no_old_context_alive(warden: Warden, tmp_path: Path) -> None:
    """However long a connection stands, the revocation list of its first day goes away."""
    live, _ = await opened(warden)
    ours, _ = shake(mutual(live), client(warden, tmp_path, await issue(warden, "bot")))
    assert ours.context is not mutual(live)
    assert not ours.context.get_ca_certs()


async def test_a_certificate_that_ends_while_connected_counts_no_more(warden: Warden, clock: AheadClock) -> None:
    """The open connection is closed by the next look, and a request before it is refused."""
    live, peers = await opened(warden)
    bot = await issue(warden, "bot")
    ends = clock.now() + 60
    shown = identifier(warden.settings.trust_domain)(ssl.PEM_cert_to_DER_cert(bot.certificate))
    connection = Stub(replace(shown, not_after=ends))
    peers.arrived(connection)
    await peers.close()
    assert not connection.aborted
    clock.ahead = 61
    with pytest.raises(AuthenticationError, match="expired"):
        await peers.require(connection.peer, await warden.revisions())
    await live.turn()
    assert connection.aborted


async def test_a_thousand_connections_are_looked_through_quickly(warden: Warden) -> None:
    """A revocation among a thousand clients closes one connection, and all are looked at within half a second."""
    _, peers = await opened(warden)
    made = [await issue(warden, f"bot-{number}") for number in range(50)]
    identify = identifier(warden.settings.trust_domain)
    connections = [Stub(identify(ssl.PEM_cert_to_DER_cert(each.certificate))) for each in made * 20]
    for each in connections:
        peers.arrived(each)
    await peers.close()
    await revoke(warden, made[7].serial_number)
    since = time.perf_counter()
    await peers.look(await warden.revisions())
    assert time.perf_counter() - since < 0.5
    assert [each.peer.serial for each in connections if each.aborted] == [made[7].serial_number] * 20


class Stub:
    """An open connection as far as `Peers` minds."""

    address = "127.0.0.1"

    def __init__(self, peer: PeerCertificate) -> None:
        self.peer = peer
        self.aborted = False

    def abort(self) -> None:
        """Note the end."""
        self.aborted = True


# --- OpenSSL's own judgement ----------------------------------------------------------------------


class Side:
    """A CA, a server's certificate and a client's, all of the test's own making."""

    def __init__(self, folder: Path, name: str = "test CA") -> None:
        self.ca = TestCa(folder, name)
        server = self.ca.leaf("localhost", [], purpose=SERVER)
        self.server = server.certificate.read_bytes(), server.key.read_bytes()
        mine = self.ca.leaf("bot", ["spiffe://tradewarden.internal/bot"])
        self.client = ssl.create_default_context(cafile=self.ca.path)
        self.client.check_hostname = False
        self.client.load_cert_chain(mine.certificate, mine.key)

    def context(self, crl: bytes | None) -> ServerContext:
        """Return a server's context that trusts the CA, with a CRL."""
        crls = () if crl is None else (crl,)
        return server_context(*self.server, Trust((self.ca.certificate.public_bytes(Encoding.DER),), crls))

    def crl(self, *, until: dt.timedelta, entries: int = 0) -> bytes:
        """Sign a CRL."""
        now = dt.datetime.now(dt.UTC)
        revoked = [x509.RevokedCertificateBuilder(number + 1, now, []).build() for number in range(entries)]
        builder = x509.CertificateRevocationListBuilder(
            self.ca.certificate.subject, now - dt.timedelta(days=1), now + until, [], revoked
        )
        return builder.sign(self.ca.key, hashes.SHA256()).public_bytes(Encoding.DER)


@pytest.fixture(scope="module")
def side(tmp_path_factory: pytest.TempPathFactory) -> Side:
    """One for all tests here."""
    return Side(tmp_path_factory.mktemp("side"))


def test_a_stale_crl_refuses_everybody(side: Side) -> None:
    """With a CRL past its time nobody gets in, revoked or not (decision 22)."""
    shake(side.context(side.crl(until=dt.timedelta(hours=1))), side.client)
    with pytest.raises(ssl.SSLCertVerificationError, match="CRL has expired"):
        shake(side.context(side.crl(until=dt.timedelta(seconds=-1))), side.client)


def test_a_brought_ca_below_another_is_an_anchor(side: Side, tmp_path: Path) -> None:
    """The root to trust may be signed by somebody else's; what it signed is let in without that one."""
    above = TestCa(tmp_path, "somebody's root")
    ca = side.ca.certificate
    builder = x509.CertificateBuilder(above.certificate.subject, ca.subject, ca.public_key(), 7)
    builder = builder.not_valid_before(ca.not_valid_before_utc).not_valid_after(ca.not_valid_after_utc)
    for each in ca.extensions:
        builder = builder.add_extension(each.value, critical=each.critical)
    below = builder.sign(above.key, hashes.SHA256()).public_bytes(Encoding.DER)
    crl = side.crl(until=dt.timedelta(hours=1))
    shake(server_context(*side.server, Trust((below,), (crl,))), side.client)


def test_another_ca_s_crl_is_none(side: Side, tmp_path: Path) -> None:
    """Where the CRL of a client's CA is missing, the client is refused."""
    foreign = Side(tmp_path, "another CA").crl(until=dt.timedelta(hours=1))
    with pytest.raises(ssl.SSLCertVerificationError, match="unable to get certificate CRL"):
        shake(side.context(foreign), side.client)


def test_a_live_context_without_any_context_refuses(side: Side) -> None:
    """Before the first swap there is nothing to go on with, and nobody gets in."""

    def nobody(_der: bytes) -> PeerCertificate:
        raise AssertionError("never asked")

    with pytest.raises(ssl.SSLError):
        shake(LiveContext(nobody).first, side.client)


def test_a_swap_takes_the_crl_along(side: Side) -> None:
    """What a connection begins in checks CRLs exactly when the newest context has some."""
    found = PeerCertificate(b"", "1", "", "bot")
    live = LiveContext(lambda _der: found)
    for crl, outcome in ((None, "in"), (side.crl(until=dt.timedelta(seconds=-1)), "out"), (None, "in")):
        live.swap(side.context(crl))
        if outcome == "in":
            assert cast("Handshake", shake(live.first, side.client)[0]).peer is found
        else:
            with pytest.raises(ssl.SSLCertVerificationError, match="CRL has expired"):
                shake(live.first, side.client)


def test_a_connection_is_never_resumed(side: Side) -> None:
    """No session ticket is given, so no later connection skips the CRL (decision 22)."""
    _, theirs = shake(side.context(None), side.client)
    with pytest.raises(ssl.SSLWantReadError):
        theirs.read(1)
    assert theirs.session is None or not theirs.session.has_ticket


def test_an_unfinished_directory_of_descriptors_is_left(side: Side) -> None:
    """Making contexts leaves no file descriptor open."""
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(5):
        side.context(side.crl(until=dt.timedelta(hours=1)))
    assert len(list(Path("/proc/self/fd").iterdir())) == before
