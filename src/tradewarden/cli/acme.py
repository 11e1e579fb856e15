"""`tradewarden ca acme`: keys with which services open ACME accounts; accounts and orders."""

from __future__ import annotations

from typing import Annotated

import msgspec
import typer

from tradewarden.acme.commands import AccountListed, KeyMade, OrderListed
from tradewarden.cli.client import connect
from tradewarden.cli.commands import NO_MARKUP
from tradewarden.cli.inputs import confirm
from tradewarden.cli.listing import gather
from tradewarden.cli.once import hand_over, require_new
from tradewarden.cli.options import After, AsJson, Confirmed, Limit, Out, target
from tradewarden.cli.output import line, show_json, show_table, time_shown

app = typer.Typer(
    help="Let certbot, Caddy, Traefik and others get certificates (ACME).",
    no_args_is_help=True,
    rich_markup_mode=NO_MARKUP,
    add_completion=False,
)


@app.command()
def eab(  # noqa: PLR0913  (options of one command)
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="SERVICE", help="The registered service that the account acts for.")],
    dns: Annotated[
        list[str] | None,
        typer.Option("--dns", help="A DNS name it may ask for, .example.com for all below; once for each."),
    ] = None,
    ip: Annotated[list[str] | None, typer.Option("--ip", help="An IP address it may ask for; once for each.")] = None,
    profile: Annotated[str, typer.Option("--profile", help="server, service or short-lived.")] = "server",
    ttl_hours: Annotated[
        int | None, typer.Option("--ttl-hours", min=1, help="How long an account can be opened with it (24).")
    ] = None,
    out: Out = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Make a key for external account binding. It is shown this once: key id and HMAC key, a line each.

    With it an ACME client opens one account, which gets certificates of this service and of no other.
    """
    require_new(out)
    asked: dict[str, object] = {
        "service_name": name,
        "dns_names": dns or [],
        "ip_addresses": ip or [],
        "profile": profile,
        "ttl_hours": ttl_hours,
    }
    with connect(target(context)) as service:
        raw = service.post("/acme/eab", asked)
    if as_json:
        show_json(raw)
        return
    made = msgspec.json.decode(raw, type=KeyMade)
    what = f"Key of {made.service_name} for one account at {made.directory}, good until {time_shown(made.expires_at)}"
    hand_over([made.kid, made.hmac_key], out, what)


@app.command()
def accounts(context: typer.Context, limit: Limit = 1000, after: After = "", *, as_json: AsJson = False) -> None:
    """List ACME accounts."""
    with connect(target(context)) as client:
        found = gather(client, "/acme/accounts", "accounts", {}, limit=limit, after=after)
    if as_json:
        found.show_json()
        return
    rows = [
        (each.id, each.service_name, each.status, " ".join(each.contact), time_shown(each.created_at))
        for each in found.rows(AccountListed)
    ]
    show_table(("account", "service", "status", "contact", "since"), rows, empty="There is no ACME account.")
    found.note_more()


@app.command()
def orders(
    context: typer.Context,
    account: Annotated[str, typer.Option("--account", help="Only those of this account.")] = "",
    limit: Limit = 1000,
    after: After = "",
    *,
    as_json: AsJson = False,
) -> None:
    """List ACME orders, and why the last validation of each failed."""
    with connect(target(context)) as client:
        found = gather(client, "/acme/orders", "orders", {"account": account}, limit=limit, after=after)
    if as_json:
        found.show_json()
        return
    rows = [
        (time_shown(each.created_at), each.service_name, each.status, " ".join(each.identifiers), each.error)
        for each in found.rows(OrderListed)
    ]
    show_table(("since", "service", "status", "names", "problem"), rows, empty="There is no ACME order.")
    found.note_more()


@app.command()
def end(
    context: typer.Context,
    account: Annotated[str, typer.Argument(help="The account's id, as listed.")],
    *,
    confirmed: Confirmed = False,
    as_json: AsJson = False,
) -> None:
    """Take an ACME account its rights for good; its certificates stay valid until they end or are revoked."""
    confirm(f"End ACME account {account} for good?", confirmed=confirmed)
    with connect(target(context)) as service:
        raw = service.post("/acme/accounts/end", {"account": account})
    if as_json:
        show_json(raw)
        return
    found = msgspec.json.decode(raw, type=AccountListed)
    line(f"{found.id} of {found.service_name}: {found.status}")
