"""The mTLS listener of a running service: who gets in and as whom, who does not, and what the log says of it."""

from __future__ import annotations

import datetime as dt
import json
import socket
import ssl
import subprocess
import time
from base64 import b64encode
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.support.mtls import (
    DOMAIN,
    SERVER,
    Identity,
    TestCa,
    ca_file,
    client_context,
    connect,
    issued,
    mtls_port,
    mtls_url,
    revoke,
)
from tests.support.service import PROGRAM, Service, bare_environment, free_port, start, stop, wait_until
from tests.support.trial import assert_refused, done, entry_of, events
from tests.support.wire import Wire

WORKERS = 2
TOKEN_CALL = {"service_name": "guest", "permissions": ["read"]}


@pytest.fixture(scope="module")
def own_ca(tmp_path_factory: pytest.TempPathFactory) -> TestCa:
    """The CA that the service below is given."""
    return TestCa(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, own_ca: TestCa) -> Iterator[Service]:
    """A service with two workers whose CA the tests can sign with."""
    running = start(
        tmp_path_factory.mktemp("mtls"),
        TRADEWARDEN_WORKERS=str(WORKERS),
        TRADEWARDEN_RATE_LIMITS="anonymous=1000000/1,open=1000000/1",
        CA_CERT_PATH=str(own_ca.path),
        CA_KEY_PATH=str(own_ca.key_path),
    )
    yield running
    assert stop(running) == 0, running.log.read_text()


@pytest.fixture(scope="module")
def bot(service: Service) -> Identity:
    """A registered service that may read below `bots/`."""
    return issued(service, "bot", ["read:bots/*"])


@pytest.fixture
def admin(service: Service) -> Iterator[Wire]:
    """A plain connection as the admin."""
    with Wire(service.url, token=service.admin_token) as wire:
        yield wire


def curl(service: Service, *arguments: str, identity: Identity | None = None) -> subprocess.CompletedProcess[str]:
    """Call the mTLS listener's /services/bot with curl."""
    shown = identity.curl() if identity is not None else []
    return subprocess.run(
        ["curl", "-sS", "--max-time", "10", "--cacert", ca_file(service), *shown, *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


# --- who gets in, and as whom ---------------------------------------------------------------------


def test_the_certificate_is_the_principal(service: Service, bot: Identity, admin: Wire) -> None:
    """Without a bearer token a service may do what it is registered for and nothing else; the log knows it."""
    done(admin.ask("POST", "/secrets/store", {"path": "bots/a", "data": {"key": "value"}}))
    with connect(service, bot) as wire:
        read = wire.ask("GET", "/secrets/bots/a")
        assert done(read)["data"] == {"key": "value"}
        denied = assert_refused(wire.ask("GET", "/secrets/other/a"), 403)
        assert_refused(wire.ask("POST", "/secrets/store", {"path": "bots/b", "data": {}}), 403)
    entry = entry_of(admin, read.headers["x-request-id"])
    assert (entry["user"], entry["method"], entry["result"]) == ("service:bot", "certificate", "success")
    assert entry_of(admin, denied)["user"] == "service:bot"


def test_what_a_service_is_registered_for_counts_at_once(service: Service, admin: Wire) -> None:
    """A change of its permissions shows on the open connection; off the register it may do nothing here."""
    changing = issued(service, "changing", ["read"])
    with connect(service, changing) as wire:
        done(wire.ask("GET", "/secrets?limit=1"))
        done(admin.ask("POST", "/services/permissions", {"service_name": "changing", "permissions": []}))
        assert_refused(wire.ask("GET", "/secrets?limit=1"), 403)
        done(admin.ask("DELETE", "/services/changing"))
        for call in (("GET", "/secrets?limit=1"), ("GET", "/tokens?service_name=changing"), ("GET", "/services")):
            assert_refused(wire.ask(*call), 403)
        assert_refused(wire.ask("POST", "/tokens/generate", {"service_name": "changing"}), 403)


def test_a_bearer_token_makes_its_own_principal(service: Service, bot: Identity, admin: Wire) -> None:
    """Over mTLS a token counts before the certificate; a bad token is not made good by one."""
    with connect(service, bot, token=service.admin_token) as wire:
        listed = wire.ask("GET", "/services/bot")
        done(listed)
        wire.token = "twa_wrong"
        assert_refused(wire.ask("GET", "/services/bot"), 401)
    assert entry_of(admin, listed.headers["x-request-id"])["user"] == "user:admin"


def test_a_token_asked_for_over_mtls_is_bound_to_the_certificate(service: Service, bot: Identity) -> None:
    """It counts on connections of that certificate alone: not in the plain, not beside another one (RFC 8705)."""
    other = issued(service, "other", ["read"])
    with connect(service, bot) as wire:
        token = done(wire.ask("POST", "/tokens/generate", {"service_name": "bot"}))["token"]
    with connect(service, bot, token=token) as mine, connect(service, other, token=token) as theirs:
        done(mine.ask("POST", "/tokens/validate"))
        assert_refused(theirs.ask("POST", "/tokens/validate"), 401)
        with Wire(service.url, token=token) as plain:
            assert_refused(plain.ask("POST", "/tokens/validate"), 401)
            pem = b64encode(bot.certificate.read_bytes()).decode()
            assert_refused(plain.ask("POST", "/tokens/validate", headers=forwarded(pem)), 401)
        done(mine.ask("POST", "/tokens/validate"))


def test_who_asks_about_a_token_hears_of_its_revoked_certificate(service: Service) -> None:
    """A resource server that reads no revocation list learns it at its next question, whichever worker answers it."""
    lost, own = issued(service, "lost"), {"service_name": "lost"}
    with connect(service, lost) as wire:
        bound = done(wire.ask("POST", "/tokens/generate", own))["token"]
    with ExitStack() as stack:
        askers = [stack.enter_context(Wire(service.url, token=service.admin_token)) for _ in range(8 * WORKERS)]
        unbound = done(askers[0].ask("POST", "/tokens/generate", own))["token"]
        for asker in askers:
            assert done(asker.ask("POST", "/oauth2/introspect", {"token": bound}))["active"]
        revoke(service, lost)
        for asker in askers:
            assert done(asker.ask("POST", "/oauth2/introspect", {"token": bound})) == {"active": False}
            assert done(asker.ask("POST", "/oauth2/introspect", {"token": unbound}))["active"]


def forwarded(value: str) -> list[tuple[str, str]]:
    """Return what proxies call the certificate of their client."""
    names = ("X-Forwarded-Client-Cert", "X-SSL-Client-Cert", "X-Client-Cert", "Client-Cert", "SSL-Client-Cert")
    return [(name, value) for name in names]


def test_no_header_makes_a_client_certificate(service: Service, bot: Identity) -> None:
    """What a proxy would tell of its client's certificate proves nothing, on either listener."""
    pem = b64encode(bot.certificate.read_bytes()).decode()
    spiffe = [("X-Forwarded-Client-Cert", f"URI={DOMAIN}/bot")]
    with Wire(service.url) as plain:
        for headers in (forwarded(pem), forwarded(f":{pem}:"), spiffe):
            assert_refused(plain.ask("GET", "/secrets/bots/a", headers=headers), 401)
    nobody = issued(service, "nobody", [])
    with connect(service, nobody) as wire:
        for headers in (forwarded(pem), spiffe):
            assert_refused(wire.ask("GET", "/secrets/bots/a", headers=headers), 403)


def test_the_bootstrap_rule_never_applies(service: Service) -> None:
    """The call that gets a token without credentials on the plain port of development gets none for a certificate."""
    stray = issued(service, "stray", None)
    with Wire(service.url) as plain:
        plain.host = f"127.0.0.1:{service.port}"
        done(plain.ask("POST", "/tokens/generate", TOKEN_CALL))
    with connect(service, stray) as wire:
        assert_refused(wire.ask("POST", "/tokens/generate", TOKEN_CALL), 403)


def test_curl_and_openssl_get_in(service: Service, bot: Identity) -> None:
    """Real clients speak TLS 1.3 with HTTP/1.1 by ALPN, with and without the chain, and get no session ticket."""
    url = f"{mtls_url(service)}/secrets?limit=1"
    assert "keys" in json.loads(curl(service, url, identity=bot).stdout)
    leaf = bot.certificate.with_suffix(".leaf.pem")
    leaf.write_text(
        bot.certificate.read_text().partition("-----END CERTIFICATE-----")[0] + "-----END CERTIFICATE-----\n"
    )
    assert "keys" in json.loads(curl(service, url, identity=bot._replace(certificate=leaf)).stdout)
    asked = f"GET /secrets?limit=1 HTTP/1.1\r\nHost: 127.0.0.1:{mtls_port(service)}\r\nConnection: close\r\n\r\n"
    done_ = subprocess.run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{mtls_port(service)}", "-CAfile", ca_file(service),
         "-cert", bot.certificate, "-key", bot.key, "-verify_return_error", "-alpn", "h2,http/1.1", "-ign_eof"],
        input=asked, capture_output=True, text=True, check=False, timeout=20,
    )  # fmt: skip
    for text in ("TLSv1.3", "ALPN protocol: http/1.1", "Verify return code: 0 (ok)", "HTTP/1.1 200"):
        assert text in done_.stdout, done_.stdout
    assert "New Session Ticket" not in done_.stdout


def test_the_application_sees_the_chain(service: Service, bot: Identity, admin: Wire) -> None:
    """What is issued over mTLS tells of the certificate by its thumbprint; the health call says that mTLS is on."""
    with connect(service, bot) as wire:
        assert done(wire.ask("GET", "/health"))["components"]["mtls"] is True
    assert done(admin.ask("GET", "/health"))["components"]["mtls"] is True


# --- who does not ---------------------------------------------------------------------------------


def strangers(service: Service, own: TestCa, folder: Path) -> dict[str, tuple[list[str], Identity | None, str]]:
    """Return who must be refused: further arguments for curl, what is shown, and what the log says."""
    foreign = TestCa(folder / "foreign", "somebody else's CA")
    revoked = issued(service, "revoked", ["read"])
    revoke(service, revoked)
    spiffe = [f"{DOMAIN}/bot"]
    return {
        "none": ([], None, "peer did not return a certificate"),
        "wrong CA": ([], foreign.leaf("bot", spiffe), "unable to get local issuer certificate"),
        "expired": ([], own.leaf("bot", spiffe, ends=dt.timedelta(seconds=-5)), "certificate has expired"),
        "wrong purpose": ([], own.leaf("bot", spiffe, purpose=SERVER), "unsuitable certificate purpose"),
        "TLS 1.2": (["--tls-max", "1.2"], issued(service, "old", []), "unsupported protocol"),
        "revoked": ([], revoked, "certificate revoked"),
        "never issued": ([], own.leaf("bot", spiffe), "certificate revoked, or not in the inventory"),
        "no name": ([], own.leaf("bot", []), "no SPIFFE ID"),
        "two names": ([], own.leaf("bot", [*spiffe, f"{DOMAIN}/admin"]), "2 URIs"),
        "other domain": ([], own.leaf("bot", ["spiffe://elsewhere/bot"]), "names no service of our trust domain"),
        "no service": ([], own.leaf("bot", [f"{DOMAIN}/a/b"]), "names no service of our trust domain"),
        "ourselves": ([], own.leaf("bot", [f"{DOMAIN}/tradewarden"]), "names no service of our trust domain"),
    }


def test_every_refused_handshake_is_refused_and_recorded(
    service: Service, own_ca: TestCa, admin: Wire, tmp_path: Path
) -> None:
    """The client gets no answer; the log has one entry with what OpenSSL said, from where, and by which certificate."""
    url = f"{mtls_url(service)}/health"
    wait_until(lambda: curl(service, url, identity=issued(service, "ready", [])).returncode == 0, "not ready")
    cases = strangers(service, own_ca, tmp_path)
    wait_until(lambda: curl(service, url, identity=cases["revoked"][1]).returncode != 0, "a revoked client gets in")
    for number, (what, (arguments, identity, _)) in enumerate(cases.items()):
        refused = curl(service, *arguments, "--interface", f"127.0.1.{number + 1}", url, identity=identity)
        assert refused.returncode != 0, (what, refused.stdout)
        assert not refused.stdout, what
    found: dict[str, Any] = {}

    def recorded() -> bool:
        found.update({each["ip_address"]: each for each in events(admin, action="handshake")})
        return all(f"127.0.1.{number + 1}" in found for number in range(len(cases)))

    try:
        wait_until(recorded, "not all refusals are in the log")
    except AssertionError:
        raise AssertionError(
            {what: found.get(f"127.0.1.{n + 1}", {}).get("reason") for n, what in enumerate(cases)}
        ) from None
    for number, (what, (_, identity, reason)) in enumerate(cases.items()):
        entry = found[f"127.0.1.{number + 1}"]
        assert (entry["event_type"], entry["result"], entry["user"]) == ("authentication", "denied", "anonymous:"), what
        assert entry["reason"].startswith(reason) or reason in entry["reason"], (what, entry)
        if identity is not None and what != "TLS 1.2":
            assert entry["resource"] == identity.serial, (what, entry)
            assert "CN=" in entry["reason"]


def test_the_client_is_told_why(service: Service, own_ca: TestCa) -> None:
    """OpenSSL's alert reaches a refused client, instead of a connection that just ends."""
    url = f"{mtls_url(service)}/health"
    expired = own_ca.leaf("bot", [f"{DOMAIN}/bot"], ends=dt.timedelta(seconds=-5))
    assert "alert certificate required" in curl(service, url).stderr
    assert "alert certificate expired" in curl(service, url, identity=expired).stderr


def test_plain_http_and_rubbish_are_refused(service: Service, bot: Identity) -> None:
    """Whoever does not speak TLS gets nothing, and the listener goes on."""
    for data in (b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n", b"\x16\x03\x01\xff\xff" + bytes(70_000), b""):
        with socket.create_connection(("127.0.0.1", mtls_port(service)), 10) as connection:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            with suppress(ConnectionError):
                assert b"HTTP" not in connection.recv(65536)
    with connect(service, bot) as wire:
        assert wire.ask("GET", "/health").status == 200


# --- revocation -----------------------------------------------------------------------------------


def everywhere(stack: ExitStack, service: Service, identity: Identity) -> list[Wire]:
    """Open connections until every worker has some; return them, each with an answered request behind it."""
    wires: list[Wire] = []
    seen: set[str] = set()
    while len(seen) < WORKERS or len(wires) < 2 * WORKERS:
        assert len(wires) < 64, "a worker is never asked"
        wires.append(stack.enter_context(connect(service, identity)))
        seen.add(done_id(wires[-1])[:10])
    return wires


def done_id(wire: Wire) -> str:
    """Make a call that must be answered; return its id."""
    answer = wire.ask("GET", "/secrets?limit=1")
    assert answer.status == 200, answer.body
    return answer.headers["x-request-id"]


def test_a_revoked_client_is_out_within_a_second(service: Service) -> None:
    """Its open connections in every worker are closed within a second, whoever else is connected stays."""
    leaving, staying = issued(service, "leaving", ["read"]), issued(service, "staying", ["read"])
    with ExitStack() as stack:
        gone, kept = everywhere(stack, service, leaving), everywhere(stack, service, staying)
        revoke(service, leaving)
        since = time.monotonic()
        assert all(wire.is_closed() for wire in gone)
        assert time.monotonic() - since < 1.0
        for wire in kept:
            done_id(wire)
        again = stack.enter_context(connect(service, leaving))
        with pytest.raises((ssl.SSLError, ConnectionError)):
            again.ask("GET", "/health")


def test_a_revoked_client_is_refused_on_its_very_next_request(service: Service) -> None:
    """Without waiting: the request after the revocation gets a 401 or the end of its connection, in every worker."""
    for number in range(5):
        leaving = issued(service, f"leaving-{number}", ["read"])
        with ExitStack() as stack:
            wires = everywhere(stack, service, leaving)
            revoke(service, leaving)
            for wire in wires:
                with suppress(ssl.SSLError, ConnectionError):
                    assert_refused(wire.ask("GET", ("/secrets?limit=1", "/health")[number % 2]), 401)
            fresh = stack.enter_context(connect(service, leaving))
            with suppress(ssl.SSLError, ConnectionError):
                assert_refused(fresh.ask("GET", "/secrets?limit=1"), 401)


# --- where it listens -----------------------------------------------------------------------------


def test_two_workers_share_both_sockets_evenly(service: Service, bot: Identity) -> None:
    """Of forty open connections on each listener no worker has more than two thirds."""
    with ExitStack() as stack:
        for kind in ("mutual", "plain"):
            held: Counter[str] = Counter()
            for _ in range(40):
                plain = kind == "plain"
                wire = Wire(service.url, token=service.admin_token) if plain else connect(service, bot)
                held[done_id(stack.enter_context(wire))[:10]] += 1
            assert len(held) == WORKERS
            assert max(held.values()) <= 27, (kind, held)


def test_without_mtls_nothing_listens(tmp_path: Path) -> None:
    """ENABLE_MTLS=false: no second socket, and both the start and the health call say so."""
    port = free_port()
    running = start(tmp_path, ENABLE_MTLS="false", TRADEWARDEN_MTLS_PORT=str(port))
    try:
        assert b"mTLS:        off\n" in running.log.read_bytes()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port)).close()
        with Wire(running.url) as wire:
            assert done(wire.ask("GET", "/health"))["components"]["mtls"] is False
        assert not (running.data_dir / "listener.pem").exists()
    finally:
        assert stop(running) == 0


def serve(folder: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """Start a service that must fail."""
    environment = {**bare_environment(), "TRADEWARDEN_DATA_DIR": str(folder / "data"), **settings}
    return subprocess.run(
        [PROGRAM, "serve"], cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=30
    )


def test_a_port_that_cannot_be_had_is_named(tmp_path: Path) -> None:
    """A port that is taken, or is the HTTP API's, is an error that names the variable and what to do."""
    with socket.create_server(("127.0.0.1", 0)) as holder:
        taken = str(holder.getsockname()[1])
        refused = serve(tmp_path, SERVICE_PORT=str(free_port()), TRADEWARDEN_MTLS_PORT=taken)
    assert refused.returncode == 2
    assert f"TRADEWARDEN_MTLS_PORT: port {taken} on 127.0.0.1 is already in use by" in refused.stderr
    same = str(free_port())
    refused = serve(tmp_path, SERVICE_PORT=same, TRADEWARDEN_MTLS_PORT=same)
    assert refused.returncode == 2
    assert f"TRADEWARDEN_MTLS_PORT: {same} is SERVICE_PORT's too" in refused.stderr


def rows(found: Sequence[Any], **wanted: object) -> list[Any]:
    """Return the entries that have these fields."""
    return [each for each in found if all(each[name] == value for name, value in wanted.items())]


def test_a_flood_of_refused_handshakes_is_counted(tmp_path: Path) -> None:
    """Of many refused handshakes of one address the log has a few and a count, and a good client gets in all along."""
    running = start(tmp_path, TRADEWARDEN_RATE_LIMITS="anonymous=5/60")
    try:
        bot = issued(running, "bot", ["read"])
        bare = client_context(running, None)
        for _ in range(60):
            with pytest.raises((ssl.SSLError, ConnectionError)):
                Wire(mtls_url(running), source="127.0.0.41", tls=bare).ask("GET", "/health")
        with connect(running, bot, source="127.0.0.41") as wire:
            done_id(wire)
        found: list[Any] = []
        with Wire(running.url, token=running.admin_token) as admin:

            def counted() -> bool:
                found[:] = [each for each in events(admin) if each["ip_address"] == "127.0.0.41"]
                return sum(int(each.get("count", 1)) for each in rows(found, action="throttle")) > 50

            wait_until(counted, f"they are not counted: {found}", 25)
        assert len(rows(found, action="handshake")) == 5
        assert len(rows(found, action="throttle")) <= 3
    finally:
        assert stop(running) == 0
