"""Malformed tokens, CSRs, JSON, paths, headers and queries: never a 500, never a hang, always an audit entry."""

from __future__ import annotations

import json
import string
from base64 import b64encode
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.http import Answer
from tests.support.service import Service
from tests.support.trial import SECURITY_HEADERS, done, wait_until_recorded
from tests.support.wire import ClosedError, Wire
from tradewarden.http.route import Proof, Route
from tradewarden.http.routes import ROUTES

HANG_SECONDS = 5.0
SOURCE = "127.0.0.41"
BEFORE_THE_DOOR = frozenset(
    {
        "malformed_request",
        "ambiguous_framing",
        "unknown_framing",
        "http_version",
        "target_too_long",
        "headers_too_large",
        "framing_too_large",
        "slow_headers",
        "slow_body",
        "pipeline",
    }
)
"""Codes of the listener's own refusals: those are counted, and have no entry of their own."""
OPEN = frozenset(route.path for route in ROUTES if route.proof is Proof.OPEN)
CHANGES_KEYS = frozenset({"/keys/rotate", "/keys/rotate-root"})
POSTS = [route for route in ROUTES if route.method == "POST" and route.path not in CHANGES_KEYS | OPEN]
GETS = [route for route in ROUTES if route.method in ("GET", "DELETE") and route.path not in OPEN]

fuzz = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)


class Door:
    """A keep-alive connection that looks at every answer, and remembers what must be in the log."""

    def __init__(self, service: Service) -> None:
        self.wire = Wire(service.url, token=service.admin_token, source=SOURCE, seconds=HANG_SECONDS)
        self.stranger = Wire(service.url, source=SOURCE, seconds=HANG_SECONDS)
        self.recorded: set[str] = set()

    def push(self, data: bytes, wire: Wire | None = None) -> Answer:
        """Send a request and check its answer; the connection is made anew when it was closed."""
        wire = wire or self.wire
        try:
            wire.send(data)
            answer = wire.answer(data.partition(b" ")[0].decode("latin-1"))
        except (ClosedError, BrokenPipeError, ConnectionResetError):
            wire.close()
            wire.send(data)
            answer = wire.answer(data.partition(b" ")[0].decode("latin-1"))
        self.look(answer)
        if answer.headers.get("connection") == "close":
            wire.close()
        return answer

    def look(self, answer: Answer) -> None:
        """Check one answer."""
        assert answer.status < 500 or answer.status == 505, answer.body
        missing = {name for name in SECURITY_HEADERS if name not in answer.headers}
        assert not missing, answer.headers
        request_id = answer.headers["x-request-id"]
        if answer.status >= 400 and answer.body:
            problem = answer.json()
            assert answer.headers["content-type"] == "application/problem+json"
            assert problem["request_id"] == request_id
            if problem["code"] in BEFORE_THE_DOOR:
                return
        self.recorded.add(request_id)

    def ask(self, method: str, target: str, body: Any = None, headers: tuple[tuple[str, str], ...] = ()) -> Answer:  # noqa: ANN401
        """Send a request that is well-formed on the wire."""
        return self.push(self.wire.request(method, target, body, headers))

    def still_answers(self) -> None:
        """Check that the connection, or a new one, is good for a plain request."""
        assert self.ask("GET", "/secrets?limit=1").status == 200


@pytest.fixture(scope="module")
def door(trial: Service) -> Iterator[Door]:
    """The door; after all examples, everything that it answered must be in the log."""
    found = Door(trial)
    yield found
    found.still_answers()
    assert len(found.recorded) > 300
    wait_until_recorded(found.wire, found.recorded)
    found.wire.close()
    found.stranger.close()


@pytest.fixture(scope="module")
def token(trial: Service, door: Door) -> str:
    """A good token, to be spoiled."""
    body = {"service_name": "fuzzed", "permissions": ["read"]}
    return str(done(door.ask("POST", "/tokens/generate", body))["token"])


HEADER_TEXT = st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=300)
SPOILING = st.lists(st.tuples(st.integers(0, 2000), st.sampled_from("+-.=_ A0z/\xff"), st.integers(0, 2)), max_size=4)


def spoiled(text: str, changes: list[tuple[int, str, int]]) -> str:
    """Return a text with letters changed, put in or taken out."""
    for place, letter, kind in changes:
        at = place % (len(text) + 1)
        text = text[:at] + (letter if kind else "") + text[at + (kind != 1) :]
    return text


@fuzz
@given(st.data())
def test_no_token_breaks_the_door(door: Door, token: str, data: st.DataObject) -> None:
    """Whatever stands in Authorization, the answer is a plain no, or yes for the good token itself."""
    scheme = data.draw(st.sampled_from(["Bearer ", "bearer ", "Basic ", ""]))
    value = data.draw(HEADER_TEXT | SPOILING.map(lambda changes: spoiled(token, changes)))
    line = b"Authorization: " + (scheme + value).encode("latin-1") + b"\r\n"
    request = door.stranger.request("POST", "/tokens/validate").replace(b"\r\n\r\n", b"\r\n" + line + b"\r\n")
    answer = door.push(request, door.stranger)
    assert answer.status in ((200, 401) if value.strip() == token else (400, 401)), answer.body


def a_csr() -> str:
    """Return a good request for a certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "fuzzed")])
    return (
        x509.CertificateSigningRequestBuilder()
        .subject_name(subject)
        .sign(key, SHA256())
        .public_bytes(Encoding.PEM)
        .decode()
    )


CSR = a_csr()
BASE64 = st.binary(max_size=600).map(lambda raw: b64encode(raw).decode())
PEM = BASE64.map(lambda body: f"-----BEGIN CERTIFICATE REQUEST-----\n{body}\n-----END CERTIFICATE REQUEST-----\n")


@fuzz
@given(csr=PEM | st.text(max_size=200) | SPOILING.map(lambda changes: spoiled(CSR, changes)))
def test_no_csr_breaks_the_door(door: Door, csr: str) -> None:
    """Whatever stands in a CSR, it is refused by name, or was good and gets its certificate."""
    answer = door.ask("POST", "/credentials/issue", as_json({"service_name": "fuzzed", "csr": csr, "ttl_hours": 1}))
    assert answer.status in (200, 400, 413), answer.body
    assert answer.status != 200 or "private_key" not in answer.json()


TEXT = st.text(max_size=40) | st.sampled_from(
    ["", "fuzz/a", "../x", "\0", "*", "read", "admin", "\ud800", "é", "9" * 40]
)
NUMBERS = st.integers(-(2**70), 2**70) | st.floats(allow_nan=True)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)


def as_json(value: object) -> bytes:
    """Write JSON, NaN and lone surrogates included."""
    return json.dumps(value).encode()


def bodies(route: Route) -> st.SearchStrategy[bytes]:
    """Return bodies for a call: its fields with any values, any JSON, any bytes."""
    names = [field.encode_name for field in msgspec.structs.fields(route.command)]
    fields = st.dictionaries(st.sampled_from(names), JSON, max_size=len(names)) if names else st.just({})
    return fields.map(as_json) | JSON.map(as_json) | st.binary(max_size=200)


@fuzz
@given(st.data())
def test_no_body_breaks_the_door(door: Door, data: st.DataObject) -> None:
    """Every call that takes a body says what is wrong with it, or does what it says."""
    route = data.draw(st.sampled_from(POSTS))
    kinds = ["application/json", "application/x-www-form-urlencoded", "text/plain", ""]
    kind = data.draw(st.sampled_from(["application/json", *kinds]))
    door.ask("POST", route.path, data.draw(bodies(route)), (("Content-Type", kind),))


RAW = st.binary(max_size=60).map(lambda raw: raw.translate(None, b"\r\n "))
ESCAPES = st.lists(
    st.sampled_from(["%00", "%2f", "%2e", "%ff", "%", "%zz", "..", "/", "//", "\\", "a", "*", "?", ";", "%C3%A9"]),
    max_size=12,
).map("".join)


@fuzz
@given(
    prefix=st.sampled_from(["/", "/secrets/", "/services/", "/credentials/", "/docs/", ""]),
    rest=RAW | ESCAPES.map(str.encode),
)
def test_no_path_breaks_the_door(door: Door, prefix: str, rest: bytes) -> None:
    """Whatever stands in a path, it leads somewhere or nowhere."""
    target = (prefix.encode() + rest) or b"/"
    door.push(door.wire.request("GET", "/TARGET").replace(b"/TARGET", target, 1))


TOKEN_LETTERS = string.ascii_letters + string.digits + "!#$%&'*+-.^_`|~"
NAMES = (
    st.sampled_from(
        [
            "Host",
            "Content-Length",
            "Transfer-Encoding",
            "Content-Type",
            "Authorization",
            "Expect",
            "Connection",
            "Upgrade",
            "TE",
            "X-Forwarded-For",
            "Forwarded",
            "Origin",
            "Sec-Fetch-Site",
            "User-Agent",
            "X-Request-ID",
            "Trailer",
            "Cookie",
        ]
    )
    | st.text(TOKEN_LETTERS, min_size=1, max_size=20)
    | st.text(max_size=5)
)
VALUES = st.text(st.characters(max_codepoint=255), max_size=60) | st.sampled_from(
    ["chunked", "0", "-1", "close", "h2c", "100-continue"]
)


@fuzz
@given(headers=st.lists(st.tuples(NAMES, VALUES), min_size=1, max_size=5))
def test_no_header_breaks_the_door(door: Door, headers: list[tuple[str, str]]) -> None:
    """Whatever headers come with a request, it is answered once, or refused and closed."""
    lines = b"".join(f"{name}: {value}\r\n".encode("utf-8", "surrogatepass") for name, value in headers)
    data = door.wire.request("GET", "/secrets/fuzz/none").replace(b"\r\n\r\n", b"\r\n" + lines + b"\r\n")
    once(door, data)


@fuzz
@given(data=st.binary(min_size=1, max_size=300))
def test_no_bytes_break_the_door(door: Door, data: bytes) -> None:
    """Whatever comes over the wire in place of HTTP, the answer is a refusal, or none when nothing was asked."""
    once(door, data)


def once(door: Door, data: bytes) -> None:
    """Send bytes on a connection of their own and end it; look at every answer that comes."""
    wire = door.stranger
    wire.close()
    wire.send(data)
    wire.finish()
    try:
        while True:
            answer = wire.answer()
            if answer.status != 100:
                door.look(answer)
    except ConnectionError:
        pass
    finally:
        wire.close()


@fuzz
@given(st.data())
def test_no_query_breaks_the_door(door: Door, data: st.DataObject) -> None:
    """Every call that takes a query says what is wrong with it, or answers."""
    route = data.draw(st.sampled_from(GETS))
    path = route.prefix + ("fuzz" if route.parameter else "")
    names = [field.encode_name for field in msgspec.structs.fields(route.command)]
    pairs = st.tuples(
        st.sampled_from([*names, "x"]),
        st.sampled_from(["0", "-1", "1", "9" * 30, "%00", "%ff", "a*", "true", "NaN"]) | ESCAPES,
    )
    query = data.draw(st.lists(pairs, max_size=4).map(lambda given: "&".join(f"{n}={v}" for n, v in given)) | ESCAPES)
    door.push(door.wire.request(route.method, f"{path}?{query}"))
