"""`tradewarden ca join-token`: what lets a service in for the first time."""

from __future__ import annotations

from typing import Annotated

import msgspec
import typer

from tradewarden.cli.client import connect
from tradewarden.cli.once import hand_over, require_new
from tradewarden.cli.options import AsJson, Out, target
from tradewarden.cli.output import show_json, time_shown


class Made(msgspec.Struct, frozen=True):
    """A join token that is shown this once."""

    join_token: str
    service_name: str
    expires_at: str


def join_token(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="SERVICE", help="The service that it lets in.")],
    ttl_minutes: Annotated[
        int | None, typer.Option("--ttl-minutes", min=1, help="How long it is good (60; a week at most).")
    ] = None,
    dns: Annotated[list[str] | None, typer.Option("--dns", help="A DNS name to certify; once for each.")] = None,
    ip: Annotated[list[str] | None, typer.Option("--ip", help="An IP address to certify; once for each.")] = None,
    out: Out = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Make a one-time token for a service's first certificate. It is shown this once, alone on stdout or with --out.

    The service exchanges it with: tradewarden ca enroll
    """
    require_new(out)
    asked = {"service_name": name, "ttl_minutes": ttl_minutes, "dns_names": dns or [], "ip_addresses": ip or []}
    with connect(target(context)) as service:
        raw = service.post("/credentials/join-tokens", asked)
    if as_json:
        show_json(raw)
        return
    made = msgspec.json.decode(raw, type=Made)
    until = time_shown(made.expires_at)
    hand_over([made.join_token], out, f"Join token of {made.service_name}, good once until {until}")
