"""The route table: no row without permission, audit event and documentation; and a live service that keeps to it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import replace
from enum import Enum
from typing import Annotated, Any, get_args, get_origin

import msgspec
import pytest

from tests.support.service import Service
from tests.support.trial import admin, assert_refused, done, trial
from tests.support.wire import Wire
from tradewarden.access.permission import expand
from tradewarden.audit.entry import EventType
from tradewarden.http.openapi import document
from tradewarden.http.route import Nothing, Proof, Route
from tradewarden.http.routes import ROUTES

__all__ = ["admin", "trial"]

PROMISED = """
GET /health · GET /health/live · GET /health/ready
POST /services · GET /services · DELETE /services
POST /tokens/generate · POST /tokens/validate · POST /tokens/refresh · POST /tokens/revoke · GET /tokens
POST /oauth2/introspect · POST /oauth2/revoke · GET /.well-known/jwks.json
POST /secrets/store · GET /secrets/{path...} · GET /secrets · DELETE /secrets/{path...}
POST /rotations/policies · GET /rotations · POST /rotations/run · POST /rotations/abandon · POST /rotations/compromised
POST /secrets/undelete · POST /secrets/destroy · POST /secrets/rollback
POST /credentials/issue · GET /credentials · POST /credentials/revoke
GET /ca/certificate · GET /ca/crl
GET /audit/events · GET /audit/checkpoint · GET /audit/proof/inclusion · GET /audit/proof/consistency
GET /metrics · GET /openapi.json · GET /docs
"""
"""Calls that users were promised; renewal, OCSP, users and fields have their place left and are not there yet."""
OVER_ITSELF = frozenset({"tokens:issue", "tokens:validate", "tokens:read", "tokens:revoke", "tokens:introspect"})
"""What every proven service may do to its own tokens, without a permission, and to nobody else's."""
ENDS_BOOTSTRAP = (("Origin", "http://example.com"),)
SIGNED = [route for route in ROUTES if route.proof is Proof.ACME]
"""What ACME clients sign has its own answers to strangers: tests/e2e/test_acme.py."""
CLOSED = [route for route in ROUTES if route.proof not in (Proof.OPEN, Proof.ACME)]
GUARDED = [route for route in CLOSED if route.permission not in OVER_ITSELF and route.proof is not Proof.REFRESH_TOKEN]


def call(route: Route) -> str:
    """Return how a row is called."""
    return f"{route.method} {route.path}"


def faults(route: Route) -> Iterator[str]:
    """Yield what is missing in one row."""
    if not re.fullmatch(r"[a-z0-9_]+:[a-z0-9_]+", route.permission):
        yield "permission"
    elif (expand(route.permission) == () or route.permission == "service:view") != (route.proof is Proof.OPEN):
        yield "permission: open to anyone, or not"
    if route.event not in set(EventType):
        yield "audit event"
    if not route.action:
        yield "audit action"
    if not route.summary.endswith(".") or not inspect.getdoc(route.handler):
        yield "documentation"
    if route.command is not Nothing and not (route.command.__doc__ or "").strip():
        yield "documentation of what it takes"
    if route.parameter and route.parameter not in route.command.__struct_fields__:
        yield "a field for its path parameter"


@pytest.mark.parametrize("route", ROUTES, ids=call)
def test_every_row_has_what_the_door_needs(route: Route) -> None:
    """A row without permission, audit event or documentation does not pass."""
    assert list(faults(route)) == []


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"permission": ""}, "permission"),
        ({"permission": "secrets"}, "permission"),
        ({"permission": "service:view"}, "permission: open to anyone, or not"),
        ({"proof": Proof.OPEN}, "permission: open to anyone, or not"),
        ({"event": ""}, "audit event"),
        ({"summary": ""}, "documentation"),
        ({"handler": lambda *_: None}, "documentation"),
        ({"path": "/secrets/{nothing}"}, "a field for its path parameter"),
    ],
)
def test_a_gap_in_a_row_is_seen(change: dict[str, Any], named: str) -> None:
    """The check above goes red for each thing that could be missing."""
    whole = next(route for route in ROUTES if route.path == "/secrets/store")
    assert named in list(faults(replace(whole, **change)))


def test_no_call_stands_twice() -> None:
    """Each method and path has one row, and each path parameter one meaning."""
    calls = [call(route) for route in ROUTES]
    assert len(calls) == len(set(calls))
    shapes = [re.sub(r"\{[^}]*\}", "{}", each) for each in calls]
    assert len(shapes) == len(set(shapes))


def test_every_promised_call_is_in_the_table() -> None:
    """What the interface promises has its row."""
    promised = {each.strip() for line in PROMISED.strip().splitlines() for each in line.split("·")}
    assert promised - {call(route) for route in ROUTES} == set()


def test_every_handler_says_what_it_does() -> None:
    """Every handler has a docstring, and the table takes its summary from there."""
    for route in ROUTES:
        assert route.summary == inspect.getdoc(route.handler).partition("\n")[0], call(route)  # type: ignore[union-attr]


def described(openapi: bytes) -> set[str]:
    """Return the calls of an OpenAPI document."""
    paths = msgspec.json.decode(openapi)["paths"]
    return {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}


def test_the_openapi_document_has_exactly_the_tables_calls(admin: Wire) -> None:
    """Nothing is described that is not there, nothing is there that is not described."""
    table = {call(route).replace("...}", "}") for route in ROUTES}
    assert described(document(ROUTES, "1")) == table
    assert described(admin.ask("GET", "/openapi.json").body) == table


# --- a live service keeps to it --------------------------------------------------------------------


def value_for(kind: object) -> object:
    """Return a value that a field of this type takes."""
    if get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    if kind is int:
        return 1
    if kind is msgspec.Raw:
        return {}
    if get_origin(kind) is tuple:
        return []
    if isinstance(kind, type) and issubclass(kind, Enum):
        return next(iter(kind)).value
    return "none"


def send(wire: Wire, route: Route, headers: tuple[tuple[str, str], ...] = ()) -> Any:  # noqa: ANN401
    """Make the smallest call of a row that is well-formed."""
    needed = {f.name: value_for(f.type) for f in msgspec.structs.fields(route.command) if f.required}
    argument = str(needed.pop(route.parameter, ""))
    path = route.prefix + argument
    if route.method == "POST":
        return wire.ask("POST", path, needed or None, headers)
    query = "&".join(f"{name}={value}" for name, value in needed.items())
    return wire.ask(route.method, f"{path}?{query}" if query else path, headers=headers)


@pytest.mark.parametrize("route", CLOSED, ids=call)
def test_nobody_gets_in_without_credentials(trial: Service, route: Route) -> None:
    """A call that is not open answers 401 to a stranger."""
    with Wire(trial.url, source="127.0.0.51") as wire:
        assert_refused(send(wire, route, ENDS_BOOTSTRAP), 401)


@pytest.mark.parametrize("route", SIGNED, ids=call)
def test_what_is_to_be_signed_takes_nothing_else(admin: Wire, route: Route) -> None:
    """A call that an ACME account signs is not made with a token, the admin's neither."""
    assert_refused(send(admin, route), 415)
    body = {"protected": "", "payload": "", "signature": ""}
    path = route.prefix + ("none" if route.parameter else "")
    assert_refused(admin.ask("POST", path, body, (("Content-Type", "application/jose+json"),)), 400)


@pytest.fixture(scope="module")
def powerless(trial: Service) -> Iterator[Wire]:
    """A connection with a good token that holds no permission."""
    with Wire(trial.url, token=trial.admin_token) as wire:
        done(wire.ask("POST", "/services", {"service_name": "powerless", "permissions": []}))
        wire.token = done(wire.ask("POST", "/tokens/generate", {"service_name": "powerless"}))["token"]
        yield wire


@pytest.mark.parametrize("route", GUARDED, ids=call)
def test_a_token_without_permissions_opens_nothing(powerless: Wire, route: Route) -> None:
    """Every call with a permission answers 403 to a proven caller who lacks it."""
    assert_refused(send(powerless, route), 403)


def test_a_token_without_permissions_reaches_its_own_tokens_only(powerless: Wire, admin: Wire) -> None:
    """What a service may do to its own tokens it may not do to those of others."""
    theirs = done(admin.ask("POST", "/tokens/generate", {"service_name": "somebody", "permissions": ["read"]}))["token"]
    assert done(powerless.ask("POST", "/tokens/validate"))["permissions"] == []
    names = {each["service_name"] for each in done(powerless.ask("GET", "/tokens"))["tokens"]}
    assert names == {"powerless"}
    assert done(powerless.ask("POST", "/oauth2/introspect", {"token": theirs})) == {"active": False}
    for refused in ({"token": theirs}, {"service_name": "somebody"}):
        assert_refused(powerless.ask("POST", "/tokens/revoke", refused), 403)
    assert_refused(powerless.ask("POST", "/tokens/generate", {"service_name": "somebody"}), 403)
    assert_refused(powerless.ask("POST", "/oauth2/revoke", {"token": theirs}), 403)
    with Wire(f"http://{admin.host}", token=theirs) as wire:
        assert done(wire.ask("POST", "/tokens/validate"))["valid"]


@pytest.mark.parametrize("route", [route for route in ROUTES if route.proof is Proof.OPEN], ids=call)
def test_an_open_call_answers_anyone(trial: Service, route: Route) -> None:
    """What is open asks nobody who they are; at most it misses what a made-up call names or brings."""
    with Wire(trial.url, source="127.0.0.52") as wire:
        status = send(wire, route, ENDS_BOOTSTRAP).status
    brings = (415,) if route.raw else ()
    assert status in (200, 204, *route.errors, *brings)
