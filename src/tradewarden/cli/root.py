"""The `tradewarden` command: its groups, and the options that come before the command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tradewarden import __version__
from tradewarden.cli import admin, audit, ca, environment, keys, secrets, services, tokens
from tradewarden.cli.exit_codes import epilog
from tradewarden.cli.options import NO_MARKUP, Target
from tradewarden.cli.serve import serve
from tradewarden.cli.status import status

app = typer.Typer(
    name="tradewarden",
    no_args_is_help=True,
    rich_markup_mode=NO_MARKUP,
    pretty_exceptions_enable=False,
    epilog=epilog(),
)


def _version(*, wanted: bool) -> None:
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
            help="A file that holds the bearer token. Default: TRADEWARDEN_TOKEN, then the data directory's admin token.",
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

    Commands talk to a running service; init, serve, admin token, audit verify and audit export work beside its data
    directory. A secret is never an argument: it comes from a file, stdin or a prompt.
    """
    context.obj = Target(url, token_file, ca_file)


app.command()(admin.init)
app.command()(serve)
app.command()(status)
app.add_typer(admin.app, name="admin")
app.add_typer(secrets.app, name="secrets")
app.add_typer(services.app, name="services")
app.add_typer(ca.app, name="ca")
app.add_typer(tokens.app, name="tokens")
app.add_typer(keys.app, name="keys")
app.add_typer(audit.app, name="audit")
