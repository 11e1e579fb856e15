"""`tradewarden migrate scan`, `accept`, `history` and `hook`: what credentials a tree holds. No value is ever shown."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tradewarden.cli.exit_codes import ExitCode
from tradewarden.cli.options import AsJson
from tradewarden.cli.output import line, show_json, show_table, time_shown
from tradewarden.cli.terminal import note
from tradewarden.errors import InvalidInputError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tradewarden.migrate.baseline import Baseline
    from tradewarden.migrate.finding import Finding
    from tradewarden.migrate.history import History
    from tradewarden.migrate.walk import Unread

Root = Annotated[Path, typer.Argument(metavar="PATH", help="The directory to look at. Default: this one.")]
Under = Annotated[Path, typer.Option("--path", metavar="PATH", help="The directory to look at. Default: this one.")]
Excluded = Annotated[
    list[str] | None,
    typer.Option("--exclude", metavar="PATTERN", help="Leave out these files or directories; repeatable."),
]
Ignored = Annotated[bool, typer.Option("--ignored", help="Look at what .gitignore leaves out, too.")]
_HERE = Path()


def scan(path: Root = _HERE, exclude: Excluded = None, *, ignored: Ignored = False, as_json: AsJson = False) -> None:
    """Find hard-coded credentials: what, where, and which secret each belongs to; never a value.

    Exit code 0: none; 7: some; 2: the path or an acceptance cannot be read. Left out are lines that end with the
    comment 'tradewarden: allow WHY', and findings that were accepted ('migrate accept').
    """
    from tradewarden.migrate.scan import find

    baseline = _baseline(path)
    unread: list[Unread] = []
    found = find(path, exclude=exclude or (), accepted=baseline, unread=unread, ignored=ignored)
    if as_json:
        show_json(_as_json(found, baseline, unread))
    else:
        _show(found)
        _say_rest(baseline, unread)
    _end(found)


def accept(
    places: Annotated[list[str], typer.Argument(metavar="FILE:LINE", help="As scan shows them.")],
    reason: Annotated[str, typer.Option("--reason", help="Why it is no credential, or why it may stay.")],
    until: Annotated[str, typer.Option("--until", metavar="DATE", help="Accepted until this day (YYYY-MM-DD).")] = "",
    who: Annotated[str, typer.Option("--who", help="Who accepts it. Default: your login name.")] = "",
    path: Under = _HERE,
    *,
    as_json: AsJson = False,
) -> None:
    """Accept findings, each in a small file of its own under .tradewarden/accepted, to be committed.

    The file holds no value and nothing one could cheaply guess it from. It counts wherever the same value is found by
    the same rule, until the day given.
    """
    from tradewarden.migrate.scan import find

    baseline = _baseline(path)
    ends = _day(until)
    found = find(path)
    written: list[str] = []
    for place in places:
        here = [each for each in found if f"{each.file}:{each.line}" == place.removeprefix("./")]
        if not here:
            raise NotFoundError(f"Nothing is found at {place}; places are as 'tradewarden migrate scan' shows them")
        missing = [each for each in here if each not in baseline]
        written += [str(baseline.accept(each, why=reason, who=who or _login(), until=ends)) for each in missing]
    if as_json:
        show_json({"written": written})
    else:
        for file in written:
            line(f"Commit it: {file}")


def history(
    path: Root = _HERE,
    seconds: Annotated[float, typer.Option("--seconds", min=1, help="Stop looking after this time.")] = 600,
    *,
    as_json: AsJson = False,
) -> None:
    """Find credentials in all of git's history: what must be replaced, and where.

    Deleting a file does not delete what others have cloned. Exit code 0: none; 7: some; 6: git failed, or the time was
    up before everything was read. Nothing of the repository is run.
    """
    from tradewarden.migrate.history import history as look
    from tradewarden.migrate.scan import find

    baseline = _baseline(path)
    seen = look(path, current=find(path), accepted=baseline, seconds=seconds)
    if as_json:
        show_json(seen)
    else:
        _show_history(seen)
    if not seen.complete:
        raise typer.Exit(ExitCode.UNAVAILABLE)
    _end(seen.kept)


def hook(
    files: Annotated[list[str] | None, typer.Argument(metavar="FILE", help="Default: everything staged.")] = None,
    path: Under = _HERE,
    *,
    as_json: AsJson = False,
    install: Annotated[bool, typer.Option("--install", help="Make it this repository's pre-commit hook.")] = False,
) -> None:
    """Stop a commit that would add a credential: looks at what is staged, not at the work tree.

    Exit code 0: none; 7: some. For pre-commit use the id 'tradewarden-migrate' of this repository.
    """
    if install:
        from tradewarden.migrate.hook import install as write

        line(f"Installed: {write(path)}")
        return
    from tradewarden.migrate.staged import find_staged

    found = find_staged(path, files or (), accepted=_baseline(path))
    if as_json:
        show_json({"findings": _findings_as_json(found)})
    elif found:
        _show(found)
        note("Not committed. Move it (tradewarden migrate plan), or say why it may stay (tradewarden migrate accept).")
    _end(found)


def _baseline(path: Path) -> Baseline:
    from tradewarden.clock import SystemClock
    from tradewarden.migrate.baseline import Baseline
    from tradewarden.migrate.git import git_directory

    repository = git_directory(path)
    return Baseline(repository[0] if repository is not None else path, clock=SystemClock())


def _end(found: Sequence[object]) -> None:
    if found:
        raise typer.Exit(ExitCode.FOUND_SOMETHING)


def _show(found: Sequence[Finding]) -> None:
    from tradewarden.migrate.fingerprint import Marks

    marks = Marks()
    rows = [
        (
            f"{each.file}:{each.line}",
            each.rule,
            each.key,
            _belongs(each.destination.name, each.destination.field),
            marks.of(each),
        )
        for each in found
    ]
    show_table(("where", "rule", "key", "belongs to", "mark"), rows, empty="No hard-coded credentials were found.")
    if found:
        line(f"{len(found)} found. Equal marks are equal values; marks change with every run.")


def _say_rest(baseline: Baseline, unread: Sequence[Unread]) -> None:
    for name, each in baseline.stale():
        note(f"No longer found, so its acceptance can go: {name} ({each.file})")
    for name, each in baseline.ended():
        note(f"Accepted until {time_shown(each.until)} only: {name} ({each.file})")
    for file, why in unread:
        note(f"Not read: {file}: {why}")


def _findings_as_json(found: Sequence[Finding]) -> list[dict[str, object]]:
    from tradewarden.migrate.fingerprint import Marks

    marks = Marks()
    return [
        {
            "file": each.file,
            "line": each.line,
            "language": each.language.value,
            "rule": each.rule,
            "key": each.key,
            "destination": {"name": each.destination.name, "field": each.destination.field},
            "mark": marks.of(each),
        }
        for each in found
    ]


def _as_json(found: Sequence[Finding], baseline: Baseline, unread: Sequence[Unread]) -> dict[str, object]:
    return {
        "findings": _findings_as_json(found),
        "stale_acceptances": [name for name, _ in baseline.stale()],
        "ended_acceptances": [name for name, _ in baseline.ended()],
        "not_read": [{"file": file, "why": why} for file, why in unread],
    }


def _show_history(seen: History) -> None:
    rows = [
        (
            _belongs(each.destination, each.field),
            ", ".join(each.files),
            f"{each.first.name[:10]} {each.first.date[:10]}",
            f"{each.last.name[:10]} {each.last.date[:10]}",
            "in the tree" if each.removed is None else f"removed in {each.removed.name[:10]}",
            each.rotate,
        )
        for each in seen.kept
    ]
    columns = ("belongs to", "files", "first commit", "last written", "now", "replace it at")
    show_table(columns, rows, empty="History keeps no credentials.")
    line(f"{seen.versions} versions of files were read.")
    if not seen.complete:
        note("The time was up before every version was read; give it more with --seconds.")


def _belongs(name: str, field: str) -> str:
    return f"{name}.{field}" if field else name


def _login() -> str:
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


def _day(text: str) -> str | None:
    if not text:
        return None
    from datetime import UTC, datetime

    from tradewarden.clock import rfc3339

    try:
        return rfc3339(datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).timestamp())
    except ValueError:
        raise InvalidInputError(f"--until must be a day like 2026-12-31, not {text}") from None
