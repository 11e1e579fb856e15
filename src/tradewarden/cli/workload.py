"""`tradewarden ca enroll` and `ca renew`: a service's own certificate, on the host where the service runs."""

from __future__ import annotations

import logging
import os
import shlex
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tradewarden.cli.options import AsJson, target
from tradewarden.errors import ConflictError, InvalidInputError

if TYPE_CHECKING:
    from tradewarden.workload.identity import ServiceIdentity
    from tradewarden.workload.pair import Pair

JOIN_TOKEN = "TRADEWARDEN_JOIN_TOKEN"  # noqa: S105 - a name
_STDIN = "-"

Directory = Annotated[
    Path, typer.Option("--dir", help="The directory of the identity: key, certificate, CA (0700).", file_okay=False)
]
MtlsUrl = Annotated[
    str,
    typer.Option("--mtls-url", envvar="TRADEWARDEN_MTLS_URL", help="The service's mTLS port, where renewals go."),
]
OnChange = Annotated[
    str,
    typer.Option(
        "--on-change", metavar="COMMAND", help="Run this after each change; words as in a shell, but no shell."
    ),
]
HookSeconds = Annotated[float, typer.Option("--hook-seconds", min=1, help="How long that command may take.")]


def enroll(  # noqa: PLR0913 - options of one command
    context: typer.Context,
    directory: Directory,
    join_token_file: Annotated[
        str,
        typer.Option(
            "--join-token-file", help="A private file; - is stdin. Default: TRADEWARDEN_JOIN_TOKEN, or asked."
        ),
    ] = "",
    service: Annotated[str, typer.Option("--service", help="Take a certificate for this service only.")] = "",
    mtls_url: MtlsUrl = "",
    on_change: OnChange = "",
    hook_seconds: HookSeconds = 60,
    *,
    force: Annotated[bool, typer.Option("--force", help="Although there is a certificate that counts.")] = False,
    as_json: AsJson = False,
) -> None:
    """Get this host's first certificate for a one-time join token; the key is made here and stays here.

    Files: DIR/current/key.pem, cert.pem, ca.pem; DIR/current is replaced as a whole. The way back in after a downtime
    longer than the certificate's life is the same: a new token, and this command once more.
    """
    made = _identity(context, directory, mtls_url, on_change, hook_seconds, service, join_token=_token(join_token_file))
    _refuse_valid(made, force=force)
    _show(made.enroll(), directory, renewed=True, as_json=as_json)


def renew(  # noqa: PLR0913 - options of one command
    context: typer.Context,
    directory: Directory,
    mtls_url: MtlsUrl = "",
    join_token_file: Annotated[
        Path | None,
        typer.Option("--join-token-file", help="Where a new join token is looked for at each try.", dir_okay=False),
    ] = None,
    service: Annotated[str, typer.Option("--service", help="Take a certificate for this service only.")] = "",
    on_change: OnChange = "",
    hook_seconds: HookSeconds = 60,
    *,
    daemon: Annotated[bool, typer.Option("--daemon", help="Keep it fresh until SIGTERM.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Renew now, although it is not time.")] = False,
    as_json: AsJson = False,
) -> None:
    """Renew this host's certificate once two thirds of its life are over, or once the service takes it no more.

    Once, or with --daemon from now on.

    Once: exit code 0 when it is fresh (renewed or not yet due), 4 when a new join token is needed, 6 when the service
    is not reached, 1 when the --on-change command failed. As a daemon: 0 after SIGTERM, and nothing but a mistake in
    the configuration (2) ends it before; logs go to stderr, as JSON with --json.
    """
    if daemon and force:
        raise InvalidInputError("--force is for one renewal; a daemon renews when it is time")
    made = _identity(context, directory, mtls_url, on_change, hook_seconds, service, join_token_file=join_token_file)
    if daemon:
        _keep(made, as_json=as_json)
        return
    renewed = made.renew(force=force)
    held = made.held
    if held is not None:
        _show(held, directory, renewed=renewed, as_json=as_json)


def _identity(  # noqa: PLR0913 - options of one command
    context: typer.Context,
    directory: Path,
    mtls_url: str,
    on_change: str,
    hook_seconds: float,
    service: str,
    *,
    join_token: str = "",
    join_token_file: Path | None = None,
) -> ServiceIdentity:
    from tradewarden.cli.client import Whereabouts
    from tradewarden.workload.identity import ServiceIdentity

    try:
        command = shlex.split(on_change)
    except ValueError as error:
        raise InvalidInputError(f"--on-change cannot be read: {error}") from error
    return ServiceIdentity(
        directory,
        Whereabouts(target(context)).url,
        service,
        mtls_url=mtls_url,
        join_token=join_token,
        join_token_file=join_token_file,
        on_change=command,
        hook_seconds=hook_seconds,
    )


def _token(source: str) -> str:
    """Return the join token: of a private file, of stdin, of the environment, or asked for."""
    from tradewarden.cli.client import read_token
    from tradewarden.cli.inputs import read_secret

    if source and source != _STDIN:
        return read_token(Path(source))
    given = "" if source else os.environ.get(JOIN_TOKEN, "").strip()
    return given or read_secret(source, "Join token")


def _refuse_valid(made: ServiceIdentity, *, force: bool) -> None:
    from tradewarden.clock import SystemClock

    held = made.held
    if held is not None and held.ends > SystemClock.now() and not force and not made.refused():
        raise ConflictError(
            f"There is a certificate of {held.service_name} that is valid; renew it with 'tradewarden ca renew', or "
            "spend the token anyway with --force"
        )


def _show(pair: Pair, directory: Path, *, renewed: bool, as_json: bool) -> None:
    from tradewarden.cli.output import line, show_json, time_shown
    from tradewarden.clock import rfc3339

    ends = rfc3339(pair.ends)
    if as_json:
        show_json(
            {
                "service_name": pair.service_name,
                "spiffe_id": pair.spiffe_id,
                "serial_number": pair.serial_number,
                "expires_at": ends,
                "renewed": renewed,
                "directory": str(directory / "current"),
            }
        )
        return
    what = "" if renewed else " (not yet due)"
    line(f"{pair.spiffe_id}, serial number {pair.serial_number}, until {time_shown(ends)}{what}")
    line(f"  {directory / 'current'}")


def _keep(made: ServiceIdentity, *, as_json: bool) -> None:
    """Keep an identity fresh until a signal."""
    from tradewarden.http.logs import configure

    configure("INFO", "json" if as_json or not sys.stderr.isatty() else "console")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stop.set())
    made.run(stop)
