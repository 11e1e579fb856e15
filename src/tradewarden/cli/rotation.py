"""`tradewarden secrets rotate`, `due` and `policy`: secrets that are replaced in time, and at once when it must be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from tradewarden.access.principal import service_name
from tradewarden.cli import inputs
from tradewarden.cli.client import connect
from tradewarden.cli.exit_codes import ExitCode
from tradewarden.cli.listing import gather
from tradewarden.cli.options import AsJson, Confirmed, target
from tradewarden.cli.output import line, show_json, show_table, time_shown
from tradewarden.cli.progress import progress
from tradewarden.cli.rotation_policies import ALL, Prefix, Shown
from tradewarden.cli.terminal import note
from tradewarden.errors import InvalidInputError, NotFoundError
from tradewarden.secrets.path import path_prefix, secret_path
from tradewarden.secrets.value import parse_object

if TYPE_CHECKING:
    from tradewarden.cli.client import Client


class Done(msgspec.Struct, frozen=True):
    """A finished rotation."""

    path: str
    version: int
    previous_version: int | None
    resumed: bool
    waits: str = ""
    untouched: tuple[str, ...] = ()


class GivenUp(msgspec.Struct, frozen=True):
    """An abandoned rotation."""

    path: str
    step: str
    advice: str


class New(msgspec.Struct, frozen=True):
    """A secret that was rotated because a service had seen it."""

    path: str
    version: int


class Left(msgspec.Struct, frozen=True):
    """What a person has still to do."""

    what: str
    why: str


class Part(msgspec.Struct, frozen=True):
    """What one call did about a compromised service."""

    seen: int
    ended: tuple[str, ...]
    rotated: tuple[New, ...]
    by_hand: tuple[Left, ...]
    next: str | None


def rotate(  # noqa: PLR0913  (options of one command)
    context: typer.Context,
    path: Annotated[str, typer.Argument(metavar="PATH", help="Such as database/app.")] = "",
    supply: Annotated[
        str, typer.Option("--supply", help="The new values of a guided rotation: a JSON object in a file; - is stdin.")
    ] = "",
    seen_by: Annotated[
        str,
        typer.Option("--seen-by", metavar="SERVICE", help="End this service's access; rotate all that it has seen."),
    ] = "",
    after: Annotated[str, typer.Option("--after", help="With --seen-by: go on behind this path.")] = "",
    *,
    resume: Annotated[bool, typer.Option("--resume", help="Only go on with a rotation that stopped.")] = False,
    urgent: Annotated[bool, typer.Option("--urgent", help="End the old value at once, without its grace.")] = False,
    abandon: Annotated[bool, typer.Option("--abandon", help="Give a rotation that stopped up.")] = False,
    confirmed: Confirmed = False,
    as_json: AsJson = False,
) -> None:
    """Give a secret a new value now, or go on with its rotation where it stopped.

    With --seen-by: for the day a service is compromised. The exit code is 7 when something is left to do by hand.
    """
    if after and not seen_by:
        raise InvalidInputError("--after goes with --seen-by only")
    if bool(path) == bool(seen_by):
        raise InvalidInputError("Give a PATH, or --seen-by SERVICE")
    if seen_by and (supply or resume or abandon or urgent):
        raise InvalidInputError("--seen-by goes with --yes, --after and --json only")
    if abandon and (supply or resume or urgent):
        raise InvalidInputError("--abandon goes with --json only")
    inputs.refuse_values([path])
    if seen_by:
        _contain(context, service_name(seen_by), after, confirmed=confirmed, as_json=as_json)
    elif abandon:
        _abandon(context, secret_path(path), as_json=as_json)
    else:
        _rotate(context, secret_path(path), supply, resume=resume, urgent=urgent, as_json=as_json)


def _rotate(context: typer.Context, path: str, supply: str, *, resume: bool, urgent: bool, as_json: bool) -> None:
    given = msgspec.Raw(parse_object(inputs.read_bytes(supply), name="what is supplied")) if supply else None
    with connect(target(context)) as service, progress(f"Rotating {path}", None):
        if resume:
            _require_stopped(service, path)
        raw = service.post(
            "/rotations/run", {"path": path, "supplied": given, "urgent": urgent or None, "resume": resume or None}
        )
    if as_json:
        show_json(raw)
        return
    done = msgspec.json.decode(raw, type=Done)
    before = "" if done.previous_version is None else f", version {done.previous_version} is the one before"
    line(f"{done.path}: version {done.version} is current{before}")
    if done.waits:
        line(f"  still to come: {done.waits}")
    if urgent and done.untouched:
        line(f"  not replaced: {', '.join(done.untouched)}")


def _require_stopped(service: Client, path: str) -> None:
    listing = gather(service, "/rotations", "rotations", {"prefix": path}, limit=ALL)
    if not any(each.path == path and each.state != "idle" for each in listing.rows(Shown)):
        raise NotFoundError(f"No rotation of secret '{path}' is under way; leave --resume out to begin one")


def _abandon(context: typer.Context, path: str, *, as_json: bool) -> None:
    with connect(target(context)) as service:
        raw = service.post("/rotations/abandon", {"path": path})
    if as_json:
        show_json(raw)
        return
    done = msgspec.json.decode(raw, type=GivenUp)
    line(f"{done.path}: given up before step '{done.step}'. {done.advice}")


def _contain(context: typer.Context, name: str, after: str, *, confirmed: bool, as_json: bool) -> None:
    question = (
        f"End every token, certificate and the client secret of {name}, and rotate every secret that it has seen?"
    )
    inputs.confirm(question, confirmed=confirmed)
    parts: list[Part] = []
    last = after
    try:
        with connect(target(context)) as service, progress("Secrets seen", None) as advance:
            while not parts or parts[-1].next is not None:
                raw = service.post("/rotations/compromised", {"service_name": name, "after": last})
                parts.append(msgspec.json.decode(raw, type=Part))
                last = parts[-1].next or last
                advance(len(parts[-1].rotated) + len(parts[-1].by_hand))
    finally:
        if not parts or parts[-1].next is not None:
            going_on = f" --after '{last}'" if last else ""
            note(f"Not all was done. To go on: tradewarden secrets rotate --seen-by {name} --yes{going_on}")
    _say_contained(name, parts, as_json=as_json)


def _say_contained(name: str, parts: list[Part], *, as_json: bool) -> None:
    ended = [each for part in parts for each in part.ended]
    rotated = [each for part in parts for each in part.rotated]
    left = [each for part in parts for each in part.by_hand]
    if as_json:
        told = {"service_name": name, "seen": parts[-1].seen, "ended": ended, "rotated": rotated, "by_hand": left}
        show_json(told)
    else:
        line(f"{name}: ended {', '.join(ended) or 'nothing'}")
        line(f"{parts[-1].seen} secrets seen, {len(rotated)} rotated")
        for new in rotated:
            line(f"  rotated: {new.path}, version {new.version}")
        for each in left:
            line(f"  by hand: {each.what}: {each.why}")
    if left:
        raise typer.Exit(ExitCode.FOUND_SOMETHING)


def due(context: typer.Context, prefix: Prefix = "", *, as_json: AsJson = False) -> None:
    """List what is due to be rotated or stopped on the way, and what it waits for.

    For CI and cron: the exit code is 0 when there is nothing, 7 when there is something.
    """
    query: dict[str, str | int] = {"due": "true", "prefix": path_prefix(prefix)}
    with connect(target(context)) as service:
        listing = gather(service, "/rotations", "rotations", query, limit=ALL)
    if as_json:
        listing.show_json()
    else:
        rows = [
            (each.path, each.kind, time_shown(each.due_at), each.waits, each.reason) for each in listing.rows(Shown)
        ]
        show_table(("path", "rotator", "due", "waits for", "last failure"), rows, empty="Nothing is due.")
    if listing.raw:
        raise typer.Exit(ExitCode.FOUND_SOMETHING)
