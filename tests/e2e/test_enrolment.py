"""How services get in, renew themselves and keep to their names, against the real service and its mTLS listener."""

from __future__ import annotations

import hashlib
import json
import subprocess
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from tests.support.http import Answer
from tests.support.mtls import Identity, connect, issued, private_pem, revoke, store
from tests.support.pki import csr
from tests.support.service import PROGRAM, Service, start, stop
from tests.support.trial import assert_refused, done, entry_of, events, wait_until_recorded
from tests.support.wire import Wire
from tradewarden.workload.possession import proof

HOUR = 3600


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with two workers."""
    running = start(
        tmp_path_factory.mktemp("enrolment"),
        TRADEWARDEN_WORKERS="2",
        TRADEWARDEN_RATE_LIMITS="anonymous=1000000/1,open=1000000/1",
        TRADEWARDEN_RENEWAL_GRACE_HOURS="1",
    )
    yield running
    assert stop(running) == 0, running.log.read_text()


@pytest.fixture
def admin(service: Service) -> Iterator[Wire]:
    """A plain connection as the admin."""
    with Wire(service.url, token=service.admin_token) as wire:
        yield wire


@pytest.fixture
def stranger(service: Service) -> Iterator[Wire]:
    """A plain connection without credentials."""
    with Wire(service.url) as wire:
        yield wire


def invited(admin: Wire, name: str, **asked: object) -> str:
    """Return a fresh join token."""
    return str(done(admin.ask("POST", "/credentials/join-tokens", {"service_name": name, **asked}))["join_token"])


def enroll(wire: Wire, token: str, request: str) -> Answer:
    """Come in with a join token."""
    return wire.ask("POST", "/credentials/enroll", {"join_token": token, "csr": request})


def kept(service: Service, made: dict[str, Any], key: ec.EllipticCurvePrivateKey) -> Identity:
    """Return issued credentials as files."""
    serial = int(made["serial_number"], 16)
    folder = service.data_dir.parent
    return store(folder, made["service_name"], made["certificate_chain"].encode(), private_pem(key), serial)


def key_of(identity: Identity) -> ec.EllipticCurvePrivateKey:
    """Return the private key of an identity."""
    key = load_pem_private_key(identity.key.read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key


def names_in(pem: str) -> tuple[list[str], list[str]]:
    """Return DNS names and addresses of a certificate."""
    found = x509.load_pem_x509_certificate(pem.encode()).extensions
    names = found.get_extension_for_class(x509.SubjectAlternativeName).value
    return names.get_values_for_type(x509.DNSName), list(map(str, names.get_values_for_type(x509.IPAddress)))


# -- join tokens -------------------------------------------------------------------------------


def test_a_service_enrols_with_curl_and_is_in(service: Service, tmp_path: Path) -> None:
    """The token stands alone on stdout; openssl makes key and CSR, curl sends them, mTLS takes the result."""
    command = [str(PROGRAM), "ca", "join-token", "curl-bot", "--ttl-minutes", "5", "--dns", "curl-bot.internal"]
    shown = subprocess.run(command, env=service.environment, cwd=tmp_path, capture_output=True, text=True, check=True)
    token = shown.stdout.strip()
    root = x509.load_pem_x509_certificate((service.data_dir / "ca" / "ca_cert.pem").read_bytes())
    assert token.partition(".")[2] == hashlib.sha256(root.public_bytes(Encoding.DER)).hexdigest()[:32]
    make = "openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=curl-bot -keyout k -out r"
    subprocess.run(make.split(), cwd=tmp_path, check=True, capture_output=True)
    body = tmp_path / "body"
    body.write_text(json.dumps({"join_token": token, "csr": (tmp_path / "r").read_text()}))
    url = f"{service.url}/credentials/enroll"
    send = ["curl", "-fsS", "-H", "Content-Type: application/json", "-d", f"@{body}", url]
    made = json.loads(subprocess.run(send, capture_output=True, text=True, check=True).stdout)
    assert "private_key" not in made
    assert names_in(made["certificate"]) == (["curl-bot", "curl-bot.internal"], [])
    (tmp_path / "c").write_text(made["certificate_chain"])
    identity = Identity(tmp_path / "c", tmp_path / "k", made["serial_number"])
    with connect(service, identity) as wire:  # not registered: it may renew itself, and nothing else
        assert_refused(wire.ask("GET", "/secrets"), 403)
        assert done(wire.ask("POST", "/credentials/renew", {"csr": (tmp_path / "r").read_text()}))


def test_a_join_token_is_good_once_and_audited(admin: Wire, stranger: Wire) -> None:
    """Making it, using it, the certificate, and every refused use are in the log; the token itself never is."""
    made = admin.ask("POST", "/credentials/join-tokens", {"service_name": "once"})
    token = done(made)["join_token"]
    first = enroll(stranger, token, csr(cn="once"))
    done(first)
    again = assert_refused(enroll(stranger, token, csr(cn="once")), 401)
    wrong = assert_refused(enroll(stranger, f"twj_{'A' * 43}.{'0' * 32}", csr(cn="once")), 401)
    assert enroll(stranger, token, csr(cn="once")).json()["detail"].startswith("The join token is not accepted")
    entry = entry_of(admin, made.headers["x-request-id"])
    assert (entry["event_type"], entry["action"], entry["resource"]) == ("certificate", "join_token", "once")
    wait_until_recorded(admin, [first.headers["x-request-id"], again, wrong])
    used = events(admin, request_id=first.headers["x-request-id"])
    assert sorted((each["action"], each["result"], each["user"]) for each in used) == [
        ("enroll", "success", "service:once"),
        ("issue", "success", "service:once"),
    ]
    for refused, reason in ((again, "join token of once was used before"), (wrong, "join token is unknown")):
        entry = entry_of(admin, refused)
        assert (entry["action"], entry["result"], entry["reason"]) == ("enroll", "denied", reason)
    assert token[4:40] not in str(events(admin))


def test_a_refused_csr_leaves_the_token_good(admin: Wire, stranger: Wire) -> None:
    """A mistake in the request costs nothing."""
    token = invited(admin, "careful")
    assert_refused(enroll(stranger, token, csr(cn="other")), 400)
    assert_refused(enroll(stranger, token, "nonsense"), 400)
    assert_refused(enroll(stranger, token, csr(cn="careful", sans=(x509.DNSName("more.internal"),))), 400)
    done(enroll(stranger, token, csr(cn="careful")))


def test_a_command_for_one_service_leaves_anothers_token_good(service: Service, admin: Wire, tmp_path: Path) -> None:
    """`ca enroll --service aa` with bb's token says so, and the token still lets bb in."""
    file = tmp_path / "token"
    file.write_text(invited(admin, "bb"))
    file.chmod(0o600)

    def enrols(name: str) -> subprocess.CompletedProcess[str]:
        command = [str(PROGRAM), "ca", "enroll", "--service", name, "--dir", name, "--join-token-file", str(file)]
        return subprocess.run(
            command, env=service.environment, cwd=tmp_path, capture_output=True, text=True, check=False
        )

    refused = enrols("aa")
    assert refused.returncode != 0
    assert "The join token is for the service 'bb', not for 'aa'; it was not used" in refused.stderr
    assert not (tmp_path / "aa" / "current").exists()
    assert done(admin.ask("GET", "/credentials?service_name=bb"))["certificates"] == []
    assert enrols("bb").returncode == 0


def test_of_ten_that_race_one_gets_a_certificate(service: Service, admin: Wire) -> None:
    """Over ten connections to two workers."""
    token, request, gate = invited(admin, "raced"), csr(cn="raced"), Barrier(10)

    def use(_: int) -> int:
        with Wire(service.url) as wire:
            gate.wait(10)
            return enroll(wire, token, request).status

    with ThreadPoolExecutor(10) as pool:
        statuses = sorted(pool.map(use, range(10)))
    assert statuses == [200] + [401] * 9
    assert len(done(admin.ask("GET", "/credentials?service_name=raced"))["certificates"]) == 1


def test_join_tokens_are_for_operators(service: Service, admin: Wire, stranger: Wire) -> None:
    """Nobody without `credentials:issue` on the service makes one."""
    asked = {"service_name": "victim"}
    assert_refused(stranger.ask("POST", "/credentials/join-tokens", asked), 401)
    bot = issued(service, "deployer", ["credentials:issue:deployed"])
    with connect(service, bot) as wire:
        assert_refused(wire.ask("POST", "/credentials/join-tokens", asked), 403)
        done(wire.ask("POST", "/credentials/join-tokens", {"service_name": "deployed"}))
    assert_refused(admin.ask("POST", "/credentials/join-tokens", {"service_name": "tradewarden"}), 403)
    assert_refused(admin.ask("POST", "/credentials/join-tokens", {**asked, "ttl_minutes": 10081}), 400)


def test_guessing_join_tokens_runs_into_the_strangers_throttle(tmp_path: Path) -> None:
    """A wrong join token, and a wrong proof, count as any bad credential; others go on."""
    running = start(tmp_path, TRADEWARDEN_RATE_LIMITS="anonymous=5/600")
    try:
        with Wire(running.url, source="127.0.0.7") as guesser:
            statuses = [enroll(guesser, f"twj_{n}", "x").status for n in range(3)]
            statuses += [guesser.ask("POST", "/credentials/renew", {"csr": "x"}).status for _ in range(3)]
            assert statuses == [401, 401, 401, 401, 401, 429]
        with Wire(running.url, token=running.admin_token) as admin, Wire(running.url, source="127.0.0.8") as other:
            done(enroll(other, invited(admin, "bot"), csr()))
    finally:
        stop(running)


# -- renewal -----------------------------------------------------------------------------------


def test_a_service_renews_itself_over_mtls(service: Service, admin: Wire) -> None:
    """With a new key, the same names, and nothing for anybody else; both certificates are good."""
    done(admin.ask("POST", "/services", {"service_name": "renewing", "permissions": ["read"]}))
    old_key, new_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    asked = {"dns_names": ["renewing.internal"], "ip_addresses": ["10.1.2.3"], "csr": csr(old_key, cn="renewing")}
    old = done(admin.ask("POST", "/credentials/issue", {"service_name": "renewing", "ttl_hours": 24, **asked}))
    theirs = issued(service, "theirs")
    with connect(service, kept(service, old, old_key)) as wire:
        answer = wire.ask("POST", "/credentials/renew", {"csr": csr(new_key, cn="renewing")})
        new = done(answer)
        other = wire.ask("POST", "/credentials/renew", {"csr": csr(cn=None), "serial_number": theirs.serial})
        refused = assert_refused(other, 403)
    assert names_in(new["certificate"]) == names_in(old["certificate"])
    with connect(service, kept(service, new, new_key)) as wire:
        done(wire.ask("GET", "/secrets"))
    entry = entry_of(admin, answer.headers["x-request-id"])
    assert (entry["event_type"], entry["action"], entry["result"]) == ("certificate", "renew", "success")
    assert (entry["user"], entry["resource"]) == ("service:renewing", f"renewing/{new['serial_number']}")
    denied = entry_of(admin, refused)
    assert (denied["action"], denied["result"], denied["resource"]) == ("renew", "denied", f"theirs/{theirs.serial}")


def test_the_old_key_renews_on_the_plain_listener(service: Service, admin: Wire, stranger: Wire) -> None:
    """A proof is enough there; wrong, stale, revoked and foreign ones are refused alike and audited."""
    identity, other = issued(service, "proving"), issued(service, "prover")
    request, now = csr(cn="proving"), time.time()
    text = identity.certificate.read_text()
    good = {"csr": request, "certificate": text, "proof": proof(key_of(identity), request, now)}
    answer = stranger.ask("POST", "/credentials/renew", good)
    assert names_in(done(answer)["certificate"]) == (["proving"], [])
    entry = entry_of(admin, answer.headers["x-request-id"])
    assert (entry["user"], entry["method"]) == ("service:proving", "certificate_proof")
    for bad in (
        {**good, "csr": csr(cn="proving")},
        {**good, "proof": proof(key_of(other), request, now)},
        {**good, "proof": proof(key_of(identity), request, now - HOUR)},
        {**good, "certificate": other.certificate.read_text()},
    ):
        entry = entry_of(admin, assert_refused(stranger.ask("POST", "/credentials/renew", bad), 401))
        assert (entry["action"], entry["result"]) == ("renew", "denied")
    assert_refused(stranger.ask("POST", "/credentials/renew", {"csr": request}), 401)
    revoke(service, identity)
    again = assert_refused(stranger.ask("POST", "/credentials/renew", good), 401)
    assert entry_of(admin, again)["reason"].endswith("is revoked")


def test_an_operator_renews_by_serial_number(service: Service, admin: Wire) -> None:
    """Without a CSR the key is made here, and shown once."""
    identity = issued(service, "by-serial")
    made = done(admin.ask("POST", "/credentials/renew", {"serial_number": identity.serial, "ttl_hours": 2}))
    assert made["private_key"].startswith("-----BEGIN PRIVATE KEY-----")
    assert_refused(admin.ask("POST", "/credentials/renew", {"serial_number": "ab"}), 404)
    revoke(service, identity)
    assert_refused(admin.ask("POST", "/credentials/renew", {"serial_number": identity.serial}), 409)


# -- names -------------------------------------------------------------------------------------


def test_a_service_only_gets_its_own_names(admin: Wire, stranger: Wire) -> None:
    """As registered; whoever asks, however, and every refusal is in the log."""
    listed = {"dns_names": [".named.internal", "db.internal"], "ip_addresses": ["10.0.0.9"]}
    done(admin.ask("POST", "/services", {"service_name": "named", "permissions": [], **listed}))
    good = {"service_name": "named", "dns_names": ["a.named.internal"], "ip_addresses": ["10.0.0.9"]}
    assert names_in(done(admin.ask("POST", "/credentials/issue", good))["certificate"]) == (
        ["named", "a.named.internal"],
        ["10.0.0.9"],
    )
    answer = admin.ask("POST", "/credentials/issue", {"service_name": "named", "dns_names": ["b.internal"]})
    refused = assert_refused(answer, 403)
    assert answer.json()["code"] == "name_refused"
    assert "'b.internal' is not one of service 'named''s own" in answer.json()["detail"]
    entry = entry_of(admin, refused)
    assert (entry["event_type"], entry["action"], entry["result"]) == ("certificate", "issue", "denied")
    for taken in ("db.internal", "named", "tradewarden"):
        asked = {"service_name": "elsewhere", "dns_names": [taken]}
        assert_refused(admin.ask("POST", "/credentials/issue", asked), 403)
        assert_refused(admin.ask("POST", "/credentials/join-tokens", asked), 403)
    token = invited(admin, "elsewhere", dns_names=["late.internal"])
    done(admin.ask("POST", "/services/names", {"service_name": "named", "dns_names": ["late.internal"]}))
    assert_refused(enroll(stranger, token, csr(cn="elsewhere")), 403)
    assert done(admin.ask("GET", "/services/named"))["dns_names"] == ["late.internal"]
    taken_name = admin.ask("POST", "/services", {"service_name": "thief", "permissions": [], "dns_names": ["named"]})
    assert_refused(taken_name, 409)


def test_nobody_vouches_for_names_that_others_are_registered_for(service: Service, admin: Wire) -> None:
    """Neither a host below another's domain nor another's address, for a clerk, the admin or a join token; then shared.

    A clerk may issue for one service, and that alone.
    """
    registered = {
        "ipsvc": {"ip_addresses": ["10.9.9.9"]},
        "dom": {"dns_names": [".feeds.internal"]},
        "clerk": {"permissions": ["credentials:issue:order-router"]},
    }
    for name, said in registered.items():
        done(admin.ask("POST", "/services", {"service_name": name, "permissions": [], **said}))
    token = done(admin.ask("POST", "/tokens/generate", {"service_name": "clerk"}))["token"]
    asks: tuple[tuple[str, dict[str, list[str]]], ...] = (
        ("IP address '10.9.9.9'", {"ip_addresses": ["10.9.9.9"]}),
        ("DNS name 'db1.feeds.internal'", {"dns_names": ["db1.feeds.internal"]}),
    )
    order = {"service_name": "order-router"}
    with Wire(service.url, token=token) as clerk:
        done(clerk.ask("POST", "/credentials/issue", {**order, "dns_names": ["nobodys.internal"]}))
        for what, asked in asks:
            for wire, path in (
                (clerk, "/credentials/issue"),
                (admin, "/credentials/issue"),
                (admin, "/credentials/join-tokens"),
            ):
                answer = wire.ask("POST", path, {**order, **asked})
                entry = entry_of(admin, assert_refused(answer, 403))
                assert answer.json()["code"] == "name_refused"
                assert answer.json()["detail"].startswith(f"{what} belongs to another service; register it for")
                assert entry["result"] == "denied"
        mapped = clerk.ask("POST", "/credentials/issue", {**order, "ip_addresses": ["::ffff:10.9.9.9"]})
        assert_refused(mapped, 400)
        both = {"dns_names": [".feeds.internal"], "ip_addresses": ["10.9.9.9"]}
        done(admin.ask("POST", "/services", {**order, "permissions": [], **both}))
        for asked in ({"dns_names": ["db1.feeds.internal"]}, {"ip_addresses": ["10.9.9.9"]}):
            done(clerk.ask("POST", "/credentials/issue", {**order, **asked}))


# -- bound tokens ------------------------------------------------------------------------------


def test_a_token_asked_for_over_mtls_counts_there_only(service: Service, admin: Wire) -> None:
    """It carries the thumbprint, opens nothing on the plain listener, and its family goes on after a renewal."""
    identity, other = issued(service, "bound"), issued(service, "unbound")
    with connect(service, identity) as wire:
        pair = done(wire.ask("POST", "/tokens/generate", {"service_name": "bound", "refresh": True}))
        key = ec.generate_private_key(ec.SECP256R1())
        renewed = kept(service, done(wire.ask("POST", "/credentials/renew", {"csr": csr(key, cn="bound")})), key)
        wire.token = pair["token"]
        done(wire.ask("POST", "/tokens/validate"))
    der = x509.load_pem_x509_certificate(identity.certificate.read_bytes()).public_bytes(Encoding.DER)
    thumbprint = urlsafe_b64encode(hashlib.sha256(der).digest()).rstrip(b"=").decode()
    assert done(admin.ask("POST", "/oauth2/introspect", {"token": pair["token"]}))["cnf"] == {"x5t#S256": thumbprint}
    for elsewhere in (Wire(service.url, token=pair["token"]), connect(service, other, token=pair["token"])):
        with elsewhere as wire:
            assert_refused(wire.ask("POST", "/tokens/validate"), 401)
    refresh = {"refresh_token": pair["refresh_token"]}
    with Wire(service.url) as plain:
        assert_refused(plain.ask("POST", "/tokens/refresh", refresh), 401)
    with connect(service, other) as wire:
        assert_refused(wire.ask("POST", "/tokens/refresh", refresh), 403)
    with connect(service, renewed) as wire:
        second = done(wire.ask("POST", "/tokens/refresh", refresh))
        wire.token = second["token"]
        done(wire.ask("POST", "/tokens/validate"))
    with connect(service, identity, token=second["token"]) as wire:
        assert_refused(wire.ask("POST", "/tokens/validate"), 401)
