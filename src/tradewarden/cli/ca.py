"""`tradewarden ca`: certificates of services, revocation, what others trust."""

from __future__ import annotations

from base64 import encodebytes
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from tradewarden.cli.acme import app as acme
from tradewarden.cli.authorities import authorities, rotate
from tradewarden.cli.client import connect
from tradewarden.cli.commands import group
from tradewarden.cli.enrolment import join_token, join_tokens, withdraw_join_tokens
from tradewarden.cli.inputs import confirm, read_bytes
from tradewarden.cli.listing import gather
from tradewarden.cli.once import require_new
from tradewarden.cli.options import After, AsJson, Confirmed, Limit, target
from tradewarden.cli.output import bare, line, show_json, show_table, time_shown
from tradewarden.cli.terminal import note
from tradewarden.cli.workload import enroll, renew
from tradewarden.crypto.keyfile import create_private
from tradewarden.errors import InvalidInputError, TradewardenError
from tradewarden.pki.credentials import Reason, State

app = group("ca")
app.command("join-token")(join_token)
app.command("join-tokens")(join_tokens)
app.command("withdraw-join-tokens")(withdraw_join_tokens)
app.command()(enroll)
app.add_typer(acme, name="acme")
app.command()(renew)
app.command()(authorities)
app.command()(rotate)

PublicOut = Annotated[
    Path | None, typer.Option("--out", help="Write it to this new file instead of stdout.", dir_okay=False)
]


class Issued(msgspec.Struct, frozen=True):
    """A new certificate."""

    service_name: str
    certificate_chain: str
    ca_certificate: str
    serial_number: str
    spiffe_id: str
    expires_at: str
    private_key: str | None = None


class Listed(msgspec.Struct, frozen=True):
    """One certificate of the inventory."""

    serial_number: str
    service_name: str
    state: str
    expires_at: str
    issuer_sha256: str = ""


@app.command()
def issue(  # noqa: PLR0913, PLR0917  (options of one command)
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="SERVICE", help="The service that the certificate names.")],
    csr: Annotated[str, typer.Option("--csr", help="Certify the key of this CSR (PEM file; - is stdin).")] = "",
    dns: Annotated[list[str] | None, typer.Option("--dns", help="A DNS name; once for each.")] = None,
    ip: Annotated[list[str] | None, typer.Option("--ip", help="An IP address; once for each.")] = None,
    ttl_hours: Annotated[int | None, typer.Option("--ttl-hours", min=1, help="How long it is valid.")] = None,
    profile: Annotated[
        str, typer.Option("--profile", help="service, client, server or short-lived (a day at most).")
    ] = "service",
    out: Annotated[Path, typer.Option("--out", help="The directory for the files.", file_okay=False)] = Path(),
    *,
    as_json: AsJson = False,
) -> None:
    """Issue a certificate and write SERVICE.pem (the chain), SERVICE.key (0600) and SERVICE-ca.pem, all new files.

    With --csr there is no key: it never left its owner. With --json everything goes to stdout and no file is written.
    """
    files = {"pem": out / f"{name}.pem", "key": out / f"{name}.key", "ca": out / f"{name}-ca.pem"}
    if not as_json:
        _require_plain(name)
        require_new(*files.values())
    asked: dict[str, object] = {
        "service_name": name,
        "csr": read_bytes(csr).decode("ascii", "replace") if csr else None,
        "dns_names": dns,
        "ip_addresses": ip,
        "ttl_hours": ttl_hours,
        "profile": profile,
    }
    with connect(target(context)) as service:
        raw = service.post("/credentials/issue", asked)
    if as_json:
        show_json(raw)
        return
    _write(msgspec.json.decode(raw, type=Issued), files)


def _require_plain(name: str) -> None:
    if "/" in name or name.startswith("."):
        raise InvalidInputError("A service's name is lower-case letters, digits, _ and -")


def _write(made: Issued, files: dict[str, Path]) -> None:
    parts = {"pem": made.certificate_chain, "key": made.private_key, "ca": made.ca_certificate}
    try:
        for part, text in parts.items():
            if text is not None:
                create_private(files[part], text.encode())
    except (OSError, TradewardenError):
        note(f"The certificate {made.serial_number} was issued, but not all of its files could be written: revoke it")
        raise
    line(f"{made.spiffe_id}, serial number {made.serial_number}, until {time_shown(made.expires_at)}")
    for part, text in parts.items():
        if text is not None:
            line(f"  {files[part]}")


@app.command("list")
def listing(
    context: typer.Context,
    service: Annotated[str, typer.Option("--service", help="Only those of this service.")] = "",
    state: Annotated[State | None, typer.Option("--state", help="Only those in this state.")] = None,
    expiring: Annotated[
        int | None, typer.Option("--expiring-within", metavar="HOURS", min=1, help="Only those that end so soon.")
    ] = None,
    limit: Limit = 1000,
    after: After = "",
    *,
    as_json: AsJson = False,
) -> None:
    """List issued certificates in the order in which they end.

    The CA is the issuing one, by the SHA-256 that `ca authorities` shows; with --json there is more of each.
    """
    query: dict[str, str | int] = {"service_name": service, "state": state.value if state else ""}
    if expiring is not None:
        query["expiring_within_hours"] = expiring
    with connect(target(context)) as client:
        found = gather(client, "/credentials", "certificates", query, limit=limit, after=after)
    if as_json:
        found.show_json()
        return
    rows = [
        (each.serial_number, each.service_name, each.state, time_shown(each.expires_at), each.issuer_sha256[:16])
        for each in found.rows(Listed)
    ]
    show_table(("serial number", "service", "state", "until", "CA"), rows, empty="There is no certificate.")
    found.note_more()


@app.command()
def revoke(
    context: typer.Context,
    serial_number: Annotated[str, typer.Argument(help="In hex, with or without colons.")],
    reason: Annotated[Reason, typer.Option("--reason", help="Why (RFC 5280 section 5.3.1).")] = Reason.UNSPECIFIED,
    *,
    confirmed: Confirmed = False,
    as_json: AsJson = False,
) -> None:
    """Revoke a certificate for good."""
    confirm(f"Revoke certificate {serial_number} for good?", confirmed=confirmed)
    with connect(target(context)) as service:
        raw = service.post("/credentials/revoke", {"serial_number": serial_number, "reason": reason.value})
    if as_json:
        show_json(raw)
        return
    found = msgspec.json.decode(raw, type=Listed)
    line(f"{found.serial_number} of {found.service_name}: {found.state}")


@app.command()
def crl(
    context: typer.Context,
    out: PublicOut = None,
    *,
    der: Annotated[bool, typer.Option("--der", help="DER instead of PEM.")] = False,
) -> None:
    """Print the certificate revocation list (PEM; look into it with: openssl crl -text)."""
    if der and out is None:
        raise InvalidInputError("--der writes bytes that are not text; name a file with --out")
    require_new(out)
    with connect(target(context)) as service:
        raw = service.get("/ca/crl")
    pem = f"-----BEGIN X509 CRL-----\n{_lines(raw)}-----END X509 CRL-----\n"
    _give(raw if der else pem.encode(), out)


def _lines(raw: bytes) -> str:
    text = encodebytes(raw).decode().replace("\n", "")
    return "".join(f"{text[at : at + 64]}\n" for at in range(0, len(text), 64))


@app.command()
def cert(context: typer.Context, out: PublicOut = None) -> None:
    """Print the root certificate that clients trust (PEM)."""
    require_new(out)
    with connect(target(context)) as service:
        _give(service.get("/ca/certificate"), out)


def _give(content: bytes, out: Path | None) -> None:
    if out is None:
        bare(content.decode())
        return
    with out.open("xb") as file:
        file.write(content)
    line(str(out))
