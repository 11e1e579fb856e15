"""Logs: one line an event, ECS names, no secrets, no locals, no forged lines, no floods."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator

import msgspec
import pytest
import structlog

from tradewarden.errors import TokenError
from tradewarden.http.logs import MASK, Repeats, configure

OURS = "tws_" + "s3cr3t" * 7
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl"


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """Configure JSON logs into memory, and put everything back afterwards."""
    root = logging.getLogger()
    before = root.handlers[:], root.level
    stream = io.StringIO()
    configure("INFO", "json", stream)
    yield stream
    root.handlers[:], root.level = before
    structlog.reset_defaults()


def read(stream: io.StringIO) -> list[dict[str, object]]:
    """Return the lines as objects."""
    return [msgspec.json.decode(line) for line in stream.getvalue().splitlines()]


def test_a_line_has_ecs_names(lines: io.StringIO) -> None:
    """Time, level, logger, message, request and action stand under the names of the Elastic Common Schema."""
    structlog.get_logger("tradewarden.http").info("hello", request_id="r", action="read")
    (line,) = read(lines)
    assert str(line.pop("@timestamp")).endswith("Z")
    assert line == {
        "message": "hello",
        "log.level": "info",
        "log.logger": "tradewarden.http",
        "http.request.id": "r",
        "event.action": "read",
        "service.name": "tradewarden",
    }


def test_lines_of_libraries_look_the_same(lines: io.StringIO) -> None:
    """The standard library's loggers, uvicorn's too, end in the same format; the access log stays off."""
    logging.getLogger("uvicorn.error").warning("x %s", "y")
    logging.getLogger("uvicorn.access").info("GET /")
    (line,) = read(lines)
    assert (line["message"], line["log.level"], line["log.logger"]) == ("x y", "warning", "uvicorn.error")


def test_below_the_level_nothing_is_written(lines: io.StringIO) -> None:
    """The level counts for both kinds of loggers."""
    structlog.get_logger("a").debug("x")
    logging.getLogger("b").debug("x")
    assert read(lines) == []


@pytest.mark.parametrize(
    "name", ["token", "refresh_token", "password", "client_secret", "Authorization", "private_key", "api_key", "cookie"]
)
def test_fields_named_after_secrets_are_masked(lines: io.StringIO, name: str) -> None:
    """A field whose name tells of a secret is masked, on the top and within."""
    structlog.get_logger("a").info("x", **{name: "s3cr3t"}, inner={name: "s3cr3t"})
    assert "s3cr3t" not in lines.getvalue()
    assert read(lines)[0][name] == MASK


@pytest.mark.parametrize(
    "text",
    [
        JWT,
        f"Authorization: Bearer {JWT}",
        "Bearer s3cr3tvalue",
        f"a client secret, {OURS}",
        "Basic dXNlcjpzM2NyM3Q=",
        "-----BEGIN EC PRIVATE KEY-----\nMHcCAQ\n-----END EC PRIVATE KEY-----",
    ],
)
def test_what_looks_like_a_secret_is_masked_in_any_text(lines: io.StringIO, text: str) -> None:
    """Tokens, credentials and private keys are masked wherever they stand."""
    structlog.get_logger("a").info(f"got {text}", other=[text])
    logging.getLogger("b").warning("got %s", text)
    written = lines.getvalue()
    assert written.count(MASK) >= 3
    for secret in (JWT, OURS, "s3cr3tvalue", "dXNlcjpzM2NyM3Q=", "MHcCAQ"):
        assert secret not in written


def test_numbers_under_such_names_stay(lines: io.StringIO) -> None:
    """A count of tokens is no token."""
    structlog.get_logger("a").info("x", token=3)
    assert read(lines)[0]["token"] == 3


def test_an_exception_shows_type_reason_and_frames_only(lines: io.StringIO) -> None:
    """Of our errors the reason, of foreign ones the type; the trace without locals; causes in order."""
    secret = "s3cr3t"  # its value, not its line of code, must not show

    def inner(hidden: str) -> None:
        raise ValueError(f"data {hidden}")

    try:
        try:
            inner(secret)
        except ValueError as error:
            raise TokenError("signature does not verify") from error
    except TokenError:
        structlog.get_logger("a").exception("failed")
    (line,) = read(lines)
    assert line["error.type"] == "tradewarden.errors.TokenError"
    assert line["error.message"] == "signature does not verify"
    trace = str(line["error.stack_trace"])
    assert trace.index("in inner") < trace.index("ValueError") < trace.index("TokenError: signature")
    assert secret not in lines.getvalue()


def test_library_exceptions_are_treated_alike(lines: io.StringIO) -> None:
    """`exc_info` of a standard logger, as uvicorn gives it, shows no text either."""
    secret = "s3cr3t"
    try:
        int(secret)
    except ValueError:
        logging.getLogger("uvicorn.error").exception("Exception in ASGI application\n")
    (line,) = read(lines)
    assert line["error.type"] == "ValueError"
    assert secret not in lines.getvalue()


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_caller_cannot_forge_a_line(form: str) -> None:
    """Line breaks and terminal codes in logged text are escaped in both formats."""
    stream = io.StringIO()
    root = logging.getLogger()
    before = root.handlers[:], root.level
    try:
        configure("INFO", form, stream)  # type: ignore[arg-type]
        structlog.get_logger("a").info("x\nforged", agent="\x1b[2J\r\u2028y")
    finally:
        root.handlers[:], root.level = before
        structlog.reset_defaults()
    assert stream.getvalue().count("\n") == 1
    assert "\x1b[2J" not in stream.getvalue()


class Screen(io.StringIO):
    """A stream that says whether it is a terminal."""

    def __init__(self, *, terminal: bool) -> None:
        super().__init__()
        self.terminal = terminal

    def isatty(self) -> bool:
        """Tell what it was made for."""
        return self.terminal


@pytest.mark.parametrize(
    ("terminal", "no_color", "coloured"), [(True, "", True), (True, "1", False), (False, "", False)]
)
def test_colours_are_for_terminals(
    monkeypatch: pytest.MonkeyPatch, *, terminal: bool, no_color: str, coloured: bool
) -> None:
    """Text in a file or a pipe has no terminal codes, nor has any under NO_COLOR."""
    monkeypatch.setenv("NO_COLOR", no_color)
    stream = Screen(terminal=terminal)
    root = logging.getLogger()
    before = root.handlers[:], root.level
    try:
        configure("INFO", "console", stream)
        structlog.get_logger("a").info("hello", place="here")
    finally:
        root.handlers[:], root.level = before
        structlog.reset_defaults()
    assert "hello" in stream.getvalue()
    assert ("\x1b[" in stream.getvalue()) is coloured


def test_text_is_no_format(lines: io.StringIO) -> None:
    """Percent signs and braces of a caller are only text."""
    structlog.get_logger("a").info("100 %s {0} %(x)s", path="%d")
    assert read(lines)[0]["message"] == "100 %s {0} %(x)s"


def test_long_and_odd_values_are_cut(lines: io.StringIO) -> None:
    """A value is bounded in length and depth; bytes show their length only."""
    deep: object = "x"
    for _ in range(20):
        deep = [deep]
    structlog.get_logger("a").info("x", long="y" * 9999, data=b"s3cr3t", deep=deep)
    (line,) = read(lines)
    assert len(str(line["long"])) == 2048
    assert line["data"] == "[6 bytes]"


def test_a_flood_of_one_error_fills_no_log(lines: io.StringIO) -> None:
    """The limit on repeated lines is in place for both kinds of loggers, whatever their arguments and level."""
    for number in range(50):
        structlog.get_logger("a").error("disk full", attempt=number)
        logging.getLogger("b").error("disk full: %d", number)
        logging.getLogger("b").info("refused a request: malformed (request_id %d)", number)
    assert len(read(lines)) == 15


def test_the_same_error_again_and_again_is_counted() -> None:
    """Five identical errors pass in ten seconds, then none; the first after that tells how many were left out."""
    now = [0.0]
    repeats = Repeats(lambda: now[0])

    def passes(text: str, level: int = logging.ERROR) -> logging.LogRecord | None:
        record = logging.LogRecord("a", level, "f", 1, text, (), None)
        return record if repeats.filter(record) else None

    assert [passes("disk full") is not None for _ in range(8)] == [True] * 5 + [False] * 3
    assert passes("another") is not None
    assert [passes("fine", logging.INFO) is not None for _ in range(8)] == [True] * 5 + [False] * 3
    assert all(passes("fine", logging.DEBUG) for _ in range(50))
    now[0] = 10.0
    record = passes("disk full")
    assert record is not None
    assert record.getMessage() == "disk full (and 3 more like this)"
