"""`tradewarden secrets`: read, write, list, versions, import."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated
from urllib.parse import quote

import msgspec
import typer

from tradewarden.cli import inputs
from tradewarden.cli.client import connect
from tradewarden.cli.commands import group
from tradewarden.cli.exit_codes import ServiceProblemError
from tradewarden.cli.importing import import_secrets
from tradewarden.cli.listing import gather
from tradewarden.cli.options import After, AsJson, Confirmed, Limit, target
from tradewarden.cli.output import bare, line, show_fields, show_json, show_table, time_shown
from tradewarden.cli.rotation import due, rotate
from tradewarden.cli.rotation_policies import policy
from tradewarden.cli.terminal import note
from tradewarden.errors import InvalidInputError, NotFoundError
from tradewarden.secrets.path import secret_path
from tradewarden.secrets.value import parse_object

if TYPE_CHECKING:
    from collections.abc import Iterator

MASK = "********"
_NOT_FOUND = 404
app = group("secrets")
app.command("import")(import_secrets)
app.command()(rotate)
app.command()(due)
app.add_typer(policy, name="policy")

Path = Annotated[str, typer.Argument(metavar="PATH", help="Such as api_keys/binance.")]
Version = Annotated[int | None, typer.Option("--version", min=1, help="This version instead of the current one.")]
Versions = Annotated[list[int], typer.Option("--version", min=1, help="A version; give it once for each.")]
Cas = Annotated[
    int | None, typer.Option("--cas", min=0, help="Only if this version is current (0: only if there is none).")
]


class Value(msgspec.Struct, frozen=True):
    """A secret as it is read."""

    path: str
    data: dict[str, msgspec.Raw]
    version: int
    created_at: str
    stale_since: str = ""


class Kept(msgspec.Struct, frozen=True):
    """One version of a history."""

    version: int
    created_at: str
    created_by: str
    deleted_at: str | None
    destroyed: bool


class History(msgspec.Struct, frozen=True):
    """What is known of a secret but its values."""

    current_version: int
    versions: tuple[Kept, ...]


class Stored(msgspec.Struct, frozen=True):
    """A version that was written."""

    path: str
    version: int


class Picked(msgspec.Struct, frozen=True):
    """Versions that were deleted, brought back or destroyed."""

    path: str
    versions: tuple[int, ...]


def place(path: str) -> str:
    """Return the URL path of a secret; raises `InvalidInputError` for what is no secret path."""
    return f"/secrets/{quote(secret_path(path), safe='/')}"


@app.command()
def get(
    context: typer.Context,
    path: Path,
    version: Version = None,
    field: Annotated[str, typer.Option("--field", help="Print the bare value of this field, and nothing else.")] = "",
    *,
    reveal: Annotated[bool, typer.Option("--reveal", help="Show values in the table instead of a mask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Read a secret. The table masks its values; --reveal, --field and --json print them."""
    if field and as_json:
        raise InvalidInputError("--field and --json are two ways to print; choose one")
    with connect(target(context)) as service, _one_version(path, version):
        raw = service.get(place(path), {} if version is None else {"version": version})
    if as_json:
        show_json(raw)
        return
    found = msgspec.json.decode(raw, type=Value)
    if found.stale_since:
        note(f"stale: Vault cannot be reached, and this is what it told at {time_shown(found.stale_since)}")
    if field:
        bare(_text(_field(found, field)))
        return
    rows = [(name, _text(value) if reveal else MASK) for name, value in found.data.items()]
    show_fields([("path", found.path), ("version", str(found.version)), ("created", time_shown(found.created_at))])
    show_table(("field", "value"), rows, empty="It has no fields.")


@contextmanager
def _one_version(path: str, version: int | None) -> Iterator[None]:
    """Say of what is not found that it may be this version alone."""
    try:
        yield
    except ServiceProblemError as error:
        if error.status != _NOT_FOUND or version is None:
            raise
        hint = f"version {version} was asked for; 'tradewarden secrets history {path}' shows which can be read"
        raise ServiceProblemError(f"{error.detail}; {hint}", error.status) from error


def _field(found: Value, name: str) -> msgspec.Raw:
    if name not in found.data:
        known = ", ".join(sorted(found.data)) or "none"
        raise NotFoundError(f"Secret '{found.path}' has no field '{name}'; it has {known}")
    return found.data[name]


def _text(value: msgspec.Raw) -> str:
    """Return a JSON text's content, and any other JSON value as JSON."""
    raw = bytes(value)
    return msgspec.json.decode(raw, type=str) if raw.startswith(b'"') else raw.decode()


@app.command(context_settings={"allow_extra_args": True})  # to say of a value that this is no place for it
def put(
    context: typer.Context,
    path: Path,
    file: Annotated[str, typer.Option("--file", help="A JSON object in this file; - is stdin, the default.")] = "",
    fields: Annotated[
        list[str] | None,
        typer.Option("--field", help="Ask for this field without echo (or take one line of stdin for each)."),
    ] = None,
    cas: Cas = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Write a new version, from a JSON object in a file or on stdin, or field by field at a prompt.

    Values are never arguments: other users of the machine can read those.
    """
    inputs.refuse_values([path, *context.args, *(fields or ())])
    if context.args:
        raise InvalidInputError("put takes one PATH; values come from --file, stdin or --field")
    secret_path(path)
    data = _given(file, fields or [])
    with connect(target(context)) as service:
        raw = service.post("/secrets/store", {"path": path, "data": msgspec.Raw(data), "cas": cas})
    _say_stored(raw, as_json=as_json)


def _given(file: str, fields: list[str]) -> bytes:
    if file and fields:
        raise InvalidInputError("--file and --field are two ways to give the value; choose one")
    if len(set(fields)) != len(fields):
        raise InvalidInputError("a --field is named twice")
    if fields:
        return msgspec.json.encode(inputs.read_fields(fields))
    if not file and inputs.on_terminal():
        note(
            'Type a JSON object such as {"api_key": "…"}, then Ctrl-D. What you type shows; --field asks without echo.'
        )
    return parse_object(inputs.read_bytes(file or "-"))


def _say_stored(raw: bytes, *, as_json: bool) -> None:
    if as_json:
        show_json(raw)
        return
    stored = msgspec.json.decode(raw, type=Stored)
    line(f"{stored.path}: version {stored.version}")


@app.command("list")
def names(
    context: typer.Context,
    prefix: Annotated[str, typer.Argument(metavar="PREFIX", help="Only paths that start with this.")] = "",
    limit: Limit = 1000,
    after: After = "",
    *,
    as_json: AsJson = False,
) -> None:
    """List the paths that you may see; never values."""
    with connect(target(context)) as service:
        listing = gather(service, "/secrets", "keys", {"prefix": prefix}, limit=limit, after=after)
    if as_json:
        listing.show_json()
        return
    for name in listing.rows(str):
        line(name)
    listing.note_more()


@app.command()
def history(context: typer.Context, path: Path, *, as_json: AsJson = False) -> None:
    """Show a secret's versions: when, by whom, what became of them."""
    with connect(target(context)) as service:
        raw = service.get(place(path), {"metadata": "true"})
    if as_json:
        show_json(raw)
        return
    found = msgspec.json.decode(raw, type=History)
    rows = [
        (str(each.version), time_shown(each.created_at), each.created_by, _state(each, found.current_version))
        for each in found.versions
    ]
    show_table(("version", "created", "by", "state"), rows, empty="It has no versions.")


def _state(version: Kept, current: int) -> str:
    if version.destroyed:
        return "destroyed"
    if version.deleted_at is not None:
        return f"deleted {time_shown(version.deleted_at)}"
    return "current" if version.version == current else ""


@app.command()
def rollback(
    context: typer.Context,
    path: Path,
    version: Annotated[int, typer.Option("--version", min=1, help="The version whose value becomes current again.")],
    cas: Cas = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Write an old version's value again, as the newest version."""
    with connect(target(context)) as service, _one_version(path, version):
        raw = service.post("/secrets/rollback", {"path": secret_path(path), "version": version, "cas": cas})
    _say_stored(raw, as_json=as_json)


@app.command()
def delete(context: typer.Context, path: Path, version: Version = None, *, as_json: AsJson = False) -> None:
    """Delete the current version, or one; `undelete` brings it back."""
    with connect(target(context)) as service:
        raw = service.delete(place(path), {} if version is None else {"version": version})
    _say_picked(raw, "deleted", as_json=as_json)


@app.command()
def undelete(context: typer.Context, path: Path, versions: Versions, *, as_json: AsJson = False) -> None:
    """Bring deleted versions back."""
    with connect(target(context)) as service:
        raw = service.post("/secrets/undelete", {"path": secret_path(path), "versions": versions})
    _say_picked(raw, "undeleted", as_json=as_json)


@app.command()
def destroy(
    context: typer.Context, path: Path, versions: Versions, *, confirmed: Confirmed = False, as_json: AsJson = False
) -> None:
    """Erase the values of versions for good."""
    secret_path(path)
    inputs.confirm(f"Erase {len(versions)} version(s) of {path} for good?", confirmed=confirmed)
    with connect(target(context)) as service:
        raw = service.post("/secrets/destroy", {"path": path, "versions": versions})
    _say_picked(raw, "destroyed", as_json=as_json)


def _say_picked(raw: bytes, what: str, *, as_json: bool) -> None:
    if as_json:
        show_json(raw)
        return
    done = msgspec.json.decode(raw, type=Picked)
    line(f"{done.path}: {what} version {', '.join(str(each) for each in done.versions) or 'none'}")
