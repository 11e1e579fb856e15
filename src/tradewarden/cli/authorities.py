"""`tradewarden ca authorities` and `ca rotate`: the CAs, and what a rotation would end, said before it is done."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from tradewarden.cli.client import connect
from tradewarden.cli.inputs import confirm
from tradewarden.cli.options import AsJson, Confirmed, target
from tradewarden.cli.output import show_json, show_table, time_shown
from tradewarden.cli.terminal import note
from tradewarden.clock import SystemClock, rfc3339
from tradewarden.errors import ConflictError, InvalidInputError
from tradewarden.pki.cas.rotating import What

if TYPE_CHECKING:
    from tradewarden.cli.client import Client


class Authority(msgspec.Struct, frozen=True):
    """One CA."""

    role: str
    state: str
    subject: str
    fingerprint_sha256: str
    not_after: str
    key_here: bool
    key: str
    issuer_sha256: str = ""
    active_certificates: int = 0
    old_root_only: int = 0


class Authorities(msgspec.Struct, frozen=True):
    """All of them."""

    authorities: tuple[Authority, ...]

    def lost(self, what: What) -> list[Authority]:
        """Return the issuing CAs that end with what is compromised."""
        now = rfc3339(SystemClock.now())
        issuing = [ca for ca in self.authorities if ca.role == "issuing" and ca.not_after > now]
        used = [ca for ca in issuing if ca.state in ("active", "retired")]
        if what is What.ISSUING or not self.two_roots:
            return used
        old = {ca.fingerprint_sha256 for ca in self.authorities if (ca.role, ca.state) == ("root", "active")}
        return [ca for ca in used if ca.issuer_sha256 in old]

    @property
    def cut_off(self) -> int:
        """How many active certificates lead to no root but the one that the end of an overlap retires."""
        return sum(ca.old_root_only for ca in self.authorities)

    @property
    def two_roots(self) -> bool:
        """Whether the root is being changed."""
        return any((ca.role, ca.state) == ("root", "next") for ca in self.authorities)


def authorities(context: typer.Context, *, as_json: AsJson = False) -> None:
    """List the CAs: which signs, which is trusted, which comes next, how many certificates of it are active."""
    with connect(target(context)) as service:
        _show(service.get("/ca"), as_json=as_json)


def rotate(
    context: typer.Context,
    what: Annotated[What, typer.Argument(help="Which CA.")] = What.ISSUING,
    *,
    compromised: Annotated[
        bool,
        typer.Option("--compromised", help="Its key is known to others: it and all retired ones are revoked at once."),
    ] = False,
    finish: Annotated[
        bool, typer.Option("--finish", help="With root: from now on only the new root is trusted.")
    ] = False,
    cut_off: Annotated[
        bool, typer.Option("--cut-off", help="With --finish --yes: although active certificates need the old root.")
    ] = False,
    confirmed: Confirmed = False,
    as_json: AsJson = False,
) -> None:
    """Rotate the issuing CA, or begin to change the root; what was issued before stays valid.

    A new root and the old one are both trusted until --finish, or until certificates of the old one have ended. A root
    that has ended, or is compromised, is replaced at once: every client has to be given the new one.
    """
    if cut_off and not (finish and confirmed):
        raise InvalidInputError("--cut-off goes with --finish --yes, which otherwise stops at certificates in use")
    with connect(target(context)) as service:
        if compromised and not confirmed:
            _confirm_compromised(_known(service), what)
        elif finish and not compromised and not cut_off:
            _confirm_finish(_known(service), confirmed=confirmed)
        raw = service.post("/ca/rotate", {"what": what.value, "compromised": compromised, "finish": finish})
    _show(raw, as_json=as_json)
    if what is What.ROOT and not finish and not msgspec.json.decode(raw, type=Authorities).two_roots:
        note("Only the new root is trusted now; give it to every client that lacks it: tradewarden ca cert")
    elif what is What.ROOT and not finish:
        note("What is issued stands below the new root once that was announced (TRADEWARDEN_CA_ANNOUNCE_MINUTES).")


def _known(service: Client) -> Authorities:
    return msgspec.json.decode(service.get("/ca"), type=Authorities)


def _confirm_compromised(known: Authorities, what: What) -> None:
    lost = known.lost(what)
    certificates = _certificates(sum(ca.active_certificates for ca in lost))
    cas = f"{len(lost)} issuing CA{'s' * (len(lost) != 1)}, active and retired, with {certificates}"
    root = "the root, and " if what is What.ROOT else ""
    confirm(f"This revokes {root}{cas}, at once and for good. Go on?", confirmed=False)


def _confirm_finish(known: Authorities, *, confirmed: bool) -> None:
    left = known.cut_off
    told = f"{_certificates(left)} chain{'s' * (left == 1)} only to the old root (their CA: tradewarden ca list)"
    if left and confirmed:
        raise ConflictError(
            f"{told}. Those that were renewed since are among them until they end. Wait, or add --cut-off: nobody "
            "trusts them then"
        )
    confirm(f"{told}, and clients that know only that stop trusting this service. Go on?", confirmed=confirmed)


def _certificates(count: int) -> str:
    return f"{count or 'no'} active certificate{'s' * (count != 1)}"


def _show(raw: bytes, *, as_json: bool) -> None:
    if as_json:
        show_json(raw)
        return
    rows = [
        (
            ca.role,
            ca.state,
            ca.subject.partition(",")[0].removeprefix("CN="),
            ca.fingerprint_sha256[:16],
            time_shown(ca.not_after),
            str(ca.active_certificates) if ca.role == "issuing" else "-",
            "-" if ca.role == "cross" else "yes" if ca.key_here else "no",
        )
        for ca in msgspec.json.decode(raw, type=Authorities).authorities
    ]
    columns = ("role", "state", "name", "SHA-256", "until", "active", "key here")
    show_table(columns, rows, empty="There is no CA.")
