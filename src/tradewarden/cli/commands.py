"""All commands by name, with the line that help shows; a command's module is loaded when it is used.

`tradewarden --help` so needs none of them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

import typer
from typer.core import TyperGroup
from typer.main import get_command

if TYPE_CHECKING:
    from collections.abc import Mapping

COMMANDS: Final[Mapping[str, str]] = {
    "init": "Make a new installation: database, keys, CA, admin token.",
    "serve": "Run the service until it is told to stop.",
    "status": "Show the service, its certificates, its log, its data.",
    "admin": "What the operator of the host does: the way in, the time floor.",
    "secrets": "Read and write secrets, and their versions.",
    "services": "Register services and the most each may be granted.",
    "tokens": "Issue, validate, list, refresh and revoke tokens.",
    "ca": "Issue, list and revoke certificates of services.",
    "keys": "List and rotate keys; move old data on to new ones.",
    "audit": "Search, follow, verify and export the audit log.",
    "migrate": "Find hard-coded credentials and move them out.",
}
"""Each is a module of this package with an `app`."""

NO_MARKUP: Final = None
"""Rich's help screens cost more time than everything else together."""


def single() -> typer.Typer:
    """Return an application for one command."""
    return typer.Typer(rich_markup_mode=NO_MARKUP, add_completion=False)


def group(name: str) -> typer.Typer:
    """Return an empty group of commands."""
    return typer.Typer(help=COMMANDS[name], no_args_is_help=True, rich_markup_mode=NO_MARKUP, add_completion=False)


class Commands(TyperGroup):
    """The root: knows every command by name and loads the one that is asked for."""

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]  # typer's own context
        """Return the names in the order of the help."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: typer.Context, cmd_name: str):  # type: ignore[no-untyped-def,override]  # noqa: ANN201 - typer's type
        """Load a command."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        command = get_command(import_module(f"tradewarden.cli.{cmd_name}").app)
        command.name = cmd_name
        return command

    def format_commands(self, ctx: typer.Context, formatter) -> None:  # type: ignore[no-untyped-def,override]  # noqa: ANN001 - typer's type
        """Write the list of commands, which takes no module."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))
