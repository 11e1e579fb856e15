"""`tradewarden status`: one look at the service, its certificates, its audit log and its data directory."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from tradewarden.cli.client import Client, Whereabouts
from tradewarden.cli.commands import single
from tradewarden.cli.exit_codes import ExitCode
from tradewarden.cli.options import AsJson, target
from tradewarden.cli.output import show_fields, show_json
from tradewarden.errors import ConfigurationError, UnavailableError

if TYPE_CHECKING:
    from pathlib import Path

app = single()
_OK = 200
_GAUGE = re.compile(
    rb"^tradewarden_(audit_lag_seconds|audit_unnumbered_entries|certificate_expiry_seconds) (\S+)$", re.MULTILINE
)
_TOKEN_HOURS = 24
_WHY_NOT = "(the service has just started, or metrics:view is missing)"


class Health(msgspec.Struct, frozen=True):
    """What is read of `/health`; `timestamp` is the time that counts there, whatever this machine's clock shows."""

    status: str
    timestamp: Annotated[datetime, msgspec.Meta(tz=True)]
    version: str
    components: dict[str, bool]
    active_credentials: int
    active_tokens: int


class Ready(msgspec.Struct, frozen=True):
    """What is read of `/health/ready`."""

    status: str = ""
    reasons: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


class Status(msgspec.Struct):
    """All that the screen shows; None: not known from here."""

    url: str
    reachable: bool = False
    problem: str | None = None
    status: str | None = None
    timestamp: datetime | None = None
    version: str | None = None
    ready: bool = False
    reasons: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    components: dict[str, bool] = {}
    active_credentials: int | None = None
    active_tokens: int | None = None
    audit_lag_seconds: float | None = None
    audit_unnumbered_entries: float | None = None
    certificate_expiry_seconds: float | None = None
    data_dir: str | None = None
    database: str | None = None
    admin_token_file: str | None = None


@app.command()
def status(context: typer.Context, *, as_json: AsJson = False) -> None:
    """Show whether the service answers and is ready, what is active, where its data lies."""
    where = Whereabouts(target(context))
    found = Status(where.url)
    try:
        _look_around(where, found)
        with Client(where.url, where.proof, where.trust() if where.url.startswith("https:") else None) as service:
            _ask(service, found)
    except UnavailableError as error:
        found.problem = error.detail
    if as_json:
        show_json(found)
    else:
        show_fields(_screen(found))
    if not found.ready:
        raise typer.Exit(ExitCode.UNAVAILABLE)


def _look_around(where: Whereabouts, found: Status) -> None:
    """Note where this machine's data lies, when the settings say and it is there."""
    try:
        settings = where.settings
    except ConfigurationError as error:
        found.problem = error.detail
        return
    if settings.data_dir.is_dir():
        found.data_dir, found.database = str(settings.data_dir.absolute()), str(settings.database_path.absolute())
        found.admin_token_file = _token_file(settings.data_dir / "admin.token")


def _token_file(path: Path) -> str | None:
    return str(path.absolute()) if path.is_file() else None


def _ask(service: Client, found: Status) -> None:
    ready = service.look("/health/ready")
    found.reachable = True
    try:
        told = msgspec.json.decode(ready.body, type=Ready)
        found.reasons, found.warnings = told.reasons, told.warnings
        health = msgspec.json.decode(service.get("/health"), type=Health)
    except msgspec.MsgspecError:
        raise UnavailableError(f"What answers at {found.url} is not Tradewarden") from None
    found.ready = ready.status == _OK
    found.status, found.timestamp = health.status, health.timestamp
    found.version, found.components = health.version, health.components
    found.active_credentials, found.active_tokens = health.active_credentials, health.active_tokens
    metrics = service.look("/metrics")
    if metrics.status == _OK:
        for name, value in _GAUGE.findall(metrics.body):
            setattr(found, name.decode(), float(value))


def _screen(found: Status) -> list[tuple[str, str]]:
    rows = [("service", f"{found.url} ({_state(found)})")]
    if found.problem:
        rows.append(("problem", found.problem))
    rows += [("not ready", reason) for reason in found.reasons]
    rows += [("warning", warning) for warning in found.warnings]
    if found.version is not None:
        parts = ", ".join(f"{name} {'on' if on else 'off'}" for name, on in found.components.items())
        rows += [
            ("version", found.version),
            ("parts", parts),
            ("active", f"{found.active_credentials} certificates, {found.active_tokens} tokens"),
            ("first to expire", _expiry(found)),
            ("audit log", _lag(found)),
        ]
    if found.data_dir is not None:
        rows += [("data", found.data_dir), ("database", found.database or ""), ("admin token", _admin(found))]
    return rows


def _state(found: Status) -> str:
    if not found.reachable:
        return "no answer"
    return f"{found.status or 'unknown'}, {'ready' if found.ready else 'not ready'}"


def _expiry(found: Status) -> str:
    if not found.active_credentials:
        return "no certificate is active"
    if found.certificate_expiry_seconds is None or found.timestamp is None:
        return f"not known here {_WHY_NOT}"
    left = found.certificate_expiry_seconds
    ends = found.timestamp.astimezone(UTC) + timedelta(seconds=left)
    return f"certificate in {left / 86400:.1f} days, {ends:%Y-%m-%d %H:%M:%SZ}"


def _lag(found: Status) -> str:
    if found.audit_lag_seconds is None:
        return f"lag not known here {_WHY_NOT}"
    return f"{found.audit_lag_seconds:.1f} s behind, {found.audit_unnumbered_entries or 0:.0f} entries without a number"


def _admin(found: Status) -> str:
    if found.admin_token_file is None:
        return "none; 'tradewarden admin token' makes one"
    return f"{found.admin_token_file} (good for {_TOKEN_HOURS} hours from its making)"
