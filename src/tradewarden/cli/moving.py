"""`tradewarden migrate plan`, `apply` and `undo`: credentials out of files, into a provider. No value is shown."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tradewarden.cli.exit_codes import ExitCode
from tradewarden.cli.options import AsJson
from tradewarden.cli.output import show_json
from tradewarden.cli.scanning import Excluded, Ignored, Root
from tradewarden.cli.terminal import clean
from tradewarden.migrate.targets import Method

if TYPE_CHECKING:
    from collections.abc import Iterable

MethodOption = Annotated[Method, typer.Option("--method", help="Where values go, and how code reads them afterwards.")]
Output = Annotated[
    Path | None, typer.Option("--output", help="The file of the methods env and both. Default: .env.secure in PATH.")
]
SecretsDir = Annotated[
    Path | None,
    typer.Option("--secrets-dir", help="The directory of the methods encrypted and both. Default: .secrets in PATH."),
]
Context = Annotated[
    int,
    typer.Option(
        "--context", min=0, metavar="N",
        help="Show N lines around each change. A credential in them that was not found can be shown.",
    ),
]  # fmt: skip
_HERE = Path()


def plan(  # noqa: PLR0913  (options of one command)
    path: Root = _HERE,
    method: MethodOption = Method.ENV,
    output: Output = None,
    secrets_dir: SecretsDir = None,
    exclude: Excluded = None,
    context: Context = 0,
    *,
    ignored: Ignored = False,
    as_json: AsJson = False,
) -> None:
    """Show what would be moved where, and the changes of files as a diff. Writes nothing.

    Values are stars, and so is what looks like one. The plan's name (--expect of apply) changes with every file that
    changes.
    """
    from tradewarden.migrate.diff import diff
    from tradewarden.migrate.migration import open_migration
    from tradewarden.migrate.report import plan_lines, plan_report

    with open_migration(
        path, method, os.environ, output=output, secrets_dir=secrets_dir, exclude=exclude or (), ignored=ignored
    ) as migration:
        made = migration.plan()
    if as_json:
        show_json(plan_report(made, context))
        return
    _print(plan_lines(made))
    if made.changes:
        _print(["", *diff(made, context).removesuffix("\n").split("\n")])


def apply(  # noqa: PLR0913  (options of one command)
    path: Root = _HERE,
    method: MethodOption = Method.ENV,
    output: Output = None,
    secrets_dir: SecretsDir = None,
    exclude: Excluded = None,
    expect: Annotated[
        str, typer.Option("--expect", metavar="PLAN", help="Only do it when the plan still has this name.")
    ] = "",
    *,
    ignored: Ignored = False,
    as_json: AsJson = False,
) -> None:
    """Write the values where the method says, read them back, then change the files.

    Cut off anywhere, run it again: what is done is not done twice. Exit code 7: some places are left to you.
    """
    from tradewarden.migrate.migration import open_migration
    from tradewarden.migrate.report import applied_lines, plan_lines
    from tradewarden.migrate.undo import Undo

    undo = Undo.of_user(os.environ)
    undo.expire()
    with open_migration(
        path, method, os.environ, output=output, secrets_dir=secrets_dir, exclude=exclude or (), ignored=ignored
    ) as migration:
        made = migration.plan()
        applied = migration.apply(made, undo, expected=expect)
    if as_json:
        show_json(applied)
    else:
        _print(plan_lines(made))
        _print(applied_lines(applied))
    if made.by_hand:
        raise typer.Exit(ExitCode.FOUND_SOMETHING)


def undo(
    path: Root = _HERE,
    name: Annotated[str, typer.Option("--name", help="Which undo. Default: the newest for PATH.")] = "",
    *,
    as_json: AsJson = False,
) -> None:
    """Bring the files back as they were before apply. What was written to providers stays there.

    Kept for 7 days. Exit code 5: files that were changed since are left as they are; 3: there is no undo.
    """
    from tradewarden.migrate.report import undone_lines
    from tradewarden.migrate.undo import Undo

    kept = Undo.of_user(os.environ)
    kept.expire()
    undone = kept.restore(path, name)
    if as_json:
        show_json(undone)
    else:
        _print(undone_lines(undone))
    if undone.changed_since:
        raise typer.Exit(ExitCode.CONFLICT)


def _print(lines: Iterable[str]) -> None:
    for each in lines:
        typer.echo(clean(each, lines=True))
