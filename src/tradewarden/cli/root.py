"""The `tradewarden` command itself: the options that come before a command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tradewarden import __version__
from tradewarden.cli import environment
from tradewarden.cli.commands import NO_MARKUP, Commands
from tradewarden.cli.exit_codes import epilog
from tradewarden.cli.options import Target

app = typer.Typer(cls=Commands, no_args_is_help=True, rich_markup_mode=NO_MARKUP, pretty_exceptions_enable=False)


def _version(wanted: bool) -> None:  # noqa: FBT001 - typer calls it so
    if wanted:
        typer.echo(f"tradewarden {__version__}")
        raise typer.Exit


@app.callback(epilog=epilog())
def about(
    context: typer.Context,
    url: Annotated[
        str | None, typer.Option("--url", envvar=environment.URL, help="The service. Default: where the settings say.")
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(
            "--token-file",
            envvar=environment.TOKEN_FILE,
            help="A file with the bearer token. Default: TRADEWARDEN_TOKEN, then the data directory's admin token.",
        ),
    ] = None,
    ca_file: Annotated[
        Path | None,
        typer.Option("--ca-file", envvar=environment.CA_FILE, help="The CA that signs the service's TLS certificate."),
    ] = None,
    *,
    version: Annotated[  # noqa: ARG001 - its callback does the work
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Secrets, certificates, tokens and a provable audit log for trading platforms.

    Commands talk to a running service; init, serve, admin, audit verify and audit export work beside its data
    directory. A secret is never an argument: it comes from a file, stdin or a prompt.
    """
    context.obj = Target(url, token_file, ca_file)
