"""Attacks on the running service, over real sockets: who gets in, with what, and what is never let in at all."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
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
    all_events,
    assert_refused,
    done,
)
from tests.support.wire import Wire

GENERATE = "/tokens/generate"
_numbers = count()


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


def bootstrap(
    wire: Wire, *headers: tuple[str, str], host: str | None = None, version: str = "1.1", **command: object
) -> Answer:
    """Ask for a token without credentials; the Host may be another."""
    body = msgspec.json.encode({"service_name": fresh("stray"), "permissions": ["read"], **command})
    given = {name.lower() for name, _ in headers}
    lines = [f"POST {GENERATE} HTTP/{version}", f"Host: {host or wire.host}", f"Content-Length: {len(body)}"]
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


def test_an_older_http_gets_nothing_without_credentials(stranger: Wire, ledger: Ledger) -> None:
    """HTTP/1.0 is what nginx speaks to the place behind it unless it is told otherwise."""
    ledger.expect(assert_refused(bootstrap(stranger, version="1.0"), 401), result="denied")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
def test_the_loopback_names_of_the_listener_are_its_host(stranger: Wire, host: str) -> None:
    """`localhost`, `127.0.0.1` and `[::1]` with the right port are this service."""
    done(bootstrap(stranger, host=f"{host}:{stranger.host.rpartition(':')[2]}"))


@pytest.mark.parametrize(
    "host",
    ["evil.com", "evil.com:{port}", "localhost", "localhost:1", "127.0.0.1:80", "localhost.evil.com:{port}",
     "127.0.0.2:{port}", "2130706433:{port}", "0.0.0.0:{port}", "localhost.:{port}"],
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
        ("X-Real-IP", "127.0.0.1"), ("X_Forwarded_For", "127.0.0.1"), ("CF-Connecting-IP", "203.0.113.7"),
        ("True-Client-IP", "203.0.113.7"), ("X-Original-Forwarded-For", "203.0.113.7"), ("X-Request-Start", "t=1"),
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


def test_nobody_gets_a_token_of_our_own_name(stranger: Wire, admin: Wire, ledger: Ledger) -> None:
    """`service:tradewarden` is nobody who calls: refused without proof, and said so to an administrator."""
    request_id = assert_refused(bootstrap(stranger, service_name="tradewarden"), 401)
    ledger.expect(request_id, result="denied", reason="bootstrap: the name is this service's own")
    answer = admin.ask("POST", GENERATE, {"service_name": "tradewarden", "permissions": ["read"]})
    assert_refused(answer, 400)
    assert "this service's own" in answer.json()["detail"]


def test_the_bootstrap_rule_gives_no_more_than_it_says(stranger: Wire) -> None:
    """No refresh token, no longer than a day, no right but read and write."""
    assert_refused(bootstrap(stranger, refresh=True), 403)
    assert done(bootstrap(stranger, permissions=["admin"]))["permissions"] == ["read", "write"]
    for permissions in (["audit:read"], ["services:manage"], ["tokens:issue"]):
        assert_refused(bootstrap(stranger, permissions=permissions), 403)
    assert set(done(bootstrap(stranger, permissions=["admin", "read"]))["permissions"]) <= {"read", "write"}
    assert done(bootstrap(stranger, ttl_seconds=10**9))["expires_in"] <= 86_400
    assert done(bootstrap(stranger, permissions=[]))["permissions"] == []


def test_a_token_of_the_bootstrap_rule_gets_no_refresh_token_later(stranger: Wire, ledger: Ledger) -> None:
    """Whatever is asked for with such a token, or with one that was, by whatever way: tokens to its end, no refresh."""
    name = fresh("stray")
    command = {"service_name": name, "permissions": ["read", "write"]}
    token = done(bootstrap(stranger, service_name=name))["token"]
    for more in ([], [("Origin", "http://evil.com")], [("X-Forwarded-For", "1.2.3.4")]):
        headers = [*more, ("Authorization", f"Bearer {token}")]
        answer = stranger.ask("POST", GENERATE, {**command, "refresh": True}, headers)
        request_id = assert_refused(answer, 403)
        assert answer.json()["code"] == "refresh_refused"
        ledger.expect(request_id, result="denied", reason="bootstrap: no refresh token", action="issue")
        token = done(stranger.ask("POST", GENERATE, command, headers))["token"]


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
    log = json.dumps(list(all_events(admin)))
    assert not any(forged in log for forged in (token, *forgeries(token).values()) if len(forged) > 20)
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


STRONGER: tuple[tuple[str, str, dict[str, object]], ...] = (
    ("services:manage", "/services/rotate-secret", {}),
    ("services:manage", "/services/permissions", {"permissions": []}),
    ("services:manage", "/services/names", {}),
    ("credentials:issue", "/credentials/issue", {}),
    ("credentials:issue", "/credentials/join-tokens", {}),
    ("acme:manage", "/acme/eab", {}),
)
"""A right, and what it could do to a service."""


@pytest.mark.parametrize(("right", "path", "more"), STRONGER, ids=[path for _, path, _ in STRONGER])
def test_a_right_over_services_leads_to_nobody_stronger(
    trial: Service, admin: Wire, right: str, path: str, more: dict[str, object]
) -> None:
    """Who holds nothing else gets no credential of a service that holds more, nor changes it; of a weaker one it may.

    The right may be over every service or over this very one, given or narrowed by the caller itself.
    """
    strong, _ = register(admin, "admin")
    weak, _ = register(admin, "secrets:read:weak/*")
    caller, secret = register(admin, right, "secrets:read:weak/*")
    with Wire(trial.url) as wire:
        proof = [basic(caller, secret)]
        for own in (right, f"{right}:{strong}"):
            wire.token = ""
            wire.token = done(wire.ask("POST", GENERATE, {"service_name": caller, "permissions": [own]}, proof))[
                "token"
            ]
            assert_refused(wire.ask("POST", path, {"service_name": strong, **more}), 403)
    with Wire(trial.url, token=token_for(admin, f"{right}:{strong}")) as wire:
        assert_refused(wire.ask("POST", path, {"service_name": strong, **more}), 403)
    with Wire(trial.url, token=token_for(admin, right, "secrets:read:weak/*")) as wire:
        done(wire.ask("POST", path, {"service_name": weak, **more}))


def test_a_narrowed_token_of_ones_own_does_not_widen_itself(trial: Service, admin: Wire) -> None:
    """A certificate speaks for all that a service is registered for, so only who holds all of it is given one."""
    name, secret = register(admin, "secrets:read", "credentials:issue", "services:manage")
    with Wire(trial.url) as wire:
        proof = [basic(name, secret)]
        narrow = {"service_name": name, "permissions": [f"credentials:issue:{name}"]}
        wire.token = done(wire.ask("POST", GENERATE, narrow, proof))["token"]
        assert_refused(wire.ask("POST", "/credentials/issue", {"service_name": name}), 403)
        wire.token = ""
        wire.token = done(wire.ask("POST", GENERATE, {"service_name": name}, proof))["token"]
        done(wire.ask("POST", "/credentials/issue", {"service_name": name}))


def test_a_stronger_service_is_not_deleted_nor_its_names_taken(trial: Service, admin: Wire) -> None:
    """Managing services ends where one holds more; a name in another's domain needs a right over that one, too."""
    strong = fresh("strong")
    domain = f"{strong}.internal"
    body = {
        "service_name": strong,
        "permissions": ["admin"],
        "dns_names": [f".{domain}"],
        "ip_addresses": ["10.77.0.7"],
    }
    done(admin.ask("POST", "/services", body))
    mine = fresh("mine")
    with Wire(trial.url, token=token_for(admin, "services:manage", f"credentials:issue:{mine}")) as wire:
        assert_refused(wire.ask("DELETE", f"/services/{strong}"), 403)
        for taken in ({"dns_names": [f"db.{domain}"]}, {"dns_names": [f".{domain}"]}, {"ip_addresses": ["10.77.0.7"]}):
            assert_refused(wire.ask("POST", "/services", {"service_name": mine, "permissions": [], **taken}), 403)
        done(wire.ask("POST", "/services", {"service_name": mine, "permissions": []}))


def test_what_ended_while_a_body_was_held_back_does_not_count(trial: Service, admin: Wire) -> None:
    """Who proved itself and sent its body later is asked again: secret, token and service may be gone by then."""
    name, secret = register(admin, "secrets:write", "credentials:issue")
    token = done(admin.ask("POST", GENERATE, {"service_name": name}))["token"]
    bearer = [("Authorization", f"Bearer {token}")]
    calls = (
        (GENERATE, {"service_name": name}, [basic(name, secret)]),
        ("/secrets/store", {"path": f"held/{name}", "data": {"a": 1}}, bearer),
        ("/credentials/issue", {"service_name": name}, bearer),
    )
    held = []
    for path, body, headers in calls:
        wire = Wire(trial.url)
        request = wire.request("POST", path, body, headers)
        head, _, rest = request.partition(b"\r\n\r\n")
        wire.send(head + b"\r\n\r\n" + rest[:1])
        held.append((wire, rest[1:]))
    done(admin.ask("GET", "/services"))
    time.sleep(0.2)  # the heads have arrived; nothing tells of it
    done(admin.ask("POST", "/services/rotate-secret", {"service_name": name}))
    done(admin.ask("POST", "/tokens/revoke", {"service_name": name}))
    for wire, rest in held:
        wire.send(rest)
        assert_refused(wire.answer(), 401)
        wire.close()
    assert_refused(admin.ask("GET", f"/secrets/held/{name}"), 404)


def test_who_may_issue_for_others_rules_none_of_their_tokens(trial: Service, admin: Wire) -> None:
    """With a token that it asked for in a stronger service's name, a service sees and ends no token of that one."""
    strong, _ = register(admin, "secrets:read", "tokens:issue")
    theirs = done(admin.ask("POST", GENERATE, {"service_name": strong, "permissions": ["secrets:read"]}))["token"]
    with Wire(trial.url, token=token_for(admin, "tokens:issue", "secrets:read:weak/*")) as weak:
        assert_refused(weak.ask("POST", GENERATE, {"service_name": strong, "permissions": []}), 403)
        lent = done(weak.ask("POST", GENERATE, {"service_name": strong}))
        assert lent["permissions"] == ["secrets:read:weak/*", "tokens:issue"]
    with Wire(trial.url, token=lent["token"]) as wire:
        assert done(wire.ask("POST", "/tokens/validate"))["service_name"] == strong
        assert_refused(wire.ask("GET", "/tokens"), 403)
        assert_refused(wire.ask("GET", f"/tokens?service_name={strong}"), 403)
        for named in ({"service_name": strong}, {"token": theirs}, {"token": lent["token"]}):
            assert_refused(wire.ask("POST", "/tokens/revoke", named), 403)
        form = [("Content-Type", "application/x-www-form-urlencoded")]
        assert_refused(wire.ask("POST", "/oauth2/introspect", f"token={theirs}".encode(), form), 403)
        assert_refused(wire.ask("POST", GENERATE, {"service_name": strong, "permissions": []}), 403)
    with Wire(trial.url, token=theirs) as wire:
        done(wire.ask("POST", "/tokens/validate"))
        done(wire.ask("POST", "/tokens/revoke", {"service_name": strong}))


def test_introspection_tells_nothing_of_others(trial: Service, admin: Wire) -> None:
    """A service that asks about somebody else's token sees it inactive, like one that never was (RFC 7662 2.2)."""
    theirs = token_for(admin, "secrets:read")
    name, secret = register(admin, "secrets:read")
    form = [("Content-Type", "application/x-www-form-urlencoded"), basic(name, secret)]
    with Wire(trial.url) as wire:
        for token in (theirs, "x.y.z", "", "twa_x"):
            assert done(wire.ask("POST", "/oauth2/introspect", f"token={token}".encode(), form)) == {"active": False}
