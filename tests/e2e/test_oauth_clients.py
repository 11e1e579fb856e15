"""What clients of OAuth 2.0 see: errors and challenges (RFC 6749 5.2), revocation (RFC 7009), scopes (RFC 7662)."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.http import Answer
from tests.support.service import Service
from tests.support.trial import admin, assert_refused, done, entry_of, trial
from tests.support.wire import Wire

__all__ = ["admin", "trial"]

FORM = ("Content-Type", "application/x-www-form-urlencoded")
BASIC = 'Basic realm="tradewarden"'
ENDPOINTS = ("/oauth2/introspect", "/oauth2/revoke")
GENERATE = "/tokens/generate"
STRANGER = ("Origin", "http://example.com")
"""Ends the bootstrap rule."""


def basic(name: str, secret: str) -> tuple[str, str]:
    """Return the header of a client secret (RFC 7617)."""
    return "Authorization", "Basic " + base64.b64encode(f"{name}:{secret}".encode()).decode()


def register(admin: Wire, name: str, *permissions: str) -> tuple[str, str]:
    """Register a service and return its header."""
    answer = done(admin.ask("POST", "/services", {"service_name": name, "permissions": permissions}))
    return basic(name, answer["client_secret"])


@pytest.fixture(scope="module")
def clients(trial: Service) -> Iterator[dict[str, tuple[str, str]]]:
    """The headers of two registered services."""
    with Wire(trial.url, token=trial.admin_token) as wire:
        yield {
            "desk": register(wire, "oauth-desk", "secrets:read:desk/*"),
            "other": register(wire, "oauth-other", "secrets:read:other/*"),
        }


@pytest.fixture
def wire(trial: Service) -> Iterator[Wire]:
    """A connection without credentials of its own."""
    with Wire(trial.url) as wire:
        yield wire


def token_of(wire: Wire, client: tuple[str, str], name: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401
    """Return the answer to a service that asks for a token."""
    answer: dict[str, Any] = done(wire.ask("POST", GENERATE, {"service_name": name, **more}, [client]))
    return answer


def challenges(answer: Answer) -> str:
    """Return how a refused caller is asked to prove itself."""
    return answer.headers["www-authenticate"]


@pytest.mark.parametrize("path", [*ENDPOINTS, GENERATE])
@pytest.mark.parametrize("credential", ["oauth-desk:wrong", "nobody:wrong", "oauth-desk", ":"])
def test_who_tried_basic_is_asked_for_basic(clients: object, wire: Wire, path: str, credential: str) -> None:
    """The challenge is of the scheme that the client used (RFC 6749 section 5.2)."""
    header = "Authorization", "Basic " + base64.b64encode(credential.encode()).decode()
    body = {"service_name": "oauth-desk"} if path == GENERATE else {"token": "x"}
    answer = wire.ask("POST", path, body, [header])
    assert_refused(answer, 401)
    assert challenges(answer) == BASIC


@pytest.mark.parametrize("path", ENDPOINTS)
def test_who_proves_nothing_hears_of_both_ways(wire: Wire, path: str) -> None:
    """Without credentials, and with a scheme that we do not know, challenges and text name bearer token and secret."""
    for headers in ([FORM], [FORM, ("Authorization", "Digest x")]):
        answer = wire.ask("POST", path, b"token=x", headers)
        assert_refused(answer, 401)
        assert challenges(answer) == f"Bearer, {BASIC}"
        assert "Bearer" in answer.json()["detail"]
        assert "Basic" in answer.json()["detail"]
        assert answer.json()["error"] == "invalid_client"


def test_where_basic_does_not_count_it_is_not_asked_for(wire: Wire) -> None:
    """A call that takes bearer tokens alone asks for one, whatever the client tried, and has no `error` of OAuth."""
    answer = wire.ask("GET", "/secrets/none", headers=[basic("oauth-desk", "wrong")])
    assert_refused(answer, 401)
    assert challenges(answer) == "Bearer"
    assert "Basic" not in answer.json()["detail"]
    assert "error" not in answer.json()


@pytest.mark.parametrize("path", ENDPOINTS)
def test_errors_have_the_words_of_their_standards(clients: dict[str, tuple[str, str]], wire: Wire, path: str) -> None:
    """`error` of RFC 6749 section 5.2 and RFC 6750 section 3.1 stands beside the fields of the problem."""
    own = clients["desk"]
    wrong = basic("oauth-desk", "wrong")
    for status, error, body, headers in (
        (401, "invalid_client", b"token=x", [FORM, wrong]),
        (401, "invalid_token", b"token=x", [FORM, ("Authorization", "Bearer a.b.c")]),
        (401, "invalid_token", b"token=x", [FORM, ("Authorization", "Bearer twa_" + "x" * 43)]),
        (400, "invalid_request", b"token_type_hint=x", [FORM, own]),
        (400, "invalid_request", b"token=a&token=b", [FORM, own]),
        (400, "invalid_request", {"token": 1}, [own]),
        (415, "invalid_request", b"token=x", [("Content-Type", "text/plain"), own]),
    ):
        answer = wire.ask("POST", path, body, headers)
        assert_refused(answer, status)
        assert answer.json()["error"] == error
    assert challenges(wire.ask("POST", path, b"token=x", [FORM, ("Authorization", "Bearer a.b.c")])) == (
        'Bearer error="invalid_token"'
    )


def test_nobody_is_told_that_anothers_token_was_revoked(
    clients: dict[str, tuple[str, str]], wire: Wire, admin: Wire
) -> None:
    """A token that was issued to another client is refused (RFC 7009 section 2.1), stays good, and is recorded so."""
    theirs = token_of(wire, clients["other"], "oauth-other", refresh=True)
    for token in (theirs["token"], theirs["refresh_token"]):
        answer = wire.ask("POST", "/oauth2/revoke", f"token={token}".encode(), [FORM, clients["desk"]])
        request_id = assert_refused(answer, 403)
        assert (answer.json()["code"], answer.json()["error"]) == ("permission_denied", "unauthorized_client")
        entry = entry_of(admin, request_id)
        assert (entry["result"], entry["resource"]) == ("denied", "oauth-other")
        assert entry["reason"] == "service:oauth-desk lacks tokens:revoke on this resource"
    with Wire(f"http://{wire.host}", token=theirs["token"]) as holder:
        assert done(holder.ask("POST", "/tokens/validate"))["valid"]
        own = token_of(wire, clients["desk"], "oauth-desk")["token"]
        refused = holder.ask("POST", "/oauth2/revoke", f"token={own}".encode(), [FORM])
        assert_refused(refused, 403)
        assert refused.json()["error"] == "insufficient_scope"


def test_revoking_what_is_not_there_is_done(clients: dict[str, tuple[str, str]], wire: Wire) -> None:
    """An unknown token, and one that was revoked before, is answered as one that is revoked (RFC 7009 section 2.2)."""
    own = token_of(wire, clients["desk"], "oauth-desk")["token"]
    for token in ("nope", own, own):
        answer = wire.ask(
            "POST", "/oauth2/revoke", f"token={token}&token_type_hint=zz".encode(), [FORM, clients["desk"]]
        )
        assert (answer.status, answer.body) == (200, b"")
        assert "content-type" not in answer.headers


def test_the_admin_token_is_not_revoked_here(clients: dict[str, tuple[str, str]], wire: Wire, admin: Wire) -> None:
    """What this call does not end is refused by its kind (RFC 7009 section 2.2.1), not taken for ended."""
    for token in (admin.token, "twa_unknown"):
        answer = wire.ask("POST", "/oauth2/revoke", f"token={token}".encode(), [FORM, clients["desk"]])
        assert_refused(answer, 400)
        assert answer.json()["error"] == "unsupported_token_type"
    assert admin.ask("GET", "/services").status == 200


def test_a_scope_can_not_bring_in_another(clients: object, wire: Wire, admin: Wire) -> None:
    """A permission whose path has a space stays one scope of RFC 6749 section 3.3, and never reads as `admin`."""
    client = register(admin, "oauth-spaces", "secrets:read:team/*")
    asked = ["secrets:read:team/x admin", "secrets:read:team/y write view_metrics"]
    pair = token_of(wire, client, "oauth-spaces", permissions=asked, refresh=True)
    assert pair["permissions"] == asked
    for token in (pair["token"], pair["refresh_token"]):
        answer = done(wire.ask("POST", "/oauth2/introspect", f"token={token}".encode(), [FORM, client]))
        assert answer["scope"].split(" ") == [
            "secrets:read:team/x%20admin",
            "secrets:read:team/y%20write%20view_metrics",
        ]


def test_the_log_says_whose_token_was_looked_at(clients: dict[str, tuple[str, str]], wire: Wire, admin: Wire) -> None:
    """The entry of an introspection names the service, also of a token that is over or not the caller's to see."""
    pair = token_of(wire, clients["other"], "oauth-other", refresh=True)

    def resource(token: str, asker: str) -> object:
        answer = wire.ask("POST", "/oauth2/introspect", f"token={token}".encode(), [FORM, clients[asker]])
        done(answer)
        return entry_of(admin, answer.headers["x-request-id"])["resource"]

    for token in (pair["token"], pair["refresh_token"]):
        assert resource(token, "other") == "oauth-other"
        assert resource(token, "desk") == "oauth-other"
    done(wire.ask("POST", "/oauth2/revoke", f"token={pair['token']}".encode(), [FORM, clients["other"]]))
    for token in (pair["token"], pair["refresh_token"]):
        assert resource(token, "other") == "oauth-other"
    assert resource("nope", "other") == ""
