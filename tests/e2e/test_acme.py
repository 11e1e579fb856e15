"""ACME over HTTP, against a running service of two workers."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography import x509
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.acme import MAKERS, Client, Pair, binding, request
from tests.support.acme_service import NAME, Installation, installation
from tests.support.dns import zone
from tests.support.http import Answer
from tests.support.service import free_port, start, stop, wait_until
from tests.support.trial import all_events, done, wait_until_recorded
from tests.support.wire import Wire
from tradewarden.acme.problem import Kind
from tradewarden.crypto.base64url import base64url

__all__ = ["installation"]

PREFIX = "urn:ietf:params:acme:error:"
fuzz = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


def assert_problem(answer: Answer, kind: Kind, status: int = 400) -> dict[str, Any]:
    """Check that a call was refused by a type, with all that an ACME client needs to go on."""
    told: dict[str, Any] = answer.json()
    assert (told["type"], answer.status, told["status"]) == (PREFIX + kind, status, status), told
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["replay-nonce"]
    assert told["request_id"] == answer.headers["x-request-id"]
    return told


@contextmanager
def web(port: int, client: Client) -> Iterator[None]:
    """Answer http-01 challenges of an account."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = f"{self.path.rpartition('/')[2]}.{client.pair.public.thumbprint}".encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
            pass

    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def client(installation: Installation) -> Iterator[Client]:
    """A client with an account."""
    made = installation.client()
    with made.wire:
        yield made


def ordered(client: Client, *names: str) -> tuple[str, dict[str, Any]]:
    """Order a certificate; returns where the order is, and what it says."""
    identifiers = [{"type": "dns", "value": name} for name in names]
    answer = client.post(f"{client.base}/acme/new-order", {"identifiers": identifiers})
    assert answer.status == 201, answer.json()
    return answer.headers["location"], answer.json()


def prove(client: Client, order: dict[str, Any], place: str, kind: str) -> dict[str, Any]:
    """Let every authorization be looked at; return the order once it waits no more."""
    for url in order["authorizations"]:
        shown = client.post(url).json()
        (challenge,) = [each for each in shown["challenges"] if each["type"] == kind]
        assert client.post(challenge["url"], {}).status == 200
    wait_until(lambda: client.post(place).json()["status"] != "pending", "the order stays pending")
    found: dict[str, Any] = client.post(place).json()
    return found


def certified(installation: Installation, client: Client) -> tuple[str, x509.Certificate]:
    """Get a certificate; returns where its order is, and the certificate."""
    with web(installation.http_port, client):
        place, order = ordered(client, NAME)
        assert prove(client, order, place, "http-01")["status"] == "ready"
    answer = client.post(order["finalize"], {"csr": request(NAME)})
    assert answer.json()["status"] == "valid", answer.json()
    chain = client.post(answer.json()["certificate"])
    assert chain.headers["content-type"] == "application/pem-certificate-chain"
    return place, x509.load_pem_x509_certificates(chain.body)[0]


# --- who calls -------------------------------------------------------------------------------------


def test_the_directory_says_where_everything_is(installation: Installation) -> None:
    """The directory names every resource, and that an account needs a binding."""
    with Wire(installation.base) as wire:
        found = done(wire.ask("GET", "/acme/directory"))
    assert found.pop("meta") == {"externalAccountRequired": True}
    names = {"newNonce", "newAccount", "newOrder", "revokeCert", "keyChange", "renewalInfo"}
    assert set(found) == names
    assert all(url.startswith(f"{installation.base}/acme/") for url in found.values())


def test_nonces_come_from_everywhere(installation: Installation) -> None:
    """HEAD and GET give a fresh nonce each, which nobody keeps, and name the directory."""
    with Wire(installation.base) as wire:
        head, get = wire.ask("HEAD", "/acme/new-nonce"), wire.ask("GET", "/acme/new-nonce")
    assert (head.status, get.status) == (200, 204)
    assert "content-length" not in get.headers
    assert head.headers["replay-nonce"] != get.headers["replay-nonce"]
    for answer in (head, get):
        assert answer.headers["link"] == f'<{installation.base}/acme/directory>;rel="index"'
        assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("algorithm", MAKERS)
def test_an_account_is_opened_with_each_kind_of_key(installation: Installation, algorithm: str) -> None:
    """The first call makes the account, the same key finds it again, and its calls are in the log by its service."""
    with Wire(installation.base) as wire:
        client = Client(wire, installation.base, Pair(algorithm))
        made = client.open(installation.key(), contact=["mailto:ops@example.com"])
        assert (made.status, made.json()["status"]) == (201, "valid")
        client.kid = ""
        found = client.post(f"{client.base}/acme/new-account", {"onlyReturnExisting": True})
        assert (found.status, found.headers["location"]) == (200, made.headers["location"])
        client.kid = made.headers["location"]
        assert client.post(client.kid).json()["contact"] == ["mailto:ops@example.com"]
        assert client.post(client.post(client.kid).json()["orders"]).json() == {"orders": []}
    ids = {each.headers["x-request-id"] for each in (made, found)}
    with installation.admin() as admin:
        wait_until_recorded(admin, ids)
        events = [each for each in all_events(admin) if each["request_id"] in ids]
    seen = {(each["user"], each["event_type"], each["action"]) for each in events}
    assert seen == {("service:web", "certificate", "account")}


def test_an_account_needs_a_good_binding(installation: Installation) -> None:
    """No binding, a wrong MAC, another key's or another URL's binding, a used key: each is refused by its type."""
    url = f"{installation.base}/acme/new-account"
    with Wire(installation.base) as wire:
        client = Client(wire, installation.base)
        assert_problem(client.post(url, {}), Kind.EXTERNAL_ACCOUNT_REQUIRED, 403)
        assert_problem(client.post(url, {"onlyReturnExisting": True}), Kind.ACCOUNT_DOES_NOT_EXIST)
        key, other = installation.key(), Pair()
        for bound, kind, status in (
            (binding(key["kid"], base64url(b"x" * 32), client.pair.jwk, url), Kind.UNAUTHORIZED, 401),
            (binding("nobody", key["hmac_key"], client.pair.jwk, url), Kind.UNAUTHORIZED, 401),
            (binding(key["kid"], key["hmac_key"], other.jwk, url), Kind.MALFORMED, 400),
            (binding(key["kid"], key["hmac_key"], client.pair.jwk, url + "x"), Kind.MALFORMED, 400),
        ):
            assert_problem(client.post(url, {"externalAccountBinding": bound}), kind, status)
        assert client.open(key).status == 201
        again = Client(wire, installation.base)
        assert_problem(again.open(key), Kind.UNAUTHORIZED, 401)


def test_a_call_is_signed_as_the_standard_says(client: Client) -> None:
    """Nonce, URL, key and algorithm each have to be right; every refusal brings the nonce for the next try."""
    url = f"{client.base}/acme/new-order"
    assert_problem(client.post(url, {}, nonce="AAAA"), Kind.BAD_NONCE)
    assert_problem(client.post(url, {}, nonce=None), Kind.BAD_NONCE)
    assert_problem(client.post(url, {}, url=f"{client.base}/acme/new-account"), Kind.UNAUTHORIZED, 401)
    assert_problem(client.post(url, {}, kid=None, jwk=client.pair.jwk), Kind.MALFORMED)
    assert_problem(client.post(url, {}, kid=f"{client.base}/acme/account/0"), Kind.ACCOUNT_DOES_NOT_EXIST)
    assert_problem(client.post(url, {}, kid="http://evil.example/acme/account/0"), Kind.ACCOUNT_DOES_NOT_EXIST)
    told = assert_problem(client.post(url, {}, alg="HS256"), Kind.BAD_SIGNATURE_ALGORITHM)
    assert told["algorithms"] == ["ES256", "ES384", "EdDSA", "RS256"]
    assert_problem(client.send(url, b"{}", "application/json"), Kind.MALFORMED, 415)
    stolen, client.pair = client.pair, Pair()
    assert_problem(client.post(url, {}), Kind.MALFORMED)
    client.pair = stolen
    assert_problem(client.send(url, b"x" * 100_000), Kind.MALFORMED, 413)


def test_a_nonce_is_good_once_in_all_workers(installation: Installation, client: Client) -> None:
    """One call sent many times over many connections is done once; whoever repeats it gets a nonce to go on with."""
    url = f"{client.base}/acme/new-order"
    header = {"alg": "ES256", "nonce": client.nonce(), "url": url, "kid": client.kid}
    body = msgspec.json.encode(client.pair.jws(header, {"identifiers": [{"type": "dns", "value": NAME}]}))

    def once(_: int) -> Answer:
        with Wire(installation.base) as wire:
            return Client(wire, installation.base).send(url, body)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(once, range(16)))
    assert sorted(answer.status for answer in answers) == [201] + [400] * 15
    refused = [answer for answer in answers if answer.status == 400]
    for answer in refused:
        assert_problem(answer, Kind.BAD_NONCE)
    good = client.post(url, {"identifiers": []}, nonce=refused[0].headers["replay-nonce"])
    assert_problem(good, Kind.MALFORMED)


# --- certificates ----------------------------------------------------------------------------------


def test_http_01_leads_to_a_certificate(installation: Installation, client: Client) -> None:
    """Order, challenge, CSR and download; the order is listed, and finalizing again answers the same."""
    place, leaf = certified(installation, client)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [NAME]
    last = client.post(client.post(client.kid).json()["orders"])
    assert last.json()["orders"] == [place]
    with installation.admin() as admin:
        shown = done(admin.ask("GET", f"/credentials/{leaf.serial_number:040x}"))
        assert (shown["service_name"], shown["profile"], shown["state"]) == ("web", "server", "active")
        wait_until_recorded(admin, [last.headers["x-request-id"]])
        events = list(all_events(admin))
    actions = {each["action"] for each in events if each["resource"].startswith("web/")}
    assert {"order", "validate", "issue"} <= actions


def test_dns_01_leads_to_a_certificate(installation: Installation, client: Client) -> None:
    """A TXT record proves a name that has no address at all."""
    from hashlib import sha256

    name = "nowhere.test.internal"
    place, order = ordered(client, name)
    shown = client.post(order["authorizations"][0]).json()
    token = next(each["token"] for each in shown["challenges"] if each["type"] == "dns-01")
    value = base64url(sha256(f"{token}.{client.pair.public.thumbprint}".encode()).digest())
    installation.names.put(f"_acme-challenge.{name}", "TXT", f'"{value}"')
    assert prove(client, order, place, "dns-01")["status"] == "ready"
    assert client.post(order["finalize"], {"csr": request(name)}).json()["status"] == "valid"


def test_an_address_is_proven_over_http(installation: Installation, client: Client) -> None:
    """An IP identifier has http-01 alone (RFC 8738), and its certificate bears the address."""
    with installation.admin() as admin:
        asked = {"service_name": "web", "ip_addresses": ["127.0.0.1"]}
        key = done(admin.ask("POST", "/acme/eab", asked))
    other = Client(client.wire, client.base)
    assert other.open(key).status == 201
    with web(installation.http_port, other):
        answer = other.post(f"{client.base}/acme/new-order", {"identifiers": [{"type": "ip", "value": "127.0.0.1"}]})
        order = answer.json()
        kinds = [each["type"] for each in other.post(order["authorizations"][0]).json()["challenges"]]
        assert kinds == ["http-01"]
        assert prove(other, order, answer.headers["location"], "http-01")["status"] == "ready"
    assert other.post(order["finalize"], {"csr": request("127.0.0.1")}).json()["status"] == "valid"


def test_names_of_others_are_refused_one_by_one(client: Client) -> None:
    """A subproblem stands for each name that the service may not have."""
    identifiers = [{"type": "dns", "value": name} for name in (NAME, "evil.example", "tradewarden")]
    told = assert_problem(
        client.post(f"{client.base}/acme/new-order", {"identifiers": identifiers}), Kind.REJECTED_IDENTIFIER
    )
    assert [each["identifier"]["value"] for each in told["subproblems"]] == ["evil.example", "tradewarden"]


def test_names_that_others_are_registered_for_are_refused(installation: Installation, client: Client) -> None:
    """A key that lists a domain does not open the part of it that is another service's, nor another's address."""
    with installation.admin() as admin:
        said = {"dns_names": [".taken.test.internal"], "ip_addresses": ["10.9.9.9"]}
        done(admin.ask("POST", "/services", {"service_name": "taker", "permissions": [], **said}))
        key = admin.ask("POST", "/acme/eab", {"service_name": "web", "ip_addresses": ["10.9.9.9"]})
        assert (key.status, key.json()["code"]) == (403, "name_refused")
    identifiers = [{"type": "dns", "value": name} for name in (NAME, "a.taken.test.internal")]
    told = assert_problem(
        client.post(f"{client.base}/acme/new-order", {"identifiers": identifiers}), Kind.REJECTED_IDENTIFIER
    )
    assert "'a.taken.test.internal' belongs to another service" in told["detail"]


def test_what_is_not_ready_is_not_finalized(client: Client) -> None:
    """An order that is pending takes no CSR and has no certificate; an unknown one does not exist."""
    place, order = ordered(client, NAME)
    assert_problem(client.post(order["finalize"], {"csr": request(NAME)}), Kind.ORDER_NOT_READY, 403)
    assert_problem(client.post(place.replace("/order/", "/certificate/")), Kind.ORDER_NOT_READY, 403)
    assert_problem(client.post(f"{client.base}/acme/order/{'0' * 36}"), Kind.UNAUTHORIZED, 403)
    assert_problem(client.post(f"{client.base}/acme/order/x"), Kind.MALFORMED)
    assert_problem(client.post(place, {"status": "valid"}), Kind.MALFORMED)


def test_an_authorization_is_given_up(client: Client) -> None:
    """A deactivated authorization is shown so, and its order is invalid."""
    place, order = ordered(client, NAME)
    given = client.post(order["authorizations"][0], {"status": "deactivated"})
    assert given.json()["status"] == "deactivated"
    assert client.post(place).json()["status"] == "invalid"


def revoked(installation: Installation, leaf: x509.Certificate) -> bool:
    """Tell whether the inventory calls a certificate revoked."""
    with installation.admin() as admin:
        state = done(admin.ask("GET", f"/credentials/{leaf.serial_number:040x}"))["state"]
    return bool(state == "revoked")


def test_a_certificate_is_revoked_by_its_account_and_by_its_key(installation: Installation, client: Client) -> None:
    """The account and the certificate's own key revoke; a stranger's key does not; twice is told."""
    from cryptography.hazmat.primitives.serialization import Encoding

    url = f"{client.base}/acme/revoke-cert"
    _, leaf = certified(installation, client)
    body = {"certificate": base64url(leaf.public_bytes(Encoding.DER)), "reason": 1}
    stranger = Client(client.wire, client.base)
    assert_problem(stranger.post(url, body), Kind.UNAUTHORIZED, 401)
    assert not revoked(installation, leaf)
    assert client.post(url, body).status == 200
    assert revoked(installation, leaf)
    assert_problem(client.post(url, body), Kind.ALREADY_REVOKED)

    holder = Pair()
    with web(installation.http_port, client):
        place, order = ordered(client, NAME)
        prove(client, order, place, "http-01")
    assert client.post(order["finalize"], {"csr": request(NAME, key=holder.private)}).status == 200
    leaf = x509.load_pem_x509_certificate(client.post(client.post(place).json()["certificate"]).body)
    body = {"certificate": base64url(leaf.public_bytes(Encoding.DER))}
    by_key = Client(client.wire, client.base, holder)
    assert by_key.post(url, body).status == 200
    assert revoked(installation, leaf)


def test_an_account_changes_its_key(client: Client) -> None:
    """After a change the new key signs and the old one does not; a key that has an account is a conflict."""
    url, new = f"{client.base}/acme/key-change", Pair("EdDSA")
    inner = {"account": client.kid, "oldKey": client.pair.jwk}
    taken = client.pair.jws({"alg": "ES256", "jwk": client.pair.jwk, "url": url}, inner)
    told = client.post(url, taken)
    assert (told.status, told.json()["type"]) == (409, PREFIX + Kind.MALFORMED)
    assert told.headers["location"] == client.kid
    assert client.post(url, new.jws({"alg": "EdDSA", "jwk": new.jwk, "url": url}, inner)).status == 200
    assert_problem(client.post(client.kid), Kind.BAD_SIGNATURE_ALGORITHM)
    client.pair = new
    assert client.post(client.kid).json()["status"] == "valid"


def test_a_closed_account_acts_no_more(installation: Installation) -> None:
    """Closing is for good, by the account itself or by an administrator."""
    for by_admin in (False, True):
        client = installation.client()
        with client.wire:
            if by_admin:
                with installation.admin() as admin:
                    named = {"account": client.kid.rpartition("/")[2]}
                    assert done(admin.ask("POST", "/acme/accounts/end", named))["status"] == "revoked"
            else:
                assert client.post(client.kid, {"status": "deactivated"}).json()["status"] == "deactivated"
            assert_problem(client.post(client.kid), Kind.UNAUTHORIZED, 401)


def test_renewal_information_is_for_anyone(installation: Installation, client: Client) -> None:
    """Anyone may ask when a certificate is best renewed; an unknown one is not found (RFC 9773)."""
    _, leaf = certified(installation, client)
    issuer = leaf.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier or b""
    name = f"{base64url(issuer)}.{base64url(leaf.serial_number.to_bytes(20))}"
    answer = client.wire.ask("GET", f"/acme/renewal-info/{name}")
    window = answer.json()["suggestedWindow"]
    assert (
        leaf.not_valid_before_utc.isoformat() < window["start"] < window["end"] < leaf.not_valid_after_utc.isoformat()
    )
    assert int(answer.headers["retry-after"]) > 0
    assert client.wire.ask("GET", "/acme/renewal-info/AAAA.AAAA").status == 404


def test_a_certificate_is_replaced_by_one_order(installation: Installation, client: Client) -> None:
    """An order shows what it replaces; the second for the same certificate is a conflict (RFC 9773 section 5)."""
    _, leaf = certified(installation, client)
    issuer = leaf.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier or b""
    name = f"{base64url(issuer)}.{base64url(leaf.serial_number.to_bytes(20))}"
    wanted = {"identifiers": [{"type": "dns", "value": NAME}], "replaces": name}
    url = f"{client.base}/acme/new-order"
    assert_problem(client.post(url, {**wanted, "replaces": "AAAA.AAAA"}), Kind.MALFORMED)
    made = client.post(url, wanted)
    assert (made.status, made.json()["replaces"]) == (201, name)
    assert client.post(made.headers["location"]).json()["replaces"] == name
    assert_problem(client.post(url, wanted), Kind.ALREADY_REPLACED, 409)


@pytest.mark.crash
def test_validation_survives_the_death_of_the_service(tmp_path: Path) -> None:
    """A challenge that was begun before every process was killed is met after the next start."""
    port = free_port()
    with zone() as names:
        names.put(NAME, "A", "127.0.0.1")
        first = start(tmp_path, TRADEWARDEN_ACME_HTTP_PORT=str(port), TRADEWARDEN_ACME_DNS=names.address)
        client = Installation(first, names, port).client()
        place, order = ordered(client, NAME)
        (challenge, *_) = client.post(order["authorizations"][0]).json()["challenges"]
        assert client.post(challenge["url"], {}).json()["status"] == "processing"
        first.kill_tree()
        client.wire.close()
        with web(port, client):
            second = first.again()
            try:
                wait_until(lambda: client.post(place).json()["status"] == "ready", "nobody took the challenge up")
                issued = client.post(order["finalize"], {"csr": request(NAME)})
                assert issued.json()["status"] == "valid"
            finally:
                client.wire.close()
                stop(second)


def test_without_certificates_there_is_no_acme(tmp_path: Path) -> None:
    """ENABLE_MTLS=false: every ACME call answers 503, the directory too."""
    running = start(tmp_path, ENABLE_MTLS="false")
    try:
        with Wire(running.url) as wire:
            told = wire.ask("GET", "/acme/directory")
            assert (told.status, told.json()["code"]) == (503, "feature_disabled")
            client = Client(wire, running.url)
            assert client.send(f"{running.url}/acme/new-order", b"{}").status == 503
    finally:
        assert stop(running) == 0


# --- whatever comes --------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.text(max_size=20) | st.just("é\ud800"[:1]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)
FIELDS = ("identifiers", "csr", "certificate", "status", "contact", "externalAccountBinding", "account", "oldKey")
PAYLOADS = JSON | st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=4) | st.binary(max_size=40)
PLACES = st.sampled_from(
    [
        "new-account",
        "new-order",
        "key-change",
        "revoke-cert",
        "account/0",
        "orders/x",
        f"order/{'0' * 36}",
        f"authorization/{'0' * 36}.0",
        f"authorization/{'0' * 36}.99",
        f"challenge/{'0' * 36}.0.http-01",
        f"finalize/{'0' * 36}",
        f"certificate/{'0' * 36}",
    ]
)


def assert_refused(answer: Answer) -> None:
    """Check that an answer is a problem of ours, and no failure."""
    assert 400 <= answer.status < 500, answer.body
    assert answer.json()["type"].startswith(PREFIX)
    assert answer.headers["replay-nonce"]


@fuzz
@given(place=PLACES, body=st.binary(max_size=300) | JSON.map(msgspec.json.encode))
def test_no_body_is_a_failure(client: Client, place: str, body: bytes) -> None:
    """Whatever is sent in place of a JWS is refused as malformed."""
    assert_refused(client.send(f"{client.base}/acme/{place}", body))


@fuzz
@given(place=PLACES, payload=PAYLOADS)
def test_no_signed_payload_is_a_failure(client: Client, place: str, payload: Any) -> None:  # noqa: ANN401
    """Whatever a good account signs is done or refused, and never fails."""
    answer = client.post(f"{client.base}/acme/{place}", payload)
    assert_refused(answer)


@fuzz
@given(place=PLACES, name=st.sampled_from(["alg", "nonce", "url", "kid", "jwk", "crit"]), value=JSON)
def test_no_header_is_a_failure(client: Client, place: str, name: str, value: Any) -> None:  # noqa: ANN401
    """Whatever a header holds is refused."""
    assert_refused(client.post(f"{client.base}/acme/{place}", {}, **{name: value}))
