"""`tradewarden services`: who may ever be granted what."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

import msgspec
import typer

from tradewarden.cli.client import connect
from tradewarden.cli.commands import group
from tradewarden.cli.inputs import confirm
from tradewarden.cli.listing import gather
from tradewarden.cli.once import hand_over, require_new
from tradewarden.cli.options import After, AsJson, Confirmed, Limit, Out, target
from tradewarden.cli.output import line, show_fields, show_json, show_table, time_shown

app = group("services")

Name = Annotated[str, typer.Argument(metavar="NAME", help="Lower-case letters, digits, _ and -.")]
Permissions = Annotated[
    list[str] | None,
    typer.Option("--permission", "-p", help="Such as secrets:read:api_keys/* or read; once for each. None: nothing."),
]


Dns = Annotated[
    list[str] | None,
    typer.Option("--dns", help="A DNS name of its own for certificates, .example.com for all below; once for each."),
]
Ip = Annotated[list[str] | None, typer.Option("--ip", help="An IP address for its certificates; once for each.")]


class Registered(msgspec.Struct, frozen=True):
    """A registration whose client secret is shown this once."""

    service_name: str
    permissions: tuple[str, ...]
    client_secret: str


class Listed(msgspec.Struct, frozen=True):
    """A registration."""

    service_name: str
    permissions: tuple[str, ...]
    created_at: str
    created_by: str
    secret_rotated_at: str
    dns_names: tuple[str, ...] = ()
    ip_addresses: tuple[str, ...] = ()


@app.command()
def add(
    context: typer.Context,
    name: Name,
    permissions: Permissions = None,
    dns: Dns = None,
    ip: Ip = None,
    out: Out = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Register a service. Its client secret is shown this once: alone on stdout, or in a file with --out.

    With --dns or --ip its certificates may bear these names and no others.
    """
    require_new(out)
    asked: dict[str, object] = {"service_name": name, "permissions": permissions or [], **_names(dns, ip)}
    with connect(target(context)) as service:
        raw = service.post("/services", asked)
    _hand_over(raw, out, as_json=as_json)


def _names(dns: list[str] | None, ip: list[str] | None) -> dict[str, object]:
    return {"dns_names": dns or [], "ip_addresses": ip or []} if dns or ip else {}


@app.command("rotate-secret")
def rotate_secret(context: typer.Context, name: Name, out: Out = None, *, as_json: AsJson = False) -> None:
    """Give a service a new client secret; the old one ends now."""
    require_new(out)
    with connect(target(context)) as service:
        raw = service.post("/services/rotate-secret", {"service_name": name})
    _hand_over(raw, out, as_json=as_json)


def _hand_over(raw: bytes, out: Out, *, as_json: bool) -> None:
    if as_json:
        show_json(raw)
        return
    made = msgspec.json.decode(raw, type=Registered)
    granted = ", ".join(made.permissions) or "nothing"
    hand_over([made.client_secret], out, f"Client secret of {made.service_name}, which may be granted {granted}")


@app.command("list")
def listing(context: typer.Context, limit: Limit = 1000, after: After = "", *, as_json: AsJson = False) -> None:
    """List registered services."""
    with connect(target(context)) as service:
        found = gather(service, "/services", "services", {}, limit=limit, after=after)
    if as_json:
        found.show_json()
        return
    rows = [
        (each.service_name, ", ".join(each.permissions), time_shown(each.created_at), each.created_by)
        for each in found.rows(Listed)
    ]
    show_table(("service", "permissions", "since", "by"), rows, empty="No service is registered.")
    found.note_more()


@app.command()
def show(context: typer.Context, name: Name, *, as_json: AsJson = False) -> None:
    """Show one registration."""
    with connect(target(context)) as service:
        _show(service.get(f"/services/{quote(name, safe='')}"), as_json=as_json)


@app.command()
def permissions(
    context: typer.Context, name: Name, permissions: Permissions = None, *, as_json: AsJson = False
) -> None:
    """Replace what a service may be granted; tokens already issued are cut to it at once."""
    with connect(target(context)) as service:
        raw = service.post("/services/permissions", {"service_name": name, "permissions": permissions or []})
    _show(raw, as_json=as_json)


@app.command()
def names(context: typer.Context, name: Name, dns: Dns = None, ip: Ip = None, *, as_json: AsJson = False) -> None:
    """Replace the names that a service's certificates may bear; without any, an operator chooses at each issue."""
    with connect(target(context)) as service:
        _show(service.post("/services/names", {"service_name": name, **_names(dns, ip)}), as_json=as_json)


def _show(raw: bytes, *, as_json: bool) -> None:
    if as_json:
        show_json(raw)
        return
    found = msgspec.json.decode(raw, type=Listed)
    fields = [
        ("service", found.service_name),
        ("permissions", ", ".join(found.permissions) or "none"),
        ("registered", f"{time_shown(found.created_at)} by {found.created_by}"),
        ("names in certificates", ", ".join((*found.dns_names, *found.ip_addresses)) or "as issued"),
        ("client secret", f"since {time_shown(found.secret_rotated_at)}"),
    ]
    show_fields(fields)


@app.command()
def remove(context: typer.Context, name: Name, *, confirmed: Confirmed = False, as_json: AsJson = False) -> None:
    """Delete a registration and end every token of it."""
    confirm(f"Delete service {name} and end all its tokens?", confirmed=confirmed)
    with connect(target(context)) as service:
        raw = service.delete(f"/services/{quote(name, safe='')}")
    if as_json:
        show_json(raw)
    else:
        line(f"{name}: deleted; its tokens have ended")
