"""`tradewarden ca join-token`, `join-tokens`, `withdraw-join-tokens`: what lets a service in for the first time."""

from __future__ import annotations

from typing import Annotated

import msgspec
import typer

from tradewarden.cli.client import connect
from tradewarden.cli.once import hand_over, require_new
from tradewarden.cli.options import AsJson, Out, target
from tradewarden.cli.output import line, show_json, show_table, time_shown


class Made(msgspec.Struct, frozen=True):
    """A join token that is shown this once."""

    join_token: str
    service_name: str
    expires_at: str


class Listed(msgspec.Struct, frozen=True):
    """A join token that is still good."""

    id: str
    service_name: str
    dns_names: tuple[str, ...]
    ip_addresses: tuple[str, ...]
    created_by: str
    expires_at: str


class Good(msgspec.Struct, frozen=True):
    """Join tokens that are still good."""

    join_tokens: tuple[Listed, ...]


class Withdrawn(msgspec.Struct, frozen=True):
    """How many are good for nothing now."""

    service_name: str
    withdrawn: int


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


def join_tokens(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="SERVICE", help="Only those of this service.")] = "",
    *,
    as_json: AsJson = False,
) -> None:
    """List the join tokens that nobody used yet and that are still good; never what lets anyone in."""
    with connect(target(context)) as service:
        raw = service.get("/credentials/join-tokens", {"service_name": name})
    if as_json:
        show_json(raw)
        return
    rows = [
        (
            each.id,
            each.service_name,
            ", ".join((*each.dns_names, *each.ip_addresses)) or "its own",
            each.created_by,
            time_shown(each.expires_at),
        )
        for each in msgspec.json.decode(raw, type=Good).join_tokens
    ]
    show_table(("id", "service", "names", "made by", "good until"), rows, empty="No join token is good.")


def withdraw_join_tokens(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="SERVICE", help="The service that they would let in.")],
    token_id: Annotated[str, typer.Option("--id", help="Only this one, by its id in the list.")] = "",
    *,
    as_json: AsJson = False,
) -> None:
    """End the join tokens of a service that nobody used yet."""
    with connect(target(context)) as service:
        raw = service.post("/credentials/join-tokens/withdraw", {"service_name": name, "id": token_id})
    if as_json:
        show_json(raw)
        return
    done = msgspec.json.decode(raw, type=Withdrawn)
    line(f"{done.service_name}: {done.withdrawn} join token{'s' * (done.withdrawn != 1)} withdrawn")
