"""`tradewarden keys`: what keys there are, their rotation, and moving old data on to new keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from tradewarden.cli.client import connect
from tradewarden.cli.commands import group
from tradewarden.cli.exit_codes import ExitCode
from tradewarden.cli.inputs import confirm
from tradewarden.cli.options import AsJson, Confirmed, target
from tradewarden.cli.output import line, show_json, show_table, time_shown
from tradewarden.cli.progress import progress
from tradewarden.cli.terminal import note
from tradewarden.errors import InvalidInputError

if TYPE_CHECKING:
    from tradewarden.cli.client import Client

app = group("keys")


class Listed(msgspec.Struct, frozen=True):
    """One version of one key."""

    purpose: str
    version: int
    created_at: str
    state: str
    algorithm: str
    messages: int


class Keys(msgspec.Struct, frozen=True):
    """All of them."""

    keys: tuple[Listed, ...]


class Rotated(msgspec.Struct, frozen=True):
    """What is current now."""

    purpose: str
    version: int


class Batch(msgspec.Struct, frozen=True):
    """One batch of a rewrap job; `after` None: it is done."""

    moved: int
    refused: tuple[str, ...]
    after: tuple[str, int] | None


class Rewrapping(msgspec.Struct):
    """How far a rewrap job is."""

    moved: int = 0
    refused: list[str] = []
    after: tuple[str, int] | None = None
    finished: bool = False


@app.command("list")
def listing(context: typer.Context, *, as_json: AsJson = False) -> None:
    """List all keys and their versions; never a key."""
    with connect(target(context)) as service:
        raw = service.get("/keys")
    if as_json:
        show_json(raw)
        return
    rows = [
        (each.purpose, str(each.version), each.state, time_shown(each.created_at), each.algorithm, f"{each.messages:,}")
        for each in msgspec.json.decode(raw, type=Keys).keys
    ]
    columns = ("purpose", "version", "state", "since", "algorithm", "messages leased")
    show_table(columns, rows, empty="There are no keys.")


@app.command()
def rotate(
    context: typer.Context,
    purpose: Annotated[str, typer.Argument(metavar="PURPOSE", help="As keys list names it; 'signing' signs tokens.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Make a new version of a key current; what older ones wrote stays readable."""
    with connect(target(context)) as service:
        _say_rotated(service.post("/keys/rotate", {"purpose": purpose}), as_json=as_json)


@app.command("rotate-root")
def rotate_root(
    context: typer.Context,
    new_root: Annotated[
        str,
        typer.Option(
            "--new-root", metavar="URI", help="Where the service finds it: file:, env:, passphrase:, pkcs11:."
        ),
    ],
    *,
    confirmed: Confirmed = False,
    as_json: AsJson = False,
) -> None:
    """Put all keys under a new root key. The URI says where it is; it never holds the key. No data is touched."""
    confirm("From then on every start needs the new root key. Go on?", confirmed=confirmed)
    with connect(target(context)) as service:
        raw = service.post("/keys/rotate-root", {"new_root": new_root})
    _say_rotated(raw, as_json=as_json)
    note("The running service follows by itself. Set TRADEWARDEN_ROOT_KEY to the new URI before its next start.")


def _say_rotated(raw: bytes, *, as_json: bool) -> None:
    if as_json:
        show_json(raw)
        return
    done = msgspec.json.decode(raw, type=Rotated)
    line(f"{done.purpose}: version {done.version} is current")


@app.command()
def rewrap(
    context: typer.Context,
    after: Annotated[
        tuple[str, int] | None,
        typer.Option("--after", metavar="PATH VERSION", help="Go on where an interrupted run stopped."),
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Move stored secrets on to the current key. It can be stopped at any time and goes on with --after.

    Rows that do not verify are left as they are and named; then the exit code is 7.
    """
    state = Rewrapping(after=after)
    try:
        with connect(target(context)) as service:
            _run(service, state)
    except KeyboardInterrupt:
        note(f"Stopped after {state.moved} versions.")
        raise
    finally:
        if not state.finished and state.after is not None:
            note(f"To go on: tradewarden keys rewrap --after '{state.after[0]}' {state.after[1]}")
    if as_json:
        show_json(state)
    else:
        line(f"{state.moved} moved, {len(state.refused)} refused")
        for path in state.refused:
            line(f"  does not verify: {path}")
    if state.refused:
        raise typer.Exit(ExitCode.FOUND_SOMETHING)


def _run(service: Client, state: Rewrapping) -> None:
    with progress("Rewrapping", None) as advance:
        while not state.finished:
            done = msgspec.json.decode(service.post("/keys/rewrap", {"after": state.after, "limit": 500}), type=Batch)
            if done.after is not None and done.after == state.after:
                raise InvalidInputError("The service does not get further; look at its log")
            state.moved += done.moved
            state.refused += done.refused
            state.after = done.after
            state.finished = done.after is None
            advance(done.moved)
