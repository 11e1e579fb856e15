"""Attacks on the running service, over real sockets: who gets in, with what, and what is never let in at all."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.support.http import Answer
from tests.support.service import Service, start, stop, wait_until
from tests.support.trial import (
    JWT_SECRET,
    PROXY,
    Ledger,
    assert_refused,
    done,
    events,
)
from tests.support.wire import Wire
from tradewarden.audit.flood import WINDOW_SECONDS

GENERATE = "/tokens/generate"
_numbers = count()


@pytest.fixture
def stranger(trial: Service) -> Iterator[Wire]:
    """A connection without any credential, from an address of its own."""
    with Wire(trial.url, source="127.0.0.2") as wire:
        yield wire


def fresh(prefix: str) -> str:
    """Return a service name that no other test uses."""
    return f"{prefix}-{next(_numbers)}"


def register(admin: Wire, *permissions: str) -> tuple[str, str]:
    """Register a service; return its name and client secret."""
    name = fresh("bot")
    answer = admin.ask("POST", "/services", {"service_name": name, "permissions": list(permissions)})
    return name, done(answer)["client_secret"]


def token_for(admin: Wire, *permissions: str, **more: object) -> str:
    """Register a service and return a token with all that it may have."""
    name, _ = register(admin, *permissions)
    return str(done(admin.ask("POST", GENERATE, {"service_name": name, "permissions": permissions, **more}))["token"])


def basic(name: str, secret: str) -> tuple[str, str]:
    """Return the header that proves a service by its client secret."""
    return ("Authorization", "Basic " + base64.b64encode(f"{name}:{secret}".encode()).decode())


# --- the bootstrap rule (decision 2) ---------------------------------------------------------------


def bootstrap(wire: Wire, *headers: tuple[str, str], host: str | None = None, **command: object) -> Answer:
    """Ask for a token without credentials; the Host may be another."""
    body = msgspec.json.encode({"service_name": fresh("stray"), "permissions": ["read"], **command})
    given = {name.lower() for name, _ in headers}
    lines = [f"POST {GENERATE} HTTP/1.1", f"Host: {host or wire.host}", f"Content-Length: {len(body)}"]
    if "content-type" not in given:
        lines.append("Content-Type: application/json")
    lines += [f"{name}: {value}" for name, value in headers]
    wire.send("\r\n".join([*lines, "", ""]).encode() + body)
    return wire.answer()


@pytest.mark.parametrize("source", ["127.0.0.1", "127.0.0.7"])
def test_a_developer_on_the_same_machine_gets_a_token_without_credentials(trial: Service, source: str) -> None:
    """The bare call of the documents works from any loopback address, and the token reads and writes for a day."""
    with Wire(trial.url, source=source) as wire:
        issued = done(bootstrap(wire, permissions=["read", "write"]))
        assert issued["permissions"] == ["read", "write"]
        assert issued["expires_in"] <= 86_400
        wire.token = issued["token"]
        done(wire.ask("POST", "/secrets/store", {"path": f"boot/{fresh('s')}", "data": {}}))


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
def test_the_loopback_names_of_the_listener_are_its_host(stranger: Wire, host: str) -> None:
    """`localhost`, `127.0.0.1` and `[::1]` with the right port are this service."""
    done(bootstrap(stranger, host=f"{host}:{stranger.host.rpartition(':')[2]}"))


@pytest.mark.parametrize(
    "host",
    ["evil.com", "evil.com:{port}", "localhost", "localhost:1", "127.0.0.1:80", "localhost.evil.com:{port}",
     "localhost:{port}.evil.com", "127.0.0.2:{port}", "2130706433:{port}", "0.0.0.0:{port}", "localhost.:{port}"],
)  # fmt: skip
def test_a_rebound_name_gets_nothing(stranger: Wire, ledger: Ledger, host: str) -> None:
    """A page whose name was rebound to loopback shows another Host, and is refused."""
    answer = bootstrap(stranger, host=host.format(port=stranger.host.rpartition(":")[2]))
    ledger.expect(assert_refused(answer, 401), result="denied", reason="bootstrap: Host is not this listener")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Origin", "http://evil.com"), ("Origin", "null"), ("Origin", "http://localhost"),
        ("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Site", "same-origin"), ("Sec-Fetch-Site", "none"),
        ("Forwarded", "for=127.0.0.1"), ("X-Forwarded-For", "127.0.0.1"), ("X-Forwarded-Proto", "http"),
        ("X-Forwarded-Host", "localhost"), ("Via", "1.1 proxy"), ("via", ""),
        ("Content-Type", "text/plain"), ("Content-Type", "application/x-www-form-urlencoded"),
        ("Content-Type", "multipart/form-data"), ("Content-Type", ""), ("Content-Type", "text/plain; application/json"),
    ],
)  # fmt: skip
def test_a_browser_or_a_proxy_gets_nothing(stranger: Wire, ledger: Ledger, name: str, value: str) -> None:
    """Any sign of a page in a browser or of something in between ends the bootstrap rule."""
    request_id = assert_refused(bootstrap(stranger, (name, value)), 401)
    ledger.expect(request_id, result="denied", reason="bootstrap: ", ip_address="127.0.0.2", user="anonymous:")


def test_a_listed_proxy_has_no_bootstrap(trial: Service) -> None:
    """A proxy of ours on this machine cannot lend its loopback address to those behind it."""
    with Wire(trial.url, source=PROXY) as wire:
        assert_refused(bootstrap(wire, ("X-Forwarded-For", "127.0.0.1")), 401)


def test_the_bootstrap_rule_ends_at_a_registered_name(stranger: Wire, admin: Wire) -> None:
    """Nobody speaks for a registered service without its proof."""
    name, _ = register(admin, "secrets:read")
    assert_refused(bootstrap(stranger, service_name=name), 401)


def test_the_bootstrap_rule_gives_no_more_than_it_says(stranger: Wire) -> None:
    """No refresh token, no longer than a day, no right but read and write."""
    assert_refused(bootstrap(stranger, refresh=True), 403)
    assert done(bootstrap(stranger, permissions=["admin"]))["permissions"] == ["read", "write"]
    for permissions in (["audit:read"], ["services:manage"], ["tokens:issue"]):
        assert_refused(bootstrap(stranger, permissions=permissions), 403)
    assert set(done(bootstrap(stranger, permissions=["admin", "read"]))["permissions"]) <= {"read", "write"}
    assert done(bootstrap(stranger, ttl_seconds=10**9))["expires_in"] <= 86_400
    assert done(bootstrap(stranger, permissions=[]))["permissions"] == []


def test_a_service_that_others_can_reach_has_no_bootstrap(tmp_path: Path) -> None:
    """With SERVICE_HOST=0.0.0.0 development gives nobody a token, not even a caller on loopback."""
    service = start(tmp_path, SERVICE_HOST="0.0.0.0")  # noqa: S104
    try:
        with Wire(service.url) as wire:
            assert_refused(bootstrap(wire), 401)
            assert_refused(wire.ask("GET", "/metrics"), 401)
    finally:
        assert stop(service) == 0


@pytest.mark.parametrize("path", ["/metrics", "/openapi.json", "/docs"])
def test_pages_for_operators_are_for_this_machine_or_a_permission(stranger: Wire, admin: Wire, path: str) -> None:
    """Metrics and documentation answer under the bootstrap rule's conditions, or to a permission; never to others."""
    assert stranger.ask("GET", path).status == 200
    assert admin.ask("GET", path).status == 200
    for headers in ([("X-Forwarded-For", "1.2.3.4")], [("Sec-Fetch-Site", "cross-site")], [("Origin", "http://a.b")]):
        assert_refused(stranger.ask("GET", path, headers=headers), 401)
    stranger.token = token_for(admin, "secrets:read")
    assert_refused(stranger.ask("GET", path), 403)


# --- who is calling: addresses ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "forwarded_for", "seen"),
    [
        ("127.0.0.3", "203.0.113.9", "127.0.0.3"),
        (PROXY, "203.0.113.9", "203.0.113.9"),
        (PROXY, "6.6.6.6, 203.0.113.9", "203.0.113.9"),
        (PROXY, f"203.0.113.9, {PROXY}", "203.0.113.9"),
        (PROXY, "not an address", PROXY),
        (PROXY, "203.0.113.9, ", PROXY),
    ],
)
def test_only_a_listed_proxy_says_who_called(
    trial: Service, ledger: Ledger, source: str, forwarded_for: str, seen: str
) -> None:
    """The audit log has the peer's own address; what a listed proxy forwards counts, and only its own last word."""
    with Wire(trial.url, source=source) as wire:
        answer = wire.ask("GET", "/secrets/none", headers=[("X-Forwarded-For", forwarded_for)])
    ledger.expect(assert_refused(answer, 401), result="denied", ip_address=seen)


# --- tokens ----------------------------------------------------------------------------------------


def b64(data: bytes) -> str:
    """Encode as a JWS does."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    """Decode what a JWS holds."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def signed(header: str, payload: str) -> str:
    """Sign with the secret that platforms share with us, as any of them could."""
    mac = hmac.new(JWT_SECRET.encode(), f"{header}.{payload}".encode(), hashlib.sha256)
    return f"{header}.{payload}.{b64(mac.digest())}"


def with_claims(token: str, **claims: object) -> str:
    """Return a token of the same header with other claims, rightly signed."""
    header, payload, _ = token.split(".")
    return signed(header, b64(json.dumps({**json.loads(unb64(payload)), **claims}).encode()))


def with_header(token: str, **fields: object) -> str:
    """Return a token of the same claims with another header, rightly signed."""
    header, payload, _ = token.split(".")
    return signed(b64(json.dumps({**json.loads(unb64(header)), **fields}).encode()), payload)


def forgeries(token: str) -> dict[str, str]:
    """Return what somebody makes of a good token, with the shared secret in hand."""
    header, payload, signature = token.split(".")
    flipped = b64(bytes([unb64(signature)[0] ^ 1]) + unb64(signature)[1:])
    none, mixed = b64(b'{"alg":"none","typ":"at+jwt"}'), b64(b'{"alg":"nOnE","typ":"at+jwt"}')
    later = int(time.time()) + 10**6
    return {
        "the platform's own": with_claims(token, jti="00" * 16),
        "another service": with_claims(token, sub="service:other"),
        "longer": with_claims(token, exp=later),
        "more rights": with_claims(token, permissions=["admin"], scope="admin"),
        "alg none": f"{none}.{payload}.",
        "alg none with a signature": f"{none}.{payload}.{signature}",
        "alg nOnE": f"{mixed}.{payload}.{signature}",
        "HS512": with_header(token, alg="HS512"),
        "ES256": with_header(token, alg="ES256"),
        "kid of a file": with_header(token, kid="../../../dev/null"),
        "kid of SQL": with_header(token, kid="' OR 1=1 --"),
        "no kid": signed(b64(b'{"alg":"HS256","typ":"at+jwt"}'), payload),
        "typ JWT": with_header(token, typ="JWT"),
        "jku": with_header(token, jku="http://evil.com/jwks.json"),
        "jwk": with_header(token, jwk={"kty": "oct", "k": b64(b"k" * 32)}),
        "crit": with_header(token, crit=["exp"]),
        "no signature": f"{header}.{payload}.",
        "two parts": f"{header}.{payload}",
        "flipped": f"{header}.{payload}.{flipped}",
        "padded": f"{token}=",
        "spaces": f"{header}. {payload}.{signature}",
        "a JWE": f"{token}.x.y",
        "rubbish": "." * 100,
        "nested": b64(b"[" * 5000) + "." + payload + "." + signature,
        "huge": f"{header}.{payload}.{'A' * 9000}",
        "admin prefix": "twa_" + "A" * 43,
        "admin prefix alone": "twa_",
        "not ASCII": "tök.en.x",
    }


def test_no_forged_token_is_accepted(trial: Service, admin: Wire, ledger: Ledger) -> None:
    """A token counts only when it stands in our register, whatever it says and whoever signed it (decision 3)."""
    token = token_for(admin, "secrets:read")
    assert signed(*token.split(".")[:2]) == token  # so what is forged here is rightly signed
    said: dict[str, str] = {}
    with Wire(trial.url, source="127.0.0.4") as wire:
        for name, forged in forgeries(token).items():
            wire.token = forged
            answer = wire.ask("POST", "/tokens/validate")
            ledger.expect(assert_refused(answer, 401), result="denied", event_type="token", user="anonymous:")
            said[name] = answer.json()["detail"]
        wire.token = token
        assert done(wire.ask("POST", "/tokens/validate"))["valid"]
    assert set(said.values()) <= {
        "JWT validation failed",
        "Authentication failed",
        "This call needs 'Authorization: Bearer <token>'",
    }


@pytest.mark.parametrize(
    "value",
    ["Bearer", "Bearer ", "bearer a b", "Basic", "Basic !!!", "Basic YQ==", "Basic bm9ib2R5OnRlc3Q=", "Digest x",
     "Negotiate", "\x01", "Bearer \x7f", "Basic " + "A" * 9000, "Bearer " + "A" * 9000],
)  # fmt: skip
def test_no_odd_authorization_gets_in(stranger: Wire, ledger: Ledger, value: str) -> None:
    """An Authorization header of another scheme or shape proves nobody, and the answer says no more than that."""
    answer = stranger.ask("POST", GENERATE, {"service_name": fresh("odd")}, [("Authorization", value)])
    request_id = assert_refused(answer, 400, 401)
    if answer.status == 401:
        ledger.expect(request_id, result="denied", user="anonymous:")


def test_a_refresh_token_is_no_access_token(stranger: Wire, admin: Wire) -> None:
    """One kind of token is never taken for another (decision 4)."""
    name, secret = register(admin, "secrets:read")
    command = {"service_name": name, "refresh": True}
    issued = done(stranger.ask("POST", GENERATE, command, [basic(name, secret)]))
    stranger.token = issued["refresh_token"]
    assert_refused(stranger.ask("POST", "/tokens/validate"), 401)
    stranger.token = ""
    assert_refused(stranger.ask("POST", "/tokens/refresh", {"refresh_token": issued["token"]}), 401)
    done(stranger.ask("POST", "/tokens/refresh", {"refresh_token": issued["refresh_token"]}))


def test_an_expired_token_ends_on_time(stranger: Wire, admin: Wire) -> None:
    """After its last second a token is refused, on a connection that it was just good on."""
    stranger.token = token_for(admin, "secrets:read", ttl_seconds=1)
    wait_until(lambda: stranger.ask("POST", "/tokens/validate").status == 401, "the token never ends", 4)
    assert_refused(stranger.ask("POST", "/tokens/validate"), 401)


def connections(trial: Service, token: str) -> list[Wire]:
    """Return so many connections that every worker has some."""
    return [Wire(trial.url, token=token, source="127.0.0.5") for _ in range(8)]


@pytest.mark.parametrize("how", ["token", "jti", "service", "oauth2", "deleted", "narrowed"])
def test_a_revoked_token_fails_on_the_next_request_everywhere(trial: Service, admin: Wire, how: str) -> None:
    """What ends a token ends it at once, in every worker, on connections where it was good a moment ago."""
    name, secret = register(admin, "read")
    token = done(admin.ask("POST", GENERATE, {"service_name": name}))["token"]
    jti = json.loads(unb64(token.split(".")[1]))["jti"]
    calls: dict[str, tuple[str, str, Any, list[tuple[str, str]]]] = {
        "token": ("POST", "/tokens/revoke", {"token": token}, []),
        "jti": ("POST", "/tokens/revoke", {"jti": jti}, []),
        "service": ("POST", "/tokens/revoke", {"service_name": name}, []),
        "oauth2": ("POST", "/oauth2/revoke", f"token={token}".encode(),
                   [("Content-Type", "application/x-www-form-urlencoded"), basic(name, secret)]),
        "deleted": ("DELETE", f"/services/{name}", None, []),
        "narrowed": ("POST", "/services/permissions", {"service_name": name, "permissions": []}, []),
    }  # fmt: skip
    caller = Wire(trial.url) if how == "oauth2" else admin
    wires = connections(trial, token)
    for wire in wires:
        assert wire.ask("GET", "/secrets?prefix=none").status == 200
    done(caller.ask(*calls[how]))
    for wire in wires:
        answer = wire.ask("GET", "/secrets?prefix=none")
        assert_refused(answer, 403 if how == "narrowed" else 401)
        wire.close()
    caller.close()


def test_a_deleted_service_proves_nothing_any_more(stranger: Wire, admin: Wire) -> None:
    """The client secret ends with the registration, and a rotated one at once."""
    name, old = register(admin, "secrets:read")
    new = done(admin.ask("POST", "/services/rotate-secret", {"service_name": name}))["client_secret"]
    assert_refused(stranger.ask("POST", GENERATE, {"service_name": name}, [basic(name, old)]), 401)
    done(stranger.ask("POST", GENERATE, {"service_name": name}, [basic(name, new)]))
    done(admin.ask("DELETE", f"/services/{name}"))
    assert_refused(stranger.ask("POST", GENERATE, {"service_name": name}, [basic(name, new)]), 401)


# --- rights ----------------------------------------------------------------------------------------


def test_a_scope_is_a_wall(trial: Service, admin: Wire) -> None:
    """A token for one part of the tree reads, writes and lists nothing beside it, however the path is written."""
    part, other = fresh("part"), fresh("part")
    for path in (f"{part}/in", f"{part}/in/deep", f"{part}x/out", f"{other}/out", part):
        done(admin.ask("POST", "/secrets/store", {"path": path, "data": {"v": path}}))
    with Wire(trial.url, token=token_for(admin, f"read:{part}/*", f"write:{part}/*")) as wire:
        done(wire.ask("GET", f"/secrets/{part}/in"))
        done(wire.ask("POST", "/secrets/store", {"path": f"{part}/new", "data": {}}))
        for path in (f"{other}/out", f"{part}x/out", part, "nothing/there"):
            assert_refused(wire.ask("GET", f"/secrets/{path}"), 403)
            assert_refused(wire.ask("GET", f"/secrets/{path}?metadata=true"), 403)
            assert_refused(wire.ask("POST", "/secrets/store", {"path": path, "data": {}}), 403)
        for path in (f"{part}/../{other}/out", f"{part}/%2e%2e/{other}/out", f"{part}//in", f"{part}/./in",
                     f"{part}/in/", f"/{part}/in", f"{part}%2fin", f"{part}\\in", f"{part.upper()}/in"):  # fmt: skip
            assert_refused(wire.ask("GET", f"/secrets/{path}"), 400, 403)
        for call in ("delete", "destroy", "undelete", "rollback", "metadata"):
            body: dict[str, object] = {"path": f"{other}/out"}
            body |= {"version": 1} if call == "rollback" else {"versions": [1]} if call != "metadata" else {}
            if call == "delete":
                assert_refused(wire.ask("DELETE", f"/secrets/{part}/in"), 403)
            else:
                assert_refused(wire.ask("POST", f"/secrets/{call}", body), 403)
        listed = done(wire.ask("GET", "/secrets?prefix=part"))
        assert listed["keys"] == [f"{part}/in", f"{part}/in/deep", f"{part}/new"]
    assert done(admin.ask("GET", f"/secrets/{other}/out"))["version"] == 1


def test_missing_and_forbidden_look_the_same(trial: Service, admin: Wire) -> None:
    """Who may not read a path does not learn whether there is something."""
    path = f"{fresh('there')}/x"
    done(admin.ask("POST", "/secrets/store", {"path": path, "data": {}}))
    with Wire(trial.url, token=token_for(admin, "read:mine/*")) as wire:
        there, nowhere = (wire.ask("GET", f"/secrets/{each}").json() for each in (path, f"{path}/no"))
    del there["request_id"], nowhere["request_id"]
    assert there == nowhere


def test_nobody_grants_more_than_they_hold(trial: Service, admin: Wire) -> None:
    """What is given is asked ∩ the caller's own ∩ registered, and only for the caller's own name (decision 1)."""
    name, secret = register(admin, "read:a/*")
    other, _ = register(admin, "secrets:read")
    with Wire(trial.url, source="127.0.0.6") as wire:
        proof = basic(name, secret)
        whole = done(wire.ask("POST", GENERATE, {"service_name": name, "permissions": ["admin"]}, [proof]))
        assert whole["permissions"] == ["read:a/*"]
        assert_refused(wire.ask("POST", GENERATE, {"service_name": name, "permissions": ["write"]}, [proof]), 403)
        assert_refused(wire.ask("POST", GENERATE, {"service_name": other}, [proof]), 403)
        wide = done(wire.ask("POST", GENERATE, {"service_name": name, "permissions": ["secrets:read"]}, [proof]))
        assert wide["permissions"] == ["secrets:read:a/*"]
        wire.token = wide["token"]
        assert_refused(wire.ask("POST", GENERATE, {"service_name": other}), 403)
        assert_refused(wire.ask("POST", GENERATE, {"service_name": fresh("nobody")}), 403)
        assert_refused(wire.ask("POST", "/services", {"service_name": fresh("x"), "permissions": ["admin"]}), 403)
        assert_refused(wire.ask("POST", "/credentials/issue", {"service_name": name}), 403)
        assert_refused(wire.ask("POST", "/tokens/revoke", {"service_name": other}), 403)


def test_a_scoped_right_to_issue_stays_in_its_scope(trial: Service, admin: Wire) -> None:
    """Who may issue or register for one name may do it for no other, and hands on nothing it lacks."""
    mine, other = fresh("mine"), fresh("other")
    rights = (f"credentials:issue:{mine}", f"services:manage:{mine}", f"tokens:issue:{mine}")
    with Wire(trial.url, token=token_for(admin, *rights)) as wire:
        done(wire.ask("POST", "/credentials/issue", {"service_name": mine}))
        assert_refused(wire.ask("POST", "/credentials/issue", {"service_name": other}), 403)
        assert_refused(wire.ask("POST", "/services", {"service_name": other, "permissions": []}), 403)
        assert_refused(wire.ask("POST", "/services", {"service_name": mine, "permissions": ["admin"]}), 403)
        done(wire.ask("POST", "/services", {"service_name": mine, "permissions": [f"tokens:issue:{mine}"]}))
        assert_refused(wire.ask("POST", "/services/permissions", {"service_name": mine, "permissions": ["read"]}), 403)


def test_introspection_tells_nothing_of_others(trial: Service, admin: Wire) -> None:
    """A service that asks about somebody else's token sees it inactive, like one that never was (RFC 7662 2.2)."""
    theirs = token_for(admin, "secrets:read")
    name, secret = register(admin, "secrets:read")
    form = [("Content-Type", "application/x-www-form-urlencoded"), basic(name, secret)]
    with Wire(trial.url) as wire:
        for token in (theirs, "x.y.z", "", "twa_x"):
            assert done(wire.ask("POST", "/oauth2/introspect", f"token={token}".encode(), form)) == {"active": False}


# --- the wire --------------------------------------------------------------------------------------

HOST = "Host: {host}\r\n"
STORE = '{{"path":"smuggled/x","data":{{}}}}'
UNREADABLE = {
    "CL and TE": "POST /secrets/store HTTP/1.1\r\n"
    + HOST
    + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /health HTTP/1.1\r\n\r\n",
    "two CLs": "POST /secrets/store HTTP/1.1\r\n" + HOST + "Content-Length: 0\r\nContent-Length: 5\r\n\r\nGET /",
    "two equal CLs": "POST /secrets/store HTTP/1.1\r\n" + HOST + "Content-Length: 0\r\nContent-Length: 0\r\n\r\n",
    "a list of CLs": "POST /secrets/store HTTP/1.1\r\n" + HOST + "Content-Length: 0, 0\r\n\r\n",
    "a signed CL": "POST /secrets/store HTTP/1.1\r\n" + HOST + "Content-Length: +5\r\n\r\nGET /",
    "a hex CL": "POST /secrets/store HTTP/1.1\r\n" + HOST + "Content-Length: 0x5\r\n\r\nGET /",
    "a huge CL": "POST /secrets/store HTTP/1.1\r\n" + HOST + "Content-Length: 99999999999999999999\r\n\r\n",
    "a negative CL": "POST /secrets/store HTTP/1.1\r\n" + HOST + "Content-Length: -1\r\n\r\n",
    "TE identity": "POST /secrets/store HTTP/1.1\r\n" + HOST + "Transfer-Encoding: identity\r\n\r\n",
    "TE list": "POST /secrets/store HTTP/1.1\r\n" + HOST + "Transfer-Encoding: chunked, identity\r\n\r\n",
    "TE gzip": "POST /secrets/store HTTP/1.1\r\n" + HOST + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "TE hidden": "POST /secrets/store HTTP/1.1\r\n" + HOST + "Transfer-Encoding: xchunked\r\n\r\n",
    "TE of vertical tab": "POST /secrets/store HTTP/1.1\r\n" + HOST + "Transfer-Encoding: \x0bchunked\r\n\r\n",
    "TE twice": "POST /secrets/store HTTP/1.1\r\n"
    + HOST
    + "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "TE at HTTP/1.0": "POST /secrets/store HTTP/1.0\r\n" + HOST + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a bad chunk": "POST /secrets/store HTTP/1.1\r\n"
    + HOST
    + "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
    "a folded header": "GET /health HTTP/1.1\r\n" + HOST + "X-A: a\r\n b\r\n\r\n",
    "LF only": "GET /health HTTP/1.1\nHost: {host}\n\n",
    "a bare CR": "GET /health HTTP/1.1\r\n" + HOST + "X-A: a\rb\r\n\r\n",
    "a space before the colon": "GET /health HTTP/1.1\r\n" + HOST + "Content-Length : 0\r\n\r\n",
    "a header without a name": "GET /health HTTP/1.1\r\n" + HOST + ": x\r\n\r\n",
    "a NUL in a header": "GET /health HTTP/1.1\r\n" + HOST + "X-A: a\0b\r\n\r\n",
    "a NUL in the path": "GET /hea\0lth HTTP/1.1\r\n" + HOST + "\r\n",
    "a tab in the path": "GET /hea\tlth HTTP/1.1\r\n" + HOST + "\r\n",
    "no Host": "GET /health HTTP/1.1\r\n\r\n",
    "two Hosts": "GET /health HTTP/1.1\r\n" + HOST + "Host: evil.com\r\n\r\n",
    "no version": "GET /health\r\n\r\n",
    "HTTP/2": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/9.9": "GET /health HTTP/9.9\r\n" + HOST + "\r\n",
    "TLS": "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "CONNECT": "CONNECT evil.com:443 HTTP/1.1\r\n" + HOST + "\r\n",
    "a target elsewhere": "GET http://evil.com/health HTTP/1.1\r\n" + HOST + "\r\n",
    "a target without a slash": "GET health HTTP/1.1\r\n" + HOST + "\r\n",
    "an unknown method": "FROB /health HTTP/1.1\r\n" + HOST + "\r\n",
    "a lower-case method": "get /health HTTP/1.1\r\n" + HOST + "\r\n",
    "rubbish": "\x00\xff\x00\xff\r\n\r\n",
    "a long URL": "GET /" + "a" * 20_000 + " HTTP/1.1\r\n" + HOST + "\r\n",
    "a large header": "GET /health HTTP/1.1\r\n" + HOST + "X-A: " + "a" * 70_000 + "\r\n\r\n",
    "many headers": "GET /health HTTP/1.1\r\n" + HOST + "X-A: a\r\n" * 500 + "\r\n",
}


def sent(text: str, host: str) -> bytes:
    """Return what goes over the wire."""
    return text.replace("{host}", host).encode("latin-1")


@pytest.mark.parametrize("name", list(UNREADABLE))
def test_what_could_be_read_in_two_ways_is_refused_and_closed(stranger: Wire, name: str) -> None:
    """A request that two parsers could frame differently, or that is none, is answered once, and the connection ends."""
    answer = stranger.exchange(sent(UNREADABLE[name], stranger.host))
    assert_refused(answer, 400, 405, 413, 414, 431, 505)


def slow_head(wire: Wire) -> bool:
    """Send a head that never ends; tell whether the service closes."""
    wire.send(sent("GET /health HTTP/1.1\r\n" + HOST, wire.host))
    return wire.answer().status == 408 and wire.is_closed()


def slow_start(wire: Wire) -> bool:
    """Connect and say nothing but a letter."""
    wire.send(b"G")
    return wire.answer().status == 408 and wire.is_closed()


def test_slow_clients_are_closed_and_refusals_are_counted_in_the_log(trial: Service, admin: Wire) -> None:
    """A head that never ends is closed in time; every refusal before the door is in a counted entry of its address."""
    source = "127.0.0.11"

    def counted() -> int:
        return sum(
            int(each.get("count", 1)) for each in events(admin, action="throttle") if each["ip_address"] == source
        )

    before = counted()
    with ThreadPoolExecutor(8) as pool:
        slow = [Wire(trial.url, source="127.0.0.12", seconds=20) for _ in range(8)]
        closed = [pool.submit(slow_head if each % 2 else slow_start, wire) for each, wire in enumerate(slow)]
        for text in UNREADABLE.values():
            with Wire(trial.url, source=source) as wire:
                wire.exchange(sent(text, wire.host))
        began = time.monotonic()
        done(admin.ask("GET", "/health"))
        assert time.monotonic() - began < 2, "slow clients hold up others"
        wait_until(lambda: counted() - before >= len(UNREADABLE), "refusals are not counted", WINDOW_SECONDS * 2)
        assert all(each.result() for each in closed)
        for wire in slow:
            wire.close()
    assert counted() - before == len(UNREADABLE)


def test_a_body_that_never_comes_is_given_up(trial: Service, admin: Wire) -> None:
    """A body that a client announces and does not send is recorded as failed when the client goes, and holds nothing up."""
    with Wire(trial.url, token=trial.admin_token) as wire:
        wire.send(wire.request("POST", "/secrets/store", b"", [("Content-Type", "application/json")]).replace(
            b"Content-Length: 0", b"Content-Length: 100"))  # fmt: skip
        done(admin.ask("GET", "/health"))
        since = events(admin)[0]["timestamp"]
    wait_until(
        lambda: bool(events(admin, since=since, action="write", result="failure")), "no entry of the broken call"
    )


def test_requests_sent_ahead_are_answered_in_order_or_refused(stranger: Wire, admin: Wire) -> None:
    """Of 300 requests sent in one piece, each is answered in turn, as far as the service takes them, then it closes."""
    admin.send(b"".join(admin.request("GET", f"/secrets/none/{each}") for each in range(16)))
    for each in range(16):
        answer = admin.answer()
        assert_refused(answer, 404)
        assert answer.json()["detail"] == f"Secret 'none/{each}' not found"
    stranger.send(b"".join(stranger.request("GET", f"/nowhere/{each}") for each in range(300)))
    answered = 0
    try:
        for _ in range(300):
            assert_refused(stranger.answer())
            answered += 1
    except ConnectionError:
        assert answered
    admin.close()


def test_one_request_hidden_in_another_is_only_a_body(trial: Service, admin: Wire) -> None:
    """What stands in a body is never taken for a request of its own, whatever the first one's answer was."""
    hidden = admin.request("POST", "/secrets/store", {"path": "smuggled/x", "data": {}})
    with Wire(trial.url) as wire:
        assert_refused(wire.ask("GET", "/secrets/none", hidden, [("Content-Type", "application/json")]), 401)
        assert wire.ask("GET", "/health/live").status == 200
    assert_refused(admin.ask("GET", "/secrets/smuggled/x"), 404)


def test_http_1_0_is_answered_and_closed(trial: Service) -> None:
    """An HTTP/1.0 client gets its answer with a length, and the connection ends."""
    with Wire(trial.url) as wire:
        assert wire.exchange(b"GET /health/live HTTP/1.0\r\n\r\n").status == 200
        assert_refused(wire.exchange(b"GET /secrets/x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"), 401)
        body = b'{"service_name":"old"}'
        head = b"POST /tokens/generate HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(
            body
        )
        assert_refused(wire.exchange(head + body), 401)


def test_head_is_answered_without_a_body(trial: Service, admin: Wire, ledger: Ledger) -> None:
    """HEAD passes the same checks as GET and answers its headers alone."""
    done(admin.ask("POST", "/secrets/store", {"path": "head/x", "data": {"v": 1}}))
    assert admin.ask("HEAD", "/secrets/head/x").headers["content-length"] != "0"
    with Wire(trial.url) as wire:
        answer = wire.ask("HEAD", "/secrets/head/x")
        ledger.expect(assert_refused(answer, 401, body=False), result="denied")
        assert wire.ask("GET", "/health/live").status == 200


@pytest.mark.parametrize("method", ["OPTIONS", "TRACE", "PUT", "PATCH", "DELETE", "PROPFIND", "PURGE"])
@pytest.mark.parametrize("path", ["/health", "/secrets/store", "/nowhere", "*"])
def test_other_methods_are_refused(stranger: Wire, ledger: Ledger, method: str, path: str) -> None:
    """A method that a path does not answer is refused, recorded, and echoes nothing."""
    answer = stranger.ask(method, path, headers=[("X-Secret", "echo-me")])
    request_id = assert_refused(answer)
    assert b"echo-me" not in answer.body
    if path != "*":
        ledger.expect(request_id)


MALFORMED_TARGETS = (
    "/secrets/%00", "/secrets/a%00b", "/secrets/%0d%0aX-Injected:%201", "/secrets/a%2fb", "/secrets/a%5cb",
    "/secrets/%ff%fe", "/secrets/%c0%af", "/secrets/%u0041", "/secrets/%", "/secrets/%zz", "/secrets/%252e%252e/x",
    "/secrets/%F0%9F%92%A9", "/secrets/" + "a/" * 40 + "a", "/secrets/" + "a" * 600, "/secrets/%2e%2e/%2e%2e/etc/passwd",
    "/secrets/x?version=1&version=2", "/secrets/x?version=abc", "/secrets/x?version=-1", "/secrets/x?version=" + "9" * 400,
    "/secrets/x?version=1e400", "/secrets/x?unknown=1", "/secrets/x?metadata=perhaps", "/secrets/x?path=y",
    "/secrets/x?version=%00", "/secrets/x?%", "/secrets/x?" + "a=b&" * 200, "/secrets?limit=0", "/secrets?limit=-1",
    "/secrets?limit=99999999999999999999", "/secrets?after=%00", "/secrets?prefix=../", "/secrets?prefix=" + "p" * 5000,
    "/audit/events?since=yesterday", "/audit/events?cursor=%00", "/audit/events?cursor=!!!!", "/audit/events?limit=NaN",
    "/audit/events?event_type=' OR 1=1 --".replace(" ", "%20"), "/audit/events?order=sideways",
    "/audit/proof/inclusion", "/audit/proof/inclusion?sequence=-1", "/audit/proof/inclusion?sequence=" + "9" * 30,
    "/audit/proof/inclusion?sequence=0&tree_size=" + "9" * 18, "/audit/proof/consistency?first=0",
    "/audit/proof/consistency?first=9&second=2",
    "/credentials?state=maybe", "/credentials?after=rubbish&limit=1&expiring_within_hours=-5", "/credentials/zz",
    "/credentials/" + "f" * 300, "/services/UPPER", "/services/..", "/services/a/b", "/docs/../secrets", "/docs/%2e%2e",
    "//secrets/x", "/secrets//x", "/./health", "/health/", "/HEALTH", "/health;x=1", "/health%20", "/.env", "/admin.token",
)  # fmt: skip


@pytest.mark.parametrize("target", MALFORMED_TARGETS, ids=lambda target: target[:40])
def test_no_odd_path_or_query_is_more_than_a_4xx(admin: Wire, ledger: Ledger, target: str) -> None:
    """Even the admin gets a problem for a path or query that is malformed, and an entry for it; a header never breaks."""
    answer = admin.ask("GET", target)
    request_id = assert_refused(answer)
    assert "x-injected" not in answer.headers
    ledger.expect(request_id)


JSON = "application/json"
STORE_PATH = '{"path":"odd/x","data":'
MALFORMED_BODIES = (
    ("/secrets/store", "", JSON), ("/secrets/store", "{", JSON), ("/secrets/store", "null", JSON),
    ("/secrets/store", "[]", JSON), ("/secrets/store", '"x"', JSON), ("/secrets/store", "{}", JSON),
    ("/secrets/store", "\ufeff{}", JSON), ("/secrets/store", STORE_PATH + "{}}garbage", JSON),
    ("/secrets/store", STORE_PATH + '{"a":1,"a":2}}', JSON), ("/secrets/store", STORE_PATH + '{"a":{"b":1,"b":2}}}', JSON),
    ("/secrets/store", '{"path":"odd/x","path":"odd/y","data":{}}', JSON),
    ("/secrets/store", STORE_PATH + '{"a":NaN}}', JSON), ("/secrets/store", STORE_PATH + '{"a":Infinity}}', JSON),
    ("/secrets/store", STORE_PATH + '{"a":-Infinity}}', JSON), ("/secrets/store", STORE_PATH + '{"a":01}}', JSON),
    ("/secrets/store", STORE_PATH + "1}", JSON), ("/secrets/store", STORE_PATH + "null}", JSON),
    ("/secrets/store", STORE_PATH + '"text"}', JSON), ("/secrets/store", STORE_PATH + "[1]}", JSON),
    ("/secrets/store", STORE_PATH + "[" * 100_000 + "]" * 100_000 + "}", JSON),
    ("/secrets/store", STORE_PATH + '{"a":' * 100_000 + "1" + "}" * 100_001, JSON),
    ("/secrets/store", "[" * 100_000, JSON), ("/secrets/store", '{"x":' + "[" * 100_000, JSON),
    ("/secrets/store", STORE_PATH + '{"a":"\\ud800"}}', JSON), ("/secrets/store", '{"path":"\\ud800","data":{}}', JSON),
    ("/secrets/store", STORE_PATH + '{"\\udfff":1}}', JSON),
    ("/secrets/store", '{"path":"a\\u0000b","data":{}}', JSON), ("/secrets/store", '{"path":"","data":{}}', JSON),
    ("/secrets/store", '{"path":"../x","data":{}}', JSON), ("/secrets/store", '{"path":"/x","data":{}}', JSON),
    ("/secrets/store", '{"path":"a\\r\\nb","data":{}}', JSON), ("/secrets/store", '{"path":"ä","data":{}}', JSON),
    ("/secrets/store", '{"path":["x"],"data":{}}', JSON), ("/secrets/store", '{"path":"odd/x","data":{},"more":1}', JSON),
    ("/secrets/store", '{"path":"odd/x","data":{},"cas":-1}', JSON),
    ("/secrets/store", '{"path":"odd/x","data":{},"cas":1.5}', JSON),
    ("/secrets/store", '{"path":"odd/x","data":{},"cas":' + "9" * 5000 + "}", JSON),
    ("/secrets/store", '{"path":"odd/x","data":{},"cas":1e999}', JSON),
    ("/secrets/store", '{"path":"odd/x","data":{},"custom":{"' + "k" * 200 + '":"v"}}', JSON),
    ("/secrets/store", '{"path":"odd/x","data":{},"custom":{"k":"\\ud800"}}', JSON),
    ("/secrets/store", "<xml/>", "application/xml"), ("/secrets/store", STORE_PATH + "{}}", "text/plain"),
    ("/secrets/store", "path=odd/x", "application/x-www-form-urlencoded"), ("/secrets/store", STORE_PATH + "{}}", ""),
    ("/secrets/store", STORE_PATH + "{}}", "application/json; charset=utf-16"),
    ("/secrets/store?path=x", STORE_PATH + "{}}", JSON), ("/secrets/undelete", '{"path":"odd/x","versions":[]}', JSON),
    ("/secrets/destroy", '{"path":"odd/x","versions":[' + "1," * 5000 + "1]}", JSON),
    ("/secrets/destroy", '{"path":"odd/x","versions":[' + "9" * 400 + "]}", JSON),
    ("/secrets/rollback", '{"path":"odd/x","version":0}', JSON),
    ("/secrets/rollback", '{"path":"odd/x","version":' + "9" * 30 + "}", JSON),
    ("/secrets/metadata", '{"path":"odd/x","max_versions":0}', JSON),
    (GENERATE, '{"service_name":"UPPER"}', JSON), (GENERATE, '{"service_name":"a","ttl_seconds":0}', JSON),
    (GENERATE, '{"service_name":"a","ttl_seconds":-1}', JSON), (GENERATE, '{"service_name":"a","permissions":["x"]}', JSON),
    (GENERATE, '{"service_name":"a","permissions":["\\ud800:x"]}', JSON),
    (GENERATE, '{"service_name":"a","permissions":[' + '"a:b",' * 500 + '"a:b:c"]}', JSON),
    (GENERATE, '{"service_name":"a","permissions":["secrets:read:a/*/b"]}', JSON),
    (GENERATE, '{"service_name":"\\ud800"}', JSON), (GENERATE, '{"service_name":"' + "a" * 5000 + '"}', JSON),
    ("/services", '{"service_name":"x\\u0000","permissions":[]}', JSON),
    ("/services", '{"service_name":"x","permissions":"admin"}', JSON),
    ("/tokens/refresh", '{"refresh_token":"\\ud800"}', JSON), ("/tokens/refresh", '{"refresh_token":""}', JSON),
    ("/tokens/revoke", "{}", JSON), ("/tokens/revoke", '{"token":"a","jti":"b"}', JSON),
    ("/tokens/revoke", '{"jti":"\\ud800"}', JSON), ("/tokens/revoke", '{"jti":"nothing"}', JSON),
    ("/credentials/issue", '{"service_name":"a","csr":"x"}', JSON),
    ("/credentials/issue", '{"service_name":"a","csr":"\\ud800"}', JSON),
    ("/credentials/issue", '{"service_name":"a","csr":"' + "A" * 20_000 + '"}', JSON),
    ("/credentials/issue", '{"service_name":"a","dns_names":["*"]}', JSON),
    ("/credentials/issue", '{"service_name":"a","dns_names":["a\\u0000.com"]}', JSON),
    ("/credentials/issue", '{"service_name":"a","dns_names":["\\ud800"]}', JSON),
    ("/credentials/issue", '{"service_name":"a","ip_addresses":["999.1.1.1"]}', JSON),
    ("/credentials/issue", '{"service_name":"a","ip_addresses":["10.0.0.0/8"]}', JSON),
    ("/credentials/issue", '{"service_name":"a","ttl_hours":0}', JSON),
    ("/credentials/issue", '{"service_name":"a","ttl_hours":-' + "9" * 30 + "}", JSON),
    ("/credentials/revoke", '{"serial_number":"zz"}', JSON), ("/credentials/revoke", '{"serial_number":"00"}', JSON),
    ("/credentials/revoke", '{"serial_number":"01","reason":"because"}', JSON),
    ("/keys/rotate", '{"purpose":"everything"}', JSON), ("/keys/rotate", '{"purpose":"\\ud800"}', JSON),
    ("/keys/rotate-root", '{"new_root":"http://evil.com/"}', JSON), ("/keys/rotate-root", '{"new_root":"env:NO_SUCH"}', JSON),
    ("/keys/rotate-root", '{"new_root":"file:/etc/passwd"}', JSON), ("/keys/rotate-root", '{"new_root":""}', JSON),
    ("/keys/rotate-root", '{"new_root":"file:\\u0000"}', JSON), ("/keys/rotate-root", '{"new_root":"\\ud800"}', JSON),
    ("/keys/rewrap", '{"after":["x"]}', JSON), ("/keys/rewrap", '{"limit":0}', JSON),
    ("/keys/rewrap", '{"limit":' + "9" * 30 + "}", JSON), ("/keys/rewrap", '{"after":["\\ud800",1]}', JSON),
    ("/keys/rewrap", '{"after":["x",' + "9" * 30 + "]}", JSON),
    ("/oauth2/introspect", "token=%ff", "application/x-www-form-urlencoded"),
    ("/oauth2/introspect", "token=a&token=b", "application/x-www-form-urlencoded"),
    ("/oauth2/introspect", "nothing", "application/x-www-form-urlencoded"),
    ("/oauth2/revoke", "", "application/x-www-form-urlencoded"),
)  # fmt: skip


@pytest.mark.parametrize(
    ("target", "body", "media_type"), MALFORMED_BODIES, ids=[f"{t}-{i}" for i, (t, _, _) in enumerate(MALFORMED_BODIES)]
)
def test_no_odd_body_is_more_than_a_4xx(admin: Wire, ledger: Ledger, target: str, body: str, media_type: str) -> None:
    """Even the admin gets a problem for a body that is malformed, promptly, and the entry of it says that it failed."""
    began = time.monotonic()
    answer = admin.ask("POST", target, body.encode(), [("Content-Type", media_type)])
    assert time.monotonic() - began < 5
    ledger.expect(assert_refused(answer), user="user:admin")


def test_a_body_that_is_too_large_is_refused_before_it_is_read(trial: Service, ledger: Ledger) -> None:
    """A body over the limit, announced or in chunks, is a 413, and the connection is of no more use."""
    with Wire(trial.url, token=trial.admin_token) as wire:
        head = wire.request("POST", "/secrets/store", b"", [("Content-Type", JSON)])
        wire.send(head.replace(b"Content-Length: 0", b"Content-Length: 99999999"))
        ledger.expect(assert_refused(wire.answer(), 413), result="failure")
        assert wire.is_closed()
        wire.close()
        wire.send(head.replace(b"Content-Length: 0", b"Transfer-Encoding: chunked"))
        piece = b"%x\r\n" % (1 << 16) + b" " * (1 << 16) + b"\r\n"
        for _ in range(17):
            wire.send(piece)
        ledger.expect(assert_refused(wire.answer(), 413), result="failure")
        assert wire.is_closed()


def test_open_routes_take_no_input(stranger: Wire) -> None:
    """What is open to anyone refuses what it does not know."""
    assert_refused(stranger.ask("GET", "/health?x=1"), 400)
    assert_refused(stranger.ask("GET", "/ca/crl", b"x" * 100), 400, 415)


def test_every_refusal_is_in_the_log(trial: Service, ledger: Ledger) -> None:
    """Calls without credentials, unknown paths and wrong methods each leave an entry under the id that was answered."""
    with Wire(trial.url, source="127.0.0.13") as wire:
        for method, target in (("GET", "/secrets/x"), ("GET", "/nowhere"), ("PUT", "/health"), ("POST", "/services")):
            for _ in range(25):
                ledger.expect(assert_refused(wire.ask(method, target)), user="anonymous:", ip_address="127.0.0.13")
