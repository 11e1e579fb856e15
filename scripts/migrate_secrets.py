#!/usr/bin/env python3
"""Out of hard-coded credentials, as AlphaPulse documents it. Run it in the root of a repository:

    python scripts/migrate_secrets.py --create-template
    python scripts/migrate_secrets.py --method env --output .env.secure
    python scripts/migrate_secrets.py --method encrypted --secrets-dir .secrets

It writes the credentials that it finds (also in what git ignores, as .env) where the method says, and shows how the
files that held them would change; with --apply it changes them, too. `tradewarden migrate` does the same in steps, and
can undo it. No value is shown.
"""  # noqa: D415 - what one types stands in it

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tradewarden.migrate.migration import Migration


def main() -> int:
    """Do what the options say; the exit codes are those of the command line."""
    from tradewarden.cli.exit_codes import exit_code
    from tradewarden.errors import TradewardenError

    try:
        return run(_options())
    except TradewardenError as error:
        print(f"migrate_secrets: {error.detail}", file=sys.stderr)
        return exit_code(error)
    except OSError as error:
        print(f"migrate_secrets: {error.filename or ''} {error.strerror or type(error).__name__}", file=sys.stderr)
        return 1


def run(options: argparse.Namespace) -> int:
    """Migrate the directory that this is run in; 7 when places are left to a person."""
    if options.create_template:
        return _create_template()
    from tradewarden.migrate.migration import open_migration
    from tradewarden.migrate.targets import Method

    with open_migration(
        Path(),
        Method(options.method),
        os.environ,
        output=options.output,
        secrets_dir=options.secrets_dir,
        exclude=options.exclude,
        ignored=True,
    ) as migration:
        return _migrate(migration, options)


def _migrate(migration: Migration, options: argparse.Namespace) -> int:
    from tradewarden.cli.exit_codes import ExitCode
    from tradewarden.migrate.diff import diff
    from tradewarden.migrate.report import applied_lines, plan_lines
    from tradewarden.migrate.undo import Undo

    undo = Undo.of_user(os.environ)
    undo.expire()
    plan = migration.plan()
    print(*plan_lines(plan), sep="\n")
    if plan.changes and not options.apply:
        print("", diff(plan), sep="\n")
    if options.diff or not (plan.moves or plan.by_hand):
        return ExitCode.OK
    print(*applied_lines(migration.apply(plan, undo, rewrite=options.apply)), sep="\n")
    if plan.changes and not options.apply:
        print("The files above are as they were; --apply changes them.")
    return ExitCode.FOUND_SOMETHING if plan.by_hand else ExitCode.OK


def _create_template() -> int:
    from tradewarden.errors import ConflictError
    from tradewarden.migrate.template import NAME, template

    path = Path(NAME)
    if path.exists() and path.read_text() != template():
        raise ConflictError(f"{NAME} exists already and is not overwritten; move it away first")
    path.write_text(template())
    print(f"Created {NAME}: copy it to .env and fill it in.")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Move hard-coded credentials of this directory to a safe place.")
    parser.add_argument("--create-template", action="store_true", help="write .env.template, with every variable")
    parser.add_argument(
        "--method", choices=["env", "encrypted", "both", "vault", "aws", "tradewarden"], default="env",
        help="where the credentials go (default: env)",
    )  # fmt: skip
    parser.add_argument("--output", type=Path, help="the file of the methods env and both (default: .env.secure)")
    parser.add_argument(
        "--secrets-dir", type=Path, help="the directory of the methods encrypted and both (default: .secrets)"
    )
    parser.add_argument("--exclude", action="append", default=[], metavar="PATTERN", help="leave out; repeatable")
    does = parser.add_mutually_exclusive_group()
    does.add_argument("--diff", action="store_true", help="only show what would be done; write nothing")
    does.add_argument("--apply", action="store_true", help="change the files that hold credentials, too")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
