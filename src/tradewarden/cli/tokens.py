"""`tradewarden tokens`: issue, validate, list, revoke, refresh. A token is read from a file, stdin or a prompt only."""

from __future__ import annotations

import re
from typing import Annotated

import msgspec
import typer

from tradewarden.cli.client import Client, Proof, Whereabouts, connect
from tradewarden.cli.commands import group
from tradewarden.cli.inputs import read_secret
from tradewarden.cli.listing import gather
from tradewarden.cli.once import hand_over, require_new
from tradewarden.cli.options import After, AsJson, Limit, Out, SecretFile, Target, target
from tradewarden.cli.output import line, show_fields, show_json, show_table, time_shown
from tradewarden.errors import InvalidInputError

app = group("tokens")

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class Issued(msgspec.Struct, frozen=True):
    """A fresh token."""

    token: str
    service_name: str
    permissions: tuple[str, ...]
    expires_at: str
    refresh_token: str | None = None


class Valid(msgspec.Struct, frozen=True):
    """What an accepted token is good for."""

    service_name: str
    permissions: tuple[str, ...]
    expires_at: str


class Listed(msgspec.Struct, frozen=True):
    """One line of the register."""

    jti: str
    service_name: str
    permissions: tuple[str, ...]
    expires_at: str
    issued_by: str
    revoked: bool


class Revoked(msgspec.Struct, frozen=True):
    """What was ended."""

    revoked: bool


def duration(text: str, option: str = "--ttl") -> int:
    """Read `90s`, `15m`, `12h`, `7d` as seconds; raises `InvalidInputError`."""
    match = re.fullmatch(r"([1-9][0-9]{0,8})([smhd])", text)
    if match is None:
        raise InvalidInputError(f"{option} is a number and a unit, such as 90s, 15m, 12h or 7d")
    return int(match[1]) * _SECONDS[match[2]]


@app.command()
def issue(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="SERVICE", help="Whose token it is.")],
    permissions: Annotated[
        list[str] | None,
        typer.Option("--permission", "-p", help="Once for each. Default: everything the service is registered for."),
    ] = None,
    ttl: Annotated[str, typer.Option("--ttl", help="How long it lives, such as 15m, 12h or 7d.")] = "",
    out: Out = None,
    *,
    refresh: Annotated[bool, typer.Option("--refresh", help="Also issue a refresh token: the second line.")] = False,
    as_json: AsJson = False,
) -> None:
    """Issue a token: alone on stdout, or in a file with --out."""
    require_new(out)
    asked: dict[str, object] = {
        "service_name": name,
        "permissions": permissions or None,
        "ttl_seconds": duration(ttl) if ttl else None,
        "refresh": refresh or None,
    }
    with connect(target(context)) as service:
        raw = service.post("/tokens/generate", asked)
    _hand_over(raw, out, as_json=as_json)


@app.command("refresh")
def refresh_token(context: typer.Context, file: SecretFile = "", out: Out = None, *, as_json: AsJson = False) -> None:
    """Exchange a refresh token for a new pair; it works once."""
    require_new(out)
    token = read_secret(file, "Refresh token")
    with _as_nobody(target(context)) as service:
        raw = service.post("/tokens/refresh", {"refresh_token": token})
    _hand_over(raw, out, as_json=as_json)


def _hand_over(raw: bytes, out: Out, *, as_json: bool) -> None:
    if as_json:
        show_json(raw)
        return
    made = msgspec.json.decode(raw, type=Issued)
    granted = ", ".join(made.permissions) or "nothing"
    what = f"Token of {made.service_name} for {granted}, until {time_shown(made.expires_at)}"
    if made.refresh_token is None:
        hand_over([made.token], out, what)
    else:
        hand_over([made.token, made.refresh_token], out, f"{what}, then its refresh token")


@app.command()
def validate(context: typer.Context, file: SecretFile = "", *, as_json: AsJson = False) -> None:
    """Say what a token is good for; one that is not accepted ends with exit code 4."""
    where = target(context)
    token = read_secret(file, "Token")
    with _as_nobody(where, token) as service:
        raw = service.post("/tokens/validate")
    if as_json:
        show_json(raw)
        return
    found = msgspec.json.decode(raw, type=Valid)
    fields = [
        ("service", found.service_name),
        ("permissions", ", ".join(found.permissions) or "none"),
        ("expires", time_shown(found.expires_at)),
    ]
    show_fields(fields)


def _as_nobody(chosen: Target, token: str = "") -> Client:
    """Return a client that is known by `token` alone, whatever else is at hand."""
    where = Whereabouts(chosen)
    return Client(where.url, Proof(token), where.trust() if where.url.startswith("https:") else None)


@app.command("list")
def listing(
    context: typer.Context,
    service: Annotated[str, typer.Option("--service", help="Only those of this service.")] = "",
    limit: Limit = 1000,
    after: After = "",
    *,
    as_json: AsJson = False,
) -> None:
    """List issued tokens; never the tokens themselves."""
    with connect(target(context)) as client:
        found = gather(client, "/tokens", "tokens", {"service_name": service}, limit=limit, after=after)
    if as_json:
        found.show_json()
        return
    rows = [
        (each.jti, each.service_name, ", ".join(each.permissions), time_shown(each.expires_at), _state(each))
        for each in found.rows(Listed)
    ]
    show_table(("jti", "service", "permissions", "expires", ""), rows, empty="No token is in the register.")
    found.note_more()


def _state(token: Listed) -> str:
    return "revoked" if token.revoked else f"by {token.issued_by}"


@app.command()
def revoke(
    context: typer.Context,
    jti: Annotated[str, typer.Option("--jti", help="The token with this id (tokens list shows it).")] = "",
    service: Annotated[str, typer.Option("--service", help="All tokens of this service.")] = "",
    file: SecretFile = "",
    *,
    as_json: AsJson = False,
) -> None:
    """End one token, or all of a service, from the next request on.

    Without --jti and --service the token itself is read, access or refresh.
    """
    if sum((bool(jti), bool(service), bool(file))) > 1:
        raise InvalidInputError("--jti, --service and --file each name what to end; choose one")
    body: dict[str, object] = {"jti": jti or None, "service_name": service or None}
    if not jti and not service:
        body = {"token": read_secret(file, "Token")}
    with connect(target(context)) as client:
        raw = client.post("/tokens/revoke", body)
    if as_json:
        show_json(raw)
        return
    line("revoked" if msgspec.json.decode(raw, type=Revoked).revoked else "there was nothing to revoke")
