"""`tradewarden audit`: look into the log, follow it, verify it, take it elsewhere."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from tradewarden.audit.query import encode_cursor
from tradewarden.cli import environment
from tradewarden.cli.client import connect
from tradewarden.cli.commands import group
from tradewarden.cli.exit_codes import ExitCode
from tradewarden.cli.listing import gather
from tradewarden.cli.options import AsJson, Limit, target
from tradewarden.cli.output import line, show_json, show_json_line, show_table, time_shown
from tradewarden.cli.terminal import clean, note
from tradewarden.cli.verifying import export_log, verify_directory, verify_live
from tradewarden.errors import InvalidInputError

if TYPE_CHECKING:
    from tradewarden.audit.examine import Report
    from tradewarden.cli.client import Client

app = group("audit")

User = Annotated[str, typer.Option("--user", help="Such as service:trader or user:admin.")]
Resource = Annotated[str, typer.Option("--resource", help="A path or name; a * at the end means: starting so.")]
Event = Annotated[str, typer.Option("--event", help="Such as secret_access, token or certificate.")]
Action = Annotated[str, typer.Option("--action", help="Such as read, write or issue.")]
Result = Annotated[str, typer.Option("--result", help="success, failure or denied.")]

_SHOWN_CELL = 60


class Shown(msgspec.Struct, frozen=True):
    """What is read of an entry."""

    sequence: int
    timestamp: str
    event_type: str
    user: str
    resource: str
    action: str
    result: str
    ip_address: str = ""
    request_id: str = ""
    reason: str = ""
    count: int = 1


@app.command()
def search(  # noqa: PLR0913, PLR0917  (the filters of one search)
    context: typer.Context,
    since: Annotated[str, typer.Option("--since", help="From then on, such as 2026-01-15T10:30:00Z.")] = "",
    until: Annotated[str, typer.Option("--until", help="Before then.")] = "",
    user: User = "",
    resource: Resource = "",
    event: Event = "",
    action: Action = "",
    result: Result = "",
    request_id: Annotated[str, typer.Option("--request-id", help="The entries of one request.")] = "",
    limit: Limit = 100,
    after: Annotated[str, typer.Option("--after", help="Go on where an earlier search stopped (its 'next').")] = "",
    *,
    oldest: Annotated[bool, typer.Option("--oldest-first", help="Oldest first instead of newest first.")] = False,
    as_json: AsJson = False,
) -> None:
    """Search the log by time, user, resource, event, action and result."""
    query: dict[str, str | int] = {
        "since": since,
        "until": until,
        "user": user,
        "resource": resource,
        "event_type": event,
        "action": action,
        "result": result,
        "request_id": request_id,
        "order": "oldest" if oldest else "newest",
    }
    with connect(target(context)) as service:
        found = gather(service, "/audit/events", "events", query, limit=limit, after=after, cursor="cursor")
    if as_json:
        found.show_json()
        return
    columns = ("#", "time", "event", "user", "action", "resource", "result")
    show_table(columns, (_cells(each) for each in found.rows(Shown)), empty="Nothing in the log is like that.")
    found.note_more()


def _cells(entry: Shown) -> tuple[str, ...]:
    times = f" ({entry.count} times)" if entry.count > 1 else ""
    reason = f": {entry.reason}" if entry.reason else ""
    return (
        str(entry.sequence),
        time_shown(entry.timestamp),
        entry.event_type,
        entry.user or "-",
        entry.action,
        entry.resource or "-",
        f"{entry.result}{times}{reason}",
    )


@app.command()
def tail(  # noqa: PLR0913  (options of one command)
    context: typer.Context,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, max=1000, help="How many of the newest entries.")] = 20,
    interval: Annotated[float, typer.Option("--interval", min=0.2, help="Seconds between two looks.")] = 2.0,
    user: User = "",
    resource: Resource = "",
    event: Event = "",
    result: Result = "",
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with new entries until Ctrl-C.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show the newest entries, oldest first; --json prints one JSON object a line.

    Each look is itself recorded; while following, this command's own looks are not shown.
    """
    query: dict[str, str | int] = {"user": user, "resource": resource, "event_type": event, "result": result}
    with connect(target(context)) as service:
        last = _newest(service, query, lines, as_json=as_json)
        while follow:
            time.sleep(interval)
            last = _following(service, query, last, as_json=as_json)


def _newest(service: Client, query: dict[str, str | int], lines: int, *, as_json: bool) -> int:
    """Show the newest entries and return the highest sequence seen."""
    found = gather(service, "/audit/events", "events", query, limit=max(lines, 1), cursor="cursor")
    entries = list(found.raw)[::-1]
    for raw in entries if lines else []:
        _show_one(raw, as_json=as_json)
    return max((_sequence(raw) for raw in entries), default=-1)


def _following(service: Client, query: dict[str, str | int], last: int, *, as_json: bool) -> int:
    after = encode_cursor(last) if last >= 0 else ""
    asked = {**query, "order": "oldest"}
    found = gather(service, "/audit/events", "events", asked, limit=1000, after=after, cursor="cursor")
    for raw in found.raw:
        last = max(last, _sequence(raw))
        if msgspec.json.decode(raw, type=Shown).request_id not in service.request_ids:
            _show_one(raw, as_json=as_json)
    return last


def _sequence(raw: msgspec.Raw) -> int:
    return msgspec.json.decode(raw, type=Shown).sequence


def _show_one(raw: msgspec.Raw, *, as_json: bool) -> None:
    if as_json:
        show_json_line(raw)
        return
    number, moment, event, user, action, resource, result = _cells(msgspec.json.decode(raw, type=Shown))
    line(f"{number:>8}  {moment}  {event:<20}  {clean(user, most=_SHOWN_CELL):<24}  {action:<10}  {resource}  {result}")


@app.command()
def verify(
    export: Annotated[
        Path | None,
        typer.Option("--export", help="Verify this export instead of the live log.", exists=True, file_okay=False),
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            "--checkpoint",
            help="A checkpoint kept elsewhere: shows what was cut off the end.",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    public_key: Annotated[
        Path | None, typer.Option("--public-key", help="The log's public key (PEM), kept elsewhere.", exists=True)
    ] = None,
    seen: Annotated[
        int,
        typer.Option("--seen", metavar="ENTRY", help="Faults that the log tells of up to this entry were looked into."),
    ] = -1,
    *,
    as_json: AsJson = False,
) -> None:
    """Recompute the log and name the first entry that is not as it was recorded; then the exit code is 7.

    So it is when the log itself tells of entries that never arrived or did not verify, until you say --seen.

    Works beside the data directory without a running service, or on an export anywhere.
    """
    kept = checkpoint.read_bytes() if checkpoint else None
    key = public_key.read_bytes() if public_key else None
    if export is not None:
        report = verify_directory(export, key, kept)
    else:
        report = verify_live(environment.settings(), key, kept)
    if as_json:
        show_json({"ok": report.ok, **msgspec.structs.asdict(report)})
    else:
        _say(report, seen)
    if not report.ok or report.fault > seen:
        raise typer.Exit(ExitCode.FOUND_SOMETHING)


def _say(report: Report, seen: int) -> None:
    for problem in report.problems:
        line(f"{problem.kind}: {problem.detail}")
    for finding in report.findings:
        line(f"the log itself tells, at entry {finding.sequence}: {finding.detail}")
    proven = f"{report.size} proven by the checkpoint of {time_shown(report.time)}" if report.size else "none proven"
    line(f"{report.entries} entries, {proven}" + (f", {report.unproven} newer than it" if report.unproven else ""))
    line("The log is as it was recorded." if report.ok else f"The log is NOT as it was recorded{_first(report)}.")
    if report.fault > seen:
        line(f"It tells itself of a fault at entry {report.fault}. When that was looked into: --seen {report.fault}")


def _first(report: Report) -> str:
    first = report.first_wrong
    return "" if first is None else f"; the first entry that is not is {first.first} ({first.kind})"


@app.command()
def export(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="A new or empty directory.", file_okay=False)],
    *,
    as_json: AsJson = False,
) -> None:
    """Write the whole log, its checkpoints and the public key to a directory, beside the data directory.

    `audit verify --export DIR` proves it anywhere, without any of our keys.
    """
    if directory.exists() and any(directory.iterdir()):
        raise InvalidInputError(f"{directory} is not empty; name a new directory")
    written = export_log(environment.settings(), directory)
    if as_json:
        show_json({"directory": str(directory), "entries": written})
        return
    line(f"{written} entries in {directory}")
    note("Keep its checkpoint and public_key.pem elsewhere too: they show later whether anything was cut off.")
