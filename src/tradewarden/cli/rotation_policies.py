"""`tradewarden secrets policy`: how and when secrets are rotated."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

import msgspec
import typer

from tradewarden.cli.client import connect
from tradewarden.cli.commands import NO_MARKUP
from tradewarden.cli.listing import gather
from tradewarden.cli.options import AsJson, target
from tradewarden.cli.output import line, show_json, show_table, time_shown
from tradewarden.cli.tokens import duration
from tradewarden.errors import InvalidInputError
from tradewarden.secrets.path import path_prefix, secret_path

ALL = 1_000_000
policy = typer.Typer(
    help="Say how and when secrets are rotated.",
    no_args_is_help=True,
    rich_markup_mode=NO_MARKUP,
    add_completion=False,
)
Path = Annotated[str, typer.Argument(metavar="PATH", help="Such as database/app.")]
Prefix = Annotated[str, typer.Argument(help="Only paths that start with this.")]


class Shown(msgspec.Struct, frozen=True):
    """One policy, and how its secret stands."""

    path: str
    kind: str
    parameters: dict[str, str]
    every_seconds: int
    schedule: str
    automatic: bool
    state: str
    due: bool
    due_at: str | None
    last_at: str | None
    failures: int
    reason: str
    waits: str


@policy.command("set")
def set_policy(  # noqa: PLR0913  (options of one command)
    context: typer.Context,
    path: Path,
    kind: Annotated[
        str, typer.Option("--rotator", help="How: random, postgres, service_token, client_secret, exchange.")
    ],
    given: Annotated[
        list[str] | None,
        typer.Option("--with", metavar="NAME=TEXT", help="A parameter of the rotator, never a secret; one each."),
    ] = None,
    every: Annotated[str, typer.Option("--every", help="When it is this old: 90d, 12h.")] = "",
    schedule: Annotated[str, typer.Option("--at", help="Only in these hours of a week, UTC: 'sun 02:00-04:00'.")] = "",
    *,
    automatic: Annotated[
        bool | None, typer.Option("--automatic/--by-hand", help="By itself; the default wherever the rotator can.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say how and when a secret is rotated. Its parameters name things; a secret itself is never one."""
    body = {
        "path": secret_path(path),
        "kind": kind,
        "parameters": _parameters(given or []),
        "every_seconds": duration(every, "--every") if every else 0,
        "schedule": schedule,
        "automatic": automatic,
    }
    with connect(target(context)) as service:
        raw = service.post("/rotations/policies", body)
    if as_json:
        show_json(raw)
        return
    found = msgspec.json.decode(raw, type=dict[str, object])
    line(f"{path}: rotated by '{kind}', {'by itself' if found['automatic'] else 'by hand'}")


def _parameters(given: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for each in given:
        name, separator, text = each.partition("=")
        if not separator or name in found:
            raise InvalidInputError("--with takes NAME=TEXT, each name once")
        found[name] = text
    return found


@policy.command("list")
def list_policies(context: typer.Context, prefix: Prefix = "", *, as_json: AsJson = False) -> None:
    """List all policies, and how their secrets stand."""
    with connect(target(context)) as service:
        listing = gather(service, "/rotations", "rotations", {"prefix": path_prefix(prefix)}, limit=ALL)
    if as_json:
        listing.show_json()
        return
    rows = [(each.path, each.kind, _when(each), time_shown(each.last_at), each.waits) for each in listing.rows(Shown)]
    show_table(("path", "rotator", "when", "last rotated", "waits for"), rows, empty="There are no policies.")


def _when(found: Shown) -> str:
    age = f"every {_age(found.every_seconds)}" if found.every_seconds else ""
    by_hand = "" if found.automatic else "by hand"
    return ", ".join(filter(None, (age, found.schedule, by_hand))) or "on request"


def _age(seconds: int) -> str:
    for unit, name in ((86_400, "d"), (3600, "h"), (60, "m")):
        if seconds % unit == 0:
            return f"{seconds // unit}{name}"
    return f"{seconds}s"


@policy.command("remove")
def remove_policy(context: typer.Context, path: Path, *, as_json: AsJson = False) -> None:
    """Remove a policy; the secret stays as it is."""
    with connect(target(context)) as service:
        raw = service.delete(f"/rotations/policies/{quote(secret_path(path), safe='/')}")
    if as_json:
        show_json(raw)
        return
    line(f"{path}: not rotated any more")
