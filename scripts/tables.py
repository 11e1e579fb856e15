"""The parts of the documentation that are made from the code, so that they cannot disagree with it.

`python scripts/tables.py --update` writes them anew; without it, the names of outdated pages are printed (exit code 1).
A part stands between `<!-- made by scripts/tables.py: NAME -->` and `<!-- end of what is made -->`.
"""

from __future__ import annotations

import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

import msgspec

from tradewarden import errors
from tradewarden.audit.entry import EventType
from tradewarden.cli.exit_codes import MEANINGS
from tradewarden.http.child import EXIT_CONFIGURATION, EXIT_CRASHING
from tradewarden.http.head import ServerLimits
from tradewarden.http.metrics import Gauge
from tradewarden.http.pipeline import Door
from tradewarden.http.problem import status_of
from tradewarden.http.route import Proof, Route
from tradewarden.http.routes import ROUTES
from tradewarden.http.supervisor import EXIT_FORCED, EXIT_STOPPED
from tradewarden.tokens.policy import TokenPolicy

T = TypeVar("T")
ROOT = Path(__file__).resolve().parent.parent
_PART = re.compile(r"(<!-- made by scripts/tables\.py: ([a-z-]+) -->\n).*?(\n<!-- end of what is made -->)", re.DOTALL)
_PROOFS = {
    Proof.OPEN: "anyone",
    Proof.BEARER: "bearer token",
    Proof.CLIENT: "bearer token or client secret",
    Proof.TOKEN_REQUEST: "bearer token, client secret, or the bootstrap rule",
    Proof.REFRESH_TOKEN: "the refresh token itself",
    Proof.JOIN: "the join token itself",
    Proof.RENEWAL: "bearer token, or a certificate with a proof of its key",
    Proof.ACME: "ACME signature",
    Proof.OPERATOR: "bearer token, or loopback in development",
}


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in lines)


def access() -> str:
    """Who may call what: one line a route."""
    return _table(
        ("call", "who is proven how", "permission", "scoped by", "audit event", "rate"),
        [
            (
                f"`{route.method} {route.path}`",
                _PROOFS[route.proof] + "; in development alone" * route.development_only,
                "none" if route.proof is Proof.OPEN else f"`{route.permission}`",
                _scope(route),
                "counted" if route.proof is Proof.OPEN else f"`{route.event}` / `{route.action}`",
                route.rate.value,
            )
            for route in ROUTES
        ],
    )


def _scope(route: Route) -> str:
    if route.resource is None:
        return "each item" if route.method == "GET" and "listing" in route.handler.__name__ else "—"
    fields = {field: field for field in route.command.__struct_fields__}
    return f"`{route.resource(_Named(fields))}`"  # type: ignore[arg-type]


class _Named:
    """Answers each field with its own name, to see which one a route is scoped by."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        self.__dict__.update(fields)


def error_codes() -> str:
    """Every code of a problem answer: status, meaning."""
    rows = []
    for kind in _tree(errors.TradewardenError):
        status, title = status_of(kind.__new__(kind))
        if kind is errors.ConfigurationError:
            continue  # stops a start; it never answers a call
        rows.append((f"`{kind.code}`", str(status), title, _first_line(kind)))
    return _table(("code", "status", "title", "meaning"), sorted(rows, key=lambda row: (row[1], row[0])))


def _tree(kind: type[T]) -> Iterator[type[T]]:
    for below in kind.__subclasses__():
        if below.__module__ == errors.__name__:
            yield below
        yield from _tree(below)


def _first_line(thing: object) -> str:
    return (inspect.getdoc(thing) or "").partition("\n\n")[0].replace("\n", " ")


def pipeline() -> str:
    """Return the whole way of a request, as it stands in the code."""
    return f"```python\n{textwrap.dedent(inspect.getsource(Door._pass)).rstrip()}\n```"  # noqa: SLF001


def exit_codes() -> str:
    """What the command line ends with."""
    return _table(("code", "meaning"), [(str(code.value), text) for code, text in MEANINGS.items()])


def serve_exit_codes() -> str:
    """What `tradewarden serve` ends with, once it has begun to serve."""
    texts = {
        EXIT_STOPPED: "stopped as asked; every accepted request was answered",
        EXIT_FORCED: "stopped as asked; something had to be killed (a second signal, or a child too slow to end)",
        EXIT_CRASHING: "a worker or the clerk died too often; the log says why",
        EXIT_CONFIGURATION: "a process could not use the configuration before the service was ready; the log says why",
    }
    return _table(("code", "meaning"), [(str(code), text) for code, text in texts.items()])


def gauges() -> str:
    """Every gauge of `/metrics`."""
    return _table(("gauge", "meaning"), [(f"`tradewarden_{gauge.label}`", gauge.text) for gauge in Gauge])


def connection_limits() -> str:
    """Return the limits of one listener that no setting changes."""
    limits = {name: value for name, value in msgspec.structs.asdict(ServerLimits()).items() if name not in _SETTINGS}
    return _table(("limit", "value"), [(_LIMITS[name], f"{value:g}") for name, value in limits.items()])


_SETTINGS = ("body_seconds", "shutdown_seconds")
_LIMITS = {
    "connections": "open connections a worker",
    "headers": "header fields of a request",
    "header_bytes": "header bytes of a request",
    "target_bytes": "bytes of the request target (path and query)",
    "framing_bytes": "bytes of chunk extensions and trailers of a request",
    "pipelined": "requests sent ahead on one connection",
    "header_seconds": "seconds for a request's head, and for a TLS handshake",
    "keep_alive_seconds": "seconds that an idle connection stays open",
}


def token_policy() -> str:
    """Return the lifetimes that no setting changes, and the defaults of those that settings change."""
    policy = TokenPolicy()
    return _table(
        ("what", "value"),
        [
            ("longest life of an access token", f"{policy.lifetime_seconds // 3600} hours (`JWT_EXPIRATION_HOURS`)"),
            ("a refresh family, idle", f"{policy.refresh_idle_days} days without use"),
            ("a refresh family, absolute", f"{policy.refresh_absolute_days} days (`TRADEWARDEN_REFRESH_DAYS`)"),
            ("retry of a refresh token that was just used", f"{policy.grace_seconds} seconds"),
            ("how far another clock may be ahead (`iat`, `nbf`)", f"{policy.leeway_seconds} seconds"),
        ],
    )


def event_types() -> str:
    """Return the types of audit entries, and the calls that leave them."""
    rows = []
    for event in EventType:
        actions = sorted({route.action for route in ROUTES if route.event is event and route.proof is not Proof.OPEN})
        rows.append((f"`{event}`", ", ".join(f"`{action}`" for action in actions) or "no call of this version"))
    return _table(("event type", "actions of calls"), rows)


PARTS: Mapping[str, Callable[[], str]] = {
    "access": access,
    "errors": error_codes,
    "pipeline": pipeline,
    "exit-codes": exit_codes,
    "serve-exit-codes": serve_exit_codes,
    "gauges": gauges,
    "connection-limits": connection_limits,
    "token-policy": token_policy,
    "event-types": event_types,
}


def renewed(page: str) -> str:
    """Return a page with every part made anew; raises `KeyError` for a part that nobody makes."""
    return _PART.sub(lambda match: f"{match[1]}\n{PARTS[match[2]]()}\n{match[3]}", page)


def pages() -> list[Path]:
    """Every page that may hold a part."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def main() -> int:
    """Write outdated pages anew, or name them."""
    outdated = [page for page in pages() if renewed(page.read_text()) != page.read_text()]
    for page in outdated:
        print(page.relative_to(ROOT))
        if "--update" in sys.argv[1:]:
            page.write_text(renewed(page.read_text()))
    return 1 if outdated and "--update" not in sys.argv[1:] else 0


if __name__ == "__main__":
    sys.exit(main())
